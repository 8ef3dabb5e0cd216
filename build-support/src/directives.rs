//! What a build script tells cargo.

use std::fmt::Write as _;

use crate::{
    artifact::Linkage,
    provide::Provided,
    settings::{Settings, VARIABLES},
};

/// The lines to print so that cargo links what [`provide`](crate::provide::provide) found.
///
/// The search path of a dynamic library lies in the cargo target directory, so that `cargo run` and `cargo test` find it
/// at run time; programs that are started otherwise need an rpath or an installed library, and `libdir`, which dependants
/// with a build script get as `DEP_DITTOFFI_LIBDIR`, says where it is.
pub fn directives(settings: &Settings, provided: &Provided) -> String {
    let mut text = String::new();
    let mut line = |directive: &str, value: &dyn std::fmt::Display| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "cargo:{directive}={value}");
    };
    for variable in VARIABLES {
        line("rerun-if-env-changed", variable);
    }
    for path in &provided.inputs {
        line("rerun-if-changed", &path.display());
    }
    for warning in &provided.warnings {
        line("warning", &warning.replace('\n', " "));
    }
    line("rustc-link-search", &format_args!("native={}", provided.directory.display()));
    match settings.linkage {
        Linkage::Static => {
            // Not bundled: it would be copied into the .rlib of every profile.
            line("rustc-link-lib", &"static:-bundle=dittoffi");
            for library in settings.target.native_libraries() {
                line("rustc-link-lib", &format_args!("dylib={library}"));
            }
        }
        Linkage::Dynamic => {
            line("rustc-link-lib", &format_args!("dylib={}", settings.target.link_name(settings.linkage)));
        }
    }
    line("libdir", &provided.directory.display());
    text
}
