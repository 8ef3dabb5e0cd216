//! Thirty peers of one process in a mesh of redundant links: what arrives although it is there already.
//!
//! Everybody subscribes to everything. Each link passes a [`Relay`], and what all of them carried is compared with what two
//! peers need for the same, times the links of a tree.

use std::time::{Duration, Instant};

use tempfile::{TempDir, tempdir};

use super::Context;
use crate::Failure;
use crate::documents::{Document, Random, documents};
use crate::line::{Budget, Line, Unit};
use crate::measure::wait_until;
use crate::ours::Peer;
use crate::relay::Relay;

const PEERS: usize = 30;
/// A ring, and as many links across it.
const LINKS: usize = 2 * PEERS;
/// Documents of one commit.
const COMMIT: usize = 10;
/// How long no document must have come to count as the end; so many links are never silent, since each says now and then
/// that it is alive.
const QUIET: Duration = Duration::from_millis(2_000);

struct Mesh {
    peers: Vec<Peer>,
    relays: Vec<Relay>,
    /// The databases go with them.
    directories: Vec<TempDir>,
}

impl Mesh {
    /// Peers joined by links, the first of which has documents.
    fn new(count: usize, links: &[(usize, usize)], documents: &[Document]) -> Result<Self, Failure> {
        let mut mesh = Self { peers: Vec::new(), relays: Vec::new(), directories: Vec::new() };
        let mut addresses = Vec::new();
        for number in 0..count {
            let directory = tempdir()?;
            let peer = Peer::open(directory.path())?;
            if number == 0 {
                peer.insert_batches(documents)?;
            }
            peer.subscribe()?;
            let mut targets = Vec::new();
            for (_, earlier) in links.iter().filter(|(later, _)| *later == number) {
                let relay = Relay::start(*addresses.get(*earlier).ok_or("a link leads to a later peer")?)?;
                targets.push(relay.address());
                mesh.relays.push(relay);
            }
            addresses.push(peer.listen_and_connect_to(&targets)?);
            mesh.peers.push(peer);
            mesh.directories.push(directory);
        }
        Ok(mesh)
    }

    /// Waits until everybody has so many documents.
    fn arrive(&self, count: usize) -> Result<(), Failure> {
        let arrived = |peer| wait_until("the arrival of all documents", || Ok(Peer::count(peer)? >= count));
        self.peers.iter().try_for_each(arrived)
    }

    /// The same, and that no document comes any more.
    fn settle(&self, count: usize) -> Result<(), Failure> {
        self.arrive(count)?;
        let (mut seen, mut since) = (0, Instant::now());
        wait_until("an end of what arrives twice", || {
            let received = self.traffic()?.documents;
            if received != seen {
                (seen, since) = (received, Instant::now());
            }
            Ok(since.elapsed() >= QUIET)
        })
    }

    fn traffic(&self) -> Result<Traffic, Failure> {
        let received = self.peers.iter().map(Peer::all_documents_received);
        let bytes = self.relays.iter().map(Relay::bytes).sum::<u64>();
        Ok(Traffic { documents: received.sum::<Result<u64, Failure>>()?, bytes })
    }

    /// Everybody inserts by turns, [`COMMIT`] documents at a time, each once the ones before have arrived everywhere.
    fn write_by_turns(&self, before: usize, documents: &[Document]) -> Result<(), Failure> {
        let mut there = before;
        for (turn, commit) in documents.chunks(COMMIT).enumerate() {
            let Some(peer) = self.peers.get(turn * 7 % self.peers.len()) else { continue };
            peer.insert_batches(commit)?;
            there += commit.len();
            self.arrive(there)?;
        }
        self.settle(there)
    }
}

impl Drop for Mesh {
    /// Who dials goes first, or it would say that it cannot reach the other.
    fn drop(&mut self) {
        self.peers.iter().rev().for_each(Peer::stop_sync);
    }
}

/// Of all links together.
#[derive(Clone, Copy)]
struct Traffic {
    documents: u64,
    bytes: u64,
}

impl Traffic {
    fn since(self, before: Self) -> Self {
        Self { documents: self.documents - before.documents, bytes: self.bytes - before.bytes }
    }

    /// As lines: what a mesh carried, against what a tree of the same peers would have.
    fn lines(self, what: &str, two_peers: Self, documents: usize) -> [Line; 2] {
        let edges = (PEERS - 1) as f64;
        [
            Line::new(
                format!("{what}, documents that arrive (peer: needed)"),
                self.documents as f64,
                Unit::Count,
            )
            .against(edges * documents as f64)
            .within(Budget::RatioAtMost(1.3)),
            Line::new(
                format!("{what}, bytes of all links (peer: of a tree)"),
                self.bytes as f64,
                Unit::Bytes,
            )
            .against(edges * two_peers.bytes as f64),
        ]
    }
}

/// A ring and chords, from the later peer to the earlier one.
fn links(random: &mut Random) -> Vec<(usize, usize)> {
    let mut links: Vec<(usize, usize)> = (1..PEERS).map(|peer| (peer, peer - 1)).collect();
    links.push((PEERS - 1, 0));
    while links.len() < LINKS {
        let (one, other) = (random.index(PEERS), random.index(PEERS));
        let link = (one.max(other), one.min(other));
        if one != other && !links.contains(&link) {
            links.push(link);
        }
    }
    links
}

/// Bytes of documents that arrive although they are there already.
pub fn thirty_peers(context: &Context) -> Result<Vec<Line>, Failure> {
    let stock = documents(16, context.scaled(10_000));
    let (live, warming_up) = (documents(17, context.scaled(1_000)), documents(18, 20 * COMMIT));
    let run = |count: usize, links: &[(usize, usize)]| -> Result<(Traffic, Traffic), Failure> {
        context.step(format!("{count} peers: first sync of {} documents", stock.len()));
        let mesh = Mesh::new(count, links, &stock)?;
        mesh.settle(stock.len())?;
        let first = mesh.traffic()?;
        context.step(format!("{count} peers: {} documents, from everywhere", live.len()));
        // The links are judged by what they bring.
        mesh.write_by_turns(stock.len(), &warming_up)?;
        let before = mesh.traffic()?;
        mesh.write_by_turns(stock.len() + warming_up.len(), &live)?;
        Ok((first, mesh.traffic()?.since(before)))
    };
    let (first_of_two, live_of_two) = run(2, &[(1, 0)])?;
    let (first, then) = run(PEERS, &links(&mut Random::new(1)))?;
    let of_first = first.lines("30 peers, 60 links, first sync", first_of_two, stock.len());
    let of_live = then.lines("30 peers, 60 links, live changes", live_of_two, live.len());
    Ok(of_first.into_iter().chain(of_live).collect())
}
