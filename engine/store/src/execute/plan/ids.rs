//! Access by `_id`.

use std::collections::HashSet;

use ditto_dql::{Context, Expr, Item, Source, Test, UseIds};
use ditto_storage::Bytes;
use ditto_value::{Value, key};

use super::condition::Condition;
use crate::catalog::Collection;
use crate::error::{DataError, StoreError};
use crate::parameters::kind_of;
use crate::write::key_of_id;

/// Which ids.
#[derive(Clone, Copy)]
pub(crate) enum Ids<'q> {
    /// `USE IDS`.
    Used(&'q UseIds),
    /// `_id = value`.
    Equal(&'q Expr),
    /// `_id IN list`.
    In {
        list: &'q Expr,
        /// The whole condition. Every document reached so fulfils it, as keys are equal exactly if the values are; to
        /// ask it again would cost documents × ids.
        conjunct: &'q Expr,
    },
}

impl<'q> Ids<'q> {
    /// What the conditions say of the `_id`; `None` if nothing that leads to single documents.
    pub(super) fn of(conditions: &[Condition<'q>]) -> Option<Self> {
        let mut found = None;
        for condition in conditions.iter().filter(|condition| condition.is_of_id()) {
            match &*condition.tests {
                [Test::Equal(value)] => return Some(Self::Equal(value)),
                [Test::In(list)] => found = Some(Self::In { list, conjunct: condition.conjunct }),
                _ => {}
            }
        }
        found
    }

    /// The condition that every document reached so fulfils.
    pub(crate) fn answers(&self) -> Option<&'q Expr> {
        match self {
            Self::In { conjunct, .. } => Some(conjunct),
            Self::Used(_) | Self::Equal(_) => None,
        }
    }
}

/// The `documents` keys of these ids, each once, in the order given.
pub(crate) fn keys(
    ids: Ids<'_>,
    collection: &Collection,
    context: &Context<'_>,
) -> Result<Vec<Bytes>, StoreError> {
    let mut keys = Keys { collection, keys: Vec::new() };
    match ids {
        Ids::Equal(value) => keys.add(value.evaluate(context)),
        Ids::In { list, .. } => keys.add_all(list.evaluate(context)),
        Ids::Used(UseIds::Each(ids)) => ids.iter().for_each(|id| keys.add(id.evaluate(context))),
        Ids::Used(UseIds::List(list)) => {
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
    Ok(keys)
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
