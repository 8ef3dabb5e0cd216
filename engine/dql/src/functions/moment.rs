//! Points in time as the date functions see them: reading, writing and civil arithmetic.

use ditto_value::Value;
use jiff::civil::DateTime;
use jiff::fmt::{strtime, temporal::Pieces};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp, Unit};

use crate::evaluate::Item;
use crate::limits::MAX_FORMAT_BYTES;

/// An instant with the offset it was written in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub timestamp: Timestamp,
    pub offset: Offset,
    /// Whether it came as text; results take the same form.
    pub textual: bool,
}

/// The units of calendars and clocks that dates can be moved by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
}

impl Part {
    /// Names in any case.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => Self::Year,
            "month" | "mon" => Self::Month,
            "day" => Self::Day,
            "hour" => Self::Hour,
            "minute" | "min" => Self::Minute,
            "second" | "sec" => Self::Second,
            "millisecond" | "millis" | "ms" => Self::Millisecond,
            _ => return None,
        })
    }

    /// How long it is, if that is always the same. Offsets are fixed here, so days are.
    pub fn milliseconds(self) -> Option<i64> {
        Some(match self {
            Self::Year | Self::Month => return None,
            Self::Day => 86_400_000,
            Self::Hour => 3_600_000,
            Self::Minute => 60_000,
            Self::Second => 1_000,
            Self::Millisecond => 1,
        })
    }
}

impl Moment {
    /// Milliseconds since 1970, or ISO-8601 text with a zone designator.
    pub fn read(item: &Item<'_>) -> Option<Self> {
        if let Some(milliseconds) = item.as_i64() {
            let timestamp = Timestamp::from_millisecond(milliseconds).ok()?;
            return Some(Self { timestamp, offset: Offset::UTC, textual: false });
        }
        Self::parse(item.as_str()?)
    }

    /// ISO-8601 text with a zone designator; finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let pieces = Pieces::parse(text).ok()?;
        let offset = pieces.to_numeric_offset()?;
        let civil = pieces.date().to_datetime(pieces.time()?);
        Self::new(offset.to_timestamp(civil).ok()?, offset, true)
    }

    /// Text in a format; without a zone in it, UTC.
    pub fn parse_with(text: &str, format: &str) -> Option<Self> {
        if format.len() > MAX_FORMAT_BYTES {
            return None;
        }
        if format.is_empty() {
            return Self::parse(text);
        }
        let broken = strtime::parse(strftime(format).as_bytes(), text).ok()?;
        let date = broken.to_date().ok()?;
        let time = broken.to_time().unwrap_or_default();
        let offset = broken.offset().unwrap_or(Offset::UTC);
        Self::new(offset.to_timestamp(date.to_datetime(time)).ok()?, offset, true)
    }

    fn new(timestamp: Timestamp, offset: Offset, textual: bool) -> Option<Self> {
        let milliseconds = timestamp.as_nanosecond().div_euclid(1_000_000);
        let timestamp = Timestamp::from_millisecond(i64::try_from(milliseconds).ok()?).ok()?;
        Some(Self { timestamp, offset, textual })
    }

    pub fn milliseconds(self) -> i64 {
        self.timestamp.as_millisecond()
    }

    pub fn civil(self) -> DateTime {
        self.offset.to_datetime(self.timestamp)
    }

    /// The same offset and form at another civil time.
    pub fn at(self, civil: DateTime) -> Option<Self> {
        Some(Self { timestamp: self.offset.to_timestamp(civil).ok()?, ..self })
    }

    /// Moved by `count` parts; days are clamped to the end of the month.
    pub fn plus(self, part: Part, count: i64) -> Option<Self> {
        if let Some(length) = part.milliseconds() {
            let milliseconds = self.milliseconds().checked_add(length.checked_mul(count)?)?;
            return Some(Self { timestamp: Timestamp::from_millisecond(milliseconds).ok()?, ..self });
        }
        let span = match part {
            Part::Year => Span::new().try_years(count),
            _ => Span::new().try_months(count),
        };
        self.at(self.civil().checked_add(span.ok()?).ok()?)
    }

    /// Whole parts from `earlier` to this, truncated toward zero.
    pub fn since(self, earlier: Self, part: Part) -> Option<i64> {
        if let Some(length) = part.milliseconds() {
            return Some(self.milliseconds().checked_sub(earlier.milliseconds())? / length);
        }
        let unit = if part == Part::Year { Unit::Year } else { Unit::Month };
        let own = earlier.offset.to_datetime(self.timestamp);
        let span = earlier.civil().until((unit, own)).ok()?;
        Some(if part == Part::Year { span.get_years().into() } else { span.get_months().into() })
    }

    /// The start of the part.
    pub fn truncated(self, part: Part) -> Option<Self> {
        let civil = self.civil();
        let date = match part {
            Part::Year => civil.date().first_of_year(),
            Part::Month => civil.date().first_of_month(),
            _ => civil.date(),
        };
        let time = civil.time();
        let time = match part {
            Part::Year | Part::Month | Part::Day => jiff::civil::Time::midnight(),
            Part::Hour => time.with().minute(0).second(0).subsec_nanosecond(0).build().ok()?,
            Part::Minute => time.with().second(0).subsec_nanosecond(0).build().ok()?,
            Part::Second => time.with().subsec_nanosecond(0).build().ok()?,
            Part::Millisecond => time,
        };
        self.at(date.to_datetime(time))
    }

    /// In its own form: milliseconds or ISO text.
    pub fn value(self) -> Option<Value> {
        if self.textual { self.formatted("", None) } else { Some(Value::Int(self.milliseconds())) }
    }

    /// As text in a format, in a zone or else its own offset.
    pub fn formatted(self, format: &str, zone: Option<&str>) -> Option<Value> {
        if format.len() > MAX_FORMAT_BYTES {
            return None;
        }
        let zone = match zone {
            Some(zone) => zone_named(zone)?,
            None => TimeZone::fixed(self.offset),
        };
        let zoned = self.timestamp.to_zoned(zone);
        let format = if !format.is_empty() {
            strftime(format)
        } else if zoned.millisecond() == 0 {
            "%Y-%m-%dT%H:%M:%S%:z".to_owned()
        } else {
            "%Y-%m-%dT%H:%M:%S.%3f%:z".to_owned()
        };
        strtime::format(format.as_bytes(), &zoned).ok().map(Value::String)
    }

    /// As `+02:00`.
    pub fn offset_text(self) -> String {
        offset_text(self.offset)
    }
}

fn offset_text(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// An IANA name, `Z`, or an offset such as `+02:00` or `-0330`.
pub(super) fn zone_named(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("z") {
        return Some(TimeZone::UTC);
    }
    let Some(digits) = name.strip_prefix(['+', '-']) else { return TimeZone::get(name).ok() };
    let digits: String = digits.chars().filter(|character| *character != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Ok(0), str::parse).ok()?;
    let seconds = (hours * 60 + minutes) * 60;
    let seconds = if name.starts_with('-') { -seconds } else { seconds };
    Some(TimeZone::fixed(Offset::from_seconds(seconds).ok()?))
}

/// The format in strftime's style; the token style is translated, everything else in it is literal.
fn strftime(format: &str) -> String {
    if format.contains('%') {
        return format.to_owned();
    }
    const TOKENS: [(&str, &str); 8] = [
        ("YYYY", "%Y"),
        ("TZD", "%:z"),
        ("sss", "%3f"),
        ("MM", "%m"),
        ("DD", "%d"),
        ("hh", "%H"),
        ("mm", "%M"),
        ("ss", "%S"),
    ];
    let mut out = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        let (text, length) = match TOKENS.iter().find(|(token, _)| rest.starts_with(token)) {
            Some((token, directive)) => ((*directive).to_owned(), token.len()),
            None => (first.to_string(), first.len_utf8()),
        };
        out.push_str(&text);
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

/// English name of the month.
pub(super) fn month_name(civil: DateTime) -> String {
    civil.strftime("%B").to_string()
}

/// A duration text such as `1h30m`, `1.5s` or `-250ms`, in milliseconds.
pub(super) fn duration(text: &str) -> Option<f64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        total += number * unit(rest.get(..letters)?)?;
        rest = rest.get(letters..)?;
    }
    Some(if negative { -total } else { total })
}

/// The milliseconds of a unit of durations.
pub(super) fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1e-6,
        "us" | "µs" | "μs" => 1e-3,
        "s" => 1e3,
        "m" => 6e4,
        "h" => 36e5,
        "d" => 864e5,
        other => Part::named(other)?.milliseconds()? as f64,
    })
}

/// Hours, minutes of the hour, and milliseconds of the minute.
pub(super) fn clock_face(milliseconds: u64) -> (u64, u64, u64) {
    (milliseconds / 3_600_000, milliseconds / 60_000 % 60, milliseconds % 60_000)
}
