//! DELETE and EVICT.

use std::sync::Arc;

use ditto_crdt::record;
use ditto_dql::{Delete, Directives, Evict, Returning, Selection};
use ditto_storage::Bytes;
use ditto_value::ValueRef;

use super::mutation::{Effect, Target, id_of, selected, targets};
use super::returning::Rows;
use super::scope::{Scope, Shape};
use crate::error::StoreError;
use crate::lifecycle::conflicts::{self, CONFLICTS};
use crate::lifecycle::evictions::Protection;
use crate::result::Row;
use crate::write::{NewRecord, WriteTransaction, check_collection_name, parse_record};

/// Removes the births that the documents have, and leaves tombstones.
pub(crate) fn delete(
    transaction: &mut WriteTransaction,
    scope: &Scope<'_>,
    statement: &Delete,
) -> Result<Effect, StoreError> {
    let Delete { selection, returning, directives } = statement;
    if let Some(effect) = dismiss(transaction, scope, directives, selection, returning.as_ref())? {
        return Ok(effect);
    }
    let targets = targets(transaction, scope, directives, selection)?;
    let Some(collection) = transaction.collection(&selection.source.collection.name) else {
        return Ok(Effect {
            rows: returned(scope, selection, returning.as_ref(), &[])?,
            mutated_ids: Vec::new(),
        });
    };
    let rows = returned(scope, selection, returning.as_ref(), &targets)?;
    let mut mutated_ids = Vec::with_capacity(targets.len());
    for target in targets {
        let parsed = parse_record(&target.record)?;
        let id = id_of(parsed.value);
        let mut document = parsed.document().map_err(|error| StoreError::corrupt(error.to_string()))?;
        document.delete(transaction.sequence_of(&target.key));
        let record = record::encode(&document, &id);
        let new = NewRecord { record: record.into(), was_alive: true, is_alive: false, origin: None };
        transaction.put(&collection, target.key, Some(target.record.clone()), new);
        mutated_ids.push(id);
    }
    Ok(Effect { rows, mutated_ids })
}

/// Forgets documents, here and without a trace, except those with changes that exist nowhere else.
pub(crate) fn evict(
    transaction: &mut WriteTransaction,
    scope: &Scope<'_>,
    statement: &Evict,
) -> Result<Effect, StoreError> {
    let Evict { selection, returning, directives } = statement;
    if let Some(effect) = dismiss(transaction, scope, directives, selection, returning.as_ref())? {
        return Ok(effect);
    }
    check_collection_name(&selection.source.collection.to_string())?;
    let Some(collection) = transaction.collection(&selection.source.collection.name) else {
        // The clauses of the statement are checked all the same.
        targets(transaction, scope, directives, selection)?;
        return Ok(Effect {
            rows: returned(scope, selection, returning.as_ref(), &[])?,
            mutated_ids: Vec::new(),
        });
    };
    let inner = Arc::clone(&transaction.inner);
    let both = [directives, &selection.source.directives];
    let mut protection = Protection::new(&inner, &collection, both, scope.now_ms);
    let mut permit = |key: &[u8], record: &Bytes| protection.allows(key, &parse_record(record)?);
    let targets = selected(transaction, scope, directives, selection, Some(&mut permit))?;
    let rows = returned(scope, selection, returning.as_ref(), &targets)?;
    let mut mutated_ids = Vec::with_capacity(targets.len());
    for Target { key, record } in targets {
        let parsed = parse_record(&record)?;
        protection.evicts(&key, &parsed)?;
        mutated_ids.push(id_of(parsed.value));
        transaction.evict(&collection, key, record)?;
    }
    transaction.evicted(protection.report());
    Ok(Effect { rows, mutated_ids })
}

/// Removes rows of `system:conflicts`, which either statement does; `None` for all other collections.
fn dismiss(
    transaction: &mut WriteTransaction,
    scope: &Scope<'_>,
    directives: &Directives,
    selection: &Selection,
    returning: Option<&Returning>,
) -> Result<Option<Effect>, StoreError> {
    if selection.source.collection.to_string() != CONFLICTS {
        return Ok(None);
    }
    let targets = selected(transaction, scope, directives, selection, None)?;
    let mut rows = Rows::new(returning, selection.source.name(), scope);
    let mut mutated_ids = Vec::with_capacity(targets.len());
    for Target { record, .. } in &targets {
        let row = ValueRef::from_stored(record);
        rows.accept(record, row);
        mutated_ids.push(id_of(row));
    }
    conflicts::forget(transaction, &mutated_ids);
    Ok(Some(Effect { rows: rows.finish(), mutated_ids }))
}

/// The rows of RETURNING: the documents as they were.
fn returned(
    scope: &Scope<'_>,
    selection: &Selection,
    returning: Option<&Returning>,
    targets: &[Target],
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Rows::new(returning, selection.source.name(), scope);
    if rows.wanted() {
        let shape = Shape::new(&selection.source, scope.settings);
        for target in targets {
            shape.document(&target.record, |holder, document| {
                rows.accept(holder, document);
                Ok(())
            })?;
        }
    }
    Ok(rows.finish())
}
