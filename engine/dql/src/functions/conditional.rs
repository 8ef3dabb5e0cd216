//! Functions that choose among their arguments.

use ditto_value::Value;

use crate::evaluate::operator::equal;
use crate::evaluate::{Context, Item};

fn take<'a>(arguments: &mut [Item<'a>], position: usize) -> Item<'a> {
    arguments.get_mut(position).map_or(Item::Missing, |item| std::mem::replace(item, Item::Missing))
}

fn is_value(item: &Item<'_>) -> bool {
    !item.is_missing() && !item.is_null()
}

fn are_equal(left: &Item<'_>, right: &Item<'_>) -> bool {
    matches!((left.view(), right.view()), (Some(left), Some(right)) if equal(left, right))
}

pub(super) fn coalesce<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    match arguments.iter().position(is_value) {
        Some(position) => take(arguments, position),
        None => Item::NULL,
    }
}

pub(super) fn ifmissing<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    match arguments.iter().position(|item| !item.is_missing()) {
        Some(position) => take(arguments, position),
        None => Item::NULL,
    }
}

/// A missing argument ends the search.
pub(super) fn ifnull<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    match arguments.iter().position(|item| !item.is_null()) {
        Some(position) => take(arguments, position),
        None => Item::NULL,
    }
}

pub(super) fn nvl<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    let present = arguments.first().is_some_and(is_value);
    match (arguments.len(), present) {
        (3, true) => take(arguments, 1),
        (3, false) => take(arguments, 2),
        (_, true) => take(arguments, 0),
        (_, false) => take(arguments, 1),
    }
}

pub(super) fn nullif<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    match &*arguments {
        [value, other] if are_equal(value, other) => Item::NULL,
        _ => take(arguments, 0),
    }
}

pub(super) fn missingif<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    match &*arguments {
        [value, other] if are_equal(value, other) => Item::Missing,
        _ => take(arguments, 0),
    }
}

/// MISSING for missing, unlike `IS NULL`.
pub(super) fn isnull<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    match arguments.first() {
        Some(item) if !item.is_missing() => item.is_null().into(),
        _ => Item::Missing,
    }
}

pub(super) fn ismissing<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    arguments.first().is_none_or(Item::is_missing).into()
}

pub(super) fn ismissingornull<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    (!arguments.first().is_some_and(is_value)).into()
}

/// `decode(x, case, result, …, [default])`.
pub(super) fn decode<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    let Some((wanted, rest)) = arguments.split_first_mut() else { return Item::Missing };
    let pairs = rest.len() / 2;
    let chosen = rest.chunks_exact(2).position(|pair| matches!(pair, [case, _] if are_equal(wanted, case)));
    match chosen {
        Some(pair) => take(rest, pair * 2 + 1),
        None if rest.len() % 2 == 1 => take(rest, pairs * 2),
        None => Item::Owned(Value::Null),
    }
}
