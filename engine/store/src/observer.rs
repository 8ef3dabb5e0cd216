//! Live queries: the result of a SELECT now, and again whenever a commit changed it.
//!
//! An observer is *idle* or *busy*. A commit that may have changed its result marks it *stale*; a stale idle
//! observer becomes busy and runs a job on the executor: bring the result up to date, compare it with the last
//! one delivered, call back if it differs. It stays busy until the callback's [`SignalNext`] is used; what becomes
//! stale meanwhile is one result, then. No lock is held while the query runs or the callback is called.
//!
//! Where a document's place in the result depends on itself alone, the rows are kept and the commits that
//! concern them are applied ([`LiveRows`]); other queries, and observers that lag far behind, read again.

use std::collections::HashMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use ditto_dql::{Select, Statement};
use ditto_value::{Object, ValueRef};
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::error::StoreError;
use crate::execute::{self, LiveRows, Scope, View};
use crate::feed::{ChangedDocument, Commit};
use crate::result::{QueryResult, Row};
use crate::statements::Prepared;
use crate::store::{Inner, Store};

/// How many changed documents wait for a busy observer; with more it reads its result again.
const MAX_BACKLOG: usize = 10_000;

/// What the application is called with.
type Callback = Box<dyn FnMut(QueryResult, SignalNext) + Send>;

/// Tells the observer that the application is ready for the next result. Dropping it unused pauses the observer.
#[must_use = "without it there is no next result"]
pub struct SignalNext {
    state: Weak<State>,
    /// Which call it belongs to.
    call: u64,
}

impl SignalNext {
    /// Lets the next result come, at once if there is one. May be called on any thread, also inside the callback.
    pub fn signal(self) {
        if let Some(state) = self.state.upgrade() {
            state.signal(self.call);
        }
    }
}

impl std::fmt::Debug for SignalNext {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SignalNext")
    }
}

/// A registered observer. Clones are handles to the same one; dropping the last of them cancels it.
#[derive(Clone)]
pub struct Observer(Arc<Handle>);

struct Handle(Arc<State>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Observer {
    pub(crate) fn register(
        store: &Store,
        text: &str,
        arguments: Object,
        on_change: Callback,
    ) -> Result<Self, StoreError> {
        let inner = &store.inner;
        inner.check_open()?;
        let prepared = inner.statements.prepare(text)?;
        prepared.check(&arguments)?;
        let Statement::Select(select) = &prepared.statement else {
            return Err(execute::not_allowed(&prepared.statement, "an observer"));
        };
        if !select.joins.is_empty() {
            return Err(StoreError::unsupported("JOIN"));
        }
        let source = select.source.collection.to_string();
        let state = Arc::new(State {
            store: Arc::downgrade(inner),
            id: inner.observers.next.fetch_add(1, Ordering::Relaxed),
            text: text.to_string(),
            arguments,
            source,
            prepared,
            phase: Mutex::new(Phase { reread: true, ..Phase::default() }),
            callback: Mutex::new(Some(on_change)),
            result: Mutex::new(Latest::default()),
        });
        inner.observers.add(&state);
        state.reread();
        Ok(Self(Arc::new(Handle(state))))
    }

    /// The statement.
    pub fn text(&self) -> &str {
        &self.0.0.text
    }

    /// Its arguments.
    pub fn arguments(&self) -> &Object {
        &self.0.0.arguments
    }

    /// A number that no other observer of this store has.
    pub fn id(&self) -> u64 {
        self.0.0.id
    }

    /// After this returns no new call starts; one that is running goes on. A second cancel does nothing.
    pub fn cancel(&self) {
        self.0.0.cancel();
    }

    /// Whether it was cancelled, by whatever means.
    pub fn is_cancelled(&self) -> bool {
        self.0.0.phase.lock().cancelled
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Observer").field("id", &self.id()).field("text", &self.text()).finish()
    }
}

#[derive(Default)]
struct Phase {
    cancelled: bool,
    /// Something may have changed since the result was last read.
    stale: bool,
    /// The result has to be read again; `backlog` does not tell all.
    reread: bool,
    /// Commits that concern the result and are not applied to it yet, oldest first.
    backlog: Vec<Arc<Commit>>,
    /// Documents that they changed.
    backlog_documents: usize,
    /// A job is queued or running, or the application has not signalled.
    busy: bool,
    calling: bool,
    /// How many calls there were.
    calls: u64,
    /// The application signalled, or need not any more.
    signalled: bool,
}

/// The result as the job knows it.
#[derive(Default)]
struct Latest {
    /// `None` if the query cannot be kept up to date, or was not read yet.
    live: Option<LiveRows>,
    /// It would take too much memory to keep it up to date.
    too_large: bool,
    delivered: Option<Vec<Row>>,
}

impl Phase {
    fn forget_backlog(&mut self) {
        self.reread = true;
        self.backlog = Vec::new();
        self.backlog_documents = 0;
    }
}

struct State {
    store: Weak<Inner>,
    id: u64,
    text: String,
    arguments: Object,
    /// The collection, with its namespace.
    source: String,
    prepared: Arc<Prepared>,
    phase: Mutex<Phase>,
    /// Taken by the job that calls it; gone after a cancel.
    callback: Mutex<Option<Callback>>,
    /// Only the one job touches it.
    result: Mutex<Latest>,
}

impl State {
    fn select(&self) -> Option<&Select> {
        match &self.prepared.statement {
            Statement::Select(select) => Some(select),
            _ => None,
        }
    }

    /// Marks the result as possibly changed in any way.
    fn reread(self: &Arc<Self>) {
        let mut phase = self.phase.lock();
        phase.forget_backlog();
        self.wake(phase);
    }

    /// Marks the result as changed by this commit.
    fn changed_by(self: &Arc<Self>, commit: &Arc<Commit>) {
        let mut phase = self.phase.lock();
        if !phase.reread {
            phase.backlog_documents += commit.changed.len();
            if phase.backlog_documents > MAX_BACKLOG {
                phase.forget_backlog();
            } else {
                phase.backlog.push(Arc::clone(commit));
            }
        }
        self.wake(phase);
    }

    fn wake(self: &Arc<Self>, mut phase: MutexGuard<'_, Phase>) {
        phase.stale = true;
        if !phase.busy && !phase.cancelled {
            phase.busy = true;
            drop(phase);
            self.spawn();
        }
    }

    fn spawn(self: &Arc<Self>) {
        if let Some(inner) = self.store.upgrade() {
            let state = Arc::clone(self);
            inner.executor.spawn(Box::new(move || state.run()));
        }
    }

    fn signal(self: &Arc<Self>, call: u64) {
        let mut phase = self.phase.lock();
        if phase.calls != call || phase.signalled {
            return;
        }
        phase.signalled = true;
        if phase.calling {
            // The job is still there and goes on by itself.
        } else if phase.stale && !phase.cancelled {
            drop(phase);
            self.spawn();
        } else {
            phase.busy = false;
        }
    }

    fn cancel(&self) {
        let mut phase = self.phase.lock();
        if phase.cancelled {
            return;
        }
        phase.cancelled = true;
        let calling = phase.calling;
        drop(phase);
        if let Some(inner) = self.store.upgrade() {
            inner.observers.remove(self);
        }
        if !calling {
            // Outside of the lock: what the callback owns may do anything when it is dropped.
            let callback = self.callback.lock().take();
            drop(callback);
        }
    }

    /// The job: delivers results until there is nothing new, or the application has to signal first.
    fn run(self: &Arc<Self>) {
        loop {
            let (reread, backlog) = {
                let mut phase = self.phase.lock();
                if phase.cancelled {
                    return;
                }
                phase.stale = false;
                phase.backlog_documents = 0;
                (mem::take(&mut phase.reread), mem::take(&mut phase.backlog))
            };
            let goes_on = match self.refresh(reread, &backlog) {
                Ok(Some(rows)) => self.call(rows),
                Ok(None) => self.rest(),
                Err(error) => {
                    tracing::warn!(query = self.text, %error, "an observer could not read its result");
                    self.phase.lock().forget_backlog();
                    self.rest()
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Brings the result up to date; `None` if it is what was delivered last.
    fn refresh(&self, reread: bool, backlog: &[Arc<Commit>]) -> Result<Option<Vec<Row>>, StoreError> {
        let (Some(inner), Some(select)) = (self.store.upgrade(), self.select()) else {
            return Err(StoreError::Closed);
        };
        inner.check_open()?;
        let mut result = self.result.lock();
        let maintainable = execute::is_maintainable(&inner, select);
        let applied = !reread
            && maintainable
            && result.live.as_mut().is_some_and(|live| {
                backlog.iter().all(|commit| live.apply(&inner, select, &self.arguments, &self.source, commit))
            });
        if !applied {
            result.live = None;
            if maintainable && !result.too_large {
                result.live = LiveRows::read(&inner, select, &self.arguments)?;
            }
        } else if result.live.as_ref().is_some_and(LiveRows::is_too_large) {
            result.live = None;
        }
        result.too_large = maintainable && result.live.is_none();
        let rows = match &result.live {
            Some(live) => live.result(&inner, select, &self.arguments)?,
            None => execute::select_rows(View::Newest(&inner), select, &self.arguments)?,
        };
        if result.delivered.as_ref() == Some(&rows) {
            return Ok(None);
        }
        result.delivered = Some(rows.clone());
        Ok(Some(rows))
    }

    /// Becomes idle, unless something is stale: then `true`.
    fn rest(&self) -> bool {
        let mut phase = self.phase.lock();
        phase.busy = phase.stale && !phase.cancelled;
        phase.busy
    }

    /// Calls the application. `true` if it signalled meanwhile and something is stale again.
    fn call(self: &Arc<Self>, rows: Vec<Row>) -> bool {
        let Some(mut callback) = self.callback.lock().take() else { return false };
        let call = {
            let mut phase = self.phase.lock();
            if phase.cancelled {
                return false;
            }
            phase.calling = true;
            phase.signalled = false;
            phase.calls += 1;
            phase.calls
        };
        let signal = SignalNext { state: Arc::downgrade(self), call };
        let outcome = catch_unwind(AssertUnwindSafe(|| callback(QueryResult::of_rows(rows), signal)));
        let panicked = outcome.is_err();
        if panicked {
            tracing::error!(query = self.text, "the callback of an observer panicked; it goes on");
        }
        self.callback.lock().replace(callback);
        let mut phase = self.phase.lock();
        phase.calling = false;
        if phase.cancelled {
            drop(phase);
            let callback = self.callback.lock().take();
            drop(callback);
            return false;
        }
        phase.signalled |= panicked;
        if !phase.signalled {
            return false;
        }
        phase.busy = phase.stale;
        phase.busy
    }

    /// Whether a commit can have changed the result, judged by the documents before and after it.
    fn concerned(&self, inner: &Inner, changed: &[&ChangedDocument]) -> bool {
        let Some(select) = self.select() else { return false };
        let settings = inner.parameters.settings();
        if !execute::shape(inner, &select.source).is_plain() || select.source.ids.is_some() {
            return true;
        }
        let scope = Scope {
            arguments: (&self.arguments).into(),
            now_ms: inner.environment.now_ms(),
            settings,
            request: None,
        };
        let matching = |document: Option<ValueRef<'_>>| {
            document.is_some_and(|document| execute::accepts(select.filter.as_ref(), &scope, document))
        };
        changed.iter().any(|document| {
            let (before, after) = (document.before_value(), document.after_value());
            let same = match (&before, &after) {
                (Some(before), Some(after)) => before.bytes() == after.bytes(),
                (None, None) => true,
                _ => false,
            };
            !same && (matching(before) || matching(after))
        })
    }
}

/// Every observer of a store, by collection.
#[derive(Default)]
pub(crate) struct Observers {
    next: AtomicU64,
    count: AtomicUsize,
    by_source: RwLock<HashMap<String, Vec<Arc<State>>>>,
}

impl Observers {
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn add(&self, state: &Arc<State>) {
        self.by_source.write().entry(state.source.clone()).or_default().push(Arc::clone(state));
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn remove(&self, state: &State) {
        let mut by_source = self.by_source.write();
        let Some(states) = by_source.get_mut(&state.source) else { return };
        let Some(index) = states.iter().position(|other| other.id == state.id) else { return };
        let removed = states.swap_remove(index);
        if states.is_empty() {
            by_source.remove(&state.source);
        }
        self.count.fetch_sub(1, Ordering::AcqRel);
        drop(by_source);
        drop(removed);
    }

    fn of(&self, source: &str) -> Vec<Arc<State>> {
        self.by_source.read().get(source).cloned().unwrap_or_default()
    }

    /// Wakes the observers whose result a commit can have changed.
    pub(crate) fn committed(&self, inner: &Inner, commit: &Arc<Commit>) {
        if self.is_empty() {
            return;
        }
        let mut by_collection: HashMap<&str, Vec<&ChangedDocument>> = HashMap::new();
        for document in &commit.changed {
            by_collection.entry(&document.key.collection).or_default().push(document);
        }
        for (collection, changed) in by_collection {
            for state in self.of(collection) {
                let will_reread = {
                    let phase = state.phase.lock();
                    phase.stale && phase.reread
                };
                if !will_reread && state.concerned(inner, &changed) {
                    state.changed_by(commit);
                }
            }
        }
    }

    /// Makes every observer of a virtual collection read again.
    pub(crate) fn poll(&self, source: &str) {
        for state in self.of(source) {
            state.reread();
        }
    }

    pub(crate) fn cancel_all(&self) {
        let all: Vec<Arc<State>> = self.by_source.read().values().flatten().cloned().collect();
        for state in all {
            state.cancel();
        }
    }
}
