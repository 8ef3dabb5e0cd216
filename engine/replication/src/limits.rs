//! Every bound of the protocol, so that nobody has to search for one.
//!
//! A peer that passes a bound of the receiving side closes its session, and only its own.

/// Oldest protocol version that this build speaks.
pub const PROTOCOL_MIN: u64 = 1;
/// Newest protocol version that this build speaks.
pub const PROTOCOL_MAX: u64 = 1;

/// Longest message, in bytes. Fits a transport frame with room to spare.
pub const MAX_MESSAGE_BYTES: usize = 512 * 1024;
/// A publisher begins a new message when the present one has reached this size.
pub const MESSAGE_TARGET_BYTES: usize = 128 * 1024;
/// Messages shorter than this are never packed: they would hardly become shorter, and the latency of single changes counts.
pub const PACK_MIN_BYTES: usize = 512;
/// A message is packed if that saves at least one byte in so many.
pub const PACK_MIN_SAVING: usize = 8;
/// A delta longer than this is *large*: it travels in parts of at most this size.
pub const PART_BYTES: usize = 128 * 1024;
/// Largest delta of one document that travels at all. Thirteen copies of the largest document that can be written, merged.
pub const MAX_DELTA_BYTES: usize = 64 * 1024 * 1024;
/// The same, to a peer that lets all other messages wait for it.
pub const MAX_WAITED_DELTA_BYTES: usize = 16 * 1024 * 1024;
/// Deltas that may be under way in parts at once, per direction of a session; and of which something is left of earlier sessions.
pub const MAX_OPEN_PARTS: usize = 64;
/// Of these, answers whose parts are sent before the message that refers to them; so many may wait for that.
pub const MAX_UNREFERRED_ANSWERS: usize = 8;
/// And documents that travel in parts for one batch; a commit with more is cut.
pub const MAX_LARGE_DOCUMENTS: usize = MAX_OPEN_PARTS - MAX_UNREFERRED_ANSWERS;
/// What is kept in memory, for all peers that are gone together, of deltas of which not all parts came: the longest delta. Of more,
/// that of who left first is forgotten.
pub const MAX_LEFT_PART_BYTES: usize = MAX_DELTA_BYTES;
/// How long it is kept, in milliseconds.
pub const LEFT_PARTS_MS: u64 = 600_000;

/// A batch is cut at the next commit boundary once it has this many documents …
pub const BATCH_TARGET_DOCUMENTS: usize = 1_000;
/// … or this many bytes of deltas.
pub const BATCH_TARGET_BYTES: usize = 512 * 1024;
/// Commits are kept whole up to this many documents in a batch.
pub const MAX_BATCH_DOCUMENTS: usize = 20_000;
/// Commits are kept whole up to this many bytes in a batch (beyond it, one more document is possible).
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that a publisher may have unacknowledged before it must pause; one batch may pass it. What travels in parts is
/// counted by itself, up to the same number, so that large and small documents do not wait for each other.
pub const WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// Documents that a publisher may have unacknowledged before it must pause; one batch may pass it.
pub const WINDOW_DOCUMENTS: usize = 8_000;
/// The same at the beginning of a session, and after the link was lazy; twice as many with each acknowledged batch.
/// [`WINDOW_BYTES`] grows in proportion, and a batch is at most half as much.
pub const FIRST_WINDOW_DOCUMENTS: usize = 128;
/// Batches that a publisher may have unacknowledged.
pub const WINDOW_BATCHES: usize = 64;
/// Bytes of answers that a batch waits with, and of documents that came by themselves and wait for it; what comes beyond that is
/// merged at once, as a part of a transaction.
pub const MAX_FILLED_BYTES: usize = 2 * MAX_BATCH_BYTES;
/// What a subscriber holds of one session, in parts, in batches that are not applied and in answers, before it calls the other peer
/// hostile: the window and the batch that may pass it, of small documents and of large ones, the longest document and answer, and
/// what waits with a batch and for it.
pub const MAX_BUFFERED_BYTES: usize =
    2 * (WINDOW_BYTES + MAX_BATCH_BYTES) + 2 * MAX_DELTA_BYTES + MAX_FILLED_BYTES;
/// The same, in documents; and in those that came by themselves.
pub const MAX_BUFFERED_DOCUMENTS: usize = WINDOW_DOCUMENTS + 2 * MAX_BATCH_DOCUMENTS;
/// Memory that a document takes which waits to be applied, without its `_id` and delta, in bytes.
pub const WAITING_DOCUMENT_BYTES: usize = 400;

/// What all sessions together may take of memory, as far as it grows with what other peers send and ask for: what came of documents
/// and is not applied, interests, questions, answers and messages that wait to be sent, and what is reconciled. Large documents that
/// this peer tells of itself are not among it: that many subscribe to them is no reason to end a session. Beyond it the session that
/// takes most ends; the other peer may come back, and goes on where it can. One session alone takes less.
pub const MAX_MEMORY_BYTES: usize = 4 * MAX_BUFFERED_BYTES;

/// Rows of the change log that one call looks at for one session; the rest follows at the next timeout.
pub const ROWS_PER_CALL: usize = 8_192;
/// A large document counts as one more of them for each of so many bytes.
pub const BYTES_PER_ROW: usize = 1_024;
/// A row counts as so many more of them for each filter that may have to be asked about it …
pub const ROWS_PER_FILTER: usize = 4;
/// … and as at most so many.
pub const MAX_ROWS_PER_ROW: usize = 32;
/// Milliseconds that each part of one call works for one session, if that is measured: checking and applying what came, taking stock, comparing, offering what was
/// taken, the walk, and answering questions; the rest follows at the next timeout. A document more may be begun before, and a
/// commit is walked through.
pub const WORK_MS: u64 = 20;
/// Milliseconds that the filters of one session may take together for one document; after that it counts as one that matches, and
/// what was taken from elsewhere as something that has to be offered.
pub const MAX_MATCH_MS: u64 = 100;
/// Milliseconds of a walk after which a commit is told in parts, if its rows cost that much.
pub const MAX_WORK_MS: u64 = 1_000;
/// Missing rows whose commits one step of the walk looks at; with more, it is as if one of them had several members.
pub const MAX_COMMIT_LOOKS: usize = 256;
/// Rows of the change log, or documents of a collection, that are read at once.
pub const ROWS_PER_READ: usize = 1_024;
/// Changes that are new while the walk has farther to go than this are told before it gets there, at most so many at once.
pub const LIVE_ROWS: u64 = BATCH_TARGET_DOCUMENTS as u64;
/// Ranges of changes told in this way that are remembered (16 bytes each); with more, the newest are told in their order.
pub const MAX_RANGES_AHEAD: usize = 4_096;
/// With this many changes here a peer that holds nothing is told whole collections in the order of their names.
pub const MIN_LISTED_CHANGES: u64 = 8_192;
/// Documents of one listing that are left to the walk, because they travel in parts; after more, the rest is the walk's too.
pub const MAX_LEFT_OUT: usize = 4_096;
/// Documents in one offer.
pub const MAX_OFFER_ITEMS: usize = ROWS_PER_READ;
/// Answers about offered documents that are kept while batches before them are sent (about 50 bytes each).
pub const MAX_KEPT_ANSWERS: usize = 4 * MAX_OFFER_ITEMS;
/// An offer ends with the document that reaches so many bytes: names may be long.
pub const OFFER_TARGET_BYTES: usize = MAX_MESSAGE_BYTES / 2;
/// How long what was taken from elsewhere waits before it is offered to a publisher, in milliseconds: most of it that one is
/// about to tell as well.
pub const TAKEN_DELAY_MS: u64 = 500;
/// A position that moved without anything to send is told after this many rows …
pub const SILENT_ROWS: u64 = 1_000;
/// … or after this many milliseconds.
pub const POSITION_DELAY_MS: u64 = 1_000;

/// Interests of one peer in one session.
pub const MAX_INTERESTS: usize = 1_000;
/// Length of a query text, in bytes.
pub const MAX_QUERY_BYTES: usize = 64 * 1024;
/// Length of encoded query arguments, in bytes.
pub const MAX_ARGUMENT_BYTES: usize = 128 * 1024;
/// Queries and arguments of all interests of one peer in one session together, in bytes; further interests are refused.
pub const MAX_INTEREST_BYTES: usize = 1024 * 1024;
/// Memory that an interest takes which is served, without its query and arguments, in bytes …
pub const SERVED_BYTES: usize = 1_024;
/// … and how many times as much as those what they are compiled to takes, as a rule.
pub const COMPILED_TIMES: usize = 50;
/// Length of the name of a collection, in bytes.
pub const MAX_COLLECTION_BYTES: usize = 1_024;
/// Length of an encoded `_id`, in bytes.
pub const MAX_ID_BYTES: usize = 16 * 1024;
/// Runs of the other peer that a greeting mentions; those first of which there are checkpoints, and that rest on most.
pub const MAX_RUNS: usize = 64;
/// Length of a reason in words, in bytes; longer ones are cut.
pub const MAX_REASON_BYTES: usize = 256;

/// Entry hashes in one question; a document with more is asked for as a whole.
pub const MAX_QUESTION_HASHES: usize = 8_192;
/// Questions and surpluses from the other peer that wait for an answer or for durability.
pub const MAX_WAITING_QUESTIONS: usize = MAX_BUFFERED_DOCUMENTS;
/// Bytes of entry hashes in those.
pub const MAX_WAITING_QUESTION_BYTES: usize = 8 * 1024 * 1024;
/// Surpluses that wait until everything else is told; with more, they go at once. Far below the number of those for which
/// the other side remembers that it has invited them.
pub const MAX_WAITING_SURPLUSES: usize = MAX_WAITING_QUESTIONS / 8;
/// Batches that are applied as one, because a document of the first is told as it was when the last was told.
pub const MAX_JOINED_BATCHES: usize = 16;
/// Commits that may show parts of transactions of one publisher that are remembered each by itself (40 bytes each); of more, the
/// oldest is forgotten.
pub const MAX_TEARS: usize = 1_024;
/// Peers of whom is remembered, when they are gone, what they left in part and how far they were offered what was taken.
pub const MAX_REMEMBERED_PEERS: usize = 1_024;
/// Documents that have not reached a peer that are remembered; of more, from where on.
pub const MAX_WITHHELD: usize = 10_000;
/// How long a peer that is gone, and has left parts of transactions, is waited for, in milliseconds. It may never return.
pub const LEFT_PATIENCE_MS: u64 = 60_000;
/// How long the other peer may take to answer anything, in milliseconds.
pub const ANSWER_TIMEOUT_MS: u64 = 60_000;
/// If a call comes so much later than one was due, in milliseconds, others are not taken to task for what they have not answered since.
pub const LATE_MS: u64 = 250;

/// How long an offer on a lazy link waits for another link to bring what is offered, in milliseconds, from the last time
/// that one brought anything.
pub const LAZY_PATIENCE_MS: u64 = 500;
/// A peer with so many changes that were not seen before is subscribed to later, while another one that had as many is bringing
/// its own, since they may be the same: as long as something came within [`LAZY_PATIENCE_MS`].
pub const MIN_POSTPONED_CHANGES: u64 = 1_000;
/// How long that takes at most, in milliseconds.
pub const MAX_POSTPONED_MS: u64 = 5_000;
/// So many messages about what the other peer wants wait meanwhile.
pub const MAX_UNSERVED: usize = 4;
/// Of two peers that offer each other what is new, the one with the greater key does it this much later, in milliseconds: by
/// then it has been offered what both hold.
pub const LATER_OFFER_MS: u64 = 200;
/// How long it waits at most; well below [`ANSWER_TIMEOUT_MS`].
pub const MAX_LAZY_WAIT_MS: u64 = 15_000;

/// With fewer changes than this in one of the two change logs, nothing is reconciled: the walk is short.
pub const MIN_RECONCILED_CHANGES: u64 = 32;
/// Documents that are reconciled at once, at 32 bytes each while it goes on; more are reconciled range by range of their names.
pub const MAX_RECONCILED_DOCUMENTS: usize = 1 << 20;
/// Bits by which these ranges differ: with more documents than 64 ranges can have, the walk begins at 0. Each range costs both sides
/// a pass over the collections.
pub const MAX_RANGE_BITS: u32 = 6;
/// Sessions with a peer that may end while something is reconciled, one after the other; the next one walks from 0, with positions
/// that last.
pub const MAX_BROKEN_OFF: u32 = 3;
/// Reconciliations of one publisher that wait for their turn; further interests are walked for.
pub const MAX_RECONCILIATIONS: usize = 64;
/// Changes in a millisecond that a slow device reads when it takes stock: so much more time than [`ANSWER_TIMEOUT_MS`] it has for the
/// first symbols of a range.
pub const STOCK_CHANGES_PER_MS: u64 = 10;
/// But no more than this, in milliseconds.
pub const MAX_STOCK_MS: u64 = 30 * 60_000;
/// Symbols that a subscriber sends without being asked.
pub const FIRST_SYMBOLS: usize = 8;
/// Symbols of one range, at 32 bytes each; if they are not enough, the walk begins at 0.
pub const MAX_SYMBOLS: usize = 1 << 18;
/// Messages that ask for more of them, in one range: each costs a pass over all that is held. Who asks for an eighth more each
/// time needs a hundred.
pub const MAX_SYMBOL_INQUIRIES: usize = 128;
/// Symbols in one message, at most 30 bytes each.
pub const SYMBOLS_PER_MESSAGE: usize = 4_096;
/// Items that a publisher asks the names of in one message.
pub const MAX_INQUIRY_ITEMS: usize = 4_096;
/// Items that one call adds to symbols, or takes out of them.
pub const ITEMS_PER_CALL: usize = 65_536;

/// Documents whose version at the other peer is remembered in a session (about 50 bytes each, as a rule).
pub const KNOWN_DOCUMENTS: usize = 32_768;
/// Bytes queued for a session above which nothing more is produced. A new change waits for these and for one batch.
pub const QUEUE_TARGET_BYTES: usize = 256 * 1024;
/// Bytes queued for a session above which the other peer is taken for one that does not read.
pub const MAX_QUEUE_BYTES: usize = 2 * (MAX_BATCH_BYTES + MAX_WAITED_DELTA_BYTES);
/// The same, in messages.
pub const MAX_QUEUE_MESSAGES: usize = 65_536;
