//! What leaves the filter of a subscription.
//!
//! The change that makes a document leave is delivered like any other, and later ones are too while the peer that sends them knows
//! that it is held here. But whoever asked for the matching ones should hear that it is none of them any more. So whatever
//! another peer sends is looked at before and after it is merged, where a filter asks for documents of that collection.

use std::collections::{BTreeMap, HashMap};

use ditto_value::ValueRef;

use crate::event::Event;
use crate::replica::{Applied, DocumentKey, Incoming, Interest, Replica, ReplicaError};
use crate::subscription::{Selected, Selection};
use crate::turn::{Counterpart, Turn};

/// Has the replica apply what the other peer sent, and reports what left a filter with it.
pub(crate) fn apply(
    incoming: Incoming,
    counterpart: &mut Counterpart,
    turn: &mut Turn<'_>,
) -> Result<Applied, ReplicaError> {
    let matching = matching(&incoming, turn)?;
    let applied = turn.replica.apply(incoming)?;
    let mut left: BTreeMap<Selection, Vec<DocumentKey>> = BTreeMap::new();
    for Matching { index, key, selections } in matching {
        match applied.outcomes.get(index) {
            Some(Ok(outcome)) if outcome.before != Some(outcome.after) => {}
            _ => continue,
        }
        for selection in selections {
            let Some(selected) = turn.subscriptions.selected.get(&selection) else { continue };
            if matches(turn.replica, &key, &selected.interest)? == Some(false) {
                left.entry(selection).or_default().push(key.clone());
            }
        }
    }
    for (selection, keys) in left {
        let Some(selected) = turn.subscriptions.selected.get(&selection) else { continue };
        counterpart.statistics.documents_left += keys.len() as u64;
        for subscription in &selected.subscriptions {
            turn.events.push_back(Event::DocumentsLeft {
                session: counterpart.session,
                remote: counterpart.remote,
                subscription: *subscription,
                keys: keys.clone(),
            });
        }
    }
    Ok(applied)
}

/// A document that filters ask for as it is now.
struct Matching {
    /// Its place among those that arrive.
    index: usize,
    key: DocumentKey,
    selections: Vec<Selection>,
}

fn matching(incoming: &Incoming, turn: &Turn<'_>) -> Result<Vec<Matching>, ReplicaError> {
    let mut filters: HashMap<&str, Vec<(Selection, &Selected)>> = HashMap::new();
    for (selection, selected) in turn.subscriptions.selected.iter() {
        if !selected.interest.unfiltered {
            filters.entry(&selected.interest.collection).or_default().push((*selection, selected));
        }
    }
    let mut found = Vec::new();
    for (index, document) in incoming.documents.iter().enumerate() {
        let Some(filters) = filters.get(&*document.key.collection) else { continue };
        let Some(stored) = turn.replica.document(&document.key)?.filter(|stored| stored.alive) else {
            continue;
        };
        let value = ValueRef::from_stored(&stored.value);
        let asking = filters.iter().filter(|(_, selected)| (selected.interest.matcher)(value));
        let selections: Vec<Selection> = asking.map(|(selection, _)| *selection).collect();
        if !selections.is_empty() {
            found.push(Matching { index, key: document.key.clone(), selections });
        }
    }
    Ok(found)
}

/// `None` if there is no such document, or no more.
fn matches(
    replica: &dyn Replica,
    key: &DocumentKey,
    interest: &Interest,
) -> Result<Option<bool>, ReplicaError> {
    let stored = replica.document(key)?.filter(|stored| stored.alive);
    Ok(stored.map(|stored| (interest.matcher)(ValueRef::from_stored(&stored.value))))
}
