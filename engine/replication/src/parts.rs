//! Long deltas travel in parts, ahead of the message that refers to them.

use std::collections::BTreeMap;

use crate::event::Violation;
use crate::limits::{MAX_BUFFERED_BYTES, MAX_OPEN_PARTS, PART_BYTES};
use crate::message::{Body, Message, Part};

/// Cuts long deltas.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    last: u64,
}

impl Splitter {
    /// The body for `delta`, and the messages to send before the one that carries the body.
    pub(crate) fn split(&mut self, delta: Vec<u8>, send: &mut dyn FnMut(Message)) -> Body {
        if delta.len() <= PART_BYTES {
            return Body::Inline(delta);
        }
        self.last += 1;
        for bytes in delta.chunks(PART_BYTES) {
            let total = delta.len() as u64;
            send(Message::Part(Part { parts: self.last, total, bytes: bytes.to_vec() }));
        }
        Body::Parts(self.last)
    }
}

/// Puts the parts of the other side together.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    open: BTreeMap<u64, (usize, Vec<u8>)>,
    last: u64,
    bytes: usize,
}

impl Reassembly {
    pub(crate) fn receive(&mut self, part: Part) -> Result<(), Violation> {
        if part.parts > self.last {
            if self.open.len() >= MAX_OPEN_PARTS {
                return Err(Violation::Limit("open parts"));
            }
            self.last = part.parts;
            self.open.insert(part.parts, (part.total as usize, Vec::new()));
        }
        let Some((total, bytes)) = self.open.get_mut(&part.parts) else {
            return Err(Violation::Unexpected("part of something closed"));
        };
        if *total != part.total as usize || bytes.len() + part.bytes.len() > *total || part.bytes.is_empty() {
            return Err(Violation::Unexpected("part that does not fit"));
        }
        self.bytes += part.bytes.len();
        if self.bytes > MAX_BUFFERED_BYTES {
            return Err(Violation::Limit("bytes of open parts"));
        }
        bytes.extend_from_slice(&part.bytes);
        Ok(())
    }

    /// The bytes that `body` stands for.
    pub(crate) fn take(&mut self, body: Body) -> Result<Vec<u8>, Violation> {
        let parts = match body {
            Body::Inline(bytes) => return Ok(bytes),
            Body::Parts(parts) => parts,
        };
        match self.open.remove(&parts) {
            Some((total, bytes)) if bytes.len() == total => {
                self.bytes -= total;
                Ok(bytes)
            }
            _ => Err(Violation::Unexpected("reference to incomplete parts")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_together_and_only_once() -> Result<(), Violation> {
        let delta: Vec<u8> = (0..3 * PART_BYTES + 5).map(|i| i as u8).collect();
        let (mut splitter, mut reassembly, mut messages) =
            (Splitter::default(), Reassembly::default(), Vec::new());
        let body = splitter.split(delta.clone(), &mut |message| messages.push(message));
        assert_eq!(messages.len(), 4);
        for message in messages {
            let Message::Part(part) = message else { panic!("{message:?}") };
            reassembly.receive(part)?;
        }
        assert_eq!(reassembly.take(body.clone())?, delta);
        assert!(reassembly.take(body).is_err());
        assert_eq!(reassembly.bytes, 0);
        Ok(())
    }

    #[test]
    fn parts_beyond_their_length_or_number_are_refused() {
        let mut reassembly = Reassembly::default();
        let part = Part { parts: 1, total: 4, bytes: vec![1, 2, 3] };
        assert_eq!(reassembly.receive(part.clone()), Ok(()));
        assert!(reassembly.take(Body::Parts(1)).is_err(), "incomplete");
        assert!(reassembly.receive(part).is_err(), "closed by the failed take");
        for parts in 2..2 + MAX_OPEN_PARTS as u64 {
            assert_eq!(reassembly.receive(Part { parts, total: 2, bytes: vec![1] }), Ok(()));
        }
        let one_more = Part { parts: 1_000, total: 2, bytes: vec![1] };
        assert_eq!(reassembly.receive(one_more), Err(Violation::Limit("open parts")));
    }
}
