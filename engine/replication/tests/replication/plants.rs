//! Peers that keep documents about plants.

use crate::net::{Net, int};
use ditto_replication::SessionId;
use ditto_value::Value;

pub const PLANTS: &str = "SELECT * FROM plants";

/// Two peers that both subscribe to everything, connected.
pub fn pair() -> (Net, SessionId, SessionId) {
    let mut net = Net::new(2);
    net.subscribe(0, PLANTS);
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    net.settle();
    (net, left, right)
}

pub fn insert(net: &mut Net, peer: usize, id: &str, fields: &[(&str, i64)]) {
    let now = net.now;
    let fields: Vec<(&str, Value)> = fields.iter().map(|(name, value)| (*name, int(*value))).collect();
    net.model(peer).insert(now, "plants", id, &fields);
}

pub fn set(net: &mut Net, peer: usize, id: &str, field: &str, value: i64) {
    let now = net.now;
    assert!(net.model(peer).set(now, "plants", id, field, value));
}
