//! What the tests share. Each of them is a user: it sees the public interface only.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use dittolive_ditto::{
    dql::{IntoQuery, QueryResult},
    error::Result,
    prelude::*,
};
use futures::executor::block_on;
use serde::Serialize;

/// What should happen at once may take so long on a busy machine before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An instance in a directory of its own.
pub struct Peer {
    pub ditto: Ditto,
    pub root: TempRoot,
}

impl Peer {
    pub fn new() -> Self {
        Self::with_key(None)
    }

    pub fn with_key(private_key: Option<Vec<u8>>) -> Self {
        let root = TempRoot::new();
        Self { ditto: Ditto::open_sync(config(&root, private_key)).unwrap(), root }
    }

    pub fn try_execute<Q>(&self, query: Q) -> Result<QueryResult>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
    {
        block_on(self.ditto.store().execute(query))
    }

    pub fn execute<Q>(&self, query: Q) -> QueryResult
    where
        Q: IntoQuery,
        Q::Args: Serialize,
    {
        self.try_execute(query).unwrap()
    }

    /// The rows of a query as JSON.
    pub fn rows(&self, query: &str) -> Vec<String> {
        rows(&self.execute(query))
    }
}

pub fn config(root: &TempRoot, private_key: Option<Vec<u8>>) -> DittoConfig {
    DittoConfig::new("tests", DittoConfigConnect::SmallPeersOnly { private_key })
        .with_persistence_directory(root.root_path())
}

pub fn rows(result: &QueryResult) -> Vec<String> {
    result.iter().map(|row| row.json_string()).collect()
}

/// The next message, which must come.
pub fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => panic!("nothing came in {} s", PATIENCE.as_secs()),
        RecvTimeoutError::Disconnected => panic!("nothing can come any more"),
    })
}

/// Waits for the message that `is_wanted`.
pub fn wait_for<T>(receiver: &Receiver<T>, mut is_wanted: impl FnMut(&T) -> bool) -> T {
    loop {
        let message = next(receiver);
        if is_wanted(&message) {
            return message;
        }
    }
}
