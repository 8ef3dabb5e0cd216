//! The syntax tree, plain data. The parser builds it, the check resolves its names in place, the store's
//! planner reads it, and [`Expr`] evaluates itself.

mod build;
mod display;
mod expression;
mod source;
mod statement;
mod walk;

pub use display::path_text;
pub(crate) use display::{Definitions, Name, Written};
pub use expression::*;
pub use source::*;
pub use statement::*;
