//! CAST: from one kind to another, or MISSING.

use ditto_value::{Number, Value};

use super::{Item, View};
use crate::ast::CastKind;

/// Converts; null stays null, and what cannot be converted is MISSING.
pub(crate) fn cast<'a>(item: Item<'a>, to: CastKind) -> Item<'a> {
    if item.is_null() {
        return Item::NULL;
    }
    let Some(view) = item.view() else { return Item::Missing };
    match to {
        CastKind::String => to_string(view),
        CastKind::Integer => to_integer(view),
        CastKind::Float => to_float(view),
        CastKind::Boolean => to_boolean(view),
        CastKind::Binary => match view {
            _ if view.as_bytes().is_some() => return item,
            _ => view.as_str().map(|text| Value::Bytes(text.as_bytes().to_owned())),
        },
    }
    .into()
}

fn to_string(view: View<'_>) -> Option<Value> {
    if let Some(text) = view.as_str() {
        return Some(text.into());
    }
    if let Some(bytes) = view.as_bytes() {
        return String::from_utf8(bytes.to_owned()).ok().map(Value::String);
    }
    (view.as_bool().is_some() || view.as_number().is_some()).then(|| Value::String(view.to_json()))
}

fn to_integer(view: View<'_>) -> Option<Value> {
    if let Some(value) = view.as_bool() {
        return Some(Value::Int(value.into()));
    }
    if let Some(text) = view.as_str() {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let signed = text.parse::<i64>().map(Value::Int);
        return signed.or_else(|_| text.trim_start_matches('+').parse::<u64>().map(Value::from)).ok();
    }
    match view.as_number()? {
        Number::Int(number) => Some(Value::Int(number)),
        Number::UInt(number) => Some(Value::from(number)),
        Number::Float(number) => whole(number.trunc()),
    }
}

/// A float without fraction as an integer, if it fits 64 bits.
pub(crate) fn whole(number: f64) -> Option<Value> {
    // The casts are exact: 2^63 and 2^64 are floats, and the bounds exclude them.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) {
        Some(Value::Int(number as i64))
    } else if (0.0..18_446_744_073_709_551_616.0).contains(&number) {
        Some(Value::from(number as u64))
    } else {
        None
    }
}

fn to_float(view: View<'_>) -> Option<Value> {
    if let Some(value) = view.as_bool() {
        return Some(Value::Float(if value { 1.0 } else { 0.0 }));
    }
    if let Some(text) = view.as_str() {
        // JSON's number syntax: no white space around it, no leading plus, no names.
        if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            || text.ends_with(char::is_whitespace)
        {
            return None;
        }
        return match Value::from_json(text).ok()? {
            Value::Int(number) => Some(Value::Float(number as f64)),
            Value::UInt(number) => Some(Value::Float(number as f64)),
            Value::Float(number) => Some(Value::Float(number)),
            _ => None,
        };
    }
    match view.as_number()? {
        Number::Int(number) => Some(Value::Float(number as f64)),
        Number::UInt(number) => Some(Value::Float(number as f64)),
        Number::Float(number) => Some(Value::Float(number)),
    }
}

fn to_boolean(view: View<'_>) -> Option<Value> {
    if let Some(value) = view.as_bool() {
        return Some(Value::Bool(value));
    }
    let text = view.as_str()?;
    if text.eq_ignore_ascii_case("true") {
        Some(Value::Bool(true))
    } else if text.eq_ignore_ascii_case("false") {
        Some(Value::Bool(false))
    } else {
        None
    }
}
