//! Which subscriptions are refused where they are made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, Instant};

use ditto_peer::{Peer, PeerError};
use ditto_store::TransactionKind;
use ditto_value::{Object, Value};
use support::stranger::{INTERESTS, Stranger};
use support::{PATIENCE, config, listen, open, subscribe};

#[test]
fn subscriptions_that_cannot_be_served_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let peer = Peer::open(config(directory.path())).unwrap();
    for query in
        ["DELETE FROM plants", "SELECT name FROM plants", "SELECT * FROM", "SELECT * FROM plants LIMIT 3"]
    {
        assert!(peer.subscribe(query, Object::new()).is_err(), "{query}");
    }
}

#[test]
fn a_subscription_that_is_too_long_to_travel_is_refused_at_once_however_busy_the_sync_thread_is() {
    let directory = tempfile::tempdir().unwrap();
    let peer = open(directory.path());
    let _subscription = subscribe(&peer, "SELECT * FROM plants");
    let address = listen(&peer);
    let mut stranger = Stranger::new(&config(directory.path()).database_id);
    let hello = stranger.hello(&[]);
    let mut call = stranger.call(&address);
    call.send(hello);
    call.await_message(INTERESTS);
    let transaction = peer.store().begin(TransactionKind::ReadWrite).unwrap();
    call.walk();
    call.batch(1, "fern", 1);
    // It is going to wait for the writer, to take over what has come, and to leave subscriptions without an answer.
    let (begin, mut is_busy) = (Instant::now(), false);
    while !is_busy {
        assert!(begin.elapsed() < PATIENCE, "nothing keeps it busy");
        let asked = Instant::now();
        subscribe(&peer, "SELECT * FROM plants").cancel();
        is_busy = asked.elapsed() >= Duration::from_secs(1);
    }
    let arguments = Object::from_iter([("name".to_owned(), Value::from("x".repeat(200_000)))]);
    let refused = peer.subscribe("SELECT * FROM plants WHERE name = :name", arguments);
    let Err(PeerError::Subscription(reason)) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("several subscriptions"), "{reason}");
    drop(transaction);
    call.hang_up();
}
