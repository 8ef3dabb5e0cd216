//! Looks after transactions that take long: the store has no clock of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ditto_store::Store;
use tokio::sync::Notify;

/// How often to look while somebody writes; so far times in reports and timeouts may be off.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watches the writer whenever `busy` says that there is something to watch. Ends with its runtime.
pub(crate) async fn watch(store: Store, busy: Arc<Notify>) {
    let begin = Instant::now();
    loop {
        busy.notified().await;
        while store.watch_writer(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
