//! How many results are brought up to date at once.
//!
//! A commit may make a thousand results stale. They are read on a few *lanes*, in order of arrival, so that the
//! executor does not start a thread for each of them and writers keep their share of the processor. A lane is given on
//! before the application is called: its callbacks may block for as long as they like.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::state::State;

/// How many results are brought up to date at once.
const LANES: usize = 4;

#[derive(Default)]
pub(super) struct Lanes(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    taken: usize,
    waiting: VecDeque<Arc<State>>,
}

impl Lanes {
    /// `true` if a lane was free: it is the caller's until [`Lanes::next`]. Otherwise the observer gets one when it
    /// is its turn.
    pub(super) fn take(&self, state: &Arc<State>) -> bool {
        let mut queue = self.0.lock();
        let free = queue.taken < LANES;
        if free {
            queue.taken += 1;
        } else {
            queue.waiting.push_back(Arc::clone(state));
        }
        free
    }

    /// Gives the caller's lane to the observer whose turn it is; without one it is free again.
    pub(super) fn next(&self) -> Option<Arc<State>> {
        let mut queue = self.0.lock();
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.taken -= 1;
        }
        next
    }

    /// Puts the caller's observer behind those who wait; the lane goes to the first of them.
    pub(super) fn swap(&self, state: Arc<State>) -> Arc<State> {
        let mut queue = self.0.lock();
        match queue.waiting.pop_front() {
            Some(next) => {
                queue.waiting.push_back(state);
                next
            }
            None => state,
        }
    }
}
