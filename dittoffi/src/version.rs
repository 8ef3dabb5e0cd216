//! Version and ABI fingerprint: how a build script and an SDK tell whether a library fits.

use crate::slice::Slice;

/// Raised when the meaning of a function or of the bytes it takes changes while its declaration stays the same.
/// Part of the fingerprint.
pub const DITTOFFI_ABI_REVISION: u32 = 1;

/// Before the fingerprint in every artifact, so that it can be found without loading it. `ditto-build-support` looks
/// for this.
const MARK: &str = "DITTOFFI_ABI_FINGERPRINT=";

/// Between the fingerprint and `;`.
const TARGET: &str = concat!(";TARGET=", env!("DITTOFFI_TARGET"), ";");

/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 32;

const EMBEDDED_LENGTH: usize = MARK.len() + DIGITS + TARGET.len();

/// `DITTOFFI_ABI_FINGERPRINT=<32 hexadecimal digits>;TARGET=<triple>;`, kept in every artifact because
/// `dittoffi_abi_fingerprint` refers to it.
static EMBEDDED: [u8; EMBEDDED_LENGTH] = embed(include_str!("../include/dittoffi.h"));

/// Takes the fingerprint from the header's own `#define DITTOFFI_ABI_FINGERPRINT "…"`. The header is the one truth; that
/// it is fresh, and its fingerprint right, is what `ditto-bindings --check-header` checks.
#[expect(
    clippy::panic,
    reason = "evaluated by the compiler only; a header without fingerprint must not compile"
)]
const fn embed(header: &str) -> [u8; EMBEDDED_LENGTH] {
    const DEFINE: &str = "#define DITTOFFI_ABI_FINGERPRINT \"";
    let mut at = 0;
    while at + DEFINE.len() + DIGITS < header.len() {
        if equal_at(header, at, DEFINE) {
            let mut embedded = [0; EMBEDDED_LENGTH];
            copy(MARK.as_bytes(), 0, &mut embedded, 0, MARK.len());
            copy(header.as_bytes(), at + DEFINE.len(), &mut embedded, MARK.len(), DIGITS);
            copy(TARGET.as_bytes(), 0, &mut embedded, MARK.len() + DIGITS, TARGET.len());
            return embedded;
        }
        at += 1;
    }
    panic!("dittoffi.h has no ABI fingerprint: run `cargo run -p ditto-bindings`")
}

const fn equal_at(text: &str, at: usize, part: &str) -> bool {
    let mut index = 0;
    while index < part.len() {
        if text.as_bytes()[at + index] != part.as_bytes()[index] {
            return false;
        }
        index += 1;
    }
    true
}

const fn copy(from: &[u8], from_index: usize, to: &mut [u8], to_index: usize, count: usize) {
    let mut index = 0;
    while index < count {
        to[to_index + index] = from[from_index + index];
        index += 1;
    }
}

/// The version of the library, such as `0.1.0`. Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn dittoffi_version() -> Slice {
    Slice::from_static(env!("CARGO_PKG_VERSION").as_bytes())
}

/// The fingerprint of the header that the library was built with: 32 hexadecimal digits. A program compares it with
/// `DITTOFFI_ABI_FINGERPRINT` of the header it was compiled with; when they differ, the two do not fit. Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn dittoffi_abi_fingerprint() -> Slice {
    let embedded: &'static [u8] = &EMBEDDED;
    Slice::from_static(embedded.split_at(MARK.len()).1.split_at(DIGITS).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_that_of_the_header() {
        // SAFETY: the bytes are static.
        let fingerprint = unsafe { dittoffi_abi_fingerprint().text("the fingerprint") }.unwrap().to_owned();
        let define = format!("#define DITTOFFI_ABI_FINGERPRINT \"{fingerprint}\"\n");
        assert!(include_str!("../include/dittoffi.h").contains(&define));
        let embedded = std::str::from_utf8(&EMBEDDED).unwrap();
        assert_eq!(embedded, format!("{MARK}{fingerprint};TARGET={};", env!("DITTOFFI_TARGET")));
    }
}
