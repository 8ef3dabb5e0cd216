//! How peers find and reach each other: [`TransportConfig`].
//!
//! `new()` gives usable settings with everything switched off; `Default` is all zero. Where it is used, a zero
//! [`retry_interval`](Connect::retry_interval) counts as five seconds and an empty address as the wildcard.
//!
//! ```
//! use std::time::Duration;
//! use dittolive_ditto::transport::TransportConfig;
//!
//! let mut config = TransportConfig::new();
//! config.listen.tcp.enabled = true;
//! config.listen.tcp.interface_ip = "127.0.0.1".into();
//! config.listen.tcp.port = 0; // any free port; `system:transports_info` tells which
//! config.connect.tcp_servers.insert("192.0.2.7:4040".into());
//! assert_eq!(config.connect.retry_interval, Duration::from_secs(5));
//! ```

use std::{collections::HashSet, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// The default of [`Connect::retry_interval`].
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The default of [`TcpListenConfig::port`].
const TCP_PORT: u16 = 4040;
/// The default of [`HttpListenConfig::port`].
const HTTP_PORT: u16 = 80;
/// The wildcard address: every interface, IPv6 and IPv4.
const ANY_INTERFACE: &str = "[::]";

/// All transports of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TransportConfig {
    /// Transports that find peers by themselves.
    pub peer_to_peer: PeerToPeer,
    /// Addresses to connect to.
    pub connect: Connect,
    /// Addresses to listen on.
    pub listen: Listen,
    /// What concerns all transports.
    pub global: Global,
}

impl TransportConfig {
    /// Everything off, with the usual addresses and intervals filled in.
    #[must_use]
    pub fn new() -> Self {
        Self {
            peer_to_peer: PeerToPeer {
                bluetooth_le: BluetoothLEConfig::new(),
                lan: LanConfig::new(),
                awdl: AwdlConfig::new(),
                wifi_aware: WifiAwareConfig::new(),
            },
            connect: Connect { retry_interval: RETRY_INTERVAL, ..Connect::default() },
            listen: Listen { tcp: TcpListenConfig::new(), http: HttpListenConfig::new() },
            global: Global::default(),
        }
    }

    /// Turns on all transports that find peers by themselves. The ones that the platform does not have are ignored.
    pub fn enable_all_peer_to_peer(&mut self) {
        self.peer_to_peer.bluetooth_le.enabled = true;
        self.peer_to_peer.lan.enabled = true;
        self.peer_to_peer.awdl.enabled = true;
        self.peer_to_peer.wifi_aware.enabled = true;
    }
}

/// Transports that find peers by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerToPeer {
    /// Bluetooth Low Energy.
    pub bluetooth_le: BluetoothLEConfig,
    /// The local network.
    pub lan: LanConfig,
    /// Apple Wireless Direct Link.
    pub awdl: AwdlConfig,
    /// Wi-Fi Aware.
    pub wifi_aware: WifiAwareConfig,
}

macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// Whether it runs, where the platform has it.
            pub enabled: bool,
        }

        impl $name {
            /// Off.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }
        }
    )*};
}

switches! {
    /// Bluetooth Low Energy.
    BluetoothLEConfig;
    /// Apple Wireless Direct Link.
    AwdlConfig;
    /// Wi-Fi Aware.
    WifiAwareConfig;
}

/// Discovery on the local network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LanConfig {
    /// Whether peers are looked for on the local network.
    pub enabled: bool,
    /// By multicast DNS.
    pub mdns_enabled: bool,
    /// By UDP multicast.
    pub multicast_enabled: bool,
}

impl LanConfig {
    /// Off; once enabled, by both ways.
    #[must_use]
    pub fn new() -> Self {
        Self { enabled: false, mdns_enabled: true, multicast_enabled: true }
    }
}

/// Addresses to connect to. Removing one closes its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// `host:port`; the host is a DNS name, an IPv4 address or a bracketed IPv6 address.
    pub tcp_servers: HashSet<String>,
    /// `ws://…` and `wss://…`.
    pub websocket_urls: HashSet<String>,
    /// The longest time between two attempts. In milliseconds when serialized.
    #[serde(with = "milliseconds")]
    pub retry_interval: Duration,
}

/// Addresses to listen on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listen {
    /// Peers over TCP.
    pub tcp: TcpListenConfig,
    /// Peers over WebSocket, and HTTP.
    pub http: HttpListenConfig,
}

/// Listening for peers over TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpListenConfig {
    /// Whether to listen.
    pub enabled: bool,
    /// An IPv4 address, a bracketed IPv6 address or a wildcard.
    pub interface_ip: String,
    /// 0 is any free port.
    pub port: u16,
}

impl TcpListenConfig {
    /// Off; once enabled, on port 4040 of every interface.
    #[must_use]
    pub fn new() -> Self {
        Self { enabled: false, interface_ip: ANY_INTERFACE.to_owned(), port: TCP_PORT }
    }
}

/// Listening for WebSocket peers and HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpListenConfig {
    /// Whether to listen.
    pub enabled: bool,
    /// An IPv4 address, a bracketed IPv6 address or a wildcard.
    pub interface_ip: String,
    /// 0 is any free port.
    pub port: u16,
    /// A directory to serve over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub static_content_path: Option<PathBuf>,
    /// Whether peers may sync over it.
    pub websocket_sync: bool,
    /// The PEM file of the private key; with it and the certificate, TLS is spoken.
    pub tls_key_path: Option<PathBuf>,
    /// The PEM file of the certificate chain.
    pub tls_certificate_path: Option<PathBuf>,
}

impl HttpListenConfig {
    /// Off; once enabled, on port 80 of every interface, with sync.
    #[must_use]
    pub fn new() -> Self {
        Self {
            interface_ip: ANY_INTERFACE.to_owned(),
            port: HTTP_PORT,
            websocket_sync: true,
            ..Self::default()
        }
    }
}

/// What concerns all transports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Global {
    /// Peers that find each other connect only within one group. It saves connections; it protects nothing.
    pub sync_group: u32,
    /// For a server: peers of one hint should meet on one node. 0 is none.
    pub routing_hint: u32,
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_millis().try_into().unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_is_usable_and_default_is_zero() {
        let (new, default) = (TransportConfig::new(), TransportConfig::default());
        assert_eq!((new.listen.tcp.port, default.listen.tcp.port), (4040, 0));
        assert_eq!((new.listen.http.port, new.listen.http.websocket_sync), (80, true));
        assert_eq!(new.listen.tcp.interface_ip, "[::]");
        assert!(new.peer_to_peer.lan.mdns_enabled && !new.peer_to_peer.lan.enabled);
        assert_eq!(default.connect.retry_interval, Duration::ZERO);
    }

    #[test]
    fn json_has_the_fields_in_order_and_missing_ones_take_their_default() {
        let mut config = TransportConfig::new();
        config.enable_all_peer_to_peer();
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.starts_with(
            r#"{"peer_to_peer":{"bluetooth_le":{"enabled":true},"lan":{"enabled":true,"mdns_enabled":true,"multicast_enabled":true}"#
        ));
        assert!(json.contains(r#""retry_interval":5000"#));
        assert!(!json.contains("static_content_path"));
        assert_eq!(serde_json::from_str::<TransportConfig>(&json).unwrap(), config);
        assert_eq!(serde_json::from_str::<TransportConfig>("{}").unwrap(), TransportConfig::default());
    }
}
