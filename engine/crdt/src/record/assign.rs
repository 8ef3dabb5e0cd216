//! Writing the record of a document of which one top-level member was assigned, without decoding the document.

use ditto_value::{MAX_DEPTH, Value, ValueKind, ValueRef};

use super::encode::{MetadataWriter, put_head};
use super::{ALIVE, ATTACHMENT, IMPLIED_MAP, Mark, Metadata, NATURAL, Record, Runs};
use super::{newest, put_bytes, read_lives, read_marks};
use crate::codec::{DecodeError, Reader};
use crate::delta::list::List;
use crate::path::{self, depth, push_name};
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
        let mut path = Vec::with_capacity(64);
        push_name(&mut path, name.as_bytes());
        // An object is merged with what is there, member by member.
        if matches!(value, Value::Object(_))
            || value.depth() + depth(&path) > MAX_DEPTH
            || path::check(&path).is_err()
            || stamp.time >= Hlc::MAX
        {
            return Ok(None);
        }
        let Some(visible) = self.visible_alone(stamp)? else { return Ok(None) };
        path.clear();
        let (birth, born) = (visible.birth, visible.born);
        let encoded = value.encode();
        let mut assignment = Assignment {
            visible,
            metadata: MetadataWriter::default(),
            list: List::new(birth, self.value.bytes().len() * 2),
            path,
            mark: Mark { stamp, sequence },
        };
        if !assignment.members(self.value, name.as_bytes(), &encoded)? {
            return Ok(None);
        }
        // The new stamp is not the birth's: the entries have no natural form.
        let version = assignment.list.version();
        let metadata = assignment.metadata.finish_with([(birth, born, true)].into_iter(), &[0]);

        let mut out = Vec::with_capacity(self.value.bytes().len() + encoded.len() + metadata.len() + 64);
        put_head(&mut out, ALIVE, self.newest_sequence.max(sequence), self.began, version);
        put_bytes(&mut out, &metadata);
        self.value.write_with(name, Some(&encoded), &mut out);
        Ok(Some(out))
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
    list: List,
    /// Of the member at hand.
    path: Vec<u8>,
    /// Of the member that is assigned.
    mark: Mark,
}

impl Assignment<'_> {
    /// Writes runs and entries anew. False if the member is something else than a register, or something in the document
    /// is.
    fn members(&mut self, value: ValueRef<'_>, name: &[u8], assigned: &[u8]) -> Result<bool, DecodeError> {
        let mut placed = false;
        for (member, value) in value.raw_members().filter(|(member, _)| *member != b"_id") {
            if !placed && member >= name {
                placed = true;
                self.assign(name, assigned);
            }
            if member != name {
                if !self.keep(member, value, 1)? {
                    return Ok(false);
                }
                continue;
            }
            let code = self.visible.runs.next()?;
            if code % 8 != NATURAL || value.kind() == ValueKind::Object {
                return Ok(false);
            }
            self.mark_of(code)?;
        }
        if !placed {
            self.assign(name, assigned);
        }
        Ok(true)
    }

    fn assign(&mut self, name: &[u8], value: &[u8]) {
        self.metadata.mark(self.mark, NATURAL);
        push_name(&mut self.path, name);
        self.list.register(&self.path, Kind::Register, self.mark.stamp, value);
        self.path.clear();
    }

    /// A member, and what is below it, that does not change.
    fn keep(&mut self, name: &[u8], value: ValueRef<'_>, depth: usize) -> Result<bool, DecodeError> {
        if depth > MAX_DEPTH {
            return Ok(false);
        }
        let code = self.visible.runs.next()?;
        let shape = code % 8;
        if shape > IMPLIED_MAP {
            return Ok(false);
        }
        let length = self.path.len();
        push_name(&mut self.path, name);
        let is_map = matches!(shape, NATURAL | IMPLIED_MAP) && value.kind() == ValueKind::Object;
        if shape == IMPLIED_MAP {
            self.metadata.code(IMPLIED_MAP);
        } else {
            let mark = self.mark_of(code)?;
            self.metadata.mark(mark, shape);
            match shape {
                _ if is_map => self.list.map(&self.path, mark.stamp),
                ATTACHMENT => self.list.register(&self.path, Kind::Attachment, mark.stamp, value.bytes()),
                _ => self.list.register(&self.path, Kind::Register, mark.stamp, value.bytes()),
            }
        }
        if is_map {
            for (name, member) in value.raw_members() {
                if !self.keep(name, member, depth + 1)? {
                    return Ok(false);
                }
            }
        }
        self.path.truncate(length);
        Ok(true)
    }

    fn mark_of(&self, code: u64) -> Result<Mark, DecodeError> {
        let mark = usize::try_from(code / 8).ok().and_then(|index| self.visible.marks.get(index));
        mark.copied().map_or_else(|| self.visible.runs.reader.fail("a mark is beyond the table"), Ok)
    }
}
