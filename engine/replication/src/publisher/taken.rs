//! What the other peer has taken from elsewhere, compared with what is known here.

use std::collections::{HashSet, VecDeque};

use ditto_crdt::Sequence;
use ditto_value::ValueRef;

use super::{Candidate, Draft, Item, Place, Publisher, Served, Weighed};
use crate::event::{CloseReason, Violation};
use crate::known::key_hash;
use crate::limits::MAX_MATCH_MS;
use crate::message::{Compared, Message, Offer};
use crate::replica::{DocumentKey, Replica, Stored};
use crate::turn::{Counterpart, Turn};

/// Documents that the other peer has in another version, and the walk has passed.
#[derive(Debug)]
pub(super) struct Differing {
    taken: u64,
    pub(super) documents: VecDeque<(u64, DocumentKey)>,
}

impl Publisher {
    /// Whether the other peer is told of a document in this session because it asks for it. Not if it takes more than [`MAX_MATCH_MS`]
    /// to find that out: more may be offered to it than has to be.
    pub(crate) fn carries(&self, key: &DocumentKey, stored: &Stored, replica: &dyn Replica) -> bool {
        let is_told = |served: &&Served| {
            served.interest.collection == key.collection && stored.newest > served.told_after
        };
        let mut told = self.served.values().filter(is_told);
        if told.clone().any(|served| served.interest.unfiltered) {
            return true;
        }
        let value = ValueRef::from_stored(&stored.value);
        let too_late = replica.worked_ms().saturating_add(MAX_MATCH_MS);
        stored.alive && told.any(|served| replica.worked_ms() < too_late && (served.interest.matcher)(value))
    }

    /// The other peer says what it has taken from elsewhere.
    pub(crate) fn taken(
        &mut self,
        taken: Offer,
        counterpart: &mut Counterpart,
        turn: &Turn<'_>,
    ) -> Result<(), CloseReason> {
        if self.differing.is_some() {
            return Err(
                Violation::Unexpected("offer of what was taken, before the answer to the last").into()
            );
        }
        let (mut documents, mut seen) = (VecDeque::new(), HashSet::new());
        for item in taken.items {
            if item.interest > self.last_interest {
                return Err(Violation::Unexpected("offer for an unknown interest").into());
            }
            // If it has been removed, nobody needs to know.
            let Some(served) = self.served.get(&item.interest) else { continue };
            let collection = served.interest.collection.clone();
            let key = DocumentKey { collection, id: item.id.into_key().into() };
            // Nobody offers a document twice who wants to know of it.
            if !seen.insert(key_hash(&key)) {
                continue;
            }
            let Some(held) = turn.replica.held(&key)? else { continue };
            // From here on it hears of every change, also of those that it has declined.
            counterpart.known.meet(key_hash(&key));
            self.answers.forget_about(key_hash(&key));
            if self.has_passed(held.newest, served) && held.version != item.version {
                documents.push_back((item.interest, key));
            }
        }
        self.differing = Some(Differing { taken: taken.offer, documents });
        Ok(())
    }

    /// Whether the walk does not come by a change any more that matters to an interest: it has passed it, or it was told ahead
    /// of the walk, or offered with a commit that is on its way.
    fn has_passed(&self, change: Sequence, served: &Served) -> bool {
        let is_on_its_way =
            |draft: &Draft| draft.place == Place::Walk && draft.start < change && change <= draft.end;
        change <= self.position.max(served.from).max(served.unheld)
            || self.ahead.has_told(change)
            || self.large.as_ref().is_some_and(is_on_its_way)
    }

    /// Tells what the other peer has in another version.
    pub(super) fn tell_differing(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        while let Some(differing) = &mut self.differing {
            if differing.documents.is_empty() {
                if self.large.as_ref().is_some_and(|draft| draft.place == Place::Beside) {
                    return Ok(());
                }
                counterpart.send(&Message::Compared(Compared { taken: differing.taken }));
                self.differing = None;
                return Ok(());
            }
            let full = counterpart.outbox.bytes() > counterpart.sizes.queue_bytes;
            self.more |= full;
            if full || !self.window_is_open(&counterpart.sizes) {
                return Ok(());
            }
            if !self.send_differing(counterpart, turn)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends some of them; false if the next one is large and has to wait for its turn.
    fn send_differing(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<bool, CloseReason> {
        let may_begin_large = self.may_begin_large(&counterpart.sizes);
        let Some(mut differing) = self.differing.take() else { return Ok(true) };
        let mut large = None;
        let (mut items, mut bytes, mut newest) = (Vec::new(), 0, Sequence(0));
        while bytes < counterpart.sizes.batch_bytes
            && let Some((interest, key)) = differing.documents.pop_front()
        {
            let Some(held) = turn.replica.held(&key)? else { continue };
            let (hash, sequence) = (key_hash(&key), held.newest);
            let Some(served) = self.served.get(&interest) else { continue };
            if !self.has_passed(sequence, served) {
                // It has changed; the walk comes by, and brings what it has changed with.
                continue;
            }
            let candidate = Candidate { hash, key, interest, sequence, since: Sequence(0), before: None };
            match candidate.read(turn.replica, counterpart, turn.events)? {
                Weighed::Item(item) if item.is_large(counterpart) => {
                    if !items.is_empty() || !may_begin_large {
                        differing.documents.push_front((interest, item.candidate().key.clone()));
                    }
                    large = Some((sequence, item));
                    break;
                }
                Weighed::Item(item) => {
                    bytes += Item::bytes(&item);
                    newest = newest.max(sequence);
                    items.push(item);
                }
                Weighed::Unsendable(key, from, row) => self.unsendable.push((key, from, row)),
                Weighed::Nothing | Weighed::Moved => {}
            }
        }
        self.differing = Some(differing);
        if !items.is_empty() {
            // What is ahead of the walk may be a part of something.
            self.told_caught_up &= newest <= self.position;
            self.send(items, newest.max(self.position), counterpart, turn);
        } else if let Some((end, item)) = large {
            if !may_begin_large {
                return Ok(false);
            }
            let items = vec![item];
            self.begin_large(
                Draft { place: Place::Beside, items, end, large: true, ..Draft::default() },
                counterpart,
            );
        }
        Ok(true)
    }
}
