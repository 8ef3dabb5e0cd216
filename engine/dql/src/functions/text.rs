//! Functions on strings. Positions are counted from zero, in characters.

use ditto_value::Value;

use super::{length, strict, text, view};
use crate::ast::TrimSide;
use crate::evaluate::{Context, Item, pattern};
use crate::limits::MAX_RESULT_BYTES;

fn built(text: String) -> Option<Value> {
    (text.len() <= MAX_RESULT_BYTES).then_some(Value::String(text))
}

/// Joins pieces unless the result would be too long.
fn join(separator: &str, pieces: &mut dyn Iterator<Item = Option<&str>>) -> Option<Value> {
    let mut out = String::new();
    for (position, piece) in pieces.enumerate() {
        let piece = piece?;
        if out.len() + separator.len() + piece.len() > MAX_RESULT_BYTES {
            return None;
        }
        if position > 0 {
            out.push_str(separator);
        }
        out.push_str(piece);
    }
    Some(Value::String(out))
}

pub(super) fn concat<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| join("", &mut arguments.iter().map(Item::as_str)))
}

/// A test of two strings.
fn test<'a>(arguments: &[Item<'a>], holds: fn(&str, &str) -> bool) -> Item<'a> {
    strict(arguments, |arguments| Some(Value::Bool(holds(text(arguments, 0)?, text(arguments, 1)?))))
}

pub(super) fn contains<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    test(arguments, |text, part| text.contains(part))
}

pub(super) fn starts_with<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    test(arguments, |text, part| text.starts_with(part))
}

pub(super) fn ends_with<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    test(arguments, |text, part| text.ends_with(part))
}

pub(super) fn char_length<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| length(text(arguments, 0)?.chars().count()))
}

pub(super) fn byte_length<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| length(text(arguments, 0)?.len()))
}

pub(super) fn lower<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| built(text(arguments, 0)?.to_lowercase()))
}

pub(super) fn upper<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| built(text(arguments, 0)?.to_uppercase()))
}

/// `substr(s, start [, length])`: a negative start counts from the end, a negative length is MISSING.
pub(super) fn substr<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let text = text(arguments, 0)?;
        let start = arguments.get(1)?.as_i64()?;
        let start = if start < 0 {
            let from_end = usize::try_from(start.unsigned_abs()).ok()?;
            text.chars().count().saturating_sub(from_end)
        } else {
            usize::try_from(start).unwrap_or(usize::MAX)
        };
        let length = match arguments.get(2) {
            None => usize::MAX,
            Some(length) => usize::try_from(length.as_i64()?).ok()?,
        };
        Some(Value::String(text.chars().skip(start).take(length).collect()))
    })
}

pub(super) fn pos<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let whole = text(arguments, 0)?;
        match whole.split_once(text(arguments, 1)?) {
            Some((before, _)) => length(before.chars().count()),
            None => Some(Value::Int(-1)),
        }
    })
}

/// More pieces than this would exceed the bound of results.
const MAX_PIECES: usize = MAX_RESULT_BYTES / size_of::<Value>();

/// An empty delimiter gives one element per character.
pub(super) fn split<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let (text, delimiter) = (text(arguments, 0)?, text(arguments, 1)?);
        let pieces: Vec<Value> = match delimiter {
            "" => {
                text.chars().take(MAX_PIECES + 1).map(|character| Value::String(character.into())).collect()
            }
            delimiter => text.split(delimiter).take(MAX_PIECES + 1).map(Value::from).collect(),
        };
        (pieces.len() <= MAX_PIECES).then_some(Value::Array(pieces))
    })
}

/// `joinstr(separator, array)` or `joinstr(separator, a, b, …)`.
pub(super) fn joinstr<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let (separator, rest) = arguments.split_first()?;
        let separator = separator.as_str()?;
        match (rest, view(rest, 0)?) {
            ([_], list) if list.array_len().is_some() => {
                join(separator, &mut list.elements().map(|element| element.as_str()))
            }
            _ => join(separator, &mut rest.iter().map(Item::as_str)),
        }
    })
}

pub(super) fn ltrim<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| Some(text(arguments, 0)?.trim_start().into()))
}

pub(super) fn rtrim<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| Some(text(arguments, 0)?.trim_end().into()))
}

/// Strips white space, or any of `characters`, from the ends.
pub(crate) fn trim<'a>(side: TrimSide, characters: Option<&Item<'a>>, item: Item<'a>) -> Item<'a> {
    let mut arguments = vec![item];
    arguments.extend(characters.cloned());
    strict(&arguments, |arguments| {
        let whole = text(arguments, 0)?;
        let set = match arguments.get(1) {
            Some(set) => Some(set.as_str()?),
            None => None,
        };
        let strip = |character: char| set.map_or(character.is_whitespace(), |set| set.contains(character));
        Some(Value::from(match side {
            TrimSide::Both => whole.trim_matches(strip),
            TrimSide::Leading => whole.trim_start_matches(strip),
            TrimSide::Trailing => whole.trim_end_matches(strip),
        }))
    })
}

/// The text cut or padded to the length wanted, and the padding, which stands before or after it.
fn pad<'a>(arguments: &[Item<'a>], before: bool) -> Item<'a> {
    strict(arguments, |arguments| {
        let whole = text(arguments, 0)?;
        let wanted = usize::try_from(arguments.get(1)?.as_i64()?).unwrap_or_default();
        let filler = match arguments.get(2) {
            Some(filler) => filler.as_str()?,
            None => " ",
        };
        let present = whole.chars().count();
        if wanted <= present || filler.is_empty() {
            return Some(Value::String(whole.chars().take(wanted).collect()));
        }
        if wanted > MAX_RESULT_BYTES {
            return None;
        }
        let padding: String = filler.chars().cycle().take(wanted - present).collect();
        built(if before { padding + whole } else { whole.to_owned() + &padding })
    })
}

pub(super) fn lpad<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    pad(arguments, true)
}

pub(super) fn rpad<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    pad(arguments, false)
}

pub(super) fn repeat<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let text = text(arguments, 0)?;
        let times = usize::try_from(arguments.get(1)?.as_i64()?).unwrap_or_default();
        (text.len().checked_mul(times)? <= MAX_RESULT_BYTES).then(|| Value::String(text.repeat(times)))
    })
}

pub(super) fn regexp_like<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let flags = match arguments.get(2) {
            Some(flags) => flags.as_str()?,
            None => "",
        };
        pattern::regular(text(arguments, 0)?, text(arguments, 1)?, flags).map(Value::Bool)
    })
}
