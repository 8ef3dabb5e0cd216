//! Interests without a checkpoint, brought to the fence by [reconciliation](crate::reconciliation).

use ditto_crdt::{RunId, Sequence};

use super::Subscriber;
use crate::capabilities::RANGES;
use crate::event::{CloseReason, Violation};
use crate::message::{Inquiry, Settled};
use crate::reconciliation::{Inventory, NameRange, naming::Naming};
use crate::turn::{Counterpart, Turn};

impl Subscriber {
    /// If the publisher reconciles interests of a generation, it is going to be told what is held here.
    pub(super) fn prepare_inventory(&mut self, generation: u64, run: RunId) {
        let reconciled =
            || self.wanted.values().filter(|wanted| wanted.generation == generation && !wanted.removed);
        let Some(fence) = reconciled().find_map(|wanted| wanted.fence) else { return };
        let mut inventory = Inventory::new(generation, Naming::new(run, fence, generation));
        for wanted in reconciled().filter(|wanted| wanted.fence.is_some()) {
            inventory.include(wanted.collection.clone());
        }
        self.inventories.push_back(inventory);
        self.more = true;
    }

    /// Interests have been removed: where nothing is left of a generation, the publisher stops comparing.
    pub(super) fn abandon_inventories(&mut self) {
        let Self { wanted, inventories, .. } = self;
        inventories.retain(|inventory| {
            let mut left = wanted.values().filter(|wanted| wanted.fence.is_some() && !wanted.removed);
            left.any(|wanted| wanted.generation == inventory.generation)
        });
    }

    /// Whether a batch says nothing of some interest, because what lies before the fence is not settled.
    pub(super) fn is_reconciling(&self, batch: u64) -> bool {
        let mut wanted = self.wanted.values().filter(|wanted| !wanted.removed);
        wanted.any(|wanted| wanted.fence.is_some() || wanted.settled_after >= batch)
    }

    /// Whether the publisher has yet to tell something that it found by comparing.
    pub(crate) fn is_reconciled(&self) -> bool {
        !self.inventories.is_empty()
    }

    /// The publisher wants to know more of what is held here.
    pub(crate) fn inquiry(&mut self, inquiry: Inquiry, counterpart: &Counterpart) -> Result<(), CloseReason> {
        let is_readable = inquiry.range == NameRange::default() || counterpart.can(RANGES);
        if inquiry.generation > self.confirmed || !is_readable {
            return Err(Violation::Unexpected("inquiry").into());
        }
        match self.inventories.front_mut().filter(|front| front.generation == inquiry.generation) {
            Some(inventory) => inventory.inquiry(inquiry),
            // Abandoned meanwhile.
            None => Ok(()),
        }
    }

    /// The publisher has told all that was lacking, or is going to tell everything.
    pub(crate) fn settled(&mut self, settled: Settled, turn: &Turn<'_>) -> Result<(), CloseReason> {
        if settled.generation > self.confirmed {
            return Err(Violation::Unexpected("end of a reconciliation").into());
        }
        for wanted in self.wanted.values_mut().filter(|wanted| wanted.generation == settled.generation) {
            let Some(fence) = wanted.fence.take() else { continue };
            if settled.sequence != fence && settled.sequence != Sequence(0) {
                return Err(Violation::Unexpected("position after a reconciliation").into());
            }
            wanted.position = Some(settled.sequence);
            wanted.settled_after = self.last_batch;
        }
        self.inventories.retain(|inventory| inventory.generation != settled.generation);
        self.stated = turn.replica.last_sequence();
        Ok(())
    }

    /// Tells the publisher what it wants to know, a bounded piece at a time.
    pub(crate) fn take_stock(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &Turn<'_>,
    ) -> Result<(), CloseReason> {
        self.more = match self.inventories.front_mut() {
            Some(inventory) => inventory.work(counterpart, turn)?,
            None => false,
        };
        Ok(())
    }
}
