//! What goes wrong, one thing at a time, as far as the climate has it.

use ditto_storage::Loss;
use ditto_value::Object;

use crate::incident::Incident;
use crate::world::{Happening, World};

/// Copies that a world gets at most.
const MAX_COPIES: usize = 2;

impl World {
    /// One fault, and an appointment for the next.
    pub(crate) fn fault(&mut self) {
        if !self.stormy {
            return;
        }
        let crowd = (self.peers.len() as u64 / 4).max(1);
        let delay = self.random.between(100, 2_500) / crowd;
        self.schedule(delay.max(1), Happening::Fault);
        let peer = usize::try_from(self.random.below(self.peers.len() as u64)).unwrap_or(0);
        match self.random.below(13) {
            0 if self.climate.crashes => self.crash(peer),
            1 if self.climate.disk_failures => {
                self.note(|| format!("the disk of peer {peer} will fail"));
                let Self { peers, random, .. } = self;
                peers[peer].break_disk(random);
            }
            2 if self.climate.full_disks => {
                self.note(|| format!("the disk of peer {peer} is full"));
                self.peers[peer].set_full(true);
                let delay = self.random.between(500, 5_000);
                self.schedule(delay, Happening::Room { peer });
            }
            3 if self.climate.partitions => self.divide(),
            4 if self.climate.clocks => {
                const HOUR: i64 = 3_600_000;
                const YEAR: i64 = 365 * 24 * HOUR;
                let jumps = [-10_000, 10_000, -HOUR, HOUR, -400 * 24 * HOUR, 400 * 24 * HOUR];
                let jump = *self.random.choose(&jumps);
                self.note(|| format!("the clock of peer {peer} jumps by {jump} ms"));
                self.peers[peer].shift_clock(jump);
                self.count(if jump < 0 { Incident::SetBack } else { Incident::SetAhead });
                if jump.abs() > YEAR {
                    self.count(Incident::SetByAYear);
                }
            }
            5 if self.climate.days => {
                let days = self.random.below(12);
                self.pass_days(peer, days);
            }
            6 if self.climate.days => {
                let days = self.random.below(12);
                self.days_for_all(days);
            }
            7 if self.climate.losses && self.gone.len() < self.founders / 3 => self.lose(peer),
            7 if self.climate.absences => self.leave(peer),
            8 | 9 if self.climate.subscriptions => self.change_subscriptions(peer),
            10 if self.climate.copies
                && self.peers.len() < self.founders + MAX_COPIES
                && self.peers[peer].boots > 0 =>
            {
                self.copy(peer);
            }
            11 if self.climate.restores => self.restore(peer),
            12 if self.climate.scopes => self.keep_back(peer),
            _ => {}
        }
    }

    /// No message passes between two parts of the network.
    fn divide(&mut self) {
        if self.links.iter().any(|link| link.severed) {
            return;
        }
        let part: Vec<bool> = self.peers.iter().map(|_| self.random.percent(50)).collect();
        self.note(|| format!("the network is divided: {part:?}"));
        if self.links.iter().any(|link| part[link.ends[0]] != part[link.ends[1]]) {
            self.count(Incident::Partition);
        }
        for link in 0..self.links.len() {
            let [a, b] = self.links[link].ends;
            if part[a] != part[b] {
                self.links[link].severed = true;
                self.end_link(link);
            }
        }
        let delay = self.random.between(500, 8_000);
        self.schedule(delay, Happening::Heal);
    }

    pub(crate) fn heal(&mut self) {
        self.note(|| "the network is whole".to_owned());
        if self.links.iter().any(|link| link.severed) {
            self.count(Incident::Heal);
        }
        for link in 0..self.links.len() {
            if std::mem::take(&mut self.links[link].severed) {
                let delay = self.random.between(1, 500);
                self.schedule(delay, Happening::Connect { link });
            }
        }
    }

    fn days_for_all(&mut self, days: u64) -> u64 {
        (0..self.peers.len()).map(|peer| self.pass_days(peer, days)).sum()
    }

    /// A peer leaves, and comes back after seconds, or after weeks in which the others forget.
    fn leave(&mut self, peer: usize) {
        if self.peers[peer].process.is_none() {
            return;
        }
        self.note(|| format!("peer {peer} leaves"));
        self.end_process(peer, Loss::Nothing);
        self.peers[peer].away = true;
        self.count(Incident::Leave);
        if self.random.percent(60) {
            let days = self.random.between(5, 30);
            self.peers[peer].missed_burials = self.days_for_all(days) > 0;
        }
        let delay = self.random.between(100, 15_000);
        self.schedule(delay, Happening::Return { peer });
    }

    /// What a peer has of a collection stays at home for a while.
    fn keep_back(&mut self, peer: usize) {
        let scopes = *self.random.choose(&["{'pairs': 'LocalPeerOnly'}", "{'plants': 'LocalPeerOnly'}"]);
        if self.set_scopes(peer, &format!("ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = {scopes}")) {
            self.count(Incident::KeptBack);
        }
        let delay = self.random.between(500, 10_000);
        self.schedule(delay, Happening::Release { peer });
    }

    /// Everything of a peer may travel.
    pub(crate) fn release(&mut self, peer: usize) {
        if self.set_scopes(peer, "ALTER SYSTEM RESET USER_COLLECTION_SYNC_SCOPES") {
            self.count(Incident::Release);
        }
    }

    /// False if the peer is not there, or its disk fails.
    fn set_scopes(&mut self, peer: usize, statement: &str) -> bool {
        if self.peers[peer].process.is_none() || self.peers[peer].failed {
            return false;
        }
        // A session that would have brought the rest of something ends, and the next one may not.
        self.excuse_all_parts();
        let outcome = self.execute(peer, statement, &Object::default());
        if let Err(error) = &outcome {
            self.failed(peer, error);
        }
        self.pump(peer);
        outcome.is_ok()
    }

    /// A peer leaves for good.
    fn lose(&mut self, peer: usize) {
        if self.peers[peer].process.is_none() {
            return;
        }
        self.note(|| format!("peer {peer} leaves for good"));
        self.end_process(peer, Loss::Nothing);
        self.peers[peer].away = true;
        self.gone.insert(peer);
        self.count(Incident::Gone);
    }

    /// An image of the disk is made, or takes the place of the disk.
    fn restore(&mut self, peer: usize) {
        if self.peers[peer].image.is_none() {
            self.note(|| format!("an image of peer {peer} is made"));
            self.receipts.take_image(peer);
            self.count(Incident::Image);
            let seed = self.random.draw();
            return self.peers[peer].take_image(seed);
        }
        if self.peers[peer].process.is_none() {
            return;
        }
        self.note(|| format!("the image of peer {peer} is restored"));
        self.end_process(peer, Loss::Nothing);
        self.restore_image(peer);
        self.schedule(500, Happening::Start { peer });
    }
}
