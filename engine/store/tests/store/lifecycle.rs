//! Death and after: tombstones, graves, lost writes, and what EVICT may forget.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ditto_crdt::{RunId, Sequence, SiteId, Version};
use ditto_storage::{
    Batch, Direction, DiskStorage, FaultyStorage, Keyspace, MemoryStorage, Snapshot, Storage,
};
use ditto_store::{
    Acknowledged, Checkpoint, DocumentKey, Greeting, Incoming, IncomingDocument, KnownPeer, MAX_CONFLICTS,
    MAX_REMEMBERED_INTEREST_BYTES, MAX_REMEMBERED_INTERESTS, MAX_SEEN_RUNS, Reaped, Refused, Seen, Sent,
    ServedInterest, Store, StoreError, StoreOptions, TransactionKind,
};
use ditto_value::{Object, Value};

use crate::support::{
    DATABASE, TestEnvironment, Threads, assert_consistent, failure, open_in, query, restore, run, run_with,
};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A store, its clock, and the name under which others know it.
pub struct Peer {
    pub store: Store,
    pub storage: Arc<MemoryStorage>,
    pub clock: Arc<TestEnvironment>,
    pub name: [u8; 32],
}

impl Peer {
    pub fn new(number: u8) -> Self {
        Self::with_clock(number, 1_800_000_000_000)
    }

    pub fn with_clock(number: u8, now_ms: u64) -> Self {
        let storage = Arc::new(MemoryStorage::new());
        let clock = TestEnvironment::new(number.into());
        clock.set_now(now_ms);
        let options = StoreOptions::new(DATABASE, Arc::new(Threads));
        let store = Store::open(storage.clone(), clock.clone(), options).expect("opens");
        Self { store, storage, clock, name: [number; 32] }
    }

    /// Ends the process and opens an image of the storage in its place.
    pub fn restored(self, image: &dyn Snapshot) -> Self {
        let storage = Arc::new(MemoryStorage::new());
        restore(image, &*storage);
        let options = StoreOptions::new(DATABASE, Arc::new(Threads));
        let store = Store::open(storage.clone(), self.clock.clone(), options).expect("opens");
        Self { store, storage, ..self }
    }

    pub fn origin(&self) -> u64 {
        self.name[0].into()
    }

    /// Everything that changed after `after`, as it would be sent.
    pub fn changes(&self, after: Sequence) -> Vec<IncomingDocument> {
        let replica = self.store.replica();
        let changes = replica.changes(after, replica.last_sequence(), usize::MAX).expect("changes");
        let sent = |change: ditto_store::Change| {
            let excerpt = replica.delta_since(&change.key, after).expect("reads").expect("there");
            assert_eq!(excerpt.newest, change.sequence);
            IncomingDocument { key: change.key, delta: excerpt.delta, stated: excerpt.version }
        };
        changes.into_iter().map(sent).collect()
    }

    /// Takes documents from `from`; answers which of them are dead here.
    pub fn receive(&self, from: &Peer, documents: Vec<IncomingDocument>) -> Vec<DocumentKey> {
        let keys: Vec<DocumentKey> = documents.iter().map(|document| document.key.clone()).collect();
        let applied = self.store.replica().apply(incoming(from, documents)).expect("applies");
        let outcomes = applied.outcomes.into_iter().map(|outcome| outcome.expect("accepted"));
        keys.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.absorbed).map(|(key, _)| key).collect()
    }

    /// Time passes, and the housekeeping is done, every day and at the end.
    pub fn after(&self, passed_ms: u64) -> Reaped {
        let mut total = Reaped::default();
        for day in 0..passed_ms.div_ceil(DAY_MS) {
            self.clock.advance(DAY_MS.min(passed_ms - day * DAY_MS));
            add(&mut total, reap(&self.store));
        }
        total
    }

    pub fn counts(&self) -> (u64, u64, u64) {
        let verified = self.store.verify().expect("reads");
        assert!(verified.is_consistent(), "{:#?}", verified.inconsistencies);
        (verified.documents, verified.tombstones, verified.graves)
    }

    pub fn version(&self, key: &DocumentKey) -> Option<Version> {
        self.store.replica().document(key).expect("reads").map(|stored| stored.version)
    }

    pub fn greet(&self, remote: &Peer) {
        let greeting = Greeting {
            site: remote.store.site(),
            evictions: remote.store.replica().eviction_total(),
            is_behind: false,
            clock_ms: Some(remote.store.replica().wall_clock_ms()),
        };
        self.store.replica().greeted(&remote.name, remote.origin(), greeting).expect("stored");
    }

    /// `remote` asks for something.
    pub fn serve(&self, remote: &Peer, query: &str, number: u8) {
        let interest = ServedInterest {
            selection: [number; 16],
            query: query.to_string(),
            arguments: Vec::new(),
            held: Sequence(u64::MAX),
        };
        self.store.replica().serves(&remote.name, remote.origin(), interest);
    }

    /// `remote` acknowledges everything but the exceptions.
    pub fn acknowledged(&self, remote: &Peer, number: u8, unheld: Vec<(DocumentKey, Sequence)>) {
        let interests = vec![([number; 16], self.store.last_sequence())];
        let unheld = unheld.into_iter().map(|(key, from)| Sent { key, from, row: Some(from) }).collect();
        let acknowledged = Acknowledged { interests, held: Vec::new(), unheld };
        self.store.replica().acknowledged(&remote.name, &acknowledged);
    }
}

pub fn incoming(from: &Peer, documents: Vec<IncomingDocument>) -> Incoming {
    Incoming {
        from: from.name,
        origin: from.origin(),
        documents,
        checkpoints: Vec::new(),
        seen: None,
        evictions: None,
    }
}

/// Steps until nothing is due.
pub fn reap(store: &Store) -> Reaped {
    let mut total = Reaped::default();
    for _ in 0..10_000 {
        let step = store.reap().expect("reaps");
        add(&mut total, step);
        if step.again_in_ms > 1_000 {
            return total;
        }
    }
    panic!("the housekeeping does not end");
}

fn add(total: &mut Reaped, step: Reaped) {
    total.buried += step.buried;
    total.graves += step.graves;
    total.commits += step.commits;
    total.replication += step.replication;
    total.again_in_ms = step.again_in_ms;
}

fn first_key(peer: &Peer) -> DocumentKey {
    peer.changes(Sequence::ZERO).remove(0).key
}

const EVERYTHING: &str = "SELECT * FROM c";

#[test]
fn a_tombstone_becomes_a_grave_when_its_time_is_over_and_nothing_else_changes() {
    let a = Peer::new(1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1}), ({'_id': 2})");
    run(&a.store, "DELETE FROM c WHERE _id = 1");
    let before = a.changes(Sequence::ZERO);
    assert_eq!(a.after(6 * DAY_MS).buried, 0);
    assert_eq!(a.counts(), (1, 1, 0));
    assert_eq!(a.after(2 * DAY_MS).buried, 1);
    assert_eq!(a.counts(), (1, 0, 1));
    let after = a.changes(Sequence::ZERO);
    assert_eq!(before[1].stated, after[1].stated, "the version is the same");
    assert_eq!(before[1].delta, after[1].delta, "and so is what is told");
    assert_ne!(before[1].key, after[1].key, "but for the name");
    assert_eq!(a.version(&before[1].key), a.version(&after[1].key), "both names find it");
    assert_eq!(query(&a.store, "SELECT * FROM c"), [r#"{"_id":2}"#]);
    assert_eq!(a.after(DAY_MS).buried, 0);
}

#[test]
fn a_grave_survives_the_reopening_of_the_store() {
    let a = Peer::new(1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    run(&a.store, "DELETE FROM c");
    a.after(8 * DAY_MS);
    let key = first_key(&a);
    let version = a.version(&key);
    let (storage, last) = (a.storage.clone(), a.store.last_sequence());
    drop(a);
    let store = open_in(storage, 9);
    assert_eq!(store.last_sequence(), last);
    let found = store.replica().document(&key).expect("reads");
    assert_eq!(found.map(|stored| (stored.version, stored.alive)), version.map(|version| (version, false)));
    run(&store, "INSERT INTO c INITIAL DOCUMENTS ({'_id': 1, 'i': 1})");
    assert_eq!(query(&store, "SELECT * FROM c"), [""; 0], "what was deleted stays deleted");
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'y': 2})");
    assert_eq!(query(&store, "SELECT * FROM c"), [r#"{"_id":1,"y":2}"#]);
    let verified = store.verify().expect("reads");
    assert!(verified.is_consistent(), "{:?}", verified.inconsistencies);
    assert_eq!((verified.documents, verified.graves), (1, 0));
}

#[test]
fn the_age_of_a_deletion_counts_from_its_arrival_whatever_the_clocks_of_others_say() {
    for skew in [-30 * DAY_MS as i64, 30 * DAY_MS as i64] {
        let now = 1_800_000_000_000_u64;
        let (a, b) = (Peer::with_clock(1, now.saturating_add_signed(skew)), Peer::with_clock(2, now));
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
        b.receive(&a, a.changes(Sequence::ZERO));
        run(&a.store, "DELETE FROM c");
        b.receive(&a, a.changes(Sequence(1)));
        b.greet(&a);
        assert_eq!(b.after(6 * DAY_MS).buried, 0, "skew {skew}: not early");
        assert_eq!(b.after(2 * DAY_MS).buried, 1, "skew {skew}: not late");
    }
}

#[test]
fn a_clock_that_jumps_neither_hurries_nor_stops_a_burial() {
    const NOW: u64 = 1_800_000_000_000;
    for (then, now) in [(0, NOW), (NOW + 30 * DAY_MS, NOW), (NOW, 0), (NOW, NOW + 300 * DAY_MS)] {
        let a = Peer::with_clock(1, then);
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
        run(&a.store, "DELETE FROM c");
        a.after(2 * DAY_MS);
        a.clock.set_now(now);
        assert_eq!(a.after(3 * DAY_MS).buried, 0, "from {then} to {now}: not early");
        assert_eq!(a.after(3 * DAY_MS).buried, 1, "from {then} to {now}: not late");
        a.counts();
    }
}

#[test]
fn a_device_that_boots_in_1970_and_learns_the_date_keeps_its_tombstones() {
    const NOW: u64 = 1_800_000_000_000;
    let mut a = Peer::with_clock(1, NOW);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    run(&a.store, "DELETE FROM c");
    for day in 0..4 {
        a.clock.set_now(1_000_000);
        let snapshot = a.storage.snapshot();
        a = a.restored(&*snapshot);
        a.clock.advance(HOUR_MS);
        assert_eq!(reap(&a.store).buried, 0, "in 1970");
        a.clock.set_now(NOW + day * DAY_MS);
        assert_eq!(reap(&a.store).buried, 0, "when the date is known");
    }
    // Nothing counts for more than a day, not even a year in a drawer.
    a.clock.set_now(NOW + 400 * DAY_MS);
    let snapshot = a.storage.snapshot();
    let a = a.restored(&*snapshot);
    a.clock.advance(HOUR_MS);
    assert_eq!(reap(&a.store).buried, 0, "a year later");
    assert_eq!(a.after(7 * DAY_MS).buried, 1);
}

#[test]
fn graves_are_kept_unless_a_parameter_ages_them() {
    let a = Peer::new(1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2}), ({'_id': 3}), ({'_id': 4})");
    let old = a.changes(Sequence::ZERO);
    run(&a.store, "DELETE FROM c WHERE _id < 4");
    assert_eq!(a.after(8 * DAY_MS).buried, 3);
    assert_eq!(a.after(100 * DAY_MS).graves, 0);
    run(&a.store, "ALTER SYSTEM SET grave_ttl_days = 110");
    run(&a.store, "ALTER SYSTEM SET tombstone_reap_batch_size = 1");
    run(&a.store, "DELETE FROM c");
    assert_eq!(a.after(8 * DAY_MS).graves, 0);
    let last = a.store.last_sequence();
    assert_eq!(a.after(8 * DAY_MS).graves, 3);
    assert_eq!((a.counts(), a.store.last_sequence()), ((0, 0, 1), last), "the younger one is kept");
    let b = Peer::new(2);
    a.receive(&b, old);
    assert_eq!(query(&a.store, "SELECT _id FROM c").len(), 3, "what was forgotten is taken for alive");
    let (storage, last) = (a.storage.clone(), a.store.last_sequence());
    drop(a);
    assert_eq!(open_in(storage, 9).last_sequence(), last);
}

#[test]
fn a_deletion_that_nobody_heard_of_is_not_buried() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    a.greet(&b);
    a.serve(&b, EVERYTHING, 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    run(&a.store, "INSERT INTO private DOCUMENTS ({'_id': 1})");
    run(&a.store, "DELETE FROM c WHERE _id = 1");
    run(&a.store, "DELETE FROM private");
    assert_eq!(a.after(30 * DAY_MS).buried, 1, "nobody can know of the other collection");
    assert_eq!(a.counts(), (1, 1, 1));
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(a.after(DAY_MS).buried, 1);
    assert_eq!(a.counts(), (1, 0, 2));
}

#[test]
fn what_an_acknowledgement_proves_ends_when_its_giver_forgets() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    a.greet(&b);
    a.serve(&b, EVERYTHING, 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2}), ({'_id': 3})");
    assert_eq!(run(&a.store, "EVICT FROM c WHERE _id = 1").mutated_ids, []);
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(run(&a.store, "EVICT FROM c WHERE _id = 1").mutated_ids, [Value::Int(1)]);
    a.store.replica().remote_evicted(&b.name, 1).expect("stored");
    assert_eq!(run(&a.store, "EVICT FROM c WHERE _id = 2").mutated_ids, [], "it has evicted since");
    let greet = |evictions, site, is_behind| {
        let greeting = Greeting { site: SiteId(site), evictions, is_behind, clock_ms: None };
        a.store.replica().greeted(&b.name, b.origin(), greeting).expect("stored");
        run(&a.store, "EVICT FROM c WHERE _id = 2").mutated_ids.len()
    };
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(greet(1, 77, false), 0, "it is another one now");
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(greet(1, 77, true), 0, "it was restored");
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(greet(1, 77, false), 1);
}

#[test]
fn what_a_peer_did_not_take_is_known_after_a_restart_until_it_changes() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    let reached = |peer: &Peer| peer.store.replica().known_peers()[0].acknowledged;
    a.greet(&b);
    a.serve(&b, EVERYTHING, 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2}), ({'_id': 3})");
    run(&a.store, "INSERT INTO d DOCUMENTS ({'_id': 4})");
    let changes = a.store.replica().changes(Sequence::ZERO, Sequence(4), 4).expect("reads");
    let unheld =
        |rows: [usize; 2]| rows.map(|row| (changes[row].key.clone(), changes[row].sequence)).to_vec();
    a.acknowledged(&b, 1, unheld([1, 3]));
    assert_eq!(reached(&a), Some(Sequence(1)));
    a.clock.advance(2_000);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 5})");
    let image = a.storage.snapshot();
    let a = a.restored(&*image);
    assert_eq!(reached(&a), Some(Sequence(1)));
    let mut rows: Vec<_> = a.store.replica().withheld(&b.name).into_iter().map(|(row, _)| row).collect();
    rows.sort_unstable();
    assert_eq!(rows, [Sequence(2), Sequence(4)]);
    // What it takes later it has, though it may lack what was before that.
    let (key, row) = (changes[3].key.clone(), Some(Sequence(4)));
    let held = vec![Sent { key, from: Sequence(5), row }];
    a.store.replica().acknowledged(&b.name, &Acknowledged { held, ..Acknowledged::default() });
    assert_eq!(a.store.replica().withheld(&b.name), [(Sequence(2), "c".into())]);
    // What replaces it is told by itself, and for what it does not ask nothing is owed.
    run(&a.store, "UPDATE c SET a = 1 WHERE _id = 2");
    assert_eq!(reached(&a), Some(Sequence(4)));
}

#[test]
fn of_what_is_not_remembered_of_a_peer_nothing_counts_as_acknowledged() {
    let reached = |peer: &Peer| peer.store.replica().known_peers()[0].acknowledged;
    let long = format!("SELECT * FROM c WHERE a = '{}'", "a".repeat(20_000));
    let (a, b) = (Peer::new(1), Peer::new(2));
    a.greet(&b);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    a.serve(&b, "SELECT * FROM d", 1);
    a.acknowledged(&b, 1, Vec::new());
    assert_eq!(reached(&a), Some(Sequence(1)));
    // How far an interest has come is known whose query is too long to be kept, and what it may lack.
    a.serve(&b, &long, 2);
    assert_eq!(reached(&a), None);
    let key = a.store.replica().changes(Sequence::ZERO, Sequence(1), 1).expect("reads")[0].key.clone();
    a.acknowledged(&b, 2, Vec::new());
    assert_eq!(reached(&a), Some(Sequence(1)));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 2})");
    a.acknowledged(&b, 1, Vec::new());
    a.acknowledged(&b, 2, vec![(key, Sequence(1))]);
    assert_eq!(reached(&a), None);
    // Of more interests than are remembered it is not.
    let (a, b) = (Peer::new(1), Peer::new(2));
    a.greet(&b);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    let serve = |number: usize| {
        let mut selection = [1; 16];
        selection[..8].copy_from_slice(&number.to_be_bytes());
        let query = format!("SELECT * FROM c WHERE a = {number}");
        let interest = ServedInterest { selection, query, arguments: Vec::new(), held: Sequence(u64::MAX) };
        a.store.replica().serves(&b.name, b.origin(), interest);
        let interests = vec![(selection, Sequence(1))];
        a.store.replica().acknowledged(&b.name, &Acknowledged { interests, ..Acknowledged::default() });
    };
    (0..MAX_REMEMBERED_INTERESTS).for_each(serve);
    assert_eq!(reached(&a), Some(Sequence(1)));
    serve(MAX_REMEMBERED_INTERESTS);
    assert_eq!(reached(&a), None);
    // In the next session it asks for fewer.
    a.clock.advance(1_000);
    a.greet(&b);
    serve(1);
    assert_eq!(reached(&a), Some(Sequence(1)));
}

#[test]
fn who_syncs_hears_of_what_is_stored_of_a_peer() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    a.greet(&b);
    a.serve(&b, EVERYTHING, 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    a.acknowledged(&b, 1, Vec::new());
    let heard = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&heard);
    let _subscription = a.store.signal_commits(move || {
        counts.fetch_add(1, Ordering::Relaxed);
    });
    a.store.replica().remote_evicted(&b.name, 1).expect("stored");
    let of_void = heard.load(Ordering::Relaxed);
    assert!(of_void > 0, "what it acknowledged is void, and must be so after a loss of power");
    a.serve(&b, "SELECT * FROM others", 2);
    assert!(heard.load(Ordering::Relaxed) > of_void, "it is the first to ask for them");
}

#[test]
fn what_a_peer_has_acknowledged_is_known_after_a_restart_and_never_too_much() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    assert_eq!(a.store.replica().known_peers(), []);
    a.greet(&b);
    let known = |store: &Store| {
        let known = store.replica().known_peers();
        let [KnownPeer { peer, met_ms, acknowledged }] = known[..] else { panic!("{known:?}") };
        assert_eq!(peer, b.name);
        (met_ms, acknowledged)
    };
    let (met_ms, acknowledged) = known(&a.store);
    assert_eq!(acknowledged, None, "it asks for nothing");
    a.serve(&b, "SELECT * FROM d", 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    a.acknowledged(&b, 1, Vec::new());
    let first = a.store.last_sequence();
    a.serve(&b, EVERYTHING, 2);
    assert_eq!(known(&a.store), (met_ms, None), "it may not have what it asks for since");
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 2})");
    a.acknowledged(&b, 2, Vec::new());
    assert_eq!(known(&a.store), (met_ms, Some(first)));

    // In the next session it does not ask for all of this any more.
    a.clock.advance(1_000);
    a.greet(&b);
    a.serve(&b, EVERYTHING, 2);
    let last = Some(a.store.last_sequence());
    let now = known(&a.store);
    assert!(now.0 >= met_ms + 1_000 && now.1 == last, "{now:?}, {last:?}");
    // It is stored with one of the next commits.
    a.clock.advance(2_000);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 3})");
    let image = a.storage.snapshot();
    let again = a.restored(&*image);
    assert_eq!(known(&again.store), now);
    again.store.replica().remote_evicted(&b.name, 1).expect("stored");
    assert_eq!(known(&again.store), (now.0, None), "what it had may be gone");
}

#[test]
fn evict_keeps_what_exists_nowhere_else_and_says_so() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 0})");
    assert_eq!(run(&a.store, "EVICT FROM c").mutated_ids, [Value::Int(0)], "nobody else is known");
    a.greet(&b);
    a.serve(&b, "SELECT * FROM c WHERE x > 1", 1);
    run_with(&a.store, "INSERT INTO c DOCUMENTS (:d)", r#"{"d": [{"_id": 1, "x": 1}, {"_id": 2, "x": 2}]}"#);
    run(&a.store, "INSERT INTO c INITIAL DOCUMENTS ({'_id': 'seed'})");
    run(&b.store, "INSERT INTO c DOCUMENTS ({'_id': 'theirs'}), ({'_id': 'changed'})");
    a.receive(&b, b.changes(Sequence::ZERO));
    run(&a.store, "UPDATE c SET own = true WHERE _id = 'changed'");
    a.acknowledged(&b, 1, Vec::new());
    let result = run(&a.store, "EVICT FROM c RETURNING _id");
    let evicted: Vec<String> = result.mutated_ids.iter().map(Value::to_json).collect();
    assert_eq!(evicted, ["2", r#""seed""#, r#""theirs""#], "the filter of b covers only 2");
    assert_eq!(result.rows.len(), 3);
    assert_eq!(query(&a.store, "SELECT _id FROM c"), [r#"{"_id":1}"#, r#"{"_id":"changed"}"#]);
    assert_eq!(
        query(&a.store, "SELECT evicted, kept, kept_ids FROM system:evictions"),
        [r#"{"evicted":3,"kept":2,"kept_ids":[1,"changed"]}"#]
    );
    assert_eq!(run(&a.store, "EVICT FROM c LIMIT 1").mutated_ids, []);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 9, 'x': 9})");
    a.acknowledged(&b, 1, Vec::new());
    let one = run(&a.store, "EVICT FROM c LIMIT 1");
    assert_eq!(one.mutated_ids, [Value::Int(9)], "what is kept does not count for LIMIT");
    let forced = run(&a.store, r##"/*+ {"#force": true} */ EVICT FROM c WHERE _id = 1"##);
    assert_eq!(forced.mutated_ids, [Value::Int(1)]);
    assert_eq!(unheld(&a.store), [r#"{"unheld":1,"unheld_ids":[1]}"#], "forced, and said");
    run(&a.store, "ALTER SYSTEM SET user_collection_sync_scopes = {'c': 'LocalPeerOnly'}");
    assert_eq!(run(&a.store, "EVICT FROM c").mutated_ids.len(), 1, "never synced, so nobody to wait for");
    assert_eq!(unheld(&a.store), [r#"{"unheld":0,"unheld_ids":[]}"#]);
    assert_consistent(&a.store);
}

fn unheld(store: &Store) -> Vec<String> {
    query(store, "SELECT unheld, unheld_ids FROM system:evictions WHERE _id = 'c'")
}

#[test]
fn evict_says_what_existed_nowhere_else_before_anybody_asked_for_it() {
    let a = Peer::new(1);
    run(&a.store, "INSERT INTO c INITIAL DOCUMENTS ({'_id': 'seed'})");
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2}), ({'_id': 3})");
    assert_eq!(run(&a.store, "EVICT FROM c WHERE _id > 1 LIMIT 1").mutated_ids.len(), 1);
    assert_eq!(
        unheld(&a.store),
        [r#"{"unheld":1,"unheld_ids":[2]}"#],
        "what the limit leaves is not counted"
    );
    assert_eq!(run(&a.store, "EVICT FROM c").mutated_ids.len(), 3);
    assert_eq!(
        unheld(&a.store),
        [r#"{"unheld":2,"unheld_ids":[1,3]}"#],
        "every peer writes INITIAL documents"
    );
}

#[test]
fn an_eviction_is_shown_when_it_is_committed() {
    let a = Peer::new(1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    let shown = || query(&a.store, "SELECT evicted, previous_time IS NULL AS first FROM system:evictions");
    let transaction = a.store.begin(TransactionKind::ReadWrite).expect("begins");
    transaction.execute("EVICT FROM c", &Object::new()).expect("evicts");
    assert_eq!(shown(), [""; 0]);
    transaction.rollback();
    assert_eq!(shown(), [""; 0], "it never was");
    let transaction = a.store.begin(TransactionKind::ReadWrite).expect("begins");
    transaction.execute("EVICT FROM c WHERE _id = 1", &Object::new()).expect("evicts");
    transaction.commit().expect("commits");
    assert_eq!(shown(), [r#"{"evicted":1,"first":true}"#]);
    run(&a.store, "EVICT FROM c");
    assert_eq!(shown(), [r#"{"evicted":1,"first":false}"#]);
}

#[test]
fn what_peers_hold_is_known_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = || Arc::new(DiskStorage::open(directory.path()).expect("opens"));
    let b = Peer::new(2);
    let a = Peer { store: open_in(disk(), 1), ..Peer::new(1) };
    a.greet(&b);
    a.serve(&b, EVERYTHING, 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    let keys = a.changes(Sequence::ZERO);
    a.acknowledged(&b, 1, vec![(keys[1].key.clone(), Sequence(2))]);
    assert_eq!(a.store.replica().offered(&b.name, "c"), None);
    a.store.replica().set_offered(&b.name, "c", Sequence(2));
    a.store.close().expect("closes");
    let store = open_in(disk(), 3);
    assert_eq!(store.replica().offered(&b.name, "c"), Some(Sequence(2)));
    let evicted = run(&store, "EVICT FROM c").mutated_ids;
    assert_eq!(evicted, [Value::Int(1)], "2 was not taken");
}

/// `a` deletes what `b` changes.
fn disagreement() -> (Peer, Peer) {
    let (a, b) = (Peer::new(1), Peer::new(2));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'd', 'x': 1, 'y': 1})");
    b.receive(&a, a.changes(Sequence::ZERO));
    b.greet(&a);
    b.serve(&a, EVERYTHING, 1);
    b.acknowledged(&a, 1, Vec::new());
    run(&b.store, "UPDATE c SET x = 2, care.light = 'much'");
    run(&a.store, "DELETE FROM c");
    (a, b)
}

/// The lost fields of the oldest report.
fn fields(store: &Store) -> Vec<Value> {
    let rows = run(store, "SELECT fields FROM system:conflicts").rows;
    let fields = rows[0].value().get("fields").expect("fields").to_value();
    fields.as_array().expect("an array").to_vec()
}

#[test]
fn an_update_that_lost_against_a_deletion_is_reported_where_they_meet() {
    let (a, b) = disagreement();
    assert_eq!(b.receive(&a, a.changes(Sequence(1))), []);
    assert_eq!(query(&b.store, "SELECT * FROM c"), [""; 0]);
    let rows = query(
        &b.store,
        "SELECT collection, document, set_aside, fields_omitted, `from` FROM system:conflicts",
    );
    let from = "01".repeat(32);
    assert_eq!(
        rows,
        [format!(
            r#"{{"collection":"c","document":"d","fields_omitted":0,"from":"{from}","set_aside":true}}"#
        )]
    );
    let lost = fields(&b.store);
    let site = Value::from(format!("{:016x}", b.store.site().0));
    assert!(lost.iter().all(|field| field.get("site") == Some(&site)));
    let lost: Vec<_> =
        lost.iter().map(|field| (field.get("path"), field.get("value"), field.get("type"))).collect();
    let text = |text| Some(Value::from(text));
    let expected = [
        (text("care.light"), text("much"), text("REGISTER")),
        (text("x"), Some(Value::Int(2)), text("REGISTER")),
    ];
    let expected: Vec<_> = expected.iter().map(|(a, b, c)| (a.as_ref(), b.as_ref(), c.as_ref())).collect();
    assert_eq!(lost, expected);
    assert_eq!(a.receive(&b, b.changes(Sequence::ZERO)), [], "both are dead: the same tombstone");
    assert_eq!(query(&a.store, "SELECT * FROM system:conflicts"), [""; 0], "reported once");
    a.counts();
    b.counts();
}

#[test]
fn what_the_deleter_has_seen_is_no_conflict() {
    let (a, b) = disagreement();
    let (c, d) = disagreement();
    // b told a of its change before a deleted.
    a.receive(&b, b.changes(Sequence(1)));
    b.acknowledged(&a, 1, Vec::new());
    b.receive(&a, a.changes(Sequence(1)));
    assert_eq!(query(&b.store, "SELECT * FROM system:conflicts"), [""; 0]);
    // c acknowledges what it only absorbed, and says so.
    let dead = c.receive(&d, d.changes(Sequence(1)));
    assert_eq!(dead.len(), 1);
    d.acknowledged(&c, 1, vec![(dead[0].clone(), d.store.last_sequence())]);
    d.receive(&c, c.changes(Sequence(1)));
    assert_eq!(query(&d.store, "SELECT COUNT(*) AS n FROM system:conflicts"), [r#"{"n":1}"#]);
}

#[test]
fn a_write_that_somebody_else_holds_is_lost_but_not_set_aside() {
    let (a, b) = disagreement();
    let c = Peer::new(3);
    b.greet(&c);
    b.serve(&c, EVERYTHING, 2);
    run_with(&b.store, "UPDATE c SET long = :long", &format!(r#"{{"long": "{}"}}"#, "x".repeat(2_000)));
    b.acknowledged(&c, 2, Vec::new());
    b.receive(&a, a.changes(Sequence(1)));
    let expected = [("care.light", false, true), ("long", false, false), ("x", false, true)];
    assert_eq!(told(&b.store), expected.map(|(path, aside, value)| (path.to_string(), aside, value)));
}

#[test]
fn an_acknowledgement_from_before_the_newest_change_says_nothing_of_the_earlier_ones() {
    let (a, b) = disagreement();
    run(&b.store, "INSERT INTO c DOCUMENTS ({'_id': 'other'})");
    run(&b.store, "UPDATE c SET late = true WHERE _id = 'd'");
    // The walk came by when `d` had moved behind its end.
    let acknowledged = Acknowledged { interests: vec![([1; 16], Sequence(3))], ..Acknowledged::default() };
    b.store.replica().acknowledged(&a.name, &acknowledged);
    b.receive(&a, a.changes(Sequence(1)));
    let expected = [("care.light", true, true), ("late", true, true), ("x", true, true)];
    assert_eq!(told(&b.store), expected.map(|(path, aside, value)| (path.to_string(), aside, value)));
}

#[test]
fn what_was_not_taken_is_not_held_because_a_later_change_was() {
    let (a, b) = disagreement();
    // Dead there; a change that is written under another birth as well would be taken.
    let key = b.changes(Sequence::ZERO)[0].key.clone();
    b.acknowledged(&a, 1, vec![(key.clone(), Sequence(2))]);
    run(&b.store, "UPDATE c SET new = 1");
    let taken = Acknowledged {
        interests: vec![([1; 16], Sequence(3))],
        held: vec![Sent { key, from: Sequence(3), row: Some(Sequence(3)) }],
        unheld: Vec::new(),
    };
    b.store.replica().acknowledged(&a.name, &taken);
    b.receive(&a, a.changes(Sequence(1)));
    let expected = ["care.light", "new", "x"].map(|path| (path.to_string(), true, true));
    assert_eq!(told(&b.store), expected);
}

/// Path, whether it is set aside, and whether the value is there, of every field of the oldest report.
fn told(store: &Store) -> Vec<(String, bool, bool)> {
    let told = |field: &Value| {
        let path = field.get("path").and_then(Value::as_str).expect("a path").to_string();
        (path, field.get("set_aside") == Some(&Value::Bool(true)), field.get("value").is_some())
    };
    fields(store).iter().map(told).collect()
}

#[test]
fn a_write_that_its_author_forgot_is_set_aside_where_it_is_still_held() {
    let (a, b, c) = (Peer::new(1), Peer::new(2), Peer::new(3));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'd'})");
    for peer in [&b, &c] {
        peer.receive(&a, a.changes(Sequence::ZERO));
        peer.greet(&a);
    }
    run_with(&c.store, "UPDATE c SET long = :long", &format!(r#"{{"long": "{}"}}"#, "x".repeat(2_048)));
    c.greet(&b);
    c.serve(&b, EVERYTHING, 1);
    b.greet(&c);
    b.receive(&c, c.changes(Sequence(1)));
    c.acknowledged(&b, 1, Vec::new());
    assert_eq!(run(&c.store, "EVICT FROM c").mutated_ids.len(), 1, "b has it");
    b.store.replica().remote_evicted(&c.name, 1).expect("stored");
    run(&a.store, "DELETE FROM c");
    b.receive(&a, a.changes(Sequence(1)));
    assert_eq!(told(&b.store), [("long".to_string(), true, true)]);
}

#[test]
fn an_author_that_forgot_its_write_has_not_seen_it_when_it_deletes() {
    let (a, b, c) = (Peer::new(1), Peer::new(2), Peer::new(3));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'd'})");
    for peer in [&b, &c] {
        peer.receive(&a, a.changes(Sequence::ZERO));
    }
    run(&c.store, "UPDATE c SET x = 1");
    b.greet(&c);
    b.receive(&c, c.changes(Sequence(1)));
    run(&c.store, r##"/*+ {"#force": true} */ EVICT FROM c"##);
    b.greet(&c);
    // It comes back as it was, and is deleted so.
    c.receive(&a, a.changes(Sequence::ZERO));
    run(&c.store, "DELETE FROM c");
    b.receive(&c, c.changes(Sequence::ZERO));
    assert_eq!(told(&b.store), [("x".to_string(), true, true)]);
}

#[test]
fn writes_of_an_earlier_site_id_are_set_aside_as_well() {
    let (a, b) = disagreement();
    run_with(&b.store, "UPDATE c SET long = :long", &format!(r#"{{"long": "{}"}}"#, "x".repeat(2_000)));
    b.store.begin_run(true).expect("begins");
    b.receive(&a, a.changes(Sequence(1)));
    let expected = [("care.light", true, true), ("long", true, true), ("x", true, true)];
    assert_eq!(told(&b.store), expected.map(|(path, aside, value)| (path.to_string(), aside, value)));
}

#[test]
fn reports_of_what_exists_elsewhere_go_before_those_of_what_does_not() {
    let (a, b, c) = (Peer::new(1), Peer::new(2), Peer::new(3));
    let documents: Vec<String> = (0..10_002).map(|id| format!("{{\"_id\": {id}}}")).collect();
    run_with(&a.store, "INSERT INTO c DOCUMENTS (:d)", &format!("{{\"d\": [{}]}}", documents.join(",")));
    b.receive(&a, a.changes(Sequence::ZERO));
    b.greet(&c);
    b.serve(&c, EVERYTHING, 1);
    let count = |store: &Store| {
        query(store, "SELECT set_aside, COUNT(*) AS n FROM system:conflicts GROUP BY set_aside")
    };
    run(&b.store, "UPDATE c SET x = 1 WHERE _id < 2");
    run(&a.store, "DELETE FROM c WHERE _id < 2");
    b.receive(&a, a.changes(Sequence(10_002)));
    assert_eq!(count(&b.store), [r#"{"n":2,"set_aside":true}"#]);
    run(&b.store, "UPDATE c SET x = 1");
    b.acknowledged(&c, 1, Vec::new());
    run(&a.store, "DELETE FROM c");
    b.receive(&a, a.changes(Sequence(10_004)));
    assert_eq!(count(&b.store), [r#"{"n":9998,"set_aside":false}"#, r#"{"n":2,"set_aside":true}"#]);
    let rows = query(&b.store, "SELECT document FROM system:conflicts LIMIT 3");
    assert_eq!(rows, [0, 1, 4].map(|id| format!(r#"{{"document":{id}}}"#)), "2 and 3 were the oldest");
    assert_eq!(run(&b.store, "DELETE FROM system:conflicts WHERE set_aside").mutated_ids.len(), 2);
    assert_eq!(count(&b.store), [r#"{"n":9998,"set_aside":false}"#]);
    assert_consistent(&b.store);
}

#[test]
fn a_report_lists_every_write_that_is_set_aside() {
    let (a, b) = disagreement();
    let members: Vec<String> = (0..1_500).map(|number| format!("\"f{number:04}\": {number}")).collect();
    run_with(&b.store, "UPDATE c SET many = :many", &format!(r#"{{"many": {{{}}}}}"#, members.join(",")));
    b.receive(&a, a.changes(Sequence(1)));
    assert_eq!(told(&b.store).len(), 1_502);
    assert_eq!(query(&b.store, "SELECT fields_omitted AS n FROM system:conflicts"), [r#"{"n":0}"#]);
}

#[test]
fn a_copy_that_comes_back_late_stays_dead_and_its_writes_are_set_aside() {
    let (a, b) = disagreement();
    a.greet(&b);
    a.after(30 * DAY_MS);
    assert_eq!(a.counts(), (0, 0, 1), "nobody else had a part in the collection");
    // The old copy meets the grave.
    let dead = a.receive(&b, b.changes(Sequence(1)));
    assert_eq!(dead.len(), 1);
    assert_eq!(query(&a.store, "SELECT * FROM c"), [""; 0]);
    assert_eq!(a.counts(), (0, 0, 1));
    // The grave meets the old copy: it names the document by its hash.
    let told = a.changes(Sequence(1));
    assert_eq!(told[0].key.id.len(), 17);
    b.receive(&a, told);
    assert_eq!(query(&b.store, "SELECT * FROM c"), [""; 0]);
    assert_eq!(query(&b.store, "SELECT set_aside FROM system:conflicts"), [r#"{"set_aside":true}"#]);
    assert_eq!(b.counts(), (0, 1, 0));
    let key = b.changes(Sequence::ZERO).remove(0).key;
    assert_eq!(a.version(&key), b.version(&key), "a grave and a tombstone are equal");
    assert_eq!(b.after(8 * DAY_MS).buried, 1, "a is known to hold exactly this");
    assert_eq!(b.counts(), (0, 0, 1));
    assert_eq!(b.version(&key), a.version(&key));
}

#[test]
fn a_document_that_is_evicted_leaves_a_grave_of_its_earlier_lives() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'life': 'first'}), ({'_id': 2})");
    b.receive(&a, a.changes(Sequence::ZERO));
    run(&a.store, "DELETE FROM c WHERE _id = 1");
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'life': 'second'})");
    let second = a.changes(Sequence(2));
    assert_eq!(run(&a.store, "EVICT FROM c").mutated_ids.len(), 2);
    assert_eq!(a.counts(), (0, 0, 1), "2 had one life");
    let left = a.changes(Sequence(2));
    assert_eq!((left.len(), left[0].key.id.len()), (1, 17), "under the sequence that it had");
    a.receive(&b, b.changes(Sequence::ZERO));
    assert_eq!(query(&a.store, "SELECT * FROM c"), [r#"{"_id":2}"#], "the first life is over");
    a.receive(&b, second);
    assert_eq!(query(&a.store, "SELECT * FROM c WHERE _id = 1"), [r#"{"_id":1,"life":"second"}"#]);
    assert_eq!(a.counts(), (2, 0, 0));
    // What is left is told, and ends the first life elsewhere.
    run(&a.store, "EVICT FROM c WHERE _id = 1");
    b.receive(&a, a.changes(Sequence::ZERO));
    assert_eq!(query(&b.store, "SELECT * FROM c"), [r#"{"_id":2}"#]);
    b.counts();
}

#[test]
fn initial_documents_that_were_deleted_stay_deleted_after_an_eviction() {
    const INITIAL: &str = "INSERT INTO c INITIAL DOCUMENTS ({'_id': 1, 'initial': true})";
    for in_one_transaction in [false, true] {
        let a = Peer::new(1);
        run(&a.store, INITIAL);
        let rest = ["DELETE FROM c", "INSERT INTO c DOCUMENTS ({'_id': 1})", "EVICT FROM c", INITIAL];
        if in_one_transaction {
            let transaction = a.store.begin(TransactionKind::ReadWrite).expect("begins");
            for text in rest {
                transaction.execute(text, &Object::new()).expect(text);
            }
            transaction.commit().expect("commits");
        } else {
            rest.iter().for_each(|text| drop(run(&a.store, text)));
        }
        assert_eq!(query(&a.store, "SELECT * FROM c"), [""; 0]);
        assert_eq!(a.counts(), (0, 0, 1));
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1})");
        assert_eq!(query(&a.store, "SELECT * FROM c"), [r#"{"_id":1,"x":1}"#]);
        assert_eq!(a.counts(), (1, 0, 0));
        let storage = a.storage.clone();
        drop(a);
        assert_consistent(&open_in(storage, 9));
    }
    let a = Peer::new(1);
    run(&a.store, INITIAL);
    run(&a.store, "EVICT FROM c");
    run(&a.store, INITIAL);
    assert_eq!(a.counts(), (1, 0, 0), "it was never deleted");
}

#[test]
fn an_eviction_that_is_rolled_back_leaves_no_grave() {
    let a = Peer::new(1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    run(&a.store, "DELETE FROM c");
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1})");
    let transaction = a.store.begin(TransactionKind::ReadWrite).expect("begins");
    transaction.execute("EVICT FROM c", &Object::new()).expect("evicts");
    transaction
        .execute("INSERT INTO c DOCUMENTS ({'_id': 2}), ({'_id': 2})", &Object::new())
        .expect_err("twice");
    assert_eq!(transaction.execute("SELECT * FROM c", &Object::new()).expect("reads").rows.len(), 0);
    transaction.rollback();
    assert_eq!(query(&a.store, "SELECT * FROM c"), [r#"{"_id":1,"x":1}"#]);
    assert_eq!(a.counts(), (1, 0, 0));
}

#[test]
fn a_grave_is_taken_by_those_who_never_had_the_document() {
    let (a, b, c) = (Peer::new(1), Peer::new(2), Peer::new(3));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    c.receive(&a, a.changes(Sequence::ZERO));
    run(&a.store, "DELETE FROM c WHERE _id = 1");
    a.after(8 * DAY_MS);
    b.receive(&a, a.changes(Sequence::ZERO));
    assert_eq!(b.counts(), (1, 0, 1));
    b.receive(&c, c.changes(Sequence::ZERO));
    assert_eq!(b.counts(), (1, 0, 1), "the old copy of c is dead here");
    assert_eq!(query(&b.store, "SELECT * FROM c"), [r#"{"_id":2}"#]);
    c.receive(&b, b.changes(Sequence::ZERO));
    assert_eq!(query(&c.store, "SELECT * FROM c"), [r#"{"_id":2}"#]);
    run(&b.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'again': true})");
    for peer in [&a, &c] {
        peer.receive(&b, b.changes(Sequence::ZERO));
        assert_eq!(query(&peer.store, "SELECT * FROM c"), [r#"{"_id":1,"again":true}"#, r#"{"_id":2}"#]);
    }
    for peer in [&a, &b, &c] {
        assert_eq!(peer.counts().2, 0, "the grave was opened");
    }
}

#[test]
fn the_stock_of_a_collection_has_each_document_once_and_graves_by_their_hashes_at_the_end() {
    let a = Peer::new(1);
    for i in 0..20 {
        run(&a.store, &format!("INSERT INTO c DOCUMENTS ({{'_id': {i}}})"));
        run(&a.store, &format!("INSERT INTO b DOCUMENTS ({{'_id': {i}}})"));
    }
    run(&a.store, "DELETE FROM c WHERE _id > 4 AND _id < 13");
    run(&a.store, "DELETE FROM b WHERE _id > 7");
    a.after(8 * DAY_MS);
    run(&a.store, "DELETE FROM c WHERE _id = 2");
    run(&a.store, "UPDATE c SET x = 1 WHERE _id = 3");
    let replica = a.store.replica();
    let mut known: Vec<_> = a.changes(Sequence::ZERO).into_iter().map(|change| change.key).collect();
    known.retain(|key| &*key.collection == "c");
    known.sort_by_key(|key| (key.id[0] == 0, key.id.clone()));
    assert_eq!(known.iter().filter(|key| key.id[0] == 0).count(), 8, "buried");
    for (limit, bytes) in [(1, usize::MAX), (3, usize::MAX), (100, usize::MAX), (100, 1), (7, 200)] {
        let mut found = Vec::new();
        loop {
            let after = found.last().map_or(&[][..], |(key, _): &(DocumentKey, _)| &key.id);
            let piece = replica.stock("c", after, limit, bytes).expect("reads");
            if piece.is_empty() {
                break;
            }
            assert!(piece.len() <= limit && (bytes > 1 || piece.len() == 1));
            found.extend(piece);
        }
        let keys: Vec<_> = found.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(keys, known);
        for (key, stored) in found {
            let document = replica.document(&key).expect("reads").expect("there");
            assert_eq!(
                (stored.version, stored.newest, stored.alive),
                (document.version, document.newest, document.alive)
            );
            let row = replica.changes(Sequence(stored.newest.0 - 1), stored.newest, 1).expect("reads");
            assert_eq!(row[0].key, key, "that is the row of its newest change");
        }
    }
    assert!(replica.stock("nothing", &[], 10, 10).expect("reads").is_empty());
}

#[test]
fn graves_from_hostile_peers_are_refused() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1})");
    let living = a.changes(Sequence::ZERO).remove(0);
    run(&a.store, "DELETE FROM c");
    a.after(8 * DAY_MS);
    let grave = a.changes(Sequence::ZERO).remove(0);
    let with_key = |document: &IncomingDocument, key: &DocumentKey| IncomingDocument {
        key: key.clone(),
        ..document.clone()
    };
    let refused = |documents: Vec<IncomingDocument>| {
        let applied = b.store.replica().apply(incoming(&a, documents)).expect("applies");
        applied
            .outcomes
            .iter()
            .map(|outcome| matches!(outcome, Err(Refused::Malformed(_))))
            .collect::<Vec<_>>()
    };
    assert_eq!(refused(vec![with_key(&living, &grave.key)]), [true], "alive without an _id");
    assert_eq!(b.counts(), (0, 0, 0));
    assert_eq!(refused(vec![living.clone(), grave.clone()]), [true, false], "named twice");
    assert_eq!(b.counts(), (0, 0, 1));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 2})");
    let again = a.changes(Sequence::ZERO).remove(0);
    assert_eq!(refused(vec![with_key(&again, &grave.key)]), [true], "a grave is not opened by its hash");
    let mut short = grave.key.clone();
    short.id = short.id[..16].into();
    assert_eq!(refused(vec![with_key(&grave, &short)]), [true]);
    assert_eq!(refused(vec![again]), [false]);
    assert_eq!(b.counts(), (1, 0, 0));
}

#[test]
fn reports_are_removed_by_the_application() {
    let (a, b) = disagreement();
    b.receive(&a, a.changes(Sequence(1)));
    assert_eq!(query(&b.store, "SELECT COUNT(*) AS n FROM system:conflicts"), [r#"{"n":1}"#]);
    assert_eq!(run(&b.store, "DELETE FROM system:conflicts WHERE collection = 'other'").mutated_ids, []);
    let removed = run(&b.store, "DELETE FROM system:conflicts WHERE document = 'd' RETURNING document");
    assert_eq!((removed.mutated_ids.len(), removed.rows.len()), (1, 1));
    assert_eq!(query(&b.store, "SELECT * FROM system:conflicts"), [""; 0]);
    failure(&b.store, "DELETE FROM system:evictions", "{}");
    failure(&b.store, "UPDATE system:conflicts SET x = 1", "{}");
}

#[test]
fn a_tombstone_that_nobody_will_bury_is_found() {
    let a = Peer::new(1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2}), ({'_id': 3})");
    run(&a.store, "DELETE FROM c");
    // The row of the first one stays, and is nobody's.
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    assert_consistent(&a.store);
    let snapshot = a.storage.snapshot();
    let waiting = snapshot.prefix(Keyspace::Graves, &[2], Direction::Backward).next();
    let (row, _) = waiting.expect("one").expect("readable");
    drop(snapshot);
    let mut batch = Batch::new();
    batch.delete(Keyspace::Graves, row);
    a.storage.commit(batch).expect("commits");
    let verified = a.store.verify().expect("readable");
    assert_eq!(verified.inconsistent, 1);
    assert_eq!(
        verified.inconsistencies[0].to_string(),
        "tombstones: 2 documents are deleted, 1 of them wait for their burial"
    );
}

/// `a` deletes what `b` changes: documents with the `_id`s from `first` on.
fn disagree(a: &Peer, b: &Peer, first: usize, count: usize) {
    let ids = first..first + count;
    let documents: Vec<String> = ids.map(|id| format!(r#"{{"_id": {id}, "x": 1}}"#)).collect();
    let before = a.store.last_sequence();
    run_with(&a.store, "INSERT INTO c DOCUMENTS (:d)", &format!(r#"{{"d": [{}]}}"#, documents.join(",")));
    b.receive(a, a.changes(before));
    run(&b.store, "UPDATE c SET x = 2");
    let before = a.store.last_sequence();
    run(&a.store, "DELETE FROM c");
    b.receive(a, a.changes(before));
}

#[test]
fn reports_are_bounded_and_the_oldest_go_also_after_reopening() {
    const HALF: usize = MAX_CONFLICTS / 2 + 500;
    let (a, b) = (Peer::new(1), Peer::new(2));
    let count =
        |store: &Store| query(store, "SELECT COUNT(*) AS n, MIN(document) AS d FROM system:conflicts");
    disagree(&a, &b, 0, HALF);
    assert_eq!(count(&b.store), [format!(r#"{{"d":0,"n":{HALF}}}"#)]);
    let b = Peer { store: open_in(b.storage.clone(), 3), ..b };
    disagree(&a, &b, HALF, HALF - 10);
    disagree(&a, &b, 2 * HALF - 10, 10);
    assert_eq!(count(&b.store), [format!(r#"{{"d":1000,"n":{MAX_CONFLICTS}}}"#)]);
    // Those that were removed make room.
    run(&b.store, "DELETE FROM system:conflicts WHERE document < 1100");
    disagree(&a, &b, 2 * HALF, 101);
    assert_eq!(count(&b.store), [format!(r#"{{"d":1101,"n":{MAX_CONFLICTS}}}"#)]);
}

#[test]
fn a_merge_that_loses_something_does_not_read_all_earlier_reports() {
    let storage = FaultyStorage::new(1);
    let a = Peer::new(1);
    let b = Peer { store: open_in(Arc::new(storage.clone()), 2), ..Peer::new(2) };
    disagree(&a, &b, 0, 1);
    storage.set_damaged(Keyspace::Graves, true);
    disagree(&a, &b, 1, 1);
    let error = failure(&b.store, "SELECT * FROM system:conflicts", "{}");
    assert!(matches!(error, StoreError::Storage(_)), "no reports are something else than unreadable ones");
}

#[test]
fn a_report_that_cannot_be_read_is_shown_and_can_be_removed() {
    let (a, b) = disagreement();
    b.receive(&a, a.changes(Sequence(1)));
    let rows = b.storage.snapshot();
    let report =
        rows.prefix(Keyspace::Graves, &[3], Direction::Forward).next().expect("one").expect("readable");
    drop(rows);
    let mut batch = Batch::new();
    batch.put(Keyspace::Graves, report.0, b"\xFF");
    b.storage.commit(batch).expect("commits");
    assert_eq!(query(&b.store, "SELECT unreadable FROM system:conflicts"), [r#"{"unreadable":true}"#]);
    assert_eq!(run(&b.store, "DELETE FROM system:conflicts WHERE unreadable").mutated_ids.len(), 1);
    assert_eq!(query(&b.store, "SELECT * FROM system:conflicts"), [""; 0]);
}

#[test]
fn a_counter_of_a_copy_that_came_back_counts_in_a_new_slot() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    run(&a.store, "UPDATE c APPLY n INCREMENT BY 5");
    b.receive(&a, a.changes(Sequence::ZERO));
    run(&a.store, "EVICT FROM c");
    a.receive(&b, b.changes(Sequence::ZERO));
    run(&a.store, "UPDATE c APPLY n INCREMENT BY 2");
    assert_eq!(query(&a.store, "SELECT n FROM c"), [r#"{"n":7}"#]);
    b.receive(&a, a.changes(Sequence::ZERO));
    assert_eq!(query(&b.store, "SELECT n FROM c"), [r#"{"n":7}"#]);
    a.receive(&b, b.changes(Sequence::ZERO));
    assert_eq!(query(&a.store, "SELECT n FROM c"), [r#"{"n":7}"#]);
}

#[test]
fn a_counter_keeps_every_increment_that_somebody_saw_when_an_image_is_restored() {
    for closed in [false, true] {
        let (mut a, b, c) = (Peer::new(1), Peer::new(2), Peer::new(3));
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
        run(&a.store, "UPDATE c APPLY n INCREMENT BY 5, p PN_INCREMENT BY 5");
        if closed {
            // Nothing tells it from what was never anything else.
            let snapshot = a.storage.snapshot();
            a = a.restored(&*snapshot);
        }
        let image = a.storage.snapshot();
        run(&a.store, "UPDATE c APPLY n INCREMENT BY 5, p PN_INCREMENT BY -5");
        b.receive(&a, a.changes(Sequence::ZERO));
        let mut a = a.restored(&*image);
        let site = a.store.site();
        run(&a.store, "UPDATE c APPLY n INCREMENT BY 3, p PN_INCREMENT BY 3");
        // Somebody who has not seen the lost history hears of it, and passes it on.
        c.receive(&a, a.changes(Sequence::ZERO));
        assert_eq!(query(&c.store, "SELECT n, p FROM c"), [r#"{"n":8,"p":8}"#]);
        assert_eq!(a.store.site(), site);
        // The one who has: a fork.
        a.store.begin_run(true).expect("begins");
        run(&a.store, "UPDATE c APPLY n INCREMENT BY 1, p PN_INCREMENT BY 1");
        a = {
            let snapshot = a.storage.snapshot();
            a.restored(&*snapshot)
        };
        run(&a.store, "UPDATE c APPLY n INCREMENT BY 1, p PN_INCREMENT BY 1");
        for (from, to) in [(&a, &b), (&b, &a), (&b, &c), (&c, &b)] {
            to.receive(from, from.changes(Sequence::ZERO));
        }
        for peer in [&a, &b, &c] {
            assert_eq!(query(&peer.store, "SELECT n, p FROM c"), [r#"{"n":15,"p":5}"#], "closed: {closed}");
        }
    }
}

#[test]
fn a_counter_grows_by_a_slot_with_each_opening_that_counts_and_restart_drops_them() {
    let mut a = Peer::new(1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    let size = |a: &Peer| a.changes(Sequence::ZERO)[0].delta.len();
    run(&a.store, "UPDATE c APPLY n INCREMENT BY 1");
    let before = size(&a);
    for _ in 0..20 {
        let snapshot = a.storage.snapshot();
        a = a.restored(&*snapshot);
        for _ in 0..3 {
            run(&a.store, "UPDATE c APPLY n INCREMENT BY 1");
            a.store.begin_run(false).expect("begins");
        }
    }
    let each = (size(&a) - before) / 20;
    assert!((20..=40).contains(&each), "{each} bytes for a slot");
    assert_eq!(query(&a.store, "SELECT n FROM c"), [r#"{"n":61}"#]);
    run(&a.store, "UPDATE c APPLY n RESTART WITH 61");
    assert!(size(&a) <= before + 10);
    assert_eq!(query(&a.store, "SELECT n FROM c"), [r#"{"n":61}"#]);
}

#[test]
fn commits_without_a_member_are_removed() {
    let a = Peer::new(1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    run(&a.store, "UPDATE c SET x = 1 WHERE _id = 1");
    assert_eq!(a.after(DAY_MS).commits, 0, "one member is still newest");
    run(&a.store, "UPDATE c SET x = 1 WHERE _id = 2");
    assert_eq!(a.after(DAY_MS + HOUR_MS).commits, 1);
    assert_eq!(a.after(2 * DAY_MS).commits, 0);
    a.counts();
}

#[test]
fn of_the_runs_of_a_peer_those_are_remembered_that_count() {
    let a = Peer::new(1);
    let replica = a.store.replica();
    let count = MAX_SEEN_RUNS as u64 + 6;
    for number in 1..=count {
        // When little of the second was told, much was durable.
        let durable = Sequence(if number == 2 { count } else { 0 });
        let seen = Some(Seen { run: RunId(1_000 - number), sequence: Sequence(number), durable });
        for from in [[7; 32], [0; 32]] {
            // Nothing was told for an interest since the third.
            let checkpoint = Checkpoint { run: RunId(1_000 - number), sequence: Sequence(1) };
            let checkpoints = if number == 3 { vec![([9; 16], checkpoint)] } else { Vec::new() };
            let empty =
                Incoming { from, origin: 7, documents: Vec::new(), checkpoints, seen, evictions: None };
            replica.apply(empty).expect("applies");
        }
    }
    let before = replica.remembered(&[7; 32]).expect("reads");
    assert_eq!(a.after(DAY_MS).replication, 6);
    let remembered = replica.remembered(&[7; 32]).expect("reads");
    assert_eq!(remembered, before[..MAX_SEEN_RUNS]);
    assert!(remembered.iter().all(|seen| seen.run.0 + seen.sequence.0 == 1_000));
    let sequences: Vec<u64> = remembered.iter().map(|seen| seen.sequence.0).collect();
    assert_eq!(sequences[0], 3, "there is a checkpoint of it");
    let mut rest = sequences[1..].to_vec();
    rest[..2].sort_unstable();
    let expected: Vec<u64> = [2, count].into_iter().chain((9..count).rev()).collect();
    assert_eq!(rest, expected);
    assert_eq!(replica.remembered(&[0; 32]).expect("reads").len() as u64, count, "claims that were answered");
}

#[test]
fn the_parameters_say_when_and_how_much() {
    let a = Peer::new(1);
    run_with(
        &a.store,
        "INSERT INTO c DOCUMENTS (:d)",
        r#"{"d": [{"_id": 1}, {"_id": 2}, {"_id": 3}, {"_id": 4}, {"_id": 5}]}"#,
    );
    run(&a.store, "DELETE FROM c");
    run(&a.store, "ALTER SYSTEM SET tombstone_ttl_enabled = false");
    assert_eq!(a.after(30 * DAY_MS).buried, 0);
    run(&a.store, "ALTER SYSTEM SET tombstone_ttl_enabled = true");
    run(&a.store, "ALTER SYSTEM SET tombstone_reap_batch_size = 2");
    run(&a.store, "ALTER SYSTEM SET days_between_reaping = 5");
    a.clock.advance(4 * DAY_MS);
    let early = a.store.reap().expect("reaps");
    assert_eq!(early.buried, 0, "not due yet");
    assert!((1..=HOUR_MS).contains(&early.again_in_ms));
    a.clock.advance(DAY_MS);
    let first = a.store.reap().expect("reaps");
    assert_eq!(first.buried, 2, "a step is bounded");
    assert!(first.again_in_ms < 1_000);
    assert_eq!(reap(&a.store).buried, 3);
    run(&a.store, "ALTER SYSTEM SET enable_reaper_preferred_hour_scheduling = true");
    run(&a.store, "ALTER SYSTEM SET reaper_preferred_hour = 7");
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    run(&a.store, "DELETE FROM c");
    run(&a.store, "ALTER SYSTEM SET tombstone_ttl_hours = 1");
    a.clock.set_now(1_900_000_000_000 / DAY_MS * DAY_MS + 9 * HOUR_MS);
    reap(&a.store);
    // Due in five days at nine; waits for the next seven o'clock.
    a.clock.advance(10 * DAY_MS - 9 * HOUR_MS - 5 * DAY_MS + 10 * HOUR_MS);
    assert_eq!(reap(&a.store).buried, 0);
    for (name, value) in
        [("tombstone_ttl_hours", 0), ("reaper_preferred_hour", 24), ("days_between_reaping", 0)]
    {
        failure(&a.store, &format!("ALTER SYSTEM SET {name} = {value}"), "{}");
    }
}

#[test]
fn a_burial_in_pieces_leaves_the_store_consistent_after_each() {
    let a = Peer::new(1);
    let documents: Vec<String> = (0..50).map(|id| format!("{{\"_id\": {id}}}")).collect();
    run_with(&a.store, "INSERT INTO c DOCUMENTS (:d)", &format!("{{\"d\": [{}]}}", documents.join(",")));
    run(&a.store, "DELETE FROM c WHERE _id < 30");
    run(&a.store, "ALTER SYSTEM SET tombstone_reap_batch_size = 7");
    run(&a.store, "ALTER SYSTEM SET tombstone_ttl_hours = 23");
    a.clock.advance(DAY_MS);
    let mut buried = 0;
    loop {
        let step = a.store.reap().expect("reaps");
        buried += step.buried;
        assert_eq!(a.counts(), (20, 30 - buried, buried));
        if step.again_in_ms > 1_000 {
            break;
        }
        // Somebody writes meanwhile.
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1000}) ON ID CONFLICT DO UPDATE");
        run(&a.store, "EVICT FROM c WHERE _id = 1000");
    }
    assert_eq!(buried, 30);
}

/// The bytes of the rows about interests that the storage has.
fn interest_rows(peer: &Peer) -> (usize, usize) {
    let snapshot = peer.storage.snapshot();
    let rows = snapshot.prefix(Keyspace::Replication, &[4], Direction::Forward);
    rows.fold((0, 0), |(count, bytes), row| (count + 1, bytes + row.expect("reads").1.len()))
}

fn selection(number: usize) -> [u8; 16] {
    (number as u128).to_be_bytes()
}

fn ask(peer: &Peer, remote: &Peer, number: usize, query: String) {
    let interest = ServedInterest {
        selection: selection(number),
        query,
        arguments: Vec::new(),
        held: Sequence(u64::MAX),
    };
    peer.store.replica().serves(&remote.name, remote.origin(), interest);
}

#[test]
fn interests_that_change_without_end_are_forgotten_and_the_last_ones_are_not() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    for (length, most) in [(15_000, MAX_REMEMBERED_INTEREST_BYTES / 15_000), (1, MAX_REMEMBERED_INTERESTS)] {
        for number in 0..2 * most {
            a.clock.advance(1);
            ask(
                &a,
                &b,
                number,
                format!("SELECT * FROM c{length} WHERE x = '{}{number}'", "y".repeat(length)),
            );
        }
        a.clock.advance(HOUR_MS);
        run(&a.store, "INSERT INTO other DOCUMENTS ({})");
        let (count, bytes) = interest_rows(&a);
        // One stands for all that are forgotten.
        assert!(count <= MAX_REMEMBERED_INTERESTS + 1 && count + 5 > most, "{count} of {most}");
        assert!(bytes <= MAX_REMEMBERED_INTEREST_BYTES + 20 * count, "{bytes}");
        let is_known = |number| {
            let key = [&[4][..], &b.name, &selection(number)].concat();
            a.storage.get(Keyspace::Replication, &key).expect("reads").is_some()
        };
        assert!(is_known(2 * most - 1) && is_known(most + 10) && !is_known(0));
    }
}

#[test]
fn that_a_collection_was_asked_for_is_not_forgotten_with_the_interest() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'd'})");
    run(&a.store, "DELETE FROM c");
    a.serve(&b, "SELECT * FROM c", 1);
    for number in 0..=MAX_REMEMBERED_INTERESTS {
        a.clock.advance(1);
        ask(&a, &b, number, format!("SELECT * FROM other WHERE x = {number}"));
    }
    let image = a.storage.snapshot();
    let a = a.restored(&*image);
    assert_eq!(a.after(60 * DAY_MS).buried, 0, "nobody is known to have heard of the deletion");
    assert_consistent(&a.store);
}

#[test]
fn a_commit_does_not_compile_what_others_ask_for() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    // A query that this build cannot compile asks for the collection all the same.
    a.serve(&b, "SELECT * FROM c WHERE from_a_newer_build(x)", 1);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'd'})");
    run(&a.store, "DELETE FROM c");
    assert_eq!(a.after(60 * DAY_MS).buried, 0, "it is shared");
}

#[test]
fn who_says_again_and_again_that_it_evicted_costs_one_small_row_at_most() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    a.greet(&b);
    a.serve(&b, EVERYTHING, 1);
    a.serve(&b, "SELECT * FROM d", 2);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    a.acknowledged(&b, 1, vec![(first_key(&a), Sequence(1))]);
    a.clock.advance(2_000);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 3})");
    let replica = a.store.replica();
    let row = |tag: u8| {
        let snapshot = a.storage.snapshot();
        let rows = snapshot.prefix(Keyspace::Replication, &[tag], Direction::Forward);
        rows.map(|row| row.expect("reads")).collect::<Vec<_>>()
    };
    assert_eq!((row(3).len(), row(4).len(), row(5).len()), (1, 2, 1));
    // What is not written does not come back.
    let mut batch = Batch::new();
    batch.delete(Keyspace::Replication, row(5)[0].0.clone());
    batch.delete(Keyspace::Replication, row(4)[1].0.clone());
    a.storage.commit(batch).expect("commits");
    let before = row(3);
    assert!(replica.remote_evicted(&b.name, 1).expect("stored"));
    assert_eq!((row(4).len(), row(5).len()), (1, 0), "only the interest that was acknowledged is");
    assert!(row(4)[0].1.starts_with(&[0; 8]), "and voided");
    let voided = row(3);
    assert_ne!(voided, before);
    for evictions in 2..10 {
        assert!(replica.remote_evicted(&b.name, evictions).expect("stored"));
        assert_eq!(row(3), voided, "nothing that counts is new");
    }
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 4})");
    assert!(replica.remote_evicted(&b.name, 10).expect("stored"));
    assert_ne!(row(3), voided, "the document may come from it and be gone again");
    let moved = row(3);
    let greeting = Greeting { site: SiteId(77), evictions: 10, is_behind: false, clock_ms: None };
    assert!(replica.greeted(&b.name, b.origin(), greeting).expect("stored"));
    assert_ne!(row(3), moved, "nor are its writes any more what it wrote as another");
}

#[test]
fn what_was_acknowledged_for_a_forgotten_interest_is_void_at_once_as_well() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    a.greet(&b);
    ask(&a, &b, 0, EVERYTHING.to_string());
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    let replica = a.store.replica();
    assert!(replica.remote_evicted(&b.name, 1).expect("stored"));
    let interests = vec![(selection(0), a.store.last_sequence())];
    replica.acknowledged(&b.name, &Acknowledged { interests, ..Acknowledged::default() });
    // A commit that changes no document takes it along.
    a.clock.advance(2_000);
    let seen = Some(Seen { run: RunId(1), sequence: Sequence(1), durable: Sequence(1) });
    replica.apply(Incoming { seen, ..incoming(&b, Vec::new()) }).expect("applies");
    let key = [&[4][..], &b.name, &selection(0)].concat();
    let is_stored = || a.storage.get(Keyspace::Replication, &key).expect("reads").is_some();
    for number in 1..=MAX_REMEMBERED_INTERESTS {
        a.clock.advance(1);
        ask(&a, &b, number, format!("SELECT * FROM c WHERE x = {number}"));
    }
    assert!(is_stored(), "it is forgotten, and its row goes with the next commit");
    assert!(replica.remote_evicted(&b.name, 2).expect("stored"));
    assert!(!is_stored());
}
