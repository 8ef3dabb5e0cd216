//! Live queries and the commit feed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ditto_storage::{FaultyStorage, Keyspace, MemoryStorage};
use ditto_store::{Executor, Observer, QueryResult, SignalNext, Store, StoreError, StoreOptions};
use ditto_value::Object;
use proptest::prelude::*;

use crate::model::{Condition, Step, simple_step, text};
use crate::support::{DATABASE, Later, TestEnvironment, object, open, open_in, query, rows, run, run_with};

/// How long an event may take before the test says that it never came.
const PATIENCE: Duration = Duration::from_secs(60);

type Event = (Vec<String>, SignalNext);

fn observe(store: &Store, text: &str) -> (Observer, Receiver<Event>) {
    let (events, received) = mpsc::channel();
    let on_change = move |result: QueryResult, signal: SignalNext| {
        assert_eq!(result.committed_as(), None);
        // The test may be over.
        let _ = events.send((rows(&result), signal));
    };
    let observer = store.observe(text, Object::new(), Box::new(on_change)).expect("registers");
    (observer, received)
}

fn next(events: &Receiver<Event>) -> Vec<String> {
    let (rows, signal) = events.recv_timeout(PATIENCE).expect("a result comes");
    signal.signal();
    rows
}

fn insert(store: &Store, id: i64, a: i64) {
    let arguments = format!(r#"{{"d": {{"_id": {id}, "a": {a}}}}}"#);
    run_with(store, "INSERT INTO c DOCUMENTS (:d) ON ID CONFLICT DO UPDATE", &arguments);
}

#[test]
fn the_first_result_always_comes_and_later_ones_when_they_differ() {
    let store = open(1);
    let (_observer, events) = observe(&store, "SELECT * FROM c WHERE a > 10 ORDER BY _id");
    assert_eq!(next(&events).len(), 0);
    insert(&store, 1, 5);
    insert(&store, 2, 50);
    assert_eq!(next(&events), [r#"{"_id":2,"a":50}"#], "the document that does not match woke nobody");
    insert(&store, 2, 50);
    insert(&store, 1, 11);
    assert_eq!(next(&events).len(), 2, "an equal write woke nobody");
    run(&store, "DELETE FROM c WHERE _id = 2");
    assert_eq!(next(&events), [r#"{"_id":1,"a":11}"#]);
    run(&store, "EVICT FROM c");
    assert_eq!(next(&events).len(), 0);
}

#[test]
fn arguments_that_no_result_can_be_read_with_are_refused() {
    let store = open(1);
    let observe =
        |text: &str, arguments: &str| store.observe(text, object(arguments), Box::new(|_, _| {})).map(drop);
    for (text, arguments) in [
        ("SELECT * FROM c LIMIT :n", r#"{"n": -1}"#),
        ("SELECT * FROM c LIMIT :n", r#"{"n": "1"}"#),
        ("SELECT * FROM c LIMIT 1 OFFSET :n", r#"{"n": null}"#),
        ("SELECT * FROM system:indexes LIMIT :n", r#"{"n": 0.5}"#),
        ("SELECT * FROM c USE IDS LIST :n", r#"{"n": 1}"#),
    ] {
        assert!(matches!(observe(text, arguments), Err(StoreError::Data(_))), "{text} {arguments}");
    }
    assert!(matches!(observe("SELECT * FROM c LIMIT :n", "{}"), Err(StoreError::MissingArgument { .. })));
    observe("SELECT * FROM c LIMIT :n OFFSET 0", r#"{"n": 0}"#).expect("registers");
}

#[test]
fn observers_follow_without_memory_for_their_rows() {
    let store = open(1);
    run(&store, "ALTER SYSTEM SET observer_memory_bytes = 0");
    run(&store, "ALTER SYSTEM SET statement_cache_size = 0");
    let (_observer, events) = observe(&store, "SELECT _id FROM c WHERE a > 0 ORDER BY _id LIMIT 2");
    assert_eq!(next(&events).len(), 0);
    for id in [3, 2, 1] {
        insert(&store, id, 1);
        assert_eq!(next(&events)[0], format!(r#"{{"_id":{id}}}"#));
    }
    run(&store, "ALTER SYSTEM RESET observer_memory_bytes");
    run(&store, "UPDATE c SET a = 0 WHERE _id = 1");
    assert_eq!(next(&events), [r#"{"_id":2}"#, r#"{"_id":3}"#]);
}

#[test]
fn what_happens_before_the_signal_is_one_result() {
    let store = open(1);
    let (_observer, events) = observe(&store, "SELECT * FROM c ORDER BY _id");
    let (_, signal) = events.recv_timeout(PATIENCE).expect("the first");
    for id in 1..=20 {
        insert(&store, id, 0);
    }
    assert_eq!(events.recv_timeout(Duration::ZERO).map(|_| ()), Err(RecvTimeoutError::Timeout));
    signal.signal();
    assert_eq!(next(&events).len(), 20);
    run(&store, "DELETE FROM c");
    assert_eq!(next(&events).len(), 0, "twenty changes were one result");
}

#[test]
fn an_observer_knows_of_a_write_when_it_returns_whoever_is_busy_telling_others() {
    let later = Arc::new(Later::default());
    let options = StoreOptions::new(DATABASE, Arc::clone(&later) as Arc<dyn Executor>);
    let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
    let (_observer, events) = observe(&store, "SELECT a FROM c ORDER BY a");
    later.run();
    assert_eq!(next(&events), Vec::<String>::new());
    // The first commit is still being delivered while the others are made.
    let inside = store.clone();
    let _commits = store.subscribe_commits(move |commit| {
        if commit.first.0 == 1 {
            insert(&inside, 2, 2);
            insert(&inside, 3, 3);
            later.run();
        }
    });
    insert(&store, 1, 1);
    assert_eq!(next(&events), [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
}

#[test]
fn orders_windows_projections_and_groups_follow_too() {
    let store = open(1);
    let (_top, top) = observe(&store, "SELECT _id FROM c ORDER BY a DESC LIMIT 2");
    let (_sum, sum) = observe(&store, "SELECT SUM(a) AS s, COUNT(*) AS n FROM c");
    let (_one, one) = observe(&store, "SELECT a FROM c WHERE _id = 2");
    assert_eq!((next(&top).len(), next(&sum).len(), next(&one).len()), (0, 1, 0));
    for (id, a) in [(1, 10), (2, 20)] {
        insert(&store, id, a);
        assert_eq!(next(&top)[0], format!(r#"{{"_id":{id}}}"#));
    }
    insert(&store, 3, 15);
    assert_eq!(next(&top), [r#"{"_id":2}"#, r#"{"_id":3}"#]);
    let last = std::iter::from_fn(|| Some(next(&sum))).find(|rows| rows[0].contains(r#""n":3"#));
    assert_eq!(last.expect("three"), [r#"{"n":3,"s":45}"#]);
    assert_eq!(next(&one), [r#"{"a":20}"#]);
    run(&store, "DELETE FROM c WHERE _id = 2");
    assert_eq!(next(&top), [r#"{"_id":3}"#, r#"{"_id":1}"#]);
    assert_eq!(next(&one).len(), 0);
}

#[test]
fn callbacks_may_write_and_cancel_themselves() {
    let store = open(1);
    let (done, finished) = mpsc::channel();
    let slot: Arc<Mutex<Option<Observer>>> = Arc::default();
    let (inside, own) = (store.clone(), Arc::clone(&slot));
    let on_change = move |result: QueryResult, signal: SignalNext| {
        let n = result.rows.len() as i64;
        if n < 5 {
            insert(&inside, n, 0);
            insert(&inside, n, 1);
        } else if let Some(observer) = own.lock().expect("not poisoned").take() {
            observer.cancel();
            done.send((n, observer.is_cancelled())).expect("somebody listens");
        }
        signal.signal();
    };
    let guard = slot.lock().map(|mut slot| {
        let observer =
            store.observe("SELECT * FROM c", Object::new(), Box::new(on_change)).expect("registers");
        *slot = Some(observer);
    });
    guard.expect("not poisoned");
    assert_eq!(finished.recv_timeout(PATIENCE).expect("ends"), (5, true));
    insert(&store, 99, 0);
    let gone = Err(RecvTimeoutError::Disconnected);
    assert_eq!(finished.recv_timeout(PATIENCE), gone, "the callback is dropped with what it owns");
}

#[test]
fn a_panicking_callback_is_contained() {
    let store = open(1);
    let (events, received) = mpsc::channel();
    let (panics, has_panicked) = mpsc::channel();
    let mut first = true;
    let on_change = move |result: QueryResult, signal: SignalNext| {
        if std::mem::take(&mut first) {
            panics.send(()).expect("somebody waits");
            panic!("a mistake of the application");
        }
        signal.signal();
        let _ = events.send(result.rows.len());
    };
    let _observer = store.observe("SELECT * FROM c", Object::new(), Box::new(on_change)).expect("registers");
    // What is written before the panic is in the result that it was called with.
    has_panicked.recv_timeout(PATIENCE).expect("is called");
    run_with(&store, "INSERT INTO c DOCUMENTS (:d)", r#"{"d": {}}"#);
    assert_eq!(received.recv_timeout(PATIENCE), Ok(1), "it goes on");
}

#[test]
fn dropping_every_handle_cancels() {
    let store = open(1);
    let (observer, events) = observe(&store, "SELECT * FROM c");
    next(&events);
    let second = observer.clone();
    drop(observer);
    insert(&store, 1, 1);
    assert_eq!(next(&events).len(), 1);
    drop(second);
    insert(&store, 2, 1);
    assert_eq!(events.recv_timeout(PATIENCE).map(|_| ()), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn only_select_can_be_observed() {
    let store = open(1);
    let observe = |text: &str| store.observe(text, Object::new(), Box::new(|_, _| ())).map(|_| ());
    assert!(matches!(observe("DELETE FROM c"), Err(StoreError::Context { .. })));
    assert!(matches!(observe("EXPLAIN SELECT * FROM c"), Err(StoreError::Context { .. })));
    assert!(matches!(observe(""), Err(StoreError::Compile(_))));
    assert!(matches!(observe("SELECT * FROM c WHERE a = :a"), Err(StoreError::MissingArgument { .. })));
}

#[test]
fn virtual_collections_are_observed_when_they_say_so() {
    let store = open(1);
    let count = Arc::new(Mutex::new(1));
    let shared = Arc::clone(&count);
    store.register_virtual_collection(
        "system:test",
        Arc::new(move || vec![Object::from([("n", *shared.lock().expect("not poisoned"))])]),
    );
    let (_observer, events) = observe(&store, "SELECT * FROM system:test");
    assert_eq!(next(&events), [r#"{"n":1}"#]);
    store.virtual_collection_changed("system:test");
    *count.lock().expect("not poisoned") = 2;
    store.virtual_collection_changed("system:test");
    assert_eq!(next(&events), [r#"{"n":2}"#]);
}

/// A store whose executor waits for the test, and a virtual collection with one row, of a number.
fn with_virtual_collection() -> (Store, Arc<Later>, Arc<AtomicI64>) {
    let later = Arc::new(Later::default());
    let options = StoreOptions::new(DATABASE, Arc::clone(&later) as Arc<dyn Executor>);
    let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
    let number = Arc::new(AtomicI64::new(1));
    let shown = Arc::clone(&number);
    let rows = move || vec![Object::from([("n", shown.load(Ordering::SeqCst))])];
    store.register_virtual_collection("system:test", Arc::new(rows));
    (store, later, number)
}

#[test]
fn virtual_collections_are_polled_while_somebody_observes_them() {
    let (store, later, number) = with_virtual_collection();
    let (sender, alarms) = mpsc::channel();
    store.on_polling(move || sender.send(()).expect("somebody listens"));
    let (_stored, _) = observe(&store, "SELECT * FROM c");
    assert!(!store.poll_observers(), "nobody needs it");
    assert!(alarms.try_recv().is_err());
    let (observer, events) = observe(&store, "SELECT n FROM system:test");
    alarms.try_recv().expect("asks to be polled");
    let mut seen = Vec::new();
    for n in [1, 1, 2, 2, 3, 3] {
        number.store(n, Ordering::SeqCst);
        assert!(store.poll_observers());
        later.run();
        seen.extend(events.try_iter().map(|(rows, signal)| {
            signal.signal();
            rows.concat()
        }));
    }
    assert_eq!(seen, [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#], "only what is another result");
    drop(observer);
    let (_indexes, _) = observe(&store, "SELECT * FROM system:indexes");
    assert!(!store.poll_observers(), "they hear of every change");
    let (_again, _) = observe(&store, "SELECT n FROM system:test");
    alarms.try_recv().expect("asks again");
    run(&store, "ALTER SYSTEM SET live_query_system_collection_refresh_interval = 20");
    alarms.try_recv().expect("tells of another interval");
    assert_eq!(store.polling_interval(), Duration::from_millis(20));
}

#[test]
fn an_observer_that_could_not_read_is_polled_until_it_can() {
    let storage = FaultyStorage::new(1);
    let store = open_in(Arc::new(storage.clone()), 1);
    insert(&store, 1, 1);
    let (sender, alarms) = mpsc::channel();
    store.on_polling(move || sender.send(()).expect("somebody listens"));
    storage.set_damaged(Keyspace::Documents, true);
    let (_observer, events) = observe(&store, "SELECT * FROM c");
    alarms.recv_timeout(PATIENCE).expect("asks to be polled");
    storage.set_damaged(Keyspace::Documents, false);
    assert!(store.poll_observers());
    assert_eq!(next(&events).len(), 1);
    while store.poll_observers() {
        std::thread::yield_now();
    }
}

#[test]
fn the_feed_tells_of_every_commit_in_order_with_both_images() {
    let store = open(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (inside, nested) = (Arc::clone(&seen), store.clone());
    let subscription = store.subscribe_commits(move |commit| {
        let images = commit.changed.iter().map(|document| {
            let json = |value: Option<ditto_value::ValueRef<'_>>| value.map(|value| value.to_json());
            (document.sequence.map(|s| s.0), json(document.before_value()), json(document.after_value()))
        });
        inside.lock().expect("not poisoned").push((
            commit.first.0,
            commit.last.0,
            images.collect::<Vec<_>>(),
        ));
        if commit.last.0 == 2 {
            run(&nested, "UPDATE c SET nested = true WHERE _id = 1");
        }
    });
    run_with(&store, "INSERT INTO c DOCUMENTS (:d)", r#"{"d": [{"_id": 1}, {"_id": 2}]}"#);
    run(&store, "DELETE FROM c WHERE _id = 2");
    run(&store, "EVICT FROM c WHERE _id = 1");
    drop(subscription);
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 3})");
    let one = Some(r#"{"_id":1}"#.to_string());
    let two = Some(r#"{"_id":2}"#.to_string());
    let nested = Some(r#"{"_id":1,"nested":true}"#.to_string());
    let expected = [
        (1, 2, vec![(Some(1), None, one.clone()), (Some(2), None, two.clone())]),
        (3, 3, vec![(Some(3), one, nested.clone())]),
        (4, 4, vec![(Some(4), two, None)]),
        (5, 5, vec![(None, nested, None)]),
    ];
    assert_eq!(*seen.lock().expect("not poisoned"), expected);
}

const OBSERVED: [&str; 7] = [
    "SELECT * FROM c",
    "SELECT _id, a FROM c WHERE a > 1",
    "SELECT * FROM c ORDER BY a DESC, b",
    "SELECT * FROM c WHERE m.k = 1 ORDER BY b LIMIT 2 OFFSET 1",
    "SELECT * FROM c WHERE _id IN (1, 2)",
    "SELECT a, COUNT(*) AS n FROM c GROUP BY a ORDER BY a",
    "SELECT DISTINCT a FROM c ORDER BY a",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// `true` beside a step: the observers get to run after it.
    #[test]
    fn what_is_delivered_is_what_the_query_gives(
        mut steps in prop::collection::vec((simple_step(), any::<bool>()), 0..30),
    ) {
        let later = Arc::new(Later::default());
        let options = StoreOptions::new(DATABASE, later.clone());
        let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
        let mut observers = Vec::new();
        for text in OBSERVED {
            let latest = Arc::new(Mutex::new(None));
            let inside = Arc::clone(&latest);
            let on_change = move |result: QueryResult, signal: SignalNext| {
                let rows = Some(rows(&result));
                let mut latest = inside.lock().expect("not poisoned");
                assert_ne!(*latest, rows, "nothing is delivered twice");
                *latest = rows;
                signal.signal();
            };
            let observer = store.observe(text, Object::new(), Box::new(on_change)).expect("registers");
            observers.push((text, latest, observer));
        }
        steps.push((Step::Aggregate(Condition::All), true));
        for (step, look) in steps {
            // What the statement answers is the business of another test.
            let _ = store.execute(&text(&step), &Object::new());
            if look {
                later.run();
                for (text, latest, _) in &observers {
                    let latest = latest.lock().expect("not poisoned").clone();
                    prop_assert_eq!(latest, Some(query(&store, text)), "{}", text);
                }
            }
        }
    }
}
