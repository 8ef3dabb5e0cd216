//! That another peer has a part in a collection: what EVICT goes by for as long as nobody is known to hold what is in it.

use ditto_crdt::Sequence;
use ditto_storage::{Direction, Keyspace, Storage};
use ditto_store::ServedInterest;
use ditto_value::Value;

use crate::lifecycle::Peer;
use crate::support::{assert_consistent, run};

/// As many names as are remembered of collections that were asked for before they were there.
const MAX_AWAITED: usize = 1_000;

fn ask(peer: &Peer, remote: &Peer, query: String) {
    let interest =
        ServedInterest { selection: [1; 16], query, arguments: Vec::new(), held: Sequence(u64::MAX) };
    peer.store.replica().serves(&remote.name, remote.origin(), interest);
}

/// Longer than those of which acknowledgements are kept.
fn long_query(collection: &str) -> String {
    format!("SELECT * FROM {collection} WHERE x = '{}'", "y".repeat(17_000))
}

/// The process is killed and started again: what is in memory only is gone.
fn killed(peer: Peer) -> Peer {
    let image = peer.storage.snapshot();
    peer.restored(&*image)
}

/// Writes to a collection, and says what EVICT removes of it.
fn evicted_of_new(peer: &Peer, collection: &str) -> Vec<Value> {
    run(
        &peer.store,
        &format!("INSERT INTO {collection} DOCUMENTS ({{'_id': 'new'}}) ON ID CONFLICT DO UPDATE"),
    );
    run(&peer.store, &format!("EVICT FROM {collection}")).mutated_ids
}

fn catalog_rows(peer: &Peer, tag: u8) -> usize {
    peer.storage.snapshot().prefix(Keyspace::Catalog, &[tag], Direction::Forward).count()
}

#[test]
fn what_a_long_query_asks_for_is_not_evicted_before_somebody_has_it() {
    for is_there in [false, true] {
        let (a, b) = (Peer::new(1), Peer::new(2));
        if is_there {
            run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'old'})");
        }
        ask(&a, &b, long_query("c"));
        assert_eq!(evicted_of_new(&a, "c"), [], "the collection was there: {is_there}");
        assert_eq!(evicted_of_new(&a, "other"), [Value::from("new")], "nobody asked for that");
    }
}

#[test]
fn that_a_collection_was_asked_for_survives_the_process_without_another_commit() {
    for (query, is_there) in ["SELECT * FROM c".to_string(), long_query("c")]
        .into_iter()
        .flat_map(|q| [(q.clone(), false), (q, true)])
    {
        let (a, b) = (Peer::new(1), Peer::new(2));
        if is_there {
            run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'old'})");
        }
        ask(&a, &b, query);
        let a = killed(a);
        assert_eq!(evicted_of_new(&a, "c"), [], "the collection was there: {is_there}");
        let a = killed(a);
        assert_eq!(evicted_of_new(&a, "c"), [], "and once more: {is_there}");
        assert_consistent(&a.store);
    }
}

#[test]
fn asking_again_for_a_collection_writes_nothing() {
    for is_there in [false, true] {
        let (a, b) = (Peer::new(1), Peer::new(2));
        if is_there {
            run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'old'})");
        }
        ask(&a, &b, "SELECT * FROM c".to_string());
        // Whatever is written from now on is missed.
        let mut batch = ditto_storage::Batch::new();
        for tag in [2, 5] {
            for row in a.storage.snapshot().prefix(Keyspace::Catalog, &[tag], Direction::Forward) {
                batch.delete(Keyspace::Catalog, row.expect("reads").0);
            }
        }
        a.storage.commit(batch).expect("commits");
        for number in 0..3 {
            a.clock.advance(10_000);
            ask(&a, &b, format!("SELECT * FROM c WHERE x = {number}"));
        }
        assert_eq!(
            (catalog_rows(&a, 2), catalog_rows(&a, 5)),
            (0, 0),
            "the collection was there: {is_there}"
        );
    }
}

#[test]
fn names_without_end_take_little_room_and_then_every_new_collection_was_asked_for() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    run(&a.store, "INSERT INTO mine DOCUMENTS ({'_id': 1})");
    for number in 0..MAX_AWAITED + 10 {
        ask(&a, &b, format!("SELECT * FROM c{number}"));
    }
    ask(&a, &b, "SELECT * FROM `system:data_sync_info`".to_string());
    assert_eq!(catalog_rows(&a, 5), MAX_AWAITED);
    let a = killed(a);
    assert_eq!(evicted_of_new(&a, &format!("c{}", MAX_AWAITED + 9)), []);
    assert_eq!(evicted_of_new(&a, "mine"), [Value::Int(1), Value::from("new")], "it was there before");
}
