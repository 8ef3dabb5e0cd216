//! The planner: how the documents of a statement are reached.
//!
//! The filter of the statement is applied to every document again, so that a plan may read too many documents
//! but never too few. Only a list of ids is not gone through again for each of them: see [`answered`].

use std::collections::HashSet;

use ditto_dql::{Context, Expr, Item, Namespace, Source, Test, UseIds};
use ditto_storage::Bytes;
use ditto_value::{Value, key};

use crate::catalog::Collection;
use crate::error::{DataError, StoreError};
use crate::parameters::kind_of;
use crate::write::key_of_id;

/// How the documents are reached, as far as it can be said without arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Access<'q> {
    /// The rows of a virtual collection.
    Virtual,
    /// `USE IDS`.
    Ids(&'q UseIds),
    /// `_id = value`.
    Id(&'q Expr),
    /// `_id IN list`.
    IdIn(&'q Expr),
    /// All documents of the collection.
    Scan,
}

/// Collections that are read from the registry of virtual ones.
pub(crate) fn is_virtual(source: &Source) -> bool {
    source.collection.namespace == Namespace::System || source.collection.name.starts_with("__")
}

/// Chooses the way with the fewest documents.
pub(crate) fn access<'q>(source: &'q Source, filter: Option<&'q Expr>) -> Access<'q> {
    if is_virtual(source) {
        return Access::Virtual;
    }
    if let Some(ids) = &source.ids {
        return Access::Ids(ids);
    }
    let mut best = Access::Scan;
    for conjunct in filter.map(Expr::conjuncts).unwrap_or_default() {
        let Some(predicate) = conjunct.predicate() else { continue };
        if !matches!(predicate.path, [name] if name == "_id") {
            continue;
        }
        match predicate.test {
            Test::Equal(value) => return Access::Id(value),
            Test::In(list) => best = Access::IdIn(list),
            _ => {}
        }
    }
    best
}

/// The condition that every document reached so fulfils: `_id IN list`, whose keys are equal exactly if the values
/// are. To ask it again would cost documents × ids.
pub(crate) fn answered<'q>(access: Access<'q>, filter: Option<&'q Expr>) -> Option<&'q Expr> {
    let Access::IdIn(used) = access else { return None };
    filter?.conjuncts().iter().find(|conjunct| {
        let predicate = conjunct.predicate();
        matches!(predicate, Some(predicate) if matches!(predicate.test, Test::In(list) if std::ptr::eq(list, used)))
    })
}

/// The `documents` keys of an access by id, each once, in the order given; `None` for other accesses.
pub(crate) fn keys(
    access: Access<'_>,
    collection: &Collection,
    context: &Context<'_>,
) -> Result<Option<Vec<Bytes>>, StoreError> {
    let mut keys = Keys { collection, keys: Vec::new() };
    match access {
        Access::Virtual | Access::Scan => return Ok(None),
        Access::Id(value) => keys.add(value.evaluate(context)),
        Access::IdIn(list) => keys.add_all(list.evaluate(context)),
        Access::Ids(UseIds::Each(ids)) => ids.iter().for_each(|id| keys.add(id.evaluate(context))),
        Access::Ids(UseIds::List(list)) => {
            let list = list.evaluate(context);
            if let Some(found) = not_an_array(&list) {
                return Err(DataError::IdList { found }.into());
            }
            keys.add_all(list);
        }
    }
    let mut keys = keys.keys;
    if keys.len() > 1 {
        let mut seen = HashSet::with_capacity(keys.len());
        keys.retain(|key| seen.insert(key.clone()));
    }
    Ok(Some(keys))
}

/// The ids of `USE IDS` in their key form, for rows that have no key; `None` without the clause.
pub(crate) fn listed_ids(
    source: &Source,
    context: &Context<'_>,
) -> Result<Option<HashSet<Vec<u8>>>, StoreError> {
    let ids = match &source.ids {
        None => return Ok(None),
        Some(UseIds::Each(ids)) => {
            ids.iter().filter_map(|id| id.evaluate(context).into_value()).map(|id| key::of(&id)).collect()
        }
        Some(UseIds::List(list)) => {
            let list = list.evaluate(context);
            if let Some(found) = not_an_array(&list) {
                return Err(DataError::IdList { found }.into());
            }
            match list.into_value() {
                Some(Value::Array(ids)) => ids.iter().map(key::of).collect(),
                _ => HashSet::new(),
            }
        }
    };
    Ok(Some(ids))
}

struct Keys<'a> {
    collection: &'a Collection,
    keys: Vec<Bytes>,
}

impl Keys<'_> {
    /// A value that is too long to be an id is the id of nothing.
    fn add_value(&mut self, id: &Value) {
        self.keys.extend(key_of_id(self.collection.id, id).ok().map(Bytes::from));
    }

    fn add(&mut self, id: Item<'_>) {
        match id {
            Item::Missing => {}
            Item::Borrowed(id) => self.add_value(id),
            other => other.into_value().iter().for_each(|id| self.add_value(id)),
        }
    }

    fn add_all(&mut self, list: Item<'_>) {
        match list {
            Item::Borrowed(Value::Array(ids)) => ids.iter().for_each(|id| self.add_value(id)),
            other => {
                if let Some(Value::Array(ids)) = other.into_value() {
                    ids.iter().for_each(|id| self.add_value(id));
                }
            }
        }
    }
}

fn not_an_array(item: &Item<'_>) -> Option<&'static str> {
    match item {
        Item::Missing => Some("MISSING"),
        Item::Borrowed(value) => (!matches!(value, Value::Array(_))).then(|| kind_of(value)),
        Item::Owned(value) => (!matches!(value, Value::Array(_))).then(|| kind_of(value)),
        Item::Ref(value) => {
            let value = value.to_value();
            (!matches!(value, Value::Array(_))).then(|| kind_of(&value))
        }
    }
}
