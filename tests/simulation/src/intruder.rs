//! A member that lies: a peer with a key of its own, whose messages are changed when they leave (`lies`).
//!
//! It runs the real state machine on a store of its own, so that it gets deep into sessions before it lies, and its messages are
//! mostly such as might be true. It calls any peer at any time in a storm, may stop reading, and is gone when the storm is over.
//!
//! What a member says of documents has to be believed: nobody can tell a forged change from one that it has made. So that all that is
//! known of honest data stays true, everybody has decided that nothing but the collection `lies` travels to and from the intruder, in
//! which all peers, it among them, write, and to which all subscribe. Everything in this collection may be forged: documents, versions,
//! graves, evidence. All that is asked of it is that honest peers end equal. What is *not* attacked: the key of a peer, which the
//! transport has proved, and the lower layers, which have tests of their own.
//!
//! What is looked at, beside all that is asked of any world: a session with it may end for whatever reason, any other may not;
//! neither side gets anything of a collection that does not travel; and what waits for it stays within the same bounds.

use std::collections::BTreeMap;

use ditto_replication::{CloseReason, Event, PeerId, Sizes};
use ditto_store::StoreError;
use ditto_value::{Object, Value};

use crate::incident::{Incident, count};
use crate::lies;
use crate::older::with_capabilities_of;
use crate::oracle;
use crate::peer::{Peer, Shared, Wish, peer_id};
use crate::random::Random;
use crate::sabotage::Sabotage;
use crate::sizes;
use crate::world::{Happening, World};

/// The link to the intruder, in the sessions of a peer: none of the world's links.
pub(crate) const TO_INTRUDER: usize = usize::MAX;

/// The collection that travels to and from it.
pub(crate) const COLLECTION: &str = "lies";

/// No other peer has this number.
const NUMBER: usize = 1_000_000;
/// Milliseconds that its messages take.
const LATENCY_MS: u64 = 5;
/// Ids of documents in its collection begin with this, and those of what it has in others.
pub(crate) const LIE: &str = "lie-";
/// Ids that everybody uses.
const DOCUMENTS: u64 = 24;
/// Words of a long document, of which a flood of answers is too much for who does not read.
const LONG: u64 = 15_000;
/// Questions that it asks at once, at most, and the number of the first: its state machine does not come that far.
const MAX_QUESTIONS: u64 = 1_000;
const FIRST_QUESTION: u64 = 1 << 32;
/// Messages that it remembers to say them again.
const MAX_RECORDED: usize = 64;
/// All capabilities but that to read packed messages, in which lies are hard to place.
const WITHOUT_PACKING: u64 = !1;

/// Everybody subscribes to what may be a lie.
pub(crate) fn wish() -> Wish {
    Wish::plain("SELECT * FROM lies")
}

/// Its name to the others.
pub(crate) fn key() -> PeerId {
    peer_id(NUMBER)
}

/// Whether a collection travels to and from a peer.
pub(crate) fn may_travel(remote: PeerId, collection: &str) -> bool {
    remote != key() || collection == COLLECTION
}

/// What an intruder does.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Intrusion {
    /// It calls somebody.
    Call,
    /// A message of it arrives.
    Says { victim: usize, call: u64, bytes: Vec<u8> },
    /// A message to it arrives.
    Hears { victim: usize, call: u64, bytes: Vec<u8> },
    /// It begins to read again, or stops.
    Reads { victim: usize, call: u64, reads: bool },
    /// A session ends.
    HangsUp { victim: usize, call: u64 },
    /// Time passes for it.
    Tick,
}

/// One session.
struct Call {
    /// Which.
    number: u64,
    /// So many messages are honest, from now on.
    honest: u64,
    /// Of a hundred messages so many are changed after that.
    lying: u64,
    /// Whether neither side is told that the other can read packed messages.
    plain: bool,
    /// A message that is said after the next one.
    kept: Option<Vec<u8>>,
}

/// The liar.
pub struct Intruder {
    pub(crate) peer: Peer,
    dice: Random,
    calls: u64,
    /// By whom it talks to.
    talks: BTreeMap<usize, Call>,
    recorded: Vec<Vec<u8>>,
    tick_due: Option<u64>,
}

impl Intruder {
    fn call_of(&self, victim: usize) -> Option<u64> {
        self.talks.get(&victim).map(|call| call.number)
    }

    /// Writes into its own collection, and into those that must not travel.
    fn write(&mut self, large: bool) {
        for _ in 0..self.dice.below(12) {
            let collection = *self.dice.choose(&[COLLECTION, COLLECTION, COLLECTION, "plants", "pairs"]);
            let (statement, arguments) = statement(collection, large, &mut self.dice);
            // What has been forged may not be writable any more.
            let _ = self.peer.execute(&statement, &arguments);
        }
    }

    /// Questions about one document, more than anybody has, by who does not read the answers.
    fn questions(&mut self) -> Vec<Vec<u8>> {
        let mut id = Vec::new();
        ditto_value::key::encode(&Value::from(format!("{LIE}{}", self.dice.below(DOCUMENTS))), &mut id);
        let question = |number| lies::question(FIRST_QUESTION + number, COLLECTION, &id);
        (0..self.dice.below(MAX_QUESTIONS)).map(question).collect()
    }

    /// What it says in the place of an honest message.
    fn says(&mut self, victim: usize, bytes: Vec<u8>) -> (Vec<Vec<u8>>, bool) {
        let Some(call) = self.talks.get_mut(&victim) else { return (Vec::new(), false) };
        let bytes = if call.plain { with_capabilities_of(bytes, WITHOUT_PACKING) } else { bytes };
        let is_honest = call.honest > 0 || !self.dice.percent(call.lying);
        call.honest = call.honest.saturating_sub(1);
        let mut said = match is_honest {
            true => vec![bytes.clone()],
            false if call.kept.is_none() && self.dice.percent(10) => {
                call.kept = Some(bytes);
                return (Vec::new(), true);
            }
            false => lies::instead_of(bytes.clone(), &self.recorded, &mut self.dice),
        };
        said.extend(call.kept.take());
        if self.recorded.len() < MAX_RECORDED {
            self.recorded.push(bytes);
        } else {
            let index = usize::try_from(self.dice.below(MAX_RECORDED as u64)).unwrap_or(0);
            self.recorded[index] = bytes;
        }
        (said, !is_honest)
    }
}

/// Something that is written to a collection in which lies may be.
fn statement(collection: &str, large: bool, dice: &mut Random) -> (String, Object) {
    let id = format!("{LIE}{}", dice.below(DOCUMENTS));
    let value = dice.below(1_000);
    let mut arguments = Object::from([("id", Value::from(id.as_str())), ("value", Value::from(value))]);
    let rest = match dice.below(6) {
        0..3 => {
            let times = if large && dice.percent(5) { LONG } else { dice.below(60) };
            let words = "a lie ".repeat(usize::try_from(times).unwrap_or(0));
            let members =
                [("_id", Value::from(id)), ("light", Value::from(value)), ("words", Value::from(words))];
            let arguments = Object::from([("d", Value::from(Object::from(members)))]);
            let text = format!("INSERT INTO {collection} DOCUMENTS (:d) ON ID CONFLICT DO UPDATE");
            return (text, arguments);
        }
        3 => "SET light = :value",
        4 => "APPLY visits INCREMENT BY 1",
        _ => {
            arguments.remove("value");
            return (format!("DELETE FROM {collection} WHERE _id = :id"), arguments);
        }
    };
    if !rest.contains(":value") {
        arguments.remove("value");
    }
    (format!("UPDATE {collection} {rest} WHERE _id = :id"), arguments)
}

impl World {
    /// Somebody comes who lies. Everybody subscribes to what it has.
    pub fn admit_intruder(&mut self, seed: u64) {
        let mut dice = Random::new(seed);
        let sizes = if dice.percent(50) { sizes::draw(&mut dice) } else { Sizes::default() };
        let shared = Shared { sabotage: None, ..self.shared.clone() };
        let mut peer = Peer::new(NUMBER, dice.draw(), 0, sizes, shared);
        peer.wishes = [COLLECTION, "plants", "pairs"]
            .map(|collection| Wish::plain(&format!("SELECT * FROM {collection}")))
            .to_vec();
        if let Err(error) = peer.start(self.now) {
            self.verdicts.push(format!("the store of the intruder: {error}"));
        }
        self.intruder = Some(Intruder {
            peer,
            dice,
            calls: 0,
            talks: BTreeMap::new(),
            recorded: Vec::new(),
            tick_due: None,
        });
    }

    fn intrusion(&mut self, delay: u64, intrusion: Intrusion) {
        self.schedule(delay, Happening::Intrusion(intrusion));
    }

    /// A storm begins.
    pub fn let_intruder_in(&mut self) {
        if self.intruder.is_some() {
            self.intrusion(1, Intrusion::Call);
        }
    }

    /// The storm is over: nobody hears of it again.
    pub fn shut_intruder_out(&mut self) {
        (0..self.peers.len()).for_each(|victim| self.hang_up(victim));
    }

    pub(crate) fn intrude(&mut self, intrusion: Intrusion) {
        let Some(intruder) = &mut self.intruder else { return };
        let now = self.now;
        let is_current = |intruder: &Intruder, victim, call| intruder.call_of(victim) == Some(call);
        match intrusion {
            Intrusion::Call => self.call(),
            Intrusion::Says { victim, call, bytes } if is_current(intruder, victim, call) => {
                self.hear_intruder(victim, &bytes);
            }
            Intrusion::Hears { victim, call, bytes } if is_current(intruder, victim, call) => {
                let plain = intruder.talks.get(&victim).is_some_and(|call| call.plain);
                let bytes = if plain { with_capabilities_of(bytes, WITHOUT_PACKING) } else { bytes };
                if let Some(process) = &mut intruder.peer.process
                    && let Some(session) = process.sessions.get(&victim)
                {
                    process.replicator.receive(*session, &bytes, &mut process.replica, now);
                }
            }
            Intrusion::Reads { victim, call, reads } if is_current(intruder, victim, call) => {
                let asked = if reads { Vec::new() } else { intruder.questions() };
                for bytes in asked {
                    self.intrusion(LATENCY_MS, Intrusion::Says { victim, call, bytes });
                }
                self.with(victim, |process| {
                    if let Some(session) = process.sessions.get(&TO_INTRUDER) {
                        process.replicator.set_blocked(*session, !reads);
                    }
                });
            }
            Intrusion::HangsUp { victim, call } if is_current(intruder, victim, call) => self.hang_up(victim),
            Intrusion::Tick if intruder.tick_due == Some(now) => {
                intruder.tick_due = None;
                if let Some(process) = &mut intruder.peer.process {
                    process.replicator.tick(&mut process.replica, now);
                }
            }
            _ => return,
        }
        self.pump_intruder();
    }

    /// It calls somebody, and makes an appointment for the next call.
    fn call(&mut self) {
        if !self.stormy {
            return;
        }
        let large = self.climate.large;
        let Some(intruder) = &mut self.intruder else { return };
        let dice = &mut intruder.dice;
        let (next, duration, silent) = (dice.between(100, 3_000), dice.between(50, 20_000), dice.percent(25));
        let victim = usize::try_from(dice.below(self.peers.len() as u64)).unwrap_or(0);
        let (stops, pause) = (dice.between(20, 2_000), dice.between(10, 10_000));
        let (honest, lying) = (dice.below(25), *dice.choose(&[5, 20, 60, 100]));
        let plain = dice.percent(60);
        intruder.write(large);
        let is_free = intruder.call_of(victim).is_none();
        self.intrusion(next, Intrusion::Call);
        let peer = &self.peers[victim];
        let key_of_victim = peer.key;
        if peer.process.is_none() || peer.failed || !is_free {
            return;
        }
        let Some(intruder) = &mut self.intruder else { return };
        intruder.calls += 1;
        let call = intruder.calls;
        intruder.talks.insert(victim, Call { number: call, honest, lying, plain, kept: None });
        self.note(|| format!("the intruder calls {victim}"));
        self.count(Incident::Call);
        self.intrusion(duration, Intrusion::HangsUp { victim, call });
        if silent {
            self.intrusion(stops, Intrusion::Reads { victim, call, reads: false });
            self.intrusion(stops + pause, Intrusion::Reads { victim, call, reads: true });
        }
        let now = self.now;
        let Some(intruder) = &mut self.intruder else { return };
        if let Err(error) = intruder.peer.connect(victim, key_of_victim, now) {
            self.verdicts.push(format!("the store of the intruder: {error}"));
        }
        match self.peers[victim].connect(TO_INTRUDER, key(), now) {
            Ok(()) => self.pump(victim),
            Err(error) => self.failed(victim, &error),
        }
    }

    /// A message of the intruder arrives at a peer. What that takes from it counts as a change, which the others may hear of.
    fn hear_intruder(&mut self, victim: usize, bytes: &[u8]) {
        self.imprint(bytes);
        let now = self.now;
        let before = self.peers[victim].last_sequence();
        // On purpose: it is taken for what somebody else says.
        let mistaken = self.shared.sabotage == Some(Sabotage::MistakenSenders);
        self.with(victim, |process| {
            let mut others = process.sessions.iter().filter(|(link, _)| **link != TO_INTRUDER);
            let other = others.next().filter(|_| mistaken).map(|(_, session)| *session);
            if let Some(session) = other.or(process.sessions.get(&TO_INTRUDER).copied()) {
                process.replicator.receive(session, bytes, &mut process.replica, now);
            }
        });
        let (documents, bytes) = oracle::cost::of_changes(&self.peers[victim], before);
        self.changes += documents;
        self.change_bytes += bytes;
        count(&mut self.tally, Incident::Taken, documents);
    }

    /// What a peer says to the intruder is on its way.
    pub(crate) fn tell_intruder(&mut self, victim: usize, bytes: Vec<u8>) {
        if let Some(call) = self.intruder.as_ref().and_then(|intruder| intruder.call_of(victim)) {
            self.intrusion(LATENCY_MS, Intrusion::Hears { victim, call, bytes });
        }
    }

    /// Sends what the intruder makes of what its state machine says.
    fn pump_intruder(&mut self) {
        let now = self.now;
        loop {
            let Some(intruder) = &mut self.intruder else { return };
            let Some(process) = &mut intruder.peer.process else { return };
            process.replicator.committed(&mut process.replica, now);
            if let Ok(durable) = process.store.sync() {
                process.replicator.durable(durable, &mut process.replica, now);
            }
            let Some((session, bytes)) = process.replicator.poll_transmit() else { break };
            let Some(victim) = process.link(session) else { continue };
            let Some(call) = intruder.call_of(victim) else { continue };
            let (said, is_lie) = intruder.says(victim, bytes);
            count(&mut self.tally, Incident::Lie, u64::from(is_lie));
            for bytes in said {
                self.intrusion(LATENCY_MS, Intrusion::Says { victim, call, bytes });
            }
        }
        self.look_at_intruder();
    }

    /// Sessions that its own side has ended, and the next tick.
    fn look_at_intruder(&mut self) {
        let now = self.now;
        let Some(intruder) = &mut self.intruder else { return };
        let Some(process) = &mut intruder.peer.process else { return };
        let mut ended = Vec::new();
        while let Some(event) = process.replicator.poll_event() {
            if let Event::SessionFailed { session, .. } = event
                && let Some(victim) = process.link(session)
                && let Some(call) = intruder.talks.get(&victim)
            {
                ended.push(Intrusion::HangsUp { victim, call: call.number });
            }
        }
        let timeout = process.replicator.next_timeout().map(|at| at.max(now + 1));
        let due = timeout.filter(|due| intruder.tick_due.is_none_or(|present| *due < present));
        if due.is_some() {
            intruder.tick_due = due;
        }
        ended.into_iter().for_each(|end| self.intrusion(LATENCY_MS, end));
        if let Some(due) = due {
            self.intrusion(due - now, Intrusion::Tick);
        }
    }

    /// The session of a peer with the intruder ends.
    pub(crate) fn hang_up(&mut self, victim: usize) {
        let now = self.now;
        let Some(intruder) = &mut self.intruder else { return };
        if intruder.talks.remove(&victim).is_some() {
            intruder.peer.disconnect(victim, now);
            self.peers[victim].disconnect(TO_INTRUDER, now);
            self.note(|| format!("the intruder and {victim} part"));
        }
    }

    /// Does what an event asks for that the intruder has caused; false if the disk failed.
    pub(crate) fn react_to_intruder(&mut self, peer: usize, event: &Event) -> bool {
        match event {
            Event::SessionFailed { reason, .. } => {
                if matches!(reason, CloseReason::Replica(_)) {
                    // Whatever is said, it is no reason for the store to fail.
                    if !self.peers[peer].storage.has_failed() {
                        self.verdicts.push(format!("peer {peer}: {event:?}, although its disk works"));
                    }
                    return false;
                }
                if matches!(reason, CloseReason::Violation(_)) {
                    self.count(Incident::FoundOut);
                }
                if let Some(call) = self.intruder.as_ref().and_then(|intruder| intruder.call_of(peer)) {
                    self.intrusion(1, Intrusion::HangsUp { victim: peer, call });
                }
                true
            }
            // It claims to have seen what never was: that costs the others a comparison.
            Event::ForkDetected { run, sequence, .. } => {
                self.restores += 1;
                self.excuse_all_parts();
                self.peers[peer].answer_fork(*run, *sequence).is_ok()
            }
            // Documents that it has made up, and subscriptions that it says it does not serve.
            _ => true,
        }
    }

    /// Now and then a peer writes where lies may be.
    pub(crate) fn write_among_lies(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(intruder) = &mut self.intruder else { return Ok(()) };
        if !intruder.dice.percent(15) {
            return Ok(());
        }
        let (statement, arguments) = statement(COLLECTION, self.climate.large, &mut intruder.dice);
        match self.execute(peer, &statement, &arguments) {
            // What a liar has stamped or filled up may not be writable any more.
            Ok(_) | Err(StoreError::Data(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether an event is of a session with the intruder.
pub(crate) fn has_caused(event: &Event) -> bool {
    match event {
        Event::SessionFailed { remote, .. }
        | Event::ForkDetected { remote, .. }
        | Event::SubscriptionRefused { remote, .. }
        | Event::DocumentRefused { remote, .. } => *remote == key(),
        _ => false,
    }
}

/// The worlds that have an intruder, with the seed of its dice: other ones than those of the story.
pub(crate) fn comes_to(seed: u64) -> Option<u64> {
    let mut dice = Random::new(seed ^ 0x11a5_11a5_11a5_11a5);
    dice.percent(12).then(|| dice.draw())
}
