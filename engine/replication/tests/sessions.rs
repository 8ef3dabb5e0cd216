//! Sessions between models: who gets what, and at what cost.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod model;
mod pair;

use std::collections::BTreeSet;

use ditto_crdt::{RunId, Sequence, Version};
use ditto_replication::limits::{
    ANSWER_TIMEOUT_MS, MAX_ARGUMENT_BYTES, MAX_DELTA_BYTES, MAX_INTERESTS, MAX_QUERY_BYTES, MAX_RUNS,
    MIN_RECONCILED_CHANGES,
};
use ditto_replication::{
    CloseReason, Event, Incoming, IncomingDocument, LocalPeer, Replica, ReplicaError, Replicator, Seen,
    SessionId, Sizes, SubscriptionId,
};
use ditto_value::{Object, Value};
use model::{Model, document_key};
use pair::{Net, int, peer_id};

const PLANTS: &str = "SELECT * FROM plants";

/// Two peers that both subscribe to everything, connected.
fn pair() -> (Net, SessionId, SessionId) {
    let mut net = Net::new(2);
    net.subscribe(0, PLANTS);
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    net.settle();
    (net, left, right)
}

fn insert(net: &mut Net, peer: usize, id: &str, fields: &[(&str, i64)]) {
    let now = net.now;
    let fields: Vec<(&str, Value)> = fields.iter().map(|(name, value)| (*name, int(*value))).collect();
    net.model(peer).insert(now, "plants", id, &fields);
}

fn set(net: &mut Net, peer: usize, id: &str, field: &str, value: i64) {
    let now = net.now;
    assert!(net.model(peer).set(now, "plants", id, field, value));
}

#[test]
fn what_is_there_and_what_is_added_arrives() {
    let mut net = Net::new(2);
    insert(&mut net, 0, "fern", &[("light", 3)]);
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.settle();
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(3)));
    set(&mut net, 0, "fern", "light", 5);
    insert(&mut net, 0, "moss", &[]);
    net.settle();
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(5)));
    net.assert_equal(0, 1);
    let now = net.now;
    net.model(0).delete(now, "plants", "fern");
    net.settle();
    assert_eq!(net.model(1).visible("plants", "fern"), None);
    net.assert_equal(0, 1);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
}

#[test]
fn nothing_is_told_before_it_is_durable() {
    let (mut net, _, _) = pair();
    net.nodes[0].syncs = false;
    insert(&mut net, 0, "fern", &[]);
    net.rest();
    assert_eq!(net.model(1).visible("plants", "fern"), None);
    net.nodes[0].syncs = true;
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn an_acknowledgement_waits_for_durability() {
    let (mut net, left, _) = pair();
    net.nodes[1].syncs = false;
    insert(&mut net, 0, "fern", &[]);
    net.rest();
    assert!(net.model(1).visible("plants", "fern").is_some());
    assert_eq!(net.statistics(0, left).acknowledged, Sequence(0));
    assert!(net.nodes[1].replicator.awaits_durability());
    net.nodes[1].syncs = true;
    net.rest();
    assert_eq!(net.statistics(0, left).acknowledged, Sequence(1));
}

#[test]
fn what_came_from_a_peer_does_not_go_back() {
    let (mut net, left, right) = pair();
    for i in 0..50 {
        insert(&mut net, 0, &format!("plant {i}"), &[("light", i)]);
    }
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(0, left).documents_sent, 50);
    assert_eq!(net.statistics(1, right).documents_sent, 0);
}

#[test]
fn concurrent_updates_cross_without_echo_or_question() {
    let (mut net, left, right) = pair();
    insert(&mut net, 0, "fern", &[("light", 1), ("water", 1)]);
    net.rest();
    set(&mut net, 0, "fern", "light", 2);
    set(&mut net, 1, "fern", "water", 2);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.model(0).field("plants", "fern", "water"), Some(int(2)));
    assert_eq!(net.statistics(0, left).documents_sent, 2);
    assert_eq!(net.statistics(1, right).documents_sent, 1);
    assert_eq!(net.statistics(0, left).questions_asked + net.statistics(1, right).questions_asked, 0);
}

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
fn a_small_change_costs_less_than_250_bytes() {
    let (mut net, _, _) = pair();
    insert(&mut net, 0, "fern", &[("light", 1), ("water", 1)]);
    net.rest();
    let before = net.bytes;
    set(&mut net, 0, "fern", "light", 2);
    net.rest();
    net.assert_equal(0, 1);
    assert!(net.bytes - before < 250, "{} bytes", net.bytes - before);
}

#[test]
fn a_second_meeting_without_change_costs_less_than_a_kibibyte() {
    let (mut net, _, _) = pair();
    for i in 0..3_000 {
        insert(&mut net, i % 2, &format!("plant {i}"), &[("light", i as i64)]);
    }
    net.rest();
    net.assert_equal(0, 1);
    net.disconnect(0, 1);
    let before = net.bytes;
    net.connect(0, 1);
    net.rest();
    assert!(net.bytes - before < 1024, "{} bytes", net.bytes - before);
}

#[test]
fn a_reconnected_peer_hears_only_what_changed() {
    let (mut net, _, _) = pair();
    for i in 0..500 {
        insert(&mut net, 0, &format!("plant {i}"), &[("light", i)]);
    }
    net.rest();
    net.disconnect(0, 1);
    for i in 0..5 {
        set(&mut net, 0, &format!("plant {i}"), "light", -1);
        set(&mut net, 1, &format!("plant {i}"), "water", -1);
    }
    let (left, right) = net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    let sent = (net.statistics(0, left).documents_sent, net.statistics(1, right).documents_sent);
    // Both sides changed each of the five, so each goes as a batch entry and an answer; what an answer lacked is on its way
    // by then. None of the other 495 goes.
    assert_eq!(sent, (10, 10));
}

#[test]
fn a_filtered_subscriber_gets_its_part_and_hears_of_leaving_and_deletion() {
    let mut net = Net::new(2);
    net.subscribe(1, "SELECT * FROM plants WHERE light = 1");
    insert(&mut net, 0, "fern", &[("light", 1)]);
    insert(&mut net, 0, "moss", &[("light", 2)]);
    net.connect(0, 1);
    net.rest();
    assert!(net.model(1).visible("plants", "fern").is_some());
    assert_eq!(net.model(1).visible("plants", "moss"), None);
    set(&mut net, 0, "fern", "light", 2);
    set(&mut net, 0, "moss", "light", 1);
    net.rest();
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(2)), "left while connected");
    assert!(net.model(1).visible("plants", "moss").is_some(), "entered the filter");
    net.assert_equal(0, 1);
    // Away for a further change and for the deletion.
    net.disconnect(0, 1);
    set(&mut net, 0, "moss", "light", 7);
    let now = net.now;
    net.model(0).delete(now, "plants", "fern");
    insert(&mut net, 0, "ivy", &[("light", 9)]);
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).visible("plants", "fern"), None, "deleted while away");
    assert_eq!(net.model(1).field("plants", "moss", "light"), Some(int(7)), "left while away");
    assert_eq!(net.model(1).visible("plants", "ivy"), None);
    let (ivy, left, right) =
        (document_key("plants", "ivy"), net.model(0).versions(), net.model(1).versions());
    assert!(right.iter().all(|(key, version)| left.get(key) == Some(version)) && !right.contains_key(&ivy));
}

#[test]
fn a_subscription_hears_what_has_left_its_filter() {
    let mut net = Net::new(2);
    let light = net.subscribe(1, "SELECT * FROM plants WHERE light = 1");
    let same = net.subscribe(1, "SELECT * FROM plants WHERE light = 1");
    let wet = net.subscribe(1, "SELECT * FROM plants WHERE water = 1");
    for id in ["fern", "moss", "reed", "oak"] {
        insert(&mut net, 0, id, &[("light", 1), ("water", 1)]);
    }
    let (_, right) = net.connect(0, 1);
    net.rest();
    let left = |net: &mut Net| {
        let events = std::mem::take(&mut net.nodes[1].events).into_iter();
        let mut left = BTreeSet::new();
        for event in events {
            if let Event::DocumentsLeft { subscription, keys, .. } = event {
                left.extend(keys.into_iter().map(|key| (subscription, key)));
            }
        }
        left
    };
    assert_eq!(left(&mut net), BTreeSet::new(), "what arrives has not left");
    set(&mut net, 0, "fern", "light", 2);
    set(&mut net, 0, "moss", "name", 5);
    let now = net.now;
    net.model(0).delete(now, "plants", "reed");
    net.rest();
    let fern = document_key("plants", "fern");
    assert_eq!(
        left(&mut net),
        BTreeSet::from([(light, fern.clone()), (same, fern.clone())]),
        "and only that"
    );
    // What is changed here is known here; what has left leaves no more.
    set(&mut net, 1, "oak", "light", 3);
    set(&mut net, 0, "fern", "light", 4);
    net.rest();
    assert_eq!(left(&mut net), BTreeSet::new());
    assert_eq!(net.statistics(1, right).documents_left, 1, "of one filter");
    // Away for it.
    net.disconnect(0, 1);
    set(&mut net, 0, "fern", "water", 0);
    net.connect(0, 1);
    net.rest();
    assert_eq!(left(&mut net), BTreeSet::from([(wet, fern)]));
}

#[test]
fn a_document_that_arrives_is_read_as_often_for_many_filters_as_for_few() {
    let reads = |filters| {
        let mut net = Net::new(2);
        for light in 0..filters {
            net.subscribe(1, &format!("SELECT * FROM plants WHERE light = {light}"));
        }
        for number in 0..20 {
            insert(&mut net, 0, &format!("plant {number}"), &[("light", 1)]);
        }
        net.connect(0, 1);
        net.rest();
        let before = net.model(1).documents_read.get();
        for number in 0..20 {
            set(&mut net, 0, &format!("plant {number}"), "water", 1);
        }
        net.rest();
        assert_eq!(net.model(1).field("plants", "plant 19", "water"), Some(int(1)));
        net.model(1).documents_read.get() - before
    };
    assert_eq!(reads(5), reads(200));
}

#[test]
fn arguments_are_part_of_an_interest() {
    let mut net = Net::new(2);
    insert(&mut net, 0, "fern", &[("light", 1)]);
    insert(&mut net, 0, "moss", &[("light", 2)]);
    net.subscribe_with(1, "SELECT * FROM plants WHERE light = :light", &Object::from([("light", 1)]));
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).versions().len(), 1);
    net.subscribe_with(1, "SELECT * FROM plants WHERE light = :light", &Object::from([("light", 2)]));
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn subscriptions_come_and_go_while_connected() {
    let mut net = Net::new(2);
    for i in 0..10 {
        insert(&mut net, 0, &format!("plant {i}"), &[]);
    }
    let (left, _) = net.connect(0, 1);
    net.rest();
    assert!(net.model(1).versions().is_empty());
    let first = net.subscribe(1, PLANTS);
    let second = net.subscribe(1, PLANTS);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(0, left).documents_sent, 10);
    for subscription in [first, second] {
        let caught_up =
            |event: &Event| matches!(event, Event::CaughtUp { subscription: s, .. } if *s == subscription);
        assert!(net.nodes[1].events.iter().any(caught_up));
    }
    net.unsubscribe(1, first);
    insert(&mut net, 0, "still wanted", &[]);
    net.rest();
    net.assert_equal(0, 1);
    net.unsubscribe(1, second);
    net.settle();
    insert(&mut net, 0, "not wanted", &[]);
    net.rest();
    assert_eq!(net.model(1).visible("plants", "not wanted"), None);
    net.subscribe(1, PLANTS);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(0, left).documents_sent, 12, "only the difference");
}

#[test]
fn a_middle_peer_relays_by_subscribing() {
    let mut net = Net::new(3);
    for peer in 0..3 {
        net.subscribe(peer, PLANTS);
    }
    net.connect(0, 1);
    net.connect(1, 2);
    insert(&mut net, 0, "fern", &[("light", 1)]);
    net.settle();
    set(&mut net, 2, "fern", "light", 2);
    insert(&mut net, 1, "moss", &[]);
    net.rest();
    net.assert_equal(0, 1);
    net.assert_equal(1, 2);
    assert_eq!(net.model(0).field("plants", "fern", "light"), Some(int(2)));
}

#[test]
fn a_ring_comes_to_rest() {
    let mut net = Net::new(4);
    for peer in 0..4 {
        net.subscribe(peer, PLANTS);
        net.connect(peer, (peer + 1) % 4);
    }
    for round in 0..20 {
        insert(&mut net, round % 4, &format!("plant {}", round % 7), &[("light", round as i64)]);
        net.step();
    }
    net.rest();
    for peer in 1..4 {
        net.assert_equal(0, peer);
    }
}

#[test]
fn a_crash_of_the_subscriber_costs_a_repetition_and_nothing_else() {
    let (mut net, _, _) = pair();
    insert(&mut net, 0, "fern", &[]);
    net.rest();
    net.nodes[1].syncs = false;
    insert(&mut net, 0, "moss", &[]);
    net.rest();
    assert!(net.model(1).visible("plants", "moss").is_some());
    net.model(1).crash();
    net.restart(1);
    assert_eq!(net.model(1).visible("plants", "moss"), None);
    net.nodes[1].syncs = true;
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn a_restored_directory_is_noticed_and_continues_as_someone_else() {
    let (mut net, _, _) = pair();
    insert(&mut net, 0, "fern", &[("light", 1)]);
    net.rest();
    let image = net.model(0).image();
    insert(&mut net, 0, "moss", &[("light", 1)]);
    set(&mut net, 0, "fern", "light", 2);
    net.rest();
    net.restart(0);
    net.model(0).restore(&image);
    net.subscribe(0, PLANTS);
    insert(&mut net, 0, "ivy", &[]);
    set(&mut net, 0, "fern", "water", 3);
    let site = net.model(0).site();
    net.connect(0, 1);
    net.settle();
    let fork = net.nodes[0].events.iter().find_map(|event| match event {
        Event::ForkDetected { run, sequence, .. } => Some((*run, *sequence)),
        _ => None,
    });
    let (run, sequence) = fork.expect("the other peer has seen what this one does not have");
    net.model(0).take_new_site(run, sequence);
    assert_ne!(net.model(0).site(), site);
    insert(&mut net, 0, "palm", &[]);
    net.rest();
    net.assert_equal(0, 1);
    // The claim is answered: the next meeting is an ordinary one.
    net.disconnect(0, 1);
    net.nodes[0].events.clear();
    let before = net.bytes;
    net.connect(0, 1);
    net.rest();
    assert!(!net.nodes[0].events.iter().any(|event| matches!(event, Event::ForkDetected { .. })));
    assert!(net.bytes - before < 1024);
}

const POTS: &str = "SELECT * FROM pots";

/// Kinds of messages.
const WALK: u8 = 3;
const SETTLED: u8 = 19;

/// Peer 0 has lost a change that each subscriber had been told around: a document had moved past the end of what was told, and is
/// back where it was, which is behind that. The end of what was told is not lost. Returns what the first subscriber had seen.
fn restored_to_where_a_document_had_not_moved(net: &mut Net, subscribers: &[usize]) -> Seen {
    net.subscribe(0, PLANTS);
    for plant in 0..200 {
        insert(net, 0, &format!("plant {plant}"), &[("light", 1)]);
    }
    net.rest();
    let image = net.model(0).image();
    set(net, 0, "plant 7", "light", 2);
    for &subscriber in subscribers {
        net.connect(0, subscriber);
        while net.model(subscriber).remembered(peer_id(0)).expect("usable").is_empty() {
            assert!(net.step(), "nothing was told");
        }
        net.disconnect(0, subscriber);
        let told = net.model(subscriber).remembered(peer_id(0)).expect("usable")[0];
        assert!(told.sequence < Sequence(200) && told.durable == Sequence(201), "{told:?}");
        let moved = net.model(subscriber).field("plants", "plant 7", "light");
        assert_eq!(moved, None, "it has moved to the end of the log");
    }
    net.restart(0);
    net.model(0).restore(&image);
    net.subscribe(0, PLANTS);
    net.model(subscribers[0]).remembered(peer_id(0)).expect("usable")[0]
}

/// Delivers until a peer finds that its history is not what the other one has seen, and goes on as someone else.
fn answer_fork(net: &mut Net, peer: usize) -> (RunId, Sequence) {
    loop {
        net.collect_events();
        let found = net.nodes[peer].events.iter().find_map(|event| match event {
            Event::ForkDetected { run, sequence, .. } => Some((*run, *sequence)),
            _ => None,
        });
        if let Some((run, sequence)) = found {
            net.model(peer).take_new_site(run, sequence);
            return (run, sequence);
        }
        assert!(net.step(), "no fork is found");
    }
}

#[test]
fn what_was_told_rests_on_what_had_moved_past_it() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    let told = restored_to_where_a_document_had_not_moved(&mut net, &[1]);
    net.connect(0, 1);
    assert_eq!(answer_fork(&mut net, 0), (told.run, told.durable));
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.model(1).field("plants", "plant 7", "light"), Some(int(1)));
}

#[test]
fn a_checkpoint_of_a_lost_history_is_not_believed_after_the_fork_was_answered() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    restored_to_where_a_document_had_not_moved(&mut net, &[1]);
    net.connect(0, 1);
    answer_fork(&mut net, 0);
    net.disconnect(0, 1);
    net.connect(0, 1);
    net.rest();
    assert_eq!(forks(&net, 0), 1, "it was answered");
    net.assert_equal(0, 1);
}

#[test]
fn a_checkpoint_of_a_lost_history_is_not_believed_where_another_peer_claimed_it_first() {
    let mut net = Net::new(3);
    net.subscribe(1, PLANTS);
    net.subscribe(2, PLANTS);
    restored_to_where_a_document_had_not_moved(&mut net, &[1, 2]);
    net.connect(0, 2);
    answer_fork(&mut net, 0);
    net.rest();
    net.connect(0, 1);
    net.rest();
    assert_eq!(forks(&net, 0), 1, "one answer serves both");
    net.assert_equal(0, 2);
    net.assert_equal(0, 1);
}

#[test]
fn a_checkpoint_of_a_lost_history_is_not_believed_when_its_interest_is_stated_again_later() {
    let mut net = Net::new(2);
    let plants = net.subscribe(1, PLANTS);
    net.subscribe(1, POTS);
    restored_to_where_a_document_had_not_moved(&mut net, &[1]);
    net.unsubscribe(1, plants);
    net.connect(0, 1);
    answer_fork(&mut net, 0);
    net.rest();
    net.disconnect(0, 1);
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn what_was_told_in_a_session_is_believed_in_it() {
    let few = "SELECT * FROM plants WHERE light = 1";
    let mut net = Net::new(2);
    let id = net.subscribe(1, few);
    net.connect(0, 1);
    for plant in 0..2 * MIN_RECONCILED_CHANGES as i64 {
        insert(&mut net, 0, &format!("plant {plant}"), &[("light", plant % 2)]);
        insert(&mut net, 1, &format!("other plant {plant}"), &[("light", plant % 2)]);
    }
    net.rest();
    net.unsubscribe(1, id);
    net.rest();
    net.kinds.clear();
    net.subscribe(1, few);
    net.rest();
    assert!(net.kinds.contains_key(&WALK) && !net.kinds.contains_key(&SETTLED), "{:?}", net.kinds);
}

fn forks(net: &Net, peer: usize) -> usize {
    net.nodes[peer].events.iter().filter(|event| matches!(event, Event::ForkDetected { .. })).count()
}

#[test]
fn of_many_runs_those_are_claimed_that_rest_on_most() {
    let mut net = Net::new(2);
    for opening in 0..=MAX_RUNS as u64 {
        net.model(0).open();
        insert(&mut net, 0, &format!("plant {opening}"), &[]);
        let (run, sequence) = (net.model(0).current_run(), net.model(0).last_sequence());
        // Much was durable when the first little was told.
        let durable = Sequence(if opening == 0 { 1_000 } else { 0 });
        let (documents, checkpoints) = (Vec::new(), Vec::new());
        let seen = Some(Seen { run, sequence, durable });
        let told = Incoming { from: peer_id(0), documents, checkpoints, seen, evictions: None };
        net.model(1).apply(told).expect("usable");
    }
    net.connect(0, 1);
    net.settle();
    assert_eq!(forks(&net, 0), 1);
}

#[test]
fn a_run_in_which_nothing_changed_is_claimed_like_any_other() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    for plant in 0..2 * MIN_RECONCILED_CHANGES as i64 {
        insert(&mut net, 0, &format!("plant {plant}"), &[]);
        insert(&mut net, 1, &format!("other plant {plant}"), &[]);
    }
    for opening in 0..2 * MAX_RUNS {
        net.model(0).open();
        net.kinds.clear();
        net.connect(0, 1);
        net.rest();
        net.disconnect(0, 1);
        assert_eq!(net.kinds.contains_key(&SETTLED), opening == 0, "opening {opening}");
    }
}

#[test]
fn a_machine_resumed_from_an_image_of_its_memory_lacks_the_run_of_the_session_since() {
    for begins_runs in [false, true] {
        let mut net = Net::new(2);
        net.subscribe(1, PLANTS);
        insert(&mut net, 0, "fern", &[]);
        let image = net.model(0).image();
        insert(&mut net, 0, "moss", &[]);
        let session = |net: &mut Net| {
            if begins_runs {
                net.model(0).open();
            }
            net.connect(0, 1);
            net.rest();
            net.disconnect(0, 1);
        };
        session(&mut net);
        net.restart(0);
        net.model(0).resume(&image);
        // More than the history that is lost.
        for id in ["ivy", "palm", "sage"] {
            insert(&mut net, 0, id, &[]);
        }
        session(&mut net);
        assert_eq!(forks(&net, 0), usize::from(begins_runs), "without the run nobody notices");
    }
}

#[test]
fn a_run_that_is_forgotten_is_no_fork_and_costs_the_whole_walk() {
    let (mut net, _, _) = pair();
    insert(&mut net, 0, "fern", &[("light", 1)]);
    net.rest();
    net.disconnect(0, 1);
    for _ in 0..3 {
        net.model(0).open();
    }
    net.model(0).forget_runs(2);
    insert(&mut net, 0, "moss", &[]);
    let (site, documents) = (net.model(0).site(), |net: &Net, at| net.statistics(1, at).documents_received);
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!((forks(&net, 0), net.model(0).site()), (0, site));
    net.assert_equal(0, 1);
    assert_eq!(documents(&net, right), 2, "where it stood is not known any more");
    net.disconnect(0, 1);
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!((forks(&net, 0), documents(&net, right)), (0, 0), "from then on it is");
}

#[test]
fn an_evicted_document_comes_back_with_everything_known_elsewhere() {
    let (mut net, _, _) = pair();
    insert(&mut net, 1, "fern", &[("light", 1)]);
    insert(&mut net, 0, "moss", &[("light", 1)]);
    net.rest();
    net.model(1).evict("plants", "fern");
    net.model(1).evict("plants", "moss");
    insert(&mut net, 1, "fern", &[("water", 2)]);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(1)));
    assert_eq!(net.model(0).field("plants", "fern", "water"), Some(int(2)));
}

#[test]
fn a_slow_subscriber_slows_nobody_else() {
    let mut net = Net::new(3);
    net.subscribe(1, PLANTS);
    net.subscribe(2, PLANTS);
    let (slow, _) = net.connect(0, 1);
    net.connect(0, 2);
    net.settle();
    net.nodes[0].replicator.set_blocked(slow, true);
    for i in 0..15_000 {
        insert(&mut net, 0, &format!("plant {i}"), &[("light", i)]);
    }
    net.settle();
    net.assert_equal(0, 2);
    assert!(net.model(1).versions().is_empty());
    let queued = net.statistics(0, slow).documents_sent;
    assert!(queued < 10_000, "{queued} documents wait for the slow one");
    net.nodes[0].replicator.set_blocked(slow, false);
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn large_documents_travel_in_parts() {
    let (mut net, _, _) = pair();
    let now = net.now;
    for (peer, id) in [(0, "oak"), (1, "elm")] {
        let rings = Value::from("ring ".repeat(600_000));
        net.model(peer).insert(now, "plants", id, &[("rings", rings)]);
        insert(&mut net, peer, &format!("sapling {peer}"), &[]);
    }
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.model(1).versions().len(), 4);
}

#[test]
fn a_transaction_arrives_whole() {
    let (mut net, _, _) = pair();
    for round in 0..20_i64 {
        let now = net.now;
        net.model(0).commit(now, |transaction| {
            for id in ["left", "right"] {
                if round == 0 {
                    transaction.insert("plants", id, &[("round", int(0))]);
                } else {
                    assert!(transaction.set("plants", id, "round", int(round)));
                }
            }
        });
        while net.step() {
            let model = net.model(1);
            assert_eq!(model.field("plants", "left", "round"), model.field("plants", "right", "round"));
        }
    }
}

#[test]
fn a_refused_a_too_large_and_an_unknown_document_do_not_stop_each_other_or_the_rest() {
    let mut net = Net::new(3);
    net.model(1).refuses = Some(b"weed".to_vec());
    let now = net.now;
    // Of a kind that no build knows yet, as somebody with a newer one would send it: `b` with three bytes.
    insert(&mut net, 0, "odd", &[("a", 1)]);
    let odd = document_key("plants", "odd");
    let canonical = net.model(0).canonical(&odd).expect("it was inserted");
    let entries = [4, 2, b'a', 0, 0, 0, 3, 3, 1, 2, b'b', 0, 200, 1, 0, 3, b'x', b'y', b'z'];
    let delta = [&canonical[..26], &entries].concat();
    let documents = vec![IncomingDocument { key: odd.clone(), delta, stated: Version(0) }];
    let incoming =
        Incoming { from: peer_id(9), documents, checkpoints: Vec::new(), seen: None, evictions: None };
    let applied = net.model(0).apply(incoming).expect("usable");
    assert!(matches!(applied.outcomes[..], [Ok(outcome)] if outcome.before != Some(outcome.after)));
    net.model(0).commit(now, |transaction| {
        for id in ["fern", "weed", "giant", "moss"] {
            let rings = if id == "giant" { "x".repeat(MAX_DELTA_BYTES) } else { String::new() };
            transaction.insert("plants", id, &[("rings", Value::from(rings))]);
        }
    });
    net.subscribe(1, PLANTS);
    net.subscribe(2, PLANTS);
    let (_, right) = net.connect(0, 1);
    net.connect(1, 2);
    net.rest();
    let refused = |net: &Net, peer: usize, id| {
        let key = document_key("plants", id);
        let is_it =
            |event: &&Event| matches!(event, Event::DocumentRefused { key: refused, .. } if *refused == key);
        net.nodes[peer].events.iter().filter(is_it).count()
    };
    assert_eq!((refused(&net, 1, "weed"), refused(&net, 0, "giant")), (1, 1));
    for peer in [1, 2] {
        let held = net.model(peer).versions();
        assert_eq!(held.len(), 3, "odd, fern and moss");
        assert_eq!(held.get(&odd), net.model(0).versions().get(&odd), "kept and passed on");
    }
    let unheld: Vec<_> = net.model(0).others.unheld.keys().map(|(_, key)| key.clone()).collect();
    assert_eq!(unheld, ["giant", "weed"].map(|id| document_key("plants", id)));
    let last = net.model(0).last_sequence();
    assert!(
        net.model(1).checkpoints().iter().any(|checkpoint| checkpoint.sequence == last),
        "the walk went on"
    );
    assert_eq!(net.statistics(1, right).documents_received, 4, "each but the giant once");
    net.disconnect(0, 1);
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!(net.statistics(1, right).documents_received, 0);
    assert_eq!((refused(&net, 1, "weed"), refused(&net, 0, "giant")), (1, 1));
}

#[test]
fn a_refused_document_does_not_stop_the_others() {
    let (mut net, _, _) = pair();
    net.model(1).refuses = Some(b"weed".to_vec());
    for id in ["fern", "weed", "moss"] {
        insert(&mut net, 0, id, &[]);
    }
    net.rest();
    assert_eq!(net.model(1).versions().len(), 2);
    let refused = |event: &&Event| matches!(event, Event::DocumentRefused { key, .. } if *key == document_key("plants", "weed"));
    assert_eq!(net.nodes[1].events.iter().filter(refused).count(), 1);
    net.disconnect(0, 1);
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).versions().len(), 2, "the walk went on past the refused one");
}

#[test]
fn a_subscription_that_one_peer_refuses_is_served_by_another() {
    let mut net = Net::new(3);
    let id = net.subscribe(1, PLANTS);
    insert(&mut net, 2, "fern", &[]);
    net.model(0).illiterate = true;
    net.connect(0, 1);
    net.connect(2, 1);
    net.rest();
    let refused = |event: &Event| matches!(event, Event::SubscriptionRefused { subscription, remote, .. } if (*subscription, *remote) == (id, peer_id(0)));
    assert!(net.nodes[1].events.iter().any(refused));
    assert!(net.failures(1).is_empty());
    net.assert_equal(2, 1);
}

#[test]
fn a_failing_store_ends_the_session_and_a_new_one_continues() {
    let (mut net, _, _) = pair();
    insert(&mut net, 0, "fern", &[]);
    net.nodes[1].model.broken = true;
    net.settle();
    let failed = net.failures(1);
    assert!(
        matches!(failed[..], [Event::SessionFailed { reason: CloseReason::Replica(_), .. }]),
        "{failed:?}"
    );
    net.nodes[1].model.broken = false;
    net.disconnect(0, 1);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn peers_of_another_database_are_refused_with_a_reason() {
    let (mut here, mut there) = (
        Replicator::new(LocalPeer::new(peer_id(0), "one")),
        Replicator::new(LocalPeer::new(peer_id(1), "another")),
    );
    let (mut left, mut right) = (Model::new(1), Model::new(2));
    here.connected(SessionId(1), peer_id(1), &mut left, 0);
    there.connected(SessionId(1), peer_id(0), &mut right, 0);
    let (_, hello) = here.poll_transmit().expect("a greeting");
    there.receive(SessionId(1), &hello, &mut right, 0);
    let event = there.poll_event();
    assert!(
        matches!(event, Some(Event::SessionFailed { reason: CloseReason::WrongDatabase, .. })),
        "{event:?}"
    );
    let (_, goodbye) = there.poll_transmit().expect("a farewell");
    let (_, _) = (here.poll_transmit(), here.receive(SessionId(1), &goodbye, &mut left, 0));
    assert!(matches!(here.poll_event(), Some(Event::SessionFailed { reason: CloseReason::Remote(_), .. })));
    assert!(here.poll_event().is_none() && !here.is_ready(SessionId(1)));
}

#[test]
fn the_case_of_a_database_id_does_not_matter() {
    assert_eq!(LocalPeer::new(peer_id(0), "ABC"), LocalPeer::new(peer_id(0), "abc"));
}

#[test]
fn many_interests_begin_anew_together_with_an_eviction() {
    // Twice as many do not fit into one session.
    let count = MAX_INTERESTS as i64 - 100;
    let mut net = Net::new(2);
    for light in 0..count {
        net.subscribe(1, &format!("SELECT * FROM plants WHERE light = {light}"));
    }
    net.connect(0, 1);
    insert(&mut net, 0, "fern", &[("light", 1)]);
    net.rest();
    net.model(1).evict("plants", "fern");
    net.rest();
    for light in 0..count {
        insert(&mut net, 0, &format!("plant {light}"), &[("light", light)]);
    }
    net.rest();
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
    assert_eq!(net.model(1).count() as i64, 1 + count);
}

#[test]
fn an_interest_for_which_there_was_no_room_is_stated_when_there_is() {
    let mut net = Net::new(2);
    let mut first = None;
    for light in 0..=MAX_INTERESTS {
        let subscription = net.subscribe(1, &format!("SELECT * FROM plants WHERE light = {light}"));
        first = first.or(Some(subscription));
    }
    net.connect(0, 1);
    net.rest();
    for light in 0..=MAX_INTERESTS as i64 {
        insert(&mut net, 0, &format!("plant {light}"), &[("light", light)]);
    }
    net.rest();
    assert_eq!(net.model(1).count(), MAX_INTERESTS);
    net.unsubscribe(1, first.expect("there are some"));
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn what_is_too_long_to_be_asked_for_is_refused_where_it_is_subscribed_to() {
    let mut net = Net::new(2);
    let now = net.now;
    let query = |name: &str| format!("SELECT * FROM plants WHERE {name} = :light");
    let text = |bytes: usize| Object::from_iter([("light".to_owned(), Value::from("x".repeat(bytes)))]);
    let long = [(query("light"), text(MAX_ARGUMENT_BYTES)), (query(&"x".repeat(MAX_QUERY_BYTES)), text(1))];
    for (query, arguments) in long {
        let pair::Node { replicator, model, .. } = &mut net.nodes[1];
        let refused = replicator.subscribe(SubscriptionId(1_000), &query, &arguments, model, now);
        assert!(matches!(refused, Err(ReplicaError::Query(_))), "{refused:?}");
    }
    net.subscribe_with(1, &query("light"), &text(MAX_ARGUMENT_BYTES - 100));
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    insert(&mut net, 0, "fern", &[]);
    net.rest();
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
    net.assert_equal(0, 1);
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

/// Delivers everything over a channel that takes so many bytes a second.
fn deliver_slowly(net: &mut Net, bytes_per_second: u64) {
    loop {
        let before = net.bytes;
        if !net.step() && !net.tick_due() {
            return;
        }
        net.advance((net.bytes - before) * 1_000 / bytes_per_second);
    }
}

#[test]
fn nobody_loses_patience_with_who_is_busy_sending() {
    let mut net = Net::new(2);
    net.subscribe(0, "SELECT * FROM plants WHERE light = 1");
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    // What 1 offers is answered after a commit that takes longer than anybody is waited for.
    let now = net.now;
    let mut state = 1_u64;
    net.model(0).commit(now, |transaction| {
        for id in 0..70 {
            let letters = (0..100_000).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'0' + (state >> 58) as u8)
            });
            transaction.insert(
                "plants",
                &format!("plant {id}"),
                &[("notes", Value::String(letters.collect()))],
            );
        }
    });
    insert(&mut net, 1, "dark", &[("light", 0)]);
    deliver_slowly(&mut net, 50_000);
    assert!(net.now - now > 2 * ANSWER_TIMEOUT_MS);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty(), "{:?}", net.failures(1));
    assert_eq!(net.model(1).count(), 71);
}

#[test]
fn who_was_busy_itself_gives_others_their_time_again() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    insert(&mut net, 0, "fern", &[("light", 1)]);
    let (left, right) = net.connect(0, 1);
    net.rest();
    // Both change the same, so that one asks the other; nothing arrives there.
    net.held.insert((0, left));
    let now = net.now;
    net.model(1).set(now, "plants", "fern", "rings", 1);
    net.model(0).set(now, "plants", "fern", "light", 2);
    net.settle();
    net.advance(ANSWER_TIMEOUT_MS - 1);
    assert!(net.nodes[1].replicator.is_ready(right));
    // Its next call comes a minute late.
    net.advance(1 + ANSWER_TIMEOUT_MS);
    assert!(net.nodes[1].replicator.is_ready(right), "the answer may be among what it has not read");
    net.advance(ANSWER_TIMEOUT_MS - 1);
    assert!(net.nodes[1].replicator.is_ready(right));
    net.advance(1);
    net.collect_events();
    assert!(!net.nodes[1].replicator.is_ready(right));
    assert_eq!(net.failures(1).len(), 1);
}

#[test]
fn a_change_that_arrives_right_after_an_eviction_shows_no_half_document() {
    let (mut net, _, right) = pair();
    insert(&mut net, 0, "fern", &[("light", 1), ("water", 1)]);
    net.rest();
    net.held.insert((1, right));
    set(&mut net, 0, "fern", "light", 2);
    net.settle();
    net.model(1).evict("plants", "fern");
    net.held.clear();
    while net.step() || net.tick_due() {
        let whole = net.model(1).field("plants", "fern", "water").is_some();
        assert!(
            whole || net.model(1).visible("plants", "fern").is_none(),
            "{:?}",
            net.model(1).visible("plants", "fern")
        );
    }
    net.rest();
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(2)));
    net.assert_equal(0, 1);
}
