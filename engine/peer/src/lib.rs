//! One running peer: a database in a directory and, while sync is active, its connections.
//!
//! This is the crate where everything meets, and the only one with threads:
//!
//! | thread | what it does | file |
//! | --- | --- | --- |
//! | the caller's | statements: reads on a snapshot, writes one after another | |
//! | `ditto-durability` | puts commits on the platter, then says so | `durability` |
//! | `ditto-sync` | drives the replication state machine; blocks on the disk | `hub` |
//! | two workers of a runtime | sockets, TLS, time-outs, transactions that take long, observers that are polled | `ditto-transport`, `writer_watch`, `polling` |
//! | `ditto-callback`, at most 512 | observers: their results, and the application's callbacks, which may block | `callbacks` |
//! | `ditto-turn`, one as a rule | tells who waits without a thread that it is its turn to write | `callbacks` |
//! | blocking threads of that runtime | the directory's size, names of hosts | `disk_usage` |
//!
//! A local commit wakes `ditto-durability`, whose sync wakes `ditto-sync`, which may tell the peers. What a peer
//! sends arrives at `ditto-sync`, is committed, synced, and acknowledged. No lock is held across any of these steps.
#![forbid(unsafe_code)]

mod backup;
mod callbacks;
mod clock;
mod config;
mod disk_usage;
mod durability;
mod environment;
mod error;
mod forks;
mod hub;
mod key_file;
mod peer;
mod polling;
mod presence;
mod replica;
mod runtime;
mod status;
mod storage_failure;
mod subscription;
mod subscription_status;
mod system_info;
mod thread_pool;
mod transport_config;
mod writer_watch;

pub use config::{Connect, MAX_DEVICE_NAME, PeerConfig};
pub use disk_usage::{DiskUsage, DiskUsageObserver, FileSystemType};
pub use environment::SystemEnvironment;
pub use error::PeerError;
pub use key_file::KeyFileError;
pub use peer::Peer;
pub use replica::StoreReplica;
pub use subscription::Subscription;
pub use transport_config::{
    Connect as ConnectConfig, DEFAULT_RETRY_INTERVAL, Global, HttpListen, Lan, Listen, PeerToPeer, Switch,
    TcpListen, TransportConfig,
};
