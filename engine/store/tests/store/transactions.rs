//! Transactions of several statements.

use std::sync::mpsc;
use std::time::Duration;

use ditto_store::{DataError, StoreError, TransactionKind};
use ditto_value::{Object, Value};

use crate::support::{assert_consistent, object, open, query, rows, run_with};

const ONE: &str = r#"{"d": {"_id": 1, "a": {"b": 1}}}"#;

#[test]
fn a_transaction_sees_its_own_writes_and_nobody_else_does() {
    let store = open(1);
    let none = Object::new();
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    let inserted = transaction.execute("INSERT INTO c DOCUMENTS (:d)", &object(ONE)).expect("inserts");
    let read = transaction.execute("SELECT * FROM c", &none).expect("reads");
    assert_eq!(rows(&read), [r#"{"_id":1,"a":{"b":1}}"#]);
    assert_eq!(
        rows(&transaction.execute("SELECT COUNT(*) AS n FROM c", &none).expect("counts")),
        [r#"{"n":1}"#]
    );
    assert_eq!(query(&store, "SELECT * FROM c").len(), 0);
    assert_eq!((inserted.committed_as(), read.committed_as()), (None, None));
    transaction.execute("UPDATE c UNSET a", &none).expect("unsets");
    transaction.execute("UPDATE c SET a = {'c': 2}", &none).expect("sets");
    let id = transaction.commit().expect("commits");
    assert_eq!(id, Some(1), "one document changed, however often");
    assert_eq!((inserted.committed_as(), read.committed_as()), (id, id));
    assert_eq!(query(&store, "SELECT * FROM c"), [r#"{"_id":1,"a":{"c":2}}"#]);
    assert!(matches!(transaction.execute("SELECT * FROM c", &none), Err(StoreError::TransactionEnded)));
    assert!(matches!(transaction.commit(), Err(StoreError::TransactionEnded)));
    assert_consistent(&store);
}

#[test]
fn a_rolled_back_transaction_never_was() {
    let store = open(1);
    for end in [0, 1] {
        let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
        let result = transaction.execute("INSERT INTO c DOCUMENTS (:d)", &object(ONE)).expect("inserts");
        if end == 0 {
            transaction.rollback();
        }
        drop(transaction);
        assert_eq!(result.committed_as(), None);
    }
    assert!(store.collections().is_empty());
    assert_eq!(store.last_sequence().0, 0);
    run_with(&store, "INSERT INTO c DOCUMENTS (:d)", ONE);
    assert_consistent(&store);
}

#[test]
fn a_failed_statement_has_no_effect_and_does_not_end_the_transaction() {
    let store = open(1);
    let insert = "INSERT INTO c DOCUMENTS (:d)";
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    transaction.execute(insert, &object(ONE)).expect("inserts");
    let several = "INSERT INTO c DOCUMENTS (:new), (:d)";
    let error =
        transaction.execute(several, &object(r#"{"new": {"_id": 2}, "d": {"_id": 1}}"#)).expect_err("exists");
    assert!(matches!(error, StoreError::Data(DataError::IdExists { .. })), "{error}");
    let error =
        transaction.execute("INSERT INTO fresh DOCUMENTS ({'_id': 1}), ({'_id': null})", &Object::new());
    assert!(error.is_err());
    transaction.execute(insert, &object(r#"{"d": {"_id": 3}}"#)).expect("inserts");
    assert_eq!(transaction.commit().expect("commits"), Some(2));
    assert_eq!(query(&store, "SELECT _id FROM c"), [r#"{"_id":1}"#, r#"{"_id":3}"#]);
    assert_eq!(store.collections().len(), 1);
    assert_consistent(&store);
}

#[test]
fn reads_merge_the_storage_with_the_changes_of_the_transaction() {
    let store = open(1);
    let insert = "INSERT INTO c DOCUMENTS (:d)";
    run_with(&store, insert, r#"{"d": [{"_id": 2}, {"_id": 4}, {"_id": 6}, {"_id": 8}]}"#);
    let none = Object::new();
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    transaction.execute(insert, &object(r#"{"d": [{"_id": 1}, {"_id": 5}, {"_id": 9}]}"#)).expect("inserts");
    transaction.execute("DELETE FROM c WHERE _id = 4", &none).expect("deletes");
    transaction.execute("EVICT FROM c WHERE _id = 6", &none).expect("evicts");
    transaction.execute("UPDATE c SET x = 1 WHERE _id = 8", &none).expect("updates");
    let read = transaction.execute("SELECT * FROM c", &none).expect("reads");
    let expected = [r#"{"_id":1}"#, r#"{"_id":2}"#, r#"{"_id":5}"#, r#"{"_id":8,"x":1}"#, r#"{"_id":9}"#];
    assert_eq!(rows(&read), expected);
    transaction.commit().expect("commits");
    assert_eq!(query(&store, "SELECT * FROM c"), expected);
    assert_consistent(&store);
}

#[test]
fn a_read_only_transaction_stays_at_its_moment_and_changes_nothing() {
    let store = open(1);
    run_with(&store, "INSERT INTO c DOCUMENTS (:d)", ONE);
    let none = Object::new();
    let reader = store.begin(TransactionKind::ReadOnly).expect("begins");
    let writer = store.begin(TransactionKind::ReadWrite).expect("beside it");
    writer.execute("DELETE FROM c", &none).expect("deletes");
    writer.commit().expect("commits");
    assert_eq!(rows(&reader.execute("SELECT COUNT(*) AS n FROM c", &none).expect("counts")), [r#"{"n":1}"#]);
    assert_eq!(reader.execute("SELECT * FROM c", &none).expect("reads").rows.len(), 1);
    let error = reader.execute("DELETE FROM c WHERE false", &none).expect_err("read-only");
    assert!(matches!(error, StoreError::ReadOnly { statement: "DELETE" }), "{error}");
    let error = reader.execute("SHOW ALL", &none).expect_err("not here");
    assert!(matches!(error, StoreError::Context { .. }), "{error}");
    assert_eq!(reader.commit().expect("ends"), None);
}

#[test]
fn writers_wait_for_each_other_in_order() {
    let store = open(1);
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    let (done, finished) = mpsc::channel();
    let other = store.clone();
    let thread = std::thread::spawn(move || {
        run_with(&other, "INSERT INTO c DOCUMENTS (:d)", ONE);
        done.send(()).expect("somebody listens");
    });
    assert!(finished.try_recv().is_err());
    drop(transaction);
    finished.recv_timeout(Duration::from_secs(60)).expect("the other writer goes on");
    thread.join().expect("no panic");
    assert_eq!(query(&store, "SELECT * FROM c").len(), 1);
}

#[test]
fn an_id_lives_dies_and_lives_again_in_one_transaction() {
    let store = open(1);
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    for round in 0..3 {
        let insert = format!("INSERT INTO c DOCUMENTS ({{'_id': 1, 'round': {round}}})");
        transaction.execute(&insert, &Object::new()).expect("inserts");
        if round < 2 {
            transaction.execute("DELETE FROM c", &Object::new()).expect("deletes");
        }
    }
    transaction.commit().expect("commits");
    assert_eq!(query(&store, "SELECT * FROM c"), [r#"{"_id":1,"round":2}"#]);
    assert_consistent(&store);
}

#[test]
fn bytes_can_be_an_id_and_too_deep_a_value_cannot() {
    let store = open(1);
    let document = |id: Value| {
        let document = Object::from_iter([("_id".to_owned(), id)]);
        Object::from_iter([("d".to_owned(), Value::Object(document))])
    };
    let insert = "INSERT INTO c DOCUMENTS (:d)";
    store.execute(insert, &document(Value::Bytes(vec![1, 2]))).expect("inserts");
    let deep = (0..ditto_value::MAX_DEPTH).fold(Value::Int(1), |inner, _| Value::Array(vec![inner]));
    let error = store.execute(insert, &document(deep)).expect_err("is too deep");
    assert!(matches!(error, StoreError::Data(DataError::IllegalId { .. })), "{error}");
    assert_eq!(query(&store, "SELECT * FROM c").len(), 1);
}
