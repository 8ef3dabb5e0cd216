//! The half of a session that tells the other peer what changed.
//!
//! One *walk* over the change log serves all interests of the other peer. It starts at the smallest position
//! among them and never passes the durable sequence; once it has arrived there it simply continues as changes
//! become durable, so that backlog and live changes are one path. Only while it has a long way to go, new changes are told
//! [ahead](ahead::Ahead) of it, in batches that leave the position where it is; while a [large] document is under way,
//! the walk itself goes on so; and a peer that holds nothing gets a large collection as a [listing] before it. Each step
//! collects a *draft*: documents to send, and documents that changed but of which only the other peer can say whether it must
//! hear of them. The latter are offered; with the answer the draft becomes a batch.

mod ahead;
mod answers;
mod batches;
mod draft;
mod firm;
mod interests;
mod large;
mod listing;
mod reconciling;
mod taken;
mod window;
mod withheld;

use std::collections::{BTreeMap, HashSet, VecDeque};

use ditto_crdt::{RunId, Sequence};

use crate::event::{CloseReason, Violation};
use crate::known::KeyHash;
use crate::limits::{
    COMPILED_TIMES, LATER_OFFER_MS, MAX_LARGE_DOCUMENTS, MAX_STOCK_MS, POSITION_DELAY_MS, SERVED_BYTES,
    STOCK_CHANGES_PER_MS,
};
use crate::message::{Answer, Message, Offer, bits};
use crate::reconciliation::Comparison;
use crate::replica::{DocumentKey, Interest, ReplicaError, Seen};
use crate::sizes::Sizes;
use crate::turn::{Counterpart, Turn};
use ahead::Ahead;
use answers::Answers;
use draft::{Candidate, Draft, Item, Place, Ready, Weighed};
use firm::Firm;
pub(crate) use interests::locate;
use listing::Listing;
use taken::Differing;
use window::Window;
pub(crate) use withheld::Withheld;

/// The publishing half of one session.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    served: BTreeMap<u64, Served>,
    /// Of all of them.
    asked_bytes: usize,
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
    /// Everything up to here that was sent, or did not have to be, is acknowledged.
    acknowledged: Sequence,
    /// What has not reached the other peer of what was acknowledged, also in earlier sessions.
    pub(crate) withheld: Withheld,
    window: Window,
    /// Documents of the present position that cannot be sent, and the first sequence that they would say something of.
    unsendable: Vec<(DocumentKey, Sequence, Sequence)>,
    last_batch: u64,
    last_offer: u64,
    draft: Option<Draft>,
    /// Of documents that are yet to come.
    answers: Answers,
    /// A draft whose long deltas are under way in parts.
    large: Option<Draft>,
    /// Its documents: the other peer is going to hold them, whatever it says until then.
    under_way: HashSet<KeyHash>,
    /// Reconciliations that are not over, by generation; the first is under way, the others wait.
    comparisons: VecDeque<Comparison>,
    /// Reconciliations of the sessions before this one that ended with them, one after the other.
    pub(crate) broken_off: u32,
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
    /// Of which runs the other peer was told something, as its greeting claims or in this session; whether this history has all
    /// that it rests on. Only then is a checkpoint of the run believed, also if the claim was answered long ago.
    pub(crate) runs_told: BTreeMap<RunId, bool>,
    /// What the other peer's greeting says that it has seen.
    pub(crate) claims: Vec<Seen>,
    /// The run that our own greeting says.
    pub(crate) greeted_run: RunId,
}

/// An interest of the other peer.
#[derive(Debug)]
struct Served {
    interest: Interest,
    /// Length of its query and arguments.
    asked_bytes: usize,
    /// What the other peer held when it stated the interest: the base of deltas.
    start: Sequence,
    /// Rows up to here have been considered.
    from: Sequence,
    /// What lies after it is told in this session, by the walk or because it was compared.
    told_after: Sequence,
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
    /// Of the collection nothing was held there when it was stated that this had changed: what does not match need not be
    /// offered up to here. If it is taken from elsewhere later, that is said.
    unheld: Sequence,
    /// What is told of it before the walk comes by.
    listing: Option<Listing>,
}

impl Served {
    /// Whether a batch says something about it: what was on its way before it was stated does not.
    fn is_told_by(&self, generation: u64, batch: u64) -> bool {
        self.generation <= generation && self.first_batch <= batch
    }
}

/// A batch that is not yet acknowledged.
#[derive(Debug, Default)]
struct Flight {
    batch: u64,
    /// What was sent of each document: everything from this sequence on, up to this one.
    documents: Vec<(DocumentKey, Sequence, Sequence)>,
    unsendable: Vec<(DocumentKey, Sequence, Sequence)>,
    bytes: usize,
    /// Bytes of what travelled in parts.
    large: usize,
    end: Sequence,
    generation: u64,
}

/// How far the publishing half has come, and what it is about to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    generation: u64,
    position: Sequence,
    durable: Sequence,
    goes_on: bool,
    waits: bool,
    compares: bool,
}

impl Publisher {
    /// The other peer says whether documents are to be offered.
    pub(crate) fn deliver(&mut self, lazy: bool) {
        self.lazy = lazy;
        self.offers_from = None;
        self.window = Window::default();
    }

    /// Documents were evicted here: what was read before is not to be told after the other peer was told that.
    pub(crate) fn discard_draft(&mut self, counterpart: &mut Counterpart) {
        self.draft = None;
        self.answers.forget();
        self.drop_large(counterpart);
        self.more = true;
    }

    /// Changes up to here may have come from the other peer before it evicted them, and so may what it did not want.
    pub(crate) fn distrust_origins(&mut self, up_to: Sequence) {
        self.origin_floor = self.origin_floor.max(up_to);
        self.answers.forget();
    }

    /// Whether the other peer subscribes to documents of the collection; whether it gets all of them, from
    /// the first to the last, in this session.
    pub(crate) fn serves(&self, collection: &str) -> (bool, bool) {
        let mut all = self.served.values().filter(|served| &*served.interest.collection == collection);
        (all.clone().next().is_some(), all.any(|served| served.is_whole))
    }

    /// Up to where the other peer has acknowledged all that is told because it asks for it.
    pub(crate) fn acknowledged(&self) -> Sequence {
        if self.served.is_empty() && self.flights.is_empty() { Sequence(u64::MAX) } else { self.acknowledged }
    }

    /// On what it depends whether something is told before an answer. It is to be asked for again only when that changes.
    pub(crate) fn standing(&self, durable: Sequence) -> Standing {
        Standing {
            generation: self.generation,
            position: self.position,
            durable,
            goes_on: self.goes_on(),
            waits: self.draft.is_some(),
            compares: !self.comparisons.is_empty(),
        }
    }

    /// Bytes of interests, of what is reconciled, of what waits for the answer to an offer, and of what has not reached the other peer.
    pub(crate) fn memory(&self) -> usize {
        let interests = SERVED_BYTES * self.served.len() + COMPILED_TIMES * self.asked_bytes;
        let drafted = self.draft.as_ref().map_or(0, |draft| draft.bytes);
        interests
            + drafted
            + self.withheld.memory()
            + self.comparisons.iter().map(Comparison::memory).sum::<usize>()
    }

    fn goes_on(&self) -> bool {
        self.draft.is_some() || self.more
    }

    /// Whether a change of the collection is the next that the other peer is told, without having to do anything but to answer.
    pub(crate) fn is_about_to_tell(
        &self,
        collection: &str,
        change: Sequence,
        counterpart: &Counterpart,
        durable: Sequence,
    ) -> bool {
        let is_near = durable.0.saturating_sub(self.position.0) <= counterpart.sizes.live_rows;
        change > self.position
            && self.goes_on()
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
    pub(crate) fn pump(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        self.more = false;
        self.finish_large(counterpart, turn);
        turn.replica.begin_work();
        self.reconcile(counterpart, turn)?;
        self.tell_differing(counterpart, turn)?;
        turn.replica.begin_work();
        let sizes = counterpart.sizes;
        let mut rows = sizes.rows_per_call;
        let mut puts_off = false;
        while self.draft.is_none() && !self.served.is_empty() && self.window_is_open(&sizes) {
            let onward = self.ahead.onward(self.position);
            // The next step of the walk is a large document whose turn has not come.
            let is_held = onward > self.position && !self.may_begin_large(&sizes);
            let reached = if is_held { onward } else { self.position };
            let nothing_new = reached >= turn.durable;
            let nobody_waits = self.served.values().all(|served| served.is_reconciled);
            if nothing_new && (is_held || self.told_caught_up || self.torn > self.position || nobody_waits)
                || is_held && self.ahead.is_full(&sizes)
            {
                break;
            }
            if counterpart.outbox.bytes() > sizes.queue_bytes || rows == 0 {
                self.more = true;
                break;
            }
            puts_off = self.waits_for_offers(turn.now);
            if puts_off {
                break;
            }
            let end_of_commit = |sequence| Ok::<_, ReplicaError>(turn.replica.commit_of(sequence)?.1);
            let live = self.ahead.turn(reached, turn.durable, &sizes, end_of_commit)?;
            if live.is_none() && self.list(&mut rows, counterpart, turn)? {
                continue;
            }
            let (place, start) = match live {
                Some(live) => (Place::Live, live),
                None if is_held => (Place::Onward, onward),
                None => (Place::Walk, self.position),
            };
            let mut draft = self.collect(place, start, &mut rows, counterpart, turn)?;
            let offered: Vec<_> = draft.items.iter().filter_map(|item| item.offer(counterpart)).collect();
            if offered.is_empty() {
                self.conclude(draft, counterpart, turn);
            } else {
                self.last_offer += 1;
                draft.offer = self.last_offer;
                draft.asked = turn.now;
                counterpart.send(&Message::Offer(Offer { offer: draft.offer, items: offered }));
                self.draft = Some(draft);
            }
        }
        let goes_on = self.offers_from == Some(0) && self.position < turn.durable;
        if !puts_off && !goes_on {
            self.offers_from = None;
        }
        let idle = self.draft.is_none() && self.window_is_open(&sizes);
        if self.parts.is_some() && idle && self.told_caught_up && self.position >= turn.durable.max(self.torn)
        {
            let parts = turn.parts_of_others.filter(|parts| *parts <= self.position);
            if self.parts != parts {
                self.parts = parts;
                self.tell_position(counterpart, turn);
            }
        }
        self.firm.ripen(turn.durable);
        if self.firm.position() > self.told {
            self.silent_since.get_or_insert(turn.now);
        }
        if self.silent_since.is_some_and(|since| turn.now >= since + POSITION_DELAY_MS)
            && self.draft.is_none()
            && self.window_is_open(&sizes)
        {
            self.tell_position(counterpart, turn);
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

    /// Batches that are not acknowledged, and the one that an answer makes of a draft.
    fn under_way(&self) -> usize {
        self.flights.len() + usize::from(self.draft.is_some())
    }

    fn window_is_open(&self, sizes: &Sizes) -> bool {
        self.flights.is_empty()
            || self.under_way() < sizes.window_batches
                && self.window.has_room(
                    sizes,
                    self.flights.iter().map(|flight| flight.documents.len()).sum(),
                    self.flights.iter().map(|flight| flight.bytes).sum(),
                )
    }

    /// The other peer says which of the offered documents it wants.
    pub(crate) fn answer(
        &mut self,
        answer: &Answer,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if answer.offer > self.last_offer {
            return Err(Violation::Unexpected("answer to no offer").into());
        }
        let Some(mut draft) = self.draft.take_if(|draft| draft.offer == answer.offer) else {
            return Ok(());
        };
        let mut answered = Vec::new();
        let mut large = 0;
        let mut boundary = None;
        let items = std::mem::take(&mut draft.items);
        for item in &items {
            if let Item::Offered(Candidate { hash, key, sequence, .. }, version, matching) = item {
                let is_wanted = bits::get(&answer.wanted, answered.len());
                if *matching && !is_wanted {
                    counterpart.known.sent(*hash, *sequence, *version);
                    self.withheld.decline(*sequence, key, self.last_batch);
                }
                answered.push((*sequence, *hash, *version, is_wanted));
            }
        }
        let mut wanted = answered.iter().map(|(.., is_wanted)| *is_wanted);
        for item in items {
            if boundary.is_some_and(|boundary| item.sequence() > boundary) {
                draft.end = boundary.unwrap_or(draft.end);
                break;
            }
            let item = match item {
                Item::Ready(_) => item,
                Item::Offered(candidate, ..) => {
                    if wanted.next() != Some(true) {
                        continue;
                    }
                    match candidate.read(turn.replica, counterpart, turn.events)? {
                        Weighed::Item(item) => item,
                        Weighed::Moved => {
                            (draft.torn, draft.whole) = (true, false);
                            draft.last = turn.replica.last_sequence();
                            continue;
                        }
                        Weighed::Unsendable(key, from, row) => {
                            self.unsendable.push((key, from, row));
                            continue;
                        }
                        Weighed::Nothing => continue,
                    }
                }
            };
            let (sequence, end) = (item.sequence(), draft.end);
            if item.is_large(counterpart) && !draft.large {
                match self.meet_large(&mut draft, &counterpart.sizes, turn.replica.commit_of(sequence)?, end)
                {
                    Some(end) => boundary = Some(end),
                    None => break,
                }
            }
            draft.bytes += item.bytes();
            large += usize::from(item.is_large(counterpart));
            if draft.bytes >= counterpart.sizes.max_batch_bytes || large >= MAX_LARGE_DOCUMENTS {
                (boundary, draft.partial) = (Some(sequence), true);
            } else if draft.bytes >= self.window.batch_bytes(&counterpart.sizes) && boundary.is_none() {
                boundary = Some(turn.replica.commit_of(sequence)?.1.min(end));
            }
            draft.items.push(item);
        }
        // The walk comes by at the rest of them again.
        for (_, hash, version, is_wanted) in answered.iter().filter(|(sequence, ..)| *sequence > draft.end) {
            self.answers.keep(*hash, *version, *is_wanted, counterpart.sizes.kept_answers);
        }
        self.conclude(draft, counterpart, turn);
        Ok(())
    }

    /// When something is due although nothing arrives.
    pub(crate) fn timeout(&self, counterpart: &Counterpart) -> Option<u64> {
        let offer = self.draft.as_ref().map(|draft| counterpart.patience(draft.asked));
        let silent = self
            .silent_since
            .filter(|_| self.draft.is_none() && self.window_is_open(&counterpart.sizes))
            .map(|since| since + POSITION_DELAY_MS);
        let reconciliation = self.comparison_patience(counterpart);
        offer
            .into_iter()
            .chain(silent)
            .chain(reconciliation)
            .chain(self.offers_from.filter(|from| *from > 0))
            .min()
    }

    fn comparison_patience(&self, counterpart: &Counterpart) -> Option<u64> {
        let comparison = self.comparisons.front()?;
        let changes = self.reconciles_with.map_or(0, |theirs| theirs.0);
        let stocktaking = (changes / STOCK_CHANGES_PER_MS).min(MAX_STOCK_MS);
        let more = if comparison.is_described() { 0 } else { stocktaking };
        comparison.waiting_since.map(|since| counterpart.patience(since) + more)
    }

    /// Fails if the other peer does not answer.
    pub(crate) fn check_patience(&self, counterpart: &Counterpart, now: u64) -> Result<(), CloseReason> {
        match &self.draft {
            Some(draft) if now >= counterpart.patience(draft.asked) => {
                Err(Violation::Timeout("an offer").into())
            }
            _ if self.comparison_patience(counterpart).is_some_and(|at| now >= at) => {
                Err(Violation::Timeout("a reconciliation").into())
            }
            _ => Ok(()),
        }
    }
}

/// Cuts a text at a character boundary.
pub(crate) fn shorten(mut text: String, limit: usize) -> String {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}
