//! What replication needs to know of a store, and the only way in which it touches one.
//!
//! The state machine never holds a store: a [`Replica`] is lent to it for the length of a call. Other
//! threads may write between two calls on the trait, but each call by itself reads one moment.

use std::fmt;
use std::sync::Arc;

use ditto_crdt::{RunId, Sequence, SiteId, Version};
use ditto_value::{Object, ValueRef};

use crate::limits::MAX_MATCH_MS;

/// The name of a peer everywhere: the public half of its key pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub [u8; 32]);

impl PeerId {
    /// The 8 bytes under which a store records who sent a change ([`Change::origin`]).
    pub fn origin(&self) -> u64 {
        let hash = blake3::hash(&self.0);
        let mut first = [0; 8];
        first.copy_from_slice(hash.as_bytes().get(..8).unwrap_or(&[0; 8]));
        u64::from_le_bytes(first)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(6) {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "…")
    }
}

/// A document's name: its collection and its `_id`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    /// Name of the collection.
    pub collection: Arc<str>,
    /// `_id` in the order-preserving encoding of `ditto_value::key`; or, of a buried document, `00` and the first 16
    /// bytes of the BLAKE3 hash of that.
    pub id: Arc<[u8]>,
}

impl DocumentKey {
    /// Length of both names.
    pub(crate) fn bytes(&self) -> usize {
        self.collection.len() + self.id.len()
    }

    /// Whether the document is named by the hash of its `_id`.
    pub fn is_by_hash(&self) -> bool {
        self.id.first() == Some(&0)
    }

    /// The first 16 bytes of the BLAKE3 hash of the encoded `_id`: the same whether the document is buried or not.
    pub(crate) fn id_hash(&self) -> [u8; 16] {
        let by_hash = self.id.strip_prefix(&[0]).and_then(|hash| hash.try_into().ok());
        by_hash.unwrap_or_else(|| {
            let mut first = [0; 16];
            first.copy_from_slice(blake3::hash(&self.id).as_bytes().split_at(16).0);
            first
        })
    }
}

impl fmt::Debug for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.collection)?;
        self.id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One row of the change log: the newest change of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Local number of the change.
    pub sequence: Sequence,
    /// The document that changed.
    pub key: DocumentKey,
    /// [`PeerId::origin`] of the peer whose data this change was, if the version after the merge equals
    /// the version which that peer stated; such a change is not sent back to it.
    pub origin: Option<u64>,
}

/// A document as the publisher looks at it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Digest of everything known about the document.
    pub version: Version,
    /// Sequence of its newest change.
    pub newest: Sequence,
    /// Whether it exists for queries; false for a tombstone.
    pub alive: bool,
    /// The visible document, `_id` included, in the binary form that [`ValueRef::from_stored`] reads;
    /// empty for a tombstone.
    pub value: Vec<u8>,
}

/// A document without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Digest of everything known about the document.
    pub version: Version,
    /// Sequence of its newest change.
    pub newest: Sequence,
    /// Whether it exists for queries; false for a tombstone.
    pub alive: bool,
    /// Length of [`Stored::value`].
    pub value_bytes: usize,
}

/// A part of a document's state, together with what the whole was at the moment of the reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Version of the whole document.
    pub version: Version,
    /// Sequence of its newest change.
    pub newest: Sequence,
    /// `ditto_crdt::Delta::encode` of the asked-for births and entries; an empty delta if there are none.
    pub delta: Vec<u8>,
}

/// A compiled subscription query.
#[derive(Clone)]
pub struct Interest {
    /// The one collection it selects from.
    pub collection: Arc<str>,
    /// Canonical text: equal for equal queries. Arguments are not part of it.
    pub normalized: String,
    /// Whether every document of the collection matches.
    pub unfiltered: bool,
    /// Whether a (living) document matches.
    pub matcher: Arc<dyn Fn(ValueRef<'_>) -> bool + Send + Sync>,
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interest").field("normalized", &self.normalized).finish_non_exhaustive()
    }
}

/// A position in the history of a publisher: everything of that run up to and including the sequence,
/// and everything of the runs before it. The default is none: no run has that number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// A run of the publisher.
    pub run: RunId,
    /// A local sequence of the publisher.
    pub sequence: Sequence,
}

/// How far a peer has seen the history of another one: of whoever has less of it, the history was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// A run of the publisher.
    pub run: RunId,
    /// The newest change that was told: a local sequence of the publisher.
    pub sequence: Sequence,
    /// How much was durable at the publisher when it was told, if that is more. What is told rests on all of that: a document
    /// that has moved to a later place in the change log is not told where it was before.
    pub durable: Sequence,
}

impl Seen {
    /// The last sequence that the history must have.
    pub fn rests_on(&self) -> Sequence {
        self.durable.max(self.sequence)
    }
}

/// A document that another peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingDocument {
    /// Its name.
    pub key: DocumentKey,
    /// Bytes of `ditto_crdt::Delta::encode`, as received: hostile until decoded.
    pub delta: Vec<u8>,
    /// The version that the sender holds (or held when it sent this).
    pub stated: Version,
}

/// What is to be applied in one atomic commit.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The sender.
    pub from: PeerId,
    /// Documents to merge; no key occurs twice.
    pub documents: Vec<IncomingDocument>,
    /// Positions in the sender's history, by effective interest, that hold once the documents are merged.
    pub checkpoints: Vec<([u8; 16], Checkpoint)>,
    /// How far a run of the sender is seen now; never lowers what is recorded.
    pub seen: Option<Seen>,
    /// [`Replica::eviction_total`] when it was found out that merging leaves no gap; `None` if nothing depends on that.
    pub evictions: Option<u64>,
}

/// How one document of an [`Incoming`] fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Version right before the merge; `None` if the document was not known at all.
    pub before: Option<Version>,
    /// Version right after it.
    pub after: Version,
    /// Something of what was sent is dead here: the other peer takes for alive what was removed.
    pub absorbed: bool,
}

/// The result of [`Replica::apply`].
#[derive(Clone, Debug)]
pub struct Applied {
    /// The replica's last sequence after the commit, whether or not the commit changed anything. Every
    /// later local change has a greater one.
    pub last: Sequence,
    /// One for each document, in the order of [`Incoming::documents`].
    pub outcomes: Vec<Result<Outcome, Refused>>,
}

/// Why one document was not merged. The rest of its batch was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The delta or the key is not decodable, or breaks a rule such as a stamp past the year 6000.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The document would pass a limit of this peer.
    #[error("too large: {0}")]
    TooLarge(String),
    /// This peer does not take that document from that peer.
    #[error("not permitted: {0}")]
    NotPermitted(String),
}

/// What a remote peer says of itself at the beginning of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The identity under which it writes.
    pub site: SiteId,
    /// How often it has evicted documents.
    pub evictions: u64,
    /// It has less of its own history than was seen of it: it was restored.
    pub is_behind: bool,
    /// Its wall clock a moment ago, in milliseconds since 1970, if it says so.
    pub clock_ms: Option<u64>,
}

/// What a remote peer asks for and is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedInterest {
    /// Equal for equal queries with equal arguments.
    pub selection: [u8; 16],
    /// Normalised.
    pub query: String,
    /// A CBOR map; empty for none.
    pub arguments: Vec<u8>,
    /// By its own checkpoint it holds all of it up to this local sequence. If it had acknowledged more, it has lost something.
    pub held: Sequence,
}

/// What a remote peer holds durably of what it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// By interest ([`ServedInterest::selection`]): all changes up to this local sequence that the interest asks for, but for
    /// the exceptions.
    pub interests: Vec<([u8; 16], Sequence)>,
    /// Documents that it took as they were sent.
    pub held: Vec<Sent>,
    /// The exceptions: documents that it did not take as they were sent. It refused them, or they are dead there. None is among
    /// [`Self::held`] as well.
    pub unheld: Vec<Sent>,
}

/// A document that a remote peer was sent, or would have been if it were not too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which.
    pub key: DocumentKey,
    /// The first local sequence that was sent.
    pub from: Sequence,
    /// Its newest change, as far as that was sent: its row in the change log, until it changes again. `None`: there is none.
    pub row: Option<Sequence>,
}

/// The store failed; nothing of the call has happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// Disk full, corrupt, closed …: the session is closed and can be tried again later.
    #[error("the store failed: {0}")]
    Storage(String),
    /// The query of a subscription does not compile or is not of the form `SELECT * FROM c [WHERE …]`.
    #[error("the subscription is not usable: {0}")]
    Query(String),
    /// Something was evicted since it was found out that what is to be applied leaves no gap.
    #[error("documents were evicted in this moment, and the session would leave gaps; connect again")]
    Evicted,
}

/// A store as replication sees it. `engine/peer` implements it over `ditto-store`.
///
/// All methods are blocking and take time proportional to what they return.
pub trait Replica {
    /// The identity under which this store writes. Changes after a fork.
    fn site(&self) -> SiteId;

    /// A session begins a part of the work of one call: [`Self::worked_ms`] counts from here.
    fn begin_work(&mut self) {}

    /// How many milliseconds that has taken, by the owner's clock: filters and documents of other peers may cost much, and other
    /// sessions wait meanwhile. After [`WORK_MS`](crate::limits::WORK_MS) the rest of the part is put off until the next call. Any answer
    /// is right; who serves one session, or none that may be hostile, need not measure.
    fn worked_ms(&self) -> u64 {
        0
    }

    /// The wall clock, in milliseconds since 1970, for the other peer to compare its own with; 0 to say nothing.
    fn wall_clock_ms(&self) -> u64;

    /// The newest runs, oldest first, with the first sequence of each; the last one is current. Never empty. If the first
    /// one begins after [`Sequence`] 1, older ones are forgotten.
    fn runs(&self) -> Vec<(RunId, Sequence)>;

    /// The last of [`Self::runs`].
    fn current_run(&self) -> RunId;

    /// The newest committed sequence; [`Sequence`] 0 before the first change. Of all rows that were read before, none is newer: where
    /// others write meanwhile, it may be that of a commit that becomes visible in this moment.
    fn last_sequence(&self) -> Sequence;

    /// The newest sequence that a power loss cannot take back.
    fn durable_sequence(&self) -> Sequence;

    /// Rows of the change log with `after < sequence <= up_to`, ascending, at most `limit`.
    fn changes(&self, after: Sequence, up_to: Sequence, limit: usize) -> Result<Vec<Change>, ReplicaError>;

    /// First and last sequence of the commit that `sequence` belongs to.
    fn commit_of(&self, sequence: Sequence) -> Result<(Sequence, Sequence), ReplicaError>;

    /// The document, living or tombstone; `None` if unknown or evicted.
    fn document(&self, key: &DocumentKey) -> Result<Option<Stored>, ReplicaError>;

    /// The same without the value, which is not read as far as that can be avoided.
    fn held(&self, key: &DocumentKey) -> Result<Option<Held>, ReplicaError>;

    /// Documents of the collection as [`Self::held`] has them: first those that are not buried, in the order of their keys, then
    /// the buried ones, in the order of their hashes. Those after the key `after`, from the first one for the empty key; at most
    /// `limit`, and no more once what is read for it has `bytes` bytes; none if there are no more. A document that is buried
    /// between two calls may be in both results.
    fn stock(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, Held)>, ReplicaError>;

    /// Documents of the collection in the order of their keys, living ones and tombstones, with everything of them as
    /// [`Self::delta_since`] has it: those after the key `after`, from the first one for the empty key. At most `limit`, and no
    /// more once their deltas have `bytes` bytes; none if there are no more.
    fn documents(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, Excerpt)>, ReplicaError>;

    /// The name by its `_id` of a document that `key` names by its hash, if it is held here and not buried.
    fn named(&self, key: &DocumentKey) -> Result<Option<DocumentKey>, ReplicaError>;

    /// Births and entries whose local sequence is greater than `after`. For 0 all of them, in the bytes of
    /// [`Document::canonical`](ditto_crdt::Document::canonical): they have the version. `None` also if `key` names by its hash
    /// a document that is alive.
    fn delta_since(&self, key: &DocumentKey, after: Sequence) -> Result<Option<Excerpt>, ReplicaError>;

    /// The version, and the hashes of all births and entries; nothing and none if the document is unknown.
    fn entry_hashes(&self, key: &DocumentKey) -> Result<(Version, Vec<u128>), ReplicaError>;

    /// Births and entries whose hashes are not among `known`; `None` as [`Self::delta_since`].
    fn delta_lacking(&self, key: &DocumentKey, known: &[u128]) -> Result<Option<Excerpt>, ReplicaError>;

    /// The version that merging `delta` into the present state would yield. Changes nothing.
    fn merged_version(
        &self,
        key: &DocumentKey,
        delta: &[u8],
    ) -> Result<Result<Version, Refused>, ReplicaError>;

    /// Compiles the query of a subscription; it may come from the other peer.
    fn compile(&self, query: &str, arguments: &Object) -> Result<Interest, ReplicaError>;

    /// Whether documents of the collection may be exchanged with this peer at all. While it is `false` none is sent,
    /// whoever subscribes, and none is taken.
    fn may_travel(&self, remote: PeerId, collection: &str) -> bool {
        let _ = (remote, collection);
        true
    }

    /// Another number after every change of what [`Self::may_travel`] answers. Sessions that were begun before end then.
    fn scopes_revision(&self) -> u64 {
        0
    }

    /// How often documents were evicted from the collection; survives restarts, never falls.
    fn eviction_count(&self, collection: &str) -> u64;

    /// How often documents were evicted from all collections together; survives restarts, never falls.
    fn eviction_total(&self) -> u64;

    /// A session with `remote` begins. What it was known to hold is void if it is not what it was: has evicted since, writes
    /// under another identity, or is behind. Returns whether it is.
    fn greeted(&mut self, remote: PeerId, greeting: Greeting) -> Result<bool, ReplicaError>;

    /// `remote` has evicted, this often by now: what it was known to hold is void. Returns whether that is news.
    fn remote_evicted(&mut self, remote: PeerId, evictions: u64) -> Result<bool, ReplicaError>;

    /// How far `remote` was offered what was taken from others of a collection ([`Self::set_offered`]); `None` if that was never
    /// recorded.
    fn offered(&self, remote: PeerId, collection: &str) -> Option<Sequence>;

    /// `remote` was offered what was taken from others of a collection, up to this local sequence, which is durable. May be stored
    /// later.
    fn set_offered(&mut self, remote: PeerId, collection: &str, up_to: Sequence);

    /// `remote` asks for something and is served from now on.
    fn serves(&mut self, remote: PeerId, interest: ServedInterest);

    /// `remote` has acknowledged what it was sent.
    fn acknowledged(&mut self, remote: PeerId, acknowledged: &Acknowledged);

    /// Of the exceptions that `remote` has not taken since as they were, [`Sent::row`] with the collection: there may be no such row
    /// any more.
    fn withheld(&self, remote: PeerId) -> Vec<(Sequence, Arc<str>)>;

    /// The position in `remote`'s history that was applied for an effective interest.
    fn checkpoint(&self, remote: PeerId, interest: &[u8; 16]) -> Result<Option<Checkpoint>, ReplicaError>;

    /// How far each run of `remote` was seen: first the runs of which there is a checkpoint, and each time first what rests on
    /// most. The first [`MAX_RUNS`](crate::limits::MAX_RUNS) are claimed; without its claim a checkpoint is not believed.
    fn remembered(&self, remote: PeerId) -> Result<Vec<Seen>, ReplicaError>;

    /// Whether a claim to have seen `sequence` of our `run`, which our history does not hold, has already
    /// made this store take a new site id (recorded in the catalog by whoever handles
    /// [`Event::ForkDetected`](crate::Event::ForkDetected)).
    fn claim_answered(&self, run: RunId, sequence: Sequence) -> bool {
        let _ = (run, sequence);
        false
    }

    /// Merges documents and records checkpoints in one atomic commit. A refused document does not stop
    /// the others. [`ReplicaError::Evicted`] if [`Incoming::evictions`] is not the present number.
    fn apply(&mut self, incoming: Incoming) -> Result<Applied, ReplicaError>;
}

/// A document without its value, and whether one of the interests asks for it. The value is read only if that depends on it. After
/// [`MAX_MATCH_MS`] it counts as asked for: more may be told than is.
pub(crate) fn match_against<'a>(
    replica: &dyn Replica,
    key: &DocumentKey,
    mut interests: impl Iterator<Item = &'a Interest> + Clone,
) -> Result<Option<(Held, bool)>, ReplicaError> {
    if interests.clone().any(|interest| interest.unfiltered) {
        return Ok(replica.held(key)?.map(|held| (held, true)));
    }
    let Some(Stored { version, newest, alive, value }) = replica.document(key)? else { return Ok(None) };
    let value_ref = ValueRef::from_stored(&value);
    let too_late = replica.worked_ms().saturating_add(MAX_MATCH_MS);
    let is_asked_for =
        alive && interests.any(|interest| replica.worked_ms() >= too_late || (interest.matcher)(value_ref));
    Ok(Some((Held { version, newest, alive, value_bytes: value.len() }, is_asked_for)))
}
