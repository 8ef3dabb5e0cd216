//! What happened, line by line, for whoever looks for a bug.

/// Collects lines, or nothing: writing them down costs more than what they tell of.
#[derive(Debug, Default)]
pub struct Trace {
    kept: bool,
    lines: Vec<String>,
}

impl Trace {
    /// A trace that keeps its lines, or does not.
    #[must_use]
    pub fn new(kept: bool) -> Self {
        Self { kept, lines: Vec::new() }
    }

    /// Adds a line, which is made only if it is kept.
    pub fn note(&mut self, milliseconds: u64, what: impl FnOnce() -> String) {
        if self.kept {
            self.lines.push(format!("{milliseconds:>8} {}", what()));
        }
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}
