//! Questions that are open, and what their answers say that the other peer lacks.

use std::collections::HashSet;

use ditto_crdt::Version;

use crate::event::CloseReason;
use crate::message::{Found, bits};
use crate::questions::{Owed, Respondent};
use crate::replica::{DocumentKey, Outcome};
use crate::turn::Turn;

#[derive(Debug)]
pub(super) struct Lacked {
    pub(super) question: u64,
    /// Of the hashes that were mentioned, those that it knows and those that it does not; `None` if it was asked for everything.
    hashes: Option<(Vec<u128>, HashSet<u128>)>,
    /// Version of our copy when we asked.
    asked: Version,
}

/// A question of ours without an answer.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) question: u64,
    pub(super) purpose: Purpose,
    pub(super) key: DocumentKey,
    pub(super) hashes: Option<Vec<u128>>,
    /// Version of our copy, of which these are the hashes.
    pub(super) version: Version,
    /// How often had been evicted here: what the answer does not repeat may be gone if that has changed.
    pub(super) evictions: u64,
    pub(super) asked: u64,
}

/// What a question is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// A batch waits for the answer; the document's place in what is applied with it.
    Gap(u64, usize),
    /// What the publisher lacks.
    Surplus,
    /// Something that came by itself after this batch, and that the publisher takes for told. The batches after that wait.
    Again(u64),
}

impl Open {
    pub(super) fn bytes(&self) -> usize {
        let hashes = self.hashes.as_ref().map_or(0, |hashes| 16 * hashes.len());
        self.key.collection.len() + self.key.id.len() + hashes
    }
}

impl Lacked {
    /// Bytes of hashes, those that are looked for counted twice.
    pub(super) fn bytes(&self) -> usize {
        self.hashes.as_ref().map_or(0, |(known, unknown)| 16 * known.len() + 32 * unknown.len())
    }

    /// Forgets which entries they are: all of the document is sent back.
    pub(super) fn forget_hashes(&mut self) {
        self.hashes = None;
    }

    /// `None` if the other peer knows everything that was mentioned.
    pub(super) fn of(open: &Open, found: &Found) -> Option<Self> {
        let Some(hashes) = &open.hashes else {
            return Some(Self { question: open.question, hashes: None, asked: open.version });
        };
        if !bits::any(&found.lacked) {
            return None;
        }
        let (mut known, mut unknown) = (Vec::new(), HashSet::new());
        for (index, hash) in hashes.iter().enumerate() {
            if bits::get(&found.lacked, index) {
                unknown.insert(*hash);
            } else {
                known.push(*hash);
            }
        }
        Some(Self { question: open.question, hashes: Some((known, unknown)), asked: open.version })
    }
}

/// Promises the other peer what it lacks, unless there is nothing: everything but what it is known to hold, since what it
/// lacked may be replaced by something else by then.
pub(super) fn owe(
    lacked: Option<&Lacked>,
    key: &DocumentKey,
    outcome: Outcome,
    stated: Version,
    respondent: &mut Respondent,
    turn: &Turn<'_>,
) -> Result<(), CloseReason> {
    let Some(Lacked { question, hashes, asked }) = lacked.filter(|_| outcome.after != stated) else {
        return Ok(());
    };
    let untouched = outcome.before.unwrap_or_default() == *asked;
    let held = match hashes {
        None => None,
        // Everything else that is here now was here when it was asked for, or came with the answer.
        Some((_, unknown)) if untouched => {
            let (_, mut here) = turn.replica.entry_hashes(key)?;
            here.retain(|hash| !unknown.contains(hash));
            Some(here)
        }
        Some((known, _)) => Some(known.clone()),
    };
    respondent.owe(Owed {
        question: *question,
        key: key.clone(),
        held,
        settled: untouched.then_some(outcome.after),
    })?;
    Ok(())
}
