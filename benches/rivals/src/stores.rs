//! What is compared.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ditto_rivals::Failure;

/// A store, and how it is set up here.
pub struct Store {
    pub name: &'static str,
    program: Program,
    /// What has to be known to judge its numbers.
    pub settings: &'static str,
}

enum Program {
    /// A program of this workspace, and the package that it is about.
    Rust { file: &'static str, package: &'static str },
    /// A script for Node.js, and the package that it is about.
    Node { script: &'static str, package: &'static str },
}

/// Ours comes first.
pub const STORES: &[Store] = &[
    Store {
        name: "ours",
        program: Program::Rust { file: "peer-ours", package: "dittolive-ditto" },
        settings: "SDK over the C library; on disk; nothing is told before it is synced to disk, what arrives is synced \
                   within 100 ms and before it is acknowledged; TCP with TLS",
    },
    Store {
        name: "pouchdb",
        program: Program::Node { script: "peer.js", package: "pouchdb-core" },
        settings: "LevelDB on disk, never synced (the adapter has no such option); CouchDB's protocol, live, \
                   express-pouchdb as the server; batches of 1,000 documents instead of 100; HTTP without TLS",
    },
    Store {
        name: "automerge",
        program: Program::Rust { file: "peer-automerge", package: "automerge" },
        settings: "the collection is one document in memory, 1,000 documents a change when loaded; the library's sync \
                   protocol; each message or change is appended to a file and synced; TCP without TLS",
    },
    Store {
        name: "loro",
        program: Program::Rust { file: "peer-loro", package: "loro" },
        settings: "the collection is one document in memory; versions and updates as messages of this benchmark; each \
                   message or change is appended to a file and synced; TCP without TLS",
    },
    Store {
        name: "iroh-docs",
        program: Program::Rust { file: "peer-iroh-docs", package: "iroh-docs" },
        settings: "an entry a document, its JSON as a blob; on disk, both stores commit and sync within 500 ms; live \
                   sync with gossip; QUIC with TLS",
    },
];

impl Store {
    /// How to start a peer of it; the sentence says why that cannot be.
    pub fn command(&self) -> Result<Command, Failure> {
        let mut command = match &self.program {
            Program::Rust { file, .. } => {
                let program = std::env::current_exe()?.with_file_name(file);
                Command::new(there(program)?)
            }
            Program::Node { script, .. } => {
                there(node_directory().join("node_modules"))?;
                let mut command = Command::new("node");
                command.arg(node_directory().join(script)).env("NODE_ENV", "production");
                command
            }
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Ok(command)
    }

    /// The version of its package.
    pub fn version(&self) -> Result<String, Failure> {
        let unknown = || format!("no version of {} is known", self.name);
        match &self.program {
            Program::Rust { package, .. } => {
                let entry = format!("name = \"{package}\"\nversion = \"");
                let (_, rest) = include_str!("../Cargo.lock").split_once(&entry).ok_or_else(unknown)?;
                Ok(rest.split('"').next().unwrap_or_default().to_owned())
            }
            Program::Node { package, .. } => {
                let file = node_directory().join("node_modules").join(package).join("package.json");
                let package: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
                Ok(package
                    .get("version")
                    .and_then(|version| version.as_str())
                    .ok_or_else(unknown)?
                    .to_owned())
            }
        }
    }
}

fn node_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pouchdb")
}

fn there(path: PathBuf) -> Result<PathBuf, Failure> {
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is not there; benches/rivals/run makes it, or says why it cannot", path.display())
            .into())
    }
}
