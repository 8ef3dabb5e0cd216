//! Dialling: keeps a connection to each configured address.

use std::io;
use std::sync::Arc;

use ditto_mesh::{Backoff, Link, LinkKind, PeerKey, Redundant, Refusal};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, field, info_span};

use crate::config::Target;
use crate::counted::Counted;
use crate::establish::{Failure, decline, open_dialed, secure};
use crate::event::Problem;
use crate::link::{Ready, run};
use crate::tcp;
use crate::transports::Hub;
use crate::wire::Cause;
use crate::{LinkSender, Options};

/// Dials `target` until `stop`, whatever happens: again after each failure and each end of a link, but not while
/// another link to the same peer is up.
pub(crate) async fn keep_connected(hub: Arc<Hub>, name: String, target: Target, stop: CancellationToken) {
    let mut backoff = Backoff::new(hub.longest_pause());
    loop {
        let span = span(LinkKind::Tcp, &name);
        let dialling = Box::pin(dial_tcp(&hub, &target, &name)).instrument(span.clone());
        let dialled = tokio::select! {
            () = stop.cancelled() => return,
            dialled = dialling => dialled,
        };
        let mut again_at_once = false;
        let peer = match dialled {
            Ok(ready) => {
                hub.reached(&name);
                let peer = ready.link.peer;
                let up = Box::pin(run(ready, &hub, &stop)).instrument(span).await;
                again_at_once = backoff.link_ended(up);
                Some(peer)
            }
            Err(failure) => {
                let _entered = span.entered();
                failed(&hub, &name, failure)
            }
        };
        let pausing = async {
            if let Some(peer) = peer {
                hub.registry.disconnected(peer).await;
            }
            backoff.set_ceiling(hub.longest_pause());
            if !again_at_once {
                sleep(backoff.next(jitter())).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = pausing => {}
        }
    }
}

/// Links two peers of one process, once.
pub(crate) async fn connect_once(hub: Arc<Hub>, socket: Counted, kind: LinkKind, address: String) {
    let span = span(kind, &address);
    let dialling = Box::pin(dial(&hub, socket, kind, &address)).instrument(span.clone());
    let dialled = tokio::select! {
        () = hub.stop.cancelled() => return,
        dialled = dialling => dialled,
    };
    match dialled {
        Ok(ready) => {
            Box::pin(run(ready, &hub, &hub.stop)).instrument(span).await;
        }
        Err(failure) => {
            failed(&hub, &address, failure);
        }
    }
}

/// Tells of a failure. Returns the peer that another link leads to, if that is why.
fn failed(hub: &Hub, name: &str, failure: Failure) -> Option<PeerKey> {
    match failure {
        Failure::Redundant(peer) => {
            debug!(peer = peer.short(), "another link to this peer is kept");
            return Some(peer);
        }
        Failure::Refused(refusal) => hub.refused(name.to_owned(), name, true, refusal),
        failure => {
            let problem = Problem::Unreachable { target: name.to_owned(), cause: failure.to_string() };
            hub.complain(unreachable_subject(name), |_| problem);
        }
    }
    None
}

/// What complaints about an unreachable target are filed under.
pub(crate) fn unreachable_subject(name: &str) -> String {
    format!("unreachable {name}")
}

async fn dial_tcp(hub: &Hub, target: &Target, name: &str) -> Result<Ready, Failure> {
    let socket = reach(target, &hub.options).await?;
    dial(hub, Counted::new(socket), LinkKind::Tcp, name).await
}

/// Tries all addresses of the host, in the resolver's order.
async fn reach(target: &Target, options: &Options) -> io::Result<TcpStream> {
    let addresses = lookup_host((target.host.as_str(), target.port)).await.map_err(|error| {
        io::Error::new(error.kind(), format!("the name {} cannot be resolved: {error}", target.host))
    })?;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(options.connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                tcp::tune(&socket)?;
                return Ok(socket);
            }
            Ok(Err(error)) => failure = io::Error::new(error.kind(), format!("{address}: {error}")),
            Err(_) => failure = io::Error::new(io::ErrorKind::TimedOut, format!("{address}: no answer")),
        }
    }
    Err(failure)
}

/// From a connected socket to an admitted link.
async fn dial(hub: &Hub, socket: Counted, kind: LinkKind, address: &str) -> Result<Ready, Failure> {
    let counters = socket.counters();
    let (deadline, patience) = (Instant::now() + hub.options.handshake_timeout, hub.options.goodbye_timeout);
    let secured = timeout_at(deadline, secure(socket, &hub.identity, Some(address))).await;
    let mut secured = secured.unwrap_or(Err(Failure::TimedOut))?;
    tracing::Span::current().record("peer", secured.remote.peer.short());
    let link = Link {
        id: hub.next_link(),
        peer: secured.remote.peer,
        instance: secured.remote.instance,
        kind,
        dialed: true,
        number: hub.identity.next_dial(),
    };
    let redundant = |redundant| match redundant {
        Redundant::SelfConnection => Failure::Violation("it is this peer"),
        Redundant::Existing { .. } => Failure::Redundant(link.peer),
    };
    let claim = match hub.registry.offer(link) {
        Ok(claim) => claim,
        Err(reason) => {
            let _ = timeout(patience, secured.tls.shutdown()).await;
            return Err(redundant(reason));
        }
    };
    let opened = open_dialed(secured.tls, link.number, deadline, patience).await;
    let opened = opened.map_err(|failure| match failure {
        Failure::Goodbye { cause: Cause::Redundant, .. } => Failure::Redundant(link.peer),
        failure => failure,
    })?;
    let sender = LinkSender::new(link.id, link.peer, counters, hub.options.queue_bytes);
    match hub.registry.admit(link, &sender) {
        Ok(older) => Ok(Ready { opened, link, address: address.to_owned(), sender, claim, older }),
        Err(reason) => {
            let failure = redundant(reason);
            decline(opened, "another link to this peer is kept", patience).await;
            Err(failure)
        }
    }
}

fn span(kind: LinkKind, address: &str) -> tracing::Span {
    info_span!("link", peer = field::Empty, direction = "out", %kind, address)
}

fn jitter() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// What complaints about a refusal are filed under; `key` is the target or the caller's host.
pub(crate) fn refused_subject(key: &str, refusal: &Refusal) -> String {
    format!("refused {key} {:?}", refusal.reason)
}
