//! DELETE and EVICT.

use ditto_crdt::record;
use ditto_dql::{Delete, Directives, Evict, Returning, Selection};

use super::mutation::{Effect, id_of, targets};
use super::returning::Rows;
use super::scope::{Scope, Shape};
use crate::error::StoreError;
use crate::write::{NewRecord, WriteTransaction, parse_record};

/// Removes the births that the documents have, and leaves tombstones.
pub(crate) fn delete(
    transaction: &mut WriteTransaction,
    scope: &Scope<'_>,
    statement: &Delete,
) -> Result<Effect, StoreError> {
    remove(
        transaction,
        scope,
        &statement.directives,
        &statement.selection,
        statement.returning.as_ref(),
        false,
    )
}

/// Forgets documents, here and without a trace.
pub(crate) fn evict(
    transaction: &mut WriteTransaction,
    scope: &Scope<'_>,
    statement: &Evict,
) -> Result<Effect, StoreError> {
    remove(
        transaction,
        scope,
        &statement.directives,
        &statement.selection,
        statement.returning.as_ref(),
        true,
    )
}

fn remove(
    transaction: &mut WriteTransaction,
    scope: &Scope<'_>,
    directives: &Directives,
    selection: &Selection,
    returning: Option<&Returning>,
    evict: bool,
) -> Result<Effect, StoreError> {
    let targets = targets(transaction, scope, directives, selection)?;
    let mut rows = Rows::new(returning, selection.source.name(), scope);
    let mut mutated_ids = Vec::with_capacity(targets.len());
    let Some(collection) = transaction.collection(&selection.source.collection.name) else {
        return Ok(Effect { rows: rows.finish(), mutated_ids });
    };
    let shape = Shape::new(&selection.source, scope.settings);
    for target in targets {
        if rows.wanted() {
            shape.document(&target.record, |holder, document| {
                rows.accept(holder, document);
                Ok(())
            })?;
        }
        let parsed = parse_record(&target.record)?;
        let id = id_of(parsed.value);
        if evict {
            transaction.evict(&collection, target.key, target.record.clone(), true);
        } else {
            let mut document = parsed.document().map_err(|error| StoreError::corrupt(error.to_string()))?;
            document.delete(transaction.sequence_of(&target.key));
            let record = record::encode(&document, &id);
            let new = NewRecord { record: record.into(), was_alive: true, is_alive: false, origin: None };
            transaction.put(&collection, target.key, Some(target.record.clone()), new);
        }
        mutated_ids.push(id);
    }
    Ok(Effect { rows: rows.finish(), mutated_ids })
}
