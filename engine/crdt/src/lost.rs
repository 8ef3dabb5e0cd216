//! What a removal takes with it.

use std::collections::{BTreeMap, BTreeSet};

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
    /// whoever removed them is not for the document to know. Takes time n log n in the document if `delta` removes anything,
    /// otherwise in the births of `delta`.
    pub fn lost_to(&self, delta: &Delta) -> Vec<Lost> {
        let removals = delta.lives.iter().filter(|(_, life)| matches!(life, DeltaLife::Removed));
        let removals: BTreeSet<Birth> = removals.map(|(birth, _)| *birth).collect();
        if removals.is_empty() {
            return Vec::new();
        }
        let (dying, surviving): (Vec<_>, Vec<_>) =
            self.living().partition(|(birth, _)| removals.contains(birth));
        let surviving = Surviving::of(surviving.into_iter().map(|(_, entries)| entries));
        // A write goes under every living birth, so one loss may be met several times.
        let mut met = BTreeSet::new();
        let mut lost = Vec::new();
        for (birth, entries) in dying {
            let spared = |key: &EntryKey, content: &Content, stamp| {
                stamp == birth.stamp || surviving.replaces(key, content, stamp)
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

/// What is newest under the births that stay alive, by key: each write is looked up once, however many births there are.
struct Surviving<'d>(BTreeMap<&'d EntryKey, Newest>);

#[derive(Default)]
struct Newest {
    write: Stamp,
    /// Of a counter.
    generation: Stamp,
}

impl<'d> Surviving<'d> {
    fn of(lives: impl Iterator<Item = &'d Entries>) -> Self {
        let mut by_key: BTreeMap<&EntryKey, Newest> = BTreeMap::new();
        for (key, entry) in lives.flatten() {
            let newest = by_key.entry(key).or_default();
            newest.write = newest.write.max(entry.content.newest());
            if let Content::Counter(counter) = &entry.content {
                newest.generation = newest.generation.max(counter.generation);
            }
        }
        Self(by_key)
    }

    /// Whether the write is visible under a birth that stays, or was replaced there.
    fn replaces(&self, key: &EntryKey, content: &Content, stamp: Stamp) -> bool {
        self.0.get(key).is_some_and(|newest| match content {
            // What is counted goes with its generation, however new it is.
            Content::Counter(counter) if newest.generation > counter.generation => true,
            _ => newest.write >= stamp,
        })
    }
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
