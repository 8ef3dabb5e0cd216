//! What the directory of a peer holds.

use std::{
    ffi::c_void,
    ptr::NonNull,
    sync::{Mutex, PoisonError},
};

use dittolive_ditto_sys as sys;

use super::{
    bytes::{self, Buffer},
    peer::{Peer, handle},
    trampoline::{self, contain},
};
use crate::error::DittoError;

/// A handle to somebody who watches a directory, until the handle is dropped.
pub(crate) struct DiskUsageObserver(NonNull<sys::dittoffi_disk_usage_observer_t>);

// SAFETY: handles may be used and freed on any thread, several at once.
unsafe impl Send for DiskUsageObserver {}
// SAFETY: see above.
unsafe impl Sync for DiskUsageObserver {}

impl Drop for DiskUsageObserver {
    fn drop(&mut self) {
        // SAFETY: our handle, given up here.
        unsafe { sys::dittoffi_disk_usage_observer_free(self.0.as_ptr()) };
    }
}

/// What is called with each tree, as JSON. Never twice at once, which the lock makes our own guarantee.
type Handler = Mutex<Box<dyn FnMut(&[u8]) + Send>>;

impl Peer {
    /// The tree of files, as JSON.
    pub(crate) fn disk_usage(&self) -> Result<Buffer, DittoError> {
        // SAFETY: a live handle; `out` is a place for a buffer.
        Buffer::from_call(|out| unsafe { sys::dittoffi_peer_disk_usage(self.as_ptr(), out) })
    }

    pub(crate) fn observe_disk_usage(
        &self,
        handler: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<DiskUsageObserver, DittoError> {
        let handler: Handler = Mutex::new(Box::new(handler));
        let callback = sys::dittoffi_disk_usage_callback_t {
            context: trampoline::context(handler),
            call: Some(call),
            release: Some(trampoline::release::<Handler>),
        };
        // SAFETY: a live handle, the callback is taken over also on failure; `out` is a place for a handle.
        handle(
            |observer| NonNull::new(observer).map(DiskUsageObserver),
            |out| unsafe { sys::dittoffi_peer_observe_disk_usage(self.as_ptr(), callback, out) },
        )
    }
}

/// # Safety
/// Called with the context of [`Peer::observe_disk_usage`] before its release; the text is valid for the call.
unsafe extern "C" fn call(context: *mut c_void, usage: sys::dittoffi_slice_t) {
    // SAFETY: made by `observe_disk_usage` and not yet released; the library lends the text for the call.
    let (handler, usage) = unsafe { (&*context.cast::<Handler>(), bytes::borrowed(usage)) };
    contain(|| handler.lock().unwrap_or_else(PoisonError::into_inner)(usage));
}
