//! Documents named by the hash of their `_id`.
//!
//! A grave does not know the `_id` of its document, so change log and protocol name it by `00` and the hash, where other
//! documents have their encoded `_id` (which never begins with `00`). Whoever holds the document finds it by looking through
//! its own change log once, and after that through what is new in it.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;

use ditto_crdt::Sequence;
use ditto_storage::{Bytes, Direction, Keyspace, Snapshot};
use parking_lot::Mutex;

use crate::error::StoreError;
use crate::layout::{self, CollectionId};
use crate::replica::read_change;

/// First 16 bytes of the BLAKE3 hash of an encoded `_id`.
pub(crate) type KeyHash = [u8; 16];

/// First byte of a name that is a hash.
const BY_HASH: u8 = 0;

pub(crate) fn key_hash(id: &[u8]) -> KeyHash {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(id).as_bytes()[..16]);
    short
}

/// What stands for the `_id` of a buried document: `00` ‖ hash (16).
pub(crate) fn hash_name(hash: &KeyHash) -> [u8; 17] {
    let mut name = [BY_HASH; 17];
    name[1..].copy_from_slice(hash);
    name
}

/// The hash, if that is what the document is named by.
pub(crate) fn as_hash(name: &[u8]) -> Option<KeyHash> {
    name.strip_prefix(&[BY_HASH])?.try_into().ok()
}

/// The hash of a name of either form.
pub(crate) fn hash_of(name: &[u8]) -> KeyHash {
    as_hash(name).unwrap_or_else(|| key_hash(name))
}

/// Finds documents by hash. Costs memory only between uses that are not long apart: see [`NameFinder::rest`].
#[derive(Default)]
pub(crate) struct NameFinder(Mutex<HashMap<CollectionId, Table>>);

/// Of one collection.
#[derive(Default)]
struct Table {
    /// Rows of the change log up to here are in it.
    up_to: Sequence,
    /// The beginning of the hash → sequence of the document's newest change. About 30 bytes a document.
    newest: HashMap<u64, Sequence>,
    /// Others with the same beginning: practically none.
    more: HashMap<u64, HashSet<Sequence>>,
    used: bool,
}

impl NameFinder {
    /// The `documents` key of the document with this hash, if there is one. Linear in the change log the first time, then
    /// in what was added since.
    pub(crate) fn find(
        &self,
        snapshot: &dyn Snapshot,
        collection: CollectionId,
        hash: &KeyHash,
    ) -> Result<Option<Bytes>, StoreError> {
        let mut tables = self.0.lock();
        let table = tables.entry(collection).or_default();
        table.used = true;
        table.catch_up(snapshot, collection)?;
        let start = beginning(hash);
        for sequence in
            table.newest.get(&start).into_iter().chain(table.more.get(&start).into_iter().flatten())
        {
            let found = document_at(snapshot, *sequence)?.filter(|key| {
                layout::split_document_key(key)
                    .is_some_and(|(of, id)| of == collection && key_hash(id) == *hash)
            });
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Frees all tables: sequences may stand for other changes from now on.
    pub(crate) fn forget(&self) {
        self.0.lock().clear();
    }

    /// Frees the tables that were not used since the last call.
    pub(crate) fn rest(&self) {
        self.0.lock().retain(|_, table| std::mem::take(&mut table.used));
    }
}

impl Table {
    fn catch_up(&mut self, snapshot: &dyn Snapshot, collection: CollectionId) -> Result<(), StoreError> {
        let low = layout::sequence_key(self.up_to);
        let range = (Bound::Excluded(&low[..]), Bound::Unbounded);
        for row in snapshot.range(Keyspace::Changes, range, Direction::Forward) {
            let (key, value) = row?;
            let (sequence, document, _) = read_change(&key, &value)?;
            self.up_to = sequence;
            let Some((of, id)) = layout::split_document_key(document) else { continue };
            if of != collection || as_hash(id).is_some() {
                continue;
            }
            let start = beginning(&key_hash(id));
            // A document has one row, so an older one that is still there is another document.
            if let Some(older) = self.newest.insert(start, sequence)
                && document_at(snapshot, older)?.is_some()
            {
                self.more.entry(start).or_default().insert(older);
            }
        }
        Ok(())
    }
}

/// The first 8 bytes as a number.
fn beginning(hash: &KeyHash) -> u64 {
    hash.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The `documents` key that a row of the change log names.
fn document_at(snapshot: &dyn Snapshot, sequence: Sequence) -> Result<Option<Bytes>, StoreError> {
    let key = layout::sequence_key(sequence);
    let Some(value) = snapshot.get(Keyspace::Changes, &key)? else { return Ok(None) };
    let (_, document, _) = read_change(&key, &value)?;
    Ok(Some(document.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_taken_for_a_hash() {
        let id = ditto_value::key::of(&ditto_value::Value::from("x"));
        assert_eq!(as_hash(&id), None);
        let name = hash_name(&key_hash(&id));
        assert_eq!(as_hash(&name), Some(key_hash(&id)));
        assert_eq!(hash_of(&name), hash_of(&id));
        assert_eq!(as_hash(&name[..16]), None);
    }
}
