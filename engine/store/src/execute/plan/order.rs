//! Whether the rows of a scan come in the order of ORDER BY.

use ditto_dql::{Expr, IndexKey, SortItem};

use super::condition::{Condition, is_id};

/// How the rows of a scan stand to ORDER BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ordered {
    /// So many leading fields of the index say where a row stands; rows that are equal in them form a group.
    pub fields: usize,
    /// Those of them from here on are what ORDER BY asks for; the ones before have one value.
    pub from: usize,
    /// Rows of a group do not come by `_id`, as they should.
    pub regroup: bool,
}

/// Whether, and how, a scan of an index with these keys (none: of the documents) gives the order. The first `fixed` keys
/// have one value each.
pub(super) fn ordered(
    order_by: &[SortItem],
    keys: &[IndexKey],
    fixed: usize,
    conditions: &[Condition<'_>],
) -> Option<(Ordered, Direction)> {
    let has_one_value = |path: &[String]| {
        conditions.iter().any(|condition| condition.path == path && condition.has_one_value())
    };
    let mut position = fixed.min(keys.len());
    let from = position;
    let mut direction = Direction::default();
    let by_id = |direction: Direction, position: usize| {
        let is_natural = position == keys.len() && direction != Direction::Backward;
        Ordered { fields: position, from, regroup: !is_natural }
    };
    for item in order_by {
        if item.expr.is_constant() && !calls(&item.expr) {
            continue;
        }
        let (0, path) = item.expr.field()? else { return None };
        if has_one_value(path) {
            continue;
        }
        let asked = |descending: bool| {
            if item.descending == descending { Direction::Forward } else { Direction::Backward }
        };
        if is_id(path) && keys.get(position).is_none_or(|key| key.path != path) {
            if position == keys.len() && direction.agrees(asked(false)) {
                let ordered = Ordered { fields: position, from, regroup: false };
                return Some((ordered, asked(false)));
            }
            return (!item.descending).then(|| (by_id(direction, position), direction));
        }
        let key = keys.get(position).filter(|key| key.path == path)?;
        if !direction.agrees(asked(key.descending)) {
            return None;
        }
        direction = asked(key.descending);
        position += 1;
        if is_id(path) {
            return Some((Ordered { fields: position, from, regroup: false }, direction));
        }
    }
    Some((by_id(direction, position), direction))
}

/// Which way an index is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Direction {
    /// It does not matter: forward.
    #[default]
    Either,
    Forward,
    Backward,
}

impl Direction {
    fn agrees(self, other: Self) -> bool {
        self == Self::Either || self == other
    }
}

/// Whether an expression calls a function, whose value might differ from row to row.
fn calls(expr: &Expr) -> bool {
    let mut calls = false;
    expr.visit(&mut |expr| calls |= matches!(expr, Expr::Call(_)));
    calls
}
