//! What both sides do alike: reading the change log in pieces, and adding up symbols in pieces.

use ditto_crdt::Sequence;

use super::symbols::{Stretch, Symbol};
use crate::limits::WORK_MS;
use crate::replica::{Change, Replica, ReplicaError};
use crate::sizes::Sizes;

/// How far the rows of the change log are read.
#[derive(Debug, Default)]
pub(super) struct Scan {
    after: Sequence,
    up_to: Sequence,
}

impl Scan {
    pub(super) fn new(up_to: Sequence) -> Self {
        Self { after: Sequence(0), up_to }
    }

    pub(super) fn is_over(&self) -> bool {
        self.after >= self.up_to
    }

    /// The work of one call. Rows that move away while the reading goes on are not seen.
    pub(super) fn read(
        &mut self,
        replica: &dyn Replica,
        sizes: &Sizes,
        mut row: impl FnMut(Change) -> Result<(), ReplicaError>,
    ) -> Result<(), ReplicaError> {
        for _ in 0..sizes.rows_per_call.div_ceil(sizes.rows_per_read) {
            if self.is_over() {
                break;
            }
            let changes = replica.changes(self.after, self.up_to, sizes.rows_per_read)?;
            let is_last = changes.len() < sizes.rows_per_read;
            for change in changes {
                self.after = change.sequence;
                row(change)?;
                if replica.worked_ms() >= WORK_MS {
                    return Ok(());
                }
            }
            if is_last {
                self.after = self.up_to;
            }
        }
        Ok(())
    }
}

/// A stretch of symbols that is being added up.
#[derive(Debug)]
pub(super) struct Sum {
    stretch: Stretch,
    added: usize,
}

impl Sum {
    pub(super) fn new(first: usize, end: usize) -> Self {
        Self { stretch: Stretch::new(first, end), added: 0 }
    }

    /// The work of one call; returns whether all items are added.
    pub(super) fn add<T>(&mut self, stock: &[T], sizes: &Sizes, item: impl Fn(&T) -> u128) -> bool {
        let piece = stock.iter().skip(self.added).take(sizes.items_per_call);
        piece.for_each(|entry| self.stretch.add(item(entry)));
        self.added = stock.len().min(self.added + sizes.items_per_call);
        self.added == stock.len()
    }

    pub(super) fn finish(self) -> Vec<Symbol> {
        self.stretch.finish()
    }
}
