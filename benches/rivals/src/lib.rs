//! Sync beside other document stores that replicate.
//!
//! Every peer is a process of its own, ours as well as a rival's: a program below `src/bin` or `pouchdb/peer.js` that
//! obeys the commands of [`protocol`] on its standard input. `src/main.rs` starts two of each store, gives them the same
//! documents, and measures from outside: time with its own clock, bytes with a relay between the two, memory as the
//! kernel tells it.
#![forbid(unsafe_code)]

#[path = "../../src/documents.rs"]
pub mod documents;
pub mod framed;
#[path = "../../src/measure.rs"]
pub mod measure;
pub mod protocol;
#[path = "../../src/relay.rs"]
pub mod relay;
pub mod udp;

/// What stops a peer or a workload.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
