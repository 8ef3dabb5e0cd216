//! What a filtered subscriber takes from one peer is compared with what another one knows.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::net::{Net, int, peer_id};
use ditto_replication::limits::{
    FIRST_WINDOW_DOCUMENTS, MIN_RECONCILED_CHANGES, PART_BYTES, TAKEN_DELAY_MS, WINDOW_BATCHES, WORK_MS,
};
use ditto_replication::{Replica, SessionId, Sizes, SubscriptionId};
use ditto_value::Value;

const PLANTS: &str = "SELECT * FROM plants";
const BRIGHT: &str = "SELECT * FROM plants WHERE light = 1";
/// Kinds of messages.
const OFFER: u8 = 4;
const ANSWER: u8 = 5;
const PART: u8 = 7;
const INTERESTS: u8 = 2;
const ACKNOWLEDGE: u8 = 8;
const DELIVERY: u8 = 14;
const TAKEN: u8 = 15;
const COMPARED: u8 = 20;

/// 0 and 2 hold `fern`, and 1, which has a filter and holds nothing, is connected to 0. What 0 does with it comes before.
fn with_an_old_copy_at_2(change: impl FnOnce(&mut Net)) -> Net {
    let mut net = Net::new(3);
    net.subscribe(2, PLANTS);
    net.subscribe(1, BRIGHT);
    let now = net.now;
    net.model(0).insert(now, "plants", "fern", &[("light", int(1))]);
    net.connect(0, 2);
    net.rest();
    net.disconnect(0, 2);
    change(&mut net);
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).count(), 0, "it does not matter to it");
    net
}

fn insert(net: &mut Net, peer: usize, id: &str) {
    let now = net.now;
    net.model(peer).insert(now, "plants", id, &[("light", int(1))]);
}

fn delete(net: &mut Net) {
    let now = net.now;
    assert!(net.model(0).delete(now, "plants", "fern"));
}

#[test]
fn a_deletion_that_was_passed_by_wins_against_an_old_copy_from_elsewhere() {
    let mut net = with_an_old_copy_at_2(delete);
    net.connect(1, 2);
    net.rest();
    for peer in 0..3 {
        assert_eq!(net.model(peer).visible("plants", "fern"), None, "peer {peer}");
    }
    net.assert_equal(0, 1);
    net.assert_equal(1, 2);
}

#[test]
fn what_left_the_filter_is_told_to_who_takes_an_old_copy_from_elsewhere() {
    let mut net = with_an_old_copy_at_2(|net| {
        let now = net.now;
        net.model(0).set(now, "plants", "fern", "light", int(2));
    });
    net.connect(1, 2);
    net.rest();
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(2)));
    // And it hears of what comes after that.
    let now = net.now;
    net.model(0).set(now, "plants", "fern", "light", int(3));
    net.settle();
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(3)));
}

#[test]
fn what_was_taken_while_a_publisher_was_away_is_offered_when_it_is_back() {
    let mut net = with_an_old_copy_at_2(delete);
    net.disconnect(0, 1);
    net.connect(1, 2);
    net.rest();
    assert!(net.model(1).visible("plants", "fern").is_some());
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).visible("plants", "fern"), None);
}

#[test]
fn what_was_taken_before_a_restart_is_offered_to_a_publisher_that_was_away() {
    for loses_power in [false, true] {
        let mut net = with_an_old_copy_at_2(delete);
        net.disconnect(0, 1);
        net.connect(1, 2);
        net.rest();
        net.restart(1);
        if loses_power {
            net.model(1).crash();
        } else {
            net.model(1).open();
        }
        net.subscribe(1, BRIGHT);
        assert!(net.model(1).visible("plants", "fern").is_some());
        net.connect(0, 1);
        net.rest();
        assert_eq!(net.model(1).visible("plants", "fern"), None);
    }
}

/// Delivers so many messages, each after some milliseconds, and lets some seconds pass; false if there were no more.
fn deliver(net: &mut Net, messages: usize, pause: u64) -> bool {
    let mut delivered = 0;
    for _ in 0..6 {
        while delivered < messages && (net.step() || net.tick_due()) {
            net.advance(pause);
            delivered += 1;
        }
        if delivered == messages {
            return true;
        }
        net.advance(1_000);
    }
    false
}

/// How 0 hears of what 1 has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Walk,
    /// The same, and 0 may ask about one document at a time.
    OneQuestion,
    Reconciliation,
}

const FERNS: [&str; 4] = ["fern", "fern 1", "fern 2", "fern 3"];

/// 2 has ferns that 0 has deleted, and 1 did not hear of that. 0 subscribes to all that 1 has: the old copies come in the way that is
/// asked for, and not as an offer of what was taken. The session ends after so many messages that come slowly or not; false if there were no more.
fn old_copies_that_are_told(way: Way, messages: usize, pause: u64) -> (Net, bool) {
    let mut net = Net::new(3);
    net.subscribe(2, PLANTS);
    net.subscribe(1, BRIGHT);
    if way == Way::OneQuestion {
        net.restart_with(0, Sizes { open_questions: 1, ..Sizes::default() });
    }
    FERNS.iter().for_each(|fern| insert(&mut net, 0, fern));
    for number in 0..2 * MIN_RECONCILED_CHANGES {
        insert(&mut net, 0, &format!("moss {number}"));
    }
    net.connect(0, 2);
    net.rest();
    net.disconnect(0, 2);
    let now = net.now;
    for fern in FERNS {
        assert!(net.model(0).delete(now, "plants", fern));
    }
    if way != Way::Reconciliation {
        net.subscribe(0, PLANTS);
    }
    net.connect(0, 1);
    net.rest();
    if way == Way::Reconciliation {
        net.disconnect(0, 1);
    }
    net.connect(1, 2);
    if way == Way::Reconciliation {
        net.rest();
        net.disconnect(1, 2);
        assert!(net.model(1).visible("plants", "fern").is_some());
        net.subscribe(0, PLANTS);
        net.connect(0, 1);
    }
    let goes_on = deliver(&mut net, messages, pause);
    net.disconnect(1, 2);
    net.disconnect(0, 1);
    (net, goes_on)
}

#[test]
fn what_old_copies_lack_comes_back_whenever_the_session_ends_that_told_them() {
    let ways = [Way::Walk, Way::OneQuestion, Way::Reconciliation];
    let ways = ways.into_iter().flat_map(|way| [(way, 0), (way, TAKEN_DELAY_MS)]);
    for (way, pause) in ways {
        for lost in [None, Some(0), Some(1)] {
            for messages in 0.. {
                let (mut net, goes_on) = old_copies_that_are_told(way, messages, pause);
                if let Some(peer) = lost {
                    net.restart(peer);
                    net.model(peer).crash();
                    net.subscribe(peer, if peer == 1 { BRIGHT } else { PLANTS });
                }
                net.connect(0, 1);
                net.rest();
                for fern in FERNS {
                    let copy = net.model(1).visible("plants", fern);
                    assert_eq!(copy, None, "{way:?}, {messages} messages in {pause} ms, {lost:?} is lost");
                }
                if !goes_on {
                    let reconciled = net.nodes[1].replicator.mechanisms().reconciled;
                    assert!(lost == Some(1) || reconciled > 0 || way != Way::Reconciliation);
                    break;
                }
            }
        }
    }
}

#[test]
fn what_was_declined_before_it_was_taken_is_told_all_the_same() {
    let mut net = Net::new(3);
    net.subscribe(2, PLANTS);
    net.subscribe(1, BRIGHT);
    insert(&mut net, 0, "fern");
    net.connect(0, 2);
    net.rest();
    net.disconnect(0, 2);
    insert(&mut net, 1, "oak");
    net.settle();
    // Longer than the first window, so that the batch ends with it, and the next one waits until it is acknowledged.
    let now = net.now;
    let rings = Value::from("ring ".repeat(20_000));
    net.model(0).insert(now, "plants", "tree", &[("light", int(1)), ("rings", rings)]);
    delete(&mut net);
    // It comes behind what is taken meanwhile.
    let (late, acknowledgement) = (Rc::new(Cell::new(true)), RefCell::new(Vec::new()));
    let is_late = Rc::clone(&late);
    net.alter = Some(Box::new(move |from, message| match message.first() {
        Some(&ACKNOWLEDGE) if from == 1 && is_late.get() && acknowledgement.borrow().is_empty() => {
            acknowledgement.borrow_mut().push(message);
            Vec::new()
        }
        // All is to be offered.
        Some(&INTERESTS) if from == 1 => vec![vec![DELIVERY, 2, 1], message],
        _ if from == 1 && !is_late.get() => [acknowledgement.take(), vec![message]].concat(),
        _ => vec![message],
    }));
    net.connect(0, 1);
    net.rest();
    assert!(net.kinds.contains_key(&ANSWER) && net.model(1).visible("plants", "tree").is_some());
    net.connect(1, 2);
    net.rest();
    net.disconnect(1, 2);
    assert!(net.kinds.contains_key(&TAKEN) && net.model(1).visible("plants", "fern").is_some());
    late.set(false);
    insert(&mut net, 1, "moss");
    net.rest();
    assert_eq!(net.model(1).visible("plants", "fern"), None);
}

const POTS: &str = "SELECT * FROM pots";

#[test]
fn what_was_taken_while_nothing_of_it_was_asked_for_is_offered_when_it_is_again() {
    // What is asked for meanwhile: nothing, another collection, a part of another one.
    for meanwhile in [None, Some(POTS), Some("SELECT * FROM pots WHERE light = 1")] {
        for restarts in [false, true] {
            let mut net = with_an_old_copy_at_2(delete);
            net.disconnect(0, 1);
            net.connect(1, 2);
            net.rest();
            net.disconnect(1, 2);
            assert!(net.model(1).visible("plants", "fern").is_some());
            if restarts {
                net.restart(1);
                net.model(1).open();
            } else {
                net.unsubscribe(1, SubscriptionId(1));
            }
            if let Some(query) = meanwhile {
                net.subscribe(1, query);
            }
            insert(&mut net, 0, "moss");
            net.connect(0, 1);
            net.rest();
            net.subscribe(1, BRIGHT);
            net.rest();
            assert_eq!(net.model(1).visible("plants", "fern"), None, "{meanwhile:?}, {restarts}");
            assert!(net.model(1).visible("plants", "moss").is_some());
        }
    }
}

#[test]
fn what_was_taken_in_an_earlier_run_is_offered_although_nothing_ever_was() {
    let mut net = with_an_old_copy_at_2(delete);
    // Nothing is offered while all is asked for, and so nothing is recorded.
    net.disconnect(0, 1);
    net.model(1).others.offered.clear();
    net.connect(1, 2);
    net.rest();
    net.disconnect(1, 2);
    net.restart(1);
    net.model(1).open();
    net.subscribe(1, BRIGHT);
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).visible("plants", "fern"), None);
}

#[test]
fn what_was_taken_while_all_was_asked_for_is_offered_if_that_ends_before_all_was_told() {
    for messages in 0..20 {
        let mut net = with_an_old_copy_at_2(delete);
        net.disconnect(0, 1);
        for number in 0..40 {
            let now = net.now;
            net.model(0).insert(now, "plants", &format!("oak {number}"), &[("light", int(2))]);
            net.model(1).insert(now, "plants", &format!("moss {number}"), &[("light", int(2))]);
        }
        let (_, end) = net.connect(0, 1);
        net.rest();
        let all = net.subscribe(1, PLANTS);
        deliver(&mut net, messages, 0);
        net.held.insert((1, end));
        net.connect(1, 2);
        net.rest();
        assert!(net.model(1).visible("plants", "fern").is_some() || messages > 5);
        net.unsubscribe(1, all);
        net.held.clear();
        net.rest();
        assert_eq!(net.model(1).visible("plants", "fern"), None, "{messages} messages");
    }
}

#[test]
fn what_was_taken_before_something_was_asked_for_anew_is_offered_if_that_ends_at_once() {
    for messages in 0..40 {
        let mut net = with_an_old_copy_at_2(delete);
        net.disconnect(0, 1);
        net.connect(1, 2);
        net.rest();
        net.disconnect(1, 2);
        net.unsubscribe(1, SubscriptionId(1));
        for number in 0..40 {
            let now = net.now;
            net.model(0).insert(now, "plants", &format!("oak {number}"), &[("light", int(2))]);
            net.model(1).insert(now, "plants", &format!("moss {number}"), &[("light", int(2))]);
        }
        let other = net.subscribe(1, "SELECT * FROM plants WHERE light = 3");
        net.connect(0, 1);
        deliver(&mut net, messages, 50);
        net.unsubscribe(1, other);
        net.subscribe(1, BRIGHT);
        net.rest();
        assert_eq!(net.model(1).visible("plants", "fern"), None, "{messages} messages");
    }
}

#[test]
fn what_was_answered_is_not_offered_again() {
    let mut net = with_an_old_copy_at_2(|net| {
        delete(net);
        net.subscribe(0, PLANTS);
    });
    let now = net.now;
    for id in 0..200 {
        net.model(1).insert(now, "plants", &format!("moss {id}"), &[("light", int(1))]);
    }
    net.connect(1, 2);
    net.rest();
    let recorded = net.model(1).offered(peer_id(0), "plants");
    assert_eq!(recorded, Some(net.model(1).last_sequence()), "all of it was looked at");
    net.disconnect(0, 1);
    net.disconnect(1, 2);
    (net.bytes, net.kinds) = (0, std::collections::BTreeMap::new());
    net.connect(0, 1);
    net.rest();
    assert!(!net.kinds.contains_key(&TAKEN), "{:?}", net.kinds);
    assert!(net.bytes < 1_024, "{} bytes", net.bytes);
}

#[test]
fn everything_that_was_taken_is_offered_however_it_lies_in_the_change_log() {
    let mut net = Net::new(3);
    net.subscribe(2, PLANTS);
    net.subscribe(1, BRIGHT);
    let now = net.now;
    let ids: Vec<String> = (0..1_400).map(|number| format!("fern {number}")).collect();
    for id in &ids {
        net.model(0).insert(now, "plants", id, &[("light", int(1))]);
    }
    net.connect(0, 2);
    net.rest();
    net.disconnect(0, 2);
    for id in &ids {
        assert!(net.model(0).delete(now, "plants", id));
    }
    net.connect(0, 1);
    net.rest();
    // Not all rows of the first thousand are offered, and the next reading comes to the end of the log.
    let now = net.now;
    for number in 0..600 {
        net.model(1).insert(now, "mosses", &format!("moss {number}"), &[]);
    }
    net.connect(1, 2);
    net.rest();
    for id in &ids {
        assert_eq!(net.model(1).visible("plants", id), None, "{id}");
    }
}

#[test]
fn what_is_told_of_an_offer_has_the_number_of_an_interest_that_there_is() {
    let mut net = with_an_old_copy_at_2(delete);
    net.connect(1, 2);
    net.settle();
    // 0 may tell nothing more before 1 acknowledges something.
    net.nodes[1].syncs = false;
    let now = net.now;
    for number in 0..500 {
        net.model(0).insert(now, "plants", &format!("moss {number}"), &[("light", int(1))]);
    }
    net.settle();
    net.advance(TAKEN_DELAY_MS);
    net.settle();
    assert_eq!(net.kinds.get(&TAKEN), Some(&1));
    net.unsubscribe(1, SubscriptionId(1));
    net.subscribe(1, "SELECT * FROM plants WHERE light = 3");
    net.settle();
    net.nodes[1].syncs = true;
    net.rest();
    assert!(net.failures(1).is_empty(), "{:?}", net.failures(1));
    assert_eq!(net.model(1).visible("plants", "fern"), None);
}

#[test]
fn an_offer_of_what_was_taken_that_was_not_answered_is_made_again() {
    let mut net = with_an_old_copy_at_2(delete);
    net.connect(1, 2);
    net.settle();
    net.advance(TAKEN_DELAY_MS);
    net.disconnect(0, 1);
    net.rest();
    assert!(net.model(1).visible("plants", "fern").is_some());
    net.connect(0, 1);
    net.rest();
    assert_eq!(net.model(1).visible("plants", "fern"), None);
}

#[test]
fn a_stale_copy_is_answered_with_what_its_sender_has_passed_by() {
    for change in [delete, |net: &mut Net| {
        let now = net.now;
        net.model(0).set(now, "plants", "fern", "light", int(2));
    }] {
        let mut net = with_an_old_copy_at_2(change);
        net.subscribe(0, PLANTS);
        net.settle();
        net.connect(1, 2);
        net.rest();
        net.assert_equal(0, 1);
        net.assert_equal(1, 2);
        assert_eq!(net.kinds.get(&TAKEN), None, "its own stream brought the copy");
    }
}

#[test]
fn nothing_is_offered_where_the_streams_carry_it() {
    for (query, at_0) in [(PLANTS, None), (BRIGHT, Some(PLANTS)), (BRIGHT, Some(BRIGHT))] {
        let mut net = Net::new(3);
        net.subscribe(1, query);
        if let Some(query) = at_0 {
            net.subscribe(0, query);
        }
        net.connect(0, 1);
        net.connect(1, 2);
        net.rest();
        let now = net.now;
        for id in 0..10 {
            net.model(2).insert(now, "plants", &format!("plant {id}"), &[("light", int(1))]);
        }
        net.rest();
        assert_eq!(net.model(1).count(), 10);
        assert_eq!(net.kinds.get(&TAKEN), None, "{query}, {at_0:?}");
    }
}

#[test]
fn much_that_was_taken_is_offered_in_pieces_and_a_second_meeting_costs_nothing() {
    let mut net = with_an_old_copy_at_2(delete);
    let now = net.now;
    for id in 0..3_000 {
        net.model(2).insert(now, "plants", &format!("plant {id}"), &[("light", int(1))]);
    }
    net.connect(1, 2);
    for _ in 0..20 {
        net.rest();
    }
    assert_eq!(net.model(1).visible("plants", "fern"), None);
    assert_eq!(net.kinds.get(&TAKEN), Some(&3), "1,024 in each, and the rest");
    net.disconnect(0, 1);
    let before = net.bytes;
    net.connect(0, 1);
    net.rest();
    assert!(net.bytes - before < 1_024, "{} bytes", net.bytes - before);
}

/// A text that does not become shorter by packing.
fn noise(bytes: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(7_919) | 1;
    let letters = (0..bytes).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 58) as u8)
    });
    letters.collect()
}

/// What 1 does, or is done to it, between taking the old copy and offering it.
type Meanwhile = fn(&mut Net, SubscriptionId, SessionId);

#[test]
fn what_costs_much_to_look_at_is_offered_one_by_one_and_then_nothing_is_due() {
    let mut net = with_an_old_copy_at_2(delete);
    for plant in ["ivy", "moss", "palm"] {
        insert(&mut net, 2, plant);
    }
    net.model(1).read_ms = WORK_MS;
    net.kinds.clear();
    net.connect(1, 2);
    pass(&mut net);
    assert_eq!(net.model(1).visible("plants", "fern"), None);
    assert!(net.kinds[&TAKEN] >= 4, "{:?}", net.kinds);
    // The last that is looked at is not offered, for it is dead.
    net.kinds.clear();
    insert(&mut net, 2, "oak");
    while net.step() {}
    assert!(net.model(1).visible("plants", "oak").is_some());
    let now = net.now;
    assert!(net.model(2).delete(now, "plants", "oak"));
    pass(&mut net);
    assert_eq!(net.kinds.get(&TAKEN), None);
}

/// Lets time pass until everything that was taken is offered.
fn pass(net: &mut Net) {
    let mut turns = 0;
    for _ in 0..10 {
        while net.step() || net.tick_due() {
            turns += 1;
            assert!(turns < 10_000, "the same is due again and again");
        }
        net.advance(TAKEN_DELAY_MS);
    }
}

#[test]
fn nothing_is_due_for_ever_when_what_was_taken_cannot_be_offered() {
    let unsubscribes: Meanwhile = |net, subscription, _| net.unsubscribe(1, subscription);
    let subscribes_to_everything: Meanwhile = |net, _, _| {
        net.subscribe(1, PLANTS);
    };
    let subscribes_to_another_part: Meanwhile = |net, _, _| {
        net.subscribe(1, "SELECT * FROM plants WHERE light = 2");
    };
    let is_not_answered: Meanwhile = |net, _, left| {
        net.held.insert((0, left));
        net.subscribe(1, "SELECT * FROM pots");
    };
    let has_much_to_send: Meanwhile = |net, _, left| {
        net.held.insert((0, left));
        net.room = 1;
        let now = net.now;
        net.model(1).commit(now, |transaction| {
            for id in 0..20 {
                let notes = Value::from(noise(50_000, id));
                transaction.insert("pots", &format!("{id}"), &[("notes", notes)]);
            }
        });
    };
    for meanwhile in [
        unsubscribes,
        subscribes_to_everything,
        subscribes_to_another_part,
        is_not_answered,
        has_much_to_send,
    ] {
        let mut net = Net::new(3);
        net.subscribe(0, "SELECT * FROM pots");
        let bright = net.subscribe(1, BRIGHT);
        insert(&mut net, 2, "fern");
        let (left, _) = net.connect(0, 1);
        net.rest();
        net.connect(1, 2);
        net.settle();
        assert_eq!(net.model(1).count(), 1);
        meanwhile(&mut net, bright, left);
        while net.step() {}
        net.now += 2 * TAKEN_DELAY_MS;
        for _ in 0..10 {
            net.tick_due();
            while net.step() {}
        }
        assert!(!net.tick_due(), "it is due again and again");
    }
}

#[test]
fn a_deletion_that_was_told_ahead_of_the_walk_wins_against_an_old_copy_as_well() {
    let mut net = Net::new(3);
    net.subscribe(2, PLANTS);
    insert(&mut net, 0, "fern");
    net.connect(0, 2);
    net.rest();
    net.disconnect(0, 2);
    for id in 0..6_000 {
        insert(&mut net, 0, &format!("other {id}"));
    }
    // The walk comes by it last.
    let now = net.now;
    net.model(0).set(now, "plants", "fern", "water", int(1));
    net.subscribe(1, BRIGHT);
    net.room = 2;
    let (_, right) = net.connect(0, 1);
    while net.model(1).count() == 0 {
        assert!(net.step());
    }
    delete(&mut net);
    while !net.kinds.contains_key(&ANSWER) {
        assert!(net.step(), "the deletion is offered, and does not matter yet");
    }
    assert!(net.model(1).count() < 3_000, "the walk is far behind: {}", net.model(1).count());
    net.held.insert((1, right));
    net.connect(1, 2);
    net.settle();
    assert!(net.model(1).visible("plants", "fern").is_some());
    net.advance(TAKEN_DELAY_MS);
    net.settle();
    assert!(net.kinds.contains_key(&TAKEN));
    net.held.clear();
    net.rest();
    assert_eq!(net.model(1).visible("plants", "fern"), None);
    net.assert_equal(0, 1);
}

#[test]
fn what_is_told_of_what_was_taken_goes_no_further_than_the_walk() {
    let mut net = with_an_old_copy_at_2(|net| {
        let now = net.now;
        net.model(0).set(now, "plants", "fern", "light", int(2));
    });
    net.connect(1, 2);
    net.settle();
    // So much is on its way to 1 that the answer has to wait.
    net.nodes[1].syncs = false;
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in 0..FIRST_WINDOW_DOCUMENTS {
            transaction.insert("plants", &format!("moss {id}"), &[("light", int(1))]);
        }
    });
    net.settle();
    net.advance(TAKEN_DELAY_MS);
    net.settle();
    assert!(net.kinds.contains_key(&TAKEN) && !net.kinds.contains_key(&COMPARED));
    net.model(0).commit(now, |transaction| {
        for id in ["fern", "moss 1"] {
            assert!(transaction.set("plants", id, "turn", int(1)));
        }
    });
    net.settle();
    net.nodes[1].syncs = true;
    while net.step() || net.tick_due() {
        let turns = ["fern", "moss 1"].map(|id| net.model(1).field("plants", id, "turn"));
        assert_eq!(turns[0], turns[1], "a part of the transaction");
    }
    net.rest();
    assert_eq!(net.model(1).field("plants", "fern", "turn"), Some(int(1)));
    net.assert_equal(0, 1);
}

#[test]
fn what_was_taken_is_offered_again_if_the_subscription_ended_before_the_answer() {
    let mut net = Net::new(3);
    net.room = 2;
    net.subscribe(2, PLANTS);
    let bright = net.subscribe(1, BRIGHT);
    insert(&mut net, 0, "fern");
    net.connect(0, 2);
    net.rest();
    net.disconnect(0, 2);
    // What 0 answers with is long.
    let now = net.now;
    net.model(0).set(now, "plants", "fern", "light", int(2));
    net.model(0).set(now, "plants", "fern", "rings", Value::from(noise(10 * PART_BYTES, 1)));
    net.connect(0, 1);
    net.rest();
    net.connect(1, 2);
    net.settle();
    net.advance(TAKEN_DELAY_MS);
    while net.kinds.get(&PART).is_none_or(|parts| *parts < 3) {
        assert!(net.step(), "nothing is on its way");
    }
    net.subscribe(1, "SELECT * FROM plants WHERE light = 5");
    net.unsubscribe(1, bright);
    net.rest();
    assert!(net.failures(1).is_empty(), "{:?}", net.failures(1));
    assert_eq!(net.model(1).field("plants", "fern", "light"), Some(int(2)));
}

#[test]
fn what_does_not_fit_into_one_offer_is_in_the_next() {
    let mut net = with_an_old_copy_at_2(delete);
    let now = net.now;
    // Nothing of the first rows is offered, so that an offer ends in the middle of what is read at once.
    for id in 0..500 {
        net.model(1).insert(now, "pots", &format!("{id}"), &[]);
    }
    for id in 0..1_100 {
        insert(&mut net, 2, &format!("plant {id}"));
    }
    // Its row is the last.
    net.model(2).set(now, "plants", "fern", "water", int(1));
    net.connect(1, 2);
    for _ in 0..3 {
        net.rest();
    }
    assert_eq!(net.model(1).count(), 500 + 1_100 + 1);
    assert_eq!(net.model(1).visible("plants", "fern"), None);
}

#[test]
fn long_names_are_offered_in_several_messages() {
    const COUNT: u64 = 1_500;
    // An `_id` may take up to 16 KiB.
    let name = |id| noise(if id % 100 == 0 { 16_000 } else { 600 }, id);
    // What was taken, and what is announced on a lazy link.
    for is_lazy in [false, true] {
        let mut net = Net::new(3);
        net.subscribe(1, if is_lazy { PLANTS } else { BRIGHT });
        net.connect(0, 1);
        let (_, left) = net.connect(1, 2);
        net.settle();
        if is_lazy {
            let now = net.now;
            let crate::net::Node { replicator, model, .. } = &mut net.nodes[2];
            replicator.receive(left, &[0x0e, 0x02, 0x01], model, now);
        }
        for id in 0..COUNT {
            insert(&mut net, 2, &name(id));
        }
        for _ in 0..3 {
            net.rest();
        }
        assert!((0..3).all(|peer| net.failures(peer).is_empty()));
        assert_eq!(net.model(1).count() as u64, COUNT);
        let offers = net.kinds.get(if is_lazy { &OFFER } else { &TAKEN });
        assert!(offers.is_some_and(|offers| *offers > 2), "{offers:?} offers");
    }
}

#[test]
fn no_more_is_on_its_way_than_the_subscriber_takes_whatever_comes_together() {
    let mut net = Net::new(3);
    net.room = 2;
    net.subscribe(2, PLANTS);
    net.subscribe(1, BRIGHT);
    insert(&mut net, 0, "fern");
    let now = net.now;
    net.model(1).insert(now, "plants", "dusk", &[("light", int(0))]);
    net.connect(0, 2);
    net.rest();
    net.disconnect(0, 2);
    net.model(0).set(now, "plants", "fern", "light", int(2));
    let (_, right) = net.connect(0, 1);
    net.rest();
    net.connect(1, 2);
    net.settle();
    net.disconnect(1, 2);
    // From now on 1 acknowledges nothing. A large document is on its way to it, and many small ones arrive.
    net.nodes[1].syncs = false;
    let now = net.now;
    let rings = Value::from(noise(100 * PART_BYTES, 1));
    net.model(0).insert(now, "plants", "oak", &[("light", int(1)), ("rings", rings)]);
    for id in 0..WINDOW_BATCHES - 1 {
        let id = format!("small {id}");
        insert(&mut net, 0, &id);
        while net.model(1).visible("plants", &id).is_none() {
            assert!(net.step());
        }
    }
    // Something is offered to it, which it wants.
    net.model(0).insert(now, "plants", "dusk", &[("light", int(0))]);
    while !net.waiting((1, right)).contains(&OFFER) {
        assert!(net.step());
    }
    // Before it can say so, it asks for something else; and the large document is at its end.
    net.held.insert((1, right));
    net.advance(TAKEN_DELAY_MS);
    net.settle();
    assert!(net.kinds.contains_key(&TAKEN));
    net.room = 1_000;
    net.settle();
    net.held.clear();
    net.settle();
    assert!(net.failures(1).is_empty(), "{:?}", net.failures(1));
    net.nodes[1].syncs = true;
    net.rest();
    assert!(net.model(1).visible("plants", "oak").is_some());
    net.assert_equal(0, 1);
}

#[test]
fn an_interest_that_was_refused_for_a_while_begins_anew() {
    let mut net = with_an_old_copy_at_2(delete);
    net.subscribe(1, "SELECT * FROM pots WHERE light = 1");
    net.rest();
    net.disconnect(0, 1);
    net.model(0).set_local("plants", true);
    net.connect(0, 1);
    net.rest();
    net.connect(1, 2);
    net.rest();
    net.rest();
    assert!(net.model(1).visible("plants", "fern").is_some());
    net.disconnect(0, 1);
    net.model(0).set_local("plants", false);
    net.connect(0, 1);
    net.rest();
    net.rest();
    assert_eq!(net.model(1).visible("plants", "fern"), None);
}
