//! Flushing a storage that was written to and then left alone.
//!
//! Large memtables make bulk loads fast: every table that is flushed is merged several times later. But what is in them
//! costs memory for as long as it stays there, and must be replayed from the journal when the process ends without
//! closing. So they are emptied as soon as nobody writes.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::StorageError;

/// What is not worth a flush: it costs little memory, is replayed in no time, and an application that writes a little
/// now and then should not make a table of each write.
const NEGLIGIBLE_BYTES: usize = 1 << 20;

/// What can be flushed.
pub(crate) trait Flush: Send + Sync + 'static {
    fn flush(&self) -> Result<(), StorageError>;
}

/// A thread that flushes when no write was noted for a while. Dropping it ends the thread, and waits for a flush that
/// is under way.
pub(crate) struct IdleFlush {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    unflushed_bytes: usize,
    last_write: Option<Instant>,
    stopped: bool,
}

impl IdleFlush {
    /// Flushes `target` whenever it was not written to for `pause`. Holds it only while flushing.
    pub(crate) fn start(target: Weak<impl Flush>, pause: Duration) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let thread = std::thread::Builder::new().name("ditto-idle-flush".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                while shared.wait_until_idle(pause) {
                    let Some(target) = target.upgrade() else { return };
                    // The target remembers the error and tells the next writer.
                    if target.flush().is_err() {
                        return;
                    }
                }
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes that something was written.
    pub(crate) fn wrote(&self, bytes: usize) {
        let mut state = self.shared.state.lock();
        let negligible_before = state.unflushed_bytes < NEGLIGIBLE_BYTES;
        state.unflushed_bytes = state.unflushed_bytes.saturating_add(bytes);
        state.last_write = Some(Instant::now());
        if negligible_before && state.unflushed_bytes >= NEGLIGIBLE_BYTES {
            self.shared.changed.notify_one();
        }
    }
}

impl Shared {
    /// Returns true when there is something to flush that nobody is adding to, false when the thread is to end.
    fn wait_until_idle(&self, pause: Duration) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return false;
            }
            match state.last_write {
                Some(last_write) if state.unflushed_bytes >= NEGLIGIBLE_BYTES => {
                    let due = last_write + pause;
                    if Instant::now() >= due {
                        state.unflushed_bytes = 0;
                        return true;
                    }
                    self.changed.wait_until(&mut state, due);
                }
                _ => self.changed.wait(&mut state),
            }
        }
    }
}

impl Drop for IdleFlush {
    fn drop(&mut self) {
        self.shared.state.lock().stopped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that flushes an idle storage panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Flushes(mpsc::Sender<()>);

    impl Flush for Flushes {
        fn flush(&self) -> Result<(), StorageError> {
            self.0.send(()).map_err(|_| StorageError::Closed)
        }
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn what_was_written_is_flushed_when_writing_stops() {
        let (sender, flushed) = mpsc::channel();
        let target = Arc::new(Flushes(sender));
        let idle = IdleFlush::start(Arc::downgrade(&target), Duration::ZERO).unwrap();
        for _ in 0..3 {
            idle.wrote(NEGLIGIBLE_BYTES);
            flushed.recv_timeout(PATIENCE).unwrap();
        }
        drop(idle);
        assert!(flushed.try_recv().is_err(), "flushed without a write");
    }

    #[test]
    fn a_little_is_left_until_it_has_become_much() {
        let (sender, flushed) = mpsc::channel();
        let target = Arc::new(Flushes(sender));
        let idle = IdleFlush::start(Arc::downgrade(&target), Duration::ZERO).unwrap();
        for _ in 0..4 {
            assert!(flushed.try_recv().is_err());
            idle.wrote(NEGLIGIBLE_BYTES / 4);
        }
        flushed.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn nothing_is_flushed_while_somebody_writes_and_the_thread_ends_when_told() {
        let (sender, flushed) = mpsc::channel();
        let target = Arc::new(Flushes(sender));
        let idle = IdleFlush::start(Arc::downgrade(&target), PATIENCE).unwrap();
        idle.wrote(NEGLIGIBLE_BYTES);
        drop(idle);
        assert!(flushed.try_recv().is_err());
    }

    #[test]
    fn the_target_is_not_kept_alive() {
        let (sender, flushed) = mpsc::channel();
        let target = Arc::new(Flushes(sender));
        let idle = IdleFlush::start(Arc::downgrade(&target), Duration::ZERO).unwrap();
        drop(target);
        idle.wrote(NEGLIGIBLE_BYTES);
        assert_eq!(flushed.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
