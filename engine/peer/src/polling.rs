//! Has observers look again where nobody tells of changes: the store has no clock of its own.

use std::sync::Arc;

use ditto_store::Store;
use tokio::sync::Notify;

/// Polls from the time on that `wanted` says so, as long as there is somebody to poll for. Ends with its runtime.
pub(crate) async fn poll(store: Store, wanted: Arc<Notify>) {
    loop {
        wanted.notified().await;
        loop {
            tokio::select! {
                () = tokio::time::sleep(store.polling_interval()) => {
                    if !store.poll_observers() {
                        break;
                    }
                }
                // The interval may be another one.
                () = wanted.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use ditto_storage::MemoryStorage;
    use ditto_store::{QueryResult, SignalNext, StoreOptions};
    use ditto_value::Object;

    use super::*;
    use crate::SystemEnvironment;
    use crate::callbacks::CallbackThreads;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn observers_of_virtual_collections_hear_of_changes_that_nobody_tells_of() {
        let executor = Arc::new(CallbackThreads::start().unwrap());
        let options = StoreOptions::new("id", executor);
        let store =
            Store::open(Arc::new(MemoryStorage::new()), Arc::new(SystemEnvironment), options).unwrap();
        let set = |interval: u32| {
            let alter =
                format!("ALTER SYSTEM SET live_query_system_collection_refresh_interval = {interval}");
            store.execute(&alter, &Object::new()).unwrap();
        };
        set(3_600_000);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let wanted = Arc::new(Notify::new());
        runtime.spawn(poll(store.clone(), Arc::clone(&wanted)));
        store.on_polling(move || wanted.notify_one());
        let number = Arc::new(AtomicI64::new(1));
        let shown = Arc::clone(&number);
        let rows = move || vec![Object::from([("n", shown.load(Ordering::SeqCst))])];
        store.register_virtual_collection("system:test", Arc::new(rows));
        let (sender, results) = mpsc::channel();
        let on_change = move |result: QueryResult, signal: SignalNext| {
            sender.send(result.rows[0].value().to_json()).unwrap();
            signal.signal();
        };
        let observer =
            store.observe("SELECT * FROM system:test", Object::new(), Box::new(on_change)).unwrap();
        assert_eq!(results.recv_timeout(PATIENCE).unwrap(), r#"{"n":1}"#);
        number.store(2, Ordering::SeqCst);
        // In an hour; now, more often.
        set(10);
        assert_eq!(results.recv_timeout(PATIENCE).unwrap(), r#"{"n":2}"#);
        number.store(3, Ordering::SeqCst);
        assert_eq!(results.recv_timeout(PATIENCE).unwrap(), r#"{"n":3}"#);
        drop(observer);
        assert_eq!(results.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
