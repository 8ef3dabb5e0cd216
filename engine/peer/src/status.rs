//! What the application may see of sync: one row per peer, kept by the sync thread, read by queries.

use std::collections::BTreeMap;
use std::sync::Arc;

use ditto_crdt::SiteId;
use ditto_mesh::{LinkKind, PeerKey};
use ditto_replication::{DocumentKey, Statistics};
use ditto_store::{ClockSkew, FutureWrite, KnownPeer};
use ditto_transport::LinkSender;
use ditto_value::{Object, Value};
use parking_lot::Mutex;

use crate::environment::now_ms;

/// The virtual collection with a row per remote peer.
pub(crate) const SYNC_INFO: &str = "system:data_sync_info";

/// Of more peers than these, those are forgotten that are not connected and were not heard for longest.
const MAX_REMEMBERED_PEERS: usize = 1024;

/// The longest `_id` of another peer's document that a row shows, encoded, in bytes.
const MAX_LISTED_ID_BYTES: usize = 1_024;

/// What is known of one remote peer.
#[derive(Clone, Default)]
struct Remote {
    connection: Option<Connection>,
    /// Sums over the connections that ended.
    ended: Counters,
    /// The highest local sequence that the peer has acknowledged.
    acknowledged: Option<u64>,
    /// When its last documents came, in milliseconds since 1970, as are the following.
    last_received_ms: Option<u64>,
    /// When anything came over the connections that ended.
    last_heard_ms: Option<u64>,
    /// When the last connection ended in this opening, if it has.
    disconnected_ms: Option<u64>,
    /// Documents that were not taken over, here or there, in this opening, and the last of them.
    refused: u64,
    last_refused: Option<Refused>,
    /// It is gone, of something that it told only a part is here, and the rest is waited for.
    left_in_part: bool,
}

/// The connection that a peer has now.
#[derive(Clone)]
struct Connection {
    kind: LinkKind,
    link: LinkSender,
    session: Statistics,
}

/// A document that one side did not take over, or cannot be sent.
#[derive(Clone)]
struct Refused {
    collection: Arc<str>,
    id: Value,
    reason: String,
    time_ms: u64,
}

#[derive(Clone, Copy, Default)]
struct Counters {
    bytes_sent: u64,
    bytes_received: u64,
    documents_sent: u64,
    documents_received: u64,
}

/// Shared between the sync thread and the virtual collections.
#[derive(Clone, Default)]
pub(crate) struct SyncStatus(Arc<Mutex<BTreeMap<PeerKey, Remote>>>);

impl SyncStatus {
    /// What the store remembers of peers that were met in earlier openings.
    pub(crate) fn of_earlier(mut known: Vec<KnownPeer>) -> Self {
        known.sort_by_key(|known| std::cmp::Reverse(known.met_ms));
        known.truncate(MAX_REMEMBERED_PEERS);
        let remote = |KnownPeer { peer, met_ms, acknowledged }| {
            let acknowledged = acknowledged.map(|sequence| sequence.0);
            (PeerKey::from(peer), Remote { acknowledged, last_heard_ms: Some(met_ms), ..Remote::default() })
        };
        Self(Arc::new(Mutex::new(known.into_iter().map(remote).collect())))
    }

    /// A session begins. What may be visible in part of the sessions before is so still: its statistics say it from the first moment.
    pub(crate) fn connected(&self, peer: PeerKey, kind: LinkKind, link: LinkSender, session: Statistics) {
        let mut remotes = self.0.lock();
        if remotes.len() >= MAX_REMEMBERED_PEERS && !remotes.contains_key(&peer) {
            let lost = remotes.iter().filter(|(_, remote)| remote.connection.is_none());
            let longest_lost = lost.min_by_key(|(_, remote)| remote.last_heard_ms).map(|(peer, _)| *peer);
            longest_lost.map(|peer| remotes.remove(&peer));
        }
        let remote = remotes.entry(peer).or_default();
        remote.end();
        remote.connection = Some(Connection { kind, link, session });
    }

    pub(crate) fn progress(&self, peer: PeerKey, session: Statistics) {
        if let Some(remote) = self.0.lock().get_mut(&peer)
            && let Some(connection) = &mut remote.connection
        {
            // The session counts by a clock of its own; people want the date.
            if session.last_update_received_ms != connection.session.last_update_received_ms {
                remote.last_received_ms = Some(now_ms());
            }
            remote.acknowledged = acknowledged(remote.acknowledged, &connection.session, &session);
            connection.session = session;
        }
    }

    pub(crate) fn refused(&self, peer: PeerKey, key: &DocumentKey, reason: String) {
        if let Some(remote) = self.0.lock().get_mut(&peer) {
            remote.refused += 1;
            let (collection, id) = (Arc::clone(&key.collection), listed_id(&key.id));
            remote.last_refused = Some(Refused { collection, id, reason, time_ms: now_ms() });
        }
    }

    /// A connection has ended, and may have left something in part.
    pub(crate) fn disconnected(&self, peer: PeerKey, left_in_part: bool) {
        if let Some(remote) = self.0.lock().get_mut(&peer) {
            remote.end();
            remote.left_in_part = left_in_part;
        }
    }

    /// Nothing is waited for any more that earlier connections have left in part.
    pub(crate) fn forget_part(&self, peer: PeerKey) {
        if let Some(remote) = self.0.lock().get_mut(&peer) {
            remote.left_in_part = false;
        }
    }

    /// Whom this peer is connected to, and how.
    pub(crate) fn connections(&self) -> Vec<(PeerKey, LinkKind)> {
        let remotes = self.0.lock();
        remotes.iter().filter_map(|(peer, remote)| Some((*peer, remote.connection.as_ref()?.kind))).collect()
    }

    /// The rows of [`SYNC_INFO`].
    pub(crate) fn rows(&self, sync_is_active: bool, skews: &[ClockSkew]) -> Vec<Object> {
        let skew = |peer: &PeerKey| skews.iter().find(|skew| skew.peer == *peer.as_bytes());
        let remotes = self.0.lock();
        remotes.iter().map(|(peer, remote)| remote.row(peer, sync_is_active, skew(peer))).collect()
    }
}

/// What a peer has acknowledged, after it was `known` of it and its session went on. A new session begins where the walk of the
/// other peer stands, so it may say less at first; less is only true if the peer has lost something.
fn acknowledged(known: Option<u64>, before: &Statistics, now: &Statistics) -> Option<u64> {
    let known = known.filter(|_| now.forgotten == before.forgotten);
    known.max(Some(now.acknowledged.0).filter(|sequence| *sequence > 0))
}

/// The encoded `_id` of another peer's document as a row shows it; null if it is too long for that.
pub(crate) fn listed_id(id: &[u8]) -> Value {
    if id.len() > MAX_LISTED_ID_BYTES {
        return Value::Null;
    }
    ditto_value::key::decode(id).map_or(Value::Null, |(id, _)| id)
}

/// A site id as it is shown everywhere.
fn site(site: SiteId) -> Value {
    Value::String(format!("{:016x}", site.0))
}

fn refused(refused: &Refused) -> Value {
    Value::Object(Object::from([
        ("_id", refused.id.clone()),
        ("collection", Value::from(&*refused.collection)),
        ("reason", Value::from(refused.reason.as_str())),
        ("time", Value::from(refused.time_ms)),
    ]))
}

fn future_write(write: FutureWrite) -> Value {
    let row = [
        ("site".to_owned(), site(write.site)),
        ("ahead_ms".to_owned(), Value::from(write.ahead_ms)),
        ("time".to_owned(), Value::from(write.time_ms)),
    ];
    Value::Object(Object::from_iter(row))
}

impl Remote {
    fn end(&mut self) {
        self.ended = self.counters();
        self.last_heard_ms = self.heard_ms();
        if self.connection.take().is_some() {
            self.disconnected_ms = Some(now_ms());
        }
    }

    fn heard_ms(&self) -> Option<u64> {
        let Some(connection) = &self.connection else { return self.last_heard_ms };
        let silence = u64::try_from(connection.link.silence().as_millis()).unwrap_or(u64::MAX);
        Some(now_ms().saturating_sub(silence))
    }

    fn counters(&self) -> Counters {
        let Some(Connection { link, session, .. }) = &self.connection else { return self.ended };
        let traffic = link.traffic();
        Counters {
            bytes_sent: self.ended.bytes_sent + traffic.sent,
            bytes_received: self.ended.bytes_received + traffic.received,
            documents_sent: self.ended.documents_sent + session.documents_sent,
            documents_received: self.ended.documents_received + session.documents_received,
        }
    }

    fn row(&self, peer: &PeerKey, sync_is_active: bool, skew: Option<&ClockSkew>) -> Object {
        let state = match (sync_is_active, &self.connection) {
            (false, _) => "Disabled",
            (true, Some(_)) => "Connected",
            (true, None) => "Not Connected",
        };
        let catching_up = self.connection.as_ref().map(|connection| connection.session.catching_up);
        let catching_up = catching_up.unwrap_or(self.left_in_part);
        let lazy = self.connection.as_ref().is_some_and(|connection| connection.session.lazy);
        let disconnected_ms = self.disconnected_ms.filter(|_| self.connection.is_none());
        let counters = self.counters();
        let optional = |number: Option<u64>| number.map_or(Value::Null, Value::from);
        let documents = Object::from_iter([
            ("sync_session_status".to_owned(), Value::String(state.to_owned())),
            ("synced_up_to_local_commit_id".to_owned(), optional(self.acknowledged)),
            ("last_update_received_time".to_owned(), optional(self.last_received_ms)),
        ]);
        Object::from_iter([
            ("_id".to_owned(), Value::String(peer.to_string())),
            ("is_ditto_server".to_owned(), Value::Bool(false)),
            ("documents".to_owned(), Value::Object(documents)),
            ("bytes_sent".to_owned(), Value::from(counters.bytes_sent)),
            ("bytes_received".to_owned(), Value::from(counters.bytes_received)),
            ("documents_sent".to_owned(), Value::from(counters.documents_sent)),
            ("documents_received".to_owned(), Value::from(counters.documents_received)),
            // Signs of life count.
            ("last_heard_time".to_owned(), optional(self.heard_ms())),
            ("disconnected_time".to_owned(), optional(disconnected_ms)),
            ("catching_up".to_owned(), Value::Bool(catching_up)),
            ("documents_refused".to_owned(), Value::from(self.refused)),
            ("last_refused".to_owned(), self.last_refused.as_ref().map_or(Value::Null, refused)),
            // It announces what it has; another peer brings the same.
            ("lazy".to_owned(), Value::Bool(lazy)),
            ("site".to_owned(), skew.and_then(|skew| skew.site).map_or(Value::Null, site)),
            // Its clock less the one here, when the session began.
            (
                "clock_skew_ms".to_owned(),
                skew.and_then(|skew| skew.difference_ms).map_or(Value::Null, Value::from),
            ),
            // The furthest of what came from there from the future, whoever wrote it.
            ("future_write".to_owned(), skew.and_then(|skew| skew.ahead).map_or(Value::Null, future_write)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use ditto_crdt::Sequence;

    use super::*;

    #[test]
    fn what_is_acknowledged_falls_only_if_something_was_lost() {
        let session = |acknowledged, forgotten| Statistics {
            acknowledged: Sequence(acknowledged),
            forgotten,
            ..Statistics::default()
        };
        let begun = session(0, 0);
        assert_eq!(acknowledged(None, &begun, &begun), None);
        assert_eq!(acknowledged(None, &begun, &session(5, 0)), Some(5));
        assert_eq!(acknowledged(Some(9), &begun, &begun), Some(9), "the next session has said nothing yet");
        assert_eq!(acknowledged(Some(9), &begun, &session(5, 0)), Some(9), "and then less");
        assert_eq!(acknowledged(Some(9), &session(5, 0), &session(12, 0)), Some(12));
        assert_eq!(acknowledged(Some(9), &begun, &session(0, 1)), None, "it has evicted, or was restored");
        assert_eq!(acknowledged(None, &session(0, 1), &session(3, 1)), Some(3));
    }
}
