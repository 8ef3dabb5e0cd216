//! Records that were read lately, in front of another storage.
//!
//! Reading a row of a log-structured tree means a search in each of its levels. A hit here costs one hash.
//!
//! # Why a hit is what the storage below would say
//!
//! Commits are numbered as they begin; `begun` and `ended` count them. An *entry* holds a row and a number `since`, and
//! this is true of every entry whenever the lock of its shard is free:
//!
//! > After the first `since` commits the storage below held this row, and no later commit that writes it has gone below.
//!
//! * A commit first counts itself as begun, then removes the entries of the rows that it writes, and only then goes below.
//! * A reader puts a row in only if, when it began to read, `begun` and `ended` were the same number, which becomes
//!   `since`, and `begun` still is that number under the lock of the shard. So no commit was under way while it read, and
//!   what it read is the state after the first `since` commits. A commit that begins now takes the lock after the reader,
//!   and finds the entry if it writes the row.
//!
//! A read of the newest state may thus take any entry. A snapshot remembers how many commits had ended before it was
//! taken, and may take entries whose `since` is not greater. It sees the first `since` commits: they all had ended when the
//! two counts were equal, which was before the snapshot was taken, or when as many had ended as then. And whatever it
//! sees of later commits does not write the row. Newer entries it leaves alone, and reads below.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::{
    Batch, Bytes, Direction, Entries, Keyspace, OnRows, Place, Range, Snapshot, Storage, StorageError,
};

/// The keyspace whose rows are kept.
const CACHED: Keyspace = Keyspace::Documents;

/// How much is kept unless something else is asked for. Reading 50,000 documents of 400 bytes again and again, by `_id` or in
/// the order of an index, is twice as fast with 48 MiB as with 16 MiB, and no faster with more.
pub const DEFAULT_CACHE_BYTES: usize = 48 << 20;

/// Parts that are locked apart from each other; a power of two.
const SHARDS: usize = 16;

/// What an entry costs besides key and value: its place in the table and two allocations.
const ENTRY_BYTES: usize = 128;

/// Any storage, with the documents that were read lately in memory. Writes go through.
///
/// Of `bytes`, the half that was used last is never forgotten, nothing that was not used for twice as long is kept.
///
/// ```
/// use std::sync::Arc;
/// use ditto_storage::{Batch, CachedStorage, Keyspace, MemoryStorage, Storage};
///
/// let storage = CachedStorage::new(Arc::new(MemoryStorage::new()), 1 << 20);
/// let mut batch = Batch::new();
/// batch.put(Keyspace::Documents, b"key", b"value");
/// storage.commit(batch)?;
/// assert_eq!(storage.get(Keyspace::Documents, b"key")?.as_deref(), Some(b"value".as_slice()));
/// # Ok::<(), ditto_storage::StorageError>(())
/// ```
pub struct CachedStorage {
    below: Arc<dyn Storage>,
    cache: Arc<Cache>,
}

impl CachedStorage {
    /// Keeps at most `bytes` of rows of `below`, to which nobody else may write. See also [`Storage::set_cache_bytes`].
    pub fn new(below: Arc<dyn Storage>, bytes: usize) -> Self {
        let cache = Cache {
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            bytes: AtomicUsize::new(bytes),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        };
        Self { below, cache: Arc::new(cache) }
    }
}

struct Cache {
    begun: AtomicU64,
    ended: AtomicU64,
    /// What all shards together may keep.
    bytes: AtomicUsize,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// Two generations of rows by the hashes of their keys. What is used moves to the young one; when that is full, it becomes the
/// old one, and the old one is forgotten.
#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
    /// Bytes in the young generation.
    bytes: usize,
}

type Generation = HashMap<u64, Entry, BuildHasherDefault<Hashed>>;

struct Entry {
    key: Bytes,
    value: Bytes,
    since: u64,
}

/// Passes on what is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not called for a u64.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Cache {
    /// How many commits had ended when somebody began to read.
    fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // The table in the shard uses the lower bits and the upper seven.
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    /// The row, if it is known and was so after `ended` commits.
    fn find(&self, hash: u64, key: &[u8], ended: u64) -> Option<Bytes> {
        let mut shard = self.shard(hash).lock();
        let usable = |entry: &Entry| entry.since <= ended && *entry.key == *key;
        if let Some(entry) = shard.young.get(&hash) {
            return usable(entry).then(|| entry.value.clone());
        }
        if !shard.old.get(&hash).is_some_and(usable) {
            return None;
        }
        let entry = shard.old.remove(&hash)?;
        let value = entry.value.clone();
        shard.put(hash, entry, self.bytes.load(Ordering::Relaxed) / SHARDS);
        Some(value)
    }

    /// Puts in a row that was read when `ended` commits had ended, or later.
    fn keep(&self, hash: u64, key: &[u8], value: &Bytes, ended: u64) {
        let room = self.bytes.load(Ordering::Relaxed) / SHARDS;
        if key.len() + value.len() + ENTRY_BYTES > room / 2 {
            return;
        }
        // Copies: what was read may be a view of a whole block.
        let entry = Entry { key: key.into(), value: value[..].into(), since: ended };
        let mut shard = self.shard(hash).lock();
        if self.begun.load(Ordering::SeqCst) == ended {
            shard.put(hash, entry, room);
        }
    }

    /// The row as a snapshot that was taken when `ended` commits had ended sees it; without one, as it is now.
    fn read(
        &self,
        key: &[u8],
        ended: Option<u64>,
        below: impl FnOnce() -> Result<Option<Bytes>, StorageError>,
    ) -> Result<Option<Bytes>, StorageError> {
        let hash = self.hasher.hash_one(key);
        if let Some(value) = self.find(hash, key, ended.unwrap_or(u64::MAX)) {
            return Ok(Some(value));
        }
        let ended = ended.unwrap_or_else(|| self.ended());
        let value = below()?;
        if let Some(value) = &value {
            self.keep(hash, key, value, ended);
        }
        Ok(value)
    }

    /// As [`Self::begin`], for something that may write anything.
    fn begin_anew(&self) -> Commit<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.forget();
        Commit(self)
    }

    fn forget(&self) {
        self.shards.iter().for_each(|shard| *shard.lock() = Shard::default());
    }

    /// Makes room for what a commit writes. The commit has ended when the answer is dropped.
    fn begin(&self, batch: &Batch) -> Commit<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        for operation in batch.operations() {
            if operation.keyspace == CACHED {
                let hash = self.hasher.hash_one(&*operation.key);
                self.shard(hash).lock().remove(hash);
            }
        }
        Commit(self)
    }
}

/// A commit that has begun.
struct Commit<'a>(&'a Cache);

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Shard {
    fn put(&mut self, hash: u64, entry: Entry, room: usize) {
        let bytes = entry.bytes();
        if self.bytes + bytes > room / 2 {
            mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        if let Some(replaced) = self.young.insert(hash, entry) {
            self.bytes -= replaced.bytes();
        }
    }

    fn remove(&mut self, hash: u64) {
        if let Some(removed) = self.young.remove(&hash) {
            self.bytes -= removed.bytes();
        }
        self.old.remove(&hash);
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len() + ENTRY_BYTES
    }
}

impl Storage for CachedStorage {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        let ended = self.cache.ended();
        Box::new(CachedSnapshot { ended, below: self.below.snapshot(), cache: Arc::clone(&self.cache) })
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        if keyspace != CACHED {
            return self.below.get(keyspace, key);
        }
        self.cache.read(key, None, || self.below.get(keyspace, key))
    }

    fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        // Ends after the commit below has, whatever becomes of that.
        let _commit = self.cache.begin(&batch);
        self.below.commit(batch)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.below.sync()
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.below.flush()
    }

    fn compact(&self, keyspace: Keyspace, on_rows: &mut OnRows<'_>) -> Result<(), StorageError> {
        self.below.compact(keyspace, on_rows)
    }

    fn recover(&self) -> Result<(), StorageError> {
        // What was committed and not synced may be gone, what failed may be there.
        let _anew = self.cache.begin_anew();
        self.below.recover()
    }

    fn close(&self) -> Result<(), StorageError> {
        // A commit that never ends: nothing is put in any more.
        self.cache.begun.fetch_add(1, Ordering::SeqCst);
        self.set_cache_bytes(0);
        self.below.close()
    }

    fn disk_size(&self) -> Result<u64, StorageError> {
        self.below.disk_size()
    }

    fn keyspace_size(&self, keyspace: Keyspace) -> Result<u64, StorageError> {
        self.below.keyspace_size(keyspace)
    }

    fn place(&self) -> Result<Option<Place>, StorageError> {
        self.below.place()
    }

    fn set_cache_bytes(&self, bytes: usize) {
        if bytes < self.cache.bytes.swap(bytes, Ordering::Relaxed) {
            self.cache.forget();
        }
    }
}

struct CachedSnapshot {
    /// Commits that had ended before it was taken.
    ended: u64,
    below: Box<dyn Snapshot>,
    cache: Arc<Cache>,
}

impl Snapshot for CachedSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        if keyspace != CACHED {
            return self.below.get(keyspace, key);
        }
        self.cache.read(key, Some(self.ended), || self.below.get(keyspace, key))
    }

    fn range(&self, keyspace: Keyspace, range: Range<'_>, direction: Direction) -> Entries<'_> {
        self.below.range(keyspace, range, direction)
    }
}
