use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use serde::de::DeserializeOwned;

use crate::{
    cbor::{self, CborValue},
    error::{CoreApiErrorKind, DittoError},
    ffi,
    logger::{LogLevel, log},
};

/// The fields of a row.
type Fields = HashMap<Box<str>, CborValue>;

/// One row of a [`QueryResult`](super::QueryResult).
///
/// A row stays in the database's own compact form until it is asked for: as a map, as JSON, as CBOR or as a type of
/// the application. It lives independently of the result that it came from.
///
/// ```
/// # use dittolive_ditto::dql::QueryResultItem;
/// # use serde_json::json;
/// # let mut item = QueryResultItem::unstable_try_from_serde_json_value(json!({"name": "Vila", "people": 1418}))?;
/// use dittolive_ditto::prelude::CborValueGetters;
///
/// assert_eq!(item.value()["name"].as_str(), Some("Vila"));
/// assert_eq!(item.json_string(), r#"{"name":"Vila","people":1418}"#);
///
/// #[derive(serde::Deserialize)]
/// struct Place { people: u32 }
/// assert_eq!(item.deserialize_value::<Place>()?.people, 1418);
/// # Ok::<_, dittolive_ditto::error::DittoError>(())
/// ```
#[derive(Clone)]
pub struct QueryResultItem {
    row: Row,
    fields: OnceLock<Arc<Fields>>,
}

#[derive(Clone)]
enum Row {
    /// A row of a result of the library.
    Of { result: Arc<ffi::QueryResult>, index: usize },
    /// A row that was made from JSON: an object.
    Json(Arc<serde_json::Value>),
}

impl QueryResultItem {
    /// `index` must be in range.
    pub(super) fn new(result: Arc<ffi::QueryResult>, index: usize) -> Self {
        Self { row: Row::Of { result, index }, fields: OnceLock::new() }
    }

    /// The fields by name. The first call decodes them; they are kept until [`dematerialize`](Self::dematerialize).
    #[must_use]
    pub fn value(&self) -> Arc<HashMap<Box<str>, CborValue>> {
        self.fields.get_or_init(|| Arc::new(self.decode().unwrap_or_else(broken))).clone()
    }

    /// Whether the fields are decoded.
    #[must_use]
    pub fn is_materialized(&self) -> bool {
        self.fields.get().is_some()
    }

    /// Decodes the fields, unless they are decoded already.
    pub fn materialize(&mut self) {
        let _ = self.value();
    }

    /// Drops the decoded fields. Maps that were handed out stay valid.
    pub fn dematerialize(&mut self) {
        self.fields.take();
    }

    /// The row as CBOR, a map. Not kept.
    #[must_use]
    pub fn cbor_data(&self) -> Vec<u8> {
        match &self.row {
            Row::Of { result, index } => result.item_cbor(*index).map(|bytes| bytes.to_vec()),
            Row::Json(row) => cbor::encode_canonical(&(**row).clone().into()).map_err(DittoError::from),
        }
        .unwrap_or_else(broken)
    }

    /// The row as JSON, an object without white space. Bytes are base64 text. Not kept.
    #[must_use]
    pub fn json_string(&self) -> String {
        match &self.row {
            Row::Of { result, index } => result.item_json(*index).and_then(ffi::Buffer::into_text),
            Row::Json(row) => Ok(row.to_string()),
        }
        .unwrap_or_else(broken)
    }

    /// The row as a type of the application.
    ///
    /// # Errors
    /// With a kind of `InvalidInput` when the row does not have the shape of `T`.
    pub fn deserialize_value<T: DeserializeOwned>(&self) -> Result<T, DittoError> {
        self.decode()
    }

    /// A row made by hand.
    ///
    /// # Errors
    /// With a kind of `InvalidInput` when `value` is not an object.
    #[doc(hidden)]
    pub fn unstable_try_from_serde_json_value(value: serde_json::Value) -> Result<Self, DittoError> {
        if !value.is_object() {
            return Err(DittoError::invalid_input(format!("a row is a JSON object, found {value}")));
        }
        Ok(Self { row: Row::Json(Arc::new(value)), fields: OnceLock::new() })
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, DittoError> {
        match &self.row {
            Row::Of { result, index } => Ok(cbor::decode(&result.item_cbor(*index)?)?),
            Row::Json(_) => Ok(cbor::decode(&self.cbor_data())?),
        }
    }
}

/// What stands in for a row that the library cannot encode, which would be a fault of ours: said in the log, and empty.
fn broken<T: Default>(error: DittoError) -> T {
    log(LogLevel::Error, &format!("a row of a query result cannot be read: {error}"));
    debug_assert_ne!(error.kind(), crate::error::ErrorKind::CoreApi(CoreApiErrorKind::Internal), "{error}");
    T::default()
}

impl fmt::Debug for QueryResultItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueryResultItem").field(&format_args!("{}", self.json_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{cbor::CborValueGetters, error::ErrorKind};

    #[test]
    fn materialization_is_per_item_and_reversible() {
        let mut item =
            QueryResultItem::unstable_try_from_serde_json_value(json!({"a": [1, 2.5, null]})).unwrap();
        assert!(!item.is_materialized());
        let _ = (item.json_string(), item.cbor_data());
        assert!(!item.is_materialized());
        let value = item.value();
        assert!(item.is_materialized());
        item.dematerialize();
        assert!(!item.is_materialized());
        assert_eq!(value["a"].as_array().map(<[_]>::len), Some(3));
        item.materialize();
        assert!(item.is_materialized() && item.clone().is_materialized());
    }

    #[test]
    fn a_wrong_type_is_invalid_input() {
        let item = QueryResultItem::unstable_try_from_serde_json_value(json!({"a": "text"})).unwrap();
        let error = item.deserialize_value::<HashMap<String, u8>>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = QueryResultItem::unstable_try_from_serde_json_value(json!([1])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
