//! Peers of a build to come: they speak further versions, and their messages have fields and kinds that nobody knows here.
//! Nothing becomes of that but what becomes of a session without it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::net::{Net, int};
use ditto_crdt::Version;
use ditto_replication::limits::PART_BYTES;
use ditto_replication::{CloseReason, DocumentKey, Event};
use ditto_value::Value;

const PLANTS: &str = "SELECT * FROM plants";
const BRIGHT: &str = "SELECT * FROM plants WHERE light = 1";

/// Kinds of messages.
const HELLO: u8 = 1;
const PART: u8 = 7;
const PACKED: u8 = 13;
const KINDS: std::ops::RangeInclusive<u8> = 1..=20;

/// Where there are structures in messages: the kind, and the numbers of the fields that lead there.
const STRUCTURES: [&[u64]; 10] =
    [&[1, 7], &[1, 11], &[2, 2], &[2, 2, 4], &[3, 3], &[4, 2], &[6, 2], &[6, 3], &[8, 2], &[15, 2]];

/// Those that were given fields.
type Places = Rc<RefCell<BTreeSet<Vec<u64>>>>;

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 1);
    put_varint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_varint(out, field << 1 | 1);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let length = bytes.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let (varint, rest) = bytes.split_at(length);
    *bytes = rest;
    varint.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

/// Fields with their bytes; the content of one that is a number is that number.
fn fields(mut rest: &[u8]) -> Vec<(u64, Result<u64, &[u8]>)> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (tag, value) = (varint(&mut rest), varint(&mut rest));
        let content = if tag & 1 == 0 {
            Ok(value)
        } else {
            let (content, after) = rest.split_at(value as usize);
            rest = after;
            Err(content)
        };
        fields.push((tag >> 1, content));
    }
    fields
}

/// A structure and all that are in it, each with a field more before and after the others.
fn with_more(structure: &[u8], place: &[u64], places: &Places) -> Vec<u8> {
    places.borrow_mut().insert(place.to_vec());
    let mut out = Vec::new();
    put_number(&mut out, 100, u64::MAX);
    for (field, content) in fields(structure) {
        let place = [place, &[field]].concat();
        match content {
            Ok(number) => put_number(&mut out, field, number),
            Err(inner) if STRUCTURES.contains(&&*place) => {
                put_bytes(&mut out, field, &with_more(inner, &place, places));
            }
            Err(bytes) => put_bytes(&mut out, field, bytes),
        }
    }
    put_bytes(&mut out, 101, b"nobody knows what this means");
    out
}

fn packed(message: &[u8]) -> Vec<u8> {
    let mut out = vec![PACKED];
    put_number(&mut out, 1, message.len() as u64);
    put_bytes(&mut out, 2, &lz4_flex::block::compress(message));
    put_bytes(&mut out, 101, b"nor this");
    out
}

/// A message with unknown fields wherever there may be some.
fn message_with_more(message: &[u8], places: &Places) -> Vec<u8> {
    let (&kind, rest) = message.split_first().expect("an honest message");
    if kind != PACKED {
        return [&[kind][..], &with_more(rest, &[u64::from(kind)], places)].concat();
    }
    let [(1, Ok(length)), (2, Err(block))] = fields(rest)[..] else { panic!("no honest message") };
    let message = lz4_flex::block::decompress(block, length as usize).expect("it was packed");
    packed(&message_with_more(&message, places))
}

/// Messages of kinds that there are not.
fn unknown(number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, [100, 300, 1 << 40][number % 3]);
    if number.is_multiple_of(2) {
        put_number(&mut out, 1, 1);
        put_bytes(&mut out, 2, b"who knows");
    }
    if number.is_multiple_of(5) { packed(&out) } else { out }
}

/// The messages of these peers have unknown fields, and there are others between them that mean nothing.
fn speak_of_the_future(net: &mut Net, peers: &[usize], places: &Places) {
    let (peers, places, mut count) = (peers.to_vec(), Rc::clone(places), 0);
    net.alter = Some(Box::new(move |from, message| {
        if !peers.contains(&from) {
            return vec![message];
        }
        count += 1;
        vec![message_with_more(&message, &places), unknown(count)]
    }));
}

/// These peers say that they speak a second version as well.
fn speak_a_further_version(net: &mut Net, peers: &[usize]) {
    let peers = peers.to_vec();
    net.alter = Some(Box::new(move |from, mut message| {
        if peers.contains(&from) && message[0] == HELLO {
            assert_eq!(message[..5], [HELLO, 2, 1, 4, 1], "versions 1 to 1");
            message[4] = 2;
        }
        vec![message]
    }));
}

fn insert(net: &mut Net, peer: usize, id: &str, light: i64) {
    let now = net.now;
    let notes = Value::from("grows in the shade of others, wants little water, and is never in a hurry");
    net.model(peer).insert(now, "plants", id, &[("light", int(light)), ("notes", notes)]);
}

fn set(net: &mut Net, peer: usize, id: &str, field: &str, value: i64) {
    let now = net.now;
    assert!(net.model(peer).set(now, "plants", id, field, value));
}

fn delete(net: &mut Net, peer: usize, id: &str) {
    let now = net.now;
    assert!(net.model(peer).delete(now, "plants", id));
}

/// Both subscribe to everything, and hold parts of the same documents. Then they are apart and meet again.
fn exchange(net: &mut Net) {
    for peer in 0..2 {
        net.subscribe(peer, PLANTS);
        for id in 0..40 {
            insert(net, peer, &format!("plant {}", id + 30 * peer), 1);
        }
        let now = net.now;
        let rings = Value::from("ring ".repeat(PART_BYTES / 2));
        net.model(peer).insert(now, "plants", &format!("oak {peer}"), &[("rings", rings)]);
    }
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.model(0).count(), 72);
    set(net, 0, "plant 7", "light", 2);
    delete(net, 1, "plant 8");
    net.rest();
    net.assert_equal(0, 1);
    net.disconnect(0, 1);
    for (peer, id) in [(0, "plant 1"), (0, "plant 2"), (1, "plant 3")] {
        set(net, peer, id, "light", 5);
    }
    let (left, right) = net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    let sent = [net.statistics(0, left).documents_sent, net.statistics(1, right).documents_sent];
    assert_eq!(sent, [2, 1], "it goes on where it was");
    // Of an interest that has rested, the checkpoint lies before what was seen meanwhile.
    let pots = net.subscribe(1, "SELECT * FROM pots");
    net.rest();
    net.unsubscribe(1, pots);
    set(net, 0, "plant 4", "light", 5);
    net.rest();
    net.disconnect(0, 1);
    net.subscribe(1, "SELECT * FROM pots");
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
}

/// One loses the connection in the middle of a long document, does not take another one, and gives back what it knows itself of a
/// third one, which nobody subscribes to.
fn a_part(net: &mut Net) {
    let now = net.now;
    net.room = 2;
    net.model(1).refuses = Some(b"weed".to_vec());
    net.model(0).insert(now, "plants", "fern", &[("light", int(1))]);
    net.model(1).insert(now, "plants", "fern", &[("water", int(1))]);
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    insert(net, 0, "weed", 1);
    net.rest();
    let rings = Value::from("ring ".repeat(PART_BYTES));
    net.model(0).insert(now, "plants", "oak", &[("rings", rings)]);
    let parts = |net: &Net| net.kinds.get(&PART).copied().unwrap_or_default();
    while parts(net) < 3 {
        assert!(net.step(), "no parts come");
    }
    net.disconnect(0, 1);
    net.connect(0, 1);
    net.rest();
    assert!(parts(net) < 8, "it goes on behind the parts that came");
    assert!(net.model(1).visible("plants", "oak").is_some());
    assert_eq!(net.model(1).visible("plants", "weed"), None);
    assert_eq!(net.model(0).field("plants", "fern", "water"), Some(int(1)));
}

/// Two peers that hold much the same and do not know it, and of which one has a filter.
fn reconciliation(net: &mut Net) {
    for id in 0..200 {
        insert(net, 0, &format!("plant {id}"), 1 + id % 2);
    }
    net.model(0).sync();
    net.nodes[1].model = net.nodes[0].model.twin(2);
    for id in 0..30 {
        set(net, 0, &format!("plant {id}"), "light", 3);
        set(net, 1, &format!("plant {}", id + 20), "water", 1);
    }
    net.subscribe(0, PLANTS);
    net.subscribe(1, BRIGHT);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
}

/// One with a filter gets an old copy of a document from somebody, the deletion of which it was not told by somebody else.
fn taken(net: &mut Net) {
    net.subscribe(2, PLANTS);
    net.subscribe(1, BRIGHT);
    insert(net, 0, "fern", 1);
    net.connect(0, 2);
    net.rest();
    net.disconnect(0, 2);
    delete(net, 0, "fern");
    net.connect(0, 1);
    net.rest();
    net.connect(1, 2);
    net.rest();
    assert_eq!(net.model(1).visible("plants", "fern"), None);
    net.assert_equal(0, 1);
}

/// Three peers of which each is linked with the others, until an author is gone and back and one has evicted.
fn mesh(net: &mut Net) {
    for peer in 0..3 {
        net.subscribe(peer, PLANTS);
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        net.connect(a, b);
    }
    net.settle();
    for id in 0..20 {
        insert(net, id % 3, &format!("plant {id}"), 1);
        for _ in 0..15 {
            net.settle();
            net.advance(20);
        }
    }
    net.disconnect(0, 1);
    set(net, 0, "plant 0", "light", 2);
    set(net, 1, "plant 0", "water", 2);
    net.rest();
    net.model(2).evict("plants", "plant 1");
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    net.assert_equal(1, 2);
}

/// One keeps the collection at home from some moment on.
fn farewell(net: &mut Net) {
    net.subscribe(1, PLANTS);
    insert(net, 0, "fern", 1);
    net.connect(0, 1);
    net.rest();
    net.model(0).set_local("plants", true);
    insert(net, 0, "moss", 1);
    net.settle();
    let is_told = |event: &&Event| matches!(event, Event::SessionFailed { reason: CloseReason::Remote(reason), .. } if reason.contains("scopes"));
    assert_eq!(net.failures(1).into_iter().filter(is_told).count(), 1, "{:?}", net.failures(1));
    net.disconnect(0, 1);
    for node in &mut net.nodes {
        node.events.clear();
    }
}

/// What three peers hold in the end, and how many messages of which kinds there were.
fn play(
    scenario: fn(&mut Net),
    prepare: impl FnOnce(&mut Net),
) -> (Vec<BTreeMap<DocumentKey, Version>>, BTreeMap<u8, usize>) {
    let mut net = Net::new(3);
    prepare(&mut net);
    scenario(&mut net);
    for peer in 0..3 {
        assert!(net.failures(peer).is_empty(), "{:?}", net.failures(peer));
    }
    net.kinds.retain(|kind, _| KINDS.contains(kind));
    (net.nodes.iter().map(|node| node.model.versions()).collect(), net.kinds)
}

const SCENARIOS: [fn(&mut Net); 6] = [exchange, a_part, reconciliation, taken, mesh, farewell];

#[test]
fn with_a_peer_that_speaks_a_further_version_as_well_the_first_one_is_spoken() {
    for scenario in SCENARIOS {
        let plain = play(scenario, |_| {});
        for newer in [&[0][..], &[1], &[0, 1, 2]] {
            assert_eq!(play(scenario, |net| speak_a_further_version(net, newer)), plain);
        }
    }
}

#[test]
fn fields_and_kinds_of_the_future_change_nothing_wherever_they_are() {
    let places = Places::default();
    for scenario in SCENARIOS {
        let plain = play(scenario, |_| {});
        for newer in [&[0][..], &[1], &[2], &[0, 1, 2]] {
            let strange = play(scenario, |net| speak_of_the_future(net, newer, &places));
            assert_eq!(strange, plain, "the same documents, and as many messages of each kind");
        }
    }
    let kinds = KINDS.filter(|kind| *kind != PACKED).map(|kind| vec![u64::from(kind)]);
    let all: BTreeSet<Vec<u64>> = kinds.chain(STRUCTURES.map(<[u64]>::to_vec)).collect();
    assert_eq!(*places.borrow(), all, "none is left out");
}
