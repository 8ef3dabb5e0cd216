//! Running a plan: every document that a statement selects, one after the other.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use ditto_dql::{Context, Expr};
use ditto_storage::{Bytes, Direction};
use ditto_value::{Value, ValueRef, key};

use super::gathered::Room;
use super::index_rows::malformed;
use super::index_scan::IndexScan;
use super::plan::{self, Access, Ids, KeyRange, Made, Plan, Question, Scan};
use super::running::Running;
use super::scope::{Scope, Shape, of_document};
use super::view::View;
use crate::catalog::Collection;
use crate::error::StoreError;
use crate::layout;

/// Is given the `documents` key and the record of a document, the bytes that hold its visible form, and that form. Where
/// an index says all that is asked, record and visible form are only the part of the document that is.
pub(crate) type EachDocument<'f> =
    dyn FnMut(&Bytes, &Bytes, &Bytes, ValueRef<'_>) -> Result<ControlFlow<()>, StoreError> + 'f;

type Flow = Result<ControlFlow<()>, StoreError>;

/// Calls `run` with the plan for a question, and with a view of one moment that the plan holds for.
pub(crate) fn planned<T>(
    view: View<'_>,
    scope: &Scope<'_>,
    question: Question<'_>,
    run: impl FnOnce(View<'_>, &Plan) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    loop {
        let made = match scope.plans {
            Some(plans) => plans.plan(view, scope.settings, question)?,
            None => Arc::new(Made::new(view, scope.settings, question)?),
        };
        let plan = &made.plan;
        let View::Newest(inner) = view else { return run(view, plan) };
        if !plan.needs_snapshot() {
            return run(view, plan);
        }
        let snapshot = inner.storage.snapshot();
        // An index that was dropped meanwhile may lack rows in the snapshot.
        if plan.is_current() {
            return run(View::Snapshot(inner, &*snapshot), plan);
        }
    }
}

/// Calls `each` with every living document that a plan finds.
pub(crate) fn for_each_document(
    view: View<'_>,
    scope: &Scope<'_>,
    question: &Question<'_>,
    plan: &Plan,
    each: &mut EachDocument<'_>,
) -> Result<(), StoreError> {
    for_each_behind(view, scope, question, plan, 0, each).map(drop)
}

/// The same for all but the first `skipped` of them, which are not even read if an index alone tells that they are
/// documents of the statement. How many more would have been skipped.
pub(crate) fn for_each_behind(
    view: View<'_>,
    scope: &Scope<'_>,
    question: &Question<'_>,
    plan: &Plan,
    skipped: u64,
    each: &mut EachDocument<'_>,
) -> Result<u64, StoreError> {
    let conjuncts = question.filter.map(Expr::conjuncts).unwrap_or_default();
    let shape = Shape::new(question.source, scope.settings);
    let (context, running) = (scope.context(), scope.running);
    let mut run = Run { view, context, question, plan, running, conjuncts, shape, skipped, each };
    let _ = run.start()?;
    Ok(run.skipped)
}

/// How many documents a plan finds.
pub(crate) fn count_documents(
    view: View<'_>,
    scope: &Scope<'_>,
    question: &Question<'_>,
    plan: &Plan,
) -> Result<u64, StoreError> {
    let end = &mut |_: &Bytes, _: &Bytes, _: &Bytes, _: ValueRef<'_>| Ok(ControlFlow::Break(()));
    Ok(u64::MAX - for_each_behind(view, scope, question, plan, u64::MAX, end)?)
}

/// A plan while it runs.
pub(super) struct Run<'r, 'e> {
    pub view: View<'r>,
    pub context: Context<'r>,
    pub question: &'r Question<'r>,
    pub plan: &'r Plan,
    running: Option<&'r Running<'r>>,
    pub conjuncts: &'r [Expr],
    shape: Shape,
    /// So many more documents are found and passed over.
    pub skipped: u64,
    each: &'e mut EachDocument<'e>,
}

/// Whether a conjunct holds for the row of a context.
pub(super) type Holds<'h> = dyn Fn(&Expr, &Context<'_>) -> bool + 'h;

impl<'r> Run<'r, '_> {
    fn start(&mut self) -> Flow {
        let plan = self.plan;
        if matches!(plan.access, Access::Virtual) {
            return self.virtual_rows();
        }
        let Some(collection) = &plan.collection else { return Ok(ControlFlow::Continue(())) };
        match &plan.access {
            Access::Ids(ids) => self.ids(*ids, collection),
            Access::Scan(scan) => self.scan(scan, collection),
            Access::Union(branches) => self.union(branches, collection),
            Access::Intersect(scans) => self.intersection(scans, collection),
            Access::Virtual | Access::Shortcuts(_) => Ok(ControlFlow::Continue(())),
        }
    }

    /// Whether the statement may go on, asked for each document.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.running.map_or(Ok(()), Running::check)
    }

    /// Passes a document on if it fulfils the conditions.
    pub(super) fn offer(
        &mut self,
        key: &Bytes,
        record: &Bytes,
        holder: &Bytes,
        document: ValueRef<'_>,
        holds: &Holds<'_>,
    ) -> Flow {
        self.check()?;
        let Self { context, conjuncts, skipped, each, .. } = self;
        if !conjuncts.is_empty() {
            let row = of_document(context, document);
            if !conjuncts.iter().all(|conjunct| holds(conjunct, &row)) {
                return Ok(ControlFlow::Continue(()));
            }
        }
        if *skipped > 0 {
            *skipped -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        each(key, record, holder, document)
    }

    /// The same for a record, of which nothing is to be seen if it is a tombstone.
    pub(super) fn offer_record(&mut self, key: &Bytes, record: &Bytes, holds: &Holds<'_>) -> Flow {
        self.check()?;
        let Self { context, conjuncts, shape, skipped, each, .. } = self;
        let flow = shape.document(record, |holder, document| {
            if !conjuncts.is_empty() {
                let row = of_document(context, document);
                if !conjuncts.iter().all(|conjunct| holds(conjunct, &row)) {
                    return Ok(ControlFlow::Continue(()));
                }
            }
            if *skipped > 0 {
                *skipped -= 1;
                return Ok(ControlFlow::Continue(()));
            }
            each(key, record, holder, document)
        })?;
        Ok(flow.unwrap_or(ControlFlow::Continue(())))
    }

    fn virtual_rows(&mut self) -> Flow {
        let source = self.question.source;
        let registry = &self.view.inner().virtual_collections;
        let ids = plan::listed_ids(source, &self.context)?;
        registry.for_each_row(&source.collection.to_string(), &mut |row| {
            if ids.as_ref().is_some_and(|ids| row.get("_id").is_none_or(|id| !ids.contains(&key::of(id)))) {
                return Ok(ControlFlow::Continue(()));
            }
            let bytes = Bytes::from(Value::Object(row).encode());
            self.offer(&bytes, &bytes, &bytes, ValueRef::from_stored(&bytes), &asked)
        })
    }

    fn ids(&mut self, ids: Ids, collection: &Collection) -> Flow {
        let keys = plan::keys(ids, self.question, collection, &self.context)?;
        let answered = ids.answers().and_then(|place| place.find(self.question.filter));
        self.fetch(&keys, &|conjunct, row| {
            answered.is_some_and(|answered| std::ptr::eq(answered, conjunct)) || conjunct.accepts(row)
        })
    }

    /// Offers the documents under these keys, in their order.
    fn fetch<'k>(&mut self, keys: impl IntoIterator<Item = &'k Bytes>, holds: &Holds<'_>) -> Flow {
        for key in keys {
            if let Some(record) = self.view.get(key)?
                && self.offer_record(key, &record, holds)?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn scan(&mut self, scan: &'r Scan, collection: &Collection) -> Flow {
        let Some(index) = &scan.index else {
            let direction = if scan.backward { Direction::Backward } else { Direction::Forward };
            return self.documents(scan, collection, direction, |run, key, record| {
                run.offer_record(key, record, &asked)
            });
        };
        let view = self.view;
        let by_id = self.plan.by_id;
        let scan = IndexScan::new(self, scan, index, collection);
        view.with_index_rows(|rows| if by_id { scan.by_id(rows) } else { scan.in_order(rows) })
    }

    /// Offers all documents, by `_id`, except those under the keys `but`: what to do when a way leads to more keys than can
    /// be gathered.
    pub(super) fn everything(&mut self, collection: &Collection, but: &HashSet<Bytes>) -> Flow {
        let all = KeyRange::of_prefix(layout::collection_prefix(collection.id).to_vec());
        let view = self.view;
        view.scan(&all, Direction::Forward, &mut |key, record| {
            if but.contains(key) {
                return Ok(ControlFlow::Continue(()));
            }
            self.offer_record(key, record, &asked)
        })
    }

    /// Calls `each` with the records in the ranges of a scan of the documents.
    fn documents(
        &mut self,
        scan: &Scan,
        collection: &Collection,
        direction: Direction,
        mut each: impl FnMut(&mut Self, &Bytes, &Bytes) -> Flow,
    ) -> Flow {
        let mut ranges = scan.ranges(self.question.filter, collection, &self.context).list;
        if direction == Direction::Backward {
            ranges.reverse();
        }
        let view = self.view;
        for range in ranges {
            if view.scan(&range, direction, &mut |key, record| each(self, key, record))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Calls `each` with the `documents` keys that a way leads to.
    fn keys(
        &mut self,
        access: &Access,
        collection: &Collection,
        each: &mut dyn FnMut(&mut Self, Bytes) -> Flow,
    ) -> Flow {
        match access {
            Access::Ids(ids) => {
                for key in plan::keys(*ids, self.question, collection, &self.context)? {
                    if each(self, key)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            Access::Scan(scan) => self.scan_keys(scan, collection, each),
            Access::Union(_) | Access::Intersect(_) | Access::Virtual | Access::Shortcuts(_) => {
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    fn scan_keys(
        &mut self,
        scan: &Scan,
        collection: &Collection,
        each: &mut dyn FnMut(&mut Self, Bytes) -> Flow,
    ) -> Flow {
        let Some(index) = &scan.index else {
            return self
                .documents(scan, collection, Direction::Forward, |run, key, _| each(run, key.clone()));
        };
        let ranges = scan.ranges(self.question.filter, collection, &self.context).list;
        let view = self.view;
        view.with_index_rows(|rows| {
            for range in &ranges {
                let flow = rows.scan(index, range, Direction::Forward, &mut |row, _| {
                    let id = index.id_of(row).ok_or_else(malformed)?;
                    each(self, Bytes::from(layout::document_key(collection.id, id)))
                })?;
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Documents that any branch leads to: by `_id`, or branch after branch.
    fn union(&mut self, branches: &[Access], collection: &Collection) -> Flow {
        if self.plan.by_id {
            let mut found = BTreeSet::new();
            let mut room = Room::new(self.plan.max_gathered);
            for branch in branches {
                let flow = self.keys(branch, collection, &mut |_, key| {
                    let length = key.len();
                    Ok(if found.insert(key) { room.take(length) } else { ControlFlow::Continue(()) })
                })?;
                if flow.is_break() {
                    return self.everything(collection, &HashSet::new());
                }
            }
            return self.fetch(&found, &asked);
        }
        let mut seen = HashSet::new();
        let mut room = Room::new(self.plan.max_gathered);
        for branch in branches {
            let flow = self.keys(branch, collection, &mut |run, key| {
                if seen.contains(&key) {
                    return Ok(ControlFlow::Continue(()));
                }
                if run.fetch([&key], &asked)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                let flow = room.take(key.len());
                seen.insert(key);
                Ok(flow)
            })?;
            if room.is_used_up() {
                return self.everything(collection, &seen);
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Documents that all scans lead to, by `_id`.
    fn intersection(&mut self, scans: &[Scan], collection: &Collection) -> Flow {
        let mut found: Option<BTreeSet<Bytes>> = None;
        for scan in scans {
            let mut keys = BTreeSet::new();
            let mut room = Room::new(self.plan.max_gathered);
            let flow = self.scan_keys(scan, collection, &mut |_, key| {
                if found.as_ref().is_some_and(|found| !found.contains(&key)) {
                    return Ok(ControlFlow::Continue(()));
                }
                let flow = room.take(key.len());
                keys.insert(key);
                Ok(flow)
            })?;
            // What finds too many is left to the filter.
            if flow.is_continue() {
                found = Some(keys);
            }
            if found.as_ref().is_some_and(BTreeSet::is_empty) {
                return Ok(ControlFlow::Continue(()));
            }
        }
        match found {
            Some(found) => self.fetch(&found, &asked),
            None => self.everything(collection, &HashSet::new()),
        }
    }
}

/// Every condition is asked.
pub(super) fn asked(conjunct: &Expr, row: &Context<'_>) -> bool {
    conjunct.accepts(row)
}
