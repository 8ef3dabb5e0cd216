//! Our side: peers, through the SDK.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc;

use dittolive_ditto::dql::QueryResult;
use dittolive_ditto::prelude::*;
use futures::executor::block_on;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::documents::BATCH;
use crate::measure::wait_until;

/// All peers of a run belong together.
const DATABASE_ID: &str = "0f7a1a4e-6d0c-4d0e-9a52-6a1b2f3c4d5e";

/// One open database.
pub struct Peer {
    ditto: Ditto,
}

/// The arguments of an INSERT of several documents.
#[derive(Serialize)]
struct Documents<'a, T> {
    docs: &'a [T],
}

impl Peer {
    /// Opens or creates the database in `directory`. Nothing is connected.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        let connect = DittoConfigConnect::SmallPeersOnly { private_key: None };
        let config = DittoConfig::new(DATABASE_ID, connect).with_persistence_directory(directory);
        let ditto = Ditto::open_sync(config)?;
        ditto.set_transport_config(TransportConfig::new());
        Ok(Self { ditto })
    }

    /// Opens a database and fills the collection `c`.
    pub fn with<T: Serialize>(directory: &Path, documents: &[T]) -> Result<Self, Failure> {
        let peer = Self::open(directory)?;
        peer.insert_batches(documents)?;
        Ok(peer)
    }

    pub fn execute(&self, statement: &str) -> Result<QueryResult, Failure> {
        Ok(block_on(self.ditto.store().execute(statement))?)
    }

    pub fn execute_with(&self, statement: &str, arguments: impl Serialize) -> Result<QueryResult, Failure> {
        Ok(block_on(self.ditto.store().execute((statement, arguments)))?)
    }

    /// Inserts documents into `c`, [`BATCH`] a statement.
    pub fn insert_batches<T: Serialize>(&self, documents: &[T]) -> Result<(), Failure> {
        for docs in documents.chunks(BATCH) {
            self.execute_with("INSERT INTO c DOCUMENTS (:docs)", Documents { docs })?;
        }
        Ok(())
    }

    /// Whether there is an index on `population` now; false if indexes do not exist yet.
    pub fn create_index(&self) -> bool {
        self.execute("CREATE INDEX IF NOT EXISTS c_population ON c (population)").is_ok()
    }

    /// How many documents `c` has.
    pub fn count(&self) -> Result<usize, Failure> {
        #[derive(serde::Deserialize)]
        struct Count {
            n: usize,
        }
        Ok(self.only_row::<Count>("SELECT COUNT(*) AS n FROM c")?.map_or(0, |row| row.n))
    }

    /// The first row of a result.
    pub fn only_row<T: DeserializeOwned>(&self, statement: &str) -> Result<Option<T>, Failure> {
        let result = self.execute(statement)?;
        Ok(result.get_item(0).map(|item| item.deserialize_value()).transpose()?)
    }

    /// Documents that arrived from other peers since the database was opened, if the engine counts them.
    pub fn documents_received(&self) -> Result<Option<usize>, Failure> {
        #[derive(serde::Deserialize)]
        struct Info {
            documents_received: Option<usize>,
        }
        let info = self.only_row::<Info>("SELECT * FROM system:data_sync_info")?;
        Ok(info.and_then(|info| info.documents_received))
    }

    /// Documents that arrived from all other peers since the database was opened, those that came again among them.
    pub fn all_documents_received(&self) -> Result<u64, Failure> {
        #[derive(serde::Deserialize)]
        struct Info {
            documents_received: u64,
        }
        let rows = self.execute("SELECT * FROM system:data_sync_info")?;
        let received = rows.iter().map(|row| Ok(row.deserialize_value::<Info>()?.documents_received));
        received.sum()
    }

    /// Waits until `c` has `count` documents. What is counted in passing is asked first: counting a large collection
    /// again and again would slow down what is measured.
    pub fn wait_for_documents(&self, count: usize) -> Result<(), Failure> {
        wait_until("the arrival of all documents", || {
            Ok(self.documents_received()?.is_none_or(|received| received >= count) && self.count()? >= count)
        })
    }

    /// Listens on the loopback interface and starts to sync.
    pub fn listen(&self) -> Result<SocketAddr, Failure> {
        self.listen_and_connect_to(&[])
    }

    /// Listens on the loopback interface, and starts to sync with whom it connects to.
    pub fn listen_and_connect_to(&self, others: &[SocketAddr]) -> Result<SocketAddr, Failure> {
        // Closed again at once: the port stays free for the moment that it takes to listen again.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut config = TransportConfig::new();
        config.listen.tcp.enabled = true;
        config.listen.tcp.interface_ip = address.ip().to_string();
        config.listen.tcp.port = address.port();
        config.connect.tcp_servers.extend(others.iter().map(ToString::to_string));
        self.ditto.set_transport_config(config);
        self.ditto.sync().start()?;
        Ok(address)
    }

    /// Says whom to connect to. Takes effect when sync is started.
    pub fn connect_to(&self, address: SocketAddr) {
        let mut config = TransportConfig::new();
        config.connect.tcp_servers.insert(address.to_string());
        self.ditto.set_transport_config(config);
    }

    pub fn start_sync(&self) -> Result<(), Failure> {
        Ok(self.ditto.sync().start()?)
    }

    pub fn stop_sync(&self) {
        self.ditto.sync().stop();
    }

    /// Subscribes to all of `c`, for as long as the peer is open.
    pub fn subscribe(&self) -> Result<(), Failure> {
        self.subscribe_to("SELECT * FROM c")
    }

    /// Subscribes to what a query matches.
    pub fn subscribe_to(&self, query: &str) -> Result<(), Failure> {
        // Dropping the handle does not cancel the subscription.
        self.ditto.sync().register_subscription(query)?;
        Ok(())
    }

    /// Observes a query and sends what `read` makes of each result, after the first result has come.
    pub fn observe<T: Send + 'static>(
        &self,
        statement: &str,
        arguments: impl Serialize,
        read: impl Fn(&QueryResult) -> T + Send + Sync + 'static,
    ) -> Result<Observation<T>, Failure> {
        let (sender, receiver) = mpsc::channel();
        let on_change = move |result: QueryResult| {
            // Nobody listens any more when the workload is over.
            let _ = sender.send((std::time::Instant::now(), read(&result)));
        };
        let observer = self.ditto.store().register_observer((statement, arguments), on_change)?;
        Ok(Observation { receiver, observer })
    }
}

/// A running observer and what it reports, with the moment of the callback.
pub struct Observation<T> {
    receiver: mpsc::Receiver<(std::time::Instant, T)>,
    #[expect(dead_code, reason = "the observer ends when its handle is dropped")]
    observer: std::sync::Arc<dittolive_ditto::dql::StoreObserver>,
}

impl<T> Observation<T> {
    /// Waits for a callback whose value satisfies `condition`.
    pub fn wait_for(&self, condition: impl Fn(&T) -> bool) -> Result<(std::time::Instant, T), Failure> {
        loop {
            let (at, value) = self.receiver.recv_timeout(crate::measure::PATIENCE)?;
            if condition(&value) {
                return Ok((at, value));
            }
        }
    }
}
