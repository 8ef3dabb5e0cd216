//! A naive document: what it is meant to show, in the words of the language, and not how it is stored. What
//! [`crate::Document`] is compared with.
//!
//! Every write that is known is kept. An UNSET of a member is one more write to it, of nothing; from what is below that
//! member it takes away the writes that it sees there, and no others.

use std::collections::{BTreeMap, BTreeSet};

use ditto_value::{Object, Value};

use crate::{Birth, Definition, Definitions, Kind, MAX_UNKNOWN_PAYLOADS, Slot, Stamp};

/// In the order in which a reader prefers them when the stamps are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ModelKind {
    Register,
    Map,
    Counter,
    PnCounter,
    Attachment,
    Unknown(u8),
}

impl ModelKind {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Register => Self::Register,
            Kind::Map => Self::Map,
            Kind::Counter => Self::Counter,
            Kind::PnCounter => Self::PnCounter,
            Kind::Attachment => Self::Attachment,
            Kind::Unknown(code) => Self::Unknown(code),
        }
    }
}

type Names = Vec<String>;
type Cells = BTreeMap<(Names, ModelKind), Cell>;

/// Increments, decrements and the last stamp of each slot. Doubles, which are exact for what the tests count.
type Slots = BTreeMap<Slot, (f64, f64, Stamp)>;

/// A register, an attachment or whether a map itself is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes {
    /// By whom and when; None is an UNSET.
    written: BTreeMap<Stamp, Option<Value>>,
    /// Those that an UNSET further up saw.
    taken: BTreeSet<Stamp>,
}

impl Writes {
    /// The newest write, if it stands.
    fn shown(&self) -> Option<(Stamp, &Value)> {
        let (stamp, value) = self.written.last_key_value()?;
        (!self.taken.contains(stamp)).then_some(value.as_ref().map(|value| (*stamp, value)))?
    }

    fn merge(&mut self, other: &Writes) {
        for (stamp, theirs) in &other.written {
            let ours = self.written.entry(*stamp).or_insert_with(|| theirs.clone());
            // INITIAL documents that differ are one write all the same.
            if let (Some(left), Some(right)) = (&*ours, theirs) {
                let order = left.compare(right).then_with(|| left.encode().cmp(&right.encode()));
                *ours = Some(if order.is_ge() { left.clone() } else { right.clone() });
            }
        }
        self.taken.extend(&other.taken);
    }
}

/// What a counter starts from. Of two of them the later one counts, and only what was counted since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation {
    /// Who set, restarted or removed the counter.
    stamp: Stamp,
    /// How often an UNSET further up has removed it since.
    removals: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Cell {
    Written(Writes),
    /// Of both kinds.
    Counter(Generation, Option<f64>, Slots),
    Unknown(BTreeSet<(Stamp, Vec<u8>)>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// None is a removed birth.
    lives: BTreeMap<Birth, Option<Cells>>,
}

impl Cell {
    /// When what is shown was last written; None if nothing is.
    fn shown(&self) -> Option<Stamp> {
        match self {
            Cell::Written(writes) => writes.shown().map(|(stamp, _)| stamp),
            Cell::Counter(_, None, slots) if slots.is_empty() => None,
            Cell::Counter(generation, _, slots) => {
                Some(slots.values().map(|slot| slot.2).max().unwrap_or_default().max(generation.stamp))
            }
            Cell::Unknown(payloads) => {
                Some(payloads.iter().map(|(stamp, _)| *stamp).max().unwrap_or_default())
            }
        }
    }

    fn merged(&self, other: &Cell) -> Cell {
        match (self, other) {
            (Cell::Written(left), Cell::Written(right)) => {
                let mut both = left.clone();
                both.merge(right);
                Cell::Written(both)
            }
            (Cell::Counter(left, left_base, left_slots), Cell::Counter(right, right_base, right_slots)) => {
                match left.cmp(right) {
                    std::cmp::Ordering::Greater => self.clone(),
                    std::cmp::Ordering::Less => other.clone(),
                    std::cmp::Ordering::Equal => {
                        let mut slots = left_slots.clone();
                        for (slot, (up, down, stamp)) in right_slots {
                            let ours = slots.entry(*slot).or_default();
                            *ours = (ours.0.max(*up), ours.1.max(*down), ours.2.max(*stamp));
                        }
                        // None is less than any number.
                        let base = if left_base >= right_base { left_base } else { right_base };
                        Cell::Counter(*left, *base, slots)
                    }
                }
            }
            (Cell::Unknown(left), Cell::Unknown(right)) => {
                let all: BTreeSet<_> = left.union(right).cloned().collect();
                Cell::Unknown(all.into_iter().rev().take(MAX_UNKNOWN_PAYLOADS).collect())
            }
            _ => unreachable!("the kind is in the key"),
        }
    }
}

fn merge_cells(into: &mut Cells, from: &Cells) {
    for (key, cell) in from {
        let merged = into.get(key).map_or_else(|| cell.clone(), |ours| ours.merged(cell));
        into.insert(key.clone(), merged);
    }
}

impl Model {
    pub(super) fn merge(&mut self, other: &Model) {
        for (birth, theirs) in &other.lives {
            let ours = self.lives.entry(*birth).or_insert_with(|| Some(Cells::new()));
            match (&mut *ours, theirs) {
                (Some(ours), Some(theirs)) => merge_cells(ours, theirs),
                _ => *ours = None,
            }
        }
    }

    fn is_alive(&self) -> bool {
        self.lives.values().any(Option::is_some)
    }

    fn for_each_life(&mut self, write: impl FnMut(&mut Cells)) {
        self.lives.values_mut().flatten().for_each(write);
    }

    pub(super) fn insert(&mut self, body: &Object, birth: Birth) {
        if birth == Birth::INITIAL && !self.lives.is_empty() {
            return;
        }
        if !self.is_alive() {
            self.lives.insert(birth, Some(Cells::new()));
        }
        self.for_each_life(|cells| {
            for (name, value) in body {
                put(cells, vec![name.to_owned()], value, birth.stamp);
            }
        });
    }

    /// An INSERT that declares `name` to be a counter.
    pub(super) fn insert_counter(&mut self, name: &str, kind: Kind, from: f64, birth: Birth) {
        self.insert(&Object::new(), birth);
        self.for_each_life(|cells| {
            let generation = Generation { stamp: birth.stamp, removals: 0 };
            let cell = Cell::Counter(generation, Some(from), Slots::new());
            cells.insert((vec![name.to_owned()], ModelKind::of(kind)), cell);
        });
    }

    pub(super) fn set(&mut self, names: &[String], value: &Value, stamp: Stamp) {
        self.for_each_life(|cells| {
            put_maps(cells, names, stamp);
            put(cells, names.to_vec(), value, stamp);
        });
    }

    /// Assigns a value as one unit, whatever it is.
    pub(super) fn set_as(&mut self, names: &[String], kind: Kind, value: &Value, stamp: Stamp) {
        self.for_each_life(|cells| {
            put_maps(cells, names, stamp);
            write(cells, (names.to_vec(), ModelKind::of(kind)), stamp, Some(value.clone()));
        });
    }

    /// What a newer build wrote arrives.
    pub(super) fn receive_unknown(&mut self, names: &[String], code: u8, stamp: Stamp, payload: &[u8]) {
        let cell = Cell::Unknown([(stamp, payload.to_vec())].into());
        let cells = Cells::from([((names.to_vec(), ModelKind::Unknown(code)), cell)]);
        self.for_each_life(|ours| merge_cells(ours, &cells));
    }

    pub(super) fn unset(&mut self, names: &[String], stamp: Stamp) {
        self.for_each_life(|cells| {
            for ((path, _), cell) in cells.iter_mut() {
                if !path.starts_with(names) || cell.shown().is_none() {
                    continue;
                }
                let is_named = path.len() == names.len();
                match cell {
                    Cell::Written(writes) if is_named => drop(writes.written.insert(stamp, None)),
                    Cell::Written(writes) => writes.taken.extend(writes.written.keys()),
                    Cell::Counter(generation, base, slots) => {
                        *generation = match is_named {
                            true => Generation { stamp, removals: 0 },
                            false => Generation { removals: generation.removals + 1, ..*generation },
                        };
                        *base = None;
                        slots.clear();
                    }
                    Cell::Unknown(_) => {}
                }
            }
        });
    }

    pub(super) fn increment(&mut self, names: &[String], kind: Kind, by: f64, slot: Slot, stamp: Stamp) {
        self.for_each_life(|cells| {
            put_maps(cells, names, stamp);
            let key = (names.to_vec(), ModelKind::of(kind));
            let cell = cells.entry(key).or_insert(Cell::Counter(Generation::default(), None, Slots::new()));
            if let Cell::Counter(_, _, slots) = cell {
                let slot = slots.entry(slot).or_default();
                let side = if by < 0.0 { &mut slot.1 } else { &mut slot.0 };
                *side += by.abs();
                slot.2 = stamp;
            }
        });
    }

    pub(super) fn restart(&mut self, names: &[String], with: i64, stamp: Stamp) {
        self.for_each_life(|cells| {
            put_maps(cells, names, stamp);
            let generation = Generation { stamp, removals: 0 };
            let cell = Cell::Counter(generation, Some(with as f64), Slots::new());
            cells.insert((names.to_vec(), ModelKind::Counter), cell);
        });
    }

    pub(super) fn delete(&mut self) {
        self.lives.values_mut().for_each(|life| *life = None);
    }

    pub(super) fn visible(&self, id: &Value, definitions: &Definitions) -> Option<Object> {
        if !self.is_alive() {
            return None;
        }
        let mut all = Cells::new();
        self.lives.values().flatten().for_each(|cells| merge_cells(&mut all, cells));
        let mut members: Object =
            children(&all, &[], definitions).into_iter().map(|(name, (_, value))| (name, value)).collect();
        members.insert("_id", id.clone());
        Some(members)
    }
}

/// The only kind that a statement with these definitions sees at a path.
fn only(definitions: &Definitions, path: &[String]) -> Option<ModelKind> {
    let (first, rest) = path.split_first()?;
    let mut found = definitions.get(first);
    for name in rest {
        found = found.and_then(|definition: &Definition| definition.members.get(name));
    }
    let otherwise = if definitions.strict { Some(ModelKind::Register) } else { None };
    found.map(|definition| ModelKind::of(definition.kind)).or(otherwise)
}

fn write(cells: &mut Cells, key: (Names, ModelKind), stamp: Stamp, value: Option<Value>) {
    let cell = cells.entry(key).or_insert_with(|| Cell::Written(Writes::default()));
    if let Cell::Written(writes) = cell {
        writes.written.insert(stamp, value);
    }
}

/// That a map is there.
fn put_map(cells: &mut Cells, names: Names, stamp: Stamp) {
    write(cells, (names, ModelKind::Map), stamp, Some(Object::new().into()));
}

fn put(cells: &mut Cells, names: Names, value: &Value, stamp: Stamp) {
    if value.get("metadata").is_some() {
        // The only objects of the tests with such a member are tokens.
        write(cells, (names, ModelKind::Attachment), stamp, Some(value.clone()));
    } else if let Value::Object(members) = value {
        for (name, member) in members {
            let mut below = names.clone();
            below.push(name.to_owned());
            put(cells, below, member, stamp);
        }
        put_map(cells, names, stamp);
    } else {
        write(cells, (names, ModelKind::Register), stamp, Some(value.clone()));
    }
}

fn put_maps(cells: &mut Cells, names: &[String], stamp: Stamp) {
    for length in 1..names.len() {
        let path = names[..length].to_vec();
        let shown = |kind| cells.get(&(path.clone(), kind)).and_then(Cell::shown);
        let kinds = cells.keys().filter(|(here, kind)| *here == path && *kind != ModelKind::Map);
        let other = kinds.filter_map(|(_, kind)| shown(*kind)).max().unwrap_or_default();
        if shown(ModelKind::Map).is_none_or(|map| map < other) {
            put_map(cells, path, stamp);
        }
    }
}

fn children(cells: &Cells, prefix: &[String], definitions: &Definitions) -> BTreeMap<String, (Stamp, Value)> {
    let names: BTreeSet<&String> = cells
        .keys()
        .filter(|(path, _)| path.len() > prefix.len() && path.starts_with(prefix))
        .map(|(path, _)| &path[prefix.len()])
        .collect();
    let mut result = BTreeMap::new();
    for name in names {
        let mut path = prefix.to_vec();
        path.push(name.clone());
        let only = only(definitions, &path);
        let mut candidates: Vec<(Stamp, ModelKind, Value)> = Vec::new();
        for ((_, kind), cell) in
            cells.iter().filter(|((here, kind), _)| *here == path && *kind != ModelKind::Map)
        {
            let Some(stamp) = cell.shown() else { continue };
            let value = match cell {
                Cell::Written(writes) => writes.shown().map(|(_, value)| value.clone()),
                Cell::Counter(_, base, slots) => {
                    let sum: f64 = slots.values().map(|(up, down, _)| up - down).sum();
                    Some(number(base.unwrap_or(0.0) + sum))
                }
                Cell::Unknown(_) => None,
            };
            candidates.extend(value.map(|value| (stamp, *kind, value)));
        }
        let below = children(cells, &path, definitions);
        let own = cells.get(&(path, ModelKind::Map)).and_then(Cell::shown);
        let newest = below.values().map(|(stamp, _)| *stamp).max().max(own);
        if let Some(newest) = newest {
            let members: Object = below.into_iter().map(|(name, (_, value))| (name, value)).collect();
            candidates.push((newest, ModelKind::Map, members.into()));
        }
        candidates.retain(|(_, kind, _)| only.is_none_or(|only| only == *kind));
        if let Some((stamp, _, value)) = candidates.into_iter().max_by_key(|(stamp, kind, _)| (*stamp, *kind))
        {
            result.insert(name.clone(), (stamp, value));
        }
    }
    result
}

fn number(value: f64) -> Value {
    if value.fract() == 0.0 { Value::Int(value as i64) } else { Value::from(value) }
}
