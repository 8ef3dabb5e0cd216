//! A register that everybody writes: `bed` of the documents that are never deleted. Of all writes that were acknowledged the one with
//! the greatest stamp stays, or a later one.
//!
//! The stamp of a write is read from the bytes of its delta (docs/file-format.md, *Delta*), not asked of the code that compares stamps.
//! Each value is written once, so that what is seen says which write it is of.

use std::cmp::Ordering;

use ditto_crdt::Sequence;
use ditto_replication::Replica;
use ditto_store::StoreError;
use ditto_value::{Object, Value};

use crate::incident::{Incident, count};
use crate::newer::name;
use crate::peer::Peer;
use crate::random::Random;
use crate::world::World;

/// In so many of a hundred worlds everybody writes it.
const WORLDS: u64 = 30;
/// Of a hundred deeds of an application so many are followed by such a write.
const DEEDS: u64 = 20;
/// So many documents of those that a peer has it writes to, the first ones, so that others write to the same.
const DOCUMENTS: u64 = 3;

/// The entry of the register in a delta, up to its stamp: path, kind, and that a stamp follows.
const ENTRY: [u8; 7] = [4, b'b', b'e', b'd', 0, 0, 2];

/// Time and site.
type Stamp = (u64, u64);

/// One write to such a register; without a value it was unset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The document.
    pub document: String,
    /// What was written.
    pub value: Option<i64>,
    /// `None` if it failed: nobody knows whether it was made, and with which stamp.
    pub stamp: Option<Stamp>,
    /// Its commit, while the disk it was made on goes on; `None` if it failed, or once the disk was replaced by an older image.
    pub sequence: Option<Sequence>,
}

impl Write {
    /// Which of two writes wins: the greater stamp; at equal stamps *removed*, and then the greater value.
    fn compare(&self, other: &Self) -> Ordering {
        let rank = |write: &Self| (write.stamp, write.value.is_none(), write.value);
        rank(self).cmp(&rank(other))
    }
}

/// The dice of a world in which everybody writes such registers: other ones than those of its story. The seeds that are stories of
/// `tests/seeds.rs` have none.
pub(crate) fn dice(seed: u64) -> Option<Random> {
    let mut dice = Random::new(seed ^ 0x1914_1914_1914_1914);
    dice.percent(WORLDS).then_some(dice)
}

/// The stamp of the write in its delta.
fn stamp(delta: &[u8]) -> Option<Stamp> {
    let at = delta.windows(ENTRY.len()).position(|bytes| bytes == ENTRY)? + ENTRY.len();
    let number = |from: usize| Some(u64::from_le_bytes(delta.get(from..from + 8)?.try_into().ok()?));
    Some((number(at)?, number(at + 8)?))
}

/// What [`Sabotage::RaisedStamps`](crate::sabotage::Sabotage::RaisedStamps) does: the end of the minute.
pub(crate) fn raise(delta: &mut [u8]) {
    const MILLISECONDS_AND_COUNTER: usize = 4;
    let at = delta.windows(ENTRY.len()).position(|bytes| bytes == ENTRY).map(|at| at + ENTRY.len());
    if let Some(time) = at.and_then(|at| delta.get_mut(at..at + MILLISECONDS_AND_COUNTER)) {
        time.fill(u8::MAX);
    }
}

impl World {
    /// Now and then a peer writes, or unsets, what others write as well.
    pub(crate) fn contend(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(dice) = &mut self.contention else { return Ok(()) };
        if !dice.percent(DEEDS) {
            return Ok(());
        }
        let mut documents = self.peers[peer].living("plants");
        documents.retain(|id| id.starts_with("keep"));
        let choice = usize::try_from(dice.below(DOCUMENTS)).unwrap_or(0);
        let is_unset = dice.percent(15);
        let Some(document) = documents.into_iter().nth(choice) else { return Ok(()) };
        self.counter += 1;
        let value = (!is_unset).then_some(self.counter as i64);
        let mut arguments = Object::from([("id", Value::from(document.as_str()))]);
        let statement = match value {
            Some(value) => {
                arguments.insert("value", value);
                "UPDATE plants SET bed = :value WHERE _id = :id"
            }
            None => "UPDATE plants UNSET bed WHERE _id = :id",
        };
        let before = self.peers[peer].last_sequence();
        let outcome = self.execute(peer, statement, &arguments);
        let mut write = Write { document, value, stamp: None, sequence: None };
        match outcome {
            Ok(true) => {
                write.sequence = Some(self.peers[peer].last_sequence());
                write.stamp =
                    self.peers[peer].changed_since(&write.document, before).as_deref().and_then(stamp);
                if write.stamp.is_none() {
                    self.verdicts.push(format!("the delta of {write:?} has no stamp"));
                }
            }
            Ok(false) => return Ok(()),
            Err(_) => {}
        }
        let is_others = |other: &Peer| other.number != peer && other.ledger.contends(&write.document);
        let is_contested = self.peers.iter().any(is_others);
        count(&mut self.tally, Incident::Contested, u64::from(is_contested));
        self.peers[peer].ledger.contend(write);
        outcome.map(|_| ())
    }
}

impl Peer {
    /// What has changed of a document of `plants` after a sequence.
    fn changed_since(&self, id: &str, after: Sequence) -> Option<Vec<u8>> {
        let process = self.process.as_ref()?;
        Some(process.replica.delta_since(&name(id), after).ok()??.delta)
    }
}

/// Of some writes to one document, what is wrong with what is seen; `is_certain` says of which it is known that they are there.
pub(crate) fn wrong<'w>(
    seen: Option<i64>,
    writes: impl Iterator<Item = (&'w Write, bool)> + Clone,
) -> Option<String> {
    let certain = writes.clone().filter(|(_, is_certain)| *is_certain).map(|(write, _)| write);
    let greatest = certain.max_by(|one, other| one.compare(other))?;
    let mut shown = writes.map(|(write, _)| write).filter(|write| write.value == seen);
    let is_later = |write: &Write| write.stamp.is_none() || write.compare(greatest).is_ge();
    (!shown.any(is_later)).then(|| format!("although this was acknowledged: {greatest:?}"))
}
