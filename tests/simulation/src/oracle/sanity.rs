//! What must hold at each peer by itself.

use ditto_crdt::Sequence;
use ditto_replication::limits::MAX_WAITING_QUESTION_BYTES;
use ditto_replication::{Buffered, Replica, Sizes};

use crate::network::Link;
use crate::peer::Process;
use crate::world::World;

/// Hardly any document is longer, where there are large ones …
const LARGE_DOCUMENT_BYTES: usize = 1_000_000;
/// … and where there are none.
const DOCUMENT_BYTES: usize = 10_000;

/// The longest document of most worlds.
pub(crate) fn usual_length(large: bool) -> usize {
    if large { LARGE_DOCUMENT_BYTES } else { DOCUMENT_BYTES }
}

/// The longest document that a peer has: one that many have inserted without knowing of each other may be longer than anybody
/// writes.
pub(crate) fn longest_document(process: &Process) -> usize {
    let replica = &process.replica;
    let changes = replica.changes(Sequence(0), Sequence(u64::MAX), usize::MAX).unwrap_or_default();
    let whole = |key| replica.delta_since(key, Sequence(0)).ok().flatten();
    changes.iter().filter_map(|change| whole(&change.key)).map(|whole| whole.delta.len()).max().unwrap_or(0)
}

/// Bytes that may wait in one session of a peer: above the target no more is made, but one batch, the answers and the large documents
/// that the window lets go may pass it: three of the longest documents were seen at once, so there is room for four.
pub(crate) fn most_queued(sizes: &Sizes, longest: usize) -> usize {
    sizes.queue_bytes + sizes.max_batch_bytes + 2 * sizes.window_bytes + 4 * longest
}

/// Bytes of documents that one session of a peer may hold of what the other has sent: what the windows of that one let go, a batch
/// that passes each of them, the answers that the first batch waits with, and what comes by itself.
pub(crate) fn most_buffered(own: &Sizes, other: &Sizes, longest: usize) -> usize {
    2 * (other.window_bytes + other.max_batch_bytes) + own.filled_bytes + 4 * longest
}

/// What is wrong with what a session holds of what the other peer has sent, if at most so many bytes of it may be documents.
pub(crate) fn wrong_buffer(buffered: Buffered, most: usize) -> Option<String> {
    const MOST_QUESTIONS: usize = 4 * MAX_WAITING_QUESTION_BYTES;
    let Buffered { documents, questions, counted } = buffered;
    if documents + questions > counted {
        Some(format!("{documents} and {questions} bytes are held of one session that counts {counted}"))
    } else if documents > most {
        Some(format!("{documents} bytes of documents are held of one session, more than {most}"))
    } else {
        (questions > MOST_QUESTIONS).then(|| format!("{questions} bytes of questions wait in one session"))
    }
}

/// Everybody is there, and what is stored twice agrees.
pub fn storages(world: &World, verdicts: &mut Vec<String>) {
    for peer in world.peers.iter().filter(|peer| !world.gone.contains(&peer.number)) {
        let Some(process) = &peer.process else {
            verdicts.push(format!("peer {} is down", peer.number));
            continue;
        };
        match process.store.verify() {
            Ok(verified) if verified.inconsistent == 0 => {}
            other => verdicts.push(format!("the store of peer {}: {other:?}", peer.number)),
        }
    }
}

/// At rest nothing waits, and never too much did.
pub fn queues(world: &World, verdicts: &mut Vec<String>) {
    verdicts.extend(world.overfull.clone());
    for peer in &world.peers {
        let Some(process) = &peer.process else { continue };
        for (link, session) in &process.sessions {
            let waiting = process.replicator.queued_bytes(*session);
            if waiting > 0 {
                verdicts.push(format!("peer {} still has {waiting} bytes for link {link}", peer.number));
            }
            let buffered = process.replicator.buffered(*session);
            if buffered != Buffered::default() {
                verdicts.push(format!("peer {} has not done with {buffered:?} of link {link}", peer.number));
            }
        }
        if process.replicator.awaits_durability() {
            verdicts.push(format!("peer {} still has to acknowledge something", peer.number));
        }
    }
}

/// Each peer knows how wrong the clock of a neighbour is, or its own.
pub fn clocks(world: &World, verdicts: &mut Vec<String>) {
    let is_there = |link: &&Link| link.ends.iter().all(|end| !world.gone.contains(end));
    for link in world.links.iter().filter(is_there) {
        let longest = link.quality.iter().map(|quality| quality.longest(1_000)).max().unwrap_or(0) + 1;
        for [here, there] in [link.ends, [link.ends[1], link.ends[0]]] {
            let (peer, other) = (&world.peers[here], &world.peers[there]);
            let expected = other.skew() - peer.skew();
            let skews = peer.process.as_ref().map(|process| process.store.clock_skews()).unwrap_or_default();
            let of_other = skews.iter().find(|skew| skew.peer == other.key.0);
            let known = of_other.and_then(|skew| skew.difference_ms);
            if known.is_none_or(|known| known.abs_diff(expected) > longest) {
                verdicts.push(format!("peer {here} measures {known:?} of {there}, not {expected}"));
            }
        }
    }
}
