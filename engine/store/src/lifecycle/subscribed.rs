//! What this peer subscribes to, as far as EVICT must know it: what is evicted comes back while a subscription asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::replica::Interest;

/// The subscriptions of this peer by their number.
#[derive(Default)]
pub(crate) struct Subscribed(RwLock<BTreeMap<u64, Subscription>>);

/// A query that other peers serve.
#[derive(Clone)]
pub(crate) struct Subscription {
    /// As the application wrote it.
    pub(crate) query: Arc<str>,
    pub(crate) interest: Interest,
}

impl Subscribed {
    pub(crate) fn add(&self, number: u64, subscription: Subscription) {
        self.0.write().insert(number, subscription);
    }

    pub(crate) fn remove(&self, number: u64) {
        self.0.write().remove(&number);
    }

    /// The subscriptions to documents of a collection.
    pub(crate) fn of(&self, collection: &str) -> Vec<Subscription> {
        let all = self.0.read();
        all.values()
            .filter(|subscription| &*subscription.interest.collection == collection)
            .cloned()
            .collect()
    }
}
