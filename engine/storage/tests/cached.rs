//! The cache in front of a storage: it forgets, and never says anything but what the storage says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use ditto_storage::{
    Batch, Bytes, CachedStorage, Direction, Entries, FaultyStorage, Keyspace, MemoryStorage, OnRows, Place,
    Range, Snapshot, Storage, StorageError,
};

const SPACE: Keyspace = Keyspace::Documents;

/// Counts the reads that reach it.
struct Counting {
    storage: MemoryStorage,
    reads: Arc<AtomicUsize>,
}

impl Counting {
    fn new() -> Self {
        Self { storage: MemoryStorage::new(), reads: Arc::default() }
    }
}

struct CountingSnapshot(Box<dyn Snapshot>, Arc<AtomicUsize>);

impl Snapshot for CountingSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.get(keyspace, key)
    }

    fn range(&self, keyspace: Keyspace, range: Range<'_>, direction: Direction) -> Entries<'_> {
        self.0.range(keyspace, range, direction)
    }
}

impl Storage for Counting {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(CountingSnapshot(self.storage.snapshot(), Arc::clone(&self.reads)))
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.storage.get(keyspace, key)
    }

    fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        self.storage.commit(batch)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.storage.sync()
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.storage.flush()
    }

    fn compact(&self, keyspace: Keyspace, on_rows: &mut OnRows<'_>) -> Result<(), StorageError> {
        self.storage.compact(keyspace, on_rows)
    }

    fn recover(&self) -> Result<(), StorageError> {
        self.storage.recover()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.storage.close()
    }

    fn disk_size(&self) -> Result<u64, StorageError> {
        self.storage.disk_size()
    }

    fn keyspace_size(&self, keyspace: Keyspace) -> Result<u64, StorageError> {
        self.storage.keyspace_size(keyspace)
    }

    fn place(&self) -> Result<Option<Place>, StorageError> {
        self.storage.place()
    }
}

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn put(storage: &dyn Storage, number: u64, value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(SPACE, key(number), value);
    storage.commit(batch).unwrap();
}

fn get(storage: &dyn Storage, number: u64) -> Option<Vec<u8>> {
    storage.get(SPACE, &key(number)).unwrap().map(|value| value.to_vec())
}

#[test]
fn what_a_recovery_has_lost_is_not_remembered() {
    let mut lost = 0;
    for seed in 0..32 {
        let below = FaultyStorage::new(seed);
        let storage = CachedStorage::new(Arc::new(below.clone()), 1 << 20);
        put(&storage, 1, b"synced");
        storage.sync().unwrap();
        put(&storage, 1, b"not synced");
        assert_eq!(get(&storage, 1).as_deref(), Some(b"not synced".as_slice()));
        below.fail_sync(1);
        storage.sync().unwrap_err();
        storage.recover().unwrap();
        assert_eq!(get(&storage, 1), get(&below, 1));
        lost += usize::from(get(&storage, 1).as_deref() == Some(b"synced".as_slice()));
    }
    assert!(lost > 0, "no seed lost anything");
}

#[test]
fn what_was_read_is_read_once_until_it_is_written() {
    let below = Arc::new(Counting::new());
    let reads = Arc::clone(&below.reads);
    let storage = CachedStorage::new(below, 1 << 20);
    put(&storage, 1, b"a");
    put(&storage, 2, b"b");
    for _ in 0..3 {
        assert_eq!(get(&storage, 1).as_deref(), Some(b"a".as_slice()));
        assert_eq!(storage.snapshot().get(SPACE, &key(2)).unwrap().as_deref(), Some(b"b".as_slice()));
    }
    assert_eq!(reads.load(Ordering::Relaxed), 2);
    let before = storage.snapshot();
    put(&storage, 2, b"c");
    assert_eq!(get(&storage, 1).as_deref(), Some(b"a".as_slice()));
    assert_eq!(reads.load(Ordering::Relaxed), 2, "the other row was not written");
    assert_eq!(get(&storage, 2).as_deref(), Some(b"c".as_slice()));
    assert_eq!(before.get(SPACE, &key(2)).unwrap().as_deref(), Some(b"b".as_slice()));
    assert_eq!(before.get(SPACE, &key(1)).unwrap().as_deref(), Some(b"a".as_slice()));
    assert_eq!(reads.load(Ordering::Relaxed), 4);
    assert_eq!(get(&storage, 2).as_deref(), Some(b"c".as_slice()), "the old snapshot put nothing in");
    assert_eq!(reads.load(Ordering::Relaxed), 4);
    storage.set_cache_bytes(0);
    assert_eq!((get(&storage, 1), get(&storage, 1)), (Some(b"a".to_vec()), Some(b"a".to_vec())));
    assert_eq!(reads.load(Ordering::Relaxed), 6, "nothing is kept any more");
    storage.close().unwrap();
    assert!(matches!(storage.get(SPACE, &key(1)), Err(StorageError::Closed)));
}

#[test]
fn what_is_used_stays_and_the_rest_is_forgotten() {
    const ROWS: u64 = 4_000;
    let below = Arc::new(Counting::new());
    let reads = Arc::clone(&below.reads);
    // For about a fourth of them.
    let storage = CachedStorage::new(below, 300_000);
    (0..ROWS).for_each(|number| put(&storage, number, &[1; 150]));
    for number in 0..ROWS {
        get(&storage, number);
        get(&storage, 7);
    }
    let so_far = reads.load(Ordering::Relaxed) as u64;
    assert!(so_far <= ROWS + 2, "the row that is always used was read once, but there were {so_far} reads");
    (0..ROWS).for_each(|number| drop(get(&storage, number)));
    let again = reads.load(Ordering::Relaxed) as u64 - so_far;
    assert!((ROWS / 2..=ROWS).contains(&again), "a scan finds little of itself, found {}", ROWS - again);
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A snapshot, the group of rows that was read from it, and what they were.
type Old = (Box<dyn Snapshot>, u64, Vec<Option<Bytes>>);

/// Every commit writes the same number, greater than the last one, to all rows of one group; rows whose turn it is are
/// removed instead. So the rows of a group that are there are equal in every snapshot, and never go back.
#[test]
fn concurrent_readers_see_one_moment_that_never_goes_back() {
    const GROUPS: u64 = 8;
    const ROWS: u64 = 6;
    const COMMITS: u64 = 4_000;
    const READERS: u64 = 3;
    for (seed, bytes) in [(1, 1 << 20), (2, 20_000)] {
        let storage = Arc::new(CachedStorage::new(Arc::new(MemoryStorage::new()), bytes));
        let done = Arc::new(AtomicBool::new(false));
        let start = Arc::new(Barrier::new(READERS as usize + 2));
        let row = |group: u64, row: u64| key(group * ROWS + row);
        let number = |value: &Bytes| u64::from_be_bytes(value[..8].try_into().unwrap());
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (storage, start) = (Arc::clone(&storage), Arc::clone(&start));
                thread::spawn(move || {
                    let mut state = seed * 100 + writer;
                    start.wait();
                    for commit in 1..=COMMITS {
                        // Each writer has groups of its own, so that numbers grow.
                        let group = random(&mut state) % (GROUPS / 2) * 2 + writer;
                        let mut batch = Batch::new();
                        for index in 0..ROWS {
                            let value = [commit.to_be_bytes().as_slice(), &[0; 60]].concat();
                            match random(&mut state) % 8 {
                                0 if index > 0 => batch.delete(SPACE, row(group, index)),
                                _ => batch.put(SPACE, row(group, index), value),
                            }
                        }
                        storage.commit(batch).unwrap();
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (storage, start, done) = (Arc::clone(&storage), Arc::clone(&start), Arc::clone(&done));
                thread::spawn(move || {
                    let mut state = seed * 1_000 + reader;
                    let mut seen = [0; GROUPS as usize];
                    let mut old: Option<Old> = None;
                    start.wait();
                    while !done.load(Ordering::Relaxed) {
                        let group = random(&mut state) % GROUPS;
                        let newest = seen.get_mut(group as usize).unwrap();
                        if let Some(value) = storage.get(SPACE, &row(group, 0)).unwrap() {
                            assert!(number(&value) >= *newest, "a row went back");
                            *newest = number(&value);
                        }
                        let snapshot = storage.snapshot();
                        let read = |snapshot: &dyn Snapshot, group| -> Vec<Option<Bytes>> {
                            (0..ROWS).map(|index| snapshot.get(SPACE, &row(group, index)).unwrap()).collect()
                        };
                        let rows = read(&*snapshot, group);
                        let numbers: Vec<u64> = rows.iter().flatten().map(number).collect();
                        assert!(
                            numbers.windows(2).all(|pair| pair[0] == pair[1]),
                            "two moments: {numbers:?}"
                        );
                        assert!(numbers.first().is_none_or(|first| first >= newest), "a snapshot went back");
                        let (first, last) = (row(group, 0), row(group, ROWS - 1));
                        let range: Range<'_> = (Bound::Included(&first), Bound::Included(&last));
                        let below: Vec<Bytes> = snapshot
                            .range(SPACE, range, Direction::Forward)
                            .map(|found| found.unwrap().1)
                            .collect();
                        assert_eq!(rows.iter().flatten().cloned().collect::<Vec<_>>(), below);
                        // Some snapshots are kept, and read again when much has changed.
                        match &old {
                            Some((snapshot, group, rows)) if random(&mut state).is_multiple_of(20) => {
                                assert_eq!(read(&**snapshot, *group), *rows);
                                old = None;
                            }
                            Some(_) => {}
                            None => old = Some((snapshot, group, rows)),
                        }
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    }
}
