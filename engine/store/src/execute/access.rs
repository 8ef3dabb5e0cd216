//! Running a plan: every document that a statement selects, one after the other.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use ditto_dql::{Context, Expr};
use ditto_storage::{Bytes, Direction};
use ditto_value::{Value, ValueRef, key};

use super::index_rows::malformed;
use super::index_scan::IndexScan;
use super::plan::{self, Access, Arrival, Ids, Plan, Question, Scan, plan};
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
pub(crate) fn planned<'q, T>(
    view: View<'_>,
    scope: &Scope<'_>,
    question: Question<'q>,
    run: impl FnOnce(View<'_>, &Plan<'q>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Indexes hold what a reader without definitions sees.
    let may_use_indexes = Shape::new(question.source, scope.settings).is_plain();
    loop {
        let plan = plan(view, question, may_use_indexes)?;
        let View::Newest(inner) = view else { return run(view, &plan) };
        if !plan.needs_snapshot() {
            return run(view, &plan);
        }
        let snapshot = inner.storage.snapshot();
        // An index that was dropped meanwhile may lack rows in the snapshot.
        if plan.is_current() {
            return run(View::Snapshot(inner, &*snapshot), &plan);
        }
    }
}

/// Calls `each` with every living document that a plan finds.
pub(crate) fn for_each_document(
    view: View<'_>,
    scope: &Scope<'_>,
    plan: &Plan<'_>,
    each: &mut EachDocument<'_>,
) -> Result<(), StoreError> {
    let conjuncts = plan.filter.map(Expr::conjuncts).unwrap_or_default();
    let shape = Shape::new(plan.source, scope.settings);
    let mut run =
        Run { view, context: scope.context(), plan, running: scope.running, conjuncts, shape, each };
    if matches!(plan.access, Access::Virtual) {
        return run.virtual_rows().map(drop);
    }
    let Some(collection) = &plan.collection else { return Ok(()) };
    let flow = match &plan.access {
        Access::Ids(ids) => run.ids(*ids, collection),
        Access::Scan(scan) => run.scan(scan, collection),
        Access::Union(branches) => run.union(branches, collection),
        Access::Intersect(scans) => run.intersection(scans, collection),
        Access::Virtual | Access::Count => Ok(ControlFlow::Continue(())),
    };
    flow.map(drop)
}

/// A plan while it runs.
pub(super) struct Run<'r, 'e> {
    pub view: View<'r>,
    pub context: Context<'r>,
    pub plan: &'r Plan<'r>,
    running: Option<&'r Running<'r>>,
    conjuncts: &'r [Expr],
    shape: Shape,
    each: &'e mut EachDocument<'e>,
}

impl<'r> Run<'r, '_> {
    /// Passes a document on if it fulfils the conditions that are not answered already.
    pub(super) fn offer(
        &mut self,
        key: &Bytes,
        record: &Bytes,
        holder: &Bytes,
        document: ValueRef<'_>,
        is_answered: &dyn Fn(&Expr) -> bool,
    ) -> Flow {
        self.running.map_or(Ok(()), Running::check)?;
        if !self.conjuncts.is_empty() {
            let row = of_document(&self.context, document);
            if !self.conjuncts.iter().all(|conjunct| is_answered(conjunct) || conjunct.accepts(&row)) {
                return Ok(ControlFlow::Continue(()));
            }
        }
        (self.each)(key, record, holder, document)
    }

    /// The same for a record, of which nothing is to be seen if it is a tombstone.
    pub(super) fn offer_record(
        &mut self,
        key: &Bytes,
        record: &Bytes,
        is_answered: &dyn Fn(&Expr) -> bool,
    ) -> Flow {
        self.running.map_or(Ok(()), Running::check)?;
        let Self { context, conjuncts, shape, each, .. } = self;
        let flow = shape.document(record, |holder, document| {
            if !conjuncts.is_empty() {
                let row = of_document(context, document);
                if !conjuncts.iter().all(|conjunct| is_answered(conjunct) || conjunct.accepts(&row)) {
                    return Ok(ControlFlow::Continue(()));
                }
            }
            each(key, record, holder, document)
        })?;
        Ok(flow.unwrap_or(ControlFlow::Continue(())))
    }

    fn virtual_rows(&mut self) -> Flow {
        let source = self.plan.source;
        let registry = &self.view.inner().virtual_collections;
        let ids = plan::listed_ids(source, &self.context)?;
        registry.for_each_row(&source.collection.to_string(), &mut |row| {
            if ids.as_ref().is_some_and(|ids| row.get("_id").is_none_or(|id| !ids.contains(&key::of(id)))) {
                return Ok(ControlFlow::Continue(()));
            }
            let bytes = Bytes::from(Value::Object(row).encode());
            self.offer(&bytes, &bytes, &bytes, ValueRef::from_stored(&bytes), &nothing)
        })
    }

    fn ids(&mut self, ids: Ids<'r>, collection: &Collection) -> Flow {
        let keys = plan::keys(ids, collection, &self.context)?;
        let answered = ids.answers();
        self.fetch(&keys, &|conjunct| answered.is_some_and(|answered| std::ptr::eq(answered, conjunct)))
    }

    /// Offers the documents under these keys, in their order.
    fn fetch<'k>(
        &mut self,
        keys: impl IntoIterator<Item = &'k Bytes>,
        is_answered: &dyn Fn(&Expr) -> bool,
    ) -> Flow {
        for key in keys {
            if let Some(record) = self.view.get(key)?
                && self.offer_record(key, &record, is_answered)?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn scan(&mut self, scan: &Scan<'r>, collection: &Collection) -> Flow {
        let Some(index) = &scan.index else {
            let direction = if scan.backward { Direction::Backward } else { Direction::Forward };
            return self.documents(scan, collection, direction, |run, key, record| {
                run.offer_record(key, record, &nothing)
            });
        };
        let view = self.view;
        let by_id = self.plan.arrival == Arrival::ById && !scan.comes_by_id();
        let scan = IndexScan::new(self, scan, index, collection);
        view.with_index_rows(|rows| if by_id { scan.by_id(rows) } else { scan.in_order(rows) })
    }

    /// Calls `each` with the records in the ranges of a scan of the documents.
    fn documents(
        &mut self,
        scan: &Scan<'r>,
        collection: &Collection,
        direction: Direction,
        mut each: impl FnMut(&mut Self, &Bytes, &Bytes) -> Flow,
    ) -> Flow {
        let mut ranges = scan.ranges(collection, &self.context).list;
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
        access: &Access<'r>,
        collection: &Collection,
        each: &mut dyn FnMut(&mut Self, Bytes) -> Flow,
    ) -> Flow {
        match access {
            Access::Ids(ids) => {
                for key in plan::keys(*ids, collection, &self.context)? {
                    if each(self, key)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            Access::Scan(scan) => self.scan_keys(scan, collection, each),
            Access::Union(_) | Access::Intersect(_) | Access::Virtual | Access::Count => {
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    fn scan_keys(
        &mut self,
        scan: &Scan<'r>,
        collection: &Collection,
        each: &mut dyn FnMut(&mut Self, Bytes) -> Flow,
    ) -> Flow {
        let Some(index) = &scan.index else {
            return self
                .documents(scan, collection, Direction::Forward, |run, key, _| each(run, key.clone()));
        };
        let ranges = scan.ranges(collection, &self.context).list;
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

    fn union(&mut self, branches: &[Access<'r>], collection: &Collection) -> Flow {
        if self.plan.arrival == Arrival::ById {
            let mut found = BTreeSet::new();
            for branch in branches {
                let _ = self.keys(branch, collection, &mut |_, key| {
                    found.insert(key);
                    Ok(ControlFlow::Continue(()))
                })?;
            }
            return self.fetch(&found, &nothing);
        }
        let mut seen = HashSet::new();
        for branch in branches {
            let flow = self.keys(branch, collection, &mut |run, key| {
                if seen.contains(&key) {
                    return Ok(ControlFlow::Continue(()));
                }
                let flow = run.fetch([&key], &nothing)?;
                seen.insert(key);
                Ok(flow)
            })?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Documents that all scans lead to, by `_id`.
    fn intersection(&mut self, scans: &[Scan<'r>], collection: &Collection) -> Flow {
        let mut found: Option<BTreeSet<Bytes>> = None;
        for scan in scans {
            let mut keys = BTreeSet::new();
            let _ = self.scan_keys(scan, collection, &mut |_, key| {
                if found.as_ref().is_none_or(|found| found.contains(&key)) {
                    keys.insert(key);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if keys.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(keys);
        }
        self.fetch(&found.unwrap_or_default(), &nothing)
    }
}

/// Nothing is answered.
fn nothing(_: &Expr) -> bool {
    false
}
