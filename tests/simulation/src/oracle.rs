//! What must hold: most of it once the storm is over, some of it always.
//!
//! | oracle | when | what |
//! | --- | --- | --- |
//! | [`coverage`] | at rest | stores are equal over what both want |
//! | [`positions`] | always | nobody is further in a history than in its data |
//! | [`durability`] | at rest | what was acknowledged is there; what was deleted is not; counters add up |
//! | [`torn_transactions`] | always | of a transaction all or nothing is seen, except while a peer says that it shows parts |
//! | [`sanity`] | at rest | storages are consistent, clocks compared, queues empty |
//! | [`cost`] | at rest | a meeting without change costs next to nothing, a change a small multiple of itself |
//!
//! That the world comes to rest at all, and in time, is seen by the [`World`] itself.

pub mod cost;
pub mod coverage;
pub mod durability;
pub mod sanity;

use ditto_value::{Object, Value};

use crate::peer::Peer;
use crate::workload;
use crate::world::World;

/// Everything that is wrong with a world at rest; empty if nothing is.
pub fn judge(world: &mut World) -> Vec<String> {
    let mut verdicts = Vec::new();
    sanity::storages(world, &mut verdicts);
    sanity::queues(world, &mut verdicts);
    coverage::neighbours(world, &mut verdicts);
    coverage::equality(world, &mut verdicts);
    durability::promises(world, &mut verdicts);
    durability::counters(world, &mut verdicts);
    if !world.parts_lost {
        let numbers = 0..world.peers.len();
        verdicts.extend(numbers.filter_map(|peer| torn_transactions(&world.peers, peer)));
    }
    verdicts.extend(world.peers.iter().filter(|peer| peer.is_torn()).map(still_catching_up));
    cost::of_the_storm(world, &mut verdicts);
    cost::of_a_quiet_meeting(world, &mut verdicts);
    sanity::clocks(world, &mut verdicts);
    verdicts
}

/// Both ends of a link hold everything up to the positions that they say they have applied.
pub fn positions(world: &World, link: usize) -> Vec<String> {
    let mut verdicts = Vec::new();
    coverage::positions(world, link, &mut verdicts);
    verdicts
        .into_iter()
        .map(|verdict| format!("at {} a position is ahead of the data: {verdict}", world.now))
        .collect()
}

/// When all is at rest, everybody says that it has caught up.
fn still_catching_up(peer: &Peer) -> String {
    format!("peer {} is still waiting for the rest of a transaction", peer.number)
}

/// Nobody who subscribes to transactions, and does not say that it shows parts, sees a part of one.
pub fn torn_transactions(peers: &[Peer], number: usize) -> Option<String> {
    let subscribes = |peer: &Peer| peer.wishes.iter().any(|wish| wish.query == workload::PAIRS);
    let peer = peers.get(number).filter(|peer| subscribes(peer) && !peer.is_torn())?;
    // Who was restored and does not get back what it wrote before writes apart from that. If its clock is far behind what it
    // wrote then, its transactions have several stamps.
    let writes_apart = |owner: &str| {
        let owner = owner.parse().ok().and_then(|owner: usize| peers.get(owner));
        owner.is_some_and(|owner| owner.forked && !subscribes(owner))
    };
    let rows = peer.rows("SELECT * FROM pairs", &Object::default());
    let find = |id: &str| rows.iter().find(|row| row.get("_id").and_then(Value::as_str) == Some(id));
    let field = |id: &str, field: &str| find(id).and_then(|row| row.get(field).cloned());
    for row in &rows {
        let owner = row.get("_id").and_then(Value::as_str).and_then(|id| id.split('-').next());
        let Some(owner) = owner.filter(|owner| !writes_apart(owner)) else { continue };
        for (name, one, other) in [("first", "a", "b"), ("second", "b", "c")] {
            let (one, other) =
                (field(&format!("{owner}-{one}"), name), field(&format!("{owner}-{other}"), name));
            if one != other {
                return Some(format!(
                    "peer {} sees {name} {one:?} and {other:?} of peer {owner}",
                    peer.number
                ));
            }
        }
    }
    None
}
