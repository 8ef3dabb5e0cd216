//! The key-encoded `_id` of a document, as it travels.
//!
//! A document that is inserted without an `_id` gets a random UUID as text, which takes 39 bytes as a key and does not become
//! shorter by packing. Its 16 bytes say the same.

use crate::limits::MAX_ID_BYTES;
use crate::wire::{Content, DecodeError, Writer};

/// A string, as a key begins.
const STRING: u8 = 0x31;
/// What ends it.
const END: [u8; 2] = [0x00, 0x01];
/// Bytes of a UUID between its hyphens.
const GROUPS: [usize; 5] = [4, 2, 2, 2, 6];
const TEXT_BYTES: usize = 36;

/// What a document is called within its collection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Name {
    /// The key itself.
    Key(Vec<u8>),
    /// The key of the text of this UUID: digits in lower case, with hyphens.
    Uuid([u8; 16]),
}

impl Default for Name {
    fn default() -> Self {
        Name::Key(Vec::new())
    }
}

impl Name {
    /// The shortest form.
    pub(crate) fn short(key: &[u8]) -> Self {
        uuid(key).map_or_else(|| Self::plain(key), Name::Uuid)
    }

    /// The form that every peer reads.
    pub(crate) fn plain(key: &[u8]) -> Self {
        Name::Key(key.to_vec())
    }

    pub(crate) fn into_key(self) -> Vec<u8> {
        match self {
            Name::Key(key) => key,
            Name::Uuid(uuid) => key_of(uuid),
        }
    }

    /// Takes two field numbers, one for each form.
    pub(super) fn encode(&self, out: &mut Writer, key_field: u64, uuid_field: u64) {
        match self {
            Name::Key(key) => out.bytes(key_field, key),
            Name::Uuid(uuid) => out.bytes(uuid_field, uuid),
        }
    }

    pub(super) fn decode_key(content: Content<'_>) -> Result<Self, DecodeError> {
        Ok(Name::Key(content.bytes("id", MAX_ID_BYTES)?.to_vec()))
    }

    pub(super) fn decode_uuid(content: Content<'_>) -> Result<Self, DecodeError> {
        Ok(Name::Uuid(content.array("uuid")?))
    }
}

/// The UUID whose text this key is of.
fn uuid(key: &[u8]) -> Option<[u8; 16]> {
    let mut text = key.strip_prefix(&[STRING])?.strip_suffix(&END)?;
    if text.len() != TEXT_BYTES {
        return None;
    }
    let mut uuid = [0; 16];
    let mut bytes = uuid.iter_mut();
    for (index, group) in GROUPS.into_iter().enumerate() {
        if index > 0 {
            text = text.strip_prefix(b"-")?;
        }
        let (digits, rest) = text.split_at_checked(2 * group)?;
        text = rest;
        for (pair, byte) in digits.as_chunks::<2>().0.iter().zip(&mut bytes) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
    }
    Some(uuid)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn key_of(uuid: [u8; 16]) -> Vec<u8> {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut key = Vec::with_capacity(1 + TEXT_BYTES + END.len());
    key.push(STRING);
    let mut bytes = uuid.iter();
    for (index, group) in GROUPS.into_iter().enumerate() {
        if index > 0 {
            key.push(b'-');
        }
        for byte in bytes.by_ref().take(group) {
            key.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xF)]]);
        }
    }
    key.extend(END);
    key
}

#[cfg(test)]
mod tests {
    use ditto_value::{Value, key};
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0ff";

    fn key_of_text(text: &str) -> Vec<u8> {
        key::of(&Value::from(text))
    }

    #[test]
    fn the_text_of_a_uuid_travels_as_its_16_bytes() {
        let key = key_of_text(TEXT);
        let name = Name::short(&key);
        assert_eq!(name, Name::Uuid(0x0f1e_2d3c_4b5a_4978_8695_a4b3_c2d1_e0ff_u128.to_be_bytes()));
        assert_eq!(name.into_key(), key);
    }

    #[test]
    fn every_other_spelling_travels_as_it_is() {
        let upper = TEXT.to_uppercase();
        let simple = TEXT.replace('-', "");
        let moved = TEXT.replace("c-4", "-c4");
        let no_digit = TEXT.replace('f', "g");
        let longer = format!("{TEXT}0");
        for text in ["", "x", &upper, &simple, &moved, &no_digit, &longer] {
            let key = key_of_text(text);
            assert_eq!(Name::short(&key), Name::Key(key), "{text}");
        }
        let bytes = key::of(&Value::Bytes(TEXT.as_bytes().to_vec()));
        assert_eq!(Name::short(&bytes), Name::Key(bytes));
    }

    proptest! {
        #[test]
        fn a_name_is_what_it_was(uuid in any::<[u8; 16]>(), key in prop::collection::vec(any::<u8>(), 0..50)) {
            let of_uuid = key_of(uuid);
            prop_assert_eq!(Name::short(&of_uuid), Name::Uuid(uuid));
            prop_assert_eq!(Name::short(&key).into_key(), key);
        }
    }
}
