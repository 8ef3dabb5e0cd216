use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::QueryResult;
use crate::{cbor::CborValue, error::DittoError, ffi, instance::Instance};

/// What an observer calls with each result: any `FnMut(QueryResult)` that may move to another thread.
pub trait ChangeHandler: FnMut(QueryResult) + Send + 'static {}
impl<F: FnMut(QueryResult) + Send + 'static> ChangeHandler for F {}

/// Asks an observer for its next result: `signal_next()`.
pub trait SignalNext: FnOnce() + Send + 'static {}
impl<F: FnOnce() + Send + 'static> SignalNext for F {}

/// What an observer with back-pressure calls with each result: any `FnMut(QueryResult, Box<dyn SignalNext>)` that may
/// move to another thread.
pub trait ChangeHandlerWithSignalNext: FnMut(QueryResult, Box<dyn SignalNext>) + Send + 'static {}
impl<F: FnMut(QueryResult, Box<dyn SignalNext>) + Send + 'static> ChangeHandlerWithSignalNext for F {}

/// A query that is being observed.
///
/// It ends with [`cancel`](Self::cancel), when the handle that `register_observer` gave is dropped, or with the
/// instance. Handles from [`Store::observers`](crate::store::Store::observers) compare equal to that one and do not
/// end it.
pub struct StoreObserver {
    state: Arc<ObserverState>,
    /// This is the handle that `register_observer` gave.
    ends_on_drop: bool,
}

/// What the handles to an observer share.
pub(crate) struct ObserverState {
    id: u64,
    query: String,
    arguments: Option<Box<[u8]>>,
    cancelled: AtomicBool,
    observer: Mutex<Option<ffi::Observer>>,
    instance: Weak<Instance>,
}

impl ObserverState {
    pub(crate) fn cancel(&self) {
        if self.cancelled.swap(true, Ordering::AcqRel) {
            return;
        }
        let observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(observer) = observer {
            observer.cancel();
        }
        if let Some(instance) = self.instance.upgrade() {
            instance.observers.remove(self.id);
        }
    }
}

impl StoreObserver {
    /// Starts to observe. `on_result` gets its first call when this has returned.
    pub(crate) fn register(
        instance: &Arc<Instance>,
        (query, arguments): (String, Option<Box<[u8]>>),
        mut on_result: impl FnMut(QueryResult, ffi::Signal) + Send + 'static,
    ) -> Result<Arc<Self>, DittoError> {
        let registered: Arc<OnceLock<Weak<ObserverState>>> = Arc::default();
        let gate = registered.clone();
        let handler = move |result, signal| {
            // It may have been cancelled between the registration and the moment at which this thread woke up.
            let is_active = |state: Arc<ObserverState>| !state.cancelled.load(Ordering::Acquire);
            if gate.wait().upgrade().is_some_and(is_active) {
                on_result(QueryResult::new(result), signal);
            }
        };
        let observer = instance.peer.observe(&query, arguments.as_deref().unwrap_or_default(), handler)?;
        let state = instance.observers.insert(|id| ObserverState {
            id,
            query,
            arguments,
            cancelled: AtomicBool::new(false),
            observer: Mutex::new(Some(observer)),
            instance: Arc::downgrade(instance),
        });
        if instance.is_closed() {
            state.cancel();
        }
        let _: Result<(), _> = registered.set(Arc::downgrade(&state));
        Ok(Arc::new(Self { state, ends_on_drop: true }))
    }

    /// Another handle, which does not end the observer when it is dropped.
    pub(crate) fn listed(state: Arc<ObserverState>) -> Self {
        Self { state, ends_on_drop: false }
    }

    /// The query as it was given.
    #[must_use]
    pub fn query_string(&self) -> String {
        self.state.query.clone()
    }

    /// The arguments as they were given; `None` when there were none.
    #[must_use]
    pub fn query_arguments(&self) -> Option<CborValue> {
        self.state.arguments.as_deref().and_then(|arguments| crate::cbor::decode(arguments).ok())
    }

    /// Ends the observer: no call of its handler starts after this has returned. Doing it again, or after the instance
    /// was closed, does nothing.
    pub fn cancel(&self) {
        self.state.cancel();
    }

    /// Whether the observer has ended.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::Acquire)
    }
}

impl Drop for StoreObserver {
    fn drop(&mut self) {
        if self.ends_on_drop {
            self.state.cancel();
        }
    }
}

impl PartialEq for StoreObserver {
    fn eq(&self, other: &Self) -> bool {
        self.state.id == other.state.id
    }
}

impl Eq for StoreObserver {}

impl Hash for StoreObserver {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.state.id.hash(hasher);
    }
}

impl fmt::Debug for StoreObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreObserver")
            .field("query", &self.state.query)
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Handles results one after the other: the next one is asked for when the handler has returned, also by a panic.
pub(crate) fn one_by_one(
    mut handler: impl ChangeHandler,
) -> impl FnMut(QueryResult, ffi::Signal) + Send + 'static {
    move |result, signal| {
        let _next = NextOnDrop(Some(signal));
        handler(result);
    }
}

/// Handles results at the pace of the signals that the handler gives. A handler that panics has not decided to pause.
pub(crate) fn by_signal(
    mut handler: impl ChangeHandlerWithSignalNext,
) -> impl FnMut(QueryResult, ffi::Signal) + Send + 'static {
    move |result, signal| {
        let mut paused = NextOnPanic(Some(signal));
        let next = move || {
            if let Some(signal) = paused.0.take() {
                signal.next();
            }
        };
        handler(result, Box::new(next));
    }
}

struct NextOnDrop(Option<ffi::Signal>);

impl Drop for NextOnDrop {
    fn drop(&mut self) {
        if let Some(signal) = self.0.take() {
            signal.next();
        }
    }
}

struct NextOnPanic(Option<ffi::Signal>);

impl Drop for NextOnPanic {
    fn drop(&mut self) {
        if let (true, Some(signal)) = (thread::panicking(), self.0.take()) {
            signal.next();
        }
    }
}
