//! One store on a disk that fails, by seed: statements, transactions, merges from another peer and evictions, until a write
//! or a sync fails or the process or the power goes; then it is opened again and must be what it was at some commit, at the
//! last one that was acknowledged if only the process died, and at none before the last that was said to be durable. Now and
//! then an image of the disk is put back; a counter must keep what the other peer saw of the history that is lost.
//!
//! `DITTO_FAULT_SEEDS=17` replays one seed and prints what happened; `=0..100000` runs a range.

mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

const DEFAULT_SEEDS: std::ops::Range<u64> = 0..200;

fn run(seed: u64) -> (Vec<String>, Option<String>) {
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let problem = outcome.err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    });
    (std::mem::take(&mut world.trace), problem)
}

#[test]
fn a_store_on_a_failing_disk_is_what_it_was_at_some_commit() {
    let chosen = std::env::var("DITTO_FAULT_SEEDS").unwrap_or_default();
    let number = |text: &str| text.trim().parse().expect("DITTO_FAULT_SEEDS is `17` or `0..200`");
    let seeds = match chosen.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None if chosen.is_empty() => DEFAULT_SEEDS,
        None => number(&chosen)..number(&chosen) + 1,
    };
    let single = seeds.end - seeds.start == 1;
    for seed in seeds {
        let (trace, problem) = run(seed);
        if single {
            println!("{}", trace.join("\n"));
        }
        if let Some(problem) = problem {
            panic!("replay with DITTO_FAULT_SEEDS={seed}: {problem}");
        }
    }
}
