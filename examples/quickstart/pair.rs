//! Two peers of one database.

use std::{env, error::Error, fs, num::NonZeroU64, path::Path};

use dittolive_ditto::prelude::*;
use futures::executor::block_on;
use serde_json::json;

/// Only peers with the same id sync with each other.
const DATABASE_ID: &str = "quickstart";
/// One document a run; nobody subscribes to it.
const START_RUN: &str = "INSERT INTO quickstart_runs DOCUMENTS (:run)";

/// The peers A and B, and where they live.
pub struct Pair {
    pub a: Ditto,
    pub b: Ditto,
    /// Removed with the peers, after them.
    _root: Option<TempRoot>,
}

impl Pair {
    /// Opens both peers, in `directory` or in a temporary one.
    pub fn open(directory: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let root = directory.is_none().then(TempRoot::new);
        let directory = match (directory, &root) {
            (Some(directory), _) => env::current_dir()?.join(directory),
            (None, Some(root)) => root.root_path().to_owned(),
            (None, None) => return Err("no directory".into()),
        };
        fs::create_dir_all(&directory)
            .map_err(|error| format!("cannot use {}: {error}", directory.display()))?;
        Ok(Self { a: open(&directory.join("a"), "A")?, b: open(&directory.join("b"), "B")?, _root: root })
    }

    /// A listens on a free port of the loopback interface, B connects to it. Returns the address.
    pub fn go_online(&self) -> Result<String, Box<dyn Error>> {
        self.a.update_transport_config(|config| {
            config.listen.tcp =
                TcpListenConfig { enabled: true, interface_ip: "127.0.0.1".to_owned(), port: 0 };
        });
        self.a.sync().start()?;
        let sockets = block_on(
            self.a.store().execute("SELECT * FROM system:transports_info WHERE _id = 'listen_tcp'"),
        )?;
        let address =
            sockets.get_item(0).and_then(|row| Some(row.value().get("value")?.as_str()?.to_owned()));
        let address = address.ok_or("A does not listen")?;
        self.b.update_transport_config(|config| {
            config.connect.tcp_servers = [address.clone()].into();
        });
        self.b.sync().start()?;
        Ok(address)
    }

    /// Both close their connections; documents stay usable.
    pub fn go_offline(&self) {
        self.b.sync().stop();
        self.a.sync().stop();
    }

    /// Makes a commit on each peer. Whoever has acknowledged it holds all that was written before.
    pub fn commits(&self) -> Result<[Option<NonZeroU64>; 2], DittoError> {
        Ok([commit(&self.a)?, commit(&self.b)?])
    }

    pub fn close(self) {
        self.b.close();
        self.a.close();
    }
}

fn commit(ditto: &Ditto) -> Result<Option<NonZeroU64>, DittoError> {
    Ok(block_on(ditto.store().execute((START_RUN, json!({"run": {}}))))?.commit_id())
}

fn open(directory: &Path, name: &str) -> Result<Ditto, String> {
    // Without a key whoever knows the database id may connect: right for a demonstration, wrong for secrets.
    let connect = DittoConfigConnect::SmallPeersOnly { private_key: None };
    let config = DittoConfig::new(DATABASE_ID, connect).with_persistence_directory(directory);
    let ditto = Ditto::open_sync(config).map_err(|error| format!("{}: {error}", directory.display()))?;
    ditto.set_device_name(name);
    Ok(ditto)
}
