//! What a peer chooses for itself.

use crate::limits;

/// How much a peer does at once, sends at once, and remembers. What it accepts from others has the bounds of [`limits`], whatever
/// these are, so peers of different sizes understand each other.
///
/// They are not constants because then only worlds of many thousands of documents would meet what happens at each of them. With
/// small ones, worlds of a few hundred do, and thousands of such worlds can be run. Whoever is not a test takes the default,
/// which is what [`limits`] says; no number but those of `…_changes` may be greater than that one, and none may be 0. A batch has
/// at most [`MAX_OPEN_PARTS`](limits::MAX_OPEN_PARTS) large documents: so many times `part_bytes` is at least `max_batch_bytes`,
/// unless `max_batch_documents` is less than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// [`MESSAGE_TARGET_BYTES`](limits::MESSAGE_TARGET_BYTES)
    pub message_bytes: usize,
    /// [`PART_BYTES`](limits::PART_BYTES)
    pub part_bytes: usize,
    /// [`BATCH_TARGET_DOCUMENTS`](limits::BATCH_TARGET_DOCUMENTS)
    pub batch_documents: usize,
    /// [`BATCH_TARGET_BYTES`](limits::BATCH_TARGET_BYTES)
    pub batch_bytes: usize,
    /// [`MAX_BATCH_DOCUMENTS`](limits::MAX_BATCH_DOCUMENTS)
    pub max_batch_documents: usize,
    /// [`MAX_BATCH_BYTES`](limits::MAX_BATCH_BYTES)
    pub max_batch_bytes: usize,
    /// [`MAX_FILLED_BYTES`](limits::MAX_FILLED_BYTES)
    pub filled_bytes: usize,
    /// [`MAX_MEMORY_BYTES`](limits::MAX_MEMORY_BYTES)
    pub memory_bytes: usize,
    /// [`WINDOW_BYTES`](limits::WINDOW_BYTES)
    pub window_bytes: usize,
    /// [`WINDOW_DOCUMENTS`](limits::WINDOW_DOCUMENTS)
    pub window_documents: usize,
    /// [`FIRST_WINDOW_DOCUMENTS`](limits::FIRST_WINDOW_DOCUMENTS)
    pub first_window_documents: usize,
    /// [`WINDOW_BATCHES`](limits::WINDOW_BATCHES)
    pub window_batches: usize,
    /// [`ROWS_PER_CALL`](limits::ROWS_PER_CALL)
    pub rows_per_call: usize,
    /// [`ROWS_PER_READ`](limits::ROWS_PER_READ)
    pub rows_per_read: usize,
    /// [`LIVE_ROWS`](limits::LIVE_ROWS)
    pub live_rows: u64,
    /// [`MAX_RANGES_AHEAD`](limits::MAX_RANGES_AHEAD)
    pub ranges_ahead: usize,
    /// [`MIN_LISTED_CHANGES`](limits::MIN_LISTED_CHANGES)
    pub listed_changes: u64,
    /// [`MAX_LEFT_OUT`](limits::MAX_LEFT_OUT)
    pub left_out: usize,
    /// [`MAX_OFFER_ITEMS`](limits::MAX_OFFER_ITEMS)
    pub offer_items: usize,
    /// [`MAX_KEPT_ANSWERS`](limits::MAX_KEPT_ANSWERS)
    pub kept_answers: usize,
    /// [`SILENT_ROWS`](limits::SILENT_ROWS)
    pub silent_rows: u64,
    /// [`MAX_QUESTION_HASHES`](limits::MAX_QUESTION_HASHES)
    pub question_hashes: usize,
    /// Half of [`MAX_WAITING_QUESTIONS`](limits::MAX_WAITING_QUESTIONS), since both sides count differently at the edges.
    pub open_questions: usize,
    /// [`MAX_WAITING_SURPLUSES`](limits::MAX_WAITING_SURPLUSES)
    pub waiting_surpluses: usize,
    /// [`MAX_JOINED_BATCHES`](limits::MAX_JOINED_BATCHES)
    pub joined_batches: usize,
    /// [`MAX_TEARS`](limits::MAX_TEARS)
    pub tears: usize,
    /// [`MAX_REMEMBERED_PEERS`](limits::MAX_REMEMBERED_PEERS)
    pub remembered_peers: usize,
    /// [`MIN_POSTPONED_CHANGES`](limits::MIN_POSTPONED_CHANGES)
    pub postponed_changes: u64,
    /// [`MAX_UNSERVED`](limits::MAX_UNSERVED)
    pub unserved: usize,
    /// [`MIN_RECONCILED_CHANGES`](limits::MIN_RECONCILED_CHANGES)
    pub reconciled_changes: u64,
    /// [`MAX_RECONCILED_DOCUMENTS`](limits::MAX_RECONCILED_DOCUMENTS)
    pub reconciled_documents: usize,
    /// [`MAX_RECONCILIATIONS`](limits::MAX_RECONCILIATIONS)
    pub reconciliations: usize,
    /// [`MAX_SYMBOLS`](limits::MAX_SYMBOLS)
    pub symbols: usize,
    /// [`SYMBOLS_PER_MESSAGE`](limits::SYMBOLS_PER_MESSAGE)
    pub symbols_per_message: usize,
    /// [`MAX_INQUIRY_ITEMS`](limits::MAX_INQUIRY_ITEMS)
    pub inquiry_items: usize,
    /// [`ITEMS_PER_CALL`](limits::ITEMS_PER_CALL)
    pub items_per_call: usize,
    /// [`KNOWN_DOCUMENTS`](limits::KNOWN_DOCUMENTS)
    pub known_documents: usize,
    /// [`QUEUE_TARGET_BYTES`](limits::QUEUE_TARGET_BYTES)
    pub queue_bytes: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            message_bytes: limits::MESSAGE_TARGET_BYTES,
            part_bytes: limits::PART_BYTES,
            batch_documents: limits::BATCH_TARGET_DOCUMENTS,
            batch_bytes: limits::BATCH_TARGET_BYTES,
            max_batch_documents: limits::MAX_BATCH_DOCUMENTS,
            max_batch_bytes: limits::MAX_BATCH_BYTES,
            filled_bytes: limits::MAX_FILLED_BYTES,
            memory_bytes: limits::MAX_MEMORY_BYTES,
            window_bytes: limits::WINDOW_BYTES,
            window_documents: limits::WINDOW_DOCUMENTS,
            first_window_documents: limits::FIRST_WINDOW_DOCUMENTS,
            window_batches: limits::WINDOW_BATCHES,
            rows_per_call: limits::ROWS_PER_CALL,
            rows_per_read: limits::ROWS_PER_READ,
            live_rows: limits::LIVE_ROWS,
            ranges_ahead: limits::MAX_RANGES_AHEAD,
            listed_changes: limits::MIN_LISTED_CHANGES,
            left_out: limits::MAX_LEFT_OUT,
            offer_items: limits::MAX_OFFER_ITEMS,
            kept_answers: limits::MAX_KEPT_ANSWERS,
            silent_rows: limits::SILENT_ROWS,
            question_hashes: limits::MAX_QUESTION_HASHES,
            open_questions: limits::MAX_WAITING_QUESTIONS / 2,
            waiting_surpluses: limits::MAX_WAITING_SURPLUSES,
            joined_batches: limits::MAX_JOINED_BATCHES,
            tears: limits::MAX_TEARS,
            remembered_peers: limits::MAX_REMEMBERED_PEERS,
            postponed_changes: limits::MIN_POSTPONED_CHANGES,
            unserved: limits::MAX_UNSERVED,
            reconciled_changes: limits::MIN_RECONCILED_CHANGES,
            reconciled_documents: limits::MAX_RECONCILED_DOCUMENTS,
            reconciliations: limits::MAX_RECONCILIATIONS,
            symbols: limits::MAX_SYMBOLS,
            symbols_per_message: limits::SYMBOLS_PER_MESSAGE,
            inquiry_items: limits::MAX_INQUIRY_ITEMS,
            items_per_call: limits::ITEMS_PER_CALL,
            known_documents: limits::KNOWN_DOCUMENTS,
            queue_bytes: limits::QUEUE_TARGET_BYTES,
        }
    }
}
