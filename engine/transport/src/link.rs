//! A link at work, in one task.
//!
//! Everything of a link happens in one task: moving bytes, reading and writing each channel, keeping alive. A message so
//! crosses no thread on its way to the socket, and the link is gone when its task is.

use std::fmt::Display;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ditto_mesh::{Link, LinkId};
use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, split};
use tokio::sync::SetOnce;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use yamux::{ConnectionError, FrameDecodeError};

use crate::establish::{Opened, close, drive};
use crate::event::{Channel, LinkDown, LinkEvent};
use crate::frame::{FrameError, MAX_FRAME, read_frame};
use crate::life::{Signs, speak, watch};
use crate::mux::MuxError;
use crate::registry::Claim;
use crate::sender::LinkShared;
use crate::transports::Hub;
use crate::wire::{Cause, LinkFrame, MAX_LINK_FRAME};
use crate::{LinkSender, Options};

/// What a channel's reader takes from its stream at once.
const READ_BUFFER: usize = 16 * 1024;

/// A batch buffer larger than this is given back after use.
const KEPT_BUFFER: usize = 128 * 1024;

/// An admitted link.
pub(crate) struct Ready {
    pub(crate) opened: Opened,
    pub(crate) link: Link,
    pub(crate) address: String,
    pub(crate) sender: LinkSender,
    pub(crate) claim: Claim,
    /// The ends of older links to the same peer.
    pub(crate) older: Vec<CancellationToken>,
}

/// Runs the link until it ends, and tells of both. Returns how long it was up. `stop` ends it in an orderly way.
pub(crate) async fn run(ready: Ready, hub: &Hub, stop: &CancellationToken) -> Duration {
    let Ready { opened, link, address, sender, claim, older } = ready;
    let Opened { mut mux, link: stream, control, replication, number } = opened;
    let shared = sender.shared().clone();
    let options = &hub.options;
    let (link_reader, mut link_writer) = split(stream);
    let (control_reader, control_writer) = split(control);
    let (replication_reader, replication_writer) = split(replication);
    let signs = Signs::default();
    let closed = SetOnce::new();
    let told = AtomicBool::new(false);
    let since = Instant::now();

    let mut listen = Box::pin(listen(link_reader, &signs));
    let mut deliver = Box::pin(async {
        // In the consumer's eyes a peer has one link at a time.
        for end in &older {
            end.cancelled().await;
        }
        let up = LinkEvent::Up {
            link: link.id,
            peer: link.peer,
            kind: link.kind,
            dialed: link.dialed,
            address: address.clone(),
            outgoing: sender,
        };
        hub.deliver(up).await?;
        told.store(true, Ordering::Relaxed);
        info!("link up");
        // To the end of both: when the connection has ended, what has arrived still counts.
        tokio::try_join!(
            read_channel(Channel::Control, control_reader, link.id, &closed, hub),
            read_channel(Channel::Replication, replication_reader, link.id, &closed, hub),
        )?;
        Ok(())
    });
    let closing = async {
        tokio::select! {
            reason = shared.closing() => reason,
            () = stop.cancelled() => match hub.stop.is_cancelled() {
                true => LinkDown::Shutdown,
                false => LinkDown::TargetRemoved,
            },
        }
    };
    tokio::pin!(closing);
    let greeting = (!link.dialed).then_some(LinkFrame::Greeting { number });

    let mut connected = true;
    let mut reason = tokio::select! {
        biased;
        reason = &mut closing => reason,
        reason = &mut listen => reason,
        result = &mut deliver => result.err().unwrap_or_else(|| ended(Channel::Control)),
        channel = closed.wait() => ended(channel),
        reason = speak(&mut link_writer, greeting, &signs, options) => reason,
        reason = write_channel(Channel::Control, control_writer, &shared, options) => reason,
        reason = write_channel(Channel::Replication, replication_writer, &shared, options) => reason,
        // After all that write: what they write at the same moment leaves together.
        error = drive(&mut mux) => {
            connected = matches!(error, MuxError::Violation);
            match listen.as_mut().now_or_never() {
                Some(goodbye @ LinkDown::ByPeer(_)) => goodbye,
                _ => lost(error),
            }
        }
        // After all that was read: what has come in while nobody looked is a sign of life.
        reason = watch(&signs, &shared, link.dialed, options) => reason,
        reason = tell_writable(Channel::Control, &shared, hub) => reason,
        reason = tell_writable(Channel::Replication, &shared, hub) => reason,
    };
    if !connected || matches!(reason, LinkDown::ByPeer(_)) {
        // What the other side sent before it left is still delivered, unless the consumer has no use for it.
        let rest = async {
            if !connected || timeout(options.goodbye_timeout, drive(&mut mux)).await.is_ok() {
                let _ = timeout(options.stall_timeout, &mut deliver).await;
            }
        };
        tokio::select! {
            biased;
            ended_here = &mut closing => reason = ended_here,
            () = rest => {}
        }
    }
    drop(deliver);
    drop(listen);
    drop(claim);
    shared.control.close();
    shared.replication.close();

    let up = since.elapsed();
    close(&mut mux, &mut link_writer, goodbye(&reason), options.goodbye_timeout).await;
    let traffic = shared.counters.traffic();
    if told.load(Ordering::Relaxed) {
        info!(%reason, seconds = up.as_secs(), sent = traffic.sent, received = traffic.received, "link down");
        hub.deliver_end(LinkEvent::Down { link: link.id, reason }).await;
    } else {
        debug!(%reason, "link given up before it was used");
    }
    hub.registry.ended(link.id);
    up
}

/// What the other side is told when we close; nothing if it is gone or closed itself.
fn goodbye(reason: &LinkDown) -> Option<LinkFrame> {
    let cause = match reason {
        LinkDown::ByPeer(_) | LinkDown::Lost(_) => return None,
        LinkDown::Superseded => Cause::Redundant,
        _ => Cause::Other,
    };
    Some(LinkFrame::Goodbye { cause, reason: reason.to_string() })
}

/// A link is all of its streams: it is of no use when one of them carries nothing any more.
fn ended(stream: impl Display) -> LinkDown {
    LinkDown::Violation(format!("the {stream} stream was closed without a goodbye"))
}

fn lost(error: MuxError) -> LinkDown {
    match error {
        MuxError::Ended(
            ConnectionError::Io(error) | ConnectionError::Decode(FrameDecodeError::Io(error)),
        ) => LinkDown::Lost(error.to_string()),
        MuxError::Ended(ConnectionError::Closed) => LinkDown::Lost("closed by the other side".to_owned()),
        error => LinkDown::Violation(error.to_string()),
    }
}

/// Reads the frames of the link itself.
async fn listen(mut stream: impl AsyncRead + Unpin, signs: &Signs) -> LinkDown {
    loop {
        match read_frame(&mut stream, MAX_LINK_FRAME).await.map(|bytes| LinkFrame::decode(&bytes)) {
            Ok(LinkFrame::Ping) => signs.wanted.notify_one(),
            Ok(LinkFrame::Pong) => signs.given.notify_one(),
            Ok(LinkFrame::Goodbye { reason, .. }) => return LinkDown::ByPeer(reason),
            Ok(LinkFrame::Greeting { .. } | LinkFrame::Unknown) => {}
            Err(FrameError::TooLong(length)) => {
                return LinkDown::Violation(format!("a link frame of {length} bytes"));
            }
            Err(FrameError::End) => return ended("link"),
            Err(FrameError::Io(error)) => return LinkDown::Lost(error.to_string()),
        }
    }
}

/// Hands the messages of a channel to the consumer, at the consumer's pace. `Ok` when the stream ends, which `closed` tells.
async fn read_channel(
    channel: Channel,
    stream: impl AsyncRead + Unpin,
    link: LinkId,
    closed: &SetOnce<Channel>,
    hub: &Hub,
) -> Result<(), LinkDown> {
    let mut stream = BufReader::with_capacity(READ_BUFFER, stream);
    loop {
        match read_frame(&mut stream, MAX_FRAME).await {
            Ok(bytes) => hub.deliver(LinkEvent::Message { link, channel, bytes }).await?,
            Err(FrameError::TooLong(length)) => return Err(LinkDown::FrameTooLong { channel, length }),
            Err(FrameError::End) => {
                // The first one counts.
                let _ = closed.set(channel);
                return Ok(());
            }
            Err(FrameError::Io(error)) => return Err(LinkDown::Lost(error.to_string())),
        }
    }
}

/// Sends what is queued on a channel.
async fn write_channel(
    channel: Channel,
    mut stream: impl AsyncWrite + Unpin,
    link: &LinkShared,
    options: &Options,
) -> LinkDown {
    let mut batch = Vec::new();
    loop {
        link.queue(channel).next_batch(&mut batch).await;
        let mut rest = batch.as_slice();
        while !rest.is_empty() {
            match timeout(options.stall_timeout, stream.write(rest)).await {
                Ok(Ok(n)) if n > 0 => rest = rest.get(n..).unwrap_or_default(),
                Ok(Ok(_)) => return ended(channel),
                Ok(Err(error)) if error.kind() == ErrorKind::WriteZero => return ended(channel),
                Ok(Err(error)) => return LinkDown::Lost(error.to_string()),
                Err(_) => return LinkDown::Stalled { channel, after: options.stall_timeout },
            }
        }
        if let Err(error) = stream.flush().await {
            return LinkDown::Lost(error.to_string());
        }
        if batch.capacity() > KEPT_BUFFER {
            batch = Vec::new();
        }
    }
}

/// Apart from the writer, which must not wait for a busy consumer.
async fn tell_writable(channel: Channel, link: &LinkShared, hub: &Hub) -> LinkDown {
    loop {
        link.queue(channel).drained().await;
        if let Err(reason) = hub.deliver(LinkEvent::Writable { link: link.id, channel }).await {
            return reason;
        }
    }
}
