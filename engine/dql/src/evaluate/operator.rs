//! Comparison and arithmetic.

use std::cmp::Ordering;

use ditto_value::{Number, Value, ValueKind, compare_numbers};

use super::{Item, Truth, View};
use crate::ast::{Arithmetic, Comparison};
use crate::limits::MAX_RESULT_BYTES;

/// Compares two values of one kind. MISSING, NULL and different kinds give no TRUE.
pub(crate) fn compare(operator: Comparison, left: &Item<'_>, right: &Item<'_>) -> Truth {
    let (Some(left), Some(right)) = (left.view(), right.view()) else { return Truth::Missing };
    compare_views(operator, left, right)
}

pub(crate) fn compare_views(operator: Comparison, left: View<'_>, right: View<'_>) -> Truth {
    let ordering = match (left.kind(), right.kind()) {
        (ValueKind::String, ValueKind::String) => left.as_str().cmp(&right.as_str()),
        (ValueKind::Null, _) | (_, ValueKind::Null) => return Truth::Null,
        (own, other) if own.is_number() && other.is_number() => match (left.as_number(), right.as_number()) {
            (Some(left), Some(right)) => compare_numbers(left, right),
            _ => return Truth::Missing,
        },
        (own, other) if own == other => left.compare(right),
        _ => return Truth::Missing,
    };
    Truth::from(match operator {
        Comparison::Equal => ordering == Ordering::Equal,
        Comparison::NotEqual => ordering != Ordering::Equal,
        Comparison::Less => ordering == Ordering::Less,
        Comparison::LessOrEqual => ordering != Ordering::Greater,
        Comparison::Greater => ordering == Ordering::Greater,
        Comparison::GreaterOrEqual => ordering != Ordering::Less,
    })
}

/// Whether two values are equal as `=` sees it.
pub(crate) fn equal(left: View<'_>, right: View<'_>) -> bool {
    compare_views(Comparison::Equal, left, right) == Truth::True
}

/// Whether some element equals `wanted`: NULL if none does but one is null.
pub(crate) fn contained<'v>(wanted: View<'_>, elements: impl Iterator<Item = View<'v>>) -> Truth {
    if wanted.kind() == ValueKind::Null {
        return Truth::Null;
    }
    let mut result = Truth::False;
    for element in elements {
        match compare_views(Comparison::Equal, wanted, element) {
            Truth::True => return Truth::True,
            Truth::Null => result = Truth::Null,
            Truth::False | Truth::Missing => {}
        }
    }
    result
}

/// What becomes of an operation on these operands if one of them is of the wrong kind: NULL when the only
/// trouble is a null, else MISSING.
fn fallen<'a>(operands: &[&Item<'_>], fits: impl Fn(View<'_>) -> bool) -> Item<'a> {
    let null_or_fits =
        |item: &&Item<'_>| item.view().is_some_and(|view| view.kind() == ValueKind::Null || fits(view));
    if operands.iter().all(null_or_fits) { Item::NULL } else { Item::Missing }
}

/// Integers in 128 bits, so that no operation on two of them overflows unnoticed.
#[derive(Clone, Copy)]
enum Operand {
    Integer(i128),
    Float(f64),
}

impl Operand {
    fn of(item: &Item<'_>) -> Option<Self> {
        Some(match item.view()?.as_number()? {
            Number::Int(number) => Self::Integer(number.into()),
            Number::UInt(number) => Self::Integer(number.into()),
            Number::Float(number) => Self::Float(number),
        })
    }

    fn float(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

/// An integer if it fits 64 bits, else a float.
pub(crate) fn integer(number: i128) -> Value {
    if let Ok(number) = i64::try_from(number) {
        Value::Int(number)
    } else if let Ok(number) = u64::try_from(number) {
        Value::UInt(number)
    } else {
        Value::from(number as f64)
    }
}

pub(crate) fn arithmetic<'a>(operator: Arithmetic, left: &Item<'_>, right: &Item<'_>) -> Item<'a> {
    match operator {
        Arithmetic::Concatenate => return concatenate(left, right),
        Arithmetic::ShiftLeft | Arithmetic::ShiftRight => return shift(operator, left, right),
        _ => {}
    }
    let (Some(own), Some(other)) = (Operand::of(left), Operand::of(right)) else {
        return fallen(&[left, right], |view| view.as_number().is_some());
    };
    let float = |calculate: fn(f64, f64) -> f64| Value::from(calculate(own.float(), other.float()));
    Item::Owned(match (operator, own, other) {
        (Arithmetic::Add, Operand::Integer(own), Operand::Integer(other)) => integer(own + other),
        (Arithmetic::Subtract, Operand::Integer(own), Operand::Integer(other)) => integer(own - other),
        (Arithmetic::Multiply, Operand::Integer(own), Operand::Integer(other)) => {
            match own.checked_mul(other) {
                Some(product) => integer(product),
                None => Value::from(own as f64 * other as f64),
            }
        }
        (Arithmetic::Divide, Operand::Integer(own), Operand::Integer(other)) => {
            own.checked_div(other).map_or(Value::Null, integer)
        }
        (Arithmetic::Remainder, Operand::Integer(own), Operand::Integer(other)) => {
            own.checked_rem(other).map_or(Value::Null, integer)
        }
        (Arithmetic::Add, ..) => float(|own, other| own + other),
        (Arithmetic::Subtract, ..) => float(|own, other| own - other),
        (Arithmetic::Multiply, ..) => float(|own, other| own * other),
        (Arithmetic::Divide, ..) => float(|own, other| own / other),
        _ => float(|own, other| own % other),
    })
}

/// The least integer: it has no negative among the signed ones, so that its negative is a float.
pub(crate) const LEAST: i128 = i64::MIN as i128;

/// `-item`.
pub(crate) fn negate<'a>(item: &Item<'_>) -> Item<'a> {
    match Operand::of(item) {
        None => fallen(&[item], |_| false),
        Some(Operand::Integer(LEAST)) => Item::Owned(Value::from(-(LEAST as f64))),
        Some(Operand::Integer(number)) => Item::Owned(integer(-number)),
        Some(Operand::Float(number)) => Item::Owned(Value::from(-number)),
    }
}

fn shift<'a>(operator: Arithmetic, left: &Item<'_>, right: &Item<'_>) -> Item<'a> {
    let whole = |item: &Item<'_>| match Operand::of(item) {
        Some(Operand::Integer(number)) => Some(number),
        _ => None,
    };
    let (Some(own), Some(count)) = (whole(left), whole(right)) else {
        return fallen(&[left, right], |view| {
            matches!(view.as_number(), Some(Number::Int(_) | Number::UInt(_)))
        });
    };
    let Some(count) = u32::try_from(count).ok().filter(|count| *count < 64) else {
        return Item::Owned(Value::Int(0));
    };
    Item::Owned(if let Ok(own) = i64::try_from(own) {
        Value::Int(if operator == Arithmetic::ShiftLeft { own << count } else { own >> count })
    } else {
        let own = own as u64;
        Value::from(if operator == Arithmetic::ShiftLeft { own << count } else { own >> count })
    })
}

fn concatenate<'a>(left: &Item<'_>, right: &Item<'_>) -> Item<'a> {
    match (left.as_str(), right.as_str()) {
        (Some(own), Some(other)) if own.len() + other.len() <= MAX_RESULT_BYTES => {
            Item::Owned(Value::String([own, other].concat()))
        }
        (Some(_), Some(_)) => Item::Missing,
        _ => fallen(&[left, right], |view| view.as_str().is_some()),
    }
}
