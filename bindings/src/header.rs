//! `dittoffi.h`, from the exported functions of `dittoffi` and their documentation.

use std::{fmt::Write as _, path::Path};

use cbindgen::{
    Builder, Config, DocumentationStyle, EnumConfig, ExportConfig, Language, ParseConfig, RenameRule, Style,
};
use sha2::{Digest as _, Sha256};

use crate::Result;

/// Bytes of the SHA-256 that make up a fingerprint; twice as many hexadecimal digits.
const FINGERPRINT_BYTES: usize = 16;

/// The C names of types that Rust calls by a plain word.
const NAMES: &[(&str, &str)] = &[
    ("Slice", "dittoffi_slice_t"),
    ("Buffer", "dittoffi_buffer_t"),
    ("DittoffiErrorCode", "dittoffi_error_code_t"),
    ("DittoffiLogLevel", "dittoffi_log_level_t"),
    ("Error", "dittoffi_error_t"),
    ("Peer", "dittoffi_peer_t"),
    ("QueryResult", "dittoffi_query_result_t"),
    ("Observer", "dittoffi_observer_t"),
    ("Signal", "dittoffi_signal_t"),
    ("DiskUsageObserver", "dittoffi_disk_usage_observer_t"),
    ("Subscription", "dittoffi_subscription_t"),
    ("Transaction", "dittoffi_transaction_t"),
    ("ChangeCallback", "dittoffi_change_callback_t"),
    ("BegunCallback", "dittoffi_begun_callback_t"),
    ("ExecutedCallback", "dittoffi_executed_callback_t"),
    ("LogCallback", "dittoffi_log_callback_t"),
    ("ProgressCallback", "dittoffi_progress_callback_t"),
    ("DiskUsageCallback", "dittoffi_disk_usage_callback_t"),
];

const PREAMBLE: &str = include_str!("preamble.h");

/// The text of the header. `dittoffi` is that crate's directory.
pub fn generate(dittoffi: &Path) -> Result<String> {
    let declarations = cbindgen(dittoffi, true)?;
    let fingerprint = fingerprint(&cbindgen(dittoffi, false)?)?;
    Ok(format!(
        "{PREAMBLE}\n\
         #ifndef DITTOFFI_H\n\
         #define DITTOFFI_H\n\n\
         /**\n * What identifies these declarations: two headers with equal fingerprints fit the same library. Comments do not count.\n */\n\
         #define DITTOFFI_ABI_FINGERPRINT \"{fingerprint}\"\n\n\
         {}\n\n\
         #endif /* DITTOFFI_H */\n",
        declarations.trim()
    ))
}

/// The hash of the declarations without their comments.
fn fingerprint(declarations: &str) -> Result<String> {
    let digest = Sha256::digest(declarations.as_bytes());
    digest.iter().take(FINGERPRINT_BYTES).try_fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").map_err(|error| error.to_string())?;
        Ok(text)
    })
}

fn cbindgen(dittoffi: &Path, documentation: bool) -> Result<String> {
    let renamed = NAMES.iter().map(|&(rust, c)| (rust.to_owned(), c.to_owned())).collect();
    let config = Config {
        language: Language::C,
        cpp_compat: true,
        style: Style::Both,
        documentation,
        documentation_style: DocumentationStyle::Doxy,
        line_length: 110,
        tab_width: 4,
        usize_is_size_t: true,
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(str::to_owned).to_vec(),
        parse: ParseConfig { parse_deps: false, ..ParseConfig::default() },
        export: ExportConfig {
            include: vec!["DittoffiErrorCode".to_owned(), "DittoffiLogLevel".to_owned()],
            rename: renamed,
            ..ExportConfig::default()
        },
        enumeration: EnumConfig {
            rename_variants: RenameRule::QualifiedScreamingSnakeCase,
            ..EnumConfig::default()
        },
        ..Config::default()
    };
    let bindings = Builder::new()
        .with_crate(dittoffi)
        .with_config(config)
        .generate()
        .map_err(|error| format!("cbindgen: {error}"))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).map_err(|error| format!("cbindgen: {error}"))?;
    // cbindgen qualifies the constants by the type's name, whose `_t` reads badly in the middle.
    Ok(text
        .replace("DITTOFFI_ERROR_CODE_T_", "DITTOFFI_ERROR_CODE_")
        .replace("DITTOFFI_LOG_LEVEL_T_", "DITTOFFI_LOG_LEVEL_"))
}
