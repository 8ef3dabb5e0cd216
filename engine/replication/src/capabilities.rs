//! What a peer can do beyond the first version of the protocol: bits of its greeting.
//!
//! Each bit says what the peer that sets it can read; the other one may then send it, or not.

/// Reads [packed](crate::message::Packed) messages.
pub(crate) const PACKED_MESSAGES: u64 = 1;
/// Reads documents without what it can find out by itself: the version of a document that is sent as a whole, and the text
/// of an `_id` that is a UUID.
pub(crate) const SHORT_DOCUMENTS: u64 = 1 << 1;

/// [Reconciles](crate::reconciliation) interests without a checkpoint. However a peer came to hold what lies before a
/// position, it holds it.
pub(crate) const RECONCILIATION: u64 = 1 << 2;

/// Reads parts with other messages between them, of longer deltas than peers without it, and that they are taken back.
pub(crate) const LARGE_DOCUMENTS: u64 = 1 << 3;

/// Compares what the other peer has taken from elsewhere with what it knows itself.
pub(crate) const TAKEN: u64 = 1 << 4;

/// Reconciles range by range what is too much for once.
pub(crate) const RANGES: u64 = 1 << 5;

/// Reads interests and walks without what the greetings have said, and walks that say that there is nothing to tell.
pub(crate) const SHORT_STARTS: u64 = 1 << 6;

/// What this build can do.
pub(crate) const CAPABILITIES: u64 =
    PACKED_MESSAGES | SHORT_DOCUMENTS | RECONCILIATION | LARGE_DOCUMENTS | TAKEN | RANGES | SHORT_STARTS;

/// Those that change how something is said and not what arrives. All others (longer documents arrive or do not) are part of the
/// names of checkpoints, so that nobody goes on from a position at which something else would have arrived.
const WITHOUT_EFFECT: u64 =
    PACKED_MESSAGES | SHORT_DOCUMENTS | RECONCILIATION | TAKEN | RANGES | SHORT_STARTS;

/// Of what both peers can do, that on which it depends what arrives.
pub(crate) fn decisive(theirs: u64) -> u64 {
    CAPABILITIES & theirs & !WITHOUT_EFFECT
}
