//! The laws of documents, on random histories and against a naive model; and the attacks on one document by name.

mod attacks;
mod births;
mod laws;
mod lost;
mod model;
mod outcomes;
mod peers;
mod vectors;
