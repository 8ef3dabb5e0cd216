//! Filling gaps: what to do when a merge does not yield the version that was stated.
//!
//! The side that notices asks with the hashes of the entries that it holds. The other side answers with what
//! is missing and marks the hashes that it does not know itself; those entries are then sent back. Both sides of
//! a session play both parts, independently of who publishes.
//!
//! A document that travels by itself may belong to a transaction whose other documents the publisher has not told yet. So
//! what the publisher is about to tell goes first. Only while it is held up, an answer may show a part.

use std::collections::{BTreeMap, HashSet, VecDeque};

use ditto_crdt::{Sequence, Version};

use crate::event::{Buffered, CloseReason, Violation};
use crate::known::key_hash;
use crate::limits::{MAX_WAITING_QUESTION_BYTES, MAX_WAITING_QUESTIONS, WORK_MS};
use crate::message::{Found, Message, Question, Rest, Surplus, bits};
use crate::publisher::{Publisher, Standing};
use crate::replica::{DocumentKey, Excerpt};
use crate::turn::{Counterpart, Turn};

/// Answers the questions of the other peer and sends back what it lacks, as far as it is durable.
#[derive(Debug, Default)]
pub(crate) struct Respondent {
    waiting: VecDeque<Question>,
    waiting_bytes: usize,
    /// Those that something goes before, as things stand.
    put_off: VecDeque<Question>,
    /// Questions after whose answer the other peer may send a surplus.
    invited: BTreeMap<u64, DocumentKey>,
    invited_bytes: usize,
    /// Invitations up to this question are forgotten: there were too many.
    forgotten: u64,
    surpluses: VecDeque<Owed>,
    /// Those that something goes before, as things stand.
    put_off_surpluses: VecDeque<Owed>,
    owed_bytes: usize,
    /// How things stand.
    standing: Option<Standing>,
    /// There is work that waits for nobody but the next call.
    pub(crate) more: bool,
}

/// Entries that the other peer lacks.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) question: u64,
    pub(crate) key: DocumentKey,
    /// Hashes of what it is known to hold; `None` if nothing is known.
    pub(crate) held: Option<Vec<u128>>,
    /// The version at which all else is held by the other peer; `None` if a local write came in between.
    pub(crate) settled: Option<Version>,
}

impl Owed {
    fn bytes(&self) -> usize {
        self.key.bytes() + self.held.as_ref().map_or(0, |hashes| 16 * hashes.len())
    }
}

impl Respondent {
    /// Bytes of what is asked and owed.
    pub(crate) fn memory(&self) -> usize {
        self.waiting_bytes + self.invited_bytes + self.owed_bytes
    }

    /// Takes a question; it is answered by [`Self::pump`].
    pub(crate) fn question(&mut self, question: Question) -> Result<(), CloseReason> {
        self.waiting_bytes += size(&question);
        self.waiting.push_back(question);
        if self.waiting.len() + self.put_off.len() > MAX_WAITING_QUESTIONS
            || self.waiting_bytes > MAX_WAITING_QUESTION_BYTES
        {
            return Err(Violation::Limit("questions").into());
        }
        Ok(())
    }

    /// Sends `owed` as soon as it is durable: without knowing what of it is held, if that takes too much memory.
    pub(crate) fn owe(&mut self, mut owed: Owed) -> Result<(), Violation> {
        if self.owed_bytes + owed.bytes() > MAX_WAITING_QUESTION_BYTES {
            (owed.held, owed.settled) = (None, None);
        }
        self.owed_bytes += owed.bytes();
        if self.owed_bytes > 2 * MAX_WAITING_QUESTION_BYTES {
            return Err(Violation::Limit("what it lacks and does not take"));
        }
        self.surpluses.push_back(owed);
        self.more = true;
        Ok(())
    }

    /// Whether the other peer is going to say nothing more of what it was told and lacks something, as far as it is known.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.put_off.is_empty() && self.invited.is_empty() && self.forgotten == 0
    }

    /// What waits here.
    pub(crate) fn buffered(&self) -> Buffered {
        let questions = self.waiting.iter().chain(&self.put_off).map(size);
        let owed = self.surpluses.iter().chain(&self.put_off_surpluses).map(Owed::bytes);
        Buffered {
            documents: 0,
            questions: questions.chain(owed).sum(),
            counted: self.waiting_bytes + self.owed_bytes,
        }
    }

    /// Sends every answer and surplus that is durable and that nothing goes before, as long as the other peer reads them.
    pub(crate) fn pump(
        &mut self,
        publisher: &Publisher,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        turn.replica.begin_work();
        self.more = false;
        let standing = publisher.standing(turn.durable);
        if self.standing.replace(standing) != Some(standing) {
            // Each is looked at again, once.
            self.put_off.append(&mut self.waiting);
            std::mem::swap(&mut self.put_off, &mut self.waiting);
            self.put_off_surpluses.append(&mut self.surpluses);
            std::mem::swap(&mut self.put_off_surpluses, &mut self.surpluses);
        }
        for _ in 0..counterpart.sizes.rows_per_call {
            if self.waiting.is_empty() && self.surpluses.is_empty() {
                return Ok(());
            }
            if !has_room(counterpart) || turn.replica.worked_ms() >= WORK_MS {
                break;
            }
            if let Some(question) = self.waiting.pop_front() {
                let bytes = size(&question);
                match self.answer(question, publisher, counterpart, turn)? {
                    Some(later) => self.put_off.push_back(later),
                    None => self.waiting_bytes -= bytes,
                }
            } else if let Some(owed) = self.surpluses.pop_front() {
                let is_full = self.surpluses.len() + self.put_off_surpluses.len()
                    >= counterpart.sizes.waiting_surpluses;
                let waits = !is_full && publisher.has_more_to_tell(&owed.key.collection, turn.durable);
                let bytes = owed.bytes();
                match if waits { Some(owed) } else { pay(owed, counterpart, turn)? } {
                    Some(later) => self.put_off_surpluses.push_back(later),
                    None => self.owed_bytes -= bytes,
                }
            }
        }
        self.more = !self.waiting.is_empty() || !self.surpluses.is_empty();
        Ok(())
    }

    /// Gives the question back if the answer is not durable yet, or about to be told.
    fn answer(
        &mut self,
        question: Question,
        publisher: &Publisher,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Question>, CloseReason> {
        let key = DocumentKey {
            collection: question.collection.as_str().into(),
            id: question.id.as_slice().into(),
        };
        let excerpt = match &question.hashes {
            _ if !turn.replica.may_travel(counterpart.remote, &key.collection) => None,
            Some(hashes) => turn.replica.delta_lacking(&key, hashes)?,
            None => turn.replica.delta_since(&key, Sequence(0))?,
        };
        let mut delta = Vec::new();
        let found = match excerpt {
            None => None,
            Some(excerpt)
                if excerpt.newest > turn.durable
                    || publisher.is_about_to_tell(
                        &key.collection,
                        excerpt.newest,
                        counterpart,
                        turn.durable,
                    ) =>
            {
                return Ok(Some(question));
            }
            Some(excerpt) if excerpt.delta.len() > counterpart.longest_delta() => {
                turn.events.push_back(counterpart.too_large(key, excerpt.delta.len()));
                None
            }
            Some(excerpt) => {
                delta = excerpt.delta;
                let ours: HashSet<u128> = turn.replica.entry_hashes(&key)?.1.into_iter().collect();
                let lacked = bits::collect(question.hashes.iter().flatten().map(|hash| !ours.contains(hash)));
                counterpart.known.sent(key_hash(&key), excerpt.newest, excerpt.version);
                counterpart.statistics.documents_sent += 1;
                if !lacked.is_empty() || question.hashes.is_none() {
                    self.invite(question.question, key);
                }
                Some(Found { version: excerpt.version, newest: excerpt.newest, lacked, ..Found::default() })
            }
        };
        counterpart.answer(Message::Rest(Rest { question: question.question, found }), delta);
        Ok(None)
    }

    fn invite(&mut self, question: u64, key: DocumentKey) {
        self.invited_bytes += key.bytes();
        if let Some(before) = self.invited.insert(question, key) {
            self.invited_bytes -= before.bytes();
        }
        while self.invited.len() > MAX_WAITING_QUESTIONS || self.invited_bytes > MAX_WAITING_QUESTION_BYTES {
            let Some((oldest, key)) = self.invited.pop_first() else { break };
            self.forgotten = self.forgotten.max(oldest);
            self.invited_bytes -= key.bytes();
        }
    }

    /// Which document the other peer sends of its own accord, because an answer of ours did not know all of it; `None` if that
    /// is forgotten.
    pub(crate) fn invited(&mut self, question: u64) -> Result<Option<DocumentKey>, CloseReason> {
        let invited = self.invited.remove(&question);
        self.invited_bytes -= invited.as_ref().map_or(0, DocumentKey::bytes);
        if invited.is_none() && question > self.forgotten {
            return Err(Violation::Unexpected("surplus without invitation").into());
        }
        Ok(invited)
    }
}

/// Whether the other peer keeps up with what it is answered.
pub(crate) fn has_room(counterpart: &Counterpart) -> bool {
    counterpart.outbox.bytes() <= counterpart.sizes.queue_bytes
        && counterpart.outbox.answer_bytes() <= counterpart.sizes.window_bytes
}

/// Sends a surplus; gives it back if it is not durable yet.
fn pay(owed: Owed, counterpart: &mut Counterpart, turn: &mut Turn<'_>) -> Result<Option<Owed>, CloseReason> {
    let excerpt = match &owed.held {
        Some(held) => turn.replica.delta_lacking(&owed.key, held)?,
        None => turn.replica.delta_since(&owed.key, Sequence(0))?,
    };
    let Some(excerpt) = excerpt else { return Ok(None) };
    if excerpt.newest > turn.durable {
        return Ok(Some(owed));
    }
    if excerpt.delta.len() > counterpart.longest_delta() {
        turn.events.push_back(counterpart.too_large(owed.key, excerpt.delta.len()));
        return Ok(None);
    }
    let hash = key_hash(&owed.key);
    let sent = counterpart.known.get(hash).and_then(|entry| entry.sent);
    if sent.is_some_and(|(_, version)| version == excerpt.version) {
        // Our own stream has brought it meanwhile.
        return Ok(None);
    }
    if owed.held.is_none() || owed.settled == Some(excerpt.version) {
        counterpart.known.sent(hash, excerpt.newest, excerpt.version);
    }
    let Excerpt { version, newest, delta } = excerpt;
    counterpart.statistics.documents_sent += 1;
    let surplus = Surplus { question: owed.question, version, newest, ..Surplus::default() };
    counterpart.answer(Message::Surplus(surplus), delta);
    Ok(None)
}

fn size(question: &Question) -> usize {
    question.collection.len()
        + question.id.len()
        + question.hashes.as_ref().map_or(0, |hashes| 16 * hashes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64, length: usize) -> DocumentKey {
        let id = number.to_le_bytes().into_iter().cycle().take(length).collect();
        DocumentKey { collection: "plants".into(), id }
    }

    #[test]
    fn invitations_have_a_bound_in_bytes() -> Result<(), CloseReason> {
        let mut respondent = Respondent::default();
        for question in 1..=2_000 {
            respondent.invite(question, key(question, 16 * 1_024));
            assert!(respondent.invited_bytes <= MAX_WAITING_QUESTION_BYTES);
        }
        assert_eq!(respondent.invited(1)?, None, "it is forgotten");
        assert_eq!(respondent.invited(2_000)?, Some(key(2_000, 16 * 1_024)));
        assert!(respondent.invited(2_000).is_err(), "only once");
        for question in respondent.invited.keys().copied().collect::<Vec<_>>() {
            respondent.invited(question)?;
        }
        assert_eq!(respondent.invited_bytes, 0);
        Ok(())
    }

    #[test]
    fn what_is_owed_has_a_bound_in_bytes() {
        let mut respondent = Respondent::default();
        let owed = |question| Owed {
            question,
            key: key(question, 1_024),
            held: Some(vec![question.into(); 8_000]),
            settled: Some(Version(1)),
        };
        let mut taken = 0;
        while respondent.owe(owed(taken)).is_ok() {
            taken += 1;
            assert!(taken < 100_000, "it has no end");
        }
        // The hashes of the first, and of the rest the names.
        assert!(taken > 1_000 && respondent.owed_bytes <= 2 * MAX_WAITING_QUESTION_BYTES + 128_000 + 1_030);
        let first = respondent.surpluses.front().and_then(|owed| owed.held.as_ref());
        assert_eq!(first.map(Vec::len), Some(8_000));
        let last = respondent.surpluses.back();
        assert!(last.is_some_and(|owed| owed.held.is_none() && owed.settled.is_none()));
    }
}
