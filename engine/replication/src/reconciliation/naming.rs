//! What documents are called in a reconciliation: hashes, of which nobody can know the key beforehand.
//!
//! The key follows from the run of the publisher, which is random, and from its fence. So an author of documents
//! cannot choose two whose hashes collide or that fall on the same symbols.

use ditto_crdt::{RunId, Sequence, Version};

use crate::known::first_16;
use crate::replica::DocumentKey;

/// The hashes of one reconciliation.
#[derive(Clone, Debug)]
pub(crate) struct Naming([u8; 32]);

impl Naming {
    /// Both sides know these three.
    pub(crate) fn new(run: RunId, fence: Sequence, generation: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("ditto-replication 2026 reconciliation 1");
        for part in [run.0, fence.0, generation] {
            hasher.update(&part.to_le_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// The name of a document: the same whether it is buried or not.
    pub(crate) fn name(&self, key: &DocumentKey) -> u128 {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(key.collection.len() as u64).to_le_bytes());
        hasher.update(key.collection.as_bytes());
        hasher.update(&key.id_hash());
        first_16(hasher.finalize().as_bytes())
    }

    /// The document of that name in one version.
    pub(crate) fn item(&self, name: u128, version: Version) -> u128 {
        let mut bytes = [0; 32];
        let (left, right) = bytes.split_at_mut(16);
        left.copy_from_slice(&name.to_le_bytes());
        right.copy_from_slice(&version.0.to_le_bytes());
        first_16(blake3::keyed_hash(&self.0, &bytes).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buried_document_keeps_its_name_and_every_other_has_another() {
        let naming = Naming::new(RunId(1), Sequence(2), 3);
        let key = |collection: &str, id: &[u8]| DocumentKey { collection: collection.into(), id: id.into() };
        let fern = key("plants", b"1fern");
        let buried = [&[0][..], &blake3::hash(b"1fern").as_bytes()[..16]].concat();
        let name = naming.name(&fern);
        assert_eq!(name, naming.name(&key("plants", &buried)));
        assert_ne!(name, naming.name(&key("plants", b"1moss")));
        assert_ne!(name, naming.name(&key("pots", b"1fern")));
        assert_ne!(naming.item(name, Version(1)), naming.item(name, Version(2)));
        for other in [(2, 2, 3), (1, 3, 3), (1, 2, 4)] {
            assert_ne!(name, Naming::new(RunId(other.0), Sequence(other.1), other.2).name(&fern));
        }
    }
}
