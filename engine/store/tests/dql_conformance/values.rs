//! Values: order, equality, logic (0.4, 0.5), and what a result is made of (0.6).

use ditto_store::TransactionKind;
use ditto_value::{Object, Value};

use crate::table::{empty, give, keep, mutate, run, run_with, sample, value, value_with};

#[test]
fn values_of_all_kinds_are_sorted_in_one_order() {
    let store = empty();
    run(
        &store,
        "INSERT INTO c DOCUMENTS ({'_id':'missing'}), ({'_id':'null','v':null}), ({'_id':'object','v':{'a':1}}),
         ({'_id':'array','v':[1]}), ({'_id':'string','v':'a'}), ({'_id':'float','v':1.5}),
         ({'_id':'integer','v':1}), ({'_id':'true','v':true}), ({'_id':'false','v':false}),
         ({'_id':'binary','v':cast('a' AS binary)})",
    );
    let order = "[{'_id':'false'},{'_id':'true'},{'_id':'integer'},{'_id':'float'},{'_id':'binary'},
                  {'_id':'string'},{'_id':'array'},{'_id':'object'},{'_id':'null'},{'_id':'missing'}]";
    let backwards = "[{'_id':'missing'},{'_id':'null'},{'_id':'object'},{'_id':'array'},{'_id':'string'},
                      {'_id':'binary'},{'_id':'float'},{'_id':'integer'},{'_id':'true'},{'_id':'false'}]";
    give(
        &store,
        &[
            ("SELECT _id FROM c ORDER BY v", order),
            ("SELECT _id FROM c ORDER BY v ASC", order),
            ("SELECT _id FROM c ORDER BY v DESC", backwards),
            ("SELECT MIN(v) AS low, MAX(type(v)) AS high FROM c", "[{'low':false,'high':'string'}]"),
            ("SELECT type(MAX(v)) AS high FROM c", "[{'high':'object'}]"),
        ],
    );
}

#[test]
fn values_of_one_kind_are_sorted_naturally() {
    let store = empty();
    run(
        &store,
        "INSERT INTO c DOCUMENTS ({'_id':1,'v':'b'}), ({'_id':2,'v':'B'}), ({'_id':3,'v':'é'}), ({'_id':4,'v':'ba'}),
         ({'_id':5,'v':[1,2]}), ({'_id':6,'v':[1]}), ({'_id':7,'v':[0,9]}), ({'_id':8,'v':['']}),
         ({'_id':9,'v':{'a':2}}), ({'_id':10,'v':{'a':1,'b':1}}), ({'_id':11,'v':{'b':0}}),
         ({'_id':12,'v':9007199254740993}), ({'_id':13,'v':9007199254740992.0}), ({'_id':14,'v':-0.5}),
         ({'_id':15,'v':18446744073709551615})",
    );
    give(
        &store,
        &[(
            "SELECT _id FROM c ORDER BY v",
            "[{'_id':14},{'_id':13},{'_id':12},{'_id':15},{'_id':2},{'_id':1},{'_id':4},{'_id':3},
              {'_id':7},{'_id':6},{'_id':5},{'_id':8},{'_id':10},{'_id':9},{'_id':11}]",
        )],
    );
}

#[test]
fn comparisons_are_not_the_sort_order() {
    value(
        &sample(),
        &[
            ("7 = 7.0", "true"),
            ("7 == 7.0", "true"),
            ("9007199254740993 = 9007199254740992.0", "false"),
            ("1 < 1.5", "true"),
            ("2 >= 2.0", "true"),
            ("1 <> 2", "true"),
            ("false < true", "true"),
            ("'a' < 'b'", "true"),
            ("'B' < 'a'", "true"),
            ("nothing = 1", "MISSING"),
            ("nothing = null", "MISSING"),
            ("null = null", "null"),
            ("null != 1", "null"),
            ("null < 1", "null"),
            ("1 = '1'", "MISSING"),
            ("1 != '1'", "MISSING"),
            ("1 = true", "MISSING"),
            ("'a' < 1", "MISSING"),
            ("[1] = {'a': 1}", "MISSING"),
            ("[1, 2] = [1, 2]", "true"),
            ("[1, 2] = [1.0, 2]", "true"),
            ("[1, 2] != [2, 1]", "true"),
            ("{'a': 1, 'b': [2]} = {'b': [2], 'a': 1}", "true"),
            ("{'a': 1} = {'a': 2}", "false"),
            ("[null] = [null]", "true"),
            ("[1] < [1, 0]", "true"),
            ("{'a': 1} < {'b': 0}", "true"),
            ("cast('a' AS binary) = cast('a' AS binary)", "true"),
            ("cast('a' AS binary) = 'a'", "MISSING"),
        ],
    );
}

#[test]
fn logic_has_four_values() {
    let operands = ["true", "false", "null", "missing"];
    let tables = [
        (
            "AND",
            [
                ["true", "false", "null", "MISSING"],
                ["false", "false", "false", "false"],
                ["null", "false", "null", "MISSING"],
                ["MISSING", "false", "MISSING", "MISSING"],
            ],
        ),
        (
            "OR",
            [
                ["true", "true", "true", "true"],
                ["true", "false", "null", "MISSING"],
                ["true", "null", "null", "null"],
                ["true", "MISSING", "null", "MISSING"],
            ],
        ),
        (
            "XOR",
            [
                ["false", "true", "null", "MISSING"],
                ["true", "false", "null", "MISSING"],
                ["null", "null", "null", "MISSING"],
                ["MISSING", "MISSING", "MISSING", "MISSING"],
            ],
        ),
    ];
    let store = sample();
    for (operator, table) in tables {
        for (left, cells) in operands.iter().zip(table) {
            for (right, expected) in operands.iter().zip(cells) {
                value(&store, &[(&format!("{left} {operator} {right}"), expected)]);
            }
        }
    }
    value(
        &store,
        &[
            ("NOT true", "false"),
            ("NOT false", "true"),
            ("NOT null", "null"),
            ("NOT missing", "MISSING"),
            ("NOT 5", "MISSING"),
            ("NOT 'true'", "MISSING"),
            ("5 OR true", "true"),
            ("5 AND true", "MISSING"),
        ],
    );
    keep(&store, &[("5", ""), ("'true'", ""), ("true", "p1 p2 p3 p4"), ("null", ""), ("missing", "")]);
}

#[test]
fn missing_leaves_a_row_and_null_stays_in_it() {
    give(
        &sample(),
        &[
            ("SELECT nothing, retired FROM plants WHERE _id = 'p2'", "[{'retired':null}]"),
            ("SELECT nothing FROM plants WHERE _id = 'p2'", "[{}]"),
            ("SELECT * FROM nowhere", "[]"),
            ("SELECT * FROM nowhere WHERE a = 1 ORDER BY a LIMIT 3", "[]"),
        ],
    );
}

#[test]
fn mutations_report_ids_and_a_commit_and_reads_do_not() {
    let store = sample();
    for text in ["SELECT * FROM plants", "SHOW ALL", "EXPLAIN DELETE FROM plants", "ALTER SYSTEM RESET ALL"] {
        let result = run(&store, text);
        assert_eq!((result.mutated_ids.len(), result.commit_id), (0, None), "{text}");
        assert!(!result.rows.is_empty(), "{text}");
    }
    mutate(
        &store,
        &[
            ("INSERT INTO c DOCUMENTS ({'_id':1}), ({'_id':{'a':1}}), ({'_id':['x']})", "[1,['x'],{'a':1}]"),
            ("INSERT INTO c DOCUMENTS ({'_id':1}) ON ID CONFLICT DO NOTHING", "[]"),
            ("INSERT INTO c DOCUMENTS ({'_id':1}) ON ID CONFLICT DO UPDATE_LOCAL_DIFF", "[]"),
            ("INSERT INTO c DOCUMENTS ([])", "[]"),
            ("INSERT INTO c INITIAL DOCUMENTS ({'_id':1})", "[]"),
            ("UPDATE c SET a = 1 WHERE false", "[]"),
            ("UPDATE c SET a = 1 WHERE _id = 1", "[1]"),
            ("UPDATE c SET a = 1 WHERE _id = 1", "[1]"),
            ("UPDATE c UNSET b", "[]"),
            ("UPDATE c SET a = 1 LIMIT 0", "[]"),
            ("DELETE FROM c WHERE a = 2", "[]"),
            ("DELETE FROM c WHERE a = 1", "[1]"),
            ("EVICT FROM c WHERE a = 1", "[]"),
            ("EVICT FROM c USE IDS ['x']", "[['x']]"),
            ("DELETE FROM nowhere", "[]"),
        ],
    );
}

#[test]
fn commit_ids_never_fall() {
    let store = empty();
    let mut last = 0;
    for text in [
        "DELETE FROM c",
        "INSERT INTO c DOCUMENTS ({'_id':1}), ({'_id':2})",
        "UPDATE c SET a = 1 WHERE false",
        "UPDATE c SET a = 1",
        "EVICT FROM c WHERE _id = 2",
        "EVICT FROM c WHERE _id = 2",
        "INSERT INTO c DOCUMENTS ({'_id':1}) ON ID CONFLICT DO NOTHING",
        "DELETE FROM c",
    ] {
        let commit = run(&store, text).commit_id.expect("mutations have one");
        assert!(commit >= last && commit > 0, "{text}: {commit} after {last}");
        last = commit;
    }
}

#[test]
fn a_read_only_transaction_refuses_even_what_would_change_nothing() {
    let store = sample();
    let transaction = store.begin(TransactionKind::ReadOnly).expect("begins");
    for text in ["UPDATE plants SET a = 1 WHERE false", "DELETE FROM plants LIMIT 0", "EVICT FROM nowhere"] {
        let error = transaction.execute(text, &Object::new()).expect_err(text);
        assert_eq!(crate::table::class_of(&error), "read-only", "{text}: {error}");
    }
    assert_eq!(
        transaction.execute("EXPLAIN DELETE FROM plants", &Object::new()).expect("reads").rows.len(),
        1
    );
}

#[test]
fn numbers_keep_their_kind_through_arguments_and_storage() {
    let store = empty();
    let arguments = "{'d':{'_id':1,'i':1,'f':1.0,'u':18446744073709551615,'m':-9223372036854775808}}";
    run_with(&store, "INSERT INTO c DOCUMENTS (:d)", arguments);
    give(
        &store,
        &[(
            "SELECT *  FROM c",
            "[{'_id':1,'i':1,'f':1.0,'u':18446744073709551615,'m':-9223372036854775808}]",
        )],
    );
    let store = sample();
    value_with(
        &store,
        &[(":a", "{'a':1.0}", "1.0"), (":a", "{'a':1}", "1"), ("type(:a)", "{'a':1.0}", "'float'")],
    );
    let infinite = Object::from([("a", Value::Float(f64::MAX))]);
    let result = store.execute("SELECT :a * 10.0 AS v FROM system:dual", &infinite).expect("runs");
    assert_eq!(result.rows[0].value().to_json(), r#"{"v":null}"#, "what has no finite value is NULL");
}
