//! Conditions of a filter that key ranges can stand for.

use ditto_dql::{Expr, Test};

/// Where a conjunct stands in a filter. A plan names its conditions so, and can be used again for every run of the
/// statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The so-manieth conjunct.
    Conjunct(usize),
    /// A part of a conjunct that is a disjunction: the so-manieth conjunct of a disjunct.
    Disjunct {
        /// The disjunction.
        conjunct: usize,
        /// The disjunct.
        disjunct: usize,
        /// Its conjunct.
        part: usize,
    },
}

impl Place {
    /// What stands there.
    pub(crate) fn find(self, filter: Option<&Expr>) -> Option<&Expr> {
        let conjuncts = filter?.conjuncts();
        match self {
            Self::Conjunct(number) => conjuncts.get(number),
            Self::Disjunct { conjunct, disjunct, part } => {
                conjuncts.get(conjunct)?.disjuncts().get(disjunct)?.conjuncts().get(part)
            }
        }
    }
}

/// A conjunct that asks something of a single field, while a plan is made.
#[derive(Clone, Copy)]
pub(crate) struct Condition<'q> {
    pub place: Place,
    pub conjunct: &'q Expr,
    /// The field, below the document.
    pub path: &'q [String],
}

/// The same in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyCondition {
    pub place: Place,
    /// It leaves one value.
    pub has_one_value: bool,
    /// It holds for exactly the values in its ranges.
    pub is_exact: bool,
}

impl KeyCondition {
    /// What it asks, if that is one thing.
    pub(crate) fn single_test(self, filter: Option<&Expr>) -> Option<Test<'_>> {
        let mut tests = tests(self.place.find(filter)?);
        tests.next().filter(|_| self.has_one_value)
    }
}

/// What a condition asks: one of these must hold.
pub(crate) fn tests(condition: &Expr) -> impl Iterator<Item = Test<'_>> {
    condition.disjuncts().iter().filter_map(|part| Some(part.predicate()?.test))
}

impl<'q> Condition<'q> {
    /// The conjunct as a test, or as a disjunction of tests, of one field of the first source.
    pub(crate) fn of(place: Place, conjunct: &'q Expr) -> Option<Self> {
        let mut path = None;
        for part in conjunct.disjuncts() {
            let predicate = part.predicate().filter(|predicate| predicate.source == 0)?;
            if *path.get_or_insert(predicate.path) != predicate.path {
                return None;
            }
        }
        let path = path.filter(|path| !path.is_empty())?;
        Some(Self { place, conjunct, path })
    }

    /// All among these conjuncts, whose place is known by their number.
    pub(crate) fn all(conjuncts: &'q [Expr], place: impl Fn(usize) -> Place) -> Vec<Self> {
        let numbered = conjuncts.iter().enumerate();
        numbered.filter_map(|(number, conjunct)| Self::of(place(number), conjunct)).collect()
    }

    /// Whether it leaves single values: equal ones are equal in ORDER BY, too.
    pub(crate) fn is_of_points(&self) -> bool {
        tests(self.conjunct).all(|test| is_one_value(&test) || matches!(test, Test::In(_)))
    }

    /// Whether it leaves one value.
    pub(crate) fn has_one_value(&self) -> bool {
        matches!(self.conjunct.disjuncts(), [_]) && tests(self.conjunct).all(|test| is_one_value(&test))
    }

    /// Whether the field is the `_id`.
    pub(crate) fn is_of_id(&self) -> bool {
        is_id(self.path)
    }

    /// As a plan keeps it.
    pub(crate) fn of_key(&self) -> KeyCondition {
        KeyCondition {
            place: self.place,
            has_one_value: self.has_one_value(),
            is_exact: !tests(self.conjunct).any(|test| matches!(test, Test::Like { .. })),
        }
    }
}

fn is_one_value(test: &Test<'_>) -> bool {
    matches!(test, Test::Equal(_) | Test::Null | Test::Missing | Test::Boolean(_))
}

/// Whether a path is that of the `_id` as a whole.
pub(crate) fn is_id(path: &[String]) -> bool {
    matches!(path, [name] if name == "_id")
}
