//! What was taken from elsewhere, offered to a publisher that may know better.
//!
//! With a filter, a publisher tells of a deletion, or of a document that has left the filter, only if the document is held
//! here. If an old copy comes later, from another peer, the publisher has passed that by. So what has changed here and did not
//! come from it is offered to it, by name and version, and it tells what it has in another version. Without a filter it tells
//! everything, and is offered nothing; nor is what our own stream carries to it, because it answers that. But the answer may be lost
//! with the session, while its position has passed what was told: how far has been offered is recorded only up to what it has
//! acknowledged and answered, and the next session offers what lies behind that.

use std::collections::BTreeMap;
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
use crate::turn::{Link, Turn};

/// How far the own change log has been offered.
#[derive(Debug, Default)]
pub(super) struct Offering {
    /// Everything up to this local sequence.
    up_to: Sequence,
    /// Which offer is not answered yet, and where it begins.
    open: Option<(u64, Sequence)>,
    last: u64,
    /// When the next is due: what another peer has brought first soon comes from this one as well.
    due: Option<u64>,
    /// How far, as it was recorded since the interests have changed.
    recorded: Option<Sequence>,
    /// Of what our own stream carries, everything up to this local sequence is acknowledged, and what came back is durable.
    settled: Sequence,
    /// The same of what came back, but for what has to be durable first.
    settles: Option<(Sequence, Sequence)>,
    /// An interest has ended since that offer was made, and perhaps the answer with it: it begins there once more.
    again: bool,
}

impl Subscriber {
    /// Nothing up to this local sequence has to be offered.
    pub(crate) fn offer_after(&mut self, sequence: Sequence) {
        (self.offering.up_to, self.offering.settled) = (sequence, sequence);
    }

    /// The interests change, and perhaps some end.
    pub(super) fn reconsider_offers(&mut self, ends: bool) {
        self.offering.recorded = None;
        self.offering.again |= ends && self.offering.open.is_some();
    }

    /// Records up to which local sequence everything has been offered and looked at: another session, perhaps of another process,
    /// goes on from there. Without a filter nothing is offered.
    fn record_offered(&mut self, link: &Link, turn: &mut Turn<'_>) {
        let offered = self.offering.open.map_or(self.offering.up_to, |(_, start)| start);
        let offered = offered.min(self.offering.settled).min(turn.durable);
        if self.offering.recorded == Some(offered) {
            return;
        }
        self.offering.recorded = Some(offered);
        if !self.filtered().is_empty() {
            turn.replica.set_offered(link.remote, offered);
        }
    }

    /// Finds out how much of what our own stream carries need not be offered by a later session.
    fn settle(&mut self, publisher: &Publisher, respondent: &Respondent, turn: &Turn<'_>) {
        let acknowledged = publisher.acknowledged();
        let is_answered = respondent.is_settled() && self.singles.is_empty() && self.asked_again == 0;
        if is_answered && self.offering.settles.is_none() {
            self.offering.settles = Some((acknowledged, turn.replica.last_sequence()));
        }
        if let Some((settled, _)) = self.offering.settles.take_if(|(_, last)| *last <= turn.durable) {
            self.offering.settled = settled;
        }
        self.offering.settled = self.offering.settled.min(acknowledged);
    }

    /// Offers what has changed here, if it is time.
    pub(crate) fn offer_taken(
        &mut self,
        publisher: &Publisher,
        respondent: &Respondent,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        self.settle(publisher, respondent, turn);
        if !self.knows_what_is_served() {
            return Ok(());
        }
        self.record_offered(link, turn);
        if self.offering.open.is_some() || turn.durable <= self.offering.up_to {
            return Ok(());
        }
        let filtered = self.filtered();
        if filtered.is_empty() || !link.can(TAKEN) {
            (self.offering.up_to, self.offering.due) = (turn.durable, None);
            return Ok(());
        }
        let due = *self.offering.due.get_or_insert(turn.now + TAKEN_DELAY_MS);
        if turn.now < due || !has_room(link) {
            return Ok(());
        }
        let (start, sizes) = (self.offering.up_to, link.sizes);
        let (mut items, mut bytes, mut rows) = (Vec::new(), 0, 0);
        let mut goes_on = None;
        'offer: while self.offering.up_to < turn.durable && rows < sizes.rows_per_call {
            let changes = turn.replica.changes(self.offering.up_to, turn.durable, sizes.rows_per_read)?;
            let is_last = changes.len() < sizes.rows_per_read;
            rows += changes.len();
            for change in changes {
                if items.len() >= sizes.offer_items || bytes >= OFFER_TARGET_BYTES {
                    break 'offer;
                }
                self.offering.up_to = self.offering.up_to.max(change.sequence);
                let Some(interest) = filtered.get(&change.key.collection) else { continue };
                let size = offered_size(&change.key);
                if let Some(item) = taken(change, *interest, publisher, link, turn)? {
                    items.push(item);
                    bytes += size;
                }
                if turn.replica.worked_ms() >= WORK_MS {
                    goes_on = Some(turn.now);
                    break 'offer;
                }
            }
            if is_last {
                self.offering.up_to = turn.durable;
            }
        }
        self.offering.due = goes_on.filter(|_| self.offering.up_to < turn.durable);
        if !items.is_empty() {
            self.offering.last += 1;
            self.offering.open = Some((self.offering.last, start));
            link.send(&Message::Taken(Offer { offer: self.offering.last, items }));
        }
        Ok(())
    }

    /// The other peer has told what it knows of an offer.
    pub(crate) fn compared(&mut self, taken: u64) -> Result<(), CloseReason> {
        match self.offering.open.take() {
            Some((open, start)) if open == taken => {
                if std::mem::take(&mut self.offering.again) {
                    self.offering.up_to = start;
                }
                Ok(())
            }
            _ => Err(Violation::Unexpected("answer to nothing that was taken").into()),
        }
    }

    /// When the next offer is due, unless it waits for the other peer.
    pub(super) fn taken_timeout(&self, link: &Link) -> Option<u64> {
        let waits = self.offering.open.is_some() || !self.knows_what_is_served() || !has_room(link);
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

fn has_room(link: &Link) -> bool {
    link.outbox.bytes() <= link.sizes.queue_bytes
}

/// A change as it is offered, if it is.
fn taken(
    change: Change,
    interest: u64,
    publisher: &Publisher,
    link: &Link,
    turn: &Turn<'_>,
) -> Result<Option<OfferItem>, CloseReason> {
    let Change { sequence, key, origin } = change;
    let is_theirs = origin == Some(link.remote.origin()) || link.known.get(key_hash(&key)).is_some();
    if is_theirs || key.is_by_hash() {
        return Ok(None);
    }
    let Some(stored) = turn.replica.document(&key)? else { return Ok(None) };
    if stored.newest != sequence || !stored.alive || publisher.carries(&key, &stored, turn.replica) {
        return Ok(None);
    }
    Ok(Some(OfferItem { interest, id: link.name(&key), version: stored.version, matching: false }))
}
