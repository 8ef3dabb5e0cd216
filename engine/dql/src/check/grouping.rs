//! Aggregates and what may stand beside them.

use crate::ast::{Expr, Grouping, Path, Projection, ProjectionItem, Root, Select, SortItem};
use crate::error::{Checked, Fault, Place};

/// An aggregate where there is no group to aggregate.
pub(super) fn refuse_aggregates(expr: &Expr, position: &str) -> Checked<()> {
    match first_aggregate(expr) {
        None => Ok(()),
        Some((name, place)) => Err(Fault::semantics(place, format!("{name} is not allowed {position}"))),
    }
}

fn first_aggregate(expr: &Expr) -> Option<(&'static str, Place)> {
    let mut found = None;
    expr.visit(&mut |expr| {
        if let (Expr::Aggregate { call, .. }, None) = (expr, found) {
            found = Some((call.function.as_str(), call.place));
        }
    });
    found
}

/// Whether a projection has an aggregate.
pub(super) fn collects(projection: &Projection) -> bool {
    let Projection::Items(items) = projection else { return false };
    items.iter().any(|item| match item {
        ProjectionItem::Value { expr, .. } => first_aggregate(expr).is_some(),
        _ => false,
    })
}

/// Rewrites what comes after grouping in terms of keys and aggregates, if the statement groups.
pub(super) fn select(select: &mut Select) -> Checked<()> {
    let sorts = select.order_by.iter().any(|item| first_aggregate(&item.expr).is_some());
    if select.grouping.is_none() && !collects(&select.projection) && !sorts {
        return Ok(());
    }
    let mut grouping = select.grouping.take().unwrap_or_default();
    projection(&mut select.projection, &mut grouping, select.source.place)?;
    if let Some(having) = &mut select.having {
        rewrite(having, &mut grouping)?;
    }
    for SortItem { expr, .. } in &mut select.order_by {
        rewrite(expr, &mut grouping)?;
    }
    select.grouping = Some(grouping);
    Ok(())
}

/// Rewrites a projection in terms of keys and aggregates.
pub(super) fn projection(projection: &mut Projection, grouping: &mut Grouping, source: Place) -> Checked<()> {
    const HINT: &str = "list the grouping expressions and aggregates that the row shall show";
    let Projection::Items(items) = projection else {
        return Err(Fault::semantics(source, "* has no meaning for a group").hint(HINT));
    };
    for item in items {
        match item {
            ProjectionItem::Value { expr, .. } => rewrite(expr, grouping)?,
            ProjectionItem::Members { name, place, .. } => {
                return Err(
                    Fault::semantics(*place, format!("{name}.* has no meaning for a group")).hint(HINT)
                );
            }
            ProjectionItem::Exclude { place, .. } => {
                return Err(Fault::semantics(*place, "MISSING has no meaning for a group").hint(HINT));
            }
        }
    }
    Ok(())
}

fn rewrite(expr: &mut Expr, grouping: &mut Grouping) -> Checked<()> {
    if let Some(slot) = grouping.keys.iter().position(|key| key == expr) {
        let written = Box::new(std::mem::replace(expr, Expr::Missing));
        *expr = Expr::GroupKey { slot, written };
        return Ok(());
    }
    match expr {
        Expr::Aggregate { slot, call } => {
            if let Some(argument) = &call.argument {
                refuse_aggregates(argument, "inside of another aggregate")?;
            }
            let known = grouping.aggregates.iter().position(|known| *known == **call);
            *slot = known.unwrap_or_else(|| {
                grouping.aggregates.push((**call).clone());
                grouping.aggregates.len() - 1
            });
            Ok(())
        }
        Expr::GroupKey { .. } => Ok(()),
        Expr::Path(path) => {
            if let Some(member) = member_of_key(path, grouping) {
                *expr = member;
                return Ok(());
            }
            if matches!(path.root, Root::Binding { .. }) {
                return Ok(());
            }
            let message = format!("{} is neither aggregated nor in GROUP BY", path.steps.join("."));
            Err(Fault::semantics(path.place, message)
                .hint("add it to GROUP BY, or aggregate it, for example with MIN"))
        }
        other => {
            let mut result = Ok(());
            other.for_each_part_mut(&mut |part| {
                if result.is_ok() {
                    result = rewrite(part, grouping);
                }
            });
            result
        }
    }
}

/// `care.light` where `care` is a key.
fn member_of_key(path: &Path, grouping: &Grouping) -> Option<Expr> {
    let (source, members) = path.field()?;
    grouping.keys.iter().enumerate().find_map(|(slot, key)| {
        let (key_source, key_members) = key.field()?;
        let rest = members.strip_prefix(key_members).filter(|_| key_source == source)?;
        let group_key = Expr::GroupKey { slot, written: Box::new(key.clone()) };
        Some(rest.iter().fold(group_key, |of, name| Expr::member(of, name.clone())))
    })
}
