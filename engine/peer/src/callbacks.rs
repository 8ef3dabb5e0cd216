//! Threads for the application's callbacks: they may block, so they never run on a thread that serves links.
//!
//! The writer's turns have threads of their own. A callback may wait for the writer, so the message that brings the
//! writer to the one before it must not wait for that callback.

use std::io;

use ditto_store::Executor;

use crate::thread_pool::{Job, Limits, ThreadPool};

/// Callbacks of observers that run at once; when so many block, the others wait.
const CALLBACKS: Limits = Limits { name: "ditto-callback", most: 512, many: 64 };
/// Turns that are told at once. There is one writer, so more than one only while an application keeps such a call.
const TURNS: Limits = Limits { name: "ditto-turn", most: 64, many: 8 };

/// Runs what the store has to do outside of its callers' threads.
pub(crate) struct CallbackThreads {
    callbacks: ThreadPool,
    turns: ThreadPool,
}

impl CallbackThreads {
    /// # Errors
    /// The operating system refuses threads.
    pub(crate) fn start() -> io::Result<Self> {
        Self::with(CALLBACKS, TURNS)
    }

    fn with(callbacks: Limits, turns: Limits) -> io::Result<Self> {
        Ok(Self { callbacks: ThreadPool::start(callbacks)?, turns: ThreadPool::start(turns)? })
    }

    /// Drops what has not begun, and all that comes. What runs ends by itself: waiting for a callback that closes the
    /// peer would never end.
    pub(crate) fn stop(&self) {
        self.callbacks.stop();
        self.turns.stop();
    }
}

impl Executor for CallbackThreads {
    fn spawn(&self, job: Job) {
        self.callbacks.spawn(job);
    }

    fn spawn_turn(&self, job: Job) {
        self.turns.spawn(job);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use ditto_storage::MemoryStorage;
    use ditto_store::{Observer, Store, StoreOptions, TransactionKind};
    use ditto_value::Object;

    use super::*;
    use crate::SystemEnvironment;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn callbacks_that_wait_for_the_writer_on_every_thread_do_not_keep_its_turns_from_arriving() {
        let most = 2;
        let limits = Limits { name: "test", most, many: most };
        let executor = Arc::new(CallbackThreads::with(limits, limits).unwrap());
        let options = StoreOptions::new("id", executor);
        let store =
            Store::open(Arc::new(MemoryStorage::new()), Arc::new(SystemEnvironment), options).unwrap();
        let first = store.begin(TransactionKind::ReadWrite).unwrap();
        let begin_later = || {
            let (sender, turn) = mpsc::channel();
            store.begin_later(TransactionKind::ReadWrite, move |begun| sender.send(begun).unwrap());
            turn
        };
        let second = begin_later();
        let (called, calls) = mpsc::channel();
        let observe = |number: usize| -> Observer {
            let (writing, called) = (store.clone(), called.clone());
            let insert = format!("INSERT INTO written DOCUMENTS ({{'_id': {number}}})");
            let write = move |_, _| {
                called.send(()).unwrap();
                writing.execute(&insert, &Object::new()).unwrap();
                called.send(()).unwrap();
            };
            store.observe("SELECT * FROM observed", Object::new(), Box::new(write)).unwrap()
        };
        let observers: Vec<_> = (0..most).map(observe).collect();
        (0..most).for_each(|_| calls.recv_timeout(PATIENCE).unwrap());
        // Every thread waits for the writer now, and so does one who has none.
        first.commit().unwrap();
        let second = second.recv_timeout(PATIENCE).expect("the turn arrives").unwrap();
        second.commit().unwrap();
        (0..most).for_each(|_| calls.recv_timeout(PATIENCE).unwrap());
        drop(observers);
        assert_eq!(store.execute("SELECT * FROM written", &Object::new()).unwrap().rows.len(), most);
    }

    #[test]
    fn refusals_arrive_too() {
        let limits = Limits { name: "test", most: 1, many: 1 };
        let executor = Arc::new(CallbackThreads::with(limits, limits).unwrap());
        let options = StoreOptions::new("id", Arc::clone(&executor) as Arc<dyn Executor>);
        let store =
            Store::open(Arc::new(MemoryStorage::new()), Arc::new(SystemEnvironment), options).unwrap();
        let (release, released) = mpsc::channel::<()>();
        // Nobody sends: it blocks until the sender is dropped.
        executor.spawn(Box::new(move || {
            let _ = released.recv();
        }));
        let writing = store.begin(TransactionKind::ReadWrite).unwrap();
        let (sender, refusal) = mpsc::channel();
        store.begin_later(TransactionKind::ReadWrite, move |begun| sender.send(begun.is_err()).unwrap());
        for now in [0, 1 << 40] {
            store.watch_writer(now);
        }
        assert_eq!(refusal.recv_timeout(PATIENCE), Ok(true));
        drop((release, writing));
    }
}
