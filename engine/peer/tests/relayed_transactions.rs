//! Large transactions through a peer in the middle: what a reader at the far end may see of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::mpsc;

use ditto_peer::Peer;
use ditto_store::TransactionKind;
use ditto_value::{Object, Value};
use support::{PATIENCE, await_that, connect, execute, listen, number, open, subscribe};
use tempfile::TempDir;

const COUNT: &str = "SELECT COUNT(*) AS n FROM big";

/// Peers in a line, which all subscribe to `big` and are up to date.
struct Line {
    author: Peer,
    relay: Peer,
    reader: Peer,
    _directories: [TempDir; 3],
}

impl Line {
    fn new() -> Self {
        let directories = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [author, relay, reader] = directories.each_ref().map(|directory| open(directory.path()));
        subscribe(&relay, "SELECT * FROM big");
        subscribe(&reader, "SELECT * FROM big");
        let at_author = listen(&author);
        connect(&reader, &listen(&relay));
        let mut both = relay.transport_config();
        both.connect.tcp_servers.insert(at_author);
        assert_eq!(relay.set_transport_config(both).unwrap(), Vec::<String>::new());
        for peer in [&relay, &reader] {
            let ready = "SELECT _id FROM system:subscriptions WHERE state = 'Serving' AND NOT catching_up";
            await_that(peer, ready, |rows| !rows.is_empty());
        }
        Self { author, relay, reader, _directories: directories }
    }

    fn insert(&self, documents: u64) {
        let transaction = self.author.store().begin(TransactionKind::ReadWrite).unwrap();
        for first in (0..documents).step_by(1_000) {
            let new =
                (first..documents.min(first + 1_000)).map(|id| Object::from([("_id", Value::from(id))]));
            let new = Value::Array(new.map(Value::Object).collect());
            let arguments = Object::from([("new", new)]);
            transaction.execute("INSERT INTO big DOCUMENTS (:new)", &arguments).unwrap();
        }
        transaction.commit().unwrap();
    }
}

fn count(peer: &Peer) -> u64 {
    number(&execute(peer, COUNT)[0], "n").unwrap()
}

/// Tells how many documents there are, whenever that changes, and what `look` sees then.
fn observe<T: Send + 'static>(
    peer: &Peer,
    look: impl Fn(&Peer) -> T + Send + 'static,
) -> (ditto_store::Observer, mpsc::Receiver<(u64, T)>) {
    let (sender, seen) = mpsc::channel();
    let looking = peer.clone();
    let handler = move |result: ditto_store::QueryResult, next: ditto_store::SignalNext| {
        let rows = result.rows.iter().map(|row| row.value().to_value()).collect::<Vec<_>>();
        // The receiver is gone once everything was seen.
        let _ = sender.send((number(&rows[0], "n").unwrap(), look(&looking)));
        next.signal();
    };
    (peer.store().observe(COUNT, Object::new(), Box::new(handler)).unwrap(), seen)
}

#[test]
fn a_transaction_of_ten_thousand_documents_is_whole_at_the_relay_and_behind_it() {
    const ALL: u64 = 10_000;
    let line = Line::new();
    let seen = [&line.relay, &line.reader].map(|peer| observe(peer, |_| ()));
    line.insert(ALL);
    for (_observer, counts) in &seen {
        loop {
            let (count, ()) = counts.recv_timeout(PATIENCE).expect("the transaction arrives");
            assert!([0, ALL].contains(&count), "{count} documents of a transaction of {ALL} were seen");
            if count == ALL {
                break;
            }
        }
    }
}

#[test]
fn of_a_larger_transaction_a_part_is_seen_only_while_the_reader_says_that_it_is_catching_up() {
    const ALL: u64 = 25_000;
    let line = Line::new();
    let (_observer, seen) = observe(&line.reader, |peer| {
        let info = execute(peer, "SELECT catching_up FROM system:data_sync_info");
        // In this order: what was a part before may be whole now.
        (info[0].get("catching_up") == Some(&Value::Bool(true)), count(peer))
    });
    line.insert(ALL);
    loop {
        let (before, (catching_up, after)) = seen.recv_timeout(PATIENCE).expect("the transaction arrives");
        let is_whole = |count: u64| [0, ALL].contains(&count);
        assert!(is_whole(before) || catching_up || is_whole(after), "{before} documents, then {after}");
        if before == ALL {
            break;
        }
    }
    let done = "SELECT catching_up FROM system:data_sync_info WHERE NOT catching_up";
    await_that(&line.reader, done, |rows| !rows.is_empty());
}
