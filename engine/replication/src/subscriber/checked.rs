//! Whether what a batch brings is wanted, and can be merged without leaving a gap.

use super::inbound::{Base, Document, Inbound, State};
use super::{Subscriber, wants};
use crate::event::CloseReason;
use crate::limits::WORK_MS;
use crate::turn::{Counterpart, Turn};

impl Subscriber {
    /// Finds out for each document whether it is wanted, and whether its delta leaves a gap; anew after an eviction, which may have taken
    /// its base, or the document because nobody wants it any more. False if that takes long: the next call goes on.
    pub(super) fn check(
        &mut self,
        inbound: &mut Inbound,
        counterpart: &Counterpart,
        turn: &Turn<'_>,
    ) -> Result<bool, CloseReason> {
        let evictions = turn.replica.eviction_total();
        if std::mem::replace(&mut inbound.evictions, evictions) != evictions {
            // Whose answer was to be merged by itself has no delta any more, and waits for another one.
            let has_delta = |document: &&mut Document| {
                !document.delta.is_empty() && matches!(document.state, State::Ready(_) | State::Unasked)
            };
            for document in inbound.documents.iter_mut().filter(has_delta) {
                document.state = State::Unchecked;
            }
            (inbound.checked, inbound.next_to_ask) = (0, 0);
        }
        while let Some(document) = inbound.documents.get_mut(inbound.checked) {
            inbound.checked += 1;
            if !document.is_merged() {
                continue;
            }
            document.rename(turn)?;
            if document.state != State::Unchecked {
                continue;
            }
            let hash = document.hash;
            // What is known is from before an eviction until the other peer has been told of it.
            let is_current = self.told_evictions == evictions;
            let holds =
                |before| is_current && counterpart.known.get(hash).is_some_and(|entry| entry.held(before));
            document.state = if !wants(&self.wanted, &document.key.collection) {
                // The publisher takes it for delivered, so it must be told otherwise.
                self.dropped = true;
                State::Dropped
            } else if document.complete {
                State::Ready(Base::Whole)
            } else if document.before.is_some_and(holds) {
                State::Ready(Base::Met)
            } else {
                match turn.replica.merged_version(&document.key, &document.delta)? {
                    Ok(version) if version != document.stated => State::Unasked,
                    // What is refused is reported when it is applied.
                    Ok(_) | Err(_) => State::Ready(Base::Whole),
                }
            };
            if turn.replica.worked_ms() >= WORK_MS {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
