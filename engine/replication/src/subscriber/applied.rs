//! A batch becomes one commit, and what that teaches.

use std::collections::BTreeSet;

use ditto_crdt::Sequence;

use super::Subscriber;
use super::gap::owe;
use super::inbound::{Base, Document, Inbound, State};
use super::lazy::Brought;
use crate::event::CloseReason;
use crate::known::Entry;
use crate::leaving;
use crate::message::{BatchEnd, Exceptions, bits};
use crate::publisher::Publisher;
use crate::questions::Respondent;
use crate::replica::{Incoming, IncomingDocument, Outcome};
use crate::subscription::Subscriptions;
use crate::turn::{Counterpart, Turn};

impl Subscriber {
    pub(super) fn apply(
        &mut self,
        mut inbound: Inbound,
        subscriptions: &Subscriptions,
        publisher: &Publisher,
        respondent: &mut Respondent,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(end) = inbound.end else { return Ok(()) };
        self.buffered_bytes = self.buffered_bytes.saturating_sub(inbound.bytes);
        self.buffered_documents = self.buffered_documents.saturating_sub(inbound.count);
        let last_batch = inbound.last();
        self.tears.tells(end.run);
        // Of whom nothing is asked for any more, nothing comes that would end it.
        if self.is_part(&inbound) && self.counting().next().is_some() {
            self.tears.open(
                turn.replica.last_sequence(),
                inbound.shows.max(end.told()),
                turn.durable,
                counterpart.sizes.tears,
            );
        }
        let mut exceptions: BTreeSet<(u64, usize)> = BTreeSet::new();
        let has_merged_before = inbound.documents.iter().any(|document| document.state == State::Apart);
        inbound.documents.retain(|document| {
            if document.state == State::Dropped {
                exceptions.extend(&document.places);
            }
            document.is_merged()
        });
        let incoming = Incoming {
            from: counterpart.remote,
            documents: inbound
                .documents
                .iter_mut()
                .map(|document| IncomingDocument {
                    key: document.key.clone(),
                    delta: std::mem::take(&mut document.delta),
                    stated: document.stated,
                })
                .collect(),
            checkpoints: self.advance(end, last_batch),
            seen: self.see(end)?,
            evictions: inbound
                .documents
                .iter()
                .any(|document| !document.complete)
                .then_some(inbound.evictions),
        };
        let mut brought = Brought::default();
        let nothing =
            incoming.documents.is_empty() && incoming.checkpoints.is_empty() && incoming.seen.is_none();
        let needs = if nothing {
            turn.replica.last_sequence()
        } else {
            let applied = leaving::apply(incoming, counterpart, turn)?;
            for (document, outcome) in inbound.documents.iter().zip(applied.outcomes) {
                match outcome {
                    Ok(outcome) => {
                        if outcome.before == Some(outcome.after) {
                            brought.known += 1;
                        } else {
                            brought.new += 1;
                        }
                        if outcome.absorbed {
                            exceptions.extend(&document.places);
                        }
                        self.merged(
                            document,
                            (outcome, applied.last),
                            publisher,
                            respondent,
                            counterpart,
                            turn,
                        )?;
                    }
                    Err(refused) => {
                        exceptions.extend(&document.places);
                        turn.events.push_back(counterpart.refused(document.key.clone(), refused.to_string()));
                    }
                }
            }
            applied.last
        };
        for batch in &inbound.numbers {
            let of_batch = exceptions.range((*batch, 0)..=(*batch, usize::MAX));
            if let Some((_, last)) = of_batch.last() {
                let documents = bits::collect((0..=*last).map(|index| exceptions.contains(&(*batch, index))));
                self.exceptions.push_back(Exceptions { batch: *batch, documents });
            }
        }
        if !inbound.documents.is_empty() {
            counterpart.statistics.last_update_received_ms = Some(turn.now);
        }
        // A batch without documents makes nothing necessary that the batches before it did not.
        let is_empty = inbound.documents.is_empty() && !has_merged_before;
        let needs = match self.unacknowledged.back() {
            Some((_, before)) if is_empty => self.stated.max(*before),
            None if is_empty => self.stated,
            _ => needs,
        };
        self.unacknowledged.extend(inbound.numbers.iter().map(|batch| (*batch, needs)));
        let reconciles = self.is_reconciling(last_batch);
        if !reconciles && self.is_all_served(end.generation) {
            counterpart.statistics.remote_position = end.sequence;
        }
        self.whole_up_to = Sequence(0);
        if self.tells_all(end) && !reconciles {
            let whole = end.parts.map_or(u64::MAX, |parts| parts.0.saturating_sub(1));
            self.whole_up_to = Sequence(end.told().0.min(whole));
            self.tears.heal(end.told(), end.parts, turn.replica.last_sequence(), turn.durable);
        }
        self.judge(brought, counterpart, turn)?;
        self.report(end, last_batch, subscriptions, counterpart, turn);
        Ok(())
    }

    /// Whether a batch ends where the publisher has told everything that is wanted of it.
    fn tells_all(&self, end: BatchEnd) -> bool {
        end.caught_up && self.is_all_served(end.generation)
    }

    /// Whether a batch may show a part of a transaction.
    pub(super) fn is_part(&self, inbound: &Inbound) -> bool {
        let Some(end) = inbound.end else { return false };
        let told = end.told();
        let is_whole = self.tells_all(end)
            && !self.is_reconciling(inbound.last())
            && end.parts.is_none_or(|parts| parts > told)
            && inbound.shows <= told;
        !is_whole && inbound.documents.iter().any(Document::is_merged)
    }

    /// What a merge taught about one document.
    fn merged(
        &mut self,
        document: &Document,
        (outcome, last): (Outcome, Sequence),
        publisher: &Publisher,
        respondent: &mut Respondent,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let hash = document.hash;
        if document.state == State::Ready(Base::Gone) {
            counterpart.known.remove(hash);
            return Ok(());
        }
        let versions = (outcome.before, outcome.after);
        counterpart.known.merged(hash, versions, document.stated, true, last);
        if outcome.after == document.stated {
            return Ok(());
        }
        if document.state == State::Ready(Base::Filled) {
            if document.lacked.is_none() {
                self.ask_if_changed(document.asked, &document.key, outcome, publisher, turn);
            }
            return owe(document.lacked.as_ref(), &document.key, outcome, document.stated, respondent, turn);
        }
        // We hold more than was stated. Usually our own stream carries it …
        let Entry { sent, .. } = counterpart.known.get(hash).unwrap_or_default();
        let told = sent.is_some_and(|(_, version)| version == outcome.after);
        let (subscribes, to_everything) = publisher.serves(&document.key.collection);
        let carried = told || to_everything || subscribes && document.state == State::Ready(Base::Met);
        // … otherwise ask what of it the other peer lacks.
        if !carried {
            self.lacks(document.key.clone(), outcome.after, turn);
        }
        Ok(())
    }
}
