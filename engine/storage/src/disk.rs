//! The storage on disk.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fjall::{AbstractTree as _, KeyspaceCreateOptions, PersistMode, Readable as _};
use parking_lot::{Mutex, RwLock};

use crate::directory::{Directory, open_error};
use crate::idle::{Flush, IdleFlush};
use crate::manifest::{ManifestError, check_manifests};
use crate::storage::{is_key, normalize};
use crate::{Batch, Bytes, Direction, Entries, Keyspace, OpenError, Range, Snapshot, Storage, StorageError};

/// Writes of one keyspace that are held in memory before they go to a table. Loading 200,000 documents with three rows
/// each costs the workers 2.1 s of processor time with 4 MiB, 1.1 s with 16 MiB, 0.4 s with 32 MiB. What is held when
/// writing stops is flushed, so an idle storage does not pay for it.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// Journals beyond this are got rid of by flushing the keyspaces that still need them: what is replayed at most when
/// a storage that was not closed, and was being written to, is opened.
const JOURNAL_BYTES: u64 = 64 << 20;

/// Threads that flush and compact.
const WORKER_THREADS: usize = 2;

/// Table files that are held open.
const OPEN_FILES: usize = 128;

/// How often a flush looks whether the workers are done.
const FLUSH_POLL: Duration = Duration::from_millis(1);

/// The storage format that this version reads and writes.
const FORMAT: &str = "fjall 3";

/// What can be chosen when a [`DiskStorage`] is opened.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// Bytes of table blocks that are kept in memory once they were read. Reads that find their block there are about
    /// twice as fast as those that have to ask the operating system.
    pub cache_bytes: u64,
    /// How long nobody must have written before what is in memory is flushed.
    pub idle_flush: Duration,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, idle_flush: Duration::from_secs(2) }
    }
}

/// A directory on disk, over [fjall](https://github.com/fjall-rs/fjall), a log-structured merge tree.
///
/// Commits are written to a journal by `write(2)` before they return, so they survive the death of the process, and
/// are on the platter after [`Storage::sync`]. One instance at a time has the directory open.
///
/// Dropping it closes it; call [`Storage::close`] to learn of errors.
///
/// ```
/// use ditto_storage::{Batch, DiskStorage, Keyspace, OpenError, Storage};
///
/// # let directory = tempfile::tempdir()?;
/// let storage = DiskStorage::open(directory.path())?;
/// let mut batch = Batch::new();
/// batch.put(Keyspace::Catalog, b"name", b"value");
/// storage.commit(batch)?;
/// assert!(matches!(DiskStorage::open(directory.path()), Err(OpenError::Locked { .. })));
///
/// storage.close()?;
/// let storage = DiskStorage::open(directory.path())?;
/// assert_eq!(storage.get(Keyspace::Catalog, b"name")?.as_deref(), Some(b"value".as_slice()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DiskStorage {
    /// `None` once closed. Whoever uses the database holds the lock for reading, so that closing waits for them.
    open: RwLock<Option<Open>>,
}

struct Open {
    database: Arc<Database>,
    idle_flush: IdleFlush,
}

/// The open database. The order of the fields matters: the directory is unlocked when fjall has let go of it.
struct Database {
    keyspaces: [fjall::Keyspace; Keyspace::COUNT],
    fjall: fjall::Database,
    /// How many commits were written.
    committed: AtomicU64,
    /// How many of them are on the platter.
    synced: AtomicU64,
    /// Held by whoever is syncing.
    sync_turn: Mutex<()>,
    /// Why no more is written.
    failure: OnceLock<Arc<StorageError>>,
    directory: Directory,
}

impl DiskStorage {
    /// Opens or creates a storage in `directory` (and creates that).
    ///
    /// Takes milliseconds after a clean close; after a crash the journal, at most some 64 MiB, is replayed first.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if somebody has it open, in this process or another one.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(directory, &DiskOptions::default())
    }

    /// As [`Self::open`], with other options than the default ones.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_with(directory: impl AsRef<Path>, options: &DiskOptions) -> Result<Self, OpenError> {
        let directory = Directory::lock(directory.as_ref())?;
        directory.create_database(|path| open_database(path, directory.path(), options).map(drop))?;
        check_manifests(&directory.database()).map_err(|error| manifest_error(directory.path(), error))?;
        let (fjall, keyspaces) =
            contained(directory.path(), || open_database(&directory.database(), directory.path(), options))?;
        let database = Arc::new(Database {
            keyspaces,
            fjall,
            committed: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            sync_turn: Mutex::new(()),
            failure: OnceLock::new(),
            directory,
        });
        let idle_flush = IdleFlush::start(Arc::downgrade(&database), options.idle_flush)
            .map_err(|source| open_error(database.directory.path(), source))?;
        Ok(Self { open: RwLock::new(Some(Open { database, idle_flush })) })
    }

    fn with<T>(&self, use_it: impl FnOnce(&Database) -> Result<T, StorageError>) -> Result<T, StorageError> {
        use_it(&self.open.read().as_ref().ok_or(StorageError::Closed)?.database)
    }
}

/// Makes a panic of fjall an error: it asserts, when it opens, that some parts of its files are what it wrote.
fn contained<T>(directory: &Path, open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    // What was being opened is dropped while the panic unwinds, so nobody sees it half done.
    std::panic::catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let detail = text.unwrap_or("fjall panicked").to_owned();
        Err(OpenError::Corrupt { directory: directory.to_owned(), detail })
    })
}

/// Opens the fjall database in `path` and its keyspaces, creating what does not exist.
fn open_database(
    path: &Path,
    directory: &Path,
    options: &DiskOptions,
) -> Result<(fjall::Database, [fjall::Keyspace; Keyspace::COUNT]), OpenError> {
    let failed = |error| fjall_open_error(directory, error);
    let database = fjall::Database::builder(path)
        .cache_size(options.cache_bytes)
        .worker_threads(WORKER_THREADS)
        .max_cached_files(Some(OPEN_FILES))
        .max_journaling_size(JOURNAL_BYTES)
        .open()
        .map_err(failed)?;
    let mut keyspaces = Vec::with_capacity(Keyspace::COUNT);
    for keyspace in Keyspace::ALL {
        let create = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        keyspaces.push(database.keyspace(keyspace.name(), create).map_err(failed)?);
    }
    let keyspaces = keyspaces.try_into().map_err(|_| OpenError::Corrupt {
        directory: directory.to_owned(),
        detail: "not all keyspaces could be opened".to_owned(),
    })?;
    Ok((database, keyspaces))
}

impl Database {
    fn keyspace(&self, keyspace: Keyspace) -> &fjall::Keyspace {
        &self.keyspaces[keyspace.index()]
    }

    /// Refuses to write when an earlier write failed.
    fn check(&self) -> Result<(), StorageError> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) => Err(StorageError::Failed { cause: Arc::clone(cause) }),
        }
    }

    /// Remembers that a write failed; from now on nothing is written.
    fn fail(&self, action: &'static str, error: fjall::Error) -> StorageError {
        let error = match error {
            // A flush in the background failed, and took its reason with it.
            fjall::Error::Poisoned => match self.directory.probe() {
                Ok(()) => StorageError::from_io(action, io::Error::other("a write in the background failed")),
                Err(error) => StorageError::from_io(action, error),
            },
            error => storage_error(action, error),
        };
        tracing::error!(directory = %self.directory.path().display(), %error, "the storage failed");
        // Of several threads that fail at once, the first one names the cause.
        let _ = self.failure.set(Arc::new(error.clone()));
        error
    }

    /// Returns how many bytes were written.
    fn commit(&self, batch: Batch) -> Result<usize, StorageError> {
        batch.validate()?;
        self.check()?;
        if batch.is_empty() {
            return Ok(0);
        }
        let bytes = batch.byte_len();
        let mut write = fjall::OwnedWriteBatch::with_capacity(self.fjall.clone(), batch.len())
            .durability(Some(PersistMode::Buffer));
        for operation in batch.into_operations() {
            let keyspace = self.keyspace(operation.keyspace);
            match operation.value {
                Some(value) => write.insert(keyspace, operation.key.into_slice(), value.into_slice()),
                None => write.remove(keyspace, operation.key.into_slice()),
            }
        }
        write.commit().map_err(|error| self.fail("write the journal", error))?;
        self.committed.fetch_add(1, Ordering::AcqRel);
        Ok(bytes)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.check()?;
        let wanted = self.committed.load(Ordering::Acquire);
        if self.synced.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let _turn = self.sync_turn.lock();
        // While this thread waited, another one may have synced what this one wants, or failed to.
        self.check()?;
        if self.synced.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let written = self.committed.load(Ordering::Acquire);
        self.fjall.persist(PersistMode::SyncData).map_err(|error| self.fail("sync the journal", error))?;
        self.synced.store(written, Ordering::Release);
        Ok(())
    }
}

impl Flush for Database {
    fn flush(&self) -> Result<(), StorageError> {
        self.sync()?;
        let failed = |error| self.fail("write tables", error);
        for keyspace in &self.keyspaces {
            keyspace.rotate_memtable().map_err(failed)?;
        }
        while self.keyspaces.iter().any(|keyspace| keyspace.tree.sealed_memtable_count() > 0) {
            // The workers stop at the first error, and this is how one learns of it.
            self.fjall.persist(PersistMode::Buffer).map_err(failed)?;
            std::thread::sleep(FLUSH_POLL);
        }
        Ok(())
    }
}

impl Storage for DiskStorage {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        let open = self.open.read();
        let view = open.as_ref().map(|Open { database, .. }| View {
            snapshot: database.fjall.snapshot(),
            database: Arc::clone(database),
        });
        Box::new(DiskSnapshot { view })
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.with(|database| {
            if !is_key(key) {
                return Ok(None);
            }
            let value = database.keyspace(keyspace).get(key);
            Ok(value.map_err(|error| storage_error("read a row", error))?.map(Bytes::from))
        })
    }

    fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let open = self.open.read();
        let Open { database, idle_flush } = open.as_ref().ok_or(StorageError::Closed)?;
        idle_flush.wrote(database.commit(batch)?);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.with(Database::sync)
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.with(Flush::flush)
    }

    fn close(&self) -> Result<(), StorageError> {
        let Some(Open { database, idle_flush }) = self.open.write().take() else { return Ok(()) };
        drop(idle_flush);
        match database.flush() {
            // Whoever wrote was told.
            Err(StorageError::Failed { .. }) => Ok(()),
            flushed => flushed,
        }
    }

    fn disk_size(&self) -> Result<u64, StorageError> {
        self.with(|database| {
            database.fjall.disk_space().map_err(|error| storage_error("measure files", error))
        })
    }
}

impl Drop for DiskStorage {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the storage was not closed cleanly; its next opening takes longer");
        }
    }
}

struct DiskSnapshot {
    /// `None` if it was taken of a closed storage.
    view: Option<View>,
}

/// The order of the fields matters: fjall's snapshot goes before the database whose directory it reads.
struct View {
    snapshot: fjall::Snapshot,
    database: Arc<Database>,
}

impl Snapshot for DiskSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let View { snapshot, database } = self.view.as_ref().ok_or(StorageError::Closed)?;
        if !is_key(key) {
            return Ok(None);
        }
        let value = snapshot.get(database.keyspace(keyspace), key);
        Ok(value.map_err(|error| storage_error("read a row", error))?.map(Bytes::from))
    }

    fn range(&self, keyspace: Keyspace, range: Range<'_>, direction: Direction) -> Entries<'_> {
        let Some(View { snapshot, database }) = &self.view else {
            return Box::new(std::iter::once(Err(StorageError::Closed)));
        };
        let Some(range) = normalize(range) else {
            return Box::new(std::iter::empty());
        };
        let rows = snapshot.range::<&[u8], _>(database.keyspace(keyspace), range);
        match direction {
            Direction::Forward => Box::new(rows.map(read_row)),
            Direction::Backward => Box::new(rows.rev().map(read_row)),
        }
    }
}

fn read_row(guard: fjall::Guard) -> Result<(Bytes, Bytes), StorageError> {
    let (key, value) = guard.into_inner().map_err(|error| storage_error("read rows", error))?;
    Ok((key.into(), value.into()))
}

fn manifest_error(directory: &Path, error: ManifestError) -> OpenError {
    match error {
        ManifestError::Io(source) => open_error(directory, source),
        ManifestError::Damaged(detail) => OpenError::Corrupt { directory: directory.to_owned(), detail },
    }
}

fn storage_error(action: &'static str, error: fjall::Error) -> StorageError {
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            StorageError::from_io(action, source)
        }
        error => StorageError::Corrupt { detail: error.to_string().into() },
    }
}

fn fjall_open_error(directory: &Path, error: fjall::Error) -> OpenError {
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            open_error(directory, source)
        }
        fjall::Error::Locked => OpenError::Locked { directory: directory.to_owned(), owner: None },
        fjall::Error::InvalidVersion(found) => OpenError::Format {
            directory: directory.to_owned(),
            found: found
                .map_or_else(|| "of something else than fjall".to_owned(), |v| format!("fjall {v:?}")),
            expected: FORMAT,
        },
        error => OpenError::Corrupt { directory: directory.to_owned(), detail: error.to_string() },
    }
}
