//! What passes between a peer of an older build and any other: it knows no capabilities, so it states none, and hears of none.

/// Kind of the greeting.
const HELLO: u8 = 1;
/// Its field with the capabilities.
const CAPABILITIES: u64 = 8;

/// A number at the beginning of the bytes, which it takes off; `None` if there is none.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A greeting without capabilities; other messages as they are.
#[must_use]
pub(crate) fn without_capabilities(message: Vec<u8>) -> Vec<u8> {
    if message.first() != Some(&HELLO) {
        return message;
    }
    let mut kept = vec![HELLO];
    let mut rest = &message[1..];
    while !rest.is_empty() {
        let field = rest;
        let (Some(tag), Some(value)) = (varint(&mut rest), varint(&mut rest)) else { return message };
        if tag & 1 == 1 {
            let Some(after) = usize::try_from(value).ok().and_then(|length| rest.get(length..)) else {
                return message;
            };
            rest = after;
        }
        if tag >> 1 != CAPABILITIES {
            kept.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    kept
}
