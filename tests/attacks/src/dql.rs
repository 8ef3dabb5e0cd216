//! Statements.

use ditto_dql::{Statement, parse, subscription};
use ditto_store::StoreError;
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
            let select = store.execute("SELECT * FROM plants ORDER BY _id DESC LIMIT 100", &Object::new());
            assert!(select.is_ok(), "{:?}", select.err());
        }
    }
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
