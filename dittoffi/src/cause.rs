//! Which code an error of the engine gets.
//!
//! The engine's enums grow; what is not named here falls to the code of its operation, never to a wrong one.

use std::{error::Error as StdError, io};

use ditto_peer::PeerError;
use ditto_storage::{OpenError as StorageOpenError, StorageError};
use ditto_store::{DataError, OpenError, StoreError};

use crate::error::{Error, ErrorCode};

impl From<PeerError> for Error {
    fn from(error: PeerError) -> Self {
        let code = match &error {
            PeerError::Config(_) | PeerError::Identity(_) => ErrorCode::ValidationInvalidDittoConfig,
            PeerError::Storage(StorageOpenError::Locked { .. }) => ErrorCode::LockedDittoWorkingDirectory,
            PeerError::Storage(
                StorageOpenError::DiskFull { source, .. } | StorageOpenError::Io { source, .. },
            ) => of_io(source),
            PeerError::Storage(_) => ErrorCode::StoreDatabase,
            PeerError::Open(OpenError::Storage(error)) => of_storage(error),
            PeerError::Open(OpenError::WrongDatabase { .. }) => ErrorCode::ValidationInvalidDittoConfig,
            PeerError::Open(_) => ErrorCode::StoreDatabase,
            PeerError::Store(error) => of_store(error),
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
        StoreError::WriterBusy { .. } => ErrorCode::StoreTransactionTimeout,
        StoreError::Data(DataError::IllegalId { .. } | DataError::LongId { .. }) => {
            ErrorCode::StoreDocumentId
        }
        StoreError::Data(DataError::NotAnObject { .. }) => ErrorCode::ValidationNotAMap,
        StoreError::Data(DataError::TooLarge { .. }) => ErrorCode::ValidationSizeLimitExceeded,
        StoreError::Data(_) => ErrorCode::DqlEvaluationError,
        StoreError::Parameter(_) => ErrorCode::ParameterQuery,
        StoreError::Closed => ErrorCode::PeerClosed,
        StoreError::Storage(error) => of_storage(error),
        StoreError::Corrupt { .. } => ErrorCode::StoreDatabase,
        _ => ErrorCode::StoreQuery,
    }
}

fn of_storage(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::DiskFull { source } | StorageError::Io { source, .. } => of_io(source),
        StorageError::Closed => ErrorCode::PeerClosed,
        _ => ErrorCode::StoreDatabase,
    }
}

fn of_io(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::AlreadyExists => ErrorCode::IoAlreadyExists,
        io::ErrorKind::NotFound => ErrorCode::IoNotFound,
        io::ErrorKind::PermissionDenied => ErrorCode::IoPermissionDenied,
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
