//! Who is slow or busy is waited for.

use crate::net::Net;
use crate::plants::{PLANTS, insert};
use ditto_replication::limits::{ANSWER_TIMEOUT_MS, WINDOW_DOCUMENTS};
use ditto_replication::{SessionId, Sizes};
use ditto_value::Value;

/// Delivers everything over a channel that takes so many bytes a second.
fn deliver_slowly(net: &mut Net, bytes_per_second: u64) {
    loop {
        let before = net.bytes;
        if !net.step() && !net.tick_due() {
            return;
        }
        net.advance((net.bytes - before) * 1_000 / bytes_per_second);
    }
}

#[test]
fn nobody_loses_patience_with_who_is_busy_sending() {
    let mut net = Net::new(2);
    net.subscribe(0, "SELECT * FROM plants WHERE light = 1");
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    // What 1 offers is answered after a commit that takes longer than anybody is waited for.
    let now = net.now;
    let mut state = 1_u64;
    net.model(0).commit(now, |transaction| {
        for id in 0..70 {
            let letters = (0..100_000).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'0' + (state >> 58) as u8)
            });
            transaction.insert(
                "plants",
                &format!("plant {id}"),
                &[("notes", Value::String(letters.collect()))],
            );
        }
    });
    insert(&mut net, 1, "dark", &[("light", 0)]);
    deliver_slowly(&mut net, 50_000);
    assert!(net.now - now > 2 * ANSWER_TIMEOUT_MS);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty(), "{:?}", net.failures(1));
    assert_eq!(net.model(1).count(), 71);
}

#[test]
fn who_was_busy_itself_gives_others_their_time_again() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    insert(&mut net, 0, "fern", &[("light", 1)]);
    let (left, right) = net.connect(0, 1);
    net.rest();
    // Both change the same, so that one asks the other; nothing arrives there.
    net.held.insert((0, left));
    let now = net.now;
    net.model(1).set(now, "plants", "fern", "rings", 1);
    net.model(0).set(now, "plants", "fern", "light", 2);
    net.settle();
    net.advance(ANSWER_TIMEOUT_MS - 1);
    assert!(net.nodes[1].replicator.is_ready(right));
    // Its next call comes a minute late.
    net.advance(1 + ANSWER_TIMEOUT_MS);
    assert!(net.nodes[1].replicator.is_ready(right), "the answer may be among what it has not read");
    net.advance(ANSWER_TIMEOUT_MS - 1);
    assert!(net.nodes[1].replicator.is_ready(right));
    net.advance(1);
    net.collect_events();
    assert!(!net.nodes[1].replicator.is_ready(right));
    assert_eq!(net.failures(1).len(), 1);
}

/// Delivers everything, to each end one message in 100 milliseconds.
fn deliver_by_turns(net: &mut Net, (left, right): (SessionId, SessionId)) {
    loop {
        let mut is_busy = false;
        for other in [(1, right), (0, left)] {
            net.held = [other].into();
            is_busy |= net.step();
        }
        net.held.clear();
        if !is_busy && !net.tick_due() {
            return;
        }
        net.advance(100);
    }
}

/// Two peers that have changed the same 1,000 plants since they met, each in one transaction. 1 subscribes to them, and will ask
/// about each. It subscribes to large pots as well.
fn two_that_changed_much() -> Net {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    net.subscribe(1, "SELECT * FROM pots WHERE size = 2");
    let ids: Vec<String> = (0..1_000).map(|number| format!("fern {number}")).collect();
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        ids.iter().for_each(|id| transaction.insert("plants", id, &[]));
    });
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    for (peer, field) in [(0, "light"), (1, "water")] {
        net.model(peer).commit(now, |transaction| {
            assert!(ids.iter().all(|id| transaction.set("plants", id, field, Value::from(1))));
        });
    }
    net
}

#[test]
fn nobody_loses_patience_with_who_is_busy_answering() {
    let mut net = two_that_changed_much();
    let (began, sessions) = (net.now, net.connect(0, 1));
    deliver_by_turns(&mut net, sessions);
    assert!(net.now - began > ANSWER_TIMEOUT_MS, "some wait for longer than anybody is waited for");
    assert_eq!((net.failures(0), net.failures(1)), (Vec::new(), Vec::new()));
    assert_eq!(net.statistics(1, sessions.1).questions_asked, 1_000);
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn nobody_loses_patience_with_who_is_busy_asking() {
    let mut net = two_that_changed_much();
    net.restart_with(0, Sizes { first_window_documents: WINDOW_DOCUMENTS, ..Sizes::default() });
    // What does not match is offered, and the answer comes behind 1,000 questions.
    let now = net.now;
    net.model(0).insert(now, "pots", "clay", &[("size", Value::from(1))]);
    let sessions = net.connect(0, 1);
    deliver_by_turns(&mut net, sessions);
    assert_eq!((net.failures(0), net.failures(1)), (Vec::new(), Vec::new()));
    assert_eq!(net.statistics(1, sessions.1).questions_asked, 1_000);
}
