//! Which commits are on the platter, and one storage sync for everybody who waits for it.

use std::sync::Arc;

use ditto_crdt::Sequence;
use ditto_storage::{Storage, StorageError};
use parking_lot::{Condvar, Mutex};

use crate::error::OpenError;

/// When a mutating statement returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When its commit survives the death of the process; the platter has it after the next [`crate::Store::sync`].
    #[default]
    Eventual,
    /// When its commit survives a loss of power. Concurrent writers share one sync.
    Immediate,
}

/// A moment in the history of commits: how many there were and the last sequence then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Commits of any kind so far in this process, also those without a sequence (checkpoints).
    pub commits: u64,
    /// The last sequence.
    pub last: Sequence,
    /// How often the storage was recovered before.
    recoveries: u64,
}

#[derive(Default)]
struct State {
    committed: Mark,
    durable: Mark,
    syncing: bool,
    /// A recovery is under way, or was given up halfway: what of the commits is left, and in `committed` with it, nobody knows yet.
    recovering: bool,
    /// Why the last sync, or the last recovery, failed.
    failure: Option<StorageError>,
}

impl State {
    /// Fails if a recovery may have lost what was committed up to `mark`.
    fn check(&self, mark: Mark) -> Result<(), StorageError> {
        if self.committed.recoveries == mark.recoveries { self.check_recovered() } else { Err(self.failed()) }
    }

    fn check_recovered(&self) -> Result<(), StorageError> {
        if self.recovering { Err(self.failed()) } else { Ok(()) }
    }

    fn failed(&self) -> StorageError {
        StorageError::Failed { cause: Arc::new(self.failure.clone().unwrap_or(StorageError::Busy)) }
    }
}

/// Tracks commits and syncs.
pub(crate) struct Platter {
    state: Mutex<State>,
    synced: Condvar,
}

impl Platter {
    /// Everything up to `last` was read from disk at open. It is durable as soon as a first sync succeeds:
    /// after a crash of the process alone it may still be on its way.
    pub(crate) fn new(last: Sequence) -> Self {
        let state = State { committed: Mark { commits: 1, last, recoveries: 0 }, ..State::default() };
        Self { state: Mutex::new(state), synced: Condvar::new() }
    }

    /// Called by the writer after each commit.
    pub(crate) fn committed(&self, last: Sequence) -> Mark {
        let mut state = self.state.lock();
        state.committed.commits += 1;
        state.committed.last = last;
        state.committed
    }

    /// Calls `recover`, which recovers the storage and answers with the last sequence that is there, durable by then.
    /// Whoever waits for a sync meanwhile fails: what was committed before may not be there, and a sync succeeds all the
    /// same. If `recover` fails, the recovery goes on until another one has not, although the storage may work by then.
    pub(crate) fn recover(
        &self,
        recover: impl FnOnce() -> Result<Sequence, OpenError>,
    ) -> Result<(), OpenError> {
        self.state.lock().recovering = true;
        let recovered = recover();
        let mut state = self.state.lock();
        state.committed.recoveries += 1;
        match &recovered {
            Ok(last) => {
                state.recovering = false;
                state.committed.commits += 1;
                state.committed.last = *last;
                state.durable = state.committed;
            }
            Err(OpenError::Storage(error)) => state.failure = Some(error.root().clone()),
            Err(error) => state.failure = Some(StorageError::Corrupt { detail: error.to_string().into() }),
        }
        self.synced.notify_all();
        recovered.map(drop)
    }

    /// Fails if a recovery may have lost what was committed up to `mark`.
    pub(crate) fn check(&self, mark: Mark) -> Result<(), StorageError> {
        self.state.lock().check(mark)
    }

    /// Fails if a recovery has begun and is not done: what is in memory may not be what is stored.
    pub(crate) fn check_recovered(&self) -> Result<(), StorageError> {
        self.state.lock().check_recovered()
    }

    /// What is committed now.
    pub(crate) fn newest(&self) -> Mark {
        self.state.lock().committed
    }

    /// The last sequence that is on the platter.
    pub(crate) fn durable(&self) -> Sequence {
        self.state.lock().durable.last
    }

    /// Returns when everything up to `mark` is on the platter. One caller syncs, the others that arrive
    /// meanwhile wait for it or for the next one.
    pub(crate) fn wait(&self, storage: &dyn Storage, mark: Mark) -> Result<Sequence, StorageError> {
        let mut state = self.state.lock();
        loop {
            state.check(mark)?;
            if state.durable.commits >= mark.commits {
                return Ok(state.durable.last);
            }
            if !state.syncing {
                break;
            }
            self.synced.wait(&mut state);
        }
        state.syncing = true;
        let target = state.committed;
        drop(state);
        let leader = Leader(self);
        let result = storage.sync();
        drop(leader);
        let mut state = self.state.lock();
        if let Err(error) = result {
            state.failure = Some(error.clone());
            return Err(error);
        }
        // It may be the recovered storage that had nothing to sync.
        state.check(mark)?;
        if target.commits > state.durable.commits {
            state.durable = target;
        }
        self.synced.notify_all();
        Ok(state.durable.last)
    }
}

/// Ends the leadership of a sync whatever happens, so that the next waiter tries (and sees the error) itself.
struct Leader<'a>(&'a Platter);

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.0.state.lock().syncing = false;
        self.0.synced.notify_all();
    }
}
