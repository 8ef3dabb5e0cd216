//! From syntax tree to checked statement: names are resolved, constants hold no fields, aggregates stand where
//! a group exists, constant patterns compile.

mod grouping;
mod names;
mod patterns;
mod usage;

pub use usage::{Usage, UsageError};

use ditto_value::Value;

use crate::ast::{
    Action, AlterSystem, Expr, Grouping, Insert, InsertBody, JoinKind, Path, Projection, ProjectionItem,
    Returning, Select, Selection, SortItem, Source, Statement, Update, UseIds,
};
use crate::error::{Checked, ErrorKind, Fault, Place};
use crate::limits::MAX_JOINS;

use names::{Names, Sources};

/// Checks a statement in place.
pub(crate) fn statement(statement: &mut Statement) -> Checked<()> {
    match statement {
        Statement::Select(select) => self::select(select),
        Statement::Insert(insert) => self::insert(insert),
        Statement::Update(update) => self::update(update),
        Statement::Delete(delete) => {
            selection(&mut delete.selection)?;
            returning(delete.returning.as_mut(), &delete.selection.source)
        }
        Statement::Evict(evict) => {
            selection(&mut evict.selection)?;
            returning(evict.returning.as_mut(), &evict.selection.source)
        }
        Statement::Explain(inner) | Statement::Profile(inner) => self::statement(inner),
        Statement::Advise { statement: inner, .. } => self::statement(inner),
        Statement::AlterSystem(AlterSystem::Set { value, .. }) => constant(value),
        Statement::AlterSystem(_) | Statement::Show(_) => Ok(()),
        Statement::CreateIndex(_) | Statement::DropIndex(_) => Ok(()),
    }
}

/// An expression that is evaluated once, without a document.
fn constant(expr: &mut Expr) -> Checked<()> {
    Names::new(&Sources::none()).resolve(expr)?;
    grouping::refuse_aggregates(expr, "here")
}

fn limits<'e>(limits: impl IntoIterator<Item = &'e mut Option<Expr>>) -> Checked<()> {
    limits.into_iter().flatten().try_for_each(constant)
}

fn use_ids(source: &mut Source) -> Checked<()> {
    match &mut source.ids {
        None => Ok(()),
        Some(UseIds::Each(ids)) => ids.iter_mut().try_for_each(constant),
        Some(UseIds::List(ids)) => constant(ids),
    }
}

pub(crate) fn select(select: &mut Select) -> Checked<()> {
    use_ids(&mut select.source)?;
    select.joins.iter_mut().try_for_each(|join| use_ids(&mut join.source))?;
    if let Some(join) = select.joins.get(MAX_JOINS) {
        let message = format!("a statement joins at most {MAX_JOINS} collections");
        return Err(Fault::new(ErrorKind::Limit, join.source.place, message));
    }
    for (position, join) in select.joins.iter_mut().enumerate() {
        if position > 0 && join.kind == JoinKind::Right {
            return Err(Fault::semantics(join.source.place, "RIGHT JOIN must be the first join"));
        }
    }
    let sources = Sources::new(select.sources())?;
    for (position, join) in select.joins.iter_mut().enumerate() {
        Names::new(&sources.first(position + 2)).resolve(&mut join.on)?;
        grouping::refuse_aggregates(&join.on, "in ON")?;
    }
    let names = || Names::new(&sources);
    if let Some(filter) = &mut select.filter {
        names().resolve(filter)?;
        grouping::refuse_aggregates(filter, "in WHERE")?;
    }
    projection(&mut select.projection, &sources)?;
    if let Some(having) = &mut select.having {
        names().resolve(having)?;
    }
    let aliases = match &select.projection {
        Projection::All => &[],
        Projection::Items(items) => items.as_slice(),
    };
    for SortItem { expr, .. } in &mut select.order_by {
        names().with_aliases(aliases).resolve(expr)?;
    }
    limits([&mut select.limit, &mut select.offset])?;
    if let Some(grouping) = &mut select.grouping {
        for key in &mut grouping.keys {
            names().resolve(key)?;
            grouping::refuse_aggregates(key, "in GROUP BY")?;
        }
    }
    grouping::select(select)?;
    match select.joins.first() {
        None => Ok(()),
        Some(join) => Err(Fault::new(ErrorKind::Unsupported, join.source.place, "JOIN is not supported yet")
            .hint("query the collections one after the other, the second one with IN and the keys found")),
    }
}

/// Resolves a projection and refuses two members of one name.
fn projection(projection: &mut Projection, sources: &Sources) -> Checked<()> {
    let Projection::Items(items) = projection else { return Ok(()) };
    let mut seen = std::collections::BTreeSet::new();
    for item in items {
        match item {
            ProjectionItem::Members { source, name, place } => *source = sources.find(name, *place)?,
            ProjectionItem::Exclude { steps, .. } => sources.strip_name(steps),
            ProjectionItem::Value { expr, name, place, .. } => {
                Names::new(sources).resolve(expr)?;
                if !seen.insert(name.clone()) {
                    return Err(Fault::semantics(*place, format!("two items of the row are named {name}"))
                        .hint("give one of them another name with AS"));
                }
            }
        }
    }
    Ok(())
}

fn returning(returning: Option<&mut Returning>, source: &Source) -> Checked<()> {
    let Some(returning) = returning else { return Ok(()) };
    let sources = Sources::new(std::iter::once(source))?;
    projection(&mut returning.projection, &sources)?;
    let mut grouping = Grouping::default();
    if grouping::collects(&returning.projection) {
        grouping::projection(&mut returning.projection, &mut grouping, source.place)?;
        returning.grouping = Some(grouping);
    }
    Ok(())
}

fn insert(insert: &mut Insert) -> Checked<()> {
    match &mut insert.body {
        InsertBody::Select(select) => self::select(select)?,
        InsertBody::Documents { documents, .. } => {
            for document in documents {
                constant_names(document, insert.target.place)?;
                constant(document)?;
            }
        }
    }
    returning(insert.returning.as_mut(), &insert.target)
}

/// In documents, names of members must be written as strings.
fn constant_names(document: &Expr, place: Place) -> Checked<()> {
    let mut fault = None;
    document.visit(&mut |expr| {
        let Expr::Object(members) = expr else { return };
        for (name, _) in members {
            if !matches!(name, Expr::Literal(Value::String(_))) && fault.is_none() {
                let place = match name {
                    Expr::Path(Path { place, .. }) => *place,
                    _ => place,
                };
                let found =
                    Fault::semantics(place, format!("the name of a member must be a string, found {name}"));
                fault = Some(match name {
                    Expr::Path(path) => found.hint(format!("write it in quotes: '{}'", path.steps.join("."))),
                    _ => found,
                });
            }
        }
    });
    fault.map_or(Ok(()), Err)
}

fn selection(selection: &mut Selection) -> Checked<()> {
    use_ids(&mut selection.source)?;
    let sources = Sources::new(std::iter::once(&selection.source))?;
    let names = || Names::new(&sources);
    if let Some(filter) = &mut selection.filter {
        names().resolve(filter)?;
        grouping::refuse_aggregates(filter, "in WHERE")?;
    }
    for SortItem { expr, .. } in &mut selection.order_by {
        names().resolve(expr)?;
        grouping::refuse_aggregates(expr, "in ORDER BY of this statement")?;
    }
    limits([&mut selection.limit, &mut selection.offset])
}

fn update(update: &mut Update) -> Checked<()> {
    selection(&mut update.selection)?;
    let sources = Sources::new(std::iter::once(&update.selection.source))?;
    for change in &mut update.changes {
        sources.strip_name(&mut change.path);
        if change.path.first().is_some_and(|name| name == "_id") {
            return Err(Fault::semantics(change.place, "_id of a document cannot be changed")
                .hint("insert a copy under the new id and delete this document"));
        }
        match &mut change.action {
            Action::Set(value) | Action::Increment(value) | Action::PnIncrement(value) => {
                Names::new(&sources).resolve(value)?;
                grouping::refuse_aggregates(value, "in UPDATE")?;
            }
            Action::Restart(value) => {
                if let Some(value) = value {
                    Names::new(&sources).resolve(value)?;
                    grouping::refuse_aggregates(value, "in UPDATE")?;
                }
            }
            Action::SetDefault | Action::Unset => {}
        }
    }
    refuse_overlaps(update)?;
    returning(update.returning.as_mut(), &update.selection.source)
}

/// Two changes of one path, or of a path and one inside it, have no order.
fn refuse_overlaps(update: &Update) -> Checked<()> {
    let mut changes: Vec<_> = update.changes.iter().map(|change| (&change.path, change.place)).collect();
    changes.sort_by(|left, right| left.0.cmp(right.0));
    for pair in changes.windows(2) {
        if let [(first, _), (second, place)] = pair
            && second.starts_with(first)
        {
            return Err(if first == second {
                Fault::semantics(*place, format!("{} is changed twice", second.join(".")))
            } else {
                let (outer, inner) = (first.join("."), second.join("."));
                Fault::semantics(
                    *place,
                    format!("{inner} is changed together with {outer}, which contains it"),
                )
            });
        }
    }
    Ok(())
}
