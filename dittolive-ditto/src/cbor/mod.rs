//! Values as [CBOR](https://www.rfc-editor.org/rfc/rfc8949) knows them: what fields of a document are.
//!
//! [`CborValue`] is the dynamic form, [`CborValueGetters`] reads it in one call per step, and it converts
//! from and to [`serde_json::Value`]. [`to_vec`] and [`from_slice`] carry any serde type to and from bytes.
//!
//! ```
//! use dittolive_ditto::cbor::{CborValue, CborValueGetters};
//! use serde_json::json;
//!
//! let place = CborValue::from(json!({"name": "Vila", "at": [42.5, 1.5], "people": 1418}));
//! assert_eq!(place.get("name").and_then(CborValueGetters::as_str), Some("Vila"));
//! assert_eq!(place.get("at").and_then(|at| at.get(0)?.as_f64()), Some(42.5));
//! assert_eq!(place.get("people").and_then(CborValueGetters::as_i64), Some(1418));
//! assert_eq!(place.get("mayor"), None);
//! ```

mod codec;
mod deserializer;
mod error;
mod getters;
mod json;
mod serde_impls;
mod value;

pub use self::{
    codec::{from_slice, to_vec},
    error::CborError,
    getters::CborValueGetters,
    value::CborValue,
};

pub(crate) use self::codec::{decode, encode_canonical};

/// How deep arrays and maps may nest in bytes that are decoded.
pub const MAX_DEPTH: usize = 256;

#[cfg(test)]
mod tests;
