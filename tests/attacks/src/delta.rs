//! Deltas: what another peer says of a document.

use ditto_crdt::{
    Definitions, Delta, Document, Hlc, Path, Record, RunId, Sequence, SiteId, Stamp, Version, record,
};
use ditto_value::{Object, Value, ValueRef};

use crate::input::Input;

/// Two deltas: a length of two bytes, the first, then the second.
pub fn delta(data: &[u8]) {
    let mut input = Input(data);
    let (left, right) = (input.slice(), input.0);
    let left = decoded(left);
    let right = decoded(right);
    let (Some(left), Some(right)) = (left, right) else { return };
    let one = merged(&[&left, &right]);
    let other = merged(&[&right, &left, &right, &left]);
    assert_eq!(one.version(), other.version());
    assert_eq!(one.canonical(), other.canonical(), "merging depends on the order");
    let definitions = Definitions::default();
    assert_eq!(one.visible(&id(), &definitions), other.visible(&id(), &definitions));
    let mut own = written();
    own.merge(&left, Sequence(9));
    own.merge(&right, Sequence(10));
    let mut later = merged(&[&right, &left]);
    later.merge(&written().delta_since(Sequence::ZERO), Sequence(9));
    assert_eq!(own.canonical(), later.canonical(), "merging into a document depends on the order");
    for document in [one, other, own] {
        check(document);
    }
}

fn id() -> Value {
    Value::from("p1")
}

fn decoded(bytes: &[u8]) -> Option<Delta> {
    let received = record::receive(&id(), bytes, Sequence(1));
    let delta = Delta::decode(bytes);
    assert_eq!(received.is_ok(), delta.is_ok(), "two ways to receive a delta disagree");
    let delta = delta.ok()?;
    assert_eq!(delta.encode(), bytes, "a delta has one encoding");
    let document = merged(&[&delta]);
    let received = received.expect("as the delta");
    assert_eq!((received.version, &received.record), (document.version(), &record::encode(&document, &id())));
    Some(delta)
}

fn merged(deltas: &[&Delta]) -> Document {
    let mut document = Document::new();
    for (sequence, delta) in (1..).zip(deltas) {
        document.merge(delta, Sequence(sequence));
    }
    document
}

/// A document of ours, with every kind of write.
fn written() -> Document {
    let definitions = Definitions::default();
    let stamp = |millis| Stamp::new(Hlc::from_millis(millis), SiteId(7));
    let birth = ditto_crdt::Birth { stamp: stamp(1_000), run: RunId(3) };
    let care = Object::from([("light", 6), ("water", 2)]);
    let body = Object::from([("name", Value::from("fern")), ("care", care.into())]);
    let mut document = Document::new();
    document.insert(&body, &definitions, birth, Sequence(1)).expect("it is new");
    let light = Path::new(["care", "light"]).expect("a path");
    document.set(&light, &Value::from(7), &definitions, stamp(2_000), Sequence(2)).expect("it is alive");
    let slot = ditto_crdt::Slot { run: RunId(7), began: document.began() };
    let rings = Path::new(["rings"]).expect("a path");
    let kind = ditto_crdt::Kind::Counter;
    document
        .increment(&rings, kind, &Value::from(3), slot, &definitions, stamp(3_000), Sequence(3))
        .expect("it is alive");
    document
}

/// What must be true of every document, however it came to be. Then it is written to.
pub(crate) fn check(mut document: Document) {
    let hashes = document.entry_hashes();
    assert_eq!(document.version() == Version::NOTHING, hashes.is_empty());
    let known = hashes.into_iter().collect();
    assert!(document.delta_lacking(&known).is_empty(), "it lacks what it holds");
    let bytes = record::encode(&document, &id());
    let stored = Record::parse(&bytes).expect("it was written just now");
    assert_eq!((stored.version, stored.alive), (document.version(), document.is_alive()));
    let again = stored.document().expect("it was written just now");
    assert_eq!(record::encode(&again, &id()), bytes, "a record does not read back");
    assert_eq!(again.canonical(), document.canonical());
    if document.is_alive() {
        assert!(ValueRef::parse(stored.value.bytes()).is_ok(), "the stored value is not valid");
        let visible = document.visible(&id(), &Definitions::default()).map(Value::Object);
        assert_eq!(visible, Some(stored.value.to_value()));
        let _ = document.visible(&id(), &Definitions::new(true));
    }
    let canonical = document.canonical();
    assert_eq!(stored.delta_since(Sequence::ZERO).as_ref(), Ok(&canonical));
    assert_eq!(Delta::decode(&canonical).expect("it was written just now").encode(), canonical);
    write_to(&mut document);
}

/// A local write beats everything that is there, whoever stamped it, or says why it cannot.
fn write_to(document: &mut Document) {
    let definitions = Definitions::default();
    let newest = document.newest_stamp();
    let later = Stamp::new(Hlc(newest.0.saturating_add(1)).min(Hlc::MAX), SiteId(7));
    let sequence = Sequence(document.newest_sequence().0.saturating_add(1));
    let path = Path::new(["name"]).expect("a path");
    let value = Value::from("ours");
    match document.set(&path, &value, &definitions, later, sequence) {
        Ok(()) => {
            let visible = document.visible(&id(), &definitions).expect("it is alive");
            assert_eq!(visible.get("name"), Some(&value), "a write is invisible");
        }
        Err(_) => assert!(!document.is_alive() || later.time >= Hlc::MAX, "an ordinary write is refused"),
    }
    let sequence = Sequence(sequence.0.saturating_add(1));
    document.delete(sequence);
    assert!(!document.is_alive() && document.visible(&id(), &definitions).is_none());
}
