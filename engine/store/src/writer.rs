//! The one writer, and the queue of those who want to be it, in order of arrival.
//!
//! Whoever has written hands the writer to the next in the queue itself, so there is nothing to miss and nobody to
//! overtake: while somebody waits, the writer is never free. A waiting thread is woken; one that must not block left
//! a function to be called instead.
//!
//! Nobody waits for itself: code that runs inside a transaction (see [`Transaction::enter`](crate::Transaction::enter))
//! and wants to write beside it is refused at once. What cannot be seen that way, such as a transaction that waits for
//! a task that waits for the writer, ends by patience: see [`WriterQueue::watch`]. The queue has no clock; whoever has
//! one tells it the time now and then.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, OnceLock};

use ditto_crdt::{HybridClock, Sequence};
use parking_lot::{Condvar, Mutex};

use crate::error::StoreError;
use crate::layout::CollectionId;
use crate::transaction::Label;

/// What only the writer touches.
pub(crate) struct Writer {
    pub clock: HybridClock,
    /// Time of the clock's newest stamp, kept beside it for the catalog.
    pub last: Sequence,
    pub next_collection: CollectionId,
}

/// Who writes, or waits to.
#[derive(Clone)]
pub(crate) enum Holder {
    /// One statement of the application.
    Statement,
    /// A transaction of the application.
    Transaction(Arc<Label>),
    /// What another peer sent.
    Sync,
    /// The store itself, to do this.
    Maintenance(&'static str),
}

impl Holder {
    /// Whether it gives up after a while. What the store does for itself cannot be asked again by anybody.
    fn gives_up(&self) -> bool {
        matches!(self, Self::Statement | Self::Transaction(_))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement => formatter.write_str("a statement"),
            Self::Transaction(label) => label.fmt(formatter),
            Self::Sync => formatter.write_str("the merge of what another peer sent"),
            Self::Maintenance(what) => formatter.write_str(what),
        }
    }
}

/// The writer, or why there is none.
pub(crate) type Turn = Result<Box<Writer>, StoreError>;

/// Is called when the turn has come, outside of all locks.
pub(crate) type OnTurn = Box<dyn FnOnce(Turn) + Send>;

/// How long is long, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Who holds the writer for so long is reported,
    pub report_after: u64,
    /// and then again each time so long has passed.
    pub report_every: u64,
    /// Who waits for so long gives up; 0 for never.
    pub give_up_after: u64,
}

/// How a waiting caller hears that its turn has come.
enum Wake {
    Thread(Arc<Slot>),
    Call(OnTurn),
}

impl Wake {
    /// Wakes a thread; what is to be called is handed back, because the caller holds locks.
    fn deliver(self, turn: Turn) -> Option<(OnTurn, Turn)> {
        match self {
            Self::Thread(slot) => {
                *slot.turn.lock() = Some(turn);
                slot.filled.notify_one();
                None
            }
            Self::Call(on_turn) => Some((on_turn, turn)),
        }
    }
}

/// Where a waiting thread finds its turn.
#[derive(Default)]
struct Slot {
    turn: Mutex<Option<Turn>>,
    filled: Condvar,
}

struct Waiting {
    who: Holder,
    wake: Wake,
    /// When the watch saw it first.
    since: Option<u64>,
}

/// What the watch knows of the present holder.
#[derive(Clone, Copy)]
struct Watched {
    turn: u64,
    since: u64,
    next_report: u64,
}

struct Queue {
    /// `None` while somebody writes.
    writer: Option<Box<Writer>>,
    /// Who that is.
    holder: Holder,
    /// How many have had the writer.
    turn: u64,
    waiting: VecDeque<Waiting>,
    closed: bool,
    watched: Option<Watched>,
    /// Whether somebody calls [`WriterQueue::watch`] from time to time.
    has_watch: bool,
}

impl Queue {
    /// The writer if it is free, an error if it can never be had, `None` if it must be waited for.
    fn take(&mut self, who: &Holder) -> Option<Turn> {
        if self.closed && !matches!(who, Holder::Maintenance(_)) {
            return Some(Err(StoreError::Closed));
        }
        if let Some(writer) = self.writer.take() {
            self.holder = who.clone();
            self.turn += 1;
            return Some(Ok(writer));
        }
        self.check_nested().err().map(Err)
    }

    fn check_nested(&self) -> Result<(), StoreError> {
        match &self.holder {
            Holder::Transaction(label) if self.writer.is_none() && is_inside(label.number) => {
                Err(StoreError::NestedWrite { holder: label.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// Hands the [`Writer`] to one caller at a time, first come, first served.
///
/// Not a mutex around the writer, because a transaction of the application keeps it across calls and threads.
pub(crate) struct WriterQueue {
    queue: Mutex<Queue>,
    /// Called when there is something to watch.
    alarm: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl WriterQueue {
    pub(crate) fn new(writer: Writer) -> Self {
        let queue = Queue {
            writer: Some(Box::new(writer)),
            holder: Holder::Maintenance("nobody"),
            turn: 0,
            waiting: VecDeque::new(),
            closed: false,
            watched: None,
            has_watch: false,
        };
        Self { queue: Mutex::new(queue), alarm: OnceLock::new() }
    }

    /// Waits for the writer.
    ///
    /// # Errors
    /// [`StoreError::Closed`]; [`StoreError::NestedWrite`] if this thread is inside of the transaction that has the
    /// writer; [`StoreError::WriterBusy`].
    pub(crate) fn take(&self, who: Holder) -> Turn {
        let slot = Arc::<Slot>::default();
        if let Some(turn) = self.enqueue(who, || Wake::Thread(Arc::clone(&slot))) {
            return turn.1;
        }
        let mut turn = slot.turn.lock();
        loop {
            match turn.take() {
                Some(turn) => return turn,
                None => slot.filled.wait(&mut turn),
            }
        }
    }

    /// The writer, or `None` if that would mean to wait.
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub(crate) fn try_take(&self, who: &Holder) -> Result<Option<Box<Writer>>, StoreError> {
        let turn = self.queue.lock().take(who);
        turn.transpose()
    }

    /// # Errors
    /// [`StoreError::NestedWrite`] if this thread is inside of the transaction that has the writer.
    pub(crate) fn check_nested(&self) -> Result<(), StoreError> {
        self.queue.lock().check_nested()
    }

    /// Calls `on_turn` with the writer: at once, on this thread, if it is free; else later, by whoever calls what
    /// [`Self::give_back`] answers with.
    pub(crate) fn take_later(&self, who: Holder, on_turn: OnTurn) {
        if let Some((Wake::Call(on_turn), turn)) = self.enqueue(who, || Wake::Call(on_turn)) {
            on_turn(turn);
        }
    }

    /// Takes the writer, or lines up.
    fn enqueue(&self, who: Holder, wake: impl FnOnce() -> Wake) -> Option<(Wake, Turn)> {
        let mut queue = self.queue.lock();
        let turn = queue.take(&who);
        let to_watch = match &turn {
            Some(Ok(_)) => matches!(who, Holder::Transaction(_)),
            Some(Err(_)) => false,
            None => true,
        };
        let alarm = to_watch && !queue.has_watch;
        queue.has_watch |= to_watch;
        let outcome = match turn {
            Some(turn) => Some((wake(), turn)),
            None => {
                queue.waiting.push_back(Waiting { who, wake: wake(), since: None });
                None
            }
        };
        drop(queue);
        if alarm && let Some(alarm) = self.alarm.get() {
            alarm();
        }
        outcome
    }

    /// Gives the writer to the next in the queue. If that one left a function to call, it is for the caller to call.
    #[must_use]
    pub(crate) fn give_back(&self, writer: Box<Writer>) -> Option<(OnTurn, Turn)> {
        let mut queue = self.queue.lock();
        let Some(next) = queue.waiting.pop_front() else {
            queue.writer = Some(writer);
            return None;
        };
        queue.holder = next.who;
        queue.turn += 1;
        drop(queue);
        next.wake.deliver(Ok(writer))
    }

    /// From now on nobody but the store itself gets the writer, and who waits is told so. Answers with functions that
    /// the caller must call.
    #[must_use]
    pub(crate) fn close(&self) -> Vec<(OnTurn, Turn)> {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let (stay, go): (VecDeque<_>, VecDeque<_>) = mem::take(&mut queue.waiting)
            .into_iter()
            .partition(|waiting| matches!(waiting.who, Holder::Maintenance(_)));
        queue.waiting = stay;
        drop(queue);
        go.into_iter().filter_map(|waiting| waiting.wake.deliver(Err(StoreError::Closed))).collect()
    }

    /// Sets what is called, once, when there is something to watch and nobody does.
    pub(crate) fn on_busy(&self, alarm: Box<dyn Fn() + Send + Sync>) {
        // Set once, while the peer opens.
        let _ = self.alarm.set(alarm);
    }

    /// Looks at who holds the writer and who waits for it: reports one that holds it for long, and sends those away who
    /// have waited for too long. `now` is the time in milliseconds, by any clock that does not go back. Times count
    /// from the first look. Answers with functions that the caller must call, and whether to look again.
    pub(crate) fn watch(&self, now: u64, limits: Limits) -> (Vec<(OnTurn, Turn)>, bool) {
        let mut queue = self.queue.lock();
        let busy = queue.writer.is_none();
        queue.has_watch = busy;
        if !busy {
            queue.watched = None;
            return (Vec::new(), false);
        }
        let turn = queue.turn;
        let mut watched = queue.watched.filter(|watched| watched.turn == turn).unwrap_or(Watched {
            turn,
            since: now,
            next_report: now.saturating_add(limits.report_after),
        });
        let report = now >= watched.next_report;
        if report {
            watched.next_report = now.saturating_add(limits.report_every);
        }
        queue.watched = Some(watched);
        let held_ms = now.saturating_sub(watched.since);
        for waiting in &mut queue.waiting {
            waiting.since.get_or_insert(now);
        }
        let holder = queue.holder.clone();
        let expired = |waiting: &Waiting| {
            let waited = waiting.since.map_or(0, |since| now.saturating_sub(since));
            let too_long = limits.give_up_after > 0 && waited >= limits.give_up_after;
            (too_long && waiting.who.gives_up()).then_some(waited)
        };
        let mut gone = Vec::new();
        if queue.waiting.iter().any(|waiting| expired(waiting).is_some()) {
            for waiting in mem::take(&mut queue.waiting) {
                match expired(&waiting) {
                    Some(waited) => gone.push((waiting, waited)),
                    None => queue.waiting.push_back(waiting),
                }
            }
        }
        let waiting = queue.waiting.len();
        drop(queue);
        if report {
            tracing::warn!(held_ms, waiting, "{holder} has been writing for long, others wait for it");
        }
        let refuse = |(waiting, waited_ms): (Waiting, u64)| {
            tracing::warn!(waited_ms, held_ms, "{} gives up waiting for {holder}", waiting.who);
            let error = StoreError::WriterBusy { holder: holder.to_string(), held_ms, waited_ms };
            waiting.wake.deliver(Err(error))
        };
        (gone.into_iter().filter_map(refuse).collect(), true)
    }
}

thread_local! {
    /// Numbers of the transactions that the code running on this thread is inside of.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// From now on this thread runs code of that transaction.
pub(crate) fn enter(number: u64) {
    // While the thread ends there is nothing to remember.
    let _ = INSIDE.try_with(|inside| inside.borrow_mut().push(number));
}

/// Ends the newest [`enter`] with that number on this thread.
pub(crate) fn leave(number: u64) {
    let _ = INSIDE.try_with(|inside| {
        let mut inside = inside.borrow_mut();
        if let Some(place) = inside.iter().rposition(|inner| *inner == number) {
            inside.remove(place);
        }
    });
}

/// Whether this thread runs code of that transaction.
pub(crate) fn is_inside(number: u64) -> bool {
    INSIDE.try_with(|inside| inside.borrow().contains(&number)).unwrap_or(false)
}
