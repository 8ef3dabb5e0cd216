//! What one commit writes.

use crate::storage::{MAX_VALUE_BYTES, is_key};
use crate::{Bytes, Keyspace, StorageError};

/// One write of a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Where.
    pub keyspace: Keyspace,
    /// Which row.
    pub key: Bytes,
    /// Its new value; `None` deletes the row.
    pub value: Option<Bytes>,
}

/// An ordered list of writes that become visible and durable together.
///
/// When a batch writes a key more than once, the last write wins. Deleting a row that does not exist is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    operations: Vec<Operation>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `operations` writes.
    #[must_use]
    pub fn with_capacity(operations: usize) -> Self {
        Self { operations: Vec::with_capacity(operations) }
    }

    /// Sets a row.
    pub fn put(&mut self, keyspace: Keyspace, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.operations.push(Operation { keyspace, key: key.into(), value: Some(value.into()) });
    }

    /// Removes a row.
    pub fn delete(&mut self, keyspace: Keyspace, key: impl Into<Bytes>) {
        self.operations.push(Operation { keyspace, key: key.into(), value: None });
    }

    /// Adds the writes of `other` after those of `self`.
    pub fn append(&mut self, mut other: Self) {
        self.operations.append(&mut other.operations);
    }

    /// How many writes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is nothing to write. Committing an empty batch does nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.operations.iter().map(|o| o.key.len() + o.value.as_ref().map_or(0, |v| v.len())).sum()
    }

    /// The writes in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The writes in order.
    #[must_use]
    pub fn into_operations(self) -> Vec<Operation> {
        self.operations
    }

    /// Refuses keys and values that a backend could not store. Every backend calls this before it touches anything.
    pub(crate) fn validate(&self) -> Result<(), StorageError> {
        for operation in &self.operations {
            if !is_key(&operation.key) {
                return Err(StorageError::Key { keyspace: operation.keyspace, length: operation.key.len() });
            }
            if let Some(value) = &operation.value
                && value.len() > MAX_VALUE_BYTES
            {
                return Err(StorageError::Value { keyspace: operation.keyspace, length: value.len() });
            }
        }
        Ok(())
    }
}
