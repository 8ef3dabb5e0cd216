//! Access by `_id`.

use std::collections::HashSet;

use ditto_dql::{Context, Item, Source, Test, UseIds};
use ditto_storage::Bytes;
use ditto_value::{Value, key};

use super::Question;
use super::condition::{Condition, Place, tests};
use crate::catalog::Collection;
use crate::error::{DataError, StoreError};
use crate::parameters::kind_of;
use crate::write::key_of_id;

/// Which ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// `USE IDS`.
    Used,
    /// `_id = value`.
    One(Place),
    /// `_id IN list`.
    List(Place),
}

impl Ids {
    /// What the conditions say of the `_id`; `None` if nothing that leads to single documents.
    pub(super) fn of(conditions: &[Condition<'_>]) -> Option<Self> {
        let mut found = None;
        for condition in conditions.iter().filter(|condition| condition.is_of_id()) {
            let mut tests = tests(condition.conjunct);
            match (tests.next(), tests.next()) {
                (Some(Test::Equal(_)), None) => return Some(Self::One(condition.place)),
                (Some(Test::In(_)), None) => found = Some(Self::List(condition.place)),
                _ => {}
            }
        }
        found
    }

    /// The condition that every document reached so fulfils, as keys are equal exactly if the values are.
    pub(crate) fn answers(self) -> Option<Place> {
        match self {
            Self::Used => None,
            Self::One(place) | Self::List(place) => Some(place),
        }
    }
}

/// The `documents` keys of these ids, each once, in the order given.
pub(crate) fn keys(
    ids: Ids,
    question: &Question<'_>,
    collection: &Collection,
    context: &Context<'_>,
) -> Result<Vec<Bytes>, StoreError> {
    let mut keys = Keys { collection, keys: Vec::new() };
    match ids {
        Ids::Used => match &question.source.ids {
            Some(UseIds::Each(ids)) => ids.iter().for_each(|id| keys.add(id.evaluate(context))),
            Some(UseIds::List(list)) => {
                let list = list.evaluate(context);
                if let Some(found) = not_an_array(&list) {
                    return Err(DataError::IdList { found }.into());
                }
                keys.add_all(list);
            }
            None => {}
        },
        Ids::One(place) | Ids::List(place) => {
            match place.find(question.filter).and_then(|condition| tests(condition).next()) {
                Some(Test::Equal(value)) => keys.add(value.evaluate(context)),
                Some(Test::In(list)) => keys.add_all(list.evaluate(context)),
                _ => {}
            }
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
    /// A value that is too long to be an id is the id of nothing, and NULL is equal to nothing.
    fn add_value(&mut self, id: &Value) {
        if *id != Value::Null {
            self.keys.extend(key_of_id(self.collection.id, id).ok().map(Bytes::from));
        }
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
