//! SELECT: projections, filters, ids, grouping, order (2.3–2.10).

use crate::table::{empty, give, give_with, keep, refuse, refuse_with, run, sample};

#[test]
fn rows_have_the_shape_of_the_projection() {
    give(
        &sample(),
        &[
            ("SELECT * FROM beds WHERE _id = 'C'", "[{'_id':'C','label':'Spare','area':1}]"),
            ("SELECT b.* FROM beds b WHERE _id = 'C'", "[{'_id':'C','label':'Spare','area':1}]"),
            (
                "SELECT b.*, area * 2 AS twice FROM beds b WHERE _id = 'C'",
                "[{'_id':'C','label':'Spare','area':1,'twice':2}]",
            ),
            ("SELECT beds.*, MISSING area FROM beds WHERE _id = 'C'", "[{'_id':'C','label':'Spare'}]"),
            (
                "SELECT p.*, MISSING care.light, MISSING tags FROM plants p WHERE _id = 'p1'",
                "[{'_id':'p1','name':'Basil','bed':'A','height':12,'care':{'water':'daily'}}]",
            ),
            ("SELECT name, bed FROM plants WHERE _id = 'p4'", "[{'name':'Moss','bed':'B'}]"),
            ("SELECT height, bed FROM plants WHERE _id = 'p4'", "[{'bed':'B'}]"),
            (
                "SELECT height * 2, name, 1 + 1 FROM plants WHERE _id = 'p1'",
                "[{'($1)':24,'name':'Basil','($3)':2}]",
            ),
            ("SELECT care.light FROM plants WHERE _id = 'p1'", "[{'light':6}]"),
            ("SELECT p.care.light FROM plants p WHERE _id = 'p1'", "[{'light':6}]"),
            (
                "SELECT name n, bed AS `the bed` FROM plants AS p WHERE p._id = 'p1'",
                "[{'n':'Basil','the bed':'A'}]",
            ),
            ("SELECT ALL area FROM beds", "[{'area':4},{'area':2},{'area':1}]"),
            ("SELECT 1 FROM system:dual", "[{'($1)':1}]"),
            ("SELECT COUNT(*) FROM beds", "[{'($1)':3}]"),
        ],
    );
}

#[test]
fn projections_without_a_meaning_are_refused() {
    refuse(
        &sample(),
        &[
            ("SELECT *, height FROM plants", "compile", "column"),
            ("SELECT height, * FROM plants", "compile", "column"),
            ("SELECT name, bed AS name FROM plants", "semantics", "line 1, column 14"),
            ("SELECT name, p.name FROM plants p", "semantics", "name"),
            ("SELECT x.* FROM plants p", "semantics", "column 8"),
            ("SELECT height", "syntax", "FROM"),
            ("SELECT FROM plants", "syntax", "column"),
            ("SELECT name, FROM plants", "syntax", "column"),
        ],
    );
}

#[test]
fn where_keeps_what_is_true() {
    keep(
        &sample(),
        &[
            ("retired = false", "p4"),
            ("retired != true", "p4"),
            ("NOT retired", "p4"),
            ("retired", "p3"),
            ("retired IS NULL", "p2"),
            ("retired IS NOT NULL", "p1 p3 p4"),
            ("retired IS MISSING", "p1"),
            ("retired IS NOT MISSING", "p2 p3 p4"),
            ("coalesce(retired, false) = false", "p1 p2 p4"),
            ("ismissingornull(retired)", "p1 p2"),
            ("retired IN (true, false)", "p3 p4"),
            ("retired NOT IN (true)", "p4"),
            ("height > 'tall'", ""),
            ("height != 12", "p2 p3"),
            ("bed = 'A' AND height < 10", "p2"),
            ("bed = 'A' OR height > 20", "p1 p2 p3"),
            ("care.light = 6", "p1"),
            ("care = {'light':6,'water':'daily'}", "p1"),
            ("tags = ['herb']", "p2"),
            ("p1 = 1", ""),
            ("_id = 'p1' AND _id = 'p2'", ""),
            ("_id IN ('p1','p2') AND _id IN ('p2','p3')", "p2"),
            ("_id = bed", ""),
            ("_id > 'p2'", "p3 p4"),
        ],
    );
}

#[test]
fn use_ids_reads_what_it_lists() {
    let store = sample();
    give_with(
        &store,
        &[
            ("SELECT _id FROM plants USE IDS 'p1', 'p3'", "{}", "[{'_id':'p1'},{'_id':'p3'}]"),
            ("SELECT _id FROM plants USE IDS 'p1', 'p1', 'zz', null, 1.5", "{}", "[{'_id':'p1'}]"),
            (
                "SELECT _id FROM plants USE IDS LIST :ids",
                "{'ids':['p4','p2','p4']}",
                "[{'_id':'p2'},{'_id':'p4'}]",
            ),
            ("SELECT _id FROM plants USE IDS :ids", "{'ids':['p4','p2']}", "[]"),
            ("SELECT _id FROM plants USE IDS :id", "{'id':'p4'}", "[{'_id':'p4'}]"),
            ("SELECT _id FROM plants USE IDS 'p1', 'p3' WHERE bed = 'B'", "{}", "[{'_id':'p3'}]"),
            ("SELECT _id FROM plants p USE IDS 'p1', 'p3' WHERE p._id = 'p2'", "{}", "[]"),
            ("SELECT _id FROM plants USE IDS 'p3', 'p1' ORDER BY _id LIMIT 1", "{}", "[{'_id':'p1'}]"),
            ("SELECT COUNT(*) AS n FROM plants USE IDS 'p3', 'zz'", "{}", "[{'n':1}]"),
            ("SELECT name FROM system:collections USE IDS 'beds'", "{}", "[{'name':'beds'}]"),
            ("SELECT name FROM system:collections WHERE _id = 'beds'", "{}", "[{'name':'beds'}]"),
        ],
    );
    refuse_with(
        &store,
        &[
            ("SELECT _id FROM plants USE IDS ('p1','p3')", "{}", "compile", "column"),
            ("SELECT _id FROM plants USE IDS LIST :ids", "{'ids':'p1'}", "data", "array"),
            ("SELECT _id FROM plants USE IDS LIST :ids", "{'ids':null}", "data", "array"),
            ("SELECT _id FROM plants USE IDS bed", "{}", "semantics", "column"),
        ],
    );
}

#[test]
fn distinct_rows_are_equal_as_values_are() {
    let store = sample();
    give(
        &store,
        &[
            ("SELECT DISTINCT bed FROM plants", "[{'bed':'A'},{'bed':'B'}]"),
            ("SELECT DISTINCT bed FROM plants ORDER BY bed DESC", "[{'bed':'B'},{'bed':'A'}]"),
            ("SELECT DISTINCT bed FROM plants ORDER BY bed LIMIT 1 OFFSET 1", "[{'bed':'B'}]"),
            (
                "SELECT DISTINCT retired FROM plants",
                "[{},{'retired':null},{'retired':true},{'retired':false}]",
            ),
            (
                "SELECT DISTINCT bed, COUNT(*) AS n FROM plants GROUP BY bed, height",
                "[{'bed':'A','n':1},{'bed':'B','n':1}]",
            ),
        ],
    );
    run(
        &store,
        "INSERT INTO c DOCUMENTS ({'_id':1,'v':1}), ({'_id':2,'v':1.0}), ({'_id':3,'v':[1]}), ({'_id':4,'v':[1.0]})",
    );
    give(&store, &[("SELECT DISTINCT type(v) AS t FROM c", "[{'t':'integer'},{'t':'float'},{'t':'array'}]")]);
    assert_eq!(run(&store, "SELECT DISTINCT v FROM c").rows.len(), 2);
    assert_eq!(run(&store, "SELECT DISTINCT v FROM c LIMIT 1").rows.len(), 1);
}

#[test]
fn aggregates_ignore_what_does_not_concern_them() {
    let store = sample();
    give(
        &store,
        &[
            (
                "SELECT COUNT(*) AS n, COUNT(retired) AS r, SUM(height) AS h FROM plants",
                "[{'n':4,'r':1,'h':51.5}]",
            ),
            ("SELECT COUNT(height) AS n, COUNT(DISTINCT bed) AS b FROM plants", "[{'n':3,'b':2}]"),
            ("SELECT SUM(area) AS s, AVG(area) AS a FROM beds WHERE area < 4", "[{'s':3,'a':1.5}]"),
            ("SELECT AVG(area) AS a FROM beds WHERE area = 4", "[{'a':4.0}]"),
            ("SELECT MIN(retired) AS low, MAX(retired) AS high FROM plants", "[{'low':false,'high':true}]"),
            ("SELECT MIN(name) AS low, MAX(name) AS high FROM plants", "[{'low':'Basil','high':'Moss'}]"),
            ("SELECT MEDIAN(area) AS m FROM beds", "[{'m':2}]"),
            ("SELECT MEDIAN(area) AS m FROM beds WHERE area > 1", "[{'m':2}]"),
            ("SELECT MID(height) AS m FROM plants WHERE bed = 'A'", "[{'m':10.75}]"),
            ("SELECT SUM(name) AS s, AVG(name) AS a, MEDIAN(name) AS m FROM plants", "[{}]"),
            ("SELECT SUM(x) AS s, MIN(x) AS l, COUNT(x) AS c FROM nowhere", "[{'c':0}]"),
            ("SELECT SUM(x) AS s FROM nowhere", "[{}]"),
            ("SELECT ifmissing(SUM(height), 0) AS s FROM nowhere", "[{'s':0}]"),
            ("SELECT COUNT(*) + 1 AS n, upper(MIN(name)) AS m FROM plants", "[{'n':5,'m':'BASIL'}]"),
            ("SELECT SUM(DISTINCT area % 2) AS s FROM beds", "[{'s':1}]"),
            ("SELECT COUNT(*) AS n FROM plants WHERE bed = 'A'", "[{'n':2}]"),
            ("SELECT COUNT(*) AS n FROM plants HAVING COUNT(*) > 4", "[]"),
            ("SELECT COUNT(*) AS n FROM plants LIMIT 0", "[]"),
            ("SELECT COUNT(*) AS n FROM plants OFFSET 1", "[]"),
        ],
    );
    run(
        &store,
        "INSERT INTO big DOCUMENTS ({'_id':1,'v':9223372036854775807}), ({'_id':2,'v':9223372036854775807}), ({'_id':3,'v':2})",
    );
    give(&store, &[("SELECT type(SUM(v)) AS t FROM big", "[{'t':'float'}]")]);
    refuse(
        &store,
        &[
            ("SELECT * FROM plants WHERE COUNT(*) > 1", "semantics", "column 28"),
            ("SELECT COUNT(*) FROM plants GROUP BY COUNT(*)", "semantics", "GROUP BY"),
            ("SELECT SUM(COUNT(*)) FROM plants", "semantics", "aggregate"),
            ("SELECT COUNT(DISTINCT *) FROM plants", "compile", "column"),
            ("SELECT SUM(*) FROM plants", "compile", "column"),
            ("SELECT SUM(a, b) FROM plants", "compile", "column"),
            ("SELECT ARRAY_AGG(a) FROM plants", "semantics", "ARRAY_AGG"),
            ("SELECT name, COUNT(*) FROM plants", "semantics", "name"),
        ],
    );
}

#[test]
fn groups_are_made_by_expressions() {
    let store = sample();
    give(
        &store,
        &[
            (
                "SELECT bed, COUNT(*) AS n, ifmissing(AVG(height), 0) AS meanHeight FROM plants
                 WHERE coalesce(retired, false) = false GROUP BY bed HAVING COUNT(*) >= 1 ORDER BY n DESC, bed",
                "[{'bed':'A','n':2,'meanHeight':10.75},{'bed':'B','n':1,'meanHeight':0}]",
            ),
            ("SELECT retired, COUNT(*) AS n FROM plants GROUP BY retired",
             "[{'n':1},{'retired':null,'n':1},{'retired':true,'n':1},{'retired':false,'n':1}]"),
            ("SELECT lower(bed) AS b, COUNT(*) AS n FROM plants GROUP BY lower(bed)", "[{'b':'a','n':2},{'b':'b','n':2}]"),
            ("SELECT care.light AS l FROM plants GROUP BY care ORDER BY l", "[{'l':6},{}]"),
            ("SELECT COUNT(*) AS n FROM plants GROUP BY bed HAVING bed = 'A'", "[{'n':2}]"),
            ("SELECT bed FROM plants GROUP BY bed ORDER BY COUNT(height), bed", "[{'bed':'B'},{'bed':'A'}]"),
            ("SELECT bed FROM plants GROUP BY bed ORDER BY bed LIMIT 1 OFFSET 1", "[{'bed':'B'}]"),
            ("SELECT bed FROM nowhere GROUP BY bed", "[]"),
            ("SELECT height > 10 AS tall, COUNT(*) AS n FROM plants GROUP BY height > 10 ORDER BY tall",
             "[{'tall':false,'n':1},{'tall':true,'n':2},{'n':1}]"),
        ],
    );
    refuse(
        &store,
        &[
            ("SELECT name FROM plants GROUP BY bed", "semantics", "line 1, column 8"),
            ("SELECT * FROM plants GROUP BY bed", "semantics", "group"),
            ("SELECT bed AS b FROM plants GROUP BY b", "semantics", "bed"),
            ("SELECT bed, COUNT(*) AS n FROM plants GROUP BY bed HAVING n > 1", "semantics", "n is"),
            ("SELECT bed FROM plants GROUP BY bed ORDER BY name", "semantics", "name"),
            ("SELECT bed FROM plants HAVING bed = 'A'", "semantics", "bed"),
        ],
    );
    run(&store, "INSERT INTO c DOCUMENTS ({'_id':1,'v':1}), ({'_id':2,'v':1.0}), ({'_id':3,'v':'1'})");
    give(&store, &[("SELECT COUNT(*) AS n FROM c GROUP BY v", "[{'n':2},{'n':1}]")]);
}

#[test]
fn rows_are_ordered_by_any_expressions() {
    let store = sample();
    for (clauses, expected) in [
        ("ORDER BY height", "p2 p1 p3 p4"),
        ("ORDER BY height DESC", "p4 p3 p1 p2"),
        ("ORDER BY retired", "p4 p3 p2 p1"),
        ("ORDER BY retired DESC", "p1 p2 p3 p4"),
        ("ORDER BY bed DESC, name", "p3 p4 p1 p2"),
        ("ORDER BY bed DESC, name DESC", "p4 p3 p2 p1"),
        ("ORDER BY bed = 'B', _id DESC", "p2 p1 p4 p3"),
        ("ORDER BY CASE name WHEN 'Moss' THEN 0 ELSE 1 END, _id", "p4 p1 p2 p3"),
        ("ORDER BY 1, _id", "p1 p2 p3 p4"),
        ("ORDER BY _id LIMIT 2", "p1 p2"),
        ("ORDER BY _id LIMIT 2 OFFSET 1", "p2 p3"),
        ("ORDER BY _id OFFSET 3 LIMIT 2", "p4"),
        ("ORDER BY _id OFFSET 2", "p3 p4"),
        ("ORDER BY _id OFFSET 9", ""),
        ("ORDER BY _id LIMIT 0", ""),
        ("ORDER BY _id LIMIT 1 + 1", "p1 p2"),
        ("ORDER BY _id LIMIT 9223372036854775807 OFFSET 9223372036854775807", ""),
        ("ORDER BY _id LIMIT 18446744073709551615 OFFSET 3", "p4"),
    ] {
        let ids: Vec<String> = expected.split_whitespace().map(|id| format!("{{'_id':'{id}'}}")).collect();
        give(&store, &[(&format!("SELECT _id FROM plants {clauses}"), &format!("[{}]", ids.join(",")))]);
    }
    give(
        &store,
        &[
            (
                "SELECT -height AS height FROM plants WHERE height > 0 ORDER BY height",
                "[{'height':-30},{'height':-12},{'height':-9.5}]",
            ),
            ("SELECT area * -1 AS k FROM beds ORDER BY k", "[{'k':-4},{'k':-2},{'k':-1}]"),
            (
                "SELECT label FROM beds ORDER BY area",
                "[{'label':'Spare'},{'label':'Shade'},{'label':'South wall'}]",
            ),
        ],
    );
}

#[test]
fn limits_are_whole_numbers_from_zero() {
    let store = sample();
    for clause in ["LIMIT", "OFFSET"] {
        for found in ["-1", "null", "1.5", "1.0", "'1'", "[1]", "true", "missing"] {
            refuse(
                &store,
                &[
                    (&format!("SELECT * FROM plants {clause} {found}"), "data", clause),
                    (&format!("SELECT COUNT(*) FROM plants {clause} {found}"), "data", clause),
                    (&format!("DELETE FROM plants WHERE false {clause} {found}"), "data", clause),
                    (&format!("UPDATE plants SET a = 1 WHERE false {clause} {found}"), "data", clause),
                    (&format!("EVICT FROM nowhere {clause} {found}"), "data", clause),
                ],
            );
        }
        refuse(&store, &[(&format!("SELECT * FROM plants {clause} height"), "semantics", "column")]);
    }
    refuse(
        &store,
        &[
            ("SELECT * FROM plants LIMIT 0 OFFSET -1", "data", "OFFSET"),
            ("SELECT * FROM plants ORDER BY _id NULLS FIRST", "syntax", "column 35"),
            ("SELECT * FROM plants LIMIT", "syntax", "column"),
            ("SELECT * FROM plants LIMIT 1 LIMIT 2", "syntax", "column 30"),
        ],
    );
}

#[test]
fn a_query_on_nothing_answers_like_one_on_little() {
    give(
        &empty(),
        &[
            ("SELECT DISTINCT a FROM c ORDER BY a", "[]"),
            ("SELECT COUNT(*) AS n FROM c", "[{'n':0}]"),
            ("SELECT COUNT(a) AS n, MAX(a) AS m FROM c WHERE a > 1", "[{'n':0}]"),
            ("SELECT * FROM c USE IDS 1", "[]"),
            ("SELECT * FROM system:nothing", "[]"),
        ],
    );
}
