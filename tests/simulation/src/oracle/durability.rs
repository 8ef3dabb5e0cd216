//! What applications were told is done is done.

use std::collections::BTreeSet;

use ditto_value::{Object, Value};

use crate::births;
use crate::intruder;
use crate::ledger::{Promise, Register};
use crate::newer::lacks_the_unknown;
use crate::oracle;
use crate::peer::Peer;
use crate::world::{Wanting, World};

/// What a peer wrote durably is there, at itself and wherever it must have arrived.
pub fn promises(world: &World, verdicts: &mut Vec<String>) {
    for author in &world.peers {
        let joined = world.joined(author.number);
        for promise in author.ledger.promises() {
            for peer in joined.iter().map(|number| &world.peers[*number]) {
                if broken(world, author, peer, promise) {
                    let place = (author.number, peer.number);
                    verdicts
                        .push(format!("{promise:?} of peer {} does not hold at peer {}", place.0, place.1));
                }
            }
        }
    }
}

/// Whether a promise does not hold at a peer where it must. Others than the author must know of it if everybody wants
/// everything; or if there are but two peers, and the other wants anything.
fn broken(world: &World, author: &Peer, peer: &Peer, promise: &Promise) -> bool {
    let own = author.number == peer.number;
    let all = world.wanting == Wanting::Everything;
    let wants_any = peer.wishes.iter().any(|wish| *wish != intruder::wish());
    if !own && !all && (world.peers.len() != 2 || !wants_any) {
        return false;
    }
    match promise {
        Promise::Field(id, field) => match peer.document(id) {
            Some(document) => document.get(field).is_none(),
            None => own || all,
        },
        Promise::Deletion(id) => peer.document(id).is_some(),
        Promise::Unknown(id) if peer.document(id).is_some() => lacks_the_unknown(peer, id),
        Promise::Unknown(_) => own || all,
        Promise::Birth(id, birth) => {
            (own || all) && !world.deleted_births.contains(birth) && !births::is_whole(peer, id, *birth)
        }
    }
}

/// Every increment that was acknowledged and not lost with its disk counts once, at everybody.
pub fn counters(world: &World, verdicts: &mut Vec<String>) {
    if world.wanting != Wanting::Everything {
        return;
    }
    let counters: BTreeSet<String> = world.peers.iter().flat_map(|peer| peer.ledger.counters()).collect();
    for counter in counters {
        for peer in world.peers.iter().filter(|peer| !world.gone.contains(&peer.number)) {
            let joined = world.joined(peer.number);
            let (mut certain, mut least, mut most) = (0, 0, 0);
            for author in &world.peers {
                let counted = author.ledger.counted(&counter, joined.contains(&author.number));
                certain += counted.certain;
                least += counted.least;
                most += counted.most;
            }
            let value = peer.document(&counter).and_then(|document| number(document.get("visits")?));
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
        let joined = world.joined(author.number);
        let subscribers = oracle::reached_by_transactions(world, author.number);
        for (register, possible) in author.ledger.registers() {
            let reaches = |peer: &&Peer| {
                joined.contains(&peer.number)
                    && (peer.number == author.number || world.wanting == Wanting::Everything)
                    || register.collection == "pairs" && subscribers.contains(&peer.number)
            };
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
