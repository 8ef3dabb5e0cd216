//! The table of results.

use std::fmt;

use serde::Serialize;

/// One line: the same measurement of every store.
#[derive(Debug, Serialize)]
pub struct Line {
    pub workload: String,
    pub unit: Unit,
    pub cells: Vec<Cell>,
}

/// What was measured of one store.
#[derive(Debug, Serialize)]
pub struct Cell {
    pub store: &'static str,
    /// The median of `rounds`.
    pub value: Option<f64>,
    /// Ours divided by this one's.
    pub ratio: Option<f64>,
    /// Of each round.
    pub rounds: Vec<f64>,
    /// How many documents there were, if fewer than for the others.
    pub documents: Option<usize>,
    /// Why there is no value.
    pub failure: Option<String>,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    PerSecond,
    Milliseconds,
    Bytes,
}

impl Line {
    /// Fills in medians and ratios.
    pub fn new(workload: String, unit: Unit, mut cells: Vec<Cell>) -> Self {
        for cell in &mut cells {
            cell.value = median(&cell.rounds);
        }
        let ours = cells.iter().find(|cell| cell.store == "ours").and_then(|cell| cell.value);
        for cell in cells.iter_mut().filter(|cell| cell.store != "ours") {
            cell.ratio = ours.zip(cell.value).map(|(ours, theirs)| ours / theirs);
        }
        Self { workload, unit, cells }
    }

    /// Whether every store has a value.
    pub fn complete(&self) -> bool {
        self.cells.iter().all(|cell| cell.value.is_some())
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Bytes if value >= 10_485_760.0 => format!("{:.1} MiB", value / 1_048_576.0),
            Self::Bytes if value >= 10_240.0 => format!("{:.1} KiB", value / 1_024.0),
            Self::Bytes => format!("{value:.0} B"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.workload)?;
        for cell in &self.cells {
            match (cell.value, &cell.failure) {
                (Some(value), _) => write!(formatter, "\t{}", self.unit.text(value))?,
                (None, Some(failure)) => {
                    write!(formatter, "\tfailed: {}", failure.replace(['\t', '\n'], " "))?
                }
                (None, None) => formatter.write_str("\t-")?,
            }
            if let Some(ratio) = cell.ratio {
                write!(formatter, " ({ratio:.2} x)")?;
            }
            if let Some(documents) = cell.documents {
                write!(formatter, " [{documents} documents]")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(store: &'static str, rounds: &[f64]) -> Cell {
        Cell { store, value: None, ratio: None, rounds: rounds.to_vec(), documents: None, failure: None }
    }

    #[test]
    fn a_line_has_medians_and_how_ours_relates_to_each() {
        let mut fewer = cell("slow", &[30.0, 10.0, 20.0]);
        fewer.documents = Some(100);
        let line = Line::new("sync".to_owned(), Unit::PerSecond, vec![cell("ours", &[40.0]), fewer]);
        assert_eq!(line.to_string(), "sync\t40/s\t20/s (2.00 x) [100 documents]");
        assert!(line.complete());
    }

    #[test]
    fn what_failed_says_why_and_is_not_complete() {
        let mut failed = cell("broken", &[]);
        failed.failure = Some("no\nidea".to_owned());
        let line = Line::new("sync".to_owned(), Unit::Bytes, vec![cell("ours", &[40.0]), failed]);
        assert_eq!(line.to_string(), "sync\t40 B\tfailed: no idea");
        assert!(!line.complete());
    }
}
