//! Finds, builds, downloads and packages `libdittoffi`.
//!
//! The build script of `dittolive-ditto-sys` is a page that calls [`provide()`]; the program of this package makes what
//! that build script downloads (`dist`) and serves it (`serve`).
//!
//! # Where the library comes from
//!
//! The first of these that has a library which fits; one that does not is passed over, and when nothing is left the
//! error says for every place what was wrong with it.
//!
//! 1. The directories of `DITTOFFI_SEARCH_PATH`. When it is set, nothing else is tried.
//! 2. `OUT_DIR`. In a checkout of the repository the library is first built from source into it ([`checkout`]), by a
//!    cargo of its own whose target directory is `dittoffi` inside the outer one.
//! 3. `PWD`, the directory that cargo was started in.
//! 4. The cargo target directory.
//! 5. The library directories of the system.
//! 6. A download to `OUT_DIR`, from `<base>/rust/Ditto/<version>/<target>/release/<file>`.
//!
//! A library fits when it was built for the target and its *ABI fingerprint*, which every artifact embeds as text, is that
//! of the header that the bindings were made from ([`fingerprint`]).
//!
//! # Environment variables
//!
//! | variable | meaning |
//! | --- | --- |
//! | `LIBDITTO_STATIC` | unset or `1`: link statically; `0`: dynamically |
//! | `DITTOFFI_SEARCH_PATH` | directories to look in, and no others; separated as in `PATH` |
//! | `DITTOFFI_DOWNLOAD_BASE` | where to download from: `http://…`, or `https://…` with the feature `https` |
//! | `DITTOFFI_OFFLINE`, `CARGO_NET_OFFLINE` | `1` or `true`: never dial |
//! | `LIBDITTO_STATIC_AMEND_WITH` | an `objcopy` (name or path) that treats a raw static library that was found ([`hygiene`]) |
//! | `DITTOFFI_RUSTFLAGS` | `RUSTFLAGS` for the build from source; the outer ones do not apply to it |
//!
//! # Modules
//!
//! [`settings`] reads the environment; [`artifact`] knows file names; [`search`] looks through directories and
//! [`fingerprint`] into files; [`checkout`] runs cargo, [`archive`] and [`hygiene`] make a static library safe to link
//! into any program; `download` fetches what `serve` serves; [`mod@provide`] puts them in order and [`directives`] tells cargo.
#![forbid(unsafe_code)]

pub mod archive;
pub mod artifact;
pub mod checkout;
pub mod directives;
#[cfg(feature = "download")]
pub mod download;
mod error;
pub mod fingerprint;
pub mod hygiene;
mod place;
pub mod provide;
pub mod search;
#[cfg(feature = "download")]
pub mod serve;
pub mod settings;

pub use artifact::{Linkage, Target};
pub use error::{Error, Refusal};
pub use provide::{Provided, provide};
pub use settings::Settings;

/// The version of the library that goes with this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
