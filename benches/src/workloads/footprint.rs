//! What the database takes of a machine when it does nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tempfile::tempdir;

use super::Context;
use super::open::MANY;
use crate::Failure;
use crate::documents::documents;
use crate::line::{Budget, Line, Unit};
use crate::ours::Peer;

/// How long a peer is left alone before its memory is looked at.
const SETTLING: Duration = Duration::from_secs(3);

/// Documents of the memory of a first sync: as many as there are places in the world with more than 500 people.
const PLACES: usize = 171_075;

const MEBIBYTE: f64 = 1_048_576.0;

/// Resident memory of a process that has a large database open, syncs, and is left alone.
pub fn idle_memory(context: &Context) -> Result<Vec<Line>, Failure> {
    context.step("filling the database");
    let directory = tempdir()?;
    drop(Peer::with(directory.path(), &documents(9, context.scaled(MANY)))?);
    context.step("waiting for an idle process");
    let output = Command::new(std::env::current_exe()?)
        .arg("idle")
        .arg(directory.path())
        .stderr(Stdio::inherit())
        .output()?;
    let bytes: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(vec![Line::new("idle memory", bytes, Unit::Bytes).within(Budget::AtMost(25.0 * MEBIBYTE))])
}

/// The process that [`idle_memory`] looks at.
pub fn idle(directory: &Path) -> Result<(), Failure> {
    let peer = Peer::open(directory)?;
    peer.subscribe()?;
    peer.listen()?;
    thread::sleep(SETTLING);
    println!("{}", resident_bytes("VmRSS:")?);
    Ok(())
}

/// The greatest resident memory of a process that gets a large collection into an empty database.
pub fn memory_of_first_sync(context: &Context) -> Result<Vec<Line>, Failure> {
    let documents = documents(16, context.scaled(PLACES));
    let bytes = memory_of_receiver(context, &documents)?;
    Ok(vec![
        Line::new("first sync, memory of the subscriber", bytes, Unit::Bytes)
            .within(Budget::AtMost(64.0 * MEBIBYTE)),
    ])
}

/// The greatest resident memory of a process of its own that gets these documents into an empty database.
pub fn memory_of_receiver<T: Serialize>(context: &Context, documents: &[T]) -> Result<f64, Failure> {
    context.step("loading the publisher");
    let directories = [tempdir()?, tempdir()?];
    let [first, second] = &directories;
    let publisher = Peer::with(first.path(), documents)?;
    let address = publisher.listen()?;
    context.step("first sync");
    let output = Command::new(std::env::current_exe()?)
        .arg("receive")
        .arg(second.path())
        .args([address.to_string(), documents.len().to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The process that [`memory_of_receiver`] looks at.
pub fn receive(directory: &Path, address: SocketAddr, count: usize) -> Result<(), Failure> {
    let peer = Peer::open(directory)?;
    peer.subscribe()?;
    peer.connect_to(address);
    peer.start_sync()?;
    peer.wait_for_documents(count)?;
    println!("{}", resident_bytes("VmHWM:")?);
    Ok(())
}

/// What Linux says of this process; other systems do not say it in a file.
fn resident_bytes(which: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix(which))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .ok_or_else(|| format!("/proc/self/status has no {which}"))?;
    Ok(kibibytes.trim().parse::<u64>()? * 1024)
}

/// The shared library, without symbols, as it is shipped: with link-time optimization over all of it, which a build in a
/// checkout does without for the sake of time.
pub fn library_size(context: &Context) -> Result<Vec<Line>, Failure> {
    context.step("building the library as it is shipped: a minute or two");
    let target = dist_directory()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the benchmarks lie in no workspace")?;
    let status = Command::new("cargo")
        .current_dir(root)
        .args(["rustc", "--quiet", "--profile", "dist", "--locked", "--package", "dittoffi", "--lib"])
        .args(["--crate-type", "cdylib", "--target-dir"])
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(format!("cargo failed: {status}").into());
    }
    let library = target.join("dist/libdittoffi.so");
    context.step(format!("stripping {}", library.display()));
    let directory = tempdir()?;
    let stripped = directory.path().join("libdittoffi.so");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(&library).status()?;
    if !status.success() {
        return Err(format!("strip failed: {status}").into());
    }
    let bytes = fs::metadata(&stripped)?.len() as f64;
    Ok(vec![Line::new("stripped libdittoffi.so", bytes, Unit::Bytes).within(Budget::AtMost(8.0 * MEBIBYTE))])
}

/// Where it is built: below the target directory that this program was built in.
fn dist_directory() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    Ok(target.ok_or("this program lies in no target directory")?.join("dittoffi-dist"))
}
