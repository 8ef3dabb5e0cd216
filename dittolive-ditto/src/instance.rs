//! What the parts of an open instance share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{dql::ObserverState, ffi, sync::SubscriptionState};

/// An open instance, or what is left of it after [`close`](Self::close): handles that answer with errors.
pub(crate) struct Instance {
    pub(crate) peer: ffi::Peer,
    pub(crate) observers: Registry<ObserverState>,
    pub(crate) subscriptions: Registry<SubscriptionState>,
    closed: AtomicBool,
}

impl Instance {
    pub(crate) fn new(peer: ffi::Peer) -> Self {
        Self {
            peer,
            observers: Registry::default(),
            subscriptions: Registry::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Ends everything and unlocks the directory. Blocks until that is done.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.peer.stop_sync();
        for observer in self.observers.all() {
            observer.cancel();
        }
        for subscription in self.subscriptions.all() {
            subscription.cancel();
        }
        self.peer.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// What is registered with an instance, by an id that no other registration of the process has.
pub(crate) struct Registry<T>(Mutex<BTreeMap<u64, Arc<T>>>);

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl<T> Registry<T> {
    pub(crate) fn insert(&self, make: impl FnOnce(u64) -> T) -> Arc<T> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(make(id));
        self.lock().insert(id, entry.clone());
        entry
    }

    pub(crate) fn remove(&self, id: u64) {
        // Dropped outside of the lock: a drop may run code of the application.
        let removed = self.lock().remove(&id);
        drop(removed);
    }

    /// In the order of registration.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
