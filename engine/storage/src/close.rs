//! Closing once, however many ask for it.

use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};

enum Phase {
    Open,
    Closing(ThreadId),
    Closed,
}

/// Lets the first caller close something, and makes the others wait until that is done.
///
/// Closing may run code of the application that closes the same thing once more (the drop of a callback that owns it):
/// a call from inside of the closing returns at once.
///
/// ```
/// let close = ditto_storage::CloseOnce::default();
/// let first = close.run(|| close.run(|| "not reached"));
/// assert_eq!(first, Some(None));
/// assert_eq!(close.run(|| "not reached"), None);
/// ```
pub struct CloseOnce {
    phase: Mutex<Phase>,
    closed: Condvar,
}

impl Default for CloseOnce {
    fn default() -> Self {
        Self { phase: Mutex::new(Phase::Open), closed: Condvar::new() }
    }
}

impl CloseOnce {
    /// Runs `close` if nobody has; else returns `None` when it is closed, or at once on the thread that is closing.
    /// No lock is held meanwhile. A panic in `close` counts as its end.
    pub fn run<T>(&self, close: impl FnOnce() -> T) -> Option<T> {
        {
            let mut phase = self.phase.lock();
            loop {
                match *phase {
                    Phase::Open => break,
                    Phase::Closed => return None,
                    Phase::Closing(by) if by == thread::current().id() => return None,
                    Phase::Closing(_) => self.closed.wait(&mut phase),
                }
            }
            *phase = Phase::Closing(thread::current().id());
        }
        let _done = Done(self);
        Some(close())
    }
}

struct Done<'a>(&'a CloseOnce);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        *self.0.phase.lock() = Phase::Closed;
        self.0.closed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_second_caller_waits_for_the_first() {
        let close = Arc::new(CloseOnce::default());
        let done = Arc::new(AtomicBool::new(false));
        let (closing, is_closing) = mpsc::channel();
        let (go_on, gate) = mpsc::channel::<()>();
        let first = thread::spawn({
            let (close, done) = (Arc::clone(&close), Arc::clone(&done));
            move || {
                close.run(|| {
                    closing.send(()).unwrap();
                    gate.recv().unwrap();
                    done.store(true, Ordering::SeqCst);
                })
            }
        });
        is_closing.recv().unwrap();
        let others: Vec<_> = (0..3)
            .map(|_| {
                let (close, done) = (Arc::clone(&close), Arc::clone(&done));
                thread::spawn(move || {
                    assert_eq!(close.run(|| ()), None);
                    assert!(done.load(Ordering::SeqCst), "returned before it was closed");
                })
            })
            .collect();
        go_on.send(()).unwrap();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(first.join().unwrap(), Some(()));
    }

    #[test]
    fn a_panic_does_not_make_others_wait_for_ever() {
        let close = Arc::new(CloseOnce::default());
        let panicking = Arc::clone(&close);
        assert!(thread::spawn(move || panicking.run(|| panic!("while closing"))).join().is_err());
        assert_eq!(close.run(|| ()), None);
    }
}
