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

use std::ops::ControlFlow;

use ditto_crdt::{Lost, Sequence};
use ditto_storage::{Bytes, Direction, Entries, Keyspace, StorageError};
use ditto_value::{Object, Value, ValueRef};
use parking_lot::Mutex;

use super::holdings::PeerBytes;
use super::rows;
use crate::error::StoreError;
use crate::store::Inner;
use crate::virtual_collections::EachRow;
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

/// How much there is of reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    count: usize,
    bytes: usize,
}

impl Totals {
    fn of(stored: Entries<'_>) -> Result<Self, StorageError> {
        let mut totals = Self::default();
        for row in stored {
            totals.add(row?.1.len());
        }
        Ok(totals)
    }

    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn are_too_many(&self) -> bool {
        self.count > MAX_CONFLICTS || self.bytes > MAX_CONFLICT_BYTES
    }
}

/// The [`Totals`] of what is stored, so that not each merge has to count. For the writer.
#[derive(Default)]
pub(crate) struct Conflicts(Mutex<Option<Totals>>);

impl Conflicts {
    /// What there is, if it is known. Unknown from now on, until [`Self::know`]: a commit may fail.
    fn take(&self) -> Option<Totals> {
        self.0.lock().take()
    }

    pub(crate) fn know(&self, totals: Totals) {
        *self.0.lock() = Some(totals);
    }

    pub(crate) fn forget(&self) {
        *self.0.lock() = None;
    }
}

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
    // From the one that goes first to the one that goes last.
    new.sort();
    let snapshot = transaction.inner.storage.snapshot();
    let stored = || snapshot.prefix(Keyspace::Graves, &[rows::TAG_CONFLICT], Direction::Forward);
    let mut totals = match transaction.inner.conflicts.take() {
        Some(totals) => totals,
        None => Totals::of(stored())?,
    };
    new.iter().for_each(|(_, value)| totals.add(value.len()));
    let mut new = new.into_iter().peekable();
    let mut dropped = Dropped::default();
    if totals.are_too_many() {
        let mut stored = stored().peekable();
        while totals.are_too_many() {
            let new_goes = match (new.peek(), stored.peek()) {
                (Some((new, _)), Some(Ok((stored, _)))) => **new < **stored,
                (new, stored) => new.is_some() && stored.is_none(),
            };
            if new_goes {
                let Some((key, value)) = new.next() else { break };
                totals.remove(value.len());
                dropped.add(&key);
            } else {
                let Some(row) = stored.next() else { break };
                let (key, value) = row?;
                totals.remove(value.len());
                dropped.add(&key);
                transaction.delete_row(Keyspace::Graves, key.to_vec());
            }
        }
    }
    dropped.tell();
    for (key, value) in new {
        transaction.put_row(Keyspace::Graves, key, value);
    }
    transaction.conflicts = Some(totals);
    transaction.changes_virtual(CONFLICTS);
    Ok(())
}

/// Counts the reports that there is no room for.
#[derive(Default)]
struct Dropped {
    count: usize,
    set_aside: usize,
}

impl Dropped {
    fn add(&mut self, key: &[u8]) {
        let set_aside = rows::split_conflict_key(key).is_some_and(|(set_aside, _)| set_aside);
        self.count += 1;
        self.set_aside += usize::from(set_aside);
    }

    fn tell(&self) {
        if self.set_aside > 0 {
            tracing::error!(
                count = self.set_aside,
                "system:conflicts is full of writes that no other peer has: the oldest are lost now; read the reports, \
                 write again what is still wanted, and remove them with DELETE FROM system:conflicts"
            );
        } else if self.count > 0 {
            tracing::warn!(count = self.count, "system:conflicts is full: the oldest reports are dropped");
        }
    }
}

/// Removes reports, by the rows of the virtual collection.
pub(crate) fn forget(transaction: &mut WriteTransaction, ids: &[Value]) {
    // Counted anew when it matters: this is rare, and may be rolled back.
    transaction.inner.conflicts.forget();
    for id in ids.iter().filter_map(Value::as_u64) {
        for set_aside in [false, true] {
            transaction.delete_row(Keyspace::Graves, rows::conflict_key(set_aside, id));
        }
    }
    transaction.changes_virtual(CONFLICTS);
}

/// Calls `each` with the rows of the virtual collection, oldest first.
pub(crate) fn for_each_row(inner: &Inner, each: &mut EachRow<'_>) -> Result<ControlFlow<()>, StoreError> {
    let snapshot = inner.storage.snapshot();
    // Either kind is in the order of the numbers.
    let of_kind = |set_aside: bool| {
        let prefix = [rows::TAG_CONFLICT, set_aside.into()];
        snapshot.prefix(Keyspace::Graves, &prefix, Direction::Forward).peekable()
    };
    let number = |row: Option<&Result<(Bytes, Bytes), StorageError>>| match row {
        Some(Ok((key, _))) => rows::split_conflict_key(key).map_or(0, |(_, number)| number),
        Some(Err(_)) => 0,
        None => u64::MAX,
    };
    let (mut known, mut set_aside) = (of_kind(false), of_kind(true));
    loop {
        let next = if number(known.peek()) <= number(set_aside.peek()) { &mut known } else { &mut set_aside };
        let Some(row) = next.next() else { return Ok(ControlFlow::Continue(())) };
        let (key, value) = row?;
        if each(shown(inner, &key, &value))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

/// A report as a row. One that cannot be read says so, and can be removed like any other.
fn shown(inner: &Inner, key: &Bytes, value: &Bytes) -> Object {
    let mut row = read(value).unwrap_or_else(|| {
        tracing::warn!(bytes = value.len(), "a report in system:conflicts cannot be read");
        Object::from([("unreadable", Value::Bool(true))])
    });
    if let Some(peer) = row.get("from").and_then(Value::as_bytes).and_then(|peer| peer.try_into().ok()) {
        row.insert("from", (inner.peer_name)(peer));
    }
    if let Some((_, number)) = rows::split_conflict_key(key) {
        row.insert("_id", number);
    }
    row
}

/// A stored report; `None` if it cannot be read.
pub(crate) fn read(value: &[u8]) -> Option<Object> {
    ValueRef::parse(value).ok()?.to_object()
}
