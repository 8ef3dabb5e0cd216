//! Statements and their results.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod support;

use std::collections::BTreeMap;

use dittolive_ditto::{
    dql::{Query, QueryArguments, QueryResultItem},
    error::{CoreApiErrorKind, ErrorKind},
    prelude::*,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::support::{Peer, rows};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    #[serde(rename = "_id")]
    id: String,
    people: u64,
    height: f64,
    tags: Vec<String>,
    mayor: Option<String>,
    area: BTreeMap<String, i32>,
}

fn place() -> Place {
    Place {
        id: "vila".into(),
        people: u64::MAX,
        height: 1250.0,
        tags: vec!["old".into(), "süß".into()],
        mayor: None,
        area: BTreeMap::from([("land".into(), -1), ("water".into(), i32::MIN)]),
    }
}

#[test]
fn values_survive_the_way_in_and_out() {
    let peer = Peer::new();
    peer.execute(("INSERT INTO places DOCUMENTS (:place)", json!({"place": place()})));
    let result = peer.execute("SELECT * FROM places");
    let item = result.get_item(0).unwrap();
    assert_eq!(item.deserialize_value::<Place>().unwrap(), place());
    assert_eq!(serde_json::from_str::<Place>(&item.json_string()).unwrap(), place());
    assert_eq!(dittolive_ditto::cbor::from_slice::<Place>(&item.cbor_data()).unwrap(), place());

    let value = item.value();
    assert_eq!(value["people"].as_u64(), Some(u64::MAX));
    assert_eq!(value["height"].as_f64(), Some(1250.0));
    assert_eq!(value["mayor"].as_null(), Some(()));
    assert_eq!(value["area"].get("water").and_then(CborValueGetters::as_i64), Some(i32::MIN.into()));
}

#[test]
fn bytes_stay_bytes() {
    let peer = Peer::new();
    let bytes = CborValue::Bytes(vec![0, 1, 254, 255]);
    peer.execute(("INSERT INTO c DOCUMENTS ({'_id': 1, 'b': :b})", BTreeMap::from([("b", &bytes)])));
    let item = peer.execute("SELECT b FROM c").get_item(0).unwrap();
    assert_eq!(item.value()["b"], bytes);
    assert_eq!(item.json_string(), r#"{"b":"AAH+/w=="}"#);
}

#[test]
fn every_form_of_a_query_runs() {
    let peer = Peer::new();
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    let text = String::from("SELECT * FROM c WHERE _id = :id");
    let expected = [r#"{"_id":2}"#];
    assert_eq!(rows(&peer.execute((&text, json!({"id": 2})))), expected);
    assert_eq!(rows(&peer.execute((text.clone(), Some(json!({"id": 2}))))), expected);
    assert_eq!(rows(&peer.execute((text.as_str(), QueryArguments::from(json!({"id": 2}))))), expected);
    assert_eq!(rows(&peer.execute(&(text.as_str(), json!({"id": 2, "ignored": 1})))), expected);
    let prepared = Query::try_from("SELECT * FROM c WHERE _id = 2").unwrap();
    assert_eq!(rows(&peer.execute(&prepared)), expected);
    assert_eq!(rows(&peer.execute(("SELECT * FROM c WHERE _id = 2", None::<u8>))), expected);
    let with_args = peer.ditto.store().execute_with_args("SELECT * FROM c WHERE _id = 2", None);
    assert_eq!(rows(&futures::executor::block_on(with_args).unwrap()), expected);
}

#[test]
fn a_result_is_walked_by_reference_and_its_rows_outlive_it() {
    let peer = Peer::new();
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2}), ({'_id': 3})");
    let result = peer.execute("SELECT * FROM c ORDER BY _id");
    assert_eq!(result.item_count(), 3);
    assert_eq!((&result).into_iter().len(), 3);
    assert!(result.get_item(3).is_none());
    let last: QueryResultItem = result.iter().last().unwrap();
    drop(result);
    drop(peer);
    assert_eq!(last.json_string(), r#"{"_id":3}"#);
}

#[test]
fn writes_tell_ids_and_commit_and_reads_do_not() {
    let peer = Peer::new();
    let inserted = peer.execute("INSERT INTO c DOCUMENTS ({'_id': 'a'}), ({'x': 1})");
    let ids = inserted.mutated_document_ids();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&DocumentId::new(&"a").unwrap()));
    let first = inserted.commit_id().unwrap();
    let deleted = peer.execute("DELETE FROM c WHERE x = 1");
    assert_eq!(
        deleted.mutated_document_ids(),
        ids.iter().filter(|id| id.to_string() != "a").cloned().collect::<Vec<_>>()
    );
    assert!(deleted.commit_id().unwrap() > first);
    let composite = peer.execute("INSERT INTO c DOCUMENTS ({'_id': [1, null]})");
    assert_eq!(composite.mutated_document_ids(), [DocumentId::new(&(1, ())).unwrap()]);

    let read = peer.execute("SELECT * FROM c");
    assert!(read.mutated_document_ids().is_empty() && read.commit_id().is_none());
    let nothing = peer.execute("DELETE FROM c WHERE x = 1");
    assert!(nothing.mutated_document_ids().is_empty() && nothing.commit_id() >= deleted.commit_id());
}

#[test]
fn what_does_not_compile_says_where() {
    let peer = Peer::new();
    for (wrong, expected) in [
        ("", ""),
        ("SELEC * FROM c", "SELEC"),
        ("SELECT * FROM c WHERE", ""),
        ("SELECT * FROM c WHERE x = :missing", "missing"),
        ("SELECT * FROM c\0", ""),
    ] {
        let error = peer.try_execute(wrong).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::CoreApi(CoreApiErrorKind::DqlQueryCompilation),
            "{wrong}: {error}"
        );
        assert!(error.to_string().starts_with("DqlQueryCompilation: "), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = peer.try_execute("ALTER SYSTEM SET NO_SUCH = 1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::ParameterQuery));
    assert!(error.to_string().to_uppercase().contains("NO_SUCH"), "{error}");
    let error = peer.try_execute(("SELECT * FROM c", json!([1]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::DqlInvalidQueryArgs));
}

#[test]
fn a_failed_statement_leaves_nothing() {
    let peer = Peer::new();
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 1})");
    peer.try_execute("INSERT INTO c DOCUMENTS ({'_id': 2}), ({'_id': 1})").unwrap_err();
    assert_eq!(peer.rows("SELECT * FROM c"), [r#"{"_id":1}"#]);
    assert!(peer.rows("SELECT * FROM unknown").is_empty());
}

#[test]
fn the_future_may_move_between_threads() {
    fn moves<T: Send>(future: T) -> T {
        future
    }
    let peer = Peer::new();
    let future = moves(peer.ditto.store().execute(("SELECT * FROM c", json!({"a": 1}))));
    assert_eq!(futures::executor::block_on(future).unwrap().item_count(), 0);
}

#[test]
fn fields_are_as_they_were_stored() {
    let peer = Peer::new();
    peer.execute(
        "INSERT INTO c DOCUMENTS ({'_id': 1, 'null': NULL, 'whole': 2.0, 'int': 2, 'deep': {'a': [{}]}})",
    );
    let item = peer.execute("SELECT * FROM c").get_item(0).unwrap();
    let value = item.value();
    assert_eq!(value.get("null"), Some(&CborValue::Null));
    assert_eq!(value.get("absent"), None);
    assert_eq!((&value["whole"], &value["int"]), (&CborValue::Float(2.0), &CborValue::Integer(2)));
    assert_eq!(value["deep"], CborValue::from(json!({"a": [{}]})));
    assert_eq!(value.len(), 5);
}

#[test]
fn bad_arguments_and_ids_are_errors_of_their_kind() {
    let peer = Peer::new();
    let insert = "INSERT INTO c DOCUMENTS (:d)";
    let kind = |error: DittoError| error.kind();
    let core = ErrorKind::CoreApi;
    let numbered = peer.try_execute(("SELECT * FROM c", BTreeMap::from([(1, 1)]))).unwrap_err();
    assert_eq!(kind(numbered), core(CoreApiErrorKind::DqlInvalidQueryArgs));
    let infinite = peer.try_execute((insert, BTreeMap::from([("d", f64::INFINITY)]))).unwrap_err();
    assert_eq!(kind(infinite), core(CoreApiErrorKind::DqlInvalidQueryArgs));
    let no_map = peer.try_execute((insert, json!({"d": [1]}))).unwrap_err();
    assert_eq!(kind(no_map), core(CoreApiErrorKind::ValidationNotAMap));
    for id in [json!(null), json!(1.5)] {
        let error = peer.try_execute((insert, json!({"d": {"_id": id}}))).unwrap_err();
        assert_eq!(kind(error), core(CoreApiErrorKind::StoreDocumentId), "{id}");
    }
    for wrong in ["SELEC", "", "SELECT * FROM c WHERE x = :x"] {
        let error = peer.ditto.sync().register_subscription(wrong).unwrap_err();
        assert_eq!(kind(error), core(CoreApiErrorKind::DqlQueryCompilation), "{wrong}");
    }
}

#[test]
fn system_parameters_belong_to_one_instance_and_are_named_as_written() {
    let (a, b) = (Peer::new(), Peer::new());
    a.execute("ALTER SYSTEM SET DQL_STRICT_MODE = true");
    assert_eq!(a.rows("SHOW dql_strict_mode"), [r#"{"dql_strict_mode":true}"#]);
    assert_eq!(b.rows("SHOW dql_strict_mode"), [r#"{"dql_strict_mode":false}"#]);
    for wrong in ["SHOW No_Such", "ALTER SYSTEM SET No_Such = 1", "ALTER SYSTEM RESET No_Such"] {
        let error = a.try_execute(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::ParameterQuery));
        assert!(error.to_string().contains("No_Such"), "{error}");
    }
    let error = a.try_execute("ALTER SYSTEM SET Dql_Strict_Mode = 7").unwrap_err();
    assert!(error.to_string().contains("Dql_Strict_Mode"), "{error}");
}
