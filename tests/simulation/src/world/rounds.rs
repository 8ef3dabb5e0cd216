//! Storms and peace in turns; the world is judged after each.

use ditto_storage::Keyspace;

use crate::incident::{Incident, count};
use crate::network::{Link, Quality};
use crate::oracle;
use crate::sabotage::Sabotage;
use crate::topology;
use crate::world::{Happening, MINUTE_MS, Wanting, World};

/// A world that lasts longer comes to rest so often.
const LONGEST_STORM_MS: u64 = 60 * MINUTE_MS;
/// In a storm a tick comes less than this after its time.
const TARDINESS_MS: u64 = 20;
/// After so much time in peace nothing moves any more …
pub const PEACE_MS: u64 = 600_000;
/// … nor after so much where a few documents at a time are under way.
const SMALL_PEACE_MS: u64 = 6 * PEACE_MS;

impl World {
    /// Storms and peace in turns; judged after each. Ends with the first verdict.
    pub fn run(&mut self) {
        self.rounds();
        for peer in 0..self.peers.len() {
            self.tally_process(peer);
        }
    }

    fn rounds(&mut self) {
        let rounds = self.random.between(1, 2).max(self.duration / LONGEST_STORM_MS);
        for round in 0..rounds {
            self.storm(self.duration / rounds);
            self.note(|| format!("peace {round}"));
            self.peace();
            if self.verdicts.is_empty() {
                let verdicts = oracle::judge(self);
                self.verdicts.extend(verdicts);
            }
            if !self.verdicts.is_empty() {
                return;
            }
        }
        self.grow_old();
        let mut verdicts = std::mem::take(&mut self.verdicts);
        oracle::growth::of_storages(self, &mut verdicts);
        self.verdicts = verdicts;
    }

    fn storm(&mut self, duration: u64) {
        self.stormy = true;
        self.scoped = self.climate.scopes;
        self.tardiness = TARDINESS_MS;
        self.forget_excuses();
        for link in 0..self.links.len() {
            self.links[link].quality = self.qualities[link];
            let delay = self.random.below(2_000);
            self.schedule(delay, Happening::Connect { link });
            if self.wanting == Wanting::Everything {
                let delay = self.random.below(duration.max(1));
                self.schedule(delay, Happening::Inspect { link });
            }
        }
        for peer in 0..self.peers.len() {
            let late = self.peers[peer].boots == 0 && self.climate.absences && self.random.percent(30);
            let delay = if late { self.random.below(duration) } else { 0 };
            count(&mut self.tally, Incident::Late, u64::from(late));
            self.schedule(delay, Happening::Start { peer });
            self.schedule(delay + 1, Happening::Write { peer });
        }
        self.schedule(500, Happening::Fault);
        self.let_intruder_in();
        self.until(self.now + duration);
    }

    /// All faults end, everybody meets everybody that it has a link to, and time passes until nothing moves.
    fn peace(&mut self) {
        self.stormy = false;
        self.tardiness = 0;
        self.shut_intruder_out();
        for peer in 0..self.peers.len() {
            self.peers[peer].repair_disk();
            self.peers[peer].away = self.gone.contains(&peer);
            if self.peers[peer].failed {
                self.schedule(0, Happening::Recover { peer });
            }
            self.schedule(0, Happening::Start { peer });
        }
        for link in &mut self.links {
            link.severed = false;
            link.quality = link.quality.map(|quality| Quality { latency: quality.latency, ..Quality::GOOD });
        }
        self.until(self.now + 1);
        if self.climate.scopes {
            (0..self.peers.len()).for_each(|peer| self.release(peer));
            self.scoped = false;
        }
        for peer in 0..self.peers.len() {
            if self.resume(peer) {
                self.pump(peer);
            }
        }
        let begin = self.now;
        self.meet();
        if !self.verdicts.is_empty() {
            return;
        }
        let took = self.last_change.saturating_sub(begin);
        let bound = self.convergence_bound();
        if took > bound && !self.small {
            self.verdicts.push(format!("it took {took} ms until all was quiet, more than {bound}"));
        }
        if self.shared.sabotage == Some(Sabotage::StrayRows) {
            self.peers[0].put(Keyspace::Changes, &u64::MAX.to_be_bytes());
        }
        if self.links.iter().any(|link| !link.is_still()) {
            self.verdicts.push("messages are still under way".to_owned());
        }
    }

    /// How long convergence may take once all is well: so many messages one after another on each link of the longest way, a
    /// sync at each peer of it, and a position that is told late.
    fn convergence_bound(&self) -> u64 {
        const MESSAGES: u64 = 12;
        // One collection more is compared, of which everybody has other versions: that takes further questions and answers.
        const MORE_AFTER_LIES: u64 = 4;
        // A large document ends its batch, and each batch with a gap waits for an answer of its own.
        const MORE_WITH_LARGE: u64 = 8;
        let is_there = |link: &&Link| link.ends.iter().all(|end| !self.gone.contains(end));
        let edges: Vec<_> =
            self.links.iter().filter(is_there).map(|link| (link.ends[0], link.ends[1])).collect();
        let slowest = self.links.iter().flat_map(|link| link.quality).map(|quality| quality.latency).max();
        let more = |if_so: bool, messages| if if_so { messages } else { 0 };
        let messages = MESSAGES
            + more(self.intruder.is_some(), MORE_AFTER_LIES)
            + more(self.climate.large, MORE_WITH_LARGE);
        let hop = messages * slowest.unwrap_or(0) + 2_000;
        (topology::diameter(self.peers.len(), &edges) + 1) * hop
    }

    /// New links everywhere in peaceful times, and time for everything that follows.
    pub fn meet(&mut self) {
        for link in 0..self.links.len() {
            self.end_link(link);
        }
        for link in 0..self.links.len() {
            self.schedule(1, Happening::Connect { link });
        }
        self.until(self.now + if self.small { SMALL_PEACE_MS } else { PEACE_MS });
    }
}
