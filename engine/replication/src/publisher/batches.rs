//! From drafts to batches, and what their acknowledgement says.

use ditto_crdt::{Sequence, Version};

use super::{Draft, Flight, Item, Place, Publisher, Ready, Served};
use crate::capabilities::SHORT_DOCUMENTS;
use crate::event::{CloseReason, Violation};
use crate::message::{Acknowledge, Batch, BatchEnd, Body, Message, SentDocument, bits};
use crate::replica::{Acknowledged, Sent};
use crate::turn::{Counterpart, Turn};

impl Publisher {
    /// Sends a draft that has no open offers, or first its long deltas.
    pub(super) fn conclude(&mut self, draft: Draft, counterpart: &mut Counterpart, turn: &mut Turn<'_>) {
        if draft.large {
            self.begin_large(draft, counterpart);
        } else {
            self.finish(draft, counterpart, turn);
        }
    }

    /// Sends a draft as a batch.
    pub(super) fn finish(&mut self, draft: Draft, counterpart: &mut Counterpart, turn: &mut Turn<'_>) {
        if !draft.items.is_empty() {
            counterpart.mechanisms.ahead += u64::from(draft.place == Place::Live);
            counterpart.mechanisms.onward += u64::from(draft.place == Place::Onward);
            counterpart.mechanisms.partial += u64::from(draft.partial);
        }
        // What is missing may have changed once more, and moved further, when the walk comes to where it was.
        let goes_on = self.torn.max(turn.torn_up_to) > draft.start && !draft.whole;
        if draft.torn || draft.partial || goes_on {
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
                self.send(draft.items, draft.end, counterpart, turn);
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
        // What it jumps over was told later than the draft was made, and may be parts whose rest is not told yet.
        let durable = if end == draft.end { draft.durable } else { turn.durable };
        let caught_up = end >= durable && !draft.torn && self.torn <= end;
        let arrived = caught_up && !self.told_caught_up;
        if caught_up && (arrived || !draft.items.is_empty()) {
            let parts = draft.parts.into_iter().chain(turn.parts_of_others).min();
            self.parts = parts.filter(|parts| *parts <= end);
        }
        if draft.items.is_empty() {
            if arrived {
                self.told_caught_up = true;
                self.tell_position(counterpart, turn);
            } else if self.firm.position().0.saturating_sub(self.told.0) >= counterpart.sizes.silent_rows {
                self.tell_position(counterpart, turn);
            }
            return;
        }
        self.told_caught_up = caught_up;
        self.send(draft.items, self.position, counterpart, turn);
    }

    pub(super) fn tell_position(&mut self, counterpart: &mut Counterpart, turn: &Turn<'_>) {
        self.send(Vec::new(), self.position, counterpart, turn);
    }

    /// Sends changes up to `newest`.
    pub(super) fn send(
        &mut self,
        items: Vec<Item>,
        newest: Sequence,
        counterpart: &mut Counterpart,
        turn: &Turn<'_>,
    ) {
        self.last_batch += 1;
        self.told_caught_up &= self.torn <= self.position;
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
            counterpart.known.sent(candidate.hash, candidate.sequence, after);
            let complete = candidate.since == Sequence(0);
            let implied = complete && counterpart.can(SHORT_DOCUMENTS);
            let is_whole = || parts.is_some() || Version::of_canonical(&delta) == after;
            debug_assert!(!implied || is_whole(), "not the whole document");
            message.documents.push(SentDocument {
                interest: candidate.interest,
                id: counterpart.name(&candidate.key),
                before: candidate.before,
                after: (!implied).then_some(after),
                complete,
                delta: parts.map_or_else(|| counterpart.body(delta), Body::Parts),
            });
            let from = candidate.from();
            flight.documents.push((candidate.key, from, candidate.sequence));
            if size >= counterpart.sizes.message_bytes {
                let full = std::mem::take(&mut message);
                message.batch = full.batch;
                counterpart.send(&Message::Batch(full));
                size = 0;
            }
        }
        let run = turn.replica.current_run();
        self.runs_told.entry(run).or_insert(true);
        message.end = Some(BatchEnd {
            generation: self.generation,
            run,
            sequence: flight.end,
            newest: Some(newest).filter(|newest| *newest > flight.end),
            caught_up: self.told_caught_up,
            parts: self.parts.filter(|_| self.told_caught_up),
            durable: Some(turn.durable).filter(|durable| *durable > newest.max(flight.end)),
        });
        counterpart.statistics.documents_sent += flight.documents.len() as u64;
        counterpart.send(&Message::Batch(message));
        if self.told_caught_up {
            counterpart.outbox.forget_begun();
        }
        self.told = flight.end;
        self.silent_since = None;
        self.flights.push_back(flight);
    }

    /// The other peer holds, durably, everything up to a batch.
    pub(crate) fn acknowledge(
        &mut self,
        acknowledge: &Acknowledge,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if acknowledge.batch > self.last_batch {
            return Err(Violation::Unexpected("acknowledgement of no batch").into());
        }
        let mut ends = Vec::new();
        while self.flights.front().is_some_and(|flight| flight.batch <= acknowledge.batch) {
            let Some(flight) = self.flights.pop_front() else { break };
            if !flight.documents.is_empty() {
                self.window.widen(&counterpart.sizes);
            }
            let of_batch = acknowledge.exceptions.iter().find(|exceptions| exceptions.batch == flight.batch);
            // In their order: what one batch brings in vain another may bring in the end, and what was too large the same one.
            let mut too_large = Acknowledged::default();
            for (key, from, row) in flight.unsendable {
                self.withheld.add(row, &key.collection, turn.replica)?;
                too_large.unheld.push(Sent { key, from, row: Some(row) });
            }
            if !too_large.unheld.is_empty() {
                turn.replica.acknowledged(counterpart.remote, &too_large);
            }
            let held = self.withheld.acknowledge(flight.batch);
            let mut acknowledged = Acknowledged { held, ..Acknowledged::default() };
            for (index, (key, from, sequence)) in flight.documents.into_iter().enumerate() {
                let sent = Sent { key, from, row: Some(sequence) };
                if of_batch.is_some_and(|exceptions| bits::get(&exceptions.documents, index)) {
                    self.withheld.add(sequence, &sent.key.collection, turn.replica)?;
                    acknowledged.unheld.push(sent);
                } else {
                    self.withheld.hold(sequence);
                    acknowledged.held.push(sent);
                }
            }
            turn.replica.acknowledged(counterpart.remote, &acknowledged);
            ends.push((flight.generation, flight.batch, flight.end));
            let says = |served: &Served| served.is_told_by(flight.generation, flight.batch);
            if self.served.values().all(says) {
                let Self { withheld, served, .. } = self;
                let is_served = |collection: &str| {
                    served.values().any(|served| &*served.interest.collection == collection)
                };
                self.acknowledged = self.acknowledged.max(flight.end);
                let reached = flight.end.min(withheld.bound(turn.replica, is_served)?);
                counterpart.statistics.acknowledged = counterpart.statistics.acknowledged.max(reached);
            }
        }
        let told_of = |served: &Served| {
            let told = ends.iter().filter(|(generation, batch, _)| served.is_told_by(*generation, *batch));
            told.map(|(.., end)| (served.selection, *end)).max()
        };
        let interests = self.served.values().filter_map(told_of).collect();
        turn.replica.acknowledged(counterpart.remote, &Acknowledged { interests, ..Acknowledged::default() });
        Ok(())
    }
}
