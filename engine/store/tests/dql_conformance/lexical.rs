//! Literals, parameters, names, paths and `_id` (1.1–1.9).

use ditto_value::Value;

use crate::table::{empty, give, give_with, keep_with, mutate, refuse, refuse_with, run, sample, value};

#[test]
fn literals_are_read_as_written() {
    value(
        &sample(),
        &[
            ("NULL", "null"),
            ("Null", "null"),
            ("MISSING", "MISSING"),
            ("TRUE", "true"),
            ("fAlse", "false"),
            ("12", "12"),
            ("-12", "-12"),
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            ("1E-2", "0.01"),
            ("type(1e3)", "'float'"),
            ("0x2A", "42"),
            ("type(0x2A)", "'integer'"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("type(18446744073709551616)", "'float'"),
            ("[]", "[]"),
            ("[1, 'a', [null]]", "[1,'a',[null]]"),
            ("{}", "{}"),
            ("{'a': 1, \"b\": {'c': height}}", "{'a':1,'b':{'c':12}}"),
            ("{'a': 1, 'a': 2}", "{'a':2}"),
            ("{name: 1}", "{'Basil':1}"),
            ("{height: 1}", "{}"),
            ("{nothing: 1}", "{}"),
        ],
    );
}

#[test]
fn strings_have_two_quotes_and_the_escapes_of_json() {
    let store = sample();
    value(
        &store,
        &[
            ("'a\"b' = \"a\\\"b\"", "true"),
            ("char_length('it\\'s')", "4"),
            (r"'\u00e9' = 'é'", "true"),
            (r"char_length('\ud83c\udf31')", "1"),
            (r"byte_length('\b\f\n\r\t\/\\')", "7"),
            (r"'\q' = 'q'", "true"),
            ("'' = \"\"", "true"),
            ("\"bed\"", "'bed'"),
        ],
    );
    refuse(
        &store,
        &[
            ("SELECT 'it''s' FROM plants", "syntax", "line 1, column 12"),
            ("SELECT \"a\"\"b\" FROM plants", "syntax", "line 1, column 11"),
            ("SELECT 'open FROM plants", "syntax", "line 1, column 8"),
            ("SELECT '\\u12' FROM plants", "syntax", "line 1"),
        ],
    );
}

#[test]
fn comments_and_one_semicolon_are_accepted() {
    let store = sample();
    give(
        &store,
        &[
            ("select Count(*) as n -- all of them\n From plants;", "[{'n':4}]"),
            ("/* first */ SELECT /* second\n line */ COUNT(*) AS n FROM plants", "[{'n':4}]"),
            ("SELECT COUNT(*) AS n FROM plants ; ", "[{'n':4}]"),
            ("SELECT /*+ {\"#index\": \"\"} */ COUNT(*) AS n FROM plants", "[{'n':4}]"),
            (
                "SELECT COUNT(*) AS n FROM plants USE DIRECTIVES '{\"#disable_index_scan\": true}'",
                "[{'n':4}]",
            ),
            ("SELECT COUNT(*) AS n FROM plants USE INDEX 'none'", "[{'n':4}]"),
        ],
    );
    refuse(
        &store,
        &[
            ("", "syntax", "line 1, column 1"),
            ("  \n -- nothing\n", "syntax", "line"),
            ("/* open", "syntax", "line 1"),
            ("SELECT * FROM plants; SELECT * FROM beds", "syntax", "line 1, column 23"),
            ("SELECT * FROM plants;;", "syntax", "column 22"),
        ],
    );
}

#[test]
fn names_are_exact_and_quoted_names_hold_anything() {
    let store = empty();
    run(
        &store,
        "INSERT INTO `my plants-1` DOCUMENTS ({'_id':1,'light-hours':3,'a`b':4,'select':5,'care':{'x y':{'1':6}}})",
    );
    give(
        &store,
        &[
            (
                "SELECT `light-hours`, `a``b`, `select`, care.`x y`.`1` AS deep FROM `my plants-1`",
                "[{'light-hours':3,'a`b':4,'select':5,'deep':6}]",
            ),
            ("SELECT Care FROM `my plants-1`", "[{}]"),
            ("SELECT _id FROM `my plants-1` WHERE `my plants-1`.`light-hours` = 3", "[{'_id':1}]"),
            (
                "SELECT 1 AS value, 2 AS text, 3 AS timestamp, 4 AS day FROM system:dual",
                "[{'value':1,'text':2,'timestamp':3,'day':4}]",
            ),
            ("SELECT _id FROM default:`my plants-1`", "[{'_id':1}]"),
            ("SELECT _id FROM COLLECTION `my plants-1`", "[{'_id':1}]"),
        ],
    );
    refuse(
        &store,
        &[
            ("SELECT * FROM my-plants", "syntax", "line 1, column 17"),
            ("SELECT * FROM ``", "syntax", "line 1, column 15"),
            ("SELECT * FROM other:plants", "semantics", "line 1, column 15"),
            ("SELECT * FROM plants (care MAP)", "syntax", "column 22"),
        ],
    );
}

#[test]
fn parameters_are_named_and_stand_for_values() {
    let store = sample();
    give_with(
        &store,
        &[
            (
                "SELECT _id FROM plants WHERE bed = :bed AND height > :h",
                "{'bed':'A','h':10}",
                "[{'_id':'p1'}]",
            ),
            ("SELECT _id FROM plants WHERE bed = :bed", "{'bed':5}", "[]"),
            (
                "SELECT _id FROM plants WHERE bed = :Bed",
                "{'Bed':'B','bed':'A'}",
                "[{'_id':'p3'},{'_id':'p4'}]",
            ),
            ("SELECT _id FROM plants ORDER BY _id LIMIT :n OFFSET :m", "{'n':1,'m':2}", "[{'_id':'p3'}]"),
            ("SELECT :a AS a FROM system:dual", "{'a':{'b':[1]},'unused':1}", "[{'a':{'b':[1]}}]"),
            ("SELECT :a.b[0] AS a FROM system:dual", "{'a':{'b':[1]}}", "[{'a':1}]"),
        ],
    );
    refuse_with(
        &store,
        &[
            ("SELECT * FROM plants WHERE bed = :bed", "{}", "arguments", "bed"),
            ("SELECT * FROM plants WHERE bed = :bed", "{'Bed':1}", "arguments", "bed"),
            ("SELECT * FROM plants WHERE bed = :1", "{'1':'A'}", "syntax", "column 35"),
            ("SELECT * FROM :c", "{'c':'plants'}", "syntax", "column 15"),
            ("SELECT * FROM plants p WHERE p.:f = 1", "{'f':'bed'}", "syntax", "column 32"),
            ("UPDATE plants SET :f = 1", "{'f':'bed'}", "syntax", "column 19"),
            ("SELECT * FROM plants ORDER BY bed :d", "{'d':'DESC'}", "syntax", "column 35"),
            ("DELETE FROM plants LIMIT :n", "{}", "arguments", "n"),
            ("INSERT INTO plants DOCUMENTS (:d)", "{}", "arguments", "d"),
        ],
    );
}

#[test]
fn paths_step_into_objects() {
    value(
        &sample(),
        &[
            ("care.light", "6"),
            ("plants.care.light", "MISSING"),
            ("p.care.light", "6"),
            ("care.light.deeper", "MISSING"),
            ("tags.length", "MISSING"),
            ("nothing.at.all", "MISSING"),
            ("tags[0]", "'herb'"),
            ("tags[1]", "'sun'"),
            ("tags[-1]", "'sun'"),
            ("tags[2]", "MISSING"),
            ("tags[-3]", "MISSING"),
            ("tags['0']", "MISSING"),
            ("tags[0.0]", "MISSING"),
            ("name[0]", "MISSING"),
            ("care['light']", "6"),
            ("care['li' || 'ght']", "6"),
            ("care[0]", "MISSING"),
            ("[[1,2],[3]][0][1]", "2"),
            ("{'a':{'b':7}}.a.b", "7"),
            (
                "p",
                "{'_id':'p1','name':'Basil','bed':'A','height':12,'tags':['herb','sun'],'care':{'water':'daily','light':6}}",
            ),
        ],
    );
}

#[test]
fn an_alias_wins_before_a_step_and_a_field_without_one() {
    let store = empty();
    run(&store, "INSERT INTO c DOCUMENTS ({'_id':1, 'c':{'x':1}, 'x':2})");
    give(
        &store,
        &[
            ("SELECT c.x AS v FROM c", "[{'v':2}]"),
            ("SELECT c AS v FROM c", "[{'v':{'x':1}}]"),
            ("SELECT c.c.x AS v FROM c", "[{'v':1}]"),
            ("SELECT d.x AS v FROM c d", "[{'v':2}]"),
        ],
    );
}

#[test]
fn ids_are_of_five_kinds() {
    let store = empty();
    mutate(
        &store,
        &[
            ("INSERT INTO c DOCUMENTS ({'_id':'a'}), ({'_id':1}), ({'_id':true})", "['a',1,true]"),
            (
                "INSERT INTO c DOCUMENTS ({'_id':[1,'b']}), ({'_id':{'row':3,'col':9}})",
                "[[1,'b'],{'col':9,'row':3}]",
            ),
            ("INSERT INTO c DOCUMENTS ({'_id':-9223372036854775808})", "[-9223372036854775808]"),
            ("INSERT INTO c DOCUMENTS ({'_id':''})", "['']"),
        ],
    );
    give(
        &store,
        &[
            ("SELECT _id FROM c WHERE _id = {'col':9,'row':3}", "[{'_id':{'col':9,'row':3}}]"),
            ("SELECT _id FROM c WHERE {'col':9.0,'row':3} = _id", "[{'_id':{'col':9,'row':3}}]"),
            ("SELECT _id FROM c WHERE _id.row = 3", "[{'_id':{'col':9,'row':3}}]"),
            ("SELECT _id FROM c WHERE _id = 1.0", "[{'_id':1}]"),
            ("SELECT _id FROM c WHERE _id = '1'", "[]"),
            ("SELECT _id FROM c WHERE _id IN [1.0, 'a', 'zz', null]", "[{'_id':1},{'_id':'a'}]"),
            ("SELECT _id FROM c WHERE _id IN [[1,'b']]", "[{'_id':[1,'b']}]"),
            ("SELECT _id FROM c WHERE _id = null OR _id = 'a'", "[{'_id':'a'}]"),
            (
                "SELECT _id FROM c WHERE is_number(_id) ORDER BY _id",
                "[{'_id':-9223372036854775808},{'_id':1}]",
            ),
        ],
    );
    refuse(
        &store,
        &[
            ("INSERT INTO c DOCUMENTS ({'_id':1.5})", "data", "_id"),
            ("INSERT INTO c DOCUMENTS ({'_id':1.0})", "data", "float"),
            ("INSERT INTO c DOCUMENTS ({'_id':null})", "data", "null"),
            ("INSERT INTO c DOCUMENTS ({'_id':{'row':3,'col':9}})", "data", "exists"),
            ("INSERT INTO c DOCUMENTS ({'_id':{'col':9,'row':3}})", "data", "exists"),
            ("UPDATE c SET _id = 2", "semantics", "line 1, column 14"),
            ("UPDATE c UNSET _id", "semantics", "_id"),
            ("UPDATE c SET _id.row = 2", "semantics", "_id"),
            ("UPDATE c SET c._id = 2", "semantics", "_id"),
            ("UPDATE c APPLY _id INCREMENT BY 1", "semantics", "_id"),
        ],
    );
    let result = run(&store, "INSERT INTO c DOCUMENTS ({'a':1})");
    assert!(matches!(result.mutated_ids.as_slice(), [Value::String(id)] if id.len() == 36));
    let long = "x".repeat(70_000);
    refuse(&store, &[(&format!("INSERT INTO c DOCUMENTS ({{'_id':'{long}'}})"), "data", "_id")]);
    give(&store, &[(&format!("SELECT _id FROM c WHERE _id = '{long}'"), "[]")]);
}

#[test]
fn in_a_list_is_not_in_a_list_of_a_list() {
    keep_with(
        &sample(),
        &[
            ("_id IN :ids", "{'ids':['p1','p3','p1']}", "p1 p3"),
            ("_id IN (:ids)", "{'ids':['p1','p3']}", ""),
            ("_id IN (:a, :b)", "{'a':'p1','b':'p2'}", "p1 p2"),
            ("bed IN (:a)", "{'a':'A'}", "p1 p2"),
            ("_id IN :ids", "{'ids':'p1'}", ""),
            ("_id IN :ids", "{'ids':[]}", ""),
            ("NOT (_id IN :ids)", "{'ids':[]}", "p1 p2 p3 p4"),
        ],
    );
}
