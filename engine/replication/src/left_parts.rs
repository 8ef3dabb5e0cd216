//! What has come of long deltas whose sessions ended before the rest came.
//!
//! It is in memory, for a while and up to a bound. Nothing is believed of it: a document that was put together of two sessions is
//! checked like any other.

use std::collections::BTreeMap;

use crate::limits::{LEFT_PARTS_MS, MAX_LEFT_PART_BYTES};
use crate::parts::Beginning;
use crate::replica::PeerId;

/// What each beginning counts beside its bytes.
const OVERHEAD: usize = 1_024;

/// Beginnings of long deltas of peers that are gone.
#[derive(Debug, Default)]
pub(crate) struct LeftParts {
    of: BTreeMap<PeerId, Left>,
    size: usize,
}

#[derive(Debug)]
struct Left {
    beginnings: Vec<Beginning>,
    /// When the session ended.
    since: u64,
}

fn size(beginning: &Beginning) -> usize {
    beginning.bytes.len() + OVERHEAD
}

impl Left {
    fn size(&self) -> usize {
        self.beginnings.iter().map(size).sum()
    }

    /// When it is forgotten.
    fn over_at(&self) -> u64 {
        self.since + LEFT_PARTS_MS
    }
}

impl LeftParts {
    /// A session has ended. What was left by another one with the same peer is forgotten, and by those who left long ago, as far as
    /// there is no room.
    pub(crate) fn keep(&mut self, remote: PeerId, mut beginnings: Vec<Beginning>, now: u64) {
        let mut room = MAX_LEFT_PART_BYTES;
        beginnings.retain(|beginning| {
            let fits = size(beginning) <= room;
            room -= if fits { size(beginning) } else { 0 };
            fits
        });
        if beginnings.is_empty() {
            return;
        }
        self.take(remote);
        while self.size > room {
            let Some(first) = self.of.iter().min_by_key(|(_, left)| left.since).map(|(peer, _)| *peer) else {
                break;
            };
            self.take(first);
        }
        let left = Left { beginnings, since: now };
        self.size += left.size();
        self.of.insert(remote, left);
    }

    /// A session begins.
    pub(crate) fn take(&mut self, remote: PeerId) -> Vec<Beginning> {
        let Some(left) = self.of.remove(&remote) else { return Vec::new() };
        self.size -= left.size();
        left.beginnings
    }

    /// Forgets what is old.
    pub(crate) fn forget(&mut self, now: u64) {
        let over: Vec<PeerId> =
            self.of.iter().filter(|(_, left)| left.over_at() <= now).map(|(peer, _)| *peer).collect();
        over.into_iter().for_each(|peer| drop(self.take(peer)));
    }

    /// When something is old.
    pub(crate) fn timeout(&self) -> Option<u64> {
        self.of.values().map(Left::over_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PART_BYTES;
    use crate::message::Part;
    use crate::parts::Reassembly;

    /// The beginning of a delta.
    fn beginning(whole: u128, bytes: usize) -> Vec<Beginning> {
        let mut reassembly = Reassembly::default();
        let total = bytes as u64 + 1;
        for rest in (0..bytes).step_by(PART_BYTES) {
            let bytes = vec![1; PART_BYTES.min(bytes - rest)];
            let part = Part { parts: 1, total, bytes, whole: Some(whole), ..Part::default() };
            assert_eq!(reassembly.receive(part), Ok(()));
        }
        reassembly.end()
    }

    fn peer(number: u8) -> PeerId {
        PeerId([number; 32])
    }

    #[test]
    fn it_is_there_once_and_not_for_ever() {
        let mut left = LeftParts::default();
        left.keep(peer(1), beginning(5, 7), 100);
        left.keep(peer(2), beginning(6, 8), 200);
        assert_eq!(left.take(peer(1)), beginning(5, 7));
        assert_eq!(left.take(peer(1)), []);
        assert_eq!(left.timeout(), Some(200 + LEFT_PARTS_MS));
        left.forget(199 + LEFT_PARTS_MS);
        assert!(left.timeout().is_some());
        left.forget(200 + LEFT_PARTS_MS);
        assert_eq!((left.take(peer(2)), left.timeout(), left.size), (Vec::new(), None, 0));
    }

    #[test]
    fn it_has_a_bound_over_all_peers() {
        let mut left = LeftParts::default();
        let third = MAX_LEFT_PART_BYTES / 3;
        for number in 1..=4 {
            left.keep(peer(number), beginning(5, third), u64::from(number));
            assert!(left.size <= MAX_LEFT_PART_BYTES);
        }
        assert_eq!(left.take(peer(2)), [], "the oldest are gone");
        assert_eq!(left.take(peer(4)).len(), 1);
        let two = [beginning(1, 2 * third), beginning(2, 2 * third)].into_iter().flatten().collect();
        left.keep(peer(5), two, 5);
        assert_eq!(left.take(peer(5)), beginning(1, 2 * third), "as much as there is room for");
        left.keep(peer(6), Vec::new(), 6);
        assert_eq!((left.size, left.of.len()), (0, 0));
    }
}
