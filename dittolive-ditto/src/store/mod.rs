//! The documents of this peer: [`Store`].

mod document_id;
pub mod maintenance;
mod set_arc;
pub mod transactions;

use std::{any::Any, fmt, ops::Deref, sync::Arc};

use serde::Serialize;

use self::transactions::{CreateTransactionOptions, Transaction};
pub use self::{
    document_id::{DocumentId, StringPrimitiveFormat},
    set_arc::SetArc,
};
#[doc(hidden)]
pub use crate::dql;
use crate::{
    disk_usage::DiskUsage,
    dql::{
        ChangeHandler, ChangeHandlerWithSignalNext, IntoQuery, QueryArguments, QueryResult, StoreObserver,
    },
    error::DittoError,
    instance::Instance,
};

/// Paths of older programs.
#[doc(hidden)]
pub mod collection {
    pub mod document_id {
        pub use crate::store::{DocumentId, StringPrimitiveFormat};
    }
}

/// The documents of this peer, from [`Ditto::store`](crate::Ditto::store).
///
/// It is a cheap handle that may be cloned and may outlive the instance; then it answers with errors of the kind
/// `ReleasedDittoInstance`.
#[derive(Clone)]
pub struct Store {
    instance: Arc<Instance>,
    disk_usage: DiskUsage,
}

impl Store {
    pub(crate) fn new(instance: Arc<Instance>) -> Self {
        Self { disk_usage: DiskUsage::of_store(instance.clone()), instance }
    }

    /// Runs a DQL statement on the local documents. It never waits for the network.
    ///
    /// The work is done when the future is polled, on the polling thread, without an async runtime; a runtime that
    /// must not block runs it on its threads for that. A statement that changes documents waits for the writers before
    /// it, [transactions](Self::transaction) above all, without blocking the thread; when its turn has come, a thread of
    /// the database runs it, also while nobody polls; if the future is dropped before that, nothing is done. `CREATE INDEX` and
    /// `DROP INDEX`, which let other writers in between, always run so. What a statement wrote survives a crash of the
    /// process when this returns.
    ///
    /// ```no_run
    /// # async fn example(ditto: dittolive_ditto::Ditto) -> Result<(), dittolive_ditto::error::DittoError> {
    /// use serde_json::json;
    ///
    /// let place = json!({"name": "Vila", "country": "AD"});
    /// let store = ditto.store();
    /// store.execute(("INSERT INTO places DOCUMENTS (:place)", json!({"place": place}))).await?;
    /// let result = store.execute("SELECT name FROM places WHERE country = 'AD'").await?;
    /// assert_eq!(result.get_item(0).unwrap().json_string(), r#"{"name":"Vila"}"#);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - `CoreApi(DqlQueryCompilation)`: the statement does not compile; the message says where and why.
    /// - `CoreApi(DqlInvalidQueryArgs)`: the arguments are no map.
    /// - `CoreApi(ParameterQuery)`: a system parameter is unknown or its value does not fit.
    /// - `CoreApi(StoreTransactionNested)`: it changes documents, and is inside the scope of a read-write transaction.
    /// - `CoreApi(StoreTransactionTimeout)`: another writer went on for longer than the system parameter
    ///   `TRANSACTION_WAIT_TIMEOUT_MS`, a minute.
    /// - `CoreApi(StoreDiskFull)`, `CoreApi(IoPermissionDenied)`, `CoreApi(IoNotFound)` (the directory was removed or moved
    ///   away), `CoreApi(StoreCorrupt)`, `CoreApi(IoOperationFailed)`: the storage has failed. Nothing is written and sync
    ///   stops; reads go on where they can. When the cause is gone, so does everything else, by itself within half a
    ///   minute: no need to open the instance again.
    /// - `ReleasedDittoInstance`: the instance is closed.
    pub async fn execute<Q>(&self, query: Q) -> Result<QueryResult, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
    {
        let (text, arguments) = query.into_query()?.into_parts();
        let arguments = arguments.as_deref().unwrap_or_default();
        let peer = &self.instance.peer;
        if let Some(result) = peer.try_execute(&text, arguments)? {
            return Ok(QueryResult::new(result));
        }
        peer.execute_later(&text, arguments)?.await.map(QueryResult::new)
    }

    /// Runs `scope` with a transaction: everything that it executes there happens at once when it ends, or not at all.
    ///
    /// * `Err(error)` rolls back, and is returned.
    /// * `Ok(TransactionCompletionAction::Rollback)` rolls back, `Ok(TransactionCompletionAction::Commit)` commits. Only
    ///   the action by itself counts: a reference to it, or a tuple that holds it, is like any other value.
    /// * `Ok(value)` with any other value commits, and is returned.
    /// * A panic in the scope, and dropping the future, roll back.
    ///
    /// Transactions are serialisable: there is one at a time that can write, and it begins when the writers before it, in
    /// the order in which they came, are done. Waiting does not block the thread. So keep transactions short: do not
    /// wait for a network or a person inside; what other peers send waits as well. A transaction that has been open for
    /// ten seconds is logged, with its hint.
    ///
    /// **Inside the scope, write with the transaction only.** [`execute`](Self::execute) of a statement that changes
    /// documents, or another read-write transaction, would wait for this one, and fails with
    /// `CoreApi(StoreTransactionNested)` instead. A scope that waits for another task that writes cannot be told from
    /// any long one: the other task gives up after a minute. Reading beside the transaction is fine, and sees what was
    /// before it.
    ///
    /// Other peers get what a transaction wrote together, if their subscriptions cover all of it, and it is no more than 20,000
    /// documents and 8 MiB of changes. Of more, or while they are behind, they may see a part, and say so by `catching_up` in
    /// `system:data_sync_info`.
    ///
    /// ```
    /// use dittolive_ditto::prelude::*;
    /// use serde_json::json;
    ///
    /// # fn main() -> Result<(), DittoError> {
    /// # let root = TempRoot::new();
    /// # let config = DittoConfig::new("bank", DittoConfigConnect::SmallPeersOnly { private_key: None })
    /// #     .with_persistence_directory(root.root_path());
    /// # let ditto = Ditto::open_sync(config)?;
    /// # futures::executor::block_on(async {
    /// let store = ditto.store();
    /// store.execute("INSERT INTO accounts DOCUMENTS ({'_id': 'a', 'sum': 10}), ({'_id': 'b', 'sum': 0})").await?;
    ///
    /// let left = store
    ///     .transaction(async |transaction| {
    ///         let take = ("UPDATE accounts SET sum = sum - :n WHERE _id = 'a'", json!({"n": 4}));
    ///         transaction.execute(take).await?;
    ///         let give = ("UPDATE accounts SET sum = sum + :n WHERE _id = 'b'", json!({"n": 4}));
    ///         transaction.execute(give).await?;
    ///         let left = transaction.execute("SELECT sum FROM accounts WHERE _id = 'a'").await?;
    ///         Ok::<_, DittoError>(left.get_item(0).unwrap().json_string())
    ///     })
    ///     .await?;
    /// assert_eq!(left, r#"{"sum":6}"#);
    ///
    /// let action = store
    ///     .transaction(async |transaction| {
    ///         transaction.execute("DELETE FROM accounts").await?;
    ///         Ok::<_, DittoError>(TransactionCompletionAction::Rollback)
    ///     })
    ///     .await?;
    /// assert_eq!(action, TransactionCompletionAction::Rollback);
    /// assert_eq!(store.execute("SELECT * FROM accounts").await?.item_count(), 2);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The scope's own, and converted into them those of beginning and of committing:
    /// - `CoreApi(StoreTransactionNested)`, `CoreApi(StoreTransactionTimeout)`: see above.
    /// - `ReleasedDittoInstance`: the instance is closed, or was closed meanwhile. Closing gives open transactions five
    ///   seconds.
    pub async fn transaction<T, E>(
        &self,
        scope: impl AsyncFnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Any,
        E: From<DittoError>,
    {
        transactions::run(&self.instance, CreateTransactionOptions::new(), scope).await
    }

    /// [`transaction`](Self::transaction) with a hint, or one that only reads: any number of those run side by side, and
    /// beside one that writes, each on the state at its beginning.
    ///
    /// ```no_run
    /// # use dittolive_ditto::prelude::*;
    /// # async fn example(ditto: Ditto) -> Result<(), DittoError> {
    /// let mut options = CreateTransactionOptions::new();
    /// options.is_read_only = true;
    /// options.hint = Some("report");
    /// let (open, paid) = ditto
    ///     .store()
    ///     .transaction_with_options(options, async |transaction| {
    ///         let open = transaction.execute("SELECT * FROM bills WHERE paid = false").await?;
    ///         let paid = transaction.execute("SELECT * FROM bills WHERE paid = true").await?;
    ///         Ok::<_, DittoError>((open.item_count(), paid.item_count()))
    ///     })
    ///     .await?;
    /// # let _ = (open, paid);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As there.
    pub async fn transaction_with_options<T, E>(
        &self,
        options: CreateTransactionOptions<'_>,
        scope: impl AsyncFnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Any,
        E: From<DittoError>,
    {
        transactions::run(&self.instance, options, scope).await
    }

    /// Calls `on_change` with the result of a `SELECT`, and again whenever a commit has changed it, local or synced.
    ///
    /// The first call always comes, after this has returned, maybe with no rows. Calls come one after the other on
    /// threads of the database; changes that happen meanwhile are delivered together in one later call. The handler may
    /// execute statements, and register and cancel observers. A panic in it ends the call, not the observer. It may
    /// block, and others are called meanwhile, as long as fewer than 512 do so at once.
    ///
    /// **The observer ends when the returned handle is dropped.**
    ///
    /// # Errors
    /// When the query does not compile or is something else than a `SELECT`, and with a kind of
    /// `ReleasedDittoInstance` when the instance is closed.
    #[must_use = "the observer ends when this handle is dropped"]
    pub fn register_observer<Q, F>(&self, query: Q, on_change: F) -> Result<Arc<StoreObserver>, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
        F: ChangeHandler,
    {
        let query = query.into_query()?;
        StoreObserver::register(&self.instance, query.into_parts(), dql::one_by_one(on_change))
    }

    /// [`register_observer`](Self::register_observer) with back-pressure: after a call the observer waits until
    /// `signal_next()` is called, from any thread at any time. Never calling it pauses the observer for ever.
    ///
    /// # Errors
    /// As there.
    #[must_use = "the observer ends when this handle is dropped"]
    pub fn register_observer_with_signal_next<Q, F>(
        &self,
        query: Q,
        on_change: F,
    ) -> Result<Arc<StoreObserver>, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
        F: ChangeHandlerWithSignalNext,
    {
        let query = query.into_query()?;
        StoreObserver::register(&self.instance, query.into_parts(), dql::by_signal(on_change))
    }

    /// The observers that are active: a snapshot of handles equal to those from
    /// [`register_observer`](Self::register_observer). Dropping them ends nothing.
    pub fn observers(&self) -> impl '_ + Deref<Target = SetArc<StoreObserver>> {
        let handles =
            self.instance.observers.all().into_iter().map(|state| Arc::new(StoreObserver::listed(state)));
        Box::new(handles.collect::<SetArc<_>>())
    }

    /// What the files with the documents take.
    #[deprecated(note = "use `Ditto::disk_usage`")]
    #[must_use]
    pub fn disk_usage(&self) -> &DiskUsage {
        &self.disk_usage
    }

    /// [`execute`](Self::execute) with arguments that are detached from their type.
    ///
    /// # Errors
    /// As there.
    pub async fn execute_with_args<Q>(
        &self,
        query: Q,
        query_args: Option<QueryArguments>,
    ) -> Result<QueryResult, DittoError>
    where
        Q: IntoQuery<Args = ()>,
    {
        match query_args {
            Some(arguments) => self.execute((query, arguments)).await,
            None => self.execute(query).await,
        }
    }

    /// [`execute`](Self::execute) under its older name.
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use `execute`")]
    pub async fn execute_v2<Q>(&self, query: Q) -> Result<QueryResult, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
    {
        self.execute(query).await
    }

    /// [`register_observer`](Self::register_observer) under its older name.
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use `register_observer`")]
    #[must_use = "the observer ends when this handle is dropped"]
    pub fn register_observer_v2<Q, F>(&self, query: Q, on_change: F) -> Result<Arc<StoreObserver>, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
        F: ChangeHandler,
    {
        self.register_observer(query, on_change)
    }

    /// [`register_observer_with_signal_next`](Self::register_observer_with_signal_next) under its older name.
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use `register_observer_with_signal_next`")]
    #[must_use = "the observer ends when this handle is dropped"]
    pub fn register_observer_with_signal_next_v2<Q, F>(
        &self,
        query: Q,
        on_change: F,
    ) -> Result<Arc<StoreObserver>, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
        F: ChangeHandlerWithSignalNext,
    {
        self.register_observer_with_signal_next(query, on_change)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("observers", &self.observers().len()).finish_non_exhaustive()
    }
}
