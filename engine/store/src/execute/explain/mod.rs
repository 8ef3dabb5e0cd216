//! EXPLAIN: the plan as a tree of operators, for people to read. It shows the very [`Plan`] that the statement would run
//! with.

mod way;

use ditto_dql::{
    CreateIndex, Delete, Evict, Expr, InsertBody, Select, Selection, SortItem, Source, Statement,
};
use ditto_value::{Object, Value};

use self::way::Way;
use super::access::planned;
use super::plan::{Access, Question};
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

fn flagged(operator: Value, name: &str, is_set: bool) -> Value {
    if is_set { extended(operator, [(name, Value::Bool(true))]) } else { operator }
}

pub(super) fn extended<const N: usize>(operator: Value, members: [(&str, Value); N]) -> Value {
    let mut object = match operator {
        Value::Object(object) => object,
        _ => Object::new(),
    };
    members.into_iter().for_each(|(name, value)| drop(object.insert(name, value)));
    Value::Object(object)
}

fn text(expr: &Expr) -> Value {
    Value::String(expr.to_string())
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
            Statement::Advise { provision, statement } => {
                self.statement(statement)?;
                let children = std::mem::take(&mut self.steps);
                let members = [("provision", Value::Bool(*provision)), ("children", children.into())];
                self.steps.push(operator("advise", members));
            }
            other => return Err(super::not_allowed(other, "EXPLAIN")),
        }
        Ok(())
    }

    fn select(&mut self, select: &Select) -> Result<(), StoreError> {
        let source = self.source(select::question(select))?;
        if let Some(grouping) = &select.grouping
            && !source.is_short
        {
            let keys = grouping.keys.iter().map(text).collect::<Vec<_>>();
            let aggregates = grouping
                .aggregates
                .iter()
                .map(|aggregate| Value::from(aggregate.function.as_str()))
                .collect::<Vec<_>>();
            let group = operator("group", [("keys", keys.into()), ("aggregates", aggregates.into())]);
            let counts_rows = source.is_whole && select::counts_documents(grouping);
            self.steps.push(flagged(group, "countsRows", counts_rows));
        }
        if let Some(having) = &select.having {
            let filter = operator("filter", [("condition", text(having))]);
            self.steps.push(flagged(filter, "ofGroups", true));
        }
        self.steps.push(operator("projection", []));
        if select.distinct {
            self.steps.push(operator("distinct", []));
        }
        // What the plan orders are documents; groups are sorted in any case.
        let order = Order {
            by: &select.order_by,
            comes: source.is_ordered && select.grouping.is_none(),
            passes_rows: source.is_whole && !select.distinct,
        };
        self.window(order, select.limit.as_ref(), select.offset.as_ref());
        Ok(())
    }

    fn selection(
        &mut self,
        name: &str,
        question: Question<'_>,
        selection: &Selection,
    ) -> Result<(), StoreError> {
        let source = self.source(question)?;
        let passes_rows = source.is_whole && name != "evict";
        let order = Order { by: &selection.order_by, comes: source.is_ordered, passes_rows };
        self.window(order, selection.limit.as_ref(), selection.offset.as_ref());
        self.steps.push(target(name, &selection.source));
        Ok(())
    }

    fn window(&mut self, order: Order<'_>, limit: Option<&Expr>, offset: Option<&Expr>) {
        if !order.by.is_empty() && !order.comes {
            let keys = order
                .by
                .iter()
                .map(|item| {
                    let direction = if item.descending { "desc" } else { "asc" };
                    Value::Object(Object::from([
                        ("expr", text(&item.expr)),
                        ("direction", Value::from(direction)),
                    ]))
                })
                .collect::<Vec<_>>();
            let sort = operator("sort", [("keys", keys.into())]);
            self.steps.push(flagged(sort, "bounded", limit.is_some()));
        }
        if limit.is_some() || offset.is_some() {
            let mut step = operator("limit", []);
            for (name, count) in [("limit", limit), ("offset", offset)] {
                if let Some(count) = count {
                    step = extended(step, [(name, text(count))]);
                }
            }
            let step = flagged(step, "stopsScan", order.comes && limit.is_some());
            let passes_rows = order.comes && order.passes_rows && offset.is_some();
            self.steps.push(flagged(step, "passesRows", passes_rows));
        }
    }

    /// From the source to the filter.
    fn source(&mut self, question: Question<'_>) -> Result<Reached, StoreError> {
        let steps = &mut self.steps;
        planned(self.view, self.scope, question, |_, plan| {
            let way = Way { question: &question, plan };
            steps.push(way.whole());
            if way.is_fetched() {
                steps.push(operator("fetch", []));
            }
            if let Some(filter) = question.filter {
                let step = operator("filter", [("condition", text(filter))]);
                steps.push(way.with_texts(step, "answered", way.answered()));
            }
            let conjuncts = question.filter.map(Expr::conjuncts).unwrap_or_default().len();
            Ok(Reached {
                is_ordered: plan.is_ordered,
                is_short: matches!(plan.access, Access::Shortcuts(_)),
                is_whole: matches!(&plan.access, Access::Scan(scan) if scan.is_whole(conjuncts)),
            })
        })
    }
}

/// How the documents of a source come.
struct Reached {
    /// In the order of ORDER BY.
    is_ordered: bool,
    /// Not at all: aggregates are had without them.
    is_short: bool,
    /// Unmarked rows of an index are documents of the statement without more ado.
    is_whole: bool,
}

/// ORDER BY.
struct Order<'q> {
    by: &'q [SortItem],
    /// Documents come in it.
    comes: bool,
    /// What OFFSET passes over are rows of an index.
    passes_rows: bool,
}
