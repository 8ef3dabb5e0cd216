//! Whether the rows of an index say all that is asked of the documents.

use std::sync::LazyLock;

use ditto_dql::{Expr, IndexKey, Root};
use ditto_value::{ObjectWriter, Writer, key};

use crate::index::{Index, MAX_INDEX_KEYS};

/// The path of the `_id`.
static ID: LazyLock<[String; 1]> = LazyLock::new(|| ["_id".to_owned()]);

/// What the row of an index has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Covering {
    /// Fields that are needed, by their position.
    pub fields: Vec<usize>,
    /// Whether the `_id` is.
    pub id: bool,
}

impl Covering {
    /// `None` if the expressions read anything but these fields and the `_id`.
    pub(super) fn of<'e>(keys: &[IndexKey], reads: impl IntoIterator<Item = &'e Expr>) -> Option<Self> {
        let mut covering = Self { fields: Vec::new(), id: false };
        let mut is_covered = true;
        for read in reads {
            read.visit(&mut |expr| {
                if let Expr::Path(path) = expr {
                    is_covered &= match path.root {
                        Root::Binding { .. } => true,
                        Root::Field(0) | Root::Source(0) => covering.add(keys, path.members()),
                        _ => false,
                    };
                }
            });
        }
        is_covered.then_some(covering)
    }

    fn add(&mut self, keys: &[IndexKey], path: &[String]) -> bool {
        if path.first().is_some_and(|name| name == "_id") {
            self.id = true;
            return true;
        }
        let Some(field) = keys.iter().position(|key| path.starts_with(&key.path)) else { return false };
        if !self.fields.contains(&field) {
            self.fields.push(field);
            self.fields.sort_unstable();
        }
        true
    }

    /// Writes the part of the document that an unmarked row tells; `None` if the row is malformed.
    pub(crate) fn write(&self, index: &Index, row: &[u8], writer: &mut Writer) -> Option<()> {
        let mut parts = Parts::default();
        let mut start = index.fields_end(row, 0)?;
        let read = if self.id { index.keys.len() } else { self.fields.last().map_or(0, |last| last + 1) };
        for (number, field) in index.keys.iter().enumerate().take(read) {
            let end = index.field_end(row, start, number)?.end;
            let bytes = row.get(start..end)?;
            start = end;
            let missing = if field.descending { !key::MISSING } else { key::MISSING };
            if bytes != [missing] && self.fields.contains(&number) {
                parts.add(Part { path: &field.path, bytes, descending: field.descending });
            }
        }
        if self.id {
            parts.add(Part { path: &*ID, bytes: row.get(start..)?, descending: false });
        }
        let mut is_well_formed = true;
        writer.object(|members| write(parts.in_order(), 0, members, &mut is_well_formed));
        is_well_formed.then_some(())
    }
}

/// An encoded value, and where it is in the document.
#[derive(Clone, Copy, Default)]
struct Part<'r> {
    path: &'r [String],
    bytes: &'r [u8],
    descending: bool,
}

/// The parts of one row; there are many rows, and nothing is allocated for one.
#[derive(Default)]
struct Parts<'r> {
    parts: [Part<'r>; MAX_INDEX_KEYS + 1],
    count: usize,
}

impl<'r> Parts<'r> {
    fn add(&mut self, part: Part<'r>) {
        let Some(slot) = self.parts.get_mut(self.count) else { return };
        *slot = part;
        self.count += 1;
    }

    fn in_order(&mut self) -> &[Part<'r>] {
        let parts = self.parts.get_mut(..self.count).unwrap_or_default();
        parts.sort_unstable_by(|left, right| left.path.cmp(right.path));
        parts
    }
}

/// Writes what lies below the first `depth` names, which all paths share.
fn write(parts: &[Part<'_>], depth: usize, members: &mut ObjectWriter<'_>, is_well_formed: &mut bool) {
    let mut rest = parts;
    while let Some(part) = rest.first() {
        let Some(name) = part.path.get(depth) else { return };
        let count = rest.iter().take_while(|part| part.path.get(depth) == Some(name)).count();
        let (same, behind) = rest.split_at(count);
        rest = behind;
        if part.path.len() == depth + 1 {
            // What other paths lead to lies inside of it.
            members.with(name, |writer| {
                *is_well_formed &= key::transcode(part.bytes, part.descending, writer).is_ok();
            });
        } else {
            members.object(name, |members| write(same, depth + 1, members, is_well_formed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> IndexKey {
        IndexKey { path: path.split('.').map(str::to_owned).collect(), descending: false }
    }

    fn covering(condition: &str) -> Option<Covering> {
        let statement = ditto_dql::parse(&format!("SELECT * FROM c WHERE {condition}")).expect("a statement");
        let ditto_dql::Statement::Select(select) = statement else { panic!("a SELECT") };
        Covering::of(&[key("a"), key("m.k")], &select.filter)
    }

    #[test]
    fn what_lies_below_a_key_is_covered_and_what_lies_above_is_not() {
        let all = |fields: &[usize], id| Some(Covering { fields: fields.to_vec(), id });
        assert_eq!(covering("1 = 1"), all(&[], false));
        assert_eq!(covering("m.k.x = 1 AND lower(c.a) = ''"), all(&[0, 1], false));
        assert_eq!(covering("_id.row = 1 AND ANY x IN a SATISFIES x = _id END"), all(&[0], true));
        assert_eq!(covering("m = 1"), None);
        assert_eq!(covering("a = b"), None);
        assert_eq!(covering("c = 1 AND a = 1"), None, "the alias alone is the whole document");
    }
}
