//! [`Peer`]: opening, using and closing.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self as blocking, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use ditto_mesh::{Authority, Identity, IdentityError, PeerKey};
use ditto_replication::{LocalPeer, PeerId, ReplicaError, Replicator, SubscriptionId};
use ditto_storage::{
    CachedStorage, CloseOnce, DEFAULT_CACHE_BYTES, DiskStorage, MemoryStorage, Storage, StorageError,
};
use ditto_store::{
    BackupProgress, CommitSubscription, CompactProgress, Compacted, Executor, OpenError, Store, StoreError,
    StoreOptions, Verified, VerifyProgress,
};
use ditto_transport::Transports;
use ditto_value::{Object, Value};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use crate::callbacks::CallbackThreads;
use crate::config::{Connect, PeerConfig, truncated_device_name};
use crate::disk_usage::{DiskUsage, DiskUsageObserver};
use crate::durability::{Durability, DurabilityHandle, Sink, SyncOutcome};
use crate::environment::SystemEnvironment;
use crate::error::PeerError;
use crate::hub::{Command, Hub, Inputs};
use crate::runtime::BackgroundRuntime;
use crate::status::{SYNC_INFO, SyncStatus};
use crate::storage_failure::{Attempt, StorageFailure};
use crate::subscription::Subscription;
use crate::subscription_status::{Asked, SUBSCRIPTIONS, SubscriptionStatus};
use crate::system_info::{SYSTEM_INFO, SystemInfo};
use crate::transport_config::TransportConfig;
use crate::{backup, key_file, polling, presence, writer_watch};

/// Threads that serve sockets. They never touch the disk.
const NETWORK_THREADS: usize = 2;
/// Link events on their way to the sync thread; beyond this, links stop reading from their sockets.
const LINK_EVENT_QUEUE: usize = 64;
/// How long closing waits for farewells, and for a sync thread that waits for a transaction of the application.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);
/// How long closing waits for open transactions to end by themselves before they are rolled back.
const TRANSACTION_PATIENCE: Duration = Duration::from_secs(5);
/// How long a new subscription waits to be taken up by the sync thread.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(1);
/// The virtual collection with a row per listening socket.
const TRANSPORTS_INFO: &str = "system:transports_info";

/// A running peer. Clones are handles to the same one; it closes with [`Peer::close`] or with its last handle.
#[derive(Clone)]
pub struct Peer(Arc<Running>);

struct Running {
    directory: PathBuf,
    identity: Arc<Identity>,
    store: Store,
    status: SyncStatus,
    subscriptions: SubscriptionStatus,
    next_subscription: AtomicU64,
    device_name: Mutex<String>,
    transport_config: Arc<Mutex<TransportConfig>>,
    /// `Some` while sync is active.
    transports: Arc<Mutex<Option<Transports>>>,
    failure: StorageFailure,
    /// What ends with the peer.
    machinery: Mutex<Option<Machinery>>,
    close_once: CloseOnce,
}

struct Machinery {
    commands: mpsc::UnboundedSender<Command>,
    hub: JoinHandle<()>,
    durability: Durability,
    commit_hook: CommitSubscription,
    callbacks: Arc<CallbackThreads>,
    runtime: BackgroundRuntime,
    /// Whether sync is to be active when the storage works. Here, so that it changes only together with the transports: what is
    /// stopped is not started again by a recovery that has just looked.
    sync_wanted: bool,
}

impl Peer {
    /// Opens the database in the configured directory, or makes one.
    ///
    /// # Errors
    /// The configuration is not valid, the directory cannot be used or is open already, the database in it cannot
    /// be read, or the operating system refuses threads.
    pub fn open(config: PeerConfig) -> Result<Self, PeerError> {
        let authority = authority(&config)?;
        let directory = prepared_directory(&config.directory)?;
        let storage: Arc<dyn Storage> = if config.in_memory {
            Arc::new(MemoryStorage::new())
        } else {
            let disk = DiskStorage::open(directory.join(backup::STORE))?;
            Arc::new(CachedStorage::new(Arc::new(disk), DEFAULT_CACHE_BYTES))
        };
        if ditto_store::is_copy(&*storage).map_err(OpenError::from)? {
            // Before the store forgets that it is one: the original may be running with the same key.
            key_file::remove(&directory)?;
        }
        let key = key_file::load_or_create(&directory)?;
        let identity = match Identity::new(&key, &authority) {
            Err(IdentityError::InvalidKeyPair) => return Err(key_file::damaged(&directory).into()),
            identity => Arc::new(identity?),
        };

        let runtime = BackgroundRuntime::start(NETWORK_THREADS).map_err(PeerError::Threads)?;
        let callbacks = Arc::new(CallbackThreads::start().map_err(PeerError::Threads)?);
        let executor = Arc::clone(&callbacks) as Arc<dyn Executor>;
        let mut options = StoreOptions::new(config.database_id.to_lowercase(), executor);
        options.peer_name = |peer| PeerKey::from(*peer).to_string();
        let store = Store::open(storage, Arc::new(SystemEnvironment), options)?;
        for (name, value) in &config.system_parameters {
            set_parameter(&store, name, value)?;
        }

        let status = SyncStatus::of_earlier(store.replica().known_peers());
        let commits = Arc::new(Notify::new());
        let (durable_sender, durable) = watch::channel(Some(store.durable_sequence()));
        let durability_handle = DurabilityHandle::default();
        let failure = StorageFailure::default();
        let sink = StoreSink { store: store.clone(), durable: durable_sender };
        let durability = Durability::start(durability_handle.clone(), sink).map_err(PeerError::Threads)?;
        let commit_hook = store.signal_commits({
            let (commits, durability) = (Arc::clone(&commits), durability_handle.clone());
            move || {
                // To wake a thread costs as much as a small commit does.
                if durability.committed() {
                    commits.notify_one();
                }
            }
        });

        let local = LocalPeer::new(PeerId(*identity.peer_key().as_bytes()), &config.database_id);
        let (command_sender, commands) = mpsc::unbounded_channel();
        let subscriptions = SubscriptionStatus::default();
        let hub = Hub::new(
            Replicator::new(local),
            store.clone(),
            status.clone(),
            subscriptions.clone(),
            durability_handle.clone(),
        );
        let hub = hub.start(Inputs { commands, commits, durable }).map_err(PeerError::Threads)?;

        let busy = Arc::new(Notify::new());
        runtime.handle().spawn(writer_watch::watch(store.clone(), Arc::clone(&busy)));
        store.on_writer_busy(move || busy.notify_one());
        let polling = Arc::new(Notify::new());
        runtime.handle().spawn(polling::poll(store.clone(), Arc::clone(&polling)));
        store.on_polling(move || polling.notify_one());

        let device_name = config.device_name.clone().or_else(host_name).unwrap_or_default();
        let peer = Self(Arc::new(Running {
            directory,
            identity,
            store,
            status,
            subscriptions,
            next_subscription: AtomicU64::new(1),
            device_name: Mutex::new(truncated_device_name(&device_name).to_owned()),
            transport_config: Arc::new(Mutex::new(TransportConfig::initial())),
            transports: Arc::new(Mutex::new(None)),
            failure: failure.clone(),
            close_once: CloseOnce::default(),
            machinery: Mutex::new(Some(Machinery {
                commands: command_sender,
                hub,
                durability,
                commit_hook,
                callbacks,
                runtime,
                sync_wanted: false,
            })),
        }));
        peer.register_virtual_collections();
        let running = Arc::downgrade(&peer.0);
        failure.on_report(move |failure| Running::recover(&running, failure, &durability_handle));
        peer.0.store.on_storage_failure(move |error| failure.report(error));
        tracing::info!(
            peer = %peer.0.identity.peer_key(), directory = %peer.0.directory.display(),
            database = %config.database_id, access = %authority.mechanism(), "opened"
        );
        Ok(peer)
    }

    /// The documents. Usable until the peer closes.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The absolute path of the directory.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// The name of this peer everywhere: `pk…`.
    pub fn peer_key(&self) -> String {
        self.0.identity.peer_key().to_string()
    }

    /// Changes the name that other peers see; see [`crate::MAX_DEVICE_NAME`].
    pub fn set_device_name(&self, name: &str) {
        truncated_device_name(name).clone_into(&mut self.0.device_name.lock());
    }

    /// Starts to listen and to dial by the transport configuration. Doing it twice does nothing.
    ///
    /// # Errors
    /// [`PeerError::Closed`]; [`PeerError::Store`] while the storage does not work: nothing may be told then.
    pub fn start_sync(&self) -> Result<(), PeerError> {
        let mut machinery = self.0.machinery.lock();
        let machinery = machinery.as_mut().ok_or(PeerError::Closed)?;
        if let Some(cause) = self.0.failure.failure() {
            return Err(StoreError::Storage(StorageError::Failed { cause }).into());
        }
        machinery.sync_wanted = true;
        self.0.start_transports(machinery)
    }

    /// Closes all connections and listeners; when it returns, the ports are free. Doing it twice does nothing.
    pub fn stop_sync(&self) {
        if let Some(machinery) = self.0.machinery.lock().as_mut() {
            machinery.sync_wanted = false;
            self.0.stop_transports(machinery);
        }
    }

    /// Whether sync was started and not stopped.
    pub fn is_sync_active(&self) -> bool {
        self.0.transports.lock().is_some()
    }

    /// Replaces the transport configuration; it applies at once when sync is active. Answers with what cannot be
    /// served, in words: an address that is none, a transport that this build does not have, and, when sync is active, a
    /// port in use.
    ///
    /// # Errors
    /// [`PeerError::Closed`].
    pub fn set_transport_config(&self, config: TransportConfig) -> Result<Vec<String>, PeerError> {
        // Kept, so that the peer does not close meanwhile.
        let machinery = self.0.machinery.lock();
        if machinery.is_none() {
            return Err(PeerError::Closed);
        }
        let mut problems = config.unavailable();
        // The lock on the transports orders concurrent changes.
        let transports = self.0.transports.lock();
        self.0.transport_config.lock().clone_from(&config);
        let found = match transports.as_ref() {
            // It logs them.
            Some(transports) => {
                let found = transports.apply(config.to_transport());
                self.0.transports_changed();
                found
            }
            None => {
                let found = config.to_transport().malformed();
                found.iter().for_each(|problem| tracing::warn!("{problem}"));
                found
            }
        };
        problems.extend(found.iter().map(ToString::to_string));
        Ok(problems)
    }

    /// The transport configuration as set.
    pub fn transport_config(&self) -> TransportConfig {
        self.0.transport_config.lock().clone()
    }

    /// Asks other peers for the documents that `query` matches: `SELECT * FROM c [WHERE …]`.
    ///
    /// # Errors
    /// The query is not of that form, an argument is missing, query or arguments are too long to travel, or the peer is
    /// closed.
    pub fn subscribe(&self, query: &str, arguments: Object) -> Result<Subscription, PeerError> {
        // Here for the typed errors, and because the sync thread may be too busy to answer; it looks again for its own use.
        let interest = self.0.store.replica().compile(query, &arguments)?;
        ditto_replication::check_lengths(&interest.normalized, &arguments).map_err(unusable)?;
        let machinery = self.0.machinery.lock();
        let machinery = machinery.as_ref().ok_or(PeerError::Closed)?;
        let id = SubscriptionId(self.0.next_subscription.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = blocking::channel();
        let asked = Asked {
            query: query.to_owned(),
            arguments,
            collection: Arc::clone(&interest.collection),
            normalized: interest.normalized.clone(),
        };
        let command = Command::Subscribe { id, asked, answer };
        machinery.commands.send(command).map_err(|_| PeerError::Closed)?;
        match answered.recv_timeout(SUBSCRIBE_PATIENCE) {
            // Without an answer: the query is one; the sync thread takes it when it has written what it is at, maybe after a
            // transaction that this very call is a part of.
            Ok(Ok(())) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Err(error)) => return Err(unusable(error)),
            Err(RecvTimeoutError::Disconnected) => return Err(PeerError::Closed),
        }
        self.0.store.subscribed(id.0, query, interest);
        Ok(Subscription::new(id, &machinery.commands, &self.0.store))
    }

    /// Copies the database as it is at one moment to `directory`, while others read and write: it must be empty, or is
    /// made. A peer that is opened there has the documents, another site id and another key. What an attempt that failed
    /// has left is removed.
    ///
    /// # Errors
    /// The directory is not empty or cannot be written to, the database cannot be read, or `on_progress` ended it.
    pub fn backup(
        &self,
        directory: &Path,
        on_progress: &mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupProgress, PeerError> {
        backup::backup(&self.0.store, directory, on_progress)
    }

    /// Reads every row of the database and says where two of them contradict each other, and what of the files is damaged.
    /// Nobody waits meanwhile. `on_progress` is called every thousand rows and once at the end, and may end it.
    ///
    /// # Errors
    /// [`PeerError::Store`]: the database cannot be read, the peer is or was closed, or `on_progress` ended it.
    pub fn verify(
        &self,
        on_progress: &mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>,
    ) -> Result<Verified, PeerError> {
        Ok(self.0.store.verify_with(on_progress)?)
    }

    /// Gives back the room that deleted and overwritten documents take. Nobody waits, but it costs time, and room for a
    /// while, in proportion to the size of the database. `on_progress` is called some times a second and once at the end,
    /// and may end it; what is done until then stays done.
    ///
    /// # Errors
    /// As for [`Self::verify`].
    pub fn compact(
        &self,
        on_progress: &mut dyn FnMut(&CompactProgress) -> ControlFlow<()>,
    ) -> Result<Compacted, PeerError> {
        Ok(self.0.store.compact(on_progress)?)
    }

    /// What the directory of this peer holds. Looks at every file in it.
    pub fn disk_usage(&self) -> DiskUsage {
        DiskUsage::measure(&self.0.directory)
    }

    /// Calls back with [`Self::disk_usage`] at once and then whenever it has changed, which is noticed after half a
    /// second or more, until the observer is cancelled or dropped or the peer closes.
    ///
    /// # Errors
    /// [`PeerError::Closed`].
    pub fn observe_disk_usage(
        &self,
        callback: impl FnMut(&DiskUsage) + Send + 'static,
    ) -> Result<DiskUsageObserver, PeerError> {
        let machinery = self.0.machinery.lock();
        let runtime = &machinery.as_ref().ok_or(PeerError::Closed)?.runtime;
        Ok(DiskUsageObserver::start(runtime.handle(), self.0.directory.clone(), Box::new(callback)))
    }

    /// The mesh as this peer sees it, as JSON.
    pub fn presence_json(&self) -> String {
        let name = self.0.device_name.lock().clone();
        presence::graph(self.0.identity.peer_key(), &name, &self.0.status.connections()).to_string()
    }

    /// Stops sync, ends observers and subscriptions, puts everything on the platter and gives the directory back. Open
    /// transactions have five seconds to end, none if this is called from inside of one, and are rolled back then.
    /// A second call does nothing; while the first is under way it waits for that one.
    pub fn close(&self) {
        self.0.close();
    }

    fn register_virtual_collections(&self) {
        let (status, transports) = (self.0.status.clone(), Arc::clone(&self.0.transports));
        let store = self.0.store.downgrade();
        let rows = move || {
            let skews = store.upgrade().map(|store| store.clock_skews()).unwrap_or_default();
            status.rows(transports.lock().is_some(), &skews)
        };
        self.0.store.register_virtual_collection(SYNC_INFO, Arc::new(rows));
        let (subscriptions, transports) = (self.0.subscriptions.clone(), Arc::clone(&self.0.transports));
        let store = self.0.store.downgrade();
        let rows = move || {
            let Some(store) = store.upgrade() else { return Vec::new() };
            // Nobody can prove yet to be a server.
            subscriptions
                .rows(transports.lock().is_some(), |collection| store.sync_scope(collection).allows(false))
        };
        self.0.store.register_virtual_collection(SUBSCRIPTIONS, Arc::new(rows));
        let transports = Arc::clone(&self.0.transports);
        let rows = move || transports.lock().as_ref().map(listen_rows).unwrap_or_default();
        self.0.store.register_virtual_collection(TRANSPORTS_INFO, Arc::new(rows));
        let info = SystemInfo {
            store: self.0.store.downgrade(),
            status: self.0.status.clone(),
            transport_config: Arc::clone(&self.0.transport_config),
            directory: self.0.directory.clone(),
            seen: Mutex::default(),
        };
        self.0.store.register_virtual_collection(SYSTEM_INFO, Arc::new(move || info.rows()));
    }
}

impl Running {
    fn start_transports(&self, machinery: &Machinery) -> Result<(), PeerError> {
        let mut transports = self.transports.lock();
        if transports.is_none() {
            let config = self.transport_config.lock().clone();
            for missing in config.unavailable() {
                tracing::info!("{missing}");
            }
            let handle = machinery.runtime.handle().clone();
            let (events, links) = mpsc::channel(LINK_EVENT_QUEUE);
            machinery.commands.send(Command::UseLinks(links)).map_err(|_| PeerError::Closed)?;
            let started = Transports::new(Arc::clone(&self.identity), handle, events);
            // What does not work is logged by the transports.
            started.apply(config.to_transport());
            *transports = Some(started);
            tracing::info!(peer = %self.identity.peer_key().short(), "sync started");
            self.transports_changed();
        }
        Ok(())
    }

    /// What is done when the storage has failed; on a thread of its own.
    fn recover(running: &Weak<Self>, failure: &StorageFailure, durability: &DurabilityHandle) {
        if let Some(running) = running.upgrade()
            && let Some(machinery) = running.machinery.lock().as_ref()
        {
            running.stop_transports(machinery);
        }
        let recovered = failure.recover(|| {
            let Some(running) = running.upgrade() else { return Attempt::GivenUp };
            match running.store.recover() {
                Ok(()) => Attempt::Done,
                Err(OpenError::Storage(StorageError::Closed)) => Attempt::GivenUp,
                Err(error) => {
                    tracing::debug!(%error, "the storage does not work yet");
                    Attempt::Later
                }
            }
        });
        let Some(running) = running.upgrade().filter(|_| recovered) else { return };
        durability.resume();
        tracing::warn!(directory = %running.directory.display(), "the storage works again");
        let machinery = running.machinery.lock();
        let Some(machinery) = machinery.as_ref().filter(|machinery| machinery.sync_wanted) else { return };
        // Whoever responds to a failure since then starts it when that is put right.
        if failure.failure().is_none()
            && let Err(error) = running.start_transports(machinery)
        {
            tracing::warn!(%error, "sync does not go on");
        }
    }

    /// Blocks until everything is closed. Runs on any thread, also on one of somebody's runtime: waiting is
    /// done with plain channels.
    fn stop_transports(&self, machinery: &Machinery) {
        let Some(transports) = self.transports.lock().take() else { return };
        let (sender, stopped) = blocking::channel();
        machinery.runtime.handle().spawn(async move {
            transports.shutdown().await;
            // The waiting side may have lost its patience.
            let _ = sender.send(());
        });
        if stopped.recv_timeout(SHUTDOWN_PATIENCE).is_err() {
            tracing::warn!(
                "connections did not close in {} s; going on without them",
                SHUTDOWN_PATIENCE.as_secs()
            );
        }
        let (done, forgotten) = blocking::channel();
        if machinery.commands.send(Command::ForgetLinks { done }).is_ok() {
            // An error is the end of the sync thread, which forgets as well. If it waits for a transaction to end, and
            // that one for us, it forgets later: these links and no newer ones.
            let _ = forgotten.recv_timeout(SHUTDOWN_PATIENCE);
        }
        tracing::info!(peer = %self.identity.peer_key().short(), "sync stopped");
        self.transports_changed();
    }

    /// Wakes those who observe the connections or the sockets.
    fn transports_changed(&self) {
        for changed in [SYNC_INFO, SUBSCRIPTIONS, TRANSPORTS_INFO] {
            self.store.virtual_collection_changed(changed);
        }
    }

    fn close(&self) {
        self.close_once.run(|| self.close_now());
    }

    fn close_now(&self) {
        self.failure.close();
        // The sync thread may wait for a transaction, so these end first.
        self.store.end_transactions(TRANSACTION_PATIENCE);
        let Some(machinery) = self.machinery.lock().take() else { return };
        self.stop_transports(&machinery);
        drop(machinery.commands);
        if machinery.hub.join().is_err() {
            tracing::error!("the sync thread panicked; documents are safe, sync had stopped");
        }
        drop(machinery.commit_hook);
        drop(machinery.durability);
        if let Err(error) = self.store.close() {
            tracing::error!(%error, "the store did not close cleanly; the next start recovers it");
        }
        machinery.callbacks.stop();
        drop(machinery.runtime);
        tracing::info!(peer = %self.identity.peer_key().short(), "closed");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Peer").field("directory", &self.0.directory).finish_non_exhaustive()
    }
}

/// Puts commits on the platter and tells the sync thread.
struct StoreSink {
    store: Store,
    durable: watch::Sender<Option<ditto_crdt::Sequence>>,
}

impl Sink for StoreSink {
    fn sync(&mut self) -> SyncOutcome {
        match self.store.sync() {
            Ok(sequence) => {
                self.durable.send_replace(Some(sequence));
                SyncOutcome::Done
            }
            // Who wants to know why was told by the store.
            Err(_) => {
                self.durable.send_replace(None);
                SyncOutcome::Failed
            }
        }
    }
}

fn authority(config: &PeerConfig) -> Result<Authority, PeerError> {
    let database_id = config.database_id.clone();
    match &config.connect {
        Connect::SmallPeersOnly { private_key: None } => Ok(Authority::OfflinePlayground { database_id }),
        Connect::SmallPeersOnly { private_key: Some(key) } if key.is_empty() => {
            Err(PeerError::Config("the private key is empty; leave it out to run without one".to_owned()))
        }
        Connect::SmallPeersOnly { private_key: Some(key) } => {
            Ok(Authority::SharedKey { database_id, key: key.clone() })
        }
        Connect::Server { .. } => {
            Err(PeerError::Unsupported("this build has no server login yet; connect as SmallPeersOnly"))
        }
    }
}

/// Creates the directory and answers with its absolute path, in the words that it was given in: symbolic links stay.
fn prepared_directory(directory: &Path) -> Result<PathBuf, PeerError> {
    let created = ditto_storage::create_directories(directory).map_err(|error| match error.kind() {
        // The system says "file exists", which sounds as if an absent one were wanted.
        io::ErrorKind::AlreadyExists => io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory"),
        _ => error,
    });
    created
        .and_then(|()| std::path::absolute(directory))
        .map_err(|source| PeerError::Directory { path: directory.to_owned(), source })
}

/// As `ALTER SYSTEM SET name = value` does it, so that there is one way with one set of errors.
fn set_parameter(store: &Store, name: &str, value: &Value) -> Result<(), PeerError> {
    let statement = format!("ALTER SYSTEM SET `{}` = :value", name.replace('`', "``"));
    store.execute(&statement, &Object::from_iter([("value".to_owned(), value.clone())]))?;
    Ok(())
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name =
        name.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok())?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// A subscription that is not taken.
fn unusable(error: ReplicaError) -> PeerError {
    PeerError::Subscription(match error {
        ReplicaError::Query(message) => message,
        error => error.to_string(),
    })
}

/// The rows of `system:transports_info`.
fn listen_rows(transports: &Transports) -> Vec<Object> {
    let row = |address: std::net::SocketAddr| {
        Object::from_iter([
            ("_id".to_owned(), Value::String("listen_tcp".to_owned())),
            ("value".to_owned(), Value::String(address.to_string())),
        ])
    };
    transports.listen_addresses().into_iter().map(row).collect()
}
