//! Opening a database.

use tempfile::tempdir;

use super::Context;
use crate::Failure;
use crate::documents::documents;
use crate::line::{Budget, Line, grouped, milliseconds};
use crate::measure::{alternate, timed};
use crate::ours::Peer;
use crate::sqlite::Sqlite;

/// How many documents the databases have that are opened, and that are synced, at scale 1.
pub const MANY: usize = 171_000;

/// From nothing to the first document read, after a clean close.
pub fn open(context: &Context) -> Result<Vec<Line>, Failure> {
    context.step("filling both databases");
    let documents = documents(8, context.scaled(MANY));
    let Some(first) = documents.first() else { return Ok(Vec::new()) };
    let directory = tempdir()?;
    drop(Peer::with(directory.path(), &documents)?);
    drop(Sqlite::with(directory.path(), &documents)?);
    let (ours, peer) = alternate(
        |repetition| {
            context.step(format!("ours, repetition {repetition}"));
            let mut peer = None;
            let time = timed(|| {
                let opened = peer.insert(Peer::open(directory.path())?);
                let result =
                    opened.execute_with("SELECT * FROM c WHERE _id = :id", ById { id: &first.id })?;
                if result.item_count() == 1 { Ok(()) } else { Err("a document is missing".into()) }
            });
            drop(peer);
            time
        },
        |repetition| {
            context.step(format!("SQLite, repetition {repetition}"));
            timed(|| {
                let sqlite = Sqlite::open(directory.path())?;
                let select = "SELECT body FROM c WHERE id = ?1";
                let _: String = sqlite.connection.query_row(select, [&first.id], |row| row.get(0))?;
                Ok(())
            })
        },
    )?;
    let name = format!("open with {} documents, and the first read", grouped(documents.len()));
    let line = Line::time(name, ours).against(milliseconds(peer));
    Ok(vec![line.within(Budget::AtMost(100.0))])
}

#[derive(serde::Serialize)]
struct ById<'a> {
    id: &'a str,
}
