//! Key ranges of a scan, once the arguments are known.
//!
//! Everything is in terms of encoded values ([`ditto_value::key`]): no encoding is the beginning of another, so that all
//! rows whose field has the encoding `e` are those that begin with `e`, and they end where `e` with its last byte one
//! higher begins. An interval is a pair of such beginnings, for a field in ascending order; one of a descending field is
//! turned around at the end.

use ditto_dql::{Context, End, Expr, Item, Test, like_prefix};
use ditto_storage::prefix_end;
use ditto_value::{Value, ValueKind, key};

use super::Scan;
use super::condition::{KeyCondition, tests};
use crate::catalog::Collection;
use crate::index::MAX_INDEXED_BYTES;
use crate::layout;

/// Rows from `low` up to and without `high`; `None` is the end of the keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub low: Vec<u8>,
    pub high: Option<Vec<u8>>,
}

impl KeyRange {
    /// All rows that begin so.
    pub(crate) fn of_prefix(prefix: Vec<u8>) -> Self {
        Self { high: prefix_end(&prefix), low: prefix }
    }

    /// What lies in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let high = match (&self.high, &other.high) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.as_ref().or(other.as_ref()),
        };
        Self { low: (&self.low).max(&other.low).clone(), high: high.cloned() }
    }
}

/// The ranges of a scan, in ascending order, without overlaps.
#[derive(Debug)]
pub(crate) struct Ranges {
    pub list: Vec<KeyRange>,
    /// Whether they hold no unmarked row but those that the conditions of the scan select, as far as these are exact.
    pub is_exact: bool,
}

/// A part of the values of a field: all with an encoding from `low` up to and without `high`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interval {
    low: Vec<u8>,
    high: Vec<u8>,
    /// One value, or those with one long beginning: every encoding in it begins with `low`.
    is_point: bool,
}

impl Interval {
    fn point(encoded: Vec<u8>) -> Option<Self> {
        Some(Self { high: prefix_end(&encoded)?, low: encoded, is_point: true })
    }

    fn of_first_bytes((low, high): (u8, u8)) -> Self {
        Self { low: vec![low], high: vec![high], is_point: false }
    }

    /// Everything that a field can be.
    fn everything() -> Self {
        Self::of_first_bytes((1, key::MISSING + 1))
    }

    /// All values but null, which is the last one.
    fn values() -> Self {
        Self::of_first_bytes((1, key::first_bytes(ValueKind::Null).0))
    }

    fn is_empty(&self) -> bool {
        self.low >= self.high
    }

    /// The same for a field whose bytes are inverted.
    fn inverted(&self) -> Option<Self> {
        // The first encoding behind all that begin with `high` is the first in the other direction.
        Some(Self {
            low: if self.is_point { invert(&self.low) } else { prefix_end(&invert(&self.high))? },
            high: prefix_end(&invert(&self.low))?,
            is_point: self.is_point,
        })
    }
}

fn invert(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

impl Scan {
    /// Whether there can be more ranges than are made, for some arguments.
    pub(crate) fn may_overflow(&self, filter: Option<&Expr>) -> bool {
        let count = |test: Test<'_>| match test {
            Test::In(Expr::Literal(Value::Array(elements))) => elements.len(),
            Test::In(_) => usize::MAX,
            Test::NotEqual(_) => 2,
            _ => 1,
        };
        let of_condition = |condition: &KeyCondition| {
            let tests = condition.place.find(filter).into_iter().flat_map(tests);
            tests.map(count).fold(0, usize::saturating_add)
        };
        let of_key = |conditions: &Vec<KeyCondition>| {
            // What is in all of them has at most as many parts as they have together.
            conditions.iter().map(of_condition).fold(0, usize::saturating_add)
        };
        self.conditions.iter().map(of_key).fold(1, usize::saturating_mul) > self.max_ranges
    }

    /// The ranges for these arguments.
    pub(crate) fn ranges(
        &self,
        filter: Option<&Expr>,
        collection: &Collection,
        context: &Context<'_>,
    ) -> Ranges {
        let prefix = match &self.index {
            Some(index) => layout::index_prefix(index.id),
            None => layout::collection_prefix(collection.id),
        };
        let mut single = Vec::with_capacity(64);
        single.extend_from_slice(&prefix);
        let mut prefixes = vec![single];
        let limited = self.values_of.map_or(0, |position| position + 1).max(self.conditions.len());
        for position in 0..limited {
            let conditions = self.conditions.get(position).map(Vec::as_slice).unwrap_or_default();
            let field = self.key(position);
            // The `_id` behind the fields is never cut.
            let longest = if field.is_some() { MAX_INDEXED_BYTES } else { usize::MAX };
            // The common case at little cost: the key is equal to one value.
            if let ([condition], [prefix]) = (conditions, &mut prefixes[..])
                && self.values_of != Some(position)
                && let Some(Test::Equal(value)) = condition.single_test(filter)
            {
                let start = prefix.len();
                if !append(&value.evaluate(context), longest, prefix) {
                    return Ranges { list: Vec::new(), is_exact: true };
                }
                if field.is_some_and(|field| field.descending) {
                    prefix.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
                }
                continue;
            }
            let mut intervals = intervals(conditions, filter, longest, context);
            if self.values_of == Some(position) {
                intervals = intersected(&intervals, &[Interval::values()]);
            }
            if field.is_some_and(|field| field.descending) {
                intervals = intervals.iter().rev().filter_map(Interval::inverted).collect();
            }
            let count = prefixes.len().saturating_mul(intervals.len());
            if count > self.max_ranges {
                return Ranges { list: all_between(&prefixes, &intervals), is_exact: false };
            }
            if count == 0 || !intervals.iter().all(|interval| interval.is_point) {
                return Ranges { list: product(&prefixes, &intervals), is_exact: true };
            }
            prefixes = prefixes
                .iter()
                .flat_map(|prefix| intervals.iter().map(|point| [&prefix[..], &point.low].concat()))
                .collect();
        }
        Ranges { list: prefixes.into_iter().map(KeyRange::of_prefix).collect(), is_exact: true }
    }
}

fn product(prefixes: &[Vec<u8>], intervals: &[Interval]) -> Vec<KeyRange> {
    let range = |prefix: &[u8], interval: &Interval| KeyRange {
        low: [prefix, &interval.low].concat(),
        high: Some([prefix, &interval.high].concat()),
    };
    prefixes.iter().flat_map(|prefix| intervals.iter().map(|interval| range(prefix, interval))).collect()
}

/// One range from the first to the last.
fn all_between(prefixes: &[Vec<u8>], intervals: &[Interval]) -> Vec<KeyRange> {
    let (Some(first), Some(last)) = (prefixes.first(), prefixes.last()) else { return Vec::new() };
    let (Some(low), Some(high)) = (intervals.first(), intervals.last()) else { return Vec::new() };
    vec![KeyRange { low: [&first[..], &low.low].concat(), high: Some([&last[..], &high.high].concat()) }]
}

/// The values for which all conditions can be TRUE, everything if there are none, in ascending order, without overlaps.
fn intervals(
    conditions: &[KeyCondition],
    filter: Option<&Expr>,
    longest: usize,
    context: &Context<'_>,
) -> Vec<Interval> {
    let mut all: Option<Vec<Interval>> = None;
    for condition in conditions {
        let mut any = Vec::new();
        for test in condition.place.find(filter).into_iter().flat_map(tests) {
            of_test(&test, longest, context, &mut any);
        }
        let any = united(any);
        all = Some(match all {
            None => any,
            Some(all) => intersected(&all, &any),
        });
    }
    all.unwrap_or_else(|| vec![Interval::everything()])
}

fn united(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.retain(|interval| !interval.is_empty());
    intervals.sort_by(|left, right| left.low.cmp(&right.low));
    let mut united: Vec<Interval> = Vec::with_capacity(intervals.len());
    for interval in intervals {
        match united.last_mut() {
            Some(last) if interval.low < last.high => {
                if interval.low != last.low || interval.high != last.high {
                    last.is_point = false;
                }
                last.high = (&last.high).max(&interval.high).clone();
            }
            _ => united.push(interval),
        }
    }
    united
}

fn intersected(left: &[Interval], right: &[Interval]) -> Vec<Interval> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut both = Vec::new();
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let interval = Interval {
            low: (&one.low).max(&other.low).clone(),
            high: (&one.high).min(&other.high).clone(),
            is_point: one.is_point || other.is_point,
        };
        if one.high <= other.high {
            left.next();
        } else {
            right.next();
        }
        if !interval.is_empty() {
            both.push(interval);
        }
    }
    both
}

/// The encoding of a value that a field can be equal to, and its kind; the encoding is cut as it is in rows.
fn encoded(item: &Item<'_>, longest: usize) -> Option<(Vec<u8>, ValueKind)> {
    let mut encoded = Vec::new();
    append(item, longest, &mut encoded).then_some(())?;
    Some((encoded, item.kind()?))
}

/// Appends that encoding; whether there is one.
fn append(item: &Item<'_>, longest: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    match item {
        Item::Ref(value) if value.kind() != ValueKind::Null => key::encode(*value, out),
        Item::Borrowed(value) if **value != Value::Null => key::encode(*value, out),
        Item::Owned(value) if *value != Value::Null => key::encode(value, out),
        _ => return false,
    }
    out.truncate(start.saturating_add(longest));
    true
}

fn of_test(test: &Test<'_>, longest: usize, context: &Context<'_>, out: &mut Vec<Interval>) {
    match test {
        Test::Equal(value) => {
            out.extend(
                encoded(&value.evaluate(context), longest).and_then(|(value, _)| Interval::point(value)),
            );
        }
        Test::In(list) => of_list(list.evaluate(context), longest, out),
        Test::NotEqual(value) => {
            let Some((value, kind)) = encoded(&value.evaluate(context), longest) else { return };
            let kind = Interval::of_first_bytes(key::first_bytes(kind));
            match Interval::point(value) {
                // Values that only begin like this one are unequal to it.
                Some(point) if point.low.len() < longest => out.extend([
                    Interval { high: point.low, ..kind.clone() },
                    Interval { low: point.high, ..kind },
                ]),
                _ => out.push(kind),
            }
        }
        Test::Range { low, high } => of_range(*low, *high, longest, context, out),
        Test::Like { pattern, escape } => {
            let pattern = pattern.evaluate(context);
            let Some(pattern) = pattern.as_str() else { return };
            let strings = Interval::of_first_bytes(key::first_bytes(ValueKind::String));
            let escape = escape.map(|escape| escape.evaluate(context));
            let escape = match &escape {
                None => None,
                Some(escape) => match escape.as_str().map(|escape| (escape, escape.chars().next())) {
                    Some((text, Some(escape))) if text.len() == escape.len_utf8() => Some(escape),
                    _ => return out.push(strings),
                },
            };
            let (prefix, _) = like_prefix(pattern, escape);
            let mut low = key::of(&Value::from(prefix));
            // Without the terminator, so that what continues the text lies behind it.
            low.truncate(low.len().saturating_sub(2).min(longest));
            match prefix_end(&low) {
                Some(high) => out.push(Interval { low, high, is_point: false }),
                None => out.push(strings),
            }
        }
        Test::Null => out.extend(Interval::point(key::of(&Value::Null))),
        Test::Missing => out.extend(Interval::point(vec![key::MISSING])),
        Test::Boolean(value) => out.extend(Interval::point(key::of(&Value::Bool(*value)))),
    }
}

fn of_list(list: Item<'_>, longest: usize, out: &mut Vec<Interval>) {
    let mut add = |element: Item<'_>| {
        out.extend(encoded(&element, longest).and_then(|(value, _)| Interval::point(value)));
    };
    match &list {
        Item::Missing => {}
        Item::Ref(value) => value.elements().for_each(|element| add(Item::Ref(element))),
        Item::Borrowed(value) => value.as_array().into_iter().flatten().for_each(|e| add(Item::Borrowed(e))),
        Item::Owned(value) => value.as_array().into_iter().flatten().for_each(|e| add(Item::Borrowed(e))),
    }
}

fn of_range(
    low: Option<End<'_>>,
    high: Option<End<'_>>,
    longest: usize,
    context: &Context<'_>,
    out: &mut Vec<Interval>,
) {
    let mut range: Option<Interval> = None;
    for (end, is_low) in [(low, true), (high, false)] {
        let Some(end) = end else { continue };
        let Some((value, kind)) = encoded(&end.value.evaluate(context), longest) else { return };
        let mut part = Interval::of_first_bytes(key::first_bytes(kind));
        // A value that was cut stands for all that begin so: they are in the range, and asked again.
        let included = end.included || value.len() == longest;
        let Some(behind) = prefix_end(&value) else { return };
        match (is_low, included) {
            (true, true) => part.low = value,
            (true, false) => part.low = behind,
            (false, true) => part.high = behind,
            (false, false) => part.high = value,
        }
        range = Some(match range {
            None => part,
            Some(range) => {
                Interval { low: range.low.max(part.low), high: range.high.min(part.high), is_point: false }
            }
        });
    }
    out.extend(range);
}
