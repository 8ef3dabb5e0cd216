//! Writing the record of a document that was just inserted, straight from its members.

use std::borrow::Cow;

use ditto_value::{MAX_DEPTH, Object, Tree, ValueRef, Writer};

use super::encode;
use super::plain::plain_record;
use crate::delta::natural;
use crate::{Birth, Definitions, Document, Hlc, Sequence, Version, WriteError};

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
    if !definitions.is_default() {
        return insert_decoded(id, Cow::Borrowed(body), definitions, birth, sequence);
    }
    // What is nested deeper is written as null.
    if body.values().any(|value| value.depth() >= MAX_DEPTH) {
        return Err(WriteError::TooDeep);
    }
    let mut writer = Writer::new();
    writer.object(|object| body.iter().for_each(|(name, value)| object.value(name, value)));
    insert_binary(id, ValueRef::from_stored(&writer.into_bytes()), definitions, birth, sequence)
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
    if definitions.is_default() {
        if birth != Birth::INITIAL && birth.stamp.time >= Hlc::MAX {
            return Err(WriteError::Exhausted);
        }
        if let Some(object) = natural::of_new(body)? {
            let version = Version::of(&[&natural::head(birth, object.len()), &object]);
            return Ok(Inserted { record: plain_record(id, body, birth, sequence, version), version });
        }
    }
    insert_decoded(id, Cow::Owned(body.to_object().unwrap_or_default()), definitions, birth, sequence)
}

fn insert_decoded<'a>(
    id: impl Tree<'a>,
    mut body: Cow<'_, Object>,
    definitions: &Definitions,
    birth: Birth,
    sequence: Sequence,
) -> Result<Inserted, WriteError> {
    if body.contains_key("_id") {
        body.to_mut().remove("_id");
    }
    let mut document = Document::new();
    document.insert(&body, definitions, birth, sequence)?;
    Ok(encoded(&document, id))
}

/// [`encode`], and the version that the record says.
pub(super) fn encoded<'a>(document: &Document, id: impl Tree<'a>) -> Inserted {
    let record = encode(document, id);
    let version = super::Record::parse(&record).map_or(Version::NOTHING, |record| record.version);
    Inserted { record, version }
}
