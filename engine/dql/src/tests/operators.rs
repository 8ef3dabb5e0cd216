use super::{arguments, eval, over, table};

#[test]
fn comparison_needs_two_values_of_one_kind() {
    table(&[
        ("1 = 1.0", "true"),
        ("7 == 7", "true"),
        ("1 = '1'", "MISSING"),
        ("1 != '1'", "MISSING"),
        ("1 <> 2", "true"),
        ("null = null", "null"),
        ("null = 1", "null"),
        ("missing = null", "MISSING"),
        ("false < true", "true"),
        ("'Z' < 'a'", "true"),
        ("'ab' < 'b'", "true"),
        ("9007199254740993 = 9007199254740992.0", "false"),
        ("18446744073709551615 > 9223372036854775807", "true"),
        ("[1, null] = [1.0, null]", "true"),
        ("[1, 2] < [1, 3]", "true"),
        ("{'a': 1, 'b': [2]} = {'b': [2.0], 'a': 1}", "true"),
        ("{'a': 1} = [1]", "MISSING"),
        ("tags = ['herb', 'sun']", "true"),
        ("care = {'light': 6, 'water': 'daily'}", "true"),
    ]);
}

#[test]
fn sort_order_is_the_cross_kind_one() {
    // MIN and MAX see it; see the aggregates. Here: elements inside of arrays compare by it.
    let ascending = ["false", "true", "-1", "2.5", "''", "'a'", "[]", "[1]", "{}", "{'a': 1}", "null"];
    for (position, smaller) in ascending.iter().enumerate() {
        for greater in &ascending[position + 1..] {
            table(&[
                (&format!("[{smaller}] < [{greater}]"), "true"),
                (&format!("[{greater}] < [{smaller}]"), "false"),
            ]);
        }
    }
}

#[test]
fn arithmetic_keeps_integers_where_it_can() {
    table(&[
        ("2 + 3", "5"),
        ("2 + 3.0", "5.0"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("7 / 2.0", "3.5"),
        ("7 / 0", "null"),
        ("7.0 / 0", "null"),
        ("7 % 3", "1"),
        ("-7 % 3", "-1"),
        ("7 % 0", "null"),
        ("9223372036854775807 + 1", "9223372036854775808"),
        ("18446744073709551615 + 1", "1.8446744073709552e19"),
        ("9223372036854775807 * 9223372036854775807", "8.507059173023462e37"),
        ("type(-(-9223372036854775808))", "\"float\""),
        ("0 - 9223372036854775807 - 2", "-9.223372036854776e18"),
        ("1 + null", "null"),
        ("1 + missing", "MISSING"),
        ("null + missing", "MISSING"),
        ("1 + 'a'", "MISSING"),
        ("null + 'a'", "MISSING"),
        ("-null", "null"),
        ("-'a'", "MISSING"),
        ("+height", "12"),
        ("+name", "MISSING"),
        ("1 << 4", "16"),
        ("-16 >> 2", "-4"),
        ("1 << 64", "0"),
        ("1 << -1", "0"),
        ("1.0 << 1", "MISSING"),
        ("'be' || 'ds'", "\"beds\""),
        ("'a' || 1", "MISSING"),
        ("'a' || null", "null"),
        ("0x2A", "42"),
        ("1e3", "1000.0"),
        ("18446744073709551616", "1.8446744073709552e19"),
    ]);
}

#[test]
fn precedence_is_the_one_of_the_table() {
    table(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("1 << 2 + 1", "8"),
        ("10 - 3 - 2", "5"),
        ("8 / 2 / 2", "2"),
        ("-2 + 3", "1"),
        ("1 = 1 = true", "true"),
        ("null = null IS NULL", "true"),
        ("NOT 1 = 2", "true"),
        ("NOT null IS NULL", "false"),
        ("true OR true XOR true", "true"),
        ("true XOR false AND false", "true"),
        ("false AND true OR true", "true"),
        ("1 < 2 = true AND NOT false", "true"),
        ("2 IN (1, 2) = true", "true"),
        ("1 BETWEEN 0 AND 2 AND true", "true"),
        ("'ab' = 'ab' LIKE 'x'", "MISSING"),
    ]);
}

#[test]
fn in_compares_one_by_one() {
    table(&[
        ("1 IN (1.0, 2)", "true"),
        ("3 IN [1, 2]", "false"),
        ("3 IN (1, null)", "null"),
        ("1 IN (1, null)", "true"),
        ("'1' IN (1, 2)", "false"),
        ("missing IN (1)", "MISSING"),
        ("null IN (1)", "null"),
        ("1 IN 1", "MISSING"),
        ("1 IN missing", "MISSING"),
        ("1 IN []", "false"),
        ("1 NOT IN [2, null]", "null"),
        ("'light' IN object_keys(care)", "true"),
        ("height IN (bed, height)", "true"),
        ("[1] IN ([1], [2])", "true"),
        ("1 IN ([1])", "false"),
        // What goes on after the parenthesis is no list.
        ("1 IN ([1])[0]", "MISSING"),
        ("1 IN ([[1]])[0]", "true"),
        ("1 IN ({'few': [1]}).few", "true"),
        ("1 NOT IN (1) + 1", "MISSING"),
        ("6 IN (1, 2) + 1", "MISSING"),
    ]);
}

#[test]
fn patterns_match_the_whole_text() {
    table(&[
        ("'Basil' LIKE 'B%l'", "true"),
        ("'Basil' LIKE 'b%l'", "false"),
        ("'Basil' ILIKE 'b%L'", "true"),
        ("'ΣΑΣ' ILIKE 'σας'", "true"),
        ("'Basil' LIKE 'Bas'", "false"),
        ("'Añil' LIKE 'A_il'", "true"),
        ("'aXbXc' LIKE 'a%X_'", "true"),
        ("'' LIKE '%'", "true"),
        ("'a' NOT LIKE 'b'", "true"),
        ("'5%' LIKE '5\\\\%'", "true"),
        ("'5x' LIKE '5\\\\%'", "false"),
        ("'5%' LIKE '5!%' ESCAPE '!'", "true"),
        ("5 LIKE '5'", "MISSING"),
        ("null LIKE '5'", "null"),
        ("null LIKE 5", "MISSING"),
        ("'x' LIKE name || '\\\\'", "false"),
        ("'Basilx' LIKE name || '\\\\'", "MISSING"),
        ("'abc' SIMILAR TO 'a(b|x)c'", "true"),
        ("'a.c' SIMILAR TO 'a.c'", "true"),
        ("'abc' SIMILAR TO 'a.c'", "false"),
        ("'aaa' SIMILAR TO 'a{3}'", "true"),
        ("'a9' SIMILAR TO '[a-c][^a-z]'", "true"),
        ("'xabcx' SIMILAR TO 'abc'", "false"),
        ("'xabcx' SIMILAR TO '%abc_'", "true"),
        ("'a|b' SIMILAR TO 'a!|b' ESCAPE '!'", "true"),
    ]);
    let given = arguments(r#"{"open": "a(b"}"#);
    assert_eq!(over("{}", &given, "'a' SIMILAR TO :open"), "MISSING");
}

#[test]
fn case_takes_the_first_true_branch() {
    table(&[
        ("CASE WHEN height > 20 THEN 'tall' WHEN height > 10 THEN 'medium' ELSE 'small' END", "\"medium\""),
        ("CASE bed WHEN 'B' THEN 1 WHEN 'A' THEN 2 END", "2"),
        ("CASE bed WHEN 'X' THEN 1 END", "null"),
        ("CASE WHEN retired THEN 1 END", "null"),
        ("CASE WHEN true THEN missing END", "MISSING"),
    ]);
}

#[test]
fn cast_converts_or_is_missing() {
    table(&[
        ("cast('42' AS integer)", "42"),
        ("cast('+42' AS INTEGER)", "42"),
        ("cast('-9223372036854775808' AS integer)", "-9223372036854775808"),
        ("cast('18446744073709551615', 'integer')", "18446744073709551615"),
        ("cast(' 42' AS integer)", "MISSING"),
        ("cast('4.2' AS integer)", "MISSING"),
        ("cast(4.9 AS integer)", "4"),
        ("cast(-4.9 AS integer)", "-4"),
        ("cast(1e30 AS integer)", "MISSING"),
        ("cast('1e3' AS float)", "1000.0"),
        ("cast('+1' AS float)", "MISSING"),
        ("cast('1 ' AS float)", "MISSING"),
        ("cast(1 AS float)", "1.0"),
        ("cast('TRUE' AS boolean)", "true"),
        ("cast(1 AS boolean)", "MISSING"),
        ("cast(true AS integer)", "1"),
        ("cast(1.5 AS string)", "\"1.5\""),
        ("cast([1] AS string)", "MISSING"),
        ("cast(cast('hi' AS binary) AS string)", "\"hi\""),
        ("type(cast('hi' AS binary))", "\"binary\""),
        ("cast(null AS string)", "null"),
        ("cast(missing AS string)", "MISSING"),
    ]);
}

#[test]
fn paths_and_subscripts_read_or_are_missing() {
    table(&[
        ("care.light", "6"),
        ("plants.care.light", "6"),
        ("`care`.`light`", "6"),
        ("care.light.deep", "MISSING"),
        ("tags.x", "MISSING"),
        ("tags[0]", "\"herb\""),
        ("tags[-1]", "\"sun\""),
        ("tags[2]", "MISSING"),
        ("tags[-3]", "MISSING"),
        ("care['light']", "6"),
        ("care[0]", "MISSING"),
        ("name[0]", "MISSING"),
        ("[{'a': 1}, 2][0].a", "1"),
        ("object_set(care, 'x', {'y': 2}).x.y", "2"),
        ("Care.light", "MISSING"),
    ]);
    assert_eq!(over(r#"{"p": 1}"#, &arguments("{}"), "1 + 1"), "2");
}

#[test]
fn an_alias_alone_is_the_document_unless_a_field_has_its_name() {
    let select = super::select("SELECT object_length(p) AS n FROM plants p");
    for (document, expected) in [(r#"{"a": 1, "b": 2}"#, "2"), (r#"{"p": {"x": 1}}"#, "1")] {
        let bytes = super::value(document).encode();
        let given = arguments("{}");
        let context =
            crate::Context::new(&given, 0).with_document(ditto_value::ValueRef::from_stored(&bytes));
        assert_eq!(select.projection.row(&context, &["p"]).get("n").unwrap().to_json(), expected);
    }
}

#[test]
fn literals_keep_null_and_drop_missing() {
    table(&[
        ("[1, missing, null]", "[1,null,null]"),
        ("{'a': missing, 'b': null, 'c': 1}", "{\"b\":null,\"c\":1}"),
        ("{'a': 1, 'a': 2}", "{\"a\":2}"),
        ("{name: 1}", "{\"Basil\":1}"),
        ("{height: 1}", "{}"),
        ("'tab\\tquote\\' slash\\\\ \\u0041 \\ud83c\\udf31 \\q'", "\"tab\\tquote' slash\\\\ A 🌱 q\""),
        ("\"double\"", "\"double\""),
    ]);
}

#[test]
fn quantifiers_count_what_satisfies() {
    table(&[
        ("ANY t IN tags SATISFIES t LIKE 's%' END", "true"),
        ("SOME t IN tags SATISFIES t = 'x' END", "false"),
        ("EVERY t IN tags SATISFIES char_length(t) > 2 END", "true"),
        ("EVERY t IN [] SATISFIES false END", "true"),
        ("ANY t IN [] SATISFIES true END", "false"),
        ("ANY AND EVERY t IN [] SATISFIES true END", "false"),
        ("ANY AND EVERY t IN tags SATISFIES true END", "true"),
        ("ANY v IN care SATISFIES v = 6 END", "true"),
        ("ANY k:v IN care SATISFIES k = 'light' AND v = 6 END", "true"),
        ("ANY i:t IN tags SATISFIES i = 1 AND t = 'sun' END", "true"),
        ("ANY v WITHIN [[1, {'a': [2]}]] SATISFIES v = 2 END", "true"),
        ("ANY v IN missing SATISFIES true END", "MISSING"),
        ("ANY v IN null SATISFIES true END", "null"),
        ("EVERY v IN 5 SATISFIES true END", "null"),
        ("ANY a IN [1, 2], b IN [2, 3] SATISFIES a = b END", "true"),
        ("EVERY a IN [1, 2], b IN [2, 3] SATISFIES a <= b END", "true"),
        ("ANY height IN [99] SATISFIES height = 99 AND name = 'Basil' END", "true"),
        ("ANY o IN [{'in': [1]}] SATISFIES ANY i IN o.`in` SATISFIES i = 1 AND o.`in` = [1] END END", "true"),
    ]);
}

#[test]
fn transforms_build_and_skip() {
    table(&[
        ("ARRAY upper(t) FOR t IN tags WHEN t != 'sun' END", "[\"HERB\"]"),
        ("OBJECT k : v * 2 FOR k:v IN care WHEN is_number(v) END", "{\"light\":12}"),
        ("ARRAY t.x FOR t IN [{'x': 1}, {}] END", "[1]"),
        ("ARRAY i FOR i:t IN tags END", "[0,1]"),
        ("ARRAY v FOR v WITHIN [1, [2]] END", "[1,[2],2]"),
        ("OBJECT t : 1 FOR t IN ['a', 5, 'a'] END", "{\"a\":1}"),
        ("ARRAY 1 FOR t IN missing END", "MISSING"),
        ("ARRAY 1 FOR t IN 5 END", "null"),
        (
            "ARRAY ARRAY a || b FOR b IN ['x', 'y'] END FOR a IN tags END",
            "[[\"herbx\",\"herby\"],[\"sunx\",\"suny\"]]",
        ),
    ]);
    assert_eq!(eval("any"), "MISSING");
}
