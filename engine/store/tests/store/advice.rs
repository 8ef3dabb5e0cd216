//! ADVISE suggests the indexes that the planner would prefer, and creates them when told to.

use ditto_store::TransactionKind;
use ditto_value::{Object, Value};

use crate::support::{failure, open, query, run};

fn store(indexes: &[&str]) -> ditto_store::Store {
    let store = open(1);
    run(&store, "INSERT INTO t DOCUMENTS ({'_id': 1, 'a': 1, 'b': 2, 'm': {'k': 3}})");
    indexes.iter().for_each(|keys| drop(run(&store, &format!("CREATE INDEX `{keys}` ON t ({keys})"))));
    store
}

fn advice(store: &ditto_store::Store, text: &str) -> Value {
    let row = run(store, text).rows.remove(0).value().to_value();
    row.get("advice").unwrap_or_else(|| panic!("{text}: {}", row.to_json())).clone()
}

fn texts(advice: &Value, list: &str, member: &str) -> Vec<String> {
    let elements =
        advice.get(list).and_then(Value::as_array).unwrap_or_else(|| panic!("no {list}: {advice:?}"));
    let text = |element: &Value| element.get(member).and_then(Value::as_str).expect(member).to_owned();
    elements.iter().map(text).collect()
}

fn outcome(advice: &Value) -> &str {
    advice.get("outcome").and_then(Value::as_str).expect("an outcome")
}

#[test]
fn what_the_planner_would_prefer_is_suggested() {
    let with = |indexes: &[&str], text: &str| {
        let advice = advice(&store(indexes), &format!("ADVISE {text}"));
        assert_eq!(advice.get("statement").and_then(Value::as_str), Some(text));
        let suggested = texts(&advice, "suggestedIndexes", "statement");
        assert_eq!(outcome(&advice) == "suggestions are made", !suggested.is_empty(), "{text}: {advice:?}");
        suggested
    };
    let none: [&str; 0] = [];
    for (indexes, text, expected) in [
        (&none[..], "SELECT * FROM t WHERE a = 1", &["CREATE INDEX adv_t_a ON default:t (a)"][..]),
        (&none, "SELECT * FROM t x WHERE x.m.k > 1", &["CREATE INDEX adv_t_m_k ON default:t (m.k)"]),
        (
            &none,
            "SELECT * FROM t WHERE b > 1 AND a IN (1, 2) ORDER BY c",
            &["CREATE INDEX adv_t_a_b ON default:t (a, b)"],
        ),
        (
            &none,
            "SELECT * FROM t WHERE a = 1 ORDER BY b DESC, c LIMIT 3",
            &["CREATE INDEX adv_t_a_b_desc_c ON default:t (a, b DESC, c)"],
        ),
        (&none, "SELECT * FROM t ORDER BY `a b` LIMIT 3", &["CREATE INDEX `adv_t_a b` ON default:t (`a b`)"]),
        (
            &none,
            "SELECT * FROM t WHERE a = 1 OR b < 2",
            &["CREATE INDEX adv_t_a ON default:t (a)", "CREATE INDEX adv_t_b ON default:t (b)"],
        ),
        (&["a"], "SELECT * FROM t WHERE a = 1 OR b < 2", &["CREATE INDEX adv_t_b ON default:t (b)"]),
        (
            &["a", "b"],
            "SELECT * FROM t WHERE a = 1 AND b = 2",
            &["CREATE INDEX adv_t_a_b ON default:t (a, b)"],
        ),
        (&none, "SELECT MAX(a) AS h FROM t WHERE b = 1", &["CREATE INDEX adv_t_b_a ON default:t (b, a)"]),
        (&none, "UPDATE t SET c = 1 WHERE a = :a", &["CREATE INDEX adv_t_a ON default:t (a)"]),
        (&none, "DELETE FROM t WHERE a = 1", &["CREATE INDEX adv_t_a ON default:t (a)"]),
        (&none, "EVICT FROM t WHERE a = 1", &["CREATE INDEX adv_t_a ON default:t (a)"]),
        (&none, "INSERT INTO u SELECT * FROM t WHERE a = 1", &["CREATE INDEX adv_t_a ON default:t (a)"]),
        (&none, "SELECT * FROM nowhere WHERE a = 1", &["CREATE INDEX adv_nowhere_a ON default:nowhere (a)"]),
        // What the statement says of indexes is not what is asked.
        (&["a"], "SELECT * FROM t USE INDEX '' WHERE b = 1", &["CREATE INDEX adv_t_b ON default:t (b)"]),
        (&["a"], "SELECT * FROM t WHERE a = 1", &[]),
        (&none, "SELECT * FROM t", &[]),
        (&none, "SELECT * FROM t ORDER BY a", &[]),
        (&none, "SELECT * FROM t WHERE lower(a) = 'x'", &[]),
        (&none, "SELECT * FROM t WHERE _id = 1 AND a = 1", &[]),
        (&none, "SELECT COUNT(*) AS n FROM t", &[]),
        (&none, "SELECT * FROM COLLECTION t (a COUNTER) WHERE a = 1", &[]),
        (&none, "SELECT * FROM system:indexes WHERE a = 1", &[]),
    ] {
        assert_eq!(with(indexes, text), expected, "{text} with {indexes:?}");
    }
}

#[test]
fn the_outcome_and_the_present_index_are_told() {
    let store = store(&["a", "b"]);
    for (text, expected, existing) in [
        ("SELECT * FROM t WHERE a = 1", "an optimal index exists", &["a"][..]),
        ("SELECT * FROM t WHERE a = 1 OR b = 2", "an optimal index exists", &["a", "b"]),
        ("SELECT * FROM t WHERE a = 1 AND c = 2", "suggestions are made", &["a"]),
        ("SELECT * FROM t WHERE _id = 1", "nothing to advise: no index is needed", &[]),
        ("SELECT * FROM t", "no usable keys: no index can serve the statement", &[]),
        ("SELECT * FROM t ORDER BY c", "nothing to advise: no index would be used", &[]),
    ] {
        let advice = advice(&store, &format!("advise {text}"));
        assert_eq!(outcome(&advice), expected, "{text}");
        assert_eq!(texts(&advice, "existingIndexes", "index"), existing, "{text}");
        assert!(advice.get("createdIndexes").is_none(), "{text}");
    }
    let advice =
        advice(&store, "ADVISE SELECT * FROM t WHERE c = 1 AND b > 2 AND a = 3 ORDER BY m.k LIMIT 1");
    assert_eq!(texts(&advice, "suggestedIndexes", "collection"), ["default:t"]);
    assert_eq!(
        texts(&advice, "suggestedIndexes", "reason"),
        [
            "a condition leaves single values of c; a condition leaves single values of a; a condition limits b"
        ]
    );
    run(&store, "ALTER SYSTEM SET DQL_STRICT_MODE = true");
    assert!(outcome(&self::advice(&store, "ADVISE SELECT * FROM t WHERE c = 1")).contains("strict"));
}

#[test]
fn provision_creates_what_is_suggested_and_then_nothing_is_left_to_advise() {
    let store = store(&["a"]);
    let text = "ADVISE AND PROVISION SELECT * FROM t WHERE a = 1 AND b > :least OR `c d` = 3";
    let provided = advice(&store, text);
    let created = texts(&provided, "createdIndexes", "statement");
    assert_eq!(created, texts(&provided, "suggestedIndexes", "statement"));
    assert_eq!(
        created,
        ["CREATE INDEX adv_t_a_b ON default:t (a, b)", "CREATE INDEX `adv_t_c d` ON default:t (`c d`)"]
    );
    assert_eq!(texts(&provided, "failedIndexes", "error"), Vec::<String>::new());
    assert_eq!(
        query(&store, "SELECT _id FROM system:indexes ORDER BY _id"),
        [r#"{"_id":"t.a"}"#, r#"{"_id":"t.adv_t_a_b"}"#, r#"{"_id":"t.adv_t_c d"}"#]
    );
    let again = advice(&store, text);
    assert_eq!(outcome(&again), "an optimal index exists");
    assert_eq!(texts(&again, "createdIndexes", "statement"), Vec::<String>::new());
    // What is suggested can be run as it is; a name that is taken by another index is not taken again.
    run(&store, "CREATE INDEX adv_t_x ON t (y)");
    let suggested =
        texts(&advice(&store, "ADVISE SELECT * FROM t WHERE x = 1"), "suggestedIndexes", "statement");
    assert_eq!(suggested, ["CREATE INDEX adv_t_x_2 ON default:t (x)"]);
    run(&store, &suggested[0]);
    assert_eq!(outcome(&advice(&store, "ADVISE SELECT * FROM t WHERE x = 1")), "an optimal index exists");
}

#[test]
fn an_index_that_cannot_be_created_is_told_of() {
    let store = store(&[]);
    (0..ditto_store::MAX_INDEXES).for_each(|n| drop(run(&store, &format!("CREATE INDEX i{n} ON t (f{n})"))));
    let provided = advice(&store, "ADVISE AND PROVISION SELECT * FROM t WHERE a = 1");
    assert_eq!(texts(&provided, "createdIndexes", "statement"), Vec::<String>::new());
    let [error] = &texts(&provided, "failedIndexes", "error")[..] else { panic!("{provided:?}") };
    assert!(error.contains("drop one first"), "{error}");
}

#[test]
fn a_transaction_gets_advice_but_no_indexes() {
    let store = store(&[]);
    for kind in [TransactionKind::ReadOnly, TransactionKind::ReadWrite] {
        let transaction = store.begin(kind).expect("begins");
        let ask = |text: &str| transaction.execute(text, &Object::new());
        let found = ask("ADVISE SELECT * FROM t WHERE a = 1").expect("advises").rows[0].value().to_json();
        assert!(found.contains("adv_t_a"), "{found}");
        let error = ask("ADVISE AND PROVISION SELECT * FROM t WHERE a = 1").expect_err("refused").to_string();
        assert!(error.contains("ADVISE") && error.contains("transaction"), "{error}");
    }
    assert!(failure(&store, "ADVISE SHOW ALL", "{}").to_string().contains("ADVISE"));
}
