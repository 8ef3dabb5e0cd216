//! Graves as records.
//!
//! To writers and to merges a grave looks like the tombstone that it was: [`stored`] and [`found`] make the record again.
//! What is written then replaces the grave.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use ditto_crdt::{Birth, Document, Record, Sequence, record};
use ditto_storage::{Batch, Bytes, Direction, Keyspace, Snapshot};
use ditto_value::Value;

use super::names::{self, KeyHash};
use super::rows::{self, Grave};
use crate::error::StoreError;
use crate::layout::{self, CollectionId};
use crate::store::Inner;
use crate::write::parse_record;

/// The grave of a document, if it is buried.
pub(crate) fn grave(
    snapshot: &dyn Snapshot,
    collection: CollectionId,
    hash: &KeyHash,
) -> Result<Option<Grave>, StoreError> {
    snapshot.get(Keyspace::Graves, &rows::grave_key(collection, hash))?.map(|row| decode(&row)).transpose()
}

/// Hashes and records of the buried documents of a collection, those after this hash.
pub(crate) fn after<'a>(
    snapshot: &'a dyn Snapshot,
    collection: CollectionId,
    after: Option<&KeyHash>,
) -> impl Iterator<Item = Result<(KeyHash, Bytes), StoreError>> + 'a {
    let first = rows::grave_key(collection, &KeyHash::default());
    let low = after.map_or(Bound::Included(first), |hash| Bound::Excluded(rows::grave_key(collection, hash)));
    let high = Bound::Included(rows::grave_key(collection, &[0xff; 16]));
    let range = (low.as_ref().map(Vec::as_slice), high.as_ref().map(Vec::as_slice));
    snapshot.range(Keyspace::Graves, range, Direction::Forward).map(|row| {
        let (key, row) = row?;
        let (_, hash) =
            rows::split_grave_key(&key).ok_or_else(|| StoreError::corrupt("a grave has no name"))?;
        Ok((hash, record_of(&decode(&row)?)))
    })
}

fn decode(row: &[u8]) -> Result<Grave, StoreError> {
    Grave::decode(row).ok_or_else(|| StoreError::corrupt("a grave cannot be read"))
}

/// Whether a document has a grave, by its name of either form. For the writer.
pub(crate) fn is_buried(inner: &Inner, collection: CollectionId, name: &[u8]) -> Result<bool, StoreError> {
    if !has_graves(inner, collection) {
        return Ok(false);
    }
    let key = rows::grave_key(collection, &names::hash_of(name));
    Ok(inner.storage.get(Keyspace::Graves, &key)?.is_some())
}

/// Most collections have none, and then nobody needs to look.
fn has_graves(inner: &Inner, collection: CollectionId) -> bool {
    inner.collections.by_id(collection).is_some_and(|found| found.graves.load(Ordering::Acquire) > 0)
}

/// The record under a `documents` key of either form, also of a buried document. For the writer, since whoever else reads
/// needs a snapshot: the document may be buried or inserted again meanwhile.
pub(crate) fn stored(inner: &Inner, document_key: &[u8]) -> Result<Option<Bytes>, StoreError> {
    if let Some(record) = inner.storage.get(Keyspace::Documents, document_key)? {
        return Ok(Some(record));
    }
    let Some((collection, name)) = layout::split_document_key(document_key) else { return Ok(None) };
    if !has_graves(inner, collection) {
        return Ok(None);
    }
    let row = inner.storage.get(Keyspace::Graves, &rows::grave_key(collection, &names::hash_of(name)))?;
    Ok(row.map(|row| decode(&row)).transpose()?.as_ref().map(record_of))
}

/// As [`stored`], of one moment; and a document that is not buried is found by its hash as well.
pub(crate) fn found(
    inner: &Inner,
    collection: CollectionId,
    name: &[u8],
) -> Result<Option<Bytes>, StoreError> {
    let hash = names::as_hash(name);
    if hash.is_none() {
        let record = inner.storage.get(Keyspace::Documents, &layout::document_key(collection, name))?;
        if record.is_some() {
            return Ok(record);
        }
    }
    let snapshot = inner.storage.snapshot();
    if let Some(grave) = grave(&*snapshot, collection, &hash.unwrap_or_else(|| names::key_hash(name)))? {
        return Ok(Some(record_of(&grave)));
    }
    let key = match &hash {
        Some(hash) => inner.names.find(&*snapshot, collection, hash)?,
        None => Some(layout::document_key(collection, name).into()),
    };
    Ok(key.map(|key| snapshot.get(Keyspace::Documents, &key)).transpose()?.flatten())
}

/// The record of the tombstone that a grave was.
pub(crate) fn record_of(grave: &Grave) -> Bytes {
    dead_record(&grave.births, grave.sequence)
}

fn dead_record(births: &[Birth], sequence: Sequence) -> Bytes {
    record::encode(&Document::buried(births.iter().copied(), sequence), &Value::Null).into()
}

/// What EVICT leaves of a document: the births that were removed before, so that no old copy comes back to life here.
pub(crate) fn left_of(record: &[u8]) -> Result<Option<Bytes>, StoreError> {
    let parsed = parse_record(record)?;
    let births = removed_births(&parsed)?;
    Ok((!births.is_empty()).then(|| dead_record(&births, parsed.newest_sequence)))
}

fn removed_births(record: &Record<'_>) -> Result<Vec<Birth>, StoreError> {
    record.removed_births().map_err(|error| StoreError::corrupt(error.to_string()))
}

/// Adds the grave of a document of which only removed births are left, made at this age of the database.
pub(crate) fn bury(
    batch: &mut Batch,
    collection: CollectionId,
    hash: &KeyHash,
    record: &[u8],
    age_ms: u64,
) -> Result<(), StoreError> {
    let parsed = parse_record(record)?;
    let grave = Grave { sequence: parsed.newest_sequence, age_ms, births: removed_births(&parsed)? };
    batch.put(Keyspace::Graves, rows::grave_key(collection, hash), grave.encode());
    Ok(())
}

/// The `documents` key that stands for a buried document: collection id ‖ name by hash.
pub(crate) fn buried_key(collection: CollectionId, hash: &KeyHash) -> Vec<u8> {
    layout::document_key(collection, &names::hash_name(hash))
}
