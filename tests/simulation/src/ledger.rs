//! What the applications were told is done, and what must therefore be seen at the end.

use std::collections::{BTreeMap, BTreeSet};

use ditto_crdt::{Birth, Sequence};

use crate::contested::Write;

/// A local write that must not get lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// A field of a document that nobody deletes, written once.
    Field(String, String),
    /// The deletion of a document that nobody inserts again.
    Deletion(String),
    /// What this build does not know of a document that nobody deletes.
    Unknown(String),
    /// A birth of a document that everybody deletes and inserts, unless somebody deletes it who has seen that birth.
    Birth(String, Birth),
}

impl Promise {
    /// The document that it is about.
    #[must_use]
    pub fn document(&self) -> &str {
        match self {
            Self::Field(id, _) | Self::Birth(id, _) | Self::Deletion(id) | Self::Unknown(id) => id,
        }
    }
}

/// An increment of a counter that nobody deletes, unsets or restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Increment {
    document: String,
    amount: i64,
    /// Its commit, while the disk it was made on goes on; `None` if it failed, or once the disk was replaced by an older
    /// image, so that only other peers may know of it.
    sequence: Option<Sequence>,
}

/// A register that one peer writes alone, in a document that nobody deletes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register {
    /// The collection.
    pub collection: &'static str,
    /// The document.
    pub document: String,
    /// The field.
    pub field: String,
}

/// What was written to a register; `None` where it was unset.
#[derive(Clone, Debug, Default)]
struct Written {
    /// With the commits that are there, oldest first.
    acknowledged: Vec<(Sequence, Option<i64>)>,
    /// What may be there or not: the write failed, or its disk was replaced by an older image, so that only other peers may know
    /// of it.
    perhaps: Vec<Option<i64>>,
}

/// What one peer wrote, by the sequences of its commits.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    promises: BTreeMap<Promise, Sequence>,
    increments: Vec<Increment>,
    registers: BTreeMap<Register, Written>,
    contested: Vec<Write>,
}

impl Ledger {
    /// A promise was made.
    pub fn promise(&mut self, promise: Promise, sequence: Sequence) {
        self.promises.insert(promise, sequence);
    }

    /// A counter was incremented.
    pub fn increment(&mut self, document: &str, amount: i64, sequence: Sequence) {
        self.increments.push(Increment { document: document.to_owned(), amount, sequence: Some(sequence) });
    }

    /// An increment failed in the middle of a write: nobody knows whether it was made.
    pub fn perhaps_increment(&mut self, document: &str, amount: i64) {
        self.increments.push(Increment { document: document.to_owned(), amount, sequence: None });
    }

    /// A register was written.
    pub fn write(&mut self, register: Register, value: Option<i64>, sequence: Sequence) {
        self.registers.entry(register).or_default().acknowledged.push((sequence, value));
    }

    /// Writing a register failed: nobody knows whether it was written.
    pub fn perhaps_write(&mut self, register: Register, value: Option<i64>) {
        self.registers.entry(register).or_default().perhaps.push(value);
    }

    /// A register that everybody writes was written, or perhaps was.
    pub fn contend(&mut self, write: Write) {
        self.contested.push(write);
    }

    /// Whether the register of a document that everybody writes was written here.
    #[must_use]
    pub fn contends(&self, document: &str) -> bool {
        self.contested.iter().any(|write| write.document == document)
    }

    /// What was written to registers that everybody writes.
    pub fn contested(&self) -> &[Write] {
        &self.contested
    }

    /// The process ended, and this is the last commit that is left. Nobody has been told of the later ones.
    pub fn lost_after(&mut self, last: Sequence) {
        self.promises.retain(|_, sequence| *sequence <= last);
        self.increments.retain(|increment| increment.sequence.is_none_or(|sequence| sequence <= last));
        for written in self.registers.values_mut() {
            written.acknowledged.retain(|(sequence, _)| *sequence <= last);
        }
        self.contested.retain(|write| write.sequence.is_none_or(|sequence| sequence <= last));
    }

    /// An older image took the place of the disk, and this is its last commit. Others may know of the later ones.
    pub fn restored_to(&mut self, last: Sequence) {
        self.promises.retain(|_, sequence| *sequence <= last);
        for increment in &mut self.increments {
            increment.sequence = increment.sequence.filter(|sequence| *sequence <= last);
        }
        for written in self.registers.values_mut() {
            let kept = written.acknowledged.partition_point(|(sequence, _)| *sequence <= last);
            written.perhaps.extend(written.acknowledged.drain(kept..).map(|(_, value)| value));
        }
        for write in &mut self.contested {
            write.sequence = write.sequence.filter(|sequence| *sequence <= last);
        }
    }

    /// The registers, each with what may be seen of it: what was written last, or what may be there besides.
    pub fn registers(&self) -> impl Iterator<Item = (&Register, Vec<Option<i64>>)> {
        self.registers.iter().map(|(register, written)| {
            let newest = written.acknowledged.last().and_then(|(_, value)| *value);
            (register, [newest].into_iter().chain(written.perhaps.iter().copied()).collect())
        })
    }

    /// Everything that was promised and not lost.
    pub fn promises(&self) -> impl Iterator<Item = &Promise> {
        self.promises.keys()
    }

    /// Whether something was written to a document that must not get lost.
    #[must_use]
    pub fn concerns(&self, document: &str) -> bool {
        self.contends(document) || self.promises.keys().any(|promise| promise.document() == document)
    }

    /// Whether a counter was incremented here.
    #[must_use]
    pub fn counts(&self, document: &str) -> bool {
        self.increments.iter().any(|increment| increment.document == document)
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> BTreeSet<String> {
        self.increments.iter().map(|increment| increment.document.clone()).collect()
    }

    /// What a counter has got from this peer, which another one has heard of, or perhaps has.
    #[must_use]
    pub fn counted(&self, document: &str, was_heard: bool) -> Counted {
        let mut counted = Counted::default();
        for increment in self.increments.iter().filter(|increment| increment.document == document) {
            let amount = increment.amount;
            let is_certain = was_heard && increment.sequence.is_some();
            counted.certain += if is_certain { amount } else { 0 };
            counted.least += if is_certain || amount < 0 { amount } else { 0 };
            counted.most += if is_certain || amount > 0 { amount } else { 0 };
        }
        counted
    }
}

/// Sums of increments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Of those that must be seen.
    pub certain: i64,
    /// With those others that make it less.
    pub least: i64,
    /// With those others that make it more.
    pub most: i64,
}
