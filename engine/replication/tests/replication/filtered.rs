//! A subscription with a filter costs what matches it, not what there is.

use crate::model::document_key;
use crate::net::{Net, int};
use ditto_replication::limits::{MAX_WORK_MS, MIN_RECONCILED_CHANGES, WORK_MS};
use ditto_replication::{Replica, Sizes};
use ditto_value::Value;
use proptest::prelude::*;

const BRIGHT: &str = "SELECT * FROM plants WHERE light = 1";
const OFFER: u8 = 4;
const SETTLED: u8 = 19;

fn insert(net: &mut Net, peer: usize, id: &str, light: i64) {
    let now = net.now;
    net.model(peer).insert(now, "plants", id, &[("light", int(light))]);
}

/// A publisher with many documents of which ten match, and a subscriber that has not connected yet.
fn many() -> Net {
    let mut net = Net::new(2);
    let now = net.now;
    for hundred in 0..50 {
        net.model(0).commit(now, |transaction| {
            for number in 0..100 {
                let light = i64::from(hundred == 7 && number < 10);
                let id = format!("plant {hundred} {number}");
                transaction.insert("plants", &id, &[("light", int(light))]);
            }
        });
    }
    net.subscribe(1, BRIGHT);
    net
}

#[test]
fn who_holds_nothing_is_offered_nothing() {
    let mut net = many();
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).count(), 10);
    assert_eq!(net.kinds.get(&OFFER), None);
    assert!(net.bytes < 4_000, "{} bytes", net.bytes);
}

#[test]
fn who_holds_other_collections_or_a_little_is_offered_next_to_nothing() {
    let mut net = many();
    let now = net.now;
    for number in 0..100 {
        net.model(1).insert(now, "animals", &format!("animal {number}"), &[]);
    }
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).count(), 110);
    assert!(net.bytes < 5_000, "{} bytes", net.bytes);
    // A few of them, and no checkpoint. One was deleted meanwhile, and one has left the filter.
    let mut net = many();
    let now = net.now;
    net.model(0).insert(now, "plants", "moss", &[("light", int(1))]);
    net.model(0).insert(now, "plants", "fern", &[("light", int(1))]);
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    net.model(0).delete(now, "plants", "moss");
    net.model(0).set(now, "plants", "fern", "light", int(2));
    net.restart(1);
    net.model(1).forget_checkpoints();
    net.subscribe(1, BRIGHT);
    net.bytes = 0;
    net.connect(0, 1);
    net.rest();
    let moss = document_key("plants", "moss");
    assert!(net.nodes[1].model.held(&moss).expect("a model").is_some_and(|held| !held.alive));
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(2)));
    assert!(net.bytes < 5_000, "{} bytes", net.bytes);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Insert(usize, u8, bool),
    Dim(usize, u8),
    Delete(usize, u8),
    Connect(usize, usize),
    Disconnect(usize, usize),
    Deliver(usize),
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let (peer, id) = (|| 0..3_usize, || 0..6_u8);
    let act = prop_oneof![
        4 => (peer(), id(), any::<bool>()).prop_map(|(peer, id, bright)| Act::Insert(peer, id, bright)),
        3 => (peer(), id()).prop_map(|(peer, id)| Act::Dim(peer, id)),
        2 => (peer(), id()).prop_map(|(peer, id)| Act::Delete(peer, id)),
        3 => (peer(), peer()).prop_map(|(a, b)| Act::Connect(a, b)),
        1 => (peer(), peer()).prop_map(|(a, b)| Act::Disconnect(a, b)),
        4 => (1..8_usize).prop_map(Act::Deliver),
        1 => prop_oneof![Just(600), Just(3_000)].prop_map(Act::Pass),
    ];
    proptest::collection::vec(act, 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// 2 subscribes with a filter and writes nothing; 0 and 1 hold everything of each other.
    #[test]
    fn whoever_holds_a_document_hears_of_it_whatever_was_not_offered(acts in acts()) {
        let mut net = Net::new(3);
        for peer in 0..2 {
            net.subscribe(peer, "SELECT * FROM plants");
        }
        net.subscribe(2, BRIGHT);
        let mut linked = [[false; 3]; 3];
        for act in acts {
            let now = net.now;
            match act {
                Act::Insert(peer, id, bright) if peer < 2 => {
                    insert(&mut net, peer, &format!("{id}"), i64::from(bright));
                }
                Act::Dim(peer, id) if peer < 2 => {
                    net.model(peer).set(now, "plants", &format!("{id}"), "light", int(0));
                }
                Act::Delete(peer, id) if peer < 2 => {
                    net.model(peer).delete(now, "plants", &format!("{id}"));
                }
                Act::Insert(..) | Act::Dim(..) | Act::Delete(..) => {}
                Act::Connect(a, b) if a != b && !linked[a.min(b)][a.max(b)] => {
                    linked[a.min(b)][a.max(b)] = true;
                    net.connect(a.min(b), a.max(b));
                }
                Act::Disconnect(a, b) if linked[a.min(b)][a.max(b)] => {
                    linked[a.min(b)][a.max(b)] = false;
                    net.disconnect(a.min(b), a.max(b));
                }
                Act::Connect(..) | Act::Disconnect(..) => {}
                Act::Deliver(count) => {
                    for _ in 0..count {
                        net.step();
                    }
                }
                Act::Pass(milliseconds) => net.advance(milliseconds),
            }
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            if !linked[a][b] {
                net.connect(a, b);
            }
        }
        for _ in 0..3 {
            net.rest();
            net.advance(20_000);
        }
        net.assert_equal(0, 1);
        let (all, held) = (net.model(0).versions(), net.model(2).versions());
        for (key, version) in &held {
            prop_assert_eq!(all.get(key), Some(version), "{:?} is not as it is elsewhere", key);
        }
        for key in all.keys() {
            let id = String::from_utf8_lossy(&key.id[1..2]).into_owned();
            let bright = net.model(0).field("plants", &id, "light") == Some(int(1));
            prop_assert!(!bright || held.contains_key(key), "{id} is missing");
        }
    }
}

#[test]
fn a_filter_that_costs_much_is_asked_about_few_documents_in_one_go() {
    for reconciles in [false, true] {
        let mut net = Net::new(3);
        net.subscribe(1, BRIGHT);
        net.subscribe(2, "SELECT * FROM pots");
        let count = 2 * MIN_RECONCILED_CHANGES as i64;
        for plant in 0..count {
            let now = net.now;
            net.model(0).insert(now, "plants", &format!("plant {plant}"), &[("light", int(plant % 2))]);
            if reconciles {
                net.model(1).insert(now, "plants", &format!("other {plant}"), &[("light", int(plant % 2))]);
            }
        }
        net.model(0).read_ms = WORK_MS / 2;
        let (_, slow) = net.connect(0, 1);
        net.connect(0, 2);
        net.rest();
        assert_eq!(net.kinds.contains_key(&SETTLED), reconciles);
        assert_eq!(net.statistics(1, slow).documents_received as i64, count / 2);
        // The one that is begun before the time is over, and one more whose value is sent.
        let most = net.model(0).most_read.get();
        assert!(most <= 4, "{most} documents were read in one go");
    }
}

#[test]
fn a_commit_that_costs_very_much_is_told_in_parts() {
    let mut net = Net::new(2);
    net.subscribe(1, BRIGHT);
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for plant in 0..20_i64 {
            transaction.insert("plants", &format!("plant {plant}"), &[("light", int(plant % 2))]);
        }
    });
    net.model(0).read_ms = MAX_WORK_MS / 2;
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!(net.statistics(1, right).documents_received, 10);
    let most = net.model(0).most_read.get();
    assert!(most <= 4, "{most} documents were read in one go");
}

#[test]
fn what_leaves_the_filter_while_it_waits_to_be_applied_is_told() {
    let mut net = Net::new(2);
    // The publisher does not know any more what it has told.
    net.restart_with(0, Sizes { known_documents: 1, ..Sizes::default() });
    net.subscribe(1, "SELECT * FROM plants WHERE light = 1");
    let now = net.now;
    net.model(0).insert(now, "plants", "fern", &[("light", int(1))]);
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    // Both change the fern, so that what is told with it waits for an answer.
    net.model(0).set(now, "plants", "fern", "water", 1);
    net.model(1).set(now, "plants", "fern", "rings", 1);
    for id in ["oak", "moss", "reed"] {
        net.model(0).insert(now, "plants", id, &[("light", int(1))]);
    }
    let (left, right) = net.connect(0, 1);
    net.until_asked((0, left), (1, right), 1);
    assert!(net.model(1).visible("plants", "oak").is_none(), "it waits");
    net.model(0).delete(now, "plants", "oak");
    net.settle();
    net.held.clear();
    net.rest();
    assert!(net.model(1).visible("plants", "moss").is_some());
    assert!(net.model(1).visible("plants", "oak").is_none(), "it was deleted");
}

#[test]
fn what_was_not_wanted_for_one_filter_is_told_for_another_that_is_walked_for_instead() {
    let mut net = Net::new(2);
    // A comparison of more than a few differences fails, and taking stock for it takes many calls.
    net.restart_with(0, Sizes { symbols: 16, ..Sizes::default() });
    net.restart_with(1, Sizes { rows_per_read: 5, rows_per_call: 5, ..Sizes::default() });
    insert(&mut net, 0, "oak", 1);
    (0..50).for_each(|number| insert(&mut net, 0, &format!("fern {number}"), 1));
    net.subscribe(1, "SELECT * FROM plants WHERE light = 1");
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    // What has left the filter is wanted, and fills a batch; what never matched comes after it, and is not.
    let now = net.now;
    net.model(0).commit(now, |write| {
        write.set("plants", "oak", "light", int(3));
        write.set("plants", "oak", "rings", Value::from("r".repeat(40_000)));
    });
    (0..40).for_each(|number| insert(&mut net, 0, &format!("moss {number}"), 2));
    net.subscribe(1, "SELECT * FROM plants WHERE light = 2");
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!(net.nodes[0].replicator.mechanisms().walked_instead, 1);
    net.assert_equal(0, 1);
    assert!(!net.statistics(1, right).catching_up);
}
