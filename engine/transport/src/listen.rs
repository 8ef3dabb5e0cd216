//! Accepting connections.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ditto_mesh::{Link, LinkKind};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, field, info, info_span};

use crate::LinkSender;
use crate::admission::{self, Place, Turn};
use crate::config::ListenTcp;
use crate::counted::Counted;
use crate::establish::{Failure, decline, open_accepted, secure};
use crate::event::Problem;
use crate::link::{Ready, run};
use crate::tcp;
use crate::transports::Hub;

/// Connections that the operating system holds until we accept them.
const BACKLOG: i32 = 1024;

/// The pause after the operating system could not give us a connection (it has run out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port that is listened on. Dropping it releases the port at once.
pub(crate) struct Listening {
    pub(crate) config: ListenTcp,
    pub(crate) local: SocketAddr,
    /// Shared with the accepting task, but taken away from it in no time.
    listener: Arc<Mutex<Option<TcpListener>>>,
    stop: CancellationToken,
}

impl Listening {
    /// Binds and starts to accept. Must be called within the runtime's context.
    pub(crate) fn start(hub: &Arc<Hub>, config: &ListenTcp) -> Result<Self, Problem> {
        let failed = |error: io::Error| Problem::ListenFailed {
            address: config.to_string(),
            kind: error.kind(),
            cause: error.to_string(),
        };
        let mut bound = Err(io::ErrorKind::InvalidInput.into());
        for address in config.addresses()? {
            bound = bind(address);
            // Only a machine without IPv6 goes on to the next one; a port in use is in use.
            if bound.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::AddrInUse) {
                break;
            }
        }
        let listener = bound.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        info!(address = %local, "listening");
        let listening = Self {
            config: config.clone(),
            local,
            listener: Arc::new(Mutex::new(Some(listener))),
            stop: hub.stop.child_token(),
        };
        hub.spawn(accept(hub.clone(), listening.listener.clone(), listening.stop.clone()));
        Ok(listening)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
        *self.listener.lock() = None;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Elsewhere than on Unix this would let two peers share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(hub: Arc<Hub>, listener: Arc<Mutex<Option<TcpListener>>>, stop: CancellationToken) {
    let accepting = async {
        loop {
            let Some(turn) = hub.admission.turn().await else { return };
            let accepted = poll_fn(|cx| match listener.lock().as_ref() {
                Some(listener) => listener.poll_accept(cx).map(Some),
                None => Poll::Ready(None),
            });
            match accepted.await {
                None => return,
                Some(Ok((socket, address))) => welcome_tcp(&hub, socket, address, turn),
                Some(Err(error)) => {
                    debug!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = accepting => {}
    }
}

fn welcome_tcp(hub: &Arc<Hub>, socket: TcpStream, address: SocketAddr, mut turn: Turn) {
    let place = match hub.admission.admit(&mut turn, address.ip()) {
        Ok(place) => place,
        Err(problem) => return hub.complain(format!("turned away: {problem}"), |_| problem),
    };
    if let Err(error) = tcp::tune(&socket) {
        debug!(%address, %error, "a connection ended before it began");
        return;
    }
    let caller = Caller {
        address: address.to_string(),
        host: admission::host(address.ip()).to_string(),
        kind: LinkKind::Tcp,
    };
    hub.spawn(welcome(hub.clone(), Counted::new(socket), caller, Some((turn, place))));
}

/// Who calls, as far as that is known before the handshake.
pub(crate) struct Caller {
    pub(crate) address: String,
    /// What repeated complaints are counted by; ports change with every attempt.
    pub(crate) host: String,
    pub(crate) kind: LinkKind,
}

/// Makes a link of an accepted connection and runs it.
pub(crate) async fn welcome(hub: Arc<Hub>, socket: Counted, caller: Caller, admitted: Option<(Turn, Place)>) {
    let (turn, _place) = admitted.unzip();
    let kind = caller.kind;
    let span = info_span!("link", peer = field::Empty, direction = "in", %kind, address = caller.address);
    let answering = Box::pin(answer(&hub, socket, &caller)).instrument(span.clone());
    let answered = tokio::select! {
        () = hub.stop.cancelled() => return,
        answered = answering => answered,
    };
    drop(turn);
    match answered {
        Ok(ready) => {
            Box::pin(run(ready, &hub, &hub.stop)).instrument(span).await;
        }
        Err(Failure::Refused(refusal)) => {
            let _entered = span.entered();
            hub.refused(caller.address, &caller.host, false, refusal);
        }
        Err(failure) => {
            let _entered = span.entered();
            debug!(%failure, "no link");
        }
    }
}

async fn answer(hub: &Hub, socket: Counted, caller: &Caller) -> Result<Ready, Failure> {
    let counters = socket.counters();
    let (deadline, patience) = (Instant::now() + hub.options.handshake_timeout, hub.options.goodbye_timeout);
    let secured = timeout_at(deadline, secure(socket, &hub.identity, None)).await;
    let secured = secured.unwrap_or(Err(Failure::TimedOut))?;
    tracing::Span::current().record("peer", secured.remote.peer.short());
    let opened = open_accepted(secured.tls, deadline, patience).await?;
    let link = Link {
        id: hub.next_link(),
        peer: secured.remote.peer,
        instance: secured.remote.instance,
        kind: caller.kind,
        dialed: false,
        number: opened.number,
    };
    let sender = LinkSender::new(link.id, link.peer, counters, hub.options.queue_bytes);
    let claim = hub.registry.claim(link.id);
    match hub.registry.admit(link, &sender) {
        Ok(older) => Ok(Ready { opened, link, address: caller.address.clone(), sender, claim, older }),
        Err(_) => {
            decline(opened, "another link to this peer is kept", patience).await;
            Err(Failure::Redundant(link.peer))
        }
    }
}
