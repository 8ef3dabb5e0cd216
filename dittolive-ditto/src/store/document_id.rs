use std::fmt::{self, Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    cbor::{self, CborValue},
    error::{CoreApiErrorKind, DittoError},
};

/// The id of a document: its field `_id`.
///
/// It is text, an integer, a boolean, bytes, or an array or map of such values and nulls. Equal values give equal ids. Ids are
/// ordered by their canonical CBOR bytes, so shorter texts come first. With serde an id stands for its value.
///
/// ```
/// use dittolive_ditto::store::DocumentId;
///
/// let id = DocumentId::new(&"vila")?;
/// assert_eq!(id.to_string(), "vila");
/// assert_eq!(serde_json::to_string(&id).unwrap(), r#""vila""#);
/// assert!(DocumentId::new(&()).is_err());
/// # Ok::<_, dittolive_ditto::error::DittoError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(Box<[u8]>);

/// How [`DocumentId::to_query_compatible`] writes an id that is text.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum StringPrimitiveFormat {
    /// In single quotes.
    WithQuotes,
    /// As it is.
    WithoutQuotes,
}

impl DocumentId {
    /// The id with this value.
    ///
    /// # Errors
    /// With a kind of `CoreApi(StoreDocumentId)` when the value is null, is or holds a float, or does not serialize.
    pub fn new<V: Serialize>(value: &V) -> Result<Self, DittoError> {
        let value = cbor::to_vec(value).and_then(|bytes| cbor::from_slice(&bytes));
        let value = value.map_err(|error| invalid(&format!("the value does not serialize: {error}")))?;
        Self::from_value(&value)
    }

    fn from_value(value: &CborValue) -> Result<Self, DittoError> {
        let culprit = if *value == CborValue::Null { Some(value.type_name()) } else { illegal(value) };
        if let Some(culprit) = culprit {
            return Err(invalid(&format!(
                "it must be text, an integer, a boolean, bytes, or an array or map of these and nulls, and here is \
                 {culprit}"
            )));
        }
        let bytes = cbor::encode_canonical(value).map_err(|error| invalid(&error.to_string()))?;
        Ok(Self(bytes.into()))
    }

    /// The value of the id. Null for an id that was made of bytes which are no CBOR.
    #[must_use]
    pub fn value(&self) -> CborValue {
        cbor::decode(&self.0).unwrap_or(CborValue::Null)
    }

    /// [`value`](Self::value) under its other name.
    #[must_use]
    pub fn to_cbor(&self) -> CborValue {
        self.value()
    }

    /// The id as a literal of a query, except that text may be left bare.
    #[must_use]
    pub fn to_query_compatible(&self, format: StringPrimitiveFormat) -> String {
        match (self.value(), format) {
            (CborValue::Text(text), StringPrimitiveFormat::WithoutQuotes) => text,
            (value, _) => {
                let mut literal = String::new();
                write_literal(&value, &mut literal);
                literal
            }
        }
    }
}

fn invalid(reason: &str) -> DittoError {
    DittoError::core(CoreApiErrorKind::StoreDocumentId, format!("not the id of a document: {reason}"))
}

/// What in a value keeps it from being an id.
fn illegal(value: &CborValue) -> Option<&'static str> {
    match value {
        CborValue::Float(_) => Some(value.type_name()),
        CborValue::Null
        | CborValue::Bool(_)
        | CborValue::Integer(_)
        | CborValue::Bytes(_)
        | CborValue::Text(_) => None,
        CborValue::Array(elements) => elements.iter().find_map(illegal),
        CborValue::Map(members) => members.iter().find_map(|(key, member)| match key {
            CborValue::Text(_) => illegal(member),
            _ => Some("a key that is not text"),
        }),
    }
}

fn write_literal(value: &CborValue, out: &mut String) {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    match value {
        CborValue::Text(text) => out.push_str(&quoted(text)),
        CborValue::Integer(number) => out.push_str(&number.to_string()),
        CborValue::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        CborValue::Float(number) => out.push_str(&number.to_string()),
        CborValue::Null => out.push_str("null"),
        CborValue::Bytes(bytes) => out.push_str(&quoted(&BASE64_STANDARD.encode(bytes))),
        CborValue::Array(elements) => {
            out.push('[');
            for (position, element) in elements.iter().enumerate() {
                out.push_str(if position == 0 { "" } else { ", " });
                write_literal(element, out);
            }
            out.push(']');
        }
        CborValue::Map(members) => {
            out.push('{');
            for (position, (key, member)) in members.iter().enumerate() {
                out.push_str(if position == 0 { "" } else { ", " });
                write_literal(key, out);
                let _ = out.write_str(": ");
                write_literal(member, out);
            }
            out.push('}');
        }
    }
}

impl From<Vec<u8>> for DocumentId {
    /// Takes the CBOR of an id as it is.
    fn from(cbor: Vec<u8>) -> Self {
        Self(cbor.into())
    }
}

impl From<Box<[u8]>> for DocumentId {
    /// Takes the CBOR of an id as it is.
    fn from(cbor: Box<[u8]>) -> Self {
        Self(cbor)
    }
}

impl From<&[u8]> for DocumentId {
    /// Takes the CBOR of an id as it is.
    fn from(cbor: &[u8]) -> Self {
        Self(cbor.into())
    }
}

impl From<&DocumentId> for DocumentId {
    fn from(id: &DocumentId) -> Self {
        id.clone()
    }
}

impl AsRef<[u8]> for DocumentId {
    /// The canonical CBOR.
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_query_compatible(StringPrimitiveFormat::WithoutQuotes))
    }
}

impl Serialize for DocumentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DocumentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = CborValue::deserialize(deserializer)?;
        Self::from_value(&value).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_legal_value_is_an_id_and_comes_back() {
        for value in [
            json!(""),
            json!("a"),
            json!(-7),
            json!(u64::MAX),
            json!(true),
            json!([1, "a", null]),
            json!({"b": [1], "c": null}),
        ] {
            let id = DocumentId::new(&value).unwrap();
            assert_eq!(serde_json::to_value(&id).unwrap(), value);
            assert_eq!(serde_json::from_value::<DocumentId>(value).unwrap(), id);
            assert_eq!(DocumentId::from(id.as_ref()), id);
        }
        let bytes = CborValue::Bytes(vec![0, 255]);
        assert_eq!(DocumentId::new(&bytes).unwrap().value(), bytes);
    }

    #[test]
    fn null_is_refused_and_floats_wherever_they_are() {
        for value in [json!(null), json!(1.5), json!([1.5]), json!({"a": {"b": 0.5}})] {
            let error = DocumentId::new(&value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::StoreDocumentId), "{error}");
            assert!(serde_json::from_value::<DocumentId>(value).is_err());
        }
    }

    #[test]
    fn ids_are_ordered_by_canonical_cbor() {
        let id = |text: &str| DocumentId::new(&text).unwrap();
        assert!(id("b") < id("aa"));
        assert_eq!(
            DocumentId::new(&json!({"b": 1, "a": 2})).unwrap(),
            DocumentId::new(&json!({"a": 2, "b": 1})).unwrap()
        );
    }

    #[test]
    fn literals_are_quoted_when_they_are_text() {
        let text =
            |value: serde_json::Value, format| DocumentId::new(&value).unwrap().to_query_compatible(format);
        use StringPrimitiveFormat::{WithQuotes, WithoutQuotes};
        assert_eq!(text(json!("it's"), WithoutQuotes), "it's");
        assert_eq!(text(json!("it's"), WithQuotes), r"'it\'s'");
        assert_eq!(text(json!({"a": ["x", 1]}), WithoutQuotes), "{'a': ['x', 1]}");
        assert_eq!(DocumentId::default().value(), CborValue::Null);
    }
}
