//! What a removal takes with it.

use std::collections::BTreeSet;

use ditto_value::{Object, Value, ValueRef};

use crate::delta::{Delta, DeltaLife};
use crate::document::Entries;
use crate::entry::{Content, EntryKey};
use crate::{Birth, Document, Kind, Path, Sequence, Stamp};

/// Something that was written to a document and that a removal absorbs.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// The member.
    pub path: Path,
    /// As what it was written.
    pub kind: Kind,
    /// Who wrote it, and when.
    pub stamp: Stamp,
    /// The local sequence at which it last changed here.
    pub sequence: Sequence,
    /// What was written; of a counter what this writer added in all. None for a kind of a newer build.
    pub value: Option<Value>,
}

impl Document {
    /// What merging `delta` would absorb: the entries of living births that `delta` removes.
    ///
    /// Left out is what came with a birth, because documents travel whole and whoever removed the birth has seen its INSERT;
    /// what is removed already; and what is written under a birth that stays alive as well. Whether the others were seen by
    /// whoever removed them is not for the document to know. Linear in the document if `delta` removes anything,
    /// otherwise in the births of `delta`.
    pub fn lost_to(&self, delta: &Delta) -> Vec<Lost> {
        let removals = delta.lives.iter().filter(|(_, life)| matches!(life, DeltaLife::Removed));
        let removals: BTreeSet<Birth> = removals.map(|(birth, _)| *birth).collect();
        if removals.is_empty() {
            return Vec::new();
        }
        let (dying, surviving): (Vec<_>, Vec<_>) =
            self.living().partition(|(birth, _)| removals.contains(birth));
        // A write goes under every living birth, so one loss may be met several times.
        let mut met = BTreeSet::new();
        let mut lost = Vec::new();
        for (birth, entries) in dying {
            let spared = |key: &EntryKey, content: &Content, stamp| {
                stamp == birth.stamp || survives(&surviving, key, content, stamp)
            };
            let found = without_implied_maps(written(entries, spared));
            lost.extend(
                found.into_iter().filter(|lost| met.insert((lost.path.clone(), lost.kind, lost.stamp))),
            );
        }
        lost
    }
}

/// What is written in `entries` and not `spared`, in order.
fn written(entries: &Entries, spared: impl Fn(&EntryKey, &Content, Stamp) -> bool) -> Vec<Lost> {
    let mut list = Vec::new();
    for (key, entry) in entries {
        let mut add = |stamp, sequence, value| {
            if !spared(key, &entry.content, stamp) {
                list.push(Lost { path: key.path.clone(), kind: key.kind, stamp, sequence, value });
            }
        };
        match &entry.content {
            Content::Register { stamp, value: Some(value) } => {
                add(*stamp, entry.sequence, Some(ValueRef::from_stored(value).to_value()));
            }
            Content::Map { stamp, present: true } => {
                add(*stamp, entry.sequence, Some(Value::Object(Object::new())));
            }
            Content::Register { value: None, .. } | Content::Map { present: false, .. } => {}
            Content::Counter(counter) => {
                if let Some(base) = counter.base_value(key.kind) {
                    add(counter.generation, entry.sequence, Some(base));
                }
                for tally in counter.slots.values() {
                    add(tally.stamp, tally.sequence, Some(tally.value(key.kind)));
                }
            }
            Content::Unknown(payloads) => {
                payloads.iter().for_each(|(stamp, _)| add(*stamp, entry.sequence, None));
            }
        }
    }
    list
}

/// Whether the write is visible under another birth, or was replaced there.
fn survives(surviving: &[(Birth, &Entries)], key: &EntryKey, content: &Content, stamp: Stamp) -> bool {
    let replaces = |other: &Content| match (content, other) {
        // What is counted goes with its generation, however new it is.
        (Content::Counter(ours), Content::Counter(theirs)) if theirs.generation > ours.generation => true,
        _ => other.newest() >= stamp,
    };
    surviving.iter().any(|(_, entries)| entries.get(key).is_some_and(|entry| replaces(&entry.content)))
}

/// Drops the maps below which something is listed: they were made for that. The list is in the order of its paths.
fn without_implied_maps(lost: Vec<Lost>) -> Vec<Lost> {
    let implied: Vec<bool> = lost
        .iter()
        .enumerate()
        .map(|(index, map)| {
            let mut below =
                lost.iter().skip(index + 1).take_while(|other| map.path.is_prefix_of(&other.path));
            map.kind == Kind::Map && below.any(|other| other.path != map.path)
        })
        .collect();
    lost.into_iter().zip(implied).filter(|(_, implied)| !implied).map(|(lost, _)| lost).collect()
}
