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

use crate::event::{CloseReason, Violation};
use crate::known::key_hash;
use crate::limits::{MAX_WAITING_QUESTION_BYTES, MAX_WAITING_QUESTIONS, WORK_MS};
use crate::message::{Found, Message, Question, Rest, Surplus, bits};
use crate::publisher::{Publisher, Standing};
use crate::replica::{DocumentKey, Excerpt};
use crate::turn::{Link, Turn};

/// Answers the questions of the other peer and sends back what it lacks, as far as it is durable.
#[derive(Debug, Default)]
pub(crate) struct Respondent {
    waiting: VecDeque<Question>,
    waiting_bytes: usize,
    /// Those that something goes before, as things stand.
    put_off: VecDeque<Question>,
    /// Questions after whose answer the other peer may send a surplus.
    invited: BTreeMap<u64, DocumentKey>,
    /// Invitations up to this question are forgotten: there were too many.
    forgotten: u64,
    surpluses: VecDeque<Owed>,
    /// Those that something goes before, as things stand.
    put_off_surpluses: VecDeque<Owed>,
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

impl Respondent {
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

    /// Sends `owed` as soon as it is durable.
    pub(crate) fn owe(&mut self, owed: Owed) {
        self.surpluses.push_back(owed);
        self.more = true;
    }

    /// Sends every answer and surplus that is durable and that nothing goes before, as long as the other peer reads them.
    pub(crate) fn pump(
        &mut self,
        publisher: &Publisher,
        link: &mut Link,
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
        for _ in 0..link.sizes.rows_per_call {
            if self.waiting.is_empty() && self.surpluses.is_empty() {
                return Ok(());
            }
            if !has_room(link) || turn.replica.worked_ms() >= WORK_MS {
                break;
            }
            if let Some(question) = self.waiting.pop_front() {
                let bytes = size(&question);
                match self.answer(question, publisher, link, turn)? {
                    Some(later) => self.put_off.push_back(later),
                    None => self.waiting_bytes -= bytes,
                }
            } else if let Some(owed) = self.surpluses.pop_front() {
                let is_full =
                    self.surpluses.len() + self.put_off_surpluses.len() >= link.sizes.waiting_surpluses;
                let waits = !is_full && publisher.has_more_to_tell(&owed.key.collection, turn.durable);
                let later = if waits { Some(owed) } else { pay(owed, link, turn)? };
                self.put_off_surpluses.extend(later);
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
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Question>, CloseReason> {
        let key = DocumentKey {
            collection: question.collection.as_str().into(),
            id: question.id.as_slice().into(),
        };
        let excerpt = match &question.hashes {
            _ if !turn.replica.may_travel(link.remote, &key.collection) => None,
            Some(hashes) => turn.replica.delta_lacking(&key, hashes)?,
            None => turn.replica.delta_since(&key, Sequence(0))?,
        };
        let mut delta = Vec::new();
        let found = match excerpt {
            None => None,
            Some(excerpt)
                if excerpt.newest > turn.durable
                    || publisher.is_about_to_tell(&key.collection, excerpt.newest, link, turn.durable) =>
            {
                return Ok(Some(question));
            }
            Some(excerpt) if excerpt.delta.len() > link.longest_delta() => {
                turn.events.push_back(link.too_large(key, excerpt.delta.len()));
                None
            }
            Some(excerpt) => {
                delta = excerpt.delta;
                let ours: HashSet<u128> = turn.replica.entry_hashes(&key)?.1.into_iter().collect();
                let lacked = bits::collect(question.hashes.iter().flatten().map(|hash| !ours.contains(hash)));
                link.known.sent(key_hash(&key), excerpt.newest, excerpt.version);
                link.statistics.documents_sent += 1;
                if !lacked.is_empty() || question.hashes.is_none() {
                    if self.invited.len() >= MAX_WAITING_QUESTIONS {
                        let oldest = self.invited.pop_first();
                        self.forgotten = oldest.map_or(self.forgotten, |(question, _)| question);
                    }
                    self.invited.insert(question.question, key);
                }
                Some(Found { version: excerpt.version, newest: excerpt.newest, lacked, ..Found::default() })
            }
        };
        link.answer(Message::Rest(Rest { question: question.question, found }), delta);
        Ok(None)
    }

    /// Which document the other peer sends of its own accord, because an answer of ours did not know all of it; `None` if that
    /// is forgotten.
    pub(crate) fn invited(&mut self, question: u64) -> Result<Option<DocumentKey>, CloseReason> {
        match self.invited.remove(&question) {
            None if question > self.forgotten => {
                Err(Violation::Unexpected("surplus without invitation").into())
            }
            invited => Ok(invited),
        }
    }
}

/// Whether the other peer keeps up with what it is answered.
pub(crate) fn has_room(link: &Link) -> bool {
    link.outbox.bytes() <= link.sizes.queue_bytes && link.outbox.answer_bytes() <= link.sizes.window_bytes
}

/// Sends a surplus; gives it back if it is not durable yet.
fn pay(owed: Owed, link: &mut Link, turn: &mut Turn<'_>) -> Result<Option<Owed>, CloseReason> {
    let excerpt = match &owed.held {
        Some(held) => turn.replica.delta_lacking(&owed.key, held)?,
        None => turn.replica.delta_since(&owed.key, Sequence(0))?,
    };
    let Some(excerpt) = excerpt else { return Ok(None) };
    if excerpt.newest > turn.durable {
        return Ok(Some(owed));
    }
    if excerpt.delta.len() > link.longest_delta() {
        turn.events.push_back(link.too_large(owed.key, excerpt.delta.len()));
        return Ok(None);
    }
    let hash = key_hash(&owed.key);
    let sent = link.known.get(hash).and_then(|entry| entry.sent);
    if sent.is_some_and(|(_, version)| version == excerpt.version) {
        // Our own stream has brought it meanwhile.
        return Ok(None);
    }
    if owed.held.is_none() || owed.settled == Some(excerpt.version) {
        link.known.sent(hash, excerpt.newest, excerpt.version);
    }
    let Excerpt { version, newest, delta } = excerpt;
    link.statistics.documents_sent += 1;
    let surplus = Surplus { question: owed.question, version, newest, ..Surplus::default() };
    link.answer(Message::Surplus(surplus), delta);
    Ok(None)
}

fn size(question: &Question) -> usize {
    question.collection.len()
        + question.id.len()
        + question.hashes.as_ref().map_or(0, |hashes| 16 * hashes.len())
}
