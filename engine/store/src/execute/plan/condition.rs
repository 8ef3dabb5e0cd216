//! Conditions of a filter that key ranges can stand for.

use ditto_dql::{Expr, Test};

/// A conjunct of a filter that asks something of a single field.
#[derive(Clone)]
pub(crate) struct Condition<'q> {
    pub conjunct: &'q Expr,
    /// The field, below the document.
    pub path: &'q [String],
    /// One of these must hold. Never empty.
    pub tests: Vec<Test<'q>>,
}

impl<'q> Condition<'q> {
    /// The conjunct as a test, or as a disjunction of tests, of one field of the first source.
    pub(crate) fn of(conjunct: &'q Expr) -> Option<Self> {
        let mut path = None;
        let mut tests = Vec::new();
        for part in conjunct.disjuncts() {
            let predicate = part.predicate().filter(|predicate| predicate.source == 0)?;
            if *path.get_or_insert(predicate.path) != predicate.path {
                return None;
            }
            tests.push(predicate.test);
        }
        let path = path.filter(|path| !path.is_empty())?;
        Some(Self { conjunct, path, tests })
    }

    /// Whether it leaves single values: equal ones are equal in ORDER BY, too.
    pub(crate) fn is_of_points(&self) -> bool {
        self.tests.iter().all(|test| is_one_value(test) || matches!(test, Test::In(_)))
    }

    /// Whether it leaves one value.
    pub(crate) fn is_of_one_value(&self) -> bool {
        matches!(&*self.tests, [test] if is_one_value(test))
    }

    /// Whether it holds for exactly the values in its ranges.
    pub(crate) fn is_exact(&self) -> bool {
        !self.tests.iter().any(|test| matches!(test, Test::Like { .. }))
    }

    /// Whether asking it again costs more than a comparison.
    pub(crate) fn is_list(&self) -> bool {
        self.tests.iter().any(|test| matches!(test, Test::In(_)))
    }

    /// Whether the field is the `_id`.
    pub(crate) fn is_of_id(&self) -> bool {
        is_id(self.path)
    }
}

fn is_one_value(test: &Test<'_>) -> bool {
    matches!(test, Test::Equal(_) | Test::Null | Test::Missing | Test::Boolean(_))
}

/// Whether a path is that of the `_id` as a whole.
pub(crate) fn is_id(path: &[String]) -> bool {
    matches!(path, [name] if name == "_id")
}
