//! A large collection for a peer that holds nothing: all documents by name first, and no checkpoint passes what is not held.

use crate::net::{Net, int};
use ditto_crdt::Sequence;
use ditto_replication::limits::{MIN_LISTED_CHANGES, PART_BYTES, WINDOW_DOCUMENTS};
use ditto_replication::{Event, Replica as _, SessionId};
use ditto_value::Value;
use proptest::prelude::*;

const PLANTS: &str = "SELECT * FROM plants";
const COUNT: usize = MIN_LISTED_CHANGES as usize + WINDOW_DOCUMENTS + 2_000;

/// Kind of an offer.
const OFFER: u8 = 4;
/// Kind of a message with symbols.
const SYMBOLS: u8 = 16;

/// Names that are in another order than the numbers.
fn name(number: usize) -> String {
    format!("{:05}", number * 7_919 % 100_003)
}

fn insert(net: &mut Net, peer: usize, id: &str, light: i64) {
    let now = net.now;
    net.model(peer).insert(now, "plants", id, &[("light", int(light))]);
}

fn set(net: &mut Net, id: &str, light: i64) -> bool {
    let now = net.now;
    net.model(0).set(now, "plants", id, "light", light)
}

/// A publisher with many documents, in commits of a hundred.
fn publisher() -> Net {
    let mut net = Net::new(2);
    let now = net.now;
    for hundred in 0..COUNT.div_ceil(100) {
        net.model(0).commit(now, |transaction| {
            for number in (hundred * 100..COUNT).take(100) {
                transaction.insert("plants", &name(number), &[("light", int(1))]);
            }
        });
    }
    net
}

/// And a subscriber that has a first part of them.
fn under_way() -> (Net, SessionId, SessionId) {
    let mut net = publisher();
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    deliver_until(&mut net, 3_000);
    (net, left, right)
}

fn deliver_until(net: &mut Net, count: usize) {
    while net.model(1).count() < count {
        assert!(net.step(), "it never comes");
    }
}

/// Everything up to the least checkpoint of the subscriber, which writes nothing itself, is held: the one for everything is not
/// ahead of those for parts.
#[derive(Default)]
struct Watch {
    /// Up to here it was.
    seen: Sequence,
    /// With fewer checkpoints the one for everything may be lacking.
    interests: usize,
}

impl Watch {
    fn look(&mut self, net: &Net) {
        let [publisher, subscriber] = &net.nodes[..] else { panic!("two peers") };
        let checkpoints = subscriber.model.checkpoints();
        let least = checkpoints.iter().map(|checkpoint| checkpoint.sequence).min();
        let Some(least) = least.filter(|_| checkpoints.len() >= self.interests) else { return };
        let rows = publisher.model.changes(self.seen, least, usize::MAX).expect("readable");
        for row in rows {
            let (theirs, ours) = (publisher.model.canonical(&row.key), subscriber.model.canonical(&row.key));
            assert!(theirs == ours, "{:?} at {:?} before {least:?}", row.key, row.sequence);
        }
        self.seen = self.seen.max(least);
    }

    fn settle(&mut self, net: &mut Net) {
        while net.step() {
            self.look(net);
        }
        net.rest();
        self.look(net);
        net.assert_equal(0, 1);
        assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
    }
}

fn is_at_the_end(net: &mut Net) -> bool {
    let end = net.model(0).last_sequence();
    net.model(1).checkpoints().iter().any(|checkpoint| checkpoint.sequence == end)
}

#[test]
fn documents_come_once_in_the_order_of_their_names_and_the_checkpoint_after_them() {
    let (mut net, left, right) = under_way();
    let held: Vec<_> = net.model(1).versions().into_keys().collect();
    let first: Vec<_> = net.model(0).versions().into_keys().take(held.len()).collect();
    assert_eq!(held, first);
    assert!(net.model(1).checkpoints().iter().all(|checkpoint| checkpoint.sequence == Sequence(0)));
    assert!(!net.nodes[1].events.iter().any(|event| matches!(event, Event::CaughtUp { .. })));
    Watch::default().settle(&mut net);
    assert_eq!(net.statistics(0, left).documents_sent, COUNT as u64);
    assert_eq!(net.statistics(1, right).questions_asked, 0);
    assert!(is_at_the_end(&mut net));
    assert!(net.nodes[1].events.iter().any(|event| matches!(event, Event::CaughtUp { .. })));
}

#[test]
fn a_peer_that_holds_something_gets_no_listing() {
    let mut net = publisher();
    for number in 0..100 {
        insert(&mut net, 1, &format!("own{number}"), 2);
    }
    net.model(1).sync();
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    deliver_until(&mut net, 3_000);
    let held = net.model(1).versions();
    let first: Vec<_> = net.model(0).versions().into_keys().take(3_000).collect();
    assert!(!first.iter().all(|key| held.contains_key(key)));
    net.rest();
    assert_eq!(net.model(1).count(), COUNT + 100);
}

#[test]
fn what_changes_meanwhile_comes_before_the_rest_and_whole() {
    let (mut net, _, _) = under_way();
    let (told, untold) = (name(0), (0..COUNT).map(name).max().expect("there are some"));
    assert!(
        net.model(1).visible("plants", &told).is_some() && net.model(1).visible("plants", &untold).is_none()
    );
    insert(&mut net, 0, "00001-new", 7);
    assert!(set(&mut net, &told, 8) && set(&mut net, &untold, 9));
    while net.model(1).field("plants", &untold, "light") != Some(int(9)) {
        assert!(net.step(), "it never comes");
    }
    assert!(net.model(1).count() < COUNT - 1_000);
    assert_eq!(net.model(1).field("plants", &told, "light"), Some(int(8)));
    assert_eq!(net.model(1).field("plants", "00001-new", "light"), Some(int(7)));
    Watch::default().settle(&mut net);
}

#[test]
fn documents_that_travel_in_parts_and_deleted_ones_arrive_too() {
    let mut net = publisher();
    let now = net.now;
    let large = Value::from("x".repeat(2 * PART_BYTES));
    net.model(0).insert(now, "plants", "00002-large", &[("filling", large)]);
    net.model(0).delete(now, "plants", &name(5_000));
    net.subscribe(1, PLANTS);
    let (left, _) = net.connect(0, 1);
    Watch::default().settle(&mut net);
    assert_eq!(net.statistics(0, left).documents_sent, COUNT as u64 + 1);
    assert!(is_at_the_end(&mut net));
}

#[test]
fn whoever_loses_every_session_gets_there_all_the_same() {
    let (mut net, _, _) = under_way();
    for _ in 0..40 {
        net.restart(1);
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        for _ in 0..20 {
            net.step();
        }
    }
    let held = net.model(1).count();
    assert!(held > 6_000, "only {held} documents after 40 sessions");
    Watch::default().settle(&mut net);
    assert!(is_at_the_end(&mut net));
}

#[test]
fn another_subscription_meanwhile_costs_no_repetition() {
    let (mut net, left, _) = under_way();
    let now = net.now;
    net.model(0).insert(now, "pots", "clay", &[("size", int(3))]);
    net.subscribe(1, "SELECT * FROM pots");
    Watch { interests: 2, ..Watch::default() }.settle(&mut net);
    assert!(net.model(1).visible("pots", "clay").is_some());
    assert_eq!(net.statistics(0, left).documents_sent, COUNT as u64 + 1);
}

#[test]
fn a_filter_on_the_same_collection_costs_neither_a_repetition_nor_an_offer() {
    let mut net = publisher();
    net.subscribe(1, PLANTS);
    net.subscribe(1, "SELECT * FROM plants WHERE light = 2");
    let (left, _) = net.connect(0, 1);
    Watch::default().settle(&mut net);
    assert_eq!(net.statistics(0, left).documents_sent, COUNT as u64);
    assert_eq!(net.kinds.get(&OFFER), None);
    assert!(is_at_the_end(&mut net));
}

#[test]
fn what_is_evicted_meanwhile_comes_back() {
    let (mut net, _, _) = under_way();
    let id = (0..COUNT).map(name).min().expect("there are some");
    assert!(net.model(1).visible("plants", &id).is_some());
    net.model(1).evict("plants", &id);
    Watch::default().settle(&mut net);
    assert!(net.model(1).visible("plants", &id).is_some());
}

#[derive(Clone, Debug)]
enum Act {
    /// Deliver so many messages.
    Deliver(usize),
    Insert(usize),
    Change(prop::sample::Index),
    Delete(prop::sample::Index),
    /// The publisher's disk takes nothing, or does again.
    Sync(bool),
    Subscribe,
    Reconnect,
    SubscriberLosesPower,
    PublisherLosesPower,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (1..12_usize).prop_map(Act::Deliver),
        2 => (1..40_usize).prop_map(Act::Insert),
        4 => any::<prop::sample::Index>().prop_map(Act::Change),
        2 => any::<prop::sample::Index>().prop_map(Act::Delete),
        2 => any::<bool>().prop_map(Act::Sync),
        1 => Just(Act::Subscribe),
        1 => Just(Act::Reconnect),
        1 => Just(Act::SubscriberLosesPower),
        1 => Just(Act::PublisherLosesPower),
    ];
    prop::collection::vec(act, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn no_checkpoint_ever_passes_what_is_not_held(acts in acts()) {
        let mut net = publisher();
        let mut written: Vec<String> = (0..COUNT).map(name).collect();
        let queries = [PLANTS, "SELECT * FROM plants WHERE light = 1", "SELECT * FROM pots"];
        let mut subscribed = 1;
        let mut watch = Watch::default();
        net.model(0).sync();
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        for act in acts {
            match act {
                Act::Deliver(count) => for _ in 0..count {
                    net.step();
                    watch.look(&net);
                },
                Act::Insert(count) => for _ in 0..count {
                    let id = name(written.len());
                    insert(&mut net, 0, &id, written.len() as i64 % 2);
                    written.push(id);
                },
                Act::Change(which) => {
                    set(&mut net, &which.get(&written).clone(), written.len() as i64);
                }
                Act::Delete(which) => {
                    let now = net.now;
                    let id = which.get(&written).clone();
                    net.model(0).delete(now, "plants", &id);
                }
                Act::Sync(syncs) => net.nodes[0].syncs = syncs,
                Act::Subscribe => {
                    if let Some(query) = queries.get(subscribed) {
                        net.subscribe(1, query);
                        subscribed += 1;
                        watch.interests = subscribed;
                    }
                }
                Act::Reconnect | Act::SubscriberLosesPower | Act::PublisherLosesPower => {
                    net.restart(1);
                    match act {
                        Act::SubscriberLosesPower => net.model(1).crash(),
                        Act::PublisherLosesPower => {
                            net.restart(0);
                            net.model(0).crash();
                        }
                        _ => {}
                    }
                    watch = Watch { interests: subscribed, ..Watch::default() };
                    queries.iter().take(subscribed).for_each(|query| { net.subscribe(1, query); });
                    net.connect(0, 1);
                }
            }
            watch.look(&net);
        }
        net.nodes[0].syncs = true;
        watch.settle(&mut net);
        prop_assert!(is_at_the_end(&mut net));
    }
}

#[test]
fn symbols_beyond_those_that_were_enough_do_no_harm() {
    const FILTERED: &str = "SELECT * FROM plants WHERE light = 1";
    let mut net = publisher();
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    let lose_power = |net: &mut Net, queries: &[&str]| {
        net.restart(1);
        net.model(1).crash();
        queries.iter().for_each(|query| {
            net.subscribe(1, query);
        });
        net.connect(0, 1);
    };
    let deliver = |net: &mut Net, messages: usize| (0..messages).for_each(|_| assert!(net.step()));
    deliver(&mut net, 26);
    lose_power(&mut net, &[PLANTS]);
    deliver(&mut net, 10);
    let now = net.now;
    net.model(0).delete(now, "plants", &name(16_823));
    net.subscribe(1, FILTERED);
    deliver(&mut net, 3);
    lose_power(&mut net, &[PLANTS, FILTERED]);
    net.rest();
    net.assert_equal(0, 1);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
    // Those that came last were not needed any more, or this is a test of nothing.
    assert!(net.kinds.get(&SYMBOLS).is_some_and(|messages| *messages > 3));
}
