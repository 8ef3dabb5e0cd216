//! What is durable of applied batches, told to their publisher.

use ditto_crdt::Sequence;

use super::Subscriber;
use crate::message::{Acknowledge, Message};
use crate::turn::Counterpart;

impl Subscriber {
    /// Acknowledges what has become durable, behind the questions what the publisher lacks of it.
    pub(crate) fn acknowledge(&mut self, counterpart: &mut Counterpart, durable: Sequence) {
        if !self.lacking.is_empty() {
            return;
        }
        let mut acknowledged = None;
        while let Some((batch, _)) = self.unacknowledged.front().filter(|(_, needs)| *needs <= durable) {
            acknowledged = Some(*batch);
            self.unacknowledged.pop_front();
        }
        if let Some(batch) = acknowledged {
            let due = self.exceptions.iter().take_while(|exceptions| exceptions.batch <= batch).count();
            let exceptions = self.exceptions.drain(..due).collect();
            counterpart.send(&Message::Acknowledge(Acknowledge { batch, exceptions }));
        }
    }

    /// Whether something waits for the store to sync.
    pub(crate) fn awaits_durability(&self) -> bool {
        !self.unacknowledged.is_empty()
    }
}
