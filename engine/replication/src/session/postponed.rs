//! Whom to subscribe to first, when several peers may bring the same.
//!
//! In a mesh the neighbours of a peer that has just joined hold the same, mostly. If it subscribed to all of them at once, each
//! would send everything, or offer it. So it subscribes to one that has much to tell, and to the next when that has told it:
//! both hold nearly the same by then, and reconciliation finds the difference for a few hundred bytes. The wait is bounded,
//! as that for an offer on a lazy link is: what others have alone does not wait long.

use ditto_crdt::Sequence;

use super::Session;
use crate::event::CloseReason;
use crate::limits::{MAX_UNSERVED, MIN_POSTPONED_CHANGES};
use crate::subscription::Subscriptions;
use crate::turn::Turn;

#[derive(Clone, Copy, Debug)]
pub(super) struct Postponed {
    /// Since when.
    pub(super) since: u64,
    /// The other session has brought everything, up to this local sequence, and it is to become durable.
    brought: Option<Sequence>,
}

impl Session {
    /// Another session may bring what the other peer has.
    pub(super) fn postpone(&mut self, turn: &Turn<'_>) {
        if self.has_backlog() && turn.eager.behind > 0 {
            self.postponed = Some(Postponed { since: turn.now, brought: None });
        }
    }

    fn has_backlog(&self) -> bool {
        self.backlog >= MIN_POSTPONED_CHANGES
    }

    /// Whether the other peer brings documents, and many are yet to come.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_eager() && self.has_backlog() && self.link.statistics.catching_up
    }

    /// Subscribes after all, if there is nothing to wait for any more.
    pub(super) fn begin(
        &mut self,
        subscriptions: &Subscriptions,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(postponed) = &mut self.postponed else { return Ok(()) };
        if turn.now < turn.eager.waits_until(postponed.since) {
            if turn.eager.behind > 0 {
                return Ok(());
            }
            // Only what is durable can be compared.
            if turn.durable < *postponed.brought.get_or_insert_with(|| turn.replica.last_sequence()) {
                return Ok(());
            }
        }
        self.postponed = None;
        self.synchronize(subscriptions, turn)?;
        self.serve(turn)
    }

    /// Serves what the other peer has subscribed to, but for a few messages that wait until this side subscribes as well.
    pub(super) fn serve(&mut self, turn: &mut Turn<'_>) -> Result<(), CloseReason> {
        if self.postponed.is_some() && self.unserved.len() <= MAX_UNSERVED {
            return Ok(());
        }
        for interests in std::mem::take(&mut self.unserved) {
            if interests.forgotten {
                self.subscriber.remote_has_forgotten();
            }
            self.publisher.interests(interests, &mut self.link, turn)?;
        }
        Ok(())
    }
}
