//! A seed from its beginning to its end, and many of them side by side.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::tally::Tally;
use crate::world::{Settings, World};

/// What became of a seed.
pub struct Outcome {
    /// What is wrong; empty if nothing is.
    pub verdicts: Vec<String>,
    /// What happened, if it was to be kept.
    pub trace: Vec<String>,
    /// Differs between two runs that differ in any message.
    pub fingerprint: u64,
    /// How often what ran.
    pub tally: Tally,
}

/// Runs a seed. A panic is one more verdict.
#[must_use]
pub fn run(settings: Settings) -> Outcome {
    let mut world = World::new(settings);
    let story = catch_unwind(AssertUnwindSafe(|| world.run()));
    let mut verdicts = std::mem::take(&mut world.verdicts);
    if let Err(panic) = story {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        verdicts.push(format!("panic: {}", text.unwrap_or("without a word")));
    }
    Outcome {
        verdicts,
        trace: world.trace.lines().to_vec(),
        fingerprint: world.fingerprint,
        tally: world.tally,
    }
}

/// Runs each of the `seeds` in one thread, as many at a time as there are cores, and hands the outcomes to `ended` in the
/// order in which they end.
pub fn run_all(
    seeds: Range<u64>,
    settings: impl Fn(u64) -> Settings + Sync,
    mut ended: impl FnMut(u64, Outcome),
) {
    let next = AtomicU64::new(seeds.start);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let (outcomes, arrivals) = mpsc::sync_channel(threads);
        for _ in 0..threads {
            let (outcomes, next, settings) = (outcomes.clone(), &next, &settings);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || outcomes.send((seed, run(settings(seed)))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(outcomes);
        for (seed, outcome) in arrivals {
            ended(seed, outcome);
        }
    });
}
