//! One thread that makes commits durable: soon enough for a lone writer, at once when peers wait to be told.
//!
//! Nothing may be told to a peer before it is on the platter. A sync keeps the disk busy, so
//! there is one thread for it, only when something is new, and with a pause between two syncs.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A commit is on the platter at most this long after it returned, whether or not peers are connected.
pub(crate) const LAZY_DELAY: Duration = Duration::from_millis(100);
/// The longest pause after a sync; the pause is as long as the sync took, so that others get half of the disk's time.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// What a sync reports: how far everything is durable, or why it is not.
pub(crate) trait Sink: Send + 'static {
    /// Makes everything committed so far durable.
    fn sync(&mut self) -> SyncOutcome;
}

/// Whether to go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SyncOutcome {
    Done,
    /// The storage is broken: a failed sync is a crash, there is no second attempt before a recovery.
    Failed,
}

#[derive(Default)]
struct State {
    unsynced: bool,
    eager: bool,
    stopping: bool,
    /// A sync failed; there is none before [`DurabilityHandle::resume`].
    paused: bool,
    /// How often it was resumed.
    resumed: u64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Tells the thread what happened. Cheap; safe to call from a committing thread.
#[derive(Clone, Default)]
pub(crate) struct DurabilityHandle(Arc<Shared>);

impl DurabilityHandle {
    /// Something was committed. Answers whether somebody waits for it to be durable.
    pub(crate) fn committed(&self) -> bool {
        let mut state = self.0.state.lock();
        if !state.unsynced {
            state.unsynced = true;
            self.0.changed.notify_one();
        }
        state.eager
    }

    /// Whether somebody waits for durable data.
    pub(crate) fn set_eager(&self, eager: bool) {
        let mut state = self.0.state.lock();
        if state.eager != eager {
            state.eager = eager;
            self.0.changed.notify_one();
        }
    }

    /// The storage was recovered. Whatever failed before this call does not count.
    pub(crate) fn resume(&self) {
        let mut state = self.0.state.lock();
        state.paused = false;
        state.resumed += 1;
        state.unsynced = true;
        self.0.changed.notify_one();
    }

    fn stop(&self) {
        self.0.state.lock().stopping = true;
        self.0.changed.notify_one();
    }
}

/// The running thread; dropping it syncs what is left and joins.
pub(crate) struct Durability {
    handle: DurabilityHandle,
    thread: Option<JoinHandle<()>>,
}

impl Durability {
    /// Starts the thread that serves `handle`.
    ///
    /// # Errors
    /// The operating system refuses another thread.
    pub(crate) fn start(handle: DurabilityHandle, sink: impl Sink) -> std::io::Result<Self> {
        let shared = handle.clone();
        let thread = std::thread::Builder::new()
            .name("ditto-durability".to_owned())
            .spawn(move || run(&shared.0, sink))?;
        Ok(Self { handle, thread: Some(thread) })
    }
}

impl Drop for Durability {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(
                "the durability thread panicked; the newest commits may not survive a power loss"
            );
        }
    }
}

fn run(shared: &Shared, mut sink: impl Sink) {
    loop {
        let resumed = {
            let mut state = shared.state.lock();
            while (!state.unsynced || state.paused) && !state.stopping {
                shared.changed.wait(&mut state);
            }
            if state.paused {
                return; // stopping, and what is left cannot be synced
            }
            let deadline = Instant::now() + LAZY_DELAY;
            while !state.eager && !state.stopping {
                if shared.changed.wait_until(&mut state, deadline).timed_out() {
                    break;
                }
            }
            if !state.unsynced {
                return; // stopping, and nothing is left
            }
            state.unsynced = false;
            state.resumed
        };
        let begun = Instant::now();
        if sink.sync() == SyncOutcome::Failed {
            let mut state = shared.state.lock();
            state.paused = state.resumed == resumed;
            continue;
        }
        let pause_end = Instant::now() + begun.elapsed().min(LONGEST_PAUSE);
        let mut state = shared.state.lock();
        while !state.stopping {
            if shared.changed.wait_until(&mut state, pause_end).timed_out() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Counter(mpsc::Sender<()>, SyncOutcome);

    impl Sink for Counter {
        fn sync(&mut self) -> SyncOutcome {
            self.0.send(()).unwrap();
            std::mem::replace(&mut self.1, SyncOutcome::Done)
        }
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn every_commit_is_followed_by_a_sync() {
        for eager in [false, true] {
            let (sender, synced) = mpsc::channel();
            let handle = DurabilityHandle::default();
            handle.set_eager(eager);
            let _thread = Durability::start(handle.clone(), Counter(sender, SyncOutcome::Done)).unwrap();
            for _ in 0..3 {
                handle.committed();
                synced.recv_timeout(PATIENCE).unwrap();
            }
        }
    }

    #[test]
    fn closing_syncs_what_is_left() {
        let (sender, synced) = mpsc::channel();
        let handle = DurabilityHandle::default();
        let thread = Durability::start(handle.clone(), Counter(sender, SyncOutcome::Done)).unwrap();
        handle.committed();
        drop(thread);
        assert_eq!(synced.iter().count(), 1);
    }

    #[test]
    fn after_a_recovery_it_goes_on() {
        let (sender, synced) = mpsc::channel();
        let handle = DurabilityHandle::default();
        handle.set_eager(true);
        let thread = Durability::start(handle.clone(), Counter(sender, SyncOutcome::Failed)).unwrap();
        handle.committed();
        synced.recv_timeout(PATIENCE).unwrap();
        // What was committed before the failure as well.
        handle.resume();
        synced.recv_timeout(PATIENCE).unwrap();
        handle.committed();
        synced.recv_timeout(PATIENCE).unwrap();
        drop(thread);
    }

    #[test]
    fn after_a_failed_sync_there_is_no_second_attempt() {
        let (sender, synced) = mpsc::channel();
        let handle = DurabilityHandle::default();
        handle.set_eager(true);
        let thread = Durability::start(handle.clone(), Counter(sender, SyncOutcome::Failed)).unwrap();
        handle.committed();
        synced.recv_timeout(PATIENCE).unwrap();
        handle.committed();
        drop(thread);
        assert_eq!(synced.iter().count(), 0);
    }
}
