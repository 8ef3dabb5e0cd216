//! The connection between the two peers, as `system:data_sync_info` shows it.

use std::{
    error::Error,
    io,
    num::NonZeroU64,
    thread,
    time::{Duration, Instant},
};

use dittolive_ditto::prelude::*;
use futures::executor::block_on;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use crate::{
    conflicts::Conflicts,
    load::Loaded,
    output::say,
    pair::Pair,
    summary::{bytes, rate},
    watch::Watch,
};

/// How often the state of the connection is looked at.
const INTERVAL: Duration = Duration::from_millis(20);
/// If nothing is acknowledged for so long, something is wrong. Bytes alone are no progress: a peer whose disk is full
/// connects and fails for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// How one peer sees the other. Numbers are sums since the program started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct Link {
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub documents_sent: u64,
    pub documents_received: u64,
    catching_up: bool,
    documents: Acknowledged,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
struct Acknowledged {
    /// The other peer holds, durably, everything that it wants up to this commit.
    synced_up_to_local_commit_id: Option<NonZeroU64>,
}

impl Link {
    /// How `ditto` sees the one other peer.
    fn of(ditto: &Ditto) -> Result<Self, DittoError> {
        let peers = block_on(ditto.store().execute("SELECT * FROM system:data_sync_info"))?;
        peers.get_item(0).map_or_else(|| Ok(Self::default()), |peer| peer.deserialize_value())
    }

    fn is_done(&self, commit: Option<NonZeroU64>) -> bool {
        !self.catching_up && self.documents.synced_up_to_local_commit_id >= commit
    }

    pub fn print(&self, time: Duration, loaded: &Loaded) -> io::Result<()> {
        let Self { bytes_sent, bytes_received, documents_sent, .. } = *self;
        let traffic = bytes_sent + bytes_received;
        match (documents_sent, loaded.resumed) {
            (0, _) => say!(
                "   B has everything from an earlier run: no document was sent again, the reconnect took {traffic} bytes"
            ),
            (sent, true) => say!(
                "   B resumes where an earlier run ended: {sent} of {} documents were sent, the reconnect took {traffic} bytes",
                loaded.documents
            ),
            (sent, false) => say!(
                "   B holds them after {:.2} s: {sent} documents, {}, {} sent",
                time.as_secs_f64(),
                rate(sent, time),
                bytes(bytes_sent)
            ),
        }
    }
}

/// Waits until each peer has acknowledged the other's commit, and so everything before it. Returns how A sees B.
pub fn wait(
    pair: &Pair,
    documents: u64,
    [commit_a, commit_b]: [Option<NonZeroU64>; 2],
    watch: &Watch,
) -> Result<Link, Box<dyn Error>> {
    let style = ProgressStyle::with_template("   [{bar:40}] {pos}/{len} documents at B, {per_sec}")?;
    let bar = ProgressBar::new(documents).with_style(style);
    let mut before = None;
    let mut moved = Instant::now();
    loop {
        let now = (Link::of(&pair.a)?, Link::of(&pair.b)?);
        for report in watch.reports() {
            bar.suspend(|| say!("   {report}"))?;
        }
        if now.0.is_done(commit_a) && now.1.is_done(commit_b) {
            bar.finish_and_clear();
            // What B has acknowledged since A was looked at counts too.
            return Ok(Link::of(&pair.a)?);
        }
        let acknowledged = Some((now.0.documents, now.1.documents));
        if acknowledged != before {
            (before, moved) = (acknowledged, Instant::now());
        } else if moved.elapsed() > PATIENCE {
            bar.abandon();
            return Err(stuck().into());
        }
        bar.set_position(now.1.documents_received.min(documents));
        thread::sleep(INTERVAL);
    }
}

/// Waits until both peers show the same of what was edited apart. Returns how A sees B.
pub fn wait_for_merge(pair: &Pair, conflicts: &Conflicts) -> Result<Link, Box<dyn Error>> {
    let started = Instant::now();
    while !conflicts.are_merged(pair)? {
        if started.elapsed() > PATIENCE {
            return Err(stuck().into());
        }
        thread::sleep(INTERVAL);
    }
    Ok(Link::of(&pair.a)?)
}

fn stuck() -> String {
    format!(
        "the sync has not moved for {} s; the messages above say why, and with --keep a second run resumes",
        PATIENCE.as_secs()
    )
}
