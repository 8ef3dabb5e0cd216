//! Long work on the database, and somebody who watches it.

use std::{
    any::Any,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    ptr,
};

use dittolive_ditto_sys as sys;

use super::{
    bytes::{self, Buffer},
    peer::{Peer, path_to_bytes},
};
use crate::error::DittoError;

/// Gets how much is done and how much there is to do in all; answers whether to go on.
pub(crate) type OnProgress<'a> = dyn FnMut(u64, u64) -> bool + 'a;

impl Peer {
    /// What was found, as JSON.
    pub(crate) fn verify(&self, on_progress: &mut OnProgress<'_>) -> Result<Buffer, DittoError> {
        // SAFETY: a live handle, a callback that lives as long as the call; `out` is a place for a buffer.
        watched(on_progress, |callback, out| unsafe {
            sys::dittoffi_peer_verify(self.as_ptr(), callback, out)
        })
    }

    /// What was copied, as JSON.
    pub(crate) fn backup(
        &self,
        directory: &Path,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Buffer, DittoError> {
        let directory = path_to_bytes(directory)?;
        // SAFETY: a live handle, a slice and a callback that live as long as the call; `out` is a place for a buffer.
        watched(on_progress, |callback, out| unsafe {
            sys::dittoffi_peer_backup(self.as_ptr(), bytes::borrow(directory), callback, out)
        })
    }

    /// What it came to, as JSON.
    pub(crate) fn compact(&self, on_progress: &mut OnProgress<'_>) -> Result<Buffer, DittoError> {
        // SAFETY: a live handle, a callback that lives as long as the call; `out` is a place for a buffer.
        watched(on_progress, |callback, out| unsafe {
            sys::dittoffi_peer_compact(self.as_ptr(), callback, out)
        })
    }

    /// Statistics of the collections, as JSON.
    pub(crate) fn collections(&self) -> Result<Buffer, DittoError> {
        // SAFETY: a live handle; `out` is a place for a buffer.
        Buffer::from_call(|out| unsafe { sys::dittoffi_peer_collections(self.as_ptr(), out) })
    }
}

/// The context of a progress callback. It may borrow: the library is done with it when the function that took it returns.
struct Watcher<'a> {
    on_progress: &'a mut OnProgress<'a>,
    /// Of the application, to go on when the library's frames are gone.
    panic: Option<Box<dyn Any + Send>>,
}

/// Runs `work` with a callback that stands for `on_progress`. A panic of the application ends the work, and goes on here.
fn watched<'a>(
    on_progress: &'a mut OnProgress<'a>,
    work: impl FnOnce(
        sys::dittoffi_progress_callback_t,
        *mut sys::dittoffi_buffer_t,
    ) -> *mut sys::dittoffi_error_t,
) -> Result<Buffer, DittoError> {
    let mut watcher = Watcher { on_progress, panic: None };
    let callback = sys::dittoffi_progress_callback_t {
        context: ptr::from_mut(&mut watcher).cast(),
        call: Some(call),
        release: None,
    };
    let outcome = Buffer::from_call(|out| work(callback, out));
    if let Some(payload) = watcher.panic {
        resume_unwind(payload);
    }
    outcome
}

/// # Safety
/// Called with the context of [`watched`] while that runs, on its thread.
unsafe extern "C" fn call(context: *mut c_void, done: u64, total: u64) -> bool {
    // SAFETY: points to the watcher of `watched`, which nobody else uses before the library returns to it.
    let watcher = unsafe { &mut *context.cast::<Watcher<'_>>() };
    if watcher.panic.is_some() {
        return false;
    }
    let on_progress = AssertUnwindSafe(|| (watcher.on_progress)(done, total));
    catch_unwind(on_progress).unwrap_or_else(|payload| {
        watcher.panic = Some(payload);
        false
    })
}
