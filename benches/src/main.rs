//! Side-by-side benchmarks: the budgets of the project, measured in one run on the machine at hand.
//!
//! ```text
//! cargo run --release -p ditto-benches -- compare [--only NAME]… [--places FILE] [--scale FACTOR] [--json FILE]
//! ```
//!
//! `--only sync` stands for all workloads in which peers sync.
//!
//! Everything of ours is measured through the SDK, so across the C ABI, as an application would use it. The other side
//! is SQLite (WAL, `synchronous = NORMAL`, documents as JSON text, one expression index, prepared statements), in
//! the same process. Repetitions of both sides alternate and medians are compared, because the machine has other things
//! to do as well: the ratio is what means something, the absolute numbers are there to be looked at.
//!
//! Data goes to standard output, one tab-separated line a budget; progress goes to standard error. Documents are made
//! by a seeded generator, so two runs insert the same ones.
#![forbid(unsafe_code)]

mod documents;
mod line;
mod measure;
mod ours;
mod relay;
mod sqlite;
mod workloads;

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::line::{Line, header};
use crate::workloads::{Context, SYNC, WORKLOADS, footprint};

/// What stops a workload; reported in its line, the others go on.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Benchmarks of ditto beside SQLite.
#[derive(Parser)]
#[command(name = "ditto-benches", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure the budgets and print one line for each: workload, ours, peer, ratio, budget.
    Compare(Compare),
    /// Open a database, sync with nobody, and print the resident memory in bytes.
    #[command(hide = true)]
    Idle {
        /// The database.
        directory: PathBuf,
    },
    /// Get documents from a peer into an empty database, and print the greatest resident memory in bytes.
    #[command(hide = true)]
    Receive {
        /// The database.
        directory: PathBuf,
        /// Where the peer listens.
        address: SocketAddr,
        /// How many documents there are to get.
        count: usize,
    },
}

#[derive(Args)]
struct Compare {
    /// Write the results to this file as well, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run only this workload, or with `sync` all in which peers sync; may be given more than once.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(WORKLOADS.iter().map(|w| w.name).chain([SYNC])))]
    only: Vec<String>,
    /// Sync these documents, one JSON object a line, instead of the extract in `examples/data`; all of them, whatever the scale.
    #[arg(long, value_name = "FILE")]
    places: Option<PathBuf>,
    /// Multiply the numbers of documents and of operations by this.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = positive)]
    scale: f64,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(factor),
        _ => Err("expected a number greater than 0".to_owned()),
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Compare(options) => compare(&options),
        Command::Idle { directory } => footprint::idle(&directory).map(|()| true),
        Command::Receive { directory, address, count } => {
            footprint::receive(&directory, address, count).map(|()| true)
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ditto-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every workload could be run. A missed budget is a result, not a failure.
fn compare(options: &Compare) -> Result<bool, Failure> {
    let selected: Vec<_> = WORKLOADS
        .iter()
        .filter(|workload| options.only.is_empty() || options.only.iter().any(|name| workload.is_named(name)))
        .collect();
    let progress = ProgressBar::new(selected.len() as u64);
    progress.set_style(ProgressStyle::with_template("[{elapsed}] {pos}/{len} {prefix} {wide_msg}")?);
    let mut results: Vec<Line> = Vec::new();
    let mut complete = true;
    print_line(&progress, header())?;
    for workload in selected {
        progress.set_prefix(workload.name);
        let context =
            Context { scale: options.scale, places: options.places.clone(), progress: progress.clone() };
        let lines = (workload.run)(&context).unwrap_or_else(|error| {
            complete = false;
            vec![Line::failed(workload.name, &error.to_string())]
        });
        for line in &lines {
            print_line(&progress, line)?;
        }
        results.extend(lines);
        progress.inc(1);
    }
    progress.finish_and_clear();
    if let Some(path) = &options.json {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer_pretty(&mut file, &results)?;
        writeln!(file)?;
        file.flush()?;
    }
    Ok(complete)
}

/// Prints to standard output without tearing the progress bar that is on the same terminal.
fn print_line(progress: &ProgressBar, line: impl std::fmt::Display) -> std::io::Result<()> {
    progress.suspend(|| writeln!(std::io::stdout().lock(), "{line}"))
}
