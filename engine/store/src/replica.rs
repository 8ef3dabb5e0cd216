//! The store as replication sees it: changes by sequence, documents and deltas by key, one atomic way in, and
//! what is remembered of each remote peer.
//!
//! A buried document has the name `00` ‖ hash of its `_id` ([`DocumentKey`]); both of its names find it, and so does the hash
//! of a document that is not buried here.
//!
//! Everything that comes from elsewhere is hostile until decoded: a delta that cannot be read, a key that is no
//! key, a stamp out of bounds refuse the one document and nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ditto_crdt::{DecodeError, Document, Record, RunId, Sequence, SiteId, Version};
use ditto_storage::{Bytes, Direction, Keyspace, prefix_end};
use ditto_value::{Object, ValueRef};

use crate::catalog::Collection;
use crate::error::StoreError;
use crate::execute::{self, Scope};
use crate::layout::{self, DocumentKey, MAX_ID_BYTES};
use crate::lifecycle::holdings::{Acknowledged, Evidence, Greeting, KnownPeer, ServedInterest};
use crate::lifecycle::{conflicts, graves, names};
use crate::merge::{self, merge_all};
use crate::store::{Inner, Store};
use crate::write::{check_collection_name, parse_record};
use crate::writer::Holder;

/// One row of the change log: the newest change of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Local number of the change.
    pub sequence: Sequence,
    /// The document that changed.
    pub key: DocumentKey,
    /// [`Incoming::origin`] of the commit, if the version after the merge equalled the one that was stated.
    pub origin: Option<u64>,
}

/// A stored document, living or tombstone.
#[derive(Clone, Debug)]
pub struct StoredDocument {
    record: Bytes,
    /// Digest of everything known about it.
    pub version: Version,
    /// Sequence of its newest change.
    pub newest: Sequence,
    /// Whether it exists for queries.
    pub alive: bool,
}

impl StoredDocument {
    /// The visible document, `_id` included; `None` for a tombstone.
    pub fn value(&self) -> Option<ValueRef<'_>> {
        crate::feed::visible(&self.record)
    }
}

/// A part of a document's state, and what the whole was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Version of the whole document.
    pub version: Version,
    /// Sequence of its newest change.
    pub newest: Sequence,
    /// [`ditto_crdt::Delta::encode`] of the asked-for part; an empty delta if there is nothing of it.
    pub delta: Vec<u8>,
}

/// A position in the history of a remote peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// A run of the remote peer.
    pub run: RunId,
    /// A sequence of the remote peer.
    pub sequence: Sequence,
}

/// Decides about one document of a collection.
pub type Matcher = Arc<dyn Fn(ValueRef<'_>) -> bool + Send + Sync>;

/// A compiled subscription.
#[derive(Clone)]
pub struct Interest {
    /// The one collection that it selects from.
    pub collection: Arc<str>,
    /// Canonical text; arguments are not part of it.
    pub normalized: String,
    /// Whether every document of the collection matches.
    pub unfiltered: bool,
    /// Whether a living document matches.
    pub matcher: Matcher,
}

impl std::fmt::Debug for Interest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Interest").field("normalized", &self.normalized).finish_non_exhaustive()
    }
}

/// How far the history of a remote peer was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// A run of that peer.
    pub run: RunId,
    /// The newest of its local sequences that was told.
    pub sequence: Sequence,
    /// How much was durable there when it was told. Of a number that is not after the sequence nothing is kept.
    pub durable: Sequence,
}

impl Seen {
    /// The last sequence that the history must have.
    pub(crate) fn rests_on(&self) -> Sequence {
        self.durable.max(self.sequence)
    }
}

/// A document that a remote peer sent.
#[derive(Clone, Debug)]
pub struct IncomingDocument {
    /// Its name.
    pub key: DocumentKey,
    /// [`ditto_crdt::Delta::encode`], as received.
    pub delta: Vec<u8>,
    /// The version that the sender says it holds.
    pub stated: Version,
}

/// What is applied in one commit.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The sender.
    pub from: [u8; 32],
    /// 8 bytes that stand for the sender in the change log.
    pub origin: u64,
    /// Documents to merge.
    pub documents: Vec<IncomingDocument>,
    /// Positions in the sender's history that hold once the documents are merged, by effective interest.
    pub checkpoints: Vec<([u8; 16], Checkpoint)>,
    /// How far a run of the sender was seen; never lowers what is recorded.
    pub seen: Option<Seen>,
    /// [`Replica::eviction_total`] when it was found out that merging leaves no gap; `None` if nothing depends on that.
    pub evictions: Option<u64>,
}

/// How one document fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Version right before the merge; `None` if the document was unknown.
    pub before: Option<Version>,
    /// Version right after it.
    pub after: Version,
    /// Something of what was sent is dead here: written under a birth that is removed.
    pub absorbed: bool,
}

/// What [`Replica::apply`] did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Last sequence after the commit.
    pub last: Sequence,
    /// One for each document, in their order.
    pub outcomes: Vec<Result<Outcome, Refused>>,
}

/// Why a document was not merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The delta or the key cannot be read, or breaks a rule.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The document would become larger than can travel, or than anybody takes: see [`ditto_crdt::Size::check`].
    #[error("too large: {0}")]
    TooLarge(String),
}

/// Access for replication. Cheap to clone; all methods block, and take time proportional to what they return.
#[derive(Clone)]
pub struct Replica {
    store: Store,
}

impl Replica {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The identity under which this store writes.
    pub fn site(&self) -> SiteId {
        self.store.site()
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn wall_clock_ms(&self) -> u64 {
        self.store.inner.environment.now_ms()
    }

    /// The newest runs, oldest first, with the first sequence of each.
    pub fn runs(&self) -> Vec<(RunId, Sequence)> {
        self.store.runs()
    }

    /// The last of [`Self::runs`].
    pub fn current_run(&self) -> RunId {
        self.store.current_run()
    }

    /// The newest sequence: of all rows that were read before, none is newer. While a commit becomes visible it may be the one of
    /// that, which [`Store::last_sequence`] tells when all is done.
    pub fn last_sequence(&self) -> Sequence {
        Sequence(self.store.inner.announced.load(Ordering::Acquire))
    }

    /// The newest sequence that survives a loss of power.
    pub fn durable_sequence(&self) -> Sequence {
        self.store.durable_sequence()
    }

    /// Rows of the change log with `after < sequence <= up_to`, ascending, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn changes(&self, after: Sequence, up_to: Sequence, limit: usize) -> Result<Vec<Change>, StoreError> {
        let inner = &self.store.inner;
        let (low, high) = (layout::sequence_key(after), layout::sequence_key(up_to));
        if after >= up_to || limit == 0 {
            return Ok(Vec::new());
        }
        let snapshot = inner.storage.snapshot();
        let range = (Bound::Excluded(&low[..]), Bound::Included(&high[..]));
        let mut changes = Vec::new();
        let mut collection: Option<Arc<Collection>> = None;
        for row in snapshot.range(Keyspace::Changes, range, Direction::Forward).take(limit) {
            let (key, value) = row?;
            let (sequence, document, origin) = read_change(&key, &value)?;
            let (id, encoded) = layout::split_document_key(document).ok_or_else(corrupt_change)?;
            if collection.as_ref().is_none_or(|collection| collection.id != id) {
                collection = inner.collections.by_id(id);
            }
            let name = collection.as_ref().map(|collection| Arc::clone(&collection.name));
            let name = name.ok_or_else(corrupt_change)?;
            let key = DocumentKey { collection: name, id: encoded.into() };
            changes.push(Change { sequence, key, origin });
        }
        Ok(changes)
    }

    /// First and last sequence of the commit that `sequence` belongs to.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn commit_of(&self, sequence: Sequence) -> Result<(Sequence, Sequence), StoreError> {
        let snapshot = self.store.inner.storage.snapshot();
        let low = layout::sequence_key(sequence);
        let range = (Bound::Included(&low[..]), Bound::Unbounded);
        let row = snapshot.range(Keyspace::Commits, range, Direction::Forward).next().transpose()?;
        let Some((key, value)) = row else { return Ok((sequence, sequence)) };
        let (last, first) = (layout::decode_sequence_key(&key), layout::decode_sequence_key(&value));
        let (Some(last), Some(first)) = (last, first) else {
            return Err(StoreError::corrupt("a row of commits cannot be read"));
        };
        Ok(if first <= sequence { (first, last) } else { (sequence, sequence) })
    }

    /// The document; `None` if it is unknown or evicted.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn document(&self, key: &DocumentKey) -> Result<Option<StoredDocument>, StoreError> {
        self.record(key)?.map(stored_document).transpose()
    }

    /// Documents of the collection in the order of their keys, living ones and tombstones, with everything of them as
    /// [`Replica::delta_since`] has it: those after the key `after`, from the first one for the empty key. At most `limit`, and
    /// no more once their deltas have `bytes` bytes; none if there are no more.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn documents(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, Excerpt)>, StoreError> {
        let inner = &self.store.inner;
        let Some(collection) = inner.collections.get(collection) else { return Ok(Vec::new()) };
        let low = layout::document_key(collection.id, after);
        let high = prefix_end(&layout::collection_prefix(collection.id));
        let range = (Bound::Excluded(&low[..]), high.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        let snapshot = inner.storage.snapshot();
        let (mut documents, mut read) = (Vec::new(), 0);
        for row in snapshot.range(Keyspace::Documents, range, Direction::Forward).take(limit) {
            let (key, record) = row?;
            let parsed = parse_record(&record)?;
            let delta =
                parsed.delta_since(Sequence(0)).map_err(|error| StoreError::corrupt(error.to_string()))?;
            read += delta.len();
            let key = DocumentKey {
                collection: Arc::clone(&collection.name),
                id: layout::id_of_document_key(&key).into(),
            };
            documents.push((key, Excerpt { version: parsed.version, newest: parsed.newest_sequence, delta }));
            if read >= bytes {
                break;
            }
        }
        Ok(documents)
    }

    /// Documents of the collection as [`Replica::document`] finds them: first those that are not buried, in the order of their
    /// keys, then the buried ones, in the order of their hashes. Those after the key `after`, from the first one for the empty
    /// key; at most `limit`, and no more once their records have `bytes` bytes; none if there are no more. A document that is
    /// buried between two calls may be in both results.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn stock(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, StoredDocument)>, StoreError> {
        let inner = &self.store.inner;
        let Some(collection) = inner.collections.get(collection) else { return Ok(Vec::new()) };
        let snapshot = inner.storage.snapshot();
        let (mut stock, mut read) = (Vec::new(), 0);
        let mut add = |id: Arc<[u8]>, record: Bytes| {
            read += record.len();
            let key = DocumentKey { collection: Arc::clone(&collection.name), id };
            stock.push((key, stored_document(record)?));
            Ok::<_, StoreError>(stock.len() >= limit || read >= bytes)
        };
        let buried_after = names::as_hash(after);
        if buried_after.is_none() {
            let low = layout::document_key(collection.id, after);
            let high = prefix_end(&layout::collection_prefix(collection.id));
            let high = high.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let range = (Bound::Excluded(&low[..]), high);
            for row in snapshot.range(Keyspace::Documents, range, Direction::Forward) {
                let (key, record) = row?;
                if add(layout::id_of_document_key(&key).into(), record)? {
                    return Ok(stock);
                }
            }
        }
        for grave in graves::after(&*snapshot, collection.id, buried_after.as_ref()) {
            let (hash, record) = grave?;
            if add(names::hash_name(&hash)[..].into(), record)? {
                break;
            }
        }
        Ok(stock)
    }

    /// The name by its `_id` of a document that `key` names by its hash, if it is held here and not buried.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn named(&self, key: &DocumentKey) -> Result<Option<DocumentKey>, StoreError> {
        let inner = &self.store.inner;
        let Some(hash) = names::as_hash(&key.id) else { return Ok(None) };
        let Some(collection) = inner.collections.get(&key.collection) else { return Ok(None) };
        let snapshot = inner.storage.snapshot();
        if graves::grave(&*snapshot, collection.id, &hash)?.is_some() {
            return Ok(None);
        }
        let found = inner.names.find(&*snapshot, collection.id, &hash)?;
        let id = found.as_deref().and_then(layout::split_document_key).map(|(_, id)| id.into());
        Ok(id.map(|id| DocumentKey { collection: Arc::clone(&key.collection), id }))
    }

    /// Births and entries whose local sequence is greater than `after`; all of them for 0. `None` also if `key` names by its
    /// hash a document that is alive: it has another name, and that is to be asked for.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn delta_since(&self, key: &DocumentKey, after: Sequence) -> Result<Option<Excerpt>, StoreError> {
        self.excerpt(key, |record| record.delta_since(after))
    }

    /// The version, and the hashes of all births and entries; nothing and none if the document is unknown.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn entry_hashes(&self, key: &DocumentKey) -> Result<(Version, Vec<u128>), StoreError> {
        let Some(record) = self.record(key)? else { return Ok(Default::default()) };
        Ok((parse_record(&record)?.version, decode(&record)?.entry_hashes()))
    }

    /// Births and entries whose hashes are not among `known`; `None` as [`Replica::delta_since`].
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn delta_lacking(&self, key: &DocumentKey, known: &[u128]) -> Result<Option<Excerpt>, StoreError> {
        let known: HashSet<u128> = known.iter().copied().collect();
        self.excerpt(key, |record| Ok(record.document()?.delta_lacking(&known).encode()))
    }

    /// The version that merging `delta` into the present state would yield. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn merged_version(
        &self,
        key: &DocumentKey,
        delta: &[u8],
    ) -> Result<Result<Version, Refused>, StoreError> {
        let delta = match merge::read_delta(delta) {
            Ok(delta) => delta,
            Err(refused) => return Ok(Err(refused)),
        };
        let record = self.record(key)?;
        let known = record.as_deref().map(parse_record).transpose()?;
        let mut document = match &record {
            Some(record) => decode(record)?,
            None => Document::new(),
        };
        let only_removes = delta.only_removes();
        if !document.take(delta, Sequence(self.last_sequence().0 + 1)).changed {
            return Ok(Ok(known.map_or(Version::NOTHING, |record| record.version)));
        }
        merge::check_merged(&document, known.as_ref().filter(|_| only_removes))
    }

    /// Compiles a subscription; it may come from a remote peer.
    ///
    /// # Errors
    /// [`StoreError::Compile`].
    pub fn compile(&self, query: &str, arguments: &Object) -> Result<Interest, StoreError> {
        compile(&self.store.inner, query, arguments)
    }

    /// How often documents were evicted from the collection; survives restarts, never falls.
    pub fn eviction_count(&self, collection: &str) -> u64 {
        let collection = self.store.inner.collections.get(collection);
        collection.map_or(0, |collection| collection.evictions.load(Ordering::Acquire))
    }

    /// The position in `remote`'s history that was applied for an effective interest.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn checkpoint(
        &self,
        remote: &[u8; 32],
        interest: &[u8; 16],
    ) -> Result<Option<Checkpoint>, StoreError> {
        let key = layout::checkpoint_key(remote, interest);
        let Some(row) = self.store.inner.storage.get(Keyspace::Replication, &key)? else { return Ok(None) };
        self.store.inner.recency.read(&key);
        let (run, sequence) = layout::decode_checkpoint(&row)
            .ok_or_else(|| StoreError::corrupt("a checkpoint cannot be read"))?;
        Ok(Some(Checkpoint { run, sequence }))
    }

    /// How far each run of `remote` was seen: first the runs of which there is a checkpoint, and each time first what rests on
    /// most. Takes time proportional to the rows of `remote`.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn remembered(&self, remote: &[u8; 32]) -> Result<Vec<Seen>, StoreError> {
        let snapshot = self.store.inner.storage.snapshot();
        let mut named = BTreeSet::new();
        let prefix = layout::checkpoint_prefix(remote);
        for row in snapshot.prefix(Keyspace::Replication, &prefix, Direction::Forward) {
            named.extend(layout::decode_checkpoint(&row?.1).map(|(run, _)| run));
        }
        let prefix = layout::seen_prefix(remote);
        let mut all = Vec::new();
        for row in snapshot.prefix(Keyspace::Replication, &prefix, Direction::Forward) {
            let (key, value) = row?;
            let run = key.get(prefix.len()..).and_then(layout::decode_sequence_key);
            let (Some(run), Some((sequence, durable))) = (run, layout::decode_seen(&value)) else {
                return Err(StoreError::corrupt("what was seen of a run cannot be read"));
            };
            all.push(Seen { run: RunId(run.0), sequence, durable });
        }
        all.sort_by_key(|seen| Reverse((named.contains(&seen.run), seen.rests_on(), seen.run)));
        Ok(all)
    }

    /// How far one run of `remote` was seen, if anything was.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Corrupt`].
    pub fn seen(&self, remote: &[u8; 32], run: RunId) -> Result<Option<Seen>, StoreError> {
        let row = self.store.inner.storage.get(Keyspace::Replication, &layout::seen_key(remote, run))?;
        let Some(row) = row else { return Ok(None) };
        let (sequence, durable) = layout::decode_seen(&row)
            .ok_or_else(|| StoreError::corrupt("what was seen of a run cannot be read"))?;
        Ok(Some(Seen { run, sequence, durable }))
    }

    /// How often documents were evicted from all collections together; survives restarts, never falls.
    pub fn eviction_total(&self) -> u64 {
        self.store.inner.collections.statistics().iter().map(|collection| collection.evictions).sum()
    }

    /// A remote peer has introduced itself. What it is known to hold is void if it has evicted since, has another
    /// identity, or lost a part of its history; returns whether it is.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Closed`].
    pub fn greeted(&self, remote: &[u8; 32], origin: u64, greeting: Greeting) -> Result<bool, StoreError> {
        let inner = &self.store.inner;
        let now_ms = inner.environment.now_ms();
        if let Some(clock_ms) = greeting.clock_ms {
            inner.skews.compared(inner, remote, clock_ms, now_ms);
        }
        self.store_void(inner.holdings.greeted(remote, origin, greeting, self.last_sequence(), now_ms))
    }

    /// A remote peer says how often it has evicted by now, as [`Replica::greeted`].
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Closed`].
    pub fn remote_evicted(&self, remote: &[u8; 32], evictions: u64) -> Result<bool, StoreError> {
        self.store_void(self.store.inner.holdings.evicted(remote, evictions, self.last_sequence()))
    }

    fn store_void(&self, evidence: Evidence) -> Result<bool, StoreError> {
        if let Evidence::Void { must_be_stored: true } = evidence {
            self.store.inner.store_holdings()?;
        }
        Ok(evidence != Evidence::Stands)
    }

    /// The remote peers that are remembered, and how far they have what is here.
    pub fn known_peers(&self) -> Vec<KnownPeer> {
        let reached = |(mut known, unheld): (KnownPeer, Vec<Sequence>)| {
            if let Some(up_to) = &mut known.acknowledged
                && let Some(first) =
                    unheld.into_iter().take_while(|row| row <= up_to).find(|row| self.is_there(*row))
            {
                *up_to = Sequence(first.0.saturating_sub(1));
            }
            known.acknowledged = known.acknowledged.filter(|up_to| *up_to > Sequence::ZERO);
            known
        };
        self.store.inner.holdings.known_peers().into_iter().map(reached).collect()
    }

    /// Of what a remote peer acknowledged and did not take, and has not taken since as it was, the rows of the change log
    /// ([`Sent::row`](crate::Sent::row)) with the collections: a document that has changed since has another one.
    pub fn withheld(&self, remote: &[u8; 32]) -> Vec<(Sequence, Arc<str>)> {
        self.store.inner.holdings.withheld(remote)
    }

    /// Whether there is a row of the change log. If the storage fails, there may be.
    fn is_there(&self, row: Sequence) -> bool {
        let before = Sequence(row.0.saturating_sub(1));
        self.changes(before, row, 1).map_or(true, |changes| !changes.is_empty())
    }

    /// How far a remote peer was offered what was taken from others of a collection, if that was ever recorded.
    pub fn offered(&self, remote: &[u8; 32], collection: &str) -> Option<Sequence> {
        self.store.inner.holdings.offered(remote, collection)
    }

    /// Records how far a remote peer was offered what was taken from others of a collection: a durable local sequence. Stored with
    /// one of the next commits.
    pub fn set_offered(&self, remote: &[u8; 32], collection: &str, up_to: Sequence) {
        self.store.inner.holdings.set_offered(remote, collection, up_to);
    }

    /// A remote peer asks for something, and is served from now on. Of what it asked for before, at most
    /// [`MAX_REMEMBERED_INTERESTS`](crate::MAX_REMEMBERED_INTERESTS) are remembered, with the last ones. Waits for the writer when
    /// nobody has asked for the collection before.
    pub fn serves(&self, remote: &[u8; 32], origin: u64, interest: ServedInterest) {
        let inner = &self.store.inner;
        let collection =
            ditto_dql::subscribed_collection(&interest.query).map(|collection| collection.to_string());
        let (last, now_ms) = (self.last_sequence(), inner.environment.now_ms());
        let evidence = inner.holdings.serves(remote, origin, interest, last, now_ms);
        if let Err(error) = self.store_void(evidence) {
            tracing::warn!(%error, "that a peer has lost what it had acknowledged is not stored");
        }
        if let Err(error) = self.remember_sharing(collection.as_deref().into_iter()) {
            tracing::warn!(%error, ?collection, "that a peer asks for a collection is not stored");
        }
        let excess = inner.holdings.excess(remote);
        let collections = excess.iter().filter_map(|(_, collection)| collection.as_deref());
        // If the storage fails, they stay until the next time.
        if !excess.is_empty() && self.remember_sharing(collections).is_ok() {
            inner.holdings.forget_interests(remote, excess.iter().map(|(selection, _)| selection));
        }
    }

    /// That a peer asked for a collection must be forgotten neither with its interest, of which not all are kept and none is stored
    /// at once, nor with the process: what was written there must not be evicted, and what was deleted not be buried, before
    /// somebody has heard of it. A commit, at most once for each collection.
    fn remember_sharing<'c>(&self, collections: impl Iterator<Item = &'c str>) -> Result<(), StoreError> {
        let inner = &self.store.inner;
        let is_unshared =
            |name: &&str| check_collection_name(name).is_ok() && !inner.collections.is_shared(name);
        let unshared: Vec<&str> = collections.filter(is_unshared).collect();
        if unshared.is_empty() {
            return Ok(());
        }
        let mut transaction = inner.begin_write_as(Holder::Sync)?;
        unshared.into_iter().for_each(|name| transaction.share_by_name(name));
        transaction.commit()?;
        // Whoever syncs hears of it.
        inner.deliver_commits();
        Ok(())
    }

    /// A remote peer holds what it was sent, durably, but for the exceptions. Those are stored at once, the rest is kept in memory at
    /// first: what a crash takes of it is heard again.
    pub fn acknowledged(&self, remote: &[u8; 32], acknowledged: &Acknowledged) {
        let inner = &self.store.inner;
        let must_be_stored = inner.holdings.acknowledged(remote, acknowledged, self.last_sequence());
        if must_be_stored && let Err(error) = inner.store_holdings() {
            tracing::warn!(%error, "that a peer did not take what it was sent is not stored");
        }
    }

    /// Merges documents and records checkpoints in one commit. A refused document does not stop the others.
    /// Changes without effect get no sequence.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Closed`], [`StoreError::Evicted`]; then nothing was applied.
    pub fn apply(&self, incoming: Incoming) -> Result<Applied, StoreError> {
        let inner = &self.store.inner;
        let mut transaction = inner.begin_write_as(Holder::Sync)?;
        if incoming.evictions.is_some_and(|evictions| evictions != self.eviction_total()) {
            return Err(StoreError::Evicted);
        }
        transaction.set_origin(incoming.origin);
        let now_ms = transaction.now_ms;
        if !incoming.documents.is_empty() {
            inner.holdings.met(&incoming.from, incoming.origin, now_ms);
        }
        let (outcomes, conflicts) = merge_all(&mut transaction, &incoming)?;
        conflicts::report(&mut transaction, conflicts)?;
        for (interest, checkpoint) in &incoming.checkpoints {
            transaction.put_row(
                Keyspace::Replication,
                layout::checkpoint_key(&incoming.from, interest),
                layout::encode_checkpoint(checkpoint.run, checkpoint.sequence, now_ms),
            );
        }
        if let Some(seen) = incoming.seen {
            let key = layout::seen_key(&incoming.from, seen.run);
            let known = inner.storage.get(Keyspace::Replication, &key)?;
            let known = known.and_then(|row| layout::decode_seen(&row));
            let (sequence, durable) = known.unwrap_or_default();
            if known.is_none() || sequence < seen.sequence || durable.max(sequence) < seen.durable {
                let (sequence, durable) = (sequence.max(seen.sequence), durable.max(seen.durable));
                let value = layout::encode_seen(sequence, durable, now_ms);
                transaction.put_row(Keyspace::Replication, key, value);
            }
        }
        transaction.commit()?;
        let last = inner.last_sequence();
        inner.deliver_commits();
        for (document, outcome) in incoming.documents.iter().zip(&outcomes) {
            if matches!(outcome, Ok(outcome) if outcome.after == document.stated) {
                inner.holdings.is_equal(&incoming.from, &document.key.collection, &document.key.id);
            }
        }
        Ok(Applied { last, outcomes })
    }

    fn record(&self, key: &DocumentKey) -> Result<Option<Bytes>, StoreError> {
        let inner = &self.store.inner;
        let Some(collection) = inner.collections.get(&key.collection) else { return Ok(None) };
        if key.id.is_empty() || key.id.len() > MAX_ID_BYTES {
            return Ok(None);
        }
        graves::found(inner, collection.id, &key.id)
    }

    fn excerpt(
        &self,
        key: &DocumentKey,
        part: impl FnOnce(&Record<'_>) -> Result<Vec<u8>, DecodeError>,
    ) -> Result<Option<Excerpt>, StoreError> {
        let Some(record) = self.record(key)? else { return Ok(None) };
        let parsed = parse_record(&record)?;
        if parsed.alive && names::as_hash(&key.id).is_some() {
            return Ok(None);
        }
        let delta = part(&parsed).map_err(|error| StoreError::corrupt(error.to_string()))?;
        Ok(Some(Excerpt { version: parsed.version, newest: parsed.newest_sequence, delta }))
    }
}

fn stored_document(record: Bytes) -> Result<StoredDocument, StoreError> {
    let parsed = parse_record(&record)?;
    let (version, newest, alive) = (parsed.version, parsed.newest_sequence, parsed.alive);
    Ok(StoredDocument { record, version, newest, alive })
}

/// Compiles a subscription.
pub(crate) fn compile(inner: &Inner, query: &str, arguments: &Object) -> Result<Interest, StoreError> {
    let subscription = ditto_dql::subscription(query, arguments)?;
    let collection: Arc<str> = subscription.collection.to_string().into();
    let arguments = arguments.clone();
    let filter = subscription.filter;
    let unfiltered = filter.is_none();
    let settings = inner.parameters.settings();
    let matcher: Matcher = Arc::new(move |document| {
        let scope = Scope {
            arguments: (&arguments).into(),
            now_ms: 0,
            settings,
            request: None,
            plans: None,
            running: None,
        };
        execute::accepts(filter.as_ref(), &scope, document)
    });
    Ok(Interest { collection, normalized: subscription.normalized, unfiltered, matcher })
}

fn corrupt_change() -> StoreError {
    StoreError::corrupt("a row of changes cannot be read")
}

/// Sequence, `documents` key and origin of a row of `changes`.
pub(crate) fn read_change<'r>(
    key: &[u8],
    value: &'r [u8],
) -> Result<(Sequence, &'r [u8], Option<u64>), StoreError> {
    let sequence = layout::decode_sequence_key(key).ok_or_else(corrupt_change)?;
    let (document, origin) = layout::decode_change(value).ok_or_else(corrupt_change)?;
    Ok((sequence, document, origin))
}

fn decode(record: &[u8]) -> Result<Document, StoreError> {
    parse_record(record)?.document().map_err(|error| StoreError::corrupt(error.to_string()))
}
