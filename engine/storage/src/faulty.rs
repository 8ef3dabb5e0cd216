//! A storage with a disk that misbehaves.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::memory::Image;
use crate::{
    Batch, Bytes, Direction, Entries, Keyspace, MemoryStorage, OnRows, Place, Range, Snapshot, Storage,
    StorageError,
};

/// What the end of a process or of the power supply takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The process died: everything that was written is there.
    Nothing,
    /// The power failed: of the commits since the last sync, some first ones are there (how many, the seed decides).
    SomeUnsynced,
    /// The power failed in the worst moment: nothing since the last sync is there.
    AllUnsynced,
}

/// A [`MemoryStorage`] on a simulated disk that fails, fills up, is damaged and loses what was not synced, always in the same way
/// for the same seed. Made for simulations; clones are handles to the same storage.
///
/// ```
/// use ditto_storage::{Batch, FaultyStorage, Keyspace, Loss, Storage, StorageError};
///
/// let put = |key: &[u8]| { let mut batch = Batch::new(); batch.put(Keyspace::Catalog, key, b""); batch };
/// let before = FaultyStorage::new(7);
/// before.commit(put(b"told"))?;
/// before.sync()?;
/// before.commit(put(b"untold"))?;
///
/// let after = before.restart(Loss::AllUnsynced);
/// assert!(matches!(before.get(Keyspace::Catalog, b"told"), Err(StorageError::Closed)));
/// assert!(after.get(Keyspace::Catalog, b"told")?.is_some());
/// assert!(after.get(Keyspace::Catalog, b"untold")?.is_none());
/// # Ok::<(), StorageError>(())
/// ```
#[derive(Clone)]
pub struct FaultyStorage {
    /// What this process sees; closed by [`Self::restart`].
    memory: Arc<MemoryStorage>,
    /// What is there when it is gone.
    disk: Arc<Mutex<Disk>>,
}

struct Disk {
    random: u64,
    /// What is on the platter.
    durable: Arc<Image>,
    /// What is on disk but not yet on the platter: the state after each commit since the last sync.
    written: Vec<Arc<Image>>,
    /// The write that failed in the running process.
    failure: Option<Arc<StorageError>>,
    full: bool,
    /// Keyspaces whose rows cannot be read.
    damaged: BTreeSet<Keyspace>,
    place: Option<Place>,
    commit_fails_in: Option<u64>,
    sync_fails_in: Option<u64>,
    commit_failures_per_million: u32,
    sync_failures_per_million: u32,
    syncs: u64,
}

impl Disk {
    /// The next number of a SplitMix64 generator (Steele, Lea, Flood 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn happens(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.random() % 1_000_000 < u64::from(per_million)
    }

    fn check(&self) -> Result<(), StorageError> {
        self.failure.clone().map_or(Ok(()), |cause| Err(StorageError::Failed { cause }))
    }

    fn fail(&mut self, kind: std::io::ErrorKind, action: &'static str) -> StorageError {
        let error = StorageError::from_io(action, std::io::Error::new(kind, "injected by the simulation"));
        self.failure = Some(Arc::new(error.clone()));
        error
    }

    /// What is left after such a loss.
    fn lose(&mut self, loss: Loss) -> Arc<Image> {
        let kept = match loss {
            Loss::Nothing => self.written.len(),
            Loss::AllUnsynced => 0,
            Loss::SomeUnsynced => {
                let choices = self.written.len() as u64 + 1;
                usize::try_from(self.random() % choices).unwrap_or(0)
            }
        };
        self.written.truncate(kept);
        self.failure = None;
        self.newest()
    }

    /// Refuses to read what is damaged, and remembers that as a failure.
    fn check_readable(&mut self, keyspace: Keyspace) -> Result<(), StorageError> {
        if !self.damaged.contains(&keyspace) {
            return Ok(());
        }
        let error =
            StorageError::Corrupt { detail: format!("a block of `{keyspace}`, by the simulation").into() };
        self.failure.get_or_insert_with(|| Arc::new(error.clone()));
        Err(error)
    }

    fn newest(&self) -> Arc<Image> {
        Arc::clone(self.written.last().unwrap_or(&self.durable))
    }
}

/// Counts down to the failure that was asked for; true when it is due.
fn is_due(countdown: &mut Option<u64>) -> bool {
    match countdown {
        Some(0 | 1) => {
            *countdown = None;
            true
        }
        Some(remaining) => {
            *remaining -= 1;
            false
        }
        None => false,
    }
}

impl FaultyStorage {
    /// An empty storage on a disk without faults, until they are asked for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let durable = Arc::<Image>::default();
        Self {
            memory: Arc::new(MemoryStorage::from_image(Arc::clone(&durable))),
            disk: Arc::new(Mutex::new(Disk {
                random: seed,
                durable,
                written: Vec::new(),
                failure: None,
                full: false,
                damaged: BTreeSet::new(),
                place: None,
                commit_fails_in: None,
                sync_fails_in: None,
                commit_failures_per_million: 0,
                sync_failures_per_million: 0,
                syncs: 0,
            })),
        }
    }

    /// Ends the running process, closing this handle and its clones, and opens what is left on the disk. Faults stay
    /// as they are set; a failed storage works again.
    #[must_use]
    pub fn restart(&self, loss: Loss) -> Self {
        let mut disk = self.disk.lock();
        self.memory.set_image(None);
        let memory = Arc::new(MemoryStorage::from_image(disk.lose(loss)));
        Self { memory, disk: Arc::clone(&self.disk) }
    }

    /// Another disk, without faults, with what is on the platter of this one: what a backup holds, or a copied directory. It lies
    /// at the same [`Storage::place`] until it is told otherwise.
    #[must_use]
    pub fn copy(&self, seed: u64) -> Self {
        let disk = self.disk.lock();
        let copy = Self::new(seed);
        copy.memory.set_image(Some(Arc::clone(&disk.durable)));
        {
            let mut other = copy.disk.lock();
            other.durable = Arc::clone(&disk.durable);
            other.place = disk.place;
        }
        copy
    }

    /// Makes the `nth` commit from now fail (1 = the next one). Whether its batch is there after a restart is decided
    /// by the seed.
    pub fn fail_commit(&self, nth: u64) {
        self.disk.lock().commit_fails_in = Some(nth);
    }

    /// Makes the `nth` sync from now that has something to sync fail (1 = the next one).
    pub fn fail_sync(&self, nth: u64) {
        self.disk.lock().sync_fails_in = Some(nth);
    }

    /// Makes commits and syncs fail at random, this many of a million.
    pub fn set_failure_rates(&self, commits_per_million: u32, syncs_per_million: u32) {
        let mut disk = self.disk.lock();
        disk.commit_failures_per_million = commits_per_million;
        disk.sync_failures_per_million = syncs_per_million;
    }

    /// Fills the disk up, or makes room. While it is full every commit fails; one that failed needs a
    /// [`Self::restart`] in any case.
    pub fn set_disk_full(&self, full: bool) {
        self.disk.lock().full = full;
    }

    /// Damages a keyspace, or puts it right. While it is damaged its rows cannot be read, and who tries finds the storage
    /// failed.
    pub fn set_damaged(&self, keyspace: Keyspace, damaged: bool) {
        let mut disk = self.disk.lock();
        if damaged {
            disk.damaged.insert(keyspace)
        } else {
            disk.damaged.remove(&keyspace)
        };
    }

    /// Sets what [`Storage::place`] answers.
    pub fn set_place(&self, place: Option<Place>) {
        self.disk.lock().place = place;
    }

    /// How many syncs had something to sync.
    #[must_use]
    pub fn sync_count(&self) -> u64 {
        self.disk.lock().syncs
    }

    /// Whether something failed since it was opened, also of what happens in the background.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.disk.lock().failure.is_some()
    }

    /// How many commits a loss of power could take. One that failed in the middle was none.
    #[must_use]
    pub fn unsynced_commits(&self) -> usize {
        let written = &self.disk.lock().written;
        let Some(newest) = self.memory.image() else { return written.len() };
        written.iter().rposition(|image| Arc::ptr_eq(image, &newest)).map_or(0, |index| index + 1)
    }
}

impl Storage for FaultyStorage {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(FaultySnapshot { memory: self.memory.snapshot(), disk: Arc::clone(&self.disk) })
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.disk.lock().check_readable(keyspace)?;
        self.memory.get(keyspace, key)
    }

    fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        batch.validate()?;
        let mut disk = self.disk.lock();
        let mut image = self.memory.image().ok_or(StorageError::Closed)?;
        disk.check()?;
        if batch.is_empty() {
            return Ok(());
        }
        if disk.full {
            return Err(disk.fail(std::io::ErrorKind::StorageFull, "write the journal"));
        }
        let rate = disk.commit_failures_per_million;
        let fails = is_due(&mut disk.commit_fails_in) | disk.happens(rate);
        if fails && disk.random() & 1 == 0 {
            return Err(disk.fail(std::io::ErrorKind::Other, "write the journal"));
        }
        Arc::make_mut(&mut image).apply(batch);
        disk.written.push(Arc::clone(&image));
        if fails {
            return Err(disk.fail(std::io::ErrorKind::Other, "write the journal"));
        }
        self.memory.set_image(Some(image));
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        let mut disk = self.disk.lock();
        self.memory.sync()?;
        disk.check()?;
        if disk.written.is_empty() {
            return Ok(());
        }
        disk.syncs += 1;
        let rate = disk.sync_failures_per_million;
        if is_due(&mut disk.sync_fails_in) | disk.happens(rate) {
            return Err(disk.fail(std::io::ErrorKind::Other, "sync the journal"));
        }
        disk.durable = disk.newest();
        disk.written.clear();
        Ok(())
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.sync()
    }

    fn compact(&self, _keyspace: Keyspace, _on_rows: &mut OnRows<'_>) -> Result<(), StorageError> {
        self.sync()
    }

    /// Takes some of what was not synced with it, as the seed decides: after a sync that failed, nobody knows what is there.
    fn recover(&self) -> Result<(), StorageError> {
        let mut disk = self.disk.lock();
        self.memory.sync()?;
        if disk.failure.is_none() {
            return Ok(());
        }
        if disk.full {
            let error = std::io::Error::new(std::io::ErrorKind::StorageFull, "injected by the simulation");
            return Err(StorageError::from_io("open the database again", error));
        }
        let damaged = disk.damaged.first().copied();
        if let Some(keyspace) = damaged {
            disk.check_readable(keyspace)?;
        }
        let image = disk.lose(Loss::SomeUnsynced);
        // A recovery writes everything anew.
        disk.durable = Arc::clone(&image);
        disk.written.clear();
        self.memory.set_image(Some(image));
        Ok(())
    }

    fn close(&self) -> Result<(), StorageError> {
        match self.sync() {
            Err(StorageError::Closed) => Ok(()),
            synced => {
                self.memory.close()?;
                match synced {
                    Err(StorageError::Failed { .. }) => Ok(()),
                    synced => synced,
                }
            }
        }
    }

    fn disk_size(&self) -> Result<u64, StorageError> {
        self.memory.disk_size()
    }

    fn keyspace_size(&self, keyspace: Keyspace) -> Result<u64, StorageError> {
        self.memory.keyspace_size(keyspace)
    }

    fn place(&self) -> Result<Option<Place>, StorageError> {
        self.memory.sync().map(|()| self.disk.lock().place)
    }
}

struct FaultySnapshot {
    memory: Box<dyn Snapshot>,
    disk: Arc<Mutex<Disk>>,
}

impl Snapshot for FaultySnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.disk.lock().check_readable(keyspace)?;
        self.memory.get(keyspace, key)
    }

    fn range(&self, keyspace: Keyspace, range: Range<'_>, direction: Direction) -> Entries<'_> {
        match self.disk.lock().check_readable(keyspace) {
            Ok(()) => self.memory.range(keyspace, range, direction),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}
