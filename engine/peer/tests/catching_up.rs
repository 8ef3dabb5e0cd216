//! Whether a transaction may be visible in part, as a program reads it, over connections that end and begin.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use ditto_crdt::{Birth, Definitions, Document, Hlc, RunId, Sequence, SiteId, Stamp};
use ditto_peer::Peer;
use ditto_value::{Object, Value};
use support::stranger::{BATCH, Call, INTERESTS, RUN, Stranger, WALK, bytes, message, number};
use support::{await_rows, await_that, config, listen, open, subscribe, text};

const INFO: &str = "SELECT documents.sync_session_status AS state, catching_up FROM system:data_sync_info";

/// Waits until the only row has this state, and answers whether it says that something may be visible in part.
fn catching_up(peer: &Peer, state: &str) -> bool {
    let rows = await_that(peer, INFO, |rows| rows.iter().any(|row| text(row, "state") == Some(state)));
    assert_eq!(rows.len(), 1);
    rows[0].get("catching_up") == Some(&Value::Bool(true))
}

/// A complete document.
fn document(id: &str) -> Vec<u8> {
    let birth = Birth { stamp: Stamp::new(Hlc::from_millis(1_000), SiteId(7)), run: RunId(9) };
    let mut document = Document::new();
    document.insert(&Object::new(), &Definitions::default(), birth, Sequence(1)).unwrap();
    let delta = document.delta_since(Sequence::ZERO).encode();
    let id = ditto_value::key::of(&Value::from(id));
    [number(1, 1), bytes(2, &id), bytes(5, &delta), number(7, 1)].concat()
}

/// Tells that it starts where it was asked to.
fn walk(call: &Call<'_>) {
    call.send(message(WALK, &[number(1, 1)]));
}

/// Tells of one document, up to this sequence, and not that this is all.
fn batch(call: &Call<'_>, batch: u8, id: &str, sequence: u8) {
    let end = [number(1, 1), bytes(2, &RUN), number(3, sequence)].concat();
    call.send(message(BATCH, &[number(1, batch), bytes(2, &document(id)), bytes(3, &end)]));
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
    walk(&call);
    batch(&call, 1, "fern", 1);
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
    walk(&call);
    let serving = "SELECT catching_up FROM system:subscriptions WHERE state = 'Serving'";
    let of_subscription = await_that(&peer, serving, |rows| !rows.is_empty());
    assert_eq!(of_subscription[0].get("catching_up"), Some(&Value::Bool(true)));
    batch(&call, 1, "moss", 2);
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
