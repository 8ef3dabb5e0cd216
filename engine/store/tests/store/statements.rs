//! Statements by their visible outcome.

use ditto_store::{DataError, ParameterProblem, StoreError};
use ditto_value::Value;

use crate::support::{assert_consistent, failure, open, query, rows, run, run_with};

const PLANTS: &str = r#"{"docs": [
    {"_id": "p1", "name": "fern", "bed": "A", "height": 12, "tags": ["x"]},
    {"_id": "p2", "name": "moss", "bed": "A", "height": 2, "retired": null},
    {"_id": "p3", "name": "oak", "bed": "B", "height": 30.5, "retired": true},
    {"_id": "p4", "name": "ivy", "bed": "B", "height": 7, "retired": false}
]}"#;

fn plants() -> ditto_store::Store {
    let store = open(1);
    run_with(&store, "INSERT INTO plants DOCUMENTS (:docs)", PLANTS);
    store
}

#[test]
fn an_inserted_document_is_selected_with_all_its_fields() {
    let store = open(1);
    let result =
        run_with(&store, "INSERT INTO c DOCUMENTS (:d)", r#"{"d": {"_id": 7, "a": {"b": [1, 2.5, null]}}}"#);
    assert_eq!(result.mutated_ids, [Value::Int(7)]);
    assert_eq!(result.commit_id, Some(1));
    assert_eq!(query(&store, "SELECT * FROM c"), [r#"{"_id":7,"a":{"b":[1,2.5,null]}}"#]);
    let read = run(&store, "SELECT * FROM c");
    assert_eq!((read.mutated_ids.len(), read.commit_id), (0, None));
    assert_consistent(&store);
}

#[test]
fn a_collection_that_does_not_exist_is_empty() {
    let store = open(1);
    assert_eq!(query(&store, "SELECT * FROM nothing").len(), 0);
    assert_eq!(query(&store, "SELECT COUNT(*) AS n FROM nothing"), [r#"{"n":0}"#]);
    let result = run(&store, "DELETE FROM nothing");
    assert_eq!((result.mutated_ids.len(), result.commit_id), (0, Some(1)));
    assert!(store.collections().is_empty());
}

#[test]
fn documents_without_an_id_get_one() {
    let store = open(1);
    let result = run_with(&store, "INSERT INTO c DOCUMENTS (:d), (:d)", r#"{"d": {"a": 1}}"#);
    assert_eq!(result.mutated_ids.len(), 2);
    assert_ne!(result.mutated_ids[0], result.mutated_ids[1]);
    let Value::String(id) = &result.mutated_ids[0] else { panic!("text") };
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "{id}");
}

#[test]
fn ids_are_checked_and_found_by_value() {
    let store = open(1);
    for id in ["1.5", "null", "[1, 2.5]", r#"{"a": 0.5}"#] {
        let error = failure(&store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": {{"_id": {id}}}}}"#));
        assert!(matches!(error, StoreError::Data(DataError::IllegalId { .. })), "{id}: {error}");
    }
    for id in ["1", r#""a""#, "true", "[1,2]", r#"{"col":9,"row":3}"#] {
        run_with(&store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": {{"_id": {id}}}}}"#));
        let found = run_with(&store, "SELECT * FROM c WHERE _id = :id", &format!(r#"{{"id": {id}}}"#));
        assert_eq!(rows(&found), [format!(r#"{{"_id":{id}}}"#)]);
    }
    assert_eq!(query(&store, "SELECT * FROM c WHERE _id = 1.0"), [r#"{"_id":1}"#]);
    assert_eq!(query(&store, "SELECT * FROM c WHERE _id.row = 3").len(), 1);
}

#[test]
fn conflict_policies_do_what_they_say() {
    let store = plants();
    let insert = |policy: &str, document: &str| {
        let text = format!("INSERT INTO plants DOCUMENTS (:d), (:new) {policy}");
        let arguments = format!(r#"{{"d": {document}, "new": {{"_id": "n{policy}"}}}}"#);
        store.execute(&text, &crate::support::object(&arguments))
    };
    let p1 = || query(&store, "SELECT * FROM plants WHERE _id = 'p1'").remove(0);
    let original = p1();
    let error = insert("", r#"{"_id": "p1", "bed": "C"}"#).expect_err("the id exists");
    assert!(matches!(error, StoreError::Data(DataError::IdExists { .. })), "{error}");
    assert_eq!(query(&store, "SELECT * FROM plants").len(), 4, "nothing of a failed statement stays");
    let done = insert("ON ID CONFLICT DO NOTHING", r#"{"_id": "p1", "bed": "C"}"#).expect("skips");
    assert_eq!((done.mutated_ids.len(), p1()), (1, original));
    let done = insert("ON ID CONFLICT DO UPDATE", r#"{"_id": "p1", "bed": "C", "care": {"light": 6}}"#);
    assert_eq!(done.expect("updates").mutated_ids.len(), 2);
    assert_eq!(p1(), r#"{"_id":"p1","bed":"C","care":{"light":6},"height":12,"name":"fern","tags":["x"]}"#);
    let text = "INSERT INTO plants DOCUMENTS (:d) ON ID CONFLICT DO UPDATE_LOCAL_DIFF";
    let before = store.last_sequence();
    let same = run_with(&store, text, r#"{"d": {"_id": "p1", "bed": "C", "care": {"light": 6}}}"#);
    assert_eq!((same.mutated_ids.len(), store.last_sequence()), (0, before));
    assert_eq!(same.commit_id, Some(before.0));
    let other = run_with(&store, text, r#"{"d": {"_id": "p1", "care": {"light": 6, "water": 1}}}"#);
    assert_eq!(other.mutated_ids.len(), 1);
    assert!(p1().contains(r#""care":{"light":6,"water":1}"#), "{}", p1());
    assert_consistent(&store);
}

#[test]
fn one_statement_does_not_insert_an_id_twice() {
    let store = open(1);
    for policy in ["", "ON ID CONFLICT DO NOTHING", "ON ID CONFLICT DO UPDATE"] {
        let text = format!("INSERT INTO c DOCUMENTS (:d), (:d) {policy}");
        let error = failure(&store, &text, r#"{"d": {"_id": 1}}"#);
        assert!(matches!(error, StoreError::Data(DataError::DuplicateId { .. })), "{error}");
    }
    let error = failure(&store, "INSERT INTO c DOCUMENTS (:d)", r#"{"d": 5}"#);
    assert!(matches!(error, StoreError::Data(DataError::NotAnObject { .. })), "{error}");
    assert!(store.collections().is_empty());
}

#[test]
fn filters_keep_only_what_is_true() {
    let store = plants();
    let ids =
        |condition: &str| query(&store, &format!("SELECT _id FROM plants WHERE {condition} ORDER BY _id"));
    assert_eq!(ids("retired = false"), [r#"{"_id":"p4"}"#]);
    assert_eq!(ids("retired IS NULL"), [r#"{"_id":"p2"}"#]);
    assert_eq!(ids("retired IS MISSING"), [r#"{"_id":"p1"}"#]);
    assert_eq!(ids("height > 10 AND bed = 'A'"), [r#"{"_id":"p1"}"#]);
    assert_eq!(ids("_id IN ('p2', 'p3', 'p2', 'none')"), [r#"{"_id":"p2"}"#, r#"{"_id":"p3"}"#]);
    assert_eq!(ids("_id = 'p1' AND bed = 'B'").len(), 0);
    assert_eq!(ids("height > 'tall'").len(), 0);
}

#[test]
fn use_ids_reads_exactly_these() {
    let store = plants();
    assert_eq!(query(&store, "SELECT _id FROM plants USE IDS 'p1', 'p3', 'p1', 'zz'").len(), 2);
    let list = run_with(
        &store,
        "SELECT _id FROM plants USE IDS LIST :ids WHERE bed = 'B'",
        r#"{"ids": ["p1", "p3"]}"#,
    );
    assert_eq!(rows(&list), [r#"{"_id":"p3"}"#]);
    let error = failure(&store, "SELECT * FROM plants USE IDS LIST :ids", r#"{"ids": "p1"}"#);
    assert!(matches!(error, StoreError::Data(DataError::IdList { .. })), "{error}");
    assert_eq!(run(&store, "DELETE FROM plants USE IDS 'p1'").mutated_ids, [Value::from("p1")]);
    assert_eq!(query(&store, "SELECT * FROM plants").len(), 3);
}

#[test]
fn rows_come_in_the_order_asked_for() {
    let store = plants();
    let ids = |clauses: &str| -> String {
        query(&store, &format!("SELECT _id FROM plants {clauses}")).iter().map(|row| &row[9..10]).collect()
    };
    assert_eq!(ids("ORDER BY height"), "2413");
    assert_eq!(ids("ORDER BY height DESC LIMIT 2"), "31");
    assert_eq!(ids("ORDER BY height DESC LIMIT 2 OFFSET 1"), "14");
    assert_eq!(ids("ORDER BY retired"), "4321");
    assert_eq!(ids("ORDER BY retired DESC"), "1234");
    assert_eq!(ids("ORDER BY bed DESC, height"), "4321");
    assert_eq!(ids("LIMIT 0"), "");
    assert_eq!(ids("ORDER BY _id OFFSET 9"), "");
    assert_eq!(query(&store, "SELECT * FROM plants LIMIT 3").len(), 3);
    let error = failure(&store, "SELECT * FROM plants LIMIT :n", r#"{"n": -1}"#);
    assert!(matches!(error, StoreError::Data(DataError::Count { clause: "LIMIT", .. })), "{error}");
}

#[test]
fn projections_distinct_and_groups() {
    let store = plants();
    assert_eq!(
        query(&store, "SELECT name, height * 2 AS twice, nothing FROM plants WHERE _id = 'p1'"),
        [r#"{"name":"fern","twice":24}"#]
    );
    let mut beds = query(&store, "SELECT DISTINCT bed FROM plants");
    beds.sort();
    assert_eq!(beds, [r#"{"bed":"A"}"#, r#"{"bed":"B"}"#]);
    assert_eq!(
        query(&store, "SELECT DISTINCT bed FROM plants ORDER BY bed DESC LIMIT 1"),
        [r#"{"bed":"B"}"#]
    );
    assert_eq!(
        query(&store, "SELECT COUNT(*) AS n, COUNT(retired) AS r, SUM(height) AS h FROM plants"),
        [r#"{"h":51.5,"n":4,"r":1}"#]
    );
    assert_eq!(
        query(
            &store,
            "SELECT bed, COUNT(*) AS n FROM plants GROUP BY bed HAVING COUNT(*) > 1 ORDER BY bed DESC"
        ),
        [r#"{"bed":"B","n":2}"#, r#"{"bed":"A","n":2}"#]
    );
    assert_eq!(query(&store, "SELECT COUNT(*) FROM plants"), [r#"{"($1)":4}"#]);
    assert_eq!(query(&store, "SELECT SUM(height) AS h FROM nothing"), ["{}"]);
}

#[test]
fn updates_see_the_document_as_it_was() {
    let store = plants();
    let result =
        run(&store, "UPDATE plants SET height = height + 1, was = height, care.light = 6 WHERE _id = 'p1'");
    assert_eq!((result.mutated_ids, result.commit_id), (vec![Value::from("p1")], Some(5)));
    assert_eq!(
        query(&store, "SELECT height, was, care FROM plants WHERE _id = 'p1'"),
        [r#"{"care":{"light":6},"height":13,"was":12}"#]
    );
    run(&store, "UPDATE plants SET care = {'feed': 'weekly'} WHERE _id = 'p1'");
    assert_eq!(
        query(&store, "SELECT care FROM plants WHERE _id = 'p1'"),
        [r#"{"care":{"feed":"weekly","light":6}}"#]
    );
    run(&store, "UPDATE plants UNSET care.light, was WHERE _id = 'p1'");
    assert_eq!(
        query(&store, "SELECT care, was FROM plants WHERE _id = 'p1'"),
        [r#"{"care":{"feed":"weekly"}}"#]
    );
    assert_eq!(run(&store, "UPDATE plants UNSET nothing").mutated_ids.len(), 0);
    assert_eq!(run(&store, "UPDATE plants SET bed = bed").mutated_ids.len(), 4);
    assert_eq!(
        run(&store, "UPDATE plants SET old = true ORDER BY height DESC LIMIT 1").mutated_ids,
        [Value::from("p3")]
    );
    let error = failure(&store, "UPDATE plants SET x = nothing", "{}");
    assert!(matches!(error, StoreError::Data(DataError::MissingValue { .. })), "{error}");
    assert_consistent(&store);
}

#[test]
fn counters_count() {
    let store = plants();
    run(&store, "UPDATE plants APPLY uses INCREMENT BY 2");
    run(&store, "UPDATE plants APPLY uses INCREMENT BY 3 WHERE _id = 'p1'");
    assert_eq!(query(&store, "SELECT uses FROM plants WHERE _id = 'p1'"), [r#"{"uses":5}"#]);
    run(&store, "UPDATE plants APPLY uses RESTART WITH 40 WHERE _id = 'p1'");
    run(&store, "UPDATE plants APPLY uses INCREMENT BY -1 WHERE _id = 'p1'");
    assert_eq!(query(&store, "SELECT uses FROM plants WHERE _id = 'p1'"), [r#"{"uses":39}"#]);
    let error = failure(&store, "UPDATE plants APPLY uses INCREMENT BY 0.5", "{}");
    assert!(matches!(error, StoreError::Data(DataError::Counter { .. })), "{error}");
    assert_consistent(&store);
}

#[test]
fn a_deleted_document_is_gone_and_can_come_back_without_its_past() {
    let store = plants();
    let result = run(&store, "DELETE FROM plants WHERE bed = 'A' RETURNING name");
    assert_eq!((result.mutated_ids.len(), result.rows.len()), (2, 2));
    assert_eq!(query(&store, "SELECT COUNT(*) AS n FROM plants"), [r#"{"n":2}"#]);
    assert_eq!(query(&store, "SELECT * FROM plants WHERE _id = 'p1'").len(), 0);
    run_with(&store, "INSERT INTO plants DOCUMENTS (:d)", r#"{"d": {"_id": "p1", "new": 1}}"#);
    assert_eq!(query(&store, "SELECT * FROM plants WHERE _id = 'p1'"), [r#"{"_id":"p1","new":1}"#]);
    assert_consistent(&store);
    let verified = store.verify().expect("readable");
    assert_eq!((verified.documents, verified.tombstones, verified.changes), (3, 1, 4));
}

#[test]
fn an_evicted_document_leaves_no_trace_but_the_count() {
    let store = plants();
    assert_eq!(run(&store, "EVICT FROM plants WHERE height < 10").mutated_ids.len(), 2);
    assert_eq!(query(&store, "SELECT * FROM plants").len(), 2);
    let statistics = store.collections().remove(0);
    assert_eq!((statistics.documents, statistics.evictions), (2, 2));
    let verified = store.verify().expect("readable");
    assert_eq!((verified.documents, verified.tombstones, verified.changes), (2, 0, 2));
    run_with(&store, "INSERT INTO plants DOCUMENTS (:d)", r#"{"d": {"_id": "p2"}}"#);
    assert_eq!(store.last_sequence().0, 6, "sequences are not used twice, and the eviction has one");
    assert_consistent(&store);
}

#[test]
fn initial_documents_lose_against_everything() {
    let store = open(1);
    let seed = r#"{"d": {"_id": 1, "a": 0}}"#;
    assert_eq!(run_with(&store, "INSERT INTO c INITIAL DOCUMENTS (:d)", seed).mutated_ids.len(), 1);
    assert_eq!(run_with(&store, "INSERT INTO c INITIAL DOCUMENTS (:d)", seed).mutated_ids.len(), 0);
    run(&store, "UPDATE c SET a = 5");
    run_with(&store, "INSERT INTO c INITIAL DOCUMENTS (:d)", r#"{"d": {"_id": 1, "a": 9}}"#);
    assert_eq!(query(&store, "SELECT * FROM c"), [r#"{"_id":1,"a":5}"#]);
    run(&store, "DELETE FROM c");
    run_with(&store, "INSERT INTO c INITIAL DOCUMENTS (:d)", seed);
    assert_eq!(query(&store, "SELECT * FROM c").len(), 0, "deleted seeds stay deleted");
    run(&store, "EVICT FROM c USE IDS 1");
    assert_consistent(&store);
}

#[test]
fn insert_select_copies_and_returning_shows() {
    let store = plants();
    let result =
        run(&store, "INSERT INTO copies SELECT _id, name FROM plants WHERE bed = 'A' RETURNING name");
    let mut names = rows(&result);
    names.sort();
    assert_eq!(names, [r#"{"name":"fern"}"#, r#"{"name":"moss"}"#]);
    assert_eq!(query(&store, "SELECT * FROM copies ORDER BY _id")[0], r#"{"_id":"p1","name":"fern"}"#);
    let result = run(&store, "DELETE FROM copies WHERE name = 'none' RETURNING COUNT(*) AS n");
    assert_eq!(rows(&result), [r#"{"n":0}"#]);
    let result = run(&store, "UPDATE plants SET height = 1 WHERE bed = 'B' RETURNING SUM(height) AS h");
    assert_eq!(rows(&result), [r#"{"h":2}"#]);
}

#[test]
fn definitions_and_strict_mode_choose_what_is_seen() {
    let store = open(1);
    let insert = "INSERT INTO COLLECTION c (care REGISTER) DOCUMENTS (:d)";
    run_with(&store, insert, r#"{"d": {"_id": 1, "care": {"a": 1, "b": 2}}}"#);
    run(&store, "UPDATE c SET care.a = 9");
    assert_eq!(query(&store, "SELECT care FROM c"), [r#"{"care":{"a":9}}"#]);
    assert_eq!(query(&store, "SELECT care FROM COLLECTION c (care REGISTER)"), [r#"{"care":{"a":1,"b":2}}"#]);
    run(&store, "ALTER SYSTEM SET DQL_STRICT_MODE = true");
    assert_eq!(query(&store, "SELECT care FROM c"), [r#"{"care":{"a":1,"b":2}}"#]);
    assert_eq!(query(&store, "SELECT care FROM COLLECTION c (care MAP)").len(), 1);
}

#[test]
fn system_parameters_are_shown_and_set() {
    let store = open(1);
    assert_eq!(query(&store, "SHOW dql_strict_mode"), [r#"{"dql_strict_mode":false}"#]);
    assert_eq!(query(&store, "ALTER SYSTEM SET DQL_STRICT_MODE = true"), [r#"{"dql_strict_mode":true}"#]);
    assert_eq!(query(&store, "ALTER SYSTEM RESET DQL_STRICT_MODE"), [r#"{"dql_strict_mode":false}"#]);
    assert!(query(&store, "SHOW ALL")[0].contains("tombstone_ttl_hours"));
    assert_eq!(query(&store, "SHOW ALL LIKE 'nothing%'"), ["{}"]);
    for (text, expected) in
        [("SHOW no_such", "no_such"), ("ALTER SYSTEM SET TOMBSTONE_TTL_HOURS = 0", "TOMBSTONE_TTL_HOURS")]
    {
        match failure(&store, text, "{}") {
            StoreError::Parameter(error) => {
                assert_eq!(error.name, expected);
                assert_eq!(matches!(error.problem, ParameterProblem::Unknown), expected == "no_such");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_page_of_parameters_lists_all_of_them_with_their_defaults() {
    let page = include_str!("../../../../docs/parameters.md");
    let mut listed = String::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("| `")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let code = |cell: &str| cell.trim_matches('`').to_owned();
        // The table of memory has two columns.
        if let [name, _, default, _, meaning] = &cells[..] {
            assert!(!meaning.is_empty());
            listed += &format!("\"{}\":{},", code(name).to_lowercase(), code(default));
        }
    }
    let store = open(1);
    assert_eq!(query(&store, "SHOW ALL"), [format!("{{{}}}", listed.trim_end_matches(','))]);
}

#[test]
fn limits_on_document_size_hold_for_writes() {
    let store = open(1);
    run(&store, "ALTER SYSTEM SET DOCUMENT_SIZE_HARD_LIMIT_BYTES = 2000");
    let text = "x".repeat(3000);
    let error =
        failure(&store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": {{"_id": 1, "t": "{text}"}}}}"#));
    assert!(matches!(error, StoreError::Data(DataError::TooLarge { limit: 2000, .. })), "{error}");
    assert_eq!(query(&store, "SELECT * FROM c").len(), 0);
}

#[test]
fn virtual_collections_are_read_and_not_written() {
    let store = plants();
    assert_eq!(query(&store, "SELECT 1 + 1 AS two FROM system:dual"), [r#"{"two":2}"#]);
    assert_eq!(query(&store, "SELECT name FROM system:collections"), [r#"{"name":"plants"}"#]);
    assert_eq!(query(&store, "SELECT COUNT(*) AS n FROM system:indexes"), [r#"{"n":0}"#]);
    let none = query(&store, "SELECT key, `value` FROM system:nothing WHERE namespace = 'store'");
    assert_eq!(none, [""; 0], "there is no such collection, which is logged");
    run(&store, "CREATE INDEX i ON other (a)");
    run(&store, "INSERT INTO other DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    run(&store, "EVICT FROM other WHERE _id = 1");
    assert_eq!(
        query(&store, "SELECT * FROM system:collections WHERE name = 'other'"),
        [r#"{"_id":"other","documents":1,"evictions":1,"graves":0,"indexes":["i"],"name":"other"}"#]
    );
    for text in [
        "DELETE FROM system:dual",
        "INSERT INTO system:dual DOCUMENTS (:d)",
        "INSERT INTO __x DOCUMENTS (:d)",
    ] {
        let error = failure(&store, text, r#"{"d": {}}"#);
        assert!(matches!(error, StoreError::Data(DataError::Collection { .. })), "{text}: {error}");
    }
}

#[test]
fn explain_shows_the_plan_and_runs_nothing() {
    let store = plants();
    let plan = |text: &str| query(&store, &format!("EXPLAIN {text}")).remove(0);
    assert!(plan("SELECT * FROM plants WHERE _id = 'p1'").contains(r##""#operator":"idScan""##));
    assert!(
        plan("SELECT * FROM plants WHERE bed = 'A' ORDER BY height LIMIT 1")
            .contains(r##""#operator":"sort""##)
    );
    assert!(plan("SELECT COUNT(*) FROM plants").contains("countScan"));
    assert!(plan("DELETE FROM plants").contains(r##""#operator":"delete""##));
    assert_eq!(query(&store, "SELECT * FROM plants").len(), 4);
}

#[test]
fn mistakes_are_told_apart() {
    let store = plants();
    assert!(matches!(failure(&store, "SELEKT", "{}"), StoreError::Compile(_)));
    assert!(matches!(failure(&store, "", "{}"), StoreError::Compile(_)));
    match failure(&store, "SELECT * FROM plants WHERE a = :a AND b = :b", r#"{"b": 1}"#) {
        StoreError::MissingArgument { name } => assert_eq!(name, "a"),
        other => panic!("{other}"),
    }
    store.close().expect("closes");
    store.close().expect("a second time");
    assert!(matches!(failure(&store, "SELECT * FROM plants", "{}"), StoreError::Closed));
}

#[test]
fn arguments_in_the_binary_form_do_what_a_tree_does() {
    let statements = [
        "INSERT INTO c DOCUMENTS (:d)",
        "INSERT INTO c DOCUMENTS (:d), ({'_id': 'x', 'a': :d})",
        "INSERT INTO c DOCUMENTS (:d) ON ID CONFLICT DO UPDATE",
        "INSERT INTO c DOCUMENTS (:d) ON ID CONFLICT DO UPDATE_LOCAL_DIFF",
        "INSERT INTO COLLECTION c (n COUNTER, a MAP) DOCUMENTS (:d) ON ID CONFLICT DO UPDATE",
        "UPDATE c SET a = :d, b = 1",
        "DELETE FROM c WHERE _id = :d OR a.b IN :d LIMIT 2",
    ];
    let arguments = [
        r#"{"d": {"_id": 1, "a": {"b": [1, 2.5, null]}, "n": 3}}"#,
        r#"{"d": [{"_id": 2, "z": 1, "_a": 2, "Z": {}}, {"_id": [1, "x"]}, {"_id": "y", "a": {"b": 7, "c": {"d": "e"}}}]}"#,
        r#"{"d": [{"_id": 2, "z": 5}, {"a": 1}]}"#,
        r#"{"d": [[{"_id": 3}]]}"#,
        r#"{"d": [{"_id": 4}, 5]}"#,
        r#"{"d": [{"_id": 5}, {"_id": 5}]}"#,
        r#"{"d": {"_id": 1.5}}"#,
        r#"{"d": {"_id": {"a": 1}}}"#,
        r#"{"d": []}"#,
        r#"{"d": 7}"#,
        r#"{"e": 7}"#,
    ];
    let (tree, binary) = (open(1), open(1));
    for statement in statements {
        ditto_dql::parse(statement).unwrap();
    }
    for statement in statements {
        for arguments in arguments {
            let given = Value::from_json(arguments).unwrap();
            let encoded = given.encode();
            let outcome = |result: Result<ditto_store::QueryResult, StoreError>| {
                result
                    .map(|result| (result.mutated_ids, result.commit_id))
                    .map_err(|error| format!("{error} {error:?}"))
            };
            assert_eq!(
                outcome(binary.execute(statement, ditto_value::ValueRef::from_stored(&encoded))),
                outcome(tree.execute(statement, given.as_object().unwrap())),
                "{statement} with {arguments}"
            );
            assert_eq!(rows(&run(&binary, "SELECT * FROM c")), rows(&run(&tree, "SELECT * FROM c")));
        }
    }
    assert_consistent(&binary);
}
