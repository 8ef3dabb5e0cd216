//! What the owned value and the stored one have in common.

use crate::{Value, ValueRef, object, value_ref};

/// A value that can be walked: `&Value` or [`ValueRef`]. Order, keys, JSON and CBOR are written against it.
pub trait Tree<'a>: Copy {
    /// The elements of an array, as many as the iterator's length says.
    type Elements: ExactSizeIterator<Item = Self>;
    /// The members of an object in order of their names, as many as the iterator's length says.
    type Members: ExactSizeIterator<Item = (&'a str, Self)>;

    /// What is at the top.
    fn node(self) -> Node<'a, Self>;
}

/// The top of a [`Tree`].
pub enum Node<'a, T: Tree<'a>> {
    /// null
    Null,
    /// a truth value
    Bool(bool),
    /// any number
    Number(Number),
    /// a byte string
    Bytes(&'a [u8]),
    /// text
    String(&'a str),
    /// a list
    Array(T::Elements),
    /// members by name
    Object(T::Members),
}

/// A number of either kind. Not `PartialEq`: ask [`crate::compare_numbers`] for the numeric order.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// fits 64 bits with sign
    Int(i64),
    /// above `i64::MAX`
    UInt(u64),
    /// a finite double
    Float(f64),
}

impl<'a> Tree<'a> for &'a Value {
    type Elements = std::slice::Iter<'a, Value>;
    type Members = object::Iter<'a>;

    fn node(self) -> Node<'a, Self> {
        match self {
            Value::Null => Node::Null,
            Value::Bool(value) => Node::Bool(*value),
            Value::Int(value) => Node::Number(Number::Int(*value)),
            Value::UInt(value) => Node::Number(Number::UInt(*value)),
            Value::Float(value) if value.is_finite() => Node::Number(Number::Float(*value)),
            Value::Float(_) => Node::Null,
            Value::Bytes(value) => Node::Bytes(value),
            Value::String(value) => Node::String(value),
            Value::Array(elements) => Node::Array(elements.iter()),
            Value::Object(members) => Node::Object(members.into_iter()),
        }
    }
}

impl<'a> Tree<'a> for ValueRef<'a> {
    type Elements = value_ref::Elements<'a>;
    type Members = value_ref::Members<'a>;

    fn node(self) -> Node<'a, Self> {
        self.read()
    }
}
