//! What it may cost.

use ditto_crdt::Sequence;
use ditto_replication::Replica;

use crate::peer::Peer;
use crate::world::World;

/// A second meeting of two peers without change may cost this much, with a few subscriptions …
const QUIET_BYTES: u64 = 1_024;
/// … and this much more with each further one.
const BYTES_PER_SUBSCRIPTION: u64 = 100;
const FEW_SUBSCRIPTIONS: u64 = 4;
/// A link carries the bytes of all changes once, and this much more for each document that changed: name, versions,
/// acknowledgement, position; where nothing fails, less …
const BYTES_PER_CHANGE: u64 = 100;
const BYTES_PER_CALM_CHANGE: u64 = 60;
/// … and so much for each meeting: what is said at first, what was under way when the last one ended, and what has to be compared
/// because somebody has forgotten something. Whoever was restored compares everything anew, both ways: as at another meeting.
const BYTES_PER_MEETING: u64 = 2_000;
/// Where nothing fails, the links of a spanning tree carry that, and the others so much for each document that changed, which is
/// announced both ways, or comes twice as long as it is not decided which links are the tree.
const BYTES_PER_ANNOUNCEMENT: u64 = 150;

/// Bytes up to which packing is worth nothing.
const LONG: u64 = 4 * 1_024;

/// Documents that changed after a sequence, and the bytes of what changed in them.
#[must_use]
pub fn of_changes(peer: &Peer, after: Sequence) -> (u64, u64) {
    let Some(process) = &peer.process else { return (0, 0) };
    let changes = process.replica.changes(after, Sequence(u64::MAX), usize::MAX).unwrap_or_default();
    // What is long here is one word many times over.
    let packed = |bytes: u64| bytes.min(LONG) + bytes.saturating_sub(LONG) / 100;
    let size = |excerpt: &ditto_replication::Excerpt| packed(excerpt.delta.len() as u64);
    let bytes = changes
        .iter()
        .filter_map(|change| process.replica.changed_since(&change.key, after).as_ref().map(size));
    (changes.len() as u64, bytes.sum())
}

/// What passed is a multiple of what changed: wherever it was told, at all links; where nothing failed, at those of a spanning
/// tree.
pub fn of_the_storm(world: &World, verdicts: &mut Vec<String>) {
    if world.small {
        // Small batches and offers cost more for each document.
        return;
    }
    let links = world.links.len() as u64;
    let (tree, per_change) = match world.climate.is_calm() {
        true => (world.peers.len() as u64 - 1, BYTES_PER_CALM_CHANGE),
        false => (links, BYTES_PER_CHANGE),
    };
    let most = tree * (world.change_bytes + per_change * world.changes)
        + links.saturating_sub(tree) * BYTES_PER_ANNOUNCEMENT * world.changes
        + BYTES_PER_MEETING * (world.meetings + world.restores);
    // An older build neither reconciles nor packs.
    if world.bytes() > most && !world.climate.older {
        let (bytes, changes, size) = (world.bytes(), world.changes, world.change_bytes);
        let meetings = world.meetings;
        verdicts.push(format!(
            "{changes} changes of {size} bytes and {meetings} meetings took {bytes} bytes, more than {most}"
        ));
    }
}

/// Whoever meets again without any change says so in a few words.
pub fn of_a_quiet_meeting(world: &mut World, verdicts: &mut Vec<String>) {
    world.meet();
    let before: Vec<u64> = world.links.iter().map(|link| link.bytes).collect();
    world.meet();
    for (link, before) in world.links.iter().zip(before) {
        let bytes = link.bytes - before;
        let wishes = |end: usize| world.peers[end].wishes.len() as u64;
        let subscriptions = wishes(link.ends[0]) + wishes(link.ends[1]);
        let further = subscriptions.saturating_sub(FEW_SUBSCRIPTIONS);
        if bytes >= QUIET_BYTES + further * BYTES_PER_SUBSCRIPTION {
            let [one, other] = link.ends;
            verdicts.push(format!("a meeting of {one} and {other} without change took {bytes} bytes"));
        }
    }
}
