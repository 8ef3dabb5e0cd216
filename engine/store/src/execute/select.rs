//! SELECT: rows are pushed from the source through filter, grouping or ordering, and projection.

use std::collections::HashSet;
use std::ops::ControlFlow;

use ditto_dql::{
    AggregateFunction, Context, Expr, Group, GroupValues, Grouping, Groups, Projection, ProjectionItem,
    Select,
};
use ditto_storage::Bytes;
use ditto_value::{Value, ValueRef, key};

use super::access::{for_each_document, planned};
use super::order::{self, Sorter};
use super::plan::{Access, Arrival, Plan, Question};
use super::scope::{Scope, of_document};
use super::view::View;
use crate::error::{DataError, StoreError};
use crate::layout;
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
    let reads = reads(select);
    planned(view, scope, question(select, reads.as_deref()), |view, plan| match &select.grouping {
        Some(grouping) => grouped(view, scope, plan, select, grouping, window),
        None if plan.is_ordered => streamed(view, scope, plan, select, window),
        None => sorted(view, scope, plan, select, window),
    })
}

/// What a SELECT asks of its source. `reads`: see [`reads`].
pub(crate) fn question<'q>(select: &'q Select, reads: Option<&'q [&'q Expr]>) -> Question<'q> {
    // Of rows that are equal the first one is shown, and sums of floats depend on their order.
    let arrival = match &select.grouping {
        Some(grouping) if counts_only(grouping) => Arrival::Any,
        Some(_) => Arrival::ById,
        None if select.distinct => Arrival::ById,
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
        reads,
        counts: select.grouping.as_ref().is_some_and(|grouping| {
            counts_only(grouping) && grouping.aggregates.iter().all(|aggregate| aggregate.argument.is_none())
        }),
    }
}

/// What is evaluated over the documents of a SELECT besides WHERE and ORDER BY; `None` if it shows whole documents.
pub(crate) fn reads(select: &Select) -> Option<Vec<&Expr>> {
    if let Some(grouping) = &select.grouping {
        let arguments = grouping.aggregates.iter().filter_map(|aggregate| aggregate.argument.as_ref());
        return Some(grouping.keys.iter().chain(arguments).collect());
    }
    let Projection::Items(items) = &select.projection else { return None };
    items
        .iter()
        .map(|item| match item {
            ProjectionItem::Value { expr, .. } => Some(expr),
            ProjectionItem::Members { .. } | ProjectionItem::Exclude { .. } => None,
        })
        .collect()
}

/// Whether the one group that there is does nothing but count.
fn counts_only(grouping: &Grouping) -> bool {
    grouping.keys.is_empty()
        && grouping.aggregates.iter().all(|aggregate| aggregate.function == AggregateFunction::Count)
}

/// Runs a projection over documents.
pub(crate) struct Projector<'q> {
    projection: &'q Projection,
    alias: &'q str,
}

impl<'q> Projector<'q> {
    pub(crate) fn new(projection: &'q Projection, alias: &'q str) -> Self {
        Self { projection, alias }
    }

    /// The row of a document that lies somewhere in `holder`.
    pub(crate) fn document_row(&self, context: &Context<'_>, holder: &Bytes, document: ValueRef<'_>) -> Row {
        match self.projection {
            Projection::All => Row::part(holder.clone(), document),
            Projection::Items(_) => self.row(&of_document(context, document)),
        }
    }

    /// The row of a context that is no single document: a group.
    pub(crate) fn row(&self, context: &Context<'_>) -> Row {
        Row::new(Value::Object(self.projection.row(context, &[self.alias])).encode())
    }
}

/// Lets each row through once, equal numbers being equal whatever their kind.
#[derive(Default)]
struct Distinct(HashSet<Vec<u8>>);

impl Distinct {
    fn is_new(&mut self, row: &Row) -> bool {
        self.0.insert(key::of(row.value()))
    }
}

/// Rows in the order in which the documents come.
fn streamed(
    view: View<'_>,
    scope: &Scope<'_>,
    plan: &Plan<'_>,
    select: &Select,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let projector = Projector::new(&select.projection, select.source.name());
    let context = scope.context();
    let mut distinct = select.distinct.then(Distinct::default);
    let mut skip = window.offset;
    let mut rows = Vec::new();
    for_each_document(view, scope, plan, &mut |_, _, holder, document| {
        if let Some(distinct) = &mut distinct {
            let row = projector.document_row(&context, holder, document);
            if !distinct.is_new(&row) {
                return Ok(ControlFlow::Continue(()));
            }
            if skip == 0 {
                rows.push(row);
            }
        } else if skip == 0 {
            rows.push(projector.document_row(&context, holder, document));
        }
        skip = skip.saturating_sub(1);
        Ok(if rows.len() >= window.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(rows)
}

/// Rows in the order of ORDER BY, for which all documents have to be seen first.
fn sorted(
    view: View<'_>,
    scope: &Scope<'_>,
    plan: &Plan<'_>,
    select: &Select,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let projector = Projector::new(&select.projection, select.source.name());
    let context = scope.context();
    let mut distinct = select.distinct.then(Distinct::default);
    let mut sorter = Sorter::new(window.needed());
    let mut sort_key = Vec::new();
    for_each_document(view, scope, plan, &mut |key, _, holder, document| {
        sort_key.clear();
        order::sort_key(&select.order_by, &of_document(&context, document), &mut sort_key);
        if plan.mixes_ids() {
            sort_key.extend_from_slice(layout::id_of_document_key(key));
        }
        if let Some(distinct) = &mut distinct {
            let row = projector.document_row(&context, holder, document);
            if distinct.is_new(&row) {
                sorter.offer(&sort_key, || row);
            }
        } else {
            sorter.offer(&sort_key, || Row::part(holder.clone(), document));
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
    plan: &Plan<'_>,
    select: &Select,
    grouping: &Grouping,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let groups = match counted(view, plan, grouping)? {
        Some(group) => vec![group],
        None => {
            let context = scope.context();
            let mut groups = Groups::new(grouping);
            for_each_document(view, scope, plan, &mut |_, _, _, document| {
                groups.accept(&of_document(&context, document));
                Ok(ControlFlow::Continue(()))
            })?;
            groups.finish()
        }
    };
    let projector = Projector::new(&select.projection, select.source.name());
    let context = scope.context();
    let mut distinct = select.distinct.then(Distinct::default);
    let mut sorter = Sorter::new(window.needed());
    let mut sort_key = Vec::new();
    for group in &groups {
        let values = GroupValues { keys: &group.keys, aggregates: &group.aggregates };
        let of_group: Context<'_> = of_group(&context, values);
        if select.having.as_ref().is_some_and(|having| !having.accepts(&of_group)) {
            continue;
        }
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

/// The one group of a statement that counts all documents of a collection, which need not be read for that.
fn counted(view: View<'_>, plan: &Plan<'_>, grouping: &Grouping) -> Result<Option<Group>, StoreError> {
    if !matches!(plan.access, Access::Count) {
        return Ok(None);
    }
    let count = match &plan.collection {
        Some(collection) => view.count(collection)?,
        None => 0,
    };
    let aggregates = grouping.aggregates.iter().map(|_| Some(Value::from(count))).collect();
    Ok(Some(Group { keys: Vec::new(), aggregates }))
}
