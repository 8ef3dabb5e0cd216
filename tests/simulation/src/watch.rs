//! A store as replication sees it, spoilt where a test wants that.

use std::sync::atomic::{AtomicU64, Ordering};

use ditto_crdt::{RunId, Sequence, SiteId, Version};
use ditto_peer::StoreReplica;
use ditto_replication::{
    Acknowledged, Applied, Change, Checkpoint, DocumentKey, Excerpt, Greeting, Held, Incoming,
    IncomingDocument, Interest, Outcome, PeerId, Refused, Replica, ReplicaError, Seen, ServedInterest,
    Stored,
};
use ditto_value::{Object, Value};

use crate::contested;
use crate::intruder;
use crate::oracle::leaving::Filters;
use crate::oracle::receipts::Heard;
use crate::oracle::stale::Arrival;
use crate::refusals;
use crate::sabotage::Sabotage;

/// Every so many documents one is dropped by [`Sabotage::DroppedDocuments`].
const DROPPED_OF: u64 = 40;
/// So many changes [`Sabotage::EarlyCheckpoints`] are ahead.
const AHEAD: u64 = 3;

/// A [`StoreReplica`] that is watched.
pub struct Watched {
    inner: StoreReplica,
    sabotage: Option<Sabotage>,
    /// Of a peer that does what only one does.
    is_first: bool,
    applied: AtomicU64,
    /// What [`Sabotage::SplitBatches`] has not merged yet.
    late: Option<IncomingDocument>,
    /// Milliseconds that it says a document takes that is read, or tried to merge.
    pub read_ms: u64,
    /// It does not take what some [refuse](crate::refusals).
    pub refuses: bool,
    /// Documents read since the last work began.
    reads: AtomicU64,
    /// What was heard of others, until somebody takes it.
    heard: Vec<Heard>,
    /// The same of copies that lack something.
    stale: Vec<Arrival>,
    /// The filters that the peer subscribes with.
    pub(crate) filters: Filters,
}

impl Watched {
    /// Watches the store of a peer.
    #[must_use]
    pub fn new(inner: StoreReplica, number: usize, sabotage: Option<Sabotage>) -> Self {
        Self {
            inner,
            sabotage,
            is_first: number == 0,
            applied: AtomicU64::new(0),
            late: None,
            read_ms: 0,
            refuses: false,
            reads: AtomicU64::new(0),
            heard: Vec::new(),
            stale: Vec::new(),
            filters: Filters::default(),
        }
    }

    /// What was heard of others since the last time.
    pub(crate) fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    /// Copies that have arrived since the last time and lack something.
    pub(crate) fn take_stale_copies(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.stale)
    }

    fn does(&self, sabotage: Sabotage) -> bool {
        self.is_first && self.sabotage == Some(sabotage)
    }

    /// What has changed of a document after a sequence, whatever is told of it.
    pub(crate) fn changed_since(&self, key: &DocumentKey, after: Sequence) -> Option<Excerpt> {
        self.inner.delta_since(key, after).ok().flatten()
    }

    /// See [`StoreReplica::answer_fork`].
    ///
    /// # Errors
    /// The storage failed.
    pub fn answer_fork(&self, run: RunId, sequence: Sequence) -> Result<(), ditto_store::StoreError> {
        self.inner.answer_fork(run, sequence)
    }
}

impl Replica for Watched {
    fn site(&self) -> SiteId {
        self.inner.site()
    }

    fn begin_work(&mut self) {
        *self.reads.get_mut() = 0;
    }

    fn worked_ms(&self) -> u64 {
        self.read_ms * self.reads.load(Ordering::Relaxed)
    }

    fn wall_clock_ms(&self) -> u64 {
        match self.sabotage {
            Some(Sabotage::FalseClocks) => 1_700_000_000_000,
            _ => self.inner.wall_clock_ms(),
        }
    }

    fn runs(&self) -> Vec<(RunId, Sequence)> {
        self.inner.runs()
    }

    fn current_run(&self) -> RunId {
        self.inner.current_run()
    }

    fn last_sequence(&self) -> Sequence {
        self.inner.last_sequence()
    }

    fn durable_sequence(&self) -> Sequence {
        self.inner.durable_sequence()
    }

    fn changes(&self, after: Sequence, up_to: Sequence, limit: usize) -> Result<Vec<Change>, ReplicaError> {
        self.inner.changes(after, up_to, limit)
    }

    fn commit_of(&self, sequence: Sequence) -> Result<(Sequence, Sequence), ReplicaError> {
        self.inner.commit_of(sequence)
    }

    fn document(&self, key: &DocumentKey) -> Result<Option<Stored>, ReplicaError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut stored = self.inner.document(key)?;
        if self.does(Sabotage::OtherValues)
            && let Some(stored) = stored.as_mut().filter(|stored| stored.alive)
        {
            stored.value = Value::from(Object::from([("_id", "another")])).encode();
        }
        Ok(stored)
    }

    fn may_travel(&self, remote: PeerId, collection: &str) -> bool {
        self.inner.may_travel(remote, collection)
            && (intruder::may_travel(remote, collection) || self.sabotage == Some(Sabotage::OpenCollections))
            && !(self.does(Sabotage::RefusedSubscriptions) && collection == "pairs")
    }

    fn scopes_revision(&self) -> u64 {
        self.inner.scopes_revision()
    }

    fn held(&self, key: &DocumentKey) -> Result<Option<Held>, ReplicaError> {
        self.inner.held(key)
    }

    fn stock(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, Held)>, ReplicaError> {
        self.inner.stock(collection, after, limit, bytes)
    }

    fn documents(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, Excerpt)>, ReplicaError> {
        self.inner.documents(collection, after, limit, bytes)
    }

    fn named(&self, key: &DocumentKey) -> Result<Option<DocumentKey>, ReplicaError> {
        self.inner.named(key)
    }

    fn delta_since(&self, key: &DocumentKey, after: Sequence) -> Result<Option<Excerpt>, ReplicaError> {
        let after = if self.sabotage == Some(Sabotage::WholeDocuments) { Sequence(0) } else { after };
        self.inner.delta_since(key, after)
    }

    fn entry_hashes(&self, key: &DocumentKey) -> Result<(Version, Vec<u128>), ReplicaError> {
        self.inner.entry_hashes(key)
    }

    fn delta_lacking(&self, key: &DocumentKey, known: &[u128]) -> Result<Option<Excerpt>, ReplicaError> {
        self.inner.delta_lacking(key, known)
    }

    fn merged_version(
        &self,
        key: &DocumentKey,
        delta: &[u8],
    ) -> Result<Result<Version, Refused>, ReplicaError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if let Some(refusal) = refusals::refusal(key).filter(|_| self.refuses) {
            return Ok(Err(refusal));
        }
        self.inner.merged_version(key, delta)
    }

    fn compile(&self, query: &str, arguments: &Object) -> Result<Interest, ReplicaError> {
        self.inner.compile(query, arguments)
    }

    fn eviction_count(&self, collection: &str) -> u64 {
        self.inner.eviction_count(collection)
    }

    fn eviction_total(&self) -> u64 {
        self.inner.eviction_total()
    }

    fn greeted(&mut self, remote: PeerId, greeting: Greeting) -> Result<bool, ReplicaError> {
        self.inner.greeted(remote, greeting)
    }

    fn remote_evicted(&mut self, remote: PeerId, evictions: u64) -> Result<bool, ReplicaError> {
        self.inner.remote_evicted(remote, evictions)
    }

    fn offered(&self, remote: PeerId, collection: &str) -> Option<Sequence> {
        self.inner.offered(remote, collection)
    }

    fn set_offered(&mut self, remote: PeerId, collection: &str, up_to: Sequence) {
        self.inner.set_offered(remote, collection, up_to);
        if self.sabotage == Some(Sabotage::SharedRecords) {
            for other in ["plants", "pairs", "halves"] {
                if self.inner.offered(remote, other).is_none_or(|offered| offered < up_to) {
                    self.inner.set_offered(remote, other, up_to);
                }
            }
        }
    }

    fn serves(&mut self, remote: PeerId, interest: ServedInterest) {
        self.heard.push(Heard::Serves(remote, interest.clone()));
        self.inner.serves(remote, interest);
    }

    fn acknowledged(&mut self, remote: PeerId, acknowledged: &Acknowledged) {
        self.heard.push(Heard::Acknowledged(remote, acknowledged.clone()));
        self.inner.acknowledged(remote, acknowledged);
    }

    fn withheld(&self, remote: PeerId) -> Vec<(Sequence, std::sync::Arc<str>)> {
        self.inner.withheld(remote)
    }

    fn checkpoint(&self, remote: PeerId, interest: &[u8; 16]) -> Result<Option<Checkpoint>, ReplicaError> {
        match self.sabotage {
            Some(Sabotage::ForgottenCheckpoints) => Ok(None),
            _ => self.inner.checkpoint(remote, interest),
        }
    }

    fn remembered(&self, remote: PeerId) -> Result<Vec<Seen>, ReplicaError> {
        self.inner.remembered(remote)
    }

    fn claim_answered(&self, run: RunId, sequence: Sequence) -> bool {
        self.inner.claim_answered(run, sequence)
    }

    fn apply(&mut self, mut incoming: Incoming) -> Result<Applied, ReplicaError> {
        let stated: Vec<_> = incoming.documents.iter().map(|document| document.stated).collect();
        let refused = if self.refuses { refusals::take_out(&mut incoming) } else { Vec::new() };
        let asked = self.filters.asking(&incoming, &self.inner);
        let mut applied = self.apply_permitted(incoming)?;
        self.filters.applied(asked, &self.inner);
        for (place, mut outcome) in refused {
            if self.sabotage == Some(Sabotage::SilentRefusals) {
                outcome = Ok(Outcome { before: None, after: stated[place], absorbed: false });
            }
            applied.outcomes.insert(place, outcome);
        }
        Ok(applied)
    }
}

impl Watched {
    fn apply_permitted(&mut self, mut incoming: Incoming) -> Result<Applied, ReplicaError> {
        let mut dropped = Vec::new();
        if self.sabotage == Some(Sabotage::DroppedDocuments) {
            let mut index = 0;
            incoming.documents.retain(|document| {
                let drops = self.applied.fetch_add(1, Ordering::Relaxed) % DROPPED_OF == DROPPED_OF - 1;
                if drops {
                    dropped.push((index, document.stated));
                }
                index += 1;
                !drops
            });
        }
        if self.does(Sabotage::RaisedStamps) {
            incoming.documents.iter_mut().for_each(|document| contested::raise(&mut document.delta));
        }
        if self.sabotage == Some(Sabotage::EarlyCheckpoints) {
            incoming.checkpoints.iter_mut().for_each(|(_, checkpoint)| checkpoint.sequence.0 += AHEAD);
        }
        if self.sabotage == Some(Sabotage::HoardedCheckpoints) {
            let more = incoming.checkpoints.clone();
            incoming.checkpoints.extend(more.into_iter().map(|(mut name, checkpoint)| {
                let times = self.applied.fetch_add(1, Ordering::Relaxed);
                name[..8].copy_from_slice(&times.to_le_bytes());
                (name, checkpoint)
            }));
        }
        if self.sabotage == Some(Sabotage::SplitBatches) {
            let Incoming { from, .. } = incoming;
            let documents: Vec<_> = self.late.take().into_iter().collect();
            self.inner.apply(Incoming {
                from,
                documents,
                checkpoints: Vec::new(),
                seen: None,
                evictions: None,
            })?;
            let is_of_transactions =
                |document: &mut IncomingDocument| matches!(&*document.key.collection, "pairs" | "halves");
            self.late = incoming.documents.pop_if(is_of_transactions);
            dropped.extend(self.late.iter().map(|late| (incoming.documents.len(), late.stated)));
        }
        let sender = incoming.from;
        let sent: Vec<_> =
            incoming.documents.iter().map(|document| (document.key.clone(), document.stated)).collect();
        let mut applied = self.inner.apply(incoming)?;
        for (outcome, (key, stated)) in applied.outcomes.iter_mut().zip(sent) {
            let Ok(outcome) = outcome else { continue };
            if outcome.after != stated {
                self.stale.push(Arrival { sender, key, is_old: outcome.before == Some(outcome.after) });
            }
            if self.sabotage == Some(Sabotage::NeedlessQuestions) {
                outcome.after = Version(outcome.after.0 ^ 1);
            }
            if self.sabotage == Some(Sabotage::StaleCopies) {
                outcome.after = stated;
            }
        }
        if self.sabotage == Some(Sabotage::EarlyAcknowledgements) {
            applied.last = applied.last.min(self.inner.durable_sequence());
        }
        if self.sabotage == Some(Sabotage::RefusedDocuments)
            && let Some(outcome) = applied.outcomes.first_mut()
            && self.applied.fetch_add(1, Ordering::Relaxed) % DROPPED_OF == DROPPED_OF - 1
        {
            *outcome = Err(Refused::NotPermitted("by the simulation".to_owned()));
        }
        for (index, stated) in dropped {
            let outcome = Outcome { before: None, after: stated, absorbed: false };
            applied.outcomes.insert(index, Ok(outcome));
        }
        Ok(applied)
    }
}
