use crate::{ErrorKind, ParseError, parse};

#[track_caller]
fn refused(text: &str) -> ParseError {
    match parse(text) {
        Err(error) => error,
        Ok(statement) => panic!("{text} was accepted: {statement:?}"),
    }
}

/// Statement, line, column, and a part of the message with its hint.
#[test]
fn mistakes_have_a_position_and_a_hint() {
    let table = [
        ("", 1, 1, "expected a statement, found the end"),
        ("  \n -- nothing\n/* at all */ ", 3, 14, "expected a statement, found the end"),
        ("SELEKT * FROM plants", 1, 1, "found 'SELEKT'"),
        ("SELECT * FROM my-plants", 1, 17, "backticks, for example `my-…`"),
        ("SELECT *\nFROM plants\nWHERE height >", 3, 15, "expected an expression, found the end"),
        ("SELECT * FROM plants WHERE name = 'it''s'", 1, 39, "with a backslash: \\'"),
        ("SELECT * FROM plants WHERE name = :1", 1, 36, "parameters are named, not numbered"),
        ("SELECT * FROM plants WHERE name = ?", 1, 35, "parameters are named and begin with a colon"),
        ("SELECT * FROM :c", 1, 15, "parameters stand for values, not for names"),
        ("SELECT * FROM 'plants'", 1, 15, "quotes delimit strings"),
        ("SELECT * FROM plants WHERE care.:p = 1", 1, 33, "parameters stand for values"),
        ("SELECT * FROM plants WHERE care[:p] = 1", 1, 33, "cannot select a member"),
        ("SELECT FROM plants", 1, 8, "write `FROM` in backticks"),
        ("SELECT name, FROM plants", 1, 14, "expected an expression, found 'FROM'"),
        ("SELECT 1", 1, 9, "system:dual"),
        ("SELECT * FROM plants; SELECT * FROM beds", 1, 23, "one statement at a time"),
        ("SELECT *, name FROM plants", 1, 8, "cannot be combined"),
        ("SELECT name, * FROM plants", 1, 14, "cannot be combined"),
        ("SELECT name, upper(name) AS name FROM plants", 1, 14, "two items of the row are named name"),
        ("SELECT * FROM plants (care MAP)", 1, 22, "the word COLLECTION"),
        ("SELECT * FROM COLLECTION plants (care TREE)", 1, 39, "REGISTER, MAP, COUNTER"),
        ("SELECT * FROM COLLECTION plants (care MAP, care REGISTER)", 1, 44, "defined twice"),
        ("SELECT * FROM collection", 1, 25, "the name of a collection"),
        ("SELECT name all FROM plants", 1, 13, "',' or FROM"),
        ("SELECT * FROM other:plants", 1, 15, "no namespace named other"),
        ("SELECT * FROM plants, beds", 1, 21, "use JOIN"),
        ("SELECT * FROM a CROSS JOIN b", 1, 17, "CROSS is not supported"),
        ("SELECT * FROM a JOIN b ON a.x = b.x", 1, 22, "JOIN is not supported yet"),
        ("SELECT * FROM a JOIN b ON x = b.x", 1, 27, "x could belong to several collections"),
        ("SELECT * FROM a JOIN a ON true", 1, 22, "two collections are named a here"),
        ("SELECT * FROM a JOIN b ON c.x = 1 JOIN c ON true", 1, 27, "c could belong"),
        ("SELECT * FROM a JOIN b ON true RIGHT JOIN c ON true", 1, 43, "RIGHT JOIN must be the first join"),
        ("SELECT x.* FROM plants p", 1, 8, "no collection is named x here"),
        ("SELECT * FROM plants GROUP BY bed", 1, 15, "* has no meaning for a group"),
        ("SELECT p.*, COUNT(*) FROM plants p", 1, 8, "p.* has no meaning for a group"),
        ("SELECT uper(name) FROM plants", 1, 8, "did you mean upper?"),
        ("SELECT upper() FROM plants", 1, 8, "takes 1 argument, 0 given"),
        ("SELECT (1, 2) FROM plants", 1, 8, "right of IN"),
        ("SELECT * FROM plants USE IDS ('p1', 'p3')", 1, 30, "right of IN"),
        ("SELECT * FROM plants WHERE COUNT(*) > 1", 1, 28, "COUNT is not allowed in WHERE"),
        ("SELECT SUM(COUNT(*)) FROM plants", 1, 12, "inside of another aggregate"),
        ("SELECT name, COUNT(*) FROM plants", 1, 8, "neither aggregated nor in GROUP BY"),
        ("SELECT bed, name FROM plants GROUP BY bed", 1, 13, "neither aggregated nor in GROUP BY"),
        ("SELECT bed AS b FROM plants GROUP BY bed HAVING b = 'A'", 1, 49, "b is neither"),
        ("SELECT * FROM plants WHERE name LIKE 'a\\\\'", 1, 38, "ends with its escape character"),
        ("SELECT * FROM plants WHERE name SIMILAR TO 'a(b'", 1, 44, "never closed"),
        ("SELECT * FROM plants WHERE regexp_like(name, 'a(')", 1, 28, "malformed"),
        ("SELECT * FROM plants LIMIT height", 1, 28, "no document here"),
        ("SELECT * FROM plants ORDER BY name NULLS FIRST", 1, 36, "found 'NULLS'"),
        ("SELECT * FROM plants WHERE name = 'open", 1, 35, "never closed"),
        ("SELECT * FROM plants /* open", 1, 22, "never closed"),
        ("SELECT * FROM plants WHERE größe = 1", 1, 30, "backticks"),
        ("SELECT * FROM plants WHERE 12abc = 1", 1, 28, "run into letters"),
        ("SELECT * FROM plants WHERE a = NOT b", 1, 32, "parentheses"),
        ("SELECT * FROM plants WHERE a NOT b", 1, 34, "IN, BETWEEN, LIKE"),
        ("SELECT /*+ {oops} */ * FROM plants", 1, 11, "JSON object of directives"),
        ("INSERT INTO plants DOCUMENTS ({_id: 'x'})", 1, 32, "write it in quotes: '_id'"),
        ("INSERT INTO plants DOCUMENTS ({'a': b})", 1, 37, "no document here"),
        ("INSERT INTO plants VALUES {'a': 1}", 1, 27, "expected '('"),
        (
            "INSERT INTO plants INITIAL DOCUMENTS ({}) ON ID CONFLICT DO NOTHING",
            1,
            43,
            "INITIAL cannot be combined",
        ),
        ("UPDATE plants WHERE a = 1", 1, 15, "APPLY, SET or UNSET"),
        ("UPDATE plants SET _id = 1", 1, 19, "_id of a document cannot be changed"),
        ("UPDATE plants SET a = 1, a = 2", 1, 26, "a is changed twice"),
        ("UPDATE plants SET care.light = 2, care = {}", 1, 19, "contains it"),
        ("UPDATE plants SET tags[0] = 1", 1, 23, "elements of arrays"),
        ("UPDATE plants UNSET a SET b = 1", 1, 23, "the order is APPLY, SET, UNSET"),
        ("CREATE INDEX i ON plants (lower(name))", 1, 32, "fields, not expressions"),
        ("DROP INDEX i", 1, 13, "DROP INDEX name ON collection"),
        ("EXPLAIN SHOW ALL", 1, 9, "EXPLAIN cannot be applied"),
        ("ALTER SYSTEM SET a 5", 1, 20, "'=' or TO"),
    ];
    for (text, line, column, part) in table {
        let error = refused(text);
        let shown = error.to_string();
        assert_eq!((error.line, error.column), (line, column), "{text}\n{shown}");
        assert!(shown.contains(part), "{text}\n{shown}");
    }
}

#[test]
fn kinds_of_errors_are_told_apart() {
    let table = [
        ("SELECT", ErrorKind::Syntax),
        ("SELECT nope(1) FROM a", ErrorKind::Semantics),
        ("SELECT * FROM a JOIN b ON a.x = b.x", ErrorKind::Unsupported),
        ("SELECT * FROM a WHERE x = 'unclosed", ErrorKind::Syntax),
    ];
    for (text, kind) in table {
        assert_eq!(refused(text).kind, kind, "{text}");
    }
}

#[test]
fn words_are_reserved_only_where_the_grammar_needs_them() {
    for text in [
        "SELECT value, text, timestamp, day FROM plants",
        "SELECT limit, offset FROM plants",
        "SELECT from FROM mail WHERE from = 'me' AND to = 'you'",
        "SELECT start, end FROM plants WHERE end > 5",
        "SELECT type(x) AS type FROM plants",
        "SELECT any, some, every FROM plants",
        "SELECT `order`, `select` FROM `group`",
        "SELECT x.from, x.`where`, x.select FROM plants x",
        "SELECT name value FROM plants",
        "SELECT default, list, index FROM plants ORDER BY desc DESC",
        "select Name from Plants where NAME is missing",
    ] {
        assert!(parse(text).is_ok(), "{text}: {}", refused(text));
    }
}
