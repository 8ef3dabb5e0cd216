//! What the two fast ways to a plain record have in common: a document that was just inserted or just received.

use ditto_value::{Tree, ValueRef, Writer};

use super::encode::put_head;
use super::{ALIVE, Inserted, PLAIN, put_birth};
use crate::version::Hasher;
use crate::{Birth, Kind, Sequence, Version};

/// A plain record whose value is about to be written, in one buffer.
pub(super) struct PlainRecord {
    pub(super) birth: Birth,
    hasher: Hasher,
    version: Version,
    version_at: usize,
}

impl PlainRecord {
    /// Starts the record of a value of about `size` bytes. Returns the writer for the value as well.
    pub(super) fn begin(birth: Birth, sequence: Sequence, size: usize) -> (Self, Writer) {
        let mut head = Vec::with_capacity(size + 96);
        put_head(&mut head, ALIVE | PLAIN, sequence, sequence);
        let version_at = head.len();
        head.extend_from_slice(&[0; 16]);
        put_birth(&mut head, birth);
        let mut hasher = Hasher::new(birth);
        let version = Version(hasher.birth(true));
        (Self { birth, hasher, version, version_at }, Writer::after(head))
    }

    /// Adds a member to the version.
    pub(super) fn count(&mut self, path: &[u8], kind: Kind, value: &[u8]) {
        self.version.add(self.hasher.entry(path, kind, self.birth.stamp, Some(value)));
    }

    /// Writes the value: `body` with this `_id`.
    pub(super) fn finish<'a>(self, id: impl Tree<'a>, body: ValueRef<'_>, mut writer: Writer) -> Inserted {
        let mut encoded = Writer::new();
        encoded.value(id);
        if body.get("_id").is_some_and(|id| id.bytes() == encoded.written_after(0)) {
            writer.encoded(body.bytes());
        } else {
            write_with_id(encoded.written_after(0), body, &mut writer);
        }
        let mut record = writer.into_bytes();
        if let Some(place) = record.get_mut(self.version_at..self.version_at + 16) {
            place.copy_from_slice(&self.version.0.to_le_bytes());
        }
        Inserted { record, version: self.version }
    }
}

/// `body` with this `_id`, which is in the binary form, in the place of its own.
fn write_with_id(id: &[u8], body: ValueRef<'_>, writer: &mut Writer) {
    writer.object(|object| {
        let mut id = Some(id);
        for (name, member) in body.members() {
            if let Some(id) = id.take_if(|_| name >= "_id") {
                object.with("_id", |writer| writer.encoded(id));
            }
            if name != "_id" {
                object.with(name, |writer| writer.encoded(member.bytes()));
            }
        }
        if let Some(id) = id {
            object.with("_id", |writer| writer.encoded(id));
        }
    });
}
