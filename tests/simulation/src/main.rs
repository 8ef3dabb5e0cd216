//! Runs seeds: `cargo run --release -p ditto-simulation -- --seed 17` or `-- --seeds 0..1000`.

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use ditto_simulation::run::{run, run_all};
use ditto_simulation::tally::Summary;
use ditto_simulation::world::Settings;
use indicatif::{ProgressBar, ProgressStyle};

/// Attacks replication: many peers in one thread, from one seed, under every fault.
#[derive(Parser)]
#[command(name = "ditto-simulation")]
struct Arguments {
    /// One seed, with its trace.
    #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
    seed: Option<u64>,
    /// A range of seeds, such as 0..1000; the trace of the first that fails is printed.
    #[arg(long, value_parser = range)]
    seeds: Option<Range<u64>>,
    /// How many peers, 2 to 100; the seed decides if it is not said.
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=100))]
    peers: Option<u16>,
    /// How many minutes the storms last together, in the time of the simulated world.
    #[arg(long, default_value_t = 1.0, value_parser = minutes)]
    minutes: f64,
    /// All peers do and remember as much as in production; otherwise most of them less, as the seed decides.
    #[arg(long)]
    production: bool,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.trim().parse().map_err(|_| format!("`{text}` is no number"));
    let (first, end) = text.split_once("..").ok_or("expected two numbers, such as 0..1000")?;
    Ok(number(first)?..number(end)?)
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.01..=10_000.0).contains(&minutes) { Ok(minutes) } else { Err("expected 0.01 to 10000".to_owned()) }
}

/// A bar where a person looks on.
fn progress(count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} seeds, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let peers = arguments.peers.map(usize::from);
    let settings = |seed, traced| Settings {
        peers,
        storm_ms: (arguments.minutes * 60_000.0) as u64,
        traced,
        small: !arguments.production,
        ..Settings::of(seed)
    };
    let seeds = arguments.seeds.or(arguments.seed.map(|seed| seed..seed + 1)).unwrap_or(0..0);
    let begin = Instant::now();
    let count = seeds.end.saturating_sub(seeds.start);
    let progress = progress(count);
    let (mut failed, mut summary) = (Vec::new(), Summary::default());
    run_all(
        seeds,
        |seed| settings(seed, false),
        |seed, outcome| {
            progress.inc(1);
            summary.add(&outcome.tally);
            if !outcome.verdicts.is_empty() {
                progress.suspend(|| println!("seed {seed} fails:\n    {}", outcome.verdicts.join("\n    ")));
                failed.push(seed);
            }
        },
    );
    progress.finish_and_clear();
    failed.sort_unstable();
    if let Some(seed) = arguments.seed.or(failed.first().copied()) {
        println!("\nthe trace of seed {seed}:\n{}", run(settings(seed, true)).trace.join("\n"));
    }
    println!("\n{summary}");
    println!("\n{count} seeds in {:.1} s, {} fail: {failed:?}", begin.elapsed().as_secs_f64(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
