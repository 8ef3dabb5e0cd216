//! What the example programs are made of and what is worth testing by itself: addresses, the lines that a peer reads,
//! reading JSON Lines and importing them into a collection.

pub mod address;
pub mod command;
pub mod import;
pub mod json_lines;
