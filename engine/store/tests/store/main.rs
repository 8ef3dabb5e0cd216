//! The store as its users see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

mod advice;
mod attacks;
mod backup;
mod clocks;
mod faults;
mod index_queries;
mod indexes;
mod lifecycle;
mod live;
mod losses;
mod maintenance;
mod model;
mod observers;
mod old_formats;
mod opening;
mod outcomes;
mod peers;
mod plans;
mod profiles;
mod recovery;
mod replication;
mod sharing;
mod slow;
mod statements;
mod support;
mod transactions;
mod turns;
mod visible;
