//! The sync protocol between models of a store: what holds whatever happens, and at what cost.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod anything;
mod apart;
mod beside;
mod carried;
mod cut_commits;
mod evictions;
mod evidence;
mod filtered;
mod floods;
mod floods_of_little;
mod forged_reconciliation;
mod forks;
mod forms;
mod hostile;
mod interests;
mod joined;
mod lacking;
mod large;
mod limits;
mod listing;
mod live;
mod mesh;
mod model;
mod net;
mod newer;
mod packing;
mod parts_ahead;
mod patience;
mod plants;
mod postponed;
mod questions;
mod ranges;
mod reconciliation;
mod scopes;
mod sessions;
mod starts;
mod taken;
mod transactions;
#[allow(dead_code, reason = "the benchmark uses all of it")]
mod twins;
mod unread;
mod victim;
mod watch;
