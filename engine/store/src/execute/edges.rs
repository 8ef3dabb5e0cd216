//! The least and the greatest value of a field, from the ends of an index.
//!
//! MIN and MAX show the first by `_id` of values that are equal, as 1 and 1.0 are: rows that are equal in the field form a
//! group, of which the least `_id` counts. A group is passed over if none of its documents belongs to the statement, which
//! only documents tell where rows are marked. Where rows hold but the beginning of long values, the documents of the group
//! say which is the least or greatest.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use ditto_dql::{Context, Expr};
use ditto_storage::{Bytes, Direction};
use ditto_value::{Value, ValueRef, key};

use super::index_rows::{IndexRows, malformed};
use super::plan::{Edge, KeyRange, Question, Ranges};
use super::running::Running;
use super::scope::{Scope, Shape, of_document};
use super::view::View;
use crate::catalog::Collection;
use crate::error::StoreError;
use crate::index::Index;
use crate::layout;

/// Finds values at the ends of indexes, for one run of a statement.
pub(super) struct Edges<'r> {
    view: View<'r>,
    context: Context<'r>,
    conjuncts: &'r [Expr],
    filter: Option<&'r Expr>,
    shape: Shape,
    collection: &'r Collection,
    running: Option<&'r Running<'r>>,
}

/// Rows that are equal in the field, and those before it.
struct Group {
    rows: KeyRange,
    /// The part of a row that is the field.
    field: std::ops::Range<usize>,
    /// The documents say more of the field, or of those before.
    is_cut: bool,
}

impl<'r> Edges<'r> {
    pub(super) fn new(
        view: View<'r>,
        scope: &Scope<'r>,
        question: &Question<'r>,
        collection: &'r Collection,
    ) -> Self {
        Self {
            view,
            context: scope.context(),
            conjuncts: question.filter.map(Expr::conjuncts).unwrap_or_default(),
            filter: question.filter,
            shape: Shape::new(question.source, scope.settings),
            collection,
            running: scope.running,
        }
    }

    /// The value of `argument`, which is the field of the edge; `None` if no document of the statement has one.
    pub(super) fn value(&self, edge: &Edge, argument: &Expr) -> Result<Option<Value>, StoreError> {
        let ranges = edge.scan.ranges(self.filter, self.collection, &self.context);
        match &edge.scan.index {
            Some(index) => self
                .view
                .with_index_rows(|rows| AtIndex { edges: self, edge, index, ranges, rows }.value(argument)),
            None => self.of_documents(edge, ranges, argument),
        }
    }

    /// The documents themselves are in the order of their `_id`s, no two of which are equal.
    fn of_documents(
        &self,
        edge: &Edge,
        ranges: Ranges,
        argument: &Expr,
    ) -> Result<Option<Value>, StoreError> {
        let direction = if edge.greatest { Direction::Backward } else { Direction::Forward };
        let mut found = None;
        for range in in_turn(&ranges.list, direction) {
            let flow = self.view.scan(range, direction, &mut |_, record| {
                found = self.of_record(record, argument)?;
                Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(found)
    }

    /// The value that a document has, if it belongs to the statement and the value counts.
    fn of_record(&self, record: &Bytes, argument: &Expr) -> Result<Option<Value>, StoreError> {
        self.running.map_or(Ok(()), Running::check)?;
        let value = self.shape.document(record, |_, document: ValueRef<'_>| {
            let row = of_document(&self.context, document);
            let is_wanted = self.conjuncts.iter().all(|conjunct| conjunct.accepts(&row));
            Ok(is_wanted.then(|| argument.evaluate(&row).into_value()).flatten())
        })?;
        Ok(value.flatten().filter(|value| *value != Value::Null))
    }

    /// The same for the document of an encoded `_id`.
    fn of_id(&self, id: &[u8], argument: &Expr) -> Result<Option<Value>, StoreError> {
        match self.view.get(&layout::document_key(self.collection.id, id))? {
            Some(record) => self.of_record(&record, argument),
            None => Ok(None),
        }
    }
}

/// Ranges in the order in which they are read.
fn in_turn(ranges: &[KeyRange], direction: Direction) -> Box<dyn Iterator<Item = &KeyRange> + '_> {
    match direction {
        Direction::Forward => Box::new(ranges.iter()),
        Direction::Backward => Box::new(ranges.iter().rev()),
    }
}

/// One index while its end is looked at.
struct AtIndex<'a, 'r> {
    edges: &'a Edges<'r>,
    edge: &'a Edge,
    index: &'a Index,
    ranges: Ranges,
    rows: &'a IndexRows<'a>,
}

impl AtIndex<'_, '_> {
    fn value(&self, argument: &Expr) -> Result<Option<Value>, StoreError> {
        let descends = self.index.keys.get(self.edge.position).is_some_and(|key| key.descending);
        let direction = if self.edge.greatest == descends { Direction::Forward } else { Direction::Backward };
        let mut rest = self.ranges.list.clone();
        while let Some(group) = self.first_group(&rest, direction)? {
            if let Some(value) = self.best_of(&group, descends, argument)? {
                return Ok(Some(value));
            }
            // The group ends where the others begin.
            for range in &mut rest {
                match (direction, &group.rows.high) {
                    (Direction::Forward, Some(end)) => range.low = (&range.low).max(end).clone(),
                    (Direction::Forward, None) => return Ok(None),
                    (Direction::Backward, _) => {
                        let end = &group.rows.low;
                        range.high = Some(range.high.as_ref().map_or(end, |high| high.min(end)).clone());
                    }
                }
            }
        }
        Ok(None)
    }

    /// The group of the first row of some ranges.
    fn first_group(&self, ranges: &[KeyRange], direction: Direction) -> Result<Option<Group>, StoreError> {
        let mut found = None;
        for range in in_turn(ranges, direction) {
            let flow = self.rows.scan(self.index, range, direction, &mut |row, _| {
                found = Some(self.group(row).ok_or_else(malformed)?);
                Ok(ControlFlow::Break(()))
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(found)
    }

    /// The group of a row; `None` if the row is malformed.
    fn group(&self, row: &[u8]) -> Option<Group> {
        let (mut start, mut is_cut) = (self.index.fields_end(row, 0)?, false);
        let mut field = start..start;
        for number in 0..=self.edge.position {
            let part = self.index.field_end(row, start, number)?;
            field = start..part.end;
            is_cut |= part.is_cut;
            start = part.end;
        }
        Some(Group { rows: KeyRange::of_prefix(row.get(..field.end)?.to_vec()), field, is_cut })
    }

    /// The value of the group that counts, if any of its documents belongs to the statement.
    fn best_of(&self, group: &Group, descends: bool, argument: &Expr) -> Result<Option<Value>, StoreError> {
        // Behind the field there is nothing but the `_id`.
        let comes_by_id = self.edge.position + 1 == self.index.keys.len();
        let mut best: Option<(Vec<u8>, Value)> = None;
        for range in &self.ranges.list {
            let part = range.intersection(&group.rows);
            let flow = self.rows.scan(self.index, &part, Direction::Forward, &mut |row, is_marked| {
                let id = self.index.id_of(row).ok_or_else(malformed)?;
                let is_behind = best.as_ref().is_some_and(|(first, _)| **first < *id);
                if is_behind && !group.is_cut {
                    return Ok(ControlFlow::Continue(()));
                }
                let value = if is_marked || !self.ranges.is_exact {
                    self.edges.of_id(id, argument)?
                } else {
                    let field = row.get(group.field.clone()).ok_or_else(malformed)?;
                    let decoded = if descends { key::decode_descending(field) } else { key::decode(field) };
                    Some(decoded.map_err(|_| malformed())?.0)
                };
                let Some(value) = value else { return Ok(ControlFlow::Continue(())) };
                let is_better = match &best {
                    None => true,
                    Some((_, kept)) => match value.compare(kept) {
                        Ordering::Equal => !is_behind,
                        Ordering::Less => !self.edge.greatest,
                        Ordering::Greater => self.edge.greatest,
                    },
                };
                if is_better {
                    best = Some((id.to_vec(), value));
                }
                let is_done = comes_by_id && !group.is_cut;
                Ok(if is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(best.map(|(_, value)| value))
    }
}
