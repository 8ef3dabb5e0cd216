//! Nothing that a stranger writes may panic, overflow the stack, or take unbounded memory.

use ditto_value::{Object, ValueRef};
use proptest::prelude::*;

use super::{PLANTS, arguments, over, value};
use crate::limits::{MAX_EXPRESSION_DEPTH, MAX_STATEMENT_BYTES};
use crate::{Context, ErrorKind, Projection, ProjectionItem, Statement, parse, subscription};

/// Evaluates whatever a statement holds.
fn exercise(text: &str) {
    let _ = subscription(text, &Object::new());
    let Ok(statement) = parse(text) else { return };
    let given = arguments(r#"{"a": [1, {"b": "x"}]}"#);
    let bytes = value(PLANTS[0]).encode();
    let context = Context::new(&given, 0).with_document(ValueRef::from_stored(&bytes));
    statement.for_each_expression(&mut |expr| {
        let _ = expr.evaluate(&context);
        let _ = expr.to_string();
        let _ = expr.predicate();
    });
    let _ = statement.parameters();
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "SELECT", "FROM", "WHERE", "plants", "height", "tags", "AND", "OR", "NOT", "XOR", "IN", "IS", "NULL", "MISSING",
            "TRUE", "BETWEEN", "LIKE", "ILIKE", "SIMILAR", "TO", "ESCAPE", "CASE", "WHEN", "THEN", "ELSE", "END", "ANY",
            "EVERY", "SATISFIES", "ARRAY", "OBJECT", "FOR", "WITHIN", "CAST", "TRIM", "BOTH", "GROUP", "BY", "HAVING",
            "ORDER", "LIMIT", "OFFSET", "DISTINCT", "AS", "COUNT", "SUM", "INSERT", "INTO", "VALUES", "UPDATE", "SET",
            "UNSET", "APPLY", "INCREMENT", "DELETE", "EVICT", "RETURNING", "ON", "ID", "CONFLICT", "DO", "COLLECTION",
            "MAP", "USE", "IDS", "INDEX", "EXPLAIN", "SHOW", "ALL", "CREATE", "DROP", "regexp_like", "date_add", "repeat",
        ]).prop_map(str::to_owned),
        4 => prop::sample::select(vec![
            "(", ")", "[", "]", "{", "}", ",", ".", ":", ";", "*", "+", "-", "/", "%", "=", "!=", "<", ">=", "||", "<<", "->",
            ":a", "'x'", "\"%\"", "'\\u00e9'", "`q`", "1", "0x1f", "1e3", "2.5", "--+ {}\n", "/*+ {\"#a\":1} */", "-- c\n",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn token_soup_never_panics(tokens in prop::collection::vec(token(), 0..24)) {
        exercise(&tokens.join(" "));
    }

    #[test]
    fn expression_soup_never_panics(tokens in prop::collection::vec(token(), 0..12)) {
        exercise(&format!("SELECT * FROM plants WHERE {}", tokens.join(" ")));
        exercise(&format!("SELECT {} FROM plants", tokens.join("")));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        exercise(&String::from_utf8_lossy(&bytes));
        exercise(&format!("SELECT * FROM plants WHERE {}", String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn hostile_documents_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let given = Object::new();
        let context = Context::new(&given, 0).with_document(ValueRef::from_stored(&bytes));
        let Ok(Statement::Select(select)) = parse(
            "SELECT p.*, ARRAY v FOR k:v WITHIN p END, height + 1, name || 'x', tags[0], p = p, date_add(a, 'day', 1), \
             object_keys(p), cast(a AS string), a LIKE '%x', array_contains(tags, 1), serialize_json(p) FROM plants p",
        ) else { panic!() };
        select.projection.row(&context, &["p"]);
    }
}

/// Runs `act` with the stack that Rust and tokio give to threads.
fn on_usual_stack(act: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(act).unwrap().join().unwrap();
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    on_usual_stack(|| {
        const MANY: usize = 100_000;
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{'a': ", "}"),
            ("- ", ""),
            ("+", ""),
            ("NOT ", ""),
            ("upper(", ")"),
            ("CASE WHEN ", " THEN 1 END"),
            ("ARRAY ", " FOR a IN b END"),
            ("ANY x IN ", " SATISFIES true END"),
            ("a IN (", ")"),
            ("a[", "]"),
            ("x OR (y AND ", ")"),
            ("cast(", " AS string)"),
            ("TRIM(BOTH ", " FROM x)"),
            ("a = ", ""),
            ("a + ", ""),
            ("a || ", ""),
            ("1 * ", ""),
            ("a XOR ", ""),
            ("a BETWEEN 1 AND ", ""),
            ("a LIKE ", ""),
        ] {
            let text = format!("SELECT * FROM plants WHERE {}1{}", open.repeat(MANY), close.repeat(MANY));
            let error = parse(&text).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Limit, "{open}: {error}");
        }
        let text = format!("SELECT * FROM plants WHERE x{}", "[0].a IS NULL".repeat(MANY));
        assert_eq!(parse(&text).unwrap_err().kind, ErrorKind::Syntax);
        let text = format!("SELECT * FROM plants WHERE x{}", " IS NULL".repeat(MANY));
        assert_eq!(parse(&text).unwrap_err().kind, ErrorKind::Limit);
        let text = format!("SELECT * FROM COLLECTION a {}b MAP{}", "(b MAP".repeat(MANY), ")".repeat(MANY));
        assert_eq!(parse(&text).unwrap_err().kind, ErrorKind::Limit);
        let text = format!("UPDATE a SET {}b = 1{}", "b -> (".repeat(MANY), ")".repeat(MANY));
        assert_eq!(parse(&text).unwrap_err().kind, ErrorKind::Limit);
        let text = format!("{} SELECT * FROM a", "EXPLAIN ADVISE ".repeat(MANY));
        assert_eq!(parse(&text).unwrap_err().kind, ErrorKind::Limit);
    });
}

#[test]
fn the_deepest_expressions_evaluate_on_a_usual_stack() {
    on_usual_stack(|| {
        for (open, close) in [("(", ")"), ("- ", ""), ("[", "]"), ("upper(", ")"), ("NOT ", "")] {
            let deepest = (1..=MAX_EXPRESSION_DEPTH)
                .rev()
                .map(|depth| format!("{}name{}", open.repeat(depth), close.repeat(depth)))
                .find(|expr| parse(&format!("SELECT * FROM plants WHERE {expr}")).is_ok());
            let deepest = deepest.expect("some depth is allowed");
            assert!(deepest.len() > MAX_EXPRESSION_DEPTH / 3 * open.len(), "{deepest}");
            exercise(&format!("SELECT * FROM plants WHERE {deepest}"));
            // An alias in ORDER BY stands for its expression, so trees can be twice as high.
            let sorted = deepest.replace("name", "a");
            exercise(&format!("SELECT {deepest} AS a FROM plants ORDER BY {sorted}"));
        }
    });
}

#[test]
fn long_chains_of_conditions_are_flat() {
    let conditions = vec!["a = 1"; 20_000];
    for joint in [" AND ", " OR "] {
        exercise(&format!("SELECT * FROM plants WHERE {}", conditions.join(joint)));
        assert!(parse(&format!("SELECT * FROM plants WHERE {}", conditions.join(joint))).is_ok());
    }
    let list = vec!["1"; 20_000].join(",");
    assert!(parse(&format!("SELECT * FROM plants WHERE a IN ({list})")).is_ok());
}

#[test]
fn statements_have_a_greatest_length() {
    let text = format!("SELECT * FROM plants{}", " ".repeat(MAX_STATEMENT_BYTES));
    assert_eq!(parse(&text).unwrap_err().kind, ErrorKind::Limit);
    let text =
        format!("SELECT * FROM plants WHERE a = '{}'", "x".repeat(crate::limits::MAX_SUBSCRIPTION_BYTES));
    assert!(parse(&text).is_ok());
    assert_eq!(subscription(&text, &Object::new()).unwrap_err().kind, ErrorKind::Limit);
}

#[test]
fn results_beyond_their_bounds_are_missing() {
    let given = Object::new();
    for expr in [
        "repeat('0123456789', 10000000)",
        "repeat(repeat('0123456789', 100000), 100)",
        "lpad('x', 1000000000)",
        "char_length(repeat('0123456789', 1600000) || repeat('0123456789', 1600000))",
        "ARRAY repeat('0123456789', 100000) FOR i IN split(repeat('x', 100), '') END",
        "array_length(split(repeat('x', 10000000), ''))",
        "array_length([{A}])",
        "coalesce({A}, 1) IS NULL",
        "object_length({'a': [{A}], 'b': [{A}]})",
        "date_format(0, repeat('%200Y', 1000))",
        "regexp_like(name, repeat('a', 10000))",
        "name LIKE repeat('a%', 10000)",
        "regexp_like(name, 'a{1000}{' || '1000}')",
    ] {
        let expr = expr.replace("{A}", &vec!["repeat('0123456789', 1000000)"; 20].join(", "));
        let expected = if expr.starts_with("coalesce") { "false" } else { "MISSING" };
        assert_eq!(over(PLANTS[0], &given, &expr), expected, "{expr}");
    }
}

#[test]
fn nested_loops_end() {
    let list = format!("[{}]", vec!["1"; 3000].join(","));
    let given = arguments(&format!("{{\"l\": {list}}}"));
    let expr = "ANY a IN :l, b IN :l, c IN :l, d IN :l SATISFIES a + b + c + d = 0 END";
    assert_eq!(over("{}", &given, expr), "MISSING");
}

#[test]
fn a_projection_item_keeps_its_text() {
    let Ok(Statement::Select(select)) = parse("SELECT 1 + height FROM plants") else { panic!() };
    let Projection::Items(items) = select.projection else { panic!() };
    assert!(
        matches!(&items[..], [ProjectionItem::Value { expr, name, .. }] if expr.to_string() == "1 + height" && name == "($1)")
    );
}
