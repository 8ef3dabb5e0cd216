use std::path::PathBuf;

use clap::Parser;
use ditto_examples::address;

const AFTER_HELP: &str = "\
Type .help at the prompt, or pipe it in, for the commands.
The peer ends with its input. One that only serves others: tail -f /dev/null | peer --dir DIR --listen IP:PORT";

/// One peer: DQL lines on standard input, rows as JSON lines on standard output
#[derive(Debug, Parser)]
#[command(name = "peer", version, after_help = AFTER_HELP)]
pub struct Arguments {
    /// Where the documents live; created if absent
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,

    /// Accept other peers here; port 0 is any free port, and the real one is printed
    #[arg(long, value_name = "IP:PORT", value_parser = address::to_listen_on)]
    pub listen: Option<(String, u16)>,

    /// Connect to a peer there; may be given several times
    #[arg(long, value_name = "HOST:PORT", value_parser = address::to_connect_to)]
    pub connect: Vec<String>,

    /// Only peers with the same id, letter case aside, talk to each other
    #[arg(long, value_name = "ID", default_value = "playground")]
    pub database_id: String,
}
