//! One session: greeting first, then both halves side by side.

mod postponed;

use ditto_crdt::Sequence;

use crate::capabilities::{CAPABILITIES, RECONCILIATION, decisive};
use crate::event::{Buffered, CloseReason, Event, SessionId, Violation};
use crate::limits::{
    ANSWER_TIMEOUT_MS, MAX_QUEUE_BYTES, MAX_QUEUE_MESSAGES, MAX_RUNS, PROTOCOL_MAX, PROTOCOL_MIN,
};
use crate::message::{Body, Hello, Interests, Message};
use crate::parts::{Beginning, Reassembly};
use crate::publisher::{Publisher, Withheld, locate};
use crate::questions::{self, Respondent};
use crate::replica::{Checkpoint, Greeting, PeerId};
use crate::replicator::LocalPeer;
use crate::sizes::Sizes;
use crate::subscriber::{Subscriber, Tears};
use crate::subscription::Subscriptions;
use crate::turn::{Counterpart, EagerLinks, Turn};
use postponed::Postponed;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) counterpart: Counterpart,
    phase: Phase,
    reassembly: Reassembly,
    publisher: Publisher,
    subscriber: Subscriber,
    respondent: Respondent,
    /// Of two peers that reconcile with each other, one tells what it found after the other.
    goes_second: bool,
    /// Changes of the other peer that were not seen when it greeted.
    backlog: u64,
    /// When it was subscribed to.
    subscribed: u64,
    /// Nothing is subscribed to yet, because another session brings much and may bring the same.
    postponed: Option<Postponed>,
    /// What the other peer has subscribed to meanwhile: then both may hold the same, and that is found out.
    unserved: Vec<Interests>,
    /// The owner cannot send at the moment.
    pub(crate) blocked: bool,
    /// [`Replica::scopes_revision`](crate::Replica::scopes_revision) when it began.
    pub(crate) scopes_revision: u64,
}

#[derive(Debug)]
enum Phase {
    /// Waits for the greeting of the other peer since then.
    Greeting(u64),
    Open {
        /// Those of both peers on which it depends what arrives.
        capabilities: u64,
    },
    Closed,
}

impl Session {
    /// A session that has yet to [`greet`](Self::greet).
    pub(crate) fn new(id: SessionId, remote: PeerId, sizes: Sizes, scopes_revision: u64, now: u64) -> Self {
        Self {
            counterpart: Counterpart::new(id, remote, sizes),
            phase: Phase::Greeting(now),
            reassembly: Reassembly::default(),
            publisher: Publisher::default(),
            subscriber: Subscriber::default(),
            respondent: Respondent::default(),
            goes_second: false,
            backlog: 0,
            subscribed: now,
            postponed: None,
            unserved: Vec::new(),
            blocked: false,
            scopes_revision,
        }
    }

    /// Sends the first message.
    pub(crate) fn greet(&mut self, local: &LocalPeer, turn: &mut Turn<'_>) -> Result<(), CloseReason> {
        let mut seen = turn.replica.remembered(self.counterpart.remote)?;
        seen.truncate(MAX_RUNS);
        let run = turn.replica.current_run();
        self.subscriber.told_evictions = turn.replica.eviction_total();
        self.subscriber.first_evictions = self.subscriber.told_evictions;
        self.subscriber.told_changes = turn.durable;
        self.subscriber.claims.clone_from(&seen);
        self.publisher.greeted_run = run;
        self.counterpart.send(&Message::Hello(Hello {
            versions: (PROTOCOL_MIN, PROTOCOL_MAX),
            database: local.database,
            site: turn.replica.site(),
            run,
            durable: turn.durable,
            seen,
            capabilities: CAPABILITIES,
            evictions: self.subscriber.told_evictions,
            clock_ms: turn.replica.wall_clock_ms(),
            begun: self.reassembly.begun(),
        }));
        Ok(())
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Bytes that grow with what the other peer sends and asks for.
    pub(crate) fn memory(&self) -> usize {
        self.reassembly.memory()
            + self.counterpart.outbox.asked_bytes()
            + self.respondent.memory()
            + self.publisher.memory()
            + self.subscriber.memory()
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Goes on where an earlier session with this peer ended: with what may still be visible in part, and with what has come of
    /// long deltas.
    pub(crate) fn inherit(&mut self, tears: Tears, begun: Vec<Beginning>) {
        self.reassembly = Reassembly::new(begun);
        self.counterpart.statistics.catching_up = tears.are_open();
        self.subscriber.tears = tears;
    }

    /// What may be visible in part when the session ends.
    pub(crate) fn bequeath(&mut self) -> Tears {
        std::mem::take(&mut self.subscriber.tears)
    }

    /// What has not reached the other peer.
    pub(crate) fn withheld(&mut self) -> &mut Withheld {
        &mut self.publisher.withheld
    }

    /// How many reconciliations have ended with the sessions before.
    pub(crate) fn broken_off(&mut self) -> &mut u32 {
        &mut self.publisher.broken_off
    }

    /// The same with this one, when it ends.
    pub(crate) fn bequeath_broken_off(&self) -> u32 {
        self.publisher.broken_off()
    }

    /// What has come of long deltas when the session ends.
    pub(crate) fn bequeath_parts(&mut self) -> Vec<Beginning> {
        std::mem::take(&mut self.reassembly).end()
    }

    /// What the other peer has told, and may be visible in part.
    pub(crate) fn tears(&self) -> &Tears {
        &self.subscriber.tears
    }

    /// [`Self::tears`], to bring them up to date.
    pub(crate) fn tears_mut(&mut self) -> &mut Tears {
        &mut self.subscriber.tears
    }

    /// Forgets everything but what is still to be sent.
    pub(crate) fn close(&mut self, farewell: Option<&Message>) {
        self.phase = Phase::Closed;
        self.reassembly = Reassembly::default();
        self.publisher = Publisher::default();
        self.subscriber = Subscriber::default();
        self.respondent = Respondent::default();
        self.unserved = Vec::new();
        self.counterpart.known.clear();
        self.counterpart.outbox.clear();
        if let Some(farewell) = farewell {
            self.counterpart.send(farewell);
        }
    }

    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        local: &LocalPeer,
        subscriptions: &Subscriptions,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        self.counterpart.statistics.bytes_received += bytes.len() as u64;
        self.counterpart.statistics.messages_received += 1;
        let message = match Message::decode(bytes).map_err(Violation::from)? {
            Message::Packed(packed) if self.is_open() => packed.unpack().map_err(Violation::from)?,
            message => message,
        };
        if let Message::Goodbye(goodbye) = message {
            return Err(CloseReason::Remote(goodbye.reason));
        }
        if let Phase::Greeting(_) = self.phase {
            return match message {
                Message::Hello(hello) => self.hello(&hello, local, subscriptions, turn),
                _ => Err(Violation::Unexpected("message before the greeting").into()),
            };
        }
        self.dispatch(message, subscriptions, turn)?;
        self.work(subscriptions, turn)
    }

    fn dispatch(
        &mut self,
        message: Message,
        subscriptions: &Subscriptions,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Self { counterpart, reassembly, publisher, subscriber, respondent, .. } = self;
        if comes_in_numbers(&message) {
            counterpart.heard = turn.now;
        }
        match message {
            Message::Hello(_) => Err(Violation::Unexpected("second greeting").into()),
            Message::Interests(interests) => {
                self.unserved.push(interests);
                self.serve(turn)
            }
            Message::Walk(walk) => {
                subscriber.walk(walk, subscriptions, counterpart, turn)?;
                if subscriber.may_state_more() { self.synchronize(subscriptions, turn) } else { Ok(()) }
            }
            Message::Offer(offer) => subscriber.offer(offer, counterpart, turn),
            Message::Answer(answer) => publisher.answer(&answer, counterpart, turn),
            Message::Batch(batch) => {
                subscriber.batch(batch, reassembly, counterpart)?;
                Ok(subscriber.check_memory(reassembly.bytes())?)
            }
            Message::Part(part) => {
                counterpart.mechanisms.resumed += u64::from(part.after > 0);
                reassembly.receive(part)?;
                Ok(subscriber.check_memory(reassembly.bytes())?)
            }
            Message::Acknowledge(acknowledge) => {
                publisher.acknowledge(&acknowledge, counterpart, turn)?;
                let session = counterpart.session;
                if turn.events.back() != Some(&Event::Progress { session }) {
                    turn.events.push_back(Event::Progress { session });
                }
                Ok(())
            }
            Message::Question(question) => respondent.question(question),
            Message::Rest(mut rest) => {
                let body = rest.found.as_mut().map(|found| std::mem::take(&mut found.delta));
                let delta = reassembly.take(body.unwrap_or(Body::Inline(Vec::new())))?;
                subscriber.rest(rest, delta, counterpart, turn)?;
                Ok(subscriber.check_memory(reassembly.bytes())?)
            }
            Message::Surplus(surplus) => {
                let delta = reassembly.take(surplus.delta)?;
                match respondent.invited(surplus.question)? {
                    Some(key) => {
                        subscriber.surplus(key, (surplus.version, surplus.newest), delta, counterpart)?
                    }
                    None => return Ok(()),
                }
                Ok(subscriber.check_memory(reassembly.bytes())?)
            }
            Message::Delivery(delivery) => {
                publisher.deliver(delivery.lazy);
                subscriber.follow(delivery, counterpart, turn)
            }
            Message::Symbols(symbols) => publisher.symbols(symbols, turn),
            Message::Inquiry(inquiry) => subscriber.inquiry(inquiry, counterpart),
            Message::Names(names) => publisher.names(&names, turn),
            Message::Settled(settled) => subscriber.settled(settled, turn),
            Message::Taken(taken) => publisher.taken(taken, counterpart, turn),
            Message::Compared(compared) => subscriber.compared(compared.taken),
            Message::Goodbye(_) | Message::Packed(_) | Message::Unknown(_) => Ok(()),
        }
    }

    fn hello(
        &mut self,
        hello: &Hello,
        local: &LocalPeer,
        subscriptions: &Subscriptions,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let ours = (PROTOCOL_MIN, PROTOCOL_MAX);
        if hello.versions.1 < ours.0 || hello.versions.0 > ours.1 {
            return Err(CloseReason::IncompatibleVersion { ours, theirs: hello.versions });
        }
        if hello.database != local.database {
            return Err(CloseReason::WrongDatabase);
        }
        let (session, remote) = (self.counterpart.session, self.counterpart.remote);
        if self.finds_forks(hello, turn) {
            return Err(CloseReason::Forked);
        }
        let recorded = turn.replica.remembered(remote)?;
        let is_behind = recorded.iter().any(|seen| seen.rests_on() > hello.durable);
        let clock_ms = Some(hello.clock_ms).filter(|clock| *clock > 0);
        let greeting = Greeting { site: hello.site, evictions: hello.evictions, is_behind, clock_ms };
        if turn.replica.greeted(remote, greeting)? {
            self.counterpart.forget_acknowledged();
        }
        // The sequences of all runs are those of one log.
        let seen = recorded.iter().map(|seen| seen.sequence.0).max().unwrap_or(0);
        self.backlog = hello.durable.0.saturating_sub(seen);
        if let Some(seen) = recorded.into_iter().find(|seen| seen.run == hello.run) {
            self.subscriber.remember(seen);
        }
        self.subscriber.greeted_run = hello.run;
        self.publisher.claims.clone_from(&hello.seen);
        self.counterpart.meet(hello.capabilities);
        self.counterpart.outbox.resume(&hello.begun);
        self.subscriber.tears.meet(hello.site, hello.durable);
        self.publisher.reconciles_with = Some(hello.durable).filter(|_| self.counterpart.can(RECONCILIATION));
        self.goes_second = local.peer > remote;
        self.publisher.offers_later = self.goes_second;
        self.phase = Phase::Open { capabilities: decisive(hello.capabilities) };
        turn.events.push_back(Event::SessionReady { session, remote });
        self.postpone(subscriptions, turn)?;
        self.synchronize(subscriptions, turn)
    }

    /// Whether the other peer has seen a history of ours that this store does not have, and that was not answered yet.
    fn finds_forks(&mut self, hello: &Hello, turn: &mut Turn<'_>) -> bool {
        let mut is_forked = false;
        let runs = turn.replica.runs();
        let last = turn.replica.last_sequence();
        let oldest = runs.first().map_or(Sequence(0), |(_, first)| *first);
        for seen in &hello.seen {
            let (run, sequence) = (seen.run, seen.rests_on());
            // Whoever has seen nothing of a run says nothing about it.
            if sequence == Sequence(0) {
                continue;
            }
            let ours = locate(Checkpoint { run, sequence }, &runs, last);
            *self.publisher.runs_told.entry(run).or_insert(true) &= ours.is_some();
            if ours.is_some() {
                self.publisher.seen = self.publisher.seen.max(seen.sequence);
            }
            // The first runs of a long history are forgotten: a claim from that time says nothing.
            let long_ago = oldest > Sequence(1) && sequence < oldest;
            if ours.is_some() || long_ago || turn.replica.claim_answered(run, sequence) {
                continue;
            }
            is_forked = true;
            let (session, remote) = (self.counterpart.session, self.counterpart.remote);
            turn.events.push_back(Event::ForkDetected { session, remote, run, sequence });
        }
        is_forked
    }

    /// Tells the other peer of changed subscriptions.
    pub(crate) fn synchronize(
        &mut self,
        subscriptions: &Subscriptions,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        match self.phase {
            Phase::Open { .. } if self.postponed.is_some() => {
                self.counterpart.statistics.catching_up = !subscriptions.selected.is_empty();
                turn.events.push_back(Event::Progress { session: self.counterpart.session });
                Ok(())
            }
            Phase::Open { capabilities } => {
                let Self { counterpart, publisher, subscriber, .. } = self;
                subscriber.synchronize(subscriptions, capabilities, publisher, counterpart, turn)
            }
            _ => Ok(()),
        }
    }

    /// Everything that can go on without the other peer.
    pub(crate) fn work(
        &mut self,
        subscriptions: &Subscriptions,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if let Phase::Greeting(since) = self.phase {
            if turn.now >= since + ANSWER_TIMEOUT_MS {
                return Err(Violation::Timeout("the greeting").into());
            }
            return Ok(());
        }
        self.begin(subscriptions, turn)?;
        let Self { counterpart, publisher, subscriber, respondent, goes_second, .. } = self;
        publisher.check_patience(counterpart, turn.now)?;
        subscriber.check_patience(counterpart, turn.now)?;
        turn.replica.begin_work();
        subscriber.process(subscriptions, publisher, respondent, counterpart, turn)?;
        subscriber.answer_offer(counterpart, turn)?;
        subscriber.acknowledge(counterpart, turn.durable);
        turn.replica.begin_work();
        subscriber.take_stock(counterpart, turn)?;
        turn.replica.begin_work();
        subscriber.offer_taken(publisher, respondent, counterpart, turn)?;
        publisher.gives_way = *goes_second && subscriber.is_reconciled();
        publisher.pump(counterpart, turn)?;
        respondent.pump(publisher, counterpart, turn)?;
        if counterpart.outbox.bytes() > MAX_QUEUE_BYTES || counterpart.outbox.len() > MAX_QUEUE_MESSAGES {
            return Err(Violation::Limit("messages that it does not read").into());
        }
        Ok(())
    }

    /// When [`Self::work`] has something to do although nothing arrives; 0 for at once.
    pub(crate) fn timeout(&self, eager: EagerLinks) -> Option<u64> {
        match self.phase {
            Phase::Greeting(since) => Some(since + ANSWER_TIMEOUT_MS),
            Phase::Closed => None,
            Phase::Open { .. } => {
                let has_room = self.counterpart.outbox.bytes() <= self.counterpart.sizes.queue_bytes;
                let busy = (self.publisher.more || self.subscriber.more) && has_room
                    || self.respondent.more && questions::has_room(&self.counterpart)
                    || self.publisher.awaits_parts(&self.counterpart);
                let at_once = (busy || self.subscriber.goes_on).then_some(0);
                let begins = self.begins(eager);
                [
                    at_once,
                    begins,
                    self.publisher.timeout(&self.counterpart),
                    self.subscriber.timeout(eager, &self.counterpart),
                ]
                .into_iter()
                .flatten()
                .min()
            }
        }
    }

    /// Whether the other peer brings documents without being asked.
    pub(crate) fn is_eager(&self) -> bool {
        self.is_open() && self.postponed.is_none() && self.subscriber.is_eager()
    }

    /// Another session has ended, on which this one may have relied.
    pub(crate) fn deliver_eagerly(&mut self, turn: &mut Turn<'_>) -> Result<(), CloseReason> {
        self.subscriber.deliver_eagerly(&mut self.counterpart, turn)
    }

    /// What is held of what the other peer has sent.
    pub(crate) fn buffered(&self) -> Buffered {
        let (here, there) = (self.subscriber.buffered(), self.respondent.buffered());
        Buffered {
            documents: here.documents + self.reassembly.open_bytes(),
            questions: here.questions + there.questions,
            counted: here.counted + there.counted + self.reassembly.bytes(),
        }
    }

    pub(crate) fn awaits_durability(&self) -> bool {
        self.subscriber.awaits_durability()
    }
}

/// Whether there may be so many of these, or so much of them, that what was asked waits behind them for longer than anybody is waited
/// for: 10,000 questions and their answers take minutes on a slow line.
fn comes_in_numbers(message: &Message) -> bool {
    matches!(message, Message::Batch(_) | Message::Part(_) | Message::Question(_) | Message::Rest(_))
}
