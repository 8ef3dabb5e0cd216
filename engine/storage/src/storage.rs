//! The two traits that a backend implements.

use std::ops::{Bound, ControlFlow};

use crate::{Batch, Bytes, Keyspace, Place, StorageError};

/// Longest key that can be stored, in bytes. The shortest has one byte.
pub const MAX_KEY_BYTES: usize = 65_535;

/// Longest value that can be stored, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 30;

/// A range of keys, each end included, excluded or open. A range whose end lies before its start is empty.
pub type Range<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Rows of a range, in the order asked for, read as the iterator advances.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), StorageError>> + Send + 'a>;

/// Is told how many rows of how many a compaction has gone through, and stops it by breaking.
pub type OnRows<'a> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'a;

/// Which end of a range comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// An ordered key-value storage over the fixed set of [`Keyspace`]s.
///
/// All methods may block on the disk, and [`Self::commit`] may sleep while the disk catches up: do not call them on
/// the thread of an asynchronous runtime.
pub trait Storage: Send + Sync {
    /// What is committed now, unaffected by later commits. Cheap: constant time, no copy of data.
    ///
    /// A snapshot keeps what it sees from being reclaimed, and a closed directory locked: keep it no longer than needed.
    fn snapshot(&self) -> Box<dyn Snapshot>;

    /// Reads the newest committed value of one key.
    ///
    /// # Errors
    /// [`StorageError::Closed`], [`StorageError::Corrupt`] or [`StorageError::Io`].
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Applies all writes of `batch` or none. When it returns `Ok`, the writes survive the death of this process.
    /// Concurrent commits are applied one after another in some order.
    ///
    /// # Errors
    /// [`StorageError::Key`] or [`StorageError::Value`] leave the storage as it was. After any other error it is
    /// unknown whether the batch was written, and the storage is failed until it is opened again.
    fn commit(&self, batch: Batch) -> Result<(), StorageError>;

    /// Returns when everything that was committed before the call is on the platter: it survives a loss of power.
    /// Costs nothing when that is already so. Callers that arrive during a sync share the next one.
    ///
    /// # Errors
    /// After any error it is unknown what reached the platter, and the storage is failed until it is opened again.
    fn sync(&self) -> Result<(), StorageError>;

    /// Moves what is held in memory and in the journal to its final place on disk, so that the next opening is quick.
    /// Changes nothing that a reader can see.
    ///
    /// # Errors
    /// As for [`Self::sync`].
    fn flush(&self) -> Result<(), StorageError>;

    /// Writes the rows of a keyspace anew without those that were deleted and overwritten, so that they take no more room.
    /// Changes nothing that a reader can see. Costs time and, for a while, room in proportion to the size of the keyspace.
    ///
    /// `on_rows` is called some times a second where that takes longer, and may stop it, which is no error; what was
    /// written until then is removed when the storage is opened again. Closing stops it too.
    ///
    /// # Errors
    /// As for [`Self::sync`]; [`StorageError::Closed`] if it was closed meanwhile.
    fn compact(&self, keyspace: Keyspace, on_rows: &mut OnRows<'_>) -> Result<(), StorageError>;

    /// Opens a failed storage again, as after a crash, without closing this one: what was synced is there, of what was
    /// committed after that some first part, and of the commit that failed all or nothing. Does nothing if it has not
    /// failed. While the cause of the failure is there it changes nothing, and reads go on as before.
    ///
    /// # Errors
    /// Why it cannot be opened yet; [`StorageError::Busy`] while there are snapshots of before; [`StorageError::Closed`].
    fn recover(&self) -> Result<(), StorageError>;

    /// Syncs, flushes and gives the directory back. Later calls return [`StorageError::Closed`]. A second close does
    /// nothing; one that comes while another is under way waits for that one. Waits for the last [`Snapshot`] to be
    /// dropped, though not for ever: the directory can be opened again when this has returned and the last one is.
    ///
    /// # Errors
    /// The first problem met on the way; the storage is closed all the same.
    fn close(&self) -> Result<(), StorageError>;

    /// Bytes on disk; zero for a storage without one.
    ///
    /// # Errors
    /// [`StorageError::Closed`] or [`StorageError::Io`].
    fn disk_size(&self) -> Result<u64, StorageError>;

    /// Changes how many bytes of rows that were read lately are kept in memory; 0 for nothing. For a storage that keeps
    /// any: see [`CachedStorage`](crate::CachedStorage).
    fn set_cache_bytes(&self, bytes: usize) {
        let _ = bytes;
    }

    /// Bytes of one keyspace on disk, without what is only in the journal or in memory; zero for a storage without a disk.
    ///
    /// # Errors
    /// [`StorageError::Closed`].
    fn keyspace_size(&self, keyspace: Keyspace) -> Result<u64, StorageError>;

    /// Where the storage lies: the same after it was moved on its file system, another one for a copy. `None` for a
    /// storage that cannot be copied behind the back of who uses it.
    ///
    /// # Errors
    /// [`StorageError::Closed`] or [`StorageError::Io`].
    fn place(&self) -> Result<Option<Place>, StorageError>;
}

/// A consistent view of all keyspaces at one moment.
pub trait Snapshot: Send + Sync {
    /// Reads one value.
    ///
    /// # Errors
    /// [`StorageError::Closed`], [`StorageError::Corrupt`] or [`StorageError::Io`].
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// The rows whose keys lie in `range`, from the end that `direction` names.
    fn range(&self, keyspace: Keyspace, range: Range<'_>, direction: Direction) -> Entries<'_>;

    /// The rows whose keys start with `prefix`; all rows for an empty one.
    fn prefix(&self, keyspace: Keyspace, prefix: &[u8], direction: Direction) -> Entries<'_> {
        let end = prefix_end(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.range(keyspace, (Bound::Included(prefix), upper), direction)
    }
}

/// The smallest key that is greater than every key with this prefix; `None` if there is none (the prefix is empty or
/// consists of `0xff` only).
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

/// The part of `range` in which keys can lie, in bounds that every backend accepts; `None` if there is none.
///
/// Ordered maps panic on ranges that end before they start, fjall on bounds that could not be keys.
pub(crate) fn normalize(range: Range<'_>) -> Option<Range<'_>> {
    let start = match range.0 {
        Bound::Included([]) | Bound::Excluded([]) | Bound::Unbounded => Bound::Unbounded,
        // No key is longer, so none lies between the bound and its longest possible prefix.
        Bound::Included(key) | Bound::Excluded(key) if key.len() > MAX_KEY_BYTES => {
            Bound::Excluded(key.get(..MAX_KEY_BYTES)?)
        }
        bound => bound,
    };
    let end = match range.1 {
        Bound::Included([]) | Bound::Excluded([]) => return None,
        Bound::Included(key) | Bound::Excluded(key) if key.len() > MAX_KEY_BYTES => {
            Bound::Included(key.get(..MAX_KEY_BYTES)?)
        }
        bound => bound,
    };
    let empty = match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start >= end
        }
    };
    (!empty).then_some((start, end))
}

/// Whether `key` could be the key of a row. Asking for any other is allowed and finds nothing.
pub(crate) const fn is_key(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY_BYTES
}
