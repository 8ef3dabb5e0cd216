//! Expressions and sources back to text that parses to the same tree.

use std::fmt::{self, Display, Formatter, Write as _};

use ditto_value::Value;

use super::expression::{Arithmetic, Binding, Expr, Path, Quantified, TrimSide};
use super::source::{Collection, Namespace, TypeDefinition};
use crate::parser::needs_backticks;

/// How tight an expression binds; operands that bind looser than their place asks for get parentheses.
mod power {
    pub const ANY: u8 = 0;
    pub const OR: u8 = 5;
    pub const XOR: u8 = 7;
    pub const AND: u8 = 10;
    pub const NOT: u8 = 15;
    pub const IS: u8 = 17;
    pub const LIKE: u8 = 19;
    pub const COMPARE: u8 = 20;
    pub const SHIFT: u8 = 22;
    pub const ADD: u8 = 30;
    pub const MULTIPLY: u8 = 40;
    pub const UNARY: u8 = 50;
    pub const OPERAND: u8 = 60;
    pub const STEPPED: u8 = 70;
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write(self, f)
    }
}

impl Expr {
    fn power(&self) -> u8 {
        match self {
            Self::Or(_) => power::OR,
            Self::Xor(..) => power::XOR,
            Self::And(_) => power::AND,
            Self::Not(_) => power::NOT,
            Self::Is { .. } => power::IS,
            Self::Like(_) => power::LIKE,
            Self::Compare { .. } | Self::In { .. } | Self::Between { .. } => power::COMPARE,
            Self::Arithmetic { operator, .. } => operator.power(),
            Self::Negate(_) => power::UNARY,
            Self::GroupKey { written, .. } => written.power(),
            Self::Path(_)
            | Self::Parameter(_)
            | Self::Member { .. }
            | Self::Subscript { .. }
            | Self::Call(_) => power::STEPPED,
            _ => power::OPERAND,
        }
    }
}

impl Arithmetic {
    fn power(self) -> u8 {
        match self {
            Self::Multiply | Self::Divide | Self::Remainder => power::MULTIPLY,
            Self::Add | Self::Subtract | Self::Concatenate => power::ADD,
            Self::ShiftLeft | Self::ShiftRight => power::SHIFT,
        }
    }
}

/// Writes an operand in a place that asks for at least `least`.
fn operand(expr: &Expr, least: u8, f: &mut Formatter<'_>) -> fmt::Result {
    if expr.power() >= least {
        return write(expr, f);
    }
    f.write_char('(')?;
    write(expr, f)?;
    f.write_char(')')
}

fn separated(parts: &[Expr], separator: &str, least: u8, f: &mut Formatter<'_>) -> fmt::Result {
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            f.write_str(separator)?;
        }
        operand(part, least, f)?;
    }
    Ok(())
}

fn infix(left: &Expr, operator: &str, right: &Expr, power: u8, f: &mut Formatter<'_>) -> fmt::Result {
    operand(left, power, f)?;
    write!(f, " {operator} ")?;
    operand(right, power + 1, f)
}

fn not(negated: bool) -> &'static str {
    if negated { " NOT" } else { "" }
}

fn write(expr: &Expr, f: &mut Formatter<'_>) -> fmt::Result {
    match expr {
        Expr::Missing => f.write_str("MISSING"),
        Expr::Literal(value) => literal(value, f),
        Expr::Parameter(parameter) => write!(f, ":{}", parameter.name),
        Expr::Path(path) => write!(f, "{path}"),
        Expr::Member { of, name } => {
            operand(of, power::STEPPED, f)?;
            f.write_char('.')?;
            write!(f, "{}", Name(name))
        }
        Expr::Subscript { of, index } => {
            operand(of, power::STEPPED, f)?;
            write!(f, "[{index}]")
        }
        Expr::Array(elements) => {
            f.write_char('[')?;
            separated(elements, ", ", power::ANY, f)?;
            f.write_char(']')
        }
        Expr::Object(members) => {
            f.write_char('{')?;
            for (position, (name, value)) in members.iter().enumerate() {
                let separator = if position > 0 { ", " } else { "" };
                write!(f, "{separator}{name}: {value}")?;
            }
            f.write_char('}')
        }
        Expr::Negate(inner) => {
            f.write_char('-')?;
            // Two minus signs in a row begin a comment.
            operand(inner, power::OPERAND, f)
        }
        Expr::Arithmetic { operator, left, right } => {
            infix(left, operator.as_str(), right, operator.power(), f)
        }
        Expr::Compare { operator, left, right } => infix(left, operator.as_str(), right, power::COMPARE, f),
        Expr::Not(inner) => {
            f.write_str("NOT ")?;
            operand(inner, power::NOT, f)
        }
        Expr::And(parts) => separated(parts, " AND ", power::AND + 1, f),
        Expr::Or(parts) => separated(parts, " OR ", power::OR + 1, f),
        Expr::Xor(left, right) => infix(left, "XOR", right, power::XOR, f),
        Expr::Is { operand: inner, test, negated } => {
            operand(inner, power::IS, f)?;
            write!(f, " IS{} {}", not(*negated), test.as_str())
        }
        Expr::In { operand: inner, list, negated } => {
            operand(inner, power::COMPARE, f)?;
            write!(f, "{} IN ", not(*negated))?;
            operand(list, power::COMPARE + 1, f)
        }
        Expr::Between { operand: inner, low, high, negated } => {
            operand(inner, power::COMPARE, f)?;
            write!(f, "{} BETWEEN ", not(*negated))?;
            operand(low, power::COMPARE + 1, f)?;
            f.write_str(" AND ")?;
            operand(high, power::COMPARE + 1, f)
        }
        Expr::Like(like) => {
            operand(&like.operand, power::LIKE, f)?;
            write!(f, "{} {} ", not(like.negated), like.dialect.as_str())?;
            operand(&like.pattern, power::LIKE + 1, f)?;
            match &like.escape {
                None => Ok(()),
                Some(escape) => {
                    f.write_str(" ESCAPE ")?;
                    operand(escape, power::LIKE + 1, f)
                }
            }
        }
        Expr::Case(case) => {
            f.write_str("CASE")?;
            if let Some(operand) = &case.operand {
                write!(f, " {operand}")?;
            }
            for (when, then) in &case.branches {
                write!(f, " WHEN {when} THEN {then}")?;
            }
            if let Some(otherwise) = &case.otherwise {
                write!(f, " ELSE {otherwise}")?;
            }
            f.write_str(" END")
        }
        Expr::Cast { operand, to } => write!(f, "cast({operand} AS {})", to.as_str()),
        Expr::Trim { side, characters, operand } => match (side, characters) {
            (TrimSide::Both, None) => write!(f, "TRIM({operand})"),
            (side, None) => write!(f, "TRIM({} FROM {operand})", side.as_str()),
            (side, Some(characters)) => write!(f, "TRIM({} {characters} FROM {operand})", side.as_str()),
        },
        Expr::Call(call) => {
            write!(f, "{}(", call.function.name)?;
            separated(&call.arguments, ", ", power::ANY, f)?;
            f.write_char(')')
        }
        Expr::Aggregate { call, .. } => {
            let distinct = if call.distinct { "DISTINCT " } else { "" };
            match &call.argument {
                None => write!(f, "{}(*)", call.function.as_str()),
                Some(argument) => write!(f, "{}({distinct}{argument})", call.function.as_str()),
            }
        }
        Expr::GroupKey { written, .. } => write(written, f),
        Expr::Quantified(quantified) => {
            let Quantified { quantifier, bindings, condition } = &**quantified;
            write!(f, "{} ", quantifier.as_str())?;
            for (position, binding) in bindings.iter().enumerate() {
                let separator = if position > 0 { ", " } else { "" };
                write!(f, "{separator}{binding}")?;
            }
            write!(f, " SATISFIES {condition} END")
        }
        Expr::ArrayFor(transform) => {
            write!(f, "ARRAY {} FOR {}", transform.result, transform.binding)?;
            when(transform.condition.as_ref(), f)
        }
        Expr::ObjectFor(transform) => {
            write!(f, "OBJECT {} : {} FOR {}", transform.name, transform.result, transform.binding)?;
            when(transform.condition.as_ref(), f)
        }
    }
}

fn when(condition: Option<&Expr>, f: &mut Formatter<'_>) -> fmt::Result {
    match condition {
        None => f.write_str(" END"),
        Some(condition) => write!(f, " WHEN {condition} END"),
    }
}

impl Display for Binding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{} : ", Name(key))?;
        }
        let within = if self.within { "WITHIN" } else { "IN" };
        write!(f, "{} {within} {}", Name(&self.value), self.source)
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps.iter().enumerate() {
            let separator = if position > 0 { "." } else { "" };
            write!(f, "{separator}{}", Name(step))?;
        }
        Ok(())
    }
}

/// The path of these names as a statement writes it.
///
/// ```
/// assert_eq!(ditto_dql::path_text(["care", "per week"]), "care.`per week`");
/// ```
pub fn path_text<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| Name(name).to_string()).collect();
    names.join(".")
}

/// A name, in backticks where it needs them.
pub(crate) struct Name<'n>(pub &'n str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if needs_backticks(self.0) {
            write!(f, "`{}`", self.0.replace('`', "``"))
        } else {
            f.write_str(self.0)
        }
    }
}

/// A collection name as a statement writes it.
pub(crate) struct Written<'n>(pub &'n Collection);

impl Display for Written<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let namespace = match self.0.namespace {
            Namespace::Default => "",
            Namespace::System => "system:",
        };
        write!(f, "{namespace}{}", Name(&self.0.name))
    }
}

/// Type definitions with their parentheses.
pub(crate) struct Definitions<'d>(pub &'d [TypeDefinition]);

impl Display for Definitions<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        for (position, definition) in self.0.iter().enumerate() {
            let separator = if position > 0 { ", " } else { "" };
            write!(f, "{separator}{} {}", Name(&definition.name), definition.kind.as_str())?;
            if !definition.members.is_empty() {
                write!(f, "{}", Definitions(&definition.members))?;
            }
        }
        f.write_char(')')
    }
}

fn literal(value: &Value, f: &mut Formatter<'_>) -> fmt::Result {
    match value {
        Value::Null => f.write_str("NULL"),
        Value::Bool(true) => f.write_str("TRUE"),
        Value::Bool(false) => f.write_str("FALSE"),
        Value::Int(number) => write!(f, "{number}"),
        Value::UInt(number) => write!(f, "{number}"),
        Value::Float(number) => write!(f, "{number:?}"),
        Value::Bytes(bytes) => {
            // No literal form exists; no statement text yields one either.
            write!(f, "cast({} AS binary)", Text(&String::from_utf8_lossy(bytes)))
        }
        Value::String(text) => write!(f, "{}", Text(text)),
        Value::Array(elements) => {
            f.write_char('[')?;
            for (position, element) in elements.iter().enumerate() {
                f.write_str(if position > 0 { ", " } else { "" })?;
                literal(element, f)?;
            }
            f.write_char(']')
        }
        Value::Object(members) => {
            f.write_char('{')?;
            for (position, (name, member)) in members.iter().enumerate() {
                let separator = if position > 0 { ", " } else { "" };
                write!(f, "{separator}{}: ", Text(name))?;
                literal(member, f)?;
            }
            f.write_char('}')
        }
    }
}

/// A string literal.
struct Text<'t>(&'t str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        for character in self.0.chars() {
            match character {
                '\'' => f.write_str("\\'")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                control if u32::from(control) < 0x20 => write!(f, "\\u{:04x}", u32::from(control))?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('\'')
    }
}
