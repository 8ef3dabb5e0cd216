//! The sync protocol as a state machine without clock, socket, task or thread.
//!
//! A [`Replicator`] holds all *sessions* of one peer. On each session the peer is *publisher* (it walks its change
//! log and tells what the other side subscribes to) and *subscriber* (it applies what it is told) at once.
//! The store is seen only through the [`Replica`] trait, which also says what the store must guarantee.
//!
//! Where to look: the messages and their bytes in `message` and [`wire`], how they are queued and packed in `outbox`; who sends them when in `publisher`,
//! `subscriber` and `questions`; every bound in [`limits`], and what a peer may choose below
//! them in [`Sizes`]; the whole, for those who write a compatible peer,
//! in `docs/protocol.md`.
//!
//! What makes it right, whatever happens to the channel:
//!
//! * Only durable state is told or acknowledged, so nobody can hold what its author has forgotten.
//! * What a peer holds is compared by content ([`ditto_crdt::Version`]). Everything remembered about the other side
//!   only saves bytes.
//! * Positions are recorded in the commit that makes them true.
#![forbid(unsafe_code)]

mod capabilities;
mod event;
mod known;
mod leaving;
mod left_parts;
pub mod limits;
mod mechanisms;
mod message;
mod outbox;
mod parts;
mod publisher;
mod questions;
mod reconciliation;
mod replica;
mod replicator;
mod session;
mod sizes;
mod subscriber;
mod subscription;
mod turn;
pub mod wire;

pub use event::{Buffered, CloseReason, Event, SessionId, Statistics, SubscriptionId, Violation};
pub use mechanisms::Mechanisms;
pub use replica::{
    Acknowledged, Applied, Change, Checkpoint, DocumentKey, Excerpt, Greeting, Held, Incoming,
    IncomingDocument, Interest, Outcome, PeerId, Refused, Replica, ReplicaError, Seen, Sent, ServedInterest,
    Stored,
};
pub use replicator::{LocalPeer, Replicator};
pub use sizes::Sizes;
pub use subscription::check_lengths;
