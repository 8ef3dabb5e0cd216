//! CBOR (RFC 8949) both ways.

mod decode;

use crate::{MAX_DEPTH, Node, Number, Tree};

pub(crate) use decode::transcode;

/// Bytes that are not CBOR, or not CBOR that a value can hold.
#[derive(Debug, thiserror::Error)]
pub enum CborError {
    /// Malformed or truncated.
    #[error("malformed CBOR at byte {position}: {reason}")]
    Malformed {
        /// Offset in the input.
        position: usize,
        /// What was found and what is expected.
        reason: &'static str,
    },
    /// Something that no value holds.
    #[error("CBOR at byte {position}: {reason}")]
    Unsupported {
        /// Offset of the item in the input.
        position: usize,
        /// What was found and what is expected.
        reason: &'static str,
    },
}

const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const BYTE_STRING: u8 = 2 << 5;
const TEXT_STRING: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
const FALSE: u8 = 0xF4;
const TRUE: u8 = 0xF5;
const NULL: u8 = 0xF6;
const HALF: u8 = 0xF9;
const SINGLE: u8 = 0xFA;
const DOUBLE: u8 = 0xFB;

pub(crate) fn encode<'a>(value: impl Tree<'a>, out: &mut Vec<u8>) {
    encode_nested(value, out, 0);
}

fn encode_nested<'a>(value: impl Tree<'a>, out: &mut Vec<u8>, depth: usize) {
    match value.node() {
        Node::Null => out.push(NULL),
        Node::Bool(false) => out.push(FALSE),
        Node::Bool(true) => out.push(TRUE),
        Node::Number(Number::Int(value)) => match u64::try_from(value) {
            Ok(value) => head(out, UNSIGNED, value),
            Err(_) => head(out, NEGATIVE, !value as u64),
        },
        Node::Number(Number::UInt(value)) => head(out, UNSIGNED, value),
        Node::Number(Number::Float(value)) => encode_float(value, out),
        Node::Bytes(bytes) => {
            head(out, BYTE_STRING, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Node::String(text) => encode_text(text, out),
        Node::Array(_) | Node::Object(_) if depth >= MAX_DEPTH => out.push(NULL),
        Node::Array(elements) => {
            head(out, ARRAY, elements.len() as u64);
            for element in elements {
                encode_nested(element, out, depth + 1);
            }
        }
        Node::Object(members) => {
            head(out, MAP, members.len() as u64);
            for (name, member) in members {
                encode_text(name, out);
                encode_nested(member, out, depth + 1);
            }
        }
    }
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    head(out, TEXT_STRING, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The first bytes of an item: major type, and a number in its shortest form.
fn head(out: &mut Vec<u8>, major: u8, number: u64) {
    if number < 24 {
        out.push(major | number as u8);
    } else if let Ok(number) = u8::try_from(number) {
        out.extend_from_slice(&[major | 24, number]);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(major | 25);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.push(major | 26);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(major | 27);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn encode_float(value: f64, out: &mut Vec<u8>) {
    let single = value as f32;
    if f64::from(single).to_bits() != value.to_bits() {
        out.push(DOUBLE);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Some(half) = exact_half(single) {
        out.push(HALF);
        out.extend_from_slice(&half.to_be_bytes());
    } else {
        out.push(SINGLE);
        out.extend_from_slice(&single.to_be_bytes());
    }
}

/// The bits of the half-precision float of exactly that value, if there is one.
fn exact_half(value: f32) -> Option<u16> {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let exponent = (bits >> 23 & 0xFF) as i32 - 127;
    let fraction = bits & 0x7F_FFFF;
    match exponent {
        _ if bits << 1 == 0 => Some(sign),
        -14..=15 if fraction.trailing_zeros() >= 13 => {
            Some(sign | ((exponent + 15) as u16) << 10 | (fraction >> 13) as u16)
        }
        // Subnormal: the implicit one moves into the fraction.
        -24..=-15 => {
            let significand = fraction | 0x80_0000;
            let shift = (-exponent - 1) as u32;
            (significand.trailing_zeros() >= shift).then(|| sign | (significand >> shift) as u16)
        }
        _ => None,
    }
}
