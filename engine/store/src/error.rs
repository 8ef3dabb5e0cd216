//! What can go wrong, by operation.

use std::sync::Arc;

use ditto_dql::ParseError;
use ditto_storage::StorageError;

use crate::index::IndexError;
use crate::layout::FORMAT_VERSION;

/// Why a store could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database was written by a newer version of this software, or by something else.
    #[error(
        "the database has format version {found}, this build reads up to {FORMAT_VERSION}: open it with the version \
         of the library that wrote it, or a newer one"
    )]
    UnknownFormat {
        /// What the database says.
        found: u32,
    },
    /// The rows are there, but they are not a catalog of ours.
    #[error("this is not a database of this library: the catalog row `{row}` cannot be read ({found} bytes)")]
    Corrupt {
        /// Which row of the catalog.
        row: String,
        /// How many bytes it has.
        found: usize,
    },
    /// The directory belongs to another database.
    #[error("the directory holds the database `{found}`, not `{expected}`: use another directory")]
    WrongDatabase {
        /// The database id asked for.
        expected: String,
        /// The database id of the directory.
        found: String,
    },
    /// The storage could not be read or written.
    #[error("the storage failed while the store was opened")]
    Storage(#[from] StorageError),
}

/// Why a statement failed. The store is as it was before the statement.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The text is not a statement, or the statement makes no sense.
    #[error("the statement does not compile: {0}")]
    Compile(#[from] Arc<ParseError>),
    /// A placeholder has no argument.
    #[error("the statement needs an argument named `{name}`: pass one")]
    MissingArgument {
        /// The placeholder, without its colon.
        name: String,
    },
    /// The statement is not allowed here.
    #[error("{statement} is not allowed in {context}{hint}")]
    Context {
        /// What kind of statement it is.
        statement: String,
        /// Where it was tried.
        context: &'static str,
        /// What to do instead; begins with a separator, or is empty.
        hint: &'static str,
    },
    /// A mutating statement in a read-only transaction.
    #[error("{statement} changes data, the transaction is read-only: begin a read-write transaction")]
    ReadOnly {
        /// What kind of statement it is.
        statement: &'static str,
    },
    /// The data of the statement, or its effect on the data, is not allowed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A system parameter: unknown, of the wrong kind, out of bounds.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// An index could not be created or dropped.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The statement is part of the language, but not of this version.
    #[error("{what} is not available in this version")]
    Unsupported {
        /// What was used.
        what: String,
    },
    /// A read-write transaction is open, and code inside of it tried to write beside it: it would wait for itself.
    #[error(
        "{holder} is open and this was to write beside it, from inside of it, which would wait for ever: execute it on \
         the transaction, or after its end"
    )]
    NestedWrite {
        /// The transaction.
        holder: String,
    },
    /// Somebody else has been writing for so long that this gave up.
    #[error(
        "{holder} has been writing for {held_ms} ms, and this gave up after {waited_ms} ms of waiting: end that one \
         sooner, or raise TRANSACTION_WAIT_TIMEOUT_MS"
    )]
    WriterBusy {
        /// Who writes.
        holder: String,
        /// For how long, in milliseconds.
        held_ms: u64,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The one who watched the progress did not want to go on.
    #[error("the {what} was cancelled")]
    Cancelled {
        /// What was under way.
        what: &'static str,
    },
    /// The statement ran for too long; it has done nothing.
    #[error(
        "the statement ran for longer than DQL_REQUEST_TIMEOUT_SECONDS ({seconds} s) and was ended: let it look at fewer \
         documents, by an index or by conditions, or raise that parameter"
    )]
    RequestTimeout {
        /// The parameter.
        seconds: u64,
    },
    /// The transaction was committed or rolled back before.
    #[error("the transaction has ended: begin another one")]
    TransactionEnded,
    /// The store was closed.
    #[error("the store is closed: open it again")]
    Closed,
    /// The storage could not be read or written.
    #[error("the storage failed")]
    Storage(#[from] StorageError),
    /// A stored row cannot be read.
    #[error("the database is damaged: {what}")]
    Corrupt {
        /// Which row, and what is wrong with it.
        what: String,
    },
    /// What another peer sent was found to fit to what was here before something was evicted.
    #[error("documents were evicted in this moment: find out anew whether what is to be merged leaves gaps")]
    Evicted,
}

impl StoreError {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

impl From<ParseError> for StoreError {
    fn from(error: ParseError) -> Self {
        Self::Compile(Arc::new(error))
    }
}

/// What is wrong with the data of a statement.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// INSERT without a conflict clause met an existing document.
    #[error(
        "a document with the _id {id} exists in `{collection}`: use another _id, or say what to do with \
         ON ID CONFLICT DO UPDATE | DO NOTHING"
    )]
    IdExists {
        /// The collection.
        collection: String,
        /// The `_id` as JSON.
        id: String,
    },
    /// Two documents of one INSERT have the same `_id`.
    #[error("two documents of the statement have the _id {id}: give each its own")]
    DuplicateId {
        /// The `_id` as JSON.
        id: String,
    },
    /// The `_id` is of a kind that cannot be one.
    #[error(
        "{found} cannot be an _id: use a string, an integer, a boolean, bytes, an array or an object without floats"
    )]
    IllegalId {
        /// What was found.
        found: String,
    },
    /// The `_id` is too long.
    #[error("an _id takes at most {} bytes, this one {found}", crate::MAX_ID_BYTES)]
    LongId {
        /// Its encoded length.
        found: usize,
    },
    /// A document of an INSERT is not an object.
    #[error("INSERT takes objects or arrays of objects, found {found}")]
    NotAnObject {
        /// What was found.
        found: &'static str,
    },
    /// A document would exceed DOCUMENT_SIZE_HARD_LIMIT_BYTES.
    #[error(
        "the document {id} would take {size} bytes, more than DOCUMENT_SIZE_HARD_LIMIT_BYTES ({limit}): {}",
        too_large(*size, *shown)
    )]
    TooLarge {
        /// The `_id` as JSON.
        id: String,
        /// Bytes of the document.
        size: usize,
        /// How many of them are its value; the others are needed for merging.
        shown: usize,
        /// The limit.
        limit: usize,
    },
    /// The name cannot be that of a collection to write to.
    #[error("`{name}` cannot be written to: {reason}")]
    Collection {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// LIMIT or OFFSET is not a non-negative integer.
    #[error("{clause} must be a non-negative integer, found {found}")]
    Count {
        /// LIMIT or OFFSET.
        clause: &'static str,
        /// What was found.
        found: String,
    },
    /// The ids of USE IDS cannot be used.
    #[error("USE IDS LIST takes an array, found {found}")]
    IdList {
        /// What was found.
        found: &'static str,
    },
    /// The right-hand side of SET is MISSING.
    #[error(
        "the value for `{path}` is MISSING in the document {id}: use UNSET to remove a field, or a default such as ifmissing()"
    )]
    MissingValue {
        /// The field.
        path: String,
        /// The `_id` as JSON.
        id: String,
    },
    /// A counter was changed by something that is not a usable number.
    #[error("the counter `{path}` takes {expected}, found {found}")]
    Counter {
        /// The field.
        path: String,
        /// What is needed.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// The document refused the write.
    #[error("the document {id} cannot be written: {reason}")]
    Write {
        /// The `_id` as JSON.
        id: String,
        /// Why.
        reason: String,
    },
}

/// What to do about a document of that size of which so much is its value.
fn too_large(size: usize, shown: usize) -> &'static str {
    if shown < size / 2 {
        "most of that is kept for merging, of members that were removed or changed; DELETE it and INSERT it anew, which \
         leaves that behind"
    } else {
        "split it, or keep large values in attachments"
    }
}

/// A statement about system parameters that cannot be done.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("system parameter `{name}`: {problem}")]
pub struct ParameterError {
    /// The parameter as the statement names it.
    pub name: String,
    /// What is wrong.
    pub problem: ParameterProblem,
}

/// What is wrong with a system parameter or its value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterProblem {
    /// There is no such parameter.
    #[error("there is no such parameter, SHOW ALL lists them")]
    Unknown,
    /// The value is of another kind.
    #[error("takes {expected}, found {found}")]
    WrongKind {
        /// What it takes.
        expected: &'static str,
        /// What was given.
        found: &'static str,
    },
    /// The value is outside the bounds.
    #[error("takes {min} to {max}, found {found}")]
    OutOfBounds {
        /// What was given.
        found: String,
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// A member of an object value is not allowed.
    #[error("the member `{member}` must be one of {expected}")]
    WrongMember {
        /// The member.
        member: String,
        /// The words that are allowed.
        expected: String,
    },
    /// An object value has too many members.
    #[error("takes at most {most} members")]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// A member of an object value is named like no collection that can be synced.
    #[error("the member `{member}` is no name of a collection: 1 to 1,024 bytes, not beginning with `__`")]
    NotACollection {
        /// The member.
        member: String,
    },
}
