//! What the store takes from outside: time, randomness, threads.

/// Time and randomness, so that a whole store can be replayed from a seed.
pub trait Environment: Send + Sync {
    /// Wall clock, milliseconds since 1970 (UTC). May jump either way; stamps never go back with it.
    fn now_ms(&self) -> u64;
    /// 64 bits that nobody can predict.
    fn random_u64(&self) -> u64;
    /// Milliseconds by a clock that measures how long things take, and does not jump. One that stands still measures
    /// nothing: then no statement is slow, and none runs into a timeout.
    fn elapsed_ms(&self) -> u64 {
        0
    }
    /// The same in nanoseconds, for PROFILE.
    fn elapsed_ns(&self) -> u64 {
        self.elapsed_ms().saturating_mul(1_000_000)
    }
}

/// Runs what must not run on a caller's thread. The store has no threads of its own.
pub trait Executor: Send + Sync {
    /// Runs `job` soon, on any thread but inside this very call. Jobs call observers: they may block, also until
    /// somebody else has written.
    fn spawn(&self, job: Box<dyn FnOnce() + Send>);

    /// As [`Self::spawn`], for jobs that bring the writer to those who asked for it with
    /// [`Store::begin_later`](crate::Store::begin_later). They must not wait until one from [`Self::spawn`] has ended:
    /// that one may be waiting for the writer. An executor with a thread for every job need not tell them apart.
    fn spawn_turn(&self, job: Box<dyn FnOnce() + Send>) {
        self.spawn(job);
    }
}

/// A random UUID (version 4) as text.
pub(crate) fn random_uuid(environment: &dyn Environment) -> String {
    let (high, low) = (environment.random_u64(), environment.random_u64());
    let high = (high & !0xF000) | 0x4000;
    let low = (low & (u64::MAX >> 2)) | (1 << 63);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
}
