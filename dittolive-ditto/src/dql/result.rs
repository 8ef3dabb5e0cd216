use std::{
    fmt,
    num::NonZeroU64,
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::QueryResultItem;
use crate::{
    cbor,
    error::DittoError,
    ffi,
    logger::{LogLevel, log},
    store::DocumentId,
};

/// What a statement gave: rows, the ids of changed documents, the commit.
///
/// Rows are decoded one by one when they are asked for. Iterate over a reference:
///
/// ```no_run
/// # async fn example(ditto: dittolive_ditto::Ditto) -> Result<(), dittolive_ditto::error::DittoError> {
/// let result = ditto.store().execute("SELECT * FROM places").await?;
/// for item in &result {
///     println!("{}", item.json_string());
/// }
/// # Ok(())
/// # }
/// ```
pub struct QueryResult {
    result: Arc<ffi::QueryResult>,
    mutated: OnceLock<Vec<DocumentId>>,
}

impl QueryResult {
    pub(crate) fn new(result: ffi::QueryResult) -> Self {
        Self { result: Arc::new(result), mutated: OnceLock::new() }
    }

    /// How many rows there are.
    #[must_use]
    pub fn item_count(&self) -> usize {
        self.result.item_count()
    }

    /// A row by position; `None` when out of range.
    #[must_use]
    pub fn get_item(&self, index: usize) -> Option<QueryResultItem> {
        (index < self.item_count()).then(|| QueryResultItem::new(self.result.clone(), index))
    }

    /// All rows in order.
    pub fn iter(&self) -> impl '_ + Iterator<Item = QueryResultItem> {
        self.into_iter()
    }

    /// The ids of the documents that the statement changed, in no particular order. Empty for reads.
    #[must_use]
    pub fn mutated_document_ids(&self) -> Vec<DocumentId> {
        let decode = || {
            let ids = self.result.mutated_ids_cbor()?;
            Ok::<_, DittoError>(cbor::decode(&ids)?)
        };
        self.mutated
            .get_or_init(|| {
                decode().unwrap_or_else(|error| {
                    log(LogLevel::Error, &format!("the ids of changed documents cannot be read: {error}"));
                    Vec::new()
                })
            })
            .clone()
    }

    /// The number of the commit that the statement made, or of the last one before it when the statement changed
    /// nothing. `None` for reads and in results that an observer delivers.
    ///
    /// Numbers grow; they mean something on this peer only.
    #[must_use]
    pub fn commit_id(&self) -> Option<NonZeroU64> {
        self.result.commit_id()
    }
}

impl fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryResult")
            .field("items", &self.item_count())
            .field("commit_id", &self.commit_id())
            .finish_non_exhaustive()
    }
}

/// The rows of a [`QueryResult`], from its `into_iter`.
#[derive(Debug)]
pub struct Items<'result> {
    result: &'result QueryResult,
    range: Range<usize>,
}

impl Items<'_> {
    fn item(&self, index: usize) -> QueryResultItem {
        QueryResultItem::new(self.result.result.clone(), index)
    }
}

impl Iterator for Items<'_> {
    type Item = QueryResultItem;

    fn next(&mut self) -> Option<QueryResultItem> {
        self.range.next().map(|index| self.item(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl DoubleEndedIterator for Items<'_> {
    fn next_back(&mut self) -> Option<QueryResultItem> {
        self.range.next_back().map(|index| self.item(index))
    }
}

impl ExactSizeIterator for Items<'_> {}

impl<'result> IntoIterator for &'result QueryResult {
    type Item = QueryResultItem;
    type IntoIter = Items<'result>;

    fn into_iter(self) -> Items<'result> {
        Items { result: self, range: 0..self.item_count() }
    }
}
