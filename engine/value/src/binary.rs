//! The binary form: the file format of values, and how it is written.
//!
//! A value is a run of bytes whose length is known from outside (a record or the enclosing container says it). The
//! first byte is the *tag*; what follows depends on it. All numbers are little endian.
//!
//! | tag | value | bytes after the tag |
//! | --- | --- | --- |
//! | `0x00` | null | none |
//! | `0x01`, `0x02` | false, true | none |
//! | `0x03` | integer | its two's complement without redundant upper bytes, 0 to 8 bytes; zero has none |
//! | `0x04` | integer above `i64::MAX` | 8 bytes, unsigned |
//! | `0x05` | float | 8 bytes, IEEE 754, finite |
//! | `0x06` | bytes | the bytes |
//! | `0x07` | string | its UTF-8 |
//! | `0x10 + w` | array | elements, table, count |
//! | `0x20 + w` | object | names and values, table, count |
//!
//! Containers. `w` is 0, 1, 2 or 3 and says that the numbers of table and count are 1, 2, 4 or 8 bytes wide: the
//! smallest width that holds the length of the data part. An empty container is the tag with `w` = 0 and nothing else.
//!
//! ```text
//! array   tag | element 0 | element 1 | …                 | end of element 0 | end of element 1 | …  | count
//! object  tag | name 0 | value 0 | name 1 | value 1 | …   | end of name 0 | end of value 0 | …       | count
//!             └─ data, offsets count from here            └─ table, w-wide numbers                   └─ w wide
//! ```
//!
//! Names are UTF-8 in strictly ascending byte order, so a member is found by binary search over the table. The table
//! comes last because its numbers are known only then: encoding is one pass without a size pass before it.
//!
//! There is exactly one encoding of a value ([`ValueRef::parse`](crate::ValueRef::parse) refuses any other), so equal
//! bytes mean equal values (`0.0` and `-0.0` are two values that compare equal).

use std::cmp::Ordering;

use crate::{CborError, MAX_DEPTH, Node, Number, Tree, Value, cbor};

pub(crate) const NULL: u8 = 0x00;
pub(crate) const FALSE: u8 = 0x01;
pub(crate) const TRUE: u8 = 0x02;
pub(crate) const INT: u8 = 0x03;
pub(crate) const UINT: u8 = 0x04;
pub(crate) const FLOAT: u8 = 0x05;
pub(crate) const BYTES: u8 = 0x06;
pub(crate) const STRING: u8 = 0x07;
pub(crate) const ARRAY: u8 = 0x10;
pub(crate) const OBJECT: u8 = 0x20;

/// The width code `w` for a data part of that length.
pub(crate) fn width_code(data_length: usize) -> u8 {
    match data_length {
        0..=0xFF => 0,
        0x100..=0xFFFF => 1,
        0x1_0000..=0xFFFF_FFFF => 2,
        _ => 3,
    }
}

/// The binary form of one CBOR item that fills `bytes`: what `Value::from_cbor(bytes)?.encode()` gives, in one pass over
/// the input and without a tree.
///
/// # Errors
/// As [`Value::from_cbor`].
pub fn from_cbor(bytes: &[u8]) -> Result<Vec<u8>, CborError> {
    cbor::transcode(bytes)
}

pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.value(value);
    writer.into_bytes()
}

/// Writes the binary form piece by piece, for values that exist nowhere as a [`Value`].
///
/// Exactly one value must be written at the top. Neither names nor values are copied anywhere but into the output.
///
/// ```
/// use ditto_value::{Value, ValueRef, Writer};
///
/// let mut writer = Writer::new();
/// writer.object(|members| {
///     members.value("_id", &Value::from("p1"));
///     members.object("care", |members| members.value("light", &Value::from(6)));
/// });
/// let bytes = writer.into_bytes();
/// assert_eq!(ValueRef::parse(&bytes)?.to_value().to_json(), r#"{"_id":"p1","care":{"light":6}}"#);
/// # Ok::<(), ditto_value::Malformed>(())
/// ```
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    /// The table entries of all open containers, the innermost last.
    ends: Vec<usize>,
    /// Holds members while they are sorted.
    scratch: Vec<u8>,
}

/// Where a member of an object that is being written starts, where its name ends, and where it ends.
struct Member {
    /// The first bytes of the name, so that most comparisons look at nothing else.
    prefix: u64,
    start: usize,
    name: usize,
    end: usize,
}

impl Member {
    fn new(data: &[u8], start: usize, name: usize, end: usize) -> Self {
        let mut prefix = [0; 8];
        let bytes = data.get(start..name).unwrap_or_default();
        let length = bytes.len().min(8);
        prefix[..length].copy_from_slice(&bytes[..length]);
        Self { prefix: u64::from_be_bytes(prefix), start, name, end }
    }

    /// By name.
    fn compare(&self, other: &Self, data: &[u8]) -> Ordering {
        let rest = |member: &Self| data.get(member.start..member.name).unwrap_or_default();
        self.prefix.cmp(&other.prefix).then_with(|| rest(self).cmp(rest(other)))
    }
}

impl Writer {
    /// Starts with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes behind what `out` holds already.
    pub fn after(out: Vec<u8>) -> Self {
        // Enough for two dozen members; growing step by step would cost as much as writing them.
        Self { out, ends: Vec::with_capacity(64), scratch: Vec::new() }
    }

    /// The output, which includes what [`Writer::after`] was given.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// How many bytes the output has.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Takes the output and leaves the writer empty with its scratch memory, for the next value.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// What was written after the output had `position` bytes.
    pub fn written_after(&self, position: usize) -> &[u8] {
        self.out.get(position..).unwrap_or_default()
    }

    /// What is written so far, for bytes of the caller's own before or after a value.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Writes a whole value. What is nested deeper than [`MAX_DEPTH`] becomes null.
    pub fn value<'a>(&mut self, value: impl Tree<'a>) {
        self.nested(value, 0);
    }

    fn nested<'a>(&mut self, value: impl Tree<'a>, depth: usize) {
        match value.node() {
            Node::Null => self.out.push(NULL),
            Node::Bool(false) => self.out.push(FALSE),
            Node::Bool(true) => self.out.push(TRUE),
            Node::Number(number) => self.number(number),
            Node::Bytes(bytes) => self.tagged(BYTES, bytes),
            Node::String(text) => self.tagged(STRING, text.as_bytes()),
            Node::Array(_) | Node::Object(_) if depth >= MAX_DEPTH => self.out.push(NULL),
            Node::Array(elements) => self.array(|array| {
                for element in elements {
                    array.with(|writer| writer.nested(element, depth + 1));
                }
            }),
            Node::Object(members) => self.object(|object| {
                for (name, member) in members {
                    object.with(name, |writer| writer.nested(member, depth + 1));
                }
            }),
        }
    }

    /// Writes bytes that are the binary form of one value already.
    pub fn encoded(&mut self, value: &[u8]) {
        self.out.extend_from_slice(value);
    }

    /// Writes an array whose elements `fill` writes.
    pub fn array(&mut self, fill: impl FnOnce(&mut ArrayWriter<'_>)) {
        let open = self.begin(ARRAY);
        fill(&mut ArrayWriter { writer: self, open });
        self.finish_array(open);
    }

    /// Writes an object whose members `fill` writes.
    pub fn object(&mut self, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        let open = self.begin(OBJECT);
        fill(&mut ObjectWriter { writer: self, open });
        self.finish_object(open);
    }

    fn tagged(&mut self, tag: u8, content: &[u8]) {
        self.out.reserve(content.len() + 1);
        self.out.push(tag);
        self.out.extend_from_slice(content);
    }

    /// A tag, and the content that `write` appends.
    pub(crate) fn tagged_with<E>(
        &mut self,
        tag: u8,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.out.push(tag);
        write(&mut self.out)
    }

    pub(crate) fn number(&mut self, number: Number) {
        match number {
            Number::Int(value) => {
                let length = int_length(value);
                let mut bytes = [INT; 9];
                bytes[1..].copy_from_slice(&value.to_le_bytes());
                self.out.extend_from_slice(&bytes[..=length]);
            }
            Number::UInt(value) => self.tagged(UINT, &value.to_le_bytes()),
            Number::Float(value) => self.tagged(FLOAT, &value.to_le_bytes()),
        }
    }

    /// Opens a container.
    pub(crate) fn begin(&mut self, tag: u8) -> Open {
        self.out.push(tag);
        Open { start: self.out.len(), ends: self.ends.len() }
    }

    /// Ends a name, a member's value or an element.
    pub(crate) fn mark_end(&mut self, open: Open) {
        self.ends.push(self.out.len() - open.start);
    }

    pub(crate) fn finish_array(&mut self, open: Open) {
        self.finish(open, self.ends.len() - open.ends);
    }

    pub(crate) fn finish_object(&mut self, open: Open) {
        self.finish(open, (self.ends.len() - open.ends) / 2);
    }

    /// Puts the members of an open object, which came in any order, into that of their names. Of equal names the last
    /// one counts.
    pub(crate) fn sort_members(&mut self, open: Open) {
        let ends = self.ends.get(open.ends..).unwrap_or_default();
        let data = self.out.get(open.start..).unwrap_or_default();
        let members = || {
            let starts = std::iter::once(0).chain(ends.iter().skip(1).step_by(2).copied());
            starts.zip(ends.chunks_exact(2)).filter_map(|(start, ends)| match *ends {
                [name, end] => Some(Member::new(data, start, name, end)),
                _ => None,
            })
        };
        if members().is_sorted_by(|left, right| left.compare(right, data).is_lt()) {
            return;
        }
        let mut sorted: Vec<Member> = members().collect();
        // Of equal names the one that came last is first.
        sorted.sort_unstable_by(|left, right| left.compare(right, data).then(right.start.cmp(&left.start)));
        sorted.dedup_by(|later, kept| later.compare(kept, data).is_eq());
        self.scratch.clear();
        self.scratch.extend_from_slice(data);
        self.out.truncate(open.start);
        self.ends.truncate(open.ends);
        for Member { start, name, end, .. } in sorted {
            let moved = self.out.len() - open.start;
            self.out.extend_from_slice(self.scratch.get(start..end).unwrap_or_default());
            self.ends.extend([moved + name - start, moved + end - start]);
        }
    }

    fn finish(&mut self, Open { start, ends: open }: Open, count: usize) {
        let code = width_code(self.out.len() - start);
        let ends = self.ends.drain(open..);
        if count == 0 {
            return;
        }
        self.out[start - 1] |= code;
        put_table(&mut self.out, code, ends.chain([count]));
    }
}

/// Writes table and count of a container, in the width of that code.
pub(crate) fn put_table(out: &mut Vec<u8>, code: u8, numbers: impl Iterator<Item = usize>) {
    // The casts keep every bit: all numbers are at most the data length that chose the width.
    match code {
        0 => out.extend(numbers.map(|number| number as u8)),
        1 => numbers.for_each(|number| out.extend_from_slice(&(number as u16).to_le_bytes())),
        2 => numbers.for_each(|number| out.extend_from_slice(&(number as u32).to_le_bytes())),
        _ => numbers.for_each(|number| out.extend_from_slice(&(number as u64).to_le_bytes())),
    }
}

/// How many bytes an integer needs in two's complement; none for zero.
pub(crate) fn int_length(value: i64) -> usize {
    if value == 0 {
        return 0;
    }
    let significant = 65 - (value ^ (value >> 63)).leading_zeros() as usize;
    significant.div_ceil(8)
}

/// A container that is being written: where its data part starts, and how many table entries the containers around it
/// have.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    start: usize,
    ends: usize,
}

/// Writes the elements of an array, in order. See [`Writer::array`].
pub struct ArrayWriter<'w> {
    writer: &'w mut Writer,
    open: Open,
}

impl ArrayWriter<'_> {
    /// Adds a whole value.
    pub fn value<'a>(&mut self, value: impl Tree<'a>) {
        self.with(|writer| writer.value(value));
    }

    /// Adds an element that `write` writes: exactly one value.
    pub fn with(&mut self, write: impl FnOnce(&mut Writer)) {
        write(self.writer);
        self.writer.mark_end(self.open);
    }
}

/// Writes the members of an object, **in strictly ascending order of their names**; what is written in another order
/// is not found and not accepted by [`ValueRef::parse`](crate::ValueRef::parse). See [`Writer::object`].
pub struct ObjectWriter<'w> {
    writer: &'w mut Writer,
    open: Open,
}

impl ObjectWriter<'_> {
    /// Adds a member with a whole value.
    pub fn value<'a>(&mut self, name: &str, value: impl Tree<'a>) {
        self.with(name, |writer| writer.value(value));
    }

    /// Adds a member that is an object.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.with(name, |writer| writer.object(fill));
    }

    /// Adds a member that `write` writes: exactly one value.
    pub fn with(&mut self, name: &str, write: impl FnOnce(&mut Writer)) {
        self.writer.out.extend_from_slice(name.as_bytes());
        self.writer.mark_end(self.open);
        write(self.writer);
        self.writer.mark_end(self.open);
    }
}
