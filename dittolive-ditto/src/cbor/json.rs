//! JSON to CBOR loses nothing; the other way needs rules for what JSON does not have.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value as Json;

use super::{CborError, CborValue};

impl From<Json> for CborValue {
    /// Whole numbers become integers, all others floats.
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Self::Integer(value.into()),
                (None, Some(value)) => Self::Integer(value.into()),
                (None, None) => number.as_f64().map_or(Self::Null, Self::Float),
            },
            Json::String(text) => Self::Text(text),
            Json::Array(elements) => Self::Array(elements.into_iter().map(Self::from).collect()),
            Json::Object(members) => Self::Map(
                members.into_iter().map(|(key, member)| (Self::Text(key), Self::from(member))).collect(),
            ),
        }
    }
}

impl TryFrom<CborValue> for Json {
    type Error = CborError;

    /// Bytes become base64 text. Fails for what JSON cannot say: keys that are not text, integers
    /// beyond 64 bits, floats that are not finite.
    fn try_from(value: CborValue) -> Result<Self, CborError> {
        Ok(match value {
            CborValue::Null => Self::Null,
            CborValue::Bool(value) => Self::Bool(value),
            CborValue::Integer(value) => match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => Self::from(value),
                (_, Ok(value)) => Self::from(value),
                _ => return Err(CborError::new(format_args!("JSON has no integer as large as {value}"))),
            },
            CborValue::Float(value) => serde_json::Number::from_f64(value)
                .map(Self::Number)
                .ok_or_else(|| CborError::new(format_args!("JSON has no number {value}")))?,
            CborValue::Bytes(bytes) => Self::String(BASE64_STANDARD.encode(bytes)),
            CborValue::Text(text) => Self::String(text),
            CborValue::Array(elements) => {
                Self::Array(elements.into_iter().map(Self::try_from).collect::<Result<_, _>>()?)
            }
            CborValue::Map(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(key, member)| match key {
                        CborValue::Text(key) => Ok((key, Self::try_from(member)?)),
                        other => Err(CborError::new(format_args!(
                            "a key in JSON must be text, found {}",
                            other.type_name()
                        ))),
                    })
                    .collect::<Result<_, _>>()?,
            ),
        })
    }
}
