//! The half of a session that takes over what the other peer tells.
//!
//! Batches are applied in order, each in one atomic commit together with the positions that it makes true. Before
//! that every document is checked: if merging its delta would not yield the stated version and the delta's base
//! is not known to be here, the rest is asked for, and the batch waits, so that no reader sees half a document
//! and no checkpoint passes what is not held. What may show a part of a transaction is applied one call later than it
//! could be, so that it is known before.

mod acknowledged;
mod applied;
mod asked;
mod checked;
mod gap;
mod inbound;
mod joined;
mod lacking;
mod lazy;
mod reconciling;
mod single;
mod taken;
mod tears;
mod wanted;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ditto_crdt::{Delta, RunId, Sequence, Version};

use crate::event::{Buffered, CloseReason, Violation};
use crate::known::KeyHash;
use crate::limits::{MAX_BUFFERED_BYTES, WAITING_DOCUMENT_BYTES, WORK_MS};
use crate::message::Exceptions;
use crate::publisher::Publisher;
use crate::questions::Respondent;
use crate::reconciliation::Inventory;
use crate::replica::{DocumentKey, PeerId, Seen};
use crate::subscription::{Selection, Subscriptions};
use crate::turn::{Counterpart, EagerLinks, Turn};
use gap::Open;
use inbound::Inbound;
use joined::Join;
use lazy::Delivered;
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
    /// How many of them are [`gap::Purpose::Again`].
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

    /// Bytes of documents that are not applied, of questions about them, and of what is reconciled.
    pub(crate) fn memory(&self) -> usize {
        let documents = self.buffered_documents + self.singles.len();
        self.buffered_bytes
            + WAITING_DOCUMENT_BYTES * documents
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
