use super::{arguments, kept};

#[test]
fn conditions_keep_only_rows_for_which_they_are_true() {
    let table = [
        ("retired = false", "p4"),
        ("retired != true", "p4"),
        ("NOT retired", "p4"),
        ("retired IS NULL", "p2"),
        ("retired IS UNKNOWN", "p2"),
        ("retired IS NOT NULL", "p1 p3 p4"),
        ("retired IS MISSING", "p1"),
        ("retired IS NOT MISSING", "p2 p3 p4"),
        ("retired IS TRUE", "p3"),
        ("retired IS NOT TRUE", "p1 p2 p4"),
        ("retired IS FALSE", "p4"),
        ("coalesce(retired, false) = false", "p1 p2 p4"),
        ("ismissingornull(retired)", "p1 p2"),
        ("retired IN (true, false)", "p3 p4"),
        ("retired NOT IN (true)", "p4"),
        ("height > 'tall'", ""),
        ("retired", "p3"),
        ("5", ""),
        ("NOT 5", ""),
        ("height = 12.0", "p1"),
        ("height BETWEEN 9.5 AND 12", "p1 p2"),
        ("height NOT BETWEEN 9.5 AND 12", "p3"),
        ("care = {'light': 6.0, 'water': 'daily'}", "p1"),
        ("tags = ['herb']", "p2"),
        ("tags != ['herb']", "p1"),
        ("plants.bed = 'B' AND name LIKE '%s'", "p4"),
        ("bed = 'A' OR height > 20", "p1 p2 p3"),
        ("ANY t IN tags SATISFIES t = 'sun' END", "p1"),
        ("EVERY t IN tags SATISFIES t = 'herb' END", "p2"),
        ("tags IS MISSING XOR retired IS TRUE", "p4"),
    ];
    for (condition, ids) in table {
        assert_eq!(kept(condition, &arguments("{}")), ids, "{condition}");
    }
}

#[test]
fn arguments_keep_their_kind_and_lists_are_not_unpacked() {
    let given = arguments(r#"{"bed": "A", "list": ["p1", "p4"], "tags": ["sun"], "height": 12}"#);
    let table = [
        ("bed = :bed", "p1 p2"),
        ("height = :height", "p1"),
        ("name = :height", ""),
        ("_id IN :list", "p1 p4"),
        ("_id IN (:list)", ""),
        ("_id NOT IN :list", "p2 p3"),
        ("ANY t IN :tags SATISFIES array_contains(tags, t) END", "p1"),
        ("EVERY t IN ['herb', 'sun'] SATISFIES t IN tags END", "p1"),
        ("bed = :absent", ""),
    ];
    for (condition, ids) in table {
        assert_eq!(kept(condition, &given), ids, "{condition}");
    }
}
