//! Files whose bytes are not what was written: a storage refuses to open or to read what is damaged, or the damage
//! concerns nothing that is stored. It never panics and never shows a row that was not written.
//!
//! `DITTO_ROT_SEEDS=17` replays one seed; `=0..10000` runs a range.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ditto_storage::{Batch, Direction, DiskStorage, Keyspace, OpenError, Storage};

const DEFAULT_SEEDS: Range<u64> = 0..60;
const ROWS: u32 = 400;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}

fn value(number: u32) -> Vec<u8> {
    (0..20 + number % 500).map(|index| (index * 31 + number) as u8).collect()
}

/// A directory with tables of two flushes and, unless it was closed, a journal.
fn original(closed: bool) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let live = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(live.path()).unwrap();
    for number in 0..ROWS {
        let mut batch = Batch::new();
        batch.put(Keyspace::Documents, number.to_be_bytes(), value(number));
        batch.put(Keyspace::Changes, number.to_be_bytes(), number.to_be_bytes());
        storage.commit(batch).unwrap();
        if number % 150 == 149 {
            storage.flush().unwrap();
        }
    }
    if closed {
        storage.close().unwrap();
        copy(live.path(), directory.path()).unwrap();
    } else {
        storage.sync().unwrap();
        // Tables may still be merged, and then files come and go.
        while copy(live.path(), directory.path()).is_err() {
            files(directory.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
        }
    }
    directory
}

/// Copies all files; an error if they were not the same ones all the time.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let found = files(from);
    for path in &found {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap())?;
        fs::copy(path, target)?;
    }
    if files(from) == found { Ok(()) } else { Err(io::Error::other("files came and went")) }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Damages one file somewhere. Returns what was done, and whether it may make the last commits disappear: the end of a
/// journal is where the first batch is that is not whole.
fn damage(random: &mut Random, directory: &Path) -> (String, bool) {
    let files: Vec<PathBuf> =
        files(directory).into_iter().filter(|path| fs::metadata(path).unwrap().len() > 0).collect();
    let path = &files[random.below(files.len() as u64) as usize];
    let mut bytes = fs::read(path).unwrap();
    // A journal is mostly room for more.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |last| last + 1);
    let place = random.below(used as u64) as usize;
    let name = path.strip_prefix(directory).unwrap().display();
    let in_a_journal = path.extension().is_some_and(|extension| extension == "jnl");
    let done = match random.below(5) {
        4 => {
            fs::remove_file(path).unwrap();
            return (format!("{name}: removed"), in_a_journal);
        }
        0 | 1 => {
            let bit = 1 << random.below(8);
            bytes[place] ^= bit;
            format!("{name}: bit {bit} of byte {place} of {used}")
        }
        2 => {
            let end = (place + 512).min(bytes.len());
            bytes[place..end].fill(0);
            format!("{name}: zeros at {place} of {used}")
        }
        _ => {
            bytes.truncate(place);
            format!("{name}: cut at {place} of {used}")
        }
    };
    fs::write(path, bytes).unwrap();
    (done, in_a_journal)
}

/// Reads every row in every way. Returns whether all are there; `None` if some cannot be read.
fn read(storage: &DiskStorage) -> Option<bool> {
    let snapshot = storage.snapshot();
    let (mut readable, mut complete) = (true, true);
    for direction in [Direction::Forward, Direction::Backward] {
        let mut found = 0;
        for row in snapshot.prefix(Keyspace::Documents, b"", direction) {
            let Ok((key, value_found)) = row else {
                readable = false;
                break;
            };
            let number = u32::from_be_bytes((*key).try_into().expect("a key that was written"));
            assert!(number < ROWS && *value_found == *value(number), "row {number} was never written so");
            found += 1;
        }
        complete &= found == ROWS;
    }
    for number in 0..ROWS {
        match storage.get(Keyspace::Changes, &number.to_be_bytes()) {
            Ok(Some(found)) => assert_eq!(*found, number.to_be_bytes()),
            Ok(None) => complete = false,
            Err(_) => readable = false,
        }
    }
    readable.then_some(complete)
}

fn run(seed: u64, original: &Path) {
    let mut random = Random(seed);
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    copy(original, directory.path()).unwrap();
    let (done, in_a_journal) = damage(&mut random, directory.path());
    println!("seed {seed}: {done}");
    match DiskStorage::open(directory.path()) {
        Err(error) => println!("seed {seed}: {error}"),
        Ok(storage) => {
            let complete = read(&storage);
            println!("seed {seed}: opens, complete {complete:?}");
            assert!(complete != Some(false) || in_a_journal, "rows have disappeared without a word: {done}");
        }
    }
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let chosen = std::env::var("DITTO_ROT_SEEDS").unwrap_or_default();
    let number = |text: &str| text.trim().parse().expect("DITTO_ROT_SEEDS is `17` or `0..60`");
    let seeds = match chosen.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None if chosen.is_empty() => DEFAULT_SEEDS,
        None => number(&chosen)..number(&chosen) + 1,
    };
    let originals = [original(false), original(true)];
    let failures: Vec<u64> = seeds
        .clone()
        .filter(|seed| {
            let original = &originals[(seed % 2) as usize];
            std::panic::catch_unwind(|| run(*seed, original.path())).is_err()
        })
        .collect();
    assert!(
        failures.is_empty(),
        "replay with DITTO_ROT_SEEDS={}: {failures:?} of {seeds:?} fail",
        failures[0]
    );
}

/// A copy of a directory with a journal that was sealed and is still needed.
fn with_a_sealed_journal() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let live = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(live.path()).unwrap();
    // Tables of one keyspace are written because of its size, and then the journal is sealed. It has rows of another one.
    let large = vec![7; 100_000];
    for number in 0..u32::MAX {
        let mut batch = Batch::new();
        batch.put(Keyspace::Documents, number.to_be_bytes(), large.clone());
        batch.put(Keyspace::Changes, number.to_be_bytes(), number.to_be_bytes());
        storage.commit(batch).unwrap();
        if number % 50 == 49 {
            storage.sync().unwrap();
            if journals(live.path()).len() > 1 && copy(live.path(), directory.path()).is_ok() {
                break;
            }
        }
    }
    directory
}

/// The journals, sealed ones first.
fn journals(directory: &Path) -> Vec<PathBuf> {
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jnl");
    let mut found: Vec<PathBuf> = files(directory).into_iter().filter(is_journal).collect();
    found.sort_by_key(|path| path.file_stem().and_then(|name| name.to_str()?.parse::<u64>().ok()));
    found
}

#[test]
fn a_journal_that_was_sealed_does_not_end_in_the_middle() {
    let directory = with_a_sealed_journal();
    let sealed = &journals(directory.path())[0];
    let mut bytes = fs::read(sealed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 200_000].fill(0);
    fs::write(sealed, &bytes).unwrap();
    let error = DiskStorage::open(directory.path()).err();
    assert!(matches!(error, Some(OpenError::Corrupt { .. })), "{error:?}");
    assert_eq!(fs::metadata(sealed).unwrap().len(), bytes.len() as u64, "nothing is cut off");
}

#[test]
fn a_directory_that_is_there_in_part_is_refused_and_left_as_it_is() {
    let original = original(true);
    for missing in
        ["version", "keyspaces/0", "keyspaces/2", "keyspaces/2/current", "keyspaces/0/current", "keyspaces"]
    {
        let directory = tempfile::tempdir().unwrap();
        copy(original.path(), directory.path()).unwrap();
        let path = directory.path().join("storage").join(missing);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        let before = files(&directory.path().join("storage"));
        let error = DiskStorage::open(directory.path()).err();
        assert!(matches!(error, Some(OpenError::Corrupt { .. })), "without {missing}: {error:?}");
        assert_eq!(files(&directory.path().join("storage")), before, "without {missing}");
    }
}
