//! The half of a session that takes over what the other peer tells.
//!
//! Batches are applied in order, each in one atomic commit together with the positions that it makes true. Before
//! that every document is checked: if merging its delta would not yield the stated version and the delta's base
//! is not known to be here, the rest is asked for, and the batch waits, so that no reader sees half a document
//! and no checkpoint passes what is not held. What may show a part of a transaction is applied one call later than it
//! could be, so that it is known before.

mod gap;
mod joined;
mod lazy;
mod reconciling;
mod single;
mod taken;
mod tears;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ditto_crdt::{Delta, RunId, Sequence, Version};

use crate::event::{Buffered, CloseReason, Violation};
use crate::known::{Entry, KeyHash, key_hash};
use crate::leaving;
use crate::limits::{
    MAX_BATCH_DOCUMENTS, MAX_BUFFERED_BYTES, MAX_BUFFERED_DOCUMENTS, MAX_WAITING_QUESTION_BYTES,
    WINDOW_BATCHES, WORK_MS,
};
use crate::message::{Acknowledge, Batch, BatchEnd, Exceptions, Message, Question, Rest, bits};
use crate::parts::Reassembly;
use crate::publisher::Publisher;
use crate::questions::Respondent;
use crate::reconciliation::Inventory;
use crate::replica::{DocumentKey, Held, Incoming, IncomingDocument, Outcome, PeerId, Seen};
use crate::sizes::Sizes;
use crate::subscription::{Selection, Subscriptions};
use crate::turn::{Counterpart, EagerLinks, Turn};
use gap::{Lacked, Open, Purpose, owe};
use joined::Join;
use lazy::{Brought, Delivered};
use single::Single;
use taken::Offering;
pub(crate) use tears::Tears;
use wanted::{Wanted, wants};

/// The subscribing half of one session.
#[derive(Debug, Default)]
pub(crate) struct Subscriber {
    wanted: BTreeMap<u64, Wanted>,
    generation: u64,
    /// The newest generation that the publisher has confirmed.
    confirmed: u64,
    last_interest: u64,
    /// There were more interests than can be stated, those that have ended but not for the publisher among them.
    unstated: bool,
    /// Of these the owner knows that there is no room for them while all others are wanted.
    refused_here: HashSet<Selection>,
    batches: VecDeque<Inbound>,
    last_batch: u64,
    /// Documents that come by themselves and wait for batches before them.
    singles: VecDeque<Single>,
    /// Their names, and how many have each: shared with who only looks at them.
    single_names: Arc<HashMap<KeyHash, usize>>,
    /// Where transactions may be visible in part.
    pub(crate) tears: Tears,
    /// Of the publisher's history nothing up to here is there in part, as it said with the last batch.
    whole_up_to: Sequence,
    /// What is to be applied next waits for the next call, so that it is known before that it may be a part.
    pub(crate) goes_on: bool,
    buffered_bytes: usize,
    /// Of those, what waits among `singles`.
    single_bytes: usize,
    /// Of hashes that answers among `singles` did not know.
    lacked_bytes: usize,
    buffered_documents: usize,
    /// Applied batches, and the local sequence that must be durable before they may be acknowledged.
    unacknowledged: VecDeque<(u64, Sequence)>,
    open: BTreeMap<u64, Open>,
    open_bytes: usize,
    /// How many of them are [`Purpose::Again`].
    asked_again: usize,
    /// Documents of which the publisher lacks something, each in the version that is known of, and how often had been evicted here; they are
    /// asked about as soon as there is room. Until then no other batch is applied, so they are never more than those of one commit.
    lacking: VecDeque<(DocumentKey, Version, u64)>,
    last_question: u64,
    /// Batches up to this one were sent before the other peer evicted documents.
    stale: u64,
    /// How far its present run is seen, as recorded last.
    seen: Option<Seen>,
    /// How many runs it has begun in this session.
    runs: usize,
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
    /// How often was evicted here, as the other peer was told …
    pub(crate) told_evictions: u64,
    /// … and as it was told first.
    pub(crate) first_evictions: u64,
    /// How much the own change log has, as the other peer was told.
    pub(crate) told_changes: Sequence,
    delivered: Delivered,
    offering: Offering,
    /// What our own greeting says that was seen of the other peer.
    pub(crate) claims: Vec<Seen>,
    /// The run that the other peer's greeting says.
    pub(crate) greeted_run: RunId,
}

#[derive(Debug)]
struct Inbound {
    batch: u64,
    /// It, and those that have been joined to it; none if it is not acknowledged.
    numbers: Vec<u64>,
    documents: Vec<Document>,
    /// As they arrived.
    count: usize,
    bytes: usize,
    end: Option<BatchEnd>,
    /// The newest change of the publisher that is in a document which was asked for.
    shows: Sequence,
    /// How often had been evicted here when its documents were checked.
    evictions: u64,
    /// The documents before this place were looked at, as things are now.
    checked: usize,
    /// The names under which its documents came, and those that they have got here: shared with who only looks at them.
    names: Arc<HashSet<KeyHash>>,
    /// How many documents are asked for and not answered.
    asked: usize,
    /// Of hashes that the answers did not know.
    lacked_bytes: usize,
    /// Of the answers among its documents.
    filled_bytes: usize,
    /// None of those before this place is to be asked for.
    next_to_ask: usize,
}

#[derive(Debug)]
struct Document {
    /// Batch and place in it; several if it has changed in batches that are applied as one.
    places: Vec<(u64, usize)>,
    key: DocumentKey,
    /// Of the key.
    hash: KeyHash,
    before: Option<Version>,
    stated: Version,
    delta: Vec<u8>,
    complete: bool,
    state: State,
    /// What the publisher said to lack, and to which question …
    lacked: Option<Lacked>,
    /// … that was about this version of our copy.
    asked: Version,
    /// Batches up to this one were sent before the answer …
    filled_after: u64,
    /// … which has so many bytes.
    filled_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Unchecked,
    /// Does not fit; to be asked for when few enough questions are open.
    Unasked,
    Asked,
    /// To be merged; whether we hold all that the publisher stated, once it is.
    Ready(Base),
    /// Its answer is merged by itself, before the batch.
    Apart,
    /// Not to be merged.
    Dropped,
}

impl Inbound {
    /// Whether something of it is not known yet.
    fn waits(&self) -> bool {
        self.asked > 0 || self.next_to_ask < self.documents.len()
    }
}

impl BatchEnd {
    /// Changes up to here are in this batch or those before, as far as everything up to its position is told.
    fn told(&self) -> Sequence {
        self.newest.unwrap_or_default().max(self.sequence)
    }
}

impl Document {
    /// Whether it is merged with its batch.
    fn is_merged(&self) -> bool {
        !matches!(self.state, State::Apart | State::Dropped)
    }

    /// From here on it has the name under which everything else can be said of it, which no other one of its batch has.
    fn rename(&mut self, names: &mut Arc<HashSet<KeyHash>>, turn: &Turn<'_>) -> Result<(), CloseReason> {
        if self.key.is_by_hash()
            && let Some(key) = turn.replica.named(&self.key)?
        {
            (self.hash, self.key) = (key_hash(&key), key);
            add_name(names, self.hash)?;
        }
        Ok(())
    }
}

fn add_name(names: &mut Arc<HashSet<KeyHash>>, hash: KeyHash) -> Result<(), Violation> {
    if Arc::make_mut(names).insert(hash) {
        Ok(())
    } else {
        Err(Violation::Unexpected("document twice in a batch"))
    }
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
        self.singles.iter_mut().for_each(|single| single.stale = true);
        self.distrust_offer();
    }

    /// The other peer has nothing to tell, and knows that all up to this end is held: a batch that is not acknowledged.
    fn take_nothing(&mut self, end: BatchEnd) {
        self.last_batch += 1;
        let numbers = Vec::new();
        self.batches.push_back(Inbound { numbers, end: Some(end), ..Inbound::new(self.last_batch) });
    }

    /// Takes a (part of a) batch; [`Self::process`] applies it.
    pub(crate) fn batch(
        &mut self,
        message: Batch,
        reassembly: &mut Reassembly,
        counterpart: &mut Counterpart,
    ) -> Result<(), CloseReason> {
        if self.batches.back().is_none_or(|batch| batch.end.is_some()) {
            if message.batch != self.last_batch + 1 {
                return Err(Violation::Unexpected("number of a batch").into());
            }
            self.last_batch = message.batch;
            self.batches.push_back(Inbound::new(message.batch));
        }
        let Some(inbound) = self.batches.back_mut().filter(|batch| batch.batch == message.batch) else {
            return Err(Violation::Unexpected("number of a batch").into());
        };
        counterpart.statistics.documents_received += message.documents.len() as u64;
        self.buffered_documents += message.documents.len();
        for document in message.documents {
            let Some(interest) = self.wanted.get(&document.interest) else {
                return Err(Violation::Unexpected("document for an unknown interest").into());
            };
            let id = document.id.into_key();
            let delta = reassembly.take(document.delta)?;
            let key = DocumentKey { collection: interest.collection.clone(), id: id.into() };
            let hash = key_hash(&key);
            add_name(&mut inbound.names, hash)?;
            inbound.bytes += key.id.len() + delta.len();
            self.buffered_bytes += key.id.len() + delta.len();
            inbound.count += 1;
            inbound.documents.push(Document {
                places: vec![(message.batch, inbound.documents.len())],
                key,
                hash,
                before: document.before,
                stated: document.after.unwrap_or_else(|| Version::of_canonical(&delta)),
                delta,
                complete: document.complete,
                state: State::Unchecked,
                lacked: None,
                asked: Version::default(),
                filled_after: 0,
                filled_bytes: 0,
            });
        }
        inbound.end = message.end;
        if inbound.count > MAX_BATCH_DOCUMENTS {
            return Err(Violation::Limit("documents of a batch").into());
        }
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

    /// Bytes of documents that are not applied, of questions about them, and of what is reconciled.
    pub(crate) fn memory(&self) -> usize {
        self.buffered_bytes
            + self.open_bytes
            + self.lacked_bytes
            + self.inventories.iter().map(Inventory::memory).sum::<usize>()
    }

    /// What waits here.
    pub(crate) fn buffered(&self) -> Buffered {
        let of_batches =
            self.batches.iter().flat_map(|batch| &batch.documents).map(|document| &document.delta);
        let of_singles = self.singles.iter().map(|single| &single.delta);
        Buffered {
            documents: of_batches.chain(of_singles).map(Vec::len).sum(),
            questions: self.open.values().map(Open::bytes).sum(),
            counted: self.buffered_bytes + self.open_bytes,
        }
    }

    /// Checks what is held of the other peer's documents, `parts` bytes of them in parts.
    pub(crate) fn check_memory(&self, parts: usize) -> Result<(), Violation> {
        if self.buffered_bytes + parts > MAX_BUFFERED_BYTES {
            return Err(Violation::Limit("bytes of documents that are under way"));
        }
        Ok(())
    }

    /// Applies every batch that is complete and has no gaps, in order.
    pub(crate) fn process(
        &mut self,
        subscriptions: &Subscriptions,
        publisher: &mut Publisher,
        respondent: &mut Respondent,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        self.goes_on = false;
        loop {
            if !self.apply_singles(subscriptions, publisher, respondent, counterpart, turn)? {
                self.goes_on = true;
                return Ok(());
            }
            self.ask_what_is_lacked(counterpart, turn)?;
            let waits = self.asked_again > 0 || !self.lacking.is_empty();
            if waits || self.batches.front().is_none_or(|batch| batch.end.is_none()) {
                return Ok(());
            }
            let Some(mut inbound) = self.batches.pop_front() else { return Ok(()) };
            if turn.replica.worked_ms() >= WORK_MS || !self.check(&mut inbound, counterpart, turn)? {
                self.batches.push_front(inbound);
                self.goes_on = true;
                return Ok(());
            }
            self.ask(&mut inbound, counterpart, turn)?;
            if inbound.waits() {
                self.batches.push_front(inbound);
                return Ok(());
            }
            let join = self.join(&mut inbound, &counterpart.sizes, turn)?;
            if join != Join::Over {
                self.batches.push_front(inbound);
                if join == Join::Further {
                    counterpart.mechanisms.joined += 1;
                    continue;
                }
                return Ok(());
            }
            if self.is_part(&inbound) && self.fall_behind(subscriptions, counterpart, turn) {
                self.batches.push_front(inbound);
                self.goes_on = true;
                return Ok(());
            }
            let stale = inbound.batch <= self.stale;
            self.apply(inbound, subscriptions, publisher, respondent, counterpart, turn)?;
            if stale {
                counterpart.known.clear();
                publisher.distrust_origins(turn.replica.last_sequence());
            }
        }
    }

    /// Finds out for each document whether it is wanted, and whether its delta leaves a gap; anew after an eviction, which may have taken
    /// its base, or the document because nobody wants it any more. False if that takes long: the next call goes on.
    fn check(
        &mut self,
        inbound: &mut Inbound,
        counterpart: &Counterpart,
        turn: &Turn<'_>,
    ) -> Result<bool, CloseReason> {
        let evictions = turn.replica.eviction_total();
        if std::mem::replace(&mut inbound.evictions, evictions) != evictions {
            // Whose answer was to be merged by itself has no delta any more, and waits for another one.
            let has_delta = |document: &&mut Document| {
                !document.delta.is_empty() && matches!(document.state, State::Ready(_) | State::Unasked)
            };
            for document in inbound.documents.iter_mut().filter(has_delta) {
                document.state = State::Unchecked;
            }
            (inbound.checked, inbound.next_to_ask) = (0, 0);
        }
        while let Some(document) = inbound.documents.get_mut(inbound.checked) {
            inbound.checked += 1;
            if !document.is_merged() {
                continue;
            }
            document.rename(&mut inbound.names, turn)?;
            if document.state != State::Unchecked {
                continue;
            }
            let hash = document.hash;
            // What is known is from before an eviction until the other peer has been told of it.
            let is_current = self.told_evictions == evictions;
            let holds =
                |before| is_current && counterpart.known.get(hash).is_some_and(|entry| entry.held(before));
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
            if turn.replica.worked_ms() >= WORK_MS {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks for what is missing, a bounded number of questions at a time.
    fn ask(
        &mut self,
        inbound: &mut Inbound,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Inbound { batch, documents, asked, next_to_ask, .. } = inbound;
        while let Some(document) = documents.get_mut(*next_to_ask) {
            if document.state == State::Unasked {
                if !self.may_ask(&counterpart.sizes) {
                    break;
                }
                self.question(Purpose::Gap(*batch, *next_to_ask), document.key.clone(), counterpart, turn)?;
                document.state = State::Asked;
                *asked += 1;
            }
            *next_to_ask += 1;
        }
        Ok(())
    }

    /// At most half of what a respondent must take, since both count differently at the edges.
    fn may_ask(&self, sizes: &Sizes) -> bool {
        self.open.len() < sizes.open_questions && self.open_bytes < MAX_WAITING_QUESTION_BYTES / 2
    }

    fn question(
        &mut self,
        purpose: Purpose,
        key: DocumentKey,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let (version, hashes) = turn.replica.entry_hashes(&key)?;
        let hashes = Some(hashes).filter(|hashes| hashes.len() <= counterpart.sizes.question_hashes);
        self.last_question += 1;
        let question = self.last_question;
        let evictions = turn.replica.eviction_total();
        let open = Open { question, purpose, key, hashes, version, evictions, asked: turn.now };
        self.open_bytes += open.bytes();
        counterpart.statistics.questions_asked += 1;
        counterpart.send(&Message::Question(Question {
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
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(open) = self.open.remove(&rest.question) else {
            return Err(Violation::Unexpected("answer to no question").into());
        };
        self.open_bytes -= open.bytes();
        counterpart.statistics.documents_received += u64::from(rest.found.is_some());
        let is_current = open.evictions == turn.replica.eviction_total();
        let (batch, place) = match open.purpose {
            Purpose::Gap(batch, place) => (batch, place),
            Purpose::Surplus => {
                return self.keep_answer(open, rest.found, delta, self.last_batch, counterpart);
            }
            Purpose::Again(after) => {
                self.asked_again -= 1;
                return self.keep_answer(open, rest.found, delta, after, counterpart);
            }
        };
        let filled_after = self.last_batch;
        let Some(inbound) = self.batches.front_mut().filter(|inbound| inbound.batch == batch) else {
            return Ok(());
        };
        let Some(document) = inbound.documents.get_mut(place) else { return Ok(()) };
        inbound.asked -= 1;
        // There was another answer before an eviction.
        inbound.filled_bytes =
            inbound.filled_bytes.saturating_sub(std::mem::take(&mut document.filled_bytes));
        match rest.found {
            Some(_)
                if self.single_bytes + inbound.filled_bytes + delta.len()
                    > counterpart.sizes.filled_bytes =>
            {
                let unfilled = std::mem::take(&mut document.delta).len();
                document.state = State::Apart;
                inbound.bytes -= unfilled;
                self.buffered_bytes -= unfilled;
                counterpart.mechanisms.apart += 1;
                return self.keep_answer(open, rest.found, delta, batch.saturating_sub(1), counterpart);
            }
            Some(found) => {
                document.filled_bytes = delta.len();
                inbound.filled_bytes += delta.len();
                self.buffered_bytes = self.buffered_bytes - document.delta.len() + delta.len();
                inbound.bytes = inbound.bytes - document.delta.len() + delta.len();
                document.delta = delta;
                document.complete = false;
                document.stated = found.version;
                (document.state, document.lacked) = if is_current {
                    let mut lacked = Lacked::of(&open, &found);
                    if let Some(lacked) = &mut lacked {
                        if inbound.lacked_bytes + lacked.bytes() > MAX_WAITING_QUESTION_BYTES {
                            lacked.forget_hashes();
                        }
                        inbound.lacked_bytes += lacked.bytes();
                    }
                    (State::Ready(Base::Filled), lacked)
                } else {
                    inbound.checked = inbound.checked.min(place);
                    inbound.next_to_ask = inbound.next_to_ask.min(place);
                    (State::Unchecked, None)
                };
                document.asked = open.version;
                document.filled_after = filled_after;
                inbound.shows = inbound.shows.max(found.newest);
            }
            None if !document.delta.is_empty() && turn.replica.held(&open.key)?.is_some() => {
                document.state = State::Ready(Base::Gone);
            }
            None => document.state = State::Dropped,
        }
        Ok(())
    }

    fn apply(
        &mut self,
        mut inbound: Inbound,
        subscriptions: &Subscriptions,
        publisher: &Publisher,
        respondent: &mut Respondent,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(end) = inbound.end else { return Ok(()) };
        self.buffered_bytes = self.buffered_bytes.saturating_sub(inbound.bytes);
        self.buffered_documents = self.buffered_documents.saturating_sub(inbound.count);
        let last_batch = inbound.last();
        self.tears.tells(end.run);
        if self.is_part(&inbound) {
            self.tears.open(
                turn.replica.last_sequence(),
                inbound.shows.max(end.told()),
                turn.durable,
                counterpart.sizes.tears,
            );
        }
        let mut exceptions: BTreeSet<(u64, usize)> = BTreeSet::new();
        let has_merged_before = inbound.documents.iter().any(|document| document.state == State::Apart);
        inbound.documents.retain(|document| {
            if document.state == State::Dropped {
                exceptions.extend(&document.places);
            }
            document.is_merged()
        });
        let incoming = Incoming {
            from: counterpart.remote,
            documents: inbound
                .documents
                .iter_mut()
                .map(|document| IncomingDocument {
                    key: document.key.clone(),
                    delta: std::mem::take(&mut document.delta),
                    stated: document.stated,
                })
                .collect(),
            checkpoints: self.advance(end, last_batch),
            seen: self.see(end)?,
            evictions: inbound
                .documents
                .iter()
                .any(|document| !document.complete)
                .then_some(inbound.evictions),
        };
        let mut brought = Brought::default();
        let nothing =
            incoming.documents.is_empty() && incoming.checkpoints.is_empty() && incoming.seen.is_none();
        let needs = if nothing {
            turn.replica.last_sequence()
        } else {
            let applied = leaving::apply(incoming, counterpart, turn)?;
            for (document, outcome) in inbound.documents.iter().zip(applied.outcomes) {
                match outcome {
                    Ok(outcome) => {
                        if outcome.before == Some(outcome.after) {
                            brought.known += 1;
                        } else {
                            brought.new += 1;
                        }
                        if outcome.absorbed {
                            exceptions.extend(&document.places);
                        }
                        self.merged(
                            document,
                            (outcome, applied.last),
                            publisher,
                            respondent,
                            counterpart,
                            turn,
                        )?;
                    }
                    Err(refused) => {
                        exceptions.extend(&document.places);
                        turn.events.push_back(counterpart.refused(document.key.clone(), refused.to_string()));
                    }
                }
            }
            applied.last
        };
        for batch in &inbound.numbers {
            let of_batch = exceptions.range((*batch, 0)..=(*batch, usize::MAX));
            if let Some((_, last)) = of_batch.last() {
                let documents = bits::collect((0..=*last).map(|index| exceptions.contains(&(*batch, index))));
                self.exceptions.push_back(Exceptions { batch: *batch, documents });
            }
        }
        if !inbound.documents.is_empty() {
            counterpart.statistics.last_update_received_ms = Some(turn.now);
        }
        // A batch without documents makes nothing necessary that the batches before it did not.
        let is_empty = inbound.documents.is_empty() && !has_merged_before;
        let needs = match self.unacknowledged.back() {
            Some((_, before)) if is_empty => self.stated.max(*before),
            None if is_empty => self.stated,
            _ => needs,
        };
        self.unacknowledged.extend(inbound.numbers.iter().map(|batch| (*batch, needs)));
        let reconciles = self.is_reconciling(last_batch);
        if !reconciles {
            counterpart.statistics.remote_position = end.sequence;
        }
        self.whole_up_to = Sequence(0);
        if end.caught_up && !reconciles {
            let whole = end.parts.map_or(u64::MAX, |parts| parts.0.saturating_sub(1));
            self.whole_up_to = Sequence(end.told().0.min(whole));
            self.tears.heal(end.told(), end.parts, turn.replica.last_sequence(), turn.durable);
        }
        self.judge(brought, counterpart, turn)?;
        self.report(end, last_batch, subscriptions, counterpart, turn);
        Ok(())
    }

    /// Whether a batch may show a part of a transaction.
    fn is_part(&self, inbound: &Inbound) -> bool {
        let Some(end) = inbound.end else { return false };
        let told = end.told();
        let is_whole = end.caught_up
            && !self.is_reconciling(inbound.last())
            && end.parts.is_none_or(|parts| parts > told)
            && inbound.shows <= told;
        !is_whole && inbound.documents.iter().any(Document::is_merged)
    }

    /// What a merge taught about one document.
    fn merged(
        &mut self,
        document: &Document,
        (outcome, last): (Outcome, Sequence),
        publisher: &Publisher,
        respondent: &mut Respondent,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let hash = document.hash;
        if document.state == State::Ready(Base::Gone) {
            counterpart.known.remove(hash);
            return Ok(());
        }
        let versions = (outcome.before, outcome.after);
        counterpart.known.merged(hash, versions, document.stated, true, last);
        if outcome.after == document.stated {
            return Ok(());
        }
        if document.state == State::Ready(Base::Filled) {
            if document.lacked.is_none() {
                self.ask_if_changed(document.asked, &document.key, outcome, publisher, turn);
            }
            return owe(document.lacked.as_ref(), &document.key, outcome, document.stated, respondent, turn);
        }
        // We hold more than was stated. Usually our own stream carries it …
        let Entry { sent, .. } = counterpart.known.get(hash).unwrap_or_default();
        let told = sent.is_some_and(|(_, version)| version == outcome.after);
        let (subscribes, to_everything) = publisher.serves(&document.key.collection);
        let carried = told || to_everything || subscribes && document.state == State::Ready(Base::Met);
        // … otherwise ask what of it the other peer lacks.
        if !carried {
            self.lacks(document.key.clone(), outcome.after, turn);
        }
        Ok(())
    }

    /// The publisher lacks something of a document, in the version that is known of here.
    fn lacks(&mut self, key: DocumentKey, version: Version, turn: &Turn<'_>) {
        self.buffered_bytes += key.id.len();
        self.lacking.push_back((key, version, turn.replica.eviction_total()));
    }

    /// The publisher lacks nothing of what it was asked about, but our copy has changed since: asks about the rest, unless our own
    /// stream carries that.
    fn ask_if_changed(
        &mut self,
        asked: Version,
        key: &DocumentKey,
        outcome: Outcome,
        publisher: &Publisher,
        turn: &Turn<'_>,
    ) {
        let (subscribes, _) = publisher.serves(&key.collection);
        if !subscribes && outcome.before.unwrap_or_default() != asked {
            self.lacks(key.clone(), outcome.after, turn);
        }
    }

    /// Asks what the publisher lacks, a bounded number of questions at a time.
    fn ask_what_is_lacked(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        while !self.lacking.is_empty() && self.may_ask(&counterpart.sizes) {
            let Some((key, merged, evictions)) = self.lacking.pop_front() else { break };
            self.buffered_bytes = self.buffered_bytes.saturating_sub(key.id.len());
            // It may have been evicted meanwhile, but for the marks of earlier lives; then the answer would bring it back.
            let nothing_evicted = evictions == turn.replica.eviction_total();
            let is_held = |held: Held| nothing_evicted || held.alive || held.version == merged;
            if turn.replica.held(&key)?.is_some_and(is_held) {
                self.question(Purpose::Surplus, key, counterpart, turn)?;
            }
        }
        Ok(())
    }

    /// Acknowledges what has become durable, behind the questions what the publisher lacks of it.
    pub(crate) fn acknowledge(&mut self, counterpart: &mut Counterpart, durable: Sequence) {
        if !self.lacking.is_empty() {
            return;
        }
        let mut acknowledged = None;
        while let Some((batch, _)) = self.unacknowledged.front().filter(|(_, needs)| *needs <= durable) {
            acknowledged = Some(*batch);
            self.unacknowledged.pop_front();
        }
        if let Some(batch) = acknowledged {
            let due = self.exceptions.iter().take_while(|exceptions| exceptions.batch <= batch).count();
            let exceptions = self.exceptions.drain(..due).collect();
            counterpart.send(&Message::Acknowledge(Acknowledge { batch, exceptions }));
        }
    }

    /// Whether something waits for the store to sync.
    pub(crate) fn awaits_durability(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    /// When something is due although nothing arrives.
    pub(crate) fn timeout(&self, eager: EagerLinks, counterpart: &Counterpart) -> Option<u64> {
        self.patience(counterpart)
            .into_iter()
            .chain(self.offer_timeout(eager))
            .chain(self.taken_timeout(counterpart))
            .min()
    }

    /// When the patience with the other peer ends.
    fn patience(&self, counterpart: &Counterpart) -> Option<u64> {
        self.open.first_key_value().map(|(_, open)| counterpart.patience(open.asked))
    }

    /// Fails if the other peer does not answer.
    pub(crate) fn check_patience(&self, counterpart: &Counterpart, now: u64) -> Result<(), CloseReason> {
        match self.patience(counterpart) {
            Some(timeout) if now >= timeout => Err(Violation::Timeout("a question").into()),
            _ => Ok(()),
        }
    }
}
