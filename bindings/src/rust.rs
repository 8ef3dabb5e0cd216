//! `bindings.rs`, the raw Rust declarations, from `dittoffi.h`.

use std::path::Path;

use bindgen::{Builder, EnumVariation, RustEdition, RustTarget};

use crate::Result;

/// The workspace's `rust-version`, as bindgen counts (the newest it knows is enough for what the header needs).
const RUST_MINOR: u64 = 85;

/// Fixed, so that every machine writes the same bytes. Nothing in the header depends on the target but the width of
/// `size_t`, which bindgen writes as `usize`.
const TARGET: &str = "--target=x86_64-unknown-linux-gnu";

/// The text of the bindings to `header`.
pub fn generate(header: &Path) -> Result<String> {
    let target = RustTarget::stable(RUST_MINOR, 0).map_err(|error| format!("bindgen: {error}"))?;
    let bindings = Builder::default()
        .header(header.display().to_string())
        .clang_arg(TARGET)
        .rust_target(target)
        .rust_edition(RustEdition::Edition2024)
        .use_core()
        .allowlist_item("dittoffi_.*|DITTOFFI_.*")
        .default_enum_style(EnumVariation::Consts)
        .prepend_enum_name(false)
        .size_t_is_usize(true)
        .generate_cstr(true)
        // Layout assertions would hold for 64-bit targets only.
        .layout_tests(false)
        .merge_extern_blocks(true)
        .disable_header_comment()
        .formatter(bindgen::Formatter::Prettyplease)
        .raw_line("// Generated from dittoffi.h by `cargo run -p ditto-bindings`; do not edit.")
        .generate()
        .map_err(|error| format!("bindgen: {error} (libclang-dev is needed; see LIBCLANG_PATH)"))?;
    Ok(bindings.to_string())
}
