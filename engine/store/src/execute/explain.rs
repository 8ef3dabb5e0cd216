//! EXPLAIN: the plan as a tree of operators, for people to read. It shows the very [`Plan`] that the statement would run
//! with.

use ditto_dql::{
    CreateIndex, Delete, End, Evict, Expr, InsertBody, Select, Selection, SortItem, Source, Statement, Test,
    UseIds,
};
use ditto_value::{Object, Value};

use super::access::planned;
use super::plan::{Access, Ids, Question, Scan, tests};
use super::scope::Scope;
use super::view::View;
use super::{mutation, select, system};
use crate::error::StoreError;

/// The row `{plan: …}`.
pub(crate) fn explain(
    view: View<'_>,
    scope: &Scope<'_>,
    statement: &Statement,
) -> Result<Object, StoreError> {
    let mut explanation = Explanation { view, scope, steps: Vec::new() };
    explanation.statement(statement)?;
    let plan = operator("sequence", [("children", Value::Array(explanation.steps))]);
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

struct Explanation<'a> {
    view: View<'a>,
    scope: &'a Scope<'a>,
    steps: Vec<Value>,
}

impl Explanation<'_> {
    fn statement(&mut self, statement: &Statement) -> Result<(), StoreError> {
        match statement {
            Statement::Select(statement) => self.select(statement)?,
            Statement::Insert(statement) => {
                match &statement.body {
                    InsertBody::Documents { initial, documents } => self.steps.push(operator(
                        "values",
                        [
                            ("expressions", Value::from(documents.len() as u64)),
                            ("initial", Value::Bool(*initial)),
                        ],
                    )),
                    InsertBody::Select(inner) => self.select(inner)?,
                }
                self.steps.push(target("insert", &statement.target));
            }
            Statement::Update(update) => {
                self.selection(
                    "update",
                    mutation::question(&update.directives, &update.selection),
                    &update.selection,
                )?;
            }
            Statement::Delete(Delete { directives, selection, .. }) => {
                self.selection("delete", mutation::question(directives, selection), selection)?;
            }
            Statement::Evict(Evict { directives, selection, .. }) => {
                self.selection("evict", mutation::question(directives, selection), selection)?;
            }
            Statement::CreateIndex(CreateIndex { name, collection, keys, .. }) => {
                let keys = keys.iter().map(system::index_key).collect::<Vec<_>>();
                self.steps.push(operator(
                    "createIndex",
                    [
                        ("collection", Value::from(collection.name.as_str())),
                        ("index", Value::from(name.as_str())),
                        ("fields", keys.into()),
                    ],
                ));
            }
            Statement::DropIndex(drop) => self.steps.push(operator(
                "dropIndex",
                [
                    ("collection", Value::from(drop.collection.name.as_str())),
                    ("index", Value::from(drop.name.as_str())),
                ],
            )),
            other => return Err(super::not_allowed(other, "EXPLAIN")),
        }
        Ok(())
    }

    fn select(&mut self, select: &Select) -> Result<(), StoreError> {
        let is_sorted = self.source(select::question(select))?;
        if let Some(grouping) = &select.grouping {
            let keys = grouping.keys.iter().map(text).collect::<Vec<_>>();
            let aggregates = grouping
                .aggregates
                .iter()
                .map(|aggregate| Value::from(aggregate.function.as_str()))
                .collect::<Vec<_>>();
            if !self.steps.last().is_some_and(|step| step.get("#operator") == Some(&"countScan".into())) {
                let members = [("keys", keys.into()), ("aggregates", aggregates.into())];
                self.steps.push(operator("group", members));
            }
        }
        if let Some(having) = &select.having {
            self.steps.push(operator("filter", [("condition", text(having))]));
        }
        self.steps.push(operator("projection", []));
        if select.distinct {
            self.steps.push(operator("distinct", []));
        }
        // What the plan orders are documents; groups are sorted in any case.
        let order_by = if is_sorted && select.grouping.is_none() { &[][..] } else { &select.order_by };
        self.window(order_by, select.limit.as_ref(), select.offset.as_ref());
        Ok(())
    }

    fn selection(
        &mut self,
        name: &str,
        question: Question<'_>,
        selection: &Selection,
    ) -> Result<(), StoreError> {
        let is_sorted = self.source(question)?;
        let order_by = if is_sorted { &[][..] } else { &selection.order_by };
        self.window(order_by, selection.limit.as_ref(), selection.offset.as_ref());
        self.steps.push(target(name, &selection.source));
        Ok(())
    }

    fn window(&mut self, order_by: &[SortItem], limit: Option<&Expr>, offset: Option<&Expr>) {
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
            self.steps.push(operator("sort", [("keys", keys.into())]));
        }
        if limit.is_some() || offset.is_some() {
            let mut members = Object::new();
            limit.iter().for_each(|limit| drop(members.insert("limit", text(limit))));
            offset.iter().for_each(|offset| drop(members.insert("offset", text(offset))));
            members.insert("#operator", "limit");
            self.steps.push(Value::Object(members));
        }
    }

    /// From the source to the filter. Whether the documents then come in the order of ORDER BY.
    fn source(&mut self, question: Question<'_>) -> Result<bool, StoreError> {
        let steps = &mut self.steps;
        planned(self.view, self.scope, question, |_, plan| {
            steps.push(Way(&question).of(&plan.access));
            if is_fetched(&plan.access) {
                steps.push(operator("fetch", []));
            }
            if let Some(filter) = question.filter {
                steps.push(operator("filter", [("condition", text(filter))]));
            }
            Ok(plan.is_ordered)
        })
    }
}

/// Whether documents are read by ids that were found before.
fn is_fetched(access: &Access) -> bool {
    match access {
        Access::Virtual | Access::Count => false,
        Access::Ids(_) | Access::Union(_) | Access::Intersect(_) => true,
        Access::Scan(scan) => scan.index.is_some() && scan.covering.is_none(),
    }
}

/// Shows the way to the documents of a question.
struct Way<'q>(&'q Question<'q>);

impl Way<'_> {
    fn of(&self, access: &Access) -> Value {
        let members = self.source();
        match access {
            Access::Virtual => full_scan(members, "system", false),
            Access::Count => operator("countScan", members),
            Access::Ids(ids) => extended(operator("idScan", members), [("ids", self.ids(*ids))]),
            Access::Scan(scan) => self.scan(scan),
            Access::Union(branches) => {
                let scans = branches.iter().map(|branch| self.of(branch)).collect::<Vec<_>>();
                extended(operator("unionScan", members), [("children", scans.into())])
            }
            Access::Intersect(scans) => {
                let scans = scans.iter().map(|scan| self.scan(scan)).collect::<Vec<_>>();
                extended(operator("intersectScan", members), [("children", scans.into())])
            }
        }
    }

    fn source(&self) -> [(&'static str, Value); 2] {
        let source = self.0.source;
        [("collection", Value::from(source.collection.name.as_str())), ("alias", Value::from(source.name()))]
    }

    fn ids(&self, ids: Ids) -> Value {
        let asked = match ids {
            Ids::Used => None,
            Ids::One(place) | Ids::List(place) => {
                place.find(self.0.filter).and_then(|condition| tests(condition).next())
            }
        };
        match (asked, &self.0.source.ids) {
            (Some(Test::Equal(value)), _) => text(value),
            (Some(Test::In(list)), _) => text(list),
            (_, Some(UseIds::Each(each))) => each.iter().map(text).collect::<Vec<_>>().into(),
            (_, Some(UseIds::List(list))) => text(list),
            (_, None) => Value::Null,
        }
    }

    fn scan(&self, scan: &Scan) -> Value {
        let members = self.source();
        let shown = match &scan.index {
            None if scan.conditions.is_empty() => return full_scan(members, "default", scan.backward),
            None => extended(
                operator("idScan", members),
                [("datasource", Value::from("default")), ("spans", self.spans(scan))],
            ),
            Some(index) => {
                let desc = Object::from([("index", Value::from(&*index.name)), ("spans", self.spans(scan))]);
                extended(
                    operator("indexScan", members),
                    [
                        ("datasource", Value::from("default")),
                        ("desc", desc.into()),
                        ("covering", Value::Bool(scan.covering.is_some())),
                    ],
                )
            }
        };
        if scan.backward { extended(shown, [("backward", Value::Bool(true))]) } else { shown }
    }

    /// A list of spans, each a list with one part for each key. Several ways to fulfil a condition make several spans;
    /// several conditions of one key, all of which must be fulfilled, make several parts.
    fn spans(&self, scan: &Scan) -> Value {
        let mut spans: Vec<Vec<Value>> = vec![Vec::new()];
        for (position, conditions) in scan.conditions.iter().enumerate() {
            let key = match scan.key(position) {
                Some(key) => system::index_key(key),
                None => Object::from([
                    ("direction", Value::from("asc")),
                    ("key", vec![Value::from("_id")].into()),
                ])
                .into(),
            };
            let key = extended(key, [("include_missing", Value::Bool(true))]);
            for condition in conditions {
                let tests = condition.place.find(self.0.filter).into_iter().flat_map(tests);
                let ranges: Vec<Value> = tests.flat_map(|test| ranges(&test)).collect();
                let part = |range: &Value| {
                    Object::from([("index_key", key.clone()), ("range", range.clone())]).into()
                };
                spans = spans
                    .iter()
                    .flat_map(|span| ranges.iter().map(|range| [&span[..], &[part(range)]].concat()))
                    .collect();
            }
        }
        Value::Array(spans.into_iter().map(Value::Array).collect())
    }
}

fn extended<const N: usize>(operator: Value, members: [(&str, Value); N]) -> Value {
    let mut object = match operator {
        Value::Object(object) => object,
        _ => Object::new(),
    };
    members.into_iter().for_each(|(name, value)| drop(object.insert(name, value)));
    Value::Object(object)
}

fn full_scan(members: [(&str, Value); 2], datasource: &str, backward: bool) -> Value {
    let path = Object::from([("full_scan", Object::new())]);
    let scan = extended(
        operator("scan", members),
        [("datasource", Value::from(datasource)), ("descriptor", Object::from([("path", path)]).into())],
    );
    if backward { extended(scan, [("backward", Value::Bool(true))]) } else { scan }
}

/// The ranges of a test.
fn ranges(test: &Test<'_>) -> Vec<Value> {
    let end = |expr: Value, included: bool| {
        Value::Object(Object::from([("expr", expr), ("included", Value::Bool(included))]))
    };
    let range = |low: Option<Value>, high: Option<Value>| {
        let ends = [("low", low), ("high", high)];
        let ends = ends.into_iter().filter_map(|(name, end)| Some((name, end?)));
        Value::Object(ends.collect())
    };
    let one = |expr: Value| vec![range(Some(end(expr.clone(), true)), Some(end(expr, true)))];
    let written = |given: &End<'_>| end(text(given.value), given.included);
    match test {
        Test::Equal(value) => one(text(value)),
        Test::NotEqual(value) => {
            vec![range(None, Some(end(text(value), false))), range(Some(end(text(value), false)), None)]
        }
        Test::In(list) => match list {
            Expr::Literal(Value::Array(elements)) if elements.len() <= MAX_SHOWN => {
                elements.iter().flat_map(|element| one(text(&Expr::Literal(element.clone())))).collect()
            }
            list => vec![Object::from([("in", text(list))]).into()],
        },
        Test::Range { low, high } => vec![range(low.as_ref().map(written), high.as_ref().map(written))],
        Test::Like { pattern, .. } => vec![Object::from([("like", text(pattern))]).into()],
        Test::Null => one("NULL".into()),
        Test::Missing => one("MISSING".into()),
        Test::Boolean(value) => one(if *value { "TRUE" } else { "FALSE" }.into()),
    }
}

/// Longest list of which every element is shown as a span of its own.
const MAX_SHOWN: usize = 16;

fn text(expr: &Expr) -> Value {
    Value::String(expr.to_string())
}
