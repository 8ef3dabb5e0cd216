//! Date and time functions. A date is ISO-8601 text with a zone designator, or milliseconds since 1970; text in
//! gives text out, a number in gives milliseconds out, unless a format says otherwise.

use ditto_value::Value;
use jiff::Timestamp;
use jiff::tz::Offset;

use super::moment::{Moment, Part, clock_face, duration, month_name, unit, zone_named};
use super::{strict, text};
use crate::evaluate::{Context, Item, View, whole};
use crate::limits::MAX_RESULT_BYTES;

/// The text of an optional argument: `Some(None)` when it was not given, `None` when it is no text.
fn optional<'v>(arguments: &'v [Item<'_>], position: usize) -> Option<Option<&'v str>> {
    match arguments.get(position) {
        None => Some(None),
        Some(item) => item.as_str().map(Some),
    }
}

/// A result in the form that the format and zone arguments from `position` on ask for.
fn shown(moment: Moment, arguments: &[Item<'_>], position: usize) -> Option<Value> {
    let zone = optional(arguments, position + 1)?;
    match optional(arguments, position)? {
        None => moment.value(),
        Some(format) => moment.formatted(format, zone),
    }
}

/// The same instant for all rows of a statement.
pub(super) fn clock<'a>(arguments: &mut [Item<'a>], context: &Context<'a>) -> Item<'a> {
    let now = context.now_ms;
    strict(arguments, |arguments| {
        let timestamp = Timestamp::from_millisecond(now).ok()?;
        shown(Moment { timestamp, offset: Offset::UTC, textual: false }, arguments, 0)
    })
}

pub(super) fn cast<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let moment = match optional(arguments, 1)? {
            None => Moment::read(arguments.first()?)?,
            Some(format) => Moment::parse_with(text(arguments, 0)?, format)?,
        };
        Some(Value::Int(moment.milliseconds()))
    })
}

pub(super) fn format<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| shown(Moment::read(arguments.first()?)?, arguments, 1))
}

fn moved<'a>(arguments: &[Item<'a>], sign: i64) -> Item<'a> {
    strict(arguments, |arguments| {
        let moment = Moment::read(arguments.first()?)?;
        let part = Part::named(text(arguments, 1)?)?;
        let count = arguments.get(2)?.as_i64()?.checked_mul(sign)?;
        shown(moment.plus(part, count)?, arguments, 3)
    })
}

pub(super) fn add<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    moved(arguments, 1)
}

pub(super) fn sub<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    moved(arguments, -1)
}

pub(super) fn diff<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let later = Moment::read(arguments.first()?)?;
        let earlier = Moment::read(arguments.get(1)?)?;
        later.since(earlier, Part::named(text(arguments, 2)?)?).map(Value::Int)
    })
}

pub(super) fn part<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let moment = Moment::read(arguments.first()?)?;
        let civil = moment.civil();
        let name = text(arguments, 1)?;
        Some(match Part::named(name) {
            Some(Part::Year) => Value::from(i64::from(civil.year())),
            Some(Part::Month) => Value::from(i64::from(civil.month())),
            Some(Part::Day) => Value::from(i64::from(civil.day())),
            Some(Part::Hour) => Value::from(i64::from(civil.hour())),
            Some(Part::Minute) => Value::from(i64::from(civil.minute())),
            Some(Part::Second) => Value::from(i64::from(civil.second())),
            Some(Part::Millisecond) => Value::from(i64::from(civil.millisecond())),
            None => match name.to_ascii_lowercase().as_str() {
                "weekday" => Value::from(i64::from(civil.weekday().to_monday_one_offset())),
                "monthname" => Value::String(month_name(civil)),
                "timezone" | "tz" => Value::String(moment.offset_text()),
                _ => return None,
            },
        })
    })
}

pub(super) fn trunc<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        Moment::read(arguments.first()?)?.truncated(Part::named(text(arguments, 1)?)?)?.value()
    })
}

/// Each element is counted from the start, so that clamped month ends do not drift.
pub(super) fn range<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let start = Moment::read(arguments.first()?)?;
        let end = Moment::read(arguments.get(1)?)?;
        let part = Part::named(text(arguments, 2)?)?;
        let step = arguments.get(3)?.as_i64().filter(|step| *step != 0)?;
        let mut elements = Vec::new();
        let mut room = MAX_RESULT_BYTES;
        let mut moment = start;
        while if step > 0 { moment.timestamp < end.timestamp } else { moment.timestamp > end.timestamp } {
            let element = shown(moment, arguments, 4)?;
            room = room.checked_sub(View::Value(&element).approximate_size())?;
            elements.push(element);
            let count = i64::try_from(elements.len()).ok()?.checked_mul(step)?;
            match start.plus(part, count) {
                Some(next) => moment = next,
                None => break,
            }
        }
        Some(Value::Array(elements))
    })
}

/// Minutes. With the format `'TZN'` the text names a zone, and its offset at the time of the statement counts.
pub(super) fn tz_offset<'a>(arguments: &mut [Item<'a>], context: &Context<'a>) -> Item<'a> {
    let now = context.now_ms;
    strict(arguments, |arguments| {
        let written = text(arguments, 0)?;
        let offset = match optional(arguments, 1)? {
            None => Moment::parse(written)?.offset,
            Some("TZN") => zone_named(written)?.to_offset(Timestamp::from_millisecond(now).ok()?),
            Some(format) => Moment::parse_with(written, format)?.offset,
        };
        Some(Value::Int(i64::from(offset.seconds() / 60)))
    })
}

/// An integer if there is no fraction, else a float.
pub(super) fn duration_cast<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let milliseconds = duration(text(arguments, 0)?)?;
        let length = match optional(arguments, 1)? {
            None => 1.0,
            Some(name) => unit(name)?,
        };
        let number = milliseconds / length;
        if number.fract() == 0.0 { whole(number) } else { Some(Value::from(number)) }
    })
}

/// `1h30m0s`, `1.5s`, `250ms`.
pub(super) fn duration_format<'a>(arguments: &mut [Item<'a>], _: &Context<'a>) -> Item<'a> {
    strict(arguments, |arguments| {
        let length = match optional(arguments, 1)? {
            None => 1.0,
            Some(name) => unit(name)?,
        };
        let number = match arguments.first()?.view()?.as_number()? {
            ditto_value::Number::Int(number) => number as f64,
            ditto_value::Number::UInt(number) => number as f64,
            ditto_value::Number::Float(number) => number,
        };
        let milliseconds = (number * length).round();
        let sign = if milliseconds < 0.0 { "-" } else { "" };
        let milliseconds = whole(milliseconds.abs())?.as_u64()?;
        let (hours, minutes, rest) = clock_face(milliseconds);
        let seconds = match rest % 1_000 {
            0 => format!("{}s", rest / 1_000),
            fraction => format!("{}.{}s", rest / 1_000, format!("{fraction:03}").trim_end_matches('0')),
        };
        Some(Value::String(match (hours, minutes) {
            (0, 0) if rest > 0 && rest < 1_000 => format!("{sign}{rest}ms"),
            (0, 0) => format!("{sign}{seconds}"),
            (0, minutes) => format!("{sign}{minutes}m{seconds}"),
            (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
        }))
    })
}
