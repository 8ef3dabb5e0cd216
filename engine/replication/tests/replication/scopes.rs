//! Collections that do not travel: neither side lets them through, and nothing is skipped when that changes.

use crate::model::document_key;
use crate::net::{Net, int};
use ditto_replication::{CloseReason, Event};

const PLANTS: &str = "SELECT * FROM plants";
const BEDS: &str = "SELECT * FROM beds";

fn insert(net: &mut Net, peer: usize, collection: &str, id: &str) {
    let now = net.now;
    net.model(peer).insert(now, collection, id, &[("light", int(1))]);
}

fn has(net: &mut Net, peer: usize, collection: &str, id: &str) -> bool {
    net.model(peer).visible(collection, id).is_some()
}

/// Two peers that subscribe to two collections.
fn net() -> Net {
    let mut net = Net::new(2);
    for peer in [0, 1] {
        for query in [PLANTS, BEDS] {
            net.subscribe(peer, query);
        }
    }
    net
}

#[test]
fn the_sender_tells_nothing_of_a_local_collection() {
    let mut net = net();
    net.model(0).set_local("plants", true);
    insert(&mut net, 0, "plants", "fern");
    insert(&mut net, 0, "beds", "east");
    net.connect(0, 1);
    net.settle();
    assert!(!has(&mut net, 1, "plants", "fern") && has(&mut net, 1, "beds", "east"));
    assert!(net.failures(1).is_empty());
    let refused = |event: &Event| matches!(event, Event::SubscriptionRefused { reason, .. } if reason.contains("plants"));
    assert!(net.nodes[1].events.iter().any(refused), "{:?}", net.nodes[1].events);
}

#[test]
fn the_receiver_takes_nothing_of_a_local_collection() {
    let mut net = net();
    net.model(1).set_local("plants", true);
    insert(&mut net, 0, "plants", "fern");
    insert(&mut net, 0, "beds", "east");
    insert(&mut net, 1, "plants", "moss");
    net.connect(0, 1);
    net.settle();
    assert!(!has(&mut net, 1, "plants", "fern") && has(&mut net, 1, "beds", "east"));
    assert!(!has(&mut net, 0, "plants", "moss"));
}

#[test]
fn a_change_of_scopes_ends_the_session_before_anything_is_told_by_the_old_ones() {
    let mut net = net();
    insert(&mut net, 0, "plants", "fern");
    net.connect(0, 1);
    net.settle();
    assert!(has(&mut net, 1, "plants", "fern"));
    net.model(0).set_local("plants", true);
    insert(&mut net, 0, "plants", "secret");
    net.settle();
    assert!(!has(&mut net, 1, "plants", "secret"));
    let ended =
        |event: &&Event| matches!(event, Event::SessionFailed { reason: CloseReason::ScopesChanged, .. });
    assert_eq!(net.failures(0).iter().filter(|event| ended(event)).count(), 1);

    // By the new ones the other collection goes on, this one does not.
    net.disconnect(0, 1);
    net.connect(0, 1);
    insert(&mut net, 0, "beds", "east");
    net.settle();
    assert!(!has(&mut net, 1, "plants", "secret") && has(&mut net, 1, "beds", "east"));

    // What was written meanwhile is not passed by the checkpoint of before.
    net.model(0).set_local("plants", false);
    net.settle();
    net.disconnect(0, 1);
    net.connect(0, 1);
    net.settle();
    assert!(has(&mut net, 1, "plants", "secret"));
    net.assert_equal(0, 1);
}

#[test]
fn questions_about_a_local_collection_are_answered_as_if_it_were_empty() {
    let mut net = net();
    insert(&mut net, 1, "plants", "fern");
    net.model(1).set_local("plants", true);
    let (_, session) = net.connect(0, 1);
    net.settle();
    let key = document_key("plants", "fern");
    // Question 1 about the document, by somebody who knows nothing of it.
    let mut question = vec![9, 0x02, 1, 0x05, 6];
    question.extend_from_slice(b"plants");
    question.extend_from_slice(&[0x07, key.id.len() as u8]);
    question.extend_from_slice(&key.id);
    let ask = |net: &mut Net| {
        let (now, node) = (net.now, &mut net.nodes[1]);
        node.replicator.receive(session, &question, &mut node.model, now);
        node.replicator.poll_transmit().expect("an answer").1
    };
    // The rest of question 1: nothing is held.
    assert_eq!(ask(&mut net), [10, 0x02, 1]);

    let mut net = self::net();
    insert(&mut net, 1, "plants", "fern");
    net.connect(0, 1);
    net.settle();
    assert!(ask(&mut net).len() > 20, "of a collection that travels it is answered");
}
