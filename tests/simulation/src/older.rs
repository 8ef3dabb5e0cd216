//! What passes between a peer of an older build and any other: it knows no capabilities, so it states none, and hears of none.

use crate::fields::{self, Content};

/// Kind of the greeting.
const HELLO: u8 = 1;
/// Its field with the capabilities.
const CAPABILITIES: u64 = 8;

/// A greeting without capabilities; other messages as they are.
#[must_use]
pub(crate) fn without_capabilities(message: Vec<u8>) -> Vec<u8> {
    with_capabilities_of(message, 0)
}

/// A greeting with no other capabilities than these; other messages as they are.
#[must_use]
pub(crate) fn with_capabilities_of(message: Vec<u8>, known: u64) -> Vec<u8> {
    let Some((&HELLO, rest)) = message.split_first() else { return message };
    let Some(mut fields) = fields::read(rest) else { return message };
    for field in fields.iter_mut().filter(|field| field.number == CAPABILITIES) {
        if let Content::Number(capabilities) = &mut field.content {
            *capabilities &= known;
        }
    }
    fields.retain(|field| field.number != CAPABILITIES || field.content != Content::Number(0));
    [vec![HELLO], fields::write(&fields)].concat()
}
