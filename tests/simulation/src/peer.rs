//! One simulated peer: the real store on a simulated disk, and the real state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ditto_crdt::{RunId, Sequence};
use ditto_peer::StoreReplica;
use ditto_replication::{
    DocumentKey, Event, LocalPeer, Mechanisms, PeerId, Replica, Replicator, SessionId, Sizes, SubscriptionId,
};
use ditto_storage::{Batch, FaultyStorage, Keyspace, Loss, Place, Storage};
use ditto_store::{Environment, Executor, OpenError, Store, StoreError, StoreOptions};
use ditto_value::{Object, Value};

use crate::ledger::Ledger;
use crate::random::Random;
use crate::sabotage::Sabotage;
use crate::watch::Watched;

/// A subscription as the application keeps it over restarts.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The text.
    pub query: String,
    /// The arguments.
    pub arguments: Object,
}

impl Wish {
    /// A query without arguments.
    #[must_use]
    pub fn plain(query: &str) -> Self {
        Self { query: query.to_owned(), arguments: Object::default() }
    }
}

/// Milliseconds of the simulated world, the same for everybody.
pub type WorldClock = Arc<AtomicU64>;

/// What all peers of a world have in common.
#[derive(Clone)]
pub struct Shared {
    /// The time.
    pub clock: WorldClock,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

/// The clock and the dice of one peer.
struct SimulatedEnvironment {
    world: WorldClock,
    skew: AtomicI64,
    dice: AtomicU64,
}

impl Environment for SimulatedEnvironment {
    fn now_ms(&self) -> u64 {
        self.world.load(Ordering::Relaxed).saturating_add_signed(self.skew.load(Ordering::Relaxed))
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
    pub replica: Watched,
    /// The protocol.
    pub replicator: Replicator,
    /// By link.
    pub sessions: BTreeMap<usize, SessionId>,
    /// Up to which sequence everything must be durable for transactions to be whole on the disk; `None` while they are not in the
    /// store.
    pub whole_from: Option<Sequence>,
    /// How often had been evicted when the session of a link began: what it brought is held as long as that stays.
    pub evictions: BTreeMap<usize, u64>,
    /// Which decision on what may travel it began under.
    pub scopes: BTreeMap<usize, u64>,
}

impl Process {
    /// The link of a session.
    #[must_use]
    pub fn link(&self, session: SessionId) -> Option<usize> {
        self.sessions.iter().find(|(_, known)| **known == session).map(|(link, _)| *link)
    }
}

/// What a disk has to have when a store is opened on it again.
#[derive(Clone, Copy, Debug)]
pub struct Owed {
    /// What was synced.
    durable: Sequence,
    /// The last commit, unless a loss of power may have taken it, and what was synced if it may.
    least: Sequence,
    /// The last commit; `None` if one has failed, which may be there or not.
    most: Option<Sequence>,
}

impl Owed {
    /// What an open store has, after such a loss.
    fn after(process: &Process, loss: Loss, has_failed: bool) -> Self {
        let (durable, last) = (process.store.durable_sequence(), process.store.last_sequence());
        let is_whole = loss == Loss::Nothing && !has_failed;
        Self { durable, least: if is_whole { last } else { durable }, most: (!has_failed).then_some(last) }
    }

    /// The power failed once more.
    fn cut_again(&mut self) {
        self.least = self.durable;
    }

    fn is_met_by(&self, last: Sequence) -> bool {
        last >= self.least && self.most.is_none_or(|most| last <= most)
    }
}

/// A peer over all its restarts.
pub struct Peer {
    /// Its place in the world.
    pub number: usize,
    /// Its name to the others.
    pub key: PeerId,
    /// The disk.
    pub storage: FaultyStorage,
    /// What the disk held some time ago.
    pub image: Option<FaultyStorage>,
    owed_by_image: Option<Owed>,
    /// Unless nobody knows.
    owed: Option<Owed>,
    /// What its disk had lost although it must not, in words.
    pub lost: Option<String>,
    /// Whether a transaction of another peer may be in that in part.
    image_is_torn: bool,
    /// Whether one was when the process ended that was the last one, if it is down.
    ended_torn: bool,
    environment: Arc<SimulatedEnvironment>,
    shared: Shared,
    /// Of sessions, from the next start on.
    pub sizes: Sizes,
    /// `None` while it is down.
    pub process: Option<Process>,
    /// Nobody starts it before that.
    pub away: bool,
    /// Others have buried tombstones while it is away.
    pub(crate) missed_burials: bool,
    /// There is no room on its disk.
    pub(crate) is_full: bool,
    /// The storage has failed and is not opened again, but recovered when there is room.
    pub failed: bool,
    /// What it subscribes to.
    pub wishes: Vec<Wish>,
    /// What it subscribed to, and will again.
    pub(crate) paused: Vec<Wish>,
    /// Transactions here are over several collections, so that who wants them subscribes to more.
    pub(crate) spans: bool,
    /// What it wrote.
    pub ledger: Ledger,
    /// It does not take some documents: see [`refusals`](crate::refusals).
    pub refuses: bool,
    /// Its disk has failed, now or before.
    pub has_failed: bool,
    /// It is of an older build.
    pub older: bool,
    /// Milliseconds that it says it takes for a document that it reads for others.
    pub read_ms: u64,
    /// Its disk is a copy, or was replaced by an older image: it, or somebody, writes under two histories.
    pub forked: bool,
    /// The image that has taken the place of its disk was not opened yet.
    pub(crate) restoring: bool,
    /// How often it has taken another identity.
    pub(crate) forks: u64,
    /// How often it may have begun a run.
    pub(crate) begun: u64,
    /// Counts restarts, so that what was meant for an earlier process does not reach a later one.
    pub boots: u64,
    /// When a sync is due.
    pub sync_due: Option<u64>,
    /// When time is to be told.
    pub tick_due: Option<u64>,
    /// The last sequence that was looked at.
    pub seen: Sequence,
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
#[must_use]
pub fn peer_id(number: usize) -> PeerId {
    let mut id = [0xA5; 32];
    id[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    PeerId(id)
}

impl Peer {
    /// A peer that is down, on an empty disk.
    pub fn new(number: usize, seed: u64, skew: i64, sizes: Sizes, shared: Shared) -> Self {
        let storage = FaultyStorage::new(Random::new(seed).draw());
        storage.set_place(Some(place(number)));
        Self::on(storage, number, seed, skew, sizes, shared)
    }

    /// A peer that is down, on a copy of the disk of another.
    pub fn copy_of(original: &Self, number: usize, seed: u64) -> Self {
        let storage = original.storage.copy(Random::new(seed).draw());
        storage.set_place(Some(place(number)));
        let mut copy =
            Self::on(storage, number, seed, original.skew(), original.sizes, original.shared.clone());
        copy.wishes.clone_from(&original.wishes);
        copy.paused.clone_from(&original.paused);
        copy.spans = original.spans;
        copy.begun = original.begun;
        copy.forks = original.forks + 1;
        copy.forked = true;
        copy.older = original.older;
        copy.refuses = original.refuses;
        copy.has_failed = original.has_failed;
        // Its checkpoints have passed what the original was told to refuse.
        copy.events.clone_from(&original.events);
        copy.owed = original.owed_by_copy();
        copy
    }

    /// A peer that is down, on a copy of the whole machine of another, with its key: nothing tells it that it is one.
    pub fn clone_of(original: &Self, number: usize, seed: u64) -> Self {
        let mut clone = Self::copy_of(original, number, seed);
        clone.storage.set_place(Some(place(original.number)));
        clone.key = original.key;
        clone
    }

    fn on(storage: FaultyStorage, number: usize, seed: u64, skew: i64, sizes: Sizes, shared: Shared) -> Self {
        let dice = Random::new(seed).draw();
        Self {
            number,
            key: peer_id(number),
            storage,
            image: None,
            owed_by_image: None,
            owed: None,
            lost: None,
            image_is_torn: false,
            ended_torn: false,
            environment: Arc::new(SimulatedEnvironment {
                world: Arc::clone(&shared.clock),
                skew: AtomicI64::new(skew),
                dice: AtomicU64::new(dice),
            }),
            shared,
            sizes,
            process: None,
            away: false,
            missed_burials: false,
            is_full: false,
            failed: false,
            wishes: Vec::new(),
            paused: Vec::new(),
            spans: false,
            ledger: Ledger::default(),
            refuses: false,
            has_failed: false,
            older: false,
            read_ms: 0,
            forked: false,
            restoring: false,
            forks: 0,
            begun: 0,
            boots: 0,
            sync_due: None,
            tick_due: None,
            seen: Sequence(0),
            events: Vec::new(),
            sessions: 0,
            quiet_since: 0,
            subscriptions: 0,
            served: BTreeMap::new(),
        }
    }

    /// How wrong its clock is, in milliseconds.
    #[must_use]
    pub fn skew(&self) -> i64 {
        self.environment.skew.load(Ordering::Relaxed)
    }

    /// Sets the clock on or back.
    pub fn shift_clock(&self, milliseconds: i64) {
        self.environment.skew.store(self.skew().saturating_add(milliseconds), Ordering::Relaxed);
    }

    /// Opens the store and begins to subscribe.
    ///
    /// # Errors
    /// The disk fails, or what is on it cannot be opened.
    pub fn start(&mut self, now: u64) -> Result<(), OpenError> {
        self.boots += 1;
        self.begun += 1;
        self.sync_due = None;
        self.tick_due = None;
        self.quiet_since = now;
        self.failed = false;
        let options = StoreOptions::new("simulation", Arc::new(NoExecutor));
        let store = Store::open(Arc::new(self.storage.clone()), self.environment.clone(), options)?;
        if let Err(StoreError::Storage(error)) = store.sync() {
            return Err(OpenError::Storage(error));
        }
        self.settle(store.last_sequence());
        if self.shared.sabotage == Some(Sabotage::EternalTombstones) {
            // What it opens with is what it may have failed to write.
            let _ = store.execute("ALTER SYSTEM SET tombstone_ttl_enabled = false", &Object::default());
        }
        let mut replica = Watched::new(StoreReplica::new(store.clone()), self.number, self.shared.sabotage);
        replica.read_ms = self.read_ms;
        replica.refuses = self.refuses;
        let local = LocalPeer { sizes: self.sizes, ..LocalPeer::new(self.key, "simulation") };
        let replicator = Replicator::new(local);
        self.process = Some(Process {
            store,
            replica,
            replicator,
            sessions: BTreeMap::new(),
            whole_from: Some(Sequence(0)),
            evictions: BTreeMap::new(),
            scopes: BTreeMap::new(),
        });
        self.ended_torn = false;
        self.served.clear();
        for wish in self.wishes.clone() {
            self.subscribe(&wish, now);
        }
        Ok(())
    }

    /// What an image of the platter has.
    fn owed_by_copy(&self) -> Option<Owed> {
        let process = self.process.as_ref()?;
        Some(Owed::after(process, Loss::AllUnsynced, self.storage.has_failed()))
    }

    fn settle(&mut self, last: Sequence) {
        if let Some(owed) = self.owed.take().filter(|owed| !owed.is_met_by(last)) {
            self.lost =
                Some(format!("peer {} begins again with {last:?}, but its disk owes {owed:?}", self.number));
        }
        if std::mem::take(&mut self.restoring) {
            self.ledger.restored_to(last);
        } else {
            self.ledger.lost_after(last);
        }
        self.seen = last;
    }

    /// Ends the process, and what the disk loses with it.
    pub fn crash(&mut self, loss: Loss) {
        self.ended_torn |= self.is_torn() || self.is_torn_on_disk();
        match (self.process.take(), &mut self.owed) {
            (Some(process), owed) => *owed = Some(Owed::after(&process, loss, self.storage.has_failed())),
            (None, Some(owed)) => owed.cut_again(),
            (None, None) => {}
        }
        self.sync_due = None;
        self.tick_due = None;
        self.storage = self.storage.restart(loss);
        match self.shared.sabotage {
            Some(Sabotage::LostSyncs) => self.storage = FaultyStorage::new(self.boots),
            Some(Sabotage::SwappedDisks) => {
                self.storage = FaultyStorage::new(self.boots);
                self.owed = None;
            }
            Some(Sabotage::RuinedDisks) => self.put(Keyspace::Catalog, b"format"),
            _ => {}
        }
    }

    /// Writes a row past the store.
    pub(crate) fn put(&self, keyspace: Keyspace, key: &[u8]) {
        let mut batch = Batch::new();
        batch.put(keyspace, key, b"by the simulation");
        // What fails already needs no more.
        let _ = self.storage.commit(batch);
    }

    /// Remembers what is on the platter.
    pub fn take_image(&mut self, seed: u64) {
        self.image_is_torn = self.is_torn_on_disk();
        self.image = Some(self.storage.copy(seed));
        self.owed_by_image = self.owed_by_copy();
    }

    /// Whether a transaction of another peer may be in the store in part.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        let never_whole = self.shared.sabotage == Some(Sabotage::NeverWhole);
        self.process.as_ref().is_some_and(|process| never_whole || process.replicator.shows_parts())
    }

    /// Whether one may be in its store, its image, or in what is left of its store after a loss of power.
    #[must_use]
    pub fn is_torn_anywhere(&self) -> bool {
        self.is_torn() || self.is_torn_on_disk() || self.ended_torn || self.image_is_torn
    }

    /// Whether one may be in part after a loss of power.
    fn is_torn_on_disk(&self) -> bool {
        let durable = |process: &Process| process.store.durable_sequence();
        self.process
            .as_ref()
            .is_some_and(|process| process.whole_from.is_none_or(|from| durable(process) < from))
    }

    /// Looks whether all transactions are whole; true if they were not at the last look, and are now.
    pub fn look_for_tears(&mut self) -> bool {
        let is_torn = self.is_torn();
        let was_torn = self.process.as_ref().is_some_and(|process| process.whole_from.is_none());
        if let Some(process) = &mut self.process {
            process.whole_from = match process.whole_from {
                _ if is_torn => None,
                None => Some(process.store.last_sequence()),
                since => since,
            };
        }
        was_torn && !is_torn
    }

    /// The image takes the place of the disk of a peer that is down.
    pub fn restore(&mut self, seed: u64) {
        if let Some(image) = &self.image
            && self.process.is_none()
        {
            self.storage = image.copy(seed);
            self.owed = self.owed_by_image;
            self.forked = true;
            self.restoring = true;
        }
    }

    /// Tries to go on after the storage has failed; what was not synced may be gone.
    ///
    /// # Errors
    /// The cause is still there.
    pub fn recover(&mut self) -> Result<(), OpenError> {
        let Some(process) = &self.process else { return Ok(()) };
        let owed = Owed::after(process, Loss::SomeUnsynced, true);
        self.begun += 1;
        process.store.recover()?;
        let last = process.store.last_sequence();
        self.owed = Some(owed);
        self.failed = false;
        self.settle(last);
        Ok(())
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
    pub fn repair_disk(&mut self) {
        self.storage.fail_commit(u64::MAX);
        self.storage.fail_sync(u64::MAX);
        self.set_full(false);
    }

    /// There is no room on the disk any more, or there is again.
    pub(crate) fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
        self.storage.set_disk_full(is_full);
    }

    fn subscribe(&mut self, wish: &Wish, now: u64) {
        self.subscriptions += 1;
        let id = SubscriptionId(self.subscriptions);
        let Some(process) = &mut self.process else { return };
        let Process { replica, replicator, .. } = process;
        if replicator.subscribe(id, &wish.query, &wish.arguments, replica, now).is_ok()
            && let Ok(interest) = replica.compile(&wish.query, &wish.arguments)
        {
            replica.filters.add(id, interest);
            self.served.insert(format!("{wish:?}"), id);
        }
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
            process.replica.filters.remove(id);
            process.replicator.unsubscribe(id, &mut process.replica, now);
        }
    }

    /// Begins a session, and a run if it is the first one after a while.
    ///
    /// # Errors
    /// The disk fails.
    pub fn connect(&mut self, link: usize, remote: PeerId, now: u64) -> Result<(), StoreError> {
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.sessions.is_empty() && now >= self.quiet_since + PAUSE_MS {
            process.store.begin_run(false)?;
        }
        self.sessions += 1;
        self.begun += 1;
        let session = SessionId(self.sessions);
        process.sessions.insert(link, session);
        process.evictions.insert(link, process.replica.eviction_total());
        process.scopes.insert(link, process.replica.scopes_revision());
        process.replicator.connected(session, remote, &mut process.replica, now);
        Ok(())
    }

    /// Ends a session.
    pub fn disconnect(&mut self, link: usize, now: u64) {
        if let Some(process) = &mut self.process
            && let Some(session) = process.sessions.remove(&link)
        {
            self.quiet_since = now;
            process.replicator.disconnected(session);
        }
    }

    /// Whether a collection is never synced.
    #[must_use]
    pub fn keeps_at_home(&self, collection: &str) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| !process.store.sync_scope(collection).allows(false))
    }

    /// Continues under another identity, because somebody has seen a history that this disk does not have.
    ///
    /// # Errors
    /// The disk fails.
    pub fn answer_fork(&mut self, run: RunId, sequence: Sequence) -> Result<(), StoreError> {
        let Some(process) = &self.process else { return Ok(()) };
        self.forks += 1;
        process.replica.answer_fork(run, sequence)
    }

    /// Ids of all living documents of a collection.
    #[must_use]
    pub fn living(&self, collection: &str) -> Vec<String> {
        let rows = self.rows(&format!("SELECT _id FROM {collection}"), &Object::default());
        rows.iter()
            .filter_map(|row| Some(row.get("_id")?.as_str()?.to_owned()))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// What a query finds; nothing while the peer is down.
    #[must_use]
    pub fn rows(&self, query: &str, arguments: &Object) -> Vec<Value> {
        let Some(process) = &self.process else { return Vec::new() };
        let result = process.store.execute(query, arguments);
        result
            .map(|result| result.rows.iter().map(|row| row.value().to_value()).collect())
            .unwrap_or_default()
    }

    /// One living document of `plants`.
    #[must_use]
    pub fn document(&self, id: &str) -> Option<Value> {
        let arguments = Object::from([("id", id)]);
        self.rows("SELECT * FROM plants WHERE _id = :id", &arguments).into_iter().next()
    }

    /// What a statement evicts, if it is one that evicts.
    #[must_use]
    pub fn evicted_by(&self, statement: &str, arguments: &Object) -> Vec<DocumentKey> {
        let Some(rest) = statement.strip_prefix("EVICT FROM ") else { return Vec::new() };
        let Some(collection) = rest.split(' ').next() else { return Vec::new() };
        let rows = self.rows(&format!("SELECT _id FROM {rest}"), arguments);
        let key = |row: &Value| {
            let mut id = Vec::new();
            ditto_value::key::encode(row.get("_id")?, &mut id);
            Some(DocumentKey { collection: collection.into(), id: id.into() })
        };
        rows.iter().filter_map(key).collect()
    }

    /// Executes a statement. `Ok(true)` if it changed something.
    ///
    /// # Errors
    /// Those of the store.
    pub fn execute(&mut self, statement: &str, arguments: &Object) -> Result<bool, StoreError> {
        let Some(process) = &self.process else { return Ok(false) };
        let result = process.store.execute(statement, arguments)?;
        Ok(!result.mutated_ids.is_empty())
    }

    /// What changed after a sequence, in words for a trace: documents with their sequences and whom they came from.
    #[must_use]
    pub fn changed(&self, after: Sequence) -> String {
        let Some(process) = &self.process else { return String::new() };
        let changes = process.replica.changes(after, Sequence(u64::MAX), usize::MAX).unwrap_or_default();
        let words = changes.iter().map(|change| {
            let id = ditto_value::key::decode(&change.key.id).map(|(id, _)| id.to_json());
            let id = id.unwrap_or_else(|_| format!("{:?}", change.key));
            let origin = if change.origin.is_some() { " as sent" } else { "" };
            format!("{} {id}{origin}", change.sequence.0)
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// How often what only much data makes necessary has happened since it was started.
    #[must_use]
    pub fn mechanisms(&self) -> Mechanisms {
        self.process.as_ref().map(|process| process.replicator.mechanisms()).unwrap_or_default()
    }

    /// The newest sequence; 0 while the peer is down.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.process.as_ref().map_or(Sequence(0), |process| process.store.last_sequence())
    }

    /// How much of that a loss of power would leave.
    #[must_use]
    pub fn durable_sequence(&self) -> Sequence {
        self.process.as_ref().map_or(Sequence(0), |process| process.store.durable_sequence())
    }
}

fn place(number: usize) -> Place {
    let mut place = Place::default();
    place[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    place
}
