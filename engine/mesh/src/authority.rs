//! Who may take part: a database id, with or without a shared key, as a signing key.

use std::fmt;

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::IdentityError;

/// What the leaf certificates of all peers are issued by, and what proves membership.
///
/// Two peers whose authorities are made from the same values can connect; all others are refused in the handshake. The
/// database id is compared without regard to case.
#[derive(Clone, PartialEq, Eq)]
pub enum Authority {
    /// Whoever knows the database id is a member: encryption, but no secrecy of membership.
    OfflinePlayground {
        /// Names the database.
        database_id: String,
    },
    /// Whoever holds the shared key is a member.
    SharedKey {
        /// Names the database.
        database_id: String,
        /// The secret of all members: any bytes, not empty. Its strength is that of the whole mesh.
        key: Vec<u8>,
    },
}

/// The way an [`Authority`] admits peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// [`Authority::OfflinePlayground`].
    OfflinePlayground,
    /// [`Authority::SharedKey`].
    SharedKey,
}

impl Mechanism {
    /// How the mechanism is written in issuer names. Part of the protocol.
    fn label(self) -> &'static str {
        match self {
            Self::OfflinePlayground => "playground",
            Self::SharedKey => "shared-key",
        }
    }

    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::OfflinePlayground => Self::SharedKey,
            Self::SharedKey => Self::OfflinePlayground,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OfflinePlayground => "no shared key (playground)",
            Self::SharedKey => "a shared key",
        })
    }
}

/// What every issuer name of ours starts with. Part of the protocol.
pub(crate) const ISSUER_PREFIX: &str = "ditto authority 1 ";

const PLAYGROUND_SEED: &str = "ditto 2026 mesh authority: offline playground";
const SHARED_KEY_SEED: &str = "ditto 2026 mesh authority: shared key";
const DATABASE_NAME: &str = "ditto 2026 mesh authority: name of a database";

/// The PKCS#8 v1 envelope of an Ed25519 private key (RFC 8410, section 7); the 32-byte seed follows.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

impl Authority {
    /// The id of the database, as given.
    pub fn database_id(&self) -> &str {
        match self {
            Self::OfflinePlayground { database_id } | Self::SharedKey { database_id, .. } => database_id,
        }
    }

    /// How peers are admitted.
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::OfflinePlayground { .. } => Mechanism::OfflinePlayground,
            Self::SharedKey { .. } => Mechanism::SharedKey,
        }
    }

    /// The authority's Ed25519 public key: equal on two peers exactly if they can connect.
    pub fn public_key(&self) -> Result<[u8; 32], IdentityError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&self.seed()?).map_err(|_| IdentityError::InvalidKeyPair)?;
        pair.public_key().as_ref().try_into().map_err(|_| IdentityError::InvalidKeyPair)
    }

    /// The common name that issuer fields carry. It tells a stranger nothing but a hash of the database id.
    pub(crate) fn issuer_name(&self, mechanism: Mechanism) -> String {
        let hash = blake3::derive_key(DATABASE_NAME, self.normal_id().as_bytes());
        let name = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{ISSUER_PREFIX}{} {name}", mechanism.label())
    }

    /// The private key in PKCS#8 form.
    pub(crate) fn pkcs8(&self) -> Result<Vec<u8>, IdentityError> {
        Ok([PKCS8_ED25519.as_slice(), &self.seed()?].concat())
    }

    fn normal_id(&self) -> String {
        self.database_id().to_lowercase()
    }

    fn seed(&self) -> Result<[u8; 32], IdentityError> {
        let id = self.normal_id();
        if id.is_empty() {
            return Err(IdentityError::EmptyDatabaseId);
        }
        match self {
            Self::OfflinePlayground { .. } => Ok(blake3::derive_key(PLAYGROUND_SEED, id.as_bytes())),
            Self::SharedKey { key, .. } if key.is_empty() => Err(IdentityError::EmptySharedKey),
            Self::SharedKey { key, .. } => {
                let length = (id.len() as u64).to_le_bytes();
                Ok(blake3::derive_key(SHARED_KEY_SEED, &[&length, id.as_bytes(), key].concat()))
            }
        }
    }
}

/// Never shows the shared key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("database_id", &self.database_id())
            .field("mechanism", &self.mechanism())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playground(id: &str) -> Authority {
        Authority::OfflinePlayground { database_id: id.into() }
    }

    fn shared(id: &str, key: &[u8]) -> Authority {
        Authority::SharedKey { database_id: id.into(), key: key.into() }
    }

    #[test]
    fn the_same_values_give_the_same_authority_and_others_another() {
        let keys = [
            playground("5F3A"),
            playground("5f3b"),
            shared("5f3a", b"k"),
            shared("5f3a", b"l"),
            shared("5f3", b"ak"),
            shared("5f3b", b"k"),
        ]
        .map(|authority| authority.public_key().unwrap());
        assert_eq!(playground("5f3a").public_key().unwrap(), keys[0]);
        assert_eq!(shared("5F3A", b"k").public_key().unwrap(), keys[2]);
        for (i, left) in keys.iter().enumerate() {
            assert!(keys.iter().skip(i + 1).all(|right| left != right), "{i}");
        }
    }

    #[test]
    fn derived_keys_are_a_protocol_that_must_not_change() {
        let hex = |bytes: [u8; 32]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let id = "3bd1a8ac-5b8a-4b0f-9b0a-5a7e6f3c1d21";
        assert_eq!(
            hex(playground(id).public_key().unwrap()),
            "665e52bba4ee681ae75b90f51ff8bba2b9a6486768d95a7c9a91bf6bd69c55f5"
        );
        assert_eq!(
            hex(shared(id, b"secret").public_key().unwrap()),
            "5fc16b7bb0bd6e0a23b3b05a4d7bb21d90b5dac87d4f0871702d739ab2aa1a63"
        );
        assert_eq!(
            shared(id, b"secret").issuer_name(Mechanism::SharedKey),
            "ditto authority 1 shared-key 620fd231124d98bc"
        );
    }

    #[test]
    fn empty_values_are_refused() {
        assert!(matches!(playground("").public_key(), Err(IdentityError::EmptyDatabaseId)));
        assert!(matches!(shared("a", b"").public_key(), Err(IdentityError::EmptySharedKey)));
    }

    #[test]
    fn the_shared_key_is_never_shown() {
        assert!(!format!("{:?}", shared("a", b"secret")).contains("secret"));
        assert!(!format!("{:?}", shared("a", &[115, 101])).contains("115"));
    }
}
