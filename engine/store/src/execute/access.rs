//! Running a plan: every document that a statement selects, one after the other.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use ditto_dql::{Context, Expr};
use ditto_storage::{Bytes, Direction};
use ditto_value::{Value, ValueRef, key};

use super::found::Found;
use super::gathered::Room;
use super::index_rows::malformed;
use super::index_scan::IndexScan;
use super::plan::{self, Access, Ids, KeyRange, Made, Plan, Question, Scan};
use super::running::{Running, Tally};
use super::scope::{Scope, Shape, of_document};
use super::view::View;
use crate::catalog::Collection;
use crate::error::StoreError;
use crate::layout;

/// Is given each document, and may end the scan.
pub(crate) type EachDocument<'f> = dyn FnMut(&Found<'_>) -> Result<ControlFlow<()>, StoreError> + 'f;

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
    let mut run = Run { view, context, question, plan, running, conjuncts, shape: &shape, skipped, each };
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
    let end = &mut |_: &Found<'_>| Ok(ControlFlow::Break(()));
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
    shape: &'r Shape,
    /// So many more documents are found and passed over.
    pub skipped: u64,
    each: &'e mut EachDocument<'e>,
}

/// Whether a conjunct holds for the row of a context.
pub(super) type Holds<'h> = dyn Fn(&Expr, &Context<'_>) -> bool + 'h;

/// Whether a document was offered before, by its `documents` key and its record.
pub(super) type WasOffered<'w> = dyn FnMut(&[u8], &Bytes) -> Result<bool, StoreError> + 'w;

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

    /// Passes over a document of which nothing more has to be known.
    pub(super) fn pass_over(&mut self) -> Result<(), StoreError> {
        self.skipped -= 1;
        if let Some(running) = self.running {
            Tally::count(&running.tally().found);
        }
        self.check()
    }

    /// Passes a document on if it fulfils the conditions; `None` if it is known to.
    pub(super) fn offer(&mut self, found: &Found<'_>, holds: Option<&Holds<'_>>) -> Flow {
        self.check()?;
        let Self { context, conjuncts, running, skipped, each, .. } = self;
        if let (false, Some(holds)) = (conjuncts.is_empty(), holds) {
            let row = of_document(context, found.document);
            if !conjuncts.iter().all(|conjunct| holds(conjunct, &row)) {
                return Ok(ControlFlow::Continue(()));
            }
        }
        if let Some(running) = running {
            Tally::count(&running.tally().found);
        }
        if *skipped > 0 {
            *skipped -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        each(found)
    }

    /// The same for a record, of which nothing is to be seen if it is a tombstone.
    pub(super) fn offer_record(&mut self, key: &[u8], record: &Bytes, holds: Option<&Holds<'_>>) -> Flow {
        let shape = self.shape;
        let flow = shape.document(record, |holder, document| {
            self.offer(&Found::of_record(key, record, holder, document), holds)
        })?;
        match flow {
            Some(flow) => Ok(flow),
            None => self.check().map(|()| ControlFlow::Continue(())),
        }
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
            let found = Found::of_record(&bytes, &bytes, &bytes, ValueRef::from_stored(&bytes));
            self.offer(&found, Some(&asked))
        })
    }

    fn ids(&mut self, ids: Ids, collection: &Collection) -> Flow {
        let answered = ids.answers().and_then(|place| place.find(self.question.filter));
        let holds = |conjunct: &Expr, row: &Context<'_>| {
            answered.is_some_and(|answered| std::ptr::eq(answered, conjunct)) || conjunct.accepts(row)
        };
        // Nothing else is asked.
        let holds: Option<&Holds<'_>> =
            if answered.is_some() && self.conjuncts.len() == 1 { None } else { Some(&holds) };
        if let Ids::One(place) = ids {
            return match plan::key(place, self.question, collection, &self.context) {
                Some(key) => self.fetch(&key, holds),
                None => Ok(ControlFlow::Continue(())),
            };
        }
        let keys = plan::keys(ids, self.question, collection, &self.context)?;
        self.fetch_all(&keys, holds)
    }

    /// Offers the document under a key.
    fn fetch(&mut self, key: &[u8], holds: Option<&Holds<'_>>) -> Flow {
        match self.view.get(key)? {
            Some(record) => self.offer_record(key, &record, holds),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    /// Offers the documents under these keys, in their order.
    fn fetch_all<'k>(
        &mut self,
        keys: impl IntoIterator<Item = &'k Vec<u8>>,
        holds: Option<&Holds<'_>>,
    ) -> Flow {
        for key in keys {
            if self.fetch(key, holds)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn scan(&mut self, scan: &'r Scan, collection: &Collection) -> Flow {
        let Some(index) = &scan.index else {
            let direction = if scan.backward { Direction::Backward } else { Direction::Forward };
            return self.documents(scan, collection, direction, |run, key, record| {
                run.offer_record(key, record, Some(&asked))
            });
        };
        let view = self.view;
        let by_id = self.plan.by_id;
        let scan = IndexScan::new(self, scan, index, collection);
        view.with_index_rows(|rows| if by_id { scan.by_id(rows) } else { scan.in_order(rows) })
    }

    /// Offers all documents, by `_id`, except those that were offered before: what to do when a way leads to more keys than
    /// can be gathered, or takes too long.
    pub(super) fn everything(&mut self, collection: &Collection, was_offered: &mut WasOffered<'_>) -> Flow {
        let all = KeyRange::of_prefix(layout::collection_prefix(collection.id).to_vec());
        let view = self.view;
        view.scan(&all, Direction::Forward, &mut |key, record| {
            if was_offered(key, record)? {
                return self.check().map(|()| ControlFlow::Continue(()));
            }
            self.offer_record(key, record, Some(&asked))
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
        each: &mut dyn FnMut(&mut Self, Vec<u8>) -> Flow,
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
        each: &mut dyn FnMut(&mut Self, Vec<u8>) -> Flow,
    ) -> Flow {
        let Some(index) = &scan.index else {
            return self
                .documents(scan, collection, Direction::Forward, |run, key, _| each(run, key.to_vec()));
        };
        let ranges = scan.ranges(self.question.filter, collection, &self.context).list;
        let view = self.view;
        view.with_index_rows(|rows| {
            for range in &ranges {
                let flow = rows.scan(index, range, Direction::Forward, &mut |row, _| {
                    let id = index.id_of(row).ok_or_else(malformed)?;
                    each(self, layout::document_key(collection.id, id))
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
                    return self.everything(collection, &mut |_, _| Ok(false));
                }
            }
            return self.fetch_all(&found, Some(&asked));
        }
        let mut seen = HashSet::new();
        let mut room = Room::new(self.plan.max_gathered);
        for branch in branches {
            let flow = self.keys(branch, collection, &mut |run, key| {
                if seen.contains(&key) {
                    return Ok(ControlFlow::Continue(()));
                }
                if run.fetch(&key, Some(&asked))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                let flow = room.take(key.len());
                seen.insert(key);
                Ok(flow)
            })?;
            if room.is_used_up() {
                return self.everything(collection, &mut |key, _| Ok(seen.contains(key)));
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Documents that all scans lead to, by `_id`.
    fn intersection(&mut self, scans: &[Scan], collection: &Collection) -> Flow {
        let mut found: Option<BTreeSet<Vec<u8>>> = None;
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
            Some(found) => self.fetch_all(&found, Some(&asked)),
            None => self.everything(collection, &mut |_, _| Ok(false)),
        }
    }
}

/// Every condition is asked.
pub(super) fn asked(conjunct: &Expr, row: &Context<'_>) -> bool {
    conjunct.accepts(row)
}
