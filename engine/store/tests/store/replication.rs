//! The replication side: two stores that exchange changes become equal.

use std::collections::BTreeMap;
use std::sync::Arc;

use ditto_crdt::{RunId, Sequence, Version};
use ditto_storage::{Batch, Direction, Keyspace, MemoryStorage, Storage};
use ditto_store::replica::Outcome;
use ditto_store::{Checkpoint, DocumentKey, Incoming, IncomingDocument, Refused, Seen, Store};
use proptest::prelude::*;

use crate::lifecycle::Peer;
use crate::support::{assert_consistent, cases, open, open_in, query, run, run_with};

const PEER: [u8; 32] = [7; 32];
const ORIGIN: u64 = 0xABCD;

fn incoming(documents: Vec<IncomingDocument>) -> Incoming {
    Incoming { from: PEER, origin: ORIGIN, documents, checkpoints: Vec::new(), seen: None, evictions: None }
}

/// Everything that changed in `from` after `after`, as it would be sent.
fn everything(from: &Store, after: Sequence) -> Vec<IncomingDocument> {
    let replica = from.replica();
    let changes = replica.changes(after, replica.last_sequence(), usize::MAX).expect("changes");
    assert!(changes.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    changes
        .into_iter()
        .map(|change| {
            let excerpt = replica.delta_since(&change.key, after).expect("reads").expect("there");
            assert_eq!(excerpt.newest, change.sequence);
            IncomingDocument { key: change.key, delta: excerpt.delta, stated: excerpt.version }
        })
        .collect()
}

/// The version of every document of a store.
fn versions(store: &Store) -> Vec<(DocumentKey, Version)> {
    let replica = store.replica();
    let changes = replica.changes(Sequence::ZERO, replica.last_sequence(), usize::MAX).expect("changes");
    let mut versions: Vec<_> = changes
        .into_iter()
        .map(|change| {
            let stored = replica.document(&change.key).expect("reads").expect("there");
            assert_eq!(stored.newest, change.sequence);
            (change.key, stored.version)
        })
        .collect();
    versions.sort();
    versions
}

fn send(from: &Store, to: &Store, after: Sequence) -> Sequence {
    let position = from.last_sequence();
    let documents = everything(from, after);
    let applied = to.replica().apply(incoming(documents)).expect("applies");
    assert!(applied.outcomes.iter().all(Result::is_ok), "{:?}", applied.outcomes);
    position
}

#[test]
fn a_merge_that_leaves_what_was_stated_is_marked_as_theirs() {
    let (a, b) = (open(1), open(2));
    run_with(&a, "INSERT INTO c DOCUMENTS (:d)", r#"{"d": [{"_id": 1, "x": 1}, {"_id": 2}]}"#);
    send(&a, &b, Sequence::ZERO);
    assert_eq!(query(&b, "SELECT * FROM c"), [r#"{"_id":1,"x":1}"#, r#"{"_id":2}"#]);
    let replica = b.replica();
    let origins = |store: &Store| -> Vec<Option<u64>> {
        let changes = store.replica().changes(Sequence::ZERO, store.last_sequence(), 9).expect("changes");
        changes.iter().map(|change| change.origin).collect()
    };
    assert_eq!(origins(&b), [Some(ORIGIN), Some(ORIGIN)]);
    run(&b, "UPDATE c SET own = true WHERE _id = 1");
    run(&a, "UPDATE c SET x = 2 WHERE _id = 1");
    send(&a, &b, Sequence(2));
    assert_eq!(query(&b, "SELECT * FROM c WHERE _id = 1"), [r#"{"_id":1,"own":true,"x":2}"#]);
    assert_eq!(origins(&b), [Some(ORIGIN), None], "the own write is not taken for theirs");
    let last = replica.last_sequence();
    let again = replica.apply(incoming(everything(&a, Sequence::ZERO))).expect("applies");
    assert_eq!(again.last, last, "what is known already changes nothing");
    assert_eq!(replica.commit_of(Sequence(1)).expect("reads"), (Sequence(1), Sequence(2)));
    assert_eq!(replica.commit_of(Sequence(3)).expect("reads"), (Sequence(3), Sequence(3)));
    assert_eq!(replica.changes(Sequence::ZERO, last, 1).expect("reads").len(), 1);
    assert_consistent(&b);
}

#[test]
fn one_hostile_document_does_not_stop_the_others() {
    let (a, b) = (open(1), open(2));
    run(&a, "INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    let good = everything(&a, Sequence::ZERO);
    let changed = |change: &dyn Fn(&mut IncomingDocument)| {
        let mut document = good[0].clone();
        change(&mut document);
        document
    };
    let documents = vec![
        changed(&|document| document.delta.truncate(5)),
        changed(&|document| document.key.id = Arc::from(&b"\x34"[..])),
        changed(&|document| document.key.id = Arc::from(&b"\xFF\xFF"[..])),
        changed(&|document| document.key.id = Arc::from(&b""[..])),
        changed(&|document| document.key.collection = Arc::from("system:dual")),
        good[1].clone(),
    ];
    let applied = b.replica().apply(incoming(documents)).expect("applies");
    assert!(applied.outcomes[..5].iter().all(|outcome| matches!(outcome, Err(Refused::Malformed(_)))));
    assert!(matches!(applied.outcomes[5], Ok(Outcome { before: None, .. })));
    assert_eq!(query(&b, "SELECT * FROM c"), [r#"{"_id":2}"#]);
    assert_eq!(applied.last, Sequence(1));
    assert_consistent(&b);
}

#[test]
fn a_document_that_comes_twice_in_a_batch_is_one_change() {
    let (a, b) = (open(1), open(2));
    run(&a, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1})");
    let mut documents = everything(&a, Sequence::ZERO);
    run(&a, "UPDATE c SET y = 2");
    documents.extend(everything(&a, Sequence(1)));
    let applied = b.replica().apply(incoming(documents)).expect("applies");
    assert_eq!(applied.last, Sequence(1));
    assert_eq!(query(&b, "SELECT * FROM c"), [r#"{"_id":1,"x":1,"y":2}"#]);
    assert_consistent(&b);
}

#[test]
fn checkpoints_and_seen_runs_are_stored_with_the_data() {
    let store = open(1);
    let replica = store.replica();
    let (interest, run_id) = ([3; 16], RunId(9));
    let checkpoint = Checkpoint { run: run_id, sequence: Sequence(40) };
    assert_eq!(replica.checkpoint(&PEER, &interest).expect("reads"), None);
    let seen =
        |sequence, durable| Seen { run: run_id, sequence: Sequence(sequence), durable: Sequence(durable) };
    let batch = Incoming {
        checkpoints: vec![(interest, checkpoint)],
        seen: Some(seen(50, 0)),
        ..incoming(Vec::new())
    };
    let applied = replica.apply(batch).expect("applies");
    assert_eq!(applied.last, Sequence::ZERO);
    let after = |now| {
        replica.apply(Incoming { seen: Some(now), ..incoming(Vec::new()) }).expect("applies");
        replica.remembered(&PEER).expect("reads")
    };
    assert_eq!(after(seen(45, 0)), [seen(50, 0)]);
    assert_eq!(after(seen(50, 60)), [seen(50, 60)]);
    assert_eq!(after(seen(55, 58)), [seen(55, 60)], "neither is lowered");
    assert_eq!(after(seen(61, 0)), [seen(61, 0)], "and only the greater one is kept");
    assert_eq!(replica.seen(&PEER, run_id).expect("reads"), Some(seen(61, 0)));
    assert_eq!(replica.seen(&PEER, RunId(8)).expect("reads"), None);
    assert_eq!(replica.checkpoint(&PEER, &interest).expect("reads"), Some(checkpoint));
    assert_eq!(replica.checkpoint(&[8; 32], &interest).expect("reads"), None);
    assert_eq!(replica.remembered(&[8; 32]).expect("reads"), []);
    store.sync().expect("syncs");
    assert_eq!(store.durable_sequence(), Sequence::ZERO);
}

#[test]
fn a_missing_part_is_found_by_its_hashes() {
    let (a, b) = (open(1), open(2));
    run(&a, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1, 'y': 2})");
    send(&a, &b, Sequence::ZERO);
    run(&a, "UPDATE c SET x = 5");
    run(&b, "UPDATE c SET z = 6");
    let key = versions(&a).remove(0).0;
    let (_, known) = b.replica().entry_hashes(&key).expect("reads");
    let lacking = a.replica().delta_lacking(&key, &known).expect("reads").expect("there");
    let foreseen = b.replica().merged_version(&key, &lacking.delta).expect("reads").expect("well-formed");
    let document = IncomingDocument { key, delta: lacking.delta, stated: lacking.version };
    let applied = b.replica().apply(incoming(vec![document])).expect("applies");
    assert_eq!(applied.outcomes[0].as_ref().map(|outcome| outcome.after), Ok(foreseen));
    assert_eq!(query(&b, "SELECT * FROM c"), [r#"{"_id":1,"x":5,"y":2,"z":6}"#]);
}

#[test]
fn a_document_is_taken_whatever_version_its_sender_states() {
    let (a, b) = (open(1), open(2));
    run(&a, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1})");
    let mut documents = everything(&a, Sequence::ZERO);
    documents[0].stated = Version::NOTHING;
    let applied = b.replica().apply(incoming(documents)).expect("applies");
    assert!(
        matches!(&applied.outcomes[..], [Ok(Outcome { before: None, after, .. })] if *after != Version::NOTHING)
    );
    assert_eq!(query(&b, "SELECT * FROM c"), [r#"{"_id":1,"x":1}"#]);
    let changes = b.replica().changes(Sequence::ZERO, b.last_sequence(), 9).expect("changes");
    assert_eq!(changes[0].origin, None, "it is not what its sender says to hold");
}

#[test]
fn a_record_whose_version_is_not_that_of_its_content_is_found() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let store = open_in(Arc::clone(&storage), 1);
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1})");
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 2, 'x': 1})");
    run(&store, "UPDATE c SET x = 2 WHERE _id = 2");
    for damaged in 0..2 {
        let row = storage.snapshot().prefix(Keyspace::Documents, &[], Direction::Forward).nth(damaged);
        let (key, record) = row.expect("a document").expect("reads");
        let mut changed = record.to_vec();
        // Format, flags, and two sequences of one byte precede it.
        changed[4] ^= 1;
        let write = |record: &[u8]| {
            let mut batch = Batch::new();
            batch.put(Keyspace::Documents, key.to_vec(), record.to_vec());
            storage.commit(batch).expect("commits");
        };
        write(&changed);
        let found = store.verify().expect("reads").inconsistencies;
        assert!(found.len() == 1 && found[0].problem.contains("version"), "{found:?}");
        write(&record);
        assert_consistent(&store);
    }
}

#[test]
fn subscriptions_compile_to_a_matcher() {
    let store = open(1);
    run(&store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'a': 1}), ({'_id': 2, 'a': 2})");
    let arguments = crate::support::object(r#"{"a": 2}"#);
    let interest = store.replica().compile("SELECT * FROM c WHERE a = :a", &arguments).expect("compiles");
    assert_eq!((&*interest.collection, interest.unfiltered), ("c", false));
    let matches: Vec<bool> =
        run(&store, "SELECT * FROM c").rows.iter().map(|row| (interest.matcher)(row.value())).collect();
    assert_eq!(matches, [false, true]);
    assert!(store.replica().compile("SELECT * FROM c LIMIT 1", &arguments).is_err());
}

fn statement() -> impl Strategy<Value = String> {
    let (id, value) = (0..4, 0..3);
    let both = || (id.clone(), value.clone());
    let declared = "COLLECTION c (n COUNTER, p PN_COUNTER, r REGISTER, m MAP(k REGISTER))";
    prop_oneof![
        both().prop_map(|(id, v)| format!(
            "INSERT INTO c DOCUMENTS ({{'_id': {id}, 'a': {v}, 'm': {{'n{v}': {id}}}}}) ON ID CONFLICT DO UPDATE"
        )),
        both().prop_map(move |(id, v)| format!(
            "INSERT INTO {declared} DOCUMENTS ({{'_id': {id}, 'n': {v}, 'r': {{'x': {v}}}}}) ON ID CONFLICT DO NOTHING"
        )),
        both().prop_map(|(id, v)| format!("UPDATE c SET b = {v}, m.k = {id} WHERE _id = {id}")),
        both().prop_map(move |(id, v)| format!("UPDATE {declared} SET r = {{'y': {v}}}, m.k = {v} WHERE _id = {id}")),
        id.clone().prop_map(|id| format!("UPDATE c UNSET m.n1, a WHERE _id = {id}")),
        both().prop_map(|(id, v)| format!("UPDATE c APPLY n INCREMENT BY {v} WHERE _id = {id}")),
        both().prop_map(|(id, v)| format!("UPDATE c APPLY p PN_INCREMENT BY {v} WHERE _id = {id}")),
        both().prop_map(|(id, v)| format!("UPDATE c APPLY n RESTART WITH {v} WHERE _id = {id}")),
        id.clone().prop_map(|id| format!("UPDATE c UNSET m WHERE _id = {id}")),
        both().prop_map(|(id, v)| format!("UPDATE c APPLY m.count INCREMENT BY {v} WHERE _id = {id}")),
        both().prop_map(|(id, v)| format!("UPDATE c APPLY m.count RESTART WITH {v} WHERE _id = {id}")),
        id.clone().prop_map(|id| format!("DELETE FROM c WHERE _id = {id}")),
        id.clone().prop_map(|id| format!("INSERT INTO c INITIAL DOCUMENTS ({{'_id': {id}, 'i': {id}}})")),
        id.prop_map(|id| format!(r##"/*+ {{"#force": true}} */ EVICT FROM c WHERE _id = {id}"##)),
    ]
}

const PEERS: usize = 3;

/// What happens at a peer.
#[derive(Clone, Debug)]
enum Step {
    Run(usize, String),
    /// From, to.
    Send(usize, usize),
    /// A day passes, and tombstones are buried.
    Housekeeping(usize),
    /// The process ends and begins again.
    Reopen(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let peer = 0..PEERS;
    prop_oneof![
        16 => (peer.clone(), statement()).prop_map(|(peer, text)| Step::Run(peer, text)),
        4 => (peer.clone(), 1..PEERS).prop_map(|(from, to)| Step::Send(from, (from + to) % PEERS)),
        1 => peer.clone().prop_map(Step::Housekeeping),
        1 => peer.prop_map(Step::Reopen),
    ]
}

/// How wrong the clock of each peer is, in hours.
fn skews() -> impl Strategy<Value = [i64; PEERS]> {
    let skew = || prop_oneof![Just(0), -2..3i64, Just(24 * 400), Just(-24 * 400)];
    [skew(), skew(), skew()]
}

/// Everything after what was sent last; everything at all to who has evicted since.
struct Net {
    peers: Vec<Peer>,
    positions: BTreeMap<(usize, usize), Sequence>,
}

impl Net {
    fn new(skews: [i64; PEERS]) -> Self {
        let clock = |skew: i64| 1_800_000_000_000_u64.saturating_add_signed(skew * 3_600_000);
        let peer = |(number, skew): (usize, i64)| Peer::with_clock(number as u8 + 1, clock(skew));
        Self { peers: skews.into_iter().enumerate().map(peer).collect(), positions: BTreeMap::new() }
    }

    fn send(&mut self, from: usize, to: usize) {
        let (sender, receiver) = (&self.peers[from], &self.peers[to]);
        for (one, other) in [(sender, receiver), (receiver, sender)] {
            one.greet(other);
            one.serve(other, "SELECT * FROM c", 1);
        }
        let position = self.positions.entry((from, to)).or_insert(Sequence::ZERO);
        let dead = receiver.receive(sender, sender.changes(*position));
        let first = Sequence(position.0 + 1);
        sender.acknowledged(receiver, 1, dead.into_iter().map(|key| (key, first)).collect());
        *position = sender.store.last_sequence();
    }

    fn happen(&mut self, step: Step) {
        match step {
            Step::Run(peer, text) => {
                run(&self.peers[peer].store, &text);
                if text.contains("EVICT") {
                    self.positions.retain(|(_, to), _| *to != peer);
                }
            }
            Step::Send(from, to) => self.send(from, to),
            Step::Housekeeping(peer) => {
                run(&self.peers[peer].store, "ALTER SYSTEM SET tombstone_ttl_hours = 1");
                self.peers[peer].after(86_400_000);
            }
            Step::Reopen(peer) => {
                let old = self.peers.remove(peer);
                let snapshot = old.storage.snapshot();
                self.peers.insert(peer, old.restored(&*snapshot));
            }
        }
    }

    /// Everybody hears everything from everybody, until nothing changes.
    fn rest(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..6 {
            let before: Vec<Sequence> = self.peers.iter().map(|peer| peer.store.last_sequence()).collect();
            for from in 0..PEERS {
                for to in (0..PEERS).filter(|to| *to != from) {
                    self.positions.remove(&(from, to));
                    self.send(from, to);
                }
            }
            if self.peers.iter().map(|peer| peer.store.last_sequence()).eq(before) {
                return Ok(());
            }
        }
        Err(TestCaseError::fail("the peers do not come to rest"))
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn stores_that_exchange_their_changes_converge(
        skews in skews(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut net = Net::new(skews);
        steps.into_iter().for_each(|step| net.happen(step));
        net.rest()?;
        // A document has the same version everywhere, by either of its names.
        for peer in &net.peers {
            for (key, version) in versions(&peer.store) {
                for other in &net.peers {
                    prop_assert_eq!(other.version(&key), Some(version), "{:?}", key);
                }
            }
        }
        for select in [
            "SELECT * FROM c ORDER BY _id",
            "SELECT * FROM COLLECTION c (n COUNTER, p PN_COUNTER, r REGISTER, m MAP(k REGISTER)) ORDER BY _id",
        ] {
            let read = |peer: &Peer| query(&peer.store, select);
            prop_assert_eq!(read(&net.peers[0]), read(&net.peers[1]));
            prop_assert_eq!(read(&net.peers[0]), read(&net.peers[2]));
        }
        net.peers.iter().for_each(|peer| assert_consistent(&peer.store));
    }
}
