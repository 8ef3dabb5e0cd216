//! What ends when, on whichever thread: instances, observers, callbacks and what they hold.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod support;

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel, sync_channel},
    },
    thread,
};

use dittolive_ditto::{
    dql::{SignalNext, StoreObserver},
    error::ErrorKind,
    prelude::*,
};
use futures::executor::block_on;

use self::support::{Peer, config, next};

const QUERY: &str = "SELECT * FROM c";

/// Runs `body` on a thread of its own and waits for it no longer than is decent.
fn in_time<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = channel();
    let thread = thread::spawn(move || {
        let value = body();
        sender.send(value).ok();
    });
    let value = next(&done);
    thread.join().unwrap();
    value
}

/// Tells when it is dropped.
struct Token(std::sync::mpsc::Sender<()>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

fn token() -> (Token, Receiver<()>) {
    let (sender, dropped) = channel();
    (Token(sender), dropped)
}

#[test]
fn an_instance_may_live_and_end_inside_a_runtime() {
    let body = async || {
        let root = TempRoot::new();
        let ditto = Ditto::open(config(&root, None)).await.unwrap();
        let _observer = ditto.store().register_observer(QUERY, |_| {}).unwrap();
        ditto.sync().start().unwrap();
        ditto.store().execute("INSERT INTO c DOCUMENTS ({'x': 1})").await.unwrap();
        drop(ditto);
        Ditto::open(config(&root, None)).await.unwrap().close();
    };
    in_time(move || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body()));
    in_time(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async { tokio::spawn(body()).await.unwrap() });
    });
}

#[test]
fn an_instance_may_end_inside_its_own_callback() {
    let Peer { root, ditto } = Peer::new();
    let (token, dropped) = token();
    let slot = Arc::new(Mutex::new(None));
    let (closed, is_closed) = channel();
    let own = slot.clone();
    let store = ditto.store().clone();
    let observer = ditto
        .store()
        .register_observer(QUERY, move |result| {
            let _token = &token;
            if result.item_count() == 1 {
                let ditto: Option<Ditto> = own.lock().unwrap().take();
                drop(ditto);
                let error = block_on(store.execute(QUERY)).unwrap_err();
                closed.send(error.kind()).ok();
            }
        })
        .unwrap();
    let store = ditto.store().clone();
    *slot.lock().unwrap() = Some(ditto);
    block_on(store.execute("INSERT INTO c DOCUMENTS ({'_id': 1})")).unwrap();
    assert_eq!(next(&is_closed), ErrorKind::ReleasedDittoInstance);
    next(&dropped);
    assert!(observer.is_cancelled());
    drop(Ditto::open_sync(config(&root, None)).unwrap());
}

#[test]
fn a_handler_may_hold_and_drop_its_own_handle() {
    let peer = Peer::new();
    let slot: Arc<Mutex<Option<Arc<StoreObserver>>>> = Arc::default();
    let (token, dropped) = token();
    let (own, ready) = (slot.clone(), Arc::new(OnceLock::new()));
    let is_ready = ready.clone();
    let observer = peer
        .ditto
        .store()
        .register_observer(QUERY, move |_| {
            let _token = &token;
            is_ready.wait();
            drop(own.lock().unwrap().take());
        })
        .unwrap();
    *slot.lock().unwrap() = Some(observer);
    ready.set(()).unwrap();
    next(&dropped);
    assert!(peer.ditto.store().observers().is_empty());
}

#[test]
fn a_handler_that_is_the_last_owner_of_the_instance_closes_it() {
    let Peer { root, ditto } = Peer::new();
    let ditto = Arc::new(ditto);
    let owned = ditto.clone();
    let observer = ditto.store().register_observer(QUERY, move |_| drop(owned.store().observers())).unwrap();
    drop(ditto);
    // With the handler goes what it owns, which is the instance that the handler belongs to.
    in_time(move || drop(observer));
    // The first call may be under way; then the handler, and all of this, ends with it.
    in_time(move || {
        loop {
            match Ditto::open_sync(config(&root, None)) {
                Ok(ditto) => break drop(ditto),
                Err(_) => thread::yield_now(),
            }
        }
    });
}

#[test]
fn a_panic_while_things_are_dropped_goes_no_further() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the application panics on drop");
        }
    }
    let peer = Peer::new();
    let bomb = Bomb;
    let observer =
        peer.ditto.store().register_observer(QUERY, move |_| assert_eq!(size_of_val(&bomb), 0)).unwrap();
    observer.cancel();
    let bomb = Bomb;
    let _kept =
        peer.ditto.store().register_observer(QUERY, move |_| assert_eq!(size_of_val(&bomb), 0)).unwrap();
    // While a thread panics, a second panic would abort the process.
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        let _peer = peer;
        panic!("the application panics");
    }));
    assert!(outcome.is_err());
}

#[test]
fn an_instance_may_end_when_its_thread_does() {
    thread_local! {
        static LAST: RefCell<Option<Ditto>> = const { RefCell::new(None) };
    }
    let Peer { root, ditto } = Peer::new();
    ditto.sync().start().unwrap();
    in_time(move || LAST.set(Some(ditto)));
    drop(Ditto::open_sync(config(&root, None)).unwrap());
}

#[test]
fn a_directory_is_free_once_closing_returns_whatever_else_runs() {
    let Peer { root, ditto } = Peer::new();
    let documents: Vec<_> = (0..500).map(|x| format!("({{'_id': {x}, 'x': {x}}})")).collect();
    block_on(ditto.store().execute(format!("INSERT INTO c DOCUMENTS {}", documents.join(", ")))).unwrap();
    ditto.close();
    for _ in 0..5 {
        let ditto = Ditto::open_sync(config(&root, None)).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        // Readers and writers that are in the middle of something, and observers that are about to read.
        let busy: Vec<_> = (0..3)
            .map(|thread| {
                let (store, stop) = (ditto.store().clone(), stop.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let statement = match thread {
                            0 => "UPDATE c SET x = x + 1 WHERE true",
                            _ => "SELECT * FROM c ORDER BY x DESC",
                        };
                        if let Err(error) = block_on(store.execute(statement)) {
                            assert_eq!(error.kind(), ErrorKind::ReleasedDittoInstance, "{error}");
                            break;
                        }
                    }
                })
            })
            .collect();
        let (sender, results) = channel();
        let observers: Vec<_> = (0..4)
            .map(|_| {
                let sender = sender.clone();
                ditto.store().register_observer(QUERY, move |_| assert!(sender.send(()).is_ok())).unwrap()
            })
            .collect();
        next(&results);
        ditto.close();
        drop(Ditto::open_sync(config(&root, None)).unwrap());
        stop.store(true, Ordering::Relaxed);
        busy.into_iter().for_each(|thread| thread.join().unwrap());
        drop(observers);
    }
}

#[test]
fn a_signal_outlives_observer_and_instance() {
    let peer = Peer::new();
    let (sender, signals) = sync_channel::<Box<dyn SignalNext>>(1);
    let observer = peer
        .ditto
        .store()
        .register_observer_with_signal_next(QUERY, move |_, signal_next| drop(sender.send(signal_next)))
        .unwrap();
    let signal_next = next(&signals);
    drop((observer, peer));
    signal_next();
    assert!(signals.recv().is_err());
}
