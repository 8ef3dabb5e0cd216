//! The hybrid logical clock.

use crate::Hlc;

/// How far ahead of the local wall clock a time may be to still pull the local clock forward: five minutes.
///
/// A peer whose clock is broken must not drag everybody else's with it; what it wrote can still be overwritten, see
/// [`HybridClock::stamp`].
pub const MAX_SKEW_MS: u64 = 5 * 60 * 1000;

/// Gives every local transaction a time later than all it has given or seen before (Kulkarni et al., *Logical Physical
/// Clocks*, 2014), with a bound on how far others can move it.
///
/// ```
/// use ditto_crdt::{Hlc, HybridClock};
///
/// let mut clock = HybridClock::new(Hlc::ZERO);
/// let first = clock.stamp(1_000, None);
/// assert!(clock.stamp(900, None) > first, "the wall clock may go back");
/// ```
#[derive(Clone, Debug)]
pub struct HybridClock {
    last: Hlc,
}

impl HybridClock {
    /// A clock that continues after `last`, the newest time given before.
    pub fn new(last: Hlc) -> Self {
        Self { last: last.min(Hlc::MAX) }
    }

    /// The newest time given or taken over.
    pub fn last(&self) -> Hlc {
        self.last
    }

    /// The time of a transaction at wall clock `now_ms`, later than every earlier one of this clock and, if given, than
    /// `exceed`: the newest stamp of the documents that the transaction writes.
    ///
    /// If `exceed` is further ahead than [`MAX_SKEW_MS`], only this one transaction is ahead; the clock itself does not
    /// follow. At the end of time the result is [`Hlc::MAX`], with which a document refuses to be written.
    pub fn stamp(&mut self, now_ms: u64, exceed: Option<Hlc>) -> Hlc {
        let own = self.last.next().max(Hlc::from_millis(now_ms));
        let exceeding = exceed.map_or(Hlc::ZERO, Hlc::next);
        if exceeding <= own {
            self.last = own;
            return own;
        }
        if exceeding <= furthest(now_ms) {
            self.last = exceeding;
        }
        exceeding
    }

    /// Takes notice of a stamp from elsewhere, so that later local writes are later than it. Ignored if it is further
    /// ahead of `now_ms` than [`MAX_SKEW_MS`].
    pub fn observe(&mut self, remote: Hlc, now_ms: u64) {
        if remote <= furthest(now_ms) {
            self.last = self.last.max(remote);
        }
    }
}

fn furthest(now_ms: u64) -> Hlc {
    Hlc::from_millis(now_ms.saturating_add(MAX_SKEW_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_grow_whatever_the_wall_clock_does() {
        let mut clock = HybridClock::new(Hlc::ZERO);
        let mut last = Hlc::ZERO;
        for now in [5, 5, 4, 0, 100, u64::MAX, 3] {
            let time = clock.stamp(now, None);
            assert!(time > last || time == Hlc::MAX);
            last = time;
        }
    }

    #[test]
    fn a_broken_remote_clock_does_not_drag_the_local_one() {
        let mut clock = HybridClock::new(Hlc::ZERO);
        let year_2090 = Hlc::from_millis(3_786_912_000_000);
        let now = 1_800_000_000_000;
        clock.observe(year_2090, now);
        assert_eq!(clock.last(), Hlc::ZERO);
        assert!(clock.stamp(now, Some(year_2090)) > year_2090, "but it can be exceeded");
        assert_eq!(clock.stamp(now, None).millis(), now);
        clock.observe(Hlc::from_millis(now + MAX_SKEW_MS), now);
        assert!(clock.stamp(now, None) > Hlc::from_millis(now + MAX_SKEW_MS));
    }

    #[test]
    fn the_end_of_time_is_reported_as_such() {
        let mut clock = HybridClock::new(Hlc::ZERO);
        assert_eq!(clock.stamp(1, Some(Hlc::MAX)), Hlc::MAX);
        assert_eq!(clock.stamp(1, None), Hlc::from_millis(1));
    }
}
