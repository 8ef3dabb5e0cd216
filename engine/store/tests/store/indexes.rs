//! CREATE INDEX, DROP INDEX, `system:indexes`, and rows that follow the documents whatever happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ditto_storage::{Batch, FaultyStorage, Keyspace, Loss, MemoryStorage, Storage};
use ditto_store::{
    IndexError, MAX_INDEX_KEYS, MAX_INDEXES, Store, StoreError, StoreOptions, TransactionKind,
};
use ditto_value::Object;
use proptest::prelude::*;

use crate::model::{simple_step, text};
use crate::support::{
    DATABASE, Later, TestEnvironment, assert_consistent, failure, open, open_in, query, run, run_with,
};

const INDEXES: [&str; 4] = [
    "CREATE INDEX by_a ON c (a)",
    "CREATE INDEX by_k ON c (m.k DESC)",
    "CREATE INDEX by_b_a ON c (b, a DESC)",
    "CREATE INDEX by_m ON c (m, _id)",
];

const PATIENCE: Duration = Duration::from_secs(60);

/// More documents than one piece of a build comes by.
const MANY: i64 = 2_500;

fn fill(store: &Store, count: i64) {
    let documents: Vec<String> =
        (0..count).map(|n| format!(r#"{{"_id": {n}, "a": {}, "b": "b{}"}}"#, n % 7, n % 3)).collect();
    run_with(store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": [{}]}}"#, documents.join(",")));
}

fn index_rows(store: &Store) -> u64 {
    let verified = store.verify().expect("readable");
    assert!(verified.is_consistent(), "{:#?}", verified.inconsistencies);
    verified.index_rows
}

fn index_error(store: &Store, text: &str) -> IndexError {
    match failure(store, text, "{}") {
        StoreError::Index(error) => error,
        other => panic!("{text}: {other}"),
    }
}

#[test]
fn an_index_is_listed_from_its_creation_to_its_end() {
    let store = open(1);
    fill(&store, 10);
    run(&store, "CREATE INDEX by_a ON c (a)");
    run(&store, "CREATE INDEX `by b` ON c (b.`x y` DESC, _id.row)");
    assert_eq!(
        query(&store, "SELECT * FROM system:indexes"),
        [
            r#"{"_id":"c.by_a","collection":"c","fields":[{"direction":"asc","key":["a"]}],"state":"ready"}"#,
            r#"{"_id":"c.by b","collection":"c","fields":[{"direction":"desc","key":["b","x y"]},{"direction":"asc","key":["_id","row"]}],"state":"ready"}"#,
        ]
    );
    assert_eq!(index_rows(&store), 20);
    run(&store, "DROP INDEX by_a ON c");
    assert_eq!(query(&store, "SELECT _id FROM system:indexes"), [r#"{"_id":"c.by b"}"#]);
    assert_eq!(index_rows(&store), 10);
    run(&store, "CREATE INDEX by_a ON c (b)");
    assert_eq!(index_rows(&store), 20);
}

#[test]
fn names_are_unique_in_a_collection_and_limits_have_numbers() {
    let store = open(1);
    run(&store, "CREATE INDEX i ON c (a)");
    run(&store, "CREATE INDEX i ON d (a)");
    run(&store, "CREATE INDEX IF NOT EXISTS i ON c (other)");
    assert!(matches!(index_error(&store, "CREATE INDEX i ON c (b)"), IndexError::Exists { .. }));
    assert!(matches!(index_error(&store, "DROP INDEX j ON c"), IndexError::Unknown { .. }));
    assert!(matches!(index_error(&store, "DROP INDEX j ON nowhere"), IndexError::Unknown { .. }));
    run(&store, "DROP INDEX IF EXISTS j ON c");
    run(&store, "DROP INDEX IF EXISTS j ON nowhere");
    assert!(matches!(
        index_error(&store, "CREATE INDEX j ON c (a, b, a DESC)"),
        IndexError::RepeatedKey { .. }
    ));
    let keys: Vec<String> = (0..=MAX_INDEX_KEYS).map(|n| format!("k{n}")).collect();
    let too_many = format!("CREATE INDEX j ON c ({})", keys.join(", "));
    assert_eq!(index_error(&store, &too_many), IndexError::TooManyKeys);
    let deep = format!("CREATE INDEX j ON c ({})", vec!["x"; 129].join("."));
    assert_eq!(index_error(&store, &deep), IndexError::TooManyKeys);
    for number in 1..MAX_INDEXES {
        run(&store, &format!("CREATE INDEX i{number} ON c (a)"));
    }
    assert!(matches!(index_error(&store, "CREATE INDEX j ON c (b)"), IndexError::TooManyIndexes { .. }));
    assert!(matches!(failure(&store, "CREATE INDEX i ON system:indexes (a)", "{}"), StoreError::Data(_)));
    assert!(matches!(failure(&store, "CREATE INDEX i ON __c (a)", "{}"), StoreError::Data(_)));
}

#[test]
fn transactions_and_observers_refuse_index_statements() {
    let store = open(1);
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    for text in ["CREATE INDEX i ON c (a)", "DROP INDEX i ON c"] {
        let error = transaction.execute(text, &Object::new()).expect_err("refused");
        assert!(matches!(error, StoreError::Context { .. }), "{error}");
        let observed = store.observe(text, Object::new(), Box::new(|_, _| {}));
        assert!(matches!(observed, Err(StoreError::Context { .. })));
    }
}

#[test]
fn indexes_are_there_after_reopening() {
    let storage = Arc::new(MemoryStorage::new());
    let store = open_in(storage.clone(), 1);
    fill(&store, 10);
    INDEXES.iter().for_each(|text| drop(run(&store, text)));
    run(&store, "DROP INDEX by_k ON c");
    let listed = query(&store, "SELECT * FROM system:indexes");
    drop(store);
    let store = open_in(storage, 2);
    assert_eq!(query(&store, "SELECT * FROM system:indexes"), listed);
    run(&store, "UPDATE c SET a = 100 WHERE _id = 3");
    run(&store, "CREATE INDEX by_k ON c (m.k)");
    assert_eq!(index_rows(&store), 40);
}

#[test]
fn a_row_is_written_only_when_its_fields_change() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    fill(&store, 3);
    run(&store, "CREATE INDEX by_a ON c (a)");
    run(&store, "CREATE INDEX by_b ON c (b)");
    let rows = |store: &Store| -> Vec<Vec<u8>> {
        let snapshot = store.storage().snapshot();
        let rows = snapshot.prefix(Keyspace::Indexes, &[], ditto_storage::Direction::Forward);
        rows.map(|row| row.expect("readable").0.to_vec()).collect()
    };
    let before = rows(&store);
    // Its rows are taken away behind its back: a commit that touched one would bring it back.
    let mut batch = Batch::new();
    before.iter().for_each(|row| batch.delete(Keyspace::Indexes, row.clone()));
    storage.commit(batch).expect("commits");
    run(&store, "UPDATE c SET x = 1, a = a, b = b");
    assert_eq!(rows(&store), Vec::<Vec<u8>>::new());
    run(&store, "UPDATE c SET a = a + 100");
    assert_eq!(rows(&store).len(), 3);
    assert!(!store.verify().expect("readable").is_consistent(), "half of the rows are still missing");
}

#[test]
fn verify_finds_missing_superfluous_and_orphaned_rows() {
    let storage = Arc::new(MemoryStorage::new());
    let store = open_in(storage.clone(), 1);
    fill(&store, 4);
    run(&store, "CREATE INDEX by_a ON c (a)");
    assert_consistent(&store);
    let snapshot = storage.snapshot();
    let first = snapshot.prefix(Keyspace::Indexes, &[], ditto_storage::Direction::Forward).next();
    let (row, _) = first.expect("there is one").expect("readable");
    let tampered = |change: &dyn Fn(&mut Batch), undo: &dyn Fn(&mut Batch)| {
        let mut batch = Batch::new();
        change(&mut batch);
        storage.commit(batch).expect("commits");
        let found = store.verify().expect("readable").inconsistent;
        let mut batch = Batch::new();
        undo(&mut batch);
        storage.commit(batch).expect("commits");
        assert_consistent(&store);
        found
    };
    let put = |batch: &mut Batch| batch.put(Keyspace::Indexes, row.clone(), b"");
    let delete = |batch: &mut Batch| batch.delete(Keyspace::Indexes, row.clone());
    assert_eq!(tampered(&delete, &put), 1);
    assert_eq!(tampered(&|batch| batch.put(Keyspace::Indexes, row.clone(), b"\x01"), &put), 2);
    for superfluous in [&[0, 0, 0, 1, 0x1A, 0x34][..], &[0, 0, 0, 9, 0x1A], &[0, 0, 0, 1, 0xFF], &[7]] {
        let found = tampered(&|batch| batch.put(Keyspace::Indexes, superfluous, b""), &|batch| {
            batch.delete(Keyspace::Indexes, superfluous)
        });
        assert_eq!(found, 1, "{superfluous:?}");
    }
}

#[test]
fn writers_go_on_while_an_index_is_built() {
    let store = open(1);
    fill(&store, MANY);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let id = number * 31 % MANY;
                run(&store, &format!("UPDATE c SET a = {} WHERE _id = {id}", 100 + number));
                run(&store, &format!("DELETE FROM c WHERE _id = {}", (id + 7) % MANY));
                run(&store, &format!("EVICT FROM c WHERE _id = {}", (id + 8) % MANY));
                run(&store, &format!("INSERT INTO c DOCUMENTS ({{'_id': 'new{number}', 'a': {number}}})"));
            }
        });
        for text in INDEXES {
            run(&store, text);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_consistent(&store);
}

#[test]
fn two_who_create_the_same_index_both_wait_for_it() {
    let store = open(1);
    fill(&store, MANY);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                run(&store, "CREATE INDEX IF NOT EXISTS by_a ON c (a)");
                assert_eq!(
                    query(&store, "SELECT state FROM system:indexes"),
                    [r#"{"state":"ready"}"#],
                    "it can be used when the statement returns"
                );
            });
        }
    });
    assert_eq!(index_rows(&store), MANY as u64);
}

/// Opens what is left after a crash; the executor keeps its jobs until the test runs them.
fn open_later(storage: &FaultyStorage, later: &Arc<Later>) -> Store {
    let options = StoreOptions::new(DATABASE, later.clone());
    Store::open(Arc::new(storage.clone()), TestEnvironment::new(9), options).expect("opens")
}

#[test]
fn a_build_that_a_crash_stopped_goes_on_after_reopening() {
    // The definition is the first commit; then come three pieces.
    for (seed, failing) in (0..24).map(|seed| (seed, 1 + seed % 4)) {
        let storage = FaultyStorage::new(seed);
        let store = open_in(Arc::new(storage.clone()), seed);
        fill(&store, MANY);
        store.sync().expect("syncs");
        storage.fail_commit(failing);
        store.execute("CREATE INDEX by_a ON c (a)", &Object::new()).expect_err("a commit fails");
        drop(store);
        let loss = [Loss::Nothing, Loss::SomeUnsynced, Loss::AllUnsynced][(seed % 3) as usize];
        let storage = storage.restart(loss);
        let later = Arc::new(Later::default());
        let store = open_later(&storage, &later);
        assert_consistent(&store);
        run(&store, "UPDATE c SET a = 50 WHERE _id IN (1, 1200, 2400)");
        run(&store, "DELETE FROM c WHERE _id IN (2, 1201, 2401)");
        run(&store, "INSERT INTO c DOCUMENTS ({'_id': -1}), ({'_id': 'a', 'b': 1}), ({'_id': 'z', 'a': 1})");
        assert_consistent(&store);
        later.run();
        run(&store, "CREATE INDEX IF NOT EXISTS by_a ON c (a)");
        assert_eq!(query(&store, "SELECT state FROM system:indexes"), [r#"{"state":"ready"}"#]);
        assert_eq!(index_rows(&store), MANY as u64);
    }
}

#[test]
fn a_removal_that_a_crash_stopped_goes_on_after_reopening() {
    // The end of the definition is the first commit; then come three pieces.
    for failing in 1..=4 {
        let storage = FaultyStorage::new(failing);
        let store = open_in(Arc::new(storage.clone()), 1);
        fill(&store, MANY);
        run(&store, "CREATE INDEX by_a ON c (a)");
        store.sync().expect("syncs");
        storage.fail_commit(failing);
        store.execute("DROP INDEX by_a ON c", &Object::new()).expect_err("a commit fails");
        drop(store);
        let storage = storage.restart(Loss::Nothing);
        let later = Arc::new(Later::default());
        let store = open_later(&storage, &later);
        assert_consistent(&store);
        let is_there = !query(&store, "SELECT * FROM system:indexes").is_empty();
        assert!(!is_there || failing == 1, "only the first commit can have been lost");
        later.run();
        assert_eq!(index_rows(&store), if is_there { MANY as u64 } else { 0 });
        run(&store, "CREATE INDEX IF NOT EXISTS by_a ON c (a)");
        assert_eq!(index_rows(&store), MANY as u64);
    }
}

#[test]
fn progress_is_listed_and_an_index_can_be_dropped_while_it_is_built() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    fill(&store, MANY);
    storage.fail_commit(3);
    assert!(store.execute("CREATE INDEX by_a ON c (a)", &Object::new()).is_err());
    assert_eq!(
        query(&store, "SELECT state, progress FROM system:indexes"),
        [r#"{"progress":0.4,"state":"building"}"#]
    );
    drop(store);
    let storage = storage.restart(Loss::Nothing);
    let later = Arc::new(Later::default());
    let store = open_later(&storage, &later);
    assert_eq!(query(&store, "SELECT COUNT(*) AS n FROM c WHERE a = 3"), [r#"{"n":357}"#]);
    run(&store, "DROP INDEX by_a ON c");
    later.run();
    assert_eq!(index_rows(&store), 0);
    assert_eq!(query(&store, "SELECT * FROM system:indexes"), Vec::<String>::new());
}

#[test]
fn a_build_that_waits_for_a_transaction_does_not_block_what_is_inside_of_it() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    fill(&store, MANY);
    storage.fail_commit(3);
    assert!(store.execute("CREATE INDEX by_a ON c (a)", &Object::new()).is_err());
    drop(store);
    let later = Arc::new(Later::default());
    let store = open_later(&storage.restart(Loss::Nothing), &later);
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    let building = thread::spawn(move || later.run());
    let (sender, refused) = mpsc::channel();
    let inside = {
        let store = store.clone();
        thread::spawn(move || {
            // Often enough for the build to have come to where it waits.
            transaction.inside(|| {
                for _ in 0..10_000 {
                    let error = failure(&store, "CREATE INDEX IF NOT EXISTS by_a ON c (a)", "{}");
                    assert!(matches!(error, StoreError::NestedWrite { .. }), "{error}");
                    thread::yield_now();
                }
            });
            sender.send(()).expect("somebody listens");
        })
    };
    refused.recv_timeout(PATIENCE).expect("nobody waits for ever");
    inside.join().expect("no panic");
    building.join().expect("no panic");
    assert_eq!(query(&store, "SELECT state FROM system:indexes"), [r#"{"state":"ready"}"#]);
    assert_eq!(index_rows(&store), MANY as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rows_follow_the_documents(
        before in prop::collection::vec(simple_step(), 0..12),
        steps in prop::collection::vec((simple_step(), prop::option::of(any::<bool>())), 0..25),
    ) {
        let store = open(1);
        let none = Object::new();
        // Some statements fail, as duplicates of an `_id` do; that is part of it.
        before.iter().for_each(|step| drop(store.execute(&text(step), &none)));
        INDEXES.iter().for_each(|text| drop(run(&store, text)));
        for (step, ends) in &steps {
            let text = text(step);
            match ends {
                None => drop(store.execute(&text, &none)),
                Some(commits) => {
                    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
                    let _ = transaction.execute(&text, &none);
                    let _ = transaction.execute("UPDATE c SET a = 1, m.k = 2 WHERE b IS MISSING", &none);
                    if *commits {
                        transaction.commit().expect("commits");
                    }
                }
            }
            let verified = store.verify().expect("readable");
            prop_assert!(verified.is_consistent(), "{text}: {:#?}", verified.inconsistencies);
            prop_assert_eq!(verified.index_rows, verified.documents * INDEXES.len() as u64);
        }
    }
}
