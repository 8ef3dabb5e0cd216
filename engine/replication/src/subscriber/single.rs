//! Documents that come by themselves, and not in a batch: what the publisher has more of than it stated, and what it has beyond
//! our own copy of something that we told.
//!
//! They are applied when all batches are that were sent before, so that a transaction of which they are a part is there; at once,
//! as what may be a part, when enough of them wait.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use ditto_crdt::{Sequence, Version};

use super::gap::{Lacked, Open, Purpose, owe};
use super::inbound::State;
use super::wanted::Wanted;
use super::{Subscriber, wants};
use crate::event::{CloseReason, Violation};
use crate::known::{KeyHash, key_hash};
use crate::leaving;
use crate::limits::{MAX_BUFFERED_DOCUMENTS, MAX_WAITING_QUESTION_BYTES, WORK_MS};
use crate::message::{BatchEnd, Found};
use crate::publisher::Publisher;
use crate::questions::Respondent;
use crate::replica::{DocumentKey, Incoming, IncomingDocument, ReplicaError};
use crate::subscription::Subscriptions;
use crate::turn::{Counterpart, Turn};

#[derive(Debug)]
pub(super) struct Single {
    pub(super) key: DocumentKey,
    pub(super) stated: Version,
    pub(super) delta: Vec<u8>,
    /// The publisher's sequence of the newest change in it; 0 if that is not known.
    pub(super) newest: Sequence,
    /// Batches up to this one were sent before.
    pub(super) after: u64,
    pub(super) reason: Reason,
    /// The other peer has evicted documents since it sent this.
    pub(super) stale: bool,
    /// The document of a batch that is merged in this way: the batch, and the place in what is applied with it.
    pub(super) place: Option<(u64, usize)>,
}

#[derive(Debug)]
pub(super) enum Reason {
    /// It answers a question, asked when so often had been evicted here and our copy had this version. What the publisher said to
    /// lack, if anything.
    Answer(Option<Lacked>, u64, Version),
    /// It was left over from an answer of ours.
    Surplus,
}

impl Subscriber {
    /// The other peer sends what an answer of ours did not know.
    pub(crate) fn surplus(
        &mut self,
        key: DocumentKey,
        (stated, newest): (Version, Sequence),
        delta: Vec<u8>,
        counterpart: &mut Counterpart,
    ) -> Result<(), CloseReason> {
        counterpart.statistics.documents_received += 1;
        let after = self.last_batch;
        let reason = Reason::Surplus;
        self.keep(
            Single { key, stated, delta, newest, after, reason, stale: false, place: None },
            counterpart,
        )
    }

    /// An answer for which no batch waits is applied after these.
    pub(super) fn keep_answer(
        &mut self,
        open: Open,
        found: Option<Found>,
        delta: Vec<u8>,
        after: u64,
        counterpart: &mut Counterpart,
    ) -> Result<(), CloseReason> {
        let Some(found) = found else { return Ok(()) };
        let mut lacked = Lacked::of(&open, &found);
        if let Some(lacked) = lacked.as_mut().filter(|_| self.lacked_bytes > MAX_WAITING_QUESTION_BYTES) {
            lacked.forget_hashes();
        }
        let reason = Reason::Answer(lacked, open.evictions, open.version);
        let (stated, newest) = (found.version, found.newest);
        let place = match open.purpose {
            Purpose::Gap(batch, place) => Some((batch, place)),
            Purpose::Surplus | Purpose::Again(_) => None,
        };
        self.keep(
            Single { key: open.key, stated, delta, newest, after, reason, stale: false, place },
            counterpart,
        )
    }

    /// Those that were asked for again come first: batches wait for them that others wait for. And so do those that would wait for a
    /// batch when enough wait with it and behind it: the batch may wait for an answer that comes after all of them.
    pub(super) fn keep(
        &mut self,
        mut single: Single,
        counterpart: &mut Counterpart,
    ) -> Result<(), CloseReason> {
        let front = self.batches.front();
        let waits = front.is_some_and(|batch| batch.batch <= single.after);
        let waiting = self.single_bytes + front.map_or(0, |batch| batch.filled_bytes);
        if waits && waiting + single.bytes() > counterpart.sizes.filled_bytes {
            single.after = 0;
            counterpart.mechanisms.apart += 1;
        }
        self.buffered_bytes += single.bytes();
        self.single_bytes += single.bytes();
        *Arc::make_mut(&mut self.single_names).entry(key_hash(&single.key)).or_default() += 1;
        self.lacked_bytes += single.lacked_bytes();
        let place = self.singles.partition_point(|other| other.after <= single.after);
        self.singles.insert(place, single);
        if self.singles.len() > MAX_BUFFERED_DOCUMENTS {
            return Err(Violation::Limit("documents that came by themselves").into());
        }
        Ok(())
    }

    /// Applies those whose turn it is; false if one has to wait until it is known that it may be a part of something, or because that
    /// takes long.
    pub(super) fn apply_singles(
        &mut self,
        subscriptions: &Subscriptions,
        publisher: &mut Publisher,
        respondent: &mut Respondent,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<bool, CloseReason> {
        loop {
            debug_assert!(!self.singles.is_empty() || self.single_bytes == 0 && self.single_names.is_empty());
            let applied = self.batches.front().map_or(u64::MAX, |batch| batch.batch - 1);
            if self.singles.front().is_none_or(|single| single.after > applied) {
                return Ok(true);
            }
            if turn.replica.worked_ms() >= WORK_MS {
                return Ok(false);
            }
            let Some(single) = self.singles.pop_front() else { return Ok(true) };
            // What is merged before its batch may be a part as the batch may be.
            let told = single
                .place
                .and(self.batches.front())
                .and_then(|batch| batch.end.as_ref())
                .map(BatchEnd::told);
            let newest = told.map_or(single.newest, |told| told.max(single.newest));
            let is_part = (single.place.is_some() || newest > self.whole_up_to)
                && self.is_wanted(&single.key.collection, subscriptions);
            if is_part && self.fall_behind(subscriptions, counterpart, turn) {
                self.singles.push_front(single);
                return Ok(false);
            }
            self.buffered_bytes = self.buffered_bytes.saturating_sub(single.bytes());
            self.single_bytes = self.single_bytes.saturating_sub(single.bytes());
            let hash = key_hash(&single.key);
            self.forget_name(hash);
            self.lacked_bytes = self.lacked_bytes.saturating_sub(single.lacked_bytes());
            if is_part {
                self.tears.open(turn.replica.last_sequence(), newest, turn.durable, counterpart.sizes.tears);
            }
            let stale = single.stale.then_some(hash);
            self.apply_single(single, publisher, respondent, counterpart, turn)?;
            if let Some(hash) = stale {
                counterpart.known.remove(hash);
                publisher.distrust_origins(turn.replica.last_sequence());
            }
        }
    }

    /// One document less of this name waits among them.
    pub(super) fn forget_name(&mut self, hash: KeyHash) {
        if let Entry::Occupied(mut count) = Arc::make_mut(&mut self.single_names).entry(hash) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Whether documents of the collection are asked for, or are going to be: of who is subscribed to later.
    fn is_wanted(&self, collection: &str, subscriptions: &Subscriptions) -> bool {
        let is_subscribed = || subscriptions.selected.values().any(|all| &*all.collection == collection);
        let counts = |wanted: &Wanted| &*wanted.collection == collection;
        self.counting().any(counts) || self.wanted.is_empty() && is_subscribed()
    }

    fn apply_single(
        &mut self,
        single: Single,
        publisher: &Publisher,
        respondent: &mut Respondent,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Single { key, stated, delta, reason, after, place, .. } = single;
        if matches!(reason, Reason::Surplus) && !self.takes(&key, &delta, counterpart.remote, turn)? {
            return Ok(());
        }
        let evictions = turn.replica.eviction_total();
        let may_leave_gap = match &reason {
            Reason::Answer(_, then, _) => *then != evictions,
            Reason::Surplus => {
                let is_whole =
                    || turn.replica.merged_version(&key, &delta).map(|version| version == Ok(stated));
                self.first_evictions != evictions && !is_whole()?
            }
        };
        if may_leave_gap {
            return match place {
                Some(place) => self.reopen(place, &key, turn),
                None => self.ask_again(key, after, counterpart, turn),
            };
        }
        let incoming = Incoming {
            from: counterpart.remote,
            documents: vec![IncomingDocument { key: key.clone(), delta, stated }],
            checkpoints: Vec::new(),
            seen: None,
            evictions: Some(evictions),
        };
        let applied = leaving::apply(incoming, counterpart, turn)?;
        // The publisher takes it for told: its position may rest on this.
        self.stated = self.stated.max(applied.last);
        for outcome in applied.outcomes {
            match outcome {
                Ok(outcome) => {
                    if outcome.absorbed {
                        self.except(place);
                    }
                    let versions = (outcome.before, outcome.after);
                    let met = match &reason {
                        Reason::Answer(..) => true,
                        Reason::Surplus => outcome.after == stated,
                    };
                    counterpart.known.merged(key_hash(&key), versions, stated, met, applied.last);
                    if let Reason::Answer(lacked, _, asked) = &reason {
                        if lacked.is_none() && outcome.after != stated {
                            self.ask_if_changed(*asked, &key, outcome, publisher, turn);
                        }
                        owe(lacked.as_ref(), &key, outcome, stated, respondent, turn)?;
                    }
                }
                Err(refused) => {
                    self.except(place);
                    turn.events.push_back(counterpart.refused(key.clone(), refused.to_string()));
                }
            }
        }
        Ok(())
    }

    /// A document of a batch, merged before it, is not held as it was sent.
    fn except(&mut self, place: Option<(u64, usize)>) {
        let Some((batch, place)) = place else { return };
        let inbound = self.batches.front_mut().filter(|inbound| inbound.batch == batch);
        if let Some(document) = inbound.and_then(|inbound| inbound.documents.get_mut(place)) {
            document.state = State::Dropped;
        }
    }

    /// The batch that asked for a document asks once more, since something was evicted after the answer.
    fn reopen(
        &mut self,
        (batch, place): (u64, usize),
        key: &DocumentKey,
        turn: &Turn<'_>,
    ) -> Result<(), CloseReason> {
        let is_unwanted = self.is_unwanted(key, turn)?;
        let Some(inbound) = self.batches.front_mut().filter(|inbound| inbound.batch == batch) else {
            return Ok(());
        };
        let Some(document) = inbound.documents.get_mut(place) else { return Ok(()) };
        if is_unwanted {
            self.dropped = true;
            document.state = State::Dropped;
        } else {
            document.state = State::Unasked;
            inbound.next_to_ask = inbound.next_to_ask.min(place);
        }
        Ok(())
    }

    /// Whether a document would only come back that was evicted: what is left of it may be the marks of earlier lives.
    fn is_unwanted(&self, key: &DocumentKey, turn: &Turn<'_>) -> Result<bool, CloseReason> {
        let is_alive = turn.replica.held(key)?.is_some_and(|held| held.alive);
        Ok(!is_alive && !wants(&self.wanted, &key.collection))
    }

    /// A document was on its way when something was evicted: merged onto what is left of it, it might show half of it. The publisher
    /// takes it for told, so no position that it told after that counts before the answer is here.
    fn ask_again(
        &mut self,
        key: DocumentKey,
        after: u64,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if self.is_unwanted(&key, turn)? {
            // The publisher takes it for delivered, so it must be told otherwise.
            self.dropped = true;
            return Ok(());
        }
        if !self.may_ask(&counterpart.sizes) {
            // It would never come again in this session.
            return Err(ReplicaError::Evicted.into());
        }
        self.asked_again += 1;
        self.question(Purpose::Again(after), key, counterpart, turn)
    }
}

impl Single {
    fn bytes(&self) -> usize {
        self.key.bytes() + self.delta.len()
    }

    fn lacked_bytes(&self) -> usize {
        match &self.reason {
            Reason::Answer(Some(lacked), ..) => lacked.bytes(),
            Reason::Answer(None, ..) | Reason::Surplus => 0,
        }
    }
}
