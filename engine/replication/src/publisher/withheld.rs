//! What the other peer was told of and does not hold: it was refused there, or is too large to travel. No commit from there on has
//! reached it, until the document changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use ditto_crdt::Sequence;

use crate::limits::MAX_WITHHELD;
use crate::reconciliation::row;
use crate::replica::{DocumentKey, Replica, ReplicaError, Sent};

/// Rows of the change log whose documents have not reached the other peer, with their collections. A document that changes leaves
/// its row.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    rows: BTreeMap<Sequence, Arc<str>>,
    /// From here on there were more than are remembered.
    beyond: Option<Sequence>,
    /// Those that it has as they are from elsewhere, and has said so after this batch: that is durable when a later one is.
    declined: BTreeMap<Sequence, (u64, DocumentKey)>,
}

impl Withheld {
    /// What was not taken in earlier sessions.
    pub(crate) fn of(rows: Vec<(Sequence, Arc<str>)>) -> Self {
        let mut withheld = Self::default();
        rows.into_iter().for_each(|(row, collection)| withheld.insert(row, collection));
        withheld
    }

    fn insert(&mut self, row: Sequence, collection: Arc<str>) {
        self.rows.insert(row, collection);
        if self.rows.len() > MAX_WITHHELD
            && let Some((last, _)) = self.rows.pop_last()
        {
            self.beyond = Some(self.beyond.map_or(last, |beyond| beyond.min(last)));
        }
    }

    /// The other peer does not hold a document as it was in this row.
    pub(super) fn add(
        &mut self,
        sequence: Sequence,
        collection: &Arc<str>,
        replica: &dyn Replica,
    ) -> Result<(), ReplicaError> {
        if row(sequence, replica)?.is_some() {
            self.declined.remove(&sequence);
            self.insert(sequence, Arc::clone(collection));
        }
        Ok(())
    }

    /// The other peer holds a document as it was in this row, after all.
    pub(super) fn hold(&mut self, sequence: Sequence) {
        self.rows.remove(&sequence);
    }

    /// It has said so when a document was offered, after this batch was sent.
    pub(super) fn decline(&mut self, sequence: Sequence, key: &DocumentKey, after: u64) {
        if self.rows.contains_key(&sequence) {
            self.declined.insert(sequence, (after, key.clone()));
        }
    }

    /// It has acknowledged a batch. Answers with what it has said to hold before that was sent.
    pub(super) fn acknowledge(&mut self, batch: u64) -> Vec<Sent> {
        let is_before =
            |(row, (after, _)): (&Sequence, &(u64, DocumentKey))| (*after < batch).then_some(*row);
        let rows: Vec<_> = self.declined.iter().filter_map(is_before).collect();
        let mut held = Vec::with_capacity(rows.len());
        for row in rows {
            self.hold(row);
            let key = self.declined.remove(&row).map(|(_, key)| key);
            held.extend(key.map(|key| Sent { key, from: Sequence(0), row: Some(row) }));
        }
        held
    }

    /// Before the first of them that belongs to what is served. What has changed since is told by itself.
    pub(super) fn bound(
        &mut self,
        replica: &dyn Replica,
        is_served: impl Fn(&str) -> bool,
    ) -> Result<Sequence, ReplicaError> {
        let (mut gone, mut first) = (Vec::new(), self.beyond);
        for (sequence, _) in self.rows.iter().filter(|(_, collection)| is_served(collection)) {
            if row(*sequence, replica)?.is_some() {
                first = Some(first.map_or(*sequence, |beyond| beyond.min(*sequence)));
                break;
            }
            gone.push(*sequence);
        }
        gone.iter().for_each(|sequence| self.hold(*sequence));
        Ok(first.map_or(Sequence(u64::MAX), |first| Sequence(first.0.saturating_sub(1))))
    }

    /// Bytes that this takes.
    pub(super) fn memory(&self) -> usize {
        const ROW_BYTES: usize = 48;
        ROW_BYTES * (self.rows.len() + self.declined.len())
    }
}
