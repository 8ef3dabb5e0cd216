//! Two peers in one thread, from one seed: the real store on a disk that fails, the real protocol over a link
//! that breaks, in virtual time. What must hold at the end is in [`oracle`].
//!
//! A link is an ordered byte stream, as TCP is, so that "loss" means: it breaks, between any two messages, and what
//! was under way is gone.

pub mod oracle;
pub mod peer;
mod workload;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ditto_replication::{CloseReason, Event};
use ditto_storage::Loss;
use ditto_store::StoreError;

use ditto_tests::random::Random;
use peer::{Peer, Process};

/// A happening.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A message arrives, if the link of that number is still up.
    Arrival { link: u64, to: usize, bytes: Vec<u8> },
    /// The peer syncs its store, if it is the process of that number.
    Sync { peer: usize, boot: u64 },
    /// Time passes at the peer.
    Tick { peer: usize },
    /// The application does something.
    Write { peer: usize },
    /// The link breaks.
    Break,
    /// A new link.
    Connect,
    /// The process ends.
    Crash { peer: usize },
    /// The process begins again.
    Start { peer: usize },
}

/// The two peers, what is between them, and what happens next.
pub struct World {
    /// The peers.
    pub peers: [Peer; 2],
    /// The dice.
    pub random: Random,
    /// Milliseconds.
    pub now: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    happenings: u64,
    /// Number of the present link; even while there is none.
    link: u64,
    /// When the last message sent to each peer arrives.
    arrival: [u64; 2],
    latency: u64,
    /// Whether faults and writes still happen.
    stormy: bool,
    /// Bytes delivered so far.
    pub bytes: u64,
    /// What happened, for whoever looks for a bug.
    pub trace: Vec<String>,
    counter: u64,
    /// Whether each peer may insert any id, or only its own.
    shared_ids: bool,
}

const START: u64 = 1_700_000_000_000;

impl World {
    /// The world of one seed, before anything has happened.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let skews = [0, 0, 5_000, -3_600_000, 86_400_000 * 400];
        let peers = [0, 1].map(|number| Peer::new(number, random.draw(), *random.choose(&skews)));
        let latency = *random.choose(&[1, 10, 100, 1_000]);
        let mut world = Self {
            peers,
            random,
            now: START,
            queue: BinaryHeap::new(),
            happenings: 0,
            link: 0,
            arrival: [0; 2],
            latency,
            stormy: true,
            bytes: 0,
            trace: Vec::new(),
            counter: 0,
            shared_ids: false,
        };
        world.choose_subscriptions();
        world
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.trace.push(format!("{:>8} {}", self.now - START, what()));
    }

    fn schedule(&mut self, delay: u64, happening: Happening) {
        self.happenings += 1;
        self.queue.push(Reverse((self.now + delay, self.happenings, happening)));
    }

    /// Runs a storm of so many milliseconds, then peace until nothing happens any more.
    pub fn run(&mut self, duration: u64) {
        for peer in 0..2 {
            self.schedule(0, Happening::Start { peer });
            self.schedule(1, Happening::Write { peer });
        }
        let delay = self.random.below(2_000);
        self.schedule(delay, Happening::Connect);
        self.until(self.now + duration);
        self.stormy = false;
        for peer in 0..2 {
            self.peers[peer].repair_disk();
            if self.peers[peer].process.is_none() {
                self.schedule(0, Happening::Start { peer });
            }
        }
        self.until(self.now + 1);
        self.meet();
    }

    /// A new link in peaceful times, and time for everything that follows. Returns the bytes that it took.
    pub fn meet(&mut self) -> u64 {
        self.break_link();
        let before = self.bytes;
        self.schedule(1, Happening::Connect);
        self.until(self.now + 600_000);
        self.bytes - before
    }

    fn until(&mut self, end: u64) {
        while let Some(Reverse((time, _, _))) = self.queue.peek()
            && *time <= end
        {
            let Some(Reverse((time, _, happening))) = self.queue.pop() else { break };
            self.now = self.now.max(time);
            for peer in &self.peers {
                peer.at(self.now);
            }
            self.happen(happening);
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { link, to, bytes } => {
                if link != self.link {
                    return;
                }
                self.bytes += bytes.len() as u64;
                let now = self.now;
                self.with(to, |process| {
                    if let Some(session) = process.session {
                        process.replicator.receive(session, &bytes, &mut process.replica, now);
                    }
                });
            }
            Happening::Sync { peer, boot } => {
                if self.peers[peer].boots == boot && self.peers[peer].sync_due == Some(self.now) {
                    self.peers[peer].sync_due = None;
                    self.sync(peer);
                }
            }
            Happening::Tick { peer } => {
                let now = self.now;
                let due = |process: &Process| process.replicator.next_timeout().is_some_and(|at| at <= now);
                if self.peers[peer].process.as_ref().is_some_and(due) {
                    self.with(peer, |process| process.replicator.tick(&mut process.replica, now));
                }
            }
            Happening::Write { peer } => self.application(peer),
            Happening::Break => {
                if self.stormy {
                    self.break_link();
                    let delay = self.random.between(1, 3_000);
                    self.schedule(delay, Happening::Connect);
                }
            }
            Happening::Connect => self.connect(),
            Happening::Crash { peer } => {
                if self.stormy {
                    self.crash(peer);
                }
            }
            Happening::Start { peer } => {
                if self.peers[peer].process.is_none() {
                    let now = self.now;
                    self.note(|| format!("peer {peer} starts"));
                    if self.peers[peer].start(now).is_err() {
                        self.peers[peer].crash(Loss::AllUnsynced);
                        self.schedule(1_000, Happening::Start { peer });
                    } else {
                        self.schedule(1, Happening::Connect);
                    }
                }
            }
        }
    }

    /// Lets a process act and carries out what it asks for.
    fn with(&mut self, peer: usize, act: impl FnOnce(&mut Process)) {
        let Some(process) = &mut self.peers[peer].process else { return };
        act(process);
        self.pump(peer);
    }

    /// Sends, looks at events, and makes appointments.
    fn pump(&mut self, peer: usize) {
        let now = self.now;
        let Some(process) = &mut self.peers[peer].process else { return };
        process.replicator.committed(&mut process.replica, now);
        let mut messages = Vec::new();
        while let Some((session, bytes)) = process.replicator.poll_transmit() {
            if process.session == Some(session) {
                messages.push(bytes);
            }
        }
        let (mut failed, mut broken) = (false, false);
        let mut events = Vec::new();
        while let Some(event) = process.replicator.poll_event() {
            if let Event::SessionFailed { reason, .. } = &event {
                failed = true;
                broken |= matches!(reason, CloseReason::Replica(_));
            }
            events.push(event);
        }
        let timeout = process.replicator.next_timeout();
        let unsynced = process.replicator.awaits_durability()
            || process.store.durable_sequence() < process.store.last_sequence();
        for event in events {
            if !matches!(event, Event::Progress { .. }) {
                self.note(|| format!("peer {peer}: {event:?}"));
                self.peers[peer].events.push(event);
            }
        }
        for bytes in messages {
            let delay = self.random.between(self.latency / 2, self.latency * 2);
            let to = 1 - peer;
            self.arrival[to] = self.arrival[to].max(now + delay);
            let delay = self.arrival[to] - now;
            self.schedule(delay, Happening::Arrival { link: self.link, to, bytes });
        }
        if let Some(timeout) = timeout {
            self.schedule(timeout.saturating_sub(now).max(1), Happening::Tick { peer });
        }
        if unsynced && self.peers[peer].sync_due.is_none() {
            let delay = self.random.between(1, 30);
            self.peers[peer].sync_due = Some(now + delay);
            let boot = self.peers[peer].boots;
            self.schedule(delay, Happening::Sync { peer, boot });
        }
        if broken {
            // A storage that has failed works again only after it was opened again.
            self.crash(peer);
        } else if failed {
            self.schedule(1, Happening::Break);
        }
    }

    fn sync(&mut self, peer: usize) {
        let now = self.now;
        let Some(process) = &mut self.peers[peer].process else { return };
        match process.store.sync() {
            Ok(durable) => {
                process.replicator.durable(durable, &mut process.replica, now);
                self.pump(peer);
            }
            Err(error) => self.disk_failed(peer, &error),
        }
    }

    /// What an application does when its disk fails: it starts again.
    fn disk_failed(&mut self, peer: usize, error: &StoreError) {
        self.note(|| format!("peer {peer}: {error}"));
        self.crash(peer);
    }

    fn crash(&mut self, peer: usize) {
        if self.peers[peer].process.is_none() {
            return;
        }
        let loss = *self.random.choose(&[Loss::Nothing, Loss::SomeUnsynced, Loss::AllUnsynced]);
        self.note(|| format!("peer {peer} crashes: {loss:?}"));
        self.peers[peer].crash(loss);
        self.break_link();
        let delay = self.random.between(1, 2_000);
        self.schedule(delay, Happening::Start { peer });
    }

    fn connect(&mut self) {
        let both = self.peers.iter().all(|peer| peer.process.is_some());
        if !both || self.link % 2 == 1 {
            return;
        }
        self.link += 1;
        self.note(|| "connected".to_owned());
        self.arrival = [self.now; 2];
        for peer in 0..2 {
            let now = self.now;
            if let Err(error) = self.peers[peer].connect(now) {
                return self.disk_failed(peer, &error);
            }
            self.pump(peer);
        }
        if self.stormy {
            let delay = self.random.between(1, 20_000);
            self.schedule(delay, Happening::Break);
        }
    }

    fn break_link(&mut self) {
        if self.link % 2 == 1 {
            self.note(|| "the link breaks".to_owned());
            self.link += 1;
            self.peers[0].disconnect(self.now);
            self.peers[1].disconnect(self.now);
        }
    }
}
