//! What was taken from elsewhere, offered to a publisher that may know better.
//!
//! With a filter, a publisher tells of a deletion, or of a document that has left the filter, only if the document is held
//! here. If an old copy comes later, from another peer, the publisher has passed that by. So what has changed here and did not
//! come from it is offered to it, by name and version, and it tells what it has in another version. Without a filter it tells
//! everything, and is offered nothing; nor is what our own stream carries to it, because it answers that. But the answer may be lost
//! with the session, while its position has passed what was told: how far has been offered is recorded only up to what it has
//! acknowledged and answered, and the next session offers what lies behind that.
//!
//! Each collection has its own record, which moves only while something in it is asked for: whoever asks for it again later goes on
//! at an old checkpoint, and what came meanwhile was not offered.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ditto_crdt::Sequence;

use super::Subscriber;
use crate::capabilities::TAKEN;
use crate::event::{CloseReason, Violation};
use crate::known::key_hash;
use crate::limits::{OFFER_TARGET_BYTES, TAKEN_DELAY_MS, WORK_MS};
use crate::message::{Message, Offer, OfferItem, offered_size};
use crate::publisher::Publisher;
use crate::questions::Respondent;
use crate::replica::Change;
use crate::turn::{Counterpart, Turn};

/// How far the own change log has been offered.
#[derive(Debug, Default)]
pub(super) struct Offering {
    /// By collection.
    offered: BTreeMap<Arc<str>, Offered>,
    /// Which offer is not answered yet, and where it begins in each collection.
    open: Option<(u64, BTreeMap<Arc<str>, Sequence>)>,
    last: u64,
    /// When the next is due: what another peer has brought first soon comes from this one as well.
    due: Option<u64>,
    /// Of what our own stream carries, everything up to this local sequence is acknowledged, and what came back is durable.
    settled: Option<Sequence>,
    /// The same of what came back, but for what has to be durable first.
    settles: Option<(Sequence, Sequence)>,
    /// How much was durable, and settled, when it was looked at last; `None` if something else has changed since.
    standing: Option<(Sequence, Option<Sequence>)>,
    /// An interest has ended since that offer was made, and perhaps the answer with it: it begins there once more.
    again: bool,
}

/// How far the changes of one collection have been offered.
#[derive(Debug)]
struct Offered {
    /// Everything up to this local sequence.
    up_to: Sequence,
    /// The same but for what an interest without a checkpoint compares, while it has not caught up.
    compared_from: Option<Sequence>,
    recorded: Option<Sequence>,
}

impl Subscriber {
    /// An interest in a collection is stated without a checkpoint: what is held of it now is compared on its account.
    pub(super) fn need_not_offer(
        &mut self,
        collection: &Arc<str>,
        counterpart: &Counterpart,
        turn: &Turn<'_>,
    ) {
        let last = turn.replica.last_sequence();
        let offered = self.offering.of(collection, counterpart, turn);
        if offered.up_to < last {
            offered.compared_from.get_or_insert(offered.up_to);
            offered.up_to = last;
        }
    }

    /// The interests change, and perhaps some end.
    pub(super) fn reconsider_offers(&mut self, ends: bool) {
        self.offering.again |= ends && self.offering.open.is_some();
        self.look_again();
    }

    /// What is wanted, and how far it has come, has changed.
    pub(super) fn look_again(&mut self) {
        self.offering.standing = None;
    }

    /// Finds out how much of what our own stream carries need not be offered by a later session.
    fn settle(&mut self, publisher: &Publisher, respondent: &Respondent, turn: &Turn<'_>) {
        let acknowledged = publisher.acknowledged();
        let is_answered = respondent.is_settled() && self.singles.is_empty() && self.asked_again == 0;
        if is_answered && self.offering.settles.is_none() {
            self.offering.settles = Some((acknowledged, turn.replica.last_sequence()));
        }
        if let Some((settled, _)) = self.offering.settles.take_if(|(_, last)| *last <= turn.durable) {
            self.offering.settled = Some(settled);
        }
        self.offering.settled = self.offering.settled.map(|settled| settled.min(acknowledged));
    }

    /// Finds out which collections are told as a whole, and of which all that was held is compared.
    fn look_at_comparisons(&mut self, turn: &Turn<'_>) {
        let mut compared: HashSet<&str> = HashSet::new();
        for wanted in
            self.wanted.values().filter(|wanted| !wanted.removed && !wanted.is_refused(self.confirmed))
        {
            let Some(offered) = self.offering.offered.get_mut(&wanted.collection) else { continue };
            let has_caught_up = wanted.caught_up == Some(true);
            if wanted.unfiltered && has_caught_up {
                offered.up_to = offered.up_to.max(turn.durable);
            }
            if has_caught_up && (wanted.unfiltered || wanted.compares) {
                offered.compared_from = None;
            } else if wanted.compares {
                compared.insert(&wanted.collection);
            }
        }
        for (collection, offered) in &mut self.offering.offered {
            if !compared.contains(&**collection)
                && let Some(from) = offered.compared_from.take()
            {
                offered.up_to = from;
            }
        }
    }

    /// Records for each collection up to which local sequence everything has been offered and looked at: another session, perhaps of
    /// another process, goes on from there.
    fn record_offered(&mut self, counterpart: &Counterpart, turn: &mut Turn<'_>) {
        let Offering { offered, open, settled, .. } = &mut self.offering;
        let Some(settled) = *settled else { return };
        for (collection, offered) in offered {
            let start = open.as_ref().and_then(|(_, starts)| starts.get(collection)).copied();
            let bounds = [start, offered.compared_from, Some(settled), Some(turn.durable)];
            let up_to = bounds.into_iter().flatten().fold(offered.up_to, Sequence::min);
            if offered.recorded.replace(up_to) != Some(up_to) {
                turn.replica.set_offered(counterpart.remote, collection, up_to);
            }
        }
    }

    /// Offers what has changed here, if it is time.
    pub(crate) fn offer_taken(
        &mut self,
        publisher: &Publisher,
        respondent: &Respondent,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        self.settle(publisher, respondent, turn);
        let standing = Some((turn.durable, self.offering.settled));
        if !self.knows_what_is_served() || self.offering.standing == standing && self.offering.due.is_none() {
            return Ok(());
        }
        self.offering.standing = standing;
        self.look_at_comparisons(turn);
        let offered = self.offer_next(publisher, counterpart, turn);
        self.record_offered(counterpart, turn);
        offered
    }

    fn offer_next(
        &mut self,
        publisher: &Publisher,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let filtered = self.filtered();
        if filtered.is_empty() || !counterpart.can(TAKEN) {
            self.offering.due = None;
            return Ok(());
        }
        if self.offering.open.is_some() {
            return Ok(());
        }
        let begins = filtered.keys().map(|collection| self.offering.of(collection, counterpart, turn).up_to);
        let Some(begin) = begins.min().filter(|begin| *begin < turn.durable) else {
            self.offering.due = None;
            return Ok(());
        };
        let due = *self.offering.due.get_or_insert(turn.now + TAKEN_DELAY_MS);
        if turn.now < due || !has_room(counterpart) {
            return Ok(());
        }
        let sizes = counterpart.sizes;
        let (mut items, mut bytes, mut rows) = (Vec::new(), 0, 0);
        let (mut come, mut is_cut) = (begin, false);
        'offer: while come < turn.durable && rows < sizes.rows_per_call {
            let changes = turn.replica.changes(come, turn.durable, sizes.rows_per_read)?;
            let is_last = changes.len() < sizes.rows_per_read;
            rows += changes.len();
            for change in changes {
                if items.len() >= sizes.offer_items || bytes >= OFFER_TARGET_BYTES {
                    break 'offer;
                }
                come = come.max(change.sequence);
                let Some(interest) = filtered.get(&change.key.collection) else { continue };
                let offered = self.offering.offered.get(&change.key.collection);
                if offered.is_some_and(|offered| change.sequence <= offered.up_to) {
                    continue;
                }
                let size = offered_size(&change.key);
                if let Some(item) = taken(change, *interest, publisher, counterpart, turn)? {
                    items.push(item);
                    bytes += size;
                }
                if turn.replica.worked_ms() >= WORK_MS {
                    is_cut = true;
                    break 'offer;
                }
            }
            if is_last {
                come = turn.durable;
            }
        }
        // What was not looked at is not put off once more.
        let goes_on = come < turn.durable && (is_cut || items.is_empty());
        self.offering.due = goes_on.then_some(turn.now);
        let mut starts = BTreeMap::new();
        for collection in filtered.into_keys() {
            if let Some(offered) = self.offering.offered.get_mut(&collection) {
                starts.insert(collection, offered.up_to);
                offered.up_to = offered.up_to.max(come);
            }
        }
        if !items.is_empty() {
            self.offering.last += 1;
            self.offering.open = Some((self.offering.last, starts));
            counterpart.send(&Message::Taken(Offer { offer: self.offering.last, items }));
        }
        Ok(())
    }

    /// The other peer has told what it knows of an offer.
    pub(crate) fn compared(&mut self, taken: u64) -> Result<(), CloseReason> {
        self.look_again();
        match self.offering.open.take() {
            Some((open, starts)) if open == taken => {
                if std::mem::take(&mut self.offering.again) {
                    for (collection, start) in starts {
                        if let Some(offered) = self.offering.offered.get_mut(&collection) {
                            offered.up_to = start;
                        }
                    }
                }
                Ok(())
            }
            _ => Err(Violation::Unexpected("answer to nothing that was taken").into()),
        }
    }

    /// When the next offer is due, unless it waits for the other peer.
    pub(super) fn taken_timeout(&self, counterpart: &Counterpart) -> Option<u64> {
        let waits = self.offering.open.is_some() || !self.knows_what_is_served() || !has_room(counterpart);
        self.offering.due.filter(|_| !waits)
    }

    /// The publisher has answered what was stated last, and there is something.
    fn knows_what_is_served(&self) -> bool {
        self.generation <= self.confirmed && !self.wanted.is_empty()
    }

    /// The collections of which the publisher serves nothing without a filter, and an interest in each.
    fn filtered(&self) -> BTreeMap<Arc<str>, u64> {
        let mut filtered = BTreeMap::new();
        let served = || self.wanted.iter().filter(|(_, wanted)| !wanted.removed && wanted.is_served());
        for (id, wanted) in served() {
            filtered.insert(Arc::clone(&wanted.collection), *id);
        }
        for (_, wanted) in served().filter(|(_, wanted)| wanted.unfiltered) {
            filtered.remove(&wanted.collection);
        }
        filtered
    }
}

impl Offering {
    fn of(&mut self, collection: &Arc<str>, counterpart: &Counterpart, turn: &Turn<'_>) -> &mut Offered {
        self.offered.entry(Arc::clone(collection)).or_insert_with(|| {
            // If it was never recorded nothing is known of what came meanwhile, in earlier runs as well.
            let recorded = turn.replica.offered(counterpart.remote, collection);
            let up_to = recorded.unwrap_or(Sequence(0)).min(turn.replica.last_sequence());
            Offered { up_to, compared_from: None, recorded }
        })
    }
}

fn has_room(counterpart: &Counterpart) -> bool {
    counterpart.outbox.bytes() <= counterpart.sizes.queue_bytes
}

/// A change as it is offered, if it is.
fn taken(
    change: Change,
    interest: u64,
    publisher: &Publisher,
    counterpart: &Counterpart,
    turn: &Turn<'_>,
) -> Result<Option<OfferItem>, CloseReason> {
    let Change { sequence, key, origin } = change;
    let is_theirs =
        origin == Some(counterpart.remote.origin()) || counterpart.known.get(key_hash(&key)).is_some();
    if is_theirs || key.is_by_hash() {
        return Ok(None);
    }
    let Some(stored) = turn.replica.document(&key)? else { return Ok(None) };
    if stored.newest != sequence || !stored.alive || publisher.carries(&key, &stored, turn.replica) {
        return Ok(None);
    }
    Ok(Some(OfferItem { interest, id: counterpart.name(&key), version: stored.version, matching: false }))
}
