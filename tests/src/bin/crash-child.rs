//! One peer in a process of its own that writes until it is killed, for the crash loop.
//!
//! `crash-child DIRECTORY DATABASE_ID SEED STEP…` opens the database through the SDK, says `ready`, and lets one writer
//! for each STEP go on with its [`story`] from there, all at once. A writer says `done WRITER STEP [EVICTED…]` when
//! a step is acknowledged, and `failed WRITER STEP WHY` when the database refused it. At the end of standard input the
//! writers finish the step that they are in, and the process closes the database and says `closed`.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ditto_tests::story;
use dittolive_ditto::dql::QueryResult;
use dittolive_ditto::prelude::*;
use futures::executor::block_on;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |name: &str| arguments.next().ok_or_else(|| format!("{name} is missing"));
    let (directory, database_id) = (argument("DIRECTORY")?, argument("DATABASE_ID")?);
    let seed: u64 = argument("SEED")?.parse()?;
    let steps: Vec<u64> = arguments.map(|step| step.parse()).collect::<Result<_, _>>()?;

    let config = DittoConfig::new(database_id, DittoConfigConnect::SmallPeersOnly { private_key: None })
        .with_persistence_directory(directory);
    let ditto = Ditto::open_sync(config)?;
    say("ready")?;

    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..)
            .zip(&steps)
            .map(|(writer, first)| {
                let (ditto, ended) = (&ditto, &ended);
                scope.spawn(move || write(ditto, seed, writer, *first, ended))
            })
            .collect();
        // The end of the input is what matters, whatever comes before it.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        ended.store(true, Ordering::Relaxed);
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
    })?;
    ditto.close();
    say("closed")?;
    Ok(())
}

fn write(ditto: &Ditto, seed: u64, writer: u64, first: u64, ended: &AtomicBool) -> Result<(), Failure> {
    for number in first.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        match perform(ditto, &story::step(seed, writer, number)) {
            Ok(evicted) => {
                let evicted: String = evicted.iter().map(|id| format!(" {id}")).collect();
                say(&format!("done {writer} {number}{evicted}"))?;
            }
            Err(error) => say(&format!("failed {writer} {number} {error}"))?,
        }
    }
    Ok(())
}

/// Does a step. Returns the ids that it evicted.
fn perform(ditto: &Ditto, step: &story::Step) -> Result<Vec<String>, Failure> {
    if !step.is_transaction {
        let mut evicted = Vec::new();
        for statement in &step.statements {
            let query = (statement.text.as_str(), statement.arguments.clone());
            evicted.extend(evicted_by(statement, &block_on(ditto.store().execute(query))?));
        }
        return Ok(evicted);
    }
    block_on(ditto.store().transaction(async |transaction| {
        let mut evicted = Vec::new();
        for statement in &step.statements {
            let query = (statement.text.as_str(), statement.arguments.clone());
            evicted.extend(evicted_by(statement, &transaction.execute(query).await?));
        }
        if step.rolls_back { Err("rolled back on purpose".into()) } else { Ok(evicted) }
    }))
}

fn evicted_by(statement: &story::Statement, result: &QueryResult) -> Vec<String> {
    if !statement.evicts() {
        return Vec::new();
    }
    result.mutated_document_ids().iter().map(DocumentId::to_string).collect()
}

/// One `write(2)`, so that a line is said or not.
fn say(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(format!("{text}\n").as_bytes())?;
    output.flush()
}
