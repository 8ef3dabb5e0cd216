//! Transactions of several statements.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ditto_crdt::RunId;
use ditto_dql::Arguments;
use ditto_storage::Snapshot;
use parking_lot::{Condvar, Mutex};

use crate::error::StoreError;
use crate::execute::{self, Running, View};
use crate::result::QueryResult;
use crate::store::{Inner, Store};
use crate::write::WriteTransaction;
use crate::writer::{self, Holder};

/// What a transaction may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionKind {
    /// Reads and writes; one at a time per store, in order of arrival.
    #[default]
    ReadWrite,
    /// Reads one moment; any number at a time, beside a writer.
    ReadOnly,
}

/// How to begin a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionOptions {
    /// What it may do.
    pub kind: TransactionKind,
    /// Names it in logs and in the errors of those who waited for it; cut to [`MAX_HINT_BYTES`].
    pub hint: Option<String>,
}

impl From<TransactionKind> for TransactionOptions {
    fn from(kind: TransactionKind) -> Self {
        Self { kind, hint: None }
    }
}

/// Bytes of a hint that count.
pub const MAX_HINT_BYTES: usize = 256;

/// What can be told of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionInfo {
    /// No other transaction has it, anywhere.
    pub id: String,
    /// As in the options.
    pub hint: Option<String>,
    /// As in the options.
    pub kind: TransactionKind,
}

/// The name of a transaction.
pub(crate) struct Label {
    /// No other transaction of the process has it.
    pub number: u64,
    run: RunId,
    kind: TransactionKind,
    hint: Option<String>,
}

impl Label {
    fn new(inner: &Inner, options: TransactionOptions) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let hint = options.hint.map(|mut hint| {
            let end = (0..=hint.len().min(MAX_HINT_BYTES)).rev().find(|end| hint.is_char_boundary(*end));
            hint.truncate(end.unwrap_or(0));
            hint
        });
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            run: inner.identity.read().run(),
            kind: options.kind,
            hint,
        }
    }

    /// The random number of the run makes it differ from everybody else's, the counter from our own.
    fn id(&self) -> String {
        format!("{:016x}-{:x}", self.run.0, self.number)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(formatter, "the transaction {hint:?} ({})", self.id()),
            None => write!(formatter, "the transaction {}", self.id()),
        }
    }
}

enum State {
    ReadWrite(Box<WriteTransaction>),
    ReadOnly(Box<dyn Snapshot>),
    /// Committed, rolled back, or ended by a panic inside of a statement.
    Ended,
    /// Ended by the store, for this reason.
    Aborted(StoreError),
}

impl State {
    fn over(&self) -> Option<StoreError> {
        match self {
            Self::ReadWrite(_) | Self::ReadOnly(_) => None,
            Self::Ended => Some(StoreError::TransactionEnded),
            Self::Aborted(error) => Some(error.clone()),
        }
    }
}

/// Several statements that happen together or not at all. Dropping it rolls it back.
///
/// Statements see what earlier ones of the same transaction wrote; nobody else does until the commit. A failed
/// statement has no effect and does not end the transaction. Calls from several threads take turns.
///
/// ```
/// # use std::sync::Arc;
/// # use ditto_store::{Environment, Executor, Store, StoreError, StoreOptions, TransactionKind};
/// # struct Threads;
/// # impl Executor for Threads { fn spawn(&self, job: Box<dyn FnOnce() + Send>) { std::thread::spawn(job); } }
/// # struct Fixed;
/// # impl Environment for Fixed { fn now_ms(&self) -> u64 { 1 } fn random_u64(&self) -> u64 { 4 } }
/// # let options = StoreOptions::new("id", Arc::new(Threads));
/// # let store = Store::open(Arc::new(ditto_storage::MemoryStorage::new()), Arc::new(Fixed), options)?;
/// # let none = ditto_value::Object::new();
/// let transfer = store.begin(TransactionKind::ReadWrite)?;
/// transfer.execute("INSERT INTO moves DOCUMENTS ({'_id': 1, 'from': 'A', 'to': 'B'})", &none)?;
/// // A write beside it would wait for it; from the code inside, that would be for ever.
/// let error = transfer.inside(|| store.execute("DELETE FROM moves", &none)).unwrap_err();
/// assert!(matches!(error, StoreError::NestedWrite { .. }));
/// assert_eq!(transfer.commit()?, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Transaction(Arc<Open>);

struct Open {
    inner: Arc<Inner>,
    label: Arc<Label>,
    state: Mutex<State>,
    /// Shared with every result of this transaction.
    commit_id: Arc<OnceLock<u64>>,
}

impl Transaction {
    pub(crate) fn begin(store: &Store, options: TransactionOptions) -> Result<Self, StoreError> {
        let inner = &store.inner;
        inner.check_open()?;
        let label = Arc::new(Label::new(inner, options));
        match label.kind {
            TransactionKind::ReadOnly => Self::read_only(inner, label),
            TransactionKind::ReadWrite => {
                let writing = inner.begin_write_as(Holder::Transaction(Arc::clone(&label)))?;
                Self::opened(inner, label, State::ReadWrite(Box::new(writing)))
            }
        }
    }

    pub(crate) fn begin_later(
        store: &Store,
        options: TransactionOptions,
        then: Box<dyn FnOnce(Result<Self, StoreError>) + Send>,
    ) {
        let inner = Arc::clone(&store.inner);
        if let Err(error) = inner.check_open() {
            return then(Err(error));
        }
        let label = Arc::new(Label::new(&inner, options));
        if label.kind == TransactionKind::ReadOnly {
            return then(Self::read_only(&inner, label));
        }
        let holder = Holder::Transaction(Arc::clone(&label));
        let begun = Arc::clone(&inner);
        inner.writer.take_later(
            holder,
            Box::new(move |turn| {
                let writing = turn.map(|writer| WriteTransaction::new(Arc::clone(&begun), writer));
                then(
                    writing
                        .and_then(|writing| Self::opened(&begun, label, State::ReadWrite(Box::new(writing)))),
                );
            }),
        );
    }

    fn read_only(inner: &Arc<Inner>, label: Arc<Label>) -> Result<Self, StoreError> {
        Self::opened(inner, label, State::ReadOnly(inner.storage.snapshot()))
    }

    fn opened(inner: &Arc<Inner>, label: Arc<Label>, state: State) -> Result<Self, StoreError> {
        let open =
            Open { inner: Arc::clone(inner), label, state: Mutex::new(state), commit_id: Arc::default() };
        let open = Arc::new(open);
        inner.transactions.add(&open)?;
        Ok(Self(open))
    }

    /// Runs one statement. Its result's [`QueryResult::committed_as`] is `None` until the transaction is
    /// committed.
    ///
    /// # Errors
    /// See [`StoreError`]; [`StoreError::ReadOnly`] for mutating statements of a read-only transaction,
    /// [`StoreError::Context`] for statements about the store itself. The transaction goes on.
    pub fn execute<'a>(
        &self,
        text: &str,
        arguments: impl Into<Arguments<'a>>,
    ) -> Result<QueryResult, StoreError> {
        let Open { inner, state, commit_id, .. } = &*self.0;
        let arguments = arguments.into();
        let mut state = state.lock();
        if let Some(error) = state.over() {
            return Err(error);
        }
        let prepared = inner.statements.prepare(text)?;
        prepared.check(arguments)?;
        let statement = &prepared.statement;
        let watched = Running::begin(inner, text);
        // A panic on the way, which would be a fault of this crate, leaves a transaction that has ended.
        let mut running = mem::replace(&mut *state, State::Ended);
        let result = match &mut running {
            State::ReadOnly(_) if statement.is_mutation() => {
                Err(StoreError::ReadOnly { statement: execute::statement_name(statement) })
            }
            State::ReadOnly(snapshot) => {
                execute::read(View::Snapshot(inner, &**snapshot), &watched, &prepared, arguments)
            }
            State::ReadWrite(transaction) if statement.is_mutation() => {
                let savepoint = transaction.savepoint();
                match execute::change(transaction, &watched, &prepared, arguments) {
                    Ok(effect) => {
                        transaction.release();
                        Ok(QueryResult {
                            rows: effect.rows,
                            mutated_ids: effect.mutated_ids,
                            ..QueryResult::default()
                        })
                    }
                    Err(error) => {
                        transaction.rollback_to(savepoint);
                        Err(error)
                    }
                }
            }
            State::ReadWrite(transaction) => {
                execute::read(View::Write(transaction), &watched, &prepared, arguments)
            }
            State::Ended | State::Aborted(_) => Err(StoreError::TransactionEnded),
        };
        *state = running;
        let mut result = watched.end(result)?;
        result.transaction = Some(Arc::clone(commit_id));
        Ok(result)
    }

    /// Makes everything happen and answers with the commit id; `None` for a read-only transaction. Returns when the
    /// durability mode of the store says so.
    ///
    /// # Errors
    /// [`StoreError::TransactionEnded`]; [`StoreError::Closed`] if the store was closed meanwhile;
    /// [`StoreError::Storage`], then it is unknown until the storage was recovered whether it has happened.
    pub fn commit(&self) -> Result<Option<u64>, StoreError> {
        let Open { inner, state, commit_id, .. } = &*self.0;
        let mut state = state.lock();
        if let Some(error) = state.over() {
            return Err(error);
        }
        let committed = match mem::replace(&mut *state, State::Ended) {
            State::ReadWrite(transaction) => Some(transaction.commit()),
            _ => None,
        };
        drop(state);
        inner.transactions.ended(self.0.label.number);
        let Some(committed) = committed.transpose()? else { return Ok(None) };
        // Set once: the state is `Ended` from now on.
        let _ = commit_id.set(committed.commit_id);
        inner.deliver_commits();
        inner.settle(committed.mark)?;
        Ok(Some(committed.commit_id))
    }

    /// Forgets everything that was written. Does nothing after the end.
    pub fn rollback(&self) {
        self.0.end(State::Ended);
    }

    /// Its id, hint and kind; also after its end.
    pub fn info(&self) -> TransactionInfo {
        let label = &self.0.label;
        TransactionInfo { id: label.id(), hint: label.hint.clone(), kind: label.kind }
    }

    /// Says that the code which runs on this thread, until [`Self::leave`], belongs to the transaction: what it tries to
    /// write beside a read-write transaction fails with [`StoreError::NestedWrite`] instead of waiting for ever. Calls
    /// nest. A task that moves between threads enters whenever it runs and leaves whenever it pauses.
    pub fn enter(&self) {
        writer::enter(self.0.label.number);
    }

    /// Ends the newest [`Self::enter`] of this transaction on this thread.
    pub fn leave(&self) {
        writer::leave(self.0.label.number);
    }

    /// Calls `run` between [`Self::enter`] and [`Self::leave`], also when it panics.
    pub fn inside<R>(&self, run: impl FnOnce() -> R) -> R {
        struct Leave<'a>(&'a Transaction);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        self.enter();
        let _leave = Leave(self);
        run()
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.rollback();
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transaction").field("info", &self.info()).finish_non_exhaustive()
    }
}

impl Open {
    /// Ends it, unless it has ended; waits for a statement that is running.
    fn end(&self, state: State) {
        let open = {
            let mut current = self.state.lock();
            if current.over().is_some() {
                return;
            }
            mem::replace(&mut *current, state)
        };
        // Gives the writer to the next in the queue, or the snapshot back.
        drop(open);
        self.inner.transactions.ended(self.label.number);
    }
}

/// The transactions that are open, so that closing can wait for them and end them.
#[derive(Default)]
pub(crate) struct OpenTransactions {
    open: Mutex<Registry>,
    fewer: Condvar,
}

#[derive(Default)]
struct Registry {
    by_number: BTreeMap<u64, Weak<Open>>,
    closed: bool,
}

impl OpenTransactions {
    fn add(&self, transaction: &Arc<Open>) -> Result<(), StoreError> {
        let mut registry = self.open.lock();
        if registry.closed {
            return Err(StoreError::Closed);
        }
        registry.by_number.insert(transaction.label.number, Arc::downgrade(transaction));
        Ok(())
    }

    fn ended(&self, number: u64) {
        self.open.lock().by_number.remove(&number);
        self.fewer.notify_all();
    }

    /// Admits no more transactions, waits for the open ones at most as long as `patience`, and rolls back those that
    /// are left. Does not wait when this thread is inside of one of them.
    pub(crate) fn close(&self, patience: Duration) {
        let mut registry = self.open.lock();
        registry.closed = true;
        let is_inside = registry.by_number.keys().any(|number| writer::is_inside(*number));
        if !is_inside {
            self.fewer.wait_while_for(&mut registry, |registry| !registry.by_number.is_empty(), patience);
        }
        drop(registry);
        self.abort(&StoreError::Closed);
    }

    /// Rolls back all that are open; what is asked of them later fails with `reason`.
    pub(crate) fn abort(&self, reason: &StoreError) {
        let open: Vec<_> = self.open.lock().by_number.values().filter_map(Weak::upgrade).collect();
        for transaction in open {
            tracing::warn!("{} is rolled back: {reason}", transaction.label);
            transaction.end(State::Aborted(reason.clone()));
        }
    }
}
