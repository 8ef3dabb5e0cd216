//! Which interests the other peer has been told, and how far each of them has come.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ditto_crdt::Sequence;

use super::Subscriber;
use crate::capabilities::SHORT_STARTS;
use crate::event::{CloseReason, Event, SubscriptionId, Violation};
use crate::limits::{MAX_INTERESTS, MAX_RUNS};
use crate::message::{AddedInterest, BatchEnd, Interests, Message, Start, Walk};
use crate::publisher::Publisher;
use crate::replica::{Checkpoint, Incoming, Seen};
use crate::subscription::{Selection, Subscriptions, effective_interest};
use crate::turn::{Counterpart, Turn};

/// Of [`MAX_INTERESTS`].
const NO_ROOM: &str = "this peer asks for 1,000 other things already, which is the most of one session: make wider \
    subscriptions, or cancel some";

/// An interest of ours as the other peer knows it.
#[derive(Debug)]
pub(super) struct Wanted {
    selection: Selection,
    evictions: u64,
    pub(super) collection: Arc<str>,
    pub(super) unfiltered: bool,
    effective: [u8; 16],
    pub(super) generation: u64,
    /// Set by the publisher's walk: it serves the interest, and we hold everything up to here.
    pub(super) position: Option<Sequence>,
    recorded: Option<Checkpoint>,
    /// It was stated without a checkpoint: the publisher compares all that was held of its collection then.
    pub(super) compares: bool,
    pub(super) removed: bool,
    pub(super) caught_up: Option<bool>,
    /// Where the walk began, while what lies before is being reconciled.
    pub(super) fence: Option<Sequence>,
    /// Batches up to this one say nothing about it.
    pub(super) settled_after: u64,
}

impl Subscriber {
    /// Tells the other peer what this peer wants now, if that is not what it has been told.
    pub(crate) fn synchronize(
        &mut self,
        subscriptions: &Subscriptions,
        capabilities: u64,
        publisher: &mut Publisher,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let mut interests = Interests::default();
        let mut kept = HashSet::new();
        for (id, wanted) in self.wanted.iter_mut().filter(|(_, wanted)| !wanted.removed) {
            match subscriptions.selected.get(&wanted.selection) {
                Some(selected) if selected.evictions == wanted.evictions => {
                    kept.insert(wanted.selection);
                }
                _ => {
                    interests.removed.push(*id);
                    wanted.removed = true;
                }
            }
        }
        self.abandon_inventories();
        interests.evictions = self.untold_evictions(turn);
        // What the other peer takes us to hold may be gone, also where nobody subscribes at the moment.
        interests.forgotten = interests.evictions.is_some();
        if interests.forgotten {
            counterpart.known.clear();
            publisher.discard_draft(counterpart);
        }
        let mut size = 0;
        self.unstated = false;
        let refused_before = std::mem::take(&mut self.refused_here);
        // Those that have ended, but not for the publisher, make room in a moment.
        let mut places = MAX_INTERESTS.saturating_sub(kept.len());
        for (selection, selected) in &subscriptions.selected {
            if kept.contains(selection) || !turn.replica.may_travel(counterpart.remote, &selected.collection)
            {
                continue;
            }
            let has_place = places > 0;
            places = places.saturating_sub(1);
            if self.wanted.len() >= MAX_INTERESTS {
                self.unstated = true;
                if !has_place {
                    self.refused_here.insert(*selection);
                    if !refused_before.contains(selection) {
                        turn.events.extend(
                            selected
                                .subscriptions
                                .iter()
                                .map(|subscription| no_room(*subscription, counterpart)),
                        );
                    }
                }
                continue;
            }
            let site = turn.replica.site();
            let effective = effective_interest(*selection, selected.evictions, capabilities, site);
            let recorded = turn.replica.checkpoint(counterpart.remote, &effective)?;
            let recorded = recorded.filter(|recorded| *recorded != Checkpoint::default());
            self.last_interest += 1;
            size += selected.query.len() + selected.arguments.len();
            let greeted = |recorded: Checkpoint| {
                let says = |seen: &Seen| (seen.run, seen.sequence) == (recorded.run, recorded.sequence);
                let index = self.claims.iter().position(says).filter(|_| counterpart.can(SHORT_STARTS))?;
                Some(index as u64 + 1)
            };
            interests.added.push(AddedInterest {
                id: self.last_interest,
                query: selected.query.clone(),
                is_short: counterpart.can(SHORT_STARTS),
                arguments: selected.arguments.clone(),
                checkpoint: recorded,
                greeted: recorded.and_then(greeted),
            });
            if recorded.is_none() && !selected.interest.unfiltered {
                self.need_not_offer(&selected.collection, counterpart, turn);
            }
            self.wanted.insert(
                self.last_interest,
                Wanted {
                    selection: *selection,
                    evictions: selected.evictions,
                    collection: selected.collection.clone(),
                    unfiltered: selected.interest.unfiltered,
                    effective,
                    generation: self.generation + 1,
                    position: None,
                    recorded,
                    compares: recorded.is_none(),
                    removed: false,
                    caught_up: self.tears.are_open().then_some(false),
                    fence: None,
                    settled_after: 0,
                },
            );
            if size >= counterpart.sizes.message_bytes {
                interests.forgotten |= std::mem::take(&mut self.dropped);
                self.send_interests(std::mem::take(&mut interests), counterpart, turn);
                size = 0;
            }
        }
        if !interests.added.is_empty() || !interests.removed.is_empty() || interests.evictions.is_some() {
            interests.forgotten |= std::mem::take(&mut self.dropped);
            interests.durable = self.is_all_durable(&interests, counterpart, turn);
            self.send_interests(interests, counterpart, turn);
        }
        if self.wanted.values().all(|wanted| wanted.removed) {
            // Nothing is promised any more, and nothing would come.
            self.tears.forget();
        }
        self.show_progress(counterpart, turn);
        Ok(())
    }

    /// Whether interests could be stated for which there was no room before.
    pub(crate) fn may_state_more(&self) -> bool {
        self.unstated && self.wanted.len() < MAX_INTERESTS
    }

    /// What is to be applied may be a part of a transaction. Returns whether somebody is told now that did not know it.
    pub(super) fn fall_behind(
        &mut self,
        subscriptions: &Subscriptions,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> bool {
        let (session, remote) = (counterpart.session, counterpart.remote);
        let mut is_new = false;
        let confirmed = self.confirmed;
        for wanted in self.wanted.values_mut() {
            if wanted.is_refused(confirmed) || wanted.removed || wanted.caught_up == Some(false) {
                continue;
            }
            (wanted.caught_up, is_new) = (Some(false), true);
            for subscription in wanted.subscriptions(subscriptions) {
                turn.events.push_back(Event::CatchingUp { session, remote, subscription });
            }
        }
        if is_new {
            self.show_progress(counterpart, turn);
        }
        is_new
    }

    fn is_catching_up(&self) -> bool {
        self.counting().any(|wanted| wanted.caught_up != Some(true))
    }

    /// The interests that the publisher serves, or has not answered.
    pub(super) fn counting(&self) -> impl Iterator<Item = &Wanted> {
        self.wanted.values().filter(|wanted| !wanted.removed && !wanted.is_refused(self.confirmed))
    }

    /// Whether a batch of this generation serves everything that is wanted. Before, a part of a transaction is one also where the
    /// publisher has told everything that it serves.
    pub(super) fn is_all_served(&self, generation: u64) -> bool {
        let has_no_room = self.unstated && self.wanted.values().any(|wanted| wanted.removed);
        !has_no_room && self.counting().all(|wanted| wanted.generation <= generation)
    }

    fn show_progress(&self, counterpart: &mut Counterpart, turn: &mut Turn<'_>) {
        counterpart.statistics.catching_up = self.is_catching_up();
        let progress = Event::Progress { session: counterpart.session };
        if turn.events.back() != Some(&progress) {
            turn.events.push_back(progress);
        }
    }

    /// How often was evicted here, if the other peer does not know it.
    fn untold_evictions(&mut self, turn: &Turn<'_>) -> Option<u64> {
        let total = turn.replica.eviction_total();
        (std::mem::replace(&mut self.told_evictions, total) != total).then_some(total)
    }

    /// Whether all that is wanted is stated by this message, goes on at checkpoints, and is held durably.
    fn is_all_durable(&self, interests: &Interests, counterpart: &Counterpart, turn: &Turn<'_>) -> bool {
        self.generation == 0
            && !self.unstated
            && !interests.forgotten
            && interests.added.iter().all(|added| added.checkpoint.is_some())
            && turn.durable >= turn.replica.last_sequence()
            && counterpart.can(SHORT_STARTS)
    }

    fn send_interests(&mut self, mut interests: Interests, counterpart: &mut Counterpart, turn: &Turn<'_>) {
        self.generation += 1;
        interests.generation = self.generation;
        if !interests.added.is_empty() {
            // Of these nothing is told yet.
            self.whole_up_to = Sequence(0);
            counterpart.statistics.remote_position = Sequence(0);
        }
        self.reconsider_offers(!interests.removed.is_empty());
        let last = turn.replica.last_sequence();
        // What checkpoints rest on was taken in earlier sessions, and may not be durable yet.
        self.stated = self.stated.max(last);
        // Without a checkpoint it depends on this what the publisher does.
        if interests.added.iter().any(|added| added.checkpoint.is_none()) && last > self.told_changes {
            self.told_changes = last;
            interests.changes = Some(last);
        }
        counterpart.send(&Message::Interests(interests));
    }

    /// The other peer says where it starts.
    pub(crate) fn walk(
        &mut self,
        mut walk: Walk,
        subscriptions: &Subscriptions,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if walk.generation != self.confirmed + 1 || walk.generation > self.generation {
            return Err(Violation::Unexpected("generation of a walk").into());
        }
        self.confirmed = walk.generation;
        let run = walk.run.unwrap_or(self.greeted_run);
        self.add_implied_starts(&mut walk);
        let starts_there = |start: &Start| {
            let recorded = self.wanted.get(&start.interest)?.recorded?;
            let says = start.refused.is_none() && recorded.sequence > Sequence(0);
            says.then_some((recorded.run, !start.reconciled && recorded.sequence == start.sequence))
        };
        let is_complete = walk.generation == self.generation;
        self.tears.resume(walk.starts.iter().filter_map(starts_there), is_complete);
        let mut refused = Vec::new();
        for start in walk.starts {
            let Some(wanted) = self.wanted.get_mut(&start.interest) else {
                return Err(Violation::Unexpected("walk for an unknown interest").into());
            };
            match start.refused {
                None => {
                    if start.reconciled {
                        wanted.fence = Some(start.sequence);
                        wanted.caught_up = Some(false);
                    } else {
                        wanted.position = Some(start.sequence);
                    }
                    // Also where that is known from before: only now is it known that it is served.
                    if wanted.caught_up == Some(false) {
                        for subscription in wanted.subscriptions(subscriptions) {
                            let (session, remote) = (counterpart.session, counterpart.remote);
                            turn.events.push_back(Event::CatchingUp { session, remote, subscription });
                        }
                    }
                }
                Some(reason) => {
                    if wanted.recorded.take().is_some() {
                        refused.push((wanted.effective, Checkpoint::default()));
                    }
                    for subscription in wanted.subscriptions(subscriptions) {
                        turn.events.push_back(Event::SubscriptionRefused {
                            session: counterpart.session,
                            remote: counterpart.remote,
                            subscription,
                            reason: reason.clone(),
                        });
                    }
                }
            }
        }
        if !refused.is_empty() {
            // What is taken elsewhere meanwhile is not compared with what this publisher has, so that it is to be when it serves
            // the interest again.
            let from = counterpart.remote;
            let void =
                Incoming { from, documents: Vec::new(), checkpoints: refused, seen: None, evictions: None };
            turn.replica.apply(void)?;
        }
        self.prepare_inventory(walk.generation, run);
        if walk.caught_up {
            // All begin where the publisher's history ends, so there is nothing between.
            let mut positions = self.wanted.values().filter_map(|wanted| wanted.position);
            let first = positions.next();
            let is_one = positions.all(|position| Some(position) == first);
            let is_reconciled = self.wanted.values().any(|wanted| wanted.fence.is_some());
            let is_right = is_one && !is_reconciled && walk.generation == 1 && self.last_batch == 0;
            let Some(sequence) = first.filter(|_| is_right) else {
                return Err(Violation::Unexpected("end of a walk").into());
            };
            let end = BatchEnd { generation: walk.generation, run, sequence, ..BatchEnd::default() };
            self.take_nothing(BatchEnd { caught_up: true, ..end });
        }
        self.look_again();
        // From now on nothing arrives under the numbers of interests that were removed before.
        let confirmed = self.confirmed;
        let newest_removal = self.generation == confirmed;
        self.wanted.retain(|_, wanted| !(wanted.removed && newest_removal));
        let mut left = self.wanted.values().filter(|wanted| !wanted.removed);
        if left.all(|wanted| wanted.is_refused(confirmed)) {
            self.tears.forget();
        }
        self.show_progress(counterpart, turn);
        Ok(())
    }

    /// Adds to a walk what is not said: where it begins at a checkpoint, or at 0 without one.
    fn add_implied_starts(&self, walk: &mut Walk) {
        let said: HashSet<u64> = walk.starts.iter().map(|start| start.interest).collect();
        let of_it = self
            .wanted
            .iter()
            .filter(|(id, wanted)| wanted.generation == walk.generation && !said.contains(id));
        let at_checkpoint = of_it.map(|(id, wanted)| Start {
            interest: *id,
            sequence: wanted.recorded.map_or(Sequence(0), |recorded| recorded.sequence),
            ..Start::default()
        });
        walk.starts.extend(at_checkpoint);
    }

    /// The positions that become true with the end of a batch.
    pub(super) fn advance(&mut self, end: BatchEnd, batch: u64) -> Vec<([u8; 16], Checkpoint)> {
        let mut checkpoints = Vec::new();
        for wanted in self.wanted.values_mut() {
            let Some(position) = wanted.position.as_mut().filter(|_| !wanted.removed) else { continue };
            if wanted.generation > end.generation || wanted.settled_after >= batch {
                continue;
            }
            *position = (*position).max(end.sequence);
            let checkpoint = Checkpoint { run: end.run, sequence: *position };
            if wanted.recorded != Some(checkpoint) {
                wanted.recorded = Some(checkpoint);
                checkpoints.push((wanted.effective, checkpoint));
            }
        }
        checkpoints
    }

    /// How far the publisher's history is seen with the end of a batch, if that is further than before.
    pub(super) fn see(&mut self, end: BatchEnd) -> Result<Option<Seen>, Violation> {
        let before = self.seen.filter(|seen| seen.run == end.run);
        let known = before.unwrap_or(Seen { run: end.run, ..Seen::default() });
        let now = Seen {
            sequence: known.sequence.max(end.told()),
            durable: known.durable.max(end.durable.unwrap_or_default()),
            ..known
        };
        if before == Some(now) {
            return Ok(None);
        }
        // Each is remembered.
        self.runs += usize::from(before.is_none());
        if self.runs > MAX_RUNS {
            return Err(Violation::Limit("runs of one session"));
        }
        self.seen = Some(now);
        Ok(self.seen)
    }

    /// What is recorded of the other peer's present run already.
    pub(crate) fn remember(&mut self, seen: Seen) {
        self.seen = Some(seen);
    }

    pub(super) fn report(
        &mut self,
        end: BatchEnd,
        batch: u64,
        subscriptions: &Subscriptions,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) {
        let (session, remote) = (counterpart.session, counterpart.remote);
        let caught_up = end.caught_up && !self.tears.are_open();
        for wanted in self.wanted.values_mut() {
            let served = wanted.position.is_some() && !wanted.removed && wanted.generation <= end.generation;
            if !served || wanted.settled_after >= batch || wanted.caught_up == Some(caught_up) {
                continue;
            }
            wanted.caught_up = Some(caught_up);
            for subscription in wanted.subscriptions(subscriptions) {
                turn.events.push_back(if caught_up {
                    Event::CaughtUp { session, remote, subscription }
                } else {
                    Event::CatchingUp { session, remote, subscription }
                });
            }
        }
        self.look_again();
        self.show_progress(counterpart, turn);
    }
}

/// The other peer is not asked for a subscription, as it would not take more.
fn no_room(subscription: SubscriptionId, counterpart: &Counterpart) -> Event {
    Event::SubscriptionRefused {
        session: counterpart.session,
        remote: counterpart.remote,
        subscription,
        reason: NO_ROOM.to_owned(),
    }
}

/// Whether any document of the collection is still wanted.
pub(super) fn wants(wanted: &BTreeMap<u64, Wanted>, collection: &str) -> bool {
    wanted.values().any(|wanted| !wanted.removed && &*wanted.collection == collection)
}

impl Wanted {
    pub(super) fn is_refused(&self, confirmed: u64) -> bool {
        !self.is_served() && self.generation <= confirmed
    }

    pub(super) fn is_served(&self) -> bool {
        self.position.is_some() || self.fence.is_some()
    }

    fn subscriptions(&self, all: &Subscriptions) -> Vec<SubscriptionId> {
        all.selected.get(&self.selection).map_or(Vec::new(), |selected| selected.subscriptions.clone())
    }
}

#[cfg(test)]
mod tests {
    use ditto_crdt::RunId;

    use super::*;

    #[test]
    fn the_limit_of_interests_is_told_as_it_is() {
        assert_eq!(MAX_INTERESTS, 1_000);
        assert!(NO_ROOM.contains("1,000"));
    }

    #[test]
    fn a_publisher_does_not_begin_one_run_after_the_other() -> Result<(), Violation> {
        let end =
            |run, sequence| BatchEnd { run: RunId(run), sequence: Sequence(sequence), ..BatchEnd::default() };
        let mut subscriber = Subscriber::default();
        for run in 1..=MAX_RUNS as u64 {
            assert!(subscriber.see(end(run, 1))?.is_some());
            assert!(subscriber.see(end(run, 2))?.is_some());
            assert!(subscriber.see(end(run, 2))?.is_none());
        }
        assert!(subscriber.see(end(1_000, 1)).is_err());
        Ok(())
    }
}
