//! Every observer of a store, found by the documents that concern it.
//!
//! Observers are kept by collection. One whose filter says what a field must equal (`_id = :id`, `owner = :me`) stands
//! in a table of that field, from value to observers: a changed document is looked up by what it had there before and has
//! there now, and concerns no others of the table, however many. The rest are asked one by one.
//!
//! Telling them happens in commit order, one batch of commits at a time. It is done by the writer if it is little work,
//! else by a job on the executor, which takes all commits that have come meanwhile at once.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};

use ditto_value::{ValueRef, key};
use parking_lot::{Mutex, RwLock};

use super::lanes::Lanes;
use super::memory::Memory;
use super::state::{Batch, State};
use super::watch::{Equality, Images};
use crate::feed::{ChangedDocument, Commit};
use crate::parameters::Settings;
use crate::store::Inner;

/// How often a writer looks up a document, and how often it asks an observer about one; more is left to the executor.
const MAX_TESTS: usize = 64;

/// Bytes of commits that wait to be told of; when there are more, all observers read their results again.
const MAX_QUEUE_BYTES: usize = 16 << 20;

#[derive(Default)]
pub(crate) struct Observers {
    next: AtomicU64,
    count: AtomicUsize,
    by_source: RwLock<HashMap<String, OfSource>>,
    queue: Mutex<Queue>,
    /// Batches told of so far; only whoever tells counts.
    batches: AtomicU64,
    pub(super) lanes: Lanes,
    pub(crate) memory: Memory,
    /// Whether somebody calls [`Observers::poll_due`] from time to time.
    is_polled: Mutex<bool>,
    /// Called when somebody should, or sooner than before.
    poll_alarm: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// Commits that a job on the executor tells of.
#[derive(Default)]
struct Queue {
    commits: Vec<Arc<Commit>>,
    bytes: usize,
    /// Some were too many to be kept.
    lost: bool,
    /// The job is there. Later commits must not overtake those that it has.
    busy: bool,
}

/// The observers of one collection, by their ids and so in the order of registration.
#[derive(Default)]
struct OfSource {
    all: BTreeMap<u64, Arc<State>>,
    tables: Vec<Table>,
    /// Those that stand in no table and have to be asked about every document.
    others: BTreeMap<u64, Arc<State>>,
}

/// Observers by the value of one field.
struct Table {
    path: Vec<String>,
    by_key: HashMap<Vec<u8>, Vec<Arc<State>>>,
}

impl Observers {
    pub(super) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Asked by the writer after each commit: whether it has to tell anybody.
    pub(crate) fn is_empty(&self) -> bool {
        // Either the writer sees the observer here, or the observer sees the commit in its first result.
        fence(Ordering::SeqCst);
        self.count.load(Ordering::Relaxed) == 0
    }

    pub(super) fn add(&self, state: &Arc<State>) {
        self.by_source.write().entry(state.source.clone()).or_default().add(state);
        self.count.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if state.is_due() {
            self.ask_for_polling();
        }
    }

    pub(super) fn remove(&self, state: &State) {
        let mut by_source = self.by_source.write();
        let Some(source) = by_source.get_mut(&state.source) else { return };
        let Some(removed) = source.remove(state) else { return };
        if source.all.is_empty() {
            by_source.remove(&state.source);
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        drop(by_source);
        drop(removed);
    }

    /// Wakes the observers whose result a commit can have changed. Called in the order of the commits, by one writer at a
    /// time.
    pub(crate) fn committed(&self, inner: &Arc<Inner>, commit: &Arc<Commit>) {
        if self.is_empty() {
            return;
        }
        // Only this method makes the queue busy.
        let idle = {
            let queue = self.queue.lock();
            !queue.busy && !queue.lost
        };
        if !idle || self.lookups(commit) > MAX_TESTS {
            self.enqueue(inner, |queue| queue.push(commit));
            return;
        }
        if !self.tell_or_reread(inner, vec![Arc::clone(commit)], MAX_TESTS) {
            self.enqueue(inner, |queue| queue.push(commit));
        }
    }

    /// Makes every observer read again: what they were told may not be there any more.
    pub(crate) fn reread_all(&self, inner: &Arc<Inner>) {
        self.enqueue(inner, Queue::lose);
    }

    /// Changes the queue, and sees to it that the job is there.
    fn enqueue(&self, inner: &Arc<Inner>, change: impl FnOnce(&mut Queue)) {
        let start = {
            let mut queue = self.queue.lock();
            change(&mut queue);
            !mem::replace(&mut queue.busy, true)
        };
        if start {
            let inner_then = Arc::downgrade(inner);
            inner.executor.spawn(Box::new(move || {
                if let Some(inner) = inner_then.upgrade() {
                    inner.observers.tell_queued(&inner);
                }
            }));
        }
    }

    /// How much work it is to find out whom a commit concerns, not counting those that are found by what they look for.
    fn lookups(&self, commit: &Commit) -> usize {
        let by_source = self.by_source.read();
        let of_collection = |documents: &[ChangedDocument]| {
            let collection = &*documents.first()?.key.collection;
            let source = by_source.get(collection)?;
            Some(documents.len() * (source.tables.len() + source.others.len()))
        };
        commit.by_collection().filter_map(of_collection).sum()
    }

    /// The job: tells of what is queued until nothing is.
    fn tell_queued(&self, inner: &Inner) {
        let busy = Busy(self);
        loop {
            let (commits, lost) = {
                let mut queue = self.queue.lock();
                if queue.commits.is_empty() && !queue.lost {
                    queue.busy = false;
                    mem::forget(busy);
                    return;
                }
                queue.bytes = 0;
                (mem::take(&mut queue.commits), mem::take(&mut queue.lost))
            };
            if lost {
                self.all().iter().for_each(State::reread);
            } else {
                self.tell_or_reread(inner, commits, usize::MAX);
            }
        }
    }

    /// As [`Self::tell`]. If that panics, all observers read again: a commit is made, and lost for nobody, whatever becomes
    /// of those who look on.
    fn tell_or_reread(&self, inner: &Inner, commits: Vec<Arc<Commit>>, most: usize) -> bool {
        let told = catch_unwind(AssertUnwindSafe(|| self.tell(inner, commits, most)));
        told.unwrap_or_else(|_| {
            tracing::error!("telling observers of a commit panicked; all of them read again");
            self.all().iter().for_each(State::reread);
            true
        })
    }

    /// Tells all whom the commits concern. `false`, and nobody is told, if more than `most` had to be asked.
    fn tell(&self, inner: &Inner, commits: Vec<Arc<Commit>>, most: usize) -> bool {
        let telling = Telling {
            number: self.batches.fetch_add(1, Ordering::Relaxed) + 1,
            settings: inner.parameters.settings(),
            now_ms: inner.environment.now_ms(),
            batch: Arc::new(Batch::new(commits)),
        };
        let by_source = self.by_source.read();
        let mut concerned: Vec<(&OfSource, Vec<Images<'_>>)> = Vec::new();
        for documents in telling.batch.commits.iter().flat_map(|commit| commit.by_collection()) {
            let collection = documents.first().map(|document| &*document.key.collection);
            let Some(source) = collection.and_then(|collection| by_source.get(collection)) else { continue };
            let images = documents.iter().map(Images::of);
            match concerned.iter_mut().find(|(found, _)| std::ptr::eq(*found, source)) {
                Some((_, found)) => found.extend(images),
                None => concerned.push((source, images.collect())),
            }
        }
        let found: Vec<_> = concerned.iter().map(|(source, images)| source.find(&telling, images)).collect();
        if found.iter().map(Found::count).sum::<usize>() > most {
            return false;
        }
        found.iter().for_each(|found| found.tell(&telling));
        true
    }

    fn all(&self) -> Vec<Arc<State>> {
        let by_source = self.by_source.read();
        by_source.values().flat_map(|source| source.all.values().cloned()).collect()
    }

    /// Makes every observer of a virtual collection read again.
    pub(crate) fn poll(&self, source: &str) {
        let by_source = self.by_source.read();
        by_source.get(source).into_iter().flat_map(|source| source.all.values()).for_each(State::reread);
    }

    /// Makes those read again of whose changes nobody tells: the observers of virtual collections, and those that could
    /// not read. `false` if there are none, and nobody needs to call this before [`Self::ask_for_polling`] does.
    pub(crate) fn poll_due(&self) -> bool {
        let mut is_polled = self.is_polled.lock();
        let mut due = self.all();
        due.retain(|state| state.is_due());
        *is_polled = !due.is_empty();
        drop(is_polled);
        due.iter().for_each(State::reread);
        !due.is_empty()
    }

    /// Sees to it that [`Self::poll_due`] is called.
    pub(super) fn ask_for_polling(&self) {
        // Whoever polls finds the observer that asks, or has said that he does not.
        if !mem::replace(&mut *self.is_polled.lock(), true) {
            self.call_poll_alarm();
        }
    }

    /// Says that the interval has changed.
    pub(crate) fn call_poll_alarm(&self) {
        if let Some(alarm) = self.poll_alarm.get() {
            alarm();
        }
    }

    pub(crate) fn on_polling(&self, alarm: Box<dyn Fn() + Send + Sync>) {
        // Set once, while the peer opens.
        let _ = self.poll_alarm.set(alarm);
    }

    pub(crate) fn cancel_all(&self) {
        self.all().iter().for_each(|state| state.cancel());
    }
}

impl Queue {
    fn lose(&mut self) {
        self.commits = Vec::new();
        self.lost = true;
    }

    fn push(&mut self, commit: &Arc<Commit>) {
        if self.lost {
            return;
        }
        self.bytes += commit.bytes();
        if self.bytes > MAX_QUEUE_BYTES {
            self.lose();
        } else {
            self.commits.push(Arc::clone(commit));
        }
    }
}

/// Whoever tells; if that panics, everybody has to read again.
struct Busy<'a>(&'a Observers);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.lost = true;
        queue.busy = false;
    }
}

/// What is the same for all who are told of a batch.
struct Telling {
    number: u64,
    settings: Settings,
    now_ms: u64,
    batch: Arc<Batch>,
}

impl Telling {
    /// Asks an observer about a document. Of those that were told already, no more is asked.
    fn concerns(&self, state: &State, images: &Images<'_>) -> bool {
        state.told.load(Ordering::Relaxed) != self.number
            && state.is_concerned(self.settings, self.now_ms, images)
    }

    fn tell(&self, state: &Arc<State>) {
        state.told.store(self.number, Ordering::Relaxed);
        state.changed_by(&self.batch);
    }
}

impl OfSource {
    fn add(&mut self, state: &Arc<State>) {
        self.all.insert(state.id, Arc::clone(state));
        // Where the fewest stand: of `type = 'order' AND owner = :me` the second, as soon as there are several.
        let Some(equality) = state.watch.equalities().min_by_key(|equality| self.company(equality)) else {
            self.others.insert(state.id, Arc::clone(state));
            return;
        };
        let index = self.tables.iter().position(|table| table.path == equality.path);
        let index = index.unwrap_or_else(|| {
            self.tables.push(Table { path: equality.path.clone(), by_key: HashMap::new() });
            self.tables.len() - 1
        });
        if let Some(table) = self.tables.get_mut(index) {
            for key in &equality.keys {
                table.by_key.entry(key.clone()).or_default().push(Arc::clone(state));
            }
        }
    }

    /// How many observers an observer with this condition would stand beside.
    fn company(&self, equality: &Equality) -> usize {
        let table = self.tables.iter().find(|table| table.path == equality.path);
        let beside = |table: &Table| {
            equality.keys.iter().filter_map(|key| table.by_key.get(key)).map(Vec::len).max().unwrap_or(0)
        };
        table.map_or(0, beside)
    }

    fn remove(&mut self, state: &State) -> Option<Arc<State>> {
        let removed = self.all.remove(&state.id)?;
        self.others.remove(&state.id);
        for equality in state.watch.equalities() {
            for table in self.tables.iter_mut().filter(|table| table.path == equality.path) {
                for key in &equality.keys {
                    if let Some(states) = table.by_key.get_mut(key) {
                        states.retain(|other| other.id != state.id);
                        if states.is_empty() {
                            table.by_key.remove(key);
                        }
                    }
                }
            }
        }
        self.tables.retain(|table| !table.by_key.is_empty());
        Some(removed)
    }

    /// Whom the documents may concern.
    fn find<'a, 'c>(&'a self, telling: &Telling, images: &'a [Images<'c>]) -> Found<'a, 'c> {
        if telling.settings.strict {
            // What is stored is not what anybody sees.
            return Found::All(&self.all);
        }
        let mut by_key = Vec::new();
        for images in images.iter().filter(|images| !images.are_same()) {
            let states = self.tables.iter().flat_map(|table| table.find(images));
            by_key.extend(states.map(|states| (images, states)));
        }
        Found::Some { others: &self.others, images, by_key }
    }
}

/// Whom changed documents of one collection may concern.
enum Found<'a, 'c> {
    /// Every observer, without asking.
    All(&'a BTreeMap<u64, Arc<State>>),
    Some {
        /// They are asked about every document.
        others: &'a BTreeMap<u64, Arc<State>>,
        images: &'a [Images<'c>],
        /// Documents, and who looks for a value that they had or have.
        by_key: Vec<(&'a Images<'c>, &'a [Arc<State>])>,
    },
}

impl Found<'_, '_> {
    /// How many observers are to be asked, counted once for each document.
    fn count(&self) -> usize {
        match self {
            Self::All(all) => all.len(),
            Self::Some { others, images, by_key } => {
                let by_key: usize = by_key.iter().map(|(_, states)| states.len()).sum();
                images.len().saturating_mul(others.len()).saturating_add(by_key)
            }
        }
    }

    fn tell(&self, telling: &Telling) {
        match self {
            Self::All(all) => all.values().for_each(|state| telling.tell(state)),
            Self::Some { others, images, by_key } => {
                for state in others.values() {
                    if !state.will_reread() && images.iter().any(|images| telling.concerns(state, images)) {
                        telling.tell(state);
                    }
                }
                for (images, states) in by_key {
                    for state in states.iter() {
                        if telling.concerns(state, images) {
                            telling.tell(state);
                        }
                    }
                }
            }
        }
    }
}

impl Table {
    /// Who looks for a value that the document had or has here.
    fn find(&self, images: &Images<'_>) -> impl Iterator<Item = &[Arc<State>]> {
        let keys = if Equality::is_of_ids(&self.path) {
            [Some(Cow::Borrowed(images.id)), None]
        } else {
            let field = |document: Option<ValueRef<'_>>| {
                document?.path(self.path.iter().map(String::as_str)).map(key::of)
            };
            let (before, after) = (field(images.before), field(images.after));
            let after = after.filter(|after| before.as_ref() != Some(after));
            [before.map(Cow::Owned), after.map(Cow::Owned)]
        };
        keys.into_iter().flatten().filter_map(|key| self.by_key.get(&*key).map(Vec::as_slice))
    }
}
