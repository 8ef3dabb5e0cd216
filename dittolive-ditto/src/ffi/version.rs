//! Does the library fit these bindings?

use std::str;

use dittolive_ditto_sys as sys;

use super::bytes;
use crate::error::{CoreApiErrorKind, DittoError};

/// The version of the library, such as `0.1.0`.
fn version() -> &'static str {
    // SAFETY: takes nothing; the slice is valid for ever.
    str::from_utf8(unsafe { bytes::borrowed(sys::dittoffi_version()) }).unwrap_or("unknown")
}

/// Refuses a library that was built from another header: with a dynamic library that can only be seen at run time.
pub(crate) fn check_library() -> Result<(), DittoError> {
    // SAFETY: takes nothing; the slice is valid for ever.
    let found = unsafe { bytes::borrowed(sys::dittoffi_abi_fingerprint()) };
    if found == sys::ABI_FINGERPRINT.as_bytes() {
        return Ok(());
    }
    Err(DittoError::core(
        CoreApiErrorKind::Unsupported,
        format!(
            "the database library found at run time is version {} with the interface {}, but this program was built \
             for the interface {}; put the library of SDK version {} where the loader looks first",
            version(),
            String::from_utf8_lossy(found),
            sys::ABI_FINGERPRINT,
            env!("CARGO_PKG_VERSION"),
        ),
    ))
}
