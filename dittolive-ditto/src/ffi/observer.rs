//! Observers and the signals that pace them.

use std::{
    ffi::c_void,
    mem,
    ptr::NonNull,
    sync::{Mutex, PoisonError},
};

use dittolive_ditto_sys as sys;

use super::{
    query_result::QueryResult,
    trampoline::{self, contain},
};

/// A handle to an observer, which ends when the handle is dropped.
pub(crate) struct Observer(NonNull<sys::dittoffi_observer_t>);

// SAFETY: handles may be used and freed on any thread, several at once.
unsafe impl Send for Observer {}
// SAFETY: see above.
unsafe impl Sync for Observer {}

impl Observer {
    /// Takes over a handle; `None` for NULL.
    pub(super) fn from_raw(observer: *mut sys::dittoffi_observer_t) -> Option<Self> {
        NonNull::new(observer).map(Self)
    }

    /// No call of the handler starts after this has returned.
    pub(crate) fn cancel(&self) {
        // SAFETY: a live handle.
        unsafe { sys::dittoffi_observer_cancel(self.0.as_ptr()) };
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // SAFETY: our handle, given up here.
        unsafe { sys::dittoffi_observer_free(self.0.as_ptr()) };
    }
}

/// The right to ask for the next result. Dropped unused, the observer pauses for ever.
pub(crate) struct Signal(NonNull<sys::dittoffi_signal_t>);

// SAFETY: a signal may be used or freed on any thread.
unsafe impl Send for Signal {}

impl Signal {
    pub(crate) fn next(self) {
        let signal = mem::ManuallyDrop::new(self);
        // SAFETY: our handle, consumed by the call.
        unsafe { sys::dittoffi_signal_next(signal.0.as_ptr()) };
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        // SAFETY: our handle, given up here.
        unsafe { sys::dittoffi_signal_free(self.0.as_ptr()) };
    }
}

/// What an observer calls. The library never calls it twice at once; the lock costs next to nothing and makes that
/// our own guarantee.
type Handler = Mutex<Box<dyn FnMut(QueryResult, Signal) + Send>>;

/// The callback that stands for `handler`.
pub(super) fn callback(
    handler: impl FnMut(QueryResult, Signal) + Send + 'static,
) -> sys::dittoffi_change_callback_t {
    let handler: Handler = Mutex::new(Box::new(handler));
    sys::dittoffi_change_callback_t {
        context: trampoline::context(handler),
        call: Some(call),
        release: Some(trampoline::release::<Handler>),
    }
}

/// # Safety
/// Called with the context of [`callback`] before its release, and with handles that it may keep.
unsafe extern "C" fn call(
    context: *mut c_void,
    result: *mut sys::dittoffi_query_result_t,
    signal: *mut sys::dittoffi_signal_t,
) {
    let (result, signal) = (QueryResult::from_raw(result), NonNull::new(signal).map(Signal));
    // SAFETY: made by `callback` and not yet released.
    let handler = unsafe { &*context.cast::<Handler>() };
    if let (Some(result), Some(signal)) = (result, signal) {
        contain(|| handler.lock().unwrap_or_else(PoisonError::into_inner)(result, signal));
    }
}
