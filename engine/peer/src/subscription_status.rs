//! What the application may see of its subscriptions: a row for each and each peer that was told of it, kept by the sync thread,
//! read by queries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ditto_mesh::PeerKey;
use ditto_replication::{DocumentKey, SubscriptionId};
use ditto_value::{Object, Value};
use parking_lot::Mutex;

use crate::environment::now_ms;
use crate::status::listed_id;

/// The virtual collection.
pub(crate) const SUBSCRIPTIONS: &str = "system:subscriptions";

/// Peers that are not connected any more of which a row is kept, of each subscription; those lost longest ago go first.
const MAX_LOST_PEERS: usize = 64;
/// So many documents that left are listed in a row, the last ones.
const MAX_LEFT: usize = 16;

/// What is asked for.
#[derive(Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) query: String,
    pub(crate) arguments: Object,
    pub(crate) collection: Arc<str>,
    /// Canonical text of the query. Other peers are asked once for what is equal by this and the arguments, and tell one of
    /// those subscriptions what they told before.
    pub(crate) normalized: String,
}

/// Shared between the sync thread and the virtual collection.
#[derive(Clone, Default)]
pub(crate) struct SubscriptionStatus(Arc<Mutex<BTreeMap<SubscriptionId, Subscribed>>>);

struct Subscribed {
    asked: Asked,
    peers: BTreeMap<PeerKey, AtPeer>,
}

/// What became of a subscription at a peer.
#[derive(Clone)]
struct AtPeer {
    state: State,
    /// Documents that left its filter with what this peer sent.
    left: u64,
    last_left: VecDeque<Left>,
}

#[derive(Clone)]
enum State {
    /// Asked; nothing came yet.
    Waiting,
    Serving {
        catching_up: bool,
    },
    Refused(String),
    Lost {
        since_ms: u64,
    },
}

#[derive(Clone)]
struct Left {
    id: Value,
    time_ms: u64,
}

impl AtPeer {
    fn new(state: State) -> Self {
        Self { state, left: 0, last_left: VecDeque::new() }
    }
}

impl SubscriptionStatus {
    /// A new subscription, which these peers are asked to serve.
    pub(crate) fn add(&self, id: SubscriptionId, asked: Asked, connected: impl Iterator<Item = PeerKey>) {
        let mut all = self.0.lock();
        let equal = all.values().find(|other| {
            other.asked.normalized == asked.normalized && other.asked.arguments == asked.arguments
        });
        let state = |peer: &PeerKey| equal.and_then(|equal| Some(equal.peers.get(peer)?.state.clone()));
        let peers =
            connected.map(|peer| (peer, AtPeer::new(state(&peer).unwrap_or(State::Waiting)))).collect();
        all.insert(id, Subscribed { asked, peers });
    }

    pub(crate) fn remove(&self, id: SubscriptionId) {
        self.0.lock().remove(&id);
    }

    /// A session begins, in which this peer is asked for everything.
    pub(crate) fn connected(&self, peer: PeerKey) {
        for subscribed in self.0.lock().values_mut() {
            let entry = subscribed.peers.entry(peer);
            entry.or_insert_with(|| AtPeer::new(State::Waiting)).state = State::Waiting;
        }
    }

    pub(crate) fn disconnected(&self, peer: PeerKey) {
        let since_ms = now_ms();
        for subscribed in self.0.lock().values_mut() {
            if let Some(at_peer) = subscribed.peers.get_mut(&peer) {
                at_peer.state = State::Lost { since_ms };
                subscribed.forget_lost();
            }
        }
    }

    pub(crate) fn serves(&self, id: SubscriptionId, peer: PeerKey, catching_up: bool) {
        self.with(id, peer, |at_peer| at_peer.state = State::Serving { catching_up });
    }

    pub(crate) fn refused(&self, id: SubscriptionId, peer: PeerKey, reason: String) {
        self.with(id, peer, |at_peer| at_peer.state = State::Refused(reason));
    }

    /// Documents do not match the filter any more, by changes that this peer sent.
    pub(crate) fn left(&self, id: SubscriptionId, peer: PeerKey, keys: &[DocumentKey]) {
        let time_ms = now_ms();
        self.with(id, peer, |at_peer| {
            at_peer.left += keys.len() as u64;
            let last = keys.get(keys.len().saturating_sub(MAX_LEFT)..).unwrap_or_default();
            at_peer.last_left.extend(last.iter().map(|key| Left { id: listed_id(&key.id), time_ms }));
            let excess = at_peer.last_left.len().saturating_sub(MAX_LEFT);
            at_peer.last_left.drain(..excess);
        });
    }

    fn with(&self, id: SubscriptionId, peer: PeerKey, change: impl FnOnce(&mut AtPeer)) {
        let mut all = self.0.lock();
        // It may have been cancelled meanwhile.
        all.get_mut(&id).and_then(|subscribed| subscribed.peers.get_mut(&peer)).map(change);
    }

    /// The rows of [`SUBSCRIPTIONS`]. `may_travel` says of a collection whether it is synced.
    pub(crate) fn rows(&self, sync_is_active: bool, may_travel: impl Fn(&str) -> bool) -> Vec<Object> {
        let nobody = AtPeer::new(State::Lost { since_ms: 0 });
        let mut rows = Vec::new();
        for (id, subscribed) in &*self.0.lock() {
            let travels = may_travel(&subscribed.asked.collection);
            if subscribed.peers.is_empty() {
                rows.push(row(*id, &subscribed.asked, None, &nobody, sync_is_active, travels));
            }
            for (peer, at_peer) in &subscribed.peers {
                rows.push(row(*id, &subscribed.asked, Some(*peer), at_peer, sync_is_active, travels));
            }
        }
        rows
    }
}

impl Subscribed {
    fn forget_lost(&mut self) {
        let lost = self.peers.iter().filter_map(|(peer, at_peer)| match at_peer.state {
            State::Lost { since_ms } => Some((since_ms, *peer)),
            _ => None,
        });
        let lost: Vec<(u64, PeerKey)> = lost.collect();
        if lost.len() > MAX_LOST_PEERS
            && let Some((_, longest)) = lost.iter().min()
        {
            self.peers.remove(longest);
        }
    }
}

fn row(
    id: SubscriptionId,
    asked: &Asked,
    peer: Option<PeerKey>,
    at_peer: &AtPeer,
    sync_is_active: bool,
    travels: bool,
) -> Object {
    let (state, reason) = match &at_peer.state {
        _ if !sync_is_active => ("Disabled", Value::Null),
        _ if !travels => {
            let reason = "USER_COLLECTION_SYNC_SCOPES of this peer keeps the collection from being synced";
            ("Refused", Value::from(reason))
        }
        State::Waiting => ("Waiting", Value::Null),
        State::Serving { .. } => ("Serving", Value::Null),
        State::Refused(reason) => ("Refused", Value::from(reason.as_str())),
        State::Lost { .. } => ("Not Connected", Value::Null),
    };
    let catching_up = matches!(at_peer.state, State::Serving { catching_up: true });
    let peer = peer.map(|peer| peer.to_string());
    let last_left = at_peer.last_left.iter().map(|left| {
        Value::Object(Object::from([("_id", left.id.clone()), ("time", Value::from(left.time_ms))]))
    });
    Object::from([
        ("_id", Value::from(format!("{}.{}", id.0, peer.as_deref().unwrap_or("none")))),
        ("arguments", Value::Object(asked.arguments.clone())),
        ("catching_up", Value::Bool(catching_up)),
        ("documents_left", Value::from(at_peer.left)),
        ("last_left", Value::Array(last_left.collect())),
        ("peer", peer.map_or(Value::Null, Value::String)),
        ("query", Value::from(asked.query.as_str())),
        ("reason", reason),
        ("state", Value::from(state)),
        ("subscription", Value::from(id.0)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> PeerKey {
        PeerKey::from([number; 32])
    }

    fn subscribed(peers: impl Iterator<Item = PeerKey>) -> SubscriptionStatus {
        let status = SubscriptionStatus::default();
        let asked = Asked {
            query: "SELECT * FROM c".to_owned(),
            arguments: Object::new(),
            collection: "c".into(),
            normalized: "SELECT * FROM `c`".to_owned(),
        };
        status.add(SubscriptionId(1), asked, peers);
        status
    }

    fn document(id: &Value) -> DocumentKey {
        DocumentKey { collection: "c".into(), id: ditto_value::key::of(id).into() }
    }

    #[test]
    fn all_that_left_is_counted_and_the_last_of_it_listed() {
        let status = subscribed([peer(1)].into_iter());
        let ids: Vec<DocumentKey> = (0..40_u64).map(|id| document(&Value::from(id))).collect();
        status.left(SubscriptionId(1), peer(1), &ids[..30]);
        status.left(SubscriptionId(1), peer(1), &ids[30..]);
        status.left(SubscriptionId(1), peer(1), &[document(&Value::from("x".repeat(2_000)))]);
        status.left(SubscriptionId(2), peer(1), &ids);
        let rows = status.rows(true, |_| true);
        assert_eq!(rows[0].get("documents_left"), Some(&Value::from(41_u64)));
        let Some(Value::Array(last)) = rows[0].get("last_left") else { panic!("{rows:?}") };
        let listed: Vec<Option<Value>> = last.iter().map(|left| left.get("_id").cloned()).collect();
        let expected = (25..40_u64).map(Value::from).chain([Value::Null]).map(Some);
        assert_eq!(listed, expected.collect::<Vec<_>>(), "an id that is long is not kept");
    }

    #[test]
    fn of_peers_that_are_gone_a_bounded_number_is_kept() {
        let status = subscribed((0..=255).map(peer));
        (0..200).for_each(|number| status.disconnected(peer(number)));
        let rows = status.rows(true, |_| true);
        assert_eq!(rows.len(), 56 + MAX_LOST_PEERS);
        let count =
            |state: &str| rows.iter().filter(|row| row.get("state") == Some(&Value::from(state))).count();
        assert_eq!((count("Waiting"), count("Not Connected")), (56, MAX_LOST_PEERS));
    }
}
