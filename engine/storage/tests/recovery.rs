//! What goes wrong with a disk while the storage is open, and how it goes on when that is over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ditto_storage::{Batch, Direction, DiskOptions, DiskStorage, Keyspace, Storage, StorageError};

/// Names the directory that a child process of these tests is to write to.
const CHILD_DIRECTORY: &str = "DITTO_STORAGE_TEST_DIRECTORY";

/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn put(number: u32) -> Batch {
    let mut batch = Batch::new();
    batch.put(Keyspace::Documents, number.to_be_bytes(), vec![0xd1; 300]);
    batch.put(Keyspace::Changes, number.to_be_bytes(), number.to_be_bytes());
    batch
}

fn numbers(storage: &DiskStorage, keyspace: Keyspace) -> Vec<u32> {
    let snapshot = storage.snapshot();
    let rows = snapshot.prefix(keyspace, b"", Direction::Forward);
    rows.map(|row| u32::from_be_bytes((*row.unwrap().0).try_into().unwrap())).collect()
}

/// A storage that writes nothing to tables and keeps no blocks unless told to.
fn open(directory: &Path) -> DiskStorage {
    let options = DiskOptions { cache_bytes: 0, idle_flush: PATIENCE, ..DiskOptions::default() };
    DiskStorage::open_with(directory, &options).unwrap()
}

fn tables(directory: &Path) -> Vec<PathBuf> {
    let keyspaces = fs::read_dir(directory.join("storage/keyspaces")).unwrap();
    let tables =
        keyspaces.flat_map(|keyspace| fs::read_dir(keyspace.unwrap().path().join("tables")).into_iter());
    tables.flatten().map(|table| table.unwrap().path()).collect()
}

fn failed_as(storage: &DiskStorage, is_cause: impl Fn(&StorageError) -> bool) {
    for error in [storage.commit(put(u32::MAX)).unwrap_err(), storage.flush().unwrap_err()] {
        assert!(matches!(&error, StorageError::Failed { cause } if is_cause(cause)), "{error:?}");
    }
}

fn is_removed(error: &StorageError) -> bool {
    matches!(error, StorageError::DirectoryRemoved { .. })
}

#[test]
fn a_directory_that_is_gone_is_noticed_and_goes_on_when_it_is_back() {
    let root = tempfile::tempdir().unwrap();
    let (home, away) = (root.path().join("home"), root.path().join("away"));
    let storage = open(&home);
    (0..100).for_each(|number| storage.commit(put(number)).unwrap());
    storage.sync().unwrap();
    fs::rename(&home, &away).unwrap();
    // The open journal takes it, wherever it is now.
    storage.commit(put(100)).unwrap();
    let error = storage.sync().unwrap_err();
    assert!(is_removed(&error) && error.to_string().contains("home"), "{error}");
    failed_as(&storage, is_removed);
    assert_eq!(numbers(&storage, Keyspace::Documents).len(), 101, "what is in memory can be read");
    assert!(is_removed(&storage.recover().unwrap_err()));
    assert_eq!(numbers(&storage, Keyspace::Documents).len(), 101);

    // Another one in its place is not the one that was there.
    drop(open(&home));
    assert!(is_removed(&storage.recover().unwrap_err()));
    fs::remove_dir_all(&home).unwrap();
    fs::rename(&away, &home).unwrap();
    let journal = |number: u32| home.join(format!("storage/{number}.jnl"));
    assert!(journal(0).exists());
    storage.recover().unwrap();
    storage.recover().unwrap();
    assert_eq!(numbers(&storage, Keyspace::Documents), (0..=100).collect::<Vec<_>>());
    // What was in the journal, of which a part may have been lost, was written anew, and the journal with it.
    let begin = Instant::now();
    while journal(0).exists() {
        assert!(begin.elapsed() < PATIENCE, "the old journal is still needed");
        thread::yield_now();
    }
    assert!(journal(1).exists());
    storage.commit(put(101)).unwrap();
    storage.sync().unwrap();
    storage.close().unwrap();
    assert_eq!(numbers(&open(&home), Keyspace::Changes), (0..=101).collect::<Vec<_>>());
}

#[test]
fn a_removed_directory_is_not_made_anew_by_recovering() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    let storage = open(&home);
    storage.commit(put(1)).unwrap();
    fs::remove_dir_all(&home).unwrap();
    assert!(is_removed(&storage.sync().unwrap_err()));
    assert!(is_removed(&storage.recover().unwrap_err()));
    assert!(!home.exists());
    assert_eq!(numbers(&storage, Keyspace::Documents), [1]);
    storage.close().unwrap();
    // Whoever opens it gets an empty one.
    assert_eq!(numbers(&open(&home), Keyspace::Documents), []);
}

/// Changes bytes in the middle of the first third of a table, where its rows are; again puts them right.
fn flip(table: &Path) {
    let mut bytes = fs::read(table).unwrap();
    let start = bytes.len() / 6;
    bytes[start..start + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
    // In place: the storage has the file open.
    fs::OpenOptions::new().write(true).open(table).unwrap().write_all(&bytes).unwrap();
}

#[test]
fn a_damaged_block_is_found_by_reading_and_stops_writes_until_it_is_put_right() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let mut batch = Batch::new();
    (0..5_000).for_each(|number| batch.append(put(number)));
    storage.commit(batch).unwrap();
    storage.flush().unwrap();
    let largest =
        tables(directory.path()).into_iter().max_by_key(|table| table.metadata().unwrap().len()).unwrap();
    flip(&largest);
    let is_corrupt = |error: &StorageError| matches!(error, StorageError::Corrupt { .. });
    let read = |storage: &DiskStorage| -> Vec<Result<_, StorageError>> {
        let get = |number: u32| storage.get(Keyspace::Documents, &number.to_be_bytes());
        (0..5_000).map(get).collect()
    };
    let rows = read(&storage);
    let (good, bad): (Vec<_>, Vec<_>) = rows.into_iter().partition(Result::is_ok);
    assert!(!bad.is_empty() && bad.into_iter().all(|error| is_corrupt(&error.unwrap_err())));
    assert!(good.len() > 4_000, "the other blocks can be read: {}", good.len());
    failed_as(&storage, is_corrupt);
    let snapshot = storage.snapshot();
    let scanned = snapshot.prefix(Keyspace::Documents, b"", Direction::Forward).find_map(Result::err);
    assert!(is_corrupt(&scanned.unwrap()));
    drop(snapshot);
    let error = storage.recover().unwrap_err();
    assert!(is_corrupt(&error), "{error:?}");
    assert_eq!(read(&storage).into_iter().filter(Result::is_ok).count(), good.len());
    assert_eq!(numbers(&storage, Keyspace::Changes).len(), 5_000);

    flip(&largest);
    storage.recover().unwrap();
    assert!(read(&storage).into_iter().all(|row| row.unwrap().is_some()));
    storage.commit(put(5_000)).unwrap();
    storage.close().unwrap();
    assert_eq!(numbers(&open(directory.path()), Keyspace::Documents).len(), 5_001);
}

#[test]
fn a_recovery_waits_for_readers_of_before_and_then_tries_later() {
    let root = tempfile::tempdir().unwrap();
    let (home, away) = (root.path().join("home"), root.path().join("away"));
    let storage = open(&home);
    storage.commit(put(1)).unwrap();
    fs::rename(&home, &away).unwrap();
    storage.sync().unwrap_err();
    fs::rename(&away, &home).unwrap();
    let snapshot = storage.snapshot();
    assert!(matches!(storage.recover(), Err(StorageError::Busy)));
    assert!(snapshot.get(Keyspace::Documents, &1_u32.to_be_bytes()).unwrap().is_some());
    failed_as(&storage, is_removed);
    drop(snapshot);
    storage.recover().unwrap();
    storage.commit(put(2)).unwrap();
    assert_eq!(numbers(&storage, Keyspace::Documents), [1, 2]);
}

/// This test program, made to run only one of the functions below that are marked as children.
fn child(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--ignored"]).env(CHILD_DIRECTORY, directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Says that it is time for the next step, and waits for it.
fn step(name: &str) {
    println!("\nstep {name}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// Runs a child, and does at each step of it what is to be done.
fn run(mut command: Command, mut at_step: impl FnMut(u32, &str)) {
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut output = String::new();
    for line in lines.map_while(Result::ok) {
        if let Some(name) = line.strip_prefix("step ") {
            at_step(child.id(), name);
            input.write_all(b"go on\n").unwrap();
        }
        output.push_str(&line);
        output.push('\n');
    }
    let status = child.wait().unwrap();
    assert!(status.success() && output.contains("all is well"), "{status}: {output}");
}

#[test]
#[ignore = "the child process of another test"]
fn fill_the_disk_and_go_on_when_there_is_room() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else { return };
    let storage = DiskStorage::open(directory).unwrap();
    let mut number = 0;
    for round in 0..2 {
        let error = loop {
            match storage.commit(put(number)) {
                Ok(()) => number += 1,
                Err(error) => break error,
            }
        };
        assert!(error.is_disk_full(), "{error}");
        failed_as(&storage, StorageError::is_disk_full);
        let changes = numbers(&storage, Keyspace::Changes);
        assert_eq!(
            changes,
            (0..number).collect::<Vec<_>>(),
            "what was acknowledged can be read, and no more"
        );
        let error = storage.recover().unwrap_err();
        assert!(error.is_disk_full(), "{error}");
        assert_eq!(numbers(&storage, Keyspace::Changes).len(), changes.len());
        step("room");
        storage.recover().unwrap();
        let found = numbers(&storage, Keyspace::Changes).len() as u32;
        assert!(found == number || found == number + 1, "{number} were acknowledged, {found} are there");
        number = found;
        if round == 0 {
            step("no room");
        }
    }
    (number..number + 100).for_each(|number| storage.commit(put(number)).unwrap());
    storage.close().unwrap();
    println!("\nall is well");
}

/// Above the preallocated journal (4 MiB), less than what recovering asks for.
#[cfg(target_os = "linux")]
const LIMIT_BYTES: u32 = 8 << 20;

/// A limit on the size of files stands in for a full disk: it needs no file system of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_no_end_when_room_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let program = child("fill_the_disk_and_go_on_when_there_is_room", directory.path());
    // The hard limit stays.
    let limit = format!("trap '' XFSZ; exec prlimit --fsize={LIMIT_BYTES}: \"$@\"");
    let mut limited = Command::new("sh");
    limited.args(["-c", &limit, "sh"]).arg(program.get_program()).args(program.get_args());
    limited.env(CHILD_DIRECTORY, directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    run(limited, |process, step| {
        let size = if step == "room" { "unlimited".to_owned() } else { LIMIT_BYTES.to_string() };
        let process = process.to_string();
        let limit = Command::new("prlimit").args(["--pid", &process, &format!("--fsize={size}:")]).status();
        assert!(limit.expect("prlimit of util-linux").success());
    });
    let storage = DiskStorage::open(directory.path()).unwrap();
    let documents = numbers(&storage, Keyspace::Documents);
    assert_eq!(documents, numbers(&storage, Keyspace::Changes));
    assert_eq!(documents, (0..documents.len() as u32).collect::<Vec<_>>());
}

#[cfg(unix)]
#[test]
#[ignore = "the child process of another test"]
fn lose_the_permission_to_write_and_get_it_back() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY).map(PathBuf::from) else { return };
    let home = directory.join("home");
    let allow = |mode: u32| {
        let mut paths = vec![home.clone(), home.join("storage"), home.join("storage/keyspaces")];
        for keyspace in fs::read_dir(home.join("storage/keyspaces")).unwrap() {
            let keyspace = keyspace.unwrap().path();
            paths.push(keyspace.join("tables"));
            paths.push(keyspace);
        }
        for path in paths {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    let is_denied = |error: &StorageError| matches!(error, StorageError::PermissionDenied { .. });
    let storage = DiskStorage::open(&home).unwrap();
    (0..100).for_each(|number| storage.commit(put(number)).unwrap());
    allow(0o500);
    let error = storage.flush().unwrap_err();
    assert!(is_denied(&error), "{error:?}");
    failed_as(&storage, is_denied);
    assert!(is_denied(&storage.recover().unwrap_err()));
    assert_eq!(numbers(&storage, Keyspace::Documents).len(), 100);
    allow(0o700);
    storage.recover().unwrap();
    storage.commit(put(100)).unwrap();
    storage.flush().unwrap();
    storage.close().unwrap();
    assert_eq!(numbers(&DiskStorage::open(&home).unwrap(), Keyspace::Documents).len(), 101);
    println!("\nall is well");
}

#[cfg(unix)]
#[test]
fn a_lost_permission_is_named_and_writing_goes_on_when_it_is_back() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65_534;
    let directory = tempfile::tempdir().unwrap();
    let mut command = child("lose_the_permission_to_write_and_get_it_back", directory.path());
    if directory.path().metadata().unwrap().uid() == 0 {
        // Permissions mean nothing to root. The program must be where others can run it.
        let program = directory.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut other = Command::new(program);
        other.args(command.get_args()).env(CHILD_DIRECTORY, directory.path()).current_dir("/");
        other.stdin(Stdio::piped()).stdout(Stdio::piped()).uid(NOBODY).gid(NOBODY);
        command = other;
    }
    run(command, |_, step| panic!("no such step: {step}"));
}
