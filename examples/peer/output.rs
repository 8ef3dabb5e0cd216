//! Rows as JSON lines. Several threads write, a line at a time.

use std::io::{self, BufWriter, Write};

use dittolive_ditto::dql::QueryResult;
use serde_json::json;

/// Every row on a line of its own.
pub fn rows(result: &QueryResult) -> io::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    for row in result {
        writeln!(output, "{}", row.json_string())?;
    }
    output.flush()
}

/// The result of an observed query on one line: `{"observe": query, "rows": [row, …]}`.
pub fn observed(query: &str, result: &QueryResult) -> io::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    write!(output, "{{\"observe\":{},\"rows\":[", json!(query))?;
    for (position, row) in result.iter().enumerate() {
        write!(output, "{}{}", if position == 0 { "" } else { "," }, row.json_string())?;
    }
    writeln!(output, "]}}")?;
    output.flush()
}
