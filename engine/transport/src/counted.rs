//! Bytes on the socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant};

use crate::Traffic;

/// A byte stream that a link can be made of.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

#[derive(Debug)]
pub(crate) struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    since: Instant,
    /// When the last byte was received, in nanoseconds since then.
    heard: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            since: Instant::now(),
            heard: AtomicU64::new(0),
        }
    }

    /// When the other side was heard last: at the latest when the socket was opened.
    pub(crate) fn heard(&self) -> Instant {
        self.since + Duration::from_nanos(self.heard.load(Ordering::Relaxed))
    }

    pub(crate) fn received(&self, n: usize) {
        self.received.fetch_add(n as u64, Ordering::Relaxed);
        // Good for 584 years.
        let heard = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.heard.store(heard, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, n: usize) {
        self.sent.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic { sent: self.sent.load(Ordering::Relaxed), received: self.received.load(Ordering::Relaxed) }
    }
}

/// Counts what the operating system took and gave.
pub(crate) struct Counted {
    socket: Box<dyn Socket>,
    counters: Arc<Counters>,
}

impl Counted {
    pub(crate) fn new(socket: impl Socket + 'static) -> Self {
        Self { socket: Box::new(socket), counters: Arc::new(Counters::new()) }
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    fn sent(&self, n: usize) -> usize {
        self.counters.sent(n);
        n
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        let n = buffer.filled().len().saturating_sub(before);
        if n > 0 {
            self.counters.received(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes).map_ok(|n| self.sent(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes).map_ok(|n| self.sent(n))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
