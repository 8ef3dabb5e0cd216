//! Writes `dittoffi/include/dittoffi.h` and the raw Rust bindings to it, or checks that they are fresh.
//!
//! ```text
//! cargo run -p ditto-bindings                       write both (needs libclang)
//! cargo run -p ditto-bindings -- --check            fail when one is stale (needs libclang)
//! cargo run -p ditto-bindings -- --header           write the header only
//! cargo run -p ditto-bindings -- --check-header     fail when the header is stale
//! ```

mod header;
mod rust;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "usage: ditto-bindings [--check | --header | --check-header]";

/// What goes wrong, in words.
type Result<T> = std::result::Result<T, String>;

#[derive(Clone, Copy)]
struct Job {
    /// Compare instead of writing.
    check: bool,
    /// The Rust bindings too.
    bindings: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let job = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Job { check: false, bindings: true },
        ["--check"] => Job { check: true, bindings: true },
        ["--header"] => Job { check: false, bindings: false },
        ["--check-header"] => Job { check: true, bindings: false },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(job: Job) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let header = root.join("dittoffi/include/dittoffi.h");
    settle(job, &header, &header::generate(&root.join("dittoffi"))?)?;
    if job.bindings {
        let bindings = root.join("dittolive-ditto-sys/src/bindings.rs");
        settle(job, &bindings, &rust::generate(&header)?)?;
    }
    Ok(())
}

/// Writes `text` to `path`, or checks that it is there.
fn settle(job: Job, path: &Path, text: &str) -> Result<()> {
    let shown = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let shown = shown.display();
    let present = fs::read_to_string(path).ok();
    if present.as_deref() == Some(text) {
        println!("fresh   {shown}");
        return Ok(());
    }
    if job.check {
        return Err(format!("{shown} is stale: run `cargo run -p ditto-bindings` and commit the result"));
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    fs::write(path, text).map_err(|error| format!("{shown}: {error}"))?;
    println!("written {shown}");
    Ok(())
}
