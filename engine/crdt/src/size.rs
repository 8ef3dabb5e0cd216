//! How large a document may become by what others send.
//!
//! A few bytes of a delta may stand for many in memory, so not only its length is bounded. What one peer takes, every other
//! has to decode later.

use crate::codec::DecodeError;
use crate::entry::{Content, EntryKey};
use crate::{Document, Version};

/// The longest canonical bytes of a document that is merged from elsewhere: what is longer cannot travel. Thirteen copies of the
/// largest document that can be written, merged.
pub const MAX_MERGED_BYTES: usize = 64 * 1024 * 1024;
/// Births, entries, slots of counters and payloads of unknown kinds together, of a delta and of a document that is merged. Each takes
/// some 150 bytes in memory. Where there is one at all there is room for several: a living birth that has entries counts as six
/// more, and an entry that has slots or payloads as four more. A document of 5 MiB, the largest that can be written, has at most 1.3
/// million: a member takes four bytes at least, a counter 30, and a further birth with an entry 32.
///
/// So births need no bound of their own: 250,000 can be living with an entry each, and take what any document of this size does.
pub const MAX_PARTS: usize = 2_000_000;
/// How long the paths of all entries may be together, of a delta and of a document that is merged: those of a document of 5 MiB that
/// travels as an object have at most 80 MiB, because they are at most 16 times as long as that.
pub const MAX_PATHS_BYTES: usize = 128 * 1024 * 1024;

/// As how many parts more the first entry of a birth counts, and the first slot or payload of an entry: the first leaf of a tree
/// of the standard library has room for eleven.
pub(crate) const FIRST_ENTRY: usize = 6;
pub(crate) const FIRST_SLOT: usize = 4;

/// What a document takes in memory but for its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Births, entries, slots of counters and payloads of unknown kinds, as [`MAX_PARTS`] counts them.
    pub parts: usize,
    /// How many bytes the paths of the entries have together.
    pub paths: usize,
}

impl Size {
    /// Adds what is elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.parts = self.parts.saturating_add(other.parts);
        self.paths = self.paths.saturating_add(other.paths);
    }

    /// Both together.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.add(other);
        self
    }

    /// So many times as much.
    pub(crate) fn times(self, count: usize) -> Self {
        Self { parts: self.parts.saturating_mul(count), paths: self.paths.saturating_mul(count) }
    }

    /// So many births, without their entries.
    pub(crate) fn of_births(count: usize) -> Self {
        Self { parts: count, paths: 0 }
    }

    /// So many entries of one birth, without their paths and what is in them.
    pub(crate) fn of_entries(count: usize) -> Self {
        Self::of_tree(count, FIRST_ENTRY)
    }

    /// So many slots or payloads of one entry.
    pub(crate) fn of_slots(count: usize) -> Self {
        Self::of_tree(count, FIRST_SLOT)
    }

    fn of_tree(count: usize, first: usize) -> Self {
        Self { parts: if count == 0 { 0 } else { count.saturating_add(first) }, paths: 0 }
    }

    /// The path of one entry and what is in it.
    pub(crate) fn within(key: &EntryKey, content: &Content) -> Self {
        let slots = match content {
            Content::Counter(counter) => counter.slots.len(),
            Content::Unknown(payloads) => payloads.len(),
            Content::Register { .. } | Content::Map { .. } => 0,
        };
        Self { paths: key.path.bytes().len(), ..Self::of_slots(slots) }
    }

    /// # Errors
    /// More than [`MAX_PARTS`] or [`MAX_PATHS_BYTES`]; says which.
    pub fn check(self) -> Result<(), &'static str> {
        const { assert!(MAX_PARTS == 2_000_000 && MAX_PATHS_BYTES == 128 << 20, "as the words below say") }
        if self.parts > MAX_PARTS {
            Err("more than 2,000,000 members; divide it into several")
        } else if self.paths > MAX_PATHS_BYTES {
            Err("more than 128 MiB of member paths; use shorter names, or divide it into several")
        } else {
            Ok(())
        }
    }

    /// [`Size::check`], of what is being read.
    pub(crate) fn check_at(self, position: usize) -> Result<(), DecodeError> {
        self.check().map_err(|reason| DecodeError { position, reason, too_large: true })
    }
}

impl Document {
    /// The version of a document that was merged with what came from elsewhere.
    ///
    /// # Errors
    /// It is larger than others take; says in what.
    pub fn checked_version(&self) -> Result<Version, &'static str> {
        self.size().check()?;
        let canonical = self.canonical();
        check_length(&canonical)?;
        Ok(if self.is_known() { Version::of(&[&canonical]) } else { Version::NOTHING })
    }
}

/// Checks how long canonical bytes or a delta are.
pub(crate) fn check_length(bytes: &[u8]) -> Result<(), &'static str> {
    const { assert!(MAX_MERGED_BYTES == 64 << 20, "as the words below say") }
    if bytes.len() <= MAX_MERGED_BYTES { Ok(()) } else { Err("more than 64 MiB; divide it into several") }
}
