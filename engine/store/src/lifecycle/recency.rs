//! When rows of `replication` were last of use, so that the reaper knows which can go.
//!
//! The time stands in each row. A row that is only read is noted here, and written again by the reaper if it looks old.

use std::collections::BTreeSet;

use ditto_storage::{Batch, Bytes, Keyspace, Snapshot};
use parking_lot::Mutex;

use super::reaper::MAX_REPLICATION_ROWS;
use crate::error::StoreError;
use crate::layout::{self, TAG_CHECKPOINT};

/// Keys that were read since the last reaping.
#[derive(Default)]
pub(crate) struct Recency(Mutex<BTreeSet<Vec<u8>>>);

impl Recency {
    pub(crate) fn read(&self, key: &[u8]) {
        let mut keys = self.0.lock();
        if keys.len() < MAX_REPLICATION_ROWS {
            keys.insert(key.to_vec());
        }
    }

    /// When a row was last of use; `now_ms` if it was read since the last reaping.
    pub(crate) fn of(&self, key: &[u8], value: &[u8], now_ms: u64) -> u64 {
        if self.0.lock().contains(key) {
            return now_ms;
        }
        value.last_chunk::<8>().map_or(0, |used_ms| u64::from_be_bytes(*used_ms))
    }

    /// Writes the rows again that were read and are not `removed`.
    pub(crate) fn refresh(
        &self,
        snapshot: &dyn Snapshot,
        removed: &BTreeSet<Vec<u8>>,
        now_ms: u64,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        for key in std::mem::take(&mut *self.0.lock()) {
            if removed.contains(&key) || key.first() != Some(&TAG_CHECKPOINT) {
                continue;
            }
            let Some(row) = snapshot.get(Keyspace::Replication, &key)? else { continue };
            let checkpoint = layout::decode_checkpoint(&row);
            let (run, sequence) =
                checkpoint.ok_or_else(|| StoreError::corrupt("a checkpoint cannot be read"))?;
            let value = layout::encode_checkpoint(run, sequence, now_ms);
            batch.put(Keyspace::Replication, Bytes::from(key), value);
        }
        Ok(())
    }
}
