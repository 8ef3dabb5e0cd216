//! The natural form of entries: the object that they show.
//!
//! Most documents travel as they were inserted: every member is a register or, if it is an object, a map, and bears the
//! stamp of the birth. Then the object says everything, in fewer bytes than a list of entries with their whole paths.

use std::iter::Peekable;
use std::slice;

use ditto_value::{MAX_DEPTH, ObjectWriter, ValueKind, ValueRef, Writer};

use crate::entry::{Content, EntryKey};
use crate::path::{self, decode_name, push_name};
use crate::{Kind, Stamp};

/// How many times longer than the object the paths of its entries may be together. An object spells a name once that is
/// part of many paths, so without a bound a short delta could become a huge document.
pub(crate) const MAX_PATHS_PER_BYTE: usize = 16;

/// The natural form, if these entries (in ascending order) have one.
pub(super) fn write(birth: Stamp, contents: &[(EntryKey, Content)]) -> Option<Vec<u8>> {
    if contents.is_empty() || !have_one(birth, contents) {
        return None;
    }
    let mut writer = Writer::new();
    writer.object(|object| write_members(&mut contents.iter().peekable(), 0, 0, object));
    let bytes = writer.into_bytes();
    let paths: usize = contents.iter().map(|(key, _)| key.path.bytes().len()).sum();
    (paths <= MAX_PATHS_PER_BYTE.saturating_mul(bytes.len())).then_some(bytes)
}

fn have_one(birth: Stamp, contents: &[(EntryKey, Content)]) -> bool {
    // The paths of the maps that the next entry may be a member of.
    let mut maps: Vec<&[u8]> = Vec::new();
    let mut last: &[u8] = &[];
    contents.iter().all(|(key, content)| {
        let path = key.path.bytes();
        while maps.last().is_some_and(|map| !path.starts_with(map)) {
            maps.pop();
        }
        let natural = match content {
            Content::Register { stamp, value: Some(value) } => {
                let is_object = ValueRef::from_stored(value).kind() == ValueKind::Object;
                key.kind == Kind::Register && *stamp == birth && !is_object
            }
            Content::Map { stamp, present } => *stamp == birth && *present,
            _ => false,
        };
        let has_place = path != last && key.path.depth() == maps.len() + 1;
        if key.kind == Kind::Map {
            maps.push(path);
        }
        last = path;
        natural && has_place
    })
}

/// Writes the entries at `depth` and below, whose paths begin with the same `prefix` bytes.
fn write_members(
    rest: &mut Peekable<slice::Iter<'_, (EntryKey, Content)>>,
    prefix: usize,
    depth: usize,
    object: &mut ObjectWriter<'_>,
) {
    while let Some((key, content)) = rest.next_if(|(key, _)| key.path.depth() > depth) {
        let path = key.path.bytes();
        let name = decode_name(path.get(prefix..path.len() - 1).unwrap_or_default());
        match content {
            Content::Register { value: Some(value), .. } => {
                object.with(&name, |writer| writer.encoded(value));
            }
            _ => object.object(&name, |members| write_members(rest, path.len(), depth + 1, members)),
        }
    }
}

/// Checks bytes from outside and calls `each` with the path of every entry, in ascending order, and its value if it is a
/// register.
pub(crate) fn read<'a>(
    bytes: &'a [u8],
    each: impl FnMut(&[u8], Option<&'a [u8]>),
) -> Result<ValueRef<'a>, &'static str> {
    let object = ValueRef::parse(bytes).map_err(|malformed| malformed.reason)?;
    if object.kind() != ValueKind::Object || object.is_empty() {
        return Err("entries in natural form are not an object with members");
    }
    let budget = MAX_PATHS_PER_BYTE.saturating_mul(bytes.len());
    Walk { path: Vec::new(), budget, each }.members(object)?;
    Ok(object)
}

struct Walk<F> {
    path: Vec<u8>,
    /// How long the paths that follow may be together.
    budget: usize,
    each: F,
}

impl<'a, F: FnMut(&[u8], Option<&'a [u8]>)> Walk<F> {
    fn members(&mut self, object: ValueRef<'a>) -> Result<(), &'static str> {
        for (name, member) in object.members() {
            let length = self.path.len();
            push_name(&mut self.path, name);
            path::check(&self.path).map_err(|_| "a path is not allowed")?;
            self.budget = self
                .budget
                .checked_sub(self.path.len())
                .ok_or("the paths of entries in natural form are too long for it")?;
            if member.kind() == ValueKind::Object {
                (self.each)(&self.path, None);
                self.members(member)?;
            } else {
                (self.each)(&self.path, Some(member.bytes()));
            }
            self.path.truncate(length);
        }
        Ok(())
    }
}

/// Writes the natural form of a plain record's value, which is the value without `_id`; None if it has none.
pub(crate) fn of_value(value: ValueRef<'_>) -> Option<Vec<u8>> {
    let mut writer = Writer::after(Vec::with_capacity(value.bytes().len()));
    let mut paths = 0usize;
    writer.object(|object| {
        for (name, member) in value.members().filter(|(name, _)| *name != "_id") {
            object.with(name, |writer| writer.encoded(member.bytes()));
            paths += paths_length(name, member, 0, 1);
        }
    });
    let bytes = writer.into_bytes();
    (paths > 0 && paths <= MAX_PATHS_PER_BYTE.saturating_mul(bytes.len())).then_some(bytes)
}

/// How long the paths of a member, the `depth`th name from the root, and of what is below it are together, if the path
/// above it has `prefix` bytes.
fn paths_length(name: &str, member: ValueRef<'_>, prefix: usize, depth: usize) -> usize {
    let escapes = name.bytes().filter(|byte| *byte < 2).count();
    let own = prefix + name.len() + escapes + 1;
    let below = match member.kind() {
        ValueKind::Object if depth < MAX_DEPTH => {
            member.members().map(|(name, member)| paths_length(name, member, own, depth + 1)).sum()
        }
        _ => 0,
    };
    own + below
}
