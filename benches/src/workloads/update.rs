//! Changing documents.

use serde::Serialize;

use super::Context;
use super::pair::Filled;
use crate::Failure;
use crate::documents::{POPULATIONS, Random};
use crate::line::{Budget, Line, rate};
use crate::measure::{alternate, timed};

#[derive(Serialize)]
struct Change<'a> {
    id: &'a str,
    value: u64,
}

/// One field of one document, chosen by `_id`, a statement; the field is the indexed one.
pub fn field(context: &Context) -> Result<Vec<Line>, Failure> {
    let filled = Filled::new(context, 3, context.scaled(20_000))?;
    let changes: Vec<Change<'_>> = {
        let mut random = Random::new(30);
        let change = |number: usize| {
            let document = filled.documents.get(random.index(filled.documents.len()));
            // Different from what any earlier change of the same document wrote.
            document.map(|document| Change { id: &document.id, value: POPULATIONS + number as u64 })
        };
        (0..context.scaled(20_000)).filter_map(change).collect()
    };
    let (ours, peer) = alternate(
        |repetition| {
            context.step(format!("ours, repetition {repetition}"));
            timed(|| {
                for Change { id, value } in &changes {
                    let value = value + repetition as u64 * POPULATIONS;
                    filled.ours.execute_with(
                        "UPDATE c SET population = :value WHERE _id = :id",
                        Change { id, value },
                    )?;
                }
                Ok(())
            })
        },
        |repetition| {
            context.step(format!("SQLite, repetition {repetition}"));
            let mut update = filled
                .sqlite
                .connection
                .prepare("UPDATE c SET body = json_set(body, '$.population', ?2) WHERE id = ?1")?;
            timed(|| {
                for Change { id, value } in &changes {
                    let value = i64::try_from(value + repetition as u64 * POPULATIONS)?;
                    update.execute((id, value))?;
                }
                Ok(())
            })
        },
    )?;
    let line = Line::rate("update of one field", changes.len(), ours).against(rate(changes.len(), peer));
    Ok(vec![line.within(Budget::RatioAtLeast(2.0))])
}
