//! The public key that names a peer everywhere.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What the text form of every peer key starts with.
pub const PREFIX: &str = "pk";

/// Characters after [`PREFIX`] that [`PeerKey::short`] keeps: enough to tell the peers of a log apart.
const SHORT: usize = 8;

/// An Ed25519 public key: the globally unique, self-certifying name of a peer.
///
/// Text form: `pk` and the 32 bytes in unpadded URL-safe base64, 45 characters in all. Keys are ordered by their bytes;
/// the order means nothing but is the same everywhere, which [`LinkTable`](crate::LinkTable) relies on.
///
/// ```
/// use ditto_mesh::PeerKey;
///
/// let key = PeerKey::from([7; 32]);
/// let text = key.to_string();
/// assert!(text.starts_with("pk"));
/// assert_eq!(text.parse::<PeerKey>()?, key);
/// # Ok::<(), ditto_mesh::InvalidPeerKey>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey([u8; 32]);

/// Text that is not a peer key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a peer key: expected `pk` and 43 characters of unpadded URL-safe base64, found {found:?}")]
pub struct InvalidPeerKey {
    /// The text, cut to 64 characters.
    pub found: String,
}

impl PeerKey {
    /// The key itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first ten characters of the text form, for logs.
    pub fn short(&self) -> String {
        self.to_string().chars().take(PREFIX.len() + SHORT).collect()
    }
}

impl From<[u8; 32]> for PeerKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<PeerKey> for [u8; 32] {
    fn from(key: PeerKey) -> Self {
        key.0
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PeerKey {
    type Err = InvalidPeerKey;

    fn from_str(text: &str) -> Result<Self, InvalidPeerKey> {
        text.strip_prefix(PREFIX)
            .and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| InvalidPeerKey { found: text.chars().take(64).collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_not_a_key_is_refused() {
        let good = PeerKey::from([0xab; 32]).to_string();
        assert_eq!(good.len(), 45);
        for bad in [
            "",
            "pk",
            "pk!",
            &good[2..],
            &good[..44],
            &format!("{good}A"),
            &format!("{good}="),
            "PK",
            "pk\u{1f980}",
        ] {
            assert!(bad.parse::<PeerKey>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn text_form_round_trips(bytes: [u8; 32]) {
            let key = PeerKey::from(bytes);
            prop_assert_eq!(key.to_string().parse::<PeerKey>().unwrap(), key);
            prop_assert!(key.to_string().starts_with(&key.short()));
        }

        #[test]
        fn any_text_is_handled(text: String) {
            let _ = text.parse::<PeerKey>();
        }
    }
}
