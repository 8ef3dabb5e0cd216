//! Why there is no library to link.

use std::{fmt, io, path::Path};

/// Why one place did not yield the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A path, an address or a variable.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Refusal {
    /// A refusal of `place`.
    pub fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.reason)
    }
}

/// Why there is no library to link.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An environment variable has a value that means nothing, or one that cargo sets is missing.
    Variable {
        /// Its name.
        name: &'static str,
        /// What is expected and what was found.
        problem: String,
    },
    /// No place has a library that fits.
    NotFound {
        /// The file that was looked for, and what it must be.
        wanted: String,
        /// Each place, in the order of the search.
        refusals: Vec<Refusal>,
        /// What to do.
        advice: String,
    },
    /// The build from source failed.
    Build {
        /// The command.
        command: String,
        /// What it printed.
        output: String,
    },
    /// The static library cannot be treated.
    Hygiene(String),
    /// A file or a program cannot be used.
    Io {
        /// What was tried.
        action: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        |source| Self::Io { action, source }
    }

    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("read {}", path.display()))
    }

    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("write {}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { name, problem } => write!(formatter, "{name} {problem}"),
            Self::NotFound { wanted, refusals, advice } => {
                write!(formatter, "no usable {wanted} was found. Looked at, in this order:")?;
                for refusal in refusals {
                    write!(formatter, "\n  - {refusal}")?;
                }
                write!(formatter, "\n{advice}")
            }
            Self::Build { command, output } => {
                write!(formatter, "building libdittoffi from source failed: `{command}` said\n{output}")
            }
            Self::Hygiene(problem) => write!(formatter, "the static library cannot be treated: {problem}"),
            Self::Io { action, source } => write!(formatter, "cannot {action}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
