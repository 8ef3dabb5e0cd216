//! Operators, predicates, CASE, CAST, quantifiers and transforms (5).

use crate::table::{give, keep, refuse, refuse_with, sample, value, value_with};

#[test]
fn operators_bind_as_the_table_says() {
    value(
        &sample(),
        &[
            ("1 + 2 * 3", "7"),
            ("(1 + 2) * 3", "9"),
            ("10 - 4 - 3", "3"),
            ("-2 + 5", "3"),
            ("- 2 * -3", "6"),
            ("1 << 2 + 1", "8"),
            ("1 + 1 = 2", "true"),
            ("1 = 1 = true", "true"),
            ("NOT 1 = 2", "true"),
            ("1 = null IS NULL", "true"),
            ("null = 1 IS NULL", "true"),
            ("true OR true AND false", "true"),
            ("true XOR true OR true", "true"),
            ("true OR true XOR true", "true"),
            ("false AND true XOR true", "true"),
            ("NOT false AND false", "false"),
            ("1 IN (1, 2) AND 2 BETWEEN 1 AND 3", "true"),
            ("'a' || 'b' = 'ab'", "true"),
            ("'a' || 'b' LIKE 'a%'", "true"),
            ("NOT 'a' LIKE 'b'", "true"),
            ("7 % 4 + 1", "4"),
            ("- -1", "1"),
        ],
    );
}

#[test]
fn arithmetic_keeps_kinds_and_never_fails() {
    value(
        &sample(),
        &[
            ("7 / 2", "3"),
            ("-7 / 2", "-3"),
            ("7 / 2.0", "3.5"),
            ("7.0 / 2", "3.5"),
            ("1 / 0", "null"),
            ("1.0 / 0", "null"),
            ("0.0 / 0.0", "null"),
            ("7 % 3", "1"),
            ("-7 % 3", "-1"),
            ("7 % -3", "1"),
            ("7.5 % 2", "1.5"),
            ("7 % 0", "null"),
            ("2 * 3", "6"),
            ("2 * 3.0", "6.0"),
            ("1 + 1.5", "2.5"),
            ("type(9223372036854775807 * 3)", "'float'"),
            ("type(18446744073709551615 + 1)", "'float'"),
            ("type(-9223372036854775808 - 1)", "'float'"),
            ("-9223372036854775808 / -1 > 0", "true"),
            ("-9223372036854775808 % -1", "0"),
            ("type(-(-9223372036854775808))", "'float'"),
            ("1e308 * 10", "null"),
            ("1 << 3", "8"),
            ("-16 >> 2", "-4"),
            ("1 << 1.5", "MISSING"),
            ("1 << 'a'", "MISSING"),
            ("1 + null", "null"),
            ("null - 1", "null"),
            ("1 + nothing", "MISSING"),
            ("1 + 'a'", "MISSING"),
            ("'1' + '2'", "MISSING"),
            ("true + 1", "MISSING"),
            ("null * nothing", "MISSING"),
            ("-null", "null"),
            ("-'a'", "MISSING"),
            ("-nothing", "MISSING"),
            ("+5", "5"),
            ("'a' || 'b'", "'ab'"),
            ("'a' || 1", "MISSING"),
            ("'a' || null", "null"),
            ("'a' || nothing", "MISSING"),
            ("[1] || [2]", "MISSING"),
        ],
    );
}

#[test]
fn is_predicates_have_two_values() {
    value(
        &sample(),
        &[
            ("null IS NULL", "true"),
            ("nothing IS NULL", "false"),
            ("nothing IS NOT NULL", "true"),
            ("null IS UNKNOWN", "true"),
            ("nothing IS NOT UNKNOWN", "true"),
            ("nothing IS MISSING", "true"),
            ("null IS MISSING", "false"),
            ("null IS NOT MISSING", "true"),
            ("true IS TRUE", "true"),
            ("5 IS TRUE", "false"),
            ("nothing IS NOT TRUE", "true"),
            ("false IS FALSE", "true"),
            ("null IS NOT FALSE", "true"),
        ],
    );
}

#[test]
fn between_and_in_follow_equality() {
    value_with(
        &sample(),
        &[
            ("5 BETWEEN 5 AND 7", "{}", "true"),
            ("7.0 BETWEEN 5 AND 7", "{}", "true"),
            ("6 BETWEEN 7 AND 5", "{}", "false"),
            ("6 NOT BETWEEN 1 AND 5", "{}", "true"),
            ("6 BETWEEN null AND 5", "{}", "false"),
            ("4 BETWEEN null AND 5", "{}", "null"),
            ("4 NOT BETWEEN null AND 5", "{}", "null"),
            ("nothing BETWEEN 1 AND 2", "{}", "MISSING"),
            ("'b' BETWEEN 'a' AND 'c'", "{}", "true"),
            ("1 IN [1, 2]", "{}", "true"),
            ("1.0 IN (2, 1)", "{}", "true"),
            ("3 IN [1, 2]", "{}", "false"),
            ("'1' IN [1, 2]", "{}", "false"),
            ("3 IN [1, null]", "{}", "null"),
            ("1 IN [1, null]", "{}", "true"),
            ("3 NOT IN [1, 2]", "{}", "true"),
            ("3 NOT IN [1, null]", "{}", "null"),
            ("nothing IN [1]", "{}", "MISSING"),
            ("nothing NOT IN [1]", "{}", "MISSING"),
            ("null IN [1]", "{}", "null"),
            ("1 IN 1", "{}", "MISSING"),
            ("1 IN (1)", "{}", "true"),
            ("1 IN []", "{}", "false"),
            ("1 NOT IN []", "{}", "true"),
            ("'herb' IN tags", "{}", "true"),
            ("'light' IN object_keys(care)", "{}", "true"),
            ("'x' IN care", "{}", "MISSING"),
            ("[1] IN [[1.0], 2]", "{}", "true"),
            (":x IN :list", "{'x':{'a':1},'list':[{'a':1.0}]}", "true"),
            (":x IN (:list)", "{'x':1,'list':[1]}", "false"),
            ("1 IN :list", "{'list':null}", "MISSING"),
        ],
    );
    refuse(
        &sample(),
        &[
            ("SELECT (1, 2) AS v FROM plants", "compile", "column"),
            ("SELECT * FROM plants WHERE (1, 2) IN [1]", "compile", "column"),
            ("SELECT * FROM plants WHERE 1 = (1, 2)", "compile", "column"),
            ("SELECT * FROM plants WHERE 1 IN ()", "syntax", "column"),
        ],
    );
}

#[test]
fn patterns_match_whole_strings() {
    value_with(
        &sample(),
        &[
            ("'Basil' LIKE 'B%'", "{}", "true"),
            ("'Basil' LIKE 'b%'", "{}", "false"),
            ("'Basil' LIKE '_asi_'", "{}", "true"),
            ("'Basil' LIKE 'asil'", "{}", "false"),
            ("'Basil' NOT LIKE 'x%'", "{}", "true"),
            ("'' LIKE '%'", "{}", "true"),
            ("'' LIKE '_'", "{}", "false"),
            ("'é' LIKE '_'", "{}", "true"),
            ("'Basil' ILIKE 'bAS%'", "{}", "true"),
            ("'ÉTÉ' ILIKE 'été'", "{}", "true"),
            ("'50%' LIKE '50\\\\%'", "{}", "true"),
            ("'50x' LIKE '50\\\\%'", "{}", "false"),
            ("'50%' LIKE '50!%' ESCAPE '!'", "{}", "true"),
            ("'5!' LIKE '5!!' ESCAPE '!'", "{}", "true"),
            ("'a\\\\b' LIKE 'a\\\\\\\\b'", "{}", "true"),
            ("'a.b' LIKE 'a.b'", "{}", "true"),
            ("'axb' LIKE 'a.b'", "{}", "false"),
            ("'a\nb' LIKE 'a_b'", "{}", "true"),
            ("'a\nb' LIKE 'a%'", "{}", "true"),
            ("5 LIKE '5'", "{}", "MISSING"),
            ("'5' LIKE 5", "{}", "MISSING"),
            ("null LIKE 'a'", "{}", "null"),
            ("'a' LIKE null", "{}", "null"),
            ("nothing LIKE 'a'", "{}", "MISSING"),
            ("'a' LIKE :p", "{'p':'_'}", "true"),
            ("'a' LIKE :p", "{'p':'a\\\\'}", "MISSING"),
            ("'Fern' SIMILAR TO 'F(er|ir)n'", "{}", "true"),
            ("'Fern' SIMILAR TO 'Fe'", "{}", "false"),
            ("'Fern' SIMILAR TO 'F%'", "{}", "true"),
            ("'Fern' SIMILAR TO '[A-F]___'", "{}", "true"),
            ("'Fern' SIMILAR TO '[^A-F]___'", "{}", "false"),
            ("'aaa' SIMILAR TO 'a{3}'", "{}", "true"),
            ("'aaa' SIMILAR TO 'a{1,2}'", "{}", "false"),
            ("'aaa' SIMILAR TO 'a+b?c*'", "{}", "true"),
            ("'a.b' SIMILAR TO 'a.b'", "{}", "true"),
            ("'axb' SIMILAR TO 'a.b'", "{}", "false"),
            ("'ab' SIMILAR TO 'a|b'", "{}", "false"),
            ("'Fern' NOT SIMILAR TO 'x'", "{}", "true"),
        ],
    );
    refuse_with(
        &sample(),
        &[
            ("SELECT * FROM plants WHERE name LIKE 'a\\\\'", "{}", "semantics", "line 1, column"),
            ("SELECT * FROM plants WHERE name LIKE 'a' ESCAPE '!!'", "{}", "semantics", "column"),
            ("SELECT * FROM plants WHERE name SIMILAR TO '(a'", "{}", "semantics", "column"),
            ("SELECT * FROM plants WHERE regexp_like(name, '(a')", "{}", "semantics", "column"),
        ],
    );
}

#[test]
fn case_chooses() {
    value(
        &sample(),
        &[
            ("CASE WHEN height > 10 THEN 'tall' ELSE 'low' END", "'tall'"),
            ("CASE WHEN nothing THEN 1 WHEN null THEN 2 WHEN true THEN 3 END", "3"),
            ("CASE WHEN false THEN 1 END", "null"),
            ("CASE bed WHEN 'B' THEN 1 WHEN 'A' THEN [2] END", "[2]"),
            ("CASE 1 WHEN 1.0 THEN 'one' END", "'one'"),
            ("CASE null WHEN null THEN 1 ELSE 2 END", "2"),
            ("CASE WHEN true THEN nothing END", "MISSING"),
        ],
    );
}

#[test]
fn casts_convert_or_are_missing() {
    value(
        &sample(),
        &[
            ("cast('42' AS integer)", "42"),
            ("cast('42', 'INTEGER')", "42"),
            ("cast('-42' AS Integer)", "-42"),
            ("cast('+42' AS integer)", "42"),
            ("cast(' 42' AS integer)", "MISSING"),
            ("cast('4.2' AS integer)", "MISSING"),
            ("cast('1e3' AS integer)", "MISSING"),
            ("cast('' AS integer)", "MISSING"),
            ("cast('+' AS integer)", "MISSING"),
            ("cast('1.5' AS float)", "1.5"),
            ("cast('1e3' AS float)", "1000.0"),
            ("cast('7' AS float)", "7.0"),
            ("cast('x' AS float)", "MISSING"),
            ("cast('NaN' AS float)", "MISSING"),
            ("cast('TRUE' AS boolean)", "true"),
            ("cast('yes' AS boolean)", "MISSING"),
            ("cast(1 AS boolean)", "MISSING"),
            ("cast(3 AS float)", "3.0"),
            ("cast(-3.9 AS integer)", "-3"),
            ("cast(1e300 AS integer)", "MISSING"),
            ("cast(true AS integer)", "1"),
            ("cast(false AS float)", "0.0"),
            ("cast(42 AS string)", "'42'"),
            ("cast(1.5 AS string)", "'1.5'"),
            ("cast(true AS string)", "'true'"),
            ("cast([1] AS string)", "MISSING"),
            ("cast({} AS string)", "MISSING"),
            ("cast(cast('hé' AS binary) AS string)", "'hé'"),
            ("type(cast('a' AS binary))", "'binary'"),
            ("cast(1 AS binary)", "MISSING"),
            ("cast(null AS integer)", "null"),
            ("cast(nothing AS string)", "MISSING"),
            ("cast('a' AS string)", "'a'"),
        ],
    );
    refuse(
        &sample(),
        &[
            ("SELECT cast(1 AS date) FROM plants", "compile", "column"),
            ("SELECT cast(1, 'date') FROM plants", "compile", "column"),
        ],
    );
}

#[test]
fn quantifiers_look_into_arrays_and_objects() {
    let store = sample();
    value_with(
        &store,
        &[
            ("ANY t IN tags SATISFIES t = 'sun' END", "{}", "true"),
            ("SOME t IN tags SATISFIES t = 'x' END", "{}", "false"),
            ("EVERY t IN tags SATISFIES char_length(t) > 2 END", "{}", "true"),
            ("EVERY t IN [] SATISFIES false END", "{}", "true"),
            ("ANY AND EVERY t IN [] SATISFIES true END", "{}", "false"),
            ("ANY AND EVERY t IN tags SATISFIES true END", "{}", "true"),
            ("ANY t IN [] SATISFIES true END", "{}", "false"),
            ("ANY v IN care SATISFIES v = 6 END", "{}", "true"),
            ("ANY k:v IN care SATISFIES k = 'light' AND v = 6 END", "{}", "true"),
            ("ANY i:t IN tags SATISFIES i = 1 AND t = 'sun' END", "{}", "true"),
            ("ANY x WITHIN {'a':[{'b':7}]} SATISFIES x = 7 END", "{}", "true"),
            ("ANY x IN {'a':[{'b':7}]} SATISFIES x = 7 END", "{}", "false"),
            ("ANY name IN tags SATISFIES name = 'sun' AND bed = 'A' END", "{}", "true"),
            ("ANY x IN :list SATISFIES x = height END", "{'list':[12]}", "true"),
            ("ANY x IN nothing SATISFIES true END", "{}", "MISSING"),
            ("ANY x IN null SATISFIES true END", "{}", "null"),
            ("ANY x IN 5 SATISFIES true END", "{}", "null"),
            ("EVERY x IN nothing SATISFIES true END", "{}", "MISSING"),
            ("ANY a IN [1,2], b IN [2,3] SATISFIES a = b END", "{}", "true"),
            ("EVERY a IN [1,2], b IN [2,3] SATISFIES a <= b END", "{}", "true"),
        ],
    );
    keep(
        &store,
        &[
            ("ANY t IN tags SATISFIES t = 'herb' END", "p1 p2"),
            ("ANY t IN ['A'] SATISFIES t = bed END", "p1 p2"),
            ("NOT (ANY t IN tags SATISFIES t = 'sun' END)", "p2"),
        ],
    );
}

#[test]
fn transforms_build_arrays_and_objects() {
    let store = sample();
    give(
        &store,
        &[(
            "SELECT _id, ARRAY upper(t) FOR t IN tags WHEN t != 'sun' END AS labels,
             OBJECT k : v * 2 FOR k:v IN care WHEN is_number(v) END AS doubled,
             EVERY t IN tags SATISFIES char_length(t) > 2 END AS longTags
             FROM plants WHERE _id = 'p1'",
            "[{'_id':'p1','labels':['HERB'],'doubled':{'light':12},'longTags':true}]",
        )],
    );
    value(
        &store,
        &[
            ("ARRAY t FOR t IN nothing END", "MISSING"),
            ("ARRAY t FOR t IN 5 END", "null"),
            ("ARRAY t FOR t IN null END", "null"),
            ("ARRAY t.a FOR t IN [{'a':1},{'b':2}] END", "[1]"),
            ("ARRAY i FOR i:t IN tags END", "[0,1]"),
            ("ARRAY v FOR v IN care END", "[6,'daily']"),
            ("ARRAY x FOR x WITHIN [1,[2]] END", "[1,[2],2]"),
            ("ARRAY (ARRAY a + b FOR b IN [10,20] END) FOR a IN [1,2] END", "[[11,21],[12,22]]"),
            ("OBJECT t : 1 FOR t IN ['a', 5, 'b'] END", "{'a':1,'b':1}"),
            ("OBJECT 'k' : t FOR t IN [1,2] END", "{'k':2}"),
            ("OBJECT k : v.x FOR k:v IN {'a':{'x':1},'b':{}} END", "{'a':1}"),
            ("OBJECT t : 1 FOR t IN 5 END", "null"),
            ("OBJECT t : 1 FOR t IN nothing END", "MISSING"),
        ],
    );
}
