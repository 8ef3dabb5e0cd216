//! What a peer learns of what others hold.

use crate::model::document_key;
use crate::net::{Net, int, peer_id};
use ditto_crdt::{Sequence, SiteId};
use ditto_replication::limits::MAX_DELTA_BYTES;
use ditto_replication::{PeerId, Replica, SessionId};
use ditto_value::Value;

/// Kinds of messages.
const INTERESTS: u8 = 2;
const DELIVERY: u8 = 14;

const EVERYTHING: &str = "SELECT * FROM c";

/// Peer 1 subscribes to what peer 0 has.
fn pair() -> (Net, SessionId) {
    let mut net = Net::new(2);
    net.subscribe(1, EVERYTHING);
    let (session, _) = net.connect(0, 1);
    (net, session)
}

fn insert(net: &mut Net, peer: usize, id: &str) {
    let now = net.now;
    net.model(peer).insert(now, "c", id, &[("a", int(1))]);
}

/// Up to where peer 1 has acknowledged each of its interests, as peer 0 knows it.
fn acknowledged(net: &mut Net) -> Vec<(String, u64)> {
    let others = net.model(0).others.clone();
    let query = |selection: &[u8; 16]| {
        let interest = others.serves.iter().find(|(_, interest)| interest.selection == *selection);
        interest.map(|(_, interest)| interest.query.clone()).expect("it is served")
    };
    others.acknowledged.iter().map(|((_, selection), up_to)| (query(selection), up_to.0)).collect()
}

fn everything(up_to: u64) -> Vec<(String, u64)> {
    vec![(EVERYTHING.to_owned(), up_to)]
}

#[test]
fn acknowledgements_are_told_by_interest() {
    let (mut net, _) = pair();
    insert(&mut net, 0, "x");
    net.settle();
    assert_eq!(acknowledged(&mut net), everything(1));
    insert(&mut net, 0, "y");
    net.rest();
    assert_eq!(acknowledged(&mut net), everything(2));
    // An interest that is added later has its own history.
    net.subscribe(1, "SELECT * FROM c WHERE a = 1");
    net.rest();
    let of_both = acknowledged(&mut net);
    assert!(of_both.iter().all(|(_, up_to)| *up_to == 2) && of_both.len() == 2, "{of_both:?}");
}

#[test]
fn what_is_not_durable_there_is_not_acknowledged() {
    let (mut net, _) = pair();
    net.settle();
    net.nodes[1].syncs = false;
    insert(&mut net, 0, "x");
    net.settle();
    assert_eq!(acknowledged(&mut net), everything(0));
    net.nodes[1].syncs = true;
    net.rest();
    assert_eq!(acknowledged(&mut net), everything(1));
}

#[test]
fn what_is_held_and_offered_is_not_acknowledged_before_it_is_durable() {
    let mut net = Net::new(3);
    net.subscribe(0, EVERYTHING);
    net.subscribe(1, EVERYTHING);
    let (left, _) = net.connect(0, 1);
    net.connect(0, 2);
    net.connect(1, 2);
    net.rest();
    // Lazy, as the subscriber would say if others brought the same.
    let now = net.now;
    let crate::net::Node { replicator, model, .. } = &mut net.nodes[0];
    replicator.receive(left, &[0x0e, 0x02, 0x01], model, now);
    net.nodes[1].syncs = false;
    insert(&mut net, 2, "x");
    net.settle();
    net.advance(2_000);
    net.settle();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(0, left).acknowledged, Sequence(0), "it would be lost with the power");
    net.nodes[1].syncs = true;
    net.rest();
    assert_eq!(net.statistics(0, left).acknowledged, Sequence(1));
}

#[test]
fn a_document_that_was_not_taken_is_an_exception() {
    let (mut net, _) = pair();
    net.model(1).refuses = Some(b"bad".to_vec());
    for id in ["good", "bad", "fine"] {
        insert(&mut net, 0, id);
    }
    net.rest();
    assert_eq!(acknowledged(&mut net), everything(3));
    let unheld = net.model(0).others.unheld.clone();
    let expected = ((peer_id(1), document_key("c", "bad")), Sequence(1));
    assert_eq!(unheld.into_iter().collect::<Vec<_>>(), [expected]);
    net.model(1).refuses = None;
    let now = net.now;
    net.model(0).set(now, "c", "bad", "a", 2);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(
        net.model(0).others.unheld.len(),
        1,
        "the change was taken: what was before it may still be refused"
    );
    // Another interest has no position yet, so that everything is sent again.
    net.restart(1);
    net.subscribe(1, "SELECT * FROM c WHERE a = 2");
    net.connect(0, 1);
    net.rest();
    assert!(net.model(0).others.unheld.is_empty(), "taken now");
}

#[test]
fn no_commit_is_said_to_have_reached_who_refused_a_document_of_it_or_before() {
    for restarts in [false, true] {
        let (mut net, session) = pair();
        let reached = |net: &Net, session| net.statistics(0, session).acknowledged;
        net.model(1).refuses = Some(b"bad".to_vec());
        for id in ["good", "bad", "fine"] {
            insert(&mut net, 0, id);
        }
        net.rest();
        assert_eq!(reached(&net, session), Sequence(1));
        insert(&mut net, 0, "more");
        net.rest();
        assert_eq!(reached(&net, session), Sequence(1));
        // Neither when it comes back, which is not told of it again, also not to another process …
        if restarts {
            net.restart(0);
        } else {
            net.disconnect(0, 1);
        }
        insert(&mut net, 0, "other");
        let (session, _) = net.connect(0, 1);
        net.rest();
        assert!(net.model(1).visible("c", "other").is_some());
        assert_eq!(reached(&net, session), Sequence(1));
        // … but when the document has changed, and it takes it.
        net.model(1).refuses = None;
        let now = net.now;
        net.model(0).set(now, "c", "bad", "a", 2);
        net.rest();
        net.assert_equal(0, 1);
        assert_eq!(reached(&net, session), net.model(0).last_sequence());
    }
}

#[test]
fn what_is_too_large_to_travel_has_not_reached_anybody() {
    let (mut net, session) = pair();
    insert(&mut net, 0, "x");
    let now = net.now;
    net.model(0).insert(now, "c", "giant", &[("a", Value::from("x".repeat(MAX_DELTA_BYTES)))]);
    insert(&mut net, 0, "y");
    net.rest();
    assert!(net.model(1).visible("c", "y").is_some());
    assert_eq!(net.statistics(0, session).acknowledged, Sequence(1));
    assert!(net.model(0).delete(now, "c", "giant"));
    net.rest();
    assert_eq!(net.statistics(0, session).acknowledged, net.model(0).last_sequence());
}

#[test]
fn what_was_too_large_and_is_not_asked_for_by_the_time_that_is_acknowledged_holds_back_nothing() {
    let mut net = Net::new(2);
    net.subscribe(1, "SELECT * FROM c WHERE b = 1");
    let (left, _) = net.connect(0, 1);
    net.rest();
    let now = net.now;
    let giant = Value::from("x".repeat(MAX_DELTA_BYTES));
    net.model(0).insert(now, "c", "giant", &[("a", giant), ("b", int(1))]);
    // The acknowledgement is on its way.
    net.held.insert((0, left));
    net.rest();
    net.model(0).commit(now, |transaction| {
        transaction.set("c", "giant", "a", int(1));
        transaction.set("c", "giant", "b", int(2));
    });
    net.held.clear();
    net.rest();
    assert_eq!(net.model(1).visible("c", "giant"), None, "it was never held");
    assert_eq!(net.statistics(0, left).acknowledged, net.model(0).last_sequence());
}

#[test]
fn what_was_not_wanted_any_more_and_is_taken_later_has_reached_the_other() {
    let mut net = Net::new(2);
    let subscription = net.subscribe(1, EVERYTHING);
    let (left, right) = net.connect(0, 1);
    net.rest();
    insert(&mut net, 0, "x");
    // It is on its way when the subscription ends.
    net.held.insert((1, right));
    net.settle();
    net.unsubscribe(1, subscription);
    net.subscribe(1, "SELECT * FROM d");
    net.held.clear();
    net.rest();
    assert_eq!(net.model(1).visible("c", "x"), None);
    net.subscribe(1, EVERYTHING);
    insert(&mut net, 0, "y");
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(0, left).acknowledged, net.model(0).last_sequence());
    // Nor does the next session take it for something that was not taken, though it may lack what was before.
    net.restart(0);
    let (left, _) = net.connect(0, 1);
    insert(&mut net, 0, "z");
    net.rest();
    assert_eq!(net.statistics(0, left).acknowledged, net.model(0).last_sequence());
}

#[test]
fn what_was_not_wanted_any_more_and_has_come_from_elsewhere_has_reached_the_other() {
    let mut net = Net::new(3);
    net.subscribe(2, EVERYTHING);
    net.connect(0, 2);
    let subscription = net.subscribe(1, EVERYTHING);
    let (left, right) = net.connect(0, 1);
    insert(&mut net, 0, "w");
    net.rest();
    insert(&mut net, 0, "x");
    // It is on its way when the subscription ends.
    net.held.insert((1, right));
    net.settle();
    net.unsubscribe(1, subscription);
    net.subscribe(1, "SELECT * FROM d");
    net.held.clear();
    net.rest();
    assert_eq!(net.model(1).visible("c", "x"), None);
    assert_eq!(net.model(0).withheld(peer_id(1)).len(), 1);
    // It comes from 2 before 0 hears that it is wanted again, and offers it, as everything on a lazy link.
    net.alter = Some(Box::new(|from, message| match message.first() {
        Some(&INTERESTS) if from == 1 => vec![vec![DELIVERY, 2, 1], message],
        _ => vec![message],
    }));
    net.held.insert((0, left));
    net.subscribe(1, EVERYTHING);
    net.connect(1, 2);
    net.rest();
    assert!(net.model(1).visible("c", "x").is_some());
    net.held.clear();
    net.rest();
    net.alter = None;
    insert(&mut net, 0, "y");
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.statistics(0, left).acknowledged, net.model(0).last_sequence());
    assert_eq!(net.model(0).withheld(peer_id(1)), []);
}

#[test]
fn what_is_dead_there_counts_when_its_end_is_known_here() {
    let (mut net, _) = pair();
    insert(&mut net, 0, "x");
    net.rest();
    net.disconnect(0, 1);
    let now = net.now;
    assert!(net.model(1).delete(now, "c", "x"));
    net.model(0).set(now, "c", "x", "a", 2);
    insert(&mut net, 0, "y");
    let (session, _) = net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(0).visible("c", "x"), None);
    net.rest();
    insert(&mut net, 0, "z");
    net.rest();
    assert_eq!(net.statistics(0, session).acknowledged, net.model(0).last_sequence());
}

#[test]
fn an_exception_is_about_all_that_was_sent_of_the_document() {
    let (mut net, _) = pair();
    insert(&mut net, 0, "x");
    net.rest();
    net.disconnect(0, 1);
    let now = net.now;
    net.model(1).delete(now, "c", "x");
    // Two changes, which travel as one.
    net.model(0).set(now, "c", "x", "a", 2);
    net.model(0).set(now, "c", "x", "b", 3);
    net.connect(0, 1);
    net.rest();
    let unheld = net.model(0).others.unheld.clone();
    let expected = ((peer_id(1), document_key("c", "x")), Sequence(2));
    assert_eq!(unheld.into_iter().collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_document_that_is_dead_there_is_an_exception_and_its_end_is_told() {
    let (mut net, _) = pair();
    insert(&mut net, 0, "x");
    net.rest();
    let now = net.now;
    net.disconnect(0, 1);
    net.model(1).delete(now, "c", "x");
    net.model(0).set(now, "c", "x", "a", 2);
    net.connect(0, 1);
    net.rest();
    let unheld = net.model(0).others.unheld.clone();
    let expected = ((peer_id(1), document_key("c", "x")), Sequence(2));
    assert_eq!(unheld.into_iter().collect::<Vec<_>>(), [expected]);
    assert_eq!(net.model(0).visible("c", "x"), None, "peer 0 does not subscribe, and is told all the same");
    net.assert_equal(0, 1);
}

#[test]
fn a_document_that_nobody_wants_any_more_is_an_exception() {
    let (mut net, session) = pair();
    net.settle();
    let other = net.subscribe(1, "SELECT * FROM d");
    net.settle();
    let now = net.now;
    net.model(0).insert(now, "d", "x", &[]);
    // Both are on their way when the other arrives.
    net.unsubscribe(1, other);
    net.rest();
    assert_eq!(net.statistics(0, session).documents_sent, 1);
    let unheld = net.model(0).others.unheld.clone();
    let expected = ((peer_id(1), document_key("d", "x")), Sequence(1));
    assert_eq!(unheld.into_iter().collect::<Vec<_>>(), [expected]);
}

#[test]
fn evictions_are_told_whatever_is_subscribed_to() {
    let (mut net, _) = pair();
    insert(&mut net, 0, "x");
    let now = net.now;
    net.model(1).insert(now, "private", "p", &[]);
    net.rest();
    assert_eq!(acknowledged(&mut net), everything(1));
    net.model(1).evict("private", "p");
    net.settle();
    assert_eq!(net.model(0).others.evictions, [(peer_id(1), 1)]);
    net.rest();
    assert_eq!(acknowledged(&mut net), everything(1), "what it holds of this is confirmed again");
    net.disconnect(0, 1);
    net.model(1).evict("c", "x");
    net.connect(0, 1);
    net.settle();
    let last = |net: &mut Net| net.model(0).others.greetings.last().map(|(_, greeting)| *greeting);
    assert_eq!(last(&mut net).map(|greeting| greeting.evictions), Some(2));
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn a_peer_that_lost_a_part_of_its_history_is_noticed() {
    let mut net = Net::new(2);
    net.subscribe(0, EVERYTHING);
    net.connect(0, 1);
    insert(&mut net, 1, "x");
    net.rest();
    let image = net.model(1).image();
    insert(&mut net, 1, "y");
    net.rest();
    let greeting = |net: &mut Net| net.model(0).others.greetings.last().copied();
    let first = |site, is_behind: bool| {
        move |found: Option<(PeerId, ditto_replication::Greeting)>| {
            let (remote, greeting) = found.expect("greeted");
            assert_eq!((remote, greeting.site, greeting.is_behind), (peer_id(1), site, is_behind));
        }
    };
    first(SiteId(2), false)(greeting(&mut net));
    net.restart(1);
    net.model(1).restore(&image);
    net.connect(0, 1);
    net.settle();
    first(SiteId(2), true)(greeting(&mut net));
}

#[test]
fn a_greeting_says_what_the_clock_shows() {
    let mut net = Net::new(2);
    net.model(0).wall_clock_ms = 1_700_000_000_000;
    net.connect(0, 1);
    net.settle();
    let told = |net: &mut Net, peer: usize| net.model(peer).others.greetings[0].1.clock_ms;
    assert_eq!(told(&mut net, 1), Some(1_700_000_000_000));
    assert_eq!(told(&mut net, 0), None, "the other one does not say");
}

#[test]
fn what_is_acknowledged_of_everything_falls_only_when_it_is_forgotten() {
    let (mut net, session) = pair();
    for id in ["x", "y", "z"] {
        insert(&mut net, 0, id);
    }
    net.rest();
    let of = |net: &Net, session| {
        let statistics = net.statistics(0, session);
        (statistics.acknowledged.0, statistics.forgotten)
    };
    assert_eq!(of(&net, session), (3, 0));
    // A further subscription is told everything from the beginning.
    net.room = 1;
    let now = net.now;
    net.model(0).insert(now, "d", "x", &[]);
    net.subscribe(1, "SELECT * FROM d");
    while net.step() {
        assert!(of(&net, session).0 >= 3);
    }
    net.rest();
    assert_eq!(of(&net, session), (4, 0));
    net.model(1).evict("c", "x");
    let told = (0..10).find(|_| {
        net.step();
        of(&net, session) != (4, 0)
    });
    assert!(told.is_some());
    assert_eq!(of(&net, session), (0, 1), "nobody knows what it still has");
    net.rest();
    assert_eq!(of(&net, session), (4, 1));
    // Evicted while nobody was connected.
    net.disconnect(0, 1);
    net.model(1).evict("c", "y");
    let (session, _) = net.connect(0, 1);
    net.rest();
    assert_eq!(of(&net, session), (4, 1));
    net.disconnect(0, 1);
    let (session, _) = net.connect(0, 1);
    net.rest();
    assert_eq!(of(&net, session), (4, 0), "nothing was lost meanwhile");
}

#[test]
fn what_is_not_reconciled_is_not_acknowledged() {
    let mut net = Net::new(2);
    for number in 0..100 {
        insert(&mut net, 0, &format!("common{number}"));
    }
    net.nodes[1].model = net.nodes[0].model.twin(2);
    for number in 0..100 {
        insert(&mut net, 0, &format!("new{number}"));
    }
    net.room = 1;
    net.subscribe(1, EVERYTHING);
    let (session, _) = net.connect(0, 1);
    insert(&mut net, 0, "live");
    while net.step() {
        let all = net.model(1).count() == 201;
        assert!(all || net.statistics(0, session).acknowledged == Sequence(0));
    }
    net.rest();
    assert_eq!(net.statistics(0, session).acknowledged, Sequence(201));
}
