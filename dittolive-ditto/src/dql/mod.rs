//! Statements and what they give: [`Query`], [`QueryResult`], [`StoreObserver`], [`Differ`].
//!
//! Whatever implements [`IntoQuery`] is a query: text, text with arguments, or a [`Query`] made before. Arguments are
//! anything that serializes to a map with text keys, or to null for none.
//!
//! ```
//! use dittolive_ditto::dql::IntoQuery;
//! use serde_json::json;
//!
//! let query = ("SELECT * FROM places WHERE country = :country", json!({"country": "AD"})).into_query()?;
//! assert_eq!(query.text(), "SELECT * FROM places WHERE country = :country");
//! # Ok::<_, dittolive_ditto::error::DittoError>(())
//! ```

mod arguments;
mod differ;
mod item;
mod observer;
mod query;
mod result;

pub use self::{
    arguments::QueryArguments,
    differ::{Diff, DiffMove, Differ},
    item::QueryResultItem,
    observer::{ChangeHandler, ChangeHandlerWithSignalNext, SignalNext, StoreObserver},
    query::{IntoQuery, Query, QueryV2},
    result::{Items, QueryResult},
};
pub use crate::sync::SyncSubscription;

pub(crate) use self::observer::{ObserverState, by_signal, one_by_one};
