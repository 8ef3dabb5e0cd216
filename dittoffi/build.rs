//! Gives the shared library a name of its own and tells the code which target it is built for.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    println!("cargo:rustc-env=DITTOFFI_TARGET={}", variable("TARGET"));
    // Programs remember this name. Without it they would remember the path that the linker was given. It carries no number,
    // because the file that is shipped carries none.
    if variable("CARGO_CFG_TARGET_VENDOR") == "apple" {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libdittoffi.dylib");
    } else if std::env::var_os("CARGO_CFG_UNIX").is_some() {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libdittoffi.so");
    }
}
