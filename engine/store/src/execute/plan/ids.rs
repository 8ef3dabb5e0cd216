//! Access by `_id`.

use std::collections::HashSet;

use ditto_dql::{Context, Item, Source, Test, UseIds};
use ditto_value::{Value, ValueKind, key as keys_of_values};

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

/// The `documents` key of the one id that a condition leaves; `None` if there can be no such document.
pub(crate) fn key(
    place: Place,
    question: &Question<'_>,
    collection: &Collection,
    context: &Context<'_>,
) -> Option<Vec<u8>> {
    match tests(place.find(question.filter)?).next()? {
        Test::Equal(value) => key_of(collection, &value.evaluate(context)),
        _ => None,
    }
}

/// The `documents` keys of these ids, each once, in the order given.
pub(crate) fn keys(
    ids: Ids,
    question: &Question<'_>,
    collection: &Collection,
    context: &Context<'_>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let of_list = |list: Item<'_>| {
        let mut keys: Vec<Vec<u8>> = elements(&list).filter_map(|id| key_of(collection, &id)).collect();
        let mut seen = HashSet::with_capacity(keys.len());
        keys.retain(|key| seen.insert(key.clone()));
        keys
    };
    Ok(match ids {
        Ids::One(place) => key(place, question, collection, context).into_iter().collect(),
        Ids::List(place) => match place.find(question.filter).and_then(|condition| tests(condition).next()) {
            Some(Test::In(list)) => of_list(list.evaluate(context)),
            _ => Vec::new(),
        },
        Ids::Used => match &question.source.ids {
            Some(UseIds::Each(ids)) => {
                let ids = ids.iter().filter_map(|id| id.evaluate(context).into_value()).collect();
                of_list(Item::Owned(Value::Array(ids)))
            }
            Some(UseIds::List(list)) => {
                let list = list.evaluate(context);
                match not_an_array(&list) {
                    Some(found) => return Err(DataError::IdList { found }.into()),
                    None => of_list(list),
                }
            }
            None => Vec::new(),
        },
    })
}

/// The key of an id. A value that is too long to be an id is the id of nothing, and NULL is equal to nothing.
fn key_of(collection: &Collection, id: &Item<'_>) -> Option<Vec<u8>> {
    match id {
        Item::Missing | Item::Borrowed(Value::Null) | Item::Owned(Value::Null) => None,
        Item::Ref(id) if id.kind() == ValueKind::Null => None,
        Item::Ref(id) => key_of_id(collection.id, *id).ok(),
        Item::Borrowed(id) => key_of_id(collection.id, *id).ok(),
        Item::Owned(id) => key_of_id(collection.id, id).ok(),
    }
}

/// The elements of an array; none of anything else.
fn elements<'i>(list: &'i Item<'_>) -> Box<dyn Iterator<Item = Item<'i>> + 'i> {
    match list {
        Item::Missing => Box::new(std::iter::empty()),
        Item::Ref(list) => Box::new(list.elements().map(Item::Ref)),
        Item::Borrowed(list) => Box::new(list.as_array().into_iter().flatten().map(Item::Borrowed)),
        Item::Owned(list) => Box::new(list.as_array().into_iter().flatten().map(Item::Borrowed)),
    }
}

/// The ids of `USE IDS` in their key form, for rows that have no key; `None` without the clause.
pub(crate) fn listed_ids(
    source: &Source,
    context: &Context<'_>,
) -> Result<Option<HashSet<Vec<u8>>>, StoreError> {
    let ids = match &source.ids {
        None => return Ok(None),
        Some(UseIds::Each(ids)) => ids
            .iter()
            .filter_map(|id| id.evaluate(context).into_value())
            .map(|id| keys_of_values::of(&id))
            .collect(),
        Some(UseIds::List(list)) => {
            let list = list.evaluate(context);
            if let Some(found) = not_an_array(&list) {
                return Err(DataError::IdList { found }.into());
            }
            match list.into_value() {
                Some(Value::Array(ids)) => ids.iter().map(keys_of_values::of).collect(),
                _ => HashSet::new(),
            }
        }
    };
    Ok(Some(ids))
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
