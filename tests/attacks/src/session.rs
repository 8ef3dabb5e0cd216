//! What a peer says in a session, and what happens meanwhile.

use ditto_crdt::Sequence;
use ditto_peer::StoreReplica;
use ditto_replication::limits::MIN_RECONCILED_CHANGES;
use ditto_replication::{
    CloseReason, Event, LocalPeer, PeerId, Replica as _, Replicator, SessionId, SubscriptionId,
};
use ditto_store::Store;
use ditto_value::Object;

use crate::database;
use crate::input::Input;

/// Inputs beyond so many steps find nothing else.
const MAX_STEPS: usize = 200;
/// The statement after which there is enough to be reconciled.
pub(crate) const MANY: u8 = 6;
const QUERIES: [&str; 3] =
    ["SELECT * FROM plants", "SELECT * FROM plants WHERE height > 1", "SELECT * FROM pots"];

struct Peer {
    store: Store,
    replica: StoreReplica,
    replicator: Replicator,
    session: SessionId,
    other: PeerId,
    /// Why the session ended.
    closed: Option<CloseReason>,
}

impl Peer {
    fn new(number: u8) -> Self {
        let store = database::database(u64::from(number));
        let mut replica = StoreReplica::new(store.clone());
        let mut replicator = Replicator::new(LocalPeer::new(PeerId([number; 32]), database::DATABASE_ID));
        for (id, query) in (1..).zip(&QUERIES[usize::from(number % 2)..]) {
            replicator
                .subscribe(SubscriptionId(id), query, &Object::new(), &mut replica, 0)
                .expect("it is a subscription");
        }
        let other = PeerId([3 - number; 32]);
        let mut peer = Self { store, replica, replicator, session: SessionId(0), other, closed: None };
        peer.connect(0);
        peer.sync(0);
        peer
    }

    /// Ends the session, if there is one, and begins another.
    fn connect(&mut self, now: u64) {
        while self.say().is_some() {}
        self.replicator.disconnected(self.session);
        self.session = SessionId(self.session.0 + 1);
        self.replicator.connected(self.session, self.other, &mut self.replica, now);
        self.events();
    }

    fn sync(&mut self, now: u64) {
        let durable = self.store.sync().expect("memory can be synced");
        self.replicator.durable(durable, &mut self.replica, now);
        self.events();
    }

    fn receive(&mut self, message: &[u8], now: u64) {
        self.replicator.receive(self.session, message, &mut self.replica, now);
        self.events();
    }

    fn say(&mut self) -> Option<Vec<u8>> {
        self.replicator.poll_transmit().map(|(_, message)| message)
    }

    fn events(&mut self) {
        while let Some(event) = self.replicator.poll_event() {
            if let Event::SessionFailed { reason, .. } = event {
                self.closed.get_or_insert(reason);
            }
        }
    }

    fn execute(&mut self, which: u8, now: u64) {
        const STATEMENTS: [&str; 6] = [
            "INSERT INTO plants DOCUMENTS ({'_id': 1, 'height': 9}), ({'_id': 'n', 'height': 2}) ON ID CONFLICT DO UPDATE",
            "UPDATE plants SET height = 5, care.light = 1",
            "UPDATE plants APPLY rings INCREMENT BY 1",
            "DELETE FROM plants WHERE _id IN [1, 'n']",
            "EVICT FROM plants WHERE height > 3",
            "INSERT INTO pots DOCUMENTS ({'plant': 'n'})",
        ];
        // As many as both must have for a reconciliation.
        let many = || {
            let documents =
                (10..10 + MIN_RECONCILED_CHANGES).map(|id| format!("({{'_id': {id}, 'height': {id}}})"));
            let documents: Vec<String> = documents.collect();
            format!("INSERT INTO plants DOCUMENTS {} ON ID CONFLICT DO UPDATE", documents.join(", "))
        };
        let statement = STATEMENTS.get(usize::from(which) % (STATEMENTS.len() + 1));
        let statement = statement.map_or_else(many, |statement| (*statement).to_owned());
        self.store.execute(&statement, &Object::new()).expect("memory takes every write");
        self.replicator.committed(&mut self.replica, now);
        self.events();
    }
}

/// Steps: messages of the attacker, of an honest peer, changed or not, local writes, time.
pub fn session(data: &[u8]) {
    let mut input = Input(data);
    let (mut victim, mut other) = (Peer::new(1), Peer::new(2));
    let mut now = 0;
    let mut honest = true;
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 13 {
            0 | 1 => {
                honest = false;
                victim.receive(input.slice(), now);
            }
            // The honest peer's next message, as it is.
            2..5 => {
                if let Some(message) = other.say() {
                    victim.receive(&message, now);
                }
            }
            // The same with a byte changed, cut off, or doubled.
            5 => {
                let (place, bits) = (input.number(), input.byte());
                if let Some(mut message) = other.say() {
                    honest = false;
                    if let Some(index) = place.checked_rem(message.len()) {
                        message[index] ^= bits;
                    }
                    victim.receive(&message, now);
                }
            }
            6 => {
                let (cut, twice) = (input.number(), input.byte());
                if let Some(message) = other.say() {
                    honest = false;
                    let cut = if twice % 2 == 0 { message.len() } else { cut % (message.len() + 1) };
                    victim.receive(&message[..cut], now);
                    victim.receive(&message[..cut], now);
                }
            }
            7 => {
                if let Some(message) = victim.say() {
                    other.receive(&message, now);
                }
            }
            8 => {
                let which = input.byte();
                let writer = if which % 2 == 0 { &mut victim } else { &mut other };
                writer.execute(which / 2, now);
            }
            9 | 10 => {
                victim.sync(now);
                other.sync(now);
            }
            // Both begin anew, after what they have written.
            12 => {
                victim.sync(now);
                other.sync(now);
                victim.connect(now);
                other.connect(now);
            }
            _ => {
                now += 10 * u64::from(input.byte());
                for peer in [&mut victim, &mut other] {
                    peer.replicator.tick(&mut peer.replica, now);
                    peer.events();
                }
            }
        }
    }
    if honest {
        for peer in [&victim, &other] {
            let timely = now < ditto_replication::limits::ANSWER_TIMEOUT_MS;
            assert!(peer.closed.is_none() || !timely, "an honest peer is refused: {:?}", peer.closed);
        }
    }
    database::assert_consistent(&victim.store);
    for statement in ["SELECT * FROM plants", "SELECT * FROM pots"] {
        victim.store.execute(statement, &Object::new()).expect("what a peer sent can be read");
    }
    victim.execute(1, now);
    victim.execute(3, now);
    database::assert_consistent(&victim.store);
    let changes = victim.replica.changes(Sequence::ZERO, Sequence(u64::MAX), usize::MAX);
    assert!(changes.is_ok());
}

/// What two honest peers say to each other, for seeds: from the beginning, or with so much in both that they reconcile.
pub(crate) fn messages(reconcile: bool) -> Vec<Vec<u8>> {
    let (mut one, mut other) = (Peer::new(1), Peer::new(2));
    let mut said = Vec::new();
    if reconcile {
        for peer in [&mut one, &mut other] {
            peer.execute(MANY, 0);
            peer.sync(0);
            peer.connect(0);
        }
    }
    for round in 0..6 {
        for _ in 0..8 {
            while let Some(message) = other.say() {
                one.receive(&message, 0);
                said.push(message);
            }
            while let Some(message) = one.say() {
                other.receive(&message, 0);
            }
            one.sync(0);
            other.sync(0);
        }
        other.execute(round, 0);
        one.execute(round + 1, 0);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_that_hold_much_say_what_belongs_to_a_reconciliation() {
        let kinds: Vec<u8> = messages(true).iter().filter_map(|message| message.first().copied()).collect();
        // Symbols, Inquiry, Settled.
        for kind in [16, 17, 19] {
            assert!(kinds.contains(&kind), "{kind} is not among {kinds:?}");
        }
    }
}
