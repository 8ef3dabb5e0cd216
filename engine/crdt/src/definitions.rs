//! Kinds of entries, and what a statement says about them.

use std::collections::BTreeMap;

/// How an entry merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Any value as one unit; the last writer wins.
    Register,
    /// An object whose members are entries of their own; a write below survives a concurrent removal.
    Map,
    /// An integer; concurrent increments add up, a restart is last-writer-wins.
    Counter,
    /// The older counter, which also takes fractions.
    PnCounter,
    /// A register that holds the token of an attachment.
    Attachment,
    /// A kind of a newer build: kept and forwarded as it is, invisible here. The number is at least
    /// [`Kind::FIRST_UNKNOWN`].
    Unknown(u8),
}

impl Kind {
    /// The first code that this build does not know.
    pub const FIRST_UNKNOWN: u8 = 5;

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Register => 0,
            Self::Map => 1,
            Self::Counter => 2,
            Self::PnCounter => 3,
            Self::Attachment => 4,
            Self::Unknown(code) => code,
        }
    }

    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Register,
            1 => Self::Map,
            2 => Self::Counter,
            3 => Self::PnCounter,
            4 => Self::Attachment,
            code => Self::Unknown(code),
        }
    }

    pub(crate) fn is_counter(self) -> bool {
        matches!(self, Self::Counter | Self::PnCounter)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Register => formatter.write_str("REGISTER"),
            Self::Map => formatter.write_str("MAP"),
            Self::Counter => formatter.write_str("COUNTER"),
            Self::PnCounter => formatter.write_str("PN_COUNTER"),
            Self::Attachment => formatter.write_str("ATTACHMENT"),
            Self::Unknown(code) => write!(formatter, "unknown kind {code}"),
        }
    }
}

/// What a statement declares about one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The declared kind.
    pub kind: Kind,
    /// For a [`Kind::Map`]: what is declared about its members.
    pub members: BTreeMap<String, Definition>,
}

impl Definition {
    /// A member of that kind, nothing said about what is below.
    pub fn of(kind: Kind) -> Self {
        Self { kind, members: BTreeMap::new() }
    }

    /// A map with definitions of its members.
    pub fn map<N: Into<String>>(members: impl IntoIterator<Item = (N, Definition)>) -> Self {
        let members = members.into_iter().map(|(name, definition)| (name.into(), definition)).collect();
        Self { kind: Kind::Map, members }
    }
}

/// The type definitions of a statement: which kind is meant where. The default declares nothing and is not strict.
///
/// What is not declared is, when not strict, a map for objects and a register for everything else when written, and the
/// most recently written kind when read. When strict it is a register, in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Whether undeclared members are registers only.
    pub strict: bool,
    members: BTreeMap<String, Definition>,
}

impl Definitions {
    /// Nothing is declared.
    pub fn new(strict: bool) -> Self {
        Self { strict, members: BTreeMap::new() }
    }

    /// Declares a top-level member; a second declaration replaces the first.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, definition: Definition) -> Self {
        self.declare(name, definition);
        self
    }

    /// Declares a top-level member; a second declaration replaces the first.
    pub fn declare(&mut self, name: impl Into<String>, definition: Definition) {
        self.members.insert(name.into(), definition);
    }

    /// What is declared about a top-level member.
    pub fn get(&self, name: &str) -> Option<&Definition> {
        self.members.get(name)
    }

    /// Whether nothing is declared and the mode is not strict: what a record's value shows.
    pub fn is_default(&self) -> bool {
        !self.strict && self.members.is_empty()
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { strict: self.strict, declared: None, members: Some(&self.members) }
    }
}

/// The definitions that hold at one place of a document.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'d> {
    strict: bool,
    declared: Option<Kind>,
    members: Option<&'d BTreeMap<String, Definition>>,
}

impl<'d> Scope<'d> {
    /// One member further down.
    pub(crate) fn member(self, name: &str) -> Scope<'d> {
        let definition = self.members.and_then(|members| members.get(name));
        Scope {
            strict: self.strict,
            declared: definition.map(|definition| definition.kind),
            members: definition.map(|definition| &definition.members),
        }
    }

    /// The only kind that counts here; None if any does.
    pub(crate) fn only(self) -> Option<Kind> {
        self.declared.or(if self.strict { Some(Kind::Register) } else { None })
    }
}
