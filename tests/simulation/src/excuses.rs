//! Where a part of a transaction may be seen although nobody says so, and until when.
//!
//! A peer says that it shows parts, and whoever gets one from it says so as well, as long as the process lives
//! (docs/architecture.md, section 12). After that a part that is on its disk is seen there without a word, and at those who
//! get it from there. A part also comes without a word from who does not subscribe to transactions, but holds single documents
//! of them. So each excuse is of one peer, for the transactions of one owner:
//!
//! * until they are whole on the disk there, of who began with a part, or whose publisher has lost or changed its history in
//!   the middle;
//! * until they are whole there, and everything has come that was there when they became whole at the other end, of who has a
//!   link to somebody that shows a part without a word.

use std::collections::{BTreeMap, BTreeSet};

use ditto_crdt::Sequence;

use crate::oracle;
use crate::peer::Peer;
use crate::world::World;

/// Why one peer may show parts of what one owner wrote.
#[derive(Debug, Default)]
struct Excuse {
    /// It has a part of which nobody knows any more.
    forgotten: bool,
    /// Neighbours that show such a part; with a sequence: until then, at that sequence of theirs.
    from: BTreeMap<usize, Option<Sequence>>,
}

/// All excuses of a world.
#[derive(Debug, Default)]
pub(crate) struct Excuses {
    /// By peer and owner.
    of: BTreeMap<(usize, usize), Excuse>,
    /// Owners of transactions of which the rest may be nowhere: lost with their disks, or overwritten by what is older.
    lost: BTreeSet<usize>,
}

impl Excuses {
    /// Whether the rest of what an owner has told may be nowhere.
    pub(crate) fn may_be_lost(&self, owner: usize) -> bool {
        self.lost.contains(&owner)
    }
}

/// What a look at the transactions in a store is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// The store was opened, or nobody waits any more for who left something in part: what is in part there is not known to be.
    Opened,
    /// Something has changed.
    Changed,
}

impl World {
    /// Looks for parts of transactions at a peer: those for which there is no excuse are wrong.
    pub(crate) fn look_at_transactions(&mut self, peer: usize, look: Look) {
        let mut seen = BTreeMap::new();
        for part in oracle::parts(&self.peers[peer]) {
            seen.entry(part.owner).or_insert(part.seen);
        }
        self.end_excuses(peer, |owner| !seen.contains_key(&owner));
        for (owner, what) in seen {
            if look == Look::Opened {
                self.excuses.of.entry((peer, owner)).or_default().forgotten = true;
            }
            let is_subscribed = oracle::subscribes(&self.peers[peer]);
            if !is_subscribed || self.excuses.of.contains_key(&(peer, owner)) {
                self.spread(peer, owner);
            } else if !self.peers[peer].is_torn()
                && !oracle::writes_apart(&self.peers, owner)
                && !self.excuses.may_be_lost(owner)
            {
                self.verdicts.push(format!("at {} peer {peer} sees {what}", self.now));
                self.note(|| format!("peer {peer} sees {what}"));
            }
        }
    }

    /// Of transactions that are whole at a peer, its excuses end, and those that others have because of it will.
    fn end_excuses(&mut self, peer: usize, is_whole: impl Fn(usize) -> bool) {
        let last = self.peers[peer].last_sequence();
        let is_durable = self.peers[peer].durable_sequence() == last;
        let mut excuses = std::mem::take(&mut self.excuses.of);
        for ((_, owner), excuse) in &mut excuses {
            if let Some(until) = excuse.from.get_mut(&peer)
                && is_whole(*owner)
            {
                until.get_or_insert(last);
            }
        }
        excuses.retain(|(excused, owner), excuse| {
            if *excused != peer || !is_whole(*owner) {
                return true;
            }
            // If its storage fails before that, the part is back.
            excuse.forgotten &= !is_durable;
            excuse
                .from
                .retain(|source, until| until.is_none_or(|until| !self.has_told(*source, peer, until)));
            excuse.forgotten || !excuse.from.is_empty()
        });
        self.excuses.of = excuses;
    }

    /// Whether a neighbour has told everything up to a sequence of its own.
    fn has_told(&self, source: usize, peer: usize, sequence: Sequence) -> bool {
        let position = |link: usize| self.position(link, peer).is_some_and(|position| position >= sequence);
        self.links_of(peer).into_iter().any(|link| self.links[link].other(peer) == source && position(link))
    }

    /// Whoever has a link to a peer that shows a part without a word may get it. Who shows it already, waiting for somebody
    /// else, may pass it on without a word from now on.
    fn spread(&mut self, peer: usize, owner: usize) {
        let mut next = vec![peer];
        while let Some(peer) = next.pop() {
            for link in self.links_of(peer) {
                let other = self.links[link].other(peer);
                let is_new = !self.excuses.of.contains_key(&(other, owner));
                self.excuses.of.entry((other, owner)).or_default().from.insert(peer, None);
                if is_new && oracle::parts(&self.peers[other]).iter().any(|part| part.owner == owner) {
                    next.push(other);
                }
            }
        }
    }

    /// A peer has lost or changed its history: who got a part from it does not wait for the rest.
    pub(crate) fn excuse_all_parts(&mut self) {
        for peer in 0..self.peers.len() {
            for part in oracle::parts(&self.peers[peer]) {
                self.excuses.of.entry((peer, part.owner)).or_default().forgotten = true;
                self.spread(peer, part.owner);
            }
        }
    }

    /// The disk of a peer is about to be replaced by an older image: if anybody has, or may have, a part of what it wrote, or of
    /// what somebody wrote whose disk was replaced before, the rest may be lost.
    pub(crate) fn lose_the_rest(&mut self, restored: usize) {
        for owner in 0..self.peers.len() {
            if owner == restored || self.peers[owner].forked {
                self.lose_the_rest_of(owner, restored);
            }
        }
    }

    fn lose_the_rest_of(&mut self, owner: usize, restored: usize) {
        let has_part = |peer: &Peer| oracle::parts(peer).iter().any(|part| part.owner == owner);
        let may_have = |peer: &Peer| peer.is_torn_anywhere() || has_part(peer);
        let is_excused = self.excuses.of.keys().any(|(_, of)| *of == owner);
        if is_excused || self.peers.iter().any(|peer| peer.number != restored && may_have(peer)) {
            self.excuses.lost.insert(owner);
        }
    }

    /// An owner of transactions writes one. If it was restored, and its clock is far behind what it wrote then, the transaction has
    /// several stamps, so that a part of it may lose: against what the lost history wrote, or while it has only some of its own
    /// documents back.
    pub(crate) fn write_by_parts(&mut self, owner: usize) {
        if self.peers[owner].forked && (self.climate.clocks || self.peers[owner].is_torn()) {
            self.excuses.lost.insert(owner);
        }
    }

    /// A storm begins after a time of rest, when everything was whole that could be.
    pub(crate) fn forget_excuses(&mut self) {
        self.excuses.of.clear();
        let parts: BTreeSet<usize> =
            self.peers.iter().flat_map(oracle::parts).map(|part| part.owner).collect();
        self.excuses.lost.retain(|owner| parts.contains(owner));
        for peer in 0..self.peers.len() {
            self.look_at_transactions(peer, Look::Opened);
        }
    }
}
