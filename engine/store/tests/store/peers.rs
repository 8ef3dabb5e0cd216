//! What is remembered of remote peers, and what must stay true when it is forgotten.

use ditto_crdt::{Sequence, SiteId};
use ditto_storage::{Batch, Keyspace, Storage};
use ditto_store::{Acknowledged, DocumentKey, Greeting, MAX_REPLICATION_ROWS, Sent, ServedInterest};
use ditto_value::Value;

use crate::lifecycle::Peer;
use crate::support::{assert_consistent, run, run_with};

const DAY_MS: u64 = 24 * 3_600_000;
const EVERYTHING: &str = "SELECT * FROM c";

/// The process is killed and started again.
fn killed(peer: Peer) -> Peer {
    let image = peer.storage.snapshot();
    peer.restored(&*image)
}

/// So many others come by that the housekeeping forgets who was there before.
fn forget(peer: &Peer) {
    peer.clock.advance(DAY_MS);
    let replica = peer.store.replica();
    for number in 0..MAX_REPLICATION_ROWS as u64 + 20 {
        let mut name = [9; 32];
        name[..8].copy_from_slice(&number.to_be_bytes());
        let greeting =
            Greeting { site: SiteId(1_000 + number), evictions: 0, is_behind: false, clock_ms: None };
        replica.greeted(&name, 1_000 + number, greeting).expect("stored");
    }
    peer.after(DAY_MS);
    assert_eq!(replica.known_peers().iter().filter(|known| known.peer[31] != 9).count(), 0);
}

fn greet(peer: &Peer, remote: &Peer, evictions: u64) {
    let greeting = Greeting { site: remote.store.site(), evictions, is_behind: false, clock_ms: None };
    peer.store.replica().greeted(&remote.name, remote.origin(), greeting).expect("stored");
}

fn keys(peer: &Peer) -> Vec<DocumentKey> {
    peer.changes(Sequence::ZERO).into_iter().map(|document| document.key).collect()
}

fn evicted(peer: &Peer, condition: &str) -> Vec<Value> {
    run(&peer.store, &format!("EVICT FROM c WHERE {condition}")).mutated_ids
}

#[test]
fn what_came_from_a_peer_that_was_forgotten_proves_nothing() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    run(&b.store, "INSERT INTO c DOCUMENTS ({'_id': 'd'})");
    greet(&a, &b, 0);
    a.receive(&b, b.changes(Sequence::ZERO));
    forget(&a);
    let a = killed(a);
    // It has evicted meanwhile, and nobody is left who knows how often it had before.
    greet(&a, &b, 1);
    assert_eq!(evicted(&a, "true"), [], "the last copy");
    let a = killed(a);
    greet(&a, &b, 1);
    assert_eq!(evicted(&a, "true"), [], "the last copy");
    run(&b.store, "INSERT INTO c DOCUMENTS ({'_id': 'e'})");
    a.receive(&b, b.changes(Sequence(1)));
    assert_eq!(evicted(&a, "true"), [Value::from("e")], "what comes from now on is known to be there");
    assert_consistent(&a.store);
}

#[test]
fn what_a_peer_did_not_take_it_does_not_hold_when_it_was_forgotten() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    greet(&a, &b, 0);
    a.serve(&b, EVERYTHING, 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    a.acknowledged(&b, 1, vec![(keys(&a)[0].clone(), Sequence(1))]);
    forget(&a);
    let a = killed(a);
    // It goes on behind what it did not take.
    greet(&a, &b, 0);
    a.serve(&b, EVERYTHING, 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 3})");
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(evicted(&a, "_id = 1"), []);
    a.clock.advance(10_000);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 4})");
    let a = killed(a);
    assert_eq!(evicted(&a, "_id = 1"), []);
    assert_eq!(evicted(&a, "_id > 2"), [Value::Int(3)], "what it took since it was met again is there");
}

#[test]
fn a_peer_that_had_taken_everything_may_be_forgotten_and_met_again() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    greet(&a, &b, 0);
    a.serve(&b, EVERYTHING, 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    a.acknowledged(&b, 1, Vec::new());
    forget(&a);
    greet(&a, &b, 0);
    a.serve(&b, EVERYTHING, 1);
    assert_eq!(evicted(&a, "true"), [], "not heard yet");
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(evicted(&a, "true"), [Value::Int(1)]);
}

#[test]
fn what_was_not_taken_beyond_what_is_remembered_is_not_held_either() {
    const REMEMBERED: usize = 10_000;
    let (a, b) = (Peer::new(1), Peer::new(2));
    greet(&a, &b, 0);
    a.serve(&b, EVERYTHING, 1);
    let documents: Vec<String> = (0..=REMEMBERED).map(|id| format!("{{\"_id\": {id}}}")).collect();
    run_with(&a.store, "INSERT INTO c DOCUMENTS (:d)", &format!("{{\"d\": [{}]}}", documents.join(",")));
    let unheld: Vec<_> = keys(&a).into_iter().map(|key| (key, Sequence(1))).collect();
    a.acknowledged(&b, 1, unheld.clone());
    // It takes all but the last one after all.
    let held = unheld[..REMEMBERED].iter().cloned();
    let held = held.map(|(key, from)| Sent { key, from, row: Some(from) }).collect();
    let acknowledged = Acknowledged { held, ..Acknowledged::default() };
    a.store.replica().acknowledged(&b.name, &acknowledged);
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(evicted(&a, &format!("_id = {REMEMBERED}")), []);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'new'})");
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(evicted(&a, "_id = 'new'"), [Value::from("new")]);
}

#[test]
fn a_crash_right_after_a_peer_was_met_does_not_make_what_it_sent_proven() {
    let (a, b, other) = (Peer::new(1), Peer::new(2), Peer::new(3));
    run(&b.store, "INSERT INTO c DOCUMENTS ({'_id': 'd'})");
    greet(&a, &other, 0);
    run(&a.store, "INSERT INTO other DOCUMENTS ({'_id': 1})");
    // What is known of peers was stored a moment ago.
    greet(&a, &b, 5);
    a.receive(&b, b.changes(Sequence::ZERO));
    let a = killed(a);
    greet(&a, &b, 6);
    assert_eq!(evicted(&a, "true"), [], "it has evicted since");
}

#[test]
fn a_row_of_nobody_is_no_peer() {
    let a = Peer::new(1);
    let mut batch = Batch::new();
    batch.put(Keyspace::Replication, [&[3][..], &[0; 32]].concat(), [0; 40]);
    a.storage.commit(batch).expect("commits");
    let image = a.storage.snapshot();
    let a = a.restored(&*image);
    assert_eq!(a.store.replica().known_peers(), []);
}

#[test]
fn who_states_less_than_it_had_acknowledged_has_lost_it() {
    for lost in [0, 1] {
        let (a, b) = (Peer::new(1), Peer::new(2));
        greet(&a, &b, 0);
        run(&b.store, "INSERT INTO c DOCUMENTS ({'_id': 'theirs'})");
        a.receive(&b, b.changes(Sequence::ZERO));
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'told'})");
        a.serve(&b, EVERYTHING, 1);
        a.acknowledged(&b, 1, Vec::new());
        let held = Sequence(a.store.last_sequence().0 - lost);
        let interest =
            ServedInterest { selection: [1; 16], query: EVERYTHING.to_owned(), arguments: Vec::new(), held };
        a.store.replica().serves(&b.name, b.origin(), interest);
        // That is stored at once.
        let a = if lost == 0 { a } else { killed(a) };
        let expected = if lost == 0 { vec![Value::from("theirs"), Value::from("told")] } else { Vec::new() };
        assert_eq!(evicted(&a, "true"), expected, "its checkpoint is {lost} behind");
        assert_consistent(&a.store);
    }
}
