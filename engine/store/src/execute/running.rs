//! A statement while it runs: how long it may, and what is said of one that is slow.

use std::cell::Cell;

use crate::error::StoreError;
use crate::result::QueryResult;
use crate::store::Inner;

/// Documents between two looks at the clock.
const LOOK_EVERY: u32 = 64;

/// Bytes of a statement that are logged.
const LOGGED_BYTES: usize = 512;

/// A statement that has begun. What waits for the writer has not.
pub(crate) struct Running<'r> {
    inner: &'r Inner,
    text: &'r str,
    begun_ms: u64,
    /// 0 for never.
    timeout_ms: u64,
    /// 0 for never.
    slow_ms: u64,
    /// Documents until the next look at the clock.
    countdown: Cell<u32>,
    tally: Tally,
}

/// What a statement came by until now.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Documents that the filter was to decide about.
    pub looked: Cell<u64>,
    /// Those of them that belong to the statement.
    pub found: Cell<u64>,
    /// Groups that they formed.
    pub groups: Cell<u64>,
    /// Those of them that HAVING left.
    pub kept: Cell<u64>,
    /// Rows that were unlike all before.
    pub distinct: Cell<u64>,
}

impl Tally {
    pub(crate) fn count(number: &Cell<u64>) {
        number.set(number.get() + 1);
    }
}

impl<'r> Running<'r> {
    pub(crate) fn begin(inner: &'r Inner, text: &'r str) -> Self {
        let settings = inner.parameters.settings();
        let (timeout_ms, slow_ms) = (settings.request_timeout_ms, settings.slow_request_ms);
        let begun_ms = if timeout_ms + slow_ms > 0 { inner.environment.elapsed_ms() } else { 0 };
        Self {
            inner,
            text,
            begun_ms,
            timeout_ms,
            slow_ms,
            countdown: Cell::new(LOOK_EVERY),
            tally: Tally::default(),
        }
    }

    /// Called for each document that the statement looks at.
    ///
    /// # Errors
    /// [`StoreError::RequestTimeout`].
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        Tally::count(&self.tally.looked);
        let left = self.countdown.get();
        if left > 0 || self.timeout_ms == 0 {
            self.countdown.set(left.saturating_sub(1));
            return Ok(());
        }
        self.countdown.set(LOOK_EVERY);
        if self.elapsed_ms() < self.timeout_ms {
            return Ok(());
        }
        Err(StoreError::RequestTimeout { seconds: self.timeout_ms / 1000 })
    }

    pub(crate) fn inner(&self) -> &'r Inner {
        self.inner
    }

    pub(crate) fn text(&self) -> &'r str {
        self.text
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Logs it if it was slow.
    pub(crate) fn end(self, result: Result<QueryResult, StoreError>) -> Result<QueryResult, StoreError> {
        if self.slow_ms > 0 {
            let elapsed_ms = self.elapsed_ms();
            if elapsed_ms >= self.slow_ms {
                let rows = result.as_ref().map_or(0, |result| result.rows.len());
                tracing::warn!(
                    elapsed_ms,
                    rows,
                    ok = result.is_ok(),
                    statement = self.excerpt(),
                    "a slow statement"
                );
            }
        }
        result
    }

    fn elapsed_ms(&self) -> u64 {
        self.inner.environment.elapsed_ms().saturating_sub(self.begun_ms)
    }

    fn excerpt(&self) -> String {
        let mut ends = (0..=self.text.len().min(LOGGED_BYTES)).rev();
        let end = ends.find(|end| self.text.is_char_boundary(*end)).unwrap_or(0);
        match self.text.get(..end) {
            Some(excerpt) if end < self.text.len() => format!("{excerpt}… ({} bytes)", self.text.len()),
            _ => self.text.to_owned(),
        }
    }
}
