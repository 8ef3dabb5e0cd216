use std::{
    cmp::Ordering as Order,
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;

use crate::{
    cbor::{self, CborValue},
    dql::Query,
    error::DittoError,
    ffi,
    instance::Instance,
};

/// What this peer asks other peers for.
///
/// Dropping it changes nothing; it ends with [`cancel`](Self::cancel) or with the instance.
pub struct SyncSubscription {
    state: Arc<SubscriptionState>,
}

/// What the handles to a subscription share.
pub(crate) struct SubscriptionState {
    id: u64,
    query: String,
    arguments: Option<Box<[u8]>>,
    arguments_json: Option<String>,
    cancelled: AtomicBool,
    subscription: ffi::Subscription,
    instance: Weak<Instance>,
}

impl SubscriptionState {
    pub(crate) fn cancel(&self) {
        if self.cancelled.swap(true, Ordering::AcqRel) {
            return;
        }
        self.subscription.cancel();
        if let Some(instance) = self.instance.upgrade() {
            instance.subscriptions.remove(self.id);
        }
    }
}

impl SyncSubscription {
    pub(super) fn register<A: Serialize>(
        instance: &Arc<Instance>,
        query: Query<A>,
    ) -> Result<Self, DittoError> {
        let subscription = instance.peer.subscribe(query.text(), query.encoded_arguments())?;
        let arguments_json = query.arguments_json();
        let (query, arguments) = query.into_parts();
        let state = instance.subscriptions.insert(|id| SubscriptionState {
            id,
            query,
            arguments,
            arguments_json,
            cancelled: AtomicBool::new(false),
            subscription,
            instance: Arc::downgrade(instance),
        });
        if instance.is_closed() {
            state.cancel();
        }
        Ok(Self { state })
    }

    pub(super) fn listed(state: Arc<SubscriptionState>) -> Self {
        Self { state }
    }

    /// The query as it was given.
    #[must_use]
    pub fn query_string(&self) -> String {
        self.state.query.clone()
    }

    /// The arguments as they were given; `None` when there were none.
    #[must_use]
    pub fn query_arguments(&self) -> Option<CborValue> {
        self.state.arguments.as_deref().and_then(|arguments| cbor::decode(arguments).ok())
    }

    /// The arguments in CBOR; `None` when there were none.
    #[must_use]
    pub fn query_arguments_cbor_data(&self) -> Option<Vec<u8>> {
        self.state.arguments.as_deref().map(<[u8]>::to_vec)
    }

    /// The arguments in JSON, with members in the order in which they were given; `None` when there were none.
    #[must_use]
    pub fn query_arguments_json_str(&self) -> Option<String> {
        self.state.arguments_json.clone()
    }

    /// Ends the subscription. Documents that have arrived stay. Doing it again, or after the instance was closed, does
    /// nothing.
    pub fn cancel(&self) {
        self.state.cancel();
    }

    /// Whether the subscription has ended.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::Acquire)
    }
}

impl PartialEq for SyncSubscription {
    fn eq(&self, other: &Self) -> bool {
        self.state.id == other.state.id
    }
}

impl Eq for SyncSubscription {}

impl PartialOrd for SyncSubscription {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl Ord for SyncSubscription {
    fn cmp(&self, other: &Self) -> Order {
        self.state.id.cmp(&other.state.id)
    }
}

impl Hash for SyncSubscription {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.state.id.hash(hasher);
    }
}

impl fmt::Display for SyncSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subscription {}: {}", self.state.id, self.state.query)
    }
}

impl fmt::Debug for SyncSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSubscription")
            .field("id", &self.state.id)
            .field("query", &self.state.query)
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
