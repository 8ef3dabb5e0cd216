//! Three peers in a line: what the ends write travels through the middle, also after it was away.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use dittolive_ditto::prelude::*;
use futures::executor::block_on;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

fn open(directory: &Path) -> Ditto {
    let connect = DittoConfigConnect::SmallPeersOnly { private_key: None };
    let config = DittoConfig::new("relay", connect).with_persistence_directory(directory);
    let ditto = Ditto::open_sync(config).unwrap();
    ditto.sync().register_subscription("SELECT * FROM things").unwrap();
    ditto.sync().start().unwrap();
    ditto
}

fn listen(ditto: &Ditto) -> String {
    ditto.update_transport_config(|config| {
        config.listen.tcp = TcpListenConfig { enabled: true, interface_ip: "127.0.0.1".to_owned(), port: 0 };
    });
    let sockets = execute(ditto, "SELECT value FROM system:transports_info WHERE _id = 'listen_tcp'");
    sockets[0]["value"].as_str().unwrap().to_owned()
}

fn connect(ditto: &Ditto, addresses: &[&str]) {
    ditto.update_transport_config(|config| {
        config.connect.tcp_servers = addresses.iter().map(|address| (*address).to_owned()).collect();
    });
}

fn execute(ditto: &Ditto, statement: &str) -> Vec<Value> {
    let result = block_on(ditto.store().execute(statement)).unwrap();
    result.iter().map(|row| row.deserialize_value().unwrap()).collect()
}

/// Waits until the documents are these.
fn await_documents(ditto: &Ditto, expected: &[&str]) {
    let (sender, results) = mpsc::channel();
    let query = "SELECT * FROM things ORDER BY _id";
    let observer = ditto
        .store()
        .register_observer(query, move |result| {
            // The test may have seen enough.
            let _ = sender.send(result.iter().map(|row| row.json_string()).collect::<Vec<_>>());
        })
        .unwrap();
    let mut last = Vec::new();
    while last != expected {
        last = results.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            assert_eq!(last, expected, "what is there when nothing more comes");
            Vec::new()
        });
    }
    observer.cancel();
}

#[test]
fn a_peer_in_the_middle_relays_both_ways_and_catches_up_when_it_returns() {
    let directories = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [left, middle, right] = directories.each_ref().map(|directory| open(directory.path()));
    let (at_left, at_right) = (listen(&left), listen(&right));
    connect(&middle, &[&at_left, &at_right]);

    execute(&left, "INSERT INTO things DOCUMENTS ({'_id': 'l', 'x': 1})");
    execute(&right, "INSERT INTO things DOCUMENTS ({'_id': 'r', 'x': 1})");
    for peer in [&left, &middle, &right] {
        await_documents(peer, &[r#"{"_id":"l","x":1}"#, r#"{"_id":"r","x":1}"#]);
    }

    middle.close();
    execute(&left, "UPDATE things SET x = 2 WHERE _id = 'r'");
    execute(&right, "DELETE FROM things WHERE _id = 'l'");
    let middle = open(directories[1].path());
    connect(&middle, &[&at_left, &at_right]);
    for peer in [&left, &middle, &right] {
        await_documents(peer, &[r#"{"_id":"r","x":2}"#]);
    }

    // Nobody was told what it had told itself.
    for (peer, others) in [(&left, 1), (&middle, 2), (&right, 1)] {
        let info = execute(peer, "SELECT documents_received AS n FROM system:data_sync_info");
        assert_eq!(info.len(), others);
        assert!(info.iter().all(|row| row["n"].as_u64().unwrap() <= 2), "{info:?}");
    }
}
