//! The half of a session that takes over what the other peer tells.
//!
//! Batches are applied in order, each in one atomic commit together with the positions that it makes true. Before
//! that every document is checked: if merging its delta would not yield the stated version and the delta's base
//! is not known to be here, the rest is asked for, and the batch waits, so that no reader sees half a document
//! and no checkpoint passes what is not held.

mod gap;
mod lazy;
mod reconciling;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use ditto_crdt::{Delta, Sequence, Version};

use crate::event::{CloseReason, Violation};
use crate::known::{Entry, key_hash};
use crate::leaving;
use crate::limits::{
    ANSWER_TIMEOUT_MS, MAX_BUFFERED_BYTES, MAX_BUFFERED_DOCUMENTS, MAX_QUESTION_HASHES,
    MAX_WAITING_QUESTION_BYTES, MAX_WAITING_QUESTIONS, WINDOW_BATCHES,
};
use crate::message::{Acknowledge, Batch, BatchEnd, Exceptions, Found, Message, Question, Rest, bits};
use crate::parts::Reassembly;
use crate::publisher::Publisher;
use crate::questions::Respondent;
use crate::reconciliation::Inventory;
use crate::replica::{Checkpoint, DocumentKey, Incoming, IncomingDocument, Outcome, PeerId};
use crate::subscription::Subscriptions;
use crate::turn::{EagerLinks, Link, Turn};
use gap::{Lacked, Open, owe};
use lazy::{Brought, Delivered};
use wanted::{Wanted, wants};

/// The subscribing half of one session.
#[derive(Debug, Default)]
pub(crate) struct Subscriber {
    wanted: BTreeMap<u64, Wanted>,
    generation: u64,
    /// The newest generation that the publisher has confirmed.
    confirmed: u64,
    last_interest: u64,
    batches: VecDeque<Inbound>,
    last_batch: u64,
    buffered_bytes: usize,
    buffered_documents: usize,
    /// Applied batches, and the local sequence that must be durable before they may be acknowledged.
    unacknowledged: VecDeque<(u64, Sequence)>,
    open: BTreeMap<u64, Open>,
    open_bytes: usize,
    last_question: u64,
    /// When the last part of something long came.
    last_part: u64,
    /// Batches up to this one were sent before the other peer evicted documents.
    stale: u64,
    /// Highest position seen, as recorded last.
    seen: Option<Checkpoint>,
    /// Documents arrived that were not wanted any more.
    dropped: bool,
    /// Of applied batches, the documents that are not held as they were sent.
    exceptions: VecDeque<Exceptions>,
    /// What is told in reconciliations that are not over; the first is under way, the others wait.
    inventories: VecDeque<Inventory>,
    /// What was stated to be held, and must be durable before anything is acknowledged that rests on it.
    stated: Sequence,
    /// There is work that waits for nobody but the next call.
    pub(crate) more: bool,
    /// How often was evicted here, as the other peer was told.
    pub(crate) told_evictions: u64,
    delivered: Delivered,
    /// Own checkpoints are not to be used.
    pub(crate) distrust: bool,
}

#[derive(Debug)]
struct Inbound {
    batch: u64,
    documents: Vec<Document>,
    bytes: usize,
    end: Option<BatchEnd>,
}

#[derive(Debug)]
struct Document {
    /// Place in the batch.
    index: usize,
    key: DocumentKey,
    before: Option<Version>,
    stated: Version,
    delta: Vec<u8>,
    complete: bool,
    state: State,
    /// What the publisher said to lack, and to which question.
    lacked: Option<Lacked>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Unchecked,
    /// Does not fit; to be asked for when few enough questions are open.
    Unasked,
    Asked,
    /// To be merged; whether we hold all that the publisher stated, once it is.
    Ready(Base),
    /// Not to be merged.
    Dropped,
}

/// How it is known that a delta can be merged without leaving a gap.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Base {
    /// The merge yields the stated version, or the delta is the whole state.
    Whole,
    /// The version before it was met in full.
    Met,
    /// There was a gap and it was filled.
    Filled,
    /// There is a gap that cannot be filled any more.
    Gone,
}

impl Subscriber {
    /// Whether to take what the other peer has beyond our copy of a document. What is dead here, because it was deleted or
    /// because all but its earlier lives was evicted, does not come to life unless it is wanted.
    pub(crate) fn takes(
        &mut self,
        key: &DocumentKey,
        delta: &[u8],
        remote: PeerId,
        turn: &Turn<'_>,
    ) -> Result<bool, CloseReason> {
        if !turn.replica.may_travel(remote, &key.collection) {
            return Ok(false);
        }
        let takes = wants(&self.wanted, &key.collection)
            || turn.replica.held(key)?.is_some_and(|held| held.alive)
            || !Delta::decode(delta).is_ok_and(|delta| delta.revives());
        // The other peer takes it for delivered, so it must be told otherwise.
        self.dropped |= !takes;
        Ok(takes)
    }

    /// The other peer has evicted documents: that it sent something before does not mean that it holds it.
    pub(crate) fn remote_has_forgotten(&mut self) {
        self.stale = self.last_batch;
    }

    /// Takes a (part of a) batch; [`Self::process`] applies it.
    pub(crate) fn batch(
        &mut self,
        message: Batch,
        reassembly: &mut Reassembly,
        link: &mut Link,
    ) -> Result<(), CloseReason> {
        if self.batches.back().is_none_or(|batch| batch.end.is_some()) {
            if message.batch != self.last_batch + 1 {
                return Err(Violation::Unexpected("number of a batch").into());
            }
            self.last_batch = message.batch;
            let inbound = Inbound { batch: message.batch, documents: Vec::new(), bytes: 0, end: None };
            self.batches.push_back(inbound);
        }
        let Some(inbound) = self.batches.back_mut().filter(|batch| batch.batch == message.batch) else {
            return Err(Violation::Unexpected("number of a batch").into());
        };
        link.statistics.documents_received += message.documents.len() as u64;
        self.buffered_documents += message.documents.len();
        for document in message.documents {
            let Some(interest) = self.wanted.get(&document.interest) else {
                return Err(Violation::Unexpected("document for an unknown interest").into());
            };
            let id = document.id.into_key();
            let delta = reassembly.take(document.delta)?;
            inbound.bytes += id.len() + delta.len();
            self.buffered_bytes += id.len() + delta.len();
            inbound.documents.push(Document {
                index: inbound.documents.len(),
                key: DocumentKey { collection: interest.collection.clone(), id: id.into() },
                before: document.before,
                stated: document.after.unwrap_or_else(|| Version::of_canonical(&delta)),
                delta,
                complete: document.complete,
                state: State::Unchecked,
                lacked: None,
            });
        }
        inbound.end = message.end;
        if self.buffered_documents > MAX_BUFFERED_DOCUMENTS {
            return Err(Violation::Limit("unacknowledged documents").into());
        }
        if self.batches.len() + self.unacknowledged.len() > WINDOW_BATCHES + 1 {
            return Err(Violation::Limit("unacknowledged batches").into());
        }
        match message.end {
            Some(end) if end.generation > self.confirmed || end.generation == 0 => {
                Err(Violation::Unexpected("generation of a batch").into())
            }
            _ => Ok(()),
        }
    }

    /// Checks what is held of the other peer's documents, `parts` bytes of them in parts.
    pub(crate) fn check_memory(&self, parts: usize) -> Result<(), Violation> {
        if self.buffered_bytes + parts > MAX_BUFFERED_BYTES {
            return Err(Violation::Limit("bytes of documents that are under way"));
        }
        Ok(())
    }

    /// A part of something long has come: the other peer is busy answering.
    pub(crate) fn heard(&mut self, now: u64) {
        self.last_part = now;
    }

    /// Applies every batch that is complete and has no gaps, in order.
    pub(crate) fn process(
        &mut self,
        subscriptions: &Subscriptions,
        publisher: &mut Publisher,
        respondent: &mut Respondent,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        while self.batches.front().is_some_and(|batch| batch.end.is_some()) {
            let Some(mut inbound) = self.batches.pop_front() else { break };
            self.check(&mut inbound, link, turn)?;
            self.ask(&mut inbound, link, turn)?;
            let waits = |document: &Document| matches!(document.state, State::Asked | State::Unasked);
            if inbound.documents.iter().any(waits) {
                self.batches.push_front(inbound);
                break;
            }
            let stale = inbound.batch <= self.stale;
            self.apply(inbound, subscriptions, publisher, respondent, link, turn)?;
            if stale {
                link.known.clear();
                publisher.distrust_origins(turn.replica.last_sequence());
            }
        }
        Ok(())
    }

    /// Finds out for each document whether its delta leaves a gap.
    fn check(&mut self, inbound: &mut Inbound, link: &Link, turn: &Turn<'_>) -> Result<(), CloseReason> {
        if inbound.documents.first().is_none_or(|document| document.state != State::Unchecked) {
            return Ok(());
        }
        let mut keys = HashSet::with_capacity(inbound.documents.len());
        for document in &mut inbound.documents {
            if document.key.is_by_hash()
                && let Some(key) = turn.replica.named(&document.key)?
            {
                // From here on it has the name under which everything else can be said of it.
                document.key = key;
            }
            let hash = key_hash(&document.key);
            if !keys.insert(hash) {
                return Err(Violation::Unexpected("document twice in a batch").into());
            }
            let holds = |before| link.known.get(hash).is_some_and(|entry| entry.held(before));
            document.state = if !wants(&self.wanted, &document.key.collection) {
                // The publisher takes it for delivered, so it must be told otherwise.
                self.dropped = true;
                State::Dropped
            } else if document.complete {
                State::Ready(Base::Whole)
            } else if document.before.is_some_and(holds) {
                State::Ready(Base::Met)
            } else {
                match turn.replica.merged_version(&document.key, &document.delta)? {
                    Ok(version) if version != document.stated => State::Unasked,
                    // What is refused is reported when it is applied.
                    Ok(_) | Err(_) => State::Ready(Base::Whole),
                }
            };
        }
        Ok(())
    }

    /// Asks for what is missing, a bounded number of questions at a time.
    fn ask(
        &mut self,
        inbound: &mut Inbound,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        for document in inbound.documents.iter_mut().filter(|document| document.state == State::Unasked) {
            if !self.may_ask() {
                break;
            }
            self.question(Some(inbound.batch), document.key.clone(), link, turn)?;
            document.state = State::Asked;
        }
        Ok(())
    }

    /// Half of what a respondent must take, since both count differently at the edges.
    fn may_ask(&self) -> bool {
        self.open.len() < MAX_WAITING_QUESTIONS / 2 && self.open_bytes < MAX_WAITING_QUESTION_BYTES / 2
    }

    fn question(
        &mut self,
        batch: Option<u64>,
        key: DocumentKey,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let (version, hashes) = turn.replica.entry_hashes(&key)?;
        let hashes = Some(hashes).filter(|hashes| hashes.len() <= MAX_QUESTION_HASHES);
        self.last_question += 1;
        let question = self.last_question;
        let open = Open { question, batch, key, hashes, version, asked: turn.now };
        self.open_bytes += open.bytes();
        link.statistics.questions_asked += 1;
        link.send(&Message::Question(Question {
            question,
            collection: open.key.collection.to_string(),
            id: open.key.id.to_vec(),
            hashes: open.hashes.clone(),
        }));
        self.open.insert(question, open);
        Ok(())
    }

    /// The other peer answers a question; `delta` is the body of the answer.
    pub(crate) fn rest(
        &mut self,
        rest: Rest,
        delta: Vec<u8>,
        respondent: &mut Respondent,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(open) = self.open.remove(&rest.question) else {
            return Err(Violation::Unexpected("answer to no question").into());
        };
        self.open_bytes -= open.bytes();
        link.statistics.documents_received += u64::from(rest.found.is_some());
        let Some(batch) = open.batch else {
            return match rest.found {
                Some(found) => self.settle(&open, &found, delta, respondent, link, turn),
                None => Ok(()),
            };
        };
        let Some(inbound) = self.batches.front_mut().filter(|inbound| inbound.batch == batch) else {
            return Ok(());
        };
        let Some(document) = inbound.documents.iter_mut().find(|document| document.key == open.key) else {
            return Ok(());
        };
        match rest.found {
            Some(found) => {
                self.buffered_bytes = self.buffered_bytes - document.delta.len() + delta.len();
                inbound.bytes = inbound.bytes - document.delta.len() + delta.len();
                document.delta = delta;
                document.stated = found.version;
                document.state = State::Ready(Base::Filled);
                document.lacked = Lacked::of(&open, &found);
            }
            None if turn.replica.held(&open.key)?.is_some() => {
                document.state = State::Ready(Base::Gone);
            }
            None => document.state = State::Dropped,
        }
        Ok(())
    }

    /// An answer that no batch waits for.
    fn settle(
        &self,
        open: &Open,
        found: &Found,
        delta: Vec<u8>,
        respondent: &mut Respondent,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let lacked = Lacked::of(open, found);
        let document = IncomingDocument { key: open.key.clone(), delta, stated: found.version };
        let incoming =
            Incoming { from: link.remote, documents: vec![document], checkpoints: Vec::new(), seen: None };
        let applied = leaving::apply(incoming, link, turn)?;
        for outcome in applied.outcomes {
            match outcome {
                Ok(outcome) => {
                    let versions = (outcome.before, outcome.after);
                    link.known.merged(key_hash(&open.key), versions, found.version, true, applied.last);
                    owe(lacked.as_ref(), &open.key, outcome, found.version, respondent);
                }
                Err(refused) => turn.events.push_back(link.refused(open.key.clone(), refused.to_string())),
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        mut inbound: Inbound,
        subscriptions: &Subscriptions,
        publisher: &Publisher,
        respondent: &mut Respondent,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(end) = inbound.end else { return Ok(()) };
        self.buffered_bytes = self.buffered_bytes.saturating_sub(inbound.bytes);
        self.buffered_documents = self.buffered_documents.saturating_sub(inbound.documents.len());
        let mut exceptions: BTreeSet<usize> = BTreeSet::new();
        inbound.documents.retain(|document| {
            let dropped = document.state == State::Dropped;
            if dropped {
                exceptions.insert(document.index);
            }
            !dropped
        });
        let incoming = Incoming {
            from: link.remote,
            documents: inbound
                .documents
                .iter_mut()
                .map(|document| IncomingDocument {
                    key: document.key.clone(),
                    delta: std::mem::take(&mut document.delta),
                    stated: document.stated,
                })
                .collect(),
            checkpoints: self.advance(end, inbound.batch),
            seen: self.see(end.run, end.newest.unwrap_or(end.sequence).max(end.sequence)),
        };
        let mut brought = Brought::default();
        let nothing =
            incoming.documents.is_empty() && incoming.checkpoints.is_empty() && incoming.seen.is_none();
        let needs = if nothing {
            turn.replica.last_sequence()
        } else {
            let applied = leaving::apply(incoming, link, turn)?;
            for (document, outcome) in inbound.documents.iter().zip(applied.outcomes) {
                match outcome {
                    Ok(outcome) => {
                        if outcome.before == Some(outcome.after) {
                            brought.known += 1;
                        } else {
                            brought.new += 1;
                        }
                        if outcome.absorbed {
                            exceptions.insert(document.index);
                        }
                        self.merged(document, (outcome, applied.last), publisher, respondent, link, turn)?;
                    }
                    Err(refused) => {
                        exceptions.insert(document.index);
                        turn.events.push_back(link.refused(document.key.clone(), refused.to_string()));
                    }
                }
            }
            applied.last
        };
        if let Some(last) = exceptions.last() {
            let documents = bits::collect((0..=*last).map(|index| exceptions.contains(&index)));
            self.exceptions.push_back(Exceptions { batch: inbound.batch, documents });
        }
        if !inbound.documents.is_empty() {
            link.statistics.last_update_received_ms = Some(turn.now);
        }
        // A batch without documents makes nothing necessary that the batches before it did not.
        let needs = match self.unacknowledged.back() {
            Some((_, before)) if inbound.documents.is_empty() => self.stated.max(*before),
            None if inbound.documents.is_empty() => self.stated,
            _ => needs,
        };
        self.unacknowledged.push_back((inbound.batch, needs));
        if !self.is_reconciling(inbound.batch) {
            link.statistics.remote_position = end.sequence;
        }
        self.judge(brought, link, turn)?;
        self.report(end, inbound.batch, subscriptions, link, turn);
        Ok(())
    }

    /// What a merge taught about one document.
    fn merged(
        &mut self,
        document: &Document,
        (outcome, last): (Outcome, Sequence),
        publisher: &Publisher,
        respondent: &mut Respondent,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let hash = key_hash(&document.key);
        if document.state == State::Ready(Base::Gone) {
            link.known.remove(hash);
            return Ok(());
        }
        let versions = (outcome.before, outcome.after);
        link.known.merged(hash, versions, document.stated, true, last);
        if outcome.after == document.stated {
            return Ok(());
        }
        if document.state == State::Ready(Base::Filled) {
            owe(document.lacked.as_ref(), &document.key, outcome, document.stated, respondent);
            return Ok(());
        }
        // We hold more than was stated. Usually our own stream carries it …
        let Entry { sent, .. } = link.known.get(hash).unwrap_or_default();
        let told = sent.is_some_and(|(_, version)| version == outcome.after);
        let (subscribes, to_everything) = publisher.serves(&document.key.collection);
        let carried = told || to_everything || subscribes && document.state == State::Ready(Base::Met);
        // … otherwise ask what of it the other peer lacks.
        if !carried && self.may_ask() {
            self.question(None, document.key.clone(), link, turn)?;
        }
        Ok(())
    }

    /// Acknowledges what has become durable.
    pub(crate) fn acknowledge(&mut self, link: &mut Link, durable: Sequence) {
        let mut acknowledged = None;
        while let Some((batch, _)) = self.unacknowledged.front().filter(|(_, needs)| *needs <= durable) {
            acknowledged = Some(*batch);
            self.unacknowledged.pop_front();
        }
        if let Some(batch) = acknowledged {
            let due = self.exceptions.iter().take_while(|exceptions| exceptions.batch <= batch).count();
            let exceptions = self.exceptions.drain(..due).collect();
            link.send(&Message::Acknowledge(Acknowledge { batch, exceptions }));
        }
    }

    /// Whether something waits for the store to sync.
    pub(crate) fn awaits_durability(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    /// When something is due although nothing arrives.
    pub(crate) fn timeout(&self, eager: EagerLinks) -> Option<u64> {
        self.patience().into_iter().chain(self.offer_timeout(eager)).min()
    }

    /// When the patience with the other peer ends.
    fn patience(&self) -> Option<u64> {
        self.open.first_key_value().map(|(_, open)| open.asked.max(self.last_part) + ANSWER_TIMEOUT_MS)
    }

    /// Fails if the other peer does not answer.
    pub(crate) fn check_patience(&self, now: u64) -> Result<(), CloseReason> {
        match self.patience() {
            Some(timeout) if now >= timeout => Err(Violation::Timeout("a question").into()),
            _ => Ok(()),
        }
    }
}
