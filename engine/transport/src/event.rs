//! What the consumer hears of.

use std::fmt;
use std::io;
use std::time::Duration;

use ditto_mesh::{LinkId, LinkKind, PeerKey, Refusal};

use crate::LinkSender;

/// What happens to links, in order. For each link: one `Up`, then `Message`s and `Writable`s, then one `Down`; for each
/// peer, the `Down` of a link comes before the `Up` of the next.
///
/// Events travel on a bounded channel that the consumer chose. When it is full, links stop reading from their sockets, so
/// a busy consumer slows the other side down and no message is lost. Up to a megabyte per message waits in the channel: a
/// capacity of some dozens is plenty.
#[derive(Debug)]
pub enum LinkEvent {
    /// A link to a peer is there and carries its session.
    Up {
        /// Names the link in later events.
        link: LinkId,
        /// Whom it leads to, proven.
        peer: PeerKey,
        /// The transport.
        kind: LinkKind,
        /// Whether this side dialled.
        dialed: bool,
        /// The other side's address, as far as the transport has one.
        address: String,
        /// Sends messages, counts bytes, closes the link.
        outgoing: LinkSender,
    },
    /// A message arrived. Messages of one channel arrive in the order in which they were sent.
    Message {
        /// The link.
        link: LinkId,
        /// The channel.
        channel: Channel,
        /// The message.
        bytes: Vec<u8>,
    },
    /// After [`SendError::Full`](crate::SendError::Full): at least half of the channel's queue is free again.
    Writable {
        /// The link.
        link: LinkId,
        /// The channel.
        channel: Channel,
    },
    /// The link is gone. Messages still in its queues were not sent.
    Down {
        /// The link.
        link: LinkId,
        /// Why.
        reason: LinkDown,
    },
    /// Something is wrong that a person should know of. Repetitions are held back, and when the consumer is behind,
    /// problems are dropped; the log has them all the same.
    Problem(Problem),
}

/// An independent flow of messages on a link: a full one does not hold up the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Small messages that must not wait.
    Control,
    /// Documents.
    Replication,
}

impl Channel {
    /// All channels.
    pub const ALL: [Self; 2] = [Self::Control, Self::Replication];
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Replication => "replication",
        })
    }
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkDown {
    /// The other side said goodbye.
    #[error("closed by the other side: {0}")]
    ByPeer(String),
    /// The other side is gone without a word.
    #[error("the connection ended without a goodbye: {0}")]
    Lost(String),
    /// Nothing came from the other side for a while, not even an answer to a ping.
    #[error("the other side has been silent and does not answer")]
    Silent,
    /// The other side stopped taking what we send.
    #[error("the other side has read nothing of the {channel} channel for {} s", .after.as_secs())]
    Stalled {
        /// The channel.
        channel: Channel,
        /// For how long.
        after: Duration,
    },
    /// A message longer than [`MAX_FRAME`](crate::MAX_FRAME) was announced.
    #[error(
        "protocol violation: a message of {length} bytes on the {channel} channel, at most {} are allowed",
        crate::MAX_FRAME
    )]
    FrameTooLong {
        /// The channel.
        channel: Channel,
        /// The announced length in bytes.
        length: u32,
    },
    /// The other side broke the protocol in another way.
    #[error("protocol violation: {0}")]
    Violation(String),
    /// Another link to the same peer carries the session now.
    #[error("another link to this peer took over")]
    Superseded,
    /// The address is no longer among those to connect to.
    #[error("removed from the configuration")]
    TargetRemoved,
    /// The consumer closed it, for this reason.
    #[error("closed: {0}")]
    Closed(String),
    /// All transports shut down.
    #[error("shutting down")]
    Shutdown,
}

/// Something that a person should know of. The text says what was found and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The listen address is none.
    #[error(
        "cannot listen on {interface:?}: the interface of the TCP listener has to be an IP address such as 0.0.0.0, 127.0.0.1 or [::]"
    )]
    InvalidListenAddress {
        /// What was configured.
        interface: String,
    },
    /// The listen address is not to be had.
    #[error("cannot listen on {address}: {}", explain(*.kind, .cause))]
    ListenFailed {
        /// The address as configured.
        address: String,
        /// The kind of failure; `AddrInUse` for a port in use.
        kind: io::ErrorKind,
        /// What the operating system says.
        cause: String,
    },
    /// An entry of the connect list is none.
    #[error(
        "cannot connect to {target:?}: a TCP server to connect to is host:port, such as example.com:4040 or [::1]:4040"
    )]
    InvalidTarget {
        /// The entry.
        target: String,
    },
    /// A host has too many handshakes under way. Further connections from it are closed at once.
    #[error(
        "{host} has {limit} handshakes under way, which is the most of one host; its further connections are turned away"
    )]
    TooManyHandshakes {
        /// The address or network.
        host: String,
        /// [`Options::half_open_per_host`](crate::Options::half_open_per_host).
        limit: usize,
    },
    /// As many connections are accepted as may be. Further ones are closed at once.
    #[error("{limit} connections are accepted, which is the most; further peers are turned away")]
    TooManyConnections {
        /// [`Options::accepted`](crate::Options::accepted).
        limit: usize,
    },
    /// A peer could not be reached. It is tried again.
    #[error("cannot reach {target}, trying again: {cause}")]
    Unreachable {
        /// The entry of the connect list.
        target: String,
        /// What went wrong last.
        cause: String,
    },
    /// A handshake was refused: the two peers cannot connect as they are configured. Dialled ones are tried again.
    #[error("{}{address}: {refusal}{}", if *.dialed { "dialled " } else { "called by " }, times(*.repeated))]
    Refused {
        /// The entry of the connect list, or where the other side called from.
        address: String,
        /// Whether this side dialled.
        dialed: bool,
        /// Why, and by which side.
        refusal: Refusal,
        /// How often the same happened since it was last reported.
        repeated: u64,
    },
}

fn explain(kind: io::ErrorKind, cause: &str) -> String {
    match kind {
        io::ErrorKind::AddrInUse => {
            format!("the port is in use by another program or peer; choose another one ({cause})")
        }
        io::ErrorKind::AddrNotAvailable => format!("this machine has no such address ({cause})"),
        io::ErrorKind::PermissionDenied => {
            format!("not permitted; ports below 1024 need privileges ({cause})")
        }
        _ => cause.to_owned(),
    }
}

fn times(repeated: u64) -> String {
    if repeated == 0 { String::new() } else { format!(" (and {repeated} more times since)") }
}
