//! Whoever sends a copy that lacks something gets it back, although the receiver's own stream may have passed it long ago.
//!
//! What is answered in a storm may be lost with its link; so what counts is what arrives in peace, in the sessions that last until
//! the world is judged.

use ditto_crdt::Sequence;
use ditto_replication::{DocumentKey, PeerId, Replica};

use crate::incident::Incident;
use crate::peer::Peer;
use crate::refusals;
use crate::world::World;

/// A copy arrived that lacks something.
#[derive(Debug)]
pub struct Arrival {
    /// Who sent it.
    pub sender: PeerId,
    /// The document.
    pub key: DocumentKey,
    /// It brought nothing.
    pub is_old: bool,
}

/// What must come back.
#[derive(Debug)]
pub(crate) struct Debt {
    sender: usize,
    receiver: usize,
    key: DocumentKey,
    /// Everything that the receiver knew then.
    known: Vec<u8>,
}

impl World {
    /// Writes down what has arrived at a peer since the last time.
    pub(crate) fn take_stale_copies(&mut self, receiver: usize) {
        let Some(process) = &mut self.peers[receiver].process else { return };
        for Arrival { sender, key, is_old } in process.replica.take_stale_copies() {
            let Some(sender) = self.peer_of(&sender.0) else { continue };
            let Some(process) = &self.peers[receiver].process else { continue };
            let Ok(Some(known)) = process.replica.delta_since(&key, Sequence(0)) else { continue };
            let words = if is_old { "brings nothing, and lacks something" } else { "lacks something" };
            self.note(|| format!("peer {receiver}: the copy of {key:?} of peer {sender} {words}"));
            if is_old {
                self.count(Incident::Stale);
                let links = self.links_of(receiver);
                let link = links.into_iter().find(|link| self.links[*link].other(receiver) == sender);
                let position = link.and_then(|link| self.position(link, sender));
                if position.is_some_and(|position| position >= known.newest) {
                    self.count(Incident::StalePassed);
                }
            }
            if !self.stormy {
                self.debts.push(Debt { sender, receiver, key, known: known.delta });
            }
        }
    }

    /// A session ends: what was on its way back is gone.
    pub(crate) fn forgive(&mut self, ends: [usize; 2]) {
        self.debts.retain(|debt| !(ends.contains(&debt.sender) && ends.contains(&debt.receiver)));
    }
}

/// Everything has come back.
pub fn copies(world: &World, verdicts: &mut Vec<String>) {
    for Debt { sender, receiver, key, known } in &world.debts {
        if lacks(&world.peers[*sender], key, known) {
            verdicts.push(format!(
                "peer {sender} sent a stale copy of {key:?}, and peer {receiver} has not given back what it lacks"
            ));
        }
    }
}

fn lacks(sender: &Peer, key: &DocumentKey, known: &[u8]) -> bool {
    if sender.refuses && refusals::refusal(key).is_some() {
        return false;
    }
    let Some(process) = &sender.process else { return false };
    let Ok(Some(held)) = process.replica.held(key) else { return false };
    // What is dead there comes to life only where it is subscribed to.
    let is_wanted = held.alive
        || sender.wishes.iter().any(|wish| {
            let interest = process.replica.compile(&wish.query, &wish.arguments);
            interest.is_ok_and(|interest| interest.collection == key.collection)
        });
    let merged = process.replica.merged_version(key, known);
    is_wanted && !matches!(merged, Ok(Ok(version)) if version == held.version)
}
