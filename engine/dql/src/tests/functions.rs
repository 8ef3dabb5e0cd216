use super::{arguments, over, table};

#[test]
fn string_functions() {
    table(&[
        ("concat('be','ds')", "\"beds\""),
        ("concat('a', 1)", "MISSING"),
        ("concat('a', null)", "null"),
        ("contains('Fern','er')", "true"),
        ("starts_with(name, 'Ba')", "true"),
        ("ends_with('Moss','ss')", "true"),
        ("char_length('Añil')", "4"),
        ("CHARACTER_LENGTH('Añil')", "4"),
        ("byte_length('Añil')", "5"),
        ("upper('mint')", "\"MINT\""),
        ("lower('ÄB')", "\"äb\""),
        ("substr('Lavender', 3, 2)", "\"en\""),
        ("substr('Lavender', -3)", "\"der\""),
        ("substr('Lavender', 9)", "\"\""),
        ("substr('Lavender', 1, -1)", "MISSING"),
        ("pos('Fern','r')", "2"),
        ("pos('Fern','x')", "-1"),
        ("POSITION('r' IN 'Fern')", "2"),
        ("POSITION('r' IN ('Fern'))", "2"),
        ("split('a/b/c','/')", "[\"a\",\"b\",\"c\"]"),
        ("split('', '/')", "[\"\"]"),
        ("split('ñx', '')", "[\"ñ\",\"x\"]"),
        ("joinstr('-', tags)", "\"herb-sun\""),
        ("joinstr('-', 'a', 'b')", "\"a-b\""),
        ("joinstr('-', [1])", "MISSING"),
        ("ltrim('  x ')", "\"x \""),
        ("rtrim(' x  ')", "\" x\""),
        ("TRIM(BOTH '*' FROM '**x*')", "\"x\""),
        ("TRIM(LEADING '*' FROM '**x*')", "\"x*\""),
        ("TRIM(TRAILING FROM 'x  ')", "\"x\""),
        ("`trim`(' x ')", "\"x\""),
        ("TRIM(' x ')", "\"x\""),
        ("lpad('7', 3, '0')", "\"007\""),
        ("rpad('7', 3)", "\"7  \""),
        ("lpad('12345', 3)", "\"123\""),
        ("repeat('ab', 2)", "\"abab\""),
        ("repeat('ab', -1)", "\"\""),
        ("regexp_like('Fern','^f','i')", "true"),
        ("regexp_like('Fern','^f','ic')", "false"),
        ("regexp_like('xFernx','er')", "true"),
        ("regexp_like('a\\nb','^b','m')", "true"),
        ("regexp_like('é7','\\\\w\\\\d')", "true"),
    ]);
    assert_eq!(over("{}", &arguments(r#"{"re": "("}"#), "regexp_like('a', :re)"), "MISSING");
}

#[test]
fn number_functions() {
    table(&[
        ("abs(-3)", "3"),
        ("type(abs(-9223372036854775808))", "\"float\""),
        ("abs(-1.5)", "1.5"),
        ("ceil(1.2)", "2.0"),
        ("floor(-1.2)", "-2.0"),
        ("ceil(3)", "3"),
        ("floor('3')", "MISSING"),
        ("floor(null)", "null"),
    ]);
}

#[test]
fn array_and_object_functions() {
    table(&[
        ("array_contains([1, 2], 1.0)", "true"),
        ("array_contains(tags, 'x')", "false"),
        ("array_contains([null], null)", "false"),
        ("array_contains(5, 1)", "MISSING"),
        ("array_contains_null([1, null])", "true"),
        ("array_length(tags)", "2"),
        ("array_length(care)", "MISSING"),
        ("object_length(care)", "2"),
        ("object_keys(care)", "[\"light\",\"water\"]"),
        ("object_values(care)", "[6,\"daily\"]"),
        ("object_set({'a': 1}, 'b', null)", "{\"a\":1,\"b\":null}"),
        ("object_set({'a': 1}, 'a', 2)", "MISSING"),
        ("object_set({'a': 1}, 'a', 2, true)", "{\"a\":2}"),
        ("object_unset({'a': 1}, 'a')", "{}"),
        ("object_unset({'a': 1}, 'b')", "MISSING"),
        ("object_unset({'a': 1}, 'b', true)", "{\"a\":1}"),
        ("object_concat({'a': 1}, {'a': 2, 'b': 3})", "{\"a\":2,\"b\":3}"),
        ("object_rename({'a': 1}, 'a', 'b')", "{\"b\":1}"),
        ("object_rename({'a': 1}, 'x', 'b')", "MISSING"),
        ("object_size(care) > 0", "true"),
        ("object_size(1)", "MISSING"),
    ]);
}

#[test]
fn conditional_functions() {
    table(&[
        ("coalesce(null, missing, 3, 4)", "3"),
        ("coalesce(null, missing)", "null"),
        ("ifmissingornull(retired, false)", "false"),
        ("ifmissing(missing, null, 1)", "null"),
        ("ifnull(null, 2)", "2"),
        ("ifnull(null, missing, 2)", "MISSING"),
        ("nvl(null, 1)", "1"),
        ("nvl(5, 1)", "5"),
        ("nvl(5, 1, 2)", "1"),
        ("nvl(missing, 1, 2)", "2"),
        ("nullif(1, 1.0)", "null"),
        ("nullif(1, 2)", "1"),
        ("missingif(1, 1)", "MISSING"),
        ("missingif(1, '1')", "1"),
        ("isnull(null)", "true"),
        ("isnull(missing)", "MISSING"),
        ("ismissing(missing)", "true"),
        ("ismissingornull(1)", "false"),
        ("decode(2, 1, 'a', 2.0, 'b', 'c')", "\"b\""),
        ("decode(3, 1, 'a', 2, 'b', 'c')", "\"c\""),
        ("decode('1', 1, 'a')", "null"),
    ]);
}

#[test]
fn kind_functions() {
    table(&[
        ("type(missing)", "\"missing\""),
        ("type(null)", "\"null\""),
        ("type(true)", "\"boolean\""),
        ("type(1)", "\"integer\""),
        ("type(18446744073709551615)", "\"integer\""),
        ("type(1.0)", "\"float\""),
        ("type('')", "\"string\""),
        ("type([])", "\"array\""),
        ("type({})", "\"object\""),
        ("json_type(missing)", "\"null\""),
        ("json_type(1)", "\"number\""),
        ("is_number(1.5)", "true"),
        ("is_string(null)", "null"),
        ("is_boolean(missing)", "MISSING"),
        ("serialize_json({'b': 1, 'a': [null]})", "\"{\\\"a\\\":[null],\\\"b\\\":1}\""),
        ("deserialize_json('{\"a\": 1}')", "{\"a\":1}"),
        ("deserialize_json('{')", "MISSING"),
        ("request_info()", "null"),
    ]);
}
