//! Loops over arrays and objects: ANY, EVERY, ARRAY … FOR, OBJECT … FOR.

use std::ops::ControlFlow;

use ditto_value::{Object, Value, ValueKind, ValueRef};

use super::{Context, Item, Truth};
use crate::ast::{ArrayFor, Binding, BindingPart, Expr, ObjectFor, Quantified, Quantifier};

/// The element that a binding is at, and the bindings around it.
#[derive(Debug)]
pub(crate) struct Scope<'s, 'a> {
    key: Item<'a>,
    value: Item<'a>,
    outer: Option<&'s Scope<'s, 'a>>,
}

/// A scope, if there is one.
pub(crate) type Bound<'s, 'a> = Option<&'s Scope<'s, 'a>>;

/// A bound name with its member steps.
pub(super) fn bound<'a>(scope: Bound<'_, 'a>, up: usize, part: BindingPart, members: &[String]) -> Item<'a> {
    let mut scope = scope;
    for _ in 0..up {
        scope = scope.and_then(|scope| scope.outer);
    }
    let Some(scope) = scope else { return Item::Missing };
    let item = match part {
        BindingPart::Key => &scope.key,
        BindingPart::Value => &scope.value,
    };
    if let Item::Owned(value) = item {
        let member = members.iter().try_fold(value, |value, name| value.get(name));
        return member.cloned().into();
    }
    members.iter().fold(item.clone(), |item, name| item.member(name))
}

/// Why a loop gives no ordinary result.
enum Broken {
    /// The source is missing, or the work exceeds its bounds.
    Missing,
    /// The source is neither array nor object.
    Null,
}

impl From<Broken> for Item<'_> {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Missing => Self::Missing,
            Broken::Null => Self::NULL,
        }
    }
}

/// Calls `act` with key and value of each element until it breaks. Keys are made only if `keys`.
fn each<'a>(
    context: &Context<'a>,
    source: Item<'a>,
    within: bool,
    keys: bool,
    act: &mut dyn FnMut(Item<'a>, Item<'a>) -> ControlFlow<()>,
) -> Result<(), Broken> {
    match source.kind() {
        None => return Err(Broken::Missing),
        Some(ValueKind::Array | ValueKind::Object) => {}
        Some(_) => return Err(Broken::Null),
    }
    let mut counted = |key: Item<'a>, value: Item<'a>| {
        if context.visit() { act(key, value) } else { ControlFlow::Break(()) }
    };
    let _ = children(source, within, keys, &mut counted);
    if context.exhausted() { Err(Broken::Missing) } else { Ok(()) }
}

/// The direct elements, or all descendants, parents before children.
fn children<'a>(
    source: Item<'a>,
    within: bool,
    keys: bool,
    act: &mut dyn FnMut(Item<'a>, Item<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let index = |position: usize| match i64::try_from(position) {
        Ok(position) if keys => Item::Owned(Value::Int(position)),
        _ => Item::Missing,
    };
    let name = |name: &str| if keys { Item::Owned(Value::from(name)) } else { Item::Missing };
    let mut visit = |key: Item<'a>, value: Item<'a>| {
        if !within {
            return act(key, value);
        }
        act(key, value.clone())?;
        children(value, within, keys, act)
    };
    match source {
        Item::Missing => {}
        Item::Ref(value) => {
            for (position, element) in value.elements().enumerate() {
                visit(index(position), Item::Ref(element))?;
            }
            for (member, element) in value.members() {
                visit(name(member), Item::Ref(element))?;
            }
        }
        Item::Borrowed(Value::Array(elements)) => {
            for (position, element) in elements.iter().enumerate() {
                visit(index(position), Item::Borrowed(element))?;
            }
        }
        Item::Borrowed(Value::Object(members)) => {
            for (member, element) in members.iter() {
                visit(name(member), Item::Borrowed(element))?;
            }
        }
        Item::Owned(Value::Array(elements)) => {
            for (position, element) in elements.into_iter().enumerate() {
                visit(index(position), Item::Owned(element))?;
            }
        }
        Item::Owned(Value::Object(members)) => {
            for (member, element) in members {
                visit(name(&member), Item::Owned(element))?;
            }
        }
        Item::Borrowed(_) | Item::Owned(_) => {}
    }
    ControlFlow::Continue(())
}

/// What a quantifier has seen so far.
#[derive(Default)]
struct Tally {
    satisfied: bool,
    refused: bool,
    broken: Option<Broken>,
}

pub(super) fn quantified<'a>(
    quantified: &'a Quantified,
    context: &Context<'a>,
    scope: Bound<'_, 'a>,
) -> Truth {
    let mut tally = Tally::default();
    let _ = combinations(quantified, &quantified.bindings, context, scope, &mut tally);
    match (tally.broken, quantified.quantifier) {
        (Some(Broken::Missing), _) => Truth::Missing,
        (Some(Broken::Null), _) => Truth::Null,
        (None, Quantifier::Any) => tally.satisfied.into(),
        (None, Quantifier::Every) => (!tally.refused).into(),
        (None, Quantifier::AnyAndEvery) => (tally.satisfied && !tally.refused).into(),
    }
}

fn combinations<'a>(
    quantified: &'a Quantified,
    bindings: &'a [Binding],
    context: &Context<'a>,
    scope: Bound<'_, 'a>,
    tally: &mut Tally,
) -> ControlFlow<()> {
    let Some((binding, inner)) = bindings.split_first() else {
        let satisfied = quantified.condition.truth(context, scope) == Truth::True;
        tally.satisfied |= satisfied;
        tally.refused |= !satisfied;
        let decided = if quantified.quantifier == Quantifier::Any { satisfied } else { !satisfied };
        return if decided { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    };
    let source = binding.source.value(context, scope);
    let mut flow = ControlFlow::Continue(());
    let done = each(context, source, binding.within, binding.key.is_some(), &mut |key, value| {
        flow = combinations(quantified, inner, context, Some(&Scope { key, value, outer: scope }), tally);
        flow
    });
    if let Err(broken) = done {
        tally.broken = Some(broken);
        return ControlFlow::Break(());
    }
    flow
}

fn wanted<'a>(condition: Option<&'a Expr>, context: &Context<'a>, scope: Bound<'_, 'a>) -> bool {
    condition.is_none_or(|condition| condition.truth(context, scope) == Truth::True)
}

pub(super) fn array_for<'a>(
    transform: &'a ArrayFor,
    context: &Context<'a>,
    scope: Bound<'_, 'a>,
) -> Item<'a> {
    let ArrayFor { result, binding, condition } = transform;
    let source = binding.source.value(context, scope);
    let mut elements = Vec::new();
    let mut affordable = true;
    let done = each(context, source, binding.within, binding.key.is_some(), &mut |key, value| {
        let scope = Scope { key, value, outer: scope };
        if wanted(condition.as_ref(), context, Some(&scope))
            && let Some(element) = result.value(context, Some(&scope)).into_value()
        {
            affordable = context.afford(&element);
            elements.push(element);
        }
        if affordable { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    match done {
        Err(broken) => broken.into(),
        Ok(()) if !affordable => Item::Missing,
        Ok(()) => Item::Owned(Value::Array(elements)),
    }
}

pub(super) fn object_for<'a>(
    transform: &'a ObjectFor,
    context: &Context<'a>,
    scope: Bound<'_, 'a>,
) -> Item<'a> {
    let ObjectFor { name, result, binding, condition } = transform;
    let source = binding.source.value(context, scope);
    let mut members = Vec::new();
    let mut affordable = true;
    let done = each(context, source, binding.within, binding.key.is_some(), &mut |key, value| {
        let scope = Scope { key, value, outer: scope };
        if wanted(condition.as_ref(), context, Some(&scope))
            && let Some(Value::String(name)) = name.value(context, Some(&scope)).into_value()
            && let Some(member) = result.value(context, Some(&scope)).into_value()
        {
            affordable = context.afford(&member);
            members.push((name, member));
        }
        if affordable { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    match done {
        Err(broken) => broken.into(),
        Ok(()) if !affordable => Item::Missing,
        Ok(()) => Item::Owned(Value::Object(members.into_iter().collect::<Object>())),
    }
}

/// The members of a document along `names`.
pub(super) fn field<'a>(document: ValueRef<'a>, names: &[String]) -> Item<'a> {
    match names {
        [name] => document.get(name).into(),
        names => names.iter().try_fold(document, |value, name| value.get(name)).into(),
    }
}
