//! The main job of the database, in one process: two peers load, sync and merge real data.
//!
//! `cargo run --example quickstart` opens two peers A and B in two directories, loads places into A, lets B subscribe to
//! them over TCP and TLS on the loopback interface, edits the same documents on both while they are apart, and shows how
//! the edits merge when they meet again.

mod arguments;
mod compare;
mod conflicts;
mod link;
mod load;
mod output;
mod pair;
mod summary;
mod watch;

use std::{error::Error, process::ExitCode, time::Instant};

use clap::Parser;

use self::{
    arguments::Arguments, conflicts::Conflicts, output::say, pair::Pair, summary::Summary, watch::Watch,
};

/// What the peers share.
const COLLECTION: &str = "places";
/// What both subscribe to.
const SUBSCRIPTION: &str = "SELECT * FROM places";

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pair = Pair::open(arguments.keep.as_deref())?;
    // Before anything is written: it may be wrong.
    let watch = Watch::start(&pair.b, &arguments.watch)?;
    say!("Two peers: A in {}", pair.a.absolute_persistence_directory().display())?;
    say!("           B in {}", pair.b.absolute_persistence_directory().display())?;

    say!("\n1. A loads {}", arguments.input.display())?;
    let started = Instant::now();
    let loaded = load::load(&pair.a, &arguments.input)?;
    let load_time = started.elapsed();
    loaded.print(load_time)?;

    say!("\n2. B subscribes to {SUBSCRIPTION}")?;
    say!("   and watches {}", arguments.watch)?;
    pair.a.sync().register_subscription(SUBSCRIPTION)?;
    pair.b.sync().register_subscription(SUBSCRIPTION)?;
    let commits = pair.commits()?;
    let started = Instant::now();
    let address = pair.go_online()?;
    say!("   B connects to A at {address}, by TCP and TLS 1.3")?;
    let first_sync = link::wait(&pair, loaded.documents, commits, &watch)?;
    let sync_time = started.elapsed();
    first_sync.print(sync_time, &loaded)?;

    say!("\n3. Both go offline and edit the same documents")?;
    pair.go_offline();
    let conflicts = Conflicts::edit(&pair)?;

    say!("\n4. Both reconnect")?;
    let started = Instant::now();
    pair.go_online()?;
    let reconnect = link::wait_for_merge(&pair, &conflicts)?;
    say!(
        "   merged after {:.2} s, A sent {} bytes and B {}",
        started.elapsed().as_secs_f64(),
        reconnect.bytes_sent - first_sync.bytes_sent,
        reconnect.bytes_received - first_sync.bytes_received,
    )?;
    conflicts.print(&pair)?;
    let compared = compare::stores(&pair)?;
    say!("   Both stores are equal: {compared} documents compared.")?;

    Summary { loaded, load_time, first_sync, sync_time }.print()?;
    if let Some(directory) = &arguments.keep {
        say!("\nThe directories stay. Run it again with --keep {} to resume.", directory.display())?;
    }
    drop(watch);
    pair.close();
    Ok(())
}
