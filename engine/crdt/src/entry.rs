//! Entries and how two of one key merge.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use ditto_value::{Value, ValueRef};

use crate::items::Hasher;
use crate::{Kind, Path, RunId, Sequence, Stamp};

/// How many payloads of one entry of an unknown kind are kept: the greatest ones by stamp, then by bytes. Builds that know the
/// kind merge them into one, so more come together only where this many of them have written apart from each other and
/// meet in a build that does not; what is left out there is still held, and told to others, by those who wrote it.
pub const MAX_UNKNOWN_PAYLOADS: usize = 16;

/// Where the increments of one copy of a document are counted.
///
/// Named by the opening of the database in which they were made and by the sequence at which this copy began. So a copy
/// that came back after an EVICT counts in a new slot, and so does every copy after an opening: the directory may have been
/// restored meanwhile, and the maximum over a slot that went on elsewhere would swallow increments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// In which opening.
    pub run: RunId,
    /// Since when this copy is here.
    pub began: Sequence,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryKey {
    pub(crate) path: Path,
    pub(crate) kind: Kind,
}

/// An entry of a document: what it holds and when that last changed here.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    pub(crate) sequence: Sequence,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Registers and attachments: the stored form of a value, or removed.
    Register { stamp: Stamp, value: Option<Box<[u8]>> },
    /// Whether the map itself is there; its members are entries of their own.
    Map { stamp: Stamp, present: bool },
    /// Counters of both kinds.
    Counter(Counter),
    /// What a newer build wrote: (newest stamp, payload).
    Unknown(BTreeSet<(Stamp, Box<[u8]>)>),
}

/// The newest generation of a counter. A generation is opened by a declared INSERT, a RESTART or a removal, never by an
/// increment; the null one, of stamp zero, is always there. The removal of a map above the counter opens the one that
/// follows next on that which it has seen, so that any other that it has not seen is newer.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    pub(crate) generation: Stamp,
    /// What it starts from; None if removed or null. [`Amount`] bits.
    pub(crate) base: Option<u64>,
    pub(crate) slots: BTreeMap<Slot, Tally>,
}

/// What one slot has counted. Each number only grows, so the greater is the newer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Sum of the positive increments: an integer, or for PN_COUNTER the bits of a double that is not negative, which
    /// order as the doubles do.
    pub(crate) increments: u64,
    pub(crate) decrements: u64,
    /// Of the last increment.
    pub(crate) stamp: Stamp,
    /// When this slot last changed here. Local: zero in a delta.
    pub(crate) sequence: Sequence,
}

impl Tally {
    fn raise(&mut self, other: &Tally) -> bool {
        let before = (self.increments, self.decrements, self.stamp);
        self.increments = self.increments.max(other.increments);
        self.decrements = self.decrements.max(other.decrements);
        self.stamp = self.stamp.max(other.stamp);
        before != (self.increments, self.decrements, self.stamp)
    }

    fn covers(&self, other: &Tally) -> bool {
        !self.clone().raise(other)
    }

    /// What it adds to its counter.
    pub(crate) fn value(&self, kind: Kind) -> Value {
        let alone = Counter { slots: [(Slot::default(), *self)].into(), ..Counter::null() };
        alone.value(kind)
    }
}

/// The base of a counter as it orders and hashes: the bits of an i64 or, for PN_COUNTER, of an f64.
pub(crate) type Amount = u64;

fn base_order(kind: Kind, base: Option<Amount>) -> Option<i64> {
    let bits = base? as i64;
    // The bits of negative doubles order backwards.
    Some(if kind == Kind::PnCounter { bits ^ ((bits >> 63) as u64 >> 1) as i64 } else { bits })
}

/// Of two values written with one stamp the greater wins, then the greater bytes; removed is the greatest, because a removal
/// may bear the stamp of the write that it removes.
fn compare_values(left: Option<&[u8]>, right: Option<&[u8]>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => {
            ValueRef::from_stored(left).compare(ValueRef::from_stored(right)).then_with(|| left.cmp(right))
        }
        (left, right) => left.is_none().cmp(&right.is_none()),
    }
}

/// What a merge found out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Joined {
    /// The result is not what was here.
    pub(crate) changed: bool,
    /// The result is not what came.
    pub(crate) surplus: bool,
}

impl Counter {
    /// A generation of that stamp, removed.
    pub(crate) fn opened(generation: Stamp) -> Self {
        Self { generation, base: None, slots: BTreeMap::new() }
    }

    pub(crate) fn null() -> Self {
        Self::opened(Stamp::ZERO)
    }

    pub(crate) fn generation_hash(&self, key: &EntryKey, hasher: &mut Hasher) -> u128 {
        let base = self.base.map(u64::to_le_bytes);
        hasher.entry(&key.path, key.kind, self.generation, base.as_ref().map(|bytes| &bytes[..]))
    }

    pub(crate) fn is_visible(&self) -> bool {
        self.base.is_some() || !self.slots.is_empty()
    }

    /// The sum over the slots; integers are clamped to 64 bits, which a local increment never exceeds.
    pub(crate) fn value(&self, kind: Kind) -> Value {
        if kind == Kind::PnCounter {
            let sum = self.slots.values().fold(self.base.map_or(0.0, f64::from_bits), |sum, tally| {
                sum + (f64::from_bits(tally.increments) - f64::from_bits(tally.decrements))
            });
            let whole = sum as i64;
            let exact = whole.unsigned_abs() <= 1 << 53 && whole as f64 == sum;
            return if exact { Value::Int(whole) } else { Value::from(sum.clamp(f64::MIN, f64::MAX)) };
        }
        Value::Int(self.exact().clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// What it started from.
    pub(crate) fn base_value(&self, kind: Kind) -> Option<Value> {
        self.base.map(|_| Self { slots: BTreeMap::new(), ..*self }.value(kind))
    }

    /// The value of a COUNTER before clamping.
    pub(crate) fn exact(&self) -> i128 {
        let base = i128::from(self.base.unwrap_or_default() as i64);
        self.slots
            .values()
            .fold(base, |sum, tally| sum + (i128::from(tally.increments) - i128::from(tally.decrements)))
    }

    fn newest(&self) -> Stamp {
        self.slots.values().map(|tally| tally.stamp).max().unwrap_or_default().max(self.generation)
    }

    fn join(
        &mut self,
        other: &Counter,
        kind: Kind,
        entry_sequence: &mut Sequence,
        sequence: Sequence,
    ) -> Joined {
        let mut joined = Joined::default();
        match self.generation.cmp(&other.generation) {
            Ordering::Greater => return Joined { changed: false, surplus: true },
            Ordering::Less => {
                *self = Self { base: other.base, ..Self::opened(other.generation) };
                *entry_sequence = sequence;
                joined.changed = true;
            }
            Ordering::Equal => match base_order(kind, self.base).cmp(&base_order(kind, other.base)) {
                Ordering::Greater => joined.surplus = true,
                Ordering::Less => {
                    self.base = other.base;
                    *entry_sequence = sequence;
                    joined.changed = true;
                }
                Ordering::Equal => {}
            },
        }
        for (slot, theirs) in &other.slots {
            let known = self.slots.contains_key(slot);
            let ours = self.slots.entry(*slot).or_default();
            if ours.raise(theirs) || !known {
                ours.sequence = sequence;
                joined.changed = true;
            }
            joined.surplus |= !theirs.covers(ours);
        }
        joined
    }
}

impl Content {
    /// The newest stamp in it, also of what is removed.
    pub(crate) fn newest(&self) -> Stamp {
        match self {
            Self::Register { stamp, .. } | Self::Map { stamp, .. } => *stamp,
            Self::Counter(counter) => counter.newest(),
            Self::Unknown(payloads) => payloads.last().map_or(Stamp::ZERO, |(stamp, _)| *stamp),
        }
    }

    /// What this is after its removal; None if how to remove it is not known here. `stamp` is that of an UNSET of the very
    /// member. None is the removal of a map above it, which takes away what it has seen and loses to any other write,
    /// whatever its stamp is.
    pub(crate) fn removed(&self, stamp: Option<Stamp>) -> Option<Self> {
        Some(match self {
            Self::Register { stamp: old, .. } => Self::Register { stamp: stamp.unwrap_or(*old), value: None },
            Self::Map { stamp: old, .. } => Self::Map { stamp: stamp.unwrap_or(*old), present: false },
            Self::Counter(counter) => {
                Self::Counter(Counter::opened(stamp.unwrap_or(counter.generation.successor())))
            }
            // A newer build wrote it.
            Self::Unknown(_) => return None,
        })
    }

    pub(crate) fn is_removed(&self) -> bool {
        match self {
            Self::Register { value, .. } => value.is_none(),
            Self::Map { present, .. } => !present,
            Self::Counter(counter) => !counter.is_visible(),
            Self::Unknown(_) => false,
        }
    }

    pub(crate) fn for_each_hash(&self, key: &EntryKey, hasher: &mut Hasher, mut each: impl FnMut(u128)) {
        let path = &key.path;
        match self {
            Self::Register { stamp, value } => each(hasher.entry(path, key.kind, *stamp, value.as_deref())),
            Self::Map { stamp, present } => {
                each(hasher.entry(path, key.kind, *stamp, present.then_some(&[][..])));
            }
            Self::Counter(counter) => {
                each(counter.generation_hash(key, hasher));
                for (slot, tally) in &counter.slots {
                    each(hasher.slot(&key.path, key.kind, counter.generation, *slot, tally));
                }
            }
            Self::Unknown(payloads) => {
                for (stamp, payload) in payloads {
                    each(hasher.payload(&key.path, key.kind, *stamp, payload));
                }
            }
        }
    }

    /// The join of two contents of one key of that kind.
    pub(crate) fn join(
        &mut self,
        other: &Content,
        kind: Kind,
        entry_sequence: &mut Sequence,
        sequence: Sequence,
    ) -> Joined {
        if let (Self::Counter(ours), Self::Counter(theirs)) = (&mut *self, other) {
            return ours.join(theirs, kind, entry_sequence, sequence);
        }
        if let (Self::Unknown(ours), Self::Unknown(theirs)) = (&mut *self, other) {
            let mut union: BTreeSet<_> = ours.union(theirs).cloned().collect();
            while union.len() > MAX_UNKNOWN_PAYLOADS {
                union.pop_first();
            }
            let joined = Joined { changed: union != *ours, surplus: union != *theirs };
            if joined.changed {
                *ours = union;
                *entry_sequence = sequence;
            }
            return joined;
        }
        match self.compare(other) {
            Ordering::Equal => Joined::default(),
            Ordering::Greater => Joined { changed: false, surplus: true },
            Ordering::Less => {
                *self = other.clone();
                *entry_sequence = sequence;
                Joined { changed: true, surplus: false }
            }
        }
    }

    /// Which of two last-writer-wins contents wins.
    fn compare(&self, other: &Content) -> Ordering {
        let stamps = self.newest().cmp(&other.newest());
        match (self, other) {
            (Self::Register { value: ours, .. }, Self::Register { value: theirs, .. }) => {
                stamps.then_with(|| compare_values(ours.as_deref(), theirs.as_deref()))
            }
            (Self::Map { present: ours, .. }, Self::Map { present: theirs, .. }) => {
                stamps.then(theirs.cmp(ours))
            }
            // Kinds are keys, so two contents of one key are of one variant.
            _ => Ordering::Equal,
        }
    }

    /// As [`Content::join`], where nothing is recorded: of births that are shown as one.
    pub(crate) fn absorb(&mut self, other: &Content, kind: Kind) {
        match (&mut *self, other) {
            (Self::Counter(ours), Self::Counter(theirs)) => {
                let order = ours.generation.cmp(&theirs.generation);
                if order.is_lt() {
                    *ours = theirs.clone();
                } else if order.is_eq() {
                    if base_order(kind, ours.base) < base_order(kind, theirs.base) {
                        ours.base = theirs.base;
                    }
                    for (slot, tally) in &theirs.slots {
                        ours.slots.entry(*slot).or_default().raise(tally);
                    }
                }
            }
            (Self::Unknown(_), _) => {}
            _ => {
                if self.compare(other).is_lt() {
                    *self = other.clone();
                }
            }
        }
    }
}

/// The base that a value declares, if it is a number that the kind takes.
pub(crate) fn amount(kind: Kind, value: &Value) -> Option<Amount> {
    match (kind, value) {
        (Kind::Counter, Value::Int(value)) => Some(*value as u64),
        (Kind::PnCounter, value) => finite(value.as_f64()?).map(f64::to_bits),
        _ => None,
    }
}

/// Without the negative zero, so that equal amounts have equal bits.
fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number + 0.0)
}

/// Whether bits from outside are a base or, if `sum`, a tally that this kind has.
pub(crate) fn is_amount(kind: Kind, bits: u64, sum: bool) -> bool {
    let number = f64::from_bits(bits);
    let negative_zero = bits == (-0.0f64).to_bits();
    kind != Kind::PnCounter || (number.is_finite() && !negative_zero && !(sum && number < 0.0))
}

/// Why a tally does not take an increment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Uncountable {
    /// It is no number that the kind takes.
    NoNumber,
    /// The sum would be beyond all numbers that a tally may have.
    Full,
    /// The sum of doubles would not be the sum of the numbers.
    Inexact,
}

/// Adds an increment to a tally, which is undefined afterwards if that fails.
pub(crate) fn count(kind: Kind, tally: &mut Tally, by: &Value) -> Result<(), Uncountable> {
    match (kind, by) {
        (Kind::Counter, Value::Int(by)) => {
            let sum = if *by < 0 { &mut tally.decrements } else { &mut tally.increments };
            *sum = sum.checked_add(by.unsigned_abs()).ok_or(Uncountable::Full)?;
        }
        (Kind::PnCounter, by) => {
            let by = by.as_f64().and_then(finite).ok_or(Uncountable::NoNumber)?;
            let sum = if by < 0.0 { &mut tally.decrements } else { &mut tally.increments };
            let (before, step) = (f64::from_bits(*sum), by.abs());
            let after = finite(before + step).ok_or(Uncountable::Full)?;
            // What rounding took away (Knuth's two-sum).
            let added = after - before;
            let lost = (before - (after - added)) + (step - added);
            let whole = before.fract() == 0.0 && step.fract() == 0.0;
            if (whole && lost != 0.0) || (after == before && step > 0.0) {
                return Err(Uncountable::Inexact);
            }
            *sum = after.to_bits();
        }
        _ => return Err(Uncountable::NoNumber),
    }
    Ok(())
}
