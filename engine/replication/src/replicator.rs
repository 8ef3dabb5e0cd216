//! All sessions of one peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ditto_crdt::{RunId, Sequence};
use ditto_value::Object;

use crate::event::{Buffered, CloseReason, Event, SessionId, Statistics, SubscriptionId};
use crate::left_parts::LeftParts;
use crate::limits::{LATE_MS, LEFT_PATIENCE_MS, MAX_REASON_BYTES};
use crate::mechanisms::Mechanisms;
use crate::message::{Goodbye, Message};
use crate::publisher::{Withheld, shorten};
use crate::replica::{PeerId, Replica, ReplicaError};
use crate::session::Session;
use crate::sizes::Sizes;
use crate::subscriber::Tears;
use crate::subscription::Subscriptions;
use crate::turn::{EagerLinks, Turn};

/// What the other peers are told of this one, and what it chooses for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPeer {
    /// Public half of the key pair.
    pub peer: PeerId,
    /// Hash of the database id; peers with another one are refused.
    pub database: [u8; 16],
    /// Those of production, if nothing else is said.
    pub sizes: Sizes,
}

impl LocalPeer {
    /// Hashes the database id as all peers do: upper and lower case do not matter.
    pub fn new(peer: PeerId, database_id: &str) -> Self {
        let hash =
            blake3::derive_key("ditto-replication 2026 database id 1", database_id.to_lowercase().as_bytes());
        Self { peer, database: crate::known::first_16(&hash).to_le_bytes(), sizes: Sizes::default() }
    }
}

/// The sync protocol for all sessions of one peer, as a state machine.
///
/// It does no I/O and reads no clock. Its methods are of four sorts:
///
/// * *Inputs* (`connected`, `receive`, `committed`, `durable`, `subscribe`, `tick` …) take what has happened.
/// * [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) yield what is to be done; call them
///   after every input until they return `None`.
/// * [`next_timeout`](Self::next_timeout) says when [`tick`](Self::tick) is due.
/// * *Getters* ([`statistics`](Self::statistics) …) change nothing.
///
/// Times are milliseconds of any clock that does not go backwards. A [`Replica`] is lent for the length of a call.
///
/// After an input that applied something ([`awaits_durability`](Self::awaits_durability)), the owner syncs the store
/// and calls [`durable`](Self::durable): acknowledgements and relayed changes leave only then.
#[derive(Debug)]
pub struct Replicator {
    local: LocalPeer,
    sessions: BTreeMap<SessionId, Session>,
    subscriptions: Subscriptions,
    events: VecDeque<Event>,
    durable: Sequence,
    last_transmitter: Option<SessionId>,
    /// Documents were evicted, and the other peers were not told yet.
    evicted: bool,
    /// A session has ended on which others may have relied.
    lost: bool,
    /// What sessions that have ended leave to the next one: what may still be visible in part.
    left: BTreeMap<PeerId, Left>,
    /// … and what has come of long deltas.
    left_parts: LeftParts,
    /// … and how many reconciliations have ended with them.
    broken_off: BTreeMap<PeerId, u32>,
    /// The newest local sequence when there was something in part the last time.
    torn_up_to: Sequence,
    /// Something is whole that was visible in part, and the other peers were not told yet.
    mended: bool,
    /// At the last look.
    eager: EagerLinks,
    /// The runs of the store when the last one began that was noticed.
    runs: BTreeSet<RunId>,
    mechanisms: Mechanisms,
    now: u64,
}

/// What a session that has ended leaves to the next one with the same peer.
#[derive(Debug)]
struct Left {
    tears: Tears,
    /// When it ended.
    since: u64,
}

impl Left {
    /// When nobody waits for the other peer any more.
    fn gives_up(&self) -> u64 {
        self.since + LEFT_PATIENCE_MS
    }
}

impl Replicator {
    /// A peer without sessions and subscriptions.
    pub fn new(local: LocalPeer) -> Self {
        Self {
            local,
            sessions: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            events: VecDeque::new(),
            durable: Sequence(0),
            last_transmitter: None,
            evicted: false,
            lost: false,
            left: BTreeMap::new(),
            left_parts: LeftParts::default(),
            broken_off: BTreeMap::new(),
            torn_up_to: Sequence(0),
            mended: false,
            eager: EagerLinks::default(),
            runs: BTreeSet::new(),
            mechanisms: Mechanisms::default(),
            now: 0,
        }
    }

    /// There is a channel to another peer: authenticated, ordered, without loss until it ends.
    pub fn connected(&mut self, session: SessionId, remote: PeerId, replica: &mut dyn Replica, now_ms: u64) {
        self.advance(now_ms);
        let mut begun = Session::new(session, remote, self.local.sizes, replica.scopes_revision(), self.now);
        begun.inherit(
            self.left.remove(&remote).map(|left| left.tears).unwrap_or_default(),
            self.left_parts.take(remote),
        );
        *begun.withheld() = Withheld::of(replica.withheld(remote));
        *begun.broken_off() = self.broken_off.remove(&remote).unwrap_or_default();
        self.sessions.insert(session, begun);
        self.make_room();
        self.with(session, replica, now_ms, |session, local, _, turn| session.greet(local, turn));
    }

    /// A storage that has failed and was recovered meanwhile begins a run after what it still has. To be called before anything
    /// of another peer is taken after that: what comes later is not lost.
    fn notice_recovery(&mut self, replica: &dyn Replica) {
        let current = replica.current_run();
        if self.runs.contains(&current) {
            return;
        }
        let runs = replica.runs();
        let known = std::mem::replace(&mut self.runs, runs.iter().map(|(run, _)| *run).collect());
        // The run that was the last one may be lost as well.
        let newer = runs.iter().filter(|(run, _)| !known.is_empty() && !known.contains(run));
        let Some(first) = newer.map(|(_, first)| *first).min() else { return };
        let kept = Sequence(first.0.saturating_sub(1));
        let of_sessions = self.sessions.values_mut().map(Session::tears_mut);
        for tears in of_sessions.chain(self.left.values_mut().map(|left| &mut left.tears)) {
            tears.lose_after(kept);
        }
    }

    /// The channel has ended. Nothing of the session is left.
    pub fn disconnected(&mut self, session: SessionId) {
        self.leave(session);
        self.lost |= self.sessions.remove(&session).is_some();
    }

    /// Whether a transaction of another peer may be visible in part here. While a session goes on that would bring the rest,
    /// it is [catching up](Statistics::catching_up); if it has ended, nobody knows when it comes.
    pub fn shows_parts(&self) -> bool {
        let says_so =
            |session: &Session| session.counterpart.statistics.catching_up && session.tears().are_open();
        self.sessions.values().any(says_so) || self.left.values().any(|left| left.tears.are_open())
    }

    /// Whether this peer is gone and has told something in part, and is waited for. It ends with the next session, or with
    /// [`Event::LeftInPart`], or if the part was lost with the storage.
    pub fn is_left_in_part(&self, remote: PeerId) -> bool {
        self.left.get(&remote).is_some_and(|left| left.tears.are_open())
    }

    /// The next session with the same peer goes on where this one ends.
    fn leave(&mut self, session: SessionId) {
        let Some(session) = self.sessions.get_mut(&session).filter(|session| !session.is_closed()) else {
            return;
        };
        let (remote, left) =
            (session.counterpart.remote, Left { tears: session.bequeath(), since: self.now });
        self.left_parts.keep(remote, session.bequeath_parts(), self.now);
        let broken_off = session.bequeath_broken_off();
        if broken_off > 0 && self.broken_off.len() < self.local.sizes.remembered_peers {
            self.broken_off.insert(remote, broken_off);
        }
        let says_something = |left: &Left| left.tears.parts(self.durable).is_some();
        if !says_something(&left) {
            return;
        }
        if self.left.len() >= self.local.sizes.remembered_peers {
            self.left.retain(|_, left| says_something(left));
        }
        if self.left.len() < self.local.sizes.remembered_peers {
            self.left.insert(remote, left);
        }
    }

    /// Those who left something in part may never return; and whoever gets it from here would wait for them as well.
    fn give_up(&mut self) {
        let is_over = |left: &Left| left.tears.are_open() && left.gives_up() <= self.now;
        self.left.retain(|remote, left| {
            let given_up = is_over(left);
            if given_up {
                self.events.push_back(Event::LeftInPart { remote: *remote });
            }
            !given_up
        });
    }

    /// Wants the documents of a query (`SELECT * FROM c [WHERE …]`) from every peer, now and as they change.
    ///
    /// # Errors
    /// If the query does not compile or is not of that form.
    pub fn subscribe(
        &mut self,
        id: SubscriptionId,
        query: &str,
        arguments: &Object,
        replica: &mut dyn Replica,
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        if self.subscriptions.add(id, query, arguments, replica)? {
            self.synchronize(replica, now_ms);
        }
        Ok(())
    }

    /// Ends a subscription. What it brought stays.
    pub fn unsubscribe(&mut self, id: SubscriptionId, replica: &mut dyn Replica, now_ms: u64) {
        if self.subscriptions.remove(id) {
            self.synchronize(replica, now_ms);
        }
    }

    /// A message has arrived. Whatever its bytes are, it costs at most its own session.
    pub fn receive(&mut self, session: SessionId, message: &[u8], replica: &mut dyn Replica, now_ms: u64) {
        self.refresh(replica);
        self.with(session, replica, now_ms, |session, local, subscriptions, turn| {
            session.receive(message, local, subscriptions, turn)
        });
    }

    /// The application has changed the store: notices evictions. The changes are told when they are durable.
    pub fn committed(&mut self, replica: &mut dyn Replica, now_ms: u64) {
        self.advance(now_ms);
        self.refresh(replica);
    }

    /// Everything up to this sequence survives a loss of power from now on, so it may be told and acknowledged.
    pub fn durable(&mut self, up_to: Sequence, replica: &mut dyn Replica, now_ms: u64) {
        self.durable = self.durable.max(up_to);
        self.tick(replica, now_ms);
    }

    /// Does what is due at this time. Never wrong to call.
    pub fn tick(&mut self, replica: &mut dyn Replica, now_ms: u64) {
        if std::mem::take(&mut self.evicted) {
            self.synchronize(replica, now_ms);
        }
        self.advance(now_ms);
        self.refresh(replica);
        let lost = std::mem::take(&mut self.lost);
        self.mended = false;
        self.give_up();
        self.left_parts.forget(self.now);
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            if self.sessions.get(&session).is_some_and(Session::is_postponed) {
                self.eager = self.eager_links();
            }
            self.with(session, replica, now_ms, |session, _, subscriptions, turn| {
                if lost {
                    session.deliver_eagerly(turn)?;
                }
                session.work(subscriptions, turn)
            });
        }
    }

    /// When [`Self::tick`] has something to do although nothing happens. May lie in the past.
    pub fn next_timeout(&self) -> Option<u64> {
        if self.evicted || self.lost || self.mended {
            return Some(self.now);
        }
        let timeouts = self.sessions.values().filter_map(|session| session.timeout(self.eager));
        let open = self.left.values().filter(|left| left.tears.are_open());
        timeouts
            .chain(open.map(Left::gives_up))
            .chain(self.left_parts.timeout())
            .min()
            .map(|timeout| timeout.max(self.now))
    }

    /// Stops or resumes [`Self::poll_transmit`] for one session whose channel cannot take more at the moment. Nothing
    /// is lost, and what piles up is bounded.
    pub fn set_blocked(&mut self, session: SessionId, blocked: bool) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.blocked = blocked;
        }
    }

    /// The next message to send, the sessions taking turns. At most
    /// [`MAX_MESSAGE_BYTES`](crate::limits::MAX_MESSAGE_BYTES) long.
    pub fn poll_transmit(&mut self) -> Option<(SessionId, Vec<u8>)> {
        let after = self.last_transmitter;
        let ready = |session: &Session| !session.blocked && !session.counterpart.outbox.is_empty();
        let next = self.sessions.iter().filter(|(_, session)| ready(session)).map(|(id, _)| *id);
        let next = next.clone().find(|id| Some(*id) > after).or_else(|| next.clone().next())?;
        self.last_transmitter = Some(next);
        let message = self.sessions.get_mut(&next)?.counterpart.take()?;
        Some((next, message))
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Counters of a session; `None` if there is no such session.
    pub fn statistics(&self, session: SessionId) -> Option<Statistics> {
        self.sessions.get(&session).map(|session| session.counterpart.statistics)
    }

    /// What all sessions have done until now.
    pub fn mechanisms(&self) -> Mechanisms {
        self.mechanisms
    }

    /// Bytes of a session that wait for [`Self::poll_transmit`]; 0 if there is no such session.
    pub fn queued_bytes(&self, session: SessionId) -> usize {
        self.sessions.get(&session).map_or(0, |session| session.counterpart.outbox.all_bytes())
    }

    /// Bytes of a session that grow with what the other peer sends and asks for, as
    /// [`MAX_MEMORY_BYTES`](crate::limits::MAX_MEMORY_BYTES) counts them. `None` if there is no such session.
    pub fn held_bytes(&self, session: SessionId) -> Option<usize> {
        self.sessions.get(&session).map(Session::memory)
    }

    /// What a session holds of what the other peer has sent; nothing if there is no such session. Looks at all of it.
    pub fn buffered(&self, session: SessionId) -> Buffered {
        self.sessions.get(&session).map(Session::buffered).unwrap_or_default()
    }

    /// Whether a session has been greeted and accepted by both sides and is not over.
    pub fn is_ready(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(Session::is_open)
    }

    /// Whether some acknowledgement waits for [`Self::durable`].
    pub fn awaits_durability(&self) -> bool {
        self.sessions.values().any(Session::awaits_durability)
    }

    /// Runs one session and ends it if that fails.
    fn with(
        &mut self,
        id: SessionId,
        replica: &mut dyn Replica,
        now_ms: u64,
        run: impl FnOnce(&mut Session, &LocalPeer, &Subscriptions, &mut Turn<'_>) -> Result<(), CloseReason>,
    ) {
        self.advance(now_ms);
        self.durable = self.durable.max(replica.durable_sequence());
        self.notice_recovery(replica);
        let (eager, durable, now) = (self.eager, self.durable, self.now);
        let Some(remote) = self.sessions.get(&id).map(|session| session.counterpart.remote) else { return };
        let parts_of_others = self.parts_of_others(remote);
        let mut turn = Turn {
            replica,
            now,
            durable,
            events: &mut self.events,
            subscriptions: &self.subscriptions,
            eager,
            parts_of_others,
            torn_up_to: self.torn_up_to,
        };
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.is_closed()) else { return };
        let (before, memory) = (session.tears().parts(durable), session.memory());
        // After the durable sequence was read: what is written under new rules is not told under the old ones.
        let outcome = if session.scopes_revision == turn.replica.scopes_revision() {
            run(session, &self.local, &self.subscriptions, &mut turn)
        } else {
            Err(CloseReason::ScopesChanged)
        };
        let after = session.tears().parts(durable);
        self.mechanisms.add(std::mem::take(&mut session.counterpart.mechanisms));
        self.mended |= before.is_some() && after != before;
        if before.is_some() || after.is_some() {
            self.torn_up_to = turn.replica.last_sequence();
        }
        let grows = session.memory() > memory;
        if let Err(reason) = outcome {
            self.fail(id, reason);
        }
        if grows {
            self.make_room();
        }
    }

    /// Ends the session that takes most memory while all together take too much. Others go on, and whoever comes back goes on where it
    /// can: what came of long documents is kept.
    fn make_room(&mut self) {
        while self.sessions.values().map(Session::memory).sum::<usize>() > self.local.sizes.memory_bytes {
            let open = self.sessions.iter().filter(|(_, session)| !session.is_closed());
            let Some(most) = open.max_by_key(|(_, session)| session.memory()).map(|(id, _)| *id) else {
                return;
            };
            self.fail(most, CloseReason::Crowded);
        }
    }

    /// From which local sequence on there may be parts of what others than this peer have told.
    fn parts_of_others(&self, remote: PeerId) -> Option<Sequence> {
        let of_sessions =
            self.sessions.values().map(|session| (&session.counterpart.remote, session.tears()));
        let others = of_sessions
            .chain(self.left.iter().map(|(peer, left)| (peer, &left.tears)))
            .filter(|(peer, _)| **peer != remote);
        others.filter_map(|(_, tears)| tears.parts(self.durable)).min()
    }

    /// The links on which documents come without being asked for.
    fn eager_links(&self) -> EagerLinks {
        let eager = self.sessions.values().filter(|session| session.is_eager());
        eager.fold(EagerLinks::default(), |sum, session| EagerLinks {
            count: sum.count + 1,
            last_received: sum.last_received.max(session.counterpart.statistics.last_update_received_ms),
            busy_until: sum.busy_until.max(session.busy_until().filter(|until| self.now < *until)),
        })
    }

    fn fail(&mut self, id: SessionId, reason: CloseReason) {
        self.lost = true;
        self.leave(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let farewell = match &reason {
            CloseReason::Remote(_) => None,
            reason => {
                Some(Message::Goodbye(Goodbye { reason: shorten(reason.to_string(), MAX_REASON_BYTES) }))
            }
        };
        let remote = session.counterpart.remote;
        session.close(farewell.as_ref());
        self.events.push_back(Event::SessionFailed { session: id, remote, reason });
    }

    /// The clock goes on. If what was due comes late, this peer was busy: what others have answered meanwhile may wait behind that, and
    /// their time begins again.
    fn advance(&mut self, now_ms: u64) {
        if now_ms > self.now.saturating_add(LATE_MS)
            && self.next_timeout().is_some_and(|due| now_ms > due.saturating_add(LATE_MS))
        {
            self.sessions.values_mut().for_each(|session| session.counterpart.heard = now_ms);
        }
        self.now = self.now.max(now_ms);
    }

    /// Notices evictions. The others are told with the next [`Self::tick`]: whoever ended a subscription before has
    /// said so by then, and does not get back what was evicted.
    fn refresh(&mut self, replica: &mut dyn Replica) {
        self.notice_recovery(replica);
        self.eager = self.eager_links();
        self.evicted |= self.subscriptions.refresh(replica);
    }

    fn synchronize(&mut self, replica: &mut dyn Replica, now_ms: u64) {
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.with(session, replica, now_ms, |session, _, subscriptions, turn| {
                session.synchronize(subscriptions, turn)
            });
        }
    }
}
