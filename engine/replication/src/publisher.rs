//! The half of a session that tells the other peer what changed.
//!
//! One *walk* over the change log serves all interests of the other peer. It starts at the smallest position
//! among them and never passes the durable sequence; once it has arrived there it simply continues as changes
//! become durable, so that backlog and live changes are one path. Only while it has a long way to go, new changes are told
//! [ahead](ahead::Ahead) of it, in batches that leave the position where it is; while a [large](large) document is under way,
//! the walk itself goes on so; and a peer that holds nothing gets a large collection as a [listing] before it. Each step
//! collects a *draft*: documents to send, and documents that changed but of which only the other peer can say whether it must
//! hear of them. The latter are offered; with the answer the draft becomes a batch.

mod ahead;
mod firm;
mod large;
mod listing;
mod reconciling;
mod taken;
mod window;

use std::collections::{BTreeMap, VecDeque};

use ditto_crdt::{RunId, Sequence, Version};
use ditto_value::{Object, Value};

use crate::capabilities::SHORT_DOCUMENTS;
use crate::event::{CloseReason, Violation};
use crate::known::{KeyHash, key_hash};
use crate::limits::{
    ANSWER_TIMEOUT_MS, BYTES_PER_ROW, LATER_OFFER_MS, LIVE_ROWS, MAX_BATCH_BYTES, MAX_BATCH_DOCUMENTS,
    MAX_INTERESTS, MAX_OFFER_ITEMS, MAX_REASON_BYTES, MESSAGE_TARGET_BYTES, POSITION_DELAY_MS,
    QUEUE_TARGET_BYTES, ROWS_PER_CALL, ROWS_PER_READ, SILENT_ROWS, WINDOW_BATCHES,
};
use crate::message::{
    Acknowledge, AddedInterest, Answer, Batch, BatchEnd, Body, Interests, Message, Offer, OfferItem,
    SentDocument, Start, Walk, bits,
};
use crate::reconciliation::{Comparison, naming::Naming};
use crate::replica::{
    Acknowledged, Change, Checkpoint, DocumentKey, Interest, PeerId, Replica, ReplicaError, ServedInterest,
    match_against,
};
use crate::subscription::selection;
use crate::turn::{Link, Turn};
use ahead::Ahead;
use firm::Firm;
use listing::Listing;
use taken::Differing;
use window::Window;

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
    /// Transactions before the position may have been sent in part; the rest lies up to here.
    torn: Sequence,
    /// When the other peer was last told that it has caught up, there could be parts of transactions of others from this
    /// sequence on.
    parts: Option<Sequence>,
    /// Changes up to here may have come from the other peer before it forgot them.
    origin_floor: Sequence,
    flights: VecDeque<Flight>,
    window: Window,
    /// Documents of the present position that cannot be sent, and the first sequence that they would say something of.
    unsendable: Vec<(DocumentKey, Sequence)>,
    last_batch: u64,
    last_offer: u64,
    draft: Option<Draft>,
    /// A draft whose long deltas are under way in parts.
    large: Option<Draft>,
    /// Reconciliations that are not over, by generation; the first is under way, the others wait.
    comparisons: VecDeque<Comparison>,
    /// What the other peer has taken from elsewhere and is known here in another version.
    differing: Option<Differing>,
    /// The other peer can reconcile, and has so many changes in its log.
    pub(crate) reconciles_with: Option<Sequence>,
    /// The other peer reconciles as well, and goes first: what it sends may be all that makes a difference.
    pub(crate) gives_way: bool,
    /// Of two peers that offer each other the same, this one does it later: what it is offered it need not offer.
    pub(crate) offers_later: bool,
    /// When what is new may be offered; 0 once that was so, until everything is.
    offers_from: Option<u64>,
    /// There is work that waits for nobody but the next call.
    pub(crate) more: bool,
    /// The other peer wants documents to be offered, whether or not it is known to want them.
    lazy: bool,
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
    /// Bytes of what travelled in parts.
    large: usize,
    end: Sequence,
    generation: u64,
}

#[derive(Debug, Default)]
struct Draft {
    place: Place,
    items: Vec<Item>,
    bytes: usize,
    /// It is about the changes after this one …
    start: Sequence,
    /// … up to this one.
    end: Sequence,
    /// It is a commit with large documents.
    large: bool,
    /// After its end such a commit follows, up to here, whose turn comes later.
    aside: Option<Sequence>,
    /// What was durable when the rows were read, and the newest sequence right after.
    durable: Sequence,
    last: Sequence,
    /// There was a row for every sequence of it, about a document that had not changed again.
    whole: bool,
    /// A transaction may be in it in part.
    torn: bool,
    /// From where on there could be parts of transactions of others when the rows were read.
    parts: Option<Sequence>,
    offer: u64,
    asked: u64,
}

/// Where the changes of a draft lie.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Place {
    /// After the position, which moves to its end.
    #[default]
    Walk,
    /// Ahead of the position, where the walk goes on behind what waits.
    Onward,
    /// Ahead of the position, among what is new.
    Live,
    /// Anywhere: the position comes by in its own time.
    Beside,
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
    /// Empty once it is on its way in parts.
    delta: Vec<u8>,
    bytes: usize,
    /// The name of the parts, once all are sent.
    parts: Option<u64>,
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
        if let Some(evictions) = interests.evictions
            && turn.replica.remote_evicted(link.remote, evictions)?
        {
            link.forget_acknowledged();
        }
        if let (Some(before), Some(durable)) = (self.reconciles_with, interests.durable) {
            self.reconciles_with = Some(before.max(durable));
        }
        // Nothing of a draft was sent; the walk comes by again.
        self.draft = None;
        if interests.forgotten {
            link.known.clear();
            self.served.values_mut().for_each(|served| served.listing = None);
        }
        self.reconsider_large(&interests, link);
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

    /// The other peer says whether documents are to be offered.
    pub(crate) fn deliver(&mut self, lazy: bool) {
        self.lazy = lazy;
        self.offers_from = None;
        self.window = Window::default();
    }

    /// Documents were evicted here: what was read before is not to be told after the other peer was told that.
    pub(crate) fn discard_draft(&mut self, link: &mut Link) {
        self.draft = None;
        self.drop_large(link);
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

    /// Whether a change of the collection is the next that the other peer is told, without having to do anything but to answer.
    pub(crate) fn is_about_to_tell(&self, collection: &str, change: Sequence, durable: Sequence) -> bool {
        let is_near = durable.0.saturating_sub(self.position.0) <= LIVE_ROWS;
        let goes_on = self.draft.is_some() || self.more;
        change > self.position
            && goes_on
            && is_near
            && self.comparisons.is_empty()
            && self.serves(collection).0
    }

    /// Whether the other peer has yet to be told something of the collection, so that what it lacks may be among that.
    pub(crate) fn has_more_to_tell(&self, collection: &str, durable: Sequence) -> bool {
        let is_over = self.draft.is_none() && self.position >= durable && self.comparisons.is_empty();
        !is_over && self.serves(collection).0
    }

    /// Sends what can be sent now.
    pub(crate) fn pump(&mut self, link: &mut Link, turn: &mut Turn<'_>) -> Result<(), CloseReason> {
        self.more = false;
        self.finish_large(link, turn);
        self.reconcile(link, turn)?;
        self.tell_differing(link, turn)?;
        let mut rows = ROWS_PER_CALL;
        while self.draft.is_none() && !self.served.is_empty() && self.window_is_open() {
            let onward = self.ahead.onward(self.position);
            // The next step of the walk is a large document whose turn has not come.
            let is_held = onward > self.position && !self.may_begin_large();
            let reached = if is_held { onward } else { self.position };
            let nothing_new = reached >= turn.durable;
            let nobody_waits = self.served.values().all(|served| served.is_reconciled);
            if nothing_new && (is_held || self.told_caught_up || self.torn > self.position || nobody_waits)
                || is_held && self.ahead.is_full()
            {
                self.offers_from = None;
                break;
            }
            if link.outbox.bytes() > QUEUE_TARGET_BYTES || rows == 0 {
                self.more = true;
                break;
            }
            if self.waits_for_offers(turn.now) {
                break;
            }
            let end_of_commit = |sequence| Ok::<_, ReplicaError>(turn.replica.commit_of(sequence)?.1);
            let live = self.ahead.turn(reached, turn.durable, end_of_commit)?;
            if live.is_none() && self.list(&mut rows, link, turn)? {
                continue;
            }
            let (place, start) = match live {
                Some(live) => (Place::Live, live),
                None if is_held => (Place::Onward, onward),
                None => (Place::Walk, self.position),
            };
            let mut draft = self.collect(place, start, &mut rows, link, turn)?;
            let offered: Vec<_> = draft.items.iter().filter_map(|item| item.offer(link)).collect();
            if offered.is_empty() {
                self.conclude(draft, link, turn);
            } else {
                self.last_offer += 1;
                draft.offer = self.last_offer;
                draft.asked = turn.now;
                link.send(&Message::Offer(Offer { offer: draft.offer, items: offered }));
                self.draft = Some(draft);
            }
        }
        let idle = self.draft.is_none() && self.window_is_open();
        if self.parts.is_some() && idle && self.told_caught_up && self.position >= turn.durable {
            let parts = turn.parts_of_others.filter(|parts| *parts <= self.position);
            if self.parts != parts {
                self.parts = parts;
                self.tell_position(link, turn);
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

    /// Whether the other peer may be about to offer what is new here.
    fn waits_for_offers(&mut self, now: u64) -> bool {
        if !self.lazy || !self.offers_later {
            return false;
        }
        let from = self.offers_from.get_or_insert(now + LATER_OFFER_MS);
        let waits = now < *from;
        if !waits {
            *from = 0;
        }
        waits
    }

    fn window_is_open(&self) -> bool {
        self.flights.is_empty()
            || self.flights.len() < WINDOW_BATCHES
                && self.window.has_room(
                    self.flights.iter().map(|flight| flight.documents.len()).sum(),
                    self.flights.iter().map(|flight| flight.bytes).sum(),
                )
    }

    /// Goes on from `start` until a batch is full, everything durable is seen, `rows` are used up, or a large document waits.
    fn collect(
        &mut self,
        place: Place,
        start: Sequence,
        rows: &mut usize,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<Draft, CloseReason> {
        let up_to = self.ahead.next(start, turn.durable);
        let (durable, parts) = (turn.durable, turn.parts_of_others);
        let mut draft = Draft { place, start, end: start, durable, parts, ..Draft::default() };
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
                        if item.is_large(link) && !draft.large {
                            *rows = rows.saturating_sub(item.bytes() / BYTES_PER_ROW);
                            let commit = turn.replica.commit_of(sequence)?;
                            let Some(end) = self.meet_large(&mut draft, commit, up_to) else {
                                seen.retain(|sequence| *sequence <= draft.end);
                                break 'walk;
                            };
                            boundary = Some(end);
                        }
                        offered += usize::from(matches!(item, Item::Offered(..)));
                        draft.bytes += item.bytes();
                        draft.items.push(item);
                    }
                }
                let enough = draft.items.len() >= self.window.batch_documents(self.lazy)
                    || draft.bytes >= self.window.batch_bytes()
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
        draft.torn = torn || !draft.items.is_empty() && tears_a_commit(&seen, turn.durable, turn.replica)?;
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
        let interests = served.iter().map(|served| &served.interest);
        let Some((held, matching)) = match_against(turn.replica, &candidate.key, interests)? else {
            return Ok(Weighed::Nothing);
        };
        if held.newest != sequence {
            return Ok(Weighed::Moved);
        }
        if before == Some(held.version) {
            return Ok(Weighed::Nothing);
        }
        if self.lazy || doubtful || theirs && sent.is_none() || !matching && known.is_none() {
            return Ok(Weighed::Item(Item::Offered(candidate, held.version, matching)));
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
        let mut boundary = None;
        for item in std::mem::take(&mut draft.items) {
            if boundary.is_some_and(|boundary| item.sequence() > boundary) {
                // The walk comes by again, and offers it again.
                draft.end = boundary.unwrap_or(draft.end);
                break;
            }
            let item = match item {
                Item::Ready(_) => item,
                Item::Offered(candidate, version, matching) => {
                    let is_wanted = bits::get(&answer.wanted, index);
                    index += 1;
                    if !is_wanted {
                        if matching {
                            link.known.sent(candidate.hash, candidate.sequence, version);
                        }
                        continue;
                    }
                    match candidate.read(turn.replica, link, turn.events)? {
                        Weighed::Item(item) => item,
                        Weighed::Moved => {
                            (draft.torn, draft.whole) = (true, false);
                            draft.last = turn.replica.last_sequence();
                            continue;
                        }
                        Weighed::Unsendable(key, from) => {
                            self.unsendable.push((key, from));
                            continue;
                        }
                        Weighed::Nothing => continue,
                    }
                }
            };
            let (sequence, end) = (item.sequence(), draft.end);
            if item.is_large(link) && !draft.large {
                match self.meet_large(&mut draft, turn.replica.commit_of(sequence)?, end) {
                    Some(end) => boundary = Some(end),
                    None => break,
                }
            }
            draft.bytes += item.bytes();
            if draft.bytes >= MAX_BATCH_BYTES {
                boundary = Some(sequence);
            } else if draft.bytes >= self.window.batch_bytes() && boundary.is_none() {
                boundary = Some(turn.replica.commit_of(sequence)?.1.min(end));
            }
            draft.items.push(item);
        }
        self.conclude(draft, link, turn);
        Ok(())
    }

    /// Sends a draft that has no open offers, or first its long deltas.
    fn conclude(&mut self, draft: Draft, link: &mut Link, turn: &mut Turn<'_>) {
        if draft.large {
            self.begin_large(draft, link);
        } else {
            self.finish(draft, link, turn);
        }
    }

    /// Sends a draft as a batch.
    fn finish(&mut self, draft: Draft, link: &mut Link, turn: &mut Turn<'_>) {
        if draft.torn {
            self.torn = self.torn.max(draft.last);
        }
        if draft.place != Place::Walk {
            if draft.place != Place::Beside {
                self.ahead.tell(draft.start, draft.end);
            }
            self.told_caught_up &= draft.items.is_empty();
            match draft.place {
                Place::Onward => self.ahead.reach(draft.aside.unwrap_or(draft.end)),
                Place::Live => self.ahead.leave(draft.aside.unwrap_or(draft.end)),
                Place::Walk | Place::Beside => {}
            }
            if !draft.items.is_empty() {
                self.send(draft.items, draft.end, link, turn);
            }
            return;
        }
        if draft.whole {
            self.firm.pass(draft.start, draft.end);
        }
        let end = self.ahead.beyond(draft.end);
        // What it jumps over was read at any time until now.
        let last = if end == draft.end { draft.last } else { turn.replica.last_sequence() };
        self.firm.reach(end, last, turn.durable);
        self.position = end;
        self.ahead.passed(self.position);
        if let Some(aside) = draft.aside {
            self.ahead.reach(aside);
        }
        let caught_up = end >= draft.durable && !draft.torn && self.torn <= end;
        let arrived = caught_up && !self.told_caught_up;
        if caught_up && (arrived || !draft.items.is_empty()) {
            let parts = draft.parts.into_iter().chain(turn.parts_of_others).min();
            self.parts = parts.filter(|parts| *parts <= end);
        }
        if draft.items.is_empty() {
            if arrived {
                self.told_caught_up = true;
                self.tell_position(link, turn);
            } else if self.firm.position().0.saturating_sub(self.told.0) >= SILENT_ROWS {
                self.tell_position(link, turn);
            }
            return;
        }
        self.told_caught_up = caught_up;
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
            large: 0,
            end: self.firm.position(),
            generation: self.generation,
        };
        let mut message = Batch { batch: self.last_batch, ..Batch::default() };
        let mut size = 0;
        for item in items {
            let Item::Ready(Ready { candidate, after, delta, bytes, parts }) = item else { continue };
            let in_parts = if parts.is_some() { bytes } else { 0 };
            flight.large += in_parts;
            flight.bytes += candidate.key.id.len() + bytes - in_parts;
            size += candidate.key.id.len() + delta.len() + 64;
            link.known.sent(candidate.hash, candidate.sequence, after);
            let complete = candidate.since == Sequence(0);
            let implied = complete && link.can(SHORT_DOCUMENTS);
            let is_whole = || parts.is_some() || Version::of_canonical(&delta) == after;
            debug_assert!(!implied || is_whole(), "not the whole document");
            message.documents.push(SentDocument {
                interest: candidate.interest,
                id: link.name(&candidate.key),
                before: candidate.before,
                after: (!implied).then_some(after),
                complete,
                delta: parts.map_or_else(|| link.body(delta), Body::Parts),
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
            parts: self.parts.filter(|_| self.told_caught_up),
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
            if !flight.documents.is_empty() {
                self.window.widen();
            }
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
            let says = |served: &&Served| {
                served.generation <= flight.generation && served.first_batch <= flight.batch
            };
            if self.served.values().all(|served| says(&served)) {
                link.statistics.acknowledged = link.statistics.acknowledged.max(flight.end);
            }
            for served in self.served.values().filter(says) {
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
        offer
            .into_iter()
            .chain(silent)
            .chain(reconciliation)
            .chain(self.offers_from.filter(|from| *from > 0))
            .min()
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
            Item::Ready(ready) => ready.candidate.key.id.len() + ready.bytes,
            Item::Offered(..) => 0,
        }
    }

    fn candidate(&self) -> &Candidate {
        match self {
            Item::Ready(Ready { candidate, .. }) | Item::Offered(candidate, ..) => candidate,
        }
    }

    fn sequence(&self) -> Sequence {
        self.candidate().sequence
    }

    fn is_large(&self, link: &Link) -> bool {
        matches!(self, Item::Ready(ready) if link.is_large(&ready.delta))
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
        let bytes = excerpt.delta.len();
        if bytes > link.longest_delta() {
            events.push_back(link.too_large(self.key.clone(), bytes));
            let from = self.from();
            return Ok(Weighed::Unsendable(self.key, from));
        }
        Ok(Weighed::Item(Item::Ready(Ready {
            candidate: self,
            after: excerpt.version,
            delta: excerpt.delta,
            bytes,
            parts: None,
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
