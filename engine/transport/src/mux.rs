//! The multiplexer of a link: yamux, and an end where the crate of that name goes on.
//!
//! When the other side breaks the rules of yamux, the crate answers with a GoAway that names an error, throws the offending
//! frame away and serves the next one, so that a piece would be missing in the middle of a stream. It reports nothing of that;
//! so what it writes is looked at. Such a GoAway is kept back, nothing more is read, and [`Mux::poll_next_inbound`] tells of
//! it while the streams can still carry a goodbye.
//!
//! The crate flushes after each frame, and each flush is a TLS record of its own, with 22 bytes more. Here what is written leaves
//! when nothing more is to be written or read at the moment: frames that are there together share records.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};
use tokio::io::BufWriter;
use tokio_rustls::TlsStream;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use yamux::ConnectionError;

use crate::counted::Counted;

/// The plaintext of the largest TLS record.
const TLS_RECORD: usize = 16 * 1024;

/// Streams of one link, those of later versions included.
const MAX_STREAMS: usize = 16;

/// Bytes that the other side may have sent and we have not read, over all streams of a link.
const MAX_UNREAD: usize = 16 * 1024 * 1024;

/// The header of a yamux frame: version, kind, flags (2 bytes), stream (4), length or code (4), big endian.
const HEADER: usize = 12;
/// The kind of frame that has as many bytes after its header as that says.
const DATA: u8 = 0;
/// The kind of frame that ends the connection; its code is 0 when nothing is wrong.
const GO_AWAY: u8 = 3;

pub(crate) type Stream = Compat<yamux::Stream>;

/// A connection with streams.
pub(crate) struct Mux {
    connection: yamux::Connection<Watched<Compat<BufWriter<TlsStream<Counted>>>>>,
    violated: Arc<AtomicBool>,
    told: bool,
}

/// Why a connection carries nothing any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MuxError {
    /// The other side broke the rules of yamux. Told once; what is written still leaves.
    #[error(
        "broken multiplexing (yamux): data beyond the window, a stream that is open or not its own to open, or an unasked pong"
    )]
    Violation,
    /// The connection has ended.
    #[error("{0}")]
    Ended(#[from] ConnectionError),
}

impl Mux {
    pub(crate) fn new(tls: TlsStream<Counted>, mode: yamux::Mode) -> Self {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(MAX_STREAMS);
        config.set_max_connection_receive_window(Some(MAX_UNREAD));
        // A frame and its header share a TLS record: one record and, for small messages, one packet.
        config.set_split_send_size(TLS_RECORD - HEADER);
        let violated = Arc::new(AtomicBool::new(false));
        let socket = BufWriter::with_capacity(TLS_RECORD, tls).compat();
        let connection = yamux::Connection::new(Watched::new(socket, violated.clone()), config, mode);
        Self { connection, violated, told: false }
    }

    /// Opens a stream.
    pub(crate) fn poll_new_outbound(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, MuxError>> {
        let opened = ready!(self.connection.poll_new_outbound(cx))?;
        Poll::Ready(Ok(opened.compat()))
    }

    /// Moves bytes between the socket and the streams, until the other side opens one.
    pub(crate) fn poll_next_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, MuxError>> {
        let polled = self.connection.poll_next_inbound(cx);
        if !self.told && self.violated.load(Ordering::Relaxed) {
            self.told = true;
            return Poll::Ready(Err(MuxError::Violation));
        }
        let opened = ready!(polled).unwrap_or(Err(ConnectionError::Closed))?;
        Poll::Ready(Ok(opened.compat()))
    }

    /// Sends what waits, and closes.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), MuxError>> {
        self.connection.poll_close(cx).map_err(MuxError::from)
    }
}

/// The socket below the multiplexer. Keeps back a GoAway with an error, and gives nothing to read from then on. Flushes when the
/// multiplexer has done all it can, and not whenever it says so.
struct Watched<S> {
    socket: S,
    violated: Arc<AtomicBool>,
    /// The last flush was not finished: it goes on first, however much there is to read.
    flushing: bool,
    /// Bytes of the present frame that are still to be written after its header.
    body: usize,
    /// What has been written of the present header.
    header: Vec<u8>,
}

impl<S> Watched<S> {
    fn new(socket: S, violated: Arc<AtomicBool>) -> Self {
        Self { socket, violated, flushing: false, body: 0, header: Vec::with_capacity(HEADER) }
    }

    /// Whether `bytes` begin with such a GoAway.
    fn begins_with_error(&self, bytes: &[u8]) -> bool {
        let begins_frame = self.body == 0 && self.header.is_empty();
        begins_frame && matches!(bytes, [_, GO_AWAY, _, _, _, _, _, _, code @ ..] if code != [0; 4])
    }

    fn written(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = if self.body > 0 { self.body } else { HEADER - self.header.len() };
            let (some, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.body > 0 {
                self.body -= some.len();
                continue;
            }
            self.header.extend_from_slice(some);
            if let [_, kind, .., a, b, c, d] = *self.header.as_slice()
                && self.header.len() == HEADER
            {
                self.body = if kind == DATA { u32::from_be_bytes([a, b, c, d]) as usize } else { 0 };
                self.header.clear();
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.flushing = flushed.is_pending();
        flushed
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.violated.load(Ordering::Relaxed)
            && let Poll::Ready(read) = Pin::new(&mut self.socket).poll_read(cx, buffer)
        {
            return Poll::Ready(read);
        }
        // The multiplexer reads when it has nothing to write.
        ready!(self.flush(cx))?;
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.begins_with_error(bytes) {
            self.violated.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(bytes.len()));
        }
        let n = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.written(bytes.get(..n).unwrap_or_default());
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flushing { self.flush(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}
