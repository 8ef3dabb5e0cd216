//! Threads for the application's callbacks: they may block, so they never run on a thread that serves links.

use ditto_store::Executor;
use tokio::runtime::Handle;

/// Runs observer callbacks on the runtime's blocking threads, which come and go with the work.
pub(crate) struct CallbackThreads(pub(crate) Handle);

impl Executor for CallbackThreads {
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(job);
    }
}
