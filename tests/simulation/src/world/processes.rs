//! Processes begin and end, disks fail and are replaced, and days pass.

use ditto_storage::Loss;
use ditto_store::StoreError;

use crate::excuses::Look;
use crate::incident::{Incident, count};
use crate::oracle;
use crate::peer::Peer;
use crate::sabotage::Sabotage;
use crate::tally;
use crate::world::{Happening, World};

/// No reaping has more steps than this.
const MAX_REAPING_STEPS: usize = 100;

impl World {
    /// An application's statement, or its disk, failed.
    pub(crate) fn failed(&mut self, peer: usize, error: &StoreError) {
        if matches!(error, StoreError::Storage(_)) {
            self.disk_failed(peer, &error.to_string());
        } else {
            self.verdicts.push(format!("peer {peer}: {error}"));
        }
    }

    /// What an application does when its disk fails: it starts again, or waits until there is room.
    pub(crate) fn disk_failed(&mut self, peer: usize, error: &str) {
        if self.peers[peer].process.is_none() || self.peers[peer].failed {
            return;
        }
        self.note(|| format!("peer {peer}: {error}"));
        self.peers[peer].has_failed = true;
        self.count(if self.peers[peer].is_full { Incident::FullDisk } else { Incident::FailedDisk });
        if self.random.percent(50) {
            return self.crash(peer);
        }
        self.peers[peer].failed = true;
        self.end_links_of(peer);
        self.schedule(1_000, Happening::Recover { peer });
    }

    pub(super) fn recover(&mut self, peer: usize) {
        if !self.peers[peer].failed {
            return;
        }
        match self.peers[peer].recover() {
            Ok(()) => {
                self.note(|| format!("peer {peer} has recovered"));
                self.count(Incident::Recovery);
                self.verdicts.extend(self.peers[peer].lost.take());
                let found = oracle::receipts(self, peer);
                self.verdicts.extend(found);
                self.connect_all(peer);
                self.pump(peer);
                self.look_at_transactions(peer, Look::Changed);
            }
            Err(_) => self.schedule(1_000, Happening::Recover { peer }),
        }
    }

    /// The process ends; another one begins soon.
    pub(crate) fn crash(&mut self, peer: usize) {
        if self.peers[peer].process.is_none() {
            return;
        }
        let loss = *self.random.choose(&[Loss::Nothing, Loss::SomeUnsynced, Loss::AllUnsynced]);
        let has_tail = loss != Loss::Nothing && self.peers[peer].storage.unsynced_commits() > 0;
        self.count(if has_tail { Incident::PowerLoss } else { Incident::Crash });
        self.end_process(peer, loss);
        let delay = self.random.between(1, 2_000);
        self.schedule(delay, Happening::Start { peer });
    }

    /// The process ends.
    pub fn end_process(&mut self, peer: usize, loss: Loss) {
        self.note(|| format!("peer {peer} ends: {loss:?}"));
        self.end_links_of(peer);
        self.tally_process(peer);
        self.peers[peer].crash(loss);
    }

    /// What the process of a peer has done, which ends or is looked at for the last time.
    pub(super) fn tally_process(&mut self, peer: usize) {
        if let Some(process) = &self.peers[peer].process {
            tally::mechanisms(&mut self.tally, process.replicator.mechanisms());
        }
    }

    /// The process begins, unless it runs, or is not there.
    pub fn start(&mut self, peer: usize) {
        let is_lost = self.shared.sabotage == Some(Sabotage::LostPeers) && peer == 1;
        if self.peers[peer].process.is_some() || self.peers[peer].away || is_lost {
            return;
        }
        self.note(|| format!("peer {peer} starts"));
        let now = self.now;
        let is_restored = self.peers[peer].restoring;
        match self.peers[peer].start(now) {
            Ok(()) => {
                if is_restored {
                    self.receipts.restore(peer);
                }
                self.verdicts.extend(self.peers[peer].lost.take());
                let found = oracle::receipts(self, peer);
                self.verdicts.extend(found);
                for link in self.links_of(peer) {
                    let found = oracle::checkpoints(self, link);
                    self.verdicts.extend(found);
                }
                self.look_at_transactions(peer, Look::Opened);
                self.connect_all(peer);
                self.pump(peer);
            }
            Err(ditto_store::OpenError::Storage(_)) => {
                self.count(Incident::FailedOpening);
                self.peers[peer].crash(Loss::AllUnsynced);
                self.schedule(1_000, Happening::Start { peer });
            }
            Err(error) => self.verdicts.push(format!("peer {peer} cannot be opened again: {error}")),
        }
    }

    /// The disk of a peer that is down is replaced by its image. What others have in part of what it told since may be
    /// lost.
    pub fn restore_image(&mut self, peer: usize) {
        self.restores += 1;
        self.count(Incident::Restoration);
        self.lose_the_rest(peer);
        self.excuse_all_parts();
        let seed = self.random.draw();
        self.peers[peer].restore(seed);
    }

    /// Somebody uses the disk of a peer a second time, on another machine with a key of its own.
    pub(crate) fn copy(&mut self, original: usize) {
        let number = self.peers.len();
        let seed = self.random.draw();
        let copy = Peer::copy_of(&self.peers[original], number, seed);
        self.peers.push(copy);
        self.note(|| format!("peer {number} is a copy of peer {original}"));
        self.count(Incident::Copy);
        let mut neighbours: Vec<usize> =
            self.links_of(original).into_iter().map(|link| self.links[link].other(original)).collect();
        neighbours.truncate(2);
        neighbours.push(original);
        for neighbour in neighbours {
            self.add_link(neighbour, number);
        }
        self.schedule(1, Happening::Start { peer: number });
        self.schedule(2, Happening::Write { peer: number });
    }

    /// Time passes at one peer, and what is due is buried.
    pub fn pass_days(&mut self, peer: usize, days: u64) -> u64 {
        let mut buried = 0;
        for _ in 0..days {
            self.peers[peer].shift_clock(86_400_000);
            let Some(process) = &self.peers[peer].process else { continue };
            let store = process.store.clone();
            for _ in 0..MAX_REAPING_STEPS {
                match store.reap() {
                    Ok(reaped) => {
                        buried += reaped.buried;
                        if reaped.again_in_ms > 1_000 {
                            break;
                        }
                    }
                    Err(error) => {
                        self.failed(peer, &error);
                        break;
                    }
                }
            }
        }
        self.note(|| format!("{days} days pass at peer {peer}, which buries {buried}"));
        if self.stormy {
            count(&mut self.tally, Incident::Days, days);
            count(&mut self.tally, Incident::Burial, buried);
        }
        self.pump(peer);
        buried
    }
}
