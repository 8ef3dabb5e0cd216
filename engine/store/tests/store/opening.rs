//! Opening and reopening.

use std::sync::Arc;

use ditto_crdt::{RunId, Sequence};
use ditto_storage::{Batch, Direction, DiskStorage, Keyspace, MemoryStorage, Storage};
use ditto_store::{Durability, MAX_RUNS, OpenError, Store, StoreOptions, SyncScope};

use crate::support::{DATABASE, TestEnvironment, Threads, assert_consistent, open_in, query, run, run_with};

fn try_open(storage: &Arc<MemoryStorage>, database: &str) -> Result<Store, OpenError> {
    let options = StoreOptions::new(database, Arc::new(Threads));
    Store::open(Arc::clone(storage) as Arc<dyn Storage>, TestEnvironment::new(5), options)
}

#[test]
fn a_reopened_store_goes_on_where_it_stopped() {
    let storage = Arc::new(MemoryStorage::new());
    let first = open_in(storage.clone(), 1);
    let (site, runs) = (first.site(), first.runs());
    run_with(&first, "INSERT INTO c DOCUMENTS (:d), (:e)", r#"{"d": {"_id": 1, "a": 1}, "e": {"_id": 2}}"#);
    run(&first, "DELETE FROM c WHERE _id = 1");
    run(&first, "EVICT FROM c WHERE _id = 2");
    let last = first.last_sequence();
    drop(first);
    let second = open_in(storage, 2);
    assert_eq!(second.site(), site);
    assert_eq!(second.last_sequence(), last);
    assert_eq!(second.runs().len(), 2);
    assert_eq!(second.runs()[0], runs[0]);
    assert_eq!(second.runs()[1].1, Sequence(last.0 + 1));
    assert_eq!(second.collections()[0].evictions, 1);
    run_with(&second, "INSERT INTO c DOCUMENTS (:d)", r#"{"d": {"_id": 1, "b": 2}}"#);
    assert_eq!(query(&second, "SELECT * FROM c"), [r#"{"_id":1,"b":2}"#]);
    assert_eq!(second.last_sequence(), Sequence(last.0 + 1));
    assert_consistent(&second);
}

#[test]
fn sync_scopes_are_the_one_parameter_that_a_reopened_store_still_has() {
    let storage = Arc::new(MemoryStorage::new());
    let first = open_in(storage.clone(), 1);
    let revision = first.sync_scopes_revision();
    run(&first, "ALTER SYSTEM SET user_collection_sync_scopes = {'c': 'LOCALPEERONLY'}");
    run(&first, "ALTER SYSTEM SET dql_strict_mode = true");
    assert_ne!(first.sync_scopes_revision(), revision);
    drop(first);
    let second = open_in(storage.clone(), 2);
    assert_eq!(second.sync_scope("c"), SyncScope::LocalPeerOnly);
    assert_eq!(second.sync_scope("d"), SyncScope::AllPeers);
    assert_eq!(query(&second, "SHOW dql_strict_mode"), [r#"{"dql_strict_mode":false}"#]);
    run(&second, "ALTER SYSTEM RESET ALL");
    drop(second);
    assert_eq!(open_in(storage, 3).sync_scope("c"), SyncScope::AllPeers);
}

#[test]
fn stamps_do_not_go_back_with_the_wall_clock() {
    let storage: Arc<MemoryStorage> = Arc::new(MemoryStorage::new());
    let first = open_in(storage.clone(), 1);
    run_with(&first, "INSERT INTO c DOCUMENTS (:d)", r#"{"d": {"_id": 1, "a": 1}}"#);
    drop(first);
    let environment = TestEnvironment::new(2);
    environment.set_now(1_000);
    let second =
        Store::open(storage, environment, StoreOptions::new(DATABASE, Arc::new(Threads))).expect("opens");
    run(&second, "UPDATE c SET a = 2");
    run(&second, "UPDATE c SET a = 3");
    assert_eq!(query(&second, "SELECT a FROM c"), [r#"{"a":3}"#]);
    assert_consistent(&second);
}

#[test]
fn another_database_is_refused() {
    let storage = Arc::new(MemoryStorage::new());
    drop(try_open(&storage, "one").expect("opens"));
    match try_open(&storage, "two").map(|_| ()) {
        Err(OpenError::WrongDatabase { expected, found }) => {
            assert_eq!((&*expected, &*found), ("two", "one"))
        }
        other => panic!("{other:?}"),
    }
    try_open(&storage, "one").expect("is unharmed");
}

#[test]
fn a_newer_format_is_refused_and_not_touched() {
    let storage = Arc::new(MemoryStorage::new());
    drop(try_open(&storage, DATABASE).expect("opens"));
    let mut batch = Batch::new();
    batch.put(Keyspace::Catalog, b"format", b"ditto\x00\x00\x00\x09");
    storage.commit(batch).expect("commits");
    let runs = storage.snapshot().prefix(Keyspace::Catalog, &[3], Direction::Forward).count();
    assert!(matches!(try_open(&storage, DATABASE), Err(OpenError::UnknownFormat { found: 9 })));
    let after = storage.snapshot().prefix(Keyspace::Catalog, &[3], Direction::Forward).count();
    assert_eq!(runs, after);
    let mut batch = Batch::new();
    batch.put(Keyspace::Catalog, b"format", b"SQLite format 3");
    storage.commit(batch).expect("commits");
    assert!(matches!(try_open(&storage, DATABASE), Err(OpenError::Corrupt { .. })));
}

#[test]
fn somebody_elses_rows_are_not_taken_for_an_empty_database() {
    let storage = Arc::new(MemoryStorage::new());
    let mut batch = Batch::new();
    batch.put(Keyspace::Documents, b"x", b"y");
    storage.commit(batch).expect("commits");
    assert!(matches!(try_open(&storage, DATABASE), Err(OpenError::Corrupt { .. })));
}

#[test]
fn a_copy_gets_a_new_site_and_runs_of_its_own() {
    let store = open_in(Arc::new(MemoryStorage::new()), 1);
    run_with(&store, "INSERT INTO c DOCUMENTS (:d)", r#"{"d": {"_id": 1}}"#);
    let site = store.site();
    let run_id = store.begin_run(true).expect("begins");
    assert_ne!(store.site(), site);
    assert_eq!(store.runs().last(), Some(&(run_id, Sequence(2))));
    let second = store.begin_run(false).expect("begins");
    assert_eq!(store.runs()[1..], [(run_id, Sequence(2)), (second, Sequence(2))]);
    assert_eq!(store.durable_sequence(), Sequence(1));
}

#[test]
fn what_was_committed_is_on_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    for round in 1..=3u64 {
        let storage: Arc<dyn Storage> = Arc::new(DiskStorage::open(directory.path()).expect("opens"));
        let store = open_in(storage, round);
        run_with(&store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": {{"_id": {round}}}}}"#));
        assert_eq!(query(&store, "SELECT COUNT(*) AS n FROM c"), [format!(r#"{{"n":{round}}}"#)]);
        assert_eq!(store.sync().expect("syncs"), Sequence(round));
        assert_consistent(&store);
        store.close().expect("closes");
    }
}

#[test]
fn immediate_durability_returns_when_the_commit_is_on_the_platter() {
    let options =
        StoreOptions { durability: Durability::Immediate, ..StoreOptions::new(DATABASE, Arc::new(Threads)) };
    let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..25 {
                    let result = run(store, &format!("INSERT INTO c DOCUMENTS ({{'thread': {thread}}})"));
                    assert!(store.durable_sequence().0 >= result.commit_id.expect("a commit"));
                }
            });
        }
    });
    assert_eq!(store.durable_sequence(), Sequence(100));
    assert_eq!(query(&store, "SELECT COUNT(*) AS n FROM c"), [r#"{"n":100}"#]);
    assert_consistent(&store);
}

#[test]
fn only_so_many_runs_are_kept() {
    let storage = Arc::new(MemoryStorage::new());
    let first = open_in(storage.clone(), 1);
    run(&first, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    drop(first);
    let mut batch = Batch::new();
    for number in 1..MAX_RUNS as u32 + 5 {
        let value: Vec<u8> = [u64::from(number), 7, 2].iter().flat_map(|part| part.to_be_bytes()).collect();
        batch.put(Keyspace::Catalog, [&[3][..], &number.to_be_bytes()].concat(), value);
    }
    storage.commit(batch).expect("commits");
    let rows = || storage.snapshot().prefix(Keyspace::Catalog, &[3], Direction::Forward).count();
    let store = open_in(storage.clone(), 2);
    let runs = store.runs();
    assert_eq!((runs.len(), rows()), (MAX_RUNS, MAX_RUNS));
    assert_eq!(runs[0], (RunId(6), Sequence(2)), "the oldest are forgotten");
    store.begin_run(false).expect("begins");
    assert_eq!(store.runs()[..MAX_RUNS - 1], runs[1..]);
    drop(store);
    let again = open_in(storage.clone(), 3);
    assert_eq!((again.runs().len(), rows(), again.last_sequence()), (MAX_RUNS, MAX_RUNS, Sequence(1)));
}

#[test]
fn a_run_begins_after_a_pause_that_is_long_enough() {
    let store = open_in(Arc::new(MemoryStorage::new()), 1);
    assert_eq!(store.begin_run_after(599_999).expect("answers"), None);
    let begun = store.begin_run_after(600_000).expect("begins");
    assert_eq!(store.runs().last().map(|(run, _)| *run), begun);
    run(&store, "ALTER SYSTEM SET run_after_pause_ms = 0");
    assert!(store.begin_run_after(0).expect("begins").is_some());
}
