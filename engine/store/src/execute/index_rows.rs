//! Rows of an index as a statement sees them: those of a snapshot, and those of its own write transaction.

use std::ops::{Bound, ControlFlow};

use ditto_storage::{Direction, Keyspace, Snapshot};

use super::plan::KeyRange;
use super::view::View;
use crate::error::StoreError;
use crate::index::{self, Index, PendingRows};
use crate::layout;
use crate::write::WriteTransaction;

/// Is given each row, and whether its document says more than the row; may stop the scan.
pub(crate) type EachRow<'f> = dyn FnMut(&[u8], bool) -> Result<ControlFlow<()>, StoreError> + 'f;

/// The rows of all indexes in one state of the store.
pub(crate) struct IndexRows<'a> {
    snapshot: &'a dyn Snapshot,
    /// What a transaction changed: the rows of these documents are not those of the snapshot.
    pending: Option<(&'a WriteTransaction, &'a PendingRows)>,
}

impl View<'_> {
    /// Calls `read` with the rows of this state. They must not be asked for again meanwhile.
    pub(crate) fn with_index_rows<T>(
        &self,
        read: impl FnOnce(&IndexRows<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self {
            Self::Newest(inner) => {
                let snapshot = inner.storage.snapshot();
                read(&IndexRows { snapshot: &*snapshot, pending: None })
            }
            Self::Snapshot(_, snapshot) => read(&IndexRows { snapshot: *snapshot, pending: None }),
            Self::Write(transaction) => {
                let snapshot = transaction.inner.storage.snapshot();
                if transaction.changed().is_empty() {
                    return read(&IndexRows { snapshot: &*snapshot, pending: None });
                }
                let rows = transaction.index_rows()?;
                read(&IndexRows { snapshot: &*snapshot, pending: Some((transaction, &rows)) })
            }
        }
    }
}

impl IndexRows<'_> {
    /// Calls `each` with the rows of a range, until it breaks.
    pub(crate) fn scan(
        &self,
        index: &Index,
        range: &KeyRange,
        direction: Direction,
        each: &mut EachRow<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let bounds = (
            Bound::Included(&range.low[..]),
            range.high.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
        );
        let stored = self.snapshot.range(Keyspace::Indexes, bounds, direction);
        let Some((transaction, pending)) = self.pending else {
            for row in stored {
                let (row, value) = row?;
                if each(&row, index::is_marked(&value))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            return Ok(ControlFlow::Continue(()));
        };
        let own = pending.range(bounds.0, bounds.1);
        let own: Box<dyn Iterator<Item = (&[u8], bool)>> = match direction {
            Direction::Forward => Box::new(own),
            Direction::Backward => Box::new(own.rev()),
        };
        let mut own = own.peekable();
        let mut document = layout::document_key(index.collection, &[]);
        let prefix = document.len();
        for row in stored {
            let (row, value) = row?;
            let is_earlier = |own: &[u8]| match direction {
                Direction::Forward => *own < *row,
                Direction::Backward => *own > *row,
            };
            while let Some((own, is_marked)) = own.next_if(|(own, _)| is_earlier(own)) {
                if each(own, is_marked)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            document.truncate(prefix);
            document.extend_from_slice(index.id_of(&row).ok_or_else(malformed)?);
            if transaction.changed().get(&document[..]).is_none()
                && each(&row, index::is_marked(&value))?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        for (own, is_marked) in own {
            if each(own, is_marked)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The error for a row of an index that cannot be read.
pub(crate) fn malformed() -> StoreError {
    StoreError::corrupt("a row of an index cannot be read")
}
