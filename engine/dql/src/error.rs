//! What can be wrong with a statement's text, and where.

use std::fmt;

/// Why a statement was refused before it ran.
///
/// `Display` gives one sentence with position, for example
/// `line 1, column 18: expected the end of the statement, found '-'; a name with a hyphen needs backticks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The class of the mistake.
    pub kind: ErrorKind,
    /// Line of the offending token, from 1.
    pub line: u32,
    /// Column of the offending token in characters, from 1.
    pub column: u32,
    /// What was wrong, in words, without the position.
    pub message: String,
    /// The token found, for syntax errors.
    pub found: Option<String>,
    /// What the grammar wanted at this place, for syntax errors.
    pub expected: Option<String>,
    /// What the author may have meant.
    pub hint: Option<String>,
}

/// The class of a [`ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The text is not a statement of the language.
    Syntax,
    /// The statement is well-formed but means nothing: unknown function, ungrouped field, assignment to `_id`.
    Semantics,
    /// The statement is fine, but not allowed here, for example ORDER BY in a subscription.
    Context,
    /// Part of the language that this engine does not run yet.
    Unsupported,
    /// A bound of [`limits`](crate::limits) was exceeded.
    Limit,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}

/// Where in the text a node of the tree began: a byte offset.
///
/// All places are equal to each other, so that two trees are equal when they mean the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place(pub(crate) u32);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Place {
    pub(crate) fn at(offset: usize) -> Self {
        Self(u32::try_from(offset).unwrap_or(u32::MAX))
    }

    /// Line and column, both from 1; columns count characters.
    pub(crate) fn line_and_column(self, text: &str) -> (u32, u32) {
        let mut offset = (self.0 as usize).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = text.get(..offset).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// A mistake at a place, before the place became line and column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub kind: ErrorKind,
    pub place: Place,
    pub message: String,
    pub found: Option<String>,
    pub expected: Option<String>,
    pub hint: Option<String>,
}

/// Faults are large and rare; the parser passes results by value all the time.
pub(crate) type Checked<T> = Result<T, Box<Fault>>;

impl Fault {
    pub fn new(kind: ErrorKind, place: Place, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { kind, place, message: message.into(), found: None, expected: None, hint: None })
    }

    pub fn semantics(place: Place, message: impl Into<String>) -> Box<Self> {
        Self::new(ErrorKind::Semantics, place, message)
    }

    pub fn context(place: Place, message: impl Into<String>) -> Box<Self> {
        Self::new(ErrorKind::Context, place, message)
    }

    pub fn syntax(place: Place, expected: impl Into<String>, found: impl Into<String>) -> Box<Self> {
        let (expected, found) = (expected.into(), found.into());
        let mut fault = Self::new(ErrorKind::Syntax, place, format!("expected {expected}, found {found}"));
        fault.expected = Some(expected);
        fault.found = Some(found);
        fault
    }

    pub fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    pub fn into_error(self, text: &str) -> ParseError {
        let (line, column) = self.place.line_and_column(text);
        let Self { kind, message, found, expected, hint, .. } = self;
        ParseError { kind, line, column, message, found, expected, hint }
    }
}
