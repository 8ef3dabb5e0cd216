//! Writing the record of a document that arrived from elsewhere and was not known here.

use ditto_value::Tree;

use super::Inserted;
use super::insert::encoded;
use super::plain::plain_record;
use crate::codec::{DecodeError, Reader};
use crate::delta::{self, natural};
use crate::size::check_length;
use crate::{Birth, Delta, Document, Sequence, Size, Version};

/// What [`Document::merge`] of a decoded delta into nothing and [`encode`](super::encode) give, in one pass if the sender's
/// record was plain. A version of [`NOTHING`](Version::NOTHING) says that the delta was empty, and that there is nothing
/// to store.
///
/// # Errors
/// As [`Delta::decode`].
pub fn receive<'a>(id: impl Tree<'a>, delta: &[u8], sequence: Sequence) -> Result<Inserted, DecodeError> {
    if let Some((birth, object)) = natural_entries(delta)
        && check_length(delta).is_ok()
        && let Ok(checked) = natural::check(object)
        && checked.size.with(Size::of_births(1)).check().is_ok()
    {
        // The delta is the whole document, and there is one encoding of it.
        let version = Version::of(&[delta]);
        return Ok(Inserted { record: plain_record(id, checked.object, birth, sequence, version), version });
    }
    let mut document = Document::new();
    document.take(Delta::decode(delta)?, sequence);
    Ok(encoded(&document, id))
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
