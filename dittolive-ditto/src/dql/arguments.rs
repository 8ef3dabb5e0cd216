use serde::Serialize;

use super::{IntoQuery, Query};
use crate::{
    cbor::{self, CborValue},
    error::{CoreApiErrorKind, DittoError},
};

/// The first byte of an encoded map: major type 5.
const MAP_HEADER: std::ops::RangeInclusive<u8> = 0xa0..=0xbf;
const NULL: u8 = 0xf6;

/// The arguments as a CBOR map, or nothing when they are null.
pub(super) fn encode<A: Serialize + ?Sized>(arguments: &A) -> Result<Option<Box<[u8]>>, DittoError> {
    let invalid = |message: String| DittoError::core(CoreApiErrorKind::DqlInvalidQueryArgs, message);
    let bytes = cbor::to_vec(arguments)
        .map_err(|error| invalid(format!("the arguments of the query could not be serialized: {error}")))?;
    match bytes.first() {
        Some(&NULL) => Ok(None),
        Some(first) if MAP_HEADER.contains(first) => Ok(Some(bytes.into())),
        _ => {
            let found =
                cbor::from_slice::<CborValue>(&bytes).map_or("something else", |value| value.type_name());
            Err(invalid(format!("the arguments of a query must be a map from name to value, not {found}")))
        }
    }
}

/// Arguments of a query, detached from the type that they came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryArguments(Result<Option<Box<[u8]>>, Box<str>>);

impl<T: Serialize> From<T> for QueryArguments {
    /// What does not serialize to a map is reported when the query runs.
    fn from(arguments: T) -> Self {
        Self(encode(&arguments).map_err(|error| error.to_string().into()))
    }
}

impl<Q: IntoQuery<Args = ()>> IntoQuery for (Q, QueryArguments) {
    type Args = CborValue;

    fn into_query(self) -> Result<Query<CborValue>, DittoError> {
        let (query, QueryArguments(arguments)) = self;
        let text = query.into_query()?.into_text();
        match arguments {
            Ok(None) => Ok(Query::new(text)),
            Ok(Some(encoded)) => {
                let arguments = cbor::from_slice(&encoded)?;
                Ok(Query::with_encoded(text, arguments, Some(encoded)))
            }
            Err(message) => {
                Err(DittoError::core(CoreApiErrorKind::DqlInvalidQueryArgs, String::from(message)))
            }
        }
    }
}
