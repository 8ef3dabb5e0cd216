//! The planner: how the documents of a statement are reached.
//!
//! | module | what |
//! | --- | --- |
//! | `condition` | conditions of a filter that a key range can stand for |
//! | `choose` | the choice among the ways, by rules |
//! | `shortcuts` | aggregates that are had without the documents |
//! | `order` | whether the rows of a scan come in the order of ORDER BY |
//! | `covering` | whether the rows of an index say all that is asked |
//! | `hints` | directives |
//! | `ids` | access by `_id` |
//! | `ranges` | key ranges of a scan, once the arguments are known |
//!
//! | `reuse` | plans of statements that are run again |
//!
//! A [`Plan`] is made without arguments; EXPLAIN shows the very value that the statement runs with. It borrows nothing of
//! the statement, so that it can be kept beside it: conditions are named by their [`Place`].
//!
//! A plan may read too many documents but never too few: the filter is applied to them, except for what the row of an
//! index answers alone, which is said by [`Scan::answers`].

mod choose;
mod condition;
mod covering;
mod hints;
mod ids;
mod order;
mod ranges;
mod reuse;
mod shortcuts;

use std::sync::Arc;

use ditto_dql::{Directives, Expr, Grouping, Namespace, Projection, ProjectionItem, Source};

pub(crate) use self::choose::{plan, plan_with};
pub(crate) use self::condition::{Condition, KeyCondition, Place, tests};
pub(crate) use self::covering::Covering;
pub(crate) use self::ids::{Ids, key, keys, listed_ids};
pub(crate) use self::order::Ordered;
pub(crate) use self::ranges::{KeyRange, Ranges};
pub(crate) use self::reuse::{Made, PlanCache};
pub(crate) use self::shortcuts::{Edge, Shortcut};
use crate::catalog::Collection;
use crate::index::Index;

/// What a statement asks of its source.
#[derive(Clone, Copy)]
pub(crate) struct Question<'q> {
    pub directives: &'q Directives,
    pub source: &'q Source,
    pub filter: Option<&'q Expr>,
    pub order_by: &'q [ditto_dql::SortItem],
    /// Only the first few documents are wanted.
    pub is_limited: bool,
    pub arrival: Arrival,
    pub reads: Reads<'q>,
}

/// What is evaluated over the documents besides `filter` and `order_by`.
#[derive(Clone, Copy)]
pub(crate) enum Reads<'q> {
    /// Whole documents are wanted.
    Documents,
    Projection(&'q Projection),
    Groups(&'q Grouping),
}

impl<'q> Reads<'q> {
    /// The expressions; `None` if whole documents are wanted.
    pub(crate) fn exprs(self) -> Option<Vec<&'q Expr>> {
        match self {
            Self::Documents | Self::Projection(Projection::All) => None,
            Self::Projection(Projection::Items(items)) => items
                .iter()
                .map(|item| match item {
                    ProjectionItem::Value { expr, .. } => Some(expr),
                    ProjectionItem::Members { .. } | ProjectionItem::Exclude { .. } => None,
                })
                .collect(),
            Self::Groups(grouping) => {
                let arguments =
                    grouping.aggregates.iter().filter_map(|aggregate| aggregate.argument.as_ref());
                Some(grouping.keys.iter().chain(arguments).collect())
            }
        }
    }

    /// Whether documents that count as equal to the statement have the same value in this field.
    fn tells_apart(self, path: &[String]) -> bool {
        let is_field = |expr: &Expr| expr.field() == Some((0, path));
        match self {
            Self::Documents | Self::Projection(Projection::All) => false,
            Self::Projection(Projection::Items(items)) => {
                items.iter().any(|item| matches!(item, ProjectionItem::Value { expr, .. } if is_field(expr)))
            }
            Self::Groups(grouping) => grouping.keys.iter().any(is_field),
        }
    }
}

/// In what order a statement must see its documents, besides ORDER BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Whatever is convenient.
    Any,
    /// Those that give equal rows, or belong to one group, by `_id`: the first of them is shown, and the sum of floats
    /// depends on their order.
    AlikeById,
    /// All by `_id`, for the same reasons.
    ById,
}

/// How a statement reaches its documents.
pub(crate) struct Plan {
    /// `None` if there is none of that name, or if it is a virtual one.
    pub collection: Option<Arc<Collection>>,
    pub access: Access,
    /// Whether documents come in the order of ORDER BY, and those that are equal in it by `_id`.
    pub is_ordered: bool,
    /// Keys are gathered before the first document is read, so that documents come by `_id`.
    pub by_id: bool,
    /// Bytes of keys that may be gathered. With more of them the documents are read one after the other instead.
    pub max_gathered: usize,
}

/// The way to the documents.
pub(crate) enum Access {
    /// The rows of a virtual collection.
    Virtual,
    /// By `_id`.
    Ids(Ids),
    /// Key ranges of the documents themselves or of an index.
    Scan(Scan),
    /// What one of them finds.
    Union(Vec<Access>),
    /// What all of them find.
    Intersect(Vec<Scan>),
    /// No documents are wanted but aggregates, each of which is had in its own way.
    Shortcuts(Vec<Shortcut>),
}

/// Key ranges, of an index or of the documents by `_id`.
#[derive(Clone)]
pub(crate) struct Scan {
    /// `None`: the documents.
    pub index: Option<Arc<Index>>,
    /// Conditions of the leading keys, each key's together; the `_id` is the last key. Behind the first key that is not
    /// limited to single values there are none.
    pub conditions: Vec<Vec<KeyCondition>>,
    pub backward: bool,
    /// Set if rows come in the order of ORDER BY.
    pub ordered: Option<Ordered>,
    /// Set if the documents need not be read.
    pub covering: Option<Covering>,
    /// Rows that are null or missing in this key are left out.
    pub values_of: Option<usize>,
    /// Most ranges; with more of them the whole between the first and the last is read.
    pub max_ranges: usize,
}

impl Plan {
    /// Whether more than one row of the storage is read, so that a snapshot is needed.
    pub(crate) fn needs_snapshot(&self) -> bool {
        match &self.access {
            Access::Virtual | Access::Ids(Ids::One(_)) => false,
            Access::Shortcuts(shortcuts) => {
                shortcuts.iter().any(|shortcut| matches!(shortcut, Shortcut::Edge(_)))
            }
            Access::Ids(_) | Access::Scan(_) | Access::Union(_) | Access::Intersect(_) => true,
        }
    }

    /// Whether every index of the plan can still be used.
    pub(crate) fn is_current(&self) -> bool {
        self.access.scans().iter().all(|scan| scan.index.as_ref().is_none_or(|index| index.is_ready()))
    }

    /// Whether documents may come in another order than by `_id`, or than the one in which the statement lists ids.
    pub(crate) fn mixes_ids(&self) -> bool {
        match &self.access {
            Access::Scan(scan) => !self.by_id && !scan.comes_by_id(),
            Access::Union(_) => !self.by_id,
            Access::Virtual | Access::Ids(_) | Access::Intersect(_) | Access::Shortcuts(_) => false,
        }
    }
}

impl Access {
    /// All scans.
    pub(crate) fn scans(&self) -> Vec<&Scan> {
        match self {
            Self::Scan(scan) => vec![scan],
            Self::Union(branches) => branches.iter().flat_map(Self::scans).collect(),
            Self::Intersect(scans) => scans.iter().collect(),
            Self::Shortcuts(shortcuts) => shortcuts
                .iter()
                .filter_map(|shortcut| match shortcut {
                    Shortcut::Edge(edge) => Some(&edge.scan),
                    Shortcut::Count => None,
                })
                .collect(),
            Self::Virtual | Self::Ids(_) => Vec::new(),
        }
    }
}

impl Scan {
    /// The conditions that every unmarked row of the scan's ranges fulfils, if the ranges are exact.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &KeyCondition> {
        self.conditions.iter().flatten().filter(|condition| condition.is_exact)
    }

    /// Whether rows that are not marked are documents of a statement whose filter has so many conjuncts, whatever else their
    /// documents say.
    pub(crate) fn is_whole(&self, conjuncts: usize) -> bool {
        let answers = |place| self.answers().any(|condition| condition.place == place);
        self.index.is_some() && (0..conjuncts).map(Place::Conjunct).all(answers)
    }

    /// Whether rows come by `_id` anyway.
    pub(crate) fn comes_by_id(&self) -> bool {
        let fields = self.index.as_ref().map_or(0, |index| index.keys.len());
        !self.backward && fields <= self.fixed()
    }

    /// How many leading keys have one value.
    pub(crate) fn fixed(&self) -> usize {
        let is_fixed =
            |conditions: &Vec<KeyCondition>| conditions.iter().any(|condition| condition.has_one_value);
        self.conditions.iter().take_while(|conditions| is_fixed(conditions)).count()
    }

    /// The key that `conditions` at this position are about; `None` is the `_id` behind all fields.
    pub(crate) fn key(&self, position: usize) -> Option<&ditto_dql::IndexKey> {
        self.index.as_ref().and_then(|index| index.keys.get(position))
    }
}

/// Collections that are read from the registry of virtual ones.
pub(crate) fn is_virtual(source: &Source) -> bool {
    source.collection.namespace == Namespace::System || source.collection.name.starts_with("__")
}
