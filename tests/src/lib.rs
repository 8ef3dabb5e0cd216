//! Integration tests: a user's view of the whole.

pub mod history;
pub mod story;
