//! A document that a plan found, as operators are given it.

use ditto_storage::Bytes;
use ditto_value::ValueRef;

use super::index_rows::malformed;
use crate::error::StoreError;
use crate::index::Index;
use crate::layout;
use crate::result::Row;

/// A document, or of it what an index says if that is all that is asked. Nothing is copied until somebody wants to keep it.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    origin: Origin<'a>,
    /// What the statement sees of it.
    pub document: ValueRef<'a>,
}

#[derive(Clone, Copy)]
enum Origin<'a> {
    Record {
        key: &'a [u8],
        record: &'a Bytes,
        /// The bytes that hold the visible document.
        holder: &'a Bytes,
    },
    IndexRow {
        index: &'a Index,
        row: &'a [u8],
    },
}

impl<'a> Found<'a> {
    /// `key` and `record` as they are in the keyspace `documents`; `document` lies somewhere in `holder`.
    pub(super) fn of_record(
        key: &'a [u8],
        record: &'a Bytes,
        holder: &'a Bytes,
        document: ValueRef<'a>,
    ) -> Self {
        Self { origin: Origin::Record { key, record, holder }, document }
    }

    /// What the row of an index says.
    pub(super) fn of_row(index: &'a Index, row: &'a [u8], document: ValueRef<'a>) -> Self {
        Self { origin: Origin::IndexRow { index, row }, document }
    }

    /// The encoded `_id`.
    pub(crate) fn id(&self) -> Result<&'a [u8], StoreError> {
        match self.origin {
            Origin::Record { key, .. } => Ok(layout::id_of_document_key(key)),
            Origin::IndexRow { index, row } => index.id_of(row).ok_or_else(malformed),
        }
    }

    /// The `documents` key and the record; `None` if the document was not read.
    pub(crate) fn stored(&self) -> Option<(&'a [u8], &'a Bytes)> {
        match self.origin {
            Origin::Record { key, record, .. } => Some((key, record)),
            Origin::IndexRow { .. } => None,
        }
    }

    /// The document as a row.
    pub(crate) fn row(&self) -> Row {
        match self.origin {
            Origin::Record { holder, .. } => Row::part(holder.clone(), self.document),
            Origin::IndexRow { .. } => Row::new(self.document.bytes()),
        }
    }
}
