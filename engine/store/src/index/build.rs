//! CREATE INDEX, DROP INDEX, and what a crash, or one of them that gave up waiting, left undone.
//!
//! Both are done in pieces of bounded size, each a commit of its own, between which other writers have their turn. The
//! catalog says how far a build is, and which index is being removed; opening goes on where a crash stopped them.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Weak};

use ditto_dql::{CreateIndex, DropIndex};
use ditto_storage::{Direction, Keyspace, prefix_end};

use super::{Definition, Index, IndexError, MAX_INDEX_KEYS, MAX_INDEXES, Position, State};
use crate::catalog::Collection;
use crate::durability::Mark;
use crate::error::StoreError;
use crate::layout::{self, IndexId};
use crate::store::Inner;
use crate::write::{check_collection_name, parse_record};
use crate::writer::Holder;

/// Most documents, or rows, that one commit of a build or a removal comes by.
const PIECE_ROWS: usize = 1_000;

/// After so many bytes read and written a piece ends, too.
const PIECE_BYTES: usize = 4 << 20;

/// The virtual collection that shows indexes.
const LISTED_IN: &str = "system:indexes";

/// Something that an earlier process, or a statement that gave up, did not finish.
pub(crate) enum Unfinished {
    Build(Arc<Index>),
    Removal(IndexId),
}

/// Creates an index and returns when it can be used. While somebody else builds it, waits for that. Once there is a
/// definition the build goes on, even if this gives up waiting for another writer.
pub(crate) fn create(inner: &Arc<Inner>, statement: &CreateIndex) -> Result<(), StoreError> {
    check(statement)?;
    let index = match existing(inner, statement)? {
        Some(index) => index,
        None => define(inner, statement)?,
    };
    let built = build(inner, &index);
    if let Err(StoreError::WriterBusy { holder, held_ms, waited_ms }) = built {
        // It has a name, and costs every commit its rows: somebody has to finish it.
        resume(inner, vec![Unfinished::Build(Arc::clone(&index))], inner.platter.newest());
        let name = index.name.to_string();
        return Err(IndexError::BuiltLater { name, holder, held_ms, waited_ms }.into());
    }
    built?;
    inner.settle(inner.platter.newest())
}

fn build(inner: &Arc<Inner>, index: &Index) -> Result<(), StoreError> {
    while piece_of_build(inner, index, Holder::Statement)? {}
    Ok(())
}

/// Whether [`create`] would write something, or wait until somebody else has.
pub(crate) fn needs_writer_to_create(inner: &Inner, statement: &CreateIndex) -> Result<bool, StoreError> {
    check(statement)?;
    existing(inner, statement)?.map_or(Ok(true), |index| is_unfinished(&index))
}

fn check(statement: &CreateIndex) -> Result<(), StoreError> {
    let mut paths = BTreeSet::new();
    if let Some(twice) = statement.keys.iter().find(|key| !paths.insert(&key.path)) {
        return Err(IndexError::RepeatedKey { path: twice.path.join(".") }.into());
    }
    let is_long = |names: usize| names > ditto_value::MAX_DEPTH;
    if statement.keys.len() > MAX_INDEX_KEYS || statement.keys.iter().any(|key| is_long(key.path.len())) {
        return Err(IndexError::TooManyKeys.into());
    }
    Ok(check_collection_name(&statement.collection.to_string())?)
}

/// The index of that name, if there may be one.
fn existing(inner: &Inner, statement: &CreateIndex) -> Result<Option<Arc<Index>>, StoreError> {
    let collection = inner.collections.get(&statement.collection.name);
    match collection.and_then(|collection| collection.indexes.get(&statement.name)) {
        Some(_) if !statement.if_not_exists => Err(IndexError::Exists {
            collection: statement.collection.name.clone(),
            name: statement.name.clone(),
        }
        .into()),
        found => Ok(found),
    }
}

/// Writes the definition. From now on commits keep the rows of the index.
fn define(inner: &Arc<Inner>, statement: &CreateIndex) -> Result<Arc<Index>, StoreError> {
    let mut transaction = inner.begin_write()?;
    if let Some(index) = existing(inner, statement)? {
        return Ok(index);
    }
    let collection = transaction.collection_for_write(&statement.collection.name)?;
    if collection.indexes.all().len() >= MAX_INDEXES {
        return Err(IndexError::TooManyIndexes { collection: collection.name.to_string() }.into());
    }
    let definition = Definition {
        collection: collection.id,
        name: statement.name.as_str().into(),
        keys: statement.keys.clone(),
        state: State::Building,
        position: Position::default(),
    };
    let id = inner.next_index_id();
    transaction.changes_virtual(LISTED_IN);
    transaction.put_row(Keyspace::Catalog, layout::index_definition_key(id).to_vec(), definition.encode());
    let index = Arc::new(Index::new(id, definition));
    collection.indexes.add(Arc::clone(&index));
    if let Err(error) = transaction.commit() {
        collection.indexes.remove(id);
        return Err(error);
    }
    inner.deliver_commits();
    tracing::info!(collection = &*collection.name, index = &*index.name, "an index is being built");
    Ok(index)
}

/// Builds another piece. `false` when nothing is left to do.
fn piece_of_build(inner: &Arc<Inner>, index: &Index, who: Holder) -> Result<bool, StoreError> {
    if !is_unfinished(index)? {
        return Ok(false);
    }
    // First: whoever waits for the writer holds nothing that its holder may want.
    let mut transaction = inner.begin_write_as(who)?;
    let mut position = index.position.lock();
    if !is_unfinished(index)? {
        return Ok(false);
    }
    // Nobody else writes now: the documents of this snapshot are the newest.
    let snapshot = inner.storage.snapshot();
    let low = layout::document_key(index.collection, &position.after);
    let high = prefix_end(&layout::collection_prefix(index.collection));
    let high = high.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut next = position.clone();
    let (mut rows, mut bytes, mut is_complete) = (0, 0, true);
    for row in snapshot.range(Keyspace::Documents, (Bound::Excluded(&low), high), Direction::Forward) {
        if rows >= PIECE_ROWS || bytes >= PIECE_BYTES {
            is_complete = false;
            break;
        }
        let (key, record) = row?;
        let id = layout::split_document_key(&key).map_or(&[][..], |(_, id)| id);
        let parsed = parse_record(&record)?;
        if parsed.alive {
            let entry = index.entry(id, parsed.value);
            bytes += entry.key.len();
            let value = entry.value().to_vec();
            transaction.put_row(Keyspace::Indexes, entry.key, value);
            next.indexed += 1;
        }
        next.after.clear();
        next.after.extend_from_slice(id);
        rows += 1;
        bytes += record.len();
    }
    drop(snapshot);
    let state = if is_complete { State::Ready } else { State::Building };
    if is_complete {
        next.after.clear();
    }
    transaction.changes_virtual(LISTED_IN);
    let definition = index.definition(state, &next).encode();
    transaction.put_row(Keyspace::Catalog, layout::index_definition_key(index.id).to_vec(), definition);
    transaction.commit()?;
    index.built(&next, is_complete);
    let documents = next.indexed;
    *position = next;
    // Whoever hears of it may ask for the same index.
    drop(position);
    inner.deliver_commits();
    if is_complete {
        tracing::info!(index = &*index.name, documents, "an index is ready");
    } else {
        tracing::debug!(index = &*index.name, documents, "an index is being built");
    }
    Ok(!is_complete)
}

/// Whether the build has to go on.
fn is_unfinished(index: &Index) -> Result<bool, StoreError> {
    match index.state() {
        State::Ready => Ok(false),
        State::Building => Ok(true),
        State::Dropped => Err(IndexError::DroppedMeanwhile { name: index.name.to_string() }.into()),
    }
}

/// Drops an index and removes its rows.
pub(crate) fn drop_index(inner: &Arc<Inner>, statement: &DropIndex) -> Result<(), StoreError> {
    if !needs_writer_to_drop(inner, statement)? {
        return Ok(());
    }
    let mut transaction = inner.begin_write()?;
    // Anew: somebody else may have dropped it, or a recovery replaced it.
    let Some((collection, index)) = to_drop(inner, statement)? else { return Ok(()) };
    transaction.changes_virtual(LISTED_IN);
    let definition = index.definition(State::Dropped, &Position::default()).encode();
    transaction.put_row(Keyspace::Catalog, layout::index_definition_key(index.id).to_vec(), definition);
    // Before the rows go: whoever has a plan with this index asks again after taking a snapshot.
    index.set_state(State::Dropped);
    collection.indexes.remove(index.id);
    let dropped = transaction.commit()?.mark;
    inner.deliver_commits();
    match remove(inner, index.id, dropped) {
        // Nobody sees its rows any more; they need not be gone at once.
        Err(StoreError::WriterBusy { .. }) => resume(inner, vec![Unfinished::Removal(index.id)], dropped),
        removed => removed?,
    }
    tracing::info!(collection = &*collection.name, index = &*index.name, "an index was dropped");
    inner.settle(inner.platter.newest())
}

fn remove(inner: &Arc<Inner>, index: IndexId, dropped: Mark) -> Result<(), StoreError> {
    while piece_of_removal(inner, index, dropped, Holder::Statement)? {}
    Ok(())
}

/// Whether [`drop_index`] would write something.
pub(crate) fn needs_writer_to_drop(inner: &Inner, statement: &DropIndex) -> Result<bool, StoreError> {
    Ok(to_drop(inner, statement)?.is_some())
}

type Found = (Arc<Collection>, Arc<Index>);

/// The index to drop; `None` if there may be none.
fn to_drop(inner: &Inner, statement: &DropIndex) -> Result<Option<Found>, StoreError> {
    let collection = inner.collections.get(&statement.collection.to_string());
    let found = collection.and_then(|collection| {
        let index = collection.indexes.get(&statement.name)?;
        Some((collection, index))
    });
    match found {
        None if !statement.if_exists => {
            let (collection, name) = (statement.collection.name.clone(), statement.name.clone());
            Err(IndexError::Unknown { collection, name }.into())
        }
        found => Ok(found),
    }
}

/// Removes some more rows, and the definition with the last of them. `false` when nothing is left.
fn piece_of_removal(
    inner: &Arc<Inner>,
    index: IndexId,
    dropped: Mark,
    who: Holder,
) -> Result<bool, StoreError> {
    let mut transaction = inner.begin_write_as(who)?;
    // Otherwise the index may be in use again, and whoever recovered goes on if it is not.
    inner.platter.check(dropped)?;
    let snapshot = inner.storage.snapshot();
    let mut rows = 0;
    for row in
        snapshot.prefix(Keyspace::Indexes, &layout::index_prefix(index), Direction::Forward).take(PIECE_ROWS)
    {
        transaction.delete_row(Keyspace::Indexes, row?.0.to_vec());
        rows += 1;
    }
    drop(snapshot);
    let is_complete = rows < PIECE_ROWS;
    if is_complete {
        transaction.delete_row(Keyspace::Catalog, layout::index_definition_key(index).to_vec());
    }
    transaction.commit()?;
    Ok(!is_complete)
}

/// Goes on with what somebody did not finish, on the executor; `since` is when it was like that.
pub(crate) fn resume(inner: &Arc<Inner>, unfinished: Vec<Unfinished>, since: Mark) {
    if unfinished.is_empty() {
        return;
    }
    let weak = Arc::downgrade(inner);
    inner.executor.spawn(Box::new(move || {
        for unfinished in unfinished {
            if let Err(error) = finish(&weak, &unfinished, since) {
                tracing::warn!(%error, "an index could not be finished; the next opening, or recovery, goes on with it");
            }
        }
    }));
}

/// Holds the store only from piece to piece.
fn finish(inner: &Weak<Inner>, unfinished: &Unfinished, since: Mark) -> Result<(), StoreError> {
    while let Some(inner) = inner.upgrade() {
        let goes_on = match unfinished {
            Unfinished::Build(index) => {
                piece_of_build(&inner, index, Holder::Maintenance("the build of an index"))?
            }
            Unfinished::Removal(index) => {
                piece_of_removal(&inner, *index, since, Holder::Maintenance("the removal of an index"))?
            }
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}
