//! Writes that lost against a deletion: `system:conflicts`.
//!
//! A deletion wins over a concurrent update, so a merge can absorb writes that whoever deleted the document never saw. The
//! peer where the two meet reports them: it holds the writes, is sent the deletion, and knows what the sender of the
//! deletion holds. What it does not hold it cannot have taken into account. A write that was made here and that nobody
//! has acknowledged exists nowhere else: it is *set aside*, its value kept whatever its size.
//!
//! A report is written in the commit of the merge. The newest [`MAX_CONFLICTS`] are kept; `DELETE FROM system:conflicts`
//! (or EVICT) removes those that were dealt with.

use ditto_crdt::{Lost, Sequence};
use ditto_storage::{Bytes, Direction, Keyspace, StorageError};
use ditto_value::{Object, Value, ValueRef};

use super::holdings::PeerBytes;
use super::rows;
use crate::store::Inner;
use crate::write::WriteTransaction;

/// The virtual collection.
pub(crate) const CONFLICTS: &str = "system:conflicts";

/// How many reports are kept; the oldest go first.
pub const MAX_CONFLICTS: usize = 10_000;
/// Bytes of all reports together; the oldest go first.
pub const MAX_CONFLICT_BYTES: usize = 64 << 20;
/// How many lost fields one report lists; the others are counted. Set aside fields come first.
pub const MAX_CONFLICT_FIELDS: usize = 1_000;
/// The longest value, in bytes, that a report holds of a write that somebody else has.
pub const MAX_CONFLICT_VALUE_BYTES: usize = 1_024;

/// A lost write.
pub(crate) struct LostField {
    pub lost: Lost,
    /// Made here, and acknowledged by nobody.
    pub set_aside: bool,
}

/// A merge that lost something.
pub(crate) struct Conflict<'a> {
    /// Of the change.
    pub sequence: Sequence,
    pub collection: &'a str,
    pub id: Value,
    /// Who sent the deletion.
    pub from: &'a PeerBytes,
    pub time_ms: u64,
    pub fields: Vec<LostField>,
}

impl Conflict<'_> {
    /// As it is stored: the row but for its `_id`, the peer as its bytes.
    fn encode(mut self) -> Vec<u8> {
        let set_aside = self.fields.iter().any(|field| field.set_aside);
        self.fields.sort_by_key(|field| !field.set_aside);
        let omitted = self.fields.len().saturating_sub(MAX_CONFLICT_FIELDS);
        self.fields.truncate(MAX_CONFLICT_FIELDS);
        let fields: Vec<Value> = self.fields.into_iter().map(|field| field.row().into()).collect();
        let row = Object::from([
            ("collection", Value::from(self.collection)),
            ("document", self.id),
            ("fields", Value::Array(fields)),
            ("fields_omitted", Value::from(omitted as u64)),
            ("from", Value::Bytes(self.from.to_vec())),
            ("set_aside", Value::Bool(set_aside)),
            ("time", Value::from(self.time_ms)),
        ]);
        Value::Object(row).encode()
    }
}

impl LostField {
    fn row(self) -> Object {
        let Self { lost, set_aside } = self;
        let names: Vec<_> = lost.path.names().collect();
        let mut row = Object::from([
            ("path", Value::from(ditto_dql::path_text(names.iter().map(AsRef::as_ref)))),
            ("set_aside", Value::Bool(set_aside)),
            ("site", Value::from(format!("{:016x}", lost.stamp.site.0))),
            ("time", Value::from(lost.stamp.time.millis())),
            ("type", Value::from(lost.kind.to_string())),
        ]);
        let value = lost.value.filter(|value| set_aside || value.encode().len() <= MAX_CONFLICT_VALUE_BYTES);
        if let Some(value) = value {
            row.insert("value", value);
        }
        row
    }
}

/// Adds reports to a commit, and removes those that are too many then.
pub(crate) fn report(
    transaction: &mut WriteTransaction,
    conflicts: Vec<Conflict<'_>>,
) -> Result<(), StorageError> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let mut new = Vec::with_capacity(conflicts.len());
    for conflict in conflicts {
        tracing::warn!(
            collection = conflict.collection,
            id = conflict.id.to_json(),
            fields = conflict.fields.len(),
            "writes lost against a deletion, see system:conflicts"
        );
        new.push((rows::conflict_key(conflict.sequence.0), conflict.encode()));
    }
    let snapshot = transaction.inner.storage.snapshot();
    let mut count = new.len();
    let mut bytes: usize = new.iter().map(|(_, value)| value.len()).sum();
    let mut dropped = Vec::new();
    for row in snapshot.prefix(Keyspace::Graves, &[rows::TAG_CONFLICT], Direction::Backward) {
        let (key, value) = row?;
        count += 1;
        bytes += value.len();
        if count > MAX_CONFLICTS || bytes > MAX_CONFLICT_BYTES {
            dropped.push(key);
        }
    }
    if !dropped.is_empty() {
        tracing::warn!(count = dropped.len(), "system:conflicts is full: the oldest reports are dropped");
    }
    let excess = new.len().saturating_sub(MAX_CONFLICTS);
    for key in dropped {
        transaction.delete_row(Keyspace::Graves, key.to_vec());
    }
    for (key, value) in new.into_iter().skip(excess) {
        transaction.put_row(Keyspace::Graves, key, value);
    }
    transaction.changes_virtual(CONFLICTS);
    Ok(())
}

/// Removes reports, by the rows of the virtual collection.
pub(crate) fn forget(transaction: &mut WriteTransaction, ids: &[Value]) {
    for id in ids.iter().filter_map(Value::as_u64) {
        transaction.delete_row(Keyspace::Graves, rows::conflict_key(id));
    }
    transaction.changes_virtual(CONFLICTS);
}

/// The rows of the virtual collection, oldest first.
pub(crate) fn list(inner: &Inner) -> Vec<Object> {
    let snapshot = inner.storage.snapshot();
    let stored = snapshot.prefix(Keyspace::Graves, &[rows::TAG_CONFLICT], Direction::Forward);
    stored.filter_map(|row| row.ok().and_then(|(key, value)| shown(inner, &key, &value))).collect()
}

fn shown(inner: &Inner, key: &Bytes, value: &Bytes) -> Option<Object> {
    let number = rows::split_conflict_key(key)?;
    let mut row = read(value)?;
    if let Some(peer) = row.get("from").and_then(Value::as_bytes).and_then(|peer| peer.try_into().ok()) {
        row.insert("from", (inner.peer_name)(peer));
    }
    row.insert("_id", number);
    Some(row)
}

/// A stored report; `None` if it cannot be read.
pub(crate) fn read(value: &[u8]) -> Option<Object> {
    ValueRef::parse(value).ok()?.to_object()
}
