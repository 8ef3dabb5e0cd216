//! Consistency of what is stored twice: documents and changes, counters and documents, records and their parts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ditto_crdt::{Definitions, Sequence};
use ditto_storage::{Direction, Keyspace, Snapshot, StorageError};
use ditto_value::{Value, ValueRef};

use crate::error::StoreError;
use crate::layout::{self, CollectionId, CollectionState};
use crate::lifecycle::names::{self, KeyHash};
use crate::lifecycle::rows::{self, Grave};
use crate::lifecycle::{conflicts, graves};
use crate::replica::read_change;
use crate::store::Inner;
use crate::write::parse_record;

/// How many inconsistencies are listed; the rest is counted only.
const MAX_LISTED: usize = 100;

/// What [`crate::Store::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Living documents.
    pub documents: u64,
    /// Deleted documents that are remembered.
    pub tombstones: u64,
    /// Deleted documents of which only the grave is left.
    pub graves: u64,
    /// Reports of lost writes.
    pub conflicts: u64,
    /// Rows of the change log.
    pub changes: u64,
    /// The first inconsistencies.
    pub inconsistencies: Vec<Inconsistency>,
    /// How many there are.
    pub inconsistent: u64,
}

impl Verified {
    /// Whether everything agrees.
    pub fn is_consistent(&self) -> bool {
        self.inconsistent == 0
    }

    fn report(&mut self, place: String, problem: impl Into<String>) {
        self.inconsistent += 1;
        if self.inconsistencies.len() < MAX_LISTED {
            self.inconsistencies.push(Inconsistency { place, problem: problem.into() });
        }
    }
}

/// Two rows that contradict each other, or one that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inconsistency {
    /// Which row.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Inconsistency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.problem)
    }
}

struct Walk<'s> {
    snapshot: &'s dyn Snapshot,
    /// Living documents by collection, as counted.
    counts: BTreeMap<CollectionId, u64>,
    /// Graves, and how many of them each collection has.
    graves: BTreeMap<(CollectionId, KeyHash), Sequence>,
    grave_counts: BTreeMap<CollectionId, u64>,
    /// Sequences of the tombstones that wait for their burial.
    waiting: BTreeSet<Sequence>,
    last: Sequence,
    found: Verified,
}

pub(crate) fn verify(inner: &Inner) -> Result<Verified, StoreError> {
    inner.check_open()?;
    let snapshot = inner.storage.snapshot();
    let mut walk = Walk {
        snapshot: &*snapshot,
        counts: BTreeMap::new(),
        graves: BTreeMap::new(),
        grave_counts: BTreeMap::new(),
        waiting: BTreeSet::new(),
        last: Sequence::ZERO,
        found: Verified::default(),
    };
    walk.graves()?;
    walk.documents()?;
    walk.states()?;
    walk.changes()?;
    walk.commits()?;
    Ok(walk.found)
}

impl Walk<'_> {
    fn graves(&mut self) -> Result<(), StorageError> {
        for row in self.snapshot.prefix(Keyspace::Graves, &[], Direction::Forward) {
            let (key, value) = row?;
            let place = || format!("grave {}", key.escape_ascii());
            match key.first() {
                Some(&rows::TAG_GRAVE) => match (rows::split_grave_key(&key), Grave::decode(&value)) {
                    (Some((collection, hash)), Some(grave)) => {
                        self.found.graves += 1;
                        *self.grave_counts.entry(collection).or_default() += 1;
                        self.graves.insert((collection, hash), grave.sequence);
                        self.last = self.last.max(grave.sequence);
                        if !self.is_named_at(grave.sequence, &graves::buried_key(collection, &hash))? {
                            self.found.report(place(), "its change is missing or names another document");
                        }
                    }
                    _ => self.found.report(place(), "it cannot be read"),
                },
                Some(&rows::TAG_WAITING) => match rows::split_waiting_key(&key) {
                    Some((_, sequence)) => drop(self.waiting.insert(sequence)),
                    None => self.found.report(place(), "it cannot be read"),
                },
                Some(&rows::TAG_CONFLICT) => {
                    self.found.conflicts += 1;
                    if rows::split_conflict_key(&key).is_none() || conflicts::read(&value).is_none() {
                        self.found.report(place(), "the report of a conflict cannot be read");
                    }
                }
                _ => self.found.report(place(), "nothing has such a key"),
            }
        }
        Ok(())
    }

    /// Whether the change log has a row of this sequence for this document.
    fn is_named_at(&self, sequence: Sequence, document_key: &[u8]) -> Result<bool, StorageError> {
        let change = self.snapshot.get(Keyspace::Changes, &layout::sequence_key(sequence))?;
        let named = change.as_ref().and_then(|row| layout::decode_change(row)).map(|(named, _)| named);
        Ok(named == Some(document_key))
    }

    fn documents(&mut self) -> Result<(), StorageError> {
        for row in self.snapshot.prefix(Keyspace::Documents, &[], Direction::Forward) {
            let (key, record) = row?;
            let place = || format!("document {}", key.escape_ascii());
            let Some((collection, id)) = layout::split_document_key(&key) else {
                self.found.report(place(), "the key is shorter than a collection id");
                continue;
            };
            let parsed = match parse_record(&record) {
                Ok(parsed) => parsed,
                Err(error) => {
                    self.found.report(place(), error.to_string());
                    continue;
                }
            };
            let alive = parsed.alive;
            *self.counts.entry(collection).or_default() += u64::from(alive);
            *(if alive { &mut self.found.documents } else { &mut self.found.tombstones }) += 1;
            self.last = self.last.max(parsed.newest_sequence);
            if !alive && !self.waiting.contains(&parsed.newest_sequence) {
                self.found.report(place(), "it is deleted and does not wait for its burial");
            }
            if self.graves.contains_key(&(collection, names::key_hash(id))) {
                self.found.report(place(), "it has a grave");
            }
            if !self.is_named_at(parsed.newest_sequence, &key)? {
                let sequence = parsed.newest_sequence.0;
                self.found
                    .report(place(), format!("its change {sequence} is missing or names another document"));
            }
            match parsed.document() {
                Err(error) => self.found.report(place(), error.to_string()),
                Ok(document) => {
                    if document.version() != parsed.version {
                        self.found.report(place(), "the version is not the sum of its parts");
                    }
                    if document.is_alive() != alive {
                        self.found
                            .report(place(), "the header and the births disagree on whether it is alive");
                    }
                    if alive {
                        let id_value = parsed.value.get("_id").map_or(Value::Null, ValueRef::to_value);
                        if *ditto_value::key::of(&id_value) != *id {
                            self.found.report(place(), "its _id is not that of its key");
                        }
                        let visible = document.visible(&id_value, &Definitions::default()).map(Value::from);
                        if visible.as_ref() != Some(&parsed.value.to_value()) {
                            self.found.report(place(), "its value is not what its entries show");
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn states(&mut self) -> Result<(), StorageError> {
        let mut counts = std::mem::take(&mut self.counts);
        for row in self.snapshot.prefix(Keyspace::Catalog, &[layout::TAG_COLLECTION], Direction::Forward) {
            let (key, value) = row?;
            let place = || format!("collection {}", key.escape_ascii());
            let Some(id) = layout::Reader(&value).u32().map(CollectionId) else {
                self.found.report(place(), "its id cannot be read");
                continue;
            };
            let state = self.snapshot.get(Keyspace::Catalog, &layout::state_key(id))?;
            let counted = counts.remove(&id).unwrap_or_default();
            match state.as_deref().map(CollectionState::decode) {
                Some(Some(state)) => {
                    self.last = self.last.max(state.last);
                    if state.documents != counted {
                        let problem = format!("{} documents are recorded, {counted} found", state.documents);
                        self.found.report(place(), problem);
                    }
                    let buried = self.grave_counts.remove(&id).unwrap_or_default();
                    if state.graves != buried {
                        let problem = format!("{} graves are recorded, {buried} found", state.graves);
                        self.found.report(place(), problem);
                    }
                }
                _ => self.found.report(place(), "its counters are missing or cannot be read"),
            }
        }
        for id in counts.keys() {
            self.found.report(format!("collection {}", id.0), "there are documents, but it has no name");
        }
        Ok(())
    }

    fn changes(&mut self) -> Result<(), StorageError> {
        for row in self.snapshot.prefix(Keyspace::Changes, &[], Direction::Forward) {
            let (key, value) = row?;
            self.found.changes += 1;
            let place = || format!("change {}", key.escape_ascii());
            let Ok((sequence, document, _)) = read_change(&key, &value) else {
                self.found.report(place(), "it cannot be read");
                continue;
            };
            if sequence > self.last {
                self.found.report(place(), "it is newer than every counter says");
            }
            let buried = layout::split_document_key(document)
                .and_then(|(collection, name)| Some((collection, names::as_hash(name)?)));
            if let Some(buried) = buried {
                if self.graves.get(&buried) != Some(&sequence) {
                    self.found.report(place(), "its grave is missing or has another newest change");
                }
                continue;
            }
            let record = self.snapshot.get(Keyspace::Documents, document)?;
            let newest =
                record.as_deref().and_then(|record| parse_record(record).ok()).map(|r| r.newest_sequence);
            if newest != Some(sequence) {
                self.found.report(place(), "its document is missing or has another newest change");
            }
        }
        Ok(())
    }

    fn commits(&mut self) -> Result<(), StorageError> {
        let mut previous = Sequence::ZERO;
        for row in self.snapshot.prefix(Keyspace::Commits, &[], Direction::Forward) {
            let (key, value) = row?;
            let place = || format!("commit {}", key.escape_ascii());
            let (last, first) = (layout::decode_sequence_key(&key), layout::decode_sequence_key(&value));
            match (first, last) {
                (Some(first), Some(last)) if previous < first && first < last && last <= self.last => {
                    previous = last;
                }
                _ => self.found.report(place(), "its sequences are out of order"),
            }
        }
        Ok(())
    }
}
