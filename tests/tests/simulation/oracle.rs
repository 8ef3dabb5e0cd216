//! What must hold once the storm is over.

use std::collections::BTreeMap;

use ditto_crdt::Sequence;
use ditto_replication::{DocumentKey, Event, Replica};
use ditto_value::ValueRef;

use super::World;
use super::peer::{Peer, Promise};

/// A second meeting without change may cost this much, with a few subscriptions …
const QUIET_BYTES: u64 = 1_024;
/// … and this much more with each further one.
const BYTES_PER_SUBSCRIPTION: u64 = 100;
const FEW_SUBSCRIPTIONS: u64 = 4;
/// How long a message takes at most.
const LONGEST_MESSAGE_MS: u64 = 2_000;

/// Everything that is wrong with a world at rest; empty if nothing is.
pub fn judge(world: &mut World) -> Vec<String> {
    let mut verdicts = Vec::new();
    for peer in &world.peers {
        sessions(peer, &mut verdicts);
        storage(peer, &mut verdicts);
    }
    let [first, second] = &world.peers;
    covered(first, second, &mut verdicts);
    covered(second, first, &mut verdicts);
    promises(first, second, &mut verdicts);
    promises(second, first, &mut verdicts);
    world.meet();
    let bytes = world.meet();
    clocks(world, &mut verdicts);
    let subscriptions: u64 = world.peers.iter().map(|peer| peer.wishes.len() as u64).sum();
    let further = subscriptions.saturating_sub(FEW_SUBSCRIPTIONS);
    if bytes >= QUIET_BYTES + further * BYTES_PER_SUBSCRIPTION {
        verdicts.push(format!("a meeting without change took {bytes} bytes"));
    }
    verdicts
}

/// Nobody broke the protocol, and nobody was taken for a copy.
fn sessions(peer: &Peer, verdicts: &mut Vec<String>) {
    for event in &peer.events {
        match event {
            Event::SessionFailed { reason, .. } => {
                let text = reason.to_string();
                if text.contains("protocol") {
                    verdicts.push(format!("peer {}: {event:?}", peer.number));
                }
            }
            Event::ForkDetected { .. }
            | Event::DocumentRefused { .. }
            | Event::SubscriptionRefused { .. } => {
                verdicts.push(format!("peer {}: {event:?}", peer.number));
            }
            _ => {}
        }
    }
}

/// Each peer knows how wrong the clock of the other is, or its own.
fn clocks(world: &World, verdicts: &mut Vec<String>) {
    for peer in &world.peers {
        let expected = world.peers[1 - peer.number].skew - peer.skew;
        let skews = peer.process.as_ref().map(|process| process.store.clock_skews()).unwrap_or_default();
        let known = skews.first().and_then(|skew| skew.difference_ms);
        if known.is_none_or(|known| known.abs_diff(expected) > LONGEST_MESSAGE_MS) {
            verdicts.push(format!("peer {} measures {known:?}, not {expected}", peer.number));
        }
    }
}

fn storage(peer: &Peer, verdicts: &mut Vec<String>) {
    let Some(process) = &peer.process else {
        return verdicts.push(format!("peer {} is down", peer.number));
    };
    match process.store.verify() {
        Ok(verified) if verified.inconsistent == 0 => {}
        other => verdicts.push(format!("the store of peer {}: {other:?}", peer.number)),
    }
}

/// Every document that the change log of a peer names.
fn documents(peer: &Peer) -> BTreeMap<DocumentKey, Sequence> {
    let Some(process) = &peer.process else { return BTreeMap::new() };
    let changes = process.replica.changes(Sequence(0), Sequence(u64::MAX), usize::MAX).unwrap_or_default();
    changes.into_iter().map(|change| (change.key, change.sequence)).collect()
}

/// The subscriber holds everything that the publisher knows of what it subscribes to.
fn covered(publisher: &Peer, subscriber: &Peer, verdicts: &mut Vec<String>) {
    let (Some(from), Some(to)) = (&publisher.process, &subscriber.process) else { return };
    let interests: Vec<_> = subscriber
        .wishes
        .iter()
        .filter_map(|wish| from.replica.compile(&wish.query, &wish.arguments).ok())
        .collect();
    for key in documents(publisher).into_keys() {
        let Ok(Some(stored)) = from.replica.document(&key) else { continue };
        let value = ValueRef::from_stored(&stored.value);
        let wanted =
            interests.iter().any(|interest| interest.unfiltered || stored.alive && (interest.matcher)(value));
        let held = to.replica.document(&key).ok().flatten();
        // What a subscriber holds it hears of to the end, whether or not it still matches.
        if !wanted && (held.is_none() || interests.is_empty()) {
            continue;
        }
        let Some(held) = held else {
            let numbers = (publisher.number, subscriber.number);
            verdicts.push(format!("{key:?} of peer {} did not arrive at {}", numbers.0, numbers.1));
            continue;
        };
        let Ok(Some(whole)) = from.replica.delta_since(&key, Sequence(0)) else { continue };
        let merged = to.replica.merged_version(&key, &whole.delta);
        if !matches!(&merged, Ok(Ok(version)) if *version == held.version) {
            let (from, to) = (publisher.document(&id(&key)), subscriber.document(&id(&key)));
            verdicts.push(format!(
                "{key:?}: peer {} has {from:?}, peer {} has {to:?}",
                publisher.number, subscriber.number
            ));
        }
    }
}

fn id(key: &DocumentKey) -> String {
    ditto_value::key::decode(&key.id)
        .ok()
        .and_then(|(value, _)| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// What a peer wrote durably is there, at itself and wherever the document is.
fn promises(author: &Peer, other: &Peer, verdicts: &mut Vec<String>) {
    for promise in author.promises.keys() {
        for peer in [author, other] {
            let broken = match promise {
                Promise::Field(id, field) => match peer.document(id) {
                    Some(document) => {
                        let reaches = peer.number == author.number || !other.wishes.is_empty();
                        reaches && document.get(field).is_none()
                    }
                    None => peer.number == author.number,
                },
                Promise::Deletion(id) => {
                    let reaches = peer.number == author.number || !other.wishes.is_empty();
                    reaches && peer.document(id).is_some()
                }
            };
            if broken {
                let place = (author.number, peer.number);
                verdicts.push(format!("{promise:?} of peer {} does not hold at peer {}", place.0, place.1));
            }
        }
    }
}
