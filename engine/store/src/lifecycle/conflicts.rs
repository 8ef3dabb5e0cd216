//! Writes that lost against a deletion: `system:conflicts`.
//!
//! A deletion wins over a concurrent update, so a merge can absorb writes that whoever deleted the document never saw. The
//! peer where the two meet reports them: it holds the writes, is sent the deletion, and knows what the sender of the
//! deletion holds. What it does not hold it cannot have taken into account. A write that nobody else is known to hold,
//! whoever made it, may exist nowhere else: it is *set aside*, its value kept whatever its size.
//!
//! What a peer holds is known by whole documents. That it has acknowledged everything up to some change says nothing of the
//! earlier writes to a document that has changed since: only the newest change of a document is in the change log, and
//! the walk may have passed its earlier place when it was not there any more. So a document that changed after the last
//! acknowledgement is reported with all that was written to it since its INSERT, also what the other one may have seen.
//!
//! A report is written in the commit of the merge. The newest [`MAX_CONFLICTS`] are kept, those with something set aside
//! before all others; `DELETE FROM system:conflicts` (or EVICT) removes those that were dealt with.

use ditto_crdt::{Lost, Sequence};
use ditto_storage::{Bytes, Direction, Keyspace, StorageError};
use ditto_value::{Object, Value, ValueRef};

use super::holdings::PeerBytes;
use super::rows;
use crate::store::Inner;
use crate::write::WriteTransaction;

/// The virtual collection.
pub(crate) const CONFLICTS: &str = "system:conflicts";

/// How many reports are kept; the oldest go first, those with something set aside last.
pub const MAX_CONFLICTS: usize = 10_000;
/// Bytes of all reports together; they go in the same order.
pub const MAX_CONFLICT_BYTES: usize = 64 << 20;
/// How many lost fields one report lists, beside those that are set aside; the others are counted.
pub const MAX_CONFLICT_FIELDS: usize = 1_000;
/// The longest value, in bytes, that a report holds of a write that somebody else has.
pub const MAX_CONFLICT_VALUE_BYTES: usize = 1_024;

/// A lost write.
pub(crate) struct LostField {
    pub lost: Lost,
    /// Nobody else is known to hold the document with it.
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
    fn encode(mut self) -> (Vec<u8>, Vec<u8>) {
        let set_aside = self.fields.iter().filter(|field| field.set_aside).count();
        self.fields.sort_by_key(|field| !field.set_aside);
        let listed = self.fields.len().min(set_aside.max(MAX_CONFLICT_FIELDS));
        let omitted = self.fields.len() - listed;
        self.fields.truncate(listed);
        let set_aside = set_aside > 0;
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
        (rows::conflict_key(set_aside, self.sequence.0), Value::Object(row).encode())
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
        new.push(conflict.encode());
    }
    // From the one that goes last to the one that goes first.
    new.sort_by(|(left, _), (right, _)| right.cmp(left));
    let snapshot = transaction.inner.storage.snapshot();
    let mut stored = snapshot.prefix(Keyspace::Graves, &[rows::TAG_CONFLICT], Direction::Backward).peekable();
    let mut new = new.into_iter().peekable();
    let mut kept = Kept::default();
    loop {
        let new_is_next = match (new.peek(), stored.peek()) {
            (None, None) => break,
            (Some((new, _)), Some(Ok((stored, _)))) => **new > **stored,
            (new, _) => new.is_some(),
        };
        if new_is_next {
            if let Some((key, value)) = new.next().filter(|(key, value)| kept.keeps(key, value)) {
                transaction.put_row(Keyspace::Graves, key, value);
            }
        } else if let Some(row) = stored.next() {
            let (key, value) = row?;
            if !kept.keeps(&key, &value) {
                transaction.delete_row(Keyspace::Graves, key.to_vec());
            }
        }
    }
    kept.tell();
    transaction.changes_virtual(CONFLICTS);
    Ok(())
}

/// Counts the reports that there is room for, and those that there is none for.
#[derive(Default)]
struct Kept {
    count: usize,
    bytes: usize,
    dropped: usize,
    set_aside_dropped: usize,
}

impl Kept {
    /// Whether this one is kept as well.
    fn keeps(&mut self, key: &[u8], value: &[u8]) -> bool {
        let bytes = self.bytes + value.len();
        if self.dropped == 0 && self.count < MAX_CONFLICTS && bytes <= MAX_CONFLICT_BYTES {
            self.count += 1;
            self.bytes = bytes;
            return true;
        }
        self.dropped += 1;
        let set_aside = rows::split_conflict_key(key).is_some_and(|(set_aside, _)| set_aside);
        self.set_aside_dropped += usize::from(set_aside);
        false
    }

    fn tell(&self) {
        if self.set_aside_dropped > 0 {
            tracing::error!(
                count = self.set_aside_dropped,
                "system:conflicts is full of writes that no other peer has: the oldest are lost now; read the reports, \
                 write again what is still wanted, and remove them with DELETE FROM system:conflicts"
            );
        } else if self.dropped > 0 {
            tracing::warn!(count = self.dropped, "system:conflicts is full: the oldest reports are dropped");
        }
    }
}

/// Removes reports, by the rows of the virtual collection.
pub(crate) fn forget(transaction: &mut WriteTransaction, ids: &[Value]) {
    for id in ids.iter().filter_map(Value::as_u64) {
        for set_aside in [false, true] {
            transaction.delete_row(Keyspace::Graves, rows::conflict_key(set_aside, id));
        }
    }
    transaction.changes_virtual(CONFLICTS);
}

/// The rows of the virtual collection, oldest first.
pub(crate) fn list(inner: &Inner) -> Vec<Object> {
    let snapshot = inner.storage.snapshot();
    let stored = snapshot.prefix(Keyspace::Graves, &[rows::TAG_CONFLICT], Direction::Forward);
    let shown = stored.filter_map(|row| row.ok().and_then(|(key, value)| shown(inner, &key, &value)));
    let mut shown: Vec<(u64, Object)> = shown.collect();
    shown.sort_by_key(|(number, _)| *number);
    shown.into_iter().map(|(_, row)| row).collect()
}

fn shown(inner: &Inner, key: &Bytes, value: &Bytes) -> Option<(u64, Object)> {
    let (_, number) = rows::split_conflict_key(key)?;
    let mut row = read(value)?;
    if let Some(peer) = row.get("from").and_then(Value::as_bytes).and_then(|peer| peer.try_into().ok()) {
        row.insert("from", (inner.peer_name)(peer));
    }
    row.insert("_id", number);
    Some((number, row))
}

/// A stored report; `None` if it cannot be read.
pub(crate) fn read(value: &[u8]) -> Option<Object> {
    ValueRef::parse(value).ok()?.to_object()
}
