//! Remote clocks that are wrong.
//!
//! A write from the future harms nobody: it can be overwritten, and does not drag the local clock. But it wins until then, and
//! somebody should set a clock, here or there: so it is measured, logged once for each sender, and shown.

use std::collections::BTreeMap;

use ditto_crdt::{MAX_SKEW_MS, SiteId, Stamp};
use parking_lot::Mutex;

use super::holdings::PeerBytes;
use crate::store::Inner;

/// Senders that are remembered.
const MAX_SENDERS: usize = 1_024;

/// What a remote peer sent from the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    /// The public key of the sender.
    pub peer: [u8; 32],
    /// Who made the write; the sender may only have passed it on.
    pub site: SiteId,
    /// How far ahead of the local clock it was, in milliseconds, when it arrived: the greatest so far.
    pub ahead_ms: u64,
    /// When the last such write arrived, in milliseconds since 1970.
    pub time_ms: u64,
}

/// By sender.
#[derive(Default)]
pub(crate) struct Skews(Mutex<BTreeMap<PeerBytes, ClockSkew>>);

/// How far ahead of the local clock a write is, in milliseconds, if that is beyond the bound.
pub(crate) fn ahead(stamp: Stamp, now_ms: u64) -> Option<u64> {
    stamp.time.millis().checked_sub(now_ms).filter(|ahead| *ahead > MAX_SKEW_MS)
}

impl Skews {
    /// A write has arrived.
    pub(crate) fn measured(&self, inner: &Inner, peer: &PeerBytes, stamp: Stamp, now_ms: u64) {
        let Some(ahead_ms) = ahead(stamp, now_ms) else { return };
        let new = ClockSkew { peer: *peer, site: stamp.site, ahead_ms, time_ms: now_ms };
        let mut all = self.0.lock();
        if let Some(known) = all.get_mut(peer) {
            known.time_ms = now_ms;
            if known.ahead_ms < ahead_ms {
                *known = new;
            }
        } else if all.len() < MAX_SENDERS {
            tracing::warn!(
                from = (inner.peer_name)(peer),
                site = format!("{:016x}", stamp.site.0),
                ahead_ms,
                "a write comes from the future: the clock of its author or the one here is wrong"
            );
            all.insert(*peer, new);
        }
    }

    pub(crate) fn list(&self) -> Vec<ClockSkew> {
        self.0.lock().values().copied().collect()
    }
}
