//! Statements that take long: they are logged, and ended where that is wanted.

use std::sync::Arc;

use ditto_storage::MemoryStorage;
use ditto_store::{Store, StoreError, StoreOptions, TransactionKind};
use ditto_value::Object;

use crate::support::{
    DATABASE, TestEnvironment, Threads, assert_consistent, failure, query, run, run_with, warnings,
};

/// More documents than lie between two looks at the clock.
const MANY: usize = 1_000;

/// A store with many documents, and its clock.
fn filled() -> (Store, Arc<TestEnvironment>) {
    let clock = TestEnvironment::new(1);
    let options = StoreOptions::new(DATABASE, Arc::new(Threads));
    let store = Store::open(Arc::new(MemoryStorage::new()), clock.clone(), options).expect("opens");
    let documents: Vec<String> =
        (0..MANY).map(|id| format!(r#"{{"_id": {id}, "a": {}}}"#, id % 10)).collect();
    run_with(&store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": [{}]}}"#, documents.join(",")));
    (store, clock)
}

fn is_timeout(error: &StoreError) -> bool {
    matches!(error, StoreError::RequestTimeout { seconds: 2 })
}

#[test]
fn a_statement_that_runs_for_too_long_is_ended_and_has_done_nothing() {
    let (store, clock) = filled();
    run(&store, "CREATE INDEX by_a ON c (a)");
    run(&store, "ALTER SYSTEM SET dql_request_timeout_seconds = 2");
    clock.set_pace(500);
    for text in [
        "SELECT * FROM c",
        "SELECT SUM(a) AS s FROM c",
        "SELECT COUNT(*) AS n FROM c WHERE a < 9",
        "SELECT MAX(a) AS m FROM c WHERE b = 1",
        "SELECT a FROM c WHERE a < 9",
        "SELECT a FROM c WHERE a IN [1, 2, 3, 4, 5, 6, 7, 8] ORDER BY _id",
        "UPDATE c SET b = 1",
        "DELETE FROM c",
        "EVICT FROM c",
    ] {
        let error = failure(&store, text, "{}");
        assert!(is_timeout(&error), "{text}: {error}");
    }
    // What looks at few documents is in time.
    assert_eq!(query(&store, "SELECT a FROM c WHERE _id = 7"), [r#"{"a":7}"#]);
    assert_eq!(run(&store, "UPDATE c SET b = 1 WHERE _id = 7").mutated_ids.len(), 1);
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    transaction.execute("DELETE FROM c WHERE _id = 8", &Object::new()).expect("deletes");
    let error = transaction.execute("DELETE FROM c", &Object::new()).expect_err("takes too long");
    assert!(is_timeout(&error), "{error}");
    assert!(is_timeout(&transaction.execute("SELECT * FROM c", &Object::new()).expect_err("takes too long")));
    transaction.commit().expect("goes on");
    run(&store, "ALTER SYSTEM RESET dql_request_timeout_seconds");
    assert_eq!(query(&store, "SELECT COUNT(*) AS n FROM c"), [format!(r#"{{"n":{}}}"#, MANY - 1)]);
    assert_eq!(query(&store, "SELECT _id FROM c WHERE b = 1"), [r#"{"_id":7}"#]);
    assert_consistent(&store);
}

#[test]
fn a_slow_statement_is_logged_with_its_beginning() {
    let (store, clock) = filled();
    let long = format!("SELECT * FROM c WHERE t = '{}'", "é".repeat(1_000));
    let logged = |milliseconds: u64, text: &str| {
        clock.set_pace(milliseconds);
        warnings(|| drop(run(&store, text)))
    };
    assert_eq!(logged(59_999, "SELECT * FROM c"), [""; 0]);
    let [line] = &logged(60_000, &long)[..] else { panic!("one line") };
    assert!(line.contains("elapsed_ms=60000") && line.contains("SELECT * FROM c WHERE t = 'é"), "{line}");
    assert!(line.len() < 700, "{line}");
    run(&store, "ALTER SYSTEM SET dql_slow_request_warn_seconds = 1");
    for text in ["UPDATE c SET b = 1 WHERE _id = 1", "CREATE INDEX i ON c (a)", "SHOW ALL"] {
        let [line] = &logged(1_000, text)[..] else { panic!("one line for {text}") };
        assert!(line.contains(text), "{line}");
    }
    run(&store, "ALTER SYSTEM SET dql_slow_request_warn_seconds = 0");
    assert_eq!(logged(1_000_000, "SELECT * FROM c"), [""; 0]);
}

#[test]
fn parameters_that_are_not_followed_say_so_when_they_are_set() {
    let (store, _) = filled();
    for (name, value, default) in [
        ("dql_restrict_subscriptions", "false", "true"),
        ("mesh_chooser_max_wlan_connections", "2", "6"),
        ("transports_discovered_peers", "[{'address': 'tcp://a:1'}]", "[]"),
    ] {
        let set = |value: &str| warnings(|| drop(run(&store, &format!("ALTER SYSTEM SET {name} = {value}"))));
        let lines = set(value);
        assert!(lines.len() == 1 && lines[0].contains(name), "{name}: {lines:?}");
        assert_eq!(set(default), [""; 0], "that is what it does");
    }
    assert_eq!(warnings(|| drop(run(&store, "ALTER SYSTEM SET tombstone_ttl_hours = 3"))), [""; 0]);
}
