//! Small databases in memory, the same whenever they are made.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ditto_storage::{Batch, Bytes, Direction, Keyspace, MemoryStorage, Storage};
use ditto_store::{Environment, Executor, OpenError, Store, StoreOptions};
use ditto_value::Object;

pub(crate) const DATABASE_ID: &str = "attacks";

/// A clock that goes on by a millisecond whenever it is read, and numbers that are not random.
pub(crate) struct Fixed(AtomicU64);

impl Fixed {
    pub(crate) fn new(site: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(site << 32)))
    }
}

impl Environment for Fixed {
    fn now_ms(&self) -> u64 {
        1_800_000_000_000 + (self.0.fetch_add(1, Ordering::Relaxed) & 0xFFFF_FFFF)
    }

    fn random_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Nobody observes anything.
struct NoExecutor;

impl Executor for NoExecutor {
    fn spawn(&self, _job: Box<dyn FnOnce() + Send>) {}
}

/// One stored row.
pub(crate) type Row = (Keyspace, Bytes, Bytes);

pub(crate) fn open(storage: Arc<dyn Storage>, site: u64) -> Result<Store, OpenError> {
    Store::open(storage, Fixed::new(site), StoreOptions::new(DATABASE_ID, Arc::new(NoExecutor)))
}

/// What a small database consists of: documents that were inserted, changed, counted, deleted, evicted, and indexes.
pub(crate) fn prototype() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        written(&[
            "CREATE INDEX by_height ON plants (height DESC, name)",
            "CREATE INDEX by_light ON plants (care.light)",
        ])
    })
}

/// The same without indexes.
fn plain() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| written(&[]))
}

fn written(indexes: &[&str]) -> Vec<Row> {
    let storage = Arc::new(MemoryStorage::new());
    let store = open(storage.clone(), 1).expect("it is new");
    let documents = [
        "INSERT INTO plants DOCUMENTS ({'_id': 1, 'name': 'fern', 'care': {'light': 6, 'water': [1, 2.5, null]}}), \
             ({'_id': 'b', 'name': 'oak', 'height': 7.25}), ({'_id': [1, true], 'tags': ['x', 'y']})",
        "INSERT INTO plants DOCUMENTS ({'_id': {'a': 1}, 'name': 'moss'}), ({'_id': 3}), ({'_id': 4, 'name': 'ivy'})",
        "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 5, 'name': 'seed'})",
        "UPDATE plants SET care.light = 7, height = 3 WHERE _id = 1",
        "UPDATE plants APPLY rings INCREMENT BY 2 WHERE name IS NOT MISSING",
        "UPDATE plants APPLY mass PN_INCREMENT BY 0.5 WHERE _id = 4",
        "UPDATE plants UNSET name WHERE _id = 'b'",
        "DELETE FROM plants WHERE _id = 3",
        "INSERT INTO plants DOCUMENTS ({'_id': 3, 'name': 'again'})",
        "DELETE FROM plants WHERE _id = {'a': 1}",
        "INSERT INTO pots DOCUMENTS ({'_id': 'p', 'plant': 1}), ({'_id': 'q', 'plant': 'b'})",
        "EVICT FROM pots WHERE _id = 'q'",
    ];
    for statement in indexes.iter().chain(&documents) {
        store.execute(statement, &Object::new()).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let snapshot = storage.snapshot();
    let rows = |keyspace| {
        let rows = snapshot.prefix(keyspace, &[], Direction::Forward);
        let rows: Vec<Row> = rows
            .map(|row| row.expect("memory can be read"))
            .map(|(key, value)| (keyspace, key, value))
            .collect();
        rows
    };
    Keyspace::ALL.into_iter().flat_map(rows).collect()
}

/// A storage with these rows.
pub(crate) fn storage<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Arc<MemoryStorage> {
    let storage = Arc::new(MemoryStorage::new());
    let mut batch = Batch::new();
    for (keyspace, key, value) in rows {
        batch.put(*keyspace, key.clone(), value.clone());
    }
    // A batch that the storage refuses is an empty database.
    let _ = storage.commit(batch);
    storage
}

/// The same documents without indexes, open.
pub(crate) fn database_without_indexes(site: u64) -> Store {
    open(storage(plain()), site).expect("it was written by a store")
}

/// The prototype, open.
pub(crate) fn database(site: u64) -> Store {
    open(storage(prototype()), site).expect("it was written by a store")
}

pub(crate) fn assert_consistent(store: &Store) {
    let verified = store.verify().expect("memory can be read");
    assert!(verified.is_consistent(), "{:#?}", verified.inconsistencies);
}
