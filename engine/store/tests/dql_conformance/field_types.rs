//! Strict mode, counters, and several types under one name (4.2–4.5).

use crate::table::{empty, give, mutate, refuse, refuse_with, run, sample};

#[test]
fn strict_mode_changes_the_type_of_what_is_not_declared() {
    let store = sample();
    run(&store, "ALTER SYSTEM SET DQL_STRICT_MODE = true");
    give(
        &store,
        &[
            (
                "SELECT * FROM plants WHERE _id = 'p1'",
                "[{'_id':'p1','name':'Basil','bed':'A','height':12,'tags':['herb','sun']}]",
            ),
            ("SELECT care.light AS l FROM plants WHERE _id = 'p1'", "[{}]"),
            (
                "SELECT care FROM COLLECTION plants (care MAP) WHERE _id = 'p1'",
                "[{'care':{'water':'daily','light':6}}]",
            ),
            ("SELECT _id FROM plants WHERE care IS MISSING AND _id = 'p1'", "[{'_id':'p1'}]"),
        ],
    );
    run(&store, "INSERT INTO c DOCUMENTS ({'_id':1,'o':{'a':1}})");
    mutate(&store, &[("UPDATE c SET o = {'b':2}", "[1]")]);
    give(
        &store,
        &[
            ("SELECT o FROM c", "[{'o':{'b':2}}]"),
            ("SELECT o FROM COLLECTION c (o MAP)", "[{}]"),
            ("SELECT o FROM COLLECTION c (o REGISTER)", "[{'o':{'b':2}}]"),
        ],
    );
    refuse(&store, &[("UPDATE c SET o.a = 1", "data", "o")]);
    run(&store, "UPDATE COLLECTION c (o MAP) SET o.a = 1");
    give(
        &store,
        &[("SELECT o FROM c", "[{'o':{'b':2}}]"), ("SELECT o FROM COLLECTION c (o MAP)", "[{'o':{'a':1}}]")],
    );
    run(&store, "UPDATE plants UNSET care");
    give(
        &store,
        &[(
            "SELECT care FROM COLLECTION plants (care MAP) WHERE _id = 'p1'",
            "[{'care':{'water':'daily','light':6}}]",
        )],
    );
    run(&store, "ALTER SYSTEM RESET DQL_STRICT_MODE");
    give(&store, &[("SELECT o FROM c", "[{'o':{'a':1}}]")]);
}

#[test]
fn counters_count() {
    let store = sample();
    mutate(
        &store,
        &[
            ("UPDATE plants APPLY uses INCREMENT BY 2", "['p1','p2','p3','p4']"),
            ("UPDATE plants APPLY uses INCREMENT BY -5 WHERE _id = 'p1'", "['p1']"),
            ("UPDATE plants APPLY uses RESTART WITH 40 WHERE _id = 'p2'", "['p2']"),
            ("UPDATE plants APPLY uses INCREMENT BY height WHERE _id = 'p3'", "['p3']"),
            ("UPDATE plants APPLY uses RESTART WHERE _id = 'p4'", "['p4']"),
            ("UPDATE plants APPLY care.cuts INCREMENT BY 1 WHERE _id = 'p1'", "['p1']"),
        ],
    );
    give(
        &store,
        &[
            ("SELECT uses FROM plants ORDER BY _id", "[{'uses':-3},{'uses':40},{'uses':32},{'uses':0}]"),
            ("SELECT care.cuts AS c FROM plants WHERE care.cuts = 1", "[{'c':1}]"),
            (
                "SELECT type(uses) AS t FROM COLLECTION plants (uses COUNTER) WHERE _id = 'p1'",
                "[{'t':'integer'}]",
            ),
        ],
    );
    run(&store, "INSERT INTO COLLECTION c (n COUNTER, p PN_COUNTER) DOCUMENTS ({'_id':1,'n':10,'p':1})");
    run(&store, "UPDATE c APPLY n INCREMENT BY 5, p PN_INCREMENT BY 2");
    give(&store, &[("SELECT * FROM c", "[{'_id':1,'n':15,'p':3}]")]);
    refuse_with(
        &store,
        &[
            ("UPDATE c APPLY n INCREMENT BY 0.5", "{}", "data", "integer"),
            ("UPDATE c APPLY n INCREMENT BY :n", "{'n':2.0}", "data", "integer"),
            ("UPDATE c APPLY n INCREMENT BY :n", "{'n':null}", "data", "null"),
            ("UPDATE c APPLY n INCREMENT BY nothing", "{}", "data", "MISSING"),
            ("UPDATE c APPLY n INCREMENT BY 'x'", "{}", "data", "integer"),
            ("UPDATE c APPLY n INCREMENT BY 9223372036854775807", "{}", "data", "n"),
            ("UPDATE c APPLY n RESTART WITH 1.5", "{}", "data", "integer"),
            ("UPDATE c APPLY p PN_INCREMENT BY 'x'", "{}", "data", "number"),
            ("INSERT INTO COLLECTION c (n COUNTER) DOCUMENTS ({'_id':2,'n':1.5})", "{}", "data", "n"),
            ("INSERT INTO COLLECTION c (n COUNTER) DOCUMENTS ({'_id':2,'n':'x'})", "{}", "data", "n"),
            ("UPDATE COLLECTION c (n COUNTER) SET n = 3", "{}", "data", "n"),
            ("UPDATE c APPLY n", "{}", "syntax", "INCREMENT"),
        ],
    );
    give(&store, &[("SELECT * FROM c", "[{'_id':1,'n':15,'p':3}]")]);
}

#[test]
fn one_name_holds_a_value_of_each_type() {
    let store = empty();
    run(
        &store,
        "INSERT INTO COLLECTION c (care REGISTER) DOCUMENTS ({'_id':1,'care':{'a':1,'b':2},'uses':10})",
    );
    run(&store, "UPDATE c SET care.a = 9");
    run(&store, "UPDATE c APPLY uses INCREMENT BY 1");
    run(&store, "UPDATE c APPLY n PN_INCREMENT BY 4");
    run(&store, "UPDATE c APPLY n PN_INCREMENT BY 4");
    run(&store, "UPDATE c APPLY n INCREMENT BY 1");
    give(
        &store,
        &[
            ("SELECT care, uses, n FROM c", "[{'care':{'a':9},'uses':1,'n':1}]"),
            (
                "SELECT care, uses, n FROM COLLECTION c (care REGISTER, uses REGISTER, n PN_COUNTER)",
                "[{'care':{'a':1,'b':2},'uses':10,'n':8}]",
            ),
            ("SELECT uses FROM COLLECTION c (uses ATTACHMENT)", "[{}]"),
            ("SELECT _id FROM COLLECTION c (uses COUNTER) WHERE uses = 1", "[{'_id':1}]"),
            ("SELECT _id FROM COLLECTION c (uses REGISTER) WHERE uses = 1", "[]"),
        ],
    );
    run(&store, "UPDATE c SET uses = 7");
    give(
        &store,
        &[
            ("SELECT uses FROM c", "[{'uses':7}]"),
            ("SELECT uses FROM COLLECTION c (uses COUNTER)", "[{'uses':1}]"),
        ],
    );
    run(&store, "UPDATE c UNSET uses");
    give(
        &store,
        &[
            ("SELECT uses FROM c", "[{}]"),
            ("SELECT uses FROM COLLECTION c (uses COUNTER)", "[{}]"),
            ("SELECT uses FROM COLLECTION c (uses REGISTER)", "[{}]"),
        ],
    );
}

#[test]
fn attachments_are_inferred_and_read_as_objects() {
    const TOKEN: &str =
        "{'id':'47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU','len':5,'metadata':{'kind':'leaf'}}";
    let photo = format!("[{{'photo':{TOKEN}}}]");
    for (target, declared) in [("c", false), ("COLLECTION c (photo ATTACHMENT)", true)] {
        let store = empty();
        run(&store, &format!("INSERT INTO {target} DOCUMENTS ({{'_id':1,'photo':{TOKEN}}})"));
        run(&store, &format!("INSERT INTO {target} DOCUMENTS ({{'_id':2}})"));
        run(&store, &format!("UPDATE {target} SET photo = {TOKEN} WHERE _id = 2"));
        for id in [1, 2] {
            give(
                &store,
                &[
                    (&format!("SELECT photo FROM c USE IDS {id}"), &photo),
                    (&format!("SELECT photo FROM COLLECTION c (photo ATTACHMENT) USE IDS {id}"), &photo),
                    (&format!("SELECT photo FROM COLLECTION c (photo MAP) USE IDS {id}"), "[{}]"),
                    (&format!("SELECT photo FROM COLLECTION c (photo REGISTER) USE IDS {id}"), "[{}]"),
                    (
                        &format!(
                            "SELECT photo.len AS l FROM c USE IDS {id} WHERE photo.metadata.kind = 'leaf'"
                        ),
                        "[{'l':5}]",
                    ),
                ],
            );
        }
        if declared {
            refuse(
                &store,
                &[
                    (&format!("UPDATE {target} SET photo = 'x'"), "data", "`photo` is declared ATTACHMENT"),
                    (
                        &format!("UPDATE {target} SET photo = {{'id': 'ab', 'len': 1, 'metadata': {{}}}}"),
                        "data",
                        "`id`",
                    ),
                    (
                        &format!("INSERT INTO {target} DOCUMENTS ({{'photo': {{'len': 1}}}})"),
                        "data",
                        "`metadata`",
                    ),
                ],
            );
        }
    }
    let store = empty();
    run(&store, "ALTER SYSTEM SET DQL_STRICT_MODE = true");
    run(&store, &format!("INSERT INTO c DOCUMENTS ({{'_id':1,'photo':{TOKEN}}})"));
    give(
        &store,
        &[
            ("SELECT photo FROM COLLECTION c (photo REGISTER)", &photo),
            ("SELECT photo FROM COLLECTION c (photo ATTACHMENT)", "[{}]"),
        ],
    );
}

#[test]
fn the_difference_of_two_tokens_is_a_whole_token() {
    let store = empty();
    let token = |len: u32| {
        format!("{{'id':'47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU','len':{len},'metadata':{{}}}}")
    };
    run(&store, &format!("INSERT INTO c DOCUMENTS ({{'_id':1,'photo':{}}})", token(5)));
    let again = |len: u32| {
        format!(
            "INSERT INTO c DOCUMENTS ({{'_id':1,'photo':{}}}) ON ID CONFLICT DO UPDATE_LOCAL_DIFF",
            token(len)
        )
    };
    mutate(&store, &[(&again(5), "[]"), (&again(6), "[1]"), (&again(6), "[]")]);
    give(
        &store,
        &[
            ("SELECT photo FROM COLLECTION c (photo ATTACHMENT)", &format!("[{{'photo':{}}}]", token(6))),
            ("SELECT photo FROM COLLECTION c (photo MAP)", "[{}]"),
        ],
    );
}

#[test]
fn definitions_are_checked() {
    refuse(
        &sample(),
        &[
            ("SELECT * FROM COLLECTION plants (care TREE)", "syntax", "line 1, column 39"),
            ("SELECT * FROM COLLECTION plants (care MAP, care REGISTER)", "compile", "care"),
            ("SELECT * FROM COLLECTION plants ()", "syntax", "column"),
            ("SELECT * FROM COLLECTION plants (care REGISTER(light COUNTER))", "syntax", "column"),
        ],
    );
    give(
        &sample(),
        &[(
            "SELECT care FROM COLLECTION plants (care MAP(light COUNTER, water REGISTER)) WHERE _id = 'p1'",
            "[{'care':{'water':'daily'}}]",
        )],
    );
}
