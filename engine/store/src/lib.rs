//! The document store: collections, DQL execution, the changes feed, observers.
//!
//! [`Store`] is the way in. It stands on three crates: `ditto-storage` keeps ordered keys, `ditto-crdt` knows
//! what a document is and how two of them merge, `ditto-dql` turns text into checked statements. What is left
//! for this one:
//!
//! | module | what |
//! | --- | --- |
//! | [`layout`](FORMAT_VERSION) | which keys and rows lie in which keyspace (`docs/file-format.md`) |
//! | `catalog` | opening: format version, database id, site id, runs, collections |
//! | `index` | secondary indexes: their rows, and how they come and go |
//! | `write` | the one write transaction: documents read and changed by it, and how it commits |
//! | `durability` | which commits are on the platter, and one sync for all who wait |
//! | `execute` | statements: planner, operators, mutations, EXPLAIN, SHOW |
//! | `transaction` | transactions of several statements |
//! | `feed` | commit notifications, in commit order, under no lock |
//! | `observer` | live queries |
//! | `lifecycle` | what becomes of deleted documents, lost writes and evictions; housekeeping |
//! | `replica`, `merge` | the store as replication sees it: changes, deltas, checkpoints; and the way in |
//! | `verify` | consistency of everything that is stored twice |
//! | `backup` | a copy of one moment, while others write |
//! | `compact` | giving back the room of what was deleted |
//! | `recovery` | going on after the storage has failed |
//!
//! ```
//! use std::sync::Arc;
//!
//! use ditto_storage::MemoryStorage;
//! use ditto_store::{Environment, Executor, Store, StoreOptions};
//! use ditto_value::Object;
//!
//! struct Threads;
//! impl Executor for Threads {
//!     fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
//!         std::thread::spawn(job);
//!     }
//! }
//! struct Fixed;
//! impl Environment for Fixed {
//!     fn now_ms(&self) -> u64 {
//!         1_800_000_000_000
//!     }
//!     fn random_u64(&self) -> u64 {
//!         4
//!     }
//! }
//!
//! let options = StoreOptions::new("a database id", Arc::new(Threads));
//! let store = Store::open(Arc::new(MemoryStorage::new()), Arc::new(Fixed), options)?;
//! let none = Object::new();
//! store.execute("INSERT INTO plants DOCUMENTS ({'_id': 'p1', 'name': 'fern'})", &none)?;
//! let result = store.execute("SELECT name FROM plants WHERE _id = 'p1'", &none)?;
//! assert_eq!(result.rows[0].value().to_json(), r#"{"name":"fern"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here spawns a thread, reads a clock or draws randomness: see [`Environment`] and [`Executor`].
#![forbid(unsafe_code)]

mod backup;
mod catalog;
mod compact;
mod durability;
mod environment;
mod error;
mod execute;
mod feed;
mod index;
mod layout;
mod lifecycle;
mod merge;
mod observer;
mod parameters;
mod pending;
mod recovery;
pub mod replica;
mod result;
mod scopes;
mod statements;
mod store;
mod transaction;
mod verify;
mod virtual_collections;
mod write;
mod writer;

pub use backup::{BackupError, BackupProgress};
pub use catalog::{MAX_RUNS, is_copy};
pub use compact::{CompactProgress, Compacted};
pub use durability::Durability;
pub use environment::{Environment, Executor};
pub use error::{DataError, OpenError, ParameterError, ParameterProblem, StoreError};
pub use feed::{ChangedDocument, Commit, CommitSubscription};
pub use index::{IndexError, MAX_INDEX_KEYS, MAX_INDEXES};
pub use layout::{DocumentKey, FORMAT_VERSION, MAX_COLLECTION_NAME_BYTES, MAX_ID_BYTES};
pub use lifecycle::conflicts::{
    MAX_CONFLICT_BYTES, MAX_CONFLICT_FIELDS, MAX_CONFLICT_VALUE_BYTES, MAX_CONFLICTS,
};
pub use lifecycle::holdings::{
    Acknowledged, Greeting, KnownPeer, MAX_REMEMBERED_INTEREST_BYTES, MAX_REMEMBERED_INTERESTS, Sent,
    ServedInterest,
};
pub use lifecycle::reaper::{MAX_REPLICATION_ROWS, MAX_SEEN_RUNS, Reaped};
pub use lifecycle::skew::{ClockSkew, FutureWrite};
pub use observer::{Observer, SignalNext};
pub use replica::{
    Applied, Change, Checkpoint, Excerpt, Incoming, IncomingDocument, Interest, Matcher, Outcome, Refused,
    Replica, Seen, StoredDocument,
};
pub use result::{QueryResult, Row};
pub use scopes::SyncScope;
pub use store::{CollectionStatistics, Run, Store, StoreOptions, WeakStore};
pub use transaction::{MAX_HINT_BYTES, Transaction, TransactionInfo, TransactionKind, TransactionOptions};
pub use verify::{Inconsistency, Verified, VerifyProgress};
