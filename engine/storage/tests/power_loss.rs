//! Loss of power on a real directory: what was written to the journal since the last sync reached the platter in part,
//! in any order, block by block. What was synced is there, the rest is a prefix of what was committed, and the storage
//! opens.
//!
//! `DITTO_POWER_SEEDS=17` replays one seed; `=0..10000` runs a range.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ditto_storage::{Batch, Direction, DiskStorage, Keyspace, Storage};

const DEFAULT_SEEDS: Range<u64> = 0..40;
/// What a disk writes as a whole; the smaller, the more ways to tear.
const BLOCKS: [usize; 3] = [512, 4096, 4096];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What commit `number` writes: from a few bytes to several blocks.
fn value(number: u32) -> Vec<u8> {
    let length = match number % 5 {
        0 => 10,
        1 => 300,
        2 => 1_500,
        3 => 9_000 + number as usize % 7_000,
        _ => 600,
    };
    // No zeros, which is what an unwritten block consists of.
    (0..length).map(|index| ((index as u32 * 31 + number) % 251 + 1) as u8).collect()
}

fn commit(storage: &DiskStorage, number: u32) {
    let mut batch = Batch::new();
    batch.put(Keyspace::Documents, number.to_be_bytes(), value(number));
    batch.put(Keyspace::Changes, number.to_be_bytes(), number.to_be_bytes());
    storage.commit(batch).unwrap();
}

/// How many commits there are, after a check that they are the first ones and whole.
fn count(storage: &DiskStorage) -> u32 {
    let snapshot = storage.snapshot();
    let mut next = 0;
    for row in snapshot.prefix(Keyspace::Documents, b"", Direction::Forward) {
        let (key, found) = row.unwrap();
        assert_eq!(*key, next_key(next), "a commit is missing before others");
        assert!(*found == *value(next), "commit {next} is not what was written");
        next += 1;
    }
    let changes =
        snapshot.prefix(Keyspace::Changes, b"", Direction::Forward).map(|row| row.unwrap().0.to_vec());
    assert!(changes.eq((0..next).map(|number| next_key(number).to_vec())), "a commit is torn");
    next
}

fn next_key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

type Journals = BTreeMap<PathBuf, Vec<u8>>;

/// The journals in a directory, by their path in it.
fn journals(directory: &Path) -> Journals {
    let files = fs::read_dir(directory.join("storage")).unwrap().map(|entry| entry.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    journals
        .map(|path| (path.strip_prefix(directory).unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect()
}

/// In memory where that is possible: what a sync does to a disk is not what is tested here, but what it costs.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Every file below a directory, by its path in it, with its length and when it was written.
fn files(directory: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => directories.push(entry.path()),
                Ok(metadata) => {
                    let path = entry.path().strip_prefix(directory).unwrap().to_owned();
                    found.insert(path, (metadata.len(), metadata.modified().unwrap()));
                }
                // Deleted meanwhile.
                Err(_) => {}
            }
        }
    }
    found
}

/// Copies a directory as it is at one moment, though workers of the storage may be busy in it.
fn copy(from: &Path, to: &Path) {
    for _ in 0..1_000 {
        let before = files(from);
        let copied = before.keys().all(|path| {
            let target = to.join(path);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(from.join(path), target).is_ok()
        });
        if copied && files(from) == before {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
    panic!("the directory does not come to rest");
}

/// Of the blocks that changed since the sync some are on the platter.
fn tear(random: &mut Random, synced: &[u8], written: &[u8]) -> Vec<u8> {
    let block = BLOCKS[random.below(3) as usize];
    let percent = random.below(101);
    let mut torn = written.to_vec();
    // The length is written with the data, or not yet.
    if written.len() > synced.len() && random.below(2) == 0 {
        torn.truncate(synced.len() + random.below((written.len() - synced.len()) as u64) as usize);
    }
    for (index, block_now) in torn.chunks_mut(block).enumerate() {
        let before = synced.get(index * block..).unwrap_or_default();
        let before = &before[..before.len().min(block_now.len())];
        let changed =
            !block_now.starts_with(before) || block_now[before.len()..].iter().any(|byte| *byte != 0);
        if changed && random.below(100) >= percent {
            block_now.fill(0);
            block_now[..before.len()].copy_from_slice(before);
        }
    }
    torn
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let mut directory = scratch();
    let mut committed = 0;
    for _ in 0..4 {
        let storage = DiskStorage::open(directory.path()).unwrap();
        let mut synced = (committed, journals(directory.path()));
        for _ in 0..random.below(40) {
            commit(&storage, committed);
            committed += 1;
            if random.below(12) == 0 {
                storage.sync().unwrap();
                synced = (committed, journals(directory.path()));
            }
        }
        let after = scratch();
        copy(directory.path(), after.path());
        for (path, written) in journals(directory.path()) {
            let before = synced.1.get(&path).map_or(&[][..], Vec::as_slice);
            fs::write(after.path().join(path), tear(&mut random, before, &written)).unwrap();
        }
        drop(storage);
        directory = after;

        let storage = DiskStorage::open(directory.path())
            .unwrap_or_else(|error| panic!("{error:?} after {} synced of {committed} commits", synced.0));
        let found = count(&storage);
        assert!(
            (synced.0..=committed).contains(&found),
            "{found} of {} synced and {committed} commits",
            synced.0
        );
        committed = found;
    }
}

#[test]
fn what_was_synced_survives_the_loss_of_power_and_the_rest_is_a_prefix() {
    let chosen = std::env::var("DITTO_POWER_SEEDS").unwrap_or_default();
    let number = |text: &str| text.trim().parse().expect("DITTO_POWER_SEEDS is `17` or `0..40`");
    let seeds = match chosen.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None if chosen.is_empty() => DEFAULT_SEEDS,
        None => number(&chosen)..number(&chosen) + 1,
    };
    let failures: Vec<u64> =
        seeds.clone().filter(|seed| std::panic::catch_unwind(|| run(*seed)).is_err()).collect();
    assert!(
        failures.is_empty(),
        "replay with DITTO_POWER_SEEDS={}: {failures:?} of {seeds:?} fail",
        failures[0]
    );
}
