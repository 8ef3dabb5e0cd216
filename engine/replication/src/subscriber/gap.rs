//! Questions that are open, and what their answers say that the other peer lacks.

use std::collections::HashSet;

use ditto_crdt::Version;

use crate::message::{Found, bits};
use crate::questions::{Owed, Respondent};
use crate::replica::{DocumentKey, Outcome};

#[derive(Debug)]
pub(super) struct Lacked {
    pub(super) question: u64,
    pub(super) hashes: Option<HashSet<u128>>,
    /// Version of our copy when we asked.
    pub(super) asked: Version,
}

/// A question of ours without an answer.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) question: u64,
    /// The batch that waits for it, and the document's place in what is applied with it; `None` if it is only about what the
    /// publisher lacks.
    pub(super) batch: Option<(u64, usize)>,
    pub(super) key: DocumentKey,
    pub(super) hashes: Option<Vec<u128>>,
    /// Version of our copy, of which these are the hashes.
    pub(super) version: Version,
    /// How often had been evicted here: what the answer does not repeat may be gone if that has changed.
    pub(super) evictions: u64,
    pub(super) asked: u64,
}

impl Open {
    pub(super) fn bytes(&self) -> usize {
        let hashes = self.hashes.as_ref().map_or(0, |hashes| 16 * hashes.len());
        self.key.collection.len() + self.key.id.len() + hashes
    }
}

impl Lacked {
    /// `None` if the other peer knows everything that was mentioned.
    pub(super) fn of(open: &Open, found: &Found) -> Option<Self> {
        let Some(hashes) = &open.hashes else {
            return Some(Self { question: open.question, hashes: None, asked: open.version });
        };
        if found.lacked.is_empty() {
            return None;
        }
        let lacked = hashes.iter().enumerate();
        let lacked = lacked.filter(|(index, _)| bits::get(&found.lacked, *index)).map(|(_, hash)| *hash);
        Some(Self { question: open.question, hashes: Some(lacked.collect()), asked: open.version })
    }
}

/// Promises the other peer what it lacks, unless there is nothing.
pub(super) fn owe(
    lacked: Option<&Lacked>,
    key: &DocumentKey,
    outcome: Outcome,
    stated: Version,
    respondent: &mut Respondent,
) {
    let Some(lacked) = lacked.filter(|_| outcome.after != stated) else { return };
    let untouched = outcome.before.unwrap_or_default() == lacked.asked;
    respondent.owe(Owed {
        question: lacked.question,
        key: key.clone(),
        lacked: lacked.hashes.clone(),
        settled: untouched.then_some(outcome.after),
    });
}
