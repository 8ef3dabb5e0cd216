//! SELECT: rows are pushed from the source through filter, grouping or ordering, and projection.

use std::collections::HashSet;
use std::ops::ControlFlow;

use ditto_dql::{AggregateFunction, Context, Expr, Group, GroupValues, Grouping, Groups, Projection, Select};
use ditto_storage::Bytes;
use ditto_value::{Value, ValueRef, key};

use super::access::{count_documents, for_each_behind, for_each_document, planned};
use super::order::{self, Sorter};
use super::plan::{Access, Arrival, Plan, Question, Reads};
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
    question: &Question<'_>,
    plan: &Plan,
    select: &Select,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let projector = Projector::new(&select.projection, select.source.name());
    let context = scope.context();
    let mut distinct = select.distinct.then(Distinct::default);
    // OFFSET skips documents, or distinct rows.
    let (skipped, mut skip) = if select.distinct { (0, window.offset) } else { (window.offset, 0) };
    let mut rows = Vec::new();
    for_each_behind(view, scope, question, plan, skipped as u64, &mut |_, _, holder, document| {
        let row = projector.document_row(&context, holder, document);
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
    let mut distinct = select.distinct.then(Distinct::default);
    let mut sorter = Sorter::new(window.needed());
    let mut sort_key = Vec::new();
    for_each_document(view, scope, question, plan, &mut |key, _, holder, document| {
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
    question: &Question<'_>,
    plan: &Plan,
    select: &Select,
    grouping: &Grouping,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let groups = match counted(view, scope, question, plan, grouping)? {
        Some(group) => vec![group],
        None => {
            let context = scope.context();
            let mut groups = Groups::new(grouping);
            for_each_document(view, scope, question, plan, &mut |_, _, _, document| {
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

/// The one group of a statement that does nothing but count documents: they need not be looked at if the collection or an
/// index knows how many they are.
fn counted(
    view: View<'_>,
    scope: &Scope<'_>,
    question: &Question<'_>,
    plan: &Plan,
    grouping: &Grouping,
) -> Result<Option<Group>, StoreError> {
    if !counts_only(grouping) || grouping.aggregates.iter().any(|aggregate| aggregate.argument.is_some()) {
        return Ok(None);
    }
    let count = match (&plan.access, &plan.collection) {
        (Access::Count, Some(collection)) => view.count(collection)?,
        (Access::Count, None) => 0,
        _ => count_documents(view, scope, question, plan)?,
    };
    let aggregates = grouping.aggregates.iter().map(|_| Some(Value::from(count))).collect();
    Ok(Some(Group { keys: Vec::new(), aggregates }))
}
