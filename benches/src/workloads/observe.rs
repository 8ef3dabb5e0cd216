//! Observers.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tempfile::tempdir;

use super::Context;
use crate::Failure;
use crate::documents::documents;
use crate::line::{Budget, Line, milliseconds};
use crate::measure::Latencies;
use crate::ours::Peer;

#[derive(Serialize)]
struct Observed<'a> {
    country: &'a str,
}

#[derive(Serialize)]
struct Change<'a> {
    id: &'a str,
    value: u64,
}

#[derive(Deserialize)]
struct Row {
    population: u64,
}

/// From the call of an UPDATE to the callback of an observer with a filter, an order and a limit, in a collection of
/// 100,000 documents. The commit is in it: SQLite has nothing to compare.
pub fn commit_to_callback(context: &Context) -> Result<Vec<Line>, Failure> {
    context.step("filling the database");
    let documents = documents(7, context.scaled(100_000));
    let directory = tempdir()?;
    let peer = Peer::with(directory.path(), &documents)?;
    let Some(target) = documents.first() else { return Ok(Vec::new()) };

    let statement = "SELECT * FROM c WHERE country = :country ORDER BY population DESC LIMIT 10";
    let greatest = |result: &dittolive_ditto::dql::QueryResult| {
        result.get_item(0).and_then(|item| item.deserialize_value::<Row>().ok()).map(|row| row.population)
    };
    let observation = peer.observe(statement, Observed { country: target.country }, greatest)?;
    observation.wait_for(Option::is_some)?;
    let mut latencies = Latencies::default();
    context.step("changing documents");
    for number in 0..context.scaled(1_000) {
        let value = 2_000_000 + number as u64;
        let start = Instant::now();
        peer.execute_with(
            "UPDATE c SET population = :value WHERE _id = :id",
            Change { id: &target.id, value },
        )?;
        let (called, _) = observation.wait_for(|population| *population == Some(value))?;
        latencies.push(called - start);
    }
    Ok(vec![
        Line::time("observer, commit to callback, p50", latencies.percentile(50)),
        Line::new(
            "observer, commit to callback, p99",
            milliseconds(latencies.percentile(99)),
            crate::line::Unit::Milliseconds,
        )
        .within(Budget::AtMost(2.0)),
    ])
}
