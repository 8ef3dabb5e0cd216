//! What EVICT may forget, and what it did: `system:evictions`.
//!
//! EVICT leaves no trace, so a write that exists nowhere else would be gone for good. In a collection that other peers have
//! a part in, a document whose newest changes nobody is known to hold is kept and reported, unless the statement
//! begins with `/*+ {"#force": true} */`. In a collection that no peer ever asked for or sent documents of there may never be
//! anybody to wait for: everything is evicted, as the application says, and what existed nowhere else is reported.
//! Only collections that are never synced (`LocalPeerOnly`) need no report.
//!
//! What a subscription of this peer asks for comes back from whoever has it. Maybe that is wanted, so it is evicted and reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ditto_crdt::{Hlc, Record};
use ditto_dql::Directives;
use ditto_storage::Keyspace;
use ditto_value::{Object, Value};
use parking_lot::Mutex;

use super::holdings::Facts;
use super::subscribed::Subscription;
use crate::catalog::Collection;
use crate::error::StoreError;
use crate::layout;
use crate::replica::read_change;
use crate::scopes::SyncScope;
use crate::store::Inner;

/// The virtual collection.
pub(crate) const EVICTIONS: &str = "system:evictions";
/// How many ids of documents of each sort, and how many subscriptions, a row lists.
const MAX_IDS: usize = 100;
/// The directive that makes EVICT forget what nobody else holds.
const FORCE: &str = "#force";

const DAY_MS: u64 = 86_400_000;

/// What the last EVICT of each collection did.
#[derive(Default)]
pub(crate) struct Evictions(Mutex<BTreeMap<Arc<str>, Known>>);

/// What one EVICT did. Nothing is known of it before its transaction is committed.
#[derive(Clone)]
pub(crate) struct Report {
    collection: Arc<str>,
    time_ms: u64,
    evicted: u64,
    kept: Listed,
    /// Evicted although nobody else is known to hold it.
    unheld: Listed,
    /// Evicted although this peer subscribes to them.
    subscribed: Listed,
    /// The queries of those subscriptions.
    subscriptions: Vec<Arc<str>>,
    is_forced: bool,
}

/// Documents that are counted, and the first of them by their ids.
#[derive(Clone, Default)]
struct Listed {
    count: u64,
    ids: Vec<Value>,
}

impl Listed {
    fn add(&mut self, record: &Record<'_>) {
        self.count += 1;
        if self.ids.len() < MAX_IDS {
            self.ids.extend(record.value.get("_id").map(ditto_value::ValueRef::to_value));
        }
    }
}

/// What is known of the evictions of a collection.
struct Known {
    last: Report,
    /// When documents were evicted last, and before that.
    evicted_ms: [Option<u64>; 2],
    /// When somebody was told that this is too often.
    warned_ms: Option<u64>,
}

impl Known {
    /// Documents were evicted. Whether that is too soon after the last time, and nobody was told for a day.
    fn is_too_soon(&mut self, now_ms: u64) -> bool {
        let within_a_day = |time: Option<u64>| time.is_some_and(|time| now_ms.abs_diff(time) < DAY_MS);
        let [last, _] = self.evicted_ms;
        self.evicted_ms = [Some(now_ms), last];
        let warns = within_a_day(last) && !within_a_day(self.warned_ms);
        if warns {
            self.warned_ms = Some(now_ms);
        }
        warns
    }
}

impl Evictions {
    /// A transaction with these EVICTs was committed. `is_alone`: no other peer was ever met.
    pub(crate) fn committed(&self, reports: Vec<Report>, is_alone: bool) {
        let mut all = self.0.lock();
        let mut counted: BTreeSet<Arc<str>> = BTreeSet::new();
        for report in reports {
            report.tell(is_alone);
            let (collection, now_ms) = (Arc::clone(&report.collection), report.time_ms);
            let evicts = report.evicted > 0 && counted.insert(Arc::clone(&collection));
            let known = all.entry(Arc::clone(&collection)).or_insert_with(|| Known {
                last: report.clone(),
                evicted_ms: [None; 2],
                warned_ms: None,
            });
            known.last = report;
            if evicts && known.is_too_soon(now_ms) {
                tracing::warn!(
                    collection = &*collection,
                    "EVICT more often than once a day: each one makes other peers go through the whole collection again"
                );
            }
        }
    }
}

impl Report {
    fn tell(&self, is_alone: bool) {
        let collection = &*self.collection;
        if self.kept.count > 0 {
            tracing::warn!(
                collection,
                kept = self.kept.count,
                "EVICT kept documents with changes that no other peer has acknowledged, see system:evictions"
            );
        }
        if let Some(query) = self.subscriptions.first() {
            tracing::warn!(
                collection,
                subscribed = self.subscribed.count,
                subscriptions = self.subscriptions.len(),
                "EVICT removed documents that this peer subscribes to by `{query}`: they come back from peers that have them; cancel \
                 the subscription before EVICT, see system:evictions"
            );
        }
        let unheld = self.unheld.count;
        if unheld == 0 || self.is_forced {
            return;
        }
        // A database that may never be synced is evicted from every day.
        if is_alone {
            tracing::info!(
                collection,
                unheld,
                "EVICT removed documents that no other peer has, see system:evictions"
            );
        } else {
            tracing::warn!(
                collection,
                unheld,
                "EVICT removed documents that no other peer has, from a collection that none has asked for yet, see \
                 system:evictions; set USER_COLLECTION_SYNC_SCOPES if the collection is never synced"
            );
        }
    }
}

/// Decides document by document, and counts.
pub(crate) struct Protection<'t> {
    inner: &'t Inner,
    collection: &'t Collection,
    /// Other peers have a part in the collection.
    is_shared: bool,
    /// It is never synced.
    is_local: bool,
    /// What is asked for in the collection, and whether something of it was evicted.
    subscriptions: Vec<(Subscription, bool)>,
    report: Report,
}

impl<'t> Protection<'t> {
    pub(crate) fn new(
        inner: &'t Inner,
        collection: &'t Collection,
        directives: [&Directives; 2],
        now_ms: u64,
    ) -> Self {
        let default = inner.parameters.get("dql_default_directives").ok();
        let default = default.and_then(|(_, value)| value.get(FORCE).and_then(Value::as_bool));
        let forced = directives.iter().find_map(|directives| directives.0.get(FORCE)?.as_bool());
        let report = Report {
            collection: Arc::clone(&collection.name),
            time_ms: now_ms,
            evicted: 0,
            kept: Listed::default(),
            unheld: Listed::default(),
            subscribed: Listed::default(),
            subscriptions: Vec::new(),
            is_forced: forced.or(default).unwrap_or(false),
        };
        let is_local = is_local(inner, &collection.name);
        let subscriptions = if is_local { Vec::new() } else { inner.subscribed.of(&collection.name) };
        Self {
            inner,
            collection,
            is_shared: collection.shared.load(Ordering::Acquire) || inner.is_asked_for(&collection.name),
            is_local,
            subscriptions: subscriptions.into_iter().map(|subscription| (subscription, false)).collect(),
            report,
        }
    }

    /// Whether what nobody holds is kept; then [`Self::allows`] has seen that the others are held.
    fn keeps(&self) -> bool {
        self.is_shared && !self.is_local && !self.report.is_forced
    }

    /// Whether the document may be forgotten.
    pub(crate) fn allows(&mut self, document_key: &[u8], record: &Record<'_>) -> Result<bool, StoreError> {
        if !self.keeps() || self.is_held(document_key, record)? {
            return Ok(true);
        }
        self.report.kept.add(record);
        Ok(false)
    }

    /// The document is forgotten.
    pub(crate) fn evicts(&mut self, document_key: &[u8], record: &Record<'_>) -> Result<(), StoreError> {
        self.report.evicted += 1;
        if !self.keeps() && !self.is_local && !self.is_held(document_key, record)? {
            self.report.unheld.add(record);
        }
        let mut is_subscribed = false;
        for (Subscription { interest, .. }, is_affected) in &mut self.subscriptions {
            if interest.unfiltered || (interest.matcher)(record.value) {
                is_subscribed = true;
                *is_affected = true;
            }
        }
        if is_subscribed {
            self.report.subscribed.add(record);
        }
        Ok(())
    }

    /// What was done.
    pub(crate) fn report(self) -> Report {
        let Self { mut report, subscriptions, .. } = self;
        let affected = subscriptions.into_iter().filter(|(_, is_affected)| *is_affected);
        let queries: BTreeSet<Arc<str>> = affected.map(|(subscription, _)| subscription.query).collect();
        report.subscriptions = queries.into_iter().take(MAX_IDS).collect();
        report
    }

    fn is_held(&self, document_key: &[u8], record: &Record<'_>) -> Result<bool, StoreError> {
        let newest = record.newest_stamp().map_err(|error| StoreError::corrupt(error.to_string()))?;
        if newest == Hlc::ZERO {
            return Ok(true); // Only INITIAL: every peer writes that by itself.
        }
        if !self.is_shared {
            return Ok(false);
        }
        let mut facts = Facts {
            collection: &self.collection.name,
            name: layout::split_document_key(document_key).map_or(&[], |(_, name)| name),
            value: record.alive.then_some(record.value),
            newest: record.newest_sequence,
            origin: None,
        };
        let compile = self.inner.compile();
        if self.inner.holdings.anybody_holds(&facts, &compile) {
            return Ok(true);
        }
        let key = layout::sequence_key(record.newest_sequence);
        if let Some(row) = self.inner.storage.get(Keyspace::Changes, &key)? {
            facts.origin = read_change(&key, &row)?.2;
        }
        Ok(facts.origin.is_some() && self.inner.holdings.anybody_holds(&facts, &compile))
    }
}

/// Whether the collection is never synced.
fn is_local(inner: &Inner, collection: &str) -> bool {
    inner.parameters.scopes().0.get(collection) == SyncScope::LocalPeerOnly
}

/// The rows of the virtual collection: one for each collection from which was evicted since the store was opened.
pub(crate) fn list(inner: &Inner) -> Vec<Object> {
    let all = inner.evictions.0.lock();
    let time = |time: Option<u64>| time.map_or(Value::Null, Value::from);
    let row = |(name, known): (&Arc<str>, &Known)| {
        let evictions = inner.collections.get(name).map(|found| found.evictions.load(Ordering::Acquire));
        let Report { time_ms, evicted, kept, unheld, subscribed, subscriptions, .. } = &known.last;
        let queries = subscriptions.iter().map(|query| Value::from(&**query));
        Object::from([
            ("_id", Value::from(&**name)),
            ("evicted", Value::from(*evicted)),
            ("evictions", Value::from(evictions.unwrap_or_default())),
            ("kept", Value::from(kept.count)),
            ("kept_ids", Value::Array(kept.ids.clone())),
            ("previous_time", time(known.evicted_ms[1])),
            ("subscribed", Value::from(subscribed.count)),
            ("subscribed_ids", Value::Array(subscribed.ids.clone())),
            ("subscriptions", Value::Array(queries.collect())),
            ("time", Value::from(*time_ms)),
            ("unheld", Value::from(unheld.count)),
            ("unheld_ids", Value::Array(unheld.ids.clone())),
        ])
    };
    all.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_evicts_more_often_than_daily_is_told_once_a_day() {
        let last = Report {
            collection: "c".into(),
            time_ms: 0,
            evicted: 1,
            kept: Listed::default(),
            unheld: Listed::default(),
            subscribed: Listed::default(),
            subscriptions: Vec::new(),
            is_forced: false,
        };
        let mut known = Known { last, evicted_ms: [None; 2], warned_ms: None };
        let start = 1_800_000_000_000;
        let hours = [0, 24, 25, 26, 48, 49, 73, 90];
        let told = hours.map(|hour| known.is_too_soon(start + hour * 3_600_000));
        assert_eq!(told, [false, false, true, false, false, true, false, true]);
    }
}
