//! The clock and the randomness of a running peer. Everything below this crate takes them as arguments.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ditto_store::Environment;

/// From when on [`Environment::elapsed_ms`] counts.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The operating system's clock and random number generator.
#[derive(Debug, Default)]
pub struct SystemEnvironment;

/// Milliseconds since 1970; 0 on a clock that stands before.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Environment for SystemEnvironment {
    fn now_ms(&self) -> u64 {
        now_ms()
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn elapsed_ns(&self) -> u64 {
        u64::try_from(BEGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    #[expect(
        clippy::expect_used,
        reason = "without randomness ids would repeat; no safe way to go on exists"
    )]
    fn random_u64(&self) -> u64 {
        getrandom::u64().expect("the operating system has no randomness")
    }
}
