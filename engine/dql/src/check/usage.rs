//! Which statement is allowed where.

use crate::ast::{Statement, StatementKind};

/// The place a statement is used in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// An observer: SELECT only.
    Observer,
    /// A transaction that may write.
    ReadWriteTransaction,
    /// A transaction that only reads, or a store opened for reading.
    ReadOnlyTransaction,
}

/// A statement in a place where it is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// Anything but SELECT in an observer.
    #[error("an observer takes a SELECT statement, found {found}")]
    NotObservable {
        /// The statement found.
        found: &'static str,
    },
    /// A mutation in a read-only transaction, even one that would change nothing.
    #[error("{found} is not allowed in a read-only transaction; use a read-write one")]
    ReadOnly {
        /// The statement found.
        found: &'static str,
    },
    /// Index and system statements in a transaction.
    #[error("{found} is not allowed in a transaction; execute it outside")]
    NotTransactional {
        /// The statement found.
        found: &'static str,
    },
}

impl StatementKind {
    /// The words that the statement begins with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Evict => "EVICT",
            Self::Explain => "EXPLAIN",
            Self::Profile => "PROFILE",
            Self::Advise => "ADVISE",
            Self::Show => "SHOW",
            Self::AlterSystem => "ALTER SYSTEM",
            Self::CreateIndex => "CREATE INDEX",
            Self::DropIndex => "DROP INDEX",
        }
    }
}

impl Statement {
    /// Whether the statement is allowed in `usage`. Subscriptions have their own check,
    /// [`subscription`](crate::subscription).
    ///
    /// # Errors
    /// Why not.
    pub fn check_usage(&self, usage: Usage) -> Result<(), UsageError> {
        let found = self.kind().as_str();
        match (usage, self.kind()) {
            (Usage::Observer, StatementKind::Select) => Ok(()),
            (Usage::Observer, _) => Err(UsageError::NotObservable { found }),
            (Usage::ReadOnlyTransaction, _) if self.is_mutation() => Err(UsageError::ReadOnly { found }),
            (
                _,
                StatementKind::AlterSystem
                | StatementKind::CreateIndex
                | StatementKind::DropIndex
                | StatementKind::Advise,
            ) => Err(UsageError::NotTransactional { found }),
            _ => Ok(()),
        }
    }
}
