//! Looking after a database: [`Store::verify`], [`Store::backup`], [`Store::compact`], [`Store::collection_statistics`].
//!
//! All of it works while others read and write, and blocks the thread that calls it until it is done, which may take
//! minutes: inside an async runtime, run it where blocking is allowed (`spawn_blocking`). It tells a closure how far it is,
//! and ends when that breaks, or when the instance is closed.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use dittolive_ditto::{prelude::*, store::maintenance::Progress};
//!
//! # let root = TempRoot::new();
//! # let config = DittoConfig::new("my-garden", DittoConfigConnect::SmallPeersOnly { private_key: None })
//! #     .with_persistence_directory(root.root_path().join("garden"));
//! # let ditto = Ditto::open_sync(config)?;
//! # let backup = root.root_path().join("backup");
//! let show = |progress: Progress| {
//!     println!("{:.0} %", 100.0 * progress.fraction());
//!     ControlFlow::Continue(())
//! };
//! let report = ditto.store().verify(show)?;
//! assert!(report.is_consistent(), "{:?}", report.inconsistencies);
//! ditto.store().backup(&backup, show)?;
//! ditto.store().compact(show)?;
//! # Ok::<_, DittoError>(())
//! ```

use std::{fmt, ops::ControlFlow, path::Path};

use serde::{Deserialize, Serialize};

use super::Store;
use crate::error::DittoError;

/// How far long work is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is to do in all, never less than `done`. It may be an estimate, and grow.
    pub total: u64,
}

impl Progress {
    /// The part that is done, from 0 to 1; 1 where there is nothing to do.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody sees the difference")]
    pub fn fraction(&self) -> f64 {
        if self.total == 0 { 1.0 } else { self.done as f64 / self.total as f64 }
    }
}

/// What [`Store::verify`] found.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct VerifyReport {
    /// Living documents.
    pub documents: u64,
    /// Deleted documents that are remembered.
    pub tombstones: u64,
    /// Deleted documents of which only a trace is left.
    pub graves: u64,
    /// Reports of lost writes, the rows of `system:conflicts`.
    pub conflicts: u64,
    /// Rows of the log of changes.
    pub changes: u64,
    /// Rows of all indexes.
    pub index_rows: u64,
    /// How many inconsistencies there are.
    pub inconsistent: u64,
    /// The first hundred of them.
    pub inconsistencies: Vec<Inconsistency>,
}

impl VerifyReport {
    /// Whether all is well.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.inconsistent == 0
    }
}

/// Something that is stored twice and differs, or cannot be read.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Inconsistency {
    /// Where it is.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Inconsistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// What [`Store::backup`] copied.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BackupReport {
    /// Documents, deleted ones that are remembered among them.
    pub documents: u64,
    /// Bytes of rows.
    pub bytes: u64,
    /// The newest commit in the copy; see [`QueryResult::commit_id`](crate::dql::QueryResult::commit_id).
    pub commit_id: u64,
}

/// What [`Store::compact`] came to, in bytes of the files with the documents.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CompactReport {
    /// Before.
    pub bytes_before: u64,
    /// Afterwards.
    pub bytes_after: u64,
}

/// What is known of a collection without reading it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CollectionStatistics {
    /// Its name.
    pub name: String,
    /// Living documents.
    pub documents: u64,
    /// Deleted documents of which only a trace is left.
    pub graves: u64,
    /// Indexes, ready or being built.
    pub indexes: u64,
    /// Documents of it were evicted so often.
    pub evictions: u64,
}

impl Store {
    /// Reads every row of the database, and compares what is stored twice: documents and the log of changes, documents and
    /// indexes, counters and what they count, checksums and bytes. What is wrong is in the report. `on_progress` gets rows,
    /// every thousand of them.
    ///
    /// A database with damaged files can still be read where it is well; to repair it, open a [backup](Self::backup), or
    /// let a new directory sync.
    ///
    /// # Errors
    /// - `CoreApi(Cancelled)`: `on_progress` ended it.
    /// - `ReleasedDittoInstance`: the instance is closed, or was closed meanwhile.
    /// - those of the storage, see [`execute`](Self::execute).
    pub fn verify(
        &self,
        mut on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<VerifyReport, DittoError> {
        let report = self.instance.peer.verify(&mut watcher(&mut on_progress))?;
        Ok(serde_json::from_slice(&report)?)
    }

    /// Copies the database as it is at one moment to `directory`, which must be empty, or is made; a relative one is below
    /// the current directory. When this returns the copy is on the platter. An instance that is opened there has the
    /// documents of that moment and a key of its own, and syncs with this one as any other does. `on_progress` gets
    /// documents, once for each mebibyte. What an attempt that failed has left is removed.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use dittolive_ditto::prelude::*;
    ///
    /// # let root = TempRoot::new();
    /// # let garden = DittoConfig::new("my-garden", DittoConfigConnect::SmallPeersOnly { private_key: None })
    /// #     .with_persistence_directory(root.root_path().join("garden"));
    /// # let backup = root.root_path().join("backup");
    /// # let ditto = Ditto::open_sync(garden.clone())?;
    /// # futures::executor::block_on(ditto.store().execute("INSERT INTO plants DOCUMENTS ({'name': 'Basil'})"))?;
    /// let report = ditto.store().backup(&backup, |_| ControlFlow::Continue(()))?;
    /// assert_eq!(report.documents, 1);
    ///
    /// let restored = Ditto::open_sync(garden.with_persistence_directory(&backup))?;
    /// # let plants = futures::executor::block_on(restored.store().execute("SELECT * FROM plants"))?;
    /// # assert_eq!(plants.item_count(), 1);
    /// # Ok::<_, DittoError>(())
    /// ```
    ///
    /// # Errors
    /// - `CoreApi(IoAlreadyExists)`: there is something in the directory.
    /// - `CoreApi(StoreDiskFull)`, `CoreApi(IoPermissionDenied)` and others: the copy cannot be written, or the
    ///   database not be read.
    /// - `CoreApi(Cancelled)`: `on_progress` ended it.
    /// - `ReleasedDittoInstance`: the instance is closed, or was closed meanwhile.
    pub fn backup(
        &self,
        directory: impl AsRef<Path>,
        mut on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<BackupReport, DittoError> {
        let report = self.instance.peer.backup(directory.as_ref(), &mut watcher(&mut on_progress))?;
        Ok(serde_json::from_slice(&report)?)
    }

    /// Gives back the room that deleted and overwritten documents take. The database does so by itself in the long run;
    /// this does it now, and costs time, and room for a while, in proportion to the size of the database. `on_progress`
    /// gets bytes of files, some times a second. Ended before its time it keeps what it has done.
    ///
    /// # Errors
    /// - `CoreApi(Cancelled)`: `on_progress` ended it.
    /// - `ReleasedDittoInstance`: the instance is closed, or was closed meanwhile.
    /// - those of the storage, see [`execute`](Self::execute).
    pub fn compact(
        &self,
        mut on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<CompactReport, DittoError> {
        let report = self.instance.peer.compact(&mut watcher(&mut on_progress))?;
        Ok(serde_json::from_slice(&report)?)
    }

    /// What is in each collection that was ever written to, by name. Costs next to nothing: nothing is read.
    ///
    /// ```
    /// # use dittolive_ditto::prelude::*;
    /// # let root = TempRoot::new();
    /// # let config = DittoConfig::new("my-garden", DittoConfigConnect::SmallPeersOnly { private_key: None })
    /// #     .with_persistence_directory(root.root_path());
    /// # let ditto = Ditto::open_sync(config)?;
    /// # futures::executor::block_on(ditto.store().execute("INSERT INTO plants DOCUMENTS ({'name': 'Basil'})"))?;
    /// for collection in ditto.store().collection_statistics()? {
    ///     println!("{}: {} documents", collection.name, collection.documents);
    /// #   assert_eq!((&*collection.name, collection.documents), ("plants", 1));
    /// }
    /// # Ok::<_, DittoError>(())
    /// ```
    ///
    /// # Errors
    /// None at present.
    pub fn collection_statistics(&self) -> Result<Vec<CollectionStatistics>, DittoError> {
        Ok(serde_json::from_slice(&self.instance.peer.collections()?)?)
    }
}

/// `on_progress` as the library calls it.
fn watcher(on_progress: &mut impl FnMut(Progress) -> ControlFlow<()>) -> impl FnMut(u64, u64) -> bool {
    |done, total| on_progress(Progress { done, total }).is_continue()
}
