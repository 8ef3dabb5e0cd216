//! Snapshots that are older than everything that was written since, and flushed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::Bound;

use ditto_storage::{Batch, Direction, DiskStorage, Keyspace, Storage};

#[test]
fn a_snapshot_outlives_flushes_of_all_that_was_written_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(directory.path()).unwrap();
    let mut snapshots = Vec::new();
    for round in 0..6_u8 {
        snapshots.push(storage.snapshot());
        for n in 0..=round {
            let mut batch = Batch::new();
            batch.put(Keyspace::Documents, [round, n], b"value");
            batch.put(Keyspace::Indexes, [round, n], b"value");
            storage.commit(batch).unwrap();
        }
        storage.flush().unwrap();
        let mut expected = 0;
        for (taken, snapshot) in snapshots.iter().enumerate() {
            for keyspace in [Keyspace::Documents, Keyspace::Indexes, Keyspace::Catalog] {
                let rows = snapshot.range(keyspace, (Bound::Unbounded, Bound::Unbounded), Direction::Forward);
                let rows = rows.map(Result::unwrap).count();
                let wanted = if keyspace == Keyspace::Catalog { 0 } else { expected };
                assert_eq!(rows, wanted, "snapshot {taken} in round {round}");
            }
            expected += taken + 1;
        }
    }
}
