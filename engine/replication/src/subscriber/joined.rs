//! Batches that are applied as one.
//!
//! A document that was asked for is told as it is at that time, which may be newer than the batch that waits for it, and belong
//! to a transaction of a later batch. The publisher has sent that one before the answer; so the two, and those between them,
//! become one commit.

use std::collections::HashMap;
use std::sync::Arc;

use ditto_crdt::{Delta, Document as Merged, Sequence};

use super::Subscriber;
use super::inbound::{Base, Document, Inbound, State};
use crate::event::CloseReason;
use crate::known::KeyHash;
use crate::sizes::Sizes;
use crate::turn::Turn;

/// What is to be done with a batch whose documents are all there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Join {
    /// It can be applied.
    Over,
    /// It has the documents of the next one as well, which are to be looked at.
    Further,
    /// The end of the next one has not arrived.
    Waits,
}

impl Subscriber {
    /// Takes the next batch into this one, if something in this one is newer than itself.
    pub(super) fn join(
        &mut self,
        inbound: &mut Inbound,
        sizes: &Sizes,
        turn: &Turn<'_>,
    ) -> Result<Join, CloseReason> {
        let Some(end) = inbound.end else { return Ok(Join::Over) };
        let is_full = inbound.numbers.len() >= sizes.joined_batches;
        if inbound.shows <= end.told() || is_full || self.is_reconciling(inbound.last()) {
            return Ok(Join::Over);
        }
        let Some(next) = self.batches.front() else { return Ok(Join::Over) };
        let Some(next_end) = next.end else { return Ok(Join::Waits) };
        let is_too_large = inbound.documents.len() + next.documents.len() > sizes.max_batch_documents
            || inbound.bytes + next.bytes > sizes.max_batch_bytes;
        if is_too_large || next_end.generation != end.generation {
            return Ok(Join::Over);
        }
        let Some(mut next) = self.batches.pop_front() else { return Ok(Join::Over) };
        for document in &mut next.documents {
            document.rename(turn)?;
        }
        let held = inbound.documents.iter().enumerate().filter(|(_, held)| held.is_merged());
        let held: HashMap<KeyHash, usize> = held.map(|(index, document)| (document.hash, index)).collect();
        if inbound.documents.iter().chain(&next.documents).any(|document| document.key.is_by_hash()) {
            // It may be another one's name.
            self.batches.push_front(next);
            return Ok(Join::Over);
        }
        let mut both = Vec::new();
        for document in &next.documents {
            let index = held.get(&document.hash).copied();
            let earlier = index.and_then(|index| inbound.documents.get(index));
            both.push(match earlier {
                Some(earlier)
                    if earlier.state == State::Ready(Base::Filled) && earlier.filled_after >= next.batch =>
                {
                    // The answer was given after it, and has all of it.
                    index.map(|index| (index, None))
                }
                Some(earlier) => match union(&earlier.delta, &document.delta) {
                    Some(delta) => index.map(|index| (index, Some(delta))),
                    None => {
                        // One of them is not to be read. Each by itself, that harms only itself.
                        self.batches.push_front(next);
                        return Ok(Join::Over);
                    }
                },
                None => None,
            });
        }
        for (document, both) in std::mem::take(&mut next.documents).into_iter().zip(both) {
            let Some((index, delta)) = both else {
                inbound.documents.push(document);
                continue;
            };
            let Some(earlier) = inbound.documents.get_mut(index) else { continue };
            if let Some(delta) = delta {
                // The join may be longer than both.
                let (before, after) = (earlier.delta.len(), delta.len());
                self.buffered_bytes = self.buffered_bytes + after - before;
                inbound.bytes = inbound.bytes + after - before;
                earlier.follow(&document, delta, turn)?;
            }
            earlier.places.extend(document.places);
        }
        inbound.numbers.append(&mut next.numbers);
        inbound.bytes += next.bytes;
        inbound.count += next.count;
        inbound.filled_bytes += next.filled_bytes;
        inbound.end = next.end;
        Arc::make_mut(&mut inbound.names).extend(next.names.iter());
        // What has changed in both may have a gap now.
        inbound.next_to_ask = 0;
        Ok(Join::Further)
    }
}

impl Document {
    /// The same document has changed again.
    fn follow(&mut self, later: &Document, both: Vec<u8>, turn: &Turn<'_>) -> Result<(), CloseReason> {
        let goes_on = later.before == Some(self.stated) && self.state != State::Ready(Base::Gone);
        self.state = match turn.replica.merged_version(&self.key, &both)? {
            _ if later.complete => State::Ready(Base::Whole),
            Ok(version) if version != later.stated && goes_on => self.state,
            Ok(version) if version != later.stated => State::Unasked,
            Ok(_) | Err(_) => State::Ready(Base::Whole),
        };
        self.complete = later.complete || self.complete && goes_on;
        (self.stated, self.delta) = (later.stated, both);
        Ok(())
    }
}

/// Two deltas as one; `None` if one of them is malformed.
fn union(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut both = Merged::new();
    for delta in [one, other] {
        both.merge(&Delta::decode(delta).ok()?, Sequence(1));
    }
    Some(both.canonical())
}
