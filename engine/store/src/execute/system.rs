//! SHOW and ALTER SYSTEM, and the rows of `system:indexes` and `system:collections`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ditto_dql::{AlterSystem, IndexKey, Show};
use ditto_value::{Object, Value};

use super::scope::Scope;
use crate::catalog::Collection;
use crate::error::{ParameterError, ParameterProblem, StoreError};
use crate::index::Index;
use crate::parameters::Parameters;
use crate::scopes::{self, Scopes};
use crate::store::Inner;

/// One member per parameter.
pub(crate) fn show(parameters: &Parameters, show: &Show) -> Result<Object, StoreError> {
    match show {
        Show::Parameter(name) => Ok(Object::from([parameters.get(name)?])),
        Show::All(None) => Ok(parameters.list(|_| true)),
        Show::All(Some(pattern)) => Ok(parameters.list(|name| pattern.matches(name))),
    }
}

/// The new values.
pub(crate) fn alter(
    inner: &Arc<Inner>,
    alter: &AlterSystem,
    scope: &Scope<'_>,
) -> Result<Object, StoreError> {
    let parameters = &inner.parameters;
    match alter {
        AlterSystem::Set { name, value } => match value.evaluate(&scope.context()).into_value() {
            Some(value) => set(inner, name, Some(value)),
            None => {
                parameters.get(name)?;
                let problem = ParameterProblem::WrongKind { expected: "a value", found: "MISSING" };
                Err(ParameterError { name: name.clone(), problem }.into())
            }
        },
        AlterSystem::Reset(name) => set(inner, name, None),
        AlterSystem::ResetAll => {
            if writes(inner, alter) {
                scopes::keep(inner, &Scopes::default(), || parameters.reset_all())?;
            } else {
                parameters.reset_all();
            }
            Ok(parameters.list(|_| true))
        }
    }
}

/// Whether a change of parameters writes to the store.
pub(crate) fn writes(inner: &Inner, alter: &AlterSystem) -> bool {
    match alter {
        AlterSystem::Set { name, .. } | AlterSystem::Reset(name) => {
            name.eq_ignore_ascii_case(scopes::PARAMETER)
        }
        AlterSystem::ResetAll => *inner.parameters.scopes().0 != Scopes::default(),
    }
}

fn set(inner: &Arc<Inner>, name: &str, value: Option<Value>) -> Result<Object, StoreError> {
    let parameters = &inner.parameters;
    let (name, value) = parameters.check(name, value)?;
    if name != scopes::PARAMETER {
        return Ok(Object::from([parameters.set(name, Some(value))?]));
    }
    let scopes = Scopes::of(&value).map_err(|problem| ParameterError { name: name.to_string(), problem })?;
    let changed = scopes::keep(inner, &scopes, || parameters.set(name, Some(value)))?;
    Ok(Object::from([changed?]))
}

/// The row of a collection in `system:collections`.
pub(crate) fn collection_row(collection: &Collection) -> Object {
    let count = |number: &AtomicU64| Value::from(number.load(Ordering::Acquire));
    let indexes: Vec<Value> =
        collection.indexes.all().iter().map(|index| Value::from(&*index.name)).collect();
    Object::from([
        ("_id", Value::from(&*collection.name)),
        ("documents", count(&collection.documents)),
        ("evictions", count(&collection.evictions)),
        ("graves", count(&collection.graves)),
        ("indexes", Value::Array(indexes)),
        ("name", Value::from(&*collection.name)),
    ])
}

/// One row for each index of a collection.
pub(crate) fn index_rows(collection: &Collection) -> Vec<Object> {
    collection.indexes.all().iter().map(|index| index_row(collection, index)).collect()
}

fn index_row(collection: &Collection, index: &Index) -> Object {
    let fields = index.keys.iter().map(index_key).collect::<Vec<_>>();
    let mut row = Object::from([
        ("_id", Value::from(format!("{}.{}", collection.name, index.name))),
        ("collection", Value::from(&*collection.name)),
        ("fields", Value::from(fields)),
    ]);
    if index.is_ready() {
        row.insert("state", "ready");
    } else {
        let (indexed, documents) = (index.indexed(), collection.documents.load(Ordering::Acquire));
        row.insert("state", "building");
        row.insert("progress", indexed as f64 / documents.max(indexed).max(1) as f64);
    }
    row
}

/// A key of an index as `system:indexes` and EXPLAIN show it.
pub(crate) fn index_key(key: &IndexKey) -> Value {
    let direction = if key.descending { "desc" } else { "asc" };
    let steps = key.path.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>();
    Object::from([("direction", Value::from(direction)), ("key", Value::from(steps))]).into()
}
