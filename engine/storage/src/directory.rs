//! The directory of a [`DiskStorage`](crate::DiskStorage): who has it open, and where its parts are.
//!
//! ```text
//! storage.lock   locked while open; holds the process id of whoever locked it last
//! storage/       the fjall database
//! storage.new/   a database that was being created when the process died; removed at the next opening
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::create::{create_directories, sync_directory};
use crate::error::is_disk_full;
use crate::gone::{Gone, Sentinel};
use crate::place::{self, Place};
use crate::{OpenError, StorageError};

const LOCK_FILE: &str = "storage.lock";
const DATABASE: &str = "storage";
const UNFINISHED_DATABASE: &str = "storage.new";
const PROBE_FILE: &str = "storage.probe";

/// More than any process id has digits.
const MAX_OWNER_BYTES: u64 = 32;

/// What [`Directory::probe`] writes at once.
const PROBE_CHUNK: usize = 1 << 20;

/// Below the database: the file that fjall writes when it has made one.
const DATABASE_MARKER: &str = "version";

/// A directory that this instance has locked. The operating system releases the lock when the value is dropped or the
/// process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
    /// Which file the lock is.
    lock_file: FileIdentity,
    /// The last field: the lock is released then.
    unlocked: Sentinel,
}

/// Tells a file from another one that has taken its name.
#[cfg(unix)]
type FileIdentity = (u64, u64);
/// There is no stable way to ask for it here; that there is a file has to do.
#[cfg(not(unix))]
type FileIdentity = ();

#[cfg(unix)]
fn identity_of(file: &fs::Metadata) -> FileIdentity {
    use std::os::unix::fs::MetadataExt as _;
    (file.dev(), file.ino())
}

#[cfg(not(unix))]
fn identity_of(_file: &fs::Metadata) -> FileIdentity {}

impl Directory {
    /// Creates `path` if need be and locks it, without waiting.
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| open_error(path, source);
        create_directories(path).map_err(failed)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK_FILE))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { directory: path.to_owned(), owner: owner(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id())).map_err(failed)?;
        let lock_file = identity_of(&lock.metadata().map_err(failed)?);
        Ok(Self { path: path.to_owned(), lock, lock_file, unlocked: Sentinel::default() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database is, once it was created.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Lets `create` make the database where it does not exist yet. It appears complete or not at all: a process that
    /// dies on the way leaves nothing that the next opening could mistake for a database.
    pub(crate) fn create_database(
        &self,
        create: impl FnOnce(&Path) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let failed = |source| open_error(&self.path, source);
        if self.database().try_exists().map_err(failed)? {
            return Ok(());
        }
        let unfinished = self.path.join(UNFINISHED_DATABASE);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        create(&unfinished)?;
        fs::rename(&unfinished, self.database()).map_err(failed)?;
        sync_directory(&self.path).map_err(failed)
    }

    /// Hears of the end of the lock.
    pub(crate) fn watch(&self) -> Gone {
        self.unlocked.watch()
    }

    /// Where this is: see [`Place`].
    pub(crate) fn place(&self) -> Result<Place, StorageError> {
        place::of_directory(&self.path).map_err(|error| StorageError::from_io("look at the directory", error))
    }

    /// Whether the directory is still there with the database in it. Files that are open go on working when it is not.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        let removed = || StorageError::DirectoryRemoved { directory: self.path.as_path().into() };
        let is_there = match fs::metadata(self.path.join(LOCK_FILE)) {
            Ok(found) => identity_of(&found) == self.lock_file,
            // Whether it is there cannot be seen at the moment.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Ok(()),
            Err(_) => false,
        };
        // An answer that is none is not that it is gone.
        if is_there && self.database().join(DATABASE_MARKER).try_exists().unwrap_or(true) {
            Ok(())
        } else {
            Err(removed())
        }
    }

    /// Writes and removes so many bytes, to find out whether that is possible and why not.
    pub(crate) fn probe(&self, bytes: u64) -> io::Result<()> {
        let path = self.path.join(PROBE_FILE);
        let written = File::create(&path).and_then(|mut file| {
            let chunk = vec![1; PROBE_CHUNK];
            for _ in 0..bytes.div_ceil(PROBE_CHUNK as u64) {
                file.write_all(&chunk)?;
            }
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        written.and(removed)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // So that nobody is named who does not have it open any more; it does not matter if it fails.
        let _ = self.lock.set_len(0);
        // Closing the file is not enough: a process that is being started has a copy of it until it runs its program.
        let _ = self.lock.unlock();
    }
}

/// The process id in a lock file, if it can be read and is one.
fn owner(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(MAX_OWNER_BYTES).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

pub(crate) fn open_error(directory: &Path, source: io::Error) -> OpenError {
    let directory = directory.to_owned();
    if is_disk_full(&source) {
        OpenError::DiskFull { directory, source }
    } else {
        OpenError::Io { directory, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_unlocked_when_it_is_dropped_also_for_copies_of_the_lock_file()
    -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let locked = Directory::lock(directory.path())?;
        let inherited = locked.lock.try_clone()?;
        assert!(matches!(Directory::lock(directory.path()), Err(OpenError::Locked { .. })));
        drop(locked);
        Directory::lock(directory.path())?;
        drop(inherited);
        Ok(())
    }
}
