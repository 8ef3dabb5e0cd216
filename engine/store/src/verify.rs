//! Consistency of what is stored twice: documents and changes, documents and index rows, counters and documents,
//! records and their parts.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use ditto_crdt::{Definitions, Sequence};
use ditto_storage::{Direction, Keyspace, Snapshot, StorageError};
use ditto_value::{Value, ValueRef};

use crate::catalog::Collection;
use crate::error::StoreError;
use crate::index::{Definition, Index, Position, State};
use crate::layout::{self, CollectionId, CollectionState, IndexId};
use crate::lifecycle::names::{self, KeyHash};
use crate::lifecycle::rows::{self, Grave};
use crate::lifecycle::{conflicts, graves};
use crate::replica::read_change;
use crate::store::Inner;
use crate::write::parse_record;

/// How many inconsistencies are listed; the rest is counted only.
const MAX_LISTED: usize = 100;

/// Rows between two calls of whoever watches.
const ROWS_PER_CALL: u64 = 1024;

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Rows read so far.
    pub rows: u64,
    /// Rows to read: an estimate from the counters, never less than `rows`, exact at the end.
    pub total_rows: u64,
    /// Inconsistencies found so far.
    pub inconsistent: u64,
}

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
    /// Rows of all indexes.
    pub index_rows: u64,
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
    inner: &'s Inner,
    snapshot: &'s dyn Snapshot,
    /// Living documents by collection, as counted.
    counts: BTreeMap<CollectionId, u64>,
    /// Every index, and how far its build is.
    indexes: BTreeMap<IndexId, (Index, Position)>,
    /// Graves by collection, as counted.
    grave_counts: BTreeMap<CollectionId, u64>,
    last: Sequence,
    found: Verified,
    /// Rows read, and to read.
    rows: u64,
    total_rows: u64,
    on_progress: &'s mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>,
}

pub(crate) fn verify(
    inner: &Inner,
    on_progress: &mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>,
) -> Result<Verified, StoreError> {
    inner.check_open()?;
    let snapshot = inner.storage.snapshot();
    let mut walk = Walk {
        inner,
        snapshot: &*snapshot,
        counts: BTreeMap::new(),
        indexes: BTreeMap::new(),
        grave_counts: BTreeMap::new(),
        last: Sequence::ZERO,
        found: Verified::default(),
        rows: 0,
        total_rows: expected_rows(inner),
        on_progress,
    };
    walk.attempt("index definitions", |walk| walk.definitions())?;
    walk.attempt("graves", |walk| walk.graves())?;
    walk.attempt("documents", |walk| walk.documents())?;
    walk.attempt("burials", |walk| walk.burials())?;
    walk.attempt("indexes", |walk| walk.index_rows())?;
    walk.attempt("collections", |walk| walk.states())?;
    walk.attempt("changes", |walk| walk.changes())?;
    walk.attempt("commits", |walk| walk.commits())?;
    for keyspace in [Keyspace::Catalog, Keyspace::Replication, Keyspace::Attachments] {
        walk.attempt(keyspace.name(), |walk| walk.readable(keyspace))?;
    }
    walk.total_rows = walk.rows;
    // It is done; there is nothing left to cancel.
    let _ = walk.report_progress();
    Ok(walk.found)
}

/// A document has its record, its change and a row in each index; a grave has itself and its change.
fn expected_rows(inner: &Inner) -> u64 {
    let rows = |collection: &Collection| {
        let indexes = collection.indexes.all().len() as u64;
        let documents = collection.documents.load(Ordering::Acquire).saturating_mul(2 + indexes);
        documents.saturating_add(collection.graves.load(Ordering::Acquire).saturating_mul(2))
    };
    inner.collections.all().iter().map(|collection| rows(collection)).fold(0, u64::saturating_add)
}

impl Walk<'_> {
    /// Goes through a part. Where the files are damaged the part ends, and that is a part of the answer.
    fn attempt(
        &mut self,
        place: &str,
        step: impl FnOnce(&mut Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match step(self) {
            Err(StoreError::Storage(StorageError::Corrupt { detail })) => {
                self.found.report(place.to_owned(), &*detail);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Reads every row, and with it the checksum of every block that holds one.
    fn readable(&mut self, keyspace: Keyspace) -> Result<(), StoreError> {
        for row in self.snapshot.prefix(keyspace, &[], Direction::Forward) {
            row?;
            self.count_row()?;
        }
        Ok(())
    }

    /// Counts a row, and tells whoever watches now and then. An error if the walk is to end here, because they do not want
    /// more, or because the store is closed, which need not wait for the end of the walk.
    fn count_row(&mut self) -> Result<(), StoreError> {
        self.inner.check_open()?;
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_PER_CALL) && self.report_progress().is_break() {
            return Err(StoreError::Cancelled { what: "verification" });
        }
        Ok(())
    }

    fn report_progress(&mut self) -> ControlFlow<()> {
        let (rows, inconsistent) = (self.rows, self.found.inconsistent);
        (self.on_progress)(&VerifyProgress { rows, total_rows: self.total_rows.max(rows), inconsistent })
    }

    fn definitions(&mut self) -> Result<(), StoreError> {
        for row in self.snapshot.prefix(Keyspace::Catalog, &[layout::TAG_INDEX], Direction::Forward) {
            let (key, value) = row?;
            let id = key.get(1..).and_then(|id| layout::Reader(id).u32()).map(IndexId);
            match (id, Definition::decode(&value)) {
                (Some(id), Some(definition)) => {
                    let position = definition.position.clone();
                    self.indexes.insert(id, (Index::new(id, definition), position));
                }
                _ => self
                    .found
                    .report(format!("index {}", key.escape_ascii()), "its definition cannot be read"),
            }
        }
        Ok(())
    }

    /// Every living document has its row in each index of its collection that has come by it.
    fn rows_of(
        &mut self,
        collection: CollectionId,
        id: &[u8],
        document: ValueRef<'_>,
    ) -> Result<(), StoreError> {
        for (index, position) in self.indexes.values() {
            let is_due = match index.state() {
                State::Ready => true,
                State::Building => id <= &position.after[..],
                State::Dropped => false,
            };
            if index.collection != collection || !is_due {
                continue;
            }
            let entry = index.entry(id, document);
            let row = self.snapshot.get(Keyspace::Indexes, &entry.key)?;
            if row.is_none_or(|row| *row != *entry.value()) {
                let place = format!("document {} of collection {}", id.escape_ascii(), collection.0);
                self.found
                    .report(place, format!("its row in the index `{}` is missing or wrong", index.name));
            }
        }
        Ok(())
    }

    /// Every row of an index is that of a living document.
    fn index_rows(&mut self) -> Result<(), StoreError> {
        for row in self.snapshot.prefix(Keyspace::Indexes, &[], Direction::Forward) {
            let (key, value) = row?;
            self.count_row()?;
            self.found.index_rows += 1;
            let place = || format!("index row {}", key.escape_ascii());
            let known = layout::split_index_key(&key).and_then(|(id, _)| self.indexes.get(&id));
            let Some((index, _)) = known else {
                self.found.report(place(), "there is no such index");
                continue;
            };
            if index.state() == State::Dropped {
                continue;
            }
            let Some(id) = index.id_of(&key) else {
                self.found.report(place(), "it cannot be read");
                continue;
            };
            let document_key = layout::document_key(index.collection, id);
            let record = self.snapshot.get(Keyspace::Documents, &document_key)?;
            let entry = record
                .as_deref()
                .and_then(|record| parse_record(record).ok())
                .filter(|record| record.alive)
                .map(|record| index.entry(id, record.value));
            if entry.is_none_or(|entry| *entry.key != *key || *entry.value() != *value) {
                self.found.report(place(), "its document is gone or has other values");
            }
        }
        Ok(())
    }

    fn graves(&mut self) -> Result<(), StoreError> {
        for row in self.snapshot.prefix(Keyspace::Graves, &[], Direction::Forward) {
            let (key, value) = row?;
            self.count_row()?;
            let place = || format!("grave {}", key.escape_ascii());
            match key.first() {
                Some(&rows::TAG_GRAVE) => match (rows::split_grave_key(&key), Grave::decode(&value)) {
                    (Some((collection, hash)), Some(grave)) => {
                        self.found.graves += 1;
                        *self.grave_counts.entry(collection).or_default() += 1;
                        self.last = self.last.max(grave.sequence);
                        if !self.is_named_at(grave.sequence, &graves::buried_key(collection, &hash))? {
                            self.found.report(place(), "its change is missing or names another document");
                        }
                    }
                    _ => self.found.report(place(), "it cannot be read"),
                },
                Some(&rows::TAG_WAITING) => {
                    if rows::split_waiting_key(&key).is_none() {
                        self.found.report(place(), "it cannot be read");
                    }
                }
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

    /// The grave of a document, if there is a readable one.
    fn grave(&self, collection: CollectionId, hash: &KeyHash) -> Result<Option<Grave>, StorageError> {
        if !self.grave_counts.contains_key(&collection) {
            return Ok(None);
        }
        let row = self.snapshot.get(Keyspace::Graves, &rows::grave_key(collection, hash))?;
        Ok(row.and_then(|row| Grave::decode(&row)))
    }

    /// Every deleted document waits for its burial. Those who wait are counted, not remembered; one that was inserted
    /// again meanwhile may still be among them.
    fn burials(&mut self) -> Result<(), StoreError> {
        let mut tombstones = 0;
        for row in self.snapshot.prefix(Keyspace::Graves, &[rows::TAG_WAITING], Direction::Forward) {
            self.inner.check_open()?;
            let Some((_, sequence)) = rows::split_waiting_key(&row?.0) else { continue };
            let change = self.snapshot.get(Keyspace::Changes, &layout::sequence_key(sequence))?;
            let Some((document, _)) = change.as_deref().and_then(layout::decode_change) else { continue };
            let record = self.snapshot.get(Keyspace::Documents, document)?;
            let parsed = record.as_deref().and_then(|record| parse_record(record).ok());
            tombstones +=
                u64::from(parsed.is_some_and(|parsed| !parsed.alive && parsed.newest_sequence == sequence));
        }
        if tombstones != self.found.tombstones {
            let problem = format!(
                "{} documents are deleted, {tombstones} of them wait for their burial",
                self.found.tombstones
            );
            self.found.report("tombstones".to_owned(), problem);
        }
        Ok(())
    }

    /// Whether the change log has a row of this sequence for this document.
    fn is_named_at(&self, sequence: Sequence, document_key: &[u8]) -> Result<bool, StorageError> {
        let change = self.snapshot.get(Keyspace::Changes, &layout::sequence_key(sequence))?;
        let named = change.as_ref().and_then(|row| layout::decode_change(row)).map(|(named, _)| named);
        Ok(named == Some(document_key))
    }

    fn documents(&mut self) -> Result<(), StoreError> {
        for row in self.snapshot.prefix(Keyspace::Documents, &[], Direction::Forward) {
            let (key, record) = row?;
            self.count_row()?;
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
            if self.grave(collection, &names::key_hash(id))?.is_some() {
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
                        self.found.report(place(), "the version is not that of its content");
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
                        self.rows_of(collection, id, parsed.value)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn states(&mut self) -> Result<(), StoreError> {
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
                    let buried = self.grave_counts.get(&id).copied().unwrap_or_default();
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

    fn changes(&mut self) -> Result<(), StoreError> {
        for row in self.snapshot.prefix(Keyspace::Changes, &[], Direction::Forward) {
            let (key, value) = row?;
            self.count_row()?;
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
                if self.grave(buried.0, &buried.1)?.is_none_or(|grave| grave.sequence != sequence) {
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

    fn commits(&mut self) -> Result<(), StoreError> {
        let mut previous = Sequence::ZERO;
        for row in self.snapshot.prefix(Keyspace::Commits, &[], Direction::Forward) {
            let (key, value) = row?;
            self.count_row()?;
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
