//! Messages that travel shorter than they are.
//!
//! A batch repeats the names of fields, births and much of the text from document to document. LZ4 finds that at several
//! hundred megabytes a second, so that packing costs a publisher a few per cent of what reading the documents costs.

use super::Message;
use crate::limits::{MAX_MESSAGE_BYTES, PACK_MIN_BYTES, PACK_MIN_SAVING};
use crate::wire::{DecodeError, Fields, Writer};

/// Another message, packed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Packed {
    /// How long the message is.
    pub(crate) length: u64,
    /// One block of LZ4, without a frame.
    pub(crate) block: Vec<u8>,
}

/// The byte form of the message that says the same as `message`, which is one: packed if that pays, else itself.
pub(crate) fn pack(message: Vec<u8>) -> Vec<u8> {
    if message.len() < PACK_MIN_BYTES {
        return message;
    }
    let packed = Packed { length: message.len() as u64, block: lz4_flex::block::compress(&message) }.encode();
    if packed.len() <= message.len() - message.len() / PACK_MIN_SAVING { packed } else { message }
}

impl Packed {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(13);
        out.number(1, self.length);
        out.bytes(2, &self.block);
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut packed = Packed::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => packed.length = content.number("length")?,
                2 => packed.block = content.bytes("block", MAX_MESSAGE_BYTES)?.to_vec(),
                _ => {}
            }
        }
        if packed.length > MAX_MESSAGE_BYTES as u64 {
            return Err(DecodeError::Limit("length"));
        }
        Ok(packed)
    }

    /// The message in it. Whatever the block holds, no more than the length that it says is written anywhere, and that is
    /// the length of a message at most.
    pub(crate) fn unpack(&self) -> Result<Message, DecodeError> {
        let mut message = vec![0; self.length as usize];
        match lz4_flex::block::decompress_into(&self.block, &mut message) {
            Ok(length) if length == message.len() => {}
            _ => return Err(DecodeError::Block),
        }
        match Message::decode(&message)? {
            Message::Packed(_) => Err(DecodeError::Nested),
            message => Ok(message),
        }
    }
}
