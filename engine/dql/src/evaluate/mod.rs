//! Evaluation of expressions over documents in place.
//!
//! [`Expr::evaluate`] walks the tree once per row. Conditions are computed as [`Truth`] without building values,
//! fields are views into the stored bytes, and literals and arguments are borrowed: comparing a field with a
//! constant allocates nothing.

mod cast;
mod collection;
mod context;
mod item;
pub(crate) mod operator;
pub(crate) mod pattern;
mod truth;

use ditto_value::{Object, Value};

use crate::ast::{Case, Comparison, Expr, IsTest, Like, Root};
use crate::functions;

pub(crate) use cast::whole;
use collection::{Bound, bound, field};
pub use context::{Arguments, Context, GroupValues};
pub use item::Item;
pub(crate) use item::View;
pub(crate) use truth::Truth;

impl Expr {
    /// The value of the expression for the row of `context`. Never fails: wrong kinds give MISSING or NULL.
    pub fn evaluate<'a>(&'a self, context: &Context<'a>) -> Item<'a> {
        self.value(context, None)
    }

    /// Whether the row is kept: the expression is TRUE, not merely not FALSE.
    pub fn accepts<'a>(&'a self, context: &Context<'a>) -> bool {
        match self {
            // A conjunction is TRUE only if each part is, so the first other part decides.
            Self::And(parts) => parts.iter().all(|part| part.accepts(context)),
            Self::Or(parts) => parts.iter().any(|part| part.accepts(context)),
            other => other.truth(context, None) == Truth::True,
        }
    }

    pub(crate) fn value<'a>(&'a self, context: &Context<'a>, scope: Bound<'_, 'a>) -> Item<'a> {
        match self {
            Self::Missing => Item::Missing,
            Self::Literal(value) => Item::Borrowed(value),
            Self::Parameter(parameter) => context.arguments.get(&parameter.name),
            Self::Path(path) => match path.root {
                Root::Field(source) | Root::Source(source) => match context.source(source) {
                    Some(document) => field(document, path.members()),
                    None => Item::Missing,
                },
                Root::Document(source) => match context.source(source) {
                    Some(document) => match field(document, &path.steps) {
                        Item::Missing => Item::Ref(document),
                        member => member,
                    },
                    None => Item::Missing,
                },
                Root::Binding { up, part } => bound(scope, up, part, path.members()),
                Root::Unresolved => Item::Missing,
            },
            Self::Member { of, name } => of.value(context, scope).member(name),
            Self::Subscript { of, index } => {
                subscript(of.value(context, scope), &index.value(context, scope))
            }
            Self::Array(elements) => array(elements, context, scope),
            Self::Object(members) => object(members, context, scope),
            Self::Negate(operand) => operator::negate(&operand.value(context, scope)),
            Self::Arithmetic { operator, left, right } => {
                let (left, right) = (left.value(context, scope), right.value(context, scope));
                context.charge(operator::arithmetic(*operator, &left, &right))
            }
            Self::Case(case) => case_value(case, context, scope),
            Self::Cast { operand, to } => context.charge(cast::cast(operand.value(context, scope), *to)),
            Self::Trim { side, characters, operand } => {
                let characters = characters.as_ref().map(|characters| characters.value(context, scope));
                context.charge(functions::trim(*side, characters.as_ref(), operand.value(context, scope)))
            }
            Self::Call(call) => {
                let body = call.function.body;
                let argument = |argument: &'a Expr| argument.value(context, scope);
                context.charge(match call.arguments.as_slice() {
                    [] => body(&mut [], context),
                    [first] => body(&mut [argument(first)], context),
                    [first, second] => body(&mut [argument(first), argument(second)], context),
                    [first, second, third] => {
                        body(&mut [argument(first), argument(second), argument(third)], context)
                    }
                    many => body(&mut many.iter().map(argument).collect::<Vec<_>>(), context),
                })
            }
            Self::Aggregate { slot, .. } => {
                let values = context.group.map(|group| group.aggregates).unwrap_or_default();
                values.get(*slot).and_then(Option::as_ref).into()
            }
            Self::GroupKey { slot, .. } => {
                let values = context.group.map(|group| group.keys).unwrap_or_default();
                values.get(*slot).and_then(Option::as_ref).into()
            }
            Self::ArrayFor(transform) => collection::array_for(transform, context, scope),
            Self::ObjectFor(transform) => collection::object_for(transform, context, scope),
            Self::Compare { .. }
            | Self::Not(_)
            | Self::And(_)
            | Self::Or(_)
            | Self::Xor(..)
            | Self::Is { .. }
            | Self::In { .. }
            | Self::Between { .. }
            | Self::Like(_)
            | Self::Quantified(_) => self.truth(context, scope).into(),
        }
    }

    pub(crate) fn truth<'a>(&'a self, context: &Context<'a>, scope: Bound<'_, 'a>) -> Truth {
        match self {
            Self::Compare { operator, left, right } => {
                operator::compare(*operator, &left.value(context, scope), &right.value(context, scope))
            }
            Self::Not(operand) => operand.truth(context, scope).negated(true),
            Self::And(parts) => decide(parts, Truth::True, Truth::False, Truth::and, context, scope),
            Self::Or(parts) => decide(parts, Truth::False, Truth::True, Truth::or, context, scope),
            Self::Xor(left, right) => left.truth(context, scope).xor(right.truth(context, scope)),
            Self::Is { operand, test, negated } => {
                let item = operand.value(context, scope);
                let holds = match test {
                    IsTest::Null => item.is_null(),
                    IsTest::Missing => item.is_missing(),
                    IsTest::True => item.as_bool() == Some(true),
                    IsTest::False => item.as_bool() == Some(false),
                };
                (holds != *negated).into()
            }
            Self::In { operand, list, negated } => {
                is_in(&operand.value(context, scope), list, context, scope).negated(*negated)
            }
            Self::Between { operand, low, high, negated } => {
                let item = operand.value(context, scope);
                let low = operator::compare(Comparison::GreaterOrEqual, &item, &low.value(context, scope));
                let high = operator::compare(Comparison::LessOrEqual, &item, &high.value(context, scope));
                low.and(high).negated(*negated)
            }
            Self::Like(like) => is_like(like, context, scope).negated(like.negated),
            Self::Quantified(quantified) => collection::quantified(quantified, context, scope),
            other => Truth::of(&other.value(context, scope)),
        }
    }
}

/// Combines conditions until one of them is `decisive`.
fn decide<'a>(
    parts: &'a [Expr],
    neutral: Truth,
    decisive: Truth,
    combine: fn(Truth, Truth) -> Truth,
    context: &Context<'a>,
    scope: Bound<'_, 'a>,
) -> Truth {
    let mut result = neutral;
    for part in parts {
        result = combine(result, part.truth(context, scope));
        if result == decisive {
            break;
        }
    }
    result
}

/// A missing element becomes null.
fn array<'a>(elements: &'a [Expr], context: &Context<'a>, scope: Bound<'_, 'a>) -> Item<'a> {
    let mut values = Vec::new();
    for element in elements {
        let value = element.value(context, scope).into_value().unwrap_or_default();
        if !context.afford(&value) {
            return Item::Missing;
        }
        values.push(value);
    }
    Item::Owned(Value::Array(values))
}

/// A member without a value, or whose name is no string, is left out; the last of equal names wins.
fn object<'a>(members: &'a [(Expr, Expr)], context: &Context<'a>, scope: Bound<'_, 'a>) -> Item<'a> {
    let mut values = Vec::new();
    for (name, member) in members {
        let Some(Value::String(name)) = name.value(context, scope).into_value() else { continue };
        let Some(value) = member.value(context, scope).into_value() else { continue };
        if !context.afford(&value) {
            return Item::Missing;
        }
        values.push((name, value));
    }
    Item::Owned(Value::Object(values.into_iter().collect::<Object>()))
}

fn subscript<'a>(of: Item<'a>, index: &Item<'_>) -> Item<'a> {
    match (index.as_i64(), index.as_str()) {
        (Some(index), _) => of.element(index),
        (None, Some(name)) => of.member(name),
        (None, None) => Item::Missing,
    }
}

fn is_in<'a>(wanted: &Item<'a>, list: &'a Expr, context: &Context<'a>, scope: Bound<'_, 'a>) -> Truth {
    let Some(wanted) = wanted.view() else { return Truth::Missing };
    if let Expr::Array(elements) = list {
        // The list is written out: no array needs to be built.
        let mut result = operator::contained(wanted, std::iter::empty());
        for element in elements {
            let element = element.value(context, scope);
            let element = element.view().unwrap_or(View::Value(&Value::Null));
            result = result.or(operator::contained(wanted, std::iter::once(element)));
            if result == Truth::True {
                break;
            }
        }
        return result;
    }
    let list = list.value(context, scope);
    match list.view() {
        Some(list) if list.array_len().is_some() => operator::contained(wanted, list.elements()),
        _ => Truth::Missing,
    }
}

fn is_like<'a>(like: &'a Like, context: &Context<'a>, scope: Bound<'_, 'a>) -> Truth {
    let text = like.operand.value(context, scope);
    let pattern = like.pattern.value(context, scope);
    let escape = like.escape.as_ref().map(|escape| escape.value(context, scope));
    let operands = || [&text, &pattern].into_iter().chain(&escape);
    if let (Some(text), Some(pattern)) = (text.as_str(), pattern.as_str())
        && escape.as_ref().is_none_or(|escape| escape.as_str().is_some())
    {
        let escape = escape.as_ref().and_then(Item::as_str);
        return pattern::matches(like.dialect, text, pattern, escape).map_or(Truth::Missing, Truth::from);
    }
    if operands().all(|operand| operand.is_null() || operand.as_str().is_some()) {
        Truth::Null
    } else {
        Truth::Missing
    }
}

fn case_value<'a>(case: &'a Case, context: &Context<'a>, scope: Bound<'_, 'a>) -> Item<'a> {
    let operand = case.operand.as_ref().map(|operand| operand.value(context, scope));
    for (when, then) in &case.branches {
        let chosen = match &operand {
            Some(operand) => operator::compare(Comparison::Equal, operand, &when.value(context, scope)),
            None => when.truth(context, scope),
        };
        if chosen == Truth::True {
            return then.value(context, scope);
        }
    }
    case.otherwise.as_ref().map_or(Item::NULL, |otherwise| otherwise.value(context, scope))
}
