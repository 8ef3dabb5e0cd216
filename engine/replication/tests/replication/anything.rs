//! Anything at any time while two peers of small sizes reconcile: in the end both hold the same.

use std::collections::BTreeMap;

use crate::net::{Net, int};
use ditto_crdt::Version;
use ditto_replication::{DocumentKey, SessionId, Sizes, SubscriptionId};
use ditto_value::Value;
use proptest::prelude::*;

/// Both subscribe to the first all the time.
const QUERIES: [&str; 5] = [
    "SELECT * FROM plants",
    "SELECT * FROM pots",
    "SELECT * FROM plants WHERE light = 1",
    "SELECT * FROM plants WHERE light = 2",
    "SELECT * FROM pots WHERE light = 1",
];

#[derive(Clone, Copy, Debug)]
enum Write {
    Insert { light: i64, is_long: bool },
    Set(i64),
    Delete,
    Evict,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    /// A peer writes a document.
    Write(usize, u8, Write),
    /// A peer subscribes to a query, or does not any more.
    Toggle(usize, usize),
    /// A peer reads so many messages.
    Deliver(usize, u8),
    /// What is due is done.
    Tick,
    Pass(u64),
    Reconnect,
    /// A peer loses what was not durable, and begins anew.
    Crash(usize),
    /// Whether what a peer writes becomes durable.
    Sync(usize, bool),
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => (0..3_i64, prop::bool::weighted(0.3)).prop_map(|(light, is_long)| Write::Insert { light, is_long }),
        3 => (0..3_i64).prop_map(Write::Set),
        1 => Just(Write::Delete),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        7 => (0..2_usize, 0..60_u8, write()).prop_map(|(peer, id, write)| Act::Write(peer, id, write)),
        1 => (0..2_usize, 0..60_u8).prop_map(|(peer, id)| Act::Write(peer, id, Write::Evict)),
        2 => (0..2_usize, 1..QUERIES.len()).prop_map(|(peer, query)| Act::Toggle(peer, query)),
        12 => (0..2_usize, 1..6_u8).prop_map(|(peer, messages)| Act::Deliver(peer, messages)),
        4 => Just(Act::Tick),
        1 => (0..1_500_u64).prop_map(Act::Pass),
        1 => Just(Act::Reconnect),
        1 => (0..2_usize).prop_map(Act::Crash),
        1 => (0..2_usize, any::<bool>()).prop_map(|(peer, syncs)| Act::Sync(peer, syncs)),
    ]
}

/// From a range for each document to one for all of them, and so little work at once that everything can come in between.
fn sizes() -> impl Strategy<Value = Sizes> {
    let all = Sizes::default();
    let reconciliation = (
        prop_oneof![1..40_usize, Just(all.reconciled_documents)],
        1..12_usize,
        16..400_usize,
        1..6_usize,
        1..4_usize,
    );
    let work = (1..20_usize, 1..4_usize, 1..40_usize);
    let batches = (prop_oneof![Just(64), Just(all.part_bytes)], 1..5_usize, 2..64_usize, any::<bool>());
    (reconciliation, work, batches).prop_map(move |(reconciliation, work, batches)| {
        let (reconciled_documents, symbols_per_message, symbols, inquiry_items, reconciliations) =
            reconciliation;
        let (rows_per_read, reads_per_call, items_per_call) = work;
        let (part_bytes, batch_documents, window_batches, has_short_queue) = batches;
        let are_parts_short = part_bytes < all.part_bytes;
        Sizes {
            reconciled_documents,
            symbols_per_message,
            symbols,
            inquiry_items,
            reconciliations,
            rows_per_read,
            rows_per_call: rows_per_read * reads_per_call,
            items_per_call,
            part_bytes,
            max_batch_documents: if are_parts_short { 20 } else { all.max_batch_documents },
            batch_documents,
            window_batches,
            queue_bytes: if has_short_queue { 300 } else { all.queue_bytes },
            reconciled_changes: 1,
            known_documents: 8,
            ..all
        }
    })
}

struct World {
    net: Net,
    subscriptions: [[Option<SubscriptionId>; QUERIES.len()]; 2],
    sessions: (SessionId, SessionId),
}

impl World {
    fn write(&mut self, peer: usize, number: u8, write: Write) {
        let now = self.net.now;
        let model = self.net.model(peer);
        let (collection, id) = (if number % 4 == 3 { "pots" } else { "plants" }, format!("d{number}"));
        match write {
            Write::Insert { light, is_long } => {
                let rings = Value::String("x".repeat(200 + usize::from(number)));
                let fields = [("light", int(light)), ("rings", rings)];
                model.insert(now, collection, &id, &fields[..if is_long { 2 } else { 1 }]);
            }
            Write::Set(light) => {
                model.set(now, collection, &id, "light", light);
            }
            Write::Delete => {
                model.delete(now, collection, &id);
            }
            Write::Evict => model.evict(collection, &id),
        }
    }

    fn subscribe(&mut self, peer: usize, query: usize) {
        self.subscriptions[peer][query] = Some(self.net.subscribe(peer, QUERIES[query]));
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Write(peer, number, write) => self.write(peer, number, write),
            Act::Toggle(peer, query) => match self.subscriptions[peer][query].take() {
                Some(subscription) => self.net.unsubscribe(peer, subscription),
                None => self.subscribe(peer, query),
            },
            Act::Deliver(peer, messages) => {
                let other = if peer == 0 { (1, self.sessions.1) } else { (0, self.sessions.0) };
                self.net.held.insert(other);
                for _ in 0..messages {
                    self.net.step();
                }
                self.net.held.clear();
            }
            Act::Tick => {
                self.net.tick_due();
            }
            Act::Pass(milliseconds) => self.net.advance(milliseconds),
            Act::Reconnect => {
                self.net.disconnect(0, 1);
                self.sessions = self.net.connect(0, 1);
            }
            Act::Crash(peer) => {
                self.net.model(peer).crash();
                self.net.restart(peer);
                for query in 0..QUERIES.len() {
                    if self.subscriptions[peer][query].is_some() {
                        self.subscribe(peer, query);
                    }
                }
                self.sessions = self.net.connect(0, 1);
            }
            Act::Sync(peer, syncs) => self.net.nodes[peer].syncs = syncs,
        }
        self.net.now += 1;
    }

    fn plants(&self, peer: usize) -> BTreeMap<DocumentKey, Version> {
        let versions = self.net.nodes[peer].model.versions().into_iter();
        versions.filter(|(key, _)| &*key.collection == "plants").collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn both_end_equal(
        sizes in [sizes(), sizes()],
        are_twins in any::<bool>(),
        before in prop::collection::vec((0..2_usize, 0..60_u8, write()), 0..20),
        meanwhile in prop::collection::vec(act(), 0..120),
    ) {
        let net = Net::new(2);
        let subscriptions = Default::default();
        let mut world = World { net, subscriptions, sessions: (SessionId(0), SessionId(0)) };
        for number in 0..50 {
            world.write(0, number, Write::Insert { light: i64::from(number % 3), is_long: number % 7 == 0 });
        }
        if are_twins {
            world.net.nodes[1].model = world.net.nodes[0].model.twin(2);
        } else {
            for number in 20..50 {
                world.write(1, number, Write::Insert { light: i64::from(number % 2), is_long: number % 9 == 0 });
            }
        }
        for (peer, sizes) in sizes.into_iter().enumerate() {
            world.net.restart_with(peer, sizes);
            world.subscribe(peer, 0);
        }
        for (peer, number, write) in before {
            world.write(peer, number, write);
        }
        world.sessions = world.net.connect(0, 1);
        for act in meanwhile {
            world.perform(act);
        }
        for peer in 0..2 {
            world.net.nodes[peer].syncs = true;
        }
        world.net.rest();
        world.net.rest();
        for (peer, session) in [(0, world.sessions.0), (1, world.sessions.1)] {
            prop_assert!(world.net.failures(peer).is_empty(), "{:?}", world.net.failures(peer));
            prop_assert!(!world.net.statistics(peer, session).catching_up, "{} is catching up", peer);
        }
        prop_assert_eq!(world.plants(0), world.plants(1));
    }
}
