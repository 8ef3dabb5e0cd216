//! What a peer subscribes to, filters, and what becomes of that while it is connected.

use std::collections::BTreeSet;

use crate::model::document_key;
use crate::net::{Net, int, peer_id};
use crate::plants::{PLANTS, insert, set};
use crate::transactions::{a_transaction_that_a_walk_tears, until_torn};
use ditto_replication::limits::{MAX_ARGUMENT_BYTES, MAX_INTERESTS, MAX_QUERY_BYTES};
use ditto_replication::{Event, ReplicaError, SessionId, SubscriptionId};
use ditto_value::{Object, Value};

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

/// Whether a subscription is behind, as its peer is told for the first time in a session.
fn is_told_first_to_be_behind(net: &Net, peer: usize, of: SessionId, id: SubscriptionId) -> Option<bool> {
    net.nodes[peer].events.iter().find_map(|event| match event {
        Event::CatchingUp { session, subscription, .. } if (*session, *subscription) == (of, id) => {
            Some(true)
        }
        Event::CaughtUp { session, subscription, .. } if (*session, *subscription) == (of, id) => Some(false),
        _ => None,
    })
}

#[test]
fn a_subscription_that_begins_while_something_is_there_in_part_is_told_to_be_behind() {
    let mut net = Net::new(2);
    // What is added is walked, and not reconciled.
    net.outdated.push(0);
    let first = net.subscribe(1, PLANTS);
    a_transaction_that_a_walk_tears(&mut net);
    let (_, right) = net.connect(0, 1);
    until_torn(&mut net, 1);
    let second = net.subscribe(1, "SELECT * FROM stones");
    net.rest();
    assert_eq!(is_told_first_to_be_behind(&net, 1, right, first), Some(true));
    assert_eq!(is_told_first_to_be_behind(&net, 1, right, second), Some(true), "added meanwhile");
}

#[test]
fn a_subscription_that_goes_on_in_the_middle_of_a_backlog_is_told_to_be_behind() {
    let mut net = Net::new(2);
    let subscription = net.subscribe(1, PLANTS);
    a_transaction_that_a_walk_tears(&mut net);
    net.connect(0, 1);
    until_torn(&mut net, 1);
    net.disconnect(0, 1);
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!(is_told_first_to_be_behind(&net, 1, right, subscription), Some(true));
    net.assert_equal(0, 1);
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
    assert_eq!(refusals(&mut net, 1), [], "all have a place once the other peer knows which have ended");
}

/// Which subscriptions a peer was told to be refused since the last look, and why.
fn refusals(net: &mut Net, peer: usize) -> Vec<(SubscriptionId, String)> {
    let events = std::mem::take(&mut net.nodes[peer].events).into_iter();
    let refusals = events.filter_map(|event| match event {
        Event::SubscriptionRefused { subscription, reason, .. } => Some((subscription, reason)),
        _ => None,
    });
    refusals.collect()
}

#[test]
fn an_interest_for_which_there_was_no_room_is_stated_when_there_is() {
    let mut net = Net::new(2);
    let light = |light: usize| format!("SELECT * FROM plants WHERE light = {light}");
    let subscriptions: Vec<SubscriptionId> =
        (0..=MAX_INTERESTS).map(|number| net.subscribe(1, &light(number))).collect();
    net.connect(0, 1);
    net.rest();
    let told = refusals(&mut net, 1);
    let [(refused, reason)] = &told[..] else { panic!("{told:?}") };
    assert!(reason.contains("1,000 other"), "{reason}");
    for light in 0..=MAX_INTERESTS as i64 {
        insert(&mut net, 0, &format!("plant {light}"), &[("light", light)]);
    }
    net.rest();
    assert_eq!(net.model(1).count(), MAX_INTERESTS);
    let second = net.subscribe(1, &light(MAX_INTERESTS + 1));
    net.rest();
    let told = refusals(&mut net, 1);
    assert!(matches!(&told[..], [(id, _)] if *id == second), "the other one knows it: {told:?}");
    net.unsubscribe(1, second);
    net.unsubscribe(1, *subscriptions.iter().find(|id| *id != refused).expect("there are some"));
    net.rest();
    net.assert_equal(0, 1);
    let is_served =
        |event: &Event| matches!(event, Event::CaughtUp { subscription, .. } if subscription == refused);
    assert!(net.nodes[1].events.iter().any(is_served));
    assert_eq!(refusals(&mut net, 1), []);
}

#[test]
fn what_is_too_long_to_be_asked_for_is_refused_where_it_is_subscribed_to() {
    let mut net = Net::new(2);
    let now = net.now;
    let query = |name: &str| format!("SELECT * FROM plants WHERE {name} = :light");
    let text = |bytes: usize| Object::from_iter([("light".to_owned(), Value::from("x".repeat(bytes)))]);
    let long = [(query("light"), text(MAX_ARGUMENT_BYTES)), (query(&"x".repeat(MAX_QUERY_BYTES)), text(1))];
    for (query, arguments) in long {
        let crate::net::Node { replicator, model, .. } = &mut net.nodes[1];
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
