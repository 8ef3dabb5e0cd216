//! Documents that merge.
//!
//! A [`Document`] is a map from [`Birth`] to a life: removed, or *entries* keyed by [`Path`] and [`Kind`]. Every part
//! of it is a join semilattice, so merging is commutative, associative and idempotent, and **any subset of a document
//! is a valid [`Delta`]**: there is no base that could be missing.
//!
//! * [`Stamp`]s, from a [`HybridClock`], say which of two values wins, and nothing else.
//! * [`Version`] is a hash of the content: equal versions mean equal documents, whatever their history.
//! * [`Sequence`]s are local: they say which parts changed here since when, and never travel.
//! * [`record`] is what the store keeps: the visible value in random-access form, and beside it only what cannot be
//!   derived from it.
//!
//! Nothing here reads a clock, draws a random number or does I/O.
//!
//! ```
//! use ditto_crdt::{Birth, Definitions, Document, Hlc, Path, RunId, Sequence, SiteId, Stamp};
//! use ditto_value::{Object, Value};
//!
//! let definitions = Definitions::default();
//! let birth = Birth { stamp: Stamp::new(Hlc::from_millis(1_000), SiteId(1)), run: RunId(1) };
//! let mut here = Document::new();
//! here.insert(&Object::from([("name", "fern")]), &definitions, birth, Sequence(1))?;
//!
//! let mut there = Document::new();
//! there.merge(&here.delta_since(Sequence::ZERO), Sequence(1));
//! assert_eq!(here.version(), there.version());
//!
//! let light = Path::new(["care", "light"])?;
//! let stamp = Stamp::new(Hlc::from_millis(2_000), SiteId(2));
//! there.set(&light, &Value::from(6), &definitions, stamp, Sequence(2))?;
//! here.merge(&there.delta_since(Sequence(1)), Sequence(2));
//! let visible = here.visible(&Value::from("p1"), &definitions).map(|object| Value::from(object).to_json());
//! assert_eq!(visible.as_deref(), Some(r#"{"_id":"p1","care":{"light":6},"name":"fern"}"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod attachment;
mod clock;
mod codec;
mod definitions;
mod delta;
mod document;
mod entry;
mod items;
mod lost;
mod path;
pub mod record;
mod size;
mod spread;
mod stamp;
mod version;
mod visible;
mod write;

pub use attachment::is_attachment_token;
pub use clock::{HybridClock, MAX_SKEW_MS};
pub use codec::DecodeError;
pub use definitions::{Definition, Definitions, Kind};
pub use delta::Delta;
pub use document::{Document, Merged};
pub use entry::{MAX_UNKNOWN_PAYLOADS, Slot};
pub use lost::Lost;
pub use path::{MAX_PATH_BYTES, Path, PathError};
pub use record::Record;
pub use size::{MAX_MERGED_BYTES, MAX_PARTS, MAX_PATHS_BYTES, Size};
pub use stamp::{Birth, Hlc, RunId, Sequence, SiteId, Stamp};
pub use version::Version;
pub use write::WriteError;

#[cfg(test)]
mod tests;
