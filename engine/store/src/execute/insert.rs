//! INSERT, with all its ways of meeting a document that exists.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ditto_crdt::{Birth, Definition, Definitions, Hlc, Kind, Sequence, is_attachment_token, record};
use ditto_dql::{ConflictPolicy, Insert, InsertBody, Item};
use ditto_storage::Bytes;
use ditto_value::{Object, Value, ValueKind, ValueRef};

use super::mutation::{Effect, check_size};
use super::returning::Rows;
use super::scope::{Scope, Shape};
use super::view::View;
use crate::catalog::Collection;
use crate::environment::random_uuid;
use crate::error::{DataError, StoreError};
use crate::parameters::kind_of;
use crate::write::{NewRecord, WriteTransaction, check_collection_name, check_id, key_of_id, parse_record};

/// A document to be inserted, `_id` included.
struct New<'a> {
    key: Bytes,
    id: Value,
    body: Body<'a>,
    /// The `_id` was made up here: nothing can be stored under it.
    generated: bool,
}

/// A document as it came.
enum Body<'a> {
    Tree(Cow<'a, Object>),
    /// An object in the binary form.
    Binary(ValueRef<'a>),
}

impl<'a> Body<'a> {
    fn id(&self) -> Option<Value> {
        match self {
            Self::Tree(body) => body.get("_id").cloned(),
            Self::Binary(body) => body.get("_id").map(ValueRef::to_value),
        }
    }

    fn into_tree(self) -> Cow<'a, Object> {
        match self {
            Self::Tree(body) => body,
            Self::Binary(body) => Cow::Owned(body.to_object().unwrap_or_default()),
        }
    }
}

/// Inserts all documents or none.
pub(crate) fn insert(
    transaction: &mut WriteTransaction,
    scope: &Scope<'_>,
    statement: &Insert,
) -> Result<Effect, StoreError> {
    check_collection_name(&statement.target.collection.to_string())?;
    let (bodies, initial) = match &statement.body {
        InsertBody::Documents { initial, documents } => {
            let context = scope.context();
            let mut bodies = Vec::with_capacity(documents.len());
            for document in documents {
                expand(document.evaluate(&context), &mut bodies)?;
            }
            (bodies, *initial)
        }
        InsertBody::Select(select) => {
            let rows = super::select::select(View::Write(transaction), scope, select)?;
            let bodies = rows
                .iter()
                .filter_map(|row| row.value().to_object())
                .map(|body| Body::Tree(Cow::Owned(body)))
                .collect();
            (bodies, false)
        }
    };
    let mut rows = Rows::new(statement.returning.as_ref(), statement.target.name(), scope);
    let mut mutated_ids = Vec::with_capacity(bodies.len());
    if bodies.is_empty() {
        return Ok(Effect { rows: rows.finish(), mutated_ids });
    }
    let collection = transaction.collection_for_write(&statement.target.collection.name)?;
    let documents = prepare(transaction, &collection, bodies)?;
    let run = Run {
        scope,
        shape: Shape::new(&statement.target, scope.settings),
        collection,
        policy: statement.conflict,
        initial,
    };
    for document in documents {
        let id = document.id.clone();
        if let Some(record) = run.insert(transaction, document)? {
            if rows.wanted() {
                run.shape.document(&record, |holder, document| {
                    rows.accept(holder, document);
                    Ok(())
                })?;
            }
            mutated_ids.push(id);
        }
    }
    Ok(Effect { rows: rows.finish(), mutated_ids })
}

/// An object is one document, an array of objects several.
fn expand<'a>(item: Item<'a>, bodies: &mut Vec<Body<'a>>) -> Result<(), DataError> {
    match item {
        Item::Missing => Err(DataError::NotAnObject { found: "MISSING" }),
        Item::Borrowed(Value::Object(body)) => {
            bodies.push(Body::Tree(Cow::Borrowed(body)));
            Ok(())
        }
        Item::Borrowed(Value::Array(elements)) => {
            bodies.reserve(elements.len());
            elements.iter().try_for_each(|element| match element {
                Value::Object(body) => {
                    bodies.push(Body::Tree(Cow::Borrowed(body)));
                    Ok(())
                }
                other => Err(DataError::NotAnObject { found: kind_of(other) }),
            })
        }
        Item::Borrowed(other) => Err(DataError::NotAnObject { found: kind_of(other) }),
        Item::Ref(value) if value.kind() == ValueKind::Array => {
            bodies.reserve(value.len());
            value.elements().try_for_each(|element| binary(element, bodies))
        }
        Item::Ref(value) => binary(value, bodies),
        other => match other.into_value() {
            Some(Value::Array(elements)) => {
                elements.into_iter().try_for_each(|element| owned(element, bodies))
            }
            Some(value) => owned(value, bodies),
            None => Err(DataError::NotAnObject { found: "MISSING" }),
        },
    }
}

fn binary<'a>(value: ValueRef<'a>, bodies: &mut Vec<Body<'a>>) -> Result<(), DataError> {
    if value.kind() != ValueKind::Object {
        return Err(DataError::NotAnObject { found: kind_of(&value.to_value()) });
    }
    bodies.push(Body::Binary(value));
    Ok(())
}

fn owned(value: Value, bodies: &mut Vec<Body<'_>>) -> Result<(), DataError> {
    match value {
        Value::Object(body) => {
            bodies.push(Body::Tree(Cow::Owned(body)));
            Ok(())
        }
        other => Err(DataError::NotAnObject { found: kind_of(&other) }),
    }
}

/// Gives every document its id and its key, and sees to it that no two are the same.
fn prepare<'a>(
    transaction: &WriteTransaction,
    collection: &Collection,
    bodies: Vec<Body<'a>>,
) -> Result<Vec<New<'a>>, StoreError> {
    let mut documents = Vec::with_capacity(bodies.len());
    for body in bodies {
        let (id, generated) = match body.id() {
            Some(id) => {
                check_id(&id)?;
                (id, false)
            }
            None => (Value::String(random_uuid(&*transaction.inner.environment)), true),
        };
        let key = Bytes::from(key_of_id(collection.id, &id)?);
        documents.push(New { key, id, body, generated });
    }
    if documents.len() > 1 {
        let mut seen: HashSet<&[u8]> = HashSet::with_capacity(documents.len());
        if let Some(twice) = documents.iter().find(|document| !seen.insert(&document.key)) {
            return Err(DataError::DuplicateId { id: twice.id.to_json() }.into());
        }
    }
    Ok(documents)
}

struct Run<'a> {
    scope: &'a Scope<'a>,
    shape: Shape,
    collection: Arc<Collection>,
    policy: ConflictPolicy,
    initial: bool,
}

impl Run<'_> {
    /// The new record; `None` if the document stays as it is.
    fn insert(&self, transaction: &mut WriteTransaction, new: New<'_>) -> Result<Option<Bytes>, StoreError> {
        let (before, sequence) = match new.generated {
            true => (None, transaction.next_sequence()),
            false => transaction.get_with_sequence(&new.key)?,
        };
        let Some(before) = before else { return self.insert_fresh(transaction, new, sequence).map(Some) };
        let parsed = parse_record(&before)?;
        let was_alive = parsed.alive;
        let mut body = without_id(new.body.into_tree());
        if was_alive {
            match self.policy {
                _ if self.initial => return Ok(None),
                ConflictPolicy::Nothing => return Ok(None),
                ConflictPolicy::Fail => {
                    return Err(DataError::IdExists {
                        collection: self.collection.name.to_string(),
                        id: new.id.to_json(),
                    }
                    .into());
                }
                ConflictPolicy::Update => {}
                ConflictPolicy::UpdateLocalDiff => match self.differing(&before, &new.id, &body)? {
                    Some(differing) if !differing.is_empty() => body = Cow::Owned(differing),
                    _ => return Ok(None),
                },
            }
        }
        let mut document = parsed.document().map_err(|error| StoreError::corrupt(error.to_string()))?;
        let mut birth = self.birth(transaction, document.newest_stamp())?;
        // Inserted and deleted earlier in this very transaction: the new life needs a stamp of its own.
        if !self.initial && document.removed_births().any(|removed| removed == birth) {
            birth = self.birth(transaction, birth.stamp.time)?;
        }
        let written = document
            .insert(&body, &self.shape.definitions, birth, sequence)
            .map_err(|error| DataError::Write { id: new.id.to_json(), reason: error.to_string() })?;
        if !written {
            return Ok(None);
        }
        let record = Bytes::from(record::encode(&document, &new.id));
        check_size(&new.id, was_alive.then_some(&*before), &record, self.scope.settings)?;
        let put = NewRecord { record: record.clone(), was_alive, is_alive: true, origin: None };
        transaction.put(&self.collection, new.key, Some(before), put);
        Ok(Some(record))
    }

    fn insert_fresh(
        &self,
        transaction: &mut WriteTransaction,
        new: New<'_>,
        sequence: Sequence,
    ) -> Result<Bytes, StoreError> {
        let birth = self.birth(transaction, Hlc::ZERO)?;
        let definitions = &self.shape.definitions;
        let inserted = match &new.body {
            Body::Tree(body) => record::insert(&new.id, body, definitions, birth, sequence),
            Body::Binary(body) => record::insert_binary(&new.id, *body, definitions, birth, sequence),
        };
        let inserted =
            inserted.map_err(|error| DataError::Write { id: new.id.to_json(), reason: error.to_string() })?;
        let record = Bytes::from(inserted.record);
        check_size(&new.id, None, &record, self.scope.settings)?;
        let put = NewRecord { record: record.clone(), was_alive: false, is_alive: true, origin: None };
        transaction.put(&self.collection, new.key, None, put);
        Ok(record)
    }

    /// The members of `body` that the stored document does not have so; `None` if there is no document.
    fn differing(&self, record: &Bytes, id: &Value, body: &Object) -> Result<Option<Object>, StoreError> {
        let definitions = &self.shape.definitions;
        let maps = maps(body, &|name| definitions.get(name), definitions.strict);
        let merged = if maps.is_empty() {
            Value::Null
        } else {
            let mut as_maps = Definitions::new(definitions.strict);
            maps.iter().for_each(|(name, definition)| as_maps.declare(name.as_str(), definition.clone()));
            let document =
                parse_record(record)?.document().map_err(|error| StoreError::corrupt(error.to_string()))?;
            document.visible(id, &as_maps).map_or(Value::Null, Value::Object)
        };
        self.shape.document(record, |_, document| {
            let old = document.to_value();
            Ok(body
                .iter()
                .filter_map(|(name, value)| {
                    let (old, merged) = (old.get(name), merged.get(name));
                    difference(value, old, maps.get(name), merged).map(|value| (name.to_string(), value))
                })
                .collect::<Object>())
        })
    }

    fn birth(&self, transaction: &mut WriteTransaction, newest: Hlc) -> Result<Birth, StoreError> {
        if self.initial {
            return Ok(Birth::INITIAL);
        }
        Ok(Birth { stamp: transaction.stamp(newest)?, run: transaction.run })
    }
}

fn without_id(body: Cow<'_, Object>) -> Cow<'_, Object> {
    if !body.contains_key("_id") {
        return body;
    }
    let mut body = body.into_owned();
    body.remove("_id");
    Cow::Owned(body)
}

/// The objects in `body` that are written as MAPs, member by member: those declared so, and undeclared ones that are no
/// tokens of attachments unless the mode is strict.
fn maps<'d>(
    body: &Object,
    declared: &dyn Fn(&str) -> Option<&'d Definition>,
    strict: bool,
) -> BTreeMap<String, Definition> {
    body.iter()
        .filter_map(|(name, value)| {
            let Value::Object(members) = value else { return None };
            let members = match declared(name) {
                None if strict || is_attachment_token(value) => return None,
                None => maps(members, &|_| None, strict),
                Some(definition) if definition.kind == Kind::Map => {
                    maps(members, &|name| definition.members.get(name), strict)
                }
                Some(_) => return None,
            };
            Some((name.to_string(), Definition { kind: Kind::Map, members }))
        })
        .collect()
}

/// The part of `new` that differs from `old`. What is written as a MAP and shows as one (`merged` is what it shows
/// then) is compared member by member, anything else is written whole.
fn difference(
    new: &Value,
    old: Option<&Value>,
    map: Option<&Definition>,
    merged: Option<&Value>,
) -> Option<Value> {
    match (new, old, map) {
        (Value::Object(members), Some(Value::Object(present)), Some(map)) if merged == old => {
            let differing: Object = members
                .iter()
                .filter_map(|(name, value)| {
                    let merged = merged.and_then(|merged| merged.get(name));
                    difference(value, present.get(name), map.members.get(name), merged)
                        .map(|value| (name.to_string(), value))
                })
                .collect();
            (!differing.is_empty()).then_some(Value::Object(differing))
        }
        _ => (old != Some(new)).then(|| new.clone()),
    }
}
