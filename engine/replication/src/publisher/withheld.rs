//! What the other peer was told of and does not hold: it was refused there, or is too large to travel. No commit from there on has
//! reached it, until the document changes.

use std::collections::BTreeMap;

use ditto_crdt::Sequence;

use crate::limits::MAX_WITHHELD;
use crate::replica::{DocumentKey, Replica, ReplicaError};

/// Documents by the rows of the change log that have not reached the other peer.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    rows: BTreeMap<Sequence, DocumentKey>,
    /// From here on there were more than are remembered.
    beyond: Option<Sequence>,
}

impl Withheld {
    /// The other peer does not hold a document as it was in this row, or, if none is named, as it is now.
    pub(super) fn add(
        &mut self,
        key: &DocumentKey,
        row: Option<Sequence>,
        replica: &dyn Replica,
    ) -> Result<(), ReplicaError> {
        let Some(held) = replica.held(key)?.filter(|held| row.is_none_or(|row| held.newest == row)) else {
            return Ok(());
        };
        self.rows.insert(held.newest, key.clone());
        if self.rows.len() > MAX_WITHHELD
            && let Some((last, _)) = self.rows.pop_last()
        {
            self.beyond = Some(self.beyond.map_or(last, |beyond| beyond.min(last)));
        }
        Ok(())
    }

    /// The other peer holds a document as it was in this row, after all.
    pub(super) fn hold(&mut self, key: &DocumentKey, row: Sequence) {
        if self.rows.get(&row) == Some(key) {
            self.rows.remove(&row);
        }
    }

    /// Before the first of them that belongs to what is served. What has changed since is told by itself.
    pub(super) fn bound(
        &mut self,
        replica: &dyn Replica,
        is_served: impl Fn(&str) -> bool,
    ) -> Result<Sequence, ReplicaError> {
        let mut gone = Vec::new();
        let mut first = self.beyond;
        for (sequence, key) in &self.rows {
            if !is_served(&key.collection) {
                continue;
            }
            if replica.held(key)?.is_some_and(|held| held.newest == *sequence) {
                first = Some(first.map_or(*sequence, |beyond| beyond.min(*sequence)));
                break;
            }
            gone.push(*sequence);
        }
        gone.iter().for_each(|sequence| drop(self.rows.remove(sequence)));
        Ok(first.map_or(Sequence(u64::MAX), |first| Sequence(first.0.saturating_sub(1))))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.beyond.is_none()
    }
}
