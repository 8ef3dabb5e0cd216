//! What to listen on and whom to dial.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ditto_mesh::Backoff;

use crate::Problem;

/// What [`Transports::apply`](crate::Transports::apply) brings about. The default does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportConfig {
    /// Where to accept TCP connections, if at all.
    pub listen_tcp: Option<ListenTcp>,
    /// Peers to keep a TCP connection to: `host:port`, where the host is a DNS name, an IPv4 address or a bracketed IPv6
    /// address.
    pub connect_tcp: BTreeSet<String>,
    /// The longest pause between two attempts to reach a peer; pauses start at a second at most. The default is 30 s.
    pub longest_pause: Duration,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self { listen_tcp: None, connect_tcp: BTreeSet::new(), longest_pause: Backoff::CEILING }
    }
}

impl TransportConfig {
    /// What of it can never be served, because it is no address. [`Transports::apply`](crate::Transports::apply) tells the same.
    pub fn malformed(&self) -> Vec<Problem> {
        let interface = self.listen_tcp.as_ref().and_then(|listen| listen.addresses().err());
        let targets = self.connect_tcp.iter().filter_map(|target| target.parse::<Target>().err());
        interface.into_iter().chain(targets).collect()
    }
}

/// Where to accept TCP connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTcp {
    /// An IP address; IPv6 with or without brackets. `[::]` is every interface, IPv4 included, and falls back to
    /// `0.0.0.0` on a machine without IPv6.
    pub interface: String,
    /// The port; 0 is any free one.
    pub port: u16,
}

impl ListenTcp {
    /// The addresses to try, in order.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, Problem> {
        let invalid = || Problem::InvalidListenAddress { interface: self.interface.clone() };
        let ip: IpAddr = unbracketed(&self.interface).parse().map_err(|_| invalid())?;
        let fallback = (ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED)).then_some([0, 0, 0, 0].into());
        Ok([ip].into_iter().chain(fallback).map(|ip| SocketAddr::new(ip, self.port)).collect())
    }
}

impl fmt::Display for ListenTcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.interface, self.port)
    }
}

/// A checked entry of [`TransportConfig::connect_tcp`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for Target {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let invalid = || Problem::InvalidTarget { target: text.to_owned() };
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?;
        let bare = unbracketed(host);
        let plain = bare.len() == host.len();
        if bare.is_empty() || plain && host.contains([':', '/', '[', ']', ' ', '@']) {
            return Err(invalid());
        }
        if !plain && bare.parse::<Ipv6Addr>().is_err() {
            return Err(invalid());
        }
        Ok(Self { host: bare.to_owned(), port })
    }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_hosts_with_a_port() {
        for (text, host, port) in [
            ("example.com:4040", "example.com", 4040),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:65535", "::1", 65535),
            (" localhost:80 ", "localhost", 80),
        ] {
            assert_eq!(text.parse::<Target>().unwrap(), Target { host: host.into(), port });
        }
        for text in [
            "",
            "host",
            "host:",
            ":80",
            "host:0",
            "host:65536",
            "::1:80",
            "[]:80",
            "[host]:80",
            "tcp://host:80",
            "a b:1",
        ] {
            assert!(matches!(text.parse::<Target>(), Err(Problem::InvalidTarget { .. })), "{text:?}");
        }
    }

    #[test]
    fn the_ipv6_wildcard_falls_back_to_ipv4() {
        let listen = |interface: &str| ListenTcp { interface: interface.into(), port: 7 };
        let addresses = listen("[::]").addresses().unwrap();
        assert_eq!(addresses, ["[::]:7".parse().unwrap(), "0.0.0.0:7".parse().unwrap()]);
        assert_eq!(listen("::1").addresses().unwrap(), ["[::1]:7".parse().unwrap()]);
        assert_eq!(listen("127.0.0.1").addresses().unwrap(), ["127.0.0.1:7".parse().unwrap()]);
        for bad in ["", "localhost", "[", "[::", "1.2.3"] {
            assert!(matches!(listen(bad).addresses(), Err(Problem::InvalidListenAddress { .. })), "{bad:?}");
        }
    }
}
