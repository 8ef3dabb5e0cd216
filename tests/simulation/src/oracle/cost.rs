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
/// Where nothing fails, a link carries the bytes of all changes at most so many times (once each way if both ends have
/// them from elsewhere) …
const TIMES: u64 = 2;
/// … and this much more for each document that changed: name, versions, acknowledgement, position, and the question that
/// concurrent changes may cost …
const BYTES_PER_CHANGE: u64 = 400;
/// … and so much for the two meetings.
const BYTES_PER_LINK: u64 = 8 * 1_024;

/// Documents that changed after a sequence, and the bytes of what changed in them.
#[must_use]
pub fn of_changes(peer: &Peer, after: Sequence) -> (u64, u64) {
    let Some(process) = &peer.process else { return (0, 0) };
    let changes = process.replica.changes(after, Sequence(u64::MAX), usize::MAX).unwrap_or_default();
    let size = |excerpt: &ditto_replication::Excerpt| excerpt.delta.len() as u64;
    let bytes = changes.iter().filter_map(|change| {
        process.replica.delta_since(&change.key, after).ok().flatten().as_ref().map(size)
    });
    (changes.len() as u64, bytes.sum())
}

/// Where nothing failed, what passed is a multiple of what changed.
pub fn of_the_storm(world: &World, verdicts: &mut Vec<String>) {
    if !world.climate.is_calm() || world.small {
        return;
    }
    let each = TIMES * world.change_bytes + BYTES_PER_CHANGE * world.changes + BYTES_PER_LINK;
    let most = each * world.links.len() as u64;
    if world.bytes() > most {
        let (bytes, changes, size) = (world.bytes(), world.changes, world.change_bytes);
        verdicts.push(format!("{changes} changes of {size} bytes took {bytes} bytes, more than {most}"));
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
