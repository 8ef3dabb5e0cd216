//! Hearing of the end of something that is shared.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

#[derive(Default, Debug)]
struct Shared {
    gone: Mutex<bool>,
    changed: Condvar,
}

/// Tells of its own end. As the last field of a struct it tells when all others are dropped.
#[derive(Default, Debug)]
pub(crate) struct Sentinel(Arc<Shared>);

impl Sentinel {
    pub(crate) fn watch(&self) -> Gone {
        Gone(Arc::clone(&self.0))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        *self.0.gone.lock() = true;
        self.0.changed.notify_all();
    }
}

/// Waits for a [`Sentinel`].
pub(crate) struct Gone(Arc<Shared>);

impl Gone {
    /// Whether it is gone, after waiting for that at most as long as `patience`.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let mut gone = self.0.gone.lock();
        self.0.changed.wait_while_for(&mut gone, |gone| !*gone, patience);
        *gone
    }
}
