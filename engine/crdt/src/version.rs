//! Content versions: what a peer holds, compared by content.
//!
//! A document consists of *items*: its births, its entries, and the slots of its counters. The version is the sum of
//! the items' 128-bit hashes, so that it is kept up to date by subtracting what goes and adding what comes. A hash is
//! the first 16 bytes, little endian, of BLAKE3 over
//!
//! | item | bytes |
//! | --- | --- |
//! | birth | `00`, birth digest, `00` removed or `01` living |
//! | entry | `01`, birth digest, stamp, kind, `00` removed or `01` there, path length as u32, path, value |
//! | slot | `02`, birth digest, generation stamp, kind, slot, increments, decrements, stamp, path |
//! | payload of an unknown kind | `03`, birth digest, stamp, kind, path length as u32, path, payload |
//!
//! where *birth digest* is the first 16 bytes of BLAKE3 over the birth (it keeps most items within one block of the
//! hash), a birth is stamp and run, a stamp time and site, a slot run and beginning, all as 8-byte little endian.

use crate::{Birth, Kind, Path, Slot, Stamp, entry::Tally};

/// A digest of everything that is known of a document; equal for equal content, whatever its history. 0 if nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u128);

impl Version {
    /// Nothing is known.
    pub const NOTHING: Self = Self(0);

    pub(crate) fn add(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }

    pub(crate) fn subtract(&mut self, hash: u128) {
        self.0 = self.0.wrapping_sub(hash);
    }
}

pub(crate) type BirthDigest = [u8; 16];

fn hash_128(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

pub(crate) fn stamp_bytes(stamp: Stamp) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&stamp.time.0.to_le_bytes());
    bytes[8..].copy_from_slice(&stamp.site.0.to_le_bytes());
    bytes
}

pub(crate) fn birth_digest(birth: Birth) -> BirthDigest {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&stamp_bytes(birth.stamp));
    bytes[16..].copy_from_slice(&birth.run.0.to_le_bytes());
    hash_128(&bytes)
}

/// Hashes the items of one birth; holds the buffer they are put together in.
pub(crate) struct Hasher {
    digest: BirthDigest,
    buffer: Vec<u8>,
}

impl Hasher {
    pub(crate) fn new(birth: Birth) -> Self {
        Self { digest: birth_digest(birth), buffer: Vec::with_capacity(128) }
    }

    fn start(&mut self, item: u8) {
        self.buffer.clear();
        self.buffer.push(item);
        self.buffer.extend_from_slice(&self.digest);
    }

    fn finish(&self) -> u128 {
        u128::from_le_bytes(hash_128(&self.buffer))
    }

    fn path(&mut self, path: &[u8]) {
        // A path is at most `MAX_PATH_BYTES` long.
        self.buffer.extend_from_slice(&(path.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(path);
    }

    pub(crate) fn birth(&mut self, living: bool) -> u128 {
        self.start(0);
        self.buffer.push(living.into());
        self.finish()
    }

    /// `value` is None for what is removed, and empty for a map that is there.
    pub(crate) fn entry(&mut self, path: &[u8], kind: Kind, stamp: Stamp, value: Option<&[u8]>) -> u128 {
        self.start(1);
        self.buffer.extend_from_slice(&stamp_bytes(stamp));
        self.buffer.extend_from_slice(&[kind.code(), value.is_some().into()]);
        self.path(path);
        self.buffer.extend_from_slice(value.unwrap_or_default());
        self.finish()
    }

    pub(crate) fn slot(
        &mut self,
        path: &Path,
        kind: Kind,
        generation: Stamp,
        slot: Slot,
        tally: &Tally,
    ) -> u128 {
        self.start(2);
        self.buffer.extend_from_slice(&stamp_bytes(generation));
        self.buffer.push(kind.code());
        for number in [slot.run.0, slot.began.0, tally.increments, tally.decrements] {
            self.buffer.extend_from_slice(&number.to_le_bytes());
        }
        self.buffer.extend_from_slice(&stamp_bytes(tally.stamp));
        self.buffer.extend_from_slice(path.bytes());
        self.finish()
    }

    pub(crate) fn payload(&mut self, path: &Path, kind: Kind, stamp: Stamp, payload: &[u8]) -> u128 {
        self.start(3);
        self.buffer.extend_from_slice(&stamp_bytes(stamp));
        self.buffer.push(kind.code());
        self.path(path.bytes());
        self.buffer.extend_from_slice(payload);
        self.finish()
    }
}
