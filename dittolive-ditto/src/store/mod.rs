//! The documents of this peer: [`Store`].

mod document_id;
mod set_arc;

use std::{fmt, ops::Deref, sync::Arc};

use serde::Serialize;

pub use self::{
    document_id::{DocumentId, StringPrimitiveFormat},
    set_arc::SetArc,
};
#[doc(hidden)]
pub use crate::dql;
use crate::{
    dql::{
        ChangeHandler, ChangeHandlerWithSignalNext, IntoQuery, QueryArguments, QueryResult, StoreObserver,
    },
    error::DittoError,
    instance::Instance,
};

/// The documents of this peer, from [`Ditto::store`](crate::Ditto::store).
///
/// It is a cheap handle that may be cloned and may outlive the instance; then it answers with errors of the kind
/// `ReleasedDittoInstance`.
#[derive(Clone)]
pub struct Store {
    instance: Arc<Instance>,
}

impl Store {
    pub(crate) fn new(instance: Arc<Instance>) -> Self {
        Self { instance }
    }

    /// Runs a DQL statement on the local documents. It never waits for the network.
    ///
    /// The work is done when the future is first polled, on the polling thread, without an async runtime; a runtime that
    /// must not block runs it on its threads for that. What a statement wrote survives a crash of the process when
    /// this returns.
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
    /// - `ReleasedDittoInstance`: the instance is closed.
    pub async fn execute<Q>(&self, query: Q) -> Result<QueryResult, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
    {
        let query = query.into_query()?;
        self.instance.peer.execute(query.text(), query.encoded_arguments()).map(QueryResult::new)
    }

    /// Calls `on_change` with the result of a `SELECT`, and again whenever a commit has changed it, local or synced.
    ///
    /// The first call always comes, after this has returned, maybe with no rows. Calls come one after the other on
    /// threads of the database; changes that happen meanwhile are delivered together in one later call. The handler may
    /// execute statements, and register and cancel observers. A panic in it ends the call, not the observer.
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
