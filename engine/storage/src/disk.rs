//! The storage on disk.

use std::mem;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fjall::Readable as _;
use parking_lot::RwLock;

use crate::close::CloseOnce;
use crate::database::{self, Database};
use crate::directory::{Directory, open_error};
use crate::idle::{Flush as _, IdleFlush};
use crate::storage::{is_key, normalize};
use crate::{
    Batch, Bytes, Direction, Entries, Keyspace, OnRows, OpenError, Place, Range, Snapshot, Storage,
    StorageError,
};

/// How long [`Storage::recover`] waits for those who read before it gives up for the time being.
const RECOVER_PATIENCE: Duration = Duration::from_secs(1);

/// What can be chosen when a [`DiskStorage`] is opened.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// Bytes of table blocks that are kept in memory once they were read. Reads that find their block there are about
    /// twice as fast as those that have to ask the operating system.
    pub cache_bytes: u64,
    /// Bytes of writes that are held in memory, of all keyspaces together, with what memory they take: with more, the keyspace that
    /// holds most of them writes a table. As much again may be on its way into tables. At least 1 MiB.
    pub memtable_bytes: u64,
    /// How long nobody must have written before what is in memory is flushed.
    pub idle_flush: Duration,
    /// How long closing waits for the last snapshots to be dropped.
    pub close_patience: Duration,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            memtable_bytes: 16 << 20,
            idle_flush: Duration::from_secs(2),
            close_patience: Duration::from_secs(10),
        }
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
    options: DiskOptions,
    /// Whoever uses the database holds the lock for reading, so that closing and recovering wait for them.
    state: RwLock<State>,
    /// Whether it is being closed: what takes long ends then.
    closing: AtomicBool,
    close_once: CloseOnce,
}

enum State {
    Open(Open),
    /// A recovery has closed the failed database and could not open it again yet.
    Broken {
        directory: Arc<Directory>,
        cause: Arc<StorageError>,
    },
    Closed,
}

struct Open {
    database: Arc<Database>,
    idle_flush: IdleFlush,
}

impl Open {
    fn start(database: Database, options: &DiskOptions) -> std::io::Result<Self> {
        let database = Arc::new(database);
        let idle_flush = IdleFlush::start(Arc::downgrade(&database), options.idle_flush)?;
        Ok(Self { database, idle_flush })
    }
}

impl State {
    fn open(&self) -> Result<&Open, StorageError> {
        match self {
            Self::Open(open) => Ok(open),
            Self::Broken { cause, .. } => Err(StorageError::Failed { cause: Arc::clone(cause) }),
            Self::Closed => Err(StorageError::Closed),
        }
    }
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
        let directory = Arc::new(Directory::lock(directory.as_ref())?);
        let database = Database::open(Arc::clone(&directory), options)?;
        let open = Open::start(database, options).map_err(|source| open_error(directory.path(), source))?;
        Ok(Self {
            options: options.clone(),
            state: RwLock::new(State::Open(open)),
            closing: AtomicBool::new(false),
            close_once: CloseOnce::default(),
        })
    }

    fn with<T>(&self, use_it: impl FnOnce(&Database) -> Result<T, StorageError>) -> Result<T, StorageError> {
        use_it(&self.state.read().open()?.database)
    }

    /// Closes the failed database and opens it again, if the cause of its failure is gone; else leaves it as it is.
    fn reopen(&self) -> Result<Arc<Database>, StorageError> {
        let mut state = self.state.write();
        let (directory, cause) = match &*state {
            State::Closed => return Err(StorageError::Closed),
            State::Open(Open { database, .. }) => match database.failure() {
                None => return Ok(Arc::clone(database)),
                Some(cause) => {
                    database.may_recover(&cause)?;
                    (Arc::clone(&database.directory), cause)
                }
            },
            State::Broken { directory, cause } => {
                database::check_place(directory, 0)?;
                (Arc::clone(directory), Arc::clone(cause))
            }
        };
        let broken = State::Broken { directory: Arc::clone(&directory), cause: Arc::clone(&cause) };
        if let State::Open(Open { database, idle_flush }) = mem::replace(&mut *state, broken) {
            drop(idle_flush);
            let gone = database.sentinel.watch();
            let remembered = Arc::downgrade(&database);
            drop(database);
            if !gone.wait(RECOVER_PATIENCE)
                && let Some(database) = remembered.upgrade()
            {
                let failed = |error| StorageError::from_io("start a thread", error);
                let idle_flush =
                    IdleFlush::start(Arc::downgrade(&database), self.options.idle_flush).map_err(failed)?;
                *state = State::Open(Open { database, idle_flush });
                return Err(StorageError::Busy);
            }
            // Whoever read last is about to be done.
            if !gone.wait(self.options.close_patience) {
                return Err(StorageError::Busy);
            }
        }
        let database = Database::reopen(directory, &self.options, cause)?;
        let open = Open::start(database, &self.options)
            .map_err(|error| StorageError::from_io("start a thread", error))?;
        let database = Arc::clone(&open.database);
        *state = State::Open(open);
        Ok(database)
    }
}

impl Storage for DiskStorage {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        let view = self.state.read().open().map(|Open { database, .. }| View {
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
            Ok(value.map_err(|error| database.read_error("read a row", error))?.map(Bytes::from))
        })
    }

    fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let state = self.state.read();
        let Open { database, idle_flush } = state.open()?;
        idle_flush.wrote(database.commit(batch)?);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.with(Database::sync)
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.with(Database::flush)
    }

    fn compact(&self, keyspace: Keyspace, on_rows: &mut OnRows<'_>) -> Result<(), StorageError> {
        // Without the lock: whoever closes or recovers goes ahead, and waits, not for ever, until this has let go.
        let database = Arc::clone(&self.state.read().open()?.database);
        let is_closing = || self.closing.load(Ordering::Relaxed);
        let compacted = database.compact(keyspace, &mut |rows, total| {
            if is_closing() { ControlFlow::Break(()) } else { on_rows(rows, total) }
        });
        if is_closing() { Err(StorageError::Closed) } else { compacted }
    }

    fn recover(&self) -> Result<(), StorageError> {
        let database = self.reopen()?;
        if database.failure().is_some() { database.rewrite() } else { Ok(()) }
    }

    fn close(&self) -> Result<(), StorageError> {
        let close = || {
            self.closing.store(true, Ordering::Relaxed);
            let state = mem::replace(&mut *self.state.write(), State::Closed);
            let State::Open(Open { database, idle_flush }) = state else { return Ok(()) };
            drop(idle_flush);
            let flushed = database.flush();
            let unlocked = database.directory.watch();
            drop(database);
            if !unlocked.wait(self.options.close_patience) {
                tracing::warn!(
                    "a closed storage is still being read; its directory is locked until that ends"
                );
            }
            match flushed {
                // Whoever wrote was told.
                Err(StorageError::Failed { .. }) => Ok(()),
                flushed => flushed,
            }
        };
        self.close_once.run(close).unwrap_or(Ok(()))
    }

    fn disk_size(&self) -> Result<u64, StorageError> {
        self.with(Database::disk_size)
    }

    fn keyspace_size(&self, keyspace: Keyspace) -> Result<u64, StorageError> {
        self.with(|database| Ok(database.keyspace_size(keyspace)))
    }

    fn place(&self) -> Result<Option<Place>, StorageError> {
        self.with(|database| database.directory.place().map(Some))
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
    /// An error if it was taken of a storage that was not open.
    view: Result<View, StorageError>,
}

/// The order of the fields matters: fjall's snapshot goes before the database whose directory it reads.
struct View {
    snapshot: fjall::Snapshot,
    database: Arc<Database>,
}

impl Snapshot for DiskSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let View { snapshot, database } = self.view.as_ref().map_err(Clone::clone)?;
        if !is_key(key) {
            return Ok(None);
        }
        let value = snapshot.get(database.keyspace(keyspace), key);
        Ok(value.map_err(|error| database.read_error("read a row", error))?.map(Bytes::from))
    }

    fn range(&self, keyspace: Keyspace, range: Range<'_>, direction: Direction) -> Entries<'_> {
        let View { snapshot, database } = match &self.view {
            Ok(view) => view,
            Err(error) => return Box::new(std::iter::once(Err(error.clone()))),
        };
        let Some(range) = normalize(range) else {
            return Box::new(std::iter::empty());
        };
        let rows = snapshot.range::<&[u8], _>(database.keyspace(keyspace), range);
        let read_row = move |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(|error| database.read_error("read rows", error))?;
            Ok((key.into(), value.into()))
        };
        match direction {
            Direction::Forward => Box::new(rows.map(read_row)),
            Direction::Backward => Box::new(rows.rev().map(read_row)),
        }
    }
}
