//! What the store keeps of a document.
//!
//! The value that a reader without definitions sees is stored in random-access form, so that queries read it in place;
//! beside it stands only what cannot be derived from it. A document that was inserted and not changed since costs about
//! fifty bytes besides its value.
//!
//! ```text
//! record    01 | flags 1 | newest sequence | newest sequence − began | version 16 | metadata | value, to the end
//! flags     01 = alive (otherwise there is no value), 02 = plain
//! metadata  plain: birth 24
//!           else:  length | births | marks | runs | others
//! births    number | each: time 8, site 8, run 8 | sequence | 0 = removed, 1 = living
//! marks     number | each: time 8, site 8 | sequence
//! runs      number | each: code | how many members have it
//! others    number | each: birth (index) | path length | path | kind 1 | mark (index) | content
//! content   register, attachment   0 = removed, n + 1 = a value of n bytes | the value's binary form
//!           map                    0 = removed, 1 = there
//!           counter                0 = none, 1 = a base | base 8 | number of slots
//!                                  | each: run 8 | began | increments 8 | decrements 8 | mark (index)
//!           of an unknown kind     number of payloads | each: mark (index) | length | bytes
//! ```
//!
//! Numbers with a size are little endian, those without are varints. A *mark* is a stamp and the local sequence at which
//! what bears it last changed. In a *plain* record there is one birth, and every member of the value is a register or,
//! if it is an object, a map, with the birth's stamp and the newest sequence.
//!
//! Otherwise the *runs* say, for the members of the value in the order in which they are written (an object before its
//! members; `_id` is skipped), what they are under the first living birth: `code` = index of the mark × 8 + shape, where
//! shape is 0 for a register or, if the member is an object, a map; 1 for a register that holds an object; 2 for an
//! attachment; 3 for an object without an entry, whose members are visible; 4 for what has its entry among the *others*.
//! The others are all remaining entries: removed ones, counters, hidden kinds, those of further births.

mod assign;
mod encode;
mod insert;
mod plain;
mod receive;

use std::collections::{BTreeMap, BTreeSet};

use ditto_value::{MAX_DEPTH, ValueKind, ValueRef};

pub use encode::{encode, encode_as};
pub use insert::{Inserted, insert, insert_binary};
pub use receive::receive;

use crate::codec::{DecodeError, Reader, put_birth, put_bytes, put_varint};
use crate::delta::natural;
use crate::document::{Entries, Life, LifeState};
use crate::entry::{Content, Counter, Entry, EntryKey, Tally};
use crate::path::push_name;
use crate::spread::Spread;
use crate::{Birth, Delta, Document, Kind, Path, RunId, Sequence, Slot, Stamp, Version};

const FORMAT: u8 = 1;
const ALIVE: u8 = 0x01;
const PLAIN: u8 = 0x02;

/// Shapes of members, see the module's description.
const NATURAL: u64 = 0;
const OBJECT_REGISTER: u64 = 1;
const ATTACHMENT: u64 = 2;
const IMPLIED_MAP: u64 = 3;
const ELSEWHERE: u64 = 4;

/// A stored document, read in place. What is cheap to know is in the fields; [`Record::document`] decodes the rest.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The sequence of the last change.
    pub newest_sequence: Sequence,
    /// The sequence at which this copy began, see [`Document::began`]: what counter slots are named by.
    pub began: Sequence,
    /// The content version.
    pub version: Version,
    /// Whether some birth is not removed.
    pub alive: bool,
    /// The visible value with `_id`; null if the document is deleted.
    pub value: ValueRef<'a>,
    metadata: Metadata<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Metadata<'a> {
    Plain(Birth),
    General(&'a [u8]),
}

impl<'a> Record<'a> {
    /// Reads the head of a record that this process wrote. O(1); value and metadata are not checked.
    ///
    /// # Errors
    /// Truncation, an unknown format.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != FORMAT {
            return reader.fail("the format of the record is unknown; a newer build wrote it");
        }
        let flags = reader.byte()?;
        if flags & !(ALIVE | PLAIN) != 0 {
            return reader.fail("the flags of the record are unknown; a newer build wrote it");
        }
        let newest = reader.varint()?;
        let began = newest.saturating_sub(reader.varint()?);
        let version = Version(reader.u128()?);
        let metadata = if flags & PLAIN == 0 {
            Metadata::General(reader.bytes()?)
        } else {
            Metadata::Plain(reader.birth()?)
        };
        let alive = flags & ALIVE != 0;
        let value = if alive { ValueRef::from_stored(reader.rest()) } else { ValueRef::NULL };
        Ok(Self {
            newest_sequence: Sequence(newest),
            began: Sequence(began),
            version,
            alive,
            value,
            metadata,
        })
    }

    /// Whether the document was inserted and not changed since, so that its metadata is only its birth.
    pub fn is_plain(&self) -> bool {
        matches!(self.metadata, Metadata::Plain(_))
    }

    /// The time that a write must exceed, see [`Document::newest_stamp`]. O(1) for a plain record, otherwise linear in
    /// the number of births and distinct stamps.
    ///
    /// # Errors
    /// As [`Record::document`].
    pub fn newest_stamp(&self) -> Result<crate::Hlc, DecodeError> {
        Ok(self.newest_write()?.time)
    }

    /// When the newest write was made, and by whom. Costs as [`Record::newest_stamp`].
    ///
    /// # Errors
    /// As [`Record::document`].
    pub fn newest_write(&self) -> Result<Stamp, DecodeError> {
        match self.metadata {
            Metadata::Plain(birth) => Ok(birth.stamp),
            Metadata::General(bytes) => {
                let mut reader = Reader::new(bytes);
                let lives = read_lives(&mut reader)?;
                Ok(newest(&lives, &read_marks(&mut reader)?))
            }
        }
    }

    /// The births that are removed, see [`Document::removed_births`]. Costs nothing for a plain record, otherwise linear in the
    /// number of births.
    ///
    /// # Errors
    /// As [`Record::document`].
    pub fn removed_births(&self) -> Result<Vec<Birth>, DecodeError> {
        let Metadata::General(bytes) = self.metadata else { return Ok(Vec::new()) };
        let lives = read_lives(&mut Reader::new(bytes))?;
        Ok(lives.into_iter().filter(|life| life.2.is_none()).map(|(birth, ..)| birth).collect())
    }

    /// Decodes everything, for writing and merging. Linear in the document.
    ///
    /// # Errors
    /// Bytes that [`encode`] does not write.
    pub fn document(&self) -> Result<Document, DecodeError> {
        let mut document = Document {
            lives: BTreeMap::new(),
            newest: Stamp::ZERO,
            newest_sequence: self.newest_sequence,
            began: self.began,
            spread: Spread::default(),
        };
        match self.metadata {
            Metadata::Plain(birth) => {
                let mark = Mark { stamp: birth.stamp, sequence: self.newest_sequence };
                let mut members = Members { marks: &[mark], runs: Runs::plain(), entries: Vec::new() };
                members.read(self.value, &mut Vec::new(), 0)?;
                let life = Life {
                    sequence: self.newest_sequence,
                    state: LifeState::Living(members.entries.into_iter().collect()),
                };
                document.newest = birth.stamp;
                document.lives.insert(birth, life);
            }
            Metadata::General(bytes) => self.read_general(Reader::new(bytes), &mut document)?,
        }
        Ok(document)
    }

    /// What [`Document::delta_since`] returns, encoded. Of a plain record it is written without decoding the document.
    ///
    /// # Errors
    /// As [`Record::document`].
    pub fn delta_since(&self, after: Sequence) -> Result<Vec<u8>, DecodeError> {
        match self.metadata {
            _ if self.newest_sequence <= after => Ok(Delta::default().encode()),
            Metadata::Plain(birth) => match natural::of_value(self.value) {
                Ok(Some(object)) => Ok([natural::head(birth, object.len()).as_slice(), &object].concat()),
                _ if after == Sequence::ZERO => Ok(self.document()?.canonical()),
                _ => Ok(self.document()?.delta_since(after).encode()),
            },
            // Everything, without copying it first.
            Metadata::General(_) if after == Sequence::ZERO => Ok(self.document()?.canonical()),
            Metadata::General(_) => Ok(self.document()?.delta_since(after).encode()),
        }
    }

    fn read_general(&self, mut reader: Reader<'_>, document: &mut Document) -> Result<(), DecodeError> {
        let mut lives = read_lives(&mut reader)?;
        let marks = read_marks(&mut reader)?;
        let runs = reader.varint()?;
        let mut members =
            Members { marks: &marks, runs: Runs { reader, left: 0, code: 0, runs }, entries: Vec::new() };
        members.read(self.value, &mut Vec::new(), 0)?;
        if members.runs.runs != 0 || members.runs.left != 0 {
            return reader.fail("the runs go beyond the members of the value");
        }
        reader = members.runs.reader;
        if let Some((_, _, Some(entries))) = lives.iter_mut().find(|(_, _, entries)| entries.is_some()) {
            *entries = members.entries.into_iter().collect();
        }
        for _ in 0..reader.count(5)? {
            let life = reader.length()?;
            let (key, entry) = read_other(&mut reader, &marks)?;
            match lives.get_mut(life) {
                Some((_, _, Some(entries))) => entries.insert(key, entry),
                _ => return reader.fail("an entry is of no living birth"),
            };
        }
        document.newest = newest(&lives, &marks);
        document.lives.extend(lives.into_iter().map(|(birth, sequence, entries)| {
            (birth, Life { sequence, state: entries.map_or(LifeState::Removed, LifeState::Living) })
        }));
        Ok(())
    }
}

/// A stamp and when what bears it last changed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    stamp: Stamp,
    sequence: Sequence,
}

/// A birth, its sequence, and the entries if it is living.
type StoredLife = (Birth, Sequence, Option<Entries>);

/// Reads the births; their entries come later.
fn read_lives(reader: &mut Reader<'_>) -> Result<Vec<StoredLife>, DecodeError> {
    const SMALLEST: usize = 26;
    let mut lives = Vec::new();
    for _ in 0..reader.count(SMALLEST)? {
        let (birth, sequence) = (reader.birth()?, Sequence(reader.varint()?));
        lives.push((birth, sequence, (reader.byte()? != 0).then(Entries::new)));
    }
    Ok(lives)
}

fn read_marks(reader: &mut Reader<'_>) -> Result<Vec<Mark>, DecodeError> {
    const SMALLEST: usize = 17;
    let mut marks = Vec::new();
    for _ in 0..reader.count(SMALLEST)? {
        marks.push(Mark { stamp: reader.stamp()?, sequence: Sequence(reader.varint()?) });
    }
    Ok(marks)
}

/// The newest stamp of what is living: every entry has a mark.
fn newest(lives: &[StoredLife], marks: &[Mark]) -> Stamp {
    let births = lives.iter().filter(|life| life.2.is_some()).map(|(birth, ..)| birth.stamp);
    births.chain(marks.iter().map(|mark| mark.stamp)).max().unwrap_or_default()
}

fn mark(reader: &mut Reader<'_>, marks: &[Mark]) -> Result<Mark, DecodeError> {
    let index = reader.length()?;
    marks.get(index).copied().map_or_else(|| reader.fail("a mark is beyond the table"), Ok)
}

/// Reads run-length encoded codes.
struct Runs<'a> {
    reader: Reader<'a>,
    code: u64,
    /// How often `code` is still to come.
    left: u64,
    /// How many runs follow.
    runs: u64,
}

impl Runs<'_> {
    /// Those of a plain record.
    fn plain() -> Self {
        Self { reader: Reader::new(&[]), left: u64::MAX, code: NATURAL, runs: 0 }
    }

    fn next(&mut self) -> Result<u64, DecodeError> {
        while self.left == 0 {
            let Some(runs) = self.runs.checked_sub(1) else {
                return self.reader.fail("the runs end before the members of the value");
            };
            self.runs = runs;
            self.code = self.reader.varint()?;
            self.left = self.reader.varint()?;
        }
        self.left -= 1;
        Ok(self.code)
    }
}

/// Turns the members of the value back into the entries of the first living birth.
struct Members<'m, 'r> {
    marks: &'m [Mark],
    runs: Runs<'r>,
    entries: Vec<(EntryKey, Entry)>,
}

impl Members<'_, '_> {
    fn read(&mut self, value: ValueRef<'_>, path: &mut Vec<u8>, depth: usize) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return self.runs.reader.fail("the value is nested too deeply");
        }
        for (name, member) in value.members() {
            if depth == 0 && name == "_id" {
                continue;
            }
            let length = path.len();
            push_name(path, name.as_bytes());
            let code = self.runs.next()?;
            let kind = match (code % 8, member.kind()) {
                (NATURAL | IMPLIED_MAP, ValueKind::Object) => Kind::Map,
                (NATURAL | OBJECT_REGISTER, _) => Kind::Register,
                (ATTACHMENT, _) => Kind::Attachment,
                (ELSEWHERE, _) => {
                    path.truncate(length);
                    continue;
                }
                _ => return self.runs.reader.fail("the shape of a member is unknown"),
            };
            if code % 8 != IMPLIED_MAP {
                self.push(path, kind, code / 8, member)?;
            }
            if kind == Kind::Map {
                self.read(member, path, depth + 1)?;
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn push(&mut self, path: &[u8], kind: Kind, mark: u64, member: ValueRef<'_>) -> Result<(), DecodeError> {
        let mark = usize::try_from(mark).ok().and_then(|index| self.marks.get(index)).copied();
        let (Some(Mark { stamp, sequence }), Ok(path)) = (mark, Path::from_encoded(path)) else {
            return self.runs.reader.fail("a member has no mark, or a path that is not allowed");
        };
        let content = match kind {
            Kind::Map => Content::Map { stamp, present: true },
            _ => Content::Register { stamp, value: Some(member.bytes().into()) },
        };
        self.entries.push((EntryKey { path, kind }, Entry { content, sequence }));
        Ok(())
    }
}

fn read_other(reader: &mut Reader<'_>, marks: &[Mark]) -> Result<(EntryKey, Entry), DecodeError> {
    let Ok(path) = Path::decode(reader.bytes()?) else { return reader.fail("a path is malformed") };
    let kind = Kind::from_code(reader.byte()?);
    let Mark { stamp, sequence } = mark(reader, marks)?;
    let content = match kind {
        Kind::Register | Kind::Attachment => {
            let value = match reader.length()?.checked_sub(1) {
                Some(length) => Some(reader.take(length)?.into()),
                None => None,
            };
            Content::Register { stamp, value }
        }
        Kind::Map => Content::Map { stamp, present: reader.byte()? != 0 },
        Kind::Counter | Kind::PnCounter => {
            let base = if reader.byte()? == 0 { None } else { Some(reader.u64()?) };
            let mut slots = BTreeMap::new();
            for _ in 0..reader.count(26)? {
                let slot = Slot { run: RunId(reader.u64()?), began: Sequence(reader.varint()?) };
                let (increments, decrements) = (reader.u64()?, reader.u64()?);
                let Mark { stamp, sequence } = mark(reader, marks)?;
                slots.insert(slot, Tally { increments, decrements, stamp, sequence });
            }
            Content::Counter(Counter { generation: stamp, base, slots })
        }
        Kind::Unknown(_) => {
            let mut payloads = BTreeSet::new();
            for _ in 0..reader.count(2)? {
                let stamp = mark(reader, marks)?.stamp;
                payloads.insert((stamp, reader.bytes()?.into()));
            }
            Content::Unknown(payloads)
        }
    };
    Ok((EntryKey { path, kind }, Entry { content, sequence }))
}
