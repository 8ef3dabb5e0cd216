//! What is told before it is its turn.
//!
//! While the walk has a long way to go, a change that is committed meanwhile does not wait for all that is before it: it is
//! sent in a batch that leaves the position where it is. So no checkpoint passes what was not told. What was told in this
//! way is remembered as ranges of sequences; the walk jumps over them when it arrives there.
//!
//! Of more new changes than make one batch the newest come first, and a gap is left to the walk. The two take turns, so that
//! however much is written, the walk gets half of what the other peer takes.

use std::collections::VecDeque;

use ditto_crdt::Sequence;

use crate::limits::{LIVE_ROWS, MAX_RANGES_AHEAD};

/// Told ranges beyond the position of a walk.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// After the first sequence and up to the second one everything is told. Ascending, with gaps between them, all of it
    /// after the position.
    told: VecDeque<(Sequence, Sequence)>,
    /// What is not newer is told, or left to the walk.
    live: Sequence,
    /// The next turn is the walk's.
    walk_next: bool,
}

impl Ahead {
    /// A walk begins; what is committed from now on is new.
    pub(super) fn begin(&mut self, durable: Sequence) {
        *self = Self { live: durable, ..Self::default() };
    }

    /// The walk passes by everything again: what was told was for other interests. What is new still is.
    pub(super) fn forget(&mut self) {
        *self = Self { live: self.live, ..Self::default() };
    }

    /// After which sequence the new changes are to be told now, up to the durable one; `None` if it is the walk's turn.
    /// `end_of_commit` says with which sequence a commit ends.
    pub(super) fn turn<E>(
        &mut self,
        position: Sequence,
        durable: Sequence,
        end_of_commit: impl FnOnce(Sequence) -> Result<Sequence, E>,
    ) -> Result<Option<Sequence>, E> {
        let walk_next = std::mem::take(&mut self.walk_next);
        self.live = self.live.max(position);
        let is_close = durable.0.saturating_sub(position.0) <= LIVE_ROWS;
        if walk_next || is_close || durable <= self.live {
            return Ok(None);
        }
        if durable.0 - self.live.0 > LIVE_ROWS && self.told.len() < MAX_RANGES_AHEAD {
            // Not in the middle of a commit.
            let newest = Sequence(durable.0 - LIVE_ROWS);
            self.live = end_of_commit(newest)?.min(durable);
        }
        self.walk_next = self.live < durable;
        Ok(self.walk_next.then_some(self.live))
    }

    /// Everything after the first sequence and up to the second one is told.
    pub(super) fn tell(&mut self, after: Sequence, up_to: Sequence) {
        match self.told.back_mut() {
            Some((_, end)) if *end == after => *end = up_to,
            _ => self.told.push_back((after, up_to)),
        }
        self.live = up_to;
    }

    /// How far the walk has to go until it meets what is told.
    pub(super) fn next(&self, durable: Sequence) -> Sequence {
        self.told.front().map_or(durable, |(start, _)| *start)
    }

    /// Where the walk is when it has come to `end` and jumped over what it met.
    pub(super) fn beyond(&self, end: Sequence) -> Sequence {
        match self.told.front() {
            Some((start, beyond)) if *start <= end => *beyond,
            _ => end,
        }
    }

    /// The walk has come to `position`.
    pub(super) fn passed(&mut self, position: Sequence) {
        while self.told.front().is_some_and(|(_, end)| *end <= position) {
            self.told.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn turn(ahead: &mut Ahead, position: u64, durable: u64) -> Option<u64> {
        let commits_of_ten =
            |Sequence(sequence)| Ok::<_, Infallible>(Sequence(sequence.next_multiple_of(10)));
        let Ok(turn) = ahead.turn(Sequence(position), Sequence(durable), commits_of_ten);
        turn.map(|Sequence(after)| after)
    }

    #[test]
    fn the_walk_has_every_second_turn() {
        let mut ahead = Ahead::default();
        ahead.begin(Sequence(5_000));
        assert_eq!(turn(&mut ahead, 0, 5_000), None, "nothing is new");
        for durable in 5_001..5_100 {
            assert_eq!(turn(&mut ahead, 0, durable), Some(durable - 1));
            ahead.tell(Sequence(durable - 1), Sequence(durable));
            assert_eq!(turn(&mut ahead, 0, durable + 1), None);
        }
        assert_eq!(ahead.told, [(Sequence(5_000), Sequence(5_099))], "one range");
    }

    #[test]
    fn of_much_that_is_new_the_newest_is_told_from_the_end_of_a_commit() {
        let mut ahead = Ahead::default();
        ahead.begin(Sequence(5_000));
        assert_eq!(turn(&mut ahead, 0, 9_005), Some(9_010 - LIVE_ROWS));
        ahead.tell(Sequence(8_010), Sequence(9_005));
        assert_eq!(turn(&mut ahead, 0, 9_010), None);
        assert_eq!(turn(&mut ahead, 0, 9_010), Some(9_005));
        ahead.tell(Sequence(9_005), Sequence(9_010));
        assert_eq!(ahead.next(Sequence(9_010)), Sequence(8_010), "the walk fills the gap");
        assert_eq!(ahead.beyond(Sequence(8_009)), Sequence(8_009));
        assert_eq!(ahead.beyond(Sequence(8_010)), Sequence(9_010), "and jumps");
        ahead.passed(Sequence(9_010));
        assert_eq!(ahead.next(Sequence(9_011)), Sequence(9_011));
    }

    #[test]
    fn a_commit_that_is_all_there_is_waits_for_the_walk() {
        let mut ahead = Ahead::default();
        let one_commit = |_| Ok::<_, Infallible>(Sequence(9_000));
        let Ok(none) = ahead.turn(Sequence(0), Sequence(9_000), one_commit);
        assert_eq!(none, None);
        assert_eq!(turn(&mut ahead, 0, 9_001), Some(9_000), "what comes after it does not");
    }

    #[test]
    fn memory_is_bounded_and_then_the_newest_wait_for_what_is_before_them() {
        let mut ahead = Ahead::default();
        let mut durable = 5_000;
        ahead.begin(Sequence(durable));
        for _ in 0..3 * MAX_RANGES_AHEAD {
            durable += 2 * LIVE_ROWS;
            if let Some(after) = turn(&mut ahead, 0, durable) {
                ahead.tell(Sequence(after), Sequence(after + 10));
            }
            assert!(ahead.told.len() <= MAX_RANGES_AHEAD);
        }
        assert_eq!(ahead.told.len(), MAX_RANGES_AHEAD);
    }

    #[test]
    fn a_walk_for_other_interests_passes_by_everything_again() {
        let mut ahead = Ahead::default();
        ahead.begin(Sequence(5_000));
        ahead.tell(Sequence(5_000), Sequence(5_010));
        ahead.forget();
        assert_eq!(ahead.next(Sequence(5_015)), Sequence(5_015));
        assert_eq!(turn(&mut ahead, 0, 5_015), Some(5_010), "what was new still is");
    }

    #[test]
    fn nothing_is_ahead_of_a_walk_that_is_close() {
        let mut ahead = Ahead::default();
        assert_eq!(turn(&mut ahead, 4_000, 4_000 + LIVE_ROWS), None);
        assert_eq!(turn(&mut ahead, 4_000, 4_010 + LIVE_ROWS), Some(4_010));
    }
}
