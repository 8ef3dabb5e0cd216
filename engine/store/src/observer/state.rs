//! One observer.
//!
//! It is *idle* or *busy*. A commit that may have changed its result marks it *stale*; a stale idle observer becomes
//! busy and waits for a lane. There it brings its result up to date, compares it with the last one delivered, gives the
//! lane on and calls back if the two differ. It stays busy until the callback's [`SignalNext`] is used; what becomes
//! stale meanwhile is one result, then. No lock is held while the query runs or the callback is called.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use ditto_dql::{Select, Statement};
use ditto_value::Object;
use parking_lot::{Mutex, MutexGuard};

use super::memory::Memory;
use super::watch::{Images, Watch};
use crate::error::StoreError;
use crate::execute::{self, LiveRows, Scope, View};
use crate::feed::Commit;
use crate::parameters::Settings;
use crate::result::{QueryResult, Row};
use crate::statements::Prepared;
use crate::store::Inner;

/// How many changed documents wait for a busy observer; with more it reads its result again.
const MAX_BACKLOG: usize = 10_000;

/// How many bytes of them, before and after.
const MAX_BACKLOG_BYTES: usize = 4 << 20;

/// A result that was too large to be kept is read so often before that is tried again: a try may read everything in vain,
/// and take memory from others meanwhile.
const READS_BETWEEN_TRIES: u32 = 16;

/// What the application is called with.
pub(crate) type Callback = Box<dyn FnMut(QueryResult, SignalNext) + Send>;

/// Commits, in their order, that observers are told of together. At least one of them concerns whoever is told.
pub(super) struct Batch {
    pub commits: Vec<Arc<Commit>>,
    documents: usize,
    bytes: usize,
}

impl Batch {
    pub(super) fn new(commits: Vec<Arc<Commit>>) -> Self {
        let documents = commits.iter().map(|commit| commit.changed.len()).sum();
        let bytes = commits.iter().map(|commit| commit.bytes()).sum();
        Self { commits, documents, bytes }
    }
}

/// Tells the observer that the application is ready for the next result. Dropping it unused pauses the observer for ever.
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

#[derive(Default)]
struct Phase {
    cancelled: bool,
    /// Something may have changed since the result was last read.
    stale: bool,
    /// The result has to be read again; `backlog` does not tell all.
    reread: bool,
    /// Commits that concern the result and are not applied to it yet, oldest first.
    backlog: Vec<Arc<Batch>>,
    /// What is in it.
    backlog_documents: usize,
    backlog_bytes: usize,
    /// It waits for a lane or has one, or the application has not signalled.
    busy: bool,
    calling: bool,
    /// How many calls there were.
    calls: u64,
    /// The application signalled, or need not any more.
    signalled: bool,
    /// The result could not be read.
    failed: bool,
}

impl Phase {
    fn forget_backlog(&mut self) {
        self.reread = true;
        self.take_backlog();
    }

    fn take_backlog(&mut self) -> Vec<Arc<Batch>> {
        self.backlog_documents = 0;
        self.backlog_bytes = 0;
        mem::take(&mut self.backlog)
    }
}

/// The result, known to whoever has the observer's lane.
#[derive(Default)]
struct Latest {
    /// `None` if the query cannot be kept up to date, or was not read yet.
    live: Option<LiveRows>,
    /// It took too much memory to keep it up to date.
    too_large: Option<TooLarge>,
    delivered: Delivered,
}

/// A result that is read again with every change, for want of memory.
struct TooLarge {
    /// How often it was read since.
    reads: u32,
    /// Bytes of its rows, when it was read last.
    bytes: usize,
}

impl TooLarge {
    /// Whether it may fit now. Asked before each reading.
    fn is_over(&mut self, memory: &Memory) -> bool {
        self.reads = self.reads.wrapping_add(1);
        // Besides the rows there are their places and, of a window, what lies before and behind it.
        self.reads.is_multiple_of(READS_BETWEEN_TRIES) && memory.has_room(self.bytes.saturating_mul(2))
    }
}

/// What the application was called with last.
#[derive(Default, PartialEq)]
enum Delivered {
    #[default]
    Nothing,
    /// Rows that are kept anyway.
    Rows(Vec<Row>),
    /// A digest of rows that are not.
    Digest([u8; 32]),
}

impl Delivered {
    fn digest(rows: &[Row]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for row in rows {
            hasher.update(&(row.bytes().len() as u64).to_le_bytes());
            hasher.update(row.bytes());
        }
        Self::Digest(*hasher.finalize().as_bytes())
    }
}

pub(super) struct State {
    store: Weak<Inner>,
    pub id: u64,
    pub text: String,
    pub arguments: Object,
    /// The collection, with its namespace.
    pub source: String,
    /// Nobody tells of every change of the result.
    is_polled: bool,
    prepared: Arc<Prepared>,
    pub watch: Watch,
    /// The number of the last batch that it was told of; belongs to whoever tells.
    pub told: AtomicU64,
    phase: Mutex<Phase>,
    /// Taken by the job that calls it; gone after a cancel.
    callback: Mutex<Option<Callback>>,
    result: Mutex<Latest>,
}

impl State {
    pub(super) fn new(
        inner: &Arc<Inner>,
        text: &str,
        arguments: Object,
        prepared: Arc<Prepared>,
        watch: Watch,
        on_change: Callback,
    ) -> Arc<Self> {
        let (source, is_polled) = match &prepared.statement {
            Statement::Select(select) => {
                let source = select.source.collection.to_string();
                let mut tells = inner.virtual_collections.tells(&source);
                prepared.statement.for_each_expression(&mut |expr| tells &= expr.is_timeless());
                (source, execute::is_virtual(&select.source) && !tells)
            }
            _ => (String::new(), false),
        };
        Arc::new(Self {
            store: Arc::downgrade(inner),
            id: inner.observers.next_id(),
            text: text.to_string(),
            arguments,
            source,
            is_polled,
            prepared,
            watch,
            told: AtomicU64::new(0),
            phase: Mutex::new(Phase { reread: true, ..Phase::default() }),
            callback: Mutex::new(Some(on_change)),
            result: Mutex::new(Latest::default()),
        })
    }

    fn select(&self) -> Option<&Select> {
        match &self.prepared.statement {
            Statement::Select(select) => Some(select),
            _ => None,
        }
    }

    /// Whether a changed document can have changed the result.
    pub(super) fn is_concerned(&self, settings: Settings, now_ms: u64, images: &Images<'_>) -> bool {
        let Some(select) = self.select() else { return false };
        let scope = Scope {
            arguments: (&self.arguments).into(),
            now_ms,
            settings,
            request: None,
            plans: None,
            running: None,
        };
        self.watch.concerns(select, &scope, images)
    }

    /// Whether it has to look again by itself from time to time.
    pub(super) fn is_due(&self) -> bool {
        self.is_polled || self.phase.lock().failed
    }

    /// Whether there is nothing to tell it: it reads its result again anyway.
    pub(super) fn will_reread(&self) -> bool {
        let phase = self.phase.lock();
        phase.stale && phase.reread
    }

    /// Marks the result as possibly changed in any way.
    pub(super) fn reread(self: &Arc<Self>) {
        let mut phase = self.phase.lock();
        phase.forget_backlog();
        self.wake(phase);
    }

    /// Marks the result as changed by some of these commits.
    pub(super) fn changed_by(self: &Arc<Self>, batch: &Arc<Batch>) {
        let mut phase = self.phase.lock();
        if !phase.reread {
            phase.backlog_documents += batch.documents;
            phase.backlog_bytes += batch.bytes;
            if phase.backlog_documents > MAX_BACKLOG || phase.backlog_bytes > MAX_BACKLOG_BYTES {
                phase.forget_backlog();
            } else {
                phase.backlog.push(Arc::clone(batch));
            }
        }
        self.wake(phase);
    }

    fn wake(self: &Arc<Self>, mut phase: MutexGuard<'_, Phase>) {
        phase.stale = true;
        if !phase.busy && !phase.cancelled {
            phase.busy = true;
            drop(phase);
            self.start();
        }
    }

    /// Has it brought up to date as soon as a lane is free.
    fn start(self: &Arc<Self>) {
        if let Some(inner) = self.store.upgrade()
            && inner.observers.lanes.take(self)
        {
            spawn(&inner, Arc::clone(self));
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
            self.start();
        } else {
            phase.busy = false;
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.phase.lock().cancelled
    }

    pub(super) fn cancel(&self) {
        let mut phase = self.phase.lock();
        if phase.cancelled {
            return;
        }
        phase.cancelled = true;
        phase.forget_backlog();
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

    /// The new result; `None` if it is what was delivered last, or cannot be read.
    fn refresh(&self, inner: &Inner) -> Option<Vec<Row>> {
        let (reread, backlog) = {
            let mut phase = self.phase.lock();
            if phase.cancelled {
                return None;
            }
            phase.stale = false;
            (mem::take(&mut phase.reread), phase.take_backlog())
        };
        let read = catch_unwind(AssertUnwindSafe(|| self.read(inner, reread, &backlog)));
        let failed = !matches!(read, Ok(Ok(_)));
        let failed_before = {
            let mut phase = self.phase.lock();
            if failed {
                phase.forget_backlog();
            }
            mem::replace(&mut phase.failed, failed)
        };
        match read {
            Ok(Ok(rows)) => return rows,
            Ok(Err(StoreError::Closed)) => return None,
            Ok(Err(error)) => {
                if !failed_before {
                    tracing::warn!(query = self.text, %error, "an observer cannot read its result; it tries again");
                }
                // Without a write nobody else may ask for a recovery.
                if matches!(error, StoreError::Storage(_))
                    && let Err(failure) = inner.storage.sync()
                {
                    inner.storage_failed(&failure);
                }
            }
            Err(_) => tracing::error!(query = self.text, "reading the result of an observer panicked"),
        }
        inner.observers.ask_for_polling();
        None
    }

    /// Brings the result up to date; `None` if it is what was delivered last.
    fn read(
        &self,
        inner: &Inner,
        reread: bool,
        backlog: &[Arc<Batch>],
    ) -> Result<Option<Vec<Row>>, StoreError> {
        inner.check_open()?;
        let Some(select) = self.select() else { return Err(StoreError::Closed) };
        let mut latest = self.result.lock();
        let Latest { live, too_large, delivered } = &mut *latest;
        let maintainable = execute::is_maintainable(inner, select);
        let mut commits = backlog.iter().flat_map(|batch| &batch.commits);
        let applied = !reread
            && maintainable
            && live.as_mut().is_some_and(|live| {
                commits.all(|commit| live.apply(inner, select, &self.arguments, &self.source, commit))
            });
        if !applied {
            *live = None;
            let fits = |too_large: &mut TooLarge| too_large.is_over(&inner.observers.memory);
            if maintainable && too_large.as_mut().is_none_or(fits) {
                *live = LiveRows::read(inner, select, &self.arguments)?;
            }
        } else if live.as_ref().is_some_and(LiveRows::is_too_large) {
            *live = None;
        }
        let (rows, new) = match live {
            Some(live) => {
                *too_large = None;
                let rows = live.result();
                (rows.clone(), Delivered::Rows(rows))
            }
            None => {
                let rows = execute::select_rows(View::Newest(inner), select, &self.arguments)?;
                let bytes = rows.iter().map(|row| row.bytes().len()).sum();
                let reads = too_large.as_ref().map_or(0, |too_large| too_large.reads);
                *too_large = maintainable.then_some(TooLarge { reads, bytes });
                let digest = Delivered::digest(&rows);
                (rows, digest)
            }
        };
        // After a change of form the same rows would be delivered again.
        let same = match (&*delivered, &new) {
            (Delivered::Digest(_), Delivered::Rows(rows)) => *delivered == Delivered::digest(rows),
            (Delivered::Rows(old), Delivered::Digest(_)) => *old == rows,
            (delivered, new) => delivered == new,
        };
        *delivered = new;
        Ok((!same).then_some(rows))
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
}

/// Brings observers up to date, beginning with `state`, whose lane is taken.
fn spawn(inner: &Inner, state: Arc<State>) {
    inner.executor.spawn(Box::new(move || run(state)));
}

/// The job: goes on as long as there is an observer for its lane.
fn run(mut state: Arc<State>) {
    loop {
        let Some(inner) = state.store.upgrade() else { return };
        let lanes = &inner.observers.lanes;
        if let Some(rows) = state.refresh(&inner) {
            if let Some(next) = lanes.next() {
                spawn(&inner, next);
            }
            // The callback may be what lets go of the store.
            drop(inner);
            if !state.call(rows) {
                return;
            }
            let Some(inner) = state.store.upgrade() else { return };
            if !inner.observers.lanes.take(&state) {
                return;
            }
        } else if state.rest() {
            state = lanes.swap(state);
        } else {
            match lanes.next() {
                Some(next) => state = next,
                None => return,
            }
        }
    }
}
