//! How much may be under way: little at first, twice as much with each acknowledged batch.
//!
//! The subscriber finds out by what arrives whether another link brings the same. What is under way by then arrives twice, on
//! every redundant link of a mesh; hence a slow start (as of TCP: RFC 5681, section 3.1), and another one after the link was lazy.

use crate::limits::{
    BATCH_TARGET_BYTES, BATCH_TARGET_DOCUMENTS, FIRST_WINDOW_DOCUMENTS, WINDOW_BYTES, WINDOW_DOCUMENTS,
};

/// The bound of what is not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    documents: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { documents: FIRST_WINDOW_DOCUMENTS }
    }
}

impl Window {
    /// A batch with documents was acknowledged.
    pub(super) fn widen(&mut self) {
        self.documents = (2 * self.documents).min(WINDOW_DOCUMENTS);
    }

    /// Whether one more batch may be sent.
    pub(super) fn has_room(self, documents: usize, bytes: usize) -> bool {
        documents < self.documents && bytes < self.bytes()
    }

    /// A batch ends with the commit that reaches so many documents, which may be offered before …
    pub(super) fn batch_documents(self, offered: bool) -> usize {
        if offered { BATCH_TARGET_DOCUMENTS } else { (self.documents / 2).clamp(1, BATCH_TARGET_DOCUMENTS) }
    }

    /// … or so many bytes.
    pub(super) fn batch_bytes(self) -> usize {
        (self.bytes() / 2).min(BATCH_TARGET_BYTES)
    }

    /// In proportion.
    fn bytes(self) -> usize {
        WINDOW_BYTES / WINDOW_DOCUMENTS * self.documents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_narrow_at_first_and_soon_as_wide_as_it_gets() {
        let mut window = Window::default();
        assert!(
            window.has_room(FIRST_WINDOW_DOCUMENTS - 1, 0) && !window.has_room(FIRST_WINDOW_DOCUMENTS, 0)
        );
        assert!(
            window.batch_documents(false) < FIRST_WINDOW_DOCUMENTS,
            "two batches, so that neither side waits"
        );
        for _ in 0..6 {
            window.widen();
        }
        assert!(window.has_room(WINDOW_DOCUMENTS - 1, WINDOW_BYTES - WINDOW_DOCUMENTS));
        assert!(!window.has_room(WINDOW_DOCUMENTS, 0) && !window.has_room(0, WINDOW_BYTES));
        assert_eq!(window.batch_documents(false), BATCH_TARGET_DOCUMENTS);
        assert_eq!(window.batch_bytes(), BATCH_TARGET_BYTES);
    }
}
