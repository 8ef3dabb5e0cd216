//! An index never changes a result: random queries over random documents give the same rows with and without indexes,
//! while the documents change by statements, merges, evictions and transactions.
//!
//! The oracle is a virtual collection with the same documents, in the order of their `_id`s: no index, no key range and
//! no limit is ever applied to those before all of them were read. More cases: `DITTO_INDEX_CASES=100000`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ditto_crdt::Sequence;
use ditto_storage::MemoryStorage;
use ditto_store::{Incoming, IncomingDocument, QueryResult, Row, Store, StoreError, TransactionKind};
use ditto_value::{Object, Value};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::support::{Interrupted, Moment, assert_consistent, open, open_in, run};

const INDEXES: [(&str, &str); 13] = [
    ("a", "a"),
    ("b_desc", "b DESC"),
    ("a_b", "a, b"),
    ("b_a_desc", "b, a DESC"),
    ("k", "m.k"),
    ("m", "m"),
    ("a_desc_k_b", "a DESC, m.k, b"),
    ("id", "_id"),
    ("c", "c"),
    ("k_desc_id", "m.k DESC, _id"),
    ("k_c_desc", "m.k, c DESC"),
    ("id_row", "_id.row, a"),
    ("k_m", "m.k, m, b"),
];

/// Fields, as statements name them.
const FIELDS: [&str; 8] = ["a", "a", "b", "b", "c", "m.k", "m", "c.x"];

/// What the choice of the planner is pushed to.
const HINTS: [&str; 7] = [
    "",
    r##"USE DIRECTIVES '{"#max_gathered": 300}'"##,
    r##"USE DIRECTIVES '{"#max_gathered": 900, "#intersects": 2, "#prefer_order": true}'"##,
    r##"USE DIRECTIVES '{"#prefer_order": true}'"##,
    r##"USE DIRECTIVES '{"#intersects": 3}'"##,
    r##"USE DIRECTIVES '{"#max_inlist": 2}'"##,
    r##"USE DIRECTIVES '{"#disable_index_scan": true}'"##,
];

fn cases() -> u32 {
    std::env::var("DITTO_INDEX_CASES").map_or(250, |text| text.parse().expect("a number"))
}

/// As long as what an index holds of a value, or longer; some differ only behind that.
fn long(number: u8) -> Value {
    match number % 4 {
        // As long as it can be without being cut: a byte before, two behind.
        3 => Value::from("l".repeat(1021)),
        number => Value::from(format!("{}{}", "long".repeat(260), ["", "b", "c"][usize::from(number)])),
    }
}

/// Few values, so that they meet; of every kind, so that kinds meet.
fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        4 => (-2..6i64).prop_map(Value::from),
        2 => (-4..12i32).prop_map(|n| Value::from(f64::from(n) / 2.0)),
        1 => select(vec![Value::from(u64::MAX), Value::from(i64::MIN), Value::from(1e300), Value::from(-1e300), Value::from(0.1), Value::from(-0.0)]),
    ];
    let text = select(vec!["", "a", "ab", "abc", "abd", "b", "B", "a%", "a_", "a\0", "a\0b", "é", "~"]);
    let scalar = prop_oneof![
        6 => number,
        5 => text.prop_map(Value::from),
        1 => any::<u8>().prop_map(long),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => select(vec![&b""[..], b"a", b"\xFF"]).prop_map(|bytes| Value::Bytes(bytes.to_vec())),
    ];
    let array = prop::collection::vec(scalar.clone(), 0..3).prop_map(Value::Array);
    let object = prop::collection::vec((select(vec!["k", "x", "row"]), scalar.clone()), 0..3)
        .prop_map(|members| Value::Object(members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()));
    prop_oneof![12 => scalar, 1 => array, 1 => object]
}

fn id() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (0..24i64).prop_map(Value::from),
        2 => select(vec!["a", "ab", "b"]).prop_map(Value::from),
        1 => (0..3i64).prop_map(|row| Object::from([("row", Value::from(row))]).into()),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let field = || prop::option::weighted(0.8, value());
    let map = prop_oneof![
        3 => prop::option::weighted(0.8, value()).prop_map(|k| {
            let mut map = Object::from([("n", Value::from(1))]);
            k.into_iter().for_each(|k| drop(map.insert("k", k)));
            Some(Value::Object(map))
        }),
        1 => prop::option::of(value()),
    ];
    (id(), field(), field(), field(), map).prop_map(|(id, a, b, c, m)| {
        let mut document = Object::from([("_id", id)]);
        let fields = [("a", a), ("b", b), ("c", c), ("m", m)];
        fields.into_iter().for_each(|(name, value)| {
            if let Some(value) = value {
                document.insert(name, value);
            }
        });
        Value::Object(document)
    })
}

/// The text of a part of a statement, with `?` for each argument in turn.
#[derive(Clone, Debug)]
struct Part(String, Vec<Value>);

impl Part {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into(), Vec::new())
    }

    fn joined(parts: Vec<Self>, separator: &str) -> Self {
        let texts: Vec<&str> = parts.iter().map(|part| &*part.0).collect();
        let text = format!("({})", texts.join(separator));
        Self(text, parts.into_iter().flat_map(|part| part.1).collect())
    }
}

fn test() -> impl Strategy<Value = Part> {
    let field = || prop_oneof![9 => select(&FIELDS[..]), 2 => Just("_id"), 1 => Just("_id.row")];
    let compared = || prop_oneof![5 => value(), 1 => id()];
    let operator = || select(vec!["=", "=", "=", "!=", "<", "<=", ">", ">="]);
    let list = prop::collection::vec(compared(), 0..5);
    let pattern = select(vec!["a%", "ab%", "%b", "a", "a_", "a\\%", "", "a\0%", "long%", "é%", "_b%"]);
    prop_oneof![
        8 => (field(), operator(), compared()).prop_map(|(f, o, v)| Part(format!("{f} {o} ?"), vec![v])),
        2 => (field(), operator(), compared()).prop_map(|(f, o, v)| Part(format!("? {o} {f}"), vec![v])),
        3 => (field(), list.clone()).prop_map(|(f, l)| Part(format!("{f} IN ?"), vec![Value::Array(l)])),
        2 => (field(), prop::collection::vec(compared(), 1..4)).prop_map(|(f, l)| {
            Part(format!("{f} IN ({})", vec!["?"; l.len()].join(", ")), l)
        }),
        2 => (field(), compared(), compared()).prop_map(|(f, l, h)| Part(format!("{f} BETWEEN ? AND ?"), vec![l, h])),
        2 => (field(), pattern).prop_map(|(f, p)| Part(format!("{f} LIKE ?"), vec![p.into()])),
        2 => (field(), select(vec!["NULL", "MISSING", "TRUE", "FALSE", "NOT NULL", "NOT MISSING"]))
            .prop_map(|(f, t)| Part::new(format!("{f} IS {t}"))),
        1 => field().prop_map(Part::new),
        1 => field().prop_map(|f| Part::new(format!("NOT {f}"))),
        1 => (field(), compared()).prop_map(|(f, v)| Part(format!("NOT ({f} = ?)"), vec![v])),
        1 => (field(), field()).prop_map(|(f, g)| Part::new(format!("{f} = {g}"))),
        1 => (field(), list).prop_map(|(f, l)| Part(format!("{f} NOT IN ?"), vec![Value::Array(l)])),
    ]
}

fn condition() -> impl Strategy<Value = Part> {
    test().prop_recursive(3, 8, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            4 => parts().prop_map(|parts| Part::joined(parts, " AND ")),
            3 => parts().prop_map(|parts| Part::joined(parts, " OR ")),
            1 => inner.clone().prop_map(|Part(text, values)| Part(format!("NOT ({text})"), values)),
        ]
    })
}

#[derive(Clone, Debug)]
struct Query {
    projection: &'static str,
    condition: Option<Part>,
    tail: &'static str,
    order: Vec<(&'static str, bool)>,
    limit: Option<usize>,
    offset: Option<usize>,
}

fn query() -> impl Strategy<Value = Query> {
    let shown = vec![
        "*",
        "*",
        "*",
        "a",
        "a, b",
        "_id",
        "_id, a AS x, b",
        "b, m.k AS k",
        "m, m.k AS k",
        "a, lower(b) AS l",
        "t.*",
        "DISTINCT a",
        "DISTINCT a, b",
        "DISTINCT b, a AS x",
        "DISTINCT m.k AS k",
        "DISTINCT a, lower(b) AS l",
        "COUNT(*) AS n",
        "COUNT(a) AS n",
        "COUNT(DISTINCT b) AS n",
        "SUM(a) AS s, COUNT(*) AS n",
        "MIN(a) AS l, MAX(b) AS h",
        "MIN(a) AS l, MAX(a) AS h",
        "MAX(m.k) AS h, COUNT(*) AS n",
        "MAX(b) AS h",
        "MIN(c) AS l",
        "MIN(_id) AS l, MAX(_id) AS h",
        "GROUP a",
        "GROUP b",
        "GROUP k",
        "GROUP a, b",
    ];
    let order = prop::collection::vec(
        (
            select(vec!["a", "a", "b", "b", "m.k", "m.k", "c", "_id", "_id", "lower(b)", "m", "1"]),
            any::<bool>(),
        ),
        0..4,
    );
    let number = |weight, most: usize| prop::option::weighted(weight, 0..most);
    (select(shown), prop::option::weighted(0.7, condition()), order, number(0.5, 9), number(0.2, 20))
        .prop_map(|(projection, condition, order, limit, offset)| {
            let (projection, tail) = match projection {
                "GROUP a" => ("a, COUNT(*) AS n, SUM(b) AS s", "GROUP BY a"),
                "GROUP b" => ("b, MIN(a) AS l", "GROUP BY b"),
                "GROUP k" => ("m.k AS k, COUNT(DISTINCT a) AS n, MAX(m.k) AS h", "GROUP BY m.k"),
                "GROUP a, b" => ("b, a, AVG(b) AS s", "GROUP BY a, b"),
                other => (other, ""),
            };
            let mut query = Query { projection, condition, tail, order, limit, offset };
            if query.is_one_group() || !query.tail.is_empty() {
                query.order.clear();
            }
            query
        })
}

impl Query {
    /// The statement over `source` and its arguments.
    fn text(&self, source: &str) -> (String, Object) {
        let Part(condition, values) = match &self.condition {
            Some(Part(text, values)) => Part(format!("WHERE {text}"), values.clone()),
            None => Part::new(""),
        };
        let mut arguments = Object::new();
        let mut text = format!("SELECT {} FROM {source} ", self.projection);
        for (number, piece) in condition.split('?').enumerate() {
            if number > 0 {
                text += &format!(":p{number}");
            }
            text += piece;
        }
        for (number, value) in values.into_iter().enumerate() {
            arguments.insert(format!("p{}", number + 1), value);
        }
        text += &format!(" {}", self.tail);
        if !self.order.is_empty() {
            let items: Vec<String> = self
                .order
                .iter()
                .map(|(field, descending)| format!("{field}{}", if *descending { " DESC" } else { "" }))
                .collect();
            text += &format!(" ORDER BY {}", items.join(", "));
        }
        self.limit.iter().for_each(|limit| text += &format!(" LIMIT {limit}"));
        self.offset.iter().for_each(|offset| text += &format!(" OFFSET {offset}"));
        (text, arguments)
    }

    /// Whether there is one row, about all documents.
    fn is_one_group(&self) -> bool {
        ["COUNT", "SUM", "MIN", "MAX"].iter().any(|function| self.projection.starts_with(function))
    }

    fn without_window(&self) -> Self {
        Self { limit: None, offset: None, ..self.clone() }
    }
}

/// A store with a collection `t`, and the virtual collection that shows the same documents.
struct Subject {
    store: Store,
    shown: Arc<Mutex<Vec<Object>>>,
}

type Execute<'e> = &'e mut dyn FnMut(&str, &Object) -> Result<QueryResult, StoreError>;

impl Subject {
    fn new(store: Store) -> Self {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let rows = Arc::clone(&shown);
        let all = move || rows.lock().expect("not poisoned").clone();
        store.register_virtual_collection("system:t", Arc::new(all));
        Self { store, shown }
    }

    fn create(&self, indexes: &[(&str, &str)]) {
        for (name, keys) in indexes {
            run(&self.store, &format!("CREATE INDEX {name} ON t ({keys})"));
        }
    }

    /// Asks the same with each hint, and the oracle.
    fn compare(&self, query: &Query, hints: &[&str], execute: Execute<'_>) -> Result<(), TestCaseError> {
        let none = Object::new();
        let documents = execute("SELECT * FROM t USE INDEX ''", &none).expect("reads");
        *self.shown.lock().expect("not poisoned") =
            documents.rows.iter().filter_map(|row| row.value().to_object()).collect();
        let mut ask = |query: &Query, source: &str| {
            let (text, arguments) = query.text(source);
            let rows = execute(&text, &arguments).unwrap_or_else(|error| panic!("{text}: {error}")).rows;
            (text, rows)
        };
        let (_, expected) = ask(query, "system:t AS t");
        for hint in hints {
            let (text, found) = ask(query, &format!("t {hint}"));
            let is_cut = query.limit.is_some() || query.offset.is_some();
            if !query.order.is_empty() {
                prop_assert_eq!(&found, &expected, "{}", text);
            } else if !is_cut || query.is_one_group() {
                prop_assert_eq!(sorted(&found), sorted(&expected), "{}", text);
            } else {
                // Any rows will do, as long as they are rows and as many.
                prop_assert_eq!(found.len(), expected.len(), "{}", text);
                let (_, mut all) = ask(&query.without_window(), "system:t AS t");
                for row in &found {
                    let position = all.iter().position(|other| other == row);
                    prop_assert!(position.is_some(), "{}: {:?} is no row", text, row);
                    all.swap_remove(position.unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    fn ask(&self, query: &Query, hints: &[&str]) -> Result<(), TestCaseError> {
        self.compare(query, hints, &mut |text, arguments| self.store.execute(text, arguments))
    }
}

fn sorted(rows: &[Row]) -> Vec<Vec<u8>> {
    let mut rows: Vec<Vec<u8>> = rows.iter().map(|row| row.bytes().to_vec()).collect();
    rows.sort();
    rows
}

fn insert(store: &Store, documents: &[Value]) {
    for document in documents {
        let arguments = Object::from([("d", document.clone())]);
        store.execute("INSERT INTO t DOCUMENTS (:d) ON ID CONFLICT DO UPDATE", &arguments).expect("inserts");
    }
}

/// Something that happens to the documents.
#[derive(Clone, Debug)]
enum Change {
    Insert(Vec<Value>),
    Set(&'static str, Value, Part),
    Unset(&'static str, Part),
    Delete(Part),
    Evict(Part),
    /// A peer made these changes.
    Merge(Vec<Value>, Part),
}

fn change() -> impl Strategy<Value = Change> {
    let documents = || prop::collection::vec(document(), 1..6);
    let field = || select(vec!["a", "b", "c", "m.k", "m"]);
    prop_oneof![
        3 => documents().prop_map(Change::Insert),
        3 => (field(), value(), test()).prop_map(|(f, v, t)| Change::Set(f, v, t)),
        1 => (field(), test()).prop_map(|(f, t)| Change::Unset(f, t)),
        1 => test().prop_map(Change::Delete),
        1 => test().prop_map(Change::Evict),
        2 => (documents(), test()).prop_map(|(d, t)| Change::Merge(d, t)),
    ]
}

/// A statement with `?` for its arguments.
fn numbered(text: &str, values: &[Value]) -> (String, Object) {
    let pieces: Vec<&str> = text.split('?').collect();
    let mut numbered = pieces.first().copied().unwrap_or_default().to_owned();
    for (number, piece) in pieces.iter().enumerate().skip(1) {
        numbered += &format!(":p{number}{piece}");
    }
    let arguments =
        values.iter().enumerate().map(|(number, value)| (format!("p{}", number + 1), value.clone()));
    (numbered, arguments.collect())
}

impl Change {
    /// The statements that make it, if it is made by statements.
    fn statements(&self) -> Vec<(String, Object)> {
        let with = |text: &str, first: &[Value], Part(condition, values): &Part| {
            numbered(&format!("{text} WHERE {condition}"), &[first, values].concat())
        };
        match self {
            Self::Insert(documents) => {
                let text = "INSERT INTO t DOCUMENTS (?) ON ID CONFLICT DO UPDATE";
                documents.iter().map(|document| numbered(text, std::slice::from_ref(document))).collect()
            }
            Self::Set(field, value, part) => {
                vec![with(&format!("UPDATE t SET {field} = ?"), std::slice::from_ref(value), part)]
            }
            Self::Unset(field, part) => vec![with(&format!("UPDATE t UNSET {field}"), &[], part)],
            Self::Delete(part) => vec![with("DELETE FROM t", &[], part)],
            Self::Evict(part) => vec![with("EVICT FROM t", &[], part)],
            Self::Merge(..) => Vec::new(),
        }
    }

    fn happen(&self, store: &Store, peer: &Store) {
        let Self::Merge(documents, condition) = self else {
            for (text, arguments) in self.statements() {
                store.execute(&text, &arguments).unwrap_or_else(|error| panic!("{text}: {error}"));
            }
            return;
        };
        insert(peer, documents);
        for change in [Self::Set("a", Value::from(3), condition.clone()), Self::Delete(condition.clone())] {
            change.happen(peer, store);
        }
        exchange(peer, store);
        exchange(store, peer);
    }
}

/// Everything that `from` holds, as a peer would send it.
fn exchange(from: &Store, to: &Store) {
    let replica = from.replica();
    let changes = replica.changes(Sequence::ZERO, replica.last_sequence(), usize::MAX).expect("changes");
    let documents = changes
        .into_iter()
        .map(|change| {
            let excerpt = replica.delta_since(&change.key, Sequence::ZERO).expect("reads").expect("there");
            IncomingDocument { key: change.key, delta: excerpt.delta, stated: excerpt.version }
        })
        .collect();
    let incoming = Incoming {
        from: [7; 32],
        origin: 1,
        documents,
        checkpoints: Vec::new(),
        seen: None,
        evictions: None,
    };
    let applied = to.replica().apply(incoming).expect("applies");
    assert!(applied.outcomes.iter().all(Result::is_ok), "{:?}", applied.outcomes);
}

fn indexes() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop_oneof![
        4 => (0..INDEXES.len()).prop_map(|number| vec![INDEXES[number]]),
        2 => subsequence(INDEXES.to_vec(), 2..5),
        1 => Just(INDEXES.to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn queries_give_the_same_rows_with_and_without_indexes(
        documents in prop::collection::vec(document(), 0..40),
        indexes in indexes(),
        queries in prop::collection::vec(query(), 12),
    ) {
        let subject = Subject::new(open(1));
        insert(&subject.store, &documents);
        subject.create(&indexes);
        for query in &queries {
            subject.ask(query, &HINTS)?;
            for (name, _) in &indexes {
                subject.ask(query, &[&format!("USE INDEX '{name}'")])?;
            }
        }
    }

    #[test]
    fn queries_give_the_same_rows_while_documents_change(
        before in prop::collection::vec(document(), 0..20),
        indexes in indexes(),
        steps in prop::collection::vec((change(), query()), 1..10),
    ) {
        let storage = Arc::new(MemoryStorage::new());
        let subject = Subject::new(open_in(storage.clone(), 1));
        let peer = open(2);
        insert(&subject.store, &before);
        subject.create(&indexes);
        for (change, query) in &steps {
            change.happen(&subject.store, &peer);
            subject.ask(query, &HINTS)?;
        }
        assert_consistent(&subject.store);
        drop(subject);
        let subject = Subject::new(open_in(storage, 3));
        steps.iter().try_for_each(|(_, query)| subject.ask(query, &HINTS))?;
    }

    #[test]
    fn a_transaction_sees_through_indexes_what_it_wrote(
        before in prop::collection::vec(document(), 0..20),
        indexes in indexes(),
        steps in prop::collection::vec((change(), query()), 1..10),
        commits in any::<bool>(),
    ) {
        let subject = Subject::new(open(1));
        insert(&subject.store, &before);
        subject.create(&indexes);
        let reader = subject.store.begin(TransactionKind::ReadOnly).expect("begins");
        let transaction = subject.store.begin(TransactionKind::ReadWrite).expect("begins");
        for (change, query) in &steps {
            for (text, arguments) in change.statements() {
                transaction.execute(&text, &arguments).unwrap_or_else(|error| panic!("{text}: {error}"));
            }
            // Fails at a document without `b`, and what it has changed until then is undone.
            let _ = transaction.execute("UPDATE t SET a = b, c = 77", &Object::new());
            subject.compare(query, &HINTS, &mut |text, arguments| transaction.execute(text, arguments))?;
        }
        if commits {
            transaction.commit().expect("commits");
        } else {
            transaction.rollback();
        }
        // The reader still sees the documents of before, the others those of now.
        for (_, query) in &steps {
            subject.compare(query, &HINTS, &mut |text, arguments| reader.execute(text, arguments))?;
            subject.ask(query, &HINTS)?;
        }
        assert_consistent(&subject.store);
    }

    #[test]
    fn statements_that_change_documents_find_the_same_ones_with_and_without_indexes(
        documents in prop::collection::vec(document(), 0..30),
        indexes in indexes(),
        steps in prop::collection::vec((change(), select(vec!["a", "b DESC", "m.k", "_id DESC"]), 0..6usize), 1..8),
    ) {
        let (indexed, plain) = (Subject::new(open(1)), Subject::new(open(1)));
        insert(&indexed.store, &documents);
        insert(&plain.store, &documents);
        indexed.create(&indexes);
        for (change, order, limit) in &steps {
            for (text, arguments) in change.statements() {
                let text = if text.starts_with("INSERT") { text } else { format!("{text} ORDER BY {order} LIMIT {limit}") };
                let found = indexed.store.execute(&text, &arguments).expect("runs").mutated_ids;
                let expected = plain.store.execute(&text, &arguments).expect("runs").mutated_ids;
                prop_assert_eq!(found, expected, "{}", text);
            }
            let all = |subject: &Subject| run(&subject.store, "SELECT * FROM t USE INDEX ''").rows;
            prop_assert_eq!(all(&indexed), all(&plain));
        }
        assert_consistent(&indexed.store);
    }
}

#[test]
fn an_index_that_is_younger_than_a_snapshot_is_not_used_in_it() {
    let store = open(1);
    insert(&store, &[Object::from([("_id", Value::from(1)), ("a", Value::from(1))]).into()]);
    let mut reader = store.begin(TransactionKind::ReadOnly).expect("begins");
    run(&store, "CREATE INDEX a ON t (a)");
    run(&store, "DELETE FROM t");
    let mut younger = store.begin(TransactionKind::ReadOnly).expect("begins");
    run(&store, "DROP INDEX a ON t");
    run(&store, "CREATE INDEX a ON t (b)");
    for (reader, count) in [(&mut reader, 1), (&mut younger, 0)] {
        for field in ["a", "b"] {
            let text = format!("SELECT _id FROM t WHERE {field} = 1 OR {field} IS MISSING");
            assert_eq!(reader.execute(&text, &Object::new()).expect("reads").rows.len(), count, "{text}");
        }
    }
}

/// Groups of more rows than are gathered, read backward, through several ranges and among changes of a transaction.
#[test]
fn large_groups_come_in_order_backward_too() {
    let subject = Subject::new(open(1));
    let documents = |from: i64, to: i64| -> Value {
        let one = |n: i64| {
            Value::from(Object::from([
                ("_id", Value::from(n)),
                ("a", (n % 2).into()),
                ("b", (n % 3 / 2).into()),
            ]))
        };
        (from..to).map(one).collect::<Vec<_>>().into()
    };
    let insert = "INSERT INTO t DOCUMENTS (:d)";
    subject.store.execute(insert, &Object::from([("d", documents(0, 5_000))])).expect("inserts");
    subject.create(&[("a", "a"), ("a_b", "a, b DESC")]);
    let order = |fields: &[(&'static str, bool)], condition: Option<Part>, limit| Query {
        projection: "_id",
        condition,
        tail: "",
        order: fields.to_vec(),
        limit,
        offset: Some(7),
    };
    let ids = || Part("(_id < ? OR _id > ?)".into(), vec![Value::from(2_000), Value::from(2_100)]);
    let one = Part("a = 1 AND _id != ?".into(), vec![Value::from(777)]);
    let both = Part(format!("a IN (1, 0) AND {}", ids().0), ids().1);
    let queries = [
        order(&[("a", true)], None, Some(3_000)),
        order(&[("a", true)], Some(ids()), Some(2_600)),
        order(&[("a", true)], Some(one), Some(2_000)),
        order(&[("a", true)], Some(both), Some(4_000)),
        order(&[("a", true), ("b", false)], Some(ids()), Some(4_000)),
        order(&[("a", false), ("b", true)], None, Some(4_000)),
        order(&[("a", true), ("_id", true)], None, Some(3_000)),
        order(&[("a", true), ("_id", false)], None, Some(3_000)),
    ];
    let transaction = subject.store.begin(TransactionKind::ReadWrite).expect("begins");
    transaction.execute(insert, &Object::from([("d", documents(-1_500, 0))])).expect("inserts");
    transaction.execute("UPDATE t SET a = 1 - a WHERE _id > 4900", &Object::new()).expect("updates");
    transaction.execute("DELETE FROM t WHERE _id BETWEEN 10 AND 20", &Object::new()).expect("deletes");
    for query in &queries {
        for name in ["a", "a_b"] {
            let hint = format!("USE INDEX '{name}'");
            let checked = subject.ask(query, &[&hint]);
            checked.unwrap_or_else(|error| panic!("{error}"));
            let checked =
                subject.compare(query, &[&hint], &mut |text, arguments| transaction.execute(text, arguments));
            checked.unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn the_ends_of_an_index_are_what_all_documents_say() {
    let store = open(1);
    let long = |end: &str| Value::from(format!("{}{end}", "z".repeat(1_500)));
    let documents = [
        // Equal values of two kinds: the one of the least `_id` is shown, whatever comes first in the index.
        (3, Value::from(1), 0),
        (2, Value::from(1.0), 1),
        (9, Value::from(7.0), 1),
        (5, Value::from(7), 2),
        (6, Value::from(7.0), 0),
        // Values that are equal as far as the index holds them.
        (11, long("b"), 3),
        (12, long("d"), 4),
        (13, long("a"), 5),
        (14, long("d"), 3),
    ];
    let insert = |id: i64, a: Option<Value>, b: i64| {
        let mut document = Object::from([("_id", Value::from(id)), ("b", Value::from(b))]);
        a.into_iter().for_each(|a| drop(document.insert("a", a)));
        let arguments = Object::from([("d", Value::from(document))]);
        store.execute("INSERT INTO t DOCUMENTS (:d)", &arguments).expect("inserts");
    };
    documents.into_iter().for_each(|(id, a, b)| insert(id, Some(a), b));
    insert(20, Some(Value::Null), 0);
    insert(21, None, 0);
    let conditions = [
        "",
        "WHERE a < 5",
        "WHERE a <= 7 AND a > 1",
        "WHERE a IN (1, 7)",
        "WHERE a IN (8, 9)",
        "WHERE a IS NULL",
        "WHERE a LIKE 'z%'",
        "WHERE b = 1",
        "WHERE b = 0",
        "WHERE b = 3",
        "WHERE b IN (0, 1)",
        "WHERE b = 1 AND a > 2",
        "WHERE b = 1 AND _id > 2",
        "WHERE _id > 11",
        "WHERE _id < 0",
        "WHERE b = 8",
    ];
    for keys in
        ["a", "a DESC", "a, b", "a DESC, b DESC", "a, b DESC", "b, a", "b, a DESC", "b DESC, a, c", "b"]
    {
        run(&store, &format!("CREATE INDEX i ON t ({keys})"));
        for condition in conditions {
            let ask = |use_index: &str, execute: Execute<'_>| {
                let shown = "MIN(a) AS l, MAX(a) AS h, MIN(b) AS lb, MAX(_id) AS i, MIN(_id) AS j";
                let text = |shown: &str| format!("SELECT {shown} FROM t {use_index} {condition}");
                let mut one = |shown: &str| {
                    let rows = execute(&text(shown), &Object::new()).expect("reads").rows;
                    rows.iter().map(|row| row.value().to_json()).collect::<String>()
                };
                [shown, "MIN(a) AS l", "MAX(a) AS h", "MAX(a) AS h, COUNT(*) AS n"].map(&mut one)
            };
            let newest: Execute<'_> = &mut |text, arguments| store.execute(text, arguments);
            assert_eq!(ask("", newest), ask("USE INDEX ''", newest), "{keys}: {condition}");
            let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
            let inside: Execute<'_> = &mut |text, arguments| transaction.execute(text, arguments);
            inside("DELETE FROM t WHERE _id IN (2, 14)", &Object::new()).expect("deletes");
            inside("UPDATE t SET a = 7 WHERE _id IN (3, 11)", &Object::new()).expect("updates");
            assert_eq!(ask("", inside), ask("USE INDEX ''", inside), "{keys}, in a transaction: {condition}");
            transaction.rollback();
        }
        run(&store, "DROP INDEX i ON t");
    }
}

#[test]
fn an_index_that_is_dropped_between_plan_and_snapshot_is_not_used() {
    let storage = Interrupted::new(MemoryStorage::new());
    let store = open_in(storage.clone(), 1);
    insert(&store, &[Object::from([("_id", Value::from(1)), ("a", Value::from(1))]).into()]);
    run(&store, "CREATE INDEX a ON t (a)");
    let handle = store.clone();
    storage.at(Moment::Snapshot, move || drop(run(&handle, "DROP INDEX a ON t")));
    assert_eq!(crate::support::query(&store, "SELECT _id FROM t WHERE a = 1"), [r#"{"_id":1}"#]);
    assert!(!storage.is_awaited(Moment::Snapshot), "the index was dropped");
    assert_eq!(crate::support::query(&store, "SELECT * FROM system:indexes"), Vec::<String>::new());
}

#[test]
fn queries_do_not_notice_that_indexes_come_and_go() {
    let store = open(1);
    let one = |n: i64| Value::from(Object::from([("_id", Value::from(n)), ("a", (n % 5).into())]));
    let documents = Object::from([("d", Value::from((0..3_000).map(one).collect::<Vec<_>>()))]);
    store.execute("INSERT INTO t DOCUMENTS (:d)", &documents).expect("inserts");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for text in
            ["SELECT COUNT(*) AS n FROM t WHERE a = 3", "SELECT COUNT(*) AS n FROM t WHERE a >= 3 AND a < 4"]
        {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(crate::support::query(store, text), [r#"{"n":600}"#]);
                }
            });
        }
        for _ in 0..10 {
            run(&store, "CREATE INDEX a ON t (a)");
            run(&store, "DROP INDEX a ON t");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_consistent(&store);
}
