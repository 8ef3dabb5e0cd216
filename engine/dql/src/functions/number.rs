//! Functions on numbers.

use ditto_value::{Number, Value};

use super::{strict, view};
use crate::evaluate::operator::{LEAST, integer};
use crate::evaluate::{Context, Item};

/// Integers stay as `whole` makes them, floats as `float` does.
fn map<'a>(arguments: &[Item<'a>], whole: fn(i128) -> i128, float: fn(f64) -> f64) -> Item<'a> {
    strict(arguments, |arguments| {
        Some(match view(arguments, 0)?.as_number()? {
            Number::Int(number) => integer(whole(number.into())),
            Number::UInt(number) => integer(whole(number.into())),
            Number::Float(number) => Value::from(float(number)),
        })
    })
}

/// The absolute value of the least integer is a float, like its negative.
pub(super) fn abs<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    if arguments.first().and_then(Item::as_i64).map(i128::from) == Some(LEAST) {
        return Item::Owned(Value::from(-(LEAST as f64)));
    }
    map(arguments, i128::abs, f64::abs)
}

pub(super) fn ceil<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    map(arguments, |number| number, f64::ceil)
}

pub(super) fn floor<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    map(arguments, |number| number, f64::floor)
}
