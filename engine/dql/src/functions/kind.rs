//! Functions about kinds, JSON, and the request.

use ditto_value::{Value, ValueKind};

use super::{strict, text, view};
use crate::evaluate::{Context, Item};
use crate::limits::MAX_RESULT_BYTES;

/// The name of a kind as `type()` gives it.
pub(crate) fn kind_name(kind: Option<ValueKind>) -> &'static str {
    match kind {
        None => "missing",
        Some(ValueKind::Null) => "null",
        Some(ValueKind::Bool) => "boolean",
        Some(ValueKind::Int | ValueKind::UInt) => "integer",
        Some(ValueKind::Float) => "float",
        Some(ValueKind::Bytes) => "binary",
        Some(ValueKind::String) => "string",
        Some(ValueKind::Array) => "array",
        Some(ValueKind::Object) => "object",
    }
}

fn kind(arguments: &[Item<'_>]) -> Option<ValueKind> {
    arguments.first().and_then(Item::kind)
}

pub(super) fn name<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    Item::Owned(kind_name(kind(arguments)).into())
}

/// Missing is null here, and all numbers are one kind.
pub(super) fn json_name<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    let kind = kind(arguments).unwrap_or(ValueKind::Null);
    Item::Owned(if kind.is_number() { "number" } else { kind_name(Some(kind)) }.into())
}

fn is<'a>(arguments: &[Item<'a>], holds: fn(ValueKind) -> bool) -> Item<'a> {
    strict(arguments, |arguments| kind(arguments).map(|kind| Value::Bool(holds(kind))))
}

pub(super) fn is_number<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    is(arguments, ValueKind::is_number)
}

pub(super) fn is_string<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    is(arguments, |kind| kind == ValueKind::String)
}

pub(super) fn is_boolean<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    is(arguments, |kind| kind == ValueKind::Bool)
}

/// JSON text with the members of objects in ascending order; null becomes the text `null`.
pub(super) fn serialize_json<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    let Some(view) = view(arguments, 0) else { return Item::Missing };
    let text = view.to_json();
    if text.len() > MAX_RESULT_BYTES { Item::Missing } else { Item::Owned(Value::String(text)) }
}

pub(super) fn deserialize_json<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| Value::from_json(text(arguments, 0)?).ok())
}
