//! Housekeeping: the burial of tombstones, and rows that are of no use any more.
//!
//! A *reaping* is due every `DAYS_BETWEEN_REAPING` days. It is done in steps, each a bounded number of rows and one batch, so
//! that nobody waits long for the writer:
//!
//! 1. Tombstones that arrived here `TOMBSTONE_TTL_HOURS` ago, by the [age](super::age) of the database, and that somebody else is
//!    known to have heard of (or nobody can have: see [`Reaping::may_bury`]) are buried.
//! 2. If `GRAVE_TTL_DAYS` is not 0, graves that are older are removed.
//! 3. Rows of `commits` of which no member has a row in `changes` any more are removed.
//! 4. Rows of `replication` are removed: those of all but [`MAX_SEEN_RUNS`] runs of a peer (those stay of which there are
//!    checkpoints, and that rest on most), and what is beyond [`MAX_REPLICATION_ROWS`], those first that were not used for longest. What
//!    must not be forgotten with a peer is [kept](super::rows::Forgotten).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ditto_crdt::{Record, RunId, Sequence};
use ditto_storage::{Batch, Bytes, Direction, Keyspace, Snapshot};
use ditto_value::Value;
use parking_lot::Mutex;

use super::age::Moment;
use super::holdings::{Facts, PeerBytes};
use super::rows::{self, Grave};
use super::{graves, names};
use crate::catalog::Collection;
use crate::environment::Environment;
use crate::error::StoreError;
use crate::layout::{self, CollectionId, CollectionState};
use crate::replica::read_change;
use crate::store::Inner;
use crate::write::parse_record;
use crate::writer::{Holder, Writer};

/// Rows of `replication` that are kept: checkpoints, runs seen, acknowledgements, of all remote peers together.
pub const MAX_REPLICATION_ROWS: usize = 10_000;
/// Runs of one remote peer whose highest sequence is remembered: as many as it is told of.
pub const MAX_SEEN_RUNS: usize = 64;
/// Rows that one step looks at in `commits`.
const COMMITS_PER_STEP: usize = 10_000;
/// The longest time from the opening of the store to its first reaping: chosen at random, so that the devices of a fleet that
/// start together do not reap together.
const LONGEST_START_DELAY_MS: u64 = 600_000;
/// How soon the next step should follow when there is more to do.
const NEXT_STEP_MS: u64 = 20;
/// How long the owner of the store may wait at most before it asks again.
const ASK_AGAIN_MS: u64 = 3_600_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Tombstones that became graves.
    pub buried: u64,
    /// Graves removed.
    pub graves: u64,
    /// Rows of `commits` removed.
    pub commits: u64,
    /// Rows of `replication` removed.
    pub replication: u64,
    /// When to call again, in milliseconds from now.
    pub again_in_ms: u64,
}

/// Where the housekeeping is.
pub(crate) struct Reaper(Mutex<State>);

struct State {
    /// Not before.
    start_ms: u64,
    /// When the last reaping was done; 0 for never.
    last_ms: u64,
    phase: Phase,
}

#[derive(Clone, Default)]
enum Phase {
    #[default]
    Idle,
    /// After this key of `graves`.
    Burying(Vec<u8>),
    /// After this key of `graves`.
    Graves(Vec<u8>),
    /// After this key of `commits`.
    Commits(Vec<u8>),
    Replication,
}

impl Reaper {
    pub(crate) fn new(environment: &dyn Environment, last_ms: u64) -> Self {
        let start_ms = environment.now_ms() + environment.random_u64() % LONGEST_START_DELAY_MS;
        Self(Mutex::new(State { start_ms, last_ms, phase: Phase::Idle }))
    }
}

/// The parameters.
struct Rules {
    days: u64,
    batch: usize,
    /// `None`: tombstones are kept.
    ttl_ms: Option<u64>,
    /// `None`: graves are kept.
    grave_ttl_ms: Option<u64>,
    preferred_hour: Option<u64>,
}

impl Rules {
    fn of(inner: &Inner) -> Self {
        let number = |name: &str| inner.parameters.number(name);
        let flag = |name: &str| inner.parameters.get(name).is_ok_and(|(_, value)| value == Value::Bool(true));
        Self {
            days: number("days_between_reaping").max(1),
            batch: usize::try_from(number("tombstone_reap_batch_size")).unwrap_or(usize::MAX).max(1),
            ttl_ms: flag("tombstone_ttl_enabled").then(|| number("tombstone_ttl_hours") * HOUR_MS),
            grave_ttl_ms: Some(number("grave_ttl_days") * DAY_MS).filter(|ttl| *ttl > 0),
            preferred_hour: flag("enable_reaper_preferred_hour_scheduling")
                .then(|| number("reaper_preferred_hour")),
        }
    }

    /// In how many milliseconds a reaping is due; 0 for now.
    fn due_in(&self, state: &State, now_ms: u64) -> u64 {
        let waiting = state.start_ms.saturating_sub(now_ms);
        // A clock that was set back does not stop the reaping.
        let waiting = if waiting > LONGEST_START_DELAY_MS { 0 } else { waiting };
        let next = state.last_ms + self.days * DAY_MS;
        if (state.last_ms..next).contains(&now_ms) {
            return waiting.max(next - now_ms);
        }
        // Nobody who never runs at the preferred hour waits for it for more than a day.
        let overdue = !(next..next + DAY_MS).contains(&now_ms);
        match self.preferred_hour {
            Some(hour) if !overdue => waiting.max(until_hour(hour, now_ms)),
            _ => waiting,
        }
    }
}

/// Milliseconds until this hour of the day (UTC) begins; 0 while it lasts.
fn until_hour(hour: u64, now_ms: u64) -> u64 {
    let (of_day, wanted) = (now_ms % DAY_MS, hour * HOUR_MS);
    if of_day / HOUR_MS == hour { 0 } else { (wanted + DAY_MS - of_day) % DAY_MS }
}

/// Does the next step.
pub(crate) fn step(inner: &Arc<Inner>) -> Result<Reaped, StoreError> {
    inner.check_open()?;
    let now_ms = inner.environment.now_ms();
    let age = inner.age.step(now_ms);
    let rules = Rules::of(inner);
    let mut state = inner.reaper.0.lock();
    if matches!(state.phase, Phase::Idle) {
        let due_in = rules.due_in(&state, now_ms);
        if due_in > 0 {
            drop(state);
            inner.names.rest();
            return Ok(Reaped { again_in_ms: due_in.min(ASK_AGAIN_MS), ..Reaped::default() });
        }
        state.phase = Phase::Burying(Vec::new());
    }
    let mut reaping = Reaping {
        inner,
        age,
        rules,
        batch: Batch::new(),
        graves: BTreeMap::new(),
        reaped: Reaped::default(),
    };
    let next = match &state.phase {
        Phase::Idle | Phase::Burying(_) => {
            let after = match &state.phase {
                Phase::Burying(after) => after.clone(),
                _ => Vec::new(),
            };
            reaping.with_writer(|reaping, snapshot| reaping.bury(snapshot, &after))?
        }
        Phase::Graves(after) => {
            let after = after.clone();
            reaping.with_writer(|reaping, snapshot| reaping.age_graves(snapshot, &after))?
        }
        Phase::Commits(after) => {
            let after = after.clone();
            reaping.with_writer(|reaping, snapshot| reaping.prune_commits(snapshot, &after))?
        }
        Phase::Replication => reaping.with_writer(Reaping::prune_replication)?,
    };
    let mut reaped = reaping.reaped;
    if matches!(next, Phase::Idle) {
        state.last_ms = now_ms;
        reaped.again_in_ms = ASK_AGAIN_MS;
    } else {
        reaped.again_in_ms = NEXT_STEP_MS;
    }
    state.phase = next;
    Ok(reaped)
}

struct Reaping<'i> {
    inner: &'i Arc<Inner>,
    age: Moment,
    rules: Rules,
    batch: Batch,
    /// Collections whose counters change: by how many graves.
    graves: BTreeMap<CollectionId, i64>,
    reaped: Reaped,
}

impl Reaping<'_> {
    /// Runs a step as the writer, and commits its batch.
    fn with_writer(
        &mut self,
        step: impl FnOnce(&mut Self, &dyn Snapshot) -> Result<Phase, StoreError>,
    ) -> Result<Phase, StoreError> {
        let writer = self.inner.writer.take(Holder::Maintenance("the housekeeping"))?;
        let result = self.run(&writer, step);
        self.inner.give_back(writer);
        result
    }

    fn run(
        &mut self,
        writer: &Writer,
        step: impl FnOnce(&mut Self, &dyn Snapshot) -> Result<Phase, StoreError>,
    ) -> Result<Phase, StoreError> {
        self.inner.check_open()?;
        let snapshot = self.inner.storage.snapshot();
        let next = step(self, &*snapshot)?;
        drop(snapshot);
        for (collection, change) in &self.graves {
            let Some(collection) = self.inner.collections.by_id(*collection) else { continue };
            let state = CollectionState {
                documents: collection.documents.load(Ordering::Acquire),
                evictions: collection.evictions.load(Ordering::Acquire),
                last: writer.last,
                clock: writer.clock.last(),
                graves: collection.graves.load(Ordering::Acquire).saturating_add_signed(*change),
                shared: collection.shared.load(Ordering::Acquire),
            };
            self.batch.put(Keyspace::Catalog, layout::state_key(collection.id), state.encode());
        }
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            self.inner.commit(batch)?;
            self.inner.platter.committed(writer.last);
        }
        for (collection, change) in &self.graves {
            if let Some(collection) = self.inner.collections.by_id(*collection) {
                collection.add_graves(*change);
            }
        }
        Ok(next)
    }

    fn bury(&mut self, snapshot: &dyn Snapshot, after: &[u8]) -> Result<Phase, StoreError> {
        let Some(ttl_ms) = self.rules.ttl_ms else { return Ok(Phase::Graves(Vec::new())) };
        let limit = self.rules.batch;
        let mut seen = 0;
        let mut last = Vec::new();
        let prefix = [rows::TAG_WAITING];
        let low = if after.is_empty() { Bound::Included(&prefix[..]) } else { Bound::Excluded(after) };
        let high = [rows::TAG_WAITING + 1];
        for row in snapshot.range(Keyspace::Graves, (low, Bound::Excluded(&high)), Direction::Forward) {
            let (key, _) = row?;
            let Some((arrived_ms, sequence)) = rows::split_waiting_key(&key) else {
                return Err(StoreError::corrupt("a tombstone that waits for its burial cannot be read"));
            };
            if self.age.age_ms < arrived_ms.saturating_add(ttl_ms) {
                break;
            }
            self.consider(snapshot, &key, sequence)?;
            seen += 1;
            if seen >= limit {
                last = key.to_vec();
                break;
            }
        }
        Ok(if last.is_empty() { Phase::Graves(Vec::new()) } else { Phase::Burying(last) })
    }

    fn consider(
        &mut self,
        snapshot: &dyn Snapshot,
        key: &Bytes,
        sequence: Sequence,
    ) -> Result<(), StoreError> {
        let change_key = layout::sequence_key(sequence);
        let tombstone = match snapshot.get(Keyspace::Changes, &change_key)? {
            Some(row) => {
                let (_, document_key, origin) = read_change(&change_key, &row)?;
                let document_key = Bytes::from(document_key);
                let record = snapshot.get(Keyspace::Documents, &document_key)?;
                record.map(|record| (document_key, record, origin))
            }
            None => None,
        };
        // Changed again since: if it is dead now, it waits under its new sequence.
        let Some((document_key, record, origin)) = tombstone else {
            self.batch.delete(Keyspace::Graves, key.clone());
            return Ok(());
        };
        let parsed = parse_record(&record)?;
        let Some((collection_id, name)) = layout::split_document_key(&document_key) else { return Ok(()) };
        if parsed.alive {
            self.batch.delete(Keyspace::Graves, key.clone());
            return Ok(());
        }
        let Some(collection) = self.inner.collections.by_id(collection_id) else { return Ok(()) };
        if !self.may_bury(&collection, name, &parsed, origin) {
            return Ok(());
        }
        let hash = names::key_hash(name);
        let buried = graves::buried_key(collection_id, &hash);
        graves::bury(&mut self.batch, collection_id, &hash, &record, self.age.age_ms)?;
        self.batch.delete(Keyspace::Documents, document_key.clone());
        self.batch.put(Keyspace::Changes, change_key, layout::encode_change(&buried, origin));
        self.batch.delete(Keyspace::Graves, key.clone());
        *self.graves.entry(collection_id).or_insert(0) += 1;
        self.reaped.buried += 1;
        Ok(())
    }

    /// Whether somebody else knows of the deletion; or nobody can have a copy of the document, because no other peer ever
    /// had a part in the collection.
    fn may_bury(
        &self,
        collection: &Collection,
        name: &[u8],
        record: &Record<'_>,
        origin: Option<u64>,
    ) -> bool {
        let shared = collection.shared.load(Ordering::Acquire) || self.inner.is_asked_for(&collection.name);
        let newest = record.newest_sequence;
        let facts = Facts { collection: &collection.name, name, value: None, newest, origin };
        !shared || self.inner.holdings.anybody_holds(&facts, &self.inner.compile())
    }

    /// Forgets deletions for good. An old copy that turns up after that is taken for alive.
    fn age_graves(&mut self, snapshot: &dyn Snapshot, after: &[u8]) -> Result<Phase, StoreError> {
        let Some(ttl_ms) = self.rules.grave_ttl_ms else { return Ok(Phase::Commits(Vec::new())) };
        let prefix = [rows::TAG_GRAVE];
        let low = if after.is_empty() { Bound::Included(&prefix[..]) } else { Bound::Excluded(after) };
        let high = [rows::TAG_GRAVE + 1];
        let graves = snapshot.range(Keyspace::Graves, (low, Bound::Excluded(&high)), Direction::Forward);
        for (index, row) in graves.enumerate() {
            let (key, value) = row?;
            let (Some((collection, _)), Some(grave)) = (rows::split_grave_key(&key), Grave::decode(&value))
            else {
                return Err(StoreError::corrupt("a grave cannot be read"));
            };
            if self.age.age_ms >= grave.age_ms.saturating_add(ttl_ms) {
                self.batch.delete(Keyspace::Graves, key.clone());
                self.batch.delete(Keyspace::Changes, layout::sequence_key(grave.sequence));
                *self.graves.entry(collection).or_insert(0) -= 1;
                self.reaped.graves += 1;
            }
            if index + 1 >= self.rules.batch {
                return Ok(Phase::Graves(key.to_vec()));
            }
        }
        Ok(Phase::Commits(Vec::new()))
    }

    fn prune_commits(&mut self, snapshot: &dyn Snapshot, after: &[u8]) -> Result<Phase, StoreError> {
        let low = if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(after) };
        let rows = snapshot.range(Keyspace::Commits, (low, Bound::Unbounded), Direction::Forward);
        for (index, row) in rows.enumerate() {
            let (key, first) = row?;
            let range = (Bound::Included(&first[..]), Bound::Included(&key[..]));
            let member = snapshot.range(Keyspace::Changes, range, Direction::Forward).next().transpose()?;
            if member.is_none() {
                self.batch.delete(Keyspace::Commits, key.clone());
                self.reaped.commits += 1;
            }
            if index + 1 >= COMMITS_PER_STEP {
                return Ok(Phase::Commits(key.to_vec()));
            }
        }
        Ok(Phase::Replication)
    }

    /// Writes what is only in memory yet, and removes the rows that were not used for longest.
    fn prune_replication(&mut self, snapshot: &dyn Snapshot) -> Result<Phase, StoreError> {
        let inner = self.inner;
        inner.holdings.drop_exceptions(&|collection, hash| {
            let Some(collection) = inner.collections.get(collection) else { return Ok(false) };
            let Some(key) = inner.names.find(snapshot, collection.id, hash)? else { return Ok(false) };
            let record = snapshot.get(Keyspace::Documents, &key)?;
            Ok(record.as_deref().map(parse_record).transpose()?.is_some_and(|record| record.alive))
        })?;
        let mut ages = inner.holdings.ages();
        let mut seen = SeenRuns::default();
        for tag in [layout::TAG_CHECKPOINT, layout::TAG_SEEN] {
            for row in snapshot.prefix(Keyspace::Replication, &[tag], Direction::Forward) {
                let (key, value) = row?;
                let Some((_, peer, _)) = rows::split_replication_key(&key) else { continue };
                // Claims that were answered stay.
                if peer == rows::NOBODY {
                    continue;
                }
                let mut used_ms = inner.recency.of(&key, &value, self.age.wall_ms);
                if tag == layout::TAG_SEEN {
                    used_ms = used_ms.max(seen.row(peer, &key, &value));
                } else {
                    seen.checkpoint(peer, &value, used_ms);
                }
                ages.push((key.to_vec(), used_ms));
            }
        }
        let superseded = seen.superseded();
        ages.retain(|(key, _)| !superseded.contains(key));
        self.reaped.replication += superseded.len() as u64;
        superseded.into_iter().for_each(|key| self.batch.delete(Keyspace::Replication, key));
        let excess = ages.len().saturating_sub(MAX_REPLICATION_ROWS);
        ages.sort_by_key(|(_, used_ms)| *used_ms);
        ages.truncate(excess);
        let oldest: BTreeSet<Vec<u8>> = ages.into_iter().map(|(key, _)| key).collect();
        if !oldest.is_empty() {
            self.remember_sharing();
            let forgotten = inner.holdings.forget(&oldest, inner.last_sequence());
            self.batch.put(Keyspace::Catalog, layout::CATALOG_FORGOTTEN, forgotten.encode());
            self.reaped.replication += oldest.len() as u64;
            for key in &oldest {
                self.batch.delete(Keyspace::Replication, key.clone());
            }
        }
        inner.recency.refresh(snapshot, &oldest, self.age.wall_ms, &mut self.batch)?;
        inner.holdings.flush(&mut self.batch, self.age.wall_ms);
        self.batch.put(Keyspace::Catalog, layout::CATALOG_REAPED, self.age.wall_ms.to_be_bytes());
        self.batch.put(Keyspace::Catalog, layout::CATALOG_AGE, self.age.encode());
        Ok(Phase::Idle)
    }

    /// That a peer asked for a collection must not be forgotten with the row of its interest.
    fn remember_sharing(&mut self) {
        for statistics in self.inner.collections.statistics() {
            let Some(collection) = self.inner.collections.get(&statistics.name) else { continue };
            if self.inner.is_asked_for(&collection.name) && !collection.shared.swap(true, Ordering::AcqRel) {
                self.graves.entry(collection.id).or_insert(0);
            }
        }
    }
}

/// The runs of remote peers that were seen. Each peer is only told of those of which there are checkpoints, which are of no use
/// without, and then of those that rest on most.
#[derive(Default)]
struct SeenRuns {
    /// When a checkpoint of a run was last of use, in milliseconds.
    checkpoints: BTreeMap<(PeerBytes, RunId), u64>,
    /// Whether there is one, what it rests on, and the key.
    by_peer: BTreeMap<PeerBytes, Vec<(bool, Sequence, Vec<u8>)>>,
}

impl SeenRuns {
    /// Takes the value of a checkpoint.
    fn checkpoint(&mut self, peer: PeerBytes, value: &[u8], used_ms: u64) {
        let Some((run, _)) = layout::decode_checkpoint(value) else { return };
        let newest = self.checkpoints.entry((peer, run)).or_default();
        *newest = used_ms.max(*newest);
    }

    /// Takes a row of what was seen, and returns when a checkpoint of its run was last of use, or 0.
    fn row(&mut self, peer: PeerBytes, key: &[u8], value: &[u8]) -> u64 {
        let (sequence, durable) = layout::decode_seen(value).unwrap_or_default();
        let run = key.last_chunk().map_or(RunId(0), |run| RunId(u64::from_be_bytes(*run)));
        let used_ms = self.checkpoints.get(&(peer, run)).copied();
        let rests_on = sequence.max(durable);
        self.by_peer.entry(peer).or_default().push((used_ms.is_some(), rests_on, key.to_vec()));
        used_ms.unwrap_or(0)
    }

    /// The keys of the rows that are of no use.
    fn superseded(self) -> BTreeSet<Vec<u8>> {
        let of_peer = |mut runs: Vec<(bool, Sequence, Vec<u8>)>| {
            runs.sort_by(|left, right| right.cmp(left));
            runs.into_iter().skip(MAX_SEEN_RUNS).map(|(.., key)| key)
        };
        self.by_peer.into_values().flat_map(of_peer).collect()
    }
}
