//! Sync of ours beside other document stores that replicate, in one run on the machine at hand.
//!
//! `benches/rivals/run` installs what is needed, builds, and starts this. Data goes to standard output, one
//! tab-separated line a workload: ours, then each rival with the ratio of ours to it; progress goes to standard error.
#![forbid(unsafe_code)]

mod child;
mod pair;
mod stores;
mod table;
mod workloads;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use ditto_rivals::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::stores::{STORES, Store};
use crate::table::Line;
use crate::workloads::{Context, WORKLOADS};

/// Measures sync of ours beside other stores, and prints one line for each workload.
#[derive(Parser)]
#[command(name = "ditto-rivals", version)]
struct Arguments {
    /// Write the results to this file as well, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run only this workload; may be given more than once.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(WORKLOADS.iter().map(|w| w.name)))]
    only: Vec<String>,
    /// Measure only this store; may be given more than once. Otherwise all that are installed.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(STORES.iter().map(|s| s.name)))]
    store: Vec<String>,
    /// Multiply the numbers of documents by this.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f64,
    /// How often each store is measured; the median counts.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    rounds: usize,
    /// Everything once, with few documents: shows that it works, and measures nothing.
    #[arg(long)]
    quick: bool,
}

/// How long a first sync may take before there is a second try with a tenth of the documents.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Serialize)]
struct Report {
    stores: Vec<Described>,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Described {
    name: &'static str,
    version: String,
    settings: &'static str,
}

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ditto-rivals: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every workload could be run with every store.
fn compare(options: &Arguments) -> Result<bool, Failure> {
    let stores = stores(&options.store)?;
    let described: Vec<_> = stores.iter().map(|store| describe(store)).collect::<Result<_, _>>()?;
    for store in &described {
        eprintln!("{} {}: {}", store.name, store.version, store.settings);
    }
    let selected: Vec<_> = WORKLOADS
        .iter()
        .filter(|workload| options.only.is_empty() || options.only.iter().any(|name| name == workload.name))
        .collect();
    let progress = ProgressBar::new(selected.len() as u64);
    progress.set_style(ProgressStyle::with_template("[{elapsed}] {pos}/{len} {wide_msg}")?);
    let (scale, rounds) = if options.quick { (0.005, 1) } else { (options.scale, options.rounds) };
    let context = Context { stores, scale, rounds, limit: LIMIT, progress: progress.clone() };
    let names: Vec<_> = context.stores.iter().map(|store| store.name).collect();
    print_line(&progress, &format!("workload\t{}", names.join("\t")))?;
    let mut report = Report { stores: described, lines: Vec::new() };
    for workload in selected {
        let lines = (workload.run)(&context)?;
        for line in &lines {
            print_line(&progress, line)?;
        }
        report.lines.extend(lines);
        progress.inc(1);
    }
    progress.finish_and_clear();
    if let Some(path) = &options.json {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer_pretty(&mut file, &report)?;
        writeln!(file)?;
        file.flush()?;
    }
    Ok(report.lines.iter().all(Line::complete))
}

/// The stores that were asked for; if none were, those that are installed, and a sentence for each other one.
fn stores(asked: &[String]) -> Result<Vec<&'static Store>, Failure> {
    if !asked.is_empty() {
        return Ok(STORES.iter().filter(|store| asked.iter().any(|name| name == store.name)).collect());
    }
    let mut installed = Vec::new();
    for store in STORES {
        match store.command() {
            Ok(_) => installed.push(store),
            Err(reason) => eprintln!("{} is left out: {reason}", store.name),
        }
    }
    Ok(installed)
}

fn describe(store: &Store) -> Result<Described, Failure> {
    Ok(Described { name: store.name, version: store.version()?, settings: store.settings })
}

/// Prints a line above the progress bar.
fn print_line(progress: &ProgressBar, line: &impl std::fmt::Display) -> Result<(), Failure> {
    progress.suspend(|| writeln!(std::io::stdout().lock(), "{line}"))?;
    Ok(())
}
