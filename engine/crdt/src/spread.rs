//! How much one statement may write under several births.
//!
//! A write goes under every living birth, each of which takes a copy of it. Honest documents have a handful of them, but one from
//! elsewhere may have hundreds of thousands, and a short statement would fill the memory before anybody has seen how large the
//! document becomes. So the copies are counted before they are made. What they may be together is what can travel: more would
//! make a document that no other peer takes.

use crate::entry::{Content, EntryKey};
use crate::size::FIRST_ENTRY;
use crate::{Document, MAX_MERGED_BYTES, Path, Sequence, Size, WriteError};

/// What the writes of one sequence, which are those of one statement, have put under the births so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    sequence: Sequence,
    all: Copies,
}

/// What is put under births.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copies {
    size: Size,
    /// Of paths and values: under a birth that is not its own a write is listed, with its whole path.
    bytes: usize,
}

impl Copies {
    /// The maps above a member, as if none of them was there.
    pub(crate) fn of_maps(paths: &[Path]) -> Self {
        let bytes = paths.iter().map(|path| path.bytes().len()).sum();
        Self { size: Size { parts: paths.len(), paths: bytes }, bytes }
    }

    /// An entry, as if it was not there.
    pub(crate) fn of_entry(key: &EntryKey, content: &Content) -> Self {
        let size = Size { parts: 1, paths: 0 }.with(Size::within(key, content));
        let value = match content {
            Content::Register { value, .. } => value.as_deref().map_or(0, <[u8]>::len),
            Content::Map { .. } | Content::Counter(_) | Content::Unknown(_) => 0,
        };
        Self { size, bytes: size.paths + value }
    }

    /// A counter with one slot, as if it was not there.
    pub(crate) fn of_count(key: &EntryKey) -> Self {
        let path = key.path.bytes().len();
        Self { size: Size { parts: 1, paths: path }.with(Size::of_slots(1)), bytes: path }
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self { size: self.size.with(other.size), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn times(self, births: usize) -> Self {
        Self { size: self.size.times(births), bytes: self.bytes.saturating_mul(births) }
    }

    fn can_travel(self) -> bool {
        self.size.check().is_ok() && self.bytes <= MAX_MERGED_BYTES
    }
}

impl Document {
    /// Counts what is about to be put under every living birth. Linear in the number of births.
    ///
    /// # Errors
    /// [`WriteError::TooManyBirths`]; nothing is counted then.
    pub(crate) fn spread(&mut self, under_each: Copies, sequence: Sequence) -> Result<(), WriteError> {
        let births = self.living().count();
        // What is written once takes no more than it did where it came from.
        if births < 2 {
            return Ok(());
        }
        let empty = self.living().filter(|(_, entries)| entries.is_empty()).count();
        let first_entries = Copies { size: Size { parts: FIRST_ENTRY, paths: 0 }, bytes: 0 }.times(empty);
        let before = if self.spread.sequence == sequence { self.spread.all } else { Copies::default() };
        let all = before.with(under_each.times(births)).with(first_entries);
        if !all.can_travel() {
            return Err(WriteError::TooManyBirths { births });
        }
        self.spread = Spread { sequence, all };
        Ok(())
    }
}
