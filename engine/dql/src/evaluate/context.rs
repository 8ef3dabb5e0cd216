//! What an expression sees besides itself.

use std::cell::Cell;

use ditto_value::{Object, Value, ValueRef};

use super::{Item, View};
use crate::limits::{MAX_ROW_BYTES, MAX_VISITS_PER_ROW};

/// The row an expression is evaluated for, and what is fixed for the whole statement.
///
/// Cheap to build per row: a handful of borrowed pointers.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The document of source 0; `None` reads as MISSING everywhere.
    pub document: Option<ValueRef<'a>>,
    /// The documents of the sources from 1 on, for joined rows.
    pub joined: &'a [Option<ValueRef<'a>>],
    /// The arguments by name. [`Statement::check_arguments`](crate::Statement::check_arguments) says beforehand
    /// whether all are there; one that is not reads as MISSING.
    pub arguments: Arguments<'a>,
    /// The time of the statement, in milliseconds since 1970; the same for all its rows.
    pub now_ms: i64,
    /// The object that `request_info()` yields; NULL if none.
    pub request: Option<&'a Value>,
    /// The group, for expressions after grouping.
    pub group: Option<GroupValues<'a>>,
    visits: Cell<u64>,
    room: Cell<usize>,
}

/// The arguments of a statement by name: a tree, or an object in the binary form, which is read in place.
#[derive(Debug, Clone, Copy)]
pub enum Arguments<'a> {
    /// A tree.
    Tree(&'a Object),
    /// The binary form of an object; any other value holds no arguments.
    Binary(ValueRef<'a>),
}

impl<'a> Arguments<'a> {
    /// The argument of that name, MISSING if there is none.
    pub fn get(self, name: &str) -> Item<'a> {
        match self {
            Self::Tree(object) => object.get(name).into(),
            Self::Binary(object) => object.get(name).into(),
        }
    }
}

impl<'a> From<&'a Object> for Arguments<'a> {
    fn from(arguments: &'a Object) -> Self {
        Self::Tree(arguments)
    }
}

impl<'a> From<ValueRef<'a>> for Arguments<'a> {
    fn from(arguments: ValueRef<'a>) -> Self {
        Self::Binary(arguments)
    }
}

/// Keys and finished aggregates of one group, by their slots in [`Grouping`](crate::Grouping); `None` is MISSING.
#[derive(Debug, Clone, Copy)]
pub struct GroupValues<'a> {
    /// Values of the keys.
    pub keys: &'a [Option<Value>],
    /// Values of the aggregates.
    pub aggregates: &'a [Option<Value>],
}

impl<'a> Context<'a> {
    /// A context without a row, for constant expressions.
    pub fn new(arguments: impl Into<Arguments<'a>>, now_ms: i64) -> Self {
        Self {
            document: None,
            joined: &[],
            arguments: arguments.into(),
            now_ms,
            request: None,
            group: None,
            visits: Cell::new(MAX_VISITS_PER_ROW),
            room: Cell::new(MAX_ROW_BYTES),
        }
    }

    /// The same with the bounds of a new row.
    fn fresh(&self) -> Self {
        Self { visits: Cell::new(MAX_VISITS_PER_ROW), room: Cell::new(MAX_ROW_BYTES), ..self.clone() }
    }

    /// The same for a document of source 0.
    #[must_use]
    pub fn with_document(&self, document: ValueRef<'a>) -> Self {
        Self { document: Some(document), ..self.fresh() }
    }

    /// The same for a joined row: `document` of source 0 and `joined` of the following ones.
    #[must_use]
    pub fn with_joined(&self, document: Option<ValueRef<'a>>, joined: &'a [Option<ValueRef<'a>>]) -> Self {
        Self { document, joined, ..self.fresh() }
    }

    /// The same for a finished group; the group has no document.
    #[must_use]
    pub fn with_group(&self, group: GroupValues<'a>) -> Self {
        Self { document: None, joined: &[], group: Some(group), ..self.fresh() }
    }

    /// The document of a source.
    pub(crate) fn source(&self, source: usize) -> Option<ValueRef<'a>> {
        match source.checked_sub(1) {
            None => self.document,
            Some(joined) => self.joined.get(joined).copied().flatten(),
        }
    }

    /// Takes one element visit from the row's budget; `false` when it is used up.
    pub(crate) fn visit(&self) -> bool {
        match self.visits.get().checked_sub(1) {
            Some(rest) => {
                self.visits.set(rest);
                true
            }
            None => false,
        }
    }

    /// Takes the size of a new value from the row's budget; `false` when it is used up.
    pub(crate) fn afford(&self, value: &Value) -> bool {
        let size = View::Value(value).approximate_size();
        let rest = self.room.get().checked_sub(size);
        self.room.set(rest.unwrap_or_default());
        rest.is_some()
    }

    /// The item, or MISSING if it was built and exceeds the row's budget.
    pub(crate) fn charge(&self, item: Item<'a>) -> Item<'a> {
        match &item {
            Item::Owned(value) if !self.afford(value) => Item::Missing,
            _ => item,
        }
    }

    /// Whether all element visits are used up.
    pub(crate) fn exhausted(&self) -> bool {
        self.visits.get() == 0
    }
}
