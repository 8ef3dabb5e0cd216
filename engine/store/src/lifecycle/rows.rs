//! The rows of `graves`, and those rows of `replication` that say what remote peers hold. `docs/file-format.md` has the
//! same for people.

use ditto_crdt::{Birth, Hlc, RunId, Sequence, SiteId, Stamp};

use super::names::KeyHash;
use crate::layout::{CollectionId, Reader};

/// First byte of a `graves` row that is a grave.
pub(crate) const TAG_GRAVE: u8 = 0x01;
/// First byte of a `graves` row that waits for the burial of a tombstone.
pub(crate) const TAG_WAITING: u8 = 0x02;
/// First byte of a `graves` row that reports a conflict.
pub(crate) const TAG_CONFLICT: u8 = 0x03;

/// First byte of a `replication` row about a remote peer.
pub(crate) const TAG_PEER: u8 = 0x03;
/// First byte of a `replication` row about an interest of a remote peer.
pub(crate) const TAG_INTEREST: u8 = 0x04;
/// First byte of a `replication` row about a document that a remote peer does not hold as it was sent.
pub(crate) const TAG_UNHELD: u8 = 0x05;
/// First byte of a `replication` row about what a remote peer was offered.
pub(crate) const TAG_OFFERED: u8 = 0x06;
/// First byte of a `replication` row about exceptions of a remote peer that are not known.
pub(crate) const TAG_UNPROVEN: u8 = 0x07;

/// Nobody's public key: what is seen under it are the claims that were answered with a new site id.
pub(crate) const NOBODY: [u8; 32] = [0; 32];

/// `graves` key of a grave: tag ‖ collection id (4) ‖ hash of the `_id` (16).
pub(crate) fn grave_key(collection: CollectionId, hash: &KeyHash) -> Vec<u8> {
    [&[TAG_GRAVE][..], &collection.0.to_be_bytes(), hash].concat()
}

/// Splits a key written by [`grave_key`].
pub(crate) fn split_grave_key(key: &[u8]) -> Option<(CollectionId, KeyHash)> {
    let mut reader = Reader(key.strip_prefix(&[TAG_GRAVE])?);
    let collection = CollectionId(reader.u32()?);
    Some((collection, reader.rest().try_into().ok()?))
}

/// What is left of a deleted document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grave {
    /// Of its newest change.
    pub sequence: Sequence,
    /// How old the database was when the grave was made, in milliseconds.
    pub age_ms: u64,
    /// Removed, ascending; at least one.
    pub births: Vec<Birth>,
}

impl Grave {
    /// `graves` value: sequence (8) ‖ age (8) ‖ each birth: time (8) ‖ site (8) ‖ run (8).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(16 + 24 * self.births.len());
        value.extend_from_slice(&self.sequence.0.to_be_bytes());
        value.extend_from_slice(&self.age_ms.to_be_bytes());
        for birth in &self.births {
            for number in [birth.stamp.time.0, birth.stamp.site.0, birth.run.0] {
                value.extend_from_slice(&number.to_be_bytes());
            }
        }
        value
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let (sequence, age_ms) = (Sequence(reader.u64()?), reader.u64()?);
        let mut births = Vec::with_capacity(reader.0.len() / 24);
        while reader.end().is_none() {
            let stamp = Stamp::new(Hlc(reader.u64()?), SiteId(reader.u64()?));
            births.push(Birth { stamp, run: RunId(reader.u64()?) });
        }
        (!births.is_empty() && births.is_sorted_by(|left, right| left < right)).then_some(Self {
            sequence,
            age_ms,
            births,
        })
    }
}

/// `graves` key of a tombstone that waits: tag ‖ age of the database when it arrived here, in milliseconds (8) ‖ its
/// sequence (8). No value.
pub(crate) fn waiting_key(age_ms: u64, sequence: Sequence) -> Vec<u8> {
    [&[TAG_WAITING][..], &age_ms.to_be_bytes(), &sequence.0.to_be_bytes()].concat()
}

/// Reads a key written by [`waiting_key`].
pub(crate) fn split_waiting_key(key: &[u8]) -> Option<(u64, Sequence)> {
    let mut reader = Reader(key.strip_prefix(&[TAG_WAITING])?);
    let row = (reader.u64()?, Sequence(reader.u64()?));
    reader.end()?;
    Some(row)
}

/// `graves` key of a conflict: tag ‖ whether something is set aside (1) ‖ sequence of the change that lost something (8).
/// The order of keys is the order in which they may be dropped. The value is an object in binary form, the row of
/// `system:conflicts` but for its `_id`.
pub(crate) fn conflict_key(set_aside: bool, number: u64) -> Vec<u8> {
    [&[TAG_CONFLICT, set_aside.into()][..], &number.to_be_bytes()].concat()
}

/// Reads a key written by [`conflict_key`].
pub(crate) fn split_conflict_key(key: &[u8]) -> Option<(bool, u64)> {
    let mut reader = Reader(key.strip_prefix(&[TAG_CONFLICT])?);
    let set_aside = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let number = reader.u64()?;
    reader.end()?;
    Some((set_aside, number))
}

/// What a remote peer last said of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerRow {
    /// The 8 bytes that stand for it in `changes`.
    pub origin: u64,
    pub site: SiteId,
    /// How often it has evicted documents.
    pub evictions: u64,
    /// What came from it up to here proves nothing any more.
    pub floor: Sequence,
    /// When the row was last of use, in milliseconds.
    pub used_ms: u64,
}

impl PeerRow {
    /// `replication` value: origin (8) ‖ site (8) ‖ evictions (8) ‖ floor (8) ‖ used (8).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = [self.origin, self.site.0, self.evictions, self.floor.0, self.used_ms];
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let row = Self {
            origin: reader.u64()?,
            site: SiteId(reader.u64()?),
            evictions: reader.u64()?,
            floor: Sequence(reader.u64()?),
            used_ms: reader.u64()?,
        };
        reader.end()?;
        Some(row)
    }
}

/// `replication` key about a remote peer: tag ‖ peer (32).
pub(crate) fn peer_key(peer: &[u8; 32]) -> Vec<u8> {
    [&[TAG_PEER][..], peer].concat()
}

/// How far a remote peer has acknowledged what an interest of its asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InterestRow {
    pub acknowledged: Sequence,
    /// When the row was last of use, in milliseconds.
    pub used_ms: u64,
    /// As the peer wrote it, normalised.
    pub query: String,
    /// A CBOR map; empty for none.
    pub arguments: Vec<u8>,
}

impl InterestRow {
    /// `replication` value: acknowledged (8) ‖ used (8) ‖ length of the query (4) ‖ query ‖ arguments.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(20 + self.query.len() + self.arguments.len());
        value.extend_from_slice(&self.acknowledged.0.to_be_bytes());
        value.extend_from_slice(&self.used_ms.to_be_bytes());
        value.extend_from_slice(&u32::try_from(self.query.len()).unwrap_or(0).to_be_bytes());
        value.extend_from_slice(self.query.as_bytes());
        value.extend_from_slice(&self.arguments);
        value
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let (acknowledged, used_ms) = (Sequence(reader.u64()?), reader.u64()?);
        let length = usize::try_from(reader.u32()?).ok()?;
        let (query, arguments) = reader.rest().split_at_checked(length)?;
        let query = std::str::from_utf8(query).ok()?.to_string();
        Some(Self { acknowledged, used_ms, query, arguments: arguments.to_vec() })
    }
}

/// `replication` key about an interest: tag ‖ peer (32) ‖ what stands for query and arguments (16).
pub(crate) fn interest_key(peer: &[u8; 32], selection: &[u8; 16]) -> Vec<u8> {
    [&[TAG_INTEREST][..], peer, selection].concat()
}

/// `replication` key of a document that a peer does not hold: tag ‖ peer (32) ‖ `documents` key; the value is the first
/// sequence (8) that it does not hold.
pub(crate) fn unheld_key(peer: &[u8; 32], document_key: &[u8]) -> Vec<u8> {
    [&[TAG_UNHELD][..], peer, document_key].concat()
}

/// `replication` key of how far a remote peer was offered what was taken from others: tag ‖ peer (32) ‖ collection; the value is a
/// local sequence (8).
pub(crate) fn offered_key(peer: &[u8; 32], collection: &str) -> Vec<u8> {
    [&[TAG_OFFERED][..], peer, collection.as_bytes()].concat()
}

/// `replication` key of the local sequence (8) up to which a remote peer may lack what it acknowledged: tag ‖ peer (32).
pub(crate) fn unproven_key(peer: &[u8; 32]) -> Vec<u8> {
    [&[TAG_UNPROVEN][..], peer].concat()
}

/// What the last sequence was when something of remote peers was forgotten that was evidence against them: whoever is met after
/// that may be one of those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// A peer, and with it how often it had evicted.
    pub peers: Sequence,
    /// A peer of which exceptions were known, or should have been.
    pub exceptions: Sequence,
}

impl Forgotten {
    /// `catalog` value: peers (8) ‖ exceptions (8).
    pub(crate) fn encode(self) -> Vec<u8> {
        [self.peers.0.to_be_bytes(), self.exceptions.0.to_be_bytes()].concat()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let forgotten = Self { peers: Sequence(reader.u64()?), exceptions: Sequence(reader.u64()?) };
        reader.end()?;
        Some(forgotten)
    }
}

/// Tag, peer and the rest of a `replication` key.
pub(crate) fn split_replication_key(key: &[u8]) -> Option<(u8, [u8; 32], &[u8])> {
    let (tag, rest) = key.split_first()?;
    let (peer, rest) = rest.split_first_chunk::<32>()?;
    Some((*tag, *peer, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn birth(time: u64) -> Birth {
        Birth { stamp: Stamp::new(Hlc(time), SiteId(2)), run: RunId(3) }
    }

    #[test]
    fn rows_read_back() {
        let grave = Grave { sequence: Sequence(9), age_ms: 4, births: vec![birth(1), birth(2)] };
        assert_eq!(Grave::decode(&grave.encode()), Some(grave.clone()));
        assert_eq!(grave.encode().len(), 16 + 2 * 24);
        let (collection, hash) = (CollectionId(7), [5; 16]);
        assert_eq!(split_grave_key(&grave_key(collection, &hash)), Some((collection, hash)));
        assert_eq!(split_waiting_key(&waiting_key(8, Sequence(9))), Some((8, Sequence(9))));
        for set_aside in [false, true] {
            assert_eq!(split_conflict_key(&conflict_key(set_aside, 8)), Some((set_aside, 8)));
        }
        assert!(conflict_key(false, u64::MAX) < conflict_key(true, 0), "they go first");
        let peer = PeerRow { origin: 1, site: SiteId(2), evictions: 3, floor: Sequence(4), used_ms: 5 };
        assert_eq!(PeerRow::decode(&peer.encode()), Some(peer));
        let interest = InterestRow {
            acknowledged: Sequence(1),
            used_ms: 2,
            query: "SELECT * FROM c".to_string(),
            arguments: vec![0xA0],
        };
        assert_eq!(InterestRow::decode(&interest.encode()), Some(interest));
        let forgotten = Forgotten { peers: Sequence(1), exceptions: Sequence(2) };
        assert_eq!(Forgotten::decode(&forgotten.encode()), Some(forgotten));
        assert_eq!(Forgotten::decode(&[0; 17]), None);
        assert_eq!(
            split_replication_key(&unheld_key(&[1; 32], b"k")),
            Some((TAG_UNHELD, [1; 32], &b"k"[..]))
        );
    }

    #[test]
    fn rows_that_nobody_wrote_are_refused() {
        let twice = Grave { sequence: Sequence(9), age_ms: 0, births: vec![birth(1), birth(1)] };
        assert_eq!(Grave::decode(&twice.encode()), None);
        assert_eq!(Grave::decode(&[0; 16]), None, "a grave without a birth");
        assert_eq!(Grave::decode(&[0; 39]), None);
        assert_eq!(split_grave_key(&[1, 0, 0, 0, 1, 5]), None);
        assert_eq!(split_waiting_key(&[2; 18]), None);
        assert_eq!(split_conflict_key(&[3, 2, 0, 0, 0, 0, 0, 0, 0, 1]), None);
        assert_eq!(PeerRow::decode(&[0; 41]), None);
        assert_eq!(InterestRow::decode(&[0xFF; 24]), None);
    }
}
