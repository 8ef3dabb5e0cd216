//! What is to be sent on one session, in order and in its byte form.

use std::collections::VecDeque;

use crate::message::{Message, pack};

/// Messages that the channel has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The other peer reads packed messages.
    pub(crate) packs: bool,
}

impl Outbox {
    pub(crate) fn push(&mut self, message: &Message) {
        let bytes = message.encode();
        let bytes = if self.packs { pack(bytes) } else { bytes };
        self.bytes += bytes.len();
        self.messages.push_back(bytes);
    }

    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let bytes = self.messages.pop_front()?;
        self.bytes -= bytes.len();
        Some(bytes)
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many messages.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many bytes, as they are sent.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
