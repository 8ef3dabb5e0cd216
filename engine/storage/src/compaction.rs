//! A compaction that tells how far it is, and can be stopped before its end.
//!
//! The tree below knows neither, but it asks a *filter* about every row that goes through a compaction. Ours keeps all
//! rows, counts those of a compaction that is watched, and lets it fail when it is to stop: nothing has changed then, and
//! what it wrote so far is removed at the next opening. Rows that were deleted are not asked about, so a long run of them is
//! gone through to its end. Compactions that the tree does by itself, on threads of its own, nobody watches.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};

/// How often whoever watches is told.
const TICK: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Watch {
    rows: AtomicU64,
    stopped: AtomicBool,
}

impl Watch {
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

thread_local! {
    /// Who watches the compaction that this thread does.
    static WATCH: RefCell<Option<Arc<Watch>>> = const { RefCell::new(None) };
}

/// Makes the filters of all keyspaces.
pub(crate) struct Filters;

impl Factory for Filters {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn make_filter(&self, _context: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Filter(WATCH.with_borrow(Clone::clone)))
    }
}

struct Filter(Option<Arc<Watch>>);

impl CompactionFilter for Filter {
    fn filter_item(&mut self, _row: ItemAccessor<'_>, _context: &Context) -> CompactionFilterResult {
        if let Some(watch) = &self.0 {
            watch.rows.fetch_add(1, Ordering::Relaxed);
            if watch.is_stopped() {
                return Err(fjall::LsmError::Io(io::ErrorKind::Interrupted.into()));
            }
        }
        Ok(Verdict::Keep)
    }
}

/// Stops the compaction when the one who watches it is gone, also by a panic.
struct StopOnDrop<'a>(&'a Watch);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs `compact`, which is to compact one tree, and tells `on_rows` now and then, on this thread, how many rows have gone
/// through; it stops the compaction by breaking, which is no error.
pub(crate) fn watched(
    compact: impl FnOnce() -> fjall::Result<()> + Send,
    on_rows: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> fjall::Result<()> {
    let watch = Arc::new(Watch::default());
    let stop = StopOnDrop(&watch);
    thread::scope(|scope| {
        // Goes before the scope waits for the thread.
        let _stop = stop;
        let (sender, ended) = mpsc::channel();
        let watched = Arc::clone(&watch);
        let run = move || {
            WATCH.set(Some(watched));
            // The one who waits may be gone by a panic.
            let _ = sender.send(compact());
        };
        let thread = thread::Builder::new().name("ditto-compaction".to_owned()).spawn_scoped(scope, run)?;
        let outcome = loop {
            match ended.recv_timeout(TICK) {
                Ok(outcome) => break outcome,
                Err(RecvTimeoutError::Timeout) => {
                    if !watch.is_stopped() && on_rows(watch.rows.load(Ordering::Relaxed)).is_break() {
                        watch.stop();
                    }
                }
                // The tree panics about files that are not what it wrote.
                Err(RecvTimeoutError::Disconnected) => {
                    break thread.join().map_err(|_| fjall::Error::Unrecoverable);
                }
            }
        };
        match outcome {
            Err(error) if watch.is_stopped() && is_interrupted(&error) => Ok(()),
            outcome => outcome,
        }
    })
}

fn is_interrupted(error: &fjall::Error) -> bool {
    matches!(
        error,
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
            if error.kind() == io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Goes on until it is stopped, as a compaction of many rows.
    fn endless() -> fjall::Result<()> {
        let watch = WATCH.with_borrow(Clone::clone).unwrap();
        while !watch.is_stopped() {
            watch.rows.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
        }
        Err(io::Error::from(io::ErrorKind::Interrupted).into())
    }

    #[test]
    fn whoever_watches_sees_the_rows_and_may_stop_it() {
        let mut seen = Vec::new();
        let stopped = watched(endless, &mut |rows| {
            seen.push(rows);
            if seen.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        stopped.unwrap();
        assert!(seen.len() == 3 && seen[0] > 0 && seen.is_sorted(), "{seen:?}");
    }

    #[test]
    fn a_panic_of_whoever_watches_stops_it() {
        let panicked = catch_unwind(AssertUnwindSafe(|| watched(endless, &mut |_| panic!("enough"))));
        assert!(panicked.is_err());
    }

    #[test]
    fn errors_and_panics_of_the_tree_are_errors() {
        let mut go_on = |_| ControlFlow::Continue(());
        let interrupted = watched(|| Err(io::Error::from(io::ErrorKind::Interrupted).into()), &mut go_on);
        assert!(interrupted.is_err(), "nobody has stopped it");
        assert!(matches!(watched(|| panic!("a bad block"), &mut go_on), Err(fjall::Error::Unrecoverable)));
        watched(|| Ok(()), &mut go_on).unwrap();
    }
}
