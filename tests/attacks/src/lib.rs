//! What decoders and state machines must bear from strangers and from damaged disks.
//!
//! Each function takes any bytes and panics when something does not hold. `fuzz/` drives them with libFuzzer; the test
//! of this crate replays `fuzz/corpus/` and seeded mutations of it, so that every `cargo test` profits.
//!
//! | target | the bytes are | what must hold beside "no panic" |
//! | --- | --- | --- |
//! | `binary` | a value in the binary form | one encoding; JSON, CBOR and keys read back |
//! | `cbor` | a CBOR item | the tree and the transcoder agree; what is written reads back |
//! | `json` | a JSON text | what is written reads back |
//! | `key` | keys, one after another | one encoding; their order is that of the values |
//! | `delta` | two deltas | one encoding; merging is commutative and idempotent; records hold them |
//! | `record` | a stored record | whatever can be read of it can be written and read again |
//! | `session` | what a peer says, with honest messages between | the store stays consistent; honest peers are never refused |
//! | `dql` | a statement | its text reads back; the store stays consistent |
//! | `rows` | damage to the rows of a database | errors, not panics |
//! | `frames` | what comes off a socket, and a key file | what is written reads back |
//! | `abi` | the CBOR and JSON arguments of the C functions | an error handle at worst |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target panics when something does not hold"
)]

mod abi;
mod database;
mod delta;
mod dql;
mod frames;
mod input;
mod mutation;
mod record;
mod rows;
mod seeds;
mod session;
mod value;

pub use abi::abi;
pub use delta::delta;
pub use dql::dql;
pub use frames::frames;
pub use mutation::Mutator;
pub use record::record;
pub use rows::rows;
pub use seeds::seeds;
pub use session::session;
pub use value::{binary, cbor, json, key};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 11] = [
    ("binary", binary),
    ("cbor", cbor),
    ("json", json),
    ("key", key),
    ("delta", delta),
    ("record", record),
    ("session", session),
    ("dql", dql),
    ("rows", rows),
    ("frames", frames),
    ("abi", abi),
];
