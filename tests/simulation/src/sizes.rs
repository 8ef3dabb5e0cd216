//! How much a peer does at once and remembers, drawn so small that a few hundred documents meet what production meets at
//! thousands: see [`Sizes`].

use ditto_replication::Sizes;

use crate::random::Random;

/// The dice of a world's sizes: other ones than those of its story, so that a seed has the same climate, links and first
/// subscriptions whatever the sizes are.
#[must_use]
pub fn dice(seed: u64) -> Random {
    Random::new(seed ^ 0x5123_5123_5123_5123)
}

/// The sizes of one peer: each number of a few is that of production.
pub fn draw(dice: &mut Random) -> Sizes {
    let all = Sizes::default();
    if dice.percent(15) {
        return all;
    }
    let mut some = |first: usize, last: usize, production: usize| {
        let drawn = dice.between(first as u64, last as u64);
        if dice.percent(25) { production } else { usize::try_from(drawn).unwrap_or(first) }
    };
    let of = |number: usize| number as u64;
    Sizes {
        message_bytes: some(64, 8_192, all.message_bytes),
        part_bytes: some(256, 8_192, all.part_bytes),
        // Below what may be under way in parts.
        max_batch_documents: some(2, 50, 50),
        batch_documents: some(1, 8, all.batch_documents),
        batch_bytes: some(64, 16_384, all.batch_bytes),
        max_batch_bytes: some(1_024, 65_536, all.max_batch_bytes),
        // With less, sessions end again and again.
        memory_bytes: all.memory_bytes,
        window_bytes: some(1_024, 65_536, all.window_bytes),
        window_documents: some(1, 16, all.window_documents),
        first_window_documents: some(1, 8, all.first_window_documents),
        window_batches: some(1, 8, all.window_batches),
        rows_per_call: some(4, 64, all.rows_per_call),
        rows_per_read: some(1, 16, all.rows_per_read),
        live_rows: of(some(1, 16, 1_000)),
        ranges_ahead: some(1, 8, all.ranges_ahead),
        listed_changes: of(some(2, 64, 8_192)),
        left_out: some(1, 4, all.left_out),
        offer_items: some(1, 32, all.offer_items),
        kept_answers: some(1, 16, all.kept_answers),
        silent_rows: of(some(1, 50, 1_000)),
        question_hashes: some(1, 16, all.question_hashes),
        open_questions: some(1, 16, all.open_questions),
        waiting_surpluses: some(1, 8, all.waiting_surpluses),
        joined_batches: some(1, 4, all.joined_batches),
        // With more of them two become one, and peers may wait for each other's rest for ever.
        tears: all.tears,
        // Whoever forgets a peer does not know that it shows parts of what that has told.
        remembered_peers: all.remembered_peers,
        postponed_changes: of(some(1, 50, 1_000)),
        unserved: some(1, 4, all.unserved),
        reconciled_changes: of(some(1, 32, 32)),
        reconciled_documents: some(4, 200, all.reconciled_documents),
        reconciliations: some(1, 4, all.reconciliations),
        symbols: some(16, 1_000, all.symbols),
        symbols_per_message: some(1, 64, all.symbols_per_message),
        inquiry_items: some(1, 16, all.inquiry_items),
        items_per_call: some(8, 256, all.items_per_call),
        known_documents: some(2, 64, all.known_documents),
        queue_bytes: some(64, 16_384, all.queue_bytes),
        filled_bytes: some(64, 4_096, all.filled_bytes),
    }
}
