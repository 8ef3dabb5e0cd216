//! Bytes across the boundary: borrowed slices in, owned buffers out.

use std::{mem::ManuallyDrop, ptr, slice};

use crate::{
    error::{Error, ErrorCode},
    panic,
};

/// Bytes that belong to somebody else, borrowed for as long as the function says; as an argument, for the call.
/// `ptr` may be `NULL` when `len` is 0. Text is UTF-8 without a terminating zero.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// First byte.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
}

/// Bytes that the library allocated and the caller owns. Release them with `dittoffi_buffer_free`, once, and with
/// nothing else. Text is UTF-8 without a terminating zero.
#[repr(C)]
#[derive(Debug)]
pub struct Buffer {
    /// First byte.
    pub ptr: *mut u8,
    /// Number of bytes.
    pub len: usize,
    /// What was allocated; of use to the library only.
    pub capacity: usize,
}

impl Slice {
    /// A slice of bytes that live as long as the library is loaded.
    pub(crate) const fn from_static(bytes: &'static [u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// A slice of bytes that the owner of a handle keeps alive.
    pub(crate) fn borrowed(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    pub(crate) const EMPTY: Self = Self { ptr: ptr::null(), len: 0 };

    /// The bytes.
    ///
    /// # Safety
    /// `ptr` must be `NULL` or point to `len` readable bytes that nobody writes to during `'a`.
    pub(crate) unsafe fn bytes<'a>(self, name: &str) -> Result<&'a [u8], Error> {
        if self.len == 0 {
            return Ok(&[]);
        }
        if self.ptr.is_null() {
            return Err(Error::new(
                ErrorCode::InvalidInput,
                format!("{name} is NULL but has a length of {} bytes", self.len),
            ));
        }
        if isize::try_from(self.len).is_err() {
            return Err(Error::new(
                ErrorCode::InvalidInput,
                format!("{name} has an impossible length of {} bytes", self.len),
            ));
        }
        // SAFETY: not NULL and not longer than isize::MAX (checked above); readable and unchanging by this function's
        // contract. Alignment of u8 is 1.
        Ok(unsafe { slice::from_raw_parts(self.ptr, self.len) })
    }

    /// The text.
    ///
    /// # Safety
    /// As for [`Slice::bytes`].
    pub(crate) unsafe fn text<'a>(self, name: &str) -> Result<&'a str, Error> {
        // SAFETY: the same contract.
        let bytes = unsafe { self.bytes(name) }?;
        std::str::from_utf8(bytes)
            .map_err(|error| Error::new(ErrorCode::InvalidInput, format!("{name} is not UTF-8: {error}")))
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        let mut bytes = ManuallyDrop::new(bytes);
        Self { ptr: bytes.as_mut_ptr(), len: bytes.len(), capacity: bytes.capacity() }
    }
}

impl From<String> for Buffer {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

/// Frees a buffer that a function of this library filled in. A buffer whose `ptr` is `NULL` is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_buffer_free(buffer: Buffer) {
    panic::contain_or((), || {
        if !buffer.ptr.is_null() {
            // SAFETY: the three fields came from a Vec<u8> (`From<Vec<u8>>` is the only constructor that yields a
            // pointer that is not NULL) and the caller gives the buffer back once.
            drop(unsafe { Vec::from_raw_parts(buffer.ptr, buffer.len, buffer.capacity) });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_slices_are_errors() {
        let bytes = |ptr, len| {
            // SAFETY: none of these is read: NULL, empty, or longer than any object.
            unsafe { Slice { ptr, len }.bytes("the query") }
        };
        assert_eq!(bytes(ptr::null(), 0).unwrap(), b"");
        assert_eq!(bytes(ptr::dangling(), 0).unwrap(), b"");
        assert!(bytes(ptr::null(), 1).unwrap_err().message().contains("the query is NULL"));
        assert!(bytes(ptr::dangling(), usize::MAX).unwrap_err().message().contains("impossible"));
        // SAFETY: the bytes are static.
        let text = unsafe { Slice::from_static(b"a\xff").text("the query") };
        assert!(text.unwrap_err().message().contains("not UTF-8"));
    }

    #[test]
    fn a_buffer_goes_back_to_where_it_came_from() {
        for bytes in [Vec::new(), vec![1, 2, 3], Vec::with_capacity(100)] {
            let length = bytes.len();
            let buffer = Buffer::from(bytes);
            assert_eq!(buffer.len, length);
            // SAFETY: it came from a Vec and is freed once.
            unsafe { dittoffi_buffer_free(buffer) };
        }
        // SAFETY: NULL is allowed.
        unsafe { dittoffi_buffer_free(Buffer { ptr: ptr::null_mut(), len: 7, capacity: 7 }) };
    }
}
