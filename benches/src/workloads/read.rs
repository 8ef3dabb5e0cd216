//! Reading documents. Both sides hand every selected document to the application in encoded form: CBOR and JSON text.

use dittolive_ditto::dql::QueryResult;
use serde::Serialize;

use super::Context;
use super::pair::Filled;
use crate::Failure;
use crate::documents::{POPULATIONS, Random};
use crate::line::{Budget, Line, rate};
use crate::measure::{alternate, timed};

#[derive(Serialize)]
struct Id<'a> {
    id: &'a str,
}

/// Bytes of all rows of a result, as the application gets them, and how many there are.
fn consume(result: &QueryResult) -> (usize, usize) {
    result.iter().fold((0, 0), |(rows, bytes), item| (rows + 1, bytes + item.cbor_data().len()))
}

/// One document a statement.
pub fn by_id(context: &Context) -> Result<Vec<Line>, Failure> {
    let filled = Filled::new(context, 4, context.scaled(100_000))?;
    let mut random = Random::new(40);
    let ids: Vec<&str> = (0..context.scaled(50_000))
        .filter_map(|_| filled.documents.get(random.index(filled.documents.len())))
        .map(|document| document.id.as_str())
        .collect();
    let (ours, peer) = alternate(
        |repetition| {
            context.step(format!("ours, repetition {repetition}"));
            timed(|| {
                for id in &ids {
                    let result = filled.ours.execute_with("SELECT * FROM c WHERE _id = :id", Id { id })?;
                    let (rows, bytes) = consume(&result);
                    if rows != 1 || bytes == 0 {
                        return Err(format!("found {rows} documents with the id {id}").into());
                    }
                }
                Ok(())
            })
        },
        |repetition| {
            context.step(format!("SQLite, repetition {repetition}"));
            let mut select = filled.sqlite.connection.prepare("SELECT body FROM c WHERE id = ?1")?;
            timed(|| {
                for id in &ids {
                    let body: String = select.query_row([id], |row| row.get(0))?;
                    if body.is_empty() {
                        return Err(format!("found an empty document with the id {id}").into());
                    }
                }
                Ok(())
            })
        },
    )?;
    let line = Line::rate("select by _id", ids.len(), ours).against(rate(ids.len(), peer));
    Ok(vec![line.within(Budget::RatioAtLeast(1.0))])
}

#[derive(Serialize)]
struct Conditions {
    elevation: f64,
    country: &'static str,
}

/// Lets all but a few documents pass, so that both conditions are evaluated.
const CONDITIONS: Conditions = Conditions { elevation: 0.25, country: "PT" };

/// A statement of SQLite's that gives documents as text: how many, and their bytes.
fn consume_sqlite(
    statement: &mut rusqlite::Statement<'_>,
    arguments: impl rusqlite::Params,
) -> Result<(usize, usize), Failure> {
    let mut rows = statement.query(arguments)?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        let body: String = row.get(0)?;
        (count, bytes) = (count + 1, bytes + body.len());
    }
    Ok((count, bytes))
}

/// Two conditions without an index that would help; one document in fifty matches.
pub fn filtered_scan(context: &Context) -> Result<Vec<Line>, Failure> {
    const SCANS: usize = 10;
    let filled = Filled::new(context, 5, context.scaled(100_000))?;
    let (mut found, mut expected) = (0, 0);
    let (ours, peer) = alternate(
        |repetition| {
            context.step(format!("ours, repetition {repetition}"));
            timed(|| {
                for _ in 0..SCANS {
                    let statement = "SELECT * FROM c WHERE elevation > :elevation AND country = :country";
                    found = consume(&filled.ours.execute_with(statement, CONDITIONS)?).0;
                }
                Ok(())
            })
        },
        |repetition| {
            context.step(format!("SQLite, repetition {repetition}"));
            let mut select = filled.sqlite.connection.prepare(
                "SELECT body FROM c WHERE json_extract(body, '$.elevation') > ?1 AND json_extract(body, '$.country') = ?2",
            )?;
            timed(|| {
                for _ in 0..SCANS {
                    expected = consume_sqlite(&mut select, (CONDITIONS.elevation, CONDITIONS.country))?.0;
                }
                Ok(())
            })
        },
    )?;
    if found != expected {
        return Err(format!("found {found} documents, SQLite found {expected}").into());
    }
    let scanned = filled.documents.len() * SCANS;
    let line = Line::rate("filtered scan, documents", scanned, ours).against(rate(scanned, peer));
    Ok(vec![line.within(Budget::RatioAtLeast(1.0))])
}

#[derive(Serialize)]
struct Start {
    start: u64,
}

/// 100 documents in the order of an index, from anywhere in it.
pub fn indexed_range(context: &Context) -> Result<Vec<Line>, Failure> {
    let name = "indexed range, rows";
    let filled = Filled::new(context, 6, context.scaled(100_000))?;
    if !filled.indexed {
        return Ok(vec![Line::not_yet(name).within(Budget::RatioAtLeast(1.0))]);
    }
    let mut random = Random::new(60);
    let starts: Vec<u64> = (0..context.scaled(1_000)).map(|_| random.below(POPULATIONS / 2)).collect();
    let (mut found, mut expected) = (0, 0);
    let (ours, peer) = alternate(
        |repetition| {
            context.step(format!("ours, repetition {repetition}"));
            found = 0;
            timed(|| {
                for start in &starts {
                    let statement =
                        "SELECT * FROM c WHERE population >= :start ORDER BY population LIMIT 100";
                    found += consume(&filled.ours.execute_with(statement, Start { start: *start })?).0;
                }
                Ok(())
            })
        },
        |repetition| {
            context.step(format!("SQLite, repetition {repetition}"));
            let mut select = filled.sqlite.connection.prepare(
                "SELECT body FROM c WHERE json_extract(body, '$.population') >= ?1
                 ORDER BY json_extract(body, '$.population') LIMIT 100",
            )?;
            expected = 0;
            timed(|| {
                for start in &starts {
                    expected += consume_sqlite(&mut select, [i64::try_from(*start)?])?.0;
                }
                Ok(())
            })
        },
    )?;
    if found != expected {
        return Err(format!("found {found} rows, SQLite found {expected}").into());
    }
    let line = Line::rate(name, found, ours).against(rate(found, peer));
    Ok(vec![line.within(Budget::RatioAtLeast(1.0))])
}
