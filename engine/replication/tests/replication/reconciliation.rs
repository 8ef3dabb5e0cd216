//! Peers that hold much the same and do not know it: what is found without telling everything, and that it ends as if
//! everything had been told.

use crate::model::document_key;
use crate::net::{Net, int};
use crate::twins::{Spread, cost};
use ditto_crdt::Sequence;
use ditto_replication::{Event, Replica, SessionId, Sizes};
use ditto_value::Value;
use proptest::prelude::*;

const PLANTS: &str = "SELECT * FROM plants";
const SUNNY: &str = "SELECT * FROM plants WHERE light = 1";

const OFFER: u8 = 4;
const SYMBOLS: u8 = 16;
const INQUIRY: u8 = 17;
const NAMES: u8 = 18;
const SETTLED: u8 = 19;

fn insert(net: &mut Net, peer: usize, id: &str, light: i64) {
    let now = net.now;
    let notes = Value::from("grows in the shade of others, wants little water, and is never in a hurry");
    net.model(peer).insert(now, "plants", id, &[("light", int(light)), ("notes", notes)]);
}

fn set(net: &mut Net, peer: usize, id: &str, field: &str, value: i64) {
    let now = net.now;
    assert!(net.model(peer).set(now, "plants", id, field, value));
}

/// Two peers that hold the same so many documents, have no checkpoints, and are not connected. The even ones match
/// [`SUNNY`].
fn twins(documents: usize) -> Net {
    let mut net = Net::new(2);
    for i in 0..documents {
        insert(&mut net, i % 2, &format!("plant {i}"), 1 + (i % 2) as i64);
    }
    let subscriptions = [net.subscribe(0, PLANTS), net.subscribe(1, PLANTS)];
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    for (peer, subscription) in subscriptions.into_iter().enumerate() {
        net.unsubscribe(peer, subscription);
    }
    part(&mut net);
    net
}

/// Ends the session; what was known of the other peer is lost.
fn part(net: &mut Net) {
    net.rest();
    net.disconnect(0, 1);
    for peer in 0..2 {
        net.model(peer).forget_checkpoints();
        net.nodes[peer].events.clear();
    }
    net.kinds.clear();
}

fn count(net: &Net, kind: u8) -> usize {
    net.kinds.get(&kind).copied().unwrap_or_default()
}

fn sent(net: &Net, (left, right): (SessionId, SessionId)) -> (u64, u64) {
    (net.statistics(0, left).documents_sent, net.statistics(1, right).documents_sent)
}

fn assert_at_peace(net: &Net) {
    for peer in 0..2 {
        assert!(net.failures(peer).is_empty(), "{:?}", net.failures(peer));
    }
}

#[test]
fn equal_peers_find_out_with_a_message_each_way_and_remember_it() {
    let mut net = twins(1_000);
    net.subscribe(0, PLANTS);
    net.subscribe(1, PLANTS);
    let before = net.bytes;
    let sessions = net.connect(0, 1);
    net.rest();
    assert_eq!(sent(&net, sessions), (0, 0));
    assert_eq!((count(&net, SYMBOLS), count(&net, INQUIRY), count(&net, SETTLED)), (2, 0, 2));
    assert!(net.bytes - before < 1_024, "{} bytes", net.bytes - before);
    net.disconnect(0, 1);
    net.kinds.clear();
    net.connect(0, 1);
    net.rest();
    assert_eq!(count(&net, SYMBOLS), 0, "there are checkpoints now");
    set(&mut net, 0, "plant 7", "light", 9);
    net.rest();
    net.assert_equal(0, 1);
    assert_at_peace(&net);
}

#[test]
fn what_differs_is_sent_and_nothing_else() {
    let mut net = twins(1_000);
    for i in 0..30 {
        set(&mut net, 0, &format!("plant {}", 31 * i), "light", 50);
        set(&mut net, 1, &format!("plant {}", 29 * i + 1), "water", 50);
    }
    insert(&mut net, 0, "only at the first", 1);
    insert(&mut net, 1, "only at the second", 1);
    net.subscribe(0, PLANTS);
    net.subscribe(1, PLANTS);
    let (before, sessions) = (net.bytes, net.connect(0, 1));
    net.rest();
    net.assert_equal(0, 1);
    assert!(net.bytes - before < 40_000, "{} bytes", net.bytes - before);
    let (left, right) = sent(&net, sessions);
    // Each lacks 31. The first has 30 others in an older version, which it tells as well; the second has them in the
    // newer one by the time that it is its turn.
    assert!(left <= 65 && right <= 35, "{left} and {right}");
    assert_at_peace(&net);
}

/// The rows of a hundred documents in the table of `docs/protocol.md`. Where they change on purpose, the benchmark
/// `reconciliation` prints all of it anew.
#[test]
fn the_bytes_of_a_small_difference_are_those_that_are_documented() {
    // Differences; bytes clustered, scattered, and walked from 0.
    let documented = [
        (0, [556, 556, 31780]),
        (1, [762, 761, 31849]),
        (10, [2632, 2230, 32078]),
        (100, [11959, 11898, 33899]),
    ];
    for (differences, bytes) in documented {
        let measured = [
            cost(100, differences, Spread::Clustered, false),
            cost(100, differences, Spread::Scattered, false),
            cost(100, differences, Spread::Scattered, true),
        ];
        assert_eq!(measured.map(|cost| cost.bytes), bytes, "{differences} differences");
    }
    let page = include_str!("../../../../docs/protocol.md");
    for (differences, [clustered, scattered, walk]) in documented {
        let row = format!("| 100 | {differences} | {clustered} | {scattered} | {walk} |");
        assert!(page.contains(&row), "{row}");
    }
}

/// The same, as it is in larger worlds: bounds.
#[test]
fn a_difference_costs_its_documents_and_few_bytes_beside_them_wherever_it_is() {
    let walk = cost(1_000, 10, Spread::Scattered, true).bytes;
    for spread in [Spread::Clustered, Spread::Scattered] {
        let costs = [0, 1, 10, 100].map(|differences| cost(1_000, differences, spread, false).bytes);
        let bounds = [700, 1_200, 6_000, 45_000];
        for (bytes, bound) in costs.into_iter().zip(bounds) {
            assert!(bytes < bound && bytes < walk / 7, "{costs:?} {spread:?}, {walk} for everything");
        }
    }
}

#[test]
fn a_subscriber_that_is_not_subscribed_to_gives_back_only_what_it_knows_of_the_same_documents() {
    let mut net = twins(200);
    insert(&mut net, 1, "private", 1);
    set(&mut net, 0, "plant 1", "light", 50);
    set(&mut net, 1, "plant 1", "water", 50);
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(0).visible("plants", "private"), None);
    assert_eq!(net.model(0).field("plants", "plant 1", "water"), Some(int(50)));
    assert_eq!(net.model(1).field("plants", "plant 1", "light"), Some(int(50)));
    assert!(count(&net, SETTLED) == 1 && count(&net, OFFER) == 0);
    assert_at_peace(&net);
}

#[test]
fn who_holds_nothing_is_told_everything_at_once() {
    let mut net = Net::new(2);
    for i in 0..100 {
        insert(&mut net, 0, &format!("plant {i}"), 1);
    }
    net.rest();
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(count(&net, SYMBOLS) + count(&net, SETTLED), 0);
    assert_at_peace(&net);
}

#[test]
fn who_holds_only_other_things_is_told_everything_after_a_look() {
    let mut net = Net::new(2);
    for i in 0..100 {
        let now = net.now;
        insert(&mut net, 0, &format!("plant {i}"), 1);
        net.model(1).insert(now, "pots", &format!("pot {i}"), &[]);
    }
    net.rest();
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).versions().len(), 200);
    assert_eq!((count(&net, SYMBOLS), count(&net, SETTLED)), (1, 1));
    assert_at_peace(&net);
}

#[test]
fn peers_that_differ_in_everything_walk() {
    let [reconciled, walked] = [false, true].map(|older| {
        let mut net = Net::new(2);
        net.older = if older { vec![0, 1] } else { Vec::new() };
        for i in 0..300 {
            insert(&mut net, i % 2, &format!("plant {i}"), 1);
        }
        net.rest();
        net.subscribe(0, PLANTS);
        net.subscribe(1, PLANTS);
        let sessions = net.connect(0, 1);
        net.rest();
        net.assert_equal(0, 1);
        assert_eq!(sent(&net, sessions), (150, 150));
        assert_eq!(count(&net, SETTLED), if older { 0 } else { 2 });
        assert_at_peace(&net);
        net.bytes
    });
    assert!(reconciled < walked * 11 / 10, "{reconciled} bytes instead of {walked}");
}

#[test]
fn a_peer_of_an_older_build_is_told_everything() {
    let mut net = twins(100);
    net.older = vec![0, 1];
    net.subscribe(1, PLANTS);
    let sessions = net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    // What came from it is offered only.
    assert_eq!(sent(&net, sessions), (50, 0));
    assert_eq!(count(&net, SYMBOLS), 0);
    // The checkpoint of that time says nothing of what did not travel because it was too large for that build.
    net.older = Vec::new();
    net.disconnect(0, 1);
    let sessions = net.connect(0, 1);
    net.rest();
    assert_eq!(sent(&net, sessions), (0, 0));
    assert_eq!(count(&net, SYMBOLS), 1);
    assert_at_peace(&net);
}

#[test]
fn a_filtered_subscriber_hears_of_what_left_the_filter_and_of_what_was_deleted() {
    let mut net = twins(100);
    let now = net.now;
    set(&mut net, 0, "plant 0", "light", 7);
    set(&mut net, 0, "plant 1", "light", 1);
    set(&mut net, 0, "plant 3", "light", 8);
    net.model(0).delete(now, "plants", "plant 2");
    net.model(0).delete(now, "plants", "plant 5");
    insert(&mut net, 0, "new and sunny", 1);
    insert(&mut net, 0, "new and dark", 2);
    insert(&mut net, 1, "private", 1);
    net.subscribe(1, SUNNY);
    let sessions = net.connect(0, 1);
    net.rest();
    assert_eq!(sent(&net, sessions), (6, 0), "nothing else");
    assert_eq!(net.model(1).field("plants", "plant 0", "light"), Some(int(7)), "it left");
    assert_eq!(net.model(1).field("plants", "plant 1", "light"), Some(int(1)), "it entered");
    assert_eq!(net.model(1).field("plants", "plant 3", "light"), Some(int(8)), "it never matched");
    assert_eq!(net.model(1).visible("plants", "plant 2"), None, "it was deleted");
    assert_eq!(net.model(1).visible("plants", "plant 5"), None, "it was deleted and never matched");
    assert!(net.model(1).visible("plants", "new and sunny").is_some());
    assert_eq!(net.model(1).visible("plants", "new and dark"), None);
    assert_eq!(net.model(0).visible("plants", "private"), None);
    assert!(count(&net, NAMES) > 0);
    assert_at_peace(&net);
}

#[test]
fn a_deletion_wins_on_whichever_side_it_is() {
    for (subscribers, filter) in [([true, true], PLANTS), ([false, true], PLANTS), ([false, true], SUNNY)] {
        let mut net = twins(100);
        let now = net.now;
        net.model(0).delete(now, "plants", "plant 0");
        net.model(1).delete(now, "plants", "plant 2");
        net.model(1).delete(now, "plants", "plant 3");
        for peer in (0..2).filter(|peer| subscribers[*peer]) {
            net.subscribe(peer, filter);
        }
        net.connect(0, 1);
        net.rest();
        net.assert_equal(0, 1);
        for id in ["plant 0", "plant 2", "plant 3"] {
            assert_eq!(net.model(0).visible("plants", id), None, "{id}, {filter}");
        }
        assert_eq!(count(&net, SETTLED), subscribers.iter().filter(|subscribes| **subscribes).count());
        assert_at_peace(&net);
    }
}

#[test]
fn nothing_counts_as_held_and_no_checkpoint_is_kept_before_the_end() {
    let mut net = twins(300);
    for i in 0..20 {
        set(&mut net, 0, &format!("plant {i}"), "light", 50);
    }
    net.model(0).others.acknowledged.clear();
    let subscription = net.subscribe(1, PLANTS);
    net.connect(0, 1);
    while count(&net, SETTLED) == 0 {
        assert!(net.model(1).checkpoints().is_empty(), "it is not over");
        assert!(net.model(0).others.acknowledged.is_empty(), "it is not over");
        // Changes flow meanwhile.
        set(&mut net, 0, "plant 299", "light", 99);
        assert!(net.step(), "it comes to its end");
    }
    let of = |event: &Event| match event {
        Event::CaughtUp { subscription: other, .. } if *other == subscription => Some(true),
        Event::CatchingUp { subscription: other, .. } if *other == subscription => Some(false),
        _ => None,
    };
    let events: Vec<bool> = net.nodes[1].events.iter().filter_map(of).collect();
    assert_eq!(events, [false], "it catches up");
    net.rest();
    let events: Vec<bool> = net.nodes[1].events.iter().filter_map(of).collect();
    assert_eq!(events.last(), Some(&true));
    let last = net.model(0).last_sequence();
    assert_eq!(net.model(1).checkpoints().iter().map(|kept| kept.sequence).collect::<Vec<_>>(), [last]);
    let held: Vec<Sequence> = net.model(0).others.acknowledged.values().copied().collect();
    assert_eq!(held, [last]);
    net.assert_equal(0, 1);
    assert_at_peace(&net);
}

#[test]
fn a_checkpoint_waits_until_what_it_rests_on_is_durable() {
    let mut net = twins(100);
    net.nodes[1].syncs = false;
    // Both make the same of it, but only one has it for certain.
    insert(&mut net, 0, "fern", 1);
    net.nodes[0].model.sync();
    let key = document_key("plants", "fern");
    let excerpt = net.model(0).delta_since(&key, Sequence(0)).expect("a model").expect("it is there");
    let document = ditto_replication::IncomingDocument { key, delta: excerpt.delta, stated: excerpt.version };
    let incoming = ditto_replication::Incoming {
        from: crate::net::peer_id(2),
        documents: vec![document],
        checkpoints: Vec::new(),
        seen: None,
        evictions: None,
    };
    net.model(1).apply(incoming).expect("a model");
    net.model(0).others.acknowledged.clear();
    net.subscribe(1, PLANTS);
    let sessions = net.connect(0, 1);
    net.rest();
    assert_eq!((sent(&net, sessions), count(&net, SETTLED)), ((0, 0), 1));
    assert!(net.model(0).others.acknowledged.is_empty(), "it may lose it");
    net.nodes[1].syncs = true;
    net.rest();
    assert_eq!(net.model(0).others.acknowledged.len(), 1);
    assert_at_peace(&net);
}

#[test]
fn interests_that_come_and_go_meanwhile_get_what_they_ask_for() {
    let steps = |steps: usize| {
        let mut net = twins(200);
        for i in 0..20 {
            set(&mut net, 0, &format!("plant {i}"), "light", 50);
        }
        let first = net.subscribe(1, PLANTS);
        net.subscribe(1, SUNNY);
        net.connect(0, 1);
        for _ in 0..steps {
            net.step();
        }
        net.unsubscribe(1, first);
        for _ in 0..steps / 2 {
            net.step();
        }
        net.subscribe(1, "SELECT * FROM plants WHERE light = 50");
        net.step();
        net.subscribe(1, PLANTS);
        net.rest();
        net.assert_equal(0, 1);
        assert_at_peace(&net);
    };
    (0..25).for_each(steps);
}

#[test]
fn what_is_not_wanted_any_more_is_not_sent() {
    let mut net = twins(200);
    for i in 0..50 {
        insert(&mut net, 0, &format!("new {i}"), 1 + i % 2);
    }
    net.subscribe(1, SUNNY);
    let dark = net.subscribe(1, "SELECT * FROM plants WHERE light = 2");
    net.connect(0, 1);
    while count(&net, SYMBOLS) == 0 {
        net.step();
    }
    net.unsubscribe(1, dark);
    net.rest();
    assert!(net.model(1).visible("plants", "new 0").is_some());
    assert_eq!(net.model(1).visible("plants", "new 1"), None);
    assert_at_peace(&net);
}

#[test]
fn what_a_peer_stated_before_it_forgot_is_not_relied_on() {
    let mut net = twins(200);
    let now = net.now;
    net.model(1).insert(now, "pots", "clay", &[]);
    for i in 0..50 {
        insert(&mut net, 0, &format!("new {i}"), 1);
    }
    net.subscribe(1, PLANTS);
    let sessions = net.connect(0, 1);
    while count(&net, SYMBOLS) == 0 {
        net.step();
    }
    net.model(1).evict("pots", "clay");
    net.rest();
    net.assert_equal(0, 1);
    assert!(sent(&net, sessions).0 >= 150, "all but what came from it");
    assert_at_peace(&net);
}

#[test]
fn an_eviction_meanwhile_begins_anew() {
    for steps in 0..20 {
        let mut net = twins(200);
        for i in 0..20 {
            set(&mut net, 0, &format!("plant {i}"), "light", 50);
        }
        net.subscribe(0, PLANTS);
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        for _ in 0..steps {
            net.step();
        }
        for i in 0..40 {
            net.model(steps % 2).evict("plants", &format!("plant {i}"));
        }
        net.rest();
        net.assert_equal(0, 1);
        assert_eq!(net.model(0).versions().len(), 200, "after {steps} steps");
        assert_at_peace(&net);
    }
}

#[test]
fn a_link_that_breaks_between_any_two_messages_costs_a_repetition() {
    for steps in 0..40 {
        let mut net = twins(200);
        for i in 0..30 {
            set(&mut net, 0, &format!("plant {i}"), "light", 50);
            set(&mut net, 1, &format!("plant {}", i + 20), "water", 50);
        }
        net.subscribe(0, PLANTS);
        net.subscribe(1, SUNNY);
        net.connect(0, 1);
        for _ in 0..steps {
            net.step();
        }
        if steps % 3 == 0 {
            net.model(steps % 2).crash();
        }
        net.disconnect(0, 1);
        net.connect(0, 1);
        net.rest();
        let (left, right) = (net.model(0).versions(), net.model(1).versions());
        assert_eq!(left, right, "after {steps} steps");
        assert_at_peace(&net);
    }
}

/// What happens to a document.
#[derive(Clone, Copy, Debug)]
enum Act {
    Insert(i64),
    Set(i64),
    Delete,
    Evict,
}

fn acts() -> impl Strategy<Value = Vec<(usize, u8, Act)>> {
    let act = prop_oneof![
        2 => (0..3_i64).prop_map(Act::Insert),
        4 => (0..3_i64).prop_map(Act::Set),
        2 => Just(Act::Delete),
        1 => Just(Act::Evict),
    ];
    prop::collection::vec((0..2_usize, 0..60_u8, act), 0..40)
}

/// From a range for each document to one for all of them.
fn limits() -> impl Strategy<Value = [usize; 2]> {
    prop::array::uniform2(prop_oneof![1..60_usize, Just(Sizes::default().reconciled_documents)])
}

fn perform(net: &mut Net, (peer, id, act): (usize, u8, Act)) {
    let (now, id) = (net.now, format!("plant {id}"));
    match act {
        Act::Insert(light) => insert(net, peer, &id, light),
        Act::Set(light) => {
            net.model(peer).set(now, "plants", &id, "light", light);
        }
        Act::Delete => {
            net.model(peer).delete(now, "plants", &id);
        }
        Act::Evict => net.model(peer).evict("plants", &id),
    }
    net.now += 1;
}

/// The end of a history, and whether symbols were sent. `limits`: of the documents that are reconciled at once.
fn play(
    older: bool,
    limits: [usize; 2],
    queries: [usize; 2],
    before: &[(usize, u8, Act)],
    meanwhile: &[(usize, u8, Act)],
) -> Net {
    let mut net = twins(40);
    net.older = if older { vec![0, 1] } else { Vec::new() };
    for (peer, limit) in limits.into_iter().enumerate() {
        net.restart_with(peer, Sizes { reconciled_documents: limit, ..Sizes::default() });
    }
    before.iter().for_each(|act| perform(&mut net, *act));
    for (peer, index) in queries.into_iter().enumerate() {
        let choices: [&[&str]; 4] =
            [&[PLANTS], &[SUNNY], &[SUNNY, "SELECT * FROM plants WHERE light = 2"], &[]];
        choices[index].iter().for_each(|query| {
            net.subscribe(peer, query);
        });
    }
    net.connect(0, 1);
    for act in meanwhile {
        net.step();
        perform(&mut net, *act);
    }
    net.rest();
    net
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn it_ends_as_if_everything_had_been_told(
        queries in [0..4_usize, 0..4_usize],
        limits in limits(),
        before in acts(),
    ) {
        let [mut reconciled, mut walked] =
            [false, true].map(|older| play(older, limits, queries, &before, &[]));
        for peer in 0..2 {
            prop_assert!(reconciled.failures(peer).is_empty());
            prop_assert_eq!(reconciled.model(peer).versions(), walked.model(peer).versions(), "peer {}", peer);
        }
        prop_assert_eq!(count(&walked, SYMBOLS), 0);
    }

    #[test]
    fn who_subscribes_to_everything_has_it_whatever_is_written_meanwhile(
        limits in limits(),
        before in acts(),
        meanwhile in acts(),
    ) {
        let mut net = play(false, limits, [0, 0], &before, &meanwhile);
        for peer in 0..2 {
            prop_assert!(net.failures(peer).is_empty());
        }
        prop_assert_eq!(net.model(0).versions(), net.model(1).versions());
    }
}
