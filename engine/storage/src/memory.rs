//! A storage without a disk.

use std::array;
use std::sync::Arc;

use parking_lot::RwLock;
use rpds::RedBlackTreeMapSync;

use crate::storage::normalize;
use crate::{
    Batch, Bytes, Direction, Entries, Keyspace, OnRows, Place, Range, Snapshot, Storage, StorageError,
};

/// Ordered maps in memory, one for each keyspace, gone with the last handle.
///
/// The maps are persistent (they share structure with their earlier versions), so a snapshot costs one reference
/// count and a commit copies only the paths to what it changes: O(log rows) a write, whoever is reading.
#[derive(Default)]
pub struct MemoryStorage {
    /// `None` once closed.
    image: RwLock<Option<Arc<Image>>>,
}

/// The content of all keyspaces at one moment.
#[derive(Clone)]
pub(crate) struct Image {
    keyspaces: [RedBlackTreeMapSync<Bytes, Bytes>; Keyspace::COUNT],
}

impl Default for Image {
    fn default() -> Self {
        Self { keyspaces: array::from_fn(|_| RedBlackTreeMapSync::new_sync()) }
    }
}

impl Image {
    fn map(&self, keyspace: Keyspace) -> &RedBlackTreeMapSync<Bytes, Bytes> {
        &self.keyspaces[keyspace.index()]
    }

    /// Performs the writes of a validated batch.
    pub(crate) fn apply(&mut self, batch: Batch) {
        for operation in batch.into_operations() {
            let map = &mut self.keyspaces[operation.keyspace.index()];
            match operation.value {
                Some(value) => map.insert_mut(operation.key, value),
                None => {
                    map.remove_mut(&*operation.key);
                }
            }
        }
    }
}

impl MemoryStorage {
    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::from_image(Arc::default())
    }

    pub(crate) fn from_image(image: Arc<Image>) -> Self {
        Self { image: RwLock::new(Some(image)) }
    }

    /// Replaces what every reader sees from now on; `None` closes the storage.
    pub(crate) fn set_image(&self, image: Option<Arc<Image>>) {
        *self.image.write() = image;
    }

    pub(crate) fn image(&self) -> Option<Arc<Image>> {
        self.image.read().clone()
    }
}

impl Storage for MemoryStorage {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(MemorySnapshot { image: self.image() })
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let image = self.image.read();
        Ok(image.as_ref().ok_or(StorageError::Closed)?.map(keyspace).get(key).cloned())
    }

    fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        batch.validate()?;
        let mut image = self.image.write();
        Arc::make_mut(image.as_mut().ok_or(StorageError::Closed)?).apply(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.image.read().as_ref().map(|_| ()).ok_or(StorageError::Closed)
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.sync()
    }

    fn compact(&self, _keyspace: Keyspace, _on_rows: &mut OnRows<'_>) -> Result<(), StorageError> {
        self.sync()
    }

    fn recover(&self) -> Result<(), StorageError> {
        self.sync()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.set_image(None);
        Ok(())
    }

    fn disk_size(&self) -> Result<u64, StorageError> {
        self.sync().map(|()| 0)
    }

    fn keyspace_size(&self, _keyspace: Keyspace) -> Result<u64, StorageError> {
        self.disk_size()
    }

    fn place(&self) -> Result<Option<Place>, StorageError> {
        self.sync().map(|()| None)
    }
}

struct MemorySnapshot {
    /// `None` if it was taken of a closed storage.
    image: Option<Arc<Image>>,
}

impl Snapshot for MemorySnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.image.as_ref().ok_or(StorageError::Closed)?.map(keyspace).get(key).cloned())
    }

    fn range(&self, keyspace: Keyspace, range: Range<'_>, direction: Direction) -> Entries<'_> {
        let Some(image) = &self.image else {
            return Box::new(std::iter::once(Err(StorageError::Closed)));
        };
        let Some(range) = normalize(range) else {
            return Box::new(std::iter::empty());
        };
        let range = (range.0.map(Bytes::from), range.1.map(Bytes::from));
        let rows =
            image.map(keyspace).range::<Bytes, _>(range).map(|(key, value)| Ok((key.clone(), value.clone())));
        match direction {
            Direction::Forward => Box::new(rows),
            Direction::Backward => Box::new(rows.rev()),
        }
    }
}
