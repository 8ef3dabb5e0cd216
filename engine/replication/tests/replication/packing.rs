//! Messages that travel packed: between whom, and that nothing but the bytes depends on it.

use crate::net::{Net, int};
use ditto_value::Value;

const PLANTS: &str = "SELECT * FROM plants";
const COUNT: i64 = 200;

/// Documents that repeat each other, inserted by one peer.
fn plant(net: &mut Net, peer: usize) {
    let now = net.now;
    for number in 0..COUNT {
        let note = Value::from(format!("the plant of the place with the number {number}"));
        let id = format!("0f1e2d3c-4b5a-4978-8695-{number:012}");
        net.model(peer).insert(now, "plants", &id, &[("light", int(number)), ("note", note)]);
    }
}

/// A first sync from 0 to 1, peers of an older build being given; the bytes that it took.
fn first_sync(older: &[usize]) -> (Net, u64) {
    let mut net = Net::new(2);
    net.older = older.to_vec();
    plant(&mut net, 0);
    net.subscribe(1, PLANTS);
    let (left, right) = net.connect(0, 1);
    net.settle();
    net.assert_equal(0, 1);
    assert!(net.failures(0).is_empty() && net.failures(1).is_empty());
    assert_eq!(net.statistics(1, right).documents_received, COUNT as u64);
    assert_eq!(net.statistics(1, right).questions_asked, 0);
    if older.is_empty() {
        let (sent, received) = (net.statistics(0, left), net.statistics(1, right));
        assert_eq!(sent.bytes_sent, received.bytes_received);
        assert_eq!(sent.bytes_sent + received.bytes_sent, net.bytes, "what really passed");
    }
    let bytes = net.bytes;
    (net, bytes)
}

#[test]
fn a_first_sync_takes_a_quarter_of_the_bytes_between_peers_that_pack() {
    let (packed, few) = first_sync(&[]);
    let (plain, many) = first_sync(&[0, 1]);
    assert!(packed.packed.contains_key(&1), "the batch was packed");
    assert!(plain.packed.is_empty());
    assert!(4 * few < many, "{few} of {many} bytes");
}

#[test]
fn a_peer_that_does_not_say_that_it_unpacks_gets_nothing_packed() {
    // As subscriber: its greeting lacks the bits.
    let (subscriber, bytes) = first_sync(&[1]);
    assert_eq!(subscriber.packed, Default::default());
    assert_eq!(
        bytes,
        first_sync(&[0, 1]).1 + 2 - 14,
        "but for the bits of one greeting, and what the other one lets out"
    );
}

#[test]
fn each_direction_is_packed_for_itself() {
    let mut net = Net::new(2);
    net.older = vec![0];
    plant(&mut net, 0);
    net.subscribe(0, "SELECT * FROM trees");
    net.subscribe(1, PLANTS);
    let now = net.now;
    for number in 0..COUNT {
        net.model(1).insert(now, "trees", &format!("tree {number}"), &[("rings", int(number))]);
    }
    net.connect(0, 1);
    net.settle();
    net.assert_equal(0, 1);
    assert_eq!(net.packed.keys().copied().collect::<Vec<_>>(), [1], "only the one that said so");
}

#[test]
fn a_small_change_is_not_packed() {
    let (mut net, _) = first_sync(&[]);
    let before = net.packed.clone();
    let now = net.now;
    net.model(0).insert(now, "plants", "fern", &[("note", Value::from("fern ".repeat(60)))]);
    net.settle();
    net.assert_equal(0, 1);
    assert_eq!(net.packed, before);
}

#[test]
fn what_does_not_become_shorter_is_not_packed() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    let mut noise = 1_u64;
    let mut draw = || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) as u8
    };
    let now = net.now;
    let bytes: Vec<u8> = (0..10_000).map(|_| draw()).collect();
    net.model(0).insert(now, "plants", "fern", &[("pollen", Value::Bytes(bytes))]);
    net.settle();
    net.assert_equal(0, 1);
    assert_eq!(net.packed, Default::default());
}

#[test]
fn long_documents_are_packed_in_parts() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    let now = net.now;
    net.model(0).insert(now, "plants", "oak", &[("note", Value::from("ring ".repeat(200_000)))]);
    net.connect(0, 1);
    net.settle();
    net.assert_equal(0, 1);
    assert!(net.bytes < 100_000, "{} bytes for a million that repeat each other", net.bytes);
}

#[test]
fn checkpoints_outlive_the_upgrade_of_a_peer() {
    let (mut net, _) = first_sync(&[0, 1]);
    for upgraded in [vec![1], vec![], vec![0]] {
        net.restart(1);
        net.subscribe(1, PLANTS);
        net.outdated = upgraded;
        let (_, right) = net.connect(0, 1);
        net.rest();
        // When both have been upgraded, longer documents travel than before: what is held is compared, once.
        assert_eq!(net.statistics(1, right).documents_received, 0, "{:?}", net.outdated);
        assert!(!net.statistics(1, right).catching_up);
    }
}
