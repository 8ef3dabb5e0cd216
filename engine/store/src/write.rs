//! The write transaction: every statement that changes something runs in one, alone or with others.
//!
//! It keeps changed records in memory, over the storage, until it commits them as one batch:
//!
//! * a row of `documents` for each changed document, none for an evicted one: if it had removed births, a grave of them;
//! * its row of `changes`, and the removal of the row of its previous change;
//! * of a document that died, a row that waits for its burial; of one that was buried, the removal of its grave;
//! * a row of `commits` if more than one document changed;
//! * the rows of each changed document in the indexes of its collection, where its fields changed;
//! * the counters of each touched collection, with the clock and the last sequence.
//!
//! Only after the batch is written do the counters in memory change and the feed hear of it, both while the
//! writer is still held, so that everybody sees commits in one order.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ditto_crdt::{Hlc, Record, RunId, Sequence, SiteId, Stamp};
use ditto_storage::{Batch, Bytes, Keyspace};
use ditto_value::{MAX_DEPTH, Tree, Value};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::catalog::Collection;
use crate::durability::Mark;
use crate::error::{DataError, StoreError};
use crate::feed::{self, ChangedDocument, Commit};
use crate::index::{self, PendingRows, Upkeep};
use crate::layout::{
    self, CollectionId, CollectionState, DocumentKey, MAX_COLLECTION_NAME_BYTES, MAX_ID_BYTES,
};
use crate::lifecycle::evictions::{EVICTIONS, Report};
use crate::lifecycle::{conflicts, graves, names, rows};
use crate::pending::{Pending, PendingDocuments};
use crate::replica::read_change;
use crate::store::Inner;
use crate::virtual_collections::SYSTEM_PREFIX;
use crate::writer::Writer;

/// A collection that the transaction touched.
#[derive(Clone)]
struct Touched {
    collection: Arc<Collection>,
    created: bool,
    /// Change of the number of living documents.
    documents: i64,
    /// Change of the number of graves. Known when the batch is put together.
    graves: i64,
    evictions: u64,
    /// Remote peers have a part in it.
    shared: bool,
}

impl Touched {
    fn new(collection: &Arc<Collection>, created: bool) -> Self {
        let collection = Arc::clone(collection);
        Self { collection, created, documents: 0, graves: 0, evictions: 0, shared: false }
    }
}

/// What a failed statement of a longer transaction is undone by.
pub(crate) struct Savepoint {
    next: Sequence,
    touched: Vec<Touched>,
    next_collection: CollectionId,
    evictions: usize,
}

/// A new record of a document.
pub(crate) struct NewRecord {
    pub record: Bytes,
    pub was_alive: bool,
    pub is_alive: bool,
    /// Who sent it, if it is exactly what they hold.
    pub origin: Option<u64>,
}

/// What a commit did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    /// Never 0.
    pub commit_id: u64,
    pub mark: Mark,
}

pub(crate) struct WriteTransaction {
    pub(crate) inner: Arc<Inner>,
    /// `Some` until the end.
    writer: Option<Box<Writer>>,
    pub(crate) now_ms: u64,
    site: SiteId,
    pub(crate) run: RunId,
    counting: RunId,
    stamp: Hlc,
    first: Sequence,
    next: Sequence,
    pending: PendingDocuments,
    touched: Vec<Touched>,
    /// Collections that are not there, and that remote peers asked for.
    awaited: Vec<Box<str>>,
    /// Rows beside documents: checkpoints and the like.
    rows: Batch,
    /// While a savepoint is set: what it changed, as it was.
    undo: Option<Vec<(Bytes, Option<Pending>)>>,
    /// Rows of `pending` in indexes; `None` until a statement asks for some.
    index_rows: Mutex<Option<Box<PendingRows>>>,
    origin: Option<u64>,
    /// Virtual collections that show what the transaction changes.
    virtuals: Vec<&'static str>,
    /// What there is of reports of conflicts after the commit, if it adds some.
    pub(crate) conflicts: Option<conflicts::Totals>,
    /// What its EVICTs did.
    evictions: Vec<Report>,
}

impl WriteTransaction {
    /// Begins with the writer that was waited for.
    pub(crate) fn new(inner: Arc<Inner>, writer: Box<Writer>) -> Self {
        let now_ms = inner.environment.now_ms();
        let first = Sequence(writer.last.0 + 1);
        let (site, run, counting) = {
            let identity = inner.identity.read();
            (identity.site, identity.run(), identity.counting)
        };
        Self {
            inner,
            writer: Some(writer),
            now_ms,
            site,
            run,
            counting,
            stamp: Hlc::ZERO,
            first,
            next: first,
            pending: PendingDocuments::default(),
            touched: Vec::new(),
            awaited: Vec::new(),
            rows: Batch::new(),
            undo: None,
            index_rows: Mutex::new(None),
            origin: None,
            virtuals: Vec::new(),
            conflicts: None,
            evictions: Vec::new(),
        }
    }

    /// What the slots of counters are named by, see [`crate::catalog::Identity::counting`].
    pub(crate) fn counting(&self) -> RunId {
        self.counting
    }

    /// The sender of everything in this transaction, for the feed.
    pub(crate) fn set_origin(&mut self, origin: u64) {
        self.origin = Some(origin);
    }

    /// The collection, also if this transaction made it.
    pub(crate) fn collection(&self, name: &str) -> Option<Arc<Collection>> {
        let touched = self.touched.iter().find(|touched| &*touched.collection.name == name);
        match touched {
            Some(touched) => Some(Arc::clone(&touched.collection)),
            None => self.inner.collections.get(name),
        }
    }

    /// The collection; made by this transaction if it does not exist.
    pub(crate) fn collection_for_write(&mut self, name: &str) -> Result<Arc<Collection>, StoreError> {
        if let Some(collection) = self.collection(name) {
            return Ok(collection);
        }
        check_collection_name(name)?;
        let Some(writer) = &mut self.writer else { return Err(StoreError::TransactionEnded) };
        let id = writer.next_collection;
        writer.next_collection = CollectionId(id.0 + 1);
        let collection = Arc::new(Collection::new(id, name.into(), &CollectionState::default()));
        self.touched.push(Touched::new(&collection, true));
        Ok(collection)
    }

    fn touch(&mut self, collection: &Arc<Collection>) -> &mut Touched {
        let found = self.touched.iter().position(|touched| touched.collection.id == collection.id);
        let index = found.unwrap_or(self.touched.len());
        if found.is_none() {
            self.touched.push(Touched::new(collection, false));
        }
        #[expect(clippy::indexing_slicing, reason = "found, or pushed just now")]
        &mut self.touched[index]
    }

    /// Living documents of the collection as this transaction sees them.
    pub(crate) fn count(&self, collection: &Collection) -> u64 {
        let delta = self.touched.iter().find(|touched| touched.collection.id == collection.id);
        collection
            .documents
            .load(Ordering::Acquire)
            .saturating_add_signed(delta.map_or(0, |touched| touched.documents))
    }

    /// The record under a `documents` key, tombstones included, buried ones too. The key may name a buried document by its
    /// hash.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.pending.get(key) {
            Some(pending) => Ok(pending.after.clone()),
            None => graves::stored(&self.inner, key),
        }
    }

    /// Remote peers have a part in the collection from now on.
    pub(crate) fn share(&mut self, collection: &Arc<Collection>) {
        self.touch(collection).shared = true;
    }

    /// As [`Self::share`] by the name, also if the collection is not there yet.
    pub(crate) fn share_by_name(&mut self, name: &str) {
        if let Some(collection) = self.collection(name) {
            self.share(&collection);
        } else {
            self.put_row(Keyspace::Catalog, layout::awaited_key(name), Vec::new());
            self.awaited.push(name.into());
        }
    }

    /// A virtual collection shows what the transaction changes.
    pub(crate) fn changes_virtual(&mut self, name: &'static str) {
        self.virtuals.push(name);
    }

    /// An EVICT has done this.
    pub(crate) fn evicted(&mut self, report: Report) {
        self.evictions.push(report);
    }

    /// The documents that this transaction changed.
    pub(crate) fn changed(&self) -> &PendingDocuments {
        &self.pending
    }

    /// The rows that [`WriteTransaction::changed`] has in indexes. Whoever holds the guard must not ask again.
    pub(crate) fn index_rows(&self) -> Result<MappedMutexGuard<'_, PendingRows>, StoreError> {
        let mut rows = MutexGuard::map(self.index_rows.lock(), |rows| {
            &mut **rows
                .get_or_insert_with(|| Box::new(PendingRows::new(self.pending.iter().map(|(key, _)| key))))
        });
        rows.refresh(&self.pending, &self.upkeep())?;
        Ok(rows)
    }

    fn upkeep(&self) -> Upkeep {
        Upkeep::new(self.touched.iter().map(|touched| &touched.collection))
    }

    /// A stamp of this transaction that exceeds `newest`, the newest stamp of what it is to replace. The same one as
    /// before wherever that is possible; a document from a far future gets one of its own.
    pub(crate) fn stamp(&mut self, newest: Hlc) -> Result<Stamp, StoreError> {
        let Some(writer) = &mut self.writer else { return Err(StoreError::TransactionEnded) };
        let mut time = self.stamp;
        if time == Hlc::ZERO || newest >= time {
            time = writer.clock.stamp(self.now_ms, Some(newest));
            if time == writer.clock.last() {
                self.stamp = time;
            }
        }
        Ok(Stamp::new(time, self.site))
    }

    /// Lets the clock follow what came from elsewhere.
    pub(crate) fn observe(&mut self, newest: Hlc) {
        if let Some(writer) = &mut self.writer {
            writer.clock.observe(newest, self.now_ms);
        }
    }

    /// The sequence that a write to this document gets: the one it has in this transaction, else the next.
    pub(crate) fn sequence_of(&self, key: &[u8]) -> Sequence {
        self.pending.get(key).and_then(|pending| pending.sequence).unwrap_or(self.next)
    }

    /// [`WriteTransaction::get`] and [`WriteTransaction::sequence_of`] in one.
    pub(crate) fn get_with_sequence(&self, key: &[u8]) -> Result<(Option<Bytes>, Sequence), StoreError> {
        match self.pending.get(key) {
            Some(pending) => Ok((pending.after.clone(), pending.sequence.unwrap_or(self.next))),
            None => Ok((graves::stored(&self.inner, key)?, self.next)),
        }
    }

    /// The sequence of the next document that changes for the first time in this transaction.
    pub(crate) fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// Puts a record that was written with [`WriteTransaction::sequence_of`]. `before` is what
    /// [`WriteTransaction::get`] gave.
    pub(crate) fn put(
        &mut self,
        collection: &Arc<Collection>,
        key: Bytes,
        before: Option<Bytes>,
        new: NewRecord,
    ) {
        self.touch(collection).documents += i64::from(new.is_alive) - i64::from(new.was_alive);
        let next = self.next;
        let sequence = self.replace(key, before, |pending| {
            pending.after = Some(new.record);
            pending.evicted = false;
            pending.origin = new.origin;
            *pending.sequence.get_or_insert(next)
        });
        if sequence == next {
            self.next = Sequence(next.0 + 1);
        }
    }

    /// Forgets a document but for its removed births. `before` is what [`WriteTransaction::get`] gave.
    pub(crate) fn evict(
        &mut self,
        collection: &Arc<Collection>,
        key: Bytes,
        before: Bytes,
    ) -> Result<(), StoreError> {
        let was_alive = parse_record(&before)?.alive;
        let left = graves::left_of(&before)?;
        let touched = self.touch(collection);
        touched.documents -= i64::from(was_alive);
        touched.evictions += 1;
        self.replace(key, Some(before), |pending| {
            pending.after = left;
            pending.evicted = true;
        });
        Ok(())
    }

    fn replace<T>(&mut self, key: Bytes, before: Option<Bytes>, change: impl FnOnce(&mut Pending) -> T) -> T {
        if let Some(rows) = self.index_rows.get_mut() {
            rows.touch(&key);
        }
        let (pending, new) =
            self.pending.get_or_insert_with(&key, || Pending { before, ..Pending::default() });
        if let Some(undo) = &mut self.undo {
            undo.push((key, (!new).then(|| pending.clone())));
        }
        change(pending)
    }

    /// Adds a row that is written with the documents.
    pub(crate) fn put_row(&mut self, keyspace: Keyspace, key: Vec<u8>, value: Vec<u8>) {
        self.rows.put(keyspace, key, value);
    }

    /// Removes a row together with what is written.
    pub(crate) fn delete_row(&mut self, keyspace: Keyspace, key: Vec<u8>) {
        self.rows.delete(keyspace, key);
    }

    /// Remembers this moment, until [`WriteTransaction::release`] or [`WriteTransaction::rollback_to`].
    pub(crate) fn savepoint(&mut self) -> Savepoint {
        self.undo = Some(Vec::new());
        Savepoint {
            next: self.next,
            touched: self.touched.clone(),
            next_collection: self.writer.as_ref().map_or(CollectionId(0), |writer| writer.next_collection),
            evictions: self.evictions.len(),
        }
    }

    /// Keeps what happened since the savepoint.
    pub(crate) fn release(&mut self) {
        self.undo = None;
    }

    /// Undoes everything since the savepoint.
    pub(crate) fn rollback_to(&mut self, savepoint: Savepoint) {
        for (key, pending) in self.undo.take().unwrap_or_default().into_iter().rev() {
            if let Some(rows) = self.index_rows.get_mut() {
                rows.touch(&key);
            }
            self.pending.restore(key, pending);
        }
        self.next = savepoint.next;
        self.touched = savepoint.touched;
        self.evictions.truncate(savepoint.evictions);
        if let Some(writer) = &mut self.writer {
            writer.next_collection = savepoint.next_collection;
        }
    }

    /// Writes everything at once. Tells nobody yet: see [`Inner::deliver_commits`].
    pub(crate) fn commit(mut self) -> Result<Committed, StoreError> {
        let Some(mut writer) = self.writer.take() else { return Err(StoreError::TransactionEnded) };
        let result = self.commit_with(&mut writer);
        self.inner.give_back(writer);
        result
    }

    fn commit_with(&mut self, writer: &mut Writer) -> Result<Committed, StoreError> {
        // Who tells other peers that there is nothing more where rows have gone must wait until that is durable: an eviction has a
        // sequence, though no row has.
        if self.next == self.first && self.touched.iter().any(|touched| touched.evictions > 0) {
            self.next.0 += 1;
        }
        let last = Sequence(self.next.0 - 1);
        let mut batch = self.batch(writer, last)?;
        if batch.is_empty() {
            self.tell_evictions();
            let mark = self.inner.platter.newest();
            return Ok(Committed { commit_id: last.0.max(1), mark });
        }
        self.inner.holdings.join_commit(&mut batch, self.now_ms);
        // Who reads rows that replace others must not take what was there before for the newest.
        self.inner.announced.store(last.0, Ordering::Release);
        if let Err(error) = self.inner.commit(batch) {
            self.inner.announced.store(writer.last.0, Ordering::Release);
            return Err(error.into());
        }
        writer.last = last;
        for touched in &self.touched {
            let collection = &touched.collection;
            collection.documents.store(self.count(collection), Ordering::Release);
            collection.evictions.fetch_add(touched.evictions, Ordering::AcqRel);
            collection.add_graves(touched.graves);
            collection.shared.fetch_or(touched.shared, Ordering::AcqRel);
        }
        mem::take(&mut self.awaited).into_iter().for_each(|name| self.inner.collections.add_awaited(name));
        if let Some(totals) = self.conflicts.take() {
            self.inner.conflicts.know(totals);
        }
        self.tell_evictions();
        self.inner.changed_virtuals.lock().extend(mem::take(&mut self.virtuals));
        for touched in self.touched.iter().filter(|touched| touched.created) {
            self.inner.collections.add(Arc::clone(&touched.collection));
        }
        let mark = self.inner.platter.committed(last);
        self.inner.last.store(last.0, Ordering::Release);
        if !self.pending.is_empty() && self.inner.has_listeners() {
            self.inner.feed.push(self.notification(last));
        }
        Ok(Committed { commit_id: last.0.max(1), mark })
    }

    /// What EVICT did is shown from now on.
    fn tell_evictions(&mut self) {
        let reports = mem::take(&mut self.evictions);
        if !reports.is_empty() {
            self.inner.evictions.committed(reports, self.inner.holdings.is_empty());
            self.inner.changed_virtuals.lock().insert(EVICTIONS);
        }
    }

    fn batch(&mut self, writer: &Writer, last: Sequence) -> Result<Batch, StoreError> {
        let upkeep = self.upkeep();
        let rows_each = 3 + upkeep.most();
        let mut batch = Batch::with_capacity(
            rows_each * self.pending.len() + 2 * self.touched.len() + self.rows.len() + 1,
        );
        let age_ms = self.inner.age.now(self.now_ms);
        let mut graves = BTreeMap::new();
        for (key, pending) in self.pending.iter() {
            if let Some((collection, id)) = layout::split_document_key(key) {
                let indexes = upkeep.of(collection);
                if !indexes.is_empty() {
                    let [before, after] = [&pending.before, &pending.after]
                        .map(|record| record.as_deref().and_then(feed::visible));
                    index::change(indexes, id, before, after, &mut batch);
                }
            }
            let (collection, change) = self.document_rows(key, pending, age_ms, &mut batch)?;
            if change != 0 {
                *graves.entry(collection).or_insert(0) += change;
            }
        }
        for touched in &mut self.touched {
            touched.graves = graves.get(&touched.collection.id).copied().unwrap_or_default();
            touched.shared |= touched.collection.shared.load(Ordering::Acquire)
                || self.inner.is_asked_for(&touched.collection.name);
        }
        if last > self.first {
            batch.put(Keyspace::Commits, layout::sequence_key(last), layout::sequence_key(self.first));
        }
        for touched in &self.touched {
            let collection = &touched.collection;
            if touched.created {
                batch.put(
                    Keyspace::Catalog,
                    layout::collection_name_key(&collection.name),
                    collection.id.0.to_be_bytes(),
                );
            }
            let state = CollectionState {
                documents: self.count(collection),
                evictions: collection.evictions.load(Ordering::Acquire) + touched.evictions,
                last,
                clock: writer.clock.last(),
                graves: collection.graves.load(Ordering::Acquire).saturating_add_signed(touched.graves),
                shared: touched.shared,
            };
            batch.put(Keyspace::Catalog, layout::state_key(collection.id), state.encode());
        }
        batch.append(mem::take(&mut self.rows));
        Ok(batch)
    }

    /// Adds the rows of one document: of `documents` and `changes`, and of `graves` if it died, is buried, or was.
    /// Answers with the change of the number of graves in its collection.
    fn document_rows(
        &self,
        key: &Bytes,
        pending: &Pending,
        age_ms: u64,
        batch: &mut Batch,
    ) -> Result<(CollectionId, i64), StoreError> {
        let (collection, name) = layout::split_document_key(key).unwrap_or((CollectionId(0), &[]));
        let mut change = 0;
        if let Some(before) = &pending.before {
            let before = parse_record(before)?;
            batch.delete(Keyspace::Changes, layout::sequence_key(before.newest_sequence));
            if !before.alive && graves::is_buried(&self.inner, collection, name)? {
                batch.delete(Keyspace::Graves, rows::grave_key(collection, &names::hash_of(name)));
                change -= 1;
            }
        }
        if pending.evicted {
            if pending.before.is_some() {
                batch.delete(Keyspace::Documents, key.clone());
            }
            if let Some(left) = &pending.after {
                self.grave_rows((collection, names::key_hash(name)), left, pending, age_ms, batch)?;
                change += 1;
            }
        } else if let (Some(after), Some(sequence)) = (&pending.after, pending.sequence) {
            let row = layout::encode_change(key, pending.origin);
            batch.put(Keyspace::Changes, layout::sequence_key(sequence), row);
            if let Some(hash) = names::as_hash(name) {
                graves::bury(batch, collection, &hash, after, age_ms)?;
                return Ok((collection, change + 1));
            }
            batch.put(Keyspace::Documents, key.clone(), after.clone());
            if !parse_record(after)?.alive {
                batch.put(Keyspace::Graves, rows::waiting_key(age_ms, sequence), []);
            }
        }
        Ok((collection, change))
    }

    /// Adds the rows of what an eviction left: the grave, and the change of the document, which names it from now on.
    fn grave_rows(
        &self,
        (collection, hash): (CollectionId, names::KeyHash),
        left: &[u8],
        pending: &Pending,
        age_ms: u64,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let change_key = layout::sequence_key(parse_record(left)?.newest_sequence);
        // Whoever sent the document holds these births too.
        let origin = match pending.sequence {
            Some(_) => pending.origin,
            None => {
                let row = self.inner.storage.get(Keyspace::Changes, &change_key)?;
                row.map(|row| read_change(&change_key, &row).map(|(.., origin)| origin))
                    .transpose()?
                    .flatten()
            }
        };
        graves::bury(batch, collection, &hash, left, age_ms)?;
        let buried = graves::buried_key(collection, &hash);
        batch.put(Keyspace::Changes, change_key, layout::encode_change(&buried, origin));
        Ok(())
    }

    fn notification(&self, last: Sequence) -> Commit {
        let mut changed: Vec<ChangedDocument> = Vec::with_capacity(self.pending.len());
        for (key, pending) in self.pending.iter() {
            let Some((collection, id)) = layout::split_document_key(key) else { continue };
            if names::as_hash(id).is_some() {
                continue; // Nobody can see a grave.
            }
            let Some(touched) = self.touched.iter().find(|touched| touched.collection.id == collection)
            else {
                continue;
            };
            changed.push(ChangedDocument {
                key: DocumentKey { collection: Arc::clone(&touched.collection.name), id: id.into() },
                sequence: pending.sequence.filter(|_| !pending.evicted),
                before: pending.before.clone(),
                after: pending.after.clone().filter(|_| !pending.evicted),
            });
        }
        changed.sort_by_key(|document| document.sequence.map_or(u64::MAX, |sequence| sequence.0));
        Commit { first: self.first, last, origin: self.origin, changed }
    }
}

impl Drop for WriteTransaction {
    /// Rolls back: nothing was written yet.
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            if let Some(created) =
                self.touched.iter().filter(|touched| touched.created).map(|t| t.collection.id).min()
            {
                writer.next_collection = created;
            }
            self.inner.give_back(writer);
        }
    }
}

/// Reads a stored record.
pub(crate) fn parse_record(record: &[u8]) -> Result<Record<'_>, StoreError> {
    Record::parse(record)
        .map_err(|error| StoreError::corrupt(format!("a document's record cannot be read ({error})")))
}

/// Whether applications may write to a collection of this name.
pub(crate) fn check_collection_name(name: &str) -> Result<(), DataError> {
    let reason = if name.is_empty() {
        "a collection needs a name"
    } else if name.len() > MAX_COLLECTION_NAME_BYTES {
        "the name is longer than 1024 bytes"
    } else if name.starts_with(SYSTEM_PREFIX) {
        "it is a virtual collection"
    } else if name.starts_with("__") {
        "names with two leading underscores are internal"
    } else {
        return Ok(());
    };
    Err(DataError::Collection { name: name.to_string(), reason })
}

/// Whether a value can be an `_id`: a string, an integer, a boolean, bytes, or an array or object of such and nulls.
pub(crate) fn check_id(id: &Value) -> Result<(), DataError> {
    fn allowed(id: &Value, top: bool) -> Result<(), &'static str> {
        match id {
            Value::Float(_) => Err("a float"),
            Value::Null if top => Err("null"),
            Value::Array(elements) => elements.iter().try_for_each(|element| allowed(element, false)),
            Value::Object(members) => members.values().try_for_each(|member| allowed(member, false)),
            _ => Ok(()),
        }
    }
    // An `_id` is a member of its document.
    if id.depth() >= MAX_DEPTH {
        return Err(DataError::IllegalId { found: "a value nested too deeply".to_string() });
    }
    allowed(id, true).map_err(|found| DataError::IllegalId { found: found.to_string() })
}

/// The `documents` key of an `_id`, which may be of any kind: one that cannot be an `_id` finds nothing.
pub(crate) fn key_of_id<'t>(collection: CollectionId, id: impl Tree<'t>) -> Result<Vec<u8>, DataError> {
    let prefix = layout::collection_prefix(collection);
    // Room for most ids.
    let mut key = Vec::with_capacity(64);
    key.extend_from_slice(&prefix);
    ditto_value::key::encode(id, &mut key);
    let found = key.len() - prefix.len();
    if found > MAX_ID_BYTES { Err(DataError::LongId { found }) } else { Ok(key) }
}
