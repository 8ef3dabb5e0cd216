//! Writing the record of any document.

use std::collections::BTreeMap;

use ditto_value::{Tree, ValueKind, ValueRef, Writer};

use super::{
    ALIVE, ATTACHMENT, ELSEWHERE, FORMAT, IMPLIED_MAP, Mark, NATURAL, OBJECT_REGISTER, PLAIN, put_birth,
    put_bytes, put_varint,
};
use crate::codec::put_stamp;
use crate::delta::put_optional;
use crate::document::LifeState;
use crate::entry::{Content, Entry, EntryKey};
use crate::visible::{Joint, Shown, ShownContent, shown, write_document};
use crate::{Birth, Definitions, Document, Kind, Sequence, Version};

/// The record of a document. `id` is its `_id`, which becomes a member of the value.
pub fn encode<'a>(document: &Document, id: impl Tree<'a>) -> Vec<u8> {
    encode_as(document, id, document.version())
}

/// [`encode`], by who knows the version already.
pub fn encode_as<'a>(document: &Document, id: impl Tree<'a>, version: Version) -> Vec<u8> {
    let joints = document.joints();
    let members = shown(&joints, &Definitions::default());
    let mut metadata = MetadataWriter::default();
    metadata.members(&members);
    metadata.births(document);
    let birth = metadata.is_plain(document).then(|| document.living_births().next()).flatten();
    let flags = if document.is_alive() { ALIVE } else { 0 } | if birth.is_some() { PLAIN } else { 0 };
    let mut out = Vec::with_capacity(256);
    put_head(&mut out, flags, document.newest_sequence, document.began, version);
    match birth {
        Some(birth) => put_birth(&mut out, birth),
        None => put_bytes(&mut out, &metadata.finish(document)),
    }
    if document.is_alive() {
        let mut writer = Writer::after(out);
        write_document(id, &members, &mut writer);
        out = writer.into_bytes();
    }
    out
}

/// What precedes the metadata.
pub(super) fn put_head(out: &mut Vec<u8>, flags: u8, newest: Sequence, began: Sequence, version: Version) {
    out.extend_from_slice(&[FORMAT, flags]);
    put_varint(out, newest.0);
    put_varint(out, newest.0.saturating_sub(began.0));
    out.extend_from_slice(&version.0.to_le_bytes());
}

/// Gathers what is in a general record's metadata.
#[derive(Default)]
pub(super) struct MetadataWriter<'a> {
    marks: Marks,
    runs: Vec<(u64, u64)>,
    /// The keys of the first living birth's entries that the value holds, in order.
    in_value: Vec<&'a EntryKey>,
    others: Vec<(usize, &'a EntryKey, &'a Entry)>,
}

#[derive(Default)]
struct Marks {
    table: Vec<Mark>,
    index: BTreeMap<Mark, usize>,
    /// The one that was asked for last; mostly it is the next as well.
    last: usize,
}

impl Marks {
    fn of(&mut self, stamp: crate::Stamp, sequence: Sequence) -> u64 {
        let mark = Mark { stamp, sequence };
        if self.table.get(self.last) != Some(&mark) {
            let next = self.table.len();
            self.last = *self.index.entry(mark).or_insert(next);
            if self.last == next {
                self.table.push(mark);
            }
        }
        self.last as u64
    }
}

impl<'a> MetadataWriter<'a> {
    fn members(&mut self, members: &[Shown<'a>]) {
        for member in members {
            match &member.content {
                ShownContent::Counter(_) => self.code(ELSEWHERE),
                ShownContent::Value(value, joint) => {
                    let is_object = ValueRef::from_stored(value).kind() == ValueKind::Object;
                    let shape = match (joint.key.kind, is_object) {
                        (Kind::Attachment, _) => ATTACHMENT,
                        (_, true) => OBJECT_REGISTER,
                        (_, false) => NATURAL,
                    };
                    match joint.primary.map(|entry| (&entry.content, entry)) {
                        Some((Content::Register { value: Some(own), .. }, entry)) if **own == **value => {
                            self.in_value(joint, entry, shape);
                        }
                        _ => self.code(ELSEWHERE),
                    }
                }
                ShownContent::Map(own, members) => {
                    match own.and_then(|joint| joint.primary.map(|entry| (joint, entry))) {
                        Some((joint, entry @ Entry { content: Content::Map { present: true, .. }, .. })) => {
                            self.in_value(joint, entry, NATURAL);
                        }
                        _ => self.code(IMPLIED_MAP),
                    }
                    self.members(members);
                }
            }
        }
    }

    fn in_value(&mut self, joint: &Joint<'a>, entry: &Entry, shape: u64) {
        self.mark(Mark { stamp: entry.content.newest(), sequence: entry.sequence }, shape);
        self.in_value.push(joint.key);
    }

    /// The code of the next member, which has an entry.
    pub(super) fn mark(&mut self, mark: Mark, shape: u64) {
        let index = self.marks.of(mark.stamp, mark.sequence);
        self.code(index * 8 + shape);
    }

    /// The code of the next member.
    pub(super) fn code(&mut self, code: u64) {
        match self.runs.last_mut() {
            Some((last, count)) if *last == code => *count += 1,
            _ => self.runs.push((code, 1)),
        }
    }

    /// Collects the entries that the value does not hold.
    fn births(&mut self, document: &'a Document) {
        let mut in_value = std::mem::take(&mut self.in_value).into_iter().peekable();
        for (index, life) in document.lives.values().enumerate() {
            let LifeState::Living(entries) = &life.state else { continue };
            for (key, entry) in entries {
                // Only the first living birth has any; they are met in its order.
                if in_value.peek().is_some_and(|next| std::ptr::eq(*next, key)) {
                    in_value.next();
                } else {
                    self.others.push((index, key, entry));
                }
            }
        }
    }

    /// Whether everything follows from one birth and the value.
    fn is_plain(&self, document: &Document) -> bool {
        let mut lives = document.lives.iter();
        let (Some((birth, life)), None) = (lives.next(), lives.next()) else { return false };
        let newest = document.newest_sequence;
        let expected = Mark { stamp: birth.stamp, sequence: newest };
        matches!(life.state, LifeState::Living(_))
            && life.sequence == newest
            && self.others.is_empty()
            && self.runs.iter().all(|(code, _)| *code == NATURAL)
            && self.marks.table.iter().all(|mark| *mark == expected)
    }

    fn finish(mut self, document: &Document) -> Vec<u8> {
        let mut others = Vec::new();
        put_varint(&mut others, self.others.len() as u64);
        for (birth, key, entry) in std::mem::take(&mut self.others) {
            put_varint(&mut others, birth as u64);
            put_bytes(&mut others, key.path.bytes());
            others.push(key.kind.code());
            self.content(&mut others, entry);
        }
        let births = document
            .lives
            .iter()
            .map(|(birth, life)| (*birth, life.sequence, matches!(life.state, LifeState::Living(_))));
        self.finish_with(births, &others)
    }

    /// `births` with their sequences, and whether they are living; `others` as they are written.
    pub(super) fn finish_with(
        &self,
        births: impl ExactSizeIterator<Item = (Birth, Sequence, bool)>,
        others: &[u8],
    ) -> Vec<u8> {
        let (marks, runs) = (&self.marks.table, &self.runs);
        let mut out =
            Vec::with_capacity(32 + 34 * births.len() + 20 * marks.len() + 4 * runs.len() + others.len());
        put_varint(&mut out, births.len() as u64);
        for (birth, sequence, living) in births {
            put_birth(&mut out, birth);
            put_varint(&mut out, sequence.0);
            out.push(living.into());
        }
        put_varint(&mut out, marks.len() as u64);
        for mark in marks {
            put_stamp(&mut out, mark.stamp);
            put_varint(&mut out, mark.sequence.0);
        }
        put_varint(&mut out, runs.len() as u64);
        for (code, count) in runs {
            put_varint(&mut out, *code);
            put_varint(&mut out, *count);
        }
        out.extend_from_slice(others);
        out
    }

    fn content(&mut self, out: &mut Vec<u8>, entry: &Entry) {
        let mark = |marks: &mut Marks, out: &mut Vec<u8>, stamp, sequence| {
            put_varint(out, marks.of(stamp, sequence));
        };
        match &entry.content {
            Content::Register { stamp, value } => {
                mark(&mut self.marks, out, *stamp, entry.sequence);
                put_optional(out, value.as_deref());
            }
            Content::Map { stamp, present } => {
                mark(&mut self.marks, out, *stamp, entry.sequence);
                out.push((*present).into());
            }
            Content::Counter(counter) => {
                mark(&mut self.marks, out, counter.generation, entry.sequence);
                out.push(counter.base.is_some().into());
                if let Some(base) = counter.base {
                    out.extend_from_slice(&base.to_le_bytes());
                }
                put_varint(out, counter.slots.len() as u64);
                for (slot, tally) in &counter.slots {
                    out.extend_from_slice(&slot.run.0.to_le_bytes());
                    put_varint(out, slot.began.0);
                    out.extend_from_slice(&tally.increments.to_le_bytes());
                    out.extend_from_slice(&tally.decrements.to_le_bytes());
                    mark(&mut self.marks, out, tally.stamp, tally.sequence);
                }
            }
            Content::Unknown(payloads) => {
                mark(&mut self.marks, out, entry.content.newest(), entry.sequence);
                put_varint(out, payloads.len() as u64);
                for (stamp, payload) in payloads {
                    mark(&mut self.marks, out, *stamp, entry.sequence);
                    put_bytes(out, payload);
                }
            }
        }
    }
}
