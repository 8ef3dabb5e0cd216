//! The storage fails while the store is open, and the store goes on when it works again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ditto_storage::{FaultyStorage, Keyspace, StorageError};
use ditto_store::{
    Durability, OpenError, QueryResult, SignalNext, Store, StoreError, StoreOptions, TransactionKind,
};
use ditto_value::Object;

use crate::support::{
    DATABASE, Interrupted, Later, Moment, TestEnvironment, Threads, assert_consistent, open_in, query, run,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn insert(store: &Store, id: u32) -> Result<(), StoreError> {
    store.execute(&format!("INSERT INTO c DOCUMENTS ({{'_id': {id}}})"), &Object::new()).map(drop)
}

fn ids(store: &Store) -> Vec<u32> {
    let rows = run(store, "SELECT _id FROM c ORDER BY _id").rows;
    let id =
        |row: &ditto_store::Row| row.value().get("_id").and_then(|id| id.to_value().as_i64()).expect("an id");
    rows.iter().map(|row| u32::try_from(id(row)).expect("small")).collect()
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn recover(store: &Store) {
    // A recovery writes as well, and may fail.
    for _ in 0..1_000 {
        match store.recover() {
            Ok(()) => return,
            Err(OpenError::Storage(error)) => assert!(error.is_failure(), "{error}"),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("does not recover");
}

/// Writes, syncs and fails at random; checks after each failure that what is left is a history that was.
fn survive(seed: u64) -> usize {
    let storage = FaultyStorage::new(seed);
    let store = open_in(Arc::new(storage.clone()), seed);
    let (sender, results) = mpsc::channel();
    let _observer = store
        .observe(
            "SELECT _id FROM c",
            Object::new(),
            Box::new(move |result, next| {
                // Nobody listens after the end.
                let _ = sender.send(result.rows.len());
                next.signal();
            }),
        )
        .expect("observes");
    let mut state = seed;
    let (mut written, mut durable, mut failures) = (Vec::new(), 0, 0);
    storage.set_failure_rates(40_000, 60_000);
    let mut last_run = store.runs().last().copied();
    for id in 0..150 {
        let outcome = match random(&mut state) % 8 {
            0 => store.sync().map(|_| durable = written.len()),
            1 => {
                let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
                transaction
                    .execute(&format!("INSERT INTO c DOCUMENTS ({{'_id': {id}}})"), &Object::new())
                    .expect("inserts");
                transaction.commit().map(|_| written.push(id))
            }
            _ => insert(&store, id).map(|()| written.push(id)),
        };
        let Err(error) = outcome else { continue };
        failures += 1;
        assert!(matches!(error, StoreError::Storage(_)), "{error}");
        // Reads go on, nothing is written.
        assert_eq!(ids(&store), written);
        assert!(matches!(insert(&store, 1_000), Err(StoreError::Storage(StorageError::Failed { .. }))));
        recover(&store);
        let found = ids(&store);
        let mut possible = written.clone();
        possible.push(id);
        assert!(possible.starts_with(&found), "seed {seed}: {found:?} is no part of {possible:?}");
        assert!(found.len() >= durable, "seed {seed}: {durable} were durable, {} are there", found.len());
        written = found;
        durable = written.len();
        let run = store.runs().last().copied();
        assert!(run != last_run && run.map(|(_, first)| first.0) == Some(store.last_sequence().0 + 1));
        last_run = run;
        assert_consistent(&store);
    }
    storage.set_failure_rates(0, 0);
    recover(&store);
    let expected = ids(&store);
    insert(&store, 10_000).expect("goes on");
    while results.recv_timeout(PATIENCE).expect("the observer hears of it") != expected.len() + 1 {}
    assert_consistent(&store);
    failures
}

#[test]
fn a_store_that_fails_again_and_again_keeps_what_was_durable() {
    let failures: usize = (0..40).map(survive).sum();
    assert!(failures > 100, "{failures} failures are not worth the name");
}

#[test]
fn a_full_disk_is_told_and_over_when_there_is_room() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    let told = Arc::new(AtomicUsize::new(0));
    store.on_storage_failure({
        let told = Arc::clone(&told);
        move |error| {
            assert!(error.is_disk_full());
            told.fetch_add(1, Ordering::Relaxed);
        }
    });
    insert(&store, 1).expect("inserts");
    storage.set_disk_full(true);
    let open = store.begin(TransactionKind::ReadWrite).expect("begins");
    open.execute("INSERT INTO c DOCUMENTS ({'_id': 2})", &Object::new()).expect("in memory");
    let error = open.commit().expect_err("is full");
    assert!(matches!(&error, StoreError::Storage(StorageError::DiskFull { .. })), "{error}");
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert!(matches!(store.recover(), Err(OpenError::Storage(error)) if error.is_disk_full()));
    assert_eq!(query(&store, "SELECT * FROM c"), [r#"{"_id":1}"#]);

    // What is open while it recovers has read what may be gone.
    storage.set_disk_full(false);
    let (writer, reader) = (
        store.begin(TransactionKind::ReadWrite).expect("begins"),
        store.begin(TransactionKind::ReadOnly).expect("begins"),
    );
    let site = store.site();
    store.recover().expect("recovers");
    for transaction in [writer, reader] {
        let error = transaction.execute("SELECT * FROM c", &Object::new()).expect_err("was ended");
        assert!(matches!(&error, StoreError::Storage(error) if error.is_disk_full()), "{error}");
    }
    insert(&store, 3).expect("inserts");
    assert_eq!(store.site(), site);
    let runs = store.runs().len();
    store.recover().expect("there is nothing to do");
    assert_eq!(store.runs().len(), runs);
    assert_consistent(&store);
}

#[test]
fn a_damaged_keyspace_stops_writes_until_it_is_put_right() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    insert(&store, 1).expect("inserts");
    store.sync().expect("syncs");
    storage.set_damaged(Keyspace::Documents, true);
    let error = store.execute("SELECT * FROM c", &Object::new()).expect_err("cannot be read");
    assert!(matches!(&error, StoreError::Storage(StorageError::Corrupt { .. })), "{error}");
    let error = store.execute("SHOW ALL", &Object::new());
    assert!(error.is_ok(), "what does not lie there works");
    assert!(insert(&store, 2).is_err());
    assert!(matches!(store.recover(), Err(OpenError::Storage(StorageError::Corrupt { .. }))));
    storage.set_damaged(Keyspace::Documents, false);
    store.recover().expect("recovers");
    insert(&store, 2).expect("inserts");
    assert_eq!(ids(&store), [1, 2]);
}

#[test]
fn an_observer_that_cannot_read_tells_of_the_failure_and_reads_after_the_recovery() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    insert(&store, 1).expect("inserts");
    store.sync().expect("syncs");
    let (failed, failures) = mpsc::channel();
    store.on_storage_failure(move |error| failed.send(error.clone()).expect("somebody listens"));
    storage.set_damaged(Keyspace::Documents, true);
    let (sender, results) = mpsc::channel();
    let on_change =
        move |result: QueryResult, _: SignalNext| sender.send(result.rows.len()).expect("listens");
    let _observer = store.observe("SELECT * FROM c", Object::new(), Box::new(on_change)).expect("registers");
    let failure = failures.recv_timeout(PATIENCE).expect("nobody writes, and yet it is told");
    assert!(matches!(failure.root(), StorageError::Corrupt { .. }), "{failure}");
    assert!(results.try_recv().is_err());
    storage.set_damaged(Keyspace::Documents, false);
    store.recover().expect("recovers");
    assert_eq!(results.recv_timeout(PATIENCE), Ok(1));
}

#[test]
fn who_waits_for_a_sync_that_fails_is_not_told_that_it_was_done() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..64 {
        let storage = FaultyStorage::new(seed);
        let options = StoreOptions {
            durability: Durability::Immediate,
            ..StoreOptions::new(DATABASE, Arc::new(Threads))
        };
        let store =
            Store::open(Arc::new(storage.clone()), TestEnvironment::new(seed), options).expect("opens");
        insert(&store, 1).expect("inserts");
        storage.fail_sync(1);
        let error = insert(&store, 2).expect_err("is not durable");
        assert!(matches!(error, StoreError::Storage(_)), "{error}");
        recover(&store);
        outcomes.insert(ids(&store));
        insert(&store, 3).expect("goes on");
        assert_eq!(store.durable_sequence(), store.last_sequence());
    }
    // It may be there or not; the one before is.
    assert_eq!(outcomes, BTreeSet::from([vec![1], vec![1, 2]]));
}

/// A commit is about to be synced when the storage fails and is recovered; the sync comes right `within` the recovery, or
/// after it. What the commit answers, and whether it is there.
fn recover_before_a_sync(seed: u64, within: bool) -> (Result<(), StoreError>, bool) {
    let below = FaultyStorage::new(seed);
    let storage = Interrupted::new(below.clone());
    let options =
        StoreOptions { durability: Durability::Immediate, ..StoreOptions::new(DATABASE, Arc::new(Threads)) };
    let store = Store::open(storage.clone(), TestEnvironment::new(seed), options).expect("opens");
    let (arrive, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel();
    storage.at(Moment::Sync, move || {
        arrive.send(()).expect("somebody waits");
        released.recv_timeout(PATIENCE).expect("may go on");
    });
    let (told, outcome) = mpsc::channel();
    let inserting = store.clone();
    thread::spawn(move || told.send(insert(&inserting, 1)));
    arrived.recv_timeout(PATIENCE).expect("waits for its sync");
    below.fail_commit(1);
    insert(&store, 2).expect_err("fails");
    let (pass_on, passed_on) = mpsc::channel();
    let go_on = move || {
        release.send(()).expect("waits");
        pass_on.send(outcome.recv_timeout(PATIENCE).expect("ends")).expect("somebody listens");
    };
    if within {
        storage.at(Moment::Recovered, go_on);
        recover(&store);
    } else {
        recover(&store);
        go_on();
    }
    (passed_on.try_recv().expect("has ended"), ids(&store).contains(&1))
}

#[test]
fn a_commit_that_a_recovery_may_have_lost_is_not_told_to_be_durable() {
    for within in [false, true] {
        let mut lost = 0;
        for seed in 0..16 {
            let (outcome, is_there) = recover_before_a_sync(seed, within);
            let error = outcome.expect_err("nobody knows whether it is there");
            assert!(matches!(error, StoreError::Storage(StorageError::Failed { .. })), "{error}");
            lost += usize::from(!is_there);
        }
        assert!(lost > 0, "it is always there");
    }
}

#[test]
fn an_index_is_whole_whatever_a_recovery_leaves_of_its_creation_or_removal() {
    for (statement, seed) in
        (0..16).flat_map(|seed| [("CREATE INDEX i ON c (a)", seed), ("DROP INDEX i ON c", seed)])
    {
        let storage = FaultyStorage::new(seed);
        let later = Arc::new(Later::default());
        let options = StoreOptions::new(DATABASE, later.clone());
        let store =
            Store::open(Arc::new(storage.clone()), TestEnvironment::new(seed), options).expect("opens");
        (0..3).for_each(|id| insert(&store, id).expect("inserts"));
        run(&store, "UPDATE c SET a = _id");
        if statement.starts_with("DROP") {
            run(&store, "CREATE INDEX i ON c (a)");
        }
        store.sync().expect("syncs");
        // Between the first commit of the statement and what it does next.
        let (inside, once) = (store.clone(), AtomicBool::new(true));
        let commits = store.signal_commits(move || {
            if once.swap(false, Ordering::Relaxed) {
                storage.fail_sync(1);
                inside.sync().expect_err("fails");
                recover(&inside);
            }
        });
        store.execute(statement, &Object::new()).expect_err("nobody knows what became of it");
        drop(commits);
        later.run();
        assert_consistent(&store);
        assert_eq!(query(&store, "SELECT a FROM c WHERE a > 1"), [r#"{"a":2}"#]);
        let left = query(&store, "SELECT state FROM system:indexes");
        assert!(left.iter().all(|state| state == r#"{"state":"ready"}"#), "{seed} {statement}: {left:?}");
    }
}

/// A recovery that fails after the storage went on goes on itself the next time. Whether it lost something.
fn recover_twice(seed: u64) -> bool {
    let below = FaultyStorage::new(seed);
    let storage = Interrupted::new(below.clone());
    let store = open_in(storage.clone(), seed);
    insert(&store, 1).expect("inserts");
    store.sync().expect("syncs");
    run(&store, "INSERT INTO unsynced DOCUMENTS ({'_id': 1})");
    let last = store.last_sequence();
    below.fail_commit(1);
    insert(&store, 2).expect_err("fails");
    storage.at(Moment::Recovered, {
        let storage = Arc::downgrade(&storage);
        move || storage.upgrade().expect("is there").fail_place()
    });
    let error = store.recover().expect_err("nobody knows where the storage is");
    assert!(matches!(error, OpenError::Storage(StorageError::Io { .. })), "{error}");
    let error = insert(&store, 3).expect_err("memory says what may be gone");
    assert!(
        matches!(&error, StoreError::Storage(StorageError::Failed { cause }) if matches!(**cause, StorageError::Io { .. })),
        "{error}"
    );
    store.sync().expect_err("nor can anything be said to be durable");
    store.recover().expect("recovers");
    assert_consistent(&store);
    let fresh = open_in(Arc::new(below.copy(seed)), 100);
    assert_eq!(store.last_sequence(), fresh.last_sequence());
    assert_eq!(store.collections(), fresh.collections());
    assert!(fresh.runs().starts_with(&store.runs()), "{:?} {:?}", store.runs(), fresh.runs());
    assert_eq!(store.runs().len(), 2);
    let is_lost = store.last_sequence() < last;
    insert(&store, 4).expect("goes on");
    is_lost
}

#[test]
fn a_recovery_that_fails_halfway_is_not_over() {
    let lost = (0..16).filter(|seed| recover_twice(*seed)).count();
    assert!((1..16).contains(&lost), "{lost}");
}

#[test]
fn a_closed_store_does_not_recover() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    storage.set_disk_full(true);
    insert(&store, 1).expect_err("is full");
    store.close().expect("closes");
    assert!(matches!(store.recover(), Err(OpenError::Storage(StorageError::Closed))));
}

#[test]
fn durable_commits_are_on_the_platter_when_they_return_and_others_are_not() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    insert(&store, 1).expect("inserts");
    assert!(storage.unsynced_commits() > 0, "nobody waited for it");
    let shown = query(&store, "SHOW durable_commits");
    assert_eq!(shown, [r#"{"durable_commits":false}"#]);
    run(&store, "ALTER SYSTEM SET DURABLE_COMMITS = true");
    insert(&store, 2).expect("inserts");
    assert_eq!((storage.unsynced_commits(), store.durable_sequence()), (0, store.last_sequence()));
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    for id in [3, 4] {
        let text = format!("INSERT INTO c DOCUMENTS ({{'_id': {id}}})");
        transaction.execute(&text, &Object::new()).expect("inserts");
    }
    transaction.commit().expect("commits");
    assert_eq!((storage.unsynced_commits(), store.durable_sequence()), (0, store.last_sequence()));
    run(&store, "ALTER SYSTEM RESET durable_commits");
    insert(&store, 5).expect("inserts");
    let left = open_in(Arc::new(storage.restart(ditto_storage::Loss::AllUnsynced)), 2);
    assert_eq!(ids(&left), [1, 2, 3, 4]);
}
