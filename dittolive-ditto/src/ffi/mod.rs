//! The one place where the C library is called: `libdittoffi` as safe Rust.
//!
//! One file per handle. A handle is a `NonNull` that its wrapper frees on drop; text and bytes go in as borrowed
//! slices and come back as [`Buffer`]s. Callbacks go in as a boxed closure behind a `context` pointer: the trampoline
//! borrows it, the `release` function, which the library calls exactly once, drops it. Panics of the application stop
//! in the trampoline, because they must not unwind into C.
//!
//! Nothing outside this module is `unsafe`, and nothing in its interface can be used wrongly.

mod bytes;
mod disk_usage;
mod error;
mod logger;
mod maintenance;
mod observer;
mod outcome;
mod peer;
mod query_result;
mod subscription;
mod trampoline;
mod transaction;
mod version;

pub(crate) use self::{
    bytes::Buffer,
    disk_usage::DiskUsageObserver,
    observer::{Observer, Signal},
    peer::{Peer, path_to_cbor},
    query_result::QueryResult,
    subscription::Subscription,
    transaction::Transaction,
    version::check_library,
};

/// The logger of the process.
pub(crate) mod log {
    pub(crate) use super::logger::{
        clear_callback, is_enabled, log, minimum_level, set_callback, set_enabled, set_minimum_level,
    };
}
