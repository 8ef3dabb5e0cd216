//! What a reader sees: the join over the living births, with one kind chosen at every path.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ditto_value::{Object, Tree, Value, ValueRef, Writer};

use crate::definitions::Scope;
use crate::entry::{Content, Entry, EntryKey};
use crate::path::decode_name;
use crate::{Definitions, Document, Kind, Stamp};

/// An entry as the join over all living births shows it.
pub(crate) struct Joint<'a> {
    pub(crate) key: &'a EntryKey,
    pub(crate) content: Cow<'a, Content>,
    /// The entry of the first living birth, if it has one of this key.
    pub(crate) primary: Option<&'a Entry>,
}

impl<'a> Joint<'a> {
    fn primary((key, entry): (&'a EntryKey, &'a Entry)) -> Self {
        Self { key, content: Cow::Borrowed(&entry.content), primary: Some(entry) }
    }
}

/// A member that is visible.
pub(crate) struct Shown<'a> {
    pub(crate) name: Cow<'a, str>,
    /// The newest stamp of what is shown.
    newest: Stamp,
    pub(crate) content: ShownContent<'a>,
}

pub(crate) enum ShownContent<'a> {
    /// A register or attachment: the stored form of its value.
    Value(&'a [u8], &'a Joint<'a>),
    Counter(Value),
    /// The map's own entry, if that is there, and its members in order.
    Map(Option<&'a Joint<'a>>, Vec<Shown<'a>>),
}

impl Document {
    /// The document as a statement with these definitions sees it, `_id` included; None if it is deleted.
    ///
    /// At every path one kind is shown: the declared one; in strict mode otherwise the register; else the one with the
    /// newest stamp that is not removed. A map is shown if it is there or if any member below it is.
    pub fn visible(&self, id: &Value, definitions: &Definitions) -> Option<Object> {
        let mut writer = Writer::new();
        self.write_visible(id, definitions, &mut writer);
        ValueRef::from_stored(&writer.into_bytes()).to_object()
    }

    /// Writes what [`Document::visible`] returns, in binary form; null if the document is deleted.
    pub fn write_visible<'a>(&self, id: impl Tree<'a>, definitions: &Definitions, writer: &mut Writer) {
        if !self.is_alive() {
            return writer.value(&Value::Null);
        }
        let joints = self.joints();
        write_document(id, &shown(&joints, definitions), writer);
    }

    /// All entries of the living births, joined, in order.
    pub(crate) fn joints(&self) -> Vec<Joint<'_>> {
        let mut living = self.living().map(|(_, entries)| entries);
        let Some(primary) = living.next() else { return Vec::new() };
        let mut others = living.peekable();
        if others.peek().is_none() {
            return primary.iter().map(Joint::primary).collect();
        }
        let mut joined: BTreeMap<&EntryKey, Joint<'_>> =
            primary.iter().map(|member| (member.0, Joint::primary(member))).collect();
        for (key, entry) in others.flatten() {
            joined
                .entry(key)
                .and_modify(|joint| joint.content.to_mut().absorb(&entry.content, key.kind))
                .or_insert_with(|| Joint { key, content: Cow::Borrowed(&entry.content), primary: None });
        }
        joined.into_values().collect()
    }
}

/// The top-level members that are visible.
pub(crate) fn shown<'a>(joints: &'a [Joint<'a>], definitions: &Definitions) -> Vec<Shown<'a>> {
    members(joints, 0, definitions.scope())
}

/// `joints` are those below one map, whose path has `prefix` bytes.
fn members<'a>(joints: &'a [Joint<'a>], prefix: usize, scope: Scope<'_>) -> Vec<Shown<'a>> {
    let mut result = Vec::new();
    let mut rest = joints;
    while let Some(first) = rest.first() {
        let below = first.key.path.bytes().get(prefix..).unwrap_or_default();
        let name_length = below.iter().position(|byte| *byte == 0).unwrap_or(below.len());
        let (name, end) = (below.get(..name_length).unwrap_or_default(), prefix + name_length + 1);
        let full = first.key.path.bytes().get(..end).unwrap_or_default();
        let size = rest.iter().take_while(|joint| joint.key.path.bytes().starts_with(full)).count().max(1);
        let (group, others) = rest.split_at(size);
        rest = others;
        let name = decode_name(name);
        let scope = scope.member(&name);
        if let Some((newest, content)) = choose(group, end, scope) {
            result.push(Shown { name, newest, content });
        }
    }
    result
}

/// Of all kinds at one path (`path_length` bytes of it) and below, the one that is shown.
fn choose<'a>(
    group: &'a [Joint<'a>],
    path_length: usize,
    scope: Scope<'_>,
) -> Option<(Stamp, ShownContent<'a>)> {
    let here = group.iter().take_while(|joint| joint.key.path.bytes().len() == path_length).count();
    let (here, below) = group.split_at(here);
    let only = scope.only();
    let wanted = |kind: Kind| only.is_none_or(|only| only == kind);
    let mut best: Option<(Stamp, Kind, ShownContent<'a>)> = None;
    let mut offer = |newest: Stamp, kind: Kind, content: ShownContent<'a>| {
        if best.as_ref().is_none_or(|(stamp, other, _)| (*stamp, *other) < (newest, kind)) {
            best = Some((newest, kind, content));
        }
    };
    let mut map = None;
    for joint in here.iter().filter(|joint| wanted(joint.key.kind)) {
        match joint.content.as_ref() {
            Content::Register { stamp, value: Some(value) } => {
                offer(*stamp, joint.key.kind, ShownContent::Value(value, joint));
            }
            Content::Map { present: true, .. } => map = Some(joint),
            Content::Counter(counter) if counter.is_visible() => {
                let value = counter.value(joint.key.kind);
                offer(joint.content.newest(), joint.key.kind, ShownContent::Counter(value));
            }
            _ => {}
        }
    }
    if wanted(Kind::Map) && (map.is_some() || !below.is_empty()) {
        let members = members(below, path_length, scope);
        let newest = members.iter().map(|member| member.newest).max();
        if map.is_some() || newest.is_some() {
            let own = map.map_or(Stamp::ZERO, |map| map.content.newest());
            offer(own.max(newest.unwrap_or_default()), Kind::Map, ShownContent::Map(map, members));
        }
    }
    best.map(|(newest, _, content)| (newest, content))
}

/// Writes the members with `_id` at its place among them.
pub(crate) fn write_document<'a>(id: impl Tree<'a>, members: &[Shown<'_>], writer: &mut Writer) {
    let before = members.partition_point(|member| member.name.as_ref() < "_id");
    let (before, after) = members.split_at(before);
    writer.object(|object| {
        before.iter().for_each(|member| object.with(&member.name, |writer| write_member(member, writer)));
        object.value("_id", id);
        after.iter().for_each(|member| object.with(&member.name, |writer| write_member(member, writer)));
    });
}

fn write_member(member: &Shown<'_>, writer: &mut Writer) {
    match &member.content {
        ShownContent::Value(value, _) => writer.encoded(value),
        ShownContent::Counter(value) => writer.value(value),
        ShownContent::Map(_, members) => writer.object(|object| {
            members
                .iter()
                .for_each(|member| object.with(&member.name, |writer| write_member(member, writer)));
        }),
    }
}
