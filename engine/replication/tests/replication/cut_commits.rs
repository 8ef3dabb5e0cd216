//! Commits of more than a batch takes are cut, and said to be in part until all is there.

use std::collections::BTreeSet;

use crate::net::{Net, int};
use crate::transactions::{
    PLANTS, WALK, a_transaction_that_a_walk_tears, is_torn, peers, until_torn, write_both,
};
use ditto_replication::limits::{MAX_BATCH_BYTES, MAX_BATCH_DOCUMENTS};
use ditto_replication::{Event, Replica, SessionId};
use ditto_value::Value;

/// How a transaction of more documents than a batch takes arrives at 1, and what 2, which has it from 1, is told.
fn a_commit_that_is_cut(members: usize, filling: &Value) {
    let mut net = peers(3);
    let (left, right) = net.connect(0, 1);
    let (_, at_2) = net.connect(1, 2);
    net.settle();
    net.collect_events();
    net.nodes.iter_mut().for_each(|node| node.events.clear());
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in 0..members {
            transaction.insert("plants", &format!("{id}"), &[("filling", filling.clone())]);
        }
    });
    let mut parts = BTreeSet::new();
    loop {
        let goes_on = net.step() || net.tick_due();
        net.collect_events();
        for (peer, session) in [(1, right), (2, at_2)] {
            let held = net.model(peer).count();
            assert!(
                [0, members].contains(&held) || net.statistics(peer, session).catching_up,
                "{held} at {peer}"
            );
            let is_known = net.nodes[peer].replicator.shows_parts();
            assert!([0, members].contains(&held) || is_known, "{held} at {peer}, and nobody knows");
            parts.insert((peer, held));
        }
        if !goes_on {
            break;
        }
    }
    assert!(parts.iter().filter(|(peer, _)| *peer == 1).count() > 2, "it arrived at once: {parts:?}");
    for peer in [1, 2] {
        net.assert_equal(0, peer);
        assert!(!net.nodes[peer].replicator.shows_parts());
        let said = net.nodes[peer].events.iter().filter_map(|event| match event {
            Event::CatchingUp { .. } => Some(false),
            Event::CaughtUp { .. } => Some(true),
            _ => None,
        });
        let said: Vec<bool> = said.collect();
        assert_eq!((said.first(), said.last()), (Some(&false), Some(&true)), "{peer}: {said:?}");
    }
    let last = net.model(0).last_sequence();
    assert!(net.model(1).checkpoints().iter().any(|checkpoint| checkpoint.sequence == last));
    net.rest();
    assert_eq!(net.statistics(0, left).documents_sent, members as u64, "each once");
    assert!(!net.statistics(1, right).catching_up && !net.statistics(2, at_2).catching_up);
}

#[test]
fn a_commit_of_more_documents_than_a_batch_takes_is_cut_and_said_to_be_in_part_until_all_is_there() {
    a_commit_that_is_cut(MAX_BATCH_DOCUMENTS + 500, &int(1));
}

#[test]
fn a_commit_of_more_bytes_than_a_batch_takes_is_cut_likewise() {
    let filling = Value::from("filling ".repeat(12_000));
    a_commit_that_is_cut(MAX_BATCH_BYTES / 96_000 + 20, &filling);
}

#[test]
fn a_commit_that_is_cut_goes_on_after_a_lost_session_and_is_in_part_until_then() {
    const MEMBERS: usize = MAX_BATCH_DOCUMENTS + 500;
    let mut net = peers(2);
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in 0..MEMBERS {
            transaction.insert("plants", &format!("{id}"), &[]);
        }
    });
    // Not by name: 1 holds something.
    for id in 0..40 {
        net.model(1).insert(now, "plants", &format!("own {id}"), &[]);
    }
    net.connect(0, 1);
    while net.model(1).count() <= 40 {
        assert!(net.step() || net.tick_due(), "it never comes");
    }
    assert!(net.model(1).count() < 40 + MEMBERS);
    net.disconnect(0, 1);
    net.model(1).sync();
    assert!(net.nodes[1].replicator.shows_parts());
    let (_, right) = net.connect(0, 1);
    while net.step() || net.tick_due() {
        let is_whole = net.model(1).count() == 40 + MEMBERS;
        assert!(is_whole || net.statistics(1, right).catching_up);
    }
    net.rest();
    assert!(!net.nodes[1].replicator.shows_parts() && !net.statistics(1, right).catching_up);
    net.assert_equal(0, 1);
}

/// Documents beyond those that a batch takes of one commit.
const REST: usize = 50;

/// A commit of which the rest waits, because so much of it is not acknowledged.
fn insert_more_than_a_batch(net: &mut Net, left: SessionId) {
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in 0..MAX_BATCH_DOCUMENTS + REST {
            transaction.insert("plants", &format!("{id}"), &[]);
        }
    });
    net.held.insert((0, left));
    net.settle();
    assert_eq!(net.model(1).count(), MAX_BATCH_DOCUMENTS);
}

/// All of the rest changes again, and that does not become durable.
fn change_the_rest(net: &mut Net) {
    net.nodes[0].syncs = false;
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in MAX_BATCH_DOCUMENTS..MAX_BATCH_DOCUMENTS + REST {
            transaction.set("plants", &format!("{id}"), "turn", int(1));
        }
    });
}

#[test]
fn a_commit_that_is_cut_stays_in_part_while_all_of_the_rest_has_changed_again() {
    let mut net = peers(2);
    let (left, right) = net.connect(0, 1);
    net.settle();
    insert_more_than_a_batch(&mut net, left);
    change_the_rest(&mut net);
    net.held.clear();
    net.rest();
    assert_eq!(net.model(1).count(), MAX_BATCH_DOCUMENTS);
    assert!(net.statistics(1, right).catching_up && net.nodes[1].replicator.shows_parts());
    net.nodes[0].syncs = true;
    net.rest();
    assert!(!net.statistics(1, right).catching_up && !net.nodes[1].replicator.shows_parts());
    net.assert_equal(0, 1);
}

#[test]
fn what_another_session_told_in_part_is_not_whole_before_what_has_changed_of_it_since_is_told() {
    let mut net = peers(2);
    a_transaction_that_a_walk_tears(&mut net);
    net.connect(0, 1);
    until_torn(&mut net, 1);
    net.disconnect(0, 1);
    // The row of `right` was the last one, and goes behind what is durable.
    net.nodes[0].model.sync();
    let now = net.now;
    net.nodes[0].syncs = false;
    net.model(0).set(now, "plants", "right", "wind", int(2));
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).count(), 1 + 3_000);
    assert!(is_torn(&mut net, 1));
    assert!(net.statistics(1, right).catching_up && net.nodes[1].replicator.shows_parts());
    net.nodes[0].syncs = true;
    net.rest();
    assert!(!net.statistics(1, right).catching_up && !is_torn(&mut net, 1));
}

/// The first session has told the part, and its checkpoint; nothing of it has a row behind that.
#[test]
fn a_commit_that_is_cut_is_in_part_for_another_session_as_well() {
    let mut net = peers(2);
    let (left, _) = net.connect(0, 1);
    net.settle();
    insert_more_than_a_batch(&mut net, left);
    net.disconnect(0, 1);
    net.held.clear();
    change_the_rest(&mut net);
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).count(), MAX_BATCH_DOCUMENTS);
    assert!(net.statistics(1, right).catching_up && net.nodes[1].replicator.shows_parts());
    net.nodes[0].syncs = true;
    net.rest();
    assert!(!net.statistics(1, right).catching_up && !net.nodes[1].replicator.shows_parts());
    net.assert_equal(0, 1);
}

#[test]
fn what_a_comparison_told_in_part_is_not_whole_before_what_has_changed_of_it_meanwhile_is_told() {
    let mut net = Net::new(2);
    let now = net.now;
    for id in ["left", "right"] {
        net.model(0).insert(now, "plants", id, &[]);
    }
    for id in 0..100 {
        net.model(0).insert(now, "plants", &format!("common {id}"), &[]);
    }
    net.nodes[1].model = net.nodes[0].model.twin(2);
    write_both(&mut net, 0, 1);
    net.model(0).sync();
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    while !net.kinds.contains_key(&WALK) {
        assert!(net.step());
    }
    net.held.insert((0, left));
    net.settle();
    // The rest goes behind what is compared, and once more when that is durable.
    net.nodes[0].syncs = false;
    net.model(0).set(now, "plants", "right", "wind", int(1));
    let whole = net.model(0).last_sequence();
    net.held.clear();
    net.settle();
    assert!(is_torn(&mut net, 1), "left was sent");
    net.model(0).set(now, "plants", "right", "wind", int(2));
    net.model(0).sync_up_to(whole);
    net.advance(1);
    net.settle();
    assert!(is_torn(&mut net, 1));
    assert!(net.statistics(1, right).catching_up && net.nodes[1].replicator.shows_parts());
    net.nodes[0].syncs = true;
    net.rest();
    assert!(!is_torn(&mut net, 1) && !net.statistics(1, right).catching_up);
    net.assert_equal(0, 1);
}
