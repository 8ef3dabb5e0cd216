//! The rows of a live query, kept up to date by the images of the documents that commits change.
//!
//! Works for every SELECT without grouping and DISTINCT over a stored collection: a document's place in the
//! result depends on nothing but itself. The rows before OFFSET are kept in their order; a commit
//! removes the place of each before-image and adds that of each after-image, in O(log rows).
//!
//! Of a query with LIMIT only the first rows are kept: those that are shown and a *reserve* behind them, which
//! moves up when shown ones go. When so many have gone that the reserve is used up, the query is read again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ditto_crdt::Sequence;
use ditto_dql::{Expr, Projection, ProjectionItem, Select};
use ditto_storage::{Bytes, Direction, Keyspace};
use ditto_value::{Object, ValueRef};

use super::access::{for_each_document, planned};
use super::found::Found;
use super::order;
use super::plan::{self, Arrival, Question, Reads};
use super::scope::{Scope, Shape, of_document};
use super::select::{Projector, Window};
use super::view::View;
use crate::error::StoreError;
use crate::feed::Commit;
use crate::layout;
use crate::observer::Share;
use crate::result::Row;
use crate::store::Inner;

/// How many bytes of rows and keys are kept for one query; those with more are read again instead.
const MAX_LIVE_BYTES: usize = 64 << 20;

/// What a row costs besides its bytes and its key: its place in the tree and three allocations.
const ROW_BYTES: usize = 128;

/// The smallest reserve of rows. That of a longer window is as long as the window.
const MIN_RESERVE: usize = 64;

/// The first matching rows of a query, before OFFSET.
pub(crate) struct LiveRows {
    /// By sort key ‖ encoded `_id`: the order in which running the query would give them.
    rows: BTreeMap<Vec<u8>, Row>,
    window: Window,
    /// There are matching rows behind the last of these.
    cut: bool,
    /// Bytes of them all.
    bytes: usize,
    memory: Share,
    too_large: bool,
    /// Changes up to here were in the snapshot that the rows come from.
    seen: Sequence,
}

/// Whether a query can be kept up to date by single documents.
pub(crate) fn is_maintainable(inner: &Inner, select: &Select) -> bool {
    let exprs = select.filter.iter().chain(select.order_by.iter().map(|item| &item.expr));
    let timeless = exprs.chain(&select.limit).chain(&select.offset).all(Expr::is_timeless)
        && match &select.projection {
            Projection::All => true,
            Projection::Items(items) => items.iter().all(|item| match item {
                ProjectionItem::Value { expr, .. } => expr.is_timeless(),
                _ => true,
            }),
        };
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
        let scope = super::scope(inner, arguments);
        let committed = inner.last_sequence();
        let snapshot = inner.storage.snapshot();
        let newest = snapshot.prefix(Keyspace::Changes, &[], Direction::Backward).next().transpose()?;
        let newest = newest.and_then(|(key, _)| layout::decode_sequence_key(&key)).unwrap_or_default();
        let mut live = Self {
            rows: BTreeMap::new(),
            window: Window::new(select.limit.as_ref(), select.offset.as_ref(), &scope)?,
            cut: false,
            bytes: 0,
            memory: inner.observers.memory.share(),
            too_large: false,
            seen: committed.max(newest),
        };
        let place = Place::new(select, &scope);
        let view = View::Snapshot(inner, &*snapshot);
        let question = Question {
            directives: &select.directives,
            source: &select.source,
            filter: select.filter.as_ref(),
            order_by: &select.order_by,
            is_limited: select.limit.is_some(),
            arrival: Arrival::Any,
            reads: Reads::Documents,
        };
        planned(view, &scope, question, |view, plan| {
            // Documents come in the order of their places: behind those that are kept nothing is wanted.
            let in_order = plan.is_ordered && !(select.order_by.is_empty() && plan.mixes_ids());
            for_each_document(view, &scope, &question, plan, &mut |found| {
                // A row of its own: a view of a cached block would keep the whole block.
                let row = || Row::new(place.found_row(found).bytes());
                live.insert(place.of(found.id()?, found.document), row);
                live.cut |= in_order && live.rows.len() > live.kept();
                let is_done = live.cut && in_order;
                Ok(if is_done || live.too_large { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
        })?;
        Ok((!live.too_large).then_some(live))
    }

    /// Whether it would take more memory than it may.
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// How many rows are kept of a window.
    fn kept(&self) -> usize {
        let needed = self.window.needed();
        needed.saturating_add(needed.max(MIN_RESERVE))
    }

    fn insert(&mut self, place: Vec<u8>, row: impl FnOnce() -> Row) {
        if self.cut && self.rows.last_key_value().is_none_or(|(last, _)| place > *last) {
            return;
        }
        let row = row();
        self.remove(&place);
        self.bytes += cost(&place, &row);
        self.rows.insert(place, row);
        // Not one by one: rows that come and go at the end would be cut off every time.
        let kept = self.kept();
        if self.rows.len() > kept.saturating_mul(2) {
            while self.rows.len() > kept
                && let Some((place, row)) = self.rows.pop_last()
            {
                self.bytes -= cost(&place, &row);
            }
            self.cut = true;
        }
        self.too_large |= self.bytes > MAX_LIVE_BYTES || !self.memory.fit(self.bytes);
    }

    fn remove(&mut self, place: &[u8]) {
        if let Some(old) = self.rows.remove(place) {
            self.bytes -= cost(place, &old);
            // Less always fits.
            self.memory.fit(self.bytes);
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
        let scope = super::scope(inner, arguments);
        let place = Place::new(select, &scope);
        let accepts = |document: &ValueRef<'_>| super::accepts(select.filter.as_ref(), &scope, *document);
        for changed in commit.changed.iter().filter(|changed| &*changed.key.collection == collection) {
            let Some(sequence) = changed.sequence else { return false };
            if sequence <= self.seen {
                continue;
            }
            if let Some(before) = changed.before_value().filter(accepts) {
                self.remove(&place.of(&changed.key.id, before));
            }
            if let (Some(holder), Some(after)) = (&changed.after, changed.after_value().filter(accepts)) {
                self.insert(place.of(&changed.key.id, after), || place.row(holder, after));
            }
        }
        !self.cut || self.rows.len() >= self.window.needed()
    }

    /// The result.
    pub(crate) fn result(&self) -> Vec<Row> {
        self.window.apply(self.rows.values()).cloned().collect()
    }
}

fn cost(place: &[u8], row: &Row) -> usize {
    place.len() + row.bytes().len() + ROW_BYTES
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

    fn found_row(&self, found: &Found<'_>) -> Row {
        self.projector.found_row(&self.scope.context(), found)
    }

    fn row(&self, holder: &Bytes, document: ValueRef<'_>) -> Row {
        self.projector.document_row(&self.scope.context(), holder, document)
    }
}
