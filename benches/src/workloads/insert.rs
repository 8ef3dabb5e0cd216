//! Inserting documents.

use std::time::Instant;

use serde::Serialize;
use tempfile::tempdir;

use super::Context;
use crate::Failure;
use crate::documents::{Document, documents};
use crate::line::{Budget, Line, rate};
use crate::measure::{alternate, timed};
use crate::ours::Peer;
use crate::sqlite::Sqlite;

/// Documents of ~300 B, 1,000 a transaction, with one index; each repetition into an empty database.
pub fn batches(context: &Context) -> Result<Vec<Line>, Failure> {
    let documents = documents(1, context.scaled(100_000));
    let mut indexed = true;
    let (ours, peer) = alternate(
        |repetition| {
            context.step(format!("ours, repetition {repetition}"));
            let directory = tempdir()?;
            let peer = Peer::open(directory.path())?;
            indexed = peer.create_index();
            timed(|| peer.insert_batches(&documents))
        },
        |repetition| {
            context.step(format!("SQLite, repetition {repetition}"));
            let directory = tempdir()?;
            let mut sqlite = Sqlite::open(directory.path())?;
            timed(|| sqlite.insert_batches(&documents))
        },
    )?;
    let name = if indexed { "batch insert" } else { "batch insert (ours without the index)" };
    let line = Line::rate(name, documents.len(), ours).against(rate(documents.len(), peer));
    Ok(vec![line.within(Budget::RatioAtLeast(1.5))])
}

#[derive(Serialize)]
struct One<'a> {
    doc: &'a Document,
}

/// One document a statement, each commit safe from a crash of the process.
pub fn single(context: &Context) -> Result<Vec<Line>, Failure> {
    let documents = documents(2, context.scaled(20_000));
    let (ours, peer) = alternate(
        |repetition| {
            context.step(format!("ours, repetition {repetition}"));
            let directory = tempdir()?;
            let peer = Peer::open(directory.path())?;
            peer.create_index();
            timed(|| {
                for doc in &documents {
                    peer.execute_with("INSERT INTO c DOCUMENTS (:doc)", One { doc })?;
                }
                Ok(())
            })
        },
        |repetition| {
            context.step(format!("SQLite, repetition {repetition}"));
            let directory = tempdir()?;
            let sqlite = Sqlite::open(directory.path())?;
            let mut insert = sqlite.connection.prepare("INSERT INTO c (id, body) VALUES (?1, ?2)")?;
            let start = Instant::now();
            for document in &documents {
                insert.execute((&document.id, serde_json::to_string(document)?))?;
            }
            Ok(start.elapsed())
        },
    )?;
    let line = Line::rate("single insert", documents.len(), ours).against(rate(documents.len(), peer));
    Ok(vec![line.within(Budget::RatioAtLeast(4.0))])
}
