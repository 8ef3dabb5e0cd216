//! Plays section 9 of `docs/protocol.md` with real stores and state machines, and lets real peers hear what the page says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ditto_peer::StoreReplica;
use ditto_replication::{Event, LocalPeer, PeerId, Replicator, SessionId, SubscriptionId};
use ditto_storage::MemoryStorage;
use ditto_store::{Environment, Executor, Store, StoreOptions};
use ditto_value::Object;

const DATABASE: &str = "3bd1a8ac-5b8a-4b0f-9b0a-5a7e6f3c1d21";
const QUERY: &str = "SELECT * FROM c";
const FILTERED: &str = "SELECT * FROM c WHERE n = 1";
const INSERT: &str = "INSERT INTO c DOCUMENTS ({'_id': 'x', 'n': 1}), ({'_id': 7, 'm': {'t': 'hi'}})";
const UPDATE: &str = "UPDATE c SET n = 2 WHERE _id = 'x'";
/// What both write that do not know of each other's change.
const OF_A: &str = "UPDATE c SET p = 3 WHERE _id = 7";
const OF_B: &str = "UPDATE c SET q = true WHERE _id = 7";
/// What B writes that A does not tell it of.
const OTHER_OF_B: &str = "INSERT INTO c DOCUMENTS ({'_id': 7, 'q': true})";
/// When the documents are inserted, when one is changed, when another one is, and when B writes that.
const MORNING: u64 = 1_780_000_000_000;
const NOON: u64 = MORNING + 60_000;
const EVENING: u64 = NOON + 60_000;
const NIGHT: u64 = EVENING + 60_000;
/// Who does something by itself does it sooner, and nobody loses patience.
const SHORTLY_MS: u64 = 5_000;
/// The first letters of the ids that each draws.
const A: u8 = 0xa0;
const B: u8 = 0xb0;
const SOMEBODY_ELSE: u8 = 0xd0;
/// Kinds of messages, and field 8 of Hello.
const HELLO: u8 = 1;
const INTERESTS: u8 = 2;
const WALK: u8 = 3;
const BATCH: u8 = 6;
const ACKNOWLEDGE: u8 = 8;
const CAPABILITIES: u8 = 8 << 1;

/// What a part of the section shows.
struct Conversation {
    heading: &'static str,
    /// What B subscribes to.
    query: &'static str,
    /// B has no capabilities, and takes A for one that has none.
    is_old: bool,
    deeds: &'static [Deed],
    /// What B has in the end.
    documents: [&'static str; 2],
}

/// What happens when both are silent.
enum Deed {
    Meet,
    /// Somebody writes, at a time, a statement; it has heard so many messages of a kind before.
    Write(u8, u64, &'static str, (u8, usize)),
}

use Deed::{Meet, Write};

const WITH_ALL: Conversation = Conversation {
    heading: "With all capabilities",
    query: QUERY,
    is_old: false,
    deeds: &[
        Meet,
        Write(A, NOON, UPDATE, (ACKNOWLEDGE, 1)),
        Meet,
        Write(B, EVENING, OF_B, (WALK, 2)),
        Write(A, EVENING, OF_A, (INTERESTS, 2)),
    ],
    documents: [r#"{"_id":"x","n":2}"#, r#"{"_id":7,"m":{"t":"hi"},"p":3,"q":true}"#],
};
const SMALLEST: Conversation = Conversation {
    heading: "With the smallest peer",
    query: QUERY,
    is_old: true,
    deeds: &[Meet, Write(A, NOON, UPDATE, (ACKNOWLEDGE, 1)), Meet],
    documents: [r#"{"_id":"x","n":2}"#, r#"{"_id":7,"m":{"t":"hi"}}"#],
};
const WITH_FILTER: Conversation = Conversation {
    heading: "With a filter",
    query: FILTERED,
    is_old: false,
    deeds: &[
        Meet,
        Write(A, NOON, UPDATE, (ACKNOWLEDGE, 1)),
        Write(A, EVENING, OF_A, (ACKNOWLEDGE, 2)),
        Write(B, NIGHT, OTHER_OF_B, (BATCH, 3)),
    ],
    documents: [r#"{"_id":"x","n":2}"#, r#"{"_id":7,"m":{"t":"hi"},"p":3,"q":true}"#],
};
const CONVERSATIONS: [&Conversation; 3] = [&WITH_ALL, &SMALLEST, &WITH_FILTER];

/// A clock that stands, and dice that show a0a0…, a1a1…
struct Still {
    now_ms: AtomicU64,
    next: AtomicU64,
}

impl Environment for Still {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn random_u64(&self) -> u64 {
        self.next.fetch_add(0x0101_0101_0101_0101, Ordering::Relaxed)
    }
}

struct Nobody;

impl Executor for Nobody {
    fn spawn(&self, _job: Box<dyn FnOnce() + Send>) {}
}

struct Peer {
    letter: u8,
    clock: Arc<Still>,
    store: Store,
    replica: StoreReplica,
    replicator: Replicator,
    session: u64,
    ticks: u32,
}

impl Peer {
    fn new(letter: u8) -> Self {
        let clock = Arc::new(Still {
            now_ms: AtomicU64::new(MORNING),
            next: AtomicU64::new(u64::from_le_bytes([letter; 8])),
        });
        let environment = Arc::clone(&clock) as Arc<dyn Environment>;
        let options = StoreOptions::new(DATABASE, Arc::new(Nobody));
        let store = Store::open(Arc::new(MemoryStorage::new()), environment, options).unwrap();
        let replica = StoreReplica::new(store.clone());
        let replicator = Replicator::new(LocalPeer::new(PeerId([letter; 32]), DATABASE));
        Self { letter, clock, store, replica, replicator, session: 0, ticks: 0 }
    }

    /// The peer A of the page.
    fn author() -> Self {
        let author = Self::new(A);
        author.execute(INSERT);
        author.store.sync().unwrap();
        author
    }

    /// One like the peer B of the page.
    fn subscriber(letter: u8, query: &str) -> Self {
        let mut peer = Self::new(letter);
        let Self { replica, replicator, .. } = &mut peer;
        replicator.subscribe(SubscriptionId(1), query, &Object::new(), replica, MORNING).unwrap();
        peer
    }

    fn execute(&self, statement: &str) -> Vec<String> {
        let result = self.store.execute(statement, &Object::new()).unwrap();
        result.rows.iter().map(|row| row.value().to_json()).collect()
    }

    /// A session begins, after the one before has ended.
    fn meet(&mut self) {
        self.replicator.disconnected(SessionId(self.session));
        self.session += 1;
        let remote = PeerId([if self.letter == A { B } else { A }; 32]);
        let now = self.clock.now_ms();
        self.replicator.connected(SessionId(self.session), remote, &mut self.replica, now);
    }

    fn hear(&mut self, message: &[u8]) {
        let now = self.clock.now_ms();
        self.replicator.receive(SessionId(self.session), message, &mut self.replica, now);
    }

    /// Writes down what it did, and takes what it has to say.
    fn speak(&mut self) -> Vec<Vec<u8>> {
        let now = self.clock.now_ms();
        let durable = self.store.sync().unwrap();
        self.replicator.durable(durable, &mut self.replica, now);
        let said =
            std::iter::from_fn(|| self.replicator.poll_transmit()).map(|(_, message)| message).collect();
        while let Some(event) = self.replicator.poll_event() {
            assert!(
                !matches!(event, Event::SessionFailed { .. } | Event::SubscriptionRefused { .. }),
                "{event:?}"
            );
        }
        said
    }

    fn write(&self, now_ms: u64, statement: &str) {
        self.set_clock(now_ms);
        self.execute(statement);
    }

    fn set_clock(&self, now_ms: u64) {
        self.clock.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When it is going to do something by itself before long.
    fn due(&self) -> Option<u64> {
        self.replicator.next_timeout().filter(|due| *due < self.clock.now_ms() + SHORTLY_MS)
    }

    fn tick(&mut self, now_ms: u64) {
        self.set_clock(now_ms);
        self.replicator.tick(&mut self.replica, now_ms);
        self.ticks += 1;
        assert!(self.ticks < 1_000, "the same is due again and again");
    }

    fn documents(&self) -> Vec<String> {
        let mut documents = self.execute(QUERY);
        documents.sort();
        documents
    }
}

/// Who says what.
type Line = (u8, Vec<u8>);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The messages under a heading of the page, each with what stands after it in words.
fn page(heading: &str) -> Vec<Line> {
    let page = include_str!("../../../docs/protocol.md");
    let section = page.split("\n## ").find(|section| section.starts_with("9. ")).unwrap();
    let part = section.split("\n### ").find(|part| part.starts_with(heading)).unwrap();
    let mut lines: Vec<Line> = Vec::new();
    for block in part.split("```text\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        for line in block.lines() {
            if let Some(speaker) = line.split_once(" → ").map(|(speaker, _)| speaker) {
                lines.push((if speaker == "A" { A } else { B }, Vec::new()));
                continue;
            }
            // Bytes, and behind two spaces what they are.
            let digits: String = line.trim().split("  ").next().unwrap().split(' ').collect();
            let bytes = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            let bytes = bytes.map(|pair| u8::from_str_radix(pair, 16).unwrap());
            lines.last_mut().unwrap().1.extend(bytes);
        }
    }
    assert!(!lines.is_empty(), "there is nothing under {heading}");
    lines
}

/// A Hello of these peers without its capabilities, which are one byte: they stand before the clock; other messages as they are.
fn without_capabilities(message: Vec<u8>) -> Vec<u8> {
    let is_hello = message.first() == Some(&HELLO);
    let place = message.windows(3).rposition(|window| window == [CAPABILITIES, 0x7f, 10 << 1]);
    match place.filter(|_| is_hello) {
        Some(place) => [&message[..place], &message[place + 2..]].concat(),
        None => message,
    }
}

/// What two peers say until both are silent.
fn converse(a: &mut Peer, b: &mut Peer, is_old: bool) -> Vec<Line> {
    let mut said = Vec::new();
    let mut under_way = VecDeque::new();
    loop {
        for peer in [&mut *a, &mut *b] {
            for message in peer.speak() {
                // B has none, and takes A for one that has none.
                let (written, heard) = match (is_old, peer.letter == A) {
                    (true, true) => (message.clone(), without_capabilities(message)),
                    (true, false) => (without_capabilities(message.clone()), without_capabilities(message)),
                    (false, _) => (message.clone(), message),
                };
                said.push((peer.letter, written));
                under_way.push_back((peer.letter, heard));
            }
        }
        if under_way.is_empty() {
            return said;
        }
        while let Some((speaker, message)) = under_way.pop_front() {
            if speaker == A { b.hear(&message) } else { a.hear(&message) }
        }
    }
}

/// The same, and what they say by themselves before long.
fn converse_for_a_while(a: &mut Peer, b: &mut Peer, is_old: bool) -> Vec<Line> {
    let mut said = converse(a, b, is_old);
    while let Some(due) = [a.due(), b.due()].into_iter().flatten().min() {
        a.tick(due);
        b.tick(due);
        said.extend(converse(a, b, is_old));
    }
    said
}

fn play(conversation: &Conversation) -> Vec<Line> {
    let (mut a, mut b) = (Peer::author(), Peer::subscriber(B, conversation.query));
    let mut said = Vec::new();
    for deed in conversation.deeds {
        match deed {
            Meet => {
                a.meet();
                b.meet();
            }
            Write(who, at, statement, _) => {
                a.set_clock(*at);
                b.set_clock(*at);
                let writer = if *who == A { &a } else { &b };
                writer.write(*at, statement);
            }
        }
        said.extend(converse_for_a_while(&mut a, &mut b, conversation.is_old));
    }
    assert_eq!(b.documents(), conversation.documents);
    said
}

fn show(lines: &[Line]) -> String {
    let show = |(speaker, bytes): &Line| {
        let (from, to) = if *speaker == A { ("A", "B") } else { ("B", "A") };
        format!("{from} → {to}  {}\n", hex(bytes))
    };
    lines.iter().map(show).collect()
}

#[test]
fn the_peers_say_what_the_page_says() {
    for conversation in CONVERSATIONS {
        let (said, written) = (show(&play(conversation)), show(&page(conversation.heading)));
        assert!(said == written, "{}, said:\n{said}\nwritten:\n{written}", conversation.heading);
    }
}

/// What the other side says on the page, a peer hears word by word, and writes what it has written there; what it says itself.
fn listen(peer: &mut Peer, conversation: &Conversation) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    let role = if peer.letter == A { A } else { B };
    let mut heard = [0; 256];
    for (_, message) in page(conversation.heading).into_iter().filter(|(speaker, _)| *speaker != role) {
        let kind = *message.first().unwrap();
        if kind == HELLO {
            peer.meet();
            said.extend(peer.speak());
        }
        peer.hear(&message);
        said.extend(peer.speak());
        heard[usize::from(kind)] += 1;
        for deed in conversation.deeds {
            match deed {
                Write(who, at, statement, (of, count))
                    if *who == role && *of == kind && *count == heard[usize::from(kind)] =>
                {
                    peer.write(*at, statement);
                    said.extend(peer.speak());
                }
                _ => {}
            }
        }
        while let Some(due) = peer.due() {
            peer.tick(due);
            said.extend(peer.speak());
        }
    }
    said
}

#[test]
fn a_peer_that_hears_what_a_says_has_the_documents() {
    for conversation in CONVERSATIONS {
        let mut peer = Peer::subscriber(SOMEBODY_ELSE, conversation.query);
        let said = listen(&mut peer, conversation);
        let of_b = page(conversation.heading).into_iter().filter(|(speaker, _)| *speaker == B);
        let of_b = kinds(of_b.map(|(_, message)| message));
        assert_eq!(kinds(said), of_b, "{}", conversation.heading);
        assert_eq!(peer.documents(), conversation.documents, "{}", conversation.heading);
    }
}

fn kinds(messages: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    messages.into_iter().map(|message| *message.first().unwrap()).collect()
}

#[test]
fn a_peer_that_hears_what_b_says_says_what_a_says() {
    for conversation in CONVERSATIONS {
        let of_a = page(conversation.heading).into_iter().filter(|(speaker, _)| *speaker == A);
        let said = listen(&mut Peer::author(), conversation);
        let of_a: Vec<_> = of_a.map(|(_, message)| message).collect();
        assert_eq!(said, of_a, "{}", conversation.heading);
    }
}
