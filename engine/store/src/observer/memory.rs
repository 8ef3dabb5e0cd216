//! How much the rows of all observers together may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of rows that are kept for all observers of a store; results beyond are read again when they change.
const MAX_BYTES: usize = 256 << 20;

/// Shares are taken in pieces of so many bytes.
const PIECE_BYTES: usize = 4 << 10;

/// What is given out.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<AtomicUsize>);

/// A part of [`Memory`]; given back when it is dropped.
pub(crate) struct Share {
    memory: Memory,
    bytes: usize,
}

impl Memory {
    /// A share of nothing.
    pub(crate) fn share(&self) -> Share {
        Share { memory: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Makes room for `bytes` in all. `false` if there is not so much.
    pub(crate) fn fit(&mut self, bytes: usize) -> bool {
        let wanted = bytes.next_multiple_of(PIECE_BYTES);
        let taken = &self.memory.0;
        if wanted <= self.bytes {
            taken.fetch_sub(self.bytes - wanted, Ordering::Relaxed);
        } else {
            let more = wanted - self.bytes;
            if taken.fetch_add(more, Ordering::Relaxed).saturating_add(more) > MAX_BYTES {
                taken.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        }
        self.bytes = wanted;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_out_is_bounded_and_comes_back() {
        let memory = Memory::default();
        let (mut one, mut other) = (memory.share(), memory.share());
        assert!(one.fit(MAX_BYTES / 2) && other.fit(MAX_BYTES / 2));
        assert!(!one.fit(MAX_BYTES / 2 + 1), "nothing is left");
        assert!(other.fit(1) && one.fit(MAX_BYTES / 2 + 1));
        drop((one, other));
        assert_eq!(memory.0.load(Ordering::Relaxed), 0);
    }
}
