use std::path::PathBuf;

use clap::Parser;

/// Two peers load, sync and merge real data.
#[derive(Debug, Parser)]
#[command(name = "quickstart", version)]
pub struct Arguments {
    /// Documents to load: a file of one JSON object a line, may be gzipped. A broken file loads nothing
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/places.jsonl"))]
    pub input: PathBuf,

    /// Keep the two databases in this directory; a second run resumes from them
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,

    /// The live query that runs on B meanwhile
    #[arg(
        long,
        value_name = "SELECT",
        default_value = "SELECT name FROM places WHERE country = 'JP' ORDER BY name"
    )]
    pub watch: String,
}
