//! Which header a library was built with, and for which target, read from its bytes without loading it.
//!
//! Every artifact holds the text `DITTOFFI_ABI_FINGERPRINT=<32 hexadecimal digits>;TARGET=<triple>;`.

use std::{fs, path::Path};

use crate::artifact::Target;

const MARK: &[u8] = b"DITTOFFI_ABI_FINGERPRINT=";
const TARGET: &[u8] = b";TARGET=";
const DIGITS: usize = 32;
const MAX_TRIPLE: usize = 64;

/// What a library says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// 32 hexadecimal digits.
    pub abi: String,
    /// The target it was built for.
    pub target: Target,
}

impl Fingerprint {
    /// Finds the text in `artifact`. Linear, and in practice about one step in 25 bytes.
    pub fn find(artifact: &[u8]) -> Option<Self> {
        let mut rest = artifact;
        loop {
            let at = find(rest, MARK)?;
            let (_, after) = rest.split_at_checked(at + MARK.len())?;
            if let Some(found) = Self::parse(after) {
                return Some(found);
            }
            // The mark alone also occurs, in programs that search for it.
            rest = after;
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (abi, text) = text.split_at_checked(DIGITS)?;
        let text = text.strip_prefix(TARGET)?;
        let length = text.iter().take(MAX_TRIPLE + 1).position(|&byte| byte == b';')?;
        let triple = std::str::from_utf8(text.get(..length)?).ok()?;
        let abi =
            std::str::from_utf8(abi).ok().filter(|abi| abi.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        Some(Self { abi: abi.to_owned(), target: Target::new(triple) })
    }

    /// Whether the library in `path` fits; if not, why not, in words that go after its name.
    pub fn check(path: &Path, abi: &str, target: &Target) -> Result<(), String> {
        let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
        let found = Self::find(&bytes).ok_or_else(|| {
            format!(
                "has {} bytes and no ABI fingerprint, so it is no libdittoffi that this version knows",
                bytes.len()
            )
        })?;
        if found.target != *target {
            return Err(format!("was built for {}, wanted is {target}", found.target));
        }
        if found.abi != abi {
            return Err(format!(
                "has the ABI fingerprint {}, wanted is {abi}: it belongs to another version of the bindings",
                found.abi
            ));
        }
        Ok(())
    }
}

/// Where `needle` first is in `haystack` (Horspool's algorithm: this runs without optimization on tens of megabytes).
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let last = needle.len().checked_sub(1)?;
    let mut skips = [needle.len(); 256];
    for (index, &byte) in needle.iter().enumerate().take(last) {
        if let Some(skip) = skips.get_mut(usize::from(byte)) {
            *skip = last - index;
        }
    }
    let mut start = 0;
    while let Some(&end) = haystack.get(start + last) {
        if haystack.get(start..=start + last) == Some(needle) {
            return Some(start);
        }
        start += skips.get(usize::from(end)).copied().unwrap_or(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABI: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn the_text_is_found_wherever_it_is() {
        let text = format!("DITTOFFI_ABI_FINGERPRINT={ABI};TARGET=x86_64-unknown-linux-gnu;");
        for padding in 0..70 {
            let mut bytes = vec![b'D'; padding];
            // A mark without fingerprint, as in a program that looks for one.
            bytes.extend_from_slice(b"DITTOFFI_ABI_FINGERPRINT=\0");
            bytes.extend_from_slice(text.as_bytes());
            bytes.extend_from_slice(&vec![0; padding % 3]);
            let found = Fingerprint::find(&bytes).unwrap();
            assert_eq!(found.abi, ABI);
            assert_eq!(found.target, Target::new("x86_64-unknown-linux-gnu"));
        }
    }

    #[test]
    fn broken_text_is_no_fingerprint() {
        for text in [
            "",
            "DITTOFFI_ABI_FINGERPRINT=",
            "DITTOFFI_ABI_FINGERPRINT=0123",
            "DITTOFFI_ABI_FINGERPRINT=0123456789abcdef0123456789abcdef;TARGET=x86_64",
            "DITTOFFI_ABI_FINGERPRINT=0123456789abcdef0123456789abcdeg;TARGET=x;",
        ] {
            assert_eq!(Fingerprint::find(text.as_bytes()), None, "{text}");
        }
    }
}
