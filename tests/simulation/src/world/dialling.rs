//! Links come up and end; who is joined by them, and how far it has come.

use std::collections::BTreeSet;

use ditto_crdt::Sequence;
use ditto_replication::Replica;

use crate::excuses::Look;
use crate::incident::{Incident, count};
use crate::network::Link;
use crate::oracle;
use crate::peer::{Peer, Process};
use crate::world::{Happening, World};

impl World {
    /// Adds a link that is down.
    pub fn add_link(&mut self, a: usize, b: usize) -> usize {
        let quality = [0; 2].map(|_| self.climate.quality(&mut self.random));
        let is_asymmetric = quality[0].latency != quality[1].latency;
        count(&mut self.tally, Incident::Asymmetric, u64::from(is_asymmetric));
        self.qualities.push(quality);
        self.links.push(Link::new([a, b], quality));
        self.links.len() - 1
    }

    pub(super) fn connect_all(&mut self, peer: usize) {
        for link in self.links_of(peer) {
            self.schedule(1, Happening::Connect { link });
        }
    }

    /// Whoever is joined to a peer by links of those that are still there, itself included; nobody if it has left for good.
    #[must_use]
    pub fn joined(&self, peer: usize) -> BTreeSet<usize> {
        self.joined_by(peer, |_| true)
    }

    /// The same, as far as it is joined by peers for which that holds.
    pub(crate) fn joined_by(&self, peer: usize, passes: impl Fn(&Peer) -> bool) -> BTreeSet<usize> {
        let is_there = |peer: usize| !self.gone.contains(&peer);
        let mut joined: BTreeSet<usize> = [peer].into_iter().filter(|peer| is_there(*peer)).collect();
        let mut next: Vec<usize> = joined.iter().copied().collect();
        while let Some(peer) = next.pop() {
            for link in self.links_of(peer) {
                let other = self.links[link].other(peer);
                if is_there(other) && passes(&self.peers[other]) && joined.insert(other) {
                    next.push(other);
                }
            }
        }
        joined
    }

    pub(crate) fn links_of(&self, peer: usize) -> Vec<usize> {
        (0..self.links.len()).filter(|link| self.links[*link].ends.contains(&peer)).collect()
    }

    pub(super) fn connect(&mut self, link: usize) {
        let wire = &self.links[link];
        let ends = wire.ends;
        let ready = |peer: &Peer| peer.process.is_some() && !peer.failed;
        if wire.is_up() || wire.severed || !ends.iter().all(|end| ready(&self.peers[*end])) {
            return;
        }
        self.note(|| format!("{} and {} are connected", ends[0], ends[1]));
        self.links[link].turn(self.now);
        self.meetings += 1;
        self.receipts.meet(ends);
        let epoch = self.links[link].epoch;
        if self.stormy && self.climate.flaps {
            let delay = self.random.between(1, 20_000);
            self.schedule(delay, Happening::Break { link, epoch });
        }
        for (peer, remote) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            if self.links[link].epoch != epoch {
                return;
            }
            let now = self.now;
            self.look_at_transactions(peer, Look::Changed);
            let remote = self.peers[remote].key;
            match self.peers[peer].connect(link, remote, now) {
                Ok(()) => self.pump(peer),
                Err(error) => return self.failed(peer, &error),
            }
        }
    }

    pub(crate) fn connect_soon(&mut self, link: usize) {
        self.schedule(1, Happening::Connect { link });
    }

    /// The link breaks; somebody dials again.
    pub(super) fn break_link(&mut self, link: usize) {
        self.end_link(link);
        let delay = self.random.between(1, 3_000);
        self.schedule(delay, Happening::Connect { link });
    }

    pub(crate) fn end_link(&mut self, link: usize) {
        if self.links[link].is_up() {
            let ends = self.links[link].ends;
            self.note(|| format!("the link between {} and {} ends", ends[0], ends[1]));
            count(&mut self.tally, Incident::UnderWay, u64::from(!self.links[link].is_still()));
            self.links[link].turn(self.now);
            self.forgive(ends);
            let found = oracle::checkpoints(self, link);
            self.verdicts.extend(found);
            for end in ends {
                self.peers[end].disconnect(link, self.now);
            }
        }
    }

    pub(super) fn end_links_of(&mut self, peer: usize) {
        for link in self.links_of(peer) {
            self.end_link(link);
        }
        self.hang_up(peer);
    }

    /// Sum of what passed on all links.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.links.iter().map(|link| link.bytes).sum()
    }

    /// What a peer has applied of what the one at the other end of a link has, unless it has forgotten something since, or it was
    /// decided anew what may travel, by which the session ends.
    pub(crate) fn position(&self, link: usize, peer: usize) -> Option<Sequence> {
        let process = self.peers[peer].process.as_ref()?;
        let session = process.sessions.get(&link)?;
        let statistics = process.replicator.statistics(*session)?;
        let other = self.peers[self.links[link].other(peer)].process.as_ref()?;
        let decided = |end: &Process| end.scopes.get(&link) == Some(&end.replica.scopes_revision());
        let same = process.evictions.get(&link) == Some(&process.replica.eviction_total())
            && decided(process)
            && decided(other);
        (same && process.replicator.is_ready(*session)).then_some(statistics.remote_position)
    }
}
