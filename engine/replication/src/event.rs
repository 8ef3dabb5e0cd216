//! What the state machine reports to its owner.

use ditto_crdt::{RunId, Sequence};

use crate::replica::{DocumentKey, PeerId};

/// Names a session for as long as the process lives. Chosen by the owner, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Names a subscription of the application. Chosen by the owner, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub u64);

/// Something the owner may want to act on or to show.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Both sides have greeted and accepted each other.
    SessionReady {
        /// The session.
        session: SessionId,
        /// The other peer.
        remote: PeerId,
    },
    /// The session is over; the owner should close its channel. A farewell may still be in
    /// [`poll_transmit`](crate::Replicator::poll_transmit).
    SessionFailed {
        /// The session.
        session: SessionId,
        /// The other peer.
        remote: PeerId,
        /// Why.
        reason: CloseReason,
    },
    /// The other peer has seen a history of ours that this store does not have: the directory was copied or
    /// restored. The owner makes the store continue under a new site id and run, and records the claim.
    ForkDetected {
        /// The session.
        session: SessionId,
        /// The other peer.
        remote: PeerId,
        /// The run it has seen.
        run: RunId,
        /// How far.
        sequence: Sequence,
    },
    /// The subscription holds everything that the other peer had for it a moment ago, and no transaction of that in part.
    CaughtUp {
        /// The session.
        session: SessionId,
        /// The other peer.
        remote: PeerId,
        /// The subscription.
        subscription: SubscriptionId,
    },
    /// The subscription is behind by more than one batch, or the other peer is; transactions may be visible in part from now
    /// on. Nothing of that is visible before this is said.
    CatchingUp {
        /// The session.
        session: SessionId,
        /// The other peer.
        remote: PeerId,
        /// The subscription.
        subscription: SubscriptionId,
    },
    /// The other peer does not serve this subscription, or is not asked to, because it would be one more than
    /// [`MAX_INTERESTS`](crate::limits::MAX_INTERESTS) that differ. That is told once in a session, and ends with
    /// [`CaughtUp`](Self::CaughtUp) or [`CatchingUp`](Self::CatchingUp) when there is room.
    SubscriptionRefused {
        /// The session.
        session: SessionId,
        /// The other peer.
        remote: PeerId,
        /// The subscription.
        subscription: SubscriptionId,
        /// In words, at most [`MAX_REASON_BYTES`](crate::limits::MAX_REASON_BYTES), those of the other peer if it refuses.
        reason: String,
    },
    /// A document was not taken over, or cannot be sent; everything else goes on.
    DocumentRefused {
        /// The session.
        session: SessionId,
        /// The other peer.
        remote: PeerId,
        /// The document.
        key: DocumentKey,
        /// Why.
        reason: String,
    },
    /// A peer has been gone for [`LEFT_PATIENCE_MS`](crate::limits::LEFT_PATIENCE_MS), and of transactions that it was telling there
    /// may be only parts here. Nobody is told so any more, until it comes back with the rest.
    LeftInPart {
        /// That peer.
        remote: PeerId,
    },
    /// Documents that a filtered subscription asked for have changed in a way that it does not ask for them any more. They
    /// stay here; whether later changes of them come is for the other peers to decide. Deleted ones are not among them.
    DocumentsLeft {
        /// The session.
        session: SessionId,
        /// The other peer, which sent the changes.
        remote: PeerId,
        /// The subscription.
        subscription: SubscriptionId,
        /// The documents; of one commit.
        keys: Vec<DocumentKey>,
    },
    /// [`Statistics`] of the session have changed. Never queued twice in a row.
    Progress {
        /// The session.
        session: SessionId,
    },
}

/// What a session holds of what the other peer has sent, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffered {
    /// Documents that are not merged yet: in batches, in answers, and those of which only parts have come.
    pub documents: usize,
    /// Questions of either side that are not answered, and which entries of documents have yet to be sent because answers said that
    /// they are lacked.
    pub questions: usize,
    /// Both, as the session counts them as it goes on: this is compared with the limits. It may count more than there is.
    pub counted: usize,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// No protocol version in common.
    #[error("no common protocol version: we speak {ours:?}, the other peer {theirs:?}; update the older one")]
    IncompatibleVersion {
        /// Our lowest and highest.
        ours: (u64, u64),
        /// Their lowest and highest.
        theirs: (u64, u64),
    },
    /// The other peer belongs to another database.
    #[error("the other peer belongs to another database; check the database id")]
    WrongDatabase,
    /// The other peer broke the protocol.
    #[error("the other peer broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// It was decided anew what may travel: a session of before would go on by the old rules.
    #[error("the sync scopes of collections have changed; connect again")]
    ScopesChanged,
    /// The other peer has seen a history of ours that this store does not have ([`Event::ForkDetected`]). What it takes this peer to hold
    /// is of that history until the next greeting names another site.
    #[error("this database was copied or restored, and continues under a new identity; connect again")]
    Forked,
    /// All sessions together took too much memory, and this one most of it.
    #[error(
        "what is under way between this peer and all others takes too much memory, and this session has most of it; connect again later"
    )]
    Crowded,
    /// The other peer ended the session, in its words.
    #[error("the other peer ended the session: {0}")]
    Remote(String),
    /// Our store failed.
    #[error("{0}")]
    Replica(#[from] crate::replica::ReplicaError),
}

/// How a peer can break the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A message that cannot be decoded.
    #[error("malformed message: {0}")]
    Malformed(#[from] crate::wire::DecodeError),
    /// A message that may not come now.
    #[error("unexpected message: {0}")]
    Unexpected(&'static str),
    /// A limit was passed.
    #[error("limit passed: {0}")]
    Limit(&'static str),
    /// It did not answer in time.
    #[error("no answer in time: {0}")]
    Timeout(&'static str),
}

/// Counters of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Documents sent: entries of batches, answers to questions, and what those lacked.
    pub documents_sent: u64,
    /// Documents received, counted likewise.
    pub documents_received: u64,
    /// Documents that left the filter of a subscription with what was received, counted once for each filter.
    pub documents_left: u64,
    /// Bytes of messages handed out by `poll_transmit`.
    pub bytes_sent: u64,
    /// Bytes of messages received.
    pub bytes_received: u64,
    /// Messages handed out.
    pub messages_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Questions asked because a version did not match.
    pub questions_asked: u64,
    /// Position in the other's history up to which everything of all interests is applied here.
    /// 0 from when one is added until a batch serves it as well.
    pub remote_position: Sequence,
    /// Local sequence up to which the other peer holds, durably, everything that it subscribed to when it said so. Falls only
    /// with `forgotten`.
    pub acknowledged: Sequence,
    /// How often what the other peer had acknowledged, in this session or before it, became void: it has evicted documents,
    /// was restored from an image, or writes under another identity.
    pub forgotten: u64,
    /// When the last batch from the other peer was applied, in milliseconds of the owner's clock.
    pub last_update_received_ms: Option<u64>,
    /// Whether some interest of ours is still behind, or has not heard of the other peer yet: transactions may be visible in
    /// part.
    pub catching_up: bool,
    /// Whether the other peer was asked to announce documents instead of sending them: others bring the same.
    pub lazy: bool,
}
