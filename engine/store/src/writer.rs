//! The one writer, and the queue of those who want to be it, in order of arrival.

use ditto_crdt::{HybridClock, Sequence};
use parking_lot::{Condvar, Mutex};

use crate::layout::CollectionId;

/// What only the writer touches.
pub(crate) struct Writer {
    pub clock: HybridClock,
    /// Time of the clock's newest stamp, kept beside it for the catalog.
    pub last: Sequence,
    pub next_collection: CollectionId,
}

struct Queue {
    /// `None` while somebody writes.
    writer: Option<Box<Writer>>,
    /// Who is next.
    serving: u64,
    /// The next number to be drawn.
    next: u64,
}

/// Hands the [`Writer`] to one caller at a time, first come, first served.
///
/// Not a mutex around the writer, because a transaction of the application keeps it across calls and threads.
pub(crate) struct WriterQueue {
    queue: Mutex<Queue>,
    returned: Condvar,
}

impl WriterQueue {
    pub(crate) fn new(writer: Writer) -> Self {
        Self {
            queue: Mutex::new(Queue { writer: Some(Box::new(writer)), serving: 0, next: 0 }),
            returned: Condvar::new(),
        }
    }

    /// Waits for the writer.
    pub(crate) fn take(&self) -> Box<Writer> {
        let mut queue = self.queue.lock();
        let ticket = queue.next;
        queue.next += 1;
        loop {
            if queue.serving == ticket
                && let Some(writer) = queue.writer.take()
            {
                return writer;
            }
            self.returned.wait(&mut queue);
        }
    }

    /// Gives the writer to the next in the queue.
    pub(crate) fn give_back(&self, writer: Box<Writer>) {
        let mut queue = self.queue.lock();
        queue.writer = Some(writer);
        queue.serving += 1;
        if queue.next > queue.serving {
            self.returned.notify_all();
        }
    }
}
