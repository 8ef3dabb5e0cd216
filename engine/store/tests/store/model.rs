//! Random statements against a map of JSON objects: the same answers, also after reopening.

use std::collections::BTreeMap;
use std::sync::Arc;

use ditto_crdt::Sequence;
use ditto_storage::{CachedStorage, MemoryStorage};
use ditto_store::{QueryResult, Store, StoreError, TransactionKind};
use ditto_value::{Object, Value};
use proptest::prelude::*;

use crate::support::{assert_consistent, cases, open_in, query, rows};

pub type Model = BTreeMap<i64, Object>;

#[derive(Clone, Debug)]
pub enum Condition {
    All,
    Id(i64),
    IdIn(Vec<i64>),
    Equal(i64),
    Greater(i64),
    Missing,
    Both(i64, i64),
    Nested(i64),
}

impl Condition {
    fn text(&self) -> String {
        match self {
            Self::All => "true".to_string(),
            Self::Id(id) => format!("_id = {id}"),
            Self::IdIn(ids) => format!("_id IN {ids:?}"),
            Self::Equal(a) => format!("a = {a}"),
            Self::Greater(a) => format!("a > {a}"),
            Self::Missing => "a IS MISSING".to_string(),
            Self::Both(a, b) => format!("a >= {a} AND b < {b}"),
            Self::Nested(k) => format!("m.k = {k}"),
        }
    }

    fn accepts(&self, id: i64, document: &Object) -> bool {
        let number = |name: &str| document.get(name).and_then(Value::as_i64);
        match self {
            Self::All => true,
            Self::Id(wanted) => id == *wanted,
            Self::IdIn(wanted) => wanted.contains(&id),
            Self::Equal(a) => number("a") == Some(*a),
            Self::Greater(a) => number("a").is_some_and(|found| found > *a),
            Self::Missing => number("a").is_none(),
            Self::Both(a, b) => number("a").is_some_and(|x| x >= *a) && number("b").is_some_and(|x| x < *b),
            Self::Nested(k) => document.get("m").and_then(|m| m.get("k")).and_then(Value::as_i64) == Some(*k),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Ids, value, policy: fail, nothing, update.
    Insert(Vec<i64>, i64, usize),
    Set(&'static str, i64, Condition),
    SetNested(i64, Condition),
    Unset(&'static str, Condition),
    Delete(Condition),
    Evict(Condition),
    /// Condition, descending, limit, offset.
    Select(Condition, bool, usize, usize),
    Aggregate(Condition),
    /// The steps happen in one transaction, which commits or not.
    Transaction(Vec<Step>, bool),
}

pub fn apply_to_model(model: &mut Model, step: &Step) -> Option<Vec<i64>> {
    let matching = |model: &Model, condition: &Condition| -> Vec<i64> {
        let found = model.iter().filter(|(id, document)| condition.accepts(**id, document));
        found.map(|(id, _)| *id).collect()
    };
    let change = |model: &mut Model, condition: &Condition, change: &dyn Fn(&mut Object) -> bool| {
        let ids = matching(model, condition).into_iter();
        ids.filter(|id| model.get_mut(id).is_some_and(change)).collect()
    };
    match step {
        Step::Insert(ids, value, policy) => {
            let distinct = ids.iter().collect::<std::collections::BTreeSet<_>>().len() == ids.len();
            if !distinct || (*policy == 0 && ids.iter().any(|id| model.contains_key(id))) {
                return None;
            }
            let mut written = Vec::new();
            for id in ids {
                let exists = model.contains_key(id);
                if exists && *policy == 1 {
                    continue;
                }
                let document = model.entry(*id).or_default();
                document.insert("a", *value);
                let map = document.get_or_insert_with("m", || Value::Object(Object::new()));
                map.as_object_mut().expect("always a map").insert("i", *id);
                written.push(*id);
            }
            Some(written)
        }
        Step::Set(field, value, condition) => Some(change(model, condition, &|document| {
            document.insert(*field, *value);
            true
        })),
        Step::SetNested(value, condition) => Some(change(model, condition, &|document| {
            let map = document.get_or_insert_with("m", || Value::Object(Object::new()));
            map.as_object_mut().expect("always a map").insert("k", *value);
            true
        })),
        Step::Unset(field, condition) => {
            Some(change(model, condition, &|document| document.remove(field).is_some()))
        }
        Step::Delete(condition) | Step::Evict(condition) => {
            let ids = matching(model, condition);
            ids.iter().for_each(|id| drop(model.remove(id)));
            Some(ids)
        }
        Step::Select(..) | Step::Aggregate(_) | Step::Transaction(..) => None,
    }
}

pub fn text(step: &Step) -> String {
    match step {
        Step::Insert(ids, value, policy) => {
            let documents = ids
                .iter()
                .map(|id| format!("({{'_id': {id}, 'a': {value}, 'm': {{'i': {id}}}}})"))
                .collect::<Vec<_>>();
            let policy = ["", "ON ID CONFLICT DO NOTHING", "ON ID CONFLICT DO UPDATE"][*policy];
            format!("INSERT INTO c DOCUMENTS {} {policy}", documents.join(", "))
        }
        Step::Set(field, value, condition) => {
            format!("UPDATE c SET {field} = {value} WHERE {}", condition.text())
        }
        Step::SetNested(value, condition) => format!("UPDATE c SET m.k = {value} WHERE {}", condition.text()),
        Step::Unset(field, condition) => format!("UPDATE c UNSET {field} WHERE {}", condition.text()),
        Step::Delete(condition) => format!("DELETE FROM c WHERE {}", condition.text()),
        Step::Evict(condition) => format!("EVICT FROM c WHERE {}", condition.text()),
        Step::Select(condition, descending, limit, offset) => {
            let direction = if *descending { "DESC" } else { "ASC" };
            let condition = condition.text();
            format!(
                "SELECT * FROM c WHERE {condition} ORDER BY a {direction}, _id LIMIT {limit} OFFSET {offset}"
            )
        }
        Step::Aggregate(condition) => {
            format!("SELECT COUNT(*) AS n, SUM(a) AS s FROM c WHERE {}", condition.text())
        }
        Step::Transaction(..) => unreachable!("has no text"),
    }
}

fn with_id(id: i64, document: &Object) -> String {
    let mut document = document.clone();
    document.insert("_id", id);
    Value::Object(document).to_json()
}

pub fn expected_rows(model: &Model, step: &Step) -> Option<Vec<String>> {
    let matching = |condition: &Condition| {
        let condition = condition.clone();
        model.iter().filter(move |(id, document)| condition.accepts(**id, document))
    };
    match step {
        Step::Select(condition, descending, limit, offset) => {
            let mut found: Vec<_> = matching(condition).collect();
            // Missing comes last, or first when descending; `_id` always ascends.
            found.sort_by_key(|(id, document)| {
                let a = document.get("a").and_then(Value::as_i64).unwrap_or(i64::MAX);
                (if *descending { -a } else { a }, **id)
            });
            let window = found.into_iter().skip(*offset).take(*limit);
            Some(window.map(|(id, document)| with_id(*id, document)).collect())
        }
        Step::Aggregate(condition) => {
            let numbers: Vec<i64> = matching(condition)
                .filter_map(|(_, document)| document.get("a").and_then(Value::as_i64))
                .collect();
            let mut row = Object::from([("n", Value::from(matching(condition).count() as u64))]);
            if !numbers.is_empty() {
                row.insert("s", numbers.iter().sum::<i64>());
            }
            Some(vec![Value::Object(row).to_json()])
        }
        _ => None,
    }
}

/// Runs a step that is no transaction on both sides and compares.
fn run_both(
    model: &mut Model,
    step: &Step,
    execute: &mut dyn FnMut(&str) -> Result<QueryResult, StoreError>,
) -> Result<(), TestCaseError> {
    let text = text(step);
    if let Some(expected) = expected_rows(model, step) {
        let result = execute(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(rows(&result), expected, "{}", text);
        return Ok(());
    }
    match (apply_to_model(model, step), execute(&text)) {
        (Some(mut expected), Ok(result)) => {
            let mut mutated: Vec<i64> = result.mutated_ids.iter().filter_map(Value::as_i64).collect();
            mutated.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(mutated, expected, "{}", text);
            Ok(())
        }
        (None, Err(StoreError::Data(_))) => Ok(()),
        (expected, found) => {
            Err(TestCaseError::fail(format!("{text}: expected {expected:?}, found {found:?}")))
        }
    }
}

fn check_changes(store: &Store) -> Result<(), TestCaseError> {
    let replica = store.replica();
    let changes = replica.changes(Sequence::ZERO, replica.last_sequence(), usize::MAX).expect("reads");
    prop_assert!(changes.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    let keys: std::collections::BTreeSet<_> = changes.iter().map(|change| &change.key).collect();
    prop_assert_eq!(keys.len(), changes.len(), "one row per document");
    let verified = store.verify().expect("reads");
    prop_assert_eq!(verified.documents + verified.tombstones + verified.graves, changes.len() as u64);
    Ok(())
}

fn condition() -> impl Strategy<Value = Condition> {
    let (id, value) = (0..6i64, 0..4i64);
    prop_oneof![
        Just(Condition::All),
        id.clone().prop_map(Condition::Id),
        prop::collection::vec(id, 0..4).prop_map(Condition::IdIn),
        value.clone().prop_map(Condition::Equal),
        value.clone().prop_map(Condition::Greater),
        Just(Condition::Missing),
        (value.clone(), value.clone()).prop_map(|(a, b)| Condition::Both(a, b)),
        value.prop_map(Condition::Nested),
    ]
}

pub fn simple_step() -> impl Strategy<Value = Step> {
    let field = prop_oneof![Just("a"), Just("b")];
    let removed = prop_oneof![Just("a"), Just("b")];
    prop_oneof![
        4 => (prop::collection::vec(0..6i64, 1..4), 0..4i64, 0..3usize).prop_map(|(ids, a, p)| Step::Insert(ids, a, p)),
        2 => (field, 0..4i64, condition()).prop_map(|(field, value, c)| Step::Set(field, value, c)),
        1 => (0..4i64, condition()).prop_map(|(value, c)| Step::SetNested(value, c)),
        1 => (removed, condition()).prop_map(|(field, c)| Step::Unset(field, c)),
        1 => condition().prop_map(Step::Delete),
        1 => condition().prop_map(Step::Evict),
        3 => (condition(), any::<bool>(), 0..5usize, 0..3usize).prop_map(|(c, d, l, o)| Step::Select(c, d, l, o)),
        1 => condition().prop_map(Step::Aggregate),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => simple_step(),
        1 => (prop::collection::vec(simple_step(), 0..6), any::<bool>())
            .prop_map(|(steps, commits)| Step::Transaction(steps, commits)),
    ]
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn statements_answer_as_a_map_of_objects_would(steps in prop::collection::vec(step(), 0..40)) {
        let storage = Arc::new(MemoryStorage::new());
        // For a few records only, so that they come and go.
        let cached = || Arc::new(CachedStorage::new(storage.clone(), 16_000));
        let store = open_in(cached(), 1);
        let none = Object::new();
        let mut model = Model::new();
        for step in &steps {
            match step {
                Step::Transaction(steps, commits) => {
                    let transaction = store.begin(TransactionKind::ReadWrite).expect("begins");
                    let mut inside = model.clone();
                    for step in steps {
                        run_both(&mut inside, step, &mut |text| transaction.execute(text, &none))?;
                    }
                    if *commits {
                        transaction.commit().expect("commits");
                        model = inside;
                    }
                }
                step => run_both(&mut model, step, &mut |text| store.execute(text, &none))?,
            }
        }
        let expected: Vec<String> = model.iter().map(|(id, document)| with_id(*id, document)).collect();
        prop_assert_eq!(&query(&store, "SELECT * FROM c"), &expected);
        assert_consistent(&store);
        check_changes(&store)?;
        let last = store.last_sequence();
        drop(store);
        let store = open_in(cached(), 2);
        prop_assert_eq!(&query(&store, "SELECT * FROM c"), &expected);
        prop_assert_eq!(query(&store, "SELECT COUNT(*) AS n FROM c"), [format!(r#"{{"n":{}}}"#, expected.len())]);
        prop_assert_eq!(store.last_sequence(), last);
        assert_consistent(&store);
    }
}
