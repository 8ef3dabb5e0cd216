//! A batch waits with so many bytes of answers, and what is answered beyond that is merged before it: it is acknowledged, excepted and
//! shown in part as if it had been merged with the batch.

use crate::net::{Net, int};
use ditto_crdt::Sequence;
use ditto_replication::{Replica as _, SessionId, Sizes};
use ditto_value::Value;

const PLANTS: &str = "SELECT * FROM plants";
const STONES: &str = "SELECT * FROM stones";
/// Kind of an answer to a question.
const REST: u8 = 10;

/// Both hold these plants and have changed them apart from each other, so that 1 will ask 0 for each, and waits with so many bytes of
/// answers. What 0 has changed, has so many bytes.
fn two_that_changed(ids: &[&str], length: usize, filled_bytes: usize) -> Net {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in ids {
            transaction.insert("plants", id, &[("light", int(0))]);
        }
    });
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in ids {
            transaction.set("plants", id, "light", int(1));
            transaction.set("plants", id, "notes", Value::from("n".repeat(length)));
        }
    });
    for id in ids {
        net.model(1).set(now, "plants", id, "rings", 1);
    }
    net.restart_with(1, Sizes { filled_bytes, ..Sizes::default() });
    net
}

/// Delivers everything until all answers are on their way to 1, and not one of them.
fn until_answered(net: &mut Net, (left, right): (SessionId, SessionId), count: u64) {
    net.until_asked((0, left), (1, right), count);
    net.held = [(1, right)].into();
    net.settle();
    net.held.clear();
    assert_eq!(net.waiting((1, right)), vec![REST; count as usize]);
}

fn is_merged(net: &Net, id: &str) -> bool {
    net.nodes[1].model.field("plants", id, "light") == Some(int(1))
}

#[test]
fn what_was_merged_before_its_batch_is_acknowledged_when_it_is_durable() {
    let mut net = two_that_changed(&["fern"], 1, 1);
    net.subscribe(1, PLANTS);
    net.nodes[1].model.sync();
    net.nodes[1].syncs = false;
    let (left, _) = net.connect(0, 1);
    net.rest();
    assert!(is_merged(&net, "fern") && net.nodes[1].replicator.mechanisms().apart > 0);
    let change = net.model(0).last_sequence();
    assert!(net.statistics(0, left).acknowledged < change, "a loss of power may take it");
    net.nodes[1].syncs = true;
    net.rest();
    assert!(net.statistics(0, left).acknowledged >= change);
}

#[test]
fn an_answer_that_is_asked_for_again_takes_the_place_of_the_one_before() {
    // Both answers have room, but not one of them twice.
    let mut net = two_that_changed(&["fern", "oak"], 1_000, 2_900);
    net.subscribe(1, PLANTS);
    let sessions = net.connect(0, 1);
    until_answered(&mut net, sessions, 2);
    assert!(net.step(), "the first answer");
    net.model(1).evict("stones", "pebble");
    net.rest();
    assert!(is_merged(&net, "fern") && is_merged(&net, "oak"));
    assert_eq!(net.nodes[1].replicator.mechanisms().apart, 0, "there was room for both");
}

#[test]
fn what_was_to_be_merged_before_its_batch_is_asked_for_again_by_the_batch_after_an_eviction() {
    for gone in [false, true] {
        let mut net = two_that_changed(&["fern"], 1, 1);
        net.subscribe(1, PLANTS);
        let (left, right) = net.connect(0, 1);
        until_answered(&mut net, (left, right), 1);
        net.nodes[1].model.evict("stones", "pebble");
        if gone {
            // The answer to the next question is that there is no such document.
            net.alter = Some(Box::new(move |from, message| match message.as_slice() {
                [REST, field, question, ..] if from == 0 => vec![vec![REST, *field, *question]],
                _ => vec![message],
            }));
        }
        net.rest();
        assert_eq!(is_merged(&net, "fern"), !gone);
        let change = net.model(0).last_sequence();
        assert_eq!(
            net.statistics(0, left).acknowledged >= change,
            !gone,
            "what was not merged is an exception"
        );
        assert_eq!(net.failures(0).len() + net.failures(1).len(), 0);
        net.alter = None;
    }
}

#[test]
fn of_a_transaction_that_is_merged_before_its_batch_a_part_is_shown_as_one() {
    // What 1 wants of plants it knows up to before the transaction; of stones it knows everything after it.
    let mut net = two_that_changed(&["fern", "oak"], 1, 1);
    let now = net.now;
    net.model(0).insert(now, "stones", "pebble", &[("light", int(0))]);
    net.subscribe(1, STONES);
    let (left, right) = net.connect(0, 1);
    net.rest();
    net.subscribe(1, PLANTS);
    until_answered(&mut net, (left, right), 2);
    let mut was_in_part = false;
    while net.step() || net.tick_due() {
        let in_part = is_merged(&net, "fern") != is_merged(&net, "oak");
        was_in_part |= in_part;
        assert!(!in_part || net.nodes[1].replicator.shows_parts());
    }
    assert!(was_in_part && is_merged(&net, "fern") && is_merged(&net, "oak"));
    net.rest();
    assert!(!net.nodes[1].replicator.shows_parts());
    assert!(net.statistics(1, right).remote_position > Sequence(0));
}

#[test]
fn answers_to_what_the_publisher_lacks_that_wait_for_a_batch_are_bounded_as_those_of_the_batch_are() {
    const FILLED: usize = 5_000;
    let mut net = Net::new(2);
    let now = net.now;
    net.subscribe(1, STONES);
    net.model(0).insert(now, "stones", "pebble", &[("light", int(0))]);
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    // Both have written these, and 1 asks about each as a whole what 0 lacks of it.
    let ids: Vec<String> = (0..20).map(|number| format!("fern {number}")).collect();
    for id in &ids {
        let notes = Value::from("n".repeat(1_000));
        net.model(0).insert(now, "plants", id, &[("notes", notes), ("light", int(0))]);
        net.model(1).insert(now, "plants", id, &[("rings", int(1))]);
    }
    // The next batch, which is there before any answer, has a gap.
    net.model(0).set(now, "stones", "pebble", "notes", Value::from("n".repeat(1_000)));
    net.model(1).set(now, "stones", "pebble", "rings", 1);
    net.restart_with(0, Sizes { batch_documents: ids.len(), ..Sizes::default() });
    net.restart_with(1, Sizes { question_hashes: 1, filled_bytes: FILLED, ..Sizes::default() });
    net.subscribe(1, STONES);
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    net.until_asked((0, left), (1, right), ids.len() as u64);
    net.settle();
    assert_eq!(net.statistics(1, right).questions_asked, ids.len() as u64 + 1);
    // Of this transaction the first is among the answers that wait, and the last is not.
    net.model(0).commit(now, |transaction| {
        for id in [&ids[0], &ids[19]] {
            transaction.set("plants", id, "light", int(1));
        }
    });
    net.held = [(1, right)].into();
    net.settle();
    net.held.clear();
    let (mut most, mut was_in_part) = (0, false);
    while net.step() || net.tick_due() {
        most = most.max(net.nodes[1].replicator.buffered(right).documents);
        let in_part = is_merged(&net, &ids[0]) != is_merged(&net, &ids[19]);
        was_in_part |= in_part;
        assert!(!in_part || net.nodes[1].replicator.shows_parts());
    }
    assert!(most <= FILLED + 2_000, "{most} bytes waited");
    assert!(was_in_part, "what did not wait was merged");
    let apart = net.nodes[1].replicator.mechanisms().apart;
    assert_eq!(apart, 20 - 4 + 1, "there was room for four, and not for that of the batch");
    net.rest();
    assert!(!net.nodes[1].replicator.shows_parts());
    assert_eq!((net.failures(0), net.failures(1)), (Vec::new(), Vec::new()));
    net.assert_equal(0, 1);
    assert_eq!(net.model(0).field("plants", &ids[19], "rings"), Some(int(1)));
}
