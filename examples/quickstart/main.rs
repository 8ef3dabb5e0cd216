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
mod pair;
mod summary;
mod watch;

use std::{error::Error, process::ExitCode, time::Instant};

use clap::Parser;

use self::{arguments::Arguments, conflicts::Conflicts, pair::Pair, summary::Summary, watch::Watch};

/// What the peers share.
const COLLECTION: &str = "places";
/// What both subscribe to.
const SUBSCRIPTION: &str = "SELECT * FROM places";

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pair = Pair::open(arguments.keep.as_deref())?;
    println!("Two peers: A in {}", pair.a.absolute_persistence_directory().display());
    println!("           B in {}", pair.b.absolute_persistence_directory().display());

    println!("\n1. A loads {}", arguments.input.display());
    let started = Instant::now();
    let loaded = load::load(&pair.a, &arguments.input)?;
    let load_time = started.elapsed();
    loaded.print(load_time);

    println!("\n2. B subscribes to {SUBSCRIPTION}");
    println!("   and watches {}", arguments.watch);
    let watch = Watch::start(&pair.b, &arguments.watch)?;
    pair.a.sync().register_subscription(SUBSCRIPTION)?;
    pair.b.sync().register_subscription(SUBSCRIPTION)?;
    let commits = pair.commits()?;
    let started = Instant::now();
    let address = pair.go_online()?;
    println!("   B connects to A at {address}, by TCP and TLS 1.3");
    let first_sync = link::wait(&pair, loaded.documents, commits, Some(&watch))?;
    let sync_time = started.elapsed();
    first_sync.print(sync_time, &loaded);

    println!("\n3. Both go offline and edit the same documents");
    pair.go_offline();
    let conflicts = Conflicts::edit(&pair)?;

    println!("\n4. Both reconnect");
    let commits = pair.commits()?;
    let started = Instant::now();
    pair.go_online()?;
    let reconnect = link::wait(&pair, 0, commits, None)?;
    println!(
        "   merged after {:.2} s, A sent {} bytes and B {}",
        started.elapsed().as_secs_f64(),
        reconnect.bytes_sent - first_sync.bytes_sent,
        reconnect.bytes_received - first_sync.bytes_received,
    );
    conflicts.print(&pair)?;
    let compared = compare::stores(&pair)?;
    println!("   Both stores are equal: {compared} documents compared.");

    Summary { loaded, load_time, first_sync, sync_time }.print();
    if let Some(directory) = &arguments.keep {
        println!("\nThe directories stay. Run it again with --keep {} to resume.", directory.display());
    }
    drop(watch);
    pair.close();
    Ok(())
}
