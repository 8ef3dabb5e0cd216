//! INSERT, UPDATE, DELETE, EVICT and RETURNING (3.1–3.5).

use ditto_store::TransactionKind;
use ditto_value::Object;

use crate::table::{empty, give, give_with, mutate, refuse, refuse_with, run, run_with, sample};

#[test]
fn documents_come_from_objects_and_arrays_of_objects() {
    let store = empty();
    mutate(
        &store,
        &[
            ("INSERT INTO c VALUES ({'_id':1}), ([{'_id':2},{'_id':3}]), ([])", "[1,2,3]"),
            ("INSERT INTO c DOCUMENTS (deserialize_json('{\"_id\":4,\"a\":{\"b\":null}}'))", "[4]"),
            ("INSERT INTO c DOCUMENTS (object_concat({'_id':5}, {'a':1 + 1, 'gone': missing}))", "[5]"),
            ("INSERT INTO c DOCUMENTS ({'_id':6}) ON ID CONFLICT FAIL", "[6]"),
            ("INSERT INTO c DOCUMENTS ({'_id':7}) ON ID CONFLICT DO FAIL", "[7]"),
        ],
    );
    give(
        &store,
        &[(
            "SELECT * FROM c WHERE _id > 3",
            "[{'_id':4,'a':{'b':null}},{'_id':5,'a':2},{'_id':6},{'_id':7}]",
        )],
    );
    refuse(
        &store,
        &[
            ("INSERT INTO c DOCUMENTS (5)", "data", "object"),
            ("INSERT INTO c DOCUMENTS (null)", "data", "null"),
            ("INSERT INTO c DOCUMENTS ([{'_id':10}, 1])", "data", "integer"),
            ("INSERT INTO c DOCUMENTS ([[{'_id':10}]])", "data", "array"),
            ("INSERT INTO c DOCUMENTS (deserialize_json('nonsense'))", "data", "MISSING"),
            ("INSERT INTO c DOCUMENTS ({'_id':10}), ({'_id':1})", "data", "exists"),
            ("INSERT INTO c DOCUMENTS ({'_id':10}), ({'_id':10})", "data", "10"),
            ("INSERT INTO c DOCUMENTS ({'_id':10}), ({'_id':10}) ON ID CONFLICT DO NOTHING", "data", "10"),
            ("INSERT INTO c DOCUMENTS ([{'_id':10},{'_id':10}]) ON ID CONFLICT DO UPDATE", "data", "10"),
            ("INSERT INTO c DOCUMENTS ({_id:10})", "semantics", "line 1, column 27"),
            ("INSERT INTO c DOCUMENTS ({'_id':x})", "semantics", "x"),
            ("INSERT INTO c DOCUMENTS {'_id':10}", "syntax", "column 25"),
            ("INSERT INTO c ({'_id':10})", "syntax", "column 15"),
            ("INSERT INTO c DOCUMENTS ({'_id':10}) ON ID CONFLICT DO REPLACE", "syntax", "UPDATE"),
            ("INSERT INTO c INITIAL DOCUMENTS ({'_id':10}) ON ID CONFLICT DO NOTHING", "syntax", "INITIAL"),
            ("INSERT INTO c INITIAL SELECT * FROM c", "syntax", "column 23"),
            ("INSERT INTO c DOCUMENTS (SELECT * FROM c)", "compile", "column"),
            ("INSERT INTO system:dual DOCUMENTS ({'_id':1})", "data", "system:dual"),
            ("INSERT INTO __mine DOCUMENTS ({'_id':1})", "data", "__mine"),
        ],
    );
    give(&store, &[("SELECT * FROM c WHERE _id = 10", "[]")]);
}

#[test]
fn conflict_policies_decide_about_existing_documents() {
    let store = sample();
    let p1 = "SELECT bed, care, height FROM plants WHERE _id = 'p1'";
    mutate(
        &store,
        &[(
            "INSERT INTO plants DOCUMENTS ({'_id':'p1','bed':'Z'}), ({'_id':'q'}) ON ID CONFLICT DO NOTHING",
            "['q']",
        )],
    );
    give(&store, &[(p1, "[{'bed':'A','care':{'light':6,'water':'daily'},'height':12}]")]);
    mutate(
        &store,
        &[(
            "INSERT INTO plants DOCUMENTS ({'_id':'p1','bed':'A','care':{'feed':1}}) ON ID CONFLICT DO UPDATE",
            "['p1']",
        )],
    );
    give(&store, &[(p1, "[{'bed':'A','care':{'feed':1,'light':6,'water':'daily'},'height':12}]")]);
    let diff = "ON ID CONFLICT DO UPDATE_LOCAL_DIFF";
    mutate(
        &store,
        &[
            (
                &format!(
                    "INSERT INTO plants DOCUMENTS ({{'_id':'p1','bed':'A','care':{{'feed':1}}}}) {diff}"
                ),
                "[]",
            ),
            (&format!("INSERT INTO plants DOCUMENTS ({{'_id':'p1'}}) {diff}"), "[]"),
            (
                &format!(
                    "INSERT INTO plants DOCUMENTS ({{'_id':'p1','care':{{'feed':2,'light':6}}}}) {diff}"
                ),
                "['p1']",
            ),
            (
                &format!("INSERT INTO plants DOCUMENTS ({{'_id':'p1','height':13}}), ({{'_id':'r'}}) {diff}"),
                "['p1','r']",
            ),
            ("INSERT INTO plants DOCUMENTS ({'_id':'p1','bed':'M'}) ON ID CONFLICT DO MERGE", "['p1']"),
        ],
    );
    give(&store, &[(p1, "[{'bed':'M','care':{'feed':2,'light':6,'water':'daily'},'height':13}]")]);
    run(&store, "DELETE FROM plants WHERE _id = 'p1'");
    mutate(
        &store,
        &[("INSERT INTO plants DOCUMENTS ({'_id':'p1','bed':'N'}) ON ID CONFLICT DO NOTHING", "['p1']")],
    );
    give(&store, &[("SELECT * FROM plants WHERE _id = 'p1'", "[{'_id':'p1','bed':'N'}]")]);
}

#[test]
fn a_local_difference_of_a_register_is_written_whole() {
    let store = empty();
    let insert = |care: &str, policy: &str| {
        format!("INSERT INTO COLLECTION c (care REGISTER) DOCUMENTS ({{'_id':1,'care':{care}}}) {policy}")
    };
    let diff = "ON ID CONFLICT DO UPDATE_LOCAL_DIFF";
    run(&store, &insert("{'a':1,'b':2}", ""));
    mutate(&store, &[(&insert("{'a':1,'b':2}", diff), "[]"), (&insert("{'a':1,'b':3}", diff), "[1]")]);
    give(&store, &[("SELECT care FROM c", "[{'care':{'a':1,'b':3}}]")]);
    mutate(&store, &[(&insert("{'a':1}", diff), "[1]")]);
    give(&store, &[("SELECT care FROM c", "[{'care':{'a':1}}]")]);
    run(
        &store,
        "INSERT INTO c DOCUMENTS ({'_id':1,'care':{'a':1,'b':5}}) ON ID CONFLICT DO UPDATE_LOCAL_DIFF",
    );
    give(&store, &[("SELECT care FROM c", "[{'care':{'a':1,'b':5}}]")]);
}

#[test]
fn initial_documents_are_older_than_everything() {
    let store = empty();
    mutate(
        &store,
        &[
            ("INSERT INTO c INITIAL DOCUMENTS ({'_id':1,'a':0})", "[1]"),
            ("INSERT INTO c INITIAL DOCUMENTS ({'_id':1,'a':5})", "[]"),
            ("UPDATE c SET a = 2", "[1]"),
            ("INSERT INTO c INITIAL VALUES ({'_id':1,'a':0}), ({'_id':2})", "[2]"),
            ("DELETE FROM c WHERE _id = 1", "[1]"),
            ("INSERT INTO c INITIAL DOCUMENTS ({'_id':1,'a':0})", "[]"),
        ],
    );
    give(&store, &[("SELECT * FROM c", "[{'_id':2}]")]);
    run(&store, "EVICT FROM c");
    mutate(&store, &[("INSERT INTO COLLECTION c (n COUNTER) INITIAL DOCUMENTS ({'_id':2,'n':3})", "[2]")]);
    run(&store, "UPDATE c APPLY n INCREMENT BY 2");
    give(&store, &[("SELECT * FROM c", "[{'_id':2,'n':5}]")]);
}

#[test]
fn insert_select_copies_rows() {
    let store = sample();
    mutate(
        &store,
        &[(
            "INSERT INTO copies SELECT _id, name, height * 2 AS twice FROM plants WHERE bed = 'A'",
            "['p1','p2']",
        )],
    );
    give(
        &store,
        &[(
            "SELECT * FROM copies",
            "[{'_id':'p1','name':'Basil','twice':24},{'_id':'p2','name':'Mint','twice':19.0}]",
        )],
    );
    assert_eq!(run(&store, "INSERT INTO beds SELECT label FROM beds").mutated_ids.len(), 3);
    give(&store, &[("SELECT COUNT(*) AS n FROM beds", "[{'n':6}]")]);
    mutate(
        &store,
        &[
            ("INSERT INTO copies SELECT * FROM plants ON ID CONFLICT DO NOTHING", "['p3','p4']"),
            (
                "INSERT INTO copies SELECT * FROM plants WHERE bed = 'A' ORDER BY _id LIMIT 1 ON ID CONFLICT DO UPDATE",
                "['p1']",
            ),
            ("INSERT INTO copies SELECT * FROM nowhere", "[]"),
        ],
    );
    refuse(
        &store,
        &[
            ("INSERT INTO copies SELECT * FROM plants", "data", "exists"),
            ("INSERT INTO copies SELECT bed AS _id FROM plants", "data", "A"),
            ("INSERT INTO copies SELECT height AS _id FROM plants WHERE height = 9.5", "data", "float"),
        ],
    );
}

#[test]
fn set_on_an_object_merges() {
    let p1 = "SELECT care FROM plants WHERE _id = 'p1'";
    for (statements, care) in [
        (&["UPDATE plants SET care.light = 8 WHERE _id = 'p1'"][..], "{'water':'daily','light':8}"),
        (&["UPDATE plants SET care = {'feed':'weekly'}"], "{'water':'daily','light':6,'feed':'weekly'}"),
        (&["UPDATE plants SET care = {} WHERE _id = 'p1'"], "{'water':'daily','light':6}"),
        (&["UPDATE plants UNSET care.light WHERE _id = 'p1'"], "{'water':'daily'}"),
        (
            &["UPDATE plants SET care = 5", "UPDATE plants SET care = {'feed':'weekly'}"],
            "{'water':'daily','light':6,'feed':'weekly'}",
        ),
        (&["UPDATE plants UNSET care", "UPDATE plants SET care = {'feed':'weekly'}"], "{'feed':'weekly'}"),
        (&["UPDATE COLLECTION plants (care REGISTER) SET care = {'feed':'weekly'}"], "{'feed':'weekly'}"),
        (&["UPDATE plants SET care.a.b.c = 1"], "{'water':'daily','light':6,'a':{'b':{'c':1}}}"),
        (
            &["UPDATE plants SET care.a = {'b':{'c':1}}", "UPDATE plants SET care.a.b.d = 2"],
            "{'water':'daily','light':6,'a':{'b':{'c':1,'d':2}}}",
        ),
        (
            &["UPDATE COLLECTION plants (care MAP) SET care -> (light = 8, water -> tombstone())"],
            "{'light':8}",
        ),
    ] {
        let store = sample();
        for statement in statements {
            let changed = run(&store, statement).mutated_ids.len();
            assert!(changed > 0, "{statement}");
        }
        give(&store, &[(p1, &format!("[{{'care':{care}}}]"))]);
        let store = sample();
        let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
        for statement in statements {
            transaction.execute(statement, &Object::new()).expect("runs");
        }
        transaction.commit().expect("commits");
        give(&store, &[(p1, &format!("[{{'care':{care}}}]"))]);
    }
}

#[test]
fn updates_see_documents_as_they_were() {
    let store = sample();
    mutate(
        &store,
        &[
            ("UPDATE plants SET height = height + 1, was = height WHERE _id = 'p1'", "['p1']"),
            ("UPDATE plants p SET p.name = upper(p.name) WHERE p._id = 'p2'", "['p2']"),
            ("UPDATE plants USE IDS 'p3', 'zz' SET seen = true", "['p3']"),
            ("UPDATE plants SET last = true ORDER BY height DESC LIMIT 1", "['p4']"),
            ("UPDATE plants SET second = true ORDER BY _id LIMIT 1 OFFSET 1", "['p2']"),
            ("UPDATE plants SET bed = bed WHERE bed = 'A'", "['p1','p2']"),
            ("UPDATE plants UNSET retired", "['p2','p3','p4']"),
            ("UPDATE plants APPLY uses INCREMENT BY 2 SET bed = 'C' UNSET tags WHERE _id = 'p1'", "['p1']"),
        ],
    );
    give(
        &store,
        &[(
            "SELECT * FROM plants",
            "[{'_id':'p1','name':'Basil','bed':'C','height':13,'was':12,'care':{'water':'daily','light':6},'uses':2},
              {'_id':'p2','name':'MINT','bed':'A','height':9.5,'tags':['herb'],'second':true},
              {'_id':'p3','name':'Fern','bed':'B','height':30,'seen':true},
              {'_id':'p4','name':'Moss','bed':'B','last':true}]",
        )],
    );
}

#[test]
fn updates_that_mean_nothing_are_refused() {
    let store = sample();
    refuse(
        &store,
        &[
            ("UPDATE plants SET height = 1, height = 2", "semantics", "line 1, column 31"),
            ("UPDATE plants SET height = 1 UNSET height", "semantics", "height"),
            ("UPDATE plants SET care = {}, care.light = 1", "semantics", "care.light"),
            ("UPDATE plants SET care.light = 1 UNSET care", "semantics", "care.light"),
            ("UPDATE plants APPLY height INCREMENT BY 1 SET height = 1", "semantics", "height"),
            ("UPDATE plants SET tags[0] = 'x'", "syntax", "column"),
            ("UPDATE plants SET care['a'] = 'x'", "syntax", "column"),
            ("UPDATE plants SET name = nothing", "data", "name"),
            ("UPDATE plants SET name = 1 || 'a'", "data", "MISSING"),
            ("UPDATE plants SET a = COUNT(*)", "semantics", "COUNT"),
            ("UPDATE plants UNSET a SET b = 1", "syntax", "APPLY, SET, UNSET"),
            ("UPDATE plants SET b = 1 APPLY a INCREMENT BY 1", "syntax", "APPLY, SET, UNSET"),
            ("UPDATE plants", "syntax", "APPLY, SET or UNSET"),
            ("UPDATE plants SET", "syntax", "column"),
            ("UPDATE system:dual SET a = 1", "data", "system:dual"),
            ("UPDATE COLLECTION plants (care REGISTER) SET care.light = 1", "data", "care"),
        ],
    );
    give(&store, &[("SELECT name FROM plants WHERE _id = 'p1'", "[{'name':'Basil'}]")]);
}

#[test]
fn a_failing_update_changes_nothing() {
    let store = sample();
    refuse_with(&store, &[("UPDATE plants SET height = height + :n, seen = true", "{'n':1}", "data", "p4")]);
    give(&store, &[("SELECT COUNT(seen) AS n FROM plants", "[{'n':0}]")]);
}

#[test]
fn deleted_documents_are_gone_and_come_back_bare() {
    let store = sample();
    mutate(
        &store,
        &[
            ("DELETE FROM plants WHERE bed = 'A' AND height < 10", "['p2']"),
            ("DELETE FROM plants USE IDS 'p1', 'p2', 'zz'", "['p1']"),
            ("TOMBSTONE FROM plants WHERE _id = 'p3'", "['p3']"),
            ("DELETE FROM plants WHERE _id = 'p3'", "[]"),
            ("UPDATE plants SET a = 1 WHERE _id = 'p3'", "[]"),
            ("INSERT INTO plants DOCUMENTS ({'_id':'p3','new':1})", "['p3']"),
        ],
    );
    give(
        &store,
        &[(
            "SELECT * FROM plants",
            "[{'_id':'p4','name':'Moss','bed':'B','retired':false},{'_id':'p3','new':1}]",
        )],
    );
    mutate(
        &store,
        &[
            ("DELETE FROM beds ORDER BY area DESC LIMIT 1", "['A']"),
            ("DELETE FROM beds LIMIT 1 ORDER BY area", "['C']"),
            ("DELETE FROM plants", "['p3','p4']"),
        ],
    );
    give(
        &store,
        &[
            ("SELECT COUNT(*) AS n FROM plants", "[{'n':0}]"),
            ("SELECT name FROM system:collections", "[{'name':'plants'},{'name':'beds'}]"),
        ],
    );
}

#[test]
fn evicted_documents_are_forgotten() {
    let store = sample();
    mutate(
        &store,
        &[
            ("EVICT FROM plants WHERE bed = 'A'", "['p1','p2']"),
            ("EVICT FROM plants LIMIT 1 ORDER BY _id DESC", "['p4']"),
            ("EVICT FROM plants ORDER BY _id LIMIT 1 OFFSET 1", "[]"),
            ("EVICT FROM plants USE IDS 'p3'", "['p3']"),
            ("EVICT FROM plants", "[]"),
            ("INSERT INTO plants DOCUMENTS ({'_id':'p1'})", "['p1']"),
        ],
    );
    give(&store, &[("SELECT * FROM plants", "[{'_id':'p1'}]")]);
    refuse(
        &store,
        &[
            ("EVICT FROM system:dual", "data", "system:dual"),
            ("DELETE FROM __presence", "data", "__presence"),
            ("DELETE plants", "syntax", "FROM"),
            ("EVICT plants", "syntax", "FROM"),
        ],
    );
}

#[test]
fn returning_shows_what_was_affected() {
    let store = sample();
    give_with(
        &store,
        &[
            (
                "INSERT INTO c DOCUMENTS ({'_id':1,'a':1}), ({'_id':2,'a':2}) RETURNING *",
                "{}",
                "[{'_id':1,'a':1},{'_id':2,'a':2}]",
            ),
            (
                "INSERT INTO c DOCUMENTS ({'_id':1}), ({'_id':3,'a':3}) ON ID CONFLICT DO NOTHING RETURNING _id",
                "{}",
                "[{'_id':3}]",
            ),
            (
                "UPDATE c SET a = a * 10 WHERE _id < 3 RETURNING _id AS id, a",
                "{}",
                "[{'id':1,'a':10},{'id':2,'a':20}]",
            ),
            ("UPDATE c SET a = 0 WHERE false RETURNING COUNT(*) AS n, SUM(a) AS s", "{}", "[{'n':0}]"),
            ("UPDATE c x SET b = 1 WHERE _id = 1 RETURNING x.*, MISSING a", "{}", "[{'_id':1,'b':1}]"),
            ("DELETE FROM c WHERE _id = 1 RETURNING a", "{}", "[{'a':10}]"),
            (
                "DELETE FROM c WHERE a > :n RETURNING COUNT(*) AS n, MAX(a) AS m",
                "{'n':5}",
                "[{'n':1,'m':20}]",
            ),
            ("DELETE FROM nowhere RETURNING COUNT(*) AS n", "{}", "[{'n':0}]"),
            ("DELETE FROM nowhere RETURNING *", "{}", "[]"),
            ("EVICT FROM c RETURNING a + 1", "{}", "[{'($1)':4}]"),
            ("INSERT INTO c SELECT _id, area FROM beds RETURNING SUM(area) AS s", "{}", "[{'s':7}]"),
        ],
    );
    let result = run_with(&store, "UPDATE beds SET area = 9 WHERE _id = :id RETURNING area", "{'id':'A'}");
    assert_eq!((result.rows.len(), result.mutated_ids.len(), result.commit_id.is_some()), (1, 1, true));
    refuse(
        &store,
        &[
            ("DELETE FROM beds RETURNING area, COUNT(*)", "semantics", "area"),
            ("DELETE FROM beds RETURNING *, area", "compile", "column"),
            ("DELETE FROM beds RETURNING area, _id AS area", "semantics", "area"),
            ("DELETE FROM beds RETURNING DISTINCT area", "syntax", "column"),
        ],
    );
}
