use std::{cmp::Ordering, collections::BTreeMap};

/// A value of any type, as it stands in a document, in an argument or in a result.
///
/// Values have one total order: by type in the order of the variants, then by content. Floats are
/// ordered as [`f64::total_cmp`] does it, except that both zeros are equal; an integer never equals a float.
///
/// With serde it stands for whatever it holds, so it goes through any format that describes itself.
#[derive(Clone, Debug)]
pub enum CborValue {
    /// Null: there, but without a value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number. Documents hold what fits `i64` or `u64`.
    Integer(i128),
    /// A number with a fraction, or of a size beyond the integers.
    Float(f64),
    /// Bytes that are not text.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// A list of values.
    Array(Vec<CborValue>),
    /// Values by key; in documents the keys are text.
    Map(BTreeMap<CborValue, CborValue>),
}

impl CborValue {
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Integer(_) => 2,
            Self::Float(_) => 3,
            Self::Bytes(_) => 4,
            Self::Text(_) => 5,
            Self::Array(_) => 6,
            Self::Map(_) => 7,
        }
    }

    /// The type in words, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bytes(_) => "bytes",
            Self::Text(_) => "text",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
        }
    }
}

impl Ord for CborValue {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) if a == b => Ordering::Equal,
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Array(a), Self::Array(b)) => a.cmp(b),
            (Self::Map(a), Self::Map(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for CborValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for CborValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for CborValue {}

macro_rules! from {
    ($($type:ty => |$value:ident| $make:expr;)*) => {
        $(impl From<$type> for CborValue {
            fn from($value: $type) -> Self {
                $make
            }
        })*
    };
}

from! {
    () => |_unit| Self::Null;
    bool => |value| Self::Bool(value);
    i8 => |value| Self::Integer(value.into());
    i16 => |value| Self::Integer(value.into());
    i32 => |value| Self::Integer(value.into());
    i64 => |value| Self::Integer(value.into());
    i128 => |value| Self::Integer(value);
    u8 => |value| Self::Integer(value.into());
    u16 => |value| Self::Integer(value.into());
    u32 => |value| Self::Integer(value.into());
    u64 => |value| Self::Integer(value.into());
    f32 => |value| Self::Float(value.into());
    f64 => |value| Self::Float(value);
    &str => |value| Self::Text(value.to_owned());
    String => |value| Self::Text(value);
    Vec<u8> => |value| Self::Bytes(value);
    Vec<CborValue> => |value| Self::Array(value);
    BTreeMap<CborValue, CborValue> => |value| Self::Map(value);
}
