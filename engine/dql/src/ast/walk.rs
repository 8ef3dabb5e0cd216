//! Walking over the parts of expressions and statements.

use super::expression::Expr;
use super::source::{Source, UseIds};
use super::statement::{
    Action, AlterSystem, InsertBody, Projection, ProjectionItem, Returning, Select, Selection, Statement,
};

/// The direct parts of an expression, shared or exclusive.
macro_rules! for_each_part {
    ($expr:expr, $act:expr, $iter:ident, [$($reference:tt)+]) => {
        match $expr {
            Expr::Missing | Expr::Literal(_) | Expr::Parameter(_) | Expr::Path(_) => {}
            Expr::Member { of: part, .. }
            | Expr::Negate(part)
            | Expr::Not(part)
            | Expr::Is { operand: part, .. }
            | Expr::Cast { operand: part, .. }
            | Expr::GroupKey { written: part, .. } => $act(part),
            Expr::Subscript { of: first, index: second }
            | Expr::Arithmetic { left: first, right: second, .. }
            | Expr::Compare { left: first, right: second, .. }
            | Expr::Xor(first, second)
            | Expr::In { operand: first, list: second, .. } => {
                $act(first);
                $act(second);
            }
            Expr::Array(parts) | Expr::And(parts) | Expr::Or(parts) => parts.$iter().for_each($act),
            Expr::Object(members) => {
                for (name, value) in members {
                    $act(name);
                    $act(value);
                }
            }
            Expr::Between { operand, low, high, .. } => {
                $act(operand);
                $act(low);
                $act(high);
            }
            Expr::Like(like) => {
                let like = $($reference)+ **like;
                $act($($reference)+ like.operand);
                $act($($reference)+ like.pattern);
                like.escape.$iter().for_each($act);
            }
            Expr::Case(case) => {
                let case = $($reference)+ **case;
                case.operand.$iter().for_each(|part| $act(part));
                for (when, then) in $($reference)+ case.branches {
                    $act(when);
                    $act(then);
                }
                case.otherwise.$iter().for_each(|part| $act(part));
            }
            Expr::Trim { characters, operand, .. } => {
                characters.$iter().for_each(|part| $act(part));
                $act(operand);
            }
            Expr::Call(call) => call.arguments.$iter().for_each($act),
            Expr::Aggregate { call, .. } => call.argument.$iter().for_each($act),
            Expr::Quantified(quantified) => {
                let quantified = $($reference)+ **quantified;
                quantified.bindings.$iter().for_each(|binding| $act($($reference)+ binding.source));
                $act($($reference)+ quantified.condition);
            }
            Expr::ArrayFor(transform) => {
                let transform = $($reference)+ **transform;
                $act($($reference)+ transform.binding.source);
                $act($($reference)+ transform.result);
                transform.condition.$iter().for_each($act);
            }
            Expr::ObjectFor(transform) => {
                let transform = $($reference)+ **transform;
                $act($($reference)+ transform.binding.source);
                $act($($reference)+ transform.name);
                $act($($reference)+ transform.result);
                transform.condition.$iter().for_each($act);
            }
        }
    };
}

impl Expr {
    /// Calls `seen` for this expression and every one inside it, outermost first.
    pub fn visit<'e>(&'e self, seen: &mut dyn FnMut(&'e Expr)) {
        seen(self);
        self.for_each_part(&mut |part| part.visit(seen));
    }

    fn for_each_part<'e>(&'e self, act: &mut dyn FnMut(&'e Expr)) {
        for_each_part!(self, act, iter, [&]);
    }

    /// Calls `act` for the direct parts of this expression, not for parts of parts.
    pub(crate) fn for_each_part_mut(&mut self, act: &mut dyn FnMut(&mut Expr)) {
        for_each_part!(self, act, iter_mut, [&mut]);
    }
}

impl Statement {
    /// Calls `seen` for every outermost expression of the statement.
    pub fn for_each_expression<'s>(&'s self, seen: &mut dyn FnMut(&'s Expr)) {
        match self {
            Self::Select(select) => of_select(select, seen),
            Self::Insert(insert) => {
                match &insert.body {
                    InsertBody::Documents { documents, .. } => documents.iter().for_each(&mut *seen),
                    InsertBody::Select(select) => of_select(select, seen),
                }
                of_returning(insert.returning.as_ref(), seen);
            }
            Self::Update(update) => {
                for change in &update.changes {
                    match &change.action {
                        Action::Set(value) | Action::Increment(value) | Action::PnIncrement(value) => {
                            seen(value)
                        }
                        Action::Restart(value) => value.iter().for_each(&mut *seen),
                        Action::SetDefault | Action::Unset => {}
                    }
                }
                of_selection(&update.selection, seen);
                of_returning(update.returning.as_ref(), seen);
            }
            Self::Delete(delete) => {
                of_selection(&delete.selection, seen);
                of_returning(delete.returning.as_ref(), seen);
            }
            Self::Evict(evict) => {
                of_selection(&evict.selection, seen);
                of_returning(evict.returning.as_ref(), seen);
            }
            Self::Explain(inner) | Self::Profile(inner) => inner.for_each_expression(seen),
            Self::Advise { statement, .. } => statement.for_each_expression(seen),
            Self::AlterSystem(AlterSystem::Set { value, .. }) => seen(value),
            Self::AlterSystem(_) | Self::Show(_) | Self::CreateIndex(_) | Self::DropIndex(_) => {}
        }
    }
}

fn of_source<'s>(source: &'s Source, seen: &mut dyn FnMut(&'s Expr)) {
    match &source.ids {
        None => {}
        Some(UseIds::Each(ids)) => ids.iter().for_each(seen),
        Some(UseIds::List(ids)) => seen(ids),
    }
}

fn of_projection<'s>(projection: &'s Projection, seen: &mut dyn FnMut(&'s Expr)) {
    let Projection::Items(items) = projection else { return };
    for item in items {
        if let ProjectionItem::Value { expr, .. } = item {
            seen(expr);
        }
    }
}

fn of_returning<'s>(returning: Option<&'s Returning>, seen: &mut dyn FnMut(&'s Expr)) {
    if let Some(returning) = returning {
        of_projection(&returning.projection, seen);
    }
}

fn of_select<'s>(select: &'s Select, seen: &mut dyn FnMut(&'s Expr)) {
    of_projection(&select.projection, seen);
    of_source(&select.source, seen);
    for join in &select.joins {
        of_source(&join.source, seen);
        seen(&join.on);
    }
    select.filter.iter().for_each(&mut *seen);
    select.grouping.iter().flat_map(|grouping| &grouping.keys).for_each(&mut *seen);
    select.having.iter().for_each(&mut *seen);
    select.order_by.iter().for_each(|item| seen(&item.expr));
    select.limit.iter().chain(&select.offset).for_each(seen);
}

fn of_selection<'s>(selection: &'s Selection, seen: &mut dyn FnMut(&'s Expr)) {
    of_source(&selection.source, seen);
    selection.filter.iter().for_each(&mut *seen);
    selection.order_by.iter().for_each(|item| seen(&item.expr));
    selection.limit.iter().chain(&selection.offset).for_each(seen);
}
