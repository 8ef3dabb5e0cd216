//! The consumer's handle of a link.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use ditto_mesh::{LinkId, PeerKey};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::counted::Counters;
use crate::event::{Channel, LinkDown};
use crate::queue::Queue;

/// Sends messages on a link, counts its bytes, closes it. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct LinkSender {
    shared: Arc<LinkShared>,
}

pub(crate) struct LinkShared {
    pub(crate) id: LinkId,
    pub(crate) peer: PeerKey,
    pub(crate) counters: Arc<Counters>,
    pub(crate) control: Queue,
    pub(crate) replication: Queue,
    /// Asks for a sign of life now.
    pub(crate) probe: Notify,
    /// Why the link is to be closed, once somebody wants that.
    closing: OnceLock<LinkDown>,
    pub(crate) close: CancellationToken,
    /// The link's `Down` has been delivered, or there is none to deliver.
    pub(crate) ended: CancellationToken,
}

/// Why a message was not taken, with the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The channel's queue is full; [`LinkEvent::Writable`](crate::LinkEvent::Writable) tells when to go on.
    #[error("the link's queue is full; wait for LinkEvent::Writable")]
    Full(Vec<u8>),
    /// The link is down.
    #[error("the link is down")]
    Closed(Vec<u8>),
    /// The message is longer than [`MAX_FRAME`](crate::MAX_FRAME).
    #[error("a message of {} bytes is longer than the {} allowed", .0.len(), crate::MAX_FRAME)]
    TooLong(Vec<u8>),
}

/// Real bytes on the socket of a link, encryption and handshake included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

impl LinkSender {
    pub(crate) fn new(id: LinkId, peer: PeerKey, counters: Arc<Counters>, queue_bytes: usize) -> Self {
        Self {
            shared: Arc::new(LinkShared {
                id,
                peer,
                counters,
                control: Queue::new(queue_bytes),
                replication: Queue::new(queue_bytes),
                probe: Notify::new(),
                closing: OnceLock::new(),
                close: CancellationToken::new(),
                ended: CancellationToken::new(),
            }),
        }
    }

    /// Queues a message; O(1), never waits. A message that was taken is sent unless the link goes down.
    pub fn try_send(&self, channel: Channel, message: Vec<u8>) -> Result<(), SendError> {
        self.try_send_with_next(channel, message)?;
        self.release(channel);
        Ok(())
    }

    /// As [`try_send`](Self::try_send), for a message after which others may follow in no time: a short one may wait for
    /// [`release`](Self::release), so that they leave together.
    pub fn try_send_with_next(&self, channel: Channel, message: Vec<u8>) -> Result<(), SendError> {
        self.shared.queue(channel).push(message)
    }

    /// Nothing follows for now: what waits is sent.
    pub fn release(&self, channel: Channel) {
        self.shared.queue(channel).release();
    }

    /// The link.
    pub fn link(&self) -> LinkId {
        self.shared.id
    }

    /// Whom it leads to.
    pub fn peer(&self) -> PeerKey {
        self.shared.peer
    }

    /// Bytes so far; still readable when the link is down.
    pub fn traffic(&self) -> Traffic {
        self.shared.counters.traffic()
    }

    /// How long nothing has come from the other side, signs of life included; how long ago the last of it came if the link is
    /// down.
    pub fn silence(&self) -> Duration {
        self.shared.counters.heard().elapsed()
    }

    /// Closes the link; the other side is told why. [`LinkEvent::Down`](crate::LinkEvent::Down) follows. A dialled peer
    /// is dialled again after a while.
    pub fn close(&self, reason: impl Into<String>) {
        self.shared.close(LinkDown::Closed(reason.into()));
    }

    pub(crate) fn shared(&self) -> &Arc<LinkShared> {
        &self.shared
    }
}

impl LinkShared {
    pub(crate) fn queue(&self, channel: Channel) -> &Queue {
        match channel {
            Channel::Control => &self.control,
            Channel::Replication => &self.replication,
        }
    }

    /// The first reason counts.
    pub(crate) fn close(&self, reason: LinkDown) {
        let _ = self.closing.set(reason);
        self.close.cancel();
    }

    /// Waits until somebody wants the link closed.
    pub(crate) async fn closing(&self) -> LinkDown {
        self.close.cancelled().await;
        self.closing.get().cloned().unwrap_or(LinkDown::Shutdown)
    }
}

impl fmt::Debug for LinkSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSender")
            .field("link", &self.shared.id)
            .field("peer", &self.shared.peer)
            .field("traffic", &self.traffic())
            .finish_non_exhaustive()
    }
}
