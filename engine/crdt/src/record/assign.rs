//! Writing the record of a document of which one top-level member was assigned, without decoding the document.

use ditto_value::{MAX_DEPTH, ObjectWriter, Value, ValueKind, ValueRef, Writer};

use super::encode::{MetadataWriter, put_head};
use super::{ALIVE, IMPLIED_MAP, Mark, Metadata, NATURAL, Record, Runs};
use super::{newest, put_bytes, read_lives, read_marks};
use crate::codec::{DecodeError, Reader};
use crate::path::{self, depth, push_name};
use crate::version::Hasher;
use crate::{Birth, Hlc, Kind, Sequence, Stamp};

/// What stands beside the value of a document with one birth, which is living, and no entry that the value does not
/// hold.
struct Visible<'a> {
    birth: Birth,
    born: Sequence,
    marks: Vec<Mark>,
    runs: Runs<'a>,
}

impl Record<'_> {
    /// The record after [`crate::Document::set`], without definitions, of the top-level member `name` to a value. None if
    /// that concerns more than this member, or is refused: `set` is to be asked then. Linear in the document, but what
    /// does not change is copied as it is.
    ///
    /// # Errors
    /// As [`Record::document`].
    pub fn assign(
        &self,
        name: &str,
        value: &Value,
        stamp: Stamp,
        sequence: Sequence,
    ) -> Result<Option<Vec<u8>>, DecodeError> {
        let mut path = Vec::with_capacity(name.len() + 1);
        push_name(&mut path, name);
        // An object is merged with what is there, member by member.
        if matches!(value, Value::Object(_))
            || value.depth() + depth(&path) > MAX_DEPTH
            || path::check(&path).is_err()
            || stamp.time >= Hlc::MAX
        {
            return Ok(None);
        }
        let Some(visible) = self.visible_alone(stamp)? else { return Ok(None) };
        let (birth, born) = (visible.birth, visible.born);
        let mut assignment =
            Assignment { visible, metadata: MetadataWriter::default(), mark: Mark { stamp, sequence } };
        let Some(replaced) = assignment.members(self.value, name)? else { return Ok(None) };
        let metadata = assignment.metadata.finish_with([(birth, born, true)].into_iter(), &[0]);

        let mut out = Vec::with_capacity(self.value.bytes().len() + metadata.len() + 64);
        put_head(&mut out, ALIVE, self.newest_sequence.max(sequence), self.began);
        let version_at = out.len();
        out.extend_from_slice(&[0; 16]);
        put_bytes(&mut out, &metadata);
        let mut writer = Writer::after(out);
        let mut version = self.version;
        let mut hasher = Hasher::new(birth);
        if let Some((stamp, old)) = replaced {
            version.subtract(hasher.entry(&path, Kind::Register, stamp, Some(old.bytes())));
        }
        let mut assign = |object: &mut ObjectWriter<'_>| {
            object.with(name, |writer| {
                let start = writer.position();
                writer.value(value);
                version.add(hasher.entry(&path, Kind::Register, stamp, Some(writer.written_after(start))));
            });
        };
        writer.object(|object| {
            let mut assigned = false;
            for (member, old) in self.value.members() {
                if !assigned && member >= name {
                    assigned = true;
                    assign(object);
                }
                if member != name {
                    object.with(member, |writer| writer.encoded(old.bytes()));
                }
            }
            if !assigned {
                assign(object);
            }
        });
        let mut record = writer.into_bytes();
        if let Some(place) = record.get_mut(version_at..version_at + 16) {
            place.copy_from_slice(&version.0.to_le_bytes());
        }
        Ok(Some(record))
    }

    /// None if there is more than the value, or if `stamp` may not be written here, or is the birth's own.
    fn visible_alone(&self, stamp: Stamp) -> Result<Option<Visible<'_>>, DecodeError> {
        if !self.alive {
            return Ok(None);
        }
        let visible = match self.metadata {
            Metadata::Plain(birth) => Visible {
                birth,
                born: self.newest_sequence,
                marks: vec![Mark { stamp: birth.stamp, sequence: self.newest_sequence }],
                runs: Runs::plain(),
            },
            Metadata::General(bytes) => {
                let mut reader = Reader::new(bytes);
                let lives = read_lives(&mut reader)?;
                let [(birth, born, Some(_))] = lives.as_slice() else { return Ok(None) };
                let marks = read_marks(&mut reader)?;
                if stamp < newest(&lives, &marks) {
                    return Ok(None);
                }
                let runs = reader.varint()?;
                let mut others = reader;
                for _ in 0..runs {
                    others.varint()?;
                    others.varint()?;
                }
                if others.varint()? != 0 {
                    return Ok(None);
                }
                Visible { birth: *birth, born: *born, marks, runs: Runs { reader, left: 0, code: 0, runs } }
            }
        };
        Ok((stamp > visible.birth.stamp).then_some(visible))
    }
}

struct Assignment<'a> {
    visible: Visible<'a>,
    metadata: MetadataWriter<'a>,
    /// Of the member that is assigned.
    mark: Mark,
}

/// The stamp and the value of the register that is replaced.
type Replaced<'v> = Option<(Stamp, ValueRef<'v>)>;

impl Assignment<'_> {
    /// Writes the runs anew. None if the member is something else than a register, or something in the document is.
    fn members<'v>(&mut self, value: ValueRef<'v>, name: &str) -> Result<Option<Replaced<'v>>, DecodeError> {
        let mut replaced = None;
        let mut placed = false;
        for (member, value) in value.members().filter(|(member, _)| *member != "_id") {
            if !placed && member >= name {
                placed = true;
                self.metadata.mark(self.mark, NATURAL);
            }
            if member != name {
                if !self.keep(value, 1)? {
                    return Ok(None);
                }
                continue;
            }
            let code = self.visible.runs.next()?;
            if code % 8 != NATURAL || value.kind() == ValueKind::Object {
                return Ok(None);
            }
            replaced = Some((self.mark_of(code)?.stamp, value));
        }
        if !placed {
            self.metadata.mark(self.mark, NATURAL);
        }
        Ok(Some(replaced))
    }

    /// A member, and what is below it, that does not change.
    fn keep(&mut self, value: ValueRef<'_>, depth: usize) -> Result<bool, DecodeError> {
        if depth > MAX_DEPTH {
            return Ok(false);
        }
        let code = self.visible.runs.next()?;
        let shape = code % 8;
        if shape > IMPLIED_MAP {
            return Ok(false);
        }
        if shape == IMPLIED_MAP {
            self.metadata.code(IMPLIED_MAP);
        } else {
            let mark = self.mark_of(code)?;
            self.metadata.mark(mark, shape);
        }
        if matches!(shape, NATURAL | IMPLIED_MAP) && value.kind() == ValueKind::Object {
            for (_, member) in value.members() {
                if !self.keep(member, depth + 1)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn mark_of(&self, code: u64) -> Result<Mark, DecodeError> {
        let mark = usize::try_from(code / 8).ok().and_then(|index| self.visible.marks.get(index));
        mark.copied().map_or_else(|| self.visible.runs.reader.fail("a mark is beyond the table"), Ok)
    }
}
