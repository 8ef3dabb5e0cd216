//! Whatever is evicted while something is on its way: nobody sees half a document.

use crate::model::document_key;
use crate::net::{Net, int, peer_id};
use ditto_replication::{Replica, SessionId};
use proptest::prelude::*;

const PLANTS: &str = "SELECT * FROM plants";

fn insert(net: &mut Net, peer: usize, id: &str) {
    let now = net.now;
    net.model(peer).insert(now, "plants", id, &[("light", int(1)), ("water", int(1))]);
}

fn set(net: &mut Net, peer: usize, id: &str, field: &str, value: i64) {
    let now = net.now;
    net.model(peer).set(now, "plants", id, field, value);
}

/// A document has all that it began with, or is not there.
fn assert_whole(net: &Net) {
    for (peer, node) in net.nodes.iter().enumerate() {
        for id in ["fern", "oak"] {
            if let Some(document) = node.model.visible("plants", id) {
                assert!(
                    document.get("light").is_some() && document.get("water").is_some(),
                    "peer {peer} shows {document:?}"
                );
            }
        }
    }
}

/// Two peers that hold two documents and subscribe to all.
fn pair_of_peers() -> Net {
    let mut net = Net::new(2);
    for peer in 0..2 {
        net.subscribe(peer, PLANTS);
    }
    insert(&mut net, 0, "fern");
    insert(&mut net, 0, "oak");
    net.connect(0, 1);
    net.rest();
    net
}

#[test]
fn a_change_of_what_was_evicted_meanwhile_is_not_merged_onto_nothing() {
    let mut net = pair_of_peers();
    // The replicator is not called between the eviction and the message.
    net.nodes[1].syncs = false;
    set(&mut net, 0, "fern", "light", 2);
    net.model(1).evict("plants", "fern");
    while net.step() {
        assert_whole(&net);
    }
    net.nodes[1].syncs = true;
    net.rest();
    net.assert_equal(0, 1);
    assert!(net.model(1).visible("plants", "fern").is_some(), "it is still subscribed to");
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Set(usize, bool, bool),
    Evict(usize, bool),
    Deliver(usize),
    Sync(usize, bool),
    Reconnect,
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..3_usize, any::<bool>(), any::<bool>()).prop_map(|(peer, id, field)| Act::Set(peer, id, field)),
        2 => (0..3_usize, any::<bool>()).prop_map(|(peer, id)| Act::Evict(peer, id)),
        4 => (1..6_usize).prop_map(Act::Deliver),
        2 => (0..3_usize, any::<bool>()).prop_map(|(peer, syncs)| Act::Sync(peer, syncs)),
        1 => Just(Act::Reconnect),
        1 => prop_oneof![Just(1), Just(600), Just(3_000)].prop_map(Act::Pass),
    ];
    proptest::collection::vec(act, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn nobody_ever_sees_half_a_document_and_all_end_equal(acts in acts()) {
        let mut net = Net::new(3);
        for peer in 0..3 {
            net.subscribe(peer, PLANTS);
        }
        insert(&mut net, 0, "fern");
        insert(&mut net, 1, "oak");
        net.connect(0, 1);
        net.connect(1, 2);
        net.connect(0, 2);
        let id = |fern: bool| if fern { "fern" } else { "oak" };
        for act in acts {
            match act {
                Act::Set(peer, fern, light) => {
                    let value = net.now as i64;
                    set(&mut net, peer, id(fern), if light { "light" } else { "water" }, value);
                }
                // 0 never evicts, so that nothing is lost for good.
                Act::Evict(peer, fern) if peer > 0 => net.model(peer).evict("plants", id(fern)),
                Act::Evict(..) => {}
                Act::Deliver(count) => {
                    for _ in 0..count {
                        net.step();
                        assert_whole(&net);
                    }
                }
                Act::Sync(peer, syncs) => net.nodes[peer].syncs = syncs,
                Act::Reconnect => {
                    net.disconnect(0, 1);
                    net.connect(0, 1);
                }
                Act::Pass(milliseconds) => net.advance(milliseconds),
            }
            assert_whole(&net);
        }
        net.nodes.iter_mut().for_each(|node| node.syncs = true);
        while net.step() {
            assert_whole(&net);
        }
        net.rest();
        net.advance(20_000);
        net.rest();
        assert_whole(&net);
        net.assert_equal(0, 1);
        net.assert_equal(0, 2);
    }
}

/// Kind of a message, see `docs/protocol.md`.
const QUESTION: u8 = 9;

/// Both change an oak, and the one who is told holds more than that: it asks what of it the other one lacks, which does not get the
/// question yet.
fn asked_what_the_other_lacks() -> (Net, SessionId, SessionId) {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    net.subscribe(1, "SELECT * FROM trees");
    let now = net.now;
    net.model(0).insert(now, "trees", "oak", &[("light", int(1))]);
    insert(&mut net, 0, "fern");
    let (left, right) = net.connect(0, 1);
    net.rest();
    net.model(1).set(now, "trees", "oak", "rings", 1);
    net.model(0).set(now, "trees", "oak", "light", 2);
    net.held.insert((0, left));
    net.settle();
    assert!(net.waiting((0, left)).contains(&QUESTION));
    (net, left, right)
}

#[test]
fn no_checkpoint_passes_an_answer_that_has_to_be_asked_for_again() {
    let (mut net, left, right) = asked_what_the_other_lacks();
    let now = net.now;
    // While so much is not acknowledged that nothing is told, the oak changes again. The answer has that.
    net.nodes[1].syncs = false;
    for number in 0..1_000 {
        insert(&mut net, 0, &format!("moss{number}"));
    }
    net.settle();
    net.model(0).set(now, "trees", "oak", "light", 3);
    let change = net.model(0).last_sequence();
    net.settle();
    net.held = [(1, right)].into();
    while net.waiting((0, left)).contains(&QUESTION) {
        assert!(net.step());
    }
    net.nodes[1].syncs = true;
    net.settle();
    // The rest is told behind it, up to the change and beyond, and something is evicted before the answer arrives.
    net.model(1).evict("plants", "fern");
    net.held = [(0, left)].into();
    net.settle();
    assert!(net.waiting((0, left)).contains(&QUESTION), "it asks again");
    assert_eq!(net.model(1).field("trees", "oak", "light"), Some(int(2)));
    assert!(net.statistics(1, right).remote_position < change);
    net.disconnect(0, 1);
    net.held.clear();
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).field("trees", "oak", "light"), Some(int(3)));
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
}

#[test]
fn what_waits_for_an_answer_that_was_asked_for_again_goes_on_when_it_is_there() {
    let (mut net, left, right) = asked_what_the_other_lacks();
    // Twice what comes is of no use.
    for number in 0..2 {
        assert!(net.waiting((0, left)).contains(&QUESTION));
        net.held = [(1, right)].into();
        net.settle();
        insert(&mut net, 1, "reed");
        net.model(1).evict("plants", "reed");
        insert(&mut net, 0, &format!("moss{number}"));
        net.settle();
        net.held = [(0, left)].into();
        net.settle();
    }
    assert!(net.waiting((0, left)).contains(&QUESTION));
    net.held.clear();
    net.rest();
    for id in ["moss0", "moss1"] {
        assert!(net.model(1).visible("plants", id).is_some(), "{id}");
    }
    assert_eq!(net.model(1).field("trees", "oak", "light"), Some(int(2)));
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
}

#[test]
fn a_whole_document_that_waits_is_not_merged_after_its_subscription_ended_and_it_was_evicted() {
    let mut net = Net::new(2);
    net.subscribe(1, "SELECT * FROM trees");
    let now = net.now;
    net.model(0).insert(now, "trees", "oak", &[("light", int(1))]);
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    // One batch has a fern, which is whole, and an oak of which 1 has to ask what it lacks.
    let plants = net.subscribe(1, PLANTS);
    insert(&mut net, 0, "fern");
    net.model(0).set(now, "trees", "oak", "light", 2);
    net.model(1).set(now, "trees", "oak", "rings", 1);
    let (left, right) = net.connect(0, 1);
    net.until_asked((0, left), (1, right), 1);
    net.held = [(1, right)].into();
    net.settle();
    // The fern was there as well, from elsewhere.
    insert(&mut net, 1, "fern");
    net.unsubscribe(1, plants);
    net.model(1).evict("plants", "fern");
    net.held.clear();
    net.rest();
    assert_eq!(net.model(1).field("trees", "oak", "light"), Some(int(2)));
    assert_eq!(net.model(1).visible("plants", "fern"), None);
    let withheld = (peer_id(1), document_key("plants", "fern"));
    assert!(net.model(0).others.unheld.contains_key(&withheld), "an exception");
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
}

#[test]
fn what_an_eviction_leaves_a_gap_in_is_asked_about_although_the_batch_had_passed_it() {
    let mut net = pair_of_peers();
    net.disconnect(0, 1);
    // One commit, of which the change of the fern fits, and what the oak lacks is asked about.
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in ["fern", "oak"] {
            transaction.set("plants", id, "light", int(2));
        }
    });
    set(&mut net, 1, "oak", "water", 2);
    let (left, right) = net.connect(0, 1);
    net.until_asked((0, left), (1, right), 1);
    net.held = [(1, right)].into();
    net.settle();
    net.model(1).evict("plants", "fern");
    net.held = [(0, left)].into();
    net.settle();
    let asked = net.statistics(1, right).questions_asked;
    assert_eq!(asked, 3, "about the fern, and about the oak once more");
    net.held.clear();
    while net.step() || net.tick_due() {
        assert_whole(&net);
    }
    net.rest();
    assert_whole(&net);
    net.assert_equal(0, 1);
}
