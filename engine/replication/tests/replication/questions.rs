//! Copies of one document that differ: what one lacks is asked about, whatever happens meanwhile.

use crate::model::document_key;
use crate::net::{Net, int, peer_id};
use crate::plants::{PLANTS, insert, set};
use ditto_crdt::Sequence;
use ditto_replication::{Incoming, IncomingDocument, Replica, SessionId, Sizes, SubscriptionId};

#[test]
fn independent_copies_of_one_document_become_equal() {
    let mut net = Net::new(2);
    insert(&mut net, 0, "fern", &[("light", 1)]);
    insert(&mut net, 1, "fern", &[("water", 1)]);
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(
        net.model(0).field("plants", "fern", "water"),
        Some(int(1)),
        "what the publisher lacked went back"
    );
}

#[test]
fn more_copies_that_lack_something_than_may_be_asked_about_at_once_are_all_answered() {
    let mut net = Net::new(2);
    net.restart_with(1, Sizes { open_questions: 3, ..Sizes::default() });
    let ids: Vec<String> = (0..20).map(|number| format!("fern {number}")).collect();
    for id in &ids {
        insert(&mut net, 0, id, &[("light", 1)]);
        insert(&mut net, 1, id, &[("water", 1)]);
    }
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    for id in &ids {
        assert_eq!(net.model(0).field("plants", id, "water"), Some(int(1)), "{id}");
    }
}

#[test]
fn what_has_changed_while_it_was_asked_about_is_given_back_as_well() {
    let mut net = Net::new(2);
    insert(&mut net, 0, "fern", &[("light", 1)]);
    insert(&mut net, 1, "fern", &[("water", 1)]);
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    net.until_asked((0, left), (1, right), 1);
    // 0 gets from elsewhere what it is going to be asked about, and says so; then 1 has something new.
    let key = document_key("plants", "fern");
    let held = net.model(1).delta_since(&key, Sequence(0)).expect("a model").expect("it is there");
    let document = IncomingDocument { key, delta: held.delta, stated: held.version };
    let (documents, checkpoints) = (vec![document], Vec::new());
    let incoming = Incoming { from: peer_id(7), documents, checkpoints, seen: None, evictions: None };
    net.model(0).apply(incoming).expect("a model");
    net.settle();
    set(&mut net, 1, "fern", "rings", 1);
    net.held.clear();
    net.rest();
    assert_eq!(net.model(0).field("plants", "fern", "rings"), Some(int(1)));
    net.assert_equal(0, 1);
}

#[test]
fn what_was_deleted_before_it_could_be_asked_about_is_deleted_there_as_well() {
    let (mut net, left) = two_of_which_one_asks_about_one_of_two();
    let now = net.now;
    net.model(1).delete(now, "plants", "oak");
    net.held.remove(&(0, left));
    net.rest();
    assert_eq!(net.model(0).visible("plants", "oak"), None);
    net.assert_equal(0, 1);
}

#[test]
fn what_was_evicted_before_it_could_be_asked_about_does_not_come_back() {
    let (mut net, left) = two_of_which_one_asks_about_one_of_two();
    net.unsubscribe(1, SubscriptionId(1));
    net.model(1).evict("plants", "oak");
    net.held.remove(&(0, left));
    net.rest();
    assert_eq!(net.model(0).field("plants", "fern", "water"), Some(int(1)), "the question was answered");
    assert_eq!(net.model(1).visible("plants", "oak"), None);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
}

/// Both have written both of two documents, and 1, which subscribes, has merged what 0 told it. It asks what 0 lacks of `fern`, which does not
/// arrive, and may not ask about `oak` before it has the answer. Of an earlier life of that a mark stays if it is evicted.
fn two_of_which_one_asks_about_one_of_two() -> (Net, SessionId) {
    let mut net = Net::new(2);
    net.restart_with(1, Sizes { open_questions: 1, ..Sizes::default() });
    for id in ["fern", "oak"] {
        insert(&mut net, 0, id, &[("light", 1)]);
        insert(&mut net, 1, id, &[("water", 1)]);
    }
    let now = net.now;
    net.model(1).delete(now, "plants", "oak");
    insert(&mut net, 1, "oak", &[("water", 2)]);
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    net.until_asked((0, left), (1, right), 1);
    assert!(net.model(1).visible("plants", "oak").is_some());
    (net, left)
}

#[test]
fn what_waited_while_its_sender_evicted_it_goes_back_to_it() {
    let mut net = Net::new(2);
    net.subscribe(0, "SELECT * FROM pots");
    net.subscribe(1, PLANTS);
    insert(&mut net, 0, "fern", &[]);
    let now = net.now;
    net.model(1).insert(now, "pots", "clay", &[]);
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    // Both change both documents apart from each other. What 1 has of `fern` is left over from an answer of 0.
    set(&mut net, 0, "fern", "light", 1);
    set(&mut net, 1, "fern", "water", 1);
    net.model(0).set(now, "pots", "clay", "size", 1);
    let (_, right) = net.connect(0, 1);
    while !net.nodes[1].replicator.is_ready(right) {
        assert!(net.step());
    }
    net.nodes[1].syncs = false;
    net.model(1).set(now, "pots", "clay", "color", 1);
    net.settle();
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(1)));
    // It waits at 0 for a batch, which waits for an answer of 1.
    net.held.insert((1, right));
    net.nodes[1].syncs = true;
    net.settle();
    net.model(1).evict("plants", "fern");
    net.settle();
    assert_eq!(net.model(0).field("plants", "fern", "water"), None);
    net.held.clear();
    net.rest();
    assert_eq!(net.model(0).field("plants", "fern", "water"), Some(int(1)));
    net.assert_equal(0, 1);
}

#[test]
fn a_position_that_rests_on_an_answer_is_acknowledged_when_that_is_durable() {
    let mut net = Net::new(2);
    net.restart_with(0, Sizes { first_window_documents: 2, batch_documents: 1, ..Sizes::default() });
    for id in ["fern", "oak"] {
        insert(&mut net, 0, id, &[("light", 1)]);
    }
    insert(&mut net, 1, "fern", &[("water", 1)]);
    net.subscribe(1, PLANTS);
    net.settle();
    net.nodes[1].syncs = false;
    let (left, right) = net.connect(0, 1);
    net.until_asked((0, left), (1, right), 1);
    net.settle();
    assert_eq!(net.statistics(1, right).documents_received, 2);
    // It changes while nothing can be told; the answer has that.
    set(&mut net, 0, "fern", "light", 2);
    let change = net.model(0).last_sequence();
    net.held = [(1, right)].into();
    net.settle();
    // What was told is acknowledged, and the position moves on over the change.
    net.nodes[1].syncs = true;
    net.settle();
    net.nodes[1].syncs = false;
    net.held.clear();
    net.rest();
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(2)));
    assert_eq!(net.statistics(1, right).remote_position, change);
    assert!(net.statistics(0, left).acknowledged < change, "a loss of power may take it");
    net.nodes[1].syncs = true;
    net.rest();
    assert!(net.statistics(0, left).acknowledged >= change);
}
