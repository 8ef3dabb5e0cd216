//! What a peer does when its storage fails: it stops to sync, once, and says why.
//!
//! A storage that failed stays failed until the peer is opened again. Links that were left up, or dialled again and
//! again, would only greet other peers and turn them away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Cheap to clone; whoever sees the storage fail reports it here.
#[derive(Clone, Default)]
pub(crate) struct StorageFailure(Arc<Inner>);

#[derive(Default)]
struct Inner {
    reported: AtomicBool,
    stop: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl StorageFailure {
    /// What is to be done: called once, on a thread of its own, and it may block.
    pub(crate) fn on_report(&self, stop: impl Fn() + Send + Sync + 'static) {
        // Set once, while the peer opens.
        let _ = self.0.stop.set(Box::new(stop));
    }

    /// The storage failed.
    pub(crate) fn report(&self, error: &dyn std::fmt::Display) {
        if self.0.reported.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::error!(%error, "the storage failed and sync stops: free the cause and open the peer again");
        let inner = Arc::clone(&self.0);
        let stopping = std::thread::Builder::new().name("ditto-stop".to_owned()).spawn(move || {
            if let Some(stop) = inner.stop.get() {
                stop();
            }
        });
        if let Err(error) = stopping {
            tracing::error!(%error, "sync cannot be stopped; other peers are turned away");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_report_stops_sync_and_later_ones_do_nothing() {
        let (sender, stopped) = mpsc::channel();
        let failure = StorageFailure::default();
        failure.on_report(move || sender.send(()).unwrap());
        failure.report(&"disk full");
        failure.report(&"disk full");
        stopped.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(failure);
        // The thread of the report holds the last handle; its end ends the channel.
        assert!(stopped.recv_timeout(Duration::from_secs(10)).is_err());
    }
}
