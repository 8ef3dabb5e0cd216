//! Finds `libdittoffi`, builds it from source in a checkout, or downloads it; see `ditto-build-support` for the order
//! and the environment variables.

use std::process::ExitCode;

use ditto_build_support::{Settings, directives::directives, provide};

#[allow(dead_code, missing_docs, non_camel_case_types, reason = "only the fingerprint is of use here")]
#[rustfmt::skip]
#[path = "src/bindings.rs"]
mod bindings;

fn main() -> ExitCode {
    println!("cargo:rerun-if-env-changed=DOCS_RS");
    if std::env::var_os("DOCS_RS").is_some() {
        // Documentation links nothing, and is made where there is no network.
        return ExitCode::SUCCESS;
    }
    let abi = bindings::DITTOFFI_ABI_FINGERPRINT.to_string_lossy();
    let provided = Settings::from_environment(&abi)
        .and_then(|settings| provide(&settings).map(|provided| directives(&settings, &provided)));
    match provided {
        Ok(lines) => {
            println!("cargo:rerun-if-changed=build.rs\ncargo:rerun-if-changed=src/bindings.rs\n{lines}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Also after a failure cargo has to know what to watch.
            for variable in ditto_build_support::settings::VARIABLES {
                println!("cargo:rerun-if-env-changed={variable}");
            }
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
