//! What the tests share.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

pub mod stranger;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use ditto_peer::{Connect, Peer, PeerConfig, TransportConfig};
use ditto_value::{Object, Value};

pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn config(directory: &Path) -> PeerConfig {
    PeerConfig {
        database_id: "whole-peers".to_owned(),
        connect: Connect::SmallPeersOnly { private_key: None },
        directory: directory.to_owned(),
        device_name: None,
        in_memory: false,
        system_parameters: Default::default(),
    }
}

pub fn open(directory: &Path) -> Peer {
    Peer::open(config(directory)).unwrap()
}

pub fn subscribe(peer: &Peer, query: &str) -> ditto_peer::Subscription {
    peer.subscribe(query, Object::new()).unwrap()
}

/// Starts `peer` as a listener and returns its address.
pub fn listen(peer: &Peer) -> String {
    let mut transports = TransportConfig::default();
    transports.listen.tcp.enabled = true;
    transports.listen.tcp.interface_ip = "127.0.0.1".to_owned();
    assert_eq!(peer.set_transport_config(transports).unwrap(), Vec::<String>::new());
    peer.start_sync().unwrap();
    let result = execute(peer, "SELECT * FROM system:transports_info WHERE _id = 'listen_tcp'");
    result[0].get("value").and_then(|value| value.as_str().map(str::to_owned)).unwrap()
}

pub fn connect(peer: &Peer, address: &str) {
    let mut transports = TransportConfig::default();
    transports.connect.tcp_servers.insert(address.to_owned());
    assert_eq!(peer.set_transport_config(transports).unwrap(), Vec::<String>::new());
    peer.start_sync().unwrap();
}

pub fn execute(peer: &Peer, statement: &str) -> Vec<Value> {
    let result = peer.store().execute(statement, &Object::new()).unwrap();
    result.rows.iter().map(|row| row.value().to_value()).collect()
}

/// Waits until the rows of `query` are as they are wanted, and returns them.
pub fn await_that(peer: &Peer, query: &str, is_wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let (sender, results) = mpsc::channel();
    let _observer = peer
        .store()
        .observe(
            query,
            Object::new(),
            Box::new(move |result, next| {
                // The receiver is gone once the wanted rows were seen.
                let _ = sender.send(result.rows.iter().map(|row| row.value().to_value()).collect::<Vec<_>>());
                next.signal();
            }),
        )
        .unwrap();
    let mut last = None;
    loop {
        match results.recv_timeout(PATIENCE) {
            Ok(rows) if is_wanted(&rows) => return rows,
            Ok(rows) => last = Some(rows),
            Err(_) => panic!("nothing more comes of {query}; the last was {last:?}"),
        }
    }
}

/// Waits until `query` answers with exactly `rows` rows.
pub fn await_rows(peer: &Peer, query: &str, rows: usize) {
    await_that(peer, query, |found| found.len() == rows);
}

/// A number in a row, by its path.
pub fn number(row: &Value, name: &str) -> Option<u64> {
    row.get(name).and_then(Value::as_i64).and_then(|number| u64::try_from(number).ok())
}

pub fn text<'v>(row: &'v Value, name: &str) -> Option<&'v str> {
    row.get(name).and_then(Value::as_str)
}
