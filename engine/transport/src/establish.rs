//! From a socket to an authenticated link.

use std::future::{Future, poll_fn};
use std::io;
use std::time::Duration;

use ditto_mesh::identity::PROTOCOL;
use ditto_mesh::{HandshakeRefused, Identity, PeerKey, Refusal, RefusedBy, Remote};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use yamux::{ConnectionError, FrameDecodeError};

use crate::counted::Counted;
use crate::frame::{FrameError, read_frame};
use crate::mux::{Mux, MuxError, Stream};
use crate::wire::{CONTROL, Cause, LINK, LinkFrame, MAX_LINK_FRAME, REPLICATION};

/// How long, and for how many bytes, a refused connection is kept open so that the other side learns why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// Why there is no link.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The two peers cannot connect as they are.
    Refused(Refusal),
    /// Another link to this peer is kept.
    Redundant(PeerKey),
    /// The other side said goodbye instead of greeting.
    Goodbye {
        cause: Cause,
        reason: String,
    },
    /// Nothing came in time.
    TimedOut,
    Io(io::Error),
    Violation(&'static str),
}

/// A connection whose other end has proven who it is.
pub(crate) struct Secured {
    pub(crate) tls: TlsStream<Counted>,
    pub(crate) remote: Remote,
}

/// A connection with all its streams, on which the other side has greeted.
pub(crate) struct Opened {
    pub(crate) mux: Mux,
    pub(crate) link: Stream,
    pub(crate) control: Stream,
    pub(crate) replication: Stream,
    /// The dialer's number for the link.
    pub(crate) number: u64,
}

/// The TLS handshake, and the judgement of who is there. `dialed`: what was dialled, if this side did that.
pub(crate) async fn secure(
    socket: Counted,
    identity: &Identity,
    dialed: Option<&str>,
) -> Result<Secured, Failure> {
    let result = if let Some(address) = dialed {
        let connector = TlsConnector::from(identity.client_config());
        let handshake = connector.connect(Identity::server_name(address), socket).into_fallible();
        handshake.await.map(TlsStream::from)
    } else {
        let handshake = TlsAcceptor::from(identity.server_config()).accept(socket).into_fallible();
        handshake.await.map(TlsStream::from)
    };
    let tls = match result {
        Ok(tls) => tls,
        Err((error, socket)) => {
            let failure = Failure::from(error);
            if matches!(failure, Failure::Refused(Refusal { by: RefusedBy::Us, .. })) {
                linger(socket).await;
            }
            return Err(failure);
        }
    };
    let (_, connection) = tls.get_ref();
    let judged = match connection.alpn_protocol() {
        Some(PROTOCOL) => identity.remote(connection.peer_certificates()),
        _ => Err(HandshakeRefused::OtherProtocol),
    };
    let remote = match judged {
        Ok(remote) => remote,
        Err(reason) => {
            // So that the other side, too, comes to the end of its handshake and finds the reason.
            linger(tls).await;
            return Err(Failure::Refused(Refusal { reason, by: RefusedBy::Us }));
        }
    };
    Ok(Secured { tls, remote })
}

/// Closing a socket with unread bytes resets the connection, and the alert that explains why would be lost. Nor can the other side
/// send its ticket then.
async fn linger(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let last_words = async {
        socket.shutdown().await?;
        copy(&mut socket.take(LINGER_BYTES), &mut sink()).await
    };
    let _ = timeout(LINGER, last_words).await;
}

/// The streams of a connection, as far as they are known.
#[derive(Default)]
struct Streams {
    link: Option<Stream>,
    control: Option<Stream>,
    replication: Option<Stream>,
}

/// Opens the streams and greets; the other side has greeted back when this returns. A connection on which that fails is closed
/// with a reason, which may take `patience` more than until `deadline`.
pub(crate) async fn open_dialed(
    tls: TlsStream<Counted>,
    number: u64,
    deadline: Instant,
    patience: Duration,
) -> Result<Opened, Failure> {
    let (mut mux, mut streams) = (Mux::new(tls, yamux::Mode::Client), Streams::default());
    let greeted = timeout_at(deadline, greet(&mut mux, &mut streams, number)).await;
    conclude(mux, streams, greeted.unwrap_or(Err(Failure::TimedOut)), patience).await
}

/// Waits for the streams and the greeting of the dialer. The greeting is still to be answered. `deadline` and `patience` as in
/// [`open_dialed`].
pub(crate) async fn open_accepted(
    tls: TlsStream<Counted>,
    deadline: Instant,
    patience: Duration,
) -> Result<Opened, Failure> {
    let (mut mux, mut streams) = (Mux::new(tls, yamux::Mode::Server), Streams::default());
    let greeted = timeout_at(deadline, await_greeting(&mut mux, &mut streams)).await;
    conclude(mux, streams, greeted.unwrap_or(Err(Failure::TimedOut)), patience).await
}

async fn greet(mux: &mut Mux, streams: &mut Streams, number: u64) -> Result<u64, Failure> {
    let mut open = async || poll_fn(|cx| mux.poll_new_outbound(cx)).await;
    let link = streams.link.insert(open().await?);
    let control = streams.control.insert(open().await?);
    let replication = streams.replication.insert(open().await?);

    let greeting = [&[LINK][..], &LinkFrame::Greeting { number }.encode()].concat();
    let answer = alongside(mux, async {
        link.write_all(&greeting).await?;
        control.write_all(&[CONTROL]).await?;
        replication.write_all(&[REPLICATION]).await?;
        first_frame(link).await
    });
    match answer.await? {
        LinkFrame::Greeting { .. } => Ok(number),
        _ => Err(Failure::Violation("the first frame is not a greeting")),
    }
}

async fn await_greeting(mux: &mut Mux, streams: &mut Streams) -> Result<u64, Failure> {
    let mut naming = FuturesUnordered::new();
    while streams.link.is_none() || streams.control.is_none() || streams.replication.is_none() {
        let (name, stream) = tokio::select! {
            biased;
            Some(named) = naming.next() => named?,
            stream = poll_fn(|cx| mux.poll_next_inbound(cx)) => {
                let mut stream = match stream {
                    Ok(stream) => stream,
                    Err(error) => {
                        find_link(&mut naming, streams);
                        return Err(error.into());
                    }
                };
                naming.push(async move { stream.read_u8().await.map(|name| (name, stream)) });
                continue;
            }
        };
        let place = match name {
            LINK => &mut streams.link,
            CONTROL => &mut streams.control,
            REPLICATION => &mut streams.replication,
            _ => continue,
        };
        if place.is_some() {
            find_link(&mut naming, streams);
            return Err(Failure::Violation("a stream was opened twice"));
        }
        *place = Some(stream);
    }
    drop(naming);
    let link = streams.link.as_mut().ok_or(NO_STREAM)?;
    match alongside(mux, first_frame(link)).await? {
        LinkFrame::Greeting { number } => Ok(number),
        _ => Err(Failure::Violation("the first frame is not a greeting")),
    }
}

/// The stream for a goodbye may be there, and only its name not read.
fn find_link<F>(naming: &mut FuturesUnordered<F>, streams: &mut Streams)
where
    F: Future<Output = io::Result<(u8, Stream)>>,
{
    while let Some(Some(named)) = naming.next().now_or_never() {
        if let Ok((LINK, stream)) = named {
            streams.link.get_or_insert(stream);
        }
    }
}

const NO_STREAM: Failure = Failure::Violation("a stream is missing");

/// Makes of the parts what was opened, or closes them. The other side is told what it does wrong, if there is a stream for that.
async fn conclude(
    mut mux: Mux,
    streams: Streams,
    greeted: Result<u64, Failure>,
    patience: Duration,
) -> Result<Opened, Failure> {
    let Streams { mut link, control, replication } = streams;
    match greeted {
        Ok(number) => Ok(Opened {
            mux,
            link: link.ok_or(NO_STREAM)?,
            control: control.ok_or(NO_STREAM)?,
            replication: replication.ok_or(NO_STREAM)?,
            number,
        }),
        Err(failure @ (Failure::Violation(_) | Failure::TimedOut)) => {
            let goodbye = LinkFrame::Goodbye { cause: Cause::Other, reason: failure.to_string() };
            match &mut link {
                Some(link) => close(&mut mux, link, Some(goodbye), patience).await,
                None => close(&mut mux, &mut sink(), None, patience).await,
            }
            Err(failure)
        }
        Err(failure) => Err(failure),
    }
}

/// Moves bytes between the socket and the streams until the connection ends. Streams that nobody knows are reset.
pub(crate) async fn drive(mux: &mut Mux) -> MuxError {
    loop {
        match poll_fn(|cx| mux.poll_next_inbound(cx)).await {
            Ok(unknown) => drop(unknown),
            Err(error) => return error,
        }
    }
}

/// Says goodbye on a connection that has not been greeted on, as far as the other side takes it.
pub(crate) async fn decline(mut opened: Opened, reason: &str, patience: Duration) {
    let goodbye = LinkFrame::Goodbye { cause: Cause::Redundant, reason: reason.to_owned() };
    close(&mut opened.mux, &mut opened.link, Some(goodbye), patience).await;
}

/// Sends the last words and closes the connection in an orderly way, or gives up after `patience`.
pub(crate) async fn close(
    mux: &mut Mux,
    link: &mut (impl AsyncWrite + Unpin),
    goodbye: Option<LinkFrame>,
    patience: Duration,
) {
    let closing = async {
        if let Some(goodbye) = goodbye {
            // Closed all the same if that stream is gone.
            let _ = alongside(mux, async { Ok(link.write_all(&goodbye.encode()).await?) }).await;
        }
        poll_fn(|cx| mux.poll_close(cx)).await
    };
    let _ = timeout(patience, closing).await;
}

/// Runs `work` on streams of `mux`.
async fn alongside<T>(mux: &mut Mux, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::pin!(work);
    tokio::select! {
        biased;
        result = &mut work => result,
        error = drive(mux) => {
            // What arrived before the end counts.
            match futures::FutureExt::now_or_never(work) {
                Some(Ok(result)) => Ok(result),
                Some(Err(failure @ Failure::Goodbye { .. })) => Err(failure),
                _ => Err(error.into()),
            }
        }
    }
}

async fn first_frame(link: &mut Stream) -> Result<LinkFrame, Failure> {
    let bytes = read_frame(link, MAX_LINK_FRAME).await.map_err(|error| match error {
        FrameError::End => Failure::Io(io::ErrorKind::UnexpectedEof.into()),
        FrameError::TooLong(_) => Failure::Violation("the first frame is too long"),
        FrameError::Io(error) => error.into(),
    })?;
    match LinkFrame::decode(&bytes) {
        LinkFrame::Goodbye { cause, reason } => Err(Failure::Goodbye { cause, reason }),
        frame => Ok(frame),
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match Refusal::from_io(&error) {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Io(error),
        }
    }
}

impl From<MuxError> for Failure {
    fn from(error: MuxError) -> Self {
        let ended = match error {
            MuxError::Violation => return Self::Violation("broken multiplexing (yamux)"),
            MuxError::Ended(ended) => ended,
        };
        match ended {
            ConnectionError::Io(error) | ConnectionError::Decode(FrameDecodeError::Io(error)) => error.into(),
            ConnectionError::Decode(_) => Self::Violation("malformed multiplexing"),
            _ => Self::Io(io::Error::new(io::ErrorKind::ConnectionAborted, "closed by the other side")),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Redundant(peer) => write!(f, "there is another link to {}", peer.short()),
            Self::Goodbye { reason, .. } => write!(f, "the other side declined: {reason}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Io(error) => error.fmt(f),
            Self::Violation(what) => write!(f, "not a peer, or a broken one: {what}"),
        }
    }
}
