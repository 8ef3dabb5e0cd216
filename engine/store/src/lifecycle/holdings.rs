//! What remote peers are known to hold.
//!
//! A write exists elsewhere if some peer has acknowledged it. That is kept small: for each interest of each remote peer the
//! local sequence up to which it has acknowledged what the interest asks for, and the exceptions, documents that it did not
//! take as they were sent. Beyond that, the `changes` row of a document names a peer that holds exactly what is here.
//!
//! All of it is evidence, which may be lost (then less is known to exist elsewhere, and more is protected) but must not be
//! wrong. So what a peer acknowledged is void when the peer says that it has evicted documents since, or continues
//! under another identity, or has lost a part of its history. And when the housekeeping forgets a peer, what came from it until
//! then proves nothing when it is met again, nor does what it acknowledged of that time if it had not taken all of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use ditto_crdt::{Sequence, SiteId};
use ditto_storage::{Batch, Direction, Keyspace, Snapshot};
use ditto_value::{Object, Value, ValueRef};
use parking_lot::RwLock;

use super::names;
use super::rows::{self, Forgotten, InterestRow, PeerRow};
use crate::error::{OpenError, StoreError};
use crate::layout::{self, DocumentKey, Reader};
use crate::replica::Matcher;

/// Exceptions of one peer that are remembered; beyond it its acknowledgements do not advance, and say nothing of what there was.
pub(crate) const MAX_UNHELD: usize = 10_000;
/// The longest query with arguments, in bytes, whose acknowledgements are kept.
const MAX_INTEREST_BYTES: usize = 16 * 1024;
/// Interests of one peer that are remembered, of all its sessions: as many as one session may have. Of more, those are forgotten
/// that were not used for longest.
pub const MAX_REMEMBERED_INTERESTS: usize = 1_000;
/// Their queries and arguments together, in bytes: as many as those of one session may have.
pub const MAX_REMEMBERED_INTEREST_BYTES: usize = 1024 * 1024;
/// How long evidence may wait in memory for a commit to go with, in milliseconds.
const FLUSH_AFTER_MS: u64 = 1_000;

/// The public key of a remote peer.
pub(crate) type PeerBytes = [u8; 32];
/// What stands for query and arguments of an interest.
pub(crate) type SelectionBytes = [u8; 16];

/// What a remote peer says of itself when a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Under which identity it writes.
    pub site: SiteId,
    /// How often it has evicted documents.
    pub evictions: u64,
    /// It has less of its own history than was seen of it.
    pub is_behind: bool,
    /// Its wall clock a moment ago, in milliseconds since 1970, if it says so.
    pub clock_ms: Option<u64>,
}

/// An interest of a remote peer that is served.
#[derive(Clone, Debug)]
pub struct ServedInterest {
    /// What stands for query and arguments.
    pub selection: [u8; 16],
    /// `SELECT * FROM c [WHERE …]`, normalised.
    pub query: String,
    /// A CBOR map; empty for none.
    pub arguments: Vec<u8>,
    /// By its own checkpoint it holds all of it up to this local sequence. If it had acknowledged more, it has lost something.
    pub held: Sequence,
}

/// A remote peer that was met, in this opening or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownPeer {
    /// Its public key.
    pub peer: [u8; 32],
    /// When the last session with it began, in milliseconds since 1970.
    pub met_ms: u64,
    /// The local sequence up to which it has acknowledged everything that it asked for in that session; `None` if it asked for
    /// nothing, or has not acknowledged some of it yet.
    pub acknowledged: Option<Sequence>,
}

/// What a remote peer has acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged {
    /// For interests, up to where.
    pub interests: Vec<([u8; 16], Sequence)>,
    /// Documents that it took as they were sent, with the first local sequence that was sent.
    pub held: Vec<(DocumentKey, Sequence)>,
    /// Documents that it did not take as they were sent: refused, or dead there. With the first local sequence that was sent.
    pub unheld: Vec<(DocumentKey, Sequence)>,
}

/// What is to be known of a document to tell who holds it.
pub(crate) struct Facts<'a> {
    pub collection: &'a str,
    /// Encoded `_id` or hash.
    pub name: &'a [u8],
    /// The visible document; `None` if it is dead.
    pub value: Option<ValueRef<'a>>,
    /// Sequence of its newest change.
    pub newest: Sequence,
    /// Who holds exactly this, by its `changes` row.
    pub origin: Option<u64>,
}

/// The writes of a peer: it knows them, unless it has forgotten since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnWrites {
    site: SiteId,
    floor: Sequence,
}

impl OwnWrites {
    /// Whether a write by `site`, taken over here at `sequence`, is one of them.
    pub(crate) fn include(&self, site: SiteId, sequence: Sequence) -> bool {
        self.site.0 != 0 && site == self.site && sequence > self.floor
    }
}

/// What becomes of all that a peer was known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Stands,
    /// It proves nothing any more. It `must_be_stored` at once that this is so, unless that would write what is stored already: then
    /// only how often the peer has evicted is new, and who has not stored that hears it once more.
    Void {
        must_be_stored: bool,
    },
}

#[derive(Default)]
pub(crate) struct Holdings(RwLock<State>);

#[derive(Default)]
struct State {
    peers: HashMap<PeerBytes, Holder>,
    /// Rows that are newer here than in the storage.
    dirty: BTreeSet<Vec<u8>>,
    /// A peer was met of which nothing is stored.
    has_new_peer: bool,
    flushed_ms: u64,
    forgotten: Forgotten,
}

#[derive(Default)]
struct Holder {
    row: PeerRow,
    interests: BTreeMap<SelectionBytes, Held>,
    /// First sequence that it does not hold, by collection and hash of the `_id`.
    unheld: HashMap<Unheld, Sequence>,
    /// Up to here it may lack what it acknowledged: there were more exceptions, which are not known.
    unproven: Sequence,
    /// How far it was offered what was taken from others, by collection. Without a name: all of which nothing else is known.
    offered: BTreeMap<Box<str>, Sequence>,
    /// An interest that it had acknowledged is forgotten here, but its row may still be stored.
    has_left_row: bool,
}

type Unheld = (Box<str>, names::KeyHash);

struct Held {
    row: InterestRow,
    /// `None`: the query cannot be understood any more.
    collection: Option<Box<str>>,
    /// What the whole query is compiled to, which takes some fifty times as much memory as that.
    /// `None` inside: the query cannot be understood any more, so it covers nothing.
    compiled: OnceLock<Option<Covers>>,
}

#[derive(Clone)]
struct Covers {
    /// `None`: all documents.
    matcher: Option<Matcher>,
}

/// Understands the query of an interest.
pub(crate) type Compile<'c> = &'c dyn Fn(&str, &Object) -> Option<crate::replica::Interest>;

impl Held {
    fn new(row: InterestRow) -> Self {
        let collection = ditto_dql::subscribed_collection(&row.query);
        let collection = collection.map(|collection| collection.to_string().into());
        Self { row, collection, compiled: OnceLock::new() }
    }

    fn is_of(&self, collection: &str) -> bool {
        self.collection.as_deref() == Some(collection)
    }

    fn bytes(&self) -> usize {
        self.row.query.len() + self.row.arguments.len()
    }

    fn covers(&self, compile: Compile<'_>) -> Option<&Covers> {
        let compiled = self.compiled.get_or_init(|| {
            let arguments = match self.row.arguments.as_slice() {
                [] => Object::new(),
                cbor => match Value::from_cbor(cbor) {
                    Ok(Value::Object(arguments)) => arguments,
                    _ => return None,
                },
            };
            let interest = compile(&self.row.query, &arguments)?;
            let matcher = (!interest.unfiltered).then_some(interest.matcher);
            Some(Covers { matcher })
        });
        compiled.as_ref()
    }
}

impl Holder {
    /// Whether this peer holds the document as it is. A dead document is covered by every interest in its collection:
    /// whoever was told holds the deletion, or nothing of the document.
    ///
    /// That an interest is acknowledged up to some sequence says nothing of a document that has changed since: only its
    /// newest change is in the change log, and when the walk came by the place of an earlier one that may have moved already.
    fn holds(&self, facts: &Facts<'_>, compile: Compile<'_>) -> bool {
        if facts.origin == Some(self.row.origin) && facts.newest > self.row.floor {
            return true;
        }
        let covers = |held: &Held| {
            held.row.acknowledged >= facts.newest
                && facts.newest > self.unproven
                && held.is_of(facts.collection)
                && held.covers(compile).is_some_and(|covers| match (&covers.matcher, facts.value) {
                    (Some(matcher), Some(value)) => matcher(value),
                    _ => true,
                })
        };
        self.interests.values().any(covers)
            && (self.unheld.is_empty() || !self.unheld.contains_key(&unheld(facts.collection, facts.name)))
    }
}

fn unheld(collection: &str, name: &[u8]) -> Unheld {
    (collection.into(), names::hash_of(name))
}

/// The rest of the `replication` key: length of the collection's name (2) ‖ name ‖ hash (16).
fn unheld_name((collection, hash): &Unheld) -> Vec<u8> {
    let length = u16::try_from(collection.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], collection.as_bytes(), hash].concat()
}

fn split_unheld_name(bytes: &[u8]) -> Option<Unheld> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (collection, hash) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(collection).ok()?.into(), hash.try_into().ok()?))
}

impl Holdings {
    /// Reads what was kept.
    pub(crate) fn read(snapshot: &dyn Snapshot) -> Result<Self, OpenError> {
        let mut state = State::default();
        if let Some(value) = snapshot.get(Keyspace::Catalog, layout::CATALOG_FORGOTTEN)? {
            let corrupt = || OpenError::Corrupt { row: "forgotten".to_string(), found: value.len() };
            state.forgotten = Forgotten::decode(&value).ok_or_else(corrupt)?;
        }
        let others = [rows::TAG_INTEREST, rows::TAG_UNHELD, rows::TAG_OFFERED, rows::TAG_UNPROVEN];
        for tag in std::iter::once(rows::TAG_PEER).chain(others) {
            for row in snapshot.prefix(Keyspace::Replication, &[tag], Direction::Forward) {
                let (key, value) = row?;
                if state.read_row(&key, &value).is_none() {
                    return Err(OpenError::Corrupt { row: "replication".to_string(), found: value.len() });
                }
            }
        }
        Ok(Self(RwLock::new(state)))
    }

    /// Knows from now on what `read` knows, and nothing else.
    pub(crate) fn replace(&self, read: Self) {
        *self.0.write() = read.0.into_inner();
    }

    /// Whether no other peer was ever met.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.read().peers.is_empty()
    }

    /// All peers that are remembered.
    pub(crate) fn known_peers(&self) -> Vec<KnownPeer> {
        let known = |(peer, holder): (&PeerBytes, &Holder)| {
            let met_ms = holder.row.used_ms;
            // What it asked for in earlier sessions only says nothing of what it holds by now.
            let asked_for = holder.interests.values().filter(|held| held.row.used_ms >= met_ms);
            let acknowledged = asked_for.map(|held| held.row.acknowledged).min();
            KnownPeer {
                peer: *peer,
                met_ms,
                acknowledged: acknowledged.filter(|up_to| *up_to > Sequence::ZERO),
            }
        };
        self.0.read().peers.iter().map(known).collect()
    }

    /// Whether anybody is known to have asked for documents of the collection.
    pub(crate) fn is_asked_for(&self, collection: &str) -> bool {
        let state = self.0.read();
        let mut interests = state.peers.values().flat_map(|holder| holder.interests.values());
        interests.any(|held| held.is_of(collection))
    }

    /// Whether `peer` is known to hold the document as it is.
    pub(crate) fn holds(&self, peer: &PeerBytes, facts: &Facts<'_>, compile: Compile<'_>) -> bool {
        self.0.read().peers.get(peer).is_some_and(|holder| holder.holds(facts, compile))
    }

    /// Whether some peer is known to hold the document as it is.
    pub(crate) fn anybody_holds(&self, facts: &Facts<'_>, compile: Compile<'_>) -> bool {
        self.0.read().peers.values().any(|holder| holder.holds(facts, compile))
    }

    /// How the writes that a peer made by itself are told from others.
    pub(crate) fn own_writes(&self, peer: &PeerBytes) -> OwnWrites {
        let state = self.0.read();
        let row = state.peers.get(peer).map(|holder| holder.row).unwrap_or_default();
        OwnWrites { site: row.site, floor: row.floor }
    }

    /// Under which identity a peer writes.
    pub(crate) fn site(&self, peer: &PeerBytes) -> Option<SiteId> {
        self.0.read().peers.get(peer).map(|holder| holder.row.site).filter(|site| site.0 != 0)
    }

    /// A peer has sent documents. Its row must exist before anything is recorded as coming from it.
    pub(crate) fn met(&self, peer: &PeerBytes, origin: u64, now_ms: u64) {
        let known = self.0.read().peers.contains_key(peer);
        if !known {
            self.0.write().holder(peer, origin, now_ms);
        }
    }

    /// A session begins. Answers whether earlier evidence is void.
    pub(crate) fn greeted(
        &self,
        peer: &PeerBytes,
        origin: u64,
        greeting: Greeting,
        last: Sequence,
        now_ms: u64,
    ) -> Evidence {
        let mut state = self.0.write();
        let known = state.peers.contains_key(peer);
        let holder = state.holder(peer, origin, now_ms);
        let same = holder.row.evictions == greeting.evictions
            && (holder.row.site == greeting.site || holder.row.site.0 == 0);
        let void = known && (greeting.is_behind || !same);
        let is_renamed = holder.row.site != greeting.site;
        holder.row.site = greeting.site;
        holder.row.evictions = greeting.evictions;
        holder.row.used_ms = now_ms;
        state.dirty.insert(rows::peer_key(peer));
        if !void {
            return Evidence::Stands;
        }
        match state.void(peer, last) {
            Evidence::Void { .. } if is_renamed => Evidence::Void { must_be_stored: true },
            void => void,
        }
    }

    /// A peer says in a running session how often it has evicted by now. As [`Holdings::greeted`].
    pub(crate) fn evicted(&self, peer: &PeerBytes, evictions: u64, last: Sequence) -> Evidence {
        let mut state = self.0.write();
        let Some(holder) = state.peers.get_mut(peer) else { return Evidence::Stands };
        if std::mem::replace(&mut holder.row.evictions, evictions) == evictions {
            return Evidence::Stands;
        }
        state.void(peer, last)
    }

    /// A peer asks for something from now on. If it does not hold what it had acknowledged, it has lost more than that; `last` is the
    /// newest sequence.
    pub(crate) fn serves(
        &self,
        peer: &PeerBytes,
        origin: u64,
        interest: ServedInterest,
        last: Sequence,
        now_ms: u64,
    ) -> Evidence {
        let ServedInterest { selection, query, arguments, held: up_to } = interest;
        if query.len() + arguments.len() > MAX_INTEREST_BYTES {
            return Evidence::Stands;
        }
        let mut state = self.0.write();
        let holder = state.holder(peer, origin, now_ms);
        let held = holder.interests.entry(selection).or_insert_with(|| {
            Held::new(InterestRow { acknowledged: Sequence::ZERO, used_ms: now_ms, query, arguments })
        });
        held.row.used_ms = now_ms;
        let has_lost = held.row.acknowledged > up_to;
        state.dirty.insert(rows::interest_key(peer, &selection));
        if has_lost { state.void(peer, last) } else { Evidence::Stands }
    }

    /// The interests of a peer beyond what is remembered of one, those that were not used for longest, with their collections.
    pub(crate) fn excess(&self, peer: &PeerBytes) -> Vec<(SelectionBytes, Option<Box<str>>)> {
        let state = self.0.read();
        let Some(holder) = state.peers.get(peer) else { return Vec::new() };
        let mut count = holder.interests.len();
        let mut bytes: usize = holder.interests.values().map(Held::bytes).sum();
        if count <= MAX_REMEMBERED_INTERESTS && bytes <= MAX_REMEMBERED_INTEREST_BYTES {
            return Vec::new();
        }
        let mut oldest: Vec<_> = holder.interests.iter().collect();
        oldest.sort_by_key(|(_, held)| held.row.used_ms);
        let mut excess = Vec::new();
        for (selection, held) in oldest {
            if count <= MAX_REMEMBERED_INTERESTS && bytes <= MAX_REMEMBERED_INTEREST_BYTES {
                break;
            }
            count -= 1;
            bytes -= held.bytes();
            excess.push((*selection, held.collection.clone()));
        }
        excess
    }

    /// Forgets interests of a peer, with their rows.
    pub(crate) fn forget_interests<'s>(
        &self,
        peer: &PeerBytes,
        selections: impl IntoIterator<Item = &'s SelectionBytes>,
    ) {
        let mut state = self.0.write();
        let State { peers, dirty, .. } = &mut *state;
        let Some(holder) = peers.get_mut(peer) else { return };
        for selection in selections {
            if let Some(held) = holder.interests.remove(selection) {
                holder.has_left_row |= held.row.acknowledged > Sequence::ZERO;
                dirty.insert(rows::interest_key(peer, selection));
            }
        }
    }

    /// A peer has acknowledged something, none of it after `last`.
    pub(crate) fn acknowledged(&self, peer: &PeerBytes, acknowledged: &Acknowledged, last: Sequence) {
        let mut state = self.0.write();
        let State { peers, dirty, .. } = &mut *state;
        let Some(holder) = peers.get_mut(peer) else { return };
        if !holder.unheld.is_empty() {
            for (key, from) in &acknowledged.held {
                holder.hold_from(peer, unheld(&key.collection, &key.id), *from, dirty);
            }
        }
        for (key, from) in &acknowledged.unheld {
            let name = unheld(&key.collection, &key.id);
            if holder.unheld.len() >= MAX_UNHELD && !holder.unheld.contains_key(&name) {
                holder.unproven = last;
                dirty.insert(rows::unproven_key(peer));
                continue;
            }
            dirty.insert(rows::unheld_key(peer, &unheld_name(&name)));
            let first = holder.unheld.entry(name).or_insert(*from);
            *first = (*first).min(*from);
        }
        if holder.unheld.len() >= MAX_UNHELD {
            return;
        }
        for (selection, up_to) in &acknowledged.interests {
            if let Some(held) = holder.interests.get_mut(selection)
                && held.row.acknowledged < *up_to
            {
                held.row.acknowledged = *up_to;
                dirty.insert(rows::interest_key(peer, selection));
            }
        }
    }

    /// How far a peer was offered what was taken from others of a collection, if that was ever recorded.
    pub(crate) fn offered(&self, peer: &PeerBytes, collection: &str) -> Option<Sequence> {
        let state = self.0.read();
        let offered = &state.peers.get(peer)?.offered;
        offered.get(collection).or_else(|| offered.get("")).copied()
    }

    /// A peer was offered what was taken from others of a collection, up to this local sequence.
    pub(crate) fn set_offered(&self, peer: &PeerBytes, collection: &str, up_to: Sequence) {
        let mut state = self.0.write();
        let State { peers, dirty, .. } = &mut *state;
        let Some(holder) = peers.get_mut(peer) else { return };
        if holder.offered.insert(collection.into(), up_to) != Some(up_to) {
            dirty.insert(rows::offered_key(peer, collection));
        }
    }

    /// A peer has sent exactly what is here now.
    pub(crate) fn is_equal(&self, peer: &PeerBytes, collection: &str, name: &[u8]) {
        if self.0.read().peers.get(peer).is_none_or(|holder| holder.unheld.is_empty()) {
            return;
        }
        let mut state = self.0.write();
        let State { peers, dirty, .. } = &mut *state;
        if let Some(holder) = peers.get_mut(peer) {
            holder.hold(peer, collection, name, dirty);
        }
    }

    /// Adds what the storage does not have to a commit, unless that was done a moment ago and no peer was met since: what is
    /// recorded as coming from a peer would be taken for proven after a crash if nothing was known of the peer then.
    pub(crate) fn join_commit(&self, batch: &mut Batch, now_ms: u64) {
        let due = {
            let state = self.0.read();
            let is_time = now_ms.abs_diff(state.flushed_ms) >= FLUSH_AFTER_MS;
            !state.dirty.is_empty() && (is_time || state.has_new_peer)
        };
        if due {
            self.flush(batch, now_ms);
        }
    }

    /// Adds everything that the storage does not have.
    pub(crate) fn flush(&self, batch: &mut Batch, now_ms: u64) {
        let mut state = self.0.write();
        state.flushed_ms = now_ms;
        state.has_new_peer = false;
        state.peers.values_mut().for_each(|holder| holder.has_left_row = false);
        for key in std::mem::take(&mut state.dirty) {
            match state.row(&key) {
                Some(value) => batch.put(Keyspace::Replication, key, value),
                None => batch.delete(Keyspace::Replication, key),
            }
        }
    }

    /// The keys of all rows with the time of their last use. Exceptions, and what was offered, are as old as their peer. A row that
    /// says what is unproven goes with its peer, and is not counted.
    pub(crate) fn ages(&self) -> Vec<(Vec<u8>, u64)> {
        let state = self.0.read();
        let mut ages = Vec::new();
        for (peer, holder) in &state.peers {
            ages.push((rows::peer_key(peer), holder.row.used_ms));
            let interests = holder.interests.iter();
            ages.extend(interests.map(|(name, held)| (rows::interest_key(peer, name), held.row.used_ms)));
            let offered = holder.offered.keys().map(|name| rows::offered_key(peer, name));
            ages.extend(offered.map(|key| (key, holder.row.used_ms)));
            let exceptions = holder.unheld.keys();
            ages.extend(
                exceptions.map(|name| (rows::unheld_key(peer, &unheld_name(name)), holder.row.used_ms)),
            );
        }
        ages
    }

    /// Forgets the rows of these keys; their removal from the storage is the caller's. With an exception goes all that
    /// the peer has acknowledged, with a peer everything. Answers with what is to be stored of that in the same commit.
    pub(crate) fn forget(&self, keys: &BTreeSet<Vec<u8>>, last: Sequence) -> Forgotten {
        let mut state = self.0.write();
        for key in keys {
            let Some((tag, peer, rest)) = rows::split_replication_key(key) else { continue };
            if tag == rows::TAG_PEER {
                if let Some(holder) = state.peers.remove(&peer) {
                    state.dirty.extend(holder.keys(&peer));
                    state.forgotten.peers = last;
                    let unproven = if holder.unheld.is_empty() { holder.unproven } else { last };
                    state.forgotten.exceptions = state.forgotten.exceptions.max(unproven);
                }
                continue;
            }
            let Some(holder) = state.peers.get_mut(&peer) else { continue };
            match tag {
                rows::TAG_INTEREST => {
                    if let Ok(selection) = SelectionBytes::try_from(rest) {
                        holder.interests.remove(&selection);
                    }
                }
                rows::TAG_OFFERED => {
                    if let Ok(collection) = std::str::from_utf8(rest) {
                        holder.offered.remove(collection);
                    }
                }
                _ => {
                    if let Some(name) = split_unheld_name(rest) {
                        holder.unheld.remove(&name);
                    }
                    holder.unproven = last;
                    holder.interests.values_mut().for_each(|held| held.row.acknowledged = Sequence::ZERO);
                    let interests = holder.interests.keys().map(|name| rows::interest_key(&peer, name));
                    let keys: Vec<_> = interests.chain([rows::unproven_key(&peer)]).collect();
                    state.dirty.extend(keys);
                }
            }
        }
        state.forgotten
    }

    /// The exceptions whose document is dead or gone: `is_needed` says of collection and hash whether it lives.
    pub(crate) fn drop_exceptions(
        &self,
        is_needed: &dyn Fn(&str, &names::KeyHash) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let all: Vec<(PeerBytes, Unheld)> = {
            let state = self.0.read();
            let of = |(peer, holder): (&PeerBytes, &Holder)| {
                holder.unheld.keys().map(|name| (*peer, name.clone())).collect::<Vec<_>>()
            };
            state.peers.iter().flat_map(of).collect()
        };
        for (peer, name) in all {
            if !is_needed(&name.0, &name.1)? {
                let mut state = self.0.write();
                let State { peers, dirty, .. } = &mut *state;
                if let Some(holder) = peers.get_mut(&peer)
                    && holder.unheld.remove(&name).is_some()
                {
                    dirty.insert(rows::unheld_key(&peer, &unheld_name(&name)));
                }
            }
        }
        Ok(())
    }
}

impl Holder {
    fn hold(&mut self, peer: &PeerBytes, collection: &str, name: &[u8], dirty: &mut BTreeSet<Vec<u8>>) {
        let name = unheld(collection, name);
        if self.unheld.remove(&name).is_some() {
            dirty.insert(rows::unheld_key(peer, &unheld_name(&name)));
        }
    }

    /// As [`Self::hold`], if the peer lacks nothing that is older than what it took.
    fn hold_from(&mut self, peer: &PeerBytes, name: Unheld, from: Sequence, dirty: &mut BTreeSet<Vec<u8>>) {
        if self.unheld.get(&name).is_some_and(|first| *first >= from) {
            self.unheld.remove(&name);
            dirty.insert(rows::unheld_key(peer, &unheld_name(&name)));
        }
    }

    /// The keys of all its rows.
    fn keys(&self, peer: &PeerBytes) -> Vec<Vec<u8>> {
        let interests = self.interests.keys().map(|name| rows::interest_key(peer, name));
        let exceptions = self.unheld.keys().map(|name| rows::unheld_key(peer, &unheld_name(name)));
        let offered = self.offered.keys().map(|name| rows::offered_key(peer, name));
        let unproven = (self.unproven > Sequence::ZERO).then(|| rows::unproven_key(peer));
        let others = offered.chain(unproven).chain([rows::peer_key(peer)]);
        interests.chain(exceptions).chain(others).collect()
    }
}

impl State {
    fn holder(&mut self, peer: &PeerBytes, origin: u64, now_ms: u64) -> &mut Holder {
        let Self { dirty, has_new_peer, forgotten, .. } = self;
        self.peers.entry(*peer).or_insert_with(|| {
            *has_new_peer = true;
            // It may have been met before.
            let row = PeerRow { origin, floor: forgotten.peers, used_ms: now_ms, ..PeerRow::default() };
            let holder = Holder { row, unproven: forgotten.exceptions, ..Holder::default() };
            dirty.extend(holder.keys(peer));
            holder
        })
    }

    /// What the peer is known to hold it may hold no longer. What it is known not to hold it still does not: it goes on from
    /// its own checkpoints, past what it did not take. Only what changes is written: a peer may say so again and again.
    fn void(&mut self, peer: &PeerBytes, last: Sequence) -> Evidence {
        let Self { peers, dirty, .. } = self;
        let Some(holder) = peers.get_mut(peer) else { return Evidence::Stands };
        let mut must_be_stored = holder.has_left_row;
        must_be_stored |= std::mem::replace(&mut holder.row.floor, last) != last;
        dirty.insert(rows::peer_key(peer));
        for (selection, held) in &mut holder.interests {
            if std::mem::take(&mut held.row.acknowledged) > Sequence::ZERO {
                must_be_stored = true;
                dirty.insert(rows::interest_key(peer, selection));
            }
        }
        Evidence::Void { must_be_stored }
    }

    /// What is to be stored under a key; `None` if nothing is.
    fn row(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (tag, peer, rest) = rows::split_replication_key(key)?;
        let holder = self.peers.get(&peer)?;
        match tag {
            rows::TAG_PEER => Some(holder.row.encode()),
            rows::TAG_INTEREST => {
                Some(holder.interests.get::<SelectionBytes>(rest.try_into().ok()?)?.row.encode())
            }
            rows::TAG_OFFERED => {
                let offered = holder.offered.get(std::str::from_utf8(rest).ok()?)?;
                Some(layout::sequence_key(*offered).to_vec())
            }
            rows::TAG_UNPROVEN => {
                (holder.unproven > Sequence::ZERO).then(|| layout::sequence_key(holder.unproven).to_vec())
            }
            _ => Some(layout::sequence_key(*holder.unheld.get(&split_unheld_name(rest)?)?).to_vec()),
        }
    }

    fn read_row(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (tag, peer, rest) = rows::split_replication_key(key)?;
        if tag == rows::TAG_PEER {
            let row = PeerRow::decode(value)?;
            // Its claims are no evidence, but there may be a row.
            if peer == rows::NOBODY {
                return Some(());
            }
            self.peers.entry(peer).or_default().row = row;
            return Some(());
        }
        // Rows of a peer without its own row were left by a pruning.
        let Some(holder) = self.peers.get_mut(&peer) else { return Some(()) };
        if tag == rows::TAG_INTEREST {
            let row = InterestRow::decode(value)?;
            holder.interests.insert(rest.try_into().ok()?, Held::new(row));
        } else if tag == rows::TAG_OFFERED {
            let collection = std::str::from_utf8(rest).ok()?;
            holder.offered.insert(collection.into(), layout::decode_sequence_key(value)?);
        } else if tag == rows::TAG_UNPROVEN {
            holder.unproven = layout::decode_sequence_key(value)?;
        } else {
            let mut reader = Reader(value);
            holder.unheld.insert(split_unheld_name(rest)?, Sequence(reader.u64()?));
        }
        Some(())
    }
}
