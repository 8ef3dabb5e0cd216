//! Turns the engine's tracing events into lines of text, with the spans that they happened in.
//!
//! A line is `target: span{field=value}: message field=value`. The level is asked for on every event, so that it can
//! change at any time; what is switched off costs a load and a comparison.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt::{self, Write as _},
    io::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Metadata,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_core::span::Current;

/// One event, about to be written.
pub(crate) struct Line<'a> {
    pub(crate) level: Level,
    target: &'a str,
    /// Each span from the outermost inwards, followed by `: `.
    spans: String,
    message: String,
}

impl Line<'_> {
    /// The line without time and level. It is one line whatever it is about: texts of other peers are in some, and must
    /// not be able to write lines of their own.
    pub(crate) fn text(&self) -> String {
        let text = format!("{}: {}{}", self.target, self.spans, self.message);
        if !text.contains(char::is_control) {
            return text;
        }
        let mut line = String::with_capacity(text.len());
        for character in text.chars() {
            match character.is_control() {
                true => line.extend(character.escape_default()),
                false => line.push(character),
            }
        }
        line
    }

    /// Writes the line with time and level. A standard error stream that is closed is no reason to fail.
    pub(crate) fn write_to_stderr(&self) {
        let line = format!("{} {:5} {}\n", Timestamp::now(), self.level, self.text());
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

pub(crate) struct Subscriber {
    maximum: fn() -> LevelFilter,
    write: fn(&Line<'_>),
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, Span>>,
}

struct Span {
    metadata: &'static Metadata<'static>,
    parent: Option<u64>,
    fields: String,
    handles: usize,
}

thread_local! {
    /// The spans that this thread is in, innermost last. A thread that ends may log after this is gone, from the
    /// destructor of another thread-local: then it is in none.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Subscriber {
    /// `maximum` tells what is wanted now; `write` takes what is.
    pub(crate) fn new(maximum: fn() -> LevelFilter, write: fn(&Line<'_>)) -> Self {
        Self { maximum, write, next_id: AtomicU64::new(1), open: Mutex::default() }
    }

    fn current() -> Option<u64> {
        ENTERED.try_with(|entered| entered.borrow().last().copied()).ok().flatten()
    }

    fn parent(explicit: Option<&Id>, is_contextual: bool) -> Option<u64> {
        explicit.map(Id::into_u64).or_else(|| if is_contextual { Self::current() } else { None })
    }

    fn describe(&self, innermost: Option<u64>) -> String {
        let open = self.open.lock();
        let mut names = Vec::new();
        let mut next = innermost;
        while let Some(span) = next.and_then(|id| open.get(&id)) {
            names.push(span);
            next = span.parent;
        }
        let mut text = String::new();
        for span in names.into_iter().rev() {
            text.push_str(span.metadata.name());
            if !span.fields.is_empty() {
                let _ = write!(text, "{{{}}}", span.fields.trim_start());
            }
            text.push_str(": ");
        }
        text
    }

    /// Gives handles of a span and, with its last one, of its parents back.
    fn close(&self, id: u64) -> bool {
        let mut open = self.open.lock();
        let mut next = Some(id);
        let mut closed = false;
        while let Some(id) = next.take() {
            let Some(span) = open.get_mut(&id) else { break };
            span.handles = span.handles.saturating_sub(1);
            if span.handles == 0 {
                next = open.remove(&id).and_then(|span| span.parent);
                closed = true;
            }
        }
        closed
    }
}

impl tracing::Subscriber for Subscriber {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // Ask again each time: the level may change.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= (self.maximum)()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some((self.maximum)())
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = Self::parent(attributes.parent(), attributes.is_contextual());
        let id = self.next_id.fetch_add(1, Ordering::Relaxed).max(1);
        let mut open = self.open.lock();
        // A span keeps its parent open, so that lines inside it still name it.
        let parent = parent.filter(|parent| {
            open.get_mut(parent).is_some_and(|span| {
                span.handles += 1;
                true
            })
        });
        open.insert(id, Span { metadata: attributes.metadata(), parent, fields: fields.fields, handles: 1 });
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = self.open.lock().get_mut(&span.into_u64()) {
            span.fields.push_str(&fields.fields);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        (self.write)(&Line {
            level: *metadata.level(),
            target: metadata.target(),
            spans: self.describe(Self::parent(event.parent(), event.is_contextual())),
            message: fields.into_message(),
        });
    }

    fn enter(&self, span: &Id) {
        let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let id = span.into_u64();
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(at) = entered.iter().rposition(|&entered| entered == id) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let Some(span) = self.open.lock().get_mut(&span.into_u64()) {
            span.handles += 1;
        }
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        self.close(span.into_u64())
    }

    fn current_span(&self) -> Current {
        let Some(id) = Self::current() else { return Current::none() };
        match self.open.lock().get(&id) {
            Some(span) => Current::new(Id::from_u64(id), span.metadata),
            None => Current::none(),
        }
    }
}

/// Collects the fields of an event or a span as ` name=value`, and the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    fields: String,
}

impl Fields {
    fn into_message(self) -> String {
        self.message + &self.fields
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail; a value whose Debug fails is left out.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name => {
                let _ = write!(self.fields, " {name}={value:?}");
            }
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let _ = write!(self.fields, " {}={value}", field.name());
        let mut source = value.source();
        while let Some(cause) = source {
            let _ = write!(self.fields, ": {cause}");
            source = cause.source();
        }
    }
}

/// UTC, to the millisecond, as in RFC 3339.
struct Timestamp {
    milliseconds: u64,
}

impl Timestamp {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { milliseconds: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl fmt::Display for Timestamp {
    /// The calendar is Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day comes last.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS_TO_1970: u64 = 719_468;
        const DAYS_PER_ERA: u64 = 146_097;
        let seconds = self.milliseconds / 1000;
        let days = seconds / 86_400 + DAYS_TO_1970;
        let era = days / DAYS_PER_ERA;
        let day_of_era = days % DAYS_PER_ERA;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            self.milliseconds % 1000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[test]
    fn a_line_names_its_spans_and_fields() {
        let subscriber = Subscriber::new(
            || LevelFilter::INFO,
            |line| LINES.lock().push(format!("{} {}", line.level, line.text())),
        );
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::info_span!("peer", key = "pk1");
            let inner = outer.in_scope(|| tracing::info_span!("session", id = 7));
            drop(outer);
            inner.in_scope(|| tracing::info!(target: "mesh", documents = 3, "caught up"));
            drop(inner);
            tracing::debug!(target: "mesh", "not wanted");
            tracing::warn!(target: "mesh", "outside");
            tracing::warn!(target: "mesh", reason = %"bye\nERROR mesh: forged", "\u{1b}[31mended ä");
        });
        assert_eq!(
            *LINES.lock(),
            [
                "INFO mesh: peer{key=\"pk1\"}: session{id=7}: caught up documents=3",
                "WARN mesh: outside",
                r"WARN mesh: \u{1b}[31mended ä reason=bye\nERROR mesh: forged",
            ]
        );
    }

    #[test]
    fn a_thread_that_ends_may_still_log() {
        struct Last(Subscriber);
        impl Drop for Last {
            fn drop(&mut self) {
                let id = Id::from_u64(1);
                tracing::Subscriber::enter(&self.0, &id);
                tracing::Subscriber::exit(&self.0, &id);
            }
        }
        thread_local! {
            static LAST: Last = Last(Subscriber::new(|| LevelFilter::INFO, |_| {}));
        }
        // Thread-locals are dropped in the order in which they were first used, or in the reverse of it.
        for entered_first in [true, false] {
            let enter = || ENTERED.with_borrow_mut(Vec::clear);
            let thread = std::thread::spawn(move || {
                if entered_first {
                    enter();
                }
                LAST.with(|_| {});
                if !entered_first {
                    enter();
                }
            });
            thread.join().unwrap();
        }
    }

    #[test]
    fn closed_spans_are_forgotten() {
        let subscriber = Subscriber::new(|| LevelFilter::TRACE, |_| {});
        let dispatch = tracing::Dispatch::new(subscriber);
        tracing::dispatcher::with_default(&dispatch, || {
            let outer = tracing::info_span!("outer");
            let _inner = outer.in_scope(|| tracing::info_span!("inner"));
        });
        let subscriber = dispatch.downcast_ref::<Subscriber>().unwrap();
        assert!(subscriber.open.lock().is_empty());
    }

    #[test]
    fn time_is_shown_in_utc() {
        let shown = |milliseconds| Timestamp { milliseconds }.to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(shown(4_102_444_799_999), "2099-12-31T23:59:59.999Z");
    }
}
