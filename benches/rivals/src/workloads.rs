//! What is measured.

use std::io::{BufWriter, Write as _};
use std::time::Duration;

use ditto_rivals::Failure;
use ditto_rivals::documents::{documents, json_bytes, small_documents};
use indicatif::ProgressBar;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::child::TooSlow;
use crate::pair::Pair;
use crate::stores::Store;
use crate::table::{Cell, Line, Unit};

/// What a workload is told.
pub struct Context {
    pub stores: Vec<&'static Store>,
    /// Factor for all numbers of documents and operations.
    pub scale: f64,
    /// How often each store is measured, in turn with the others.
    pub rounds: usize,
    /// How long a first sync may take. Who takes longer gets a tenth of the documents.
    pub limit: Duration,
    pub progress: ProgressBar,
}

/// One measurement or a few that use the same databases.
pub struct Workload {
    /// As given to `--only`.
    pub name: &'static str,
    pub run: fn(&Context) -> Result<Vec<Line>, Failure>,
}

pub const WORKLOADS: &[Workload] = &[
    Workload { name: "small-documents", run: of_small_documents },
    Workload { name: "large-collection", run: of_a_large_collection },
    Workload { name: "change", run: of_changes },
];

/// Documents as the peers load them.
struct Input {
    file: NamedTempFile,
    ids: Vec<String>,
    /// Mean of the documents as JSON.
    bytes: usize,
}

/// One store in a workload.
struct Side {
    store: &'static Store,
    pair: Result<Pair, String>,
    documents: usize,
    /// Of the first sync.
    bytes: f64,
}

impl Context {
    fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(100)
    }

    fn step(&self, what: String) {
        self.progress.set_message(what);
        self.progress.tick();
    }

    /// Loads a publisher of every store and lets a first subscriber have everything, through a relay.
    fn sides(&self, input: &Input) -> Vec<Side> {
        self.stores.iter().map(|store| self.side(store, input)).collect()
    }

    fn side(&self, store: &'static Store, input: &Input) -> Side {
        let mut count = input.ids.len();
        loop {
            self.step(format!("{}: {count} documents, loading and counting bytes", store.name));
            match Pair::new(store, input.file.path(), count, self.limit) {
                Ok((pair, bytes)) => return Side { store, pair: Ok(pair), documents: count, bytes },
                Err(error) if error.is::<TooSlow>() && count >= 1000 => count /= 10,
                Err(error) => {
                    return Side { store, pair: Err(error.to_string()), documents: count, bytes: 0.0 };
                }
            }
        }
    }

    /// Measures every side in turn, round after round: a disturbance of the machine hits all of them.
    fn alternate<const N: usize>(
        &self,
        sides: &mut [Side],
        lines: [(String, Unit); N],
        mut measure: impl FnMut(&mut Pair, usize, usize) -> Result<[f64; N], Failure>,
    ) -> Vec<Line> {
        let mut values: Vec<[Vec<f64>; N]> = sides.iter().map(|_| [const { Vec::new() }; N]).collect();
        for round in 0..self.rounds {
            for (side, values) in sides.iter_mut().zip(&mut values) {
                let Ok(pair) = &mut side.pair else { continue };
                let what = lines.first().map_or("", |(name, _)| name);
                self.step(format!("{}: {what}, round {} of {}", side.store.name, round + 1, self.rounds));
                match measure(pair, side.documents, round) {
                    Ok(measured) => {
                        for (values, value) in values.iter_mut().zip(measured) {
                            values.push(value);
                        }
                    }
                    Err(error) => side.pair = Err(error.to_string()),
                }
            }
        }
        let mut result = Vec::new();
        for (number, (name, unit)) in lines.into_iter().enumerate() {
            let rounds = values.iter_mut().map(|values| std::mem::take(&mut values[number]));
            result.push(line(name, unit, sides, rounds));
        }
        result
    }
}

/// A line with the rounds of each side.
fn line(name: String, unit: Unit, sides: &[Side], rounds: impl Iterator<Item = Vec<f64>>) -> Line {
    let most = sides.iter().map(|side| side.documents).max();
    let cells = sides.iter().zip(rounds).map(|(side, rounds)| Cell {
        store: side.store.name,
        value: None,
        ratio: None,
        rounds,
        documents: Some(side.documents).filter(|documents| Some(*documents) != most),
        failure: side.pair.as_ref().err().cloned(),
    });
    Line::new(name, unit, cells.collect())
}

fn input<T: Serialize>(documents: &[T], id: impl Fn(&T) -> &String) -> Result<Input, Failure> {
    let mut file = NamedTempFile::new()?;
    let mut writer = BufWriter::new(file.as_file_mut());
    for document in documents {
        serde_json::to_writer(&mut writer, document)?;
        writeln!(writer)?;
    }
    writer.flush()?;
    drop(writer);
    let ids = documents.iter().map(id).cloned().collect();
    Ok(Input { file, ids, bytes: json_bytes(documents)? / documents.len().max(1) })
}

/// Rate, memory and bytes of a first sync.
fn first_sync(context: &Context, sides: &mut [Side], input: &Input) -> Vec<Line> {
    let name = format!("first sync of {} documents of {} B", input.ids.len(), input.bytes);
    let limit = context.limit * 2;
    let titles = [
        (format!("{name}, documents"), Unit::PerSecond),
        (format!("{name}, peak memory of who receives"), Unit::Bytes),
    ];
    let mut lines = context.alternate(sides, titles, |pair, count, _| pair.first_sync(count, limit));
    let bytes = sides.iter().map(|side| match side.pair {
        Ok(_) => vec![side.bytes / side.documents as f64],
        Err(_) => Vec::new(),
    });
    let bytes: Vec<_> = bytes.collect();
    lines.insert(1, line(format!("{name}, bytes a document"), Unit::Bytes, sides, bytes.into_iter()));
    lines
}

fn of_small_documents(context: &Context) -> Result<Vec<Line>, Failure> {
    let input = input(&small_documents(11, context.scaled(10_000)), |document| &document.id)?;
    let mut sides = context.sides(&input);
    Ok(first_sync(context, &mut sides, &input))
}

fn of_a_large_collection(context: &Context) -> Result<Vec<Line>, Failure> {
    let input = input(&documents(14, context.scaled(100_000)), |document| &document.id)?;
    let mut sides = context.sides(&input);
    let mut lines = first_sync(context, &mut sides, &input);
    let titles = [
        ("resync of 1 % changed".to_owned(), Unit::Milliseconds),
        ("resync of 1 % changed, bytes".to_owned(), Unit::Bytes),
        ("resync of 1 % changed, peak memory of who comes back".to_owned(), Unit::Bytes),
    ];
    lines.extend(context.alternate(&mut sides, titles, |pair, count, round| {
        let ids = input.ids.iter().take(count).skip(round).step_by(100).cloned().collect();
        pair.resync(ids)
    }));
    let titles = [("reconnect unchanged, bytes".to_owned(), Unit::Bytes)];
    lines.extend(context.alternate(&mut sides, titles, |pair, _, _| pair.reconnect()));
    Ok(lines)
}

fn of_changes(context: &Context) -> Result<Vec<Line>, Failure> {
    let input = input(&documents(12, 1_000), |document| &document.id)?;
    let changes = context.scaled(200).min(200);
    let mut sides = context.sides(&input);
    let titles = ["small change, p50", "small change, p99", "of this, a command and its answer, p50"];
    let titles = titles.map(|title| (title.to_owned(), Unit::Milliseconds));
    let mut lines = context.alternate(&mut sides, titles, |pair, _, _| pair.latency(&input.ids, changes));
    let titles = [("small change, bytes".to_owned(), Unit::Bytes)];
    lines.extend(context.alternate(&mut sides, titles, |pair, _, _| pair.change_bytes(&input.ids, changes)));
    Ok(lines)
}
