//! Rows of a write transaction that is not committed yet, so that its own statements find what it wrote.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use ditto_storage::Bytes;

use super::Upkeep;
use crate::error::StoreError;
use crate::layout;
use crate::pending::PendingDocuments;
use crate::write::parse_record;

/// The rows of the documents that a transaction changed. They are put together when a statement first asks for rows
/// of an index, and kept up to date from then on: a transaction that only writes pays nothing.
#[derive(Default)]
pub(crate) struct PendingRows {
    /// By row: whether it is marked.
    rows: BTreeMap<Vec<u8>, bool>,
    /// The rows of each document that has any.
    by_document: HashMap<Bytes, Vec<Vec<u8>>>,
    /// Documents that changed since they were looked at.
    changed: Vec<Bytes>,
}

impl PendingRows {
    /// Rows of a transaction that has changed these documents so far.
    pub(crate) fn new<'k>(documents: impl IntoIterator<Item = &'k Bytes>) -> Self {
        Self { changed: documents.into_iter().cloned().collect(), ..Self::default() }
    }

    /// Remembers that a document changed.
    pub(crate) fn touch(&mut self, document: &Bytes) {
        self.changed.push(document.clone());
    }

    /// Looks at what changed.
    pub(crate) fn refresh(&mut self, pending: &PendingDocuments, upkeep: &Upkeep) -> Result<(), StoreError> {
        for document in std::mem::take(&mut self.changed) {
            for row in self.by_document.remove(&document).unwrap_or_default() {
                self.rows.remove(&row);
            }
            let Some((collection, id)) = layout::split_document_key(&document) else { continue };
            let indexes = upkeep.of(collection);
            let Some(record) = pending.get(&document).and_then(|pending| pending.after.as_ref()) else {
                continue;
            };
            let record = parse_record(record)?;
            if indexes.is_empty() || !record.alive {
                continue;
            }
            let mut rows = Vec::with_capacity(indexes.len());
            for index in indexes {
                let entry = index.entry(id, record.value);
                self.rows.insert(entry.key.clone(), entry.marked);
                rows.push(entry.key);
            }
            self.by_document.insert(document, rows);
        }
        Ok(())
    }

    /// Rows and whether they are marked.
    pub(crate) fn range(
        &self,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (&[u8], bool)> {
        // A range that ends before it starts, for which ordered maps panic, is empty.
        let is_empty = match (low, high) {
            (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
                low >= high
            }
            _ => false,
        };
        let rows = (!is_empty).then(|| self.rows.range::<[u8], _>((low, high)));
        rows.into_iter().flatten().map(|(row, marked)| (&row[..], *marked))
    }
}
