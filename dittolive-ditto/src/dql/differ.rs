use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;

use super::QueryResultItem;
use crate::cbor::{self, CborValue};

/// Tells what changed between consecutive results of a query.
///
/// Feed it each result of an observer; it remembers the one before. Rows are the same document when their `_id` is.
///
/// ```
/// use dittolive_ditto::dql::{Differ, QueryResultItem};
/// use serde_json::json;
///
/// let row = |json| QueryResultItem::unstable_try_from_serde_json_value(json);
/// let differ = Differ::new();
/// let diff = differ.diff([row(json!({"_id": 1}))?]);
/// assert_eq!(diff.insertions, [0].into());
/// let diff = differ.diff([row(json!({"_id": 2}))?, row(json!({"_id": 1, "new": true}))?]);
/// assert_eq!((diff.insertions, diff.updates), ([0].into(), [1].into()));
/// # Ok::<_, dittolive_ditto::error::DittoError>(())
/// ```
#[derive(Debug, Default)]
pub struct Differ {
    previous: Mutex<Vec<Row>>,
}

/// The difference between two lists of rows.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// New rows, by their position in the new list.
    pub insertions: HashSet<usize>,
    /// Rows that are gone, by their position in the old list.
    pub deletions: HashSet<usize>,
    /// Rows with another content, by their position in the new list.
    pub updates: HashSet<usize>,
    /// Rows whose rank among the rows of both lists changed.
    pub moves: HashSet<DiffMove>,
}

/// A row that moved, which may be updated as well.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiffMove {
    /// The position in the old list.
    pub from: usize,
    /// The position in the new list.
    pub to: usize,
}

impl From<(usize, usize)> for DiffMove {
    fn from((from, to): (usize, usize)) -> Self {
        Self { from, to }
    }
}

impl Diff {
    /// Nothing changed.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }
}

#[derive(Debug, PartialEq)]
struct Row {
    identity: Identity,
    content: Vec<u8>,
}

/// The `_id` in canonical CBOR, if there is one, and how many rows above have the same.
type Identity = (Option<Vec<u8>>, usize);

#[derive(Deserialize)]
struct OnlyId {
    #[serde(rename = "_id")]
    id: Option<CborValue>,
}

impl Differ {
    /// A differ that has seen nothing: to it every row is new.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What changed since the last call. Takes time linear in the rows of both lists.
    pub fn diff(&self, items: impl IntoIterator<Item = QueryResultItem>) -> Diff {
        let rows = rows(items);
        let mut previous = self.previous.lock().unwrap_or_else(PoisonError::into_inner);
        let diff = difference(&previous, &rows);
        *previous = rows;
        diff
    }
}

fn rows(items: impl IntoIterator<Item = QueryResultItem>) -> Vec<Row> {
    let mut occurrences = HashMap::new();
    let row = |item: QueryResultItem| {
        let content = item.cbor_data();
        let id = cbor::decode::<OnlyId>(&content).ok().and_then(|row| row.id);
        let id = id.and_then(|id| cbor::encode_canonical(&id).ok());
        let count = occurrences.entry(id.clone()).or_insert(0);
        let identity = (id, *count);
        *count += 1;
        Row { identity, content }
    };
    items.into_iter().map(row).collect()
}

fn difference(old: &[Row], new: &[Row]) -> Diff {
    let old_positions: HashMap<&Identity, (usize, &Row)> =
        old.iter().enumerate().map(|(position, row)| (&row.identity, (position, row))).collect();
    let mut diff = Diff::empty();
    // Rows of both lists in the new order, each with its position in both.
    let mut kept = Vec::new();
    for (to, row) in new.iter().enumerate() {
        match old_positions.get(&row.identity) {
            None => {
                diff.insertions.insert(to);
            }
            Some((from, before)) => {
                if before.content != row.content {
                    diff.updates.insert(to);
                }
                kept.push(DiffMove { from: *from, to });
            }
        }
    }
    let mut in_old_order: Vec<usize> = kept.iter().map(|pair| pair.from).collect();
    in_old_order.sort_unstable();
    // The pair at rank r of the new order has moved unless the row at rank r of the old order is the same one.
    diff.moves = kept
        .iter()
        .zip(&in_old_order)
        .filter(|(pair, from)| pair.from != **from)
        .map(|(pair, _)| *pair)
        .collect();
    let kept: HashSet<usize> = in_old_order.into_iter().collect();
    diff.deletions = (0..old.len()).filter(|from| !kept.contains(from)).collect();
    diff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Rows of `(id, content)`.
    fn items(rows: &[(u32, u32)]) -> Vec<QueryResultItem> {
        rows.iter()
            .map(|(id, x)| {
                QueryResultItem::unstable_try_from_serde_json_value(json!({"_id": id, "x": x})).unwrap()
            })
            .collect()
    }

    fn diff(old: &[(u32, u32)], new: &[(u32, u32)]) -> Diff {
        let differ = Differ::new();
        differ.diff(items(old));
        differ.diff(items(new))
    }

    fn moves(pairs: &[(usize, usize)]) -> HashSet<DiffMove> {
        pairs.iter().copied().map(DiffMove::from).collect()
    }

    #[test]
    fn the_first_result_is_all_new_and_an_equal_one_changes_nothing() {
        let differ = Differ::new();
        assert_eq!(differ.diff(items(&[])), Diff::empty());
        assert_eq!(differ.diff(items(&[(1, 0), (2, 0)])).insertions, [0, 1].into());
        assert_eq!(differ.diff(items(&[(1, 0), (2, 0)])), Diff::empty());
    }

    #[test]
    fn insertions_and_deletions_move_nothing() {
        let inserted = diff(&[(1, 0), (2, 0)], &[(3, 0), (1, 0), (4, 0), (2, 0)]);
        assert_eq!(inserted, Diff { insertions: [0, 2].into(), ..Diff::empty() });
        let deleted = diff(&[(3, 0), (1, 0), (2, 0)], &[(1, 0), (2, 0)]);
        assert_eq!(deleted, Diff { deletions: [0].into(), ..Diff::empty() });
    }

    #[test]
    fn a_moved_row_shifts_the_rank_of_those_it_passes() {
        let moved = diff(&[(1, 0), (2, 0), (3, 0)], &[(3, 0), (1, 0), (2, 0)]);
        assert_eq!(moved, Diff { moves: moves(&[(2, 0), (0, 1), (1, 2)]), ..Diff::empty() });
    }

    #[test]
    fn a_row_may_move_and_change_while_others_come_and_go() {
        let changed = diff(&[(9, 0), (1, 0), (2, 0)], &[(2, 5), (1, 0), (7, 0)]);
        assert_eq!(changed.deletions, [0].into());
        assert_eq!(changed.insertions, [2].into());
        assert_eq!(changed.updates, [0].into());
        assert_eq!(changed.moves, moves(&[(2, 0), (1, 1)]));
    }

    #[test]
    fn rows_without_an_id_are_matched_in_order() {
        let row = |x| QueryResultItem::unstable_try_from_serde_json_value(json!({"x": x})).unwrap();
        let differ = Differ::new();
        differ.diff([row(1), row(2)]);
        assert_eq!(differ.diff([row(1), row(3)]), Diff { updates: [1].into(), ..Diff::empty() });
    }

    proptest! {
        /// Applying a diff to the old list gives the new list.
        #[test]
        fn a_diff_tells_all(
            old in prop::collection::btree_map(0_u32..12, 0_u32..3, 0..10).prop_map(|map| map.into_iter().collect::<Vec<_>>()).prop_shuffle(),
            new in prop::collection::btree_map(0_u32..12, 0_u32..3, 0..10).prop_map(|map| map.into_iter().collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let diff = diff(&old, &new);
            let stays: Vec<usize> = (0..old.len()).filter(|from| !diff.deletions.contains(from)).collect();
            let ranks: Vec<usize> = (0..new.len()).filter(|to| !diff.insertions.contains(to)).collect();
            prop_assert_eq!(stays.len(), ranks.len());
            for (from, to) in stays.into_iter().zip(ranks) {
                let from = diff.moves.iter().find(|moved| moved.to == to).map_or(from, |moved| moved.from);
                prop_assert_eq!(old[from].0, new[to].0);
                prop_assert_eq!(old[from].1 != new[to].1, diff.updates.contains(&to));
            }
        }
    }
}
