//! Functions on arrays.

use ditto_value::{Value, ValueKind};

use super::{strict, view};
use crate::evaluate::operator::equal;
use crate::evaluate::{Context, Item};

/// Whether an element equals the value, as `=` sees it. Null equals nothing.
pub(super) fn contains<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    let Some([array, wanted]) = arguments.first_chunk() else { return Item::Missing };
    if array.is_null() {
        return Item::NULL;
    }
    let (Some(array), Some(wanted)) = (array.view(), wanted.view()) else { return Item::Missing };
    if array.array_len().is_none() {
        return Item::Missing;
    }
    array.elements().any(|element| equal(element, wanted)).into()
}

pub(super) fn contains_null<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let array = view(arguments, 0)?;
        array.array_len()?;
        Some(Value::Bool(array.elements().any(|element| element.kind() == ValueKind::Null)))
    })
}

pub(super) fn length<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| super::length(view(arguments, 0)?.array_len()?))
}
