//! A replica of a few hundred lines: documents in a map, a change log, and a copy of both from the last sync,
//! to which a power loss goes back.

#![allow(dead_code, reason = "each test program uses its own part of it")]

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ditto_crdt::{
    Birth, Definitions, Delta, Document, Hlc, HybridClock, Path, RunId, Sequence, SiteId, Stamp, Version,
};
use ditto_replication::{
    Acknowledged, Applied, Change, Checkpoint, DocumentKey, Excerpt, Greeting, Held, Incoming, Interest,
    Outcome, PeerId, Refused, Replica, ReplicaError, Seen, ServedInterest, Stored,
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
    /// What [`Replica::apply`] refuses: documents whose encoded `_id` contains these bytes.
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
    /// Milliseconds that each of these is said to take, each merge that is only tried out, and each look of a filter.
    pub read_ms: u64,
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
    pub offered: BTreeMap<PeerId, Sequence>,
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
            read_ms: 0,
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
            read_ms: 0,
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

fn stored(key: &DocumentKey, document: &Document) -> Stored {
    let id = key::decode(&key.id).map(|(id, _)| id).unwrap_or(Value::Null);
    let visible = document.visible(&id, &Definitions::default());
    Stored {
        version: document.version(),
        newest: document.newest_sequence(),
        alive: document.is_alive(),
        value: visible.map_or(Vec::new(), |visible| Value::from(visible).encode()),
    }
}

fn held(Stored { version, newest, alive, value }: Stored) -> Held {
    Held { version, newest, alive, value_bytes: value.len() }
}

impl Replica for Model {
    fn site(&self) -> SiteId {
        self.state.site
    }

    fn begin_work(&mut self) {
        self.began = self.documents_read.get();
        self.worked.store(0, Ordering::Relaxed);
    }

    fn worked_ms(&self) -> u64 {
        let worked = self.worked.load(Ordering::Relaxed);
        self.most_worked.set(self.most_worked.get().max(worked));
        worked
    }

    fn wall_clock_ms(&self) -> u64 {
        self.wall_clock_ms
    }

    fn runs(&self) -> Vec<(RunId, Sequence)> {
        self.state.runs.clone()
    }

    fn current_run(&self) -> RunId {
        self.run()
    }

    fn last_sequence(&self) -> Sequence {
        self.state.last
    }

    fn durable_sequence(&self) -> Sequence {
        self.synced.last
    }

    fn changes(&self, after: Sequence, up_to: Sequence, limit: usize) -> Result<Vec<Change>, ReplicaError> {
        self.usable()?;
        let rows = self.state.changes.range(Sequence(after.0 + 1)..).take_while(|row| *row.0 <= up_to);
        let change = |(sequence, (key, origin)): (&Sequence, &(DocumentKey, Option<u64>))| Change {
            sequence: *sequence,
            key: key.clone(),
            origin: *origin,
        };
        Ok(rows.take(limit).map(change).collect())
    }

    fn commit_of(&self, sequence: Sequence) -> Result<(Sequence, Sequence), ReplicaError> {
        let commit = self.state.commits.range(sequence..).next();
        Ok(commit
            .filter(|(_, first)| **first <= sequence)
            .map_or((sequence, sequence), |(last, first)| (*first, *last)))
    }

    fn document(&self, key: &DocumentKey) -> Result<Option<Stored>, ReplicaError> {
        self.usable()?;
        self.documents_read.set(self.documents_read.get() + 1);
        self.worked.fetch_add(self.read_ms, Ordering::Relaxed);
        self.most_read.set(self.most_read.get().max(self.documents_read.get() - self.began));
        Ok(self.state.documents.get(key).map(|document| stored(key, document)))
    }

    fn held(&self, key: &DocumentKey) -> Result<Option<Held>, ReplicaError> {
        Ok(self.document(key)?.map(held))
    }

    fn stock(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        _: usize,
    ) -> Result<Vec<(DocumentKey, Held)>, ReplicaError> {
        let start = DocumentKey { collection: collection.into(), id: after.into() };
        self.usable()?;
        let rows = self.state.documents.range((Bound::Excluded(start), Bound::Unbounded));
        let rows = rows.take_while(|(key, _)| &*key.collection == collection).take(limit);
        Ok(rows.map(|(key, document)| (key.clone(), held(stored(key, document)))).collect())
    }

    fn documents(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, Excerpt)>, ReplicaError> {
        self.usable()?;
        let mut read = 0;
        let start = DocumentKey { collection: collection.into(), id: after.into() };
        let keys = self.state.documents.range((Bound::Excluded(start), Bound::Unbounded)).map(|(key, _)| key);
        let keys = keys.take_while(|key| &*key.collection == collection).take(limit);
        let documents = keys.filter_map(|key| {
            let excerpt = self.excerpt(key, |document| document.delta_since(Sequence(0)))?;
            Some((key.clone(), excerpt))
        });
        Ok(documents
            .take_while(|(_, excerpt)| {
                let is_room = read < bytes;
                read += excerpt.delta.len();
                is_room
            })
            .collect())
    }

    fn named(&self, _: &DocumentKey) -> Result<Option<DocumentKey>, ReplicaError> {
        Ok(None)
    }

    fn delta_since(&self, key: &DocumentKey, after: Sequence) -> Result<Option<Excerpt>, ReplicaError> {
        self.usable()?;
        Ok(self.excerpt(key, |document| document.delta_since(after)))
    }

    fn entry_hashes(&self, key: &DocumentKey) -> Result<(Version, Vec<u128>), ReplicaError> {
        let document = self.state.documents.get(key);
        Ok(document.map(|document| (document.version(), document.entry_hashes())).unwrap_or_default())
    }

    fn delta_lacking(&self, key: &DocumentKey, known: &[u128]) -> Result<Option<Excerpt>, ReplicaError> {
        self.answers_read.set(self.answers_read.get() + 1);
        let known: HashSet<u128> = known.iter().copied().collect();
        Ok(self.excerpt(key, |document| document.delta_lacking(&known)))
    }

    fn merged_version(
        &self,
        key: &DocumentKey,
        delta: &[u8],
    ) -> Result<Result<Version, Refused>, ReplicaError> {
        self.worked.fetch_add(self.merge_ms, Ordering::Relaxed);
        let mut document = self.state.document_of(key);
        Ok(match Delta::decode(delta) {
            Ok(delta) => {
                document.merge(&delta, Sequence(u64::MAX));
                Ok(document.version())
            }
            Err(error) => Err(Refused::Malformed(error.to_string())),
        })
    }

    /// Understands `SELECT * FROM c` and `SELECT * FROM c WHERE field = number`.
    fn compile(&self, query: &str, arguments: &Object) -> Result<Interest, ReplicaError> {
        if self.illiterate {
            return Err(ReplicaError::Query("no such syntax".to_owned()));
        }
        let words: Vec<&str> = query.split_whitespace().collect();
        let unfiltered = words.len() == 4;
        let (collection, matcher): (_, Matcher) = match words[..] {
            ["SELECT", "*", "FROM", collection] => (collection, Arc::new(|_: ValueRef<'_>| true)),
            ["SELECT", "*", "FROM", collection, "WHERE", field, "=", value] => {
                let number = match value.strip_prefix(':') {
                    Some(name) => arguments.get(name).and_then(Value::as_i64),
                    None => value.parse().ok(),
                };
                let field = field.to_owned();
                let (worked, match_ms) = (Arc::clone(&self.worked), Arc::clone(&self.match_ms));
                let matcher = move |value: ValueRef<'_>| {
                    worked.fetch_add(match_ms.load(Ordering::Relaxed), Ordering::Relaxed);
                    value.get(&field).and_then(|value| value.as_i64()).is_some_and(|n| Some(n) == number)
                };
                (collection, Arc::new(matcher))
            }
            _ => return Err(ReplicaError::Query(format!("not understood: {query}"))),
        };
        Ok(Interest { collection: collection.into(), normalized: words.join(" "), unfiltered, matcher })
    }

    fn may_travel(&self, _: PeerId, collection: &str) -> bool {
        !self.local.contains(collection)
    }

    fn scopes_revision(&self) -> u64 {
        self.scopes_revision
    }

    fn eviction_count(&self, collection: &str) -> u64 {
        self.state.evictions.get(collection).copied().unwrap_or(0)
    }

    fn eviction_total(&self) -> u64 {
        self.state.evictions.values().sum()
    }

    fn offered(&self, remote: PeerId) -> Option<Sequence> {
        self.others.offered.get(&remote).copied()
    }

    fn set_offered(&mut self, remote: PeerId, up_to: Sequence) {
        assert!(up_to <= self.durable_sequence(), "what is lost may be taken again");
        self.others.offered.insert(remote, up_to);
    }

    fn greeted(&mut self, remote: PeerId, greeting: Greeting) -> Result<bool, ReplicaError> {
        self.usable()?;
        let before = self.others.greetings.iter().rev().find(|(peer, _)| *peer == remote);
        let evictions = self.others.evictions.iter().rev().find(|(peer, _)| *peer == remote);
        let void = before.is_some_and(|(_, before)| {
            let evictions = evictions.map_or(before.evictions, |(_, told)| before.evictions.max(*told));
            greeting.is_behind || before.site != greeting.site || evictions != greeting.evictions
        });
        self.others.greetings.push((remote, greeting));
        Ok(void)
    }

    fn remote_evicted(&mut self, remote: PeerId, evictions: u64) -> Result<bool, ReplicaError> {
        self.usable()?;
        self.others.evictions.push((remote, evictions));
        self.others.acknowledged.retain(|(peer, _), _| *peer != remote);
        Ok(true)
    }

    fn serves(&mut self, remote: PeerId, interest: ServedInterest) {
        self.others.serves.push((remote, interest));
    }

    fn acknowledged(&mut self, remote: PeerId, acknowledged: &Acknowledged) {
        for (selection, up_to) in &acknowledged.interests {
            let held = self.others.acknowledged.entry((remote, *selection)).or_default();
            *held = (*held).max(*up_to);
        }
        for (key, from) in &acknowledged.held {
            let known = (remote, key.clone());
            if self.others.unheld.get(&known).is_some_and(|first| first >= from) {
                self.others.unheld.remove(&known);
            }
        }
        for (key, sequence) in &acknowledged.unheld {
            self.others.unheld.entry((remote, key.clone())).or_insert(*sequence);
        }
    }

    fn checkpoint(&self, remote: PeerId, interest: &[u8; 16]) -> Result<Option<Checkpoint>, ReplicaError> {
        Ok(self.state.checkpoints.get(&(remote, *interest)).copied())
    }

    fn remembered(&self, remote: PeerId) -> Result<Vec<Seen>, ReplicaError> {
        self.usable()?;
        let checkpoints = self.state.checkpoints.iter().filter(|((peer, _), _)| *peer == remote);
        let named: BTreeSet<RunId> = checkpoints.map(|(_, checkpoint)| checkpoint.run).collect();
        let of_remote = self.state.seen.iter().filter(|((peer, _), _)| *peer == remote);
        let mut all: Vec<Seen> = of_remote.map(|(_, seen)| *seen).collect();
        all.sort_by_key(|seen| Reverse((named.contains(&seen.run), seen.rests_on(), seen.run)));
        Ok(all)
    }

    fn claim_answered(&self, run: RunId, sequence: Sequence) -> bool {
        self.state.answered.iter().any(|answered| answered.0 == run && sequence <= answered.1)
    }

    fn apply(&mut self, incoming: Incoming) -> Result<Applied, ReplicaError> {
        self.usable()?;
        if incoming.evictions.is_some_and(|evictions| evictions != self.eviction_total()) {
            return Err(ReplicaError::Evicted);
        }
        self.dirty = true;
        let first = Sequence(self.state.last.0 + 1);
        let mut outcomes = Vec::new();
        for incoming_document in &incoming.documents {
            let key = &incoming_document.key;
            let refuses =
                |bytes: &Vec<u8>| key.id.windows(bytes.len()).any(|window| window == bytes.as_slice());
            if self.refuses.as_ref().is_some_and(refuses) {
                outcomes.push(Err(Refused::NotPermitted("by the test".to_owned())));
                continue;
            }
            let delta = match Delta::decode(&incoming_document.delta) {
                Ok(delta) => delta,
                Err(error) => {
                    outcomes.push(Err(Refused::Malformed(error.to_string())));
                    continue;
                }
            };
            let mut document = self.state.document_of(key);
            let before = document.is_known().then(|| document.version());
            let sequence = Sequence(self.state.last.0 + 1);
            let ditto_crdt::Merged { changed, absorbed, .. } = document.merge(&delta, sequence);
            if changed {
                let after = document.version();
                let origin = (after == incoming_document.stated).then(|| incoming.from.origin());
                self.state.record(key, document.clone(), sequence, origin);
            }
            outcomes.push(Ok(Outcome { before, after: document.version(), absorbed }));
        }
        if self.state.last > first {
            self.state.commits.insert(self.state.last, first);
        }
        for (interest, checkpoint) in incoming.checkpoints {
            self.state.checkpoints.insert((incoming.from, interest), checkpoint);
        }
        if let Some(seen) = incoming.seen {
            let known = self.state.seen.entry((incoming.from, seen.run)).or_default();
            let (sequence, durable) = (known.sequence.max(seen.sequence), known.durable.max(seen.durable));
            *known = Seen { sequence, durable, ..seen };
        }
        Ok(Applied { last: self.state.last, outcomes })
    }
}
