//! The language as the specification's tables state it, over the sample documents of its section 0.7.

mod aggregates;
mod dates;
mod documented;
mod errors;
mod functions;
mod hostile;
mod logic;
mod operators;
mod predicates;
mod round_trip;
mod statements;
mod subscriptions;
mod where_table;

use ditto_value::{Object, Value, ValueRef};

use crate::{Context, Expr, Projection, ProjectionItem, Select, Statement, parse};

/// Noon of 2031-05-14, UTC.
const NOW: i64 = 1_936_526_400_000;

const PLANTS: [&str; 4] = [
    r#"{"_id":"p1","name":"Basil","bed":"A","height":12,"tags":["herb","sun"],"care":{"water":"daily","light":6}}"#,
    r#"{"_id":"p2","name":"Mint","bed":"A","height":9.5,"tags":["herb"],"retired":null}"#,
    r#"{"_id":"p3","name":"Fern","bed":"B","height":30,"retired":true}"#,
    r#"{"_id":"p4","name":"Moss","bed":"B","retired":false}"#,
];

fn value(json: &str) -> Value {
    Value::from_json(json).unwrap()
}

fn select(text: &str) -> Select {
    match parse(text) {
        Ok(Statement::Select(select)) => select,
        other => panic!("{text}: {other:?}"),
    }
}

fn filter(condition: &str) -> Expr {
    select(&format!("SELECT * FROM plants WHERE {condition}")).filter.unwrap()
}

fn arguments(json: &str) -> Object {
    value(json).as_object().unwrap().clone()
}

/// The value of an expression over a document, as JSON, or the word MISSING.
fn over(document: &str, arguments: &Object, expr: &str) -> String {
    let select = select(&format!("SELECT {expr} FROM plants"));
    let Projection::Items(items) = &select.projection else { panic!("{expr}") };
    let [ProjectionItem::Value { expr, .. }] = items.as_slice() else { panic!("{expr}") };
    let bytes = value(document).encode();
    let document = ValueRef::from_stored(&bytes);
    let context = Context::new(arguments, NOW).with_document(document);
    let found = expr.evaluate(&context).into_value();
    let encoded = Value::from(arguments.clone()).encode();
    let context = Context::new(ValueRef::from_stored(&encoded), NOW).with_document(document);
    assert_eq!(expr.evaluate(&context).into_value(), found, "arguments in the binary form");
    match found {
        Some(value) => value.to_json(),
        None => "MISSING".to_owned(),
    }
}

/// The value of an expression over the first plant.
fn eval(expr: &str) -> String {
    over(PLANTS[0], &Object::new(), expr)
}

/// Checks expressions against their values.
#[track_caller]
fn table(cases: &[(&str, &str)]) {
    for (expr, expected) in cases {
        assert_eq!(eval(expr), *expected, "{expr}");
    }
}

/// The `_id`s of the plants that a condition keeps, for example `p1 p3`.
fn kept(condition: &str, arguments: &Object) -> String {
    let filter = filter(condition);
    let mut ids = Vec::new();
    for json in PLANTS {
        let bytes = value(json).encode();
        let document = ValueRef::from_stored(&bytes);
        let context = Context::new(arguments, NOW).with_document(document);
        let accepted = filter.accepts(&context);
        assert_eq!(accepted, filter.evaluate(&context).as_bool() == Some(true), "{condition}");
        let encoded = Value::from(arguments.clone()).encode();
        let context = Context::new(ValueRef::from_stored(&encoded), NOW).with_document(document);
        assert_eq!(accepted, filter.accepts(&context), "{condition}, arguments in the binary form");
        if accepted {
            ids.push(document.get("_id").unwrap().as_str().unwrap().to_owned());
        }
    }
    ids.join(" ")
}
