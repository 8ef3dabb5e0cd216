use ditto_value::Object;

use super::arguments;
use crate::{subscribed_collection, subscription};

fn normalized(text: &str) -> String {
    subscription(text, &arguments(r#"{"bed": "A", "n": 1}"#))
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .normalized
}

#[test]
fn one_query_has_one_normal_form() {
    for text in [
        "SELECT * FROM plants WHERE bed = :bed AND height > 0x0A",
        "select * from plants where ((bed == :bed)) and (height > 10);",
        "SELECT * FROM plants p WHERE p.bed = :bed AND p.height > 10",
        "SELECT * FROM COLLECTION `plants` AS x -- comment\n WHERE x.`bed` = :bed AND plants.height > 10"
            .replace("plants.height", "height")
            .as_str(),
        "SELECT * FROM default:plants WHERE plants.bed = :bed AND plants.height > 10",
    ] {
        assert_eq!(normalized(text), "SELECT * FROM plants WHERE bed = :bed AND height > 10", "{text}");
    }
    assert_eq!(normalized("SELECT * FROM plants"), "SELECT * FROM plants");
    assert_eq!(
        normalized("SELECT * FROM COLLECTION plants (care MAP(n COUNTER))"),
        "SELECT * FROM COLLECTION plants (care MAP(n COUNTER))"
    );
}

#[test]
fn the_normal_form_is_its_own_and_means_the_same() {
    for text in [
        "SELECT * FROM plants p WHERE p.plants.x = 1",
        "SELECT * FROM plants p WHERE object_length(p) > 2 AND p.p = 1",
        "SELECT * FROM plants p WHERE ANY bed IN p.tags SATISFIES p.bed = bed END",
        "SELECT * FROM plants p WHERE ANY plants IN p.tags SATISFIES p.plants.x = plants.x END",
        "SELECT * FROM `my-plants` m WHERE m.`my-plants`.x = 1",
        "SELECT * FROM system:data_sync_info WHERE documents.x = 1",
        "SELECT * FROM plants WHERE height IN (bounds[0]).all AND NOT 1 IN (height + 1) / 2 OR 2 IN 1.5.x",
        "SELECT * FROM COLLECTION plants (a MAP) AS `where` WHERE object_length(`where`) = 1",
    ] {
        let given = Object::new();
        let first = subscription(text, &given).unwrap_or_else(|error| panic!("{text}: {error}"));
        let again = subscription(&first.normalized, &given)
            .unwrap_or_else(|error| panic!("{}: {error}", first.normalized));
        assert_eq!(first, again, "{text}");
        assert_eq!(subscribed_collection(&first.normalized).as_ref(), Some(&first.collection), "{text}");
        let crate::Statement::Select(select) = crate::parse(text).unwrap() else { panic!() };
        assert_eq!(select.filter, first.filter, "{text} -> {}", first.normalized);
    }
}

#[test]
fn the_collection_of_a_normal_form_is_found_without_what_follows() {
    for text in
        ["SELECT * FROM plants WHERE (((", "SELECT * FROM COLLECTION plants (a MAP(", "SELECT * FROM plants"]
    {
        assert_eq!(
            subscribed_collection(text).map(|collection| collection.to_string()),
            Some("plants".into())
        );
    }
    for text in ["", "SELECT", "SELECT name FROM plants", "SELECT * FROM", "DELETE FROM plants"] {
        assert_eq!(subscribed_collection(text), None, "{text}");
    }
}

#[test]
fn only_the_plain_form_is_a_subscription() {
    for (text, part) in [
        ("SELECT name FROM plants", "projection"),
        ("SELECT p.* FROM plants p", "projection"),
        ("SELECT DISTINCT * FROM plants", "DISTINCT"),
        ("SELECT * FROM plants ORDER BY name", "ORDER BY"),
        ("SELECT * FROM plants LIMIT 1", "LIMIT"),
        ("SELECT * FROM plants OFFSET 1", "OFFSET"),
        ("SELECT * FROM plants USE IDS 'a'", "USE IDS"),
        ("SELECT * FROM plants USE INDEX 'a'", "directive"),
        ("SELECT /*+ {\"#max_scans\": 1} */ * FROM plants", "directive"),
        ("SELECT * FROM plants JOIN beds ON plants.bed = beds._id", "JOIN"),
        ("SELECT * FROM plants WHERE at > clock()", "clock"),
        ("SELECT * FROM plants WHERE request_info() IS NULL", "request_info"),
        ("SELECT * FROM plants WHERE tz_offset(z, 'TZN') > 0", "tz_offset"),
        ("SELECT * FROM plants WHERE a = :absent", ":absent"),
        ("DELETE FROM plants", "SELECT"),
        ("EXPLAIN SELECT * FROM plants", "SELECT"),
    ] {
        let error = subscription(text, &Object::new()).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}
