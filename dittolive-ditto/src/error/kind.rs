use std::fmt;

use super::CoreApiErrorKind;

/// The sort of a [`DittoError`](super::DittoError).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A login or a logout failed.
    Authentication,
    /// The configuration is wrong: a builder misused, bad identity data, a missing environment variable.
    Config,
    /// A numeric error without a name.
    FfiLegacy,
    /// A fault of the database itself.
    Internal,
    /// Data given by the caller is not acceptable: a query, a document, a path, metadata.
    InvalidInput,
    /// The file system or the network failed.
    IO,
    /// The license token is not acceptable.
    License,
    /// Sync was started without a license where one is needed.
    NotActivated,
    /// A document or a path in it does not exist.
    NonExtant,
    /// The `Ditto` instance that this handle belongs to is closed.
    ReleasedDittoInstance,
    /// An error with a finer kind.
    CoreApi(CoreApiErrorKind),
    /// The feature was removed.
    Deprecation,
}

impl ErrorKind {
    /// The fixed sentence for errors that have no more to say.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Authentication => "authentication failed",
            Self::Config => "the configuration is not valid",
            Self::FfiLegacy => "the database library reported an error without a name",
            Self::Internal => "an internal fault of the database",
            Self::InvalidInput => "the given data is not valid",
            Self::IO => "the file system or the network failed",
            Self::License => "the license token is not valid",
            Self::NotActivated => "sync needs a license token on this instance, and none was set",
            Self::NonExtant => "the document or the path in it does not exist",
            Self::ReleasedDittoInstance => {
                "this Ditto instance is closed; open a new one and use its handles"
            }
            Self::CoreApi(kind) => kind.description(),
            Self::Deprecation => "this feature was removed",
        }
    }

    /// The name of the kind.
    #[doc(hidden)]
    #[deprecated(note = "match on the kind, or use `Display`")]
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Authentication => "Authentication",
            Self::Config => "Config",
            Self::FfiLegacy => "FfiLegacy",
            Self::Internal => "Internal",
            Self::InvalidInput => "InvalidInput",
            Self::IO => "IO",
            Self::License => "License",
            Self::NotActivated => "NotActivated",
            Self::NonExtant => "NonExtant",
            Self::ReleasedDittoInstance => "ReleasedDittoInstance",
            Self::CoreApi(kind) => kind.name(),
            Self::Deprecation => "Deprecation",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}
