//! Which way a statement takes, as EXPLAIN tells it, and how much is read on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ditto_storage::{
    Batch, Bytes, Direction, Entries, Keyspace, MemoryStorage, OnRows, Range, Snapshot, Storage, StorageError,
};
use ditto_store::{Store, TransactionKind};
use ditto_value::{Object, Value};

use crate::support::{Later, TestEnvironment, failure, open, open_in, query, rows, run, run_with};

fn store_with(indexes: &[&str]) -> Store {
    let store = open(1);
    fill(&store, 10);
    indexes.iter().for_each(|keys| create(&store, keys));
    store
}

/// Documents with the fields `a`, `b`, `c` and `m.k`.
fn fill(store: &Store, count: i64) {
    let documents: Vec<String> = (0..count)
        .map(|n| format!(r#"{{"_id": {n}, "a": {}, "b": {}, "c": "c{n}", "m": {{"k": {n}}}}}"#, n % 5, n % 3))
        .collect();
    run_with(store, "INSERT INTO t DOCUMENTS (:d)", &format!(r#"{{"d": [{}]}}"#, documents.join(",")));
}

/// Creates an index that is named by its keys.
fn create(store: &Store, keys: &str) {
    run(store, &format!("CREATE INDEX `{keys}` ON t ({keys})"));
}

fn children(store: &Store, text: &str) -> Vec<Value> {
    let row = run(store, &format!("EXPLAIN {text}")).rows.remove(0).value().to_value();
    let children = row.get("plan").and_then(|plan| plan.get("children")).and_then(Value::as_array);
    children.unwrap_or_else(|| panic!("{text}: {}", row.to_json())).to_vec()
}

/// An operator in a few words: its name, the index, how many spans, which end, whether backward, whether covering.
fn words(operator: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut words = text(operator.get("#operator"));
    if let Some(children) = operator.get("children").and_then(Value::as_array) {
        let children: Vec<String> = children.iter().map(self::words).collect();
        words += &format!("[{}]", children.join(", "));
    }
    let desc = operator.get("desc");
    if let Some(desc) = desc {
        words += &format!("({})", text(desc.get("index")));
    }
    let spans = desc.unwrap_or(operator).get("spans").and_then(Value::as_array);
    if let Some(spans) = spans {
        let parts: Vec<String> =
            spans.iter().map(|span| span.as_array().map_or(0, <[Value]>::len).to_string()).collect();
        words += &format!("{{{}}}", parts.join(" "));
    }
    if let Some(end) = operator.get("value").and_then(Value::as_str) {
        words += &format!(" {end}");
    }
    for flag in ["backward", "covering"] {
        if operator.get(flag) == Some(&Value::Bool(true)) {
            words += &format!(" {flag}");
        }
    }
    words
}

/// The operators of a plan, in a few words each.
fn plan(store: &Store, text: &str) -> String {
    children(store, text).iter().map(words).collect::<Vec<_>>().join(" > ")
}

fn assert_plans(store: &Store, expected: &[(&str, &str)]) {
    let wrong: Vec<String> = expected
        .iter()
        .filter_map(|(text, expected)| {
            let found = plan(store, text);
            (found != *expected).then(|| format!("{text}\n    expected {expected}\n    found    {found}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_plan_has_the_documented_form() {
    let store = store_with(&["a"]);
    let found = children(&store, "SELECT * FROM t WHERE a = 'A'");
    assert_eq!(
        Value::from(found).to_json(),
        concat!(
            r##"[{"#operator":"indexScan","alias":"t","answers":["a = 'A'"],"collection":"t","covering":false,"##,
            r##""datasource":"default","##,
            r##""desc":{"index":"a","spans":[[{"index_key":{"direction":"asc","include_missing":true,"key":["a"]},"##,
            r##""range":{"high":{"expr":"'A'","included":true},"low":{"expr":"'A'","included":true}}}]]}},"##,
            r##"{"#operator":"fetch"},{"#operator":"filter","answered":["a = 'A'"],"condition":"a = 'A'"},"##,
            r##"{"#operator":"projection"}]"##,
        )
    );
    let found = children(&store, "SELECT * FROM t WHERE a > :x AND a < 9");
    let spans = found[0].get("desc").and_then(|desc| desc.get("spans")).expect("spans").to_json();
    assert!(spans.contains(r#""range":{"low":{"expr":":x","included":false}}"#), "{spans}");
    assert!(spans.contains(r#""range":{"high":{"expr":"9","included":false}}"#), "{spans}");
}

#[test]
fn conditions_of_a_field_use_its_index() {
    let store = store_with(&["a", "m.k DESC"]);
    let scan =
        |keys: &str, spans: &str| format!("indexScan({keys}){{{spans}}} > fetch > filter > projection");
    let (one, two) = (scan("a", "1"), scan("a", "1 1"));
    assert_plans(
        &store,
        &[
            ("SELECT * FROM t WHERE a = 1", &one),
            ("SELECT * FROM t WHERE 1 = a", &one),
            ("SELECT * FROM t WHERE a < :p", &one),
            ("SELECT * FROM t WHERE a >= 1 AND lower(c) = 'c1'", &one),
            ("SELECT * FROM t WHERE a BETWEEN 1 AND 3", &one),
            ("SELECT * FROM t WHERE a > 1 AND a <= 3", &scan("a", "2")),
            ("SELECT * FROM t WHERE a IN (1, 2)", &two),
            ("SELECT * FROM t WHERE a IN :list", &one),
            ("SELECT * FROM t WHERE a = 1 OR a > 3", &two),
            ("SELECT * FROM t WHERE a != 1", &two),
            ("SELECT * FROM t WHERE NOT (a = 1)", &two),
            ("SELECT * FROM t WHERE a IS MISSING", &one),
            ("SELECT * FROM t WHERE a IS NULL", &one),
            ("SELECT * FROM t WHERE a LIKE 'a%'", &one),
            ("SELECT * FROM t WHERE a", &one),
            ("SELECT * FROM t WHERE NOT a", &one),
            ("SELECT * FROM t WHERE a = [1, 2]", &one),
            ("SELECT * FROM t x WHERE x.a = 1", &one),
            ("SELECT * FROM t WHERE m.k = 3", &scan("m.k DESC", "1")),
        ],
    );
    let none = "scan > filter > projection";
    for condition in [
        "m = {'k': 1}",
        "m.k.x = 1",
        "lower(a) = 'x'",
        "a = c",
        "a IS NOT NULL",
        "a NOT IN (1)",
        "a ILIKE 'a%'",
        "a = 1 OR c = 'c1'",
        "coalesce(a, 1) = 1",
        "ANY x IN a SATISFIES x = 1 END",
    ] {
        assert_eq!(plan(&store, &format!("SELECT * FROM t WHERE {condition}")), none, "{condition}");
    }
}

#[test]
fn the_best_index_is_chosen_by_rules() {
    let store = store_with(&["b", "a, b", "a", "c, a", "a, b, c"]);
    let scan =
        |keys: &str, parts: usize| format!("indexScan({keys}){{{parts}}} > fetch > filter > projection");
    assert_plans(
        &store,
        &[
            // More fields with single values, then a range, then fewer fields.
            ("SELECT * FROM t WHERE a = 1", &scan("a", 1)),
            ("SELECT * FROM t WHERE a = 1 AND b = 2", &scan("a, b", 2)),
            ("SELECT * FROM t WHERE a = 1 AND b > 2", &scan("a, b", 2)),
            ("SELECT * FROM t WHERE a > 1 AND b = 2", &scan("b", 1)),
            ("SELECT * FROM t WHERE a = 1 AND b = 2 AND c = 3", &scan("a, b, c", 3)),
            ("SELECT * FROM t WHERE c = 'c1' AND a > 2", &scan("c, a", 2)),
            ("SELECT * FROM t WHERE a = 1 AND _id > 3", &scan("a", 2)),
            ("SELECT * FROM t WHERE a > 1", &scan("a", 1)),
            // The order decides among equals.
            ("SELECT * FROM t WHERE a = 1 ORDER BY b", "indexScan(a, b){1} > fetch > filter > projection"),
            // Ids are better than ranges and worse than single values.
            ("SELECT * FROM t WHERE _id = 1 AND a = 1", "idScan > fetch > filter > projection"),
            ("SELECT * FROM t WHERE _id IN :ids AND a = 1", "idScan > fetch > filter > projection"),
            ("SELECT * FROM t USE IDS 1, 2 WHERE a = 1", "idScan > fetch > filter > projection"),
            ("SELECT * FROM t WHERE _id > 1 AND a > 1", "idScan{1} > filter > projection"),
            ("SELECT * FROM t WHERE _id > 1 AND a = 1 AND b = 1", &scan("a, b", 3)),
        ],
    );
}

#[test]
fn order_by_is_answered_by_an_index_when_few_rows_are_wanted() {
    let store = store_with(&["a", "b, a DESC"]);
    assert_plans(
        &store,
        &[
            ("SELECT * FROM t ORDER BY a LIMIT 3", "indexScan(a){0} > fetch > projection > limit"),
            (
                "SELECT * FROM t ORDER BY a DESC LIMIT 3",
                "indexScan(a){0} backward > fetch > projection > limit",
            ),
            ("SELECT * FROM t ORDER BY a, _id LIMIT 3", "indexScan(a){0} > fetch > projection > limit"),
            (
                "SELECT * FROM t ORDER BY b, a DESC LIMIT 3",
                "indexScan(b, a DESC){0} > fetch > projection > limit",
            ),
            (
                "SELECT * FROM t ORDER BY b DESC, a LIMIT 3",
                "indexScan(b, a DESC){0} backward > fetch > projection > limit",
            ),
            ("SELECT * FROM t ORDER BY b, a LIMIT 3", "scan > projection > sort > limit"),
            ("SELECT * FROM t ORDER BY lower(a) LIMIT 3", "scan > projection > sort > limit"),
            ("SELECT * FROM t ORDER BY a", "scan > projection > sort"),
            ("SELECT a FROM t ORDER BY a", "indexScan(a){0} covering > projection"),
            ("SELECT * FROM t WHERE a > 2 ORDER BY a", "indexScan(a){1} > fetch > filter > projection"),
            (
                "SELECT * FROM t WHERE b = 1 ORDER BY a LIMIT 3",
                "indexScan(b, a DESC){1} backward > fetch > filter > projection > limit",
            ),
            (
                "SELECT * FROM t WHERE a > 2 ORDER BY b LIMIT 3",
                "indexScan(a){1} > fetch > filter > projection > sort > limit",
            ),
            (
                "SELECT * FROM t USE DIRECTIVES '{\"#prefer_order\": true}' WHERE a > 2 ORDER BY b LIMIT 3",
                "indexScan(b, a DESC){0} > fetch > filter > projection > limit",
            ),
            ("SELECT DISTINCT c FROM t ORDER BY c LIMIT 3", "scan > projection > distinct > sort > limit"),
            (
                "SELECT DISTINCT a FROM t ORDER BY a DESC LIMIT 3",
                "indexScan(a){0} backward covering > projection > distinct > limit",
            ),
            (
                "SELECT DISTINCT a FROM t ORDER BY a, _id LIMIT 3",
                "indexScan(a){0} covering > projection > distinct > sort > limit",
            ),
            ("SELECT * FROM t ORDER BY _id LIMIT 3", "scan > projection > limit"),
            ("SELECT * FROM t ORDER BY _id DESC, a LIMIT 3", "scan backward > projection > limit"),
            ("SELECT * FROM t WHERE _id >= 4 ORDER BY _id DESC", "idScan{1} backward > filter > projection"),
            (
                "UPDATE t SET x = 1 WHERE a > 1 ORDER BY a LIMIT 1",
                "indexScan(a){1} > fetch > filter > limit > update",
            ),
            ("DELETE FROM t ORDER BY a DESC LIMIT 1", "indexScan(a){0} backward > fetch > limit > delete"),
            ("EVICT FROM t WHERE a = 1", "indexScan(a){1} > fetch > filter > evict"),
            (
                "INSERT INTO u SELECT * FROM t WHERE a = 1",
                "indexScan(a){1} > fetch > filter > projection > insert",
            ),
        ],
    );
}

#[test]
fn disjunctions_unite_indexes_and_conjunctions_intersect_them_when_told_to() {
    let store = store_with(&["a", "b", "m.k"]);
    let three = r##"USE DIRECTIVES '{"#intersects": 3}'"##;
    assert_plans(
        &store,
        &[
            (
                "SELECT * FROM t WHERE a = 1 OR b > 2",
                "unionScan[indexScan(a){1}, indexScan(b){1}] > fetch > filter > projection",
            ),
            (
                "SELECT * FROM t WHERE c = 'c' AND (a = 1 AND b = 2 OR _id = 3 OR m.k IN (1, 2))",
                "unionScan[indexScan(a){1}, idScan, indexScan(m.k){1 1}] > fetch > filter > projection",
            ),
            (
                "SELECT * FROM t WHERE (a = 1 OR b = 2) AND m.k = 3",
                "indexScan(m.k){1} > fetch > filter > projection",
            ),
            (
                "SELECT * FROM t WHERE (a = 1 OR b = 2) AND m.k > 3",
                "unionScan[indexScan(a){1}, indexScan(b){1}] > fetch > filter > projection",
            ),
            ("SELECT * FROM t WHERE a = 1 OR c = 2", "scan > filter > projection"),
            (
                "SELECT * FROM t USE DIRECTIVES '{\"#max_scans\": 1}' WHERE a = 1 OR b = 2",
                "scan > filter > projection",
            ),
            ("SELECT * FROM t WHERE a = 1 AND b = 2", "indexScan(a){1} > fetch > filter > projection"),
            (
                &format!("SELECT * FROM t {three} WHERE a = 1 AND b = 2"),
                "intersectScan[indexScan(a){1}, indexScan(b){1}] > fetch > filter > projection",
            ),
            (
                &format!("SELECT * FROM t {three} WHERE a = 1 AND m.k > 2 AND b < 2"),
                "intersectScan[indexScan(a){1}, indexScan(b){1}, indexScan(m.k){1}] > fetch > filter > projection",
            ),
        ],
    );
}

#[test]
fn rows_that_say_enough_spare_the_documents() {
    let store = store_with(&["a, m.k"]);
    let covering = "indexScan(a, m.k){1} covering > filter > projection";
    assert_plans(
        &store,
        &[
            ("SELECT a FROM t WHERE a = 1", covering),
            ("SELECT _id, m.k, a + 1 AS x FROM t WHERE a > 1 AND m.k != 3", covering),
            ("SELECT _id FROM t WHERE a = 1 AND (m.k = 3 OR _id > 5)", covering),
            (
                "SELECT COUNT(*) AS n FROM t WHERE a = 1",
                "indexScan(a, m.k){1} covering > filter > group > projection",
            ),
            ("SELECT m FROM t WHERE a = 1", "indexScan(a, m.k){1} > fetch > filter > projection"),
            ("SELECT a FROM t WHERE a = 1 AND c = 1", "indexScan(a, m.k){1} > fetch > filter > projection"),
            (
                "SELECT a FROM t WHERE a = 1 ORDER BY c",
                "indexScan(a, m.k){1} > fetch > filter > projection > sort",
            ),
            ("SELECT t.* FROM t WHERE a = 1", "indexScan(a, m.k){1} > fetch > filter > projection"),
            ("SELECT COUNT(*) AS n FROM t", "countScan > projection"),
        ],
    );
    run(
        &store,
        "INSERT INTO t DOCUMENTS ({'_id': 'f', 'a': 2.0, 'm': {'k': 1.5}}), ({'_id': 'n', 'a': 2, 'm': 5})",
    );
    assert_eq!(
        query(&store, "SELECT _id, a, m.k FROM t WHERE a = 2 ORDER BY m.k"),
        [
            r#"{"_id":"f","a":2.0,"k":1.5}"#,
            r#"{"_id":2,"a":2,"k":2}"#,
            r#"{"_id":7,"a":2,"k":7}"#,
            r#"{"_id":"n","a":2}"#
        ],
        "a float stays one although its key is that of an integer"
    );
}

#[test]
fn an_index_that_says_everything_is_read_instead_of_the_documents() {
    let store = store_with(&["a, b", "a", "m.k"]);
    let rows = |rest: &str| format!("indexScan(a){{0}} covering > {rest}");
    assert_plans(
        &store,
        &[
            ("SELECT a FROM t", &rows("projection")),
            ("SELECT _id, a FROM t LIMIT 3", &rows("projection > limit")),
            ("SELECT a FROM t WHERE lower(a) = 'x'", &rows("filter > projection")),
            ("SELECT COUNT(a) AS n FROM t", &rows("group > projection")),
            ("SELECT COUNT(DISTINCT a) AS n FROM t", &rows("group > projection")),
            ("SELECT COUNT(*) AS n FROM t WHERE a + 1 > 2", &rows("filter > group > projection")),
            ("SELECT DISTINCT a FROM t", &rows("projection > distinct")),
            ("SELECT a, COUNT(*) AS n, SUM(a) AS s FROM t GROUP BY a", &rows("group > projection")),
            ("SELECT a FROM t ORDER BY a + 1", &rows("projection > sort")),
            ("SELECT a, b FROM t", "indexScan(a, b){0} covering > projection"),
            ("SELECT DISTINCT b, a FROM t", "indexScan(a, b){0} covering > projection > distinct"),
            ("INSERT INTO u SELECT a FROM t", &rows("projection > insert")),
            // One or the other equal row would be shown, or the sum would differ, in another order than by `_id`.
            ("SELECT DISTINCT a + 1 AS x FROM t", "scan > projection > distinct"),
            ("SELECT DISTINCT b FROM t", "scan > projection > distinct"),
            ("SELECT SUM(a) AS s FROM t", "scan > group > projection"),
            ("SELECT b, SUM(a) AS s FROM t GROUP BY b", "scan > group > projection"),
            ("SELECT a, c FROM t", "scan > projection"),
            ("SELECT * FROM t", "scan > projection"),
            ("UPDATE t SET x = 1", "scan > update"),
        ],
    );
}

#[test]
fn the_least_and_the_greatest_value_are_at_the_ends_of_an_index() {
    let store = store_with(&["a", "b, a DESC", "m.k"]);
    assert_plans(
        &store,
        &[
            ("SELECT MIN(a) AS l FROM t", "indexScan(a){0} least > projection"),
            ("SELECT MAX(a) AS h FROM t HAVING MAX(a) > 1", "indexScan(a){0} greatest > filter > projection"),
            ("SELECT MIN(b) AS l FROM t", "indexScan(b, a DESC){0} least > projection"),
            (
                "SELECT MIN(a) AS l, MAX(m.k) AS h, COUNT(*) AS n FROM t",
                "aggregateScan[indexScan(a){0} least, indexScan(m.k){0} greatest, countScan] > projection",
            ),
            ("SELECT MAX(a) AS h FROM t WHERE a < 3", "indexScan(a){1} greatest > filter > projection"),
            (
                "SELECT MAX(a) AS h FROM t WHERE b = 1",
                "indexScan(b, a DESC){1} greatest > filter > projection",
            ),
            (
                "SELECT MAX(a) AS h FROM t WHERE b = 1 AND a < 3",
                "indexScan(b, a DESC){2} greatest > filter > projection",
            ),
            (
                "SELECT MAX(b) AS h FROM t WHERE b IN (1, 2)",
                "indexScan(b, a DESC){1 1} greatest > filter > projection",
            ),
            ("SELECT MAX(_id) AS h FROM t", "scan greatest > projection"),
            ("SELECT MAX(_id) AS h FROM t WHERE _id < 5", "idScan{1} greatest > filter > projection"),
            // What else is asked, or another order of the rows, needs all of them.
            ("SELECT MIN(a) AS l, SUM(a) AS s FROM t", "scan > group > projection"),
            ("SELECT MIN(a + 1) AS l FROM t", "scan > group > projection"),
            ("SELECT MIN(a) AS l FROM t WHERE c = 'c1'", "scan > filter > group > projection"),
            (
                "SELECT MIN(a) AS l FROM t WHERE a LIKE 'x%'",
                "indexScan(a){1} covering > filter > group > projection",
            ),
            (
                "SELECT MIN(a) AS l FROM t WHERE b > 1",
                "indexScan(b, a DESC){1} covering > filter > group > projection",
            ),
            (
                "SELECT MIN(a) AS l, COUNT(*) AS n FROM t WHERE a > 1",
                "indexScan(a){1} covering > filter > group > projection",
            ),
            ("SELECT b, MIN(a) AS l FROM t GROUP BY b", "scan > group > projection"),
            ("SELECT MIN(a) AS l FROM t USE INDEX ''", "scan > group > projection"),
            ("SELECT MIN(a) AS l FROM t WHERE _id = 3", "idScan > fetch > filter > group > projection"),
        ],
    );
}

/// A member of the first operator of that name.
fn member(store: &Store, text: &str, operator: &str, name: &str) -> String {
    let all = children(store, text);
    let found = all.iter().find(|found| found.get("#operator").and_then(Value::as_str) == Some(operator));
    let found = found.unwrap_or_else(|| panic!("{text} has no {operator}"));
    found.get(name).map_or_else(String::new, Value::to_json)
}

#[test]
fn a_plan_tells_what_bounds_it_and_what_is_not_asked_again() {
    let store = store_with(&["a", "b, a", "m.k"]);
    let wrong: Vec<String> = [
        // LIMIT ends the scan, or bounds what is sorted.
        ("SELECT * FROM t LIMIT 3", "limit", "stopsScan", "true"),
        ("SELECT * FROM t WHERE a > 1 ORDER BY a LIMIT 3", "limit", "stopsScan", "true"),
        ("SELECT DISTINCT a FROM t ORDER BY a LIMIT 3", "limit", "stopsScan", "true"),
        ("UPDATE t SET x = 1 ORDER BY a LIMIT 3", "limit", "stopsScan", "true"),
        ("SELECT * FROM t ORDER BY c LIMIT 3", "limit", "stopsScan", ""),
        ("SELECT * FROM t ORDER BY c LIMIT 3", "sort", "bounded", "true"),
        ("SELECT * FROM t ORDER BY c", "sort", "bounded", ""),
        ("SELECT * FROM t ORDER BY c OFFSET 3", "sort", "bounded", ""),
        ("SELECT a, COUNT(*) AS n FROM t GROUP BY a ORDER BY a LIMIT 3", "sort", "bounded", "true"),
        ("SELECT a, COUNT(*) AS n FROM t GROUP BY a LIMIT 3", "limit", "stopsScan", ""),
        // What OFFSET passes over, and what is counted, are rows of an index.
        ("SELECT * FROM t WHERE a = 1 LIMIT 3 OFFSET 9", "limit", "passesRows", "true"),
        ("SELECT * FROM t WHERE a = 1 AND c = 1 LIMIT 3 OFFSET 9", "limit", "passesRows", ""),
        ("SELECT * FROM t WHERE a = 1 LIMIT 3", "limit", "passesRows", ""),
        ("SELECT * FROM t LIMIT 3 OFFSET 9", "limit", "passesRows", ""),
        ("UPDATE t SET c = 1 WHERE a = 1 LIMIT 3 OFFSET 9", "limit", "passesRows", "true"),
        ("EVICT FROM t WHERE a = 1 LIMIT 3 OFFSET 9", "limit", "passesRows", ""),
        ("SELECT COUNT(*) AS n FROM t WHERE a = 1", "group", "countsRows", "true"),
        ("SELECT COUNT(*) AS n FROM t WHERE a LIKE 'x%'", "group", "countsRows", ""),
        ("SELECT COUNT(a) AS n FROM t WHERE a = 1", "group", "countsRows", ""),
        // Documents come by `_id` although the index is in another order.
        ("SELECT SUM(c) AS s FROM t WHERE a > 1", "indexScan", "arrival", r#""_id""#),
        ("SELECT SUM(c) AS s FROM t WHERE a > 1", "indexScan", "maxGathered", "67108864"),
        ("SELECT SUM(c) AS s FROM t WHERE a = 1", "indexScan", "arrival", ""),
        ("SELECT SUM(c) AS s FROM t WHERE a = 1", "indexScan", "maxGathered", ""),
        ("SELECT DISTINCT c FROM t WHERE a > 1", "indexScan", "arrival", r#""_id""#),
        ("SELECT DISTINCT a FROM t WHERE a > 1", "indexScan", "arrival", ""),
        ("SELECT DISTINCT c FROM t WHERE a = 1 OR b = 1", "unionScan", "arrival", r#""_id""#),
        ("SELECT * FROM t WHERE a = 1 OR b = 1", "unionScan", "arrival", ""),
        ("SELECT * FROM t WHERE a = 1 OR b = 1", "unionScan", "maxGathered", "67108864"),
        ("SELECT * FROM t ORDER BY a DESC LIMIT 3", "indexScan", "regroups", "true"),
        ("SELECT * FROM t ORDER BY b LIMIT 3", "indexScan", "regroups", "true"),
        ("SELECT * FROM t ORDER BY a LIMIT 3", "indexScan", "regroups", ""),
        // A list may have more elements than there may be ranges.
        ("SELECT a FROM t WHERE a IN :list", "indexScan", "maxRanges", "10000"),
        ("SELECT a FROM t WHERE a IN (1, 2, 3)", "indexScan", "maxRanges", ""),
        ("SELECT a FROM t WHERE a = 1 AND a IN :list", "indexScan", "maxRanges", "10000"),
        (
            "SELECT a FROM t USE DIRECTIVES '{\"#max_inlist\": 2}' WHERE a IN (1, 2, 3)",
            "indexScan",
            "maxRanges",
            "2",
        ),
        (
            "SELECT a FROM t USE DIRECTIVES '{\"#max_inlist\": 2}' WHERE b IN (1, 2) AND a != 3",
            "indexScan",
            "maxRanges",
            "2",
        ),
        // What the spans say.
        ("SELECT * FROM t WHERE a = 1 AND c = 2", "indexScan", "answers", r#"["a = 1"]"#),
        ("SELECT * FROM t WHERE a = 1 AND c = 2", "filter", "answered", r#"["a = 1"]"#),
        ("SELECT * FROM t WHERE a = 1 OR b = 2", "filter", "answered", ""),
        ("SELECT * FROM t WHERE a IN :list AND c = 2", "filter", "answered", r#"["a IN :list"]"#),
        ("SELECT a FROM t WHERE a > 1 AND a < :x", "filter", "answered", r#"["a > 1","a < :x"]"#),
        ("SELECT a FROM t WHERE a LIKE 'x%'", "indexScan", "answers", ""),
        ("SELECT a FROM t WHERE a LIKE 'x%'", "filter", "answered", ""),
        ("SELECT * FROM t WHERE _id = 1 AND a = 1", "filter", "answered", r#"["_id = 1"]"#),
        ("SELECT MAX(a) AS h FROM t WHERE a < 3", "filter", "answered", r#"["a < 3"]"#),
    ]
    .into_iter()
    .filter_map(|(text, operator, name, expected)| {
        let found = member(&store, text, operator, name);
        (found != expected).then(|| format!("{text}: {operator}.{name} is {found:?}, expected {expected:?}"))
    })
    .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn directives_restrict_the_choice() {
    let store = store_with(&["a", "b"]);
    let by = |keys: &str| format!("indexScan({keys}){{1}} > fetch > filter > projection");
    let none = "scan > filter > projection";
    let and = "WHERE a = 1 AND b = 1";
    assert_plans(
        &store,
        &[
            (&format!("SELECT * FROM t USE INDEX 'b' {and}"), &by("b")),
            (&format!("SELECT * FROM t USE INDEX (b) {and}"), &by("b")),
            (&format!("SELECT * FROM t USE INDEX '' {and}"), none),
            (&format!("SELECT * FROM t USE INDEX 'unknown' {and}"), &by("a")),
            (&format!("SELECT * FROM t USE DIRECTIVES '{{\"#index\": [\"x\", \"b\"]}}' {and}"), &by("b")),
            (&format!("SELECT * FROM t USE DIRECTIVES '{{\"#disable_index_scan\": true}}' {and}"), none),
            (&format!("SELECT /*+ {{\"#index\": \"b\"}} */ * FROM t {and}"), &by("b")),
            (&format!("SELECT /*+ {{\"t\": {{\"#index\": \"b\"}}}} */ * FROM t {and}"), &by("b")),
            (&format!("SELECT /*+ {{\"u\": {{\"#index\": \"b\"}}}} */ * FROM t {and}"), &by("a")),
            (&format!("/*+ {{\"#index\": \"\"}} */ UPDATE t SET x = 1 {and}"), "scan > filter > update"),
            ("SELECT * FROM t USE INDEX 'b' WHERE a = 1", &by("a")),
        ],
    );
    run(&store, r##"ALTER SYSTEM SET DQL_DEFAULT_DIRECTIVES = {"#index": "b"}"##);
    assert_eq!(plan(&store, &format!("SELECT * FROM t {and}")), by("b"));
    assert_eq!(plan(&store, &format!("SELECT * FROM t USE INDEX 'a' {and}")), by("a"));
}

#[test]
fn definitions_and_strict_mode_read_documents_otherwise_than_indexes_do() {
    let store = store_with(&["a"]);
    let none = "scan > filter > projection";
    assert_eq!(plan(&store, "SELECT * FROM COLLECTION t (a COUNTER) WHERE a = 1"), none);
    run(&store, "ALTER SYSTEM SET DQL_STRICT_MODE = true");
    assert_eq!(plan(&store, "SELECT * FROM t WHERE a = 1"), none);
    assert_eq!(query(&store, "SELECT _id FROM t WHERE a = 1"), [r#"{"_id":1}"#, r#"{"_id":6}"#]);
}

#[test]
fn index_statements_are_explained_and_not_run() {
    let store = store_with(&["a"]);
    assert_eq!(plan(&store, "CREATE INDEX x ON t (b DESC)"), "createIndex");
    assert_eq!(plan(&store, "DROP INDEX a ON t"), "dropIndex");
    assert_eq!(
        plan(&store, "ADVISE AND PROVISION SELECT * FROM t WHERE b = 1"),
        "advise[scan, filter, projection]"
    );
    assert_eq!(query(&store, "SELECT _id FROM system:indexes"), [r#"{"_id":"t.a"}"#]);
    assert!(failure(&store, "EXPLAIN SHOW ALL", "{}").to_string().contains("EXPLAIN"));
}

#[test]
fn a_transaction_explains_what_it_would_do() {
    let store = store_with(&["a"]);
    for kind in [TransactionKind::ReadOnly, TransactionKind::ReadWrite] {
        let transaction = store.begin(kind).expect("begins");
        let text = "EXPLAIN SELECT * FROM t WHERE a = 1";
        let found = rows(&transaction.execute(text, &Object::new()).expect("explains"));
        assert!(found[0].contains("indexScan"), "{found:?}");
    }
}

#[test]
fn observers_read_through_indexes_and_follow() {
    let later = Arc::new(Later::default());
    let options = ditto_store::StoreOptions::new("a database", later.clone());
    let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
    fill(&store, 10);
    create(&store, "a, b");
    let (sender, results) = std::sync::mpsc::channel();
    let text = "SELECT _id FROM t WHERE a = 1 OR a = 3 ORDER BY a DESC LIMIT 3";
    let _observer = store
        .observe(
            text,
            Object::new(),
            Box::new(move |result, next| {
                sender.send(rows(&result)).expect("somebody listens");
                next.signal();
            }),
        )
        .expect("observes");
    for change in [
        "UPDATE t SET b = 9",
        "DELETE FROM t WHERE a = 3 AND b = 9 AND _id = 3",
        "UPDATE t SET a = 3 WHERE _id = 6",
        "DELETE FROM t",
    ] {
        later.run();
        let expected = query(&store, text);
        if let Some(last) = results.try_iter().last() {
            assert_eq!(last, expected, "before {change}");
        }
        run(&store, change);
    }
    later.run();
    assert_eq!(results.try_iter().last(), Some(Vec::new()));
}

/// Counts what is read.
#[derive(Default)]
struct Counts {
    snapshots: AtomicUsize,
    documents: AtomicUsize,
    scanned_documents: AtomicUsize,
    rows: AtomicUsize,
}

impl Counts {
    fn take(&self) -> [usize; 4] {
        [&self.snapshots, &self.documents, &self.scanned_documents, &self.rows]
            .map(|count| count.swap(0, Ordering::Relaxed))
    }
}

struct Counted {
    storage: MemoryStorage,
    counts: Arc<Counts>,
}

struct CountedSnapshot {
    snapshot: Box<dyn Snapshot>,
    counts: Arc<Counts>,
}

impl Storage for Counted {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.counts.snapshots.fetch_add(1, Ordering::Relaxed);
        Box::new(CountedSnapshot { snapshot: self.storage.snapshot(), counts: Arc::clone(&self.counts) })
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        if keyspace == Keyspace::Documents {
            self.counts.documents.fetch_add(1, Ordering::Relaxed);
        }
        self.storage.get(keyspace, key)
    }

    fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        self.storage.commit(batch)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.storage.sync()
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.storage.flush()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.storage.close()
    }

    fn compact(&self, keyspace: Keyspace, on_rows: &mut OnRows<'_>) -> Result<(), StorageError> {
        self.storage.compact(keyspace, on_rows)
    }

    fn recover(&self) -> Result<(), StorageError> {
        self.storage.recover()
    }

    fn disk_size(&self) -> Result<u64, StorageError> {
        self.storage.disk_size()
    }

    fn keyspace_size(&self, keyspace: Keyspace) -> Result<u64, StorageError> {
        self.storage.keyspace_size(keyspace)
    }

    fn place(&self) -> Result<Option<ditto_storage::Place>, StorageError> {
        self.storage.place()
    }
}

impl Snapshot for CountedSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        if keyspace == Keyspace::Documents {
            self.counts.documents.fetch_add(1, Ordering::Relaxed);
        }
        self.snapshot.get(keyspace, key)
    }

    fn range(&self, keyspace: Keyspace, range: Range<'_>, direction: Direction) -> Entries<'_> {
        let rows = self.snapshot.range(keyspace, range, direction);
        Box::new(rows.inspect(move |_| {
            let count = match keyspace {
                Keyspace::Indexes => &self.counts.rows,
                Keyspace::Documents => &self.counts.scanned_documents,
                _ => return,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }))
    }
}

#[test]
fn no_more_is_read_than_needed() {
    let counts = Arc::new(Counts::default());
    let storage = Counted { storage: MemoryStorage::new(), counts: Arc::clone(&counts) };
    let store = open_in(Arc::new(storage), 1);
    fill(&store, 1_000);
    ["m.k", "a", "b"].iter().for_each(|keys| create(&store, keys));
    // Snapshots, documents read, documents scanned, rows of indexes.
    let reads = |text: &str| {
        counts.take();
        let found = run(&store, text).rows.len();
        (found, counts.take())
    };
    assert_eq!(reads("SELECT * FROM t WHERE m.k >= 300 ORDER BY m.k LIMIT 100"), (100, [1, 100, 0, 100]));
    assert_eq!(reads("SELECT * FROM t ORDER BY m.k DESC LIMIT 100"), (100, [1, 100, 0, 101]));
    assert_eq!(reads("SELECT * FROM t WHERE m.k = 5"), (1, [1, 1, 0, 1]));
    assert_eq!(reads("SELECT m.k FROM t WHERE m.k BETWEEN 10 AND 19"), (10, [1, 0, 0, 10]));
    assert_eq!(reads("SELECT COUNT(*) AS n FROM t WHERE a = 1"), (1, [1, 0, 0, 200]));
    assert_eq!(reads("SELECT COUNT(*) AS n FROM t"), (1, [0, 0, 0, 0]));
    assert_eq!(reads("SELECT * FROM t WHERE _id = 7"), (1, [0, 1, 0, 0]));
    assert_eq!(reads("SELECT * FROM t WHERE _id > 7 AND _id <= 10"), (3, [1, 0, 3, 0]));
    assert_eq!(reads("SELECT * FROM t ORDER BY _id DESC LIMIT 5"), (5, [1, 0, 5, 0]));
    assert_eq!(reads("SELECT * FROM t WHERE m.k IN (1, 2) OR m.k = 'x'"), (2, [1, 2, 0, 2]));
    assert_eq!(reads("SELECT * FROM t WHERE m.k = 1 OR _id = 2 OR a = 'x'"), (2, [1, 2, 0, 1]));
    let both = r##"USE DIRECTIVES '{"#intersects": 2}'"##;
    assert_eq!(reads(&format!("SELECT * FROM t {both} WHERE a = 1 AND m.k < 10")), (2, [1, 2, 0, 210]));
    assert_eq!(reads("SELECT * FROM t WHERE m.k = null"), (0, [1, 0, 0, 0]));
    assert_eq!(reads("SELECT * FROM t WHERE m.k = 1 LIMIT 0"), (0, [0, 0, 0, 0]));
    assert_eq!(reads("SELECT m.k FROM t"), (1_000, [1, 0, 0, 1_000]));
    assert_eq!(reads("SELECT DISTINCT a FROM t"), (5, [1, 0, 0, 1_000]));
    assert_eq!(reads("SELECT DISTINCT a FROM t ORDER BY a LIMIT 2"), (2, [1, 0, 0, 201]));
    // The ends of an index. Each is looked for, and then read from the least `_id` on.
    assert_eq!(reads("SELECT MIN(m.k) AS l, MAX(m.k) AS h, COUNT(*) AS n FROM t"), (1, [1, 0, 0, 4]));
    assert_eq!(reads("SELECT MAX(a) AS h FROM t"), (1, [1, 0, 0, 2]));
    assert_eq!(reads("SELECT MIN(m.k) AS l FROM t WHERE m.k > 100 AND m.k < 900"), (1, [1, 0, 0, 2]));
    assert_eq!(reads("SELECT MIN(_id) AS l, MAX(_id) AS h FROM t"), (1, [1, 0, 2, 0]));
    assert_eq!(reads("SELECT MAX(_id) AS h FROM t WHERE _id < 500"), (1, [1, 0, 1, 0]));
    // What OFFSET passes over is not read, if the index alone says that it is to be counted.
    assert_eq!(reads("SELECT * FROM t ORDER BY m.k LIMIT 10 OFFSET 500"), (10, [1, 10, 0, 510]));
    assert_eq!(reads("SELECT * FROM t WHERE a = 1 LIMIT 10 OFFSET 50"), (10, [1, 10, 0, 60]));
    assert_eq!(
        reads("SELECT * FROM t WHERE m.k > 5 ORDER BY m.k DESC LIMIT 1 OFFSET 900"),
        (1, [1, 1, 0, 902])
    );
    assert_eq!(reads("SELECT * FROM t WHERE a = 1 AND c != 'c1' LIMIT 10 OFFSET 50"), (10, [1, 61, 0, 61]));
    assert_eq!(reads("UPDATE t SET c = 'x' WHERE a = 2 LIMIT 3 OFFSET 50"), (0, [1, 3, 0, 53]));
    // A float that could be an integer, and a long text: only the document tells what they are.
    let odd = format!("({{'_id': 'f', 'a': 1.0, 'm': {{'k': '{}'}}}})", "x".repeat(2_000));
    run(&store, &format!("INSERT INTO t DOCUMENTS {odd}"));
    assert_eq!(reads("SELECT COUNT(*) AS n FROM t WHERE a = 1"), (1, [1, 1, 0, 201]));
    assert_eq!(reads("SELECT * FROM t WHERE a = 1 LIMIT 10 OFFSET 200"), (1, [1, 1, 0, 201]));
    run(&store, "DELETE FROM t WHERE _id = 'f'");
    // The documents are those of the index; what is inserted is not looked up.
    assert_eq!(reads("UPDATE t SET c = 'x' WHERE m.k = 5"), (0, [1, 1, 0, 1]));
    assert_eq!(reads("INSERT INTO t DOCUMENTS ({'a': 1, 'm': {'k': 1}})"), (0, [0, 0, 0, 0]));
}

#[test]
fn more_keys_than_may_be_gathered_leave_it_to_the_documents() {
    let counts = Arc::new(Counts::default());
    let storage = Counted { storage: MemoryStorage::new(), counts: Arc::clone(&counts) };
    let store = open_in(Arc::new(storage), 1);
    fill(&store, 1_000);
    ["m.k", "a", "b, m.k"].iter().for_each(|keys| create(&store, keys));
    // Documents read, documents scanned, rows of indexes; without and with a bound that lets some ten keys be gathered.
    let reads = |text: &str, directives: &str| {
        let bounded =
            text.replace("USE {}", &format!("USE DIRECTIVES '{{\"#max_gathered\": 1000, {directives}}}'"));
        let free = text.replace("USE {}", &format!("USE DIRECTIVES '{{{directives}}}'"));
        let reads = |text: &str| {
            counts.take();
            let found = query(&store, text);
            let [_, read, scanned, rows] = counts.take();
            (found, [read, scanned, rows])
        };
        let (free, bounded) = (reads(&free), reads(&bounded));
        assert_eq!(free.0, bounded.0, "{text}");
        (free.1, bounded.1)
    };
    let none = r##""#prefer_order": false"##;
    let (free, bounded) = reads("SELECT SUM(m.k) AS s FROM t USE {} WHERE a > 3", none);
    assert_eq!((free, bounded[1]), ([200, 0, 200], 1_000), "by `_id`");
    assert!(bounded[2] < 20, "{bounded:?}");
    let (free, bounded) = reads("SELECT SUM(c) AS s FROM t USE {} WHERE a = 1 OR m.k < 200", none);
    assert_eq!((free, bounded[1]), ([360, 0, 400], 1_000), "a union by `_id`");
    assert!(bounded[2] < 20, "{bounded:?}");
    let (free, bounded) = reads("SELECT COUNT(*) AS n FROM t USE {} WHERE a = 1 OR m.k < 200", none);
    assert_eq!((free, bounded[1]), ([360, 0, 400], 1_000), "a union");
    assert!(bounded[0] < 20 && bounded[2] < 20, "{bounded:?}");
    let two = r##""#intersects": 2"##;
    let (free, bounded) = reads("SELECT * FROM t USE {} WHERE a = 3 AND m.k < 7 ORDER BY _id", two);
    assert_eq!((free, bounded[..2].to_vec()), ([1, 0, 207], vec![7, 0]), "an intersection");
    assert!(bounded[2] < 30, "what is within the bound is enough: {bounded:?}");
    let (free, bounded) = reads("SELECT * FROM t USE {} WHERE a = 3 AND m.k > 7 ORDER BY _id", two);
    assert_eq!(
        (free, bounded[..2].to_vec()),
        ([199, 0, 1_192], vec![0, 1_000]),
        "an intersection of too many"
    );
    // Documents that are equal in ORDER BY come by `_id`: those of one value of `b` in several rounds.
    let (free, bounded) = reads("SELECT * FROM t USE {} ORDER BY b LIMIT 20", none);
    assert_eq!(free, [20, 0, 335], "all rows of one value and the next one");
    assert!(bounded[0] == 20 && bounded[1] == 0 && bounded[2] > 600, "{bounded:?}");
}

#[test]
fn an_index_is_left_for_the_documents_when_its_rows_do_not_spare_them() {
    let counts = Arc::new(Counts::default());
    let storage = Counted { storage: MemoryStorage::new(), counts: Arc::clone(&counts) };
    let store = open_in(Arc::new(storage), 1);
    // Every other document has a float that could be an integer, then all have.
    let documents: Vec<String> = (0..2_000)
        .map(|n| {
            let whole = n % 50;
            let a = if whole < 25 && n % 2 == 0 { format!("{whole}") } else { format!("{whole}.0") };
            format!(r#"{{"_id": {n}, "a": {a}, "b": {}}}"#, n % 3)
        })
        .collect();
    run_with(&store, "INSERT INTO t DOCUMENTS (:d)", &format!(r#"{{"d": [{}]}}"#, documents.join(",")));
    ["a", "b", "a DESC, b"].iter().for_each(|keys| create(&store, keys));
    let reads = |text: &str| {
        counts.take();
        let found = query(&store, text);
        let [_, read, scanned, rows] = counts.take();
        (found, [read, scanned, rows])
    };
    let sorted = |mut rows: Vec<String>| {
        rows.sort_unstable();
        rows
    };
    for text in [
        "SELECT a FROM t {}",
        "SELECT _id, a FROM t {}",
        "SELECT DISTINCT a FROM t {}",
        "SELECT DISTINCT b, a FROM t {}",
        "SELECT a, COUNT(*) AS n, SUM(a) AS s FROM t {} GROUP BY a",
        "SELECT COUNT(a) AS n FROM t {}",
        "SELECT COUNT(*) AS n FROM t {} WHERE a + 1 > 3",
        "SELECT a, b FROM t {} LIMIT 900 OFFSET 1300",
    ] {
        let (found, [read, scanned, rows]) = reads(&text.replace("{}", ""));
        let (expected, [_, all, none]) = reads(&text.replace("{}", "USE INDEX ''"));
        assert_eq!((all, none), (2_000, 0), "{text}");
        assert_eq!(scanned, 2_000, "{text} is left to the documents");
        assert!(read < 1_100 && rows < 1_600, "{text} reads {read} documents for {rows} rows");
        if !text.contains("LIMIT") {
            assert_eq!(sorted(found), sorted(expected), "{text}");
        } else {
            assert_eq!(found.len(), expected.len(), "{text}");
        }
    }
    assert_eq!(reads("SELECT b FROM t").1, [0, 0, 2_000]);
    // A transaction goes on with the documents as it sees them.
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    let inside = |text: &str| rows(&transaction.execute(text, &Object::new()).expect("runs"));
    inside("UPDATE t SET a = 3.0 WHERE _id > 1900");
    inside("DELETE FROM t WHERE _id < 100");
    for text in ["SELECT _id, a FROM t {}", "SELECT a, COUNT(*) AS n FROM t {} GROUP BY a"] {
        let (found, expected) =
            (inside(&text.replace("{}", "")), inside(&text.replace("{}", "USE INDEX ''")));
        assert_eq!(sorted(found), sorted(expected), "{text}");
    }
}

#[test]
fn a_statement_that_is_run_again_follows_the_indexes_and_the_parameters() {
    let counts = Arc::new(Counts::default());
    let storage = Counted { storage: MemoryStorage::new(), counts: Arc::clone(&counts) };
    let store = open_in(Arc::new(storage), 1);
    let text = "SELECT _id FROM t WHERE m.k = 5";
    let ask = |execute: &dyn Fn(&str) -> ditto_store::QueryResult| {
        counts.take();
        let found = rows(&execute(text));
        let [_, read, scanned, _] = counts.take();
        (found.len(), read, scanned)
    };
    let newest = || ask(&|text| run(&store, text));
    assert_eq!(newest(), (0, 0, 0), "there is no such collection");
    {
        let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
        let inside = |text: &str| transaction.execute(text, &Object::new()).expect("runs");
        inside("INSERT INTO t DOCUMENTS ({'_id': 1, 'm': {'k': 5}})");
        assert_eq!(ask(&inside).0, 1, "the transaction made the collection");
        transaction.rollback();
    }
    assert_eq!(newest(), (0, 0, 0), "it never came to be");
    fill(&store, 100);
    assert_eq!(newest(), (1, 0, 100));
    let before = store.begin(TransactionKind::ReadOnly).expect("begins");
    create(&store, "m.k");
    let after = store.begin(TransactionKind::ReadOnly).expect("begins");
    let snapshot = |transaction: &ditto_store::Transaction| {
        ask(&|text| transaction.execute(text, &Object::new()).expect("reads"))
    };
    for _ in 0..2 {
        assert_eq!(newest(), (1, 0, 0));
        assert_eq!(snapshot(&before), (1, 0, 100), "the index is younger");
        assert_eq!(snapshot(&after), (1, 0, 0));
    }
    run(&store, r##"ALTER SYSTEM SET DQL_DEFAULT_DIRECTIVES = {"#disable_index_scan": true}"##);
    assert_eq!(newest(), (1, 0, 100));
    run(&store, "ALTER SYSTEM RESET DQL_DEFAULT_DIRECTIVES");
    assert_eq!(newest(), (1, 0, 0));
    run(&store, "ALTER SYSTEM SET DQL_STRICT_MODE = true");
    assert_eq!(newest(), (0, 0, 100), "members of undeclared objects are not seen");
    run(&store, "ALTER SYSTEM RESET ALL");
    assert_eq!(newest(), (1, 0, 0));
    run(&store, "DROP INDEX `m.k` ON t");
    assert_eq!(newest(), (1, 0, 100));
    run(&store, "CREATE INDEX `m.k` ON t (a)");
    assert_eq!(newest(), (1, 0, 100), "another index of that name");
    create(&store, "m.k DESC");
    assert_eq!(newest(), (1, 0, 0));
}

#[test]
fn the_first_read_of_an_observer_ends_where_its_reserve_does() {
    let counts = Arc::new(Counts::default());
    let storage = Counted { storage: MemoryStorage::new(), counts: Arc::clone(&counts) };
    let later = Arc::new(Later::default());
    let options = ditto_store::StoreOptions::new("a database", later.clone());
    let store = Store::open(Arc::new(storage), TestEnvironment::new(1), options).expect("opens");
    fill(&store, 1_000);
    create(&store, "m.k");
    let (sender, results) = std::sync::mpsc::channel();
    let text = "SELECT _id FROM t WHERE m.k > 10 ORDER BY m.k DESC LIMIT 3";
    let show = move |result: ditto_store::QueryResult, next: ditto_store::SignalNext| {
        sender.send(rows(&result)).expect("somebody listens");
        next.signal();
    };
    let _observer = store.observe(text, Object::new(), Box::new(show)).expect("observes");
    counts.take();
    later.run();
    assert_eq!(results.try_iter().last(), Some(query(&store, text)));
    let [_, read, scanned, _] = counts.take();
    assert!(read < 200 && scanned == 0, "{read} documents read, {scanned} scanned");
    for change in 0..200 {
        run(&store, &format!("DELETE FROM t WHERE m.k = {}", 999 - change));
        later.run();
        assert_eq!(results.try_iter().last(), Some(query(&store, text)), "after {change} changes");
    }
}

#[test]
fn an_observer_of_the_list_of_indexes_sees_them_come_and_go() {
    let later = Arc::new(Later::default());
    let options = ditto_store::StoreOptions::new("a database", later.clone());
    let store = Store::open(Arc::new(MemoryStorage::new()), TestEnvironment::new(1), options).expect("opens");
    let (sender, results) = std::sync::mpsc::channel();
    let show = move |result: ditto_store::QueryResult, next: ditto_store::SignalNext| {
        sender.send(rows(&result)).expect("somebody listens");
        next.signal();
    };
    let text = "SELECT _id, state FROM system:indexes";
    let _observer = store.observe(text, Object::new(), Box::new(show)).expect("observes");
    later.run();
    assert_eq!(results.try_iter().last(), Some(Vec::new()));
    create(&store, "a");
    later.run();
    assert_eq!(results.try_iter().last(), Some(vec![r#"{"_id":"t.a","state":"ready"}"#.to_owned()]));
    run(&store, "DROP INDEX a ON t");
    later.run();
    assert_eq!(results.try_iter().last(), Some(Vec::new()));
}
