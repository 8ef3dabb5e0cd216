//! Turns networks into authenticated, multiplexed links.
//!
//! [`Transports`] listens and dials as a [`TransportConfig`] says, and reports what happens as [`LinkEvent`]s on a bounded
//! channel. A *link* is an ordered, encrypted, mutually authenticated connection to one peer with a few independent
//! [`Channel`]s of whole messages. Of several links to one peer, only the one that carries the session is reported
//! ([`ditto_mesh::LinkTable`] decides), so for the consumer a peer has at most one link, and its `Down` comes before the
//! `Up` of the next.
//!
//! ```text
//! messages      LinkSender::try_send ──► queue per channel            LinkEvent::Message ◄── events channel
//! frames        u32 length (little endian) ‖ bytes
//! yamux         one stream per channel, flow control each, opened by the dialer, named by its first byte
//! TLS 1.3       ditto_mesh::Identity, mutual
//! bytes counted
//! TCP, duplex pipe …
//! ```
//!
//! | file | idea |
//! | --- | --- |
//! | [`config`] | what to listen on and whom to dial |
//! | [`event`] | what the consumer hears of |
//! | [`options`] | limits and timeouts |
//! | [`sender`] | the consumer's handle of a link |
//! | [`transports`] | the handle of everything: apply, shut down |
//! | `queue` | bounded outgoing messages of a channel |
//! | [`mod@frame`] | messages on a byte stream |
//! | [`wire`] | what the two ends of a link say to each other below the channels |
//! | `counted` | bytes on the socket |
//! | `mux` | streams on a connection |
//! | `establish` | from a socket to an authenticated link |
//! | `link` | a link at work, in one task |
//! | `life` | whether the other side is still there |
//! | `tcp` | what is set on a TCP connection |
//! | `registry` | the links of all peers |
//! | `listen`, `dial` | the two ways to a socket |
//! | `admission` | how many callers are served, in all and of one host |
//! | `notices` | keeps repeated complaints out of the log |
#![forbid(unsafe_code)]

mod admission;
pub mod config;
mod counted;
mod dial;
mod establish;
pub mod event;
pub mod frame;
mod life;
mod link;
mod listen;
mod mux;
mod notices;
pub mod options;
mod queue;
mod registry;
pub mod sender;
mod tcp;
pub mod transports;
pub mod wire;

pub use config::{ListenTcp, TransportConfig};
pub use ditto_mesh::{LinkId, LinkKind, PeerKey};
pub use event::{Channel, LinkDown, LinkEvent, Problem};
pub use frame::MAX_FRAME;
pub use options::Options;
pub use sender::{LinkSender, SendError, Traffic};
pub use transports::Transports;

#[cfg(test)]
mod tests;
