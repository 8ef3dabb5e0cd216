//! Copies: made while others write, and those that somebody made of a directory.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ditto_storage::{Batch, DiskStorage, FaultyStorage, Keyspace, Loss, MemoryStorage, Storage};
use ditto_store::{
    BackupError, BackupProgress, Checkpoint, Incoming, OpenError, Seen, Store, StoreError, StoreOptions,
    TransactionKind,
};
use ditto_value::Object;

use crate::support::{
    DATABASE, TestEnvironment, Threads, assert_consistent, open, open_in, query, run, run_with,
};

fn on_disk(directory: &Path, seed: u64) -> Store {
    open_in(Arc::new(DiskStorage::open(directory).expect("opens")), seed)
}

fn go_on(_: &BackupProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Adds a document and counts it, in one transaction.
fn add(store: &Store, id: u64) {
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    let text = format!("INSERT INTO c DOCUMENTS ({{'_id': {id}, 'filling': '{}'}})", "x".repeat(500));
    transaction.execute(&text, &Object::new()).expect("inserts");
    if id.is_multiple_of(3) {
        let text = format!("DELETE FROM c WHERE _id = {}", id / 2);
        transaction.execute(&text, &Object::new()).expect("deletes");
    }
    let deleted = query_count(&transaction);
    let text = format!("UPDATE counts SET added = {id}, there = {deleted}");
    transaction.execute(&text, &Object::new()).expect("counts");
    transaction.commit().expect("commits");
}

fn query_count(transaction: &ditto_store::Transaction) -> usize {
    transaction.execute("SELECT _id FROM c", &Object::new()).expect("reads").rows.len()
}

/// Sets the flag when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Checks that this is what was there after a transaction, and answers which.
fn moment(store: &Store) -> u64 {
    assert_consistent(store);
    let row = run(store, "SELECT added, there FROM counts").rows.remove(0);
    let number =
        |name: &str| row.value().get(name).and_then(|value| value.to_value().as_i64()).expect("a number");
    assert_eq!(query(store, "SELECT _id FROM c").len() as i64, number("there"));
    let last = query(store, "SELECT MAX(_id) AS last FROM c");
    assert_eq!(last, [format!(r#"{{"last":{}}}"#, number("added"))]);
    number("added") as u64
}

#[test]
fn a_backup_is_one_moment_however_much_is_written_meanwhile() {
    let (home, root) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let store = on_disk(home.path(), 1);
    run(&store, "INSERT INTO counts DOCUMENTS ({'_id': 1})");
    (1..=20).for_each(|id| add(&store, id));
    // Rows that are not documents.
    let checkpoint = Checkpoint { run: ditto_crdt::RunId(9), sequence: ditto_crdt::Sequence(7) };
    let incoming = Incoming {
        from: [1; 32],
        origin: 1,
        documents: Vec::new(),
        checkpoints: vec![([2; 16], checkpoint)],
        seen: Some(Seen { run: checkpoint.run, sequence: checkpoint.sequence, durable: checkpoint.sequence }),
        evictions: None,
    };
    store.replica().apply(incoming).expect("applies");
    let (stop, wrote) = (AtomicBool::new(false), std::sync::atomic::AtomicU64::new(20));
    let moments: Vec<u64> = thread::scope(|scope| {
        scope.spawn(|| {
            let mut id = 20;
            while !stop.load(Ordering::Relaxed) {
                id += 1;
                add(&store, id);
                wrote.store(id, Ordering::Relaxed);
            }
        });
        // Also when something below panics: the scope waits for the writer.
        let _stop = Stop(&stop);
        let backups = (0..4_u64).map(|number| {
            // Something is written between any two of them.
            let before = wrote.load(Ordering::Relaxed);
            while wrote.load(Ordering::Relaxed) < before + 5 {
                thread::yield_now();
            }
            let directory = root.path().join(number.to_string());
            let target = DiskStorage::open(&directory).expect("opens");
            let progress = store.backup(&target, &mut go_on).expect("copies");
            target.close().expect("closes");
            let copy = on_disk(&directory, 100 + number);
            assert!(copy.is_copy());
            assert_ne!(copy.site(), store.site());
            assert_eq!((copy.runs().len(), copy.last_sequence()), (2, progress.last));
            assert_eq!(progress.total_documents, copy.collections().iter().map(|c| c.documents).sum::<u64>());
            assert_eq!(copy.replica().checkpoint(&[1; 32], &[2; 16]).expect("reads"), Some(checkpoint));
            let moment = moment(&copy);
            // It goes on by itself, and is at home from then on.
            add(&copy, 1_000_000);
            let site = copy.site();
            copy.close().expect("closes");
            let again = on_disk(&directory, 200 + number);
            assert_eq!((again.is_copy(), again.site()), (false, site));
            moment
        });
        backups.collect()
    });
    assert!(moments.windows(2).all(|pair| pair[0] < pair[1]), "{moments:?}");
    assert!(moment(&store) >= *moments.last().expect("some"));
    assert_eq!(query(&store, "SELECT * FROM c WHERE _id = 1000000").len(), 0);
}

#[test]
fn a_backup_goes_from_memory_to_disk_in_parts() {
    let store = open(1);
    let filling = "x".repeat(100_000);
    for id in 0..50 {
        run_with(
            &store,
            "INSERT INTO c DOCUMENTS (:d)",
            &format!(r#"{{"d": {{"_id": {id}, "f": "{filling}"}}}}"#),
        );
    }
    run(&store, "DELETE FROM c WHERE _id = 3");
    let directory = tempfile::tempdir().expect("a directory");
    let target = DiskStorage::open(directory.path()).expect("opens");
    let mut seen = Vec::new();
    let done = store.backup(&target, &mut |progress| {
        seen.push(*progress);
        ControlFlow::Continue(())
    });
    let done = done.expect("copies");
    assert!(seen.len() >= 4 && seen.windows(2).all(|pair| pair[0].bytes <= pair[1].bytes), "{seen:?}");
    assert_eq!(seen.last(), Some(&done));
    assert_eq!((done.documents, done.total_documents), (50, 49));
    assert!(done.bytes > 49 * 100_000);
    target.close().expect("closes");
    assert_eq!(query(&on_disk(directory.path(), 2), "SELECT _id FROM c").len(), 49);
}

#[test]
fn what_is_not_a_whole_copy_is_not_a_database() {
    let store = open(1);
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    let cancelled = MemoryStorage::new();
    let filling = "x".repeat(2_000_000);
    run_with(&store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": {{"_id": 2, "f": "{filling}"}}}}"#));
    let error = store.backup(&cancelled, &mut |_| ControlFlow::Break(())).expect_err("is cancelled");
    assert!(matches!(error, BackupError::Cancelled), "{error}");
    let full = FaultyStorage::new(1);
    full.set_disk_full(true);
    let error = store.backup(&full, &mut go_on).expect_err("is full");
    assert!(matches!(&error, BackupError::Target(error) if error.is_disk_full()), "{error}");
    full.set_disk_full(false);
    let lost = FaultyStorage::new(2);
    store.backup(&lost, &mut go_on).expect("copies");
    for (nth, storage) in [(1, FaultyStorage::new(3)), (2, FaultyStorage::new(4))] {
        storage.fail_commit(nth);
        assert!(matches!(store.backup(&storage, &mut go_on), Err(BackupError::Target(_))));
        let left = storage.restart(Loss::AllUnsynced);
        // What a failure leaves is refused, or empty.
        match Store::open(
            Arc::new(left),
            TestEnvironment::new(1),
            StoreOptions::new(DATABASE, Arc::new(Threads)),
        ) {
            Err(OpenError::Corrupt { row, .. }) => assert_eq!(row, "format"),
            Err(error) => panic!("{error}"),
            Ok(opened) => assert!(opened.collections().is_empty()),
        }
    }
    // A whole one survives the loss of power at once.
    let kept = open_in(Arc::new(lost.restart(Loss::AllUnsynced)), 5);
    assert_eq!(query(&kept, "SELECT _id FROM c").len(), 2);

    let cancelled = Arc::new(cancelled);
    let refused = Store::open(
        cancelled.clone(),
        TestEnvironment::new(1),
        StoreOptions::new(DATABASE, Arc::new(Threads)),
    );
    assert!(matches!(refused.map(drop), Err(OpenError::Corrupt { row, .. }) if row == "format"));
    let error = store.backup(&*cancelled, &mut go_on).expect_err("is not empty");
    assert!(matches!(error, BackupError::NotEmpty), "{error}");
    store.close().expect("closes");
    let error = store.backup(&MemoryStorage::new(), &mut go_on).expect_err("is closed");
    assert!(matches!(error, BackupError::Source(StoreError::Closed)), "{error}");
}

#[test]
fn a_copied_directory_continues_under_a_site_id_of_its_own_and_a_moved_one_does_not() {
    let root = tempfile::tempdir().expect("a directory");
    let (first, copy) = (root.path().join("first"), root.path().join("copy"));
    let store = on_disk(&first, 1);
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    let site = store.site();
    assert!(!store.is_copy());
    store.close().expect("closes");
    let copied = Command::new("cp").args(["-a", "first", "copy"]).current_dir(&root).status().expect("runs");
    assert!(copied.success());

    let opened = on_disk(&copy, 2);
    assert!(opened.is_copy());
    let new_site = opened.site();
    assert_ne!(new_site, site);
    assert_eq!(opened.runs().len(), 2);
    run(&opened, "UPDATE c SET by = 'the copy'");
    assert_consistent(&opened);
    opened.close().expect("closes");
    let opened = on_disk(&copy, 3);
    assert_eq!((opened.is_copy(), opened.site()), (false, new_site), "it is at home now");
    opened.close().expect("closes");

    let opened = on_disk(&first, 4);
    assert_eq!((opened.is_copy(), opened.site()), (false, site), "the original stays what it is");
    opened.close().expect("closes");
    let moved = root.path().join("elsewhere/moved");
    std::fs::create_dir(root.path().join("elsewhere")).expect("makes");
    std::fs::rename(&first, &moved).expect("moves");
    let opened = on_disk(&moved, 5);
    assert_eq!((opened.is_copy(), opened.site()), (false, site));
}

#[test]
fn a_place_that_is_another_one_is_a_copy_whatever_the_storage() {
    let storage = FaultyStorage::new(1);
    storage.set_place(Some([1; 16]));
    let site = open_in(Arc::new(storage.clone()), 1).site();
    let reopened = |storage: &FaultyStorage, place, seed| {
        let storage = storage.restart(Loss::AllUnsynced);
        storage.set_place(place);
        let store = open_in(Arc::new(storage.clone()), seed);
        (store.is_copy(), store.site() == site, storage)
    };
    let (is_copy, is_same, storage) = reopened(&storage, Some([1; 16]), 2);
    assert!(!is_copy && is_same);
    // A storage that does not know where it is says nothing about copies.
    let (is_copy, is_same, storage) = reopened(&storage, None, 3);
    assert!(!is_copy && is_same);
    let (is_copy, is_same, storage) = reopened(&storage, Some([2; 16]), 4);
    assert!(is_copy && !is_same);
    // One whose row is missing was copied without it.
    let mut batch = Batch::new();
    batch.delete(Keyspace::Catalog, b"place");
    storage.commit(batch).expect("commits");
    storage.sync().expect("syncs");
    let (is_copy, ..) = reopened(&storage, Some([2; 16]), 5);
    assert!(is_copy);
}

#[test]
fn verifying_tells_of_damage_and_goes_on() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    assert_consistent(&store);
    for keyspace in [Keyspace::Commits, Keyspace::Replication, Keyspace::Attachments] {
        storage.set_damaged(keyspace, true);
        let verified = store.verify().expect("goes on");
        assert_eq!(verified.documents, 2);
        let found = verified.inconsistencies.first().expect("it is found").to_string();
        assert!(found.contains(keyspace.name()), "{found}");
        storage.set_damaged(keyspace, false);
    }
    store.recover().expect("recovers");
    assert_consistent(&store);
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 3})");
}
