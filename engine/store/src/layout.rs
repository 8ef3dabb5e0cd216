//! What lies where: the keys and the small values of every keyspace, in one place.
//!
//! `docs/file-format.md` describes the same bytes for people; the two change together, and with them
//! [`FORMAT_VERSION`]. All integers are big-endian, so that the order of keys is the order of numbers.

use std::sync::Arc;

use ditto_crdt::{Hlc, RunId, Sequence, SiteId};

use crate::index::{MAX_INDEX_KEYS, MAX_INDEXED_BYTES};

/// The format that this build writes, and the newest that it reads; it reads all before it, back to 1.
///
/// | format | what is new |
/// | --- | --- |
/// | 2 | what was seen of a run may say how much was durable |
pub const FORMAT_VERSION: u32 = 2;

/// First bytes of the `format` row: tells a database of ours from somebody else's.
pub(crate) const FORMAT_MAGIC: &[u8; 5] = b"ditto";

/// Catalog row: [`FORMAT_MAGIC`] ‖ version (u32).
pub(crate) const CATALOG_FORMAT: &[u8] = b"format";
/// Catalog row: the database id as UTF-8.
pub(crate) const CATALOG_DATABASE: &[u8] = b"database";
/// Catalog row: the site id (u64).
pub(crate) const CATALOG_SITE: &[u8] = b"site";
/// Catalog row: where the storage lay when the site id was chosen (16 bytes, see [`ditto_storage::Place`]).
pub(crate) const CATALOG_PLACE: &[u8] = b"place";

/// Catalog row: how old the database was at its newest opening or housekeeping (16 bytes, see
/// [`crate::lifecycle::age::Moment`]).
pub(crate) const CATALOG_AGE: &[u8] = b"age";

/// Catalog row: when the last housekeeping was done, in milliseconds (u64).
pub(crate) const CATALOG_REAPED: &[u8] = b"reaped";

/// Catalog row: what the housekeeping forgot of remote peers (16 bytes, see [`crate::lifecycle::rows::Forgotten`]).
pub(crate) const CATALOG_FORGOTTEN: &[u8] = b"forgotten";

/// Catalog row: which collections do not go to everybody (see [`crate::scopes`]).
pub(crate) const CATALOG_SCOPES: &[u8] = b"scopes";

/// First byte of a catalog row that names a collection: tag ‖ name → id (u32).
pub(crate) const TAG_COLLECTION: u8 = 0x01;
/// First byte of a catalog row that counts: tag ‖ collection id → [`CollectionState`].
pub(crate) const TAG_STATE: u8 = 0x02;
/// First byte of a catalog row that records a run: tag ‖ number (u32) → [`encode_run`].
pub(crate) const TAG_RUN: u8 = 0x03;

/// First byte of a catalog row that defines an index: tag ‖ index id (u32) → [`crate::index::Definition`].
pub(crate) const TAG_INDEX: u8 = 0x04;
/// First byte of a catalog row that names a collection that was asked for before it was there: tag ‖ name → nothing.
pub(crate) const TAG_AWAITED: u8 = 0x05;

/// First byte of a replication row with a checkpoint.
pub(crate) const TAG_CHECKPOINT: u8 = 0x01;
/// First byte of a replication row with the highest sequence seen of a run of a remote peer.
pub(crate) const TAG_SEEN: u8 = 0x02;

/// Longest encoded `_id`, in bytes. What replication carries, and what leaves room in the key of an index row (at most
/// 65,535 bytes) for the values of all fields.
pub const MAX_ID_BYTES: usize = 16 << 10;

const _: () = assert!(4 + MAX_INDEX_KEYS * MAX_INDEXED_BYTES + MAX_ID_BYTES <= ditto_storage::MAX_KEY_BYTES);

/// Longest collection name, in bytes of UTF-8.
pub const MAX_COLLECTION_NAME_BYTES: usize = 1024;

/// Number of a collection in this store; means nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CollectionId(pub u32);

/// Number of an index in this store; means nothing elsewhere. Never used twice while a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IndexId(pub u32);

/// Reads big-endian numbers off the front of a value; every method yields `None` when bytes run out.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        let (head, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*head))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*head))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*head))
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// `Some` only when nothing is left: a longer row was written by a format that this build does not know.
    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// `documents` key: collection id (4) ‖ encoded `_id`.
pub(crate) fn document_key(collection: CollectionId, id: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + id.len());
    key.extend_from_slice(&collection.0.to_be_bytes());
    key.extend_from_slice(id);
    key
}

/// The prefix that all documents of a collection share.
pub(crate) fn collection_prefix(collection: CollectionId) -> [u8; 4] {
    collection.0.to_be_bytes()
}

/// Splits a `documents` key.
pub(crate) fn split_document_key(key: &[u8]) -> Option<(CollectionId, &[u8])> {
    let (head, id) = key.split_first_chunk::<4>()?;
    Some((CollectionId(u32::from_be_bytes(*head)), id))
}

/// The encoded `_id` in a `documents` key; empty if it is none.
pub(crate) fn id_of_document_key(key: &[u8]) -> &[u8] {
    split_document_key(key).map_or(&[], |(_, id)| id)
}

/// Key of `changes` and `commits`: the sequence (8).
pub(crate) fn sequence_key(sequence: Sequence) -> [u8; 8] {
    sequence.0.to_be_bytes()
}

/// Reads a key written by [`sequence_key`].
pub(crate) fn decode_sequence_key(key: &[u8]) -> Option<Sequence> {
    Some(Sequence(u64::from_be_bytes(*key.first_chunk::<8>().filter(|_| key.len() == 8)?)))
}

/// Set in the flags of a `changes` row that carries an origin.
const CHANGE_HAS_ORIGIN: u8 = 0x01;

/// `changes` value: flags (1) ‖ origin (8, if flagged) ‖ `documents` key.
pub(crate) fn encode_change(document_key: &[u8], origin: Option<u64>) -> Vec<u8> {
    let mut value = Vec::with_capacity(9 + document_key.len());
    match origin {
        Some(origin) => {
            value.push(CHANGE_HAS_ORIGIN);
            value.extend_from_slice(&origin.to_be_bytes());
        }
        None => value.push(0),
    }
    value.extend_from_slice(document_key);
    value
}

/// Reads a value written by [`encode_change`]: the `documents` key and the origin.
pub(crate) fn decode_change(value: &[u8]) -> Option<(&[u8], Option<u64>)> {
    let mut reader = Reader(value);
    let origin = match reader.u8()? {
        0 => None,
        CHANGE_HAS_ORIGIN => Some(reader.u64()?),
        _ => return None,
    };
    Some((reader.rest(), origin))
}

/// Catalog key of a collection's name.
pub(crate) fn collection_name_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(TAG_COLLECTION);
    key.extend_from_slice(name.as_bytes());
    key
}

/// Catalog key of a collection that was asked for before it was there.
pub(crate) fn awaited_key(name: &str) -> Vec<u8> {
    [&[TAG_AWAITED][..], name.as_bytes()].concat()
}

/// Catalog key of a collection's counters.
pub(crate) fn state_key(collection: CollectionId) -> [u8; 5] {
    let [a, b, c, d] = collection.0.to_be_bytes();
    [TAG_STATE, a, b, c, d]
}

/// Catalog key of the definition of an index.
pub(crate) fn index_definition_key(index: IndexId) -> [u8; 5] {
    let [a, b, c, d] = index.0.to_be_bytes();
    [TAG_INDEX, a, b, c, d]
}

/// The prefix that all rows of an index share.
pub(crate) fn index_prefix(index: IndexId) -> [u8; 4] {
    index.0.to_be_bytes()
}

/// Splits an `indexes` key.
pub(crate) fn split_index_key(key: &[u8]) -> Option<(IndexId, &[u8])> {
    let (head, rest) = key.split_first_chunk::<4>()?;
    Some((IndexId(u32::from_be_bytes(*head)), rest))
}

/// Catalog key of the `number`-th run.
pub(crate) fn run_key(number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [TAG_RUN, a, b, c, d]
}

/// Catalog value of a run: run id (8) ‖ site id (8) ‖ first sequence (8).
pub(crate) fn encode_run(run: RunId, site: SiteId, first: Sequence) -> [u8; 24] {
    let mut value = [0; 24];
    let (head, tail) = value.split_at_mut(8);
    head.copy_from_slice(&run.0.to_be_bytes());
    let (middle, tail) = tail.split_at_mut(8);
    middle.copy_from_slice(&site.0.to_be_bytes());
    tail.copy_from_slice(&first.0.to_be_bytes());
    value
}

/// Reads a value written by [`encode_run`].
pub(crate) fn decode_run(value: &[u8]) -> Option<(RunId, SiteId, Sequence)> {
    let mut reader = Reader(value);
    let run = (RunId(reader.u64()?), SiteId(reader.u64()?), Sequence(reader.u64()?));
    reader.end()?;
    Some(run)
}

/// What the catalog counts for a collection, rewritten by every commit that touches it.
///
/// The last two make a reopened store go on where it stopped even when the newest `changes` row has
/// been evicted: the greatest of all collections counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CollectionState {
    /// Living documents.
    pub documents: u64,
    /// Evictions so far; part of the name of every checkpoint.
    pub evictions: u64,
    /// Last sequence of the store when this row was written.
    pub last: Sequence,
    /// The hybrid clock when this row was written.
    pub clock: Hlc,
    /// Deleted documents of which only the grave is left.
    pub graves: u64,
    /// Remote peers have sent documents of it, or asked for some.
    pub shared: bool,
}

impl CollectionState {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = [self.documents, self.evictions, self.last.0, self.clock.0, self.graves];
        let mut value: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        value.push(self.shared.into());
        value
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let state = Self {
            documents: reader.u64()?,
            evictions: reader.u64()?,
            last: Sequence(reader.u64()?),
            clock: Hlc(reader.u64()?),
            graves: reader.u64()?,
            shared: match reader.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            },
        };
        reader.end()?;
        Some(state)
    }
}

/// `replication` prefix of the checkpoints of a remote peer: tag ‖ remote peer (32).
pub(crate) fn checkpoint_prefix(remote: &[u8; 32]) -> Vec<u8> {
    [&[TAG_CHECKPOINT][..], remote].concat()
}

/// `replication` key of a checkpoint: [`checkpoint_prefix`] ‖ effective interest (16).
pub(crate) fn checkpoint_key(remote: &[u8; 32], interest: &[u8; 16]) -> Vec<u8> {
    [&checkpoint_prefix(remote)[..], interest].concat()
}

/// `replication` value of a checkpoint: run id (8) ‖ sequence (8) ‖ when it was last of use, in milliseconds (8).
pub(crate) fn encode_checkpoint(run: RunId, sequence: Sequence, used_ms: u64) -> Vec<u8> {
    [run.0.to_be_bytes(), sequence.0.to_be_bytes(), used_ms.to_be_bytes()].concat()
}

/// Reads a value written by [`encode_checkpoint`].
pub(crate) fn decode_checkpoint(value: &[u8]) -> Option<(RunId, Sequence)> {
    let mut reader = Reader(value);
    let checkpoint = (RunId(reader.u64()?), Sequence(reader.u64()?));
    reader.u64()?;
    reader.end()?;
    Some(checkpoint)
}

/// `replication` prefix of what was seen of a remote peer's runs: tag ‖ remote peer (32).
pub(crate) fn seen_prefix(remote: &[u8; 32]) -> Vec<u8> {
    [&[TAG_SEEN][..], remote].concat()
}

/// `replication` value of what was seen of one run: sequence (8) ‖ how much was durable there, if that is more (8; since format
/// 2) ‖ when that was, in milliseconds (8).
pub(crate) fn encode_seen(sequence: Sequence, durable: Sequence, used_ms: u64) -> Vec<u8> {
    let mut value = sequence.0.to_be_bytes().to_vec();
    if durable > sequence {
        value.extend(durable.0.to_be_bytes());
    }
    value.extend(used_ms.to_be_bytes());
    value
}

/// Reads a value written by [`encode_seen`]: the sequence, and what was durable or 0.
pub(crate) fn decode_seen(value: &[u8]) -> Option<(Sequence, Sequence)> {
    let mut reader = Reader(value);
    let sequence = Sequence(reader.u64()?);
    let durable = if value.len() > 16 { Sequence(reader.u64()?) } else { Sequence::ZERO };
    reader.u64()?;
    reader.end()?;
    Some((sequence, durable))
}

/// `replication` key of what was seen of one run: [`seen_prefix`] ‖ run id (8); the value is [`encode_seen`].
pub(crate) fn seen_key(remote: &[u8; 32], run: RunId) -> Vec<u8> {
    [&[TAG_SEEN][..], remote, &run.0.to_be_bytes()].concat()
}

/// Names a document: its collection and the [`ditto_value::key`] encoding of its `_id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    /// Name of the collection.
    pub collection: Arc<str>,
    /// Encoded `_id`; or, of a buried document, `00` and the first 16 bytes of the BLAKE3 hash of that.
    pub id: Arc<[u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_row_keeps_its_key_and_origin() {
        let key = document_key(CollectionId(7), b"id");
        for origin in [None, Some(0), Some(u64::MAX)] {
            assert_eq!(decode_change(&encode_change(&key, origin)), Some((&key[..], origin)));
        }
    }

    #[test]
    fn rows_with_bytes_too_few_or_too_many_are_refused() {
        let state = CollectionState {
            documents: 1,
            evictions: 2,
            last: Sequence(3),
            clock: Hlc(4),
            graves: 5,
            shared: true,
        };
        let bytes = state.encode();
        assert_eq!(CollectionState::decode(&bytes), Some(state));
        assert_eq!(CollectionState::decode(&bytes[..40]), None);
        assert_eq!(CollectionState::decode(&[&bytes[..], &[0]].concat()), None);
        let run = encode_run(RunId(1), SiteId(2), Sequence(3));
        assert_eq!(decode_run(&run), Some((RunId(1), SiteId(2), Sequence(3))));
        assert_eq!(decode_run(&run[..23]), None);
        assert_eq!(decode_change(&[2, 0]), None);
        assert_eq!(decode_sequence_key(&[0; 9]), None);
    }

    #[test]
    fn what_was_seen_ends_with_when_that_was() {
        for (durable, kept) in [(Sequence(9), Sequence(9)), (Sequence(7), Sequence::ZERO)] {
            let value = encode_seen(Sequence(7), durable, 30);
            assert_eq!(decode_seen(&value), Some((Sequence(7), kept)));
            assert_eq!(value.last_chunk(), Some(&30_u64.to_be_bytes()), "by this it is reaped");
            assert_eq!(decode_seen(&value[..value.len() - 1]), None);
            assert_eq!(decode_seen(&[&value[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn documents_of_a_collection_share_its_prefix() {
        let collection = CollectionId(0x00FF_FFFF);
        let key = document_key(collection, &[0xFF; 10]);
        assert!(key.starts_with(&collection_prefix(collection)));
        assert_eq!(split_document_key(&key), Some((collection, &[0xFF; 10][..])));
    }
}
