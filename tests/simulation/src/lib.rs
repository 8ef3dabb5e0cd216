//! Peers in one thread, from one seed: the real store on disks that fail, the real protocol over links that break, in
//! virtual time.
//!
//! | module | what |
//! | --- | --- |
//! | [`world`] | the peers, what is between them, and what happens next |
//! | [`topology`] | who has a link to whom |
//! | [`network`] | channels with latency, a width, and an end |
//! | `older` | what peers of an older build say and hear |
//! | `newer` | what a peer of a newer build writes |
//! | [`refusals`] | documents that some peers refuse |
//! | `births` | which births of a document a deletion takes |
//! | [`peer`] | one peer: store, disk, state machine, subscriptions, over all its restarts |
//! | `contested` | a register that everybody writes |
//! | [`climate`] | which faults a seed brings |
//! | [`sizes`] | how much a peer does at once and remembers |
//! | `excuses` | where parts of transactions may be seen without a word |
//! | `intruder` | a member that lies |
//! | `lies` | what it makes of honest messages |
//! | `fields` | messages as the fields that they consist of |
//! | `faults` | what goes wrong |
//! | `workload` | what the applications do |
//! | [`ledger`] | what the applications were told is done |
//! | [`oracle`] | what must hold |
//! | `spanning` | transactions over two collections and interests |
//! | `script` | worlds in which nothing happens by itself, for tests of one thing |
//! | [`sabotage`] | what must be noticed, done on purpose |
//! | [`watch`] | stores as replication sees them, watched |
//! | [`trace`] | what happened |
//! | [`incident`] | what happens, by name |
//! | [`tally`] | how often what ran and happened |
//! | [`random`] | the dice |
//!
//! A link is an ordered channel, as TCP is, so that "loss" means: it ends, between any two messages, and what was under
//! way is gone.

mod births;
pub mod climate;
pub mod contested;
mod excuses;
mod faults;
mod fields;
pub mod incident;
pub mod intruder;
pub mod ledger;
mod lies;
pub mod network;
mod newer;
mod older;
pub mod oracle;
pub mod peer;
pub mod random;
pub mod refusals;
pub mod run;
pub mod sabotage;
mod script;
pub mod sizes;
mod spanning;
pub mod tally;
pub mod topology;
pub mod trace;
pub mod watch;
mod workload;
pub mod world;
