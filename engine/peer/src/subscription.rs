//! The application's interest in data of other peers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ditto_replication::SubscriptionId;
use ditto_store::{Store, WeakStore};
use tokio::sync::mpsc;

use crate::hub::Command;

/// Asks other peers for the documents that a query matches, until it is cancelled or the peer closes.
/// Dropping the handle does not cancel it.
#[derive(Clone, Debug)]
pub struct Subscription(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: SubscriptionId,
    cancelled: AtomicBool,
    commands: mpsc::WeakUnboundedSender<Command>,
    store: WeakStore,
}

impl Subscription {
    pub(crate) fn new(id: SubscriptionId, commands: &mpsc::UnboundedSender<Command>, store: &Store) -> Self {
        let (commands, store) = (commands.downgrade(), store.downgrade());
        Self(Arc::new(Inner { id, cancelled: AtomicBool::new(false), commands, store }))
    }

    /// Ends the interest; documents that are here stay. Doing it twice, or after the peer was closed, does nothing.
    pub fn cancel(&self) {
        if self.0.cancelled.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(store) = self.0.store.upgrade() {
            store.unsubscribed(self.0.id.0);
        }
        if let Some(commands) = self.0.commands.upgrade() {
            // A sync thread that is gone has no subscriptions either.
            let _ = commands.send(Command::Unsubscribe(self.0.id));
        }
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }
}
