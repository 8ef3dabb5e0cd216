//! What leaves a filter is reported to who subscribed with it: by whatever way the change has come that makes it leave, once for each
//! such change, and nothing else is.
//!
//! That the change comes at all is for [`coverage`](super::coverage) to see.

use ditto_replication::{DocumentKey, Event, Incoming, Interest, Replica, SubscriptionId};
use ditto_value::ValueRef;

use crate::incident::{Incident, count};
use crate::world::World;

/// A document that has left the filter of a subscription.
pub(crate) type Leaving = (SubscriptionId, DocumentKey);

/// The filters that a peer subscribes with, and what has left them and was not reported yet.
#[derive(Default)]
pub(crate) struct Filters {
    filters: Vec<(SubscriptionId, Interest)>,
    left: Vec<Leaving>,
}

impl Filters {
    /// A subscription begins.
    pub(crate) fn add(&mut self, id: SubscriptionId, interest: Interest) {
        if !interest.unfiltered {
            self.filters.push((id, interest));
        }
    }

    /// A subscription ends.
    pub(crate) fn remove(&mut self, id: SubscriptionId) {
        self.filters.retain(|(other, _)| *other != id);
    }

    /// Which documents of those that have arrived are asked for as they are here.
    pub(crate) fn asking(&self, incoming: &Incoming, replica: &impl Replica) -> Vec<Leaving> {
        let mut asking = Vec::new();
        for (id, filter) in &self.filters {
            let keys = incoming.documents.iter().map(|document| &document.key);
            let asked = keys.filter(|key| is_asked_for(key, filter, replica) == Some(true));
            asking.extend(asked.map(|key| (*id, key.clone())));
        }
        asking
    }

    /// Those are as they arrived.
    pub(crate) fn applied(&mut self, asked: Vec<Leaving>, replica: &impl Replica) {
        let has_left = |(id, key): &Leaving| {
            let filter = self.filters.iter().find(|(other, _)| other == id);
            filter.is_some_and(|(_, filter)| is_asked_for(key, filter, replica) == Some(false))
        };
        let left: Vec<Leaving> = asked.into_iter().filter(has_left).collect();
        self.left.extend(left);
    }
}

/// `None` if there is no such document in its collection.
fn is_asked_for(key: &DocumentKey, filter: &Interest, replica: &impl Replica) -> Option<bool> {
    if key.collection != filter.collection {
        return None;
    }
    let stored = replica.document(key).ok().flatten().filter(|stored| stored.alive)?;
    Some((filter.matcher)(ValueRef::from_stored(&stored.value)))
}

impl World {
    /// Compares what has left the filters of a peer since the last time with what was reported.
    pub(crate) fn look_at_leavings(&mut self, peer: usize, events: &[Event]) {
        let Some(process) = &mut self.peers[peer].process else { return };
        let mut expected = std::mem::take(&mut process.replica.filters.left);
        let mut reported = Vec::new();
        for event in events {
            if let Event::DocumentsLeft { subscription, keys, .. } = event {
                reported.extend(keys.iter().map(|key| (*subscription, key.clone())));
            }
        }
        count(&mut self.tally, Incident::Left, expected.len() as u64);
        expected.sort();
        reported.sort();
        if expected != reported {
            self.verdicts.push(format!(
                "at {} {expected:?} has left filters of peer {peer}, and {reported:?} is reported",
                self.now
            ));
        }
    }
}
