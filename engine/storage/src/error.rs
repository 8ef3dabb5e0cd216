//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Keyspace;
use crate::storage::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

/// Why an operation on an open storage failed. Cheap to clone, so that everybody who shares a commit can be told.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A key that cannot be stored. Nothing was written.
    #[error("a key in `{keyspace}` must have 1 to {MAX_KEY_BYTES} bytes, this one has {length}")]
    Key {
        /// Where it was to go.
        keyspace: Keyspace,
        /// Bytes of the key.
        length: usize,
    },
    /// A value that cannot be stored. Nothing was written.
    #[error("a value in `{keyspace}` must have at most {MAX_VALUE_BYTES} bytes, this one has {length}")]
    Value {
        /// Where it was to go.
        keyspace: Keyspace,
        /// Bytes of the value.
        length: usize,
    },
    /// The disk (or the quota on it) is full.
    #[error("the disk is full: make room")]
    DiskFull {
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The permission to write or read was lost, or the disk is read-only now.
    #[error("the permission is missing to {action}: give it back, or open the database elsewhere")]
    PermissionDenied {
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The directory, or the database in it, is not where it was.
    #[error("the directory {} was removed or replaced: put it back, or open the database again", directory.display())]
    DirectoryRemoved {
        /// Where it was.
        directory: Arc<Path>,
    },
    /// The operating system refused to read or write.
    #[error("the disk could not be read or written while trying to {action}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// What is on disk is not what was written.
    #[error(
        "the database files are damaged ({detail}): put a copy in their place, or use a new directory and let it sync"
    )]
    Corrupt {
        /// What was found.
        detail: Arc<str>,
    },
    /// An earlier write failed; what is on disk is known only after the database was opened again.
    #[error("an earlier write failed ({cause}), nothing more is written until that is put right")]
    Failed {
        /// The error of that write.
        cause: Arc<StorageError>,
    },
    /// Somebody reads what is to be closed. Nothing was done.
    #[error("the database is being read and cannot be opened again now: try later")]
    Busy,
    /// The storage was closed.
    #[error("the database is closed")]
    Closed,
}

impl StorageError {
    /// What went wrong first: the cause of [`Self::Failed`], else the error itself.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Failed { cause } => cause.root(),
            error => error,
        }
    }

    /// Whether making room on the disk is what helps.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self.root(), Self::DiskFull { .. })
    }

    /// Whether nothing is written after this error before a recovery ([`Storage::recover`](crate::Storage::recover)).
    #[must_use]
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Key { .. } | Self::Value { .. } | Self::Busy | Self::Closed)
    }

    pub(crate) fn from_io(action: &'static str, source: io::Error) -> Self {
        let source = Arc::new(source);
        match source.kind() {
            _ if is_disk_full(&source) => Self::DiskFull { source },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::PermissionDenied { action, source }
            }
            _ => Self::Io { action, source },
        }
    }
}

/// Why a directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Somebody else has it open.
    #[error("the database in {} is in use by {}: close it there first", directory.display(), owner_text(*owner))]
    Locked {
        /// The directory that was to be opened.
        directory: PathBuf,
        /// Process id of the holder, when it could be read.
        owner: Option<u32>,
    },
    /// The disk (or the quota on it) is full.
    #[error("the disk that holds {} is full: make room and open the database again", directory.display())]
    DiskFull {
        /// The directory that was to be opened.
        directory: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The operating system refused something.
    #[error("the database in {} cannot be opened", directory.display())]
    Io {
        /// The directory that was to be opened.
        directory: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The files were written by a version that this one does not know.
    #[error("the database in {} has the storage format {found}, this version reads {expected}: open it with the version that wrote it, or use another directory", directory.display())]
    Format {
        /// The directory that was to be opened.
        directory: PathBuf,
        /// What the files say.
        found: String,
        /// What can be read.
        expected: &'static str,
    },
    /// What is on disk is not what was written.
    #[error("the database in {} is damaged ({detail}): put a copy of it there, or use a new directory and let it sync", directory.display())]
    Corrupt {
        /// The directory that was to be opened.
        directory: PathBuf,
        /// What was found.
        detail: String,
    },
}

fn owner_text(owner: Option<u32>) -> String {
    owner.map_or_else(|| "another process or instance".to_owned(), |pid| format!("process {pid}"))
}

/// Whether `error` says that there is no room left on the device, or none that this user or process may use.
#[must_use]
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
