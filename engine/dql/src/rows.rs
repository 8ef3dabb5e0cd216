//! Rows and documents out of statements: projections and the documents of INSERT.

use ditto_value::{Object, Value};

use crate::ast::{Insert, InsertBody, Projection, ProjectionItem};
use crate::evaluate::Context;
use crate::functions::kind_name;

/// What INSERT cannot insert.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "document {position} of INSERT is or contains a value of kind {found}; expected an object or an array of objects"
)]
pub struct NotADocument {
    /// Which of the parenthesised expressions, from 1.
    pub position: usize,
    /// The kind found, as `type()` names it.
    pub found: &'static str,
}

impl Projection {
    /// The row for `context`; `aliases` are the names of the sources, for `*` over joined rows.
    ///
    /// For [`Projection::All`] over one source the row is the document itself: better take its stored form.
    pub fn row<'a>(&'a self, context: &Context<'a>, aliases: &[&str]) -> Object {
        let Self::Items(items) = self else {
            return match aliases {
                [] | [_] => context.document.and_then(|document| document.to_object()).unwrap_or_default(),
                aliases => {
                    let document = |(source, alias): (usize, &&str)| {
                        Some(((*alias).to_owned(), context.source(source)?.to_value()))
                    };
                    aliases.iter().enumerate().filter_map(document).collect()
                }
            };
        };
        let mut row = Object::new();
        for item in items {
            match item {
                ProjectionItem::Members { source, .. } => {
                    row.extend(
                        context.source(*source).and_then(|document| document.to_object()).unwrap_or_default(),
                    );
                }
                ProjectionItem::Value { expr, name, .. } => {
                    if let Some(value) = expr.evaluate(context).into_value() {
                        row.insert(name.as_str(), value);
                    }
                }
                ProjectionItem::Exclude { .. } => {}
            }
        }
        for item in items {
            if let ProjectionItem::Exclude { steps, .. } = item {
                exclude(&mut row, steps);
            }
        }
        row
    }
}

/// Removes the member at the end of the path, if it exists.
fn exclude(object: &mut Object, steps: &[String]) {
    match steps {
        [] => {}
        [last] => {
            object.remove(last);
        }
        [first, rest @ ..] => {
            if let Some(Value::Object(inner)) = object.get_mut(first) {
                exclude(inner, rest);
            }
        }
    }
}

impl Insert {
    /// The documents of `DOCUMENTS (…), (…)`, arrays expanded; none for INSERT … SELECT.
    ///
    /// # Errors
    /// The first expression that is neither an object nor an array of objects.
    pub fn documents<'a>(&'a self, context: &Context<'a>) -> Result<Vec<Object>, NotADocument> {
        let InsertBody::Documents { documents, .. } = &self.body else { return Ok(Vec::new()) };
        let mut all = Vec::with_capacity(documents.len());
        for (position, document) in documents.iter().enumerate() {
            let refuse = |value: Option<&Value>| NotADocument {
                position: position + 1,
                found: kind_name(value.map(Value::kind)),
            };
            match document.evaluate(context).into_value() {
                Some(Value::Object(object)) => all.push(object),
                Some(Value::Array(elements)) => {
                    for element in elements {
                        match element {
                            Value::Object(object) => all.push(object),
                            other => return Err(refuse(Some(&other))),
                        }
                    }
                }
                other => return Err(refuse(other.as_ref())),
            }
        }
        Ok(all)
    }
}
