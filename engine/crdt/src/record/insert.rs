//! Writing the record of a document that was just inserted, straight from its members.

use std::borrow::Cow;

use ditto_value::{MAX_DEPTH, Object, Tree, ValueKind, ValueRef, Writer};

use super::encode;
use super::plain::PlainRecord;
use crate::path::{self, push_name};
use crate::{Birth, Definitions, Document, Hlc, Kind, Sequence, Version, WriteError};

/// The record of a document that was not there before.
#[derive(Clone, Debug)]
pub struct Inserted {
    /// The stored form.
    pub record: Vec<u8>,
    /// Its content version.
    pub version: Version,
}

/// What [`Document::insert`] into nothing and [`encode`] give, in one pass over the members if nothing is declared. An
/// `_id` in `body` is skipped: the store passes documents of INSERT as they are, without copying them to take it out.
///
/// # Errors
/// See [`WriteError`].
pub fn insert<'a>(
    id: impl Tree<'a>,
    body: &Object,
    definitions: &Definitions,
    birth: Birth,
    sequence: Sequence,
) -> Result<Inserted, WriteError> {
    if definitions.is_default() {
        // What is nested deeper is written as null.
        if body.values().any(|value| value.depth() >= MAX_DEPTH) {
            return Err(WriteError::TooDeep);
        }
        let mut writer = Writer::new();
        writer.object(|object| body.iter().for_each(|(name, value)| object.value(name, value)));
        return insert_binary(id, ValueRef::from_stored(&writer.into_bytes()), definitions, birth, sequence);
    }
    let mut document = Document::new();
    let mut body = Cow::Borrowed(body);
    if body.contains_key("_id") {
        body.to_mut().remove("_id");
    }
    document.insert(&body, definitions, birth, sequence)?;
    Ok(Inserted { record: encode(&document, id), version: document.version() })
}

/// [`insert`] of a valid object in the binary form.
///
/// # Errors
/// See [`WriteError`].
pub fn insert_binary<'a>(
    id: impl Tree<'a>,
    body: ValueRef<'_>,
    definitions: &Definitions,
    birth: Birth,
    sequence: Sequence,
) -> Result<Inserted, WriteError> {
    if !definitions.is_default() {
        return insert(id, &body.to_object().unwrap_or_default(), definitions, birth, sequence);
    }
    if birth != Birth::INITIAL && birth.stamp.time >= Hlc::MAX {
        return Err(WriteError::Exhausted);
    }
    let (mut record, writer) = PlainRecord::begin(birth, sequence, body.bytes().len());
    let mut path = Vec::with_capacity(64);
    for (name, value) in body.members().filter(|(name, _)| *name != "_id") {
        count(&mut record, &mut path, name, value)?;
    }
    Ok(record.finish(id, body, writer))
}

/// Adds a member, and if it is an object what is below it, to the version.
fn count(
    record: &mut PlainRecord,
    path: &mut Vec<u8>,
    name: &str,
    value: ValueRef<'_>,
) -> Result<(), WriteError> {
    let length = path.len();
    push_name(path, name);
    path::check(path)?;
    if value.kind() == ValueKind::Object {
        record.count(path, Kind::Map, &[]);
        for (name, value) in value.members() {
            count(record, path, name, value)?;
        }
    } else {
        record.count(path, Kind::Register, value.bytes());
    }
    path.truncate(length);
    Ok(())
}
