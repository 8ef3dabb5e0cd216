//! Several models joined by perfect channels, with a clock that moves only when told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::Model;
use ditto_replication::limits::MAX_MESSAGE_BYTES;
use ditto_replication::{
    Event, LocalPeer, PeerId, Replica as _, Replicator, SessionId, Sizes, Statistics, SubscriptionId,
};
use ditto_value::{Object, Value};

pub struct Node {
    pub model: Model,
    pub replicator: Replicator,
    sizes: Sizes,
    pub events: Vec<Event>,
    /// Whether data become durable at once.
    pub syncs: bool,
    next_subscription: u64,
}

pub fn peer_id(number: usize) -> PeerId {
    PeerId([number as u8 + 1; 32])
}

fn replicator(number: usize, sizes: Sizes) -> Replicator {
    Replicator::new(LocalPeer { sizes, ..LocalPeer::new(peer_id(number), "database") })
}

/// What becomes of a message of a peer on its way.
pub type Alter = Box<dyn FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>>;

/// Peers and the channels between them.
pub struct Net {
    pub nodes: Vec<Node>,
    pub now: u64,
    /// By receiver: sender's session on the receiver's side, and messages.
    channels: BTreeMap<(usize, SessionId), VecDeque<Vec<u8>>>,
    /// Session at a peer → the peer and session at the other end.
    ends: BTreeMap<(usize, SessionId), (usize, SessionId)>,
    next_session: u64,
    foreign: Vec<(usize, SessionId, Vec<u8>)>,
    /// Sessions to which nothing is delivered at the moment.
    pub held: BTreeSet<(usize, SessionId)>,
    /// Peers whose greetings arrive without capabilities.
    pub older: Vec<usize>,
    /// Peers of a build without capabilities: theirs are not heard, and they hear of none.
    pub outdated: Vec<usize>,
    /// Changes all messages as they are sent.
    pub alter: Option<Alter>,
    /// Messages that a channel takes before its sender has to wait.
    pub room: usize,
    /// Bytes delivered since the start.
    pub bytes: u64,
    /// Packed messages delivered since the start, by receiver.
    pub packed: BTreeMap<usize, u64>,
    /// Messages delivered, by kind, those in packed ones too.
    pub kinds: BTreeMap<u8, usize>,
}

/// Kind of a packed message.
const PACKED: u8 = 13;
/// Field 8 of Hello.
const CAPABILITIES: u64 = 8;

/// The kind of a message, or of the one that is packed in it: the first byte of the block that is no token.
fn kind_of(bytes: &[u8]) -> u8 {
    let first = bytes.first().copied().unwrap_or_default();
    if first != PACKED {
        return first;
    }
    let mut rest = &bytes[1..];
    // Tag and length of the message, tag and length of the block.
    let numbers = [0; 4].map(|_| {
        let length = rest.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
        rest = &rest[length..];
    });
    assert_eq!(numbers.len(), 4);
    // A token; the length of the literals goes on in further bytes if its upper half is 15.
    let further = match rest[0] >> 4 {
        15 => rest[1..].iter().take_while(|byte| **byte == 255).count() + 1,
        _ => 0,
    };
    rest[1 + further]
}

/// A greeting as a build without capabilities sends it; other messages as they are.
fn without_capabilities(message: Vec<u8>) -> Vec<u8> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first().expect("an honest message");
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    if message.first() != Some(&1) {
        return message;
    }
    let mut kept = vec![1];
    let mut rest = &message[1..];
    while !rest.is_empty() {
        let field = rest;
        let tag = varint(&mut rest);
        let value = varint(&mut rest);
        if tag & 1 == 1 {
            rest = &rest[value as usize..];
        }
        if tag >> 1 != CAPABILITIES {
            kept.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    kept
}

impl Net {
    pub fn new(peers: usize) -> Self {
        let node = |number| Node {
            model: Model::new(number as u64 + 1),
            replicator: replicator(number, Sizes::default()),
            sizes: Sizes::default(),
            events: Vec::new(),
            syncs: true,
            next_subscription: 0,
        };
        Self {
            nodes: (0..peers).map(node).collect(),
            now: 1_000_000,
            channels: BTreeMap::new(),
            ends: BTreeMap::new(),
            next_session: 0,
            foreign: Vec::new(),
            held: BTreeSet::new(),
            older: Vec::new(),
            outdated: Vec::new(),
            alter: None,
            room: usize::MAX,
            bytes: 0,
            packed: BTreeMap::new(),
            kinds: BTreeMap::new(),
        }
    }

    pub fn model(&mut self, number: usize) -> &mut Model {
        &mut self.nodes[number].model
    }

    pub fn subscribe(&mut self, number: usize, query: &str) -> SubscriptionId {
        self.subscribe_with(number, query, &Object::default())
    }

    pub fn subscribe_with(&mut self, number: usize, query: &str, arguments: &Object) -> SubscriptionId {
        let now = self.now;
        let node = &mut self.nodes[number];
        node.next_subscription += 1;
        let id = SubscriptionId(node.next_subscription);
        let Node { replicator, model, .. } = node;
        replicator.subscribe(id, query, arguments, model, now).expect("the query is understood");
        id
    }

    pub fn unsubscribe(&mut self, number: usize, id: SubscriptionId) {
        let now = self.now;
        let Node { replicator, model, .. } = &mut self.nodes[number];
        replicator.unsubscribe(id, model, now);
    }

    /// Joins two peers; returns the session on both sides.
    pub fn connect(&mut self, a: usize, b: usize) -> (SessionId, SessionId) {
        let (left, right) = (SessionId(self.next_session + 1), SessionId(self.next_session + 2));
        self.next_session += 2;
        self.ends.insert((a, left), (b, right));
        self.ends.insert((b, right), (a, left));
        for (here, session, there) in [(a, left, b), (b, right, a)] {
            self.channels.insert((here, session), VecDeque::new());
            let Node { replicator, model, .. } = &mut self.nodes[here];
            replicator.connected(session, peer_id(there), model, self.now);
        }
        (left, right)
    }

    /// Ends every session of a pair; what is under way is lost.
    pub fn disconnect(&mut self, a: usize, b: usize) {
        let ends: Vec<_> = self.ends.iter().map(|(end, other)| (*end, *other)).collect();
        for (end, other) in ends {
            if (end.0, other.0) == (a, b) || (end.0, other.0) == (b, a) {
                self.ends.remove(&end);
                self.channels.remove(&end);
                self.nodes[end.0].replicator.disconnected(end.1);
            }
        }
    }

    /// Replaces the state machine, as a restart does.
    pub fn restart(&mut self, number: usize) {
        for other in 0..self.nodes.len() {
            self.disconnect(number, other);
        }
        self.nodes[number].replicator = replicator(number, self.nodes[number].sizes);
    }

    /// Restarts with other sizes.
    pub fn restart_with(&mut self, number: usize, sizes: Sizes) {
        self.nodes[number].sizes = sizes;
        self.restart(number);
    }

    /// Moves messages from all peers into the channels; syncs.
    fn flush(&mut self) -> bool {
        let mut moved = false;
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            while node.syncs {
                let durable = node.model.sync();
                node.replicator.durable(durable, &mut node.model, self.now);
                if node.model.last_sequence() == durable {
                    break;
                }
            }
            node.replicator.committed(&mut node.model, self.now);
            let is_narrow = self.room < usize::MAX;
            let here = |((peer, _), _): &(&(usize, SessionId), _)| is_narrow && *peer == number;
            for ((_, session), end) in self.ends.iter().filter(here) {
                let full = self.channels.get(end).is_some_and(|channel| channel.len() >= self.room);
                node.replicator.set_blocked(*session, full);
            }
            while let Some((session, bytes)) = node.replicator.poll_transmit() {
                moved = true;
                assert!(bytes.len() <= MAX_MESSAGE_BYTES, "a message of {} bytes", bytes.len());
                match self.ends.get(&(number, session)) {
                    Some(end) => {
                        let outdated = |peer| self.outdated.contains(peer);
                        let older = self.older.contains(&number) || outdated(&number) || outdated(&end.0);
                        let bytes = if older { without_capabilities(bytes) } else { bytes };
                        let channel = self.channels.get_mut(end).expect("both ends exist");
                        match &mut self.alter {
                            Some(alter) => channel.extend(alter(number, bytes)),
                            None => channel.push_back(bytes),
                        }
                        if channel.len() >= self.room {
                            node.replicator.set_blocked(session, true);
                        }
                    }
                    None => self.foreign.push((number, session, bytes)),
                }
            }
            while let Some(event) = node.replicator.poll_event() {
                node.events.push(event);
            }
        }
        moved
    }

    /// What a peer has to send on sessions that this net does not know.
    pub fn take_foreign(&mut self, number: usize) -> Vec<(SessionId, Vec<u8>)> {
        self.flush();
        let (taken, left) =
            std::mem::take(&mut self.foreign).into_iter().partition(|(from, ..)| *from == number);
        self.foreign = left;
        let taken: Vec<(usize, SessionId, Vec<u8>)> = taken;
        taken.into_iter().map(|(_, session, bytes)| (session, bytes)).collect()
    }

    /// Delivers one message; false if there is none.
    pub fn step(&mut self) -> bool {
        self.flush();
        let ready = |(end, channel): &(&(usize, SessionId), &VecDeque<Vec<u8>>)| {
            !channel.is_empty() && !self.held.contains(end)
        };
        let Some((&(number, session), _)) = self.channels.iter().find(ready) else {
            return false;
        };
        let bytes =
            self.channels.get_mut(&(number, session)).and_then(VecDeque::pop_front).unwrap_or_default();
        let kind = kind_of(&bytes);
        self.bytes += bytes.len() as u64;
        if bytes.first() == Some(&PACKED) {
            *self.packed.entry(number).or_default() += 1;
        }
        *self.kinds.entry(kind).or_default() += 1;
        let Node { replicator, model, .. } = &mut self.nodes[number];
        replicator.receive(session, &bytes, model, self.now);
        true
    }

    /// Delivers everything until so many more questions are asked at one end of a session, and none of them to the other end.
    pub fn until_asked(&mut self, to: (usize, SessionId), by: (usize, SessionId), count: u64) {
        let asked = |net: &Self| net.statistics(by.0, by.1).questions_asked;
        let end = asked(self) + count;
        while asked(self) < end {
            self.held.clear();
            assert!(self.step() || self.tick_due(), "nobody asks");
            self.held.insert(to);
        }
    }

    /// The kinds of the messages that a session has yet to get.
    pub fn waiting(&self, end: (usize, SessionId)) -> Vec<u8> {
        self.channels.get(&end).into_iter().flatten().map(|bytes| kind_of(bytes)).collect()
    }

    /// Delivers everything there is, without moving the clock.
    pub fn settle(&mut self) {
        let mut steps = 0;
        loop {
            while self.step() {
                steps += 1;
                assert!(steps < 1_000_000, "the peers do not come to rest");
            }
            if !self.tick_due() {
                break;
            }
        }
    }

    /// Lets everybody do the work that was put off until the next call; false if there is none.
    pub fn tick_due(&mut self) -> bool {
        let now = self.now;
        let due = |node: &Node| node.replicator.next_timeout().is_some_and(|timeout| timeout <= now);
        let is_due = self.nodes.iter().any(due);
        if is_due {
            for Node { replicator, model, .. } in &mut self.nodes {
                replicator.tick(model, now);
            }
        }
        is_due
    }

    /// Takes what has happened since the last message was delivered.
    pub fn collect_events(&mut self) {
        for node in &mut self.nodes {
            while let Some(event) = node.replicator.poll_event() {
                node.events.push(event);
            }
        }
    }

    /// Delivers everything, and what the passing of some seconds adds.
    pub fn rest(&mut self) {
        for _ in 0..3 {
            self.settle();
            self.now += 2_000;
            for Node { replicator, model, .. } in &mut self.nodes {
                replicator.tick(model, self.now);
            }
        }
        self.settle();
    }

    /// Lets time pass.
    pub fn advance(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        for Node { replicator, model, .. } in &mut self.nodes {
            replicator.tick(model, self.now);
        }
    }

    pub fn statistics(&self, number: usize, session: SessionId) -> Statistics {
        self.nodes[number].replicator.statistics(session).expect("the session exists")
    }

    pub fn assert_equal(&self, a: usize, b: usize) {
        assert_eq!(
            self.nodes[a].model.versions(),
            self.nodes[b].model.versions(),
            "peers {a} and {b} differ"
        );
    }

    pub fn failures(&self, number: usize) -> Vec<&Event> {
        let failed = |event: &&Event| matches!(event, Event::SessionFailed { .. });
        self.nodes[number].events.iter().filter(failed).collect()
    }
}

pub fn int(value: i64) -> Value {
    Value::from(value)
}
