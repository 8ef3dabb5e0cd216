//! Tables of statements and what they give.
//!
//! Expected rows are JSON in which single quotes stand for double ones. Rows of a statement without ORDER BY are
//! compared in any order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ditto_dql::ErrorKind;
use ditto_storage::MemoryStorage;
use ditto_store::{Environment, Executor, QueryResult, Store, StoreError, StoreOptions};
use ditto_value::{Object, Value};

/// The moment at which every test runs: 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000_000;

struct Fixed(AtomicU64);

impl Environment for Fixed {
    fn now_ms(&self) -> u64 {
        NOW
    }

    fn random_u64(&self) -> u64 {
        self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}

struct Threads;

impl Executor for Threads {
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(job);
    }
}

pub fn empty() -> Store {
    let options = StoreOptions::new("a database", Arc::new(Threads));
    Store::open(Arc::new(MemoryStorage::new()), Arc::new(Fixed(AtomicU64::new(1))), options).expect("opens")
}

/// A store with the sample data.
pub fn sample() -> Store {
    let store = empty();
    run(
        &store,
        "INSERT INTO plants DOCUMENTS
         ({'_id':'p1', 'name':'Basil', 'bed':'A', 'height':12, 'tags':['herb','sun'],
           'care':{'water':'daily', 'light':6}}),
         ({'_id':'p2', 'name':'Mint', 'bed':'A', 'height':9.5, 'tags':['herb'], 'retired':null}),
         ({'_id':'p3', 'name':'Fern', 'bed':'B', 'height':30, 'retired':true}),
         ({'_id':'p4', 'name':'Moss', 'bed':'B', 'retired':false})",
    );
    run(
        &store,
        "INSERT INTO beds DOCUMENTS ([{'_id':'A', 'label':'South wall', 'area':4},
         {'_id':'B', 'label':'Shade', 'area':2}, {'_id':'C', 'label':'Spare', 'area':1}])",
    );
    store
}

pub fn json(text: &str) -> Value {
    let text = text.replace('\'', "\"");
    Value::from_json(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn object(text: &str) -> Object {
    match json(text) {
        Value::Object(object) => object,
        other => panic!("{other:?} is no object"),
    }
}

pub fn run(store: &Store, text: &str) -> QueryResult {
    run_with(store, text, "{}")
}

pub fn run_with(store: &Store, text: &str, arguments: &str) -> QueryResult {
    store.execute(text, &object(arguments)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The rows of a result as JSON, sorted unless their order means something.
fn rows_of(text: &str, result: &QueryResult) -> Vec<String> {
    let mut rows: Vec<String> = result.rows.iter().map(|row| row.value().to_json()).collect();
    if !text.contains("ORDER BY") {
        rows.sort();
    }
    rows
}

fn expected_rows(text: &str, expected: &str) -> Vec<String> {
    let Value::Array(rows) = json(expected) else { panic!("{expected}: rows are an array") };
    let mut rows: Vec<String> = rows.iter().map(Value::to_json).collect();
    if !text.contains("ORDER BY") {
        rows.sort();
    }
    rows
}

/// What deviated.
#[derive(Default)]
struct Deviations(Vec<String>);

impl Deviations {
    fn compare(&mut self, text: &str, found: &str, expected: &str) {
        if found != expected {
            self.0.push(format!("{text}\n    expected {expected}\n    found    {found}"));
        }
    }
}

impl Drop for Deviations {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{} deviate:\n{}", self.0.len(), self.0.join("\n"));
        }
    }
}

fn outcome(store: &Store, text: &str, arguments: &str) -> String {
    match store.execute(text, &object(arguments)) {
        Ok(result) => format!("[{}]", rows_of(text, &result).join(",")),
        Err(error) => format!("{}: {error}", class_of(&error)),
    }
}

/// Statement, rows.
pub fn give(store: &Store, table: &[(&str, &str)]) {
    let table: Vec<_> = table.iter().map(|(text, rows)| (*text, "{}", *rows)).collect();
    give_with(store, &table);
}

/// Statement, arguments, rows.
pub fn give_with(store: &Store, table: &[(&str, &str, &str)]) {
    let mut deviations = Deviations::default();
    for (text, arguments, rows) in table {
        let expected = format!("[{}]", expected_rows(text, rows).join(","));
        deviations.compare(text, &outcome(store, text, arguments), &expected);
    }
}

/// Condition, ids of the plants for which it is TRUE.
pub fn keep(store: &Store, table: &[(&str, &str)]) {
    let table: Vec<_> = table.iter().map(|(condition, ids)| (*condition, "{}", *ids)).collect();
    keep_with(store, &table);
}

/// Condition, arguments, ids of the plants for which it is TRUE.
pub fn keep_with(store: &Store, table: &[(&str, &str, &str)]) {
    let mut deviations = Deviations::default();
    for (condition, arguments, ids) in table {
        let text = format!("SELECT _id FROM plants WHERE {condition} ORDER BY _id");
        let found = match store.execute(&text, &object(arguments)) {
            Ok(result) => result
                .rows
                .iter()
                .filter_map(|row| row.value().get("_id")?.as_str().map(str::to_owned))
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("{}: {error}", class_of(&error)),
        };
        deviations.compare(condition, &found, ids);
    }
}

/// Expression over the plant `p1` (missing: `nothing`), value; `MISSING` if there is none.
pub fn value(store: &Store, table: &[(&str, &str)]) {
    let table: Vec<_> = table.iter().map(|(expression, value)| (*expression, "{}", *value)).collect();
    value_with(store, &table);
}

/// Expression over the plant `p1`, arguments, value.
pub fn value_with(store: &Store, table: &[(&str, &str, &str)]) {
    let mut deviations = Deviations::default();
    for (expression, arguments, expected) in table {
        let text = format!("SELECT {expression} AS v FROM plants p WHERE _id = 'p1'");
        let found = match store.execute(&text, &object(arguments)) {
            Ok(result) => match result.rows.as_slice() {
                [row] => row.value().get("v").map_or("MISSING".to_owned(), |value| value.to_json()),
                rows => format!("{} rows", rows.len()),
            },
            Err(error) => format!("{}: {error}", class_of(&error)),
        };
        let expected = if *expected == "MISSING" { "MISSING".to_owned() } else { json(expected).to_json() };
        deviations.compare(expression, &found, &expected);
    }
}

/// Stands for a mistake of syntax or semantics, where the specification leaves open which it is.
pub const COMPILE: &str = "compile";

/// The class of a mistake in one word.
pub fn class_of(error: &StoreError) -> &'static str {
    match error {
        StoreError::Compile(error) => match error.kind {
            ErrorKind::Syntax => "syntax",
            ErrorKind::Semantics => "semantics",
            ErrorKind::Context => "context",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Limit => "limit",
        },
        StoreError::MissingArgument { .. } => "arguments",
        StoreError::Context { .. } => "context",
        StoreError::ReadOnly { .. } => "read-only",
        StoreError::Data(_) => "data",
        StoreError::Parameter(_) => "parameter",
        StoreError::Unsupported { .. } => "unsupported",
        StoreError::TransactionEnded => "ended",
        _ => "storage",
    }
}

/// Statement, class of the mistake, a part of the message.
pub fn refuse(store: &Store, table: &[(&str, &str, &str)]) {
    let table: Vec<_> = table.iter().map(|(text, class, part)| (*text, "{}", *class, *part)).collect();
    refuse_with(store, &table);
}

/// Statement, arguments, class of the mistake, a part of the message.
pub fn refuse_with(store: &Store, table: &[(&str, &str, &str, &str)]) {
    let mut deviations = Deviations::default();
    for (text, arguments, class, part) in table {
        let found = outcome(store, text, arguments);
        let found_class = found.split(':').next().unwrap_or_default();
        let fits =
            *class == found_class || *class == COMPILE && matches!(found_class, "syntax" | "semantics");
        if !fits || !found.contains(part) {
            deviations.compare(text, &found, &format!("{class}: …{part}…"));
        }
    }
}

/// Statement, ids that it reports to have changed, as a JSON array; each has a commit id.
pub fn mutate(store: &Store, table: &[(&str, &str)]) {
    let mut deviations = Deviations::default();
    for (text, ids) in table {
        let found = match store.execute(text, &Object::new()) {
            Ok(result) if result.commit_id.is_none() => "no commit id".to_owned(),
            Ok(result) => {
                let mut ids: Vec<String> = result.mutated_ids.iter().map(Value::to_json).collect();
                ids.sort();
                format!("[{}]", ids.join(","))
            }
            Err(error) => format!("{}: {error}", class_of(&error)),
        };
        deviations.compare(text, &found, &json(ids).to_json());
    }
}
