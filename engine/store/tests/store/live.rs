//! Live queries by the hundred: who is woken, and that what they are told is what the query gives.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use ditto_storage::MemoryStorage;
use ditto_store::{Environment, Observer, QueryResult, SignalNext, Store, StoreOptions};
use ditto_value::Object;
use proptest::prelude::*;

use crate::model::{Condition, Step, simple_step, text};
use crate::support::{
    DATABASE, Interrupted, Later, Moment, TestEnvironment, object, open, query, rows, run, run_with,
};

/// How long an event may take before the test says that it never came.
const PATIENCE: Duration = Duration::from_secs(60);

fn open_later() -> (Store, Arc<Later>) {
    let later = Arc::new(Later::default());
    let options = StoreOptions::new(DATABASE, later.clone());
    let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
    (store, later)
}

/// An observer, what it was told last, and how often.
struct Watched {
    text: String,
    latest: Arc<Mutex<(usize, Vec<String>)>>,
    _observer: Observer,
}

impl Watched {
    fn new(store: &Store, text: &str) -> Self {
        Self::with(store, text, "{}")
    }

    fn with(store: &Store, text: &str, arguments: &str) -> Self {
        let latest = Arc::new(Mutex::new((0, Vec::new())));
        let inside = Arc::clone(&latest);
        let on_change = move |result: QueryResult, signal: SignalNext| {
            let rows = rows(&result);
            let mut latest = inside.lock().expect("not poisoned");
            assert!(latest.0 == 0 || latest.1 != rows, "nothing is delivered twice");
            *latest = (latest.0 + 1, rows);
            signal.signal();
        };
        let observer = store.observe(text, object(arguments), Box::new(on_change)).expect("registers");
        Self { text: text.to_owned(), latest, _observer: observer }
    }

    fn calls(&self) -> usize {
        self.latest.lock().expect("not poisoned").0
    }

    fn rows(&self) -> Vec<String> {
        self.latest.lock().expect("not poisoned").1.clone()
    }
}

fn fill(store: &Store, count: i64) {
    let documents = (0..count).map(|id| {
        format!(r#"{{"_id": {id}, "owner": "o{}", "n": {id}, "m": {{"k": {}}}}}"#, id % 10, id % 3)
    });
    let documents = documents.collect::<Vec<_>>().join(",");
    run_with(store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": [{documents}]}}"#));
}

#[test]
fn only_those_are_woken_whose_result_can_change() {
    let (store, later) = open_later();
    fill(&store, 20);
    let concerned = [
        Watched::with(&store, "SELECT * FROM c WHERE _id = :id", r#"{"id": 3}"#),
        Watched::with(&store, "SELECT * FROM c WHERE owner = :o AND n > 0", r#"{"o": "o3"}"#),
        Watched::with(&store, "SELECT n FROM c WHERE m.k IN :k", r#"{"k": [7, 0, null, 0.0]}"#),
        Watched::new(&store, "SELECT COUNT(*) AS c FROM c WHERE n = 3"),
        Watched::new(&store, "SELECT n FROM c USE IDS 3, 4"),
        Watched::new(&store, "SELECT * FROM c WHERE n >= 3 ORDER BY n LIMIT 1"),
    ];
    let others = [
        Watched::with(&store, "SELECT * FROM c WHERE _id = :id", r#"{"id": 4}"#),
        Watched::with(&store, "SELECT * FROM c WHERE owner = :o AND n > 3", r#"{"o": "o3"}"#),
        Watched::new(&store, "SELECT * FROM c WHERE _id = 3 AND owner = 'somebody'"),
        Watched::new(&store, "SELECT * FROM c WHERE owner = null OR owner = 7"),
        Watched::new(&store, "SELECT * FROM c WHERE owner IN 'o3'"),
        Watched::new(&store, "SELECT owner, COUNT(*) AS c FROM c WHERE n < 10 GROUP BY owner ORDER BY owner"),
        Watched::new(&store, "SELECT owner, m.i AS i FROM c"),
        Watched::new(&store, "SELECT n FROM c USE IDS 5"),
        Watched::new(&store, "SELECT * FROM d"),
    ];
    assert!(later.run() > 0);
    let told = |watched: &[Watched]| watched.iter().map(Watched::calls).collect::<Vec<_>>();
    assert_eq!((told(&concerned), told(&others)), (vec![1; 6], vec![1; 9]), "the first result always comes");

    run(&store, "UPDATE c SET note = 'x' WHERE _id = 6");
    run(&store, "UPDATE c SET m.i = 1 WHERE _id = 30");
    run(&store, "INSERT INTO e DOCUMENTS ({'_id': 3, 'owner': 'o3', 'n': 3})");
    later.run();
    assert_eq!((told(&concerned), told(&others)), (vec![1; 6], vec![1; 9]));

    run(&store, "UPDATE c SET n = 4 WHERE _id = 3");
    later.run();
    assert_eq!(told(&concerned), vec![2; 6]);
    assert_eq!(told(&others), [1, 2, 1, 1, 1, 1, 1, 1, 1], "the second one's range now includes it");
    for watched in concerned.iter().chain(&others) {
        if !watched.text.contains(':') {
            assert_eq!(watched.rows(), query(&store, &watched.text));
        }
    }
}

#[test]
fn a_commit_that_concerns_nobody_starts_nothing() {
    let (store, later) = open_later();
    fill(&store, 50);
    let watched: Vec<Watched> = (0..1_000)
        .map(|id| Watched::with(&store, "SELECT * FROM c WHERE _id = :id", &format!(r#"{{"id": {id}}}"#)))
        .collect();
    let all = Watched::new(&store, "SELECT COUNT(*) AS n FROM c");
    later.run();
    run(&store, "UPDATE c SET n = -1 WHERE _id = 2");
    assert_eq!(later.run(), 1, "one of a thousand");
    assert_eq!(watched[2].calls(), 2);
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 5000})");
    assert_eq!(later.run(), 1);
    assert_eq!(all.rows(), [r#"{"n":51}"#]);
    drop(all);
    run(&store, "UPDATE c SET n = -2 WHERE _id = 5000");
    run(&store, "INSERT INTO e DOCUMENTS ({'_id': 2})");
    run(&store, "UPDATE c SET n = -1 WHERE _id = 2");
    assert_eq!(later.run(), 0, "nothing that anybody sees has changed");
    drop(watched);
    run(&store, "UPDATE c SET n = -3 WHERE _id = 2");
    assert_eq!(later.run(), 0);
}

#[test]
fn a_writer_does_not_itself_tell_many_observers_of_one_value() {
    let (store, later) = open_later();
    fill(&store, 20);
    let text = "SELECT n FROM c WHERE owner = 'o3' ORDER BY n";
    let watched: Vec<Watched> = (0..100).map(|_| Watched::new(&store, text)).collect();
    later.run();
    for (statement, told) in [
        ("UPDATE c SET n = 30 WHERE _id = 3", true),
        ("UPDATE c SET n = 40 WHERE _id = 4", false),
        ("UPDATE c SET owner = 'o4' WHERE _id = 3", true),
        ("UPDATE c SET n = 50 WHERE _id = 3", false),
        ("UPDATE c SET owner = 'o3' WHERE _id = 3", true),
    ] {
        run(&store, statement);
        assert_eq!(later.waiting(), usize::from(told), "{statement}");
        later.run();
        let expected = query(&store, text);
        assert!(watched.iter().all(|watched| watched.rows() == expected), "{statement}");
    }
}

/// A clock that fails the next who looks at it, if it was told to.
struct Stumbling {
    environment: Arc<TestEnvironment>,
    stumbles: AtomicBool,
}

impl Environment for Stumbling {
    fn now_ms(&self) -> u64 {
        assert!(!self.stumbles.swap(false, Ordering::Relaxed), "a panic while somebody is told");
        self.environment.now_ms()
    }

    fn elapsed_ms(&self) -> u64 {
        self.environment.elapsed_ms()
    }

    fn random_u64(&self) -> u64 {
        self.environment.random_u64()
    }
}

#[test]
fn a_panic_while_observers_are_told_of_a_commit_loses_it_for_nobody() {
    let later = Arc::new(Later::default());
    let clock =
        Arc::new(Stumbling { environment: TestEnvironment::new(1), stumbles: AtomicBool::new(false) });
    let options = StoreOptions::new(DATABASE, later.clone());
    let store = Store::open(Arc::new(MemoryStorage::new()), clock.clone(), options).expect("opens");
    let watched = Watched::new(&store, "SELECT * FROM c WHERE n > 0");
    later.run();
    // Is called right before the observers are told.
    let commits = store.signal_commits({
        let clock = clock.clone();
        move || clock.stumbles.store(true, Ordering::Relaxed)
    });
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'n': 1})");
    drop(commits);
    assert!(!clock.stumbles.load(Ordering::Relaxed), "somebody looked at the clock");
    later.run();
    assert_eq!(watched.rows(), [r#"{"_id":1,"n":1}"#]);
}

#[test]
fn an_observer_that_found_no_room_is_kept_up_to_date_again_when_there_is_some() {
    let later = Arc::new(Later::default());
    let storage = Interrupted::new(MemoryStorage::new());
    let options = StoreOptions::new(DATABASE, later.clone());
    let store = Store::open(storage.clone(), TestEnvironment::new(1), options).expect("opens");
    run(&store, "ALTER SYSTEM SET observer_memory_bytes = 0");
    fill(&store, 5);
    let watched = Watched::new(&store, "SELECT _id, n FROM c ORDER BY n");
    later.run();
    // Whether the observer reads from the storage to learn of a change.
    let mut numbers = 10..;
    let mut reads = || {
        let number = numbers.next().expect("there is no end");
        run(&store, &format!("UPDATE c SET n = {number} WHERE _id = 1"));
        storage.at(Moment::Snapshot, || ());
        later.run();
        let has_read = !storage.is_awaited(Moment::Snapshot);
        assert_eq!(watched.rows(), query(&store, &watched.text));
        has_read
    };
    assert!((0..100).all(|_| reads()), "there is no room");
    run(&store, "ALTER SYSTEM RESET observer_memory_bytes");
    assert!((0..100).any(|_| !reads()), "there is room");
    assert!((0..100).all(|_| !reads()));
}

/// Each in two forms: one that is found by a field, one that has to be asked.
const TWINS: [[&str; 2]; 6] = [
    ["SELECT * FROM c WHERE a = 1", "SELECT * FROM c WHERE a >= 1 AND a <= 1"],
    ["SELECT * FROM c WHERE _id = 2", "SELECT * FROM c WHERE _id >= 2 AND _id <= 2"],
    [
        "SELECT * FROM c WHERE m.k = 1 AND a > 0 ORDER BY b, _id",
        "SELECT * FROM c WHERE (m.k = 1) = true AND a > 0 ORDER BY b, _id",
    ],
    ["SELECT _id, b FROM c WHERE a IN (0, 3, null, 1)", "SELECT _id, b FROM c WHERE a = 0 OR a = 3 OR a = 1"],
    [
        "SELECT COUNT(*) AS n, SUM(b) AS s FROM c WHERE a = 2",
        "SELECT COUNT(*) AS n, SUM(b) AS s FROM c WHERE a BETWEEN 2 AND 2",
    ],
    [
        "SELECT DISTINCT b FROM c WHERE a = 0 ORDER BY b LIMIT 2",
        "SELECT DISTINCT b FROM c WHERE NOT (a > 0) ORDER BY b LIMIT 2",
    ],
];

/// More than a writer asks itself: they are told by a job.
const CROWD: usize = 70;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// `true` beside a step: the observers get to run after it.
    #[test]
    fn observers_found_by_a_field_are_told_what_the_others_are(
        mut steps in prop::collection::vec((simple_step(), any::<bool>()), 0..30),
        crowded in any::<bool>(),
    ) {
        let (store, later) = open_later();
        let pairs: Vec<_> = TWINS.iter().map(|pair| pair.map(|text| Watched::new(&store, text))).collect();
        let crowd = if crowded { CROWD } else { 0 };
        let crowd: Vec<_> = (0..crowd).map(|_| Watched::new(&store, "SELECT * FROM c WHERE b > 1 ORDER BY b, _id")).collect();
        let all = || pairs.iter().flatten().chain(&crowd);
        steps.push((Step::Aggregate(Condition::All), true));
        for (step, look) in steps {
            // What the statement answers is the business of another test.
            let _ = store.execute(&text(&step), &Object::new());
            if look {
                later.run();
                for watched in all() {
                    prop_assert_eq!(watched.rows(), query(&store, &watched.text), "{}", &watched.text);
                }
            }
        }
        for [found, asked] in &pairs {
            prop_assert_eq!(found.calls(), asked.calls(), "{}", &found.text);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Windows over many more rows than are kept for them.
    #[test]
    fn a_window_over_many_rows_is_what_the_query_gives(
        seed in any::<u64>(),
        steps in prop::collection::vec((0..7u8, 0..600i64, 0..600i64), 1..40),
    ) {
        let (store, later) = open_later();
        let windows = [
            "SELECT _id, a FROM c ORDER BY a, _id LIMIT 3",
            "SELECT * FROM c ORDER BY a DESC, _id LIMIT 5 OFFSET 4",
            "SELECT _id FROM c WHERE a > 100 ORDER BY b, _id LIMIT 80 OFFSET 30",
            "SELECT _id FROM c LIMIT 2",
            "SELECT _id FROM c ORDER BY a, _id LIMIT 0",
            "SELECT _id FROM c ORDER BY a, _id OFFSET 390",
        ];
        let value = |id: i64| (id.wrapping_mul(7_919).wrapping_add((seed >> 40) as i64)).rem_euclid(600);
        let documents: Vec<_> = (0..400).map(|id| format!(r#"{{"_id": {id}, "a": {}, "b": {}}}"#, value(id), value(id + 7) % 5)).collect();
        run_with(&store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": [{}]}}"#, documents.join(",")));
        let watched: Vec<_> = windows.iter().map(|text| Watched::new(&store, text)).collect();
        later.run();
        for (kind, id, other) in steps {
            let statement = match kind {
                0 => format!("INSERT INTO c DOCUMENTS ({{'_id': {id}, 'a': {other}, 'b': 1}}) ON ID CONFLICT DO UPDATE"),
                1 => format!("DELETE FROM c WHERE _id = {id}"),
                // Of the first or last ones, so that reserves are used up.
                2 => format!("DELETE FROM c ORDER BY a, _id LIMIT {}", id % 90),
                3 => format!("DELETE FROM c ORDER BY a DESC, _id LIMIT {}", id % 90),
                4 => format!("UPDATE c SET a = {other} WHERE a < {}", id % 50),
                5 => format!("UPDATE c SET b = {}, a = {other} WHERE _id = {id}", other % 7),
                _ => format!("EVICT FROM c WHERE _id = {id}"),
            };
            run(&store, &statement);
            if other % 3 != 0 {
                later.run();
                for watched in &watched {
                    prop_assert_eq!(watched.rows(), query(&store, &watched.text), "{} after {}", &watched.text, statement);
                }
            }
        }
    }
}

#[test]
fn an_observer_registered_beside_commits_misses_none() {
    const WRITERS: i64 = 3;
    const DOCUMENTS: i64 = 200;
    let store = open(1);
    let start = Arc::new(Barrier::new(WRITERS as usize + 1));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, start) = (store.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                for id in (0..DOCUMENTS).map(|id| id * WRITERS + writer) {
                    run(&store, &format!("INSERT INTO c DOCUMENTS ({{'_id': {id}, 'n': 0}})"));
                    run(&store, &format!("UPDATE c SET n = 1 WHERE _id = {id}"));
                }
            })
        })
        .collect();
    start.wait();
    let (told, results) = mpsc::channel();
    let mut observers = Vec::new();
    for id in 0..DOCUMENTS * WRITERS {
        let told = told.clone();
        let on_change = move |result: QueryResult, signal: SignalNext| {
            // The test may be over.
            let _ = told.send((id, rows(&result)));
            signal.signal();
        };
        let statement = format!("SELECT n FROM c WHERE _id = {id}");
        observers.push(store.observe(&statement, Object::new(), Box::new(on_change)).expect("registers"));
    }
    writers.into_iter().for_each(|writer| writer.join().expect("writes"));
    let mut latest: HashMap<i64, Vec<String>> = HashMap::new();
    while latest.len() < observers.len() || !latest.values().all(|rows| rows == &[r#"{"n":1}"#]) {
        let (id, rows) = results.recv_timeout(PATIENCE).expect("every observer hears of the last commit");
        latest.insert(id, rows);
    }
}

#[test]
fn callbacks_that_block_keep_nobody_waiting() {
    const BLOCKED: usize = 10;
    let store = open(1);
    let (entered, inside) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let left = Arc::new(Mutex::new(left));
    let blocked: Vec<_> = (0..BLOCKED)
        .map(|_| {
            let (entered, left) = (entered.clone(), Arc::clone(&left));
            let on_change = move |_: QueryResult, _: SignalNext| {
                entered.send(()).expect("somebody counts");
                // Ends when the sender is dropped.
                let _ = left.lock().map(|left| left.recv());
            };
            store.observe("SELECT * FROM c", Object::new(), Box::new(on_change)).expect("registers")
        })
        .collect();
    for _ in 0..BLOCKED {
        inside.recv_timeout(PATIENCE).expect("all of them are called");
    }
    let (told, results) = mpsc::channel();
    let on_change = move |result: QueryResult, signal: SignalNext| {
        let _ = told.send(result.rows.len());
        signal.signal();
    };
    let _observer = store.observe("SELECT * FROM c", Object::new(), Box::new(on_change)).expect("registers");
    assert_eq!(results.recv_timeout(PATIENCE), Ok(0));
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    assert_eq!(results.recv_timeout(PATIENCE), Ok(1));
    drop(leave);
    drop(blocked);
}

#[test]
fn more_than_is_kept_for_a_paused_observer_is_read_again() {
    let (store, later) = open_later();
    let latest = Arc::new(Mutex::new((0, None)));
    let inside = Arc::clone(&latest);
    let on_change = move |result: QueryResult, signal: SignalNext| {
        *inside.lock().expect("not poisoned") = (result.rows.len(), Some(signal));
    };
    let _observer = store.observe("SELECT * FROM c", Object::new(), Box::new(on_change)).expect("registers");
    later.run();
    let filler = "x".repeat(100_000);
    for id in 0..60 {
        let arguments = format!(r#"{{"d": {{"_id": {id}, "filler": "{filler}"}}}}"#);
        run_with(&store, "INSERT INTO c DOCUMENTS (:d)", &arguments);
    }
    assert_eq!(later.run(), 0, "it has not signalled");
    let signal = latest.lock().expect("not poisoned").1.take();
    signal.expect("was called").signal();
    later.run();
    assert_eq!(latest.lock().expect("not poisoned").0, 60);
}

#[test]
fn a_filter_that_looks_at_the_clock_is_asked_anew_with_every_commit() {
    let (store, later) = open_later();
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1, 't': 1000})");
    let watched = [
        Watched::new(&store, "SELECT * FROM c WHERE t < date_cast(clock('iso8601')) ORDER BY _id"),
        Watched::new(&store, "SELECT * FROM c WHERE t < date_cast(clock()) ORDER BY _id"),
    ];
    later.run();
    for watched in &watched {
        assert_eq!(watched.rows(), query(&store, &watched.text));
    }
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 2})");
    assert!(later.run() > 0);
}

#[test]
fn in_strict_mode_all_are_asked() {
    let (store, later) = open_later();
    fill(&store, 5);
    let watched = Watched::new(&store, "SELECT * FROM c WHERE n = 1");
    later.run();
    run(&store, "ALTER SYSTEM SET DQL_STRICT_MODE = true");
    run(&store, "UPDATE c SET n = 1 WHERE _id = 2");
    later.run();
    assert_eq!(watched.rows(), query(&store, &watched.text));
    run(&store, "UPDATE c SET n = 5 WHERE _id = 1");
    later.run();
    assert_eq!(watched.rows(), query(&store, &watched.text));
}
