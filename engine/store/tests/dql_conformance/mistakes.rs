//! Classes of mistakes and their positions (11), and what is not part of this version.

use crate::table::{give, refuse, refuse_with, sample};

#[test]
fn mistakes_in_the_text_have_a_line_and_a_column() {
    refuse(
        &sample(),
        &[
            ("SELEKT * FROM plants", "syntax", "line 1, column 1"),
            ("SELECT *\nFROM plants\n  WHERE bed ==", "syntax", "line 3"),
            ("SELECT *\nFROM plants\n  WHERE é = 1", "syntax", "line 3, column 9"),
            ("SELECT 'ü', # FROM plants", "syntax", "line 1, column 13"),
            ("SELECT name\n, nope(1) FROM plants", "semantics", "line 2, column 3"),
            ("SELECT * FROM plants WHERE", "syntax", "line 1, column 27"),
            ("SELECT * FROM plants WHERE a = 1 AND", "syntax", "line 1"),
            ("SELECT * FROM plants WHERE (a = 1", "syntax", "')'"),
            ("DROP INDEX ix", "syntax", "ON"),
            (
                "INSERT INTO c INITIAL DOCUMENTS ({'_id':1}) ON ID CONFLICT DO NOTHING",
                "syntax",
                "line 1, column 45",
            ),
            ("UPDATE plants SET\n height = 1,\n height = 2", "semantics", "line 3, column 2"),
        ],
    );
}

#[test]
fn what_is_not_in_this_version_says_so() {
    refuse(
        &sample(),
        &[
            ("SELECT b.label, p.name FROM beds b LEFT JOIN plants p ON p.bed = b._id", "unsupported", "JOIN"),
            ("SELECT * FROM beds b JOIN plants p ON p.bed = b._id", "unsupported", "JOIN"),
            ("SELECT * FROM beds b RIGHT OUTER JOIN plants p ON p.bed = b._id", "unsupported", "JOIN"),
            (
                "INSERT INTO c SELECT b.label FROM beds b JOIN plants p ON p.bed = b._id",
                "unsupported",
                "JOIN",
            ),
            ("EXPLAIN SELECT b.label FROM beds b JOIN plants p ON p.bed = b._id", "unsupported", "JOIN"),
            ("SELECT * FROM beds b JOIN plants p", "syntax", "ON"),
            ("SELECT * FROM beds b CROSS JOIN plants p", "compile", "line 1"),
            ("SELECT * FROM beds, plants", "compile", "line 1, column 19"),
            ("PROFILE SHOW ALL", "compile", "PROFILE"),
            ("PROFILE EXPLAIN SELECT * FROM plants", "compile", "PROFILE"),
            ("ADVISE INSERT INTO plants DOCUMENTS ({})", "compile", "ADVISE"),
            ("ADVISE AND SELECT * FROM plants", "syntax", "PROVISION"),
            ("SELECT * FROM (SELECT * FROM plants)", "syntax", "line 1, column 15"),
            ("SELECT * FROM plants WHERE EXISTS (SELECT * FROM beds)", "compile", "line 1"),
            ("SELECT * FROM plants UNION SELECT * FROM beds", "compile", "line 1"),
            ("WITH x AS (SELECT 1) SELECT * FROM x", "syntax", "line 1, column 1"),
        ],
    );
    give(&sample(), &[("SELECT COUNT(*) AS n FROM plants", "[{'n':4}]")]);
}

#[test]
fn explain_needs_no_arguments_and_runs_nothing() {
    let store = sample();
    for (text, part) in [
        ("EXPLAIN SELECT * FROM plants WHERE _id = :id", "idScan"),
        ("EXPLAIN SELECT * FROM plants WHERE bed = 'A' AND _id IN :ids", "idScan"),
        ("EXPLAIN DELETE FROM plants WHERE bed = :bed LIMIT :n", "delete"),
        ("EXPLAIN INSERT INTO plants DOCUMENTS (:d)", "insert"),
        ("EXPLAIN UPDATE plants SET a = :a", "update"),
        ("EXPLAIN EVICT FROM plants", "evict"),
        ("EXPLAIN SELECT COUNT(*) FROM plants", "countScan"),
        ("EXPLAIN SELECT bed, COUNT(*) FROM plants GROUP BY bed ORDER BY bed LIMIT 1", "group"),
    ] {
        match store.execute(text, &ditto_value::Object::new()) {
            Ok(result) => {
                let [row] = result.rows.as_slice() else { panic!("{text}: one row") };
                let plan = row.value().get("plan").expect("a plan").to_json();
                assert!(plan.contains(&format!("\"#operator\":\"{part}\"")), "{text}: {plan}");
            }
            Err(error) => panic!("{text}: {error}"),
        }
    }
    give(&store, &[("SELECT COUNT(*) AS n FROM plants", "[{'n':4}]")]);
    refuse_with(
        &store,
        &[
            ("EXPLAIN EXPLAIN SELECT * FROM plants", "{}", "compile", "line 1, column 9"),
            ("SELECT * FROM plants WHERE bed = :bed", "{}", "arguments", "bed"),
        ],
    );
}

#[test]
fn what_is_nested_without_end_is_refused() {
    let deep = |open: &str, close: &str| {
        format!("SELECT {}1{} FROM plants", open.repeat(50_000), close.repeat(50_000))
    };
    for text in [deep("(", ")"), deep("[", "]"), deep("- ", ""), deep("NOT ", ""), deep("abs(", ")")] {
        refuse(&sample(), &[(&text, "limit", "line 1, column")]);
    }
    let long = format!("SELECT 1{} AS v FROM system:dual", " + 1".repeat(20_000));
    refuse(&sample(), &[(&long, "limit", "line 1, column")]);
}
