//! Errors: a stable code and a message.

use std::{error::Error as StdError, fmt::Write as _};

use crate::{handle, panic, slice::Slice};

/// What kind of error it is. Numbers never change their meaning; later versions may add some, so a caller treats one
/// that it does not know like `DITTOFFI_ERROR_CODE_UNKNOWN`.
///
/// Below 1000: what the application did or what became of the peer. From 1000: reported by one part of the database.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DittoffiErrorCode {
    /// Signing in or out failed.
    Authentication = 1,
    /// The configuration is unusable.
    Config = 2,
    /// A fault inside the library, a contained panic included.
    Internal = 3,
    /// Bad user data: a query, document, path, name, argument or pointer.
    InvalidInput = 4,
    /// The file system or the network failed.
    Io = 5,
    /// The license token is bad.
    License = 6,
    /// Sync was started without a license.
    NotActivated = 7,
    /// There is no such document or path.
    NonExtant = 8,
    /// The peer has been closed.
    PeerClosed = 9,
    /// The feature has been removed.
    Deprecation = 10,

    /// The license token has expired.
    ActivationLicenseTokenExpired = 1000,
    /// The license token does not verify.
    ActivationLicenseTokenInvalid = 1001,
    /// The license token was made for a later version.
    ActivationLicenseUnsupportedFutureVersion = 1002,
    /// The peer is not activated.
    ActivationNotActivated = 1003,
    /// The peer needs no activation.
    ActivationUnnecessary = 1004,
    /// Sync with a server needs an expiration handler first.
    AuthenticationExpirationHandlerMissing = 1005,
    /// Text is not base64.
    Base64Invalid = 1006,
    /// Bytes are not well-formed CBOR.
    CborInvalid = 1007,
    /// CBOR holds something that the database has no value for.
    CborUnsupported = 1008,
    /// A document's replicated form is broken, or the operation does not fit the kind of the field.
    Crdt = 1009,
    /// An identity key path of a differ is bad.
    DifferIdentityKeyPathInvalid = 1010,
    /// A statement failed while it ran.
    DqlEvaluationError = 1011,
    /// The arguments do not fit the statement.
    DqlInvalidQueryArgs = 1012,
    /// A statement does not compile; the message says where.
    DqlQueryCompilation = 1013,
    /// A statement uses what is not supported.
    DqlUnsupported = 1014,
    /// A passphrase was given for a database that is not encrypted.
    EncryptionExtraneousPassphraseGiven = 1015,
    /// The passphrase is wrong.
    EncryptionPassphraseInvalid = 1016,
    /// The database is encrypted and no passphrase was given.
    EncryptionPassphraseNotGiven = 1017,
    /// A store operation was not awaited.
    JsFloatingStoreOperation = 1018,
    /// A file exists already.
    IoAlreadyExists = 1019,
    /// A file or directory does not exist; of a running peer: its directory was removed or moved away. Reads go on where they
    /// can; once the directory is back, so do writes.
    IoNotFound = 1020,
    /// Reading or writing failed.
    IoOperationFailed = 1021,
    /// Permission to a file is denied, or the disk is read-only.
    IoPermissionDenied = 1022,
    /// Another peer, here or in another process, has the directory open.
    LockedDittoWorkingDirectory = 1023,
    /// A system parameter is unknown or its value is of the wrong type.
    ParameterQuery = 1024,
    /// The storage failed.
    StoreDatabase = 1025,
    /// A document id is bad.
    StoreDocumentId = 1026,
    /// There is no such document.
    StoreDocumentNotFound = 1027,
    /// A query failed.
    StoreQuery = 1028,
    /// A read-only transaction cannot write.
    StoreTransactionReadOnly = 1029,
    /// A transport failed.
    Transport = 1030,
    /// What was asked for is not supported.
    Unsupported = 1031,
    /// A value is nested too deeply.
    ValidationDepthLimitExceeded = 1032,
    /// CBOR of an argument or document is bad.
    ValidationInvalidCbor = 1033,
    /// JSON of an argument or document is bad.
    ValidationInvalidJson = 1034,
    /// A transport configuration is bad.
    ValidationInvalidTransportConfig = 1035,
    /// The configuration of the peer is bad.
    ValidationInvalidDittoConfig = 1036,
    /// A document or the arguments are something else than an object.
    ValidationNotAMap = 1037,
    /// A value or document is too large.
    ValidationSizeLimitExceeded = 1038,
    /// A kind of error that has no code of its own.
    Unknown = 1039,
    /// A fault inside the database.
    CoreInternal = 1040,
    /// A read-write transaction is open, and something inside of it wants to write beside it.
    StoreTransactionNested = 1041,
    /// Another writer went on for so long that waiting for it was given up.
    StoreTransactionTimeout = 1042,
    /// The disk, or the quota on it, is full. Reads go on; once there is room, so do writes, within half a minute.
    StoreDiskFull = 1043,
    /// What is on disk is not what was written. Nothing is written; what can be read still is.
    StoreCorrupt = 1044,
    /// The database was written in a format that this version does not read.
    StoreFormatUnsupported = 1045,
    /// Whoever watched the progress did not want to go on.
    Cancelled = 1046,
}

pub(crate) use DittoffiErrorCode as ErrorCode;

/// Why a function failed. The caller owns it and frees it with `dittoffi_error_free`.
#[derive(Debug)]
pub struct Error {
    code: ErrorCode,
    message: String,
}

impl Error {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An error whose message is that of `error` and of everything that it goes back to.
    pub(crate) fn caused(code: ErrorCode, error: &dyn StdError) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many errors repeat their source in their own text.
            if !message.contains(&cause_text) {
                let _ = write!(message, ": {cause_text}");
            }
            source = cause.source();
        }
        Self { code, message }
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The handle that C gets.
    pub(crate) fn into_raw(self) -> *mut Error {
        handle::new(self)
    }
}

/// The `dittoffi_error_code_t` of an error; `DITTOFFI_ERROR_CODE_UNKNOWN` for `NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_error_code(error: *const Error) -> u32 {
    // SAFETY: the caller passes NULL or a live handle.
    let code = unsafe { error.as_ref() }.map_or(ErrorCode::Unknown, |error| error.code);
    code as u32
}

/// What went wrong and what it goes back to, for a person to read. Valid until the error is freed; empty for `NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_error_message(error: *const Error) -> Slice {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { error.as_ref() }.map_or(Slice::EMPTY, |error| Slice::borrowed(error.message.as_bytes()))
}

/// Another handle to the same error, to be freed like the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_error_clone(error: *const Error) -> *mut Error {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { handle::clone(error) }
}

/// Frees a handle to an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_error_free(error: *mut Error) {
    // SAFETY: the caller passes NULL or a live handle that it gives up.
    panic::contain_or((), || unsafe { handle::free(error) });
}
