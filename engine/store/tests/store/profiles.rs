//! PROFILE runs a statement and says how it went.

use ditto_store::TransactionKind;
use ditto_value::{Object, Value};

use crate::support::{failure, open, query, rows, run, run_with};

fn store() -> ditto_store::Store {
    let store = open(1);
    let documents: Vec<String> =
        (0..20).map(|n| format!(r#"{{"_id": {n}, "a": {}, "b": {}}}"#, n % 4, n % 3)).collect();
    run_with(&store, "INSERT INTO t DOCUMENTS (:d)", &format!(r#"{{"d": [{}]}}"#, documents.join(",")));
    run(&store, "CREATE INDEX a ON t (a)");
    store
}

/// What the last row says, and how many rows come before it.
fn profile(rows: &[String]) -> (usize, Value) {
    let last = Value::from_json(rows.last().expect("there is a row")).expect("JSON");
    let members = last.as_object().expect("an object");
    assert_eq!(members.len(), 1, "{last:?}");
    (rows.len() - 1, members.get("~request_profile").expect("the profile").clone())
}

/// `operator in>out …`
fn flow(profile: &Value) -> String {
    let plan = profile.get("plan").expect("a plan");
    let steps = plan.get("children").and_then(Value::as_array).expect("operators");
    let step = |step: &Value| {
        let statistics = step.get("#stats").expect("statistics");
        let number = |name| statistics.get(name).map_or_else(String::new, Value::to_json);
        let name = step.get("#operator").and_then(Value::as_str).expect("a name");
        format!("{name} {}>{}", number("documentsIn"), number("documentsOut"))
    };
    steps.iter().map(step).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_profile_follows_the_rows_and_counts_what_came_by_each_operator() {
    let store = store();
    for (text, expected) in [
        ("SELECT * FROM t", "scan >20, projection 20>20"),
        ("SELECT * FROM t WHERE b = 1", "scan >20, filter 20>7, projection 7>7"),
        ("SELECT * FROM t WHERE a = 1 AND b = 1", "indexScan >5, fetch 5>5, filter 5>2, projection 2>2"),
        ("SELECT a FROM t WHERE a > 1 LIMIT 3", "indexScan >3, filter 3>3, projection 3>3, limit 3>3"),
        (
            "SELECT * FROM t WHERE a = 1 LIMIT 2 OFFSET 2",
            "indexScan >4, fetch 4>4, filter 4>4, projection 4>4, limit 4>2",
        ),
        ("SELECT * FROM t ORDER BY b LIMIT 2", "scan >20, projection 20>20, sort 20>2, limit 2>2"),
        ("SELECT DISTINCT b FROM t", "scan >20, projection 20>20, distinct 20>3"),
        (
            "SELECT b, COUNT(*) AS n FROM t GROUP BY b HAVING COUNT(*) > 6 ORDER BY b",
            "scan >20, group 20>3, filter 3>2, projection 2>2, sort 2>2",
        ),
        ("SELECT COUNT(*) AS n FROM t WHERE a = 2", "indexScan >5, filter 5>5, group 5>1, projection 1>1"),
        ("SELECT COUNT(*) AS n FROM t", "countScan >1, projection 1>1"),
        ("SELECT MAX(a) AS h FROM t WHERE a < 3", "indexScan >1, filter 1>1, projection 1>1"),
        ("SELECT * FROM t WHERE a = 1 OR _id = 2", "unionScan >6, fetch 6>6, filter 6>6, projection 6>6"),
        ("SELECT * FROM nowhere", "scan >0, projection 0>0"),
        ("SELECT * FROM system:dual", "scan >1, projection 1>1"),
    ] {
        let profiled = query(&store, &format!("PROFILE {text}"));
        let (count, found) = profile(&profiled);
        assert_eq!(profiled[..count], query(&store, text), "{text}");
        assert_eq!(flow(&found), expected, "{text}");
        assert_eq!(found.get("queryType"), Some(&"select".into()));
        assert_eq!(found.get("state"), Some(&"completed".into()));
        assert_eq!(found.get("resultCount").and_then(Value::as_u64), Some(count as u64), "{text}");
        let times = found.get("times").expect("times");
        for name in ["elapsed", "parse", "plan"] {
            assert!(times.get(name).and_then(Value::as_u64).is_some(), "{times:?}");
        }
        let statistics = found.get("plan").and_then(|plan| plan.get("#stats")).expect("statistics");
        assert_eq!(statistics.get("documentsOut").and_then(Value::as_u64), Some(count as u64), "{text}");
        assert!(statistics.get("phaseTimes").and_then(|times| times.get("exec")).is_some());
    }
}

#[test]
fn a_profiled_statement_that_changes_documents_does_so() {
    let store = store();
    let result = run(&store, "PROFILE UPDATE t SET c = 1 WHERE a = 1");
    assert_eq!((result.mutated_ids.len(), result.commit_id.is_some()), (5, true));
    let (count, found) = profile(&rows(&result));
    assert_eq!((count, found.get("queryType")), (0, Some(&"update".into())));
    assert_eq!(flow(&found), "indexScan >5, fetch 5>5, filter 5>5, update 5>5");
    assert_eq!(query(&store, "SELECT COUNT(c) AS n FROM t"), [r#"{"n":5}"#]);

    let result = run(&store, "PROFILE DELETE FROM t WHERE a = 1 ORDER BY b LIMIT 2 RETURNING _id");
    let (count, found) = profile(&rows(&result));
    assert_eq!((count, result.mutated_ids.len()), (2, 2));
    assert_eq!(flow(&found), "indexScan >5, fetch 5>5, filter 5>5, sort 5>2, limit 2>2, delete 2>2");
    assert_eq!(query(&store, "SELECT COUNT(*) AS n FROM t"), [r#"{"n":18}"#]);

    let result = run(&store, "PROFILE INSERT INTO u SELECT * FROM t WHERE a = 2");
    let (count, found) = profile(&rows(&result));
    assert_eq!((count, result.mutated_ids.len()), (0, 5));
    assert_eq!(flow(&found), "indexScan >5, fetch 5>5, filter 5>5, projection 5>5, insert 5>5");
    let result = run(&store, "PROFILE INSERT INTO u DOCUMENTS ({'_id': 'x'})");
    assert_eq!((profile(&rows(&result)).0, result.mutated_ids.len()), (0, 1));
    let (_, found) = profile(&rows(&run(&store, "PROFILE EVICT FROM u WHERE _id = 'x'")));
    assert_eq!(found.get("queryType"), Some(&"evict".into()));
    // What fails gives no profile.
    let error = failure(&store, "PROFILE INSERT INTO u DOCUMENTS ({'_id': 2})", "{}");
    assert!(error.to_string().contains('2'), "{error}");
}

#[test]
fn the_directive_and_transactions_profile_too() {
    let store = store();
    let text = r##"SELECT /*+ {"#profile": true} */ * FROM t WHERE a = 1"##;
    for _ in 0..2 {
        let (count, found) = profile(&query(&store, text));
        assert_eq!((count, flow(&found)), (5, "indexScan >5, fetch 5>5, filter 5>5, projection 5>5".into()));
    }
    let text = r##"/*+ {"#profile": true} */ UPDATE t SET c = 1 WHERE _id = 1"##;
    assert_eq!(flow(&profile(&query(&store, text)).1), "idScan >1, fetch 1>1, filter 1>1, update 1>1");
    assert_eq!(query(&store, r##"SELECT /*+ {"#profile": false} */ _id FROM t WHERE _id = 1"##).len(), 1);
    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
    let inside = |text: &str| rows(&transaction.execute(text, &Object::new()).expect("runs"));
    inside("DELETE FROM t WHERE _id = 1");
    let (count, found) = profile(&inside("PROFILE SELECT * FROM t WHERE a = 1"));
    assert_eq!((count, flow(&found)), (4, "indexScan >4, fetch 4>4, filter 4>4, projection 4>4".into()));
    transaction.rollback();
    let reader = store.begin(TransactionKind::ReadOnly).expect("begins");
    assert_eq!(
        profile(&rows(&reader.execute("PROFILE SELECT * FROM t", &Object::new()).expect("reads"))).0,
        20
    );
    let error =
        reader.execute("PROFILE DELETE FROM t WHERE _id = 'none'", &Object::new()).expect_err("refused");
    assert!(matches!(error, ditto_store::StoreError::ReadOnly { .. }), "{error}");
}
