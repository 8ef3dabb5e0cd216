//! What the protocol sees of the model.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Matcher, Model};
use ditto_crdt::{Definitions, Delta, Document, RunId, Sequence, SiteId, Version};
use ditto_replication::{
    Acknowledged, Applied, Change, Checkpoint, DocumentKey, Excerpt, Greeting, Held, Incoming, Interest,
    Outcome, PeerId, Refused, Replica, ReplicaError, Seen, Sent, ServedInterest, Stored,
};
use ditto_value::{Object, Value, ValueRef, key};

fn stored(key: &DocumentKey, document: &Document) -> Stored {
    let id = key::decode(&key.id).map(|(id, _)| id).unwrap_or(Value::Null);
    let visible = document.visible(&id, &Definitions::default());
    Stored {
        version: document.version(),
        newest: document.newest_sequence(),
        alive: document.is_alive(),
        value: visible.map_or(Vec::new(), |visible| Value::from(visible).encode()),
    }
}

fn held(Stored { version, newest, alive, value }: Stored) -> Held {
    Held { version, newest, alive, value_bytes: value.len() }
}

impl Replica for Model {
    fn site(&self) -> SiteId {
        self.state.site
    }

    fn begin_work(&mut self) {
        self.began = self.documents_read.get();
        self.worked.store(0, Ordering::Relaxed);
    }

    fn worked_ms(&self) -> u64 {
        let worked = self.worked.load(Ordering::Relaxed);
        self.most_worked.set(self.most_worked.get().max(worked));
        worked
    }

    fn wall_clock_ms(&self) -> u64 {
        self.wall_clock_ms
    }

    fn runs(&self) -> Vec<(RunId, Sequence)> {
        self.state.runs.clone()
    }

    fn current_run(&self) -> RunId {
        self.run()
    }

    fn last_sequence(&self) -> Sequence {
        self.state.last
    }

    fn durable_sequence(&self) -> Sequence {
        self.synced.last
    }

    fn changes(&self, after: Sequence, up_to: Sequence, limit: usize) -> Result<Vec<Change>, ReplicaError> {
        self.usable()?;
        let rows = self.state.changes.range(Sequence(after.0 + 1)..).take_while(|row| *row.0 <= up_to);
        let change = |(sequence, (key, origin)): (&Sequence, &(DocumentKey, Option<u64>))| Change {
            sequence: *sequence,
            key: key.clone(),
            origin: *origin,
        };
        Ok(rows.take(limit).map(change).collect())
    }

    fn commit_of(&self, sequence: Sequence) -> Result<(Sequence, Sequence), ReplicaError> {
        let commit = self.state.commits.range(sequence..).next();
        Ok(commit
            .filter(|(_, first)| **first <= sequence)
            .map_or((sequence, sequence), |(last, first)| (*first, *last)))
    }

    fn document(&self, key: &DocumentKey) -> Result<Option<Stored>, ReplicaError> {
        self.usable()?;
        self.documents_read.set(self.documents_read.get() + 1);
        self.worked.fetch_add(self.read_ms, Ordering::Relaxed);
        self.most_read.set(self.most_read.get().max(self.documents_read.get() - self.began));
        Ok(self.state.documents.get(key).map(|document| stored(key, document)))
    }

    fn held(&self, key: &DocumentKey) -> Result<Option<Held>, ReplicaError> {
        Ok(self.document(key)?.map(held))
    }

    fn stock(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        _: usize,
    ) -> Result<Vec<(DocumentKey, Held)>, ReplicaError> {
        let start = DocumentKey { collection: collection.into(), id: after.into() };
        self.usable()?;
        self.stock_read.set(self.stock_read.get() + 1);
        self.worked.fetch_add(self.stock_ms, Ordering::Relaxed);
        let rows = self.state.documents.range((Bound::Excluded(start), Bound::Unbounded));
        let rows = rows.take_while(|(key, _)| &*key.collection == collection).take(limit);
        Ok(rows.map(|(key, document)| (key.clone(), held(stored(key, document)))).collect())
    }

    fn documents(
        &self,
        collection: &str,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(DocumentKey, Excerpt)>, ReplicaError> {
        self.usable()?;
        let mut read = 0;
        let start = DocumentKey { collection: collection.into(), id: after.into() };
        let keys = self.state.documents.range((Bound::Excluded(start), Bound::Unbounded)).map(|(key, _)| key);
        let keys = keys.take_while(|key| &*key.collection == collection).take(limit);
        let documents = keys.filter_map(|key| {
            let excerpt = self.excerpt(key, |document| document.delta_since(Sequence(0)))?;
            Some((key.clone(), excerpt))
        });
        Ok(documents
            .take_while(|(_, excerpt)| {
                let is_room = read < bytes;
                read += excerpt.delta.len();
                is_room
            })
            .collect())
    }

    fn named(&self, _: &DocumentKey) -> Result<Option<DocumentKey>, ReplicaError> {
        self.named.set(self.named.get() + 1);
        Ok(None)
    }

    fn delta_since(&self, key: &DocumentKey, after: Sequence) -> Result<Option<Excerpt>, ReplicaError> {
        self.usable()?;
        Ok(self.excerpt(key, |document| document.delta_since(after)))
    }

    fn entry_hashes(&self, key: &DocumentKey) -> Result<(Version, Vec<u128>), ReplicaError> {
        let document = self.state.documents.get(key);
        Ok(document.map(|document| (document.version(), document.entry_hashes())).unwrap_or_default())
    }

    fn delta_lacking(&self, key: &DocumentKey, known: &[u128]) -> Result<Option<Excerpt>, ReplicaError> {
        self.answers_read.set(self.answers_read.get() + 1);
        let known: HashSet<u128> = known.iter().copied().collect();
        Ok(self.excerpt(key, |document| document.delta_lacking(&known)))
    }

    fn merged_version(
        &self,
        key: &DocumentKey,
        delta: &[u8],
    ) -> Result<Result<Version, Refused>, ReplicaError> {
        self.worked.fetch_add(self.merge_ms, Ordering::Relaxed);
        let mut document = self.state.document_of(key);
        Ok(match Delta::decode(delta) {
            Ok(delta) => {
                document.merge(&delta, Sequence(u64::MAX));
                Ok(document.version())
            }
            Err(error) => Err(Refused::Malformed(error.to_string())),
        })
    }

    /// Understands `SELECT * FROM c` and `SELECT * FROM c WHERE field = number`.
    fn compile(&self, query: &str, arguments: &Object) -> Result<Interest, ReplicaError> {
        if self.illiterate {
            return Err(ReplicaError::Query("no such syntax".to_owned()));
        }
        let words: Vec<&str> = query.split_whitespace().collect();
        let unfiltered = words.len() == 4;
        let (collection, matcher): (_, Matcher) = match words[..] {
            ["SELECT", "*", "FROM", collection] => (collection, Arc::new(|_: ValueRef<'_>| true)),
            ["SELECT", "*", "FROM", collection, "WHERE", field, "=", value] => {
                let number = match value.strip_prefix(':') {
                    Some(name) => arguments.get(name).and_then(Value::as_i64),
                    None => value.parse().ok(),
                };
                let field = field.to_owned();
                let (worked, match_ms) = (Arc::clone(&self.worked), Arc::clone(&self.match_ms));
                let matcher = move |value: ValueRef<'_>| {
                    worked.fetch_add(match_ms.load(Ordering::Relaxed), Ordering::Relaxed);
                    value.get(&field).and_then(|value| value.as_i64()).is_some_and(|n| Some(n) == number)
                };
                (collection, Arc::new(matcher))
            }
            _ => return Err(ReplicaError::Query(format!("not understood: {query}"))),
        };
        Ok(Interest { collection: collection.into(), normalized: words.join(" "), unfiltered, matcher })
    }

    fn may_travel(&self, _: PeerId, collection: &str) -> bool {
        !self.local.contains(collection)
    }

    fn scopes_revision(&self) -> u64 {
        self.scopes_revision
    }

    fn eviction_count(&self, collection: &str) -> u64 {
        self.state.evictions.get(collection).copied().unwrap_or(0)
    }

    fn eviction_total(&self) -> u64 {
        self.state.evictions.values().sum()
    }

    fn offered(&self, remote: PeerId, collection: &str) -> Option<Sequence> {
        self.others.offered.get(&(remote, collection.to_owned())).copied()
    }

    fn set_offered(&mut self, remote: PeerId, collection: &str, up_to: Sequence) {
        assert!(up_to <= self.durable_sequence(), "what is lost may be taken again");
        self.others.offered.insert((remote, collection.to_owned()), up_to);
    }

    fn greeted(&mut self, remote: PeerId, greeting: Greeting) -> Result<bool, ReplicaError> {
        self.usable()?;
        let before = self.others.greetings.iter().rev().find(|(peer, _)| *peer == remote);
        let evictions = self.others.evictions.iter().rev().find(|(peer, _)| *peer == remote);
        let void = before.is_some_and(|(_, before)| {
            let evictions = evictions.map_or(before.evictions, |(_, told)| before.evictions.max(*told));
            greeting.is_behind || before.site != greeting.site || evictions != greeting.evictions
        });
        self.others.greetings.push((remote, greeting));
        Ok(void)
    }

    fn remote_evicted(&mut self, remote: PeerId, evictions: u64) -> Result<bool, ReplicaError> {
        self.usable()?;
        self.others.evictions.push((remote, evictions));
        self.others.acknowledged.retain(|(peer, _), _| *peer != remote);
        Ok(true)
    }

    fn serves(&mut self, remote: PeerId, interest: ServedInterest) {
        self.others.serves.push((remote, interest));
    }

    fn acknowledged(&mut self, remote: PeerId, acknowledged: &Acknowledged) {
        for (selection, up_to) in &acknowledged.interests {
            let held = self.others.acknowledged.entry((remote, *selection)).or_default();
            *held = (*held).max(*up_to);
        }
        for Sent { key, from, row } in &acknowledged.held {
            let known = (remote, key.clone());
            if self.others.unheld.get(&known).is_some_and(|first| first >= from) {
                self.others.unheld.remove(&known);
            }
            if self.others.withheld.get(&known).is_some_and(|withheld| Some(*withheld) <= *row) {
                self.others.withheld.remove(&known);
            }
        }
        for Sent { key, from, row } in &acknowledged.unheld {
            self.others.unheld.entry((remote, key.clone())).or_insert(*from);
            self.others.withheld.extend(row.map(|row| ((remote, key.clone()), row)));
        }
    }

    fn withheld(&self, remote: PeerId) -> Vec<(Sequence, Arc<str>)> {
        let of_remote = self.others.withheld.iter().filter(|((peer, _), _)| *peer == remote);
        of_remote.map(|((_, key), row)| (*row, key.collection.clone())).collect()
    }

    fn checkpoint(&self, remote: PeerId, interest: &[u8; 16]) -> Result<Option<Checkpoint>, ReplicaError> {
        Ok(self.state.checkpoints.get(&(remote, *interest)).copied())
    }

    fn remembered(&self, remote: PeerId) -> Result<Vec<Seen>, ReplicaError> {
        self.usable()?;
        let checkpoints = self.state.checkpoints.iter().filter(|((peer, _), _)| *peer == remote);
        let named: BTreeSet<RunId> = checkpoints.map(|(_, checkpoint)| checkpoint.run).collect();
        let of_remote = self.state.seen.iter().filter(|((peer, _), _)| *peer == remote);
        let mut all: Vec<Seen> = of_remote.map(|(_, seen)| *seen).collect();
        all.sort_by_key(|seen| Reverse((named.contains(&seen.run), seen.rests_on(), seen.run)));
        Ok(all)
    }

    fn claim_answered(&self, run: RunId, sequence: Sequence) -> bool {
        self.state.answered.iter().any(|answered| answered.0 == run && sequence <= answered.1)
    }

    fn apply(&mut self, incoming: Incoming) -> Result<Applied, ReplicaError> {
        self.usable()?;
        if incoming.evictions.is_some_and(|evictions| evictions != self.eviction_total()) {
            return Err(ReplicaError::Evicted);
        }
        self.dirty = true;
        let first = Sequence(self.state.last.0 + 1);
        let mut outcomes = Vec::new();
        for incoming_document in &incoming.documents {
            let key = &incoming_document.key;
            let refuses =
                |bytes: &Vec<u8>| key.id.windows(bytes.len()).any(|window| window == bytes.as_slice());
            if self.refuses.as_ref().is_some_and(refuses) {
                outcomes.push(Err(Refused::NotPermitted("by the test".to_owned())));
                continue;
            }
            let delta = match Delta::decode(&incoming_document.delta) {
                Ok(delta) => delta,
                Err(error) => {
                    outcomes.push(Err(Refused::Malformed(error.to_string())));
                    continue;
                }
            };
            let mut document = self.state.document_of(key);
            let before = document.is_known().then(|| document.version());
            let sequence = Sequence(self.state.last.0 + 1);
            let ditto_crdt::Merged { changed, absorbed, .. } = document.merge(&delta, sequence);
            if changed {
                let after = document.version();
                let origin = (after == incoming_document.stated).then(|| incoming.from.origin());
                self.state.record(key, document.clone(), sequence, origin);
            }
            outcomes.push(Ok(Outcome { before, after: document.version(), absorbed }));
        }
        if self.state.last > first {
            self.state.commits.insert(self.state.last, first);
        }
        for (interest, checkpoint) in incoming.checkpoints {
            self.state.checkpoints.insert((incoming.from, interest), checkpoint);
        }
        if let Some(seen) = incoming.seen {
            let known = self.state.seen.entry((incoming.from, seen.run)).or_default();
            let (sequence, durable) = (known.sequence.max(seen.sequence), known.durable.max(seen.durable));
            *known = Seen { sequence, durable, ..seen };
        }
        Ok(Applied { last: self.state.last, outcomes })
    }
}
