//! What does not travel does not travel, whoever asks for it, and in whatever words.

use ditto_crdt::Sequence;
use ditto_replication::Replica;

use crate::intruder::{COLLECTION, LIE};
use crate::peer::Peer;
use crate::world::World;

/// Collections and ids of everything that a peer has heard of.
fn names(peer: &Peer) -> Vec<(String, String)> {
    let Some(process) = &peer.process else { return Vec::new() };
    let changes = process.replica.changes(Sequence(0), Sequence(u64::MAX), usize::MAX).unwrap_or_default();
    let name = |key: ditto_replication::DocumentKey| {
        let (id, _) = ditto_value::key::decode(&key.id).ok()?;
        Some((key.collection.to_string(), id.as_str()?.to_owned()))
    };
    changes.into_iter().filter_map(|change| name(change.key)).collect()
}

/// Beside the collection that travels to and from an intruder nobody has a document of it, and it has none of others.
pub fn of_the_intruder(world: &World, verdicts: &mut Vec<String>) {
    let Some(intruder) = &world.intruder else { return };
    let of_others = |peer: &Peer| names(peer).into_iter().filter(|(collection, _)| collection != COLLECTION);
    for peer in &world.peers {
        for (collection, id) in of_others(peer).filter(|(_, id)| id.starts_with(LIE)) {
            verdicts.push(format!("{collection}/{id} of the intruder is at peer {}", peer.number));
        }
    }
    for (collection, id) in of_others(&intruder.peer).filter(|(_, id)| !id.starts_with(LIE)) {
        verdicts.push(format!("{collection}/{id} has reached the intruder"));
    }
}
