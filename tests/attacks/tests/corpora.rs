//! Every target over its corpus, and over seeded changes of it.
//!
//! `DITTO_ATTACK_MUTATIONS=100000` changes inputs more often, `DITTO_ATTACK_SEED=5` in another way, `DITTO_ATTACK_TARGET=dql`
//! takes one target. An input that fails is written to the temporary directory, for `fuzz/corpus/<target>/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ditto_attacks::{Mutator, TARGETS, Target};

/// Changed inputs of a target, unless the environment says otherwise. Those that open databases take longer.
fn mutations(name: &str) -> usize {
    match name {
        "session" | "rows" | "dql" | "abi" => 1_500,
        _ => 15_000,
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn run(name: &str, target: Target, input: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let path = std::env::temp_dir().join(format!("ditto-attack-{name}"));
        fs::write(&path, input).unwrap();
        panic!("{name} fails for {what}: see {}", path.display());
    }
}

fn replay(name: &str, target: Target) {
    let inputs = corpus(name);
    assert!(!inputs.is_empty(), "{name} has no corpus");
    inputs.iter().for_each(|input| run(name, target, input, "a file of its corpus"));
    let mutations = number("DITTO_ATTACK_MUTATIONS").map_or(mutations(name), |number| number as usize);
    let seed = number("DITTO_ATTACK_SEED").unwrap_or(1);
    for (round, input) in (0..mutations).zip(inputs.iter().cycle()) {
        let mut mutator = Mutator::new(seed.wrapping_mul(1 << 40).wrapping_add(round as u64));
        let other = &inputs[round.wrapping_mul(7) % inputs.len()];
        run(name, target, &mutator.mutate(input, other), "a changed input");
    }
}

macro_rules! replays {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            let name = stringify!($name);
            let chosen = std::env::var("DITTO_ATTACK_TARGET").unwrap_or_else(|_| name.to_owned());
            let target = TARGETS.iter().find(|(target, _)| *target == name).expect("a target").1;
            if chosen == name {
                replay(name, target);
            }
        })*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

replays!(binary, cbor, json, key, delta, record, session, dql, rows, frames, abi);
