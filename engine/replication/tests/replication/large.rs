//! Documents that are too long for a message: they travel in parts, whole, and nobody waits for them.

use crate::model::document_key;
use crate::net::{Net, int, peer_id};
use crate::watch::{PLANTS, Watch};
use ditto_replication::limits::{
    LEFT_PARTS_MS, MAX_BATCH_BYTES, MAX_DELTA_BYTES, MAX_OPEN_PARTS, MAX_QUESTION_HASHES,
    MAX_WAITED_DELTA_BYTES, PART_BYTES, QUEUE_TARGET_BYTES,
};
use ditto_replication::{Event, Replica, SessionId};
use ditto_value::Value;
use proptest::prelude::*;

/// Kinds of messages, see `docs/protocol.md`.
const OFFER: u8 = 4;
const PART: u8 = 7;

/// A text that does not become shorter by packing.
fn noise(bytes: usize) -> Value {
    let mut state = 1_u64;
    let letters = (0..bytes).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 58) as u8)
    });
    Value::String(letters.collect())
}

fn insert_large(net: &mut Net, peer: usize, id: &str, parts: usize) {
    let now = net.now;
    net.model(peer).insert(now, "plants", id, &[("rings", noise(parts * PART_BYTES))]);
}

fn insert(net: &mut Net, peer: usize, id: &str) {
    let now = net.now;
    net.model(peer).insert(now, "plants", id, &[("light", int(1))]);
}

fn has(net: &Net, peer: usize, id: &str) -> bool {
    net.nodes[peer].model.visible("plants", id).is_some()
}

/// Delivers messages until a document has arrived; returns how many.
fn until(net: &mut Net, peer: usize, id: &str) -> usize {
    let mut messages = 0;
    while !has(net, peer, id) {
        assert!(net.step(), "{id} never comes");
        messages += 1;
    }
    messages
}

/// Two peers on a line that takes few messages at once, the second one subscribed to everything.
fn narrow() -> (Net, SessionId, SessionId) {
    let mut net = Net::new(2);
    net.room = 2;
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    net.settle();
    (net, left, right)
}

fn parts(net: &Net) -> usize {
    net.kinds.get(&PART).copied().unwrap_or_default()
}

/// Delivers messages until so many parts more have arrived.
fn deliver_parts(net: &mut Net, count: usize) {
    let enough = parts(net) + count;
    while parts(net) < enough {
        assert!(net.step(), "no more parts");
    }
}

#[test]
fn small_documents_and_new_changes_pass_a_large_one() {
    let (mut net, left, _) = narrow();
    insert_large(&mut net, 0, "oak", 100);
    for number in 0..50 {
        insert(&mut net, 0, &format!("fern{number}"));
    }
    let mut watch = Watch::default();
    assert!(until(&mut net, 1, "fern49") < 10);
    deliver_parts(&mut net, 10);
    insert(&mut net, 0, "urgent");
    let messages = until(&mut net, 1, "urgent");
    assert!(messages < 10, "it waited for {messages} messages");
    assert!(!has(&net, 1, "oak"));
    while net.step() {
        watch.look(&net);
    }
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(0, left).documents_sent, 52, "each once");
    assert_eq!(net.statistics(0, left).acknowledged, net.model(0).last_sequence());
    assert!(net.nodes[1].events.iter().any(|event| matches!(event, Event::CaughtUp { .. })));
}

#[test]
fn large_documents_come_one_after_the_other_and_all_small_ones_before() {
    let (mut net, left, _) = narrow();
    for number in 0..10 {
        insert_large(&mut net, 0, &format!("oak{number}"), 20);
        insert(&mut net, 0, &format!("fern{number}"));
    }
    until(&mut net, 1, "oak0");
    assert!((0..10).all(|number| has(&net, 1, &format!("fern{number}"))));
    for number in 1..10 {
        assert!(!has(&net, 1, &format!("oak{number}")), "oak{number}");
        until(&mut net, 1, &format!("oak{number}"));
    }
    Watch::default().settle(&mut net);
    assert_eq!(parts(&net), 10 * 21, "each part once; names and births make one more");
    assert_eq!(net.statistics(0, left).documents_sent, 20);
}

#[test]
fn in_both_directions_at_once() {
    let (mut net, _, _) = narrow();
    net.subscribe(0, PLANTS);
    net.settle();
    for peer in [0, 1] {
        insert_large(&mut net, peer, &format!("oak{peer}"), 40);
    }
    deliver_parts(&mut net, 10);
    for peer in [0, 1] {
        insert(&mut net, peer, &format!("fern{peer}"));
    }
    for (peer, fern, oak) in [(0, "fern1", "oak1"), (1, "fern0", "oak0")] {
        until(&mut net, peer, fern);
        assert!(!has(&net, peer, oak));
    }
    net.rest();
    net.assert_equal(0, 1);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
}

#[test]
fn a_transaction_with_large_documents_arrives_whole() {
    let (mut net, _, _) = narrow();
    let now = net.now;
    let ids = ["fern", "oak", "moss", "elm", "reed"];
    net.model(0).commit(now, |transaction| {
        for id in ids {
            let large = ["oak", "elm"].contains(&id);
            let rings = if large { noise(10 * PART_BYTES) } else { int(1) };
            transaction.insert("plants", id, &[("rings", rings)]);
        }
    });
    insert(&mut net, 0, "later");
    let mut seen = 0;
    let mut watch = Watch::default();
    while net.step() {
        seen = ids.iter().filter(|id| has(&net, 1, id)).count();
        assert!(seen == 0 || seen == ids.len(), "{seen} of {}", ids.len());
        watch.look(&net);
    }
    assert_eq!(seen, ids.len());
    net.assert_equal(0, 1);
}

#[test]
fn a_change_of_a_document_that_is_under_way_follows_it_as_a_change() {
    let (mut net, left, _) = narrow();
    insert_large(&mut net, 0, "oak", 50);
    deliver_parts(&mut net, 10);
    let now = net.now;
    net.model(0).set(now, "plants", "oak", "light", 5);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(parts(&net), 51);
    assert_eq!(net.statistics(0, left).documents_sent, 2);
}

#[test]
fn a_session_that_is_lost_leaves_nothing_in_part_and_repeats_nothing_else() {
    let (mut net, _, _) = narrow();
    insert_large(&mut net, 0, "oak", 50);
    for number in 0..50 {
        insert(&mut net, 0, &format!("fern{number}"));
    }
    deliver_parts(&mut net, 45);
    assert!(has(&net, 1, "fern49") && !has(&net, 1, "oak"));
    net.restart(1);
    assert_eq!(net.model(1).canonical(&document_key("plants", "oak")), None);
    net.subscribe(1, PLANTS);
    let (_, right) = net.connect(0, 1);
    Watch::default().settle(&mut net);
    assert_eq!(net.statistics(1, right).documents_received, 1);
}

#[test]
fn a_document_that_takes_longer_than_any_session_arrives() {
    let (mut net, _, _) = narrow();
    insert_large(&mut net, 0, "oak", 100);
    insert(&mut net, 0, "fern");
    let mut sessions = 1;
    while !has(&net, 1, "oak") {
        let enough = parts(&net) + 10;
        while parts(&net) < enough && net.step() {}
        net.disconnect(0, 1);
        // What is seen is all of it or nothing, and the publisher may be another process.
        if sessions % 3 == 0 {
            net.restart(0);
        }
        net.advance(1_000);
        net.connect(0, 1);
        sessions += 1;
        assert!(sessions < 13, "it begins anew");
    }
    assert!(parts(&net) <= 101 + sessions, "{} parts in {sessions} sessions", parts(&net));
    Watch::default().settle(&mut net);
    net.assert_equal(0, 1);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
    let resumed = net.nodes[1].replicator.mechanisms().resumed;
    assert!(resumed >= 9, "{resumed} times");
}

#[test]
fn a_large_document_that_has_changed_since_the_last_session_begins_anew() {
    let (mut net, _, _) = narrow();
    insert_large(&mut net, 0, "oak", 40);
    deliver_parts(&mut net, 20);
    net.disconnect(0, 1);
    let now = net.now;
    net.model(0).set(now, "plants", "oak", "light", 5);
    let before = parts(&net);
    let (left, _) = net.connect(0, 1);
    Watch::default().settle(&mut net);
    net.assert_equal(0, 1);
    assert_eq!(parts(&net) - before, 41 + 1, "all of it, and that what was left is of no use");
    assert_eq!(net.statistics(0, left).documents_sent, 1);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
    // Nothing is left of it.
    net.disconnect(0, 1);
    net.connect(0, 1);
    net.rest();
    assert_eq!(parts(&net) - before, 42);
}

#[test]
fn what_has_come_of_a_large_document_is_not_kept_for_ever() {
    let (mut net, _, _) = narrow();
    insert_large(&mut net, 0, "oak", 40);
    deliver_parts(&mut net, 20);
    net.disconnect(0, 1);
    net.advance(0);
    assert_eq!(net.nodes[1].replicator.next_timeout(), Some(net.now + LEFT_PARTS_MS));
    net.advance(LEFT_PARTS_MS);
    assert_eq!(net.nodes[1].replicator.next_timeout(), None);
    let before = parts(&net);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(parts(&net) - before, 41);
}

#[test]
fn large_documents_that_are_offered_come_one_after_the_other() {
    let (mut net, _, _) = narrow();
    // What follows them has been seen, so they are offered when the session is another one.
    for number in 0..8 {
        insert_large(&mut net, 0, &format!("oak{number}"), 50);
    }
    insert(&mut net, 0, "fern");
    until(&mut net, 1, "fern");
    net.restart(1);
    net.subscribe(1, PLANTS);
    let (left, _) = net.connect(0, 1);
    let mut watch = Watch::default();
    while net.step() {
        watch.look(&net);
        let queued = net.nodes[0].replicator.queued_bytes(left);
        assert!(queued < 51 * PART_BYTES + 2 * QUEUE_TARGET_BYTES, "{queued} bytes wait");
    }
    watch.settle(&mut net);
    assert_eq!(net.model(1).count(), 9);
}

#[test]
fn what_is_wanted_behind_a_large_document_is_not_offered_again() {
    let (mut net, left, _) = narrow();
    // Lazy, as the subscriber would say if others brought the same.
    let now = net.now;
    let crate::net::Node { replicator, model, .. } = &mut net.nodes[0];
    replicator.receive(left, &[0x0e, 0x02, 0x01], model, now);
    for number in 0..20 {
        insert_large(&mut net, 0, &format!("oak{number}"), 2);
        insert(&mut net, 0, &format!("fern{number}"));
    }
    net.rest();
    assert_eq!(net.statistics(0, left).documents_sent, 40);
    // The first change is offered when it comes, the others while that is under way.
    let offers = net.kinds[&OFFER];
    assert!(offers <= 3, "{offers} offers");
    net.assert_equal(0, 1);
}

#[test]
fn a_commit_of_many_large_documents_that_are_offered_is_cut_like_any_other() {
    let (mut net, left, _) = narrow();
    // Lazy, as the subscriber would say if others brought the same.
    let now = net.now;
    let crate::net::Node { replicator, model, .. } = &mut net.nodes[0];
    replicator.receive(left, &[0x0e, 0x02, 0x01], model, now);
    net.model(0).commit(now, |transaction| {
        for number in 0..12 {
            transaction.insert("plants", &format!("oak{number}"), &[("rings", noise(16 * PART_BYTES))]);
        }
    });
    while net.step() {
        let queued = net.nodes[0].replicator.queued_bytes(left);
        assert!(queued < MAX_BATCH_BYTES + 18 * PART_BYTES, "{queued} bytes wait");
    }
    Watch::default().settle(&mut net);
    assert_eq!(net.statistics(0, left).documents_sent, 12);
}

#[test]
fn a_reconciliation_sends_large_documents_too_and_small_ones_before() {
    let mut net = Net::new(2);
    for number in 0..200 {
        insert(&mut net, 0, &format!("common{number}"));
    }
    net.nodes[1].model = net.nodes[0].model.twin(2);
    net.room = 2;
    for number in 0..3 {
        insert_large(&mut net, 0, &format!("oak{number}"), 30);
    }
    for number in 0..20 {
        insert(&mut net, 0, &format!("fern{number}"));
    }
    net.subscribe(1, PLANTS);
    let (left, _) = net.connect(0, 1);
    until(&mut net, 1, "fern19");
    assert!(!has(&net, 1, "oak0"));
    let mut watch = Watch::default();
    while net.step() {
        watch.look(&net);
    }
    watch.settle(&mut net);
    assert_eq!(net.statistics(0, left).documents_sent, 23);
}

#[test]
fn what_is_under_way_goes_on_when_something_else_is_subscribed_to() {
    let (mut net, left, _) = narrow();
    insert_large(&mut net, 0, "oak", 50);
    let now = net.now;
    net.model(0).insert(now, "pots", "clay", &[]);
    deliver_parts(&mut net, 20);
    net.subscribe(1, "SELECT * FROM pots");
    deliver_parts(&mut net, 4);
    assert!(net.model(1).visible("pots", "clay").is_some(), "it does not wait");
    Watch::default().settle(&mut net);
    assert_eq!(parts(&net), 51);
    assert_eq!(net.statistics(0, left).documents_sent, 2);
}

#[test]
fn what_nobody_wants_any_more_is_not_sent_on_and_begins_anew_when_it_is_wanted_again() {
    let mut net = Net::new(2);
    net.room = 2;
    let mut subscription = net.subscribe(1, PLANTS);
    let (left, _) = net.connect(0, 1);
    insert_large(&mut net, 0, "oak", 50);
    for _ in 0..3 {
        deliver_parts(&mut net, 20);
        net.unsubscribe(1, subscription);
        net.settle();
        assert!(!has(&net, 1, "oak"));
        assert_eq!(net.nodes[0].replicator.queued_bytes(left), 0);
        subscription = net.subscribe(1, PLANTS);
    }
    net.rest();
    net.assert_equal(0, 1);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
}

#[test]
fn an_eviction_meanwhile_begins_anew() {
    for evicts in [0, 1] {
        let (mut net, _, _) = narrow();
        insert(&mut net, 0, "fern");
        net.settle();
        insert_large(&mut net, 0, "oak", 50);
        deliver_parts(&mut net, 20);
        net.model(evicts).evict("plants", "fern");
        net.rest();
        assert!(has(&net, 1, "oak"));
        let parts = parts(&net);
        assert!((72..80).contains(&parts), "{parts} of both attempts, with the end of the first");
    }
}

#[test]
fn a_peer_of_an_older_build_gets_large_documents_as_ever() {
    let (mut net, _, _) = narrow();
    net.restart(1);
    net.outdated = vec![1];
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    insert_large(&mut net, 0, "oak", 20);
    insert(&mut net, 0, "fern");
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn what_is_larger_than_the_other_peer_takes_is_named_and_everything_else_goes_on() {
    for (outdated, longest) in [(vec![], MAX_DELTA_BYTES), (vec![1], MAX_WAITED_DELTA_BYTES)] {
        let mut net = Net::new(2);
        net.outdated = outdated;
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        let giant = Value::from("x".repeat(longest));
        let now = net.now;
        net.model(0).insert(now, "plants", "giant", &[("rings", giant)]);
        net.model(0).insert(now, "plants", "tall", &[("rings", Value::from("x".repeat(longest - 1_000)))]);
        insert(&mut net, 0, "fern");
        net.rest();
        assert!(!has(&net, 1, "giant") && has(&net, 1, "tall") && has(&net, 1, "fern"));
        let giant = document_key("plants", "giant");
        let named = |event: &&Event| match event {
            Event::DocumentRefused { key, reason, .. } => {
                *key == giant && reason.contains(&longest.to_string())
            }
            _ => false,
        };
        assert_eq!(net.nodes[0].events.iter().filter(named).count(), 1);
        assert!(net.nodes[0].model.others.unheld.contains_key(&(peer_id(1), giant)));
        let positions: Vec<_> =
            net.model(1).checkpoints().iter().map(|checkpoint| checkpoint.sequence).collect();
        assert_eq!(positions, [net.model(0).last_sequence()], "the walk has gone on");
        // It is made smaller, and travels.
        net.model(0).set(now, "plants", "giant", "rings", 1);
        net.rest();
        net.assert_equal(0, 1);
    }
}

#[test]
fn long_answers_let_others_pass_too() {
    let mut net = Net::new(2);
    net.room = 2;
    let subscriptions = [net.subscribe(0, PLANTS), net.subscribe(1, PLANTS)];
    // With more fields than a question names hashes, so that it asks for everything.
    let names: Vec<String> = (0..MAX_QUESTION_HASHES + 100).map(|number| format!("ring{number}")).collect();
    let fields: Vec<(&str, Value)> = names.iter().map(|name| (name.as_str(), noise(100))).collect();
    let now = net.now;
    net.model(0).insert(now, "plants", "oak", &fields);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    net.disconnect(0, 1);
    // Both change it apart from each other, and only one side hears of the other's.
    net.unsubscribe(0, subscriptions[0]);
    net.model(0).set(now, "plants", "oak", "ring1", 1);
    net.model(1).set(now, "plants", "oak", "ring2", 2);
    let (left, right) = net.connect(0, 1);
    let before = parts(&net);
    deliver_parts(&mut net, 2);
    // The batch with the document waits for the answer; what this side tells does not.
    net.subscribe(0, PLANTS);
    insert(&mut net, 1, "fern");
    until(&mut net, 0, "fern");
    assert_eq!(
        net.model(1).field("plants", "oak", "ring1"),
        Some(noise(100)),
        "nothing of half an answer is seen"
    );
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(1, right).questions_asked, 1);
    let parts = parts(&net) - before;
    assert!(parts >= 2 * 8, "{parts} parts, of an answer each way, or of one and of what it lacked");
    let received = net.statistics(0, left).documents_received;
    // What both changed, an answer, what an answer lacked, and the small one.
    assert!(received <= 4, "{received} documents");
}

#[test]
fn a_long_answer_fits_beside_as_many_large_documents_as_a_batch_has() {
    const MEMBERS: usize = MAX_OPEN_PARTS;
    // With more fields than a question names hashes, so that the answer is everything.
    let names: Vec<String> = (0..MAX_QUESTION_HASHES + 100).map(|number| format!("ring{number}")).collect();
    let fields: Vec<(&str, Value)> = names.iter().map(|name| (name.as_str(), noise(100))).collect();
    for before_the_end in 1..4 {
        let mut net = Net::new(2);
        net.room = 2;
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        let now = net.now;
        net.model(0).insert(now, "plants", "oak", &fields);
        net.rest();
        // What 1 has of it is not known to 0, which is asked when it changes there.
        net.model(1).set(now, "plants", "oak", "ring2", 2);
        net.model(0).commit(now, |transaction| {
            for number in 0..MEMBERS {
                transaction.insert("plants", &format!("elm{number}"), &[("rings", noise(PART_BYTES))]);
            }
        });
        deliver_parts(&mut net, 2 * (MEMBERS - before_the_end));
        net.model(0).set(now, "plants", "oak", "ring1", 1);
        net.rest();
        assert!(net.failures(1).is_empty(), "{:?}", net.failures(1));
        assert_eq!(net.model(1).count(), 1 + MEMBERS);
    }
}

#[test]
fn large_documents_reach_everybody_in_a_mesh_with_lazy_links() {
    let mut net = Net::new(4);
    net.room = 3;
    for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)] {
        net.connect(a, b);
    }
    for peer in 0..4 {
        net.subscribe(peer, PLANTS);
    }
    net.settle();
    for round in 0..6 {
        for peer in 0..4 {
            insert_large(&mut net, peer, &format!("oak{round}-{peer}"), 1 + (round + peer) % 4);
            insert(&mut net, peer, &format!("fern{round}-{peer}"));
            (0..30).for_each(|_| {
                net.step();
            });
        }
    }
    net.rest();
    for peer in 1..4 {
        net.assert_equal(0, peer);
    }
    assert_eq!(net.model(0).count(), 48);
    assert!((0..4).all(|peer| net.failures(peer).is_empty()));
}

#[derive(Clone, Debug)]
enum Act {
    /// Deliver so many messages.
    Deliver(usize),
    Small(usize),
    /// A document of so many parts.
    Large(usize),
    /// A commit of large and small documents.
    Together(usize),
    Change(prop::sample::Index),
    Grow(prop::sample::Index),
    Delete(prop::sample::Index),
    Subscribe,
    Unsubscribe,
    Evict(prop::sample::Index),
    Reconnect,
    PowerLoss,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (1..60_usize).prop_map(Act::Deliver),
        4 => (1..40_usize).prop_map(Act::Small),
        4 => (1..12_usize).prop_map(Act::Large),
        2 => (1..5_usize).prop_map(Act::Together),
        3 => any::<prop::sample::Index>().prop_map(Act::Change),
        2 => any::<prop::sample::Index>().prop_map(Act::Grow),
        2 => any::<prop::sample::Index>().prop_map(Act::Delete),
        1 => Just(Act::Subscribe),
        1 => Just(Act::Unsubscribe),
        1 => any::<prop::sample::Index>().prop_map(Act::Evict),
        1 => Just(Act::Reconnect),
        1 => Just(Act::PowerLoss),
    ];
    prop::collection::vec(act, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_meanwhile_no_checkpoint_passes_a_large_document(acts in acts(), room in 1..20_usize) {
        let mut net = Net::new(2);
        net.room = room;
        let now = net.now;
        let mut written = vec!["fern".to_owned()];
        let mut evicted = false;
        insert(&mut net, 0, "fern");
        net.subscribe(1, PLANTS);
        let mut other = None;
        net.connect(0, 1);
        let mut watch = Watch::default();
        for act in acts {
            let new = format!("plant{}", written.len());
            match act {
                Act::Deliver(count) => for _ in 0..count {
                    net.step();
                    if !evicted {
                        watch.look(&net);
                    }
                },
                Act::Small(count) => for number in 0..count {
                    let id = format!("{new}-{number}");
                    insert(&mut net, 0, &id);
                    written.push(id);
                },
                Act::Large(parts) => {
                    insert_large(&mut net, 0, &new, parts);
                    written.push(new);
                }
                Act::Together(count) => net.model(0).commit(now, |transaction| for number in 0..count {
                    for (id, parts) in [(format!("{new}-{number}"), 0), (format!("{new}-{number}-large"), 2)] {
                        let fields = [("rings", noise(parts * PART_BYTES)), ("light", int(1))];
                        transaction.insert("plants", &id, &fields);
                        written.push(id);
                    }
                }),
                Act::Change(which) => {
                    let id = which.get(&written).clone();
                    net.model(0).set(now, "plants", &id, "light", written.len() as i64);
                }
                Act::Grow(which) => {
                    let id = which.get(&written).clone();
                    net.model(0).set(now, "plants", &id, "rings", noise(3 * PART_BYTES));
                }
                Act::Delete(which) => {
                    let id = which.get(&written).clone();
                    net.model(0).delete(now, "plants", &id);
                }
                Act::Subscribe if other.is_none() => {
                    other = Some(net.subscribe(1, "SELECT * FROM plants WHERE light = 1"));
                }
                Act::Unsubscribe => if let Some(subscription) = other.take() {
                    net.unsubscribe(1, subscription);
                },
                Act::Evict(which) => {
                    // It comes back; until then the checkpoint of before says too much.
                    evicted = true;
                    let id = which.get(&written).clone();
                    net.model(1).evict("plants", &id);
                }
                Act::Reconnect | Act::PowerLoss => {
                    net.restart(1);
                    if matches!(act, Act::PowerLoss) {
                        net.model(1).crash();
                        watch = Watch::default();
                    }
                    net.subscribe(1, PLANTS);
                    other = None;
                    net.connect(0, 1);
                }
                Act::Subscribe => {}
            }
        }
        net.rest();
        net.assert_equal(0, 1);
        prop_assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
        let last = net.model(0).last_sequence();
        let reached = net.model(1).checkpoints().iter().any(|checkpoint| checkpoint.sequence == last);
        prop_assert!(reached, "the walk has not come to its end");
    }
}

/// A subscriber with a filter holds nothing of a large document that is under way to it, and says so when it is asked.
#[test]
fn what_becomes_of_a_large_document_that_is_under_way_is_told_to_who_has_a_filter() {
    let changes: [fn(&mut Net); 2] = [
        |net| {
            let now = net.now;
            assert!(net.model(0).delete(now, "plants", "oak"));
        },
        |net| {
            let now = net.now;
            assert!(net.model(0).set(now, "plants", "oak", "light", 2));
        },
    ];
    for change in changes {
        let mut net = Net::new(2);
        net.room = 2;
        net.subscribe(1, "SELECT * FROM plants WHERE light = 1");
        net.connect(0, 1);
        net.rest();
        let now = net.now;
        let rings = noise(6 * PART_BYTES);
        net.model(0).insert(now, "plants", "oak", &[("light", int(1)), ("rings", rings)]);
        deliver_parts(&mut net, 2);
        change(&mut net);
        net.rest();
        net.assert_equal(0, 1);
        assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
    }
}
