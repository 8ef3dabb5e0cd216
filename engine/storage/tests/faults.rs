//! What the simulated disk of [`FaultyStorage`] does to what was written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ditto_storage::{Batch, Direction, FaultyStorage, Keyspace, Loss, Storage, StorageError};

fn put(number: u8) -> Batch {
    let mut batch = Batch::new();
    batch.put(Keyspace::Documents, [number], [number]);
    batch.put(Keyspace::Changes, [number], [number]);
    batch
}

/// The numbers that are stored, after a check that no batch was torn.
fn stored(storage: &FaultyStorage) -> Vec<u8> {
    let snapshot = storage.snapshot();
    let numbers = |keyspace| -> Vec<u8> {
        snapshot.prefix(keyspace, b"", Direction::Forward).map(|row| row.unwrap().0[0]).collect()
    };
    let documents = numbers(Keyspace::Documents);
    assert_eq!(documents, numbers(Keyspace::Changes));
    documents
}

#[test]
fn a_dead_process_loses_nothing_that_it_committed() {
    let storage = FaultyStorage::new(0);
    (0..5).for_each(|number| storage.commit(put(number)).unwrap());
    assert_eq!(storage.unsynced_commits(), 5);
    assert_eq!(stored(&storage.restart(Loss::Nothing)), [0, 1, 2, 3, 4]);
}

#[test]
fn a_loss_of_power_keeps_a_prefix_that_holds_everything_synced() {
    let mut kept = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let storage = FaultyStorage::new(seed);
        (0..3).for_each(|number| storage.commit(put(number)).unwrap());
        storage.sync().unwrap();
        (3..6).for_each(|number| storage.commit(put(number)).unwrap());
        let after = storage.restart(Loss::SomeUnsynced);
        let numbers = stored(&after);
        assert_eq!(numbers, (0..u8::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
        assert!(numbers.len() >= 3);
        kept.insert(numbers.len());
        // What survived once is not lost by the same failure again, unless power goes once more before a sync.
        after.sync().unwrap();
        assert_eq!(stored(&after.restart(Loss::AllUnsynced)), numbers);
    }
    assert_eq!(kept.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
}

#[test]
fn the_same_seed_fails_in_the_same_way() {
    let history = |seed| {
        let mut storage = FaultyStorage::new(seed);
        storage.set_failure_rates(100_000, 200_000);
        let mut history = Vec::new();
        for number in 0..100 {
            if storage.commit(put(number)).is_err() || (number % 5 == 0 && storage.sync().is_err()) {
                storage = storage.restart(Loss::SomeUnsynced);
            }
            history.push(stored(&storage).len());
        }
        history
    };
    assert_eq!(history(3), history(3));
    assert_ne!(history(3), history(4));
}

#[test]
fn after_a_failed_commit_nothing_is_written_until_the_storage_is_opened_again() {
    let (mut present, mut absent) = (0, 0);
    for seed in 0..32 {
        let storage = FaultyStorage::new(seed);
        storage.commit(put(1)).unwrap();
        storage.fail_commit(2);
        storage.commit(put(2)).unwrap();
        assert!(matches!(storage.commit(put(3)), Err(StorageError::Io { .. })));
        assert!(matches!(storage.commit(put(4)), Err(StorageError::Failed { .. })));
        assert!(matches!(storage.sync(), Err(StorageError::Failed { .. })));
        assert_eq!(stored(&storage), [1, 2], "reads go on, and do not see what failed");
        storage.close().unwrap();

        let storage = storage.restart(Loss::Nothing);
        match stored(&storage).as_slice() {
            [1, 2] => absent += 1,
            [1, 2, 3] => present += 1,
            other => panic!("{other:?}"),
        }
        storage.commit(put(5)).unwrap();
    }
    assert!(present > 0 && absent > 0, "a failed commit may have been written or not: {present}, {absent}");
}

#[test]
fn after_a_failed_sync_nothing_unsynced_can_be_relied_on() {
    let storage = FaultyStorage::new(0);
    storage.commit(put(1)).unwrap();
    storage.fail_sync(1);
    assert!(matches!(storage.sync(), Err(StorageError::Io { .. })));
    assert!(matches!(storage.sync(), Err(StorageError::Failed { .. })));
    assert!(matches!(storage.commit(put(2)), Err(StorageError::Failed { .. })));
    assert_eq!(stored(&storage.restart(Loss::AllUnsynced)), []);
}

#[test]
fn a_full_disk_can_be_told_from_a_broken_one() {
    let storage = FaultyStorage::new(0);
    storage.commit(put(1)).unwrap();
    storage.set_disk_full(true);
    let error = storage.commit(put(2)).unwrap_err();
    assert!(matches!(error, StorageError::DiskFull { .. }) && error.is_disk_full());
    let error = storage.commit(put(2)).unwrap_err();
    assert!(matches!(error, StorageError::Failed { .. }) && error.is_disk_full());
    assert_eq!(stored(&storage), [1]);

    let storage = storage.restart(Loss::Nothing);
    assert!(storage.commit(put(2)).unwrap_err().is_disk_full(), "opening does not make room");
    storage.set_disk_full(false);
    let storage = storage.restart(Loss::Nothing);
    storage.commit(put(2)).unwrap();
    assert_eq!(stored(&storage), [1, 2]);
}

#[test]
fn a_recovery_keeps_what_was_synced_and_ends_the_failure() {
    let mut kept = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let storage = FaultyStorage::new(seed);
        storage.commit(put(1)).unwrap();
        storage.sync().unwrap();
        storage.commit(put(2)).unwrap();
        storage.fail_sync(1);
        storage.sync().unwrap_err();
        storage.set_disk_full(true);
        assert!(storage.recover().unwrap_err().is_disk_full());
        assert!(matches!(storage.commit(put(3)), Err(StorageError::Failed { .. })));
        storage.set_disk_full(false);
        storage.recover().unwrap();
        let numbers = stored(&storage);
        assert!(numbers == [1] || numbers == [1, 2], "{numbers:?}");
        kept.insert(numbers.len());
        assert_eq!(storage.unsynced_commits(), 0, "what is there is there to stay");
        storage.commit(put(3)).unwrap();
    }
    assert_eq!(kept.len(), 2);
}

#[test]
fn damage_is_found_by_reading_and_stops_writes() {
    let storage = FaultyStorage::new(0);
    storage.commit(put(1)).unwrap();
    storage.sync().unwrap();
    storage.set_damaged(Keyspace::Changes, true);
    storage.commit(put(2)).unwrap();
    assert!(storage.get(Keyspace::Documents, &[1]).unwrap().is_some());
    assert!(matches!(storage.get(Keyspace::Changes, &[1]), Err(StorageError::Corrupt { .. })));
    let error = storage.commit(put(3)).unwrap_err();
    assert!(matches!(error.root(), StorageError::Corrupt { .. }), "{error}");
    assert!(matches!(storage.recover(), Err(StorageError::Corrupt { .. })));
    assert!(storage.get(Keyspace::Documents, &[1]).unwrap().is_some());
    storage.set_damaged(Keyspace::Changes, false);
    storage.recover().unwrap();
    storage.commit(put(3)).unwrap();
}

#[test]
fn a_sync_with_nothing_new_does_nothing() {
    let storage = FaultyStorage::new(0);
    storage.sync().unwrap();
    storage.commit(put(1)).unwrap();
    storage.sync().unwrap();
    storage.sync().unwrap();
    assert_eq!(storage.sync_count(), 1);
}

#[test]
fn clones_are_handles_to_one_storage() {
    let storage = FaultyStorage::new(0);
    let clone = storage.clone();
    clone.commit(put(1)).unwrap();
    assert_eq!(stored(&storage), [1]);
    let after = storage.restart(Loss::Nothing);
    assert!(matches!(clone.commit(put(2)), Err(StorageError::Closed)));
    assert_eq!(stored(&after), [1]);
}

#[test]
fn a_copy_has_what_is_on_the_platter_and_goes_its_own_way() {
    let original = FaultyStorage::new(1);
    original.set_place(Some([7; 16]));
    original.commit(put(1)).unwrap();
    original.sync().unwrap();
    original.commit(put(2)).unwrap();
    let copy = original.copy(2);
    copy.commit(put(3)).unwrap();
    assert_eq!((stored(&copy), stored(&original)), (vec![1, 3], vec![1, 2]));
    assert_eq!(copy.place().unwrap(), Some([7; 16]));
    assert_eq!(stored(&original.restart(Loss::AllUnsynced)), [1]);
    assert_eq!(stored(&copy), [1, 3], "the end of one is not the end of the other");
}
