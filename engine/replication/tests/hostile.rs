//! Peers that do not follow the protocol: bytes from a generator, and honest messages changed on the way. Whatever
//! arrives costs at most its own session.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod model;
mod pair;

use ditto_crdt::{Sequence, Version};
use std::sync::atomic::Ordering;

use ditto_replication::limits::{
    ANSWER_TIMEOUT_MS, MAX_BATCH_DOCUMENTS, MAX_BUFFERED_BYTES, MAX_BUFFERED_DOCUMENTS, MAX_FILLED_BYTES,
    MAX_INTEREST_BYTES, MAX_MATCH_MS, MAX_MESSAGE_BYTES, MAX_STOCK_MS, PART_BYTES, WORK_MS,
};
use ditto_replication::{
    Buffered, CloseReason, Event, LocalPeer, Replica, Replicator, SessionId, SubscriptionId, Violation,
};
use ditto_value::{Object, Value};
use model::{Model, document_key};
use pair::{Net, int, peer_id};
use proptest::prelude::*;

const PLANTS: &str = "SELECT * FROM plants";

#[test]
fn filters_that_cost_much_count_as_one_that_matches() {
    let mut net = Net::new(2);
    for id in ["fern", "oak", "moss"] {
        let now = net.now;
        net.model(0).insert(now, "plants", id, &[("light", int(0))]);
    }
    for light in 1..=20 {
        net.subscribe(1, &format!("SELECT * FROM plants WHERE light = {light}"));
    }
    net.model(0).match_ms.store(MAX_MATCH_MS / 2, Ordering::Relaxed);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    let most = net.model(0).most_worked.get();
    assert!(most <= WORK_MS + MAX_MATCH_MS, "{most} ms in one go");
}

#[test]
fn merges_that_cost_much_are_spread_over_many_calls() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    let ids: Vec<String> = (0..20).map(|number| format!("fern{number}")).collect();
    let now = net.now;
    for id in &ids {
        net.model(0).insert(now, "plants", id, &[("light", int(0))]);
    }
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    // In another session each has to be tried out, and what does not fit is asked for.
    for (number, id) in ids.iter().enumerate() {
        net.model(0).set(now, "plants", id, "light", 5);
        if number % 2 == 0 {
            net.model(1).set(now, "plants", id, "rings", 5);
        }
    }
    net.model(1).merge_ms = WORK_MS;
    net.connect(0, 1);
    net.rest();
    assert!(ids.iter().all(|id| net.model(1).field("plants", id, "light") == Some(int(5))));
    assert!(ids.iter().step_by(2).all(|id| net.model(0).field("plants", id, "rings") == Some(int(5))));
    let most = net.model(1).most_worked.get();
    assert!(most <= 2 * WORK_MS, "{most} ms in one go");
}

/// A change to a message on its way.
#[derive(Clone, Debug)]
enum Mischief {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat,
    Drop,
}

fn mischief() -> impl Strategy<Value = Mischief> {
    prop_oneof![
        4 => (any::<prop::sample::Index>(), 1..=255_u8).prop_map(|(at, bits)| Mischief::Flip(at, bits)),
        1 => any::<prop::sample::Index>().prop_map(Mischief::Cut),
        1 => (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Mischief::Insert(at, bytes)),
        1 => Just(Mischief::Repeat),
        1 => Just(Mischief::Drop),
    ]
}

fn mangle(mut message: Vec<u8>, mischief: &Mischief) -> Vec<Vec<u8>> {
    match mischief {
        Mischief::Flip(at, bits) => {
            if !message.is_empty() {
                let at = at.index(message.len());
                message[at] ^= bits;
            }
        }
        Mischief::Cut(at) => message.truncate(at.index(message.len() + 1)),
        Mischief::Insert(at, bytes) => {
            let at = at.index(message.len() + 1);
            message.splice(at..at, bytes.iter().copied());
        }
        Mischief::Repeat => return vec![message.clone(), message],
        Mischief::Drop => return Vec::new(),
    }
    vec![message]
}

/// A subscriber with one open session, and an honest one with another peer.
struct Victim {
    model: Model,
    replicator: Replicator,
}

const BAD: SessionId = SessionId(1);
/// Kind of a question.
const QUESTION: u8 = 9;

impl Victim {
    fn new() -> Self {
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

    fn receive(&mut self, message: &[u8]) {
        self.replicator.receive(BAD, message, &mut self.model, 1_000);
        let durable = self.model.sync();
        self.replicator.durable(durable, &mut self.model, 1_000);
    }

    /// What it holds of what it was sent.
    fn buffered(&self) -> Buffered {
        self.replicator.buffered(BAD)
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.replicator.poll_transmit()).map(|(_, message)| message).collect()
    }

    fn failure(&mut self) -> Option<CloseReason> {
        std::iter::from_fn(|| self.replicator.poll_event()).find_map(|event| match event {
            Event::SessionFailed { reason, .. } => Some(reason),
            _ => None,
        })
    }

    /// Opens the session with an honest greeting.
    fn greet(&mut self) {
        self.greet_as(Model::new(2));
    }

    /// The same as somebody who holds something, and so do both then.
    fn greet_with_plants(&mut self) {
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

    fn greet_as(&mut self, model: Model) {
        self.receive(&hello_of(model));
        assert!(self.replicator.is_ready(BAD));
    }
}

/// A field of the wire format: number, and a number or bytes.
fn number(field: u64, value: u64) -> Vec<u8> {
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

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    let mut out = number(field, value.len() as u64);
    out[0] |= 1;
    out.extend_from_slice(value);
    out
}

fn message(kind: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    std::iter::once(kind).chain(fields.iter().flatten().copied()).collect()
}

/// A packed message that is said to have so many bytes.
fn packed(length: u64, block: &[u8]) -> Vec<u8> {
    message(13, &[number(1, length), bytes(2, block)])
}

/// A block of LZ4 without matches.
fn literals(message: &[u8]) -> Vec<u8> {
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

fn packed_whole(message: &[u8]) -> Vec<u8> {
    packed(message.len() as u64, &literals(message))
}

/// A greeting that is right in itself.
fn hello() -> Vec<u8> {
    hello_of(Model::new(2))
}

/// The greeting of somebody who holds this.
fn hello_of(mut model: Model) -> Vec<u8> {
    let mut remote = Replicator::new(LocalPeer::new(peer_id(1), "database"));
    remote.connected(BAD, peer_id(0), &mut model, 1_000);
    remote.poll_transmit().expect("a greeting").1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_end_the_session_at_most(
        greet in any::<bool>(),
        messages in prop::collection::vec((1..21_u8, prop::collection::vec(any::<u8>(), 0..60)), 1..20),
    ) {
        let mut victim = Victim::new();
        if greet {
            victim.greet();
        }
        for (kind, rest) in messages {
            let mut bytes = vec![kind];
            bytes.extend(rest);
            victim.receive(&bytes);
        }
        prop_assert_eq!(victim.model.versions().len(), 1);
    }

    #[test]
    fn changed_messages_harm_nobody_else(
        changes in prop::collection::vec((0..40_usize, mischief()), 1..6),
        seed in 0..8_i64,
        documents in prop_oneof![Just(5), Just(40)],
    ) {
        // 0 is honest with 1; 2 talks to 1 through somebody who changes messages.
        let mut net = Net::new(2);
        net.subscribe(0, PLANTS);
        net.subscribe(1, "SELECT * FROM plants WHERE light = 1");
        let now = net.now;
        for i in 0..documents {
            net.model(0).insert(now, "plants", &format!("a{i}"), &[("light", int((i + seed) % 2))]);
            net.model(1).insert(now, "plants", &format!("a{i}"), &[("water", int(i))]);
        }
        net.rest();
        net.connect(0, 1);
        net.settle();
        let mut evil = Model::new(66);
        for i in 0..documents {
            // Long enough for a packed batch.
            let note = Value::from("evil ".repeat(30));
            evil.insert(now, "plants", &format!("a{i}"), &[("light", int(1)), ("note", note), ("evil", int(i))]);
        }
        evil.sync();
        let mut mallory = Replicator::new(LocalPeer::new(peer_id(2), "database"));
        mallory.subscribe(SubscriptionId(1), PLANTS, &Object::default(), &mut evil, now).expect("is understood");
        let (left, right) = (SessionId(1_000), SessionId(1_000));
        mallory.connected(left, peer_id(1), &mut evil, now);
        {
            let pair::Node { replicator, model, .. } = &mut net.nodes[1];
            replicator.connected(right, peer_id(2), model, now);
        }
        let mut count = 0;
        for _ in 0..60 {
            let mut quiet = true;
            while let Some((_, bytes)) = mallory.poll_transmit() {
                quiet = false;
                let changed = changes.iter().find(|(at, _)| *at == count).map(|(_, mischief)| mischief);
                count += 1;
                let delivered = changed.map_or_else(|| vec![bytes.clone()], |mischief| mangle(bytes.clone(), mischief));
                for bytes in delivered {
                    let pair::Node { replicator, model, .. } = &mut net.nodes[1];
                    replicator.receive(right, &bytes, model, now);
                }
            }
            for (session, bytes) in net.take_foreign(1) {
                if session == right {
                    quiet = false;
                    mallory.receive(left, &bytes, &mut evil, now);
                }
            }
            evil.sync();
            mallory.durable(evil.last_sequence(), &mut evil, now);
            net.settle();
            if quiet {
                break;
            }
        }
        // Everybody else still agrees and still talks.
        net.model(0).insert(now, "plants", "later", &[("light", int(1))]);
        net.rest();
        prop_assert!(net.model(1).visible("plants", "later").is_some());
        for (key, version) in net.nodes[1].model.versions() {
            prop_assert_eq!(net.nodes[0].model.versions().get(&key).copied(), Some(version), "{:?}", key);
        }
    }
}

#[test]
fn nothing_but_a_greeting_opens_a_session() {
    let mut victim = Victim::new();
    victim.receive(&message(8, &[number(1, 0)]));
    assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Unexpected(_)))));
    assert_eq!(victim.sent().len(), 1, "a farewell with the reason");
    victim.receive(&message(8, &[number(1, 0)]));
    assert!(victim.failure().is_none(), "a closed session takes nothing more");
}

#[test]
fn incompatible_versions_are_refused_with_a_reason() {
    let mut victim = Victim::new();
    let hello = [number(1, 7), number(2, 9), bytes(3, &[0; 16]), bytes(4, &[0; 8]), bytes(5, &[0; 8])];
    victim.receive(&message(1, &hello));
    let reason = victim.failure();
    assert_eq!(reason, Some(CloseReason::IncompatibleVersion { ours: (1, 1), theirs: (7, 9) }));
    let farewell = victim.sent().pop().unwrap_or_default();
    assert!(String::from_utf8_lossy(&farewell).contains("update"));
}

#[test]
fn messages_and_fields_of_the_future_are_skipped() {
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(99, &[bytes(1, b"who knows")]));
    victim.receive(&message(2, &[number(1, 1), number(77, 5), bytes(78, b"more")]));
    assert!(victim.failure().is_none() && victim.replicator.is_ready(BAD));
}

#[test]
fn forged_numbers_end_the_session() {
    let huge = u64::MAX;
    let document = [number(1, 1), bytes(2, b"id"), bytes(4, &[1; 16]), bytes(5, b"x")].concat();
    let forged: Vec<Vec<u8>> = vec![
        message(2, &[number(1, huge)]),
        message(3, &[number(1, huge)]),
        message(3, &[number(1, 1), bytes(2, &[0; 8]), bytes(3, &number(1, 55))]),
        message(5, &[number(1, 3)]),
        message(6, &[number(1, huge)]),
        message(6, &[number(1, 2)]),
        message(6, &[number(1, 1), bytes(2, &[number(1, 9), document[2..].to_vec()].concat())]),
        message(6, &[number(1, 1), bytes(3, &[number(1, 5), bytes(2, &[0; 8]), number(3, huge)].concat())]),
        message(7, &[number(1, 1), number(2, huge), bytes(3, b"x")]),
        message(7, &[number(1, 1), number(2, 1), bytes(3, b"too long")]),
        message(8, &[number(1, huge)]),
        message(10, &[number(1, 1)]),
        message(11, &[number(1, 1), bytes(2, &[0; 16])]),
        message(15, &[number(1, 1), bytes(2, &[number(1, 9), bytes(2, b"id"), bytes(3, &[1; 16])].concat())]),
        message(20, &[number(1, 1)]),
        packed(MAX_MESSAGE_BYTES as u64 + 1, &[0]),
        packed(huge, &[0]),
        packed(0, &[0]),
        packed(1, &[]),
        packed(3, &literals(&[99])),
        packed(1, &literals(&[99, 1, 2])),
        packed(1, &[0xff; 40]),
        // A match that begins before the first byte.
        packed(20, &[0x1f, 99, 2, 0, 0]),
        packed_whole(&message(8, &[number(1, huge)])),
        packed_whole(&packed_whole(&message(99, &[]))),
        packed_whole(&hello()),
        message(13, &[number(1, 1), number(2, 1)]),
        message(13, &[]),
        vec![6; MAX_MESSAGE_BYTES + 1],
        vec![0xff; 11],
        Vec::new(),
    ];
    for bytes in forged {
        let mut victim = Victim::new();
        victim.greet();
        victim.receive(&bytes);
        let reason = victim.failure();
        assert!(
            matches!(reason, Some(CloseReason::Violation(_))),
            "{:?}: {reason:?}",
            &bytes[..bytes.len().min(40)]
        );
        assert_eq!(victim.model.versions().len(), 1);
    }
}

#[test]
fn a_greeting_cannot_be_packed() {
    let mut victim = Victim::new();
    victim.receive(&packed_whole(&hello()));
    assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Unexpected(_)))));
}

#[test]
fn what_is_packed_means_the_same() {
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&packed_whole(&message(99, &[bytes(1, b"who knows")])));
    assert!(victim.replicator.is_ready(BAD));
    victim.receive(&packed_whole(&message(12, &[bytes(1, b"enough")])));
    assert_eq!(victim.failure(), Some(CloseReason::Remote("enough".to_owned())));
}

#[test]
fn a_packed_message_unpacks_to_no_more_than_it_says() {
    // A literal, then a match of all before it: the most that a block can become.
    let lengthy = |length: usize| [&[0x1f, 99, 1, 0][..], &vec![255; length / 255], &[0]].concat();
    for (length, unpacks) in [(MAX_MESSAGE_BYTES, "does not unpack"), (MAX_MESSAGE_BYTES + 1, "limit")] {
        let mut victim = Victim::new();
        victim.greet();
        victim.receive(&packed(length as u64, &lengthy(100 * MAX_MESSAGE_BYTES)));
        let reason = victim.failure().expect("the session ends").to_string();
        assert!(reason.contains(unpacks), "{reason}");
    }
}

#[test]
fn a_flood_of_unfinished_batches_is_bounded() {
    flood_of_unfinished_batches(<[u8]>::to_vec);
}

#[test]
fn a_flood_of_unfinished_batches_is_bounded_by_what_they_unpack_to() {
    flood_of_unfinished_batches(packed_whole);
}

fn flood_of_unfinished_batches(wrap: fn(&[u8]) -> Vec<u8>) {
    let mut victim = Victim::new();
    victim.greet();
    // Interest 1 is the victim's subscription.
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    let delta = vec![0; 100 * 1024];
    let mut sent = 0;
    for i in 0..u64::MAX {
        let id = i.to_be_bytes();
        let document = [number(1, 1), bytes(2, &id), bytes(4, &[1; 16]), bytes(5, &delta)].concat();
        victim.receive(&wrap(&message(6, &[number(1, 1), bytes(2, &document)])));
        sent += delta.len();
        if victim.failure().is_some() {
            break;
        }
        assert!(sent <= MAX_BUFFERED_BYTES, "it takes whatever it is sent");
        let counted = sent + id.len() * (i as usize + 1);
        assert_eq!(victim.buffered(), Buffered { documents: sent, questions: 0, counted });
    }
    assert_eq!(victim.buffered(), Buffered::default(), "it goes with the session");
}

#[test]
fn what_all_sessions_hold_is_bounded_and_who_holds_most_comes_back_later() {
    const MEMORY: usize = 1024 * 1024;
    const DELTA: usize = 10 * 1024;
    let mut model = Model::new(1);
    let mut local = LocalPeer::new(peer_id(0), "database");
    local.sizes.memory_bytes = MEMORY;
    let mut replicator = Replicator::new(local);
    replicator
        .subscribe(SubscriptionId(1), PLANTS, &Object::default(), &mut model, 1_000)
        .expect("is understood");
    // The tenth sends least.
    let sessions: Vec<SessionId> = (1..=10).map(SessionId).collect();
    for session in &sessions {
        replicator.connected(*session, peer_id(session.0 as usize), &mut model, 1_000);
        replicator.receive(*session, &hello_of(Model::new(2)), &mut model, 1_000);
        let start = message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]);
        replicator.receive(*session, &start, &mut model, 1_000);
        assert!(replicator.is_ready(*session));
    }
    let mut ended = Vec::new();
    for i in 0..100_u64 {
        for session in sessions.iter().filter(|session| session.0 < 10 || i % 10 == 0) {
            let document =
                [number(1, 1), bytes(2, &i.to_be_bytes()), bytes(4, &[1; 16]), bytes(5, &[0; DELTA])];
            let unfinished = message(6, &[number(1, 1), bytes(2, &document.concat())]);
            replicator.receive(*session, &unfinished, &mut model, 1_000);
            let held: usize = sessions.iter().filter_map(|session| replicator.held_bytes(*session)).sum();
            assert!(held <= MEMORY, "{held} bytes");
        }
        while let Some(event) = replicator.poll_event() {
            if let Event::SessionFailed { session, reason, .. } = event {
                assert_eq!(reason, CloseReason::Crowded);
                ended.push(session);
            }
        }
    }
    assert!(ended.len() >= 8, "each of nine would hold all of it: {ended:?}");
    let least = sessions.last().expect("ten");
    assert!(replicator.is_ready(*least) && !ended.contains(least), "who holds little goes on");
}

/// Somebody who is told of documents that do not fit, in one batch, and has asked for each.
fn asks_for(author: &Model, ids: impl Iterator<Item = String>) -> Victim {
    let mut victim = Victim::new();
    victim.greet();
    // Interest 1 is the victim's subscription.
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    let mut batch = vec![number(1, 1)];
    let mut count = 0;
    for id in ids {
        let key = document_key("plants", &id);
        let held = author.delta_since(&key, Sequence(u64::MAX)).expect("a model").expect("it is there");
        let document = [number(1, 1), bytes(2, &key.id), bytes(4, &[1; 16]), bytes(5, &held.delta)];
        batch.push(bytes(2, &document.concat()));
        count += 1;
    }
    let end = [number(1, 1), bytes(2, &[7; 8]), number(3, 5)].concat();
    batch.push(bytes(3, &end));
    victim.receive(&message(6, &batch));
    assert_eq!(victim.sent().iter().filter(|sent| sent[0] == QUESTION).count(), count);
    victim
}

#[test]
fn what_is_answered_beyond_what_a_batch_waits_with_is_merged_before_it() {
    const LENGTH: usize = 100 * 1024;
    let count = (MAX_FILLED_BYTES / LENGTH + 30) as u64;
    let id = |number: u64| format!("fern {number}");
    let mut author = Model::new(3);
    let notes = Value::from("n".repeat(LENGTH));
    for number in 1..=count {
        author.insert(1_000, "plants", &id(number), &[("notes", notes.clone())]);
    }
    let mut victim = asks_for(&author, (1..=count).map(id));
    let answer = |question, delta: &[u8], version: Version| {
        let version = version.0.to_le_bytes();
        message(10, &[number(1, question), bytes(2, &version), bytes(3, delta)])
    };
    let answer_of = |question| {
        let held = author.delta_since(&document_key("plants", &id(question)), Sequence(0));
        let held = held.expect("a model").expect("it is there");
        answer(question, &held.delta, held.version)
    };
    for question in 2..count {
        victim.receive(&answer_of(question));
    }
    // The last one is not to be read.
    victim.receive(&answer(count, &vec![0; LENGTH], Version(1)));
    assert!(victim.model.visible("plants", &id(2)).is_none(), "it waits for the first");
    assert!(victim.model.visible("plants", &id(count - 1)).is_some(), "too much would wait");
    assert!(victim.sent().is_empty(), "nothing is acknowledged");
    victim.receive(&answer_of(1));
    assert!((1..count).all(|number| victim.model.visible("plants", &id(number)).is_some()));
    let durable = victim.model.sync();
    victim.replicator.durable(durable, &mut victim.model, 1_000);
    let acknowledged = victim.sent();
    let (mut bits, last) = (vec![0; (count - 1) as usize / 8 + 1], (count - 1) as usize);
    bits[last / 8] = 1 << (last % 8);
    let refused = [number(1, 1), bytes(2, &bits)].concat();
    assert!(acknowledged.contains(&message(8, &[number(1, 1), bytes(2, &refused)])));
    assert_eq!(victim.failure(), None);
}

#[test]
fn names_of_documents_that_wait_to_be_asked_about_count_as_what_is_held() {
    const COUNT: usize = 1_000;
    let id = |number| format!("{number:010000}");
    let mut author = Model::new(3);
    for number in 0..COUNT {
        author.insert(1_000, "plants", &id(number), &[("light", int(1))]);
    }
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    let before = victim.replicator.held_bytes(BAD).expect("it is open");
    // Each is whole, and the version that it is said to have is another one: it seems that the author lacks something.
    for part in 0..COUNT / 10 {
        let documents = (10 * part..10 * (part + 1)).map(|place| {
            let key = document_key("plants", &id(place));
            let held = author.delta_since(&key, Sequence(0)).expect("a model").expect("it is there");
            let document =
                [number(1, 1), bytes(2, &key.id), bytes(4, &[1; 16]), bytes(5, &held.delta), number(7, 1)];
            bytes(2, &document.concat())
        });
        victim.receive(&message(6, &std::iter::once(number(1, 1)).chain(documents).collect::<Vec<_>>()));
    }
    let end = [number(1, 1), bytes(2, &[7; 8]), number(3, 5)].concat();
    victim.receive(&message(6, &[number(1, 1), bytes(3, &end)]));
    let asked = victim.replicator.statistics(BAD).expect("it is open").questions_asked as usize;
    assert!((1..COUNT / 2).contains(&asked), "{asked} questions");
    let held = victim.replicator.held_bytes(BAD).expect("it is open") - before;
    assert!(held >= (COUNT - asked) * 10_000, "{held} bytes");
}

#[test]
fn a_batch_of_more_documents_than_can_be_excepted_ends_the_session() {
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    for part in 0..=MAX_BATCH_DOCUMENTS as u64 / 1_000 {
        assert_eq!(victim.failure(), None);
        let documents = (0..1_000).map(|place| {
            let id = (1_000 * part + place).to_be_bytes();
            bytes(2, &[number(1, 1), bytes(2, &id), bytes(4, &[1; 16])].concat())
        });
        victim.receive(&message(6, &std::iter::once(number(1, 1)).chain(documents).collect::<Vec<_>>()));
    }
    assert!(victim.failure().expect("the session ends").to_string().contains("documents of a batch"));
}

#[test]
fn documents_that_come_by_themselves_behind_a_batch_without_an_end_are_bounded() {
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    victim.receive(&message(6, &[number(1, 1)]));
    let own = document_key("plants", "own");
    for question in 1..u64::MAX {
        // It may give what the answer did not know, which waits for the batch.
        victim.receive(&message(QUESTION, &[number(1, question), bytes(2, b"plants"), bytes(3, &own.id)]));
        victim.receive(&message(11, &[number(1, question), bytes(2, &[1; 16])]));
        victim.sent();
        if let Some(reason) = victim.failure() {
            assert!(reason.to_string().contains("by themselves"), "{reason}");
            break;
        }
        assert!(question <= MAX_BUFFERED_DOCUMENTS as u64, "it takes whatever it is sent");
    }
}

#[test]
fn large_documents_that_are_begun_and_not_ended_are_bounded() {
    let part = |name, dropped: &[u8], length: usize| {
        let total = number(2, 60 << 20);
        message(7, &[number(1, name), total, bytes(3, &vec![0; length]), dropped.to_vec()])
    };
    let flood = |message: &dyn Fn(u64) -> Vec<u8>| {
        let mut victim = Victim::new();
        victim.greet();
        let mut sent = 0;
        for i in 1..u64::MAX {
            let message = message(i);
            sent += message.len();
            victim.receive(&message);
            if let Some(failure) = victim.failure() {
                assert_eq!(
                    victim.sent().last().map(|farewell| farewell[0]),
                    Some(12),
                    "a farewell with the reason"
                );
                return failure.to_string();
            }
            assert!(sent <= MAX_BUFFERED_BYTES + MAX_MESSAGE_BYTES, "it takes whatever it is sent");
        }
        String::new()
    };
    // Ever more of them; a few that go on and on; and one that is longer than it says.
    assert!(flood(&|i| part(i, &[], 1)).contains("open parts"));
    assert!(flood(&|i| part(1 + i / 450, &[], PART_BYTES)).contains("bytes of documents"));
    assert!(flood(&|_| part(1, &[], PART_BYTES)).contains("does not fit"));
    // What is taken back may not go on, and what never began cannot be taken back.
    let twice = |i| part(1, &if i == 2 { number(4, 1) } else { Vec::new() }, 1);
    assert!(flood(&twice).contains("closed"));
    assert!(flood(&|i| part(i, &number(4, 1), 1)).contains("not open"));
    // Taken back again and again they cost nothing.
    let mut victim = Victim::new();
    victim.greet();
    for name in 1..1_300 {
        victim.receive(&part(name, &[], PART_BYTES));
        victim.receive(&part(name, &number(4, 1), 0));
    }
    assert!(victim.failure().is_none());
}

#[test]
fn a_flood_of_questions_that_nobody_reads_the_answers_of_is_bounded() {
    let mut victim = Victim::new();
    let rings = Value::from("ring ".repeat(20_000));
    victim.model.insert(1_000, "plants", "oak", &[("rings", rings)]);
    victim.greet();
    let oak = document_key("plants", "oak");
    for i in 0..u64::MAX {
        victim.receive(&message(9, &[number(1, i), bytes(2, b"plants"), bytes(3, &oak.id)]));
        if victim.failure().is_some() {
            break;
        }
        assert!(i < 200_000, "it queues whatever it is asked");
    }
    let queued: usize = victim.sent().iter().map(Vec::len).sum();
    assert!(queued < 1024, "what was queued is dropped with the session");
}

#[test]
fn questions_that_have_to_wait_are_not_looked_at_again_with_every_message() {
    const COUNT: u64 = 300;
    let mut victim = Victim::new();
    let mut remote = Model::new(2);
    remote.insert(1_000, "plants", "moss", &[]);
    remote.sync();
    victim.greet_as(remote);
    // What does not match is offered, and as long as that is not answered, what is asked about it waits.
    let interest = [number(1, 1), bytes(2, b"SELECT * FROM plants WHERE light = 2")].concat();
    victim.receive(&message(2, &[number(1, 1), bytes(2, &interest)]));
    assert!(victim.sent().iter().any(|sent| sent[0] == 4));
    let own = document_key("plants", "own");
    for question in 1..=COUNT {
        let fields = [number(1, question), bytes(2, b"plants"), bytes(3, &own.id), bytes(4, &[])];
        victim.receive(&message(9, &fields));
    }
    assert!(victim.sent().iter().all(|sent| sent[0] != 10), "they wait");
    let questions = COUNT as usize * ("plants".len() + own.id.len());
    assert_eq!(victim.buffered(), Buffered { documents: 0, questions, counted: questions });
    let looks = victim.model.answers_read.get() as u64;
    assert!(looks <= 2 * COUNT, "{looks} looks at {COUNT}");
    victim.receive(&message(5, &[number(1, 1)]));
    let answers = victim.sent().iter().filter(|sent| sent[0] == 10).count();
    assert_eq!((victim.failure(), answers as u64), (None, COUNT));
    assert_eq!(victim.buffered(), Buffered::default());
}

#[test]
fn subscriptions_that_are_too_long_together_are_refused_in_words() {
    let mut victim = Victim::new();
    victim.greet();
    let filter = |number: u64| format!("SELECT * FROM plants WHERE light = {}{number}", "0".repeat(60_000));
    for id in 1..=20_u64 {
        let interest = [number(1, id), bytes(2, filter(id).as_bytes())].concat();
        victim.receive(&message(2, &[number(1, id), bytes(2, &interest)]));
    }
    assert_eq!(victim.failure(), None);
    let refused = b"subscribe to fewer";
    let refusals = victim.sent();
    let refusals = refusals.iter().filter(|sent| sent.windows(refused.len()).any(|part| part == refused));
    assert_eq!(refusals.count(), 20 - MAX_INTEREST_BYTES / 60_050);
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut victim = Victim::new();
    let timeout = victim.replicator.next_timeout().expect("a greeting is awaited");
    victim.replicator.tick(&mut victim.model, timeout);
    assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Timeout(_)))));
}

#[test]
fn a_forged_position_is_only_believed_of_its_own_sender() {
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    let end = [number(1, 1), bytes(2, &[7; 8]), number(3, u64::MAX), number(4, 1)].concat();
    victim.receive(&message(6, &[number(1, 1), bytes(3, &end)]));
    assert!(victim.failure().is_none());
    let own = victim.model.remembered(peer_id(3)).unwrap_or_default();
    assert!(own.is_empty());
    let of_sender = victim.model.remembered(peer_id(1)).unwrap_or_default();
    assert_eq!(of_sender.first().map(|seen| seen.sequence), Some(Sequence(u64::MAX)));
}

#[test]
fn joined_documents_that_become_longer_than_they_came_are_counted_as_they_are() {
    let mut victim = Victim::new();
    victim.greet();
    let start = [number(1, 1)].concat();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &start)]));
    // A name that is spelled once as long as all members were written together.
    let members = (0..100).map(|member| (format!("member {member}"), int(1)));
    let mut author = Model::new(3);
    author.insert(1_000, "plants", "fern", &[(&"n".repeat(150), Value::Object(members.collect()))]);
    author.insert(1_000, "plants", "moss", &[("light", int(1))]);
    let delta = |author: &Model, id: &str, after| {
        let part = author.delta_since(&document_key("plants", id), Sequence(after));
        part.expect("a model").expect("it is there").delta
    };
    let whole = delta(&author, "fern", 0);
    author.set(1_000, "plants", "fern", "light", 2);
    let part = delta(&author, "fern", 2);
    let document = |id: &str, delta: &[u8], complete| {
        let key = document_key("plants", id);
        [number(1, 1), bytes(2, &key.id), bytes(4, &[1; 16]), bytes(5, delta), number(7, complete)].concat()
    };
    let end = |sequence| [number(1, 1), bytes(2, &[7; 8]), number(3, sequence), number(4, 1)].concat();
    let moss = document("moss", &delta(&author, "moss", 0), 0);
    let first = [number(1, 1), bytes(2, &moss), bytes(2, &document("fern", &whole, 1)), bytes(3, &end(5))];
    victim.receive(&message(6, &first));
    victim.receive(&message(6, &[number(1, 2), bytes(2, &document("fern", &part, 0)), bytes(3, &end(9))]));
    // What is known of `moss` by now belongs to the second batch; the two are applied together, if `fern` is answered.
    let rest = |question, delta: &[u8]| {
        message(10, &[number(1, question), bytes(2, &[2; 16]), bytes(3, delta), number(6, 9)])
    };
    victim.receive(&rest(1, &delta(&author, "moss", 0)));
    let asked = victim.sent().iter().filter(|sent| sent[0] == 9).count();
    assert_eq!(asked, 2, "it asks for both");
    victim.receive(&rest(2, &part));
    assert_eq!(victim.failure(), None);
    assert!(victim.model.visible("plants", "moss").is_some());
}

/// Symbols that no set has.
fn nonsense(first: u64, count: u64, documents: u64) -> Vec<u8> {
    let symbols: Vec<u8> =
        (0..count).flat_map(|i| [(first + i) as u8 | 1; 20].into_iter().chain([2])).collect();
    message(16, &[number(1, 1), number(2, first), number(3, documents), bytes(4, &symbols)])
}

/// The first number of a field that is a number, at the top level of a message.
fn read(message: &[u8], field: u64) -> Option<u64> {
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

/// A victim that is a publisher in a reconciliation.
fn compared() -> Victim {
    let mut victim = Victim::new();
    victim.greet_with_plants();
    let interest = [number(1, 1), bytes(2, PLANTS.as_bytes())].concat();
    victim.receive(&message(2, &[number(1, 1), bytes(2, &interest)]));
    assert!(victim.sent().iter().any(|message| message[0] == 3));
    victim
}

#[test]
fn symbols_of_no_set_lead_to_a_walk() {
    // Who says that it holds next to nothing is sent everything, who says that it holds as much is offered it.
    for (claimed, is_offered) in [(10, false), (40, true)] {
        let mut victim = compared();
        let (mut first, mut wanted) = (0, 8);
        let mut answers = Vec::new();
        while wanted > first {
            victim.receive(&nonsense(first, wanted - first, claimed));
            first = wanted;
            let sent = victim.sent();
            let asked = sent.iter().filter(|sent| sent[0] == 17).filter_map(|sent| read(sent, 2)).max();
            wanted = asked.unwrap_or(first);
            answers.extend(sent);
            assert!(first < 100_000, "it asks for ever");
        }
        assert_eq!(victim.failure(), None);
        let settled: Vec<_> = answers.iter().filter(|sent| sent[0] == 19).map(|sent| read(sent, 2)).collect();
        assert_eq!(settled, [None], "at 0");
        if is_offered {
            victim.receive(&message(5, &[number(1, 1), bytes(2, &[0xff; 6])]));
        }
        let sent = victim.replicator.statistics(BAD).expect("the session goes on").documents_sent;
        assert_eq!(sent, victim.model.count() as u64, "everything is told");
    }
}

#[test]
fn symbols_with_impossible_counts_lead_to_a_walk() {
    for first in [[1_u8; 16], [0; 16]] {
        let mut victim = compared();
        // Sums, checks, and the greatest distance that there is: a varint of 64 bits.
        let symbol = |index: u8| {
            let sum = if index == 0 { first } else { [index; 16] };
            [&sum[..], &[index; 4], &[0xfe], &[0xff; 8], &[0x01]].concat()
        };
        let symbols: Vec<u8> = (0..8).flat_map(symbol).collect();
        victim.receive(&message(16, &[number(1, 1), number(3, 40), bytes(4, &symbols)]));
        let sent = victim.sent();
        assert!(sent.iter().any(|sent| sent[0] == 19 && read(sent, 2).is_none()), "settled at 0");
        assert_eq!(victim.failure(), None);
    }
}

#[test]
fn symbols_that_nobody_asked_for_end_the_session() {
    let forged: Vec<Vec<Vec<u8>>> = vec![
        vec![nonsense(1, 7, 40)],
        vec![nonsense(0, 9, 40)],
        vec![nonsense(0, 8, 1 << 21)],
        vec![nonsense(0, 4, 40), nonsense(4, 4, 41)],
        vec![nonsense(0, 4, 40), nonsense(0, 4, 40)],
        vec![message(16, &[number(1, 1), number(3, 40)])],
        // Of ranges that are too narrow, do not exist, or have not had their turn, and of a part after the whole.
        vec![message(16, &[number(1, 1), number(7, 7)])],
        vec![message(16, &[number(1, 1), number(7, 1), number(8, 2)])],
        vec![message(16, &[number(1, 1), number(7, 1), number(8, 1)])],
        vec![nonsense(0, 8, 40), message(16, &[number(1, 1), number(7, 1)])],
        vec![message(16, &[number(1, 2), number(3, 0)])],
        vec![message(18, &[number(1, 1), bytes(2, &[0; 16])])],
        vec![message(18, &[number(1, 9), bytes(2, &[])])],
    ];
    for messages in forged {
        let mut victim = compared();
        messages.iter().for_each(|message| victim.receive(message));
        let reason = victim.failure();
        assert!(matches!(reason, Some(CloseReason::Violation(_))), "{:?}: {reason:?}", &messages[0][..9]);
    }
}

#[test]
fn a_subscriber_that_never_describes_what_it_holds_is_given_up() {
    let mut victim = compared();
    let timeout = victim.replicator.next_timeout().expect("symbols are awaited");
    assert!(timeout > 1_000, "it is not in a hurry");
    victim.replicator.tick(&mut victim.model, timeout);
    assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Timeout(_)))));
}

#[test]
fn who_states_more_changes_has_more_time_to_take_stock_but_not_for_ever() {
    let patience = |changes: u64| {
        let mut victim = compared();
        let again = [number(1, 2), bytes(2, PLANTS.as_bytes())].concat();
        victim.receive(&message(2, &[number(1, 2), bytes(2, &again), number(3, 1), number(6, changes)]));
        let timeout = victim.replicator.next_timeout().expect("symbols are awaited");
        victim.replicator.tick(&mut victim.model, timeout - 1);
        assert_eq!(victim.failure(), None);
        victim.replicator.tick(&mut victim.model, timeout);
        assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Timeout(_)))));
        timeout - 1_000
    };
    assert_eq!(patience(1_000), ANSWER_TIMEOUT_MS + 100);
    assert_eq!(patience(2_000_000), ANSWER_TIMEOUT_MS + 200_000);
    assert_eq!(patience(u64::MAX), ANSWER_TIMEOUT_MS + MAX_STOCK_MS);
}

/// A victim that is a subscriber in a reconciliation up to the publisher's sequence 9, in the run of seven sevens.
fn described() -> Victim {
    let mut victim = Victim::new();
    victim.greet_with_plants();
    let start = [number(1, 1), number(2, 9), number(4, 1)].concat();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &start)]));
    let sent = victim.sent();
    let symbols: Vec<_> = sent.iter().filter(|sent| sent[0] == 16).map(|sent| read(sent, 3)).collect();
    assert_eq!(symbols, [Some(41)]);
    victim
}

#[test]
fn inquiries_are_answered_within_bounds() {
    let mut victim = described();
    victim.receive(&message(17, &[number(1, 1), number(2, 32), bytes(3, &[1; 32])]));
    while victim.replicator.next_timeout() == Some(1_000) {
        victim.replicator.tick(&mut victim.model, 1_000);
    }
    let sent = victim.sent();
    let names: Vec<_> = sent.iter().filter(|sent| sent[0] == 18).collect();
    assert_eq!(names, [&message(18, &[number(1, 1), bytes(2, &[0; 32])])], "there are no such documents");
    assert_eq!(sent.iter().filter(|sent| sent[0] == 16).filter_map(|sent| read(sent, 2)).max(), Some(8));
    for i in 0.. {
        victim.receive(&message(17, &[number(1, 1), bytes(3, &[1; 16 * 4_096])]));
        if let Some(reason) = victim.failure() {
            assert_eq!(reason, CloseReason::Violation(Violation::Limit("symbols")));
            break;
        }
        victim.sent();
        assert!(i < 100, "it answers for ever");
    }
}

#[test]
fn a_range_is_described_once_and_none_before_it_again() {
    let mut victim = described();
    let mut answers = |bits, range| {
        victim.receive(&message(17, &[number(1, 1), number(2, 8), number(4, bits), number(5, range)]));
        while victim.replicator.next_timeout() == Some(1_000) {
            victim.replicator.tick(&mut victim.model, 1_000);
        }
        assert_eq!(victim.failure(), None);
        let sent = victim.sent();
        let symbols = sent.iter().filter(|sent| sent[0] == 16);
        symbols.map(|sent| [3, 7, 8].map(|field| read(sent, field).unwrap_or_default())).collect::<Vec<_>>()
    };
    let mut documents = 0;
    for range in 0..4 {
        let [[held, 2, there]] = answers(2, range)[..] else { panic!("one message, of that range") };
        assert_eq!(there, range);
        documents += held;
        for (bits, earlier) in [(0, 0), (1, range / 2), (2, range), (6, 0)] {
            let begins_it = bits == 6 && range == 0;
            assert!(begins_it || answers(bits, earlier).is_empty(), "{bits} {earlier}");
        }
    }
    assert_eq!(documents, 41, "each document is in one of them");
    assert_eq!(answers(6, 63).len(), 1);
    assert!(answers(6, 62).is_empty());
}

#[test]
fn forged_ends_of_a_reconciliation_end_the_session() {
    let forged: Vec<Vec<u8>> = vec![
        message(17, &[number(1, 1), number(2, u64::MAX)]),
        message(17, &[number(1, 2)]),
        message(17, &[number(1, 1), bytes(3, &[1; 17])]),
        message(17, &[number(1, 1), number(4, 7)]),
        message(17, &[number(1, 1), number(4, u64::MAX), number(5, u64::MAX)]),
        message(17, &[number(1, 1), number(4, 2), number(5, 4)]),
        message(17, &[number(1, 1), bytes(3, &[1; 16 * 4_097])]),
        message(19, &[number(1, 2)]),
        message(19, &[number(1, 1), number(2, 8)]),
        message(19, &[number(1, 1), number(2, 10)]),
    ];
    for bytes in forged {
        let mut victim = described();
        victim.receive(&bytes);
        let reason = victim.failure();
        assert!(matches!(reason, Some(CloseReason::Violation(_))), "{:?}: {reason:?}", &bytes[..4]);
    }
    let mut victim = described();
    victim.receive(&message(19, &[number(1, 1), number(2, 9)]));
    assert!(victim.failure().is_none() && victim.model.checkpoints().is_empty());
}

#[test]
fn what_was_sent_before_the_end_of_a_reconciliation_moves_no_checkpoint() {
    let mut victim = described();
    let mut author = Model::new(3);
    author.insert(1_000, "plants", "fern", &[("light", int(1))]);
    author.set(1_000, "plants", "fern", "light", 2);
    let fern = document_key("plants", "fern");
    let delta = author.delta_since(&fern, Sequence(1)).expect("a model").expect("it is there").delta;
    // A document whose base is not held: the batch waits for the answer to a question.
    let document = [number(1, 1), bytes(2, &fern.id), bytes(4, &[1; 16]), bytes(5, &delta)].concat();
    let end = |sequence| [number(1, 1), bytes(2, &[7; 8]), number(3, sequence), number(4, 1)].concat();
    victim.receive(&message(6, &[number(1, 1), bytes(2, &document), bytes(3, &end(20))]));
    // Everything is going to be told.
    victim.receive(&message(19, &[number(1, 1)]));
    victim.receive(&message(10, &[number(1, 1)]));
    assert!(victim.model.checkpoints().is_empty());
    victim.receive(&message(6, &[number(1, 2), bytes(3, &end(3))]));
    let checkpoints: Vec<Sequence> = victim.model.checkpoints().iter().map(|kept| kept.sequence).collect();
    assert_eq!((victim.failure(), checkpoints), (None, vec![Sequence(3)]));
}
