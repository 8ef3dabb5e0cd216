//! The row of a document in an index, and the parts of a row.
//!
//! ```text
//! key    index id 4 | the value of each field, encoded, inverted if the field is descending | encoded `_id`
//! value  nothing, or 01: the document says more than the key
//! ```
//!
//! Of a value whose encoding is longer than [`MAX_INDEXED_BYTES`] only so many bytes are in the key: it is *cut*. No
//! encoding is the beginning of another one, so rows remain in the order of the values up to the cut, and a cut value
//! is told from a whole one by its length. Rows with a value of this length, cut or not, or with one that does not come
//! back from its encoding as it was (a float without a fraction reads as an integer), are marked; whoever needs the
//! values reads the document.

use ditto_dql::IndexKey;
use ditto_value::{Number, ValueKind, ValueRef, key};

use super::Index;
use crate::layout;

/// Longest part of a row that one value can be, in bytes. Longer ones are cut.
pub(crate) const MAX_INDEXED_BYTES: usize = 1024;

/// Value of a row that says everything of the fields.
const WHOLE: &[u8] = &[];
/// Value of a row that does not.
const MARKED: &[u8] = &[0x01];

/// Length of the index id at the front.
const PREFIX: usize = 4;

/// A row for one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub key: Vec<u8>,
    pub marked: bool,
}

impl Entry {
    /// The value of the row.
    pub(crate) fn value(&self) -> &'static [u8] {
        if self.marked { MARKED } else { WHOLE }
    }
}

/// Whether the value of a row says that the document says more than the key.
pub(crate) fn is_marked(value: &[u8]) -> bool {
    !value.is_empty()
}

/// Where a part of a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Offset of the first byte after it.
    pub end: usize,
    /// Whether it is only the beginning of the value.
    pub is_cut: bool,
}

impl Index {
    /// The row of a document.
    pub(crate) fn entry(&self, id: &[u8], document: ValueRef<'_>) -> Entry {
        let mut entry =
            Entry { key: Vec::with_capacity(PREFIX + 16 * self.keys.len() + id.len()), marked: false };
        entry.key.extend_from_slice(&layout::index_prefix(self.id));
        for field in &self.keys {
            let value = field_of(document, field);
            entry.marked |= !append(value, field.descending, &mut entry.key);
        }
        entry.key.extend_from_slice(id);
        entry
    }

    /// Whether both documents have the same bytes in every field, and so the same row.
    pub(super) fn is_unchanged(&self, before: ValueRef<'_>, after: ValueRef<'_>) -> bool {
        self.keys.iter().all(|field| field_of(before, field) == field_of(after, field))
    }

    /// Where the value of the `number`-th field, which starts at `start`, ends; `None` if the row is malformed.
    pub(crate) fn field_end(&self, row: &[u8], start: usize, number: usize) -> Option<Cut> {
        let rest = row.get(start..)?;
        let window = rest.get(..MAX_INDEXED_BYTES).unwrap_or(rest);
        let length = if self.keys.get(number)?.descending {
            key::length_descending(window)
        } else {
            key::length(window)
        };
        match length {
            Ok(length) => Some(Cut { end: start + length, is_cut: false }),
            Err(_) if window.len() == MAX_INDEXED_BYTES => {
                Some(Cut { end: start + MAX_INDEXED_BYTES, is_cut: true })
            }
            Err(_) => None,
        }
    }

    /// Where the values of the first `count` fields end; `None` if the row is malformed.
    pub(crate) fn fields_end(&self, row: &[u8], count: usize) -> Option<usize> {
        (0..count).try_fold(PREFIX, |start, number| Some(self.field_end(row, start, number)?.end))
    }

    /// The encoded `_id` at the end of a row.
    pub(crate) fn id_of<'r>(&self, row: &'r [u8]) -> Option<&'r [u8]> {
        row.get(self.fields_end(row, self.keys.len())?..)
    }
}

fn field_of<'d>(document: ValueRef<'d>, field: &IndexKey) -> Option<ValueRef<'d>> {
    document.path(field.path.iter().map(String::as_str))
}

/// Appends the key of a value; `None` is MISSING. Whether decoding gives back the very value.
fn append(value: Option<ValueRef<'_>>, descending: bool, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let Some(value) = value else {
        out.push(if descending { !key::MISSING } else { key::MISSING });
        return true;
    };
    if descending {
        key::encode_descending(value, out);
    } else {
        key::encode(value, out);
    }
    // As long as a cut value is enough to be taken for one when ranges are made.
    if out.len() - start >= MAX_INDEXED_BYTES {
        out.truncate(start + MAX_INDEXED_BYTES);
        return false;
    }
    comes_back(value)
}

/// Whether no part of the value is a float that an integer could stand for.
fn comes_back(value: ValueRef<'_>) -> bool {
    match value.kind() {
        ValueKind::Float => match value.as_number() {
            Some(Number::Float(number)) => number.fract() != 0.0,
            _ => true,
        },
        ValueKind::Array => value.elements().all(comes_back),
        ValueKind::Object => value.members().all(|(_, member)| comes_back(member)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use ditto_value::Value;
    use proptest::prelude::*;

    use super::*;
    use crate::index::{Definition, Position, State};
    use crate::layout::{CollectionId, IndexId};

    fn index(descending: &[bool]) -> Index {
        let key = |(number, descending): (usize, &bool)| IndexKey {
            path: vec![format!("f{number}")],
            descending: *descending,
        };
        let keys = descending.iter().enumerate().map(key).collect();
        let (state, position) = (State::Ready, Position::default());
        let definition = Definition { collection: CollectionId(1), name: "i".into(), keys, state, position };
        Index::new(IndexId(9), definition)
    }

    fn value() -> impl Strategy<Value = Option<Value>> {
        let text = prop_oneof![".{0,6}", "a{1010,1030}.{0,6}", "\\x00{500,520}"].prop_map(Value::from);
        let number = prop_oneof![
            (-9..9i64).prop_map(Value::from),
            (-9..9i32).prop_map(|n| Value::from(f64::from(n) / 2.0))
        ];
        let scalar = prop_oneof![4 => number, 4 => text, 1 => Just(Value::Null), 1 => any::<bool>().prop_map(Value::from)];
        let array = prop::collection::vec(scalar.clone(), 0..3).prop_map(Value::Array);
        prop_oneof![1 => Just(None), 6 => scalar.prop_map(Some), 1 => array.prop_map(Some)]
    }

    fn document(values: &[Option<Value>]) -> Vec<u8> {
        let members =
            values.iter().enumerate().filter_map(|(n, value)| Some((format!("f{n}"), value.clone()?)));
        Value::Object(members.collect()).encode()
    }

    proptest! {
        #[test]
        fn a_row_falls_apart_into_what_it_was_made_of(values in prop::collection::vec((value(), any::<bool>()), 1..4), id in ".{0,4}") {
            let (values, descending): (Vec<_>, Vec<_>) = values.into_iter().unzip();
            let index = index(&descending);
            let bytes = document(&values);
            let id = key::of(&Value::from(id));
            let entry = index.entry(&id, ValueRef::from_stored(&bytes));
            prop_assert_eq!(index.id_of(&entry.key), Some(&id[..]));
            let mut start = PREFIX;
            let mut marked = false;
            for (number, value) in values.iter().enumerate() {
                let Cut { end, is_cut } = index.field_end(&entry.key, start, number).expect("well-formed");
                let whole = value.as_ref().map_or(vec![key::MISSING], key::of);
                prop_assert_eq!(is_cut, whole.len() > MAX_INDEXED_BYTES);
                if !is_cut && let Some(value) = value {
                    let part = &entry.key[start..end];
                    let decoded = if descending[number] { key::decode_descending(part) } else { key::decode(part) };
                    let decoded = decoded.expect("a key").0;
                    prop_assert!(decoded.compare(value).is_eq());
                    marked |= decoded != *value;
                }
                marked |= is_cut;
                start = end;
            }
            prop_assert!(entry.marked || !marked, "a row that says less than the document must be marked");
        }

        #[test]
        fn rows_of_whole_values_are_in_the_order_of_the_values(
            left in prop::collection::vec(value(), 2),
            right in prop::collection::vec(value(), 2),
            descending in prop::collection::vec(any::<bool>(), 2),
        ) {
            let index = index(&descending);
            let row = |values: &[Option<Value>]| index.entry(b"", ValueRef::from_stored(&document(values))).key;
            let mut expected = std::cmp::Ordering::Equal;
            for ((left, right), descending) in left.iter().zip(&right).zip(&descending) {
                let key = |value: &Option<Value>| value.as_ref().map_or(vec![key::MISSING], key::of);
                let (left, right) = (key(left), key(right));
                let shown = |key: &[u8]| key.get(..MAX_INDEXED_BYTES).unwrap_or(key).to_vec();
                let order = shown(&left).cmp(&shown(&right));
                expected = expected.then(if *descending { order.reverse() } else { order });
            }
            prop_assert_eq!(row(&left).cmp(&row(&right)), expected);
        }

        #[test]
        fn rows_from_elsewhere_never_panic(row in prop::collection::vec(any::<u8>(), 0..40), descending in any::<bool>()) {
            let index = index(&[descending, !descending]);
            let _ = index.id_of(&row);
        }
    }
}
