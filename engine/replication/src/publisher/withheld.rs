//! What the other peer was told of and does not hold: it was refused there, or is too large to travel. No commit from there on has
//! reached it, until the document changes.

use std::collections::BTreeSet;

use ditto_crdt::Sequence;

use crate::limits::MAX_WITHHELD;
use crate::reconciliation::row;
use crate::replica::{Replica, ReplicaError};

/// Rows of the change log whose documents have not reached the other peer: 8 bytes each, whatever they are called. A document that
/// changes leaves its row.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    rows: BTreeSet<Sequence>,
    /// From here on there were more than are remembered.
    beyond: Option<Sequence>,
}

impl Withheld {
    /// What was not taken in earlier sessions, in ascending order.
    pub(crate) fn of(rows: Vec<Sequence>) -> Self {
        let beyond = rows.get(MAX_WITHHELD).copied();
        Self { rows: rows.into_iter().take(MAX_WITHHELD).collect(), beyond }
    }

    /// The other peer does not hold a document as it was in this row.
    pub(super) fn add(&mut self, sequence: Sequence, replica: &dyn Replica) -> Result<(), ReplicaError> {
        if row(sequence, replica)?.is_none() {
            return Ok(());
        }
        self.rows.insert(sequence);
        if self.rows.len() > MAX_WITHHELD
            && let Some(last) = self.rows.pop_last()
        {
            self.beyond = Some(self.beyond.map_or(last, |beyond| beyond.min(last)));
        }
        Ok(())
    }

    /// The other peer holds a document as it was in this row, after all.
    pub(super) fn hold(&mut self, sequence: Sequence) {
        self.rows.remove(&sequence);
    }

    /// Before the first of them that belongs to what is served. What has changed since is told by itself.
    pub(super) fn bound(
        &mut self,
        replica: &dyn Replica,
        is_served: impl Fn(&str) -> bool,
    ) -> Result<Sequence, ReplicaError> {
        let mut gone = BTreeSet::new();
        let mut first = self.beyond;
        for sequence in &self.rows {
            match row(*sequence, replica)? {
                Some(change) if is_served(&change.key.collection) => {
                    first = Some(first.map_or(*sequence, |beyond| beyond.min(*sequence)));
                    break;
                }
                Some(_) => {}
                None => {
                    gone.insert(*sequence);
                }
            }
        }
        self.rows.retain(|sequence| !gone.contains(sequence));
        Ok(first.map_or(Sequence(u64::MAX), |first| Sequence(first.0.saturating_sub(1))))
    }
}
