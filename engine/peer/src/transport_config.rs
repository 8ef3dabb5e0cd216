//! Which transports a peer uses: the shape that the SDK shows and that crosses the C ABI as JSON.
//!
//! Every missing key takes its default, so configurations written by older builds keep working.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The retry interval that stands in for a configured zero.
pub const DEFAULT_RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Every interface, IPv6 and IPv4.
const ANY_INTERFACE: &str = "[::]";
const DEFAULT_TCP_PORT: u16 = 4040;
const DEFAULT_HTTP_PORT: u16 = 80;

/// All transports of a peer. Changes apply live while sync runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TransportConfig {
    /// Transports that find peers by themselves.
    pub peer_to_peer: PeerToPeer,
    /// Addresses to dial.
    pub connect: Connect,
    /// Addresses to listen on.
    pub listen: Listen,
    /// What concerns all transports.
    pub global: Global,
}

/// Transports that find peers by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerToPeer {
    /// Bluetooth Low Energy.
    pub bluetooth_le: Switch,
    /// The local network.
    pub lan: Lan,
    /// Apple Wireless Direct Link.
    pub awdl: Switch,
    /// Wi-Fi Aware.
    pub wifi_aware: Switch,
}

/// A transport that is on or off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Switch {
    /// Whether the transport runs where the platform has it.
    pub enabled: bool,
}

/// Discovery on the local network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lan {
    /// Whether peers are looked for on the local network.
    pub enabled: bool,
    /// By multicast DNS.
    pub mdns_enabled: bool,
    /// By UDP multicast.
    pub multicast_enabled: bool,
}

/// Addresses to dial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// `host:port`, where host is a name or an address.
    pub tcp_servers: BTreeSet<String>,
    /// `ws://…` and `wss://…`.
    pub websocket_urls: BTreeSet<String>,
    /// The longest pause between two attempts; zero stands for [`DEFAULT_RETRY_INTERVAL`].
    #[serde(with = "milliseconds")]
    pub retry_interval: Duration,
}

/// Addresses to listen on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listen {
    /// Peers over TCP.
    pub tcp: TcpListen,
    /// Peers over WebSocket, and HTTP.
    pub http: HttpListen,
}

/// Listening for peers over TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpListen {
    /// Whether to listen.
    pub enabled: bool,
    /// An IPv4 address, a bracketed IPv6 address, or a wildcard; empty stands for `[::]`.
    pub interface_ip: String,
    /// 0 means any free port; `system:transports_info` tells which.
    pub port: u16,
}

/// Listening for WebSocket peers and HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpListen {
    /// Whether to listen.
    pub enabled: bool,
    /// As in [`TcpListen`].
    pub interface_ip: String,
    /// 0 means any free port.
    pub port: u16,
    /// A directory to serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub static_content_path: Option<String>,
    /// Whether peers may connect by WebSocket.
    pub websocket_sync: bool,
    /// PEM private key of the listener.
    pub tls_key_path: Option<String>,
    /// PEM certificate chain of the listener.
    pub tls_certificate_path: Option<String>,
}

/// What concerns all transports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Global {
    /// Discovered peers connect only within one group. Not a security measure.
    pub sync_group: u32,
    /// For a server: devices with equal hints should meet on one node; 0 is none.
    pub routing_hint: u32,
}

impl TransportConfig {
    /// What a peer that was just opened has: nothing is on, and what is turned on then has the usual addresses.
    pub(crate) fn initial() -> Self {
        let any_interface = || ANY_INTERFACE.to_owned();
        Self {
            peer_to_peer: PeerToPeer {
                lan: Lan { enabled: false, mdns_enabled: true, multicast_enabled: true },
                ..PeerToPeer::default()
            },
            connect: Connect { retry_interval: DEFAULT_RETRY_INTERVAL, ..Connect::default() },
            listen: Listen {
                tcp: TcpListen { enabled: false, interface_ip: any_interface(), port: DEFAULT_TCP_PORT },
                http: HttpListen {
                    interface_ip: any_interface(),
                    port: DEFAULT_HTTP_PORT,
                    websocket_sync: true,
                    ..HttpListen::default()
                },
            },
            global: Global::default(),
        }
    }

    /// The part that `ditto-transport` carries out.
    pub(crate) fn to_transport(&self) -> ditto_transport::TransportConfig {
        let tcp = &self.listen.tcp;
        let interface = if tcp.interface_ip.is_empty() { ANY_INTERFACE } else { &tcp.interface_ip };
        let retry = self.connect.retry_interval;
        ditto_transport::TransportConfig {
            listen_tcp: tcp
                .enabled
                .then(|| ditto_transport::ListenTcp { interface: interface.to_owned(), port: tcp.port }),
            connect_tcp: self.connect.tcp_servers.clone(),
            longest_pause: if retry.is_zero() { DEFAULT_RETRY_INTERVAL } else { retry },
        }
    }

    /// What is asked for and this build or platform does not have, in words for a log.
    pub fn unavailable(&self) -> Vec<String> {
        let lan = &self.peer_to_peer.lan;
        let wanted = [
            (self.peer_to_peer.bluetooth_le.enabled, "Bluetooth LE"),
            (lan.enabled && lan.mdns_enabled, "LAN discovery by mDNS"),
            (lan.enabled && lan.multicast_enabled, "LAN discovery by UDP multicast"),
            (self.peer_to_peer.awdl.enabled, "AWDL"),
            (self.peer_to_peer.wifi_aware.enabled, "Wi-Fi Aware"),
            (!self.connect.websocket_urls.is_empty(), "dialling WebSocket URLs"),
            (self.listen.http.enabled, "the HTTP and WebSocket listener"),
        ];
        wanted
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| format!("{name} is not available in this build"))
            .collect()
    }
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_take_their_defaults() {
        let config: TransportConfig =
            serde_json::from_str(r#"{"listen": {"tcp": {"enabled": true, "port": 4040}}}"#).unwrap();
        assert!(config.listen.tcp.enabled);
        assert_eq!(config.listen.tcp.port, 4040);
        assert_eq!(config.connect, Connect::default());
    }

    #[test]
    fn what_the_build_does_not_have_is_named() {
        let mut config = TransportConfig::default();
        assert!(config.unavailable().is_empty());
        config.peer_to_peer.bluetooth_le.enabled = true;
        config.connect.websocket_urls.insert("wss://example.org".to_owned());
        assert_eq!(config.unavailable().len(), 2);
    }
}
