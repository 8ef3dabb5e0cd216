//! A store in memory, with a clock and randomness that repeat.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ditto_storage::{
    Batch, Bytes, CachedStorage, Direction, Keyspace, MemoryStorage, OnRows, Place, Snapshot, Storage,
    StorageError,
};
use ditto_store::{Environment, Executor, QueryResult, Store, StoreError, StoreOptions};
use ditto_value::{Object, Value};
use proptest::test_runner::Config as ProptestConfig;

/// Starts at a fixed moment, goes on by a millisecond whenever it is read.
pub struct TestEnvironment {
    now: AtomicU64,
    random: AtomicU64,
    elapsed: AtomicU64,
    /// By how much `elapsed` goes on whenever it is read.
    pace: AtomicU64,
}

impl TestEnvironment {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(1_800_000_000_000),
            random: AtomicU64::new(seed),
            elapsed: AtomicU64::new(0),
            pace: AtomicU64::new(0),
        })
    }

    /// From now on time passes: so many milliseconds whenever somebody looks at the clock.
    pub fn set_pace(&self, milliseconds: u64) {
        self.pace.store(milliseconds, Ordering::Relaxed);
    }

    pub fn set_now(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }

    pub fn advance(&self, by: u64) {
        self.now.fetch_add(by, Ordering::Relaxed);
    }
}

impl Environment for TestEnvironment {
    fn now_ms(&self) -> u64 {
        self.now.fetch_add(1, Ordering::Relaxed)
    }

    fn elapsed_ms(&self) -> u64 {
        self.elapsed.fetch_add(self.pace.load(Ordering::Relaxed), Ordering::Relaxed)
    }

    // SplitMix64.
    fn random_u64(&self) -> u64 {
        let mut z = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A thread for each job.
pub struct Threads;

impl Executor for Threads {
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(job);
    }
}

/// Keeps jobs until the test runs them.
#[derive(Default)]
pub struct Later(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl Executor for Later {
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        self.0.lock().expect("not poisoned").push(job);
    }
}

impl Later {
    /// How many jobs are there.
    pub fn waiting(&self) -> usize {
        self.0.lock().expect("not poisoned").len()
    }

    /// Runs what is there, and what that brings about. How many jobs it was.
    pub fn run(&self) -> usize {
        let mut count = 0;
        loop {
            let jobs = std::mem::take(&mut *self.0.lock().expect("not poisoned"));
            if jobs.is_empty() {
                return count;
            }
            count += jobs.len();
            jobs.into_iter().for_each(|job| job());
        }
    }
}

/// A moment in the life of a storage.
#[derive(PartialEq, Eq, Hash)]
pub enum Moment {
    /// Right before a snapshot is taken.
    Snapshot,
    /// Right before a sync.
    Sync,
    /// Right after a recovery.
    Recovered,
}

/// Does something, once, when such a moment has come.
pub struct Interrupted<S> {
    storage: S,
    is_place_unknown: AtomicBool,
    interruptions: Mutex<HashMap<Moment, Box<dyn FnOnce() + Send>>>,
}

impl<S: Storage> Interrupted<S> {
    pub fn new(storage: S) -> Arc<Self> {
        Arc::new(Self { storage, is_place_unknown: AtomicBool::new(false), interruptions: Mutex::default() })
    }

    /// Who asks next where the storage is gets an error, without consequences.
    pub fn fail_place(&self) {
        self.is_place_unknown.store(true, Ordering::Relaxed);
    }

    /// What to do at the next such moment, on the thread that has come to it.
    pub fn at(&self, moment: Moment, interruption: impl FnOnce() + Send + 'static) {
        self.interruptions.lock().expect("not poisoned").insert(moment, Box::new(interruption));
    }

    /// Whether it is still to come.
    pub fn is_awaited(&self, moment: Moment) -> bool {
        self.interruptions.lock().expect("not poisoned").contains_key(&moment)
    }

    fn come_to(&self, moment: Moment) {
        let interruption = self.interruptions.lock().expect("not poisoned").remove(&moment);
        interruption.into_iter().for_each(|interrupt| interrupt());
    }
}

impl<S: Storage> Storage for Interrupted<S> {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.come_to(Moment::Snapshot);
        self.storage.snapshot()
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.storage.get(keyspace, key)
    }

    fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        self.storage.commit(batch)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.come_to(Moment::Sync);
        self.storage.sync()
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.storage.flush()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.storage.close()
    }

    fn compact(&self, keyspace: Keyspace, on_rows: &mut OnRows<'_>) -> Result<(), StorageError> {
        self.storage.compact(keyspace, on_rows)
    }

    fn recover(&self) -> Result<(), StorageError> {
        self.storage.recover()?;
        self.come_to(Moment::Recovered);
        Ok(())
    }

    fn disk_size(&self) -> Result<u64, StorageError> {
        self.storage.disk_size()
    }

    fn keyspace_size(&self, keyspace: Keyspace) -> Result<u64, StorageError> {
        self.storage.keyspace_size(keyspace)
    }

    fn place(&self) -> Result<Option<Place>, StorageError> {
        if self.is_place_unknown.swap(false, Ordering::Relaxed) {
            let source = Arc::new(std::io::ErrorKind::Interrupted.into());
            return Err(StorageError::Io { action: "look at the directory", source });
        }
        self.storage.place()
    }
}

pub const DATABASE: &str = "5f3c1b52-0000-4000-8000-000000000001";

pub fn open_in(storage: Arc<dyn Storage>, seed: u64) -> Store {
    Store::open(storage, TestEnvironment::new(seed), StoreOptions::new(DATABASE, Arc::new(Threads)))
        .expect("the store opens")
}

/// Writes everything that a snapshot shows to an empty storage.
pub fn restore(image: &dyn Snapshot, to: &dyn Storage) {
    let mut batch = Batch::new();
    for keyspace in Keyspace::ALL {
        for row in image.prefix(keyspace, &[], Direction::Forward) {
            let (key, value) = row.expect("memory can be read");
            batch.put(keyspace, key, value);
        }
    }
    to.commit(batch).expect("commits");
    to.sync().expect("syncs");
}

/// With a cache for a few records, so that they come and go.
pub fn open(seed: u64) -> Store {
    open_in(Arc::new(CachedStorage::new(Arc::new(MemoryStorage::new()), 16_000)), seed)
}

/// The members of a JSON object.
pub fn object(json: &str) -> Object {
    match Value::from_json(json).expect("JSON") {
        Value::Object(object) => object,
        other => panic!("{other:?} is not an object"),
    }
}

/// Runs a statement without arguments.
pub fn run(store: &Store, text: &str) -> QueryResult {
    store.execute(text, &Object::new()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Runs a statement with arguments as JSON.
pub fn run_with(store: &Store, text: &str, arguments: &str) -> QueryResult {
    store.execute(text, &object(arguments)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn failure(store: &Store, text: &str, arguments: &str) -> StoreError {
    match store.execute(text, &object(arguments)) {
        Ok(result) => panic!("{text} should fail, but gave {:?}", result.rows),
        Err(error) => error,
    }
}

/// Rows as JSON, in order.
pub fn rows(result: &QueryResult) -> Vec<String> {
    result.rows.iter().map(|row| row.value().to_json()).collect()
}

/// Rows of a statement as JSON, in order.
pub fn query(store: &Store, text: &str) -> Vec<String> {
    rows(&run(store, text))
}

/// So many cases of a law, or as many as `DITTO_LAW_CASES` says.
pub fn cases(usually: u32) -> ProptestConfig {
    let chosen = std::env::var("DITTO_LAW_CASES").ok();
    ProptestConfig::with_cases(chosen.map_or(usually, |number| number.parse().expect("a number")))
}

pub fn assert_consistent(store: &Store) {
    let verified = store.verify().expect("readable");
    assert!(verified.is_consistent(), "{:#?}", verified.inconsistencies);
}

/// Keeps the warnings that are logged on this thread while `run` runs.
pub fn warnings(run: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    let lines = Arc::clone(&log.0);
    tracing::subscriber::with_default(log, run);
    let lines = lines.lock().expect("not poisoned");
    lines.clone()
}

#[derive(Default)]
struct Log(Arc<Mutex<Vec<String>>>);

/// The members of a log line, one after the other.
struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("not poisoned").push(line.0);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
