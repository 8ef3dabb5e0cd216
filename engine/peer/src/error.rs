//! Why a peer cannot do what it was asked.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::key_file::KeyFileError;

/// Why a peer cannot be opened or used.
#[derive(Debug, Error)]
pub enum PeerError {
    /// A configuration value cannot be used.
    #[error("the configuration is not valid: {0}")]
    Config(String),
    /// The directory cannot be created or reached.
    #[error("the directory {} cannot be used: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The peer's key cannot be read or made.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The disk storage cannot be opened: locked by another process, corrupt, no space …
    #[error(transparent)]
    Storage(#[from] ditto_storage::OpenError),
    /// The database in the directory cannot be opened.
    #[error(transparent)]
    Open(#[from] ditto_store::OpenError),
    /// A statement, a query or the store failed.
    #[error(transparent)]
    Store(#[from] ditto_store::StoreError),
    /// There is no backup.
    #[error(transparent)]
    Backup(#[from] ditto_store::BackupError),
    /// The identity cannot be made from key and authority.
    #[error(transparent)]
    Identity(#[from] ditto_mesh::IdentityError),
    /// The operating system refuses threads or timers.
    #[error("the peer's threads cannot be started: {0}")]
    Threads(#[source] io::Error),
    /// Nobody can be asked for the subscription; the text says why, and what to ask for instead.
    #[error("the subscription is not usable: {0}")]
    Subscription(String),
    /// This build cannot do it.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The peer was closed.
    #[error("the peer is closed; open it again to use it")]
    Closed,
}
