//! Merging what a remote peer sent, document by document.

use std::collections::HashSet;

use ditto_crdt::record::{self, Inserted};
use ditto_crdt::{DecodeError, Delta, Document, Lost, Record, Sequence, Stamp, Version};
use ditto_storage::{Bytes, Keyspace};
use ditto_value::Value;

use crate::error::StoreError;
use crate::layout::{self, CollectionId, DocumentKey, MAX_ID_BYTES};
use crate::lifecycle::conflicts::{Conflict, LostField};
use crate::lifecycle::holdings::Facts;
use crate::lifecycle::names::{self, KeyHash};
use crate::lifecycle::{graves, skew};
use crate::replica::{Incoming, IncomingDocument, Outcome, Refused, read_change};
use crate::write::{NewRecord, WriteTransaction, check_collection_name, check_id, parse_record};

const NEEDS_ID: &str = "a document that is alive needs its _id, not the hash of it";

/// The outcome of each document, or why it was refused.
pub(crate) type Outcomes = Vec<Result<Outcome, Refused>>;

/// Merges all documents into the transaction. Answers with the outcomes, in their order, and what was lost.
pub(crate) fn merge_all<'i>(
    transaction: &mut WriteTransaction,
    incoming: &'i Incoming,
) -> Result<(Outcomes, Vec<Conflict<'i>>), StoreError> {
    let mut merging = Merging { incoming, conflicts: Vec::new(), by_hash: HashSet::new() };
    // Documents named by their hash first, so that one that is named twice is noticed.
    let mut outcomes: Vec<Option<Result<Outcome, Refused>>> = vec![None; incoming.documents.len()];
    for by_hash in [true, false] {
        for (document, outcome) in incoming.documents.iter().zip(&mut outcomes) {
            if names::as_hash(&document.key.id).is_some() == by_hash {
                *outcome = Some(merging.merge(transaction, document)?);
            }
        }
    }
    Ok((outcomes.into_iter().flatten().collect(), merging.conflicts))
}

struct Merging<'i> {
    incoming: &'i Incoming,
    conflicts: Vec<Conflict<'i>>,
    /// Graves that this very commit makes.
    by_hash: HashSet<(CollectionId, KeyHash)>,
}

/// What a merge made of a document.
struct Merged {
    /// `None` if nothing is new.
    record: Option<Vec<u8>>,
    /// Something of what came is dead here.
    absorbed: bool,
}

/// What is known of a document before a merge.
struct Known<'r> {
    key: &'r Bytes,
    record: Record<'r>,
    id: Value,
}

impl<'i> Merging<'i> {
    fn merge(
        &mut self,
        transaction: &mut WriteTransaction,
        incoming: &'i IncomingDocument,
    ) -> Result<Result<Outcome, Refused>, StoreError> {
        let id = match readable_name(&incoming.key) {
            Ok(id) => id,
            Err(refused) => return Ok(Err(refused)),
        };
        let collection = transaction.collection(&incoming.key.collection);
        let (key, stored, sequence) = match &collection {
            Some(collection) => {
                let Some(key) = self.key(transaction, collection.id, &incoming.key)? else {
                    return Ok(Err(malformed("one document is named by its _id and by its hash")));
                };
                let (stored, sequence) = (transaction.get(&key)?, transaction.sequence_of(&key));
                (key, stored, sequence)
            }
            None => (Bytes::from(Vec::new()), None, transaction.next_sequence()),
        };
        let (merged, known, was_alive) = match &stored {
            None => (receive(&id, incoming, sequence), None, false),
            Some(record) => {
                let parsed = parse_record(record)?;
                let id = id.or_else(|| id_of(&key));
                let known = Known { key: &key, record: parsed, id: id.unwrap_or(Value::Null) };
                let merged = self.merge_into(transaction, &known, incoming, sequence)?;
                (merged, Some(parsed.version), parsed.alive)
            }
        };
        let Merged { record, absorbed } = match merged {
            Ok(merged) => merged,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(record) = record else {
            return Ok(Ok(Outcome { before: known, after: known.unwrap_or(Version::NOTHING), absorbed }));
        };
        if record.len() > ditto_storage::MAX_VALUE_BYTES {
            let reason = format!("the merged document takes {} bytes", record.len());
            return Ok(Err(Refused::TooLarge(reason)));
        }
        let parsed = parse_record(&record)?;
        let newest = parsed.newest_write().map_err(|error| StoreError::corrupt(error.to_string()))?;
        let (version, is_alive) = (parsed.version, parsed.alive);
        transaction.observe(newest.time);
        if skew::ahead(newest, transaction.now_ms).is_some() {
            let before = match &stored {
                Some(record) => parse_record(record)?.newest_write().unwrap_or_default(),
                None => Stamp::ZERO,
            };
            if newest > before {
                let inner = &transaction.inner;
                inner.skews.measured(inner, &self.incoming.from, newest, transaction.now_ms);
            }
        }
        let known_collection = collection.is_some();
        let collection = transaction.collection_for_write(&incoming.key.collection)?;
        let key = if known_collection {
            key
        } else {
            Bytes::from(layout::document_key(collection.id, &incoming.key.id))
        };
        if let Some(hash) = layout::split_document_key(&key).and_then(|(_, name)| names::as_hash(name)) {
            self.by_hash.insert((collection.id, hash));
        }
        let origin = (version == incoming.stated).then_some(self.incoming.origin);
        transaction.share(&collection);
        transaction.put(
            &collection,
            key,
            stored,
            NewRecord { record: record.into(), was_alive, is_alive, origin },
        );
        Ok(Ok(Outcome { before: known, after: version, absorbed }))
    }

    /// The `documents` key of an incoming document; if it is named by its hash and not buried here, that of the document
    /// with this hash. `None` if this commit has it under its other name.
    fn key(
        &self,
        transaction: &WriteTransaction,
        collection: CollectionId,
        name: &DocumentKey,
    ) -> Result<Option<Bytes>, StoreError> {
        let key = Bytes::from(layout::document_key(collection, &name.id));
        match names::as_hash(&name.id) {
            None if self.by_hash.is_empty() => Ok(Some(key)),
            None => {
                let twice = self.by_hash.contains(&(collection, names::key_hash(&name.id)));
                Ok((!twice).then_some(key))
            }
            Some(_) if graves::is_buried(&transaction.inner, collection, &name.id)? => Ok(Some(key)),
            Some(hash) => {
                let snapshot = transaction.inner.storage.snapshot();
                Ok(Some(transaction.inner.names.find(&*snapshot, collection, &hash)?.unwrap_or(key)))
            }
        }
    }

    /// A document that is known.
    fn merge_into(
        &mut self,
        transaction: &WriteTransaction,
        known: &Known<'_>,
        incoming: &'i IncomingDocument,
        sequence: Sequence,
    ) -> Result<Result<Merged, Refused>, StoreError> {
        let delta = match read_delta(&incoming.delta) {
            Ok(delta) => delta,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut document = decode(&known.record)?;
        let lost = document.lost_to(&delta);
        let only_removes = delta.only_removes();
        let merged = document.take(delta, sequence);
        if !merged.changed {
            return Ok(Ok(Merged { record: None, absorbed: merged.absorbed }));
        }
        let version = match check_merged(&document, only_removes.then_some(&known.record))? {
            Ok(version) => version,
            Err(refused) => return Ok(Err(refused)),
        };
        let is_by_hash =
            layout::split_document_key(known.key).is_some_and(|(_, name)| names::as_hash(name).is_some());
        if is_by_hash && document.is_alive() {
            return Ok(Err(malformed(NEEDS_ID)));
        }
        if !lost.is_empty() {
            self.report(transaction, known, incoming, lost, sequence)?;
        }
        let record = record::encode_as(&document, &known.id, version);
        Ok(Ok(Merged { record: Some(record), absorbed: merged.absorbed }))
    }

    /// Reports what is lost if the sender of a deletion is not known to hold the document as it is here.
    fn report(
        &mut self,
        transaction: &WriteTransaction,
        known: &Known<'_>,
        incoming: &'i IncomingDocument,
        lost: Vec<Lost>,
        sequence: Sequence,
    ) -> Result<(), StoreError> {
        let inner = &transaction.inner;
        let newest = known.record.newest_sequence;
        let row = inner.storage.get(Keyspace::Changes, &layout::sequence_key(newest))?;
        let origin = match &row {
            Some(row) => read_change(&layout::sequence_key(newest), row)?.2,
            None => None,
        };
        let facts = Facts {
            collection: &incoming.key.collection,
            name: layout::split_document_key(known.key).map_or(&[], |(_, name)| name),
            value: known.record.alive.then_some(known.record.value),
            newest,
            origin,
        };
        let compile = inner.compile();
        if inner.holdings.holds(&self.incoming.from, &facts, &compile) {
            return Ok(());
        }
        let set_aside = !inner.holdings.anybody_holds(&facts, &compile);
        let own = inner.holdings.own_writes(&self.incoming.from);
        let fields: Vec<LostField> = lost
            .into_iter()
            .filter(|lost| !own.include(lost.stamp.site, lost.sequence))
            .map(|lost| LostField { set_aside, lost })
            .collect();
        if !fields.is_empty() {
            self.conflicts.push(Conflict {
                sequence,
                collection: &incoming.key.collection,
                id: known.id.clone(),
                from: &self.incoming.from,
                time_ms: transaction.now_ms,
                fields,
            });
        }
        Ok(())
    }
}

/// A document that was not known.
fn receive(id: &Option<Value>, incoming: &IncomingDocument, sequence: Sequence) -> Result<Merged, Refused> {
    let Inserted { record, version } = match id {
        Some(id) => record::receive(id, &incoming.delta, sequence).map_err(unreadable)?,
        None => {
            let received = record::receive(&Value::Null, &incoming.delta, sequence).map_err(unreadable)?;
            if Record::parse(&received.record).map_err(malformed)?.alive {
                return Err(malformed(NEEDS_ID));
            }
            received
        }
    };
    // Only an empty delta has this version.
    Ok(Merged { record: (version != Version::NOTHING).then_some(record), absorbed: false })
}

/// The version of a document that was merged with what came, which must not become larger than others can take: whoever asks for
/// it, looks at it or merges with it has to decode it. What only removes parts is taken whatever the size is, if the document was
/// as large `before`.
pub(crate) fn check_merged(
    document: &Document,
    before: Option<&Record<'_>>,
) -> Result<Result<Version, Refused>, StoreError> {
    let checked = document.checked_version().map_err(too_large);
    let Some(before) = before.filter(|_| checked.is_err()) else { return Ok(checked) };
    let (size, before) = (document.size(), decode(before)?.size());
    let is_no_larger = size.parts <= before.parts && size.paths <= before.paths;
    Ok(if is_no_larger { Ok(document.version()) } else { checked })
}

fn too_large(reason: impl std::fmt::Display) -> Refused {
    Refused::TooLarge(format!("the merged document has {reason}"))
}

fn decode(record: &Record<'_>) -> Result<Document, StoreError> {
    record.document().map_err(|error| StoreError::corrupt(error.to_string()))
}

/// What another peer sent.
pub(crate) fn read_delta(bytes: &[u8]) -> Result<Delta, Refused> {
    Delta::decode(bytes).map_err(unreadable)
}

fn unreadable(error: DecodeError) -> Refused {
    if error.too_large { too_large(error.reason) } else { malformed(error) }
}

fn malformed(error: impl std::fmt::Display) -> Refused {
    Refused::Malformed(error.to_string())
}

/// The `_id` that a `documents` key names; `None` if it names a hash.
fn id_of(key: &[u8]) -> Option<Value> {
    let (_, name) = layout::split_document_key(key)?;
    ditto_value::key::decode(name).ok().map(|(id, _)| id)
}

/// The `_id` of a document from elsewhere; `None` if it is named by its hash.
fn readable_name(key: &DocumentKey) -> Result<Option<Value>, Refused> {
    check_collection_name(&key.collection).map_err(malformed)?;
    if key.id.len() > MAX_ID_BYTES {
        return Err(Refused::TooLarge(format!("the _id takes {} bytes", key.id.len())));
    }
    if names::as_hash(&key.id).is_some() {
        return Ok(None);
    }
    let (id, rest) = ditto_value::key::decode(&key.id).map_err(malformed)?;
    if !rest.is_empty() || *ditto_value::key::of(&id) != *key.id {
        return Err(malformed("the _id is not in its one encoding"));
    }
    check_id(&id).map_err(malformed)?;
    Ok(Some(id))
}
