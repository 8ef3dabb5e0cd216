//! Documents that some peers refuse: not permitted there, or larger than what they take. They are written beside one with what this
//! build does not know and one that everybody takes, so that they travel together; nothing else is refused, and nothing waits for them.
//!
//! What refuses them stands between the protocol and the store, which has no such limits of its own.

use ditto_replication::{DocumentKey, Event, Incoming, Outcome, Refused, Replica};
use ditto_store::StoreError;
use ditto_value::{Object, Value};

use crate::incident::{Incident, count};
use crate::peer::Peer;
use crate::world::World;

/// How the ids begin of what is not permitted, and of what is too large.
const NOT_PERMITTED: &str = "refused-";
const TOO_LARGE: &str = "oversized-";
/// How many words those have.
const WORDS: usize = 1_000;

fn has(key: &DocumentKey, beginning: &str) -> bool {
    let id = ditto_value::key::decode(&key.id).map(|(id, _)| id);
    !key.is_by_hash() && id.is_ok_and(|id| id.as_str().is_some_and(|id| id.starts_with(beginning)))
}

/// Why a peer that refuses something does not take a document, if it does not.
pub(crate) fn refusal(key: &DocumentKey) -> Option<Refused> {
    if has(key, NOT_PERMITTED) {
        return Some(Refused::NotPermitted("by the simulation".to_owned()));
    }
    has(key, TOO_LARGE).then(|| Refused::TooLarge("for the simulation".to_owned()))
}

/// Takes out of what has arrived what is refused, with its places.
pub(crate) fn take_out(incoming: &mut Incoming) -> Vec<(usize, Result<Outcome, Refused>)> {
    let mut refused = Vec::new();
    let documents = std::mem::take(&mut incoming.documents);
    for (place, document) in documents.into_iter().enumerate() {
        match refusal(&document.key) {
            Some(refusal) => refused.push((place, Err(refusal))),
            None => incoming.documents.push(document),
        }
    }
    refused
}

impl World {
    /// Inserts one document of each kind, and one that everybody takes.
    ///
    /// # Errors
    /// Those of the store.
    pub fn write_what_is_refused(&mut self, peer: usize) -> Result<(), StoreError> {
        for beginning in [NOT_PERMITTED, "taken-", TOO_LARGE] {
            self.counter += 1;
            let id = format!("{beginning}{peer}-{}", self.counter);
            let light = (self.counter % 5) as i64;
            let mut document = Object::from([("_id", Value::from(id)), ("light", Value::from(light))]);
            if beginning == TOO_LARGE {
                document.insert("rings", "ring ".repeat(WORDS));
            }
            let arguments = Object::from([("d", Value::from(document))]);
            self.execute(peer, "INSERT INTO plants DOCUMENTS (:d)", &arguments)?;
        }
        Ok(())
    }

    /// Whether a peer may say that it refuses that.
    pub(crate) fn expects_refusal(&mut self, peer: usize, key: &DocumentKey) -> bool {
        let expects = self.peers[peer].refuses && refusal(key).is_some();
        count(&mut self.tally, Incident::Refusal, u64::from(expects));
        expects
    }
}

/// Whether a peer has said that it refuses a document.
pub(crate) fn has_reported(peer: &Peer, refused: &DocumentKey) -> bool {
    let is_that = |event: &Event| matches!(event, Event::DocumentRefused { key, .. } if key == refused);
    peer.events.iter().any(is_that)
}

/// What a neighbour asks for and refuses it has said that it refuses, unless it holds it.
pub fn reports(world: &World, verdicts: &mut Vec<String>) {
    for link in &world.links {
        for [from, to] in [link.ends, [link.ends[1], link.ends[0]]] {
            let (publisher, subscriber) = (&world.peers[from], &world.peers[to]);
            let (Some(process), Some(other)) = (&publisher.process, &subscriber.process) else { continue };
            // A commit that failed may be on the disk all the same: then its checkpoint has passed what nobody was told of.
            if !subscriber.refuses || subscriber.has_failed {
                continue;
            }
            let asks = |query: &str| subscriber.wishes.iter().any(|wish| wish.query == query);
            let changes =
                process.replica.changes(ditto_crdt::Sequence(0), ditto_crdt::Sequence(u64::MAX), usize::MAX);
            for change in changes.unwrap_or_default() {
                let key = &change.key;
                let is_held = || matches!(other.replica.held(key), Ok(Some(_)));
                if refusal(key).is_some()
                    && asks("SELECT * FROM plants")
                    && !has_reported(subscriber, key)
                    && !is_held()
                {
                    verdicts.push(format!("peer {to} neither holds nor refuses {key:?} of peer {from}"));
                }
            }
        }
    }
}
