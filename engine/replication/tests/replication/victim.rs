//! A peer that gets bytes from a test, and the bytes that a test makes.

use crate::model::{Model, document_key};
use crate::net::{int, peer_id};
use crate::plants::PLANTS;
use ditto_replication::{Buffered, CloseReason, Event, LocalPeer, Replicator, SessionId, SubscriptionId};
use ditto_value::{Object, Value};

/// A subscriber with one open session, and an honest one with another peer.
pub struct Victim {
    pub model: Model,
    pub replicator: Replicator,
}

pub const BAD: SessionId = SessionId(1);

/// Kind of a question.
pub const QUESTION: u8 = 9;

impl Victim {
    pub fn new() -> Self {
        let mut model = Model::new(1);
        model.insert(1_000, "plants", "own", &[("light", int(1))]);
        model.sync();
        let mut replicator = Replicator::new(LocalPeer::new(peer_id(0), "database"));
        let subscribed =
            replicator.subscribe(SubscriptionId(1), PLANTS, &Object::default(), &mut model, 1_000);
        subscribed.expect("is understood");
        replicator.connected(BAD, peer_id(1), &mut model, 1_000);
        Self { model, replicator }
    }

    pub fn receive(&mut self, message: &[u8]) {
        self.replicator.receive(BAD, message, &mut self.model, 1_000);
        let durable = self.model.sync();
        self.replicator.durable(durable, &mut self.model, 1_000);
    }

    /// What it holds of what it was sent.
    pub fn buffered(&self) -> Buffered {
        self.replicator.buffered(BAD)
    }

    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.replicator.poll_transmit()).map(|(_, message)| message).collect()
    }

    pub fn failure(&mut self) -> Option<CloseReason> {
        std::iter::from_fn(|| self.replicator.poll_event()).find_map(|event| match event {
            Event::SessionFailed { reason, .. } => Some(reason),
            _ => None,
        })
    }

    /// Opens the session with an honest greeting.
    pub fn greet(&mut self) {
        self.greet_as(Model::new(2));
    }

    /// The same as somebody who holds something, and so do both then.
    pub fn greet_with_plants(&mut self) {
        let mut remote = Model::new(2);
        for model in [&mut self.model, &mut remote] {
            for i in 0..40 {
                let notes = Value::from("a plant with some notes ".repeat(20));
                model.insert(1_000, "plants", &format!("plant {i}"), &[("light", int(i)), ("notes", notes)]);
            }
            model.sync();
        }
        self.greet_as(remote);
        self.sent();
    }

    pub fn greet_as(&mut self, model: Model) {
        self.receive(&hello_of(model));
        assert!(self.replicator.is_ready(BAD));
    }
}

pub fn greeted() -> Victim {
    let mut victim = Victim::new();
    victim.greet();
    victim.sent();
    victim
}

/// A subscriber that is told everything from 0.
pub fn subscribed() -> Victim {
    let mut victim = greeted();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    victim.sent();
    victim
}

/// The same, which waits for the answer to its question 1.
pub fn asked() -> Victim {
    let mut victim = subscribed();
    victim.receive(&batch(1, [lacking(1)]));
    assert!(victim.sent().iter().any(|sent| sent[0] == QUESTION));
    victim
}

/// A publisher of the interest 1 of the other peer.
pub fn publishes() -> Victim {
    let mut victim = greeted();
    let interest = [number(1, 1), bytes(2, PLANTS.as_bytes())].concat();
    victim.receive(&message(2, &[number(1, 1), bytes(2, &interest)]));
    victim.sent();
    victim
}

/// One that has answered question 1, and takes what the answer did not know.
pub fn invited() -> Victim {
    let mut victim = greeted();
    let own = document_key("plants", "own");
    victim.receive(&message(QUESTION, &[number(1, 1), bytes(2, b"plants"), bytes(3, &own.id)]));
    assert!(victim.sent().iter().any(|sent| sent[0] == 10));
    victim
}

/// One that has offered a document.
pub fn offered() -> Victim {
    let mut victim = Victim::new();
    let mut remote = Model::new(2);
    remote.insert(1_000, "plants", "moss", &[]);
    remote.sync();
    victim.greet_as(remote);
    let interest = [number(1, 1), bytes(2, b"SELECT * FROM plants WHERE light = 2")].concat();
    victim.receive(&message(2, &[number(1, 1), bytes(2, &interest)]));
    assert!(victim.sent().iter().any(|sent| sent[0] == 4));
    victim
}

pub fn ends_in_words(victim: &mut Victim, words: &str, what: &str) {
    let Some(CloseReason::Violation(violation)) = victim.failure() else { panic!("{what}: it is taken") };
    assert!(violation.to_string().contains(words), "{what}: {violation}");
    let farewell = victim.sent().pop().unwrap_or_default();
    assert!(String::from_utf8_lossy(&farewell).contains(words), "{what}: the other peer is told");
}

/// A field of the wire format: number, and a number or bytes.
pub fn number(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for mut part in [field << 1, value] {
        while part >= 0x80 {
            out.push(part as u8 | 0x80);
            part >>= 7;
        }
        out.push(part as u8);
    }
    out
}

pub fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    let mut out = number(field, value.len() as u64);
    out[0] |= 1;
    out.extend_from_slice(value);
    out
}

pub fn message(kind: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    std::iter::once(kind).chain(fields.iter().flatten().copied()).collect()
}

/// A packed message that is said to have so many bytes.
pub fn packed(length: u64, block: &[u8]) -> Vec<u8> {
    message(13, &[number(1, length), bytes(2, block)])
}

/// A block of LZ4 without matches.
pub fn literals(message: &[u8]) -> Vec<u8> {
    let mut block = vec![message.len().min(15) as u8 * 16];
    if let Some(mut more) = message.len().checked_sub(15) {
        while more >= 255 {
            block.push(255);
            more -= 255;
        }
        block.push(more as u8);
    }
    block.extend_from_slice(message);
    block
}

pub fn packed_whole(message: &[u8]) -> Vec<u8> {
    packed(message.len() as u64, &literals(message))
}

/// A greeting that is right in itself.
pub fn hello() -> Vec<u8> {
    hello_of(Model::new(2))
}

/// The greeting of somebody who holds this.
pub fn hello_of(mut model: Model) -> Vec<u8> {
    let mut remote = Replicator::new(LocalPeer::new(peer_id(1), "database"));
    remote.connected(BAD, peer_id(0), &mut model, 1_000);
    remote.poll_transmit().expect("a greeting").1
}

/// The first number of a field that is a number, at the top level of a message.
pub fn read(message: &[u8], field: u64) -> Option<u64> {
    let mut rest = message.get(1..)?;
    let varint = |rest: &mut &[u8]| {
        let end = rest.iter().position(|byte| *byte < 0x80)?;
        let value = rest[..=end].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
        *rest = &rest[end + 1..];
        Some(value)
    };
    while !rest.is_empty() {
        let (tag, value) = (varint(&mut rest)?, varint(&mut rest)?);
        match tag & 1 {
            0 if tag >> 1 == field => return Some(value),
            0 => {}
            _ => rest = &rest[value as usize..],
        }
    }
    None
}

/// The name of a document that there is not.
pub fn id(place: u64) -> Vec<u8> {
    document_key("plants", &format!("fern {place}")).id.to_vec()
}

/// A document of a batch that does not fit.
pub fn lacking(place: u64) -> Vec<u8> {
    bytes(2, &[number(1, 1), bytes(2, &id(place)), bytes(4, &[1; 16]), bytes(5, &[1, 0])].concat())
}

pub fn end(run: u64) -> Vec<u8> {
    bytes(3, &[number(1, 1), bytes(2, &run.to_le_bytes()), number(3, 5)].concat())
}

/// A batch with its end.
pub fn batch(batch: u64, documents: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    message(6, &std::iter::once(number(1, batch)).chain(documents).chain([end(7)]).collect::<Vec<_>>())
}

/// The first of all that the other peer wants, with a field more.
pub fn interest(field: Vec<u8>) -> Vec<u8> {
    let all = [number(1, 1), bytes(2, PLANTS.as_bytes()), field].concat();
    message(2, &[number(1, 1), bytes(2, &all)])
}
