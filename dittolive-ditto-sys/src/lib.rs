//! Raw declarations of `libdittoffi`, and the build script that finds, builds or downloads that library.
//!
//! Applications use `dittolive-ditto`, the safe SDK; nothing here is safe to call without reading the conventions at
//! the top of `dittoffi.h`. What the build script does, and the environment variables that steer it, is described in
//! `ditto-build-support`.
#![no_std]

#[rustfmt::skip]
#[expect(missing_docs, non_camel_case_types, reason = "the names and the documentation are the C header's")]
mod bindings;

pub use bindings::*;

/// The fingerprint of the declarations here, 32 hexadecimal digits. A library fits when [`dittoffi_abi_fingerprint`]
/// returns the same.
pub const ABI_FINGERPRINT: &str = match DITTOFFI_ABI_FINGERPRINT.to_str() {
    Ok(fingerprint) => fingerprint,
    Err(_) => "",
};
