//! Bytes across the boundary: slices go in, buffers come out.

use std::{mem::ManuallyDrop, ops::Deref, ptr, slice};

use dittolive_ditto_sys as sys;

use super::error::check;
use crate::error::{CoreApiErrorKind, DittoError};

/// `bytes` for the duration of a call.
pub(super) fn borrow(bytes: &[u8]) -> sys::dittoffi_slice_t {
    sys::dittoffi_slice_t { ptr: bytes.as_ptr(), len: bytes.len() }
}

/// The bytes of a slice that the library lends.
///
/// # Safety
/// The slice must stay valid for `'a`.
pub(super) unsafe fn borrowed<'a>(slice: sys::dittoffi_slice_t) -> &'a [u8] {
    if slice.ptr.is_null() || slice.len == 0 {
        return &[];
    }
    // SAFETY: not NULL, and the caller vouches for the lifetime; the library for pointer and length.
    unsafe { slice::from_raw_parts(slice.ptr, slice.len) }
}

/// Bytes that the library allocated; given back on drop.
pub(crate) struct Buffer(sys::dittoffi_buffer_t);

// SAFETY: the buffer is plain memory with one owner, and `dittoffi_buffer_free` may be called on any thread.
unsafe impl Send for Buffer {}
// SAFETY: a shared buffer is only read.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Runs a function of the library that fills in a buffer.
    pub(super) fn from_call(
        call: impl FnOnce(*mut sys::dittoffi_buffer_t) -> *mut sys::dittoffi_error_t,
    ) -> Result<Self, DittoError> {
        let mut buffer = Self(sys::dittoffi_buffer_t { ptr: ptr::null_mut(), len: 0, capacity: 0 });
        check(call(&mut buffer.0))?;
        Ok(buffer)
    }

    /// The content, which must be text.
    pub(crate) fn into_text(self) -> Result<String, DittoError> {
        String::from_utf8(self.to_vec()).map_err(|error| {
            DittoError::core(
                CoreApiErrorKind::Internal,
                format!("text from the library is not UTF-8: {error}"),
            )
        })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let sys::dittoffi_buffer_t { ptr, len, .. } = self.0;
        // SAFETY: the library filled the buffer in, and it lives until `self` is dropped.
        unsafe { borrowed(sys::dittoffi_slice_t { ptr: ptr.cast_const(), len }) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Self(buffer) = self;
        let buffer = ManuallyDrop::new(sys::dittoffi_buffer_t {
            ptr: buffer.ptr,
            len: buffer.len,
            capacity: buffer.capacity,
        });
        // SAFETY: ours, and nobody uses it after `drop`. A buffer that was never filled in has a NULL `ptr`.
        unsafe { sys::dittoffi_buffer_free(ManuallyDrop::into_inner(buffer)) };
    }
}
