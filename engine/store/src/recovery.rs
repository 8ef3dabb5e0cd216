//! Going on after the storage has failed, without opening the store again.
//!
//! A failed write or sync is treated as a crash: what is on disk is known only after the storage was opened again. So
//! everything in memory that repeats a part of it is read anew, a new run begins, and what was open meanwhile is told
//! that it failed. **Whoever adds something to [`Inner`] that repeats what is stored has to bring it up to date here.**

use std::sync::atomic::Ordering;

use ditto_storage::StorageError;

use crate::catalog;
use crate::error::{OpenError, StoreError};
use crate::index::{self, Unfinished};
use crate::scopes;
use crate::store::{Inner, Store, StoreOptions};
use crate::writer::{Holder, Writer};

/// Recovers the storage, and the store with it; does nothing if it has not failed. If the storage goes on and the store cannot be
/// read anew, nothing is written either: the next call goes on.
pub(crate) fn recover(store: &Store) -> Result<(), OpenError> {
    let inner = &store.inner;
    if inner.check_open().is_err() {
        return Err(StorageError::Closed.into());
    }
    let works = inner.storage.sync().and_then(|()| inner.platter.check_recovered());
    let Err(failure) = works else { return Ok(()) };
    // They have read what may be gone, and a snapshot holds on to the failed storage.
    inner.transactions.abort(&StoreError::Storage(failure));
    let turn = inner.writer.take(Holder::Maintenance("a recovery"));
    let mut writer = turn.map_err(|_| OpenError::Storage(StorageError::Busy))?;
    let recovered = recover_with(inner, &mut writer);
    let mark = inner.platter.newest();
    inner.give_back(writer);
    index::resume(inner, recovered?, mark);
    inner.observers.reread_all(inner);
    inner.feed.signal();
    Ok(())
}

/// Answers with what has to go on.
fn recover_with(inner: &Inner, writer: &mut Writer) -> Result<Vec<Unfinished>, OpenError> {
    let mut unfinished = Vec::new();
    inner.platter.recover(|| {
        unfinished = read_anew(inner, writer)?;
        Ok(writer.last)
    })?;
    Ok(unfinished)
}

/// Brings everything up to date that repeats a part of what is stored.
fn read_anew(inner: &Inner, writer: &mut Writer) -> Result<Vec<Unfinished>, OpenError> {
    inner.storage.recover()?;
    let options = StoreOptions::new(&*inner.database_id, std::sync::Arc::clone(&inner.executor));
    let catalog = catalog::open(&*inner.storage, &*inner.environment, &options)?;
    *inner.identity.write() = catalog.identity;
    inner.collections.replace(catalog.collections);
    inner.holdings.replace(catalog.holdings);
    // Of a change that was written and failed, nobody knows until now whether it is there.
    if let Err(error) = inner.parameters.set(scopes::PARAMETER, Some(catalog.scopes.value())) {
        tracing::error!(%error, "the sync scopes that are stored cannot be set");
    }
    inner.names.forget();
    inner.conflicts.forget();
    // The age that is in memory is right, or greater.
    *writer = catalog.writer;
    inner.last.store(writer.last.0, Ordering::Release);
    inner.announced.store(writer.last.0, Ordering::Release);
    inner.next_index.store(catalog.next_index.0, Ordering::Relaxed);
    Ok(catalog.unfinished)
}
