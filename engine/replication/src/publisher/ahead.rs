//! What is told before it is its turn.
//!
//! While the walk has a long way to go, a change that is committed meanwhile does not wait for all that is before it: it is
//! sent in a batch that leaves the position where it is. So no checkpoint passes what was not told. What was told in this
//! way is remembered as ranges of sequences; the walk jumps over them when it arrives there.
//!
//! Of more new changes than make one batch the newest come first, and a gap is left to the walk. The two take turns, so that
//! however much is written, the walk gets half of what the other peer takes.
//!
//! The walk itself leaves gaps too: a commit with a large document waits for its turn, and the walk goes on behind it, ahead of
//! its position. Whatever left a gap, the position does not pass it before it is told.

use std::collections::VecDeque;

use ditto_crdt::Sequence;

use crate::sizes::Sizes;

/// Told ranges beyond the position of a walk.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// After the first sequence and up to the second one everything is told. Ascending, with gaps between them, all of it
    /// after the position.
    told: VecDeque<(Sequence, Sequence)>,
    /// What is not newer is told, or left to the walk.
    live: Sequence,
    /// Up to here the walk has told everything but for the gaps that it left itself.
    reached: Sequence,
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

    /// After which sequence the new changes are to be told now, up to the durable one; `None` if it is the turn of the walk,
    /// which has come to `reached`. `end_of_commit` says with which sequence a commit ends.
    pub(super) fn turn<E>(
        &mut self,
        reached: Sequence,
        durable: Sequence,
        sizes: &Sizes,
        end_of_commit: impl FnOnce(Sequence) -> Result<Sequence, E>,
    ) -> Result<Option<Sequence>, E> {
        let walk_next = std::mem::take(&mut self.walk_next);
        self.live = self.live.max(reached);
        let is_close = durable.0.saturating_sub(reached.0) <= sizes.live_rows;
        if walk_next || is_close || durable <= self.live {
            return Ok(None);
        }
        if durable.0 - self.live.0 > sizes.live_rows && !self.is_full(sizes) {
            // Not in the middle of a commit.
            let newest = Sequence(durable.0 - sizes.live_rows);
            self.live = end_of_commit(newest)?.min(durable);
        }
        self.walk_next = self.live < durable;
        Ok(self.walk_next.then_some(self.live))
    }

    /// Everything after the first sequence and up to the second one is told.
    pub(super) fn tell(&mut self, after: Sequence, up_to: Sequence) {
        if up_to <= after {
            return;
        }
        let first = self.told.partition_point(|(_, end)| *end < after);
        let beyond = self.told.partition_point(|(start, _)| *start <= up_to);
        let range = self
            .told
            .drain(first..beyond)
            .fold((after, up_to), |(start, end), (earlier, later)| (start.min(earlier), end.max(later)));
        self.told.insert(first, range);
        self.live = self.live.max(up_to);
    }

    /// What is new up to here is left to the walk.
    pub(super) fn leave(&mut self, up_to: Sequence) {
        self.live = self.live.max(up_to);
    }

    /// The walk has come to `up_to`, be it that it has left a gap.
    pub(super) fn reach(&mut self, up_to: Sequence) {
        self.reached = self.reached.max(up_to);
    }

    /// No gap can be left any more.
    pub(super) fn is_full(&self, sizes: &Sizes) -> bool {
        self.told.len() >= sizes.ranges_ahead
    }

    /// Where the walk goes on that stands at `position` and may leave gaps.
    pub(super) fn onward(&self, position: Sequence) -> Sequence {
        let reached = position.max(self.reached);
        let next = self.told.partition_point(|(_, end)| *end <= reached);
        match self.told.get(next) {
            Some((start, end)) if *start <= reached => *end,
            _ => reached,
        }
    }

    /// How far the walk has to go from `start` until it meets what is told.
    pub(super) fn next(&self, start: Sequence, durable: Sequence) -> Sequence {
        let next = self.told.partition_point(|(_, end)| *end <= start);
        self.told.get(next).map_or(durable, |(told, _)| (*told).max(start))
    }

    /// Whether what is at this sequence is told, and the walk jumps over it.
    pub(super) fn has_told(&self, sequence: Sequence) -> bool {
        let next = self.told.partition_point(|(_, end)| *end < sequence);
        self.told.get(next).is_some_and(|(start, _)| *start < sequence)
    }

    /// Where the walk is when it has come to `end` and jumped over what it met.
    pub(super) fn beyond(&self, end: Sequence) -> Sequence {
        match self.told.front() {
            Some((start, beyond)) if *start <= end => (*beyond).max(end),
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
    use crate::limits::{LIVE_ROWS, MAX_RANGES_AHEAD};

    fn turn(ahead: &mut Ahead, position: u64, durable: u64) -> Option<u64> {
        let commits_of_ten =
            |Sequence(sequence)| Ok::<_, Infallible>(Sequence(sequence.next_multiple_of(10)));
        let Ok(turn) = ahead.turn(Sequence(position), Sequence(durable), &Sizes::default(), commits_of_ten);
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
        assert_eq!(ahead.next(Sequence(0), Sequence(9_010)), Sequence(8_010), "the walk fills the gap");
        assert_eq!(ahead.beyond(Sequence(8_009)), Sequence(8_009));
        assert_eq!(ahead.beyond(Sequence(8_010)), Sequence(9_010), "and jumps");
        ahead.passed(Sequence(9_010));
        assert_eq!(ahead.next(Sequence(9_010), Sequence(9_011)), Sequence(9_011));
    }

    #[test]
    fn a_commit_that_is_all_there_is_waits_for_the_walk() {
        let mut ahead = Ahead::default();
        let one_commit = |_| Ok::<_, Infallible>(Sequence(9_000));
        let Ok(none) = ahead.turn(Sequence(0), Sequence(9_000), &Sizes::default(), one_commit);
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
        assert_eq!(ahead.next(Sequence(0), Sequence(5_015)), Sequence(5_015));
        assert_eq!(turn(&mut ahead, 0, 5_015), Some(5_010), "what was new still is");
    }

    #[test]
    fn nothing_is_ahead_of_a_walk_that_is_close() {
        let mut ahead = Ahead::default();
        assert_eq!(turn(&mut ahead, 4_000, 4_000 + LIVE_ROWS), None);
        assert_eq!(turn(&mut ahead, 4_000, 4_010 + LIVE_ROWS), Some(4_010));
    }

    #[test]
    fn a_walk_that_leaves_gaps_goes_on_behind_them_and_fills_them_in_order() {
        let mut ahead = Ahead::default();
        ahead.begin(Sequence(100));
        ahead.tell(Sequence(90), Sequence(100));
        ahead.reach(Sequence(10));
        assert_eq!(ahead.onward(Sequence(0)), Sequence(10));
        assert_eq!(ahead.next(Sequence(10), Sequence(200)), Sequence(90));
        ahead.tell(Sequence(10), Sequence(40));
        ahead.reach(Sequence(45));
        ahead.tell(Sequence(45), Sequence(90));
        ahead.reach(Sequence(90));
        assert_eq!(ahead.told, [(Sequence(10), Sequence(40)), (Sequence(45), Sequence(100))]);
        assert_eq!(ahead.onward(Sequence(0)), Sequence(100), "over what was told");
        assert_eq!(ahead.next(Sequence(0), Sequence(200)), Sequence(10), "the first gap");
        assert_eq!(ahead.beyond(Sequence(10)), Sequence(40));
        ahead.passed(Sequence(40));
        assert_eq!(ahead.next(Sequence(40), Sequence(200)), Sequence(45), "the second");
        assert_eq!(ahead.beyond(Sequence(45)), Sequence(100));
    }

    #[test]
    fn what_is_in_a_range_is_told() {
        let mut ahead = Ahead::default();
        ahead.tell(Sequence(10), Sequence(20));
        ahead.tell(Sequence(30), Sequence(31));
        let told: Vec<u64> = (0..40).filter(|sequence| ahead.has_told(Sequence(*sequence))).collect();
        assert_eq!(told, (11..=20).chain([31]).collect::<Vec<_>>());
    }

    #[test]
    fn what_fills_a_gap_joins_its_neighbours() {
        let mut ahead = Ahead::default();
        ahead.tell(Sequence(10), Sequence(20));
        ahead.tell(Sequence(30), Sequence(40));
        ahead.tell(Sequence(20), Sequence(30));
        assert_eq!(ahead.told, [(Sequence(10), Sequence(40))]);
        ahead.tell(Sequence(40), Sequence(40));
        assert_eq!(ahead.told.len(), 1, "nothing is no range");
    }
}
