//! The mesh as this peer sees it. So far: itself and the peers that it is connected to.

use ditto_mesh::{LinkKind, PeerKey};
use serde_json::{Value, json};

/// The graph in the form that the SDK's `PresenceGraph` reads.
pub(crate) fn graph(local: PeerKey, device_name: &str, connections: &[(PeerKey, LinkKind)]) -> Value {
    let edges: Vec<Value> = connections.iter().map(|(remote, kind)| edge(local, *remote, *kind)).collect();
    let remote_peers: Vec<Value> = connections
        .iter()
        .map(|(remote, kind)| node(*remote, "", None, None, &[edge(local, *remote, *kind)]))
        .collect();
    json!({
        "localPeer": node(local, device_name, Some(os()), Some(env!("CARGO_PKG_VERSION")), &edges),
        "remotePeers": remote_peers,
    })
}

fn node(
    key: PeerKey,
    device_name: &str,
    os: Option<&str>,
    version: Option<&str>,
    connections: &[Value],
) -> Value {
    json!({
        "address": { "siteId": 0, "pubkey": key.to_string() },
        "peerKeyString": key.to_string(),
        "deviceName": device_name,
        "os": os,
        "isConnectedToDittoServer": false,
        "isCompatible": true,
        "dittoSdkVersion": version,
        "connections": connections,
        "peerMetadata": {},
        "identityServiceMetadata": {},
    })
}

fn edge(one: PeerKey, other: PeerKey, kind: LinkKind) -> Value {
    let kind = match kind {
        LinkKind::WebSocket => "WebSocket",
        LinkKind::BluetoothLe => "Bluetooth",
        _ => "AccessPoint",
    };
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    json!({
        "id": format!("{first}<->{second}:{kind}"),
        "peerKeyString1": first.to_string(),
        "peerKeyString2": second.to_string(),
        "connectionType": kind,
    })
}

pub(crate) fn os() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "macOS",
        "windows" => "Windows",
        "ios" => "iOS",
        "android" => "Android",
        _ => "Generic",
    }
}
