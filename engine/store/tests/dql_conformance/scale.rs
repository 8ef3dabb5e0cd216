//! Long statements and long lists: work grows with the text, not with its square.

use ditto_value::{Object, Value};

use crate::table::{empty, run, sample};

fn list(count: usize, each: impl Fn(usize) -> String, separator: &str) -> String {
    (0..count).map(each).collect::<Vec<_>>().join(separator)
}

#[test]
fn long_conditions_lists_and_projections_run() {
    let store = sample();
    let ors = list(3_000, |n| format!("height = {n}"), " OR ");
    assert_eq!(run(&store, &format!("SELECT * FROM plants WHERE {ors}")).rows.len(), 2);
    let ands = list(3_000, |n| format!("height != {}", n + 100), " AND ");
    assert_eq!(run(&store, &format!("SELECT * FROM plants WHERE {ands}")).rows.len(), 3);
    let numbers = list(20_000, |n| n.to_string(), ",");
    assert_eq!(run(&store, &format!("SELECT * FROM plants WHERE height IN ({numbers})")).rows.len(), 2);
    assert_eq!(run(&store, &format!("SELECT * FROM plants WHERE _id IN ({numbers})")).rows.len(), 0);
    let items = list(3_000, |n| format!("height + {n} AS f{n}"), ", ");
    let row = &run(&store, &format!("SELECT {items} FROM plants WHERE _id = 'p1'")).rows[0];
    assert_eq!(row.value().len(), 3_000);
    let sets = list(2_000, |n| format!("f{n} = {n}"), ", ");
    assert_eq!(run(&store, &format!("UPDATE plants SET {sets} WHERE _id = 'p1'")).mutated_ids.len(), 1);
    let cases = list(3_000, |n| format!("WHEN height = {n} THEN {n}"), " ");
    assert_eq!(run(&store, &format!("SELECT CASE {cases} END AS c FROM plants")).rows.len(), 4);
}

#[test]
fn long_argument_lists_and_many_documents_run() {
    let store = empty();
    let documents = (0..5_000).map(|n| Value::Object(Object::from([("_id", Value::Int(n))]))).collect();
    let ids = (0..10_000).map(Value::Int).collect();
    let arguments = Object::from([("documents", Value::Array(documents)), ("ids", Value::Array(ids))]);
    let execute = |text: &str| store.execute(text, &arguments).expect(text);
    assert_eq!(execute("INSERT INTO c DOCUMENTS (:documents)").mutated_ids.len(), 5_000);
    assert_eq!(execute("SELECT * FROM c WHERE _id IN :ids").rows.len(), 5_000);
    assert_eq!(execute("SELECT * FROM c USE IDS LIST :ids").rows.len(), 5_000);
    assert_eq!(execute("SELECT COUNT(DISTINCT _id) AS n FROM c GROUP BY _id").rows.len(), 5_000);
    assert_eq!(execute("SELECT DISTINCT _id FROM c ORDER BY -_id").rows.len(), 5_000);
    assert_eq!(execute("UPDATE c SET n = _id").mutated_ids.len(), 5_000);
    assert_eq!(execute("INSERT INTO d SELECT * FROM c").mutated_ids.len(), 5_000);
    assert_eq!(execute("DELETE FROM c").mutated_ids.len(), 5_000);
}
