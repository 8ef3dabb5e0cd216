//! How old the database is, by a clock that nobody sets: what tombstones and graves age by.
//!
//! The wall clock jumps. A device without a battery boots in 1970 and learns the date later; by the wall clock all that was
//! deleted before would be fifty years old then. So the age is a sum of small steps: each opening and each call of the
//! housekeeping adds the time since the one before, but at most [`LONGEST_STEP_MS`], and nothing if the clock went back. Of the
//! time in which nobody had the database open no more than that counts either.

use parking_lot::Mutex;

use crate::layout::Reader;

/// The most that one step adds.
pub const LONGEST_STEP_MS: u64 = 86_400_000;

/// Milliseconds of age.
#[derive(Default)]
pub(crate) struct AgeClock(Mutex<Moment>);

/// The age at a moment of the wall clock, both in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub wall_ms: u64,
    pub age_ms: u64,
}

impl Moment {
    /// This much later, as far as the wall clock can be trusted.
    pub(crate) fn step(self, wall_ms: u64) -> Self {
        let step = wall_ms.saturating_sub(self.wall_ms).min(LONGEST_STEP_MS);
        Self { wall_ms, age_ms: self.age_ms.saturating_add(step) }
    }

    /// Catalog value: wall clock (8) ‖ age (8).
    pub(crate) fn encode(self) -> Vec<u8> {
        [self.wall_ms.to_be_bytes(), self.age_ms.to_be_bytes()].concat()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let moment = Self { wall_ms: reader.u64()?, age_ms: reader.u64()? };
        reader.end()?;
        Some(moment)
    }
}

impl AgeClock {
    pub(crate) fn new(moment: Moment) -> Self {
        Self(Mutex::new(moment))
    }

    /// The age, without a step.
    pub(crate) fn now(&self, wall_ms: u64) -> u64 {
        self.0.lock().step(wall_ms).age_ms
    }

    /// A step.
    pub(crate) fn step(&self, wall_ms: u64) -> Moment {
        let mut moment = self.0.lock();
        *moment = moment.step(wall_ms);
        *moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn a_jump_counts_for_a_day_and_a_step_back_for_nothing() {
        let clock = AgeClock::new(Moment { wall_ms: 5, age_ms: 0 });
        assert_eq!(clock.step(5 + HOUR_MS).age_ms, HOUR_MS);
        assert_eq!(clock.step(NOW).age_ms, 25 * HOUR_MS);
        assert_eq!(clock.step(7).age_ms, 25 * HOUR_MS);
        assert_eq!((clock.now(7 + HOUR_MS), clock.now(7 + 2 * HOUR_MS)), (26 * HOUR_MS, 27 * HOUR_MS));
        assert_eq!(clock.step(7 + HOUR_MS).age_ms, 26 * HOUR_MS);
    }

    #[test]
    fn moments_read_back() {
        let moment = Moment { wall_ms: 1, age_ms: 2 };
        assert_eq!(Moment::decode(&moment.encode()), Some(moment));
        assert_eq!(Moment::decode(&[0; 17]), None);
    }
}
