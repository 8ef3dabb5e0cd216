//! Puts long deltas together that arrive in parts, ahead of the message that refers to them.
//!
//! What has come when the session ends is kept (`left_parts`), and the next session with the same peer goes on there: else a
//! document that takes longer than any session lasts would never arrive.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Violation;
use crate::limits::{MAX_OPEN_PARTS, PART_BYTES};
use crate::message::{Begun, Body, Part};

/// Deltas of which parts have arrived, and no message that refers to them.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    open: BTreeMap<u64, Open>,
    last: u64,
    bytes: usize,
    /// Of earlier sessions, as the other peer was told; kept until it goes on with them, or says that it does not.
    begun: Vec<Beginning>,
}

/// A delta of which parts have arrived.
#[derive(Debug)]
struct Open {
    /// Its digest, if the other peer says it.
    whole: Option<u128>,
    total: usize,
    bytes: Vec<u8>,
}

/// What has arrived of a delta whose session has ended.
#[derive(Debug, PartialEq)]
pub(crate) struct Beginning {
    whole: u128,
    total: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Reassembly {
    /// Goes on where earlier sessions with the same peer ended.
    pub(crate) fn new(begun: Vec<Beginning>) -> Self {
        Self { begun, ..Self::default() }
    }

    /// What the other peer is told of earlier sessions.
    pub(crate) fn begun(&self) -> Vec<Begun> {
        let told =
            |beginning: &Beginning| Begun { whole: beginning.whole, bytes: beginning.bytes.len() as u64 };
        self.begun.iter().map(told).collect()
    }

    /// What is left for a later session, the longest first; one of each digest.
    pub(crate) fn end(self) -> Vec<Beginning> {
        let open = self.open.into_values().filter(|open| !open.bytes.is_empty());
        let open =
            open.filter_map(|Open { whole, total, bytes }| Some(Beginning { whole: whole?, total, bytes }));
        let mut all: Vec<Beginning> = open.chain(self.begun).collect();
        all.sort_by_key(|beginning| std::cmp::Reverse(beginning.bytes.len()));
        let mut seen = BTreeSet::new();
        all.retain(|beginning| seen.insert(beginning.whole));
        all.truncate(MAX_OPEN_PARTS);
        // They are counted by their bytes.
        all.iter_mut().for_each(|beginning| beginning.bytes.shrink_to_fit());
        all
    }

    pub(crate) fn receive(&mut self, part: Part) -> Result<(), Violation> {
        if part.dropped {
            let is_gone = match part.whole {
                Some(whole) if part.parts == 0 => self.take_begun(whole).is_some(),
                _ => {
                    let gone = self.open.remove(&part.parts);
                    self.bytes -= gone.as_ref().map_or(0, |open| open.bytes.len());
                    gone.is_some()
                }
            };
            return if is_gone {
                Ok(())
            } else {
                Err(Violation::Unexpected("end of parts that are not open"))
            };
        }
        if part.parts > self.last {
            if self.open.len() >= MAX_OPEN_PARTS {
                return Err(Violation::Limit("open parts"));
            }
            self.last = part.parts;
            let begun = self.begin(&part)?;
            self.bytes += begun.bytes.len();
            self.open.insert(part.parts, begun);
        }
        let Some(Open { total, bytes, .. }) = self.open.get_mut(&part.parts) else {
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

    fn begin(&mut self, first: &Part) -> Result<Open, Violation> {
        let (whole, total) = (first.whole, first.total as usize);
        if first.after == 0 {
            return Ok(Open { whole, total, bytes: Vec::new() });
        }
        let begun = whole.and_then(|whole| self.take_begun(whole));
        let fits = |begun: &Beginning| begun.total == total && begun.bytes.len() as u64 >= first.after;
        let Some(Beginning { mut bytes, .. }) = begun.filter(fits) else {
            return Err(Violation::Unexpected("part that goes on with what is not here"));
        };
        bytes.truncate(first.after as usize);
        bytes.shrink_to_fit();
        Ok(Open { whole, total, bytes })
    }

    fn take_begun(&mut self, whole: u128) -> Option<Beginning> {
        let index = self.begun.iter().position(|beginning| beginning.whole == whole)?;
        Some(self.begun.swap_remove(index))
    }

    /// The bytes that `body` stands for.
    pub(crate) fn take(&mut self, body: Body) -> Result<Vec<u8>, Violation> {
        let parts = match body {
            Body::Inline(bytes) => return Ok(bytes),
            Body::Parts(parts) => parts,
        };
        let Some(Open { total, bytes, .. }) = self.open.remove(&parts) else {
            return Err(Violation::Unexpected("reference to parts that are not open"));
        };
        self.bytes -= bytes.len();
        if bytes.len() == total {
            Ok(bytes)
        } else {
            Err(Violation::Unexpected("reference to incomplete parts"))
        }
    }

    /// Counts anew what [`Self::bytes`] says.
    pub(crate) fn open_bytes(&self) -> usize {
        self.open.values().map(|open| open.bytes.len()).sum()
    }

    /// Of all deltas here, and what is left of earlier sessions.
    pub(crate) fn memory(&self) -> usize {
        self.bytes + self.begun.iter().map(|begun| begun.bytes.len()).sum::<usize>()
    }

    /// Of all deltas here, without what is left of earlier sessions.
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
        let part = Part { parts: 1, total: 4, bytes: vec![1, 2, 3], ..Part::default() };
        assert_eq!(reassembly.receive(part.clone()), Ok(()));
        assert!(reassembly.take(Body::Parts(1)).is_err(), "incomplete");
        assert!(reassembly.receive(part).is_err(), "closed by the failed take");
        assert_eq!(reassembly.bytes(), 0);
        let begun = |parts| Part { parts, total: 2, bytes: vec![1], ..Part::default() };
        for parts in 2..2 + MAX_OPEN_PARTS as u64 {
            assert_eq!(reassembly.receive(begun(parts)), Ok(()));
        }
        assert_eq!(reassembly.receive(begun(1_000)), Err(Violation::Limit("open parts")));
    }

    #[test]
    fn parts_that_are_taken_back_cost_nothing_any_more() {
        let mut reassembly = Reassembly::default();
        let part = Part { parts: 1, total: 4, bytes: vec![1, 2, 3], ..Part::default() };
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
        let part = Part { parts: 1, total: 64 << 20, bytes: vec![1], ..Part::default() };
        assert_eq!(reassembly.receive(part), Ok(()));
        assert!(reassembly.open.values().all(|open| open.bytes.capacity() <= PART_BYTES));
    }

    /// Two parts of a delta of four, in a session that ends then.
    fn interrupted() -> (Vec<u8>, Vec<Beginning>) {
        let delta: Vec<u8> = (0..4 * PART_BYTES).map(|i| (i / 7) as u8).collect();
        let (mut outbox, mut reassembly) = (Outbox::default(), Reassembly::default());
        outbox.push_documents([delta.clone()].into_iter());
        for _ in 0..2 {
            assert_eq!(reassembly.receive(next(&mut outbox)), Ok(()));
        }
        (delta, reassembly.end())
    }

    fn next(outbox: &mut Outbox) -> Part {
        match outbox.pop(PART_BYTES).map(|bytes| Message::decode(&bytes)) {
            Some(Ok(Message::Part(part))) => part,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn another_session_goes_on_where_one_ended() -> Result<(), Violation> {
        let (delta, begun) = interrupted();
        let (mut outbox, mut reassembly) = (Outbox::default(), Reassembly::new(begun));
        outbox.resume(&reassembly.begun());
        outbox.push_documents([vec![3; PART_BYTES + 1], delta.clone()].into_iter());
        assert_eq!(outbox.all_bytes(), PART_BYTES + 1 + 2 * PART_BYTES);
        for _ in 0..4 {
            reassembly.receive(next(&mut outbox))?;
        }
        assert!(outbox.is_empty());
        outbox.forget_begun();
        assert!(outbox.is_empty(), "it is used");
        assert_eq!(reassembly.take(Body::Parts(1))?, vec![3; PART_BYTES + 1]);
        assert_eq!(reassembly.take(Body::Parts(2))?, delta);
        assert_eq!((reassembly.bytes(), reassembly.begun()), (0, Vec::new()));
        Ok(())
    }

    #[test]
    fn what_all_parts_came_of_needs_one_byte_more() -> Result<(), Violation> {
        let delta = vec![7; 2 * PART_BYTES];
        let (mut outbox, mut reassembly) = (Outbox::default(), Reassembly::default());
        outbox.push_answer(delta.clone(), Message::Rest(crate::message::Rest::default()));
        reassembly.receive(next(&mut outbox))?;
        reassembly.receive(next(&mut outbox))?;
        let (mut outbox, mut reassembly) = (Outbox::default(), Reassembly::new(reassembly.end()));
        outbox.resume(&reassembly.begun());
        outbox.push_answer(delta.clone(), Message::Rest(crate::message::Rest::default()));
        assert_eq!(outbox.answer_bytes(), 1);
        let last = next(&mut outbox);
        assert_eq!((last.bytes.len(), last.after), (1, 2 * PART_BYTES as u64 - 1));
        reassembly.receive(last)?;
        assert_eq!(reassembly.take(Body::Parts(1))?, delta);
        assert_eq!(outbox.answer_bytes(), 0);
        Ok(())
    }

    #[test]
    fn what_was_begun_is_kept_until_it_is_of_no_use() -> Result<(), Violation> {
        let (delta, begun) = interrupted();
        let mut reassembly = Reassembly::new(begun);
        let kept = reassembly.begun();
        // It is not sent in this session, and is there in the next.
        let mut reassembly = Reassembly::new(std::mem::take(&mut reassembly).end());
        assert_eq!(reassembly.begun(), kept);
        let mut outbox = Outbox::default();
        outbox.resume(&kept);
        outbox.push_documents([delta].into_iter());
        outbox.drop_documents();
        outbox.forget_begun();
        reassembly.receive(next(&mut outbox))?;
        assert!(outbox.is_empty());
        assert_eq!(reassembly.begun(), Vec::new());
        Ok(())
    }

    #[test]
    fn parts_that_go_on_with_what_is_not_there_are_refused() {
        let (delta, begun) = interrupted();
        let whole = begun.first().map(|beginning| beginning.whole);
        let total = delta.len() as u64;
        let first = Part { parts: 1, total, bytes: vec![1], whole, after: 1, dropped: false };
        let short = Part { total: total - 1, ..first.clone() };
        let beyond = Part { after: 2 * PART_BYTES as u64 + 1, ..first.clone() };
        let other = Part { whole: whole.map(|whole| whole ^ 1), ..first.clone() };
        let nameless = Part { whole: None, ..first.clone() };
        let nothing = Part { parts: 0, dropped: true, whole: Some(1), ..Part::default() };
        for part in [short, beyond, other, nameless, nothing] {
            let mut reassembly = Reassembly::new(interrupted().1);
            assert!(reassembly.receive(part.clone()).is_err(), "{part:?}");
        }
        let mut reassembly = Reassembly::new(begun);
        assert_eq!(reassembly.receive(first), Ok(()));
        assert_eq!(reassembly.bytes(), 2, "only what it goes on after");
        let left = reassembly.end();
        assert!(left.iter().all(|beginning| beginning.bytes.capacity() == 2), "and no more memory");
    }

    #[test]
    fn of_what_was_begun_twice_the_longer_one_is_kept() {
        let mut reassembly = Reassembly::default();
        for (parts, length) in [(1, 2), (2, 3), (3, 1)] {
            let part = Part { parts, total: 9, bytes: vec![5; length], whole: Some(1), ..Part::default() };
            assert_eq!(reassembly.receive(part), Ok(()));
        }
        assert_eq!(reassembly.end(), [Beginning { whole: 1, total: 9, bytes: vec![5; 3] }]);
    }
}
