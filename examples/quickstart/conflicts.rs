//! The same documents edited on both peers while they are apart, and what becomes of them.

use std::{error::Error, thread, time::Duration};

use dittolive_ditto::prelude::*;
use futures::executor::block_on;
use serde::Deserialize;
use serde_json::json;

use crate::{output::say, pair::Pair};

/// Between one edit and the next.
const A_MOMENT: Duration = Duration::from_millis(2);

/// An edit on each peer, A first, and what is to come of them.
struct Case {
    title: &'static str,
    on_a: &'static str,
    on_b: &'static str,
    outcome: &'static str,
}

const CASES: [Case; 3] = [
    Case {
        title: "different fields",
        on_a: "UPDATE places SET visited = true WHERE _id = :id",
        on_b: "UPDATE places SET rating = 5 WHERE _id = :id",
        outcome: "each field is a register of its own: both edits stand",
    },
    Case {
        title: "the same field",
        on_a: "UPDATE places SET nickname = 'written on A' WHERE _id = :id",
        on_b: "UPDATE places SET nickname = 'written on B, later' WHERE _id = :id",
        outcome: "the later write wins, on both peers",
    },
    Case {
        title: "a delete against an update",
        on_a: "DELETE FROM places WHERE _id = :id",
        on_b: "UPDATE places SET nickname = 'still here' WHERE _id = :id",
        outcome: "the delete wins, and never leaves half a document",
    },
];

/// Which fields tell what happened.
const EDITED: &str = "SELECT visited, rating, nickname FROM places WHERE _id = :id";

/// The documents that were edited.
pub struct Conflicts(Vec<Document>);

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "_id")]
    id: CborValue,
    name: Option<CborValue>,
}

impl Conflicts {
    /// Makes the edits, while nobody is connected.
    pub fn edit(pair: &Pair) -> Result<Self, Box<dyn Error>> {
        let found =
            block_on(pair.a.store().execute(format!("SELECT _id, name FROM places LIMIT {}", CASES.len())))?;
        let documents =
            found.iter().map(|row| row.deserialize_value()).collect::<Result<Vec<Document>, _>>()?;
        for (document, case) in documents.iter().zip(&CASES) {
            say!("   {} ({}): {}", document.title(), document.id(), case.title)?;
            for (name, ditto, statement) in [("A", &pair.a, case.on_a), ("B", &pair.b, case.on_b)] {
                say!("     on {name}: {statement}")?;
                block_on(ditto.store().execute((statement, json!({"id": document.id}))))?;
                // Clocks count milliseconds; people are slower than that, so "later" is to mean something here too.
                thread::sleep(A_MOMENT);
            }
        }
        Ok(Self(documents))
    }

    /// Whether every edit has arrived at the other peer.
    pub fn are_merged(&self, pair: &Pair) -> Result<bool, DittoError> {
        for document in &self.0 {
            if document.edited(&pair.a)? != document.edited(&pair.b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Prints how each conflict merged.
    pub fn print(&self, pair: &Pair) -> Result<(), Box<dyn Error>> {
        for (document, case) in self.0.iter().zip(&CASES) {
            let (a, b) = (document.edited(&pair.a)?, document.edited(&pair.b)?);
            say!("   {}, {}: {}", document.title(), case.title, case.outcome)?;
            say!("     now on A: {a}")?;
            say!("     now on B: {b}")?;
            if a != b {
                return Err("the two peers disagree".into());
            }
        }
        Ok(())
    }
}

impl Document {
    fn id(&self) -> String {
        self.id.as_str().map_or_else(|| format!("{:?}", self.id), str::to_owned)
    }

    fn title(&self) -> &str {
        self.name.as_ref().and_then(CborValueGetters::as_str).unwrap_or("a document")
    }

    fn edited(&self, ditto: &Ditto) -> Result<String, DittoError> {
        let rows = block_on(ditto.store().execute((EDITED, json!({"id": self.id}))))?;
        Ok(rows.get_item(0).map_or_else(|| "deleted".to_owned(), |row| row.json_string()))
    }
}
