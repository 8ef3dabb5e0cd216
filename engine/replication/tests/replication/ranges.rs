//! Peers that hold more than they reconcile at once: they do it range by range, with the same end.

use std::cell::RefCell;
use std::rc::Rc;

use crate::net::{Net, int};
use ditto_replication::limits::PART_BYTES;
use ditto_replication::{SessionId, Sizes};
use ditto_value::Value;

const PLANTS: &str = "SELECT * FROM plants";
const SUNNY: &str = "SELECT * FROM plants WHERE light = 1";

const HELLO: u8 = 1;
const OFFER: u8 = 4;
const SYMBOLS: u8 = 16;
const SETTLED: u8 = 19;

const UNLIMITED: usize = 1_000;

/// A greeting without the capability; other messages as they are.
fn without_ranges(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.first() == Some(&HELLO) {
        // Field 8, a number of one byte: all capabilities but the sixth.
        let field = bytes.windows(2).position(|field| field == [16, 127]).expect("capabilities");
        bytes[field + 1] = 95;
    }
    bytes
}

/// Two peers that hold the same so many documents and have never met; they reconcile so many at once. The even ones match
/// [`SUNNY`].
fn twins(documents: usize, limits: [usize; 2]) -> Net {
    let mut net = Net::new(2);
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for i in 0..documents {
            transaction.insert("plants", &format!("plant {i}"), &[("light", int(1 + (i % 2) as i64))]);
        }
    });
    net.nodes[1].model = net.nodes[0].model.twin(2);
    for (peer, limit) in limits.into_iter().enumerate() {
        net.restart_with(peer, Sizes { reconciled_documents: limit, ..Sizes::default() });
    }
    net
}

fn set(net: &mut Net, peer: usize, plant: usize, light: i64) {
    let now = net.now;
    assert!(net.model(peer).set(now, "plants", &format!("plant {plant}"), "light", light));
}

fn insert(net: &mut Net, peer: usize, id: &str, light: i64) {
    let now = net.now;
    net.model(peer).insert(now, "plants", id, &[("light", int(light))]);
}

fn count(net: &Net, kind: u8) -> usize {
    net.kinds.get(&kind).copied().unwrap_or_default()
}

fn sent(net: &Net, (left, right): (SessionId, SessionId)) -> [u64; 2] {
    [net.statistics(0, left).documents_sent, net.statistics(1, right).documents_sent]
}

fn assert_at_peace(net: &Net) {
    for peer in 0..2 {
        assert!(net.failures(peer).is_empty(), "{:?}", net.failures(peer));
    }
}

/// Ranges that were gone on with, and reconciliations that were walked for instead.
fn ranges(net: &mut Net) -> [u64; 2] {
    let done = net.nodes.iter_mut().map(|node| node.replicator.mechanisms());
    done.fold([0, 0], |[ranges, walks], done| [ranges + done.ranges, walks + done.walked_instead])
}

#[test]
fn what_differs_is_sent_and_nothing_else_whoever_holds_too_much_for_once() {
    for limits in [[100, UNLIMITED], [UNLIMITED, 100], [100, 100], [30, 200], [200, 30], [20, 20]] {
        let mut net = twins(400, limits);
        for i in 0..20 {
            set(&mut net, 0, 17 * i, 50);
        }
        insert(&mut net, 0, "only at the first", 1);
        insert(&mut net, 1, "only at the second", 1);
        net.subscribe(1, PLANTS);
        let sessions = net.connect(0, 1);
        net.rest();
        assert_eq!(sent(&net, sessions), [21, 0], "{limits:?}");
        assert_eq!(net.model(1).versions().len(), 402);
        assert_eq!(net.model(1).field("plants", "plant 17", "light"), Some(int(50)));
        assert_eq!((count(&net, OFFER), count(&net, SETTLED)), (0, 1));
        let [further, walks] = ranges(&mut net);
        let least = 400 / *limits.iter().min().expect("two") as u64;
        assert!(further + 1 >= least && further < 64 && walks == 0, "{further} after the first, {limits:?}");
        assert_at_peace(&net);
    }
}

#[test]
fn as_many_as_fit_are_one_range() {
    for limits in [[400, 400], [400, UNLIMITED]] {
        let mut net = twins(400, limits);
        set(&mut net, 0, 7, 50);
        net.subscribe(1, PLANTS);
        let sessions = net.connect(0, 1);
        net.rest();
        assert_eq!((sent(&net, sessions), ranges(&mut net)), ([1, 0], [0, 0]));
    }
}

#[test]
fn no_more_is_described_at_once_than_the_limit() {
    let mut net = twins(400, [25, UNLIMITED]);
    let described = Rc::new(RefCell::new(0));
    let most = described.clone();
    net.alter = Some(Box::new(move |sender, bytes| {
        if sender == 0 && bytes.first() == Some(&SYMBOLS) {
            // Generation, then the number of documents, as there is no first symbol but number 0.
            let documents = bytes.get(3..5).filter(|field| field[0] == 6).map_or(0, |field| field[1]);
            let mut most = most.borrow_mut();
            *most = documents.max(*most);
        }
        vec![bytes]
    }));
    net.subscribe(0, PLANTS);
    net.subscribe(1, PLANTS);
    let sessions = net.connect(0, 1);
    net.rest();
    assert_eq!((sent(&net, sessions), ranges(&mut net)[1]), ([0, 0], 0));
    let most = *described.borrow();
    assert!((10..=25).contains(&most), "{most} documents");
    assert_at_peace(&net);
}

#[test]
fn both_directions_reconcile_and_what_is_written_meanwhile_arrives() {
    let mut net = twins(300, [20, 50]);
    for i in 0..30 {
        set(&mut net, 0, 7 * i, 50);
        set(&mut net, 1, 9 * i, 60);
    }
    net.subscribe(0, PLANTS);
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    let mut steps = 0;
    while count(&net, SETTLED) < 2 {
        set(&mut net, steps % 2, steps % 300, steps as i64);
        assert!(net.step(), "it comes to its end");
        steps += 1;
    }
    net.rest();
    net.assert_equal(0, 1);
    let [further, walks] = ranges(&mut net);
    assert!(further > 20 && walks == 0, "{further} ranges, {walks} walks");
    assert_at_peace(&net);
}

#[test]
fn a_filtered_subscriber_hears_of_what_left_the_filter_and_of_what_was_deleted() {
    for limits in [[15, 15], [15, UNLIMITED], [UNLIMITED, 15]] {
        let mut net = twins(100, limits);
        let now = net.now;
        for plant in [0, 20, 40, 60] {
            set(&mut net, 0, plant, 7);
            set(&mut net, 0, plant + 1, 1);
            let deleted = format!("plant {}", plant + 2);
            net.model(0).delete(now, "plants", &deleted);
        }
        insert(&mut net, 0, "new and sunny", 1);
        insert(&mut net, 0, "new and dark", 2);
        net.subscribe(1, SUNNY);
        let sessions = net.connect(0, 1);
        net.rest();
        assert_eq!(sent(&net, sessions), [13, 0], "nothing else");
        for plant in [0, 20, 40, 60] {
            let light = |plant| net.nodes[1].model.field("plants", &format!("plant {plant}"), "light");
            assert_eq!(
                [light(plant), light(plant + 1), light(plant + 2)],
                [Some(int(7)), Some(int(1)), None]
            );
        }
        assert!(net.model(1).visible("plants", "new and sunny").is_some());
        assert_eq!(net.model(1).visible("plants", "new and dark"), None);
        assert!(ranges(&mut net)[0] > 0);
        assert_at_peace(&net);
    }
}

#[test]
fn who_holds_little_is_walked_for_at_once() {
    for held in [0, 5] {
        let mut net = twins(0, [50, 50]);
        let now = net.now;
        for i in 0..400 {
            insert(&mut net, 0, &format!("plant {i}"), 1);
        }
        for i in 0..100 {
            net.model(1).insert(now, "pots", &format!("pot {i}"), &[]);
        }
        for i in 0..held {
            insert(&mut net, 1, &format!("other {i}"), 1);
        }
        net.rest();
        net.subscribe(1, PLANTS);
        let sessions = net.connect(0, 1);
        net.rest();
        assert_eq!(net.model(1).versions().len(), 500 + held);
        assert_eq!((sent(&net, sessions), count(&net, SETTLED)), ([400, 0], 1));
        assert_eq!(ranges(&mut net), [0, 1]);
        assert_at_peace(&net);
    }
}

#[test]
fn more_than_all_ranges_can_have_is_walked_for() {
    for limits in [[2, UNLIMITED], [UNLIMITED, 2]] {
        let mut net = twins(1_000, limits);
        set(&mut net, 0, 7, 50);
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        net.rest();
        net.assert_equal(0, 1);
        assert_eq!(ranges(&mut net)[1], 1);
        assert!(count(&net, OFFER) > 0);
        assert_at_peace(&net);
    }
}

#[test]
fn a_peer_that_does_not_know_ranges_is_walked_for() {
    for limits in [[50, UNLIMITED], [UNLIMITED, 50]] {
        let mut net = twins(200, limits);
        net.alter = Some(Box::new(|_, bytes| vec![without_ranges(bytes)]));
        set(&mut net, 0, 7, 50);
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        net.rest();
        net.assert_equal(0, 1);
        assert_eq!(ranges(&mut net), [0, 1]);
        assert_at_peace(&net);
    }
}

#[test]
fn a_link_that_breaks_between_any_two_messages_costs_a_repetition() {
    for steps in 0..60 {
        let mut net = twins(150, [40, 25]);
        for i in 0..20 {
            set(&mut net, 0, 7 * i, 50);
            set(&mut net, 1, 7 * i + 3, 60);
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

#[test]
fn who_names_a_range_without_saying_that_it_can_is_not_believed_to_hold_everything() {
    let mut net = twins(200, [50, 50]);
    for i in 0..20 {
        set(&mut net, 0, 10 * i, 50);
    }
    net.alter = Some(Box::new(|sender, bytes| vec![if sender == 1 { without_ranges(bytes) } else { bytes }]));
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.failures(0).len(), 1, "it is a violation");
    assert!(net.model(1).checkpoints().is_empty());
}

#[test]
fn a_range_that_the_subscriber_lacks_is_sent_as_a_whole() {
    let mut net = twins(32, [UNLIMITED, 4]);
    for i in 0..12 {
        insert(&mut net, 0, &format!("new {i}"), 1);
    }
    net.subscribe(1, PLANTS);
    let sessions = net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!((sent(&net, sessions), ranges(&mut net)[1]), ([12, 0], 0));
    assert_at_peace(&net);
}

#[test]
fn a_range_ends_when_its_large_documents_have_arrived() {
    let mut state = 1_u64;
    let mut noise = || -> Value {
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + (state >> 58) as u8)
        };
        Value::String((0..3 * PART_BYTES).map(|_| letter()).collect())
    };
    let rings = noise();
    let mut reached = 0;
    for steps in 0..60 {
        let mut net = twins(60, [20, 20]);
        let now = net.now;
        for i in 0..4 {
            net.model(0).insert(now, "plants", &format!("large {i}"), &[("rings", rings.clone())]);
        }
        net.model(0).insert(now, "pots", "pot", &[]);
        net.room = 2;
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        for _ in 0..steps {
            if !net.step() {
                net.tick_due();
            }
        }
        // What is under way is dropped, and begun again.
        net.model(0).evict("pots", "pot");
        net.rest();
        assert_at_peace(&net);
        for i in 0..4 {
            assert!(net.model(1).visible("plants", &format!("large {i}")).is_some(), "after {steps} steps");
        }
        reached += u64::from(ranges(&mut net)[0] > 0);
    }
    assert!(reached > 30, "{reached} times");
}

/// Differences that are left after a hundred sessions that each end after so many messages.
fn left_after_sessions_of(messages: usize, limit: usize) -> usize {
    let mut net = twins(400, [limit, limit]);
    for i in 0..20 {
        set(&mut net, 0, 20 * i, 50);
    }
    net.subscribe(1, PLANTS);
    for _ in 0..100 {
        net.connect(0, 1);
        let mut left = messages;
        while left > 0 && (net.step() || net.tick_due()) {
            left -= 1;
        }
        net.advance(100);
        net.disconnect(0, 1);
    }
    let theirs = net.model(0).versions();
    let ours = net.model(1).versions();
    theirs.iter().filter(|(key, version)| ours.get(*key) != Some(*version)).count()
}

#[test]
fn sessions_that_end_before_all_ranges_have_had_their_turn_come_to_an_end_together() {
    for messages in [16, 20, 30, 40, 60] {
        for limit in [25, UNLIMITED] {
            assert_eq!(left_after_sessions_of(messages, limit), 0, "{messages} messages, {limit} at once");
        }
    }
}
