//! Ordered key-value storage below the store: byte keys in a fixed set of [`Keyspace`]s, atomic
//! [`Batch`]es across them, consistent [`Snapshot`]s, ranges in both directions, and an explicit
//! [`Storage::sync`] that puts everything committed before it on the platter.
//!
//! | backend | for |
//! | --- | --- |
//! | [`DiskStorage`] | a directory, over the log-structured tree of `fjall` |
//! | [`MemoryStorage`] | in-memory peers and tests; ordered maps that share structure between snapshots |
//! | [`CachedStorage`] | any of them, with the documents read lately in memory |
//! | [`FaultyStorage`] | simulations: a memory storage whose "disk" fails, fills up, and forgets on power loss |
//!
//! All of them pass one conformance suite, so what holds for one holds for the others:
//!
//! * A commit is all or nothing over every keyspace it touches, and is visible to every snapshot taken after it
//!   returns, to none taken before.
//! * A commit that returned survives the death of the process; one that was followed by a [`Storage::sync`] that
//!   returned survives the loss of power. What survives is always a prefix of the commits, in their order.
//! * After a failed write the storage is *failed*: it accepts no further write until it is opened again or recovered
//!   ([`Storage::recover`]), because what a failed write left behind is known only then. Damaged files and a missing
//!   directory, whoever finds them, count as one. Reads go on where the backend can serve them.
//!
//! ```
//! use ditto_storage::{Batch, Direction, Keyspace, MemoryStorage, Snapshot, Storage};
//!
//! let storage = MemoryStorage::new();
//! let mut batch = Batch::new();
//! batch.put(Keyspace::Documents, b"a", b"1");
//! batch.put(Keyspace::Changes, b"\x01", b"a");
//! storage.commit(batch)?;
//!
//! let snapshot = storage.snapshot();
//! let first = snapshot.prefix(Keyspace::Documents, b"a", Direction::Forward).next();
//! assert_eq!(first.transpose()?.map(|(_, value)| value.to_vec()), Some(b"1".to_vec()));
//! # Ok::<(), ditto_storage::StorageError>(())
//! ```
#![forbid(unsafe_code)]

mod batch;
mod bytes;
mod cached;
mod close;
mod compaction;
mod create;
mod database;
mod directory;
mod disk;
mod error;
mod faulty;
mod gone;
mod idle;
mod keyspace;
mod manifest;
mod memory;
mod place;
mod storage;

pub use batch::{Batch, Operation};
pub use bytes::Bytes;
pub use cached::{CachedStorage, DEFAULT_CACHE_BYTES};
pub use close::CloseOnce;
pub use create::create_directories;
pub use disk::{DiskOptions, DiskStorage};
pub use error::{OpenError, StorageError, is_disk_full};
pub use faulty::{FaultyStorage, Loss};
pub use keyspace::Keyspace;
pub use memory::MemoryStorage;
pub use place::Place;
pub use storage::{
    Direction, Entries, MAX_KEY_BYTES, MAX_VALUE_BYTES, OnRows, Range, Snapshot, Storage, prefix_end,
};
