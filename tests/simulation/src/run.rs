//! A seed from its beginning to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::world::{Settings, World};

/// What became of a seed.
pub struct Outcome {
    /// What is wrong; empty if nothing is.
    pub verdicts: Vec<String>,
    /// What happened, if it was to be kept.
    pub trace: Vec<String>,
    /// Differs between two runs that differ in any message.
    pub fingerprint: u64,
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
    Outcome { verdicts, trace: world.trace.lines().to_vec(), fingerprint: world.fingerprint }
}
