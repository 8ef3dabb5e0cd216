//! What is told ahead of the walk may be a part of a transaction, of which the rest comes later.

use crate::net::int;
use crate::plants::{PLANTS, set};
use crate::transactions::{is_torn, peers, until_torn};
use ditto_replication::Sizes;
use ditto_value::Value;

#[test]
fn what_was_told_behind_a_large_document_is_whole_only_when_all_is_told_that_is_durable_by_then() {
    let mut net = peers(3);
    // Batches are so short that the rest of a transaction comes some batches after its beginning.
    net.restart_with(0, Sizes { batch_documents: 5, ..Sizes::default() });
    net.subscribe(0, PLANTS);
    let now = net.now;
    net.model(0).commit(now, |transaction| {
        for id in ["left", "right"] {
            transaction.insert("plants", id, &[("turn", int(1))]);
        }
    });
    for id in 0..30 {
        net.model(0).insert(now, "plants", &format!("other {id}"), &[]);
    }
    set(&mut net, 0, "right", "wind", 1);
    let (_, at_2) = net.connect(1, 2);
    net.rest();
    // A large document is under way to 2, which does not read on.
    net.held.insert((2, at_2));
    net.room = 1;
    let now = net.now;
    net.model(1).insert(now, "plants", "tree", &[("rings", Value::from("r".repeat(400_000)))]);
    net.settle();
    // 1 has a part of the transaction, and tells it behind the large document.
    let (_, right) = net.connect(0, 1);
    until_torn(&mut net, 1);
    net.held.insert((1, right));
    net.settle();
    assert!(is_torn(&mut net, 1));
    // It has the rest, which is not durable, as the last part of the large document leaves …
    net.nodes[1].syncs = false;
    net.held.remove(&(1, right));
    net.settle();
    assert!(!is_torn(&mut net, 1));
    net.room = 1_000;
    assert!(!net.step(), "nobody reads");
    // … and it is durable when the walk comes by behind that: nothing is in part here any more, and something is still to be told.
    net.nodes[1].syncs = true;
    net.step();
    net.held.clear();
    let mut was_torn = false;
    while net.step() || net.tick_due() {
        was_torn |= is_torn(&mut net, 2);
        assert!(!is_torn(&mut net, 2) || net.statistics(2, at_2).catching_up);
    }
    assert!(was_torn && !is_torn(&mut net, 2));
    net.rest();
    net.assert_equal(1, 2);
    assert!(!net.statistics(2, at_2).catching_up);
}
