//! Which changed documents can change the result of a query.

use std::collections::BTreeSet;

use ditto_dql::{Expr, Projection, ProjectionItem, Root, Select, Statement, Test};
use ditto_value::{Object, Value, ValueRef, key};

use crate::error::StoreError;
use crate::execute::{self, Scope};
use crate::feed::ChangedDocument;
use crate::store::Inner;

/// Longest list of constants (`_id IN :ids`) by which an observer is found; it is an entry of a table for each.
const MAX_KEYS: usize = 1_000;

/// What a query looks at, worked out once when it is registered.
pub(super) struct Watch {
    /// Conditions of which every document in the result fulfils each.
    equalities: Vec<Equality>,
    /// `USE IDS`, which is no part of the filter.
    ids: Option<Equality>,
    /// The top-level members that the query reads; `None`: the whole document.
    members: Option<BTreeSet<String>>,
    /// What is stored is what the query sees, and what it makes of a document depends on nothing else.
    judges: bool,
}

/// A field that has one of some values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Equality {
    /// The member names of the field below the document.
    pub path: Vec<String>,
    /// The values as keys, ascending. None at all: no document ever fulfils it.
    pub keys: Vec<Vec<u8>>,
}

/// A changed document as readers without definitions see it, before and after.
pub(super) struct Images<'c> {
    /// The encoded `_id`.
    pub id: &'c [u8],
    pub before: Option<ValueRef<'c>>,
    pub after: Option<ValueRef<'c>>,
}

impl<'c> Images<'c> {
    pub(super) fn of(document: &'c ChangedDocument) -> Self {
        Self { id: &document.key.id, before: document.before_value(), after: document.after_value() }
    }

    /// Whether such a reader sees no difference.
    pub(super) fn are_same(&self) -> bool {
        self.before.map(ValueRef::bytes) == self.after.map(ValueRef::bytes)
    }
}

impl Watch {
    pub(super) fn new(
        inner: &Inner,
        statement: &Statement,
        select: &Select,
        arguments: &Object,
    ) -> Result<Self, StoreError> {
        let scope = execute::scope(inner, arguments);
        let ids = execute::listed_ids(&select.source, &scope.context())?;
        let ids = ids.filter(|ids| ids.len() <= MAX_KEYS).map(|ids| {
            let mut keys: Vec<Vec<u8>> = ids.into_iter().collect();
            keys.sort_unstable();
            Equality { path: vec!["_id".to_owned()], keys }
        });
        let mut judges = select.source.definitions.is_empty();
        statement.for_each_expression(&mut |expr| judges &= expr.is_timeless());
        let conjuncts = select.filter.as_ref().map(Expr::conjuncts).unwrap_or_default();
        let equalities = conjuncts.iter().filter_map(|conjunct| equality(conjunct, &scope)).collect();
        Ok(Self { equalities, ids, members: members(statement, select), judges })
    }

    /// What a document must fulfil to concern the query, each condition enough by itself to rule it out. None if
    /// the query has to be asked about every document.
    pub(super) fn equalities(&self) -> impl Iterator<Item = &Equality> {
        self.ids.iter().chain(&self.equalities).filter(|_| self.judges)
    }

    /// Whether the result can be another one because of this document. `scope` is that of the observer.
    pub(super) fn concerns(&self, select: &Select, scope: &Scope<'_>, images: &Images<'_>) -> bool {
        if !self.judges || scope.settings.strict {
            return true;
        }
        if images.are_same() || self.ids.as_ref().is_some_and(|ids| !ids.has(images.id)) {
            return false;
        }
        let accepted = |document: Option<ValueRef<'_>>| {
            document.is_some_and(|document| execute::accepts(select.filter.as_ref(), scope, document))
        };
        match (images.before, images.after) {
            (Some(before), Some(after)) => match (accepted(images.before), accepted(images.after)) {
                (true, true) => self.reads_a_difference(before, after),
                (before, after) => before || after,
            },
            (before, after) => accepted(before) || accepted(after),
        }
    }

    fn reads_a_difference(&self, before: ValueRef<'_>, after: ValueRef<'_>) -> bool {
        let Some(members) = &self.members else { return true };
        members
            .iter()
            .any(|name| before.get(name).map(ValueRef::bytes) != after.get(name).map(ValueRef::bytes))
    }
}

impl Equality {
    fn has(&self, key: &[u8]) -> bool {
        self.keys.binary_search_by(|own| own.as_slice().cmp(key)).is_ok()
    }

    /// Whether documents are told apart by their `_id`, which need not be read.
    pub(super) fn is_of_ids(path: &[String]) -> bool {
        matches!(path, [name] if name == "_id")
    }
}

/// A condition as an equality with constants that stay what they are, if it is one.
fn equality(condition: &Expr, scope: &Scope<'_>) -> Option<Equality> {
    let predicate = condition.predicate()?;
    let (Test::Equal(expr) | Test::In(expr)) = predicate.test else { return None };
    let values = match (predicate.test, expr.evaluate(&scope.context()).into_value()) {
        (_, None | Some(Value::Null)) => Vec::new(),
        (Test::Equal(_), Some(value)) => vec![value],
        (_, Some(Value::Array(values))) => values,
        // What is no array has no elements.
        (_, Some(_)) => Vec::new(),
    };
    if values.len() > MAX_KEYS {
        return None;
    }
    // Nothing equals null. Keys are equal exactly if the values are.
    let mut keys: Vec<Vec<u8>> = values.iter().filter(|value| **value != Value::Null).map(key::of).collect();
    keys.sort_unstable();
    keys.dedup();
    Some(Equality { path: predicate.path.to_vec(), keys })
}

/// The top-level members that a query reads; `None` if it is all of them.
fn members(statement: &Statement, select: &Select) -> Option<BTreeSet<String>> {
    match &select.projection {
        Projection::Items(items)
            if !items.iter().any(|item| matches!(item, ProjectionItem::Members { .. })) => {}
        _ => return None,
    }
    let mut names = BTreeSet::new();
    let mut all = false;
    statement.for_each_expression(&mut |expr| {
        expr.visit(&mut |expr| {
            let Expr::Path(path) = expr else { return };
            match (path.root, path.members().first()) {
                (Root::Binding { .. }, _) => {}
                (Root::Field(_) | Root::Source(_), Some(name)) => {
                    names.insert(name.clone());
                }
                _ => all = true,
            }
        });
    });
    (!all).then_some(names)
}
