//! Questions to the publisher about what does not fit, and what becomes of the answers.

use super::Subscriber;
use super::gap::{Lacked, Open, Purpose};
use super::inbound::{Base, Inbound, State};
use crate::event::{CloseReason, Violation};
use crate::limits::MAX_WAITING_QUESTION_BYTES;
use crate::message::{Message, Question, Rest};
use crate::replica::DocumentKey;
use crate::sizes::Sizes;
use crate::turn::{Counterpart, Turn};

impl Subscriber {
    /// Asks for what is missing, a bounded number of questions at a time.
    pub(super) fn ask(
        &mut self,
        inbound: &mut Inbound,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Inbound { batch, documents, asked, next_to_ask, .. } = inbound;
        while let Some(document) = documents.get_mut(*next_to_ask) {
            if document.state == State::Unasked {
                if !self.may_ask(&counterpart.sizes) {
                    break;
                }
                self.question(Purpose::Gap(*batch, *next_to_ask), document.key.clone(), counterpart, turn)?;
                document.state = State::Asked;
                *asked += 1;
            }
            *next_to_ask += 1;
        }
        Ok(())
    }

    /// At most half of what a respondent must take, since both count differently at the edges.
    pub(super) fn may_ask(&self, sizes: &Sizes) -> bool {
        self.open.len() < sizes.open_questions && self.open_bytes < MAX_WAITING_QUESTION_BYTES / 2
    }

    pub(super) fn question(
        &mut self,
        purpose: Purpose,
        key: DocumentKey,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let (version, hashes) = turn.replica.entry_hashes(&key)?;
        let hashes = Some(hashes).filter(|hashes| hashes.len() <= counterpart.sizes.question_hashes);
        self.last_question += 1;
        let question = self.last_question;
        let evictions = turn.replica.eviction_total();
        let open = Open { question, purpose, key, hashes, version, evictions, asked: turn.now };
        self.open_bytes += open.bytes();
        counterpart.statistics.questions_asked += 1;
        counterpart.send(&Message::Question(Question {
            question,
            collection: open.key.collection.to_string(),
            id: open.key.id.to_vec(),
            hashes: open.hashes.clone(),
        }));
        self.open.insert(question, open);
        Ok(())
    }

    /// The other peer answers a question; `delta` is the body of the answer.
    pub(crate) fn rest(
        &mut self,
        rest: Rest,
        delta: Vec<u8>,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(open) = self.open.remove(&rest.question) else {
            return Err(Violation::Unexpected("answer to no question").into());
        };
        self.open_bytes -= open.bytes();
        counterpart.statistics.documents_received += u64::from(rest.found.is_some());
        let is_current = open.evictions == turn.replica.eviction_total();
        let (batch, place) = match open.purpose {
            Purpose::Gap(batch, place) => (batch, place),
            Purpose::Surplus => {
                return self.keep_answer(open, rest.found, delta, self.last_batch, counterpart);
            }
            Purpose::Again(after) => {
                self.asked_again -= 1;
                return self.keep_answer(open, rest.found, delta, after, counterpart);
            }
        };
        let filled_after = self.last_batch;
        let Some(inbound) = self.batches.front_mut().filter(|inbound| inbound.batch == batch) else {
            return Ok(());
        };
        let Some(document) = inbound.documents.get_mut(place) else { return Ok(()) };
        inbound.asked -= 1;
        // There was another answer before an eviction.
        inbound.filled_bytes =
            inbound.filled_bytes.saturating_sub(std::mem::take(&mut document.filled_bytes));
        match rest.found {
            Some(_)
                if self.single_bytes + inbound.filled_bytes + delta.len()
                    > counterpart.sizes.filled_bytes =>
            {
                let unfilled = std::mem::take(&mut document.delta).len();
                document.state = State::Apart;
                inbound.bytes -= unfilled;
                self.buffered_bytes -= unfilled;
                counterpart.mechanisms.apart += 1;
                return self.keep_answer(open, rest.found, delta, batch.saturating_sub(1), counterpart);
            }
            Some(found) => {
                document.filled_bytes = delta.len();
                inbound.filled_bytes += delta.len();
                self.buffered_bytes = self.buffered_bytes - document.delta.len() + delta.len();
                inbound.bytes = inbound.bytes - document.delta.len() + delta.len();
                document.delta = delta;
                document.complete = false;
                document.stated = found.version;
                (document.state, document.lacked) = if is_current {
                    let mut lacked = Lacked::of(&open, &found);
                    if let Some(lacked) = &mut lacked {
                        if inbound.lacked_bytes + lacked.bytes() > MAX_WAITING_QUESTION_BYTES {
                            lacked.forget_hashes();
                        }
                        inbound.lacked_bytes += lacked.bytes();
                    }
                    (State::Ready(Base::Filled), lacked)
                } else {
                    inbound.checked = inbound.checked.min(place);
                    inbound.next_to_ask = inbound.next_to_ask.min(place);
                    (State::Unchecked, None)
                };
                document.asked = open.version;
                document.filled_after = filled_after;
                inbound.shows = inbound.shows.max(found.newest);
            }
            None if !document.delta.is_empty() && turn.replica.held(&open.key)?.is_some() => {
                document.state = State::Ready(Base::Gone);
            }
            None => document.state = State::Dropped,
        }
        Ok(())
    }
}
