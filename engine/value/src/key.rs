//! Keys: bytes whose `memcmp` order is the [order of values](crate::compare).
//!
//! A key delimits itself, so keys can be written one after another (and before anything else) and are then ordered by
//! the first, then the second, and so on. [`encode_descending`] writes the same bytes inverted.
//!
//! Numbers that are equal have equal keys whatever their kind: `7` and `7.0` do, and decoding yields the integer. So
//! decoding gives back a value that compares equal; without floats it is the identical one.
//!
//! | first byte | value | then |
//! | --- | --- | --- |
//! | `08`, `09` | false, true | |
//! | `10` | number ≤ -2^64 | inverted bytes of the positive form |
//! | `11` … `18` | number ≤ -1 whose whole part has 8 … 1 bytes | inverted bytes of the positive form |
//! | `19` | number between -1 and 0 | inverted bytes of the positive form |
//! | `1A` | zero | |
//! | `1B` | number between 0 and 1 | the bits of the double, 8 bytes, big endian |
//! | `1C` … `23` | number ≥ 1 whose whole part has 1 … 8 bytes | those bytes, big endian; then `00`, or `01` and the fraction × 2^56 in 7 bytes |
//! | `24` | number ≥ 2^64 | the bits of the double, 8 bytes, big endian |
//! | `30` | bytes | each byte, `00` as `00 FF`; then `00 01` |
//! | `31` | string | its UTF-8, written as bytes are |
//! | `32` | array | its elements' keys; then `00` |
//! | `33` | object | for each member `31`, the name, the key of the value; then `00` |
//! | `34` | null | |
//! | `35` | missing | what an index writes for a field that is not there; not a value, so not decoded |

use crate::{MAX_DEPTH, Node, Number, Object, Tree, Value, ValueKind, Writer, binary};

const END: u8 = 0x00;
const FALSE: u8 = 0x08;
const TRUE: u8 = 0x09;
const ZERO: u8 = 0x1A;
/// Above zero by so much: 1 = below one, 1 + n = a whole part of n bytes, 10 = 2^64 and more. Negative: subtracted.
const SMALL: u8 = 1;
const HUGE: u8 = 10;
const BYTES: u8 = 0x30;
const STRING: u8 = 0x31;
const ARRAY: u8 = 0x32;
const OBJECT: u8 = 0x33;
const NULL: u8 = 0x34;
/// The first and only byte of the key of a missing field, after every value.
pub const MISSING: u8 = 0x35;

const ESCAPED_ZERO: u8 = 0xFF;
const TERMINATOR: u8 = 0x01;

const WHOLE: u8 = 0x00;
const FRACTION: u8 = 0x01;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;
/// A double of at least 1 has at most 52 bits after the point.
const FRACTION_SCALE: f64 = 72_057_594_037_927_936.0;

/// Bytes that are not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key: {reason}")]
pub struct KeyError {
    /// What was found where what else was expected.
    pub reason: &'static str,
}

fn wrong<T>(reason: &'static str) -> Result<T, KeyError> {
    Err(KeyError { reason })
}

/// Appends the key of a value.
pub fn encode<'a>(value: impl Tree<'a>, out: &mut Vec<u8>) {
    encode_nested(value, out, 0);
}

/// Appends the key of a value for descending order.
pub fn encode_descending<'a>(value: impl Tree<'a>, out: &mut Vec<u8>) {
    let start = out.len();
    encode(value, out);
    invert(out, start);
}

/// The key of a value on its own.
pub fn of<'a>(value: impl Tree<'a>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out);
    out
}

fn invert(out: &mut [u8], start: usize) {
    for byte in out.iter_mut().skip(start) {
        *byte = !*byte;
    }
}

fn encode_nested<'a>(value: impl Tree<'a>, out: &mut Vec<u8>, depth: usize) {
    match value.node() {
        Node::Null => out.push(NULL),
        Node::Bool(false) => out.push(FALSE),
        Node::Bool(true) => out.push(TRUE),
        Node::Number(number) => encode_number(number, out),
        Node::Bytes(bytes) => encode_bytes(BYTES, bytes, out),
        Node::String(text) => encode_bytes(STRING, text.as_bytes(), out),
        Node::Array(_) if depth >= MAX_DEPTH => out.extend_from_slice(&[ARRAY, END]),
        Node::Object(_) if depth >= MAX_DEPTH => out.extend_from_slice(&[OBJECT, END]),
        Node::Array(elements) => {
            out.push(ARRAY);
            for element in elements {
                encode_nested(element, out, depth + 1);
            }
            out.push(END);
        }
        Node::Object(members) => {
            out.push(OBJECT);
            for (name, member) in members {
                encode_bytes(STRING, name.as_bytes(), out);
                encode_nested(member, out, depth + 1);
            }
            out.push(END);
        }
    }
}

fn encode_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 3);
    out.push(tag);
    for (index, run) in bytes.split(|byte| *byte == 0).enumerate() {
        if index > 0 {
            out.extend_from_slice(&[0, ESCAPED_ZERO]);
        }
        out.extend_from_slice(run);
    }
    out.extend_from_slice(&[0, TERMINATOR]);
}

fn encode_number(number: Number, out: &mut Vec<u8>) {
    match number {
        Number::Int(value) => encode_whole(value < 0, value.unsigned_abs(), 0, out),
        Number::UInt(value) => encode_whole(false, value, 0, out),
        Number::Float(value) => {
            let magnitude = value.abs();
            if (1.0..TWO_TO_64).contains(&magnitude) {
                let whole = magnitude.trunc();
                let fraction = (magnitude - whole) * FRACTION_SCALE;
                encode_whole(value < 0.0, whole as u64, fraction as u64, out);
            } else if magnitude == 0.0 {
                out.push(ZERO);
            } else {
                let distance = if magnitude < 1.0 { SMALL } else { HUGE };
                encode_parts(value < 0.0, distance, &magnitude.to_bits().to_be_bytes(), &[], out);
            }
        }
    }
}

/// `fraction` is what follows the point × 2^56.
fn encode_whole(negative: bool, whole: u64, fraction: u64, out: &mut Vec<u8>) {
    if whole == 0 {
        out.push(ZERO);
        return;
    }
    let empty = whole.leading_zeros() as usize / 8;
    let mut tail = fraction.to_be_bytes();
    tail[0] = if fraction == 0 { WHOLE } else { FRACTION };
    let tail = if fraction == 0 { &tail[..1] } else { &tail[..] };
    encode_parts(negative, SMALL + (8 - empty) as u8, &whole.to_be_bytes()[empty..], tail, out);
}

fn encode_parts(negative: bool, distance: u8, first: &[u8], second: &[u8], out: &mut Vec<u8>) {
    out.push(if negative { ZERO - distance } else { ZERO + distance });
    let start = out.len();
    out.extend_from_slice(first);
    out.extend_from_slice(second);
    if negative {
        invert(out, start);
    }
}

/// Reads the key at the start of `bytes` and returns what follows it.
///
/// # Errors
/// Bytes that no value encodes to, truncation, nesting beyond [`MAX_DEPTH`].
pub fn decode(bytes: &[u8]) -> Result<(Value, &[u8]), KeyError> {
    decode_masked(bytes, 0)
}

/// Reads what [`encode_descending`] wrote.
///
/// # Errors
/// As [`decode`].
pub fn decode_descending(bytes: &[u8]) -> Result<(Value, &[u8]), KeyError> {
    decode_masked(bytes, 0xFF)
}

/// Writes the value of the key at the start of `bytes`, one of [`encode_descending`] if it is `descending`, in the binary
/// form: what [`decode`] gives, without building it. After an error the writer holds a part of the value.
///
/// # Errors
/// As [`decode`].
pub fn transcode(bytes: &[u8], descending: bool, writer: &mut Writer) -> Result<(), KeyError> {
    let mut reader = Reader { rest: bytes, mask: if descending { 0xFF } else { 0 } };
    match reader.peek()? {
        STRING => {
            reader.byte()?;
            let start = writer.position() + 1;
            writer.tagged_with(binary::STRING, |out| reader.escaped(out))?;
            std::str::from_utf8(writer.written_after(start)).map(drop).or(wrong("a string is not UTF-8"))
        }
        BYTES => {
            reader.byte()?;
            writer.tagged_with(binary::BYTES, |out| reader.escaped(out))
        }
        // Whatever is nested is rare.
        _ => {
            writer.value(&reader.value(0)?);
            Ok(())
        }
    }
}

fn decode_masked(bytes: &[u8], mask: u8) -> Result<(Value, &[u8]), KeyError> {
    let mut reader = Reader { rest: bytes, mask };
    let value = reader.value(0)?;
    Ok((value, reader.rest))
}

/// How many bytes the key at the start of `bytes` has, that of a missing field included. Builds no value and checks
/// only what it needs to find the end.
///
/// # Errors
/// As [`decode`], as far as it looks.
pub fn length(bytes: &[u8]) -> Result<usize, KeyError> {
    length_masked(bytes, 0)
}

/// [`length`] of what [`encode_descending`] wrote.
///
/// # Errors
/// As [`length`].
pub fn length_descending(bytes: &[u8]) -> Result<usize, KeyError> {
    length_masked(bytes, 0xFF)
}

fn length_masked(bytes: &[u8], mask: u8) -> Result<usize, KeyError> {
    let mut reader = Reader { rest: bytes, mask };
    if reader.peek()? == MISSING {
        return Ok(1);
    }
    reader.skip(0)?;
    Ok(bytes.len() - reader.rest.len())
}

/// The first bytes that keys of values of this kind have: from the first up to and without the second. All numbers are
/// one kind here.
pub const fn first_bytes(kind: ValueKind) -> (u8, u8) {
    match kind {
        ValueKind::Bool => (FALSE, TRUE + 1),
        ValueKind::Int | ValueKind::UInt | ValueKind::Float => (ZERO - HUGE, ZERO + HUGE + 1),
        ValueKind::Bytes => (BYTES, BYTES + 1),
        ValueKind::String => (STRING, STRING + 1),
        ValueKind::Array => (ARRAY, ARRAY + 1),
        ValueKind::Object => (OBJECT, OBJECT + 1),
        ValueKind::Null => (NULL, NULL + 1),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// 0xFF while the bytes are inverted.
    mask: u8,
}

impl Reader<'_> {
    fn peek(&self) -> Result<u8, KeyError> {
        self.rest.first().map_or(wrong("it is cut off"), |byte| Ok(byte ^ self.mask))
    }

    fn byte(&mut self) -> Result<u8, KeyError> {
        let byte = self.peek()?;
        self.rest = self.rest.get(1..).unwrap_or_default();
        Ok(byte)
    }

    /// The next `length` (at most 8) bytes as a big-endian number.
    fn number(&mut self, length: u8) -> Result<u64, KeyError> {
        (0..length).try_fold(0, |number, _| Ok(number << 8 | u64::from(self.byte()?)))
    }

    fn value(&mut self, depth: usize) -> Result<Value, KeyError> {
        match self.byte()? {
            FALSE => Ok(Value::Bool(false)),
            TRUE => Ok(Value::Bool(true)),
            ZERO => Ok(Value::Int(0)),
            BYTES => {
                let mut bytes = Vec::new();
                self.escaped(&mut bytes)?;
                Ok(Value::Bytes(bytes))
            }
            STRING => Ok(Value::String(self.text()?)),
            ARRAY | OBJECT if depth >= MAX_DEPTH => wrong("it is nested deeper than 128"),
            ARRAY => {
                let mut elements = Vec::new();
                while self.peek()? != END {
                    elements.push(self.value(depth + 1)?);
                }
                self.byte()?;
                Ok(Value::Array(elements))
            }
            OBJECT => {
                let mut members = Object::new();
                while self.peek()? != END {
                    if self.byte()? != STRING {
                        return wrong("a name is not a string");
                    }
                    let name = self.text()?;
                    if members.keys().next_back().is_some_and(|last| last >= name.as_str()) {
                        return wrong("names are not in ascending order");
                    }
                    members.insert(name, self.value(depth + 1)?);
                }
                self.byte()?;
                Ok(Value::Object(members))
            }
            NULL => Ok(Value::Null),
            MISSING => wrong("it stands for a missing field"),
            tag if tag > ZERO && tag <= ZERO + HUGE => self.positive(tag - ZERO, false),
            tag if (ZERO - HUGE..ZERO).contains(&tag) => {
                self.mask = !self.mask;
                let value = self.positive(ZERO - tag, true);
                self.mask = !self.mask;
                value
            }
            _ => wrong("its first byte is unknown"),
        }
    }

    fn positive(&mut self, distance: u8, negative: bool) -> Result<Value, KeyError> {
        if distance == SMALL || distance == HUGE {
            let value = f64::from_bits(self.number(8)?);
            let range = if distance == SMALL { f64::from_bits(1)..1.0 } else { TWO_TO_64..f64::INFINITY };
            if !range.contains(&value) {
                return wrong("a float is not in the range that its first byte says");
            }
            return Ok(Value::Float(if negative { -value } else { value }));
        }
        let length = distance - SMALL;
        let whole = self.number(length)?;
        if whole.leading_zeros() >= 8 * u32::from(9 - length) {
            return wrong("a whole part has leading zeros");
        }
        let value = match self.byte()? {
            WHOLE => {
                return match (negative, i64::try_from(whole)) {
                    (false, _) => Ok(Value::from(whole)),
                    (true, Ok(value)) => Ok(Value::Int(-value)),
                    (true, Err(_)) if whole == i64::MIN.unsigned_abs() => Ok(Value::Int(i64::MIN)),
                    (true, Err(_)) if whole as f64 as u64 == whole && whole != u64::MAX => {
                        Ok(Value::Float(-(whole as f64)))
                    }
                    (true, Err(_)) => wrong("a number has more digits than any value"),
                };
            }
            FRACTION => self.number(7)?,
            _ => return wrong("a number has neither an end nor a fraction"),
        };
        let (fraction, value) = (value, whole as f64 + value as f64 / FRACTION_SCALE);
        if fraction == 0
            || value.trunc() as u64 != whole
            || (value.fract() * FRACTION_SCALE) as u64 != fraction
        {
            return wrong("a number has more digits than any value");
        }
        Ok(Value::Float(if negative { -value } else { value }))
    }

    fn skip(&mut self, depth: usize) -> Result<(), KeyError> {
        match self.byte()? {
            FALSE | TRUE | ZERO | NULL => Ok(()),
            BYTES | STRING => self.skip_escaped(),
            ARRAY | OBJECT if depth >= MAX_DEPTH => wrong("it is nested deeper than 128"),
            ARRAY => {
                while self.peek()? != END {
                    self.skip(depth + 1)?;
                }
                self.byte().map(drop)
            }
            OBJECT => {
                while self.peek()? != END {
                    if self.byte()? != STRING {
                        return wrong("a name is not a string");
                    }
                    self.skip_escaped()?;
                    self.skip(depth + 1)?;
                }
                self.byte().map(drop)
            }
            tag if tag > ZERO && tag <= ZERO + HUGE => self.skip_positive(tag - ZERO, 0),
            tag if (ZERO - HUGE..ZERO).contains(&tag) => self.skip_positive(ZERO - tag, 0xFF),
            _ => wrong("its first byte is unknown"),
        }
    }

    /// `inverted` is 0xFF for a negative number.
    fn skip_positive(&mut self, distance: u8, inverted: u8) -> Result<(), KeyError> {
        if distance == SMALL || distance == HUGE {
            return self.skip_bytes(8);
        }
        self.skip_bytes(usize::from(distance - SMALL))?;
        match self.byte()? ^ inverted {
            WHOLE => Ok(()),
            FRACTION => self.skip_bytes(7),
            _ => wrong("a number has neither an end nor a fraction"),
        }
    }

    fn skip_bytes(&mut self, count: usize) -> Result<(), KeyError> {
        match self.rest.get(count..) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => wrong("it is cut off"),
        }
    }

    fn skip_escaped(&mut self) -> Result<(), KeyError> {
        let zero = self.mask;
        loop {
            let Some(at) = self.rest.iter().position(|byte| *byte == zero) else {
                return wrong("it is cut off");
            };
            self.skip_bytes(at + 1)?;
            match self.byte()? {
                ESCAPED_ZERO => {}
                TERMINATOR => return Ok(()),
                _ => return wrong("a zero byte is neither escaped nor the end"),
            }
        }
    }

    /// Appends what is escaped.
    fn escaped(&mut self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        let zero = self.mask;
        loop {
            let Some(at) = self.rest.iter().position(|byte| *byte == zero) else {
                return wrong("it is cut off");
            };
            let (run, _) = self.rest.split_at(at);
            match zero {
                0 => out.extend_from_slice(run),
                mask => out.extend(run.iter().map(|byte| byte ^ mask)),
            }
            self.skip_bytes(at + 1)?;
            match self.byte()? {
                ESCAPED_ZERO => out.push(0),
                TERMINATOR => return Ok(()),
                _ => return wrong("a zero byte is neither escaped nor the end"),
            }
        }
    }

    fn text(&mut self) -> Result<String, KeyError> {
        let mut text = Vec::new();
        self.escaped(&mut text)?;
        String::from_utf8(text).or(wrong("a string is not UTF-8"))
    }
}
