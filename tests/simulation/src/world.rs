//! The peers, what is between them, and what happens next: one thread, virtual time, one seed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ditto_crdt::{Birth, Sequence};
use ditto_replication::limits::{MAX_BUFFERED_BYTES, MAX_QUEUE_BYTES};
use ditto_replication::{CloseReason, Event, Replica, Sizes, Violation};
use ditto_storage::{Keyspace, Loss};
use ditto_store::StoreError;

use crate::climate::Climate;
use crate::contested;
use crate::excuses::{Excuses, Look};
use crate::incident::{Incident, count};
use crate::intruder::{self, Intruder, Intrusion, TO_INTRUDER};
use crate::network::{Fate, Link, Quality};
use crate::older::without_capabilities;
use crate::oracle::receipts::Receipts;
use crate::oracle::stale::Debt;
use crate::oracle::{self, sanity};
use crate::peer::{Peer, Process, Shared};
use crate::random::Random;
use crate::sabotage::Sabotage;
use crate::sizes;
use crate::spanning;
use crate::tally::{self, Tally};
use crate::topology::{self, Shape};
use crate::trace::Trace;

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

/// Whether everybody subscribes to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanting {
    /// All peers end equal.
    Everything,
    /// Each has a part.
    Parts,
}

/// What a world is made from.
#[derive(Clone, Copy)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// `None`: the seed decides.
    pub peers: Option<usize>,
    /// Length of the storms together, in milliseconds.
    pub storm_ms: u64,
    /// Whether the trace is kept.
    pub traced: bool,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
    /// Whether peers may have smaller [`sizes`] than in production; the seed decides.
    pub small: bool,
}

impl Settings {
    /// The world of a seed, one minute long.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed, peers: None, storm_ms: 60_000, traced: false, sabotage: None, small: true }
    }
}

/// Everything that there is.
pub struct World {
    /// The peers.
    pub peers: Vec<Peer>,
    /// Those that were there from the beginning; the others run on copies of their disks.
    pub founders: usize,
    /// Those that have left for good.
    pub gone: BTreeSet<usize>,
    /// Somebody who lies.
    pub intruder: Option<Intruder>,
    /// The links.
    pub links: Vec<Link>,
    /// How the links behave in a storm.
    qualities: Vec<[Quality; 2]>,
    /// Which faults there are.
    pub climate: Climate,
    /// Who wants what.
    pub wanting: Wanting,
    /// Peers may have small sizes: then things take longer and cost more.
    pub small: bool,
    /// Each application inserts ids of its own only.
    pub own_ids: bool,
    /// The dice.
    pub random: Random,
    /// Those of registers that everybody writes, if there are such.
    pub(crate) contention: Option<Random>,
    /// Those of transactions over several collections, if there are such.
    pub(crate) spanning: Option<Random>,
    /// Milliseconds.
    pub now: u64,
    pub(crate) shared: Shared,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    happenings: u64,
    /// Whether faults and writes still happen.
    pub stormy: bool,
    /// Whether scopes may hold back collections: subscriptions to them are refused.
    pub scoped: bool,
    /// Ticks come less than so many milliseconds after their time, at random.
    pub tardiness: u64,
    /// What happened.
    pub trace: Trace,
    /// Differs between two runs that differ in any message.
    pub fingerprint: u64,
    /// Where parts of transactions may be seen although nobody says so.
    pub(crate) excuses: Excuses,
    /// What was acknowledged.
    pub(crate) receipts: Receipts,
    /// Births that somebody may have deleted who had seen them.
    pub(crate) deleted_births: BTreeSet<Birth>,
    /// What must be given back to who has sent stale copies.
    pub(crate) debts: Vec<Debt>,
    /// What was found to be wrong on the way.
    pub verdicts: Vec<String>,
    /// When a store changed last.
    pub last_change: u64,
    /// More than there may be waited in a session, in words.
    pub overfull: Option<String>,
    /// Bytes of changes that applications made, packed.
    pub change_bytes: u64,
    /// How often two peers were connected.
    pub meetings: u64,
    /// How often the disk of a peer was replaced by an older image.
    pub restores: u64,
    /// How many documents those changed.
    pub changes: u64,
    /// How often what ran.
    pub tally: Tally,
    pub(crate) counter: u64,
    duration: u64,
}

/// When every world begins.
pub const START: u64 = 1_700_000_000_000;
/// Until all is quiet, or in a minute of a storm, at most this happens for each peer, each link and each minute of storms of a world,
/// which is how much there may be to tell. A world in which more happens does not come to rest.
const MOST_HAPPENINGS: u64 = 20_000;
const MINUTE_MS: u64 = 60_000;
const YEAR_MS: i64 = 365 * 24 * 60 * 60_000;
/// A world that lasts longer comes to rest so often.
const LONGEST_STORM_MS: u64 = 60 * MINUTE_MS;
/// In a storm a tick comes less than this after its time.
const TARDINESS_MS: u64 = 20;
/// From this latency on a few turns take as long as anybody waits.
const SLOW_MS: u64 = 1_000;
/// No reaping has more steps than this.
const MAX_REAPING_STEPS: usize = 100;
/// After so much time in peace nothing moves any more …
pub const PEACE_MS: u64 = 600_000;
/// … nor after so much where a few documents at a time are under way.
const SMALL_PEACE_MS: u64 = 6 * PEACE_MS;

impl World {
    /// The world of one seed, before anything has happened.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let mut random = Random::new(settings.seed);
        let mut climate = Climate::draw(&mut random);
        // By the number of the seed. What a newer build writes comes instead of indexes and INITIAL.
        climate.newer = matches!(settings.seed % 10, 3 | 7) && !climate.is_calm();
        let drawn = match random.below(100) {
            0..30 => 2,
            30..70 => random.between(3, 5),
            70..92 => random.between(6, 10),
            92..99 => random.between(11, 30),
            _ => random.between(31, 100),
        };
        let peers = settings.peers.unwrap_or(usize::try_from(drawn).unwrap_or(2)).max(2);
        let shape = Shape::draw(&mut random, peers);
        let edges = shape.edges(&mut random, peers);
        let mut world = Self::empty(random, climate, settings.traced, settings.sabotage);
        world.duration = settings.storm_ms;
        world.contention = contested::dice(settings.seed);
        world.spanning = spanning::dice(settings.seed).filter(|_| !world.climate.scopes);
        world.note(|| format!("{peers} peers, {shape:?}, {:?}", settings.seed));
        let mut dice = sizes::dice(settings.seed);
        world.small = settings.small && dice.percent(80);
        for _ in 0..peers {
            let skew = world.climate.skew(&mut world.random);
            let sizes = if world.small { sizes::draw(&mut dice) } else { Sizes::default() };
            world.note(|| format!("{sizes:?}"));
            world.add_peer(skew, sizes);
        }
        // By the number of the seed, too. Where messages are slow, peers that are slow as well would take the time for which they are looked at.
        if settings.seed.is_multiple_of(10) && world.climate.latency <= 10 {
            world.peers.iter_mut().for_each(|peer| peer.read_ms = [0, 1, 30, 700][peer.number % 4]);
            let slow = world.peers.iter().filter(|peer| peer.read_ms > 0).count();
            count(&mut world.tally, Incident::Slow, slow as u64);
        }
        // Where some write what others do not know, some refuse what others write.
        if world.climate.newer {
            world.peers.iter_mut().for_each(|peer| peer.refuses = peer.number % 2 == 1);
        }
        let spans = world.spanning.is_some();
        world.peers.iter_mut().for_each(|peer| peer.spans = spans);
        for (a, b) in edges {
            world.add_link(a, b);
        }
        if let Some(lies) = intruder::comes_to(settings.seed).filter(|_| !world.climate.is_calm()) {
            world.admit_intruder(lies);
        }
        world.choose_subscriptions();
        for peer in 0..world.peers.len() {
            world.peers[peer].older = world.climate.older && world.random.percent(40);
            count(&mut world.tally, Incident::Older, u64::from(world.peers[peer].older));
        }
        let climate = world.climate.clone();
        world.note(|| format!("{climate:?}"));
        world
    }

    /// A world in which nothing happens by itself.
    #[must_use]
    pub fn scripted(seed: u64, peers: usize, edges: &[(usize, usize)]) -> Self {
        Self::spoilt(seed, peers, edges, None)
    }

    /// The same, with what is broken on purpose.
    #[must_use]
    pub fn spoilt(seed: u64, peers: usize, edges: &[(usize, usize)], sabotage: Option<Sabotage>) -> Self {
        let climate = Climate { latency: 5, ..Climate::default() };
        let mut world = Self::empty(Random::new(seed), climate, true, sabotage);
        world.stormy = false;
        for _ in 0..peers {
            world.add_peer(0, Sizes::default());
        }
        for (a, b) in edges {
            world.add_link(*a, *b);
        }
        world
    }

    fn empty(random: Random, climate: Climate, traced: bool, sabotage: Option<Sabotage>) -> Self {
        Self {
            peers: Vec::new(),
            founders: 0,
            gone: BTreeSet::new(),
            intruder: None,
            links: Vec::new(),
            qualities: Vec::new(),
            climate,
            wanting: Wanting::Everything,
            small: false,
            own_ids: false,
            random,
            contention: None,
            spanning: None,
            now: START,
            shared: Shared { clock: Arc::new(AtomicU64::new(START)), sabotage },
            queue: BinaryHeap::new(),
            happenings: 0,
            stormy: true,
            scoped: false,
            tardiness: 0,
            trace: Trace::new(traced),
            fingerprint: 0,
            excuses: Excuses::default(),
            receipts: Receipts::default(),
            deleted_births: BTreeSet::new(),
            debts: Vec::new(),
            verdicts: Vec::new(),
            last_change: START,
            overfull: None,
            change_bytes: 0,
            meetings: 0,
            restores: 0,
            changes: 0,
            tally: tally::empty(),
            counter: 0,
            duration: 0,
        }
    }

    fn add_peer(&mut self, skew: i64, sizes: Sizes) {
        let number = self.peers.len();
        let seed = self.random.draw();
        count(&mut self.tally, Incident::YearsWrong, u64::from(skew.abs() >= YEAR_MS));
        self.peers.push(Peer::new(number, seed, skew, sizes, self.shared.clone()));
        self.founders = self.peers.len();
    }

    /// Adds a link that is down.
    pub fn add_link(&mut self, a: usize, b: usize) -> usize {
        let quality = [0; 2].map(|_| self.climate.quality(&mut self.random));
        let is_asymmetric = quality[0].latency != quality[1].latency;
        count(&mut self.tally, Incident::Asymmetric, u64::from(is_asymmetric));
        self.qualities.push(quality);
        self.links.push(Link::new([a, b], quality));
        self.links.len() - 1
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        self.trace.note(self.now - START, what);
    }

    pub(crate) fn schedule(&mut self, delay: u64, happening: Happening) {
        self.happenings += 1;
        self.queue.push(Reverse((self.now + delay, self.happenings, happening)));
    }

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
        let is_there = |link: &&Link| link.ends.iter().all(|end| !self.gone.contains(end));
        let edges: Vec<_> =
            self.links.iter().filter(is_there).map(|link| (link.ends[0], link.ends[1])).collect();
        let slowest = self.links.iter().flat_map(|link| link.quality).map(|quality| quality.latency).max();
        let messages = MESSAGES + if self.intruder.is_some() { MORE_AFTER_LIES } else { 0 };
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

    fn arrive(&mut self, link: usize, epoch: u64, side: usize, bytes: &[u8]) {
        if self.links[link].epoch != epoch {
            return;
        }
        let wire = &mut self.links[link];
        let was_full = wire.is_full(side);
        wire.deliver(side, bytes.len());
        let (from, to) = (wire.ends[side], wire.ends[1 - side]);
        let is_free = was_full && !wire.is_full(side);
        self.imprint(bytes);
        self.fingerprint ^= self.now ^ link as u64;
        let now = self.now;
        self.with(to, |process| {
            if let Some(session) = process.sessions.get(&link) {
                process.replicator.receive(*session, bytes, &mut process.replica, now);
            }
        });
        if is_free && self.links[link].epoch == epoch {
            self.with(from, |process| {
                if let Some(session) = process.sessions.get(&link) {
                    process.replicator.set_blocked(*session, false);
                }
            });
        }
    }

    pub(crate) fn imprint(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.fingerprint = (self.fingerprint ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Lets a process act and carries out what it asks for.
    pub(crate) fn with(&mut self, peer: usize, act: impl FnOnce(&mut Process)) {
        let Some(process) = &mut self.peers[peer].process else { return };
        act(process);
        self.pump(peer);
    }

    /// Sends, looks at events, and makes appointments.
    pub(crate) fn pump(&mut self, peer: usize) {
        let now = self.now;
        let sizes = self.peers[peer].sizes;
        let usual = sanity::usual_length(self.climate.large);
        let Some(process) = &mut self.peers[peer].process else { return };
        process.replicator.committed(&mut process.replica, now);
        for (link, session) in &process.sessions {
            // Who asks for more than it reads is answered until that is too much.
            let bound = |longest| match *link == TO_INTRUDER {
                true => MAX_QUEUE_BYTES,
                false => sanity::most_queued(&sizes, longest),
            };
            let times = if self.shared.sabotage == Some(Sabotage::DeepQueues) { 1_000 } else { 1 };
            let queued = times * process.replicator.queued_bytes(*session);
            if queued > bound(usual) {
                let most = bound(usual.max(sanity::longest_document(process)));
                if queued > most {
                    self.overfull = Some(format!("{queued} bytes waited in one session, more than {most}"));
                }
            }
        }
        self.look_at_buffers(peer);
        self.take_receipts(peer);
        self.take_stale_copies(peer);
        self.send(peer);
        let is_whole_again = self.peers[peer].look_for_tears();
        let Some(process) = &mut self.peers[peer].process else { return };
        let mut events = Vec::new();
        while let Some(event) = process.replicator.poll_event() {
            let is_kept_back = self.shared.sabotage == Some(Sabotage::UnreportedLeavings)
                && matches!(event, Event::DocumentsLeft { .. });
            if !matches!(event, Event::Progress { .. }) && !is_kept_back {
                events.push(event);
            }
        }
        let timeout = process.replicator.next_timeout();
        let unsynced = process.replicator.awaits_durability()
            || process.store.durable_sequence() < process.store.last_sequence();
        let last = process.store.last_sequence();
        let has_changed = last > self.peers[peer].seen;
        if has_changed {
            let seen = std::mem::replace(&mut self.peers[peer].seen, last);
            self.last_change = now;
            self.trace
                .note(now - START, || format!("peer {peer} changes {}", self.peers[peer].changed(seen)));
            if let Some(half) = oracle::half_document(&self.peers[peer], seen) {
                self.note(|| half.clone());
                self.verdicts.push(half);
            }
        }
        if events.iter().any(|event| matches!(event, Event::LeftInPart { .. })) {
            self.look_at_transactions(peer, Look::Opened);
        } else if has_changed || is_whole_again {
            self.look_at_transactions(peer, Look::Changed);
        }
        if let Some(timeout) = timeout {
            // Whoever is busy looks at the clock late.
            let late = self.random.below(self.tardiness.max(1));
            let due = timeout.max(now + 1) + late;
            if self.peers[peer].tick_due.is_none_or(|present| due < present) {
                self.peers[peer].tick_due = Some(due);
                self.schedule(due - now, Happening::Tick { peer });
            }
        }
        if unsynced && self.peers[peer].sync_due.is_none() {
            let late = if self.shared.sabotage == Some(Sabotage::LateSyncs) { 20_000 } else { 0 };
            let delay = self.random.between(1, 30) + late;
            self.peers[peer].sync_due = Some(now + delay);
            let boot = self.peers[peer].boots;
            self.schedule(delay, Happening::Sync { peer, boot });
        }
        self.look_at_leavings(peer, &events);
        for event in events {
            self.note(|| format!("peer {peer}: {event:?}"));
            if self.react(peer, &event) {
                self.peers[peer].events.push(event);
            } else {
                return self.disk_failed(peer, "it failed in a session");
            }
        }
    }

    /// What waits of what has come.
    fn look_at_buffers(&mut self, peer: usize) {
        let usual = sanity::usual_length(self.climate.large);
        let Some(process) = &self.peers[peer].process else { return };
        let own = &self.peers[peer].sizes;
        for (link, session) in &process.sessions {
            let mut buffered = process.replicator.buffered(*session);
            match self.shared.sabotage {
                Some(Sabotage::DeepBuffers) => {
                    buffered.documents *= 1_000;
                    buffered.counted *= 1_000;
                }
                Some(Sabotage::UncountedBuffers) => buffered.counted = 0,
                _ => {}
            }
            let most = |longest| match self.links.get(*link) {
                Some(wire) => sanity::most_buffered(own, &self.peers[wire.other(peer)].sizes, longest),
                // It sends what it likes.
                None => MAX_BUFFERED_BYTES,
            };
            if sanity::wrong_buffer(buffered, most(usual)).is_some() {
                let processes = self.peers.iter().filter_map(|peer| peer.process.as_ref());
                let longest = processes.map(sanity::longest_document).max().unwrap_or(0);
                if let Some(wrong) = sanity::wrong_buffer(buffered, most(longest.max(usual))) {
                    self.overfull = Some(wrong);
                }
            }
        }
    }

    fn send(&mut self, peer: usize) {
        let older: Vec<bool> = self.peers.iter().map(|peer| peer.older).collect();
        loop {
            let Some(process) = &mut self.peers[peer].process else { return };
            let Some((session, mut bytes)) = process.replicator.poll_transmit() else { return };
            tally::message(&mut self.tally, &bytes);
            let Some(link) = process.link(session) else { continue };
            if link == TO_INTRUDER {
                self.tell_intruder(peer, bytes);
                continue;
            }
            let wire = &mut self.links[link];
            let (side, epoch) = (wire.side(peer), wire.epoch);
            if wire.ends.iter().any(|end| older[*end]) {
                bytes = without_capabilities(bytes);
            }
            let fate = wire.send(side, bytes.len(), self.now, &mut self.random);
            count(&mut self.tally, Incident::Full, u64::from(wire.is_full(side)));
            if wire.is_full(side) || self.shared.sabotage == Some(Sabotage::EndlessWaiting) {
                process.replicator.set_blocked(session, true);
            }
            match (self.shared.sabotage, bytes.first_mut()) {
                (Some(Sabotage::AlteredMessages), Some(first)) if self.random.percent(1) => *first = 0xff,
                (Some(Sabotage::LostMessages), _) if !self.stormy && self.random.percent(5) => continue,
                _ => {}
            }
            match fate {
                Fate::Arrives(delay) => self.schedule(delay, Happening::Arrival { link, epoch, side, bytes }),
                Fate::Lost(delay) => {
                    self.count(Incident::Lost);
                    self.schedule(delay, Happening::Break { link, epoch });
                }
            }
        }
    }

    /// Does what an event asks for; false if the disk failed.
    fn react(&mut self, peer: usize, event: &Event) -> bool {
        match event {
            event if intruder::has_caused(event) => self.react_to_intruder(peer, event),
            Event::SessionFailed { reason: CloseReason::Replica(_), .. } => false,
            Event::SessionFailed { session, reason, .. } => {
                // On a line that is too narrow for what is said, or if that takes many turns of seconds, an answer may take
                // longer than anybody waits.
                let patient = matches!(reason, CloseReason::Violation(Violation::Timeout(_)));
                let many_turns = self.small && self.climate.latency >= SLOW_MS;
                let excused = patient && (self.climate.narrow && self.stormy || many_turns);
                if matches!(reason, CloseReason::Violation(_)) && !excused {
                    self.verdicts.push(format!("peer {peer}: {event:?}"));
                }
                count(&mut self.tally, Incident::Excused, u64::from(excused));
                let link = self.peers[peer].process.as_ref().and_then(|process| process.link(*session));
                if let Some(link) = link {
                    let epoch = self.links[link].epoch;
                    self.schedule(1, Happening::Break { link, epoch });
                }
                true
            }
            Event::ForkDetected { run, sequence, .. } => {
                if !self.peers[peer].forked {
                    self.verdicts.push(format!("peer {peer} is no copy, but {event:?}"));
                }
                self.count(Incident::Fork);
                self.excuse_all_parts();
                self.peers[peer].answer_fork(*run, *sequence).is_ok()
            }
            Event::SubscriptionRefused { .. } if self.scoped => {
                self.count(Incident::RefusedSubscription);
                // Where nothing comes any more nobody waits for the rest either.
                self.excuse_all_parts();
                true
            }
            Event::DocumentRefused { key, .. } if self.expects_refusal(peer, key) => true,
            Event::DocumentRefused { .. } | Event::SubscriptionRefused { .. } => {
                self.verdicts.push(format!("peer {peer}: {event:?}"));
                true
            }
            _ => true,
        }
    }

    fn sync(&mut self, peer: usize) {
        let now = self.now;
        let Some(process) = &mut self.peers[peer].process else { return };
        match process.store.sync() {
            Ok(_) if self.shared.sabotage == Some(Sabotage::ForgottenSyncs) && !self.stormy => {}
            Ok(durable) => {
                process.replicator.durable(durable, &mut process.replica, now);
                self.pump(peer);
            }
            Err(error) => self.disk_failed(peer, &error.to_string()),
        }
    }

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

    fn recover(&mut self, peer: usize) {
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
    fn tally_process(&mut self, peer: usize) {
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

    fn connect_all(&mut self, peer: usize) {
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

    fn connect(&mut self, link: usize) {
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
    fn break_link(&mut self, link: usize) {
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

    fn end_links_of(&mut self, peer: usize) {
        for link in self.links_of(peer) {
            self.end_link(link);
        }
        self.hang_up(peer);
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

    /// The peer of an id.
    #[must_use]
    pub fn peer_of(&self, id: &[u8; 32]) -> Option<usize> {
        (0..self.peers.len()).find(|peer| self.peers[*peer].key.0 == *id)
    }
}
