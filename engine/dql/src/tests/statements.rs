use ditto_value::Object;

use super::{arguments, select, value};
use crate::{
    Action, AlterSystem, ConflictPolicy, Context, FieldType, InsertBody, Namespace, Projection,
    ProjectionItem, Show, Statement, StatementKind, Usage, UseIds, parse,
};

fn parsed(text: &str) -> Statement {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn select_has_all_its_clauses() {
    let select = select(
        "SELECT DISTINCT p.name AS n, height * 2, care.light FROM COLLECTION plants (care MAP(light COUNTER), photo \
         ATTACHMENT) AS p USE IDS LIST :ids USE INDEX 'by_name' WHERE bed = 'A' ORDER BY n DESC, height LIMIT :l OFFSET 2;",
    );
    assert!(select.distinct);
    assert_eq!(select.source.name(), "p");
    assert_eq!(select.source.definitions[0].members[0].kind, FieldType::Counter);
    assert!(matches!(select.source.ids, Some(UseIds::List(_))));
    assert_eq!(select.source.directives.0.get("#index"), Some(&"by_name".into()));
    let Projection::Items(items) = &select.projection else { panic!() };
    let names: Vec<_> = items
        .iter()
        .map(|item| match item {
            ProjectionItem::Value { name, .. } => name.as_str(),
            _ => "",
        })
        .collect();
    assert_eq!(names, ["n", "($2)", "light"]);
    // The alias n stands for p.name.
    assert_eq!(select.order_by[0].expr.field(), Some((0, ["name".to_owned()].as_slice())));
    assert!(select.order_by[0].descending && !select.order_by[1].descending);
    assert!(select.limit.is_some() && select.offset.is_some());
}

#[test]
fn comments_and_directives_are_told_apart() {
    let text = "/*+ {\"#profile\": true} */ SELECT /*+ {\"#max_scans\": 1} */ * -- all\n FROM plants /*+ {\"#index\": \"\"} */ \
                WHERE /*+ not json, ignored */ a = 1 --+ {}\n";
    let select = select(text);
    assert_eq!(select.directives.0, arguments(r##"{"#profile": true, "#max_scans": 1}"##));
    assert_eq!(select.source.directives.0, arguments(r##"{"#index": ""}"##));
}

#[test]
fn system_collections_have_a_namespace() {
    let source = select("SELECT * FROM system:indexes WHERE collection = 'plants'").source;
    assert_eq!(
        (source.collection.namespace, source.collection.to_string()),
        (Namespace::System, "system:indexes".into())
    );
    assert_eq!(select("SELECT * FROM default:plants").source.collection.to_string(), "plants");
    assert_eq!(select("SELECT * FROM COLLECTION `my-plants`").source.collection.name, "my-plants");
}

#[test]
fn insert_takes_documents_arrays_and_policies() {
    let Statement::Insert(insert) = parsed(
        "INSERT INTO plants VALUES (:one), (:many), ({'_id': 'x', 'n': 1 + 1}) ON ID CONFLICT DO UPDATE_LOCAL_DIFF RETURNING _id",
    ) else {
        panic!()
    };
    assert_eq!(insert.conflict, ConflictPolicy::UpdateLocalDiff);
    let given = arguments(r#"{"one": {"a": 1}, "many": [{"a": 2}, {"a": 3}]}"#);
    let documents = insert.documents(&Context::new(&given, 0)).unwrap();
    assert_eq!(documents.len(), 4);
    assert_eq!(documents[3], arguments(r#"{"_id": "x", "n": 2}"#));
    let wrong = arguments(r#"{"one": {"a": 1}, "many": [1]}"#);
    let error = insert.documents(&Context::new(&wrong, 0)).unwrap_err();
    assert_eq!((error.position, error.found), (2, "integer"));
    for (policy, expected) in [
        ("FAIL", ConflictPolicy::Fail),
        ("DO FAIL", ConflictPolicy::Fail),
        ("DO NOTHING", ConflictPolicy::Nothing),
        ("DO UPDATE", ConflictPolicy::Update),
        ("DO MERGE", ConflictPolicy::Update),
    ] {
        let text = format!("INSERT INTO plants DOCUMENTS (:d) ON ID CONFLICT {policy}");
        assert!(
            matches!(parsed(&text), Statement::Insert(insert) if insert.conflict == expected),
            "{policy}"
        );
    }
    let initial = parsed("INSERT INTO COLLECTION plants (waterings COUNTER) INITIAL DOCUMENTS ({'_id': 1})");
    assert!(
        matches!(initial, Statement::Insert(insert) if matches!(insert.body, InsertBody::Documents { initial: true, .. }))
    );
    let copied = parsed("INSERT INTO old SELECT * FROM plants WHERE retired ON ID CONFLICT DO NOTHING");
    assert!(matches!(copied, Statement::Insert(insert) if matches!(insert.body, InsertBody::Select(_))));
}

#[test]
fn update_changes_paths_in_order() {
    let Statement::Update(update) = parsed(
        "UPDATE COLLECTION plants (uses COUNTER) p APPLY uses INCREMENT BY :n, q PN_INCREMENT BY -1, r RESTART, s RESTART WITH 5 \
         SET p.height = height + 1, care.`light-hours` = 2, note -> tombstone(), soil -> (ph = 7, kind -> default()) \
         UNSET care.tips, old WHERE bed = 'A' ORDER BY height LIMIT 3 RETURNING *",
    ) else {
        panic!()
    };
    let shown: Vec<_> = update
        .changes
        .iter()
        .map(|change| {
            let action = match &change.action {
                Action::Set(value) => format!("= {value}"),
                Action::SetDefault => "default".to_owned(),
                Action::Unset => "unset".to_owned(),
                Action::Increment(by) => format!("+ {by}"),
                Action::PnIncrement(by) => format!("pn {by}"),
                Action::Restart(None) => "restart".to_owned(),
                Action::Restart(Some(with)) => format!("restart {with}"),
            };
            format!("{} {action}", change.path.join("."))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "uses + :n",
            "q pn -1",
            "r restart",
            "s restart 5",
            "height = height + 1",
            "care.light-hours = 2",
            "note unset",
            "soil.ph = 7",
            "soil.kind default",
            "care.tips unset",
            "old unset",
        ]
    );
    assert!(update.selection.limit.is_some() && update.returning.is_some());
}

#[test]
fn removals_take_the_tail_in_either_order() {
    for text in [
        "DELETE FROM plants WHERE a = 1 ORDER BY b LIMIT 1 OFFSET 2",
        "EVICT FROM plants WHERE a = 1 LIMIT 1 OFFSET 2 ORDER BY b RETURNING _id",
        "TOMBSTONE FROM plants USE IDS 'a', 'b'",
        "DELETE FROM COLLECTION plants (a MAP) OFFSET 1 LIMIT 2",
        "EVICT FROM plants",
        "DELETE FROM plants RETURNING COUNT(*) AS n",
    ] {
        assert!(parsed(text).is_mutation(), "{text}");
    }
}

#[test]
fn system_statements() {
    assert_eq!(parsed("SHOW DQL_STRICT_MODE"), Statement::Show(Show::Parameter("DQL_STRICT_MODE".into())));
    assert!(
        matches!(parsed("SHOW ALL ILIKE 'DQL%'"), Statement::Show(Show::All(Some(pattern))) if pattern.ignore_case)
    );
    for text in [
        "ALTER SYSTEM SET Dql_Strict_Mode = true",
        "ALTER SYSTEM SET a TO duration_cast('1s')",
        "ALTER SYSTEM SET a = :v",
    ] {
        assert!(matches!(parsed(text), Statement::AlterSystem(AlterSystem::Set { .. })), "{text}");
    }
    for text in ["ALTER SYSTEM SET A = DEFAULT", "ALTER SYSTEM RESET A"] {
        assert_eq!(parsed(text), Statement::AlterSystem(AlterSystem::Reset("A".into())), "{text}");
    }
    assert_eq!(parsed("ALTER SYSTEM RESET ALL"), Statement::AlterSystem(AlterSystem::ResetAll));
    let Statement::CreateIndex(index) =
        parsed("CREATE INDEX IF NOT EXISTS i ON plants (care.light DESC, `_id`.row)")
    else {
        panic!()
    };
    assert!(index.if_not_exists && index.keys[0].descending && !index.keys[1].descending);
    assert_eq!(index.keys[1].path, ["_id", "row"]);
    assert!(
        matches!(parsed("DROP INDEX IF EXISTS i ON plants"), Statement::DropIndex(drop) if drop.if_exists)
    );
    for text in [
        "EXPLAIN SELECT * FROM plants",
        "EXPLAIN CREATE INDEX i ON plants (a)",
        "PROFILE DELETE FROM plants",
        "ADVISE SELECT * FROM plants",
        "ADVISE AND PROVISION UPDATE plants SET a = 1",
        "EXPLAIN ADVISE SELECT * FROM plants",
    ] {
        parsed(text);
    }
}

#[test]
fn parameters_are_listed_once_and_checked() {
    let statement =
        parsed("UPDATE plants SET a = :b + :a WHERE x IN :list AND y = :a LIMIT :n RETURNING :r AS r");
    assert_eq!(statement.parameters(), ["a", "b", "list", "n", "r"]);
    let error = statement.check_arguments(&arguments(r#"{"a": 1, "B": 2, "unused": 3}"#)).unwrap_err();
    assert_eq!(error.name, "b");
    assert!(parsed("EXPLAIN SELECT * FROM a").check_arguments(&Object::new()).is_ok());
}

#[test]
fn usage_is_checked_by_kind() {
    let select = parsed("SELECT * FROM plants ORDER BY name LIMIT 3");
    assert!(select.check_usage(Usage::Observer).is_ok());
    assert_eq!(select.kind(), StatementKind::Select);
    let delete = parsed("DELETE FROM plants WHERE false");
    assert!(delete.check_usage(Usage::Observer).is_err());
    assert!(delete.check_usage(Usage::ReadOnlyTransaction).is_err());
    assert!(parsed("PROFILE DELETE FROM plants").check_usage(Usage::ReadOnlyTransaction).is_err());
    assert!(delete.check_usage(Usage::ReadWriteTransaction).is_ok());
    assert!(parsed("CREATE INDEX i ON a (b)").check_usage(Usage::ReadWriteTransaction).is_err());
    assert!(parsed("EXPLAIN SELECT * FROM a").check_usage(Usage::Observer).is_err());
}

#[test]
fn rows_omit_missing_and_excluded_members() {
    let bytes = value(super::PLANTS[0]).encode();
    let given = Object::new();
    let context = Context::new(&given, 0).with_document(ditto_value::ValueRef::from_stored(&bytes));
    for (items, row) in [
        ("name, retired, null AS n", r#"{"n":null,"name":"Basil"}"#),
        (
            "p.*, MISSING care, MISSING p.tags, height * 2 AS height",
            r#"{"_id":"p1","bed":"A","height":24,"name":"Basil"}"#,
        ),
        ("care.*", ""),
        (
            "p.*, MISSING care.light, MISSING name, MISSING tags, MISSING bed, MISSING height",
            r#"{"_id":"p1","care":{"water":"daily"}}"#,
        ),
    ] {
        match parse(&format!("SELECT {items} FROM plants p")) {
            Ok(Statement::Select(select)) => {
                assert_eq!(
                    ditto_value::Value::Object(select.projection.row(&context, &["p"])).to_json(),
                    row
                );
            }
            other => assert!(row.is_empty(), "{items}: {other:?}"),
        }
    }
}
