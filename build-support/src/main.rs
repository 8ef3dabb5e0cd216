//! Packages `libdittoffi` as its build script downloads it, and serves packages.
//!
//! ```text
//! ditto-build-support dist [--target TRIPLE] [--out DIR]
//! ditto-build-support serve [--dir DIR] [--listen ADDRESS]
//! ```
#![forbid(unsafe_code)]

mod dist;

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
};

use ditto_build_support::serve::serve;

const USAGE: &str = "\
usage: ditto-build-support dist [--target TRIPLE] [--out DIR]
           builds libdittoffi and packages it in DIR/rust/Ditto/<version>/<target>/release (DIR: dist)
       ditto-build-support serve [--dir DIR] [--listen ADDRESS]
           serves DIR (dist) over HTTP at ADDRESS (127.0.0.1:8080); the base for DITTOFFI_DOWNLOAD_BASE";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let outcome = match command.as_deref() {
        Some("dist") => options(arguments, &["--target", "--out"]).and_then(|options| {
            dist::run(options.get("--target").cloned(), &directory(&options, "--out")).map_err(Failure::Work)
        }),
        Some("serve") => options(arguments, &["--dir", "--listen"]).and_then(|options| {
            let address = options.get("--listen").map_or("127.0.0.1:8080", String::as_str);
            run_server(&directory(&options, "--dir"), address).map_err(Failure::Work)
        }),
        Some("--help" | "-h" | "help") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(Failure::Usage(format!("there is no command `{other}`"))),
        None => Err(Failure::Usage("no command was given".to_owned())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Work(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run_server(directory: &Path, address: &str) -> Result<(), String> {
    let listener =
        TcpListener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("serving {} at http://{address}", directory.display());
    serve(&listener, directory, |line| println!("{line}"))
        .map_err(|error| format!("cannot serve {}: {error}", directory.display()))
}

enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// The command failed.
    Work(String),
}

type Options = BTreeMap<String, String>;

fn options(mut arguments: impl Iterator<Item = String>, known: &[&str]) -> Result<Options, Failure> {
    let mut options = Options::new();
    while let Some(name) = arguments.next() {
        if !known.contains(&name.as_str()) {
            return Err(Failure::Usage(format!(
                "there is no option `{name}`; known are {}",
                known.join(", ")
            )));
        }
        let value = arguments.next().ok_or_else(|| Failure::Usage(format!("{name} needs a value")))?;
        options.insert(name, value);
    }
    Ok(options)
}

fn directory(options: &Options, name: &str) -> PathBuf {
    options.get(name).map_or_else(|| PathBuf::from("dist"), PathBuf::from)
}
