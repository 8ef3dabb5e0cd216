//! The tables of the language's specification, run through [`ditto_store::Store::execute`] over storage in memory.
//!
//! Each module is a chapter, each test a table: statements beside the rows or the mistake that they give. A test
//! runs its whole table before it fails, so that one run shows everything that deviates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

mod dates;
mod expressions;
mod field_types;
mod functions;
mod lexical;
mod mistakes;
mod mutations;
mod scale;
mod selects;
mod system;
mod table;
mod values;
