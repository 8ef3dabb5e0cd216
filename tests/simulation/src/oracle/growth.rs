//! What a peer keeps is bounded by what lives, what is within its time, and what has to be kept for ever.
//!
//! Looked at when a world is over, and everybody has grown old: more days pass than a tombstone may wait for its burial, and the
//! housekeeping runs on each. The bounds are those of docs/file-format.md (*Growth*) with the numbers of the world in them.

use std::collections::BTreeSet;

use ditto_crdt::Sequence;
use ditto_replication::Replica;
use ditto_storage::{Direction, Keyspace, Snapshot, Storage};

use crate::peer::Peer;
use crate::world::{Wanting, World};

/// Days for which a tombstone waits for its burial.
const TOMBSTONE_DAYS: u64 = 7;
/// Days until nothing that is dead is within its time: the age of a database counts from housekeeping to housekeeping, and each looks at
/// what is due then.
const DAYS: u64 = TOMBSTONE_DAYS + 2;
const DAY_MS: u64 = 24 * 60 * 60_000;
/// Different subscriptions that a peer of the simulation may have had: `plants`, `pairs`, both halves, `lies`, and eight filters.
const SUBSCRIPTIONS: u64 = 13;
/// `plants`, `pairs`, `halves`, `lies`.
const COLLECTIONS: u64 = 4;
/// Definitions of indexes are overwritten, dropped ones removed.
const INDEXES: u64 = 2;
/// Rows of `catalog` of which there is one: format, database, site, place, reaped, forgotten, scopes, age.
const SINGLE_ROWS: u64 = 8;
/// Runs of one other peer that are remembered.
const SEEN_RUNS: u64 = 64;
/// Reports of lost writes.
const REPORTS: u64 = 10_000;
/// A record has no more bytes than the document in canonical form so many times …
const RECORD_TIMES: u64 = 2;
/// … and so many besides.
const RECORD_BYTES: u64 = 100;

/// Nobody's key, under which forks are recorded that were answered: of those some are kept for ever.
const NOBODY: [u8; 32] = [0; 32];

impl World {
    /// Time passes at everybody until nothing that has died is within its time.
    pub(crate) fn grow_old(&mut self) {
        for peer in 0..self.peers.len() {
            self.pass_days(peer, DAYS);
        }
    }
}

/// What a peer has stored in a world in which everybody has grown old.
pub fn of_storages(world: &World, verdicts: &mut Vec<String>) {
    for peer in world.peers.iter().filter(|peer| !world.gone.contains(&peer.number)) {
        for (what, rows, most) in rows(world, peer) {
            if rows > most {
                verdicts.push(format!("peer {} keeps {rows} {what}, more than {most}", peer.number));
            }
        }
    }
}

/// What there is, how much of it, and how much there may be.
fn rows(world: &World, peer: &Peer) -> Vec<(&'static str, u64, u64)> {
    let Some(process) = &peer.process else { return Vec::new() };
    let Ok(verified) = process.store.verify() else { return Vec::new() };
    let snapshot = peer.storage.snapshot();
    let count = |keyspace, tag: &[u8]| keys(&*snapshot, keyspace, tag).len() as u64;
    let of_replication = |tag: u8| {
        let keys = keys(&*snapshot, Keyspace::Replication, &[tag]);
        keys.into_iter().filter(|key| key.get(1..33) != Some(&NOBODY)).count() as u64
    };
    let remotes = remotes(world, peer);
    let evictions: u64 = process.store.collections().iter().map(|collection| collection.evictions).sum();
    let identities = 1 + peer.forks;
    let (live, dead) = (verified.documents, verified.tombstones);
    let records = snapshot.prefix(Keyspace::Documents, &[], Direction::Forward).flatten();
    let bytes: u64 = records.map(|(_, record)| record.len() as u64).sum();
    let (overdue, within) = waiting(&*snapshot);
    let mut bounds = vec![
        ("rows of changes", count(Keyspace::Changes, &[]), live + dead + verified.graves),
        ("rows of commits", count(Keyspace::Commits, &[]), live + dead + verified.graves),
        ("tombstones that wait", overdue, dead),
        ("reports of lost writes", verified.conflicts, REPORTS),
        ("rows of indexes", verified.index_rows, INDEXES * live),
        ("bytes of records", bytes, RECORD_TIMES * canonical(peer) + RECORD_BYTES * (live + dead)),
        ("runs", count(Keyspace::Catalog, &[3]), peer.begun + identities),
        ("checkpoints", of_replication(1), remotes * SUBSCRIPTIONS * (1 + evictions) * identities),
        ("runs of others", of_replication(2), remotes * SEEN_RUNS),
        ("others that were met", of_replication(3), remotes),
        ("interests of others", of_replication(4), remotes * SUBSCRIPTIONS),
        ("exceptions of others", of_replication(5), remotes * live),
        ("records of what was offered", of_replication(6), remotes * (1 + COLLECTIONS)),
        ("others that may lack something", of_replication(7), remotes),
        (
            "other rows of the catalog",
            count(Keyspace::Catalog, &[]) - count(Keyspace::Catalog, &[3]),
            SINGLE_ROWS + 3 * COLLECTIONS + INDEXES,
        ),
    ];
    // Time that passes while the housekeeping cannot write is forgotten with the process, but not by what has died then.
    if !peer.has_failed {
        bounds.push(("tombstones within their time", within, 0));
    }
    // Of a liar everything may come, graves too.
    if world.intruder.is_none() {
        bounds.push(("graves", verified.graves, world.deletions));
        // Where everybody wants everything, somebody has acknowledged each deletion.
        let is_alone = world.joined(peer.number).len() < 2;
        if world.wanting == Wanting::Everything && !is_alone {
            bounds.push(("tombstones after their time", overdue, 0));
        }
    }
    bounds
}

/// How many rows say that a tombstone waits: after its time, and within it.
fn waiting(snapshot: &dyn Snapshot) -> (u64, u64) {
    let number = |bytes: Option<&[u8]>| {
        bytes.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))).unwrap_or_default()
    };
    let age = snapshot.get(Keyspace::Catalog, b"age").ok().flatten();
    let age = number(age.as_deref().and_then(|row| row.get(8..16)));
    let (mut overdue, mut within) = (0, 0);
    for key in keys(snapshot, Keyspace::Graves, &[2]) {
        let is_overdue = number(key.get(1..9)) + TOMBSTONE_DAYS * DAY_MS <= age;
        *if is_overdue { &mut overdue } else { &mut within } += 1;
    }
    (overdue, within)
}

fn keys(snapshot: &dyn Snapshot, keyspace: Keyspace, tag: &[u8]) -> Vec<Vec<u8>> {
    let rows = snapshot.prefix(keyspace, tag, Direction::Forward).flatten();
    rows.map(|(key, _)| key.to_vec()).collect()
}

/// How many others a peer may have met: neighbours, a liar, and whoever has a newer build; if it runs on a copy, also those of another.
fn remotes(world: &World, peer: &Peer) -> u64 {
    let links = world.links_of(peer.number).into_iter();
    let mut others: BTreeSet<_> =
        links.map(|link| world.peers[world.links[link].other(peer.number)].key).collect();
    if peer.number >= world.founders {
        others.extend(world.peers.iter().map(|other| other.key));
    }
    others.len() as u64 + u64::from(world.intruder.is_some()) + u64::from(world.climate.newer)
}

/// Bytes of everything that is known of the documents that a peer has, as others would be told.
fn canonical(peer: &Peer) -> u64 {
    let Some(process) = &peer.process else { return 0 };
    let changes = process.replica.changes(Sequence(0), Sequence(u64::MAX), usize::MAX).unwrap_or_default();
    let whole = |key| process.replica.delta_since(key, Sequence(0)).ok().flatten();
    let documents = changes.iter().filter(|change| !change.key.is_by_hash());
    documents.filter_map(|change| whole(&change.key)).map(|whole| whole.delta.len() as u64).sum()
}
