//! The total order of values.

use std::cmp::Ordering;

use crate::{MAX_DEPTH, Node, Number, Tree};

/// Compares two values of either form: `false < true < numbers < bytes < strings < arrays < objects < null`.
///
/// Integers and floats compare by exact numeric value, strings by code point, arrays element by element, objects by
/// their sorted (name, value) pairs; the shorter prefix is first. What is nested deeper than [`MAX_DEPTH`], which no
/// decoder lets in, counts as equal.
pub fn compare<'a, 'b>(left: impl Tree<'a>, right: impl Tree<'b>) -> Ordering {
    compare_nested(left, right, 0)
}

fn compare_nested<'a, 'b>(left: impl Tree<'a>, right: impl Tree<'b>, depth: usize) -> Ordering {
    let (left, right) = (left.node(), right.node());
    match (left, right) {
        (Node::Number(left), Node::Number(right)) => compare_numbers(left, right),
        (Node::String(left), Node::String(right)) => left.cmp(right),
        (Node::Bool(left), Node::Bool(right)) => left.cmp(&right),
        (Node::Bytes(left), Node::Bytes(right)) => left.cmp(right),
        (Node::Array(_), Node::Array(_)) | (Node::Object(_), Node::Object(_)) if depth >= MAX_DEPTH => {
            Ordering::Equal
        }
        (Node::Array(mut left), Node::Array(mut right)) => loop {
            match (left.next(), right.next()) {
                (Some(left), Some(right)) => match compare_nested(left, right, depth + 1) {
                    Ordering::Equal => {}
                    unequal => return unequal,
                },
                (left, right) => return left.is_some().cmp(&right.is_some()),
            }
        },
        (Node::Object(mut left), Node::Object(mut right)) => loop {
            match (left.next(), right.next()) {
                (Some((left_name, left)), Some((right_name, right))) => {
                    match left_name.cmp(right_name).then_with(|| compare_nested(left, right, depth + 1)) {
                        Ordering::Equal => {}
                        unequal => return unequal,
                    }
                }
                (left, right) => return left.is_some().cmp(&right.is_some()),
            }
        },
        (left, right) => rank(&left).cmp(&rank(&right)),
    }
}

fn rank<'a, T: Tree<'a>>(node: &Node<'a, T>) -> u8 {
    match node {
        Node::Bool(_) => 0,
        Node::Number(_) => 1,
        Node::Bytes(_) => 2,
        Node::String(_) => 3,
        Node::Array(_) => 4,
        Node::Object(_) => 5,
        Node::Null => 6,
    }
}

/// Whether two numbers are the same point of the number line: `1` and `1.0` are.
pub fn numbers_equal(left: Number, right: Number) -> bool {
    compare_numbers(left, right) == Ordering::Equal
}

/// Compares exactly, without rounding a 64-bit integer to a double first.
pub fn compare_numbers(left: Number, right: Number) -> Ordering {
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => left.cmp(&right),
        (Number::UInt(left), Number::UInt(right)) => left.cmp(&right),
        (Number::Int(left), Number::UInt(right)) => i128::from(left).cmp(&i128::from(right)),
        (Number::UInt(left), Number::Int(right)) => i128::from(left).cmp(&i128::from(right)),
        (Number::Float(left), Number::Float(right)) => {
            left.partial_cmp(&right).unwrap_or_else(|| left.total_cmp(&right))
        }
        (Number::Int(left), Number::Float(right)) => integer_with_float(left.into(), right),
        (Number::UInt(left), Number::Float(right)) => integer_with_float(left.into(), right),
        (Number::Float(left), Number::Int(right)) => integer_with_float(right.into(), left).reverse(),
        (Number::Float(left), Number::UInt(right)) => integer_with_float(right.into(), left).reverse(),
    }
}

/// `integer` lies within the 64-bit ranges, so the whole part of any double either fits i128 exactly or, saturated by
/// the cast, is beyond it.
fn integer_with_float(integer: i128, float: f64) -> Ordering {
    let whole = float.trunc();
    integer.cmp(&(whole as i128)).then_with(|| 0.0f64.partial_cmp(&(float - whole)).unwrap_or(Ordering::Less))
}
