//! A large collection for a peer that holds nothing, in the order of the names.
//!
//! The change log leads from document to document in the order of time, which is none in the store: once a collection is
//! larger than the caches, each document is a search of its own, there for reading and here for writing. In the order of
//! their names both are a scan. So all documents as they are at a *fence* are told first, in batches that leave the
//! position where it is. Then the walk comes by from the beginning and tells what is left: graves, what was too large,
//! and what has changed since.
//!
//! The position does not move meanwhile. Whoever comes back after a lost session holds something, and is reconciled or
//! walked for, with positions that move: a listing is never begun twice.

use std::collections::BTreeSet;

use ditto_crdt::Sequence;

use super::{Candidate, Item, Publisher, Ready};
use crate::event::CloseReason;
use crate::known::key_hash;
use crate::limits::WORK_MS;
use crate::replica::{DocumentKey, Excerpt, Interest};
use crate::sizes::Sizes;
use crate::turn::{Counterpart, Turn};

/// Which documents of an interest are told, whatever the position is.
#[derive(Debug)]
pub(super) struct Listing {
    /// Those that have not changed after this one …
    fence: Sequence,
    /// … and whose names are not greater than this one.
    after: Vec<u8>,
    /// There are no greater names.
    complete: bool,
    /// But for those of these changes.
    left_out: BTreeSet<Sequence>,
    /// The rest is the walk's.
    over: bool,
}

impl Listing {
    fn new(fence: Sequence) -> Self {
        Self { fence, after: Vec::new(), complete: false, left_out: BTreeSet::new(), over: false }
    }

    /// Whether the document of a row of the change log was told. A document that is in the log as it was at the fence has
    /// been the same ever since.
    fn has_told(&self, key: &DocumentKey, sequence: Sequence) -> bool {
        sequence <= self.fence
            && !key.is_by_hash()
            && (self.complete || *key.id <= *self.after)
            && !self.left_out.contains(&sequence)
    }
}

impl Publisher {
    /// How an interest begins, if it is in a whole collection of which the other peer holds nothing.
    pub(super) fn listing(
        &self,
        interest: &Interest,
        checkpoint: Sequence,
        durable: Sequence,
        sizes: &Sizes,
    ) -> Option<Listing> {
        let holds_nothing = self.reconciles_with.is_some_and(|theirs| theirs.0 < sizes.reconciled_changes);
        let is_whole = interest.unfiltered && checkpoint == Sequence(0);
        let is_listed = self.listings(&interest.collection).next().is_some();
        let is_large = durable.0 >= sizes.listed_changes;
        (holds_nothing && is_whole && !is_listed && is_large && !self.lazy).then(|| Listing::new(durable))
    }

    fn listings(&self, collection: &str) -> impl Iterator<Item = &Listing> {
        let all = self.served.values().filter(move |served| &*served.interest.collection == collection);
        all.filter_map(|served| served.listing.as_ref())
    }

    /// Whether the document of a row of the change log was told in a listing: whatever the other peer is interested in,
    /// it holds this one as it is.
    pub(super) fn is_listed(&self, key: &DocumentKey, sequence: Sequence) -> bool {
        self.listings(&key.collection).any(|listing| listing.has_told(key, sequence))
    }

    /// Tells the next documents of a listing, and what is left of `rows`; `false` if there is no listing under way.
    pub(super) fn list(
        &mut self,
        rows: &mut usize,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<bool, CloseReason> {
        let (is_lazy, sizes) = (self.lazy, counterpart.sizes);
        let under_way = self.served.iter_mut().find_map(|(id, served)| {
            let listing = served.listing.as_mut().filter(|listing| !listing.over)?;
            // What is wanted is asked for from now on.
            listing.over |= is_lazy;
            (!is_lazy).then_some((*id, listing, &served.interest.collection))
        });
        let Some((interest, listing, collection)) = under_way else { return Ok(false) };
        let documents = turn.replica.documents(
            collection,
            &listing.after,
            self.window.batch_documents(&sizes, false).min(*rows),
            self.window.batch_bytes(&sizes),
        )?;
        *rows = rows.saturating_sub(documents.len());
        if turn.replica.worked_ms() >= WORK_MS {
            *rows = 0;
        }
        (listing.complete, listing.over) = (documents.is_empty(), documents.is_empty());
        let (mut items, mut newest) = (Vec::with_capacity(documents.len()), Sequence(0));
        for (key, excerpt) in documents {
            let sequence = excerpt.newest;
            if sequence <= listing.fence && excerpt.delta.len() > sizes.part_bytes {
                listing.left_out.insert(sequence);
                listing.over = listing.left_out.len() >= sizes.left_out;
            }
            listing.after.clear();
            listing.after.extend_from_slice(&key.id);
            let hash = key_hash(&key);
            // What is new may have been told ahead.
            let sent = counterpart.known.get(hash).and_then(|entry| entry.sent);
            let is_told = sent.is_some_and(|(since, _)| since >= sequence);
            if sequence <= listing.fence && !listing.left_out.contains(&sequence) && !is_told {
                newest = newest.max(sequence);
                let candidate = Candidate { hash, key, interest, sequence, since: Sequence(0), before: None };
                let Excerpt { version: after, delta, .. } = excerpt;
                let bytes = delta.len();
                items.push(Item::Ready(Ready { candidate, after, delta, bytes, parts: None }));
            }
            if listing.over {
                break;
            }
        }
        if !items.is_empty() {
            counterpart.mechanisms.listed += 1;
            self.send(items, newest, counterpart, turn);
        }
        Ok(true)
    }
}
