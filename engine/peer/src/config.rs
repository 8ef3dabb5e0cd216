//! How a peer is opened.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ditto_value::Value;

/// Everything that [`Peer::open`](crate::Peer::open) needs.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Peers with equal ids (letter case aside) belong together. Any text.
    pub database_id: String,
    /// Who may connect.
    pub connect: Connect,
    /// Where the data lives; created if absent. Also with `in_memory` the identity and the logs live here.
    pub directory: PathBuf,
    /// What other peers see; the host name if absent. At most [`MAX_DEVICE_NAME`] bytes count.
    pub device_name: Option<String>,
    /// Keep documents in memory only.
    pub in_memory: bool,
    /// System parameters to set before anything runs, by name.
    pub system_parameters: BTreeMap<String, Value>,
}

/// Longer device names are cut.
pub const MAX_DEVICE_NAME: usize = 64;

/// Who may connect to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connect {
    /// Other peers only.
    SmallPeersOnly {
        /// With a key, only peers that hold the same one. Without it, every peer that knows the database id.
        private_key: Option<Vec<u8>>,
    },
    /// A server signs the certificates.
    Server {
        /// The server's address.
        url: String,
    },
}

/// `name`, cut to [`MAX_DEVICE_NAME`] bytes at a character boundary.
pub(crate) fn truncated_device_name(name: &str) -> &str {
    let end = (0..=name.len().min(MAX_DEVICE_NAME)).rev().find(|&end| name.is_char_boundary(end));
    end.and_then(|end| name.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_device_names_are_cut_between_characters() {
        assert_eq!(truncated_device_name("till"), "till");
        let long = "é".repeat(40);
        let cut = truncated_device_name(&long);
        assert_eq!(cut.len(), MAX_DEVICE_NAME);
        assert!(long.starts_with(cut));
    }
}
