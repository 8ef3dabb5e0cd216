//! Handles: reference-counted pointers to what C never looks into.
//!
//! A handle is `Arc::into_raw`. Each handle that C holds owns one count; a function that takes `const dittoffi_…_t *`
//! borrows it for the call.

use std::sync::Arc;

use crate::error::{Error, ErrorCode};

/// A new handle that owns one count.
pub(crate) fn new<T>(value: T) -> *mut T {
    Arc::into_raw(Arc::new(value)).cast_mut()
}

/// Borrows what `handle` points to.
///
/// # Safety
/// `handle` is `NULL` or came from [`new`] or [`clone`] and is not freed during `'a`.
pub(crate) unsafe fn borrow<'a, T>(handle: *const T, name: &str) -> Result<&'a T, Error> {
    // SAFETY: not NULL inside `as_ref`; alive and shared (never borrowed mutably) by this function's contract.
    unsafe { handle.as_ref() }
        .ok_or_else(|| Error::new(ErrorCode::InvalidInput, format!("the {name} handle is NULL")))
}

/// Another handle to the same thing; `NULL` for `NULL`.
///
/// # Safety
/// As for [`borrow`].
pub(crate) unsafe fn clone<T>(handle: *const T) -> *mut T {
    if !handle.is_null() {
        // SAFETY: came from Arc::into_raw and its count is at least the one that the caller holds.
        unsafe { Arc::increment_strong_count(handle) };
    }
    handle.cast_mut()
}

/// Gives one count back; `NULL` is left alone. Whatever the last count drops is dropped here.
///
/// # Safety
/// As for [`borrow`], and the caller uses this handle no more.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: came from Arc::into_raw and the caller gives its count away.
        drop(unsafe { Arc::from_raw(handle.cast_const()) });
    }
}

/// Checks that there is a place for a result before the work that makes one begins.
pub(crate) fn require<T>(out: *mut T, name: &str) -> Result<(), Error> {
    if out.is_null() {
        return Err(Error::new(ErrorCode::InvalidInput, format!("the out-pointer for the {name} is NULL")));
    }
    Ok(())
}

/// Stores what `value` makes where the caller asked for it.
///
/// # Safety
/// `out` is `NULL` or points to memory that may be written as a `T`. What was there is overwritten, not dropped.
pub(crate) unsafe fn store<T>(out: *mut T, name: &str, value: impl FnOnce() -> T) -> Result<(), Error> {
    require(out, name)?;
    // SAFETY: not NULL (checked), writable and aligned by this function's contract.
    unsafe { out.write(value()) };
    Ok(())
}
