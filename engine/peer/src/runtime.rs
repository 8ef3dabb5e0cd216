//! The runtime that serves sockets.

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime that ends without waiting, so that it may be dropped on any thread, also on one of another runtime.
/// Jobs that block still end by themselves; waiting for a callback that closes the peer would never end.
pub(crate) struct BackgroundRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl BackgroundRuntime {
    /// # Errors
    /// The operating system refuses threads, timers or the means to wait for sockets.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("ditto-network")
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for BackgroundRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
