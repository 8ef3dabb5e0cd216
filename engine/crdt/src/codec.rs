//! The small pieces that deltas and records are made of: varints, stamps, births, lengths.
//!
//! A varint is LEB128 of at most 10 bytes, in its shortest form.

use crate::{Birth, Hlc, RunId, SiteId, Stamp};

/// Bytes that are not a delta or not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed at byte {position}: {reason}")]
pub struct DecodeError {
    /// Offset in the input.
    pub position: usize,
    /// What was found where what else was expected.
    pub reason: &'static str,
    /// They may be well-formed, but are more than anybody takes: see [`Size::check`](crate::Size::check).
    pub too_large: bool,
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_stamp(out: &mut Vec<u8>, stamp: Stamp) {
    out.extend_from_slice(&stamp.time.0.to_le_bytes());
    out.extend_from_slice(&stamp.site.0.to_le_bytes());
}

pub(crate) fn put_birth(out: &mut Vec<u8>, birth: Birth) {
    put_stamp(out, birth.stamp);
    out.extend_from_slice(&birth.run.0.to_le_bytes());
}

/// Reads from the front of hostile bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn fail<T>(&self, reason: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError { position: self.position, reason, too_large: false })
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left() == 0
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest().get(..length) {
            Some(taken) => {
                self.position += length;
                Ok(taken)
            }
            None => self.fail("the input is cut off"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, DecodeError> {
        self.array().map(u128::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 {
                    self.fail("a varint is not the shortest")
                } else {
                    Ok(number)
                };
            }
        }
        self.fail("a varint is beyond 64 bits")
    }

    pub(crate) fn length(&mut self) -> Result<usize, DecodeError> {
        let length = self.varint()?;
        usize::try_from(length).or_else(|_| self.fail("a length is beyond the address space"))
    }

    /// A number of things of at least `smallest` bytes each; refused if they cannot fit what is left.
    pub(crate) fn count(&mut self, smallest: usize) -> Result<usize, DecodeError> {
        let count = self.length()?;
        if count > self.left() / smallest { self.fail("a count is beyond the input") } else { Ok(count) }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        self.take(length)
    }

    pub(crate) fn stamp(&mut self) -> Result<Stamp, DecodeError> {
        let stamp = Stamp::new(Hlc(self.u64()?), SiteId(self.u64()?));
        if stamp.time > Hlc::MAX { self.fail("a stamp is past the year 6000") } else { Ok(stamp) }
    }

    pub(crate) fn birth(&mut self) -> Result<Birth, DecodeError> {
        Ok(Birth { stamp: self.stamp()?, run: RunId(self.u64()?) })
    }
}
