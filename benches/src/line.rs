//! One line of the report.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What was measured for one budget.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    workload: String,
    ours: Option<f64>,
    /// The other side, in the same unit.
    peer: Option<f64>,
    unit: Unit,
    /// Ours divided by the other side's.
    ratio: Option<f64>,
    budget: Option<Budget>,
    /// Whether the budget was met; absent if there is nothing to decide.
    met: Option<bool>,
    /// Why there is no value of ours.
    remark: Option<String>,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Documents or operations in a second.
    PerSecond,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// Things.
    Count,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// At least so many times the other side's value.
    RatioAtLeast(f64),
    /// At most so many times the other side's value.
    RatioAtMost(f64),
    /// At most this, in the unit of the line.
    AtMost(f64),
}

/// The names of the columns.
pub const fn header() -> &'static str {
    "workload\tours\tpeer\tratio\tbudget"
}

impl Line {
    /// A line without other side and budget; see the methods that add them.
    pub fn new(workload: impl Into<String>, ours: f64, unit: Unit) -> Self {
        Self {
            workload: workload.into(),
            ours: Some(ours),
            peer: None,
            unit,
            ratio: None,
            budget: None,
            met: None,
            remark: None,
        }
    }

    /// How often something was done in a second, given how long it took.
    pub fn rate(workload: impl Into<String>, count: usize, ours: Duration) -> Self {
        Self::new(workload, rate(count, ours), Unit::PerSecond)
    }

    /// A duration.
    pub fn time(workload: impl Into<String>, ours: Duration) -> Self {
        Self::new(workload, milliseconds(ours), Unit::Milliseconds)
    }

    /// A line for something that the database cannot do yet.
    pub fn not_yet(workload: impl Into<String>) -> Self {
        Self { ours: None, remark: Some("not yet".to_owned()), ..Self::new(workload, 0.0, Unit::PerSecond) }
    }

    /// A line for something that went wrong.
    pub fn failed(workload: impl Into<String>, reason: &str) -> Self {
        let reason = reason.replace(['\t', '\n'], " ");
        Self {
            ours: None,
            remark: Some(format!("failed: {reason}")),
            ..Self::new(workload, 0.0, Unit::PerSecond)
        }
    }

    /// Adds the other side's value.
    #[must_use]
    pub fn against(mut self, peer: f64) -> Self {
        self.peer = Some(peer);
        self.ratio = self.ours.map(|ours| ours / peer);
        self
    }

    /// Adds what is wanted.
    #[must_use]
    pub fn within(mut self, budget: Budget) -> Self {
        self.met = match budget {
            Budget::RatioAtLeast(bound) => self.ratio.map(|ratio| ratio >= bound),
            Budget::RatioAtMost(bound) => self.ratio.map(|ratio| ratio <= bound),
            Budget::AtMost(bound) => self.ours.map(|ours| ours <= bound),
        };
        self.budget = Some(budget);
        self
    }
}

/// So many in this time, in one second.
pub fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// A number of something for people, with a comma after each thousand.
pub fn grouped(count: usize) -> String {
    match count {
        0..1_000 => count.to_string(),
        _ => format!("{},{:03}", grouped(count / 1_000), count % 1_000),
    }
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Bytes if value >= 10_485_760.0 => format!("{:.1} MiB", value / 1_048_576.0),
            Self::Bytes if value >= 10_240.0 => format!("{:.1} KiB", value / 1_024.0),
            Self::Bytes => format!("{value:.0} B"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dash = || "-".to_owned();
        let ours =
            self.ours.map(|value| self.unit.text(value)).or_else(|| self.remark.clone()).unwrap_or_else(dash);
        let peer = self.peer.map_or_else(dash, |value| self.unit.text(value));
        let ratio = self.ratio.map_or_else(dash, |ratio| format!("{ratio:.2}"));
        let budget = match self.budget {
            None => dash(),
            Some(Budget::RatioAtLeast(bound)) => format!(">= {bound} x"),
            Some(Budget::RatioAtMost(bound)) => format!("<= {bound} x"),
            Some(Budget::AtMost(bound)) => format!("<= {}", self.unit.text(bound)),
        };
        let verdict = match self.met {
            None => "",
            Some(true) => " (met)",
            Some(false) => " (missed)",
        };
        write!(formatter, "{}\t{ours}\t{peer}\t{ratio}\t{budget}{verdict}", self.workload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_both_sides_their_ratio_and_the_verdict() {
        let line = Line::rate("insert", 300, Duration::from_secs(2))
            .against(100.0)
            .within(Budget::RatioAtLeast(1.5));
        assert_eq!(line.to_string(), "insert\t150/s\t100/s\t1.50\t>= 1.5 x (met)");
        let line = Line::time("open", Duration::from_millis(120)).within(Budget::AtMost(100.0));
        assert_eq!(line.to_string(), "open\t120.00 ms\t-\t-\t<= 100.00 ms (missed)");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let numbers = [0, 999, 1_000, 171_000, 1_710_000, 10_000_001];
        let expected = ["0", "999", "1,000", "171,000", "1,710,000", "10,000,001"];
        assert_eq!(numbers.map(grouped), expected);
    }

    #[test]
    fn what_did_not_run_has_neither_value_nor_verdict() {
        let line = Line::not_yet("indexed range").within(Budget::RatioAtLeast(1.0));
        assert_eq!(line.to_string(), "indexed range\tnot yet\t-\t-\t>= 1 x");
        assert_eq!(Line::failed("x", "a\tb\nc").to_string(), "x\tfailed: a b c\t-\t-\t-");
    }
}
