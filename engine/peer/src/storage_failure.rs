//! What a peer does when its storage fails: it stops to sync, says why, and goes on when the cause is gone.
//!
//! Nothing may be told while it is unknown what is on disk. Links that were left up, or dialled again and again, would
//! only greet other peers and turn them away.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ditto_storage::StorageError;
use parking_lot::{Condvar, Mutex};

/// The pause before the first attempt to recover; each further one is twice as long,
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// up to this,
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// and at least this many times as long as the attempt took: looking for damage reads the whole database.
const PAUSE_PER_ATTEMPT: u32 = 20;

/// Cheap to clone; whoever sees the storage fail reports it here.
#[derive(Clone, Default)]
pub(crate) struct StorageFailure(Arc<Inner>);

/// What is done about a failure.
type Response = Box<dyn Fn(&StorageFailure) + Send + Sync>;

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    respond: OnceLock<Response>,
}

#[derive(Default)]
struct State {
    failure: Option<Arc<StorageError>>,
    closing: bool,
}

/// What an attempt to recover came to.
pub(crate) enum Attempt {
    /// The storage works again.
    Done,
    /// Not yet.
    Later,
    /// There is nothing to recover any more.
    GivenUp,
}

impl StorageFailure {
    /// What is to be done: called once for each failure, on a thread of its own, and it may block.
    pub(crate) fn on_report(&self, respond: impl Fn(&Self) + Send + Sync + 'static) {
        // Set once, while the peer opens.
        let _ = self.0.respond.set(Box::new(respond));
    }

    /// The storage failed.
    pub(crate) fn report(&self, error: &StorageError) {
        {
            let mut state = self.0.state.lock();
            if state.failure.is_some() || state.closing {
                return;
            }
            state.failure = Some(Arc::new(error.root().clone()));
        }
        tracing::error!(error = %error.root(), "the storage failed: sync stops, nothing is written until that is put right");
        let failure = self.clone();
        let responding = std::thread::Builder::new().name("ditto-recovery".to_owned()).spawn(move || {
            if let Some(respond) = failure.0.respond.get() {
                respond(&failure);
            }
        });
        if let Err(error) = responding {
            tracing::error!(%error, "sync cannot be stopped; other peers are turned away");
        }
    }

    /// Why the storage does not work, if it does not.
    pub(crate) fn failure(&self) -> Option<Arc<StorageError>> {
        self.0.state.lock().failure.clone()
    }

    /// Calls `attempt` now and then until it has done it. Answers whether it has.
    pub(crate) fn recover(&self, mut attempt: impl FnMut() -> Attempt) -> bool {
        let mut pause = FIRST_PAUSE;
        while self.wait(pause) {
            let begin = Instant::now();
            match attempt() {
                Attempt::Done => {
                    self.0.state.lock().failure = None;
                    return true;
                }
                Attempt::Later => {
                    pause = (pause * 2).min(LONGEST_PAUSE).max(begin.elapsed() * PAUSE_PER_ATTEMPT);
                }
                Attempt::GivenUp => break,
            }
        }
        false
    }

    /// Whether to go on after the pause.
    fn wait(&self, pause: Duration) -> bool {
        let mut state = self.0.state.lock();
        self.0.changed.wait_while_for(&mut state, |state| !state.closing, pause);
        !state.closing
    }

    /// The peer closes: no more is attempted.
    pub(crate) fn close(&self) {
        self.0.state.lock().closing = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn broken() -> StorageError {
        StorageError::Corrupt { detail: "by the test".into() }
    }

    #[test]
    fn each_failure_is_responded_to_once() {
        let (sender, responded) = mpsc::channel();
        let failure = StorageFailure::default();
        failure.on_report(move |_| sender.send(()).unwrap());
        for _ in 0..2 {
            assert!(failure.failure().is_none());
            failure.report(&broken());
            failure.report(&StorageError::Failed { cause: Arc::new(broken()) });
            responded.recv_timeout(PATIENCE).unwrap();
            assert!(matches!(failure.failure().as_deref(), Some(StorageError::Corrupt { .. })));
            let mut attempts = 0;
            assert!(failure.recover(|| {
                attempts += 1;
                if attempts < 2 { Attempt::Later } else { Attempt::Done }
            }));
        }
        assert!(responded.try_recv().is_err());
    }

    #[test]
    fn closing_ends_the_attempts() {
        let failure = StorageFailure::default();
        failure.report(&broken());
        assert!(!failure.recover(|| {
            failure.close();
            Attempt::Later
        }));
        assert!(!failure.recover(|| Attempt::Done));
        assert!(failure.failure().is_some());
    }
}
