//! Whole transports on loopback. Nothing sleeps: every step waits for its event, for at most [`PATIENCE`].

mod channels;
mod hostile;
mod meeting;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ditto_mesh::{Authority, Identity};
use socket2::{Domain, Socket, Type};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

/// Longer than anything takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port of the loopback interface that nobody gets who does not ask for it, whether somebody listens there or not.
struct ReservedPort {
    address: SocketAddr,
    /// Bound, and not listening: on Unix others that ask for the port can listen beside it.
    _socket: Option<Socket>,
}

impl ReservedPort {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        #[cfg(unix)]
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, _socket: cfg!(unix).then_some(socket) }
    }

    fn number(&self) -> u16 {
        self.address.port()
    }
}

/// A running peer and what it hears of.
struct TestPeer {
    transports: Transports,
    identity: Arc<Identity>,
    events: mpsc::Receiver<LinkEvent>,
}

/// A link that is up.
struct Up {
    link: LinkId,
    peer: PeerKey,
    dialed: bool,
    outgoing: LinkSender,
}

impl TestPeer {
    fn new(authority: &Authority) -> Self {
        Self::with(authority, Options::default(), 64)
    }

    fn with(authority: &Authority, options: Options, capacity: usize) -> Self {
        let identity = Arc::new(Identity::new(&Identity::generate().unwrap(), authority).unwrap());
        Self::of(identity, options, capacity)
    }

    fn of(identity: Arc<Identity>, options: Options, capacity: usize) -> Self {
        let (sender, events) = mpsc::channel(capacity);
        let transports = Transports::with_options(identity.clone(), Handle::current(), sender, options);
        Self { transports, identity, events }
    }

    fn key(&self) -> PeerKey {
        self.identity.peer_key()
    }

    /// Listens on a free port of the loopback interface and returns the address.
    fn listen(&self) -> String {
        let problems = self.transports.apply(config(Some(0), &[]));
        assert_eq!(problems, []);
        self.address()
    }

    /// Listens there, and nowhere else.
    fn listen_on(&self, port: &ReservedPort) {
        assert_eq!(self.transports.apply(config(Some(port.number()), &[])), []);
        assert_eq!(self.transports.listen_addresses(), [port.address]);
    }

    fn address(&self) -> String {
        self.transports.listen_addresses()[0].to_string()
    }

    fn connect(&self, targets: &[&str]) {
        assert_eq!(self.transports.apply(config(None, targets)), []);
    }

    async fn next(&mut self) -> LinkEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .expect("nothing happens")
            .expect("the transports are gone")
    }

    async fn up(&mut self) -> Up {
        match self.next().await {
            LinkEvent::Up { link, peer, dialed, outgoing, .. } => Up { link, peer, dialed, outgoing },
            other => panic!("expected a link, found {other:?}"),
        }
    }

    async fn message(&mut self) -> (Channel, Vec<u8>) {
        match self.next().await {
            LinkEvent::Message { channel, bytes, .. } => (channel, bytes),
            other => panic!("expected a message, found {other:?}"),
        }
    }

    async fn down(&mut self) -> (LinkId, LinkDown) {
        match self.next().await {
            LinkEvent::Down { link, reason } => (link, reason),
            other => panic!("expected the end of a link, found {other:?}"),
        }
    }

    async fn problem(&mut self) -> Problem {
        match self.next().await {
            LinkEvent::Problem(problem) => problem,
            other => panic!("expected a problem, found {other:?}"),
        }
    }

    async fn shutdown(&self) {
        timeout(PATIENCE, self.transports.shutdown()).await.expect("shutdown hangs");
    }
}

fn playground() -> Authority {
    Authority::OfflinePlayground { database_id: "test".into() }
}

fn config(port: Option<u16>, targets: &[&str]) -> TransportConfig {
    TransportConfig {
        listen_tcp: port.map(|port| ListenTcp { interface: "127.0.0.1".into(), port }),
        connect_tcp: targets.iter().map(|target| (*target).to_owned()).collect::<BTreeSet<_>>(),
        ..TransportConfig::default()
    }
}

/// Two peers with a TCP link between them; the second one has dialled.
async fn linked(capacity: usize) -> (TestPeer, Up, TestPeer, Up) {
    linked_with(Options::default(), capacity).await
}

async fn linked_with(options: Options, capacity: usize) -> (TestPeer, Up, TestPeer, Up) {
    let mut acceptor = TestPeer::with(&playground(), options.clone(), capacity);
    let mut dialer = TestPeer::with(&playground(), options, capacity);
    dialer.connect(&[&acceptor.listen()]);
    let (at_acceptor, at_dialer) = (acceptor.up().await, dialer.up().await);
    assert_eq!((at_acceptor.peer, at_dialer.peer), (dialer.key(), acceptor.key()));
    assert!(at_dialer.dialed && !at_acceptor.dialed);
    (acceptor, at_acceptor, dialer, at_dialer)
}
