//! An open peer and the commands it runs.

use std::{env, error::Error, path::Path, sync::Arc, time::Instant};

use ditto_examples::{
    command::{Command, HELP},
    import::import,
};
use dittolive_ditto::{dql::StoreObserver, prelude::*};
use futures::executor::block_on;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{arguments::Arguments, output};

/// Shown by `.peers`.
const PEERS: &str = "SELECT _id AS peer, documents.sync_session_status AS status FROM system:data_sync_info";
/// Shown by `.stats`.
const STATISTICS: [&str; 2] = ["SELECT * FROM system:data_sync_info", "SELECT * FROM system:transports_info"];

/// What a line may fail with.
type Failure = Box<dyn Error>;

/// A peer for as long as there is input.
pub struct Session {
    ditto: Ditto,
    /// An observer ends when it is dropped.
    observers: Vec<Arc<StoreObserver>>,
    /// Say on standard error what a person wants to know and a script does not.
    is_interactive: bool,
}

impl Session {
    /// Opens the peer, and starts to sync when there are addresses.
    pub fn open(arguments: &Arguments, is_interactive: bool) -> Result<Self, Failure> {
        // Without a key whoever knows the database id may connect: right for trying things out.
        let connect = DittoConfigConnect::SmallPeersOnly { private_key: None };
        let directory = env::current_dir()?.join(&arguments.dir);
        let config = DittoConfig::new(&arguments.database_id, connect).with_persistence_directory(directory);
        let ditto = Ditto::open_sync(config)?;
        if arguments.listen.is_some() || !arguments.connect.is_empty() {
            ditto.sync().start()?;
        }
        let mut transports = ditto.transport_config();
        transports.connect.tcp_servers = arguments.connect.iter().cloned().collect();
        if let Some((interface_ip, port)) = arguments.listen.clone() {
            transports.listen.tcp = TcpListenConfig { enabled: true, interface_ip, port };
        }
        let problems = ditto.try_set_transport_config(&transports)?;
        if !problems.is_empty() {
            return Err(problems.join("; ").into());
        }
        let session = Self { ditto, observers: Vec::new(), is_interactive };
        for socket in &block_on(session.ditto.store().execute("SELECT * FROM system:transports_info"))? {
            if let Some(address) = socket.value().get("value").and_then(|address| address.as_str()) {
                eprintln!("listening on {address}");
            }
        }
        session.say("Type a DQL statement, or .help");
        Ok(session)
    }

    /// Runs one line.
    pub fn run(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Nothing | Command::Quit => {}
            Command::Execute(statement) => self.execute(&statement)?,
            Command::Subscribe(query) => {
                self.ditto.sync().register_subscription(query)?;
            }
            Command::Observe(query) => self.observe(query)?,
            Command::Import(file, collection) => self.import(&file, &collection)?,
            Command::Peers => self.execute(PEERS)?,
            Command::Stats => STATISTICS.into_iter().try_for_each(|query| self.execute(query))?,
            Command::Help => eprintln!("{HELP}"),
        }
        Ok(())
    }

    /// Ends observers and sync, and unlocks the directory.
    pub fn close(self) {
        self.ditto.close();
    }

    fn execute(&self, statement: &str) -> Result<(), Failure> {
        let result = block_on(self.ditto.store().execute(statement))?;
        output::rows(&result)?;
        if result.commit_id().is_some() {
            self.say(&format!("{} documents changed", result.mutated_document_ids().len()));
        }
        Ok(())
    }

    fn observe(&mut self, query: String) -> Result<(), Failure> {
        let name = query.clone();
        let observer = self.ditto.store().register_observer(query, move |result| {
            if let Err(error) = output::observed(&name, &result) {
                eprintln!("error: a result could not be printed: {error}");
            }
        })?;
        self.observers.push(observer);
        Ok(())
    }

    fn import(&self, file: &Path, collection: &str) -> Result<(), Failure> {
        let bar = ProgressBar::new(0)
            .with_style(ProgressStyle::with_template("[{bar:40}] {percent:>3} % of the file")?);
        let started = Instant::now();
        let imported = import(self.ditto.store(), file, collection, |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.position);
        });
        bar.finish_and_clear();
        let imported = imported?;
        self.say(&format!(
            "{} documents imported in {:.2} s, {} were there already",
            imported.inserted,
            started.elapsed().as_secs_f64(),
            imported.documents - imported.inserted
        ));
        Ok(())
    }

    fn say(&self, text: &str) {
        if self.is_interactive {
            eprintln!("{text}");
        }
    }
}
