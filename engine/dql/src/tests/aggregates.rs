use ditto_value::{Object, Value, ValueRef};

use super::{PLANTS, select, value};
use crate::{Context, Groups};

/// Runs a grouping SELECT over documents; rows as JSON, in the order of ORDER BY or else of the keys.
fn run_over(documents: &[&str], text: &str) -> Vec<String> {
    let select = select(text);
    let given = Object::new();
    let context = Context::new(&given, 0);
    let grouping = select.grouping.as_ref().expect("the statement groups");
    let stored: Vec<Vec<u8>> = documents.iter().map(|json| value(json).encode()).collect();
    let mut groups = Groups::new(grouping);
    for bytes in &stored {
        let row = context.with_document(ValueRef::from_stored(bytes));
        if select.filter.as_ref().is_none_or(|filter| filter.accepts(&row)) {
            groups.accept(&row);
        }
    }
    let groups = groups.finish();
    let mut rows = Vec::new();
    for group in &groups {
        let context = context.with_group(group.values());
        if select.having.as_ref().is_none_or(|having| having.accepts(&context)) {
            rows.push(Value::Object(select.projection.row(&context, &["plants"])).to_json());
        }
    }
    rows
}

fn run(text: &str) -> Vec<String> {
    run_over(&PLANTS, text)
}

#[test]
fn aggregates_skip_what_does_not_count() {
    assert_eq!(
        run("SELECT COUNT(*) AS n, COUNT(retired) AS r, SUM(height) AS h FROM plants"),
        [r#"{"h":51.5,"n":4,"r":1}"#]
    );
    assert_eq!(
        run(
            "SELECT AVG(height) AS a, MIN(height) AS i, MAX(height) AS x, MEDIAN(height) AS m, MID(height) AS d FROM plants"
        ),
        [r#"{"a":17.166666666666668,"d":19.75,"i":9.5,"m":12,"x":30}"#]
    );
    assert_eq!(
        run("SELECT COUNT(DISTINCT bed) AS n, MIN(name) AS i, MAX(tags) AS x, SUM(name) AS s FROM plants"),
        [r#"{"i":"Basil","n":2,"x":["herb","sun"]}"#]
    );
}

#[test]
fn without_rows_there_is_one_group_unless_there_are_keys() {
    assert_eq!(run("SELECT SUM(height) FROM plants WHERE false"), ["{}"]);
    assert_eq!(
        run("SELECT COUNT(*), ifmissing(SUM(height), 0) FROM plants WHERE false"),
        [r#"{"($1)":0,"($2)":0}"#]
    );
    assert!(run("SELECT bed, COUNT(*) FROM plants WHERE false GROUP BY bed").is_empty());
}

#[test]
fn groups_have_keys_conditions_and_missing_members() {
    assert_eq!(
        run(
            "SELECT bed, COUNT(*) AS n, ifmissing(AVG(height), 0) AS mean FROM plants WHERE coalesce(retired, false) = false GROUP BY bed HAVING COUNT(*) >= 1 ORDER BY n DESC, bed"
        ),
        [r#"{"bed":"A","mean":10.75,"n":2}"#, r#"{"bed":"B","mean":0,"n":1}"#]
    );
    assert_eq!(
        run("SELECT retired, COUNT(*) AS n FROM plants p GROUP BY p.retired"),
        [
            r#"{"n":1}"#,
            r#"{"n":1,"retired":false}"#,
            r#"{"n":1,"retired":true}"#,
            r#"{"n":1,"retired":null}"#
        ]
    );
    assert_eq!(
        run("SELECT care.light AS l, COUNT(*) AS n FROM plants GROUP BY care HAVING care.light > 5"),
        [r#"{"l":6,"n":1}"#]
    );
    assert_eq!(
        run("SELECT upper(bed) AS b, COUNT(*) + 1 AS n FROM plants GROUP BY upper(bed)"),
        [r#"{"b":"A","n":3}"#, r#"{"b":"B","n":3}"#]
    );
}

#[test]
fn equal_numbers_are_one_group() {
    let rows =
        run_over(&[r#"{"x":1}"#, r#"{"x":1.0}"#, r#"{"x":2}"#], "SELECT COUNT(*) AS n FROM t GROUP BY x");
    assert_eq!(rows, [r#"{"n":2}"#, r#"{"n":1}"#]);
}

#[test]
fn sums_of_integers_stay_integers_until_they_overflow() {
    let documents = [r#"{"x":9223372036854775807}"#, r#"{"x":9223372036854775807}"#];
    assert_eq!(
        run_over(&documents, "SELECT SUM(x) AS s, MID(x) AS m FROM t"),
        [r#"{"m":9.223372036854776e18,"s":18446744073709551614}"#]
    );
    let documents = [documents[0]; 3];
    assert_eq!(run_over(&documents, "SELECT type(SUM(x)) AS s FROM t"), [r#"{"s":"float"}"#]);
}

#[test]
fn aggregates_in_order_by_group_too() {
    let select = select("SELECT bed FROM plants GROUP BY bed ORDER BY COUNT(*) DESC, MIN(height)");
    assert_eq!(select.grouping.unwrap().aggregates.len(), 2);
}
