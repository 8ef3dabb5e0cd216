use super::table;

const VALUES: [(&str, &str); 4] =
    [("true", "true"), ("false", "false"), ("null", "null"), ("missing", "MISSING")];

/// Rows by the left operand, columns by the right one, in the order of `VALUES`.
fn check(operator: &str, expected: [[&str; 4]; 4]) {
    for ((left, _), row) in VALUES.iter().zip(expected) {
        for ((right, _), result) in VALUES.iter().zip(row) {
            table(&[(&format!("{left} {operator} {right}"), result)]);
        }
    }
}

#[test]
fn and_follows_the_table() {
    check(
        "AND",
        [
            ["true", "false", "null", "MISSING"],
            ["false", "false", "false", "false"],
            ["null", "false", "null", "MISSING"],
            ["MISSING", "false", "MISSING", "MISSING"],
        ],
    );
}

#[test]
fn or_follows_the_table() {
    check(
        "OR",
        [
            ["true", "true", "true", "true"],
            ["true", "false", "null", "MISSING"],
            ["true", "null", "null", "null"],
            ["true", "MISSING", "null", "MISSING"],
        ],
    );
}

#[test]
fn xor_is_missing_then_null_then_inequality() {
    check(
        "XOR",
        [
            ["false", "true", "null", "MISSING"],
            ["true", "false", "null", "MISSING"],
            ["null", "null", "null", "MISSING"],
            ["MISSING", "MISSING", "MISSING", "MISSING"],
        ],
    );
}

#[test]
fn not_leaves_null_and_missing() {
    table(&[
        ("NOT true", "false"),
        ("NOT false", "true"),
        ("NOT null", "null"),
        ("NOT missing", "MISSING"),
        ("NOT 'x'", "MISSING"),
        ("NOT NOT true", "true"),
        ("1 AND true", "MISSING"),
    ]);
}

#[test]
fn is_gives_only_true_and_false() {
    table(&[
        ("null IS NULL", "true"),
        ("missing IS NULL", "false"),
        ("missing IS NOT NULL", "true"),
        ("missing IS UNKNOWN", "false"),
        ("5 IS MISSING", "false"),
        ("null IS NOT MISSING", "true"),
        ("null IS TRUE", "false"),
        ("missing IS NOT FALSE", "true"),
    ]);
}
