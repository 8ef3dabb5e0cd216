//! What the sync thread may see of a commit that another thread is making.

use std::sync::{Arc, Mutex, OnceLock};

use ditto_crdt::Sequence;
use ditto_storage::{Batch, Bytes, Keyspace, MemoryStorage, OnRows, Place, Snapshot, Storage, StorageError};
use ditto_store::Store;

use crate::support::{open_in, run};

/// Looks at the store when a commit has just become visible, and nothing else was done yet.
struct Looking {
    storage: MemoryStorage,
    store: OnceLock<Store>,
    /// The newest row of the change log, and what was said to be the newest sequence after it was read.
    seen: Mutex<Vec<(Sequence, Sequence)>>,
}

impl Storage for Looking {
    fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        self.storage.commit(batch)?;
        if let Some(store) = self.store.get() {
            let replica = store.replica();
            let changes = replica.changes(Sequence::ZERO, Sequence(u64::MAX), usize::MAX).expect("reads");
            let newest = changes.last().map_or(Sequence::ZERO, |change| change.sequence);
            self.seen.lock().expect("not poisoned").push((newest, replica.last_sequence()));
        }
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.storage.snapshot()
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.storage.get(keyspace, key)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.storage.sync()
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.storage.flush()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.storage.close()
    }

    fn compact(&self, keyspace: Keyspace, on_rows: &mut OnRows<'_>) -> Result<(), StorageError> {
        self.storage.compact(keyspace, on_rows)
    }

    fn recover(&self) -> Result<(), StorageError> {
        self.storage.recover()
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

/// Otherwise a position would be told as one that nothing can be missing before: the row of a durable change is gone, and what has
/// replaced it may be lost with the power.
#[test]
fn no_row_that_can_be_read_is_newer_than_the_newest_sequence() {
    let (store, seen) = (OnceLock::new(), Mutex::default());
    let storage = Arc::new(Looking { storage: MemoryStorage::new(), store, seen });
    let store = open_in(Arc::clone(&storage) as Arc<dyn Storage>, 1);
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    assert!(storage.store.set(store.clone()).is_ok(), "once");
    run(&store, "UPDATE c SET a = 1 WHERE _id = 1");
    let seen = storage.seen.lock().expect("not poisoned").clone();
    let both = |sequence| (Sequence(sequence), Sequence(sequence));
    assert_eq!(seen, [both(3)]);
    assert_eq!((store.last_sequence(), store.replica().last_sequence()), both(3));
}
