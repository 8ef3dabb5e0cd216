//! Aggregates that are had without coming by every document: their number, and the least and greatest value of a field at
//! the ends of an index.

use std::cmp::Reverse;
use std::sync::Arc;

use ditto_dql::{AggregateCall, AggregateFunction, Expr};

use super::choose::Chooser;
use super::condition::{Condition, is_id};
use super::{Place, Reads, Scan};
use crate::index::Index;

/// How one aggregate is had.
pub(crate) enum Shortcut {
    /// The collection knows how many documents it has.
    Count,
    Edge(Edge),
}

/// The first or last value of a key of an index, or of the `_id`s of the documents.
pub(crate) struct Edge {
    /// Its rows are in the order of that key.
    pub scan: Scan,
    /// Which key.
    pub position: usize,
    /// The greatest value, else the least.
    pub greatest: bool,
}

impl<'q> Chooser<'q> {
    /// A shortcut for each aggregate, if there is one for each, and the statement asks for nothing else.
    pub(super) fn shortcuts(
        &self,
        indexes: &[Arc<Index>],
        conjuncts: &'q [Expr],
        conditions: &[Condition<'q>],
    ) -> Option<Vec<Shortcut>> {
        let Reads::Groups(grouping) = self.question.reads else { return None };
        if !grouping.keys.is_empty() {
            return None;
        }
        let shortcut = |call: &AggregateCall| match (call.function, &call.argument) {
            (AggregateFunction::Count, None) if conjuncts.is_empty() => Some(Shortcut::Count),
            (AggregateFunction::Minimum | AggregateFunction::Maximum, Some(argument)) => {
                let (0, path) = argument.field()? else { return None };
                let (scan, position) = self.edge(path, indexes, conjuncts, conditions)?;
                let greatest = call.function == AggregateFunction::Maximum;
                Some(Shortcut::Edge(Edge { scan, position, greatest }))
            }
            _ => None,
        };
        grouping.aggregates.iter().map(shortcut).collect()
    }

    /// The best scan with exactly the documents of the statement, in the order of a field. Which key the field is.
    fn edge(
        &self,
        path: &[String],
        indexes: &[Arc<Index>],
        conjuncts: &'q [Expr],
        conditions: &[Condition<'q>],
    ) -> Option<(Scan, usize)> {
        let documents = is_id(path).then_some(None);
        let edges = documents.into_iter().chain(indexes.iter().map(Some)).filter_map(|index| {
            let limits = self.limits(index, conditions);
            let answers = |place| limits.scan.answers().any(|condition| condition.place == place);
            if !(0..conjuncts.len()).map(Place::Conjunct).all(answers) {
                return None;
            }
            let position = match index {
                Some(index) => index.keys.iter().position(|key| key.path == path)?,
                None => 0,
            };
            (position <= limits.scan.fixed()).then_some((limits, position))
        });
        let rank = |(limits, _): &(super::choose::Limits, usize)| {
            let fields = limits.scan.index.as_ref().map_or(0, |index| index.keys.len());
            (Reverse(limits.points), fields)
        };
        let (limits, position) = edges.min_by_key(rank)?;
        Some((Scan { values_of: Some(position), ..limits.scan }, position))
    }
}
