//! Which code an error of the engine gets.
//!
//! The engine's enums grow; what is not named here falls to the code of its operation, never to a wrong one. A storage
//! that has failed refuses everything after that with the cause of the failure, and so with the same code.

use std::{error::Error as StdError, io};

use ditto_peer::PeerError;
use ditto_storage::{OpenError as StorageOpenError, StorageError, is_disk_full};
use ditto_store::{BackupError, DataError, IndexError, OpenError, StoreError};

use crate::error::{Error, ErrorCode};

impl From<PeerError> for Error {
    fn from(error: PeerError) -> Self {
        let code = match &error {
            PeerError::Config(_) | PeerError::Identity(_) => ErrorCode::ValidationInvalidDittoConfig,
            PeerError::Storage(error) => of_storage_open(error),
            PeerError::Open(error) => of_open(error),
            PeerError::Store(error) => of_store(error),
            PeerError::Backup(error) => of_backup(error),
            PeerError::Subscription(_) => ErrorCode::DqlQueryCompilation,
            PeerError::Unsupported(_) => ErrorCode::Unsupported,
            PeerError::Closed => ErrorCode::PeerClosed,
            other => first_io(other).map_or(ErrorCode::Internal, of_io),
        };
        Self::caused(code, &error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::caused(of_store(&error), &error)
    }
}

fn of_store(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::Compile(_) | StoreError::MissingArgument { .. } => ErrorCode::DqlQueryCompilation,
        StoreError::Context { .. } | StoreError::Unsupported { .. } => ErrorCode::DqlUnsupported,
        StoreError::ReadOnly { .. } => ErrorCode::StoreTransactionReadOnly,
        StoreError::NestedWrite { .. } => ErrorCode::StoreTransactionNested,
        StoreError::WriterBusy { .. } | StoreError::Index(IndexError::BuiltLater { .. }) => {
            ErrorCode::StoreTransactionTimeout
        }
        StoreError::Data(DataError::IllegalId { .. } | DataError::LongId { .. }) => {
            ErrorCode::StoreDocumentId
        }
        StoreError::Data(DataError::NotAnObject { .. }) => ErrorCode::ValidationNotAMap,
        StoreError::Data(DataError::TooLarge { .. }) => ErrorCode::ValidationSizeLimitExceeded,
        StoreError::Data(_) => ErrorCode::DqlEvaluationError,
        StoreError::Parameter(_) => ErrorCode::ParameterQuery,
        StoreError::Cancelled { .. } => ErrorCode::Cancelled,
        StoreError::Closed => ErrorCode::PeerClosed,
        StoreError::Storage(error) => of_storage(error),
        StoreError::Corrupt { .. } => ErrorCode::StoreCorrupt,
        _ => ErrorCode::StoreQuery,
    }
}

fn of_backup(error: &BackupError) -> ErrorCode {
    match error {
        BackupError::Source(error) => of_store(error),
        BackupError::Target(error) => of_storage(error),
        BackupError::NotEmpty => ErrorCode::IoAlreadyExists,
        BackupError::Cancelled => ErrorCode::Cancelled,
        _ => ErrorCode::StoreDatabase,
    }
}

fn of_open(error: &OpenError) -> ErrorCode {
    match error {
        OpenError::UnknownFormat { .. } => ErrorCode::StoreFormatUnsupported,
        OpenError::Corrupt { .. } => ErrorCode::StoreCorrupt,
        OpenError::WrongDatabase { .. } => ErrorCode::ValidationInvalidDittoConfig,
        OpenError::Storage(error) => of_storage(error),
        _ => ErrorCode::StoreDatabase,
    }
}

fn of_storage_open(error: &StorageOpenError) -> ErrorCode {
    match error {
        StorageOpenError::Locked { .. } => ErrorCode::LockedDittoWorkingDirectory,
        StorageOpenError::DiskFull { .. } => ErrorCode::StoreDiskFull,
        StorageOpenError::Io { source, .. } => of_io(source),
        StorageOpenError::Format { .. } => ErrorCode::StoreFormatUnsupported,
        StorageOpenError::Corrupt { .. } => ErrorCode::StoreCorrupt,
        _ => ErrorCode::StoreDatabase,
    }
}

fn of_storage(error: &StorageError) -> ErrorCode {
    match error.root() {
        StorageError::DiskFull { .. } => ErrorCode::StoreDiskFull,
        StorageError::PermissionDenied { .. } => ErrorCode::IoPermissionDenied,
        StorageError::DirectoryRemoved { .. } => ErrorCode::IoNotFound,
        StorageError::Corrupt { .. } => ErrorCode::StoreCorrupt,
        StorageError::Io { source, .. } => of_io(source),
        StorageError::Key { .. } | StorageError::Value { .. } => ErrorCode::ValidationSizeLimitExceeded,
        StorageError::Closed => ErrorCode::PeerClosed,
        _ => ErrorCode::StoreDatabase,
    }
}

fn of_io(error: &io::Error) -> ErrorCode {
    match error.kind() {
        _ if is_disk_full(error) => ErrorCode::StoreDiskFull,
        io::ErrorKind::AlreadyExists => ErrorCode::IoAlreadyExists,
        io::ErrorKind::NotFound => ErrorCode::IoNotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorCode::IoPermissionDenied,
        _ => ErrorCode::IoOperationFailed,
    }
}

/// The first error of the operating system that `error` goes back to.
fn first_io<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;

    fn source(kind: io::ErrorKind) -> Arc<io::Error> {
        Arc::new(kind.into())
    }

    fn causes() -> [(StorageError, ErrorCode, &'static str); 5] {
        let directory = Arc::from(Path::new("/data/garden"));
        let action = "write the journal";
        [
            (
                StorageError::DiskFull { source: source(io::ErrorKind::StorageFull) },
                ErrorCode::StoreDiskFull,
                "make room",
            ),
            (
                StorageError::PermissionDenied { action, source: source(io::ErrorKind::PermissionDenied) },
                ErrorCode::IoPermissionDenied,
                "give it back",
            ),
            (StorageError::DirectoryRemoved { directory }, ErrorCode::IoNotFound, "/data/garden"),
            (StorageError::Corrupt { detail: "a bad block".into() }, ErrorCode::StoreCorrupt, "a bad block"),
            (
                StorageError::Io { action, source: source(io::ErrorKind::TimedOut) },
                ErrorCode::IoOperationFailed,
                "write the journal",
            ),
        ]
    }

    #[test]
    fn a_failing_storage_says_the_same_at_the_first_write_and_at_every_later_one() {
        for (first, code, named) in causes() {
            let later = StorageError::Failed { cause: Arc::new(first.clone()) };
            let nested = StorageError::Failed { cause: Arc::new(later.clone()) };
            for error in [first, later, nested] {
                for error in [
                    StoreError::from(error.clone()).into(),
                    PeerError::Store(error.clone().into()).into(),
                    PeerError::Open(error.clone().into()).into(),
                    PeerError::Backup(BackupError::Target(error.clone())).into(),
                    Error::from(PeerError::Backup(BackupError::Source(error.clone().into()))),
                ] {
                    assert_eq!(error.code(), code, "{}", error.message());
                    assert!(error.message().contains(named), "{}", error.message());
                }
            }
        }
    }

    #[test]
    fn a_directory_that_cannot_be_opened_says_why() {
        let directory = || Path::new("/data/garden").to_owned();
        let io = |kind: io::ErrorKind| StorageOpenError::Io { directory: directory(), source: kind.into() };
        let full = io::ErrorKind::QuotaExceeded;
        for (error, code) in [
            (
                StorageOpenError::Locked { directory: directory(), owner: Some(7) },
                ErrorCode::LockedDittoWorkingDirectory,
            ),
            (
                StorageOpenError::DiskFull { directory: directory(), source: full.into() },
                ErrorCode::StoreDiskFull,
            ),
            (io(io::ErrorKind::PermissionDenied), ErrorCode::IoPermissionDenied),
            (io(io::ErrorKind::ReadOnlyFilesystem), ErrorCode::IoPermissionDenied),
            (io(io::ErrorKind::NotFound), ErrorCode::IoNotFound),
            (
                StorageOpenError::Format { directory: directory(), found: "x".to_owned(), expected: "y" },
                ErrorCode::StoreFormatUnsupported,
            ),
            (
                StorageOpenError::Corrupt { directory: directory(), detail: "a bad block".to_owned() },
                ErrorCode::StoreCorrupt,
            ),
        ] {
            let error = Error::from(PeerError::from(error));
            assert_eq!(error.code(), code, "{}", error.message());
            assert!(error.message().contains("/data/garden"), "{}", error.message());
        }
        for (error, code) in [
            (OpenError::UnknownFormat { found: 99 }, ErrorCode::StoreFormatUnsupported),
            (OpenError::Corrupt { row: "format".to_owned(), found: 3 }, ErrorCode::StoreCorrupt),
            (
                OpenError::WrongDatabase { expected: "a".to_owned(), found: "b".to_owned() },
                ErrorCode::ValidationInvalidDittoConfig,
            ),
        ] {
            let error = Error::from(PeerError::from(error));
            assert_eq!(error.code(), code, "{}", error.message());
        }
        let error = PeerError::Directory { path: directory(), source: full.into() };
        assert_eq!(Error::from(error).code(), ErrorCode::StoreDiskFull);
    }

    #[test]
    fn what_was_cancelled_and_what_is_damaged_have_codes_of_their_own() {
        for (error, code) in [
            (StoreError::Cancelled { what: "verification" }.into(), ErrorCode::Cancelled),
            (BackupError::Cancelled.into(), ErrorCode::Cancelled),
            (BackupError::NotEmpty.into(), ErrorCode::IoAlreadyExists),
            (PeerError::from(StoreError::Corrupt { what: "a row".to_owned() }), ErrorCode::StoreCorrupt),
        ] {
            assert_eq!(Error::from(error).code(), code);
        }
    }

    #[test]
    fn a_subscription_that_cannot_travel_is_the_query_that_is_wrong() {
        let error = Error::from(PeerError::Subscription("its arguments are too long".to_owned()));
        assert_eq!(error.code(), ErrorCode::DqlQueryCompilation);
        assert!(error.message().contains("too long"), "{}", error.message());
    }
}
