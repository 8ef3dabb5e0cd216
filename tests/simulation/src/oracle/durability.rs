//! What applications were told is done is done.

use std::collections::BTreeSet;

use ditto_value::{Object, Value};

use crate::births;
use crate::contested::{self, Write};
use crate::intruder;
use crate::ledger::{Promise, Register};
use crate::newer::lacks_the_unknown;
use crate::oracle;
use crate::peer::Peer;
use crate::world::World;

/// What a peer wrote durably is there, at itself and wherever it must have arrived.
pub fn promises(world: &World, verdicts: &mut Vec<String>) {
    for author in &world.peers {
        let joined = world.joined(author.number);
        let reached = oracle::reached_by_plants(world, author.number);
        for promise in author.ledger.promises() {
            for peer in joined.iter().map(|number| &world.peers[*number]) {
                if broken(world, peer, promise, reached.contains(&peer.number)) {
                    let place = (author.number, peer.number);
                    verdicts
                        .push(format!("{promise:?} of peer {} does not hold at peer {}", place.0, place.1));
                }
            }
        }
    }
}

/// Whether a promise does not hold at a peer where it must. Others than those who must know of it know of what they hold if there
/// are but two peers, and the other wants anything.
fn broken(world: &World, peer: &Peer, promise: &Promise, must_know: bool) -> bool {
    let wants_any = peer.wishes.iter().any(|wish| *wish != intruder::wish());
    if !must_know && (world.peers.len() != 2 || !wants_any) {
        return false;
    }
    match promise {
        Promise::Field(id, field) => match peer.document(id) {
            Some(document) => document.get(field).is_none(),
            None => must_know,
        },
        Promise::Deletion(id) => peer.document(id).is_some(),
        Promise::Unknown(id) if peer.document(id).is_some() => lacks_the_unknown(peer, id),
        Promise::Unknown(_) => must_know,
        Promise::Birth(id, birth) => {
            must_know && !world.deleted_births.contains(birth) && !births::is_whole(peer, id, *birth)
        }
    }
}

/// Every increment that was acknowledged and not lost with its disk counts once, at everybody who holds the counter; and it must be
/// seen by whoever subscribes to it, of those who do as well and are joined to it by such. Who does not may have evicted what it
/// counted itself.
pub fn counters(world: &World, verdicts: &mut Vec<String>) {
    let counters: BTreeSet<String> = world.peers.iter().flat_map(|peer| peer.ledger.counters()).collect();
    for peer in world.peers.iter().filter(|peer| !world.gone.contains(&peer.number)) {
        let must_know = oracle::subscribes_to_plants(peer);
        let told = if must_know { oracle::reached_by_plants(world, peer.number) } else { BTreeSet::new() };
        for counter in &counters {
            let (mut certain, mut least, mut most) = (0, 0, 0);
            for author in &world.peers {
                let counted = author.ledger.counted(counter, told.contains(&author.number));
                certain += counted.certain;
                least += counted.least;
                most += counted.most;
            }
            let value = peer.document(counter).and_then(|document| number(document.get("visits")?));
            // The document may be lost with the disk that it was on, before anybody had heard of it.
            let lost = value.is_none() && certain == 0 && (least, most) != (0, 0);
            if !lost && !(least..=most).contains(&value.unwrap_or(0)) {
                let number = peer.number;
                verdicts.push(format!("{counter} is {value:?} at peer {number}, not {least} to {most}"));
            }
        }
    }
}

/// What its only writer wrote last is seen at itself, and wherever it must have arrived.
pub fn registers(world: &World, verdicts: &mut Vec<String>) {
    for author in &world.peers {
        let reached = oracle::reached_by_plants(world, author.number);
        let subscribers = oracle::reached_by_transactions(world, author.number);
        for (register, possible) in author.ledger.registers() {
            let reached = if register.collection != "plants" { &subscribers } else { &reached };
            let reaches = |peer: &&Peer| reached.contains(&peer.number);
            for peer in world.peers.iter().filter(reaches) {
                let seen = seen(peer, register);
                if !possible.contains(&seen) {
                    let Register { document, field, .. } = register;
                    verdicts.push(format!(
                        "{field} of {document} is {seen:?} at peer {}, which is not what was written last: {possible:?}",
                        peer.number
                    ));
                }
            }
        }
    }
}

/// Of a register that everybody writes, the acknowledged write with the greatest stamp is seen, or a later one, at whoever must have
/// heard of it: of a write that came away with an older image, or failed, it may have heard.
pub fn contested(world: &World, verdicts: &mut Vec<String>) {
    let writes = |author: &Peer| author.ledger.contested().to_vec();
    let writes: Vec<(usize, Write)> = world
        .peers
        .iter()
        .flat_map(|author| writes(author).into_iter().map(|write| (author.number, write)))
        .collect();
    let documents: BTreeSet<&String> = writes.iter().map(|(_, write)| &write.document).collect();
    let reached: Vec<BTreeSet<usize>> =
        world.peers.iter().map(|author| oracle::reached_by_plants(world, author.number)).collect();
    for peer in world.peers.iter().filter(|peer| !world.gone.contains(&peer.number)) {
        for document in &documents {
            let seen = peer.document(document).and_then(|document| number(document.get("bed")?));
            let of_document = writes.iter().filter(|(_, write)| write.document == **document);
            let known = of_document.map(|(author, write)| {
                (write, write.sequence.is_some() && reached[*author].contains(&peer.number))
            });
            if let Some(wrong) = contested::wrong(seen, known) {
                verdicts.push(format!("`bed` of {document} is {seen:?} at peer {}, {wrong}", peer.number));
            }
        }
    }
}

fn seen(peer: &Peer, register: &Register) -> Option<i64> {
    let query = format!("SELECT * FROM {} WHERE _id = :id", register.collection);
    let rows = peer.rows(&query, &Object::from([("id", register.document.as_str())]));
    rows.first().and_then(|row| number(row.get(&register.field)?))
}

fn number(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i64))
}
