//! SHOW, ALTER SYSTEM and virtual collections (8.1, 8.2, 8.4).

use crate::table::{give, give_with, refuse_with, run, sample};

#[test]
fn show_gives_one_row() {
    let store = sample();
    give(
        &store,
        &[
            ("SHOW dql_strict_mode", "[{'dql_strict_mode':false}]"),
            ("show Dql_Strict_Mode", "[{'dql_strict_mode':false}]"),
            ("SHOW TOMBSTONE_TTL_HOURS;", "[{'tombstone_ttl_hours':168}]"),
            ("SHOW ALL LIKE 'tombstone_ttl%'", "[{'tombstone_ttl_enabled':true,'tombstone_ttl_hours':168}]"),
            ("SHOW ALL LIKE 'dql\\\\_strict\\\\_mode'", "[{'dql_strict_mode':false}]"),
            ("SHOW ALL LIKE '%strict%mode'", "[{'dql_strict_mode':false}]"),
            ("SHOW ALL LIKE 'DQL_STRICT_MODE'", "[{}]"),
            ("SHOW ALL ILIKE 'DQL_STRICT_%'", "[{'dql_strict_mode':false}]"),
            ("SHOW ALL LIKE 'nothing'", "[{}]"),
            ("SHOW ALL LIKE ''", "[{}]"),
        ],
    );
    let all = run(&store, "SHOW ALL");
    assert_eq!(all.rows.len(), 1);
    assert!(all.rows[0].value().get("user_collection_sync_scopes").is_some());
}

#[test]
fn a_pattern_of_many_wildcards_is_answered_at_once() {
    let pattern = format!("{}x", "%a".repeat(2_000));
    give(&sample(), &[(&format!("SHOW ALL LIKE '{pattern}'"), "[{}]")]);
    let pattern = "%_".repeat(30);
    give(&sample(), &[(&format!("SHOW ALL LIKE '{pattern}zz'"), "[{}]")]);
}

#[test]
fn alter_system_answers_with_the_new_value() {
    let store = sample();
    give_with(
        &store,
        &[
            ("ALTER SYSTEM SET DQL_STRICT_MODE = true", "{}", "[{'dql_strict_mode':true}]"),
            ("SHOW dql_strict_mode", "{}", "[{'dql_strict_mode':true}]"),
            ("ALTER SYSTEM SET dql_strict_mode TO DEFAULT", "{}", "[{'dql_strict_mode':false}]"),
            ("ALTER SYSTEM SET tombstone_ttl_hours = 24 * 7", "{}", "[{'tombstone_ttl_hours':168}]"),
            ("ALTER SYSTEM SET tombstone_ttl_hours = :h", "{'h':10}", "[{'tombstone_ttl_hours':10}]"),
            ("ALTER SYSTEM RESET tombstone_ttl_hours", "{}", "[{'tombstone_ttl_hours':168}]"),
            (
                "ALTER SYSTEM SET live_query_system_collection_refresh_interval = duration_cast('1s')",
                "{}",
                "[{'live_query_system_collection_refresh_interval':1000}]",
            ),
            (
                "ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = {'plants':'LocalPeerOnly'}",
                "{}",
                "[{'user_collection_sync_scopes':{'plants':'LocalPeerOnly'}}]",
            ),
            (
                "ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = {'beds':'AllPeers'}",
                "{}",
                "[{'user_collection_sync_scopes':{'beds':'AllPeers'}}]",
            ),
        ],
    );
    let all = run(&store, "ALTER SYSTEM RESET ALL");
    assert_eq!(all.rows.len(), 1);
    give(&store, &[("SHOW user_collection_sync_scopes", "[{'user_collection_sync_scopes':{}}]")]);
}

#[test]
fn parameters_are_known_and_bounded() {
    refuse_with(
        &sample(),
        &[
            ("SHOW no_such", "{}", "parameter", "no_such"),
            ("ALTER SYSTEM SET no_such = 1", "{}", "parameter", "no_such"),
            ("ALTER SYSTEM RESET no_such", "{}", "parameter", "no_such"),
            ("ALTER SYSTEM SET dql_strict_mode = 1", "{}", "parameter", "boolean"),
            ("ALTER SYSTEM SET dql_strict_mode = 'true'", "{}", "parameter", "boolean"),
            ("ALTER SYSTEM SET dql_strict_mode = null", "{}", "parameter", "null"),
            ("ALTER SYSTEM SET dql_strict_mode = missing", "{}", "parameter", "MISSING"),
            ("ALTER SYSTEM SET tombstone_ttl_hours = 0", "{}", "parameter", "1 to"),
            ("ALTER SYSTEM SET tombstone_ttl_hours = 1.5", "{}", "parameter", "integer"),
            ("ALTER SYSTEM SET tombstone_ttl_hours = :h", "{}", "arguments", "h"),
            ("ALTER SYSTEM SET user_collection_sync_scopes = {'a':'Nobody'}", "{}", "parameter", "AllPeers"),
            ("ALTER SYSTEM SET tombstone_ttl_hours = height", "{}", "semantics", "height"),
            ("ALTER SYSTEM tombstone_ttl_hours = 1", "{}", "syntax", "SET or RESET"),
            ("ALTER SYSTEM SET tombstone_ttl_hours", "{}", "syntax", "'='"),
            ("SHOW", "{}", "syntax", "line 1"),
            ("SHOW ALL LIKE 5", "{}", "syntax", "column 15"),
            ("EXPLAIN SHOW ALL", "{}", "compile", "line 1, column 9"),
            ("EXPLAIN ALTER SYSTEM RESET ALL", "{}", "compile", "line 1, column 9"),
        ],
    );
}

#[test]
fn virtual_collections_are_read_like_others() {
    let store = sample();
    give(
        &store,
        &[
            ("SELECT name FROM system:collections WHERE documents = 4", "[{'name':'plants'}]"),
            ("SELECT name FROM __collections ORDER BY name DESC", "[{'name':'plants'},{'name':'beds'}]"),
            ("SELECT COUNT(*) AS n FROM system:collections", "[{'n':2}]"),
            ("SELECT COUNT(*) AS n FROM system:dual", "[{'n':1}]"),
            ("SELECT * FROM system:indexes WHERE collection = 'plants'", "[]"),
        ],
    );
}
