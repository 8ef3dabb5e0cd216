//! Batches as they arrive, and what is known of the documents in them.

use std::collections::HashSet;
use std::sync::Arc;

use ditto_crdt::{Sequence, Version};

use super::Subscriber;
use super::gap::Lacked;
use crate::event::{CloseReason, Violation};
use crate::known::{KeyHash, key_hash};
use crate::limits::{MAX_BATCH_DOCUMENTS, MAX_BUFFERED_DOCUMENTS, WINDOW_BATCHES};
use crate::message::{Batch, BatchEnd};
use crate::parts::Reassembly;
use crate::replica::DocumentKey;
use crate::turn::{Counterpart, Turn};

#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) batch: u64,
    /// It, and those that have been joined to it; none if it is not acknowledged.
    pub(super) numbers: Vec<u64>,
    pub(super) documents: Vec<Document>,
    /// As they arrived.
    pub(super) count: usize,
    pub(super) bytes: usize,
    pub(super) end: Option<BatchEnd>,
    /// The newest change of the publisher that is in a document which was asked for.
    pub(super) shows: Sequence,
    /// How often had been evicted here when its documents were checked.
    pub(super) evictions: u64,
    /// The documents before this place were looked at, as things are now.
    pub(super) checked: usize,
    /// The names of its documents: shared with who only looks at them.
    pub(super) names: Arc<HashSet<KeyHash>>,
    /// How many documents are asked for and not answered.
    pub(super) asked: usize,
    /// Of hashes that the answers did not know.
    pub(super) lacked_bytes: usize,
    /// Of the answers among its documents.
    pub(super) filled_bytes: usize,
    /// None of those before this place is to be asked for.
    pub(super) next_to_ask: usize,
}

#[derive(Debug)]
pub(super) struct Document {
    /// Batch and place in it; several if it has changed in batches that are applied as one.
    pub(super) places: Vec<(u64, usize)>,
    pub(super) key: DocumentKey,
    /// Of the key.
    pub(super) hash: KeyHash,
    pub(super) before: Option<Version>,
    pub(super) stated: Version,
    pub(super) delta: Vec<u8>,
    pub(super) complete: bool,
    pub(super) state: State,
    /// What the publisher said to lack, and to which question …
    pub(super) lacked: Option<Lacked>,
    /// … that was about this version of our copy.
    pub(super) asked: Version,
    /// Batches up to this one were sent before the answer …
    pub(super) filled_after: u64,
    /// … which has so many bytes.
    pub(super) filled_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Unchecked,
    /// Does not fit; to be asked for when few enough questions are open.
    Unasked,
    Asked,
    /// To be merged; whether we hold all that the publisher stated, once it is.
    Ready(Base),
    /// Its answer is merged by itself, before the batch.
    Apart,
    /// Not to be merged.
    Dropped,
}

/// How it is known that a delta can be merged without leaving a gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Base {
    /// The merge yields the stated version, or the delta is the whole state.
    Whole,
    /// The version before it was met in full.
    Met,
    /// There was a gap and it was filled.
    Filled,
    /// There is a gap that cannot be filled any more.
    Gone,
}

impl Inbound {
    pub(super) fn new(batch: u64) -> Self {
        Self {
            batch,
            numbers: vec![batch],
            documents: Vec::new(),
            count: 0,
            bytes: 0,
            end: None,
            shows: Sequence(0),
            evictions: 0,
            checked: 0,
            names: Arc::default(),
            asked: 0,
            lacked_bytes: 0,
            filled_bytes: 0,
            next_to_ask: 0,
        }
    }

    /// The newest batch in it.
    pub(super) fn last(&self) -> u64 {
        self.numbers.last().copied().unwrap_or(self.batch)
    }

    /// Whether something of it is not known yet.
    pub(super) fn waits(&self) -> bool {
        self.asked > 0 || self.next_to_ask < self.documents.len()
    }
}

impl Document {
    /// Whether it is merged with its batch.
    pub(super) fn is_merged(&self) -> bool {
        !matches!(self.state, State::Apart | State::Dropped)
    }

    /// From here on it has the name by its `_id`, if that is known here.
    pub(super) fn rename(&mut self, turn: &Turn<'_>) -> Result<(), CloseReason> {
        if self.key.is_by_hash()
            && let Some(key) = turn.replica.named(&self.key)?
        {
            self.key = key;
        }
        Ok(())
    }
}

impl BatchEnd {
    /// Changes up to here are in this batch or those before, as far as everything up to its position is told.
    pub(super) fn told(&self) -> Sequence {
        self.newest.unwrap_or_default().max(self.sequence)
    }
}

impl Subscriber {
    /// The other peer has nothing to tell, and knows that all up to this end is held: a batch that is not acknowledged.
    pub(super) fn take_nothing(&mut self, end: BatchEnd) {
        self.last_batch += 1;
        let numbers = Vec::new();
        self.batches.push_back(Inbound { numbers, end: Some(end), ..Inbound::new(self.last_batch) });
    }

    /// Takes a (part of a) batch; [`Self::process`] applies it.
    pub(crate) fn batch(
        &mut self,
        message: Batch,
        reassembly: &mut Reassembly,
        counterpart: &mut Counterpart,
    ) -> Result<(), CloseReason> {
        if self.batches.back().is_none_or(|batch| batch.end.is_some()) {
            if message.batch != self.last_batch + 1 {
                return Err(Violation::Unexpected("number of a batch").into());
            }
            self.last_batch = message.batch;
            self.batches.push_back(Inbound::new(message.batch));
        }
        let Some(inbound) = self.batches.back_mut().filter(|batch| batch.batch == message.batch) else {
            return Err(Violation::Unexpected("number of a batch").into());
        };
        counterpart.statistics.documents_received += message.documents.len() as u64;
        self.buffered_documents += message.documents.len();
        for document in message.documents {
            let Some(interest) = self.wanted.get(&document.interest) else {
                return Err(Violation::Unexpected("document for an unknown interest").into());
            };
            let id = document.id.into_key();
            let delta = reassembly.take(document.delta)?;
            let key = DocumentKey { collection: interest.collection.clone(), id: id.into() };
            let hash = key_hash(&key);
            add_name(&mut inbound.names, hash)?;
            inbound.bytes += key.id.len() + delta.len();
            self.buffered_bytes += key.id.len() + delta.len();
            inbound.count += 1;
            inbound.documents.push(Document {
                places: vec![(message.batch, inbound.documents.len())],
                key,
                hash,
                before: document.before,
                stated: document.after.unwrap_or_else(|| Version::of_canonical(&delta)),
                delta,
                complete: document.complete,
                state: State::Unchecked,
                lacked: None,
                asked: Version::default(),
                filled_after: 0,
                filled_bytes: 0,
            });
        }
        inbound.end = message.end;
        if inbound.count > MAX_BATCH_DOCUMENTS {
            return Err(Violation::Limit("documents of a batch").into());
        }
        if self.buffered_documents > MAX_BUFFERED_DOCUMENTS {
            return Err(Violation::Limit("unacknowledged documents").into());
        }
        if self.batches.len() + self.unacknowledged.len() > WINDOW_BATCHES + 1 {
            return Err(Violation::Limit("unacknowledged batches").into());
        }
        match message.end {
            Some(end) if end.generation > self.confirmed || end.generation == 0 => {
                Err(Violation::Unexpected("generation of a batch").into())
            }
            _ => Ok(()),
        }
    }
}

fn add_name(names: &mut Arc<HashSet<KeyHash>>, hash: KeyHash) -> Result<(), Violation> {
    if Arc::make_mut(names).insert(hash) {
        Ok(())
    } else {
        Err(Violation::Unexpected("document twice in a batch"))
    }
}
