//! A peer whose messages a test makes.

use std::collections::BTreeSet;
use std::sync::Arc;

use ditto_crdt::{Birth, Definitions, Document, Hlc, RunId, Sequence, SiteId, Stamp};
use ditto_mesh::{Authority, Identity};
use ditto_transport::{Channel, LinkDown, LinkEvent, LinkSender, TransportConfig, Transports};
use ditto_value::{Object, Value};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{PATIENCE, config};

/// Kinds of messages.
const HELLO: u8 = 1;
pub const INTERESTS: u8 = 2;
const WALK: u8 = 3;
const BATCH: u8 = 6;

/// Site and run that every greeting names.
const SITE: [u8; 8] = [7; 8];
const RUN: [u8; 8] = [9; 8];

/// A number in a message.
fn number(field: u8, value: u8) -> Vec<u8> {
    assert!(field < 64 && value < 0x80, "one byte each");
    vec![field << 1, value]
}

/// Bytes in a message, at most 127.
fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    assert!(field < 64 && length < 0x80, "one byte each");
    [&[field << 1 | 1, length], value].concat()
}

fn message(kind: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    [&[kind][..], &fields.concat()].concat()
}

/// A stranger's peer that says what it likes, always with the same key.
pub struct Stranger {
    stored: Vec<u8>,
    runtime: Runtime,
    database: Vec<u8>,
    pub runs: u8,
    /// The sequence up to which it claims to have something, less than 128.
    pub durable: u8,
}

/// A connection that the stranger has made.
pub struct Call<'s> {
    runtime: &'s Runtime,
    transports: Transports,
    events: mpsc::Receiver<LinkEvent>,
    outgoing: LinkSender,
}

impl Stranger {
    pub fn new(database_id: &str) -> Self {
        let hash = blake3::derive_key("ditto-replication 2026 database id 1", database_id.as_bytes());
        Self {
            stored: Identity::generate().unwrap(),
            runtime: Runtime::new().unwrap(),
            database: hash[..16].to_vec(),
            runs: 0,
            durable: 0,
        }
    }

    /// A greeting that claims to have seen runs that nobody has heard of, each up to the sequence of these bytes.
    pub fn hello(&mut self, sequences: &[&[u8]]) -> Vec<u8> {
        let mut fields =
            vec![number(1, 1), number(2, 1), bytes(3, &self.database), bytes(4, &SITE), bytes(5, &RUN)];
        fields.push(number(6, self.durable));
        for sequence in sequences {
            self.runs += 1;
            let run = [self.runs, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0];
            fields.push(bytes(7, &[&bytes(1, &run), *sequence].concat()));
        }
        message(HELLO, &fields)
    }

    /// Connects, greets, and hangs up once it is asked for documents.
    pub fn meet(&mut self, address: &str, sequences: &[&[u8]]) {
        let hello = self.hello(sequences);
        let mut call = self.call(address);
        call.send(hello);
        call.await_message(INTERESTS);
        call.hang_up();
    }

    /// Connects and greets; answers why the other side hangs up.
    pub fn refusal(&mut self, address: &str, sequences: &[&[u8]]) -> String {
        let hello = self.hello(sequences);
        let mut call = self.call(address);
        call.send(hello);
        let reason = call.await_end();
        call.hang_up();
        reason
    }

    /// Connects, and says nothing yet.
    pub fn call(&self, address: &str) -> Call<'_> {
        let authority = Authority::OfflinePlayground { database_id: config("".as_ref()).database_id };
        let identity = Arc::new(Identity::new(&self.stored, &authority).unwrap());
        let (sender, mut events) = mpsc::channel(64);
        let transports = Transports::new(identity, self.runtime.handle().clone(), sender);
        let connect_tcp = BTreeSet::from([address.to_owned()]);
        assert_eq!(transports.apply(TransportConfig { connect_tcp, ..TransportConfig::default() }), []);
        let outgoing = loop {
            match next(&self.runtime, &mut events) {
                LinkEvent::Up { outgoing, .. } => break outgoing,
                LinkEvent::Down { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        };
        Call { runtime: &self.runtime, transports, events, outgoing }
    }
}

/// A complete document of the first interest.
fn document(id: &str) -> Vec<u8> {
    let birth = Birth { stamp: Stamp::new(Hlc::from_millis(1_000), SiteId(7)), run: RunId(9) };
    let mut document = Document::new();
    document.insert(&Object::new(), &Definitions::default(), birth, Sequence(1)).unwrap();
    let delta = document.delta_since(Sequence::ZERO).encode();
    let id = ditto_value::key::of(&Value::from(id));
    [number(1, 1), bytes(2, &id), bytes(5, &delta), number(7, 1)].concat()
}

impl Call<'_> {
    /// Tells that it starts where it was asked to.
    pub fn walk(&self) {
        self.send(message(WALK, &[number(1, 1)]));
    }

    /// Tells of one document, up to this sequence, and not that this is all.
    pub fn batch(&self, batch: u8, id: &str, sequence: u8) {
        let end = [number(1, 1), bytes(2, &RUN), number(3, sequence)].concat();
        self.send(message(BATCH, &[number(1, batch), bytes(2, &document(id)), bytes(3, &end)]));
    }

    pub fn send(&self, message: Vec<u8>) {
        self.outgoing.try_send(Channel::Replication, message).unwrap();
    }

    /// Waits for a message of this kind.
    pub fn await_message(&mut self, kind: u8) {
        loop {
            match next(self.runtime, &mut self.events) {
                LinkEvent::Message { bytes, .. } if bytes.first() == Some(&kind) => return,
                LinkEvent::Down { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    }

    /// Waits until the other side hangs up, and answers why it does.
    pub fn await_end(&mut self) -> String {
        loop {
            match next(self.runtime, &mut self.events) {
                LinkEvent::Down { reason: LinkDown::ByPeer(reason), .. } => return reason,
                LinkEvent::Down { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    }

    pub fn hang_up(self) {
        drop(self.outgoing);
        self.runtime.block_on(self.transports.shutdown());
    }
}

fn next(runtime: &Runtime, events: &mut mpsc::Receiver<LinkEvent>) -> LinkEvent {
    runtime.block_on(async { timeout(PATIENCE, events.recv()).await }).expect("nothing happens").unwrap()
}
