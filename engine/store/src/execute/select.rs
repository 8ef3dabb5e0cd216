//! SELECT: rows are pushed from the source through filter, grouping or ordering, and projection.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ops::ControlFlow;

use ditto_dql::{
    AggregateFunction, Context, Expr, Group, GroupValues, Grouping, Groups, Item, Projection, ProjectionItem,
    Select,
};
use ditto_storage::Bytes;
use ditto_value::{Value, ValueRef, Writer, key};

use super::access::{count_documents, for_each_behind, for_each_document, planned};
use super::edges::Edges;
use super::found::Found;
use super::order::{self, Sorter};
use super::plan::{Access, Arrival, Plan, Question, Reads, Shortcut};
use super::running::{Running, Tally};
use super::scope::{Scope, of_document};
use super::view::View;
use crate::error::{DataError, StoreError};
use crate::result::Row;

/// LIMIT and OFFSET.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub offset: usize,
    pub limit: usize,
}

impl Window {
    pub(crate) fn new(
        limit: Option<&Expr>,
        offset: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            limit: count("LIMIT", limit, scope)?.unwrap_or(usize::MAX),
            offset: count("OFFSET", offset, scope)?.unwrap_or(0),
        })
    }

    /// How many rows are needed before OFFSET is taken off.
    pub(crate) fn needed(&self) -> usize {
        self.limit.saturating_add(self.offset)
    }

    /// Takes what lies in the window.
    pub(crate) fn apply<T>(&self, rows: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        rows.skip(self.offset).take(self.limit)
    }
}

fn count(clause: &'static str, expr: Option<&Expr>, scope: &Scope<'_>) -> Result<Option<usize>, StoreError> {
    let Some(expr) = expr else { return Ok(None) };
    let value = expr.evaluate(&scope.context()).into_value();
    let number = match &value {
        Some(Value::Int(number)) => usize::try_from(*number).ok(),
        Some(Value::UInt(_)) => Some(usize::MAX),
        _ => None,
    };
    match number {
        Some(number) => Ok(Some(number)),
        None => {
            let found = value.map_or_else(|| "MISSING".to_string(), |value| value.to_json());
            Err(DataError::Count { clause, found }.into())
        }
    }
}

/// Runs a SELECT.
pub(crate) fn select(view: View<'_>, scope: &Scope<'_>, select: &Select) -> Result<Vec<Row>, StoreError> {
    if !select.joins.is_empty() {
        return Err(StoreError::unsupported("JOIN"));
    }
    let window = Window::new(select.limit.as_ref(), select.offset.as_ref(), scope)?;
    if window.limit == 0 {
        return Ok(Vec::new());
    }
    let question = question(select);
    planned(view, scope, question, |view, plan| match &select.grouping {
        Some(grouping) => grouped(view, scope, &question, plan, select, grouping, window),
        None if plan.is_ordered => streamed(view, scope, &question, plan, select, window),
        None => sorted(view, scope, &question, plan, select, window),
    })
}

/// What a SELECT asks of its source.
pub(crate) fn question(select: &Select) -> Question<'_> {
    let arrival = match &select.grouping {
        Some(grouping) if counts_only(grouping) => Arrival::Any,
        Some(grouping) if grouping.keys.is_empty() => Arrival::ById,
        Some(_) => Arrival::AlikeById,
        None if select.distinct => Arrival::AlikeById,
        None => Arrival::Any,
    };
    let is_grouped = select.grouping.is_some();
    Question {
        directives: &select.directives,
        source: &select.source,
        filter: select.filter.as_ref(),
        order_by: if is_grouped { &[] } else { &select.order_by },
        is_limited: select.limit.is_some() && !is_grouped && !select.distinct,
        arrival,
        reads: match &select.grouping {
            Some(grouping) => Reads::Groups(grouping),
            None => Reads::Projection(&select.projection),
        },
    }
}

/// Whether the one group that there is does nothing but count.
fn counts_only(grouping: &Grouping) -> bool {
    grouping.keys.is_empty()
        && grouping.aggregates.iter().all(|aggregate| aggregate.function == AggregateFunction::Count)
}

/// Whether the one group that there is does nothing but count documents.
pub(crate) fn counts_documents(grouping: &Grouping) -> bool {
    counts_only(grouping) && grouping.aggregates.iter().all(|aggregate| aggregate.argument.is_none())
}

/// Runs a projection over documents.
pub(crate) struct Projector<'q> {
    projection: &'q Projection,
    alias: &'q str,
    /// The items by name, if each is but a value.
    values: Option<Vec<(&'q str, &'q Expr)>>,
    writer: RefCell<Writer>,
}

impl<'q> Projector<'q> {
    pub(crate) fn new(projection: &'q Projection, alias: &'q str) -> Self {
        Self { projection, alias, values: values(projection), writer: RefCell::default() }
    }

    /// The row of a document that lies somewhere in `holder`.
    pub(crate) fn document_row(&self, context: &Context<'_>, holder: &Bytes, document: ValueRef<'_>) -> Row {
        match self.projection {
            Projection::All => Row::part(holder.clone(), document),
            Projection::Items(_) => self.row(&of_document(context, document)),
        }
    }

    /// The row of a document that a plan found.
    pub(crate) fn found_row(&self, context: &Context<'_>, found: &Found<'_>) -> Row {
        match self.projection {
            Projection::All => found.row(),
            Projection::Items(_) => self.row(&of_document(context, found.document)),
        }
    }

    /// The row of a context, which may be that of a group.
    pub(crate) fn row(&self, context: &Context<'_>) -> Row {
        let Some(values) = &self.values else {
            return Row::new(Value::Object(self.projection.row(context, &[self.alias])).encode());
        };
        let mut writer = self.writer.borrow_mut();
        writer.bytes_mut().clear();
        writer.object(|members| {
            for (name, expr) in values {
                match expr.evaluate(context) {
                    Item::Missing => {}
                    Item::Ref(value) => members.with(name, |writer| writer.encoded(value.bytes())),
                    Item::Borrowed(value) => members.value(name, value),
                    Item::Owned(value) => members.value(name, &value),
                }
            }
        });
        Row::new(writer.written_after(0))
    }
}

/// The items of a projection in the order of their names, if each is but a value, and no two have one name.
fn values(projection: &Projection) -> Option<Vec<(&str, &Expr)>> {
    let Projection::Items(items) = projection else { return None };
    let values = items.iter().map(|item| match item {
        ProjectionItem::Value { expr, name, .. } => Some((name.as_str(), expr)),
        ProjectionItem::Members { .. } | ProjectionItem::Exclude { .. } => None,
    });
    let mut values: Vec<(&str, &Expr)> = values.collect::<Option<_>>()?;
    values.sort_unstable_by_key(|(name, _)| *name);
    values.is_sorted_by(|(left, _), (right, _)| left < right).then_some(values)
}

/// Lets each row through once, equal numbers being equal whatever their kind.
struct Distinct<'r> {
    running: Option<&'r Running<'r>>,
    seen: HashSet<Vec<u8>>,
    /// The row at hand, encoded.
    encoded: Vec<u8>,
}

impl<'r> Distinct<'r> {
    fn new(scope: &Scope<'r>) -> Self {
        Self { running: scope.running, seen: HashSet::new(), encoded: Vec::new() }
    }

    fn is_new(&mut self, row: &Row) -> bool {
        self.encoded.clear();
        key::encode(row.value(), &mut self.encoded);
        if self.seen.contains(&self.encoded) {
            return false;
        }
        self.seen.insert(self.encoded.clone());
        tally(self.running, |tally| &tally.distinct);
        true
    }
}

/// Counts something that came by, if anybody does.
fn tally(running: Option<&Running<'_>>, number: impl FnOnce(&Tally) -> &Cell<u64>) {
    if let Some(running) = running {
        Tally::count(number(running.tally()));
    }
}

/// Rows in the order in which the documents come.
fn streamed(
    view: View<'_>,
    scope: &Scope<'_>,
    question: &Question<'_>,
    plan: &Plan,
    select: &Select,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let projector = Projector::new(&select.projection, select.source.name());
    let context = scope.context();
    let mut distinct = select.distinct.then(|| Distinct::new(scope));
    // OFFSET skips documents, or distinct rows.
    let (skipped, mut skip) = if select.distinct { (0, window.offset) } else { (window.offset, 0) };
    let mut rows = Vec::new();
    for_each_behind(view, scope, question, plan, skipped as u64, &mut |found| {
        let row = projector.found_row(&context, found);
        if distinct.as_mut().is_some_and(|distinct| !distinct.is_new(&row)) {
            return Ok(ControlFlow::Continue(()));
        }
        if skip > 0 {
            skip -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        rows.push(row);
        Ok(if rows.len() >= window.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(rows)
}

/// Rows in the order of ORDER BY, for which all documents have to be seen first.
fn sorted(
    view: View<'_>,
    scope: &Scope<'_>,
    question: &Question<'_>,
    plan: &Plan,
    select: &Select,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let projector = Projector::new(&select.projection, select.source.name());
    let context = scope.context();
    let mut distinct = select.distinct.then(|| Distinct::new(scope));
    let mut sorter = Sorter::new(window.needed());
    let mut sort_key = Vec::new();
    let mixes_ids = plan.mixes_ids();
    for_each_document(view, scope, question, plan, &mut |found| {
        sort_key.clear();
        order::sort_key(&select.order_by, &of_document(&context, found.document), &mut sort_key);
        if mixes_ids {
            sort_key.extend_from_slice(found.id()?);
        }
        if let Some(distinct) = &mut distinct {
            let row = projector.found_row(&context, found);
            if distinct.is_new(&row) {
                sorter.offer(&sort_key, || row);
            }
        } else {
            sorter.offer(&sort_key, || found.row());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let rows = window.apply(sorter.finish());
    Ok(match &select.projection {
        Projection::Items(_) if !select.distinct => {
            rows.map(|document| projector.row(&of_document(&context, document.value()))).collect()
        }
        _ => rows.collect(),
    })
}

fn grouped(
    view: View<'_>,
    scope: &Scope<'_>,
    question: &Question<'_>,
    plan: &Plan,
    select: &Select,
    grouping: &Grouping,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let groups = match short(view, scope, question, plan, grouping)? {
        Some(group) => vec![group],
        None => {
            let context = scope.context();
            let mut groups = Groups::new(grouping);
            for_each_document(view, scope, question, plan, &mut |found| {
                groups.accept(&of_document(&context, found.document));
                Ok(ControlFlow::Continue(()))
            })?;
            groups.finish()
        }
    };
    let projector = Projector::new(&select.projection, select.source.name());
    let context = scope.context();
    let mut distinct = select.distinct.then(|| Distinct::new(scope));
    let mut sorter = Sorter::new(window.needed());
    let mut sort_key = Vec::new();
    for group in &groups {
        tally(scope.running, |tally| &tally.groups);
        let values = GroupValues { keys: &group.keys, aggregates: &group.aggregates };
        let of_group: Context<'_> = of_group(&context, values);
        if select.having.as_ref().is_some_and(|having| !having.accepts(&of_group)) {
            continue;
        }
        tally(scope.running, |tally| &tally.kept);
        let row = projector.row(&of_group);
        if distinct.as_mut().is_some_and(|distinct| !distinct.is_new(&row)) {
            continue;
        }
        sort_key.clear();
        order::sort_key(&select.order_by, &of_group, &mut sort_key);
        sorter.offer(&sort_key, || row);
    }
    Ok(window.apply(sorter.finish()).collect())
}

/// The context of a finished group.
pub(crate) fn of_group<'short, 'long: 'short>(
    context: &Context<'long>,
    values: GroupValues<'short>,
) -> Context<'short> {
    let mut context: Context<'short> = context.clone();
    context.group = Some(values);
    context
}

/// The one group of a statement that wants but aggregates for which no document has to be looked at.
fn short(
    view: View<'_>,
    scope: &Scope<'_>,
    question: &Question<'_>,
    plan: &Plan,
    grouping: &Grouping,
) -> Result<Option<Group>, StoreError> {
    let group = |aggregates| Some(Group { keys: Vec::new(), aggregates });
    if let Access::Shortcuts(shortcuts) = &plan.access {
        let edges = plan.collection.as_ref().map(|collection| Edges::new(view, scope, question, collection));
        let mut aggregates = Vec::with_capacity(shortcuts.len());
        for (shortcut, call) in shortcuts.iter().zip(&grouping.aggregates) {
            aggregates.push(match (shortcut, &plan.collection, &edges, &call.argument) {
                (Shortcut::Count, collection, ..) => {
                    let count = collection.as_ref().map(|collection| view.count(collection)).transpose()?;
                    Some(Value::from(count.unwrap_or(0)))
                }
                (Shortcut::Edge(edge), _, Some(edges), Some(argument)) => edges.value(edge, argument)?,
                (Shortcut::Edge(_), ..) => None,
            });
        }
        return Ok(group(aggregates));
    }
    if !counts_documents(grouping) {
        return Ok(None);
    }
    let count = count_documents(view, scope, question, plan)?;
    Ok(group(grouping.aggregates.iter().map(|_| Some(Value::from(count))).collect()))
}
