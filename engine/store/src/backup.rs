//! A copy of everything as it is at one moment, made while others read and write.

use std::ops::ControlFlow;

use ditto_crdt::Sequence;
use ditto_storage::{Batch, Direction, Keyspace, Storage, StorageError};

use crate::error::StoreError;
use crate::layout;
use crate::store::Inner;

/// Bytes of rows that are copied in one commit of the target: what the copy holds in memory.
const BATCH_BYTES: usize = 1 << 20;

/// Rows of the catalog that a copy does not take over as they are.
const NOT_COPIED: &[&[u8]] = &[layout::CATALOG_PLACE, layout::CATALOG_FORMAT];

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupProgress {
    /// Documents copied, deleted ones that are remembered among them.
    pub documents: u64,
    /// Living documents at the moment that is copied.
    pub total_documents: u64,
    /// Bytes of rows copied.
    pub bytes: u64,
    /// The newest change that the copy holds.
    pub last: Sequence,
}

/// Why there is no copy.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store could not be read.
    #[error(transparent)]
    Source(#[from] StoreError),
    /// The copy could not be written.
    #[error("the backup cannot be written")]
    Target(#[source] StorageError),
    /// There is something in the target already.
    #[error("the target of a backup must be empty: choose another one")]
    NotEmpty,
    /// The one who watched the progress did not want to go on.
    #[error("the backup was cancelled")]
    Cancelled,
}

/// Copies every row of one moment to an empty storage. The format row comes last: without it the copy is no database.
pub(crate) fn backup(
    inner: &Inner,
    target: &dyn Storage,
    on_progress: &mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
) -> Result<BackupProgress, BackupError> {
    inner.check_open()?;
    let written = target.snapshot();
    for keyspace in Keyspace::ALL {
        if let Some(row) = written.prefix(keyspace, &[], Direction::Forward).next() {
            row.map_err(BackupError::Target)?;
            return Err(BackupError::NotEmpty);
        }
    }
    drop(written);
    let snapshot = inner.storage.snapshot();
    let read = |error: StorageError| BackupError::Source(error.into());
    let mut progress = BackupProgress::default();
    for row in snapshot.prefix(Keyspace::Catalog, &[layout::TAG_STATE], Direction::Forward) {
        let (_, value) = row.map_err(read)?;
        let state = layout::CollectionState::decode(&value);
        let state =
            state.ok_or_else(|| StoreError::corrupt("the counters of a collection cannot be read"))?;
        progress.total_documents += state.documents;
        progress.last = progress.last.max(state.last);
    }
    let mut batch = Batch::new();
    let mut batch_bytes = 0;
    for keyspace in Keyspace::ALL {
        for row in snapshot.prefix(keyspace, &[], Direction::Forward) {
            let (key, value) = row.map_err(read)?;
            if keyspace == Keyspace::Catalog && NOT_COPIED.contains(&&*key) {
                continue;
            }
            let bytes = key.len() + value.len();
            batch_bytes += bytes;
            progress.bytes += bytes as u64;
            progress.documents += u64::from(keyspace == Keyspace::Documents);
            batch.put(keyspace, key, value);
            if batch_bytes >= BATCH_BYTES {
                // So that closing the store need not wait for the whole.
                inner.check_open()?;
                target.commit(std::mem::take(&mut batch)).map_err(BackupError::Target)?;
                batch_bytes = 0;
                if on_progress(&progress).is_break() {
                    return Err(BackupError::Cancelled);
                }
            }
        }
    }
    target.commit(batch).and_then(|()| target.sync()).map_err(BackupError::Target)?;
    let format = snapshot.get(Keyspace::Catalog, layout::CATALOG_FORMAT).map_err(read)?;
    let format = format.ok_or_else(|| StoreError::corrupt("the format row is missing"))?;
    let mut complete = Batch::new();
    complete.put(Keyspace::Catalog, layout::CATALOG_FORMAT, format);
    target.commit(complete).and_then(|()| target.sync()).map_err(BackupError::Target)?;
    // It is done; there is nothing left to cancel.
    let _ = on_progress(&progress);
    Ok(progress)
}
