//! What a statement reads from: the newest state, a snapshot, or a write transaction.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ditto_storage::{Bytes, Direction, Entries, Keyspace, Snapshot};

use super::plan::KeyRange;
use crate::catalog::Collection;
use crate::error::StoreError;
use crate::index::{Definition, Index};
use crate::layout::{self, CollectionState};
use crate::pending::Pending;
use crate::store::Inner;
use crate::write::WriteTransaction;

/// Is given the `documents` key and the record of each row; may stop the scan.
pub(crate) type EachRecord<'f> = dyn FnMut(&Bytes, &Bytes) -> Result<ControlFlow<()>, StoreError> + 'f;

/// The indexes of a collection, and those of them that can be used.
pub(crate) struct UsableIndexes {
    all: Arc<[Arc<Index>]>,
    /// A bit for each; [`MAX_INDEXES`](crate::MAX_INDEXES) of them fit.
    usable: u64,
}

fn bit(number: usize) -> u64 {
    u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number)).unwrap_or(0)
}

impl UsableIndexes {
    /// Those that can be used, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Index>> {
        let is_usable = |number| self.usable & bit(number) != 0;
        self.all.iter().enumerate().filter(move |(number, _)| is_usable(*number)).map(|(_, index)| index)
    }
}

/// The same list, and the same ones of it.
impl PartialEq for UsableIndexes {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.all, &other.all) && self.usable == other.usable
    }
}

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

    /// The indexes of a collection that have the rows of all documents in this state.
    pub(crate) fn usable_indexes(&self, collection: &Collection) -> Result<UsableIndexes, StoreError> {
        let all = collection.indexes.all();
        let mut usable = 0;
        for (number, index) in all.iter().enumerate().filter(|(_, index)| index.is_ready()) {
            let is_usable = match self {
                Self::Newest(_) | Self::Write(_) => true,
                Self::Snapshot(_, snapshot) => Definition::is_ready_in(*snapshot, index)?,
            };
            if is_usable {
                usable |= bit(number);
            }
        }
        Ok(UsableIndexes { all, usable })
    }

    /// All records in a range of keys, tombstones included, until `each` breaks.
    pub(crate) fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        each: &mut EachRecord<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        match self {
            Self::Newest(inner) => scan_rows(entries(&*inner.storage.snapshot(), range, direction), each),
            Self::Snapshot(_, snapshot) => scan_rows(entries(*snapshot, range, direction), each),
            Self::Write(transaction) => {
                let snapshot = transaction.inner.storage.snapshot();
                scan_pending(transaction, entries(&*snapshot, range, direction), range, direction, each)
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

fn bounds(range: &KeyRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(&range.low), range.high.as_deref().map_or(Bound::Unbounded, Bound::Excluded))
}

fn entries<'s>(snapshot: &'s dyn Snapshot, range: &KeyRange, direction: Direction) -> Entries<'s> {
    snapshot.range(Keyspace::Documents, bounds(range), direction)
}

fn scan_rows(rows: Entries<'_>, each: &mut EachRecord<'_>) -> Result<ControlFlow<()>, StoreError> {
    for row in rows {
        let (key, record) = row?;
        if each(&key, &record)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The stored rows of a range, with what the transaction changed in it.
fn scan_pending(
    transaction: &WriteTransaction,
    rows: Entries<'_>,
    range: &KeyRange,
    direction: Direction,
    each: &mut EachRecord<'_>,
) -> Result<ControlFlow<()>, StoreError> {
    let changed = transaction.changed().range(bounds(range));
    let changed: Box<dyn Iterator<Item = (&Bytes, &Pending)>> = match direction {
        Direction::Forward => Box::new(changed),
        Direction::Backward => Box::new(changed.rev()),
    };
    let mut changed = changed.peekable();
    for row in rows {
        let (key, record) = row?;
        let is_earlier = |changed: &Bytes| match direction {
            Direction::Forward => **changed < *key,
            Direction::Backward => **changed > *key,
        };
        while let Some((earlier, pending)) = changed.next_if(|(changed, _)| is_earlier(changed)) {
            if offer(earlier, pending, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let flow = match changed.next_if(|(changed, _)| **changed == key) {
            Some((key, pending)) => offer(key, pending, each)?,
            None => each(&key, &record)?,
        };
        if flow.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    for (key, pending) in changed {
        if offer(key, pending, each)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn offer(key: &Bytes, pending: &Pending, each: &mut EachRecord<'_>) -> Result<ControlFlow<()>, StoreError> {
    pending.after.as_ref().map_or(Ok(ControlFlow::Continue(())), |record| each(key, record))
}
