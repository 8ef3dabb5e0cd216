//! A replica of a few hundred lines: documents in a map, a change log, and a copy of both from the last sync,
//! to which a power loss goes back.

mod replica;

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ditto_crdt::{
    Birth, Definitions, Delta, Document, Hlc, HybridClock, Path, RunId, Sequence, SiteId, Stamp, Version,
};
use ditto_replication::{
    Checkpoint, DocumentKey, Excerpt, Greeting, PeerId, ReplicaError, Seen, ServedInterest,
};
use ditto_value::{Object, Value, ValueRef, key};

/// Everything that a sync makes durable.
#[derive(Clone, Default)]
struct State {
    /// Shared with the copy from the last sync.
    documents: BTreeMap<DocumentKey, Arc<Document>>,
    changes: BTreeMap<Sequence, (DocumentKey, Option<u64>)>,
    /// Last → first sequence of each commit.
    commits: BTreeMap<Sequence, Sequence>,
    last: Sequence,
    newest_stamp: Hlc,
    runs: Vec<(RunId, Sequence)>,
    checkpoints: BTreeMap<(PeerId, [u8; 16]), Checkpoint>,
    seen: BTreeMap<(PeerId, RunId), Seen>,
    evictions: BTreeMap<String, u64>,
    answered: Vec<(RunId, Sequence)>,
    site: SiteId,
}

type Matcher = Arc<dyn Fn(ValueRef<'_>) -> bool + Send + Sync>;

/// The model.
pub struct Model {
    state: State,
    synced: State,
    dirty: bool,
    clock: HybridClock,
    random: u64,
    /// What [`ditto_replication::Replica::apply`] refuses: documents whose encoded `_id` contains these bytes.
    pub refuses: Option<Vec<u8>>,
    /// Understands no query at all.
    pub illiterate: bool,
    /// Fails every call that reads or writes.
    pub broken: bool,
    /// What it says of the date.
    pub wall_clock_ms: u64,
    /// Collections that do not travel.
    pub local: HashSet<String>,
    /// Counts their changes.
    pub scopes_revision: u64,
    /// What is known of others.
    pub others: Others,
    /// How often parts of documents were read for an answer.
    pub answers_read: Cell<usize>,
    /// How often documents were read with their values.
    pub documents_read: Cell<usize>,
    /// How often documents of a collection were read at once, and how often one was looked for by the hash of its name.
    pub stock_read: Cell<usize>,
    pub named: Cell<usize>,
    /// Milliseconds that each document read with its value is said to take, each reading of many at once, each merge that is only tried
    /// out, and each look of a filter.
    pub read_ms: u64,
    pub stock_ms: u64,
    pub merge_ms: u64,
    pub match_ms: Arc<AtomicU64>,
    /// How many of those since the last work began, and most of them.
    worked: Arc<AtomicU64>,
    pub most_worked: Cell<u64>,
    /// How many there had been when the last work began.
    began: usize,
    /// Most of them in one go.
    pub most_read: Cell<usize>,
}

/// What remote peers said of themselves and acknowledged.
#[derive(Clone, Default)]
pub struct Others {
    pub greetings: Vec<(PeerId, Greeting)>,
    pub evictions: Vec<(PeerId, u64)>,
    pub serves: Vec<(PeerId, ServedInterest)>,
    pub acknowledged: BTreeMap<(PeerId, [u8; 16]), Sequence>,
    pub unheld: BTreeMap<(PeerId, DocumentKey), Sequence>,
    pub withheld: BTreeMap<(PeerId, DocumentKey), Sequence>,
    pub offered: BTreeMap<(PeerId, String), Sequence>,
}

pub fn document_key(collection: &str, id: &str) -> DocumentKey {
    let mut bytes = Vec::new();
    key::encode(&Value::from(id), &mut bytes);
    DocumentKey { collection: collection.into(), id: bytes.into() }
}

impl Model {
    pub fn new(site: u64) -> Self {
        let mut model = Self {
            state: State { site: SiteId(site), ..State::default() },
            synced: State::default(),
            dirty: false,
            clock: HybridClock::new(Hlc::ZERO),
            random: site.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            refuses: None,
            illiterate: false,
            broken: false,
            wall_clock_ms: 0,
            local: HashSet::new(),
            scopes_revision: 0,
            others: Others::default(),
            answers_read: Cell::default(),
            documents_read: Cell::default(),
            stock_read: Cell::default(),
            named: Cell::default(),
            read_ms: 0,
            stock_ms: 0,
            merge_ms: 0,
            match_ms: Arc::default(),
            worked: Arc::default(),
            most_worked: Cell::default(),
            began: 0,
            most_read: Cell::default(),
        };
        model.open();
        model
    }

    /// Keeps a collection here, or lets it travel.
    pub fn set_local(&mut self, collection: &str, local: bool) {
        self.scopes_revision += 1;
        if local {
            self.local.insert(collection.to_owned());
        } else {
            self.local.remove(collection);
        }
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Appends a run, as an open does, and the first session after a pause.
    pub fn open(&mut self) {
        let run = RunId(self.draw());
        self.state.runs.push((run, Sequence(self.state.last.0 + 1)));
        self.synced = self.state.clone();
    }

    pub fn sync(&mut self) -> Sequence {
        if std::mem::take(&mut self.dirty) {
            self.synced = self.state.clone();
        }
        self.synced.last
    }

    /// Says that a sync got no further.
    pub fn sync_up_to(&mut self, sequence: Sequence) {
        self.synced.last = sequence;
    }

    /// Power loss and restart: what was not synced is gone.
    pub fn crash(&mut self) {
        self.state = self.synced.clone();
        self.open();
    }

    /// A copy of the directory as of the last sync.
    pub fn image(&self) -> Self {
        let synced = self.synced.clone();
        Self {
            state: synced.clone(),
            synced,
            dirty: false,
            clock: HybridClock::new(self.clock.last()),
            random: self.random,
            refuses: None,
            illiterate: false,
            broken: false,
            wall_clock_ms: 0,
            local: self.local.clone(),
            scopes_revision: self.scopes_revision,
            others: Others::default(),
            answers_read: Cell::default(),
            documents_read: Cell::default(),
            stock_read: Cell::default(),
            named: Cell::default(),
            read_ms: 0,
            stock_ms: 0,
            merge_ms: 0,
            match_ms: Arc::default(),
            worked: Arc::default(),
            most_worked: Cell::default(),
            began: 0,
            most_read: Cell::default(),
        }
    }

    /// Another site that got the same documents from elsewhere.
    pub fn twin(&self, site: u64) -> Self {
        let mut twin = Self::new(site);
        let State { documents, changes, commits, last, newest_stamp, .. } = self.state.clone();
        let runs = vec![(RunId(twin.draw()), Sequence(1))];
        twin.state = State {
            documents,
            changes,
            commits,
            last,
            newest_stamp,
            runs,
            ..std::mem::take(&mut twin.state)
        };
        twin.synced = twin.state.clone();
        twin
    }

    /// Continues from an image, as an open does.
    pub fn restore(&mut self, image: &Self) {
        let draws = self.random;
        self.state = image.state.clone();
        self.random = draws;
        self.open();
    }

    /// Continues from an image of the memory: no run begins.
    pub fn resume(&mut self, image: &Self) {
        self.state = image.state.clone();
        self.synced = image.state.clone();
    }

    /// Forgets all but the newest runs.
    pub fn forget_runs(&mut self, kept: usize) {
        let excess = self.state.runs.len().saturating_sub(kept);
        self.state.runs.drain(..excess);
    }

    /// What the owner does about a detected fork.
    pub fn take_new_site(&mut self, run: RunId, sequence: Sequence) {
        self.state.answered.push((run, sequence));
        self.state.site = SiteId(self.draw());
        self.open();
    }

    fn run(&self) -> RunId {
        self.state.runs.last().map(|(run, _)| *run).unwrap_or_default()
    }

    /// One transaction over several documents.
    pub fn commit<R>(&mut self, now: u64, write: impl FnOnce(&mut Transaction<'_>) -> R) -> R {
        self.dirty = true;
        let stamp = Stamp::new(self.clock.stamp(now, Some(self.state.newest_stamp)), self.state.site);
        let first = Sequence(self.state.last.0 + 1);
        let run = self.run();
        let result = write(&mut Transaction { state: &mut self.state, stamp, run });
        if self.state.last > first {
            self.state.commits.insert(self.state.last, first);
        }
        result
    }

    pub fn insert(&mut self, now: u64, collection: &str, id: &str, fields: &[(&str, Value)]) {
        self.commit(now, |transaction| transaction.insert(collection, id, fields));
    }

    pub fn set(
        &mut self,
        now: u64,
        collection: &str,
        id: &str,
        field: &str,
        value: impl Into<Value>,
    ) -> bool {
        self.commit(now, |transaction| transaction.set(collection, id, field, value.into()))
    }

    pub fn delete(&mut self, now: u64, collection: &str, id: &str) -> bool {
        self.commit(now, |transaction| transaction.delete(collection, id))
    }

    /// Forgets a document, but for the marks of earlier lives.
    pub fn evict(&mut self, collection: &str, id: &str) {
        self.dirty = true;
        let key = document_key(collection, id);
        let left = self.state.documents.remove(&key).and_then(|document| {
            let births: Vec<_> = document.removed_births().collect();
            (!births.is_empty()).then(|| Document::buried(births, document.newest_sequence()))
        });
        match left {
            Some(left) => drop(self.state.documents.insert(key, Arc::new(left))),
            None => self.state.changes.retain(|_, (changed, _)| *changed != key),
        }
        *self.state.evictions.entry(collection.to_owned()).or_default() += 1;
    }

    pub fn versions(&self) -> BTreeMap<DocumentKey, Version> {
        self.state.documents.iter().map(|(key, document)| (key.clone(), document.version())).collect()
    }

    /// How many documents are known.
    pub fn count(&self) -> usize {
        self.state.documents.len()
    }

    pub fn canonical(&self, key: &DocumentKey) -> Option<Vec<u8>> {
        self.state.documents.get(key).map(|document| document.canonical())
    }

    pub fn visible(&self, collection: &str, id: &str) -> Option<Value> {
        let document = self.state.documents.get(&document_key(collection, id))?;
        document.visible(&Value::from(id), &Definitions::default()).map(Value::from)
    }

    pub fn field(&self, collection: &str, id: &str, field: &str) -> Option<Value> {
        self.visible(collection, id)?.get(field).cloned()
    }

    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        self.state.checkpoints.values().copied().collect()
    }

    /// As a store does that has met many peers since.
    pub fn forget_checkpoints(&mut self) {
        self.state.checkpoints.clear();
        self.synced.checkpoints.clear();
    }

    fn usable(&self) -> Result<(), ReplicaError> {
        if self.broken { Err(ReplicaError::Storage("disk full".to_owned())) } else { Ok(()) }
    }

    fn excerpt(&self, key: &DocumentKey, part: impl FnOnce(&Document) -> Delta) -> Option<Excerpt> {
        let document = self.state.documents.get(key)?;
        let (version, newest) = (document.version(), document.newest_sequence());
        Some(Excerpt { version, newest, delta: part(document).encode() })
    }
}

/// Writes of one commit.
pub struct Transaction<'a> {
    state: &'a mut State,
    stamp: Stamp,
    run: RunId,
}

impl Transaction<'_> {
    fn change(&mut self, key: &DocumentKey, write: impl FnOnce(&mut Document, Sequence) -> bool) -> bool {
        let sequence = Sequence(self.state.last.0 + 1);
        let mut document = self.state.document_of(key);
        let changed = write(&mut document, sequence);
        if changed {
            self.state.record(key, document, sequence, None);
        }
        changed
    }

    pub fn insert(&mut self, collection: &str, id: &str, fields: &[(&str, Value)]) {
        let birth = Birth { stamp: self.stamp, run: self.run };
        let body: Object = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.change(&document_key(collection, id), |document, sequence| {
            document.insert(&body, &Definitions::default(), birth, sequence).is_ok()
        });
    }

    pub fn set(&mut self, collection: &str, id: &str, field: &str, value: Value) -> bool {
        let Ok(path) = Path::new([field]) else { return false };
        let stamp = self.stamp;
        self.change(&document_key(collection, id), |document, sequence| {
            document.is_alive()
                && document.set(&path, &value, &Definitions::default(), stamp, sequence).is_ok()
        })
    }

    pub fn delete(&mut self, collection: &str, id: &str) -> bool {
        self.change(&document_key(collection, id), Document::delete)
    }
}

impl State {
    fn document_of(&self, key: &DocumentKey) -> Document {
        self.documents.get(key).map(|document| Document::clone(document)).unwrap_or_default()
    }

    fn record(&mut self, key: &DocumentKey, document: Document, sequence: Sequence, origin: Option<u64>) {
        if let Some(old) = self.documents.get(key) {
            self.changes.remove(&old.newest_sequence());
        }
        self.last = sequence;
        self.newest_stamp = self.newest_stamp.max(document.newest_stamp());
        self.changes.insert(sequence, (key.clone(), origin));
        self.documents.insert(key.clone(), Arc::new(document));
    }
}
