//! Giving back the room that deleted and overwritten rows take.

use std::ops::ControlFlow;

use ditto_storage::{Keyspace, Storage, StorageError};

use crate::error::StoreError;
use crate::store::Inner;

/// How far a compaction is, in bytes of files that have been gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactProgress {
    /// Gone through so far.
    pub bytes: u64,
    /// To go through.
    pub total_bytes: u64,
}

/// What a compaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of files before.
    pub bytes_before: u64,
    /// Bytes of files after it.
    pub bytes_after: u64,
}

/// Compacts one keyspace after the other.
pub(crate) fn compact(
    inner: &Inner,
    on_progress: &mut dyn FnMut(&CompactProgress) -> ControlFlow<()>,
) -> Result<Compacted, StoreError> {
    inner.check_open()?;
    let storage = &*inner.storage;
    // What is in memory counts too.
    storage.flush().inspect_err(|error| inner.storage_failed(error))?;
    let sizes = sizes(storage)?;
    let total_bytes = sizes.iter().sum();
    let mut done = 0;
    let mut report = |bytes| on_progress(&CompactProgress { bytes, total_bytes });
    for (keyspace, size) in Keyspace::ALL.into_iter().zip(sizes) {
        inner.check_open()?;
        let mut step = ControlFlow::Continue(());
        let compacted = storage.compact(keyspace, &mut |rows, total| {
            step = report(done + share(size, rows, total));
            step
        });
        compacted.inspect_err(|error| inner.storage_failed(error))?;
        done += size;
        // When all is done there is nothing left to cancel.
        if step.is_break() || report(done).is_break() && done < total_bytes {
            return Err(StoreError::Cancelled { what: "compaction" });
        }
    }
    Ok(Compacted { bytes_before: total_bytes, bytes_after: self::sizes(storage)?.iter().sum() })
}

/// Bytes of each keyspace.
fn sizes(storage: &dyn Storage) -> Result<Vec<u64>, StorageError> {
    Keyspace::ALL.into_iter().map(|keyspace| storage.keyspace_size(keyspace)).collect()
}

/// As much of `size` as `part` is of `whole`.
fn share(size: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(size) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).map_or(size, |share| share.min(size))
}
