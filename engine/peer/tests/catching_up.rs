//! Whether a transaction may be visible in part, as a program reads it, over connections that end and begin.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use ditto_peer::Peer;
use ditto_value::Value;
use support::stranger::{INTERESTS, Stranger};
use support::{await_rows, await_that, config, listen, open, subscribe, text};

const INFO: &str = "SELECT documents.sync_session_status AS state, catching_up FROM system:data_sync_info";

/// Waits until the only row has this state, and answers whether it says that something may be visible in part.
fn catching_up(peer: &Peer, state: &str) -> bool {
    let rows = await_that(peer, INFO, |rows| rows.iter().any(|row| text(row, "state") == Some(state)));
    assert_eq!(rows.len(), 1);
    rows[0].get("catching_up") == Some(&Value::Bool(true))
}

#[test]
fn what_is_visible_in_part_is_said_over_all_connections_until_the_rest_has_come() {
    let directory = tempfile::tempdir().unwrap();
    let peer = open(directory.path());
    let _subscription = subscribe(&peer, "SELECT * FROM plants");
    let address = listen(&peer);
    let mut stranger = Stranger::new(&config(directory.path()).database_id);
    stranger.durable = 9;

    let hello = stranger.hello(&[]);
    let mut call = stranger.call(&address);
    call.send(hello);
    call.await_message(INTERESTS);
    call.walk();
    call.batch(1, "fern", 1);
    await_rows(&peer, "SELECT * FROM plants", 1);
    assert!(catching_up(&peer, "Connected"));
    call.hang_up();
    assert!(catching_up(&peer, "Not Connected"));
    let call = stranger.call(&address);
    assert!(catching_up(&peer, "Connected"), "it has not greeted, so nothing is whole yet");
    call.hang_up();
    assert!(catching_up(&peer, "Not Connected"));

    let hello = stranger.hello(&[]);
    let mut call = stranger.call(&address);
    call.send(hello);
    call.await_message(INTERESTS);
    call.walk();
    let serving = "SELECT catching_up FROM system:subscriptions WHERE state = 'Serving'";
    let of_subscription = await_that(&peer, serving, |rows| !rows.is_empty());
    assert_eq!(of_subscription[0].get("catching_up"), Some(&Value::Bool(true)));
    call.batch(1, "moss", 2);
    await_rows(&peer, "SELECT * FROM plants", 2);
    assert!(catching_up(&peer, "Connected"));
    let of_subscription = await_that(&peer, serving, |rows| !rows.is_empty());
    assert_eq!(of_subscription[0].get("catching_up"), Some(&Value::Bool(true)));
    call.hang_up();
}

#[test]
fn of_a_peer_that_has_sent_nothing_nothing_is_visible_in_part() {
    let directory = tempfile::tempdir().unwrap();
    let peer = open(directory.path());
    let _subscription = subscribe(&peer, "SELECT * FROM plants");
    let address = listen(&peer);
    let mut stranger = Stranger::new(&config(directory.path()).database_id);
    stranger.meet(&address, &[]);
    assert!(!catching_up(&peer, "Not Connected"));
}
