//! The store as the replication state machine sees it: one trait over another crate's types, call by call.

use std::sync::Arc;
use std::time::Instant;

use ditto_crdt::{RunId, Sequence, SiteId, Version};
use ditto_replication::{
    Acknowledged, Applied, Change, Checkpoint, DocumentKey, Excerpt, Greeting, Held, Incoming, Interest,
    Outcome, PeerId, Refused, Replica, ReplicaError, Seen, Sent, ServedInterest, Stored,
};
use ditto_store::{Store, StoreError, replica as store};
use ditto_value::Object;

/// Lends a [`Store`] to the replication state machine, and remembers when that began the work it is at.
pub struct StoreReplica(store::Replica, Instant);

impl StoreReplica {
    /// The store must be open; its changes of all origins are published.
    pub fn new(store: Store) -> Self {
        Self(store.replica(), Instant::now())
    }

    /// Continues under a new site id and run, because a remote peer has seen `sequence` of `run` and this store has
    /// not: the directory was copied or restored. Both the identity and the claim are durable then.
    ///
    /// # Errors
    /// The storage failed; nothing may be told until the store is opened again.
    pub fn answer_fork(&self, run: RunId, sequence: Sequence) -> Result<(), StoreError> {
        // In this order: a claim that is lost costs one more identity, one that is kept without the identity would never be
        // answered.
        self.0.store().begin_run(true)?;
        self.record_claim(run, sequence)?;
        self.0.store().sync()?;
        Ok(())
    }

    /// Records a claim that is answered already by a new site id and run.
    ///
    /// # Errors
    /// The storage failed.
    pub fn record_claim(&self, run: RunId, sequence: Sequence) -> Result<(), StoreError> {
        // As what a peer called nobody has seen of us.
        self.0.apply(store::Incoming {
            from: NOBODY.0,
            origin: NOBODY.origin(),
            documents: Vec::new(),
            checkpoints: Vec::new(),
            seen: Some(store::Seen { run, sequence, durable: sequence }),
            evictions: None,
        })?;
        Ok(())
    }
}

/// Under this name the claims are kept that were answered with a new site id. It is nobody's public key.
const NOBODY: PeerId = PeerId([0; 32]);

impl Replica for StoreReplica {
    fn site(&self) -> SiteId {
        self.0.site()
    }

    fn begin_work(&mut self) {
        self.1 = Instant::now();
    }

    fn worked_ms(&self) -> u64 {
        self.1.elapsed().as_millis() as u64
    }

    fn wall_clock_ms(&self) -> u64 {
        self.0.wall_clock_ms()
    }

    fn runs(&self) -> Vec<(RunId, Sequence)> {
        self.0.runs()
    }

    fn current_run(&self) -> RunId {
        self.0.current_run()
    }

    fn last_sequence(&self) -> Sequence {
        self.0.last_sequence()
    }

    fn durable_sequence(&self) -> Sequence {
        self.0.durable_sequence()
    }

    fn changes(&self, after: Sequence, up_to: Sequence, limit: usize) -> Result<Vec<Change>, ReplicaError> {
        let changes = self.0.changes(after, up_to, limit).map_err(failed)?;
        let change = |change: store::Change| Change {
            sequence: change.sequence,
            key: DocumentKey { collection: change.key.collection, id: change.key.id },
            origin: change.origin,
        };
        Ok(changes.into_iter().map(change).collect())
    }

    fn commit_of(&self, sequence: Sequence) -> Result<(Sequence, Sequence), ReplicaError> {
        self.0.commit_of(sequence).map_err(failed)
    }

    fn document(&self, key: &DocumentKey) -> Result<Option<Stored>, ReplicaError> {
        let Some(document) = self.0.document(&name(key)).map_err(failed)? else { return Ok(None) };
        let value = document.value().map(|value| value.bytes().to_vec()).unwrap_or_default();
        Ok(Some(Stored { version: document.version, newest: document.newest, alive: document.alive, value }))
    }

    fn held(&self, key: &DocumentKey) -> Result<Option<Held>, ReplicaError> {
        Ok(self.0.document(&name(key)).map_err(failed)?.as_ref().map(held))
    }

    fn stock(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, Held)>, ReplicaError> {
        let stock = self.0.stock(collection, after, limit, bytes).map_err(failed)?;
        let document = |(key, document): (ditto_store::DocumentKey, store::StoredDocument)| {
            (DocumentKey { collection: key.collection, id: key.id }, held(&document))
        };
        Ok(stock.into_iter().map(document).collect())
    }

    fn documents(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, Excerpt)>, ReplicaError> {
        let documents = self.0.documents(collection, after, limit, bytes).map_err(failed)?;
        let document = |(key, part): (ditto_store::DocumentKey, store::Excerpt)| {
            (DocumentKey { collection: key.collection, id: key.id }, excerpt(part))
        };
        Ok(documents.into_iter().map(document).collect())
    }

    fn named(&self, key: &DocumentKey) -> Result<Option<DocumentKey>, ReplicaError> {
        let named = self.0.named(&name(key)).map_err(failed)?;
        Ok(named.map(|key| DocumentKey { collection: key.collection, id: key.id }))
    }

    fn delta_since(&self, key: &DocumentKey, after: Sequence) -> Result<Option<Excerpt>, ReplicaError> {
        Ok(self.0.delta_since(&name(key), after).map_err(failed)?.map(excerpt))
    }

    fn entry_hashes(&self, key: &DocumentKey) -> Result<(Version, Vec<u128>), ReplicaError> {
        self.0.entry_hashes(&name(key)).map_err(failed)
    }

    fn delta_lacking(&self, key: &DocumentKey, known: &[u128]) -> Result<Option<Excerpt>, ReplicaError> {
        Ok(self.0.delta_lacking(&name(key), known).map_err(failed)?.map(excerpt))
    }

    fn merged_version(
        &self,
        key: &DocumentKey,
        delta: &[u8],
    ) -> Result<Result<Version, Refused>, ReplicaError> {
        Ok(self.0.merged_version(&name(key), delta).map_err(failed)?.map_err(refused))
    }

    fn compile(&self, query: &str, arguments: &Object) -> Result<Interest, ReplicaError> {
        let interest =
            self.0.compile(query, arguments).map_err(|error| ReplicaError::Query(error.to_string()))?;
        Ok(Interest {
            collection: interest.collection,
            normalized: interest.normalized,
            unfiltered: interest.unfiltered,
            matcher: interest.matcher,
        })
    }

    fn may_travel(&self, _: PeerId, collection: &str) -> bool {
        // Nobody can prove yet to be a server.
        self.0.store().sync_scope(collection).allows(false)
    }

    fn scopes_revision(&self) -> u64 {
        self.0.store().sync_scopes_revision()
    }

    fn eviction_count(&self, collection: &str) -> u64 {
        self.0.eviction_count(collection)
    }

    fn eviction_total(&self) -> u64 {
        self.0.eviction_total()
    }

    fn greeted(&mut self, remote: PeerId, greeting: Greeting) -> Result<bool, ReplicaError> {
        let Greeting { site, evictions, is_behind, clock_ms } = greeting;
        let greeting = ditto_store::Greeting { site, evictions, is_behind, clock_ms };
        self.0.greeted(&remote.0, remote.origin(), greeting).map_err(failed)
    }

    fn remote_evicted(&mut self, remote: PeerId, evictions: u64) -> Result<bool, ReplicaError> {
        self.0.remote_evicted(&remote.0, evictions).map_err(failed)
    }

    fn offered(&self, remote: PeerId, collection: &str) -> Option<Sequence> {
        self.0.offered(&remote.0, collection)
    }

    fn set_offered(&mut self, remote: PeerId, collection: &str, up_to: Sequence) {
        self.0.set_offered(&remote.0, collection, up_to);
    }

    fn serves(&mut self, remote: PeerId, interest: ServedInterest) {
        let ServedInterest { selection, query, arguments, held } = interest;
        let interest = ditto_store::ServedInterest { selection, query, arguments, held };
        self.0.serves(&remote.0, remote.origin(), interest);
    }

    fn acknowledged(&mut self, remote: PeerId, acknowledged: &Acknowledged) {
        let Acknowledged { interests, held, unheld } = acknowledged;
        let sent =
            |Sent { key, from, row }: &Sent| ditto_store::Sent { key: name(key), from: *from, row: *row };
        let acknowledged = ditto_store::Acknowledged {
            interests: interests.clone(),
            held: held.iter().map(sent).collect(),
            unheld: unheld.iter().map(sent).collect(),
        };
        self.0.acknowledged(&remote.0, &acknowledged);
    }

    fn withheld(&self, remote: PeerId) -> Vec<(Sequence, Arc<str>)> {
        self.0.withheld(&remote.0)
    }

    fn checkpoint(&self, remote: PeerId, interest: &[u8; 16]) -> Result<Option<Checkpoint>, ReplicaError> {
        let checkpoint = self.0.checkpoint(&remote.0, interest).map_err(failed)?;
        Ok(checkpoint.map(|store::Checkpoint { run, sequence }| Checkpoint { run, sequence }))
    }

    fn remembered(&self, remote: PeerId) -> Result<Vec<Seen>, ReplicaError> {
        let seen = |store::Seen { run, sequence, durable }| Seen { run, sequence, durable };
        Ok(self.0.remembered(&remote.0).map_err(failed)?.into_iter().map(seen).collect())
    }

    fn claim_answered(&self, run: RunId, sequence: Sequence) -> bool {
        // One row: there may be many, since a peer may claim whatever it likes, and each claim that led to a new identity is kept.
        let answered = self.0.seen(&NOBODY.0, run).ok().flatten();
        answered.is_some_and(|answered| sequence <= answered.sequence)
    }

    fn apply(&mut self, incoming: Incoming) -> Result<Applied, ReplicaError> {
        let checkpoint = |Checkpoint { run, sequence }| store::Checkpoint { run, sequence };
        let documents = incoming.documents.into_iter().map(|document| store::IncomingDocument {
            key: name(&document.key),
            delta: document.delta,
            stated: document.stated,
        });
        let applied = self.0.apply(store::Incoming {
            from: incoming.from.0,
            origin: incoming.from.origin(),
            documents: documents.collect(),
            checkpoints: incoming
                .checkpoints
                .into_iter()
                .map(|(interest, at)| (interest, checkpoint(at)))
                .collect(),
            seen: incoming.seen.map(|Seen { run, sequence, durable }| store::Seen { run, sequence, durable }),
            evictions: incoming.evictions,
        });
        let applied = applied.map_err(failed)?;
        let outcome = |outcome: store::Outcome| Outcome {
            before: outcome.before,
            after: outcome.after,
            absorbed: outcome.absorbed,
        };
        let outcomes = applied.outcomes.into_iter().map(|result| result.map(outcome).map_err(refused));
        Ok(Applied { last: applied.last, outcomes: outcomes.collect() })
    }
}

fn name(key: &DocumentKey) -> ditto_store::DocumentKey {
    ditto_store::DocumentKey { collection: Arc::clone(&key.collection), id: Arc::clone(&key.id) }
}

fn held(document: &store::StoredDocument) -> Held {
    let value_bytes = document.value().map_or(0, |value| value.bytes().len());
    Held { version: document.version, newest: document.newest, alive: document.alive, value_bytes }
}

fn excerpt(excerpt: store::Excerpt) -> Excerpt {
    Excerpt { version: excerpt.version, newest: excerpt.newest, delta: excerpt.delta }
}

fn failed(error: StoreError) -> ReplicaError {
    match error {
        StoreError::Evicted => ReplicaError::Evicted,
        error => ReplicaError::Storage(error.to_string()),
    }
}

fn refused(refused: store::Refused) -> Refused {
    match refused {
        store::Refused::Malformed(reason) => Refused::Malformed(reason),
        store::Refused::TooLarge(reason) => Refused::TooLarge(reason),
        other => Refused::NotPermitted(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ditto_storage::{FaultyStorage, Loss, MemoryStorage, Storage};
    use ditto_store::StoreOptions;

    use super::*;
    use crate::SystemEnvironment;
    use crate::callbacks::CallbackThreads;

    fn open(storage: Arc<dyn Storage>) -> StoreReplica {
        let options = StoreOptions::new("a database", Arc::new(CallbackThreads::start().unwrap()));
        StoreReplica::new(Store::open(storage, Arc::new(SystemEnvironment), options).unwrap())
    }

    #[test]
    fn a_claim_is_not_answered_before_the_new_identity_is_there() {
        for loss in [Loss::Nothing, Loss::AllUnsynced] {
            for (commit, sync) in [(Some(1), None), (Some(2), None), (None, Some(1)), (None, Some(2))] {
                let storage = FaultyStorage::new(1);
                let replica = open(Arc::new(storage.clone()));
                let lost = replica.site();
                commit.into_iter().for_each(|nth| storage.fail_commit(nth));
                sync.into_iter().for_each(|nth| storage.fail_sync(nth));
                let answered = replica.answer_fork(RunId(5), Sequence(9));
                let replica = open(Arc::new(storage.restart(loss)));
                let is_answered = replica.claim_answered(RunId(5), Sequence(9));
                assert!(!is_answered || replica.site() != lost, "{loss:?} {commit:?} {sync:?}");
                assert!(is_answered || answered.is_err(), "{loss:?} {commit:?} {sync:?}: is forgotten");
            }
        }
    }

    #[test]
    fn a_claim_is_answered_up_to_where_it_was_recorded() {
        let replica = open(Arc::new(MemoryStorage::new()));
        let is_answered = |run, sequence| replica.claim_answered(RunId(run), Sequence(sequence));
        assert!(!is_answered(5, 1));
        replica.answer_fork(RunId(5), Sequence(9)).unwrap();
        replica.record_claim(RunId(6), Sequence(3)).unwrap();
        assert!(is_answered(5, 9) && is_answered(5, 1) && is_answered(6, 3));
        assert!(!is_answered(5, 10) && !is_answered(6, 4) && !is_answered(7, 1));
        assert_eq!(replica.0.known_peers(), [], "it was nobody who claimed it");
    }

    #[test]
    fn the_store_keeps_as_much_as_travels() {
        assert_eq!(ditto_replication::limits::MAX_DELTA_BYTES, ditto_crdt::MAX_MERGED_BYTES);
        assert_eq!(ditto_replication::limits::MAX_INTERESTS, ditto_store::MAX_REMEMBERED_INTERESTS);
        assert_eq!(ditto_replication::limits::MAX_INTEREST_BYTES, ditto_store::MAX_REMEMBERED_INTEREST_BYTES);
    }
}
