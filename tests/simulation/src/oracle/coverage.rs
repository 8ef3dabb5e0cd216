//! Who subscribes holds what it subscribes to; where everybody subscribes to everything, all are equal byte by byte.

use std::collections::BTreeMap;

use ditto_crdt::{Sequence, SiteId, Version};
use ditto_replication::limits::MAX_RUNS;
use ditto_replication::{DocumentKey, Interest, Replica, Stored};
use ditto_value::{Object, Value, ValueRef};

use crate::peer::{Peer, Process, Wish};
use crate::refusals;
use crate::world::{Wanting, World};

/// Every neighbour of every peer holds everything that the peer knows of what the neighbour subscribes to.
pub fn neighbours(world: &World, verdicts: &mut Vec<String>) {
    let are_two = world.peers.len() == 2;
    for link in &world.links {
        for [from, to] in [link.ends, [link.ends[1], link.ends[0]]] {
            let (from, to) = (&world.peers[from], &world.peers[to]);
            // What a subscriber holds it hears of to the end, whether or not it still matches. If that was taken from another peer
            // since, it has to say so, which it does of what is alive, and an older build does not.
            let says_so = !from.older && !to.older;
            let held_counts = |held: &Stored| are_two || says_so && held.alive;
            covered(from, to, &to.wishes, Sequence(u64::MAX), &held_counts, verdicts);
        }
    }
}

/// The end of a link that is behind holds everything up to the position that it says it has applied.
pub fn positions(world: &World, link: usize, verdicts: &mut Vec<String>) {
    if world.wanting != Wanting::Everything {
        return;
    }
    let ends = world.links[link].ends;
    for [from, to] in [ends, [ends[1], ends[0]]] {
        if let Some(position) = world.position(link, to) {
            let (from, to) = (&world.peers[from], &world.peers[to]);
            // What is kept back at one end has no position.
            let mut wishes = to.wishes.clone();
            wishes.retain(|wish| travels(from, to, wish) && travels(to, from, wish));
            covered(from, to, &wishes, position, &|_| false, verdicts);
        }
    }
}

/// Whether a peer lets the other have what a subscription asks for.
fn travels(from: &Peer, to: &Peer, wish: &Wish) -> bool {
    let Some(process) = &from.process else { return false };
    let interest = process.replica.compile(&wish.query, &wish.arguments);
    interest.is_ok_and(|interest| process.replica.may_travel(to.key, &interest.collection))
}

/// Each end of a link holds everything up to the checkpoints of the other's history that it has stored for what it subscribes
/// to now.
pub fn checkpoints(world: &World, link: usize, verdicts: &mut Vec<String>) {
    let ends = world.links[link].ends;
    for [from, to] in [ends, [ends[1], ends[0]]] {
        let (from, to) = (&world.peers[from], &world.peers[to]);
        for wish in &to.wishes {
            if let Some(sequence) = checkpoint(from, to, wish, verdicts) {
                covered(from, to, std::slice::from_ref(wish), sequence, &|_| false, verdicts);
            }
        }
    }
}

/// What the subscriber has stored for a subscription, if it lies in the history of the publisher, and if all that it was told of
/// that run does. Otherwise it is not used, as after the publisher was restored. What was told of its run is recorded as long as
/// there is the checkpoint.
fn checkpoint(
    publisher: &Peer,
    subscriber: &Peer,
    wish: &Wish,
    verdicts: &mut Vec<String>,
) -> Option<Sequence> {
    let (from, to) = (publisher.process.as_ref()?, subscriber.process.as_ref()?);
    let interest = to.replica.compile(&wish.query, &wish.arguments).ok()?;
    let evictions = to.replica.eviction_count(&interest.collection);
    let decisive = if publisher.older || subscriber.older { 0 } else { DECISIVE_CAPABILITIES };
    let site = to.replica.site();
    let name = effective_interest(&interest.normalized, &wish.arguments, evictions, decisive, site);
    let stored = to.replica.checkpoint(publisher.key, &name).ok()??;
    let (runs, last) = (from.replica.runs(), from.replica.last_sequence());
    let is_there = |run, sequence| {
        let Some(index) = runs.iter().position(|(known, _)| *known == run) else { return false };
        sequence <= last && runs.get(index + 1).is_none_or(|(_, next)| sequence < *next)
    };
    let seen = to.replica.remembered(publisher.key).ok()?;
    if stored.sequence == Sequence(0) {
        return None;
    }
    let Some(seen) = seen.into_iter().take(MAX_RUNS).find(|seen| seen.run == stored.run) else {
        let numbers = (subscriber.number, publisher.number);
        verdicts
            .push(format!("peer {} has a checkpoint of {} that it cannot vouch for", numbers.0, numbers.1));
        return None;
    };
    let rests_on = seen.rests_on();
    (is_there(stored.run, rests_on) && is_there(stored.run, stored.sequence)).then_some(stored.sequence)
}

/// The capabilities on which it depends what arrives, of two peers of the present build.
const DECISIVE_CAPABILITIES: u64 = 1 << 3;

/// The name of a checkpoint, as docs/protocol.md says in section 6.
fn effective_interest(
    normalized: &str,
    arguments: &Object,
    evictions: u64,
    decisive: u64,
    site: SiteId,
) -> [u8; 16] {
    let arguments =
        if arguments.is_empty() { Vec::new() } else { Value::Object(arguments.clone()).to_cbor() };
    let mut selection = blake3::Hasher::new();
    selection.update(&(normalized.len() as u64).to_le_bytes());
    selection.update(normalized.as_bytes());
    selection.update(&arguments);
    let mut name = blake3::Hasher::new_derive_key("ditto-replication 2026 effective interest 2");
    name.update(&selection.finalize().as_bytes()[..16]);
    name.update(&evictions.to_le_bytes());
    name.update(&decisive.to_le_bytes());
    name.update(&site.0.to_le_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&name.finalize().as_bytes()[..16]);
    first
}

/// Every document that the change log of a peer names, up to a sequence, with that of its newest change.
fn documents(process: &Process, up_to: Sequence) -> impl Iterator<Item = (DocumentKey, Sequence)> {
    let changes = process.replica.changes(Sequence(0), up_to, usize::MAX).unwrap_or_default();
    changes.into_iter().map(|change| (change.key, change.sequence))
}

/// What must be held.
pub(super) struct Asked {
    /// By what was asked for.
    pub(super) interest: Interest,
    /// As far as it was changed last up to this sequence of the publisher.
    pub(super) up_to: Sequence,
}

fn covered(
    publisher: &Peer,
    subscriber: &Peer,
    wishes: &[Wish],
    up_to: Sequence,
    held_counts: &dyn Fn(&Stored) -> bool,
    verdicts: &mut Vec<String>,
) {
    let Some(from) = &publisher.process else { return };
    let compiled = wishes.iter().filter_map(|wish| from.replica.compile(&wish.query, &wish.arguments).ok());
    let asked: Vec<Asked> = compiled.map(|interest| Asked { interest, up_to }).collect();
    compare(publisher, subscriber, &asked, held_counts, &|_| false, verdicts);
}

/// A subscriber holds what was asked for, and knows all of what it holds and that counts, but for the exceptions.
pub(super) fn compare(
    publisher: &Peer,
    subscriber: &Peer,
    asked: &[Asked],
    held_counts: &dyn Fn(&Stored) -> bool,
    is_excepted: &dyn Fn(&DocumentKey) -> bool,
    verdicts: &mut Vec<String>,
) {
    let (Some(from), Some(to)) = (&publisher.process, &subscriber.process) else { return };
    let up_to = asked.iter().map(|asked| asked.up_to).max().unwrap_or(Sequence(0));
    for (key, newest) in documents(from, up_to) {
        let concerns = |asked: &&Asked| asked.up_to >= newest && asked.interest.collection == key.collection;
        let mut interests = asked.iter().filter(concerns).map(|asked| &asked.interest).peekable();
        let is_refused = subscriber.refuses && refusals::refusal(&key).is_some();
        if interests.peek().is_none() || is_excepted(&key) || is_refused {
            continue;
        }
        let Ok(Some(stored)) = from.replica.document(&key) else { continue };
        let value = ValueRef::from_stored(&stored.value);
        let wanted =
            interests.any(|interest| interest.unfiltered || stored.alive && (interest.matcher)(value));
        let held = to.replica.document(&key).ok().flatten();
        if !wanted && !held.as_ref().is_some_and(held_counts) {
            continue;
        }
        let numbers = (publisher.number, subscriber.number);
        let Some(held) = held else {
            verdicts.push(format!("{} of peer {} did not arrive at {}", name(&key), numbers.0, numbers.1));
            continue;
        };
        if held.version == stored.version {
            continue;
        }
        let Ok(Some(whole)) = from.replica.delta_since(&key, Sequence(0)) else { continue };
        let merged = to.replica.merged_version(&key, &whole.delta);
        if !matches!(&merged, Ok(Ok(version)) if *version == held.version) {
            let (from, to) = (publisher.document(&id(&key)), subscriber.document(&id(&key)));
            let words = if wanted { "" } else { ", which is not wanted" };
            verdicts.push(format!(
                "{}: peer {} has {from:?}{words}, peer {} has {to:?}",
                name(&key),
                numbers.0,
                numbers.1
            ));
        }
    }
}

/// What a peer says, by hashed name: the version of everything known of a document, and the bytes that queries see.
type Contents = BTreeMap<(String, [u8; 16]), (Version, Vec<u8>)>;

fn contents(peer: &Peer) -> Contents {
    let Some(process) = &peer.process else { return Contents::new() };
    let mut contents = Contents::new();
    // What some refuse does not come to who is behind them either; who holds it tells all others that they are joined to.
    let taken = |(key, _): &(DocumentKey, Sequence)| refusals::refusal(key).is_none();
    for (key, _) in documents(process, Sequence(u64::MAX)).filter(taken) {
        if let Ok(Some(stored)) = process.replica.document(&key) {
            contents.insert((key.collection.to_string(), hashed(&key)), (stored.version, stored.value));
        }
    }
    contents
}

/// A buried document is named by its hash already.
pub(super) fn hashed(key: &DocumentKey) -> [u8; 16] {
    let hash = blake3::hash(&key.id);
    let bytes = if key.is_by_hash() { &key.id[1..] } else { &hash.as_bytes()[..] };
    let mut first = [0; 16];
    first.copy_from_slice(&bytes[..16]);
    first
}

/// Where everybody subscribes to everything, everybody holds the same as whoever it is joined to, tombstones and graves
/// included.
pub fn equality(world: &World, verdicts: &mut Vec<String>) {
    if world.wanting != Wanting::Everything {
        return;
    }
    let mut contents_of = BTreeMap::new();
    for peer in world.peers.iter().filter(|peer| !world.gone.contains(&peer.number)) {
        let number = world.joined(peer.number).into_iter().next().unwrap_or(peer.number);
        let first = contents_of.entry(number).or_insert_with(|| contents(&world.peers[number]));
        let other = contents(peer);
        let differ = first.iter().filter(|(key, value)| other.get(*key) != Some(*value)).count();
        let more = other.keys().filter(|key| !first.contains_key(*key)).count();
        if differ + more > 0 {
            let numbers = (number, peer.number);
            verdicts.push(format!(
                "peers {} and {} differ in {differ} documents, and {more} are unknown to the first",
                numbers.0, numbers.1
            ));
        }
    }
}

fn name(key: &DocumentKey) -> String {
    format!("{}/{}", key.collection, if key.is_by_hash() { format!("{key:?}") } else { id(key) })
}

fn id(key: &DocumentKey) -> String {
    ditto_value::key::decode(&key.id)
        .ok()
        .and_then(|(value, _)| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
