//! One simulated peer: the real store on a simulated disk, and the real state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ditto_crdt::Sequence;
use ditto_peer::StoreReplica;
use ditto_replication::{Event, LocalPeer, PeerId, Replica, Replicator, SessionId, SubscriptionId};
use ditto_storage::{FaultyStorage, Loss};
use ditto_store::{Environment, Executor, Store, StoreError, StoreOptions};
use ditto_value::{Object, Value};

use ditto_tests::random::Random;

/// A subscription as the application keeps it over restarts.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The text.
    pub query: String,
    /// The arguments.
    pub arguments: Object,
}

/// The clock and the dice of one peer.
struct SimulatedEnvironment {
    now: AtomicU64,
    dice: AtomicU64,
}

impl Environment for SimulatedEnvironment {
    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn random_u64(&self) -> u64 {
        Random::new(self.dice.fetch_add(1, Ordering::Relaxed)).draw()
    }
}

/// There are no observers, so nothing is ever run.
struct NoExecutor;

impl Executor for NoExecutor {
    fn spawn(&self, _job: Box<dyn FnOnce() + Send>) {}
}

/// What is open while the process lives.
pub struct Process {
    /// The store.
    pub store: Store,
    /// The same as replication sees it.
    pub replica: StoreReplica,
    /// The protocol.
    pub replicator: Replicator,
    /// The session of the present link.
    pub session: Option<SessionId>,
}

/// A local write that must not get lost, with the sequence of its commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// A field of a document that nobody deletes, written once.
    Field(String, String),
    /// The deletion of a document that nobody inserts again.
    Deletion(String),
}

/// A peer over all its restarts.
pub struct Peer {
    /// 0 or 1.
    pub number: usize,
    storage: FaultyStorage,
    environment: Arc<SimulatedEnvironment>,
    /// How wrong its clock is.
    pub skew: i64,
    /// `None` while it is down.
    pub process: Option<Process>,
    /// What it subscribes to.
    pub wishes: Vec<Wish>,
    /// What it wrote and what is not lost with a crash.
    pub promises: BTreeMap<Promise, Sequence>,
    /// Counts restarts, so that what was meant for an earlier process does not reach a later one.
    pub boots: u64,
    /// When a sync is due.
    pub sync_due: Option<u64>,
    /// Everything that the state machine reported.
    pub events: Vec<Event>,
    sessions: u64,
    /// Since when it has had no session, or has been open.
    quiet_since: u64,
    subscriptions: u64,
    served: BTreeMap<String, SubscriptionId>,
}

/// How long a peer must have been without a session for the next one to begin a run.
const PAUSE_MS: u64 = 1_000;

/// Identity of a simulated peer.
pub fn peer_id(number: usize) -> PeerId {
    PeerId([u8::try_from(number).unwrap_or(0) + 1; 32])
}

impl Peer {
    /// A peer that is down, on an empty disk.
    pub fn new(number: usize, seed: u64, skew: i64) -> Self {
        let dice = Random::new(seed).draw();
        Self {
            number,
            storage: FaultyStorage::new(dice),
            environment: Arc::new(SimulatedEnvironment {
                now: AtomicU64::new(0),
                dice: AtomicU64::new(dice),
            }),
            skew,
            process: None,
            wishes: Vec::new(),
            promises: BTreeMap::new(),
            boots: 0,
            sync_due: None,
            events: Vec::new(),
            sessions: 0,
            quiet_since: 0,
            subscriptions: 0,
            served: BTreeMap::new(),
        }
    }

    /// Sets the peer's clock.
    pub fn at(&self, now: u64) {
        self.environment.now.store(now.saturating_add_signed(self.skew), Ordering::Relaxed);
    }

    /// Moves the peer's clock on by so many days.
    pub fn pass(&mut self, days: u64, now: u64) {
        self.skew = self.skew.saturating_add_unsigned(days * 86_400_000);
        self.at(now);
    }

    /// Opens the store and begins to subscribe.
    pub fn start(&mut self, now: u64) -> Result<(), StoreError> {
        self.at(now);
        self.boots += 1;
        self.sync_due = None;
        self.quiet_since = now;
        let options = StoreOptions::new("simulation", Arc::new(NoExecutor));
        let storage = Arc::new(self.storage.clone());
        let store = match Store::open(storage, self.environment.clone(), options) {
            Ok(store) => store,
            Err(ditto_store::OpenError::Storage(error)) => return Err(StoreError::Storage(error)),
            Err(error) => panic!("peer {} cannot be opened again: {error}", self.number),
        };
        store.sync()?;
        let last = store.last_sequence();
        self.promises.retain(|_, sequence| *sequence <= last);
        let replica = StoreReplica::new(store.clone());
        let replicator = Replicator::new(LocalPeer::new(peer_id(self.number), "simulation"));
        self.process = Some(Process { store, replica, replicator, session: None });
        self.served.clear();
        for wish in self.wishes.clone() {
            self.subscribe(&wish, now);
        }
        Ok(())
    }

    /// Ends the process, and what the disk loses with it.
    pub fn crash(&mut self, loss: Loss) {
        self.process = None;
        self.sync_due = None;
        self.storage = self.storage.restart(loss);
    }

    /// Makes a write or a sync fail soon.
    pub fn break_disk(&self, random: &mut Random) {
        if random.percent(50) {
            self.storage.fail_commit(random.between(1, 5));
        } else {
            self.storage.fail_sync(random.between(1, 3));
        }
    }

    /// The disk is in order from now on.
    pub fn repair_disk(&self) {
        self.storage.fail_commit(u64::MAX);
        self.storage.fail_sync(u64::MAX);
    }

    fn subscribe(&mut self, wish: &Wish, now: u64) {
        self.subscriptions += 1;
        let id = SubscriptionId(self.subscriptions);
        let Some(process) = &mut self.process else { return };
        let Process { replica, replicator, .. } = process;
        if let Err(error) = replicator.subscribe(id, &wish.query, &wish.arguments, replica, now) {
            panic!("{wish:?} is refused: {error}");
        }
        self.served.insert(format!("{wish:?}"), id);
    }

    /// Adds a subscription for good.
    pub fn wish(&mut self, wish: Wish, now: u64) {
        if !self.wishes.contains(&wish) {
            self.subscribe(&wish, now);
            self.wishes.push(wish);
        }
    }

    /// Ends a subscription for good.
    pub fn renounce(&mut self, index: usize, now: u64) {
        let wish = self.wishes.remove(index);
        let id = self.served.remove(&format!("{wish:?}"));
        if let (Some(process), Some(id)) = (&mut self.process, id) {
            process.replicator.unsubscribe(id, &mut process.replica, now);
        }
    }

    /// Begins a session, and a run if it is the first one after a while.
    pub fn connect(&mut self, now: u64) -> Result<(), StoreError> {
        if let Some(process) = &self.process
            && now >= self.quiet_since + PAUSE_MS
        {
            process.store.begin_run(false)?;
        }
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let remote = peer_id(1 - self.number);
        if let Some(Process { replica, replicator, session: present, .. }) = &mut self.process {
            *present = Some(session);
            replicator.connected(session, remote, replica, now);
        }
        Ok(())
    }

    /// Ends the session.
    pub fn disconnect(&mut self, now: u64) {
        self.quiet_since = now;
        if let Some(process) = &mut self.process
            && let Some(session) = process.session.take()
        {
            process.replicator.disconnected(session);
        }
    }

    /// Ids of all living documents.
    pub fn living(&self) -> Vec<String> {
        let Some(process) = &self.process else { return Vec::new() };
        let rows = process.store.execute("SELECT * FROM plants", &Object::default());
        let rows = rows.map(|result| result.rows).unwrap_or_default();
        rows.iter()
            .filter_map(|row| Some(row.value().get("_id")?.as_str()?.to_owned()))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// One living document.
    pub fn document(&self, id: &str) -> Option<Value> {
        let process = self.process.as_ref()?;
        let arguments = Object::from([("id", id)]);
        let result = process.store.execute("SELECT * FROM plants WHERE _id = :id", &arguments).ok()?;
        result.rows.first().map(|row| row.value().to_value())
    }

    /// Executes a statement. `Ok(true)` if it changed something.
    pub fn execute(&mut self, statement: &str, arguments: &Object) -> Result<bool, StoreError> {
        let Some(process) = &self.process else { return Ok(false) };
        let result = process.store.execute(statement, arguments)?;
        Ok(!result.mutated_ids.is_empty())
    }

    /// Remembers a write that was just made.
    pub fn promise(&mut self, promise: Promise) {
        if let Some(process) = &self.process {
            self.promises.insert(promise, process.replica.last_sequence());
        }
    }
}
