//! The owned value.

use std::cmp::Ordering;

use crate::{CborError, JsonError, Object, ValueRef, cbor, json, order};

/// A value of a document, in memory.
///
/// `==` is exact: `Int(7) != Float(7.0)`. For the order of the query language, where they are equal, see
/// [`Value::compare`].
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// JSON `null`.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number that fits 64 bits with sign.
    Int(i64),
    /// A whole number above `i64::MAX`; smaller ones are [`Value::Int`]. `Value::from(u64)` picks the right one.
    UInt(u64),
    /// A finite number; `Value::from(f64)` turns NaN and infinities into null, as the encoders do.
    Float(f64),
    /// Bytes. JSON renders them as base64 text, CBOR as a byte string.
    Bytes(Vec<u8>),
    /// UTF-8 text.
    String(String),
    /// An ordered list.
    Array(Vec<Value>),
    /// Members by name, sorted by name.
    Object(Object),
}

/// What a value is, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// a 64-bit integer
    Int,
    /// a whole number above `i64::MAX`
    UInt,
    /// a double
    Float,
    /// a byte string
    Bytes,
    /// text
    String,
    /// a list
    Array,
    /// members by name
    Object,
}

impl ValueKind {
    /// Integers of both signs and floats.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::UInt | Self::Float)
    }
}

impl Value {
    /// What this value is.
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Null => ValueKind::Null,
            Self::Bool(_) => ValueKind::Bool,
            Self::Int(_) => ValueKind::Int,
            Self::UInt(_) => ValueKind::UInt,
            Self::Float(_) => ValueKind::Float,
            Self::Bytes(_) => ValueKind::Bytes,
            Self::String(_) => ValueKind::String,
            Self::Array(_) => ValueKind::Array,
            Self::Object(_) => ValueKind::Object,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if this is one that fits. A float is not one, whatever its value.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if this is one and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::UInt(value) => Some(*value),
            _ => None,
        }
    }

    /// Any number as a double, rounded if it is an integer beyond 2^53.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::UInt(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes, if this is a byte string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(value) => Some(value),
            _ => None,
        }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(value) => Some(value),
            _ => None,
        }
    }

    /// The members for editing, if this is an object.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        match self {
            Self::Object(value) => Some(value),
            _ => None,
        }
    }

    /// The member of that name, if this is an object that has it. O(log members).
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_object()?.get(name)
    }

    /// The element at `index`, if this is an array that has it.
    pub fn at(&self, index: usize) -> Option<&Value> {
        self.as_array()?.get(index)
    }

    /// How many containers are nested: 0 for a scalar, 1 for `[]`. Stored values have at most [`crate::MAX_DEPTH`].
    pub fn depth(&self) -> usize {
        match self {
            Self::Array(elements) => 1 + elements.iter().map(Value::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.values().map(Value::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The total order of ORDER BY and indexes:
    /// `false < true < numbers < bytes < strings < arrays < objects < null`, integers and floats by exact numeric value.
    pub fn compare(&self, other: &Value) -> Ordering {
        order::compare(self, other)
    }

    /// The [binary form](crate::binary).
    pub fn encode(&self) -> Vec<u8> {
        crate::binary::encode(self)
    }

    /// Reads one JSON text. Numbers without fraction and exponent become `Int` or `UInt` where they fit.
    ///
    /// # Errors
    /// Malformed JSON, numbers that no double holds, nesting of [`crate::MAX_DEPTH`] levels (one less than elsewhere); with
    /// line and column.
    pub fn from_json(text: &str) -> Result<Value, JsonError> {
        json::parse(text)
    }

    /// Compact JSON, members sorted by name, bytes as base64 text.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        json::write(self, &mut text);
        text
    }

    /// Reads one CBOR item that fills `bytes`.
    ///
    /// # Errors
    /// Malformed or truncated input, bytes after the item, map keys that are not text, floats that are not finite,
    /// integers beyond 64 bits, nesting beyond [`crate::MAX_DEPTH`].
    pub fn from_cbor(bytes: &[u8]) -> Result<Value, CborError> {
        Ok(ValueRef::from_stored(&cbor::transcode(bytes)?).to_value())
    }

    /// CBOR with definite lengths and the shortest form of every number.
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        cbor::encode(self, &mut bytes);
        bytes
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::UInt(value), Self::Int)
    }
}

impl From<f64> for Value {
    /// NaN and infinities become null.
    fn from(value: f64) -> Self {
        if value.is_finite() { Self::Float(value) } else { Self::Null }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(value: Vec<Value>) -> Self {
        Self::Array(value)
    }
}

impl From<Object> for Value {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
