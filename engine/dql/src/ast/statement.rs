//! Statements.

use ditto_value::Value;

use super::expression::{AggregateCall, Expr};
use super::source::{Collection, Directives, Source};
use crate::error::Place;

/// A checked statement: names are resolved, functions exist, grouping is sound.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// SELECT.
    Select(Select),
    /// INSERT.
    Insert(Insert),
    /// UPDATE.
    Update(Update),
    /// DELETE.
    Delete(Delete),
    /// EVICT.
    Evict(Evict),
    /// EXPLAIN: the plan of the statement inside.
    Explain(Box<Statement>),
    /// PROFILE: run the statement inside and report how.
    Profile(Box<Statement>),
    /// ADVISE: which indexes the statement inside would need.
    Advise {
        /// `AND PROVISION`: create them too.
        provision: bool,
        /// SELECT, UPDATE, DELETE, EVICT or INSERT … SELECT.
        statement: Box<Statement>,
    },
    /// SHOW.
    Show(Show),
    /// ALTER SYSTEM.
    AlterSystem(AlterSystem),
    /// CREATE INDEX.
    CreateIndex(CreateIndex),
    /// DROP INDEX.
    DropIndex(DropIndex),
}

/// `SELECT … FROM …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// Directives for the whole statement.
    pub directives: Directives,
    /// Remove equal rows.
    pub distinct: bool,
    /// What a row shows.
    pub projection: Projection,
    /// The first source, number 0.
    pub source: Source,
    /// Further sources, numbered from 1.
    pub joins: Vec<Join>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// Present when the statement groups: GROUP BY, HAVING or any aggregate. Without keys there is exactly
    /// one group, even over no rows.
    pub grouping: Option<Grouping>,
    /// HAVING; sees keys and aggregates only.
    pub having: Option<Expr>,
    /// ORDER BY. Aliases of the projection are replaced by what they stand for.
    pub order_by: Vec<SortItem>,
    /// LIMIT; constant for the statement.
    pub limit: Option<Expr>,
    /// OFFSET; constant for the statement.
    pub offset: Option<Expr>,
}

/// Keys and aggregates of a statement that groups. [`Groups`](crate::Groups) runs it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grouping {
    /// GROUP BY expressions; they see the input rows.
    pub keys: Vec<Expr>,
    /// Every distinct aggregate of projection, HAVING and ORDER BY.
    pub aggregates: Vec<AggregateCall>,
}

/// What a row shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Projection {
    /// `*`: the whole document, or one member per alias when joined.
    All,
    /// Listed items.
    Items(Vec<ProjectionItem>),
}

/// One item of a projection list.
#[derive(Debug, Clone, PartialEq)]
pub enum ProjectionItem {
    /// `alias.*`: the members of this source's document.
    Members {
        /// The source.
        source: usize,
        /// The name as written.
        name: String,
        /// Where it is written.
        place: Place,
    },
    /// `MISSING path`: leaves a member out of what the stars gave.
    Exclude {
        /// Member names below the document.
        steps: Vec<String>,
        /// Where it is written.
        place: Place,
    },
    /// A computed member.
    Value {
        /// What it shows.
        expr: Expr,
        /// The member's name: alias, last step, or `($n)`.
        name: String,
        /// Whether the name was given as an alias.
        aliased: bool,
        /// Where it is written.
        place: Place,
    },
}

/// One ORDER BY item.
#[derive(Debug, Clone, PartialEq)]
pub struct SortItem {
    /// The key.
    pub expr: Expr,
    /// DESC: the whole order reversed, missing first.
    pub descending: bool,
}

/// One joined source.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// How unmatched rows are treated.
    pub kind: JoinKind,
    /// The joined source.
    pub source: Source,
    /// The condition.
    pub on: Expr,
}

/// Kinds of JOIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Only matching pairs.
    Inner,
    /// Every left row.
    Left,
    /// Every right row; only as the first join.
    Right,
}

/// RETURNING: a projection over the affected documents, with its aggregates.
#[derive(Debug, Clone, PartialEq)]
pub struct Returning {
    /// What a row shows.
    pub projection: Projection,
    /// Present when the projection aggregates: then there is exactly one row.
    pub grouping: Option<Grouping>,
}

/// `INSERT INTO …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// Directives for the whole statement.
    pub directives: Directives,
    /// The collection and its type definitions.
    pub target: Source,
    /// What is inserted.
    pub body: InsertBody,
    /// What happens when an id exists.
    pub conflict: ConflictPolicy,
    /// RETURNING.
    pub returning: Option<Returning>,
}

/// What INSERT inserts.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertBody {
    /// `[INITIAL] DOCUMENTS (…), (…)`.
    Documents {
        /// Seed data at time zero.
        initial: bool,
        /// Each yields an object or an array of objects.
        documents: Vec<Expr>,
    },
    /// `INSERT INTO c SELECT …`.
    Select(Box<Select>),
}

/// What INSERT does when a visible document has the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConflictPolicy {
    /// The statement fails.
    #[default]
    Fail,
    /// The document stays as it is.
    Nothing,
    /// Every given field is written.
    Update,
    /// Only fields with a different value are written.
    UpdateLocalDiff,
}

/// Which documents UPDATE, DELETE and EVICT affect.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The collection.
    pub source: Source,
    /// WHERE.
    pub filter: Option<Expr>,
    /// ORDER BY, for LIMIT and OFFSET.
    pub order_by: Vec<SortItem>,
    /// LIMIT; constant for the statement.
    pub limit: Option<Expr>,
    /// OFFSET; constant for the statement.
    pub offset: Option<Expr>,
}

/// `UPDATE …`. No two of its changes concern the same or nested paths, and none `_id`.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Directives for the whole statement.
    pub directives: Directives,
    /// Which documents.
    pub selection: Selection,
    /// The changes, in the order written: APPLY, SET, UNSET. All see the document as it was before.
    pub changes: Vec<Change>,
    /// RETURNING.
    pub returning: Option<Returning>,
}

/// One change of an UPDATE.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Member names below the document; never empty.
    pub path: Vec<String>,
    /// What happens there.
    pub action: Action,
    /// Where it is written.
    pub place: Place,
}

/// What happens to a path in UPDATE.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `SET path = value`.
    Set(Expr),
    /// The older `SET path -> default()`: null, or an empty object for a MAP.
    SetDefault,
    /// `UNSET path`, or the older `SET path -> tombstone()`.
    Unset,
    /// `APPLY path INCREMENT BY n`.
    Increment(Expr),
    /// `APPLY path PN_INCREMENT BY n`.
    PnIncrement(Expr),
    /// `APPLY path RESTART [WITH n]`; 0 if none.
    Restart(Option<Expr>),
}

/// `DELETE FROM …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// Directives for the whole statement.
    pub directives: Directives,
    /// Which documents.
    pub selection: Selection,
    /// RETURNING: the documents as they were.
    pub returning: Option<Returning>,
}

/// `EVICT FROM …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Evict {
    /// Directives for the whole statement.
    pub directives: Directives,
    /// Which documents.
    pub selection: Selection,
    /// RETURNING: the documents as they were.
    pub returning: Option<Returning>,
}

/// `SHOW …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// One parameter, as written; its case does not matter.
    Parameter(String),
    /// `SHOW ALL [LIKE | ILIKE pattern]`.
    All(Option<NamePattern>),
}

/// The pattern of `SHOW ALL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    /// A LIKE pattern.
    pub pattern: String,
    /// ILIKE.
    pub ignore_case: bool,
}

/// `ALTER SYSTEM …`. Names are as written; their case does not matter.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterSystem {
    /// `SET name = value`; a constant expression.
    Set {
        /// The parameter.
        name: String,
        /// Its new value.
        value: Expr,
    },
    /// `RESET name`, `SET name = DEFAULT`.
    Reset(String),
    /// `RESET ALL`.
    ResetAll,
}

/// `CREATE INDEX …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateIndex {
    /// The index, unique in its collection.
    pub name: String,
    /// Its collection.
    pub collection: Collection,
    /// Its keys; never empty.
    pub keys: Vec<IndexKey>,
    /// Do nothing if the name exists.
    pub if_not_exists: bool,
}

/// One key of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexKey {
    /// Member names below the document.
    pub path: Vec<String>,
    /// DESC.
    pub descending: bool,
}

/// `DROP INDEX …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIndex {
    /// The index.
    pub name: String,
    /// Its collection.
    pub collection: Collection,
    /// Do nothing if the name does not exist.
    pub if_exists: bool,
}

/// Statement classes, for statistics, caches and context checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the statement of that name")]
pub enum StatementKind {
    Select,
    Insert,
    Update,
    Delete,
    Evict,
    Explain,
    Profile,
    Advise,
    Show,
    AlterSystem,
    CreateIndex,
    DropIndex,
}

impl Statement {
    /// The class of the statement.
    pub const fn kind(&self) -> StatementKind {
        match self {
            Self::Select(_) => StatementKind::Select,
            Self::Insert(_) => StatementKind::Insert,
            Self::Update(_) => StatementKind::Update,
            Self::Delete(_) => StatementKind::Delete,
            Self::Evict(_) => StatementKind::Evict,
            Self::Explain(_) => StatementKind::Explain,
            Self::Profile(_) => StatementKind::Profile,
            Self::Advise { .. } => StatementKind::Advise,
            Self::Show(_) => StatementKind::Show,
            Self::AlterSystem(_) => StatementKind::AlterSystem,
            Self::CreateIndex(_) => StatementKind::CreateIndex,
            Self::DropIndex(_) => StatementKind::DropIndex,
        }
    }

    /// Whether running it may change documents: INSERT, UPDATE, DELETE, EVICT, also inside PROFILE.
    pub fn is_mutation(&self) -> bool {
        match self {
            Self::Insert(_) | Self::Update(_) | Self::Delete(_) | Self::Evict(_) => true,
            Self::Profile(inner) => inner.is_mutation(),
            _ => false,
        }
    }
}

impl Select {
    /// All sources in the order of their numbers.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.source).chain(self.joins.iter().map(|join| &join.source))
    }
}

impl Expr {
    /// TRUE or FALSE as an expression.
    pub const fn boolean(value: bool) -> Self {
        Self::Literal(Value::Bool(value))
    }
}
