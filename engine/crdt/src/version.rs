//! Content versions: what a peer holds, compared by content.

/// A digest of everything that is known of a document: its canonical bytes
/// ([`Document::canonical`](crate::Document::canonical)), whatever its history.
///
/// The first 16 bytes, little endian, of their BLAKE3 hash; 1 in place of 0, which stands for nothing. Nobody can make a
/// second document of the version of a given one (that takes 2^128 attempts). Who writes both documents can make two of
/// one version with 2^64 attempts, and give them to two peers; those differ then, unnoticed, until the next change of
/// either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u128);

impl Version {
    /// Nothing is known. No document of which anything is known has this version.
    pub const NOTHING: Self = Self(0);

    /// The version of the document that has these canonical bytes, if there is one. Linear in their length.
    pub fn of_canonical(bytes: &[u8]) -> Self {
        Self::of(&[bytes])
    }

    /// The version of what has these canonical bytes, given in parts.
    pub(crate) fn of(canonical: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in canonical {
            hasher.update(part);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(u128::from_le_bytes(first).max(1))
    }
}
