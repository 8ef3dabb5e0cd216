//! Constructors that keep trees canonical: constants folded, conjunctions and disjunctions flat.

use ditto_value::{Object, Value};

use super::expression::{Arithmetic, Expr, Path, Root};
use crate::error::Place;

impl Expr {
    /// A name that is not resolved yet.
    pub(crate) fn name(name: String, place: Place) -> Self {
        Self::Path(Path { steps: vec![name], root: Root::Unresolved, place })
    }

    /// `of.name`; a longer path if `of` is a path.
    pub(crate) fn member(of: Self, name: String) -> Self {
        match of {
            Self::Path(mut path) => {
                path.steps.push(name);
                Self::Path(path)
            }
            of => Self::Member { of: Box::new(of), name },
        }
    }

    /// `-operand`; a literal if the operand is a number.
    pub(crate) fn negate(operand: Self) -> Self {
        match operand {
            Self::Literal(Value::Int(number)) => Self::Literal(match number.checked_neg() {
                Some(number) => Value::Int(number),
                None => Value::Float(-(number as f64)),
            }),
            Self::Literal(Value::UInt(number)) if number == i64::MIN.unsigned_abs() => {
                Self::Literal(Value::Int(i64::MIN))
            }
            Self::Literal(Value::UInt(number)) => Self::Literal(Value::Float(-(number as f64))),
            Self::Literal(Value::Float(number)) => Self::Literal(Value::Float(-number)),
            operand => Self::Negate(Box::new(operand)),
        }
    }

    /// `+operand`, which is `0 + operand`: it leaves numbers alone and refuses everything else.
    pub(crate) fn plus(operand: Self) -> Self {
        match operand {
            number @ Self::Literal(Value::Int(_) | Value::UInt(_) | Value::Float(_)) => number,
            operand => Self::Arithmetic {
                operator: Arithmetic::Add,
                left: Box::new(Self::Literal(Value::Int(0))),
                right: Box::new(operand),
            },
        }
    }

    /// A conjunction without conjunctions directly inside.
    pub(crate) fn and(left: Self, right: Self) -> Self {
        let mut parts = match left {
            Self::And(parts) => parts,
            part => vec![part],
        };
        match right {
            Self::And(more) => parts.extend(more),
            part => parts.push(part),
        }
        Self::And(parts)
    }

    /// A disjunction without disjunctions directly inside.
    pub(crate) fn or(left: Self, right: Self) -> Self {
        let mut parts = match left {
            Self::Or(parts) => parts,
            part => vec![part],
        };
        match right {
            Self::Or(more) => parts.extend(more),
            part => parts.push(part),
        }
        Self::Or(parts)
    }

    /// An array; a literal if all elements are.
    pub(crate) fn array(elements: Vec<Self>) -> Self {
        if !elements.iter().all(|element| matches!(element, Self::Literal(_))) {
            return Self::Array(elements);
        }
        Self::Literal(Value::Array(
            elements
                .into_iter()
                .map(|element| match element {
                    Self::Literal(value) => value,
                    _ => Value::Null,
                })
                .collect(),
        ))
    }

    /// An object; a literal if all names are strings and all values literals. The last of equal names wins.
    pub(crate) fn object(members: Vec<(Self, Self)>) -> Self {
        let constant = |(name, value): &(Self, Self)| {
            matches!(name, Self::Literal(Value::String(_))) && matches!(value, Self::Literal(_))
        };
        if !members.iter().all(constant) {
            return Self::Object(members);
        }
        let members = members.into_iter().filter_map(|(name, value)| match (name, value) {
            (Self::Literal(Value::String(name)), Self::Literal(value)) => Some((name, value)),
            _ => None,
        });
        Self::Literal(Value::Object(members.collect::<Object>()))
    }
}
