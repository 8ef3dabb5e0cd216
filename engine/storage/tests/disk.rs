//! What only a directory can do: be locked, be killed, be full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ditto_storage::{Batch, Direction, DiskOptions, DiskStorage, Keyspace, OpenError, Storage, StorageError};

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

/// This test program, made to run only one of the functions below that are marked as children.
fn child(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--ignored"]).env(CHILD_DIRECTORY, directory);
    command
}

fn child_directory() -> Option<std::ffi::OsString> {
    std::env::var_os(CHILD_DIRECTORY)
}

/// Commits numbers and prints each one when it is committed, until it is killed.
#[test]
#[ignore = "the child process of other tests"]
fn commit_numbers_for_ever() {
    let Some(directory) = child_directory() else { return };
    let storage = DiskStorage::open(directory).unwrap();
    let first = numbers(&storage, Keyspace::Documents).last().map_or(0, |last| last + 1);
    let mut output = std::io::stdout().lock();
    for number in first.. {
        storage.commit(put(number)).unwrap();
        writeln!(output, "\ncommitted {number}").unwrap();
    }
}

/// Lines of a child's output that report a commit.
fn committed(child: &mut Child) -> impl Iterator<Item = u32> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("committed ")?.parse().ok())
}

#[test]
fn every_acknowledged_commit_survives_the_kill_of_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = 0;
    // The later rounds kill the process while it flushes memtables and rotates journals.
    for commits in [1, 10, 1_000, 20_000, 7] {
        let mut child =
            child("commit_numbers_for_ever", directory.path()).stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let mut reported = committed(&mut child);
        let mut last = reported.by_ref().nth(commits - 1).expect("the child ended early");
        match DiskStorage::open(directory.path()) {
            Err(OpenError::Locked { directory: locked, owner }) => {
                assert_eq!((locked.as_path(), owner), (directory.path(), Some(pid)));
            }
            other => panic!("expected a locked directory, found {:?}", other.map(drop)),
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had reported but this process had not read yet was acknowledged as well.
        last = reported.last().unwrap_or(last);

        let storage = DiskStorage::open(directory.path()).unwrap();
        let documents = numbers(&storage, Keyspace::Documents);
        assert_eq!(documents, numbers(&storage, Keyspace::Changes), "a batch was torn");
        assert_eq!(documents, (0..u32::try_from(documents.len()).unwrap()).collect::<Vec<_>>());
        assert!(documents.len() as u32 > last, "{last} was acknowledged, {} are there", documents.len());
        assert!(documents.len() as u32 <= last + 2, "more than the one in flight was not acknowledged");
        assert!(last >= expected);
        expected = last + 1;
    }
}

/// Commits until a write fails, and reports how it went on.
#[test]
#[ignore = "the child process of another test"]
fn commit_until_a_write_fails() {
    let Some(directory) = child_directory() else { return };
    let storage = DiskStorage::open(directory).unwrap();
    let mut number = 0;
    let error = loop {
        match storage.commit(put(number)) {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
    };
    println!("\nfailed after {number}: full {}", error.is_disk_full());
    let again = storage.commit(put(number)).unwrap_err();
    assert!(matches!(again, StorageError::Failed { .. }), "{again:?}");
    assert!(again.is_disk_full(), "{again}");
    assert!(matches!(storage.sync(), Err(StorageError::Failed { .. })));
    assert_eq!(
        storage.get(Keyspace::Changes, &0_u32.to_be_bytes()).unwrap().as_deref(),
        Some(&[0_u8; 4][..])
    );
    storage.close().unwrap();
    println!("\nclosed");
}

/// A limit on the size of files stands in for a full disk: it needs no file system of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_write_that_finds_no_room_fails_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let program = child("commit_until_a_write_fails", directory.path());
    // Above the preallocated journal (4 MiB), and low enough that either the journal or a table exceeds it.
    let limit = "trap '' XFSZ; ulimit -f 8500; exec \"$@\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", limit, "sh"]).arg(program.get_program()).args(program.get_args());
    let mut child = limited.env(CHILD_DIRECTORY, directory.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (sender, ended) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        let _ = sender.send(());
        text
    });
    if ended.recv_timeout(PATIENCE).is_err() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    let text = reader.join().unwrap();
    assert!(status.success() && text.contains("closed"), "{status}: {text}");
    let report = text.lines().find_map(|line| line.strip_prefix("failed after ")).unwrap();
    let (committed, full) = report.split_once(": full ").unwrap();
    assert_eq!(full, "true");
    let committed: u32 = committed.parse().unwrap();

    let storage = DiskStorage::open(directory.path()).unwrap();
    let documents = numbers(&storage, Keyspace::Documents);
    assert_eq!(documents, numbers(&storage, Keyspace::Changes));
    assert!(
        documents.len() as u32 >= committed,
        "{committed} were acknowledged, {} are there",
        documents.len()
    );
    storage.commit(put(u32::MAX)).unwrap();
}

#[test]
fn a_second_opener_is_told_who_has_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(directory.path()).unwrap();
    let Err(error) = DiskStorage::open(directory.path()) else { panic!("opened twice") };
    let text = error.to_string();
    assert!(text.contains(directory.path().to_str().unwrap()), "{text}");
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");

    storage.close().unwrap();
    let storage = DiskStorage::open(directory.path()).unwrap();
    drop(storage);
    DiskStorage::open(directory.path()).unwrap();
}

#[test]
fn closing_waits_for_snapshots_and_for_another_close() {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions { close_patience: PATIENCE, ..DiskOptions::default() };
    let storage = DiskStorage::open_with(directory.path(), &options).unwrap();
    storage.commit(put(1)).unwrap();
    let snapshot = storage.snapshot();
    thread::scope(|scope| {
        let closing: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    storage.close().unwrap();
                    // Free, or in the hands of another one of these.
                    DiskStorage::open(directory.path()).is_ok()
                })
            })
            .collect();
        while storage.commit(put(2)).is_ok() {
            thread::yield_now();
        }
        assert!(snapshot.get(Keyspace::Documents, &1_u32.to_be_bytes()).unwrap().is_some());
        drop(snapshot);
        let free: Vec<bool> = closing.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(free.contains(&true), "closed, and still locked");
    });
}

#[test]
fn a_snapshot_keeps_the_directory_locked_when_closing_loses_patience() {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions { close_patience: Duration::ZERO, ..DiskOptions::default() };
    let storage = DiskStorage::open_with(directory.path(), &options).unwrap();
    storage.commit(put(1)).unwrap();
    let snapshot = storage.snapshot();
    storage.close().unwrap();
    assert!(matches!(DiskStorage::open(directory.path()), Err(OpenError::Locked { .. })));
    assert!(snapshot.get(Keyspace::Documents, &1_u32.to_be_bytes()).unwrap().is_some());
    drop(snapshot);
    DiskStorage::open(directory.path()).unwrap();
}

#[test]
fn a_database_that_was_being_created_when_the_process_died_is_created_anew() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("storage.new/keyspaces")).unwrap();
    fs::write(directory.path().join("storage.new/0.jnl"), [0; 100]).unwrap();
    let storage = DiskStorage::open(directory.path()).unwrap();
    storage.commit(put(1)).unwrap();
    assert!(!directory.path().join("storage.new").exists());
}

#[test]
fn a_directory_of_another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(DiskStorage::open(directory.path()).unwrap());
    fs::write(directory.path().join("storage/version"), "something else").unwrap();
    let Err(error) = DiskStorage::open(directory.path()) else { panic!("opened a foreign directory") };
    assert!(matches!(error, OpenError::Format { .. }), "{error:?}");
}

#[test]
fn a_path_that_is_a_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "").unwrap();
    assert!(matches!(DiskStorage::open(&path), Err(OpenError::Io { .. })));
}

/// The journal is what opening replays: after a clean close it is small, and what is in it is in tables already.
#[test]
fn opening_after_a_clean_close_replays_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(directory.path()).unwrap();
    for first in (0..60_000).step_by(1_000) {
        let mut batch = Batch::new();
        (first..first + 1_000).for_each(|number| batch.append(put(number)));
        storage.commit(batch).unwrap();
    }
    storage.close().unwrap();
    let journals: u64 = fs::read_dir(directory.path().join("storage"))
        .unwrap()
        .map(Result::unwrap)
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "jnl"))
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!(journals <= 8 << 20, "{journals} bytes of journals were left to replay");
    let storage = DiskStorage::open(directory.path()).unwrap();
    assert_eq!(numbers(&storage, Keyspace::Changes).len(), 60_000);
    assert!(storage.disk_size().unwrap() > 60_000 * 300);
}

#[test]
fn compacting_gives_back_the_room_of_what_was_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(directory.path()).unwrap();
    let mut batch = Batch::new();
    (0..20_000).for_each(|number| batch.append(put(number)));
    storage.commit(batch).unwrap();
    storage.flush().unwrap();
    let full = storage.keyspace_size(Keyspace::Documents).unwrap();
    assert!(full > 20_000, "{full}");
    let mut batch = Batch::new();
    (10..20_000_u32).for_each(|number| batch.delete(Keyspace::Documents, number.to_be_bytes()));
    storage.commit(batch).unwrap();
    for keyspace in Keyspace::ALL {
        storage.compact(keyspace, &mut |_, _| ControlFlow::Continue(())).unwrap();
    }
    let compact = storage.keyspace_size(Keyspace::Documents).unwrap();
    assert!(compact < full / 10, "{full} bytes became {compact}");
    assert_eq!(numbers(&storage, Keyspace::Documents), (0..10).collect::<Vec<_>>());
    assert_eq!(numbers(&storage, Keyspace::Changes).len(), 20_000);
    storage.close().unwrap();
    let storage = DiskStorage::open(directory.path()).unwrap();
    assert_eq!(numbers(&storage, Keyspace::Documents).len(), 10);
}

/// A storage whose keyspace of documents takes some time to be compacted.
fn uncompacted(directory: &Path) -> DiskStorage {
    let storage = DiskStorage::open(directory).unwrap();
    for part in 0..4 {
        let mut batch = Batch::new();
        (0..50_000).for_each(|number| batch.append(put(part * 50_000 + number)));
        storage.commit(batch).unwrap();
        storage.flush().unwrap();
    }
    storage
}

#[test]
fn a_compaction_that_is_stopped_changes_nothing_and_can_be_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let storage = uncompacted(directory.path());
    let mut batch = Batch::new();
    // What is deleted goes through without being asked about: the rest comes after it.
    (0..190_000_u32).for_each(|number| batch.delete(Keyspace::Documents, number.to_be_bytes()));
    storage.commit(batch).unwrap();
    storage.flush().unwrap();
    let full = storage.keyspace_size(Keyspace::Documents).unwrap();
    let mut calls = Vec::new();
    let mut stop = |rows, total| {
        calls.push((rows, total));
        ControlFlow::Break(())
    };
    storage.compact(Keyspace::Documents, &mut stop).unwrap();
    assert!(matches!(calls[..], [(rows, total)] if rows < total), "{calls:?}");
    let size = storage.keyspace_size(Keyspace::Documents).unwrap();
    assert!(size > full / 2, "{full} bytes became {size}");
    storage.commit(put(500_000)).unwrap();
    let numbers_now: Vec<_> = (190_000..200_000).chain([500_000]).collect();
    assert_eq!(numbers(&storage, Keyspace::Documents), numbers_now);
    storage.close().unwrap();

    let storage = DiskStorage::open(directory.path()).unwrap();
    storage.compact(Keyspace::Documents, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let size = storage.keyspace_size(Keyspace::Documents).unwrap();
    assert!(size < full / 4, "{full} bytes became {size}");
    assert_eq!(numbers(&storage, Keyspace::Documents), numbers_now);
}

#[test]
fn closing_stops_a_compaction_and_leaves_the_directory_free() {
    let directory = tempfile::tempdir().unwrap();
    let storage = uncompacted(directory.path());
    let (sender, begun) = mpsc::channel();
    thread::scope(|scope| {
        let compacting = scope.spawn(|| {
            let mut last = (0, 0);
            let compacted = storage.compact(Keyspace::Documents, &mut |rows, total| {
                last = (rows, total);
                let _ = sender.send(());
                ControlFlow::Continue(())
            });
            (compacted, last)
        });
        begun.recv_timeout(PATIENCE).unwrap();
        storage.close().unwrap();
        let again = DiskStorage::open(directory.path()).unwrap();
        let (compacted, (rows, total)) = compacting.join().unwrap();
        assert!(matches!(compacted, Err(StorageError::Closed)), "{compacted:?}");
        assert!(rows < total, "{rows} of {total}");
        assert_eq!(numbers(&again, Keyspace::Documents).len(), 200_000);
    });
}

#[test]
fn a_copy_of_a_closed_directory_has_another_place() {
    let root = tempfile::tempdir().unwrap();
    let place = |name: &str| DiskStorage::open(root.path().join(name)).unwrap().place().unwrap();
    let first = place("first");
    assert!(first.is_some());
    assert_eq!(place("first"), first);
    let copied = Command::new("cp").args(["-a", "first", "copy"]).current_dir(&root).status().unwrap();
    assert!(copied.success());
    assert_ne!(place("copy"), first);
    fs::rename(root.path().join("first"), root.path().join("moved")).unwrap();
    assert_eq!(place("moved"), first);
    fs::rename(root.path().join("copy"), root.path().join("first")).unwrap();
    assert_ne!(place("first"), first);
}

#[test]
fn a_storage_that_is_left_alone_flushes_what_it_holds_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions { idle_flush: Duration::ZERO, ..DiskOptions::default() };
    let storage = DiskStorage::open_with(directory.path(), &options).unwrap();
    let mut batch = Batch::new();
    (0..10_000).for_each(|number| batch.append(put(number)));
    storage.commit(batch).unwrap();
    let tables = || -> u64 {
        let keyspaces = fs::read_dir(directory.path().join("storage/keyspaces")).unwrap().map(Result::unwrap);
        let tables =
            keyspaces.flat_map(|keyspace| fs::read_dir(keyspace.path().join("tables")).into_iter().flatten());
        tables.filter_map(|table| Some(table.ok()?.metadata().ok()?.len())).sum()
    };
    let start = Instant::now();
    while tables() < 10_000 * 300 {
        assert!(start.elapsed() < PATIENCE, "{} bytes of tables", tables());
        thread::yield_now();
    }
    assert_eq!(numbers(&storage, Keyspace::Documents).len(), 10_000);
}
