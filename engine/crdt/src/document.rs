//! The decoded form of a document, for writing and merging.

use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry as Place};

use crate::delta::{Delta, DeltaLife};
use crate::entry::{Content, Counter, Entry, EntryKey, Joined, Tally};
use crate::items::Hasher;
use crate::spread::Spread;
use crate::{Birth, Hlc, Sequence, Size, Slot, Stamp, Version};

/// Everything that is known of one document but its `_id`, which never changes.
///
/// Writing methods take the local sequence that the change gets; [`Document::delta_since`] finds changes by it.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub(crate) lives: BTreeMap<Birth, Life>,
    /// At least the newest stamp of the living births and their entries.
    pub(crate) newest: Stamp,
    pub(crate) newest_sequence: Sequence,
    pub(crate) began: Sequence,
    pub(crate) spread: Spread,
}

/// What became of a birth.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// When this birth was learned of or removed here.
    pub(crate) sequence: Sequence,
    pub(crate) state: LifeState,
}

#[derive(Clone, Debug)]
pub(crate) enum LifeState {
    /// Absorbs everything that was and will be written under this birth.
    Removed,
    Living(Entries),
}

pub(crate) type Entries = BTreeMap<EntryKey, Entry>;

/// What [`Document::merge`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The document is not what it was.
    pub changed: bool,
    /// A part of the delta was older than what is here, or written under a birth that is removed here: its sender
    /// lacks something that this document holds.
    pub surplus: bool,
    /// A part of the delta was written under a birth that is removed here: its sender takes for alive what is dead.
    pub absorbed: bool,
}

impl Document {
    /// A document of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// A deleted document of which only the births are left: what a grave is turned into to be merged with.
    pub fn buried(births: impl IntoIterator<Item = Birth>, sequence: Sequence) -> Self {
        let mut document = Self::new();
        document.merge(&Delta::removed(births), sequence);
        document
    }

    /// Whether some birth is not removed.
    pub fn is_alive(&self) -> bool {
        self.living().next().is_some()
    }

    /// Whether anything is known at all, be it a deletion.
    pub fn is_known(&self) -> bool {
        !self.lives.is_empty()
    }

    /// The digest of all births and entries. Linear in the document; a [`Record`](crate::Record) has it at hand.
    pub fn version(&self) -> Version {
        if self.is_known() { Version::of(&[&self.canonical()]) } else { Version::NOTHING }
    }

    /// How large it is in memory. Linear in the document.
    pub fn size(&self) -> Size {
        let mut size = Size::of_births(self.lives.len());
        for (_, entries) in self.living() {
            size.add(Size::of_entries(entries.len()));
            entries.iter().for_each(|(key, entry)| size.add(Size::within(key, &entry.content)));
        }
        size
    }

    /// The time that a write must exceed. O(1).
    pub fn newest_stamp(&self) -> Hlc {
        self.newest.time
    }

    /// The sequence of the last change, [`Sequence::ZERO`] if there was none.
    pub fn newest_sequence(&self) -> Sequence {
        self.newest_sequence
    }

    /// The sequence at which this copy began, with its first change or with the first after it was dead: what counter slots
    /// are named by.
    pub fn began(&self) -> Sequence {
        self.began
    }

    /// The births that are not removed.
    pub fn living_births(&self) -> impl Iterator<Item = Birth> + '_ {
        self.living().map(|(birth, _)| birth)
    }

    /// The births that are removed: what is left of the document in a grave.
    pub fn removed_births(&self) -> impl Iterator<Item = Birth> + '_ {
        self.lives
            .iter()
            .filter(|(_, life)| matches!(life.state, LifeState::Removed))
            .map(|(birth, _)| *birth)
    }

    pub(crate) fn living(&self) -> impl Iterator<Item = (Birth, &Entries)> {
        self.lives.iter().filter_map(|(birth, life)| match &life.state {
            LifeState::Living(entries) => Some((*birth, entries)),
            LifeState::Removed => None,
        })
    }

    /// Removes every birth that is known here. Returns false, and changes nothing, if none was alive.
    pub fn delete(&mut self, sequence: Sequence) -> bool {
        if !self.is_alive() {
            return false;
        }
        self.touch(sequence);
        for life in self.lives.values_mut() {
            if matches!(life.state, LifeState::Living(_)) {
                *life = Life { sequence, state: LifeState::Removed };
            }
        }
        self.newest = Stamp::ZERO;
        true
    }

    /// Records that something changes at `sequence`.
    pub(crate) fn touch(&mut self, sequence: Sequence) {
        if !self.is_alive() {
            self.began = sequence;
        }
        self.newest_sequence = self.newest_sequence.max(sequence);
    }

    /// Takes over whatever is new in `delta`: the join of both. Linear in the delta, logarithmic in the document; linear in
    /// both if `delta` removes births.
    pub fn merge(&mut self, delta: &Delta, sequence: Sequence) -> Merged {
        self.take(delta.clone(), sequence)
    }

    /// [`Document::merge`], which does not leave the delta in memory a second time.
    pub fn take(&mut self, delta: Delta, sequence: Sequence) -> Merged {
        let was_alive = self.is_alive();
        let mut total = Joined::default();
        let (mut absorbed, mut removes) = (false, false);
        for (birth, theirs) in delta.lives {
            let is_living = matches!(theirs, DeltaLife::Living(_));
            let joined = self.merge_life(birth, theirs, sequence);
            total.changed |= joined.changed;
            total.surplus |= joined.surplus;
            absorbed |= is_living && self.removed(birth);
            removes |= !is_living && joined.changed;
        }
        // Once for all births, of which there may be very many.
        if removes {
            self.newest = self.newest_of_living();
        }
        if total.changed {
            if !was_alive {
                self.began = sequence;
            }
            self.newest_sequence = self.newest_sequence.max(sequence);
        }
        Merged { changed: total.changed, surplus: total.surplus, absorbed }
    }

    fn removed(&self, birth: Birth) -> bool {
        self.lives.get(&birth).is_some_and(|life| matches!(life.state, LifeState::Removed))
    }

    /// Leaves `newest` as it is where a birth is removed.
    fn merge_life(&mut self, birth: Birth, theirs: DeltaLife, sequence: Sequence) -> Joined {
        match (self.lives.entry(birth), theirs) {
            (Place::Vacant(place), DeltaLife::Removed) => {
                place.insert(Life { sequence, state: LifeState::Removed });
                Joined { changed: true, surplus: false }
            }
            (Place::Vacant(place), DeltaLife::Living(contents)) => {
                self.newest = self.newest.max(birth.stamp);
                let arriving = |(key, content): (EntryKey, Content)| {
                    self.newest = self.newest.max(content.newest());
                    (key, arriving(content, sequence))
                };
                // All at once: nodes that are filled one by one in order stay half empty.
                let entries: Entries = contents.into_iter().map(arriving).collect();
                place.insert(Life { sequence, state: LifeState::Living(entries) });
                Joined { changed: true, surplus: false }
            }
            (Place::Occupied(mut place), theirs) => {
                let life = place.get_mut();
                match (&mut life.state, theirs) {
                    (LifeState::Removed, DeltaLife::Removed) => Joined::default(),
                    (LifeState::Removed, DeltaLife::Living(_)) => Joined { changed: false, surplus: true },
                    (LifeState::Living(_), DeltaLife::Removed) => {
                        *life = Life { sequence, state: LifeState::Removed };
                        Joined { changed: true, surplus: false }
                    }
                    (LifeState::Living(entries), DeltaLife::Living(contents)) => {
                        let mut total = Joined::default();
                        for (key, content) in contents {
                            self.newest = self.newest.max(content.newest());
                            let joined = match entries.get_mut(&key) {
                                Some(entry) => {
                                    let Entry { content: ours, sequence: last } = entry;
                                    ours.join(&content, key.kind, last, sequence)
                                }
                                None => {
                                    entries.insert(key, arriving(content, sequence));
                                    Joined { changed: true, surplus: false }
                                }
                            };
                            total.changed |= joined.changed;
                            total.surplus |= joined.surplus;
                        }
                        total
                    }
                }
            }
        }
    }

    fn newest_of_living(&self) -> Stamp {
        let of_life = |(birth, entries): (Birth, &Entries)| {
            entries.values().map(|entry| entry.content.newest()).max().unwrap_or_default().max(birth.stamp)
        };
        self.living().map(of_life).max().unwrap_or_default()
    }

    /// The births and entries that changed here after `after`; everything after [`Sequence::ZERO`].
    pub fn delta_since(&self, after: Sequence) -> Delta {
        if self.newest_sequence <= after {
            return Delta::default();
        }
        self.select(
            |_, life| life.sequence > after,
            |_, key, entry| match &entry.content {
                Content::Counter(counter) => {
                    let slots = newer_slots(counter, after);
                    let wanted = entry.sequence > after || !slots.is_empty();
                    wanted.then(|| {
                        let Counter { generation, base, .. } = *counter;
                        (key.clone(), Content::Counter(Counter { generation, base, slots }))
                    })
                }
                content => (entry.sequence > after).then(|| (key.clone(), content.clone())),
            },
        )
    }

    /// The hashes of all births, entries and slots, in no particular order.
    pub fn entry_hashes(&self) -> Vec<u128> {
        let mut hashes = Vec::new();
        for (birth, life) in &self.lives {
            let mut hasher = Hasher::new(*birth);
            match &life.state {
                LifeState::Removed => hashes.push(hasher.birth(false)),
                LifeState::Living(entries) => {
                    hashes.push(hasher.birth(true));
                    for (key, entry) in entries {
                        entry.content.for_each_hash(key, &mut hasher, |hash| hashes.push(hash));
                    }
                }
            }
        }
        hashes
    }

    /// What somebody lacks who holds what hashes to `known`, see [`Document::entry_hashes`].
    pub fn delta_lacking(&self, known: &HashSet<u128>) -> Delta {
        self.select(
            |birth, life| {
                let living = matches!(life.state, LifeState::Living(_));
                !known.contains(&Hasher::new(birth).birth(living))
            },
            |hasher, key, entry| {
                let Content::Counter(counter) = &entry.content else {
                    let mut lacking = false;
                    entry.content.for_each_hash(key, hasher, |hash| lacking |= !known.contains(&hash));
                    return lacking.then(|| (key.clone(), entry.content.clone()));
                };
                let slots: BTreeMap<_, _> = counter
                    .slots
                    .iter()
                    .filter(|(slot, tally)| {
                        let hash = hasher.slot(&key.path, key.kind, counter.generation, **slot, tally);
                        !known.contains(&hash)
                    })
                    .map(|(slot, tally)| (*slot, *tally))
                    .collect();
                let lacking = !slots.is_empty() || !known.contains(&counter.generation_hash(key, hasher));
                let Counter { generation, base, .. } = *counter;
                lacking.then(|| (key.clone(), Content::Counter(Counter { generation, base, slots })))
            },
        )
    }

    fn select(
        &self,
        birth_is_wanted: impl Fn(Birth, &Life) -> bool,
        mut wanted_part: impl FnMut(&mut Hasher, &EntryKey, &Entry) -> Option<(EntryKey, Content)>,
    ) -> Delta {
        let mut lives = Vec::new();
        for (birth, life) in &self.lives {
            let wanted = birth_is_wanted(*birth, life);
            match &life.state {
                LifeState::Removed if wanted => lives.push((*birth, DeltaLife::Removed)),
                LifeState::Removed => {}
                LifeState::Living(entries) => {
                    let mut hasher = Hasher::new(*birth);
                    let contents: Vec<_> = entries
                        .iter()
                        .filter_map(|(key, entry)| wanted_part(&mut hasher, key, entry))
                        .collect();
                    if wanted || !contents.is_empty() {
                        lives.push((*birth, DeltaLife::Living(contents)));
                    }
                }
            }
        }
        Delta { lives }
    }
}

fn newer_slots(counter: &Counter, after: Sequence) -> BTreeMap<Slot, Tally> {
    let newer = counter.slots.iter().filter(|(_, tally)| tally.sequence > after);
    newer.map(|(slot, tally)| (*slot, *tally)).collect()
}

/// An entry from a delta, for a place where there was none.
fn arriving(mut content: Content, sequence: Sequence) -> Entry {
    if let Content::Counter(counter) = &mut content {
        counter.slots.values_mut().for_each(|tally| tally.sequence = sequence);
    }
    Entry { content, sequence }
}
