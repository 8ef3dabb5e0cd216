//! Functions on strings, numbers, arrays, objects, kinds, and those that choose (6.1–6.4, 6.6, 6.7).

use crate::table::{refuse, sample, value, value_with};

#[test]
fn strings() {
    value_with(
        &sample(),
        &[
            ("concat('be','ds')", "{}", "'beds'"),
            ("concat('a')", "{}", "'a'"),
            ("concat('a', 1)", "{}", "MISSING"),
            ("concat('a', null)", "{}", "null"),
            ("contains('Fern','er')", "{}", "true"),
            ("contains('Fern','ER')", "{}", "false"),
            ("contains('Fern','')", "{}", "true"),
            ("starts_with('Fern','Fe')", "{}", "true"),
            ("ends_with('Moss','ss')", "{}", "true"),
            ("ends_with('Moss', 1)", "{}", "MISSING"),
            ("char_length('Añil')", "{}", "4"),
            ("character_length('Añil')", "{}", "4"),
            ("byte_length('Añil')", "{}", "5"),
            ("char_length(5)", "{}", "MISSING"),
            ("lower('ÄB')", "{}", "'äb'"),
            ("upper('mint')", "{}", "'MINT'"),
            ("UPPER('mint')", "{}", "'MINT'"),
            ("substr('Lavender', 3, 2)", "{}", "'en'"),
            ("substr('Lavender', 0)", "{}", "'Lavender'"),
            ("substr('Lavender', 6)", "{}", "'er'"),
            ("substr('Lavender', -2)", "{}", "'er'"),
            ("substr('Lavender', -2, 1)", "{}", "'e'"),
            ("substr('Lavender', 20)", "{}", "''"),
            ("substr('Lavender', 1, -1)", "{}", "MISSING"),
            ("substr('Lavender', 1, 0)", "{}", "''"),
            ("substr('Añil', 1, 1)", "{}", "'ñ'"),
            ("substr('Lavender', 1.5)", "{}", "MISSING"),
            ("pos('Fern','r')", "{}", "2"),
            ("pos('Fern','x')", "{}", "-1"),
            ("pos('Añil','l')", "{}", "3"),
            ("POSITION('r' IN 'Fern')", "{}", "2"),
            ("split('a/b/c','/')", "{}", "['a','b','c']"),
            ("split('abc','')", "{}", "['a','b','c']"),
            ("split('','/')", "{}", "['']"),
            ("split('/a/','/')", "{}", "['','a','']"),
            ("joinstr('-', tags)", "{}", "'herb-sun'"),
            ("joinstr('-', 'a', 'b')", "{}", "'a-b'"),
            ("joinstr('-', [])", "{}", "''"),
            ("joinstr('-', [1])", "{}", "MISSING"),
            ("ltrim('  x ')", "{}", "'x '"),
            ("rtrim('  x ')", "{}", "'  x'"),
            ("TRIM(BOTH '*' FROM '**x*')", "{}", "'x'"),
            ("TRIM(LEADING '*' FROM '**x*')", "{}", "'x*'"),
            ("TRIM(TRAILING '*' FROM '**x*')", "{}", "'**x'"),
            ("`trim`(' x ')", "{}", "'x'"),
            ("lpad('7', 3, '0')", "{}", "'007'"),
            ("rpad('7', 3)", "{}", "'7  '"),
            ("lpad('12345', 3)", "{}", "'123'"),
            ("rpad('7', 4, 'ab')", "{}", "'7aba'"),
            ("repeat('ab', 2)", "{}", "'abab'"),
            ("repeat('ab', 0)", "{}", "''"),
            ("repeat('ab', -1)", "{}", "''"),
            ("repeat('ab', 9223372036854775807)", "{}", "MISSING"),
            ("regexp_like('Fern','^f','i')", "{}", "true"),
            ("regexp_like('Fern','^f')", "{}", "false"),
            ("regexp_like('Fern','er')", "{}", "true"),
            ("regexp_like('Fern','^F','c')", "{}", "true"),
            ("regexp_like('Fern','^f','ic')", "{}", "false"),
            ("regexp_like('a\nb','^b','m')", "{}", "true"),
            ("regexp_like('a\nb','a.b')", "{}", "false"),
            ("regexp_like('a\nb','a.b','s')", "{}", "true"),
            ("regexp_like('ab','a b','x')", "{}", "true"),
            ("regexp_like('ab', :p)", "{'p':'(a'}", "MISSING"),
            ("regexp_like(nothing, 'a')", "{}", "MISSING"),
            ("regexp_like(null, 'a')", "{}", "null"),
        ],
    );
}

#[test]
fn numbers() {
    value(
        &sample(),
        &[
            ("abs(-5)", "5"),
            ("abs(-5.5)", "5.5"),
            ("type(abs(-9223372036854775808))", "'float'"),
            ("ceil(1.2)", "2.0"),
            ("ceil(1)", "1"),
            ("floor(-1.2)", "-2.0"),
            ("floor(3)", "3"),
            ("floor(1.005 * 100 + 0.5) / 100.0", "1.0"),
            ("abs('x')", "MISSING"),
            ("abs(null)", "null"),
            ("abs(nothing)", "MISSING"),
        ],
    );
}

#[test]
fn arrays_and_objects() {
    value(
        &sample(),
        &[
            ("array_contains(tags, 'sun')", "true"),
            ("array_contains([1,2], 2.0)", "true"),
            ("array_contains([[1]], [1])", "true"),
            ("array_contains([1], '1')", "false"),
            ("array_contains('x', 1)", "MISSING"),
            ("array_contains([null], null)", "false"),
            ("array_contains_null([1, null])", "true"),
            ("array_contains_null([1])", "false"),
            ("array_length(tags)", "2"),
            ("array_length('x')", "MISSING"),
            ("array_length(null)", "null"),
            ("object_length(care)", "2"),
            ("object_length(tags)", "MISSING"),
            ("object_keys(care)", "['light','water']"),
            ("object_values(care)", "[6,'daily']"),
            ("object_set({'a':1}, 'b', 2)", "{'a':1,'b':2}"),
            ("object_set({'a':1}, 'a', 2)", "MISSING"),
            ("object_set({'a':1}, 'a', 2, true)", "{'a':2}"),
            ("object_set({'a':1}, 'a', 2, false)", "MISSING"),
            ("object_unset({'a':1,'b':2}, 'b')", "{'a':1}"),
            ("object_unset({'a':1}, 'b')", "MISSING"),
            ("object_unset({'a':1}, 'b', true)", "{'a':1}"),
            ("object_concat({'a':1,'b':1}, {'b':2}, {'c':3})", "{'a':1,'b':2,'c':3}"),
            ("object_concat({'a':1}, 5)", "MISSING"),
            ("object_rename({'a':1}, 'a', 'b')", "{'b':1}"),
            ("object_rename({'a':1}, 'x', 'b')", "MISSING"),
            ("object_size(p) > 10", "true"),
            ("object_unset(p, 'care', true).care IS MISSING", "true"),
        ],
    );
}

#[test]
fn choices() {
    value(
        &sample(),
        &[
            ("coalesce(nothing, null, 3, 4)", "3"),
            ("coalesce(nothing, null)", "null"),
            ("ifmissingornull(nothing, 2)", "2"),
            ("ifmissing(nothing, null, 3)", "null"),
            ("ifmissing(nothing, 3)", "3"),
            ("ifnull(null, 3)", "3"),
            ("ifnull(null, nothing, 3)", "MISSING"),
            ("ifnull(1, 3)", "1"),
            ("nvl(null, 2)", "2"),
            ("nvl(nothing, 2)", "2"),
            ("nvl(1, 2)", "1"),
            ("nvl(1, 2, 3)", "2"),
            ("nvl(null, 2, 3)", "3"),
            ("nullif(1, 1.0)", "null"),
            ("nullif(1, 2)", "1"),
            ("missingif('', '')", "MISSING"),
            ("missingif('a', '')", "'a'"),
            ("isnull(null)", "true"),
            ("isnull(1)", "false"),
            ("isnull(nothing)", "MISSING"),
            ("ismissing(nothing)", "true"),
            ("ismissing(null)", "false"),
            ("ismissingornull(null)", "true"),
            ("ismissingornull(1)", "false"),
            ("decode(2, 1, 'a', 2.0, 'b')", "'b'"),
            ("decode(3, 1, 'a', 'default')", "'default'"),
            ("decode(3, 1, 'a')", "null"),
            ("decode('1', 1, 'a')", "null"),
        ],
    );
}

#[test]
fn kinds_and_json() {
    value(
        &sample(),
        &[
            ("type(nothing)", "'missing'"),
            ("type(null)", "'null'"),
            ("type(true)", "'boolean'"),
            ("type(1)", "'integer'"),
            ("type(1.0)", "'float'"),
            ("type('a')", "'string'"),
            ("type(tags)", "'array'"),
            ("type(care)", "'object'"),
            ("json_type(nothing)", "'null'"),
            ("json_type(1)", "'number'"),
            ("json_type(1.5)", "'number'"),
            ("json_type(cast('a' AS binary))", "'binary'"),
            ("is_number(1.5)", "true"),
            ("is_number('1')", "false"),
            ("is_number(null)", "null"),
            ("is_number(nothing)", "MISSING"),
            ("is_string('a')", "true"),
            ("is_boolean(false)", "true"),
            ("serialize_json({'b':1,'a':[null]}) = '{\\\"a\\\":[null],\\\"b\\\":1}'", "true"),
            ("serialize_json(null)", "'null'"),
            ("serialize_json(nothing)", "MISSING"),
            ("deserialize_json('{\\\"a\\\":[1,2.0]}')", "{'a':[1,2.0]}"),
            ("deserialize_json('{\\\"a\\\":1,\\\"a\\\":2}')", "{'a':2}"),
            ("deserialize_json('nonsense')", "MISSING"),
            ("deserialize_json('')", "MISSING"),
            ("deserialize_json('1 2')", "MISSING"),
            ("deserialize_json(5)", "MISSING"),
            ("type(request_info())", "'object'"),
            ("type(request_info().request_id)", "'string'"),
            ("is_string(request_info().start_time)", "true"),
        ],
    );
}

#[test]
fn calls_are_checked_before_they_run() {
    refuse(
        &sample(),
        &[
            ("SELECT round(1.5) FROM plants", "semantics", "line 1, column 8"),
            ("SELECT uper(name) FROM plants", "semantics", "upper"),
            ("SELECT upper() FROM plants", "semantics", "1 argument"),
            ("SELECT upper('a', 'b') FROM plants", "semantics", "1 argument"),
            ("SELECT substr('a') FROM plants", "semantics", "2 to 3"),
            ("SELECT coalesce() FROM plants", "semantics", "at least"),
            ("SELECT upper(DISTINCT name) FROM plants", "compile", "column"),
            ("SELECT upper(*) FROM plants", "compile", "column"),
            ("SELECT regexp_like(name, 'a', 'q') FROM plants", "semantics", "flag"),
        ],
    );
}
