//! Values of documents: what they are, how they compare, and how they are written down.
//!
//! * [`Value`] and [`Object`] are the owned form, for building and editing.
//! * [`ValueRef`] reads the [binary form](binary) in place: a member by name costs O(log members) and copies nothing.
//! * [`Tree`] is what both have in common; order, keys, JSON and CBOR are written once against it.
//! * [`key`] turns a value into bytes whose `memcmp` order is the order of values, for index and document keys.
//!
//! Every decoder here takes hostile bytes: wrong input is an error value, never a panic, and what it costs is
//! bounded by the length of the input and by [`MAX_DEPTH`].
//!
//! ```
//! use ditto_value::{Value, ValueRef};
//!
//! let value = Value::from_json(r#"{"care": {"light": 6}, "name": "fern"}"#)?;
//! let bytes = value.encode();
//! let stored = ValueRef::from_stored(&bytes);
//! let light = stored.get("care").and_then(|care| care.get("light"));
//! assert_eq!(light.and_then(|light| light.as_i64()), Some(6));
//! # Ok::<(), ditto_value::JsonError>(())
//! ```
#![forbid(unsafe_code)]

pub mod binary;
mod cbor;
mod json;
pub mod key;
pub mod object;
mod order;
mod tree;
mod value;
mod value_ref;

#[cfg(test)]
mod tests;

pub use binary::{ArrayWriter, ObjectWriter, Writer};
pub use cbor::CborError;
pub use json::JsonError;
pub use object::Object;
pub use order::{compare, compare_numbers, numbers_equal};
pub use tree::{Node, Number, Tree};
pub use value::{Value, ValueKind};
pub use value_ref::{Elements, Malformed, Members, RawMembers, ValueRef};

/// How many containers may be nested in each other: `[]` has depth 1, `1` has depth 0.
///
/// Decoders refuse more, and readers of unchecked bytes read deeper parts as null.
pub const MAX_DEPTH: usize = 128;
