//! Where rows come from: collections, type definitions, ids, indexes and directives.

use std::fmt;

use ditto_value::Object;

use super::expression::{Expr, words};
use crate::error::Place;

/// A collection name with its namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Collection {
    /// `system:` names are read-only virtual collections.
    pub namespace: Namespace,
    /// The name without the namespace.
    pub name: String,
}

/// The part before the colon of a collection name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// Collections of the application.
    Default,
    /// Virtual collections of the engine.
    System,
}

/// `system:` is written, `default:` is not; no quoting. This is the name that the catalog and the registry of
/// virtual collections use.
impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace {
            Namespace::Default => f.write_str(&self.name),
            Namespace::System => write!(f, "system:{}", self.name),
        }
    }
}

/// One term of FROM, or the target of a mutation.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The collection.
    pub collection: Collection,
    /// `COLLECTION c (field TYPE, …)`; empty when none were given.
    pub definitions: Vec<TypeDefinition>,
    /// The name given with or without AS.
    pub alias: Option<String>,
    /// `USE IDS …`.
    pub ids: Option<UseIds>,
    /// `USE INDEX` and per-collection directives.
    pub directives: Directives,
    /// Where it is written.
    pub place: Place,
}

impl Source {
    /// The name by which paths refer to this source: its alias, else its collection.
    pub fn name(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.collection.name)
    }
}

/// The CRDT type of a field for the time of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeDefinition {
    /// The field.
    pub name: String,
    /// Its type.
    pub kind: FieldType,
    /// Definitions of the members of a MAP.
    pub members: Vec<TypeDefinition>,
}

words! {
    /// CRDT types by the names that statements use.
    FieldType {
        /// One value, last writer wins.
        Register => "REGISTER",
        /// Members merge one by one.
        Map => "MAP",
        /// Increments add up.
        Counter => "COUNTER",
        /// The older counter.
        PnCounter => "PN_COUNTER",
        /// A token for a stored blob.
        Attachment => "ATTACHMENT",
    }
}

/// `USE IDS`.
#[derive(Debug, Clone, PartialEq)]
pub enum UseIds {
    /// `USE IDS a, b`: each expression is one id.
    Each(Vec<Expr>),
    /// `USE IDS LIST list`: one expression yields the array of ids.
    List(Expr),
}

/// Query directives by name (`#index`, `#disable_index_scan`, …), as given. Unknown ones have no effect.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Directives(pub Object);
