//! Documents that are too long for a message.
//!
//! The long deltas of a commit go into the outbox, which sends them in parts between all other messages; the batch with the
//! commit follows when the last part has left. The position does not pass the commit before that. Meanwhile the walk goes on
//! behind it, ahead of its position: what it meets there is told and jumped over later, and further commits with large documents
//! are left out until their turn has come. So there is one under way at a time, and small documents wait for a part at most.

use ditto_crdt::Sequence;

use super::{Draft, Item, Place, Publisher};
use crate::message::Interests;
use crate::sizes::Sizes;
use crate::turn::{Counterpart, Turn};

impl Publisher {
    /// Whether the next large document may be begun.
    pub(super) fn may_begin_large(&self, sizes: &Sizes) -> bool {
        let none_waits = self.large.is_none() && self.draft.as_ref().is_none_or(|draft| !draft.large);
        none_waits && self.flights.iter().map(|flight| flight.large).sum::<usize>() < sizes.window_bytes
    }

    /// The draft has come to a large document of a commit. Answers with the end of that commit, if the draft is about it from
    /// now on; otherwise the draft ends before it.
    pub(super) fn meet_large(
        &self,
        draft: &mut Draft,
        sizes: &Sizes,
        (first, last): (Sequence, Sequence),
        up_to: Sequence,
    ) -> Option<Sequence> {
        let before = Sequence(first.0.saturating_sub(1)).max(draft.start);
        let last = last.min(up_to);
        let begins = draft.place == Place::Walk && self.may_begin_large(sizes);
        if begins && before == draft.start {
            draft.large = true;
            return Some(last);
        }
        draft.items.retain(|item| item.sequence() <= before);
        draft.end = before;
        draft.aside = (!begins).then_some(last);
        None
    }

    /// Sends the long deltas of a draft, which becomes a batch when all of them have left.
    pub(super) fn begin_large(&mut self, mut draft: Draft, counterpart: &mut Counterpart) {
        let mut deltas = Vec::new();
        for item in &mut draft.items {
            if let Item::Ready(ready) = item
                && counterpart.is_large(&ready.delta)
            {
                ready.parts = Some(0);
                deltas.push(std::mem::take(&mut ready.delta));
            }
        }
        counterpart.outbox.push_documents(deltas.into_iter());
        if draft.place == Place::Walk {
            self.ahead.reach(draft.end);
            self.told_caught_up = false;
        }
        self.under_way = draft.items.iter().map(|item| item.candidate().hash).collect();
        self.large = Some(draft);
    }

    /// Sends the batch whose long deltas have left.
    pub(super) fn finish_large(&mut self, counterpart: &mut Counterpart, turn: &mut Turn<'_>) {
        if self.large.is_none() || self.under_way() > counterpart.sizes.window_batches {
            return;
        }
        let Some(names) = counterpart.outbox.take_documents() else { return };
        let Some(mut draft) = self.large.take() else { return };
        self.under_way.clear();
        let long = draft.items.iter_mut().filter_map(|item| match item {
            Item::Ready(ready) => ready.parts.as_mut(),
            Item::Offered(..) => None,
        });
        long.zip(names).for_each(|(parts, name)| *parts = name);
        self.finish(draft, counterpart, turn);
    }

    /// Nothing of a batch that waits for its long deltas is sent.
    pub(super) fn drop_large(&mut self, counterpart: &mut Counterpart) {
        let Some(draft) = self.large.take() else { return };
        self.under_way.clear();
        counterpart.outbox.drop_documents();
        if draft.place != Place::Beside {
            return;
        }
        // Whoever began it begins it again.
        for item in &draft.items {
            if let Some(comparison) = self.comparisons.front_mut() {
                comparison.set_aside(item.sequence());
            }
            if let Some(differing) = &mut self.differing {
                let candidate = item.candidate();
                differing.documents.push_back((candidate.interest, candidate.key.clone()));
            }
        }
    }

    /// The other peer wants other things than before: what is under way goes on if it is among them, but the walk may stand
    /// somewhere else.
    pub(super) fn reconsider_large(&mut self, interests: &Interests, counterpart: &mut Counterpart) {
        let is_unwanted = |item: &Item| interests.removed.contains(&item.candidate().interest);
        if interests.forgotten || self.large.iter().flat_map(|draft| &draft.items).any(is_unwanted) {
            self.drop_large(counterpart);
        }
        self.detach_large();
    }

    /// The walk begins anew: what is under way is no step of it any more.
    pub(super) fn detach_large(&mut self) {
        if let Some(draft) = &mut self.large {
            draft.place = Place::Beside;
        }
    }

    /// Whether a batch can be sent because the channel has taken its last part.
    pub(crate) fn awaits_parts(&self, counterpart: &Counterpart) -> bool {
        self.large.is_some()
            && self.under_way() <= counterpart.sizes.window_batches
            && counterpart.outbox.has_sent_documents()
    }
}
