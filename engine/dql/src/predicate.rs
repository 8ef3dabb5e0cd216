//! Conditions in the shape that an index can serve: a field against constants.
//!
//! The planner takes the conjuncts of a filter, asks each for its [`Predicate`], and turns that into key ranges.
//! It may read too many documents, never too few: the filter itself is applied to every document again.

use crate::ast::{Comparison, Dialect, Expr, IsTest, Like, NamePattern};
use crate::evaluate::pattern;

/// Functions that look at more than their arguments.
const TIMED: [&str; 3] = ["clock", "request_info", "tz_offset"];

/// A test of one field against expressions that are constant for the statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicate<'e> {
    /// The source whose field is tested.
    pub source: usize,
    /// The member names of the field below the document.
    pub path: &'e [String],
    /// The test.
    pub test: Test<'e>,
}

/// What is asked of the field. All expressions are constant ([`Expr::is_constant`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Test<'e> {
    /// Equal to this value. NULL and MISSING select nothing.
    Equal(&'e Expr),
    /// Of the same kind, but unequal to this value.
    NotEqual(&'e Expr),
    /// Equal to an element of this array. Anything but an array selects nothing.
    In(&'e Expr),
    /// Between two ends, of which at least one is given; the field is of the same kind as the end.
    Range {
        /// The lower end.
        low: Option<End<'e>>,
        /// The upper end.
        high: Option<End<'e>>,
    },
    /// A string that matches this LIKE pattern; see [`like_prefix`].
    Like {
        /// The pattern.
        pattern: &'e Expr,
        /// The escape character; backslash if none.
        escape: Option<&'e Expr>,
    },
    /// Null.
    Null,
    /// Missing.
    Missing,
    /// TRUE or FALSE.
    Boolean(bool),
}

/// One end of a [`Test::Range`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct End<'e> {
    /// Its value.
    pub value: &'e Expr,
    /// Whether the value itself is in the range.
    pub included: bool,
}

impl Expr {
    /// The parts that must all be TRUE for this to be TRUE; the expression itself if it is no conjunction.
    pub fn conjuncts(&self) -> &[Expr] {
        match self {
            Self::And(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// The parts of which one must be TRUE for this to be TRUE; the expression itself if it is no disjunction.
    pub fn disjuncts(&self) -> &[Expr] {
        match self {
            Self::Or(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// Source number and member names, if this is nothing but a field.
    pub fn field(&self) -> Option<(usize, &[String])> {
        match self {
            Self::Path(path) => path.field(),
            _ => None,
        }
    }

    /// Whether the value is the same for all rows of a statement: no field, binding, group or `request_info()`.
    pub fn is_constant(&self) -> bool {
        let mut constant = true;
        self.visit(&mut |expr| {
            constant &= match expr {
                Self::Path(_) | Self::Aggregate { .. } | Self::GroupKey { .. } => false,
                Self::Call(call) => call.function.name != "request_info",
                _ => true,
            }
        });
        constant
    }

    /// Whether the value depends on nothing but the row and the arguments: not on when or by whom the statement is run.
    pub fn is_timeless(&self) -> bool {
        let mut timeless = true;
        self.visit(&mut |expr| {
            timeless &= !matches!(expr, Self::Call(call) if TIMED.contains(&call.function.name));
        });
        timeless
    }

    /// This condition as a test of one field against constants, if it is one.
    pub fn predicate(&self) -> Option<Predicate<'_>> {
        let (field, test) = match self {
            Self::Compare { operator, left, right } if right.is_constant() => {
                (&**left, compare(*operator, right))
            }
            Self::Compare { operator, left, right } if left.is_constant() => {
                (&**right, compare(operator.mirrored(), left))
            }
            Self::In { operand, list, negated: false } if list.is_constant() => (&**operand, Test::In(list)),
            Self::Between { operand, low, high, negated: false }
                if low.is_constant() && high.is_constant() =>
            {
                let end = |value| Some(End { value, included: true });
                (&**operand, Test::Range { low: end(low), high: end(high) })
            }
            Self::Is { operand, test, negated: false } => match test {
                IsTest::Null => (&**operand, Test::Null),
                IsTest::Missing => (&**operand, Test::Missing),
                IsTest::True => (&**operand, Test::Boolean(true)),
                IsTest::False => (&**operand, Test::Boolean(false)),
            },
            Self::Not(inner) => match &**inner {
                Self::Compare { operator: Comparison::Equal, left, right } if right.is_constant() => {
                    (&**left, Test::NotEqual(right))
                }
                Self::Compare { operator: Comparison::Equal, left, right } if left.is_constant() => {
                    (&**right, Test::NotEqual(left))
                }
                path @ Self::Path(_) => (path, Test::Boolean(false)),
                _ => return None,
            },
            Self::Like(like) => {
                let Like { operand, pattern, escape, dialect, negated, .. } = &**like;
                let constant = pattern.is_constant() && escape.as_ref().is_none_or(Self::is_constant);
                if *negated || *dialect != Dialect::Like || !constant {
                    return None;
                }
                (operand, Test::Like { pattern, escape: escape.as_ref() })
            }
            path @ Self::Path(_) => (path, Test::Boolean(true)),
            _ => return None,
        };
        let (source, path) = field.field()?;
        Some(Predicate { source, path, test })
    }
}

fn compare(operator: Comparison, value: &Expr) -> Test<'_> {
    let end = |included| Some(End { value, included });
    match operator {
        Comparison::Equal => Test::Equal(value),
        Comparison::NotEqual => Test::NotEqual(value),
        Comparison::Less => Test::Range { low: None, high: end(false) },
        Comparison::LessOrEqual => Test::Range { low: None, high: end(true) },
        Comparison::Greater => Test::Range { low: end(false), high: None },
        Comparison::GreaterOrEqual => Test::Range { low: end(true), high: None },
    }
}

/// The text that every match of a LIKE pattern begins with; the whole match if the second part is `true`.
///
/// A malformed pattern, one that ends in its escape character, gives the part before that.
pub fn like_prefix(pattern: &str, escape: Option<char>) -> (String, bool) {
    let escape = escape.unwrap_or('\\');
    let mut prefix = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == escape {
            match characters.next() {
                Some(literal) => prefix.push(literal),
                None => return (prefix, true),
            }
        } else if matches!(character, '%' | '_') {
            return (prefix, false);
        } else {
            prefix.push(character);
        }
    }
    (prefix, true)
}

impl NamePattern {
    /// Whether a name matches; a malformed pattern matches nothing.
    pub fn matches(&self, name: &str) -> bool {
        let dialect = if self.ignore_case { Dialect::ILike } else { Dialect::Like };
        pattern::matches(dialect, name, &self.pattern, None) == Some(true)
    }
}
