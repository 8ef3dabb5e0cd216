//! Who may write when: the queue of writers, its patience, and what becomes of it when the store closes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ditto_storage::{Direction, Keyspace, MemoryStorage};
use ditto_store::{
    Executor, Incoming, IndexError, QueryResult, Store, StoreError, StoreOptions, SyncScope, Transaction,
    TransactionKind, TransactionOptions,
};
use ditto_value::{Object, Value};

use crate::support::{
    DATABASE, Later, TestEnvironment, assert_consistent, failure, object, open, query, run, run_with,
    warnings,
};

const PATIENCE: Duration = Duration::from_secs(60);
const INSERT: &str = "INSERT INTO c DOCUMENTS (:d)";

fn hinted(hint: &str) -> TransactionOptions {
    TransactionOptions { hint: Some(hint.to_owned()), ..TransactionOptions::default() }
}

fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("it comes in time")
}

/// Begins a transaction without waiting for it; it arrives at the receiver.
fn begin_later(
    store: &Store,
    options: impl Into<TransactionOptions>,
) -> Receiver<Result<Transaction, StoreError>> {
    let (sender, begun) = mpsc::channel();
    // Nobody listens any more where the test gave up.
    store.begin_later(options, move |transaction| drop(sender.send(transaction)));
    begun
}

/// Lets time pass for the queue until something arrives.
fn watch_until<T>(store: &Store, receiver: &Receiver<T>) -> T {
    for now in (0..).step_by(10_000) {
        store.watch_writer(now);
        if let Ok(value) = receiver.recv_timeout(Duration::from_millis(1)) {
            return value;
        }
    }
    unreachable!("the range has no end")
}

#[test]
fn a_write_beside_a_transaction_from_inside_of_it_is_an_error() {
    let store = open(1);
    let outer = store.begin(hinted("import")).expect("begins");
    let is_nested = |error: &StoreError| matches!(error, StoreError::NestedWrite { holder } if holder.contains("\"import\""));
    outer.inside(|| {
        let error = failure(&store, INSERT, r#"{"d": {"_id": 1}}"#);
        assert!(is_nested(&error), "{error}");
        let error = store.try_execute("DELETE FROM c", &Object::new()).expect_err("nested");
        assert!(is_nested(&error), "{error}");
        let error = store.begin(TransactionKind::ReadWrite).expect_err("nested");
        assert!(is_nested(&error), "{error}");
        assert!(is_nested(&next(&begin_later(&store, TransactionKind::ReadWrite)).expect_err("nested")));
        // Reading beside it is fine, and sees what was before.
        outer.execute(INSERT, &object(r#"{"d": {"_id": 2}}"#)).expect("inserts");
        assert_eq!(query(&store, "SELECT * FROM c").len(), 0);
        let reader = store.begin(TransactionKind::ReadOnly).expect("begins");
        assert_eq!(
            reader.inside(|| reader.execute("SELECT * FROM c", &Object::new())).expect("reads").rows.len(),
            0
        );
        // Entered twice, left once: still inside.
        outer.inside(|| ());
        assert!(is_nested(&failure(&store, INSERT, r#"{"d": {"_id": 1}}"#)));
    });
    // Outside of it one waits, on this very thread too.
    let begun = begin_later(&store, TransactionKind::ReadWrite);
    assert!(store.try_execute("DELETE FROM c", &Object::new()).expect("is no error").is_none());
    outer.commit().expect("commits");
    let second = next(&begun).expect("begins");
    assert_eq!(second.execute("SELECT * FROM c", &Object::new()).expect("reads").rows.len(), 1);
    // After its end there is nothing to be inside of.
    second.rollback();
    outer.inside(|| run_with(&store, INSERT, r#"{"d": {"_id": 3}}"#));
    assert_consistent(&store);
}

#[test]
fn a_writer_inside_a_reader_does_not_wait() {
    let store = open(1);
    let reader = store.begin(TransactionKind::ReadOnly).expect("begins");
    reader.inside(|| {
        let writer = store.begin(TransactionKind::ReadWrite).expect("begins");
        writer.execute(INSERT, &object(r#"{"d": {"_id": 1}}"#)).expect("inserts");
        writer.commit().expect("commits");
        run(&store, "UPDATE c SET a = 1");
    });
    assert_eq!(reader.execute("SELECT * FROM c", &Object::new()).expect("reads").rows.len(), 0);
}

#[test]
fn a_transaction_of_another_store_is_in_nobodys_way() {
    let (one, other) = (open(1), open(2));
    let transaction = one.begin(TransactionKind::ReadWrite).expect("begins");
    let beside = other.begin(TransactionKind::ReadWrite).expect("begins");
    drop(beside);
    transaction.inside(|| run_with(&other, INSERT, r#"{"d": {"_id": 1}}"#));
}

#[test]
fn turns_come_in_the_order_of_asking_whoever_asks() {
    let store = open(1);
    let first = store.begin(TransactionKind::ReadWrite).expect("begins");
    let order = Arc::new(Mutex::new(Vec::new()));
    let (sender, done) = mpsc::channel();
    for number in 0..20_u32 {
        let (order, sender) = (Arc::clone(&order), sender.clone());
        store.begin_later(TransactionKind::ReadWrite, move |transaction| {
            let transaction = transaction.expect("begins");
            order.lock().expect("not poisoned").push(number);
            match number % 3 {
                0 => drop(transaction),
                1 => transaction.rollback(),
                _ => {
                    let insert = format!("INSERT INTO c DOCUMENTS ({{'_id': {number}}})");
                    transaction.execute(&insert, &Object::new()).expect("inserts");
                    transaction.commit().expect("commits");
                }
            }
            sender.send(()).expect("somebody listens");
        });
    }
    assert!(order.lock().expect("not poisoned").is_empty());
    first.commit().expect("commits");
    (0..20).for_each(|_| next(&done));
    assert_eq!(*order.lock().expect("not poisoned"), (0..20).collect::<Vec<_>>());
    assert_eq!(query(&store, "SELECT * FROM c").len(), 6);
}

#[test]
fn who_waits_too_long_is_told_for_whom() {
    let store = open(1);
    let (woken, alarms) = mpsc::channel();
    store.on_writer_busy(move || woken.send(()).expect("somebody listens"));
    let long = store.begin(hinted("nightly import")).expect("begins");
    next(&alarms);
    let statement = {
        let (store, (sender, ended)) = (store.clone(), mpsc::channel());
        thread::spawn(move || sender.send(store.execute(INSERT, &object(r#"{"d": {"_id": 1}}"#))));
        ended
    };
    let later = begin_later(&store, hinted("second"));
    // What comes from peers cannot be asked for again by the application: it waits.
    let merged = {
        let (store, (sender, ended)) = (store.clone(), mpsc::channel());
        let incoming = Incoming {
            from: [1; 32],
            origin: 1,
            documents: Vec::new(),
            checkpoints: Vec::new(),
            seen: None,
            evictions: None,
        };
        thread::spawn(move || sender.send(store.replica().apply(incoming).map(drop)));
        ended
    };
    for error in [
        watch_until(&store, &statement).expect_err("gave up"),
        watch_until(&store, &later).expect_err("gave up"),
    ] {
        let StoreError::WriterBusy { holder, held_ms, waited_ms } = &error else { panic!("{error}") };
        assert!(holder.contains("nightly import"), "{holder}");
        assert!(*waited_ms >= 60_000 && held_ms >= waited_ms, "{error}");
    }
    assert!(merged.try_recv().is_err());
    // The one that was waited for is not harmed, and those after it get their turn.
    long.execute(INSERT, &object(r#"{"d": {"_id": 2}}"#)).expect("inserts");
    assert!(store.watch_writer(10_000_000));
    long.commit().expect("commits");
    next(&merged).expect("merges");
    while store.watch_writer(10_000_001) {
        thread::yield_now();
    }
    assert_eq!(query(&store, "SELECT * FROM c"), [r#"{"_id":2}"#]);
    // From here on nobody watches, and the next transaction asks for it.
    assert!(alarms.try_recv().is_err());
    drop(store.begin(TransactionKind::ReadWrite).expect("begins"));
    next(&alarms);
}

#[test]
fn with_a_timeout_of_zero_one_waits_for_ever() {
    let store = open(1);
    run(&store, "ALTER SYSTEM SET transaction_wait_timeout_ms = 0");
    let long = store.begin(TransactionKind::ReadWrite).expect("begins");
    let later = begin_later(&store, TransactionKind::ReadWrite);
    for now in [0, 1 << 40, 1 << 50] {
        assert!(store.watch_writer(now));
    }
    assert!(later.try_recv().is_err());
    drop(long);
    next(&later).expect("begins").commit().expect("commits");
}

/// Drops what it is to run.
struct Nobody;

impl Executor for Nobody {
    fn spawn(&self, _job: Box<dyn FnOnce() + Send>) {}
}

#[test]
fn a_turn_that_does_not_arrive_goes_to_the_next() {
    let options = StoreOptions::new(DATABASE, Arc::new(Nobody));
    let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
    let first = store.begin(TransactionKind::ReadWrite).expect("begins");
    let lost: Vec<_> = (0..3).map(|_| begin_later(&store, TransactionKind::ReadWrite)).collect();
    drop(first);
    for lost in lost {
        let outcome = lost.recv_timeout(PATIENCE).map(drop);
        assert_eq!(outcome, Err(RecvTimeoutError::Disconnected), "nobody could have called");
    }
    run_with(&store, INSERT, r#"{"d": {"_id": 1}}"#);
    // Nobody waits before it: the function is called on this thread.
    next(&begin_later(&store, TransactionKind::ReadWrite)).expect("begins");
}

#[test]
fn a_turn_that_is_not_wanted_any_more_goes_to_the_next() {
    let executor = Arc::new(Later::default());
    let options = StoreOptions::new(DATABASE, Arc::clone(&executor) as Arc<dyn Executor>);
    let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
    let first = store.begin(TransactionKind::ReadWrite).expect("begins");
    drop(begin_later(&store, TransactionKind::ReadWrite));
    let wanted = begin_later(&store, TransactionKind::ReadWrite);
    drop(first);
    executor.run();
    next(&wanted).expect("begins");
}

/// Runs a statement without waiting for it; the result arrives at the receiver.
fn execute_later(store: &Store, text: &str, arguments: &Object) -> Receiver<Result<QueryResult, StoreError>> {
    let (sender, executed) = mpsc::channel();
    let arguments = Value::Object(arguments.clone()).encode();
    store.execute_later(text, arguments, move |run| drop(sender.send(run())));
    executed
}

#[test]
fn statements_on_indexes_do_not_wait_either_where_that_is_not_wanted() {
    const CREATE: &str = "CREATE INDEX IF NOT EXISTS i ON c (a)";
    const DROP: &str = "DROP INDEX IF EXISTS i ON c";
    let store = open(1);
    let none = Object::new();
    for (statement, count) in [(CREATE, 1), (DROP, 0)] {
        let transaction = store.begin(hinted("outer")).expect("begins");
        assert!(store.try_execute(statement, &none).expect("is no error").is_none());
        let nested = |error: &StoreError| matches!(error, StoreError::NestedWrite { holder } if holder.contains("outer"));
        transaction.inside(|| {
            assert!(nested(&store.try_execute(statement, &none).expect_err("nested")));
            assert!(nested(&next(&execute_later(&store, statement, &none)).expect_err("nested")));
        });
        let done = execute_later(&store, statement, &none);
        assert!(done.try_recv().is_err());
        transaction.commit().expect("commits");
        next(&done).expect("is done");
        assert_eq!(query(&store, "SELECT * FROM system:indexes").len(), count);
        // Nothing is left to be done, whoever writes.
        let _other = store.begin(TransactionKind::ReadWrite).expect("begins");
        assert!(store.try_execute(statement, &none).expect("is no error").is_some());
    }
    assert!(matches!(store.try_execute("DROP INDEX i ON c", &none), Err(StoreError::Index(_))));
    assert!(matches!(store.try_execute("CREATE INDEX i ON c (a, a)", &none), Err(StoreError::Index(_))));
}

#[test]
fn what_loses_patience_while_it_builds_or_removes_an_index_is_done_all_the_same() {
    let executor = Arc::new(Later::default());
    let options = StoreOptions::new(DATABASE, Arc::clone(&executor) as Arc<dyn Executor>);
    let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
    run_with(&store, INSERT, r#"{"d": [{"_id": 1, "a": 1}, {"_id": 2, "a": 2}]}"#);
    // Runs a statement; somebody else has the writer from the first commit of it until it gives up.
    let interrupted = |statement: &'static str| {
        let (begun, long) = mpsc::channel();
        let (inside, begin) = (store.clone(), Mutex::new(Some(begun)));
        let commits = store.signal_commits(move || {
            if let Some(begun) = begin.lock().expect("not poisoned").take() {
                begun.send(inside.begin(hinted("long")).expect("begins")).expect("somebody listens");
            }
        });
        let (sender, ended) = mpsc::channel();
        let executing = store.clone();
        thread::spawn(move || sender.send(executing.execute(statement, &Object::new())));
        let long = next(&long);
        let outcome = watch_until(&store, &ended);
        drop((commits, long));
        outcome
    };
    let error = interrupted("CREATE INDEX i ON c (a)").expect_err("it is not built");
    assert!(matches!(error, StoreError::Index(IndexError::BuiltLater { .. })), "{error}");
    assert!(error.to_string().contains("\"long\""), "{error}");
    executor.run();
    assert_eq!(query(&store, "SELECT state FROM system:indexes"), [r#"{"state":"ready"}"#]);

    let advice = interrupted("ADVISE AND PROVISION SELECT * FROM c WHERE b = 1").expect("advises");
    let advice = advice.rows[0].value().to_json();
    assert!(advice.contains("failedIndexes") && advice.contains("background"), "{advice}");
    executor.run();
    assert_eq!(query(&store, "SELECT state FROM system:indexes"), [r#"{"state":"ready"}"#; 2]);

    for statement in ["DROP INDEX i ON c", "DROP INDEX adv_c_b ON c"] {
        interrupted(statement).expect("it is dropped");
    }
    assert_eq!(query(&store, "SELECT * FROM system:indexes"), [""; 0]);
    executor.run();
    let rows = store.storage().snapshot();
    assert_eq!(rows.prefix(Keyspace::Indexes, &[], Direction::Forward).count(), 0);
    assert_consistent(&store);
}

#[test]
fn sync_scopes_that_are_changed_inside_of_a_transaction_wait_for_nobody() {
    let store = open(1);
    run(&store, "ALTER SYSTEM SET transaction_wait_timeout_ms = 0");
    let set = |scope: &str| {
        let text = format!("ALTER SYSTEM SET user_collection_sync_scopes = {{'c': '{scope}'}}");
        let (store, (sender, ended)) = (store.clone(), mpsc::channel());
        (move || sender.send(store.execute(&text, &Object::new())), ended)
    };
    let outer = store.begin(hinted("outer")).expect("begins");
    let (waiting, waited) = set("LocalPeerOnly");
    thread::spawn(waiting);
    // Somebody waits with the same statement.
    let mut now = 0;
    let mut is_waiting = false;
    while !is_waiting {
        let looked = warnings(|| assert!(store.watch_writer(now), "the transaction is open"));
        is_waiting = looked.iter().any(|line| line.contains("waiting=1"));
        now += 1_000_000;
        thread::yield_now();
    }
    let (nested, refused) = set("AllPeers");
    thread::scope(|scope| {
        scope.spawn(|| outer.inside(nested));
        let outcome = refused.recv_timeout(PATIENCE);
        // Whatever it was, all of them end.
        outer.rollback();
        let error = outcome.expect("it does not wait").expect_err("nested");
        assert!(matches!(error, StoreError::NestedWrite { .. }), "{error}");
    });
    next(&waited).expect("sets");
    assert_eq!(store.sync_scope("c"), SyncScope::LocalPeerOnly);
}

#[test]
fn who_is_told_of_new_sync_scopes_may_change_them() {
    let store = open(1);
    const SET: &str = "ALTER SYSTEM SET user_collection_sync_scopes = {'c': 'BigPeerOnly'}";
    let (inside, first) = (store.clone(), AtomicBool::new(true));
    let _commits = store.signal_commits(move || {
        if first.swap(false, Ordering::Relaxed) {
            run(&inside, "ALTER SYSTEM SET user_collection_sync_scopes = {'c': 'LocalPeerOnly'}");
        }
    });
    let (setting, (sender, ended)) = (store.clone(), mpsc::channel());
    thread::spawn(move || sender.send(setting.execute(SET, &Object::new())));
    next(&ended).expect("sets");
    assert_eq!(store.sync_scope("c"), SyncScope::LocalPeerOnly, "what came later is in force");
}

#[test]
fn a_statement_runs_when_its_turn_comes_unless_nobody_wants_it_any_more() {
    let store = open(1);
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    let first = execute_later(&store, INSERT, &object(r#"{"d": {"_id": 1}}"#));
    store.execute_later("DELETE FROM c", Value::Object(Object::new()).encode(), |run| drop(run));
    let second = execute_later(&store, "UPDATE c SET a = 1", &Object::new());
    assert!(first.try_recv().is_err());
    // What does not write does not wait, nor does what cannot be done.
    assert_eq!(next(&execute_later(&store, "SELECT * FROM c", &Object::new())).expect("reads").rows.len(), 0);
    assert!(matches!(next(&execute_later(&store, "SELECT", &Object::new())), Err(StoreError::Compile(_))));
    assert!(matches!(
        next(&execute_later(&store, INSERT, &Object::new())),
        Err(StoreError::MissingArgument { .. })
    ));
    transaction.commit().expect("commits");
    assert!(next(&first).expect("inserts").commit_id.is_some());
    assert_eq!(next(&second).expect("updates").mutated_ids.len(), 1);
    assert_eq!(query(&store, "SELECT * FROM c"), [r#"{"_id":1,"a":1}"#]);
}

#[test]
fn a_panic_in_a_transaction_rolls_it_back() {
    let store = open(1);
    let panicking = {
        let store = store.clone();
        thread::spawn(move || {
            let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
            transaction.inside(|| {
                transaction.execute(INSERT, &object(r#"{"d": {"_id": 1}}"#)).expect("inserts");
                panic!("the application panics");
            })
        })
    };
    assert!(panicking.join().is_err());
    run_with(&store, INSERT, r#"{"d": {"_id": 2}}"#);
    assert_eq!(query(&store, "SELECT * FROM c"), [r#"{"_id":2}"#]);
    assert_consistent(&store);
}

#[test]
fn closing_lets_open_transactions_end() {
    let store = open(1);
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    let (sender, closed) = mpsc::channel();
    let closing = {
        let store = store.clone();
        thread::spawn(move || {
            store.end_transactions(PATIENCE);
            sender.send(()).expect("somebody listens");
        })
    };
    // No more are admitted from some moment on, and that is when this one may still go on.
    while store.begin(TransactionKind::ReadOnly).is_ok() {
        thread::yield_now();
    }
    assert!(closed.try_recv().is_err());
    transaction.execute(INSERT, &object(r#"{"d": {"_id": 1}}"#)).expect("inserts");
    transaction.commit().expect("commits");
    next(&closed);
    closing.join().expect("no panic");
    assert_eq!(store.last_sequence().0, 1);
    store.close().expect("closes");
}

#[test]
fn closing_ends_transactions_that_do_not() {
    let store = open(1);
    let writer = store.begin(hinted("forgotten")).expect("begins");
    let reader = store.begin(TransactionKind::ReadOnly).expect("begins");
    let waiting = begin_later(&store, TransactionKind::ReadWrite);
    writer.execute(INSERT, &object(r#"{"d": {"_id": 1}}"#)).expect("inserts");
    // From inside it does not wait for itself.
    writer.inside(|| store.end_transactions(PATIENCE));
    for transaction in [&writer, &reader] {
        let error = transaction.execute("SELECT * FROM c", &Object::new()).expect_err("has ended");
        assert!(matches!(error, StoreError::Closed), "{error}");
        assert!(matches!(transaction.commit(), Err(StoreError::Closed)));
        transaction.rollback();
    }
    assert!(matches!(next(&waiting), Err(StoreError::Closed)));
    assert!(matches!(store.begin(TransactionKind::ReadOnly), Err(StoreError::Closed)));
    assert!(matches!(failure(&store, INSERT, r#"{"d": {"_id": 1}}"#), StoreError::Closed));
    assert_eq!(store.last_sequence().0, 0);
    store.close().expect("closes");
    store.close().expect("again");
}

#[test]
fn thousands_of_small_transactions_from_everywhere_lose_nothing() {
    const THREADS: u32 = 4;
    const EACH: u32 = 500;
    let store = open(1);
    run_with(&store, INSERT, r#"{"d": {"_id": "sum", "n": 0}}"#);
    let seen = Arc::new(AtomicUsize::new(0));
    let torn = Arc::new(AtomicBool::new(false));
    let _commits = store.subscribe_commits({
        let (seen, torn) = (Arc::clone(&seen), Arc::clone(&torn));
        move |commit| {
            seen.fetch_add(1, Ordering::Relaxed);
            torn.fetch_or(commit.changed.len() != 2, Ordering::Relaxed);
        }
    });
    let step = |transaction: &Transaction, id: u32| {
        let insert = format!("INSERT INTO c DOCUMENTS ({{'_id': {id}}})");
        transaction.execute(&insert, &Object::new()).expect("inserts");
        transaction.execute("UPDATE c SET n = n + 1 WHERE _id = 'sum'", &Object::new()).expect("adds");
        transaction.commit().expect("commits").expect("has an id")
    };
    let ids: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    let ids = (0..EACH).map(|number| {
                        let transaction = if number % 2 == 0 {
                            store.begin(TransactionKind::ReadWrite)
                        } else {
                            next(&begin_later(store, TransactionKind::ReadWrite))
                        };
                        step(&transaction.expect("begins"), thread * EACH + number)
                    });
                    let ids: Vec<u64> = ids.collect();
                    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
                    ids
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let distinct: std::collections::BTreeSet<u64> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), (THREADS * EACH) as usize, "a commit id for each");
    let expected = format!(r#"{{"n":{}}}"#, THREADS * EACH);
    assert_eq!(query(&store, "SELECT n FROM c WHERE _id = 'sum'"), [expected]);
    assert_eq!(seen.load(Ordering::Relaxed), (THREADS * EACH) as usize);
    assert!(!torn.load(Ordering::Relaxed), "somebody saw half of a transaction");
    assert_consistent(&store);
}

#[test]
fn a_transaction_knows_its_name() {
    let store = open(1);
    let named = store.begin(hinted("my hint")).expect("begins");
    let reader = store.begin(TransactionKind::ReadOnly).expect("begins");
    assert_eq!(named.info().hint.as_deref(), Some("my hint"));
    assert_eq!(
        (named.info().kind, reader.info().kind),
        (TransactionKind::ReadWrite, TransactionKind::ReadOnly)
    );
    assert_ne!(named.info().id, reader.info().id);
    let info = named.info();
    named.commit().expect("commits");
    assert_eq!(named.info(), info);
    let long = store.begin(hinted(&"é".repeat(1_000))).expect("begins");
    assert_eq!(long.info().hint.map(|hint| hint.len()), Some(ditto_store::MAX_HINT_BYTES));
}
