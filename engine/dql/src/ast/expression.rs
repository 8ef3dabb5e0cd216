//! Expressions: the part of the tree that is evaluated once per row.

use ditto_value::Value;

use crate::error::Place;
use crate::functions::Function;

/// A value expression with all names resolved.
///
/// Built by the parser through constructors that fold constants (`[1, -2]` is one [`Expr::Literal`]) and
/// flatten chains of AND and OR, so that equal meaning at these points is an equal tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// The word `MISSING`.
    Missing,
    /// A constant, arrays and objects of constants included.
    Literal(Value),
    /// `:name`.
    Parameter(Parameter),
    /// A name with member steps.
    Path(Path),
    /// A member of a computed value, `f(x).name`.
    Member {
        /// The object.
        of: Box<Expr>,
        /// The member.
        name: String,
    },
    /// `of[index]`: an array element (from the end when negative) or an object member.
    Subscript {
        /// The array or object.
        of: Box<Expr>,
        /// An integer or a string.
        index: Box<Expr>,
    },
    /// An array with at least one element that is not constant. A missing element becomes null.
    Array(Vec<Expr>),
    /// An object with at least one part that is not constant. Members with a missing value, or a name that
    /// is not a string, are left out.
    Object(Vec<(Expr, Expr)>),
    /// `-operand`.
    Negate(Box<Expr>),
    /// `left operator right` on numbers, or `||` on strings.
    Arithmetic {
        /// The operator.
        operator: Arithmetic,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// A comparison.
    Compare {
        /// The operator.
        operator: Comparison,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// `NOT operand`.
    Not(Box<Expr>),
    /// A conjunction of two or more, none of which is itself a conjunction.
    And(Vec<Expr>),
    /// A disjunction of two or more, none of which is itself a disjunction.
    Or(Vec<Expr>),
    /// `left XOR right`.
    Xor(Box<Expr>, Box<Expr>),
    /// `operand IS [NOT] test`.
    Is {
        /// What is tested.
        operand: Box<Expr>,
        /// The test.
        test: IsTest,
        /// `IS NOT`.
        negated: bool,
    },
    /// `operand [NOT] IN list`. A parenthesised list is an array expression here.
    In {
        /// What is looked for.
        operand: Box<Expr>,
        /// An array-valued expression.
        list: Box<Expr>,
        /// `NOT IN`.
        negated: bool,
    },
    /// `operand [NOT] BETWEEN low AND high`, both ends included.
    Between {
        /// What is compared.
        operand: Box<Expr>,
        /// The lower bound.
        low: Box<Expr>,
        /// The upper bound.
        high: Box<Expr>,
        /// `NOT BETWEEN`.
        negated: bool,
    },
    /// `operand [NOT] LIKE | ILIKE | SIMILAR TO pattern [ESCAPE escape]`.
    Like(Box<Like>),
    /// `CASE … END`.
    Case(Box<Case>),
    /// `cast(operand AS to)`.
    Cast {
        /// What is converted.
        operand: Box<Expr>,
        /// The kind wanted.
        to: CastKind,
    },
    /// `TRIM(side characters FROM operand)`.
    Trim {
        /// Which ends.
        side: TrimSide,
        /// The characters to strip; white space if none.
        characters: Option<Box<Expr>>,
        /// The text.
        operand: Box<Expr>,
    },
    /// A function call.
    Call(Call),
    /// An aggregate; its value comes from the current group.
    Aggregate {
        /// Index into [`Grouping::aggregates`](super::Grouping::aggregates).
        slot: usize,
        /// What was written.
        call: Box<AggregateCall>,
    },
    /// A grouping expression, used after grouping; its value comes from the current group.
    GroupKey {
        /// Index into [`Grouping::keys`](super::Grouping::keys).
        slot: usize,
        /// What was written.
        written: Box<Expr>,
    },
    /// `ANY | EVERY … SATISFIES … END`.
    Quantified(Box<Quantified>),
    /// `ARRAY … FOR … END`.
    ArrayFor(Box<ArrayFor>),
    /// `OBJECT … FOR … END`.
    ObjectFor(Box<ObjectFor>),
}

/// `:name`, a placeholder for an argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The name without the colon; case-sensitive.
    pub name: String,
    /// Where it is written.
    pub place: Place,
}

/// `name.name.name`, as written, with what the first name turned out to be.
///
/// Two paths are equal when they lead to the same place, with or without the alias.
#[derive(Debug, Clone)]
pub struct Path {
    /// The names as written; never empty.
    pub steps: Vec<String>,
    /// What the first name stands for.
    pub root: Root,
    /// Where it is written.
    pub place: Place,
}

/// What the first name of a [`Path`] stands for. Sources are numbered from 0 in the order written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// Not resolved yet; never in a checked statement.
    Unresolved,
    /// The first name is a field of this source's document.
    Field(usize),
    /// The first name is this source's alias or collection; the fields begin with the second name.
    Source(usize),
    /// A single name that is this source's alias: the document itself, unless the document has a field of
    /// that name.
    Document(usize),
    /// A name bound by `ANY`, `EVERY`, `ARRAY` or `OBJECT`; the members begin with the second name.
    Binding {
        /// How many bindings lie between this use and its own, 0 = the innermost.
        up: usize,
        /// Which half of the binding.
        part: BindingPart,
    },
}

/// Which half of `key:value IN …` a name refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingPart {
    /// The index or member name.
    Key,
    /// The element.
    Value,
}

impl Path {
    /// The member names below the root: below the document for sources, below the element for bindings.
    pub fn members(&self) -> &[String] {
        match self.root {
            Root::Source(_) | Root::Binding { .. } => self.steps.get(1..).unwrap_or_default(),
            Root::Document(_) => &[],
            Root::Field(_) | Root::Unresolved => &self.steps,
        }
    }

    /// Source number and field names, if this is a field of a document: what an index can serve.
    pub fn field(&self) -> Option<(usize, &[String])> {
        match self.root {
            Root::Field(source) | Root::Source(source) => Some((source, self.members())),
            _ => None,
        }
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        match (self.field(), other.field()) {
            (None, None) => self.root == other.root && self.steps == other.steps,
            (own, others) => own == others,
        }
    }
}

macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$inner])* $variant,)* }

        impl $name {
            /// The way it is written in a statement.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Operators on numbers, and string concatenation.
    Arithmetic {
        /// Sum.
        Add => "+",
        /// Difference.
        Subtract => "-",
        /// Product.
        Multiply => "*",
        /// Quotient; truncating for two integers.
        Divide => "/",
        /// Remainder with the sign of the dividend.
        Remainder => "%",
        /// Bits to the left.
        ShiftLeft => "<<",
        /// Arithmetic shift to the right.
        ShiftRight => ">>",
        /// Strings end to end.
        Concatenate => "||",
    }
}

words! {
    /// Comparison operators.
    Comparison {
        /// `=`, `==`.
        Equal => "=",
        /// `!=`, `<>`.
        NotEqual => "!=",
        /// `<`.
        Less => "<",
        /// `<=`.
        LessOrEqual => "<=",
        /// `>`.
        Greater => ">",
        /// `>=`.
        GreaterOrEqual => ">=",
    }
}

impl Comparison {
    /// The operator that says the same with the operands exchanged.
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

words! {
    /// What `IS` asks; the answer is always TRUE or FALSE.
    IsTest {
        /// Null, not missing.
        Null => "NULL",
        /// Absent.
        Missing => "MISSING",
        /// The boolean TRUE.
        True => "TRUE",
        /// The boolean FALSE.
        False => "FALSE",
    }
}

words! {
    /// Pattern languages.
    Dialect {
        /// `%` and `_`.
        Like => "LIKE",
        /// `LIKE` ignoring case.
        ILike => "ILIKE",
        /// `LIKE` with alternatives, lists, groups and repetition.
        SimilarTo => "SIMILAR TO",
    }
}

words! {
    /// Targets of CAST.
    CastKind {
        /// Text.
        String => "string",
        /// Whole number.
        Integer => "integer",
        /// Binary floating point.
        Float => "float",
        /// TRUE or FALSE.
        Boolean => "boolean",
        /// Bytes.
        Binary => "binary",
    }
}

words! {
    /// Which ends TRIM strips.
    TrimSide {
        /// Both ends.
        Both => "BOTH",
        /// The start.
        Leading => "LEADING",
        /// The end.
        Trailing => "TRAILING",
    }
}

/// A pattern match.
#[derive(Debug, Clone, PartialEq)]
pub struct Like {
    /// The text tested.
    pub operand: Expr,
    /// The pattern.
    pub pattern: Expr,
    /// The escape character; backslash if none.
    pub escape: Option<Expr>,
    /// The pattern language.
    pub dialect: Dialect,
    /// `NOT LIKE`.
    pub negated: bool,
    /// Where the pattern is written.
    pub place: Place,
}

/// `CASE [operand] WHEN … THEN … [ELSE …] END`.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Present in the simple form: each WHEN is compared with it.
    pub operand: Option<Expr>,
    /// WHEN and THEN, in order; never empty.
    pub branches: Vec<(Expr, Expr)>,
    /// ELSE; NULL if none.
    pub otherwise: Option<Expr>,
}

/// A call of a built-in function with as many arguments as it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// Its arguments.
    pub arguments: Vec<Expr>,
    /// Where the name is written.
    pub place: Place,
}

words! {
    /// Aggregate functions.
    AggregateFunction {
        /// Rows, or values that are neither missing, null nor FALSE.
        Count => "COUNT",
        /// Sum of the numbers.
        Sum => "SUM",
        /// Mean of the numbers, as a float.
        Average => "AVG",
        /// Least value in sort order.
        Minimum => "MIN",
        /// Greatest value in sort order.
        Maximum => "MAX",
        /// Positional median of the numbers, the lower of two.
        Median => "MEDIAN",
        /// Middle between least and greatest number.
        Middle => "MID",
    }
}

/// `COUNT(*)`, `SUM(DISTINCT e)`, …
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    /// The function.
    pub function: AggregateFunction,
    /// Only distinct values.
    pub distinct: bool,
    /// What is aggregated; `None` for `COUNT(*)`.
    pub argument: Option<Expr>,
    /// Where the name is written.
    pub place: Place,
}

words! {
    /// How many elements must satisfy.
    Quantifier {
        /// At least one.
        Any => "ANY",
        /// All, if there are any.
        Every => "EVERY",
        /// All, and at least one.
        AnyAndEvery => "ANY AND EVERY",
    }
}

/// `ANY v IN source SATISFIES condition END`. Several bindings form all combinations.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantified {
    /// How many.
    pub quantifier: Quantifier,
    /// The loops, outermost first; never empty.
    pub bindings: Vec<Binding>,
    /// What is asked of each element.
    pub condition: Expr,
}

/// `[key :] value IN | WITHIN source`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// The name for the index or member name.
    pub key: Option<String>,
    /// The name for the element.
    pub value: String,
    /// `WITHIN`: all descendants instead of direct elements.
    pub within: bool,
    /// The array or object.
    pub source: Expr,
}

/// `ARRAY result FOR binding [WHEN condition] END`.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayFor {
    /// The element built; skipped when missing.
    pub result: Expr,
    /// The loop.
    pub binding: Binding,
    /// Which elements take part.
    pub condition: Option<Expr>,
}

/// `OBJECT name : result FOR binding [WHEN condition] END`.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectFor {
    /// The member's name; the element is skipped unless it is a string.
    pub name: Expr,
    /// The member's value; the element is skipped when missing.
    pub result: Expr,
    /// The loop.
    pub binding: Binding,
    /// Which elements take part.
    pub condition: Option<Expr>,
}
