//! Identity, certificates, and which link carries the session to a peer. No I/O, no clock that can be set.
//!
//! | file | idea |
//! | --- | --- |
//! | [`peer_key`] | the public key that names a peer everywhere |
//! | [`authority`] | who may take part: a database id, with or without a shared key, as a signing key |
//! | [`identity`] | a peer's key pair, its certificate, and the TLS configurations made from them |
//! | `verifier` | judges the other side's certificate during the handshake |
//! | `tickets` | what both sides remember of a handshake, so that the next one is shorter |
//! | [`refusal`] | why a handshake was refused, on the refusing and on the refused side |
//! | [`link_table`] | which of several links between two peers carries their session |
//! | [`backoff`] | how long to wait before dialling again |
//!
//! Every peer of a database derives the same [`Authority`] from what the application was configured with, and signs its
//! own leaf certificate with it. So there is nothing to exchange and no order in which peers must start: whoever holds
//! the same database id (and shared key) is a member. The TLS 1.3 handshake then proves both membership (the leaf is
//! signed by our authority) and the peer key (the handshake is signed by the leaf's key).
#![forbid(unsafe_code)]

pub mod authority;
pub mod backoff;
pub mod identity;
pub mod link_table;
pub mod peer_key;
pub mod refusal;
mod tickets;
mod verifier;

pub use authority::{Authority, Mechanism};
pub use backoff::Backoff;
pub use identity::{Identity, IdentityError, Instance, Remote};
pub use link_table::{Link, LinkId, LinkKind, LinkTable, Redundant, Verdict};
pub use peer_key::{InvalidPeerKey, PeerKey};
pub use refusal::{HandshakeRefused, Refusal, RefusedBy};
