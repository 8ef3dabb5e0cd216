//! DQL, the query language: text → tokens → syntax tree → checked statement → expressions that evaluate
//! themselves over stored documents in place.
//!
//! * [`parse`] gives a [`Statement`] whose names are resolved and whose mistakes are found, or a
//!   [`ParseError`] with line and column. The tree in [`ast`] is plain data for the planner.
//! * [`Expr::evaluate`] gives an [`Item`] for a row; data never makes it fail.
//! * [`Groups`] and [`Aggregates`] run GROUP BY; [`Projection::row`] builds rows.
//! * [`subscription`] accepts the part of the language that another peer can evaluate.
//! * [`Expr::predicate`] tells the planner which conditions an index can serve.
#![forbid(unsafe_code)]

mod aggregate;
pub mod ast;
mod check;
mod error;
mod evaluate;
mod functions;
mod lexer;
pub mod limits;
mod parameters;
mod parser;
mod predicate;
mod rows;
mod subscription;
#[cfg(test)]
mod tests;

pub use aggregate::{Aggregates, Group, Groups};
pub use ast::*;
pub use check::{Usage, UsageError};
pub use error::{ErrorKind, ParseError, Place};
pub use evaluate::{Arguments, Context, GroupValues, Item};
pub use functions::{Function, request_object};
pub use parameters::MissingArgument;
pub use parser::parse;
pub use predicate::{End, Predicate, Test, like_prefix};
pub use rows::NotADocument;
pub use subscription::{SubscriptionQuery, subscribed_collection, subscription};
