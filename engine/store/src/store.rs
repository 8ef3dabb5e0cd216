//! [`Store`]: the handle that everybody holds.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ditto_crdt::{RunId, Sequence, SiteId};
use ditto_dql::Arguments;
use ditto_storage::{Batch, CloseOnce, Storage, StorageError};
use ditto_value::Object;
use parking_lot::{Mutex, RwLock};

use crate::backup::{self, BackupError, BackupProgress};
use crate::catalog::{self, Collections, Identity};
use crate::compact::{self, CompactProgress, Compacted};
use crate::durability::{Durability, Mark, Platter};
use crate::environment::{Environment, Executor};
use crate::error::{OpenError, StoreError};
use crate::execute;
use crate::feed::{Commit, CommitSubscription, Feed, Hook};
use crate::index;
use crate::layout::IndexId;
use crate::lifecycle::age::AgeClock;
use crate::lifecycle::conflicts::Conflicts;
use crate::lifecycle::evictions::Evictions;
use crate::lifecycle::holdings::Holdings;
use crate::lifecycle::names::NameFinder;
use crate::lifecycle::reaper::{self, Reaped, Reaper};
use crate::lifecycle::recency::Recency;
use crate::lifecycle::skew::{ClockSkew, Skews};
use crate::lifecycle::subscribed::{Subscribed, Subscription};
use crate::observer::{Observer, Observers, SignalNext};
use crate::parameters::Parameters;
use crate::recovery;
use crate::replica::{self, Interest, Replica};
use crate::result::QueryResult;
use crate::scopes::SyncScope;
use crate::statements::Statements;
use crate::transaction::{OpenTransactions, Transaction, TransactionOptions};
use crate::verify::{self, Verified, VerifyProgress};
use crate::virtual_collections::{VirtualCollections, all_at_once};
use crate::write::WriteTransaction;
use crate::writer::{Holder, OnTurn, Turn, Writer, WriterQueue};

/// How to open a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// Which database this is; a directory belongs to one for ever.
    pub database_id: String,
    /// When mutating statements return, until the parameter `DURABLE_COMMITS` is set or reset.
    pub durability: Durability,
    /// Runs observer callbacks, and brings the writer to who waits for it without a thread.
    pub executor: Arc<dyn Executor>,
    /// Continue under a new site id, because the directory was copied or restored.
    pub new_site: bool,
    /// How remote peers are called in `system:conflicts`.
    pub peer_name: fn(&[u8; 32]) -> String,
}

impl StoreOptions {
    /// Options with the defaults: [`Durability::Eventual`], the site id that the directory has.
    pub fn new(database_id: impl Into<String>, executor: Arc<dyn Executor>) -> Self {
        Self {
            database_id: database_id.into(),
            durability: Durability::default(),
            executor,
            new_site: false,
            peer_name: |peer| peer.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// What is known of a collection without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionStatistics {
    /// Its name.
    pub name: Arc<str>,
    /// Living documents.
    pub documents: u64,
    /// Deleted documents of which only the grave is left.
    pub graves: u64,
    /// Indexes, ready or being built.
    pub indexes: usize,
    /// Evictions so far.
    pub evictions: u64,
}

/// An open store. Clones are handles to the same one; all methods may be called from any thread and may block
/// on the disk.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// A [`Store`] that may be gone.
#[derive(Debug, Clone)]
pub struct WeakStore(Weak<Inner>);

impl WeakStore {
    /// The store, if somebody still holds it.
    pub fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(|inner| Store { inner })
    }
}

/// Runs one statement whose turn has come, see [`Store::execute_later`].
pub type Run<'a> = Box<dyn FnOnce() -> Result<QueryResult, StoreError> + 'a>;

/// Is told of failures of the storage.
type FailureHook = Box<dyn Fn(&StorageError) + Send + Sync>;

/// What of it repeats what is stored is listed in `recovery`.
pub(crate) struct Inner {
    pub database_id: Arc<str>,
    pub storage: Arc<dyn Storage>,
    pub environment: Arc<dyn Environment>,
    pub executor: Arc<dyn Executor>,
    pub parameters: Parameters,
    pub statements: Statements,
    pub collections: Collections,
    pub identity: RwLock<Identity>,
    pub writer: WriterQueue,
    /// Id of the next index.
    pub next_index: AtomicU32,
    /// Last sequence of the newest commit.
    pub last: AtomicU64,
    /// The same, also of one whose rows become visible in this moment.
    pub announced: AtomicU64,
    pub platter: Platter,
    pub feed: Arc<Feed>,
    pub observers: Observers,
    pub virtual_collections: VirtualCollections,
    pub transactions: OpenTransactions,
    pub is_copy: bool,
    pub on_failure: OnceLock<FailureHook>,
    /// Those that changed with a commit that is not told of yet.
    pub changed_virtuals: Mutex<BTreeSet<&'static str>>,
    /// Held by whoever changes the sync scopes.
    pub scopes_turn: Mutex<()>,
    pub holdings: Holdings,
    pub names: NameFinder,
    pub recency: Recency,
    pub skews: Skews,
    pub evictions: Evictions,
    pub subscribed: Subscribed,
    pub conflicts: Conflicts,
    pub age: AgeClock,
    pub reaper: Reaper,
    pub peer_name: fn(&[u8; 32]) -> String,
    pub closed: AtomicBool,
    pub close_once: CloseOnce,
}

impl Store {
    /// Opens the database in `storage`, or makes one in an empty storage, and begins a new run.
    ///
    /// # Errors
    /// [`OpenError::UnknownFormat`] if a newer version wrote it, [`OpenError::WrongDatabase`] if it is another
    /// database, [`OpenError::Corrupt`] if its catalog cannot be read, [`OpenError::Storage`].
    pub fn open(
        storage: Arc<dyn Storage>,
        environment: Arc<dyn Environment>,
        options: StoreOptions,
    ) -> Result<Self, OpenError> {
        let catalog = catalog::open(&*storage, &*environment, &options)?;
        let last = catalog.writer.last;
        let reaper = Reaper::new(&*environment, catalog.reaped_ms);
        let inner = Arc::new(Inner {
            database_id: options.database_id.into(),
            storage,
            environment,
            executor: options.executor,
            parameters: Parameters::new(options.durability, &catalog.scopes),
            statements: Statements::default(),
            collections: catalog.collections,
            identity: RwLock::new(catalog.identity),
            writer: WriterQueue::new(catalog.writer),
            next_index: AtomicU32::new(catalog.next_index.0),
            last: AtomicU64::new(last.0),
            announced: AtomicU64::new(last.0),
            platter: Platter::new(last),
            feed: Feed::new(),
            observers: Observers::default(),
            virtual_collections: VirtualCollections::default(),
            transactions: OpenTransactions::default(),
            is_copy: catalog.is_copy,
            on_failure: OnceLock::new(),
            changed_virtuals: Mutex::default(),
            scopes_turn: Mutex::default(),
            holdings: catalog.holdings,
            names: NameFinder::default(),
            recency: Recency::default(),
            skews: Skews::default(),
            evictions: Evictions::default(),
            subscribed: Subscribed::default(),
            conflicts: Conflicts::default(),
            age: AgeClock::new(catalog.age),
            reaper,
            peer_name: options.peer_name,
            closed: AtomicBool::new(false),
            close_once: CloseOnce::default(),
        });
        let store = Self { inner };
        execute::register_builtin_collections(&store);
        index::resume(&store.inner, catalog.unfinished, store.inner.platter.newest());
        Ok(store)
    }

    /// A handle that does not keep the store alive, for closures that the store itself keeps.
    pub fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.inner))
    }

    /// Runs one statement with its named arguments (an empty object: none), a tree or the binary form of an object; what
    /// is inserted from the latter is copied as it is. Blocks until the result is complete; a mutating statement is atomic and has survived a crash of the process when this returns.
    ///
    /// # Errors
    /// See [`StoreError`]; the store is then as it was before.
    pub fn execute<'a>(
        &self,
        text: &str,
        arguments: impl Into<Arguments<'a>>,
    ) -> Result<QueryResult, StoreError> {
        execute::execute(self, text, arguments.into())
    }

    /// As [`Self::execute`], but never waits for another writer: `None` if it would have to, and nothing is done then.
    /// CREATE INDEX and DROP INDEX with something to do write again and again, and so they always would.
    ///
    /// # Errors
    /// As there.
    pub fn try_execute<'a>(
        &self,
        text: &str,
        arguments: impl Into<Arguments<'a>>,
    ) -> Result<Option<QueryResult>, StoreError> {
        execute::try_execute(self, text, arguments.into())
    }

    /// As [`Self::execute`], but does not block: when it is the statement's turn, `on_turn` is called with what runs it,
    /// at once, on this thread, if there is nothing to wait for, and on a thread of the executor otherwise. Dropping
    /// that undone gives the turn to the next. `arguments` is an object in the binary form. If the executor drops its
    /// jobs, `on_turn` is dropped uncalled.
    pub fn execute_later(
        &self,
        text: &str,
        arguments: Vec<u8>,
        on_turn: impl FnOnce(Run<'_>) + Send + 'static,
    ) {
        execute::execute_later(self, text, arguments, Box::new(on_turn));
    }

    /// Begins a transaction of several statements. A read-write one blocks until it is the only one; dropping a
    /// transaction rolls it back.
    ///
    /// # Errors
    /// [`StoreError::Closed`], [`StoreError::NestedWrite`], [`StoreError::WriterBusy`].
    pub fn begin(&self, options: impl Into<TransactionOptions>) -> Result<Transaction, StoreError> {
        Transaction::begin(self, options.into())
    }

    /// As [`Self::begin`], but does not block: calls `then` at once, on this thread, if nobody writes, and by
    /// [`Executor::spawn_turn`] when the turn has come otherwise. `then` should be quick: from the moment of its turn on
    /// nobody else writes. If the executor drops its jobs, `then` is dropped uncalled.
    pub fn begin_later(
        &self,
        options: impl Into<TransactionOptions>,
        then: impl FnOnce(Result<Transaction, StoreError>) + Send + 'static,
    ) {
        Transaction::begin_later(self, options.into(), Box::new(then));
    }

    /// Reports a transaction that has been open for long, and makes those give up who have waited for too long, by the
    /// parameters `TRANSACTION_DURATION_BEFORE_LOGGING_MS`, `TRANSACTION_TRACE_INTERVAL_MS` and
    /// `TRANSACTION_WAIT_TIMEOUT_MS`. To be called from time to time, from [`Self::on_writer_busy`] on until it answers
    /// `false`, with the time in milliseconds by a clock that does not go back.
    pub fn watch_writer(&self, now_ms: u64) -> bool {
        let (refused, again) = self.inner.writer.watch(now_ms, self.inner.parameters.writer_limits());
        self.inner.call(refused);
        again
    }

    /// Sets what is called when [`Self::watch_writer`] is to be called from then on. Must be quick. Can be set once.
    pub fn on_writer_busy(&self, alarm: impl Fn() + Send + Sync + 'static) {
        self.inner.writer.on_busy(Box::new(alarm));
    }

    /// Calls `on_change` with the result of a SELECT: first with the present one (always, after this method has
    /// returned), then whenever a commit changed it. The next call comes only after [`SignalNext`] was used, and never
    /// if it was dropped unused; what happens meanwhile is delivered as one result. Calls run on the executor, never overlap,
    /// hold no lock, and end when the [`Observer`] is cancelled or its last clone is dropped. A call that blocks keeps a
    /// thread of the executor, which may have few of them.
    ///
    /// # Errors
    /// [`StoreError::Compile`], [`StoreError::MissingArgument`]; [`StoreError::Data`] for LIMIT, OFFSET or ids that are
    /// none; [`StoreError::Context`] for other statements.
    pub fn observe(
        &self,
        text: &str,
        arguments: Object,
        on_change: Box<dyn FnMut(QueryResult, SignalNext) + Send>,
    ) -> Result<Observer, StoreError> {
        Observer::register(self, text, arguments, on_change)
    }

    /// Calls `hook` after each commit that changed or evicted documents, in commit order, outside of all locks,
    /// on the committing thread or on that of another writer. Hooks must be quick; they may execute statements.
    pub fn subscribe_commits(
        &self,
        hook: impl Fn(&Arc<Commit>) + Send + Sync + 'static,
    ) -> CommitSubscription {
        self.inner.feed.subscribe(Hook::Commit(Arc::new(hook)))
    }

    /// Calls `hook` after each commit, on the committing thread and outside of all locks: for those who only want to
    /// know that there was one. Costs writers much less than [`Store::subscribe_commits`]. May be called once too
    /// often.
    pub fn signal_commits(&self, hook: impl Fn() + Send + Sync + 'static) -> CommitSubscription {
        self.inner.feed.subscribe(Hook::Signal(Arc::new(hook)))
    }

    /// Other peers are asked from now on for what `interest`, the compiled `query`, matches: EVICT says of such documents that
    /// they come back. `number` names the subscription.
    pub fn subscribed(&self, number: u64, query: &str, interest: Interest) {
        self.inner.subscribed.add(number, Subscription { query: query.into(), interest });
    }

    /// They are not asked any more.
    pub fn unsubscribed(&self, number: u64) {
        self.inner.subscribed.remove(number);
    }

    /// Makes `rows` what SELECT reads from the virtual collection `name` (`system:…`). Replaces an earlier one
    /// of that name.
    pub fn register_virtual_collection(&self, name: &str, rows: Arc<dyn Fn() -> Vec<Object> + Send + Sync>) {
        self.inner.virtual_collections.register(name, all_at_once(move || rows()), false);
    }

    /// Makes the observers of a virtual collection look at it again, sooner than [`Self::poll_observers`] does.
    pub fn virtual_collection_changed(&self, name: &str) {
        self.inner.observers.poll(name);
    }

    /// Makes those observers look again of whose changes nobody tells: those of virtual collections, and those that could
    /// not read their result. Calls come only where it is another one. To be called every
    /// [`Self::polling_interval`], from [`Self::on_polling`] on until it answers `false`.
    pub fn poll_observers(&self) -> bool {
        self.inner.observers.poll_due()
    }

    /// The parameter `LIVE_QUERY_SYSTEM_COLLECTION_REFRESH_INTERVAL`.
    pub fn polling_interval(&self) -> Duration {
        self.inner.parameters.milliseconds("live_query_system_collection_refresh_interval")
    }

    /// Sets what is called when [`Self::poll_observers`] is to be called from then on, or the interval may have changed.
    /// Must be quick. Can be set once.
    pub fn on_polling(&self, alarm: impl Fn() + Send + Sync + 'static) {
        self.inner.observers.on_polling(Box::new(alarm));
    }

    /// Makes everything committed so far durable and answers with the last durable sequence. Costs nothing when
    /// nothing is new; concurrent callers share one sync.
    ///
    /// # Errors
    /// [`StoreError::Storage`]. After it nothing may be told to anybody: open the store again.
    pub fn sync(&self) -> Result<Sequence, StoreError> {
        self.inner.sync_to(self.inner.platter.newest())
    }

    /// The store as replication sees it.
    pub fn replica(&self) -> Replica {
        Replica::new(self.clone())
    }

    /// The name of this copy of the database.
    pub fn site(&self) -> SiteId {
        self.inner.identity.read().site
    }

    /// The newest [`crate::MAX_RUNS`] runs of this store, oldest first: a random id and the first sequence.
    pub fn runs(&self) -> Vec<(RunId, Sequence)> {
        self.inner.identity.read().runs.clone()
    }

    /// The last of [`Self::runs`].
    pub fn current_run(&self) -> RunId {
        self.inner.identity.read().runs.last().map(|(run, _)| *run).unwrap_or_default()
    }

    /// Begins a new run: at the first session after a time without any (see [`Self::begin_run_after`]), and, with
    /// `new_site`, when the directory turned out to be a copy of another one. Answers with the new run, which is durable then.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Closed`].
    pub fn begin_run(&self, new_site: bool) -> Result<RunId, StoreError> {
        catalog::begin_run(&self.inner, new_site)
    }

    /// To be called before the first session after a time without any, with the length of that time in milliseconds: begins
    /// a new run, unless the time was shorter than the parameter `RUN_AFTER_PAUSE_MS`. So a machine that goes on from an
    /// image of its memory lacks the runs of the history that is lost, and other peers notice.
    ///
    /// # Errors
    /// As [`Self::begin_run`].
    pub fn begin_run_after(&self, pause_ms: u64) -> Result<Option<RunId>, StoreError> {
        if pause_ms < self.inner.parameters.number("run_after_pause_ms") {
            return Ok(None);
        }
        self.begin_run(false).map(Some)
    }

    /// Sequence of the newest change; 0 in an empty store.
    pub fn last_sequence(&self) -> Sequence {
        self.inner.last_sequence()
    }

    /// The newest sequence that survives a loss of power.
    pub fn durable_sequence(&self) -> Sequence {
        self.inner.platter.durable()
    }

    /// What is known of the clocks of remote peers since the store was opened, by peer.
    pub fn clock_skews(&self) -> Vec<ClockSkew> {
        self.inner.skews.list(&self.inner)
    }

    /// Every collection, by name.
    pub fn collections(&self) -> Vec<CollectionStatistics> {
        self.inner.collections.statistics()
    }

    /// The system parameters that have another value than their default, by name.
    pub fn changed_parameters(&self) -> Object {
        self.inner.parameters.changed()
    }

    /// With whom a collection is synced.
    pub fn sync_scope(&self, collection: &str) -> SyncScope {
        self.inner.parameters.scopes().0.get(collection)
    }

    /// Another number after every change of a [`Store::sync_scope`].
    pub fn sync_scopes_revision(&self) -> u64 {
        self.inner.parameters.scopes().1
    }

    /// Does a bounded part of the housekeeping that is due: buries tombstones whose time is over, removes rows of `commits`
    /// and `replication` that are of no use any more. To be called from time to time, as the answer says; costs nothing
    /// when nothing is due.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`], [`StoreError::Closed`].
    pub fn reap(&self) -> Result<Reaped, StoreError> {
        reaper::step(&self.inner)
    }

    /// Reads every row and reports where two of them contradict each other, and what of the files is damaged. Linear
    /// in the size of the store, on a snapshot; nobody waits.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Closed`].
    pub fn verify(&self) -> Result<Verified, StoreError> {
        self.verify_with(&mut |_| ControlFlow::Continue(()))
    }

    /// As [`Self::verify`], with somebody who watches: `on_progress` is called every thousand rows and once at the end, and
    /// may end the verification.
    ///
    /// # Errors
    /// As there; [`StoreError::Cancelled`] if it was ended.
    pub fn verify_with(
        &self,
        on_progress: &mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>,
    ) -> Result<Verified, StoreError> {
        verify::verify(&self.inner, on_progress)
    }

    /// Copies everything as it is at one moment to an empty storage, while others read and write. The copy is a
    /// database of its own: it opens under a new site id. Holds about a mebibyte of rows in memory. `on_progress` is
    /// called after each such part, and once at the end; it may end the copying.
    ///
    /// # Errors
    /// See [`BackupError`]; what is in the target then is not a database.
    pub fn backup(
        &self,
        target: &dyn Storage,
        on_progress: &mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupProgress, BackupError> {
        backup::backup(&self.inner, target, on_progress)
    }

    /// Gives back the room that deleted and overwritten rows take. Nobody waits, but it costs time, and room for a
    /// while, in proportion to the size of the database. `on_progress` is called some times a second and once at the end, and
    /// may end the compaction; what is done until then stays done.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Closed`]; [`StoreError::Cancelled`] if it was ended.
    pub fn compact(
        &self,
        on_progress: &mut dyn FnMut(&CompactProgress) -> ControlFlow<()>,
    ) -> Result<Compacted, StoreError> {
        compact::compact(&self.inner, on_progress)
    }

    /// Goes on after the storage has failed, if the cause is gone: as after a crash, everything that was synced is
    /// there, and a first part of what was committed after that. A new run begins; transactions that were open are
    /// rolled back, observers read again. Does nothing if it has not failed; while the cause is there, reads go on as
    /// before. No peer may be connected meanwhile.
    ///
    /// # Errors
    /// [`OpenError::Storage`]: why it cannot go on yet.
    pub fn recover(&self) -> Result<(), OpenError> {
        recovery::recover(self)
    }

    /// Calls `hook` whenever a write, or an observer, finds that the storage has failed: nothing is written, and nothing may be told to
    /// anybody, before [`Self::recover`]. On the thread that found it; must be quick. Can be set once.
    pub fn on_storage_failure(&self, hook: impl Fn(&StorageError) + Send + Sync + 'static) {
        // Set once, while the peer opens.
        let _ = self.inner.on_failure.set(Box::new(hook));
    }

    /// Whether this opening found that the directory is a copy of another one (or was brought here from another file
    /// system or machine), and gave it a new site id.
    pub fn is_copy(&self) -> bool {
        self.inner.is_copy
    }

    /// The storage below, for its size on disk and the like.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.inner.storage
    }

    /// Admits no more statements and transactions, waits until the open transactions have ended, at most as long as
    /// `patience`, and rolls those back that have not: what is asked of them later fails with [`StoreError::Closed`].
    /// Called from inside of a transaction ([`Transaction::enter`]) it does not wait. What peers send is still merged.
    pub fn end_transactions(&self, patience: Duration) {
        self.inner.transactions.close(patience);
        self.inner.call(self.inner.writer.close());
    }

    /// Rolls back open transactions, cancels all observers, waits for the running statements, syncs, and closes the
    /// storage. Later statements fail with [`StoreError::Closed`]. A second close does nothing; one that comes while
    /// another is under way waits for that one.
    ///
    /// # Errors
    /// [`StoreError::Storage`]; the store is closed all the same.
    pub fn close(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let close = || {
            inner.closed.store(true, Ordering::Release);
            inner.observers.cancel_all();
            self.end_transactions(Duration::ZERO);
            let writer = inner.writer.take(Holder::Maintenance("the close of the store"))?;
            // What a failing storage does not take is heard again.
            let _ = inner.flush_holdings();
            let closed = inner.storage.close();
            inner.give_back(writer);
            Ok(closed?)
        };
        inner.close_once.run(close).unwrap_or(Ok(()))
    }
}

impl Inner {
    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    pub(crate) fn last_sequence(&self) -> Sequence {
        Sequence(self.last.load(Ordering::Acquire))
    }

    /// An id that no index had since the store was opened.
    pub(crate) fn next_index_id(&self) -> IndexId {
        IndexId(self.next_index.fetch_add(1, Ordering::Relaxed))
    }

    /// Understands the queries of remote peers.
    pub(crate) fn compile(&self) -> impl Fn(&str, &Object) -> Option<Interest> + '_ {
        |query, arguments| replica::compile(self, query, arguments).ok()
    }

    /// Whether some remote peer is known to have asked for documents of the collection, beside what the collection says itself.
    pub(crate) fn is_asked_for(&self, collection: &str) -> bool {
        self.collections.is_awaited(collection) || self.holdings.is_asked_for(collection)
    }

    /// Writes what is known of remote peers at once.
    pub(crate) fn store_holdings(self: &Arc<Self>) -> Result<(), StoreError> {
        let writer = self.writer.take(Holder::Maintenance("the record of what other peers hold"))?;
        let result = self.flush_holdings();
        self.give_back(writer);
        // Whoever syncs hears of it.
        self.deliver_commits();
        result
    }

    /// Writes what is known of remote peers and not stored yet. For the writer.
    pub(crate) fn flush_holdings(&self) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        self.holdings.flush(&mut batch, self.environment.now_ms());
        if !batch.is_empty() {
            self.commit(batch)?;
            self.platter.committed(self.last_sequence());
        }
        Ok(())
    }

    /// Writes a batch, unless the storage has failed and the store is not recovered yet. For the writer.
    pub(crate) fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let committed = self.platter.check_recovered().and_then(|()| self.storage.commit(batch));
        committed.inspect_err(|error| self.storage_failed(error))
    }

    pub(crate) fn sync_to(&self, mark: Mark) -> Result<Sequence, StoreError> {
        self.check_open()?;
        Ok(self.platter.wait(&*self.storage, mark).inspect_err(|error| self.storage_failed(error))?)
    }

    /// Returns when a commit is as durable as the parameter DURABLE_COMMITS says.
    pub(crate) fn settle(&self, mark: Mark) -> Result<(), StoreError> {
        if self.parameters.settings().durability == Durability::Immediate {
            self.sync_to(mark)?;
        }
        Ok(())
    }

    /// Tells who wants to know that the storage has failed, if this is what the error says.
    pub(crate) fn storage_failed(&self, error: &StorageError) {
        if error.is_failure()
            && let Some(hook) = self.on_failure.get()
        {
            hook(error);
        }
    }

    /// Whether anybody wants to know of commits.
    pub(crate) fn has_listeners(&self) -> bool {
        self.feed.has_hooks() || !self.observers.is_empty()
    }

    /// Tells of the commits that wait to be told of. Called after the writer was given back.
    pub(crate) fn deliver_commits(self: &Arc<Self>) {
        self.feed.signal();
        self.feed.tell(|commit| self.observers.committed(self, commit));
        self.feed.deliver();
        for name in std::mem::take(&mut *self.changed_virtuals.lock()) {
            self.observers.poll(name);
        }
    }

    /// Waits for the writer on behalf of a statement.
    pub(crate) fn begin_write(self: &Arc<Self>) -> Result<WriteTransaction, StoreError> {
        self.begin_write_as(Holder::Statement)
    }

    /// Waits for the writer.
    pub(crate) fn begin_write_as(self: &Arc<Self>, who: Holder) -> Result<WriteTransaction, StoreError> {
        let writer = self.writer.take(who)?;
        Ok(WriteTransaction::new(Arc::clone(self), writer))
    }

    /// As [`Self::begin_write`]; `None` if it would have to wait.
    pub(crate) fn try_begin_write(self: &Arc<Self>) -> Result<Option<WriteTransaction>, StoreError> {
        let writer = self.writer.try_take(&Holder::Statement)?;
        Ok(writer.map(|writer| WriteTransaction::new(Arc::clone(self), writer)))
    }

    /// Gives the writer to the next in the queue.
    pub(crate) fn give_back(self: &Arc<Self>, writer: Box<Writer>) {
        self.call(self.writer.give_back(writer));
    }

    /// Calls those who wait for the writer without a thread of their own: the one who gets it, or many who do not.
    fn call(self: &Arc<Self>, turns: impl IntoIterator<Item = (OnTurn, Turn)>) {
        let held = |(on_turn, turn)| (on_turn, Held { inner: Arc::clone(self), turn: Some(turn) });
        let turns: Vec<(OnTurn, Held)> = turns.into_iter().map(held).collect();
        if turns.is_empty() {
            return;
        }
        self.executor.spawn_turn(Box::new(move || {
            for (on_turn, mut held) in turns {
                if let Some(turn) = held.turn.take() {
                    on_turn(turn);
                }
            }
        }));
    }
}

/// A turn on its way to who waits for it. If it does not arrive, because the executor drops its jobs, the writer goes on
/// to the next.
struct Held {
    inner: Arc<Inner>,
    turn: Option<Turn>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(Ok(writer)) = self.turn.take() {
            self.inner.give_back(writer);
        }
    }
}
