//! Directories that go away and files that are damaged while an instance is open: typed errors, reads go on, and the
//! instance goes on by itself when the cause is gone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod support;

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use dittolive_ditto::{
    error::{CoreApiErrorKind, ErrorKind, Result},
    prelude::*,
};

use self::support::{PATIENCE, Peer};

/// An instance in a directory that can be moved.
fn open(home: &Path) -> Peer {
    let config = DittoConfig::new("tests", DittoConfigConnect::SmallPeersOnly { private_key: None })
        .with_persistence_directory(home);
    Peer { ditto: Ditto::open_sync(config).unwrap(), root: TempRoot::new() }
}

/// Does it again until the outcome is wanted.
fn until<T>(mut attempt: impl FnMut() -> Result<T>, is_wanted: impl Fn(&Result<T>) -> bool) -> Result<T> {
    let begin = Instant::now();
    loop {
        let outcome = attempt();
        if is_wanted(&outcome) {
            return outcome;
        }
        assert!(begin.elapsed() < PATIENCE, "it stays as it is");
        thread::yield_now();
    }
}

fn write(peer: &Peer) -> Result<()> {
    peer.try_execute("UPDATE c SET written = true WHERE _id = 1").map(drop)
}

const REMOVED: ErrorKind = ErrorKind::CoreApi(CoreApiErrorKind::IoNotFound);
const CORRUPT: ErrorKind = ErrorKind::CoreApi(CoreApiErrorKind::StoreCorrupt);

#[test]
fn a_directory_that_is_moved_away_stops_writes_until_it_is_back() {
    let root = TempRoot::new();
    let (home, away) = (root.root_path().join("home"), root.root_path().join("away"));
    let peer = open(&home);
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 1})");
    peer.ditto.sync().start().unwrap();

    fs::rename(&home, &away).unwrap();
    // The first to notice is told, and everybody after that.
    for _ in 0..3 {
        let error = until(|| write(&peer), Result::is_err).unwrap_err();
        assert_eq!(error.kind(), REMOVED, "{error}");
        assert!(error.to_string().contains(home.to_str().unwrap()), "{error}");
    }
    assert_eq!(peer.rows("SELECT _id FROM c"), [r#"{"_id":1}"#]);
    let error = until(|| peer.ditto.sync().start(), Result::is_err).unwrap_err();
    assert_eq!(error.kind(), REMOVED, "{error}");

    fs::rename(&away, &home).unwrap();
    until(|| write(&peer), Result::is_ok).unwrap();
    until(|| Ok(peer.ditto.sync().is_active()), |active| matches!(active, Ok(true))).unwrap();
    drop(peer);
    assert_eq!(open(&home).rows("SELECT * FROM c"), [r#"{"_id":1,"written":true}"#]);
}

/// The largest file with rows.
fn largest_table(directory: &Path) -> PathBuf {
    let (mut directories, mut tables) = (vec![directory.to_owned()], Vec::new());
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next).unwrap().map(|entry| entry.unwrap()) {
            match entry.path() {
                path if path.is_dir() => directories.push(path),
                path if next.ends_with("tables") => tables.push((entry.metadata().unwrap().len(), path)),
                _ => {}
            }
        }
    }
    tables.into_iter().max().unwrap().1
}

/// Turns some bytes of the file into others; doing it twice turns them back.
fn turn(path: &Path) {
    let mut file = fs::File::options().read(true).write(true).open(path).unwrap();
    let place = SeekFrom::Start(file.metadata().unwrap().len() / 3);
    let mut bytes = [0; 16];
    file.seek(place).unwrap();
    file.read_exact(&mut bytes).unwrap();
    file.seek(place).unwrap();
    file.write_all(&bytes.map(|byte| !byte)).unwrap();
}

#[test]
fn damaged_files_stop_writes_and_what_is_well_can_be_read() {
    let root = TempRoot::new();
    let home = root.root_path().join("home");
    let peer = open(&home);
    let documents: Vec<_> =
        (0..3000).map(|id| format!("({{'_id': {id}, 'text': '{:0>300}'}})", id * id)).collect();
    peer.execute(format!("INSERT INTO c DOCUMENTS {}", documents.join(", ")));
    drop(peer);

    let table = largest_table(&home);
    turn(&table);
    let peer = open(&home);
    let error = peer.try_execute("SELECT * FROM c").map(drop).unwrap_err();
    assert_eq!(error.kind(), CORRUPT, "{error}");
    assert_eq!(peer.rows("SELECT _id FROM c WHERE _id = 1"), [r#"{"_id":1}"#]);
    for _ in 0..2 {
        let error = write(&peer).unwrap_err();
        assert_eq!(error.kind(), CORRUPT, "{error}");
    }
    let report = peer.ditto.store().verify(|_| ControlFlow::Continue(())).unwrap();
    assert!(!report.is_consistent() && !report.inconsistencies.is_empty());
    let backup = root.root_path().join("backup");
    let error = peer.ditto.store().backup(&backup, |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.kind(), CORRUPT, "{error}");
    assert!(!backup.exists());

    turn(&table);
    until(|| write(&peer), Result::is_ok).unwrap();
    assert_eq!(peer.execute("SELECT * FROM c").item_count(), 3000);
    assert!(peer.ditto.store().verify(|_| ControlFlow::Continue(())).unwrap().is_consistent());
}

#[test]
fn a_directory_that_cannot_be_opened_says_what_is_wrong_with_it() {
    let root = TempRoot::new();
    let home = root.root_path().join("home");
    drop(open(&home));
    let version = home.join("store/storage/version");
    let written = fs::read(&version).unwrap();
    let kind = || {
        let config = DittoConfig::new("tests", DittoConfigConnect::SmallPeersOnly { private_key: None })
            .with_persistence_directory(&home);
        Ditto::open_sync(config).unwrap_err().kind()
    };
    fs::write(&version, "something of another time").unwrap();
    assert_eq!(kind(), ErrorKind::CoreApi(CoreApiErrorKind::StoreFormatUnsupported));
    fs::write(&version, written).unwrap();
    let keyspace = fs::read_dir(home.join("store/storage/keyspaces")).unwrap().next().unwrap().unwrap();
    turn(&keyspace.path().join("current"));
    assert_eq!(kind(), CORRUPT);
    turn(&keyspace.path().join("current"));
    drop(open(&home));
}
