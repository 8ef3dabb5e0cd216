use serde::Serialize;

use super::arguments;
use crate::error::DittoError;

/// The text of a statement with its arguments.
///
/// It is not parsed before it is used. Make it once to use it often:
///
/// ```
/// use dittolive_ditto::dql::{IntoQuery, Query};
///
/// let all = Query::try_from("SELECT * FROM places")?;
/// let query: Query = (&all).into_query()?;
/// assert_eq!(query, all);
/// # Ok::<_, dittolive_ditto::error::DittoError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Query<Args = ()> {
    text: String,
    arguments: Option<Args>,
    /// The arguments as a CBOR map; nothing when there are none.
    encoded: Option<Box<[u8]>>,
}

/// [`Query`] under its older name.
pub type QueryV2<Args> = Query<Args>;

impl<Args> Query<Args> {
    pub(super) fn new(text: String) -> Self {
        Self { text, arguments: None, encoded: None }
    }

    pub(super) fn with_encoded(text: String, arguments: Args, encoded: Option<Box<[u8]>>) -> Self {
        Self { text, arguments: Some(arguments), encoded }
    }

    /// The statement.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// The arguments as the library takes them: a CBOR map, or nothing.
    pub(crate) fn encoded_arguments(&self) -> &[u8] {
        self.encoded.as_deref().unwrap_or_default()
    }

    /// The arguments in JSON, with members in the order of their type.
    pub(crate) fn arguments_json(&self) -> Option<String>
    where
        Args: Serialize,
    {
        // Null stands for no arguments.
        self.encoded.as_ref().and(self.arguments.as_ref()).and_then(|args| serde_json::to_string(args).ok())
    }

    /// The text and the encoded arguments.
    pub(crate) fn into_parts(self) -> (String, Option<Box<[u8]>>) {
        (self.text, self.encoded)
    }
}

impl TryFrom<&str> for Query<()> {
    type Error = DittoError;

    fn try_from(text: &str) -> Result<Self, DittoError> {
        text.into_query()
    }
}

impl TryFrom<String> for Query<()> {
    type Error = DittoError;

    fn try_from(text: String) -> Result<Self, DittoError> {
        text.into_query()
    }
}

/// What can be executed, observed and subscribed to.
///
/// That is text (`&str`, `String`), text with arguments in a tuple, a [`Query`], and references to these. Arguments
/// are anything that serializes to a map with text keys, or to null (`None`) for none.
pub trait IntoQuery {
    /// The type of the arguments.
    type Args;

    /// The query, not yet parsed.
    ///
    /// # Errors
    /// With a kind of `CoreApi(DqlInvalidQueryArgs)` when the arguments are something else than a map.
    fn into_query(self) -> Result<Query<Self::Args>, DittoError>;
}

impl<Args> IntoQuery for Query<Args> {
    type Args = Args;

    fn into_query(self) -> Result<Self, DittoError> {
        Ok(self)
    }
}

impl IntoQuery for String {
    type Args = ();

    fn into_query(self) -> Result<Query<()>, DittoError> {
        Ok(Query::new(self))
    }
}

impl<Q> IntoQuery for &Q
where
    Q: ToOwned + ?Sized,
    Q::Owned: IntoQuery,
{
    type Args = <Q::Owned as IntoQuery>::Args;

    fn into_query(self) -> Result<Query<Self::Args>, DittoError> {
        self.to_owned().into_query()
    }
}

impl<Q, A> IntoQuery for (Q, A)
where
    Q: IntoQuery<Args = ()>,
    A: Serialize,
{
    type Args = A;

    fn into_query(self) -> Result<Query<A>, DittoError> {
        let (query, arguments) = self;
        let encoded = arguments::encode(&arguments)?;
        Ok(Query::with_encoded(query.into_query()?.into_text(), arguments, encoded))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde_json::json;

    use super::*;
    use crate::{
        cbor::{self, CborValue},
        dql::QueryArguments,
        error::{CoreApiErrorKind, ErrorKind},
    };

    fn arguments<Q: IntoQuery>(query: Q) -> Option<CborValue> {
        let query = query.into_query().unwrap();
        assert_eq!(query.text(), "q");
        (!query.encoded_arguments().is_empty()).then(|| cbor::from_slice(query.encoded_arguments()).unwrap())
    }

    #[test]
    fn all_kinds_of_text_are_queries() {
        let owned = String::from("q");
        let text = "q";
        let reference = &text;
        assert_eq!(arguments(text), None);
        assert_eq!(arguments(reference), None);
        assert_eq!(arguments(&owned), None);
        assert_eq!(arguments(owned.clone()), None);
        assert_eq!(arguments(Query::try_from(owned).unwrap()), None);
    }

    #[test]
    fn all_kinds_of_maps_are_arguments() {
        #[derive(Clone, Serialize)]
        struct Args {
            a: u8,
        }
        let expected = Some(CborValue::from(json!({"a": 1})));
        let value = json!({"a": 1});
        assert_eq!(arguments(("q", &value)), expected);
        assert_eq!(arguments((String::from("q"), value.clone())), expected);
        assert_eq!(arguments(&("q", value.clone())), expected);
        assert_eq!(arguments(("q", Args { a: 1 })), expected);
        assert_eq!(arguments(("q", HashMap::from([("a", 1)]))), expected);
        assert_eq!(arguments(("q", BTreeMap::from([(String::from("a"), 1)]))), expected);
        assert_eq!(arguments(("q", Some(value.clone()))), expected);
        assert_eq!(arguments(("q", QueryArguments::from(value))), expected);
    }

    #[test]
    fn null_is_no_arguments() {
        assert_eq!(arguments(("q", None::<CborValue>)), None);
        assert_eq!(arguments(("q", ())), None);
        assert_eq!(arguments(("q", QueryArguments::from(None::<u8>))), None);
        assert_eq!(("q", None::<u8>).into_query().unwrap().arguments_json(), None);
    }

    #[test]
    fn arguments_that_are_no_map_are_refused() {
        let expected = ErrorKind::CoreApi(CoreApiErrorKind::DqlInvalidQueryArgs);
        for wrong in [json!(3), json!([1]), json!("a")] {
            let error = ("q", &wrong).into_query().unwrap_err();
            assert_eq!(error.kind(), expected, "{error}");
            let error = ("q", QueryArguments::from(wrong)).into_query().unwrap_err();
            assert_eq!(error.kind(), expected, "{error}");
        }
    }

    #[test]
    fn json_keeps_the_order_of_a_struct() {
        #[derive(Serialize)]
        struct Args {
            z: u8,
            a: f32,
        }
        let query = ("q", Args { z: 1, a: 0.1 }).into_query().unwrap();
        assert_eq!(query.arguments_json().unwrap(), r#"{"z":1,"a":0.1}"#);
    }
}
