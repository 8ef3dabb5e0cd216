//! How long to wait before dialling again.

use std::time::Duration;

/// Doubles the pause between attempts from [`Backoff::FIRST`] up to a ceiling, and starts over after a stable link.
///
/// The caller passes the randomness, so a run can be replayed.
///
/// ```
/// use ditto_mesh::Backoff;
///
/// let mut backoff = Backoff::default();
/// assert_eq!(backoff.next(0).as_millis(), 500);
/// assert_eq!(backoff.next(0).as_millis(), 1000);
/// assert_eq!(backoff.next(u32::MAX).as_millis(), 4000);
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    ceiling: Duration,
    attempts: u32,
}

impl Backoff {
    /// The pause after the first failure, before jitter.
    pub const FIRST: Duration = Duration::from_secs(1);
    /// The longest pause, unless another ceiling is given.
    pub const CEILING: Duration = Duration::from_secs(30);
    /// A link that was up for this long was a success: the next failure counts as the first.
    pub const STABLE: Duration = Duration::from_secs(10);

    /// Pauses grow up to `ceiling`, at least a millisecond.
    pub fn new(ceiling: Duration) -> Self {
        Self { ceiling: ceiling.max(Duration::from_millis(1)), attempts: 0 }
    }

    /// Changes the ceiling; a pause of less than a millisecond counts as one.
    pub fn set_ceiling(&mut self, ceiling: Duration) {
        self.ceiling = ceiling.max(Duration::from_millis(1));
    }

    /// The pause before the next attempt: between half of the current step and all of it, spread by `jitter` (any random
    /// number), so that peers which lost the same hub do not return in step.
    pub fn next(&mut self, jitter: u32) -> Duration {
        let step = Self::FIRST.saturating_mul(1 << self.attempts.min(16)).min(self.ceiling);
        self.attempts = self.attempts.saturating_add(1);
        let half = step / 2;
        half + half.mul_f64(f64::from(jitter) / f64::from(u32::MAX))
    }

    /// Tells how long the last link was up. Returns whether that was long enough to start over.
    pub fn link_ended(&mut self, up: Duration) -> bool {
        let stable = up >= Self::STABLE;
        if stable {
            self.attempts = 0;
        }
        stable
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Self::CEILING)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stable_link_starts_over_and_a_short_one_does_not() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next(0);
        }
        assert!(!backoff.link_ended(Duration::from_secs(1)));
        assert_eq!(backoff.next(0), Duration::from_secs(15));
        assert!(backoff.link_ended(Backoff::STABLE));
        assert_eq!(backoff.next(0), Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn pauses_stay_between_half_a_step_and_the_ceiling(jitters: Vec<u32>, ceiling in 0_u64..100_000) {
            let ceiling = Duration::from_millis(ceiling);
            let mut backoff = Backoff::new(ceiling);
            for jitter in jitters {
                let pause = backoff.next(jitter);
                prop_assert!(pause <= ceiling.max(Duration::from_millis(1)));
                prop_assert!(pause >= Backoff::FIRST.min(ceiling) / 2);
            }
        }
    }
}
