//! Two instances of one process that sync over TCP on the loopback interface.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod support;

use std::{collections::HashSet, sync::mpsc::channel};

use dittolive_ditto::{error::ErrorKind, prelude::*};
use futures::executor::block_on;
use serde::Serialize;
use serde_json::json;

use self::support::{Peer, config, rows, wait_for};

/// Starts `peer` as a listener and returns its address.
fn listen(peer: &Peer) -> String {
    peer.ditto.update_transport_config(|config| {
        config.listen.tcp = TcpListenConfig { enabled: true, interface_ip: "127.0.0.1".into(), port: 0 };
    });
    peer.ditto.sync().start().unwrap();
    let sockets = peer.execute("SELECT * FROM system:transports_info WHERE _id = 'listen_tcp'");
    sockets.get_item(0).unwrap().value()["value"].as_str().unwrap().to_owned()
}

fn connect(peer: &Peer, address: String) {
    peer.ditto.update_transport_config(|config| config.connect.tcp_servers = [address].into());
    peer.ditto.sync().start().unwrap();
}

/// Waits until a query on `peer` gives these rows.
fn await_rows(peer: &Peer, query: &str, expected: &[&str]) {
    let (sender, results) = channel();
    let _observer = peer
        .ditto
        .store()
        .register_observer(query, move |result| {
            sender.send(rows(&result)).ok();
        })
        .unwrap();
    wait_for(&results, |rows| rows == expected);
}

#[test]
fn documents_flow_both_ways_to_whoever_subscribes() {
    let (a, b) = (Peer::new(), Peer::new());
    a.execute("INSERT INTO c DOCUMENTS ({'_id': 1, 'to': 'b'}), ({'_id': 2, 'to': 'nobody'})");
    a.ditto.sync().register_subscription("SELECT * FROM c").unwrap();
    b.ditto.sync().register_subscription(("SELECT * FROM c WHERE to = :to", json!({"to": "b"}))).unwrap();
    connect(&b, listen(&a));
    await_rows(&b, "SELECT * FROM c ORDER BY _id", &[r#"{"_id":1,"to":"b"}"#]);

    b.execute("UPDATE c SET seen = true WHERE _id = 1");
    await_rows(&a, "SELECT _id, seen FROM c WHERE seen", &[r#"{"_id":1,"seen":true}"#]);
    a.execute("DELETE FROM c WHERE _id = 1");
    await_rows(&b, "SELECT * FROM c", &[]);
}

#[test]
fn a_commit_is_waited_for_until_it_has_reached_a_peer() {
    let (a, b) = (Peer::new(), Peer::new());
    let commit = |peer: &Peer, text: &str| peer.execute(text).commit_id().unwrap();
    let first = commit(&a, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    let wait = |commit, peer: Option<&str>| block_on(a.ditto.sync().commit_reached(commit, peer)).unwrap();
    b.ditto.sync().register_subscription("SELECT * FROM c").unwrap();
    // Begins before there is anybody.
    let waiting = a.ditto.sync().commit_reached(first, None);
    connect(&b, listen(&a));
    let key = block_on(waiting).unwrap();
    assert_eq!(rows(&b.execute("SELECT * FROM c")), [r#"{"_id":1}"#]);

    let second = commit(&a, "INSERT INTO c DOCUMENTS ({'_id': 2})");
    assert_eq!(wait(second, Some(&key)), key);
    assert_eq!(rows(&b.execute("SELECT * FROM c WHERE _id = 2")), [r#"{"_id":2}"#]);
    assert_eq!(wait(first, None), key, "it has long been there");

    // Nobody else answers for a peer, and the wait ends with the instance.
    let mut stranger = Box::pin(a.ditto.sync().commit_reached(second, Some("nobody")));
    assert!(block_on(futures::future::poll_immediate(&mut stranger)).is_none());
    drop(a);
    let error = block_on(stranger).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleasedDittoInstance);
}

#[test]
fn edits_made_apart_merge_when_the_peers_meet_again() {
    let (a, b) = (Peer::new(), Peer::new());
    for peer in [&a, &b] {
        peer.ditto.sync().register_subscription("SELECT * FROM c").unwrap();
    }
    a.execute("INSERT INTO c DOCUMENTS ({'_id': 1}), ({'_id': 2})");
    connect(&b, listen(&a));
    await_rows(&b, "SELECT * FROM c ORDER BY _id", &[r#"{"_id":1}"#, r#"{"_id":2}"#]);

    a.ditto.sync().stop();
    b.ditto.sync().stop();
    assert!(!a.ditto.sync().is_active() && !b.ditto.is_sync_active());
    a.execute("UPDATE c SET a = 1 WHERE _id = 1");
    a.execute("DELETE FROM c WHERE _id = 2");
    b.execute("UPDATE c SET b = 2 WHERE true");

    connect(&b, listen(&a));
    for peer in [&a, &b] {
        await_rows(peer, "SELECT * FROM c ORDER BY _id", &[r#"{"_id":1,"a":1,"b":2}"#]);
    }
}

#[test]
fn what_leaves_a_subscription_is_told() {
    let (a, b) = (Peer::new(), Peer::new());
    a.execute(
        "INSERT INTO c DOCUMENTS ({'_id': 1, 'to': 'b'}), ({'_id': 2, 'to': 'b'}), ({'_id': 3, 'to': 'b'})",
    );
    let query = "SELECT * FROM c WHERE to = :to";
    b.ditto.sync().register_subscription((query, json!({"to": "b"}))).unwrap();
    connect(&b, listen(&a));
    let told = "SELECT state, documents_left, last_left FROM system:subscriptions WHERE arguments.to = 'b'";
    await_rows(&b, told, &[r#"{"documents_left":0,"last_left":[],"state":"Serving"}"#]);
    await_rows(&b, "SELECT COUNT(*) AS n FROM c", &[r#"{"n":3}"#]);

    let (sender, results) = channel();
    let observer = b.ditto.store().register_observer(told, move |result| {
        let rows: Vec<serde_json::Value> =
            result.iter().map(|row| row.deserialize_value().unwrap()).collect();
        sender.send(rows[0].clone()).ok();
    });
    let _observer = observer.unwrap();
    a.execute("DELETE FROM c WHERE _id = 1");
    a.execute("UPDATE c SET to = 'somebody else' WHERE _id = 2");
    let left = wait_for(&results, |row| row["documents_left"] == 1);
    assert_eq!(left["last_left"][0]["_id"], 2, "a deletion is seen by itself");
    assert_eq!(b.rows("SELECT _id FROM c ORDER BY _id"), [r#"{"_id":2}"#, r#"{"_id":3}"#], "it stays here");

    // Also when the peer that told it is gone.
    a.execute("UPDATE c SET to = 'nobody' WHERE _id = 3");
    a.ditto.sync().stop();
    let left = wait_for(&results, |row| row["state"] == "Not Connected");
    assert!(left["documents_left"].as_u64() >= Some(1), "{left}");
}

#[test]
fn a_collection_with_a_scope_stays_here_over_a_restart_and_travels_when_it_may() {
    let (a, b) = (Peer::new(), Peer::new());
    let scopes = "SHOW user_collection_sync_scopes";
    let kept = r#"{"user_collection_sync_scopes":{"diary":"LocalPeerOnly","staff":"BigPeerOnly"}}"#;
    let set = "ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = :scopes";
    a.execute((set, json!({"scopes": {"diary": "LocalPeerOnly", "staff": "BigPeerOnly"}})));
    assert_eq!(a.rows(scopes), [kept]);
    let Peer { ditto, root } = a;
    ditto.close();
    let a = Peer { ditto: Ditto::open_sync(config(&root, None)).unwrap(), root };
    assert_eq!(a.rows(scopes), [kept], "nobody has to set it again");

    for query in ["SELECT * FROM diary", "SELECT * FROM staff", "SELECT * FROM c"] {
        b.ditto.sync().register_subscription(query).unwrap();
    }
    for collection in ["diary", "staff", "c"] {
        a.execute(format!("INSERT INTO {collection} DOCUMENTS ({{'_id': 1}})"));
    }
    connect(&b, listen(&a));
    // What was written before would come with it.
    await_rows(&b, "SELECT * FROM c", &[r#"{"_id":1}"#]);
    let told = "SELECT query, state FROM system:subscriptions ORDER BY query";
    await_rows(
        &b,
        told,
        &[
            r#"{"query":"SELECT * FROM c","state":"Serving"}"#,
            r#"{"query":"SELECT * FROM diary","state":"Refused"}"#,
            r#"{"query":"SELECT * FROM staff","state":"Refused"}"#,
        ],
    );
    for query in ["SELECT * FROM diary", "SELECT * FROM staff"] {
        assert!(b.rows(query).is_empty(), "{query}");
    }

    a.execute("ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = {'diary': 'LocalPeerOnly', 'staff': 'SmallPeersOnly'}");
    await_rows(&b, "SELECT * FROM staff", &[r#"{"_id":1}"#]);
    assert!(b.rows("SELECT * FROM diary").is_empty());
    a.execute("ALTER SYSTEM RESET USER_COLLECTION_SYNC_SCOPES");
    await_rows(&b, "SELECT * FROM diary", &[r#"{"_id":1}"#]);
}

#[test]
fn a_document_that_is_too_large_for_other_peers_is_told() {
    let (a, b) = (Peer::new(), Peer::new());
    b.ditto.sync().register_subscription("SELECT * FROM c").unwrap();
    a.execute("ALTER SYSTEM SET DOCUMENT_SIZE_HARD_LIMIT_BYTES = 134217728");
    a.execute("INSERT INTO c DOCUMENTS ({'_id': 'giant'}), ({'_id': 'small'})");
    let part = "x".repeat(14 << 20);
    for name in ["a", "b", "c", "d", "e"] {
        a.execute((format!("UPDATE c SET {name} = :part WHERE _id = 'giant'"), json!({"part": part})));
    }
    connect(&b, listen(&a));
    await_rows(&b, "SELECT _id FROM c", &[r#"{"_id":"small"}"#]);
    let told = "SELECT documents_refused AS n, last_refused.collection AS collection, last_refused._id AS id \
                FROM system:data_sync_info";
    await_rows(&a, told, &[r#"{"collection":"c","id":"giant","n":1}"#]);
    let reason = a.rows("SELECT last_refused.reason AS reason FROM system:data_sync_info");
    assert!(reason[0].contains("make the document smaller"), "{reason:?}");
}

#[test]
fn a_transaction_arrives_whole() {
    let (a, b) = (Peer::new(), Peer::new());
    // The pairs of later transactions lie in two collections, each with a subscription of its own.
    for query in ["SELECT * FROM big", "SELECT * FROM debit", "SELECT * FROM credit WHERE kept"] {
        b.ditto.sync().register_subscription(query).unwrap();
    }
    connect(&b, listen(&a));
    let (sender, counts) = channel();
    let big = b.ditto.store().register_observer("SELECT _id FROM big", move |result| {
        sender.send(result.item_count()).ok();
    });
    let _big = big.unwrap();
    let insert_many = a.ditto.store().transaction(async |transaction| {
        for first in (0..10_000).step_by(1_000) {
            let documents: Vec<_> = (first..first + 1_000).map(|id| json!({"_id": id})).collect();
            transaction.execute(("INSERT INTO big DOCUMENTS (:d)", json!({"d": documents}))).await?;
        }
        Ok::<_, DittoError>(())
    });
    block_on(insert_many).unwrap();
    wait_for(&counts, |count| {
        assert!([0, 10_000].contains(count), "{count} documents of a transaction of 10,000 were seen");
        *count == 10_000
    });

    // Many small ones in a row: whenever B looks, the members of each are there or not.
    let (sender, seen) = channel();
    let store = b.ditto.store().clone();
    let looks = b.ditto.store().register_observer("SELECT _id FROM credit", move |_| {
        let mut options = CreateTransactionOptions::new();
        options.is_read_only = true;
        let look = store.transaction_with_options(options, async |transaction| {
            let debit = rows(&transaction.execute("SELECT _id FROM debit ORDER BY _id").await?);
            let credit = rows(&transaction.execute("SELECT _id FROM credit ORDER BY _id").await?);
            Ok::<_, DittoError>((debit, credit))
        });
        sender.send(block_on(look).unwrap()).ok();
    });
    let _looks = looks.unwrap();
    for id in 0..300 {
        let pair = a.ditto.store().transaction(async |transaction| {
            let document = json!({"d": {"_id": id, "kept": true}});
            transaction.execute(("INSERT INTO debit DOCUMENTS (:d)", &document)).await?;
            transaction.execute(("INSERT INTO credit DOCUMENTS (:d)", &document)).await?;
            Ok::<_, DittoError>(())
        });
        block_on(pair).unwrap();
    }
    wait_for(&seen, |(debit, credit)| {
        assert_eq!(debit, credit, "half of a transaction was seen");
        credit.len() == 300
    });
}

#[test]
fn a_shared_key_lets_in_its_holders() {
    let key = Some(b"the same on both".to_vec());
    let (a, b) = (Peer::with_key(key.clone()), Peer::with_key(key));
    a.execute("INSERT INTO c DOCUMENTS ({'_id': 1})");
    b.ditto.sync().register_subscription("SELECT * FROM c").unwrap();
    connect(&b, listen(&a));
    await_rows(&b, "SELECT * FROM c", &[r#"{"_id":1}"#]);
}

#[test]
fn a_subscription_lives_until_it_is_cancelled() {
    #[derive(Serialize)]
    struct Arguments {
        z: u8,
        a: u8,
    }
    let peer = Peer::new();
    let sync = peer.ditto.sync();
    let query = ("SELECT * FROM c WHERE z = :z OR a = :a", Arguments { z: 1, a: 2 });
    let first = sync.register_subscription(query).unwrap();
    let second = sync.register_subscription("SELECT * FROM c").unwrap();
    drop(sync.register_subscription("SELECT * FROM c").unwrap());
    assert_eq!(sync.subscriptions().len(), 3);
    assert!(first < second && sync.subscriptions().contains(&*first));

    assert_eq!(first.query_arguments_json_str().unwrap(), r#"{"z":1,"a":2}"#);
    assert_eq!(first.query_arguments(), Some(json!({"z": 1, "a": 2}).into()));
    assert_eq!(first.query_arguments_cbor_data().unwrap(), b"\xa2\x61z\x01\x61a\x02");
    assert_eq!((second.query_arguments(), second.query_arguments_json_str()), (None, None));
    assert!(first.to_string().contains("SELECT * FROM c WHERE"));

    first.cancel();
    first.cancel();
    assert!(first.is_cancelled() && !second.is_cancelled());
    #[expect(clippy::mutable_key_type, reason = "the set of the interface; equality is by id")]
    let left: HashSet<_> = sync.subscriptions();
    assert!(left.len() == 2 && !left.contains(&*first));
}

#[test]
fn only_plain_selects_are_subscribed_to() {
    let peer = Peer::new();
    for wrong in ["", "DELETE FROM c", "SELEC", "EXPLAIN SELECT * FROM c"] {
        peer.ditto.sync().register_subscription(wrong).unwrap_err();
    }
    assert!(peer.ditto.sync().subscriptions().is_empty());
}

#[test]
fn a_taken_address_is_named() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let peer = Peer::new();
    peer.ditto.update_transport_config(|config| {
        config.listen.tcp = TcpListenConfig { enabled: true, interface_ip: "127.0.0.1".into(), port };
    });
    let told = match peer.ditto.sync().start() {
        Err(error) => error.to_string(),
        Ok(()) => peer.ditto.try_set_transport_config(&peer.ditto.transport_config()).unwrap().join("; "),
    };
    assert!(told.contains(&port.to_string()), "{told}");
}

#[test]
fn starting_and_stopping_twice_is_fine() {
    let peer = Peer::new();
    for _ in 0..3 {
        peer.ditto.sync().start().unwrap();
        peer.ditto.sync().start().unwrap();
        assert!(peer.ditto.sync().is_active());
        peer.ditto.sync().stop();
        peer.ditto.sync().stop();
        assert!(!peer.ditto.sync().is_active());
    }
}
