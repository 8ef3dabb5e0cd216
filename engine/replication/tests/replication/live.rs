//! Changes that are committed while a long backlog is told: they come first, and no checkpoint passes what is not held.

use crate::model::document_key;
use crate::net::{Net, int, peer_id};
use crate::watch::{PLANTS, Watch, of_all_plants};
use ditto_replication::limits::{
    BATCH_TARGET_BYTES, BATCH_TARGET_DOCUMENTS, LIVE_ROWS, QUEUE_TARGET_BYTES, WINDOW_DOCUMENTS,
};
use ditto_replication::{Event, Replica, SessionId};
use ditto_value::Value;
use proptest::prelude::*;

/// So long that a batch has some 64 of them, and the window some 256.
const FILLING: usize = 16_000;
const BACKLOG: usize = 2_200;

/// A commit with this many documents of `FILLING` bytes.
fn plant(net: &mut Net, name: &str, count: usize) {
    let now = net.now;
    let filling = Value::from("x".repeat(FILLING));
    net.model(0).commit(now, |transaction| {
        for number in 0..count {
            let fields = [("number", int(number as i64)), ("filling", filling.clone())];
            transaction.insert("plants", &format!("{name}{number}"), &fields);
        }
    });
}

/// A publisher with a backlog in commits of a hundred, and a subscriber that has the first part of it.
fn under_way() -> (Net, SessionId, SessionId) {
    let mut net = Net::new(2);
    for hundred in 0..BACKLOG / 100 {
        plant(&mut net, &format!("old{hundred}-"), 100);
    }
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    while net.model(1).count() < 400 {
        assert!(net.step(), "the walk does not begin");
    }
    (net, left, right)
}

fn insert(net: &mut Net, id: &str) {
    let now = net.now;
    net.model(0).insert(now, "plants", id, &[("light", int(1))]);
}

fn has(net: &mut Net, id: &str) -> bool {
    net.model(1).visible("plants", id).is_some()
}

#[test]
fn a_new_change_does_not_wait_for_the_backlog() {
    let (mut net, _, _) = under_way();
    insert(&mut net, "urgent");
    let before = net.model(1).count();
    let mut watch = Watch::default();
    while !has(&mut net, "urgent") {
        assert!(net.step(), "it never comes");
        watch.look(&net);
    }
    let waited = net.model(1).count() - before;
    assert!(waited < 600, "it waited for {waited} documents, more than are under way");
    watch.settle(&mut net);
}

#[test]
fn a_new_change_waits_for_little_more_than_a_batch_where_the_channel_is_slow() {
    let mut net = Net::new(2);
    net.room = 2;
    let (now, mut noise) = (net.now, 1_u64);
    for number in 0..BACKLOG {
        // Does not become shorter by packing.
        let filling = (0..FILLING).map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        });
        let fields = [("filling", Value::Bytes(filling.collect()))];
        net.model(0).insert(now, "plants", &format!("old{number}"), &fields);
    }
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    let mut longest = 0;
    for number in 0..12 {
        let until = net.model(1).count() + 30;
        while net.model(1).count() < until {
            assert!(net.step(), "the walk does not go on");
        }
        let id = format!("urgent{number}");
        insert(&mut net, &id);
        let before = net.model(1).count();
        while !has(&mut net, &id) {
            assert!(net.step(), "it never comes");
        }
        longest = longest.max((net.model(1).count() - before) * FILLING);
    }
    assert!(longest <= 2 * BATCH_TARGET_BYTES + QUEUE_TARGET_BYTES, "it waited for {longest} bytes");
}

#[test]
fn a_change_to_a_document_of_the_backlog_comes_early_and_whole() {
    let (mut net, _, right) = under_way();
    let now = net.now;
    let last = format!("old{}-99", BACKLOG / 100 - 1);
    assert!(net.model(0).set(now, "plants", &last, "light", 5));
    while !has(&mut net, &last) {
        assert!(net.step(), "it never comes");
    }
    assert!(net.model(1).count() < 1_200);
    assert_eq!(net.model(1).visible("plants", &last), net.model(0).visible("plants", &last));
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(1, right).questions_asked, 0);
}

#[test]
fn what_was_told_ahead_is_not_told_again() {
    let (mut net, left, _) = under_way();
    for number in 0..50 {
        insert(&mut net, &format!("urgent{number}"));
        net.step();
    }
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(0, left).documents_sent, BACKLOG as u64 + 50);
    assert_eq!(net.statistics(0, left).acknowledged, net.model(0).last_sequence());
    let position = net.model(1).checkpoints().iter().map(|checkpoint| checkpoint.sequence).max();
    assert_eq!(position, Some(net.model(0).last_sequence()));
    assert!(net.nodes[1].events.iter().any(|event| matches!(event, Event::CaughtUp { .. })));
}

#[test]
fn of_many_new_changes_the_newest_come_first() {
    let (mut net, left, _) = under_way();
    // As much again, in small documents, and then the one that somebody waits for.
    let now = net.now;
    for number in 0..5 * LIVE_ROWS {
        net.model(0).insert(now, "plants", &format!("new{number}"), &[("light", int(1))]);
    }
    insert(&mut net, "urgent");
    while !has(&mut net, "urgent") {
        assert!(net.step(), "it never comes");
    }
    assert!(!has(&mut net, "new0"), "older ones are left to the walk");
    assert!(net.model(1).count() < 2_500);
    Watch::default().settle(&mut net);
    let all = BACKLOG as u64 + 5 * LIVE_ROWS + 1;
    assert_eq!(net.statistics(0, left).documents_sent, all, "each once");
}

#[test]
fn a_commit_is_not_cut_to_be_told_ahead() {
    let (mut net, _, _) = under_way();
    let now = net.now;
    let many = 2 * BATCH_TARGET_DOCUMENTS;
    net.model(0).commit(now, |transaction| {
        for number in 0..many {
            transaction.insert("plants", &format!("together{number}"), &[]);
        }
    });
    let mut seen = 0;
    while seen < many {
        assert!(net.step(), "it never comes");
        let model = &net.nodes[1].model;
        seen = (0..many)
            .filter(|number| model.canonical(&document_key("plants", &format!("together{number}"))).is_some())
            .count();
        assert!(seen == 0 || seen == many, "{seen} of {many}");
    }
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn nothing_is_told_ahead_when_the_walk_is_close() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    let (left, _) = net.connect(0, 1);
    net.settle();
    net.nodes[1].syncs = false;
    let now = net.now;
    for number in 0..WINDOW_DOCUMENTS + LIVE_ROWS as usize / 2 {
        net.model(0).insert(now, "plants", &format!("new{number}"), &[("light", int(1))]);
        if number % 100 == 0 {
            net.settle();
        }
        assert_eq!(net.model(1).visible("plants", "urgent"), None);
    }
    insert(&mut net, "urgent");
    net.settle();
    assert!(!has(&mut net, "urgent"), "the window is full");
    net.nodes[1].syncs = true;
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(0, left).documents_sent, net.model(0).count() as u64);
}

#[test]
fn a_new_subscription_gets_what_was_passed_by_ahead_of_the_walk() {
    let (mut net, _, _) = under_way();
    let now = net.now;
    net.model(0).insert(now, "pots", "clay", &[("size", int(3))]);
    insert(&mut net, "urgent");
    while !has(&mut net, "urgent") {
        assert!(net.step(), "it never comes");
    }
    net.subscribe(1, "SELECT * FROM pots");
    Watch::default().settle(&mut net);
    assert!(net.model(1).visible("pots", "clay").is_some());
}

#[test]
fn what_was_told_ahead_is_not_sent_again_after_a_lost_connection() {
    let (mut net, _, _) = under_way();
    insert(&mut net, "urgent");
    while !has(&mut net, "urgent") {
        assert!(net.step(), "it never comes");
    }
    net.restart(1);
    net.subscribe(1, PLANTS);
    let held = net.model(1).count();
    let (_, right) = net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    // It is offered: the checkpoint is before it, and what was seen is not.
    assert_eq!(net.statistics(1, right).documents_received as usize, BACKLOG + 1 - held);
}

#[test]
fn a_publisher_that_lost_what_it_told_ahead_is_noticed() {
    let (mut net, _, _) = under_way();
    net.model(0).sync();
    let image = net.model(0).image();
    insert(&mut net, "urgent");
    while !has(&mut net, "urgent") {
        assert!(net.step(), "it never comes");
    }
    net.restart(0);
    net.model(0).restore(&image);
    insert(&mut net, "another");
    net.connect(0, 1);
    net.settle();
    assert!(net.nodes[0].events.iter().any(|event| matches!(event, Event::ForkDetected { .. })));
}

#[derive(Clone, Debug)]
enum Act {
    /// Deliver so many messages.
    Deliver(usize),
    Insert(usize),
    Together(usize),
    Change(prop::sample::Index),
    Delete(prop::sample::Index),
    /// Another subscription, which makes the publisher start from the beginning for it.
    Subscribe,
    Reconnect,
    PowerLoss,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (1..60_usize).prop_map(Act::Deliver),
        2 => (1..40_usize).prop_map(Act::Insert),
        1 => (1_000..1_500_usize).prop_map(Act::Insert),
        2 => (1..1_200_usize).prop_map(Act::Together),
        4 => any::<prop::sample::Index>().prop_map(Act::Change),
        2 => any::<prop::sample::Index>().prop_map(Act::Delete),
        1 => Just(Act::Subscribe),
        1 => Just(Act::Reconnect),
        1 => Just(Act::PowerLoss),
    ];
    prop::collection::vec(act, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn no_checkpoint_ever_passes_what_is_not_held(acts in acts()) {
        let mut net = Net::new(2);
        let mut written: Vec<String> = Vec::new();
        let filling = Value::from("x".repeat(FILLING));
        let now = net.now;
        for number in 0..1_800 {
            let id = format!("old{number}");
            net.model(0).insert(now, "plants", &id, &[("filling", filling.clone())]);
            written.push(id);
        }
        let queries = [PLANTS, "SELECT * FROM plants WHERE light = 1", "SELECT * FROM pots"];
        let mut subscribed = 1;
        let mut watch = Watch::default();
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        for act in acts {
            match act {
                Act::Deliver(count) => for _ in 0..count {
                    net.step();
                    watch.look(&net);
                },
                Act::Insert(count) => for _ in 0..count {
                    let id = format!("new{}", written.len());
                    net.model(0).insert(now, "plants", &id, &[("light", int(written.len() as i64 % 2))]);
                    written.push(id);
                },
                Act::Together(count) => {
                    let first = written.len();
                    net.model(0).commit(now, |transaction| for number in first..first + count {
                        transaction.insert("plants", &format!("new{number}"), &[("light", int(1))]);
                    });
                    written.extend((first..first + count).map(|number| format!("new{number}")));
                }
                Act::Change(which) => {
                    let id = which.get(&written).clone();
                    net.model(0).set(now, "plants", &id, "light", written.len() as i64);
                }
                Act::Delete(which) => {
                    let id = which.get(&written).clone();
                    net.model(0).delete(now, "plants", &id);
                }
                Act::Subscribe => {
                    if let Some(query) = queries.get(subscribed) {
                        net.subscribe(1, query);
                        subscribed += 1;
                    }
                }
                Act::Reconnect | Act::PowerLoss => {
                    net.restart(1);
                    if matches!(act, Act::PowerLoss) {
                        net.model(1).crash();
                        watch = Watch::default();
                    }
                    queries.iter().take(subscribed).for_each(|query| { net.subscribe(1, query); });
                    net.connect(0, 1);
                }
            }
            watch.look(&net);
        }
        watch.settle(&mut net);
        watch.look(&net);
        prop_assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
        let end = net.model(0).last_sequence();
        let plants = of_all_plants(net.model(1).site());
        let checkpoint = net.model(1).checkpoint(peer_id(0), &plants).expect("readable");
        prop_assert_eq!(checkpoint.map(|checkpoint| checkpoint.sequence), Some(end));
    }
}
