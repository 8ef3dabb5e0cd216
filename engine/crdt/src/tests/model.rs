//! A naive document: plain maps, no hashes, no sequences, nothing incremental. What [`crate::Document`] is compared with.

use std::collections::{BTreeMap, BTreeSet};

use ditto_value::{Object, Value};

use crate::{Birth, Slot, Stamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ModelKind {
    Register,
    Map,
    Counter,
}

type Names = Vec<String>;
type Cells = BTreeMap<(Names, ModelKind), Cell>;

#[derive(Clone, Debug)]
pub(super) enum Cell {
    Register(Stamp, Option<Value>),
    Map(Stamp, bool),
    Counter(Stamp, Option<i64>, BTreeMap<Slot, (u64, u64, Stamp)>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// None is a removed birth.
    lives: BTreeMap<Birth, Option<Cells>>,
}

impl Cell {
    fn stamp(&self) -> Stamp {
        match self {
            Cell::Register(stamp, _) | Cell::Map(stamp, _) => *stamp,
            Cell::Counter(stamp, _, slots) => {
                slots.values().map(|slot| slot.2).max().unwrap_or_default().max(*stamp)
            }
        }
    }

    fn is_shown(&self) -> bool {
        match self {
            Cell::Register(_, value) => value.is_some(),
            Cell::Map(_, present) => *present,
            Cell::Counter(_, base, slots) => base.is_some() || !slots.is_empty(),
        }
    }

    fn merged(&self, other: &Cell) -> Cell {
        match (self, other) {
            (Cell::Register(left_stamp, left), Cell::Register(right_stamp, right)) => {
                let left_wins = match (left, right) {
                    _ if left_stamp != right_stamp => left_stamp > right_stamp,
                    (Some(left), Some(right)) => left.compare(right).is_ge(),
                    (left, _) => left.is_some(),
                };
                if left_wins { self.clone() } else { other.clone() }
            }
            (Cell::Map(left, left_present), Cell::Map(right, right_present)) => {
                let (stamp, present) = (*left, *left_present).max((*right, *right_present));
                Cell::Map(stamp, present)
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
                        Cell::Counter(*left, *left_base.max(right_base), slots)
                    }
                }
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
        if !self.is_alive() {
            self.lives.insert(birth, Some(Cells::new()));
        }
        self.for_each_life(|cells| {
            for (name, value) in body {
                put(cells, vec![name.to_owned()], value, birth.stamp);
            }
        });
    }

    pub(super) fn set(&mut self, names: &[String], value: &Value, stamp: Stamp) {
        self.for_each_life(|cells| {
            put_maps(cells, names, stamp);
            put(cells, names.to_vec(), value, stamp);
        });
    }

    pub(super) fn unset(&mut self, names: &[String], stamp: Stamp) {
        self.for_each_life(|cells| {
            for ((path, _), cell) in cells.iter_mut() {
                if path.starts_with(names) && cell.is_shown() {
                    *cell = match cell {
                        Cell::Register(..) => Cell::Register(stamp, None),
                        Cell::Map(..) => Cell::Map(stamp, false),
                        Cell::Counter(..) => Cell::Counter(stamp, None, BTreeMap::new()),
                    };
                }
            }
        });
    }

    pub(super) fn increment(&mut self, names: &[String], by: i64, slot: Slot, stamp: Stamp) {
        self.for_each_life(|cells| {
            put_maps(cells, names, stamp);
            let cell = cells.entry((names.to_vec(), ModelKind::Counter)).or_insert(Cell::Counter(
                Stamp::ZERO,
                None,
                BTreeMap::new(),
            ));
            if let Cell::Counter(_, _, slots) = cell {
                let slot = slots.entry(slot).or_default();
                let side = if by < 0 { &mut slot.1 } else { &mut slot.0 };
                *side += by.unsigned_abs();
                slot.2 = stamp;
            }
        });
    }

    pub(super) fn restart(&mut self, names: &[String], with: i64, stamp: Stamp) {
        self.for_each_life(|cells| {
            put_maps(cells, names, stamp);
            let cell = Cell::Counter(stamp, Some(with), BTreeMap::new());
            cells.insert((names.to_vec(), ModelKind::Counter), cell);
        });
    }

    pub(super) fn delete(&mut self) {
        self.lives.values_mut().for_each(|life| *life = None);
    }

    pub(super) fn visible(&self, id: &Value) -> Option<Object> {
        if !self.is_alive() {
            return None;
        }
        let mut all = Cells::new();
        self.lives.values().flatten().for_each(|cells| merge_cells(&mut all, cells));
        let mut members: Object =
            children(&all, &[]).into_iter().map(|(name, (_, value))| (name, value)).collect();
        members.insert("_id", id.clone());
        Some(members)
    }
}

fn put(cells: &mut Cells, names: Names, value: &Value, stamp: Stamp) {
    if let Value::Object(members) = value {
        for (name, member) in members {
            let mut below = names.clone();
            below.push(name.to_owned());
            put(cells, below, member, stamp);
        }
        cells.insert((names, ModelKind::Map), Cell::Map(stamp, true));
    } else {
        cells.insert((names, ModelKind::Register), Cell::Register(stamp, Some(value.clone())));
    }
}

fn put_maps(cells: &mut Cells, names: &[String], stamp: Stamp) {
    for length in 1..names.len() {
        let path = names[..length].to_vec();
        let shown = |kind| cells.get(&(path.clone(), kind)).filter(|cell| cell.is_shown()).map(Cell::stamp);
        let other = shown(ModelKind::Register).max(shown(ModelKind::Counter)).unwrap_or_default();
        if shown(ModelKind::Map).is_none_or(|map| map < other) {
            cells.insert((path, ModelKind::Map), Cell::Map(stamp, true));
        }
    }
}

fn children(cells: &Cells, prefix: &[String]) -> BTreeMap<String, (Stamp, Value)> {
    let names: BTreeSet<&String> = cells
        .keys()
        .filter(|(path, _)| path.len() > prefix.len() && path.starts_with(prefix))
        .map(|(path, _)| &path[prefix.len()])
        .collect();
    let mut result = BTreeMap::new();
    for name in names {
        let mut path = prefix.to_vec();
        path.push(name.clone());
        let mut candidates: Vec<(Stamp, ModelKind, Value)> = Vec::new();
        let here = |kind| cells.get(&(path.clone(), kind)).filter(|cell| cell.is_shown());
        if let Some(Cell::Register(stamp, Some(value))) = here(ModelKind::Register) {
            candidates.push((*stamp, ModelKind::Register, value.clone()));
        }
        if let Some(cell @ Cell::Counter(_, base, slots)) = here(ModelKind::Counter) {
            let sum: i64 = slots.values().map(|(up, down, _)| *up as i64 - *down as i64).sum();
            candidates.push((cell.stamp(), ModelKind::Counter, Value::Int(base.unwrap_or(0) + sum)));
        }
        let below = children(cells, &path);
        let own = here(ModelKind::Map).map(Cell::stamp);
        let newest = below.values().map(|(stamp, _)| *stamp).max().max(own);
        if let Some(newest) = newest {
            let members: Object = below.into_iter().map(|(name, (_, value))| (name, value)).collect();
            candidates.push((newest, ModelKind::Map, members.into()));
        }
        if let Some((stamp, _, value)) = candidates.into_iter().max_by_key(|(stamp, kind, _)| (*stamp, *kind))
        {
            result.insert(name.clone(), (stamp, value));
        }
    }
    result
}
