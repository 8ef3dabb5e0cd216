//! A live query: B reports what arrives while it arrives.

use std::sync::{
    Arc,
    mpsc::{Receiver, channel},
};

use dittolive_ditto::{
    dql::{Differ, QueryResult, StoreObserver},
    prelude::*,
};

/// So many rows of a result are shown.
const SHOWN: usize = 3;

/// A running live query. Its reports wait until somebody prints them, so that they do not cut through a progress bar.
pub struct Watch {
    reports: Receiver<String>,
    /// Dropping it ends the query.
    _observer: Arc<StoreObserver>,
}

impl Watch {
    pub fn start(ditto: &Ditto, query: &str) -> Result<Self, DittoError> {
        let (sender, reports) = channel();
        let differ = Differ::new();
        let observer = ditto.store().register_observer(query, move |result| {
            // The other end is gone when the program ends; then nobody wants to know.
            let _ = sender.send(report(&result, &differ));
        })?;
        Ok(Self { reports, _observer: observer })
    }

    /// The reports since the last call.
    pub fn reports(&self) -> impl Iterator<Item = String> {
        self.reports.try_iter()
    }
}

fn report(result: &QueryResult, differ: &Differ) -> String {
    let diff = differ.diff(result);
    let mut text = format!("live query on B: {} rows", result.item_count());
    let mut new: Vec<usize> = diff.insertions.into_iter().collect();
    if new.len() == result.item_count() && new.is_empty() {
        return text;
    }
    new.sort_unstable();
    text.push_str(&format!(", {} new", new.len()));
    for (position, index) in new.iter().take(SHOWN).enumerate() {
        text.push_str(if position == 0 { ": " } else { ", " });
        text.push_str(&result.get_item(*index).map(|row| row.json_string()).unwrap_or_default());
    }
    if new.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
