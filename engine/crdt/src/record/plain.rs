//! What the two fast ways to a plain record have in common: a document that was just inserted or just received.

use ditto_value::{Tree, ValueRef, Writer};

use super::encode::put_head;
use super::{ALIVE, PLAIN, put_birth};
use crate::{Birth, Sequence, Version};

/// The plain record of `body`, which is to have this `_id`.
pub(super) fn plain_record<'a>(
    id: impl Tree<'a>,
    body: ValueRef<'_>,
    birth: Birth,
    sequence: Sequence,
    version: Version,
) -> Vec<u8> {
    let mut id_bytes = Writer::new();
    id_bytes.value(id);
    let id = id_bytes.written_after(0);
    let mut out = Vec::with_capacity(body.bytes().len() + id.len() + 96);
    put_head(&mut out, ALIVE | PLAIN, sequence, sequence, version);
    put_birth(&mut out, birth);
    if body.get("_id").is_some_and(|present| present.bytes() == id) {
        out.extend_from_slice(body.bytes());
    } else {
        body.write_with("_id", Some(id), &mut out);
    }
    out
}
