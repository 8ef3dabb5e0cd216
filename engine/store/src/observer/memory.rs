//! How much the rows of all observers together may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of rows that are kept for all observers of a store, unless the parameter `OBSERVER_MEMORY_BYTES` says something
/// else; results beyond are read again when they change.
pub(crate) const DEFAULT_BYTES: usize = 256 << 20;

/// Shares are taken in pieces of so many bytes.
const PIECE_BYTES: usize = 4 << 10;

/// What is given out.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Counts>);

struct Counts {
    taken: AtomicUsize,
    most: AtomicUsize,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Counts { taken: AtomicUsize::new(0), most: AtomicUsize::new(DEFAULT_BYTES) }))
    }
}

/// A part of [`Memory`]; given back when it is dropped.
pub(crate) struct Share {
    memory: Memory,
    bytes: usize,
}

impl Memory {
    /// How much to give out from now on. Where more is given out already, who changes its share gives it back.
    pub(crate) fn set_most(&self, bytes: usize) {
        self.0.most.store(bytes, Ordering::Relaxed);
    }

    /// Whether there is room for so many bytes now.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let Counts { taken, most } = &*self.0;
        taken.load(Ordering::Relaxed).saturating_add(bytes) <= most.load(Ordering::Relaxed)
    }

    /// A share of nothing.
    pub(crate) fn share(&self) -> Share {
        Share { memory: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Makes room for `bytes` in all. `false` if there is not so much.
    pub(crate) fn fit(&mut self, bytes: usize) -> bool {
        let wanted = bytes.next_multiple_of(PIECE_BYTES);
        let Counts { taken, most } = &*self.memory.0;
        let most = most.load(Ordering::Relaxed);
        if wanted <= self.bytes {
            let less = self.bytes - wanted;
            self.bytes = wanted;
            return taken.fetch_sub(less, Ordering::Relaxed) - less <= most;
        }
        let more = wanted - self.bytes;
        if taken.fetch_add(more, Ordering::Relaxed).saturating_add(more) > most {
            taken.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes = wanted;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_out_is_bounded_and_comes_back() {
        let memory = Memory::default();
        let (mut one, mut other) = (memory.share(), memory.share());
        assert!(one.fit(DEFAULT_BYTES / 2) && other.fit(DEFAULT_BYTES / 2));
        assert!(!one.fit(DEFAULT_BYTES / 2 + 1), "nothing is left");
        assert!(other.fit(1) && one.fit(DEFAULT_BYTES / 2 + 1));
        memory.set_most(DEFAULT_BYTES / 2);
        assert!(!one.fit(DEFAULT_BYTES / 2 + 1), "what is too much now goes when somebody asks");
        drop(one);
        assert!(other.fit(1));
        drop(other);
        assert_eq!(memory.0.taken.load(Ordering::Relaxed), 0);
    }
}
