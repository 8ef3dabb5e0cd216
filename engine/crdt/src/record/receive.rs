//! Writing the record of a document that arrived from elsewhere and was not known here.

use ditto_value::Tree;

use super::plain::PlainRecord;
use super::{Inserted, encode};
use crate::codec::{DecodeError, Reader};
use crate::delta::{self, natural};
use crate::{Birth, Delta, Document, Kind, Sequence};

/// What [`Document::merge`] of a decoded delta into nothing and [`encode`] give, in one pass if the sender's record was
/// plain. A version of [`NOTHING`](crate::Version::NOTHING) says that the delta was empty, and that there is nothing to store.
///
/// # Errors
/// As [`Delta::decode`].
pub fn receive<'a>(id: impl Tree<'a>, delta: &[u8], sequence: Sequence) -> Result<Inserted, DecodeError> {
    if let Some(inserted) =
        natural_entries(delta).and_then(|(birth, object)| plain(id, birth, object, sequence))
    {
        return Ok(inserted);
    }
    let mut document = Document::new();
    document.merge(&Delta::decode(delta)?, sequence);
    Ok(Inserted { record: encode(&document, id), version: document.version() })
}

/// The object of a delta that holds nothing but the entries of one birth in natural form.
fn natural_entries(bytes: &[u8]) -> Option<(Birth, &[u8])> {
    let mut reader = Reader::new(bytes);
    if reader.byte().ok()? != delta::FORMAT || reader.varint().ok()? != 1 {
        return None;
    }
    let birth = reader.birth().ok()?;
    if reader.varint().ok()? != delta::NATURAL {
        return None;
    }
    let object = reader.bytes().ok()?;
    reader.is_empty().then_some((birth, object))
}

/// None if the object is not valid; then the ordinary way says why.
fn plain<'a>(id: impl Tree<'a>, birth: Birth, object: &[u8], sequence: Sequence) -> Option<Inserted> {
    let (mut record, writer) = PlainRecord::begin(birth, sequence, object.len());
    let body = natural::read(object, |path, value| match value {
        Some(value) => record.count(path, Kind::Register, value),
        None => record.count(path, Kind::Map, &[]),
    });
    Some(record.finish(id, body.ok()?, writer))
}
