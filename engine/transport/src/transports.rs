//! The handle of everything.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ditto_mesh::{Backoff, Identity, LinkId, LinkKind, Refusal};
use parking_lot::Mutex;
use tokio::io::duplex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admission::Admission;
use crate::config::{Target, TransportConfig};
use crate::counted::Counted;
use crate::dial::{connect_once, keep_connected, refused_subject, unreachable_subject};
use crate::event::{LinkDown, LinkEvent, Problem};
use crate::listen::{Caller, Listening, welcome};
use crate::notices::Notices;
use crate::options::Options;
use crate::registry::Registry;

/// What a pipe between two peers of one process holds, in bytes.
const PIPE: usize = 256 * 1024;

/// All transports of one running peer. Dropping it closes everything without waiting; [`shutdown`](Self::shutdown) waits.
///
/// ```
/// use std::sync::Arc;
///
/// use ditto_mesh::{Authority, Identity};
/// use ditto_transport::{ListenTcp, TransportConfig, Transports};
///
/// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
/// let authority = Authority::OfflinePlayground { database_id: "3bd1a8ac".into() };
/// let identity = Arc::new(Identity::new(&Identity::generate()?, &authority)?);
/// let (sender, mut events) = tokio::sync::mpsc::channel(64);
/// let transports = Transports::new(identity, runtime.handle().clone(), sender);
///
/// let listen_tcp = Some(ListenTcp { interface: "127.0.0.1".into(), port: 0 });
/// let problems = transports.apply(TransportConfig { listen_tcp, ..TransportConfig::default() });
/// assert!(problems.is_empty());
/// assert_eq!(transports.listen_addresses().len(), 1);
/// runtime.block_on(transports.shutdown());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Transports {
    hub: Arc<Hub>,
    applied: Mutex<Applied>,
}

/// What [`Transports::apply`] has started.
#[derive(Default)]
struct Applied {
    listening: Option<Listening>,
    targets: BTreeMap<String, CancellationToken>,
}

/// What all tasks share.
pub(crate) struct Hub {
    pub(crate) identity: Arc<Identity>,
    pub(crate) options: Options,
    pub(crate) registry: Arc<Registry>,
    pub(crate) admission: Admission,
    /// Ends every task.
    pub(crate) stop: CancellationToken,
    events: mpsc::Sender<LinkEvent>,
    notices: Notices,
    handle: Handle,
    tasks: TaskTracker,
    links: AtomicU64,
    longest_pause_ms: AtomicU64,
}

impl Transports {
    /// Nothing happens until [`apply`](Self::apply). Tasks run on `handle` (with I/O and time enabled); what happens is
    /// told on `events`.
    pub fn new(identity: Arc<Identity>, handle: Handle, events: mpsc::Sender<LinkEvent>) -> Self {
        Self::with_options(identity, handle, events, Options::default())
    }

    /// As [`new`](Self::new), with other limits and timeouts.
    pub fn with_options(
        identity: Arc<Identity>,
        handle: Handle,
        events: mpsc::Sender<LinkEvent>,
        options: Options,
    ) -> Self {
        let hub = Hub {
            registry: Arc::new(Registry::new(identity.peer_key())),
            admission: Admission::new(&options),
            notices: Notices::new(options.complain_every),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            links: AtomicU64::new(0),
            longest_pause_ms: AtomicU64::new(milliseconds(Backoff::CEILING)),
            identity,
            options,
            events,
            handle,
        };
        Self { hub: Arc::new(hub), applied: Mutex::default() }
    }

    /// Makes `config` the configuration: removed targets are disconnected, added ones dialled, a changed listen address
    /// is bound. What stays the same is left alone; accepted links stay. Returns what could not be done, which is also
    /// logged; a failed listen address is tried again by the next call. Never waits for the network. Does nothing after
    /// [`shutdown`](Self::shutdown).
    pub fn apply(&self, config: TransportConfig) -> Vec<Problem> {
        let mut applied = self.applied.lock();
        if self.hub.stop.is_cancelled() {
            return Vec::new();
        }
        let _context = self.hub.handle.enter();
        let mut problems = Vec::new();
        self.hub.longest_pause_ms.store(milliseconds(config.longest_pause), Ordering::Relaxed);

        if applied.listening.as_ref().map(|listening| &listening.config) != config.listen_tcp.as_ref() {
            if let Some(old) = applied.listening.take() {
                info!(address = %old.local, "no longer listening");
            }
            let started = config.listen_tcp.map(|listen| Listening::start(&self.hub, &listen));
            match started.transpose() {
                Ok(listening) => applied.listening = listening,
                Err(problem) => problems.push(problem),
            }
        }

        applied.targets.retain(|name, stop| {
            let kept = config.connect_tcp.contains(name);
            if !kept {
                stop.cancel();
                self.hub.reached(name);
            }
            kept
        });
        for name in config.connect_tcp {
            if applied.targets.contains_key(&name) {
                continue;
            }
            match name.parse::<Target>() {
                Ok(target) => {
                    let stop = self.hub.stop.child_token();
                    applied.targets.insert(name.clone(), stop.clone());
                    self.hub.spawn(keep_connected(self.hub.clone(), name, target, stop));
                }
                Err(problem) => problems.push(problem),
            }
        }
        for problem in &problems {
            warn!("{problem}");
        }
        problems
    }

    /// The addresses that are listened on, with their real ports.
    pub fn listen_addresses(&self) -> Vec<SocketAddr> {
        self.applied.lock().listening.iter().map(|listening| listening.local).collect()
    }

    /// Links two peers of one process through a pipe, encryption and all: for tests and for several peers in one
    /// program. `self` dials, once. Both tell of it with [`LinkEvent::Up`].
    pub fn connect_in_process(&self, to: &Self) {
        let (ours, theirs) = duplex(PIPE);
        let address = format!("in-process {}", to.hub.identity.peer_key().short());
        self.hub.spawn(connect_once(self.hub.clone(), Counted::new(ours), LinkKind::InProcess, address));
        let host = format!("in-process {}", self.hub.identity.peer_key().short());
        let caller = Caller { address: host.clone(), host, kind: LinkKind::InProcess };
        to.hub.spawn(welcome(to.hub.clone(), Counted::new(theirs), caller, None));
    }

    /// Closes everything: ports are released at once; links say goodbye, which takes at most
    /// [`Options::goodbye_timeout`]. When it returns no task is left. `Down` events that do not fit into the events
    /// channel are dropped, so the consumer itself may call this.
    pub async fn shutdown(&self) {
        self.stop();
        self.hub.tasks.wait().await;
    }

    #[cfg(test)]
    pub(crate) fn hub(&self) -> Arc<Hub> {
        self.hub.clone()
    }

    fn stop(&self) {
        let mut applied = self.applied.lock();
        self.hub.stop.cancel();
        *applied = Applied::default();
        self.hub.tasks.close();
    }
}

impl Drop for Transports {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transports")
            .field("peer", &self.hub.identity.peer_key())
            .field("listening", &self.listen_addresses())
            .finish_non_exhaustive()
    }
}

impl Hub {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.handle);
    }

    pub(crate) fn next_link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn longest_pause(&self) -> Duration {
        Duration::from_millis(self.longest_pause_ms.load(Ordering::Relaxed))
    }

    /// Waits for room in the events channel: the back-pressure on the sockets.
    pub(crate) async fn deliver(&self, event: LinkEvent) -> Result<(), LinkDown> {
        self.events.send(event).await.map_err(|_| LinkDown::Closed("nobody listens any more".to_owned()))
    }

    /// As [`deliver`](Self::deliver), but does not hold up a shutdown.
    pub(crate) async fn deliver_end(&self, event: LinkEvent) {
        let event = match self.events.try_send(event) {
            Err(mpsc::error::TrySendError::Full(event)) => event,
            _ => return,
        };
        tokio::select! {
            _ = self.events.send(event) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Logs a problem and tells the consumer, unless the same was told a moment ago. `problem` is given the number of
    /// times that it was held back.
    pub(crate) fn complain(&self, subject: String, problem: impl FnOnce(u64) -> Problem) {
        if let Some(repeated) = self.notices.due(subject) {
            let problem = problem(repeated);
            warn!("{problem}");
            let _ = self.events.try_send(LinkEvent::Problem(problem));
        }
    }

    /// Tells of a refused handshake. `key` is what repetitions are counted by.
    pub(crate) fn refused(&self, address: String, key: &str, dialed: bool, refusal: Refusal) {
        self.complain(refused_subject(key, &refusal), |repeated| Problem::Refused {
            address,
            dialed,
            refusal,
            repeated,
        });
    }

    /// The target was reached, or is of no interest any more: the next complaint about it is news.
    pub(crate) fn reached(&self, target: &str) {
        self.notices.settled(&unreachable_subject(target));
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
