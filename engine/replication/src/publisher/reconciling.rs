//! Interests without a checkpoint, brought to the fence by [reconciliation](crate::reconciliation).

use ditto_crdt::Sequence;

use super::{Candidate, Draft, Place, Publisher, Weighed};
use crate::capabilities::TAKEN;
use crate::event::{CloseReason, Violation};
use crate::known::key_hash;
use crate::limits::{MAX_BROKEN_OFF, WORK_MS};
use crate::message::{Interests, Message, Names, Settled, Symbols};
use crate::reconciliation::{Comparison, Next, row};
use crate::sizes::Sizes;
use crate::turn::{Counterpart, Turn};

impl Publisher {
    /// Whether an interest without a checkpoint is reconciled: not if one of the two peers holds next to nothing. With a filter it
    /// is worth while for the little that the other peer holds: all that does not match would have to be offered to it.
    pub(super) fn may_reconcile(&self, unfiltered: bool, durable: Sequence, sizes: &Sizes) -> bool {
        let theirs = self.reconciles_with.map_or(0, |theirs| theirs.0);
        let least = sizes.reconciled_changes;
        let holds_enough = if unfiltered { theirs >= least } else { theirs > 0 };
        holds_enough
            && durable.0 >= least
            && self.comparisons.len() < sizes.reconciliations
            && self.broken_off < MAX_BROKEN_OFF
    }

    /// How many reconciliations with this peer have ended with their sessions, one after the other.
    pub(crate) fn broken_off(&self) -> u32 {
        match self.broken_off {
            before if self.generation == 0 => before,
            // It was walked for.
            MAX_BROKEN_OFF.. => 0,
            before => before + u32::from(!self.comparisons.is_empty()),
        }
    }

    /// The other peer wants other things than before, or has forgotten what it held: what was compared until now
    /// is worth nothing.
    pub(super) fn reconsider(&mut self, interests: &Interests, counterpart: &mut Counterpart) {
        for mut comparison in std::mem::take(&mut self.comparisons) {
            let before = comparison.interests.len();
            comparison.interests.retain(|(id, _)| !interests.removed.contains(id));
            if interests.forgotten {
                comparison.disregard();
            }
            match comparison.interests.len() {
                0 => {}
                left if left < before || interests.forgotten => self.walk_instead(&comparison, counterpart),
                _ => self.comparisons.push_back(comparison),
            }
        }
    }

    /// The other peer describes what it holds.
    pub(crate) fn symbols(&mut self, symbols: Symbols, turn: &Turn<'_>) -> Result<(), CloseReason> {
        match self.compared(symbols.generation)? {
            Some(comparison) => comparison.symbols(symbols, turn.now),
            None => Ok(()),
        }
    }

    /// The other peer names what it was asked for.
    pub(crate) fn names(&mut self, names: &Names, turn: &Turn<'_>) -> Result<(), CloseReason> {
        match self.compared(names.generation)? {
            Some(comparison) => comparison.names(names, turn.replica, turn.now),
            None => Ok(()),
        }
    }

    /// The comparison that is under way, if the message is about it and not about one before.
    fn compared(&mut self, generation: u64) -> Result<Option<&mut Comparison>, CloseReason> {
        let present = self.comparisons.front().map_or(self.generation, |front| front.generation);
        if generation > present {
            return Err(Violation::Unexpected("answer in a reconciliation").into());
        }
        Ok(self.comparisons.front_mut().filter(|front| front.generation == generation))
    }

    /// Goes on with what is under way.
    pub(super) fn reconcile(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let sizes = counterpart.sizes;
        while let Some(front) = self.comparisons.front_mut() {
            match front.work(turn.replica, &sizes, turn.now)? {
                Next::Wait => return Ok(()),
                Next::More => {
                    self.more = true;
                    return Ok(());
                }
                Next::Ask(inquiry) => counterpart.send(&Message::Inquiry(inquiry)),
                Next::Send if self.gives_way || !self.window_is_open(&sizes) => return Ok(()),
                Next::Send
                    if counterpart.outbox.bytes() > sizes.queue_bytes
                        || turn.replica.worked_ms() >= WORK_MS =>
                {
                    self.more = true;
                    return Ok(());
                }
                Next::Send => self.send_lacking(counterpart, turn)?,
                Next::SendLarge if self.gives_way || !self.may_begin_large(&sizes) => return Ok(()),
                Next::SendLarge => self.send_lacking_large(counterpart, turn)?,
                Next::Over if self.large.as_ref().is_some_and(|draft| draft.place == Place::Beside) => {
                    return Ok(());
                }
                Next::Over => {
                    if self.comparisons.front_mut().is_some_and(Comparison::go_on) {
                        counterpart.mechanisms.ranges += 1;
                        continue;
                    }
                    let last = turn.replica.last_sequence();
                    let front = self.comparisons.front_mut();
                    // As for positions that are told, see `firm`.
                    if front.is_some_and(|front| *front.settles_when.get_or_insert(last) > turn.durable) {
                        return Ok(());
                    }
                    let Some(settled) = self.comparisons.pop_front() else { return Ok(()) };
                    // What was told may be parts of transactions; the walk brings what has changed of them meanwhile.
                    self.torn = self.torn.max(last);
                    counterpart.mechanisms.reconciled += 1;
                    self.settle(&settled, settled.fence, counterpart);
                }
                Next::Walk => {
                    let Some(failed) = self.comparisons.pop_front() else { return Ok(()) };
                    counterpart.mechanisms.walked_instead += 1;
                    self.walk_instead(&failed, counterpart);
                }
            }
        }
        Ok(())
    }

    /// Sends some of the documents that the other peer lacks.
    fn send_lacking(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(front) = self.comparisons.front_mut() else { return Ok(()) };
        let (mut items, mut bytes, mut newest) = (Vec::new(), 0, Sequence(0));
        let mut unsendable = Vec::new();
        for _ in 0..counterpart.sizes.batch_documents {
            if bytes >= counterpart.sizes.batch_bytes || turn.replica.worked_ms() >= WORK_MS {
                break;
            }
            let Some(sequence) = front.lacking() else { break };
            match lacking(front, sequence, counterpart, turn)? {
                Weighed::Item(item) if item.is_large(counterpart) => front.set_aside(sequence),
                Weighed::Item(item) => {
                    bytes += item.bytes();
                    newest = newest.max(sequence);
                    items.push(item);
                }
                Weighed::Unsendable(key, from, row) => unsendable.push((key, from, row)),
                Weighed::Nothing | Weighed::Moved => {}
            }
        }
        self.unsendable.extend(unsendable);
        if !items.is_empty() {
            // Other interests may have arrived; but among these documents there are parts of transactions.
            self.told_caught_up = false;
            self.send(items, newest, counterpart, turn);
        }
        Ok(())
    }

    /// Begins to send one of the large documents that the other peer lacks.
    fn send_lacking_large(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(front) = self.comparisons.front_mut() else { return Ok(()) };
        let Some(sequence) = front.large() else { return Ok(()) };
        match lacking(front, sequence, counterpart, turn)? {
            Weighed::Item(item) => {
                let items = vec![item];
                let draft =
                    Draft { place: Place::Beside, items, end: sequence, large: true, ..Draft::default() };
                self.begin_large(draft, counterpart);
            }
            Weighed::Unsendable(key, from, row) => self.unsendable.push((key, from, row)),
            Weighed::Nothing | Weighed::Moved => {}
        }
        Ok(())
    }

    /// From the next batch on, the interests of the comparison stand at this sequence.
    fn settle(&mut self, comparison: &Comparison, sequence: Sequence, counterpart: &mut Counterpart) {
        self.broken_off = 0;
        for (id, _) in &comparison.interests {
            if let Some(served) = self.served.get_mut(id) {
                served.is_reconciled = false;
                served.first_batch = self.last_batch + 1;
            }
        }
        // It may rest there on what is not acknowledged yet.
        let unacknowledged = self.flights.iter().flat_map(|flight| &flight.documents);
        let first = unacknowledged.map(|(_, _, sequence)| sequence.0).min().unwrap_or(u64::MAX);
        self.acknowledged = Sequence(first.saturating_sub(1)).min(self.acknowledged).min(self.position);
        self.told_caught_up = false;
        self.more = true;
        counterpart.send(&Message::Settled(Settled { generation: comparison.generation, sequence }));
    }

    /// Tells everything instead.
    fn walk_instead(&mut self, comparison: &Comparison, counterpart: &mut Counterpart) {
        for served in self.served.values_mut() {
            served.from = served.from.max(self.position);
        }
        let held_in_part = if comparison.is_mostly_held() { comparison.fence } else { Sequence(0) };
        let is_unheld = comparison.is_nothing_held && counterpart.can(TAKEN);
        let unheld = if is_unheld { comparison.fence } else { Sequence(0) };
        for (id, _) in &comparison.interests {
            if let Some(served) = self.served.get_mut(id) {
                (served.start, served.from) = (Sequence(0), Sequence(0));
                served.held_in_part = held_in_part;
                served.unheld = unheld;
            }
        }
        // Nothing of a draft was sent; the walk comes by again. What was not wanted for other interests may be for these.
        self.draft = None;
        self.answers.forget();
        self.detach_large();
        self.ahead.forget();
        (self.position, self.told, self.torn) = (Sequence(0), Sequence(0), Sequence(0));
        self.firm.restart(Sequence(0));
        self.settle(comparison, Sequence(0), counterpart);
    }
}

/// What the other peer lacks, if it has not got it meanwhile.
fn lacking(
    comparison: &Comparison,
    sequence: Sequence,
    counterpart: &Counterpart,
    turn: &mut Turn<'_>,
) -> Result<Weighed, CloseReason> {
    // What has changed since is the walk's.
    let Some(change) = row(sequence, turn.replica)? else { return Ok(Weighed::Nothing) };
    let Some(interest) = comparison.interest(&change.key) else { return Ok(Weighed::Nothing) };
    let hash = key_hash(&change.key);
    let sent = counterpart.known.get(hash).and_then(|entry| entry.sent);
    if sent.is_some_and(|(since, _)| since >= sequence) {
        return Ok(Weighed::Nothing);
    }
    let since = Sequence(0);
    let candidate = Candidate { hash, key: change.key, interest, sequence, since, before: None };
    candidate.read(turn.replica, counterpart, turn.events)
}
