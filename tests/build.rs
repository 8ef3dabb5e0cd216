//! Tells the linkage tests where `libdittoffi` is.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let directory = std::env::var("DEP_DITTOFFI_LIBDIR").unwrap_or_default();
    println!("cargo:rustc-env=DITTOFFI_LIBDIR={directory}");
}
