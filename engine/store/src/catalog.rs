//! Opening: what the catalog says, and what it says afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ditto_crdt::{Hlc, HybridClock, RunId, Sequence, SiteId};
use ditto_storage::{Batch, Bytes, Direction, Keyspace, Place, Snapshot, Storage, StorageError};
use parking_lot::RwLock;

use crate::environment::Environment;
use crate::error::{OpenError, StoreError};
use crate::index::{Definition, Index, IndexList, State, Unfinished};
use crate::layout::{self, CollectionId, CollectionState, FORMAT_VERSION, IndexId, Reader};
use crate::lifecycle::age::Moment;
use crate::lifecycle::holdings::Holdings;
use crate::scopes::Scopes;
use crate::store::{CollectionStatistics, Inner, StoreOptions};
use crate::writer::{Holder, Writer};

/// Runs that are kept. A peer that was last met in an older one is sent everything when it comes back.
pub const MAX_RUNS: usize = 10_000;

/// Names that are kept of collections that were asked for before they were there: at most a mebibyte. With so many, every
/// collection that is made from then on counts as asked for.
const MAX_AWAITED: usize = 1_000;

/// Who this store is.
pub(crate) struct Identity {
    pub site: SiteId,
    /// The newest [`MAX_RUNS`] runs, oldest first, those under earlier site ids too: their sequences are part of the same
    /// history.
    pub runs: Vec<(RunId, Sequence)>,
    /// The run that names the slots of counters: that of the newest opening, recovery or change of the site id. What was
    /// counted before is not counted on: the directory may have been restored, to a state that other peers have seen more
    /// of, and nothing in it need show that.
    pub counting: RunId,
    /// Number of the next `run` row.
    next_run: u32,
}

impl Identity {
    /// The present run.
    pub(crate) fn run(&self) -> RunId {
        self.runs.last().map_or(RunId(0), |(run, _)| *run)
    }
}

/// A collection in memory. The counters follow the newest commit.
pub(crate) struct Collection {
    pub id: CollectionId,
    pub name: Arc<str>,
    pub documents: AtomicU64,
    pub evictions: AtomicU64,
    pub indexes: IndexList,
    /// Deleted documents of which only the grave is left.
    pub graves: AtomicU64,
    /// Remote peers have a part in it.
    pub shared: AtomicBool,
}

impl Collection {
    pub(crate) fn new(id: CollectionId, name: Arc<str>, state: &CollectionState) -> Self {
        Self {
            id,
            name,
            documents: AtomicU64::new(state.documents),
            evictions: AtomicU64::new(state.evictions),
            indexes: IndexList::default(),
            graves: AtomicU64::new(state.graves),
            shared: AtomicBool::new(state.shared),
        }
    }

    /// Called by the writer after a commit.
    pub(crate) fn add_graves(&self, change: i64) {
        let graves = self.graves.load(Ordering::Acquire).saturating_add_signed(change);
        self.graves.store(graves, Ordering::Release);
    }
}

#[derive(Default)]
struct Tables {
    by_name: BTreeMap<Arc<str>, Arc<Collection>>,
    by_id: BTreeMap<CollectionId, Arc<Collection>>,
    /// Remote peers asked for these before they were there.
    awaited: BTreeSet<Box<str>>,
}

impl Tables {
    fn is_awaited(&self, name: &str) -> bool {
        !self.by_name.contains_key(name) && (self.awaited.len() >= MAX_AWAITED || self.awaited.contains(name))
    }
}

/// Every collection that has been written to.
#[derive(Default)]
pub(crate) struct Collections(RwLock<Tables>);

impl Collections {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Collection>> {
        self.0.read().by_name.get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: CollectionId) -> Option<Arc<Collection>> {
        self.0.read().by_id.get(&id).cloned()
    }

    pub(crate) fn add(&self, collection: Arc<Collection>) {
        let mut tables = self.0.write();
        tables.by_name.insert(Arc::clone(&collection.name), Arc::clone(&collection));
        tables.by_id.insert(collection.id, collection);
    }

    /// Whether a remote peer asked for the collection, which is not there yet.
    pub(crate) fn is_awaited(&self, name: &str) -> bool {
        self.0.read().is_awaited(name)
    }

    /// Whether it is stored that remote peers have a part in the collection, or will have one as soon as it is made.
    pub(crate) fn is_shared(&self, name: &str) -> bool {
        let tables = self.0.read();
        match tables.by_name.get(name) {
            Some(collection) => collection.shared.load(Ordering::Acquire),
            None => tables.is_awaited(name),
        }
    }

    /// A remote peer asked for a collection that is not there; called by the writer after the commit that says so.
    pub(crate) fn add_awaited(&self, name: Box<str>) {
        self.0.write().awaited.insert(name);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Collection>> {
        self.0.read().by_name.values().cloned().collect()
    }

    /// Forgets all and takes over those of `other`. Whoever still builds an index of before, or has a plan with it, finds
    /// it dropped.
    pub(crate) fn replace(&self, other: Self) {
        let mut tables = self.0.write();
        tables.by_name.values().for_each(|collection| collection.indexes.abandon());
        *tables = other.0.into_inner();
    }

    pub(crate) fn statistics(&self) -> Vec<CollectionStatistics> {
        let tables = self.0.read();
        tables
            .by_name
            .values()
            .map(|collection| CollectionStatistics {
                name: Arc::clone(&collection.name),
                documents: collection.documents.load(Ordering::Acquire),
                graves: collection.graves.load(Ordering::Acquire),
                indexes: collection.indexes.all().len(),
                evictions: collection.evictions.load(Ordering::Acquire),
            })
            .collect()
    }
}

/// What opening found or made.
pub(crate) struct Catalog {
    /// Whether this is a copy that was opened for the first time.
    pub is_copy: bool,
    pub identity: Identity,
    pub collections: Collections,
    pub holdings: Holdings,
    /// When the last housekeeping was done; 0 for never.
    pub reaped_ms: u64,
    pub age: Moment,
    pub writer: Writer,
    pub scopes: Scopes,
    /// The least id that no index has.
    pub next_index: IndexId,
    /// What has to go on, see [`crate::index::resume`].
    pub unfinished: Vec<Unfinished>,
}

fn corrupt(row: &str, value: &[u8]) -> OpenError {
    OpenError::Corrupt { row: row.to_string(), found: value.len() }
}

/// Reads the catalog, or writes the first one, and appends a run. The format is looked at before anything else.
pub(crate) fn open(
    storage: &dyn Storage,
    environment: &dyn Environment,
    options: &StoreOptions,
) -> Result<Catalog, OpenError> {
    let snapshot = storage.snapshot();
    let mut batch = Batch::new();
    let format = read_format(&*snapshot)?;
    let fresh = format.is_none();
    if format != Some(FORMAT_VERSION) {
        // Rows of an older format stay as they are until they are written again, but builds of that time cannot read new ones.
        let mut format = layout::FORMAT_MAGIC.to_vec();
        format.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
        batch.put(Keyspace::Catalog, layout::CATALOG_FORMAT, format);
    }
    if fresh {
        batch.put(Keyspace::Catalog, layout::CATALOG_DATABASE, options.database_id.as_bytes());
    } else {
        check_database(&*snapshot, &options.database_id)?;
    }
    let (collections, last, clock, next_collection) = read_collections(&*snapshot)?;
    let (next_index, unfinished) = read_indexes(&*snapshot, &collections)?;
    let (last, next_run, runs) = read_runs(&*snapshot, last)?;
    let holdings = Holdings::read(&*snapshot)?;
    let reaped = snapshot.get(Keyspace::Catalog, layout::CATALOG_REAPED)?;
    let reaped_ms =
        reaped.map_or(Ok(0), |value| Reader(&value).u64().ok_or_else(|| corrupt("reaped", &value)))?;
    let scopes = match snapshot.get(Keyspace::Catalog, layout::CATALOG_SCOPES)? {
        Some(value) => Scopes::decode(&value).ok_or_else(|| corrupt("scopes", &value))?,
        None => Scopes::default(),
    };
    let now_ms = environment.now_ms();
    let age = match snapshot.get(Keyspace::Catalog, layout::CATALOG_AGE)? {
        Some(value) => Moment::decode(&value).ok_or_else(|| corrupt("age", &value))?.step(now_ms),
        None => Moment { wall_ms: now_ms, age_ms: 0 },
    };
    batch.put(Keyspace::Catalog, layout::CATALOG_AGE, age.encode());
    let site = match snapshot.get(Keyspace::Catalog, layout::CATALOG_SITE)? {
        Some(value) => {
            let mut reader = Reader(&value);
            reader
                .u64()
                .filter(|_| reader.end().is_some())
                .map(SiteId)
                .ok_or_else(|| corrupt("site", &value))?
        }
        None if fresh => SiteId(0),
        None => return Err(corrupt("site", &[])),
    };
    let elsewhere = elsewhere(storage, &*snapshot)?;
    drop(snapshot);
    let is_copy = elsewhere.is_some() && !fresh;
    if let Some(place) = elsewhere {
        batch.put(Keyspace::Catalog, layout::CATALOG_PLACE, place);
    }
    let runs = runs.into_iter().map(|(run, _, first)| (run, first)).collect();
    let mut identity = Identity { site, runs, counting: RunId(0), next_run };
    append_run(&mut batch, &mut identity, environment, last, fresh || options.new_site || is_copy);
    identity.counting = identity.run();
    storage.commit(batch)?;
    // What a killed process left was recovered, perhaps from memory only; from here on it counts as durable, as does the
    // new run, of which the first greeting tells.
    storage.sync()?;
    if is_copy {
        tracing::info!("this database was copied or moved here: it continues under a new site id");
    }
    Ok(Catalog {
        is_copy,
        identity,
        collections,
        holdings,
        reaped_ms,
        age,
        writer: Writer { clock: HybridClock::new(clock), last, next_collection },
        scopes,
        next_index,
        unfinished,
    })
}

/// Whether the database in `storage` is a copy that was not opened yet: see [`crate::Store::is_copy`]. An empty storage is
/// none.
///
/// # Errors
/// The storage cannot be read.
pub fn is_copy(storage: &dyn Storage) -> Result<bool, StorageError> {
    let snapshot = storage.snapshot();
    let is_database = snapshot.get(Keyspace::Catalog, layout::CATALOG_FORMAT)?.is_some();
    Ok(is_database && elsewhere(storage, &*snapshot)?.is_some())
}

/// Where the storage is, unless it is where the catalog says.
fn elsewhere(storage: &dyn Storage, snapshot: &dyn Snapshot) -> Result<Option<Place>, StorageError> {
    // What cannot be copied behind our back is where it was.
    let Some(place) = storage.place()? else { return Ok(None) };
    let known = snapshot.get(Keyspace::Catalog, layout::CATALOG_PLACE)?;
    Ok((known.as_deref() != Some(&place[..])).then_some(place))
}

/// The format; `None` if the storage is empty, an error if this build does not read it.
fn read_format(snapshot: &dyn Snapshot) -> Result<Option<u32>, OpenError> {
    let Some(value) = snapshot.get(Keyspace::Catalog, layout::CATALOG_FORMAT)? else {
        for keyspace in [Keyspace::Catalog, Keyspace::Documents] {
            if let Some(row) = snapshot.prefix(keyspace, &[], Direction::Forward).next() {
                row?;
                return Err(corrupt("format", &[]));
            }
        }
        return Ok(None);
    };
    let version = value.strip_prefix(layout::FORMAT_MAGIC.as_slice()).and_then(|rest| Reader(rest).u32());
    match version {
        Some(known @ 1..=FORMAT_VERSION) => Ok(Some(known)),
        Some(found) => Err(OpenError::UnknownFormat { found }),
        None => Err(corrupt("format", &value)),
    }
}

fn check_database(snapshot: &dyn Snapshot, expected: &str) -> Result<(), OpenError> {
    let found = snapshot.get(Keyspace::Catalog, layout::CATALOG_DATABASE)?.unwrap_or_default();
    if *found == *expected.as_bytes() {
        return Ok(());
    }
    Err(OpenError::WrongDatabase {
        expected: expected.to_string(),
        found: String::from_utf8_lossy(&found).into_owned(),
    })
}

type FoundCollections = (Collections, Sequence, Hlc, CollectionId);

fn read_collections(snapshot: &dyn Snapshot) -> Result<FoundCollections, OpenError> {
    let mut last = match newest_change(snapshot)? {
        Some(key) => layout::decode_sequence_key(&key).ok_or_else(|| corrupt("changes", &key))?,
        None => Sequence(0),
    };
    let mut clock = Hlc(0);
    let mut next = CollectionId(1);
    let collections = Collections::default();
    for row in snapshot.prefix(Keyspace::Catalog, &[layout::TAG_COLLECTION], Direction::Forward) {
        let (key, value) = row?;
        let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
        let mut reader = Reader(&value);
        let id = reader.u32().filter(|_| reader.end().is_some()).map(CollectionId);
        let (Some(name), Some(id)) = (name, id) else { return Err(corrupt("collection", &value)) };
        let state = match snapshot.get(Keyspace::Catalog, &layout::state_key(id))? {
            Some(value) => {
                CollectionState::decode(&value).ok_or_else(|| corrupt("collection state", &value))?
            }
            None => CollectionState::default(),
        };
        last = last.max(state.last);
        clock = clock.max(state.clock);
        next = next.max(CollectionId(id.0.saturating_add(1)));
        collections.add(Arc::new(Collection::new(id, name.into(), &state)));
    }
    for row in snapshot.prefix(Keyspace::Catalog, &[layout::TAG_AWAITED], Direction::Forward) {
        let (key, value) = row?;
        let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
        collections.add_awaited(name.ok_or_else(|| corrupt("awaited collection", &value))?.into());
    }
    Ok((collections, last, clock, next))
}

/// Gives the collections their indexes. Answers with the least free id, and what an earlier process left undone.
fn read_indexes(
    snapshot: &dyn Snapshot,
    collections: &Collections,
) -> Result<(IndexId, Vec<Unfinished>), OpenError> {
    let mut next = IndexId(1);
    let mut unfinished = Vec::new();
    for row in snapshot.prefix(Keyspace::Catalog, &[layout::TAG_INDEX], Direction::Forward) {
        let (key, value) = row?;
        let id = key.get(1..).and_then(|id| Reader(id).u32()).map(IndexId);
        let (Some(id), Some(definition)) = (id, Definition::decode(&value)) else {
            return Err(corrupt("index", &value));
        };
        next = next.max(IndexId(id.0.saturating_add(1)));
        let state = definition.state;
        if state == State::Dropped {
            unfinished.push(Unfinished::Removal(id));
            continue;
        }
        let Some(collection) = collections.by_id(definition.collection) else {
            return Err(corrupt("index", &value));
        };
        let index = Arc::new(Index::new(id, definition));
        collection.indexes.add(Arc::clone(&index));
        if state == State::Building {
            unfinished.push(Unfinished::Build(index));
        }
    }
    Ok((next, unfinished))
}

fn newest_change(snapshot: &dyn Snapshot) -> Result<Option<Bytes>, StorageError> {
    let newest = snapshot.prefix(Keyspace::Changes, &[], Direction::Backward).next().transpose()?;
    Ok(newest.map(|(key, _)| key))
}

type FoundRuns = (Sequence, u32, Vec<(RunId, SiteId, Sequence)>);

/// All runs, the number of the next one, and the last sequence, which no run may begin behind.
fn read_runs(snapshot: &dyn Snapshot, mut last: Sequence) -> Result<FoundRuns, OpenError> {
    let mut runs = Vec::new();
    let mut next = 0;
    for row in snapshot.prefix(Keyspace::Catalog, &[layout::TAG_RUN], Direction::Forward) {
        let (key, value) = row?;
        let number = key.get(1..).and_then(|number| Reader(number).u32());
        let (Some(number), Some(run)) = (number, layout::decode_run(&value)) else {
            return Err(corrupt("run", &value));
        };
        next = number.saturating_add(1);
        last = last.max(Sequence(run.2.0.saturating_sub(1)));
        runs.push(run);
    }
    Ok((last, next, runs))
}

fn append_run(
    batch: &mut Batch,
    identity: &mut Identity,
    environment: &dyn Environment,
    last: Sequence,
    new_site: bool,
) {
    if new_site {
        // 0 names nobody: the site of INITIAL documents.
        identity.site = SiteId(environment.random_u64().max(1));
        batch.put(Keyspace::Catalog, layout::CATALOG_SITE, identity.site.0.to_be_bytes());
    }
    let run = RunId(environment.random_u64().max(1));
    let first = Sequence(last.0 + 1);
    batch.put(
        Keyspace::Catalog,
        layout::run_key(identity.next_run),
        layout::encode_run(run, identity.site, first),
    );
    identity.runs.push((run, first));
    identity.next_run = identity.next_run.saturating_add(1);
    let excess = identity.runs.len().saturating_sub(MAX_RUNS);
    let oldest = identity.next_run.saturating_sub(u32::try_from(identity.runs.len()).unwrap_or(u32::MAX));
    for number in (oldest..).take(excess) {
        batch.delete(Keyspace::Catalog, layout::run_key(number));
    }
    identity.runs.drain(..excess);
}

/// Appends a run while the store is open.
pub(crate) fn begin_run(inner: &Arc<Inner>, new_site: bool) -> Result<RunId, StoreError> {
    inner.check_open()?;
    let writer = inner.writer.take(Holder::Maintenance("the beginning of a run"))?;
    let result = commit_run(inner, writer.last, new_site);
    inner.give_back(writer);
    let run = result?;
    inner.sync_to(inner.platter.newest())?;
    Ok(run)
}

fn commit_run(inner: &Inner, last: Sequence, new_site: bool) -> Result<RunId, StoreError> {
    let mut identity = inner.identity.write();
    let Identity { site, ref runs, counting, next_run } = *identity;
    let mut next = Identity { site, runs: runs.clone(), counting, next_run };
    let mut batch = Batch::new();
    append_run(&mut batch, &mut next, &*inner.environment, last, new_site);
    if new_site {
        next.counting = next.run();
    }
    inner.commit(batch)?;
    *identity = next;
    inner.platter.committed(last);
    Ok(identity.run())
}
