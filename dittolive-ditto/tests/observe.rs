//! Observers: what is called, when, and until when.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod support;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
    mpsc::{Receiver, channel},
};

use dittolive_ditto::{
    dql::{Differ, SignalNext, StoreObserver},
    error::{CoreApiErrorKind, ErrorKind},
    prelude::CborValueGetters,
};
use futures::executor::block_on;
use serde_json::json;

use self::support::{Peer, next, rows};

const QUERY: &str = "SELECT * FROM c WHERE x >= 0 ORDER BY x";

/// An observer that sends the rows of each result.
fn observe(peer: &Peer) -> (Arc<StoreObserver>, Receiver<Vec<String>>) {
    let (sender, receiver) = channel();
    let observer = peer
        .ditto
        .store()
        .register_observer(QUERY, move |result| {
            assert!(result.commit_id().is_none());
            sender.send(rows(&result)).ok();
        })
        .unwrap();
    (observer, receiver)
}

fn insert(peer: &Peer, x: i64) {
    peer.execute(("INSERT INTO c DOCUMENTS (:d)", json!({"d": {"_id": x, "x": x}})));
}

#[test]
fn the_first_result_always_comes_and_then_changes_only() {
    let peer = Peer::new();
    let (_observer, results) = observe(&peer);
    assert!(next(&results).is_empty());
    insert(&peer, -1);
    peer.execute("INSERT INTO other DOCUMENTS ({'x': 1})");
    insert(&peer, 1);
    assert_eq!(next(&results), [r#"{"_id":1,"x":1}"#]);
    peer.execute("UPDATE c SET x = -5 WHERE _id = 1");
    assert!(next(&results).is_empty());
}

#[test]
fn a_differ_tells_what_changed() {
    let peer = Peer::new();
    let (sender, diffs) = channel();
    let differ = Differ::new();
    let _observer = peer
        .ditto
        .store()
        .register_observer(QUERY, move |result| {
            sender.send(differ.diff(&result)).ok();
        })
        .unwrap();
    assert!(next(&diffs).insertions.is_empty());
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1}), ({'_id': 2, 'x': 2})");
    assert_eq!(next(&diffs).insertions, [0, 1].into());
    peer.execute("UPDATE c SET x = 3 WHERE _id = 1");
    let diff = next(&diffs);
    assert_eq!((diff.updates, diff.moves.len()), ([1].into(), 2));
    peer.execute("DELETE FROM c WHERE _id = 2");
    assert_eq!(next(&diffs).deletions, [0].into());
}

#[test]
fn changes_wait_for_the_signal_and_come_together() {
    let peer = Peer::new();
    let (sender, results) = channel::<(Vec<String>, Box<dyn SignalNext>)>();
    let _observer = peer
        .ditto
        .store()
        .register_observer_with_signal_next(QUERY, move |result, signal_next| {
            sender.send((rows(&result), signal_next)).ok();
        })
        .unwrap();
    let (first, signal_next) = next(&results);
    assert!(first.is_empty());
    for x in 0..20 {
        insert(&peer, x);
    }
    assert!(results.try_recv().is_err());
    signal_next();
    assert_eq!(next(&results).0.len(), 20);
}

#[test]
fn a_callback_may_write_and_register_and_cancel_itself() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let own: Arc<OnceLock<Arc<StoreObserver>>> = Arc::default();
    let (sender, counts) = channel();
    let (handle, inner) = (own.clone(), store.clone());
    let observer = store
        .register_observer(QUERY, move |result| {
            let count = result.item_count();
            sender.send(count).ok();
            if count == 5 {
                inner.register_observer("SELECT * FROM other", |_| {}).unwrap().cancel();
                handle.wait().cancel();
            }
            let next = json!({"d": {"_id": count, "x": count}});
            block_on(inner.execute(("INSERT INTO c DOCUMENTS (:d)", next))).unwrap();
        })
        .unwrap();
    assert!(own.set(observer.clone()).is_ok());
    assert_eq!(counts.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert!(observer.is_cancelled());
    assert_eq!(peer.execute("SELECT * FROM c").item_count(), 6);
}

#[test]
fn a_panic_in_a_callback_ends_the_call_only() {
    let peer = Peer::new();
    let (sender, results) = channel();
    let _observer = peer
        .ditto
        .store()
        .register_observer(QUERY, move |result| {
            sender.send(result.item_count()).ok();
            assert_ne!(result.item_count(), 1, "the application panics");
        })
        .unwrap();
    assert_eq!(next(&results), 0);
    insert(&peer, 1);
    assert_eq!(next(&results), 1);
    insert(&peer, 2);
    assert_eq!(next(&results), 2);
}

#[test]
fn an_observer_ends_by_cancel_and_by_drop() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let (cancelled, from_cancelled) = observe(&peer);
    let (dropped, from_dropped) = observe(&peer);
    let (kept, from_kept) = observe(&peer);
    for receiver in [&from_cancelled, &from_dropped, &from_kept] {
        next(receiver);
    }
    assert_eq!(store.observers().len(), 3);
    assert!(store.observers().contains(&*kept));
    assert!(kept != cancelled && kept.query_string() == QUERY && kept.query_arguments().is_none());
    // Listed handles end nothing.
    drop(store.observers());

    cancelled.cancel();
    cancelled.cancel();
    drop(dropped);
    assert!(cancelled.is_cancelled());
    assert_eq!(
        store.observers().keys.keys().map(|observer| observer.is_cancelled()).collect::<Vec<_>>(),
        [false]
    );
    insert(&peer, 1);
    assert_eq!(next(&from_kept).len(), 1);
    // The handlers are gone, and their senders with them.
    assert!(from_cancelled.recv().is_err());
    assert!(from_dropped.recv().is_err());
}

#[test]
fn closing_drops_the_handlers() {
    let released = Arc::new(AtomicBool::new(false));
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let flag = Flag(released.clone());
    let (sender, results) = channel();
    let peer = Peer::new();
    let observer = peer
        .ditto
        .store()
        .register_observer(QUERY, move |_| {
            let _flag = &flag;
            sender.send(()).ok();
        })
        .unwrap();
    next(&results);
    drop(peer);
    assert!(results.recv().is_err());
    assert!(released.load(Ordering::SeqCst) && observer.is_cancelled());
}

#[test]
fn only_selects_are_observed() {
    let peer = Peer::new();
    for (wrong, kind) in [
        ("", Some(CoreApiErrorKind::DqlQueryCompilation)),
        ("DELETE FROM c", None),
        ("EXPLAIN SELECT * FROM c", None),
    ] {
        let error = peer.ditto.store().register_observer(wrong, |_| {}).unwrap_err();
        assert!(kind.is_none_or(|kind| error.kind() == ErrorKind::CoreApi(kind)), "{wrong}: {error}");
    }
    assert!(peer.ditto.store().observers().is_empty());
}

#[test]
fn arguments_are_reported_as_given() {
    let peer = Peer::new();
    let arguments = json!({"x": 1});
    let observer =
        peer.ditto.store().register_observer(("SELECT * FROM c WHERE x = :x", &arguments), |_| {}).unwrap();
    assert_eq!(observer.query_arguments(), Some(arguments.into()));
}

#[test]
fn writes_of_one_callback_come_back_as_one_result() {
    let peer = Peer::new();
    let store = peer.ditto.store().clone();
    let (sender, counts) = channel();
    let _observer = peer
        .ditto
        .store()
        .register_observer(QUERY, move |result| {
            if result.item_count() == 1 {
                for x in 2..=5 {
                    block_on(
                        store.execute(("INSERT INTO c DOCUMENTS (:d)", json!({"d": {"_id": x, "x": x}}))),
                    )
                    .unwrap();
                }
            }
            sender.send(result.item_count()).ok();
        })
        .unwrap();
    assert_eq!(next(&counts), 0);
    insert(&peer, 1);
    assert_eq!((next(&counts), next(&counts)), (1, 5));
}

#[test]
fn every_document_of_a_long_stream_is_seen_in_order_and_by_one_call_at_a_time() {
    const DOCUMENTS: i64 = 200;
    let peer = Peer::new();
    let store = peer.ditto.store().clone();
    let (sender, seen) = channel();
    let inside = AtomicBool::new(false);
    let _observer = peer
        .ditto
        .store()
        .register_observer("SELECT * FROM c WHERE seen IS MISSING ORDER BY x", move |result| {
            assert!(!inside.swap(true, Ordering::SeqCst));
            for row in &result {
                let value = row.value();
                let x = value["x"].as_i64().unwrap();
                sender.send(x).ok();
                let mark = ("UPDATE c SET seen = true WHERE _id = :x", json!({"x": x}));
                block_on(store.execute(mark)).unwrap();
            }
            inside.store(false, Ordering::SeqCst);
        })
        .unwrap();
    for x in 0..DOCUMENTS {
        insert(&peer, x);
    }
    for x in 0..DOCUMENTS {
        assert_eq!(next(&seen), x);
    }
}

#[test]
fn a_cancelled_observer_is_not_called_any_more() {
    let peer = Peer::new();
    let (kept, from_kept) = observe(&peer);
    next(&from_kept);
    for x in 0..30 {
        let (observer, results) = observe(&peer);
        observer.cancel();
        let before = results.try_iter().count();
        insert(&peer, x);
        next(&from_kept);
        // A call that had begun may still end; a later result never comes.
        assert!(before + results.iter().count() <= 1);
    }
    drop(kept);
}
