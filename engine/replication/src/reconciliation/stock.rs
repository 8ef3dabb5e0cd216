//! What both sides do alike: reading what there is in pieces, and adding up symbols in pieces.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::symbols::{Stretch, Symbol};
use crate::limits::WORK_MS;
use crate::replica::{DocumentKey, Held, Replica, ReplicaError};
use crate::sizes::Sizes;

/// How far the documents of some collections are read.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Those that are not read to the end.
    collections: BTreeSet<Arc<str>>,
    /// Of the first one of them, the last document that was read; empty for none.
    after: Arc<[u8]>,
    /// Documents after that one which were read with it and not taken in: reading may take as long as a call works, and so may taking in.
    piece: VecDeque<(DocumentKey, Held)>,
}

impl Scan {
    pub(super) fn new(collections: impl IntoIterator<Item = Arc<str>>) -> Self {
        let collections = collections.into_iter().collect();
        Self { collections, after: Arc::default(), piece: VecDeque::new() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.collections.is_empty()
    }

    /// The work of one call. Each document is read once, as it is then, and what changes later is found by the walk; but one that is buried meanwhile may be read twice.
    pub(super) fn read(
        &mut self,
        replica: &dyn Replica,
        sizes: &Sizes,
        mut document: impl FnMut(DocumentKey, Held) -> Result<(), ReplicaError>,
    ) -> Result<(), ReplicaError> {
        for _ in 0..sizes.rows_per_call.div_ceil(sizes.rows_per_read) {
            let Some(collection) = self.collections.first() else { break };
            if self.piece.is_empty() {
                let (most, bytes) = (sizes.rows_per_read, sizes.batch_bytes);
                self.piece = replica.stock(collection, &self.after, most, bytes)?.into();
                if self.piece.is_empty() {
                    self.collections.pop_first();
                    self.after = Arc::default();
                }
            }
            while let Some((key, held)) = self.piece.pop_front() {
                self.after = key.id.clone();
                document(key, held)?;
                if replica.worked_ms() >= WORK_MS {
                    return Ok(());
                }
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
