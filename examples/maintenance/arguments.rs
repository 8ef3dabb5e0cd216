use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

/// Looks after the database of a peer: verifies, copies or compacts it
#[derive(Debug, Parser)]
#[command(name = "maintenance", version)]
pub struct Arguments {
    /// Where the documents live
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,

    /// The id that the peer was opened with
    #[arg(long, value_name = "ID", default_value = "playground")]
    pub database_id: String,

    /// Give up after so many seconds; what the work has changed until then is sound
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub limit: Option<Duration>,

    #[command(subcommand)]
    pub work: Work,
}

#[derive(Debug, Subcommand)]
pub enum Work {
    /// Read everything and say what is wrong; the exit code is 1 if something is
    Verify,
    /// Copy the database as it is now to an empty directory, or a new one
    Backup {
        /// Where to
        target: PathBuf,
    },
    /// Give back the room that deleted and overwritten documents take
    Compact,
    /// Say what is in the collections, and what the files take
    Usage,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| "must be a whole number of seconds".to_owned())
}
