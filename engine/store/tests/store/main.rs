//! The store as its users see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

mod clocks;
mod lifecycle;
mod model;
mod observers;
mod opening;
mod outcomes;
mod replication;
mod statements;
mod support;
mod transactions;
