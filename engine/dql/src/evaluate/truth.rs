//! Logic with four values.

use ditto_value::Value;

use super::Item;

/// The value of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    True,
    False,
    Null,
    Missing,
}

impl Truth {
    /// FALSE wins, then MISSING, then NULL.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Missing, _) | (_, Self::Missing) => Self::Missing,
            (Self::Null, _) | (_, Self::Null) => Self::Null,
            (Self::True, Self::True) => Self::True,
        }
    }

    /// TRUE wins, then NULL, then MISSING.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::Null, _) | (_, Self::Null) => Self::Null,
            (Self::Missing, _) | (_, Self::Missing) => Self::Missing,
            (Self::False, Self::False) => Self::False,
        }
    }

    /// MISSING wins, then NULL.
    pub fn xor(self, other: Self) -> Self {
        match (self, other) {
            (Self::Missing, _) | (_, Self::Missing) => Self::Missing,
            (Self::Null, _) | (_, Self::Null) => Self::Null,
            (left, right) => (left != right).into(),
        }
    }

    /// TRUE and FALSE exchanged if `negate`.
    pub fn negated(self, negate: bool) -> Self {
        match (self, negate) {
            (Self::True, true) => Self::False,
            (Self::False, true) => Self::True,
            (same, _) => same,
        }
    }

    /// What a value means as a condition; a value that is neither boolean nor null is MISSING.
    pub fn of(item: &Item<'_>) -> Self {
        match item.as_bool() {
            Some(value) => value.into(),
            None if item.is_null() => Self::Null,
            None => Self::Missing,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl From<Truth> for Item<'_> {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::Owned(Value::Bool(true)),
            Truth::False => Self::Owned(Value::Bool(false)),
            Truth::Null => Self::NULL,
            Truth::Missing => Self::Missing,
        }
    }
}
