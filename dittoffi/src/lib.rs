//! `libdittoffi`: the database as a C library.
//!
//! This crate is a thin layer: it checks what comes from C, calls [`ditto_peer::Peer`], and hands the outcome back. The
//! conventions that every function keeps (ownership, threads, `NULL`, blocking) are stated once, in the preamble of
//! `include/dittoffi.h`, which is generated from the documentation comments here by `cargo run -p ditto-bindings`.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`mod@slice`] | borrowed bytes in, owned bytes out |
//! | [`error`] | error codes and the error handle |
//! | [`peer`] | one running peer: open, execute, sync, close |
//! | [`query_result`] | rows and mutated ids of a statement |
//! | [`transaction`] | several statements that happen together or not at all |
//! | [`observer`] | a query whose results are delivered again when they change |
//! | [`subscription`] | a query whose documents other peers send us |
//! | [`maintenance`] | verifying, copying and compacting the database; what is in its collections |
//! | [`disk_usage`] | what the directory holds, now or whenever it changes |
//! | [`callback`] | the `{context, call, release}` triple |
//! | [`logger`] | where log lines go |
//! | [`version`] | version and ABI fingerprint |
//! | [`handle`], [`mod@panic`] | reference-counted handles; no panic crosses the boundary |

#![expect(
    clippy::missing_safety_doc,
    reason = "the obligations of a C caller are the same for every function; the header states them once"
)]

pub mod callback;
mod cause;
mod config;
pub mod disk_usage;
pub mod error;
pub mod handle;
pub mod logger;
pub mod maintenance;
pub mod observer;
pub mod panic;
pub mod peer;
pub mod query_result;
pub mod slice;
mod subscriber;
pub mod subscription;
pub mod transaction;
pub mod version;
