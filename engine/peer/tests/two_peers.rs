//! Whole peers on loopback: what an application may expect of opening, syncing and closing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use ditto_peer::{Peer, PeerError, TransportConfig};
use ditto_value::{Object, Value};
use support::{await_rows, config, connect, execute, listen, number};

#[test]
fn what_one_peer_writes_the_other_sees_in_both_directions_and_after_a_pause() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = directories.each_ref().map(|directory| Peer::open(config(directory.path())).unwrap());
    for peer in [&a, &b] {
        peer.subscribe("SELECT * FROM plants", Object::new()).unwrap();
    }
    execute(
        &a,
        "INSERT INTO plants DOCUMENTS ({'_id': 'p1', 'name': 'Basil'}), ({'_id': 'p2', 'name': 'Mint'})",
    );
    let address = listen(&a);
    connect(&b, &address);
    await_rows(&b, "SELECT * FROM plants", 2);

    execute(&b, "UPDATE plants SET height = 12 WHERE _id = 'p1'");
    await_rows(&a, "SELECT * FROM plants WHERE height = 12", 1);

    let info = execute(&a, "SELECT site, clock_skew_ms, future_write FROM system:data_sync_info");
    assert_eq!(info[0].get("site"), Some(&Value::from(format!("{:016x}", b.store().site().0))));
    let skew = info[0].get("clock_skew_ms").and_then(Value::as_i64).expect("the clocks were compared");
    assert!(skew.abs() < 60_000, "{skew}");
    assert_eq!(info[0].get("future_write"), Some(&Value::Null));

    b.stop_sync();
    assert!(!b.is_sync_active());
    execute(&a, "DELETE FROM plants WHERE _id = 'p2'");
    execute(&b, "UPDATE plants SET name = 'Peppermint' WHERE _id = 'p2'");
    execute(&b, "INSERT INTO plants DOCUMENTS ({'_id': 'p3'})");
    b.start_sync().unwrap();
    await_rows(&a, "SELECT * FROM plants WHERE _id = 'p3'", 1);
    // The delete beats the update made without knowing of it.
    await_rows(&b, "SELECT * FROM plants", 2);
    await_rows(&a, "SELECT * FROM plants", 2);
}

#[test]
fn a_filter_limits_what_arrives() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = directories.each_ref().map(|directory| Peer::open(config(directory.path())).unwrap());
    let arguments = Object::from_iter([("bed".to_owned(), Value::String("A".to_owned()))]);
    let subscription = b.subscribe("SELECT * FROM plants WHERE bed = :bed", arguments).unwrap();
    execute(
        &a,
        "INSERT INTO plants DOCUMENTS ({'_id': 1, 'bed': 'A'}), ({'_id': 2, 'bed': 'B'}), ({'_id': 3, 'bed': 'A'})",
    );
    let address = listen(&a);
    connect(&b, &address);
    await_rows(&b, "SELECT * FROM plants", 2);
    subscription.cancel();
    assert!(subscription.is_cancelled());
}

#[test]
fn a_directory_is_open_once_and_free_after_closing() {
    let directory = tempfile::tempdir().unwrap();
    let peer = Peer::open(config(directory.path())).unwrap();
    let key = peer.peer_key();
    let error = Peer::open(config(directory.path())).unwrap_err();
    assert!(matches!(error, PeerError::Storage(_)), "{error}");
    peer.close();
    peer.close();
    assert!(matches!(peer.start_sync(), Err(PeerError::Closed)));
    assert!(matches!(peer.set_transport_config(TransportConfig::default()), Err(PeerError::Closed)));
    let again = Peer::open(config(directory.path())).unwrap();
    assert_eq!(again.peer_key(), key);
}

#[test]
fn what_cannot_be_a_database_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Peer::open(config(&file)).unwrap_err().to_string();
    assert!(error.contains("file") && error.contains("not a directory"), "{error}");

    let database = directory.path().join("database");
    Peer::open(config(&database)).unwrap().close();
    let key = database.join("peer-key");
    let good = std::fs::read(&key).unwrap();
    std::fs::write(&key, &good[1..]).unwrap();
    let error = Peer::open(config(&database)).unwrap_err();
    assert!(matches!(error, PeerError::KeyFile(_)) && error.to_string().contains("peer-key"), "{error}");
    std::fs::write(&key, good).unwrap();
    Peer::open(config(&database)).unwrap();
}

#[test]
fn a_port_in_use_is_reported_in_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let peer = Peer::open(config(directory.path())).unwrap();
    peer.start_sync().unwrap();
    let mut transports = TransportConfig::default();
    transports.listen.tcp.enabled = true;
    transports.listen.tcp.interface_ip = "127.0.0.1".to_owned();
    transports.listen.tcp.port = taken.local_addr().unwrap().port();
    let problems = peer.set_transport_config(transports).unwrap();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("in use"), "{problems:?}");
}

#[test]
fn what_is_no_address_is_named_whether_or_not_sync_is_active() {
    let directory = tempfile::tempdir().unwrap();
    let peer = Peer::open(config(directory.path())).unwrap();
    let mut transports = TransportConfig::default();
    transports.connect.tcp_servers.extend(["nonsense".to_owned(), "example.com:4040".to_owned()]);
    let stopped = peer.set_transport_config(transports.clone()).unwrap();
    assert_eq!(stopped.len(), 1, "{stopped:?}");
    assert!(
        stopped[0].contains("\"nonsense\"") && stopped[0].contains("TCP server to connect to"),
        "{stopped:?}"
    );
    transports.connect.tcp_servers.retain(|server| server == "nonsense");
    transports.listen.tcp.enabled = true;
    transports.listen.tcp.interface_ip = "localhost".to_owned();
    let stopped = peer.set_transport_config(transports.clone()).unwrap();
    assert_eq!(stopped.len(), 2, "{stopped:?}");
    assert!(stopped[0].contains("\"localhost\"") && stopped[0].contains("TCP listener"), "{stopped:?}");
    peer.start_sync().unwrap();
    assert_eq!(peer.set_transport_config(transports.clone()).unwrap(), stopped);
    transports.listen.tcp.enabled = false;
    transports.connect.tcp_servers.clear();
    assert_eq!(peer.set_transport_config(transports).unwrap(), Vec::<String>::new());
}

#[test]
fn a_runtime_of_the_application_is_no_obstacle_to_opening_and_closing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let peer = Peer::open(config(directory.path())).unwrap();
        peer.start_sync().unwrap();
        drop(peer);
    });
}

#[test]
fn a_wrong_system_parameter_is_named_and_the_directory_stays_free() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut wrong = config(directory.path());
    wrong.system_parameters.insert("no_such_parameter".to_owned(), Value::Bool(true));
    // On a thread of a runtime, where blocking is forbidden.
    let error = runtime.block_on(async { Peer::open(wrong).unwrap_err() });
    assert!(error.to_string().contains("no_such_parameter"), "{error}");
    Peer::open(config(directory.path())).unwrap();
}

#[test]
fn a_local_collection_stays_here_over_a_restart_and_goes_on_when_it_may_travel_again() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = directories.each_ref().map(|directory| Peer::open(config(directory.path())).unwrap());
    for query in ["SELECT * FROM plants", "SELECT * FROM beds"] {
        b.subscribe(query, Object::new()).unwrap();
    }
    execute(&a, "ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = {'plants': 'localPeerOnly'}");
    a.close();
    drop(a);
    let a = Peer::open(config(directories[0].path())).unwrap();
    execute(&a, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
    execute(&a, "INSERT INTO beds DOCUMENTS ({'_id': 1})");
    let address = listen(&a);
    connect(&b, &address);
    // Both would come in one batch.
    await_rows(&b, "SELECT * FROM beds", 1);
    assert_eq!(execute(&b, "SELECT * FROM plants"), []);

    // The peers connect again by themselves.
    execute(&a, "ALTER SYSTEM RESET USER_COLLECTION_SYNC_SCOPES");
    await_rows(&b, "SELECT * FROM plants", 1);
}

#[test]
fn what_is_local_at_its_receiver_is_refused_there_whatever_its_sender_would_send() {
    for scope in ["LocalPeerOnly", "BigPeerOnly"] {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [a, b] = directories.each_ref().map(|directory| Peer::open(config(directory.path())).unwrap());
        for query in ["SELECT * FROM plants", "SELECT * FROM beds"] {
            a.subscribe(query, Object::new()).unwrap();
            b.subscribe(query, Object::new()).unwrap();
        }
        execute(
            &b,
            &format!(
                "ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = {{'plants': '{scope}', 'beds': 'SmallPeersOnly'}}"
            ),
        );
        let address = listen(&a);
        connect(&b, &address);
        for (peer, id) in [(&a, 1), (&b, 2)] {
            execute(peer, &format!("INSERT INTO plants DOCUMENTS ({{'_id': {id}}})"));
            execute(peer, &format!("INSERT INTO beds DOCUMENTS ({{'_id': {id}}})"));
        }
        // In each direction both would come in this order.
        for (peer, own) in [(&a, 1), (&b, 2)] {
            await_rows(peer, "SELECT * FROM beds", 2);
            let plants = execute(peer, "SELECT _id FROM plants");
            assert_eq!(
                plants.iter().map(|row| number(row, "_id")).collect::<Vec<_>>(),
                [Some(own)],
                "{scope}"
            );
        }
        // It was held back here: its sender knows nothing of any scope.
        let scopes = execute(&a, "SHOW user_collection_sync_scopes");
        assert_eq!(scopes[0].to_json(), r#"{"user_collection_sync_scopes":{}}"#);

        execute(&b, "ALTER SYSTEM RESET USER_COLLECTION_SYNC_SCOPES");
        await_rows(&a, "SELECT * FROM plants", 2);
        await_rows(&b, "SELECT * FROM plants", 2);
    }
}
