//! The natural form of entries: the object that they show.
//!
//! Most documents travel as they were inserted: every member is a register or, if it is an object, a map, and bears the
//! stamp of the birth. Then the object says everything, in fewer bytes than a list of entries with their whole paths.

use std::borrow::Cow;
use std::iter::Peekable;

use ditto_value::{MAX_DEPTH, ObjectWriter, ValueKind, ValueRef, Writer};

use super::{FORMAT, NATURAL};
use crate::codec::{put_birth, put_varint};
use crate::entry::{Content, EntryKey};
use crate::path::{MAX_PATH_BYTES, PathError, decode_name, push_name};
use crate::{Birth, Kind, Size, Stamp, is_attachment_token};

/// How many times longer than the object the paths of its entries may be together. An object spells a name once that is
/// part of many paths, so without a bound a short delta could become a huge document.
const MAX_PATHS_PER_BYTE: usize = 16;

/// The natural form, if these entries (in ascending order) have one.
pub(super) fn write<'a>(
    birth: Stamp,
    contents: impl Iterator<Item = (&'a EntryKey, &'a Content)> + Clone,
) -> Option<Vec<u8>> {
    if !have_one(birth, contents.clone()) {
        return None;
    }
    let mut writer = Writer::new();
    writer.object(|object| write_members(&mut contents.clone().peekable(), 0, 0, object));
    let bytes = writer.into_bytes();
    let paths = contents.map(|(key, _)| key.path.bytes().len()).sum();
    is_long_enough(&bytes, paths).then_some(bytes)
}

/// Whether an object may stand for entries whose paths have so many bytes together; not for none at all.
fn is_long_enough(object: &[u8], paths: usize) -> bool {
    (1..=MAX_PATHS_PER_BYTE.saturating_mul(object.len())).contains(&paths)
}

fn have_one<'a>(birth: Stamp, mut contents: impl Iterator<Item = (&'a EntryKey, &'a Content)>) -> bool {
    // The paths of the maps that the next entry may be a member of.
    let mut maps: Vec<&[u8]> = Vec::new();
    let mut last: &[u8] = &[];
    contents.all(|(key, content)| {
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
fn write_members<'a>(
    rest: &mut Peekable<impl Iterator<Item = (&'a EntryKey, &'a Content)>>,
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

/// Calls `each` with the path of every entry of an object that was checked, in ascending order, and its value if it is a
/// register.
pub(crate) fn read<'a>(object: ValueRef<'a>, mut each: impl FnMut(&[u8], Option<&'a [u8]>)) {
    walk(object, &mut Vec::new(), &mut each);
}

/// An object that stands for entries.
pub(crate) struct Checked<'a> {
    pub(crate) object: ValueRef<'a>,
    /// How many.
    pub(crate) entries: usize,
    /// How large they are together, without their birth.
    pub(crate) size: Size,
}

/// Checks bytes from outside.
pub(crate) fn check(bytes: &[u8]) -> Result<Checked<'_>, &'static str> {
    let object = ValueRef::parse(bytes).map_err(|malformed| malformed.reason)?;
    if object.kind() != ValueKind::Object || object.is_empty() {
        return Err("entries in natural form are not an object with members");
    }
    if object.get("_id").is_some() {
        return Err("a path is not allowed");
    }
    let mut entries = object.len();
    let paths =
        paths_length(object, &mut |object| entries += object.len()).map_err(|_| "a path is not allowed")?;
    if !is_long_enough(bytes, paths) {
        return Err("the paths of entries in natural form are too long for it");
    }
    let mut size = Size::of_entries(entries);
    size.paths = paths;
    Ok(Checked { object, entries, size })
}

fn walk<'a>(object: ValueRef<'a>, path: &mut Vec<u8>, each: &mut impl FnMut(&[u8], Option<&'a [u8]>)) {
    for (name, member) in object.raw_members() {
        let length = path.len();
        push_name(path, name);
        if member.kind() == ValueKind::Object {
            each(path, None);
            walk(member, path, each);
        } else {
            each(path, Some(member.bytes()));
        }
        path.truncate(length);
    }
}

/// The natural form of a document that is about to be written without definitions, if it has one: if every object in it, at
/// any depth, is to be a map.
///
/// # Errors
/// Members that cannot be entries.
pub(crate) fn of_new(body: ValueRef<'_>) -> Result<Option<Cow<'_, [u8]>>, PathError> {
    let mut only_maps = true;
    let paths = paths_length(body, &mut |object| only_maps &= !is_attachment_token(object))?;
    Ok(if only_maps { without_id(body, paths) } else { None })
}

/// The natural form of a plain record's value, if it has one.
///
/// # Errors
/// Members that cannot be entries.
pub(crate) fn of_value(value: ValueRef<'_>) -> Result<Option<Cow<'_, [u8]>>, PathError> {
    Ok(without_id(value, paths_length(value, &mut |_| {})?))
}

fn without_id(value: ValueRef<'_>, paths: usize) -> Option<Cow<'_, [u8]>> {
    let object = if value.get("_id").is_none() {
        Cow::Borrowed(value.bytes())
    } else {
        let mut object = Vec::new();
        value.write_with("_id", None, &mut object);
        Cow::Owned(object)
    };
    is_long_enough(&object, paths).then_some(object)
}

/// What precedes an object of that length in the delta of one birth.
pub(crate) fn head(birth: Birth, object_length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    out.extend_from_slice(&[FORMAT, 1]);
    put_birth(&mut out, birth);
    put_varint(&mut out, NATURAL);
    put_varint(&mut out, object_length as u64);
    out
}

/// How long the paths of all entries of an object with or without `_id` are together. `each_object` sees the objects in it.
fn paths_length<'a>(
    object: ValueRef<'a>,
    each_object: &mut impl FnMut(ValueRef<'a>),
) -> Result<usize, PathError> {
    let mut members = object.raw_members().filter(|(name, _)| *name != b"_id");
    members.try_fold(0usize, |total, (name, member)| {
        Ok(total.saturating_add(path_lengths(name, member, (0, 1), each_object)?))
    })
}

/// How long the paths of a member, the `depth`th name from the root, and of what is below it are together, if the path
/// above it has `prefix` bytes.
fn path_lengths<'a>(
    name: &[u8],
    member: ValueRef<'a>,
    (prefix, depth): (usize, usize),
    each_object: &mut impl FnMut(ValueRef<'a>),
) -> Result<usize, PathError> {
    let escapes = name.iter().filter(|byte| **byte < 2).count();
    let own = prefix + name.len() + escapes + 1;
    if own > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    if depth > MAX_DEPTH {
        return Err(PathError::TooDeep);
    }
    let mut total = own;
    if member.kind() == ValueKind::Object {
        each_object(member);
        for (name, member) in member.raw_members() {
            total = total.saturating_add(path_lengths(name, member, (own, depth + 1), each_object)?);
        }
    }
    Ok(total)
}
