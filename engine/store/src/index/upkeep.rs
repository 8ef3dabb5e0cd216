//! Rows written with every commit.

use std::sync::Arc;

use ditto_storage::{Batch, Bytes, Keyspace};
use ditto_value::ValueRef;

use super::Index;
use crate::catalog::Collection;
use crate::layout::CollectionId;

/// The indexes of the collections that a commit touches.
pub(crate) struct Upkeep(Vec<(CollectionId, Arc<[Arc<Index>]>)>);

impl Upkeep {
    pub(crate) fn new<'c>(collections: impl IntoIterator<Item = &'c Arc<Collection>>) -> Self {
        let indexed = collections.into_iter().map(|collection| (collection.id, collection.indexes.all()));
        Self(indexed.filter(|(_, indexes)| !indexes.is_empty()).collect())
    }

    /// Most indexes that one of the collections has.
    pub(crate) fn most(&self) -> usize {
        self.0.iter().map(|(_, indexes)| indexes.len()).max().unwrap_or(0)
    }

    /// The indexes of a collection; none if it has none.
    pub(crate) fn of(&self, collection: CollectionId) -> &[Arc<Index>] {
        let found = self.0.iter().find(|(id, _)| *id == collection);
        found.map_or(&[], |(_, indexes)| indexes)
    }
}

/// Adds to `batch` what turns the rows of a document from `before` into `after`; `None` where there is no living
/// document. Indexes whose fields are the same before and after are left alone.
pub(crate) fn change(
    indexes: &[Arc<Index>],
    id: &[u8],
    before: Option<ValueRef<'_>>,
    after: Option<ValueRef<'_>>,
    batch: &mut Batch,
) {
    for index in indexes {
        if let (Some(before), Some(after)) = (before, after)
            && index.is_unchanged(before, after)
        {
            continue;
        }
        let before = before.map(|before| index.entry(id, before));
        let after = after.map(|after| index.entry(id, after));
        if before == after {
            continue;
        }
        if let Some(before) = before
            && after.as_ref().is_none_or(|after| after.key != before.key)
        {
            batch.delete(Keyspace::Indexes, before.key);
        }
        if let Some(after) = after {
            let value = Bytes::from(after.value());
            batch.put(Keyspace::Indexes, after.key, value);
        }
    }
}
