//! What it costs two peers that hold much the same to become equal: without checkpoints, both subscribing to everything.

use crate::net::{Net, int};
use ditto_replication::Sizes;
use ditto_value::Value;

/// Where the differences are in the order of ids and of the change log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// Side by side.
    Clustered,
    /// Everywhere.
    Scattered,
}

#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Bytes of all messages, both ways.
    pub bytes: u64,
    /// Documents sent, both ways.
    pub documents: u64,
    /// Ranges of names, in both directions together.
    pub ranges: u64,
}

fn id(number: usize) -> String {
    format!("plant {number:06}")
}

/// So many documents, of which so many were changed, on the one side and on the other by turns. `older`: without
/// reconciliation.
pub fn cost(documents: usize, differences: usize, spread: Spread, older: bool) -> Cost {
    let mut net = Net::new(2);
    net.older = if older { vec![0, 1] } else { Vec::new() };
    cost_of(net, documents, differences, spread)
}

/// The same of scattered differences, if no more documents than `at_once` are reconciled at once.
pub fn cost_in_ranges(documents: usize, differences: usize, at_once: usize) -> Cost {
    let mut net = Net::new(2);
    for peer in 0..2 {
        net.restart_with(peer, Sizes { reconciled_documents: at_once, ..Sizes::default() });
    }
    cost_of(net, documents, differences, Spread::Scattered)
}

fn cost_of(mut net: Net, documents: usize, differences: usize, spread: Spread) -> Cost {
    let now = net.now;
    for first in (0..documents).step_by(1_000) {
        net.model(0).commit(now, |transaction| {
            for number in first..documents.min(first + 1_000) {
                let notes =
                    format!("plant number {number} grows in the shade of others and wants little water");
                let care = [("light", int(number as i64 % 7)), ("notes", Value::from(notes.as_str()))];
                transaction.insert("plants", &id(number), &care);
            }
        });
    }
    net.nodes[1].model = net.nodes[0].model.twin(2);
    for difference in 0..differences {
        let number = match spread {
            Spread::Clustered => (documents / 2 + difference) % documents,
            Spread::Scattered => difference * documents / differences,
        };
        assert!(net.model(difference % 2).set(now, "plants", &id(number), "light", -1));
    }
    for peer in 0..2 {
        net.model(peer).sync();
        net.subscribe(peer, "SELECT * FROM plants");
    }
    let (left, right) = net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    let sent = net.statistics(0, left).documents_sent + net.statistics(1, right).documents_sent;
    let further: u64 = net.nodes.iter().map(|node| node.replicator.mechanisms().ranges).sum();
    Cost { bytes: net.bytes, documents: sent, ranges: 2 + further }
}
