//! The choice among the ways to the documents, by rules: no statistics are kept.
//!
//! Ways that lead to single documents come first, then indexes with a field that is limited to single values, ranges of
//! `_id`s, ranges of an index, an index that gives the order of ORDER BY when only the first documents are wanted, and
//! last the whole collection. Among equals: more fields limited to single values, then a range behind them, then the
//! order of ORDER BY, then documents that need not be read, then fewer fields, then the older index.

use std::cmp::Reverse;
use std::sync::Arc;

use ditto_dql::{Expr, IndexKey};

use super::condition::{Condition, is_id};
use super::hints::{Hints, MAX_RANGES};
use super::order::{self, Direction};
use super::{Access, Arrival, Covering, Ids, Plan, Question, Scan, is_virtual};
use crate::error::StoreError;
use crate::execute::View;
use crate::index::Index;

/// How much a way promises; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Points,
    IdRange,
    Range,
    Order,
    Everything,
}

/// Makes the plan for a question in a state of the store. `may_use_indexes`: documents are read as they are stored.
pub(crate) fn plan<'q>(
    view: View<'_>,
    question: Question<'q>,
    may_use_indexes: bool,
) -> Result<Plan<'q>, StoreError> {
    let mut plan = Plan {
        source: question.source,
        filter: question.filter,
        order_by: question.order_by,
        arrival: question.arrival,
        collection: None,
        access: Access::Virtual,
        is_ordered: question.order_by.is_empty(),
    };
    if is_virtual(question.source) {
        return Ok(plan);
    }
    plan.collection = view.collection(&question.source.collection.name);
    if let Some(ids) = &question.source.ids {
        plan.access = Access::Ids(Ids::Used(ids));
        return Ok(plan);
    }
    if question.counts && question.filter.is_none() {
        plan.access = Access::Count;
        return Ok(plan);
    }
    let conjuncts = question.filter.map(Expr::conjuncts).unwrap_or_default();
    let conditions = conditions(conjuncts);
    if let Some(ids) = Ids::of(&conditions) {
        plan.access = Access::Ids(ids);
        return Ok(plan);
    }
    let usable = match &plan.collection {
        Some(collection) if may_use_indexes => view.usable_indexes(collection)?,
        _ => Vec::new(),
    };
    let chooser = Chooser {
        hints: (!usable.is_empty()).then(|| Hints::of(view.inner(), question.directives, question.source)),
        usable,
        question,
    };
    plan.access = chooser.access(conjuncts, &conditions);
    plan.is_ordered |= matches!(&plan.access, Access::Scan(scan) if scan.ordered.is_some());
    Ok(plan)
}

fn conditions(conjuncts: &[Expr]) -> Vec<Condition<'_>> {
    conjuncts.iter().filter_map(Condition::of).collect()
}

struct Chooser<'q> {
    question: Question<'q>,
    usable: Vec<Arc<Index>>,
    /// `None` if there is no index to which they could apply.
    hints: Option<Hints>,
}

/// A scan, and what it promises.
struct Candidate<'q> {
    scan: Scan<'q>,
    class: Class,
    /// Leading keys that are limited to single values.
    points: usize,
    has_range: bool,
}

/// What candidates are compared by; see the module's description.
type Rank = (Class, Reverse<usize>, bool, bool, bool, usize);

impl Candidate<'_> {
    fn rank(&self) -> Rank {
        let fields = self.scan.index.as_ref().map_or(0, |index| index.keys.len());
        let (is_unordered, is_uncovered) = (self.scan.ordered.is_none(), self.scan.covering.is_none());
        (self.class, Reverse(self.points), !self.has_range, is_unordered, is_uncovered, fields)
    }
}

impl<'q> Chooser<'q> {
    fn access(&self, conjuncts: &'q [Expr], conditions: &[Condition<'q>]) -> Access<'q> {
        let named = self.hints.as_ref().and_then(|hints| hints.indexes.as_deref());
        match named {
            None => self.access_by(&self.usable, conjuncts, conditions),
            Some([]) => self.access_by(&[], conjuncts, conditions),
            Some(names) => {
                let is_named = |index: &&Arc<Index>| names.iter().any(|name| **name == *index.name);
                let named: Vec<_> = self.usable.iter().filter(is_named).cloned().collect();
                let access = self.access_by(&named, conjuncts, conditions);
                if access.scans().iter().any(|scan| scan.index.is_some()) {
                    return access;
                }
                self.access_by(&self.usable, conjuncts, conditions)
            }
        }
    }

    fn access_by(
        &self,
        indexes: &[Arc<Index>],
        conjuncts: &'q [Expr],
        conditions: &[Condition<'q>],
    ) -> Access<'q> {
        let mut candidates = self.candidates(indexes, conditions, Some(conjuncts));
        if self.hints.as_ref().is_some_and(|hints| hints.prefer_order)
            && candidates.iter().any(|candidate| candidate.scan.ordered.is_some())
        {
            candidates.retain(|candidate| candidate.scan.ordered.is_some());
        }
        candidates.sort_by_key(Candidate::rank);
        let best = candidates.first().map_or(Class::Everything, |candidate| candidate.class);
        if let Some((union, class)) = self.union(indexes, conjuncts)
            && class < best
        {
            return union;
        }
        if let Some(scans) = self.intersection(&mut candidates) {
            return Access::Intersect(scans);
        }
        match candidates.into_iter().next() {
            Some(candidate) => Access::Scan(candidate.scan),
            None => Access::Scan(self.everything()),
        }
    }

    /// All scans that are worth it, the one of the documents among them. `conjuncts`: the whole filter, if the scan is
    /// to serve the statement alone.
    fn candidates(
        &self,
        indexes: &[Arc<Index>],
        conditions: &[Condition<'q>],
        conjuncts: Option<&'q [Expr]>,
    ) -> Vec<Candidate<'q>> {
        let documents = std::iter::once(None);
        documents
            .chain(indexes.iter().map(Some))
            .filter_map(|index| self.candidate(index, conditions, conjuncts))
            .collect()
    }

    fn candidate(
        &self,
        index: Option<&Arc<Index>>,
        conditions: &[Condition<'q>],
        conjuncts: Option<&'q [Expr]>,
    ) -> Option<Candidate<'q>> {
        let keys: &[IndexKey] = index.map_or(&[], |index| &index.keys);
        let mut scan = Scan { index: index.cloned(), ..self.everything() };
        let (mut points, mut has_range) = (0, false);
        for position in 0..=keys.len() {
            let key = keys.get(position);
            let is_about = |condition: &&Condition<'q>| match key {
                Some(key) => condition.path == key.path,
                None => is_id(condition.path),
            };
            let of_key: Vec<Condition<'q>> = conditions.iter().filter(is_about).cloned().collect();
            if of_key.is_empty() {
                break;
            }
            has_range = !of_key.iter().any(Condition::is_of_points);
            points += usize::from(!has_range);
            scan.conditions.push(of_key);
            if has_range {
                break;
            }
        }
        let question = &self.question;
        if conjuncts.is_some() && !question.order_by.is_empty() && question.arrival == Arrival::Any {
            let found = order::ordered(question.order_by, keys, scan.fixed(), conditions);
            if let Some((ordered, direction)) = found {
                scan.backward = direction == Direction::Backward;
                scan.ordered = Some(ordered);
            }
        }
        if let (Some(conjuncts), Some(_), Some(reads)) = (conjuncts, index, question.reads) {
            let answered: Vec<&Expr> = scan.answers().map(|condition| condition.conjunct).collect();
            let is_asked =
                |conjunct: &&Expr| !answered.iter().any(|answered| std::ptr::eq(*answered, *conjunct));
            let sorted = question.order_by.iter().filter(|_| scan.ordered.is_none()).map(|item| &item.expr);
            let read = conjuncts.iter().filter(is_asked).chain(sorted).chain(reads.iter().copied());
            scan.covering = Covering::of(keys, read);
        }
        let class = match (points > 0, has_range) {
            _ if index.is_none() && scan.conditions.is_empty() => Class::Everything,
            _ if index.is_none() => Class::IdRange,
            (true, _) => Class::Points,
            (false, true) => Class::Range,
            (false, false)
                // By no field means that all rows are one group.
                if scan.ordered.is_some_and(|ordered| ordered.fields > 0)
                    && (question.is_limited || scan.covering.is_some()) =>
            {
                Class::Order
            }
            (false, false) => return None,
        };
        Some(Candidate { scan, class, points, has_range })
    }

    /// All documents, by `_id`.
    fn everything(&self) -> Scan<'q> {
        let max_ranges = self.hints.as_ref().map_or(MAX_RANGES, |hints| hints.max_ranges);
        Scan {
            index: None,
            conditions: Vec::new(),
            backward: false,
            ordered: None,
            covering: None,
            max_ranges,
        }
    }

    /// The best conjunct of which every disjunct has a way of its own.
    fn union(&self, indexes: &[Arc<Index>], conjuncts: &'q [Expr]) -> Option<(Access<'q>, Class)> {
        let max_scans = self.hints.as_ref().map_or(0, |hints| hints.max_scans);
        let unions = conjuncts.iter().filter_map(|conjunct| {
            let Expr::Or(disjuncts) = conjunct else { return None };
            let mut worst = Class::Points;
            let mut branches = Vec::with_capacity(disjuncts.len());
            for disjunct in disjuncts {
                let conditions = conditions(disjunct.conjuncts());
                if let Some(ids) = Ids::of(&conditions) {
                    branches.push(Access::Ids(ids));
                    continue;
                }
                let candidates = self.candidates(indexes, &conditions, None);
                let best = candidates.into_iter().min_by_key(Candidate::rank)?;
                if best.class >= Class::Order {
                    return None;
                }
                worst = worst.max(best.class);
                branches.push(Access::Scan(best.scan));
            }
            let scans = branches.iter().flat_map(Access::scans).filter(|scan| scan.index.is_some()).count();
            (scans <= max_scans).then_some((Access::Union(branches), worst))
        });
        unions.min_by_key(|(_, class)| *class)
    }

    /// Several indexes, each for conditions that the ones before do not use, if the statement allows it.
    fn intersection(&self, candidates: &mut Vec<Candidate<'q>>) -> Option<Vec<Scan<'q>>> {
        let hints = self.hints.as_ref()?;
        let most = hints.intersects.min(hints.max_scans);
        let is_limiting = |candidate: &Candidate<'_>| {
            candidate.scan.index.is_some() && !candidate.scan.conditions.is_empty()
        };
        if most < 2 || !candidates.first().is_some_and(is_limiting) {
            return None;
        }
        let mut used: Vec<&Expr> = Vec::new();
        let mut chosen = Vec::new();
        for (position, candidate) in candidates.iter().enumerate() {
            let mut own = candidate.scan.conditions.iter().flatten().map(|condition| condition.conjunct);
            let is_new = own.all(|conjunct| !used.iter().any(|used| std::ptr::eq(*used, conjunct)));
            if is_limiting(candidate) && is_new && chosen.len() < most {
                used.extend(candidate.scan.conditions.iter().flatten().map(|condition| condition.conjunct));
                chosen.push(position);
            }
        }
        if chosen.len() < 2 {
            return None;
        }
        let all = std::mem::take(candidates).into_iter().enumerate();
        let scans =
            all.filter(|(position, _)| chosen.contains(position)).map(|(_, candidate)| candidate.scan);
        let alone = |scan: Scan<'q>| Scan { backward: false, ordered: None, covering: None, ..scan };
        Some(scans.map(alone).collect())
    }
}
