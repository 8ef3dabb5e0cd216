//! The half of a session that tells the other peer what changed.
//!
//! One *walk* over the change log serves all interests of the other peer. It starts at the smallest position
//! among them and never passes the durable sequence; once it has arrived there it simply continues as changes
//! become durable, so that backlog and live changes are one path. Only while it has a long way to go, new changes are told
//! [ahead](ahead::Ahead) of it, in batches that leave the position where it is, and a peer that holds nothing gets a large
//! collection as a [listing] before it. Each step collects a *draft*:
//! documents to send, and documents that changed but of which only the other peer can say whether it must hear
//! of them. The latter are offered; with the answer the draft becomes a batch.

mod ahead;
mod firm;
mod listing;
mod reconciling;

use std::collections::{BTreeMap, VecDeque};

use ditto_crdt::{RunId, Sequence, Version};
use ditto_value::{Object, Value, ValueRef};

use crate::capabilities::SHORT_DOCUMENTS;
use crate::event::{CloseReason, Violation};
use crate::known::{KeyHash, key_hash};
use crate::limits::{
    ANSWER_TIMEOUT_MS, BATCH_TARGET_BYTES, BATCH_TARGET_DOCUMENTS, MAX_BATCH_BYTES, MAX_BATCH_DOCUMENTS,
    MAX_DELTA_BYTES, MAX_INTERESTS, MAX_OFFER_ITEMS, MAX_REASON_BYTES, MESSAGE_TARGET_BYTES,
    POSITION_DELAY_MS, QUEUE_TARGET_BYTES, ROWS_PER_CALL, ROWS_PER_READ, SILENT_ROWS, WINDOW_BATCHES,
    WINDOW_BYTES, WINDOW_DOCUMENTS,
};
use crate::message::{
    Acknowledge, AddedInterest, Answer, Batch, BatchEnd, Interests, Message, Offer, OfferItem, SentDocument,
    Start, Walk, bits,
};
use crate::reconciliation::{Comparison, naming::Naming};
use crate::replica::{
    Acknowledged, Change, Checkpoint, DocumentKey, Interest, PeerId, Replica, ReplicaError, ServedInterest,
};
use crate::subscription::selection;
use crate::turn::{Link, Turn};
use ahead::Ahead;
use firm::Firm;
use listing::Listing;

/// The publishing half of one session.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    served: BTreeMap<u64, Served>,
    generation: u64,
    last_interest: u64,
    /// Everything up to here is sent.
    position: Sequence,
    ahead: Ahead,
    /// How far of that may be told.
    firm: Firm,
    /// The position that the other peer has been told.
    told: Sequence,
    /// Since when the position has been ahead of what was told, without a document to carry it.
    silent_since: Option<u64>,
    told_caught_up: bool,
    /// A transaction before the position may have been sent in part.
    torn: bool,
    /// Changes up to here may have come from the other peer before it forgot them.
    origin_floor: Sequence,
    flights: VecDeque<Flight>,
    /// Documents of the present position that cannot be sent, and the first sequence that they would say something of.
    unsendable: Vec<(DocumentKey, Sequence)>,
    last_batch: u64,
    last_offer: u64,
    draft: Option<Draft>,
    /// Reconciliations that are not over, by generation; the first is under way, the others wait.
    comparisons: VecDeque<Comparison>,
    /// The other peer can reconcile, and has so many changes in its log.
    pub(crate) reconciles_with: Option<Sequence>,
    /// The other peer reconciles as well, and goes first: what it sends may be all that makes a difference.
    pub(crate) gives_way: bool,
    /// There is work that waits for nobody but the next call.
    pub(crate) more: bool,
    /// The other peer wants documents to be offered, whether or not it is known to want them.
    pub(crate) lazy: bool,
    /// Highest of our sequences that the other peer had seen before this session. Its checkpoints may lie before that: it has
    /// documents that were told ahead of the walk, or shortly before the end.
    pub(crate) seen: Sequence,
    /// Checkpoints of the other peer are not to be trusted.
    pub(crate) distrust: bool,
}

/// An interest of the other peer.
#[derive(Debug)]
struct Served {
    interest: Interest,
    /// What the other peer held when it stated the interest: the base of deltas.
    start: Sequence,
    /// Rows up to here have been considered.
    from: Sequence,
    /// Generation of the interests that brought it.
    generation: u64,
    /// Names it in acknowledgements.
    selection: [u8; 16],
    /// The other peer gets everything of it in this session, but for what it is known to hold.
    is_whole: bool,
    /// What lies before the start is being reconciled.
    is_reconciled: bool,
    /// Batches before this one say nothing about it.
    first_batch: u64,
    /// Much of what changed up to here may be held already: it is offered.
    held_in_part: Sequence,
    /// What is told of it before the walk comes by.
    listing: Option<Listing>,
}

/// A batch that is not yet acknowledged.
#[derive(Debug)]
struct Flight {
    batch: u64,
    /// What was sent of each document: everything from this sequence on.
    documents: Vec<(DocumentKey, Sequence)>,
    unsendable: Vec<(DocumentKey, Sequence)>,
    bytes: usize,
    end: Sequence,
    generation: u64,
}

#[derive(Debug)]
struct Draft {
    items: Vec<Item>,
    bytes: usize,
    /// It is about the changes after this one …
    start: Sequence,
    /// … up to this one, and those in between that were told ahead of the walk.
    end: Sequence,
    /// It is not a step of the walk but ahead of it.
    ahead: bool,
    /// The newest sequence when the rows had been read.
    last: Sequence,
    /// There was a row for every sequence of it, about a document that had not changed again.
    whole: bool,
    /// A transaction may be in it in part.
    torn: bool,
    caught_up: bool,
    offer: u64,
    asked: u64,
}

#[derive(Debug)]
enum Item {
    Ready(Ready),
    Offered(Candidate, Version, bool),
}

/// A changed document and how it would be sent.
#[derive(Debug)]
struct Candidate {
    hash: KeyHash,
    key: DocumentKey,
    interest: u64,
    sequence: Sequence,
    since: Sequence,
    before: Option<Version>,
}

#[derive(Debug)]
struct Ready {
    candidate: Candidate,
    after: Version,
    delta: Vec<u8>,
}

impl Publisher {
    /// The other peer wants other things than before.
    pub(crate) fn interests(
        &mut self,
        interests: Interests,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if interests.generation != self.generation + 1 {
            return Err(Violation::Unexpected("generation of interests").into());
        }
        let first = self.served.is_empty();
        self.generation = interests.generation;
        if let Some(evictions) = interests.evictions {
            turn.replica.remote_evicted(link.remote, evictions)?;
        }
        // Nothing of a draft was sent; the walk comes by again.
        self.draft = None;
        if interests.forgotten {
            link.known.clear();
            self.served.values_mut().for_each(|served| served.listing = None);
        }
        for id in &interests.removed {
            self.served.remove(id);
        }
        self.reconsider(&interests, link);
        for served in self.served.values_mut() {
            served.from = served.from.max(self.position);
        }
        let runs = turn.replica.runs();
        let mut starts = Vec::new();
        let run = runs.last().map_or(RunId(0), |(run, _)| *run);
        let naming = Naming::new(run, turn.durable, self.generation);
        let mut comparison = Comparison::new(self.generation, naming, turn.durable);
        for added in interests.added {
            if added.id <= self.last_interest {
                return Err(Violation::Unexpected("number of an interest").into());
            }
            self.last_interest = added.id;
            if self.served.len() >= MAX_INTERESTS {
                return Err(Violation::Limit("interests").into());
            }
            starts.push(self.serve(&added, &runs, &mut comparison, link.remote, turn)?);
        }
        if !comparison.interests.is_empty() {
            self.comparisons.push_back(comparison);
        }
        let least = self.served.values().map(|served| served.from).min();
        self.position = match least {
            None => turn.durable,
            Some(least) if first => least,
            Some(least) => least.min(self.position),
        };
        if first {
            self.ahead.begin(turn.durable);
            self.firm.restart(self.position);
        } else {
            self.ahead.forget();
            self.firm.restart(self.position.min(self.firm.position()));
        }
        self.told = self.firm.position();
        self.told_caught_up = false;
        self.origin_floor = turn.replica.last_sequence();
        self.more = true;
        link.send(&Message::Walk(Walk { generation: self.generation, run, starts }));
        Ok(())
    }

    fn serve(
        &mut self,
        added: &AddedInterest,
        runs: &[(RunId, Sequence)],
        comparison: &mut Comparison,
        remote: PeerId,
        turn: &mut Turn<'_>,
    ) -> Result<Start, CloseReason> {
        let refuse = |reason: String| Start {
            interest: added.id,
            refused: Some(shorten(reason, MAX_REASON_BYTES)),
            ..Start::default()
        };
        let Some(arguments) = arguments(&added.arguments) else {
            return Ok(refuse("the arguments are not a CBOR map with text keys".to_owned()));
        };
        let interest = match turn.replica.compile(&added.query, &arguments) {
            Ok(interest) => interest,
            Err(ReplicaError::Query(reason)) => return Ok(refuse(reason)),
            Err(error) => return Err(error.into()),
        };
        if !turn.replica.may_travel(remote, &interest.collection) {
            // Its checkpoint stays where it is: nothing is skipped if that changes.
            return Ok(refuse(format!(
                "the collection {} is not synced with this peer",
                interest.collection
            )));
        }
        let checkpoint = added
            .checkpoint
            .filter(|_| !self.distrust)
            .and_then(|checkpoint| locate(checkpoint, runs, turn.replica.last_sequence()))
            .unwrap_or(Sequence(0));
        let reconciled = checkpoint == Sequence(0) && self.may_reconcile(turn.durable);
        let start = if reconciled { comparison.fence } else { checkpoint };
        let selection = selection(&interest.normalized, &added.arguments).to_le_bytes();
        let query = interest.normalized.clone();
        turn.replica.serves(remote, ServedInterest { selection, query, arguments: added.arguments.clone() });
        let generation = self.generation;
        if reconciled {
            comparison.interests.push((added.id, interest.clone()));
        }
        let served = Served {
            is_whole: interest.unfiltered && checkpoint == Sequence(0),
            is_reconciled: reconciled,
            first_batch: if reconciled { u64::MAX } else { 0 },
            // Without a checkpoint nobody knows; see `walk_instead`.
            held_in_part: if checkpoint == Sequence(0) { Sequence(0) } else { self.seen },
            listing: self.listing(&interest, checkpoint, turn.durable),
            interest,
            start,
            from: start,
            generation,
            selection,
        };
        self.served.insert(added.id, served);
        Ok(Start { interest: added.id, sequence: start, refused: None, reconciled })
    }

    /// Documents were evicted here: what was read before is not to be told after the other peer was told that.
    pub(crate) fn discard_draft(&mut self) {
        self.draft = None;
        self.more = true;
    }

    /// Changes up to here may have come from the other peer before it evicted them.
    pub(crate) fn distrust_origins(&mut self, up_to: Sequence) {
        self.origin_floor = self.origin_floor.max(up_to);
    }

    /// Whether the other peer subscribes to documents of the collection; whether it gets all of them, from
    /// the first to the last, in this session.
    pub(crate) fn serves(&self, collection: &str) -> (bool, bool) {
        let mut all = self.served.values().filter(|served| &*served.interest.collection == collection);
        (all.clone().next().is_some(), all.any(|served| served.is_whole))
    }

    /// Sends what can be sent now.
    pub(crate) fn pump(&mut self, link: &mut Link, turn: &mut Turn<'_>) -> Result<(), CloseReason> {
        self.more = false;
        self.reconcile(link, turn)?;
        let mut rows = ROWS_PER_CALL;
        while self.draft.is_none() && !self.served.is_empty() && self.window_is_open() {
            let nothing_new = self.position >= turn.durable;
            let nobody_waits = self.served.values().all(|served| served.is_reconciled);
            if nothing_new && (self.told_caught_up || self.torn || nobody_waits) {
                break;
            }
            if link.outbox.bytes() > QUEUE_TARGET_BYTES || rows == 0 {
                self.more = true;
                break;
            }
            let end_of_commit = |sequence| Ok::<_, ReplicaError>(turn.replica.commit_of(sequence)?.1);
            let live = self.ahead.turn(self.position, turn.durable, end_of_commit)?;
            if live.is_none() && self.list(&mut rows, link, turn)? {
                continue;
            }
            let mut draft = self.collect(live, &mut rows, link, turn)?;
            let offered: Vec<_> = draft.items.iter().filter_map(|item| item.offer(link)).collect();
            if offered.is_empty() {
                self.finish(draft, link, turn);
            } else {
                self.last_offer += 1;
                draft.offer = self.last_offer;
                draft.asked = turn.now;
                link.send(&Message::Offer(Offer { offer: draft.offer, items: offered }));
                self.draft = Some(draft);
            }
        }
        self.firm.ripen(turn.durable);
        if self.firm.position() > self.told {
            self.silent_since.get_or_insert(turn.now);
        }
        if self.silent_since.is_some_and(|since| turn.now >= since + POSITION_DELAY_MS)
            && self.draft.is_none()
            && self.window_is_open()
        {
            self.tell_position(link, turn);
        }
        Ok(())
    }

    fn window_is_open(&self) -> bool {
        self.flights.is_empty()
            || self.flights.len() < WINDOW_BATCHES
                && self.flights.iter().map(|flight| flight.documents.len()).sum::<usize>() < WINDOW_DOCUMENTS
                && self.flights.iter().map(|flight| flight.bytes).sum::<usize>() < WINDOW_BYTES
    }

    /// Goes on from the position, or ahead of it from `live`, until a batch is full, everything durable is seen, or `rows`
    /// are used up.
    fn collect(
        &mut self,
        live: Option<Sequence>,
        rows: &mut usize,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<Draft, CloseReason> {
        let start = live.unwrap_or(self.position);
        let up_to = if live.is_some() { turn.durable } else { self.ahead.next(turn.durable) };
        let mut draft = Draft {
            items: Vec::new(),
            bytes: 0,
            start,
            end: start,
            ahead: live.is_some(),
            last: Sequence(0),
            whole: false,
            torn: false,
            caught_up: false,
            offer: 0,
            asked: 0,
        };
        let mut offered = 0;
        let mut torn = false;
        let mut boundary = None;
        let mut seen = Vec::new();
        'walk: while draft.end < up_to {
            let changes = turn.replica.changes(draft.end, up_to, ROWS_PER_READ)?;
            let last_read = changes.len() < ROWS_PER_READ;
            for change in changes {
                let full = draft.items.len() >= MAX_BATCH_DOCUMENTS || draft.bytes >= MAX_BATCH_BYTES;
                if full || boundary.is_some_and(|boundary| change.sequence > boundary) {
                    // Beyond the bounds a commit is cut; the subscriber is behind then and says so.
                    draft.end = boundary.filter(|_| !full).unwrap_or(draft.end);
                    break 'walk;
                }
                *rows = rows.saturating_sub(1);
                let sequence = change.sequence;
                draft.end = sequence;
                seen.push(sequence);
                match self.weigh(change, link, turn)? {
                    Weighed::Nothing => {}
                    Weighed::Moved => torn = true,
                    Weighed::Unsendable(key, from) => self.unsendable.push((key, from)),
                    Weighed::Item(item) => {
                        offered += usize::from(matches!(item, Item::Offered(..)));
                        draft.bytes += item.bytes();
                        draft.items.push(item);
                    }
                }
                let enough = draft.items.len() >= BATCH_TARGET_DOCUMENTS
                    || draft.bytes >= BATCH_TARGET_BYTES
                    || *rows == 0;
                if offered >= MAX_OFFER_ITEMS {
                    break 'walk;
                }
                if enough && boundary.is_none() {
                    boundary = Some(turn.replica.commit_of(sequence)?.1.min(up_to));
                }
            }
            if last_read {
                draft.end = up_to;
                break;
            }
        }
        draft.last = turn.replica.last_sequence();
        draft.whole = !torn && seen.len() as u64 == draft.end.0 - start.0;
        let nothing_new = draft.end == start;
        draft.torn = torn
            || nothing_new && self.torn
            || !draft.items.is_empty() && tears_a_commit(&seen, turn.durable, turn.replica)?;
        if !draft.ahead {
            let (end, torn) = self.ahead.beyond(draft.end);
            draft.end = end;
            draft.torn |= torn;
            draft.caught_up = end >= turn.durable && !draft.torn;
        }
        Ok(draft)
    }

    /// Decides what the other peer must hear of one change.
    fn weigh(&self, change: Change, link: &Link, turn: &mut Turn<'_>) -> Result<Weighed, CloseReason> {
        let Change { sequence, key, origin } = change;
        if self.is_listed(&key, sequence) {
            return Ok(Weighed::Nothing);
        }
        let mut applicable = self
            .served
            .iter()
            .filter(|(_, served)| served.interest.collection == key.collection && sequence > served.from)
            .peekable();
        let Some(interest) = applicable.peek().map(|(id, _)| **id) else { return Ok(Weighed::Nothing) };
        let theirs = origin == Some(link.remote.origin());
        if theirs && sequence > self.origin_floor {
            return Ok(Weighed::Nothing);
        }
        let hash = key_hash(&key);
        let known = link.known.get(hash);
        let sent = known.and_then(|entry| entry.sent);
        let served: Vec<&Served> = applicable.map(|(_, served)| served).collect();
        let start = served.iter().map(|served| served.start).min().unwrap_or(Sequence(0));
        let (since, before) = sent.map_or((start, None), |(since, before)| (since, Some(before)));
        let candidate = Candidate { hash, key, interest, sequence, since, before };
        let unfiltered = served.iter().any(|served| served.interest.unfiltered);
        let doubtful = sent.is_none() && served.iter().any(|served| sequence <= served.held_in_part);
        if unfiltered && sent.is_none() && !theirs && !self.lazy && !doubtful {
            return candidate.read(turn.replica, link, turn.events);
        }
        let Some(stored) = turn.replica.document(&candidate.key)? else { return Ok(Weighed::Nothing) };
        if stored.newest != sequence {
            return Ok(Weighed::Moved);
        }
        if before == Some(stored.version) {
            return Ok(Weighed::Nothing);
        }
        let value = ValueRef::from_stored(&stored.value);
        let matching =
            unfiltered || stored.alive && served.iter().any(|served| (served.interest.matcher)(value));
        if self.lazy || doubtful || theirs && sent.is_none() || !matching && known.is_none() {
            return Ok(Weighed::Item(Item::Offered(candidate, stored.version, matching)));
        }
        candidate.read(turn.replica, link, turn.events)
    }

    /// The other peer says which of the offered documents it wants.
    pub(crate) fn answer(
        &mut self,
        answer: &Answer,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if answer.offer > self.last_offer {
            return Err(Violation::Unexpected("answer to no offer").into());
        }
        let Some(mut draft) = self.draft.take_if(|draft| draft.offer == answer.offer) else {
            return Ok(());
        };
        let mut index = 0;
        let mut items = Vec::with_capacity(draft.items.len());
        for item in std::mem::take(&mut draft.items) {
            let (candidate, version, matching) = match item {
                Item::Ready(_) => {
                    items.push(item);
                    continue;
                }
                Item::Offered(candidate, version, matching) => (candidate, version, matching),
            };
            if bits::get(&answer.wanted, index) {
                match candidate.read(turn.replica, link, turn.events)? {
                    Weighed::Item(item) => items.push(item),
                    Weighed::Moved => {
                        (draft.torn, draft.caught_up, draft.whole) = (true, false, false);
                        draft.last = turn.replica.last_sequence();
                    }
                    Weighed::Unsendable(key, from) => self.unsendable.push((key, from)),
                    Weighed::Nothing => {}
                }
            } else if matching {
                link.known.sent(candidate.hash, candidate.sequence, version);
            }
            index += 1;
        }
        draft.items = items;
        self.finish(draft, link, turn);
        Ok(())
    }

    /// Sends a draft that has no open offers.
    fn finish(&mut self, draft: Draft, link: &mut Link, turn: &mut Turn<'_>) {
        if draft.ahead {
            self.ahead.tell(draft.start, draft.end, draft.torn);
            if !draft.items.is_empty() {
                self.told_caught_up = false;
                self.send(draft.items, draft.end, link, turn);
            }
            return;
        }
        self.position = draft.end;
        if draft.whole {
            self.firm.pass(draft.start, draft.end);
        }
        self.firm.reach(draft.end, draft.last, turn.durable);
        self.torn = draft.torn;
        self.ahead.passed(self.position);
        if draft.items.is_empty() {
            let arrived = draft.caught_up && !self.told_caught_up;
            if arrived {
                self.told_caught_up = true;
                self.tell_position(link, turn);
            } else if self.firm.position().0.saturating_sub(self.told.0) >= SILENT_ROWS {
                self.tell_position(link, turn);
            }
            return;
        }
        self.told_caught_up = draft.caught_up;
        self.send(draft.items, self.position, link, turn);
    }

    fn tell_position(&mut self, link: &mut Link, turn: &Turn<'_>) {
        self.send(Vec::new(), self.position, link, turn);
    }

    /// Sends changes up to `newest`.
    fn send(&mut self, items: Vec<Item>, newest: Sequence, link: &mut Link, turn: &Turn<'_>) {
        self.last_batch += 1;
        let mut flight = Flight {
            batch: self.last_batch,
            documents: Vec::with_capacity(items.len()),
            unsendable: std::mem::take(&mut self.unsendable),
            bytes: 0,
            end: self.firm.position(),
            generation: self.generation,
        };
        let mut message = Batch { batch: self.last_batch, ..Batch::default() };
        let mut size = 0;
        for item in items {
            let Item::Ready(Ready { candidate, after, delta }) = item else { continue };
            flight.bytes += candidate.key.id.len() + delta.len();
            size += candidate.key.id.len() + delta.len() + 64;
            link.known.sent(candidate.hash, candidate.sequence, after);
            let complete = candidate.since == Sequence(0);
            let implied = complete && link.can(SHORT_DOCUMENTS);
            debug_assert!(!implied || Version::of_canonical(&delta) == after, "not the whole document");
            message.documents.push(SentDocument {
                interest: candidate.interest,
                id: link.name(&candidate.key),
                before: candidate.before,
                after: (!implied).then_some(after),
                complete,
                delta: link.body(delta),
            });
            let from = candidate.from();
            flight.documents.push((candidate.key, from));
            if size >= MESSAGE_TARGET_BYTES {
                let full = std::mem::take(&mut message);
                message.batch = full.batch;
                link.send(&Message::Batch(full));
                size = 0;
            }
        }
        let run = turn.replica.runs().last().map_or(RunId(0), |(run, _)| *run);
        message.end = Some(BatchEnd {
            generation: self.generation,
            run,
            sequence: flight.end,
            newest: Some(newest).filter(|newest| *newest > flight.end),
            caught_up: self.told_caught_up,
        });
        link.statistics.documents_sent += flight.documents.len() as u64;
        link.send(&Message::Batch(message));
        self.told = flight.end;
        self.silent_since = None;
        self.flights.push_back(flight);
    }

    /// The other peer holds, durably, everything up to a batch.
    pub(crate) fn acknowledge(
        &mut self,
        acknowledge: &Acknowledge,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if acknowledge.batch > self.last_batch {
            return Err(Violation::Unexpected("acknowledgement of no batch").into());
        }
        let mut acknowledged = Acknowledged::default();
        while self.flights.front().is_some_and(|flight| flight.batch <= acknowledge.batch) {
            let Some(flight) = self.flights.pop_front() else { break };
            link.statistics.acknowledged = flight.end;
            let of_batch = acknowledge.exceptions.iter().find(|exceptions| exceptions.batch == flight.batch);
            for (index, document) in flight.documents.into_iter().enumerate() {
                if of_batch.is_some_and(|exceptions| bits::get(&exceptions.documents, index)) {
                    acknowledged.unheld.push(document);
                } else {
                    acknowledged.held.push(document);
                }
            }
            acknowledged.unheld.extend(flight.unsendable);
            // What was on its way before an interest was stated says nothing about it.
            let earlier = self.served.values().filter(|served| {
                served.generation <= flight.generation && served.first_batch <= flight.batch
            });
            for served in earlier {
                acknowledged.interests.retain(|(selection, _)| *selection != served.selection);
                acknowledged.interests.push((served.selection, flight.end));
            }
        }
        turn.replica.acknowledged(link.remote, &acknowledged);
        Ok(())
    }

    /// When something is due although nothing arrives.
    pub(crate) fn timeout(&self) -> Option<u64> {
        let offer = self.draft.as_ref().map(|draft| draft.asked + ANSWER_TIMEOUT_MS);
        let silent = self
            .silent_since
            .filter(|_| self.draft.is_none() && self.window_is_open())
            .map(|since| since + POSITION_DELAY_MS);
        let reconciliation = self.comparisons.front().and_then(Comparison::timeout);
        offer.into_iter().chain(silent).chain(reconciliation).min()
    }

    /// Fails if the other peer does not answer.
    pub(crate) fn check_patience(&self, now: u64) -> Result<(), CloseReason> {
        match &self.draft {
            Some(draft) if now >= draft.asked + ANSWER_TIMEOUT_MS => {
                Err(Violation::Timeout("an offer").into())
            }
            _ if self.comparisons.front().and_then(Comparison::timeout).is_some_and(|at| now >= at) => {
                Err(Violation::Timeout("a reconciliation").into())
            }
            _ => Ok(()),
        }
    }
}

enum Weighed {
    Nothing,
    /// Changed since its row was read; a later row is about it.
    Moved,
    /// Too large to travel; what it would say begins at this sequence.
    Unsendable(DocumentKey, Sequence),
    Item(Item),
}

impl Item {
    fn offer(&self, link: &Link) -> Option<OfferItem> {
        match self {
            Item::Ready(_) => None,
            Item::Offered(candidate, version, matching) => Some(OfferItem {
                interest: candidate.interest,
                id: link.name(&candidate.key),
                version: *version,
                matching: *matching,
            }),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Item::Ready(ready) => ready.candidate.key.id.len() + ready.delta.len(),
            Item::Offered(..) => 0,
        }
    }
}

impl Candidate {
    /// The first sequence that its delta says something of.
    fn from(&self) -> Sequence {
        Sequence(self.since.0 + 1)
    }

    /// Reads what is to be sent, as long as the document is still the one that the row is about.
    fn read(
        self,
        replica: &dyn Replica,
        link: &Link,
        events: &mut VecDeque<crate::Event>,
    ) -> Result<Weighed, CloseReason> {
        let Some(excerpt) = replica.delta_since(&self.key, self.since)? else {
            // Evicted; or buried no longer, and inserted again.
            return Ok(if self.key.is_by_hash() { Weighed::Moved } else { Weighed::Nothing });
        };
        if excerpt.newest != self.sequence {
            return Ok(Weighed::Moved);
        }
        if excerpt.delta.len() > MAX_DELTA_BYTES {
            let reason = format!("{} bytes; at most {MAX_DELTA_BYTES} travel", excerpt.delta.len());
            events.push_back(link.refused(self.key.clone(), reason));
            let from = self.from();
            return Ok(Weighed::Unsendable(self.key, from));
        }
        Ok(Weighed::Item(Item::Ready(Ready {
            candidate: self,
            after: excerpt.version,
            delta: excerpt.delta,
        })))
    }
}

/// Whether a commit among `seen` may have members that changed again and are not durable yet, so that a
/// reader at the other peer would see the rest without them.
fn tears_a_commit(seen: &[Sequence], durable: Sequence, replica: &dyn Replica) -> Result<bool, ReplicaError> {
    if replica.last_sequence() <= durable {
        return Ok(false);
    }
    let mut rows = seen.iter().peekable();
    while let Some(sequence) = rows.next() {
        let (first, last) = replica.commit_of(*sequence)?;
        let mut members = 1;
        while rows.next_if(|sequence| **sequence <= last).is_some() {
            members += 1;
        }
        if members < last.0.saturating_sub(first.0) + 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where a checkpoint lies in this history; `None` if it belongs to another one.
pub(crate) fn locate(checkpoint: Checkpoint, runs: &[(RunId, Sequence)], last: Sequence) -> Option<Sequence> {
    let index = runs.iter().position(|(run, _)| *run == checkpoint.run)?;
    let end = runs.get(index + 1).map_or(last, |(_, next)| Sequence(next.0.saturating_sub(1)));
    (checkpoint.sequence <= end).then_some(checkpoint.sequence)
}

fn arguments(cbor: &[u8]) -> Option<Object> {
    if cbor.is_empty() {
        return Some(Object::default());
    }
    match Value::from_cbor(cbor) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// Cuts a text at a character boundary.
pub(crate) fn shorten(mut text: String, limit: usize) -> String {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}
