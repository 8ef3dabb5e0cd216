//! The peers, what is between them, and what happens next: one thread, virtual time, one seed.
//!
//! | file | what |
//! | --- | --- |
//! | `happenings` | what happens next, and when |
//! | `rounds` | storms and peace in turns, each judged |
//! | `turn` | one process acts, and what it asks for is done |
//! | `processes` | processes begin and end, with their disks |
//! | `dialling` | links come up and end |

mod dialling;
mod happenings;
mod processes;
mod rounds;
mod turn;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ditto_crdt::Birth;
use ditto_replication::Sizes;

use crate::climate::Climate;
use crate::contested;
use crate::excuses::Excuses;
use crate::incident::{Incident, count};
use crate::intruder::{self, Intruder};
use crate::network::{Link, Quality};
use crate::oracle::receipts::Receipts;
use crate::oracle::stale::Debt;
use crate::peer::{Peer, Shared};
use crate::random::Random;
use crate::sabotage::Sabotage;
use crate::sizes;
use crate::spanning;
use crate::tally::{self, Tally};
use crate::topology::Shape;
use crate::trace::Trace;

pub(crate) use happenings::Happening;
pub use rounds::PEACE_MS;

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
    /// Deletions that applications made, or that failed and may have been made.
    pub deletions: u64,
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
const MINUTE_MS: u64 = 60_000;
const YEAR_MS: i64 = 365 * 24 * 60 * 60_000;

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
            deletions: 0,
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

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        self.trace.note(self.now - START, what);
    }

    /// The peer of an id.
    #[must_use]
    pub fn peer_of(&self, id: &[u8; 32]) -> Option<usize> {
        (0..self.peers.len()).find(|peer| self.peers[*peer].key.0 == *id)
    }
}
