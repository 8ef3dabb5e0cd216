//! The fjall database in a directory while it is open, and its failures.

use std::io;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fjall::{AbstractTree as _, KeyspaceCreateOptions, PersistMode, Readable as _};
use parking_lot::{Mutex, RwLock};

use crate::compaction::{self, Filters};
use crate::directory::{Directory, open_error};
use crate::gone::Sentinel;
use crate::idle::Flush;
use crate::manifest::{ManifestError, check_manifests};
use crate::{Batch, DiskOptions, Keyspace, OpenError, StorageError};

/// Writes of one keyspace that are held in memory before they go to a table. Loading 200,000 documents with three rows
/// each costs the workers 2.1 s of processor time with 4 MiB, 1.1 s with 16 MiB, 0.4 s with 32 MiB. What is held when
/// writing stops is flushed, so an idle storage does not pay for it.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// The least that [`DiskOptions::memtable_bytes`] can be.
const LEAST_MEMTABLE_BYTES: u64 = 1 << 20;

/// Journals beyond this are got rid of by flushing the keyspaces that still need them: what is replayed at most when
/// a storage that was not closed, and was being written to, is opened.
const JOURNAL_BYTES: u64 = 64 << 20;

/// Threads that flush and compact.
const WORKER_THREADS: usize = 2;

/// Table files that are held open.
const OPEN_FILES: usize = 128;

/// How often a flush looks whether the workers are done.
const FLUSH_POLL: Duration = Duration::from_millis(1);

/// What must be free on the disk before a failed database is opened again, beside what it holds in memory.
const SPARE_BYTES: u64 = 16 << 20;

/// The storage format that this version reads and writes.
const FORMAT: &str = "fjall 3";

type Opened = (fjall::Database, [fjall::Keyspace; Keyspace::COUNT]);

/// The open database. The order of the fields matters: the directory is let go of after fjall, and the sentinel tells
/// when all that is done.
pub(crate) struct Database {
    keyspaces: [fjall::Keyspace; Keyspace::COUNT],
    pub(crate) fjall: fjall::Database,
    /// How many commits were written.
    committed: AtomicU64,
    /// How many of them are on the platter.
    synced: AtomicU64,
    /// Held by whoever is syncing.
    sync_turn: Mutex<()>,
    /// Why no more is written.
    failure: RwLock<Option<Arc<StorageError>>>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) sentinel: Sentinel,
}

impl Database {
    /// Opens the database in `directory`, or makes one.
    pub(crate) fn open(directory: Arc<Directory>, options: &DiskOptions) -> Result<Self, OpenError> {
        directory.create_database(|path| open_in(path, directory.path(), options).map(drop))?;
        let (fjall, keyspaces) = open_checked(&directory, options)?;
        Ok(Self::new(directory, fjall, keyspaces, None))
    }

    /// Opens the database in `directory` after a failure, which it still has: nothing is written to it before
    /// [`Self::rewrite`].
    pub(crate) fn reopen(
        directory: Arc<Directory>,
        options: &DiskOptions,
        failure: Arc<StorageError>,
    ) -> Result<Self, StorageError> {
        let opened = open_checked(&directory, options);
        let (fjall, keyspaces) = opened.map_err(|error| reopen_error(&directory, error))?;
        Ok(Self::new(directory, fjall, keyspaces, Some(failure)))
    }

    fn new(
        directory: Arc<Directory>,
        fjall: fjall::Database,
        keyspaces: [fjall::Keyspace; Keyspace::COUNT],
        failure: Option<Arc<StorageError>>,
    ) -> Self {
        Self {
            keyspaces,
            fjall,
            committed: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            sync_turn: Mutex::new(()),
            failure: RwLock::new(failure),
            directory,
            sentinel: Sentinel::default(),
        }
    }

    pub(crate) fn keyspace(&self, keyspace: Keyspace) -> &fjall::Keyspace {
        &self.keyspaces[keyspace.index()]
    }

    /// Why nothing is written any more.
    pub(crate) fn failure(&self) -> Option<Arc<StorageError>> {
        self.failure.read().clone()
    }

    /// Refuses to write when an earlier write failed.
    fn check(&self) -> Result<(), StorageError> {
        match &*self.failure.read() {
            None => Ok(()),
            Some(cause) => Err(StorageError::Failed { cause: Arc::clone(cause) }),
        }
    }

    /// Remembers that a write failed; from now on nothing is written.
    fn fail(&self, action: &'static str, error: fjall::Error) -> StorageError {
        let error = match error {
            // A flush in the background failed, and took its reason with it.
            fjall::Error::Poisoned => match self.directory.probe(SPARE_BYTES) {
                Ok(()) => StorageError::from_io(action, io::Error::other("a write in the background failed")),
                Err(error) => StorageError::from_io(action, error),
            },
            error => storage_error(action, error),
        };
        // Without its directory everything fails in one way or another: name that.
        let error = self.directory.check().err().unwrap_or(error);
        self.fail_with(&error);
        error
    }

    fn fail_with(&self, error: &StorageError) {
        let mut failure = self.failure.write();
        // Of several threads that fail at once, the first one names the cause.
        if failure.is_none() {
            tracing::error!(directory = %self.directory.path().display(), %error, "the storage failed");
            *failure = Some(Arc::new(error.clone()));
        }
    }

    /// The error of a read. One that shows that the files are not what they were is a failure as well: compaction would
    /// only make it worse.
    pub(crate) fn read_error(&self, action: &'static str, error: fjall::Error) -> StorageError {
        let error = match storage_error(action, error) {
            error @ StorageError::Io { .. } => self.directory.check().err().unwrap_or(error),
            error => error,
        };
        if matches!(error, StorageError::Corrupt { .. } | StorageError::DirectoryRemoved { .. }) {
            self.fail_with(&error);
        }
        error
    }

    /// Returns how many bytes were written.
    pub(crate) fn commit(&self, batch: Batch) -> Result<usize, StorageError> {
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

    pub(crate) fn sync(&self) -> Result<(), StorageError> {
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
        // A file that was removed takes writes and syncs as if nothing had happened.
        self.directory.check().inspect_err(|error| self.fail_with(error))?;
        self.synced.store(written, Ordering::Release);
        Ok(())
    }

    /// Writes what is held in memory of these keyspaces to tables, and waits until that is done.
    fn flush_memtables(&self, keyspaces: &[fjall::Keyspace]) -> Result<(), StorageError> {
        let failed = |error| self.fail("write tables", error);
        for keyspace in keyspaces {
            keyspace.rotate_memtable().map_err(failed)?;
        }
        while keyspaces.iter().any(|keyspace| keyspace.tree.sealed_memtable_count() > 0) {
            // The workers stop at the first error, and this is how one learns of it.
            self.fjall.persist(PersistMode::Buffer).map_err(failed)?;
            std::thread::sleep(FLUSH_POLL);
        }
        Ok(())
    }

    /// Merges the tables of a keyspace into as few as possible, without what was deleted or overwritten. Ends before that
    /// when `on_rows`, which is told how many rows of how many have gone through, breaks, or when the database fails.
    pub(crate) fn compact(
        &self,
        keyspace: Keyspace,
        on_rows: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        self.sync()?;
        let keyspace = self.keyspace(keyspace);
        self.flush_memtables(std::slice::from_ref(keyspace))?;
        let total = keyspace.approximate_len() as u64;
        let mut on_tick = |rows: u64| match self.failure() {
            None => on_rows(rows.min(total), total),
            Some(_) => ControlFlow::Break(()),
        };
        let compacted = compaction::watched(|| keyspace.major_compact(), &mut on_tick);
        compacted.map_err(|error| self.fail("compact tables", error))?;
        self.check()
    }

    /// Ends a failure after [`Self::reopen`]. A sync that failed may have left holes in the journal that nobody sees
    /// before the next loss of power: what was read from it is written to tables, and a new journal begun.
    pub(crate) fn rewrite(&self) -> Result<(), StorageError> {
        self.fjall.rotate_journal().map_err(|error| self.fail("begin a journal", error))?;
        self.flush_memtables(&self.keyspaces)?;
        *self.failure.write() = None;
        Ok(())
    }

    /// Whether the cause of the failure is gone, as far as one can see from here.
    pub(crate) fn may_recover(&self, failure: &StorageError) -> Result<(), StorageError> {
        check_place(&self.directory, self.fjall.write_buffer_size())?;
        // Opening a damaged database would end the reads that still work.
        if matches!(failure.root(), StorageError::Corrupt { .. }) { self.read_everything() } else { Ok(()) }
    }

    /// Reads every row, and with it every block of the tables.
    fn read_everything(&self) -> Result<(), StorageError> {
        let snapshot = self.fjall.snapshot();
        for keyspace in Keyspace::ALL {
            for row in snapshot.range::<&[u8], _>(self.keyspace(keyspace), ..) {
                row.into_inner().map_err(|error| self.read_error("read every row", error))?;
            }
        }
        Ok(())
    }

    pub(crate) fn disk_size(&self) -> Result<u64, StorageError> {
        self.fjall.disk_space().map_err(|error| storage_error("measure files", error))
    }

    pub(crate) fn keyspace_size(&self, keyspace: Keyspace) -> u64 {
        self.keyspace(keyspace).disk_space()
    }
}

impl Flush for Database {
    fn flush(&self) -> Result<(), StorageError> {
        self.sync()?;
        self.flush_memtables(&self.keyspaces)
    }
}

/// Whether the directory is there, can be written to, and has room for so much and some more.
pub(crate) fn check_place(directory: &Directory, bytes: u64) -> Result<(), StorageError> {
    directory.check()?;
    let probed = directory.probe(bytes.saturating_add(SPARE_BYTES));
    probed.map_err(|error| StorageError::from_io("write to the directory", error))
}

/// Opens the database of a directory. Damage that fjall does not look for, or panics about, is an error.
fn open_checked(directory: &Directory, options: &DiskOptions) -> Result<Opened, OpenError> {
    check_manifests(&directory.database()).map_err(|error| manifest_error(directory.path(), error))?;
    // What was being opened is dropped while a panic unwinds, so nobody sees it half done.
    let open = AssertUnwindSafe(|| open_in(&directory.database(), directory.path(), options));
    std::panic::catch_unwind(open).unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let detail = text.unwrap_or("fjall panicked").to_owned();
        Err(OpenError::Corrupt { directory: directory.path().to_owned(), detail })
    })
}

fn manifest_error(directory: &Path, error: ManifestError) -> OpenError {
    match error {
        ManifestError::Io(source) => open_error(directory, source),
        ManifestError::Damaged(detail) => OpenError::Corrupt { directory: directory.to_owned(), detail },
    }
}

/// Opens the fjall database in `path` and its keyspaces, creating what does not exist.
fn open_in(path: &Path, directory: &Path, options: &DiskOptions) -> Result<Opened, OpenError> {
    let failed = |error| fjall_open_error(directory, error);
    let database = fjall::Database::builder(path)
        .cache_size(options.cache_bytes)
        .worker_threads(WORKER_THREADS)
        .max_cached_files(Some(OPEN_FILES))
        .max_journaling_size(JOURNAL_BYTES)
        .max_write_buffer_size(Some(options.memtable_bytes.max(LEAST_MEMTABLE_BYTES)))
        .with_compaction_filter_factories(Arc::new(|_keyspace| Some(Arc::new(Filters))))
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

fn reopen_error(directory: &Directory, error: OpenError) -> StorageError {
    let error = match error {
        OpenError::DiskFull { source, .. } | OpenError::Io { source, .. } => {
            StorageError::from_io("open the database again", source)
        }
        OpenError::Corrupt { detail, .. } => StorageError::Corrupt { detail: detail.into() },
        other => StorageError::from_io("open the database again", io::Error::other(other)),
    };
    directory.check().err().unwrap_or(error)
}

pub(crate) fn storage_error(action: &'static str, error: fjall::Error) -> StorageError {
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const ROW: usize = 1 << 16;
    /// What is held by default.
    const HELD: u64 = 16 << 20;

    /// A database to which `bytes` were written, in rows of the keyspaces by turns.
    fn written(path: &Path, bytes: u64, keyspaces: &[Keyspace], watch: impl Fn(&Database)) -> Database {
        let directory = Arc::new(Directory::lock(path).unwrap());
        let database = Database::open(directory, &DiskOptions::default()).unwrap();
        for number in 0..bytes / ROW as u64 {
            let mut batch = Batch::new();
            let keyspace = keyspaces[number as usize % keyspaces.len()];
            batch.put(keyspace, number.to_be_bytes(), vec![7; ROW]);
            database.commit(batch).unwrap();
            watch(&database);
        }
        database
    }

    #[test]
    fn all_keyspaces_together_hold_little_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        // None of the four keyspaces comes to a table by itself.
        let keyspaces = [Keyspace::Documents, Keyspace::Changes, Keyspace::Indexes, Keyspace::Graves];
        written(directory.path(), 3 * HELD, &keyspaces, |database| {
            let held = database.fjall.write_buffer_size();
            assert!(held <= 2 * HELD + 2 * ROW as u64, "{held} bytes");
        });
    }

    /// One that was taken for one on its way into a table, and was not, kept writers waiting.
    #[test]
    fn each_memtable_that_is_full_becomes_a_table() {
        let directory = tempfile::tempdir().unwrap();
        let (told, is_done) = std::sync::mpsc::channel();
        let path = directory.path().to_owned();
        let writer = std::thread::spawn(move || {
            let options = DiskOptions { memtable_bytes: 0, ..DiskOptions::default() };
            let database = Database::open(Arc::new(Directory::lock(&path).unwrap()), &options).unwrap();
            for number in 0..10_000_u64 {
                let mut batch = Batch::new();
                let keyspace = [Keyspace::Documents, Keyspace::Changes][number as usize % 2];
                batch.put(keyspace, number.to_be_bytes(), vec![7; 16_384]);
                database.commit(batch).unwrap();
            }
            told.send(()).unwrap();
        });
        is_done.recv_timeout(PATIENCE).expect("writing goes on");
        writer.join().unwrap();
    }

    #[test]
    fn what_is_in_tables_is_not_kept_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let database = written(directory.path(), HELD / 2, &[Keyspace::Documents], |_| {});
        let held = || database.keyspaces.iter().map(|keyspace| keyspace.tree.version_memtable_size_sum());
        assert!(held().sum::<u64>() >= HELD / 2);
        // What reads it does not keep it for longer.
        drop(database.fjall.snapshot());
        database.flush().unwrap();
        let start = Instant::now();
        while held().sum::<u64>() > 0 {
            assert!(start.elapsed() < PATIENCE, "it stays for ever");
            std::thread::yield_now();
        }
    }
}
