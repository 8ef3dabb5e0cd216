//! Reading the binary form in place.

use std::cmp::Ordering;

use crate::binary::{
    ARRAY, BYTES, FALSE, FLOAT, INT, NULL, OBJECT, STRING, TRUE, UINT, int_length, put_table, width_code,
};
use crate::{MAX_DEPTH, Node, Number, Object, Tree, Value, ValueKind, cbor, json, order};

/// A value in its [binary form](crate::binary), read in place.
///
/// [`ValueRef::parse`] checks everything, once, for bytes from outside. [`ValueRef::from_stored`] checks nothing, for
/// bytes that this process wrote; it stays free of panics on any bytes, and what is malformed reads as null, as absent
/// or as an empty name. Either way no reading of the whole costs more than linear time, save binary searches.
#[derive(Clone, Copy)]
pub struct ValueRef<'a>(&'a [u8]);

/// Bytes that are not the binary form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stored value: {reason}")]
pub struct Malformed {
    /// What was found where what else was expected.
    pub reason: &'static str,
}

fn malformed<T>(reason: &'static str) -> Result<T, Malformed> {
    Err(Malformed { reason })
}

/// The parts of a container: data, table, and how many numbers of which width the table has.
#[derive(Clone, Copy)]
struct Container<'a> {
    data: &'a [u8],
    table: &'a [u8],
    /// Number of table entries: elements of an array, twice the members of an object.
    entries: usize,
    width: usize,
}

impl<'a> Container<'a> {
    const EMPTY: Self = Self { data: &[], table: &[], entries: 0, width: 1 };

    /// `per_member` is 1 for arrays and 2 for objects. None if the count does not fit the bytes.
    fn open(tag: u8, content: &'a [u8], per_member: usize) -> Option<Self> {
        if content.is_empty() {
            return Some(Self::EMPTY);
        }
        let width = 1usize << (tag & 0x03);
        let (rest, count) = content.split_at_checked(content.len().checked_sub(width)?)?;
        let count = usize::try_from(read_number(count, width, 0)?).ok()?;
        let entries = count.checked_mul(per_member)?;
        let data_length = rest.len().checked_sub(entries.checked_mul(width)?)?;
        let (data, table) = rest.split_at_checked(data_length)?;
        Some(Self { data, table, entries, width })
    }

    /// Where entry `index` ends; 0 for the one before the first.
    fn end(&self, index: usize) -> Option<usize> {
        read_number(self.table, self.width, index).and_then(|end| usize::try_from(end).ok())
    }

    fn start(&self, index: usize) -> Option<usize> {
        index.checked_sub(1).map_or(Some(0), |previous| self.end(previous))
    }

    fn slice(&self, index: usize) -> Option<&'a [u8]> {
        self.data.get(self.start(index)?..self.end(index)?)
    }

    /// Which member of an object has that name, or which one it would come before.
    fn find(&self, name: &str) -> Option<Result<usize, usize>> {
        let (mut low, mut high) = (0, self.entries / 2);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.slice(2 * middle)?.cmp(name.as_bytes()) {
                Ordering::Equal => return Some(Ok(middle)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Some(Err(low))
    }
}

fn read_number(bytes: &[u8], width: usize, index: usize) -> Option<u64> {
    let at = index.checked_mul(width)?;
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(match *bytes {
        [byte] => u64::from(byte),
        [low, high] => u64::from(u16::from_le_bytes([low, high])),
        _ => match <[u8; 4]>::try_from(bytes) {
            Ok(bytes) => u64::from(u32::from_le_bytes(bytes)),
            Err(_) => u64::from_le_bytes(<[u8; 8]>::try_from(bytes).ok()?),
        },
    })
}

impl<'a> ValueRef<'a> {
    /// The stored null.
    pub const NULL: ValueRef<'static> = ValueRef(&[NULL]);

    /// Takes bytes from outside after checking all of them: structure, order and uniqueness of names, UTF-8, nesting,
    /// and that this is the one encoding of the value. Linear in the length.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check(bytes, 0)?;
        Ok(Self(bytes))
    }

    /// Takes bytes that were checked before or written by this process.
    pub fn from_stored(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes this value consists of.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn read(self) -> Node<'a, Self> {
        let Some((&tag, content)) = self.0.split_first() else { return Node::Null };
        match tag {
            FALSE => Node::Bool(false),
            TRUE => Node::Bool(true),
            INT => read_int(content).map_or(Node::Null, |value| Node::Number(Number::Int(value))),
            UINT => <[u8; 8]>::try_from(content)
                .map_or(Node::Null, |bytes| Node::Number(Number::UInt(u64::from_le_bytes(bytes)))),
            FLOAT => match <[u8; 8]>::try_from(content).map(f64::from_le_bytes) {
                Ok(value) if value.is_finite() => Node::Number(Number::Float(value)),
                _ => Node::Null,
            },
            BYTES => Node::Bytes(content),
            STRING => std::str::from_utf8(content).map_or(Node::Null, Node::String),
            _ => match tag & 0xFC {
                ARRAY => {
                    Node::Array(Elements::new(Container::open(tag, content, 1).unwrap_or(Container::EMPTY)))
                }
                OBJECT => {
                    Node::Object(Members::new(Container::open(tag, content, 2).unwrap_or(Container::EMPTY)))
                }
                _ => Node::Null,
            },
        }
    }

    fn tag(self) -> u8 {
        self.0.first().copied().unwrap_or(NULL)
    }

    fn content(self) -> &'a [u8] {
        self.0.get(1..).unwrap_or_default()
    }

    /// What this value is. O(1).
    pub fn kind(self) -> ValueKind {
        match self.tag() {
            FALSE | TRUE => ValueKind::Bool,
            INT => ValueKind::Int,
            UINT => ValueKind::UInt,
            FLOAT => ValueKind::Float,
            BYTES => ValueKind::Bytes,
            STRING => ValueKind::String,
            tag => match tag & 0xFC {
                ARRAY => ValueKind::Array,
                OBJECT => ValueKind::Object,
                _ => ValueKind::Null,
            },
        }
    }

    /// Whether this is null.
    pub fn is_null(self) -> bool {
        self.kind() == ValueKind::Null
    }

    /// The truth value, if this is one.
    pub fn as_bool(self) -> Option<bool> {
        match self.tag() {
            FALSE => Some(false),
            TRUE => Some(true),
            _ => None,
        }
    }

    /// The number, if this is one.
    pub fn as_number(self) -> Option<Number> {
        match self.tag() {
            INT | UINT | FLOAT => match self.read() {
                Node::Number(number) => Some(number),
                _ => None,
            },
            _ => None,
        }
    }

    /// The integer, if this is one that fits. A float is not one, whatever its value.
    pub fn as_i64(self) -> Option<i64> {
        if self.tag() == INT { read_int(self.content()) } else { None }
    }

    /// The integer, if this is one and not negative.
    pub fn as_u64(self) -> Option<u64> {
        match self.as_number()? {
            Number::Int(value) => u64::try_from(value).ok(),
            Number::UInt(value) => Some(value),
            Number::Float(_) => None,
        }
    }

    /// Any number as a double, rounded if it is an integer beyond 2^53.
    pub fn as_f64(self) -> Option<f64> {
        Some(match self.as_number()? {
            Number::Int(value) => value as f64,
            Number::UInt(value) => value as f64,
            Number::Float(value) => value,
        })
    }

    /// The text, if this is one.
    pub fn as_str(self) -> Option<&'a str> {
        if self.tag() == STRING { std::str::from_utf8(self.content()).ok() } else { None }
    }

    /// The bytes, if this is a byte string.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        (self.tag() == BYTES).then(|| self.content())
    }

    fn array(self) -> Option<Container<'a>> {
        if self.tag() & 0xFC == ARRAY { Container::open(self.tag(), self.content(), 1) } else { None }
    }

    fn object(self) -> Option<Container<'a>> {
        if self.tag() & 0xFC == OBJECT { Container::open(self.tag(), self.content(), 2) } else { None }
    }

    /// The member of that name, if this is an object that has it. O(log members), no decoding.
    pub fn get(self, name: &str) -> Option<ValueRef<'a>> {
        let object = self.object()?;
        object.slice(2 * object.find(name)?.ok()? + 1).map(ValueRef)
    }

    /// Appends the binary form of this object with a member of that name that has a value in the binary form, in the place
    /// of the one it has; or without it, if `value` is None. Anything that is no object is appended as it is. Linear; what
    /// stays is copied as it is, only the table is written anew.
    pub fn write_with(self, name: &str, value: Option<&[u8]>, out: &mut Vec<u8>) {
        if self.splice(name, value, out).is_none() {
            out.extend_from_slice(self.0);
        }
    }

    /// None, and nothing written, if this is not an object or malformed.
    fn splice(self, name: &str, value: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()> {
        let object = self.object()?;
        let (index, present) = match object.find(name)? {
            Ok(index) => (index, true),
            Err(index) => (index, false),
        };
        // The table entries of the member as it is, and what stays before and after it.
        let (first, last) = (2 * index, 2 * (index + usize::from(present)));
        let (start, end) = (object.start(first)?, object.start(last)?);
        let (before, after) = (object.data.get(..start)?, object.data.get(end..)?);
        let added = value.map_or(0, |value| name.len() + value.len());
        let shifted = (last..object.entries).map(|entry| {
            object.end(entry).unwrap_or_default().saturating_sub(end).saturating_add(start + added)
        });
        let count = object.entries / 2 + usize::from(value.is_some()) - usize::from(present);
        if count == 0 {
            out.push(OBJECT);
            return Some(());
        }
        let code = width_code(before.len() + added + after.len());
        out.reserve(1 + before.len() + added + after.len() + ((2 * count + 1) << code));
        out.push(OBJECT | code);
        out.extend_from_slice(before);
        if let Some(value) = value {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value);
        }
        out.extend_from_slice(after);
        let kept = (0..first).map(|entry| object.end(entry).unwrap_or_default());
        let own = value.map(|_| [start + name.len(), start + added]);
        put_table(out, code, kept.chain(own.into_iter().flatten()).chain(shifted).chain([count]));
        Some(())
    }

    /// What is found by going from member to member.
    pub fn path<'n>(self, names: impl IntoIterator<Item = &'n str>) -> Option<ValueRef<'a>> {
        names.into_iter().try_fold(self, |value, name| value.get(name))
    }

    /// The element at `index`, if this is an array that has it. O(1).
    pub fn at(self, index: usize) -> Option<ValueRef<'a>> {
        let array = self.array()?;
        if index < array.entries { array.slice(index).map(ValueRef) } else { None }
    }

    /// How many elements or members there are; 0 for everything that has none.
    pub fn len(self) -> usize {
        match self.object() {
            Some(object) => object.entries / 2,
            None => self.array().map_or(0, |array| array.entries),
        }
    }

    /// Whether there are no elements or members.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The members in order of their names; none if this is not an object.
    pub fn members(self) -> Members<'a> {
        Members::new(self.object().unwrap_or(Container::EMPTY))
    }

    /// [`ValueRef::members`] with the bytes of their names, for who only copies or compares these.
    pub fn raw_members(self) -> RawMembers<'a> {
        RawMembers(Entries::new(self.object().unwrap_or(Container::EMPTY)))
    }

    /// The elements; none if this is not an array.
    pub fn elements(self) -> Elements<'a> {
        Elements::new(self.array().unwrap_or(Container::EMPTY))
    }

    /// How many containers are nested, see [`Value::depth`]; linear, and at most [`MAX_DEPTH`] + 1.
    pub fn depth(self) -> usize {
        depth(self, 0)
    }

    /// Decodes the whole value. What is nested deeper than [`MAX_DEPTH`] becomes null.
    pub fn to_value(self) -> Value {
        to_value(self, 0)
    }

    /// Decodes the members, if this is an object.
    pub fn to_object(self) -> Option<Object> {
        match self.to_value() {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The total order of values, see [`Value::compare`].
    pub fn compare(self, other: ValueRef<'_>) -> Ordering {
        order::compare(self, other)
    }

    /// Appends compact JSON.
    pub fn write_json(self, out: &mut String) {
        json::write(self, out);
    }

    /// Compact JSON.
    pub fn to_json(self) -> String {
        let mut text = String::with_capacity(self.0.len() * 2);
        self.write_json(&mut text);
        text
    }

    /// Appends CBOR with definite lengths and shortest numbers.
    pub fn write_cbor(self, out: &mut Vec<u8>) {
        cbor::encode(self, out);
    }
}

impl std::fmt::Debug for ValueRef<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.to_json())
    }
}

/// Exact, as [`Value`]'s: equal bytes.
impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

fn depth(value: ValueRef<'_>, above: usize) -> usize {
    match value.read() {
        Node::Array(_) | Node::Object(_) if above >= MAX_DEPTH => 1,
        Node::Array(elements) => 1 + elements.map(|element| depth(element, above + 1)).max().unwrap_or(0),
        Node::Object(members) => 1 + members.map(|(_, member)| depth(member, above + 1)).max().unwrap_or(0),
        _ => 0,
    }
}

fn to_value(value: ValueRef<'_>, depth: usize) -> Value {
    match value.read() {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::Bool(value),
        Node::Number(Number::Int(value)) => Value::Int(value),
        Node::Number(Number::UInt(value)) => Value::UInt(value),
        Node::Number(Number::Float(value)) => Value::Float(value),
        Node::Bytes(value) => Value::Bytes(value.to_owned()),
        Node::String(value) => Value::String(value.to_owned()),
        Node::Array(_) | Node::Object(_) if depth >= MAX_DEPTH => Value::Null,
        Node::Array(elements) => Value::Array(elements.map(|element| to_value(element, depth + 1)).collect()),
        Node::Object(members) => {
            Value::Object(members.map(|(name, member)| (name, to_value(member, depth + 1))).collect())
        }
    }
}

fn read_int(content: &[u8]) -> Option<i64> {
    let mut bytes = match content.last() {
        Some(last) if last & 0x80 != 0 => [0xFF; 8],
        _ => [0; 8],
    };
    bytes.get_mut(..content.len())?.copy_from_slice(content);
    Some(i64::from_le_bytes(bytes))
}

/// The elements of a stored array.
#[derive(Clone)]
pub struct Elements<'a>(Entries<'a>);

/// The members of a stored object.
#[derive(Clone)]
pub struct Members<'a>(Entries<'a>);

/// The members of a stored object, their names as bytes.
#[derive(Clone)]
pub struct RawMembers<'a>(Entries<'a>);

/// Walks a table. The next slice starts where the last good one ended, so that no byte is visited twice even if the
/// table is malformed; a malformed entry yields an empty slice, which reads as null.
#[derive(Clone)]
struct Entries<'a> {
    container: Container<'a>,
    next: usize,
    start: usize,
}

impl<'a> Entries<'a> {
    fn new(container: Container<'a>) -> Self {
        Self { container, next: 0, start: 0 }
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.next >= self.container.entries {
            return None;
        }
        let end = self.container.end(self.next).unwrap_or_default();
        self.next += 1;
        let slice = self.container.data.get(self.start..end);
        if slice.is_some() {
            self.start = end;
        }
        Some(slice.unwrap_or_default())
    }
}

impl<'a> Elements<'a> {
    fn new(container: Container<'a>) -> Self {
        Self(Entries::new(container))
    }
}

impl<'a> Members<'a> {
    fn new(container: Container<'a>) -> Self {
        Self(Entries::new(container))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(ValueRef)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.container.entries - self.0.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.next()?;
        let value = self.0.next()?;
        Some((std::str::from_utf8(name).unwrap_or_default(), ValueRef(value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.0.container.entries - self.0.next) / 2;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Members<'_> {}

impl<'a> Iterator for RawMembers<'a> {
    type Item = (&'a [u8], ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.next()?;
        Some((name, ValueRef(self.0.next()?)))
    }
}

fn check(bytes: &[u8], depth: usize) -> Result<(), Malformed> {
    let Some((&tag, content)) = bytes.split_first() else { return malformed("a value has no bytes") };
    match tag {
        NULL | FALSE | TRUE if content.is_empty() => Ok(()),
        NULL | FALSE | TRUE => malformed("bytes follow a null or boolean"),
        INT => match read_int(content) {
            Some(value) if int_length(value) == content.len() => Ok(()),
            _ => malformed("an integer is not in its shortest form of at most 8 bytes"),
        },
        UINT => match <[u8; 8]>::try_from(content).map(u64::from_le_bytes) {
            Ok(value) if value > i64::MAX as u64 => Ok(()),
            _ => malformed("an unsigned integer is not 8 bytes above the signed range"),
        },
        FLOAT => match <[u8; 8]>::try_from(content).map(f64::from_le_bytes) {
            Ok(value) if value.is_finite() => Ok(()),
            _ => malformed("a float is not 8 bytes of a finite number"),
        },
        BYTES => Ok(()),
        STRING if std::str::from_utf8(content).is_ok() => Ok(()),
        STRING => malformed("a string is not UTF-8"),
        _ => match tag & 0xFC {
            ARRAY | OBJECT if depth >= MAX_DEPTH => malformed("containers are nested deeper than 128"),
            ARRAY => check_container(tag, content, 1, depth),
            OBJECT => check_container(tag, content, 2, depth),
            _ => malformed("the tag of a value is unknown"),
        },
    }
}

fn check_container(tag: u8, content: &[u8], per_member: usize, depth: usize) -> Result<(), Malformed> {
    let Some(container) = Container::open(tag, content, per_member) else {
        return malformed("a container is shorter than its count says");
    };
    if tag & 0x03 != width_code(container.data.len()) {
        return malformed("a container's offsets are not of the smallest width");
    }
    if container.entries == 0 {
        return if content.is_empty() { Ok(()) } else { malformed("an empty container has content") };
    }
    let mut start = 0;
    let mut last_name: Option<&[u8]> = None;
    for index in 0..container.entries {
        let Some((end, slice)) =
            container.end(index).and_then(|end| Some((end, container.data.get(start..end)?)))
        else {
            return malformed("an offset is out of order or out of range");
        };
        start = end;
        if per_member == 2 && index % 2 == 0 {
            if last_name.is_some_and(|last| last >= slice) {
                return malformed("the names of an object are not in strictly ascending order");
            }
            if std::str::from_utf8(slice).is_err() {
                return malformed("a name is not UTF-8");
            }
            last_name = Some(slice);
        } else {
            check(slice, depth + 1)?;
        }
    }
    if start == container.data.len() {
        Ok(())
    } else {
        malformed("a container has bytes after its last element")
    }
}

impl<'a> From<&'a [u8]> for ValueRef<'a> {
    /// As [`ValueRef::from_stored`].
    fn from(bytes: &'a [u8]) -> Self {
        Self::from_stored(bytes)
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        value.to_value()
    }
}

/// Decodes a whole value of either form.
impl Value {
    /// Copies any [`Tree`].
    pub fn from_tree<'a>(value: impl Tree<'a>) -> Value {
        let mut writer = crate::Writer::new();
        writer.value(value);
        ValueRef::from_stored(&writer.into_bytes()).to_value()
    }
}
