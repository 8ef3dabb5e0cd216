//! Clocks that are wrong, between a store and the protocol that compares them, without a network.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ditto_peer::StoreReplica;
use ditto_replication::{LocalPeer, PeerId, Replicator, SessionId, SubscriptionId};
use ditto_storage::MemoryStorage;
use ditto_store::{ClockSkew, Environment, Executor, Store, StoreOptions};
use ditto_value::Object;

const NOW: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 86_400_000;
const SESSION: SessionId = SessionId(1);

struct Clock {
    now_ms: u64,
    dice: AtomicU64,
}

impl Environment for Clock {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn random_u64(&self) -> u64 {
        self.dice.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}

struct Nobody;

impl Executor for Nobody {
    fn spawn(&self, _job: Box<dyn FnOnce() + Send>) {}
}

struct Side {
    number: u8,
    store: Store,
    replica: StoreReplica,
    replicator: Replicator,
}

fn side(number: u8, now_ms: u64) -> Side {
    let clock = Arc::new(Clock { now_ms, dice: AtomicU64::new(u64::from(number) << 32) });
    let options = StoreOptions::new("clocks", Arc::new(Nobody));
    let store = Store::open(Arc::new(MemoryStorage::new()), clock, options).unwrap();
    let local = LocalPeer::new(PeerId([number; 32]), "clocks");
    let replica = StoreReplica::new(store.clone());
    Side { number, replica, store, replicator: Replicator::new(local) }
}

/// Lets two peers that want everything meet, until nothing more is said.
fn meet(one: &mut Side, other: &mut Side) {
    let numbers = [one.number, other.number];
    for (side, remote) in [(&mut *one, numbers[1]), (&mut *other, numbers[0])] {
        let Side { replica, replicator, .. } = side;
        replicator.subscribe(SubscriptionId(1), "SELECT * FROM c", &Object::new(), replica, 0).unwrap();
        replicator.connected(SESSION, PeerId([remote; 32]), replica, 0);
    }
    let mut silent = 0;
    while silent < 2 {
        silent += 1;
        for (from, to) in [(true, false), (false, true)] {
            let (from, to) = if from && !to { (&mut *one, &mut *other) } else { (&mut *other, &mut *one) };
            let durable = from.store.sync().unwrap();
            from.replicator.durable(durable, &mut from.replica, 0);
            while let Some((_, message)) = from.replicator.poll_transmit() {
                to.replicator.receive(SESSION, &message, &mut to.replica, 0);
                silent = 0;
            }
        }
    }
}

fn skew(side: &Side) -> ClockSkew {
    side.store.clock_skews()[0]
}

#[test]
fn each_peer_knows_how_far_the_clock_of_the_other_is_from_its_own() {
    for (clock, expected) in [(NOW, 0), (NOW - 400 * DAY_MS, -400), (NOW + 400 * DAY_MS, 400)] {
        let (mut one, mut other) = (side(1, NOW), side(2, clock));
        other.store.execute("INSERT INTO c DOCUMENTS ({'_id': 1})", &Object::new()).unwrap();
        meet(&mut one, &mut other);
        assert_eq!(one.store.execute("SELECT * FROM c", &Object::new()).unwrap().rows.len(), 1);
        let (seen, mirrored) = (skew(&one), skew(&other));
        let expected = expected * DAY_MS as i64;
        assert_eq!((seen.difference_ms, mirrored.difference_ms), (Some(expected), Some(-expected)));
        assert_eq!((seen.site, mirrored.site), (Some(other.store.site()), Some(one.store.site())));
        let author = seen.ahead.map(|write| (write.site, write.ahead_ms as i64));
        assert_eq!(author, (expected > 0).then_some((other.store.site(), expected)));
    }
}

#[test]
fn a_peer_that_passes_on_a_write_from_the_future_is_not_taken_for_its_author() {
    let (mut author, mut between, mut end) = (side(1, NOW + 400 * DAY_MS), side(2, NOW), side(3, NOW));
    author.store.execute("INSERT INTO c DOCUMENTS ({'_id': 1})", &Object::new()).unwrap();
    meet(&mut author, &mut between);
    between.replicator = Replicator::new(LocalPeer::new(PeerId([2; 32]), "clocks"));
    meet(&mut end, &mut between);
    let seen = skew(&end);
    assert_eq!((seen.site, seen.difference_ms), (Some(between.store.site()), Some(0)));
    assert_eq!(seen.ahead.map(|write| write.site), Some(author.store.site()));
}
