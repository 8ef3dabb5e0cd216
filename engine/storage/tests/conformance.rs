//! What every backend must do, run against each of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::thread;

use ditto_storage::{
    Batch, Bytes, CachedStorage, Direction, DiskStorage, FaultyStorage, Keyspace, Loss, MAX_KEY_BYTES,
    MemoryStorage, Range, Snapshot, Storage, StorageError,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// A storage under test.
trait Backend {
    fn create() -> Self;
    fn storage(&self) -> &dyn Storage;
}

/// One that still has its data when it is opened again.
trait Reopen: Backend {
    fn reopen(self) -> Self;
}

impl Backend for MemoryStorage {
    fn create() -> Self {
        Self::new()
    }

    fn storage(&self) -> &dyn Storage {
        self
    }
}

impl Backend for FaultyStorage {
    fn create() -> Self {
        Self::new(1)
    }

    fn storage(&self) -> &dyn Storage {
        self
    }
}

impl Reopen for FaultyStorage {
    fn reopen(self) -> Self {
        self.close().unwrap();
        self.restart(Loss::AllUnsynced)
    }
}

impl Backend for CachedStorage {
    fn create() -> Self {
        Self::new(Arc::new(MemoryStorage::new()), 1 << 20)
    }

    fn storage(&self) -> &dyn Storage {
        self
    }
}

struct Disk {
    directory: TempDir,
    storage: DiskStorage,
}

impl Backend for Disk {
    fn create() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(directory.path()).unwrap();
        Self { directory, storage }
    }

    fn storage(&self) -> &dyn Storage {
        &self.storage
    }
}

impl Reopen for Disk {
    fn reopen(self) -> Self {
        self.storage.close().unwrap();
        let storage = DiskStorage::open(self.directory.path()).unwrap();
        Self { directory: self.directory, storage }
    }
}

/// Runs functions that take a [`Backend`] as tests of several of them.
macro_rules! run {
    (for $($backend:ident = $type:ty),*; $tests:tt) => {
        $(mod $backend { use super::*; run!(@ $type, $tests); })*
    };
    (@ $type:ty, { $($test:ident),* $(,)? }) => {
        $(#[test] fn $test() { super::$test::<$type>(); })*
    };
}

run! { for memory = MemoryStorage, cached = CachedStorage, faulty = FaultyStorage, disk = Disk; {
    what_was_put_can_be_read,
    keyspaces_do_not_mix,
    rows_come_in_byte_order_in_both_directions,
    every_kind_of_bound_selects_its_rows,
    a_prefix_selects_its_rows_even_at_the_end_of_the_key_space,
    bounds_that_could_not_be_keys_select_correctly,
    a_snapshot_does_not_see_later_commits,
    an_iterator_does_not_see_later_commits,
    a_refused_batch_writes_nothing,
    the_last_write_of_a_key_in_a_batch_wins,
    keys_and_values_of_all_sizes_are_kept,
    snapshots_never_see_half_a_batch,
    concurrent_commits_are_all_applied,
    a_closed_storage_says_so,
    flush_changes_nothing_that_is_visible,
    behaves_as_the_model,
} }

mod reopened {
    use super::*;
    run! { for faulty = FaultyStorage, disk = Disk; {
        everything_is_there_after_closing_and_opening,
        the_last_write_of_a_key_in_a_batch_wins_after_opening,
    } }

    fn everything_is_there_after_closing_and_opening<B: Reopen>() {
        super::everything_is_there_after_closing_and_opening::<B>();
    }

    fn the_last_write_of_a_key_in_a_batch_wins_after_opening<B: Reopen>() {
        super::the_last_write_of_a_key_in_a_batch_wins_after_opening::<B>();
    }
}

const SPACE: Keyspace = Keyspace::Documents;
const ALL: Range<'static> = (Bound::Unbounded, Bound::Unbounded);

fn put(storage: &dyn Storage, keys: &[&[u8]]) {
    let mut batch = Batch::new();
    for key in keys {
        batch.put(SPACE, *key, *key);
    }
    storage.commit(batch).unwrap();
}

fn keys(snapshot: &dyn Snapshot, range: Range<'_>, direction: Direction) -> Vec<Vec<u8>> {
    snapshot.range(SPACE, range, direction).map(|row| row.unwrap().0.to_vec()).collect()
}

fn rows(storage: &dyn Storage, keyspace: Keyspace) -> Vec<(Bytes, Bytes)> {
    storage.snapshot().range(keyspace, ALL, Direction::Forward).map(Result::unwrap).collect()
}

fn what_was_put_can_be_read<B: Backend>() {
    let backend = B::create();
    let storage = backend.storage();
    put(storage, &[b"a", b"b"]);
    let mut batch = Batch::new();
    batch.delete(SPACE, b"a");
    batch.delete(SPACE, b"never there");
    batch.put(SPACE, b"b", b"new");
    batch.put(SPACE, b"c", b"");
    storage.commit(batch).unwrap();
    storage.commit(Batch::new()).unwrap();
    storage.sync().unwrap();

    assert_eq!(storage.get(SPACE, b"a").unwrap(), None);
    assert_eq!(storage.get(SPACE, b"b").unwrap().as_deref(), Some(b"new".as_slice()));
    assert_eq!(storage.get(SPACE, b"c").unwrap().as_deref(), Some(b"".as_slice()));
    assert_eq!(storage.snapshot().get(SPACE, b"b").unwrap().as_deref(), Some(b"new".as_slice()));
    assert_eq!(storage.get(SPACE, b"").unwrap(), None);
    assert_eq!(storage.get(SPACE, &[0; MAX_KEY_BYTES + 1]).unwrap(), None);
}

fn keyspaces_do_not_mix<B: Backend>() {
    let backend = B::create();
    let mut batch = Batch::new();
    for keyspace in Keyspace::ALL {
        batch.put(keyspace, b"key", keyspace.name().as_bytes());
    }
    backend.storage().commit(batch).unwrap();
    for keyspace in Keyspace::ALL {
        assert_eq!(
            rows(backend.storage(), keyspace),
            [(Bytes::from(b"key"), Bytes::from(keyspace.name().as_bytes()))]
        );
    }
}

fn rows_come_in_byte_order_in_both_directions<B: Backend>() {
    let backend = B::create();
    let sorted: [&[u8]; 7] = [b"\0", b"\0\0", b"a", b"a\0", b"aa", b"b", b"\xff\xff"];
    let mut shuffled = sorted;
    shuffled.rotate_left(3);
    shuffled.swap(0, 5);
    put(backend.storage(), &shuffled);
    let snapshot = backend.storage().snapshot();
    assert_eq!(keys(&*snapshot, ALL, Direction::Forward), sorted);
    let mut reversed = sorted;
    reversed.reverse();
    assert_eq!(keys(&*snapshot, ALL, Direction::Backward), reversed);
}

fn every_kind_of_bound_selects_its_rows<B: Backend>() {
    use Bound::{Excluded, Included, Unbounded};
    let backend = B::create();
    put(backend.storage(), &[b"a", b"c", b"e", b"g"]);
    let snapshot = backend.storage().snapshot();
    let cases: &[(Range<'_>, &[&[u8]])] = &[
        ((Included(b"c"), Included(b"e")), &[b"c", b"e"]),
        ((Included(b"c"), Excluded(b"e")), &[b"c"]),
        ((Excluded(b"c"), Included(b"e")), &[b"e"]),
        ((Excluded(b"c"), Excluded(b"e")), &[]),
        ((Included(b"b"), Excluded(b"f")), &[b"c", b"e"]),
        ((Unbounded, Excluded(b"c")), &[b"a"]),
        ((Excluded(b"e"), Unbounded), &[b"g"]),
        ((Included(b"c"), Included(b"c")), &[b"c"]),
        ((Included(b"c"), Excluded(b"c")), &[]),
        ((Excluded(b"c"), Excluded(b"c")), &[]),
        ((Included(b"e"), Included(b"a")), &[]),
        ((Included(b"x"), Unbounded), &[]),
    ];
    for (range, expected) in cases {
        assert_eq!(keys(&*snapshot, *range, Direction::Forward), *expected, "{range:?}");
        let mut backward = keys(&*snapshot, *range, Direction::Backward);
        backward.reverse();
        assert_eq!(backward, *expected, "{range:?} backward");
    }
}

fn a_prefix_selects_its_rows_even_at_the_end_of_the_key_space<B: Backend>() {
    let backend = B::create();
    put(backend.storage(), &[b"a", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff", b"\xff\xffx"]);
    let snapshot = backend.storage().snapshot();
    let select = |prefix: &[u8]| -> Vec<Vec<u8>> {
        snapshot.prefix(SPACE, prefix, Direction::Forward).map(|row| row.unwrap().0.to_vec()).collect()
    };
    assert_eq!(select(b"a"), [b"a".to_vec(), b"a\xff".to_vec(), b"a\xff\xff".to_vec()]);
    assert_eq!(select(b"a\xff"), [b"a\xff".to_vec(), b"a\xff\xff".to_vec()]);
    assert_eq!(select(b"\xff\xff"), [b"\xff\xff".to_vec(), b"\xff\xffx".to_vec()]);
    assert_eq!(select(b"").len(), 7);
    assert_eq!(select(b"c").len(), 0);
    let last = snapshot.prefix(SPACE, b"a", Direction::Backward).next().unwrap().unwrap();
    assert_eq!(&*last.0, b"a\xff\xff");
}

fn bounds_that_could_not_be_keys_select_correctly<B: Backend>() {
    use Bound::{Excluded, Included, Unbounded};
    let backend = B::create();
    let longest = vec![b'm'; MAX_KEY_BYTES];
    let longer = vec![b'm'; MAX_KEY_BYTES + 7];
    put(backend.storage(), &[b"a", &longest, b"z"]);
    let snapshot = backend.storage().snapshot();
    let count = |range| keys(&*snapshot, range, Direction::Forward).len();
    assert_eq!(count((Included(b"".as_slice()), Unbounded)), 3);
    assert_eq!(count((Excluded(b"".as_slice()), Unbounded)), 3);
    assert_eq!(count((Unbounded, Included(b"".as_slice()))), 0);
    assert_eq!(count((Included(&longer), Unbounded)), 1);
    assert_eq!(count((Unbounded, Excluded(&longer))), 2);
    assert_eq!(count((Included(&longer), Included(&longer))), 0);
}

fn a_snapshot_does_not_see_later_commits<B: Backend>() {
    let backend = B::create();
    let storage = backend.storage();
    put(storage, &[b"kept", b"removed"]);
    let before = storage.snapshot();
    let mut batch = Batch::new();
    batch.put(SPACE, b"kept", b"changed");
    batch.delete(SPACE, b"removed");
    batch.put(SPACE, b"added", b"");
    storage.commit(batch).unwrap();
    storage.flush().unwrap();
    assert_eq!(before.get(SPACE, b"kept").unwrap().as_deref(), Some(b"kept".as_slice()));
    assert_eq!(keys(&*before, ALL, Direction::Forward), [b"kept".to_vec(), b"removed".to_vec()]);
    assert_eq!(keys(&*storage.snapshot(), ALL, Direction::Forward), [b"added".to_vec(), b"kept".to_vec()]);
}

fn an_iterator_does_not_see_later_commits<B: Backend>() {
    let backend = B::create();
    let storage = backend.storage();
    put(storage, &[b"a", b"b", b"c"]);
    let snapshot = storage.snapshot();
    let mut iterator = snapshot.range(SPACE, ALL, Direction::Forward);
    assert_eq!(&*iterator.next().unwrap().unwrap().0, b"a");
    let mut batch = Batch::new();
    batch.delete(SPACE, b"b");
    batch.put(SPACE, b"bb", b"");
    storage.commit(batch).unwrap();
    assert_eq!(iterator.map(|row| row.unwrap().0.to_vec()).collect::<Vec<_>>(), [b"b", b"c"]);
}

fn a_refused_batch_writes_nothing<B: Backend>() {
    let backend = B::create();
    let storage = backend.storage();
    for bad in [vec![], vec![1; MAX_KEY_BYTES + 1]] {
        let mut put = Batch::new();
        put.put(SPACE, b"good", b"");
        put.put(Keyspace::Indexes, bad.clone(), b"");
        let mut delete = Batch::new();
        delete.put(SPACE, b"good", b"");
        delete.delete(Keyspace::Indexes, bad.clone());
        for batch in [put, delete] {
            match storage.commit(batch) {
                Err(StorageError::Key { keyspace: Keyspace::Indexes, length }) => {
                    assert_eq!(length, bad.len())
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(storage.get(SPACE, b"good").unwrap(), None);
    put(storage, &[b"works still"]);
}

fn fill_with_repeated_writes(storage: &dyn Storage) {
    let mut batch = Batch::new();
    batch.put(SPACE, b"put, put", b"1");
    batch.put(SPACE, b"put, put", b"2");
    batch.put(SPACE, b"put, delete", b"1");
    batch.delete(SPACE, b"put, delete");
    batch.delete(SPACE, b"delete, put");
    batch.put(SPACE, b"delete, put", b"2");
    storage.commit(batch).unwrap();
}

fn check_repeated_writes(storage: &dyn Storage) {
    assert_eq!(
        rows(storage, SPACE),
        [(Bytes::from(b"delete, put"), Bytes::from(b"2")), (Bytes::from(b"put, put"), Bytes::from(b"2"))]
    );
}

fn the_last_write_of_a_key_in_a_batch_wins<B: Backend>() {
    let backend = B::create();
    fill_with_repeated_writes(backend.storage());
    check_repeated_writes(backend.storage());
    backend.storage().flush().unwrap();
    check_repeated_writes(backend.storage());
}

fn the_last_write_of_a_key_in_a_batch_wins_after_opening<B: Reopen>() {
    let backend = B::create();
    fill_with_repeated_writes(backend.storage());
    check_repeated_writes(backend.reopen().storage());
}

fn keys_and_values_of_all_sizes_are_kept<B: Backend>() {
    let backend = B::create();
    let storage = backend.storage();
    let sizes =
        [(1, 0), (19, 20), (20, 21), (21, 4_095), (255, 65_536), (256, 100_000), (MAX_KEY_BYTES, 3 << 20)];
    for (key, value) in sizes {
        let mut batch = Batch::new();
        batch.put(SPACE, vec![7; key], vec![9; value]);
        storage.commit(batch).unwrap();
    }
    for _ in 0..2 {
        for (key, value) in sizes {
            assert_eq!(storage.get(SPACE, &vec![7; key]).unwrap().map(|v| v.len()), Some(value));
        }
        storage.flush().unwrap();
    }
}

fn snapshots_never_see_half_a_batch<B: Backend>() {
    let backend = B::create();
    let storage = backend.storage();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..500_u32 {
                let mut batch = Batch::new();
                batch.put(Keyspace::Documents, b"key", number.to_be_bytes());
                batch.put(Keyspace::Changes, b"key", number.to_be_bytes());
                storage.commit(batch).unwrap();
            }
        });
        while !writer.is_finished() {
            let snapshot = storage.snapshot();
            let one = snapshot.get(Keyspace::Documents, b"key").unwrap();
            assert_eq!(one, snapshot.get(Keyspace::Changes, b"key").unwrap());
        }
    });
}

fn concurrent_commits_are_all_applied<B: Backend>() {
    const WRITERS: u8 = 4;
    const COMMITS: u8 = 50;
    let backend = B::create();
    let storage = backend.storage();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for commit in 0..COMMITS {
                    put(storage, &[&[writer, commit]]);
                    if commit % 10 == 0 {
                        storage.sync().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(rows(storage, SPACE).len(), usize::from(WRITERS) * usize::from(COMMITS));
}

fn a_closed_storage_says_so<B: Backend>() {
    let backend = B::create();
    let storage = backend.storage();
    put(storage, &[b"a"]);
    storage.close().unwrap();
    storage.close().unwrap();
    let mut batch = Batch::new();
    batch.put(SPACE, b"b", b"");
    assert!(matches!(storage.commit(batch), Err(StorageError::Closed)));
    assert!(matches!(storage.get(SPACE, b"a"), Err(StorageError::Closed)));
    assert!(matches!(storage.sync(), Err(StorageError::Closed)));
    assert!(matches!(storage.flush(), Err(StorageError::Closed)));
    assert!(matches!(storage.disk_size(), Err(StorageError::Closed)));
    let snapshot = storage.snapshot();
    assert!(matches!(snapshot.get(SPACE, b"a"), Err(StorageError::Closed)));
    assert!(matches!(snapshot.range(SPACE, ALL, Direction::Forward).next(), Some(Err(StorageError::Closed))));
}

fn flush_changes_nothing_that_is_visible<B: Backend>() {
    let backend = B::create();
    let storage = backend.storage();
    for round in 0..4_u8 {
        put(storage, &[b"same", &[round]]);
        let before = rows(storage, SPACE);
        storage.flush().unwrap();
        assert_eq!(rows(storage, SPACE), before);
    }
}

fn everything_is_there_after_closing_and_opening<B: Reopen>() {
    let mut backend = B::create();
    for round in 0..3_u8 {
        let mut batch = Batch::new();
        for keyspace in Keyspace::ALL {
            batch.put(keyspace, [round], vec![round; 100]);
            batch.delete(keyspace, [round.wrapping_sub(2)]);
        }
        backend.storage().commit(batch).unwrap();
        backend = backend.reopen();
        for keyspace in Keyspace::ALL {
            let expected: Vec<_> = (round.saturating_sub(1)..=round)
                .map(|n| (Bytes::from([n]), Bytes::from(vec![n; 100])))
                .collect();
            assert_eq!(rows(backend.storage(), keyspace), expected);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, Vec<u8>, Option<Vec<u8>>)>),
    TakeSnapshot,
    Flush,
    Range(Vec<u8>, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0xff)], 1..4);
    let value = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..40));
    prop_oneof![
        6 => proptest::collection::vec((0..2_u8, key(), value), 1..8).prop_map(Step::Commit),
        1 => Just(Step::TakeSnapshot),
        1 => Just(Step::Flush),
        3 => (key(), key()).prop_map(|(start, end)| Step::Range(start, end)),
    ]
}

type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn model_keyspace(number: u8) -> Keyspace {
    if number == 0 { Keyspace::Documents } else { Keyspace::Indexes }
}

fn check_against_model(snapshot: &dyn Snapshot, model: &Model, start: &[u8], end: &[u8]) {
    for keyspace in 0..2_u8 {
        let expected: Vec<(Bytes, Bytes)> = model
            .iter()
            .filter(|((space, key), _)| *space == keyspace && start <= key.as_slice() && key.as_slice() < end)
            .map(|((_, key), value)| (Bytes::from(key.as_slice()), Bytes::from(value.as_slice())))
            .collect();
        let range = (Bound::Included(start), Bound::Excluded(end));
        let read = |direction| -> Vec<(Bytes, Bytes)> {
            snapshot.range(model_keyspace(keyspace), range, direction).map(Result::unwrap).collect()
        };
        assert_eq!(read(Direction::Forward), expected);
        let mut backward = read(Direction::Backward);
        backward.reverse();
        assert_eq!(backward, expected);
        for (key, value) in &expected {
            assert_eq!(snapshot.get(model_keyspace(keyspace), key).unwrap().as_ref(), Some(value));
        }
    }
}

fn behaves_as_the_model<B: Backend>() {
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..40))| {
        let backend = B::create();
        let storage = backend.storage();
        let mut model = Model::new();
        let mut snapshots: Vec<(Box<dyn Snapshot>, Arc<Model>)> = Vec::new();
        for step in steps {
            match step {
                Step::Commit(writes) => {
                    let mut batch = Batch::new();
                    for (space, key, value) in writes {
                        match value {
                            Some(value) => {
                                batch.put(model_keyspace(space), key.as_slice(), value.as_slice());
                                model.insert((space, key), value);
                            }
                            None => {
                                batch.delete(model_keyspace(space), key.as_slice());
                                model.remove(&(space, key));
                            }
                        }
                    }
                    storage.commit(batch).unwrap();
                }
                Step::TakeSnapshot => snapshots.push((storage.snapshot(), Arc::new(model.clone()))),
                Step::Flush => storage.flush().unwrap(),
                Step::Range(start, end) => check_against_model(&*storage.snapshot(), &model, &start, &end),
            }
        }
        snapshots.push((storage.snapshot(), Arc::new(model)));
        for (snapshot, model) in snapshots {
            check_against_model(&*snapshot, &model, b"\0", b"\xff\xff\xff\xff");
        }
    });
}
