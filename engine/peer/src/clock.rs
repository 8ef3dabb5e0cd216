//! Time for the sync protocol.

use std::time::Instant;

/// Milliseconds since it was started, by a clock that nobody sets. Time-outs are measured with it: on a device that
/// learns the date only after it has booted, the wall clock jumps by years, and every session would run out of patience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SteadyClock(Instant);

impl SteadyClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
