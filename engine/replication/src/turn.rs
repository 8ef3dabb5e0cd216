//! What the parts of a session share: the link to the other peer, and what a call of the owner lends them.

use std::collections::VecDeque;

use ditto_crdt::Sequence;

use crate::event::{Event, SessionId, Statistics};
use crate::known::Known;
use crate::message::{Body, Message};
use crate::parts::Splitter;
use crate::replica::{DocumentKey, PeerId, Replica};

/// Lent for the length of one call.
pub(crate) struct Turn<'a> {
    pub(crate) replica: &'a mut dyn Replica,
    pub(crate) now: u64,
    /// Nothing newer may be told.
    pub(crate) durable: Sequence,
    pub(crate) events: &'a mut VecDeque<Event>,
    /// Of all sessions.
    pub(crate) eager: EagerLinks,
}

/// The links on which documents come without being asked for: what arrives there need not arrive elsewhere too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct EagerLinks {
    pub(crate) count: usize,
    /// When the last document came over one of them.
    pub(crate) last_received: Option<u64>,
}

/// The side of a session that faces the other peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) session: SessionId,
    pub(crate) remote: PeerId,
    /// Encoded, in order.
    pub(crate) outbox: VecDeque<Vec<u8>>,
    pub(crate) outbox_bytes: usize,
    splitter: Splitter,
    pub(crate) known: Known,
    pub(crate) statistics: Statistics,
}

impl Link {
    pub(crate) fn new(session: SessionId, remote: PeerId, known: usize) -> Self {
        Self {
            session,
            remote,
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            splitter: Splitter::default(),
            known: Known::new(known),
            statistics: Statistics::default(),
        }
    }

    pub(crate) fn send(&mut self, message: &Message) {
        let bytes = message.encode();
        self.outbox_bytes += bytes.len();
        self.outbox.push_back(bytes);
    }

    /// Sends a long delta ahead; returns what stands for it in the message that follows.
    pub(crate) fn body(&mut self, delta: Vec<u8>) -> Body {
        let Self { outbox, outbox_bytes, splitter, .. } = self;
        splitter.split(delta, &mut |message| {
            let bytes = message.encode();
            *outbox_bytes += bytes.len();
            outbox.push_back(bytes);
        })
    }

    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let bytes = self.outbox.pop_front()?;
        self.outbox_bytes -= bytes.len();
        self.statistics.bytes_sent += bytes.len() as u64;
        self.statistics.messages_sent += 1;
        Some(bytes)
    }

    pub(crate) fn refused(&self, key: DocumentKey, reason: String) -> Event {
        Event::DocumentRefused { session: self.session, remote: self.remote, key, reason }
    }
}
