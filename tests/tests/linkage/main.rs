//! `libdittoffi` links: into a C program and into Rust programs outside this repository, statically and dynamically,
//! found in each way that the build script knows.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod c_program;
mod library;
mod rust_program;
