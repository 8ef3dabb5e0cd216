//! SELECT: rows are pushed from the source through filter, grouping or ordering, and projection.

use std::collections::HashSet;
use std::ops::ControlFlow;

use ditto_dql::{AggregateFunction, Context, Expr, Group, GroupValues, Grouping, Groups, Projection, Select};
use ditto_storage::Bytes;
use ditto_value::{Value, ValueRef, key};

use super::order::{self, Sorter};
use super::plan::{self, Access};
use super::scope::{Scope, for_each_document, of_document};
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
    match &select.grouping {
        Some(grouping) => grouped(view, scope, select, grouping, window),
        None if select.order_by.is_empty() => unordered(view, scope, select, window),
        None => ordered(view, scope, select, window),
    }
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

fn unordered(
    view: View<'_>,
    scope: &Scope<'_>,
    select: &Select,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let projector = Projector::new(&select.projection, select.source.name());
    let context = scope.context();
    let mut distinct = select.distinct.then(Distinct::default);
    let mut skip = window.offset;
    let mut rows = Vec::new();
    for_each_document(view, scope, &select.source, select.filter.as_ref(), &mut |_, _, holder, document| {
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

fn ordered(
    view: View<'_>,
    scope: &Scope<'_>,
    select: &Select,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let projector = Projector::new(&select.projection, select.source.name());
    let context = scope.context();
    let mut distinct = select.distinct.then(Distinct::default);
    let mut sorter = Sorter::new(window.needed());
    let mut sort_key = Vec::new();
    for_each_document(view, scope, &select.source, select.filter.as_ref(), &mut |_, _, holder, document| {
        sort_key.clear();
        order::sort_key(&select.order_by, &of_document(&context, document), &mut sort_key);
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
    select: &Select,
    grouping: &Grouping,
    window: Window,
) -> Result<Vec<Row>, StoreError> {
    let groups = match counted(view, scope, select, grouping)? {
        Some(group) => vec![group],
        None => {
            let context = scope.context();
            let mut groups = Groups::new(grouping);
            for_each_document(
                view,
                scope,
                &select.source,
                select.filter.as_ref(),
                &mut |_, _, _, document| {
                    groups.accept(&of_document(&context, document));
                    Ok(ControlFlow::Continue(()))
                },
            )?;
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

/// Whether a statement counts all documents of a collection and nothing else, so that it need not read them.
pub(crate) fn counts_only(select: &Select, grouping: &Grouping) -> bool {
    grouping.keys.is_empty()
        && select.filter.is_none()
        && plan::access(&select.source, None) == Access::Scan
        && grouping.aggregates.iter().all(|aggregate| {
            aggregate.function == AggregateFunction::Count
                && aggregate.argument.is_none()
                && !aggregate.distinct
        })
}

fn counted(
    view: View<'_>,
    _scope: &Scope<'_>,
    select: &Select,
    grouping: &Grouping,
) -> Result<Option<Group>, StoreError> {
    if !counts_only(select, grouping) {
        return Ok(None);
    }
    let count = match view.collection(&select.source.collection.name) {
        Some(collection) => view.count(&collection)?,
        None => 0,
    };
    let aggregates = grouping.aggregates.iter().map(|_| Some(Value::from(count))).collect();
    Ok(Some(Group { keys: Vec::new(), aggregates }))
}
