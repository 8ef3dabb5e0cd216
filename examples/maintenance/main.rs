//! Looks after the database of a peer, and shows how far it is:
//!
//! ```sh
//! cargo run --example maintenance -- --dir /tmp/a verify
//! cargo run --example maintenance -- --dir /tmp/a backup /tmp/a-today
//! cargo run --example maintenance -- --dir /tmp/a --limit 600 compact
//! cargo run --example maintenance -- --dir /tmp/a usage
//! ```
//!
//! One process at a time has a directory open, so this one is for a peer that does not run. An application does the same
//! beside its other work, on a thread that may block: everything here is `ditto.store()` and `ditto.disk_usage()`.

mod arguments;

use std::{
    env,
    error::Error,
    ops::ControlFlow,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use dittolive_ditto::{prelude::*, store::maintenance::Progress};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use self::arguments::{Arguments, Work};

const COUNTED: &str = "[{bar:40}] {human_pos} of {human_len}";
const MEASURED: &str = "[{bar:40}] {bytes} of {total_bytes}";

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("maintenance: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether all is well.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let ditto = open(arguments)?;
    let store = ditto.store();
    match &arguments.work {
        Work::Verify => {
            let watch = Watch::new(COUNTED, arguments.limit)?;
            let report = store.verify(|progress| watch.see(progress))?;
            watch.bar.finish_and_clear();
            for found in &report.inconsistencies {
                println!("{found}");
            }
            let counts = [
                ("documents", report.documents),
                ("deleted documents", report.tombstones + report.graves),
                ("index rows", report.index_rows),
                ("inconsistencies", report.inconsistent),
            ];
            println!("{}", counts.map(|(what, count)| format!("{} {what}", HumanCount(count))).join(", "));
            return Ok(report.is_consistent());
        }
        Work::Backup { target } => {
            let watch = Watch::new(COUNTED, arguments.limit)?;
            let report = store.backup(target, |progress| watch.see(progress))?;
            watch.bar.finish_and_clear();
            let (documents, bytes) = (HumanCount(report.documents), HumanBytes(report.bytes));
            println!("{documents} documents, {bytes}, are in {}", target.display());
        }
        Work::Compact => {
            let watch = Watch::new(MEASURED, arguments.limit)?;
            let report = store.compact(|progress| watch.see(progress))?;
            watch.bar.finish_and_clear();
            println!("{} became {}", HumanBytes(report.bytes_before), HumanBytes(report.bytes_after));
        }
        Work::Usage => usage(&ditto)?,
    }
    Ok(true)
}

fn open(arguments: &Arguments) -> Result<Ditto, Box<dyn Error>> {
    if !arguments.dir.is_dir() {
        return Err(format!("there is no directory {}", arguments.dir.display()).into());
    }
    let connect = DittoConfigConnect::SmallPeersOnly { private_key: None };
    let directory = env::current_dir()?.join(&arguments.dir);
    let config = DittoConfig::new(&arguments.database_id, connect).with_persistence_directory(directory);
    Ok(Ditto::open_sync(config)?)
}

fn usage(ditto: &Ditto) -> Result<(), DittoError> {
    for collection in ditto.store().collection_statistics()? {
        let (documents, indexes) = (HumanCount(collection.documents), collection.indexes);
        println!("{documents:>12} documents, {indexes} indexes: {}", collection.name);
    }
    let usage = ditto.disk_usage().item();
    for item in [&usage].into_iter().chain(usage.children.iter().flatten()) {
        println!("{:>12} {}", HumanBytes(item.size_in_bytes as u64).to_string(), item.path);
    }
    Ok(())
}

/// A bar that shows how far the work is, and the moment at which it is to end.
struct Watch {
    bar: ProgressBar,
    end: Option<Instant>,
}

impl Watch {
    fn new(template: &str, limit: Option<Duration>) -> Result<Self, Box<dyn Error>> {
        let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(template)?);
        Ok(Self { bar, end: limit.and_then(|limit| Instant::now().checked_add(limit)) })
    }

    fn see(&self, progress: Progress) -> ControlFlow<()> {
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
        match self.end {
            Some(end) if Instant::now() >= end => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}
