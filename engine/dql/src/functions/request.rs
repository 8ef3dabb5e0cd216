//! `request_info()`: what a statement knows of its own run.

use ditto_value::{Object, Value};
use jiff::Timestamp;
use jiff::tz::Offset;

use super::moment::Moment;
use crate::evaluate::{Context, Item};

/// The object that `request_info()` yields: `app_id`, `request_id`, and `start_time` as ISO-8601 text. For
/// [`Context::request`], which holds it for as long as the statement runs.
pub fn request_object(app_id: &str, request_id: &str, start_ms: i64) -> Value {
    let moment = |timestamp| Moment { timestamp, offset: Offset::UTC, textual: true };
    let start = Timestamp::from_millisecond(start_ms).ok().map(moment).and_then(Moment::value);
    Value::Object(Object::from([
        ("app_id", Value::from(app_id)),
        ("request_id", Value::from(request_id)),
        ("start_time", start.unwrap_or_default()),
    ]))
}

pub(super) fn request_info<'a>(_: &mut [Item<'a>], context: &Context<'a>) -> Item<'a> {
    context.request.map_or(Item::NULL, Item::Borrowed)
}
