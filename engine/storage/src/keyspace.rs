//! The fixed set of keyspaces.

use std::fmt;

/// A named, ordered map from byte keys to byte values.
///
/// The set is fixed: what a row means is the business of the store, but which rows live together decides how they
/// are laid out on disk, so the storage knows the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Keyspace {
    /// Database id, site id, runs, format version, collections, index definitions, system parameters.
    Catalog,
    /// Collection ‖ document id → record.
    Documents,
    /// Sequence → the document that it changed.
    Changes,
    /// Last sequence of a commit of several documents → its first.
    Commits,
    /// Collection ‖ key hash → removed births.
    Graves,
    /// Index ‖ encoded values ‖ document id → nothing.
    Indexes,
    /// Remote peer ‖ interest → checkpoint.
    Replication,
    /// Attachment digest → length, references, partial ranges.
    Attachments,
}

impl Keyspace {
    /// Every keyspace, in the order of [`Self::index`].
    pub const ALL: [Self; 8] = [
        Self::Catalog,
        Self::Documents,
        Self::Changes,
        Self::Commits,
        Self::Graves,
        Self::Indexes,
        Self::Replication,
        Self::Attachments,
    ];

    /// How many keyspaces there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The name under which the keyspace is stored; part of the file format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Documents => "documents",
            Self::Changes => "changes",
            Self::Commits => "commits",
            Self::Graves => "graves",
            Self::Indexes => "indexes",
            Self::Replication => "replication",
            Self::Attachments => "attachments",
        }
    }

    /// Position in [`Self::ALL`], below [`Self::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Keyspace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
