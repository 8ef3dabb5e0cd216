//! Which position may be told.
//!
//! The change log has one row a document: its newest change. While a document has changed again and that is not durable yet,
//! the row of the durable change before is gone, and the walk does not meet it. A loss of power would bring it back. So a
//! position is *firm*, and may be told, when everything is durable that was there as the rows before it were read: what
//! has replaced a row by then is met later, and cannot be lost any more. Where no row is missing, nothing was replaced, and the
//! position is firm at once.

use std::collections::VecDeque;

use ditto_crdt::Sequence;

/// The newest firm position, and those that will be.
#[derive(Debug, Default)]
pub(super) struct Firm {
    position: Sequence,
    /// Positions with what has to be durable first: the oldest, so that one gets there however much is written, and the
    /// newest.
    ripening: VecDeque<(Sequence, Sequence)>,
}

impl Firm {
    /// The walk goes on from here; only what was firm before, or was told by the other peer itself, is firm.
    pub(super) fn restart(&mut self, position: Sequence) {
        *self = Self { position, ripening: VecDeque::new() };
    }

    /// The walk has come to `position`; `last` was the newest sequence when its rows had been read.
    pub(super) fn reach(&mut self, position: Sequence, last: Sequence, durable: Sequence) {
        self.ripening.truncate(1);
        self.ripening.push_back((position, last));
        self.ripen(durable);
    }

    /// The walk has come from `start` to `position`, has met a row for each sequence between, and told all of them as they
    /// are.
    pub(super) fn pass(&mut self, start: Sequence, position: Sequence) {
        if self.position == start {
            self.restart(position);
        }
    }

    /// Everything up to `durable` cannot be lost any more.
    pub(super) fn ripen(&mut self, durable: Sequence) {
        while let Some((position, _)) = self.ripening.front().filter(|(_, last)| *last <= durable) {
            self.position = *position;
            self.ripening.pop_front();
        }
    }

    /// The newest firm position.
    pub(super) fn position(&self) -> Sequence {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(firm: &mut Firm, position: u64, last: u64, durable: u64) -> u64 {
        firm.reach(Sequence(position), Sequence(last), Sequence(durable));
        firm.position().0
    }

    #[test]
    fn a_position_is_firm_at_once_if_everything_is_durable() {
        let mut firm = Firm::default();
        assert_eq!(reach(&mut firm, 7, 7, 7), 7);
        assert_eq!(reach(&mut firm, 9, 10, 10), 9);
    }

    #[test]
    fn otherwise_it_is_when_what_was_there_is_durable() {
        let mut firm = Firm::default();
        assert_eq!(reach(&mut firm, 7, 9, 7), 0);
        assert_eq!(reach(&mut firm, 8, 12, 8), 0);
        assert_eq!(reach(&mut firm, 10, 14, 9), 7, "the oldest is not put off by newer ones");
        firm.ripen(Sequence(13));
        assert_eq!(firm.position(), Sequence(7));
        firm.ripen(Sequence(14));
        assert_eq!(firm.position(), Sequence(10));
    }

    #[test]
    fn what_follows_a_firm_position_without_a_gap_is_firm_at_once() {
        let mut firm = Firm::default();
        firm.pass(Sequence(0), Sequence(3));
        assert_eq!(firm.position(), Sequence(3));
        reach(&mut firm, 7, 9, 7);
        firm.pass(Sequence(7), Sequence(8));
        assert_eq!(firm.position(), Sequence(3), "what it follows is not");
        firm.ripen(Sequence(9));
        firm.pass(Sequence(7), Sequence(8));
        assert_eq!(firm.position(), Sequence(8));
    }

    #[test]
    fn a_walk_that_begins_again_has_no_firm_position_to_come() {
        let mut firm = Firm::default();
        reach(&mut firm, 7, 9, 7);
        firm.restart(Sequence(2));
        firm.ripen(Sequence(20));
        assert_eq!(firm.position(), Sequence(2));
    }
}
