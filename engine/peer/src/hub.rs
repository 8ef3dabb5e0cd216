//! The sync thread: feeds links, commits and time to the replication state machine, and carries out what it asks.
//!
//! It owns the state machine, so nothing here needs a lock; it blocks on the disk, so it is a thread of its own
//! and not a task among those that serve sockets.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::Duration;

use ditto_crdt::{RunId, Sequence};
use ditto_mesh::PeerKey;
use ditto_replication::{DocumentKey, Event, PeerId, ReplicaError, Replicator, SessionId, SubscriptionId};
use ditto_store::{Store, StoreError};
use ditto_transport::{Channel, LinkEvent, LinkId, LinkSender, SendError};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::clock::SteadyClock;
use crate::durability::DurabilityHandle;
use crate::forks::{Answer, Forks};
use crate::replica::StoreReplica;
use crate::status::{SYNC_INFO, SyncStatus};
use crate::subscription_status::{Asked, SUBSCRIPTIONS, SubscriptionStatus};

/// When the housekeeping is tried again after it failed.
const REAPING_RETRY: Duration = Duration::from_secs(600);

/// So much is taken from the state machine before what is short and waits for more to the same peer is sent.
const RELEASED_BYTES: usize = 64 * 1024;

/// At most 248 bytes, so that the link's goodbye has room for it.
const FORKS_TOO_OFTEN: &str = "the other peer claims again and again to have seen another history of this database; if two \
    machines run copies of one directory, remove the file peer-key in one of them and start it again";

/// What the application asks of the sync thread.
pub(crate) enum Command {
    Subscribe {
        id: SubscriptionId,
        asked: Asked,
        answer: blocking::Sender<Result<(), ReplicaError>>,
    },
    Unsubscribe(SubscriptionId),
    /// New transports tell of their links here.
    UseLinks(mpsc::Receiver<LinkEvent>),
    /// The transports are gone, whether or not they told of every link's end.
    ForgetLinks {
        done: blocking::Sender<()>,
    },
}

/// Where the sync thread hears of things.
pub(crate) struct Inputs {
    /// Closed when the peer closes; the thread ends then.
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    /// Something was committed while peers are connected.
    pub(crate) commits: Arc<Notify>,
    /// How far everything is on the platter; `None` once a sync has failed.
    pub(crate) durable: watch::Receiver<Option<Sequence>>,
}

/// State of the sync thread.
pub(crate) struct Hub {
    replicator: Replicator,
    replica: StoreReplica,
    store: Store,
    status: SyncStatus,
    subscriptions: SubscriptionStatus,
    durability: DurabilityHandle,
    links: HashMap<LinkId, LinkState>,
    sessions: HashMap<SessionId, LinkId>,
    /// Peers that are gone while something that they told is visible in part, as their rows say.
    left_in_part: BTreeSet<PeerKey>,
    forks: Forks,
    next_session: u64,
    clock: SteadyClock,
    /// Since when there has been no session, while there is none.
    quiet_since: u64,
    /// When the store wants to be reminded of its housekeeping.
    next_reaping: Instant,
}

struct LinkState {
    session: SessionId,
    outgoing: LinkSender,
    /// Documents that were not taken over.
    refused: u64,
    /// The message that the link's queue had no room for; the session is blocked until it is sent.
    waiting: Option<Vec<u8>>,
}

impl Hub {
    pub(crate) fn new(
        replicator: Replicator,
        store: Store,
        status: SyncStatus,
        subscriptions: SubscriptionStatus,
        durability: DurabilityHandle,
    ) -> Self {
        Self {
            replicator,
            replica: StoreReplica::new(store.clone()),
            store,
            status,
            subscriptions,
            durability,
            links: HashMap::new(),
            sessions: HashMap::new(),
            left_in_part: BTreeSet::new(),
            forks: Forks::default(),
            next_session: 1,
            clock: SteadyClock::start(),
            quiet_since: 0,
            next_reaping: Instant::now(),
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system refuses a thread or a timer.
    pub(crate) fn start(self, inputs: Inputs) -> std::io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new()
            .name("ditto-sync".to_owned())
            .spawn(move || runtime.block_on(self.run(inputs)))
    }

    async fn run(mut self, mut inputs: Inputs) {
        // Ends at once, until there are transports.
        let mut links = mpsc::channel(1).1;
        loop {
            // First: what was noticed of the store came after what was asked before.
            while let Ok(command) = inputs.commands.try_recv() {
                self.on_command(command, &mut links);
                self.pump();
            }
            let now = self.clock.now_ms();
            let timeout =
                self.replicator.next_timeout().map(|at| Duration::from_millis(at.saturating_sub(now)));
            tokio::select! {
                Some(event) = links.recv() => self.on_link(event),
                command = inputs.commands.recv() => match command {
                    Some(command) => self.on_command(command, &mut links),
                    None => return,
                },
                () = inputs.commits.notified() => self.replicator.committed(&mut self.replica, self.clock.now_ms()),
                Ok(()) = inputs.durable.changed() => {
                    let durable = *inputs.durable.borrow_and_update();
                    match durable {
                        Some(sequence) => self.replicator.durable(sequence, &mut self.replica, self.clock.now_ms()),
                        None => self.close_all("the storage failed; nothing may be told any more"),
                    }
                }
                () = tokio::time::sleep(timeout.unwrap_or_default()), if timeout.is_some() => {
                    self.replicator.tick(&mut self.replica, self.clock.now_ms());
                }
                () = tokio::time::sleep_until(self.next_reaping) => self.reap(),
            }
            self.pump();
        }
    }

    /// Lets the store bury what is due, a bounded step at a time.
    fn reap(&mut self) {
        let wait = match self.store.reap() {
            Ok(reaped) => {
                if reaped.buried + reaped.graves + reaped.commits + reaped.replication > 0 {
                    tracing::debug!(?reaped, "housekeeping");
                }
                self.durability.committed();
                Duration::from_millis(reaped.again_in_ms)
            }
            Err(error) => {
                tracing::warn!(%error, "the housekeeping of the store failed");
                REAPING_RETRY
            }
        };
        self.next_reaping = Instant::now() + wait;
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up { link, peer, kind, dialed, address, outgoing } => {
                tracing::info!(peer = %peer.short(), %kind, %address, dialed, "connected");
                if let Err(reason) = self.begin_run() {
                    return outgoing.close(reason);
                }
                let session = SessionId(self.next_session);
                self.next_session += 1;
                self.durability.set_eager(true);
                self.replicator.connected(
                    session,
                    PeerId(*peer.as_bytes()),
                    &mut self.replica,
                    self.clock.now_ms(),
                );
                let statistics = self.replicator.statistics(session).unwrap_or_default();
                self.status.connected(peer, kind, outgoing.clone(), statistics);
                self.subscriptions.connected(peer);
                self.status_changed();
                self.subscriptions_changed();
                self.links.insert(link, LinkState { session, outgoing, refused: 0, waiting: None });
                self.sessions.insert(session, link);
            }
            LinkEvent::Message { link, channel: Channel::Replication, bytes } => {
                if let Some(state) = self.links.get(&link) {
                    self.replicator.receive(state.session, &bytes, &mut self.replica, self.clock.now_ms());
                }
            }
            // Nothing travels on the control channel yet; a newer peer may use it.
            LinkEvent::Message { channel: Channel::Control, .. } => {}
            LinkEvent::Writable { link, .. } => {
                if let Some(state) = self.links.get_mut(&link)
                    && let Some(message) = state.waiting.take()
                {
                    let blocked = state.send(message);
                    state.outgoing.release(Channel::Replication);
                    self.replicator.set_blocked(state.session, blocked);
                }
            }
            LinkEvent::Down { link, reason } => {
                if let Some(state) = self.links.remove(&link) {
                    tracing::info!(peer = %state.outgoing.peer().short(), %reason, "disconnected");
                    self.forget(&state);
                }
            }
            // The transports have logged it already.
            LinkEvent::Problem(_) => {}
        }
    }

    /// Before the first session after a time without any. An error ends the link.
    fn begin_run(&self) -> Result<(), String> {
        if !self.links.is_empty() {
            return Ok(());
        }
        match self.store.begin_run_after(self.clock.now_ms().saturating_sub(self.quiet_since)) {
            Ok(None) => Ok(()),
            Ok(Some(run)) => {
                tracing::debug!(?run, "the first session after a while begins a run");
                Ok(())
            }
            Err(StoreError::Storage(error)) => Err(error.to_string()),
            // Somebody holds the writer for long. What is told is told under the run before.
            Err(error) => {
                tracing::debug!(%error, "no run begins with this session");
                Ok(())
            }
        }
    }

    fn on_command(&mut self, command: Command, links: &mut mpsc::Receiver<LinkEvent>) {
        match command {
            Command::Subscribe { id, asked, answer } => {
                let now = self.clock.now_ms();
                let outcome =
                    self.replicator.subscribe(id, &asked.query, &asked.arguments, &mut self.replica, now);
                if outcome.is_ok() {
                    let connected = self.links.values().map(|state| state.outgoing.peer());
                    self.subscriptions.add(id, asked, connected);
                    self.subscriptions_changed();
                }
                if let Err(blocking::SendError(Err(error))) = answer.send(outcome) {
                    // The caller has given up, and takes it for a subscription.
                    tracing::warn!(subscription = id.0, "a subscription asks nobody for anything: {error}");
                }
            }
            Command::Unsubscribe(id) => {
                self.replicator.unsubscribe(id, &mut self.replica, self.clock.now_ms());
                self.subscriptions.remove(id);
                self.subscriptions_changed();
            }
            Command::UseLinks(events) => *links = events,
            Command::ForgetLinks { done } => {
                links.close();
                while links.try_recv().is_ok() {}
                for (_, state) in std::mem::take(&mut self.links) {
                    self.forget(&state);
                }
                // Nobody waits any more if the peer is being dropped.
                let _ = done.send(());
            }
        }
    }

    /// The link is not in `links` any more.
    fn forget(&mut self, state: &LinkState) {
        let peer = state.outgoing.peer();
        if let Some(statistics) = self.replicator.statistics(state.session) {
            self.status.progress(peer, statistics);
        }
        self.replicator.disconnected(state.session);
        let left_in_part = self.replicator.is_left_in_part(PeerId(*peer.as_bytes()));
        if left_in_part {
            self.left_in_part.insert(peer);
        }
        self.status.disconnected(peer, left_in_part);
        self.subscriptions.disconnected(peer);
        self.status_changed();
        self.subscriptions_changed();
        self.sessions.remove(&state.session);
        self.durability.set_eager(!self.links.is_empty());
        self.quiet_since = self.clock.now_ms();
    }

    /// Takes back that something is visible in part where the rest is not waited for any more.
    fn forget_parts(&mut self) {
        let Self { replicator, status, left_in_part, .. } = self;
        let before = left_in_part.len();
        left_in_part.retain(|peer| {
            let is_left = replicator.is_left_in_part(PeerId(*peer.as_bytes()));
            if !is_left {
                status.forget_part(*peer);
            }
            is_left
        });
        if left_in_part.len() < before {
            self.status_changed();
        }
    }

    /// What waits for more to the same peer is sent.
    fn release(&self, sessions: &BTreeSet<SessionId>) {
        for link in sessions.iter().filter_map(|session| self.link(*session)) {
            link.outgoing.release(Channel::Replication);
        }
    }

    /// Carries out what the state machine asks for.
    fn pump(&mut self) {
        // What goes to one peer leaves together, but nobody waits for much that goes to others.
        let (mut sent, mut bytes) = (BTreeSet::new(), 0);
        while let Some((session, message)) = self.replicator.poll_transmit() {
            let state = self.sessions.get(&session).and_then(|link| self.links.get_mut(link));
            if let Some(state) = state {
                bytes += message.len();
                if state.send(message) {
                    self.replicator.set_blocked(session, true);
                }
                sent.insert(session);
            }
            if bytes >= RELEASED_BYTES {
                self.release(&std::mem::take(&mut sent));
                bytes = 0;
            }
        }
        self.release(&sent);
        while let Some(event) = self.replicator.poll_event() {
            self.on_event(event);
        }
        self.forget_parts();
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Progress { session } => self.report(session),
            Event::SessionReady { session, .. } => {
                tracing::debug!(peer = self.peer(session), "the session is ready");
                self.report(session);
            }
            Event::SessionFailed { session, reason, .. } => {
                tracing::warn!(peer = self.peer(session), "the sync session ended: {reason}");
                if let Some(state) = self.link(session) {
                    state.outgoing.close(reason.to_string());
                }
            }
            Event::ForkDetected { session, remote, run, sequence } => {
                if let Err(error) = self.answer_fork(session, remote, run, sequence) {
                    tracing::error!(%error, "the copied database cannot take a new identity");
                    self.close_all("the database was copied and cannot take a new identity");
                }
            }
            Event::CaughtUp { session, subscription, .. } => {
                tracing::debug!(peer = self.peer(session), subscription = subscription.0, "caught up");
                self.report(session);
                self.tell_subscription(session, |status, peer| status.serves(subscription, peer, false));
            }
            Event::CatchingUp { session, subscription, .. } => {
                self.report(session);
                self.tell_subscription(session, |status, peer| status.serves(subscription, peer, true));
            }
            Event::SubscriptionRefused { session, subscription, reason, .. } => {
                tracing::warn!(
                    peer = self.peer(session),
                    subscription = subscription.0,
                    "the other peer does not serve a subscription: {reason}"
                );
                self.tell_subscription(session, |status, peer| status.refused(subscription, peer, reason));
            }
            Event::DocumentRefused { session, key, reason, .. } => self.refused(session, &key, reason),
            Event::LeftInPart { remote } => {
                tracing::info!(
                    peer = PeerKey::from(remote.0).short(),
                    "a peer was lost while it was sending, and has not returned: of its transactions parts may be seen"
                );
            }
            Event::DocumentsLeft { session, subscription, keys, .. } => {
                for key in &keys {
                    tracing::debug!(
                        peer = self.peer(session), subscription = subscription.0, collection = %key.collection,
                        id = readable(&key.id), "a document has left the filter of a subscription; it stays here"
                    );
                }
                self.tell_subscription(session, |status, peer| status.left(subscription, peer, &keys));
            }
        }
    }

    /// The other peer has seen a history that this database does not have.
    fn answer_fork(
        &mut self,
        session: SessionId,
        remote: PeerId,
        run: RunId,
        sequence: Sequence,
    ) -> Result<(), StoreError> {
        match self.forks.claimed(session, remote) {
            Answer::NewIdentity => {
                tracing::warn!(
                    peer = PeerKey::from(remote.0).short(),
                    ?run,
                    ?sequence,
                    "this database was copied or restored, for another peer was told what rests on a history that it does not \
                     have: it continues under a new identity"
                );
                self.replica.answer_fork(run, sequence).inspect_err(|_| self.forks.unanswered())
            }
            Answer::Record => self.replica.record_claim(run, sequence),
            Answer::Refuse => {
                if let Some(state) = self.link(session) {
                    tracing::warn!(
                        peer = state.outgoing.peer().short(),
                        "the sync session ended: {FORKS_TOO_OFTEN}"
                    );
                    state.outgoing.close(FORKS_TOO_OFTEN);
                }
                self.replicator.disconnected(session);
                Ok(())
            }
        }
    }

    /// A peer may send any number of documents that are refused, so the log gets the first, the second, the fourth …
    fn refused(&mut self, session: SessionId, key: &DocumentKey, reason: String) {
        let link = self.sessions.get(&session).and_then(|link| self.links.get_mut(link));
        let Some(state) = link else { return };
        state.refused += 1;
        if state.refused.is_power_of_two() {
            tracing::warn!(
                peer = state.outgoing.peer().short(), collection = %key.collection, id = readable(&key.id),
                refused_so_far = state.refused, "a document was refused: {reason}"
            );
        }
        self.status.refused(state.outgoing.peer(), key, reason);
        self.status_changed();
    }

    /// What became of a subscription at the peer of a session.
    fn tell_subscription(&self, session: SessionId, tell: impl FnOnce(&SubscriptionStatus, PeerKey)) {
        if let Some(state) = self.link(session) {
            tell(&self.subscriptions, state.outgoing.peer());
            self.subscriptions_changed();
        }
    }

    fn link(&self, session: SessionId) -> Option<&LinkState> {
        self.sessions.get(&session).and_then(|link| self.links.get(link))
    }

    /// The other peer's name in the log.
    fn peer(&self, session: SessionId) -> String {
        self.link(session).map(|state| state.outgoing.peer().short()).unwrap_or_default()
    }

    fn report(&mut self, session: SessionId) {
        if let Some(state) = self.link(session)
            && let Some(statistics) = self.replicator.statistics(session)
        {
            self.status.progress(state.outgoing.peer(), statistics);
            self.status_changed();
        }
    }

    /// Only wakes those who observe it, if anybody does.
    fn status_changed(&self) {
        self.store.virtual_collection_changed(SYNC_INFO);
    }

    fn subscriptions_changed(&self) {
        self.store.virtual_collection_changed(SUBSCRIPTIONS);
    }

    fn close_all(&self, reason: &str) {
        for state in self.links.values() {
            state.outgoing.close(reason);
        }
    }
}

impl LinkState {
    /// Answers whether the link is full, and the message waits here.
    fn send(&mut self, message: Vec<u8>) -> bool {
        match self.outgoing.try_send_with_next(Channel::Replication, message) {
            // A link that is down tells so by its `Down`.
            Ok(()) | Err(SendError::Closed(_)) => false,
            Err(SendError::Full(message)) => {
                self.waiting = Some(message);
                true
            }
            Err(error @ SendError::TooLong(_)) => {
                tracing::error!(%error, "a message of our own is too long");
                self.outgoing.close(error.to_string());
                false
            }
        }
    }
}

/// An `_id` of another peer's document as JSON, short and safe for a log.
fn readable(id: &[u8]) -> String {
    const LONGEST: usize = 80;
    match ditto_value::key::decode(id) {
        Ok((value, _)) => value.to_json().chars().take(LONGEST).collect(),
        Err(_) => "malformed".to_owned(),
    }
}

#[cfg(test)]
mod tests;
