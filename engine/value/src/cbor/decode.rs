//! From CBOR to the binary form, without a tree in between.
//!
//! Every statement's arguments come this way, so it is one pass over the input, and names and texts are copied once.

use super::CborError;
use crate::{MAX_DEPTH, Number, Value, Writer, binary};

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTE_STRING: u8 = 2;
const TEXT_STRING: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// Additional information of a head: the length is not known beforehand.
const INDEFINITE: u8 = 31;
/// Ends what has an indefinite length.
const BREAK: u8 = 0xFF;

/// The binary form of what one CBOR item holds.
pub(crate) fn transcode(bytes: &[u8]) -> Result<Vec<u8>, CborError> {
    let mut input = Input { bytes, position: 0 };
    // The binary form is about as long.
    let mut writer = Writer::after(Vec::with_capacity(bytes.len() + bytes.len() / 8));
    item(&mut input, &mut writer, 0)?;
    if input.position == bytes.len() {
        Ok(writer.into_bytes())
    } else {
        unsupported(input.position, "bytes follow the item; exactly one item is expected")
    }
}

fn unsupported<T>(position: usize, reason: &'static str) -> Result<T, CborError> {
    Err(CborError::Unsupported { position, reason })
}

fn malformed<T>(position: usize, reason: &'static str) -> Result<T, CborError> {
    Err(CborError::Malformed { position, reason })
}

/// What is left to read.
struct Input<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// The first bytes of an item.
struct Head {
    major: u8,
    /// The lower five bits of the first byte.
    info: u8,
    /// The number that they or the bytes after it say; 0 if indefinite.
    argument: u64,
}

impl Head {
    fn is_indefinite(&self) -> bool {
        self.info == INDEFINITE
    }
}

impl<'a> Input<'a> {
    fn head(&mut self) -> Result<Head, CborError> {
        let position = self.position;
        let Some(&first) = self.bytes.get(position) else {
            return malformed(position, "it is cut off");
        };
        self.position += 1;
        let (major, info) = (first >> 5, first & 0x1F);
        let argument = match info {
            0..=23 => u64::from(info),
            24 => u64::from(u8::from_be_bytes(self.array()?)),
            25 => u64::from(u16::from_be_bytes(self.array()?)),
            26 => u64::from(u32::from_be_bytes(self.array()?)),
            27 => u64::from_be_bytes(self.array()?),
            INDEFINITE if !matches!(major, UNSIGNED | NEGATIVE | TAG) => 0,
            _ => return malformed(position, "the first byte of an item is none that CBOR knows"),
        };
        Ok(Head { major, info, argument })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        match self.bytes.get(self.position..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => {
                self.position += N;
                Ok(*bytes)
            }
            None => malformed(self.position, "it is cut off"),
        }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let end = usize::try_from(length).ok().and_then(|length| self.position.checked_add(length));
        match end.and_then(|end| self.bytes.get(self.position..end)) {
            Some(taken) => {
                self.position += taken.len();
                Ok(taken)
            }
            None => malformed(self.position, "it is cut off"),
        }
    }

    fn text(&mut self, length: u64) -> Result<&'a str, CborError> {
        let position = self.position;
        std::str::from_utf8(self.take(length)?).or_else(|_| malformed(position, "a text is not valid UTF-8"))
    }

    /// Whether the container with this head has an item after `taken`.
    fn more(&mut self, head: &Head, taken: u64) -> Result<bool, CborError> {
        if !head.is_indefinite() {
            return Ok(taken < head.argument);
        }
        let ends = self.bytes.get(self.position) == Some(&BREAK);
        self.position += usize::from(ends);
        Ok(!ends)
    }
}

fn item(input: &mut Input<'_>, writer: &mut Writer, depth: usize) -> Result<(), CborError> {
    let position = input.position;
    let head = input.head()?;
    match head.major {
        UNSIGNED => writer.number(match i64::try_from(head.argument) {
            Ok(number) => Number::Int(number),
            Err(_) => Number::UInt(head.argument),
        }),
        NEGATIVE => match i64::try_from(head.argument) {
            Ok(number) => writer.number(Number::Int(!number)),
            Err(_) => return unsupported(position, "a negative integer is below -2^63"),
        },
        BYTE_STRING => {
            writer.bytes_mut().push(binary::BYTES);
            string(input, &head, |input, length| {
                writer.bytes_mut().extend_from_slice(input.take(length)?);
                Ok(())
            })?;
        }
        TEXT_STRING => {
            writer.bytes_mut().push(binary::STRING);
            text(input, &head, writer)?;
        }
        ARRAY | MAP | TAG if depth >= MAX_DEPTH => {
            return unsupported(position, "items are nested deeper than 128");
        }
        ARRAY => {
            let array = writer.begin(binary::ARRAY);
            let mut taken = 0;
            while input.more(&head, taken)? {
                item(input, writer, depth + 1)?;
                writer.mark_end(array);
                taken += 1;
            }
            writer.finish_array(array);
        }
        MAP => {
            let object = writer.begin(binary::OBJECT);
            let mut taken = 0;
            while input.more(&head, taken)? {
                let position = input.position;
                let name = input.head()?;
                if name.major != TEXT_STRING {
                    return unsupported(position, "a map key is not text");
                }
                text(input, &name, writer)?;
                writer.mark_end(object);
                item(input, writer, depth + 1)?;
                writer.mark_end(object);
                taken += 1;
            }
            writer.sort_members(object);
            writer.finish_object(object);
        }
        // Big numbers would read as byte strings, silently.
        TAG if matches!(head.argument, 2 | 3) => {
            return unsupported(position, "a number is beyond 64 bits (tag 2 or 3)");
        }
        // Other tags say how to understand an item; the item itself is what is kept.
        TAG => item(input, writer, depth + 1)?,
        _ => simple(&head, writer, position)?,
    }
    Ok(())
}

/// Calls `chunk` with the length of each piece of a string, which is to be taken.
fn string<'a>(
    input: &mut Input<'a>,
    head: &Head,
    mut chunk: impl FnMut(&mut Input<'a>, u64) -> Result<(), CborError>,
) -> Result<(), CborError> {
    if !head.is_indefinite() {
        return chunk(input, head.argument);
    }
    while input.more(head, 0)? {
        let position = input.position;
        let piece = input.head()?;
        if piece.major != head.major || piece.is_indefinite() {
            return malformed(position, "a piece of a string is none");
        }
        chunk(input, piece.argument)?;
    }
    Ok(())
}

fn text(input: &mut Input<'_>, head: &Head, writer: &mut Writer) -> Result<(), CborError> {
    string(input, head, |input, length| {
        writer.bytes_mut().extend_from_slice(input.text(length)?.as_bytes());
        Ok(())
    })
}

/// Major type 7.
fn simple(head: &Head, writer: &mut Writer, position: usize) -> Result<(), CborError> {
    let constant = match head.info {
        20 => Some(Value::Bool(false)),
        21 => Some(Value::Bool(true)),
        // Null and undefined.
        22 | 23 => Some(Value::Null),
        _ => None,
    };
    if let Some(constant) = constant {
        writer.value(&constant);
        return Ok(());
    }
    let float = match head.info {
        25 => half(head.argument),
        26 => f64::from(f32::from_bits(head.argument as u32)),
        27 => f64::from_bits(head.argument),
        _ => {
            return unsupported(position, "a simple value other than false, true, null and undefined");
        }
    };
    if !float.is_finite() {
        return unsupported(position, "a float is not finite");
    }
    writer.number(Number::Float(float));
    Ok(())
}

/// A half-precision float.
fn half(bits: u64) -> f64 {
    let (exponent, fraction) = ((bits >> 10) & 0x1F, (bits & 0x3FF) as f64);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 => f64::INFINITY,
        _ => (1024.0 + fraction) * 2f64.powi(exponent as i32 - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}
