//! Transactions that a subscription covers arrive whole, or whoever shows a part says so.

use crate::model::document_key;
use crate::net::{Net, int};
use ditto_crdt::{RunId, Sequence};
use ditto_replication::limits::{BATCH_TARGET_BYTES, LEFT_PATIENCE_MS, MAX_INTERESTS, MAX_REMEMBERED_PEERS};
use ditto_replication::{Event, PeerId, Replica, SessionId};
use ditto_value::Value;

pub const PLANTS: &str = "SELECT * FROM plants";
const BRIGHT: &str = "SELECT * FROM plants WHERE light = 1";
const DIM: &str = "SELECT * FROM plants WHERE light = 2";

/// Kinds of messages.
pub const WALK: u8 = 3;
const OFFER: u8 = 4;
const BATCH: u8 = 6;
const SURPLUS: u8 = 11;

/// Peers that all subscribe to the same.
fn subscribers(count: usize, query: &str) -> Net {
    let mut net = Net::new(count);
    for peer in 0..count {
        net.subscribe(peer, query);
    }
    net
}

pub fn peers(count: usize) -> Net {
    subscribers(count, PLANTS)
}

/// Two that are connected and hold `left` and `right`.
fn two_with_two_documents(query: &str) -> Net {
    let mut net = subscribers(2, query);
    net.connect(0, 1);
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in ["left", "right"] {
            transaction.insert("plants", id, &[("light", int(1))]);
        }
    });
    net.rest();
    net
}

/// One transaction writes the same `turn` to both.
pub fn write_both(net: &mut Net, peer: usize, turn: i64) {
    let now = net.now;
    net.model(peer).commit(now, |transaction| {
        for id in ["left", "right"] {
            transaction.set("plants", id, "turn", int(turn));
        }
    });
}

pub fn is_torn(net: &mut Net, peer: usize) -> bool {
    let model = net.model(peer);
    model.field("plants", "left", "turn") != model.field("plants", "right", "turn")
}

fn fell_behind(net: &Net, peer: usize) -> bool {
    net.nodes[peer].events.iter().any(|event| matches!(event, Event::CatchingUp { .. }))
}

/// Both change `left` apart from each other, so that 1 is going to ask 0 for it when they meet.
fn both_change_left(net: &mut Net) -> (SessionId, SessionId) {
    net.disconnect(0, 1);
    let now = net.now;
    net.model(1).set(now, "plants", "left", "water", int(1));
    net.model(0).set(now, "plants", "left", "wind", int(1));
    net.connect(0, 1)
}

/// Delivers everything until 1 has asked, but not the question.
fn until_asked(net: &mut Net, (left, right): (SessionId, SessionId)) {
    net.until_asked((0, left), (1, right), 1);
}

#[test]
fn an_answer_does_not_go_before_the_transaction_that_it_tells_a_part_of() {
    let mut net = two_with_two_documents(PLANTS);
    let sessions = both_change_left(&mut net);
    until_asked(&mut net, sessions);
    net.nodes[0].syncs = false;
    write_both(&mut net, 0, 1);
    net.held.clear();
    net.settle();
    assert_eq!(net.model(1).field("plants", "left", "wind"), None, "it waits for what is not durable");
    net.nodes[0].syncs = true;
    while net.step() {
        assert!(!is_torn(&mut net, 1));
    }
    net.settle();
    let model = net.model(1);
    assert_eq!(model.field("plants", "left", "turn"), Some(int(1)));
    let newest = ["left", "right"].map(|id| {
        let stored = model.document(&document_key("plants", id)).expect("the store works").expect("is held");
        model.commit_of(stored.newest).expect("the store works")
    });
    assert_eq!(newest[0], newest[1], "one commit, so that no reader comes in between");
    assert!(!fell_behind(&net, 1));
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn what_the_publisher_lacks_does_not_go_before_the_transaction_that_it_is_a_part_of() {
    let mut net = two_with_two_documents(PLANTS);
    let sessions = both_change_left(&mut net);
    until_asked(&mut net, sessions);
    net.nodes[1].syncs = false;
    write_both(&mut net, 1, 1);
    net.held.clear();
    net.settle();
    assert!(net.model(1).field("plants", "left", "wind").is_some(), "it has the answer");
    net.nodes[1].syncs = true;
    while net.step() {
        assert!(!is_torn(&mut net, 0));
    }
    net.rest();
    assert_eq!(net.model(0).field("plants", "left", "turn"), Some(int(1)));
    assert!(!fell_behind(&net, 0));
    net.assert_equal(0, 1);
}

/// A document that does not match has to be offered, and what is told with it waits for the answer.
fn write_both_with_an_offer(net: &mut Net, peer: usize) {
    write_both(net, peer, 1);
    let now = net.now;
    net.model(peer).insert(now, "plants", "dark", &[("light", int(0))]);
}

#[test]
fn an_answer_waits_as_long_as_the_transaction_waits() {
    let mut net = two_with_two_documents(BRIGHT);
    let sessions = both_change_left(&mut net);
    until_asked(&mut net, sessions);
    write_both_with_an_offer(&mut net, 0);
    net.settle();
    net.held.clear();
    while net.step() || net.tick_due() {
        assert!(!is_torn(&mut net, 1));
    }
    assert_eq!(net.model(1).field("plants", "left", "turn"), Some(int(1)));
    assert!(!fell_behind(&net, 1));
}

#[test]
fn what_the_publisher_lacks_waits_as_long_as_the_transaction_waits() {
    let mut net = two_with_two_documents(BRIGHT);
    net.disconnect(0, 1);
    net.nodes[1].syncs = false;
    write_both_with_an_offer(&mut net, 1);
    let sessions = both_change_left(&mut net);
    until_asked(&mut net, sessions);
    net.nodes[1].syncs = true;
    // The offer follows the question.
    net.settle();
    net.held.clear();
    while net.step() || net.tick_due() {
        assert!(!is_torn(&mut net, 0));
    }
    assert_eq!(net.model(0).field("plants", "left", "turn"), Some(int(1)));
    assert!(!fell_behind(&net, 0));
}

#[test]
fn a_document_that_changes_in_several_batches_of_one_commit_is_taken_as_it_is_in_the_last() {
    let mut net = two_with_two_documents(PLANTS);
    let (left, right) = both_change_left(&mut net);
    until_asked(&mut net, (left, right));
    for turn in 1..6 {
        write_both(&mut net, 0, turn);
        net.settle();
    }
    net.held.clear();
    while net.step() {
        assert!(!is_torn(&mut net, 1));
    }
    net.rest();
    assert_eq!(net.model(1).field("plants", "right", "turn"), Some(int(5)));
    assert!(
        net.statistics(0, left).acknowledged >= net.model(0).last_sequence(),
        "each batch is acknowledged"
    );
    net.assert_equal(0, 1);
}

#[test]
fn a_transaction_that_was_told_in_part_is_not_whole_before_the_rest_is_told() {
    let mut net = two_with_two_documents(PLANTS);
    net.nodes[0].syncs = false;
    write_both(&mut net, 0, 1);
    let whole = net.model(0).last_sequence();
    let now = net.now;
    net.model(0).insert(now, "plants", "other", &[]);
    net.model(0).set(now, "plants", "right", "wind", int(1));
    // The row of `right` is behind what is durable.
    for durable in [whole.0, whole.0 + 1] {
        net.model(0).sync_up_to(Sequence(durable));
        net.advance(1);
        net.settle();
        assert!(is_torn(&mut net, 1) && net.nodes[1].replicator.shows_parts());
    }
    assert!(net.model(1).visible("plants", "other").is_some());
    net.nodes[0].syncs = true;
    net.rest();
    assert!(!is_torn(&mut net, 1) && !net.nodes[1].replicator.shows_parts());
    net.assert_equal(0, 1);
}

/// Delivers everything, and looks after each message whether one peer sees two documents with another `turn`.
fn never_torn(net: &mut Net, peer: usize, one: (&str, &str), other: (&str, &str)) {
    while net.step() || net.tick_due() {
        let model = net.model(peer);
        let turns = [one, other].map(|(collection, id)| model.field(collection, id, "turn"));
        assert_eq!(turns[0], turns[1]);
    }
}

#[test]
fn members_in_two_interests_arrive_together() {
    let queries = [
        [BRIGHT, "SELECT * FROM plants WHERE light = 2"],
        [BRIGHT, "SELECT * FROM animals"],
        ["SELECT * FROM animals", PLANTS],
    ];
    for queries in queries {
        let mut net = Net::new(2);
        for query in queries {
            net.subscribe(1, query);
        }
        net.connect(0, 1);
        net.settle();
        let other = if queries.contains(&"SELECT * FROM animals") { "animals" } else { "plants" };
        for turn in 1..4 {
            let now = net.now;
            net.model(0).commit(now, |transaction| {
                for (collection, id, light) in [("plants", "one", 1), (other, "two", 2)] {
                    match turn {
                        1 => transaction.insert(collection, id, &[("light", int(light)), ("turn", int(1))]),
                        _ => assert!(transaction.set(collection, id, "turn", int(turn))),
                    }
                }
                // What nobody asks for does not come in between.
                transaction.insert("stones", &format!("{turn}"), &[]);
            });
            never_torn(&mut net, 1, ("plants", "one"), (other, "two"));
            assert_eq!(net.model(1).field(other, "two", "turn"), Some(int(turn)));
        }
        assert!(!fell_behind(&net, 1));
    }
}

#[test]
fn a_transaction_whose_documents_would_fill_a_batch_each_arrives_whole() {
    let mut net = two_with_two_documents(PLANTS);
    let notes = Value::from("n".repeat(BATCH_TARGET_BYTES + 1));
    for turn in 1..4 {
        let now = net.now;
        net.model(0).insert(now, "plants", &format!("before {turn}"), &[]);
        net.model(0).commit(now, |transaction| {
            for id in ["left", "right"] {
                transaction.set("plants", id, "turn", int(turn));
                transaction.set("plants", id, "notes", notes.clone());
            }
        });
        net.model(0).insert(now, "plants", &format!("after {turn}"), &[]);
        never_torn(&mut net, 1, ("plants", "left"), ("plants", "right"));
        assert_eq!(net.model(1).field("plants", "right", "turn"), Some(int(turn)));
    }
    net.assert_equal(0, 1);
}

/// Peer 0 has a transaction of which `left` is at the beginning of its change log, and `right` at the end.
pub fn a_transaction_that_a_walk_tears(net: &mut Net) {
    let now = net.now;
    let model = net.model(0);
    model.commit(now, |transaction| {
        for id in ["left", "right"] {
            transaction.insert("plants", id, &[("turn", int(1))]);
        }
    });
    for id in 0..3_000 {
        model.insert(now, "plants", &format!("other {id}"), &[]);
    }
    model.set(now, "plants", "right", "wind", int(1));
}

/// Delivers messages until a peer shows a part.
pub fn until_torn(net: &mut Net, peer: usize) {
    while !is_torn(net, peer) {
        assert!(net.step() || net.tick_due(), "nothing is torn");
    }
}

#[test]
fn who_has_not_heard_of_the_other_peer_yet_is_catching_up() {
    let mut net = peers(2);
    let (left, right) = net.connect(0, 1);
    while !net.nodes[1].replicator.is_ready(right) {
        assert!(net.step());
    }
    assert!(net.statistics(1, right).catching_up);
    net.settle();
    assert!(!net.statistics(1, right).catching_up && !net.statistics(0, left).catching_up);
    // Who is refused waits for nothing.
    net.disconnect(0, 1);
    net.model(0).illiterate = true;
    let (_, right) = net.connect(0, 1);
    net.settle();
    assert!(!net.statistics(1, right).catching_up);
}

#[test]
fn it_is_known_before_the_commit_that_it_may_show_a_part() {
    let mut net = peers(2);
    a_transaction_that_a_walk_tears(&mut net);
    let (_, right) = net.connect(0, 1);
    while !fell_behind(&net, 1) {
        assert_eq!(net.model(1).count(), 0);
        assert!(net.step());
        net.collect_events();
    }
    assert_eq!(net.model(1).count(), 0, "nothing is visible yet");
    assert!(net.statistics(1, right).catching_up);
    net.rest();
    net.assert_equal(0, 1);
    assert!(!net.statistics(1, right).catching_up);
}

#[test]
fn who_gets_a_part_from_a_peer_that_waits_for_the_rest_waits_as_well() {
    let mut net = peers(3);
    a_transaction_that_a_walk_tears(&mut net);
    let (_, right) = net.connect(0, 1);
    let (_, at_2) = net.connect(1, 2);
    until_torn(&mut net, 1);
    net.held.insert((1, right));
    net.settle();
    assert!(is_torn(&mut net, 1) && is_torn(&mut net, 2));
    assert!(net.statistics(2, at_2).catching_up, "1 has told everything, but that is not all");
    net.held.clear();
    while net.step() || net.tick_due() {
        assert!(!is_torn(&mut net, 2) || net.statistics(2, at_2).catching_up);
    }
    assert!(!net.statistics(2, at_2).catching_up, "without any more time");
    net.assert_equal(0, 2);
}

/// Peer 0 inserts `left`, which is bright, and `right`, which is dim, in one transaction.
fn insert_two_halves(net: &mut Net) {
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for (id, light) in [("left", 1), ("right", 2)] {
            transaction.insert("plants", id, &[("light", int(light)), ("turn", int(1))]);
        }
    });
}

/// What does not match is offered first; then the half that does is on its way.
fn until_one_half_is_told(net: &mut Net, to: (usize, SessionId)) {
    for told in [OFFER, BATCH] {
        net.held.insert(to);
        net.settle();
        assert_eq!(net.waiting(to), [told]);
        net.held.clear();
        if told == OFFER {
            net.step();
        }
    }
}

/// Delivers everything: somebody of these shows a part, nobody without saying so, and in the end nobody does either.
fn rest_with_a_part(net: &mut Net, ends: &[(usize, SessionId)]) {
    let mut was_torn = false;
    while net.step() || net.tick_due() {
        for (peer, session) in ends {
            if is_torn(net, *peer) {
                was_torn = true;
                assert!(net.statistics(*peer, *session).catching_up, "peer {peer}");
            }
        }
    }
    assert!(was_torn);
    net.rest();
    for (peer, session) in ends {
        assert!(!is_torn(net, *peer) && !net.statistics(*peer, *session).catching_up, "peer {peer}");
    }
}

#[test]
fn what_is_told_before_the_rest_is_subscribed_to_is_a_part_until_that_is_served() {
    let mut net = Net::new(3);
    net.subscribe(1, BRIGHT);
    net.subscribe(2, PLANTS);
    let (_, at_1) = net.connect(0, 1);
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    insert_two_halves(&mut net);
    until_one_half_is_told(&mut net, (1, at_1));
    // 0 hears of this after that.
    net.subscribe(1, DIM);
    rest_with_a_part(&mut net, &[(1, at_1), (2, at_2)]);
    net.assert_equal(0, 2);
}

#[test]
fn what_is_told_while_there_is_no_room_for_the_rest_is_a_part_until_that_is_served() {
    let mut net = Net::new(3);
    net.subscribe(1, BRIGHT);
    let other = |light: usize| format!("SELECT * FROM plants WHERE light = {}", 10 + light);
    let others: Vec<_> = (1..MAX_INTERESTS).map(|light| net.subscribe(1, &other(light))).collect();
    net.subscribe(2, PLANTS);
    let (_, at_1) = net.connect(0, 1);
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    insert_two_halves(&mut net);
    until_one_half_is_told(&mut net, (1, at_1));
    // There is room as soon as 0 knows that this one has ended.
    net.unsubscribe(1, others[0]);
    net.subscribe(1, DIM);
    rest_with_a_part(&mut net, &[(1, at_1), (2, at_2)]);
    net.assert_equal(0, 2);
}

#[test]
fn what_comes_by_itself_before_the_rest_is_subscribed_to_is_a_part_until_that_is_served() {
    let mut net = Net::new(4);
    net.subscribe(0, PLANTS);
    net.subscribe(1, BRIGHT);
    net.subscribe(2, PLANTS);
    let now = net.now;
    net.model(3).insert(now, "plants", "left", &[("light", int(1))]);
    net.connect(0, 3);
    net.rest();
    net.disconnect(0, 3);
    net.model(0).commit(now, |transaction| {
        transaction.set("plants", "left", "light", int(2));
        transaction.set("plants", "left", "turn", int(1));
        transaction.insert("plants", "right", &[("light", int(2)), ("turn", int(1))]);
    });
    let (_, at_1) = net.connect(0, 1);
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    assert_eq!(net.model(1).count(), 0, "nothing of it matches");
    // 1 takes the old copy from 3, tells it to 0, and is told what it lacks.
    net.connect(1, 3);
    while !net.waiting((1, at_1)).contains(&SURPLUS) {
        net.held.insert((1, at_1));
        net.settle();
        if !net.waiting((1, at_1)).contains(&SURPLUS) {
            net.held.clear();
            net.step();
        }
    }
    net.subscribe(1, DIM);
    net.held.clear();
    rest_with_a_part(&mut net, &[(2, at_2)]);
}

#[test]
fn what_comes_by_itself_of_who_tells_nothing_is_not_waited_with_for_the_rest() {
    let mut net = peers(3);
    let now = net.now;
    net.model(0).insert(now, "plants", "left", &[]);
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    net.model(0).set(now, "plants", "left", "turn", int(1));
    net.model(1).set(now, "plants", "left", "light", int(1));
    net.model(0).illiterate = true;
    net.connect(0, 1);
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    assert_eq!(
        net.model(2).field("plants", "left", "turn"),
        Some(int(1)),
        "0 has answered with what 1 lacks"
    );
    assert!(!net.statistics(2, at_2).catching_up, "the rest would never come");
}

#[test]
fn what_comes_of_who_tells_nothing_any_more_is_not_waited_with_for_the_rest() {
    let mut net = Net::new(3);
    let all = net.subscribe(1, PLANTS);
    net.subscribe(0, PLANTS);
    net.subscribe(2, PLANTS);
    let now = net.now;
    net.model(0).insert(now, "plants", "left", &[]);
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    net.model(0).set(now, "plants", "left", "turn", int(1));
    net.model(1).set(now, "plants", "left", "light", int(1));
    let (at_0, at_1) = net.connect(0, 1);
    let (_, at_2) = net.connect(1, 2);
    net.until_asked((0, at_0), (1, at_1), 1);
    // The answer shows a newer change, when that is durable, and what is asked for by then is refused.
    net.nodes[0].syncs = false;
    net.model(0).set(now, "plants", "left", "turn", int(2));
    net.model(0).illiterate = true;
    net.unsubscribe(1, all);
    net.subscribe(1, BRIGHT);
    net.held.clear();
    net.settle();
    net.nodes[0].syncs = true;
    net.rest();
    assert_eq!(net.model(2).field("plants", "left", "turn"), Some(int(2)));
    assert!(!net.statistics(2, at_2).catching_up, "the rest would never come");
}

#[test]
fn a_part_is_not_whole_while_its_rest_has_moved_behind_what_is_durable() {
    let mut net = peers(3);
    net.nodes[0].syncs = false;
    a_transaction_that_a_walk_tears(&mut net);
    // The rest comes by itself, in a commit of its own.
    let last = net.model(0).last_sequence();
    net.model(0).sync_up_to(Sequence(last.0 - 1));
    net.connect(0, 1);
    let (_, at_2) = net.connect(1, 2);
    net.settle();
    assert!(is_torn(&mut net, 1) && is_torn(&mut net, 2));
    net.nodes[1].syncs = false;
    net.nodes[0].syncs = true;
    net.advance(1);
    net.settle();
    assert!(!is_torn(&mut net, 1));
    // What was the row of the rest is durable now, but there is nothing in it any more.
    let (rest, now) = (net.model(1).last_sequence(), net.now);
    net.model(1).set(now, "plants", "right", "water", int(1));
    net.model(1).sync_up_to(rest);
    net.advance(1);
    net.settle();
    assert!(is_torn(&mut net, 2) && net.statistics(2, at_2).catching_up);
    net.nodes[1].syncs = true;
    net.rest();
    assert!(!is_torn(&mut net, 2) && !net.statistics(2, at_2).catching_up);
    net.assert_equal(1, 2);
}

#[test]
fn a_part_stays_one_when_the_session_ends_that_brought_it() {
    let mut net = peers(3);
    a_transaction_that_a_walk_tears(&mut net);
    net.connect(0, 1);
    until_torn(&mut net, 1);
    net.disconnect(0, 1);
    assert!(net.nodes[1].replicator.shows_parts());
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    assert!(is_torn(&mut net, 2) && net.statistics(2, at_2).catching_up);
    let (_, right) = net.connect(0, 1);
    assert!(is_torn(&mut net, 1));
    net.rest();
    assert!(!net.statistics(1, right).catching_up && !net.statistics(2, at_2).catching_up);
    assert!(net.nodes.iter().all(|node| !node.replicator.shows_parts()));
    net.assert_equal(0, 2);
}

#[test]
fn a_part_stays_one_for_who_has_subscribed_anew_before() {
    let mut net = Net::new(3);
    net.subscribe(1, PLANTS);
    let before = net.subscribe(2, PLANTS);
    let (_, right) = net.connect(0, 1);
    net.connect(1, 2);
    net.settle();
    // For a moment nothing is promised to it.
    net.unsubscribe(2, before);
    net.settle();
    net.subscribe(2, PLANTS);
    net.settle();
    a_transaction_that_a_walk_tears(&mut net);
    until_torn(&mut net, 1);
    net.held.insert((1, right));
    net.settle();
    assert!(is_torn(&mut net, 2) && net.nodes[2].replicator.shows_parts());
    net.disconnect(1, 2);
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    assert!(is_torn(&mut net, 2));
    assert!(net.statistics(2, at_2).catching_up && net.nodes[2].replicator.shows_parts());
    net.held.clear();
    net.rest();
    assert!(!net.statistics(2, at_2).catching_up && !net.nodes[2].replicator.shows_parts());
    net.assert_equal(0, 2);
}

#[test]
fn a_part_is_remembered_however_many_other_peers_have_come_and_gone() {
    let mut net = peers(2);
    for number in 0..MAX_REMEMBERED_PEERS {
        let now = net.now;
        let crate::net::Node { replicator, model, .. } = &mut net.nodes[1];
        let mut key = [9; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        let session = SessionId(1_000_000 + number as u64);
        replicator.connected(session, PeerId(key), model, now);
        replicator.disconnected(session);
    }
    a_transaction_that_a_walk_tears(&mut net);
    net.connect(0, 1);
    until_torn(&mut net, 1);
    net.disconnect(0, 1);
    assert!(net.nodes[1].replicator.shows_parts());
}

#[test]
fn nobody_waits_for_ever_for_who_left_a_part_and_never_returns() {
    let mut net = peers(3);
    a_transaction_that_a_walk_tears(&mut net);
    net.connect(0, 1);
    until_torn(&mut net, 1);
    net.disconnect(0, 1);
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    assert!(net.nodes[1].replicator.shows_parts() && net.statistics(2, at_2).catching_up);
    let gives_up = net.nodes[1].replicator.next_timeout().expect("somebody is waited for");
    let waits = gives_up - net.now;
    assert!(waits <= LEFT_PATIENCE_MS);
    net.advance(waits);
    net.rest();
    assert!(net.nodes.iter().all(|node| !node.replicator.shows_parts()));
    assert!(!net.statistics(2, at_2).catching_up);
    assert!(net.nodes[1].events.contains(&Event::LeftInPart { remote: crate::net::peer_id(0) }));
    // It is back.
    net.connect(0, 1);
    net.rest();
    assert!(!is_torn(&mut net, 1) && net.nodes.iter().all(|node| !node.replicator.shows_parts()));
    net.assert_equal(0, 2);
}

#[test]
fn a_part_is_one_again_if_the_rest_is_lost_with_a_storage_that_fails() {
    let mut net = peers(3);
    a_transaction_that_a_walk_tears(&mut net);
    net.connect(0, 1);
    until_torn(&mut net, 1);
    while net.step() && is_torn(&mut net, 1) {}
    net.nodes[1].syncs = false;
    net.settle();
    assert!(!is_torn(&mut net, 1) && !net.nodes[1].replicator.shows_parts());
    // The storage fails and is recovered, the process goes on.
    net.disconnect(0, 1);
    net.model(1).crash();
    net.nodes[1].syncs = true;
    assert!(is_torn(&mut net, 1));
    let (_, at_2) = net.connect(1, 2);
    assert!(net.nodes[1].replicator.shows_parts());
    net.rest();
    assert!(is_torn(&mut net, 2) && net.statistics(2, at_2).catching_up);
    net.connect(0, 1);
    net.rest();
    assert!(net.nodes.iter().all(|node| !node.replicator.shows_parts()));
    net.assert_equal(0, 2);
}

#[test]
fn a_part_that_came_after_a_run_began_is_not_lost_with_what_was_before_it() {
    let mut net = peers(3);
    a_transaction_that_a_walk_tears(&mut net);
    net.connect(0, 1);
    // As one does that was told of a history which it lacks, and after a pause.
    net.model(1).take_new_site(RunId(7), Sequence(7));
    until_torn(&mut net, 1);
    net.disconnect(0, 1);
    net.model(1).open();
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    assert!(net.nodes[1].replicator.shows_parts());
    assert!(is_torn(&mut net, 2) && net.statistics(2, at_2).catching_up);
    net.connect(0, 1);
    net.rest();
    assert!(net.nodes.iter().all(|node| !node.replicator.shows_parts()));
    net.assert_equal(0, 2);
}

#[test]
fn a_part_that_is_lost_altogether_is_no_part_any_more() {
    let mut net = peers(3);
    a_transaction_that_a_walk_tears(&mut net);
    net.connect(0, 1);
    // Nothing of it becomes durable at 1.
    net.nodes[1].syncs = false;
    until_torn(&mut net, 1);
    net.disconnect(0, 1);
    net.model(1).crash();
    net.nodes[1].syncs = true;
    let now = net.now;
    net.model(1).insert(now, "plants", "own", &[]);
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    assert!(!net.nodes[1].replicator.shows_parts() && !net.statistics(2, at_2).catching_up);
}

#[test]
fn peers_that_wait_for_each_other_all_catch_up() {
    const PEERS: usize = 4;
    let mut net = peers(PEERS);
    for peer in 0..PEERS {
        let now = net.now;
        for id in 0..1_500 {
            net.model(peer).insert(now, "plants", &format!("{peer} {id}"), &[]);
        }
    }
    let mut sessions = Vec::new();
    for a in 0..PEERS {
        for b in 0..a {
            let (left, right) = net.connect(a, b);
            sessions.extend([(a, left), (b, right)]);
        }
    }
    net.rest();
    for peer in 1..PEERS {
        net.assert_equal(0, peer);
    }
    assert!((0..PEERS).all(|peer| fell_behind(&net, peer)));
    assert!(sessions.iter().all(|(peer, session)| !net.statistics(*peer, *session).catching_up));
    assert!(net.nodes.iter().all(|node| !node.replicator.shows_parts()));
}

#[test]
fn an_answer_to_who_has_evicted_meanwhile_shows_no_half_document() {
    // The answer arrives before or after the batch was put off once more.
    for is_told in [false, true] {
        let mut net = two_with_two_documents(PLANTS);
        let sessions = both_change_left(&mut net);
        until_asked(&mut net, sessions);
        net.held.clear();
        net.held.insert((1, sessions.1));
        net.settle();
        net.model(1).evict("plants", "left");
        if is_told {
            net.settle();
        }
        net.held.clear();
        while net.step() || net.tick_due() {
            let left = net.model(1).visible("plants", "left");
            assert!(left.is_none_or(|left| left.get("light").is_some()), "half a document");
        }
        net.rest();
        assert_eq!(net.model(1).field("plants", "left", "wind"), Some(int(1)));
        net.assert_equal(0, 1);
    }
}

#[test]
fn a_member_of_an_older_transaction_is_a_part_while_another_member_has_moved_behind_what_is_durable() {
    let mut net = two_with_two_documents(PLANTS);
    net.nodes[0].syncs = false;
    write_both(&mut net, 0, 1);
    let now = net.now;
    net.model(0).set(now, "plants", "right", "wind", int(1));
    let durable = net.model(0).last_sequence();
    net.model(0).set(now, "plants", "left", "wind", int(1));
    net.model(0).sync_up_to(durable);
    net.advance(1);
    net.settle();
    assert!(!is_torn(&mut net, 1) || net.nodes[1].replicator.shows_parts());
    net.nodes[0].syncs = true;
    net.rest();
    net.assert_equal(0, 1);
}
