//! Which bare words end an expression or begin one. No word is reserved everywhere: each is a keyword only
//! where the grammar needs it, and every word is a name in backticks.

/// Words that follow an expression, so that they cannot be an alias written without AS.
const AFTER_EXPRESSION: [&str; 52] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CROSS",
    "DESC",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "FOR",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NATURAL",
    "NOT",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "RETURNING",
    "RIGHT",
    "SATISFIES",
    "SET",
    "SIMILAR",
    "THEN",
    "TO",
    "UNION",
    "UNNEST",
    "UNSET",
    "USE",
    "USING",
    "WHEN",
    "WHERE",
    "WITH",
    "WITHIN",
    "XOR",
    "APPLY",
    "NEST",
];

/// Words that may follow a field name directly, so that a clause word before them must itself be a name.
const AFTER_NAME: [&str; 17] = [
    "AND", "AS", "ASC", "BETWEEN", "DESC", "ELSE", "END", "FROM", "ILIKE", "IN", "IS", "LIKE", "NOT", "OR",
    "SIMILAR", "THEN", "XOR",
];

fn contains(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether `word` cannot be an alias written without AS.
pub(super) fn ends_expression(word: &str) -> bool {
    contains(&AFTER_EXPRESSION, word)
}

/// Whether the word before `word` can have been a field name.
pub(super) fn follows_name(word: &str) -> bool {
    contains(&AFTER_NAME, word)
}

/// Whether `word` can begin an operand although it ends expressions elsewhere: only NOT.
pub(super) fn begins_operand(word: &str) -> bool {
    word.eq_ignore_ascii_case("NOT") || !contains(&AFTER_EXPRESSION, word)
}

/// Operator words, which are never a name without backticks.
const OPERATORS: [&str; 15] = [
    "AND",
    "AS",
    "BETWEEN",
    "ELSE",
    "ESCAPE",
    "ILIKE",
    "IN",
    "IS",
    "LIKE",
    "NOT",
    "OR",
    "SATISFIES",
    "THEN",
    "WHEN",
    "XOR",
];

/// Whether `word` is an operator and never a name without backticks.
pub(super) fn never_name(word: &str) -> bool {
    contains(&OPERATORS, word)
}

/// Words that begin a form of their own where an operand is expected.
const OPERANDS: [&str; 16] = [
    "ANY", "ARRAY", "BOTH", "CASE", "CAST", "DISTINCT", "EVERY", "FALSE", "LEADING", "LIST", "MISSING",
    "NULL", "OBJECT", "SOME", "TRAILING", "TRUE",
];

/// Whether `name` could be misread without backticks.
pub(crate) fn needs_backticks(name: &str) -> bool {
    let mut characters = name.bytes();
    let bare = matches!(characters.next(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_'))
        && characters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    !bare || contains(&AFTER_EXPRESSION, name) || contains(&OPERANDS, name)
}
