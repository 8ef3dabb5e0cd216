//! Whom to subscribe to first, when several peers may bring the same.
//!
//! In a mesh the neighbours of a peer that has just joined hold the same, mostly. If it subscribed to all of them at once, each
//! would send everything, or offer it. So it subscribes to one that has much to tell, and to the next when that has told it:
//! both hold nearly the same by then, and reconciliation finds the difference for a few hundred bytes. The wait is bounded, and
//! ends when nothing comes: what others have alone does not wait long.

use ditto_crdt::Sequence;

use super::{Phase, Session};
use crate::event::CloseReason;
use crate::limits::{LAZY_PATIENCE_MS, MAX_POSTPONED_MS};
use crate::message::Interests;
use crate::subscription::{Subscriptions, effective_interest};
use crate::turn::{EagerLinks, Turn};

#[derive(Clone, Copy, Debug)]
pub(super) struct Postponed {
    /// Since when.
    pub(super) since: u64,
    /// The other session has brought everything, up to this local sequence, and it is to become durable.
    brought: Option<Sequence>,
}

impl Session {
    pub(crate) fn is_postponed(&self) -> bool {
        self.postponed.is_some()
    }

    /// Another session may be bringing what the other peer has. Where a checkpoint says what that has told before, nothing is
    /// gained: it goes on from there, whatever came from elsewhere.
    pub(super) fn postpone(
        &mut self,
        subscriptions: &Subscriptions,
        turn: &Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Phase::Open { capabilities } = self.phase else { return Ok(()) };
        self.subscribed = turn.now;
        if !self.has_backlog() || turn.eager.busy_until.is_none() {
            return Ok(());
        }
        for (selection, selected) in &subscriptions.selected {
            let site = turn.replica.site();
            let effective = effective_interest(*selection, selected.evictions, capabilities, site);
            if turn.replica.checkpoint(self.counterpart.remote, &effective)?.is_some() {
                return Ok(());
            }
        }
        self.counterpart.mechanisms.postponed += 1;
        self.postponed = Some(Postponed { since: turn.now, brought: None });
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        self.backlog >= self.counterpart.sizes.postponed_changes
    }

    /// Until when others wait for this session, if it brings documents, many, and they are coming.
    pub(crate) fn busy_until(&self) -> Option<u64> {
        let is_behind = self.is_eager() && self.has_backlog() && self.counterpart.statistics.catching_up;
        let sign_of_life =
            self.counterpart.statistics.last_update_received_ms.unwrap_or(0).max(self.subscribed);
        is_behind.then_some(sign_of_life + LAZY_PATIENCE_MS)
    }

    /// When [`Self::begin`] is due.
    pub(super) fn begins(&self, eager: EagerLinks) -> Option<u64> {
        let latest = self.postponed?.since + MAX_POSTPONED_MS;
        Some(eager.busy_until.map_or(latest, |until| until.min(latest)))
    }

    /// Subscribes after all, if there is nothing to wait for any more.
    pub(super) fn begin(
        &mut self,
        subscriptions: &Subscriptions,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(postponed) = &mut self.postponed else { return Ok(()) };
        if turn.now < postponed.since + MAX_POSTPONED_MS {
            if turn.eager.busy_until.is_some_and(|until| turn.now < until) {
                return Ok(());
            }
            // Only what is durable can be compared.
            if turn.durable < *postponed.brought.get_or_insert_with(|| turn.replica.last_sequence()) {
                return Ok(());
            }
        }
        self.postponed = None;
        self.subscribed = turn.now;
        self.synchronize(subscriptions, turn)?;
        self.serve(turn)
    }

    /// Serves what the other peer has subscribed to. That waits until this side subscribes as well, unless the other one has
    /// checkpoints, says much of it, has forgotten documents, so that nobody may rely on them, or ends something: what it says after
    /// that is no longer about it.
    pub(super) fn serve(&mut self, turn: &mut Turn<'_>) -> Result<(), CloseReason> {
        let goes_on = |interests: &Interests| {
            interests.forgotten
                || interests.evictions.is_some()
                || !interests.removed.is_empty()
                || interests.added.iter().any(|added| added.checkpoint.is_some() || added.greeted.is_some())
        };
        if self.postponed.is_some()
            && self.unserved.len() <= self.counterpart.sizes.unserved
            && !self.unserved.iter().any(goes_on)
        {
            return Ok(());
        }
        for interests in std::mem::take(&mut self.unserved) {
            if interests.forgotten {
                self.subscriber.remote_has_forgotten();
            }
            self.publisher.interests(interests, &mut self.counterpart, turn)?;
        }
        Ok(())
    }
}
