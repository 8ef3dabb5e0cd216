//! Writing the entries of one birth as a list, piece by piece, for documents that exist nowhere in decoded form.

use super::{FORMAT, LISTED, MarkWriter, put_key, put_optional};
use crate::codec::{put_birth, put_varint};
use crate::{Birth, Kind, Stamp, Version};

/// The canonical bytes of a document with one birth, which is living, and with entries that have no natural form.
pub(crate) struct List {
    birth: Birth,
    count: u64,
    entries: Vec<u8>,
    marks: MarkWriter,
}

impl List {
    /// `size` is about how many bytes the entries will take.
    pub(crate) fn new(birth: Birth, size: usize) -> Self {
        Self { birth, count: 0, entries: Vec::with_capacity(size), marks: MarkWriter::new(birth.stamp) }
    }

    /// The next entry: a register or an attachment.
    pub(crate) fn register(&mut self, path: &[u8], kind: Kind, stamp: Stamp, value: &[u8]) {
        self.start(path, kind, stamp);
        put_optional(&mut self.entries, Some(value));
    }

    /// The next entry: a map that is there.
    pub(crate) fn map(&mut self, path: &[u8], stamp: Stamp) {
        self.start(path, Kind::Map, stamp);
        self.entries.push(1);
    }

    fn start(&mut self, path: &[u8], kind: Kind, stamp: Stamp) {
        self.count += 1;
        put_key(&mut self.entries, path, kind);
        self.marks.put(&mut self.entries, stamp);
    }

    /// The version of the document.
    pub(crate) fn version(&self) -> Version {
        let mut head = Vec::with_capacity(40);
        head.extend_from_slice(&[FORMAT, 1]);
        put_birth(&mut head, self.birth);
        put_varint(&mut head, self.count + LISTED);
        Version::of(&[&head, &self.entries])
    }
}
