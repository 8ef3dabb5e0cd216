//! Secondary indexes: rows of the keyspace `indexes` that lead from the values of some fields to the documents.
//!
//! | module | what |
//! | --- | --- |
//! | `definition` | what the catalog says of an index |
//! | `entry` | the row of a document, and the parts of a row |
//! | `upkeep` | rows written with every commit |
//! | `pending` | rows of a write transaction that is not committed yet |
//! | `build` | CREATE INDEX, DROP INDEX, and what a crash left undone |
//!
//! Every living document has exactly one row in each index of its collection, missing fields included. The rows show
//! the documents as a reader without definitions sees them.
//!
//! While an index is built, commits already keep its rows up to date, for documents on both sides of the build's
//! position; so the build needs nothing but to come by every document once, as it is then. Queries use an index only
//! once it is ready, see [`Index::is_ready`].

mod build;
mod definition;
mod entry;
mod pending;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use ditto_dql::IndexKey;
use parking_lot::{Mutex, RwLock};

pub(crate) use self::build::{
    Unfinished, create, drop_index, needs_writer_to_create, needs_writer_to_drop, resume,
};
pub(crate) use self::definition::{Definition, State};
pub(crate) use self::entry::{MAX_INDEXED_BYTES, is_marked};
pub(crate) use self::pending::PendingRows;
pub(crate) use self::upkeep::{Upkeep, change};
use crate::layout::{CollectionId, IndexId};

/// Most indexes that a collection can have.
pub const MAX_INDEXES: usize = 64;

/// Most fields that an index can have.
pub const MAX_INDEX_KEYS: usize = 16;

/// An index in memory.
pub(crate) struct Index {
    pub id: IndexId,
    pub collection: CollectionId,
    pub name: Arc<str>,
    /// Never empty.
    pub keys: Vec<IndexKey>,
    state: AtomicU8,
    /// Documents that the build has come by.
    indexed: AtomicU64,
    /// How far the build is. Locked by the writer, until the next writer may read it.
    position: Mutex<Position>,
}

/// How far a build is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Documents that it has come by.
    pub indexed: u64,
    /// Encoded `_id` of the last of them; empty if there is none.
    pub after: Vec<u8>,
}

impl Index {
    pub(crate) fn new(id: IndexId, definition: Definition) -> Self {
        let Definition { collection, name, keys, state, position } = definition;
        Self {
            id,
            collection,
            name,
            keys,
            state: AtomicU8::new(state as u8),
            indexed: AtomicU64::new(position.indexed),
            position: Mutex::new(position),
        }
    }

    /// What the catalog is to say.
    fn definition(&self, state: State, position: &Position) -> Definition {
        Definition {
            collection: self.collection,
            name: Arc::clone(&self.name),
            keys: self.keys.clone(),
            state,
            position: position.clone(),
        }
    }

    pub(crate) fn state(&self) -> State {
        State::from_code(self.state.load(Ordering::SeqCst)).unwrap_or(State::Dropped)
    }

    fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::SeqCst);
    }

    /// Takes note of a piece of the build. An index that was dropped meanwhile stays so.
    fn built(&self, position: &Position, is_complete: bool) {
        self.indexed.store(position.indexed, Ordering::Relaxed);
        if is_complete {
            let (from, to) = (State::Building as u8, State::Ready as u8);
            let _ = self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Whether it has the rows of all documents. If it says so after a snapshot was taken, it has them in that
    /// snapshot, unless the snapshot is older than the question and the index younger: see [`Definition::is_ready_in`].
    pub(crate) fn is_ready(&self) -> bool {
        self.state() == State::Ready
    }

    /// Documents that the build has come by.
    pub(crate) fn indexed(&self) -> u64 {
        self.indexed.load(Ordering::Relaxed)
    }
}

/// The indexes of a collection, in the order of their creation.
pub(crate) struct IndexList(RwLock<Arc<[Arc<Index>]>>);

impl Default for IndexList {
    fn default() -> Self {
        Self(RwLock::new(Arc::new([])))
    }
}

impl IndexList {
    /// All that are kept up to date, ready or not.
    pub(crate) fn all(&self) -> Arc<[Arc<Index>]> {
        Arc::clone(&self.0.read())
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Index>> {
        self.0.read().iter().find(|index| &*index.name == name).cloned()
    }

    pub(crate) fn add(&self, index: Arc<Index>) {
        let mut list = self.0.write();
        *list = list.iter().cloned().chain([index]).collect();
    }

    /// Ends the use of all of them; the catalog is not concerned.
    pub(crate) fn abandon(&self) {
        self.0.read().iter().for_each(|index| index.set_state(State::Dropped));
    }

    fn remove(&self, id: IndexId) {
        let mut list = self.0.write();
        *list = list.iter().filter(|index| index.id != id).cloned().collect();
    }
}

/// Why an index could not be created or dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// CREATE INDEX without IF NOT EXISTS.
    #[error(
        "`{collection}` has an index named `{name}`: drop it first, choose another name, or say IF NOT EXISTS"
    )]
    Exists {
        /// The collection.
        collection: String,
        /// The index.
        name: String,
    },
    /// DROP INDEX without IF EXISTS.
    #[error("`{collection}` has no index named `{name}`: system:indexes lists those that there are")]
    Unknown {
        /// The collection.
        collection: String,
        /// The index.
        name: String,
    },
    /// Two keys of the index are the same field.
    #[error("the field `{path}` is given twice")]
    RepeatedKey {
        /// The field.
        path: String,
    },
    /// The index has too many fields, or one of them too many names.
    #[error("an index takes at most {MAX_INDEX_KEYS} fields of at most {} names", ditto_value::MAX_DEPTH)]
    TooManyKeys,
    /// The collection has too many indexes.
    #[error("`{collection}` has {MAX_INDEXES} indexes already: drop one first")]
    TooManyIndexes {
        /// The collection.
        collection: String,
    },
    /// The index is there, but somebody else has been writing for so long that the statement did not wait for its build.
    #[error(
        "the index `{name}` cannot be used yet: {holder} has been writing for {held_ms} ms, and this gave up after \
         {waited_ms} ms of waiting; it is built in the background, and system:indexes says when it is ready"
    )]
    BuiltLater {
        /// The index.
        name: String,
        /// Who writes.
        holder: String,
        /// For how long, in milliseconds.
        held_ms: u64,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// Somebody dropped the index while it was built.
    #[error("the index `{name}` was dropped while it was built")]
    DroppedMeanwhile {
        /// The index.
        name: String,
    },
}
