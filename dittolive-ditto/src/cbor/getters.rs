use std::collections::BTreeMap;

use super::CborValue;

/// Reads a [`CborValue`] step by step: every getter gives `None` when the value is of another type.
pub trait CborValueGetters: sealed::Getters {
    /// The elements of an array.
    fn as_array(&self) -> Option<&[CborValue]>;
    /// The elements of an array, to change them.
    fn as_array_mut(&mut self) -> Option<&mut Vec<CborValue>>;
    /// A boolean.
    fn as_bool(&self) -> Option<bool>;
    /// A float. Integers do not count as floats.
    fn as_f64(&self) -> Option<f64>;
    /// An integer that fits `i64`.
    fn as_i64(&self) -> Option<i64>;
    /// An integer that fits `u64`.
    fn as_u64(&self) -> Option<u64>;
    /// Null.
    fn as_null(&self) -> Option<()>;
    /// Text, not bytes.
    fn as_str(&self) -> Option<&str>;
    /// The members of a map.
    fn as_object(&self) -> Option<&BTreeMap<CborValue, CborValue>>;
    /// The members of a map, to change them.
    fn as_object_mut(&mut self) -> Option<&mut BTreeMap<CborValue, CborValue>>;
    /// The member of a map under a text key, or the element of an array at a position.
    fn get(&self, index: impl Index) -> Option<&CborValue>;
    /// The same, to change it.
    fn get_mut(&mut self, index: impl Index) -> Option<&mut CborValue>;
}

impl CborValueGetters for CborValue {
    fn as_array(&self) -> Option<&[CborValue]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    fn as_array_mut(&mut self) -> Option<&mut Vec<CborValue>> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => (*value).try_into().ok(),
            _ => None,
        }
    }

    fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(value) => (*value).try_into().ok(),
            _ => None,
        }
    }

    fn as_null(&self) -> Option<()> {
        matches!(self, Self::Null).then_some(())
    }

    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn as_object(&self) -> Option<&BTreeMap<CborValue, CborValue>> {
        match self {
            Self::Map(members) => Some(members),
            _ => None,
        }
    }

    fn as_object_mut(&mut self) -> Option<&mut BTreeMap<CborValue, CborValue>> {
        match self {
            Self::Map(members) => Some(members),
            _ => None,
        }
    }

    fn get(&self, index: impl Index) -> Option<&CborValue> {
        index.of(self)
    }

    fn get_mut(&mut self, index: impl Index) -> Option<&mut CborValue> {
        index.of_mut(self)
    }
}

use sealed::Index;

mod sealed {
    use super::CborValue;

    /// Only [`CborValue`] has the getters.
    pub trait Getters {}
    impl Getters for CborValue {}

    /// What names a part of a value: a text key (`&str`, `&String`) or a position (`usize`).
    pub trait Index {
        fn of(self, value: &CborValue) -> Option<&CborValue>;
        fn of_mut(self, value: &mut CborValue) -> Option<&mut CborValue>;
    }

    impl Index for &str {
        fn of(self, value: &CborValue) -> Option<&CborValue> {
            match value {
                CborValue::Map(members) => members.get(&CborValue::from(self)),
                _ => None,
            }
        }

        fn of_mut(self, value: &mut CborValue) -> Option<&mut CborValue> {
            match value {
                CborValue::Map(members) => members.get_mut(&CborValue::from(self)),
                _ => None,
            }
        }
    }

    impl Index for &String {
        fn of(self, value: &CborValue) -> Option<&CborValue> {
            self.as_str().of(value)
        }

        fn of_mut(self, value: &mut CborValue) -> Option<&mut CborValue> {
            self.as_str().of_mut(value)
        }
    }

    impl Index for usize {
        fn of(self, value: &CborValue) -> Option<&CborValue> {
            match value {
                CborValue::Array(elements) => elements.get(self),
                _ => None,
            }
        }

        fn of_mut(self, value: &mut CborValue) -> Option<&mut CborValue> {
            match value {
                CborValue::Array(elements) => elements.get_mut(self),
                _ => None,
            }
        }
    }
}
