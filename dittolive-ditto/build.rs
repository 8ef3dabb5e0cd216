//! Tells dependants with a build script where `libdittoffi` is, as `DEP_DITTOLIVE_DITTO_LIBDIR`. A program that links it
//! dynamically and is not started by cargo needs that for an rpath:
//!
//! ```no_run
//! let libdir = std::env::var("DEP_DITTOLIVE_DITTO_LIBDIR").unwrap();
//! println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{libdir}");
//! ```

/// What the build script of `dittolive-ditto-sys` says; it says nothing when only documentation is made.
const LIBDIR: &str = "DEP_DITTOFFI_LIBDIR";

fn main() {
    println!("cargo:rerun-if-changed=build.rs\ncargo:rerun-if-env-changed={LIBDIR}");
    if let Ok(directory) = std::env::var(LIBDIR) {
        println!("cargo:libdir={directory}");
    }
}
