//! What the publisher seems to lack of documents that it has told: it is asked.

use ditto_crdt::Version;

use super::Subscriber;
use super::gap::Purpose;
use crate::event::CloseReason;
use crate::publisher::Publisher;
use crate::replica::{DocumentKey, Held, Outcome};
use crate::turn::{Counterpart, Turn};

impl Subscriber {
    /// The publisher lacks something of a document, in the version that is known of here.
    pub(super) fn lacks(&mut self, key: DocumentKey, version: Version, turn: &Turn<'_>) {
        self.buffered_bytes += key.id.len();
        self.lacking.push_back((key, version, turn.replica.eviction_total()));
    }

    /// The publisher lacks nothing of what it was asked about, but our copy has changed since: asks about the rest, unless our own
    /// stream carries that.
    pub(super) fn ask_if_changed(
        &mut self,
        asked: Version,
        key: &DocumentKey,
        outcome: Outcome,
        publisher: &Publisher,
        turn: &Turn<'_>,
    ) {
        let (subscribes, _) = publisher.serves(&key.collection);
        if !subscribes && outcome.before.unwrap_or_default() != asked {
            self.lacks(key.clone(), outcome.after, turn);
        }
    }

    /// Asks what the publisher lacks, a bounded number of questions at a time.
    pub(super) fn ask_what_is_lacked(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        while !self.lacking.is_empty() && self.may_ask(&counterpart.sizes) {
            let Some((key, merged, evictions)) = self.lacking.pop_front() else { break };
            self.buffered_bytes = self.buffered_bytes.saturating_sub(key.id.len());
            // It may have been evicted meanwhile, but for the marks of earlier lives; then the answer would bring it back.
            let nothing_evicted = evictions == turn.replica.eviction_total();
            let is_held = |held: Held| nothing_evicted || held.alive || held.version == merged;
            if turn.replica.held(&key)?.is_some_and(is_held) {
                self.question(Purpose::Surplus, key, counterpart, turn)?;
            }
        }
        Ok(())
    }
}
