//! What EVICT may forget, and what it kept: `system:evictions`.
//!
//! EVICT leaves no trace, so a write that exists nowhere else would be gone for good. In a collection that other peers have
//! a part in, a document whose newest changes nobody is known to hold is kept and reported, unless the statement
//! begins with `/*+ {"#force": true} */`. In a collection that no peer ever asked for or sent documents of, there is nobody to
//! wait for, and everything can be evicted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ditto_crdt::{Hlc, Record};
use ditto_dql::Directives;
use ditto_storage::Keyspace;
use ditto_value::{Object, Value};
use parking_lot::Mutex;

use super::holdings::Facts;
use crate::catalog::Collection;
use crate::error::StoreError;
use crate::layout;
use crate::replica::read_change;
use crate::store::Inner;

/// The virtual collection.
pub(crate) const EVICTIONS: &str = "system:evictions";
/// How many ids of kept documents a row lists.
const MAX_KEPT_IDS: usize = 100;
/// The directive that makes EVICT forget what nobody else holds.
const FORCE: &str = "#force";

/// What the last EVICT of each collection did.
#[derive(Default)]
pub(crate) struct Evictions(Mutex<BTreeMap<Arc<str>, Last>>);

struct Last {
    time_ms: u64,
    evicted: u64,
    kept: u64,
    kept_ids: Vec<Value>,
}

/// Decides document by document, and counts.
pub(crate) struct Protection<'t> {
    inner: &'t Inner,
    collection: &'t Collection,
    /// Whether anything needs to be kept.
    applies: bool,
    kept: u64,
    kept_ids: Vec<Value>,
}

impl<'t> Protection<'t> {
    pub(crate) fn new(inner: &'t Inner, collection: &'t Collection, directives: [&Directives; 2]) -> Self {
        let default = inner.parameters.get("dql_default_directives").ok();
        let default = default.and_then(|(_, value)| value.get(FORCE).and_then(Value::as_bool));
        let forced = directives.iter().find_map(|directives| directives.0.get(FORCE)?.as_bool());
        let shared = collection.shared.load(Ordering::Acquire) || inner.is_asked_for(&collection.name);
        let applies = shared && !is_local(inner, &collection.name) && !forced.or(default).unwrap_or(false);
        Self { inner, collection, applies, kept: 0, kept_ids: Vec::new() }
    }

    /// Whether the document may be forgotten.
    pub(crate) fn allows(&mut self, document_key: &[u8], record: &Record<'_>) -> Result<bool, StoreError> {
        if !self.applies || self.is_held(document_key, record)? {
            return Ok(true);
        }
        self.kept += 1;
        if self.kept_ids.len() < MAX_KEPT_IDS {
            self.kept_ids.extend(record.value.get("_id").map(ditto_value::ValueRef::to_value));
        }
        Ok(false)
    }

    fn is_held(&self, document_key: &[u8], record: &Record<'_>) -> Result<bool, StoreError> {
        let newest = record.newest_stamp().map_err(|error| StoreError::corrupt(error.to_string()))?;
        if newest == Hlc::ZERO {
            return Ok(true); // Only INITIAL: every peer writes that by itself.
        }
        let mut facts = Facts {
            collection: &self.collection.name,
            name: layout::split_document_key(document_key).map_or(&[], |(_, name)| name),
            value: record.alive.then_some(record.value),
            newest: record.newest_sequence,
            origin: None,
        };
        let compile = self.inner.compile();
        if self.inner.holdings.held_by_anybody(&facts, &compile) >= facts.newest {
            return Ok(true);
        }
        let key = layout::sequence_key(record.newest_sequence);
        if let Some(row) = self.inner.storage.get(Keyspace::Changes, &key)? {
            facts.origin = read_change(&key, &row)?.2;
        }
        Ok(facts.origin.is_some() && self.inner.holdings.held_by_anybody(&facts, &compile) >= facts.newest)
    }

    /// Tells what was kept, after the statement evicted so many.
    pub(crate) fn report(self, evicted: usize, now_ms: u64) -> bool {
        if self.kept > 0 {
            tracing::warn!(
                collection = &*self.collection.name,
                kept = self.kept,
                "EVICT kept documents with changes that no other peer has acknowledged, see system:evictions"
            );
        }
        let Self { kept, kept_ids, .. } = self;
        let last = Last { time_ms: now_ms, evicted: evicted as u64, kept, kept_ids };
        let mut all = self.inner.evictions.0.lock();
        let before = all.insert(Arc::clone(&self.collection.name), last);
        kept > 0 || before.is_some_and(|before| before.kept > 0)
    }
}

/// Whether the collection is never synced.
fn is_local(inner: &Inner, collection: &str) -> bool {
    let scopes = inner.parameters.get("user_collection_sync_scopes").ok();
    scopes.is_some_and(|(_, scopes)| scopes.get(collection).and_then(Value::as_str) == Some("LocalPeerOnly"))
}

/// The rows of the virtual collection: one for each collection from which was evicted since the store was opened.
pub(crate) fn list(inner: &Inner) -> Vec<Object> {
    let all = inner.evictions.0.lock();
    let row = |(name, last): (&Arc<str>, &Last)| {
        let evictions = inner.collections.get(name).map(|found| found.evictions.load(Ordering::Acquire));
        Object::from([
            ("_id", Value::from(&**name)),
            ("evicted", Value::from(last.evicted)),
            ("evictions", Value::from(evictions.unwrap_or_default())),
            ("kept", Value::from(last.kept)),
            ("kept_ids", Value::Array(last.kept_ids.clone())),
            ("time", Value::from(last.time_ms)),
        ])
    };
    all.iter().map(row).collect()
}
