//! What one session knows about the documents of the other peer: bounded, and safe to forget.
//!
//! Forgetting costs bytes (a longer delta, an echo, a question), never correctness, because every document
//! that arrives is compared by its version.

use std::collections::HashMap;

use ditto_crdt::{Sequence, Version};

use crate::replica::DocumentKey;

/// 128-bit hash of a document's name, the same whether it is buried or not.
pub(crate) type KeyHash = u128;

/// The name under which a document is remembered.
pub(crate) fn key_hash(key: &DocumentKey) -> KeyHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.collection.len() as u64).to_le_bytes());
    hasher.update(key.collection.as_bytes());
    hasher.update(&key.id_hash());
    first_16(hasher.finalize().as_bytes())
}

pub(crate) fn first_16(hash: &[u8; 32]) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(hash.split_at(16).0);
    u128::from_le_bytes(first)
}

/// What is known of one document. Its mere presence says that the other peer holds the document.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Entry {
    /// The other peer holds, or will hold when it has read everything sent, all that we held at this local
    /// sequence; the version was this one.
    pub(crate) sent: Option<(Sequence, Version)>,
    /// Versions of which we hold everything: the last ones that we sent or that the other peer stated. Unused
    /// places hold the version of nothing, of which everybody holds everything.
    held: [Version; 4],
}

impl Entry {
    /// Whether we have held everything of this version; what is held is only lost by an eviction, after which
    /// nothing is known.
    pub(crate) fn held(&self, version: Version) -> bool {
        self.held.contains(&version)
    }

    fn once(sequence: Sequence, version: Version) -> Self {
        let mut entry = Self { sent: Some((sequence, version)), ..Self::default() };
        entry.hold(version);
        entry
    }

    fn hold(&mut self, version: Version) {
        if !self.held(version) {
            self.held.rotate_right(1);
            self.held[0] = version;
        }
    }
}

/// An entry as it is kept: nearly all documents arrive or are sent once, and then one version says everything.
#[derive(Clone, Debug)]
enum Kept {
    /// Sent at this sequence in this version, which is the only one that is held.
    Once(Sequence, Version),
    Other(Box<Entry>),
}

impl From<Entry> for Kept {
    fn from(entry: Entry) -> Self {
        match entry.sent {
            Some((sequence, version)) if entry.held == Entry::once(sequence, version).held => {
                Self::Once(sequence, version)
            }
            _ => Self::Other(Box::new(entry)),
        }
    }
}

impl From<&Kept> for Entry {
    fn from(kept: &Kept) -> Self {
        match kept {
            Kept::Once(sequence, version) => Self::once(*sequence, *version),
            Kept::Other(entry) => **entry,
        }
    }
}

/// Entries by document, the least recently touched half forgotten when it is full.
#[derive(Debug)]
pub(crate) struct Known {
    young: HashMap<KeyHash, Kept>,
    old: HashMap<KeyHash, Kept>,
    half: usize,
}

impl Known {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (capacity / 2).max(1) }
    }

    pub(crate) fn get(&self, key: KeyHash) -> Option<Entry> {
        self.young.get(&key).or_else(|| self.old.get(&key)).map(Entry::from)
    }

    pub(crate) fn set(&mut self, key: KeyHash, entry: Entry) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, entry.into());
    }

    /// The other peer holds the document, in some version.
    pub(crate) fn meet(&mut self, key: KeyHash) {
        self.set(key, self.get(key).unwrap_or_default());
    }

    pub(crate) fn remove(&mut self, key: KeyHash) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// Records that we sent everything held at `sequence`; never goes back.
    pub(crate) fn sent(&mut self, key: KeyHash, sequence: Sequence, version: Version) {
        let mut entry = self.get(key).unwrap_or_default();
        if entry.sent.is_none_or(|(earlier, _)| earlier.0 <= sequence.0) {
            entry.sent = Some((sequence, version));
        }
        entry.hold(version);
        self.set(key, entry);
    }

    /// Records the merge of a document that the other peer stated to hold in version `stated`; `met` if we
    /// hold all of that now. `last` is the replica's last sequence right after the merge.
    pub(crate) fn merged(
        &mut self,
        key: KeyHash,
        (before, after): (Option<Version>, Version),
        stated: Version,
        met: bool,
        last: Sequence,
    ) {
        let mut entry = self.get(key).unwrap_or_default();
        // Either both hold the same now, or all that we had before was already on its way to them: then
        // they arrive at the same union by themselves, and sending it back would be an echo.
        if after == stated || (met && before.is_some() && entry.sent.map(|(_, version)| version) == before) {
            entry.sent = Some((last, after));
        }
        if met {
            entry.hold(stated);
        }
        self.set(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_remembered_under_one_name_whether_it_is_buried_or_not() {
        let key = |collection: &str, id: &[u8]| DocumentKey { collection: collection.into(), id: id.into() };
        let hash = blake3::hash(b"1fern\0\x01");
        let grave = [&[0][..], &hash.as_bytes()[..16]].concat();
        let plain = key_hash(&key("plants", b"1fern\0\x01"));
        assert_eq!(plain, key_hash(&key("plants", &grave)));
        assert_ne!(plain, key_hash(&key("cars", b"1fern\0\x01")));
        assert_ne!(plain, key_hash(&key("plants", b"1moss\0\x01")));
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_was_touched_last() {
        let mut known = Known::new(10);
        for key in 0..1_000_u128 {
            known.sent(key, Sequence(key as u64), Version(key));
            assert!(known.young.len() + known.old.len() <= 10);
        }
        assert!(known.get(999).is_some() && known.get(0).is_none());
    }

    #[test]
    fn an_entry_is_what_it_was_however_it_is_kept() {
        let mut known = Known::new(10);
        let mut entry = Entry::default();
        for version in (1..8).map(Version) {
            known.set(7, entry);
            assert_eq!(known.get(7), Some(entry));
            entry.sent = Some((Sequence(version.0 as u64), version));
            known.set(7, entry);
            assert_eq!(known.get(7), Some(entry), "sent, and not held");
            entry.hold(version);
        }
        assert!(matches!(Kept::from(Entry::once(Sequence(3), Version(30))), Kept::Once(..)));
        assert!(size_of::<(KeyHash, Kept)>() <= 48);
    }

    #[test]
    fn a_merge_whose_own_side_was_already_sent_is_not_sent_back() {
        let mut known = Known::new(10);
        known.sent(7, Sequence(3), Version(30));
        known.merged(7, (Some(Version(30)), Version(50)), Version(20), true, Sequence(4));
        assert_eq!(known.get(7).and_then(|entry| entry.sent), Some((Sequence(4), Version(50))));
        known.merged(7, (Some(Version(60)), Version(70)), Version(11), true, Sequence(9));
        assert_eq!(
            known.get(7).and_then(|entry| entry.sent),
            Some((Sequence(4), Version(50))),
            "an own write lay between"
        );
    }
}
