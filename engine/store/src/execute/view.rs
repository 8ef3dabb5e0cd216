//! What a statement reads from: the newest state, a snapshot, or a write transaction.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ditto_storage::{Bytes, Direction, Entries, Keyspace, Snapshot};

use crate::catalog::Collection;
use crate::error::StoreError;
use crate::layout::{self, CollectionState};
use crate::pending::Pending;
use crate::store::Inner;
use crate::write::WriteTransaction;

/// Is given the `documents` key and the record of each row; may stop the scan.
pub(crate) type EachRecord<'f> = dyn FnMut(&Bytes, &Bytes) -> Result<ControlFlow<()>, StoreError> + 'f;

/// The state that a statement sees.
#[derive(Clone, Copy)]
pub(crate) enum View<'a> {
    /// Whatever is newest. Single documents are read without a snapshot, anything else from one taken then.
    Newest(&'a Inner),
    /// One moment, kept.
    Snapshot(&'a Inner, &'a dyn Snapshot),
    /// The newest state and the transaction's own changes.
    Write(&'a WriteTransaction),
}

impl<'a> View<'a> {
    pub(crate) fn inner(&self) -> &'a Inner {
        match self {
            Self::Newest(inner) | Self::Snapshot(inner, _) => inner,
            Self::Write(transaction) => &transaction.inner,
        }
    }

    pub(crate) fn collection(&self, name: &str) -> Option<Arc<Collection>> {
        match self {
            Self::Newest(inner) | Self::Snapshot(inner, _) => inner.collections.get(name),
            Self::Write(transaction) => transaction.collection(name),
        }
    }

    /// The record under a `documents` key, tombstones included.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Newest(inner) => Ok(inner.storage.get(Keyspace::Documents, key)?),
            Self::Snapshot(_, snapshot) => Ok(snapshot.get(Keyspace::Documents, key)?),
            Self::Write(transaction) => transaction.get(key),
        }
    }

    /// The records under several keys, of one moment; `each` is not called for what does not exist.
    pub(crate) fn get_all(&self, keys: &[Bytes], each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        if let (Self::Newest(inner), true) = (self, keys.len() > 1) {
            let snapshot = inner.storage.snapshot();
            return View::Snapshot(inner, &*snapshot).get_all(keys, each);
        }
        for key in keys {
            if let Some(record) = self.get(key)?
                && each(key, &record)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// All records of a collection by key, tombstones included.
    pub(crate) fn scan(&self, collection: &Collection, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        match self {
            Self::Newest(inner) => scan_rows(entries(&*inner.storage.snapshot(), collection), each),
            Self::Snapshot(_, snapshot) => scan_rows(entries(*snapshot, collection), each),
            Self::Write(transaction) => {
                let snapshot = transaction.inner.storage.snapshot();
                let prefix = layout::collection_prefix(collection.id);
                let mut changed = transaction.changed().with_prefix(&prefix).peekable();
                for row in entries(&*snapshot, collection) {
                    let (key, record) = row?;
                    while let Some((earlier, pending)) = changed.next_if(|(changed, _)| **changed < key) {
                        if offer(earlier, pending, each)?.is_break() {
                            return Ok(());
                        }
                    }
                    let flow = match changed.next_if(|(changed, _)| **changed == key) {
                        Some((key, pending)) => offer(key, pending, each)?,
                        None => each(&key, &record)?,
                    };
                    if flow.is_break() {
                        return Ok(());
                    }
                }
                for (key, pending) in changed {
                    if offer(key, pending, each)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// How many living documents a collection has, without reading them.
    pub(crate) fn count(&self, collection: &Collection) -> Result<u64, StoreError> {
        match self {
            Self::Newest(_) => Ok(collection.documents.load(Ordering::Acquire)),
            Self::Snapshot(_, snapshot) => {
                let row = snapshot.get(Keyspace::Catalog, &layout::state_key(collection.id))?;
                match row {
                    None => Ok(0),
                    Some(row) => CollectionState::decode(&row)
                        .map(|state| state.documents)
                        .ok_or_else(|| StoreError::corrupt("the counters of a collection cannot be read")),
                }
            }
            Self::Write(transaction) => Ok(transaction.count(collection)),
        }
    }
}

fn entries<'s>(snapshot: &'s dyn Snapshot, collection: &Collection) -> Entries<'s> {
    snapshot.prefix(Keyspace::Documents, &layout::collection_prefix(collection.id), Direction::Forward)
}

fn scan_rows(rows: Entries<'_>, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
    for row in rows {
        let (key, record) = row?;
        if each(&key, &record)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn offer(key: &Bytes, pending: &Pending, each: &mut EachRecord<'_>) -> Result<ControlFlow<()>, StoreError> {
    pending.after.as_ref().map_or(Ok(ControlFlow::Continue(())), |record| each(key, record))
}
