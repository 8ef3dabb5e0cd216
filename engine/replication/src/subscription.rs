//! The subscriptions of this peer, and the names under which their progress is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use ditto_crdt::SiteId;
use ditto_value::{Object, Value};

use crate::event::SubscriptionId;
use crate::known::first_16;
use crate::limits::{MAX_ARGUMENT_BYTES, MAX_QUERY_BYTES};
use crate::replica::{Interest, Replica, ReplicaError};

/// Equal for subscriptions that ask for the same.
pub(crate) type Selection = u128;

/// What is asked for by one or more subscriptions.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    pub(crate) collection: Arc<str>,
    pub(crate) query: String,
    pub(crate) interest: Interest,
    /// CBOR, empty for none.
    pub(crate) arguments: Vec<u8>,
    pub(crate) subscriptions: Vec<SubscriptionId>,
    /// As last seen.
    pub(crate) evictions: u64,
}

/// All subscriptions of this peer, the equal ones together.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    pub(crate) selected: BTreeMap<Selection, Selected>,
    /// From any collection, as last seen.
    evictions: u64,
}

/// What stands for a query with its arguments.
pub(crate) fn selection(normalized: &str, arguments: &[u8]) -> Selection {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(normalized.len() as u64).to_le_bytes());
    hasher.update(normalized.as_bytes());
    hasher.update(arguments);
    first_16(hasher.finalize().as_bytes())
}

impl Subscriptions {
    /// Returns whether something new is asked for.
    pub(crate) fn add(
        &mut self,
        id: SubscriptionId,
        query: &str,
        arguments: &Object,
        replica: &dyn Replica,
    ) -> Result<bool, ReplicaError> {
        let interest = replica.compile(query, arguments)?;
        let arguments = encoded(&interest.normalized, arguments)?;
        let selection = selection(&interest.normalized, &arguments);
        let mut new = false;
        let selected = self.selected.entry(selection).or_insert_with(|| {
            new = true;
            Selected {
                evictions: replica.eviction_count(&interest.collection),
                collection: interest.collection.clone(),
                query: interest.normalized.clone(),
                interest,
                arguments,
                subscriptions: Vec::new(),
            }
        });
        if !selected.subscriptions.contains(&id) {
            selected.subscriptions.push(id);
        }
        Ok(new)
    }

    /// Returns whether something is not asked for any more.
    pub(crate) fn remove(&mut self, id: SubscriptionId) -> bool {
        for selected in self.selected.values_mut() {
            selected.subscriptions.retain(|subscription| *subscription != id);
        }
        let before = self.selected.len();
        self.selected.retain(|_, selected| !selected.subscriptions.is_empty());
        self.selected.len() < before
    }

    /// Looks for evictions since the last look; returns whether there were any.
    pub(crate) fn refresh(&mut self, replica: &dyn Replica) -> bool {
        let total = replica.eviction_total();
        let mut evicted = std::mem::replace(&mut self.evictions, total) != total;
        for selected in self.selected.values_mut() {
            let evictions = replica.eviction_count(&selected.collection);
            evicted |= evictions != selected.evictions;
            selected.evictions = evictions;
        }
        evicted
    }
}

/// Whether a subscription is short enough to travel: what [`Replicator::subscribe`](crate::Replicator::subscribe) says of a query that
/// compiles to this text, for those who cannot wait for it.
///
/// # Errors
/// [`ReplicaError::Query`]: the text is longer than [`MAX_QUERY_BYTES`], or the arguments than [`MAX_ARGUMENT_BYTES`].
pub fn check_lengths(normalized: &str, arguments: &Object) -> Result<(), ReplicaError> {
    encoded(normalized, arguments).map(drop)
}

/// The arguments as they travel.
fn encoded(normalized: &str, arguments: &Object) -> Result<Vec<u8>, ReplicaError> {
    let arguments =
        if arguments.is_empty() { Vec::new() } else { Value::Object(arguments.clone()).to_cbor() };
    check_length("query", normalized.len(), MAX_QUERY_BYTES)?;
    check_length("arguments", arguments.len(), MAX_ARGUMENT_BYTES)?;
    Ok(arguments)
}

/// Nobody takes longer ones from another peer.
fn check_length(what: &str, bytes: usize, most: usize) -> Result<(), ReplicaError> {
    if bytes <= most {
        return Ok(());
    }
    Err(ReplicaError::Query(format!(
        "its {what} take {bytes} bytes, of which at most {most} travel: ask for less, or make several subscriptions of it"
    )))
}

/// The *effective interest*: the name of a checkpoint. Changes with everything that could make an old
/// position untrue: the query, its arguments, evictions, the [decisive](crate::capabilities::decisive) capabilities, and the site under
/// which this peer writes: another machine with its key may have been told what was passed by here.
pub(crate) fn effective_interest(
    selection: Selection,
    evictions: u64,
    capabilities: u64,
    site: SiteId,
) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("ditto-replication 2026 effective interest 2");
    hasher.update(&selection.to_le_bytes());
    hasher.update(&evictions.to_le_bytes());
    hasher.update(&capabilities.to_le_bytes());
    hasher.update(&site.0.to_le_bytes());
    first_16(hasher.finalize().as_bytes()).to_le_bytes()
}
