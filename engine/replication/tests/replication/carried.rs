//! What the own stream is going to carry to a publisher is not offered to it as well, however long that takes.

use crate::net::Net;
use crate::plants::{PLANTS, insert};
use ditto_replication::SessionId;
use ditto_replication::limits::{FIRST_WINDOW_DOCUMENTS, MIN_RECONCILED_CHANGES, TAKEN_DELAY_MS};

const BRIGHT: &str = "SELECT * FROM plants WHERE light = 1";
/// Kinds of messages.
const TAKEN: u8 = 15;
const SYMBOLS: u8 = 16;

/// 1 asks 0 for a part, and has many documents from 2; 0 asks for all of them before that, or after it.
fn with_many_from_elsewhere(is_asked_before: bool) -> (Net, SessionId) {
    let mut net = Net::new(3);
    for number in 0..2 * FIRST_WINDOW_DOCUMENTS {
        insert(&mut net, 2, &format!("fern {number}"), &[("light", 1)]);
    }
    for number in 0..2 * MIN_RECONCILED_CHANGES {
        insert(&mut net, 0, &format!("moss {number}"), &[("light", 2)]);
    }
    net.subscribe(1, BRIGHT);
    if is_asked_before {
        net.subscribe(0, PLANTS);
    }
    let (left, _) = net.connect(0, 1);
    net.rest();
    if is_asked_before {
        net.held.insert((0, left));
    } else {
        net.disconnect(0, 1);
    }
    net.connect(1, 2);
    net.settle();
    assert_eq!(net.model(1).count(), 2 * FIRST_WINDOW_DOCUMENTS);
    (net, left)
}

#[test]
fn what_waits_in_the_stream_is_not_offered() {
    let (mut net, left) = with_many_from_elsewhere(true);
    net.advance(2 * TAKEN_DELAY_MS);
    net.settle();
    assert!(!net.waiting((0, left)).contains(&TAKEN), "not half of it has been told");
    net.held.clear();
    net.rest();
    assert_eq!(net.kinds.get(&TAKEN), None);
    assert!(
        (0..2 * FIRST_WINDOW_DOCUMENTS)
            .all(|number| { net.model(0).visible("plants", &format!("fern {number}")).is_some() })
    );
}

#[test]
fn what_is_about_to_be_compared_is_not_offered() {
    let (mut net, _) = with_many_from_elsewhere(false);
    net.disconnect(1, 2);
    net.subscribe(0, PLANTS);
    // 0 takes long to say what it holds.
    net.alter = Some(Box::new(|from, message| match message.first() {
        Some(&SYMBOLS) if from == 0 => Vec::new(),
        _ => vec![message],
    }));
    net.connect(0, 1);
    net.rest();
    assert!(net.model(0).visible("plants", "fern 1").is_none(), "it waits for that");
    assert_eq!(net.kinds.get(&TAKEN), None);
}
