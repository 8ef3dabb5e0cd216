//! What the other peer wants, and where telling it begins.

use ditto_crdt::{RunId, Sequence};
use ditto_value::{Object, Value};

use super::{Flight, Publisher, Served, shorten};
use crate::capabilities::{RANGES, SHORT_STARTS, TAKEN};
use crate::event::{CloseReason, Event, Violation};
use crate::limits::{MAX_INTEREST_BYTES, MAX_INTERESTS, MAX_REASON_BYTES};
use crate::message::{Acknowledge, AddedInterest, Interests, Message, Start, Walk};
use crate::reconciliation::{Comparison, naming::Naming};
use crate::replica::{Checkpoint, ReplicaError, ServedInterest};
use crate::subscription::selection;
use crate::turn::{Counterpart, Turn};

impl Publisher {
    /// The other peer wants other things than before.
    pub(crate) fn interests(
        &mut self,
        interests: Interests,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if interests.generation != self.generation + 1 {
            return Err(Violation::Unexpected("generation of interests").into());
        }
        let first = self.served.is_empty();
        self.generation = interests.generation;
        if let Some(evictions) = interests.evictions
            && turn.replica.remote_evicted(counterpart.remote, evictions)?
        {
            counterpart.forget_acknowledged();
        }
        if let (Some(before), Some(changes)) = (self.reconciles_with, interests.changes) {
            self.reconciles_with = Some(before.max(changes));
        }
        // Nothing of a draft was sent; the walk comes by again.
        self.draft = None;
        self.answers.forget();
        self.unsendable.sort_unstable();
        self.unsendable.dedup();
        if interests.forgotten {
            counterpart.known.clear();
            self.served.values_mut().for_each(|served| served.listing = None);
        }
        self.reconsider_large(&interests, counterpart);
        for id in &interests.removed {
            if let Some(served) = self.served.remove(id) {
                self.asked_bytes -= served.asked_bytes;
            }
        }
        self.reconsider(&interests, counterpart);
        for served in self.served.values_mut() {
            served.from = served.from.max(self.position);
        }
        let runs = turn.replica.runs();
        let mut starts = Vec::new();
        let run = runs.last().map_or(RunId(0), |(run, _)| *run);
        let naming = Naming::new(run, turn.durable, self.generation);
        let mut comparison = Comparison::new(self.generation, naming, turn.durable, counterpart.can(RANGES));
        for mut added in interests.added {
            if let Some(greeted) = added.greeted {
                let index = usize::try_from(greeted).ok().and_then(|greeted| greeted.checked_sub(1));
                let claim = index.and_then(|index| self.claims.get(index));
                let Some(claim) = claim else { return Err(Violation::Unexpected("checkpoint").into()) };
                added.checkpoint = Some(Checkpoint { run: claim.run, sequence: claim.sequence });
            }
            if added.id <= self.last_interest {
                return Err(Violation::Unexpected("number of an interest").into());
            }
            self.last_interest = added.id;
            if self.served.len() >= MAX_INTERESTS {
                return Err(Violation::Limit("interests").into());
            }
            let start = self.serve(&added, &runs, &mut comparison, counterpart, turn)?;
            let checkpoint = added.checkpoint.map_or(Sequence(0), |checkpoint| checkpoint.sequence);
            let is_implied = start.refused.is_none() && !start.reconciled && start.sequence == checkpoint;
            if !is_implied || !counterpart.can(SHORT_STARTS) {
                starts.push(start);
            }
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
            self.acknowledged = self.position;
        } else {
            self.acknowledged = self.acknowledged.min(self.position);
            self.ahead.forget();
            self.firm.restart(self.position.min(self.firm.position()));
        }
        self.told = self.firm.position();
        self.told_caught_up = false;
        // What another session has told may be parts of transactions; all that was written since is told before they are whole.
        self.torn = self.torn.max(turn.replica.last_sequence());
        self.origin_floor = turn.replica.last_sequence();
        self.more = true;
        let caught_up = interests.durable && self.has_nothing_to_tell(counterpart, turn);
        let is_greeted = run == self.greeted_run && counterpart.can(SHORT_STARTS);
        let run_said = Some(run).filter(|_| !is_greeted);
        counterpart.send(&Message::Walk(Walk {
            generation: self.generation,
            run: run_said,
            starts,
            caught_up,
        }));
        if caught_up {
            self.tell_nothing(run, counterpart, turn)?;
        }
        Ok(())
    }

    /// Whether the first interests of a session all begin where the log ends.
    fn has_nothing_to_tell(&self, counterpart: &Counterpart, turn: &Turn<'_>) -> bool {
        let last = turn.replica.last_sequence();
        let begins_there =
            |served: &Served| served.from == last && !served.is_reconciled && served.listing.is_none();
        counterpart.can(SHORT_STARTS)
            && self.generation == 1
            && turn.durable == last
            && !self.served.is_empty()
            && self.served.values().all(begins_there)
            && turn.parts_of_others.is_none()
    }

    /// The other peer, which holds everything up to the end durably, is told so as by a batch without documents.
    fn tell_nothing(
        &mut self,
        run: RunId,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        self.last_batch += 1;
        self.told_caught_up = true;
        self.runs_told.entry(run).or_insert(true);
        counterpart.outbox.forget_begun();
        let (batch, generation, end) = (self.last_batch, self.generation, self.position);
        self.flights.push_back(Flight { batch, generation, end, ..Flight::default() });
        self.acknowledge(&Acknowledge { batch, exceptions: Vec::new() }, counterpart, turn)?;
        let progress = Event::Progress { session: counterpart.session };
        if turn.events.back() != Some(&progress) {
            turn.events.push_back(progress);
        }
        Ok(())
    }

    fn serve(
        &mut self,
        added: &AddedInterest,
        runs: &[(RunId, Sequence)],
        comparison: &mut Comparison,
        counterpart: &Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<Start, CloseReason> {
        let refuse = |reason: String| Start {
            interest: added.id,
            refused: Some(shorten(reason, MAX_REASON_BYTES)),
            ..Start::default()
        };
        let asked_bytes = added.query.len() + added.arguments.len();
        if self.asked_bytes + asked_bytes > MAX_INTEREST_BYTES {
            return Ok(refuse(format!(
                "the queries and arguments of all subscriptions together are longer than {MAX_INTEREST_BYTES} bytes: \
                 subscribe to fewer, or to wider ones"
            )));
        }
        let Some(arguments) = arguments(&added.arguments) else {
            return Ok(refuse("the arguments are not a CBOR map with text keys".to_owned()));
        };
        let interest = match turn.replica.compile(&added.query, &arguments) {
            Ok(interest) => interest,
            Err(ReplicaError::Query(reason)) => return Ok(refuse(reason)),
            Err(error) => return Err(error.into()),
        };
        if !turn.replica.may_travel(counterpart.remote, &interest.collection) {
            // Its checkpoint stays where it is: nothing is skipped if that changes.
            return Ok(refuse(format!(
                "the collection {} is not synced with this peer",
                interest.collection
            )));
        }
        let checkpoint = added
            .checkpoint
            .filter(|checkpoint| self.runs_told.get(&checkpoint.run) == Some(&true))
            .and_then(|checkpoint| locate(checkpoint, runs, turn.replica.last_sequence()))
            .unwrap_or(Sequence(0));
        let reconciled = checkpoint == Sequence(0)
            && self.may_reconcile(interest.unfiltered, turn.durable, &counterpart.sizes);
        let holds_nothing =
            self.generation == 1 && self.reconciles_with == Some(Sequence(0)) && counterpart.can(TAKEN);
        let start = if reconciled { comparison.fence } else { checkpoint };
        let selection = selection(&interest.normalized, &added.arguments).to_le_bytes();
        let query = interest.normalized.clone();
        let arguments = added.arguments.clone();
        turn.replica
            .serves(counterpart.remote, ServedInterest { selection, query, arguments, held: checkpoint });
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
            unheld: if holds_nothing { turn.durable } else { Sequence(0) },
            listing: self.listing(&interest, checkpoint, turn.durable, &counterpart.sizes),
            interest,
            asked_bytes,
            start,
            from: start,
            told_after: checkpoint,
            generation,
            selection,
        };
        self.asked_bytes += asked_bytes;
        self.served.insert(added.id, served);
        Ok(Start { interest: added.id, sequence: start, refused: None, reconciled })
    }
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
