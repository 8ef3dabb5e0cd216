//! A copy of a peer's database in another directory, made while the peer runs.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use ditto_storage::{DiskStorage, Storage as _};
use ditto_store::{BackupError, BackupProgress, Store};

use crate::error::PeerError;

/// Where, in the directory of a peer, its documents are.
pub(crate) const STORE: &str = "store";

/// Copies the documents of one moment to `directory`, which is made if it is not there, and must be empty if it is. What
/// is left of an attempt that failed is removed.
pub(crate) fn backup(
    store: &Store,
    directory: &Path,
    on_progress: &mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
) -> Result<BackupProgress, PeerError> {
    let failed = |source| PeerError::Directory { path: directory.to_owned(), source };
    let was_there = match fs::read_dir(directory).map(|mut entries| entries.next()) {
        Ok(None) => true,
        Ok(Some(_)) => return Err(BackupError::NotEmpty.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed(error)),
    };
    ditto_storage::create_directories(directory).map_err(failed)?;
    let copied = copy(store, directory, on_progress);
    if copied.is_err() {
        // What cannot be removed is no database either.
        let _ = fs::remove_dir_all(directory.join(STORE));
        if !was_there {
            let _ = fs::remove_dir(directory);
        }
    }
    copied
}

fn copy(
    store: &Store,
    directory: &Path,
    on_progress: &mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
) -> Result<BackupProgress, PeerError> {
    let target = DiskStorage::open(directory.join(STORE))?;
    let progress = store.backup(&target, on_progress)?;
    target.close().map_err(BackupError::Target)?;
    Ok(progress)
}
