//! Statements.

use ditto_dql::{Statement, parse, subscription};
use ditto_store::{QueryResult, StoreError};
use ditto_value::{Object, Value};

use crate::database;

/// Longer ones take longer and find nothing else.
const MAX_TEXT: usize = 2_000;

/// A statement, as a statement and as a subscription.
pub fn dql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > MAX_TEXT {
        return;
    }
    let list = Value::Array(vec![Value::from(1), Value::from("b"), Object::from([("a", 1)]).into()]);
    let arguments = Object::from([("a", list), ("b", Value::from(2)), ("c", Value::from("fern"))]);
    if let Ok(query) = subscription(text, &arguments) {
        let again = subscription(&query.normalized, &arguments).expect("the normal form is a subscription");
        assert_eq!(again.normalized, query.normalized, "the normal form of a normal form is another");
    }
    let Ok(statement) = parse(text) else { return };
    reads_back(&statement);
    let store = database::database(2);
    match store.execute(text, &arguments) {
        Err(StoreError::Storage(error)) => panic!("memory fails: {error}"),
        Err(StoreError::Corrupt { what }) => panic!("{what}"),
        Err(error) => drop(error.to_string()),
        Ok(result) => {
            for row in &result.rows {
                let _ = row.value().to_json();
            }
            database::assert_consistent(&store);
            // What a statement leaves behind can be read and written.
            if has_one_answer(&statement) {
                let plain = database::database_without_indexes(2);
                let expected = plain.execute(text, &arguments).expect("as with indexes");
                assert_eq!(sorted(&result), sorted(&expected), "an index changes the result");
            }
            let select = store.execute("SELECT * FROM plants ORDER BY _id DESC LIMIT 100", &Object::new());
            assert!(select.is_ok(), "{:?}", select.err());
        }
    }
}

/// Whether the rows, but for their order, follow from the documents: no choice of some rows, no sums of floats in the
/// order of reading, nothing of the store itself.
fn has_one_answer(statement: &Statement) -> bool {
    let Statement::Select(select) = statement else { return false };
    let mut timeless = true;
    statement.for_each_expression(&mut |expression| {
        let text = expression.to_string();
        timeless &= !text.contains("clock(") && !text.contains("request_info(");
    });
    let named = select.source.collection.to_string();
    timeless
        && select.limit.is_none()
        && select.offset.is_none()
        && select.grouping.is_none()
        && !named.starts_with("system:")
}

fn sorted(result: &QueryResult) -> Vec<String> {
    let mut rows: Vec<String> = result.rows.iter().map(|row| row.value().to_json()).collect();
    rows.sort();
    rows
}

fn reads_back(statement: &Statement) {
    let mut texts = Vec::new();
    statement.for_each_expression(&mut |expression| texts.push(expression.to_string()));
    for text in texts {
        // Aggregates and names of groups stand only where their statement lets them.
        let Ok(Statement::Select(select)) = parse(&format!("SELECT * FROM plants WHERE {text}")) else {
            continue;
        };
        let again = select.filter.map(|filter| filter.to_string());
        assert_eq!(again.as_deref(), Some(text.as_str()), "an expression does not read back");
    }
}
