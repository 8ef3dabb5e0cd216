//! EXPLAIN: the plan as a tree of operators, for people to read.

use ditto_dql::{Delete, Evict, Expr, InsertBody, Select, Selection, SortItem, Source, Statement, UseIds};
use ditto_value::{Object, Value};

use super::plan::{self, Access};
use super::select::counts_only;
use crate::error::StoreError;

/// The row `{plan: …}`.
pub(crate) fn explain(statement: &Statement) -> Result<Object, StoreError> {
    let mut steps = Vec::new();
    match statement {
        Statement::Select(statement) => select(statement, &mut steps),
        Statement::Insert(statement) => {
            match &statement.body {
                InsertBody::Documents { initial, documents } => steps.push(operator(
                    "values",
                    [
                        ("expressions", Value::from(documents.len() as u64)),
                        ("initial", Value::Bool(*initial)),
                    ],
                )),
                InsertBody::Select(inner) => select(inner, &mut steps),
            }
            steps.push(target("insert", &statement.target));
        }
        Statement::Update(statement) => {
            selection(&statement.selection, &mut steps);
            steps.push(target("update", &statement.selection.source));
        }
        Statement::Delete(Delete { selection: selected, .. }) => {
            selection(selected, &mut steps);
            steps.push(target("delete", &selected.source));
        }
        Statement::Evict(Evict { selection: selected, .. }) => {
            selection(selected, &mut steps);
            steps.push(target("evict", &selected.source));
        }
        other => return Err(super::not_allowed(other, "EXPLAIN")),
    }
    let plan = operator("sequence", [("children", Value::Array(steps))]);
    Ok(Object::from([("plan", plan)]))
}

fn operator<const N: usize>(name: &str, members: [(&str, Value); N]) -> Value {
    let mut object: Object = members.into_iter().collect();
    object.insert("#operator", name);
    Value::Object(object)
}

fn target(name: &str, source: &Source) -> Value {
    operator(name, [("collection", Value::from(source.collection.name.as_str()))])
}

fn select(select: &Select, steps: &mut Vec<Value>) {
    match &select.grouping {
        Some(grouping) if counts_only(select, grouping) => steps.push(target("countScan", &select.source)),
        grouping => {
            source(&select.source, select.filter.as_ref(), steps);
            if let Some(grouping) = grouping {
                let keys = grouping.keys.iter().map(text).collect::<Vec<_>>();
                let aggregates = grouping
                    .aggregates
                    .iter()
                    .map(|aggregate| Value::from(aggregate.function.as_str()))
                    .collect::<Vec<_>>();
                steps.push(operator("group", [("keys", keys.into()), ("aggregates", aggregates.into())]));
            }
        }
    }
    if let Some(having) = &select.having {
        steps.push(operator("filter", [("condition", text(having))]));
    }
    steps.push(operator("projection", []));
    if select.distinct {
        steps.push(operator("distinct", []));
    }
    window(&select.order_by, select.limit.as_ref(), select.offset.as_ref(), steps);
}

fn selection(selection: &Selection, steps: &mut Vec<Value>) {
    source(&selection.source, selection.filter.as_ref(), steps);
    window(&selection.order_by, selection.limit.as_ref(), selection.offset.as_ref(), steps);
}

fn window(order_by: &[SortItem], limit: Option<&Expr>, offset: Option<&Expr>, steps: &mut Vec<Value>) {
    if !order_by.is_empty() {
        let keys = order_by
            .iter()
            .map(|item| {
                let direction = if item.descending { "desc" } else { "asc" };
                Value::Object(Object::from([
                    ("expr", text(&item.expr)),
                    ("direction", Value::from(direction)),
                ]))
            })
            .collect::<Vec<_>>();
        steps.push(operator("sort", [("keys", keys.into())]));
    }
    if limit.is_some() || offset.is_some() {
        let mut members = Object::new();
        limit.iter().for_each(|limit| drop(members.insert("limit", text(limit))));
        offset.iter().for_each(|offset| drop(members.insert("offset", text(offset))));
        members.insert("#operator", "limit");
        steps.push(Value::Object(members));
    }
}

fn source(source: &Source, filter: Option<&Expr>, steps: &mut Vec<Value>) {
    let collection = || Value::from(source.collection.name.as_str());
    let alias = || Value::from(source.name());
    let scan = |datasource: &str| {
        let path = Object::from([("full_scan", Object::new())]);
        operator(
            "scan",
            [
                ("collection", collection()),
                ("alias", alias()),
                ("datasource", Value::from(datasource)),
                ("descriptor", Object::from([("path", path)]).into()),
            ],
        )
    };
    let ids =
        |ids: Value| operator("idScan", [("collection", collection()), ("alias", alias()), ("ids", ids)]);
    let by_id = match plan::access(source, filter) {
        Access::Virtual => {
            steps.push(scan("system"));
            None
        }
        Access::Scan => {
            steps.push(scan("default"));
            None
        }
        Access::Id(value) | Access::IdIn(value) => Some(ids(text(value))),
        Access::Ids(UseIds::Each(each)) => Some(ids(each.iter().map(text).collect::<Vec<_>>().into())),
        Access::Ids(UseIds::List(list)) => Some(ids(text(list))),
    };
    if let Some(by_id) = by_id {
        steps.push(by_id);
        steps.push(operator("fetch", []));
    }
    if let Some(filter) = filter {
        steps.push(operator("filter", [("condition", text(filter))]));
    }
}

fn text(expr: &Expr) -> Value {
    Value::String(expr.to_string())
}
