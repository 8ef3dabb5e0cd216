//! Peers that meet again while little has changed: what they do not say any more, and what holds all the same.

use crate::forks::answer_fork;
use crate::net::{Net, int};
use ditto_crdt::Sequence;
use ditto_replication::{Event, Replica as _, SessionId, Sizes};

const PLANTS: &str = "SELECT * FROM plants";
const POTS: &str = "SELECT * FROM pots WHERE light = 1";

const INTERESTS: u8 = 2;
const WALK: u8 = 3;
const BATCH: u8 = 6;
const ACKNOWLEDGE: u8 = 8;

fn insert(net: &mut Net, peer: usize, id: &str) {
    let now = net.now;
    net.model(peer).insert(now, "plants", id, &[("light", int(1))]);
}

fn count(net: &Net, kind: u8) -> usize {
    net.kinds.get(&kind).copied().unwrap_or_default()
}

/// Two peers of which the second subscribes to what the first has, and has got it; they are apart.
fn met() -> Net {
    let mut net = Net::new(2);
    for id in 0..50 {
        insert(&mut net, 0, &format!("plant {id}"));
    }
    net.subscribe(1, PLANTS);
    net.subscribe(1, POTS);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    part(&mut net);
    net
}

fn part(net: &mut Net) {
    net.disconnect(0, 1);
    net.kinds.clear();
    net.nodes.iter_mut().for_each(|node| node.events.clear());
}

fn meet(net: &mut Net) -> (SessionId, SessionId) {
    let sessions = net.connect(0, 1);
    net.rest();
    for peer in 0..2 {
        assert!(net.failures(peer).is_empty(), "{:?}", net.failures(peer));
    }
    sessions
}

/// How many subscriptions have caught up at the second peer.
fn caught_up(net: &Net) -> usize {
    net.nodes[1].events.iter().filter(|event| matches!(event, Event::CaughtUp { .. })).count()
}

#[test]
fn who_has_nothing_to_tell_says_so_and_neither_batch_nor_acknowledgement_follows() {
    let mut net = met();
    let before = net.bytes;
    let (left, right) = meet(&mut net);
    assert_eq!([INTERESTS, WALK, BATCH, ACKNOWLEDGE].map(|kind| count(&net, kind)), [1, 1, 0, 0]);
    assert!(net.bytes - before < 230, "{} bytes", net.bytes - before);
    assert_eq!(caught_up(&net), 2);
    assert!(!net.statistics(1, right).catching_up);
    let last = net.model(0).last_sequence();
    assert_eq!(net.statistics(0, left).acknowledged, last);
    // And from there on it goes as ever.
    insert(&mut net, 0, "fern");
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!((count(&net, BATCH), count(&net, ACKNOWLEDGE)), (1, 1));
    assert_eq!(net.statistics(0, left).acknowledged, Sequence(last.0 + 1));
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
}

#[test]
fn what_is_not_durable_at_the_subscriber_is_acknowledged_when_it_is() {
    let mut net = met();
    insert(&mut net, 0, "fern");
    net.connect(0, 1);
    net.nodes[1].syncs = false;
    net.rest();
    assert!(net.model(1).visible("plants", "fern").is_some(), "it is there, and not durable");
    part(&mut net);
    let (left, _) = meet(&mut net);
    let last = net.model(0).last_sequence();
    assert_eq!((count(&net, BATCH), count(&net, ACKNOWLEDGE)), (1, 0));
    assert!(net.statistics(0, left).acknowledged < last);
    net.nodes[1].syncs = true;
    net.rest();
    assert_eq!(net.statistics(0, left).acknowledged, last);
}

#[test]
fn what_has_changed_is_told_and_where_nothing_did_is_not_said() {
    for changes_before_it_meets in [true, false] {
        let mut net = met();
        if changes_before_it_meets {
            insert(&mut net, 0, "fern");
        }
        net.connect(0, 1);
        if !changes_before_it_meets {
            // While the greetings are under way.
            insert(&mut net, 0, "fern");
        }
        net.rest();
        net.assert_equal(0, 1);
        assert_eq!(net.model(1).versions().len(), 51);
        assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
    }
}

#[test]
fn who_has_lost_the_end_of_its_history_says_where_it_starts() {
    let mut net = met();
    let image = net.model(0).image();
    insert(&mut net, 0, "fern");
    meet(&mut net);
    part(&mut net);
    net.model(0).restore(&image);
    net.restart(0);
    insert(&mut net, 0, "moss");
    net.connect(0, 1);
    answer_fork(&mut net, 0);
    net.rest();
    assert!(count(&net, BATCH) > 0);
    assert!(net.model(1).visible("plants", "moss").is_some());
}

#[test]
fn what_is_stated_in_several_messages_is_not_acknowledged_by_the_first() {
    // The order in which interests are stated is that of the hashes of their queries.
    for other in ["trees", "shrubs", "herbs", "ferns"] {
        let mut net = Net::new(2);
        let now = net.now;
        net.model(0).insert(now, other, "oak", &[]);
        insert(&mut net, 0, "fern");
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        net.rest();
        part(&mut net);
        net.restart_with(1, Sizes { message_bytes: 1, ..Sizes::default() });
        net.subscribe(1, PLANTS);
        net.subscribe(1, &format!("SELECT * FROM {other}"));
        let (left, _) = net.connect(0, 1);
        while net.model(1).visible(other, "oak").is_none() {
            assert_eq!(net.statistics(0, left).acknowledged, Sequence(0), "it lacks the other collection");
            assert!(net.step(), "it comes");
        }
        net.rest();
        assert_eq!(count(&net, INTERESTS), 2);
        assert_eq!(net.statistics(0, left).acknowledged, net.model(0).last_sequence());
    }
}

#[test]
fn an_interest_that_is_refused_stands_beside_those_that_have_nothing_to_hear() {
    let mut net = met();
    net.model(0).set_local("pots", true);
    net.nodes[1].events.clear();
    let (left, right) = meet(&mut net);
    assert_eq!([WALK, BATCH, ACKNOWLEDGE].map(|kind| count(&net, kind)), [1, 0, 0]);
    let refused = |event: &&Event| matches!(event, Event::SubscriptionRefused { .. });
    assert_eq!((net.nodes[1].events.iter().filter(refused).count(), caught_up(&net)), (1, 1));
    assert!(!net.statistics(1, right).catching_up);
    assert_eq!(net.statistics(0, left).acknowledged, net.model(0).last_sequence());
}

#[test]
fn an_eviction_while_the_walk_is_under_way_begins_anew() {
    let mut net = met();
    net.connect(0, 1);
    while count(&net, INTERESTS) == 0 {
        assert!(net.step(), "interests are stated");
    }
    net.model(1).evict("plants", "plant 7");
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.model(1).versions().len(), 50);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
}

#[test]
fn a_peer_of_an_older_build_is_told_everything_in_full() {
    for older in [vec![0], vec![1], vec![0, 1]] {
        let mut net = met();
        net.older = older;
        net.connect(0, 1);
        net.rest();
        part(&mut net);
        meet(&mut net);
        assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
        insert(&mut net, 0, "fern");
        net.rest();
        net.assert_equal(0, 1);
    }
}

#[test]
fn a_walk_with_nothing_to_tell_from_different_places_ends_the_session() {
    let mut net = met();
    net.subscribe(1, "SELECT * FROM trees");
    net.alter = Some(Box::new(|sender, mut bytes| {
        if sender == 0 && bytes.first() == Some(&WALK) {
            // Field 3 twice, of each the fields 1 and 2; field 4, a number: 1.
            bytes.truncate(3);
            bytes.extend([7, 4, 2, 1, 4, 5, 7, 4, 2, 2, 4, 9, 8, 1]);
        }
        vec![bytes]
    }));
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.failures(1).len(), 1);
}

#[test]
fn a_walk_that_says_at_the_wrong_time_that_there_is_nothing_to_tell_ends_the_session() {
    let forge = |net: &mut Net| {
        net.alter = Some(Box::new(|sender, mut bytes| {
            if sender == 0 && bytes.first() == Some(&WALK) {
                // Field 4, a number: 1.
                bytes.extend([8, 1]);
            }
            vec![bytes]
        }));
    };
    let mut net = met();
    meet(&mut net);
    forge(&mut net);
    net.subscribe(1, "SELECT * FROM trees");
    net.rest();
    assert_eq!(net.failures(1).len(), 1, "in the second generation");
    let mut net = met();
    net.alter = Some(Box::new(|sender, mut bytes| {
        if sender == 1 && bytes.first() == Some(&INTERESTS) {
            // A checkpoint that the greeting does not have: field 2, of which field 5 is the last.
            let greeted = bytes.windows(2).position(|field| field == [10, 1]).expect("a greeted checkpoint");
            bytes[greeted + 1] = 9;
        }
        vec![bytes]
    }));
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.failures(0).len(), 1, "there are no nine");
}
