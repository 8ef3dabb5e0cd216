//! Observers.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tempfile::tempdir;

use super::Context;
use crate::Failure;
use crate::documents::documents;
use crate::line::{Budget, Line, milliseconds, rate};
use crate::measure::{Latencies, alternate, timed};
use crate::ours::Peer;

#[derive(Serialize)]
struct Id {
    id: String,
}

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

/// Observers of one collection where there are many.
const OBSERVERS: usize = 1_000;

/// What a write costs with observers of its collection, beside the same write without any. Those of other documents are
/// not to be asked; those of the whole collection, or of the document itself, are called while the writes go on, as often
/// as they manage.
pub fn writes_with_observers(context: &Context) -> Result<Vec<Line>, Failure> {
    let documents = documents(8, 100);
    let Some(target) = documents.first() else { return Ok(Vec::new()) };
    let one = "SELECT * FROM c WHERE _id = :id";
    let all = "SELECT * FROM c WHERE _id != :id";
    // Name, statement, whether it is about the document that is written, observers, least ratio.
    let cases = [
        ("update, 1 observer of another document", one, false, 1, 0.5),
        ("update, 1,000 observers of other documents", one, false, OBSERVERS, 0.5),
        ("update, 1,000 observers of one value", one, true, OBSERVERS, 0.05),
        ("update, 1,000 observers of the collection", all, false, OBSERVERS, 0.05),
    ];
    let mut lines = Vec::new();
    for (name, statement, is_target, observers, least) in cases {
        let id = |number: usize| if is_target { target.id.to_string() } else { format!("other {number}") };
        context.step(name.to_owned());
        let (observed, unobserved) = (tempdir()?, tempdir()?);
        let observed = Peer::with(observed.path(), &documents)?;
        let unobserved = Peer::with(unobserved.path(), &documents)?;
        let observations = (0..observers)
            .map(|number| observed.observe(statement, Id { id: id(number) }, |_| ()))
            .collect::<Result<Vec<_>, _>>()?;
        for observation in &observations {
            observation.wait_for(|()| true)?;
        }
        let count = context.scaled(10_000);
        let update = |peer: &Peer, repetition: usize| {
            timed(|| {
                for number in 0..count {
                    let change = Change { id: &target.id, value: (repetition * count + number) as u64 };
                    peer.execute_with("UPDATE c SET population = :value WHERE _id = :id", change)?;
                }
                Ok(())
            })
        };
        let (ours, without) = alternate(
            |repetition| update(&observed, repetition),
            |repetition| update(&unobserved, repetition),
        )?;
        let line = Line::rate(name, count, ours).against(rate(count, without));
        lines.push(line.within(Budget::RatioAtLeast(least)));
    }
    Ok(lines)
}
