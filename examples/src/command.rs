//! What a line of input asks a peer for.

use std::path::PathBuf;

/// A line of input.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// An empty line or a comment.
    Nothing,
    /// A DQL statement.
    Execute(String),
    /// `.subscribe QUERY`
    Subscribe(String),
    /// `.observe QUERY`
    Observe(String),
    /// `.import FILE COLLECTION`
    Import(PathBuf, String),
    /// `.peers`
    Peers,
    /// `.stats`
    Stats,
    /// `.help`
    Help,
    /// `.quit`
    Quit,
}

/// What `.help` prints.
pub const HELP: &str = "\
DQL statement             run it; rows come as JSON, one a line
-- text                   a comment
.subscribe SELECT …       ask other peers for these documents, now and from now on
.observe SELECT …         print the result now and whenever it changes
.import FILE COLLECTION   import a file of one JSON object a line, may be gzipped;
                          a broken file imports nothing, documents that exist stay as they are
.peers                    the other peers and whether they are connected
.stats                    bytes and documents sent and received by peer, and where this peer listens
.help                     this text
.quit                     end, as does the end of the input";

impl Command {
    /// Reads a line.
    ///
    /// # Errors
    /// When a line begins with a dot and is none of the commands.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with("--") {
            return Ok(Self::Nothing);
        }
        if !line.starts_with('.') {
            return Ok(Self::Execute(line.to_owned()));
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match (name, rest.is_empty()) {
            (".subscribe" | ".observe", true) => {
                Err(format!("{name} needs a query: {name} SELECT * FROM places"))
            }
            (".subscribe", false) => Ok(Self::Subscribe(rest.to_owned())),
            (".observe", false) => Ok(Self::Observe(rest.to_owned())),
            (".import", _) => match rest.rsplit_once(char::is_whitespace) {
                Some((file, collection)) => Ok(Self::Import(file.trim().into(), collection.to_owned())),
                None => Err(".import needs a file and a collection: .import places.jsonl places".to_owned()),
            },
            (".peers", true) => Ok(Self::Peers),
            (".stats", true) => Ok(Self::Stats),
            (".help", true) => Ok(Self::Help),
            (".quit" | ".exit", true) => Ok(Self::Quit),
            (".peers" | ".stats" | ".help" | ".quit" | ".exit", false) => {
                Err(format!("{name} takes nothing more"))
            }
            _ => Err(format!("there is no command {name}; .help lists them")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_statements_commands_or_nothing() {
        let parse = |line| Command::parse(line).unwrap();
        assert_eq!(parse("  "), Command::Nothing);
        assert_eq!(parse("-- a comment"), Command::Nothing);
        assert_eq!(parse(" SHOW ALL "), Command::Execute("SHOW ALL".to_owned()));
        assert_eq!(parse(".observe  SELECT 1"), Command::Observe("SELECT 1".to_owned()));
        assert_eq!(parse(".import a b.jsonl c"), Command::Import("a b.jsonl".into(), "c".to_owned()));
        assert_eq!(parse(".quit"), Command::Quit);
    }

    #[test]
    fn wrong_commands_say_what_is_missing() {
        for (line, expected) in [
            (".subscribe", "needs a query"),
            (".import x", "needs a file and a collection"),
            (".peers now", "takes nothing more"),
            (".nothing", ".help"),
        ] {
            let error = Command::parse(line).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
