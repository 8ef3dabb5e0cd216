//! Functions on objects. They build copies; only one level of members is addressed.

use ditto_value::{Object, Value};

use super::{strict, text, view};
use crate::evaluate::{Context, Item};
use crate::limits::MAX_RESULT_BYTES;

pub(super) fn length<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| super::length(view(arguments, 0)?.object_len()?))
}

/// In ascending order.
pub(super) fn keys<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let object = view(arguments, 0)?;
        object.object_len()?;
        Some(Value::Array(object.members().map(|(name, _)| name.into()).collect()))
    })
}

/// In the order of the keys.
pub(super) fn values<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let object = view(arguments, 0)?;
        object.object_len()?;
        Some(Value::Array(object.members().map(|(_, member)| member.to_value()).collect()))
    })
}

fn object(arguments: &[Item<'_>], position: usize) -> Option<Object> {
    let object = view(arguments, position)?;
    object.object_len()?;
    match object.to_value() {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Whether the optional flag is TRUE.
fn flag(arguments: &[Item<'_>], position: usize) -> bool {
    arguments.get(position).and_then(Item::as_bool) == Some(true)
}

/// The value set may be null.
pub(super) fn set<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    let [object_item, name, value, ..] = &*arguments else { return Item::Missing };
    if value.is_missing() {
        return Item::Missing;
    }
    if !object_item.is_missing() && !name.is_missing() && (object_item.is_null() || name.is_null()) {
        return Item::NULL;
    }
    let build = || {
        let mut object = object(arguments, 0)?;
        let name = text(arguments, 1)?;
        if object.contains_key(name) && !flag(arguments, 3) {
            return None;
        }
        object.insert(name, view(arguments, 2)?.to_value());
        Some(Value::Object(object))
    };
    build().into()
}

pub(super) fn unset<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let mut object = object(arguments, 0)?;
        let removed = object.remove(text(arguments, 1)?).is_some();
        (removed || flag(arguments, 2)).then_some(Value::Object(object))
    })
}

pub(super) fn concat<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let size: usize = arguments.iter().filter_map(Item::view).map(|view| view.approximate_size()).sum();
        if size > MAX_RESULT_BYTES {
            return None;
        }
        let mut all = Object::new();
        for position in 0..arguments.len() {
            all.extend(object(arguments, position)?);
        }
        Some(Value::Object(all))
    })
}

pub(super) fn rename<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let mut object = object(arguments, 0)?;
        let new = text(arguments, 2)?;
        let member = object.remove(text(arguments, 1)?)?;
        object.insert(new, member);
        Some(Value::Object(object))
    })
}

/// Approximate: the size of the binary form for stored objects.
pub(super) fn size<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let object = view(arguments, 0)?;
        object.object_len()?;
        super::length(object.approximate_size())
    })
}
