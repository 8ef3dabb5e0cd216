//! The rows of a live query, kept up to date by the images of the documents that commits change.
//!
//! Works for every SELECT without grouping and DISTINCT over a stored collection: a document's place in the
//! result depends on nothing but itself. The rows before LIMIT and OFFSET are kept in their order; a commit
//! removes the place of each before-image and adds that of each after-image, in O(log rows).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ditto_crdt::Sequence;
use ditto_dql::{Expr, Select};
use ditto_storage::{Bytes, Direction, Keyspace};
use ditto_value::{Object, ValueRef};

use super::access::{for_each_document, planned};
use super::order;
use super::plan::{self, Arrival, Question};
use super::scope::{Scope, Shape, of_document};
use super::select::{Projector, Window};
use super::view::View;
use crate::error::StoreError;
use crate::feed::Commit;
use crate::layout;
use crate::result::Row;
use crate::store::Inner;

/// How many bytes of rows and keys are kept for one query; those with more are read again instead.
const MAX_LIVE_BYTES: usize = 64 << 20;

/// The matching rows of a query, before LIMIT and OFFSET.
pub(crate) struct LiveRows {
    /// By sort key ‖ encoded `_id`: the order in which running the query would give them.
    rows: BTreeMap<Vec<u8>, Row>,
    /// Bytes of them all.
    bytes: usize,
    /// Changes up to here were in the snapshot that the rows come from.
    seen: Sequence,
}

/// Whether a query can be kept up to date by single documents.
pub(crate) fn is_maintainable(inner: &Inner, select: &Select) -> bool {
    let mut timeless = true;
    let mut look = |expr: &Expr| {
        expr.visit(&mut |expr| {
            // What is called without arguments (a clock, randomness) has another value at another time.
            timeless &= !matches!(expr, Expr::Call(call) if call.arguments.is_empty());
        });
    };
    select.filter.iter().for_each(&mut look);
    select.order_by.iter().for_each(|item| look(&item.expr));
    if let ditto_dql::Projection::Items(items) = &select.projection {
        for item in items {
            if let ditto_dql::ProjectionItem::Value { expr, .. } = item {
                look(expr);
            }
        }
    }
    timeless
        && select.grouping.is_none()
        && !select.distinct
        && select.joins.is_empty()
        && select.source.ids.is_none()
        && !plan::is_virtual(&select.source)
        && Shape::new(&select.source, inner.parameters.settings()).is_plain()
}

impl LiveRows {
    /// Runs the query on a snapshot. `None` if there is too much of it.
    pub(crate) fn read(
        inner: &Inner,
        select: &Select,
        arguments: &Object,
    ) -> Result<Option<Self>, StoreError> {
        let committed = inner.last_sequence();
        let snapshot = inner.storage.snapshot();
        let newest = snapshot.prefix(Keyspace::Changes, &[], Direction::Backward).next().transpose()?;
        let newest = newest.and_then(|(key, _)| layout::decode_sequence_key(&key)).unwrap_or_default();
        let mut live = Self { rows: BTreeMap::new(), bytes: 0, seen: committed.max(newest) };
        let scope = scope(inner, arguments);
        let place = Place::new(select, &scope);
        let view = View::Snapshot(inner, &*snapshot);
        // All matching documents, wherever they stand.
        let question = Question {
            directives: &select.directives,
            source: &select.source,
            filter: select.filter.as_ref(),
            order_by: &[],
            is_limited: false,
            arrival: Arrival::Any,
            reads: None,
            counts: false,
        };
        planned(view, &scope, question, |view, plan| {
            for_each_document(view, &scope, plan, &mut |key, _, holder, document| {
                if let Some((_, id)) = layout::split_document_key(key) {
                    // A row of its own: a view of a cached block would keep the whole block.
                    let row = Row::new(place.row(holder, document).bytes());
                    live.insert(place.of(id, document), row);
                }
                Ok(if live.is_too_large() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
        })?;
        Ok((!live.is_too_large()).then_some(live))
    }

    /// Whether it holds more than it may.
    pub(crate) fn is_too_large(&self) -> bool {
        self.bytes > MAX_LIVE_BYTES
    }

    fn insert(&mut self, place: Vec<u8>, row: Row) {
        let length = place.len();
        self.bytes += length + row.bytes().len();
        if let Some(old) = self.rows.insert(place, row) {
            self.bytes -= length + old.bytes().len();
        }
    }

    fn remove(&mut self, place: &[u8]) {
        if let Some(old) = self.rows.remove(place) {
            self.bytes -= place.len() + old.bytes().len();
        }
    }

    /// Takes a commit into account. `false` if the query has to be read again.
    pub(crate) fn apply(
        &mut self,
        inner: &Inner,
        select: &Select,
        arguments: &Object,
        collection: &str,
        commit: &Commit,
    ) -> bool {
        let scope = scope(inner, arguments);
        let place = Place::new(select, &scope);
        for changed in commit.changed.iter().filter(|changed| &*changed.key.collection == collection) {
            let Some(sequence) = changed.sequence else { return false };
            if sequence <= self.seen {
                continue;
            }
            if let Some(before) = changed.before_value() {
                self.remove(&place.of(&changed.key.id, before));
            }
            if let (Some(holder), Some(after)) = (&changed.after, changed.after_value())
                && super::accepts(select.filter.as_ref(), &scope, after)
            {
                self.insert(place.of(&changed.key.id, after), place.row(holder, after));
            }
        }
        true
    }

    /// The result.
    pub(crate) fn result(
        &self,
        inner: &Inner,
        select: &Select,
        arguments: &Object,
    ) -> Result<Vec<Row>, StoreError> {
        let window = Window::new(select.limit.as_ref(), select.offset.as_ref(), &scope(inner, arguments))?;
        Ok(window.apply(self.rows.values()).cloned().collect())
    }
}

fn scope<'a>(inner: &Inner, arguments: &'a Object) -> Scope<'a> {
    super::scope(inner, arguments)
}

/// Where a document stands in the result, and what its row is.
struct Place<'q> {
    select: &'q Select,
    scope: Scope<'q>,
    projector: Projector<'q>,
}

impl<'q> Place<'q> {
    fn new(select: &'q Select, scope: &Scope<'q>) -> Self {
        Self { select, scope: *scope, projector: Projector::new(&select.projection, select.source.name()) }
    }

    fn of(&self, id: &[u8], document: ValueRef<'_>) -> Vec<u8> {
        let mut key = Vec::with_capacity(id.len() + 16);
        order::sort_key(&self.select.order_by, &of_document(&self.scope.context(), document), &mut key);
        key.extend_from_slice(id);
        key
    }

    fn row(&self, holder: &Bytes, document: ValueRef<'_>) -> Row {
        self.projector.document_row(&self.scope.context(), holder, document)
    }
}
