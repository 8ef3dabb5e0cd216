//! CBOR (RFC 8949) both ways.

use minicbor::Decoder;
use minicbor::data::{Tag, Type};

use crate::{MAX_DEPTH, Node, Number, Tree, Value, Writer, binary};

/// Bytes that are not CBOR, or not CBOR that a value can hold.
#[derive(Debug, thiserror::Error)]
pub enum CborError {
    /// Malformed or truncated.
    #[error("malformed CBOR: {0}")]
    Malformed(#[from] minicbor::decode::Error),
    /// Something that no value holds.
    #[error("CBOR at byte {position}: {reason}")]
    Unsupported {
        /// Offset of the item in the input.
        position: usize,
        /// What was found and what is expected.
        reason: &'static str,
    },
}

fn unsupported<T>(position: usize, reason: &'static str) -> Result<T, CborError> {
    Err(CborError::Unsupported { position, reason })
}

/// The binary form of what one CBOR item holds, without a tree in between.
pub(crate) fn transcode(bytes: &[u8]) -> Result<Vec<u8>, CborError> {
    let mut decoder = Decoder::new(bytes);
    // The binary form is about as long.
    let mut writer = Writer::after(Vec::with_capacity(bytes.len() + bytes.len() / 8));
    item(&mut decoder, &mut writer, 0)?;
    if decoder.position() == bytes.len() {
        Ok(writer.into_bytes())
    } else {
        unsupported(decoder.position(), "bytes follow the item; exactly one item is expected")
    }
}

fn item(decoder: &mut Decoder<'_>, writer: &mut Writer, depth: usize) -> Result<(), CborError> {
    let position = decoder.position();
    match decoder.datatype()? {
        Type::Null => {
            decoder.null()?;
            writer.value(&Value::Null);
        }
        Type::Undefined => {
            decoder.undefined()?;
            writer.value(&Value::Null);
        }
        Type::Bool => writer.value(&Value::Bool(decoder.bool()?)),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => writer.value(&Value::from(decoder.u64()?)),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => writer.value(&Value::Int(decoder.i64()?)),
        Type::Int => return unsupported(position, "a negative integer is below -2^63"),
        Type::F16 => writer.value(&decode_half(decoder)?),
        Type::F32 => writer.value(&finite(f64::from(decoder.f32()?), position)?),
        Type::F64 => writer.value(&finite(decoder.f64()?, position)?),
        Type::Bytes => {
            writer.bytes_mut().push(binary::BYTES);
            writer.bytes_mut().extend_from_slice(decoder.bytes()?);
        }
        Type::BytesIndef => {
            writer.bytes_mut().push(binary::BYTES);
            for chunk in decoder.bytes_iter()? {
                writer.bytes_mut().extend_from_slice(chunk?);
            }
        }
        datatype @ (Type::String | Type::StringIndef) => {
            writer.bytes_mut().push(binary::STRING);
            text(decoder, datatype, writer.bytes_mut())?;
        }
        Type::Array | Type::ArrayIndef | Type::Map | Type::MapIndef | Type::Tag if depth >= MAX_DEPTH => {
            return unsupported(position, "items are nested deeper than 128");
        }
        Type::Array | Type::ArrayIndef => {
            let length = decoder.array()?;
            let array = writer.begin(binary::ARRAY);
            let mut taken = 0;
            while more(decoder, length, taken)? {
                item(decoder, writer, depth + 1)?;
                writer.mark_end(array);
                taken += 1;
            }
            writer.finish_array(array);
        }
        Type::Map | Type::MapIndef => {
            let length = decoder.map()?;
            let object = writer.begin(binary::OBJECT);
            let mut taken = 0;
            while more(decoder, length, taken)? {
                let position = decoder.position();
                match decoder.datatype()? {
                    datatype @ (Type::String | Type::StringIndef) => {
                        text(decoder, datatype, writer.bytes_mut())?;
                    }
                    _ => return unsupported(position, "a map key is not text"),
                }
                writer.mark_end(object);
                item(decoder, writer, depth + 1)?;
                writer.mark_end(object);
                taken += 1;
            }
            writer.sort_members(object);
            writer.finish_object(object);
        }
        Type::Tag => match decoder.tag()? {
            // Big numbers would read as byte strings, silently.
            tag if tag == Tag::new(2) || tag == Tag::new(3) => {
                return unsupported(position, "a number is beyond 64 bits (tag 2 or 3)");
            }
            // Other tags say how to understand an item; the item itself is what is kept.
            _ => item(decoder, writer, depth + 1)?,
        },
        Type::Simple | Type::Break | Type::Unknown(_) => {
            return unsupported(position, "a simple value other than false, true, null and undefined");
        }
    }
    Ok(())
}

/// Whether a container of that length (none: until a break) has an item after `taken`.
fn more(decoder: &mut Decoder<'_>, length: Option<u64>, taken: u64) -> Result<bool, CborError> {
    match length {
        Some(length) => Ok(taken < length),
        None if decoder.datatype()? == Type::Break => {
            decoder.set_position(decoder.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}

fn text(decoder: &mut Decoder<'_>, datatype: Type, out: &mut Vec<u8>) -> Result<(), CborError> {
    if datatype == Type::String {
        out.extend_from_slice(decoder.str()?.as_bytes());
        return Ok(());
    }
    for chunk in decoder.str_iter()? {
        out.extend_from_slice(chunk?.as_bytes());
    }
    Ok(())
}

fn finite(value: f64, position: usize) -> Result<Value, CborError> {
    if value.is_finite() { Ok(Value::Float(value)) } else { unsupported(position, "a float is not finite") }
}

fn decode_half(decoder: &mut Decoder<'_>) -> Result<Value, CborError> {
    let position = decoder.position();
    let Some(&[high, low]) = decoder.input().get(position + 1..position + 3) else {
        return unsupported(position, "a half-precision float is cut off");
    };
    decoder.set_position(position + 3);
    let bits = u16::from_be_bytes([high, low]);
    let (exponent, fraction) = ((bits >> 10) & 0x1F, f64::from(bits & 0x3FF));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 => return unsupported(position, "a float is not finite"),
        _ => (1024.0 + fraction) * 2f64.powi(i32::from(exponent) - 25),
    };
    Ok(Value::Float(if bits & 0x8000 == 0 { magnitude } else { -magnitude }))
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
