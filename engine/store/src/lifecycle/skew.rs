//! Clocks that are wrong, here or at remote peers.
//!
//! A write from the future harms nobody: it can be overwritten, and does not drag the local clock. But it wins until then, as
//! a write from the past loses, and somebody should set a clock. So clocks are compared when a session begins, and the
//! stamps of what arrives are looked at; what differs by more than [`MAX_SKEW_MS`] is logged once for each peer, and all is
//! shown. Whether the clock here or theirs is wrong nobody can tell from that; if all peers seem to be wrong it is the one here.

use std::collections::BTreeMap;

use ditto_crdt::{MAX_SKEW_MS, SiteId, Stamp};
use parking_lot::Mutex;

use super::holdings::PeerBytes;
use crate::store::Inner;

/// Peers that are remembered; those of which nothing new is known for longest go first.
const MAX_PEERS: usize = 1_024;

/// What is known of the clock of a remote peer, and of those whose writes it passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    /// The public key of the peer.
    pub peer: [u8; 32],
    /// Under which identity it writes.
    pub site: Option<SiteId>,
    /// Its wall clock less the one here when the last session began, in milliseconds, but for the time that a message takes;
    /// `None` if it did not say.
    pub difference_ms: Option<i64>,
    /// The write that it sent from furthest in the future, if that is beyond the bound.
    pub ahead: Option<FutureWrite>,
}

/// A write that came from the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureWrite {
    /// Who made it; the sender may only have passed it on.
    pub site: SiteId,
    /// How far ahead of the local clock it was when it arrived, in milliseconds.
    pub ahead_ms: u64,
    /// When the last such write arrived, in milliseconds since 1970.
    pub time_ms: u64,
}

/// By peer.
#[derive(Default)]
pub(crate) struct Skews(Mutex<BTreeMap<PeerBytes, Known>>);

#[derive(Clone, Copy, Default)]
struct Known {
    difference_ms: Option<i64>,
    ahead: Option<FutureWrite>,
    /// When something was measured last.
    time_ms: u64,
}

/// How far ahead of the local clock a write is, in milliseconds, if that is beyond the bound.
pub(crate) fn ahead(stamp: Stamp, now_ms: u64) -> Option<u64> {
    stamp.time.millis().checked_sub(now_ms).filter(|ahead| *ahead > MAX_SKEW_MS)
}

impl Skews {
    /// A session begins, and the peer has said what its clock shows.
    pub(crate) fn compared(&self, inner: &Inner, peer: &PeerBytes, clock_ms: u64, now_ms: u64) {
        // Whatever it says, the difference has a sign and fits.
        let limit = i64::MAX.unsigned_abs();
        let difference = clock_ms.abs_diff(now_ms).min(limit).cast_signed();
        let difference = if clock_ms < now_ms { -difference } else { difference };
        let wrong = |difference: i64| difference.unsigned_abs() > MAX_SKEW_MS;
        let before = self.with(peer, now_ms, |known| known.difference_ms.replace(difference));
        if wrong(difference) && !before.is_some_and(wrong) {
            tracing::warn!(
                peer = (inner.peer_name)(peer),
                difference_ms = difference,
                "the clock of a peer differs from the one here: one of them is wrong"
            );
        }
    }

    /// A write has arrived.
    pub(crate) fn measured(&self, inner: &Inner, peer: &PeerBytes, stamp: Stamp, now_ms: u64) {
        let Some(ahead_ms) = ahead(stamp, now_ms) else { return };
        let new = FutureWrite { site: stamp.site, ahead_ms, time_ms: now_ms };
        let before = self.with(peer, now_ms, |known| {
            let before = known.ahead;
            let furthest = before.filter(|before| before.ahead_ms >= ahead_ms).unwrap_or(new);
            known.ahead = Some(FutureWrite { time_ms: now_ms, ..furthest });
            before
        });
        if before.is_none() {
            tracing::warn!(
                from = (inner.peer_name)(peer),
                site = format!("{:016x}", stamp.site.0),
                by_the_sender = inner.holdings.site(peer) == Some(stamp.site),
                ahead_ms,
                "a write comes from the future: the clock of its author or the one here is wrong"
            );
        }
    }

    fn with<R>(&self, peer: &PeerBytes, now_ms: u64, change: impl FnOnce(&mut Known) -> R) -> R {
        let mut all = self.0.lock();
        if all.len() >= MAX_PEERS && !all.contains_key(peer) {
            let oldest = all.iter().min_by_key(|(_, known)| known.time_ms).map(|(peer, _)| *peer);
            oldest.map(|oldest| all.remove(&oldest));
        }
        let known = all.entry(*peer).or_default();
        known.time_ms = now_ms;
        change(known)
    }

    pub(crate) fn list(&self, inner: &Inner) -> Vec<ClockSkew> {
        let all = self.0.lock().clone();
        let skew = |(peer, known): (PeerBytes, Known)| {
            let Known { difference_ms, ahead, .. } = known;
            ClockSkew { peer, site: inner.holdings.site(&peer), difference_ms, ahead }
        };
        all.into_iter().map(skew).collect()
    }
}
