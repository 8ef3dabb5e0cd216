//! What the parts of a session share: the counterpart, and what a call of the owner lends them.

use std::collections::VecDeque;

use ditto_crdt::Sequence;

use crate::capabilities::{LARGE_DOCUMENTS, PACKED_MESSAGES, SHORT_DOCUMENTS};
use crate::event::{Event, SessionId, Statistics};
use crate::known::Known;
use crate::limits::{
    ANSWER_TIMEOUT_MS, LAZY_PATIENCE_MS, MAX_DELTA_BYTES, MAX_LAZY_WAIT_MS, MAX_WAITED_DELTA_BYTES,
};
use crate::mechanisms::Mechanisms;
use crate::message::{Body, Message, Name};
use crate::outbox::Outbox;
use crate::replica::{DocumentKey, PeerId, Replica};
use crate::sizes::Sizes;
use crate::subscription::Subscriptions;

/// Lent for the length of one call.
pub(crate) struct Turn<'a> {
    pub(crate) replica: &'a mut dyn Replica,
    pub(crate) now: u64,
    /// Nothing newer may be told.
    pub(crate) durable: Sequence,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) subscriptions: &'a Subscriptions,
    /// Of all sessions.
    pub(crate) eager: EagerLinks,
    /// From which local sequence on there may be parts of transactions for whose rest other peers than the one of the session
    /// are waited for.
    pub(crate) parts_of_others: Option<Sequence>,
    /// Up to this local sequence there were parts of transactions of others, or what they lacked.
    pub(crate) torn_up_to: Sequence,
}

/// The links on which documents come without being asked for: what arrives there need not arrive elsewhere too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct EagerLinks {
    pub(crate) count: usize,
    /// When the last document came over one of them.
    pub(crate) last_received: Option<u64>,
    /// Some are bringing much: at least until then, if nothing more came.
    pub(crate) busy_until: Option<u64>,
}

impl EagerLinks {
    /// How long to wait, from `since` on, for what they may bring.
    pub(crate) fn waits_until(self, since: u64) -> u64 {
        let sign_of_life = self.last_received.unwrap_or(0).max(since);
        (sign_of_life + LAZY_PATIENCE_MS).min(since + MAX_LAZY_WAIT_MS)
    }
}

/// The other peer as all parts of a session see it: what it can do, what it is known to hold, and what is to be sent to it.
#[derive(Debug)]
pub(crate) struct Counterpart {
    pub(crate) session: SessionId,
    pub(crate) remote: PeerId,
    /// Our own.
    pub(crate) sizes: Sizes,
    pub(crate) outbox: Outbox,
    /// What the other peer said that it can do.
    capabilities: u64,
    pub(crate) known: Known,
    pub(crate) statistics: Statistics,
    /// When the last part of something long came, or of a batch, or a question or an answer to one, of which there may be many: the
    /// other peer is busy sending, and answers after that.
    pub(crate) heard: u64,
    /// Since the last call.
    pub(crate) mechanisms: Mechanisms,
}

impl Counterpart {
    pub(crate) fn new(session: SessionId, remote: PeerId, sizes: Sizes) -> Self {
        Self {
            session,
            remote,
            sizes,
            outbox: Outbox::default(),
            capabilities: 0,
            known: Known::new(sizes.known_documents),
            statistics: Statistics::default(),
            heard: 0,
            mechanisms: Mechanisms::default(),
        }
    }

    /// When the patience with the other peer ends of whom something was asked.
    pub(crate) fn patience(&self, asked: u64) -> u64 {
        asked.max(self.heard) + ANSWER_TIMEOUT_MS
    }

    /// The other peer has said what it can do.
    pub(crate) fn meet(&mut self, capabilities: u64) {
        self.capabilities = capabilities;
        self.outbox.packs = self.can(PACKED_MESSAGES);
    }

    /// What the other peer has acknowledged, it may not hold any more.
    pub(crate) fn forget_acknowledged(&mut self) {
        self.statistics.acknowledged = Sequence(0);
        self.statistics.forgotten += 1;
    }

    /// Whether the other peer can do that.
    pub(crate) fn can(&self, capability: u64) -> bool {
        self.capabilities & capability != 0
    }

    /// What a document is called in a message that may have many.
    pub(crate) fn name(&self, key: &DocumentKey) -> Name {
        if self.can(SHORT_DOCUMENTS) { Name::short(&key.id) } else { Name::plain(&key.id) }
    }

    pub(crate) fn send(&mut self, message: &Message) {
        self.outbox.push(message);
    }

    /// The longest delta that travels to the other peer.
    pub(crate) fn longest_delta(&self) -> usize {
        if self.can(LARGE_DOCUMENTS) { MAX_DELTA_BYTES } else { MAX_WAITED_DELTA_BYTES }
    }

    /// Whether a delta travels in parts, and other messages go on between them.
    pub(crate) fn is_large(&self, delta: &[u8]) -> bool {
        delta.len() > self.sizes.part_bytes && self.can(LARGE_DOCUMENTS)
    }

    /// What stands for a delta in the next message. A long one is sent ahead.
    pub(crate) fn body(&mut self, delta: Vec<u8>) -> Body {
        if delta.len() > self.sizes.part_bytes {
            Body::Parts(self.outbox.push_parts(delta, self.sizes.part_bytes))
        } else {
            Body::Inline(delta)
        }
    }

    /// Sends an answer with its body, which may be long.
    pub(crate) fn answer(&mut self, message: Message, delta: Vec<u8>) {
        if self.is_large(&delta) {
            self.outbox.push_answer(delta, message);
        } else {
            let body = self.body(delta);
            self.send(&message.with_body(body));
        }
    }

    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let bytes = self.outbox.pop(self.sizes.part_bytes)?;
        self.statistics.bytes_sent += bytes.len() as u64;
        self.statistics.messages_sent += 1;
        Some(bytes)
    }

    /// The event for a document that is too long for the other peer.
    pub(crate) fn too_large(&self, key: DocumentKey, bytes: usize) -> Event {
        let longest = self.longest_delta();
        let reason = format!(
            "{bytes} bytes, of which at most {longest} travel to that peer: make the document smaller"
        );
        self.refused(key, reason)
    }

    pub(crate) fn refused(&self, key: DocumentKey, reason: String) -> Event {
        Event::DocumentRefused { session: self.session, remote: self.remote, key, reason }
    }
}
