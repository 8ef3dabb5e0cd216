//! What UPDATE, DELETE and EVICT have in common: which documents they affect, and what they answer.

use std::ops::ControlFlow;

use ditto_dql::{Directives, Selection};
use ditto_storage::Bytes;
use ditto_value::{Value, ValueRef};

use super::access::{for_each_behind, planned};
use super::order::{self, Sorter};
use super::plan::{Arrival, Question, Reads};
use super::scope::{Scope, of_document};
use super::select::Window;
use super::view::View;
use crate::error::{DataError, StoreError};
use crate::layout;
use crate::parameters::Settings;
use crate::result::Row;
use crate::write::{WriteTransaction, check_collection_name, parse_record};

/// What a mutating statement did.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    pub rows: Vec<Row>,
    pub mutated_ids: Vec<Value>,
}

/// A document that a statement affects.
pub(crate) struct Target {
    pub key: Bytes,
    pub record: Bytes,
}

/// The documents that a mutating statement affects, all found before the first of them changes.
pub(crate) fn targets(
    transaction: &WriteTransaction,
    scope: &Scope<'_>,
    directives: &Directives,
    selection: &Selection,
) -> Result<Vec<Target>, StoreError> {
    check_collection_name(&selection.source.collection.to_string())?;
    selected(transaction, scope, directives, selection, None)
}

/// Whether a document, by its `documents` key and its record, may be affected.
pub(crate) type Permit<'p> = dyn FnMut(&[u8], &Bytes) -> Result<bool, StoreError> + 'p;

/// As [`targets`], of any collection, and only what is permitted: nothing else counts for LIMIT and OFFSET.
pub(crate) fn selected(
    transaction: &WriteTransaction,
    scope: &Scope<'_>,
    directives: &Directives,
    selection: &Selection,
    mut permit: Option<&mut Permit<'_>>,
) -> Result<Vec<Target>, StoreError> {
    let window = Window::new(selection.limit.as_ref(), selection.offset.as_ref(), scope)?;
    if window.limit == 0 {
        return Ok(Vec::new());
    }
    let context = scope.context();
    let question = question(directives, selection);
    planned(View::Write(transaction), scope, question, |view, plan| {
        let mut sorter = Sorter::new(window.needed());
        let mut found = Vec::new();
        let mut sort_key = Vec::new();
        // Documents that nobody needs to see before they are passed over need not be read.
        let (skipped, window) = match permit {
            None if plan.is_ordered => (window.offset as u64, Window { offset: 0, ..window }),
            _ => (0, window),
        };
        for_each_behind(view, scope, &question, plan, skipped, &mut |document| {
            let Some((key, record)) = document.stored() else { return Ok(ControlFlow::Continue(())) };
            if let Some(permit) = &mut permit
                && !permit(key, record)?
            {
                return Ok(ControlFlow::Continue(()));
            }
            let target = || Target { key: Bytes::from(key), record: record.clone() };
            if plan.is_ordered {
                found.push(target());
                if found.len() >= window.needed() {
                    return Ok(ControlFlow::Break(()));
                }
            } else {
                sort_key.clear();
                order::sort_key(
                    &selection.order_by,
                    &of_document(&context, document.document),
                    &mut sort_key,
                );
                if plan.mixes_ids() {
                    sort_key.extend_from_slice(layout::id_of_document_key(key));
                }
                sorter.offer(&sort_key, target);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(window.apply(sorter.finish().chain(found)).collect())
    })
}

/// What UPDATE, DELETE and EVICT ask of their source.
pub(crate) fn question<'q>(directives: &'q Directives, selection: &'q Selection) -> Question<'q> {
    Question {
        directives,
        source: &selection.source,
        filter: selection.filter.as_ref(),
        order_by: &selection.order_by,
        is_limited: selection.limit.is_some(),
        arrival: Arrival::Any,
        reads: Reads::Documents,
    }
}

/// The `_id` of a stored document.
pub(crate) fn id_of(document: ValueRef<'_>) -> Value {
    document.get("_id").map_or(Value::Null, ValueRef::to_value)
}

/// Refuses a document over the hard limit, warns of one over the soft limit. `before` is the record that is replaced: a
/// document that merging has brought over the hard limit may be written as long as it becomes smaller, or what it shows
/// does. (Removing a small member adds more to what merging needs than it takes away.)
pub(crate) fn check_size(
    id: &Value,
    before: Option<&[u8]>,
    record: &[u8],
    settings: Settings,
) -> Result<(), StoreError> {
    // The whole record, with what merging needs: it is what is stored and sent.
    let size = record.len();
    if size > settings.hard_limit {
        let shown = |record| Ok::<_, StoreError>(parse_record(record)?.value.bytes().len());
        let now = shown(record)?;
        let shrinks = match before {
            Some(before) => size < before.len() || now < shown(before)?,
            None => false,
        };
        if !shrinks {
            let limit = settings.hard_limit;
            return Err(DataError::TooLarge { id: id.to_json(), size, shown: now, limit }.into());
        }
    }
    if size > settings.soft_limit {
        tracing::warn!(
            id = id.to_json(),
            size,
            limit = settings.soft_limit,
            "a document exceeds DOCUMENT_SIZE_SOFT_LIMIT_BYTES"
        );
    }
    Ok(())
}
