//! What remote peers are known to hold.
//!
//! A write exists elsewhere if some peer has acknowledged it. That is kept small: for each interest of each remote peer the
//! local sequence up to which it has acknowledged what the interest asks for, and the exceptions, documents that it did not
//! take as they were sent. Beyond that, the `changes` row of a document names a peer that holds exactly what is here.
//!
//! All of it is evidence, which may be lost (then less is known to exist elsewhere, and more is protected) but must not be
//! wrong. So what a peer acknowledged is void when the peer says that it has evicted documents since, or continues
//! under another identity, or has lost a part of its history. And when the housekeeping forgets a peer, what came from it until
//! then proves nothing when it is met again, nor does what it acknowledged of that time if it had not taken all of it.

mod holder;
mod pruning;
mod statements;
mod storing;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ditto_crdt::{Sequence, SiteId};
use parking_lot::RwLock;

use super::rows::{self, Forgotten, InterestRow, PeerRow};
use holder::{Exception, ExceptionName, Held, Holder, unheld};
pub use pruning::{MAX_REMEMBERED_INTEREST_BYTES, MAX_REMEMBERED_INTERESTS};
pub use statements::{Acknowledged, Greeting, KnownPeer, Sent, ServedInterest};
pub(crate) use statements::{Compile, Evidence, Facts, OwnWrites, PeerBytes};
use storing::unheld_name;

/// Exceptions of one peer that are remembered; beyond it its acknowledgements do not advance, and say nothing of what there was.
pub(crate) const MAX_UNHELD: usize = 10_000;
/// The longest query with arguments, in bytes, whose acknowledgements prove something.
const MAX_INTEREST_BYTES: usize = 16 * 1024;

#[derive(Default)]
pub(crate) struct Holdings(RwLock<State>);

#[derive(Default)]
struct State {
    peers: HashMap<PeerBytes, Holder>,
    /// Rows that are newer here than in the storage.
    dirty: BTreeSet<Vec<u8>>,
    /// A peer was met of which nothing is stored.
    has_new_peer: bool,
    flushed_ms: u64,
    forgotten: Forgotten,
}

impl Holdings {
    /// Knows from now on what `read` knows, and nothing else.
    pub(crate) fn replace(&self, read: Self) {
        *self.0.write() = read.0.into_inner();
    }

    /// Whether no other peer was ever met.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.read().peers.is_empty()
    }

    /// All peers that are remembered, each with the rows of the change log of what it did not take of that, ascending.
    pub(crate) fn known_peers(&self) -> Vec<(KnownPeer, Vec<Sequence>)> {
        let known = |(peer, holder): (&PeerBytes, &Holder)| {
            let met_ms = holder.row.used_ms;
            // What it asked for in earlier sessions only says nothing of what it holds by now.
            let asked_for = || holder.interests.values().filter(|held| held.row.used_ms >= met_ms);
            let acknowledged = asked_for().map(|held| held.row.acknowledged).min();
            let acknowledged = acknowledged.filter(|_| holder.unproven == Sequence::ZERO);
            let is_asked_for = |collection: &str| asked_for().any(|held| held.may_be_of(collection));
            let exceptions = holder.unheld.iter().filter(|((collection, _), _)| is_asked_for(collection));
            let mut rows: Vec<_> = exceptions.filter_map(|(_, exception)| exception.row).collect();
            rows.sort_unstable();
            (KnownPeer { peer: *peer, met_ms, acknowledged }, rows)
        };
        self.0.read().peers.iter().map(known).collect()
    }

    /// Of what a peer acknowledged and did not take, and has not taken since as it was, the rows of the change log with the collections;
    /// some documents may have changed.
    pub(crate) fn withheld(&self, peer: &PeerBytes) -> Vec<(Sequence, Arc<str>)> {
        let state = self.0.read();
        let exceptions = state.peers.get(peer).into_iter().flat_map(|holder| &holder.unheld);
        let row = |((collection, _), exception): (&ExceptionName, &Exception)| {
            Some((exception.row?, Arc::from(&**collection)))
        };
        exceptions.filter_map(row).collect()
    }

    /// Whether anybody is known to have asked for documents of the collection.
    pub(crate) fn is_asked_for(&self, collection: &str) -> bool {
        let state = self.0.read();
        let mut interests = state.peers.values().flat_map(|holder| holder.interests.values());
        interests.any(|held| held.is_of(collection))
    }

    /// Whether `peer` is known to hold the document as it is.
    pub(crate) fn holds(&self, peer: &PeerBytes, facts: &Facts<'_>, compile: Compile<'_>) -> bool {
        self.0.read().peers.get(peer).is_some_and(|holder| holder.holds(facts, compile))
    }

    /// Whether some peer is known to hold the document as it is.
    pub(crate) fn anybody_holds(&self, facts: &Facts<'_>, compile: Compile<'_>) -> bool {
        self.0.read().peers.values().any(|holder| holder.holds(facts, compile))
    }

    /// How the writes that a peer made by itself are told from others.
    pub(crate) fn own_writes(&self, peer: &PeerBytes) -> OwnWrites {
        let state = self.0.read();
        let row = state.peers.get(peer).map(|holder| holder.row).unwrap_or_default();
        OwnWrites { site: row.site, floor: row.floor }
    }

    /// Under which identity a peer writes.
    pub(crate) fn site(&self, peer: &PeerBytes) -> Option<SiteId> {
        self.0.read().peers.get(peer).map(|holder| holder.row.site).filter(|site| site.0 != 0)
    }

    /// A peer has sent documents. Its row must exist before anything is recorded as coming from it.
    pub(crate) fn met(&self, peer: &PeerBytes, origin: u64, now_ms: u64) {
        let known = self.0.read().peers.contains_key(peer);
        if !known {
            self.0.write().holder(peer, origin, now_ms);
        }
    }

    /// A session begins. Answers whether earlier evidence is void.
    pub(crate) fn greeted(
        &self,
        peer: &PeerBytes,
        origin: u64,
        greeting: Greeting,
        last: Sequence,
        now_ms: u64,
    ) -> Evidence {
        let mut state = self.0.write();
        let known = state.peers.contains_key(peer);
        let holder = state.holder(peer, origin, now_ms);
        let same = holder.row.evictions == greeting.evictions
            && (holder.row.site == greeting.site || holder.row.site.0 == 0);
        let void = known && (greeting.is_behind || !same);
        let is_renamed = holder.row.site != greeting.site;
        holder.row.site = greeting.site;
        holder.row.evictions = greeting.evictions;
        holder.row.used_ms = now_ms;
        state.dirty.insert(rows::peer_key(peer));
        if !void {
            return Evidence::Stands;
        }
        match state.void(peer, last) {
            Evidence::Void { .. } if is_renamed => Evidence::Void { must_be_stored: true },
            void => void,
        }
    }

    /// A peer says in a running session how often it has evicted by now. As [`Holdings::greeted`].
    pub(crate) fn evicted(&self, peer: &PeerBytes, evictions: u64, last: Sequence) -> Evidence {
        let mut state = self.0.write();
        let Some(holder) = state.peers.get_mut(peer) else { return Evidence::Stands };
        if std::mem::replace(&mut holder.row.evictions, evictions) == evictions {
            return Evidence::Stands;
        }
        state.void(peer, last)
    }

    /// A peer asks for something from now on. If it does not hold what it had acknowledged, it has lost more than that; `last` is the
    /// newest sequence.
    pub(crate) fn serves(
        &self,
        peer: &PeerBytes,
        origin: u64,
        interest: ServedInterest,
        last: Sequence,
        now_ms: u64,
    ) -> Evidence {
        let ServedInterest { selection, mut query, mut arguments, held: up_to } = interest;
        if query.len() + arguments.len() > MAX_INTEREST_BYTES {
            // How far it has come is known, but not of what.
            (query, arguments) = (String::new(), Vec::new());
        }
        let key = rows::interest_key(peer, &selection);
        let mut state = self.0.write();
        // One that is forgotten may not be gone from the storage yet.
        let is_stored = state.dirty.contains(&key);
        let holder = state.holder(peer, origin, now_ms);
        let held = holder.interests.entry(selection).or_insert_with(|| {
            let row = InterestRow { acknowledged: Sequence::ZERO, used_ms: now_ms, query, arguments };
            Held::new(row, is_stored)
        });
        held.row.used_ms = now_ms;
        let has_lost = held.row.acknowledged > up_to;
        state.dirty.insert(key);
        if has_lost { state.void(peer, last) } else { Evidence::Stands }
    }

    /// A peer has acknowledged something, none of it after `last`. Answers whether it has not taken something of it, which it does not
    /// say again: that must be stored.
    pub(crate) fn acknowledged(&self, peer: &PeerBytes, acknowledged: &Acknowledged, last: Sequence) -> bool {
        let mut state = self.0.write();
        let State { peers, dirty, .. } = &mut *state;
        let Some(holder) = peers.get_mut(peer) else { return false };
        if !holder.unheld.is_empty() {
            for sent in &acknowledged.held {
                holder.hold_sent(peer, sent, dirty);
            }
        }
        let must_be_stored = !acknowledged.unheld.is_empty();
        for Sent { key, from, row } in &acknowledged.unheld {
            let name = unheld(&key.collection, &key.id);
            if holder.unheld.len() >= MAX_UNHELD && !holder.unheld.contains_key(&name) {
                holder.unproven = last;
                dirty.insert(rows::unproven_key(peer));
                continue;
            }
            dirty.insert(rows::unheld_key(peer, &unheld_name(&name)));
            let exception = holder.unheld.entry(name).or_insert(Exception { from: *from, row: *row });
            exception.from = exception.from.min(*from);
            exception.row = *row;
        }
        if holder.unheld.len() >= MAX_UNHELD {
            return must_be_stored;
        }
        for (selection, up_to) in &acknowledged.interests {
            if let Some(held) = holder.interests.get_mut(selection)
                && held.row.acknowledged < *up_to
            {
                held.row.acknowledged = *up_to;
                dirty.insert(rows::interest_key(peer, selection));
            }
        }
        must_be_stored
    }

    /// How far a peer was offered what was taken from others of a collection, if that was ever recorded.
    pub(crate) fn offered(&self, peer: &PeerBytes, collection: &str) -> Option<Sequence> {
        let state = self.0.read();
        let offered = &state.peers.get(peer)?.offered;
        offered.get(collection).or_else(|| offered.get("")).copied()
    }

    /// A peer was offered what was taken from others of a collection, up to this local sequence.
    pub(crate) fn set_offered(&self, peer: &PeerBytes, collection: &str, up_to: Sequence) {
        let mut state = self.0.write();
        let State { peers, dirty, .. } = &mut *state;
        let Some(holder) = peers.get_mut(peer) else { return };
        if holder.offered.insert(collection.into(), up_to) != Some(up_to) {
            dirty.insert(rows::offered_key(peer, collection));
        }
    }

    /// A peer has sent exactly what is here now.
    pub(crate) fn is_equal(&self, peer: &PeerBytes, collection: &str, name: &[u8]) {
        if self.0.read().peers.get(peer).is_none_or(|holder| holder.unheld.is_empty()) {
            return;
        }
        let mut state = self.0.write();
        let State { peers, dirty, .. } = &mut *state;
        if let Some(holder) = peers.get_mut(peer) {
            holder.hold(peer, collection, name, dirty);
        }
    }
}

impl State {
    fn holder(&mut self, peer: &PeerBytes, origin: u64, now_ms: u64) -> &mut Holder {
        let Self { dirty, has_new_peer, forgotten, .. } = self;
        self.peers.entry(*peer).or_insert_with(|| {
            *has_new_peer = true;
            // It may have been met before.
            let row = PeerRow { origin, floor: forgotten.peers, used_ms: now_ms, ..PeerRow::default() };
            let holder = Holder { row, unproven: forgotten.exceptions, ..Holder::default() };
            dirty.extend(holder.keys(peer));
            holder
        })
    }

    /// What the peer is known to hold it may hold no longer. What it is known not to hold it still does not: it goes on from
    /// its own checkpoints, past what it did not take. Only what changes is written: a peer may say so again and again.
    fn void(&mut self, peer: &PeerBytes, last: Sequence) -> Evidence {
        let Self { peers, dirty, .. } = self;
        let Some(holder) = peers.get_mut(peer) else { return Evidence::Stands };
        let mut must_be_stored = holder.has_left_row;
        must_be_stored |= std::mem::replace(&mut holder.row.floor, last) != last;
        dirty.insert(rows::peer_key(peer));
        for (selection, held) in &mut holder.interests {
            if std::mem::take(&mut held.row.acknowledged) > Sequence::ZERO {
                must_be_stored = true;
                dirty.insert(rows::interest_key(peer, selection));
            }
        }
        Evidence::Void { must_be_stored }
    }
}
