//! What the database takes of a machine when it does nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::tempdir;

use super::Context;
use super::open::MANY;
use crate::Failure;
use crate::documents::documents;
use crate::line::{Budget, Line, Unit};
use crate::ours::Peer;

/// How long a peer is left alone before its memory is looked at.
const SETTLING: Duration = Duration::from_secs(3);

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
    println!("{}", resident_bytes()?);
    Ok(())
}

/// What Linux says of this process; other systems do not say it in a file.
fn resident_bytes() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .ok_or("/proc/self/status has no VmRSS")?;
    Ok(kibibytes.trim().parse::<u64>()? * 1024)
}

/// The shared library, without symbols.
pub fn library_size(context: &Context) -> Result<Vec<Line>, Failure> {
    let library =
        shared_library().ok_or("there is no libdittoffi.so in the target directory: build one first")?;
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

/// The newest release build of the library below the target directory that this program was built in.
fn shared_library() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let target = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file())?;
    let builds = fs::read_dir(target.join("dittoffi")).ok()?.map_while(Result::ok);
    let mut libraries: Vec<PathBuf> = builds
        .map(|build| build.path().join("release/libdittoffi.so"))
        .filter(|library| library.is_file())
        .collect();
    libraries.sort_by_key(|library| library.metadata().and_then(|metadata| metadata.modified()).ok());
    libraries.pop()
}
