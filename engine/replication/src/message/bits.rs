//! Sets of small numbers as they travel: number *i* is bit *i* % 8 of byte *i* / 8.

/// The bits of an iterator, trailing zero bytes left out.
pub(crate) fn collect(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, bit) in bits.enumerate() {
        if bit {
            if bytes.len() <= index / 8 {
                bytes.resize(index / 8 + 1, 0_u8);
            }
            if let Some(byte) = bytes.last_mut() {
                *byte |= 1 << (index % 8);
            }
        }
    }
    bytes
}

/// Whether there is a number in the set.
pub(crate) fn any(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

/// Bits beyond the end are zero.
pub(crate) fn get(bytes: &[u8], index: usize) -> bool {
    bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}
