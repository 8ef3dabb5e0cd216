//! Where a transaction of another peer may be visible in part, and until when.
//!
//! A *tear* opens with a commit that may show a part: of a publisher that has not told everything yet, or that is itself
//! waiting for the rest, or of a document that came by itself. It ends when that publisher says that it has told everything
//! up to the *fence*, which is all that it had when it told the part, and that it holds the rest itself. Until then this
//! peer is catching up, and tells those who subscribe to it from which of its own sequences on there may be parts.
//!
//! So a tear waits for others only that opened, at another peer, before it did itself: no circle of peers waits for each
//! other. That is why each has its own fence, and why two become one only while nothing of the first was told. Nor do they when
//! there are too many: peers that wait for ever are worse than a part that is shown as whole.

use std::collections::VecDeque;

use ditto_crdt::{RunId, Sequence, SiteId};

/// The tears of what one publisher has told, in the order in which they opened.
#[derive(Debug, Default)]
pub(crate) struct Tears {
    tears: VecDeque<Tear>,
    /// The identity under which the publisher greeted last.
    site: SiteId,
    /// That is another than before. It may have another history, or have taken it in the middle of a session.
    is_other: bool,
    /// The run in which it told something last.
    run: RunId,
}

#[derive(Clone, Copy, Debug)]
struct Tear {
    /// The first local sequence that may belong to a part.
    from: Sequence,
    /// How much the publisher has to tell, in its sequences.
    fence: Sequence,
    /// The last local sequence when the rest was there.
    healed: Option<Sequence>,
}

impl Tears {
    /// What is applied after `last` may be a part of something of which the publisher had no more than `fence`. Of more tears than
    /// `most` the oldest is forgotten: it is not told any more that there may be a part.
    pub(super) fn open(&mut self, last: Sequence, fence: Sequence, durable: Sequence, most: usize) {
        self.prune(durable);
        match self.tears.back_mut() {
            Some(tear) if tear.healed.is_none() && tear.from > durable => tear.fence = tear.fence.max(fence),
            _ => self.tears.push_back(Tear { from: Sequence(last.0 + 1), fence, healed: None }),
        }
        while self.tears.len() > most {
            self.tears.pop_front();
        }
    }

    /// Everything of the publisher up to `told` is here, and what is there whole is whole here, with the local sequence
    /// `last`. `parts` says from where on something may not be whole there.
    pub(super) fn heal(
        &mut self,
        told: Sequence,
        parts: Option<Sequence>,
        last: Sequence,
        durable: Sequence,
    ) {
        self.prune(durable);
        let is_whole = |fence| fence <= told && parts.is_none_or(|parts| fence < parts);
        for tear in self.tears.iter_mut().filter(|tear| tear.healed.is_none() && is_whole(tear.fence)) {
            tear.healed = Some(last);
        }
    }

    /// The publisher greets: it is this site, and has no more than that.
    pub(crate) fn meet(&mut self, site: SiteId, durable: Sequence) {
        // It may have been another before as well, and gone again before it said more.
        self.is_other |= std::mem::replace(&mut self.site, site) != site;
        self.is_other &= !self.tears.is_empty();
        self.limit(durable);
    }

    /// The publisher tells something in a run.
    pub(super) fn tells(&mut self, run: RunId) {
        self.run = run;
    }

    /// The publisher answers where it starts. Whether it does so at each checkpoint of the run in which it told something last
    /// (others say nothing: they may be of a history that was lost long ago) says whether it has the history of before. If not,
    /// it tells all of another one. Once all interests are answered `is_complete`, and whoever was told no such checkpoint has
    /// the history of before if it is who it was.
    pub(super) fn resume(&mut self, starts: impl IntoIterator<Item = (RunId, bool)>, is_complete: bool) {
        let of_last_run = starts.into_iter().filter(|(run, _)| *run == self.run);
        let all_there = of_last_run.map(|(_, is_there)| is_there).reduce(|all, is_there| all && is_there);
        let Some(is_same) = all_there.or(is_complete.then_some(!self.is_other)) else { return };
        self.is_other = false;
        if !is_same {
            self.limit(Sequence(0));
        }
    }

    /// Nothing is promised any more.
    pub(super) fn forget(&mut self) {
        self.tears.clear();
    }

    /// What was applied after this local sequence is gone: it was not durable when the storage failed. If the rest of something
    /// is gone with it, the part is one again.
    pub(crate) fn lose_after(&mut self, kept: Sequence) {
        // Of these the part is gone as well.
        self.tears.retain(|tear| tear.from <= kept);
        for tear in &mut self.tears {
            tear.healed = tear.healed.filter(|healed| *healed <= kept);
        }
    }

    fn limit(&mut self, most: Sequence) {
        for tear in &mut self.tears {
            tear.fence = tear.fence.min(most);
        }
    }

    /// Whether something may be visible in part.
    pub(crate) fn are_open(&self) -> bool {
        self.tears.iter().any(|tear| tear.healed.is_none())
    }

    /// From which local sequence on there may be parts in what is durable.
    pub(crate) fn parts(&self, durable: Sequence) -> Option<Sequence> {
        let is_felt = |tear: &&Tear| tear.healed.is_none_or(|healed| healed > durable);
        self.tears.iter().find(is_felt).map(|tear| tear.from)
    }

    fn prune(&mut self, durable: Sequence) {
        self.tears.retain(|tear| tear.healed.is_none_or(|healed| healed > durable));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_TEARS;

    const SOME: Sequence = Sequence(100);

    #[test]
    fn a_part_is_whole_when_all_is_told_that_there_was() {
        let mut tears = Tears::default();
        tears.open(Sequence(4), Sequence(30), Sequence(4), MAX_TEARS);
        tears.heal(Sequence(29), None, Sequence(6), Sequence(6));
        assert_eq!(tears.parts(SOME), Some(Sequence(5)));
        tears.heal(Sequence(30), None, Sequence(8), Sequence(6));
        assert!(!tears.are_open());
        assert_eq!(tears.parts(Sequence(7)), Some(Sequence(5)), "others do not get the rest yet");
        assert_eq!(tears.parts(Sequence(8)), None);
    }

    #[test]
    fn a_part_of_what_the_publisher_has_in_part_waits_for_that_and_for_nothing_newer() {
        let mut tears = Tears::default();
        tears.open(Sequence(4), Sequence(30), Sequence(4), MAX_TEARS);
        tears.open(Sequence(6), Sequence(40), Sequence(6), MAX_TEARS);
        tears.heal(Sequence(50), Some(Sequence(30)), Sequence(8), Sequence(8));
        assert_eq!(tears.parts(SOME), Some(Sequence(5)));
        tears.heal(Sequence(50), Some(Sequence(31)), Sequence(8), Sequence(8));
        assert_eq!(tears.parts(SOME), Some(Sequence(7)));
    }

    #[test]
    fn tears_of_which_nothing_was_told_are_one_and_memory_is_bounded() {
        let mut tears = Tears::default();
        tears.open(Sequence(4), Sequence(30), Sequence(4), MAX_TEARS);
        tears.open(Sequence(6), Sequence(40), Sequence(4), MAX_TEARS);
        assert_eq!(tears.tears.len(), 1);
        for last in 7..20_000 {
            tears.open(Sequence(last), Sequence(40 + last), Sequence(last), MAX_TEARS);
            assert!(tears.tears.len() <= MAX_TEARS);
        }
        // The oldest were forgotten. Had one of those that were told become one with a later one, peers might wait in a circle.
        let first = Sequence(20_000 - MAX_TEARS as u64 + 1);
        assert_eq!(tears.parts(Sequence(30_000)), Some(first));
        tears.heal(Sequence(39 + first.0), None, Sequence(20_000), Sequence(20_000));
        assert_eq!(tears.parts(Sequence(30_000)), Some(Sequence(first.0 + 1)));
        tears.heal(Sequence(40 + 20_000), None, Sequence(20_000), Sequence(20_000));
        assert!(!tears.are_open());
    }

    #[test]
    fn a_part_is_one_again_if_the_rest_is_lost_before_it_was_durable() {
        let mut tears = Tears::default();
        tears.open(Sequence(4), Sequence(30), Sequence(4), MAX_TEARS);
        tears.heal(Sequence(30), None, Sequence(8), Sequence(6));
        tears.lose_after(Sequence(6));
        assert!(tears.are_open());
        assert_eq!(tears.parts(Sequence(6)), Some(Sequence(5)));
        tears.heal(Sequence(30), None, Sequence(8), Sequence(6));
        tears.lose_after(Sequence(8));
        assert!(!tears.are_open());
        tears.open(Sequence(9), Sequence(40), Sequence(8), MAX_TEARS);
        tears.lose_after(Sequence(8));
        assert!(!tears.are_open(), "nothing of it is visible");
    }

    #[test]
    fn a_publisher_that_lost_its_history_is_not_waited_for() {
        let mut tears = Tears::default();
        tears.open(Sequence(4), Sequence(30), Sequence(4), MAX_TEARS);
        tears.meet(SiteId(0), Sequence(7));
        tears.resume([], true);
        tears.heal(Sequence(7), None, Sequence(4), Sequence(4));
        assert_eq!(tears.parts(Sequence(4)), None);
        tears.open(Sequence(4), Sequence(30), Sequence(4), MAX_TEARS);
        tears.meet(SiteId(2), Sequence(50));
        tears.resume([], true);
        tears.heal(Sequence(1), Some(Sequence(1)), Sequence(4), Sequence(4));
        assert_eq!(tears.parts(Sequence(4)), None, "its sequences are others now");
    }

    #[test]
    fn a_publisher_with_another_identity_and_the_same_history_is_waited_for() {
        let mut tears = Tears::default();
        tears.meet(SiteId(1), Sequence(0));
        tears.open(Sequence(4), Sequence(30), Sequence(4), MAX_TEARS);
        tears.meet(SiteId(2), Sequence(50));
        tears.resume([(RunId(0), true), (RunId(0), true), (RunId(9), false)], true);
        // Interests that are added later say nothing.
        tears.resume([], true);
        tears.heal(Sequence(50), Some(Sequence(20)), Sequence(4), Sequence(4));
        assert!(tears.are_open(), "it has a part itself");
        tears.meet(SiteId(2), Sequence(50));
        tears.resume([(RunId(0), true), (RunId(0), false), (RunId(0), true)], true);
        tears.heal(Sequence(50), Some(Sequence(20)), Sequence(4), Sequence(4));
        assert!(!tears.are_open());
    }

    #[test]
    fn who_was_another_one_when_it_greeted_before_is_judged_by_what_it_answers_first() {
        let other = || {
            let mut tears = Tears::default();
            tears.tells(RunId(7));
            tears.open(Sequence(4), Sequence(30), Sequence(4), MAX_TEARS);
            tears.meet(SiteId(2), Sequence(50));
            // The session ended before it answered, and it did not change again.
            tears.meet(SiteId(2), Sequence(50));
            // It refuses, or was told no checkpoint, and has more to answer.
            tears.resume([], false);
            tears
        };
        let waits = |mut tears: Tears| {
            tears.heal(Sequence(50), Some(Sequence(20)), Sequence(4), Sequence(4));
            tears.are_open()
        };
        let last = RunId(7);
        for (answers, is_waited_for) in [
            (vec![], false),
            (vec![(last, true)], true),
            (vec![(last, false)], false),
            (vec![(last, true), (RunId(1), false)], true),
            (vec![(RunId(1), true)], false),
        ] {
            let mut tears = other();
            tears.resume(answers, true);
            assert_eq!(waits(tears), is_waited_for);
        }
        assert!(waits(other()), "it has not said where it starts");
        let mut tears = other();
        tears.resume([(last, true)], true);
        tears.resume([(RunId(1), false)], true);
        assert!(waits(tears), "an interest is stated again that was ended before the history was lost");
    }
}
