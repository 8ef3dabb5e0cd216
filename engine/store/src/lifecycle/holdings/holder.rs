//! What is known of one remote peer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use ditto_crdt::Sequence;
use ditto_value::{Object, Value};

use super::statements::{Compile, Facts, PeerBytes, SelectionBytes, Sent};
use super::storing::unheld_name;
use crate::lifecycle::names;
use crate::lifecycle::rows::{self, InterestRow, PeerRow};
use crate::replica::Matcher;

#[derive(Default)]
pub(super) struct Holder {
    pub(super) row: PeerRow,
    pub(super) interests: BTreeMap<SelectionBytes, Held>,
    pub(super) unheld: HashMap<ExceptionName, Exception>,
    /// Up to here it may lack what it acknowledged: there were more exceptions, which are not known.
    pub(super) unproven: Sequence,
    /// How far it was offered what was taken from others, by collection. Without a name: all of which nothing else is known.
    pub(super) offered: BTreeMap<Box<str>, Sequence>,
    /// An interest that it had acknowledged is forgotten here, but its row may still be stored.
    pub(super) has_left_row: bool,
}

/// Collection and hash of the `_id`.
pub(super) type ExceptionName = (Box<str>, names::KeyHash);

/// A document that was acknowledged, but not taken.
#[derive(Clone, Copy)]
pub(super) struct Exception {
    /// The first sequence that it does not hold.
    pub(super) from: Sequence,
    /// The newest that it did not take: the document's row in the change log, until it changes again. `None` if it has taken that since.
    pub(super) row: Option<Sequence>,
}

pub(super) struct Held {
    pub(super) row: InterestRow,
    /// There may be a row of it in the storage.
    pub(super) is_stored: bool,
    /// `None`: the query is too long to be kept, or cannot be understood any more.
    pub(super) collection: Option<Box<str>>,
    /// What the whole query is compiled to, which takes some fifty times as much memory as that.
    /// `None` inside: the query cannot be understood any more, so it covers nothing.
    compiled: OnceLock<Option<Covers>>,
}

#[derive(Clone)]
struct Covers {
    /// `None`: all documents.
    matcher: Option<Matcher>,
}

impl Held {
    pub(super) fn new(row: InterestRow, is_stored: bool) -> Self {
        let collection = ditto_dql::subscribed_collection(&row.query);
        let collection = collection.map(|collection| collection.to_string().into());
        Self { row, is_stored, collection, compiled: OnceLock::new() }
    }

    pub(super) fn is_of(&self, collection: &str) -> bool {
        self.collection.as_deref() == Some(collection)
    }

    pub(super) fn may_be_of(&self, collection: &str) -> bool {
        self.collection.is_none() || self.is_of(collection)
    }

    pub(super) fn bytes(&self) -> usize {
        self.row.query.len() + self.row.arguments.len()
    }

    fn covers(&self, compile: Compile<'_>) -> Option<&Covers> {
        let compiled = self.compiled.get_or_init(|| {
            let arguments = match self.row.arguments.as_slice() {
                [] => Object::new(),
                cbor => match Value::from_cbor(cbor) {
                    Ok(Value::Object(arguments)) => arguments,
                    _ => return None,
                },
            };
            let interest = compile(&self.row.query, &arguments)?;
            let matcher = (!interest.unfiltered).then_some(interest.matcher);
            Some(Covers { matcher })
        });
        compiled.as_ref()
    }
}

impl Holder {
    /// Whether this peer holds the document as it is. A dead document is covered by every interest in its collection:
    /// whoever was told holds the deletion, or nothing of the document.
    ///
    /// That an interest is acknowledged up to some sequence says nothing of a document that has changed since: only its
    /// newest change is in the change log, and when the walk came by the place of an earlier one that may have moved already.
    pub(super) fn holds(&self, facts: &Facts<'_>, compile: Compile<'_>) -> bool {
        if facts.origin == Some(self.row.origin) && facts.newest > self.row.floor {
            return true;
        }
        let covers = |held: &Held| {
            held.row.acknowledged >= facts.newest
                && facts.newest > self.unproven
                && held.is_of(facts.collection)
                && held.covers(compile).is_some_and(|covers| match (&covers.matcher, facts.value) {
                    (Some(matcher), Some(value)) => matcher(value),
                    _ => true,
                })
        };
        self.interests.values().any(covers)
            && (self.unheld.is_empty() || !self.unheld.contains_key(&unheld(facts.collection, facts.name)))
    }

    pub(super) fn hold(
        &mut self,
        peer: &PeerBytes,
        collection: &str,
        name: &[u8],
        dirty: &mut BTreeSet<Vec<u8>>,
    ) {
        let name = unheld(collection, name);
        if self.unheld.remove(&name).is_some() {
            dirty.insert(rows::unheld_key(peer, &unheld_name(&name)));
        }
    }

    /// As [`Self::hold`], if the peer lacks nothing that is older than what it took; it may not lack the newest.
    pub(super) fn hold_sent(&mut self, peer: &PeerBytes, sent: &Sent, dirty: &mut BTreeSet<Vec<u8>>) {
        let name = unheld(&sent.key.collection, &sent.key.id);
        let Some(exception) = self.unheld.get_mut(&name) else { return };
        if exception.row > sent.row {
            return;
        }
        if exception.from >= sent.from {
            self.unheld.remove(&name);
        } else {
            exception.row = None;
        }
        dirty.insert(rows::unheld_key(peer, &unheld_name(&name)));
    }
}

/// What stands for a document among exceptions.
pub(super) fn unheld(collection: &str, name: &[u8]) -> ExceptionName {
    (collection.into(), names::hash_of(name))
}
