//! The built-in functions: a table of names, how many arguments they take, and what they do.
//!
//! General rules: a missing argument gives MISSING, then a null one gives NULL, then one of the wrong kind gives
//! MISSING. Functions for which this is not so work on the unfiltered arguments.

mod array;
mod conditional;
mod date;
mod kind;
mod moment;
mod number;
mod object;
mod request;
mod text;

use std::fmt;

use ditto_value::Value;

use crate::evaluate::{Context, Item, View};

pub(crate) use kind::kind_name;
pub use request::request_object;
pub(crate) use text::trim;

/// What a function does with its evaluated arguments; it may take them out of the slice.
pub(crate) type Body = for<'a> fn(&mut [Item<'a>], &Context<'a>) -> Item<'a>;

/// A built-in function.
pub struct Function {
    /// Its name, in lower case.
    pub name: &'static str,
    least: usize,
    most: usize,
    pub(crate) body: Body,
}

/// No upper bound for the number of arguments.
const ANY: usize = usize::MAX;

macro_rules! functions {
    ($($name:literal $least:literal ..= $most:expr => $body:path,)*) => {
        static FUNCTIONS: &[Function] = &[$(Function { name: $name, least: $least, most: $most, body: $body },)*];
    };
}

functions! {
    "concat" 1..=ANY => text::concat,
    "contains" 2..=2 => text::contains,
    "starts_with" 2..=2 => text::starts_with,
    "ends_with" 2..=2 => text::ends_with,
    "char_length" 1..=1 => text::char_length,
    "character_length" 1..=1 => text::char_length,
    "byte_length" 1..=1 => text::byte_length,
    "lower" 1..=1 => text::lower,
    "upper" 1..=1 => text::upper,
    "substr" 2..=3 => text::substr,
    "pos" 2..=2 => text::pos,
    "split" 2..=2 => text::split,
    "joinstr" 2..=ANY => text::joinstr,
    "ltrim" 1..=1 => text::ltrim,
    "rtrim" 1..=1 => text::rtrim,
    "lpad" 2..=3 => text::lpad,
    "rpad" 2..=3 => text::rpad,
    "repeat" 2..=2 => text::repeat,
    "regexp_like" 2..=3 => text::regexp_like,
    "abs" 1..=1 => number::abs,
    "ceil" 1..=1 => number::ceil,
    "floor" 1..=1 => number::floor,
    "array_contains" 2..=2 => array::contains,
    "array_contains_null" 1..=1 => array::contains_null,
    "array_length" 1..=1 => array::length,
    "object_length" 1..=1 => object::length,
    "object_keys" 1..=1 => object::keys,
    "object_values" 1..=1 => object::values,
    "object_set" 3..=4 => object::set,
    "object_unset" 2..=3 => object::unset,
    "object_concat" 1..=ANY => object::concat,
    "object_rename" 3..=3 => object::rename,
    "object_size" 1..=1 => object::size,
    "coalesce" 1..=ANY => conditional::coalesce,
    "ifmissingornull" 1..=ANY => conditional::coalesce,
    "ifmissing" 1..=ANY => conditional::ifmissing,
    "ifnull" 1..=ANY => conditional::ifnull,
    "nvl" 2..=3 => conditional::nvl,
    "nullif" 2..=2 => conditional::nullif,
    "missingif" 2..=2 => conditional::missingif,
    "isnull" 1..=1 => conditional::isnull,
    "ismissing" 1..=1 => conditional::ismissing,
    "ismissingornull" 1..=1 => conditional::ismissingornull,
    "decode" 3..=ANY => conditional::decode,
    "type" 1..=1 => kind::name,
    "json_type" 1..=1 => kind::json_name,
    "is_number" 1..=1 => kind::is_number,
    "is_string" 1..=1 => kind::is_string,
    "is_boolean" 1..=1 => kind::is_boolean,
    "serialize_json" 1..=1 => kind::serialize_json,
    "deserialize_json" 1..=1 => kind::deserialize_json,
    "request_info" 0..=0 => request::request_info,
    "clock" 0..=2 => date::clock,
    "date_cast" 1..=2 => date::cast,
    "date_format" 2..=3 => date::format,
    "date_add" 3..=5 => date::add,
    "date_sub" 3..=5 => date::sub,
    "date_diff" 3..=3 => date::diff,
    "date_part" 2..=2 => date::part,
    "date_trunc" 2..=2 => date::trunc,
    "date_range" 4..=6 => date::range,
    "tz_offset" 1..=2 => date::tz_offset,
    "duration_cast" 1..=2 => date::duration_cast,
    "duration_format" 1..=2 => date::duration_format,
}

impl Function {
    /// The number of arguments in words, if `given` is not one of the numbers it takes.
    pub(crate) fn refuses(&self, given: usize) -> Option<String> {
        let Self { least, most, .. } = *self;
        if (least..=most).contains(&given) {
            return None;
        }
        Some(match (least, most) {
            (least, ANY) => format!("at least {least} arguments"),
            (1, 1) => "1 argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        })
    }
}

/// The function of this name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name.eq_ignore_ascii_case(name))
}

/// The names of all functions.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}

/// A function with almost this name.
pub(crate) fn similar(name: &str) -> Option<&'static str> {
    /// More differences than this are no slip of the finger.
    const NEAR: usize = 2;
    /// No name is longer, and the distance costs the product of the lengths.
    const LONGEST: usize = 32;
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let near = FUNCTIONS.iter().map(|function| (distance(&name, function.name), function.name));
    near.min().filter(|(distance, _)| *distance <= NEAR).map(|(_, name)| name)
}

/// The number of letters to insert, drop or change.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, own) in left.bytes().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(right.bytes()) {
            let changed = diagonal + usize::from(own != other);
            diagonal = *cell;
            before = changed.min(*cell + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Functions are equal when they have the same name.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Applies the general rules: `body` sees arguments that are neither missing nor null.
fn strict<'a>(arguments: &[Item<'a>], body: impl FnOnce(&[Item<'a>]) -> Option<Value>) -> Item<'a> {
    if arguments.iter().any(Item::is_missing) {
        Item::Missing
    } else if arguments.iter().any(Item::is_null) {
        Item::NULL
    } else {
        body(arguments).into()
    }
}

fn view<'v>(arguments: &'v [Item<'_>], position: usize) -> Option<View<'v>> {
    arguments.get(position)?.view()
}

fn text<'v>(arguments: &'v [Item<'_>], position: usize) -> Option<&'v str> {
    view(arguments, position)?.as_str()
}

fn length(length: usize) -> Option<Value> {
    i64::try_from(length).ok().map(Value::Int)
}
