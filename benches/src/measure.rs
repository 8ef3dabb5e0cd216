//! Timing: medians of alternating repetitions, percentiles, and waiting for something to happen.

use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

/// How often each side is measured.
pub const REPETITIONS: usize = 5;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(180);

const POLL: Duration = Duration::from_millis(1);

/// How long `action` takes.
pub fn timed<T>(action: impl FnOnce() -> Result<T, Failure>) -> Result<Duration, Failure> {
    let start = Instant::now();
    action()?;
    Ok(start.elapsed())
}

/// Runs both sides in turn, [`REPETITIONS`] times, and returns the medians of what they report: a disturbance of the
/// machine that outlasts a repetition hits both sides.
pub fn alternate(
    mut ours: impl FnMut(usize) -> Result<Duration, Failure>,
    mut peer: impl FnMut(usize) -> Result<Duration, Failure>,
) -> Result<(Duration, Duration), Failure> {
    let (mut ours_times, mut peer_times) = (Latencies::default(), Latencies::default());
    for repetition in 0..REPETITIONS {
        ours_times.push(ours(repetition)?);
        peer_times.push(peer(repetition)?);
    }
    Ok((ours_times.percentile(50), peer_times.percentile(50)))
}

/// A collection of durations.
#[derive(Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// The smallest duration that at least `percent` of all do not exceed; zero if there are none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

/// Waits until `condition` holds, or fails after [`PATIENCE`] with a message that names `what` was waited for.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > PATIENCE {
            return Err(format!("{what} did not happen within {} s", PATIENCE.as_secs()).into());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), Duration::ZERO);
        (1..=10).rev().map(Duration::from_secs).for_each(|latency| latencies.push(latency));
        assert_eq!(latencies.percentile(50), Duration::from_secs(5));
        assert_eq!(latencies.percentile(99), Duration::from_secs(10));
        assert_eq!(latencies.percentile(0), Duration::from_secs(1));
    }
}
