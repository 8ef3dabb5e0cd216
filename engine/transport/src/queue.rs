//! Bounded outgoing messages of a channel.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::frame::{MAX_FRAME, push_frame};
use crate::sender::SendError;

/// What a queued message costs besides its bytes, so that a flood of empty ones is bounded too.
const MESSAGE_COST: usize = 32;

/// The writer takes about this many bytes at once: small messages share a TLS record and a system call.
const BATCH: usize = 64 * 1024;

/// From so much on the writer is woken at once: it fills a TLS record, whatever follows.
const RECORD: usize = 16 * 1024;

/// Filled by any thread, emptied by the link's task. Holds up to `limit` bytes and one message more.
pub(crate) struct Queue {
    state: Mutex<State>,
    limit: usize,
    filled: Notify,
    drained: Notify,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Vec<u8>>,
    cost: usize,
    closed: bool,
    /// A sender was told that the queue is full and has not been told otherwise.
    refused: bool,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), limit, filled: Notify::new(), drained: Notify::new() }
    }

    /// O(1); never waits. The writer may hear of it only when it is [released](Self::release).
    pub(crate) fn push(&self, message: Vec<u8>) -> Result<(), SendError> {
        if message.len() > MAX_FRAME {
            return Err(SendError::TooLong(message));
        }
        let mut state = self.state.lock();
        if state.closed {
            return Err(SendError::Closed(message));
        }
        if state.cost >= self.limit {
            state.refused = true;
            return Err(SendError::Full(message));
        }
        state.cost += message.len() + MESSAGE_COST;
        state.messages.push_back(message);
        let fills_a_record = state.cost >= RECORD;
        drop(state);
        if fills_a_record {
            self.release();
        }
        Ok(())
    }

    /// Wakes the writer.
    pub(crate) fn release(&self) {
        self.filled.notify_one();
    }

    /// Waits for messages and replaces `batch` by the next of them, as frames. One caller at a time.
    pub(crate) async fn next_batch(&self, batch: &mut Vec<u8>) {
        batch.clear();
        loop {
            if self.take(batch) {
                return;
            }
            self.filled.notified().await;
        }
    }

    /// Waits until a queue that was full is at least half empty.
    pub(crate) async fn drained(&self) {
        self.drained.notified().await;
    }

    /// Refuses messages from now on and drops those that wait.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        *state = State { closed: true, ..State::default() };
    }

    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.state.lock();
        while batch.len() < BATCH {
            let Some(message) = state.messages.pop_front() else { break };
            state.cost -= message.len() + MESSAGE_COST;
            push_frame(batch, &message);
        }
        if state.refused && state.cost <= self.limit / 2 {
            state.refused = false;
            self.drained.notify_one();
        }
        !batch.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_full_queue_gives_the_message_back_and_tells_when_half_is_free() {
        let queue = Queue::new(10 * (100 + MESSAGE_COST));
        for _ in 0..10 {
            queue.push(vec![1; 100]).unwrap();
        }
        let Err(SendError::Full(message)) = queue.push(vec![2; 100]) else { panic!("not full") };
        assert_eq!(message, [2; 100]);
        assert!(queue.drained().now_or_never().is_none());

        let mut batch = Vec::new();
        queue.next_batch(&mut batch).now_or_never().unwrap();
        assert_eq!(batch.len(), 10 * 104);
        queue.drained().now_or_never().unwrap();
        assert!(queue.next_batch(&mut batch).now_or_never().is_none());
        assert!(queue.drained().now_or_never().is_none());
    }

    #[test]
    fn the_writer_is_woken_for_what_is_released_and_for_what_fills_a_record() {
        let queue = Queue::new(100_000);
        let mut batch = Vec::new();
        let mut next = Box::pin(queue.next_batch(&mut batch));
        assert!((&mut next).now_or_never().is_none());
        queue.push(vec![1; 10]).unwrap();
        queue.push(vec![2; 10]).unwrap();
        assert!((&mut next).now_or_never().is_none());
        queue.release();
        (&mut next).now_or_never().unwrap();
        drop(next);
        assert_eq!(batch.len(), 2 * 14);

        let mut next = Box::pin(queue.next_batch(&mut batch));
        assert!((&mut next).now_or_never().is_none());
        queue.push(vec![0; RECORD]).unwrap();
        (&mut next).now_or_never().unwrap();
    }

    #[test]
    fn one_message_of_the_greatest_length_always_fits_an_empty_queue() {
        let queue = Queue::new(1);
        queue.push(vec![0; MAX_FRAME]).unwrap();
        assert!(matches!(queue.push(Vec::new()), Err(SendError::Full(_))));
        assert!(matches!(queue.push(vec![0; MAX_FRAME + 1]), Err(SendError::TooLong(_))));
    }

    #[test]
    fn empty_messages_fill_a_queue_too() {
        let queue = Queue::new(1000);
        let sent = std::iter::from_fn(|| queue.push(Vec::new()).ok()).count();
        assert!(sent < 100, "{sent}");
    }

    #[test]
    fn a_closed_queue_takes_and_gives_nothing() {
        let queue = Queue::new(1000);
        queue.push(vec![1]).unwrap();
        queue.close();
        assert!(matches!(queue.push(vec![1]), Err(SendError::Closed(_))));
        assert!(queue.next_batch(&mut Vec::new()).now_or_never().is_none());
    }
}
