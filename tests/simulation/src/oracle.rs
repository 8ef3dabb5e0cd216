//! What must hold: most of it once the storm is over, some of it always.
//!
//! | oracle | when | what |
//! | --- | --- | --- |
//! | [`coverage`] | at rest | stores are equal over what both want, and whoever wants anything of a collection knows all that its neighbours do of what it holds of that |
//! | [`positions`] | always | nobody is further in a history than in its data |
//! | [`checkpoints`] | when sessions end and stores are opened, and at rest | the same of what is stored |
//! | [`refusals`] | always, and at rest | nothing is refused but what some peers refuse, and that is said |
//! | [`stale`] | at rest | whoever sent a copy that lacks something has got that back |
//! | [`mod@receipts`] | when stores are opened | what a peer has acknowledged to others is on its disk |
//! | [`durability`] | at rest | where all of a collection is wanted, what was acknowledged is there, and not an older value; of what many write the greatest stamp; what was deleted is not, but for births that the deletion had not seen; counters add up |
//! | [`Owed`](crate::peer::Owed) | at each start | disks have what was synced, and all that was written if only the process ended |
//! | [`half_document`] | always | what is seen of a document is all of it |
//! | [`torn_transactions`], `excuses` | always | of a transaction all or nothing is seen, except while a peer says that it shows parts |
//! | [`leaving`] | always | what leaves the filter of a subscription is reported, and nothing else |
//! | [`leaks`] | at rest | what does not travel to a liar, or from it, has not |
//! | [`sanity`] | at rest | storages are consistent, clocks compared, queues empty |
//! | [`cost`] | at rest | a meeting without change costs next to nothing, a change a small multiple of itself |
//! | [`growth`] | when the world is over and old | what is stored is bounded by what lives, what is within its time, and what has to stay |
//!
//! That the world comes to rest at all, and in time, is seen by the [`World`] itself.

pub mod cost;
pub mod coverage;
pub mod durability;
pub mod growth;
pub mod leaks;
pub mod leaving;
pub mod receipts;
pub mod sanity;
pub mod stale;

use std::collections::{BTreeMap, BTreeSet};

use ditto_crdt::Sequence;
use ditto_replication::Replica;
use ditto_value::{Object, Value, ValueRef};

use crate::peer::Peer;
use crate::refusals;
use crate::spanning;
use crate::workload::{self, Group};
use crate::world::World;

/// Everything that is wrong with a world at rest; empty if nothing is.
pub fn judge(world: &mut World) -> Vec<String> {
    let mut verdicts = Vec::new();
    sanity::storages(world, &mut verdicts);
    sanity::queues(world, &mut verdicts);
    coverage::neighbours(world, &mut verdicts);
    coverage::equality(world, &mut verdicts);
    (0..world.links.len()).for_each(|link| verdicts.extend(checkpoints(world, link)));
    refusals::reports(world, &mut verdicts);
    stale::copies(world, &mut verdicts);
    durability::promises(world, &mut verdicts);
    durability::counters(world, &mut verdicts);
    durability::registers(world, &mut verdicts);
    durability::contested(world, &mut verdicts);
    torn_transactions(world, &mut verdicts);
    leaks::of_the_intruder(world, &mut verdicts);
    // Of what a peer was telling when it left for good nobody knows whether it is all there.
    if world.gone.is_empty() {
        verdicts.extend(world.peers.iter().filter(|peer| peer.is_torn()).map(still_catching_up));
    }
    cost::of_the_storm(world, &mut verdicts);
    cost::of_a_quiet_meeting(world, &mut verdicts);
    sanity::clocks(world, &mut verdicts);
    verdicts
}

/// Both ends of a link hold everything up to the positions that they say they have applied.
pub fn positions(world: &World, link: usize) -> Vec<String> {
    let mut verdicts = Vec::new();
    coverage::positions(world, link, &mut verdicts);
    let at = |verdict| format!("at {} a position is ahead of the data: {verdict}", world.now);
    verdicts.into_iter().map(at).collect()
}

/// Both ends of a link hold everything up to the checkpoints that they have stored.
pub fn checkpoints(world: &World, link: usize) -> Vec<String> {
    let mut verdicts = Vec::new();
    coverage::checkpoints(world, link, &mut verdicts);
    let at = |verdict| format!("at {} a stored checkpoint is ahead of the data: {verdict}", world.now);
    verdicts.into_iter().map(at).collect()
}

/// A peer whose store was opened a moment ago, and those that it has met, hold everything that they have acknowledged to each
/// other.
pub fn receipts(world: &World, peer: usize) -> Vec<String> {
    let mut verdicts = Vec::new();
    receipts::of_peer(world, peer, &mut verdicts);
    let at = |verdict| format!("at {} what was acknowledged is not there: {verdict}", world.now);
    verdicts.into_iter().map(at).collect()
}

/// Fields that everything that inserts such a document writes, and nothing takes away.
fn always_there(collection: &str, id: &str) -> &'static [&'static str] {
    let mut parts = id.split('-');
    match (collection, parts.next(), parts.next()) {
        ("plants", Some("keep" | "once" | "count" | "churn" | "own"), _) => &["light", "name"],
        ("pairs", _, Some("a")) => &["first"],
        ("pairs", _, Some("c")) => &["second"],
        ("halves", _, Some("left")) => &["half"],
        ("halves", _, Some("right")) => &["half", "fourth"],
        _ => &[],
    }
}

/// No document of which only a part has arrived is visible. Looks at what has changed after a sequence.
pub fn half_document(peer: &Peer, after: Sequence) -> Option<String> {
    let process = peer.process.as_ref()?;
    let changes = process.replica.changes(after, Sequence(u64::MAX), usize::MAX).ok()?;
    changes.iter().find_map(|change| {
        let stored = process.replica.document(&change.key).ok()?.filter(|stored| stored.alive)?;
        let document = ValueRef::from_stored(&stored.value).to_value();
        let id = document.get("_id").and_then(Value::as_str).unwrap_or_default();
        let lacks = |field: &&&str| document.get(field).is_none();
        let missing = always_there(&change.key.collection, id).iter().find(lacks)?;
        let number = peer.number;
        Some(format!("peer {number} sees half of a document, without {missing}: {}", document.to_json()))
    })
}

/// When all is at rest, everybody says that it has caught up.
fn still_catching_up(peer: &Peer) -> String {
    format!("peer {} is still waiting for the rest of a transaction", peer.number)
}

/// A transaction of which a peer sees one document as it was before, and the other as it is after.
pub(crate) struct Part {
    /// Whose transaction.
    pub(crate) owner: usize,
    /// What is seen, in words.
    pub(crate) seen: String,
}

/// At rest nobody sees a part of a transaction that must have reached it whole.
pub fn torn_transactions(world: &World, verdicts: &mut Vec<String>) {
    for peer in &world.peers {
        for part in parts(peer) {
            let owner = part.owner;
            if reached_by_transactions(world, owner).contains(&peer.number)
                && !writes_apart(&world.peers, owner)
                && !world.excuses.may_be_lost(owner)
            {
                verdicts.push(format!("at rest peer {} sees {}", peer.number, part.seen));
            }
        }
    }
}

/// Who was restored and does not get back what it wrote before writes apart from that. If its clock is far behind what it
/// wrote then, its transactions have several stamps.
pub(crate) fn writes_apart(peers: &[Peer], owner: usize) -> bool {
    peers.get(owner).is_some_and(|owner| owner.forked && !subscribes(owner))
}

/// Who must have the transactions of a peer: those who subscribe to them, and are joined to it by such.
pub fn reached_by_transactions(world: &World, owner: usize) -> BTreeSet<usize> {
    world.joined_by(owner, subscribes)
}

pub(crate) fn subscribes(peer: &Peer) -> bool {
    let wants = |query: &str| peer.wishes.iter().any(|wish| wish.query == query);
    wants(workload::PAIRS) && (!peer.spans || wants(spanning::LEFT) && wants(spanning::RIGHT))
}

/// Who must have what a peer writes to `plants`: those who subscribe to all of that, and are joined to it by such; and itself.
pub(crate) fn reached_by_plants(world: &World, author: usize) -> BTreeSet<usize> {
    world.joined_by(author, subscribes_to_plants)
}

pub(crate) fn subscribes_to_plants(peer: &Peer) -> bool {
    peer.wishes.iter().any(|wish| wish.query == workload::PLANTS)
}

/// What a peer sees in part.
pub(crate) fn parts(peer: &Peer) -> Vec<Part> {
    let mut seen = seen_together(peer, "pairs", "SELECT _id, first, second, third FROM pairs");
    if peer.spans {
        seen.extend(seen_together(peer, "halves", "SELECT _id, third, fourth FROM halves"));
    }
    let owner = |id: &str| id.split('-').next().and_then(|owner| owner.parse().ok());
    let owners: BTreeSet<usize> = seen.keys().filter_map(|(_, id)| owner(id)).collect();
    let groups: &[Group] = if peer.spans {
        &[workload::FIRST, workload::SECOND, spanning::THIRD, spanning::FOURTH]
    } else {
        &[workload::FIRST, workload::SECOND]
    };
    let mut parts = Vec::new();
    for owner in owners {
        for (name, members) in groups {
            let [one, other] = members.map(|(collection, document)| {
                seen.get(&(collection, format!("{owner}-{document}"))).and_then(|row| row.get(name).cloned())
            });
            if one != other {
                parts.push(Part { owner, seen: format!("{name} {one:?} and {other:?} of peer {owner}") });
            }
        }
    }
    parts
}

/// Documents that transactions write, by collection and `_id`.
fn seen_together(
    peer: &Peer,
    collection: &'static str,
    query: &str,
) -> BTreeMap<(&'static str, String), Value> {
    let rows = peer.rows(query, &Object::default());
    let id = |row: &Value| row.get("_id").and_then(Value::as_str).map(str::to_owned);
    rows.into_iter().filter_map(|row| Some(((collection, id(&row)?), row))).collect()
}
