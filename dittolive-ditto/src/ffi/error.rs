//! From error handles to [`DittoError`].

use dittolive_ditto_sys as sys;

use super::bytes;
use crate::error::{CoreApiErrorKind as Core, DittoError, ErrorKind};

/// Takes over the error handle that a function returned; NULL is success.
pub(super) fn check(error: *mut sys::dittoffi_error_t) -> Result<(), DittoError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the handle is live and ours; the message lives as long as it does and is copied before that ends.
    let (code, message) = unsafe {
        let message = bytes::borrowed(sys::dittoffi_error_message(error));
        let message = String::from_utf8_lossy(message).into_owned();
        let code = sys::dittoffi_error_code(error);
        sys::dittoffi_error_free(error);
        (code, message)
    };
    Err(DittoError::new(kind(code), message))
}

/// The kind that a code of the library stands for; unknown codes come from later versions.
fn kind(code: u32) -> ErrorKind {
    match code {
        sys::DITTOFFI_ERROR_CODE_AUTHENTICATION => ErrorKind::Authentication,
        sys::DITTOFFI_ERROR_CODE_CONFIG => ErrorKind::Config,
        sys::DITTOFFI_ERROR_CODE_INTERNAL => ErrorKind::Internal,
        sys::DITTOFFI_ERROR_CODE_INVALID_INPUT => ErrorKind::InvalidInput,
        sys::DITTOFFI_ERROR_CODE_IO => ErrorKind::IO,
        sys::DITTOFFI_ERROR_CODE_LICENSE => ErrorKind::License,
        sys::DITTOFFI_ERROR_CODE_NOT_ACTIVATED => ErrorKind::NotActivated,
        sys::DITTOFFI_ERROR_CODE_NON_EXTANT => ErrorKind::NonExtant,
        sys::DITTOFFI_ERROR_CODE_PEER_CLOSED => ErrorKind::ReleasedDittoInstance,
        sys::DITTOFFI_ERROR_CODE_DEPRECATION => ErrorKind::Deprecation,
        code => ErrorKind::CoreApi(core(code)),
    }
}

fn core(code: u32) -> Core {
    match code {
        sys::DITTOFFI_ERROR_CODE_ACTIVATION_LICENSE_TOKEN_EXPIRED => Core::ActivationLicenseTokenExpired,
        sys::DITTOFFI_ERROR_CODE_ACTIVATION_LICENSE_TOKEN_INVALID => Core::ActivationLicenseTokenInvalid,
        sys::DITTOFFI_ERROR_CODE_ACTIVATION_LICENSE_UNSUPPORTED_FUTURE_VERSION => {
            Core::ActivationLicenseUnsupportedFutureVersion
        }
        sys::DITTOFFI_ERROR_CODE_ACTIVATION_NOT_ACTIVATED => Core::ActivationNotActivated,
        sys::DITTOFFI_ERROR_CODE_ACTIVATION_UNNECESSARY => Core::ActivationUnnecessary,
        sys::DITTOFFI_ERROR_CODE_AUTHENTICATION_EXPIRATION_HANDLER_MISSING => {
            Core::AuthenticationExpirationHandlerMissing
        }
        sys::DITTOFFI_ERROR_CODE_BASE64_INVALID => Core::Base64Invalid,
        sys::DITTOFFI_ERROR_CODE_CBOR_INVALID => Core::CborInvalid,
        sys::DITTOFFI_ERROR_CODE_CBOR_UNSUPPORTED => Core::CborUnsupported,
        sys::DITTOFFI_ERROR_CODE_CRDT => Core::Crdt,
        sys::DITTOFFI_ERROR_CODE_DIFFER_IDENTITY_KEY_PATH_INVALID => Core::DifferIdentityKeyPathInvalid,
        sys::DITTOFFI_ERROR_CODE_DQL_EVALUATION_ERROR => Core::DqlEvaluationError,
        sys::DITTOFFI_ERROR_CODE_DQL_INVALID_QUERY_ARGS => Core::DqlInvalidQueryArgs,
        sys::DITTOFFI_ERROR_CODE_DQL_QUERY_COMPILATION => Core::DqlQueryCompilation,
        sys::DITTOFFI_ERROR_CODE_DQL_UNSUPPORTED => Core::DqlUnsupported,
        sys::DITTOFFI_ERROR_CODE_ENCRYPTION_EXTRANEOUS_PASSPHRASE_GIVEN => {
            Core::EncryptionExtraneousPassphraseGiven
        }
        sys::DITTOFFI_ERROR_CODE_ENCRYPTION_PASSPHRASE_INVALID => Core::EncryptionPassphraseInvalid,
        sys::DITTOFFI_ERROR_CODE_ENCRYPTION_PASSPHRASE_NOT_GIVEN => Core::EncryptionPassphraseNotGiven,
        sys::DITTOFFI_ERROR_CODE_JS_FLOATING_STORE_OPERATION => Core::JsFloatingStoreOperation,
        sys::DITTOFFI_ERROR_CODE_IO_ALREADY_EXISTS => Core::IoAlreadyExists,
        sys::DITTOFFI_ERROR_CODE_IO_NOT_FOUND => Core::IoNotFound,
        sys::DITTOFFI_ERROR_CODE_IO_OPERATION_FAILED => Core::IoOperationFailed,
        sys::DITTOFFI_ERROR_CODE_IO_PERMISSION_DENIED => Core::IoPermissionDenied,
        sys::DITTOFFI_ERROR_CODE_LOCKED_DITTO_WORKING_DIRECTORY => Core::LockedDittoWorkingDirectory,
        sys::DITTOFFI_ERROR_CODE_PARAMETER_QUERY => Core::ParameterQuery,
        sys::DITTOFFI_ERROR_CODE_STORE_DATABASE => Core::StoreDatabase,
        sys::DITTOFFI_ERROR_CODE_STORE_DOCUMENT_ID => Core::StoreDocumentId,
        sys::DITTOFFI_ERROR_CODE_STORE_DOCUMENT_NOT_FOUND => Core::StoreDocumentNotFound,
        sys::DITTOFFI_ERROR_CODE_STORE_QUERY => Core::StoreQuery,
        sys::DITTOFFI_ERROR_CODE_STORE_TRANSACTION_READ_ONLY => Core::StoreTransactionReadOnly,
        sys::DITTOFFI_ERROR_CODE_TRANSPORT => Core::Transport,
        sys::DITTOFFI_ERROR_CODE_UNSUPPORTED => Core::Unsupported,
        sys::DITTOFFI_ERROR_CODE_VALIDATION_DEPTH_LIMIT_EXCEEDED => Core::ValidationDepthLimitExceeded,
        sys::DITTOFFI_ERROR_CODE_VALIDATION_INVALID_CBOR => Core::ValidationInvalidCbor,
        sys::DITTOFFI_ERROR_CODE_VALIDATION_INVALID_JSON => Core::ValidationInvalidJson,
        sys::DITTOFFI_ERROR_CODE_VALIDATION_INVALID_TRANSPORT_CONFIG => {
            Core::ValidationInvalidTransportConfig
        }
        sys::DITTOFFI_ERROR_CODE_VALIDATION_INVALID_DITTO_CONFIG => Core::ValidationInvalidDittoConfig,
        sys::DITTOFFI_ERROR_CODE_VALIDATION_NOT_A_MAP => Core::ValidationNotAMap,
        sys::DITTOFFI_ERROR_CODE_VALIDATION_SIZE_LIMIT_EXCEEDED => Core::ValidationSizeLimitExceeded,
        sys::DITTOFFI_ERROR_CODE_CORE_INTERNAL => Core::Internal,
        sys::DITTOFFI_ERROR_CODE_STORE_TRANSACTION_NESTED => Core::StoreTransactionNested,
        sys::DITTOFFI_ERROR_CODE_STORE_TRANSACTION_TIMEOUT => Core::StoreTransactionTimeout,
        sys::DITTOFFI_ERROR_CODE_STORE_DISK_FULL => Core::StoreDiskFull,
        sys::DITTOFFI_ERROR_CODE_STORE_CORRUPT => Core::StoreCorrupt,
        sys::DITTOFFI_ERROR_CODE_STORE_FORMAT_UNSUPPORTED => Core::StoreFormatUnsupported,
        sys::DITTOFFI_ERROR_CODE_CANCELLED => Core::Cancelled,
        _ => Core::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_a_kind_of_its_own() {
        let kinds: HashSet<_> = (sys::DITTOFFI_ERROR_CODE_ACTIVATION_LICENSE_TOKEN_EXPIRED
            ..=sys::DITTOFFI_ERROR_CODE_CANCELLED)
            .map(core)
            .collect();
        assert_eq!(kinds.len(), Core::ALL.len());
        assert_eq!(kind(u32::MAX), ErrorKind::CoreApi(Core::Unknown));
    }
}
