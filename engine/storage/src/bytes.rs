//! Shared, immutable bytes.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

/// An immutable byte string that is cheap to clone.
///
/// Up to 20 bytes are stored in place; longer ones are shared by reference count. What a read returns may be a view
/// of a cached block, which stays in memory for as long as the view does: copy ([`slice::to_vec`]) what is to be kept
/// for long.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(fjall::Slice);

impl Bytes {
    /// The empty string; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(fjall::Slice::empty())
    }

    pub(crate) fn into_slice(self) -> fjall::Slice {
        self.0
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(bytes: &[u8; N]) -> Self {
        Self(bytes.as_slice().into())
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes.as_slice().into())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<fjall::Slice> for Bytes {
    fn from(slice: fjall::Slice) -> Self {
        Self(slice)
    }
}

impl PartialEq<[u8]> for Bytes {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Bytes {
    fn eq(&self, other: &&[u8; N]) -> bool {
        **self == other[..]
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b\"{}\"", self.escape_ascii())
    }
}
