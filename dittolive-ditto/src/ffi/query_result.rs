//! Results of statements.

use std::{num::NonZeroU64, ptr::NonNull};

use dittolive_ditto_sys as sys;

use super::bytes::Buffer;
use crate::error::DittoError;

/// A handle to an immutable result.
pub(crate) struct QueryResult(NonNull<sys::dittoffi_query_result_t>);

// SAFETY: handles may be used and freed on any thread, and a result is immutable.
unsafe impl Send for QueryResult {}
// SAFETY: see above.
unsafe impl Sync for QueryResult {}

impl QueryResult {
    /// Takes over a handle; `None` for NULL.
    pub(super) fn from_raw(result: *mut sys::dittoffi_query_result_t) -> Option<Self> {
        NonNull::new(result).map(Self)
    }

    pub(crate) fn item_count(&self) -> usize {
        // SAFETY: a live handle.
        unsafe { sys::dittoffi_query_result_item_count(self.0.as_ptr()) }
    }

    pub(crate) fn item_cbor(&self, index: usize) -> Result<Buffer, DittoError> {
        // SAFETY: a live handle; `out` is a place for a buffer.
        Buffer::from_call(|out| unsafe { sys::dittoffi_query_result_item_cbor(self.0.as_ptr(), index, out) })
    }

    pub(crate) fn item_json(&self, index: usize) -> Result<Buffer, DittoError> {
        // SAFETY: a live handle; `out` is a place for a buffer.
        Buffer::from_call(|out| unsafe { sys::dittoffi_query_result_item_json(self.0.as_ptr(), index, out) })
    }

    pub(crate) fn mutated_ids_cbor(&self) -> Result<Buffer, DittoError> {
        // SAFETY: a live handle; `out` is a place for a buffer.
        Buffer::from_call(|out| unsafe { sys::dittoffi_query_result_mutated_ids_cbor(self.0.as_ptr(), out) })
    }

    pub(crate) fn commit_id(&self) -> Option<NonZeroU64> {
        // SAFETY: a live handle.
        NonZeroU64::new(unsafe { sys::dittoffi_query_result_commit_id(self.0.as_ptr()) })
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: our handle, given up here.
        unsafe { sys::dittoffi_query_result_free(self.0.as_ptr()) };
    }
}
