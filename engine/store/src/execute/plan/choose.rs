//! The choice among the ways to the documents, by rules: no statistics are kept.
//!
//! Aggregates that can be had without the documents are ([`super::shortcuts`]). Else:
//!
//! Ways that lead to single documents come first, then indexes with a field that is limited to single values, ranges of
//! `_id`s, ranges of an index, an index that gives the order of ORDER BY when only the first documents are wanted, an index
//! whose rows say all that is asked, and last the whole collection. Among equals: more fields limited to single values,
//! then a range behind them, then the order of ORDER BY, then documents that need not be read, then fewer fields, then the
//! older index.

use std::cmp::Reverse;
use std::sync::Arc;

use ditto_dql::{Expr, IndexKey};

use super::condition::{Condition, is_id};
use super::hints::{Hints, MAX_GATHERED, MAX_RANGES};
use super::order::{self, Direction};
use super::{Access, Arrival, Covering, Ids, Place, Plan, Question, Scan, is_virtual};
use crate::error::StoreError;
use crate::execute::View;
use crate::execute::scope::Shape;
use crate::execute::view::UsableIndexes;
use crate::index::Index;
use crate::parameters::Settings;

/// How much a way promises; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Points,
    IdRange,
    Range,
    Order,
    /// All rows of an index, which say everything that is asked.
    Rows,
    Everything,
}

/// Makes the plan for a question in a state of the store, and tells from which indexes it chose, if it did.
pub(crate) fn plan(
    view: View<'_>,
    question: Question<'_>,
    settings: Settings,
) -> Result<(Plan, Option<UsableIndexes>), StoreError> {
    plan_with(view, question, settings, &[])
}

/// The plan if there were these indexes besides, which need not exist.
pub(crate) fn plan_with(
    view: View<'_>,
    question: Question<'_>,
    settings: Settings,
    imagined: &[Arc<Index>],
) -> Result<(Plan, Option<UsableIndexes>), StoreError> {
    let mut plan = Plan {
        collection: None,
        access: Access::Virtual,
        is_ordered: question.order_by.is_empty(),
        by_id: false,
        max_gathered: MAX_GATHERED,
    };
    if is_virtual(question.source) {
        return Ok((plan, None));
    }
    plan.collection = view.collection(&question.source.collection.name);
    if question.source.ids.is_some() {
        plan.access = Access::Ids(Ids::Used);
        return Ok((plan, None));
    }
    let conjuncts = question.filter.map(Expr::conjuncts).unwrap_or_default();
    let conditions = Condition::all(conjuncts, Place::Conjunct);
    if let Some(ids) = Ids::of(&conditions) {
        plan.access = Access::Ids(ids);
        return Ok((plan, None));
    }
    // Indexes hold what a reader without definitions sees.
    let is_plain = Shape::new(question.source, settings).is_plain();
    let indexes = match &plan.collection {
        Some(collection) if is_plain => Some(view.usable_indexes(collection)?),
        _ => None,
    };
    let usable: Vec<_> = indexes.iter().flat_map(UsableIndexes::iter).chain(imagined).cloned().collect();
    let chooser = Chooser {
        hints: (!usable.is_empty()).then(|| Hints::of(view.inner(), question.directives, question.source)),
        usable,
        question,
    };
    let (access, by_id) = chooser.access(conjuncts, &conditions);
    plan.is_ordered |= matches!(&access, Access::Scan(scan) if scan.ordered.is_some());
    plan.access = access;
    plan.by_id = by_id;
    plan.max_gathered = chooser.hints.map_or(MAX_GATHERED, |hints| hints.max_gathered);
    Ok((plan, indexes))
}

pub(super) struct Chooser<'q> {
    pub(super) question: Question<'q>,
    usable: Vec<Arc<Index>>,
    /// `None` if there is no index to which they could apply.
    hints: Option<Hints>,
}

/// A scan, and how its conditions limit it.
pub(super) struct Limits {
    pub scan: Scan,
    /// Leading keys that are limited to single values.
    pub points: usize,
    /// The key behind them is limited, too.
    pub has_range: bool,
}

/// A scan, and what it promises.
struct Candidate {
    scan: Scan,
    class: Class,
    /// Leading keys that are limited to single values.
    points: usize,
    has_range: bool,
    /// Its rows have to be gathered, so that documents come as the statement must see them.
    by_id: bool,
}

/// What candidates are compared by; see the module's description.
type Rank = (Class, Reverse<usize>, bool, bool, bool, usize);

impl Candidate {
    fn rank(&self) -> Rank {
        let fields = self.scan.index.as_ref().map_or(0, |index| index.keys.len());
        let (is_unordered, is_uncovered) = (self.scan.ordered.is_none(), self.scan.covering.is_none());
        (self.class, Reverse(self.points), !self.has_range, is_unordered, is_uncovered, fields)
    }
}

impl<'q> Chooser<'q> {
    /// The way, and whether its keys are gathered first.
    fn access(&self, conjuncts: &'q [Expr], conditions: &[Condition<'q>]) -> (Access, bool) {
        let named = self.hints.as_ref().and_then(|hints| hints.indexes.as_deref());
        match named {
            None => self.access_by(&self.usable, conjuncts, conditions),
            Some([]) => self.access_by(&[], conjuncts, conditions),
            Some(names) => {
                let is_named = |index: &&Arc<Index>| names.iter().any(|name| **name == *index.name);
                let named: Vec<_> = self.usable.iter().filter(is_named).cloned().collect();
                let (access, by_id) = self.access_by(&named, conjuncts, conditions);
                if access.scans().iter().any(|scan| scan.index.is_some()) {
                    return (access, by_id);
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
    ) -> (Access, bool) {
        if let Some(shortcuts) = self.shortcuts(indexes, conjuncts, conditions) {
            return (Access::Shortcuts(shortcuts), false);
        }
        let mut candidates = self.candidates(indexes, conditions, Some(conjuncts));
        if self.hints.as_ref().is_some_and(|hints| hints.prefer_order)
            && candidates.iter().any(|candidate| candidate.scan.ordered.is_some())
        {
            candidates.retain(|candidate| candidate.scan.ordered.is_some());
        }
        candidates.sort_by_key(Candidate::rank);
        let best = candidates.first().map_or(Class::Everything, |candidate| candidate.class);
        if let Some((branches, class)) = self.union(indexes, conjuncts)
            && class < best
        {
            return (Access::Union(branches), self.question.arrival != Arrival::Any);
        }
        if let Some(scans) = self.intersection(&mut candidates) {
            return (Access::Intersect(scans), true);
        }
        match candidates.into_iter().next() {
            Some(candidate) => (Access::Scan(candidate.scan), candidate.by_id),
            None => (Access::Scan(self.everything()), false),
        }
    }

    /// All scans that are worth it, the one of the documents among them. `conjuncts`: the whole filter, if the scan is
    /// to serve the statement alone.
    fn candidates(
        &self,
        indexes: &[Arc<Index>],
        conditions: &[Condition<'q>],
        conjuncts: Option<&'q [Expr]>,
    ) -> Vec<Candidate> {
        let documents = std::iter::once(None);
        documents
            .chain(indexes.iter().map(Some))
            .filter_map(|index| self.candidate(index, conditions, conjuncts))
            .collect()
    }

    /// A scan of an index, or of the documents, with the conditions that limit its leading keys.
    pub(super) fn limits(&self, index: Option<&Arc<Index>>, conditions: &[Condition<'q>]) -> Limits {
        let keys: &[IndexKey] = index.map_or(&[], |index| &index.keys);
        let mut scan = Scan { index: index.cloned(), ..self.everything() };
        let (mut points, mut has_range) = (0, false);
        for position in 0..=keys.len() {
            let key = keys.get(position);
            let is_about = |condition: &&Condition<'q>| match key {
                Some(key) => condition.path == key.path,
                None => is_id(condition.path),
            };
            let of_key: Vec<&Condition<'q>> = conditions.iter().filter(is_about).collect();
            if of_key.is_empty() {
                break;
            }
            has_range = !of_key.iter().any(|condition| condition.is_of_points());
            points += usize::from(!has_range);
            scan.conditions.push(of_key.into_iter().map(Condition::of_key).collect());
            if has_range {
                break;
            }
        }
        Limits { scan, points, has_range }
    }

    fn candidate(
        &self,
        index: Option<&Arc<Index>>,
        conditions: &[Condition<'q>],
        conjuncts: Option<&'q [Expr]>,
    ) -> Option<Candidate> {
        let keys: &[IndexKey] = index.map_or(&[], |index| &index.keys);
        let Limits { mut scan, points, has_range } = self.limits(index, conditions);
        if conjuncts.is_some() {
            self.order(&mut scan, keys, conditions);
        }
        let question = &self.question;
        let by_id = match question.arrival {
            Arrival::Any => false,
            Arrival::AlikeById => {
                scan.ordered.is_none() && !scan.comes_by_id() && !self.is_alike_by_id(&scan, keys)
            }
            Arrival::ById => !scan.comes_by_id(),
        };
        if let (Some(conjuncts), Some(_), Some(reads)) = (conjuncts, index, question.reads.exprs()) {
            let answered: Vec<Place> = scan.answers().map(|condition| condition.place).collect();
            let asked = conjuncts
                .iter()
                .enumerate()
                .filter(|(number, _)| !answered.contains(&Place::Conjunct(*number)))
                .map(|(_, conjunct)| conjunct);
            let sorted = question.order_by.iter().filter(|_| scan.ordered.is_none()).map(|item| &item.expr);
            scan.covering = Covering::of(keys, asked.chain(sorted).chain(reads));
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
            // The documents come by `_id` as they are.
            (false, false) if scan.covering.is_some() && !by_id => Class::Rows,
            (false, false) => return None,
        };
        Some(Candidate { scan, class, points, has_range, by_id })
    }

    /// Has a scan come in the order of ORDER BY, if it can.
    fn order(&self, scan: &mut Scan, keys: &[IndexKey], conditions: &[Condition<'q>]) {
        let question = &self.question;
        let may_come_so = match question.arrival {
            Arrival::Any => true,
            // Equal rows are equal in ORDER BY, and within what is equal in that documents come by `_id`.
            Arrival::AlikeById => {
                let mut fields = question.order_by.iter().map(|item| item.expr.field());
                self.is_alike_by_id(scan, keys)
                    && fields.all(|field| field.is_some_and(|(_, path)| question.reads.tells_apart(path)))
            }
            Arrival::ById => false,
        };
        if question.order_by.is_empty() || !may_come_so {
            return;
        }
        let found = order::ordered(question.order_by, keys, scan.fixed(), conditions);
        if let Some((ordered, direction)) = found {
            scan.backward = direction == Direction::Backward;
            scan.ordered = Some(ordered);
        }
    }

    /// Whether documents that count as equal have the same values in all keys of an index, so that they come by `_id` when
    /// it is read forward.
    fn is_alike_by_id(&self, scan: &Scan, keys: &[IndexKey]) -> bool {
        keys.iter().skip(scan.fixed()).all(|key| self.question.reads.tells_apart(&key.path))
    }

    /// All documents, by `_id`.
    fn everything(&self) -> Scan {
        let max_ranges = self.hints.as_ref().map_or(MAX_RANGES, |hints| hints.max_ranges);
        Scan {
            index: None,
            conditions: Vec::new(),
            backward: false,
            ordered: None,
            covering: None,
            values_of: None,
            max_ranges,
        }
    }

    /// The best conjunct of which every disjunct has a way of its own.
    fn union(&self, indexes: &[Arc<Index>], conjuncts: &'q [Expr]) -> Option<(Vec<Access>, Class)> {
        let max_scans = self.hints.as_ref().map_or(0, |hints| hints.max_scans);
        let unions = conjuncts.iter().enumerate().filter_map(|(number, conjunct)| {
            let Expr::Or(disjuncts) = conjunct else { return None };
            let mut worst = Class::Points;
            let mut branches = Vec::with_capacity(disjuncts.len());
            for (position, disjunct) in disjuncts.iter().enumerate() {
                let place = |part| Place::Disjunct { conjunct: number, disjunct: position, part };
                let conditions = Condition::all(disjunct.conjuncts(), place);
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
            (scans <= max_scans).then_some((branches, worst))
        });
        unions.min_by_key(|(_, class)| *class)
    }

    /// Several indexes, each for conditions that the ones before do not use, if the statement allows it.
    fn intersection(&self, candidates: &mut Vec<Candidate>) -> Option<Vec<Scan>> {
        let hints = self.hints.as_ref()?;
        let most = hints.intersects.min(hints.max_scans);
        let is_limiting =
            |candidate: &Candidate| candidate.scan.index.is_some() && !candidate.scan.conditions.is_empty();
        if most < 2 || !candidates.first().is_some_and(is_limiting) {
            return None;
        }
        let mut used: Vec<Place> = Vec::new();
        let mut chosen = Vec::new();
        for (position, candidate) in candidates.iter().enumerate() {
            let own = || candidate.scan.conditions.iter().flatten().map(|condition| condition.place);
            let is_new = own().all(|place| !used.contains(&place));
            if is_limiting(candidate) && is_new && chosen.len() < most {
                used.extend(own());
                chosen.push(position);
            }
        }
        if chosen.len() < 2 {
            return None;
        }
        let all = std::mem::take(candidates).into_iter().enumerate();
        let scans =
            all.filter(|(position, _)| chosen.contains(position)).map(|(_, candidate)| candidate.scan);
        let alone = |scan: Scan| Scan { backward: false, ordered: None, covering: None, ..scan };
        Some(scans.map(alone).collect())
    }
}
