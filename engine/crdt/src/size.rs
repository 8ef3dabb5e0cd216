//! How large a document may become by what others send.
//!
//! A few bytes of a delta may stand for many in memory, so not only its length is bounded. What one peer takes, every other
//! has to decode later.

use crate::codec::DecodeError;
use crate::{Document, Version};

/// The longest canonical bytes of a document that is merged from elsewhere: what is longer cannot travel. Thirteen copies of the
/// largest document that can be written, merged.
pub const MAX_MERGED_BYTES: usize = 64 * 1024 * 1024;
/// Births, entries, slots of counters and payloads of unknown kinds together, of a delta and of a document that is merged. Each takes
/// some 150 bytes in memory, and four times as much more where an entry has slots or payloads at all, so that it counts as four
/// more there. A document of 5 MiB, the largest that can be written, has at most 1.3 million: a member takes four bytes at least,
/// and a counter 30.
pub const MAX_PARTS: usize = 2_000_000;
/// How long the paths of all entries may be together, of a delta and of a document that is merged: those of a document of 5 MiB that
/// travels as an object have at most 80 MiB, because they are at most 16 times as long as that.
pub const MAX_PATHS_BYTES: usize = 128 * 1024 * 1024;

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

    /// So many slots or payloads of one entry.
    pub(crate) fn of_tree(count: usize) -> Self {
        const FIRST_NODE: usize = 4;
        Self { parts: if count == 0 { 0 } else { count.saturating_add(FIRST_NODE) }, paths: 0 }
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
