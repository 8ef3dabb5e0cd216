//! What a statement answers.

use std::sync::{Arc, OnceLock};

use ditto_storage::Bytes;
use ditto_value::{Value, ValueRef};

/// One row of a result: an object in the binary form. Cheap to clone; a row of `SELECT *` shares the bytes
/// of the stored record.
#[derive(Clone)]
pub struct Row {
    bytes: Bytes,
    start: u32,
    end: u32,
}

impl Row {
    /// A row that is a part of `bytes`. The range is cut to what there is.
    pub(crate) fn part(bytes: Bytes, part: ValueRef<'_>) -> Self {
        let part = part.bytes();
        let start = (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
        match start.checked_add(part.len()) {
            Some(end) if end <= bytes.len() => match (u32::try_from(start), u32::try_from(end)) {
                (Ok(start), Ok(end)) => Self { bytes, start, end },
                _ => Self::new(part),
            },
            _ => Self::new(part),
        }
    }

    /// A row of its own.
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { bytes, start: 0, end }
    }

    /// The row's binary form, see [`ditto_value::binary`].
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The row, readable in place.
    pub fn value(&self) -> ValueRef<'_> {
        ValueRef::from_stored(self.bytes())
    }
}

/// Rows are equal when their bytes are.
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Row {}

impl std::fmt::Debug for Row {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.value().to_json())
    }
}

/// Rows, and what the statement changed.
#[derive(Clone, Debug, Default)]
pub struct QueryResult {
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// `_id`s of the documents that the statement changed.
    pub mutated_ids: Vec<Value>,
    /// Local commit of a mutating statement, never 0. `None` for reads, for observers, and inside a transaction
    /// (see [`QueryResult::committed_as`]).
    pub commit_id: Option<u64>,
    /// The commit id of the transaction that the statement ran in, once there is one.
    pub(crate) transaction: Option<Arc<OnceLock<u64>>>,
}

impl QueryResult {
    pub(crate) fn of_rows(rows: Vec<Row>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// The commit id: its own, or that of the transaction it ran in as soon as that is committed.
    pub fn committed_as(&self) -> Option<u64> {
        self.commit_id.or_else(|| self.transaction.as_ref().and_then(|cell| cell.get().copied()))
    }
}
