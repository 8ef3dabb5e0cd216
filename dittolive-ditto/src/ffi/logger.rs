//! The logger of the process.

use std::{cell::Cell, ffi::c_void};

use dittolive_ditto_sys as sys;

use super::{
    bytes,
    error::check,
    trampoline::{self, contain},
};
use crate::error::DittoError;

pub(crate) fn set_enabled(enabled: bool) {
    // SAFETY: takes a plain value.
    unsafe { sys::dittoffi_logger_set_enabled(enabled) };
}

pub(crate) fn is_enabled() -> bool {
    // SAFETY: takes nothing.
    unsafe { sys::dittoffi_logger_get_enabled() }
}

pub(crate) fn set_minimum_level(level: u8) {
    // SAFETY: takes a plain value.
    unsafe { sys::dittoffi_logger_set_minimum_level(level) };
}

pub(crate) fn minimum_level() -> u8 {
    // SAFETY: takes nothing.
    unsafe { sys::dittoffi_logger_get_minimum_level() }
}

pub(crate) fn log(level: u8, message: &str) -> Result<(), DittoError> {
    // SAFETY: the slice is borrowed for the call.
    check(unsafe { sys::dittoffi_logger_log(level, bytes::borrow(message.as_bytes())) })
}

type Handler = Box<dyn Fn(u8, &str) + Send + Sync>;

pub(crate) fn set_callback(handler: impl Fn(u8, &str) + Send + Sync + 'static) -> Result<(), DittoError> {
    let handler: Handler = Box::new(handler);
    let callback = sys::dittoffi_log_callback_t {
        context: trampoline::context(handler),
        call: Some(call),
        release: Some(trampoline::release::<Handler>),
    };
    // SAFETY: the library takes the callback over, also when it fails; the handler is `Send + Sync`.
    check(unsafe { sys::dittoffi_logger_set_callback(callback) })
}

pub(crate) fn clear_callback() {
    // SAFETY: takes nothing.
    unsafe { sys::dittoffi_logger_clear_callback() };
}

thread_local! {
    /// This thread is inside the handler: what it logs there is not given to it again.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// # Safety
/// Called with the context of [`set_callback`] before its release; the message is valid for the call.
unsafe extern "C" fn call(context: *mut c_void, level: u8, message: sys::dittoffi_slice_t) {
    if INSIDE.replace(true) {
        return;
    }
    // SAFETY: made by `set_callback` and not yet released; the library lends the message for the call.
    let (handler, message) = unsafe { (&*context.cast::<Handler>(), bytes::borrowed(message)) };
    contain(|| handler(level, &String::from_utf8_lossy(message)));
    INSIDE.set(false);
}
