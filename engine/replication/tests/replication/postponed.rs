//! Peers that have much wait for each other before they subscribe: everybody gets everything all the same, soon.

use crate::net::{Net, int, peer_id};
use ditto_replication::limits::{
    LAZY_PATIENCE_MS, MAX_UNSERVED, MIN_POSTPONED_CHANGES, MIN_RECONCILED_CHANGES,
};
use ditto_replication::{SessionId, SubscriptionId};
use proptest::prelude::*;

const PLANTS: &str = "SELECT * FROM plants";
const POTS: &str = "SELECT * FROM pots";
/// As many as make others wait.
const MANY: usize = MIN_POSTPONED_CHANGES as usize;
/// Kind of a message about interests.
const INTERESTS: u8 = 2;

fn plant(net: &mut Net, peer: usize, name: &str, count: usize) {
    let now = net.now;
    net.model(peer).commit(now, |transaction| {
        for number in 0..count {
            transaction.insert("plants", &format!("{name} {number}"), &[("light", int(number as i64 % 3))]);
        }
    });
}

/// 0 and 1 hold the same, much; 2 subscribes to it, is connected to both and has heard from both.
fn two_publishers() -> (Net, SessionId, SessionId) {
    let mut net = Net::new(3);
    plant(&mut net, 0, "fern", MANY);
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    net.disconnect(0, 1);
    net.subscribe(2, PLANTS);
    let (_, to_0) = net.connect(0, 2);
    let (_, to_1) = net.connect(1, 2);
    let ready = |net: &Net, session| net.nodes[2].replicator.is_ready(session);
    net.held.insert((2, to_1));
    while !ready(&net, to_0) {
        assert!(net.step());
    }
    net.held.remove(&(2, to_1));
    net.held.insert((2, to_0));
    while !ready(&net, to_1) {
        assert!(net.step());
    }
    (net, to_0, to_1)
}

#[test]
fn the_second_of_two_publishers_is_subscribed_to_when_the_first_has_told_everything() {
    let (mut net, to_0, to_1) = two_publishers();
    let asked = |net: &Net| net.kinds.get(&INTERESTS).copied().unwrap_or_default();
    let before = asked(&net);
    assert!(net.statistics(2, to_1).catching_up, "nothing is known of it yet");
    net.held.clear();
    net.rest();
    net.assert_equal(0, 2);
    assert!(asked(&net) > before);
    assert_eq!(net.statistics(2, to_0).documents_received, MANY as u64);
    assert_eq!(net.statistics(2, to_1).documents_received, 0);
    assert!(!net.statistics(2, to_0).catching_up && !net.statistics(2, to_1).catching_up);
    // And from now on it tells what only it has.
    plant(&mut net, 1, "moss", 1);
    net.settle();
    net.assert_equal(1, 2);
}

#[test]
fn a_publisher_that_says_nothing_is_not_waited_for() {
    let (mut net, _, to_1) = two_publishers();
    net.settle();
    assert_eq!(net.model(2).count(), 0, "it waits for the first, to which nothing is delivered");
    net.advance(LAZY_PATIENCE_MS);
    net.settle();
    assert_eq!(net.model(2).count(), MANY);
    assert_eq!(net.statistics(2, to_1).documents_received, MANY as u64);
}

#[test]
fn when_the_first_publisher_is_lost_the_second_is_subscribed_to_at_once() {
    let (mut net, _, _) = two_publishers();
    net.disconnect(0, 2);
    // No time passes.
    net.settle();
    assert_eq!(net.model(2).count(), MANY);
}

#[test]
fn what_the_second_publisher_gives_back_before_it_is_subscribed_to_may_be_a_part() {
    let mut net = Net::new(3);
    let now = net.now;
    for id in ["left", "right"] {
        net.model(2).insert(now, "plants", id, &[("light", int(1))]);
    }
    net.subscribe(1, PLANTS);
    net.connect(1, 2);
    net.rest();
    net.disconnect(1, 2);
    plant(&mut net, 0, "fern", MANY);
    plant(&mut net, 1, "moss", MANY);
    net.model(1).commit(now, |transaction| {
        for id in ["left", "right"] {
            transaction.set("plants", id, "turn", int(1));
        }
    });
    net.model(2).set(now, "plants", "left", "water", 1);
    net.subscribe(2, PLANTS);
    // All of it is durable.
    net.settle();
    let (_, to_0) = net.connect(0, 2);
    let (_, to_1) = net.connect(1, 2);
    net.held.insert((2, to_1));
    while !net.nodes[2].replicator.is_ready(to_0) {
        assert!(net.step());
    }
    net.held = [(2, to_0)].into();
    let turn = |net: &mut Net, id| net.model(2).field("plants", id, "turn");
    let mut was_in_part = false;
    while net.step() || net.tick_due() {
        let in_part = turn(&mut net, "left") != turn(&mut net, "right");
        was_in_part |= in_part;
        assert!(!in_part || net.nodes[2].replicator.shows_parts());
    }
    assert!(was_in_part, "1 gives back what it has of the document that it asked about");
    net.held.clear();
    net.rest();
    net.assert_equal(1, 2);
    assert!(!net.nodes[2].replicator.shows_parts());
}

#[test]
fn who_wants_something_else_meanwhile_gets_it() {
    let (mut net, _, to_1) = two_publishers();
    let now = net.now;
    net.model(1).insert(now, "pots", "clay", &[("size", int(3))]);
    net.subscribe(2, POTS);
    net.held.clear();
    net.rest();
    assert!(net.model(2).visible("pots", "clay").is_some());
    assert_eq!(net.statistics(2, to_1).documents_received, 1);
}

#[test]
fn a_publisher_that_says_nothing_does_not_keep_others_from_being_served() {
    let mut net = Net::new(4);
    for peer in 0..4 {
        net.subscribe(peer, PLANTS);
    }
    plant(&mut net, 2, "fern", 2 * MANY);
    plant(&mut net, 1, "moss", 2 * MANY);
    net.connect(0, 2);
    net.rest();
    net.assert_equal(0, 2);
    net.disconnect(0, 2);
    // 2 is started again, without any checkpoint.
    net.restart(2);
    net.model(2).open();
    net.model(2).forget_checkpoints();
    net.subscribe(2, PLANTS);
    // 3 writes now and then. 1 greets and stands still.
    net.connect(0, 3);
    net.rest();
    let (silent, _) = net.connect(0, 1);
    while !net.nodes[0].replicator.is_ready(silent) {
        assert!(net.step());
    }
    net.held.insert((0, silent));
    net.settle();
    plant(&mut net, 0, "ours", 1);
    net.connect(0, 2);
    let begin = net.now;
    for number in 0.. {
        net.settle();
        if net.model(2).visible("plants", "ours 0").is_some() {
            break;
        }
        assert!(net.now - begin <= 2 * LAZY_PATIENCE_MS, "2 still waits");
        plant(&mut net, 3, &format!("trickle {number}"), 1);
        net.settle();
        net.advance(LAZY_PATIENCE_MS / 2);
    }
}

#[test]
fn what_ends_while_it_waits_to_be_served_is_not_waited_with() {
    let (mut net, to_0, _) = two_publishers();
    net.held = [(2, to_0)].into();
    plant(&mut net, 2, "rose", 2 * MIN_RECONCILED_CHANGES as usize);
    net.settle();
    // As many as are served although they wait, and the first of them ends.
    let queries = (0..=MAX_UNSERVED).map(|light| format!("SELECT * FROM plants WHERE light = {light}"));
    let mut asked: Vec<SubscriptionId> = Vec::new();
    for query in queries {
        asked.push(net.subscribe(1, &query));
    }
    while asked.len() > 1 {
        net.unsubscribe(1, asked.remove(0));
        net.settle();
    }
    net.held.clear();
    net.rest();
    assert!(net.failures(1).is_empty() && net.failures(2).is_empty());
    net.assert_equal(1, 2);
}

#[test]
fn a_publisher_of_whom_a_checkpoint_is_held_is_subscribed_to_at_once() {
    let mut net = Net::new(3);
    (0..2).for_each(|peer| plant(&mut net, peer, &format!("plant {peer}"), MANY));
    net.subscribe(2, PLANTS);
    net.connect(0, 2);
    net.rest();
    net.disconnect(0, 2);
    plant(&mut net, 0, "new", MANY);
    let (_, to_1) = net.connect(1, 2);
    while !net.nodes[2].replicator.is_ready(to_1) {
        assert!(net.step());
    }
    net.held.insert((2, to_1));
    let (_, to_0) = net.connect(0, 2);
    net.settle();
    assert_eq!(net.statistics(2, to_0).documents_received, MANY as u64, "whatever 1 may bring");
}

/// Its interests name a checkpoint of its greeting, and it knows that it is served at once.
#[test]
fn who_goes_on_where_it_was_is_served_while_it_waits_to_be_asked() {
    let mut net = Net::new(3);
    plant(&mut net, 0, "fern", MANY);
    plant(&mut net, 1, "moss", MANY);
    plant(&mut net, 2, "oak", 40);
    net.subscribe(1, PLANTS);
    net.connect(1, 2);
    net.rest();
    net.disconnect(1, 2);
    plant(&mut net, 2, "ours", 1);
    net.model(2).sync();
    net.subscribe(2, PLANTS);
    let (_, to_0) = net.connect(0, 2);
    while !net.nodes[2].replicator.is_ready(to_0) {
        assert!(net.step());
    }
    net.held.insert((2, to_0));
    net.connect(1, 2);
    net.settle();
    assert!(net.model(2).visible("plants", "moss 1").is_none(), "2 waits for 0");
    assert!(net.model(1).visible("plants", "ours 0").is_some(), "1 does not wait for that");
}

#[test]
fn that_a_publisher_has_evicted_is_heard_while_it_waits() {
    let (mut net, _, _) = two_publishers();
    net.settle();
    net.model(1).evict("plants", "fern 1");
    net.settle();
    assert!(net.model(2).others.evictions.iter().any(|(peer, _)| *peer == peer_id(1)));
    assert_eq!(net.model(2).count(), 0, "it still waits for the first");
}

#[derive(Clone, Debug)]
enum Act {
    Deliver(usize),
    Pass(u64),
    Plant(usize, usize),
    Connect(usize, usize),
    Disconnect(usize, usize),
    Subscribe(usize, bool),
    Unsubscribe(usize),
    LosePower(usize),
    Evict(usize, prop::sample::Index),
}

const PEERS: usize = 4;

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let peer = || 0..PEERS;
    let act = prop_oneof![
        8 => (1..60_usize).prop_map(Act::Deliver),
        3 => prop::sample::select(vec![20, 200, 600, 20_000_u64]).prop_map(Act::Pass),
        2 => (peer(), prop::sample::select(vec![1, 40, MANY])).prop_map(|(peer, count)| Act::Plant(peer, count)),
        6 => (peer(), peer()).prop_map(|(a, b)| Act::Connect(a, b)),
        2 => (peer(), peer()).prop_map(|(a, b)| Act::Disconnect(a, b)),
        2 => (peer(), any::<bool>()).prop_map(|(peer, pots)| Act::Subscribe(peer, pots)),
        1 => peer().prop_map(Act::Unsubscribe),
        1 => peer().prop_map(Act::LosePower),
        1 => (peer(), any::<prop::sample::Index>()).prop_map(|(peer, which)| Act::Evict(peer, which)),
    ];
    prop::collection::vec(act, 1..40)
}

/// The subscriptions of each peer.
struct Wishes([Vec<(&'static str, SubscriptionId)>; PEERS]);

impl Wishes {
    fn add(&mut self, net: &mut Net, peer: usize, query: &'static str) {
        let id = net.subscribe(peer, query);
        self.0[peer].push((query, id));
    }

    fn renew(&mut self, net: &mut Net, peer: usize) {
        for (query, _) in std::mem::take(&mut self.0[peer]) {
            self.add(net, peer, query);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn everybody_gets_everything_whoever_waits_for_whom(acts in acts()) {
        let mut net = Net::new(PEERS);
        let mut wishes = Wishes(std::array::from_fn(|_| Vec::new()));
        let mut planted = 0;
        plant(&mut net, 0, "fern", MANY);
        for peer in 0..PEERS {
            wishes.add(&mut net, peer, PLANTS);
        }
        for act in acts {
            match act {
                Act::Deliver(count) => {
                    for _ in 0..count {
                        let _ = net.step() || net.tick_due();
                    }
                }
                Act::Pass(milliseconds) => net.advance(milliseconds),
                Act::Plant(peer, count) => {
                    planted += 1;
                    plant(&mut net, peer, &format!("plant {planted}"), count);
                }
                Act::Connect(a, b) if a != b => {
                    net.disconnect(a, b);
                    net.connect(a, b);
                }
                Act::Connect(..) => {}
                Act::Disconnect(a, b) => net.disconnect(a, b),
                Act::Subscribe(peer, pots) => wishes.add(&mut net, peer, if pots { POTS } else { PLANTS }),
                Act::Unsubscribe(peer) => {
                    if let Some((_, id)) = wishes.0[peer].pop() {
                        net.unsubscribe(peer, id);
                    }
                }
                Act::LosePower(peer) => {
                    net.restart(peer);
                    net.model(peer).crash();
                    wishes.renew(&mut net, peer);
                }
                Act::Evict(peer, which) => {
                    let id = format!("fern {}", which.index(MANY));
                    net.model(peer).evict("plants", &id);
                }
            }
        }
        // Nobody forgets anything any more, and all meet. Who was not listened to for long may have been given up before.
        for peer in 0..PEERS {
            wishes.add(&mut net, peer, PLANTS);
            for other in 0..peer {
                net.disconnect(peer, other);
            }
        }
        for node in &mut net.nodes {
            node.events.clear();
        }
        for peer in 0..PEERS {
            for other in 0..peer {
                net.connect(peer, other);
            }
        }
        for _ in 0..3 {
            net.rest();
        }
        for peer in 1..PEERS {
            net.assert_equal(0, peer);
        }
        for peer in 0..PEERS {
            prop_assert!(net.failures(peer).is_empty(), "{:?}", net.failures(peer));
            prop_assert!(net.nodes[peer].replicator.next_timeout().is_none_or(|timeout| timeout > net.now));
        }
    }
}
