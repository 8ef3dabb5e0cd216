//! How much may be under way: little at first, twice as much with each acknowledged batch.
//!
//! The subscriber finds out by what arrives whether another link brings the same. What is under way by then arrives twice, on
//! every redundant link of a mesh; hence a slow start (as of TCP: RFC 5681, section 3.1), and another one after the link was lazy.

use crate::sizes::Sizes;

/// The bound of what is not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// How many times as much as at first.
    factor: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { factor: 1 }
    }
}

impl Window {
    /// A batch with documents was acknowledged.
    pub(super) fn widen(&mut self, sizes: &Sizes) {
        if self.documents(sizes) < sizes.window_documents {
            self.factor *= 2;
        }
    }

    /// Whether one more batch may be sent.
    pub(super) fn has_room(self, sizes: &Sizes, documents: usize, bytes: usize) -> bool {
        documents < self.documents(sizes) && bytes < self.bytes(sizes)
    }

    /// A batch ends with the commit that reaches so many documents, which may be offered before …
    pub(super) fn batch_documents(self, sizes: &Sizes, offered: bool) -> usize {
        let most = sizes.batch_documents;
        if offered { most } else { (self.documents(sizes) / 2).clamp(1, most) }
    }

    /// … or so many bytes.
    pub(super) fn batch_bytes(self, sizes: &Sizes) -> usize {
        (self.bytes(sizes) / 2).min(sizes.batch_bytes)
    }

    fn documents(self, sizes: &Sizes) -> usize {
        (sizes.first_window_documents * self.factor).min(sizes.window_documents)
    }

    /// In proportion.
    fn bytes(self, sizes: &Sizes) -> usize {
        sizes.window_bytes / sizes.window_documents * self.documents(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{
        BATCH_TARGET_BYTES, BATCH_TARGET_DOCUMENTS, FIRST_WINDOW_DOCUMENTS, WINDOW_BYTES, WINDOW_DOCUMENTS,
    };

    #[test]
    fn it_is_narrow_at_first_and_soon_as_wide_as_it_gets() {
        let (mut window, sizes) = (Window::default(), Sizes::default());
        assert!(
            window.has_room(&sizes, FIRST_WINDOW_DOCUMENTS - 1, 0)
                && !window.has_room(&sizes, FIRST_WINDOW_DOCUMENTS, 0)
        );
        assert!(
            window.batch_documents(&sizes, false) < FIRST_WINDOW_DOCUMENTS,
            "two batches, so that neither side waits"
        );
        for _ in 0..6 {
            window.widen(&sizes);
        }
        assert!(window.has_room(&sizes, WINDOW_DOCUMENTS - 1, WINDOW_BYTES - WINDOW_DOCUMENTS));
        assert!(!window.has_room(&sizes, WINDOW_DOCUMENTS, 0) && !window.has_room(&sizes, 0, WINDOW_BYTES));
        assert_eq!(window.batch_documents(&sizes, false), BATCH_TARGET_DOCUMENTS);
        assert_eq!(window.batch_bytes(&sizes), BATCH_TARGET_BYTES);
    }
}
