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

#[test]
fn a_scan_goes_on_with_what_it_sees_while_others_write_between_its_rows() {
    const ROWS: u16 = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(directory.path()).unwrap();
    let put = |row: u16, value: &'static [u8]| {
        let mut batch = Batch::new();
        batch.put(Keyspace::Documents, row.to_be_bytes(), value);
        storage.commit(batch).unwrap();
    };
    (0..ROWS).for_each(|row| put(2 * row, b"before"));
    for direction in [Direction::Forward, Direction::Backward] {
        let snapshot = storage.snapshot();
        let newest = storage.get(Keyspace::Documents, &0_u16.to_be_bytes()).unwrap();
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let seen: Vec<u16> = snapshot
            .range(Keyspace::Documents, everything, direction)
            .map(|row| {
                let (key, value) = row.unwrap();
                let row = u16::from_be_bytes((*key).try_into().unwrap());
                assert_eq!(Some(value), newest, "row {row}");
                // Overwrites this row and those beside it, and puts new ones between them.
                for row in row.saturating_sub(2)..=row + 2 {
                    put(row, b"after");
                }
                row
            })
            .collect();
        let mut expected: Vec<u16> = (0..ROWS).map(|row| 2 * row).collect();
        if direction == Direction::Backward {
            expected.reverse();
        }
        assert_eq!(seen, expected);
        // The other direction finds the rows as they were before, too.
        let mut batch = Batch::new();
        for row in 0..=2 * ROWS {
            if row % 2 == 0 && row < 2 * ROWS {
                batch.put(Keyspace::Documents, row.to_be_bytes(), b"before");
            } else {
                batch.delete(Keyspace::Documents, row.to_be_bytes());
            }
        }
        storage.commit(batch).unwrap();
    }
}
