// Copyright (c) 2024-present, fjall-rs
// This source code is licensed under both the Apache 2.0 and MIT License
// (found in the LICENSE-* files in the repository)

use lsm_tree::{AbstractTree, Memtable, SequenceNumberCounter};

use crate::{
    db::Keyspaces,
    flush::manager::FlushManager,
    journal::{manager::JournalManager, Journal},
    snapshot_tracker::SnapshotTracker,
    write_buffer_manager::WriteBufferManager,
};
use std::sync::{
    atomic::{AtomicI64, Ordering::Relaxed},
    Arc, Mutex, RwLock,
};

pub struct SupervisorInner {
    pub db_config: crate::Config,

    /// Dictionary of all keyspaces
    #[doc(hidden)]
    pub keyspaces: Arc<RwLock<Keyspaces>>,

    pub(crate) write_buffer_size: WriteBufferManager,

    /// DITTO PATCH: bytes in the active memtables of all keyspaces.
    pub(crate) active_memtable_size: AtomicI64,

    pub(crate) flush_manager: FlushManager,

    pub seqno: SequenceNumberCounter,

    pub snapshot_tracker: SnapshotTracker,

    pub(crate) journal: Arc<Journal>,

    /// Tracks journal size and garbage collects sealed journals when possible
    pub(crate) journal_manager: Arc<RwLock<JournalManager>>,

    pub(crate) backpressure_lock: Mutex<()>,
}

#[derive(Clone)]
pub struct Supervisor(Arc<SupervisorInner>);

impl std::ops::Deref for Supervisor {
    type Target = SupervisorInner;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Supervisor {
    pub fn new(inner: SupervisorInner) -> Self {
        Self(Arc::new(inner))
    }

    pub fn build_seqno_map(
        &self,
        keyspaces: &Keyspaces,
    ) -> Vec<crate::journal::manager::EvictionWatermark> {
        let mut seqnos = Vec::with_capacity(keyspaces.len());

        for keyspace in keyspaces.values() {
            if let Some(lsn) = keyspace.tree.get_highest_memtable_seqno() {
                seqnos.push(crate::journal::manager::EvictionWatermark {
                    lsn,
                    keyspace: keyspace.clone(),
                });
            }
        }

        seqnos
    }

    /// DITTO PATCH: so much was added to active memtables. If there is more in them than the database may have, the largest
    /// one is to be flushed. As published, nothing looked at that limit.
    pub(crate) fn grew(&self, bytes: u64) {
        let bytes = bytes.cast_signed();
        let size = self.active_memtable_size.fetch_add(bytes, Relaxed) + bytes;

        let Some(limit) = self.db_config.max_write_buffer_size_in_bytes else {
            return;
        };
        if size <= limit.cast_signed() {
            return;
        }

        #[expect(clippy::expect_used)]
        let keyspaces = self.keyspaces.read().expect("lock is poisoned");
        let mut staying = size;
        let mut largest: Option<(&crate::Keyspace, Arc<Memtable>, u64)> = None;

        for keyspace in keyspaces.values() {
            let memtable = keyspace.tree.active_memtable();
            let bytes = memtable.size();

            if memtable.is_flagged_for_rotation() {
                staying -= bytes.cast_signed();
            } else if bytes > largest.as_ref().map_or(0, |(_, _, most)| *most) {
                largest = Some((keyspace, memtable, bytes));
            }
        }

        // The one that was asked for is marked, and not the one that may have followed it by now: that one would stay for ever.
        if let Some((keyspace, memtable, _)) = largest.filter(|_| staying > limit.cast_signed()) {
            if keyspace.request_rotation_of(memtable.id()) {
                memtable.flag_rotated();
            }
        }
    }

    /// DITTO PATCH: lets a writer wait while active and sealed memtables together hold twice of what active ones may.
    pub(crate) fn wait_for_room(&self, is_poisoned: &crate::poison::PoisonSignal) {
        let Some(limit) = self.db_config.max_write_buffer_size_in_bytes else {
            return;
        };
        let is_full = || {
            #[expect(clippy::expect_used)]
            let keyspaces = self.keyspaces.read().expect("lock is poisoned");
            let all = keyspaces.values();
            all.map(|keyspace| keyspace.tree.get_version_history_lock().memtable_size_sum())
                .sum::<u64>()
                > 2 * limit
        };

        // What is counted along the way may be a little too much: look again before waiting.
        while self.write_buffer_size.get() > 2 * limit && is_full() && !is_poisoned.is_poisoned() {
            self.grew(0);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// DITTO PATCH: a memtable of this size is not active any more.
    pub(crate) fn sealed(&self, bytes: u64) {
        self.active_memtable_size
            .fetch_sub(bytes.cast_signed(), Relaxed);
    }

    /// DITTO PATCH: drops the versions of a tree that no snapshot reads, and with them memtables that are in tables.
    pub(crate) fn drop_old_versions(&self, keyspace: &crate::Keyspace) {
        let watermark = self.snapshot_tracker.get_seqno_safe_to_gc();
        let removed = keyspace
            .tree
            .get_version_history_lock()
            .take_old(keyspace.path(), watermark);

        if let Err(e) = removed {
            log::warn!(
                "Version history GC failed for keyspace {:?}: {e:?}",
                keyspace.name,
            );
        }
    }

    /// DITTO PATCH: lets new snapshots use new tables. Trees did so themselves, also in the middle of a batch, and a
    /// snapshot saw as much of it as was applied by then. No batch is being applied while the lock of the journal is held.
    pub(crate) fn publish_tables(&self) -> crate::Result<()> {
        let _journal_writer = self.journal.get_writer()?;
        self.snapshot_tracker
            .publish(self.seqno.get().saturating_sub(1));
        Ok(())
    }
}
