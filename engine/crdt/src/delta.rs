//! Parts of documents, as they travel.
//!
//! The encoding, also the canonical form of a whole document (see [`Document::canonical`](crate::Document::canonical)):
//!
//! ```text
//! delta    01 | number of lives | lives in ascending order of their births
//! life     birth: time 8, site 8, run 8 | form
//! form     0 = removed
//!          1 = living, entries in natural form: length | the binary form of an object
//!          n + 2 = living, with n entries | entries in ascending order
//! entry    path length | path | kind 1 | content
//! content  register, attachment   mark | 0 = removed, n + 1 = a value of n bytes | the value's binary form
//!          map                    mark | 0 = removed, 1 = there
//!          counter                mark of the generation | 0 = none, 1 = a base | base 8 | number of slots | slots
//!          of an unknown kind     number of payloads (not 0) | payloads in ascending order: mark | length | bytes
//! slot     run 8 | began | increments | decrements | mark    (PN_COUNTER: increments and decrements are doubles, 8)
//! mark     0 = the stamp of the birth, 1 = that of the mark before, 2 = another: time 8, site 8; the least that fits
//! ```
//!
//! An object holds entries in *natural form*: every member, at any depth, is a register or, if it is an object, a map that
//! is there, and bears the stamp of the birth. Entries that have this form are written in no other. Only none at all, and
//! those whose paths are together longer than 16 times the object, do not have it.
//!
//! Numbers with a size are little endian, those without are varints. An entry of an unknown kind has the same frame in
//! every build, so that it can be kept and forwarded.

pub(crate) mod list;
pub(crate) mod natural;

use std::collections::{BTreeMap, BTreeSet};

use ditto_value::{MAX_DEPTH, ValueRef};

use natural::Checked;

use crate::codec::{DecodeError, Reader, put_birth, put_bytes, put_stamp, put_varint};
use crate::document::LifeState;
use crate::entry::{Content, Counter, EntryKey, Tally, is_amount};
use crate::size::check_length;
use crate::{Birth, Document, Kind, MAX_UNKNOWN_PAYLOADS, Path, RunId, Sequence, Size, Slot, Stamp};

pub(crate) const FORMAT: u8 = 1;
/// The fewest bytes that an encoded life, entry, slot and payload have: what a count is checked against.
const SMALLEST_LIFE: usize = 25;
const SMALLEST_ENTRY: usize = 5;
const SMALLEST_SLOT: usize = 12;
const SMALLEST_PAYLOAD: usize = 2;
/// Forms of lives; from [`LISTED`] on they count the entries.
const REMOVED: u64 = 0;
pub(crate) const NATURAL: u64 = 1;
const LISTED: u64 = 2;

/// Any subset of the births and entries of a document. Merging deltas in any order, any number of times, leads to the
/// same document.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// In ascending order.
    pub(crate) lives: Vec<(Birth, DeltaLife)>,
}

#[derive(Clone, Debug)]
pub(crate) enum DeltaLife {
    Removed,
    /// In ascending order of their keys; local sequences mean nothing here.
    Living(Vec<(EntryKey, Content)>),
}

impl Delta {
    /// That these births are removed, and nothing else.
    pub fn removed(births: impl IntoIterator<Item = Birth>) -> Self {
        let births: BTreeSet<Birth> = births.into_iter().collect();
        Self { lives: births.into_iter().map(|birth| (birth, DeltaLife::Removed)).collect() }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    /// How many births and entries it has.
    pub fn len(&self) -> usize {
        let entries = |life: &DeltaLife| match life {
            DeltaLife::Removed => 0,
            DeltaLife::Living(contents) => contents.len(),
        };
        self.lives.iter().map(|(_, life)| 1 + entries(life)).sum()
    }

    /// Whether it says of some birth that it is removed.
    pub fn removes(&self) -> bool {
        self.lives.iter().any(|(_, life)| matches!(life, DeltaLife::Removed))
    }

    /// Whether it says of some birth that it is alive.
    pub fn revives(&self) -> bool {
        self.lives.iter().any(|(_, life)| matches!(life, DeltaLife::Living(_)))
    }

    /// Whether all that it says is that births or entries are removed.
    pub fn only_removes(&self) -> bool {
        self.lives.iter().all(|(_, life)| match life {
            DeltaLife::Removed => true,
            DeltaLife::Living(contents) => contents.iter().all(|(_, content)| content.is_removed()),
        })
    }

    /// The encoding described in the module's source; one for equal deltas.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_head(&mut out, self.lives.len());
        for (birth, life) in &self.lives {
            match life {
                DeltaLife::Removed => put_removed(&mut out, *birth),
                DeltaLife::Living(contents) => {
                    put_living(&mut out, *birth, contents.iter().map(|(key, content)| (key, content)));
                }
            }
        }
        out
    }

    /// Reads what another peer sent. Costs at most memory linear in the input, and bounded by [`MAX_MERGED_BYTES`](crate::MAX_MERGED_BYTES),
    /// [`MAX_PARTS`](crate::MAX_PARTS) and [`MAX_PATHS_BYTES`](crate::MAX_PATHS_BYTES).
    ///
    /// # Errors
    /// What is beyond these bounds, and anything that [`Delta::encode`] does not write: truncation, stamps past the year 6000, values that are not valid,
    /// paths that are not allowed, births or entries out of order.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        check_length(bytes).map_err(|reason| DecodeError { position: 0, reason, too_large: true })?;
        if reader.byte()? != FORMAT {
            return reader.fail("the format of the delta is unknown; a newer build wrote it");
        }
        let count = reader.count(SMALLEST_LIFE)?;
        let mut size = Size::of_births(count);
        size.check_at(reader.position())?;
        let mut lives: Vec<(Birth, DeltaLife)> = Vec::with_capacity(count);
        for _ in 0..count {
            let birth = reader.birth()?;
            if lives.last().is_some_and(|(last, _)| *last >= birth) {
                return reader.fail("births are not in ascending order");
            }
            lives.push((birth, read_life(&mut reader, birth, &mut size)?));
        }
        if reader.is_empty() { Ok(Self { lives }) } else { reader.fail("bytes follow the delta") }
    }
}

/// Equal content; of unequal ones nothing else is said.
impl PartialEq for Delta {
    fn eq(&self, other: &Self) -> bool {
        self.encode() == other.encode()
    }
}

impl Document {
    /// Everything but what is local, in the encoding of [`Delta`]: equal on every peer that knows the same.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        put_head(&mut out, self.lives.len());
        for (birth, life) in &self.lives {
            match &life.state {
                LifeState::Removed => put_removed(&mut out, *birth),
                LifeState::Living(entries) => {
                    put_living(&mut out, *birth, entries.iter().map(|(key, entry)| (key, &entry.content)));
                }
            }
        }
        out
    }
}

/// What precedes so many lives.
fn put_head(out: &mut Vec<u8>, lives: usize) {
    out.push(FORMAT);
    put_varint(out, lives as u64);
}

fn put_removed(out: &mut Vec<u8>, birth: Birth) {
    put_birth(out, birth);
    put_varint(out, REMOVED);
}

fn put_living<'a>(
    out: &mut Vec<u8>,
    birth: Birth,
    contents: impl ExactSizeIterator<Item = (&'a EntryKey, &'a Content)> + Clone,
) {
    put_birth(out, birth);
    if let Some(object) = natural::write(birth.stamp, contents.clone()) {
        put_varint(out, NATURAL);
        put_bytes(out, &object);
        return;
    }
    put_varint(out, contents.len() as u64 + LISTED);
    let mut marks = MarkWriter::new(birth.stamp);
    for (key, content) in contents {
        put_entry(out, key, content, &mut marks);
    }
}

/// Writes marks: references to stamps, most of which are the birth's or the last one's.
struct MarkWriter {
    birth: Stamp,
    last: Option<Stamp>,
}

impl MarkWriter {
    fn new(birth: Stamp) -> Self {
        Self { birth, last: None }
    }

    fn put(&mut self, out: &mut Vec<u8>, stamp: Stamp) {
        if stamp == self.birth {
            out.push(0);
        } else if self.last == Some(stamp) {
            out.push(1);
        } else {
            out.push(2);
            put_stamp(out, stamp);
            self.last = Some(stamp);
        }
    }
}

struct MarkReader {
    birth: Stamp,
    last: Option<Stamp>,
}

impl MarkReader {
    fn get(&mut self, reader: &mut Reader<'_>) -> Result<Stamp, DecodeError> {
        match (reader.byte()?, self.last) {
            (0, _) => Ok(self.birth),
            (1, Some(last)) => Ok(last),
            (2, last) => {
                let stamp = reader.stamp()?;
                if stamp == self.birth || last == Some(stamp) {
                    return reader.fail("a mark is not the least that fits");
                }
                self.last = Some(stamp);
                Ok(stamp)
            }
            _ => reader.fail("a mark is neither 0, 1 nor 2"),
        }
    }
}

fn put_key(out: &mut Vec<u8>, path: &[u8], kind: Kind) {
    put_bytes(out, path);
    out.push(kind.code());
}

fn put_entry(out: &mut Vec<u8>, key: &EntryKey, content: &Content, marks: &mut MarkWriter) {
    put_key(out, key.path.bytes(), key.kind);
    match content {
        Content::Register { stamp, value } => {
            marks.put(out, *stamp);
            put_optional(out, value.as_deref());
        }
        Content::Map { stamp, present } => {
            marks.put(out, *stamp);
            out.push((*present).into());
        }
        Content::Counter(counter) => {
            marks.put(out, counter.generation);
            out.push(counter.base.is_some().into());
            if let Some(base) = counter.base {
                out.extend_from_slice(&base.to_le_bytes());
            }
            put_varint(out, counter.slots.len() as u64);
            for (slot, tally) in &counter.slots {
                out.extend_from_slice(&slot.run.0.to_le_bytes());
                put_varint(out, slot.began.0);
                put_amount(out, key.kind, tally.increments);
                put_amount(out, key.kind, tally.decrements);
                marks.put(out, tally.stamp);
            }
        }
        Content::Unknown(payloads) => {
            put_varint(out, payloads.len() as u64);
            for (stamp, payload) in payloads {
                marks.put(out, *stamp);
                put_bytes(out, payload);
            }
        }
    }
}

pub(crate) fn put_optional(out: &mut Vec<u8>, value: Option<&[u8]>) {
    put_varint(out, value.map_or(0, |value| value.len() as u64 + 1));
    out.extend_from_slice(value.unwrap_or_default());
}

fn put_amount(out: &mut Vec<u8>, kind: Kind, amount: u64) {
    if kind == Kind::PnCounter {
        out.extend_from_slice(&amount.to_le_bytes());
    } else {
        put_varint(out, amount);
    }
}

/// Adds to `size` what it reads, before that takes any memory.
fn read_life(reader: &mut Reader<'_>, birth: Birth, size: &mut Size) -> Result<DeltaLife, DecodeError> {
    let count = match reader.varint()? {
        REMOVED => return Ok(DeltaLife::Removed),
        NATURAL => return read_natural(reader, birth, size),
        form => usize::try_from(form - LISTED).unwrap_or(usize::MAX),
    };
    if count > reader.left() / SMALLEST_ENTRY {
        return reader.fail("a count is beyond the input");
    }
    size.add(Size::of_entries(count));
    size.check_at(reader.position())?;
    let mut marks = MarkReader { birth: birth.stamp, last: None };
    let mut contents: Vec<(EntryKey, Content)> = Vec::with_capacity(count);
    for _ in 0..count {
        let path = reader.bytes()?;
        let Ok(path) = Path::decode(path) else { return reader.fail("a path is not allowed or malformed") };
        let key = EntryKey { path, kind: Kind::from_code(reader.byte()?) };
        if contents.last().is_some_and(|(last, _)| *last >= key) {
            return reader.fail("entries are not in ascending order");
        }
        size.paths = size.paths.saturating_add(key.path.bytes().len());
        let content = read_content(reader, &key, &mut marks, size)?;
        size.check_at(reader.position())?;
        contents.push((key, content));
    }
    if natural::write(birth.stamp, contents.iter().map(|(key, content)| (key, content))).is_some() {
        return reader.fail("entries that have a natural form are not in it");
    }
    Ok(DeltaLife::Living(contents))
}

fn read_natural(reader: &mut Reader<'_>, birth: Birth, size: &mut Size) -> Result<DeltaLife, DecodeError> {
    let stamp = birth.stamp;
    let Checked { object, entries, size: own } =
        natural::check(reader.bytes()?).or_else(|reason| reader.fail(reason))?;
    size.add(own);
    size.check_at(reader.position())?;
    let mut contents = Vec::with_capacity(entries);
    natural::read(object, |path, value| {
        let (kind, content) = match value {
            Some(value) => (Kind::Register, Content::Register { stamp, value: Some(value.into()) }),
            None => (Kind::Map, Content::Map { stamp, present: true }),
        };
        contents.push((EntryKey { path: Path::checked(path), kind }, content));
    });
    Ok(DeltaLife::Living(contents))
}

fn read_content(
    reader: &mut Reader<'_>,
    key: &EntryKey,
    marks: &mut MarkReader,
    size: &mut Size,
) -> Result<Content, DecodeError> {
    Ok(match key.kind {
        Kind::Register | Kind::Attachment => {
            Content::Register { stamp: marks.get(reader)?, value: read_value(reader, key)? }
        }
        Kind::Map => {
            let stamp = marks.get(reader)?;
            if key.path.depth() >= MAX_DEPTH {
                return reader.fail("a map is nested too deeply");
            }
            match reader.byte()? {
                state @ (0 | 1) => Content::Map { stamp, present: state == 1 },
                _ => return reader.fail("a map is neither removed nor there"),
            }
        }
        Kind::Counter | Kind::PnCounter => {
            let generation = marks.get(reader)?;
            let base = match reader.byte()? {
                0 => None,
                1 => Some(reader.u64()?),
                _ => return reader.fail("a counter has neither a base nor none"),
            };
            if base.is_some_and(|base| !is_amount(key.kind, base, false)) {
                return reader.fail("the base of a counter is not a number");
            }
            let mut slots = BTreeMap::new();
            let count = reader.count(SMALLEST_SLOT)?;
            size.add(Size::of_slots(count));
            size.check_at(reader.position())?;
            for _ in 0..count {
                let slot = Slot { run: RunId(reader.u64()?), began: Sequence(reader.varint()?) };
                let tally = Tally {
                    increments: read_amount(reader, key.kind)?,
                    decrements: read_amount(reader, key.kind)?,
                    stamp: marks.get(reader)?,
                    sequence: Sequence::ZERO,
                };
                if slots.last_key_value().is_some_and(|(last, _)| *last >= slot) {
                    return reader.fail("slots are not in ascending order");
                }
                slots.insert(slot, tally);
            }
            Content::Counter(Counter { generation, base, slots })
        }
        Kind::Unknown(_) => {
            let count = reader.count(SMALLEST_PAYLOAD)?;
            if !(1..=MAX_UNKNOWN_PAYLOADS).contains(&count) {
                return reader.fail("an entry of an unknown kind has no payload or too many");
            }
            size.add(Size::of_slots(count));
            let mut payloads = BTreeSet::new();
            for _ in 0..count {
                let payload: (Stamp, Box<[u8]>) = (marks.get(reader)?, reader.bytes()?.into());
                if payloads.last().is_some_and(|last| *last >= payload) {
                    return reader.fail("payloads are not in ascending order");
                }
                payloads.insert(payload);
            }
            Content::Unknown(payloads)
        }
    })
}

fn read_value(reader: &mut Reader<'_>, key: &EntryKey) -> Result<Option<Box<[u8]>>, DecodeError> {
    let Some(length) = reader.length()?.checked_sub(1) else { return Ok(None) };
    let bytes = reader.take(length)?;
    match ValueRef::parse(bytes) {
        Ok(value) if key.path.depth() + value.depth() <= MAX_DEPTH => Ok(Some(bytes.into())),
        Ok(_) => reader.fail("a value is nested too deeply for its place"),
        Err(malformed) => reader.fail(malformed.reason),
    }
}

fn read_amount(reader: &mut Reader<'_>, kind: Kind) -> Result<u64, DecodeError> {
    let amount = if kind == Kind::PnCounter { reader.u64()? } else { reader.varint()? };
    if is_amount(kind, amount, true) { Ok(amount) } else { reader.fail("a counter's sum is not a number") }
}
