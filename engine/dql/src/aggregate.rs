//! Grouping and aggregates: the executor offers every row, then takes the finished groups.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use ditto_value::{Number, Value, compare, key};

use crate::ast::{AggregateCall, AggregateFunction, Arithmetic, Grouping};
use crate::evaluate::{Context, GroupValues, Item, operator};

/// The running aggregates of one group.
#[derive(Debug)]
pub struct Aggregates<'q> {
    states: Vec<State<'q>>,
}

/// One aggregate.
#[derive(Debug)]
struct State<'q> {
    call: &'q AggregateCall,
    /// Keys of the values seen, for DISTINCT.
    seen: BTreeSet<Vec<u8>>,
    count: i64,
    /// Sum, least or greatest so far; for MID the least.
    value: Option<Value>,
    /// For MID the greatest.
    greatest: Option<Value>,
    /// All numbers, for MEDIAN.
    numbers: Vec<Value>,
}

impl<'q> Aggregates<'q> {
    /// Nothing accepted yet.
    pub fn new(calls: &'q [AggregateCall]) -> Self {
        let state = |call| State {
            call,
            seen: BTreeSet::new(),
            count: 0,
            value: None,
            greatest: None,
            numbers: Vec::new(),
        };
        Self { states: calls.iter().map(state).collect() }
    }

    /// Takes the row of `context` into account. O(1) for each aggregate, O(log n) for DISTINCT; MEDIAN keeps every
    /// number until [`finish`](Self::finish).
    pub fn accept<'a>(&mut self, context: &Context<'a>)
    where
        'q: 'a,
    {
        for state in &mut self.states {
            match &state.call.argument {
                None => state.count += 1,
                Some(argument) => state.accept(argument.evaluate(context)),
            }
        }
    }

    /// The values by slot; `None` is MISSING.
    pub fn finish(self) -> Vec<Option<Value>> {
        self.states.into_iter().map(State::finish).collect()
    }
}

impl State<'_> {
    fn accept(&mut self, item: Item<'_>) {
        use AggregateFunction::{Average, Count, Maximum, Median, Middle, Minimum, Sum};
        let Some(view) = item.view() else { return };
        let counts = match self.call.function {
            Count => !item.is_null() && item.as_bool() != Some(false),
            Minimum | Maximum => !item.is_null(),
            Sum | Average | Median | Middle => view.as_number().is_some(),
        };
        if !counts {
            return;
        }
        if self.call.distinct {
            let mut encoded = Vec::new();
            encode(&item, &mut encoded);
            if !self.seen.insert(encoded) {
                return;
            }
        }
        self.count += 1;
        match self.call.function {
            Count => {}
            Sum | Average => {
                let sum = Item::Owned(self.value.take().unwrap_or(Value::Int(0)));
                self.value = operator::arithmetic(Arithmetic::Add, &sum, &item).into_value();
            }
            Minimum => keep(&mut self.value, item, Ordering::Less),
            Maximum => keep(&mut self.value, item, Ordering::Greater),
            Middle => {
                keep(&mut self.value, item.clone(), Ordering::Less);
                keep(&mut self.greatest, item, Ordering::Greater);
            }
            Median => self.numbers.extend(item.into_value()),
        }
    }

    fn finish(mut self) -> Option<Value> {
        match self.call.function {
            AggregateFunction::Count => Some(Value::Int(self.count)),
            AggregateFunction::Sum | AggregateFunction::Minimum | AggregateFunction::Maximum => self.value,
            AggregateFunction::Average => Some(Value::from(float(&self.value?)? / self.count as f64)),
            AggregateFunction::Median => {
                self.numbers.sort_by(|left, right| compare(left, right));
                let middle = self.numbers.len().checked_sub(1)? / 2;
                Some(self.numbers.swap_remove(middle))
            }
            AggregateFunction::Middle => {
                let sum = operator::arithmetic(
                    Arithmetic::Add,
                    &Item::Owned(self.value?),
                    &Item::Owned(self.greatest?),
                );
                match sum.into_value()? {
                    // A middle between whole numbers need not be whole.
                    Value::Int(sum) if sum % 2 == 0 => Some(Value::Int(sum / 2)),
                    sum => Some(Value::from(float(&sum)? / 2.0)),
                }
            }
        }
    }
}

/// Appends the key of a value, nothing for MISSING.
fn encode(item: &Item<'_>, out: &mut Vec<u8>) {
    match item {
        Item::Ref(value) => key::encode(*value, out),
        Item::Borrowed(value) => key::encode(*value, out),
        Item::Owned(value) => key::encode(value, out),
        Item::Missing => {}
    }
}

fn float(value: &Value) -> Option<f64> {
    match Item::Borrowed(value).view()?.as_number()? {
        Number::Int(number) => Some(number as f64),
        Number::UInt(number) => Some(number as f64),
        Number::Float(number) => Some(number),
    }
}

/// Keeps the item if there is none yet or it compares so to the one kept.
fn keep(kept: &mut Option<Value>, item: Item<'_>, wanted: Ordering) {
    let better = match (&*kept, item.view()) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(kept), Some(view)) => view.compare(crate::evaluate::View::Value(kept)) == wanted,
    };
    if better {
        *kept = item.into_value();
    }
}

/// All groups of a statement, in memory.
#[derive(Debug)]
pub struct Groups<'q> {
    grouping: &'q Grouping,
    groups: BTreeMap<Vec<u8>, (Vec<Option<Value>>, Aggregates<'q>)>,
    /// The keys of the row at hand, encoded.
    encoded: Vec<u8>,
}

/// A finished group: key and aggregate values by slot; `None` is MISSING.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Values of [`Grouping::keys`].
    pub keys: Vec<Option<Value>>,
    /// Values of [`Grouping::aggregates`].
    pub aggregates: Vec<Option<Value>>,
}

impl Group {
    /// The group as [`Context::with_group`] takes it.
    pub fn values(&self) -> GroupValues<'_> {
        GroupValues { keys: &self.keys, aggregates: &self.aggregates }
    }
}

impl<'q> Groups<'q> {
    /// No rows yet.
    pub fn new(grouping: &'q Grouping) -> Self {
        let mut groups = BTreeMap::new();
        if grouping.keys.is_empty() {
            groups.insert(Vec::new(), (Vec::new(), Aggregates::new(&grouping.aggregates)));
        }
        Self { grouping, groups, encoded: Vec::new() }
    }

    /// Puts the row of `context` into its group. Keys are equal as values are in sort order, so 1 and 1.0 are;
    /// missing and null are groups of their own. O(log groups).
    pub fn accept<'a>(&mut self, context: &Context<'a>)
    where
        'q: 'a,
    {
        const MISSING: u8 = 0;
        const PRESENT: u8 = 1;
        self.encoded.clear();
        for expr in &self.grouping.keys {
            let item = expr.evaluate(context);
            self.encoded.push(if item.is_missing() { MISSING } else { PRESENT });
            encode(&item, &mut self.encoded);
        }
        if let Some((_, aggregates)) = self.groups.get_mut(&self.encoded) {
            return aggregates.accept(context);
        }
        let keys = self.grouping.keys.iter().map(|expr| expr.evaluate(context).into_value()).collect();
        let mut aggregates = Aggregates::new(&self.grouping.aggregates);
        aggregates.accept(context);
        self.groups.insert(self.encoded.clone(), (keys, aggregates));
    }

    /// The groups; exactly one if there are no keys, even over no rows.
    pub fn finish(self) -> Vec<Group> {
        let group = |(keys, aggregates): (_, Aggregates<'_>)| Group { keys, aggregates: aggregates.finish() };
        self.groups.into_values().map(group).collect()
    }
}
