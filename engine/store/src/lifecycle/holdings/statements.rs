//! What remote peers say of themselves and acknowledge, and what follows from it.

use ditto_crdt::{Sequence, SiteId};
use ditto_value::{Object, ValueRef};

use crate::layout::DocumentKey;

/// The public key of a remote peer.
pub(crate) type PeerBytes = [u8; 32];
/// What stands for query and arguments of an interest.
pub(crate) type SelectionBytes = [u8; 16];

/// What a remote peer says of itself when a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Under which identity it writes.
    pub site: SiteId,
    /// How often it has evicted documents.
    pub evictions: u64,
    /// It has less of its own history than was seen of it.
    pub is_behind: bool,
    /// Its wall clock a moment ago, in milliseconds since 1970, if it says so.
    pub clock_ms: Option<u64>,
}

/// An interest of a remote peer that is served.
#[derive(Clone, Debug)]
pub struct ServedInterest {
    /// What stands for query and arguments.
    pub selection: [u8; 16],
    /// `SELECT * FROM c [WHERE …]`, normalised.
    pub query: String,
    /// A CBOR map; empty for none.
    pub arguments: Vec<u8>,
    /// By its own checkpoint it holds all of it up to this local sequence. If it had acknowledged more, it has lost something.
    pub held: Sequence,
}

/// A remote peer that was met, in this opening or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownPeer {
    /// Its public key.
    pub peer: [u8; 32],
    /// When the last session with it began, in milliseconds since 1970.
    pub met_ms: u64,
    /// The local sequence up to which it has acknowledged everything that it asked for in that session, before the first document
    /// that it did not take and that has not changed since; `None` if it asked for nothing, or has not acknowledged some of it yet.
    pub acknowledged: Option<Sequence>,
}

/// What a remote peer has acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged {
    /// For interests, up to where.
    pub interests: Vec<([u8; 16], Sequence)>,
    /// Documents that it took as they were sent.
    pub held: Vec<Sent>,
    /// Documents that it did not take as they were sent: refused, or dead there. None is among [`Self::held`] as well.
    pub unheld: Vec<Sent>,
}

/// A document that a remote peer was sent, or would have been if it were not too large.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Which.
    pub key: DocumentKey,
    /// The first local sequence that was sent.
    pub from: Sequence,
    /// Its newest change, as far as that was sent: its row in the change log, until it changes again. `None`: there is none.
    pub row: Option<Sequence>,
}

/// What is to be known of a document to tell who holds it.
pub(crate) struct Facts<'a> {
    pub collection: &'a str,
    /// Encoded `_id` or hash.
    pub name: &'a [u8],
    /// The visible document; `None` if it is dead.
    pub value: Option<ValueRef<'a>>,
    /// Sequence of its newest change.
    pub newest: Sequence,
    /// Who holds exactly this, by its `changes` row.
    pub origin: Option<u64>,
}

/// The writes of a peer: it knows them, unless it has forgotten since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnWrites {
    pub(super) site: SiteId,
    pub(super) floor: Sequence,
}

impl OwnWrites {
    /// Whether a write by `site`, taken over here at `sequence`, is one of them.
    pub(crate) fn include(&self, site: SiteId, sequence: Sequence) -> bool {
        self.site.0 != 0 && site == self.site && sequence > self.floor
    }
}

/// What becomes of all that a peer was known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Stands,
    /// It proves nothing any more. It `must_be_stored` at once that this is so, unless that would write what is stored already: then
    /// only how often the peer has evicted is new, and who has not stored that hears it once more.
    Void {
        must_be_stored: bool,
    },
}

/// Understands the query of an interest.
pub(crate) type Compile<'c> = &'c dyn Fn(&str, &Object) -> Option<crate::replica::Interest>;
