//! What a snapshot sees of batches that are committed while tables are written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ditto_storage::{Batch, DiskStorage, Keyspace, Snapshot, Storage};

const KEYSPACES: [Keyspace; 3] = [Keyspace::Documents, Keyspace::Changes, Keyspace::Indexes];
/// Rows in each keyspace that every batch writes.
const ROWS: u16 = 200;
const BATCHES: u32 = 400;

/// The number of the batch that a row is of.
fn number(snapshot: &dyn Snapshot, keyspace: Keyspace, row: u16) -> Option<u32> {
    let value = snapshot.get(keyspace, &row.to_be_bytes()).unwrap()?;
    Some(u32::from_be_bytes((*value).try_into().unwrap()))
}

#[test]
fn a_snapshot_sees_whole_batches_while_tables_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(directory.path()).unwrap();
    let is_written = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for batch in 0..BATCHES {
                let mut rows = Batch::new();
                for row in 0..ROWS {
                    for keyspace in KEYSPACES {
                        rows.put(keyspace, row.to_be_bytes(), batch.to_be_bytes());
                    }
                }
                storage.commit(rows).unwrap();
            }
            is_written.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !is_written.load(Ordering::Acquire) {
                storage.flush().unwrap();
                for keyspace in KEYSPACES {
                    storage.compact(keyspace, &mut |_, _| ControlFlow::Continue(())).unwrap();
                }
            }
        });
        let mut newest = None;
        while !is_written.load(Ordering::Acquire) {
            let snapshot = storage.snapshot();
            let seen = number(&*snapshot, KEYSPACES[0], 0);
            assert!(seen >= newest, "a later snapshot sees less: {seen:?} after {newest:?}");
            newest = seen;
            // The last rows of a batch are applied last; and what a snapshot sees does not change.
            for keyspace in KEYSPACES.into_iter().rev().chain(KEYSPACES) {
                for row in [ROWS - 1, ROWS / 2, 0] {
                    assert_eq!(number(&*snapshot, keyspace, row), seen, "row {row} of {keyspace}");
                }
            }
        }
    });
}
