//! The hashes of what a document consists of: its births, its entries, and the slots of its counters. Two copies of a
//! document are compared by them part by part, see [`crate::Document::entry_hashes`].
//!
//! A hash is the first 16 bytes, little endian, of BLAKE3 over
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

use crate::codec::{put_birth, put_stamp};
use crate::entry::Tally;
use crate::{Birth, Kind, Path, Slot, Stamp};

fn hash_128(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

/// Hashes the items of one birth; holds the buffer they are put together in.
pub(crate) struct Hasher {
    birth_digest: [u8; 16],
    buffer: Vec<u8>,
}

impl Hasher {
    pub(crate) fn new(birth: Birth) -> Self {
        let mut buffer = Vec::with_capacity(128);
        put_birth(&mut buffer, birth);
        Self { birth_digest: hash_128(&buffer), buffer }
    }

    fn start(&mut self, item: u8) {
        self.buffer.clear();
        self.buffer.push(item);
        self.buffer.extend_from_slice(&self.birth_digest);
    }

    fn finish(&self) -> u128 {
        u128::from_le_bytes(hash_128(&self.buffer))
    }

    fn path(&mut self, path: &Path) {
        // A path is at most `MAX_PATH_BYTES` long.
        self.buffer.extend_from_slice(&(path.bytes().len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(path.bytes());
    }

    pub(crate) fn birth(&mut self, living: bool) -> u128 {
        self.start(0);
        self.buffer.push(living.into());
        self.finish()
    }

    /// `value` is None for what is removed, and empty for a map that is there.
    pub(crate) fn entry(&mut self, path: &Path, kind: Kind, stamp: Stamp, value: Option<&[u8]>) -> u128 {
        self.start(1);
        put_stamp(&mut self.buffer, stamp);
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
        put_stamp(&mut self.buffer, generation);
        self.buffer.push(kind.code());
        for number in [slot.run.0, slot.began.0, tally.increments, tally.decrements] {
            self.buffer.extend_from_slice(&number.to_le_bytes());
        }
        put_stamp(&mut self.buffer, tally.stamp);
        self.buffer.extend_from_slice(path.bytes());
        self.finish()
    }

    pub(crate) fn payload(&mut self, path: &Path, kind: Kind, stamp: Stamp, payload: &[u8]) -> u128 {
        self.start(3);
        put_stamp(&mut self.buffer, stamp);
        self.buffer.push(kind.code());
        self.path(path);
        self.buffer.extend_from_slice(payload);
        self.finish()
    }
}
