//! What happens next, and when.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use crate::incident::Incident;
use crate::intruder::Intrusion;
use crate::oracle;
use crate::sabotage::Sabotage;
use crate::world::{MINUTE_MS, World};

/// Until all is quiet, or in a minute of a storm, at most this happens for each peer, each link and each minute of storms of a world,
/// which is how much there may be to tell. A world in which more happens does not come to rest.
const MOST_HAPPENINGS: u64 = 20_000;

/// A happening.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    /// A message leaves a link that has not ended since.
    Arrival { link: usize, epoch: u64, side: usize, bytes: Vec<u8> },
    /// The peer syncs its store, if it is the process of that number.
    Sync { peer: usize, boot: u64 },
    /// Time passes at the peer.
    Tick { peer: usize },
    /// The application does something.
    Write { peer: usize },
    /// The link breaks, if it has not ended since.
    Break { link: usize, epoch: u64 },
    /// The link comes up if it can.
    Connect { link: usize },
    /// The process begins again.
    Start { peer: usize },
    /// A peer that was away comes back.
    Return { peer: usize },
    /// What a peer has kept to itself may travel again.
    Release { peer: usize },
    /// There is room on the disk again.
    Room { peer: usize },
    /// A failed storage is tried again.
    Recover { peer: usize },
    /// Something goes wrong.
    Fault,
    /// The network is whole again.
    Heal,
    /// Positions are compared with what is held.
    Inspect { link: usize },
    /// A liar does something.
    Intrusion(Intrusion),
}

impl World {
    pub(crate) fn schedule(&mut self, delay: u64, happening: Happening) {
        self.happenings += 1;
        self.queue.push(Reverse((self.now + delay, self.happenings, happening)));
    }

    /// Lets everything happen up to a moment.
    pub fn until(&mut self, end: u64) {
        let (mut since, mut happened) = (self.now, 0);
        while let Some(Reverse((time, _, _))) = self.queue.peek()
            && *time <= end
            && self.verdicts.is_empty()
        {
            let Some(Reverse((time, _, happening))) = self.queue.pop() else { break };
            self.set_now(self.now.max(time));
            if self.stormy && self.now >= since + MINUTE_MS {
                (since, happened) = (self.now, 0);
            }
            self.happen(happening);
            happened += 1;
            if happened > self.most_happenings() {
                self.verdicts.push("there is no end to it".to_owned());
            }
        }
        self.set_now(end);
    }

    fn most_happenings(&self) -> u64 {
        (self.peers.len() + self.links.len()) as u64 * (1 + self.duration / MINUTE_MS) * MOST_HAPPENINGS
    }

    fn set_now(&mut self, now: u64) {
        self.now = now;
        self.shared.clock.store(now, Ordering::Relaxed);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { link, epoch, side, bytes } => self.arrive(link, epoch, side, &bytes),
            Happening::Sync { peer, boot } => {
                if self.peers[peer].boots == boot && self.peers[peer].sync_due == Some(self.now) {
                    self.peers[peer].sync_due = None;
                    self.sync(peer);
                }
            }
            Happening::Tick { peer } => {
                if self.peers[peer].tick_due == Some(self.now) {
                    self.peers[peer].tick_due = None;
                    let now = self.now;
                    self.with(peer, |process| {
                        if process.replicator.next_timeout().is_some_and(|at| at <= now) {
                            process.replicator.tick(&mut process.replica, now);
                        }
                    });
                }
            }
            Happening::Write { peer } => self.application(peer),
            Happening::Break { link, epoch } => {
                if self.links[link].epoch == epoch {
                    self.count(Incident::Broken);
                    self.break_link(link);
                }
            }
            Happening::Connect { link } => {
                self.connect(link);
                if self.shared.sabotage == Some(Sabotage::EndlessDialling) {
                    self.schedule(0, Happening::Connect { link });
                }
            }
            Happening::Start { peer } => self.start(peer),
            Happening::Return { peer } => {
                self.peers[peer].away = false;
                self.count(Incident::Return);
                if std::mem::take(&mut self.peers[peer].missed_burials) {
                    self.count(Incident::LateReturn);
                }
                self.start(peer);
            }
            Happening::Release { peer } => self.release(peer),
            Happening::Room { peer } => self.peers[peer].set_full(false),
            Happening::Recover { peer } => self.recover(peer),
            Happening::Intrusion(intrusion) => self.intrude(intrusion),
            Happening::Fault => self.fault(),
            Happening::Heal => self.heal(),
            Happening::Inspect { link } => {
                let found = oracle::positions(self, link);
                self.verdicts.extend(found);
                if self.stormy {
                    let delay = self.random.between(2_000, 10_000);
                    self.schedule(delay, Happening::Inspect { link });
                }
            }
        }
    }
}
