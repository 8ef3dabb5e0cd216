//! Puts long deltas together that arrive in parts, ahead of the message that refers to them.

use std::collections::BTreeMap;

use crate::event::Violation;
use crate::limits::{MAX_OPEN_PARTS, PART_BYTES};
use crate::message::{Body, Part};

/// Deltas of which parts have arrived, and no message that refers to them.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    open: BTreeMap<u64, (usize, Vec<u8>)>,
    last: u64,
    bytes: usize,
}

impl Reassembly {
    pub(crate) fn receive(&mut self, part: Part) -> Result<(), Violation> {
        if part.dropped {
            let Some((_, bytes)) = self.open.remove(&part.parts) else {
                return Err(Violation::Unexpected("end of parts that are not open"));
            };
            self.bytes -= bytes.len();
            return Ok(());
        }
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
        let length = bytes.len() + part.bytes.len();
        if *total != part.total as usize || length > *total || part.bytes.is_empty() {
            return Err(Violation::Unexpected("part that does not fit"));
        }
        if bytes.capacity() < length {
            // Twice what has come, but never more than is announced: memory is paid for in bytes that arrive.
            bytes.reserve_exact((*total - bytes.len()).min(length.max(PART_BYTES)));
        }
        bytes.extend_from_slice(&part.bytes);
        self.bytes += part.bytes.len();
        Ok(())
    }

    /// The bytes that `body` stands for.
    pub(crate) fn take(&mut self, body: Body) -> Result<Vec<u8>, Violation> {
        let parts = match body {
            Body::Inline(bytes) => return Ok(bytes),
            Body::Parts(parts) => parts,
        };
        let Some((total, bytes)) = self.open.remove(&parts) else {
            return Err(Violation::Unexpected("reference to parts that are not open"));
        };
        self.bytes -= bytes.len();
        if bytes.len() == total {
            Ok(bytes)
        } else {
            Err(Violation::Unexpected("reference to incomplete parts"))
        }
    }

    /// Of all deltas here.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::outbox::Outbox;

    #[test]
    fn parts_come_back_together_and_only_once() -> Result<(), Violation> {
        let delta: Vec<u8> = (0..3 * PART_BYTES + 5).map(|i| i as u8).collect();
        let (mut outbox, mut reassembly) = (Outbox::default(), Reassembly::default());
        let body = Body::Parts(outbox.push_parts(delta.clone(), PART_BYTES));
        assert_eq!(outbox.len(), 4);
        while let Some(bytes) = outbox.pop(PART_BYTES) {
            let Ok(Message::Part(part)) = Message::decode(&bytes) else { panic!("no part") };
            reassembly.receive(part)?;
        }
        assert_eq!(reassembly.bytes(), delta.len());
        assert_eq!(reassembly.take(body.clone())?, delta);
        assert!(reassembly.take(body).is_err());
        assert_eq!(reassembly.bytes(), 0);
        Ok(())
    }

    #[test]
    fn parts_beyond_their_length_or_number_are_refused() {
        let mut reassembly = Reassembly::default();
        let part = Part { parts: 1, total: 4, bytes: vec![1, 2, 3], dropped: false };
        assert_eq!(reassembly.receive(part.clone()), Ok(()));
        assert!(reassembly.take(Body::Parts(1)).is_err(), "incomplete");
        assert!(reassembly.receive(part).is_err(), "closed by the failed take");
        assert_eq!(reassembly.bytes(), 0);
        let begun = |parts| Part { parts, total: 2, bytes: vec![1], dropped: false };
        for parts in 2..2 + MAX_OPEN_PARTS as u64 {
            assert_eq!(reassembly.receive(begun(parts)), Ok(()));
        }
        assert_eq!(reassembly.receive(begun(1_000)), Err(Violation::Limit("open parts")));
    }

    #[test]
    fn parts_that_are_taken_back_cost_nothing_any_more() {
        let mut reassembly = Reassembly::default();
        let part = Part { parts: 1, total: 4, bytes: vec![1, 2, 3], dropped: false };
        assert_eq!(reassembly.receive(part.clone()), Ok(()));
        let end = Part { parts: 1, dropped: true, ..Part::default() };
        assert_eq!(reassembly.receive(end.clone()), Ok(()));
        assert_eq!(reassembly.bytes(), 0);
        assert!(reassembly.receive(end).is_err(), "only once");
        assert!(reassembly.receive(part).is_err(), "and it does not begin again");
    }

    #[test]
    fn what_is_announced_takes_no_memory_before_it_comes() {
        let mut reassembly = Reassembly::default();
        let part = Part { parts: 1, total: 64 << 20, bytes: vec![1], dropped: false };
        assert_eq!(reassembly.receive(part), Ok(()));
        assert!(reassembly.open.values().all(|(_, bytes)| bytes.capacity() <= PART_BYTES));
    }
}
